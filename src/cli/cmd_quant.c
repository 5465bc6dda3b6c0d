/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_quant: what does a number format cost?
 *
 *     /models/tiny (local) - 1 file, 61 tensors, 336.5 KB, 184.2K parameters
 *     formats      bf16, bfp8, bfp4
 *     compression  optimal: pcc >= 0.999 in tiles of bf16, bfp8, bfp4
 *
 *     model.layers.0.mlp.up_proj.weight  96x48  BF16
 *       min -2.2e-01  mean 1.1e-05  max 1.7e-01
 *          COMP     FORMAT      PCC        MAE       ATOL ...
 *       ✓  none     BF16    1.00000  5.654e-05  4.855e-04
 *
 * Owns: which options make which plan, what a terminal shows, where the other forms, the folder of
 * results, rebuilt tensors and written models go. Does not own: figures, tables, files (analyze,
 * report). */
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/edit.h"
#include "cli/cmd_quant.h"
#include "format/safetensors_write.h"
#include "report/quant_folder.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

enum { CURVE_POINTS = 65 };

static const char *const backend_words[] = {"emulation", "ttnn", NULL};

static const struct sc_option quant_options[] = {
    {"model", 'm', SC_OPTION_LIST, SC_COMPLETE_PATH, FIELD(models), "MODEL", NULL,
     "name the model; all other words are filters then"},
    {"format", 'c', SC_OPTION_LIST, SC_COMPLETE_FORMAT, FIELD(formats), "FORMAT", NULL,
     "try FORMAT, a list with commas, or all: mxfp4, nvfp4, bf16, bfp8, bfp4, bfp2 and fp0 (the "
     "default); may be repeated; scruple formats lists more"},
    {"compression-config", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(config_file), "FILE", NULL,
     "take formats, algorithm, goal and seed from a JSON file; options count more"},
    {"algorithm", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(algorithm), "NAME",
     sc_algorithm_names,
     "none, transpose, mixed-tile-threshold, mixed-tile-greedy, mixed-tile-random, optimal or "
     "budget (default: none; optimal where a goal is given)"},
    {"metric", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(metric), "NAME", sc_mix_metrics,
     "what a mix has to keep: pcc, mae, atol, mse or sqnr_db (default: pcc)"},
    {"threshold", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(threshold), "X", NULL,
     "and how well: at least X for pcc and sqnr_db, at most X for the others (default for pcc: "
     "0.999)"},
    {"mix", 0, SC_OPTION_TEXT, SC_COMPLETE_FORMAT, FIELD(mix), "FORMATS", NULL,
     "what a mix is made of, up to 16 formats (default: those of bf16, bfp8, bfp4 and bfp2 that "
     "are tried)"},
    {"granularity", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(granularity), "GRAIN", NULL,
     "what has one format in a mix: tile (32 x 32, the default), row or group:N"},
    {"budget", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(budget), "SIZE", NULL,
     "the least error within a size of each tensor: 4GB, or 2.5bpw (bits a weight)"},
    {"model-wide", 0, SC_OPTION_FLAG, 0, FIELD(model_wide), NULL, NULL,
     "one goal or budget for all tensors together"},
    {"curve", 0, SC_OPTION_FLAG, 0, FIELD(curve), NULL, NULL,
     "the best metric for every size, too"},
    {"seed", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(seed), "N", NULL,
     "what random algorithms start from; random (or 0) draws one and tells it (default: 1)"},
    {"hold", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(held), "PLACE", NULL,
     "weights that recipes leave as they are: NAME[i,j] or @FILE of super --json, as in edit"},
    {"limit", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(limit), "N", NULL,
     "measure only the first N tensors that match"},
    {"sample", 0, SC_OPTION_SIZE, SC_COMPLETE_NOTHING, FIELD(sample), "N", NULL,
     "look at about N values of each tensor (1M), and tell how sure the figures are"},
    {"all-tensors", 0, SC_OPTION_FLAG, 0, FIELD(all_tensors), NULL, NULL,
     "measure all tensors, not only those with \"weight\" in their names"},
    {"summary", 0, SC_OPTION_FLAG, 0, FIELD(summary), NULL, NULL,
     "tell the means over all tensors, too"},
    {"results", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(results), "DIR", NULL,
     "keep tables, configuration and assignments in a new folder below DIR"},
    {"write", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(write), "PATH", NULL,
     "write the quantised values: FILE.safetensors holds what was measured, a new folder the whole "
     "model with its configuration"},
    {"shard-size", 0, SC_OPTION_SIZE, SC_COMPLETE_NOTHING, FIELD(shard_size), "SIZE", NULL,
     "with --write of a folder: largest weight file (default: 5GB)"},
    {"reconstruct", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(reconstruct), "FILE", NULL,
     "rebuild the one tensor that matches from an assignment.npy, as float32 in an NPY file"},
    {"assignment-mapping", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(mapping), "FILE", NULL,
     "what its numbers mean (default: the mapping beside it, else bf16, bfp8, bfp4, bfp2)"},
    {"legacy-sizes", 0, SC_OPTION_FLAG, 0, FIELD(legacy_sizes), NULL, NULL,
     "tell sizes as wq computes them, too"},
    {"recompute", 0, SC_OPTION_FLAG, 0, FIELD(recompute), NULL, NULL, "measure everything anew"},
    {"no-cache", 0, SC_OPTION_FLAG, 0, FIELD(no_cache), NULL, NULL,
     "measure everything anew, and keep nothing for the next time"},
    {"backend", 0, SC_OPTION_ENUM, 0, FIELD(backend), "NAME", backend_words,
     "emulation, which is bit-exact; ttnn is accepted and means the same"},
    {"lenient", 0, SC_OPTION_FLAG, 0, FIELD(lenient), NULL, NULL,
     "measure what is sound of a broken model"},
};

