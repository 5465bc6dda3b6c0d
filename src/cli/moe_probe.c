/* SPDX-License-Identifier: Apache-2.0 */
/* moe_probe: from a text to whom its tokens are sent.
 *
 *     chosen, share of tokens: 0 to 0.4117     then a map, a row for each layer
 *     LAYER   EVEN  BY WEIGHT   SURE  MAX/MEAN    CV  BY CHANCE  UNUSED  BUSIEST   WEIGHT
 *         0  0.981      0.979  0.104      1.43  0.27       0.16       0        3   17.2 % */
#include "cli/moe_probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/activations.h"
#include "cli/expert_map.h"
#include "hub/hub.h"

enum { MAX_URL_TEXT = 16 << 20, MAX_SET = 257 };

bool sc_moe_probe_wanted(const struct sc_cli *c)
{
    const struct sc_settings *s = &c->set;

    return s->probe || s->no_maps || s->trace || s->pairs || s->text || s->text_file ||
           s->text_url || s->token_ids || s->window || s->max_windows || s->trace_file || s->drop ||
           s->precision;
}

/* ------------------------------------------------------------------- experts that are dropped ---
 */

/* LAYER.EXPERT, with + between several. */
static int add_set(struct sc_str item, struct sc_routing_drops *d, struct sc_error *e)
{
    struct sc_drop set[MAX_SET];
    size_t n = 0;
    struct sc_quoted q;

    for (size_t at = 0; at <= item.n && n < MAX_SET; n++) {
        const char *end = memchr(item.p + at, '+', item.n - at);
        const struct sc_str one =
            sc_str(item.p + at, end ? (size_t)(end - item.p) - at : item.n - at);
        const char *dot = memchr(one.p, '.', one.n);
        const size_t whole = dot ? (size_t)(dot - one.p) : one.n;
        uint64_t layer, expert;
        if (!dot || !sc_str_u64(sc_str(one.p, whole), &layer) ||
            !sc_str_u64(sc_str(dot + 1, one.n - whole - 1), &expert) || layer > INT32_MAX ||
            expert > INT32_MAX)
            return sc_fail(e, SCRUPLE_EUSAGE,
                           "--drop takes LAYER.EXPERT (3.17, 3.17+5.2), top or super, with commas, "
                           "but not %s",
                           sc_quote(&q, item));
        set[n] = (struct sc_drop){(uint32_t)layer, (uint32_t)expert};
        for (size_t i = 0; i < n; i++)
            if (set[i].layer == layer && set[i].expert == expert)
                return sc_fail(e, SCRUPLE_EUSAGE, "--drop names %u.%u twice in one set",
                               set[n].layer, set[n].expert);
        at += one.n + 1;
    }
    if (n == MAX_SET)
        return sc_fail(e, SCRUPLE_EUSAGE, "--drop takes up to %d experts in one set", MAX_SET - 1);
    return sc_routing_drops_add(d, set, n, e);
}

/* Experiments of --drop, one for each item and one with all. Without a routing, words that need one
 * are passed over. */
static int add_drops(const char *list, const struct sc_routing *r, struct sc_routing_drops *d,
                     struct sc_error *e)
{
    for (const char *p = list; *p;) {
        const size_t n = strcspn(p, ",");
        const struct sc_str item = sc_str(p, n);
        if (sc_str_is(item, "top"))
            TRY(r ? sc_routing_drops_add_top(d, r, e) : 0);
        else if (sc_str_is(item, "super"))
            TRY(r ? sc_routing_drops_add_super(d, r, e) : 0);
        else if (n)
            TRY(add_set(item, d, e));
        p += n + (p[n] != '\0');
    }
    return r ? sc_routing_drops_add_all(d, 0, e) : 0;
}

/* What is wrong with --drop, before anything is run. f NULL: with its words alone. */
static int check_drops(const struct sc_cli *c, const struct sc_forward *f, struct sc_error *e)
{
    struct sc_routing_drops d = {0};
    int code = c->set.drop ? add_drops(c->set.drop, NULL, &d, e) : 0;

    for (size_t i = 0; f && i < d.n && code == 0; i++)
        code = sc_forward_check_drops(f,
                                      &(struct sc_variant){.drops = d.experts + d.list[i].first,
                                                           .n_drops = d.list[i].n,
                                                           .reroute = c->set.reroute},
                                      e);
    sc_routing_drops_clear(&d);
    return code;
}

