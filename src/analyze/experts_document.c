/* SPDX-License-Identifier: Apache-2.0 */
/* experts_document: experts as a document: maps, shared experts, what is wrong. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/experts.h"
#include "analyze/figures.h"

static void add_map(struct sc_document *d, struct sc_field *list, const struct sc_experts *x,
                    enum sc_expert_part part, enum sc_expert_stat stat, enum sc_expert_norm norm)
{
    const size_t n = x->n_layers * x->n_experts;
    float *map = sc_alloc((2 * n + 1) * sizeof *map);
    double low, high;

    if (!map) {
        d->failed = true;
        return;
    }
    sc_experts_map(x, part, stat, map);
    memcpy(map + n, map, n * sizeof *map);
    if (sc_experts_norm(map + n, n, norm, &low, &high)) {
        struct sc_field *o = sc_add_object(d, list, NULL);
        sc_add_textz(d, o, "part", sc_expert_parts[part]);
        sc_add_textz(d, o, "stat", sc_expert_stats[stat]);
        sc_add_figure(d, o, "low", low);
        sc_add_figure(d, o, "high", high);
        struct sc_field *rows = sc_add_list(d, o, "values");
        for (size_t l = 0; l < x->n_layers; l++) {
            struct sc_field *row = sc_add_list(d, rows, NULL);
            for (uint32_t i = 0; i < x->n_experts; i++) {
                const struct sc_expert_figures *f = &x->layers[l].cells[part * x->n_experts + i];
                sc_add_figure(d, row, NULL, f->known ? f->stat[stat] : (double)NAN);
            }
        }
    }
    free(map);
}

static void add_shared(struct sc_document *d, struct sc_field *into, const struct sc_experts *x)
{
    struct sc_field *list = sc_add_list(d, into, "shared");

    for (size_t l = 0; l < x->n_layers; l++)
        for (unsigned part = 0; part < SC_EXPERT_PARTS; part++) {
            const struct sc_expert_figures *f = &x->layers[l].shared[part];
            if (!f->known)
                continue;
            struct sc_field *o = sc_add_object(d, list, NULL);
            sc_add_uint(d, o, "layer", (uint64_t)x->layers[l].layer, SC_COL_COUNT);
            sc_add_textz(d, o, "part", sc_expert_parts[part]);
            for (unsigned s = 0; s < SC_EXPERT_STATS; s++)
                sc_add_figure(d, o, sc_expert_stats[s], f->stat[s]);
        }
}

static void add_findings(struct sc_document *d, struct sc_field *into, const struct sc_experts *x)
{
    struct sc_field *list = sc_add_list(d, into, "findings");
    struct sc_buf text = {0};

    for (size_t i = 0; i < x->n_findings; i++) {
        const struct sc_expert_finding *f = &x->findings[i];
        struct sc_field *o = sc_add_object(d, list, NULL);
        text.n = 0;
        sc_expert_sentence(x, f, &text);
        sc_add_textz(d, o, "problem", sc_expert_problems[f->problem]);
        sc_add_uint(d, o, "layer", (uint64_t)x->layers[f->at].layer, SC_COL_COUNT);
        sc_add_uint(d, o, "expert", f->expert, SC_COL_COUNT);
        sc_add_textz(d, o, "part", f->part < SC_EXPERT_PARTS ? sc_expert_parts[f->part] : NULL);
        if (f->problem == SC_EXPERT_DUPLICATE)
            sc_add_uint(d, o, "other", f->other, SC_COL_COUNT);
        else
            sc_add_null(d, o, "other");
        sc_add_textz(d, o, "message", text.failed ? NULL : text.p);
    }
    d->failed |= text.failed;
    sc_buf_clear(&text);
}

void sc_analyze_moe(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                    const struct sc_experts *x, enum sc_expert_norm norm)
{
    struct sc_field *o = sc_add_object(d, into, "experts");
    uint64_t per_layer = 0;

    for (size_t l = 0; l < x->n_layers; l++)
        for (unsigned p = 0; p < SC_EXPERT_ROUTER; p++)
            for (uint32_t i = 0; i < x->n_experts; i++)
                per_layer += x->layers[l].cells[p * x->n_experts + i].count;
    sc_add_uint(d, o, "layers", x->n_layers, SC_COL_COUNT);
    sc_add_uint(d, o, "experts", x->n_experts, SC_COL_COUNT);
    sc_add_uint(d, o, "per_token", m->config.experts_per_token, SC_COL_COUNT);
    sc_add_uint(d, o, "parameters", per_layer, SC_COL_COUNT);
    sc_add_uint(d, o, "unread", x->unread, SC_COL_COUNT);
    struct sc_field *list = sc_add_list(d, into, "layers");
    for (size_t l = 0; l < x->n_layers; l++)
        sc_add_uint(d, list, NULL, (uint64_t)x->layers[l].layer, SC_COL_COUNT);
    sc_add_textz(d, into, "norm", sc_expert_norms[norm]);
    list = sc_add_list(d, into, "maps");
    for (unsigned part = 0; part < SC_EXPERT_PARTS; part++)
        for (unsigned stat = 0; stat < SC_EXPERT_STATS; stat++)
            add_map(d, list, x, part, stat, norm);
    add_shared(d, into, x);
    add_findings(d, into, x);
}
