/* SPDX-License-Identifier: Apache-2.0 */
/* Names of models: every form that is accepted, and what is refused with which sentence. */
#include "hub/hub.h"
#include "test.h"

#define MIRROR "http://localhost:8080/hub"

struct form {
    const char *text;
    uint8_t type;
    const char *id, *revision, *path, *quant;
};

static const struct form forms[] = {
    /* bare */
    {"org/name", SC_REPO_MODEL, "org/name", NULL, NULL, NULL},
    {"Qwen/Qwen3-0.6B", SC_REPO_MODEL, "Qwen/Qwen3-0.6B", NULL, NULL, NULL},
    {"a/b/", SC_REPO_MODEL, "a/b", NULL, NULL, NULL},
    {"gpt2", SC_REPO_MODEL, "gpt2", NULL, NULL, NULL},
    {"_a/b_", SC_REPO_MODEL, "_a/b_", NULL, NULL, NULL},
    {"org/name@dev", SC_REPO_MODEL, "org/name", "dev", NULL, NULL},
    {"gpt2@v1.0", SC_REPO_MODEL, "gpt2", "v1.0", NULL, NULL},
    {"org/name@refs/pr/7", SC_REPO_MODEL, "org/name", "refs/pr/7", NULL, NULL},
    {"org/name@feature%2Fx", SC_REPO_MODEL, "org/name", "feature/x", NULL, NULL},
    {"org/name:Q4_K_M", SC_REPO_MODEL, "org/name", NULL, NULL, "Q4_K_M"},
    {"org/name:UD-IQ1_S", SC_REPO_MODEL, "org/name", NULL, NULL, "UD-IQ1_S"},
    /* hf:// */
    {"hf://org/name", SC_REPO_MODEL, "org/name", NULL, NULL, NULL},
    {"HF://org/name", SC_REPO_MODEL, "org/name", NULL, NULL, NULL},
    {"hf://gpt2", SC_REPO_MODEL, "gpt2", NULL, NULL, NULL},
    {"hf://gpt2@main/config.json", SC_REPO_MODEL, "gpt2", "main", "config.json", NULL},
    {"hf://models/org/name", SC_REPO_MODEL, "org/name", NULL, NULL, NULL},
    {"hf://datasets/org/name", SC_REPO_DATASET, "org/name", NULL, NULL, NULL},
    {"hf://datasets/squad", SC_REPO_DATASET, "squad", NULL, NULL, NULL},
    {"hf://spaces/org/name@main/app.py", SC_REPO_SPACE, "org/name", "main", "app.py", NULL},
    {"hf://org/name@refs/pr/12/sub/a.safetensors", SC_REPO_MODEL, "org/name", "refs/pr/12",
     "sub/a.safetensors", NULL},
    {"hf://org/name@refs/convert/parquet/x", SC_REPO_MODEL, "org/name", "refs/convert/parquet", "x",
     NULL},
    {"hf://org/name@refs%2Fpr%2F1", SC_REPO_MODEL, "org/name", "refs/pr/1", NULL, NULL},
    {"hf://org/name@feature%2Fx/a b", SC_REPO_MODEL, "org/name", "feature/x", "a b", NULL},
    {"hf://org/name@refs/x", SC_REPO_MODEL, "org/name", "refs", "x", NULL},
    {"hf://org/name/a%20b@c", SC_REPO_MODEL, "org/name", NULL, "a%20b@c", NULL},
    {"hf://org/name:Q8_0", SC_REPO_MODEL, "org/name", NULL, NULL, "Q8_0"},
    {"hf://org/name.gguf", SC_REPO_MODEL, "org/name.gguf", NULL, NULL, NULL},
    /* as the predecessor took them */
    {"https://huggingface.co/a/b/tree/dev", SC_REPO_MODEL, "a/b", "dev", NULL, NULL},
    {"https://www.huggingface.co/models/a/b", SC_REPO_MODEL, "a/b", NULL, NULL, NULL},
    {"https://huggingface.co/model/a/b", SC_REPO_MODEL, "a/b", NULL, NULL, NULL},
    {"https://huggingface.co/gpt2/tree/main", SC_REPO_MODEL, "gpt2", "main", NULL, NULL},
    {"huggingface.co/a/b", SC_REPO_MODEL, "a/b", NULL, NULL, NULL},
    /* addresses */
    {"https://HuggingFace.co//a//b//", SC_REPO_MODEL, "a/b", NULL, NULL, NULL},
    {"http://hf.co/a/b?x=1#y", SC_REPO_MODEL, "a/b", NULL, NULL, NULL},
    {"hf.co/a/b:Q4_0", SC_REPO_MODEL, "a/b", NULL, NULL, "Q4_0"},
    {"https://hf.co/a/b@dev", SC_REPO_MODEL, "a/b", "dev", NULL, NULL},
    {"www.huggingface.co/gpt2", SC_REPO_MODEL, "gpt2", NULL, NULL, NULL},
    {"https://huggingface.co:443/a/b", SC_REPO_MODEL, "a/b", NULL, NULL, NULL},
    {"https://hub-ci.huggingface.co/a/b", SC_REPO_MODEL, "a/b", NULL, NULL, NULL},
    {"https://huggingface.co/a/b/tree", SC_REPO_MODEL, "a/b", NULL, NULL, NULL},
    {"https://huggingface.co/datasets/a/b/blob/main/x/y.npz", SC_REPO_DATASET, "a/b", "main",
     "x/y.npz", NULL},
    {"https://huggingface.co/datasets/squad/tree/main", SC_REPO_DATASET, "squad", "main", NULL,
     NULL},
    {"https://huggingface.co/spaces/a/b", SC_REPO_SPACE, "a/b", NULL, NULL, NULL},
    {"https://huggingface.co/a/b/resolve/main/model.safetensors?download=true", SC_REPO_MODEL,
     "a/b", "main", "model.safetensors", NULL},
    {"https://huggingface.co/a/b/raw/main/a%20b/%E2%82%AC.json", SC_REPO_MODEL, "a/b", "main",
     "a b/\xE2\x82\xAC.json", NULL},
    {"https://huggingface.co/a/b/blame/feature%2Fx/README.md", SC_REPO_MODEL, "a/b", "feature/x",
     "README.md", NULL},
    {"https://huggingface.co/a/b/tree/refs%2Fpr%2F3", SC_REPO_MODEL, "a/b", "refs/pr/3", NULL,
     NULL},
    {"https://huggingface.co/a/b/blob/refs/pr/3/x.gguf", SC_REPO_MODEL, "a/b", "refs/pr/3",
     "x.gguf", NULL},
    {"https://huggingface.co/a/b/tree/refs%2Fconvert%2Fparquet/d", SC_REPO_MODEL, "a/b",
     "refs/convert/parquet", "d", NULL},
    /* a mirror with a prefix */
    {MIRROR "/a/b/tree/dev", SC_REPO_MODEL, "a/b", "dev", NULL, NULL},
    {"localhost:8080/hub/a/b", SC_REPO_MODEL, "a/b", NULL, NULL, NULL},
    {MIRROR "/gpt2", SC_REPO_MODEL, "gpt2", NULL, NULL, NULL},
};

