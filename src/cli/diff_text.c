/* SPDX-License-Identifier: Apache-2.0 */
/* diff_text: what a terminal shows of a diff, and of checkpoints in order. */
#include <math.h>
#include <string.h>

#include "cli/diff_text.h"

enum { ONE_SIDED_SHOWN = 5, FILES_SHOWN = 20, FILE_CHANGES_SHOWN = 6, UNDONE_SHOWN = 12 };

static void put_header(struct sc_cli *c, const char *side, const struct sc_model *m)
{
    sc_out_colour(&c->out, &c->term, SC_COLOUR_KEY, side);
    sc_out_puts(&c->out, "  ");
    sc_cli_header(c, m);
}

/* Something differs for sure, whatever could not be read. */
bool sc_diff_differs(const struct sc_diff *d)
{
    return d->n_status[SC_DIFF_CHANGED] || d->n_status[SC_DIFF_SHAPE] ||
           d->n_status[SC_DIFF_ONLY_A] || d->n_status[SC_DIFF_ONLY_B];
}

enum verdict { VERDICT_NOTHING, VERDICT_SAME, VERDICT_CHANGED };

static enum verdict verdict_of(size_t n, bool identical, bool different)
{
    return !n          ? VERDICT_NOTHING
           : identical ? VERDICT_SAME
           : different ? VERDICT_CHANGED
                       : VERDICT_NOTHING;
}

static void put_verdict(struct sc_cli *c, enum verdict verdict, const struct sc_buf *sentence)
{
    static const enum sc_colour colours[] = {SC_COLOUR_NONE, SC_COLOUR_GOOD, SC_COLOUR_WARNING};
    static const char *const marks[] = {"", "= ", "≠ "}, *const ascii[] = {"", "= ", "# "};

    sc_out_colour(&c->out, &c->term, colours[verdict], (c->term.ascii ? ascii : marks)[verdict]);
    sc_out_colour(&c->out, &c->term, colours[verdict],
                  sentence->failed || !sentence->p ? "" : sentence->p);
    sc_out_putc(&c->out, '\n');
    c->out.buf.failed = c->out.buf.failed || sentence->failed;
}

static void put_title(struct sc_cli *c, const char *title)
{
    sc_out_putc(&c->out, '\n');
    sc_out_colour(&c->out, &c->term, SC_COLOUR_MODULE, title);
    sc_out_putc(&c->out, '\n');
}

/* The first few names of a status, and how many more there are. */
static void put_names(struct sc_cli *c, const struct sc_diff *d, enum sc_diff_status status,
                      const char *title)
{
    size_t shown = 0;

    if (!d->n_status[status])
        return;
    put_title(c, title);
    for (size_t i = 0; i < d->n && shown < ONE_SIDED_SHOWN; i++) {
        const struct sc_diff_pair *p = &d->pairs[i];
        const struct sc_tensor *t = sc_diff_tensor(d, p);
        if (p->status != status)
            continue;
        sc_out_puts(&c->out, "  ");
        sc_out_safe(&c->out, &c->term, SC_COLOUR_TENSOR, sc_str(t->name, t->name_len));
        if (p->why) {
            sc_out_puts(&c->out, "  ");
            sc_out_safe(&c->out, &c->term, SC_COLOUR_UNIT, sc_strz(p->why));
        }
        sc_out_putc(&c->out, '\n');
        shown++;
    }
    if (d->n_status[status] > shown) {
        sc_out_puts(&c->out, "  ... and ");
        sc_out_u64(&c->out, d->n_status[status] - shown);
        sc_out_puts(&c->out, " more\n");
    }
}

static void put_unused(struct sc_cli *c, const struct sc_adapter *a)
{
    if (!a || !a->n_left)
        return;
    put_title(c, "Not used of the adapter");
    for (size_t i = 0; i < SC_MIN(a->n_left, (size_t)ONE_SIDED_SHOWN); i++) {
        const struct sc_tensor *t = &a->model->tensors[a->left[i].tensor];
        sc_out_puts(&c->out, "  ");
        sc_out_safe(&c->out, &c->term, SC_COLOUR_TENSOR, sc_str(t->name, t->name_len));
        sc_out_puts(&c->out, "  ");
        sc_out_colour(&c->out, &c->term, SC_COLOUR_UNIT, a->left[i].why);
        sc_out_putc(&c->out, '\n');
    }
    if (a->n_left > ONE_SIDED_SHOWN) {
        sc_out_puts(&c->out, "  ... and ");
        sc_out_u64(&c->out, a->n_left - ONE_SIDED_SHOWN);
        sc_out_puts(&c->out, " more\n");
    }
}

