/* SPDX-License-Identifier: Apache-2.0 */
/* pair_parts: tensors that one side has fused or stacked, against what the other has of them.
 *
 *     qkv_proj            q_proj, k_proj, v_proj
 *     gate_up_proj        gate_proj, up_proj
 *     experts.gate_proj   experts.0.gate_proj, experts.1.gate_proj, ...
 *     experts.gate_up_proj   the same of both, or experts.gate_proj and experts.up_proj
 *     kv_b_proj           k_b (transposed), v_b: heads of DeepSeek
 *
 * Parts are rows of the whole, so nothing is copied: each is a pair of its own. A whole is taken
 * apart only when all of its parts are there, with shapes that fit. */
#include "model/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tensor that is to be taken apart. */
struct whole {
    struct sc_pairing *p;
    unsigned side; /* its own; parts are on the other */
    uint32_t tensor;
    const struct sc_tensor *t;
    struct sc_str prefix, suffix; /* "layers.3.", ".weight" */
    size_t first;                 /* its first pair, should it have to be given up */
};

static uint32_t find_part(const struct whole *w, const char *module)
{
    char name[256];
    const int n = snprintf(name, sizeof name, "%.*s%s%.*s", (int)w->prefix.n, w->prefix.p, module,
                           (int)w->suffix.n, w->suffix.p);
    const uint32_t found = n > 0 && (size_t)n < sizeof name
                               ? sc_pairing_find(w->p, !w->side, sc_str(name, (size_t)n))
                               : SC_NO_NODE;

    /* One that has a mate of its shape is no part. */
    if (found == SC_NO_NODE || w->p->parted[!w->side][found] ||
        w->p->mate[!w->side][found] != SC_NO_NODE)
        return SC_NO_NODE;
    return found;
}

static const struct sc_tensor *part_tensor(const struct whole *w, uint32_t part)
{
    return &w->p->model[!w->side]->tensors[part];
}

/* Part `part` is `how` of the whole. turn: then the part is transposed, in matrices that have the
 * whole's columns as rows. */
static int put_part(struct whole *w, uint32_t part, struct sc_arrange_step how, bool turned,
                    uint64_t height, const char *words)
{
    struct sc_pairing *p = w->p;
    struct sc_arrangement mine = {.n = 0};
    const struct sc_arrangement *other = NULL;
    const char *heads = NULL;

    if (turned)
        mine.step[mine.n++] = (struct sc_arrange_step){
            .kind = SC_STEP_TURN, .cols = w->t->shape[w->t->rank - 1], .height = height};
    mine.step[mine.n++] = how;
    if (p->gguf == (int)!w->side)
        TRY(sc_undo_heads(p, part_tensor(w, part), w->t, &other, &heads));
    TRY(sc_grow(&p->parts, &p->parts_cap, p->n_parts + 1, sizeof *p->parts, p->e));
    const struct sc_arrangement *kept = sc_undo_keep(p, &mine);
    char text[256];
    snprintf(text, sizeof text, "%s%s%s", words, heads ? "; " : "", heads ? heads : "");
    const char *copy = sc_arena_copy(p->kept, text, strlen(text));
    if (!kept || !copy)
        return sc_fail_memory(p->e);
    p->parts[p->n_parts++] = (struct sc_pair){
        .a = w->side == SIDE_A ? w->tensor : part,
        .b = w->side == SIDE_A ? part : w->tensor,
        .status = SC_PAIR_BOTH,
        .rule = SC_PAIR_BY_PART,
        .how_a = w->side == SIDE_A ? kept : other,
        .how_b = w->side == SIDE_A ? other : kept,
        .transform = copy,
    };
    return 0;
}

static void settle(struct whole *w)
{
    struct sc_pairing *p = w->p;
    const uint32_t mate = p->mate[w->side][w->tensor];

    if (p->n_parts == w->first)
        return;
    if (mate != SC_NO_NODE) {
        p->mate[w->side][w->tensor] = SC_NO_NODE;
        p->mate[!w->side][mate] = SC_NO_NODE;
    }
    for (size_t i = w->first; i < p->n_parts; i++) {
        p->parted[SIDE_A][p->parts[i].a] = true;
        p->parted[SIDE_B][p->parts[i].b] = true;
    }
}

