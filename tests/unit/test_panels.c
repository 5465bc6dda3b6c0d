/* SPDX-License-Identifier: Apache-2.0 */
/* Panels: every value once, in its place, merged in order, the same for any number of threads; what
 * is asked for ahead; what happens when reading or memory fails in the middle. */
#include "oom.h"
#include "stream/values.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#include "st_maker.h"

/* ------------------------------------------------------------------- a view that is computed ---
 * Value i is i mod 2^24, so that every float tells its place. */
struct fake {
    struct sc_values base;
    uint64_t bad; /* a read that wants this value fails; UINT64_MAX: none does */
    _Atomic uint64_t read, asked;
    _Atomic int *cancel; /* set after `patience` reads */
    _Atomic int patience;
};

static int fake_read(struct sc_values *base, uint64_t first, uint64_t n, float *floats,
                     double *doubles, struct sc_error *e)
{
    struct fake *f = (struct fake *)base;
    (void)doubles;
    if (f->bad >= first && f->bad - first < n)
        return sc_fail(e, SCRUPLE_EFORMAT, "value %llu is bad", (unsigned long long)f->bad);
    for (uint64_t i = 0; i < n; i++)
        floats[i] = (float)((first + i) % (1 << 24));
    atomic_fetch_add(&f->read, n);
    if (f->cancel && atomic_fetch_sub(&f->patience, 1) == 1)
        atomic_store(f->cancel, 1);
    return 0;
}

static void fake_ask(struct sc_values *base, uint64_t first, uint64_t n)
{
    struct fake *f = (struct fake *)base;
    (void)first;
    atomic_fetch_add(&f->asked, n);
}

static const struct sc_values_ops fake_ops = {.read = fake_read, .prefetch = fake_ask};
static const struct sc_tensor fake_tensor = {.name = "fake", .name_len = 4};

static struct fake fake_of(uint64_t matrices, uint64_t rows, uint64_t cols)
{
    return (struct fake){.base = {.tensor = &fake_tensor,
                                  .count = matrices * rows * cols,
                                  .rows = matrices * rows,
                                  .cols = cols,
                                  .ops = &fake_ops},
                         .bad = UINT64_MAX};
}

/* -------------------------------------------------------------------------- what is looked at ---
 */
struct sum {
    double sum;
    uint64_t n, index;
};
struct book {
    const struct sc_panels *p;
    uint8_t *seen; /* (count) how often */
    uint64_t next, merged;
    double order; /* depends on the order of merging */
    bool wrong;
    _Atomic int inside;
};

static void look(void *ctx, const struct sc_rectangle *at, void *scratch, void *part)
{
    struct book *b = ctx;
    const struct sc_panels *p = b->p;
    struct sum *s = part;
    if ((uintptr_t)scratch % 64 || s->n || s->sum > 0)
        b->wrong = true;
    memset(scratch, 0xaa, p->scratch);
    for (uint64_t i = 0; i < at->n_rows; i++)
        for (uint64_t j = 0; j < at->n_cols; j++) {
            const uint64_t place = (at->matrix * p->rows + at->row + i) * p->cols + at->col + j;
            const float v = at->values[i * at->n_cols + j];
            if (place >= p->view->count || v != (float)(place % (1 << 24)))
                b->wrong = true;
            else
                b->seen[place]++;
            s->sum += (double)v;
        }
    s->n = (uint64_t)at->n_rows * at->n_cols;
    s->index = at->index;
}

static void merge(void *ctx, const struct sc_rectangle *at, const void *part)
{
    struct book *b = ctx;
    const struct sum *s = part;
    if (atomic_fetch_add(&b->inside, 1) || at->values || s->index != at->index ||
        (b->merged && at->index < b->next))
        b->wrong = true;
    b->next = at->index + 1;
    b->merged++;
    b->order = b->order * 0.999 + s->sum;
    atomic_fetch_sub(&b->inside, 1);
}

static int visit(struct fake *f, struct sc_panels *p, unsigned threads, struct book *b,
                 struct sc_error *e)
{
    struct sc_pool *pool = NULL;
    TRY(sc_pool_new(threads, &pool, e));
    const struct sc_parallel parallel = sc_pool_parallel(pool);
    p->view = &f->base;
    p->part = sizeof(struct sum);
    p->scratch = 1000;
    p->look = look;
    p->merge = merge;
    p->ctx = b;
    p->p = &parallel;
    b->p = p;
    b->seen = calloc(f->base.count + 1, 1);
    const int code = b->seen ? sc_panels_visit(p, e) : SCRUPLE_EMEMORY;
    sc_pool_free(pool);
    return code;
}