TEST(every_form_of_a_hub_name_is_read)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const struct form *f = &forms[i];
        struct sc_name n;
        struct sc_error e = {0};
        const int rc = sc_name_parse(f->text, MIRROR, &n, &e);
        const unsigned bad = test_bad;
        CHECK_ERR(0, rc);
        CHECK_STR(rc < 0 ? e.text : "", "");
        CHECK_U64(n.kind, SC_NAME_HUB);
        CHECK_U64(n.type, f->type);
        CHECK_STR(n.id, f->id);
        CHECK_STR(n.revision, f->revision);
        CHECK_STR(n.path, f->path);
        CHECK_STR(n.quant, f->quant);
        if (test_bad != bad)
            fprintf(stderr, "    in \"%s\"\n", f->text);
        sc_name_clear(&n);
    }
}

TEST(what_cannot_be_a_name_is_a_path)
{
    static const char *const paths[] = {
        "",
        "-",
        ".",
        "..",
        "./a/b",
        "../a",
        "~/a",
        "~",
        "/a/b/",
        "/a",
        "a/b/c",
        "a b",
        "model.safetensors",
        "org/model.gguf",
        "a/b.BIN",
        "x.index.json",
        "-a",
        "a-",
        ".a",
        "a..b",
        "a--b",
        "a/b.git",
        "a//b",
        "C:\\x",
        "llama3:8b",
        "a/",
        "org/name:Q4/x",
        "a\nb",
        "datasets/a/b",
        "a/b:x.gguf",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaa",
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct sc_name n;
        const unsigned bad = test_bad;
        CHECK_ERR(strcmp(paths[i], "org/name:Q4/x") == 0 ? SCRUPLE_EUSAGE : 0,
                  sc_name_parse(paths[i], MIRROR, &n, NULL));
        if (strcmp(paths[i], "a/") == 0) { /* "gpt2/" is gpt2 */
            CHECK_STR(n.id, "a");
        } else if (strcmp(paths[i], "org/name:Q4/x") != 0) {
            CHECK_U64(n.kind, SC_NAME_PATH);
            CHECK_STR(n.path, paths[i]);
        }
        if (test_bad != bad)
            fprintf(stderr, "    in \"%s\"\n", paths[i]);
        sc_name_clear(&n);
    }
}