int sc_moe_probe_check(const struct sc_cli *c, struct sc_error *e)
{
    const struct sc_settings *s = &c->set;
    const int n =
        (s->text != NULL) + (s->text_file != NULL) + (s->token_ids != NULL) + (s->text_url != NULL);

    if (n > 1)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "moe takes one of --text, --file, --url and --ids, or none for a text of "
                       "its own");
    if (s->text_url && strncmp(s->text_url, "http://", 7) != 0 &&
        strncmp(s->text_url, "https://", 8) != 0 && strncmp(s->text_url, "hf://", 5) != 0)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "--url begins with https://, http:// or hf://; files here are read with "
                       "--file");
    if (s->window > 1 << 20)
        return sc_fail(e, SCRUPLE_EUSAGE, "--window takes a number from 1 to %d", 1 << 20);
    if (s->reroute && !s->drop)
        return sc_fail(e, SCRUPLE_EUSAGE, "--reroute goes with --drop");
    return check_drops(c, NULL, e);
}

/* --------------------------------------------------------------------------------- reading --- */

static int read_remote(struct sc_repo *repo, char **out, struct sc_str *text, struct sc_error *e)
{
    struct sc_source *source = NULL;

    if (!repo->selected)
        return sc_fail(e, SCRUPLE_EUSAGE, "--url: %s is no file", repo->label);
    TRY(sc_repo_open_file(repo, repo->selected, &source, e));
    int code = source->size <= MAX_URL_TEXT
                   ? 0
                   : sc_fail(e, SCRUPLE_ELIMIT, "--url: %s has %llu bytes, allowed are %d",
                             source->name, (unsigned long long)source->size, (int)MAX_URL_TEXT);
    const size_t n = code == 0 ? (size_t)source->size : 0;
    *out = code == 0 ? sc_alloc(n + 1) : NULL;
    if (code == 0 && !*out)
        code = sc_fail_memory(e);
    if (code == 0)
        code = sc_source_read(source, 0, *out, n, e);
    *text = sc_str(*out, n);
    sc_source_close(source);
    return code;
}

static int read_url(struct sc_moe_probe *p, const struct sc_model *m, struct sc_error *e)
{
    struct sc_hub_options o = p->c->hub;
    struct sc_repo *repo = NULL;
    struct sc_str text = {0};
    char *copy = NULL;

    o.revision = NULL; /* that is the model's */
    TRY(sc_repo_open(p->c->set.text_url, &o, &repo, e));
    int code = read_remote(repo, &copy, &text, e);
    if (code == 0)
        code = sc_tokens_input_of(p->c, m, text, &p->tokens, e);
    free(copy);
    sc_repo_close(repo);
    return code;
}

static int read_tokens(struct sc_moe_probe *p, const struct sc_model *m, struct sc_error *e)
{
    const struct sc_settings *s = &p->c->set;

    if (s->text_url)
        return read_url(p, m, e);
    if (s->text || s->text_file || s->token_ids)
        return sc_tokens_input_read(p->c, m, &p->tokens, e);
    return sc_tokens_input_of(p->c, m, sc_strz(sc_routing_text), &p->tokens, e);
}

/* --------------------------------------------------------------------------------- running --- */

static void show_progress(void *ctx, size_t done, size_t of, uint32_t layer, uint32_t layers)
{
    (void)ctx;
    sc_progress_show(
        &(struct sc_progress){.n_done = done * layers + layer, .n = of * layers, .what = "layers"});
}

static int measure(struct sc_moe_probe *p, struct sc_pool *pool, struct sc_error *e)
{
    const struct sc_settings *s = &p->c->set;
    const struct sc_routing_options o = {.pool = pool,
                                         .cancel = &sc_cancel,
                                         .memory = sc_memory_budget(s->memory),
                                         .tokens = p->tokens.ids,
                                         .n = p->tokens.n,
                                         .window = (size_t)s->window,
                                         .max_windows = (size_t)SC_MIN(s->max_windows, UINT32_MAX),
                                         .trace = s->trace || s->trace_file,
                                         .progress = show_progress};

    sc_progress_start(p->c, 0);
    int code = sc_routing_measure(p->forward, &o, &p->routing, e);
    p->drops.reroute = s->reroute;
    if (code == 0 && s->drop)
        code = add_drops(s->drop, &p->routing, &p->drops, e);
    if (code == 0)
        code = sc_routing_drops_measure(p->forward, &o, &p->drops, e);
    (void)sc_progress_end();
    return code;
}

/* ---------------------------------------------------------------------------------- a trace --- */

