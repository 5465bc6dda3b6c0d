/* SPDX-License-Identifier: Apache-2.0 */
/* torch_walk: from the object in a pickle to the names of its tensors.
 *
 *   dict {"a": {"b": T}}              a.b            keys, joined by dots
 *   list, tuple                       a.0, a.1       positions
 *   object of any class               a.attribute    attributes, arguments, items
 *   torch.nn.Module                   a.weight       its _parameters, _buffers and _modules are
 *                                                    looked into without being named
 *   sparse tensor                     a.indices, a.values
 *   quantised by channel              a, a.scales, a.zero_points
 *   a tensor alone                    tensor
 *
 * Values may be shared and may contain themselves. A container that is being walked is not entered
 * again; one that was walked before is walked again under its other name, as Python would show it,
 * as long as an allowance lasts: shared modules keep both names, and a pickle that doubles at every
 * level ends. The stack is explicit; a name is put together only when there is a tensor for it. */
#include "format/torch.h"

#include <stdio.h>
#include <stdlib.h>

enum { REPEATS = 1 << 16 }; /* values walked again for their other names, besides one each */

enum { WALKING = 1, SEEN = 2 }; /* sc_pk.walk */

/* One piece of a name. */
struct component {
    enum { NOTHING, KEY, INDEX, WORD } kind;
    union {
        const struct sc_pk *key;
        uint64_t index;
        const char *word;
    } as;
};

struct frame {
    struct sc_pk *v;          /* the container */
    const char *const *words; /* names of its first items, in place of numbers, or NULL */
    struct component at;      /* what it adds to the name */
    uint32_t next;            /* child to look at next */
    uint32_t name_len;        /* of the name up to here */
    bool state;               /* attributes of an object */
    bool plain;               /* reached through dict keys alone: values are worth a note */
    bool bare;                /* its children add nothing to the name */
    bool parts;               /* of a tensor, not items */
};

struct walk {
    struct sc_torch *t;
    struct frame *frames;
    size_t n, cap;
    uint64_t repeats; /* left */
    bool shortened;
    struct sc_buf name; /* the names of the first `named` frames, joined, and maybe more */
    size_t named;
};

/* How a child is to be entered. */
struct way {
    struct component at;
    const char *const *words;
    bool state, plain;
};

static const char *const words_coo[] = {"indices", "values"};
static const char *const words_csr[] = {"crow_indices", "col_indices", "values"};
static const char *const words_nested[] = {"buffer", "sizes", "strides", "offsets"};
static const char *const words_quantizer[] = {"scheme", "scales", "zero_points", "axis"};
static const struct {
    const char *const *list;
    uint32_t n;
} word_lists[] = {
    {words_coo, SC_COUNT(words_coo)},
    {words_csr, SC_COUNT(words_csr)},
    {words_nested, SC_COUNT(words_nested)},
    {words_quantizer, SC_COUNT(words_quantizer)},
};

/* ----------------------------------------------------------------------------------- names --- */

static struct sc_str component_text(const struct component *at, char scratch[32])
{
    struct sc_str text = {"", 0};
    int n = 0;
    switch (at->kind) {
    case NOTHING:
        break;
    case WORD:
        return sc_strz(at->as.word);
    case INDEX:
        n = snprintf(scratch, 32, "%llu", (unsigned long long)at->as.index);
        break;
    case KEY:
        if (sc_pk_text(at->as.key, &text))
            return text;
        if (at->as.key->kind == SC_PK_INT)
            n = snprintf(scratch, 32, "%lld", (long long)at->as.key->as.i);
        else if (at->as.key->kind == SC_PK_FLOAT)
            n = snprintf(scratch, 32, "%.17g", at->as.key->as.f);
        else if (at->as.key->kind == SC_PK_BOOL)
            return at->as.key->as.b ? SC_STR("True") : SC_STR("False");
        else if (at->as.key->kind == SC_PK_NONE)
            return SC_STR("None");
        else
            return SC_STR("?"); /* a tuple or an object as key */
        break;
    }
    return sc_str(scratch, n > 0 ? (size_t)n : 0);
}