/* Every value once; returns what depends on the order of merging. */
static double check_all(uint64_t matrices, uint64_t rows, uint64_t cols, uint32_t height,
                        uint32_t width, unsigned threads)
{
    struct fake f = fake_of(matrices, rows, cols);
    struct sc_panels p = {
        .matrices = matrices, .rows = rows, .cols = cols, .height = height, .width = width};
    struct book b = {0};
    struct sc_error e = {0};
    CHECK_ERR(0, visit(&f, &p, threads, &b, &e));
    CHECK(!b.wrong);
    CHECK_U64(b.merged, sc_panels_count(&p));
    CHECK_U64(f.read, f.base.count);
    CHECK(f.asked >= f.base.count / 2); /* asked for before it was read */
    for (uint64_t i = 0; i < f.base.count; i++)
        if (b.seen[i] != 1) {
            CHECK_U64(b.seen[i], 1);
            break;
        }
    free(b.seen);
    return b.order;
}

TEST(every_value_comes_once_and_in_its_place)
{
    static const struct {
        uint64_t matrices, rows, cols;
        uint32_t height, width;
    } shapes[] = {{1, 1, 1, 1, 1},         {1, 1, 1, 32, 256},       {1, 0, 5, 4, 4},
                  {0, 7, 7, 4, 4},         {1, 5, 0, 4, 4},          {1, 70, 100, 32, 64},
                  {3, 33, 65, 32, 32},     {7, 2, 3, 32, 256},       {1, 1, 100000, 1, 1024},
                  {1, 100000, 1, 1024, 1}, {1, 4096, 3, 64, 2},      {50, 1, 1, 1, 1},
                  {1, 64, 64, 64, 64},     {2, 300, 300, 1024, 512}, {1, 3, 5000, 2, 999}};
    for (size_t i = 0; i < SC_COUNT(shapes); i++) {
        double first = 0;
        for (unsigned threads = 1; threads <= 8; threads *= 2) {
            const double got = check_all(shapes[i].matrices, shapes[i].rows, shapes[i].cols,
                                         shapes[i].height, shapes[i].width, threads);
            if (threads == 1)
                first = got;
            CHECK_BITS(&got, &first, sizeof got);
        }
    }
}

TEST(some_panels_alone)
{
    static const uint64_t only[] = {0, 1, 5, 8, 17};
    for (unsigned threads = 1; threads <= 4; threads *= 4) {
        struct fake f = fake_of(2, 64, 90);
        struct sc_panels p = {.matrices = 2,
                              .rows = 64,
                              .cols = 90,
                              .height = 32,
                              .width = 20,
                              .only = only,
                              .n_only = SC_COUNT(only)};
        struct book b = {0};
        struct sc_error e = {0};
        CHECK_ERR(0, visit(&f, &p, threads, &b, &e));
        CHECK_U64(sc_panels_count(&p), 20);
        CHECK(!b.wrong);
        CHECK_U64(b.merged, 5);
        CHECK_U64(f.read, 32 * (20 + 20 + 20 + 20 + 20));
        CHECK_U64(b.seen[63 * 90 + 79], 1); /* panel 8 ends there */
        CHECK_U64(b.seen[63 * 90 + 80], 0);
        free(b.seen);
    }
}

TEST(shapes_that_do_not_fit_are_refused)
{
    static const uint64_t twice[] = {1, 1}, beyond[] = {4};
    struct fake f = fake_of(1, 8, 8);
    struct book b = {0};
    struct sc_error e = {0};
    struct sc_panels p = {.matrices = 1, .rows = 8, .cols = 7, .height = 4, .width = 4};
    CHECK_ERR(SCRUPLE_EUSAGE, visit(&f, &p, 1, &b, &e));
    CHECK_U64(sc_panels_count(&p), UINT64_MAX);
    p.cols = 8;
    p.height = 0;
    CHECK_ERR(SCRUPLE_EUSAGE, sc_panels_visit(&p, &e));
    p.height = UINT32_MAX;
    CHECK_ERR(SCRUPLE_EUSAGE, sc_panels_visit(&p, &e));
    p.height = 4;
    p.only = twice;
    p.n_only = 2;
    CHECK_ERR(SCRUPLE_EUSAGE, sc_panels_visit(&p, &e));
    p.only = beyond;
    p.n_only = 1;
    CHECK_ERR(SCRUPLE_EUSAGE, sc_panels_visit(&p, &e));
    free(b.seen);
}

/* ---------------------------------------------------------------------------------- codes --- */
enum { CODE_ROWS = 96, CODE_COLS = 4096 };

static void look_at_codes(void *ctx, const struct sc_rectangle *at, void *scratch, void *part)
{
    struct book *b = ctx;
    struct sum *s = part;
    (void)scratch;
    if (at->values)
        b->wrong = true;
    for (uint64_t i = 0; i < at->n_rows; i++)
        for (uint64_t j = 0; j < at->n_cols; j++) {
            const uint64_t place = (at->row + i) * CODE_COLS + at->col + j;
            const uint8_t *code = at->codes + i * at->stride + 2 * j;
            if ((uint16_t)(code[0] | code[1] << 8) != (uint16_t)(place * 40503))
                b->wrong = true;
            b->seen[place]++;
        }
    s->n = (uint64_t)at->n_rows * at->n_cols;
    s->index = at->index;
}

