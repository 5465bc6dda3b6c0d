/* SPDX-License-Identifier: Apache-2.0 */
/* experts: reading every expert once. A piece is one task; figures of a matrix are sums over its
 * rows in their order, so threads do not matter. */
#include "analyze/experts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/experts_parts.h"

enum { AT_A_TIME = 1 << 16 };
#define DEFAULT_EPS 1e-6

const char *const sc_expert_parts[SC_EXPERT_PARTS + 1] = {"gate_proj", "up_proj", "down_proj",
                                                          "router", NULL};
const char *const sc_expert_stats[SC_EXPERT_STATS + 1] = {"rms", "frobenius", "mean-abs",
                                                          "sparsity", NULL};
const char *const sc_expert_norms[] = {"percentile", "max", "min-max", NULL};

struct sums {
    double square, abs, max;
    uint64_t finite, small, zeros, nonfinite, content;
};
struct measuring {
    const struct sc_model *m;
    const struct sc_experts_options *o;
    struct sc_experts *x;
    const struct sc_expert_piece *pieces;
    int *codes;
    struct sc_error *errors;
    _Atomic uint64_t done;
    uint64_t total;
    double eps;
};

/* ----------------------------------------------------------------------------------- sums --- */

/* n values, `step` apart. */
static void add_values(struct sums *s, const float *v, size_t n, size_t step, double eps)
{
    for (size_t i = 0; i < n * step; i += step) {
        const double x = fabs((double)v[i]);
        if (!(x < (double)INFINITY)) {
            s->nonfinite++;
            continue;
        }
        s->square += x * x;
        s->abs += x;
        s->max = x > s->max ? x : s->max;
        s->small += x < eps;
        s->zeros += x == 0;
        s->finite++;
    }
}

/* Bits of the least float that is not below eps, so that whole numbers can be compared. */
static uint32_t bits_from(double eps)
{
    float least = (float)eps;

    if (!(eps > 0))
        return 0;
    if ((double)least < eps)
        least = nextafterf(least, INFINITY);
    return sc_bits_of(least);
}

/* Finite values; a loop over whole numbers without a branch, which compilers make wide. */
static void count(struct sums *s, const float *v, size_t n, uint32_t below)
{
    enum { AT_ONCE = 1 << 20 };

    for (size_t at = 0; at < n; at += AT_ONCE) {
        const size_t take = SC_MIN(n - at, (size_t)AT_ONCE);
        uint32_t zeros = 0, small = 0;
        for (size_t i = 0; i < take; i++) {
            const uint32_t size = sc_bits_of(v[at + i]) & 0x7fffffff;
            zeros += size == 0;
            small += size < below;
        }
        s->zeros += zeros;
        s->small += small;
    }
}

/* Whole rows at once: sums by the kernel, which is exact as long as all is finite. */
static void add_row(struct sums *s, const float *v, size_t n, double eps, enum sc_cpu level)
{
    struct sc_sums k;

    sc_sums(v, n, level, &k);
    if (k.most >= 0x7f800000) {
        add_values(s, v, n, 1, eps);
        return;
    }
    s->square += k.square;
    s->abs += k.abs;
    s->max = fmax(s->max, (double)sc_float_of(k.most));
    s->finite += n;
    /* counting only where there is something to count: UINT32_MAX is "nothing but zeros" */
    const bool zeros = k.least == UINT32_MAX;
    if (zeros) {
        s->zeros += n;
        s->small += eps > 0 ? n : 0;
        return;
    }
    count(s, v, n, bits_from(eps));
}

static void put_figures(const struct sums *s, struct sc_expert_figures *out)
{
    const double n = s->finite ? (double)s->finite : (double)NAN;

    *out = (struct sc_expert_figures){.known = true,
                                      .max_abs = s->max,
                                      .count = s->finite + s->nonfinite,
                                      .zeros = s->zeros,
                                      .nonfinite = s->nonfinite,
                                      .content = s->content};
    out->stat[SC_EXPERT_RMS] = sqrt(s->square / n);
    out->stat[SC_EXPERT_FROBENIUS] = sqrt(s->square);
    out->stat[SC_EXPERT_MEAN_ABS] = s->abs / n;
    out->stat[SC_EXPERT_SPARSITY] =
        out->count ? (double)s->small / (double)out->count : (double)NAN;
}

/* ---------------------------------------------------------------------------------- pieces --- */