static const struct sc_example quant_examples[] = {
    {"scruple quant Qwen3-0.6B down_proj", "seven formats, every down projection"},
    {"scruple quant model.gguf -c q4_0,q4_k,int4:group=128", "which four bits are the best"},
    {"scruple quant model --threshold 0.999 --summary",
     "the smallest mix of tiles that is as good"},
    {"scruple quant model --mix bfp8,mxfp4 --budget 4.5bpw --model-wide",
     "the best mix of the whole model for a size"},
    {"scruple quant model layers.0 --threshold 0.999 -o mix.html",
     "a page on which the threshold can be moved"},
    {"scruple quant model -c mxfp4 --write model-mxfp4", "a copy to run, rounded to MXFP4"},
    {"scruple quant model -c rtn4,rtn4:block=128x128,clip=std:9,hold=share:0.0001",
     "four bits, and what holding outliers out brings (docs/recipes.md)"},
    {"scruple quant model up_proj --compression-config mixed.json --results results",
     "as wq does it, with its folder"},
    {NULL, NULL},
};

enum form { FORM_TEXT, FORM_JSON, FORM_CSV, FORM_HTML };
struct quanting {
    struct sc_cli *c;
    struct sc_quant_plan plan;
    struct sc_filter *filter;
    const struct sc_words *filters;
    struct sc_pool *pool;
    struct sc_hub_env env;
    struct sc_model *model;
    struct sc_quant *q;
    struct sc_held *held;
    size_t n_held;
    enum form form;
};

static void tell(void *ctx, const char *sentence)
{
    const struct quanting *x = ctx;

    if (!x->c->set.quiet)
        sc_say(x->c, "note", "%s", sentence);
}

static void show(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    (void)ctx;
    sc_progress_show(
        &(struct sc_progress){.done = done, .total = total, .moved = done, .what = tensor});
}

/* ------------------------------------------------------------------------------------ plan --- */
typedef int word_fn(struct sc_quant_plan *p, struct sc_str text, const char *what,
                    struct sc_error *e);

static int add_formats(struct sc_quant_formats *out, size_t most, const char *const *words,
                       size_t n, const char *what, struct sc_error *e)
{
    out->n = 0; /* of the file: options count more */
    for (size_t i = 0; i < n; i++)
        TRY(sc_quant_formats_add(out, most, sc_strz(words[i]), what, e));
    return 0;
}

