/* SPDX-License-Identifier: Apache-2.0 */
/* A file behind a URL: which ranges are asked for, what is asked for only once, what is kept, and
 * what happens when the server or the file changes its mind. Every test reads from a server of its
 * own (range_server.h) and looks into its log. */
#include "test.h"

#include "source/remote_internal.h"

#include "oom.h"
#include "range_server.h"

#define KIB        UINT64_C(1024)
#define MIB        (UINT64_C(1) << 20)
#define GIB        (UINT64_C(1) << 30)
#define UNKNOWN    UINT64_MAX
#define SPAN(o, l) ((struct sc_span){(o), (l)})

static char told[256]; /* what explain() was given */

static struct sc_http *engine(void)
{
    struct sc_http *h = NULL;
    struct sc_error e;
    struct sc_http_options o = {.tries = 1, .retry_ms = 1, .token = "hf_secret"};
    o.token_origin = "http://127.0.0.1:1";
    if (sc_http_start(&o, &h, &e) < 0) {
        fprintf(stderr, "no engine: %s\n", e.text);
        abort();
    }
    return h;
}

/* A server with its file opened. */
struct world {
    struct range_server *s;
    struct sc_http *h;
    struct sc_remote *r;
    struct sc_source *f;
    char url[128];
};

static void world_options(struct world *w, uint64_t size)
{
    w->s = range_start(size);
    w->h = engine();
    snprintf(w->url, sizeof w->url, "http://127.0.0.1:%d/org/model/resolve/file", w->s->port[0]);
}

static int world_open(struct world *w, struct sc_remote_options *o, struct sc_error *e)
{
    o->url = w->url;
    o->name = "org/model/file";
    TRY(sc_remote_open(w->h, o, &w->r, e));
    return sc_remote_source(w->r, &w->f, e);
}

