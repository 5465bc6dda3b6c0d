/* SPDX-License-Identifier: Apache-2.0 */
/* super_largest: the largest weights by their size alone: `super --by magnitude`.
 *
 *     LAYER  KIND       ROW  COLUMN    WEIGHT  x RMS  x NORMAL  IN ROW  IN COLUMN  TENSOR
 *         1  down_proj   21      40  24.00000  103.4     23.08       1          1  model... */
#include <stdlib.h>
#include <string.h>

#include "analyze/activations.h"
#include "analyze/largest.h"
#include "analyze/super_known.h"
#include "cli/pictures_output.h"
#include "cli/spots.h"
#include "cli/super_parts.h"
#include "cli/tokens_input.h"
#include "report/plots_forward.h"

/* VERIFIED: so many weights are verified at once at most; each of the first 32 is a variant. */
enum { DEFAULT_TOP = 20, SHOWN = 50, SHOWN_LINES = 10, VERIFIED = 64 };

struct looking {
    struct sc_cli *c;
    struct sc_model_reader in; /* forward and tokens: to verify */
    struct sc_filter *filter;
    struct sc_words filters;
    struct sc_large_ranges layers;
    struct sc_largest_options o;
    struct sc_largest found;
    struct sc_super_list list; /* the same weights */
    struct sc_super_effects effects;
    struct sc_super_matrices matrices;
    struct sc_super_knowns known;
    struct sc_large_probe probes[SC_SUPER_KNOWN_MOST];
    struct sc_spots spots;
    struct sc_largest_document about;
    struct sc_document d;
};

/* ------------------------------------------------------------------------------- settings --- */

static int read_number(const char *option, const char *text, double most, double *out,
                       struct sc_error *e)
{
    char *end;
    struct sc_quoted q;

    *out = strtod(text, &end);
    if (!*text || *end || !(*out >= 0) || !(*out <= most))
        return sc_fail(e, SCRUPLE_EUSAGE, "%s cannot be %s: it takes a number from 0 to %g", option,
                       sc_quote(&q, sc_strz(text)), most);
    return 0;
}

static int read_criterion(struct looking *x, struct sc_error *e)
{
    const struct sc_settings *set = &x->c->set;

    if ((set->super_top != 0) + (set->percent != NULL) + (set->above != NULL) > 1)
        return sc_fail(e, SCRUPLE_EUSAGE, "--top, --percent and --above do not go together");
    x->o.by = set->percent ? SC_LARGE_PERCENT : set->above ? SC_LARGE_ABOVE : SC_LARGE_TOP;
    x->o.top = set->super_top ? set->super_top : DEFAULT_TOP;
    x->o.per = (enum sc_large_per)set->per;
    if (set->above && x->o.per != SC_LARGE_PER_MODEL)
        return sc_fail(e, SCRUPLE_EUSAGE, "--per says what is ranked, but --above ranks nothing");
    if (set->percent)
        TRY(read_number("--percent", set->percent, 100, &x->o.percent, e));
    if (set->above)
        TRY(read_number("--above", set->above, 1e38, &x->o.above, e));
    if (set->kinds)
        TRY(sc_large_kinds(set->kinds, &x->o.kinds, e));
    if (set->layers)
        TRY(sc_large_layers(set->layers, &x->layers, e));
    x->o.layers = &x->layers;
    return 0;
}

static int check_words(struct looking *x, struct sc_error *e)
{
    const struct sc_settings *set = &x->c->set;

    if (set->ratio || set->share || set->rounds)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "--by magnitude looks at no activations: --ratio, --share and --rounds are "
                       "for --by activation");
    if (!set->verify && (set->text || set->text_file || set->token_ids))
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "--by magnitude reads weights only: --text, --file and --ids are for "
                       "--verify");
    if (set->verify)
        TRY(sc_tokens_input_check(x->c, e));
    TRY(sc_pictures_check(x->c, sc_largest_picture_kinds, sc_n_largest_picture_kinds, e));
    return read_criterion(x, e);
}

/* -------------------------------------------------------------------------------- looking --- */

static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    sc_progress_show(&(struct sc_progress){.done = done, .total = total, .moved = done});
}

static int look(struct looking *x, struct sc_error *e)
{
    sc_super_known_find(x->in.model, &x->known);
    for (size_t i = 0; i < x->known.n; i++)
        if (!x->known.p[i].impossible) {
            struct sc_large_probe *p = &x->probes[x->o.n_probes++];
            p->tensor = x->known.p[i].tensor;
            p->element = x->known.p[i].element;
        }
    x->o.probes = x->probes;
    x->o.pool = x->in.pool;
    x->o.cancel = &sc_cancel;
    x->o.memory = sc_memory_budget(x->c->set.memory);
    x->o.filter = x->filter;
    x->o.progress = show_progress;
    sc_progress_start(x->c, 0);
    int code = sc_largest_find(x->in.model, &x->o, &x->found, e);
    if (code == 0)
        code = sc_largest_list(x->in.model, &x->found, &x->list, e);
    if (code == 0 && sc_wants_pictures(x->c))
        code = sc_super_look(x->in.model, NULL, &x->list, &sc_cancel, &x->matrices, e);
    (void)sc_progress_end();
    return code;
}

