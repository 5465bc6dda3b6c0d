/* SPDX-License-Identifier: Apache-2.0 */
/* hub: what comes from the user and from the Hub as text. The input's first line is a name of a
 * model; the rest is an answer of the API, read as a repository, as a page of its tree, and as its
 * revisions. */
#include "fuzz.h"

#include "hub/internal.h"

static void check_name(const char *text)
{
    struct sc_name n;
    struct sc_error e = {0};
    const int code = sc_name_parse(text, "http://localhost:8080/hub", &n, &e);
    if (code < 0) {
        FUZZ_CHECK(code == SCRUPLE_EUSAGE);
        fuzz_check_error(code, &e);
        return;
    }
    FUZZ_CHECK(n.kind <= SC_NAME_URL && n.type <= SC_REPO_SPACE);
    FUZZ_CHECK((n.kind == SC_NAME_HUB) == (n.id != NULL));
    FUZZ_CHECK((n.kind == SC_NAME_URL) == (n.url != NULL));
    if (n.id)
        FUZZ_CHECK(sc_hub_is_id(sc_strz(n.id)) && !strstr(n.id, "..") && !strstr(n.id, "--"));
    if (n.revision)
        FUZZ_CHECK(sc_hub_is_revision(sc_strz(n.revision)) &&
                   sc_path_is_inside(sc_strz(n.revision)));
    if (n.kind == SC_NAME_HUB && n.path)
        FUZZ_CHECK(sc_path_is_inside(sc_strz(n.path)));
    sc_name_clear(&n);
}

static void check_listing(struct sc_hub_listing *l)
{
    sc_hub_listing_sort(l);
    for (size_t i = 0; i < l->n_files; i++) {
        const struct sc_hub_file *f = &l->files[i];
        FUZZ_CHECK(sc_path_is_inside(sc_strz(f->path)) && sc_hub_listing_find(l, f->path) == f);
        FUZZ_CHECK(f->etag[0] == '\0' || sc_hub_is_hex(f->etag, strlen(f->etag) == 40 ? 40 : 64));
        FUZZ_CHECK(f->bytes < (uint64_t)1 << 60 || f->bytes == UINT64_MAX);
        for (const char *p = f->path; *p; p++)
            FUZZ_CHECK((unsigned char)*p >= ' ');
    }
    FUZZ_CHECK(!l->id || sc_hub_is_id(sc_strz(l->id)));
    FUZZ_CHECK(l->commit[0] == '\0' || sc_is_commit(sc_strz(l->commit)));
    sc_hub_listing_clear(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    const size_t n = line ? (size_t)(line - data) : size;
    char *text = fuzz_alloc(n + 1);
    struct sc_hub_listing l = {0};
    size_t strange = 0;
    bool disabled;

    memcpy(text, data, n);
    text[n] = '\0';
    check_name(text);
    const char *body = (const char *)data + (line ? n + 1 : n);
    const size_t left = size - (line ? n + 1 : n);
    const int code = sc_hub_read_repo(body, left, true, &l, &disabled, &strange, NULL);
    FUZZ_CHECK(code == 0 || code == SCRUPLE_EFORMAT);
    FUZZ_CHECK(code < 0 || l.commit[0]);
    check_listing(&l);
    FUZZ_CHECK(sc_hub_read_tree(body, left, &l, &strange, NULL) <= 0);
    check_listing(&l);
    struct sc_buf names = {0};
    (void)sc_hub_read_refs(body, left, text, &names);
    sc_buf_clear(&names);
    free(text);
    return 0;
}