static void put_json_change(struct sc_cli *c, const struct sc_json_change *j)
{
    static const char *const signs[SC_NODE_CHANGES] = {"+ ", "- ", "~ "};

    sc_out_puts(&c->out, "    ");
    sc_out_puts(&c->out, signs[j->kind]);
    sc_out_safe(&c->out, &c->term, SC_COLOUR_KEY, sc_strz(j->path));
    sc_out_puts(&c->out, "  ");
    if (j->a)
        sc_out_safe(&c->out, &c->term, SC_COLOUR_NONE, sc_strz(j->a));
    if (j->a && j->b)
        sc_out_puts(&c->out, " -> ");
    if (j->b)
        sc_out_safe(&c->out, &c->term, SC_COLOUR_NONE, sc_strz(j->b));
    sc_out_putc(&c->out, '\n');
}

static void put_file(struct sc_cli *c, const struct sc_file_diff *f)
{
    uint64_t changes = 0;

    sc_out_puts(&c->out, "  ");
    sc_out_safe(&c->out, &c->term, SC_COLOUR_TENSOR, sc_strz(f->path));
    sc_out_puts(&c->out, "  ");
    if (f->status == SC_FILE_ONLY_A || f->status == SC_FILE_ONLY_B) {
        sc_out_puts(&c->out, f->status == SC_FILE_ONLY_A ? "only in A" : "only in B");
    } else if (f->status == SC_FILE_NOT_READ) {
        sc_out_safe(&c->out, &c->term, SC_COLOUR_UNIT, sc_strz(f->why));
    } else {
        sc_out_puts(&c->out, "differs from byte ");
        sc_out_u64(&c->out, f->first);
        sc_out_puts(&c->out, " on (");
        sc_out_u64(&c->out, f->bytes[0]);
        sc_out_puts(&c->out, " and ");
        sc_out_u64(&c->out, f->bytes[1]);
        sc_out_puts(&c->out, " bytes)");
    }
    if (f->structure && !f->n_changes)
        sc_out_puts(&c->out, ", but not in what it says");
    sc_out_putc(&c->out, '\n');
    for (size_t i = 0; i < f->n_changes && i < FILE_CHANGES_SHOWN; i++)
        put_json_change(c, &f->changes[i]);
    for (size_t i = 0; i < SC_NODE_CHANGES; i++)
        changes += f->n[i];
    if (changes > FILE_CHANGES_SHOWN) {
        sc_out_puts(&c->out, "    ... and ");
        sc_out_u64(&c->out, changes - FILE_CHANGES_SHOWN);
        sc_out_puts(&c->out, " more\n");
    }
}

/* Files without tensors, but those that are the same. */
static void put_files(struct sc_cli *c, const struct sc_files_diff *files)
{
    size_t shown = 0;

    if (!files || files->n == files->n_status[SC_FILE_SAME])
        return;
    put_title(c, "Other files");
    for (size_t i = 0; i < files->n && shown < FILES_SHOWN; i++)
        if (files->files[i].status != SC_FILE_SAME) {
            put_file(c, &files->files[i]);
            shown++;
        }
    const size_t all = files->n - files->n_status[SC_FILE_SAME];
    if (all > shown) {
        sc_out_puts(&c->out, "  ... and ");
        sc_out_u64(&c->out, all - shown);
        sc_out_puts(&c->out, " more\n");
    }
}

/* The bars take what the figures leave. */
static size_t bar_room(const struct sc_cli *c)
{
    return c->term.width ? SC_MIN(SC_MAX(c->term.width, (size_t)70) - 62, (size_t)32) : 32;
}

size_t sc_diff_top(const struct sc_cli *c)
{
    return (size_t)SC_MIN(c->set.top, 10000);
}

/* The same words but for their numbers. */
static bool is_alike(const char *a, const char *b)
{
    while (*a && *b) {
        const bool x = *a >= '0' && *a <= '9', y = *b >= '0' && *b <= '9';
        if (x && y) {
            a += strspn(a, "0123456789");
            b += strspn(b, "0123456789");
        } else if (*a++ != *b++) {
            return false;
        }
    }
    return *a == *b;
}

