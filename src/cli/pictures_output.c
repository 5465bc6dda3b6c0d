/* SPDX-License-Identifier: Apache-2.0 */
/* pictures_output: figures as JSON, CSV, pictures or a page. */
#include "cli/pictures_output.h"

static bool ends_in(const char *path, const char *suffix)
{
    return path && sc_str_ends(sc_strz(path), suffix);
}

enum sc_form sc_form_of(const struct sc_cli *c)
{
    const struct sc_settings *set = &c->set;

    return set->json || ends_in(set->output, ".json") ? SC_FORM_JSON
           : set->csv || (c->command->groups & SC_GROUP_CSV && ends_in(set->output, ".csv"))
               ? SC_FORM_CSV
           : ends_in(set->output, ".svg")  ? SC_FORM_SVG
           : ends_in(set->output, ".png")  ? SC_FORM_PNG
           : ends_in(set->output, ".html") ? SC_FORM_HTML
                                           : SC_FORM_TEXT;
}

bool sc_wants_pictures(const struct sc_cli *c)
{
    return c->set.plots || sc_form_of(c) >= SC_FORM_SVG;
}

int sc_pictures_check(const struct sc_cli *c, const struct sc_picture_kind *kinds, size_t n,
                      struct sc_error *e)
{
    const struct sc_picture_set s = {.kinds = kinds, .n_kinds = n};
    const enum sc_form form = sc_form_of(c);
    struct sc_buf known = {0};
    struct sc_quoted q;

    if (c->set.png && !c->set.plots)
        return sc_fail(e, SCRUPLE_EUSAGE, "--png does nothing without --plots");
    if (!c->set.plot)
        return 0;
    if (form != SC_FORM_SVG && form != SC_FORM_PNG)
        return sc_fail(e, SCRUPLE_EUSAGE, "--plot does nothing without -o FILE.svg or FILE.png");
    if (sc_picture_kind(&s, c->set.plot))
        return 0;
    for (size_t i = 0; i < n; i++)
        sc_buf_printf(&known, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " and ", kinds[i].id);
    const int code = sc_fail(e, SCRUPLE_EUSAGE, "--plot knows no %s; there are %s",
                             sc_quote(&q, sc_strz(c->set.plot)), known.failed ? "others" : known.p);
    sc_buf_clear(&known);
    return code;
}

static void tell(void *ctx, const char *sentence)
{
    struct sc_cli *c = ctx;

    if (!c->set.quiet)
        sc_say(c, "note", "%s", sentence);
}

static int write_folder(struct sc_cli *c, const struct sc_picture_set *s, struct sc_error *e)
{
    struct sc_plots_written w = {.note = tell, .note_ctx = c};

    TRY(sc_pictures_write(c->set.plots, s, SC_PLOT_SVG | (c->set.png ? SC_PLOT_PNG : 0), &w, e));
    if (!c->set.quiet)
        sc_say(c, "note", "%zu pictures are in %s", w.svg, c->set.plots);
    return 0;
}

int sc_pictures_output(struct sc_cli *c, const struct sc_picture_set *s,
                       const struct sc_document *d, const struct sc_table *csv, struct sc_error *e)
{
    const enum sc_form form = sc_form_of(c);

    if (form == SC_FORM_JSON)
        sc_report_json(&c->out, d);
    else if (form == SC_FORM_CSV && csv)
        sc_report_csv(&c->out, csv);
    else if (form == SC_FORM_SVG || form == SC_FORM_PNG)
        TRY(sc_pictures_put(&c->out, s, c->set.plot ? sc_picture_kind(s, c->set.plot) : NULL,
                            form == SC_FORM_PNG, e));
    else if (form == SC_FORM_HTML)
        TRY(sc_pictures_page(&c->out, s, e));
    return c->set.plots ? write_folder(c, s, e) : 0;
}
