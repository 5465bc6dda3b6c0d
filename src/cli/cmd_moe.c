/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_moe: the experts of a mixture, as maps of layers and experts, and what is wrong with them. */
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/experts.h"
#include "cli/cli.h"
#include "cli/expert_map.h"
#include "cli/moe_maps.h"
#include "cli/moe_probe.h"
#include "cli/moe_similarity.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const struct sc_option moe_options[] = {
    {"stat", 0, SC_OPTION_ENUM, 0, FIELD(stat), "STAT", sc_expert_stats,
     "what maps show: rms (the default), frobenius, mean-abs or sparsity"},
    {"norm", 0, SC_OPTION_ENUM, 0, FIELD(norm), "HOW", sc_expert_norms,
     "how a map is brought to its colours: from the 2 % to the 98 % value (percentile, the "
     "default), "
     "up to the largest (max), or from the least to the largest (min-max)"},
    {"eps", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(eps), "X", NULL,
     "sizes below X count as zero in sparsity (default: 1e-6)"},
    {"png", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(picture), "FILE", NULL,
     "write the maps as one picture, the parts side by side, a probe's frequencies behind them"},
    {"view", 0, SC_OPTION_FLAG, 0, FIELD(live), NULL, NULL,
     "show the maps of all figures in a browser, until Ctrl-C"},
    {"out", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(out_dir), "DIR", NULL,
     "write that page and its data into a folder, or into one page when the name ends in .html"},
    {"title", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(title), "TEXT", NULL,
     "what that page is called (default: \"Experts of\" and the model's name)"},
    {"bind", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(bind), "ADDRESS", NULL,
     "of --view: serve at another address than 127.0.0.1, which others may reach, too"},
    {"port", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(port), "N", NULL,
     "of --view: serve at port N (default: one that is free)"},
    {"no-open", 0, SC_OPTION_FLAG, 0, FIELD(no_open), NULL, NULL,
     "of --view: do not open a browser"},
    {"graphics", 0, SC_OPTION_ENUM, 0, FIELD(graphics), "HOW", sc_graphics_names,
     "how to draw on the terminal: kitty, sixel, blocks or ascii; auto looks at the terminal"},
    {"light", 0, SC_OPTION_FLAG, 0, FIELD(light), NULL, NULL, "colours for a light ground"},
    {"fail", 0, SC_OPTION_FLAG, 0, FIELD(fail), NULL, NULL,
     "exit with 1 when an expert is dead, unrouted, broken, missing, a copy, or stands out"},
    SC_SIMILARITY_OPTIONS,
    SC_PROBE_OPTIONS,
};

enum { CELL = 16, GUTTER = 16 };

struct mapping {
    struct sc_cli *c;
    struct sc_model *model;
    struct sc_pool *pool;
    struct sc_filter *filter;
    const struct sc_words *words; /* of the filter */
    struct sc_experts x;
    struct sc_moe_probe probe;
    struct sc_document d;
    double eps;
};

/* -------------------------------------------------------------------------------- pictures --- */

static void draw_parts(struct mapping *m, size_t cell, size_t wide, float *map,
                       struct sc_map_picture *to)
{
    const struct sc_settings *set = &m->c->set;
    const struct sc_expert_map what = {map, m->x.n_layers, m->x.n_experts};
    double low, high;

    for (unsigned part = 0; part < SC_EXPERT_PARTS; part++) {
        sc_experts_map(&m->x, part, (enum sc_expert_stat)set->stat, map);
        if (sc_experts_norm(map, what.layers * what.experts, (enum sc_expert_norm)set->norm, &low,
                            &high))
            sc_expert_map_paint(&what, cell, cell, to->p, to->width, part * wide);
    }
}

/* Maps of all parts that are known, side by side, and behind them, in the same rows, how often
 * experts are chosen. */
static int draw(struct mapping *m, size_t cell, size_t gutter, struct sc_map_picture *to,
                struct sc_error *e)
{
    const bool parts = !m->c->set.no_maps;
    const struct sc_routing *r = &m->probe.routing;
    const size_t rows = parts ? m->x.n_layers : r->n_layers, wide = m->x.n_experts * cell + gutter;
    const size_t left = parts ? SC_EXPERT_PARTS * wide : 0;
    const size_t routed = m->probe.ran ? r->n_experts * cell + gutter : 0;
    float *map = sc_alloc((rows * SC_MAX(m->x.n_experts, r->n_experts) + 1) * sizeof *map);
    const int code = map ? sc_map_picture_new(m->c, left + routed - gutter, rows * cell, to, e)
                         : sc_fail_memory(e);

