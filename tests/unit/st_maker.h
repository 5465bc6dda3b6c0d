/* SPDX-License-Identifier: Apache-2.0 */
/* st_maker: safetensors files in memory with data that matter, for the tests of streams. Include
 * after test.h and support.h. */
#ifndef SC_TEST_ST_MAKER_H
#define SC_TEST_ST_MAKER_H

#include "support.h"

struct st_maker {
    struct sc_buf json, data;
};

/* One more tensor; `shape` as in JSON: "[2,3]". */
static inline void st_add(struct st_maker *m, const char *name, const char *dtype,
                          const char *shape, const void *p, size_t n)
{
    sc_buf_printf(&m->json, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                  m->json.n ? "," : "{", name, dtype, shape, m->data.n, m->data.n + n);
    sc_buf_put(&m->data, p, n);
}

/* The file; the maker is empty then. */
static inline struct blob st_finish(struct st_maker *m)
{
    sc_buf_puts(&m->json, m->json.n ? "}" : "{}");
    while (m->json.n % 8)
        sc_buf_putc(&m->json, ' ');
    struct blob b = st_blob(m->json.p, m->json.n, m->data.n);
    if (m->data.n)
        memcpy(b.p + 8 + m->json.n, m->data.p, m->data.n);
    if (m->json.failed || m->data.failed)
        support_fail("no memory");
    sc_buf_clear(&m->json);
    sc_buf_clear(&m->data);
    return b;
}

/* A model whose tensors can be read. `b` must outlive it. */
static inline struct sc_model *open_kept(struct blob b)
{
    const struct sc_open_options o = {.keep_repo = true};
    struct sc_model *m = NULL;
    struct sc_error e = {0};
    if (open_blob(b, &o, &m, &e) < 0)
        support_fail(e.text);
    return m;
}

static inline struct sc_model *open_path(const char *path)
{
    const struct sc_open_options o = {.keep_repo = true};
    struct sc_model *m = NULL;
    struct sc_error e = {0};
    if (sc_model_open(path, &o, &m, &e) < 0)
        support_fail(e.text);
    return m;
}

static inline uint32_t tensor_named(const struct sc_model *m, const char *name)
{
    for (uint32_t i = 0; i < m->n_tensors; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return i;
    support_fail(name);
    return 0;
}

static inline uint32_t st_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
