/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: defaults, old spellings, where the token comes from, what is refused. */
#include "hub/hub.h"
#include "test.h"

#include "scratch.h"

static void clean(void)
{
    for (const struct sc_hub_variable *v = sc_hub_variables; v->name; v++)
        unsetenv(v->name);
    setenv("HOME", "/home/me", 1);
}

/* Reads; false is a failed check. */
static bool get(struct sc_hub_env *env, const struct sc_hub_options *o)
{
    struct sc_error e = {0};
    const int rc = sc_hub_env_read(env, o, &e);
    CHECK_STR(rc < 0 ? e.text : "", "");
    return rc == 0;
}

TEST(defaults)
{
    struct sc_hub_env env;
    char agent[64];
    clean();
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.endpoint, "https://huggingface.co");
    CHECK(env.endpoint_is_default);
    CHECK_STR(env.hf_home, "/home/me/.cache/huggingface");
    CHECK_STR(env.hf_cache, "/home/me/.cache/huggingface/hub");
    CHECK_STR(env.cache, "/home/me/.cache/scruple");
    CHECK_STR(env.token, NULL);
    CHECK_STR(env.token_source, NULL);
    CHECK_STR(env.token_hint, NULL);
    CHECK_STR(env.offline, NULL);
    CHECK(!env.no_symlinks && !env.trace);
    CHECK_U64(env.etag_timeout_ms, 0);
    CHECK_U64(env.download_timeout_ms, 0);
    CHECK_U64(env.n_tiers, 0);
    CHECK(env.progress_bars == 0);
    snprintf(agent, sizeof agent, "scruple/%s", scruple_version());
    CHECK_STR(env.user_agent, agent);
    sc_hub_env_clear(&env);
}

TEST(folders_are_expanded)
{
    struct sc_hub_env env;
    clean();
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.hf_cache, "/xdg/huggingface/hub");
    CHECK_STR(env.cache, "/xdg/scruple");
    sc_hub_env_clear(&env);
    setenv("HF_HOME", "~/hf/", 1);
    setenv("SCRUPLE_CACHE", "${HF_HOME}own/$NO_SUCH_THING/$", 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.hf_cache, "/home/me/hf/hub");
    CHECK_STR(env.cache, "~/hf/own/$NO_SUCH_THING/$");
    sc_hub_env_clear(&env);
    setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.hf_cache, "/old");
    sc_hub_env_clear(&env);
    setenv("HF_HUB_CACHE", "$XDG_CACHE_HOME/new", 1);
    setenv("SCRUPLE_CACHE_PATH", ":/one:/xdg/new:~/two::/one", 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.hf_cache, "/xdg/new");
    REQUIRE(env.n_tiers == 2);
    CHECK_STR(env.tiers[0], "/one");
    CHECK_STR(env.tiers[1], "/home/me/two");
    sc_hub_env_clear(&env);
}

TEST(without_a_home_there_are_no_caches)
{
    struct sc_hub_env env;
    clean();
    unsetenv("HOME");
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.hf_cache, NULL);
    CHECK_STR(env.cache, NULL);
    CHECK_STR(env.token, NULL);
    sc_hub_env_clear(&env);
}

TEST(words_that_are_true)
{
    static const char *const yes[] = {"1", "on", "YES", "True"}, *const no[] = {"", "0", "2", "y"};
    struct sc_hub_env env;
    clean();
    for (size_t i = 0; i < 4; i++) {
        setenv("HF_HUB_OFFLINE", yes[i], 1);
        REQUIRE(get(&env, NULL));
        CHECK_STR(env.offline, "HF_HUB_OFFLINE");
        sc_hub_env_clear(&env);
        setenv("HF_HUB_OFFLINE", no[i], 1);
        REQUIRE(get(&env, NULL));
        CHECK_STR(env.offline, NULL);
        sc_hub_env_clear(&env);
    }
    setenv("TRANSFORMERS_OFFLINE", "1", 1);
    setenv("HF_DEBUG", "1", 1);
    setenv("HF_HUB_DISABLE_SYMLINKS", "1", 1);
    setenv("HF_HUB_DISABLE_PROGRESS_BARS", "0", 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.offline, "TRANSFORMERS_OFFLINE");
    CHECK(env.trace && env.no_symlinks && env.progress_bars == -1);
    sc_hub_env_clear(&env);
    REQUIRE(get(&env, &(struct sc_hub_options){.offline = true}));
    CHECK_STR(env.offline, "--offline");
    sc_hub_env_clear(&env);
}

