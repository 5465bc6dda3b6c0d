/* SPDX-License-Identifier: Apache-2.0 */
/* pickle_value: the values of the pickle machine, its stack and its memo, and what they may cost.
 *
 * Owns: making and growing values. Does not own: what the opcodes do with them (pickle.c).
 *
 * Everything is charged to one budget when it is made and never refunded: a pickle that makes and
 * drops values in a loop is stopped as early as one that keeps them. */
#include "format/pickle_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a pickle may take before it meets a tensor, and for each: name, storage, shape, strides, and
 * its place in the memo take some 900 bytes. */
#define FREE_MEMORY   (UINT64_C(24) << 20)
#define TENSOR_MEMORY 2048

/* A name that is not yet known costs a row here and one in the catalog. */
#define GLOBAL_COST  512
#define NAME_COLUMNS 200

uint64_t sc_pickle_memory(uint64_t stored_bytes)
{
    const uint64_t floor = UINT64_C(16) << 20, ceiling = UINT64_C(512) << 20;
    if (stored_bytes > (ceiling - floor) / 64)
        return ceiling;
    return floor + 64 * stored_bytes;
}

int sc_pickle_new(struct sc_catalog *c, uint32_t file, uint64_t memory, struct sc_pickle **out,
                  struct sc_error *e)
{
    struct sc_pickle *p = sc_calloc(1, sizeof *p);
    if (!p)
        return sc_fail_memory(e);
    /* The stack exists from the start, so that a pointer into it always points somewhere. */
    if (sc_grow(&p->stack, &p->cap, 64, sizeof p->stack[0], e) < 0) {
        free(p);
        return SCRUPLE_EMEMORY;
    }
    p->c = c;
    p->file = file;
    p->limit = memory;
    p->none.kind = SC_PK_NONE;
    p->empty.kind = SC_PK_TUPLE;
    p->yes = (struct sc_pk){.kind = SC_PK_BOOL, .as.b = true};
    p->no = (struct sc_pk){.kind = SC_PK_BOOL, .as.b = false};
    for (size_t i = 0; i < SC_COUNT(p->small); i++)
        p->small[i] = (struct sc_pk){.kind = SC_PK_INT, .as.i = (int64_t)i};
    *out = p;
    return 0;
}

void sc_pickle_free(struct sc_pickle *p)
{
    if (!p)
        return;
    sc_arena_clear(&p->arena);
    free(p->stack);
    free(p->marks);
    free(p->near);
    free(p->far);
    sc_index_clear(&p->far_index);
    free(p->globals);
    sc_index_clear(&p->global_index);
    free(p->persistent);
    free(p->window);
    free(p);
}

struct sc_pk *const *sc_pickle_persistent(const struct sc_pickle *p, size_t *n)
{
    *n = p->n_persistent;
    return p->persistent;
}

uint64_t sc_pickle_tensors(const struct sc_pickle *p)
{
    return p->tensors;
}

uint64_t sc_pickle_arrays(const struct sc_pickle *p)
{
    return p->arrays;
}

uint64_t sc_pickle_nodes(const struct sc_pickle *p)
{
    return p->nodes;
}

/* --------------------------------------------------------------------------------- budget --- */

static int charge(struct sc_pickle *p, uint64_t n)
{
    /* Never less than before: both terms only grow. */
    const uint64_t limit = SC_MIN(p->limit, FREE_MEMORY + TENSOR_MEMORY * p->tensors);
    if (n > limit - p->spent)
        return sc_fail(p->e, SCRUPLE_ELIMIT,
                       "%s needs more than %llu MiB of values, the most that a pickle of its size "
                       "with %llu tensors is given",
                       p->in->what, (unsigned long long)(limit >> 20),
                       (unsigned long long)p->tensors);
    p->spent += n;
    return 0;
}

