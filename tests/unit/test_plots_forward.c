/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the pictures of activations, super weights and perplexity over figures that no model
 * gives: none at all, NaN, infinities, the ends of what a float can hold, hundreds of layers. That
 * pictures show what the JSON says is tests/py/test_forward_pictures.py. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "markup.h"
#include "oom.h"
#include "report/plots_forward.h"
#include "scratch.h"
#include "test.h"

__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig\n"; /* keeps what it read of the machine's fonts */
}

enum { MOST_LAYERS = 300, POSITIONS = 5, WINDOWS = 700 };
struct fake {
    struct sc_activation list[4 * MOST_LAYERS];
    struct sc_attention_sink sinks[MOST_LAYERS];
    struct sc_attention_map map;
    double attention[POSITIONS * POSITIONS];
    struct sc_activations a;
    struct sc_super_weight weights[3];
    struct sc_super_maximum maxima[6 * MOST_LAYERS];
    struct sc_super_list found;
    struct sc_super_effect effects[32];
    struct sc_super_token tokens[32];
    struct sc_super_effects verified;
    struct sc_super_matrix matrix;
    float squares[64 * 64];
    struct sc_super_matrices matrices;
    struct sc_ppl_window windows[WINDOWS];
    struct sc_ppl ppl;
    struct sc_effect quantised[6];
    struct sc_quantized formats[5];
};

static void fill_activations(struct fake *f, size_t layers, double v)
{
    static const enum sc_hook hooks[] = {SC_HOOK_DOWN_IN, SC_HOOK_DOWN_OUT, SC_HOOK_RESIDUAL,
                                         SC_HOOK_ROUTER};

    for (size_t i = 0; i < 4 * layers; i++) {
        struct sc_activation *a = &f->list[i];
        *a = (struct sc_activation){.hook = hooks[i % 4],
                                    .layer = (int32_t)(i / 4),
                                    .count = 10,
                                    .nonfinite = !isfinite(v),
                                    .min = -v,
                                    .max = v,
                                    .rms = v,
                                    .median_abs = v,
                                    .most = (float)v,
                                    .part = -1,
                                    .unit = isfinite(v) && v > 0 ? v : 1,
                                    .norm_first = v,
                                    .norm_median = v,
                                    .norm_most = v};
        for (size_t k = 0; k < SC_ACTIVATION_QUANTILES; k++)
            a->quantile[k] = v * ((double)k - 3) / 3;
        a->bins[i % SC_ACTIVATION_BINS] = 10;
    }
    for (size_t i = 0; i < layers; i++)
        f->sinks[i] = (struct sc_attention_sink){(int32_t)i, v, v, 0, v};
    for (size_t i = 0; i < SC_COUNT(f->attention); i++)
        f->attention[i] = v;
    f->map = (struct sc_attention_map){1, -1, POSITIONS, f->attention, 2};
    f->a = (struct sc_activations){.list = f->list,
                                   .n = 4 * layers,
                                   .sinks = f->sinks,
                                   .n_sinks = layers,
                                   .maps = &f->map,
                                   .n_maps = 1,
                                   .n_next = 3};
    for (size_t i = 0; i < 3; i++)
        f->a.next[i] = (struct sc_next_token){(uint32_t)i, (float)v, v};
}

static void fill_super(struct fake *f, size_t layers, double v)
{
    static const enum sc_hook hooks[] = {SC_HOOK_DOWN_IN, SC_HOOK_DOWN_OUT, SC_HOOK_RESIDUAL};

    for (size_t i = 0; i < 6 * layers; i++)
        f->maxima[i] = (struct sc_super_maximum){.round = i >= 3 * layers,
                                                 .layer = (uint32_t)(i / 3 % layers),
                                                 .hook = hooks[i % 3],
                                                 .expert = -1,
                                                 .value = isfinite(v) ? (float)v : 0,
                                                 .nonfinite = !isfinite(v)};
    for (size_t i = 0; i < 3; i++)
        f->weights[i] = (struct sc_super_weight){
            .expert = -1, .row = (uint32_t)(20 * i), .col = 63, .weight = (float)v};
    f->found = (struct sc_super_list){
        .p = f->weights, .n = 3, .maxima = f->maxima, .n_maxima = 6 * layers};
    for (size_t i = 0; i < SC_COUNT(f->effects); i++)
        f->effects[i] = (struct sc_super_effect){.kind = (enum sc_super_kind)(i % SC_SUPER_KINDS),
                                                 .index = (uint32_t)i,
                                                 .factor = (double)i,
                                                 .kl = v,
                                                 .nll = v,
                                                 .low = -v,
                                                 .high = v};
    for (size_t i = 0; i < SC_COUNT(f->tokens); i++)
        f->tokens[i] = (struct sc_super_token){(uint32_t)i, v, v, v, v, v, v};
    f->verified = (struct sc_super_effects){.p = f->effects,
                                            .n = SC_COUNT(f->effects),
                                            .tokens = f->tokens,
                                            .n_tokens = SC_COUNT(f->tokens),
                                            .label = "fatal"};
    f->matrix = (struct sc_super_matrix){.expert = -1,
                                         .rows = 64 * 3,
                                         .cols = 64 * 3,
                                         .by = 3,
                                         .down = 64,
                                         .across = 64,
                                         .squares = f->squares,
                                         .min = -v,
                                         .max = v,
                                         .nonfinite = !isfinite(v),
                                         .near_rows = 25,
                                         .near_cols = 25};
    for (size_t i = 0; i < SC_COUNT(f->squares); i++)
        f->squares[i] = (float)(i % 2 ? v : -v);
    f->matrix.bins[7] = 64 * 64 * 9;
    f->matrices = (struct sc_super_matrices){&f->matrix, 1};
}

