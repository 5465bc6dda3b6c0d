/* SPDX-License-Identifier: Apache-2.0 */
/* experts_find: which values of which tensors are which expert's.
 *
 * By canonical names (model/names_canonical.c): layers.L.mlp.experts.E.up_proj.weight of single
 * tensors, layers.L.mlp.experts.up_proj of stacks, gate_up_proj of both in one, mlp.gate of the
 * router, mlp.shared_expert. How gate and up share a stack follows from the hidden size: rows where
 * the last dimension is the hidden size, else columns; gpt-oss takes turns. */
#include <stdlib.h>
#include <string.h>

#include "analyze/experts_parts.h"

struct place {
    int32_t layer, expert; /* -1: stacked */
    uint8_t tower;
    uint8_t part; /* enum sc_expert_part; GATE with `both` */
    bool both, shared;
};

static const struct {
    const char *name;
    uint8_t part;
    bool both;
} words[] = {{"gate_proj", SC_EXPERT_GATE, false},
             {"up_proj", SC_EXPERT_UP, false},
             {"down_proj", SC_EXPERT_DOWN, false},
             {"gate_up_proj", SC_EXPERT_GATE, true}};

static bool cut_front(struct sc_str *s, const char *word)
{
    const size_t n = strlen(word);

    if (s->n < n || memcmp(s->p, word, n) != 0)
        return false;
    *s = sc_str(s->p + n, s->n - n);
    return true;
}

static bool is_matrix(struct sc_str rest, struct place *out)
{
    if (sc_str_ends(rest, ".weight"))
        rest.n -= 7;
    for (size_t i = 0; i < SC_COUNT(words); i++)
        if (sc_str_is(rest, words[i].name)) {
            out->part = words[i].part;
            out->both = words[i].both;
            return true;
        }
    return false;
}

/* What a name behind "layers.N." says. */
static bool read_name(struct sc_str rest, struct place *out)
{
    if (sc_str_is(rest, "mlp.gate.weight")) {
        out->part = SC_EXPERT_ROUTER;
        return true;
    }
    if (sc_str_is(rest, "mlp.shared_expert_gate.weight")) {
        out->part = SC_EXPERT_ROUTER;
        return out->shared = true;
    }
    if (cut_front(&rest, "mlp.shared_expert."))
        return (out->shared = true) && is_matrix(rest, out);
    if (!cut_front(&rest, "mlp.experts."))
        return false;
    size_t digits = 0;
    while (digits < rest.n && rest.p[digits] >= '0' && rest.p[digits] <= '9')
        digits++;
    if (digits && digits < rest.n && rest.p[digits] == '.')
        rest = sc_str(rest.p + digits + 1, rest.n - digits - 1);
    return is_matrix(rest, out);
}

static int find_place(const struct sc_tensor *t, struct sc_buf *name, struct place *out)
{
    *out = (struct place){.layer = t->layer, .expert = t->expert, .tower = t->tower};
    if (t->layer < 0)
        return 0;
    name->n = 0;
    sc_canonical_name(sc_tensor_name(t), name);
    if (name->failed)
        return SCRUPLE_EMEMORY;
    const char *rest = name->n ? strstr(name->p, "layers.") : NULL;
    if (!rest)
        return 0;
    rest += 7;
    while (*rest >= '0' && *rest <= '9')
        rest++;
    return *rest == '.' && read_name(sc_strz(rest + 1), out);
}

/* ---------------------------------------------------------------------------------- pieces --- */

static enum sc_expert_cut cut_of(const struct sc_model *m, const struct sc_tensor *t, bool both)
{
    const uint64_t hidden = m->config.hidden, last = t->rank ? t->shape[t->rank - 1] : 0;
    const char *type = m->config.model_type;
    const bool turns = type && strcmp(type, "gpt_oss") == 0;
    const bool rows = !hidden || last == hidden;

    if (!both)
        return SC_CUT_WHOLE;
    if (turns)
        return rows ? SC_CUT_EVEN_ROWS : SC_CUT_EVEN_COLUMNS;
    return rows ? SC_CUT_ROWS : SC_CUT_COLUMNS;
}