static bool ends_in(const char *path, const char *suffix)
{
    return path && sc_str_ends(sc_strz(path), suffix);
}

static int make_plan(struct quanting *x, struct sc_error *e)
{
    const struct sc_settings *set = &x->c->set;
    struct sc_quant_plan *p = &x->plan;
    const struct {
        const char *text, *what;
        word_fn *read;
    } words[] = {
        {set->algorithm, "--algorithm", sc_quant_algorithm},
        {set->metric, "--metric", sc_quant_metric},
        {set->threshold, "--threshold", sc_quant_threshold},
        {set->granularity, "--granularity", sc_quant_granularity},
        {set->budget, "--budget", sc_quant_set_budget},
        {set->seed, "--seed", sc_quant_set_seed},
    };

    sc_quant_plan_start(p);
    if (set->config_file)
        TRY(sc_quant_plan_read(p, set->config_file, e));
    if (set->formats.n)
        TRY(add_formats(&p->formats, SC_QUALITY_FORMATS, set->formats.p, set->formats.n, "--format",
                        e));
    if (set->mix)
        TRY(add_formats(&p->mix, SC_QUANT_MIX, &set->mix, 1, "--mix", e));
    const enum sc_mix_metric of_file = p->goal.metric;
    for (size_t i = 0; i < SC_COUNT(words); i++)
        if (words[i].text)
            TRY(words[i].read(p, sc_strz(words[i].text), words[i].what, e));
    if (p->goal.metric != of_file && !set->threshold)
        p->has_threshold = false; /* that of the file is one for another metric */
    p->model_wide = p->model_wide || set->model_wide;
    p->wants_mix = set->curve || set->model_wide || x->form == FORM_HTML;
    TRY(sc_quant_plan_finish(p, e));
    if (set->curve && !sc_quant_mixes(p))
        return sc_fail(e, SCRUPLE_EUSAGE, "--curve belongs to a mix, but the algorithm is %s",
                       sc_algorithm_names[p->algorithm]);
    if (x->form == FORM_HTML && !sc_quant_mixes(p))
        return sc_fail(e, SCRUPLE_EUSAGE, "a page is about a mix, but the algorithm is %s",
                       sc_algorithm_names[p->algorithm]);
    if (set->sample && sc_quant_mixes(p))
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "--sample looks at a part of each tensor, but a mix needs all of it");
    if (set->sample && set->write)
        return sc_fail(e, SCRUPLE_EUSAGE, "--sample looks at a part, but --write needs all");
    if (!set->write)
        return 0;
    TRY(sc_quant_may_write(p, e));
    return sc_st_may_create(set->write, !ends_in(set->write, ".safetensors"), e);
}

static void tell_idle_options(const struct quanting *x)
{
    const struct sc_settings *set = &x->c->set;
    const bool random = x->plan.seed_source != SC_SEED_UNUSED;
    const struct {
        bool idle;
        const char *option, *needs;
    } all[] = {
        {set->seed && !random, "--seed", "an algorithm that is random"},
        {set->mapping && !set->reconstruct, "--assignment-mapping", "--reconstruct"},
        {set->granularity && !sc_quant_mixes(&x->plan), "--granularity", "a mix"},
        {set->mix && !sc_quant_mixes(&x->plan), "--mix", "an algorithm that mixes"},
        {set->threshold && !sc_quant_mixes(&x->plan), "--threshold", "an algorithm that mixes"},
        {set->metric && !sc_quant_mixes(&x->plan), "--metric", "an algorithm that mixes"},
        {set->summary && x->form != FORM_TEXT, "--summary", "the terminal's form"},
        {set->limit && set->reconstruct, "--limit", "a measurement"},
    };

    for (size_t i = 0; i < SC_COUNT(all) && !set->quiet; i++)
        if (all[i].idle)
            sc_say(x->c, "note", "%s does nothing without %s", all[i].option, all[i].needs);
    if (set->backend == SC_BACKEND_TTNN)
        tell((void *)(uintptr_t)x, "--backend ttnn is not needed: the emulation gives the same "
                                   "bits as TTNN's packers, and goes on");
    if (x->plan.seed_source == SC_SEED_RANDOM && !set->quiet)
        sc_say(x->c, "note", "the seed of this run is %llu: --seed %llu repeats it",
               (unsigned long long)x->plan.seed, (unsigned long long)x->plan.seed);
}

