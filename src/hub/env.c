/* SPDX-License-Identifier: Apache-2.0 */
/* env: the settings of the Hugging Face tools, read once.
 *
 * Owns: which variable means what, defaults, where the token comes from, where the caches are.
 * Does not own: using any of it. The environment is the user's: a strange value costs a note. Only
 * what could send a secret astray is an error. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hub/internal.h"

enum {
    MAX_TOKEN_FILE = 16384,
    MAX_TIMEOUT_S = 3600,
};

#define DEFAULT_ENDPOINT "https://huggingface.co"
#define STAGING_ENDPOINT "https://hub-ci.huggingface.co"

const struct sc_hub_variable sc_hub_variables[] = {
    {"HF_TOKEN", "access token; wins over the file that hf auth login writes", true},
    {"HUGGING_FACE_HUB_TOKEN", "old name of HF_TOKEN", true},
    {"HF_TOKEN_PATH", "file with the access token (default $HF_HOME/token)", false},
    {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1: send a token only when --token gives it", false},
    {"HF_ENDPOINT", "the Hub or a mirror of it (default https://huggingface.co)", false},
    {"HUGGINGFACE_CO_STAGING", "1: use the test site of the Hub", false},
    {"HF_HUB_OFFLINE", "1: no network; only what is in the caches", false},
    {"TRANSFORMERS_OFFLINE", "as HF_HUB_OFFLINE", false},
    {"HF_HOME", "home of the Hugging Face tools (default ~/.cache/huggingface)", false},
    {"HF_HUB_CACHE", "cache shared with the Hugging Face tools (default $HF_HOME/hub)", false},
    {"HUGGINGFACE_HUB_CACHE", "old name of HF_HUB_CACHE", false},
    {"SCRUPLE_CACHE", "own cache: listings and parts of files (default ~/.cache/scruple)", false},
    {"SCRUPLE_CACHE_PATH", "more shared caches with colons between, only read", false},
    {"XDG_CACHE_HOME", "where caches are by default (~/.cache)", false},
    {"HF_HUB_ETAG_TIMEOUT", "seconds to wait for the first byte of an answer (30)", false},
    {"HF_HUB_DOWNLOAD_TIMEOUT", "seconds without data that end a download (30)", false},
    {"HF_HUB_DISABLE_SYMLINKS", "1: put files, not links, into the shared cache", false},
    {"HF_HUB_DISABLE_PROGRESS_BARS", "1: never show progress, 0: always", false},
    {"HF_DEBUG", "1: show every request, without secrets", false},
    {"HF_HUB_USER_AGENT_ORIGIN", "added to the name that the Hub sees", false},
    {"HF_OIDC_RESOURCE", "trusted publishing; not supported, set HF_TOKEN", false},
    {"HF_OIDC_ID_TOKEN", "trusted publishing; not supported, set HF_TOKEN", true},
    {"HTTPS_PROXY", "proxy for https addresses; also http_proxy (in small letters) and ALL_PROXY",
     true},
    {"NO_PROXY", "hosts that are asked without a proxy", false},
    {"SSL_CERT_FILE", "file or folder of certificates to trust", false},
    {"CURL_CA_BUNDLE", "certificates to trust", false},
    {"REQUESTS_CA_BUNDLE", "certificates to trust", false},
    {NULL, NULL, false},
};

static void note(const struct sc_hub_options *o, const char *fmt, ...) SC_PRINTF(2, 3);
static void note(const struct sc_hub_options *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sc_note_v(o->note, o->note_ctx, fmt, ap);
    va_end(ap);
}

/* NULL: not set, or empty. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static const char *either(const char *name, const char *old)
{
    const char *value = variable(name);
    return value ? value : variable(old);
}

/* Exactly the words that the Hugging Face tools take for true. */
static bool is_true(const char *name)
{
    static const char *const words[] = {"1", "ON", "YES", "TRUE"};
    const char *value = variable(name);
    for (size_t i = 0; value && i < SC_COUNT(words); i++)
        if (sc_str_eq_nocase(sc_strz(value), sc_strz(words[i])))
            return true;
    return false;
}

