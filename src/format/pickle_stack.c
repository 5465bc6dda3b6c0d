/* SPDX-License-Identifier: Apache-2.0 */
/* pickle_stack: the opcodes that move values about: stack, MARK, containers, memo.
 *
 * A MARK is a height of the stack. Opcodes that take "everything above the mark" take the mark too,
 * and no opcode reaches below one. */
#include "format/pickle_machine.h"

int sc_pk_op_pop(struct sc_pickle *p)
{
    if (sc_pk_above_mark(p) == 0 && p->n_marks > 0) {
        p->n_marks--;
        return SC_PK_GO;
    }
    SC_PK_NEED(p, 1);
    p->n--;
    return SC_PK_GO;
}

/* POP_MARK: everything above the last MARK. */
int sc_pk_op_pop_mark(struct sc_pickle *p)
{
    size_t first;
    SC_PK_TAKE_MARK(p, first);
    p->n = first;
    return SC_PK_GO;
}

int sc_pk_op_dup(struct sc_pickle *p)
{
    SC_PK_NEED(p, 1);
    return sc_pk_push(p, p->stack[p->n - 1]);
}

/* The values from `first` to the top become one. */
static int fold(struct sc_pickle *p, enum sc_pk_kind kind, size_t first)
{
    struct sc_pk *v;
    if (kind == SC_PK_DICT && (p->n - first) % 2 != 0)
        return sc_pk_bad(p, "a dict with a key that has no value");
    TRY(sc_pk_new_sequence(p, kind, p->stack + first, p->n - first, &v));
    p->n = first;
    return sc_pk_push(p, v);
}

int sc_pk_op_fold_marked(struct sc_pickle *p, enum sc_pk_kind kind)
{
    size_t first;
    SC_PK_TAKE_MARK(p, first);
    return fold(p, kind, first);
}

int sc_pk_op_tuple(struct sc_pickle *p, size_t n)
{
    SC_PK_NEED(p, n);
    return fold(p, SC_PK_TUPLE, p->n - n);
}

static bool takes_items(const struct sc_pk *v)
{
    return v->kind == SC_PK_OBJECT && sc_pk_made_by(v) < SC_PK_ROLE_BUILDER;
}

/* The values from `first` on go into the container below them. A class that we do not know may be
 * a list or a dict; a tensor is neither. */
static int put_items(struct sc_pickle *p, size_t first, enum sc_pk_kind kind)
{
    if (first == 0 || (p->n_marks > 0 && first - 1 < p->marks[p->n_marks - 1]))
        return sc_pk_bad(p, "items, but nothing to put them into");
    if (kind == SC_PK_DICT && (p->n - first) % 2 != 0)
        return sc_pk_bad(p, "a key without a value");
    struct sc_pk *into = p->stack[first - 1];
    if (takes_items(into)) {
        struct sc_pk_object *object = into->as.object;
        struct sc_pk **part = kind == SC_PK_DICT ? &object->dict : &object->list;
        if (!*part)
            TRY(sc_pk_new(p, kind == SC_PK_DICT ? SC_PK_DICT : SC_PK_LIST, part));
        into = *part;
    } else if (into->kind != kind) {
        return sc_pk_bad(p, "items for something that cannot take them");
    }
    TRY(sc_pk_append(p, into, p->stack + first, p->n - first));
    p->n = first;
    return SC_PK_GO;
}

int sc_pk_op_put_one(struct sc_pickle *p, enum sc_pk_kind kind)
{
    const size_t n = kind == SC_PK_DICT ? 2 : 1;
    SC_PK_NEED(p, n + 1);
    return put_items(p, p->n - n, kind);
}

int sc_pk_op_put_marked(struct sc_pickle *p, enum sc_pk_kind kind)
{
    size_t first;
    SC_PK_TAKE_MARK(p, first);
    return put_items(p, first, kind);
}

/* ------------------------------------------------------------------------------------ memo --- */

int sc_pk_op_put(struct sc_pickle *p, uint64_t key)
{
    SC_PK_NEED(p, 1);
    return sc_pk_memo_put(p, key, p->stack[p->n - 1]);
}

int sc_pk_op_get(struct sc_pickle *p, uint64_t key)
{
    struct sc_pk *v = sc_pk_memo_get(p, key);
    if (!v)
        return sc_pk_bad(p, "memo %llu is empty", (unsigned long long)key);
    return sc_pk_push(p, v);
}

int sc_pk_op_memo_text(struct sc_pickle *p, struct sc_str s, bool put)
{
    uint64_t key;
    if (!sc_str_u64(s, &key))
        return sc_pk_bad(p, "a memo index that is no number");
    return put ? sc_pk_op_put(p, key) : sc_pk_op_get(p, key);
}
