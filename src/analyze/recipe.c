/* SPDX-License-Identifier: Apache-2.0 */
/* recipe: blocks of a matrix, quantised in parallel; what that costs. */
#include "analyze/recipe.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS = 64 };

struct matrix {
    const struct sc_recipe_use *u;
    uint64_t rows, cols;
    const float *x;
    float *y;
    uint8_t *held;
    bool any_held;
    uint64_t down, across, n_blocks;
    uint64_t longest; /* values of a block */
    size_t jobs;
    double limit; /* of the whole matrix; INFINITY: none */
    bool holding; /* this round marks what is held out, the next one rounds */
    struct part {
        struct sc_recipe_counts counts;
        int code;
    } parts[JOBS];
};

/* A block: `height` runs of `width` values, `cols` apart. */
struct block {
    uint64_t first, height, width;
};

static struct block block_at(const struct matrix *m, uint64_t i)
{
    const struct sc_recipe *r = m->u->r;
    const uint64_t n = m->rows * m->cols;

    switch (r->shape) {
    case SC_RECIPE_TENSOR:
        return (struct block){0, 1, n};
    case SC_RECIPE_COL:
        return (struct block){i, m->rows, 1};
    case SC_RECIPE_TILE: {
        const uint64_t row = i / m->across * r->height, col = i % m->across * r->width;
        return (struct block){row * m->cols + col, SC_MIN(m->rows - row, (uint64_t)r->height),
                              SC_MIN(m->cols - col, (uint64_t)r->width)};
    }
    case SC_RECIPE_FLAT:
        return (struct block){i * r->width, 1, SC_MIN(n - i * r->width, (uint64_t)r->width)};
    default:
        return (struct block){i * m->cols, 1, m->cols};
    }
}

static void cut(struct matrix *m)
{
    const struct sc_recipe *r = m->u->r;
    const uint64_t n = m->rows * m->cols;

    m->down = m->across = 1;
    if (r->shape == SC_RECIPE_ROW)
        m->down = m->rows;
    else if (r->shape == SC_RECIPE_COL)
        m->across = m->cols;
    else if (r->shape == SC_RECIPE_FLAT)
        m->across = n / r->width + (n % r->width != 0);
    else if (r->shape == SC_RECIPE_TILE) {
        m->down = m->rows / r->height + (m->rows % r->height != 0);
        m->across = m->cols / r->width + (m->cols % r->width != 0);
    }
    m->n_blocks = m->down * m->across;
    const struct block first = block_at(m, 0); /* none is larger */
    m->longest = first.height * first.width;
    m->jobs = (size_t)SC_MIN(m->n_blocks, (uint64_t)JOBS);
}

/* ----------------------------------------------------------------------------------- blocks --- */

struct desk { /* a block without gaps */
    float *x, *y, *scratch;
    uint8_t *held;
};

static void gather(const struct matrix *m, const struct block *b, struct desk *d)
{
    for (uint64_t i = 0; i < b->height; i++) {
        memcpy(d->x + i * b->width, m->x + b->first + i * m->cols, b->width * sizeof *d->x);
        memcpy(d->held + i * b->width, m->held + b->first + i * m->cols, b->width);
    }
}

static void work_on(const struct matrix *m, const struct block *b, struct desk *d,
                    struct sc_recipe_counts *counts)
{
    const struct sc_recipe *r = m->u->r;
    const size_t n = (size_t)(b->height * b->width);

    gather(m, b, d);
    if (m->holding) {
        counts->held += sc_recipe_hold(&r->hold, d->x, d->held, n, d->scratch);
        for (uint64_t i = 0; i < b->height; i++)
            memcpy(m->held + b->first + i * m->cols, d->held + i * b->width, b->width);
        return;
    }
    const uint8_t *held = m->any_held ? d->held : NULL;
    const double limit =
        r->clip.whole ? m->limit : sc_recipe_limit(&r->clip, d->x, held, n, d->scratch);
    counts->clipped += sc_recipe_round(r, limit, d->x, held, n, d->y);
    counts->blocks++;
    counts->bits += sc_recipe_bits(r, n);
    for (uint64_t i = 0; i < b->height; i++)
        memcpy(m->y + b->first + i * m->cols, d->y + i * b->width, b->width * sizeof *d->y);
}

