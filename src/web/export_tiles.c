/* SPDX-License-Identifier: Apache-2.0 */
/* export_tiles: packs of tiles and their index.
 *
 * Tiles are made on a line (stream/line.h): by all threads, and each is written at a place that was
 * known once its size was. The table entry of a tile has the checksum of its body, so that a run
 * that follows one which was killed can tell how far it came: up to the first entry that does not
 * fit. */
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/cache.h"
#include "stream/line.h"
#include "web/body.h"
#include "web/export.h"

enum {
    BATCH = 32,           /* tiles a thread */
    PATIENCE = 60000,     /* milliseconds that a tile waits for the network, */
    TRIES = 10,           /* so often */
    LOST = 4,             /* whose entries are written together */
    SAMPLES = 4,          /* of a level, for an estimate */
    MOST_PACKS = 1000000, /* of a view */
};
#define MOST_PACKED (UINT64_C(1) << 20) /* bytes of one tile, for certain */

struct thread_work {
    struct sc_spare spare;
    struct sc_body_work *body;
    uint16_t halves[SC_SCENE_TILE * SC_SCENE_TILE];
    struct sc_tile tiles[]; /* of each plane */
};
struct pack {
    uint64_t number;
    int fd;
};
struct slot {
    struct sc_export_at at;
    unsigned n; /* bodies: of each plane, or one for all */
    uint8_t *bytes;
    size_t cap, size[SC_PLANES_ALL];
    uint32_t crc[SC_PLANES_ALL];
    uint64_t offset[SC_PLANES_ALL]; /* in all packs */
    struct sc_error e;
};
/* Where the bodies of a tile are: of those that stand last in each column of a block. */
struct placed {
    uint64_t offset[SC_PLANES_ALL];
    size_t size[SC_PLANES_ALL];
    uint32_t crc[SC_PLANES_ALL];
};
struct packing {
    struct sc_export_job *j;
    struct sc_buf path;
    int index;
    struct pack *packs; /* that are written to now */
    size_t n_packs, packs_cap;
    uint64_t at;    /* where the next body goes, in all packs */
    uint64_t bytes; /* of bodies */
    size_t level;   /* of the last that was placed, and the two above when it began */
    uint64_t level_at, level_bytes;
    struct placed column[SC_BLOCK_SIDE];
    struct slot *slots[2]; /* (most) batches of the line */
    size_t most;
    uint64_t start;         /* tiles of an earlier run */
    struct sc_stage *stage; /* of the packs; the line's, while it puts */
    struct sc_spares works;
    atomic_bool sampled; /* some tiles are */
    struct sc_export_at next;
    bool more; /* `next` is one */
};

/* ---------------------------------------------------------------------------------- threads --- */

static struct thread_work *take_work(struct packing *p)
{
    struct thread_work *w = sc_spares_take(&p->works);
    if (w)
        return w;
    w = sc_alloc(sizeof *w + p->j->plan->n_planes * sizeof *w->tiles);
    if (!w)
        return NULL;
    w->body = sc_body_work_new();
    if (!w->body) {
        free(w);
        return NULL;
    }
    return w;
}

static void free_work(void *work)
{
    struct thread_work *w = work;
    sc_body_work_free(w->body);
    free(w);
}

/* ------------------------------------------------------------------------------- one tile --- */

static bool cancelled(const struct packing *p)
{
    return p->j->o->cancel && atomic_load(p->j->o->cancel);
}

static int make_tiles(struct packing *p, struct slot *s, struct sc_tile *t)
{
    const struct sc_web_view *view = p->j->view;
    for (int i = 0; i < TRIES && !cancelled(p); i++) {
        TRY(view->kind->planes(view->ctx, t, s->n, PATIENCE, &s->e));
        if (view->kind->check)
            TRY(view->kind->check(view->ctx, &s->e));
        if (t->flags & SC_TILE_EXACT)
            return 0;
    }
    /* Of a tensor of which nobody can read all, samples are what there is. */
    if (!cancelled(p) && !sc_tile_waits(t)) {
        p->sampled = true;
        return 0;
    }
    return cancelled(p) ? sc_fail(&s->e, SCRUPLE_EINTERRUPTED, "interrupted")
                        : sc_fail(&s->e, SCRUPLE_ENETWORK,
                                  "the weights of a tile did not arrive within %d minutes",
                                  PATIENCE / 1000 * TRIES / 60);
}