static unsigned seconds_ms(const struct sc_hub_options *o, const char *name)
{
    const char *value = variable(name);
    uint64_t n;
    struct sc_quoted q;
    if (!value)
        return 0;
    if (sc_str_u64(sc_strz(value), &n) && n > 0 && n <= MAX_TIMEOUT_S)
        return (unsigned)n * 1000;
    note(o, "%s is \"%s\", which is no number of seconds from 1 to %d; not used", name,
         sc_quote(&q, sc_strz(value)), (int)MAX_TIMEOUT_S);
    return 0;
}

/* ---------------------------------------------------------------------------------- expanding ---
 */

/* One "$NAME" or "${NAME}" at s; how long it is, 0: none. */
static size_t expand_variable(struct sc_buf *b, const char *s)
{
    char name[128];
    const bool braced = s[1] == '{';
    const char *from = s + 1 + braced;
    size_t n = 0;
    while ((from[n] >= 'a' && from[n] <= 'z') || (from[n] >= 'A' && from[n] <= 'Z') ||
           (from[n] >= '0' && from[n] <= '9') || from[n] == '_')
        n++;
    if (n == 0 || n >= sizeof name || (braced && from[n] != '}'))
        return 0;
    memcpy(name, from, n);
    name[n] = '\0';
    const char *value = getenv(name);
    if (!value)
        return 0; /* stays as it is */
    sc_buf_puts(b, value);
    return (size_t)(from - s) + n + braced;
}

static char *finish(struct sc_buf *b)
{
    char *copy = b->failed ? NULL : sc_str_copy(sc_str(b->p, b->n));
    sc_buf_clear(b);
    return copy;
}

char *sc_hub_expand(const char *text)
{
    struct sc_buf b = {0};
    const char *home = variable("HOME");
    if (text[0] == '~' && (text[1] == '/' || text[1] == '\0') && home) {
        sc_buf_puts(&b, home);
        text++;
    }
    while (*text) {
        const size_t n = *text == '$' ? expand_variable(&b, text) : 0;
        if (n == 0)
            sc_buf_putc(&b, *text);
        text += n ? n : 1;
    }
    return finish(&b);
}

static char *join(const char *dir, const char *name)
{
    struct sc_buf b = {0};
    sc_buf_puts(&b, dir);
    while (b.n > 1 && b.p[b.n - 1] == '/')
        b.p[--b.n] = '\0';
    if (!b.failed && b.n > 0 && b.p[b.n - 1] != '/')
        sc_buf_putc(&b, '/');
    sc_buf_puts(&b, name);
    return finish(&b);
}

static int keep(char **out, char *made, struct sc_error *e)
{
    *out = made;
    return made ? 0 : sc_fail_memory(e);
}

/* ------------------------------------------------------------------------------------- caches ---
 */

/* ~/.cache or what stands for it, with `name` below; *out stays NULL when there is no home. */
static int below_cache(const char *name, char **out, struct sc_error *e)
{
    const char *base = variable("XDG_CACHE_HOME");
    const char *home = variable("HOME");
    if (base) {
        char *full = sc_hub_expand(base);
        int rc = full ? keep(out, join(full, name), e) : sc_fail_memory(e);
        free(full);
        return rc;
    }
    if (!home)
        return 0;
    char *cache = join(home, ".cache");
    int rc = cache ? keep(out, join(cache, name), e) : sc_fail_memory(e);
    free(cache);
    return rc;
}

static bool is_same_tier(const struct sc_hub_env *env, const char *path)
{
    if (env->hf_cache && strcmp(env->hf_cache, path) == 0)
        return true;
    for (size_t i = 0; i < env->n_tiers; i++)
        if (strcmp(env->tiers[i], path) == 0)
            return true;
    return false;
}

static int read_tiers(struct sc_hub_env *env, struct sc_error *e)
{
    size_t cap = 0;
    const char *list = variable("SCRUPLE_CACHE_PATH");
    while (list && *list) {
        const size_t n = strcspn(list, ":");
        char *piece = sc_str_copy(sc_str(list, n));
        char *path = piece && n > 0 ? sc_hub_expand(piece) : NULL;
        free(piece);
        if (n > 0 && !path)
            return sc_fail_memory(e);
        int rc = 0;
        if (path && !is_same_tier(env, path)) {
            rc = sc_grow(&env->tiers, &cap, env->n_tiers + 1, sizeof env->tiers[0], e);
            if (rc == 0) {
                env->tiers[env->n_tiers++] = path;
                path = NULL;
            }
        }
        free(path);
        TRY(rc);
        list += n + (list[n] == ':');
    }
    return 0;
}

