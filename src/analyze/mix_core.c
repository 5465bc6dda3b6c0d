/* SPDX-License-Identifier: Apache-2.0 */
/* mix_core: the last bytes of an assignment that one price has made.
 *
 * A price leaves less than one step of one cell unspent (or overspent). What is better than that
 * differs from it in few cells, those whose second choice costs little at this price: the core of
 * a knapsack (E. Balas and E. Zemel, Operations Research 28 (1980) 1130; with classes: D. Pisinger,
 * EJOR 83 (1995) 394). All combinations of their formats are built up cell by cell; of those with
 * no fewer bytes and no less error than another one nothing more is needed. Lists that grow too
 * long keep what costs least at the price, so small tables are solved exactly. */
#include <stdlib.h>
#include <string.h>

#include "analyze/mix_set.h"

enum { CORE_CELLS = 24, CORE_STATES = 1024 };

struct near {
    double cost; /* of the second choice at the price, more than the first */
    uint64_t at;
};
struct nearest {
    size_t n;
    struct near cell[CORE_CELLS]; /* the nearest first */
};
struct state {
    double cost, error, y, yy, dd, abs; /* more than now; negative: less */
    int64_t bytes;
    uint16_t from; /* index of the state before the last cell */
    int8_t format; /* of the last cell */
};
struct back {
    uint16_t from;
    int8_t format;
};
struct core {
    struct sc_mix_search *x;
    const struct sc_mix_price *p;
    double price;
    struct nearest cells;
    struct state *states; /* (CORE_STATES * SC_MIX_FORMATS) */
    size_t n;
    struct back (*backs)[CORE_STATES]; /* (CORE_CELLS) */
};

/* ---------------------------------------------------------------------------- which cells --- */
static void insert(struct nearest *to, struct near cell)
{
    size_t k = to->n;
    if (k == CORE_CELLS) {
        if (!(cell.cost < to->cell[k - 1].cost))
            return;
        k--;
    } else {
        to->n++;
    }
    for (; k > 0 && cell.cost < to->cell[k - 1].cost; k--)
        to->cell[k] = to->cell[k - 1];
    to->cell[k] = cell;
}

static bool may_use(const struct core *job, const struct sc_cells *c, size_t f)
{
    const uint32_t all = (UINT32_C(1) << c->n_formats) - 1;
    return !(job->p->mask & all) || job->p->mask >> f & 1;
}

static void look(void *ctx, const struct sc_mix_run *r, void *partial)
{
    const struct core *job = ctx;
    const struct sc_cells *c = r->c;

    for (uint64_t i = 0; i < r->n; i++) {
        const uint64_t cell = r->first + i;
        const uint32_t part = c->values[cell].part;
        const size_t now = (size_t)job->x->now[r->at + i];
        const double error = sc_mix_price_error(job->p, sc_cell_error(c, cell, now));
        double least = (double)INFINITY;
        if (c->values[cell].n == 0)
            continue;
        for (size_t f = 0; f < c->n_formats; f++) {
            if (f == now || !may_use(job, c, f))
                continue;
            const double worse = sc_mix_price_error(job->p, sc_cell_error(c, cell, f)) - error;
            const double more = (double)c->bytes[f][part] - (double)c->bytes[now][part];
            const double cost = worse + job->price * more;
            if ((worse < 0 || more < 0) && cost < least)
                least = cost;
        }
        if (least < (double)INFINITY)
            insert(partial, (struct near){least, r->at + i});
    }
}

static void look_fold(void *ctx, void *partial)
{
    struct core *job = ctx;
    const struct nearest *from = partial;
    for (size_t i = 0; i < from->n; i++)
        insert(&job->cells, from->cell[i]);
}

/* ------------------------------------------------------------------------------ their lists --- */
static int by_bytes(const void *a, const void *b)
{
    const struct state *p = a, *q = b;
    if (p->bytes != q->bytes)
        return p->bytes < q->bytes ? -1 : 1;
    if (p->error != q->error)
        return p->error < q->error ? -1 : 1;
    return p->from != q->from ? (p->from < q->from ? -1 : 1)
                              : (p->format > q->format) - (p->format < q->format);
}

static int by_cost(const void *a, const void *b)
{
    const struct state *p = a, *q = b;
    return p->cost != q->cost ? (p->cost < q->cost ? -1 : 1) : by_bytes(a, b);
}