/* --------------------------------------------------------------------------- other forms --- */
static int put_document(struct quanting *x, struct sc_error *e)
{
    struct sc_cli *c = x->c;
    const bool legacy = c->set.legacy_sizes;
    struct sc_document d;
    int code;

    sc_document_start(&d, SC_SCHEMA_QUANT);
    if (x->form == FORM_JSON) {
        code = sc_analyze_quant(&d, &d.root, x->q, legacy, e);
        if (code == 0)
            sc_report_json(&c->out, &d);
    } else if (c->set.curve) {
        code = sc_analyze_quant_curves(&d, &d.root, x->q, e);
        if (code == 0)
            sc_report_csv(&c->out, sc_find_table(&d.root, "curves"));
    } else {
        code = sc_analyze_quant_csv(&d, &d.root, x->q, legacy, e);
        if (code == 0)
            sc_report_csv(&c->out, sc_find_table(&d.root, "results"));
    }
    sc_document_clear(&d);
    return code;
}

static int into_buffer(void *ctx, const char *p, size_t n)
{
    struct sc_buf *b = ctx;

    sc_buf_put(b, p, n);
    return b->failed ? SCRUPLE_EMEMORY : 0;
}

static int put_folder(struct quanting *x, struct sc_error *e)
{
    static const struct sc_term plain = {.colour = false};
    struct sc_buf text = {0}, path = {0};
    struct sc_out o = {.write = into_buffer, .ctx = &text};
    const struct sc_quant_text t = {&x->c->set, x->q, &o, &plain, true};

    sc_quant_put_plan(&t);
    int code = sc_quant_put_text(&t, e);
    if (sc_out_finish(&o) < 0 && code == 0)
        code = sc_fail_memory(e);
    const struct sc_quant_folder f = {.dir = x->c->set.results,
                                      .q = x->q,
                                      .table = sc_str(text.p ? text.p : "", text.n),
                                      .legacy = x->c->set.legacy_sizes,
                                      .note = tell,
                                      .ctx = x};
    if (code == 0)
        code = sc_quant_folder_write(&f, &path, e);
    if (code == 0 && !x->c->set.quiet)
        sc_say(x->c, "note", "results are in %s", path.p);
    sc_buf_clear(&text);
    sc_buf_clear(&path);
    return code;
}

/* ----------------------------------------------------------------------------------- write --- */
/* What a signal that ends the program has to remove. */
static char *growing;

static void remember_place(void *ctx, const char *temporary)
{
    (void)ctx;
    sc_unfinished = NULL;
    free(growing);
    growing = temporary ? sc_str_copy(sc_strz(temporary)) : NULL;
    sc_unfinished = growing;
}

static int put_model(struct quanting *x, struct sc_error *e)
{
    const struct sc_settings *set = &x->c->set;
    const struct sc_parallel p = sc_pool_parallel(x->pool);
    const struct sc_quant_writing w = {
        .path = set->write,
        .folder = !ends_in(set->write, ".safetensors"),
        .shard = set->shard_size,
        .held = {x->held, x->n_held},
        .memory = sc_memory_budget(set->memory),
        .p = &p,
        .cancel = &sc_cancel,
        .progress = show,
        .note = tell,
        .place = set->output ? NULL : remember_place,
        .ctx = x,
    };

    sc_progress_start(x->c, x->env.progress_bars);
    const int code = sc_quant_write(x->q, &w, e);
    (void)sc_progress_end();
    if (code == 0 && !set->quiet)
        sc_say(x->c, "note", "%s is written", set->write);
    return code;
}

