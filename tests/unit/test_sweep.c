/* SPDX-License-Identifier: Apache-2.0 */
/* Sweeps: every value once, the same bits for any number of threads, and what happens to the others
 * when one fails. */
#include "stream/pool.h"

#include "test.h"

#include <stdlib.h>
#include <time.h>

#include "st_maker.h"

/* --------------------------------------------------------------------------- a recording pass ---
 * Its total is a sum in float, which tells the order of additions, and a hash of the order in which
 * segments and chunks came. */
struct seen {
    uint64_t values, chunks, merges, visits;
    double sum; /* of parts, in order of merging */
    uint64_t order;
    struct sc_error why;
    bool is_done, failed;
};

struct part {
    uint64_t values, chunks, begin, order;
    float sum;
    unsigned visit;
    bool empty;
};

struct recorder {
    unsigned want, visits;
    _Atomic size_t begun, ended, dropped, parts_asked, parts_made, parts_freed;
    _Atomic bool wrong;
    _Atomic int *cancel_after; /* chunks until cancel is set; NULL: never */
    _Atomic int chunks_left, cancel;
    size_t fail_part_at; /* 0: never */
};

struct total {
    struct seen *seen;
    const struct sc_values *view;
    uint64_t next; /* value where the next merge should begin */
    _Atomic int merging;
};

static unsigned wants(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    const struct recorder *r = ctx;
    (void)item, (void)v;
    return r->want;
}

static int begin(void *ctx, const struct sc_item *item, const struct sc_values *v, void **total,
                 struct sc_error *e)
{
    struct recorder *r = ctx;
    struct total *t = calloc(1, sizeof *t);
    (void)e;
    t->seen = item->user;
    t->view = v;
    r->begun++;
    *total = t;
    return 0;
}

static int start_part(void *ctx, void *total, unsigned visit, void *reuse, void **out,
                      struct sc_error *e)
{
    struct recorder *r = ctx;
    struct part *p = reuse;
    (void)total;
    if (!p) {
        if (++r->parts_asked == r->fail_part_at)
            return sc_fail(e, SCRUPLE_ELIMIT, "one part too many");
        p = calloc(1, sizeof *p);
        r->parts_made++;
    } else if (!p->empty) {
        r->wrong = true;
    }
    *p = (struct part){.begin = UINT64_MAX, .visit = visit};
    *out = p;
    return 0;
}

static bool whole_rows(const struct sc_chunk *c)
{
    return c->col == 0 && c->n_cols == c->view->cols;
}

static void take_chunk(void *ctx, void *total, void *acc, const struct sc_chunk *c)
{
    struct recorder *r = ctx;
    struct part *p = acc;
    const struct total *t = total;
    const uint64_t n = c->n_rows * c->n_cols, at = c->row * c->view->cols + c->col;
    if (c->view != t->view || n == 0 || n > SC_CHUNK_VALUES || (!whole_rows(c) && c->n_rows != 1) ||
        (p->begin != UINT64_MAX && at != p->begin + p->values))
        r->wrong = true;
    if (p->begin == UINT64_MAX)
        p->begin = at;
    p->values += n;
    p->chunks++;
    p->order = sc_hash_mix(p->order, at);
    /* Of large tensors some: sanitizers make every look dear. */
    const uint64_t step = c->view->count > 100000 ? 61 : 1;
    for (uint64_t i = 0; c->values && i < n; i += step)
        p->sum += c->values[i] * (c->values_b ? c->values_b[i] : 1);
    for (uint64_t i = 0; c->codes && i < n * c->view->code_bytes; i += step)
        p->order = p->order * 31 + ((const uint8_t *)c->codes)[i];
    if (c->values64)
        p->sum += (float)c->values64[n - 1];
    if (r->cancel_after && --r->chunks_left == 0)
        r->cancel = 1;
}

static void merge(void *ctx, void *total, void *acc)
{
    struct recorder *r = ctx;
    struct total *t = total;
    struct part *p = acc;
    if (t->merging++ || p->begin != t->next || p->visit != t->seen->visits || p->empty)
        r->wrong = true;
    t->next += p->values;
    t->seen->values += p->visit == 0 ? p->values : 0;
    t->seen->chunks += p->chunks;
    t->seen->merges++;
    t->seen->sum += (double)p->sum;
    t->seen->sum *= 1.0000001; /* order matters */
    t->seen->order = t->seen->order * 31 + p->order % 1000003;
    p->empty = true;
    t->merging--;
}