    if (code == 0 && parts)
        draw_parts(m, cell, wide, map, to);
    if (code == 0 && m->probe.ran && sc_moe_probe_map(&m->probe, parts ? &m->x : NULL, map))
        sc_expert_map_paint(&(struct sc_expert_map){map, rows, r->n_experts}, cell, cell, to->p,
                            to->width, left);
    free(map);
    return code;
}

static int write_png(struct mapping *m, struct sc_error *e)
{
    struct sc_map_picture picture = {0};
    int code = draw(m, CELL, GUTTER, &picture, e);

    if (code == 0)
        code = sc_map_picture_write(m->c, &picture, e);
    free(picture.p);
    return code;
}

/* ---------------------------------------------------------------------------------- words --- */

static void put_line(struct mapping *m, unsigned part, double low, double high)
{
    struct sc_buf *b = &m->c->out.buf;

    sc_buf_printf(b, "%s, %s: %.4g to %.4g\n", sc_expert_parts[part],
                  sc_expert_stats[m->c->set.stat], low, high);
    sc_out_settle(&m->c->out);
}

static int put_maps(struct mapping *m, enum sc_graphics how, struct sc_error *e)
{
    const size_t n = m->x.n_layers * m->x.n_experts;
    float *map = sc_alloc((n + 1) * sizeof *map);
    int code = map ? 0 : sc_fail_memory(e);

    for (unsigned part = 0; part < SC_EXPERT_PARTS && code == 0; part++) {
        const struct sc_expert_map what = {map, m->x.n_layers, m->x.n_experts};
        double low, high;
        sc_experts_map(&m->x, part, (enum sc_expert_stat)m->c->set.stat, map);
        if (!sc_experts_norm(map, n, (enum sc_expert_norm)m->c->set.norm, &low, &high))
            continue;
        put_line(m, part, low, high);
        code = sc_expert_map_put(m->c, &what, how, e);
    }
    free(map);
    return code;
}

static void put_findings(struct mapping *m)
{
    struct sc_out *o = &m->c->out;
    struct sc_buf text = {0};

    if (!m->x.n_findings) {
        sc_out_puts(o, "no expert is dead, a copy of another, or stands out\n");
        return;
    }
    for (size_t i = 0; i < m->x.n_findings; i++) {
        text.n = 0;
        sc_expert_sentence(&m->x, &m->x.findings[i], &text);
        sc_out_colour(o, &m->c->term, SC_COLOUR_WARNING,
                      sc_expert_problems[m->x.findings[i].problem]);
        sc_out_puts(o, "  ");
        sc_out_puts(o, text.failed ? "" : text.p);
        sc_out_putc(o, '\n');
    }
    sc_buf_clear(&text);
}

static int describe(struct mapping *m, struct sc_error *e)
{
    sc_document_start(&m->d, SC_SCHEMA_MOE);
    TRY(sc_analyze_model(&m->d, &m->d.root, m->model, e));
    if (!m->c->set.no_maps)
        sc_analyze_moe(&m->d, &m->d.root, m->model, &m->x, (enum sc_expert_norm)m->c->set.norm);
    sc_moe_probe_describe(&m->probe, &m->d, &m->d.root);
    return m->d.failed ? sc_fail_memory(e) : 0;
}

static int put_weights(struct mapping *m, struct sc_error *e)
{
    struct sc_cli *c = m->c;

    sc_buf_printf(&c->out.buf, "%zu layer%s with %u experts%s", m->x.n_layers,
                  m->x.n_layers == 1 ? "" : "s", m->x.n_experts, m->x.n_layers == 1 ? "" : " each");
    if (m->model->config.experts_per_token)
        sc_buf_printf(&c->out.buf, ", of which %llu work on a token",
                      (unsigned long long)m->model->config.experts_per_token);
    sc_out_puts(&c->out, "; layers go down, experts to the right\n\n");
    TRY(put_maps(m, sc_graphics_of(c), e));
    put_findings(m);
    return 0;
}

