/* SPDX-License-Identifier: Apache-2.0 */
/* quant_folder: results of `quant` as files. */
#include "report/quant_folder.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hub/cache.h"

enum { SAME_SECOND = 1000 };

struct folder {
    const struct sc_quant_folder *f;
    const struct sc_quant *q;
    struct sc_buf top;  /* "DIR/model/algorithm" */
    struct sc_buf work; /* where it grows */
    int lock;           /* on it; -1: none */
    struct sc_buf path; /* scratch */
    struct sc_buf text; /* scratch */
    struct sc_buf name; /* scratch: of a tensor */
    uint64_t *slugs;    /* (q->n) hashes of those that were given */
    unsigned formats;   /* SC_PLOT_PNG, or SVG where there is no PNG */
    struct sc_plots_written written;
    struct sc_error *e;
};

/* ---------------------------------------------------------------------------------- files --- */
static int fail_file(struct folder *x, const char *path)
{
    struct sc_quoted q;

    return sc_fail(x->e, SCRUPLE_EWRITE, "%s: cannot be written: %s", sc_quote(&q, sc_strz(path)),
                   strerror(errno));
}

/* The text as a file below the folder. */
static int write_text(struct folder *x, const char *name)
{
    x->path.n = 0;
    sc_buf_printf(&x->path, "%s/%s", x->work.p, name);
    if (x->path.failed || x->text.failed)
        return sc_fail_memory(x->e);
    return sc_write_file(x->path.p, x->text.n ? x->text.p : "", x->text.n, 0666)
               ? 0
               : fail_file(x, x->path.p);
}

static int into_buffer(void *ctx, const char *p, size_t n)
{
    struct sc_buf *b = ctx;

    sc_buf_put(b, p, n);
    return b->failed ? SCRUPLE_EMEMORY : 0;
}

static int write_results(struct folder *x)
{
    struct sc_document d;
    struct sc_out o = {.write = into_buffer, .ctx = &x->text};

    x->text.n = 0;
    sc_document_start(&d, SC_SCHEMA_QUANT);
    int code = sc_analyze_quant_csv(&d, &d.root, x->q, x->f->legacy, x->e);
    if (code == 0)
        sc_report_csv(&o, sc_find_table(&d.root, "results"));
    if (sc_out_finish(&o) < 0 && code == 0)
        code = sc_fail_memory(x->e);
    sc_document_clear(&d);
    return code < 0 ? code : write_text(x, "results.csv");
}

/* ---------------------------------------------------------------------------------- mixes --- */
static const char *folder_of(const struct sc_quant_plan *p)
{
    static const char *const names[] = {
        [SC_ALGORITHM_THRESHOLD] = "mixed_tile_threshold",
        [SC_ALGORITHM_GREEDY] = "mixed_tile_greedy",
        [SC_ALGORITHM_RANDOM] = "mixed_tile_random",
        [SC_ALGORITHM_OPTIMAL] = "mixed_tile_optimal",
        [SC_ALGORITHM_BUDGET] = "mixed_tile_budget",
    };

    return names[p->algorithm];
}

/* Two names may have one slug: the later gets its position behind it. */
static void name_tensor(struct folder *x, size_t i)
{
    bool taken = false;

    x->name.n = 0;
    sc_picture_slug(sc_tensor_name(&x->q->model->tensors[x->q->tensors[i].tensor]), &x->name);
    x->slugs[i] = sc_hash(x->name.p, x->name.failed ? 0 : x->name.n);
    for (size_t k = 0; k < i && !taken; k++)
        taken = x->slugs[k] == x->slugs[i];
    if (taken)
        sc_buf_printf(&x->name, "-%zu", i);
}

static int write_assignment(struct folder *x, const struct sc_quant_tensor *t, const char *stem)
{
    struct sc_buf name = {0};

    x->text.n = 0;
    sc_quant_assignment_npy(t->geometry, t->assignment, &x->text);
    sc_buf_printf(&name, "%s.npy", stem);
    int code = name.failed ? sc_fail_memory(x->e) : write_text(x, name.p);
    x->text.n = name.n = 0;
    sc_quant_assignment_mapping(t->geometry, &x->q->model->tensors[t->tensor], &x->text);
    sc_buf_printf(&name, "%s_mapping.json", stem);
    if (code == 0)
        code = name.failed ? sc_fail_memory(x->e) : write_text(x, name.p);
    sc_buf_clear(&name);
    return code;
}