static void part_free(void *ctx, void *acc)
{
    struct recorder *r = ctx;
    r->parts_freed++;
    free(acc);
}

static bool again(void *ctx, void *total, unsigned visit)
{
    const struct recorder *r = ctx;
    struct total *t = total;
    t->seen->visits = visit + 1;
    t->next = 0;
    return visit + 1 < r->visits;
}

static int end(void *ctx, const struct sc_item *item, const struct sc_values *v, void *total,
               struct sc_error *e)
{
    struct recorder *r = ctx;
    struct total *t = total;
    (void)e;
    if (t->view != v || t->seen != item->user)
        r->wrong = true;
    r->ended++;
    free(t);
    return 0;
}

static void drop(void *ctx, void *total)
{
    struct recorder *r = ctx;
    r->dropped++;
    free(total);
}

static const struct sc_pass recording = {"recording", wants,     begin, start_part, take_chunk,
                                         merge,       part_free, again, end,        drop};

/* ---------------------------------------------------------------------------------- running --- */

struct run {
    struct recorder r;
    struct seen *seen;
    size_t n_done, n_failed, stop_after;
    uint64_t last_progress, total_progress;
    _Atomic int inside; /* done and progress: one at a time */
    bool overlapped;
};

static int on_done(void *ctx, size_t item, const struct sc_error *why)
{
    struct run *run = ctx;
    run->overlapped |= run->inside++ != 0;
    run->overlapped |= run->seen[item].is_done;
    run->seen[item].is_done = true;
    run->seen[item].failed = why != NULL;
    if (why)
        run->seen[item].why = *why;
    run->n_done++;
    run->n_failed += why != NULL;
    run->inside--;
    return run->stop_after && run->n_done >= run->stop_after ? SCRUPLE_EINTERRUPTED : 0;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    struct run *run = ctx;
    (void)tensor;
    run->overlapped |= run->inside++ != 0;
    run->overlapped |= done < run->last_progress || done > total;
    run->last_progress = done;
    run->total_progress = total;
    run->inside--;
}

struct sc_item *items_of(const struct sc_model *m, struct seen *seen);
struct sc_item *items_of(const struct sc_model *m, struct seen *seen)
{
    struct sc_item *items = calloc(m->n_tensors + 1, sizeof *items);
    for (uint32_t i = 0; i < m->n_tensors; i++)
        items[i] = (struct sc_item){.tensor = i, .tensor_b = SC_NO_NODE, .user = &seen[i]};
    return items;
}

/* Sweeps all tensors; `seen` gets what the pass saw. */
static int sweep(const struct sc_model *m, struct sc_item *items, unsigned threads, struct run *run,
                 const struct sc_task *task, uint64_t memory, struct sc_error *e)
{
    const struct sc_pass *passes[] = {&recording};
    void *const pass_ctx[] = {&run->r};
    struct sc_pool *pool = NULL;
    if (sc_pool_new(threads, &pool, e) < 0)
        support_fail("no threads");
    const struct sc_sweep s = {.pool = pool,
                               .model = m,
                               .items = items,
                               .n_items = m->n_tensors,
                               .passes = passes,
                               .pass_ctx = pass_ctx,
                               .n_passes = 1,
                               .task = task,
                               .task_ctx = run,
                               .memory = memory,
                               .cancel = &run->r.cancel,
                               .done = on_done,
                               .progress = on_progress,
                               .ctx = run};
    const int code = sc_sweep_run(&s, e);
    sc_pool_free(pool);
    CHECK(!run->overlapped);
    CHECK(!run->r.wrong);
    CHECK_U64(run->r.begun, run->r.ended + run->r.dropped);
    CHECK_U64(run->r.parts_made, run->r.parts_freed);
    return code;
}

