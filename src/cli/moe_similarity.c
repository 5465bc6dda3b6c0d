/* SPDX-License-Identifier: Apache-2.0 */
/* moe_similarity: which experts are alike.
 *
 *     likeness to the nearest expert, corrected: 0.0021 to 0.0317      a map, a row for each layer
 *     2 groups
 *       layer 3: 2 5 7
 *     copy  layer 3: experts 2 and 5, 1.000: 1408 of 1408 neurons are the same (...)
 *     RANK  LAYER  EXPERT  LIKE  CORRECTED */
#include "cli/moe_similarity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/expert_map.h"
#include "cli/moe_maps.h"

const char *const sc_moe_definitions[] = {"gram", "original", NULL};

enum { CELL = 8, GUTTER = 12, FEW_LAYERS = 4 };

struct comparison {
    struct sc_cli *c;
    const struct sc_model *model;
    struct sc_similarity x;
    struct sc_document d;
};

/* -------------------------------------------------------------------------------- options --- */
static int read_number(const char *option, const char *text, double least, double most, double *out,
                       struct sc_error *e)
{
    char *end;

    *out = strtod(text, &end);
    if (!*text || *end || !(*out >= least && *out <= most))
        return sc_fail(e, SCRUPLE_EUSAGE, "%s cannot be \"%s\": it takes a number from %g to %g",
                       option, text, least, most);
    return 0;
}

static int read_options(const struct sc_cli *c, struct sc_similarity_options *o, struct sc_error *e)
{
    const struct sc_settings *s = &c->set;
    double n = 0;

    o->threshold = (double)NAN;
    if (s->threshold)
        TRY(read_number("--threshold", s->threshold, 0, 1, &o->threshold, e));
    if (s->sketch && strcmp(s->sketch, "never") == 0)
        o->probes = SC_SIMILARITY_EXACT;
    else if (s->sketch && strcmp(s->sketch, "auto") != 0) {
        TRY(read_number("--sketch", s->sketch, SC_SIMILARITY_LEAST_PROBES, 65536, &n, e));
        o->probes = (int32_t)n;
    }
    if (s->rank > 65536)
        return sc_fail(e, SCRUPLE_EUSAGE, "--rank takes a number from 1 to 65536");
    o->rank = (uint32_t)s->rank;
    o->original = s->definition == 1;
    o->memory = sc_memory_budget(s->memory);
    o->no_match = s->no_match;
    return 0;
}

int sc_moe_similarity_check(const struct sc_cli *c, struct sc_error *e)
{
    struct sc_similarity_options o = {0};

    if (c->set.similarity && c->set.probe)
        return sc_fail(e, SCRUPLE_EUSAGE, "moe takes --similarity or --probe, one at a time");
    return c->set.similarity ? read_options(c, &o, e) : 0;
}

/* --------------------------------------------------------------------------------- pictures --- */
/* Corrected scores of a layer, NaN on the diagonal. */
static void matrix_of(const struct sc_similarity *x, size_t layer, unsigned part, float *out)
{
    for (uint32_t a = 0; a < x->n; a++)
        for (uint32_t b = 0; b < x->n; b++)
            out[a * x->n + b] = a == b ? NAN : (float)sc_similarity_corrected(x, layer, part, a, b);
}

/* Brings scores to 0..1: from chance, which is 0, to the largest, so that a copy stands out; but
 * where there is nothing but chance to see, the colours say so. The largest. */
static double scale(float *map, size_t n, double spread)
{
    double most = isnan(spread) ? 0 : 5 * spread;

    for (size_t i = 0; i < n; i++)
        most = isfinite(map[i]) ? fmax(most, (double)map[i]) : most;
    most = most > 0 ? most : 1;
    for (size_t i = 0; i < n; i++)
        map[i] = isfinite(map[i]) ? (float)fmax((double)map[i] / most, 0) : NAN;
    return most;
}

/* An expert is all like itself, but that is not what colours are for. */
static void set_diagonal(const struct sc_similarity *x, size_t layer, unsigned part, float *map)
{
    const struct sc_similarity_matrix *m = &x->layers[layer].part[part];

    for (size_t a = 0; a < x->n; a++)
        map[a * x->n + a] = isnan(m->score[a * x->n + a]) ? NAN : 1;
}