static int pack_tiles(struct packing *p, struct slot *s)
{
    const struct sc_export_plan *plan = p->j->plan;
    const struct sc_web_view *view = p->j->view;
    struct thread_work *w;
    size_t used = 0;
    s->n = s->at.mixed ? plan->n_planes : 1;
    if (s->at.like != SC_LIKE_NONE)
        return 0;
    w = take_work(p);
    if (!w)
        return sc_fail_memory(&s->e);
    for (unsigned i = 0; i < s->n; i++) {
        w->tiles[i].z = plan->levels[s->at.level].z;
        w->tiles[i].x = s->at.x;
        w->tiles[i].y = s->at.y;
        w->tiles[i].plane = plan->planes[i];
    }
    const bool halves =
        s->n == 1 && view->kind->halves && view->kind->halves(view->ctx, w->tiles, w->halves);
    int code = halves ? 0 : make_tiles(p, s, w->tiles);
    for (unsigned i = 0; i < s->n && code == 0; i++) {
        const uint8_t *body;
        s->size[i] = halves ? sc_body_pack_halves(w->body, w->tiles, w->halves, &body)
                            : sc_body_pack(w->body, &w->tiles[i], &body);
        s->crc[i] = libdeflate_crc32(0, body, s->size[i]);
        code = sc_grow(&s->bytes, &s->cap, used + s->size[i], 1, &s->e);
        if (code == 0)
            memcpy(s->bytes + used, body, s->size[i]);
        used += s->size[i];
    }
    sc_spares_leave(&p->works, w);
    return code;
}

static int write_bodies(struct packing *p, const struct slot *s, struct sc_error *e)
{
    const uint64_t each = p->j->plan->pack_bytes;
    const uint8_t *from = s->bytes;
    for (unsigned i = 0, end; i < s->n; i = end) { /* those that lie in one pack */
        const uint64_t number = s->offset[i] / each;
        size_t k = 0, n = 0;
        for (end = i; end < s->n && s->offset[end] / each == number; end++)
            n += s->size[end];
        while (p->packs[k].number != number)
            k++;
        if (!sc_stage_put(p->stage, p->packs[k].fd, from, n, s->offset[i] % each))
            return sc_export_failed(p->j->dir, e);
        from += n;
    }
    return 0;
}

/* Entries that lie behind each other in the index. */
struct entries {
    uint8_t bytes[64 * SC_ENTRY_BYTES];
    size_t n;
    uint64_t at;
};

static bool write_entries(const struct packing *p, struct entries *x)
{
    const bool good = x->n == 0 || sc_write_at(p->index, x->bytes, x->n, x->at);
    x->n = 0;
    return good;
}

static bool put_entry(const struct packing *p, const struct slot *s, unsigned plane,
                      struct entries *x)
{
    const unsigned k = s->n == 1 ? 0 : plane;
    const uint64_t at = sc_export_entry(p->j->plan, &s->at, plane);
    if ((x->n == sizeof x->bytes || at != x->at + x->n) && !write_entries(p, x))
        return false;
    if (x->n == 0)
        x->at = at;
    sc_put_le(x->bytes + x->n, s->offset[k], 8);
    sc_put_le(x->bytes + x->n + 8, s->size[k], 4);
    sc_put_le(x->bytes + x->n + 12, s->crc[k], 4);
    x->n += SC_ENTRY_BYTES;
    return true;
}

/* Bodies and entries of n slots. Entries may be there before the last bodies: their checksums tell.
 */
static int write_slots(struct packing *p, const struct slot *slots, size_t n, struct sc_error *e)
{
    const struct sc_export_plan *plan = p->j->plan;
    struct entries x = {.n = 0};
    for (size_t i = 0; i < n; i++)
        if (slots[i].at.like == SC_LIKE_NONE)
            TRY(write_bodies(p, &slots[i], e));
    for (unsigned plane = 0; plane < plan->n_planes; plane++)
        for (size_t i = 0; i < n; i++)
            if ((plane == 0 || !plan->blocks[slots[i].at.block].alike) &&
                !put_entry(p, &slots[i], plane, &x))
                return sc_export_failed(p->j->dir, e);
    return write_entries(p, &x) ? 0 : sc_export_failed(p->j->dir, e);
}

/* Tiles that were given their places, in parts: so much may be lost when it is killed. One thread
 * does it: the system lets only one write to a file, and those that wait for it do nothing else. */