static int print(struct mapping *m, struct sc_error *e)
{
    struct sc_cli *c = m->c;

    TRY(describe(m, e));
    if (c->set.json) {
        sc_report_json(&c->out, &m->d);
        return 0;
    }
    sc_cli_header(c, m->model);
    if (!c->set.no_maps)
        TRY(put_weights(m, e));
    return sc_moe_probe_put(&m->probe, &m->d.root, e);
}

/* -------------------------------------------------------------------------------- running --- */

static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    sc_progress_show(&(struct sc_progress){.done = done, .total = total, .moved = done});
}

static int measure(struct mapping *m, struct sc_error *e)
{
    const struct sc_experts_options o = {.pool = m->pool,
                                         .cancel = &sc_cancel,
                                         .filter = m->filter,
                                         .eps = m->eps,
                                         .progress = show_progress};

    sc_progress_start(m->c, 0);
    const int code = sc_experts_measure(m->model, &o, &m->x, e);
    (void)sc_progress_end();
    return code;
}

/* A probe that cannot run is no reason to show nothing, when maps are shown. */
static int probe(struct mapping *m)
{
    struct sc_cli *c = m->c;
    struct sc_error e = {0};
    const int code = sc_moe_probe_run(&m->probe, c, m->model, m->pool, &e);

    if (code == 0)
        return 0;
    if (c->set.no_maps || code == SCRUPLE_EUSAGE || code == SCRUPLE_EWRITE ||
        code == SCRUPLE_EINTERRUPTED || code == SCRUPLE_EMEMORY)
        return sc_fail_exit(c, &e);
    if (!c->set.quiet)
        sc_say(c, "warning", "no probe: %s", e.text);
    return 0;
}

static bool matches_any(const struct mapping *m)
{
    for (size_t i = 0; i < m->model->n_tensors; i++)
        if (sc_filter_match(m->filter, sc_tensor_name(&m->model->tensors[i])))
            return true;
    return false;
}

static int report(struct mapping *m)
{
    struct sc_cli *c = m->c;
    struct sc_error e = {0};
    int status = probe(m);

    if (status)
        return status;
    if (!c->set.no_maps && measure(m, &e) < 0)
        return sc_fail_exit(c, &e);
    if (!c->set.no_maps && !m->x.n_layers && m->filter && !matches_any(m)) {
        sc_say_no_match(c, m->model, m->words->p, m->words->n);
        return SC_EXIT_FINDINGS;
    }
    if (!c->set.no_maps && !m->x.n_layers) {
        sc_say(c, "error", "%s has no experts%s", m->model->label,
               m->filter ? " among what the filters match" : "");
        return SC_EXIT_INPUT;
    }
    if (m->x.unread && !c->set.quiet)
        sc_say(c, "warning", "%zu matrices could not be read: %s", m->x.unread, m->x.why);
    if (c->set.picture && write_png(m, &e) < 0)
        return sc_fail_exit(c, &e);
    if (c->set.live || c->set.out_dir) {
        const struct sc_moe_figures f = {.model = m->model,
                                         .experts = c->set.no_maps ? NULL : &m->x,
                                         .routing = m->probe.ran ? &m->probe.routing : NULL};
        status = sc_moe_view(c, &f);
        if (status || c->set.live)
            return status;
    }
    if (print(m, &e) < 0)
        return sc_fail_exit(c, &e);
    c->whole = true;
    return m->x.unread ? SC_EXIT_INPUT : c->set.fail && m->x.n_findings ? SC_EXIT_FINDINGS : 0;
}

static int read_eps(struct mapping *m)
{
    const char *text = m->c->set.eps;
    char *end;

    m->eps = -1;
    if (!text)
        return 0;
    m->eps = strtod(text, &end);
    if (!*text || *end || !(m->eps >= 0 && m->eps <= 1e9))
        return sc_wrong_use(m->c, "--eps cannot be \"%s\": it takes a number of 0 or more", text);
    return 0;
}

/* A page that is shown until Ctrl-C has no end at which something could be printed. */
static int check_view(struct sc_cli *c)
{
    const struct {
        bool given;
        const char *name;
    } no[] = {{c->set.json, "--json"},
              {c->set.output != NULL, "--output"},
              {c->set.out_dir != NULL, "--out"},
              {c->set.fail, "--fail"}};

    for (size_t i = 0; c->set.live && i < SC_COUNT(no); i++)
        if (no[i].given)
            return sc_wrong_use(c, "--view shows a page until Ctrl-C: it does not go with %s",
                                no[i].name);
    return 0;
}