static struct world world(uint64_t size)
{
    struct world w = {0};
    struct sc_error e;
    world_options(&w, size);
    if (world_open(&w, &(struct sc_remote_options){.size = size}, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        abort();
    }
    return w;
}

static void world_end(struct world *w)
{
    sc_source_close(w->f);
    sc_remote_close(w->r);
    sc_http_stop(w->h);
    range_stop(w->s);
}

/* Are off..off+len what the server has? */
static bool reads_well(struct sc_source *f, uint64_t off, size_t len)
{
    struct sc_error e;
    uint8_t *p = malloc(len);
    memset(p, 0xee, len);
    int rc = sc_source_read(f, off, p, len, &e);
    if (rc < 0)
        fprintf(stderr, "reading %zu at %llu: %s\n", len, (unsigned long long)off, e.text);
    bool ok = rc == 0 && is_pattern(p, off % RANGE_PERIOD, len);
    free(p);
    return ok;
}

static int read_code(struct sc_source *f, uint64_t off, size_t len, struct sc_error *e)
{
    uint8_t *p = malloc(len);
    int rc = sc_source_read(f, off, p, len, e);
    free(p);
    return rc;
}

/* Is "off+len" among the ranges that were asked of the port? */
static unsigned asked_for(struct range_server *s, bool cdn, uint64_t off, uint64_t len)
{
    static struct range_seen log[RANGE_LOG];
    size_t n = range_seen(s, log, NULL, NULL);
    unsigned found = 0;
    for (size_t i = 0; i < n; i++)
        found += log[i].cdn == cdn && log[i].ranged && log[i].off == off && log[i].len == len;
    return found;
}

static size_t requests(struct range_server *s)
{
    return range_seen(s, NULL, NULL, NULL);
}

/* ---------------------------------------------------------------------------------- spans --- */

TEST(spans_are_sorted_clipped_and_joined)
{
    struct sc_spans l = {0};
    sc_remote_spans_add(&l, 500, 100);
    sc_remote_spans_add(&l, 0, 100);
    sc_remote_spans_add(&l, 50, 60);
    sc_remote_spans_add(&l, 120, 5);
    sc_remote_spans_add(&l, 7, 0);
    sc_remote_spans_add(&l, 990, UINT64_MAX);
    sc_remote_spans_add(&l, 1000, 1);
    sc_remote_spans_add(&l, UINT64_MAX, UINT64_MAX);
    sc_remote_spans_sort(&l, 1000, 11);
    REQUIRE(l.n == 3);
    CHECK_U64(l.p[0].off, 0);
    CHECK_U64(l.p[0].len, 125);
    CHECK_U64(l.p[1].off, 500);
    CHECK_U64(l.p[1].len, 100);
    CHECK_U64(l.p[2].off, 990);
    CHECK_U64(l.p[2].len, 10);
    CHECK_U64(sc_remote_spans_at(&l, 124), 0);
    CHECK_U64(sc_remote_spans_at(&l, 125), 1);
    CHECK_U64(sc_remote_spans_at(&l, 1000), 3);
    sc_remote_spans_clear(&l);
}

TEST(gaps_of_exactly_the_slack_stay)
{
    struct sc_spans l = {0};
    sc_remote_spans_add(&l, 0, 10);
    sc_remote_spans_add(&l, 20, 10);
    sc_remote_spans_sort(&l, 100, 10);
    CHECK_U64(l.n, 2);
    sc_remote_spans_sort(&l, 100, 11);
    CHECK_U64(l.n, 1);
    sc_remote_spans_clear(&l);
}

TEST(trimming_cuts_what_nobody_wants)
{
    struct sc_spans l = {0};
    struct sc_span s = {5, 90};
    sc_remote_spans_add(&l, 10, 10);
    sc_remote_spans_add(&l, 40, 10);
    CHECK(sc_remote_spans_trim(&l, &s));
    CHECK_U64(s.off, 10);
    CHECK_U64(s.len, 40);
    s = SPAN(15, 30);
    CHECK(sc_remote_spans_trim(&l, &s));
    CHECK_U64(s.off, 15);
    CHECK_U64(s.len, 30);
    s = SPAN(20, 20);
    CHECK(!sc_remote_spans_trim(&l, &s));
    s = SPAN(50, 20);
    CHECK(!sc_remote_spans_trim(&l, &s));
    s = SPAN(0, 10);
    CHECK(!sc_remote_spans_trim(&l, &s));
    s = SPAN(12, 1);
    CHECK(sc_remote_spans_trim(&l, &s));
    CHECK_U64(s.len, 1);
    sc_remote_spans_clear(&l);
}

/* ------------------------------------------------------------------------------- what is asked ---
 */

TEST(opening_with_a_known_size_asks_nothing)
{
    struct world w = world(GIB);
    struct sc_remote_facts facts;
    sc_remote_facts(w.r, &facts);
    CHECK(facts.size == UNKNOWN && !*facts.etag);
    CHECK(w.f->remote);
    CHECK_STR(w.f->ops->scheme, "remote");
    CHECK_STR(w.f->name, "org/model/file");
    CHECK(sc_source_map(w.f, 0, 1) == NULL);
    CHECK_U64(requests(w.s), 0);
    world_end(&w);
}

TEST(the_first_read_takes_the_head)
{
    struct world w = world(GIB);
    struct sc_remote_facts facts;
    CHECK(reads_well(w.f, 0, 8));
    CHECK(reads_well(w.f, 8, 100000));
    CHECK(reads_well(w.f, 3, 128 * KIB - 3));
    CHECK_U64(requests(w.s), 1);
    CHECK_U64(asked_for(w.s, false, 0, 128 * KIB), 1);
    sc_remote_facts(w.r, &facts);
    CHECK_U64(facts.size, GIB);
    CHECK_STR(facts.etag, "e1");
    world_end(&w);
}

TEST(the_first_read_of_a_tail_ends_with_the_file)
{
    struct world w = world(GIB);
    CHECK(reads_well(w.f, GIB - 22, 22));
    CHECK_U64(asked_for(w.s, false, GIB - 22, 22), 1);
    CHECK(reads_well(w.f, GIB - 1000, 1000)); /* what is here is not asked for again */
    CHECK_U64(asked_for(w.s, false, GIB - 1000, 978), 1);
    CHECK_U64(requests(w.s), 2);
    world_end(&w);
}

TEST(prefetch_joins_neighbours_and_asks_for_nothing_else)
{
    struct world w = world(GIB);
    const struct sc_span spans[] = {
        {5 * MIB, 1000},
        {1000, 500},
        {1200, 1000},
        {10 * KIB, 10},
        {10 * KIB + 64 * KIB, 9} /* 64 KiB less 10 */,
        {GIB - 4, 400},
        {2 * GIB, 4},
        {100 * MIB, 0},
    };
    sc_source_prefetch(w.f, spans, SC_COUNT(spans));
    range_await(w.s, 3);
    CHECK(reads_well(w.f, 1000, 500));
    CHECK(reads_well(w.f, 5 * MIB, 1000));
    CHECK(reads_well(w.f, GIB - 4, 4));
    CHECK(reads_well(w.f, 10 * KIB + 64 * KIB, 9));
    CHECK_U64(requests(w.s), 3);
    CHECK_U64(asked_for(w.s, false, 1000, 10 * KIB + 64 * KIB + 9 - 1000), 1);
    CHECK_U64(asked_for(w.s, false, 5 * MIB, 1000), 1);
    CHECK_U64(asked_for(w.s, false, GIB - 4, 4), 1);

    sc_source_prefetch(w.f, spans, SC_COUNT(spans));       /* all of it is here */
    const struct sc_span more[] = {{4 * MIB, MIB + 2000}}; /* its middle is */
    sc_source_prefetch(w.f, more, 1);
    CHECK(reads_well(w.f, 4 * MIB, MIB + 2000));
    CHECK_U64(asked_for(w.s, false, 4 * MIB, MIB), 1);
    CHECK_U64(asked_for(w.s, false, 5 * MIB + 1000, 1000), 1);
    CHECK_U64(requests(w.s), 5);
    world_end(&w);
}

TEST(the_filler_between_spans_is_not_asked_for_alone)
{
    struct world w = world(GIB);
    CHECK(reads_well(w.f, MIB, 100)); /* takes 128 KiB */
    const struct sc_span spans[] = {{MIB, 10}, {MIB + 150 * KIB, 100}, {MIB - 30 * KIB, 100}};
    sc_source_prefetch(w.f, spans, 3);
    const struct sc_span end[] = {{MIB + 120 * KIB, 10}, {MIB + 160 * KIB, 10}};
    sc_source_prefetch(w.f, end, 2);
    CHECK(reads_well(w.f, MIB + 150 * KIB, 100));
    CHECK(reads_well(w.f, MIB - 30 * KIB, 100));
    CHECK(reads_well(w.f, MIB + 160 * KIB, 10));
    CHECK_U64(asked_for(w.s, false, MIB + 150 * KIB, 100), 1);
    CHECK_U64(asked_for(w.s, false, MIB - 30 * KIB, 100), 1);
    CHECK_U64(asked_for(w.s, false, MIB + 160 * KIB, 10), 1);
    CHECK_U64(requests(w.s), 4);
    world_end(&w);
}

TEST(reading_on_takes_growing_steps)
{
    struct world w = world(GIB);
    uint64_t at = 0;
    while (at < 13 * MIB) {
        REQUIRE(reads_well(w.f, at, 32 * KIB));
        at += 32 * KIB;
    }
    uint64_t off = 0, step = 128 * KIB;
    for (size_t i = 0; off < at; i++) {
        CHECK_U64(asked_for(w.s, false, off, step), 1);
        off += step;
        step = SC_MIN(2 * step, 4 * MIB);
    }
    size_t before = requests(w.s);
    CHECK_U64(before, 8);
    CHECK(reads_well(w.f, 500 * MIB, 10)); /* a jump takes what it wants */
    CHECK_U64(asked_for(w.s, false, 500 * MIB, 10), 1);
    CHECK(reads_well(w.f, 500 * MIB + 10, 10)); /* from there on it goes up again */
    CHECK_U64(asked_for(w.s, false, 500 * MIB + 10, 64 * KIB), 1);
    CHECK(reads_well(w.f, 500 * MIB + 20, 64 * KIB));
    CHECK_U64(asked_for(w.s, false, 500 * MIB + 10 + 64 * KIB, 128 * KIB), 1);
    world_end(&w);
}

/* A vocabulary: the rest of a string at the end of each window is stepped over. */
TEST(small_steps_are_reading_on)
{
    struct world w = world(GIB);
    size_t before;
    for (uint64_t at = 0; at < 13 * MIB; at += 32 * KIB)
        REQUIRE(reads_well(w.f, at, 32 * KIB - 12));
    before = requests(w.s);
    CHECK_U64(before, 8);
    world_end(&w);
}

TEST(reading_ahead_stops_at_the_end_of_what_was_announced)
{
    struct world w = world(GIB);
    sc_source_prefetch(w.f, &SPAN(0, 300000), 1);
    CHECK(reads_well(w.f, 0, 300000));
    sc_remote_forget(w.r);
    CHECK(reads_well(w.f, 0, 1000));
    CHECK(reads_well(w.f, 1000, 1000));
    CHECK(reads_well(w.f, 2000, 64 * KIB));
    CHECK(reads_well(w.f, 2000 + 64 * KIB, 300000 - 2000 - 64 * KIB));
    CHECK_U64(asked_for(w.s, false, 0, 300000), 1);
    CHECK_U64(asked_for(w.s, false, 0, 1000), 1);
    CHECK_U64(asked_for(w.s, false, 1000, 64 * KIB), 1);
    CHECK_U64(asked_for(w.s, false, 1000 + 64 * KIB, 128 * KIB), 1);
    CHECK_U64(asked_for(w.s, false, 1000 + 192 * KIB, 300000 - 1000 - 192 * KIB), 1);
    CHECK_U64(requests(w.s), 5);
    world_end(&w);
}

TEST(a_small_file_comes_whole_and_without_a_range)
{
    static struct range_seen log[RANGE_LOG];
    struct world w = world(200 * KIB);
    CHECK(reads_well(w.f, 1000, 10));
    CHECK(reads_well(w.f, 0, 200 * KIB));
    CHECK(reads_well(w.f, 200 * KIB - 1, 1));
    CHECK_U64(range_seen(w.s, log, NULL, NULL), 1);
    CHECK(!log[0].ranged);
    world_end(&w);
}

TEST(spans_that_cover_everything_need_no_range)
{
    static struct range_seen log[RANGE_LOG];
    struct world w = world(3 * MIB);
    const struct sc_span spans[] = {{2 * MIB + 100, MIB - 100}, {0, MIB}, {MIB, MIB}};
    sc_source_prefetch(w.f, spans, 3);
    CHECK(reads_well(w.f, 0, 3 * MIB));
    CHECK_U64(range_seen(w.s, log, NULL, NULL), 1);
    CHECK(!log[0].ranged);
    world_end(&w);
}

TEST(three_ranges_of_700_gigabytes)
{
    const uint64_t size = UINT64_C(700000000000);
    struct world w = world(size);
    const struct sc_span spans[] = {{0, 1000}, {size / 2, 5000}, {size - 77, 77}};
    sc_source_prefetch(w.f, spans, 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK(reads_well(w.f, spans[i].off, (size_t)spans[i].len));
        CHECK_U64(asked_for(w.s, false, spans[i].off, spans[i].len), 1);
    }
    CHECK_U64(requests(w.s), 3);
    world_end(&w);
}

/* ------------------------------------------------------------------------------- large reads ---
 */

TEST(a_large_read_goes_straight_in_parts)
{
    struct world w = world(GIB);
    CHECK(reads_well(w.f, 0, 10));
    CHECK(reads_well(w.f, 0, 40 * MIB));
    CHECK_U64(asked_for(w.s, false, 128 * KIB, 8 * MIB), 1); /* the head was here */
    CHECK_U64(asked_for(w.s, false, 128 * KIB + 8 * MIB, 8 * MIB), 1);
    CHECK_U64(asked_for(w.s, false, 128 * KIB + 32 * MIB, 8 * MIB - 128 * KIB), 1);
    CHECK_U64(requests(w.s), 6);
    CHECK(w.r->cost < 200 * KIB); /* nothing of it was kept */
    CHECK(reads_well(w.f, 39 * MIB, MIB + 1));
    CHECK_U64(requests(w.s), 7);
    world_end(&w);
}

TEST(the_first_part_of_a_first_large_read_is_short)
{
    struct world w = world(GIB);
    w.s->redirects = true;
    CHECK(reads_well(w.f, 5, 20 * MIB));
    size_t hub = 0, cdn = 0;
    range_seen(w.s, NULL, &hub, &cdn);
    CHECK_U64(hub, 1);
    CHECK_U64(cdn, 4);
    CHECK_U64(asked_for(w.s, true, 5, MIB), 1);
    CHECK_U64(asked_for(w.s, true, 5 + MIB, 8 * MIB), 1);
    world_end(&w);
}

TEST(a_large_read_that_fails_leaves_nothing_on_its_way)
{
    struct world w = world(GIB);
    struct sc_error e;
    CHECK(reads_well(w.f, 0, 10));
    range_lock(w.s);
    w.s->refusals = 2;
    w.s->refuse = 404;
    range_unlock(w.s);
    CHECK_ERR(SCRUPLE_ENOTFOUND, read_code(w.f, 100 * MIB, 60 * MIB, &e));
    CHECK(strstr(e.text, "org/model/file") != NULL);
    range_lock(w.s);
    w.s->refusals = 0;
    range_unlock(w.s);
    CHECK(reads_well(w.f, 100 * MIB, 20 * MIB));
    world_end(&w);
}

TEST(memory_has_a_ceiling)
{
    struct world w = world(GIB);
    for (uint64_t i = 0; i < 80; i++)
        REQUIRE(reads_well(w.f, 2 * i * MIB, MIB));
    CHECK(w.r->cost <= 64 * MIB);
    size_t before = requests(w.s);
    CHECK(reads_well(w.f, 2 * 79 * MIB, MIB)); /* the last ones are here, the first are not */
    CHECK_U64(requests(w.s), before);
    CHECK(reads_well(w.f, 0, 10));
    CHECK_U64(requests(w.s), before + 1);

    /* Nothing that is announced pushes out what is announced. */
    sc_remote_forget(w.r);
    struct sc_span spans[80];
    for (uint64_t i = 0; i < 80; i++)
        spans[i] = SPAN(2 * i * MIB, MIB);
    range_forget_log(w.s);
    sc_source_prefetch(w.f, spans, 80);
    for (uint64_t i = 0; i < 80; i++)
        REQUIRE(reads_well(w.f, spans[i].off, MIB));
    CHECK_U64(requests(w.s), 80);
    sc_remote_forget(w.r);
    sc_source_prefetch(w.f, &SPAN(0, GIB), 1); /* never fits */
    CHECK_U64(requests(w.s), 80);
    world_end(&w);
}

/* ---------------------------------------------------------------------------- signed URLs --- */

static struct world signed_world(uint64_t size)
{
    struct world w = {0};
    struct sc_error e;
    world_options(&w, size);
    w.s->redirects = true;
    w.s->commit = "0123456789012345678901234567890123456789";
    if (world_open(&w, &(struct sc_remote_options){.size = size, .with_token = true}, &e) < 0)
        abort();
    return w;
}

TEST(twenty_spans_cost_one_resolve)
{
    struct world w = signed_world(GIB);
    struct sc_span spans[20];
    struct sc_remote_facts facts;
    size_t hub = 0, cdn = 0;
    for (uint64_t i = 0; i < 20; i++)
        spans[i] = SPAN(i * 10 * MIB, 1000 + i);
    sc_source_prefetch(w.f, spans, 20);
    for (uint64_t i = 20; i-- > 0;)
        CHECK(reads_well(w.f, spans[i].off, (size_t)spans[i].len));
    CHECK(reads_well(w.f, 900 * MIB, 10));
    range_seen(w.s, NULL, &hub, &cdn);
    CHECK_U64(hub, 1);
    CHECK_U64(cdn, 21);
    for (uint64_t i = 0; i < 20; i++)
        CHECK_U64(asked_for(w.s, true, spans[i].off, spans[i].len), 1);
    sc_remote_facts(w.r, &facts);
    CHECK_STR(facts.commit, "0123456789012345678901234567890123456789");
    CHECK_STR(facts.etag, "e1");
    world_end(&w);
}

TEST(a_signature_that_ended_is_asked_for_once)
{
    struct world w = signed_world(GIB);
    struct sc_span spans[20];
    size_t hub = 0, cdn = 0;
    CHECK(reads_well(w.f, 0, 10));
    range_lock(w.s);
    w.s->signature = 2;
    range_unlock(w.s);
    for (uint64_t i = 0; i < 20; i++)
        spans[i] = SPAN((i + 1) * 10 * MIB, 1000 + i);
    sc_source_prefetch(w.f, spans, 20);
    for (uint64_t i = 0; i < 20; i++)
        CHECK(reads_well(w.f, spans[i].off, (size_t)spans[i].len));
    range_seen(w.s, NULL, &hub, &cdn);
    CHECK_U64(hub, 2);
    CHECK(cdn >= 1 + 20 + 1 && cdn <= 1 + 20 + 20);
    world_end(&w);
}

TEST(a_signature_that_ends_soon_is_not_used_again)
{
    struct world w = signed_world(GIB);
    size_t hub = 0, cdn = 0;
    w.s->expires_in = 30;
    CHECK(reads_well(w.f, 0, 10));
    CHECK(reads_well(w.f, 10 * MIB, 10));
    CHECK(reads_well(w.f, 20 * MIB, 10));
    range_seen(w.s, NULL, &hub, &cdn);
    CHECK_U64(hub, 3);
    CHECK_U64(cdn, 3);
    world_end(&w);
}

TEST(a_refusal_that_stays_is_an_error)
{
    static struct range_seen log[RANGE_LOG];
    struct world w = signed_world(GIB);
    struct sc_error e;
    CHECK(reads_well(w.f, 0, 10));
    range_lock(w.s);
    w.s->refusals = 2;
    w.s->refuse = 403;
    range_unlock(w.s);
    CHECK_ERR(SCRUPLE_ENETWORK, read_code(w.f, 10 * MIB, 10, &e));
    CHECK(strstr(e.text, "403") != NULL);
    CHECK(strstr(e.text, "sig=") == NULL);
    REQUIRE(range_seen(w.s, log, NULL, NULL) == 4);
    CHECK(log[2].cdn && log[2].status == 403);
    CHECK(!log[3].cdn && log[3].status == 403);
    CHECK(reads_well(w.f, 10 * MIB, 10));
    world_end(&w);
}

/* -------------------------------------------------------------------------------- the store --- */

struct kept {
    pthread_mutex_t lock;
    uint8_t here[4 * 1024]; /* one a KiB of the first 4 MiB */
    unsigned saves;
    uint64_t saved;
};

static size_t kept_load(void *ctx, uint64_t off, void *dst, size_t len)
{
    struct kept *k = ctx;
    size_t n = 0;
    pthread_mutex_lock(&k->lock);
    while (n < len && (off + n) / 1024 < sizeof k->here && k->here[(off + n) / 1024])
        n++;
    pthread_mutex_unlock(&k->lock);
    fill_pattern(dst, off, n);
    return n;
}

static void kept_save(void *ctx, uint64_t off, const void *src, size_t len)
{
    struct kept *k = ctx;
    if (!is_pattern(src, off, SC_MIN(len, 1000)))
        abort();
    pthread_mutex_lock(&k->lock);
    k->saves++;
    k->saved += len;
    for (uint64_t i = (off + 1023) / 1024; (i + 1) * 1024 <= off + len; i++)
        if (i < sizeof k->here)
            k->here[i] = 1;
    pthread_mutex_unlock(&k->lock);
}

static bool kept_gap(void *ctx, uint64_t from, uint64_t to, uint64_t *off, uint64_t *len)
{
    struct kept *k = ctx;
    pthread_mutex_lock(&k->lock);
    while (from < to && from / 1024 < sizeof k->here && k->here[from / 1024])
        from = (from / 1024 + 1) * 1024;
    uint64_t end = from;
    while (end < to && !(end / 1024 < sizeof k->here && k->here[end / 1024]))
        end = SC_MIN((end / 1024 + 1) * 1024, to);
    pthread_mutex_unlock(&k->lock);
    *off = from;
    *len = end - from;
    return from < to;
}

static void keep(struct kept *k, uint64_t off, uint64_t len)
{
    memset(k->here + off / 1024, 1, (size_t)(len / 1024));
}

static struct world stored_world(struct kept *k, bool with_gap)
{
    struct world w = {0};
    struct sc_error e;
    pthread_mutex_init(&k->lock, NULL);
    world_options(&w, GIB);
    struct sc_remote_options o = {.size = GIB, .store = {k, kept_load, kept_save, NULL}};
    if (with_gap)
        o.store.gap = kept_gap;
    if (world_open(&w, &o, &e) < 0)
        abort();
    return w;
}

TEST(what_the_store_has_is_not_asked_for)
{
    for (int gap = 0; gap < 2; gap++) {
        struct kept k = {0};
        struct world w = stored_world(&k, gap);
        keep(&k, 0, 200 * KIB);
        sc_source_prefetch(w.f, &SPAN(0, 150 * KIB), 1);
        CHECK(reads_well(w.f, 0, 100));
        CHECK(reads_well(w.f, 100, 200 * KIB - 100));
        CHECK_U64(requests(w.s), 0);
        CHECK_U64(k.saves, 0);
        /* The store knew the file: this is no first read. */
        CHECK(reads_well(w.f, 10 * MIB, 100));
        CHECK_U64(asked_for(w.s, false, 10 * MIB, 100), 1);
        world_end(&w);
    }
}

TEST(what_came_is_kept_once)
{
    struct kept k = {0};
    struct world w = stored_world(&k, true);
    CHECK(reads_well(w.f, 0, 100));
    CHECK_U64(k.saves, 1);
    CHECK_U64(k.saved, 128 * KIB);
    CHECK(reads_well(w.f, 100, 1000));
    sc_remote_forget(w.r);
    CHECK(reads_well(w.f, 0, 128 * KIB)); /* from the store now */
    CHECK_U64(requests(w.s), 1);
    CHECK_U64(k.saves, 1);
    sc_source_prefetch(w.f, &SPAN(MIB, 1024), 1); /* what nobody reads is kept, too */
    range_await(w.s, 2);
    CHECK(reads_well(w.f, MIB, 1));
    CHECK(reads_well(w.f, 100 * MIB, 2 * MIB)); /* what goes straight is not */
    world_end(&w);
    CHECK_U64(k.saves, 2);
}

TEST(many_announced_spans_are_kept)
{
    struct kept k = {0};
    struct world w = stored_world(&k, true);
    struct sc_span spans[30];
    for (uint64_t i = 0; i < 30; i++)
        spans[i] = SPAN(i * 100 * KIB, 1024 * (1 + i % 3));
    sc_source_prefetch(w.f, spans, 30);
    for (uint64_t i = 30; i-- > 0;)
        CHECK(reads_well(w.f, spans[i].off, (size_t)spans[i].len));
    world_end(&w);
    CHECK_U64(k.saves, 30);
    CHECK_U64(k.saved, 60 * KIB);
}

TEST(a_span_that_is_partly_stored_asks_for_the_rest)
{
    struct kept k = {0};
    struct world w = stored_world(&k, true);
    keep(&k, 100 * KIB, 50 * KIB);
    keep(&k, 300 * KIB, 50 * KIB);
    sc_source_prefetch(w.f, &SPAN(110 * KIB, 300 * KIB), 1);
    CHECK(reads_well(w.f, 110 * KIB, 300 * KIB));
    CHECK_U64(asked_for(w.s, false, 150 * KIB, 150 * KIB), 1);
    CHECK_U64(asked_for(w.s, false, 350 * KIB, 60 * KIB), 1);
    CHECK_U64(requests(w.s), 2);

    /* A large read uses what is stored at its ends and in its middle. */
    memset(k.here, 0, sizeof k.here);
    sc_remote_forget(w.r);
    range_forget_log(w.s);
    keep(&k, 0, 100 * KIB);
    keep(&k, 2 * MIB, 100 * KIB);
    keep(&k, 4 * MIB - 100 * KIB, 100 * KIB);
    CHECK(reads_well(w.f, 0, 4 * MIB));
    CHECK_U64(asked_for(w.s, false, 100 * KIB, 2 * MIB - 100 * KIB), 1);
    CHECK_U64(asked_for(w.s, false, 2 * MIB + 100 * KIB, 2 * MIB - 200 * KIB), 1);
    CHECK_U64(requests(w.s), 2);
    world_end(&w);
}

TEST(a_store_without_gaps_serves_beginnings)
{
    struct kept k = {0};
    struct world w = stored_world(&k, false);
    keep(&k, 100 * KIB, 70 * KIB);
    sc_source_prefetch(w.f, &SPAN(100 * KIB, 100 * KIB), 1);
    CHECK(reads_well(w.f, 100 * KIB, 100 * KIB));
    CHECK_U64(asked_for(w.s, false, 170 * KIB, 30 * KIB), 1);
    CHECK_U64(requests(w.s), 1);
    world_end(&w);
}

/* ---------------------------------------------------------------------- changes and failures ---
 */

TEST(another_etag_is_noticed)
{
    for (int redirects = 0; redirects < 2; redirects++) {
        struct world w = world(GIB);
        struct sc_error e;
        w.s->redirects = redirects;
        CHECK(reads_well(w.f, 0, 10));
        range_lock(w.s);
        w.s->etag = "e2";
        range_unlock(w.s);
        CHECK_ERR(SCRUPLE_EIO, read_code(w.f, 10 * MIB, 10, &e));
        CHECK(strncmp(e.text, "org/model/file: was changed while being read", 44) == 0);
        CHECK_ERR(SCRUPLE_EIO, read_code(w.f, 10 * MIB, 3 * MIB, &e));
        CHECK(reads_well(w.f, 1000, 1000)); /* what is here, is */
        range_lock(w.s);
        w.s->etag = "e1";
        range_unlock(w.s);
        CHECK(reads_well(w.f, 10 * MIB, 10));
        world_end(&w);
    }
}

TEST(another_size_is_noticed)
{
    struct world w = world(GIB);
    struct sc_error e;
    w.s->etag = NULL;
    CHECK(reads_well(w.f, 0, 10));
    range_lock(w.s);
    w.s->size = GIB + 1;
    range_unlock(w.s);
    CHECK_ERR(SCRUPLE_EIO, read_code(w.f, 10 * MIB, 10, &e));
    CHECK(strncmp(e.text, "org/model/file: was changed while being read", 44) == 0);
    range_lock(w.s);
    w.s->size = 5 * MIB;
    range_unlock(w.s);
    CHECK_ERR(SCRUPLE_EIO, read_code(w.f, 10 * MIB, 10, &e));
    CHECK(strncmp(e.text, "org/model/file: was changed while being read", 44) == 0);
    world_end(&w);
}

/* Where nobody says how long it is, one that is shorter looks like a connection that broke. */
TEST(a_small_file_of_another_length_is_noticed)
{
    for (int longer = 0; longer < 2; longer++) {
        struct world w = world(100 * KIB);
        struct sc_error e;
        range_lock(w.s);
        w.s->no_ranges = w.s->no_length = true;
        w.s->size = longer ? 101 * KIB : 99 * KIB;
        range_unlock(w.s);
        CHECK_ERR(longer ? SCRUPLE_EIO : SCRUPLE_ENETWORK, read_code(w.f, 0, 10, &e));
        CHECK(strncmp(e.text, "org/model/file: ", 16) == 0);
        CHECK(!longer || strstr(e.text, "was changed while being read") != NULL);
        world_end(&w);
    }
}

TEST(what_the_caller_expects_holds_from_the_beginning)
{
    const char *const etags[] = {"e1", "other"}, *const commits[] = {"c1", "other"};
    for (int i = 0; i < 4; i++) {
        struct world w = {0};
        struct sc_error e;
        world_options(&w, GIB);
        w.s->redirects = true;
        w.s->commit = "c1";
        struct sc_remote_options o = {.size = GIB, .etag = etags[i & 1], .commit = commits[i >> 1]};
        REQUIRE(world_open(&w, &o, &e) == 0);
        CHECK_ERR(i == 0 ? 0 : SCRUPLE_EIO, read_code(w.f, 10 * MIB, 10, &e));
        world_end(&w);
    }
}

TEST(a_failure_is_forgotten_by_the_next_read)
{
    struct world w = world(GIB);
    struct sc_error e;
    range_lock(w.s);
    w.s->refusals = 2;
    w.s->refuse = 404;
    range_unlock(w.s);
    sc_source_prefetch(w.f, &SPAN(10 * MIB, 1000), 1);
    range_await(w.s, 1);
    int rc = read_code(w.f, 10 * MIB, 10, &e); /* the answer to prefetch, or a second attempt */
    CHECK_ERR(SCRUPLE_ENOTFOUND, rc);
    CHECK(strstr(e.text, "org/model/file") != NULL);
    if (requests(w.s) == 1)
        CHECK_ERR(SCRUPLE_ENOTFOUND, read_code(w.f, 10 * MIB, 10, &e));
    CHECK_U64(requests(w.s), 2); /* one new attempt a read */
    CHECK(reads_well(w.f, 10 * MIB, 10));
    CHECK_U64(asked_for(w.s, false, 10 * MIB, 1000), 3); /* and for the whole span */
    world_end(&w);
}

TEST(one_failure_stands_for_those_that_wait_for_it)
{
    struct world w = signed_world(GIB);
    struct sc_span spans[20];
    struct sc_error e;
    range_lock(w.s);
    w.s->refusals = 1;
    w.s->refuse = 404;
    w.s->gate = true;
    range_unlock(w.s);
    for (uint64_t i = 0; i < 20; i++)
        spans[i] = SPAN(i * 10 * MIB, 1000);
    sc_source_prefetch(w.f, spans, 20);
    range_await(w.s, 1);
    pthread_mutex_lock(&w.r->lock);
    struct extent *last = w.r->extents[19];
    CHECK_U64(last->state, EXTENT_HELD);
    last->refs++;
    pthread_mutex_unlock(&w.r->lock);
    range_lock(w.s);
    w.s->gate = false;
    range_unlock(w.s);
    pthread_mutex_lock(&w.r->lock);
    sc_remote_wait(w.r, last);
    CHECK_U64(last->state, EXTENT_FAILED);
    CHECK_ERR(SCRUPLE_ENOTFOUND, sc_remote_fail(w.r, last, &e));
    sc_remote_unref(w.r, last);
    pthread_mutex_unlock(&w.r->lock);
    CHECK_U64(requests(w.s), 1);
    for (uint64_t i = 0; i < 20; i++)
        CHECK(reads_well(w.f, spans[i].off, 1000));
    world_end(&w);
}

static int explain(void *ctx, const struct sc_http_reply *r, const char *name, struct sc_error *e)
{
    snprintf(told, sizeof told, "%s %d %s", (const char *)ctx, r->status, name);
    return sc_fail(e, SCRUPLE_ENOTFOUND, "explained");
}

TEST(an_answer_is_explained_by_the_caller)
{
    struct world w = {0};
    struct sc_error e;
    char ctx[] = "ctx";
    world_options(&w, GIB);
    w.s->refusals = 1;
    w.s->refuse = 401;
    struct sc_remote_options o = {.size = GIB, .explain = explain, .explain_ctx = ctx};
    REQUIRE(world_open(&w, &o, &e) == 0);
    CHECK_ERR(SCRUPLE_ENOTFOUND, read_code(w.f, 0, 10, &e));
    CHECK_STR(e.text, "explained");
    CHECK_STR(told, "ctx 401 org/model/file");
    world_end(&w);
}

TEST(a_server_that_is_not_there_is_named)
{
    struct world w = {0};
    struct sc_error e;
    world_options(&w, GIB);
    snprintf(w.url, sizeof w.url, "http://127.0.0.1:1/file?sig=secret");
    REQUIRE(world_open(&w, &(struct sc_remote_options){.size = GIB}, &e) == 0);
    CHECK_ERR(SCRUPLE_ENETWORK, read_code(w.f, 0, 10, &e));
    CHECK(strncmp(e.text, "org/model/file: ", 16) == 0);
    CHECK(strstr(e.text, "secret") == NULL);
    world_end(&w);
}

/* --------------------------------------------------------------------------- unknown sizes --- */

TEST(an_unknown_size_is_learned)
{
    struct world w = {0};
    struct sc_error e;
    world_options(&w, 10 * MIB);
    REQUIRE(world_open(&w, &(struct sc_remote_options){.size = UNKNOWN, .first = 1000}, &e) == 0);
    CHECK_U64(w.f->size, 10 * MIB);
    CHECK_U64(asked_for(w.s, false, 0, 1000), 1);
    CHECK(reads_well(w.f, 0, 1000));
    CHECK_U64(requests(w.s), 1);
    CHECK(reads_well(w.f, 9 * MIB, 1000));
    world_end(&w);
}

TEST(an_unknown_size_may_be_small_or_nothing)
{
    const uint64_t sizes[] = {0, 1, 999, 1000, 1001};
    for (size_t i = 0; i < SC_COUNT(sizes); i++) {
        for (int no_ranges = 0; no_ranges < 2; no_ranges++) {
            struct world w = {0};
            struct sc_error e = {0};
            world_options(&w, sizes[i]);
            w.s->no_ranges = no_ranges;
            struct sc_remote_options o = {.size = UNKNOWN, .first = 1000};
            CHECK_ERR(0, world_open(&w, &o, &e));
            if (w.f) {
                CHECK_U64(w.f->size, sizes[i]);
                CHECK(reads_well(w.f, 0, (size_t)sizes[i]));
            }
            world_end(&w);
        }
    }
}

TEST(an_unknown_file_that_is_not_there)
{
    struct world w = {0};
    struct sc_error e;
    world_options(&w, 10);
    w.s->refusals = 1;
    w.s->refuse = 404;
    CHECK_ERR(SCRUPLE_ENOTFOUND, world_open(&w, &(struct sc_remote_options){.size = UNKNOWN}, &e));
    CHECK(w.r == NULL);
    world_end(&w);
}

TEST(a_server_without_ranges_serves_the_head)
{
    struct world w = {0};
    struct sc_error e;
    world_options(&w, 20 * MIB);
    w.s->no_ranges = true;
    REQUIRE(world_open(&w, &(struct sc_remote_options){.size = UNKNOWN}, &e) == 0);
    CHECK_U64(w.f->size, 20 * MIB);
    CHECK(reads_well(w.f, 0, MIB));
    CHECK(reads_well(w.f, 1000, MIB - 1000));
    CHECK_U64(requests(w.s), 2);
    CHECK_ERR(SCRUPLE_ENETWORK, read_code(w.f, MIB - 10, 11, &e));
    CHECK(strstr(e.text, "ignores byte ranges") != NULL);
    CHECK_ERR(SCRUPLE_ENETWORK, read_code(w.f, 10 * MIB, 2 * MIB, &e));
    sc_source_prefetch(w.f, &SPAN(12 * MIB, 100), 1);
    CHECK_ERR(SCRUPLE_ENETWORK, read_code(w.f, 12 * MIB, 10, &e));
    CHECK_U64(requests(w.s), 2); /* not asked again */
    world_end(&w);
}

TEST(a_server_that_says_nothing_of_length_is_refused)
{
    struct world w = {0};
    struct sc_error e;
    world_options(&w, 20 * MIB);
    w.s->no_ranges = w.s->no_length = true;
    CHECK_ERR(SCRUPLE_ENETWORK, world_open(&w, &(struct sc_remote_options){.size = UNKNOWN}, &e));
    CHECK(strstr(e.text, "neither how long") != NULL);
    world_end(&w);
}

/* ---------------------------------------------------------------------- layers and threads --- */

TEST(what_is_here_can_be_told_without_waiting)
{
    struct world w = world(GIB);
    struct sc_error e;
    struct sc_io io = {0};
    struct sc_source *f = NULL, *count = NULL;
    REQUIRE(sc_remote_source(w.r, &f, &e) == 0);
    REQUIRE(sc_source_count(f, &io, &count, &e) == 0);
    CHECK(!sc_source_has(count, SPAN(MIB, 1000)));
    CHECK(sc_source_has(count, SPAN(MIB, 0)));
    CHECK_U64(requests(w.s), 0); /* to ask costs nothing */
    sc_source_prefetch(count, &SPAN(MIB, 1000), 1);
    CHECK(reads_well(count, MIB, 1000));
    CHECK(sc_source_has(count, SPAN(MIB, 1000)));
    CHECK(sc_source_has(count, SPAN(MIB + 10, 900)));
    CHECK(!sc_source_has(count, SPAN(MIB - 1, 10)));
    CHECK(!sc_source_has(count, SPAN(MIB + 990, 100000)));
    sc_source_close(count);
    world_end(&w);
}

TEST(prefetch_passes_through_the_layers)
{
    struct world w = world(GIB);
    struct sc_error e;
    struct sc_io io = {0};
    struct sc_fault plan = {.fail_at = UINT64_MAX};
    struct sc_source *f = NULL, *count = NULL, *fault = NULL;
    REQUIRE(sc_remote_source(w.r, &f, &e) == 0);
    REQUIRE(sc_source_count(f, &io, &count, &e) == 0);
    REQUIRE(sc_source_fault(count, &plan, &fault, &e) == 0);
    CHECK(fault->remote);
    sc_source_prefetch(fault, &SPAN(MIB, 1000), 1);
    range_await(w.s, 1);
    CHECK_U64(io.requests, 0); /* nothing was read yet */
    CHECK(reads_well(fault, MIB, 1000));
    CHECK_U64(io.bytes_read, 1000);
    CHECK_U64(requests(w.s), 1);
    sc_source_close(fault);
    CHECK(w.r->n_extents == 1); /* w.f is open */
    world_end(&w);
}

TEST(the_last_source_takes_the_memory_along)
{
    struct world w = world(GIB);
    CHECK(reads_well(w.f, 0, 10));
    sc_source_close(w.f);
    w.f = NULL;
    CHECK_U64(w.r->n_extents, 0);
    CHECK_U64(w.r->cost, 0);
    world_end(&w);
}

TEST(closing_does_not_wait_for_an_answer)
{
    for (int redirects = 0; redirects < 2; redirects++) {
        struct world w = world(GIB);
        w.s->gate = true;
        w.s->redirects = redirects;
        struct sc_span spans[20];
        for (uint64_t i = 0; i < 20; i++)
            spans[i] = SPAN(i * 10 * MIB, 1000);
        sc_source_prefetch(w.f, spans, 20);
        range_await(w.s, 1);
        world_end(&w); /* the gate stays closed */
    }
}

TEST(the_shortest_span_asks_for_the_way)
{
    static struct range_seen log[RANGE_LOG];
    struct world w = signed_world(GIB);
    const struct sc_span spans[] = {{0, 20 * MIB}, {30 * MIB, 1000}, {50 * MIB, 5000}};
    sc_source_prefetch(w.f, spans, 3);
    CHECK(reads_well(w.f, 50 * MIB, 5000));
    REQUIRE(range_seen(w.s, log, NULL, NULL) >= 2);
    CHECK(!log[0].cdn);
    CHECK_U64(log[0].off, 30 * MIB);
    CHECK_U64(asked_for(w.s, true, 30 * MIB, 1000), 1);
    CHECK(reads_well(w.f, 0, 20 * MIB));
    CHECK_U64(asked_for(w.s, true, 0, 20 * MIB), 1);
    world_end(&w);
}

enum { READERS = 8, READS = 60 };

struct reader_job {
    struct world *w;
    uint64_t seed;
    bool restless; /* the server gets in the way */
    bool ok;
    unsigned failed;
};

static uint64_t random_next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void disturb(struct range_server *s, uint64_t dice)
{
    static const int status[] = {403, 404, 401, 500};
    range_lock(s);
    if (dice % 3 == 0) {
        s->refuse = status[dice / 3 % 4];
        s->refusals = (unsigned)(dice / 12 % 6);
    } else if (dice % 3 == 1) {
        s->signature++;
    } else {
        s->expires_in = dice / 3 % 2 ? 30 : 3600;
    }
    range_unlock(s);
}

/* It may fail, but what it reads must be right. */
static bool reads_nothing_wrong(struct reader_job *j, uint64_t off, size_t len)
{
    struct sc_error e;
    uint8_t *p = malloc(len);
    int rc = sc_source_read(j->w->f, off, p, len, &e);
    bool ok = rc < 0 || is_pattern(p, off, len);
    j->failed += rc < 0;
    free(p);
    return ok;
}

static void *read_randomly(void *ctx)
{
    struct reader_job *j = ctx;
    j->ok = true;
    for (int i = 0; i < READS && j->ok; i++) {
        uint64_t off = random_next(&j->seed) % (16 * MIB);
        size_t len = (size_t)(random_next(&j->seed) % (i % 16 == 0 ? 3 * MIB : 100 * KIB)) + 1;
        if (i % 7 == 0)
            sc_source_prefetch(j->w->f, (struct sc_span[]){{off, len}, {off + 4 * MIB, len}}, 2);
        if (i % 23 == 0)
            sc_remote_forget(j->w->r);
        len = (size_t)SC_MIN((uint64_t)len, j->w->f->size - off);
        if (j->restless && i % 3 == 0)
            disturb(j->w->s, random_next(&j->seed) >> 7);
        j->ok = j->restless ? reads_nothing_wrong(j, off, len) : reads_well(j->w->f, off, len);
    }
    return NULL;
}

/* How many reads failed. */
static unsigned many_readers(struct world *w, bool restless)
{
    unsigned failed = 0;
    pthread_t thread[READERS];
    struct reader_job job[READERS];
    for (size_t i = 0; i < READERS; i++) {
        job[i] = (struct reader_job){w, 0x9e3779b97f4a7c15u * (i + 1), restless, false, 0};
        if (pthread_create(&thread[i], NULL, read_randomly, &job[i]) != 0)
            abort();
    }
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(thread[i], NULL);
        CHECK(job[i].ok);
        failed += job[i].failed;
    }
    return failed;
}