static int write_trials(struct folder *x, const struct sc_quant_tensor *t, const char *name)
{
    const struct sc_quant_formats *mix = &x->q->plan->mix;

    x->text.n = 0;
    sc_buf_puts(&x->text, "sample_id");
    for (size_t f = 0; f < mix->n; f++)
        sc_buf_printf(&x->text, ",%s_tiles", mix->f[f].name);
    sc_buf_puts(&x->text, ",total_gb,pcc,mae,atol\n");
    for (size_t i = 0; i < t->n_trials; i++) {
        const struct sc_mix_totals *m = &t->trials[i];
        char pcc[40], mae[40], atol[40];
        sc_format_double(m->pcc, pcc);
        sc_format_double(m->mae, mae);
        sc_format_double(m->atol, atol);
        sc_buf_printf(&x->text, "%zu", i);
        for (size_t f = 0; f < mix->n; f++)
            sc_buf_printf(&x->text, ",%llu", (unsigned long long)m->cells[f]);
        sc_buf_printf(&x->text, ",%llu.%09llu,%s,%s,%s\n",
                      (unsigned long long)(m->bytes / 1000000000u),
                      (unsigned long long)(m->bytes % 1000000000u), pcc, mae, atol);
    }
    return write_text(x, name);
}

/* ------------------------------------------------------------------------------- pictures --- */
/* x->text as a picture below the folder; nothing to show is no failure. */
static int put_picture(struct folder *x, const char *dir, const char *name, int drawn)
{
    if (drawn <= 0)
        return drawn;
    x->path.n = 0;
    sc_buf_printf(&x->path, "%s/%s", x->work.p, dir);
    if (x->path.failed || x->text.failed)
        return sc_fail_memory(x->e);
    return sc_picture_write(x->path.p, name, sc_str(x->text.p, x->text.n), &x->formats, &x->written,
                            x->e);
}

static int draw_sizes(struct folder *x, size_t i, const struct sc_picture *how)
{
    const struct sc_quant_tensor *t = &x->q->tensors[i];
    struct sc_quant_points p = {.n = 0};
    int code = sc_quant_points_make(x->q, i, &p, x->e);
    const struct sc_size_plot plot = {.metric = x->q->plan->goal.metric,
                                      .points = p.points,
                                      .n = p.n,
                                      .frontier = t->curve,
                                      .n_frontier = t->n_curve,
                                      .threshold = x->q->plan->goal.threshold};

    x->text.n = 0;
    if (code == 0)
        code = sc_picture_size(&plot, how, &x->text, x->e);
    sc_quant_points_clear(&p);
    return code;
}

/* Which of the trials was taken: the first whose figures are those of the mix. */
static size_t best_trial(const struct sc_quant_tensor *t)
{
    for (size_t i = 0; i < t->n_trials; i++)
        if (memcmp(t->trials[i].cells, t->totals.cells, sizeof t->totals.cells) == 0 &&
            !(t->trials[i].pcc < t->totals.pcc || t->trials[i].pcc > t->totals.pcc))
            return i;
    return SIZE_MAX;
}

static int write_pictures(struct folder *x, size_t i, const char *dir, bool random)
{
    const struct sc_quant_tensor *t = &x->q->tensors[i];
    const struct sc_tensor *tensor = &x->q->model->tensors[t->tensor];
    const struct sc_picture how = {.subject = sc_tensor_name(tensor)};
    struct sc_buf name = {0};

    sc_buf_printf(&name, random ? "%s" : "%s_assignment", x->name.p);
    if (name.failed)
        return sc_fail_memory(x->e);
    x->text.n = 0;
    int code = random ? sc_picture_trials(t->trials, t->n_trials, &x->q->plan->goal, best_trial(t),
                                          &how, &x->text, x->e)
                      : sc_picture_assignment(t->geometry, t->assignment, &how, &x->text, x->e);
    code = put_picture(x, dir, name.p, code);
    if (code >= 0 && !random)
        code = put_picture(x, dir, "size_vs_accuracy", draw_sizes(x, i, &how));
    sc_buf_clear(&name);
    return code;
}

static int write_mix(struct folder *x, size_t i)
{
    const struct sc_quant_tensor *t = &x->q->tensors[i];
    const bool random = x->q->plan->algorithm == SC_ALGORITHM_RANDOM;
    struct sc_buf stem = {0}, csv = {0};
    int code = 0;

    if (!t->has_mix || !t->assignment)
        return 0;
    name_tensor(x, i);
    sc_buf_printf(&stem, random ? "%s/%s_assignment" : "%s/%s/assignment", folder_of(x->q->plan),
                  x->name.failed ? "" : x->name.p);
    sc_buf_printf(&csv, "%s/%s.csv", folder_of(x->q->plan), x->name.failed ? "" : x->name.p);
    if (x->name.failed || stem.failed || csv.failed)
        code = sc_fail_memory(x->e);
    if (code == 0)
        code = write_assignment(x, t, stem.p);
    if (code == 0 && random)
        code = write_trials(x, t, csv.p);
    /* The folder of the assignment: what its stem begins with. */
    if (code == 0) {
        *strrchr(stem.p, '/') = '\0';
        code = write_pictures(x, i, stem.p, random);
    }
    sc_buf_clear(&stem);
    sc_buf_clear(&csv);
    return code;
}

