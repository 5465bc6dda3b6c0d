/* SPDX-License-Identifier: Apache-2.0 */
/* support: small models made in memory or in a temporary folder, for tests of format and model.
 *
 * Everything is static and aborts the program on a failure of its own: a test that cannot be set
 * up must not pass. */
#ifndef SC_TEST_SUPPORT_H
#define SC_TEST_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/model.h"
#include "scratch.h"

#if defined(__GNUC__)
#define SUPPORT_UNUSED __attribute__((unused))
#else
#define SUPPORT_UNUSED
#endif

struct blob {
    uint8_t *p;
    size_t n;
};

SUPPORT_UNUSED static void support_fail(const char *what)
{
    fprintf(stderr, "test support: %s\n", what);
    abort();
}

SUPPORT_UNUSED static struct blob blob_new(size_t n)
{
    struct blob b = {calloc(n ? n : 1, 1), n};
    if (!b.p)
        support_fail("no memory");
    return b;
}

/* A safetensors file: the JSON as it is, then `data` bytes of zeros. */
SUPPORT_UNUSED static struct blob st_blob(const char *json, size_t json_len, size_t data)
{
    struct blob b = blob_new(8 + json_len + data);
    for (int i = 0; i < 8; i++)
        b.p[i] = (uint8_t)((uint64_t)json_len >> (8 * i));
    memcpy(b.p + 8, json, json_len);
    return b;
}

SUPPORT_UNUSED static struct blob read_blob(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        support_fail(path);
    fseek(f, 0, SEEK_END);
    struct blob b = blob_new((size_t)ftell(f));
    rewind(f);
    if (fread(b.p, 1, b.n, f) != b.n)
        support_fail(path);
    fclose(f);
    return b;
}

/* A fresh scratch folder; remove it with remove_folder() before the next. */
SUPPORT_UNUSED static char *make_folder(void)
{
    if (!scratch_new())
        support_fail("mkdtemp");
    return scratch_root;
}

SUPPORT_UNUSED static void write_file(const char *folder, const char *name, const void *p, size_t n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0)
        support_fail(path);
}

SUPPORT_UNUSED static void write_st(const char *folder, const char *name, const char *json,
                                    size_t data)
{
    struct blob b = st_blob(json, strlen(json), data);
    write_file(folder, name, b.p, b.n);
    free(b.p);
}

SUPPORT_UNUSED static void remove_folder(char *folder)
{
    scratch_remove_tree(folder);
}

SUPPORT_UNUSED static int open_blob(struct blob b, const struct sc_open_options *o,
                                    struct sc_model **m, struct sc_error *e)
{
    struct sc_repo *repo = NULL;
    *m = NULL;
    const int status = sc_repo_open_memory(b.p, b.n, "test.bin", &repo, e);
    return status < 0 ? status : sc_model_open_repo(repo, o, m, e);
}

SUPPORT_UNUSED static const struct sc_finding *finding(const struct sc_catalog *c, const char *id)
{
    for (size_t i = 0; i < c->n_findings; i++)
        if (strcmp(c->findings[i].id, id) == 0)
            return &c->findings[i];
    return NULL;
}

#endif
