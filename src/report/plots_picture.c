/* SPDX-License-Identifier: Apache-2.0 */
/* plots_picture: what pictures of quality share: their frame, how a metric becomes an axis, files.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/cache.h"
#include "report/plots_draw.h"

#define WIDTH 960

/* -------------------------------------------------------------------------------- the frame --- */
void sc_picture_start(struct sc_svg *s, const struct sc_picture *p)
{
    sc_svg_start(s, p->width > 0 ? SC_MAX(p->width, 240) : WIDTH, p->page);
}

int sc_picture_finish(struct sc_svg *s, bool shown, const char *title, const char *what,
                      const struct sc_picture *p, struct sc_buf *out, struct sc_error *e)
{
    if (!shown && !s->b.failed) {
        sc_svg_clear(s);
        return 0;
    }
    if (p->notes && s->notes.n)
        sc_buf_put(p->notes, s->notes.p, s->notes.n);
    sc_svg_finish(s, title, what, p->subject, "plot", out);
    if (out->failed || (p->notes && p->notes->failed))
        return sc_fail_memory(e);
    return 1;
}

/* ---------------------------------------------------------------------------------- metrics --- */
const struct sc_metric_axis sc_metric_axes[SC_MIX_METRICS] = {
    [SC_MIX_PCC] = {"PCC", true, true, true},
    [SC_MIX_MAE] = {"mean |error|, less is better", true, false, false},
    [SC_MIX_ATOL] = {"largest |error|, less is better", true, false, false},
    [SC_MIX_MSE] = {"mean squared error, less is better", true, false, false},
    [SC_MIX_SQNR] = {"SQNR, dB", false, false, true},
};

double sc_metric_of(const struct sc_mix_totals *t, enum sc_mix_metric m)
{
    switch (m) {
    case SC_MIX_PCC:
        return t->one_minus_pcc;
    case SC_MIX_MAE:
        return t->mae;
    case SC_MIX_ATOL:
        return t->atol;
    case SC_MIX_MSE:
        return t->mse;
    case SC_MIX_SQNR:
        return t->sqnr_db;
    case SC_MIX_METRICS:
        break;
    }
    return NAN;
}

double sc_metric_plotted(double value, enum sc_mix_metric m)
{
    return m == SC_MIX_PCC ? 1 - value : value;
}

void sc_metric_panel(struct sc_panel *p, enum sc_mix_metric m, const double *v, size_t n)
{
    const struct sc_metric_axis *axis = &sc_metric_axes[m];
    struct sc_range r = sc_range_of(v, sizeof *v, n, axis->log);
    double low = r.low, high = r.high;

    if (axis->nines && low <= high) { /* whole decades, of which each has a text */
        low = pow(10, floor(log10(SC_MAX(low, 1e-15)) + 1e-9));
        high = SC_MIN(pow(10, ceil(log10(SC_MAX(high, 1e-15)) - 1e-9)), 2);
        if (!(high > low))
            low = high / 10;
        p->y = (struct sc_scale){.log = true, .low = low, .high = high};
    } else {
        p->y = sc_scale_fit(axis->log, low, high);
    }
    p->nines_y = axis->nines;
    p->zero_y = axis->log && r.zeros > 0;
    p->infinite_y = !axis->log && r.infinite > 0;
    p->y_title = axis->title;
}

void sc_put_shares(struct sc_buf *b, const struct sc_encoding *formats, size_t n,
                   const struct sc_mix_totals *t)
{
    uint64_t all = t->left;
    bool first = true;

    for (size_t i = 0; i < n; i++)
        all = sc_add_up(all, t->cells[i]);
    for (size_t i = 0; i <= n && all; i++) {
        uint64_t part = i < n ? t->cells[i] : t->left;
        if (!part)
            continue;
        char share[32];
        sc_format_percent(100 * (double)part / (double)all, share);
        sc_buf_printf(b, "%s%s %s %%", first ? "" : ", ", i < n ? formats[i].name : "none", share);
        first = false;
    }
}

/* ------------------------------------------------------------------------------- what marks say
 * ---
 */
struct sc_size_unit sc_size_unit_of(double most)
{
    static const char *const names[] = {"bytes", "KB", "MB", "GB", "TB", "PB"};
    struct sc_size_unit u = {1, ""};
    size_t i = 0;

    while (most / u.bytes >= 1000 && i + 1 < SC_COUNT(names)) {
        u.bytes *= 1000;
        i++;
    }
    snprintf(u.title, sizeof u.title, "size, %s", names[i]);
    return u;
}

void sc_svg_end_tip(struct sc_svg *s, struct sc_buf *tip)
{
    sc_svg_end_item(s);
    s->b.failed = s->b.failed || tip->failed;
    sc_buf_clear(tip);
}

void sc_put_size(struct sc_buf *b, double bytes)
{
    char text[32];

    sc_format_bytes(bytes < 1.8e19 ? (uint64_t)bytes : UINT64_MAX, text);
    sc_buf_puts(b, text);
}

void sc_put_metric(struct sc_buf *b, enum sc_mix_metric m, double value)
{
    char text[64];

    sc_buf_printf(b, "%s ", sc_mix_metrics[m]);
    if (m == SC_MIX_PCC) {
        sc_format_fixed(value, 7, text);
        sc_buf_puts(b, text);
    } else {
        sc_put_value(b, value);
        if (m == SC_MIX_SQNR)
            sc_buf_puts(b, " dB");
    }
}

double sc_metric_value(const struct sc_mix_totals *t, enum sc_mix_metric m)
{
    return m == SC_MIX_PCC ? t->pcc : sc_metric_of(t, m);
}