static void fill(struct fake *f, size_t layers, double v)
{
    fill_activations(f, layers, v);
    fill_super(f, layers, v);
    for (size_t i = 0; i < WINDOWS; i++)
        f->windows[i] = (struct sc_ppl_window){i, 1, i % 3, v};
    f->ppl = (struct sc_ppl){.window = 2,
                             .windows = f->windows,
                             .n_windows = WINDOWS,
                             .scored = 9,
                             .nll = v,
                             .error = v,
                             .effects = f->quantised,
                             .n_effects = SC_COUNT(f->quantised)};
    for (size_t i = 0; i < SC_COUNT(f->quantised); i++)
        f->quantised[i] = (struct sc_effect){v, v * (double)i, v, v, v, -v, v};
    for (size_t i = 0; i < SC_COUNT(f->formats); i++) {
        static const char *const names[] = {"rtn4:block=16x16", "rtn4:nf,block=flat:256", "mxfp4",
                                            "rtn3", "rtn3:block=col"};
        struct sc_quantized *q = &f->formats[i];
        snprintf(q->name, sizeof q->name, "%s", names[i]);
        q->is_recipe = sc_recipe_is(sc_strz(names[i]));
        CHECK(!q->is_recipe || sc_recipe_parse(sc_strz(names[i]), &q->recipe, NULL) == 0);
    }
}

/* All pictures of a set in two widths; returns how many had something to show. */
static size_t draw_all(const struct sc_picture_kind *kinds, size_t n, const void *data)
{
    size_t shown = 0;

    for (size_t i = 0; i < n; i++) {
        const size_t items = kinds[i].count ? kinds[i].count(data) : 1;
        for (size_t k = 0; k < 2 * items; k++) {
            const struct sc_picture_set one = {
                "test", &kinds[i], 1, data, SC_STR("<model> & \"co\""), NULL, "docs/x.md", NULL};
            struct sc_buf out = {0};
            struct sc_svg s;
            struct sc_error e = {0};
            sc_svg_start(&s, k % 2 ? 380 : 960, false);
            if (!kinds[i].draw(data, k / 2, &s)) {
                sc_svg_clear(&s);
                continue;
            }
            shown++;
            CHECK(isfinite(s.h) && s.h > 0);
            sc_svg_finish(&s, kinds[i].title, kinds[i].what, one.subject, NULL, &out);
            const char *problem = markup_problem(out.p);
            if (problem)
                fprintf(stderr, "%s: %s\n", kinds[i].id, problem);
            CHECK(problem == NULL);
            CHECK(e.code == 0);
            sc_buf_clear(&out);
        }
    }
    return shown;
}

static size_t draw_everything(const struct fake *f)
{
    const struct sc_activation_pictures a = {&f->a, {NULL, 0, NULL}};
    const struct sc_super_pictures s = {
        .list = &f->found, .effects = &f->verified, .matrices = &f->matrices};
    const struct sc_super_pictures large = {
        .list = &f->found, .effects = &f->verified, .matrices = &f->matrices, .by_size = true};
    const struct sc_ppl_pictures p = {&f->ppl, f->formats,
                                      f->ppl.n_effects ? f->ppl.n_effects - 1 : 0};

    return draw_all(sc_activation_kinds, sc_n_activation_kinds, &a) +
           draw_all(sc_super_picture_kinds, sc_n_super_picture_kinds, &s) +
           draw_all(sc_largest_picture_kinds, sc_n_largest_picture_kinds, &large) +
           draw_all(sc_ppl_picture_kinds, sc_n_ppl_picture_kinds, &p);
}