static void job(void *ctx, size_t i)
{
    struct matrix *m = ctx;
    struct part *part = &m->parts[i];
    const size_t n = (size_t)m->longest;
    struct desk d = {sc_alloc(n * sizeof *d.x), sc_alloc(n * sizeof *d.y),
                     sc_alloc(n * sizeof *d.scratch), sc_alloc(n)};

    part->code = d.x && d.y && d.scratch && d.held ? 0 : SCRUPLE_EMEMORY;
    for (uint64_t k = m->n_blocks * i / m->jobs; k < m->n_blocks * (i + 1) / m->jobs; k++) {
        if (part->code == 0 && m->u->cancel && atomic_load(m->u->cancel))
            part->code = SCRUPLE_EINTERRUPTED;
        if (part->code < 0)
            break;
        const struct block b = block_at(m, k);
        work_on(m, &b, &d, &part->counts);
    }
    free(d.x);
    free(d.y);
    free(d.scratch);
    free(d.held);
}

static int run_jobs(struct matrix *m, bool holding, struct sc_recipe_counts *counts,
                    struct sc_error *e)
{
    m->holding = holding;
    memset(m->parts, 0, sizeof m->parts);
    sc_parallel_run(m->u->p, m->jobs, job, m);
    for (size_t i = 0; i < m->jobs; i++) {
        const struct part *part = &m->parts[i];
        if (part->code == SCRUPLE_EINTERRUPTED)
            return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        if (part->code < 0)
            return sc_fail_memory(e);
        counts->blocks += part->counts.blocks;
        counts->clipped += part->counts.clipped;
        counts->held += part->counts.held;
        counts->bits += part->counts.bits;
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- holding --- */

static uint64_t hold_listed(struct matrix *m, uint32_t tensor, uint64_t first)
{
    const struct sc_held_list *l = &m->u->held;
    uint64_t done = 0;

    for (size_t i = 0; i < l->n && !m->u->r->bare; i++) {
        if (l->p[i].tensor != tensor || l->p[i].at < first ||
            l->p[i].at - first >= m->rows * m->cols || m->held[l->p[i].at - first])
            continue;
        m->held[l->p[i].at - first] = 1;
        done++;
    }
    return done;
}

/* What needs all values of the matrix. */
static int look_at_all(struct matrix *m, struct sc_recipe_counts *counts, struct sc_error *e)
{
    const struct sc_recipe *r = m->u->r;
    const size_t n = (size_t)(m->rows * m->cols);
    const bool hold = r->hold.whole && r->hold.how != SC_LIMIT_NONE;

    m->limit = INFINITY;
    if (!hold && !r->clip.whole)
        return 0;
    float *scratch = sc_alloc(n * sizeof *scratch);
    if (!scratch)
        return sc_fail_memory(e);
    if (hold)
        counts->held += sc_recipe_hold(&r->hold, m->x, m->held, n, scratch);
    if (r->clip.whole)
        m->limit = sc_recipe_limit(&r->clip, m->x, m->held, n, scratch);
    free(scratch);
    return 0;
}

int sc_recipe_matrix(const struct sc_recipe_use *u, uint32_t tensor, uint64_t first, uint64_t rows,
                     uint64_t cols, const float *x, float *y, uint8_t *scratch,
                     struct sc_recipe_counts *counts, struct sc_error *e)
{
    struct matrix m = {.u = u, .rows = rows, .cols = cols, .x = x, .y = y, .held = scratch};
    const struct sc_recipe *r = u->r;
    struct sc_recipe_counts own = {0};

    if (rows == 0 || cols == 0)
        return 0;
    cut(&m);
    memset(scratch, 0, (size_t)(rows * cols));
    own.held = hold_listed(&m, tensor, first);
    if (r->hold.how != SC_LIMIT_NONE && !r->hold.whole)
        TRY(run_jobs(&m, true, &own, e));
    TRY(look_at_all(&m, &own, e));
    m.any_held = own.held > 0;
    TRY(run_jobs(&m, false, &own, e));
    counts->blocks += own.blocks;
    counts->clipped += own.clipped;
    counts->held += own.held;
    counts->bits += own.bits + own.held * 64;
    return 0;
}

/* ---------------------------------------------------------------------------------- figures --- */

struct sums {
    uint64_t finite, nonfinite, zeroed, overflowed;
    double x, y, xx, yy, xy, d, dd, abs, most, relative;
};

static void add_value(struct sums *s, double x, double y)
{
    if (!isfinite(x)) {
        s->nonfinite++;
        return;
    }
    if (!isfinite(y)) {
        s->overflowed++;
        y = 0;
    }
    const double d = y - x;
    s->finite++;
    s->zeroed += x != 0 && y == 0;
    s->x += x;
    s->y += y;
    s->xx += x * x;
    s->yy += y * y;
    s->xy += x * y;
    s->d += d;
    s->dd += d * d;
    s->abs += fabs(d);
    s->most = SC_MAX(s->most, fabs(d));
    if (x != 0)
        s->relative = SC_MAX(s->relative, fabs(d / x));
}

static void tell(const struct sums *s, const struct sc_values *v, const struct sc_recipe_counts *c,
                 struct sc_quality *out)
{
    const double n = (double)s->finite, none = s->finite ? 0 : (double)NAN;
    const struct sc_worst nowhere = {UINT64_MAX, (double)NAN};
    const double vx = s->xx - s->x * s->x / n, vy = s->yy - s->y * s->y / n;
    const double vd = s->dd - s->d * s->d / n; /* of differences: good where pcc is near 1 */
    const double root = sqrt(vx) * sqrt(vy), apart = sqrt(vx) - sqrt(vy);

    *out = (struct sc_quality){.values = v->count,
                               .finite = s->finite,
                               .nonfinite = s->nonfinite,
                               .overflowed = s->overflowed,
                               .saturated = c->clipped,
                               .zeroed = s->zeroed,
                               .cosine = s->xy / (sqrt(s->xx) * sqrt(s->yy)),
                               .mae = s->abs / n,
                               .mse = s->dd / n,
                               .rmse = sqrt(s->dd / n),
                               .atol = s->most + none,
                               .sqnr_db = 10 * log10(s->xx / s->dd),
                               .relative_frobenius = sqrt(s->dd / s->xx),
                               .max_relative = s->relative + none,
                               .bias = s->d / n,
                               .p99 = (double)NAN,
                               .p999 = (double)NAN,
                               .row = nowhere,
                               .column = nowhere,
                               .tile = nowhere,
                               .head = nowhere,
                               .expert = nowhere,
                               .bytes = c->bits / 8 + (c->bits % 8 != 0)};
    out->one_minus_pcc = s->dd > 0 ? SC_MAX(vd - apart * apart, 0) / (2 * root) : none;
    out->pcc = 1 - out->one_minus_pcc;
    out->bits_per_weight = v->count ? 8 * (double)out->bytes / (double)v->count : (double)NAN;
    if (s->finite && s->dd <= 0) { /* nothing is lost */
        out->cosine = out->pcc = 1;
        out->sqnr_db = INFINITY;
        out->relative_frobenius = 0;
    }
}

uint64_t sc_recipe_memory(const struct sc_recipe *r, const struct sc_parallel *p, uint64_t rows,
                          uint64_t cols)
{
    const struct sc_recipe_use u = {.r = r, .p = p};
    struct matrix m = {.u = &u, .rows = rows, .cols = cols};
    uint64_t n, desks;

    if (!sc_mul(rows, cols, &n) || n > UINT64_MAX / 64)
        return UINT64_MAX;
    if (n == 0)
        return 0;
    cut(&m);
    const uint64_t at_once = SC_MIN((uint64_t)m.jobs, p ? (uint64_t)p->threads : 1);
    const bool whole = r->clip.whole || r->hold.whole;
    return sc_mul(at_once, m.longest * 13, &desks)
               ? sc_add_up(n * 9, SC_MAX(desks, whole ? n * 4 : 0))
               : UINT64_MAX;
}

/* Rows after which a block begins, whatever came before; 0: there are none before the end. */
static uint64_t unit_of(const struct sc_recipe *r, uint64_t cols)
{
    uint64_t a = r->width, b = cols;

    if (r->clip.whole || r->hold.whole)
        return 0;
    switch (r->shape) {
    case SC_RECIPE_ROW:
        return 1;
    case SC_RECIPE_TILE:
        return r->height;
    case SC_RECIPE_FLAT: /* whole rows and whole blocks: the least common multiple */
        while (b) {
            const uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        return r->width / a;
    default:
        return 0;
    }
}

uint64_t sc_recipe_rows(const struct sc_recipe *r, const struct sc_parallel *p, uint64_t rows,
                        uint64_t cols, uint64_t memory)
{
    const uint64_t unit = unit_of(r, cols);

    if (sc_recipe_memory(r, p, rows, cols) <= memory)
        return rows;
    if (!unit || unit >= rows || sc_recipe_memory(r, p, unit, cols) > memory)
        return 0;
    uint64_t low = 1, high = rows / unit + 1; /* so many units fit, so many do not */
    while (low + 1 < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (sc_recipe_memory(r, p, middle * unit, cols) <= memory)
            low = middle;
        else
            high = middle;
    }
    return low * unit;
}

/* A matrix in pieces of whole rows. */
struct pieces {
    uint64_t rows, cols; /* of the matrix */
    uint64_t at_once;    /* rows of a piece, but for the last one of a matrix */
    uint64_t per_matrix;
};
struct piece {
    uint64_t first, rows, n; /* value of the tensor; n: values */
};

static struct piece piece_at(const struct pieces *p, uint64_t i)
{
    const uint64_t matrix = i / p->per_matrix, row = i % p->per_matrix * p->at_once;
    const uint64_t rows = SC_MIN(p->at_once, p->rows - row);

    return (struct piece){(matrix * p->rows + row) * p->cols, rows, rows * p->cols};
}

static int fail_memory(const struct sc_values *v, const struct sc_matrices *m,
                       const struct sc_recipe_use *u, uint64_t need, struct sc_error *e)
{
    const uint64_t unit = u->r ? unit_of(u->r, m->cols) : 0;
    const bool in_rows = unit && unit < m->rows;
    const uint64_t least = in_rows ? sc_recipe_memory(u->r, u->p, unit, m->cols) : need;
    struct sc_quoted q;
    uint64_t all;

    if (!sc_mul(least, u->parts ? u->parts : 1, &all) || all > UINT64_MAX >> 1)
        return sc_fail(e, SCRUPLE_ELIMIT, "a matrix of \"%s\" is too large to be quantised",
                       sc_quote(&q, sc_tensor_name(v->tensor)));
    return sc_fail(e, SCRUPLE_ELIMIT,
                   "a matrix of \"%s\" takes %llu MiB while it is quantised, because %s: --memory "
                   "%lluM would do",
                   sc_quote(&q, sc_tensor_name(v->tensor)), (unsigned long long)(least >> 20) + 1,
                   in_rows ? "its blocks are as large"
                   : u->r  ? "its blocks or limits are over all of it"
                           : "it is kept as a whole",
                   (unsigned long long)(all / 1000000) + 1);
}

static int cut_rows(const struct sc_values *v, const struct sc_matrices *m,
                    const struct sc_recipe_use *u, uint64_t memory, struct pieces *out,
                    struct sc_error *e)
{
    const bool large = m->rows && m->cols > UINT64_MAX / 64 / m->rows;
    const uint64_t need = u->r    ? sc_recipe_memory(u->r, u->p, m->rows, m->cols)
                          : large ? UINT64_MAX
                                  : m->rows * m->cols * 4;

    *out = (struct pieces){.rows = m->rows, .cols = m->cols, .per_matrix = 1};
    out->at_once = u->r             ? sc_recipe_rows(u->r, u->p, m->rows, m->cols, memory)
                   : need <= memory ? m->rows
                                    : 0;
    if ((m->rows && !out->at_once) || (large && out->at_once == m->rows))
        return fail_memory(v, m, u, need, e);
    out->at_once = SC_MAX(out->at_once, UINT64_C(1));
    out->per_matrix = SC_MAX((m->rows + out->at_once - 1) / out->at_once, UINT64_C(1));
    return 0;
}

/* ------------------------------------------------------------------------------------- view --- */

struct quantised {
    struct sc_values *v, *rounded; /* rounded: of a format */
    uint32_t tensor;
    struct sc_recipe_use u;
    struct pieces pieces;
    uint64_t size;        /* values of a matrix */
    pthread_mutex_t lock; /* around what follows */
    uint64_t at;          /* the piece at y; UINT64_MAX: none */
    float *y;
};

static void close_quantised(void *ctx)
{
    struct quantised *x = ctx;

    sc_values_close(x->rounded);
    pthread_mutex_destroy(&x->lock);
    free(x->y);
    free(x);
}

static int compute(struct quantised *x, uint64_t at, struct sc_error *e)
{
    const struct piece p = piece_at(&x->pieces, at);
    struct sc_recipe_counts counts = {0};

    x->at = UINT64_MAX;
    if (x->rounded) {
        TRY(sc_values_read(x->rounded, p.first, p.n, x->y, e));
        x->at = at;
        return 0;
    }
    float *values = sc_alloc((size_t)p.n * sizeof *values);
    uint8_t *held = sc_alloc((size_t)p.n);
    int code = values && held ? sc_values_read(x->v, p.first, p.n, values, e) : sc_fail_memory(e);
    if (code == 0)
        code = sc_recipe_matrix(&x->u, x->tensor, p.first, p.rows, x->pieces.cols, values, x->y,
                                held, &counts, e);
    if (code == 0)
        x->at = at;
    free(values);
    free(held);
    return code;
}

static int read_quantised(void *ctx, uint64_t first, uint64_t n, float *dst, struct sc_error *e)
{
    struct quantised *x = ctx;
    const struct pieces *p = &x->pieces;
    const uint64_t whole = SC_MAX(p->at_once * p->cols, UINT64_C(1));
    int code = 0;

    pthread_mutex_lock(&x->lock);
    while (n && code == 0) {
        const uint64_t in = first % x->size;
        const uint64_t at = first / x->size * p->per_matrix + in / whole, from = in % whole;
        const uint64_t here = SC_MIN(n, piece_at(p, at).n - from);
        if (x->at != at)
            code = compute(x, at, e);
        if (code == 0)
            memcpy(dst, x->y + from, (size_t)here * sizeof *dst);
        first += here;
        dst += here;
        n -= here;
    }
    pthread_mutex_unlock(&x->lock);
    return code;
}

int sc_values_open_quantised(struct sc_values *v, uint32_t tensor, const struct sc_recipe_use *u,
                             const struct sc_encoding *f, uint64_t memory, struct sc_values **out,
                             struct sc_error *e)
{
    const struct sc_matrices m = sc_quality_matrices(v);
    struct quantised *x;
    struct pieces pieces;

    *out = NULL;
    TRY(cut_rows(v, &m, u, memory, &pieces, e));
    if (!(x = sc_calloc(1, sizeof *x)))
        return sc_fail_memory(e);
    x->v = v;
    x->tensor = tensor;
    x->u = *u;
    x->pieces = pieces;
    x->size = SC_MAX(m.rows * m.cols, UINT64_C(1));
    x->at = UINT64_MAX;
    x->y = sc_alloc((size_t)SC_MAX(pieces.at_once * m.cols, UINT64_C(1)) * sizeof *x->y);
    pthread_mutex_init(&x->lock, NULL);
    const struct sc_computed how = {read_quantised, close_quantised, x};
    int code = x->y ? 0 : sc_fail_memory(e);
    if (code == 0 && !u->r)
        code = sc_values_open_rounded(v, f, NULL, NULL, u->p, &x->rounded, e);
    if (code == 0)
        code = sc_values_open_computed(v, &how, out, e);
    if (code < 0)
        close_quantised(x);
    return code;
}

/* ------------------------------------------------------------------------------------- cost --- */

int sc_recipe_measure(struct sc_values *v, uint32_t tensor, const struct sc_recipe_use *u,
                      uint64_t memory, struct sc_quality *out, struct sc_error *e)
{
    const struct sc_matrices m = sc_quality_matrices(v);
    struct sc_recipe_counts counts = {0};
    struct sums sums = {0};
    struct pieces pieces;

    TRY(cut_rows(v, &m, u, memory, &pieces, e));
    const uint64_t most = SC_MIN(pieces.at_once, m.rows) * m.cols;
    float *x = sc_alloc((size_t)most * sizeof *x), *y = sc_alloc((size_t)most * sizeof *y);
    uint8_t *held = sc_alloc((size_t)most);
    int code = x && y && held ? 0 : sc_fail_memory(e);
    for (uint64_t i = 0; m.rows && i < m.n * pieces.per_matrix && code == 0; i++) {
        const struct piece p = piece_at(&pieces, i);
        code = sc_values_read(v, p.first, p.n, x, e);
        if (code == 0)
            code = sc_recipe_matrix(u, tensor, p.first, p.rows, m.cols, x, y, held, &counts, e);
        for (uint64_t k = 0; k < p.n && code == 0; k++)
            add_value(&sums, (double)x[k], (double)y[k]);
    }
    if (code == 0)
        tell(&sums, v, &counts, out);
    free(x);
    free(y);
    free(held);
    return code;
}