static int read_caches(struct sc_hub_env *env, struct sc_error *e)
{
    const char *home = variable("HF_HOME"), *hub = either("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE");
    const char *own = variable("SCRUPLE_CACHE");
    if (home)
        TRY(keep(&env->hf_home, sc_hub_expand(home), e));
    else
        TRY(below_cache(is_true("HUGGINGFACE_CO_STAGING") ? "huggingface_staging" : "huggingface",
                        &env->hf_home, e));
    if (hub)
        TRY(keep(&env->hf_cache, sc_hub_expand(hub), e));
    else if (env->hf_home)
        TRY(keep(&env->hf_cache, join(env->hf_home, "hub"), e));
    if (own)
        TRY(keep(&env->cache, sc_hub_expand(own), e));
    else
        TRY(below_cache("scruple", &env->cache, e));
    return read_tiers(env, e);
}

/* ------------------------------------------------------------------------------------ endpoint ---
 */

/* http or https, a host, perhaps a port and a path. */
static bool is_endpoint(struct sc_str s)
{
    size_t at = sc_str_starts(s, "https://") ? 8 : sc_str_starts(s, "http://") ? 7 : 0;
    if (at == 0 || at == s.n || s.p[at] == '/' || s.p[at] == ':' || s.n > 1024)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f ||
            strchr("@?#\\\"<>", s.p[i]))
            return false;
    return true;
}

static int read_endpoint(struct sc_hub_env *env, struct sc_error *e)
{
    const char *value = variable("HF_ENDPOINT");
    if (!value)
        value = is_true("HUGGINGFACE_CO_STAGING") ? STAGING_ENDPOINT : DEFAULT_ENDPOINT;
    struct sc_str s = sc_strz(value);
    while (s.n > 0 && (s.p[s.n - 1] == '/' || s.p[s.n - 1] == ' '))
        s.n--;
    if (!is_endpoint(s)) { /* the value may hold a password: it is not repeated */
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "HF_ENDPOINT is not an address like https://huggingface.co (http or "
                       "https, a host, no user name, no query)");
    }
    env->endpoint_is_default = sc_str_is(s, DEFAULT_ENDPOINT);
    return keep(&env->endpoint, sc_str_copy(s), e);
}

/* --------------------------------------------------------------------------------------- token ---
 */

