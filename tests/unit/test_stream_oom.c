/* SPDX-License-Identifier: Apache-2.0 */
/* Streams without memory: every allocation fails in turn, while views are opened and read and while
 * a sweep goes over them. What comes is an error or the right values, and everything is freed. */
#include "oom.h"
#include "stream/stream.h"

#include "test.h"

#include <stdlib.h>

#include "st_maker.h"

static int read_all(const struct sc_model *m)
{
    int code = 0;
    for (uint32_t i = 0; code == 0 && i < m->n_tensors; i++) {
        struct sc_values *v = NULL;
        struct sc_buf identity = {0};
        static float values[1 << 16];
        code = sc_values_open(m, i, &v, NULL);
        if (code == SCRUPLE_EUNSUPPORTED) {
            code = 0;
            continue;
        }
        if (code == 0)
            code = sc_values_read(v, 0, SC_MIN(v->count, SC_COUNT(values)), values, NULL);
        if (code == 0 && !sc_values_identity(v, &identity) && identity.failed)
            code = SCRUPLE_EMEMORY;
        sc_buf_clear(&identity);
        sc_values_close(v);
    }
    return code;
}

static unsigned wants(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    (void)ctx, (void)item, (void)v;
    return SC_WANT_CODES | SC_WANT_VALUES;
}

static int begin(void *ctx, const struct sc_item *item, const struct sc_values *v, void **total,
                 struct sc_error *e)
{
    (void)item, (void)v;
    *total = sc_alloc(8);
    if (!*total)
        return sc_fail_memory(e);
    ++*(_Atomic int *)ctx;
    return 0;
}

static int part(void *ctx, void *total, unsigned visit, void *reuse, void **out, struct sc_error *e)
{
    (void)ctx, (void)total, (void)visit;
    *out = reuse ? reuse : sc_alloc(8);
    return *out ? 0 : sc_fail_memory(e);
}

static void chunk(void *ctx, void *total, void *acc, const struct sc_chunk *c)
{
    (void)ctx, (void)total, (void)acc, (void)c;
}

static void merge(void *ctx, void *total, void *acc)
{
    (void)ctx, (void)total, (void)acc;
}

static void part_free(void *ctx, void *acc)
{
    (void)ctx;
    free(acc);
}

static bool again(void *ctx, void *total, unsigned visit)
{
    (void)ctx, (void)total;
    return visit == 0;
}

static int end(void *ctx, const struct sc_item *item, const struct sc_values *v, void *total,
               struct sc_error *e)
{
    (void)item, (void)v, (void)e;
    --*(_Atomic int *)ctx;
    free(total);
    return 0;
}

static void drop(void *ctx, void *total)
{
    --*(_Atomic int *)ctx;
    free(total);
}

static const struct sc_pass pass = {"oom", wants,     begin, part, chunk,
                                    merge, part_free, again, end,  drop};
static _Atomic int totals; /* that were made and not freed */

static int sweep_all(const struct sc_model *m, struct sc_item *items, unsigned threads)
{
    const struct sc_pass *passes[] = {&pass};
    void *const ctx[] = {&totals};
    struct sc_pool *pool;
    TRY(sc_pool_new(threads, &pool, NULL));
    const struct sc_sweep s = {.pool = pool,
                               .model = m,
                               .items = items,
                               .n_items = m->n_tensors,
                               .passes = passes,
                               .pass_ctx = ctx,
                               .n_passes = 1};
    const int code = sc_sweep_run(&s, NULL);
    sc_pool_free(pool);
    return code;
}

static void check_model(const char *path, unsigned threads)
{
    struct sc_item items[64];
    bool reached = true;
    for (uint32_t i = 0; i < 64; i++)
        items[i] = (struct sc_item){.tensor = i, .tensor_b = SC_NO_NODE};
    for (uint64_t k = 0; reached; k++) {
        struct sc_model *m = open_path(path);
        REQUIRE(m->n_tensors <= 64);
        sc_oom_fail_at(k);
        const int code = threads ? sweep_all(m, items, threads) : read_all(m);
        reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK(code == SCRUPLE_EMEMORY || code == 0); /* some memory is only for better words */
        CHECK(reached || code == 0);
        CHECK_U64(totals, 0);
        sc_model_close(m);
    }
}

TEST(views_without_memory)
{
    check_model(SC_TESTDATA "/torch/zip-p2.pt", 0);
    check_model(SC_TESTDATA "/torch/numpy-compressed.npz", 0);
    check_model(SC_FIXTURES "/torch-shared", 0);
    check_model(SC_FIXTURES "/gptq", 0);
}

TEST(sweeps_without_memory)
{
    check_model(SC_TESTDATA "/torch/numpy-compressed.npz", 1);
    check_model(SC_TESTDATA "/torch/zip-p2.pt", 2);
    check_model(SC_FIXTURES "/awq", 3);
}