/* Rows: layers; columns: gate, up, down, router, joined. A colour means the same in a column. */
static int draw_column(struct comparison *k, unsigned part, size_t cell, struct sc_map_picture *to,
                       struct sc_error *e)
{
    const size_t n = k->x.n, square = n * n;
    float *maps = sc_alloc(k->x.n_layers * square * sizeof *maps);
    double spread = 0;

    if (!maps)
        return sc_fail_memory(e);
    for (size_t l = 0; l < k->x.n_layers; l++) {
        matrix_of(&k->x, l, part, maps + l * square);
        spread = fmax(spread, k->x.layers[l].part[part].spread);
    }
    (void)scale(maps, k->x.n_layers * square, spread);
    for (size_t l = 0; l < k->x.n_layers; l++) {
        if (k->x.layers[l].part[part].method == SC_SIMILARITY_NONE)
            continue;
        set_diagonal(&k->x, l, part, maps + l * square);
        sc_expert_map_paint(&(struct sc_expert_map){maps + l * square, n, n}, cell, cell,
                            to->p + l * (n * cell + GUTTER) * to->width, to->width,
                            part * (n * cell + GUTTER));
    }
    free(maps);
    return 0;
}

static int write_png(struct comparison *k, struct sc_error *e)
{
    struct sc_map_picture picture = {0};
    size_t cell = CELL, height;

    do
        height = k->x.n_layers * (k->x.n * cell + GUTTER) - GUTTER;
    while ((height > SC_MAP_LARGEST ||
            SC_SIMILARITY_PARTS * (k->x.n * cell + GUTTER) > SC_MAP_LARGEST) &&
           (cell /= 2) > 0);
    cell = SC_MAX(cell, (size_t)1);
    int code = sc_map_picture_new(k->c, SC_SIMILARITY_PARTS * (k->x.n * cell + GUTTER) - GUTTER,
                                  height, &picture, e);
    for (unsigned part = 0; part < SC_SIMILARITY_PARTS && code == 0; part++)
        code = draw_column(k, part, cell, &picture, e);
    if (code == 0)
        code = sc_map_picture_write(k->c, &picture, e);
    free(picture.p);
    return code;
}

/* ----------------------------------------------------------------------------------- words --- */
static void put_head(struct comparison *k)
{
    const struct sc_similarity *x = &k->x;
    struct sc_buf *b = &k->c->out.buf;
    const struct sc_similarity_matrix *first = NULL;
    double error = 0, spread = (double)NAN;

    for (size_t l = 0; l < x->n_layers; l++)
        for (unsigned part = 0; part < SC_EXPERT_ROUTER; part++) {
            const struct sc_similarity_matrix *m = &x->layers[l].part[part];
            if (m->method != SC_SIMILARITY_NONE && !first) {
                first = m;
                spread = x->layers[l].part[SC_SIMILARITY_JOINED].spread;
            }
            error = fmax(error, m->error[1]);
        }
    sc_buf_printf(b, "%zu layer%s with %u experts%s%s", x->n_layers, x->n_layers == 1 ? "" : "s",
                  x->n_experts, x->n_layers == 1 ? "" : " each",
                  x->n > x->n_experts ? " and a shared one" : "");
    if (first && x->original)
        sc_buf_puts(b, "; modelweightvis' definition, which depends on the order of neurons");
    else if (first && first->method == SC_SIMILARITY_SKETCH)
        sc_buf_printf(b, "; estimated, good to +- %.2g", error);
    else if (first)
        sc_buf_puts(b, "; exact");
    if (first)
        sc_buf_puts(b, "\ncorrected for chance: 1 for the same neurons in any order, 0 for "
                       "unrelated experts");
    if (first && !isnan(spread))
        sc_buf_printf(b, " (+- %.2g)", spread);
    sc_buf_puts(b, "\n\n");
    sc_out_settle(&k->c->out);
}

static void put_scale(struct comparison *k, const char *what, float *map, size_t n, size_t layer)
{
    const double spread = k->x.layers[layer].part[SC_SIMILARITY_JOINED].spread;

    sc_buf_printf(&k->c->out.buf, "%s, corrected: 0 to %.4g\n", what, scale(map, n, spread));
    sc_out_settle(&k->c->out);
}