static void show_layers(void *ctx, unsigned round, uint32_t done, uint32_t of)
{
    (void)ctx;
    (void)round;
    sc_progress_show(&(struct sc_progress){.n_done = done, .n = of, .what = "layers"});
}

/* What a model does without the weights that were found. */
static int verify(struct looking *x, struct sc_error *e)
{
    const struct sc_super_options o = {.pool = x->in.pool,
                                       .cancel = &sc_cancel,
                                       .memory = sc_memory_budget(x->c->set.memory),
                                       .tokens = x->in.tokens.ids,
                                       .n = x->in.tokens.n,
                                       .by_size = true,
                                       .progress = show_layers};

    if (x->list.n > VERIFIED)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "%zu weights are among the largest, but --verify takes at most %d: ask for "
                       "fewer with --top, --percent or --above",
                       x->list.n, (int)VERIFIED);
    if (!x->list.n)
        return 0;
    sc_progress_start(x->c, 0);
    const int code = sc_super_verify(x->in.forward, &o, &x->list, &x->effects, e);
    (void)sc_progress_end();
    return code;
}

static int describe(struct looking *x, struct sc_error *e)
{
    x->about = (struct sc_largest_document){.model = x->in.model,
                                            .asked = &x->o,
                                            .filters = x->filters.p,
                                            .n_filters = x->filters.n,
                                            .found = &x->found,
                                            .known = &x->known,
                                            .spotter = &x->spots.spotter,
                                            .list = &x->list,
                                            .effects = x->effects.n ? &x->effects : NULL};
    sc_document_start(&x->d, SC_SCHEMA_LARGEST);
    TRY(sc_analyze_model(&x->d, &x->d.root, x->in.model, e));
    if (x->in.forward) {
        sc_analyze_forward(&x->d, &x->d.root, x->in.forward);
        sc_tokens_input_describe(&x->in.tokens, &x->d, &x->d.root);
    }
    sc_analyze_largest(&x->d, &x->d.root, &x->about);
    return x->d.failed ? sc_fail_memory(e) : 0;
}

/* --------------------------------------------------------------------------------- words --- */

static void put_number(struct sc_cli *c, uint64_t n)
{
    char text[32];

    sc_format_count(n, text);
    sc_out_puts(&c->out, text);
}

static void put_count(struct sc_cli *c, uint64_t n, const char *one, const char *many)
{
    put_number(c, n);
    sc_out_putc(&c->out, ' ');
    sc_out_puts(&c->out, n == 1 ? one : many);
}

/* A table whose first `most` rows are shown. */
static void put_table(struct sc_cli *c, const struct sc_table *t, size_t most)
{
    struct sc_table part = *t;

    part.n_rows = SC_MIN(t->n_rows, most);
    sc_report_table(&c->out, &part, &c->term);
    if (part.n_rows < t->n_rows) {
        sc_out_puts(&c->out, "and ");
        put_number(c, t->n_rows - part.n_rows);
        sc_out_puts(&c->out, " more, which --json and --csv tell\n");
    }
}

static void put_totals(struct looking *x)
{
    struct sc_cli *c = x->c;
    const struct sc_largest *l = &x->found;
    uint64_t ties = 0;

    for (size_t i = 0; i < l->n_groups; i++)
        ties += l->groups[i].n ? l->groups[i].ties : 0;
    put_count(c, l->n, "weight of ", "weights of ");
    put_number(c, l->values);
    sc_out_puts(&c->out, " in ");
    put_count(c, l->n_matrices, "matrix; ", "matrices; ");
    put_number(c, l->alone);
    sc_out_puts(&c->out, l->alone == 1 ? " shares neither row nor column\n"
                                       : " share neither row nor column\n");
    if (ties) {
        put_count(c, ties, "other is as large as the last that is listed\n",
                  "others are as large as the last that are listed\n");
    }
    if (l->nans || l->infinities) {
        put_count(c, l->nans, "NaN and ", "NaN and ");
        put_count(c, l->infinities, "infinity have no rank\n", "infinities have no rank\n");
    }
}

static void put_known(struct looking *x)
{
    struct sc_cli *c = x->c;
    size_t found = 0, impossible = 0;

    for (size_t i = 0; i < x->known.n; i++) {
        const struct sc_super_known *k = &x->known.p[i];
        impossible += k->impossible != NULL;
        for (size_t w = 0; w < x->found.n && !k->impossible; w++)
            if (x->found.weights[w].element == k->element &&
                x->found.matrices[x->found.weights[w].matrix].tensor == k->tensor) {
                found++;
                break;
            }
    }
    if (!x->known.n)
        return;
    put_number(c, found);
    sc_out_puts(&c->out, " of ");
    put_count(c, x->known.n, "weight that was published for ", "weights that were published for ");
    sc_out_puts(&c->out, x->known.p[0].how == SC_SUPER_BY_SHAPE ? "models of this size"
                                                                : x->known.p[0].model);
    sc_out_puts(&c->out, found == 1 ? " is among them" : " are among them");
    if (impossible) {
        sc_out_puts(&c->out, "; ");
        put_number(c, impossible);
        sc_out_puts(&c->out, " cannot be in this model");
    }
    sc_out_putc(&c->out, '\n');
}