TEST(eight_threads_read_one_file)
{
    struct world w = signed_world(16 * MIB);
    size_t hub = 0;
    many_readers(&w, false);
    range_seen(w.s, NULL, &hub, NULL);
    CHECK_U64(hub, 1);
    world_end(&w);
}

TEST(eight_threads_and_a_store)
{
    struct kept k = {0};
    struct world w = stored_world(&k, true);
    sc_source_close(w.f);
    REQUIRE(sc_remote_source(w.r, &w.f, NULL) == 0);
    many_readers(&w, false);
    world_end(&w);
}

TEST(eight_threads_and_a_restless_server)
{
    struct world w = signed_world(16 * MIB);
    CHECK(many_readers(&w, true) > 0);
    range_lock(w.s);
    w.s->refusals = 0;
    range_unlock(w.s);
    CHECK(reads_well(w.f, 0, 16 * MIB));
    world_end(&w);
}

/* Every allocation of ours fails once; the next read makes good for it. */
TEST(memory_runs_out)
{
    struct kept k = {0};
    bool reached = true;
    for (uint64_t i = 0; reached; i++) {
        memset(k.here, 0, sizeof k.here);
        struct world w = stored_world(&k, true);
        uint8_t *p = malloc(3 * MIB);
        w.s->redirects = true;
        CHECK(reads_well(w.f, 900 * MIB, 10)); /* now there are connections */
        sc_oom_fail_at(i);
        sc_source_prefetch(w.f, (struct sc_span[]){{0, 1000}, {MIB, 1000}}, 2);
        int rc = sc_source_read(w.f, 0, p, 2000, NULL);
        if (rc == 0)
            rc = sc_source_read(w.f, MIB, p, 3 * MIB, NULL);
        reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK(rc == 0 || (reached && (rc == SCRUPLE_EMEMORY || rc == SCRUPLE_ENETWORK)));
        free(p);
        CHECK(reads_well(w.f, 0, 2000));
        CHECK(reads_well(w.f, MIB, 3 * MIB));
        world_end(&w);
    }
}

/* Not a test of its own: how fast is a large read? SCRUPLE_BENCH=1 test_remote throughput */
TEST(throughput)
{
    if (!getenv("SCRUPLE_BENCH"))
        return;
    struct world w = world(2 * GIB);
    uint8_t *p = malloc(GIB);
    struct timespec a, b;
    struct sc_error e;
    memset(p, 1, GIB);
    for (int i = 0; i < 3; i++) {
        clock_gettime(CLOCK_MONOTONIC, &a);
        CHECK_ERR(0, sc_source_read(w.f, MIB, p, GIB, &e));
        clock_gettime(CLOCK_MONOTONIC, &b);
        double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
        printf("1 GiB in %.3f s: %.2f GB/s\n", s, 1.073741824 / s);
    }
    free(p);
    world_end(&w);
}