enum sc_ink sc_line_ink(size_t i)
{
    static const enum sc_ink inks[] = {SC_INK_BLUE,   SC_INK_ORANGE,  SC_INK_AQUA, SC_INK_VIOLET,
                                       SC_INK_YELLOW, SC_INK_MAGENTA, SC_INK_GREEN};

    return inks[i % SC_COUNT(inks)];
}

/* ------------------------------------------------------------------------------------ files --- */
void sc_picture_slug(struct sc_str name, struct sc_buf *out)
{
    enum { LONGEST = 120 };
    char slug[LONGEST];
    size_t n = 0, first = 0;
    bool gap = false;

    for (size_t i = 0; i < name.n && n < LONGEST; i++) {
        char c = name.p[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '.' || c == '_';
        if (good || !gap)
            slug[n++] = (char)(good ? c : '_');
        gap = !good;
    }
    while (first < n && (slug[first] == '_' || slug[first] == '.')) /* nor is a file hidden */
        first++;
    while (n > first && slug[n - 1] == '_')
        n--;
    if (first == n)
        sc_buf_puts(out, "tensor");
    else
        sc_buf_put(out, slug + first, n - first);
}

static int fail_writing(const char *path, struct sc_error *e)
{
    struct sc_quoted q;

    return sc_fail(e, SCRUPLE_EWRITE, "%s: cannot be written: %s", sc_quote(&q, sc_strz(path)),
                   strerror(errno));
}

int sc_staged_begin(struct sc_staged *s, const char *dir, struct sc_error *e)
{
    struct sc_quoted q;
    struct stat st;
    const bool there = stat(dir, &st) == 0;

    if (!sc_make_folders(dir))
        return sc_fail(e, SCRUPLE_EWRITE, "%s: cannot be made: %s", sc_quote(&q, sc_strz(dir)),
                       strerror(errno));
    if (!there && !(s->made = sc_str_copy(sc_strz(dir))))
        return sc_fail_memory(e);
    return 0;
}

/* Takes path->p, and leaves *path empty. */
static int stage(struct sc_staged *s, struct sc_buf *path, struct sc_str what, struct sc_error *e)
{
    struct sc_buf temporary = {0};
    struct stat st;

    if (lstat(path->p, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return fail_writing(path->p, e);
    }
    TRY(sc_grow(&s->p, &s->cap, s->n + 1, sizeof *s->p, e));
    const int fd = sc_open_temporary(&temporary, path->p, ".tmp", 0666);
    if (fd < 0) {
        sc_buf_clear(&temporary);
        return fail_writing(path->p, e);
    }
    s->p[s->n++] = (struct sc_staged_file){temporary.p, path->p};
    const bool ok = sc_write_all(fd, what.p, what.n) && sc_sync(fd);
    const int error = errno;
    const bool closed = close(fd) == 0;
    errno = ok ? errno : error;
    const int code = ok && closed ? 0 : fail_writing(path->p, e);
    *path = (struct sc_buf){0};
    return code;
}

int sc_staged_end(struct sc_staged *s, int code, struct sc_error *e)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct sc_staged_file *f = &s->p[i];
        if (code >= 0 && rename(f->temporary, f->path) != 0)
            code = fail_writing(f->path, e);
        if (code < 0)
            (void)unlink(f->temporary);
    }
    if (code < 0 && s->made)
        (void)rmdir(s->made); /* stays where it holds something */
    if (code >= 0 && s->n)
        sc_sync_folder_of(s->p[0].path);
    for (size_t i = 0; i < s->n; i++) {
        free(s->p[i].temporary);
        free(s->p[i].path);
    }
    free(s->p);
    free(s->made);
    *s = (struct sc_staged){0};
    return code;
}

static int write_file(const char *dir, const char *name, const char *suffix, struct sc_str what,
                      struct sc_staged *staged, struct sc_error *e)
{
    struct sc_buf path = {0};
    int code = 0;

    sc_buf_printf(&path, "%s/%s.%s", dir, name, suffix);
    if (path.failed)
        code = sc_fail_memory(e);
    else if (staged)
        code = stage(staged, &path, what, e);
    else if (!sc_write_file(path.p, what.p, what.n, 0666))
        code = fail_writing(path.p, e);
    sc_buf_clear(&path);
    return code;
}

static int write_png(const char *dir, const char *name, struct sc_str svg, unsigned *formats,
                     struct sc_plots_written *w, struct sc_error *e)
{
    struct sc_buf png = {0};
    struct sc_error why = {0};
    int code = sc_png_from_svg(svg, &png, &why);

    if (code == SCRUPLE_EUNSUPPORTED) { /* once is enough; SVG goes on */
        *formats = (*formats & ~(unsigned)SC_PLOT_PNG) | SC_PLOT_SVG;
        if (w->note)
            w->note(w->note_ctx, why.text);
        code = 0;
    } else if (code < 0) {
        if (e)
            *e = why;
    } else {
        code = write_file(dir, name, "png", sc_str(png.p, png.n), w->staged, e);
        w->png += code == 0;
    }
    sc_buf_clear(&png);
    return code;
}

int sc_picture_write(const char *dir, const char *name, struct sc_str svg, unsigned *formats,
                     struct sc_plots_written *w, struct sc_error *e)
{
    struct sc_quoted q;

    if (!sc_make_folders(dir))
        return sc_fail(e, SCRUPLE_EWRITE, "%s: cannot be made: %s", sc_quote(&q, sc_strz(dir)),
                       strerror(errno));
    if (*formats & SC_PLOT_PNG)
        TRY(write_png(dir, name, svg, formats, w, e));
    if (*formats & SC_PLOT_SVG) {
        TRY(write_file(dir, name, "svg", svg, w->staged, e));
        w->svg++;
    }
    return 0;
}