/* Of few layers every pair; of many each expert's nearest. */
static int put_maps(struct comparison *k, struct sc_error *e)
{
    const struct sc_similarity *x = &k->x;
    const enum sc_graphics how = sc_graphics_of(k->c);
    const size_t n = x->n, rows = x->n_layers > FEW_LAYERS ? x->n_layers : n;
    float *map = sc_alloc(rows * n * sizeof *map);
    int code = map ? 0 : sc_fail_memory(e);

    for (size_t l = 0; l < x->n_layers && x->n_layers <= FEW_LAYERS && code == 0; l++) {
        char what[64];
        if (x->layers[l].part[SC_SIMILARITY_JOINED].method == SC_SIMILARITY_NONE)
            continue;
        (void)snprintf(what, sizeof what, "layer %d, likeness of experts", x->layers[l].layer);
        matrix_of(x, l, SC_SIMILARITY_JOINED, map);
        put_scale(k, what, map, n * n, l);
        set_diagonal(x, l, SC_SIMILARITY_JOINED, map);
        code = sc_expert_map_put(k->c, &(struct sc_expert_map){map, n, n}, how, e);
    }
    if (x->n_layers > FEW_LAYERS && code == 0) {
        for (size_t i = 0; i < rows * n; i++)
            map[i] = NAN;
        for (size_t i = 0; i < x->n_ranks; i++)
            map[x->ranks[i].at * n + x->ranks[i].expert] = (float)x->ranks[i].score;
        put_scale(k, "likeness to the nearest expert, layers go down", map, rows * n, 0);
        code = sc_expert_map_put(k->c, &(struct sc_expert_map){map, rows, n}, how, e);
    }
    free(map);
    return code;
}

static void put_name(struct comparison *k, uint32_t expert, int width)
{
    char text[16];
    const struct sc_str name = sc_similarity_name(&k->x, expert, text);

    sc_buf_printf(&k->c->out.buf, "%*.*s", width, (int)name.n, name.p);
}

static void put_clusters(struct comparison *k)
{
    const struct sc_similarity *x = &k->x;
    struct sc_buf *b = &k->c->out.buf;
    size_t all = 0;

    for (size_t l = 0; l < x->n_layers; l++)
        all += x->layers[l].n_clusters;
    if (!all)
        sc_buf_printf(b, "\nno two experts are alike by %.2g or more\n", x->threshold);
    else
        sc_buf_printf(b, "\n%zu group%s of experts that are alike by %.2g or more\n", all,
                      all == 1 ? "" : "s", x->threshold);
    for (size_t l = 0; l < x->n_layers; l++)
        for (uint32_t first = 0; first < x->n && x->layers[l].n_clusters; first++) {
            const uint32_t *cluster = x->layers[l].cluster;
            size_t members = 0;
            for (uint32_t i = 0; i < x->n; i++)
                members += cluster[i] == first;
            if (members < 2)
                continue;
            sc_buf_printf(b, "  layer %d:", x->layers[l].layer);
            for (uint32_t i = 0; i < x->n; i++)
                if (cluster[i] == first) {
                    sc_buf_putc(b, ' ');
                    put_name(k, i, 0);
                }
            sc_buf_putc(b, '\n');
            sc_out_settle(&k->c->out);
        }
    sc_out_settle(&k->c->out);
}

static void put_pairs(struct comparison *k)
{
    struct sc_out *o = &k->c->out;
    struct sc_buf text = {0};
    const size_t n = SC_MIN(k->x.n_pairs, (size_t)k->c->set.top);

    for (size_t i = 0; i < n; i++) {
        const struct sc_similarity_pair *p = &k->x.pairs[i];
        text.n = 0;
        sc_similarity_sentence(&k->x, p, &text);
        sc_out_colour(o, &k->c->term, SC_COLOUR_WARNING, sc_similarity_kinds[p->kind]);
        sc_out_puts(o, "  ");
        sc_out_puts(o, text.failed ? "" : text.p);
        sc_out_putc(o, '\n');
    }
    if (k->x.n_pairs + k->x.n_more > n) {
        sc_buf_printf(&o->buf, "%zu more\n", k->x.n_pairs + k->x.n_more - n);
        sc_out_settle(o);
    }
    sc_buf_clear(&text);
}