static int run_moe(struct sc_cli *c)
{
    struct mapping m = {.c = c};
    struct sc_open_options oo = sc_cli_open_options(c);
    struct sc_error e = {0};
    const char *const *paths = NULL;
    struct sc_words filters = {0};
    struct sc_quoted q;
    size_t n = 0;
    int status = 0;

    m.words = &filters;
    oo.keep_repo = true;
    oo.facts = sc_moe_probe_wanted(c); /* which token begins a text */
    if (sc_cli_operands(c, &paths, &n, &filters, &e) < 0)
        status = sc_fail_exit(c, &e);
    else if (n < 1)
        status = sc_wrong_use(c, "moe: MODEL is missing");
    else if (n > 1)
        status = sc_wrong_use(c,
                              "moe takes one MODEL, but \"%s\" would be another: a word with a "
                              "slash, or the name of a file or folder, is no filter",
                              sc_quote(&q, sc_strz(paths[1])));
    else if (!(status = check_view(c)))
        status = read_eps(&m);
    if (!status && (sc_moe_probe_check(c, &e) < 0 || sc_moe_similarity_check(c, &e) < 0))
        status = sc_usage_exit(c, &e);
    if (!status && filters.n && sc_filter_new(filters.p, filters.n, &m.filter, &e) < 0)
        status = sc_usage_exit(c, &e);
    if (!status && sc_pool_new((unsigned)SC_MIN(c->set.threads, 4096), &m.pool, &e) < 0)
        status = sc_fail_exit(c, &e);
    if (!status)
        status = sc_cli_open_with(c, paths[0], &oo, &m.model);
    if (!status)
        status = c->set.similarity ? sc_moe_similarity(c, m.model, m.pool, m.filter) : report(&m);
    sc_document_clear(&m.d);
    sc_moe_probe_close(&m.probe);
    sc_experts_clear(&m.x);
    sc_model_close(m.model);
    sc_pool_free(m.pool);
    sc_filter_free(m.filter);
    sc_words_clear(&filters);
    return status;
}

static const struct sc_example moe_examples[] = {
    {"scruple moe model", "maps of all experts, and what is wrong with them"},
    {"scruple moe model --stat sparsity --norm max --png experts.png", "as a picture"},
    {"scruple moe model --json --fail", "for a program"},
    {"scruple moe model model.layers.3 --similarity", "which experts of a layer are alike"},
    {"scruple moe model --probe", "and which experts are chosen while it reads a text"},
    {"scruple moe model --no-maps --file book.txt --trace", "whom every token is sent to"},
    {"scruple moe model --drop top", "what it loses without the busiest expert of each layer"},
    {NULL, NULL},
};
const struct sc_command sc_cmd_moe = {
    .name = "moe",
    .summary = "map the experts of a mixture and find dead ones",
    .usage = "MODEL [FILTER...]",
    .description =
        "Reads every expert once and draws a map for each of its matrices and for the router: "
        "layers "
        "go down, experts to the right. Below stands what is wrong: experts that hold nothing but "
        "zeros, that the router cannot choose, that are copies of others, or whose weights are "
        "much "
        "larger or smaller than those of their layer.\n\n"
        "--similarity compares every two experts of a layer, whatever the order of their neurons, "
        "and says what is left of their likeness without chance; which are copies, shuffled ones "
        "too; which form groups, and which others could replace.\n\n"
        "--probe runs the model over a text (ours, or what --text, --file, --url or --ids give) "
        "and tells for each layer how often each expert is chosen, how evenly, which are never "
        "chosen, which are chosen together, and whose output is extreme. Only experts that are "
        "chosen are read. --drop runs it without some experts, too, all in one reading of the "
        "weights.\n\n"
        "Experts may be tensors of their own, stacks, gate and up in one, shared, quantised, of "
        "GGUF. "
        "What figures and rules mean is in docs/moe.md.",
    .options = moe_options,
    .n_options = SC_COUNT(moe_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_OUTPUT | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = moe_examples,
    .run = run_moe,
};
