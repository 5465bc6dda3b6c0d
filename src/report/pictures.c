/* SPDX-License-Identifier: Apache-2.0 */
/* pictures: one picture of a set, or all of them as files. The page is in pictures_page.c. */
#include "report/pictures.h"

#include <stdio.h>
#include <string.h>

#include "report/pictures_parts.h"

const struct sc_picture_kind *sc_picture_kind(const struct sc_picture_set *s, const char *id)
{
    for (size_t i = 0; i < s->n_kinds; i++)
        if (!strcmp(s->kinds[i].id, id))
            return &s->kinds[i];
    return NULL;
}

size_t sc_picture_count(const struct sc_picture_set *s, const struct sc_picture_kind *k)
{
    return k->count ? k->count(s->data) : 1;
}

int sc_picture_draw(const struct sc_picture_set *s, const struct sc_picture_kind *k, size_t item,
                    const struct sc_picture *how, struct sc_buf *out, struct sc_error *e)
{
    struct sc_buf subject = {0};
    struct sc_picture p = *how;
    struct sc_svg svg;

    sc_buf_put(&subject, s->subject.p, s->subject.n);
    if (k->name) {
        sc_buf_puts(&subject, " · ");
        k->name(s->data, item, &subject);
    }
    p.subject = sc_str(subject.p ? subject.p : "", subject.n);
    sc_picture_start(&svg, &p);
    const bool shown = k->draw(s->data, item, &svg);
    int code = subject.failed ? sc_fail_memory(e) : 0;
    if (code == 0)
        code = sc_picture_finish(&svg, shown, k->title, k->what, &p, out, e);
    else
        sc_svg_clear(&svg);
    sc_buf_clear(&subject);
    return code;
}

/* 1: drawn, 0: nothing to show. */
static int draw_first(const struct sc_picture_set *s, const struct sc_picture_kind *k,
                      struct sc_buf *svg, struct sc_error *e)
{
    const struct sc_picture how = {0};

    return sc_picture_count(s, k) ? sc_picture_draw(s, k, 0, &how, svg, e) : 0;
}

int sc_pictures_put(struct sc_out *o, const struct sc_picture_set *s,
                    const struct sc_picture_kind *kind, bool png, struct sc_error *e)
{
    struct sc_buf svg = {0}, pixels = {0};
    int code = 0;

    for (size_t i = 0; i < s->n_kinds && code == 0; i++)
        if (!kind || kind == &s->kinds[i])
            code = draw_first(s, &s->kinds[i], &svg, e);
    if (code == 0)
        code = sc_fail(e, SCRUPLE_EUSAGE, "there is nothing to draw: %s",
                       kind ? kind->needs : s->kinds[0].needs);
    else if (code == 1 && png)
        code = sc_png_from_svg(sc_str(svg.p, svg.n), &pixels, e);
    const struct sc_buf *out = png ? &pixels : &svg;
    if (code >= 0)
        sc_out_put(o, out->p ? out->p : "", out->n);
    sc_buf_clear(&svg);
    sc_buf_clear(&pixels);
    return SC_MIN(code, 0);
}

/* ------------------------------------------------------------------------------------ files --- */

/* "box-down_in": names become those of files, and two never the same one. */
static void put_file_name(const struct sc_picture_set *s, const struct sc_picture_kind *k,
                          size_t item, struct sc_buf *out)
{
    struct sc_buf name = {0};
    const size_t start = out->n;

    sc_buf_puts(out, k->id);
    if (!k->name)
        return;
    k->name(s->data, item, &name);
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == ' ')
            name.p[i] = '-';
    sc_buf_putc(out, '-');
    const size_t from = out->n;
    sc_picture_slug(sc_str(name.p ? name.p : "", name.n), out);
    if (!out->failed &&
        !sc_str_eq(sc_str(out->p + from, out->n - from), sc_str(name.p ? name.p : "", name.n)))
        sc_buf_printf(out, "-%zu", item);
    out->failed = out->failed || name.failed || out->n < start;
    sc_buf_clear(&name);
}

static int write_one(const char *dir, const struct sc_picture_set *s,
                     const struct sc_picture_kind *k, size_t item, unsigned *formats,
                     struct sc_plots_written *w, struct sc_error *e)
{
    const struct sc_picture how = {0};
    struct sc_buf svg = {0}, name = {0};
    int code = sc_picture_draw(s, k, item, &how, &svg, e);

    if (code == 1) {
        put_file_name(s, k, item, &name);
        code = name.failed ? sc_fail_memory(e)
                           : sc_picture_write(dir, name.p, sc_str(svg.p, svg.n), formats, w, e);
        code = code < 0 ? code : 1;
    }
    sc_buf_clear(&svg);
    sc_buf_clear(&name);
    return code;
}

static int write_all(const char *dir, const struct sc_picture_set *s, unsigned formats,
                     struct sc_plots_written *w, struct sc_error *e)
{
    for (size_t i = 0; i < s->n_kinds; i++) {
        const struct sc_picture_kind *k = &s->kinds[i];
        const size_t n = sc_picture_count(s, k);
        bool any = false;
        for (size_t item = 0; item < n; item++) {
            const int code = write_one(dir, s, k, item, &formats, w, e);
            if (code < 0)
                return code;
            any = any || code;
        }
        if (!any && w->note) {
            char sentence[400];
            snprintf(sentence, sizeof sentence, "no picture \"%s\": %s", k->id, k->needs);
            w->note(w->note_ctx, sentence);
        }
    }
    return 0;
}

int sc_pictures_write(const char *dir, const struct sc_picture_set *s, unsigned formats,
                      struct sc_plots_written *w, struct sc_error *e)
{
    struct sc_staged staged = {0};

    w->svg = w->png = 0;
    w->staged = &staged;
    int code = sc_staged_begin(&staged, dir, e);
    if (code == 0)
        code = write_all(dir, s, formats, w, e);
    code = sc_staged_end(&staged, code, e);
    w->staged = NULL;
    return code;
}
