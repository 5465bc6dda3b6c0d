/* SPDX-License-Identifier: Apache-2.0 */
/* moe_probe: from a text to whom its tokens are sent.
 *
 *     frequency, share of tokens: 0 to 0.4117     then a map, a row for each layer
 *     LAYER   EVEN  BY WEIGHT   SURE  MAX/MEAN    CV  BY CHANCE  UNUSED  BUSIEST   WEIGHT
 *         0  0.981      0.979  0.104      1.43  0.27       0.16       0        3   17.2 % */
#include "cli/moe_probe.h"

#include <stdlib.h>
#include <string.h>

#include "analyze/activations.h"
#include "analyze/experts.h"
#include "cli/expert_map.h"
#include "hub/hub.h"

enum { MAX_URL_TEXT = 16 << 20 };

bool sc_moe_probe_wanted(const struct sc_cli *c)
{
    const struct sc_settings *s = &c->set;

    return s->probe || s->no_maps || s->trace || s->pairs || s->text || s->text_file ||
           s->text_url || s->token_ids || s->window || s->max_windows;
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
    return 0;
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
                                         .trace = s->trace,
                                         .progress = show_progress};

    sc_progress_start(p->c, 0);
    const int code = sc_routing_measure(p->forward, &o, &p->routing, e);
    (void)sc_progress_end();
    return code;
}

int sc_moe_probe_run(struct sc_moe_probe *p, struct sc_cli *c, const struct sc_model *m,
                     struct sc_pool *pool, struct sc_error *e)
{
    p->c = c;
    if (!sc_moe_probe_wanted(c))
        return 0;
    int code = sc_forward_open(m, &p->forward, e);
    if (code == 0)
        code = read_tokens(p, m, e);
    if (code == 0)
        code = measure(p, pool, e);
    p->ran = code == 0;
    if (code < 0)
        p->why = *e;
    return code;
}

void sc_moe_probe_close(struct sc_moe_probe *p)
{
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
                                          .trace = p->c->set.trace};
    struct sc_field *o = sc_analyze_routing(d, into, &x);
    sc_analyze_forward(d, o, p->forward);
    struct sc_tokens_input read = p->tokens;
    read.n = (size_t)SC_MIN(p->routing.n_tokens, (uint64_t)read.n);
    sc_tokens_input_describe(&read, d, o);
}

static int put_map(struct sc_moe_probe *p, enum sc_routing_stat stat, const char *what,
                   struct sc_error *e)
{
    const struct sc_routing *r = &p->routing;
    const size_t n = r->n_layers * r->n_experts;
    struct sc_out *o = &p->c->out;
    float *map = sc_alloc(n * sizeof *map);
    double low, high;
    int code = 0;

    if (!map)
        return sc_fail_memory(e);
    sc_routing_map(r, stat, map);
    if (sc_experts_norm(map, n, (enum sc_expert_norm)p->c->set.norm, &low, &high)) {
        sc_buf_printf(&o->buf, "%s: %.4g to %.4g\n", what, low, high);
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
    struct sc_buf *b = &p->c->out.buf;

    sc_buf_printf(b, "\n%llu of %.0f experts w%s never chosen", (unsigned long long)r->dead, cells,
                  r->dead == 1 ? "as" : "ere");
    sc_buf_printf(b,
                  "; routers that choose by chance would leave out %.3g (each with probability "
                  "%.2g after %llu token%s)\n",
                  cells * r->dead_probability, r->dead_probability, (unsigned long long)r->n_tokens,
                  plural(r->n_tokens));
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
    TRY(put_map(p, SC_ROUTING_FREQUENCY, "frequency, share of tokens", e));
    TRY(put_map(p, SC_ROUTING_WEIGHT, "share of the layer's weight", e));
    sc_out_putc(&c->out, '\n');
    sc_report_table(&c->out, sc_find_table(o, "layers"), &c->term);
    put_summary(p);
    put_outputs(p, o);
    if (c->set.pairs && r->n_pairs) {
        sc_out_puts(&c->out, "\nchosen together more than by chance\n\n");
        sc_report_table(&c->out, sc_find_table(o, "pairs"), &c->term);
    }
    if (c->set.trace) {
        sc_out_putc(&c->out, '\n');
        sc_report_table(&c->out, sc_find_table(o, "trace"), &c->term);
    }
    return 0;
}