/* Experts that have no score, and why. */
static void put_left_out(struct comparison *k)
{
    for (size_t l = 0; l < k->x.n_layers; l++)
        for (unsigned part = 0; part < SC_EXPERT_PARTS; part++) {
            const struct sc_similarity_matrix *m = &k->x.layers[l].part[part];
            for (uint32_t i = 0; i < k->x.n && m->state; i++) {
                if (m->state[i] == SC_SIMILARITY_COMPARED ||
                    (m->state[i] == SC_SIMILARITY_MISSING && i == k->x.n_experts))
                    continue;
                sc_buf_printf(&k->c->out.buf, "not compared: layer %d, expert ",
                              k->x.layers[l].layer);
                put_name(k, i, 0);
                sc_buf_printf(&k->c->out.buf, ", %s: %s\n", sc_similarity_parts[part],
                              sc_similarity_states[m->state[i]]);
                sc_out_settle(&k->c->out);
            }
        }
}

static void put_ranking(struct comparison *k)
{
    struct sc_buf *b = &k->c->out.buf;
    const size_t n = SC_MIN(k->x.n_ranks, (size_t)k->c->set.top);

    if (!n)
        return;
    sc_buf_puts(b, "\nmost replaceable\nLAYER  EXPERT    LIKE  CORRECTED\n");
    for (size_t i = 0; i < n; i++) {
        const struct sc_similarity_rank *r = &k->x.ranks[i];
        sc_buf_printf(b, "%5d  ", k->x.layers[r->at].layer);
        put_name(k, r->expert, 6);
        sc_buf_puts(b, "  ");
        put_name(k, r->nearest, 6);
        sc_buf_printf(b, "  %9.4f\n", r->score);
        sc_out_settle(&k->c->out);
    }
}

static int print(struct comparison *k, struct sc_error *e)
{
    struct sc_cli *c = k->c;

    if (c->set.json) {
        sc_document_start(&k->d, SC_SCHEMA_SIMILARITY);
        TRY(sc_analyze_model(&k->d, &k->d.root, k->model, e));
        sc_analyze_similarity(&k->d, &k->d.root, &k->x);
        if (k->d.failed)
            return sc_fail_memory(e);
        sc_report_json(&c->out, &k->d);
        return 0;
    }
    sc_cli_header(c, k->model);
    put_head(k);
    TRY(put_maps(k, e));
    put_clusters(k);
    put_pairs(k);
    put_left_out(k);
    put_ranking(k);
    return 0;
}

/* --------------------------------------------------------------------------------- running --- */
static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    sc_progress_show(&(struct sc_progress){.done = done, .total = total, .moved = done});
}

static int report(struct comparison *k)
{
    struct sc_cli *c = k->c;
    struct sc_error e = {0};

    if (!k->x.n_layers) {
        sc_say(c, "error", "%s has no experts among what is asked for", k->model->label);
        return SC_EXIT_INPUT;
    }
    if (k->x.unread && !c->set.quiet)
        sc_say(c, "warning", "%zu matrices could not be read: %s", k->x.unread, k->x.why);
    if (c->set.picture && write_png(k, &e) < 0)
        return sc_fail_exit(c, &e);
    if (c->set.live || c->set.out_dir) {
        const int status =
            sc_moe_view(c, &(struct sc_moe_figures){.model = k->model, .similarity = &k->x});
        if (status || c->set.live)
            return status;
    }
    if (print(k, &e) < 0)
        return sc_fail_exit(c, &e);
    c->whole = true;
    return k->x.unread ? SC_EXIT_INPUT : c->set.fail && k->x.n_pairs ? SC_EXIT_FINDINGS : 0;
}

int sc_moe_similarity(struct sc_cli *c, const struct sc_model *m, struct sc_pool *pool,
                      const struct sc_filter *filter)
{
    struct comparison k = {.c = c, .model = m};
    struct sc_similarity_options o = {
        .pool = pool, .cancel = &sc_cancel, .filter = filter, .progress = show_progress};
    struct sc_error e = {0};
    int code = read_options(c, &o, &e);

    if (code == 0) {
        sc_progress_start(c, 0);
        code = sc_similarity_measure(m, &o, &k.x, &e);
        (void)sc_progress_end();
    }
    const int status = code < 0 ? sc_fail_exit(c, &e) : report(&k);
    sc_document_clear(&k.d);
    sc_similarity_clear(&k.x);
    return status;
}