/* {"token":0,"id":1,"piece":"The","layers":[{"layer":0,"experts":[3,1],"weights":[0.6,0.4]}]} */
static void put_token(const struct sc_moe_probe *p, size_t token, struct sc_out *o)
{
    const struct sc_routing *r = &p->routing;
    const struct sc_str piece = p->tokens.tokenizer
                                    ? sc_tokenizer_piece(p->tokens.tokenizer, p->tokens.ids[token])
                                    : (struct sc_str){0};

    sc_buf_printf(&o->buf, "{\"token\":%zu,\"id\":%u,\"piece\":", token, p->tokens.ids[token]);
    if (piece.p)
        sc_out_json_text(o, piece, false);
    else
        sc_out_puts(o, "null");
    sc_out_puts(o, ",\"layers\":[");
    for (size_t l = 0; l < r->n_layers; l++) {
        const size_t at = (l * (size_t)r->n_tokens + token) * r->per_token;
        sc_buf_printf(&o->buf, "%s{\"layer\":%u,\"experts\":[", l ? "," : "", r->layers[l].layer);
        for (size_t i = 0; i < r->per_token; i++)
            sc_buf_printf(&o->buf, "%s%u", i ? "," : "", r->ids[at + i]);
        sc_out_puts(o, "],\"weights\":[");
        for (size_t i = 0; i < r->per_token; i++) {
            sc_out_puts(o, i ? "," : "");
            sc_out_json_number(o, (double)r->weights[at + i]);
        }
        sc_out_puts(o, "]}");
        sc_out_settle(o);
    }
    sc_out_puts(o, "]}\n");
}

static int write_trace(const struct sc_moe_probe *p, struct sc_error *e)
{
    struct sc_sink sink = {0};
    struct sc_out o = {.write = sc_sink_write, .ctx = &sink};
    struct sc_error of_sink = {0};

    TRY(sc_sink_open(&sink, p->c->set.trace_file, false, 0, e));
    for (size_t t = 0; t < p->routing.n_tokens && o.status == 0; t++)
        put_token(p, t, &o);
    int code = sc_out_finish(&o);
    const int closed = sc_sink_close(&sink, code >= 0, &of_sink);
    if (closed < 0) {
        *e = of_sink;
        return closed;
    }
    return code < 0 ? sc_fail_memory(e) : 0;
}

int sc_moe_probe_run(struct sc_moe_probe *p, struct sc_cli *c, const struct sc_model *m,
                     struct sc_pool *pool, struct sc_error *e)
{
    p->c = c;
    if (!sc_moe_probe_wanted(c))
        return 0;
    int code = sc_forward_open(m, &p->forward, e);
    if (code == 0)
        sc_forward_set_precision(p->forward, (enum sc_precision)c->set.precision);
    if (code == 0)
        code = check_drops(c, p->forward, e);
    if (code == 0)
        code = read_tokens(p, m, e);
    if (code == 0)
        code = measure(p, pool, e);
    if (code == 0 && c->set.trace_file)
        code = write_trace(p, e);
    p->ran = code == 0;
    if (code < 0)
        p->why = *e;
    return code;
}

void sc_moe_probe_close(struct sc_moe_probe *p)
{
    sc_routing_drops_clear(&p->drops);
    sc_routing_clear(&p->routing);
    sc_tokens_input_clear(&p->tokens);
    sc_forward_close(p->forward);
}

/* ---------------------------------------------------------------------------------- words --- */

void sc_moe_probe_describe(const struct sc_moe_probe *p, struct sc_document *d,
                           struct sc_field *into)
{
    if (!p->ran) {
        if (p->why.code < 0) {
            sc_add_null(d, into, "routing");
            sc_add_textz(d, into, "routing_error", p->why.text);
        }
        return;
    }
    const struct sc_routing_document x = {.routing = &p->routing,
                                          .tokens = p->tokens.ids,
                                          .spelling = p->tokens.tokenizer,
                                          .matrices = p->c->set.pairs,
                                          .trace = p->c->set.trace,
                                          .drops = p->drops.n ? &p->drops : NULL};
    struct sc_field *o = sc_analyze_routing(d, into, &x);
    sc_analyze_forward(d, o, p->forward);
    struct sc_tokens_input read = p->tokens;
    read.n = (size_t)SC_MIN(p->routing.n_tokens, (uint64_t)read.n);
    sc_tokens_input_describe(&read, d, o);
}

/* *low and *high: what became 0 and 1. */
static bool make_map(const struct sc_moe_probe *p, float *map, double *low, double *high)
{
    const struct sc_routing *r = &p->routing;

    sc_routing_map(r, SC_ROUTING_FREQUENCY, map);
    return sc_experts_norm(map, r->n_layers * r->n_experts, (enum sc_expert_norm)p->c->set.norm,
                           low, high);
}