/* --------------------------------------------------------------------------------- places --- */
/* "org__name" of the Hub, the last name of a path. */
static void put_model(struct sc_buf *b, const struct sc_model *m)
{
    struct sc_str label =
        sc_strz(m->repo && strcmp(m->origin, "local") == 0 ? m->repo->label : m->label);
    struct sc_buf name = {0};

    while (label.n > 1 && label.p[label.n - 1] == '/')
        label.n--;
    for (size_t i = label.n; strcmp(m->origin, "hub") != 0 && i-- > 0;)
        if (label.p[i] == '/') {
            label = sc_str(label.p + i + 1, label.n - i - 1);
            break;
        }
    if (m->repo && m->repo->selected && strcmp(m->origin, "local") == 0)
        label = sc_strz(m->repo->selected);
    for (size_t i = 0; i < label.n; i++) {
        if (label.p[i] == '/')
            sc_buf_puts(&name, "__");
        else
            sc_buf_putc(&name, label.p[i]);
    }
    /* Underlines are kept here: they stand for the slash. */
    for (size_t i = 0; i < name.n && !name.failed; i++) {
        const char c = name.p[i];
        const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '_' || (c == '.' && i);
        sc_buf_putc(b, (char)(good ? c : '_'));
    }
    if (!name.n)
        sc_buf_puts(b, "model");
    b->failed = b->failed || name.failed;
    sc_buf_clear(&name);
}

static int make_work(struct folder *x)
{
    sc_buf_printf(&x->top, "%s/", x->f->dir);
    put_model(&x->top, x->q->model);
    sc_buf_printf(&x->top, "/%s", sc_algorithm_names[x->q->plan->algorithm]);
    sc_buf_printf(&x->path, "%s/.scruple", x->top.failed ? "" : x->top.p);
    if (x->top.failed || x->path.failed)
        return sc_fail_memory(x->e);
    if (sc_make_folders(x->top.p)) {
        x->lock = sc_make_work_folder(&x->work, x->path.p);
        if (x->lock >= 0)
            return 0;
    }
    const int code = fail_file(x, x->top.p);
    x->work.n = 0;
    return code;
}

static int put_in_place(struct folder *x, struct sc_buf *path)
{
    const time_t now = time(NULL);
    struct tm at = {0};
    char stamp[32] = "";

    (void)localtime_r(&now, &at);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &at);
    for (int i = 1; i <= SAME_SECOND; i++) {
        x->path.n = 0;
        sc_buf_printf(&x->path, "%s/%s", x->top.p, stamp);
        if (i > 1)
            sc_buf_printf(&x->path, "-%d", i);
        if (x->path.failed)
            return sc_fail_memory(x->e);
        if (rename(x->work.p, x->path.p) == 0) { /* never over a folder that holds anything */
            x->work.n = 0;
            sc_sync_folder_of(x->path.p);
            sc_buf_put(path, x->path.p, x->path.n);
            return path->failed ? sc_fail_memory(x->e) : 0;
        }
        if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
            break;
    }
    return fail_file(x, x->path.p);
}

static int write_all(struct folder *x, struct sc_buf *path)
{
    x->slugs = sc_calloc(SC_MAX(x->q->n, (size_t)1), sizeof *x->slugs);
    if (!x->slugs)
        return sc_fail_memory(x->e);
    TRY(make_work(x));
    x->text.n = 0;
    sc_buf_put(&x->text, x->f->table.p, x->f->table.n);
    TRY(write_text(x, "table.txt"));
    x->text.n = 0;
    sc_quant_plan_write(x->q->plan, &x->text);
    TRY(write_text(x, "compression_config.used.json"));
    TRY(write_results(x));
    for (size_t i = 0; i < x->q->n && sc_quant_mixes(x->q->plan); i++)
        TRY(write_mix(x, i));
    return put_in_place(x, path);
}

int sc_quant_folder_write(const struct sc_quant_folder *f, struct sc_buf *path, struct sc_error *e)
{
    struct sc_error own = {0};
    struct folder x = {.f = f,
                       .q = f->q,
                       .lock = -1,
                       .formats = SC_PLOT_PNG,
                       .written = {.note = f->note, .note_ctx = f->ctx},
                       .e = e ? e : &own};
    const int code = write_all(&x, path);

    if (x.work.n)
        (void)sc_remove_tree(x.work.p);
    if (x.lock >= 0)
        close(x.lock);
    sc_buf_clear(&x.top);
    sc_buf_clear(&x.work);
    sc_buf_clear(&x.path);
    sc_buf_clear(&x.text);
    sc_buf_clear(&x.name);
    free(x.slugs);
    return code;
}