/* Rows of a piece, whose first is number `row`; sums[0]: gate or the whole, sums[1]: up. */
static void add_rows(const struct measuring *m, const struct sc_expert_piece *p, uint64_t row,
                     size_t n, const float *v, struct sums sums[2])
{
    const size_t cols = (size_t)p->cols, half = cols / 2;
    const enum sc_cpu level = sc_cpu_level();

    if (p->cut == SC_CUT_WHOLE || p->cut == SC_CUT_ROWS || p->cut == SC_CUT_EVEN_ROWS) {
        for (size_t r = 0; r < n; r++) {
            const uint64_t at = row + r;
            const size_t which = p->cut == SC_CUT_ROWS        ? at >= p->rows / 2
                                 : p->cut == SC_CUT_EVEN_ROWS ? at % 2
                                                              : 0;
            add_row(&sums[which], v + r * cols, cols, m->eps, level);
            sums[which].content =
                sc_hash_mix(sums[which].content, sc_hash(v + r * cols, cols * sizeof *v));
        }
        return;
    }
    for (size_t r = 0; r < n; r++) {
        const float *x = v + r * cols;
        const bool turns = p->cut == SC_CUT_EVEN_COLUMNS;
        for (size_t k = 0; k < 2; k++) {
            add_values(&sums[k], x + (turns ? k : k * half), half, turns ? 2 : 1, m->eps);
            for (size_t i = 0; i < half; i++)
                sums[k].content =
                    sc_hash_mix(sums[k].content, sc_bits_of(x[turns ? 2 * i + k : k * half + i]));
        }
    }
}

static int read_piece(const struct measuring *m, const struct sc_expert_piece *p,
                      struct sums sums[2], struct sc_error *e)
{
    const size_t rows = (size_t)SC_MAX(AT_A_TIME / p->cols, UINT64_C(1));
    float *v = sc_alloc((size_t)(SC_MIN((uint64_t)rows, p->rows) * p->cols) * sizeof *v);
    struct sc_values *view = NULL;
    int code = v ? sc_values_open(m->m, p->tensor, &view, e) : sc_fail_memory(e);

    for (uint64_t row = 0; row < p->rows && code == 0; row += rows) {
        const size_t n = (size_t)SC_MIN(p->rows - row, (uint64_t)rows);
        if (m->o->cancel && atomic_load(m->o->cancel)) {
            code = sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
            break;
        }
        code = sc_values_read(view, p->first + row * p->cols, n * p->cols, v, e);
        if (code == 0)
            add_rows(m, p, row, n, v, sums);
    }
    sc_values_close(view);
    free(v);
    return code;
}

/* Of a piece that holds gate and up, from its first value on. */
static uint64_t first_of_up(const struct sc_expert_piece *p)
{
    switch ((enum sc_expert_cut)p->cut) {
    case SC_CUT_ROWS:
        return p->rows / 2 * p->cols;
    case SC_CUT_COLUMNS:
        return p->cols / 2;
    case SC_CUT_EVEN_ROWS:
        return p->cols;
    case SC_CUT_EVEN_COLUMNS:
        return 1;
    case SC_CUT_WHOLE:
        break;
    }
    return 0;
}

static void measure_piece(void *ctx, size_t i)
{
    struct measuring *m = ctx;
    const struct sc_expert_piece *p = &m->pieces[i];
    struct sc_expert_layer *layer = &m->x->layers[p->at];
    struct sums sums[2] = {{.square = 0}, {.square = 0}};

    m->codes[i] = read_piece(m, p, sums, &m->errors[i]);
    if (m->codes[i] == 0) {
        struct sc_expert_figures *cell = p->expert == SC_NO_NODE
                                             ? &layer->shared[p->part]
                                             : &layer->cells[p->part * m->x->n_experts + p->expert];
        put_figures(&sums[0], cell);
        cell->tensor = p->tensor;
        cell->first = p->first;
        if (p->cut != SC_CUT_WHOLE) { /* up follows gate */
            struct sc_expert_figures *up =
                p->expert == SC_NO_NODE ? cell + 1 : cell + m->x->n_experts;
            put_figures(&sums[1], up);
            up->tensor = p->tensor;
            up->first = p->first + first_of_up(p);
        }
    }
    const uint64_t done = atomic_fetch_add(&m->done, p->rows * p->cols) + p->rows * p->cols;
    if (m->o->progress)
        m->o->progress(m->o->ctx, done, m->total);
}

