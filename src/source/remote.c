/* SPDX-License-Identifier: Apache-2.0 */
/* remote: a file behind a URL, as a source. Owns: which bytes a read takes from where (extents,
 * store, network), how far it reads ahead, and what prefetch asks for. The lists are in
 * remote_extents.c and remote_spans.c, the requests in remote_fetch.c. */
#include "source/remote_internal.h"

#include <stdlib.h>
#include <string.h>

#define NEAR          ((uint64_t)4 << 10) /* the rest of a string that was stepped over */
#define FIRST_DEFAULT ((uint64_t)128 << 10)
#define AHEAD_MAX     ((uint64_t)4 << 20)
#define STRAIGHT      ((uint64_t)1 << 20) /* above it, a read is not kept in memory */
#define PART          ((uint64_t)8 << 20)
#define PARTS         4
#define ANNOUNCED_MAX 4096
/* What may be read of a server that ignores ranges: http.h skips no further. */
#define RANGELESS ((uint64_t)1 << 20)

struct handle {
    struct sc_source base;
    struct sc_remote *r;
    uint64_t next; /* where the last read ended */
    uint64_t step; /* bytes that reading on fetched last; 0: a jump came after it */
};

/* ------------------------------------------------------------------------- keeping, freeing --- */

/* Offer to the store what came over the wire; the lock is held, but not meanwhile. */
static void save_fresh(struct sc_remote *r)
{
    uint64_t at = 0;
    while (r->n_fresh > 0) {
        struct extent *x = sc_remote_next_fresh(r, at);
        if (!x) { /* it came meanwhile, in front of us */
            at = 0;
            continue;
        }
        at = x->off + x->len;
        x->fresh = false;
        r->n_fresh--;
        x->refs++;
        pthread_mutex_unlock(&r->lock);
        r->store.save(r->store.ctx, x->off, x->bytes, (size_t)x->len);
        pthread_mutex_lock(&r->lock);
        sc_remote_unref(r, x);
    }
}

/* What a read leaves behind, on the reader's thread. */
static void tidy(struct sc_remote *r)
{
    pthread_mutex_lock(&r->lock);
    save_fresh(r);
    (void)sc_remote_make_room(r, 0, false);
    bool retired = r->retired != NULL;
    pthread_mutex_unlock(&r->lock);
    if (retired)
        sc_remote_reap(r);
}

/* ------------------------------------------------------------------------------- prefetch --- */

/* Appends those parts of s that the store lacks. false: no memory. */
static bool add_unstored(struct sc_remote *r, struct sc_span s, struct sc_spans *out)
{
    uint64_t off = s.off, end = s.off + s.len, gap_off, gap_len;
    if (!r->store.load)
        return sc_remote_spans_add(out, s.off, s.len);
    if (r->store.gap) {
        while (off < end && r->store.gap(r->store.ctx, off, end, &gap_off, &gap_len)) {
            if (gap_len == 0 || gap_off < off || gap_off >= end || gap_len > end - gap_off)
                break;
            if (!sc_remote_spans_add(out, gap_off, gap_len))
                return false;
            off = gap_off + gap_len;
        }
        return true;
    }
    /* It can only be asked by loading: look how far its bytes go from the beginning on. */
    enum { LOOK = 64 << 10 };
    uint8_t *scratch = sc_alloc(LOOK);
    while (scratch && off < end) {
        size_t want = (size_t)SC_MIN((uint64_t)LOOK, end - off);
        size_t n = r->store.load(r->store.ctx, off, scratch, want);
        off += SC_MIN(n, want);
        if (n < want)
            break;
    }
    free(scratch);
    return sc_remote_spans_add(out, off, end - off);
}

/* Asks for s, in which there is no extent. */
static void prefetch_gap(struct sc_remote *r, const struct sc_spans *want, struct sc_span s)
{
    if (!sc_remote_spans_trim(want, &s))
        return;
    if (r->no_ranges && s.len < r->size && s.off + s.len > RANGELESS)
        return; /* the read will say so */
    if (!sc_remote_make_room(r, s.len, true))
        return; /* it is fetched when it is read */
    struct extent *x = sc_remote_add_extent(r, s.off, s.len);
    if (x)
        sc_remote_start(r, x);
}

