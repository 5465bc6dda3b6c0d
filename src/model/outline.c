/* SPDX-License-Identifier: Apache-2.0 */
/* outline: the rows that `scruple tree` prints.
 *
 * Equal neighbours collapse: layers 3 to 60 that hold the same names, shapes and types are one
 * group, written (3-60), and a row below it stands for all of them. Equality is a 64-bit keyed
 * hash of everything below a node, computed bottom-up once:
 *
 *     signature(node) = hash(own tensor's shape, type, layout, bytes, counted parameters;
 *                            label and signature of each child, in order)
 *
 * Groups are formed when all children of a node are whole numbers written alike (0, 1, 10 or 00,
 * 01, 10). Every tensor is in exactly one row, so count x bytes over all rows is the model. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* What to print at one level: a child, or a run of equal numbered children. */
struct item {
    uint32_t first; /* node */
    uint32_t count; /* members of the group; 1 for a plain child */
    bool numbered;  /* prints as a group label even when count is 1 */
    uint64_t bytes; /* of all members, for --sort size */
    uint32_t order; /* position before sorting */
    struct sc_str label;
};

/* One level of the walk that is under way. */
struct frame {
    struct item *items;
    size_t n, at;
    uint32_t indent;
    uint64_t multiplier;
};

struct maker {
    const struct sc_model *m;
    const struct sc_outline_options *o;
    struct sc_outline *out;
    uint64_t *signature;  /* (n_nodes) */
    uint64_t *bytes;      /* (n_nodes) of everything below that passed the filter */
    uint64_t *parameters; /* (n_nodes) likewise */
    uint32_t *tensors;    /* (n_nodes) count of tensors below that passed the filter */
    uint32_t *stand_in;   /* (n_tensors) its like in the first member of its group; NULL: unasked */
    struct frame *frames;
    size_t n_frames, frames_cap;
};

static struct sc_str label_of(const struct maker *k, uint32_t node)
{
    return sc_str(k->m->nodes[node].label, k->m->nodes[node].label_len);
}

static bool passes(const struct maker *k, uint32_t tensor)
{
    const struct sc_tensor *t = &k->m->tensors[tensor];
    return sc_filter_match(k->o->filter, sc_str(t->name, t->name_len));
}

static bool kept(const struct maker *k, uint32_t node)
{
    return k->tensors[node] > 0;
}

/* The node's own tensor, if it passed the filter. */
static uint32_t own_tensor(const struct maker *k, uint32_t node)
{
    const uint32_t tensor = k->m->nodes[node].tensor;
    return tensor != SC_NO_NODE && (!k->o->filter || passes(k, tensor)) ? tensor : SC_NO_NODE;
}

/* ------------------------------------------------------------------------------- signatures --- */

static uint64_t tensor_signature(const struct sc_model *m, const struct sc_tensor *t)
{
    uint64_t h = sc_hash(t->shape, t->rank * sizeof t->shape[0]);
    h = sc_hash_mix(h, sc_hash(t->dtype, strlen(t->dtype)));
    h = sc_hash_mix(h, t->bytes);
    h = sc_hash_mix(h, sc_tensor_counted(m, t));
    return sc_hash_mix(h, (uint64_t)t->rank << 32 | (uint64_t)t->layout << 16 | t->bits);
}

/* Children have higher numbers than their parents, so one pass from the end sees every child
 * before its parent. */