void *sc_pk_alloc(struct sc_pickle *p, size_t n, size_t align, int *code)
{
    *code = charge(p, n);
    if (*code < 0)
        return NULL;
    void *mem = sc_arena_alloc(&p->arena, n, align);
    if (!mem)
        *code = sc_fail_memory(p->e);
    return mem;
}

/* sc_grow(), charged. The block before it is not refunded: both exist while one is copied. */
static int grow(struct sc_pickle *p, void *array_ptr, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return 0;
    const size_t wish = SC_MAX(need, *cap + *cap / 2);
    TRY(charge(p, (uint64_t)wish * size));
    return sc_grow(array_ptr, cap, wish, size, p->e);
}

/* --------------------------------------------------------------------------------- values --- */

int sc_pk_new(struct sc_pickle *p, enum sc_pk_kind kind, struct sc_pk **out)
{
    int code;
    if (p->nodes >= SC_MAX_PICKLE_NODES)
        return sc_fail(p->e, SCRUPLE_ELIMIT, "%s makes more than %llu values", p->in->what,
                       (unsigned long long)SC_MAX_PICKLE_NODES);
    struct sc_pk *v = sc_pk_alloc(p, sizeof *v, _Alignof(struct sc_pk), &code);
    if (!v)
        return code;
    p->nodes++;
    *v = (struct sc_pk){.kind = (uint8_t)kind};
    *out = v;
    return 0;
}

int sc_pk_new_text(struct sc_pickle *p, enum sc_pk_kind kind, struct sc_str text, bool cut,
                   struct sc_pk **out)
{
    int code;
    TRY(sc_pk_new(p, kind, out));
    (*out)->cut = cut || text.n > SC_MAX_NAME;
    (*out)->as.s = sc_str("", 0);
    if ((*out)->cut || text.n == 0)
        return 0;
    char *copy = sc_pk_alloc(p, text.n, 1, &code);
    if (!copy)
        return code;
    memcpy(copy, text.p, text.n);
    (*out)->as.s = sc_str(copy, text.n);
    return 0;
}

int sc_pk_new_int(struct sc_pickle *p, int64_t i, struct sc_pk **out)
{
    if (i >= 0 && i < (int64_t)SC_COUNT(p->small)) {
        *out = &p->small[i];
        return 0;
    }
    TRY(sc_pk_new(p, SC_PK_INT, out));
    (*out)->as.i = i;
    return 0;
}

static int reserve_items(struct sc_pickle *p, struct sc_pk *v, size_t n)
{
    int code;
    if (n > UINT32_MAX - v->n)
        return sc_fail(p->e, SCRUPLE_ELIMIT, "%s has a list of more than %u items", p->in->what,
                       UINT32_MAX);
    const size_t need = v->n + n;
    if (need <= v->as.seq.cap)
        return 0;
    const size_t cap = v->n == 0 ? need : SC_MAX(need, v->as.seq.cap * 2);
    struct sc_pk **item = sc_pk_alloc(p, cap * sizeof item[0], _Alignof(struct sc_pk *), &code);
    if (!item)
        return code;
    if (v->n)
        memcpy(item, v->as.seq.item, v->n * sizeof item[0]);
    v->as.seq.item = item;
    v->as.seq.cap = cap;
    return 0;
}

int sc_pk_append(struct sc_pickle *p, struct sc_pk *v, struct sc_pk *const *items, size_t n)
{
    if (n == 0)
        return 0;
    TRY(reserve_items(p, v, n));
    memcpy(v->as.seq.item + v->n, items, n * sizeof items[0]);
    v->n += (uint32_t)n;
    return 0;
}

int sc_pk_new_sequence(struct sc_pickle *p, enum sc_pk_kind kind, struct sc_pk *const *items,
                       size_t n, struct sc_pk **out)
{
    if (kind == SC_PK_TUPLE && n == 0) {
        *out = &p->empty;
        return 0;
    }
    TRY(sc_pk_new(p, kind, out));
    return sc_pk_append(p, *out, items, n);
}

