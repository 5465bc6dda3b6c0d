/* SPDX-License-Identifier: Apache-2.0 */
/* experts_judge: which experts are dead, copies, or stand out.
 *
 * An outlier is as far from the median of its layer as eight times the spread of the others (median
 * of distances, times 1.4826, which is the standard deviation of a normal distribution) and of what
 * chance alone does to the root mean square of n values (1 / sqrt(2n) of it), and by a fifth of the
 * median: experts of a trained model differ by a few percent. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/experts_parts.h"

#define SPREADS 8.0
#define SHARE   0.2

const char *const sc_expert_problems[SC_EXPERT_PROBLEMS + 1] = {
    "dead", "unrouted", "duplicate", "outlier", "broken", "missing", NULL};

struct judging {
    struct sc_experts *x;
    size_t cap;
    double *scratch; /* (2 x n_experts) */
    struct sc_error *e;
    int code;
};

static void tell(struct judging *j, const struct sc_expert_finding *f)
{
    if (j->code == 0)
        j->code =
            sc_grow(&j->x->findings, &j->cap, j->x->n_findings + 1, sizeof *j->x->findings, j->e);
    if (j->code == 0)
        j->x->findings[j->x->n_findings++] = *f;
}

static const struct sc_expert_figures *cell(const struct judging *j, size_t at, unsigned part,
                                            uint32_t expert)
{
    return &j->x->layers[at].cells[part * j->x->n_experts + expert];
}

static void judge_values(struct judging *j, uint32_t at, unsigned part, uint32_t expert,
                         bool others)
{
    const struct sc_expert_figures *f = cell(j, at, part, expert);
    struct sc_expert_finding finding = {.at = at, .expert = expert, .part = (uint8_t)part};

    if (!f->known) {
        finding.problem = SC_EXPERT_MISSING;
        if (others)
            tell(j, &finding);
        return;
    }
    if (f->count && f->zeros == f->count) {
        finding.problem = part == SC_EXPERT_ROUTER ? SC_EXPERT_UNROUTED : SC_EXPERT_DEAD;
        tell(j, &finding);
    } else if (f->nonfinite) {
        finding.problem = SC_EXPERT_BROKEN;
        tell(j, &finding);
    }
}

static void judge_spread(struct judging *j, uint32_t at, unsigned part)
{
    const uint32_t n = j->x->n_experts;
    double *v = j->scratch;
    size_t known = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct sc_expert_figures *f = cell(j, at, part, i);
        if (f->known && f->stat[SC_EXPERT_RMS] > 0)
            v[known++] = f->stat[SC_EXPERT_RMS];
    }
    if (known < 4)
        return;
    const double median = sc_select(v, known, known / 2);
    for (size_t i = 0; i < known; i++)
        v[i] = fabs(v[i] - median);
    const double spread = 1.4826 * sc_select(v, known, known / 2);
    for (uint32_t i = 0; i < n; i++) {
        const struct sc_expert_figures *f = cell(j, at, part, i);
        const double rms = f->stat[SC_EXPERT_RMS], far = fabs(rms - median);
        const double chance = f->count ? median / sqrt(2 * (double)f->count) : 0;
        if (f->known && rms > 0 && far > SPREADS * (spread + chance) && far > SHARE * median)
            tell(j, &(struct sc_expert_finding){SC_EXPERT_OUTLIER, at, i, (uint8_t)part, 0, rms,
                                                median});
    }
}

static bool same(const struct judging *j, uint32_t at, uint32_t a, uint32_t b)
{
    bool any = false;

    for (unsigned part = 0; part < SC_EXPERT_ROUTER; part++) {
        const struct sc_expert_figures *x = cell(j, at, part, a), *y = cell(j, at, part, b);
        if (x->known != y->known)
            return false;
        if (!x->known)
            continue;
        if (x->content != y->content || x->count != y->count || x->zeros != y->zeros ||
            x->zeros == x->count)
            return false;
        any = true;
    }
    return any;
}

/* Among experts that are there: numbers may have long gaps. */
static void judge_copies(struct judging *j, uint32_t at)
{
    uint32_t *list = sc_alloc((j->x->n_experts + (size_t)1) * sizeof *list);
    size_t n = 0;

    if (!list) {
        j->code = sc_fail_memory(j->e);
        return;
    }
    for (uint32_t i = 0; i < j->x->n_experts; i++) {
        bool known = false;
        for (unsigned part = 0; part < SC_EXPERT_ROUTER && !known; part++)
            known = cell(j, at, part, i)->known;
        if (known)
            list[n++] = i;
    }
    for (size_t to = 1; to < n; to++)
        for (size_t from = 0; from < to; from++) {
            const uint32_t i = list[to], k = list[from];
            if (same(j, at, i, k)) {
                tell(j, &(struct sc_expert_finding){.problem = SC_EXPERT_DUPLICATE,
                                                    .at = at,
                                                    .expert = i,
                                                    .part = SC_EXPERT_PARTS,
                                                    .other = k});
                break;
            }
        }
    free(list);
}

int sc_experts_judge(struct sc_experts *x, struct sc_error *e)
{
    struct judging j = {.x = x, .e = e};

    j.scratch = sc_alloc((x->n_experts + (size_t)1) * sizeof *j.scratch);
    if (!j.scratch)
        return sc_fail_memory(e);
    for (uint32_t at = 0; at < x->n_layers; at++) {
        for (unsigned part = 0; part < SC_EXPERT_PARTS; part++) {
            bool others = false;
            for (uint32_t i = 0; i < x->n_experts && !others; i++)
                others = cell(&j, at, part, i)->known;
            for (uint32_t i = 0; i < x->n_experts; i++)
                judge_values(&j, at, part, i, others && !x->unread);
            judge_spread(&j, at, part);
        }
        judge_copies(&j, at);
    }
    free(j.scratch);
    return j.code;
}

void sc_expert_sentence(const struct sc_experts *x, const struct sc_expert_finding *f,
                        struct sc_buf *out)
{
    const char *part = f->part < SC_EXPERT_PARTS ? sc_expert_parts[f->part] : "";

    sc_buf_printf(out, "layer %d, expert %u", (int)x->layers[f->at].layer, f->expert);
    switch (f->problem) {
    case SC_EXPERT_DEAD:
        sc_buf_printf(out, ": %s holds nothing but zeros", part);
        break;
    case SC_EXPERT_UNROUTED:
        sc_buf_puts(out, ": its row of the router holds nothing but zeros");
        break;
    case SC_EXPERT_DUPLICATE:
        sc_buf_printf(out, ": the same weights as expert %u", f->other);
        break;
    case SC_EXPERT_OUTLIER:
        sc_buf_printf(out, ": %s has a root mean square of %.4g, the layer's median is %.4g", part,
                      f->value, f->median);
        break;
    case SC_EXPERT_BROKEN:
        sc_buf_printf(out, ": %s holds NaN or infinity", part);
        break;
    case SC_EXPERT_MISSING:
        sc_buf_printf(out, ": it has no %s, others of the layer do", part);
        break;
    case SC_EXPERT_PROBLEMS:
        break;
    }
}