TEST(ids_are_names_of_files_and_different)
{
    const struct {
        const struct sc_picture_kind *p;
        size_t n;
    } sets[] = {{sc_activation_kinds, sc_n_activation_kinds},
                {sc_super_picture_kinds, sc_n_super_picture_kinds},
                {sc_largest_picture_kinds, sc_n_largest_picture_kinds},
                {sc_ppl_picture_kinds, sc_n_ppl_picture_kinds}};

    for (size_t s = 0; s < SC_COUNT(sets); s++)
        for (size_t i = 0; i < sets[s].n; i++) {
            const struct sc_picture_set set = {.kinds = sets[s].p, .n_kinds = sets[s].n};
            CHECK(sc_picture_kind(&set, sets[s].p[i].id) == &sets[s].p[i]);
            CHECK(strspn(sets[s].p[i].id, "abcdefghijklmnopqrstuvwxyz-") ==
                  strlen(sets[s].p[i].id));
        }
}

TEST(any_figures_give_sound_pictures)
{
    static const double values[] = {0,    1,       -3.5,     1e-310,   FLT_MAX,
                                    1e30, DBL_MAX, INFINITY, -INFINITY};
    static const size_t layers[] = {1, 2, 32, 126, MOST_LAYERS};
    struct fake *f = calloc(1, sizeof *f);

    for (size_t l = 0; l < SC_COUNT(layers); l++)
        for (size_t i = 0; i <= SC_COUNT(values); i++) {
            if (layers[l] > 32 && i > 2)
                continue;
            fill(f, layers[l], i < SC_COUNT(values) ? values[i] : NAN);
            CHECK(draw_everything(f) > 20);
        }
    free(f);
}

TEST(nothing_gives_nothing_but_says_why)
{
    struct fake *f = calloc(1, sizeof *f);
    const struct sc_super_pictures data = {
        .list = &f->found, .effects = &f->verified, .matrices = &f->matrices};
    const struct sc_picture_set set = {.command = "super",
                                       .kinds = sc_super_picture_kinds,
                                       .n_kinds = sc_n_super_picture_kinds,
                                       .data = &data,
                                       .document = "docs/super.md"};
    struct sc_out out = {0};
    struct sc_error e = {0};

    CHECK_U64(draw_everything(f), 0);
    CHECK(sc_pictures_put(&out, &set, NULL, false, &e) == SCRUPLE_EUSAGE);
    CHECK(strstr(e.text, "there is nothing to draw: The model was not run."));
    e = (struct sc_error){0};
    CHECK(sc_pictures_put(&out, &set, sc_picture_kind(&set, "weights"), false, &e) ==
          SCRUPLE_EUSAGE);
    CHECK(strstr(e.text, "No super weight was found"));
    free(f);
}

static int drop(void *ctx, const char *p, size_t n)
{
    (void)p;
    *(size_t *)ctx += n;
    return 0;
}

TEST(the_kth_allocation_fails)
{
    struct fake *f = calloc(1, sizeof *f);
    const struct sc_super_pictures data = {
        .list = &f->found, .effects = &f->verified, .matrices = &f->matrices};
    const struct sc_activation_pictures other = {&f->a, {NULL, 0, NULL}};
    const struct sc_picture_set sets[] = {
        {"super", sc_super_picture_kinds, sc_n_super_picture_kinds, &data, SC_STR("m"), NULL,
         "docs/super.md", NULL},
        {"activations", sc_activation_kinds, sc_n_activation_kinds, &other, SC_STR("m"), NULL,
         "docs/forward.md", NULL}};

    fill(f, 2, 5);
    for (size_t s = 0; s < SC_COUNT(sets); s++)
        for (uint64_t k = 0;; k += 1 + k / 40) {
            size_t bytes = 0;
            struct sc_out out = {.write = drop, .ctx = &bytes};
            struct sc_error e = {0};
            sc_oom_fail_at(k);
            const int code = sc_pictures_page(&out, &sets[s], &e);
            const int end = sc_out_finish(&out);
            const bool reached = sc_oom_failed() > 0;
            sc_oom_off();
            if (!reached) {
                CHECK(code == 0 && end == 0 && bytes > 10000);
                break;
            }
            CHECK(code < 0 || end != 0);
        }
    free(f);
}