/* What was undone before values were compared: one line a kind, with the first of its words. */
static void put_undone(struct sc_cli *c, const struct sc_diff *d)
{
    const char *words[UNDONE_SHOWN] = {NULL};
    size_t count[UNDONE_SHOWN] = {0}, n = 0;

    for (size_t i = 0; i < d->n; i++) {
        const char *text = d->pairs[i].change ? d->pairs[i].pair.transform : NULL;
        size_t k = 0;
        while (text && k < n && !is_alike(words[k], text))
            k++;
        if (!text || k == UNDONE_SHOWN)
            continue;
        if (k == n)
            words[n++] = text;
        count[k]++;
    }
    if (n)
        put_title(c, "Undone before comparing");
    for (size_t k = 0; k < n; k++) {
        sc_out_puts(&c->out, "  ");
        sc_out_safe(&c->out, &c->term, SC_COLOUR_NONE, sc_strz(words[k]));
        sc_out_puts(&c->out, count[k] > 1 ? ", and the like: " : ": ");
        sc_out_u64(&c->out, count[k]);
        sc_out_puts(&c->out, count[k] > 1 ? " tensors\n" : " tensor\n");
    }
}

static int put_table(struct sc_cli *c, const struct sc_table *t, const struct sc_document *doc,
                     const char *title, struct sc_error *e)
{
    if (doc->failed)
        return sc_fail_memory(e);
    if (t && t->n_rows) {
        put_title(c, title);
        sc_report_table(&c->out, t, &c->term);
    }
    return 0;
}

int sc_put_diff(struct sc_cli *c, const struct sc_diff *d, unsigned by, struct sc_error *e)
{
    static const enum sc_diff_table tables[] = {SC_DIFF_ROLES,         SC_DIFF_RANKED_ROLES,
                                                SC_DIFF_RANKED_LAYERS, SC_DIFF_MOST,
                                                SC_DIFF_SPECTRAL,      SC_DIFF_SHAPES};
    const unsigned shown = by ? by | 1u << SC_DIFF_SPECTRAL
                              : 1u << SC_DIFF_ROLES | 1u << SC_DIFF_MOST | 1u << SC_DIFF_SPECTRAL;
    struct sc_buf sentence = {0};
    struct sc_document doc;
    int code = 0;

    sc_document_start(&doc, SC_SCHEMA_DIFF);
    if (d->has_base)
        put_header(c, "A", d->a);
    put_header(c, "B", d->adapter ? d->adapter->model : d->b);
    sc_diff_sentence(d, &sentence);
    put_verdict(c, verdict_of(d->n, sc_diff_identical(d), sc_diff_differs(d)), &sentence);
    sc_buf_clear(&sentence);
    put_names(c, d, SC_DIFF_UNREADABLE, "Could not be compared"); /* else nobody sees it */
    const bool changed = d->n_status[SC_DIFF_CHANGED] > 0;
    for (size_t i = 0; code == 0 && i < SC_COUNT(tables); i++) {
        if (tables[i] != SC_DIFF_SHAPES && (!changed || !(shown & 1u << tables[i])))
            continue;
        const struct sc_table *t =
            sc_diff_table(&doc, d, tables[i], sc_diff_top(c), bar_room(c), c->term.ascii, e);
        code = put_table(c, t, &doc, sc_diff_table_titles[tables[i]], e);
    }
    if (code == 0) {
        put_undone(c, d);
        put_names(c, d, SC_DIFF_ONLY_A, "Only in A");
        put_names(c, d, SC_DIFF_ONLY_B, d->adapter ? "Whole weights" : "Only in B");
        put_unused(c, d->adapter);
        put_files(c, d->files);
    }
    sc_document_clear(&doc);
    return code;
}

int sc_put_evolution(struct sc_cli *c, const struct sc_evolution *v, struct sc_error *e)
{
    static const struct {
        enum sc_evolution_table which;
        const char *title;
    } tables[] = {{SC_EVOLUTION_STEPS, "Steps"},
                  {SC_EVOLUTION_TRACKS, "Changed most, step by step"},
                  {SC_EVOLUTION_JUMPS, "Jumps"}};
    struct sc_buf sentence = {0};
    struct sc_document doc;
    int code = 0;

    sc_document_start(&doc, SC_SCHEMA_EVOLUTION);
    for (size_t i = 0; i <= v->n_steps; i++) {
        char side[24];
        const size_t n = sc_format_u64(i, side);
        side[n] = '\0';
        put_header(c, side, v->models[i]);
    }
    sc_evolution_sentence(v, &sentence);
    put_verdict(c, verdict_of(v->n, sc_evolution_identical(v), true), &sentence);
    sc_buf_clear(&sentence);
    for (size_t i = 0; code == 0 && i < SC_COUNT(tables); i++)
        code = put_table(
            c, sc_evolution_table(&doc, v, tables[i].which, sc_diff_top(c), c->term.ascii, e), &doc,
            tables[i].title, e);
    sc_document_clear(&doc);
    return code;
}
