/* SPDX-License-Identifier: Apache-2.0 */
/* pickle_object: the opcodes that name classes and functions, call them, and refer to things
 * outside of the pickle. This is where a pickle would do harm, and where nothing is done: a call
 * makes an object that holds what was called and with what.
 *
 *   GLOBAL STACK_GLOBAL INST       name a class or function
 *   REDUCE OBJ INST NEWOBJ(_EX)    call one
 *   BUILD                          give an object its state
 *   PERSID BINPERSID               a storage, or a class that travels with its source text
 *
 * Four calls are understood, because what they make is plain data: OrderedDict, _codecs.encode, and
 * the two helpers of copyreg that stand for a class. */
#include "format/pickle_machine.h"

int sc_pk_op_global(struct sc_pickle *p, struct sc_str module, struct sc_str name)
{
    struct sc_pk *v = NULL;
    TRY(sc_pk_new_global(p, module, name, &v));
    return sc_pk_push(p, v);
}

int sc_pk_op_stack_global(struct sc_pickle *p)
{
    struct sc_str module, name;
    SC_PK_NEED(p, 2);
    if (!sc_pk_text(p->stack[p->n - 2], &module) || !sc_pk_text(p->stack[p->n - 1], &name))
        return sc_pk_bad(p, "a global whose name is no text");
    p->n -= 2;
    return sc_pk_op_global(p, module, name);
}

/* OrderedDict([(key, value), ...]) or OrderedDict(): an ordinary dict from here on. false in *made:
 * the arguments are something else. */
static int make_ordered_dict(struct sc_pickle *p, const struct sc_pk *args, struct sc_pk **out,
                             bool *made)
{
    const struct sc_pk *pairs = sc_pk_item(args, 0);
    *made = args->n == 0 || (args->n == 1 && sc_pk_is_sequence(pairs));
    if (!*made)
        return 0;
    TRY(sc_pk_new(p, SC_PK_DICT, out));
    (*out)->ordered = true;
    /* One pass that is paid for: the same list may be passed to a million calls. */
    for (size_t i = 0; *made && pairs && i < pairs->n; i++) {
        const struct sc_pk *pair = pairs->as.seq.item[i];
        *made = sc_pk_is_sequence(pair) && pair->n == 2;
        if (*made)
            TRY(sc_pk_append(p, *out, pair->as.seq.item, 2));
    }
    return 0;
}

/* _codecs.encode(text, "latin1"): how protocol 2 writes bytes. */
static int make_encoded(struct sc_pickle *p, const struct sc_pk *args, struct sc_pk **out,
                        bool *made)
{
    const struct sc_pk *text = sc_pk_item(args, 0);
    *made = text && text->kind == SC_PK_STR;
    if (!*made)
        return 0;
    TRY(sc_pk_new_text(p, SC_PK_BYTES, text->as.s, text->cut, out));
    const struct sc_str s = (*out)->as.s;
    char *to = NULL; /* the copy is ours, and Latin-1 is never longer than UTF-8 */
    size_t n = 0;
    int code;
    if (s.n == 0 || !(to = sc_pk_alloc(p, s.n, 1, &code)))
        return s.n == 0 ? 0 : code;
    for (size_t i = 0; i < s.n;) {
        uint32_t point;
        const size_t used = sc_utf8_decode(s.p + i, s.n - i, &point);
        if (used == 0 || point > 0xff)
            return 0; /* not Latin-1 after all: keep the text */
        to[n++] = (char)point;
        i += used;
    }
    (*out)->as.s = sc_str(to, n);
    return 0;
}

