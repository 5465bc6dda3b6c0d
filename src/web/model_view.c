/* SPDX-License-Identifier: Apache-2.0 */
/* model_view: a model as a view: its plan, its values, and what is said of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/scene_json.h"
#include "web/put.h"
#include "web/shot.h"

/* ------------------------------------------------------------------------- plan and scales --- */

static const struct sc_scene *view_plan(void *ctx)
{
    const struct sc_model_view *m = ctx;
    return m->scene;
}

static double or_nan(float v)
{
    return v > 0 ? (double)v : (double)NAN;
}

static void view_scene(void *ctx, struct sc_out *o, bool is_static)
{
    const struct sc_model_view *m = ctx;
    struct sc_scale_range ranges[SC_ROLE_COUNT], whole;
    double roles[SC_ROLE_COUNT];
    sc_scales_all(m->scales, ranges, &whole);
    for (unsigned i = 0; i < SC_ROLE_COUNT; i++)
        roles[i] = or_nan(ranges[i].robust);
    const struct sc_scene_json j = {.title = m->title,
                                    .mode = is_static ? "static" : "live",
                                    .planes = sc_plane_names,
                                    .n_planes = SC_PLANES,
                                    .scale = or_nan(whole.robust),
                                    .role_scale = roles,
                                    .in_page = is_static};
    sc_report_scene(o, m->scene, &j);
}

static void put_range(struct sc_out *o, struct sc_scale_range r)
{
    sc_put_key_real(o, "{\"robust\": ", (double)r.robust);
    sc_put_key_real(o, ", \"abs\": ", (double)r.abs);
    sc_out_putc(o, '}');
}

/* A column by tensor; null: nothing is known. */
static bool put_ranges(struct sc_out *o, const struct sc_model_view *m, bool robust)
{
    bool all_final = true;
    for (uint32_t i = 0; i < m->scene->model->n_tensors && !o->status; i++) {
        struct sc_scale_range r = {0, 0};
        bool final = false;
        const bool drawn = m->scene->places_of[i] < m->scene->places_of[i + 1];
        const bool known = drawn && sc_scales_of(m->scales, i, &r, &final);
        all_final = all_final && (!drawn || final);
        sc_out_putc(o, i ? ',' : '[');
        sc_out_json_number(o, known ? (double)(robust ? r.robust : r.abs) : (double)NAN);
    }
    sc_out_puts(o, m->scene->model->n_tensors ? "]" : "[]");
    return all_final;
}

static void view_scales(void *ctx, struct sc_out *o)
{
    const struct sc_model_view *m = ctx;
    struct sc_scale_range roles[SC_ROLE_COUNT], whole;
    uint64_t epoch = 0;
    if (sc_pyramids_progress(m->pyramids, &epoch) >= 1)
        epoch = 0; /* how often they grew depends on time, and exports do not */
    sc_scales_all(m->scales, roles, &whole);
    sc_put_key_whole(o, "{\n  \"epoch\": ", epoch);
    sc_out_puts(o, ",\n  \"model\": ");
    put_range(o, whole);
    sc_out_puts(o, ",\n  \"roles\": {");
    for (unsigned i = 0; i < SC_ROLE_COUNT; i++) {
        sc_put_key_text(o, i ? ", " : "", sc_strz(sc_role_names[i]));
        sc_out_puts(o, ": ");
        put_range(o, roles[i]);
    }
    sc_out_puts(o, "},\n  \"robust\": ");
    bool final = put_ranges(o, m, true);
    sc_out_puts(o, ",\n  \"abs\": ");
    final = put_ranges(o, m, false) && final;
    if (m->add_to_scales)
        final = m->add_to_scales(ctx, o) && final;
    sc_out_puts(o, final ? ",\n  \"final\": true\n}\n" : ",\n  \"final\": false\n}\n");
}

/* ---------------------------------------------------------------------------------- values --- */

static int view_tile(void *ctx, struct sc_tile *t, unsigned patience, struct sc_error *e)
{
    const struct sc_model_view *m = ctx;
    return sc_tile_fill(m->pyramids, t, patience, e);
}