static void prefetch_piece(struct sc_remote *r, const struct sc_spans *want, struct sc_span s)
{
    uint64_t end = s.off + s.len, gap = 0;
    while (s.off < end) {
        struct extent *x = sc_remote_find(r, s.off, &gap);
        if (x && x->state == EXTENT_FAILED) {
            x->again = false;
            sc_remote_start(r, x);
        }
        uint64_t next = x ? x->off + x->len : SC_MIN(gap, end);
        if (!x)
            prefetch_gap(r, want, (struct sc_span){s.off, next - s.off});
        s.off = next;
    }
}

/* Remembers them as the ends of reading ahead; without memory it does without. */
static void announce(struct sc_remote *r, const struct sc_spans *merged)
{
    struct sc_spans *l = &r->announced;
    if (l->n > ANNOUNCED_MAX)
        l->n = 0; /* old ones were read long ago */
    for (size_t i = 0; i < merged->n; i++)
        if (!sc_remote_spans_add(l, merged->p[i].off, merged->p[i].len))
            break;
    sc_remote_spans_sort(l, r->size, 0);
}

/* want: what was asked for; merged: with the small gaps between; missing: what the store lacks. */
static bool plan(struct sc_remote *r, const struct sc_span *spans, size_t n, struct sc_spans *want,
                 struct sc_spans *merged, struct sc_spans *missing)
{
    if (r->size <= SC_REMOTE_WHOLE) {
        if (!sc_remote_spans_add(want, 0, n > 0 ? r->size : 0))
            return false;
    } else {
        for (size_t i = 0; i < n; i++)
            if (!sc_remote_spans_add(want, spans[i].off, spans[i].len))
                return false;
    }
    sc_remote_spans_sort(want, r->size, 0);
    for (size_t i = 0; i < want->n; i++)
        if (!sc_remote_spans_add(merged, want->p[i].off, want->p[i].len))
            return false;
    sc_remote_spans_sort(merged, r->size, SC_REMOTE_MERGE);
    for (size_t i = 0; i < merged->n; i++)
        if (!add_unstored(r, merged->p[i], missing))
            return false;
    return true;
}

/* The first request of a file holds up all others until it is answered: the shortest goes first. */
static void shortest_first(struct sc_spans *l)
{
    size_t best = 0;
    for (size_t i = 1; i < l->n; i++)
        if (l->p[i].len < l->p[best].len)
            best = i;
    if (best > 0) {
        struct sc_span s = l->p[0];
        l->p[0] = l->p[best];
        l->p[best] = s;
    }
}

void sc_remote_prefetch(struct sc_remote *r, const struct sc_span *spans, size_t n)
{
    struct sc_spans want = {0}, merged = {0}, missing = {0};
    if (plan(r, spans, n, &want, &merged, &missing)) {
        shortest_first(&missing);
        pthread_mutex_lock(&r->lock);
        announce(r, &merged);
        for (size_t i = 0; i < missing.n; i++)
            prefetch_piece(r, &want, missing.p[i]);
        pthread_mutex_unlock(&r->lock);
    }
    sc_remote_spans_clear(&want);
    sc_remote_spans_clear(&merged);
    sc_remote_spans_clear(&missing);
    sc_remote_reap(r);
}

/* ------------------------------------------------------------------------------------ read --- */

/* What is left of one read. */
struct read {
    struct handle *h;
    uint64_t off;
    uint8_t *dst;
    uint64_t len;
    bool tried;      /* what holds `off` was waited for: if it failed, so has the read */
    bool sequential; /* it began where the last one ended, or a little behind */
};

static void advance(struct read *rd, uint64_t n)
{
    rd->off += n;
    rd->dst += n;
    rd->len -= n;
    rd->tried = false;
}

