/* SPDX-License-Identifier: Apache-2.0 */
/* tree: the module tree, and with it the natural order of tensors.
 *
 * Names split at dots. Neighbouring names share most of their path, so each name starts from the
 * node where it parts from the one before; only what is new is looked up, among a handful of
 * siblings or, in a crowded node, by hash. Then the children of every node are put in natural
 * order, and a walk over the tree numbers the tensors.
 *
 *     model.layers.0.mlp.up_proj.weight        path:  model > layers > 0 > mlp > up_proj > weight
 *     model.layers.0.self_attn.k_proj.weight   starts at "0"
 *
 * Nothing recurses: a name can have 30,000 dots. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* Up to this many siblings are compared one by one; beyond it they stand in the index. */
enum { FEW = 12 };

struct builder {
    struct sc_model *m;
    size_t nodes_cap;
    struct sc_index index; /* (parent, label) -> node, of crowded parents */
    uint32_t *last_child;  /* (nodes_cap) to append in constant time */
    size_t last_cap;
    uint32_t *path;     /* (path_len) nodes of the name before */
    uint32_t *path_end; /* (path_len) where each node's label ends in that name */
    size_t path_len, path_cap, path_end_cap;
};

static uint64_t label_hash(uint32_t parent, struct sc_str label)
{
    return sc_hash_mix(sc_hash(label.p, label.n), parent);
}

static int add_node(struct builder *b, uint32_t parent, struct sc_str label, uint32_t *out,
                    struct sc_error *e)
{
    struct sc_model *m = b->m;
    if (m->n_nodes >= SC_NO_NODE)
        return sc_fail(e, SCRUPLE_ELIMIT, "the names have more than %u parts", SC_NO_NODE);
    const bool filed = m->catalog->filed;
    TRY(sc_pages_grow(filed, &m->nodes, &b->nodes_cap, m->n_nodes + 1, sizeof m->nodes[0], e));
    TRY(sc_pages_grow(filed, &b->last_child, &b->last_cap, m->n_nodes + 1, sizeof b->last_child[0],
                      e));
    const uint32_t id = (uint32_t)m->n_nodes++;
    m->nodes[id] = (struct sc_node){.label = label.p,
                                    .label_len = (uint32_t)label.n,
                                    .parent = parent,
                                    .first_child = SC_NO_NODE,
                                    .next = SC_NO_NODE,
                                    .tensor = SC_NO_NODE};
    b->last_child[id] = SC_NO_NODE;
    if (parent != SC_NO_NODE) {
        struct sc_node *above = &m->nodes[parent];
        if (above->n_children++ == 0)
            above->first_child = id;
        else
            m->nodes[b->last_child[parent]].next = id;
        b->last_child[parent] = id;
    }
    *out = id;
    return 0;
}

static bool has_label(const struct sc_model *m, uint32_t node, struct sc_str label)
{
    return sc_str_eq(sc_str(m->nodes[node].label, m->nodes[node].label_len), label);
}

static uint32_t find_child(const struct builder *b, uint32_t parent, struct sc_str label)
{
    const struct sc_model *m = b->m;
    if (m->nodes[parent].n_children <= FEW) {
        uint32_t c = m->nodes[parent].first_child;
        while (c != SC_NO_NODE && !has_label(m, c, label))
            c = m->nodes[c].next;
        return c;
    }
    size_t probe = 0;
    const uint64_t hash = label_hash(parent, label);
    for (uint32_t id; (id = sc_index_next(&b->index, hash, &probe)) != UINT32_MAX;)
        if (m->nodes[id].parent == parent && has_label(m, id, label))
            return id;
    return SC_NO_NODE;
}

/* A node that has just become crowded brings all its children, later ones come singly. */
static int index_child(struct builder *b, uint32_t parent, uint32_t child, struct sc_error *e)
{
    const struct sc_node *nodes = b->m->nodes;
    if (nodes[parent].n_children <= FEW)
        return 0;
    uint32_t c = nodes[parent].n_children == FEW + 1 ? nodes[parent].first_child : child;
    for (; c != SC_NO_NODE; c = nodes[c].next) {
        const struct sc_str label = sc_str(nodes[c].label, nodes[c].label_len);
        TRY(sc_index_put(&b->index, label_hash(parent, label), c, e));
    }
    return 0;
}

/* The child of that label, made when it is not there. */
static int child_of(struct builder *b, uint32_t parent, struct sc_str label, uint32_t *out,
                    struct sc_error *e)
{
    *out = find_child(b, parent, label);
    if (*out != SC_NO_NODE)
        return 0;
    TRY(add_node(b, parent, label, out, e));
    return index_child(b, parent, *out, e);
}

/* How many leading path nodes this name shares with the one before. */
static size_t shared_path(const struct builder *b, struct sc_str before, struct sc_str name)
{
    const size_t n = SC_MIN(before.n, name.n);
    size_t same = 0;
    while (same < n && before.p[same] == name.p[same])
        same++;
    size_t k = b->path_len;
    /* Node k-1 is shared when its label and the dot after it are. */
    while (k > 0 && !(b->path_end[k - 1] < same && before.p[b->path_end[k - 1]] == '.'))
        k--;
    return k;
}

static int push_path(struct builder *b, uint32_t node, size_t end, struct sc_error *e)
{
    TRY(sc_grow(&b->path, &b->path_cap, b->path_len + 1, sizeof b->path[0], e));
    TRY(sc_grow(&b->path_end, &b->path_end_cap, b->path_len + 1, sizeof b->path_end[0], e));
    b->path[b->path_len] = node;
    b->path_end[b->path_len++] = (uint32_t)end;
    return 0;
}