int sc_pk_new_object(struct sc_pickle *p, const struct sc_pk *func, struct sc_pk *args,
                     struct sc_pk **out)
{
    int code;
    TRY(sc_pk_new(p, SC_PK_OBJECT, out));
    struct sc_pk_object *object =
        sc_pk_alloc(p, sizeof *object, _Alignof(struct sc_pk_object), &code);
    if (!object)
        return code;
    *object = (struct sc_pk_object){.func = func, .args = args};
    (*out)->as.object = object;
    return 0;
}

int sc_pk_new_persistent(struct sc_pickle *p, struct sc_pk *id, struct sc_pk **out)
{
    TRY(sc_pk_new(p, SC_PK_PERSISTENT, out));
    (*out)->as.id = id;
    TRY(grow(p, &p->persistent, &p->persistent_cap, p->n_persistent + 1, sizeof p->persistent[0]));
    p->persistent[p->n_persistent++] = *out;
    p->tensors++;
    return 0;
}

/* -------------------------------------------------------------------------------- globals --- */

/* Counts a mention in the catalog; a name that would run code is a finding, once. */
static int count_global(struct sc_pickle *p, const struct sc_pk_global *g, bool called)
{
    return sc_catalog_add_import(p->c, p->file, g->dotted, called, (enum sc_verdict)g->verdict,
                                 p->e);
}

/* "module.name" as it may be shown. */
static int dotted_name(struct sc_pickle *p, struct sc_str module, struct sc_str name,
                       struct sc_str *out)
{
    struct sc_buf raw = {0}, safe = {0};
    int code = 0;
    sc_buf_put(&raw, module.p, module.n);
    sc_buf_putc(&raw, '.');
    sc_buf_put(&raw, name.p, name.n);
    if (!raw.failed)
        sc_put_safe(&safe, sc_str(raw.p, raw.n), NAME_COLUMNS);
    const char *copy = NULL;
    if (raw.failed || safe.failed || !safe.p)
        code = sc_fail_memory(p->e);
    else if (!(copy = sc_arena_copy(&p->arena, safe.p, safe.n)))
        code = sc_fail_memory(p->e);
    *out = sc_str(copy, safe.n);
    sc_buf_clear(&raw);
    sc_buf_clear(&safe);
    return code;
}

static int add_global(struct sc_pickle *p, struct sc_str module, struct sc_str name, uint64_t hash,
                      struct sc_pk_global **out)
{
    int code;
    TRY(charge(p, GLOBAL_COST));
    struct sc_pk_global *g =
        sc_pk_alloc(p, sizeof *g + module.n + name.n, _Alignof(struct sc_pk_global), &code);
    if (!g)
        return code;
    char *text = (char *)(g + 1);
    memcpy(text, module.p, module.n);
    memcpy(text + module.n, name.p, name.n);
    enum sc_pk_role role;
    *g = (struct sc_pk_global){.module = sc_str(text, module.n),
                               .name = sc_str(text + module.n, name.n)};
    g->verdict = (uint8_t)sc_pk_judge(g->module, g->name, &role);
    g->role = (uint8_t)role;
    TRY(dotted_name(p, module, name, &g->dotted));
    TRY(sc_grow(&p->globals, &p->globals_cap, p->n_globals + 1, sizeof p->globals[0], p->e));
    TRY(sc_index_put(&p->global_index, hash, (uint32_t)p->n_globals, p->e));
    p->globals[p->n_globals++] = g;
    *out = g;
    if (g->verdict != SC_VERDICT_DANGER)
        return 0;
    if (!p->danger)
        p->danger = g->dotted.p;
    return sc_problem(p->c, SC_WARNING, "pickle.danger", p->file, SC_NO_TENSOR,
                      p->in->offset == SC_NO_OFFSET ? SC_NO_OFFSET : p->in->offset + p->pos, p->e,
                      "would run code if loaded with pickle: %s", g->dotted.p);
}

