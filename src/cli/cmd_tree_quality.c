/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_tree_quality: `tree -c FORMAT`: from options to measured tensors.
 *
 * Owns: which options make which plan, progress, what an interruption means. Does not own: figures
 * and how rows show them (analyze). */
#include <string.h>

#include "cli/cmd_tree.h"

static void tell(void *ctx, const char *sentence)
{
    const struct sc_tree_pricing *p = ctx;

    if (!p->c->set.quiet)
        sc_say(p->c, "note", "%s", sentence);
}

static void show(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    (void)ctx;
    sc_progress_show(
        &(struct sc_progress){.done = done, .total = total, .moved = done, .what = tensor});
}

static int make_plan(struct sc_tree_pricing *p, struct sc_error *e)
{
    const struct sc_words *words = &p->c->set.formats;

    sc_quant_plan_start(&p->plan);
    for (size_t i = 0; i < words->n; i++)
        TRY(sc_quant_formats_add_tree(&p->plan.formats, SC_QUALITY_FORMATS, sc_strz(words->p[i]),
                                      "--format", e));
    return sc_quant_plan_finish(&p->plan, e);
}

static void tell_idle_options(const struct sc_cli *c)
{
    const struct {
        bool idle;
        const char *option;
    } all[] = {{c->set.sample, "--sample"},
               {c->set.recompute, "--recompute"},
               {c->set.no_cache, "--no-cache"}};

    for (size_t i = 0; i < SC_COUNT(all) && !c->set.quiet; i++)
        if (all[i].idle)
            sc_say(c, "note", "%s does nothing without --format", all[i].option);
}

int sc_tree_pricing_start(struct sc_tree_pricing *p, struct sc_cli *c)
{
    const struct sc_open_options oo = sc_cli_open_options(c);
    struct sc_error e = {0};

    p->c = c;
    if (!c->set.formats.n) {
        tell_idle_options(c);
        return 0;
    }
    p->on = true;
    if (make_plan(p, &e) < 0 || sc_hub_env_read(&p->env, oo.hub, &e) < 0)
        return sc_usage_exit(c, &e);
    if (sc_pool_new((unsigned)SC_MIN(c->set.threads, 4096), &p->pool, &e) < 0)
        return sc_fail_exit(c, &e);
    return 0;
}

void sc_tree_pricing_end(struct sc_tree_pricing *p)
{
    if (!p->on)
        return;
    sc_pool_free(p->pool);
    sc_hub_env_clear(&p->env);
}

int sc_tree_price(struct sc_tree_pricing *p, const struct sc_model *m,
                  const struct sc_filter *filter, struct sc_quant **out)
{
    struct sc_cli *c = p->c;
    struct sc_error e = {0};

    *out = NULL;
    if (!p->on)
        return 0;
    const struct sc_quant_options o = {
        .plan = &p->plan,
        .filter = filter,
        .all_tensors = true,
        .whole_numbers = true,
        .sample = c->set.sample,
        .brief = !c->set.json, /* tables show no more than that */
        .pool = p->pool,
        .memory = sc_memory_budget(c->set.memory),
        .cache = c->set.no_cache ? NULL : p->env.cache,
        .recompute = c->set.recompute,
        .cancel = &sc_cancel,
        .progress = show,
        .note = tell,
        .ctx = p,
    };
    sc_progress_start(c, p->env.progress_bars);
    const int code = sc_quant_run(m, &o, out, &e);
    const double seconds = sc_progress_end();
    if (code == SCRUPLE_EINTERRUPTED && *out && (*out)->n) {
        p->interrupted = sc_take_cancel();
        c->whole = true; /* it says itself what is missing */
        tell(p, c->set.sample || c->set.no_cache
                    ? "interrupted: \"-\" stands where nothing was measured"
                    : "interrupted: \"-\" stands where nothing was measured; the next time goes on "
                      "from there");
        return 0;
    }
    if (code < 0)
        return code == SCRUPLE_EUSAGE ? sc_usage_exit(c, &e) : sc_fail_exit(c, &e);
    const struct sc_quant *q = *out;
    if (q->n_unreached)
        p->incomplete = SC_EXIT_NOT_FOUND;
    else if (q->n_unreadable && !p->incomplete)
        p->incomplete = SC_EXIT_INPUT;
    c->whole = true; /* a report of what could be read is kept */
    if (c->set.verbose) {
        char size[32];
        sc_format_bytes(q->bytes_read, size);
        sc_say(c, "note",
               "%zu tensors measured, %zu of them known from an earlier run; %s read in %.1f s",
               q->n_measured, q->n_known, size, seconds);
    }
    return 0;
}

int sc_tree_put_prices(struct sc_cli *c, const struct sc_quant *q, struct sc_error *e)
{
    const struct sc_quant_look look = {.ascii = c->term.ascii};
    struct sc_document d;

    if (!q || !q->n_measured)
        return 0;
    sc_document_start(&d, SC_SCHEMA_QUANT);
    const struct sc_table *t = sc_quant_summary_table(&d, q, &look, e);
    if (t) {
        sc_out_putc(&c->out, '\n');
        sc_report_table(&c->out, t, &c->term);
    }
    const int code = d.failed || !t ? sc_fail_memory(e) : 0;
    sc_document_clear(&d);
    return code;
}