/* A model of many shapes: narrow, wide, wider than a segment, tiny, empty, doubles, bytes. */
static struct blob many_shapes(void)
{
    static const struct {
        const char *name, *dtype, *shape;
        size_t values, size;
    } tensors[] = {
        {"square", "F32", "[2500,2500]", 6250000, 4},
        {"narrow", "BF16", "[1500000,3]", 4500000, 2},
        {"wide", "BF16", "[5,300000]", 1500000, 2},
        {"wider", "U8", "[2,5000000]", 10000000, 1},
        {"row", "F16", "[4194305]", 4194305, 2},
        {"exact", "U8", "[64,65536]", 4194304, 1},
        {"doubles", "F64", "[700,300]", 210000, 8},
        {"ints", "I32", "[1000,100]", 100000, 4},
        {"scalar", "F32", "[]", 1, 4},
        {"empty", "F32", "[7,0]", 0, 4},
        {"small", "F4", "[3,6]", 18, 0},
    };
    struct st_maker maker = {0};
    uint32_t random = 99;
    for (size_t i = 0; i < SC_COUNT(tensors); i++) {
        const size_t n = tensors[i].size ? tensors[i].values * tensors[i].size : 9;
        uint8_t *p = malloc(n + 1);
        for (size_t k = 0; k < n; k++)
            p[k] = (uint8_t)st_random(&random) & 0xbf; /* no exponent of all ones */
        st_add(&maker, tensors[i].name, tensors[i].dtype, tensors[i].shape, p, n);
        free(p);
    }
    return st_finish(&maker);
}

static void check_same(const struct seen *a, const struct seen *b, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (a[i].values != b[i].values || a[i].order != b[i].order || a[i].chunks != b[i].chunks ||
            memcmp(&a[i].sum, &b[i].sum, sizeof a[i].sum) != 0) {
            fprintf(stderr, "%s: tensor %zu differs\n", what, i);
            CHECK(false);
        }
}

/* One thread is compared with many, and all values are seen. */
static void check_threads(const char *what, unsigned want, unsigned visits, struct sc_model *m,
                          struct sc_model *other)
{
    struct seen *first = calloc(m->n_tensors, sizeof *first),
                *now = calloc(m->n_tensors, sizeof *now);
    for (unsigned threads = 1; threads <= 8; threads += threads < 4 ? 1 : 4) {
        struct run run = {.r = {.want = want, .visits = visits},
                          .seen = threads == 1 ? first : now};
        struct sc_error e = {0};
        memset(run.seen, 0, m->n_tensors * sizeof *now);
        struct sc_item *items = items_of(m, run.seen);
        for (uint32_t i = 0; other && i < m->n_tensors; i++) {
            items[i].tensor_b = i;
            items[i].model_b = other;
        }
        CHECK_ERR(0, sweep(m, items, threads, &run, NULL, 0, &e));
        CHECK_U64(run.n_done, m->n_tensors);
        CHECK_U64(run.n_failed, 0);
        CHECK_U64(run.last_progress, run.total_progress);
        CHECK_U64(run.total_progress, m->bytes * (other ? 2 : 1));
        for (uint32_t i = 0; i < m->n_tensors; i++)
            CHECK_U64(run.seen[i].values, m->tensors[i].parameters);
        if (threads > 1)
            check_same(first, now, m->n_tensors, what);
        free(items);
    }
    free(first);
    free(now);
}

TEST(any_number_of_threads_gives_the_same_bits)
{
    struct blob b = many_shapes();
    struct sc_model *m = open_kept(b);
    check_threads("values", SC_WANT_VALUES, 1, m, NULL);
    check_threads("codes", SC_WANT_CODES, 2, m, NULL);
    sc_model_close(m);
    free(b.p);
}

TEST(files_give_what_memory_gives)
{
    struct blob b = many_shapes();
    const char *folder = make_folder();
    write_file(folder, "model.safetensors", b.p, b.n);
    struct sc_model *m = open_path(folder), *twin = open_kept(b);
    struct seen a[16] = {{0}}, c[16] = {{0}};
    struct run one = {.r = {.want = 3, .visits = 1}, .seen = a},
               two = {.r = {.want = 3, .visits = 1}, .seen = c};
    struct sc_item *items = items_of(m, a), *others = items_of(twin, c);
    CHECK_ERR(0, sweep(m, items, 3, &one, NULL, 0, NULL));
    CHECK_ERR(0, sweep(twin, others, 2, &two, NULL, 0, NULL));
    check_same(a, c, m->n_tensors, "file");
    free(items);
    free(others);
    check_threads("pairs", SC_WANT_VALUES, 1, m, twin);
    sc_model_close(m);
    sc_model_close(twin);
    remove_folder(scratch_root);
    free(b.p);
}