static int measure_all(struct measuring *m, size_t n, struct sc_error *e)
{
    m->codes = sc_calloc(n + 1, sizeof *m->codes);
    m->errors = sc_calloc(n + 1, sizeof *m->errors);
    int code = m->codes && m->errors ? 0 : sc_fail_memory(e);
    if (code == 0)
        sc_pool_for(m->o->pool, n, measure_piece, m);
    for (size_t i = 0; i < n && code == 0; i++) {
        if (m->codes[i] == SCRUPLE_EINTERRUPTED || m->codes[i] == SCRUPLE_EMEMORY) {
            code = m->codes[i];
            *e = m->errors[i];
        } else if (m->codes[i] < 0 && m->x->unread++ == 0) {
            memcpy(m->x->why, m->errors[i].text,
                   SC_MIN(sizeof m->x->why, sizeof m->errors[i].text));
            m->x->why[sizeof m->x->why - 1] = '\0';
        }
    }
    free(m->codes);
    free(m->errors);
    return code;
}

static int make_cells(struct sc_experts *x, struct sc_error *e)
{
    uint64_t n;

    if (!sc_mul((uint64_t)SC_EXPERT_PARTS * x->n_experts, x->n_layers, &n) || n > 1 << 26)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "%zu layers of %u experts are more than can be told apart", x->n_layers,
                       x->n_experts);
    struct sc_expert_figures *cells =
        SC_ARENA_NEW(&x->arena, struct sc_expert_figures, (size_t)n + 1);
    if (!cells)
        return sc_fail_memory(e);
    memset(cells, 0, (size_t)n * sizeof *cells);
    for (size_t i = 0; i < x->n_layers; i++)
        x->layers[i].cells = cells + i * SC_EXPERT_PARTS * x->n_experts;
    return 0;
}

int sc_experts_measure(const struct sc_model *m, const struct sc_experts_options *o,
                       struct sc_experts *out, struct sc_error *e)
{
    struct sc_expert_pieces pieces = {0};

    memset(out, 0, sizeof *out);
    int code = sc_experts_find(m, o->filter, out, &pieces, e);
    if (code == 0 && out->n_layers)
        code = make_cells(out, e);
    struct measuring x = {
        .m = m, .o = o, .x = out, .pieces = pieces.p, .eps = o->eps >= 0 ? o->eps : DEFAULT_EPS};
    for (size_t i = 0; i < pieces.n; i++)
        x.total = sc_add_up(x.total, pieces.p[i].rows * pieces.p[i].cols);
    if (code == 0 && out->n_layers)
        code = measure_all(&x, pieces.n, e);
    if (code == 0)
        code = sc_experts_judge(out, e);
    free(pieces.p);
    return code;
}

void sc_experts_clear(struct sc_experts *x)
{
    free(x->findings);
    sc_arena_clear(&x->arena);
    memset(x, 0, sizeof *x);
}

/* ------------------------------------------------------------------------------------ maps --- */

void sc_experts_map(const struct sc_experts *x, enum sc_expert_part part, enum sc_expert_stat stat,
                    float *out)
{
    for (size_t l = 0; l < x->n_layers; l++)
        for (uint32_t i = 0; i < x->n_experts; i++) {
            const struct sc_expert_figures *f = &x->layers[l].cells[part * x->n_experts + i];
            out[l * x->n_experts + i] = f->known ? (float)f->stat[stat] : NAN;
        }
}

bool sc_experts_norm(float *map, size_t n, enum sc_expert_norm norm, double *low, double *high)
{
    double *v = sc_alloc(SC_MAX(n, (size_t)1) * sizeof *v);
    size_t known = 0;

    for (size_t i = 0; v && i < n; i++)
        if (isfinite(map[i]))
            v[known++] = (double)map[i];
    if (!known) {
        free(v);
        return false;
    }
    const size_t last = known - 1;
    *low = norm == SC_EXPERT_NORM_MAX ? 0
           : norm == SC_EXPERT_NORM_MIN_MAX
               ? sc_select(v, known, 0)
               : sc_select(v, known, (size_t)floor(.02 * (double)last + .5));
    *high = norm == SC_EXPERT_NORM_PERCENTILE
                ? sc_select(v, known, (size_t)floor(.98 * (double)last + .5))
                : sc_select(v, known, last);
    if (*high - *low <= 1e-12) {
        *low = 0;
        *high = sc_select(v, known, last);
    }
    const double range = *high - *low > 0 ? *high - *low : 1;
    for (size_t i = 0; i < n; i++)
        map[i] = isfinite(map[i]) ? (float)fmin(fmax(((double)map[i] - *low) / range, 0), 1) : NAN;
    free(v);
    return true;
}