int sc_pk_new_global(struct sc_pickle *p, struct sc_str module, struct sc_str name,
                     struct sc_pk **out)
{
    const uint64_t hash = sc_hash_mix(sc_hash(module.p, module.n), sc_hash(name.p, name.n));
    struct sc_pk_global *g = NULL;
    size_t probe = 0;
    for (uint32_t id; (id = sc_index_next(&p->global_index, hash, &probe)) != UINT32_MAX;) {
        if (sc_str_eq(p->globals[id]->module, module) && sc_str_eq(p->globals[id]->name, name)) {
            g = p->globals[id];
            break;
        }
    }
    if (!g)
        TRY(add_global(p, module, name, hash, &g));
    TRY(sc_pk_new(p, SC_PK_GLOBAL, out));
    (*out)->as.global = g;
    return count_global(p, g, false);
}

int sc_pk_count_call(struct sc_pickle *p, const struct sc_pk *func)
{
    return func->kind == SC_PK_GLOBAL ? count_global(p, func->as.global, true) : 0;
}

/* -------------------------------------------------------------------------- stack and memo --- */

int sc_pk_push(struct sc_pickle *p, struct sc_pk *v)
{
    if (SC_UNLIKELY(p->n == p->cap))
        TRY(grow(p, &p->stack, &p->cap, p->n + 1, sizeof p->stack[0]));
    p->stack[p->n++] = v;
    return 0;
}

int sc_pk_mark(struct sc_pickle *p)
{
    TRY(grow(p, &p->marks, &p->marks_cap, p->n_marks + 1, sizeof p->marks[0]));
    p->marks[p->n_marks++] = p->n;
    return 0;
}

static struct sc_pk_far *find_far(const struct sc_pickle *p, uint64_t key)
{
    const uint64_t hash = sc_hash(&key, sizeof key);
    size_t probe = 0;
    if (p->n_far == 0)
        return NULL;
    for (uint32_t id; (id = sc_index_next(&p->far_index, hash, &probe)) != UINT32_MAX;)
        if (p->far[id].key == key)
            return &p->far[id];
    return NULL;
}

struct sc_pk *sc_pk_memo_get(const struct sc_pickle *p, uint64_t key)
{
    if (key < p->n_near)
        return p->near[key];
    const struct sc_pk_far *far = find_far(p, key);
    return far ? far->value : NULL;
}

int sc_pk_memo_put(struct sc_pickle *p, uint64_t key, struct sc_pk *v)
{
    if (key < p->n_near) {
        p->near[key] = v;
        return 0;
    }
    struct sc_pk_far *far = find_far(p, key);
    if (key == p->n_near) {
        TRY(grow(p, &p->near, &p->near_cap, p->n_near + 1, sizeof p->near[0]));
        p->near[p->n_near++] = v; /* hides a far one with this index from now on */
        p->memo_size += !far;
        return 0;
    }
    if (far) {
        far->value = v;
        return 0;
    }
    if (p->n_far >= UINT32_MAX - 1)
        return sc_fail(p->e, SCRUPLE_ELIMIT, "%s memoises too much", p->in->what);
    TRY(charge(p, 2 * sizeof(uint64_t))); /* its share of the index */
    TRY(grow(p, &p->far, &p->far_cap, p->n_far + 1, sizeof p->far[0]));
    TRY(sc_index_put(&p->far_index, sc_hash(&key, sizeof key), (uint32_t)p->n_far, p->e));
    p->far[p->n_far++] = (struct sc_pk_far){key, v};
    p->memo_size++;
    return 0;
}

void sc_pk_reset(struct sc_pickle *p)
{
    p->n = 0;
    p->n_marks = 0;
    p->n_near = 0;
    p->n_far = 0;
    p->memo_size = 0;
    sc_index_clear(&p->far_index);
    p->window_len = 0;
    p->fetched = 0;
    p->kept = 0;
    p->skip = 0;
    p->pos = 0;
}