/* What the pass sums up is what a plain read sums up. */
TEST(sums_are_those_of_plain_reads)
{
    struct sc_model *m = open_path(SC_FIXTURES "/llama-tiny");
    struct seen *seen = calloc(m->n_tensors, sizeof *seen);
    struct run run = {.r = {.want = SC_WANT_VALUES, .visits = 1}, .seen = seen};
    struct sc_item *items = items_of(m, seen);
    CHECK_ERR(0, sweep(m, items, 2, &run, NULL, 0, NULL));
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        struct sc_values *v = NULL;
        REQUIRE(sc_values_open(m, i, &v, NULL) == 0);
        float *f = calloc((size_t)v->count, sizeof *f), sum = 0;
        REQUIRE(sc_values_read(v, 0, v->count, f, NULL) == 0);
        for (uint64_t k = 0; k < v->count; k++)
            sum += f[k];
        CHECK_NEAR(seen[i].sum, (double)sum * 1.0000001, 1e-12);
        free(f);
        sc_values_close(v);
    }
    free(items);
    free(seen);
    sc_model_close(m);
}

TEST(many_tiny_tensors)
{
    enum { MANY = 5000 };
    struct st_maker maker = {0};
    for (unsigned i = 0; i < MANY; i++) {
        char name[32];
        const float value[2] = {(float)i, 1};
        snprintf(name, sizeof name, "t%u", i);
        st_add(&maker, name, "F32", i % 3 ? "[2]" : "[1,2]", value, 8);
    }
    struct blob b = st_finish(&maker);
    struct sc_model *m = open_kept(b);
    check_threads("tiny", SC_WANT_VALUES, 1, m, NULL);
    sc_model_close(m);
    free(b.p);
}

/* -------------------------------------------------------------------------------- failures --- */

TEST(one_failure_leaves_the_others_alone)
{
    struct sc_model *m = open_path(SC_FIXTURES "/gguf-unknown-type");
    struct seen *seen = calloc(m->n_tensors, sizeof *seen);
    for (unsigned threads = 1; threads <= 4; threads++) {
        memset(seen, 0, m->n_tensors * sizeof *seen);
        struct run run = {.r = {.want = SC_WANT_VALUES, .visits = 1}, .seen = seen};
        struct sc_item *items = items_of(m, seen);
        CHECK_ERR(0, sweep(m, items, threads, &run, NULL, 0, NULL));
        CHECK_U64(run.n_done, m->n_tensors);
        CHECK_U64(run.n_failed, 1); /* between two that can be read */
        CHECK_U64(run.last_progress, run.total_progress);
        for (uint32_t i = 0; i < m->n_tensors; i++) {
            CHECK(seen[i].failed == (m->tensors[i].dtype[0] != 'F'));
            CHECK(!seen[i].failed || seen[i].why.code == SCRUPLE_EUNSUPPORTED);
            CHECK(!seen[i].failed || strstr(seen[i].why.text, m->tensors[i].name));
        }
        free(items);
    }
    free(seen);
    sc_model_close(m);
}

TEST(failing_reads_fail_their_tensor)
{
    struct blob b = many_shapes();
    for (uint64_t k = 0; k < 300; k += k < 6 ? 1 : 70)
        for (unsigned threads = 1; threads <= 3; threads += 2) {
            struct sc_repo *repo = NULL;
            struct sc_model *m = NULL;
            struct seen seen[16] = {{0}};
            struct sc_fault plan = {.fail_at = UINT64_MAX};
            const struct sc_open_options o = {.keep_repo = true};
            REQUIRE(sc_repo_open_memory(b.p, b.n, "m", &repo, NULL) == 0);
            repo->fault = &plan;
            REQUIRE(sc_model_open_repo(repo, &o, &m, NULL) == 0);
            plan.fail_at = plan.reads + k;
            struct run run = {.r = {.want = SC_WANT_CODES, .visits = 1}, .seen = seen};
            struct sc_item *items = items_of(m, seen);
            CHECK_ERR(0, sweep(m, items, threads, &run, NULL, 0, NULL));
            CHECK_U64(run.n_done, m->n_tensors);
            CHECK_U64(run.n_failed, plan.fired);
            for (uint32_t i = 0; i < m->n_tensors; i++)
                CHECK(!seen[i].failed || (strstr(seen[i].why.text, "injected fault") &&
                                          strstr(seen[i].why.text, m->tensors[i].name)));
            free(items);
            sc_model_close(m);
        }
    free(b.p);
}

/* A task runs when all was read, and before its tensor is done: it spoils the file. */
static uint64_t any_memory(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    (void)ctx, (void)item, (void)v;
    return 1;
}