static int view_planes(void *ctx, struct sc_tile *t, size_t n, unsigned patience,
                       struct sc_error *e)
{
    const struct sc_model_view *m = ctx;
    return sc_tile_fill_planes(m->pyramids, t, n, patience, e);
}

static bool view_halves(void *ctx, struct sc_tile *t, uint16_t *halves)
{
    const struct sc_model_view *m = ctx;
    return sc_tile_fill_halves(m->pyramids, t, halves);
}

static int view_check(void *ctx, struct sc_error *e)
{
    const struct sc_model_view *m = ctx;
    return sc_pyramids_check(m->pyramids, e);
}

static bool view_key(void *ctx, char key[65])
{
    const struct sc_model_view *m = ctx;
    return sc_pyramids_key(m->pyramids, key);
}

static struct sc_str file_of(const struct sc_model *m, uint32_t tensor)
{
    const struct sc_entry *en = &m->catalog->entries[m->tensors[tensor].main];
    return sc_strz(en->file < m->catalog->n_files ? m->catalog->files[en->file].path : "");
}

int sc_web_is_drawn(const struct sc_model_view *m, uint64_t tensor, struct sc_error *e)
{
    if (tensor < m->scene->model->n_tensors &&
        m->scene->places_of[tensor] < m->scene->places_of[tensor + 1])
        return 0;
    return sc_fail(e, SCRUPLE_EUSAGE, "there is no tensor %llu in this picture",
                   (unsigned long long)tensor);
}

static int view_value(void *ctx, uint64_t tensor, uint64_t slice, uint64_t row, uint64_t col,
                      struct sc_out *o, struct sc_error *e)
{
    const struct sc_model_view *m = ctx;
    struct sc_element_facts f;
    TRY(sc_web_is_drawn(m, tensor, e));
    if (slice > UINT32_MAX)
        return sc_fail(e, SCRUPLE_EUSAGE, "no tensor has %llu slices", (unsigned long long)slice);
    TRY(sc_element_at(m->pyramids, (uint32_t)tensor, (uint32_t)slice, row, col, &f, e));
    sc_put_key_whole(o, "{\"tensor\": ", tensor);
    sc_put_key_whole(o, ", \"slice\": ", slice);
    sc_put_key_whole(o, ", \"row\": ", row);
    sc_put_key_whole(o, ", \"col\": ", col);
    sc_put_key_value(o, ", \"value\": ", f.value);
    sc_put_key_bytes(o, ", \"raw\": ", f.raw, f.raw_bytes);
    sc_put_key_count(o, ", \"offset\": ", f.offset);
    sc_put_key_text(o, ", \"file\": ", file_of(m->scene->model, (uint32_t)tensor));
    sc_out_puts(o, "}\n");
    return 0;
}

/* ----------------------------------------------------------------------------------- tensor --- */

/* Quantiles of few values are often the same as their neighbour. */
static void put_floats(struct sc_out *o, const char *key, const float *v, size_t n)
{
    char text[40] = "";
    sc_out_puts(o, key);
    for (size_t i = 0; i < n; i++) {
        sc_out_putc(o, i ? ',' : '[');
        if (i == 0 || sc_bits_of(v[i]) != sc_bits_of(v[i - 1]))
            sc_json_number((double)v[i], text);
        sc_out_puts(o, text);
    }
    sc_out_puts(o, n ? "]" : "[]");
}

static void put_figures(struct sc_out *o, const struct sc_tensor_facts *f)
{
    const struct {
        const char *key;
        double v;
    } reals[] = {{",\n \"min\": ", f->min},       {", \"max\": ", f->max},
                 {", \"mean\": ", f->mean},       {", \"rms\": ", f->rms},
                 {", \"abs_max\": ", f->abs_max}, {", \"robust\": ", f->robust}};
    for (size_t i = 0; i < SC_COUNT(reals); i++)
        sc_put_key_real(o, reals[i].key, reals[i].v);
    sc_put_key_count(o, ",\n \"zeros\": ", f->zeros);
    sc_put_key_count(o, ", \"nonfinite\": ", f->nonfinite);
    sc_out_puts(o, f->sampled ? ", \"sampled\": true" : ", \"sampled\": false");
    sc_out_puts(o, ",\n \"histogram\": ");
    for (size_t i = 0; i < SC_TENSOR_BINS; i++)
        sc_put_key_whole(o, i ? "," : "[", f->histogram[i]);
    put_floats(o, "],\n \"quantile\": ", f->quantile, SC_TENSOR_QUANTILES);
    put_floats(o, ",\n \"rows\": ", f->row_rms, f->n_rows);
    put_floats(o, ",\n \"cols\": ", f->col_rms, f->n_cols);
}