static struct sc_arrange_step rows_of(uint64_t cols, uint64_t first, uint64_t rows)
{
    return (struct sc_arrange_step){
        .kind = SC_STEP_ROWS, .cols = cols, .first = first, .n = {1, 1, rows}, .stride = {0, 0, 1}};
}

/* ------------------------------------------------------------------------------ one by one --- */
/* Parts whose rows follow each other. */
static int split_in_turn(struct whole *w, const char *const *modules, size_t n, const char *word)
{
    const uint64_t cols = sc_pairing_cols(w->t), rows = sc_pairing_rows(w->t);
    uint32_t part[3];
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        part[i] = find_part(w, modules[i]);
        if (part[i] == SC_NO_NODE || sc_pairing_cols(part_tensor(w, part[i])) != cols ||
            part_tensor(w, part[i])->rank != w->t->rank)
            return 0;
        sum = sc_add_up(sum, sc_pairing_rows(part_tensor(w, part[i])));
    }
    if (sum != rows)
        return 0;
    sum = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t take = sc_pairing_rows(part_tensor(w, part[i]));
        char words[96];
        snprintf(words, sizeof words, "rows %llu to %llu of a fused %s", (unsigned long long)sum,
                 (unsigned long long)(sum + take - 1), word);
        TRY(put_part(w, part[i], rows_of(cols, sum, take), false, 0, words));
        sum += take;
    }
    return 0;
}

/* Groups of heads, each with its k and its v: [groups, heads + 2, d, cols]. */
static int split_groups(struct whole *w, const char *const *modules)
{
    uint64_t heads;
    const uint64_t groups = sc_undo_kv_heads(w->p, &heads);
    const uint64_t cols = sc_pairing_cols(w->t), rows = sc_pairing_rows(w->t);

    if (!groups || !heads || heads % groups != 0 || rows == 0 ||
        rows % (groups * (heads / groups + 2)) != 0)
        return 0;
    const uint64_t q = heads / groups, d = rows / (groups * (q + 2)), group = (q + 2) * d;
    const uint64_t first[] = {0, q * d, (q + 1) * d}, take[] = {q * d, d, d};
    uint32_t part[3];
    for (size_t i = 0; i < 3; i++) {
        part[i] = find_part(w, modules[i]);
        if (part[i] == SC_NO_NODE || sc_pairing_cols(part_tensor(w, part[i])) != cols ||
            sc_pairing_rows(part_tensor(w, part[i])) != groups * take[i])
            return 0;
    }
    for (size_t i = 0; i < 3; i++) {
        char words[96];
        snprintf(words, sizeof words, "its rows of %llu groups of heads",
                 (unsigned long long)groups);
        TRY(put_part(w, part[i],
                     (struct sc_arrange_step){.kind = SC_STEP_ROWS,
                                              .cols = cols,
                                              .first = first[i],
                                              .n = {1, groups, take[i]},
                                              .stride = {0, group, 1}},
                     false, 0, words));
    }
    return 0;
}