static int measure(struct maker *k, struct sc_error *e)
{
    const size_t n = k->m->n_nodes;
    k->signature = sc_alloc(n * sizeof k->signature[0]);
    k->bytes = sc_calloc(n, sizeof k->bytes[0]);
    k->parameters = sc_calloc(n, sizeof k->parameters[0]);
    k->tensors = sc_calloc(n, sizeof k->tensors[0]);
    if (!k->signature || !k->bytes || !k->parameters || !k->tensors)
        return sc_fail_memory(e);
    for (size_t i = n; i-- > 0;) {
        const struct sc_node *node = &k->m->nodes[i];
        uint64_t h = 1;
        if (node->tensor != SC_NO_NODE && passes(k, node->tensor)) {
            const struct sc_tensor *t = &k->m->tensors[node->tensor];
            h = tensor_signature(k->m, t);
            k->bytes[i] = t->bytes;
            k->parameters[i] = sc_tensor_counted(k->m, t);
            k->tensors[i]++;
        }
        for (uint32_t c = node->first_child; c != SC_NO_NODE; c = k->m->nodes[c].next) {
            if (!kept(k, c))
                continue;
            const struct sc_str label = label_of(k, c);
            h = sc_hash_mix(h, sc_hash(label.p, label.n));
            h = sc_hash_mix(h, k->signature[c]);
            k->bytes[i] = sc_add_up(k->bytes[i], k->bytes[c]);
            k->parameters[i] = sc_add_up(k->parameters[i], k->parameters[c]);
            k->tensors[i] += k->tensors[c];
        }
        k->signature[i] = h;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ items --- */

/* The next kept node of a subtree, parents first; SC_NO_NODE: that was the last. */
static uint32_t next_below(const struct maker *k, uint32_t node, uint32_t top)
{
    uint32_t c = k->m->nodes[node].first_child;

    for (;;) {
        while (c != SC_NO_NODE && !kept(k, c))
            c = k->m->nodes[c].next;
        if (c != SC_NO_NODE || node == top)
            return c;
        c = k->m->nodes[node].next;
        node = k->m->nodes[node].parent;
    }
}

/* Members of a group are alike, so walking two of them in step pairs their tensors. */
static void pair_members(struct maker *k, uint32_t first, uint32_t other)
{
    uint32_t a = first, b = other;

    while (a != SC_NO_NODE && b != SC_NO_NODE) {
        const uint32_t from = own_tensor(k, b);
        if (from != SC_NO_NODE)
            k->stand_in[from] = own_tensor(k, a);
        a = next_below(k, a, first);
        b = next_below(k, b, other);
    }
}

/* How a number is written: SPELL_PLAIN without leading zeros, else its width. */
enum { SPELL_NONE = -1, SPELL_PLAIN = 0 };

static bool is_number(struct sc_str s, uint64_t *value)
{
    return s.n <= 18 && sc_str_u64(s, value);
}

/* The common spelling of all kept children, or SPELL_NONE when they are not all numbers. */
static int common_spelling(const struct maker *k, uint32_t node, size_t *n_kept)
{
    size_t n = 0, padded = 0, width = 0;
    bool same_width = true;
    for (uint32_t c = k->m->nodes[node].first_child; c != SC_NO_NODE; c = k->m->nodes[c].next) {
        uint64_t value;
        const struct sc_str label = label_of(k, c);
        if (!kept(k, c))
            continue;
        if (!is_number(label, &value))
            return SPELL_NONE;
        same_width &= n == 0 || label.n == width;
        width = label.n;
        padded += label.n > 1 && label.p[0] == '0';
        n++;
    }
    *n_kept = n;
    if (n < 2 || (padded && !same_width))
        return SPELL_NONE;
    return padded ? (int)width : SPELL_PLAIN;
}

static void append_label(struct sc_buf *b, struct sc_str s)
{
    sc_buf_put(b, s.p, s.n);
}

/* A run of consecutive numbers inside a group. */
struct run {
    struct sc_str first, last;
    uint64_t high;
    uint32_t count;
};

/* Two neighbours are listed, three or more make a range; so does a group that is one run. */
static void append_run(struct sc_buf *b, const struct run *r, bool whole)
{
    if (b->n > 1)
        sc_buf_putc(b, ',');
    append_label(b, r->first);
    if (r->count > 1) {
        sc_buf_putc(b, r->count == 2 && !whole ? ',' : '-');
        append_label(b, r->last);
    }
}

/* "(0-27)", "(0,2,9)", "(0-2,5)"; a label with very many runs is cut in the middle. */
static void append_group(const struct maker *k, struct sc_buf *b, uint32_t first, uint32_t count)
{
    enum { RUNS_SHOWN = 12 };
    struct run run = {.count = 0};
    uint32_t c = first, runs = 0;
    sc_buf_putc(b, '(');
    for (uint32_t seen = 0; seen < count; c = k->m->nodes[c].next) {
        if (!kept(k, c))
            continue;
        const struct sc_str label = label_of(k, c);
        uint64_t value;
        if (!is_number(label, &value))
            value = 0; /* cannot be: groups are made of numbers */
        if (seen > 0 && value == run.high + 1) {
            run.count++;
        } else {
            if (seen > 0 && ++runs <= RUNS_SHOWN)
                append_run(b, &run, false);
            run = (struct run){.first = label, .count = 1};
        }
        run.last = label;
        run.high = value;
        seen++;
    }
    if (runs > RUNS_SHOWN)
        sc_buf_puts(b, ",...");
    append_run(b, &run, runs == 0);
    sc_buf_putc(b, ')');
}

/* "5" for a lone member, else the group, into the outline's arena. */
static int group_label(struct maker *k, uint32_t first, uint32_t count, struct sc_str *out,
                       struct sc_error *e)
{
    struct sc_buf b = {0};
    if (count == 1)
        append_label(&b, label_of(k, first));
    else
        append_group(k, &b, first, count);
    char *copy = b.failed ? NULL : sc_arena_copy(&k->out->arena, b.p, b.n);
    *out = sc_str(copy, b.n);
    sc_buf_clear(&b);
    return copy ? 0 : sc_fail_memory(e);
}

static int by_size(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void finish_items(const struct maker *k, struct item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        items[i].order = (uint32_t)i;
    if (k->o->sort == SC_SORT_SIZE && n > 1)
        qsort(items, n, sizeof items[0], by_size);
}

/* The children of a node as items: groups when they are numbers and at least two agree. Sets
 * *grouped. The array is the caller's to free; NULL with *n == 0 when nothing is kept. */
static int make_items(struct maker *k, uint32_t node, struct item **out, size_t *n, bool *grouped,
                      struct sc_error *e)
{
    struct item *items = NULL;
    size_t cap = 0, n_kept = 0, count = 0;
    const int spelling = common_spelling(k, node, &n_kept);
    *grouped = false;
    *out = NULL;
    *n = 0;
    for (uint32_t c = k->m->nodes[node].first_child; c != SC_NO_NODE; c = k->m->nodes[c].next) {
        if (!kept(k, c))
            continue;
        struct item *last = count ? &items[count - 1] : NULL;
        if (spelling != SPELL_NONE && last && k->signature[last->first] == k->signature[c]) {
            last->count++;
            last->bytes += k->bytes[c];
            *grouped = true;
            if (k->stand_in)
                pair_members(k, last->first, c);
            continue;
        }
        if (sc_grow(&items, &cap, count + 1, sizeof items[0], e) < 0) {
            free(items);
            return SCRUPLE_EMEMORY;
        }
        items[count] =
            (struct item){.first = c, .count = 1, .bytes = k->bytes[c], .label = label_of(k, c)};
        count++;
    }
    int status = 0;
    for (size_t i = 0; i < count && *grouped && status == 0; i++) {
        items[i].numbered = true;
        status = group_label(k, items[i].first, items[i].count, &items[i].label, e);
    }
    if (status < 0) {
        free(items);
        return status;
    }
    finish_items(k, items, count);
    *out = items;
    *n = count;
    return 0;
}

/* ------------------------------------------------------------------------------------- rows --- */

static int add_row(struct maker *k, struct sc_str label, uint32_t indent, uint32_t tensor,
                   uint32_t node, uint64_t count, bool closed, struct sc_error *e)
{
    struct sc_outline *o = k->out;
    TRY(sc_grow(&o->rows, &o->rows_cap, o->n_rows + 1, sizeof o->rows[0], e));
    struct sc_row row = {.label = label.p,
                         .label_len = (uint32_t)label.n,
                         .depth = indent,
                         .tensor = tensor,
                         .count = count,
                         .closed = closed};
    row.bytes = tensor == SC_NO_NODE ? k->bytes[node] : k->m->tensors[tensor].bytes;
    row.parameters = tensor == SC_NO_NODE ? k->parameters[node]
                                          : sc_tensor_counted(k->m, &k->m->tensors[tensor]);
    o->rows[o->n_rows++] = row;
    return 0;
}

/* The only kept child, or SC_NO_NODE when there are none or several. */
static uint32_t only_child(const struct maker *k, uint32_t node)
{
    uint32_t found = SC_NO_NODE;
    for (uint32_t c = k->m->nodes[node].first_child; c != SC_NO_NODE; c = k->m->nodes[c].next) {
        if (!kept(k, c))
            continue;
        if (found != SC_NO_NODE)
            return SC_NO_NODE;
        found = c;
    }
    return found;
}

static bool has_kept_children(const struct maker *k, uint32_t node)
{
    return k->tensors[node] > (own_tensor(k, node) != SC_NO_NODE);
}

/* A module that holds nothing but its `weight` is written as one row under the module's name. */
static uint32_t lone_weight(const struct maker *k, uint32_t node)
{
    if (own_tensor(k, node) != SC_NO_NODE)
        return SC_NO_NODE;
    const uint32_t child = only_child(k, node);
    if (child == SC_NO_NODE || has_kept_children(k, child) ||
        !sc_str_is(label_of(k, child), "weight"))
        return SC_NO_NODE;
    return k->m->nodes[child].tensor;
}

static int push_frame(struct maker *k, struct item *items, size_t n, uint32_t indent,
                      uint64_t multiplier, struct sc_error *e)
{
    if (sc_grow(&k->frames, &k->frames_cap, k->n_frames + 1, sizeof k->frames[0], e) < 0) {
        free(items);
        return SCRUPLE_EMEMORY;
    }
    k->frames[k->n_frames++] = (struct frame){items, n, 0, indent, multiplier};
    return 0;
}

/* "name (0-27)" */
static int joined_label(struct maker *k, struct sc_str name, struct sc_str group,
                        struct sc_str *out, struct sc_error *e)
{
    char *p = sc_arena_alloc(&k->out->arena, name.n + group.n + 2, 1);
    if (!p)
        return sc_fail_memory(e);
    memcpy(p, name.p, name.n);
    p[name.n] = ' ';
    memcpy(p + name.n + 1, group.p, group.n);
    p[name.n + 1 + group.n] = '\0';
    *out = sc_str(p, name.n + 1 + group.n);
    return 0;
}

/* All below a closed module is in the last row. */
static void hide_below(struct maker *k, uint32_t node)
{
    for (uint32_t c = node; k->out->row_of && c != SC_NO_NODE; c = next_below(k, c, node)) {
        const uint32_t tensor = own_tensor(k, c);
        if (tensor != SC_NO_NODE)
            k->out->row_of[tensor] = (uint32_t)k->out->n_rows - 1;
    }
}

static bool too_deep(const struct maker *k, uint32_t indent)
{
    return k->o->depth && indent + 1 >= k->o->depth;
}

/* Print one item: its row or rows, and push what is below it. */
static int print_item(struct maker *k, const struct item *item, uint32_t indent,
                      uint64_t multiplier, struct sc_error *e)
{
    const uint32_t node = item->first;
    const uint64_t count = multiplier * item->count;
    const uint32_t own = own_tensor(k, node);
    struct sc_str label = item->label;
    if (own != SC_NO_NODE) {
        TRY(add_row(k, label, indent, own, node, count, false, e));
        if (!has_kept_children(k, node))
            return 0;
    } else if (!item->numbered) {
        const uint32_t weight = lone_weight(k, node);
        if (weight != SC_NO_NODE)
            return add_row(k, label, indent, weight, node, count, false, e);
    }
    struct item *items;
    size_t n;
    bool grouped;
    TRY(make_items(k, node, &items, &n, &grouped, e));
    /* One group below a module shares its row: "layers (0-27)", and the walk goes on inside. */
    const bool join = grouped && n == 1 && own == SC_NO_NODE && !item->numbered;
    if (!join) {
        int status = 0;
        const bool closed = too_deep(k, indent);
        if (own == SC_NO_NODE || closed)
            status = add_row(k, label, indent, SC_NO_NODE, node, count, closed, e);
        if (status == 0 && closed)
            hide_below(k, node);
        if (status < 0 || closed) {
            if (status == 0 && own != SC_NO_NODE) { /* that row stands above already */
                k->out->rows[k->out->n_rows - 1].bytes -= k->m->tensors[own].bytes;
                k->out->rows[k->out->n_rows - 1].parameters -=
                    sc_tensor_counted(k->m, &k->m->tensors[own]);
            }
            free(items);
            return status;
        }
        return push_frame(k, items, n, indent + 1, count, e);
    }
    struct item group = items[0];
    free(items);
    TRY(joined_label(k, label, group.label, &group.label, e));
    if (!has_kept_children(k, group.first)) { /* numbered tensors: e.0, e.1 */
        return add_row(k, group.label, indent, own_tensor(k, group.first), node,
                       count * group.count, false, e);
    }
    return print_item(k, &group, indent, count, e);
}

static int walk(struct maker *k, struct sc_error *e)
{
    struct item *items;
    size_t n;
    bool grouped;
    TRY(make_items(k, 0, &items, &n, &grouped, e));
    TRY(push_frame(k, items, n, 0, 1, e));
    while (k->n_frames) {
        struct frame *f = &k->frames[k->n_frames - 1];
        if (f->at == f->n) {
            free(f->items);
            k->n_frames--;
            continue;
        }
        const struct item item = f->items[f->at++];
        TRY(print_item(k, &item, f->indent, f->multiplier, e));
    }
    return 0;
}

/* --flat */
static int compare_sizes(const void *a, const void *b)
{
    const struct sc_row *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->tensor < y->tensor ? -1 : x->tensor > y->tensor;
}

static int list_flat(struct maker *k, struct sc_error *e)
{
    for (size_t i = 0; i < k->m->n_tensors; i++) {
        const struct sc_tensor *t = &k->m->tensors[i];
        if (passes(k, (uint32_t)i))
            TRY(add_row(k, sc_str(t->name, t->name_len), 0, (uint32_t)i, 0, 1, false, e));
    }
    if (k->o->sort == SC_SORT_SIZE && k->out->n_rows > 1)
        qsort(k->out->rows, k->out->n_rows, sizeof k->out->rows[0], compare_sizes);
    return 0;
}

/* ---------------------------------------------------------------------------------- members --- */
static int start_members(struct maker *k, struct sc_error *e)
{
    const size_t n = SC_MAX(k->m->n_tensors, (size_t)1);

    k->out->row_of = sc_alloc(n * sizeof k->out->row_of[0]);
    k->stand_in = sc_alloc(n * sizeof k->stand_in[0]);
    if (!k->out->row_of || !k->stand_in)
        return sc_fail_memory(e);
    for (size_t i = 0; i < n; i++)
        k->out->row_of[i] = k->stand_in[i] = SC_NO_NODE;
    return 0;
}

/* A tensor is where its like in the first member is. That one may stand for others by its like in
 * a group further in, so the way there is as long as groups nest. */
static void finish_members(struct maker *k)
{
    uint32_t *row_of = k->out->row_of;

    for (size_t i = 0; i < k->out->n_rows; i++)
        if (k->out->rows[i].tensor != SC_NO_NODE)
            row_of[k->out->rows[i].tensor] = (uint32_t)i;
    for (size_t i = 0; i < k->m->n_tensors; i++) {
        size_t at = i;
        while (row_of[at] == SC_NO_NODE && k->stand_in[at] != SC_NO_NODE)
            at = k->stand_in[at];
        row_of[i] = row_of[at];
    }
}

int sc_outline_make(const struct sc_model *m, const struct sc_outline_options *o,
                    struct sc_outline *out, struct sc_error *e)
{
    struct maker k = {.m = m, .o = o, .out = out};
    *out = (struct sc_outline){0};
    int status = measure(&k, e);
    if (status == 0 && o->members)
        status = start_members(&k, e);
    if (status == 0) {
        out->n_matched = k.tensors[0];
        out->matched_bytes = k.bytes[0];
        out->matched_parameters = k.parameters[0];
        status = o->flat ? list_flat(&k, e) : walk(&k, e);
    }
    if (status == 0 && o->members)
        finish_members(&k);
    for (size_t i = 0; i < k.n_frames; i++)
        free(k.frames[i].items);
    free(k.frames);
    free(k.signature);
    free(k.bytes);
    free(k.parameters);
    free(k.tensors);
    free(k.stand_in);
    if (status < 0)
        sc_outline_clear(out);
    return status;
}

void sc_outline_clear(struct sc_outline *o)
{
    free(o->rows);
    free(o->row_of);
    sc_arena_clear(&o->arena);
    *o = (struct sc_outline){0};
}