/* ----------------------------------------------------------------------------- reconstruct --- */
/* The only tensor that the filters name. */
static int find_tensor(struct quanting *x, uint32_t *out, struct sc_error *e)
{
    const struct sc_model *m = x->model;
    size_t n = 0;

    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const struct sc_str name = sc_tensor_name(&m->tensors[i]);
        bool exact = false;
        for (size_t k = 0; k < x->filters->n; k++)
            exact = exact || sc_str_is(name, x->filters->p[k]);
        if (exact) {
            *out = i;
            return 0;
        }
        if (sc_filter_match(x->filter, name)) {
            *out = i;
            n++;
        }
    }
    if (n == 1)
        return 0;
    return sc_fail(e, SCRUPLE_EUSAGE, "--reconstruct is about one tensor, but %zu match", n);
}

static int write_npy(struct sc_out *o, struct sc_values *v, const struct sc_tensor *t,
                     struct sc_error *e)
{
    enum { STEP = 1 << 16 };
    struct sc_buf header = {0};
    float *part = sc_alloc(STEP * sizeof *part);
    uint8_t *bytes = sc_alloc((size_t)STEP * 4);
    int code = part && bytes ? 0 : sc_fail_memory(e);

    sc_npy_put_header(&header, "<f4", t->shape, t->rank);
    if (header.failed)
        code = sc_fail_memory(e);
    if (code == 0)
        sc_out_put(o, header.p, header.n);
    for (uint64_t at = 0; code >= 0 && !o->status && at < v->count; at += STEP) {
        const uint64_t n = SC_MIN(v->count - at, (uint64_t)STEP);
        code = sc_cancel ? sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted")
                         : sc_values_read(v, at, n, part, e);
        for (uint64_t i = 0; code >= 0 && i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &part[i], sizeof bits);
            for (size_t k = 0; k < 4; k++)
                bytes[4 * i + k] = (uint8_t)(bits >> 8 * k);
        }
        if (code >= 0)
            sc_out_put(o, (const char *)bytes, (size_t)n * 4);
    }
    sc_buf_clear(&header);
    free(part);
    free(bytes);
    return code;
}

/* Beside the assignment, under its name, unless --output says where. */
static int write_beside(struct quanting *x, struct sc_values *v, const struct sc_tensor *t,
                        struct sc_error *e)
{
    const char *from = x->c->set.reconstruct;
    const size_t n = strlen(from);
    struct sc_buf path = {0};
    struct sc_sink sink;

    sc_buf_put(&path, from, ends_in(from, ".npy") ? n - 4 : n);
    sc_buf_puts(&path, "_recon.npy");
    int code = path.failed ? sc_fail_memory(e) : sc_sink_open(&sink, path.p, false, 0, e);
    if (code == 0) {
        struct sc_out o = {.write = sc_sink_write, .ctx = &sink};
        code = write_npy(&o, v, t, e);
        const int wrote = sc_out_finish(&o);
        const int closed = sc_sink_close(&sink, code >= 0 && wrote == 0, e);
        code = code < 0 ? code : closed;
    }
    if (code == 0 && !x->c->set.quiet)
        sc_say(x->c, "note", "%s is written", path.p);
    sc_buf_clear(&path);
    return code;
}

static int reconstruct(struct quanting *x, struct sc_error *e)
{
    const struct sc_settings *set = &x->c->set;
    const struct sc_parallel p = sc_pool_parallel(x->pool);
    struct sc_quant_assignment a;
    struct sc_values *v = NULL, *rounded = NULL;
    uint32_t tensor = 0;

    TRY(find_tensor(x, &tensor, e));
    TRY(sc_values_open(x->model, tensor, &v, e));
    int code = sc_quant_assignment_read(set->reconstruct, set->mapping, v, &a, e);
    if (code == 0)
        code = sc_values_open_rounded(v, NULL, &a.geometry, a.format, &p, &rounded, e);
    if (code == 0)
        code = set->output ? write_npy(&x->c->out, rounded, &x->model->tensors[tensor], e)
                           : write_beside(x, rounded, &x->model->tensors[tensor], e);
    sc_values_close(rounded);
    sc_values_close(v);
    sc_quant_assignment_clear(&a);
    return code;
}

