/* SPDX-License-Identifier: Apache-2.0 */
/* values: a hostile model whose tensors are read. The input is an archive (fuzz.h) that is opened
 * strictly and leniently; of every tensor a little is read from the front, the end and the middle,
 * one value at a time and together, and both give the same. At last all of it goes through a
 * sweep. */
#include "fuzz.h"

#include "stream/stream.h"

enum { MOST_TENSORS = 32, SOME = 70 };
#define MOST_BYTES (UINT64_C(4) << 20) /* of a tensor that is swept */

static bool same(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

static void read_some(struct sc_values *v, uint64_t first, uint64_t n)
{
    float together[SOME], alone, runs[SOME];
    double wide[SOME];
    struct sc_error e = {0};
    int code = sc_values_read(v, first, n, together, &e);
    FUZZ_CHECK(code <= 0);
    if (code < 0) {
        fuzz_check_refusal(code, &e, true);
        return;
    }
    FUZZ_CHECK(sc_values_read64(v, first, n, wide, &e) == 0);
    for (uint64_t i = 0; i < n; i++) {
        FUZZ_CHECK(sc_values_read(v, first + i, 1, &alone, &e) == 0);
        FUZZ_CHECK(same(alone, together[i]));
        FUZZ_CHECK(same((float)wide[i], together[i]));
    }
    if (n >= 5) {
        FUZZ_CHECK(sc_values_read_runs(v, first, 2, 2, 3, runs, &e) == 0);
        for (size_t i = 0; i < 6; i++)
            FUZZ_CHECK(same(runs[i], together[i / 3 * 2 + i % 3]));
    }
    if (v->code_bytes) {
        unsigned char scratch[SOME * 4];
        const void *codes;
        FUZZ_CHECK(sc_values_codes(v, first, n, scratch, &codes, &e) == 0 && codes);
    }
}

static void read_tensor(const struct sc_model *m, uint32_t tensor, uint32_t choice)
{
    struct sc_values *v;
    struct sc_buf identity = {0};
    struct sc_error e = {0};
    const int code = sc_values_open(m, tensor, &v, &e);
    FUZZ_CHECK(code <= 0 && !v == (code < 0));
    if (code < 0) {
        fuzz_check_refusal(code, &e, true);
        return;
    }
    uint64_t product;
    FUZZ_CHECK(sc_mul(v->rows, v->cols, &product) && product == v->count);
    FUZZ_CHECK(!v->code_bytes || v->code_bytes == 1 || v->code_bytes == 2 || v->code_bytes == 4);
    const uint64_t n = SC_MIN(v->count, (uint64_t)SOME), last = v->count - n;
    read_some(v, 0, n);
    read_some(v, last, n);
    read_some(v, last ? choice * UINT64_C(0x9e3779b97f4a7c15) % last : 0, n);
    FUZZ_CHECK(sc_values_read(v, v->count, 1, (float[1]){0}, NULL) < 0);
    FUZZ_CHECK(!sc_values_identity(v, &identity)); /* memory has none */
    sc_buf_clear(&identity);
    sc_values_close(v);
}

/* ---------------------------------------------------------------------------------- sweep --- */

static unsigned wants(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    (void)ctx, (void)item;
    return v->count <= MOST_BYTES ? SC_WANT_CODES | SC_WANT_VALUES : 0;
}

static int begin(void *ctx, const struct sc_item *item, const struct sc_values *v, void **total,
                 struct sc_error *e)
{
    (void)ctx, (void)item, (void)v, (void)e;
    *total = fuzz_alloc(sizeof(uint64_t));
    *(uint64_t *)*total = 0;
    return 0;
}

static int part(void *ctx, void *total, unsigned visit, void *reuse, void **out, struct sc_error *e)
{
    (void)ctx, (void)total, (void)visit, (void)e;
    *out = reuse ? reuse : fuzz_alloc(sizeof(uint64_t));
    *(uint64_t *)*out = 0;
    return 0;
}

static void chunk(void *ctx, void *total, void *acc, const struct sc_chunk *c)
{
    (void)ctx, (void)total;
    FUZZ_CHECK(c->values && (!c->codes) == (c->view->code_bytes == 0));
    FUZZ_CHECK((!c->values64) == !c->view->is_double);
    *(uint64_t *)acc += c->n_rows * c->n_cols;
}

static void merge(void *ctx, void *total, void *acc)
{
    (void)ctx;
    *(uint64_t *)total += *(uint64_t *)acc;
}

static void part_free(void *ctx, void *acc)
{
    (void)ctx;
    free(acc);
}

static bool again(void *ctx, void *total, unsigned visit)
{
    (void)ctx, (void)total, (void)visit;
    return false;
}

static int end(void *ctx, const struct sc_item *item, const struct sc_values *v, void *total,
               struct sc_error *e)
{
    (void)ctx, (void)item, (void)e;
    FUZZ_CHECK(*(uint64_t *)total == v->count);
    free(total);
    return 0;
}

static void drop(void *ctx, void *total)
{
    (void)ctx;
    free(total);
}

static int done(void *ctx, size_t item, const struct sc_error *why)
{
    (void)item;
    if (why)
        fuzz_check_refusal(why->code, why, true);
    ++*(size_t *)ctx;
    return 0;
}

static void sweep(const struct sc_model *m, size_t n)
{
    static const struct sc_pass count = {"count", wants,     begin, part, chunk,
                                         merge,   part_free, again, end,  drop};
    const struct sc_pass *passes[] = {&count};
    void *const ctx[] = {NULL};
    static struct sc_item items[MOST_TENSORS];
    struct sc_pool *pool;
    size_t finished = 0;
    FUZZ_CHECK(sc_pool_new(1, &pool, NULL) == 0);
    for (size_t i = 0; i < n; i++)
        items[i] = (struct sc_item){.tensor = (uint32_t)i, .tensor_b = SC_NO_NODE};
    const struct sc_sweep s = {.pool = pool,
                               .model = m,
                               .items = items,
                               .n_items = n,
                               .passes = passes,
                               .pass_ctx = ctx,
                               .n_passes = 1,
                               .done = done,
                               .ctx = &finished};
    FUZZ_CHECK(sc_sweep_run(&s, NULL) == 0);
    FUZZ_CHECK(finished == n);
    sc_pool_free(pool);
}

static void open_model(struct fuzz_archive *a, uint32_t choice, bool lenient)
{
    const struct sc_open_options o = {.keep_repo = true, .lenient = lenient};
    struct sc_model *m;
    struct sc_error e = {0};
    if (sc_model_open_repo(fuzz_repo(a, NULL), &o, &m, &e) < 0)
        return; /* fuzz_model.c looks at that */
    const size_t n = SC_MIN(m->n_tensors, (size_t)MOST_TENSORS);
    for (size_t i = 0; i < n; i++)
        read_tensor(m, (uint32_t)i, choice);
    sweep(m, n);
    sc_model_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_archive archive;
    uint64_t zeros = 0;
    fuzz_archive_read(&archive, data, size);
    for (size_t i = 0; i < archive.n; i++)
        zeros += archive.files[i].zeros;
    if (zeros > MOST_BYTES)
        return 0;
    open_model(&archive, fuzz_choice(data, size), false);
    open_model(&archive, fuzz_choice(data, size), true);
    return 0;
}