static void print(struct looking *x)
{
    struct sc_cli *c = x->c;

    sc_cli_header(c, x->in.model);
    put_table(c, sc_find_table(&x->d.root, "weights"), SHOWN);
    if (x->found.n_lines) {
        sc_out_puts(&c->out, "\nmore in one line than chance would put there:\n");
        put_table(c, sc_find_table(&x->d.root, "lines"), SHOWN_LINES);
    }
    if (x->effects.n)
        sc_super_put_effects(c, &x->d, &x->effects);
    sc_out_putc(&c->out, '\n');
    put_totals(x);
    put_known(x);
    if (x->found.n)
        sc_spots_put(&x->spots, c, x->in.model,
                     x->found.matrices[x->found.weights[0].matrix].tensor,
                     x->found.weights[0].element);
}

static int put(struct looking *x, struct sc_error *e)
{
    struct sc_cli *c = x->c;
    const struct sc_super_pictures data = {
        .list = &x->list,
        .effects = &x->effects,
        .matrices = &x->matrices,
        .tokens = {x->in.tokens.ids, x->in.tokens.n, x->in.tokens.tokenizer},
        .by_size = true};
    char verdict[160];
    const struct sc_picture_set set = {.command = "super",
                                       .kinds = sc_largest_picture_kinds,
                                       .n_kinds = sc_n_largest_picture_kinds,
                                       .data = &data,
                                       .subject = sc_strz(x->in.model->label),
                                       .verdict = sc_super_verdict(&x->effects, "listed", verdict),
                                       .document = "docs/super.md#by-magnitude",
                                       .root = &x->d.root};

    if (sc_form_of(c) == SC_FORM_TEXT)
        print(x);
    return sc_pictures_output(c, &set, &x->d, sc_find_table(&x->d.root, "weights"), e);
}

static int report(struct looking *x)
{
    struct sc_cli *c = x->c;
    struct sc_error e = {0};

    if (look(x, &e) < 0)
        return sc_fail_exit(c, &e);
    if (!x->found.n_matrices) {
        sc_say(c, "error", "%s has no matrix of these kinds%s", x->in.model->label,
               x->filter ? " among what the filters match" : "");
        return SC_EXIT_NOT_FOUND;
    }
    if (x->found.unread && !c->set.quiet)
        sc_say(c, "warning", "%zu tensor%s could not be read: %s", x->found.unread,
               x->found.unread == 1 ? "" : "s", x->found.why);
    if ((x->in.forward && verify(x, &e) < 0) || sc_spots_open(&x->spots, x->in.model, &e) < 0 ||
        describe(x, &e) < 0 || put(x, &e) < 0)
        return sc_fail_exit(c, &e);
    c->whole = true;
    return x->found.unread ? SC_EXIT_INPUT : 0;
}

int sc_super_largest(struct sc_cli *c)
{
    struct looking x = {.c = c};
    struct sc_open_options oo = sc_cli_open_options(c);
    struct sc_error e = {0};
    const char *const *paths = NULL;
    size_t n = 0;
    int status = 0;

    oo.keep_repo = true;
    oo.facts = c->set.verify; /* which token begins a text */
    if (sc_cli_operands(c, &paths, &n, &x.filters, &e) < 0)
        status = sc_fail_exit(c, &e);
    else if (n != 1)
        status = sc_wrong_use(c, "super takes one MODEL");
    else if (check_words(&x, &e) < 0 ||
             (x.filters.n && sc_filter_new(x.filters.p, x.filters.n, &x.filter, &e) < 0))
        status = sc_usage_exit(c, &e);
    else if (sc_pool_new((unsigned)SC_MIN(c->set.threads, 4096), &x.in.pool, &e) < 0)
        status = sc_fail_exit(c, &e);
    if (!status)
        status = sc_cli_open_with(c, paths[0], &oo, &x.in.model);
    if (!status && c->set.verify)
        status = sc_model_reader_load(c, &x.in);
    if (!status && c->set.verify)
        sc_model_reader_note(c, &x.in, x.in.tokens.n);
    if (!status)
        status = report(&x);
    sc_document_clear(&x.d);
    sc_spots_close(&x.spots);
    sc_super_effects_clear(&x.effects);
    sc_super_matrices_clear(&x.matrices);
    sc_super_clear(&x.list);
    sc_largest_clear(&x.found);
    sc_model_reader_close(&x.in);
    sc_filter_free(x.filter);
    sc_words_clear(&x.filters);
    return status;
}
