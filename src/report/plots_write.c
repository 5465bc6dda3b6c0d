/* SPDX-License-Identifier: Apache-2.0 */
/* plots_write: plots as files of a folder. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/cache.h"
#include "report/plots_quality.h"

#define FILE_WIDTH 960

struct writing {
    const char *dir;
    unsigned formats;
    struct sc_plots_written *w;
    struct sc_buf svg;
};

static void say(struct writing *wr, const char *sentence)
{
    if (wr->w->note)
        wr->w->note(wr->w->note_ctx, sentence);
}

/* [A-Za-z0-9._-] of a name, never a leading dot, cut to what file systems hold; what had to change
 * gets its position, so that two names cannot become one. */
static void put_file_name(struct sc_buf *b, struct sc_str name, size_t position)
{
    enum { LONGEST = 120 };
    bool changed = name.n > LONGEST;

    for (size_t i = 0; i < SC_MIN(name.n, LONGEST); i++) {
        char c = name.p[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_' || (c == '.' && i);
        if (!good) {
            c = '_';
            changed = true;
        }
        sc_buf_putc(b, c);
    }
    if (changed || !name.n)
        sc_buf_printf(b, "-%zu", position);
}

/* One picture under a name; 1: written, 0: there was nothing to show. */
static int write_plot(struct writing *wr, const struct sc_plot *plot,
                      const struct sc_plot_input *in, const char *name, struct sc_error *e)
{
    wr->svg.n = 0;
    int code = sc_plot_svg(plot, in, FILE_WIDTH, false, &wr->svg, NULL, e);
    if (code <= 0)
        return code;
    TRY(sc_picture_write(wr->dir, name, sc_str(wr->svg.p, wr->svg.n), &wr->formats, wr->w, e));
    return 1;
}

static int write_metrics(struct writing *wr, const struct sc_plot *plot, struct sc_plot_input in,
                         struct sc_error *e)
{
    int any = 0;

    for (size_t i = 0; i < sc_n_plot_metrics; i++) {
        char name[96];
        in.metric = &sc_plot_metrics[i];
        snprintf(name, sizeof name, "%s-%s", plot->id, in.metric->id);
        int code = write_plot(wr, plot, &in, name, e);
        if (code < 0)
            return code;
        any |= code;
    }
    return any;
}

static int write_tensors(struct writing *wr, const struct sc_plot *plot, struct sc_plot_input in,
                         const uint32_t *order, size_t n, struct sc_error *e)
{
    struct sc_buf name = {0};
    int any = 0, code = 0;

    for (size_t i = 0; i < n && code >= 0; i++) {
        const struct sc_scan_view *v = &in.views[0];
        const struct sc_tensor *t = &v->model->tensors[v->tensors[order[i]]];
        in.tensor = order[i];
        name.n = 0;
        sc_buf_printf(&name, "%s-", plot->id);
        put_file_name(&name, sc_str(t->name, t->name_len), order[i]);
        code = name.failed ? sc_fail_memory(e) : write_plot(wr, plot, &in, name.p, e);
        any |= code > 0;
    }
    sc_buf_clear(&name);
    return code < 0 ? code : any;
}

static int write_one(struct writing *wr, const struct sc_plot *plot, const struct sc_plot_input *in,
                     const uint32_t *order, size_t n_tensors, struct sc_error *e)
{
    switch (plot->kind) {
    case SC_PLOT_METRIC:
        return write_metrics(wr, plot, *in, e);
    case SC_PLOT_TENSOR:
        return write_tensors(wr, plot, *in, order, n_tensors, e);
    case SC_PLOT_MODEL:
    case SC_PLOT_MODELS:
        break;
    }
    return write_plot(wr, plot, in, plot->id, e);
}

static int write_all(struct writing *wr, const struct sc_plot_input *in, size_t n_tensors,
                     struct sc_error *e)
{
    const struct sc_scan_view *v = &in->views[0];
    uint32_t *order = sc_calloc(SC_MAX(v->n, 1), sizeof *order);
    int code = order ? sc_plot_worst(v, order, e) : sc_fail_memory(e);
    char sentence[400];

    for (size_t i = 0; i < sc_n_plots && code >= 0; i++) {
        if (sc_plots[i].kind == SC_PLOT_MODELS && in->n_views < 2)
            continue;
        code = write_one(wr, &sc_plots[i], in, order, SC_MIN(n_tensors, v->n), e);
        if (code != 0)
            continue;
        snprintf(sentence, sizeof sentence, "no picture \"%s\": %s", sc_plots[i].id,
                 sc_plots[i].needs);
        say(wr, sentence);
    }
    if (code >= 0 && n_tensors < v->n) {
        snprintf(sentence, sizeof sentence,
                 "pictures of single tensors are those of the %zu most remarkable of %zu",
                 n_tensors, v->n);
        say(wr, sentence);
    }
    free(order);
    return code;
}

int sc_plots_write(const char *dir, const struct sc_scan_view *views, size_t n_views,
                   unsigned formats, size_t n_tensors, struct sc_plots_written *w,
                   struct sc_error *e)
{
    struct writing wr = {.dir = dir, .formats = formats, .w = w};
    struct sc_staged staged = {0};

    w->svg = w->png = 0;
    if (!n_views)
        return 0;
    w->staged = &staged;
    int code = sc_staged_begin(&staged, dir, e);
    if (code == 0)
        code = write_all(&wr, &(struct sc_plot_input){.views = views, .n_views = n_views},
                         n_tensors, e);
    code = sc_staged_end(&staged, code, e);
    w->staged = NULL;
    sc_buf_clear(&wr.svg);
    return code < 0 ? code : 0;
}