/* Falcon: both are fused, in another order. Three pairs of the two tensors. */
static int split_both(struct whole *w)
{
    struct sc_pairing *p = w->p;
    const uint32_t mate = p->mate[w->side][w->tensor];
    uint64_t heads;
    const uint64_t groups = sc_undo_kv_heads(p, &heads);
    const uint64_t cols = sc_pairing_cols(w->t), rows = sc_pairing_rows(w->t);

    if (mate == SC_NO_NODE || !groups || heads % groups != 0 || groups == 1 || rows == 0 ||
        rows % (groups * (heads / groups + 2)) != 0 || p->gguf != (int)!w->side ||
        !sc_same_shape(w->t, part_tensor(w, mate)))
        return 0;
    const uint64_t q = heads / groups, d = rows / (groups * (q + 2)), group = (q + 2) * d;
    const uint64_t first[] = {0, q * d, (q + 1) * d}, take[] = {q * d, d, d};
    const uint64_t there[] = {0, heads * d, (heads + groups) * d};
    static const char *const names[] = {"q", "k", "v"};
    for (size_t i = 0; i < 3; i++) {
        char words[96];
        snprintf(words, sizeof words, "%s of %llu groups of heads put back", names[i],
                 (unsigned long long)groups);
        TRY(put_part(w, mate,
                     (struct sc_arrange_step){.kind = SC_STEP_ROWS,
                                              .cols = cols,
                                              .first = first[i],
                                              .n = {1, groups, take[i]},
                                              .stride = {0, group, 1}},
                     false, 0, words));
        struct sc_pair *pair = &p->parts[p->n_parts - 1];
        const struct sc_arrangement slice = {{rows_of(cols, there[i], groups * take[i])}, 1};
        const struct sc_arrangement *kept = sc_undo_keep(p, &slice);
        if (!kept)
            return sc_fail_memory(p->e);
        *(w->side == SIDE_A ? &pair->how_b : &pair->how_a) = kept;
    }
    return 0;
}

static int split_qkv(struct whole *w)
{
    static const char *const modules[] = {"self_attn.q_proj", "self_attn.k_proj",
                                          "self_attn.v_proj"};
    const bool gguf = w->p->gguf == (int)w->side;
    const enum sc_qkv kind = gguf ? SC_QKV_IN_TURN : sc_undo_qkv(w->p, w->t);

    if (kind == SC_QKV_BY_GROUP && w->p->mate[w->side][w->tensor] != SC_NO_NODE)
        return split_both(w);
    return kind == SC_QKV_BY_GROUP  ? split_groups(w, modules)
           : kind == SC_QKV_IN_TURN ? split_in_turn(w, modules, 3, "qkv")
                                    : 0;
}

static int split_gate_up(struct whole *w)
{
    static const char *const modules[] = {"mlp.gate_proj", "mlp.up_proj"};

    return split_in_turn(w, modules, 2, "gate_up");
}

/* --------------------------------------------------------------------------------- experts --- */
/* How the rows of one kind stand in a stack of experts. */
struct stack {
    uint64_t experts, cols, each, of, part; /* rows of one part; parts of an expert; which one */
    bool interleaved, turned;
    uint64_t height; /* of a stored matrix that is transposed */
};

/* Whether the stack can give parts of `rows` x `cols` each. */
static bool fits(struct whole *w, uint64_t rows, uint64_t cols, uint64_t of, struct stack *s)
{
    const struct sc_tensor *t = w->t;
    const bool matrix = t->rank == 3, plain = !sc_undo_turns(w->p, t) || w->p->gguf == (int)w->side;

    if (t->rank < 2 || t->shape[0] == 0 || !sc_mul(rows, of, &(uint64_t){0}))
        return false;
    *s = (struct stack){.experts = t->shape[0], .cols = cols, .each = rows, .of = of};
    s->interleaved = of > 1 && sc_undo_interleaves(w->p);
    if (!matrix)
        return t->rank == 2 && cols == 1 && t->shape[1] == rows * of;
    if (plain && t->shape[1] == rows * of && t->shape[2] == cols)
        return true;
    s->turned = true;
    s->height = t->shape[1];
    return t->shape[2] == rows * of && t->shape[1] == cols;
}

static struct sc_arrange_step step_of(const struct stack *s, uint64_t expert, uint64_t experts)
{
    const uint64_t whole = s->each * s->of;

    return (struct sc_arrange_step){
        .kind = SC_STEP_ROWS,
        .cols = s->cols,
        .first = expert * whole + (s->interleaved ? s->part : s->part * s->each),
        .n = {1, experts, s->each},
        .stride = {0, whole, s->interleaved ? s->of : 1},
    };
}

