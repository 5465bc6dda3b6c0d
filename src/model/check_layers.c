/* SPDX-License-Identifier: Apache-2.0 */
/* check_layers: is there one layer that is not like the others?
 *
 *     layers.uneven        a layer lacks a tensor that all others have, or one has another shape
 *
 * Models have layers of several kinds on purpose: the first and the last ones, every sixth, hybrids
 * of attention and state spaces. So this speaks only where all layers between the odd ones at both
 * ends are the same but one, and that one has nothing of its own: it lacks up to MAX_ODD tensors,
 * or has up to MAX_ODD in another shape. How a weight is quantised does not count. */
#include "model/check.h"

#include <inttypes.h>
#include <stdlib.h>

enum { MAX_ODD = 3, MIN_ALIKE = 3, MIN_ALIKE_BETWEEN_ODD_ENDS = 6 };

/* Tensors [first, end) with one prefix: "model.layers.7." */
struct layer {
    struct sc_str stack; /* "model.layers." */
    uint64_t mark;       /* of the names and shapes behind the prefix */
    size_t first, end, prefix;
    uint32_t number;
    uint8_t tower;
};
struct layers {
    struct layer *at;
    size_t n, cap;
};

/* The length of the name up to and with the layer number and its dot; 0: it is not there. */
static size_t prefix_of(const struct sc_tensor *t, size_t *stack)
{
    const struct sc_str name = sc_tensor_name(t);
    uint64_t n;
    for (size_t at = 0, end; at < name.n; at = end + 1) {
        for (end = at; end < name.n && name.p[end] != '.'; end++)
            continue;
        if (end < name.n && sc_str_u64(sc_str(name.p + at, end - at), &n) &&
            n == (uint64_t)(uint32_t)t->layer) {
            *stack = at;
            return end + 1;
        }
    }
    return 0;
}

/* Weights only: scales, masks and buffers come and go with the way a layer was quantised. */
static bool counts(const struct sc_tensor *t)
{
    return t->layer >= 0 && t->tower != SC_TOWER_UNET && t->tower != SC_TOWER_VAE &&
           t->tower != SC_TOWER_PROJECTOR && t->tower != SC_TOWER_MTP &&
           sc_str_ends(sc_tensor_name(t), ".weight");
}

static bool same_shape(const struct sc_tensor *a, const struct sc_tensor *b)
{
    bool same = a->rank == b->rank;
    for (unsigned i = 0; same && i < a->rank; i++)
        same = a->shape[i] == b->shape[i];
    return same;
}

/* Layers of one stack follow each other, as tensors are in natural order. */
static int find_layers(const struct sc_model *m, struct layers *list, struct sc_error *e)
{
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        size_t stack;
        const size_t prefix = counts(t) ? prefix_of(t, &stack) : 0;
        if (prefix == 0)
            continue;
        const struct sc_str in = sc_str(t->name, stack);
        struct layer *l = list->n > 0 ? &list->at[list->n - 1] : NULL;
        if (!l || l->number != (uint32_t)t->layer || !sc_str_eq(l->stack, in)) {
            TRY(sc_pages_grow(true, &list->at, &list->cap, list->n + 1, sizeof list->at[0], e));
            l = &list->at[list->n++];
            *l = (struct layer){.stack = in,
                                .first = i,
                                .prefix = prefix,
                                .tower = t->tower,
                                .number = (uint32_t)t->layer};
        }
        l->end = i + 1;
        l->mark = sc_hash_mix(l->mark, sc_hash(t->name + prefix, t->name_len - prefix));
        if (sc_shape_is_logical(t))
            l->mark = sc_hash_mix(l->mark, sc_hash(t->shape, t->rank * sizeof t->shape[0]));
    }
    return 0;
}

/* The next tensor at or behind i that counts; l->end: none. */
static size_t next_in(const struct sc_model *m, const struct layer *l, size_t i)
{
    while (i < l->end && !counts(&m->tensors[i]))
        i++;
    return i;
}

struct odd {
    const struct sc_tensor *missing, *shape, *other; /* the first of each; other: as it should be */
    unsigned n;
};