static int spoil_file(void *ctx, const struct sc_item *item, struct sc_values *v,
                      const struct sc_parallel *p, struct sc_error *e)
{
    (void)ctx, (void)item, (void)v, (void)p, (void)e;
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    return utimensat(AT_FDCWD, scratch_at("model.safetensors"), times, 0) == 0 ? 0 : SCRUPLE_EIO;
}

TEST(files_that_change_fail_what_is_read_then)
{
    static const struct sc_task task = {"spoil", any_memory, spoil_file};
    struct blob b = many_shapes();
    const char *folder = make_folder();
    write_file(folder, "model.safetensors", b.p, b.n);
    struct sc_model *m = open_path(folder);
    struct seen seen[16] = {{0}};
    struct run run = {.r = {.want = SC_WANT_CODES, .visits = 1}, .seen = seen};
    struct sc_item *items = items_of(m, seen);
    CHECK_ERR(0, sweep(m, items, 1, &run, &task, 1, NULL));
    CHECK(run.n_failed > 5 && run.n_failed < m->n_tensors);
    for (uint32_t i = 0; i < m->n_tensors; i++)
        CHECK(!seen[i].failed || (strstr(seen[i].why.text, "was changed while being read") &&
                                  strstr(seen[i].why.text, m->tensors[i].name)));
    free(items);
    sc_model_close(m);
    remove_folder(scratch_root);
    free(b.p);
}

/* Floats that were stored, which a chunk may show in place. */
enum { STORED = 300000 };
static float stored[STORED];
static _Atomic bool stored_is_wrong;

static void compare_stored(void *ctx, void *total, void *acc, const struct sc_chunk *c)
{
    const uint64_t n = c->n_rows * c->n_cols, at = c->row * c->view->cols + c->col;
    if (c->view->count == STORED &&
        ((uintptr_t)c->values % sizeof *c->values ||
         memcmp(c->values, stored + at, (size_t)n * sizeof *stored) != 0))
        stored_is_wrong = true;
    take_chunk(ctx, total, acc, c);
}

TEST(stored_floats_are_values_wherever_they_lie)
{
    const struct sc_pass comparing = {"comparing", wants,     begin, start_part, compare_stored,
                                      merge,       part_free, again, end,        drop};
    const struct sc_pass *const passes[] = {&comparing};
    uint32_t random = 5;
    for (size_t i = 0; i < STORED; i++)
        stored[i] = (float)st_random(&random) - 1e9F;
    for (size_t before = 0; before <= 4; before++) { /* bytes, so that four of five are crooked */
        struct st_maker maker = {0};
        char shape[16];
        snprintf(shape, sizeof shape, "[%zu]", before);
        st_add(&maker, "before", "U8", shape, "....", before);
        st_add(&maker, "floats", "F32", "[300,1000]", stored, sizeof stored);
        struct blob b = st_finish(&maker);
        const char *folder = make_folder();
        write_file(folder, "model.safetensors", b.p, b.n);
        for (int on_disk = 0; on_disk < 2; on_disk++) {
            struct sc_model *m = on_disk ? open_path(folder) : open_kept(b);
            struct seen seen[2] = {{0}};
            struct run run = {.r = {.want = SC_WANT_VALUES, .visits = 2}, .seen = seen};
            void *const pass_ctx[] = {&run.r};
            struct sc_item *items = items_of(m, seen);
            struct sc_pool *pool = NULL;
            REQUIRE(sc_pool_new(2, &pool, NULL) == 0);
            stored_is_wrong = false;
            const struct sc_sweep s = {.pool = pool,
                                       .model = m,
                                       .items = items,
                                       .n_items = m->n_tensors,
                                       .passes = passes,
                                       .pass_ctx = pass_ctx,
                                       .n_passes = 1,
                                       .done = on_done,
                                       .ctx = &run};
            CHECK_ERR(0, sc_sweep_run(&s, NULL));
            CHECK(!stored_is_wrong);
            CHECK(!run.r.wrong);
            CHECK_U64(seen[tensor_named(m, "floats")].values, STORED);
            sc_pool_free(pool);
            free(items);
            sc_model_close(m);
        }
        remove_folder(scratch_root);
        free(b.p);
    }
}

/* Looks at everything, and cuts the file at the first look. */
static _Atomic bool shrink_at_first_look;