TEST(file_addresses_are_paths)
{
    struct sc_name n;
    CHECK_ERR(0, sc_name_parse("file:///tmp/a%20b", MIRROR, &n, NULL));
    CHECK_U64(n.kind, SC_NAME_PATH);
    CHECK_STR(n.path, "/tmp/a b");
    sc_name_clear(&n);
    CHECK_ERR(0, sc_name_parse("FILE://localhost/x", MIRROR, &n, NULL));
    CHECK_STR(n.path, "/x");
    sc_name_clear(&n);
    CHECK_ERR(SCRUPLE_EUSAGE, sc_name_parse("file://elsewhere/x", MIRROR, &n, NULL));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_name_parse("file:///a%00b", MIRROR, &n, NULL));
}

TEST(other_addresses_are_files)
{
    static const char *const urls[][2] = {
        {"https://example.org/a/model.gguf?sig=1", "https://example.org/a/model.gguf?sig=1"},
        {"http://localhost:8080/other/a/b", "http://localhost:8080/other/a/b"},
        {"http://localhost:8080/hubble/a/b", "http://localhost:8080/hubble/a/b"},
        {"http://localhost:8081/hub/a/b", "http://localhost:8081/hub/a/b"},
        {"https://huggingface.co.evil.org/a/b", "https://huggingface.co.evil.org/a/b"},
        {"HTTPS://x.org/m.gguf#top", "HTTPS://x.org/m.gguf"},
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct sc_name n;
        CHECK_ERR(0, sc_name_parse(urls[i][0], MIRROR, &n, NULL));
        CHECK_U64(n.kind, SC_NAME_URL);
        CHECK_STR(n.url, urls[i][1]);
        sc_name_clear(&n);
    }
}

TEST(what_looks_like_a_name_and_is_wrong_is_refused)
{
    static const char *const refused[][2] = {
        {"hf://model/a/b", "plural"},
        {"hf://dataset/a/b", "datasets"},
        {"hf://", "names no repository"},
        {"hf://models", "names no repository"},
        {"hf://buckets/a/b", "not supported"},
        {"hf://a/b@", "branch"},
        {"hf://a/b@x..y", "branch"},
        {"hf://a/b@%0a", "branch"},
        {"hf://a/b@/x", "branch"},
        {"a/b@x y", "branch"},
        {"hf://a/b/../c", "leaves"},
        {"hf://a/b/c\\d", "leaves"},
        {"hf://a--b/c", "name of a repository"},
        {"hf://a/b:", "quantisation"},
        {"a/b:Q4;rm", "quantisation"},
        {"https://huggingface.co/", "names no repository"},
        {"https://huggingface.co/datasets", "names no repository"},
        {"https://huggingface.co/a/b/commits/main", "\"commits\" shows no files; write a/b"},
        {"https://huggingface.co/a/b/discussions/3", "\"discussions\" shows no files"},
        {"https://huggingface.co/gpt2/discussions", "\"discussions\" shows no files; write gpt2"},
        {"https://huggingface.co/a/b/x/y", "\"x\" shows no files"},
        {"https://huggingface.co/docs/hub", "not the page of a repository"},
        {"https://huggingface.co/api/models/a/b", "not the page of a repository"},
        {"https://huggingface.co/a%2Fb/c", "name of a repository"},
        {"https://huggingface.co/a/b/blob/main/%2e%2e/x", "leaves"},
        {"https://huggingface.co/a/b/blob/main/%00", "NUL"},
        {"https://user:secret@huggingface.co/a/b", "user name"},
        {"https://user:secret@example.org/x", "user name"},
        {"https://", "no host"},
        {"https://example.org/a b", "spaces"},
        {"ms://org/name", "ModelScope"},
        {"s3://bucket/x", "presigned"},
        {"gs://bucket/x", "presigned"},
        {"ollama://llama3:8b", "Ollama"},
        {"ftp://x/y", "hf://, https:// and file://"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct sc_name n;
        struct sc_error e = {0};
        const unsigned bad = test_bad;
        CHECK_ERR(SCRUPLE_EUSAGE, sc_name_parse(refused[i][0], MIRROR, &n, &e));
        CHECK(strstr(e.text, refused[i][1]));
        CHECK(!strstr(e.text, "secret"));
        if (test_bad != bad)
            fprintf(stderr, "    in \"%s\": %s\n", refused[i][0], e.text);
        sc_name_clear(&n);
    }
}

TEST(only_forty_lower_case_digits_are_a_commit)
{
    CHECK(sc_is_commit(SC_STR("0123456789abcdef0123456789abcdef01234567")));
    CHECK(!sc_is_commit(SC_STR("0123456789abcdef0123456789abcdef0123456")));
    CHECK(!sc_is_commit(SC_STR("0123456789ABCDEF0123456789abcdef01234567")));
    CHECK(!sc_is_commit(SC_STR("")));
}