/* The call of `func` with `args`: what it makes, as data. */
static int make_call(struct sc_pickle *p, const struct sc_pk *func, struct sc_pk *args,
                     struct sc_pk **out)
{
    struct sc_pk *rest;
    bool made = false;
    if (args->kind != SC_PK_TUPLE)
        return sc_pk_bad(p, "a call whose arguments are no tuple");
    if (func->kind != SC_PK_GLOBAL && func->kind != SC_PK_OBJECT)
        return sc_pk_bad(p, "a call of something that is no function");
    TRY(sc_pk_count_call(p, func));
    const enum sc_pk_role role = sc_pk_role(func);
    p->tensors += role == SC_PK_ROLE_META || role == SC_PK_ROLE_WRAPPER;
    p->arrays += role == SC_PK_ROLE_ARRAY;
    if (role == SC_PK_ROLE_ORDERED_DICT)
        TRY(make_ordered_dict(p, args, out, &made));
    else if (role == SC_PK_ROLE_ENCODE)
        TRY(make_encoded(p, args, out, &made));
    if (made)
        return SC_PK_GO;
    /* Two helpers of copyreg stand for the class that they are given. */
    const struct sc_pk *class = sc_pk_item(args, 0);
    if (role == SC_PK_ROLE_NEWOBJ && class && class->kind == SC_PK_GLOBAL) {
        TRY(sc_pk_new_sequence(p, SC_PK_TUPLE, args->as.seq.item + 1, args->n - 1, &rest));
        TRY(sc_pk_count_call(p, class));
        return sc_pk_new_object(p, class, rest, out);
    }
    if (role == SC_PK_ROLE_RECONSTRUCTOR && class && class->kind == SC_PK_GLOBAL) {
        const struct sc_pk *state = sc_pk_item(args, 2);
        const bool has_state = state && state->kind != SC_PK_NONE;
        TRY(sc_pk_new_sequence(p, SC_PK_TUPLE, has_state ? args->as.seq.item + 2 : NULL, has_state,
                               &rest));
        TRY(sc_pk_count_call(p, class));
        return sc_pk_new_object(p, class, rest, out);
    }
    return sc_pk_new_object(p, func, args, out);
}

/* REDUCE and NEWOBJ: function and argument tuple are the two topmost values. */
int sc_pk_op_call(struct sc_pickle *p)
{
    struct sc_pk *v = NULL;
    SC_PK_NEED(p, 2);
    const int code = make_call(p, p->stack[p->n - 2], p->stack[p->n - 1], &v);
    if (code != SC_PK_GO)
        return code;
    p->n -= 2;
    return sc_pk_push(p, v);
}

/* NEWOBJ_EX: keyword arguments, if any, become one more argument. */
int sc_pk_op_call_keywords(struct sc_pickle *p)
{
    SC_PK_NEED(p, 3);
    struct sc_pk **top = p->stack + p->n - 3;
    if (top[1]->kind != SC_PK_TUPLE || top[2]->kind != SC_PK_DICT)
        return sc_pk_bad(p, "a call whose arguments are no tuple and dict");
    if (top[2]->n > 0) {
        struct sc_pk *all;
        TRY(sc_pk_new(p, SC_PK_TUPLE, &all));
        TRY(sc_pk_append(p, all, top[1]->as.seq.item, top[1]->n));
        TRY(sc_pk_append(p, all, &top[2], 1));
        top[1] = all;
    }
    p->n--;
    return sc_pk_op_call(p);
}

/* INST (the class is named by the opcode) and OBJ (it is the first value after the MARK). */
static int call_marked(struct sc_pickle *p, struct sc_pk *func, size_t base, size_t first)
{
    struct sc_pk *args, *v = NULL;
    TRY(sc_pk_new_sequence(p, SC_PK_TUPLE, p->stack + first, p->n - first, &args));
    const int code = make_call(p, func, args, &v);
    if (code != SC_PK_GO)
        return code;
    p->n = base;
    return sc_pk_push(p, v);
}

int sc_pk_op_inst(struct sc_pickle *p, const struct sc_pk_operation *op)
{
    struct sc_pk *func;
    size_t first;
    SC_PK_TAKE_MARK(p, first);
    TRY(sc_pk_new_global(p, op->text, op->more, &func));
    return call_marked(p, func, first, first);
}