static void shrink_and_look(void *ctx, void *total, void *acc, const struct sc_chunk *c)
{
    if (atomic_exchange(&shrink_at_first_look, false) &&
        truncate(scratch_at("model.safetensors"), 5000) != 0)
        support_fail("cannot truncate");
    take_chunk(ctx, total, acc, c);
}

TEST(files_that_shrink_fail_what_is_read_then)
{
    const struct sc_pass *const passes[] = {&(struct sc_pass){"shrinking", wants, begin, start_part,
                                                              shrink_and_look, merge, part_free,
                                                              again, end, drop}};
    struct blob b = many_shapes();
    for (unsigned want = SC_WANT_CODES; want <= SC_WANT_VALUES; want++) {
        const char *folder = make_folder();
        write_file(folder, "model.safetensors", b.p, b.n);
        struct sc_model *m = open_path(folder);
        struct seen seen[16] = {{0}};
        struct run run = {.r = {.want = want, .visits = 1}, .seen = seen};
        void *const pass_ctx[] = {&run.r};
        struct sc_item *items = items_of(m, seen);
        struct sc_pool *pool = NULL;
        uint32_t largest = 0;
        for (uint32_t i = 1; i < m->n_tensors; i++)
            largest = m->tensors[i].bytes > m->tensors[largest].bytes ? i : largest;
        CHECK(m->tensors[largest].bytes > 1 << 20); /* so that it is mapped */
        REQUIRE(sc_pool_new(2, &pool, NULL) == 0);
        shrink_at_first_look = true;
        const struct sc_sweep s = {.pool = pool,
                                   .model = m,
                                   .items = items + largest,
                                   .n_items = 1,
                                   .passes = passes,
                                   .pass_ctx = pass_ctx,
                                   .n_passes = 1,
                                   .done = on_done,
                                   .ctx = &run};
        CHECK_ERR(0, sc_sweep_run(&s, NULL));
        CHECK_U64(run.n_failed, 1);
        CHECK(strstr(seen[0].why.text, "shrank") &&
              strstr(seen[0].why.text, m->tensors[largest].name));
        sc_pool_free(pool);
        free(items);
        sc_model_close(m);
        remove_folder(scratch_root);
    }
    free(b.p);
}

TEST(a_pass_that_fails_fails_its_tensor)
{
    struct blob b = many_shapes();
    struct sc_model *m = open_kept(b);
    for (size_t at = 1; at <= 8; at++) {
        struct seen seen[16] = {{0}};
        struct run run = {.r = {.want = SC_WANT_CODES, .visits = 2, .fail_part_at = at},
                          .seen = seen};
        struct sc_item *items = items_of(m, seen);
        CHECK_ERR(0, sweep(m, items, 2, &run, NULL, 0, NULL));
        CHECK_U64(run.n_done, m->n_tensors);
        CHECK_U64(run.n_failed, 1);
        free(items);
    }
    sc_model_close(m);
    free(b.p);
}

TEST(cancelling_stops_and_frees_everything)
{
    struct blob b = many_shapes();
    struct sc_model *m = open_kept(b);
    for (int chunks = 1; chunks < 400; chunks += 130)
        for (unsigned threads = 1; threads <= 4; threads++) {
            struct seen seen[16] = {{0}};
            struct run run = {.r = {.want = SC_WANT_CODES, .visits = 1}, .seen = seen};
            struct sc_error e = {0};
            run.r.chunks_left = chunks;
            run.r.cancel_after = &run.r.chunks_left;
            struct sc_item *items = items_of(m, seen);
            CHECK_ERR(SCRUPLE_EINTERRUPTED, sweep(m, items, threads, &run, NULL, 0, &e));
            CHECK_U64(e.code, (uint64_t)SCRUPLE_EINTERRUPTED);
            CHECK(run.n_done < m->n_tensors);
            CHECK_U64(run.n_failed, 0);
            free(items);
        }
    sc_model_close(m);
    free(b.p);
}

TEST(the_caller_can_stop)
{
    struct blob b = many_shapes();
    struct sc_model *m = open_kept(b);
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct seen seen[16] = {{0}};
        struct run run = {.r = {.want = SC_WANT_CODES, .visits = 1}, .seen = seen, .stop_after = 3};
        struct sc_item *items = items_of(m, seen);
        CHECK_ERR(SCRUPLE_EINTERRUPTED, sweep(m, items, threads, &run, NULL, 0, NULL));
        CHECK(run.n_done >= 3 && run.n_done < 3 + 4);
        free(items);
    }
    sc_model_close(m);
    free(b.p);
}