/* A tensor that cannot be read is no error: `why` tells. */
static int view_tensor(void *ctx, uint64_t tensor, struct sc_out *o, struct sc_error *e)
{
    const struct sc_model_view *m = ctx;
    TRY(sc_web_is_drawn(m, tensor, e));
    const struct sc_tensor *t = &m->scene->model->tensors[tensor];
    struct sc_tensor_facts *f = sc_alloc(sizeof *f);
    if (!f)
        return sc_fail_memory(e);
    const int code = sc_tensor_facts(m->pyramids, (uint32_t)tensor, f, e);
    if (code == SCRUPLE_EMEMORY || code == SCRUPLE_EINTERRUPTED) {
        free(f);
        return code;
    }
    sc_put_key_whole(o, "{\"i\": ", tensor);
    sc_put_key_text(o, ", \"name\": ", sc_tensor_name(t));
    sc_put_key_text(o, ", \"dtype\": ", sc_strz(t->dtype));
    sc_out_puts(o, ", \"shape\": ");
    for (size_t i = 0; i < t->rank; i++)
        sc_put_key_whole(o, i ? "," : "[", t->shape[i]);
    sc_put_key_text(o, t->rank ? "], \"file\": " : "[], \"file\": ",
                    file_of(m->scene->model, (uint32_t)tensor));
    if (code == 0)
        put_figures(o, f);
    free(f);
    const char *why = code < 0 ? e->text : sc_pyramids_why(m->pyramids, (uint32_t)tensor);
    sc_put_key_words(o, ",\n \"why\": ", why);
    if (m->add_to_tensor)
        m->add_to_tensor(ctx, (uint32_t)tensor, o);
    sc_out_puts(o, "}\n");
    return 0;
}

/* ----------------------------------------------------------------------------------- search --- */

/* How well a name matches, best first. */
enum { IS_IT, ENDS_SO, HAS_IT, HAS_WORDS, MATCHES, MISSES };

static bool has_words(struct sc_str name, struct sc_str words)
{
    while (words.n) {
        size_t n = 0;
        while (n < words.n && words.p[n] != ' ')
            n++;
        if (n && !sc_str_has_nocase(name, sc_str(words.p, n)))
            return false;
        words = sc_str(words.p + n, words.n - n);
        while (words.n && words.p[0] == ' ')
            words = sc_str(words.p + 1, words.n - 1);
    }
    return true;
}

static int match(struct sc_str name, struct sc_str words)
{
    if (sc_str_eq_nocase(name, words))
        return IS_IT;
    if (name.n > words.n && sc_str_eq_nocase(sc_str(name.p + name.n - words.n, words.n), words))
        return ENDS_SO;
    if (sc_str_has_nocase(name, words))
        return HAS_IT;
    return has_words(name, words) ? HAS_WORDS : MISSES;
}

static uint8_t rank_of(const struct sc_model *m, uint32_t tensor, struct sc_str words,
                       const struct sc_filter *filter, struct sc_buf *canonical)
{
    const struct sc_str name = sc_tensor_name(&m->tensors[tensor]);
    int rank = match(name, words);
    if (rank > IS_IT) {
        canonical->n = 0;
        sc_canonical_name(name, canonical);
        if (!canonical->failed && canonical->n)
            rank = SC_MIN(rank, match(sc_str(canonical->p, canonical->n), words));
    }
    if (rank == MISSES && filter && sc_filter_match(filter, name))
        rank = MATCHES;
    return (uint8_t)rank;
}

