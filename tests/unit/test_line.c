/* SPDX-License-Identifier: Apache-2.0 */
/* test_line: everything comes out once, in order, whoever made it; and what ends a line. */
#include "stream/line.h"
#include "test.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { MOST = 7, NEVER = 1 << 30 };

struct thing {
    unsigned number, square;
};
struct work {
    unsigned n, given, put, arranged;
    uint64_t told;    /* how many had been put when something was arranged */
    unsigned stop_at; /* arrange() says that nothing comes behind this one */
    unsigned fail_make, fail_put, fail_arrange;
    bool wrong;
    struct sc_spares spares;
    _Atomic unsigned tools;
};
struct tool {
    struct sc_spare spare;
    unsigned used;
};

static size_t next(void *ctx, void *things)
{
    struct work *w = ctx;
    struct thing *t = things;
    size_t n = 0;
    for (; n < MOST && w->given < w->n; n++)
        t[n] = (struct thing){w->given++, 0};
    return n;
}

static void make(void *ctx, void *thing)
{
    struct work *w = ctx;
    struct thing *t = thing;
    struct tool *tool = sc_spares_take(&w->spares);
    if (!tool) {
        w->tools++;
        tool = calloc(1, sizeof *tool);
    }
    tool->used++;
    t->square = t->number == w->fail_make ? NEVER : t->number * t->number;
    sc_spares_leave(&w->spares, tool);
}

static int arrange(void *ctx, void *things, size_t *n, uint64_t done, struct sc_error *e)
{
    struct work *w = ctx;
    struct thing *t = things;
    w->wrong |= done < w->told || done != w->put;
    w->told = done;
    for (size_t i = 0; i < *n; i++) {
        w->wrong |= t[i].number != w->arranged++;
        if (t[i].square == NEVER)
            return sc_fail(e, SCRUPLE_EIO, "%u was not made", t[i].number);
        if (t[i].number == w->fail_arrange)
            return sc_fail(e, SCRUPLE_ELIMIT, "no room for %u", t[i].number);
        if (t[i].number == w->stop_at) {
            *n = i;
            return 1;
        }
    }
    return 0;
}

static int put(void *ctx, void *things, size_t n, struct sc_error *e)
{
    struct work *w = ctx;
    const struct thing *t = things;
    for (size_t i = 0; i < n; i++) {
        if (t[i].number == w->fail_put)
            return sc_fail(e, SCRUPLE_EWRITE, "%u cannot be put", t[i].number);
        w->wrong |= t[i].number != w->put || t[i].square != w->put * w->put;
        w->put++;
    }
    return 0;
}

static int run(struct work *w, unsigned threads, struct sc_error *e)
{
    struct thing batches[2][MOST];
    struct sc_pool *pool = NULL;
    struct sc_line l = {.most = MOST,
                        .size = sizeof batches[0][0],
                        .batches = {batches[0], batches[1]},
                        .ctx = w,
                        .next = next,
                        .make = make,
                        .arrange = arrange,
                        .put = put};
    CHECK_U64(sc_pool_new(threads, &pool, e), 0);
    CHECK(sc_spares_begin(&w->spares));
    l.pool = pool;
    const int code = sc_line_run(&l, e);
    sc_spares_end(&w->spares, NULL);
    sc_pool_free(pool);
    CHECK(!w->wrong);
    return code;
}

static struct work work_of(unsigned n)
{
    return (struct work){
        .n = n, .stop_at = NEVER, .fail_make = NEVER, .fail_put = NEVER, .fail_arrange = NEVER};
}

TEST(all_come_out_once_and_in_order)
{
    static const unsigned many[] = {0, 1, MOST - 1, MOST, MOST + 1, 2 * MOST, 1000};
    struct sc_error e;

    for (unsigned threads = 1; threads <= 3; threads++)
        for (size_t i = 0; i < SC_COUNT(many); i++) {
            struct work w = work_of(many[i]);
            CHECK_U64(run(&w, threads, &e), 0);
            CHECK_U64(w.put, many[i]);
            CHECK_U64(w.told, many[i]);
            CHECK(w.tools <= threads);
        }
}

TEST(it_ends_where_it_is_told_to)
{
    struct sc_error e;

    for (unsigned at = 0; at < 3 * MOST; at++) {
        struct work w = work_of(1000);
        w.stop_at = at;
        CHECK_U64(run(&w, 2, &e), 0);
        CHECK_U64(w.put, at);
    }
}

TEST(errors_end_it)
{
    struct sc_error e;

    for (unsigned at = 0; at < 3 * MOST; at++) {
        struct work w = work_of(1000);
        w.fail_make = at;
        CHECK(run(&w, 2, &e) == SCRUPLE_EIO);
        CHECK(w.put <= at);
        w = work_of(1000);
        w.fail_arrange = at;
        CHECK(run(&w, 2, &e) == SCRUPLE_ELIMIT);
        CHECK(w.put <= at);
        w = work_of(3 * MOST);
        w.fail_put = at;
        CHECK(run(&w, 2, &e) == SCRUPLE_EWRITE);
        CHECK_U64(w.put, at);
    }
}