/* Against experts that are stored one by one. */
static int split_experts(struct whole *w, const char *const *modules, size_t of)
{
    struct stack s;
    char name[64];

    if (w->t->rank < 2)
        return 0;
    for (int pass = 0; pass < 2; pass++)
        for (uint64_t e = 0; e < w->t->shape[0]; e++)
            for (size_t i = 0; i < of; i++) {
                snprintf(name, sizeof name, "mlp.experts.%llu.%s", (unsigned long long)e,
                         modules[i]);
                const uint32_t part = find_part(w, name);
                const struct sc_tensor *t = part == SC_NO_NODE ? NULL : part_tensor(w, part);
                if (!t || !fits(w, sc_pairing_rows(t), sc_pairing_cols(t), of, &s))
                    return 0;
                if (pass == 0)
                    continue;
                s.part = i;
                snprintf(name, sizeof name, "expert %llu of a stack%s", (unsigned long long)e,
                         of > 1 ? ", fused" : "");
                TRY(put_part(w, part, step_of(&s, e, 1), s.turned, s.height, name));
            }
    return 0;
}

/* Gate and up in one stack, against a stack of each. */
static int split_stack(struct whole *w, const char *const *modules)
{
    struct stack s[2];
    uint32_t part[2];
    char name[64];

    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "mlp.experts.%s", modules[i]);
        part[i] = find_part(w, name);
        const struct sc_tensor *t = part[i] == SC_NO_NODE ? NULL : part_tensor(w, part[i]);
        if (!t || t->rank != w->t->rank || t->rank < 2 || t->shape[0] != w->t->shape[0] ||
            t->shape[0] == 0 || !fits(w, t->shape[1], t->rank > 2 ? t->shape[2] : 1, 2, &s[i]))
            return 0;
        s[i].part = i;
    }
    for (size_t i = 0; i < 2; i++)
        TRY(put_part(w, part[i], step_of(&s[i], 0, s[i].experts), s[i].turned, s[i].height,
                     s[i].interleaved ? "every second row of gate_up of the experts"
                                      : "half of gate_up of the experts"));
    return 0;
}

/* ------------------------------------------------------------------------------------ MLA --- */
/* [heads (nope + v), rank] against k_b [heads, rank, nope] and v_b [heads, v, rank]. */
static int split_kv_b(struct whole *w)
{
    const uint32_t k = find_part(w, "attn_k_b"), v = find_part(w, "attn_v_b");
    const struct sc_tensor *tk = k == SC_NO_NODE ? NULL : part_tensor(w, k);
    const struct sc_tensor *tv = v == SC_NO_NODE ? NULL : part_tensor(w, v);

    if (!tk || !tv || tk->rank != 3 || tv->rank != 3 || w->t->rank != 2)
        return 0;
    const uint64_t heads = tk->shape[0], cols = w->t->shape[1], nope = tk->shape[2],
                   own = tv->shape[1], each = sc_add_up(nope, own);
    uint64_t rows;
    if (tv->shape[0] != heads || tk->shape[1] != cols || tv->shape[2] != cols || !nope || !own ||
        !sc_mul(heads, each, &rows) || rows != w->t->shape[0])
        return 0;
    const struct sc_arrange_step rows_k = {.kind = SC_STEP_ROWS,
                                           .cols = cols,
                                           .n = {1, heads, nope},
                                           .stride = {0, each, 1}},
                                 rows_v = {.kind = SC_STEP_ROWS,
                                           .cols = cols,
                                           .first = nope,
                                           .n = {1, heads, own},
                                           .stride = {0, each, 1}};
    TRY(put_part(w, k, rows_k, false, 0, "k of each head, transposed"));
    struct sc_pair *pair = &w->p->parts[w->p->n_parts - 1];
    const struct sc_arrangement turned = {
        {rows_k, {.kind = SC_STEP_TURN, .cols = cols, .height = nope}}, 2};
    const struct sc_arrangement *kept = sc_undo_keep(w->p, &turned);
    if (!kept)
        return sc_fail_memory(w->p->e);
    *(w->side == SIDE_A ? &pair->how_a : &pair->how_b) = kept;
    return put_part(w, v, rows_v, false, 0, "v of each head");
}