TEST(the_endpoint)
{
    static const char *const wrong[] = {"huggingface.co",     "ftp://x",          "https://",
                                        "https://u:p@secret", "https://x?secret", "https:///secret",
                                        "https://x y",        "https://x\ny"};
    struct sc_hub_env env;
    struct sc_error e = {0};
    clean();
    setenv("HF_ENDPOINT", "http://localhost:9/prefix//", 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.endpoint, "http://localhost:9/prefix");
    CHECK(!env.endpoint_is_default);
    sc_hub_env_clear(&env);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        setenv("HF_ENDPOINT", wrong[i], 1);
        CHECK_ERR(SCRUPLE_EUSAGE, sc_hub_env_read(&env, NULL, &e));
        CHECK(strstr(e.text, "HF_ENDPOINT") && !strstr(e.text, "secret"));
    }
    unsetenv("HF_ENDPOINT");
    setenv("HUGGINGFACE_CO_STAGING", "1", 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.endpoint, "https://hub-ci.huggingface.co");
    CHECK_STR(env.hf_cache, "/home/me/.cache/huggingface_staging/hub");
    sc_hub_env_clear(&env);
}

TEST(the_token_by_rank)
{
    struct sc_hub_env env;
    clean();
    REQUIRE(scratch_new());
    REQUIRE(scratch_file("token", " hf_file\n", 9));
    setenv("HF_HOME", scratch_root, 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.token, "hf_file");
    CHECK_STR(env.token_source, scratch_at("token"));
    sc_hub_env_clear(&env);

    setenv("HUGGING_FACE_HUB_TOKEN", "hf_old", 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.token, "hf_old");
    CHECK_STR(env.token_source, "HUGGING_FACE_HUB_TOKEN");
    sc_hub_env_clear(&env);

    setenv("HF_TOKEN", "\r\nhf_new\r\n", 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.token, "hf_new");
    CHECK_STR(env.token_source, "HF_TOKEN");
    sc_hub_env_clear(&env);
    setenv("HF_TOKEN", " \n", 1); /* as good as none */
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.token, "hf_old");
    sc_hub_env_clear(&env);

    const struct sc_hub_options given = {.token = "hf_given"};
    REQUIRE(get(&env, &given));
    CHECK_STR(env.token, "hf_given");
    CHECK_STR(env.token_source, "--token");
    sc_hub_env_clear(&env);

    setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.token, NULL);
    CHECK(env.token_hint && strstr(env.token_hint, "HF_HUB_DISABLE_IMPLICIT_TOKEN"));
    sc_hub_env_clear(&env);
    REQUIRE(get(&env, &given));
    CHECK_STR(env.token, "hf_given");
    sc_hub_env_clear(&env);

    clean();
    setenv("HF_TOKEN_PATH", scratch_at("token"), 1);
    unsetenv("HOME");
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.token, "hf_file");
    sc_hub_env_clear(&env);
    setenv("HF_TOKEN_PATH", scratch_root, 1); /* a folder */
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.token, NULL);
    sc_hub_env_clear(&env);
    unlink(scratch_at("token"));
    rmdir(scratch_root);
}

TEST(a_token_that_would_break_a_header_is_refused)
{
    static const char *const wrong[] = {"hf_secret\r\nHost: x", "hf secret", "hf_\x01secret",
                                        "hf_\xC3\xA9secret"};
    struct sc_hub_env env;
    struct sc_error e = {0};
    clean();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        setenv("HF_TOKEN", wrong[i], 1);
        CHECK_ERR(SCRUPLE_EUSAGE, sc_hub_env_read(&env, NULL, &e));
        CHECK(strstr(e.text, "HF_TOKEN") && !strstr(e.text, "secret"));
    }
}

TEST(trusted_publishing_is_explained)
{
    struct sc_hub_env env;
    clean();
    setenv("HF_OIDC_RESOURCE", "x", 1);
    REQUIRE(get(&env, NULL));
    CHECK(env.token_hint && strstr(env.token_hint, "HF_TOKEN"));
    sc_hub_env_clear(&env);
    setenv("HF_TOKEN", "hf_x", 1);
    REQUIRE(get(&env, NULL));
    CHECK_STR(env.token_hint, NULL);
    sc_hub_env_clear(&env);
}

static void count(void *ctx, const char *sentence)
{
    CHECK(sentence[0]);
    ++*(unsigned *)ctx;
}

TEST(strange_values_cost_a_note)
{
    struct sc_hub_env env;
    unsigned notes = 0;
    const struct sc_hub_options o = {.note = count, .note_ctx = &notes};
    clean();
    setenv("HF_HUB_ETAG_TIMEOUT", "30", 1);
    setenv("HF_HUB_DOWNLOAD_TIMEOUT", "soon", 1);
    setenv("HF_HUB_USER_AGENT_ORIGIN", "a\nb", 1);
    REQUIRE(get(&env, &o));
    CHECK_U64(env.etag_timeout_ms, 30000);
    CHECK_U64(env.download_timeout_ms, 0);
    CHECK(!strchr(env.user_agent, ';'));
    CHECK_U64(notes, 2);
    sc_hub_env_clear(&env);
    setenv("HF_HUB_DOWNLOAD_TIMEOUT", "0", 1);
    setenv("HF_HUB_USER_AGENT_ORIGIN", "lab", 1);
    REQUIRE(get(&env, &o));
    CHECK_U64(notes, 3);
    CHECK(strstr(env.user_agent, "; origin/lab"));
    sc_hub_env_clear(&env);
}
