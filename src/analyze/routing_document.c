/* SPDX-License-Identifier: Apache-2.0 */
/* routing_document: what routers did, as tables. */
#include <math.h>
#include <stdio.h>

#include "analyze/figures.h"
#include "analyze/routing.h"

enum { TEXT_SIZE = 512 };
/* Texts of cells live until the next one is asked for. */
struct tables {
    struct sc_routing_document x;
    char *text; /* (TEXT_SIZE) */
};

static void put_number(double v, struct sc_cell *out)
{
    out->f = v;
    out->null = isnan(v);
}

/* ---------------------------------------------------------------------------------- layers --- */
enum {
    LAYER,
    BALANCE,
    WEIGHT_BALANCE,
    ENTROPY,
    CERTAINTY,
    MAX_OVER_MEAN,
    CV,
    CV_UNIFORM,
    DEAD,
    BUSIEST,
    SHARE,
    PAIR,
    MASSIVE,
    COLUMNS
};
static const struct sc_column columns[COLUMNS] = {
    [LAYER] = {"layer", "LAYER", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [BALANCE] = {"balance", "EVEN", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 3},
    [WEIGHT_BALANCE] = {"weight_balance", "BY WEIGHT", NULL, SC_COL_NUMBER,
                        SC_COL_RIGHT | SC_COL_SPARE, 3},
    [ENTROPY] = {"entropy", NULL, "nats", SC_COL_NUMBER, SC_COL_JSON_ONLY, 3},
    [CERTAINTY] = {"certainty", "SURE", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 3},
    [MAX_OVER_MEAN] = {"max_over_mean", "MAX/MEAN", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 2},
    [CV] = {"cv", "CV", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 2},
    [CV_UNIFORM] = {"cv_uniform", "BY CHANCE", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 2},
    [DEAD] = {"dead", "UNUSED", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [BUSIEST] = {"busiest", "BUSIEST", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [SHARE] = {"share", "WEIGHT", NULL, SC_COL_PERCENT, SC_COL_RIGHT, 0},
    [PAIR] = {"pair", "TOGETHER", NULL, SC_COL_TEXT, SC_COL_OPTIONAL | SC_COL_TERM_ONLY, 0},
    [MASSIVE] = {"massive", "MASSIVE", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_OPTIONAL, 0},
};

static const struct sc_routing_pair *first_pair(const struct sc_routing *r, uint32_t layer)
{
    for (size_t i = 0; i < r->n_pairs; i++)
        if (r->pairs[i].layer == layer)
            return &r->pairs[i];
    return NULL;
}

static double share_of(const struct sc_routing *r, const struct sc_routing_layer *l, uint32_t e)
{
    double sum = 0;

    for (size_t i = 0; i < r->n_experts; i++)
        sum += l->weight[i];
    return sum > 0 ? 100 * l->weight[e] / sum : (double)NAN;
}

static void get_layer(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct tables *t = ctx;
    const struct sc_routing *r = t->x.routing;
    const struct sc_routing_layer *l = &r->layers[row];
    const double figures[COLUMNS] = {[BALANCE] = l->balance,
                                     [WEIGHT_BALANCE] = l->weight_balance,
                                     [ENTROPY] = l->entropy,
                                     [CERTAINTY] = l->certainty,
                                     [CV] = l->cv,
                                     [MAX_OVER_MEAN] = l->max_over_mean,
                                     [CV_UNIFORM] = l->cv_uniform};
    const struct sc_routing_pair *p;

    switch (column) {
    case LAYER:
        out->u = l->layer;
        break;
    case DEAD:
        out->u = l->dead;
        break;
    case MASSIVE:
        out->u = l->massive;
        out->null = !l->massive;
        break;
    case BUSIEST:
        out->u = l->busiest;
        break;
    case SHARE:
        put_number(share_of(r, l, l->busiest), out);
        break;
    case PAIR:
        p = first_pair(r, l->layer);
        out->null = !p;
        if (p)
            snprintf(t->text, TEXT_SIZE, "%u+%u x%.1f", p->a, p->b, p->lift / p->chance);
        out->text = sc_strz(p ? t->text : "");
        break;
    default:
        put_number(figures[column], out);
    }
}

static void add_layer(const void *ctx, size_t row, struct sc_document *d, struct sc_field *into)
{
    const struct sc_routing *r = ((const struct tables *)ctx)->x.routing;
    const struct sc_routing_layer *l = &r->layers[row];
    struct sc_field *tokens = sc_add_list(d, into, "tokens");
    struct sc_field *weight = sc_add_list(d, into, "weight");
    struct sc_field *output = sc_add_list(d, into, "output");

    for (size_t i = 0; i < r->n_experts; i++) {
        sc_add_uint(d, tokens, NULL, l->tokens[i], SC_COL_COUNT);
        sc_add_figure(d, weight, NULL, l->weight[i]);
        sc_add_figure(d, output, NULL, (double)l->output[i]);
    }
}

/* ----------------------------------------------------------------------------------- pairs --- */
enum { P_LAYER, P_A, P_B, P_COUNT, P_LIFT, P_CHANCE, P_COLUMNS };
static const struct sc_column pair_columns[P_COLUMNS] = {
    [P_LAYER] = {"layer", "LAYER", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [P_A] = {"a", "EXPERT", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [P_B] = {"b", "AND", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [P_COUNT] = {"tokens", "TOKENS", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [P_LIFT] = {"lift", "LIFT", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 2},
    [P_CHANCE] = {"lift_chance", "BY CHANCE", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 2},
};

static void get_pair(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_routing_pair *p = &((const struct tables *)ctx)->x.routing->pairs[row];
    const uint64_t counts[P_COLUMNS] = {
        [P_LAYER] = p->layer, [P_A] = p->a, [P_B] = p->b, [P_COUNT] = p->count};

    if (column == P_LIFT || column == P_CHANCE)
        put_number(column == P_LIFT ? p->lift : p->chance, out);
    else
        out->u = counts[column];
}

/* --------------------------------------------------------------------------------- outputs --- */
enum {
    O_LAYER,
    O_EXPERT,
    O_VALUE,
    O_TOKEN,
    O_CHANNEL,
    O_TOKENS,
    O_995,
    O_TENTH,
    O_FORMS,
    O_SUPER,
    O_COLUMNS
};
static const struct sc_column output_columns[O_COLUMNS] = {
    [O_LAYER] = {"layer", "LAYER", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [O_EXPERT] = {"expert", "EXPERT", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [O_VALUE] = {"output", "OUTPUT", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 2},
    [O_TOKEN] = {"token", "AT TOKEN", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [O_CHANNEL] = {"channel", "CHANNEL", NULL, SC_COL_OFFSET, SC_COL_RIGHT | SC_COL_SPARE, 0},
    [O_TOKENS] = {"tokens", "TOKENS", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [O_995] = {"above_995", "ABOVE 99.5 %", NULL, SC_COL_TEXT, SC_COL_TERM_ONLY | SC_COL_SPARE, 0},
    [O_TENTH] = {"above_tenth", "ABOVE TENTH", NULL, SC_COL_TEXT, SC_COL_TERM_ONLY | SC_COL_SPARE,
                 0},
    [O_FORMS] = {"forms_massive", "MASSIVE FORM", NULL, SC_COL_TEXT,
                 SC_COL_TERM_ONLY | SC_COL_SPARE, 0},
    [O_SUPER] = {"super", "SUPER", NULL, SC_COL_TEXT, SC_COL_TERM_ONLY, 0},
};

static void get_output(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct tables *t = ctx;
    const struct sc_routing_output *o = &t->x.routing->outputs[row];
    const uint64_t counts[O_COLUMNS] = {[O_LAYER] = o->layer,
                                        [O_EXPERT] = o->expert,
                                        [O_TOKEN] = o->token,
                                        [O_CHANNEL] = o->channel,
                                        [O_TOKENS] = o->tokens};
    const bool flags[O_COLUMNS] = {[O_995] = o->above_995,
                                   [O_TENTH] = o->above_tenth,
                                   [O_FORMS] = o->forms,
                                   [O_SUPER] = o->super};

    if (column == O_VALUE) {
        put_number((double)o->value, out);
        out->text = sc_short_number((double)o->value, t->text);
    } else if (column < O_995) {
        out->u = counts[column];
    } else {
        out->text = sc_strz(flags[column] ? "yes" : "no");
    }
}

static void add_output(const void *ctx, size_t row, struct sc_document *d, struct sc_field *into)
{
    const struct sc_routing_output *o = &((const struct tables *)ctx)->x.routing->outputs[row];

    sc_add_bool(d, into, "above_995", o->above_995);
    sc_add_bool(d, into, "above_tenth", o->above_tenth);
    sc_add_bool(d, into, "forms_massive", o->forms);
    sc_add_bool(d, into, "super", o->super);
}

/* ----------------------------------------------------------------------------------- trace --- */
enum { T_TOKEN, T_ID, T_PIECE, T_LAYER, T_EXPERTS, T_COLUMNS };
static const struct sc_column trace_columns[T_COLUMNS] = {
    [T_TOKEN] = {"token", "AT", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [T_ID] = {"id", "ID", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [T_PIECE] = {"piece", "TOKEN", NULL, SC_COL_TEXT, SC_COL_OPTIONAL | SC_COL_SHRINK, 0},
    [T_LAYER] = {"layer", "LAYER", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [T_EXPERTS] = {"experts", "EXPERTS AND WEIGHTS", NULL, SC_COL_TEXT, SC_COL_TERM_ONLY, 0},
};

/* Where the choice of a row of the trace is: token by token, layers of each. */
static size_t route_of(const struct sc_routing *r, size_t row)
{
    return (row % r->n_layers * r->n_tokens + row / r->n_layers) * r->per_token;
}

static void get_trace(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct tables *t = ctx;
    const struct sc_routing *r = t->x.routing;
    const size_t token = row / r->n_layers, at = route_of(r, row);
    int n = 0;

    switch (column) {
    case T_TOKEN:
        out->u = token;
        break;
    case T_ID:
        out->u = t->x.tokens[token];
        break;
    case T_PIECE:
        if (t->x.spelling)
            out->text = sc_tokenizer_piece(t->x.spelling, t->x.tokens[token]);
        out->null = !out->text.p;
        break;
    case T_LAYER:
        out->u = r->layers[row % r->n_layers].layer;
        break;
    default:
        for (size_t i = 0; i < r->per_token && n < TEXT_SIZE - 32; i++)
            n += snprintf(t->text + n, (size_t)(TEXT_SIZE - n), "%s%u %.3f", i ? "  " : "",
                          r->ids[at + i], (double)r->weights[at + i]);
        out->text = sc_str(t->text, (size_t)n);
    }
}

static void add_choice(const void *ctx, size_t row, struct sc_document *d, struct sc_field *into)
{
    const struct sc_routing *r = ((const struct tables *)ctx)->x.routing;
    const size_t at = route_of(r, row);
    struct sc_field *experts = sc_add_list(d, into, "experts");
    struct sc_field *weights = sc_add_list(d, into, "weights");

    for (size_t i = 0; i < r->per_token; i++) {
        sc_add_uint(d, experts, NULL, r->ids[at + i], SC_COL_COUNT);
        sc_add_figure(d, weights, NULL, (double)r->weights[at + i]);
    }
}

/* ----------------------------------------------------------------------------------- drops --- */
enum { D_WHAT, D_KL, D_NLL, D_RATIO, D_LOW, D_HIGH, D_AGREE, D_CHANGE, D_COLUMNS };
static const struct sc_column drop_columns[D_COLUMNS] = {
    [D_WHAT] = {"without", "WITHOUT", NULL, SC_COL_TEXT, SC_COL_TERM_ONLY, 0},
    [D_KL] = {"kl", "KL", "nats", SC_COL_NUMBER, SC_COL_RIGHT, 5},
    [D_NLL] = {"nll", "NLL", "nats", SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [D_RATIO] = {"perplexity_ratio", "x PPL", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 3},
    [D_LOW] = {"nll_low", "95 % FROM", "nats", SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 4},
    [D_HIGH] = {"nll_high", "TO", "nats", SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 4},
    [D_AGREE] = {"agree", "SAME TOP", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 3},
    [D_CHANGE] = {"change", "CHANGE", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 4},
};

static void get_drop(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    enum { NAMED = 4 };
    const struct tables *t = ctx;
    const struct sc_routing_drops *d = t->x.drops;
    const struct sc_routing_drop *x = &d->list[row];
    const struct sc_effect *i = &x->effect;
    const double figures[D_COLUMNS] = {
        [D_KL] = i->kl,     [D_NLL] = i->nll,     [D_RATIO] = i->perplexity_ratio, [D_LOW] = i->low,
        [D_HIGH] = i->high, [D_AGREE] = i->agree, [D_CHANGE] = i->change};
    int n = 0;

    if (column != D_WHAT) {
        put_number(figures[column], out);
        return;
    }
    if (x->n > NAMED)
        n = snprintf(t->text, TEXT_SIZE, "%zu together", x->n);
    for (size_t k = 0; k < x->n && x->n <= NAMED; k++)
        n += snprintf(t->text + n, (size_t)(TEXT_SIZE - n), "%s%u.%u", k ? "+" : "",
                      d->experts[x->first + k].layer, d->experts[x->first + k].expert);
    out->text = sc_str(t->text, (size_t)n);
}

static void add_dropped(const void *ctx, size_t row, struct sc_document *d, struct sc_field *into)
{
    const struct sc_routing_drops *all = ((const struct tables *)ctx)->x.drops;
    const struct sc_routing_drop *x = &all->list[row];
    struct sc_field *list = sc_add_list(d, into, "experts");

    for (size_t i = 0; i < x->n; i++) {
        struct sc_field *o = sc_add_object(d, list, NULL);
        sc_add_uint(d, o, "layer", all->experts[x->first + i].layer, SC_COL_COUNT);
        sc_add_uint(d, o, "expert", all->experts[x->first + i].expert, SC_COL_COUNT);
    }
}

static void add_drops(struct sc_document *d, struct sc_field *into, struct tables *t)
{
    const struct sc_routing_drops *x = t->x.drops;
    struct sc_field *o = sc_add_object(d, into, "drops");
    const struct sc_table list = {drop_columns, D_COLUMNS, x->n, get_drop, t};

    sc_add_bool(d, o, "reroute", x->reroute);
    sc_add_uint(d, o, "text_tokens", x->n_tokens, SC_COL_COUNT);
    sc_add_uint(d, o, "passes", x->passes, SC_COL_COUNT);
    sc_add_figure(d, o, "nll", x->nll);
    sc_add_table_more(d, o, "list", &list, add_dropped);
}

/* -------------------------------------------------------------------------------- document --- */

static void add_matrix(const void *ctx, size_t row, struct sc_document *d, struct sc_field *into)
{
    const struct sc_routing *r = ((const struct tables *)ctx)->x.routing;
    const uint32_t *v = r->layers[row].together;
    struct sc_field *rows = sc_add_list(d, into, "counts");

    for (size_t a = 0; v && a < r->n_experts; a++) {
        struct sc_field *list = sc_add_list(d, rows, NULL);
        for (size_t b = 0; b < r->n_experts; b++)
            sc_add_uint(d, list, NULL, v[a * r->n_experts + b], SC_COL_COUNT);
    }
}

static void add_summary(struct sc_document *d, struct sc_field *o, const struct sc_routing *r)
{
    const double cells = (double)r->n_layers * r->n_experts;

    sc_add_uint(d, o, "text_tokens", r->n_tokens, SC_COL_COUNT);
    sc_add_uint(d, o, "window", r->window, SC_COL_COUNT);
    sc_add_uint(d, o, "windows", r->n_windows, SC_COL_COUNT);
    sc_add_uint(d, o, "passes", r->passes, SC_COL_COUNT);
    sc_add_uint(d, o, "experts", r->n_experts, SC_COL_COUNT);
    sc_add_uint(d, o, "per_token", r->per_token, SC_COL_COUNT);
    sc_add_uint(d, o, "dead", r->dead, SC_COL_COUNT);
    sc_add_figure(d, o, "dead_probability", r->dead_probability);
    sc_add_figure(d, o, "dead_uniform", cells * r->dead_probability);
    sc_add_figure(d, o, "output_995", r->quantile_995);
    sc_add_figure(d, o, "output_most", (double)r->largest);
    sc_add_uint(d, o, "super", r->n_super, SC_COL_COUNT);
}

struct sc_field *sc_analyze_routing(struct sc_document *d, struct sc_field *into,
                                    const struct sc_routing_document *x)
{
    const struct sc_routing *r = x->routing;
    struct sc_field *o = sc_add_object(d, into, "routing");
    struct tables *t = SC_ARENA_NEW(&d->arena, struct tables, 1);
    char *text = SC_ARENA_NEW(&d->arena, char, TEXT_SIZE);

    if (!t || !text) {
        d->failed = true;
        return o;
    }
    *t = (struct tables){*x, text};
    add_summary(d, o, r);
    const struct sc_table layers = {columns, COLUMNS, r->n_layers, get_layer, t};
    sc_add_table_more(d, o, "layers", &layers, add_layer);
    const struct sc_table pairs = {pair_columns, P_COLUMNS, r->n_pairs, get_pair, t};
    sc_add_table(d, o, "pairs", &pairs);
    const struct sc_table outputs = {output_columns, O_COLUMNS, r->n_outputs, get_output, t};
    sc_add_table_more(d, o, "outputs", &outputs, add_output);
    if (x->matrices) {
        const struct sc_table all = {columns, 1, r->n_layers, get_layer, t};
        sc_add_table_more(d, o, "together", &all, add_matrix);
    }
    if (x->trace && r->ids) {
        const struct sc_table trace = {trace_columns, T_COLUMNS, (size_t)r->n_tokens * r->n_layers,
                                       get_trace, t};
        sc_add_table_more(d, o, "trace", &trace, add_choice);
    }
    if (x->drops)
        add_drops(d, o, t);
    return o;
}