/* What `l` lacks of `model`; false: it has something of its own, or too much is different. */
static bool compare(const struct sc_model *m, const struct layer *model, const struct layer *l,
                    struct odd *odd)
{
    *odd = (struct odd){.n = 0};
    size_t j = next_in(m, l, l->first);
    for (size_t i = next_in(m, model, model->first); i < model->end && odd->n <= MAX_ODD;
         i = next_in(m, model, i + 1)) {
        const struct sc_tensor *a = &m->tensors[i], *b = j < l->end ? &m->tensors[j] : NULL;
        if (!b || !sc_str_eq(sc_str(a->name + model->prefix, a->name_len - model->prefix),
                             sc_str(b->name + l->prefix, b->name_len - l->prefix))) {
            odd->missing = odd->missing ? odd->missing : a;
            odd->n++;
            continue;
        }
        if (sc_shape_is_logical(a) && sc_shape_is_logical(b) && !same_shape(a, b)) {
            odd->other = odd->shape ? odd->other : a;
            odd->shape = odd->shape ? odd->shape : b;
            odd->n++;
        }
        j = next_in(m, l, j + 1);
    }
    return j >= l->end && odd->n > 0 && odd->n <= MAX_ODD;
}

static void put_shape(struct sc_buf *b, const struct sc_tensor *t)
{
    for (unsigned i = 0; i < t->rank; i++)
        sc_buf_printf(b, i > 0 ? "x%" PRIu64 : "%" PRIu64, t->shape[i]);
}

static int warn(struct sc_model *m, const struct layer *model, const struct layer *l,
                const struct odd *odd, struct sc_error *e)
{
    struct sc_buf is = {.max = 400}, should = {.max = 400};
    struct sc_quoted q;
    int code;
    if (odd->missing) {
        code = sc_problem(m->catalog, SC_WARNING, "layers.uneven", UINT32_MAX, SC_NO_TENSOR,
                          SC_NO_OFFSET, e,
                          "layer %" PRIu32 " of the %s tower has no \"%s\", which the other layers "
                          "have",
                          l->number, sc_tower_names[l->tower],
                          sc_quote(&q, sc_str(odd->missing->name + model->prefix,
                                              odd->missing->name_len - model->prefix)));
    } else {
        put_shape(&is, odd->shape);
        put_shape(&should, odd->other);
        code = sc_problem(m->catalog, SC_WARNING, "layers.uneven", UINT32_MAX,
                          sc_tensor_name(odd->shape), SC_NO_OFFSET, e,
                          "the tensor is %s, but %s in the other layers", is.p ? is.p : "",
                          should.p ? should.p : "");
    }
    sc_buf_clear(&is);
    sc_buf_clear(&should);
    return code;
}

/* The layer that most are like, if most are like one; NULL: it is not so. */
static const struct layer *usual(const struct layer *at, size_t n)
{
    const struct layer *one = NULL;
    size_t votes = 0, like = 0;
    for (size_t i = 0; i < n; i++) {
        if (votes == 0)
            one = &at[i];
        votes = at[i].mark == one->mark ? votes + 1 : votes - 1;
    }
    for (size_t i = 0; one && i < n; i++)
        like += at[i].mark == one->mark;
    return like > n / 2 ? one : NULL;
}

static int judge_stack(struct sc_model *m, const struct layer *at, size_t n, struct sc_error *e)
{
    const struct layer *model = usual(at, n), *one = NULL;
    size_t low = 0, high = n, odd_ones = 0;
    if (!model)
        return 0;
    while (at[low].mark != model->mark)
        low++;
    while (at[high - 1].mark != model->mark)
        high--;
    for (size_t i = low; i < high; i++) {
        if (i > low && at[i].number != at[i - 1].number + 1)
            return 0; /* layers are missing, which is said elsewhere */
        if (at[i].mark != model->mark) {
            one = &at[i];
            odd_ones++;
        }
    }
    const size_t least = high - low == n ? MIN_ALIKE : MIN_ALIKE_BETWEEN_ODD_ENDS;
    struct odd odd;
    if (odd_ones != 1 || high - low - 1 < least || !compare(m, model, one, &odd))
        return 0;
    return warn(m, model, one, &odd, e);
}

int sc_check_layers(struct sc_model *m, bool partial, struct sc_error *e)
{
    struct layers list = {.at = NULL};
    if (partial || m->catalog->n_errors > 0)
        return 0; /* what a missing or broken file had is no news */
    int code = find_layers(m, &list, e);
    for (size_t i = 0, end; i < list.n && code == 0; i = end) {
        for (end = i + 1; end < list.n && sc_str_eq(list.at[end].stack, list.at[i].stack); end++)
            continue;
        code = judge_stack(m, list.at + i, end - i, e);
    }
    sc_pages_free(list.at);
    return code;
}