/* Without the line ends and spaces that come with copying. Empty: *out is NULL. */
static int clean_token(const char *text, size_t n, const char *from, char **out, struct sc_error *e)
{
    struct sc_quoted q;
    struct sc_str s = sc_str(text, n);
    *out = NULL;
    while (s.n > 0 && strchr(" \t\r\n", s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f)
            return sc_fail(e, SCRUPLE_EUSAGE,
                           "the token from %s holds characters that no token has (copied "
                           "incompletely? a file with several lines?)",
                           sc_quote(&q, sc_strz(from)));
    return s.n > 0 ? keep(out, sc_str_copy(s), e) : 0;
}

static int take_token(struct sc_hub_env *env, const char *text, size_t n, const char *from,
                      struct sc_error *e)
{
    TRY(clean_token(text, n, from, &env->token, e));
    return env->token ? keep(&env->token_source, sc_str_copy(sc_strz(from)), e) : 0;
}

static int read_token_file(struct sc_hub_env *env, struct sc_error *e)
{
    const char *named = variable("HF_TOKEN_PATH");
    char *path = NULL, text[MAX_TOKEN_FILE];
    size_t n = 0;
    ssize_t got = 0;
    if (!named && !env->hf_home)
        return 0;
    TRY(keep(&path, named ? sc_hub_expand(named) : join(env->hf_home, "token"), e));
    /* O_NONBLOCK: a FIFO in its place must not stop us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (fd >= 0 && n < sizeof text && (got = read(fd, text + n, sizeof text - n)) > 0)
        n += (size_t)got;
    if (fd >= 0)
        close(fd);
    int rc = got < 0 ? 0 : take_token(env, text, n, path, e);
    memset(text, 0, sizeof text);
    free(path);
    return rc;
}

static int hint(struct sc_hub_env *env, const char *sentence, struct sc_error *e)
{
    return keep(&env->token_hint, sc_str_copy(sc_strz(sentence)), e);
}

/* --token, HF_TOKEN, its old name, the file. */
static int read_token(struct sc_hub_env *env, const struct sc_hub_options *o, struct sc_error *e)
{
    static const char *const names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    if (o->token)
        TRY(take_token(env, o->token, strlen(o->token), "--token", e));
    if (env->token)
        return 0;
    const bool explicit_only = is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN");
    for (size_t i = 0; i < SC_COUNT(names) && !env->token && !explicit_only; i++) {
        const char *value = variable(names[i]);
        if (value)
            TRY(take_token(env, value, strlen(value), names[i], e));
    }
    if (!env->token && !explicit_only)
        TRY(read_token_file(env, e));
    if (env->token)
        return 0;
    if (explicit_only)
        return hint(env, "HF_HUB_DISABLE_IMPLICIT_TOKEN is set, so only --token gives a token", e);
    if (variable("HF_OIDC_RESOURCE") || variable("HF_OIDC_ID_TOKEN"))
        return hint(env, "trusted publishing (HF_OIDC_...) is not supported: set HF_TOKEN", e);
    return 0;
}

/* ------------------------------------------------------------------------------------- the rest
 * --- */

static int read_user_agent(struct sc_hub_env *env, const struct sc_hub_options *o,
                           struct sc_error *e)
{
    struct sc_buf b = {0};
    const char *origin = variable("HF_HUB_USER_AGENT_ORIGIN");
    bool sound = origin && strlen(origin) <= 128;
    for (const char *c = origin; sound && *c; c++)
        sound = (unsigned char)*c >= ' ' && (unsigned char)*c < 0x7f;
    if (origin && !sound)
        note(o, "HF_HUB_USER_AGENT_ORIGIN is too long or holds strange characters; not used");
    sc_buf_printf(&b, "scruple/%s", scruple_version());
    if (sound)
        sc_buf_printf(&b, "; origin/%s", origin);
    return keep(&env->user_agent, finish(&b), e);
}

static const char *why_offline(const struct sc_hub_options *o)
{
    if (o->offline)
        return "--offline";
    if (is_true("HF_HUB_OFFLINE"))
        return "HF_HUB_OFFLINE";
    return is_true("TRANSFORMERS_OFFLINE") ? "TRANSFORMERS_OFFLINE" : NULL;
}

static int read_all(struct sc_hub_env *env, const struct sc_hub_options *o, struct sc_error *e)
{
    TRY(read_endpoint(env, e));
    TRY(read_caches(env, e));
    TRY(read_token(env, o, e));
    TRY(read_user_agent(env, o, e));
    env->offline = why_offline(o);
    env->no_symlinks = is_true("HF_HUB_DISABLE_SYMLINKS");
    env->trace = is_true("HF_DEBUG");
    env->etag_timeout_ms = seconds_ms(o, "HF_HUB_ETAG_TIMEOUT");
    env->download_timeout_ms = seconds_ms(o, "HF_HUB_DOWNLOAD_TIMEOUT");
    if (variable("HF_HUB_DISABLE_PROGRESS_BARS"))
        env->progress_bars = is_true("HF_HUB_DISABLE_PROGRESS_BARS") ? 1 : -1;
    return 0;
}

int sc_hub_env_read(struct sc_hub_env *env, const struct sc_hub_options *o, struct sc_error *e)
{
    static const struct sc_hub_options none;
    memset(env, 0, sizeof *env);
    int rc = read_all(env, o ? o : &none, e);
    if (rc < 0)
        sc_hub_env_clear(env);
    return rc;
}

void sc_hub_env_clear(struct sc_hub_env *env)
{
    if (env->token)
        memset(env->token, 0, strlen(env->token));
    free(env->endpoint);
    free(env->hf_home);
    free(env->hf_cache);
    for (size_t i = 0; i < env->n_tiers; i++)
        free(env->tiers[i]);
    free(env->tiers);
    free(env->cache);
    free(env->token);
    free(env->token_source);
    free(env->token_hint);
    free(env->user_agent);
    free(env->ca_bundle);
    memset(env, 0, sizeof *env);
}