static int add_tensor(struct builder *b, struct sc_str before, uint32_t tensor, struct sc_error *e)
{
    struct sc_model *m = b->m;
    const struct sc_str name = sc_str(m->tensors[tensor].name, m->tensors[tensor].name_len);
    b->path_len = shared_path(b, before, name);
    size_t at = b->path_len ? b->path_end[b->path_len - 1] + 1 : 0;
    uint32_t node = b->path_len ? b->path[b->path_len - 1] : 0;
    for (;;) {
        const char *dot = memchr(name.p + at, '.', name.n - at);
        const size_t end = dot ? (size_t)(dot - name.p) : name.n;
        TRY(child_of(b, node, sc_str(name.p + at, end - at), &node, e));
        TRY(push_path(b, node, end, e));
        if (!dot)
            break;
        at = end + 1;
    }
    if (m->nodes[node].tensor != SC_NO_NODE) { /* a duplicate name, in lenient mode */
        const struct sc_node twin = m->nodes[node];
        TRY(add_node(b, twin.parent, sc_str(twin.label, twin.label_len), &node, e));
        /* Nothing looks for the others of a label: a hundred thousand equal names would make one
         * chain of the index. But the parent may just have become crowded. */
        if (m->nodes[twin.parent].n_children == FEW + 1)
            TRY(index_child(b, twin.parent, node, e));
    }
    m->nodes[node].tensor = tensor;
    return 0;
}

/* ------------------------------------------------------------------------------------ order --- */

struct child {
    struct sc_str label;
    uint32_t node;
};

static int compare_children(const void *a, const void *b)
{
    const struct child *x = a, *y = b;
    const int order = sc_natural_cmp(x->label, y->label);
    if (order)
        return order;
    return x->node < y->node ? -1 : x->node > y->node;
}

static int sort_children(struct sc_model *m, uint32_t parent, struct child **scratch,
                         size_t *scratch_cap, struct sc_error *e)
{
    const size_t n = m->nodes[parent].n_children;
    bool in_order = true;
    if (n < 2)
        return 0;
    TRY(sc_pages_grow(m->catalog->filed, scratch, scratch_cap, n, sizeof **scratch, e));
    struct child *c = *scratch;
    size_t i = 0;
    for (uint32_t k = m->nodes[parent].first_child; k != SC_NO_NODE; k = m->nodes[k].next, i++) {
        c[i] = (struct child){sc_str(m->nodes[k].label, m->nodes[k].label_len), k};
        if (i > 0 && in_order)
            in_order = compare_children(&c[i - 1], &c[i]) < 0;
    }
    if (in_order)
        return 0;
    (m->catalog->filed ? sc_sort : qsort)(c, n, sizeof c[0], compare_children);
    m->nodes[parent].first_child = c[0].node;
    for (i = 0; i < n; i++)
        m->nodes[c[i].node].next = i + 1 < n ? c[i + 1].node : SC_NO_NODE;
    return 0;
}

/* Depth first, children in order; a node's own tensor comes before what is below it. */
static uint32_t next_node(const struct sc_model *m, uint32_t node)
{
    if (m->nodes[node].first_child != SC_NO_NODE)
        return m->nodes[node].first_child;
    while (node != SC_NO_NODE && m->nodes[node].next == SC_NO_NODE)
        node = m->nodes[node].parent;
    return node == SC_NO_NODE ? SC_NO_NODE : m->nodes[node].next;
}

/* Move tensors so that tensor `i` of the walk is at i. In place, along the cycles of the
 * permutation: the table of a big model is not held twice. */
static int order_tensors(struct sc_model *m, struct sc_error *e)
{
    uint32_t *from = sc_pages_new(m->catalog->filed, m->n_tensors + 1, sizeof *from);
    if (!from)
        return sc_fail_memory(e);
    uint32_t n = 0;
    for (uint32_t node = 0; node != SC_NO_NODE; node = next_node(m, node))
        if (m->nodes[node].tensor != SC_NO_NODE) {
            from[n] = m->nodes[node].tensor;
            m->nodes[node].tensor = n++;
        }
    for (uint32_t i = 0; i < n; i++) {
        if (from[i] == i)
            continue;
        const struct sc_tensor first = m->tensors[i];
        uint32_t to = i;
        while (from[to] != i) {
            const uint32_t source = from[to];
            m->tensors[to] = m->tensors[source];
            from[to] = to;
            to = source;
        }
        m->tensors[to] = first;
        from[to] = to;
    }
    sc_pages_free(from);
    return 0;
}

int sc_model_build_tree(struct sc_model *m, struct sc_error *e)
{
    struct builder b = {.m = m, .index.filed = m->catalog->filed};
    struct child *scratch = NULL;
    size_t scratch_cap = 0;
    uint32_t root;
    struct sc_str before = {"", 0};
    int status = add_node(&b, SC_NO_NODE, SC_STR(""), &root, e);
    for (size_t i = 0; i < m->n_tensors && status == 0; i++) {
        status = add_tensor(&b, before, (uint32_t)i, e);
        before = sc_str(m->tensors[i].name, m->tensors[i].name_len);
    }
    for (size_t i = 0; i < m->n_nodes && status == 0; i++)
        status = sort_children(m, (uint32_t)i, &scratch, &scratch_cap, e);
    if (status == 0)
        status = order_tensors(m, e);
    sc_index_clear(&b.index);
    sc_pages_free(b.last_child);
    free(b.path);
    free(b.path_end);
    sc_pages_free(scratch);
    return status;
}