TEST(pairs_of_other_shapes_are_refused)
{
    float data[6] = {0};
    struct st_maker one = {0}, two = {0};
    st_add(&one, "x", "F32", "[2,3]", data, 24);
    st_add(&two, "x", "F32", "[3,2]", data, 24);
    struct blob a = st_finish(&one), b = st_finish(&two);
    struct sc_model *m = open_kept(a), *n = open_kept(b);
    struct seen seen = {0};
    struct run run = {.r = {.want = SC_WANT_VALUES, .visits = 1}, .seen = &seen};
    struct sc_item *items = items_of(m, &seen);
    items[0].tensor_b = 0;
    items[0].model_b = n;
    CHECK_ERR(0, sweep(m, items, 1, &run, NULL, 0, NULL));
    CHECK(seen.failed && seen.why.code == SCRUPLE_EFORMAT);
    free(items);
    sc_model_close(m);
    sc_model_close(n);
    free(a.p);
    free(b.p);
}

TEST(expanded_views_are_not_endless)
{
    struct sc_model *m = open_path(SC_FIXTURES "/torch-shared");
    struct seen *seen = calloc(m->n_tensors, sizeof *seen);
    struct run run = {.r = {.want = SC_WANT_VALUES, .visits = 1}, .seen = seen};
    struct sc_item *items = items_of(m, seen);
    CHECK_ERR(0, sweep(m, items, 2, &run, NULL, 0, NULL));
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const bool huge = strcmp(m->tensors[i].name, "expanded.huge") == 0;
        CHECK(seen[i].failed == huge);
        CHECK(huge ||
              seen[i].values == sc_entry_elements(&m->catalog->entries[m->tensors[i].main]));
        CHECK(!huge || seen[i].why.code == SCRUPLE_ELIMIT);
    }
    free(items);
    free(seen);
    sc_model_close(m);
}

/* ------------------------------------------------------------------------ over a network --- */

static struct blob far_bytes;
static _Atomic uint64_t far_asked, far_read_bytes, far_most;

static int far_read(struct sc_source *s, uint64_t off, void *dst, size_t len, struct sc_error *e)
{
    (void)s, (void)e;
    memcpy(dst, far_bytes.p + off, len);
    far_read_bytes += len;
    return 0;
}

static void far_prefetch(struct sc_source *s, const struct sc_span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        CHECK(spans[i].len > 0 && spans[i].len <= s->size - spans[i].off);
        far_asked += spans[i].len;
    }
    const uint64_t ahead = far_asked - SC_MIN(far_asked, far_read_bytes);
    for (uint64_t most = far_most;
         ahead > most && !atomic_compare_exchange_weak(&far_most, &most, ahead);)
        ;
}

static const struct sc_source_ops far_source_ops = {
    .scheme = "far", .read_at = far_read, .prefetch = far_prefetch};

static int far_open(struct sc_repo *r, const char *path, struct sc_source **out, struct sc_error *e)
{
    struct sc_source *s = calloc(1, sizeof *s);
    (void)r, (void)e;
    *s = (struct sc_source){
        .ops = &far_source_ops, .name = strdup(path), .size = far_bytes.n, .remote = true};
    *out = s;
    return 0;
}

static void far_close(struct sc_repo *r)
{
    (void)r;
}

static const struct sc_repo_ops far_ops = {.scheme = "far", .open = far_open, .close = far_close};

/* All of it is asked for before it is read, but never much of it. */
TEST(remote_bytes_are_asked_for_ahead)
{
    static uint8_t zeros[30 << 20];
    struct st_maker maker = {0};
    struct sc_model *m = NULL;
    const struct sc_open_options o = {.keep_repo = true};
    st_add(&maker, "a", "U8", "[30,1048576]", zeros, sizeof zeros);
    for (unsigned i = 0; i < 100; i++) {
        char name[8];
        snprintf(name, sizeof name, "b%u", i);
        st_add(&maker, name, "U8", "[1000]", zeros, 1000);
    }
    st_add(&maker, "c", "U8", "[30,1048576]", zeros, sizeof zeros);
    st_add(&maker, "d", "U8", "[30,1048576]", zeros, sizeof zeros);
    far_bytes = st_finish(&maker);
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        struct seen seen[128] = {{0}};
        struct sc_repo *r = sc_repo_new(NULL);
        REQUIRE(r && sc_repo_add_file(r, "m.safetensors", far_bytes.n, NULL) == 0);
        r->ops = &far_ops;
        r->label = sc_str_copy(SC_STR("far"));
        REQUIRE(sc_model_open_repo(r, &o, &m, NULL) == 0);
        struct run run = {.r = {.want = SC_WANT_CODES, .visits = 1}, .seen = seen};
        struct sc_item *items = items_of(m, seen);
        far_asked = far_read_bytes = far_most = 0;
        CHECK_ERR(0, sweep(m, items, threads, &run, NULL, 0, NULL));
        CHECK_U64(far_asked, m->bytes);
        CHECK_U64(far_read_bytes, m->bytes);
        /* a window, and what the threads are at */
        CHECK(far_most <= (UINT64_C(48) << 20) + threads * SC_SEGMENT_VALUES);
        free(items);
        sc_model_close(m);
    }
    free(far_bytes.p);
}