int sc_pk_op_obj(struct sc_pickle *p)
{
    size_t first;
    SC_PK_TAKE_MARK(p, first);
    if (p->n == first)
        return sc_pk_bad(p, "an object without a class");
    return call_marked(p, p->stack[first], first, first + 1);
}

int sc_pk_op_build(struct sc_pickle *p)
{
    SC_PK_NEED(p, 2);
    struct sc_pk *state = p->stack[p->n - 1], *v = p->stack[p->n - 2];
    if (v->kind == SC_PK_OBJECT) {
        struct sc_pk_object *object = v->as.object;
        TRY(sc_pk_count_call(p, object->func));
        if (object->state) { /* the first stays reachable: nothing is lost from sight */
            struct sc_pk *const both[] = {object->state, state};
            TRY(sc_pk_new_sequence(p, SC_PK_TUPLE, both, 2, &state));
        }
        object->state = state;
    } else if (v->kind != SC_PK_DICT || !v->ordered) {
        return sc_pk_bad(p, "BUILD on something that has no state");
    }
    p->n--;
    return SC_PK_GO;
}

/* -------------------------------------------------------------------------- persistent ids --- */

static bool is_text(const struct sc_pk *v)
{
    struct sc_str s;
    return sc_pk_text(v, &s);
}

static bool is_count(const struct sc_pk *v)
{
    return v && v->kind == SC_PK_INT && v->as.i >= 0;
}

static bool is_storage_id(const struct sc_pk *id)
{
    struct sc_str word;
    const struct sc_pk *location = sc_pk_item(id, 3);
    return id->kind == SC_PK_TUPLE && (id->n == 5 || id->n == 6) &&
           sc_pk_text(sc_pk_item(id, 0), &word) && sc_str_is(word, "storage") &&
           sc_pk_role(sc_pk_item(id, 1)) == SC_PK_ROLE_STORAGE && is_text(sc_pk_item(id, 2)) &&
           (is_text(location) || location->kind == SC_PK_NONE) && is_count(sc_pk_item(id, 4));
}

/* ("module", class, file, source) in a stream, (class, file, source) in a tar. */
static struct sc_pk *class_of_id(const struct sc_pk *id, enum sc_pk_ids ids)
{
    struct sc_str word;
    if (id->kind != SC_PK_TUPLE)
        return NULL;
    if (ids == SC_PK_IDS_STREAM && id->n == 4 && sc_pk_text(sc_pk_item(id, 0), &word) &&
        sc_str_is(word, "module") && id->as.seq.item[1]->kind == SC_PK_GLOBAL)
        return id->as.seq.item[1];
    if (ids == SC_PK_IDS_TAR && id->n == 3 && id->as.seq.item[0]->kind == SC_PK_GLOBAL)
        return id->as.seq.item[0];
    return NULL;
}

static int push_persistent(struct sc_pickle *p, struct sc_pk *id)
{
    const enum sc_pk_ids ids = p->in->ids;
    struct sc_pk *v = class_of_id(id, ids);
    if (v)
        return sc_pk_push(p, v);
    const bool storage = ids == SC_PK_IDS_STORAGE || ids == SC_PK_IDS_STREAM;
    if (!(storage && is_storage_id(id)) && !(ids == SC_PK_IDS_TAR && (is_count(id) || is_text(id))))
        return sc_pk_bad(p, "a persistent id that is no storage");
    TRY(sc_pk_new_persistent(p, id, &v));
    return sc_pk_push(p, v);
}

int sc_pk_op_persistent_text(struct sc_pickle *p, struct sc_str s)
{
    struct sc_pk *id;
    TRY(sc_pk_new_text(p, SC_PK_STR, s, false, &id));
    return push_persistent(p, id);
}

int sc_pk_op_persistent(struct sc_pickle *p)
{
    SC_PK_NEED(p, 1);
    return push_persistent(p, p->stack[--p->n]);
}