/* Bytes of the name once `at` is added below the top frame. */
static size_t name_length(const struct walk *w, const struct component *at)
{
    char scratch[32];
    const size_t above = w->n ? w->frames[w->n - 1].name_len : 0;
    const size_t more = component_text(at, scratch).n;
    if (at->kind == NOTHING)
        return above;
    return above ? above + 1 + more : more;
}

static void put_component(struct sc_buf *b, const struct component *at)
{
    char scratch[32];
    if (at->kind == NOTHING)
        return;
    if (b->n)
        sc_buf_putc(b, '.');
    const struct sc_str text = component_text(at, scratch);
    sc_buf_put(b, text.p, text.n);
}

/* The name of a value below the top frame. What the last name had in common with it is still there:
 * a million tensors at a depth of thousands cost a million pieces. */
static int make_name(struct walk *w, const struct component *at, struct sc_str *out)
{
    w->name.n = w->named ? w->frames[w->named - 1].name_len : 0;
    for (; w->named < w->n; w->named++)
        put_component(&w->name, &w->frames[w->named].at);
    put_component(&w->name, at);
    if (w->name.n == 0)
        sc_buf_puts(&w->name, "tensor");
    if (w->name.failed)
        return sc_fail_memory(w->t->e);
    *out = sc_str(w->name.p, w->name.n);
    return 0;
}

static int name_too_long(struct walk *w)
{
    return SC_TORCH_BAD(w->t, "torch.name", SC_NO_TENSOR, "a name would have more than %d bytes",
                        SC_MAX_NAME);
}

/* ------------------------------------------------------------------------------------ notes --- */

int sc_torch_note(struct sc_torch *t, const char *key, struct sc_str text)
{
    const struct sc_value value = {.kind = SC_VALUE_STRING, .as.s = text};
    t->n_metas++;
    return sc_catalog_add_meta(t->c, t->file, sc_strz(key), &value, t->e);
}

/* "epoch", "global_step", "hyper_parameters.lr": the plain values of a checkpoint. */
static int note_scalar(struct walk *w, const struct sc_pk *v, const struct way *way)
{
    struct sc_value value;
    struct sc_str name;
    if (v->kind == SC_PK_BOOL)
        value = (struct sc_value){.kind = SC_VALUE_BOOL, .as.b = v->as.b};
    else if (v->kind == SC_PK_INT)
        value = (struct sc_value){.kind = SC_VALUE_INT, .as.i = v->as.i};
    else if (v->kind == SC_PK_FLOAT)
        value = (struct sc_value){.kind = SC_VALUE_FLOAT, .as.f = v->as.f};
    else if (v->kind == SC_PK_STR)
        value = (struct sc_value){.kind = SC_VALUE_STRING, .as.s = v->as.s};
    else
        return 0;
    const size_t len = name_length(w, &way->at);
    if (!way->plain || v->cut || len == 0 || len > SC_MAX_NAME ||
        w->t->n_metas >= SC_MAX_PICKLE_METAS || len > sc_torch_name_memory(w->t) - w->t->name_bytes)
        return 0;
    TRY(make_name(w, &way->at, &name));
    w->t->name_bytes += len;
    w->t->n_metas++;
    return sc_catalog_add_meta(w->t->c, w->t->file, name, &value, w->t->e);
}

/* ------------------------------------------------------------------------------------ walk --- */

/* State that is a pair of attribute dicts (slots), or several states: looked through. */
static bool is_bare_state(const struct sc_pk *v)
{
    if (v->kind != SC_PK_TUPLE || v->n != 2)
        return false;
    for (size_t i = 0; i < 2; i++) {
        const enum sc_pk_kind kind = (enum sc_pk_kind)v->as.seq.item[i]->kind;
        if (kind != SC_PK_DICT && kind != SC_PK_NONE && kind != SC_PK_TUPLE)
            return false;
    }
    return true;
}

static uint32_t children(const struct sc_pk *v, bool parts)
{
    if (parts)
        return 3;
    if (v->kind == SC_PK_OBJECT)
        return 4;
    return v->kind == SC_PK_DICT ? v->n / 2 : v->n;
}