static void check_codes(const struct sc_model *m, uint32_t height, uint32_t width, unsigned threads)
{
    struct sc_error e = {0};
    struct sc_values *v;
    struct sc_pool *pool = NULL;
    CHECK_ERR(0, sc_values_open(m, 0, &v, &e));
    CHECK_ERR(0, sc_pool_new(threads, &pool, &e));
    const struct sc_parallel parallel = sc_pool_parallel(pool);
    struct book b = {.seen = calloc(v->count, 1)};
    const struct sc_panels p = {.view = v,
                                .matrices = 1,
                                .rows = CODE_ROWS,
                                .cols = CODE_COLS,
                                .height = height,
                                .width = width,
                                .part = sizeof(struct sum),
                                .codes = true,
                                .look = look_at_codes,
                                .merge = merge,
                                .ctx = &b,
                                .p = &parallel};
    CHECK_ERR(0, sc_panels_visit(&p, &e));
    CHECK(!b.wrong);
    for (uint64_t i = 0; i < v->count; i++)
        if (b.seen[i] != 1) {
            CHECK_U64(b.seen[i], 1);
            break;
        }
    free(b.seen);
    sc_pool_free(pool);
    sc_values_close(v);
}

/* In memory, mapped from a file, and read from one; whole rows and parts of them. */
TEST(codes_are_those_that_are_stored)
{
    static uint16_t codes[CODE_ROWS * CODE_COLS];
    struct st_maker maker = {0};
    char *folder = make_folder(), path[640];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    for (size_t i = 0; i < SC_COUNT(codes); i++)
        codes[i] = (uint16_t)(i * 40503);
    st_add(&maker, "w", "BF16", "[96,4096]", codes, sizeof codes);
    struct blob blob = st_finish(&maker);
    write_file(folder, "model.safetensors", blob.p, blob.n);
    struct sc_model *models[] = {open_kept(blob), open_path(path)};
    for (size_t i = 0; i < SC_COUNT(models); i++) {
        for (unsigned threads = 1; threads <= 3; threads += 2) {
            check_codes(models[i], 32, CODE_COLS, threads);
            check_codes(models[i], 40, 1000, threads);
            check_codes(models[i], 1, 4095, threads);
        }
        sc_model_close(models[i]);
    }
    remove_folder(folder);
    free(blob.p);
    struct fake f = fake_of(1, 8, 8); /* is computed, so it has none */
    struct sc_panels p = {.view = &f.base,
                          .matrices = 1,
                          .rows = 8,
                          .cols = 8,
                          .height = 4,
                          .width = 4,
                          .codes = true};
    struct sc_error e = {0};
    CHECK_ERR(SCRUPLE_EUSAGE, sc_panels_visit(&p, &e));
}

TEST(the_first_failure_is_told)
{
    for (unsigned threads = 1; threads <= 8; threads *= 2) {
        struct fake f = fake_of(1, 1000, 100);
        struct sc_panels p = {.matrices = 1, .rows = 1000, .cols = 100, .height = 10, .width = 50};
        struct book b = {0};
        struct sc_error e = {0};
        f.bad = 50000; /* panel 100 */
        CHECK_ERR(SCRUPLE_EFORMAT, visit(&f, &p, threads, &b, &e));
        CHECK_STR(e.text, "value 50000 is bad");
        CHECK(!b.wrong);
        CHECK_U64(b.merged, 100);
        free(b.seen);
    }
}

TEST(a_cancel_ends_it)
{
    for (unsigned threads = 1; threads <= 8; threads *= 2) {
        _Atomic int cancel = 0;
        struct fake f = fake_of(1, 1000, 100);
        struct sc_panels p = {.matrices = 1,
                              .rows = 1000,
                              .cols = 100,
                              .height = 10,
                              .width = 100,
                              .cancel = &cancel};
        struct book b = {0};
        struct sc_error e = {0};
        f.cancel = &cancel;
        f.patience = 5;
        CHECK_ERR(SCRUPLE_EINTERRUPTED, visit(&f, &p, threads, &b, &e));
        CHECK(!b.wrong);
        CHECK(b.merged < 5 + 2 * threads);
        free(b.seen);
    }
}

TEST(memory_may_fail_anywhere)
{
    for (unsigned threads = 1; threads <= 2; threads++)
        for (uint64_t k = 0;; k++) {
            struct fake f = fake_of(2, 40, 40);
            struct sc_panels p = {.matrices = 2, .rows = 40, .cols = 40, .height = 32, .width = 32};
            struct book b = {0};
            struct sc_error e = {0};
            sc_oom_fail_at(k);
            const int code = visit(&f, &p, threads, &b, &e);
            const bool reached = sc_oom_failed() > 0;
            sc_oom_off();
            CHECK_ERR(reached ? SCRUPLE_EMEMORY : 0, code);
            free(b.seen);
            if (!reached)
                break;
        }
}