static int add(struct sc_expert_pieces *out, const struct sc_expert_piece *p, struct sc_error *e)
{
    TRY(sc_grow(&out->p, &out->cap, out->n + 1, sizeof *out->p, e));
    out->p[out->n++] = *p;
    return 0;
}

/* A tensor becomes as many pieces as it holds experts. `at` is the layer's number until layers are
 * sorted. */
static int add_pieces(const struct sc_model *m, uint32_t tensor, const struct place *at,
                      struct sc_experts *x, struct sc_expert_pieces *out, struct sc_error *e)
{
    const struct sc_tensor *t = &m->tensors[tensor];
    const bool router = at->part == SC_EXPERT_ROUTER && !at->shared;
    const bool stacked = !at->shared && (router || (at->expert < 0 && t->rank >= 3));
    const uint64_t n = stacked ? t->shape[0] : 1;

    if (!t->parameters || !t->rank || (!stacked && !at->shared && at->expert < 0) ||
        n > UINT32_C(1) << 20)
        return 0;
    struct sc_expert_piece p = {.tensor = tensor,
                                .at = (uint32_t)at->tower << 24 | (uint32_t)at->layer,
                                .part = at->part,
                                .cut = (uint8_t)cut_of(m, t, at->both)};
    p.cols = t->rank > 1 ? t->shape[t->rank - 1] : t->parameters / n;
    p.rows = t->parameters / n / p.cols;
    for (uint64_t i = 0; i < n; i++) {
        p.expert = at->shared ? SC_NO_NODE : stacked ? (uint32_t)i : (uint32_t)at->expert;
        p.first = i * p.rows * p.cols;
        if (!at->shared)
            x->n_experts = SC_MAX(x->n_experts, p.expert + 1);
        TRY(add(out, &p, e));
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- layers --- */

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Layers that have experts; pieces then know their position. */
static int make_layers(struct sc_experts *x, struct sc_expert_pieces *pieces, struct sc_error *e)
{
    uint32_t *numbers = sc_calloc(pieces->n + 1, sizeof *numbers);
    size_t n = 0, kept = 0;

    if (!numbers)
        return sc_fail_memory(e);
    for (size_t i = 0; i < pieces->n; i++)
        if (pieces->p[i].expert != SC_NO_NODE && pieces->p[i].part != SC_EXPERT_ROUTER)
            numbers[n++] = pieces->p[i].at;
    qsort(numbers, n, sizeof *numbers, by_number);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || numbers[i] != numbers[i - 1])
            numbers[x->n_layers++] = numbers[i];
    x->layers = SC_ARENA_NEW(&x->arena, struct sc_expert_layer, SC_MAX(x->n_layers, (size_t)1));
    for (size_t i = 0; x->layers && i < x->n_layers; i++)
        x->layers[i] = (struct sc_expert_layer){.layer = (int32_t)(numbers[i] & 0xffffff),
                                                .tower = (uint8_t)(numbers[i] >> 24)};
    for (size_t i = 0; i < pieces->n; i++) {
        const uint32_t *hit =
            bsearch(&pieces->p[i].at, numbers, x->n_layers, sizeof *numbers, by_number);
        if (!hit)
            continue; /* the gate of a dense layer, a router without experts */
        pieces->p[kept] = pieces->p[i];
        pieces->p[kept++].at = (uint32_t)(hit - numbers);
    }
    pieces->n = kept;
    free(numbers);
    return x->layers ? 0 : sc_fail_memory(e);
}

int sc_experts_find(const struct sc_model *m, const struct sc_filter *filter, struct sc_experts *x,
                    struct sc_expert_pieces *out, struct sc_error *e)
{
    struct sc_buf name = {0};
    int code = 0;

    for (uint32_t i = 0; i < m->n_tensors && code == 0; i++) {
        struct place at;
        if (m->tensors[i].layer >= 1 << 24 ||
            !sc_filter_match(filter, sc_tensor_name(&m->tensors[i])))
            continue;
        const int found = find_place(&m->tensors[i], &name, &at);
        if (found < 0)
            code = sc_fail_memory(e);
        else if (found)
            code = add_pieces(m, i, &at, x, out, e);
    }
    sc_buf_clear(&name);
    return code == 0 ? make_layers(x, out, e) : code;
}