bool sc_moe_probe_map(const struct sc_moe_probe *p, const struct sc_experts *rows, float *out)
{
    const struct sc_routing *r = &p->routing;
    const size_t n = r->n_experts;
    float *map = sc_alloc(r->n_layers * n * sizeof *map);
    double low, high;
    const bool good = map && make_map(p, map, &low, &high);

    for (size_t i = 0; good && i < (rows ? rows->n_layers : r->n_layers); i++) {
        size_t from = rows ? 0 : i;
        while (rows && from < r->n_layers &&
               (int32_t)r->layers[from].layer != rows->layers[i].layer)
            from++;
        for (size_t k = 0; k < n; k++)
            out[i * n + k] = from < r->n_layers ? map[from * n + k] : NAN;
    }
    free(map);
    return good;
}

static int put_map(struct sc_moe_probe *p, struct sc_error *e)
{
    const struct sc_routing *r = &p->routing;
    struct sc_out *o = &p->c->out;
    float *map = sc_alloc(r->n_layers * r->n_experts * sizeof *map);
    double low, high;
    int code = 0;

    if (!map)
        return sc_fail_memory(e);
    if (make_map(p, map, &low, &high)) {
        sc_buf_printf(&o->buf, "chosen, share of tokens: %.4g to %.4g\n", low, high);
        sc_out_settle(o);
        code = sc_expert_map_put(p->c, &(struct sc_expert_map){map, r->n_layers, r->n_experts},
                                 sc_graphics_of(p->c), e);
    }
    free(map);
    return code;
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static void put_summary(struct sc_moe_probe *p)
{
    const struct sc_routing *r = &p->routing;
    const double cells = (double)r->n_layers * r->n_experts;
    const double chance = cells * r->dead_probability;
    struct sc_buf *b = &p->c->out.buf;

    sc_buf_printf(b,
                  "\n%llu of %.0f experts w%s never chosen; routers that choose by chance would\n",
                  (unsigned long long)r->dead, cells, r->dead == 1 ? "as" : "ere");
    sc_buf_puts(b, "leave out ");
    sc_buf_printf(b, chance < 100 ? "%.3g" : "%.0f", chance);
    sc_buf_printf(b, ", each with probability %.2g after %llu token%s\n\n", r->dead_probability,
                  (unsigned long long)r->n_tokens, plural(r->n_tokens));
    sc_out_settle(&p->c->out);
}

static void put_outputs(struct sc_moe_probe *p, const struct sc_field *o)
{
    const struct sc_routing *r = &p->routing;
    struct sc_out *out = &p->c->out;

    if (r->n_super) {
        sc_buf_printf(&out->buf, "%zu super expert%s\n\n", r->n_super, plural(r->n_super));
        sc_out_settle(out);
    } else {
        sc_out_puts(out, "no super expert: the largest outputs of experts are\n\n");
    }
    sc_report_table(out, sc_find_table(o, "outputs"), &p->c->term);
}

static void put_drops(struct sc_moe_probe *p, const struct sc_field *o)
{
    const struct sc_routing_drops *d = &p->drops;
    struct sc_out *out = &p->c->out;

    if (!d->n) {
        sc_out_puts(out, "\nno expert was dropped: none is super\n");
        return;
    }
    sc_buf_printf(&out->buf, "\nwithout experts, %s; on %zu token%s",
                  d->reroute ? "others in their place" : "their part left out", d->n_tokens,
                  plural(d->n_tokens));
    if (d->n_tokens > 1)
        sc_buf_printf(&out->buf, ", where the model has an NLL of %.4f nats", d->nll);
    sc_out_puts(out, "\n\n");
    sc_report_table(out, sc_find_table(sc_find_field(o, "drops"), "list"), &p->c->term);
}

int sc_moe_probe_put(struct sc_moe_probe *p, const struct sc_field *root, struct sc_error *e)
{
    struct sc_cli *c = p->c;
    const struct sc_routing *r = &p->routing;
    const struct sc_field *o = sc_find_field(root, "routing");

    if (!p->ran)
        return 0;
    sc_buf_printf(&c->out.buf, "%s%llu token%s, %zu layer%s, %u of %u experts for each token\n\n",
                  c->set.no_maps ? "" : "\n", (unsigned long long)r->n_tokens, plural(r->n_tokens),
                  r->n_layers, plural(r->n_layers), r->per_token, r->n_experts);
    sc_out_settle(&c->out);
    TRY(put_map(p, e));
    sc_out_putc(&c->out, '\n');
    sc_report_table(&c->out, sc_find_table(o, "layers"), &c->term);
    put_summary(p);
    put_outputs(p, o);
    if (c->set.pairs && r->n_pairs) {
        sc_out_puts(&c->out, "\nchosen together more than by chance\n\n");
        sc_report_table(&c->out, sc_find_table(o, "pairs"), &c->term);
    }
    if (c->set.drop)
        put_drops(p, o);
    if (c->set.trace) {
        sc_out_putc(&c->out, '\n');
        sc_report_table(&c->out, sc_find_table(o, "trace"), &c->term);
    }
    return 0;
}