/* -------------------------------------------------------------------------------- all of it --- */
static int take_apart(struct whole *w, struct sc_str module)
{
    static const char *const both[] = {"gate_proj", "up_proj"};
    static const char *const kinds[] = {"gate_proj", "up_proj", "down_proj", "gate_up_proj"};

    w->first = w->p->n_parts;
    if (sc_str_is(module, "self_attn.qkv_proj"))
        TRY(split_qkv(w));
    else if (sc_str_is(module, "mlp.gate_up_proj"))
        TRY(split_gate_up(w));
    else if (sc_str_is(module, "self_attn.kv_b_proj"))
        TRY(split_kv_b(w));
    else if (sc_str_is(module, "mlp.experts.gate_up_proj")) {
        TRY(split_stack(w, both));
        if (w->first == w->p->n_parts)
            TRY(split_experts(w, both, 2));
    }
    for (size_t i = 0; i < SC_COUNT(kinds) && w->first == w->p->n_parts; i++)
        if (sc_str_starts(module, "mlp.experts.") &&
            sc_str_is(sc_str(module.p + 12, module.n - 12), kinds[i]))
            TRY(split_experts(w, &kinds[i], 1));
    settle(w);
    return 0;
}

/* A mate of another shape is none; one of the same shape may still stand in another order. */
static bool has_mate(const struct sc_pairing *p, unsigned side, uint32_t i)
{
    const uint32_t mate = p->mate[side][i];
    const uint32_t a = side == SIDE_A ? i : mate;

    if (mate == SC_NO_NODE)
        return false;
    const struct sc_tensor *t = &p->model[side]->tensors[i];
    if (p->gguf == (int)!side && sc_undo_qkv(p, t) == SC_QKV_BY_GROUP)
        return false;
    return p->undone[a].words || sc_same_shape(t, &p->model[!side]->tensors[mate]);
}

/* Stacks that stand in another order: experts that both have stacked, one of them transposed. */
static int undo_turned(struct sc_pairing *p, uint32_t i)
{
    const uint32_t mate = p->mate[SIDE_A][i];
    const struct sc_tensor *a = &p->model[SIDE_A]->tensors[i];

    if (mate == SC_NO_NODE || p->undone[i].words || p->gguf < 0)
        return 0;
    const struct sc_tensor *b = &p->model[SIDE_B]->tensors[mate];
    const struct sc_tensor *other = p->gguf == SIDE_A ? b : a, *gguf = p->gguf == SIDE_A ? a : b;
    if (a->rank != 3 || b->rank != 3 || a->shape[0] != b->shape[0] || a->shape[1] != b->shape[2] ||
        a->shape[2] != b->shape[1] ||
        (gguf->shape[1] == gguf->shape[2] && !sc_undo_turns(p, other)))
        return 0;
    p->undone[i].how[!p->gguf] = sc_undo_keep(
        p, &(struct sc_arrangement){
               {{.kind = SC_STEP_TURN, .cols = other->shape[2], .height = other->shape[1]}}, 1});
    p->undone[i].words = "transposed";
    return p->undone[i].how[!p->gguf] ? 0 : sc_fail_memory(p->e);
}

int sc_pair_parts(struct sc_pairing *p)
{
    for (uint32_t i = 0; i < p->model[SIDE_A]->n_tensors; i++)
        TRY(undo_turned(p, i));
    for (unsigned side = 0; side < SIDES; side++)
        for (uint32_t i = 0; i < p->model[side]->n_tensors; i++) {
            const struct sc_str name = p->canonical[side][i];
            const bool weight = sc_str_ends(name, ".weight"), bias = sc_str_ends(name, ".bias");
            size_t skip = 7;
            if (!sc_str_starts(name, "layers.") || !(weight || bias) || p->parted[side][i] ||
                has_mate(p, side, i))
                continue;
            while (skip < name.n && name.p[skip] != '.')
                skip++;
            const size_t cut = weight ? 7 : 5;
            if (skip + 1 + cut >= name.n)
                continue;
            skip++;
            struct whole w = {.p = p,
                              .side = side,
                              .tensor = i,
                              .t = &p->model[side]->tensors[i],
                              .prefix = sc_str(name.p, skip),
                              .suffix = sc_str(name.p + name.n - cut, cut)};
            TRY(take_apart(&w, sc_str(name.p + skip, name.n - skip - cut)));
        }
    return 0;
}