/* --------------------------------------------------------------------------------- running --- */
static int find_held(struct quanting *x, struct sc_error *e)
{
    struct sc_edit_wishes places = {0};

    int code = sc_edit_wish_add(&places, x->model, SC_EDIT_ZERO, x->c->set.held, e);
    if (code == 0)
        code = sc_edit_held(x->model, &places, &x->held, &x->n_held, e);
    sc_edit_wishes_clear(&places);
    return code;
}

/* 0, or an exit code after the error was printed. */
static int measure(struct quanting *x)
{
    struct sc_cli *c = x->c;
    const struct sc_settings *set = &c->set;
    struct sc_error e = {0};
    struct sc_quant_options o = {
        .plan = &x->plan,
        .filter = x->filter,
        .all_tensors = set->all_tensors,
        .limit = set->limit,
        .sample = set->sample,
        .brief = x->form == FORM_TEXT && !set->results, /* tables show no more than that */
        .keep = set->results || set->write || x->form == FORM_HTML,
        .keep_cells = x->form == FORM_HTML,
        .curve = set->curve || set->results || x->form == FORM_HTML ? CURVE_POINTS : 0,
        .curve_all = set->curve,
        .pool = x->pool,
        .memory = sc_memory_budget(set->memory),
        .cache = set->no_cache ? NULL : x->env.cache,
        .recompute = set->recompute,
        .cancel = &sc_cancel,
        .progress = show,
        .note = tell,
        .ctx = x,
    };

    if (set->held && find_held(x, &e) < 0)
        return e.code == SCRUPLE_EUSAGE ? sc_usage_exit(c, &e) : sc_fail_exit(c, &e);
    o.held = (struct sc_held_list){x->held, x->n_held};
    sc_progress_start(c, x->env.progress_bars);
    const int code = sc_quant_run(x->model, &o, &x->q, &e);
    const double seconds = sc_progress_end();
    if (code < 0)
        return code == SCRUPLE_EUSAGE ? sc_usage_exit(c, &e) : sc_fail_exit(c, &e);
    const struct sc_quant *q = x->q;
    if (set->verbose) {
        char size[32];
        sc_format_bytes(q->bytes_read, size);
        sc_say(c, "note",
               "%zu tensors measured, %zu of them known from an earlier run; %s read "
               "in %.1f s",
               q->n_measured, q->n_known, size, seconds);
    }
    if (q->n_skipped && !set->quiet)
        sc_say(c, "note", "%zu tensors hold no floats, or have no dimension, and are left out",
               q->n_skipped);
    if (x->filter && !q->n)
        sc_say_no_match(c, x->model, x->filters->p, x->filters->n);
    return 0;
}

static int put_all(struct quanting *x, struct sc_error *e)
{
    struct sc_cli *c = x->c;

    if (x->form == FORM_TEXT) {
        const struct sc_quant_text t = {&c->set, x->q, &c->out, &c->term, c->set.verbose > 0};
        sc_cli_header(c, x->model);
        sc_quant_put_plan(&t);
        TRY(sc_quant_put_text(&t, e));
    } else if (x->form == FORM_HTML) {
        TRY(sc_quant_page_write(&c->out, x->q, e));
    } else {
        TRY(put_document(x, e));
    }
    if (c->set.results && x->q->n)
        TRY(put_folder(x, e));
    return c->set.write && x->q->n ? put_model(x, e) : 0;
}

static bool nothing_mixed(const struct sc_quant *q)
{
    for (size_t i = 0; i < q->n; i++)
        if (q->tensors[i].has_mix)
            return false;
    return sc_quant_mixes(q->plan);
}

static int run_one(struct quanting *x)
{
    struct sc_error e = {0};

    if (x->c->set.reconstruct)
        return reconstruct(x, &e) < 0 ? sc_usage_exit(x->c, &e) : SC_EXIT_OK;
    const int status = measure(x);
    if (status)
        return status;
    if (put_all(x, &e) < 0)
        return sc_usage_exit(x->c, &e);
    x->c->whole = true; /* a report of what could be read is kept */
    if (!x->q->n)
        return SC_EXIT_FINDINGS;
    if (x->q->n_unreached)
        return SC_EXIT_NOT_FOUND;
    return x->q->n_unreadable || !x->q->n_measured || nothing_mixed(x->q) ||
                   x->model->catalog->n_errors
               ? SC_EXIT_INPUT
               : SC_EXIT_OK;
}