/* ----------------------------------------------------------------------------------- tasks --- */

static _Atomic uint64_t task_bytes, task_most;
static _Atomic size_t tasks_run, inner_calls;

static uint64_t task_memory(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    (void)ctx, (void)item;
    return v->rows > 1 && v->cols > 1 ? v->count : 0;
}

static void inner(void *ctx, size_t i)
{
    (void)ctx, (void)i;
    inner_calls++;
}

static int run_task(void *ctx, const struct sc_item *item, struct sc_values *v,
                    const struct sc_parallel *p, struct sc_error *e)
{
    const struct seen *seen = item->user;
    float f;
    (void)ctx;
    if (seen->merges == 0 || seen->is_done) /* after the passes, before done */
        return sc_fail(e, SCRUPLE_ELIMIT, "task out of turn");
    const uint64_t now = atomic_fetch_add(&task_bytes, v->count) + v->count;
    for (uint64_t most = task_most;
         now > most && !atomic_compare_exchange_weak(&task_most, &most, now);)
        ;
    sc_parallel_run(p, 100, inner, NULL);
    const int code = sc_values_read(v, v->count - 1, 1, &f, e);
    tasks_run++;
    task_bytes -= v->count;
    return code;
}

TEST(tasks_follow_their_passes_within_the_memory)
{
    static const struct sc_task task = {"task", task_memory, run_task};
    struct blob b = many_shapes();
    struct sc_model *m = open_kept(b);
    for (uint64_t memory = 1; memory <= 100000000; memory *= 10000)
        for (unsigned threads = 1; threads <= 8; threads *= 2) {
            struct seen seen[16] = {{0}};
            struct run run = {.r = {.want = SC_WANT_CODES, .visits = 1}, .seen = seen};
            struct sc_item *items = items_of(m, seen);
            size_t wanted = 0;
            uint64_t largest = 0;
            for (uint32_t i = 0; i < m->n_tensors; i++) {
                const struct sc_tensor *t = &m->tensors[i];
                const bool is_task = t->rank == 2 && t->shape[0] > 1 && t->shape[1] > 1;
                wanted += is_task;
                largest = is_task ? SC_MAX(largest, t->parameters) : largest;
            }
            tasks_run = inner_calls = 0;
            task_most = 0;
            CHECK_ERR(0, sweep(m, items, threads, &run, &task, memory, NULL));
            CHECK_U64(run.n_failed, 0);
            CHECK_U64(tasks_run, wanted);
            CHECK_U64(inner_calls, 100 * wanted);
            CHECK(task_most <= SC_MAX(memory, largest));
            free(items);
        }
    sc_model_close(m);
    free(b.p);
}

TEST(nothing_to_do)
{
    struct blob b = many_shapes();
    struct sc_model *m = open_kept(b);
    struct seen seen[16] = {{0}};
    struct run run = {.r = {.want = 0}, .seen = seen};
    struct sc_item *items = items_of(m, seen);
    CHECK_ERR(0, sweep(m, items, 2, &run, NULL, 0, NULL)); /* nobody is interested */
    CHECK_U64(run.n_done, m->n_tensors);
    CHECK_U64(run.r.begun, 0);
    const size_t n = m->n_tensors;
    struct run none = {.seen = seen};
    m->n_tensors = 0; /* no items */
    CHECK_ERR(0, sweep(m, items, 2, &none, NULL, 0, NULL));
    CHECK_U64(none.n_done, 0);
    m->n_tensors = n;
    free(items);
    sc_model_close(m);
    free(b.p);
}