/* Only what is smaller than everything with less error. */
static void prune(struct core *job)
{
    size_t kept = 0;
    qsort(job->states, job->n, sizeof *job->states, by_bytes);
    for (size_t i = 0; i < job->n; i++)
        if (kept == 0 || job->states[i].error < job->states[kept - 1].error)
            job->states[kept++] = job->states[i];
    job->n = kept;
    if (kept <= CORE_STATES)
        return;
    qsort(job->states, kept, sizeof *job->states, by_cost);
    job->n = CORE_STATES;
}

static void add_cell(struct core *job, size_t k)
{
    const uint64_t at = job->cells.cell[k].at;
    const struct sc_mix_run r = sc_mix_run_at(job->x->s, at, at + 1);
    const struct sc_cells *c = r.c;
    const uint32_t part = c->values[r.first].part;
    const size_t now = (size_t)job->x->now[at], before = job->n;
    const struct sc_cell_error *stay = sc_cell_error(c, r.first, now);
    const double error = sc_mix_price_error(job->p, stay);

    for (size_t i = 0; i < before; i++) {
        job->states[i].from = (uint16_t)i;
        job->states[i].format = (int8_t)now;
    }
    for (size_t f = 0; f < c->n_formats; f++) {
        const struct sc_cell_error *to = sc_cell_error(c, r.first, f);
        const double worse = sc_mix_price_error(job->p, to) - error;
        const int64_t more = (int64_t)(c->bytes[f][part] - c->bytes[now][part]);
        if (f == now || !may_use(job, c, f) || !isfinite(worse))
            continue;
        for (size_t i = 0; i < before; i++) {
            struct state s = job->states[i];
            s.cost += worse + job->price * (double)more;
            s.error += worse;
            s.bytes += more;
            s.y += to->y - stay->y;
            s.yy += to->yy - stay->yy;
            s.dd += to->dd - stay->dd;
            s.abs += to->abs - stay->abs;
            s.from = (uint16_t)i;
            s.format = (int8_t)f;
            job->states[job->n++] = s;
        }
    }
    prune(job);
    for (size_t i = 0; i < job->n; i++)
        job->backs[k][i] = (struct back){job->states[i].from, job->states[i].format};
}

/* ------------------------------------------------------------------------------- the answer --- */
static bool holds(const struct core *job, const struct state *state)
{
    struct sc_mix_sums s = job->x->now_sums;
    sc_mix_add(s.y, state->y);
    sc_mix_add(s.yy, state->yy);
    sc_mix_add(s.dd, state->dd);
    sc_mix_add(s.abs, state->abs);
    return sc_mix_good(job->x->goal, sc_mix_sums_value(&s, job->x->metric));
}

/* The best of the last list, in which bytes rise and errors fall; job->n: none. */
static size_t choose(const struct core *job, uint64_t room)
{
    size_t best = job->n;
    for (size_t i = 0; i < job->n; i++) {
        const struct state *s = &job->states[i];
        if (job->x->goal) {
            if ((best == job->n || s->bytes < job->states[best].bytes) && holds(job, s))
                best = i;
        } else if ((s->bytes <= 0 || (uint64_t)s->bytes <= room) &&
                   (best == job->n || s->error < job->states[best].error)) {
            best = i;
        }
    }
    return best;
}

static void combine(struct core *job, uint64_t room)
{
    memset(&job->states[0], 0, sizeof job->states[0]);
    job->n = 1;
    for (size_t k = 0; k < job->cells.n; k++)
        add_cell(job, k);
    size_t i = choose(job, room);
    if (i == job->n)
        return;
    for (size_t k = job->cells.n; k-- > 0;) {
        job->x->now[job->cells.cell[k].at] = job->backs[k][i].format;
        i = job->backs[k][i].from;
    }
}

int sc_mix_core(struct sc_mix_search *x, const struct sc_mix_price *p, double error_per_byte,
                uint64_t room, struct sc_error *e)
{
    struct core job = {.x = x, .p = p, .price = error_per_byte};
    const struct sc_mix_pass pass = {sizeof(struct nearest), look, look_fold, &job};
    int rc;

    job.states = sc_calloc((size_t)CORE_STATES * SC_MIX_FORMATS, sizeof *job.states);
    job.backs = sc_calloc(CORE_CELLS, sizeof *job.backs);
    rc = job.states && job.backs ? sc_mix_set_pass(x->s, &pass, e) : sc_fail_memory(e);
    if (rc == 0)
        combine(&job, room);
    free(job.states);
    free(job.backs);
    return rc;
}