static int run_quant(struct sc_cli *c)
{
    struct quanting *x = sc_calloc(1, sizeof *x);
    const char *const *paths = NULL;
    struct sc_words filters = {0};
    struct sc_error e = {0};
    size_t n = 0;
    int status = 0;

    if (!x) {
        sc_say_memory(&e);
        return sc_fail_exit(c, &e);
    }
    x->c = c;
    x->filters = &filters;
    x->form = c->set.json                       ? FORM_JSON
              : c->set.csv                      ? FORM_CSV
              : ends_in(c->set.output, ".json") ? FORM_JSON
              : ends_in(c->set.output, ".csv")  ? FORM_CSV
              : ends_in(c->set.output, ".html") ? FORM_HTML
                                                : FORM_TEXT;
    if (sc_cli_operands(c, &paths, &n, &filters, &e) < 0)
        status = sc_fail_exit(c, &e);
    else if (!n)
        status = sc_wrong_use(c, "quant: MODEL is missing");
    else if (n > 1)
        status = sc_wrong_use(c, "quant measures one model, but %zu are given", n);
    else if (make_plan(x, &e) < 0)
        status = sc_usage_exit(c, &e);
    else
        tell_idle_options(x);
    if (!status && filters.n && sc_filter_new(filters.p, filters.n, &x->filter, &e) < 0)
        status = sc_usage_exit(c, &e);
    struct sc_open_options oo = sc_cli_open_options(c);
    if (!status && sc_hub_env_read(&x->env, oo.hub, &e) < 0)
        status = sc_usage_exit(c, &e);
    if (!status && sc_pool_new((unsigned)SC_MIN(c->set.threads, 4096), &x->pool, &e) < 0)
        status = sc_fail_exit(c, &e);
    oo.keep_repo = true;
    if (!status && c->set.write && sc_st_keep_out(paths[0], c->set.write, &e) < 0)
        status = sc_usage_exit(c, &e);
    if (!status)
        status = sc_cli_open_with(c, paths[0], &oo, &x->model);
    if (!status)
        status = run_one(x);
    sc_quant_free(x->q);
    free(x->held);
    sc_model_close(x->model);
    sc_pool_free(x->pool);
    sc_hub_env_clear(&x->env);
    sc_filter_free(x->filter);
    sc_words_clear(&filters);
    free(x);
    return status;
}

const struct sc_command sc_cmd_quant = {
    .name = "quant",
    .summary = "measure what number formats cost, and find the best mix of them",
    .usage = "MODEL [FILTER...]",
    .description =
        "Reads every weight once and rounds it to each format: how far values move (mae, atol, "
        "sqnr), how well the tensor is still itself (pcc), and what it takes, packed. Weights are "
        "measured as they are meant: scales of quantised layouts are applied first. By default "
        "only tensors with \"weight\" in their names count, as in wq. How to read the numbers, "
        "and all formats: docs/quant.md.\n\n"
        "With an algorithm other than none, each tile (row, group) gets a format of its own. "
        "optimal finds the fewest bytes for which the goal holds over the whole tensor, budget the "
        "least error for a size; mixed-tile-threshold, -greedy and -random are those of wq. With "
        "--model-wide goal and budget are of all tensors together.\n\n"
        "--compression-config takes wq's JSON files, with our fields beside its own. --results "
        "DIR writes wq's folder of results; nothing is written unless asked for.\n\n"
        "--write makes a model of the rounded values, in the types that the model had, so that "
        "any program can run it. Nothing is ever overwritten.\n\n"
        "Figures are kept, by content and format, so that the next run of an unchanged model reads "
        "nothing (scruple cache ls). They are the same bits for any number of threads.\n\n"
        "The suffix of --output chooses the form: .json, .csv, or .html for a page on which the "
        "threshold of a mix can be moved; else it is what a terminal shows.",
    .options = quant_options,
    .n_options = SC_COUNT(quant_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_OUTPUT | SC_GROUP_CSV | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = quant_examples,
    .run = run_quant,
};