static void put_found(struct sc_out *o, const uint8_t *ranks, uint32_t n, size_t limit)
{
    uint64_t total = 0;
    size_t put = 0;
    for (uint32_t i = 0; i < n; i++)
        total += ranks[i] < MISSES;
    sc_put_key_whole(o, "{\"total\": ", total);
    sc_out_puts(o, ", \"tensors\": [");
    for (int rank = IS_IT; rank < MISSES; rank++)
        for (uint32_t i = 0; i < n && put < limit; i++)
            if (ranks[i] == rank)
                sc_put_key_whole(o, put++ ? ", " : "", i);
    sc_out_puts(o, "]}\n");
}

static int view_search(void *ctx, struct sc_str words, size_t limit, struct sc_out *o,
                       struct sc_error *e)
{
    const struct sc_model_view *m = ctx;
    const struct sc_model *model = m->scene->model;
    struct sc_filter *filter = NULL;
    struct sc_buf canonical = {0};
    while (words.n && words.p[0] == ' ')
        words = sc_str(words.p + 1, words.n - 1);
    while (words.n && words.p[words.n - 1] == ' ')
        words.n--;
    char *copy = sc_str_copy(words);
    uint8_t *ranks = sc_alloc(model->n_tensors);
    int code = copy && ranks ? 0 : sc_fail_memory(e);
    if (code == 0) {
        /* A word that is no filter just matches nothing that way. */
        const char *const one[] = {copy};
        if (!sc_str_starts(words, "re:")) /* libc takes memory by the counts in them */
            (void)sc_filter_new(one, 1, &filter, NULL);
        for (uint32_t i = 0; i < model->n_tensors; i++)
            ranks[i] = m->scene->places_of[i] < m->scene->places_of[i + 1]
                           ? rank_of(model, i, words, filter, &canonical)
                           : MISSES;
        put_found(o, ranks, (uint32_t)model->n_tensors, limit);
    }
    sc_filter_free(filter);
    sc_buf_clear(&canonical);
    free(copy);
    free(ranks);
    return code;
}

/* ------------------------------------------------------------------------ progress, pictures ---
 */

static double view_progress(void *ctx, uint64_t *epoch)
{
    const struct sc_model_view *m = ctx;
    return sc_pyramids_progress(m->pyramids, epoch);
}

static int view_sample(void *ctx, size_t most, struct sc_error *e)
{
    const struct sc_model_view *m = ctx;
    const uint64_t n = m->scene->model->n_tensors;
    if (n <= most)
        return sc_scales_sample(m->scales, m->pool, NULL, 0, m->cancel, e);
    uint32_t *some = sc_alloc(most * sizeof *some);
    if (!some)
        return sc_fail_memory(e);
    for (size_t i = 0; i < most; i++)
        some[i] = (uint32_t)(i * n / most);
    const int code = sc_scales_sample(m->scales, m->pool, some, most, m->cancel, e);
    free(some);
    return code;
}

static int view_build(void *ctx, struct sc_error *e)
{
    const struct sc_model_view *m = ctx;
    return sc_pyramids_build(m->pyramids, e);
}

static int view_shot(void *ctx, const struct sc_web_shot *shot, struct sc_out *o,
                     struct sc_error *e)
{
    const struct sc_model_view *m = ctx;
    const struct sc_render_options ro = {.scene = m->scene,
                                         .pyramids = m->pyramids,
                                         .scales = m->scales,
                                         .pool = m->pool,
                                         .mode = shot->mode,
                                         .plane = shot->plane,
                                         .scale_of = shot->scale_of,
                                         .cancel = m->cancel};
    return sc_web_shot_draw(&ro, shot, o, e);
}

const struct sc_web_view_kind sc_web_model_kind = {
    .scene = view_scene,
    .scales = view_scales,
    .value = view_value,
    .tensor = view_tensor,
    .search = view_search,
    .tile = view_tile,
    .planes = view_planes,
    .halves = view_halves,
    .check = view_check,
    .progress = view_progress,
    .sample = view_sample,
    .build = view_build,
    .shot = view_shot,
    .plan = view_plan,
    .key = view_key,
};

struct sc_web_view sc_web_view_of_model(struct sc_model_view *m)
{
    return (struct sc_web_view){.kind = &sc_web_model_kind,
                                .ctx = m,
                                .title = m->title ? m->title : m->scene->model->label};
}