static int enter(struct walk *w, struct sc_pk *v, const struct way *way, bool parts)
{
    const uint32_t n = children(v, parts);
    if (n == 0 || v->walk & WALKING)
        return 0;
    if (v->walk & SEEN) {
        if (w->repeats <= n) {
            w->shortened = true;
            return 0;
        }
        w->repeats -= n + 1;
    }
    const size_t len = name_length(w, &way->at);
    if (len > SC_MAX_NAME)
        return name_too_long(w);
    if (w->n >= SC_MAX_PICKLE_DEPTH)
        return SC_TORCH_BAD(w->t, "torch.depth", SC_NO_TENSOR,
                            "values are nested more than %d deep", SC_MAX_PICKLE_DEPTH);
    TRY(sc_grow(&w->frames, &w->cap, w->n + 1, sizeof w->frames[0], w->t->e));
    v->walk |= WALKING | SEEN;
    w->frames[w->n++] = (struct frame){
        .v = v,
        .words = way->words,
        .at = way->at,
        .name_len = (uint32_t)len,
        .state = way->state && v->kind == SC_PK_DICT,
        .plain = way->plain && v->kind == SC_PK_DICT && !way->state,
        .bare = way->state && is_bare_state(v),
        .parts = parts,
    };
    return 0;
}

static bool has_bytes(enum sc_pk_role role)
{
    return role == SC_PK_ROLE_TENSOR || role == SC_PK_ROLE_TENSOR_V3 ||
           role == SC_PK_ROLE_QTENSOR || role == SC_PK_ROLE_META || role == SC_PK_ROLE_WRAPPER;
}

static int visit_tensor(struct walk *w, struct sc_pk *v, const struct sc_torch_peeled *peeled,
                        const struct way *way)
{
    struct sc_str name;
    if (name_length(w, &way->at) > SC_MAX_NAME)
        return name_too_long(w);
    if (has_bytes(peeled->role)) {
        TRY(make_name(w, &way->at, &name));
        TRY(sc_torch_list(w->t, peeled, name));
    }
    /* Only the rarer kinds have tensors inside of them. */
    if (has_bytes(peeled->role) && peeled->role != SC_PK_ROLE_QTENSOR && !peeled->state &&
        !v->as.object->state)
        return 0;
    const struct way inside = {.at = way->at};
    return enter(w, v, &inside, true);
}

static int visit(struct walk *w, struct sc_pk *v, const struct way *way)
{
    struct sc_torch_peeled peeled;
    struct sc_str name;
    /* What TorchScript wraps around a list to give it a type. */
    for (int hops = 0; sc_pk_made_by(v) == SC_PK_ROLE_THROUGH && hops < SC_MAX_PEEL; hops++) {
        const struct sc_pk *args = v->as.object->args;
        if (args->n == 0)
            return 0;
        v = args->as.seq.item[0];
    }
    switch ((enum sc_pk_kind)v->kind) {
    case SC_PK_TUPLE:
    case SC_PK_LIST:
    case SC_PK_SET:
    case SC_PK_DICT:
        return enter(w, v, way, false);
    case SC_PK_OBJECT:
        if (sc_torch_peel(v, &peeled))
            return visit_tensor(w, v, &peeled, way);
        return enter(w, v, way, false);
    case SC_PK_PERSISTENT:
        if (name_length(w, &way->at) > SC_MAX_NAME)
            return name_too_long(w);
        TRY(make_name(w, &way->at, &name));
        return sc_torch_list_reference(w->t, v, name);
    case SC_PK_NONE:
    case SC_PK_BOOL:
    case SC_PK_INT:
    case SC_PK_BIGINT:
    case SC_PK_FLOAT:
    case SC_PK_BYTES:
    case SC_PK_STR:
    case SC_PK_GLOBAL:
        return note_scalar(w, v, way);
    }
    return 0;
}

static bool is_module_part(const struct sc_pk *key)
{
    struct sc_str s;
    return sc_pk_text(key, &s) &&
           (sc_str_is(s, "_parameters") || sc_str_is(s, "_buffers") || sc_str_is(s, "_modules"));
}