static int put_tiles(void *ctx, void *things, size_t n, struct sc_error *e)
{
    const struct slot *slots = things;
    for (size_t i = 0; i < n; i += LOST)
        TRY(write_slots(ctx, slots + i, SC_MIN(n - i, (size_t)LOST), e));
    return 0;
}

/* A disk that is much slower than the threads gets what it can take at once, and the system keeps
 * the rest for it. */
static void write_plainly(void *ctx)
{
    const struct packing *p = ctx;
    sc_stage_plain(p->stage);
}

static int first_error(const struct slot *slots, size_t n, struct sc_error *e)
{
    for (size_t i = 0; i < n; i++)
        if (slots[i].e.code) {
            *e = slots[i].e;
            return e->code;
        }
    return 0;
}

static void make_one(void *ctx, void *thing)
{
    pack_tiles(ctx, thing);
}

/* ---------------------------------------------------------------------------------- places --- */

static int pack_path(struct packing *p, uint64_t number, struct sc_error *e)
{
    p->path.n = 0;
    sc_buf_printf(&p->path, "%s/pack-%03llu.bin", p->j->dir, (unsigned long long)number);
    return p->path.failed ? sc_fail_memory(e) : 0;
}

static int open_pack(struct packing *p, uint64_t number, struct sc_error *e)
{
    for (size_t i = 0; i < p->n_packs; i++)
        if (p->packs[i].number == number)
            return 0;
    TRY(sc_grow(&p->packs, &p->packs_cap, p->n_packs + 1, sizeof *p->packs, e));
    TRY(pack_path(p, number, e));
    const int fd = open(p->path.p, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return sc_export_failed(p->path.p, e);
    p->packs[p->n_packs++] = (struct pack){number, fd};
    return 0;
}

/* All but the one that is written to; `all`: that one, too. A full disk may show here. */
static int close_packs(struct packing *p, bool all, struct sc_error *e)
{
    const uint64_t number = p->at / p->j->plan->pack_bytes;
    size_t n = 0;
    int code = 0;
    for (size_t i = 0; i < p->n_packs; i++) {
        const int fd = p->packs[i].fd;
        if (!all && p->packs[i].number >= number) {
            p->packs[n++] = p->packs[i];
            continue;
        }
        bool good = !p->stage || fd != sc_stage_fd(p->stage) || sc_stage_flush(p->stage);
        good = (close(fd) == 0 || errno == EINTR) && good;
        if (!good && code == 0)
            code = sc_export_failed(p->j->dir, e);
    }
    p->n_packs = n;
    return code;
}

static void enter_level(struct packing *p, size_t level)
{
    if (level == p->level)
        return;
    p->level = level;
    p->level_at = p->at;
    p->level_bytes = p->bytes;
}

/* What a tile shares, or what others may share with it. */
static struct placed *column_of(struct packing *p, const struct sc_export_at *at, bool shared)
{
    const unsigned col = at->bit % SC_BLOCK_SIDE;
    return &p->column[shared && at->like == SC_LIKE_BEFORE ? col - 1 : col];
}

/* Bodies of a tile behind all others, or where those that it shares are. */
static int place_slot(struct packing *p, struct slot *s, struct sc_error *e)
{
    const uint64_t each = p->j->plan->pack_bytes;
    if (s->at.like != SC_LIKE_NONE) {
        const struct placed *of = column_of(p, &s->at, true);
        memcpy(s->offset, of->offset, sizeof s->offset);
        memcpy(s->size, of->size, sizeof s->size);
        memcpy(s->crc, of->crc, sizeof s->crc);
    }
    for (unsigned k = 0; k < s->n && s->at.like == SC_LIKE_NONE; k++) {
        const uint64_t room = each - p->at % each;
        if (s->size[k] > room)
            p->at += room;
        s->offset[k] = p->at;
        p->at += s->size[k];
        p->bytes += s->size[k];
        if (p->at / each > MOST_PACKS)
            return sc_fail(e, SCRUPLE_ELIMIT, "an export has at most %d packs", MOST_PACKS);
        TRY(open_pack(p, s->offset[k] / each, e));
    }
    struct placed *to = column_of(p, &s->at, false);
    memcpy(to->offset, s->offset, sizeof to->offset);
    memcpy(to->size, s->size, sizeof to->size);
    memcpy(to->crc, s->crc, sizeof to->crc);
    return 0;
}

/* Where the bodies of n tiles go. Returns 1 when a level does not fit: it is left out. */
static int place_slots(struct packing *p, struct slot *slots, size_t *n, struct sc_error *e)
{
    struct sc_export_plan *plan = p->j->plan;
    for (size_t i = 0; i < *n; i++) {
        struct slot *s = &slots[i];
        enter_level(p, s->at.level);
        TRY(place_slot(p, s, e));
        if (sc_add_up(p->bytes, plan->levels[s->at.level].end) > p->j->most) {
            sc_export_plan_cut(plan, s->at.level);
            while (*n > 0 && slots[*n - 1].at.level >= plan->n_levels)
                --*n;
            p->at = p->level_at;
            p->bytes = p->level_bytes;
            return 1;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------ what is there already
 * --- */

/* The body of an entry is where it would have been put, and whole. */
static bool is_whole(struct packing *p, const struct sc_export_at *at, unsigned plane,
                     uint64_t *next, uint64_t *bytes, uint8_t *work_space)
{
    const uint64_t each = p->j->plan->pack_bytes;
    uint8_t entry[SC_ENTRY_BYTES];
    struct sc_error e;
    if (!sc_read_at(p->index, entry, sizeof entry, sc_export_entry(p->j->plan, at, plane)))
        return false;
    const uint64_t offset = sc_le64(entry), size = sc_le32(entry + 8);
    const uint32_t crc = sc_le32(entry + 12);
    struct placed *to = column_of(p, at, false);
    if (at->like != SC_LIKE_NONE) {
        const struct placed *of = column_of(p, at, true);
        const unsigned k = at->mixed ? plane : 0;
        if (offset != of->offset[k] || size != of->size[k] || crc != of->crc[k])
            return false;
    } else if (plane > 0 && !at->mixed) { /* the body of the first */
        return offset + size == *next;
    }
    to->offset[plane] = offset;
    to->size[plane] = size;
    to->crc[plane] = crc;
    if (at->like != SC_LIKE_NONE)
        return true;
    if (*next % each + size > each)
        *next += each - *next % each;
    if (size == 0 || size > MOST_PACKED || offset != *next || open_pack(p, offset / each, &e) < 0)
        return false;
    const struct pack *pack = &p->packs[p->n_packs - 1];
    if (pack->number != offset / each || !sc_read_at(pack->fd, work_space, size, offset % each))
        return false;
    *next += size;
    *bytes += size;
    return libdeflate_crc32(0, work_space, size) == crc;
}

/* Tiles that an earlier run has left, as a number; what lies behind them is written anew. */
static int find_done(struct packing *p, uint64_t *n, struct sc_error *e)
{
    const struct sc_export_plan *plan = p->j->plan;
    struct sc_export_at at;
    uint8_t *space = sc_alloc(MOST_PACKED);
    bool more = plan->n_tiles > 0;
    if (!space)
        return sc_fail_memory(e);
    if (more)
        sc_export_tile_at(plan, 0, &at);
    for (*n = 0; more && !cancelled(p); ++*n) {
        const unsigned planes = plan->blocks[at.block].alike ? 1 : plan->n_planes;
        enter_level(p, at.level);
        uint64_t next = p->at, bytes = p->bytes;
        bool whole = true;
        for (unsigned i = 0; i < planes && whole; i++)
            whole = is_whole(p, &at, i, &next, &bytes, space);
        if (!whole || sc_add_up(bytes, plan->levels[at.level].end) > p->j->most)
            break;
        p->at = next;
        p->bytes = bytes;
        more = sc_export_next(plan, &at);
        if (p->n_packs > 2 && close_packs(p, false, e) < 0)
            break;
    }
    free(space);
    return 0;
}

/* Packs that are not of this export any more. */
static int remove_behind(struct packing *p, uint64_t number, struct sc_error *e)
{
    for (; number < MOST_PACKS; number++) {
        TRY(pack_path(p, number, e));
        if (unlink(p->path.p) < 0)
            return errno == ENOENT ? 0 : sc_export_failed(p->path.p, e);
    }
    return 0;
}

/* The index file with this head, which an earlier run may have begun. */
static int open_index(struct packing *p, bool *begun, struct sc_error *e)
{
    struct sc_buf head = {0}, done = {0};
    char *old = NULL;
    int code = sc_export_head(p->j->plan, &head);

    p->path.n = 0;
    sc_buf_printf(&p->path, "%s/index.part", p->j->dir);
    sc_buf_printf(&done, "%s/index.bin", p->j->dir);
    if (code < 0 || p->path.failed || done.failed)
        code = sc_fail_memory(e);
    if (code == 0 && rename(done.p, p->path.p) < 0 && errno != ENOENT)
        code = sc_export_failed(done.p, e);
    p->index = code < 0 ? -1 : open(p->path.p, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (code == 0 && p->index < 0)
        code = sc_export_failed(p->path.p, e);
    if (code == 0 && !(old = sc_alloc(head.n)))
        code = sc_fail_memory(e);
    *begun = code == 0 && sc_read_at(p->index, old, head.n, 0) && memcmp(old, head.p, 4) == 0 &&
             memcmp(old + 8, head.p + 8, head.n - 8) == 0; /* but for the number of levels */
    if (code == 0 && !*begun &&
        (ftruncate(p->index, 0) < 0 || !sc_write_at(p->index, head.p, head.n, 0)))
        code = sc_export_failed(p->path.p, e);
    free(old);
    sc_buf_clear(&head);
    sc_buf_clear(&done);
    return code;
}

/* ------------------------------------------------------------------------------------- runs --- */

static size_t next_tiles(void *ctx, void *things)
{
    struct packing *p = ctx;
    struct slot *slots = things;
    size_t n = 0;
    for (; p->more && n < p->most; p->more = sc_export_next(p->j->plan, &p->next)) {
        slots[n].e.code = 0;
        slots[n++].at = p->next;
    }
    return n;
}

static int arrange_tiles(void *ctx, void *things, size_t *n, uint64_t done, struct sc_error *e)
{
    struct packing *p = ctx;
    const struct sc_export_job *j = p->j;
    TRY(first_error(things, *n, e));
    if (cancelled(p))
        return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
    if (j->o->progress)
        j->o->progress(j->o->ctx, j->done_before + p->start + done, j->total);
    TRY(close_packs(p, false, e));
    return place_slots(p, things, n, e);
}

/* Those from number `start` on. */
static int run_tiles(struct packing *p, uint64_t start, struct sc_error *e)
{
    const struct sc_line line = {.pool = p->j->o->pool,
                                 .most = p->most,
                                 .size = sizeof **p->slots,
                                 .batches = {p->slots[0], p->slots[1]},
                                 .ctx = p,
                                 .next = next_tiles,
                                 .make = make_one,
                                 .arrange = arrange_tiles,
                                 .put = put_tiles,
                                 .slow = write_plainly};
    p->start = start;
    p->more = start < p->j->plan->n_tiles;
    if (p->more)
        sc_export_tile_at(p->j->plan, start, &p->next);
    TRY(sc_line_run(&line, e));
    return sc_stage_flush(p->stage) ? 0 : sc_export_failed(p->j->dir, e);
}

/* The last levels may have been given up: what stands in the packs behind the last tile goes, the
 * head of the index says how many there are. */
static int finish(struct packing *p, uint64_t *bytes, struct sc_error *e)
{
    struct sc_export_plan *plan = p->j->plan;
    const uint64_t last = p->at ? (p->at - 1) / plan->pack_bytes : 0;
    struct sc_buf done = {0};
    TRY(remove_behind(p, p->at ? last + 1 : 0, e));
    if (p->at) {
        TRY(open_pack(p, last, e));
        for (size_t i = 0; i < p->n_packs; i++)
            if (p->packs[i].number == last &&
                ftruncate(p->packs[i].fd, (off_t)(p->at - last * plan->pack_bytes)) < 0)
                return sc_export_failed(p->j->dir, e);
    }
    const uint64_t end = plan->levels[plan->n_levels - 1].end;
    uint8_t levels[4];
    sc_put_le(levels, (uint64_t)plan->n_levels * plan->n_planes, 4);
    *bytes = p->bytes + end;
    if (ftruncate(p->index, (off_t)end) < 0 || !sc_write_at(p->index, levels, sizeof levels, 4))
        return sc_export_failed(p->j->dir, e);
    p->path.n = 0;
    sc_buf_printf(&p->path, "%s/index.part", p->j->dir);
    sc_buf_printf(&done, "%s/index.bin", p->j->dir);
    int code = p->path.failed || done.failed ? sc_fail_memory(e) : 0;
    if (code == 0 && (close(p->index) < 0 || rename(p->path.p, done.p) < 0))
        code = sc_export_failed(done.p, e);
    p->index = -1;
    sc_buf_clear(&done);
    return code;
}

static int start_packing(struct packing *p, struct sc_export_job *j, size_t most,
                         struct sc_error *e)
{
    *p = (struct packing){.j = j, .index = -1, .level = SIZE_MAX, .most = most};
    if (!sc_spares_begin(&p->works))
        return sc_fail_memory(e);
    for (size_t k = 0; k < SC_COUNT(p->slots); k++)
        p->slots[k] = sc_calloc(most, sizeof *p->slots[k]);
    return p->slots[0] && p->slots[1] ? 0 : sc_fail_memory(e);
}

static void free_slots(struct slot *slots, size_t n)
{
    for (size_t i = 0; slots && i < n; i++)
        free(slots[i].bytes);
    free(slots);
}

static void end_packing(struct packing *p)
{
    struct sc_error ignored;
    for (size_t k = 0; k < SC_COUNT(p->slots); k++)
        free_slots(p->slots[k], p->most);
    sc_spares_end(&p->works, free_work);
    (void)close_packs(p, true, &ignored);
    sc_stage_free(p->stage);
    if (p->index >= 0)
        close(p->index);
    free(p->packs);
    sc_buf_clear(&p->path);
}

int sc_export_tiles(struct sc_export_job *j, uint64_t *bytes, uint64_t *kept, struct sc_error *e)
{
    const size_t most = (size_t)BATCH * sc_pool_threads(j->o->pool);
    struct packing p;
    uint64_t start = 0;
    bool begun = false;
    int code = start_packing(&p, j, most, e);

    if (code == 0)
        code = open_index(&p, &begun, e);
    if (code == 0 && begun)
        code = find_done(&p, &start, e);
    *kept = start;
    if (code == 0 && !(p.stage = sc_stage_new()))
        code = sc_fail_memory(e);
    if (code == 0)
        code = run_tiles(&p, start, e);
    if (code == 0 && j->plan->n_levels == 0)
        code = sc_fail(e, SCRUPLE_ELIMIT,
                       "not even the overview fits into as many bytes as are allowed");
    if (code == 0)
        code = finish(&p, bytes, e);
    if (code == 0 && p.sampled && j->o->note)
        j->o->note(j->o->ctx, "some tensors are too large to be read as a whole; where many of "
                              "their weights share a pixel, it shows one of them");
    end_packing(&p);
    return code;
}

/* -------------------------------------------------------------------------------- estimates --- */

struct estimate {
    struct packing p;
    struct slot *slots; /* SAMPLES of each level */
};

static void sample(void *ctx, size_t i)
{
    struct estimate *x = ctx;
    const struct sc_export_plan *plan = x->p.j->plan;
    const struct sc_export_level *l = &plan->levels[i / SAMPLES];
    const uint64_t k = i % SAMPLES;
    struct slot *s = &x->slots[i];
    if (k >= l->n)
        return;
    /* All, or the middles of equal parts. */
    const uint64_t part = l->n / SAMPLES, rest = l->n % SAMPLES;
    sc_export_tile_at(
        plan,
        l->first + (l->n <= SAMPLES ? k : k * part + SC_MIN(k, rest) + (part + (k < rest)) / 2),
        &s->at);
    pack_tiles(&x->p, s);
}

static uint64_t size_of_level(const struct slot *s, const struct sc_export_level *l)
{
    const uint64_t n = SC_MIN(l->n, (uint64_t)SAMPLES);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++)
        for (unsigned k = 0; k < s[i].n && s[i].at.like == SC_LIKE_NONE; k++)
            sum += s[i].size[k];
    return n == 0 ? 0 : sum / n * l->n + sum % n * l->n / n;
}

int sc_export_estimate(struct sc_export_job *j, uint64_t *bytes, struct sc_error *e)
{
    const size_t n = j->plan->n_levels * SAMPLES;
    struct estimate x = {.slots = sc_calloc(SC_MAX(n, (size_t)1), sizeof *x.slots)};
    int code = start_packing(&x.p, j, 1, e);

    if (code == 0 && !x.slots)
        code = sc_fail_memory(e);
    if (code == 0)
        sc_pool_for(j->o->pool, n, sample, &x);
    if (code == 0)
        code = first_error(x.slots, n, e);
    if (code == 0 && cancelled(&x.p))
        code = sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
    uint64_t sum = 0;
    for (size_t i = 0; i < j->plan->n_levels && code == 0; i++) {
        sum = sc_add_up(sum, size_of_level(x.slots + i * SAMPLES, &j->plan->levels[i]));
        bytes[i] = sc_add_up(sum, j->plan->levels[i].end);
    }
    free_slots(x.slots, n);
    end_packing(&x.p);
    return code;
}
