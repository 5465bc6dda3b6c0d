/* SPDX-License-Identifier: Apache-2.0 */
/* export_facts: what a panel shows of each tensor, in a file of which a page reads single ones. */
#include <errno.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hub/cache.h"
#include "web/export.h"

enum {
    BATCH = 8 /* tensors a thread */,
    LEVEL = 1 /* little text each: more takes longer and saves 2 % */,
    HEAD = 8,
    ENTRY = 16
};

struct fact {
    uint8_t *packed;
    size_t n;
    struct sc_error e;
};
struct facts {
    const struct sc_export_options *o;
    const struct sc_web_view *view;
    uint64_t first;
    struct fact *facts; /* of a batch */
};

static int pack(struct fact *f, const struct sc_buf *text)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(LEVEL);
    const size_t cap = libdeflate_deflate_compress_bound(c, text->n);
    f->packed = c ? sc_alloc(cap) : NULL;
    f->n = f->packed ? libdeflate_deflate_compress(c, text->p, text->n, f->packed, cap) : 0;
    libdeflate_free_compressor(c);
    return f->n ? 0 : sc_fail_memory(&f->e);
}

static void describe(void *ctx, size_t i)
{
    struct facts *x = ctx;
    struct fact *f = &x->facts[i];
    struct sc_buf text = {0};
    struct sc_out o = {.write = sc_export_into, .ctx = &text};

    *f = (struct fact){.n = 0};
    if (x->o->cancel && atomic_load(x->o->cancel))
        return;
    const int code = x->view->kind->tensor(x->view->ctx, x->first + i, &o, &f->e);
    if (sc_out_finish(&o) < 0 && code == 0)
        (void)sc_fail_memory(&f->e);
    else if (code == SCRUPLE_EUSAGE) /* it is not in the picture */
        f->e.code = 0;
    else if (code == 0) {
        f->e.code = 0; /* what cannot be read is a fact, too */
        (void)pack(f, &text);
    }
    sc_buf_clear(&text);
}

static bool write_batch(int fd, struct facts *x, size_t n, uint64_t *at)
{
    uint64_t next = *at;
    uint8_t entry[ENTRY];
    for (size_t i = 0; i < n; next += x->facts[i++].n) {
        memset(entry, 0, sizeof entry);
        sc_put_le(entry, next, 8);
        sc_put_le(entry + 8, x->facts[i].n, 4);
        if (pwrite(fd, entry, ENTRY, (off_t)(HEAD + (x->first + i) * ENTRY)) != ENTRY)
            return false;
    }
    if (lseek(fd, (off_t)*at, SEEK_SET) < 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (x->facts[i].n && !sc_write_all(fd, x->facts[i].packed, x->facts[i].n))
            return false;
        *at += x->facts[i].n;
    }
    return true;
}

static int write_facts(int fd, struct facts *x, uint64_t n, const char *path, struct sc_error *e)
{
    const size_t most = (size_t)BATCH * sc_pool_threads(x->o->pool);
    uint64_t at = HEAD + n * ENTRY;
    uint8_t head[HEAD] = "SCF1";
    int code = 0;

    sc_put_le(head + 4, n, 4);
    x->facts = sc_calloc(most, sizeof *x->facts);
    if (!x->facts)
        return sc_fail_memory(e);
    if (!sc_write_all(fd, head, sizeof head))
        code = sc_export_failed(path, e);
    for (x->first = 0; x->first < n && code == 0; x->first += most) {
        const size_t some = (size_t)SC_MIN((uint64_t)most, n - x->first);
        sc_pool_for(x->o->pool, some, describe, x);
        for (size_t i = 0; i < some && code == 0; i++)
            if (x->facts[i].e.code) {
                *e = x->facts[i].e;
                code = e->code;
            }
        if (x->o->cancel && atomic_load(x->o->cancel))
            code = sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        if (code == 0 && !write_batch(fd, x, some, &at))
            code = sc_export_failed(path, e);
        for (size_t i = 0; i < some; i++)
            free(x->facts[i].packed);
    }
    free(x->facts);
    return code;
}

int sc_export_facts(const struct sc_export_options *o, const struct sc_web_view *v,
                    const char *path, struct sc_error *e)
{
    struct facts x = {.o = o, .view = v};
    struct sc_buf temporary = {0};
    const int fd = sc_open_temporary(&temporary, path, ".tmp", 0666);

    if (fd < 0) {
        sc_buf_clear(&temporary);
        return sc_export_failed(path, e);
    }
    int code = write_facts(fd, &x, v->kind->plan(v->ctx)->model->n_tensors, path, e);
    /* a file in its place is not looked at when a run goes on */
    return sc_export_end(fd, &temporary, path, code, e);
}