static int visit_pair(struct walk *w, const struct frame *f, uint32_t i)
{
    const struct sc_pk *key = f->v->as.seq.item[2 * (size_t)i];
    struct way way = {.at = {.kind = KEY, .as.key = key}, .plain = f->plain};
    if (f->state && is_module_part(key))
        way.at.kind = NOTHING;
    if (key->cut)
        return name_too_long(w);
    return visit(w, f->v->as.seq.item[2 * (size_t)i + 1], &way);
}

static int visit_item(struct walk *w, const struct frame *f, uint32_t i)
{
    struct way way = {.at = {.kind = INDEX, .as.index = i}};
    uint32_t n_words = 0;
    for (size_t k = 0; k < SC_COUNT(word_lists); k++)
        if (word_lists[k].list == f->words)
            n_words = word_lists[k].n;
    if (i < n_words) {
        way.at.kind = WORD;
        way.at.as.word = f->words[i];
    }
    if (f->bare) {
        way.at.kind = NOTHING;
        way.state = true;
    }
    return visit(w, f->v->as.seq.item[i], &way);
}

/* What an object consists of, in the order of the names that people expect. */
static int visit_object_part(struct walk *w, const struct frame *f, uint32_t i)
{
    const struct sc_pk_object *object = f->v->as.object;
    struct sc_pk *const part[] = {object->args, object->list, object->dict, object->state};
    const struct way way = {.state = i == 3};
    return part[i] ? visit(w, part[i], &way) : 0;
}

/* Tensors inside of a tensor, and the attributes that it carries. */
static int visit_tensor_part(struct walk *w, const struct frame *f, uint32_t i)
{
    struct sc_torch_peeled peeled;
    struct way way = {.state = i > 0};
    struct sc_pk *part = NULL;
    if (!sc_torch_peel(f->v, &peeled))
        return 0;
    if (i == 1)
        part = peeled.state;
    if (i == 2)
        part = f->v->as.object->state;
    if (i == 0 && peeled.role == SC_PK_ROLE_QTENSOR && peeled.args->n > 4) {
        part = peeled.args->as.seq.item[4];
        way.words = words_quantizer;
    }
    if (i == 0 && peeled.role == SC_PK_ROLE_SPARSE && peeled.args->n > 1) {
        part = peeled.args->as.seq.item[1];
        /* COO has its size, compressed layouts have their values as item 2. */
        way.words =
            sc_pk_made_by(sc_pk_item(part, 2)) >= SC_PK_ROLE_BUILDER ? words_csr : words_coo;
    }
    if (i == 0 && peeled.role == SC_PK_ROLE_NESTED) {
        part = peeled.args;
        way.words = words_nested;
    }
    return part ? visit(w, part, &way) : 0;
}

/* The next child of the top frame, or the end of it. */
static int step(struct walk *w)
{
    struct frame *top = &w->frames[w->n - 1];
    if (top->next >= children(top->v, top->parts)) {
        top->v->walk &= (uint8_t)~WALKING;
        w->n--;
        w->named = SC_MIN(w->named, w->n);
        return 0;
    }
    const uint32_t i = top->next++;
    const struct frame f = *top; /* entering a child may move the frames */
    if (f.parts)
        return visit_tensor_part(w, &f, i);
    if (f.v->kind == SC_PK_OBJECT)
        return visit_object_part(w, &f, i);
    return f.v->kind == SC_PK_DICT ? visit_pair(w, &f, i) : visit_item(w, &f, i);
}

int sc_torch_walk(struct sc_torch *t, struct sc_pk *root, const char *prefix)
{
    struct walk w = {.t = t, .repeats = REPEATS + sc_pickle_nodes(t->pickle)};
    const struct way way = {
        .at = {.kind = prefix[0] ? WORD : NOTHING, .as.word = prefix},
        .plain = true,
    };
    int code = visit(&w, root, &way);
    for (uint64_t steps = 0; w.n > 0 && code == 0; steps++) {
        if (steps % 65536 == 0 && sc_cancelled(t->c))
            code = sc_fail(t->e, SCRUPLE_EINTERRUPTED, "interrupted");
        else
            code = step(&w);
    }
    if (code == 0 && w.shortened)
        code = SC_TORCH_WARN(t, "torch.shared", SC_NO_TENSOR,
                             "values are shared so often that not all of their names are listed");
    free(w.frames);
    sc_buf_clear(&w.name);
    return code;
}