/* With the lock held, which it releases. The bytes at rd->off are in x, or will be. */
static int read_extent(struct read *rd, struct extent *x, struct sc_error *e)
{
    struct sc_remote *r = rd->h->r;
    int rc = 0;
    x->refs++;
    if (x->state == EXTENT_FAILED && !rd->tried) {
        x->again = false;
        sc_remote_start(r, x);
    }
    sc_remote_wait(r, x);
    if (x->state == EXTENT_FAILED) {
        rc = sc_remote_fail(r, x, e);
    } else {
        uint64_t at = rd->off - x->off, n = SC_MIN(rd->len, x->len - at);
        x->touched = true;
        x->used = ++r->clock;
        pthread_mutex_unlock(&r->lock);
        memcpy(rd->dst, x->bytes + at, (size_t)n);
        advance(rd, n);
        pthread_mutex_lock(&r->lock);
    }
    sc_remote_unref(r, x);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

/* Straight to the reader's memory, some parts at once. */
static int read_straight(struct sc_remote *r, uint64_t off, uint8_t *dst, uint64_t len,
                         struct sc_error *e)
{
    struct extent part[PARTS];
    uint64_t started = 0;
    size_t head = 0, flying = 0;
    int rc = 0;

    pthread_mutex_lock(&r->lock);
    while (rc == 0 && (started < len || flying > 0)) {
        while (flying < PARTS && started < len) {
            /* Others wait for the first answer; it should not take long. */
            uint64_t most = r->route == ROUTE_UNKNOWN && started == 0 ? STRAIGHT : PART;
            uint64_t n = SC_MIN(most, len - started);
            struct extent *x = &part[(head + flying++) % PARTS];
            *x = (struct extent){.off = off + started, .len = n};
            x->bytes = dst + started;
            sc_remote_start(r, x);
            started += n;
        }
        struct extent *x = &part[head];
        sc_remote_wait(r, x);
        if (x->state == EXTENT_FAILED) {
            rc = sc_remote_fail(r, x, e);
            break;
        }
        head = (head + 1) % PARTS;
        flying--;
    }
    for (; flying > 0; flying--, head = (head + 1) % PARTS) {
        sc_remote_stop(r, &part[head]);
        if (part[head].fetch)
            sc_remote_unref_fetch(r, part[head].fetch);
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

/* How many bytes to ask for at rd->off when `need` are wanted and `room` are missing. */
static uint64_t fetch_length(const struct read *rd, uint64_t need, uint64_t room)
{
    const struct sc_remote *r = rd->h->r;
    uint64_t n = need;
    if (!r->asked)
        n = SC_MAX(n, r->first);
    else if (rd->sequential)
        n = SC_MAX(n, SC_MIN(SC_MAX(2 * rd->h->step, SC_REMOTE_MERGE), AHEAD_MAX));
    if (r->no_ranges && rd->off < RANGELESS)
        n = RANGELESS - rd->off; /* that much comes anyway, and no more */
    size_t i = sc_remote_spans_at(&r->announced, rd->off);
    if (i < r->announced.n && r->announced.p[i].off <= rd->off) {
        uint64_t end = r->announced.p[i].off + r->announced.p[i].len;
        n = SC_MAX(need, SC_MIN(n, end - rd->off));
    }
    return SC_MIN(n, room);
}

static int fail_rangeless(const struct sc_remote *r, uint64_t off, struct sc_error *e)
{
    struct sc_quoted q;
    return sc_fail_at(
        e, SCRUPLE_ENETWORK, off,
        "%s: the server ignores byte ranges, so only the first %llu bytes can be read "
        "from there (download the file first)",
        sc_quote_path(&q, r->name), (unsigned long long)RANGELESS);
}

/* Nobody has the `need` bytes at rd->off. */
static int fetch_small(struct read *rd, uint64_t need, struct sc_error *e)
{
    struct sc_remote *r = rd->h->r;
    uint64_t gap = 0;
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    if (!sc_remote_find(r, rd->off, &gap)) { /* else somebody else has just asked for it */
        uint64_t room = SC_MIN(gap, r->size) - rd->off;
        uint64_t n = fetch_length(rd, SC_MIN(need, room), room);
        struct extent *x = sc_remote_add_extent(r, rd->off, n);
        if (x) {
            sc_remote_start(r, x);
            rd->h->step = n;
            rd->tried = true;
        } else {
            rc = sc_fail_memory(e);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

/* A small file comes whole. false: it does not cover rd->off. */
static bool fetch_whole(struct read *rd)
{
    struct sc_remote *r = rd->h->r;
    if (r->size > SC_REMOTE_WHOLE)
        return false;
    uint64_t gap = 0;
    sc_remote_prefetch(r, &(struct sc_span){0, r->size}, 1);
    pthread_mutex_lock(&r->lock);
    bool found = sc_remote_find(r, rd->off, &gap) != NULL;
    pthread_mutex_unlock(&r->lock);
    rd->tried = rd->tried || found;
    return found;
}

static int fetch(struct read *rd, uint64_t need, struct sc_error *e)
{
    struct sc_remote *r = rd->h->r;
    uint64_t gap_off, gap_len;
    if (r->store.load && r->store.gap &&
        r->store.gap(r->store.ctx, rd->off, rd->off + need, &gap_off, &gap_len) &&
        gap_off == rd->off && gap_len > 0)
        need = SC_MIN(need, gap_len); /* then the store goes on */
    if (fetch_whole(rd))
        return 0;

    pthread_mutex_lock(&r->lock);
    bool rangeless = r->no_ranges;
    pthread_mutex_unlock(&r->lock);
    if (rangeless && (rd->off > RANGELESS || need > RANGELESS - rd->off))
        return fail_rangeless(r, SC_MAX(rd->off, RANGELESS), e);
    if (need <= STRAIGHT)
        return fetch_small(rd, need, e);
    TRY(read_straight(r, rd->off, rd->dst, need, e));
    advance(rd, need);
    return 0;
}

/* Moves rd on, or asks for what it needs to. */
static int read_some(struct read *rd, struct sc_error *e)
{
    struct sc_remote *r = rd->h->r;
    uint64_t gap = 0;
    pthread_mutex_lock(&r->lock);
    struct extent *x = sc_remote_find(r, rd->off, &gap);
    if (x)
        return read_extent(rd, x, e); /* unlocks */
    pthread_mutex_unlock(&r->lock);

    uint64_t need = SC_MIN(rd->len, gap - rd->off);
    size_t n = r->store.load ? r->store.load(r->store.ctx, rd->off, rd->dst, (size_t)need) : 0;
    if (n == 0)
        return fetch(rd, need, e);
    pthread_mutex_lock(&r->lock);
    r->asked = true; /* this file was looked at before: its beginning is nothing special */
    pthread_mutex_unlock(&r->lock);
    advance(rd, SC_MIN(n, need));
    return 0;
}

static int remote_read(struct sc_source *s, uint64_t off, void *dst, size_t len, struct sc_error *e)
{
    struct handle *h = (struct handle *)s;
    struct sc_remote *r = h->r;
    struct read rd = {.h = h, .off = off, .dst = dst, .len = len};
    pthread_mutex_lock(&r->lock);
    rd.sequential = off > 0 && h->next <= off && off - h->next <= NEAR;
    h->next = off + len;
    if (!rd.sequential)
        h->step = 0;
    pthread_mutex_unlock(&r->lock);

    int rc = 0;
    while (rc == 0 && rd.len > 0)
        rc = read_some(&rd, e);
    tidy(r);
    return rc;
}

/* ------------------------------------------------------------------------------- the source --- */

static void remote_prefetch(struct sc_source *s, const struct sc_span *spans, size_t n)
{
    sc_remote_prefetch(((struct handle *)s)->r, spans, n);
}

/* What failed is here, too: its reader will not wait. */
static bool remote_has(struct sc_source *s, struct sc_span span)
{
    struct sc_remote *r = ((struct handle *)s)->r;
    const uint64_t end = span.off + span.len;
    for (uint64_t at = span.off; at < end;) {
        uint64_t gap = 0, off, len;
        pthread_mutex_lock(&r->lock);
        const struct extent *x = sc_remote_find(r, at, &gap);
        const bool moves = x && x->state != EXTENT_HERE; /* what failed would be tried again */
        const uint64_t next = x ? x->off + x->len : SC_MIN(gap, end);
        pthread_mutex_unlock(&r->lock);
        if (moves || (!x && (!r->store.gap || r->store.gap(r->store.ctx, at, next, &off, &len))))
            return false;
        at = next;
    }
    return true;
}

static void remote_close(struct sc_source *s)
{
    struct sc_remote *r = ((struct handle *)s)->r;
    pthread_mutex_lock(&r->lock);
    bool last = --r->sources == 0;
    pthread_mutex_unlock(&r->lock);
    if (last)
        sc_remote_forget(r);
}

/* An etag tells versions of one object apart, not objects: its name belongs to it. */
static bool remote_identity(struct sc_source *s, struct sc_buf *out)
{
    struct sc_remote_facts facts;
    sc_remote_facts(((struct handle *)s)->r, &facts);
    if (!facts.etag[0])
        return false;
    sc_buf_printf(out, "remote %llu %s ", (unsigned long long)s->size, facts.etag);
    sc_buf_puts(out, s->name);
    return !out->failed;
}

static const struct sc_source_ops remote_ops = {
    .scheme = "remote",
    .read_at = remote_read,
    .prefetch = remote_prefetch,
    .has = remote_has,
    .identity = remote_identity,
    .close = remote_close,
};

int sc_remote_source(struct sc_remote *r, struct sc_source **out, struct sc_error *e)
{
    *out = NULL;
    struct handle *h = sc_source_new(sizeof *h, &remote_ops, r->name, r->size, e);
    if (!h)
        return SCRUPLE_EMEMORY;
    h->base.remote = true;
    h->r = r;
    pthread_mutex_lock(&r->lock);
    r->sources++;
    pthread_mutex_unlock(&r->lock);
    *out = &h->base;
    return 0;
}

/* ------------------------------------------------------------------------ opening, closing --- */

static bool copy_pin(char *to, size_t room, const char *from)
{
    size_t n = from ? strlen(from) : 0;
    if (n < room && n > 0)
        memcpy(to, from, n);
    return n < room;
}

static int make(struct sc_http *h, const struct sc_remote_options *o, struct sc_remote **out,
                struct sc_error *e)
{
    struct sc_remote *r = sc_calloc(1, sizeof *r);
    if (!r)
        return sc_fail_memory(e);
    *out = r;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->held_end = &r->held;
    r->http = h;
    r->url = sc_str_copy(sc_strz(o->url));
    r->name = sc_str_copy(sc_strz(o->name));
    r->with_token = o->with_token;
    r->size = o->size;
    r->facts.size = UINT64_MAX;
    r->first = o->first ? o->first : FIRST_DEFAULT;
    r->store = o->store;
    if (!r->store.load)
        r->store = (struct sc_store){0};
    r->explain = o->explain;
    r->explain_ctx = o->explain_ctx;
    if (!copy_pin(r->etag, sizeof r->etag, o->etag) ||
        !copy_pin(r->commit, sizeof r->commit, o->commit))
        return sc_fail(e, SCRUPLE_EUSAGE, "the etag or the commit of a remote file is too long");
    return r->url && r->name ? 0 : sc_fail_memory(e);
}

/* The first answer says that there is nothing: "bytes * /0". */
static bool is_empty(const struct extent *x)
{
    const struct fetch *f = x->fetch;
    return x->state == EXTENT_FAILED && f && f->q.result == 0 && f->q.reply.status == 416 &&
           f->q.reply.total == 0;
}

/* With the lock held. The first bytes, and with them the size. */
static int ask_size(struct sc_remote *r, struct sc_error *e)
{
    struct sc_quoted q;
    struct extent *x = sc_remote_add_extent(r, 0, r->first);
    if (!x)
        return sc_fail_memory(e);
    sc_remote_start(r, x);
    sc_remote_wait(r, x);
    if (is_empty(x)) {
        r->size = r->facts.size = 0;
        sc_remote_drop_extent(r, x);
        return 0;
    }
    if (x->state == EXTENT_FAILED)
        return sc_remote_fail(r, x, e);
    if (r->facts.size == UINT64_MAX)
        return sc_fail(e, SCRUPLE_ENETWORK,
                       "%s: the server says neither how long the file is nor sends parts of it "
                       "(download the file first)",
                       sc_quote_path(&q, r->name));
    r->size = r->facts.size;
    if (x->len == 0)
        sc_remote_drop_extent(r, x);
    return 0;
}

int sc_remote_open(struct sc_http *h, const struct sc_remote_options *o, struct sc_remote **out,
                   struct sc_error *e)
{
    struct sc_remote *r = NULL;
    *out = NULL;
    int rc = make(h, o, &r, e);
    if (rc == 0 && r->size == UINT64_MAX) {
        pthread_mutex_lock(&r->lock);
        rc = ask_size(r, e);
        pthread_mutex_unlock(&r->lock);
    }
    if (rc < 0) {
        sc_remote_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void sc_remote_forget(struct sc_remote *r)
{
    pthread_mutex_lock(&r->lock);
    save_fresh(r);
    sc_remote_drop_all(r);
    pthread_mutex_unlock(&r->lock);
    sc_remote_reap(r);
}

void sc_remote_facts(struct sc_remote *r, struct sc_remote_facts *out)
{
    pthread_mutex_lock(&r->lock);
    *out = r->facts;
    pthread_mutex_unlock(&r->lock);
}

/* With the lock held. */
static struct extent *next_moving(const struct sc_remote *r)
{
    for (size_t i = 0; i < r->n_extents; i++)
        if (r->extents[i]->state == EXTENT_HELD || r->extents[i]->state == EXTENT_MOVING)
            return r->extents[i];
    return NULL;
}

void sc_remote_close(struct sc_remote *r)
{
    struct extent *x;
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    while ((x = next_moving(r)) != NULL)
        sc_remote_stop(r, x);
    pthread_mutex_unlock(&r->lock);
    sc_remote_forget(r);
    free(r->extents);
    sc_remote_spans_clear(&r->announced);
    free(r->direct_url);
    free(r->url);
    free(r->name);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
