/* SPDX-License-Identifier: Apache-2.0 */
/* document: building and asking the tree of fields that a renderer prints.
 *
 * Owns: the fields and the copies of keys and texts, all in the document's arena.
 * Does not own: tables' contexts and borrowed texts; whoever adds them keeps them alive.
 */
#include <string.h>

#include "result/result.h"

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)
#define VERSION                                                                                    \
    TEXT(SCRUPLE_VERSION_MAJOR) "." TEXT(SCRUPLE_VERSION_MINOR) "." TEXT(SCRUPLE_VERSION_PATCH)

void sc_document_start(struct sc_document *d, const char *schema)
{
    *d = (struct sc_document){.root = {.key = SC_STR(""), .kind = SC_FIELD_OBJECT}};
    sc_add_textz(d, &d->root, "schema", schema);
    sc_add_textz(d, &d->root, "scruple", VERSION);
}

void sc_document_clear(struct sc_document *d)
{
    sc_arena_clear(&d->arena);
    *d = (struct sc_document){.root = {.kind = SC_FIELD_OBJECT}};
}

static bool copy_text(struct sc_document *d, struct sc_str text, struct sc_str *out)
{
    char *p = sc_arena_copy(&d->arena, text.p, text.n);
    if (!p)
        return false;
    *out = sc_str(p, text.n);
    return true;
}

/* The new last child, or NULL when the document has failed, now or before. */
static struct sc_field *add(struct sc_document *d, struct sc_field *parent, const char *key,
                            enum sc_field_kind kind)
{
    if (d->failed)
        return NULL;
    struct sc_field *f = SC_ARENA_NEW(&d->arena, struct sc_field, 1);
    if (!f) {
        d->failed = true;
        return NULL;
    }
    *f = (struct sc_field){.key = SC_STR(""), .kind = (uint8_t)kind};
    if (key && !copy_text(d, sc_strz(key), &f->key)) {
        d->failed = true;
        return NULL;
    }
    if (parent->as.children.last)
        parent->as.children.last->next = f;
    else
        parent->as.children.first = f;
    parent->as.children.last = f;
    return f;
}

struct sc_field *sc_add_object(struct sc_document *d, struct sc_field *parent, const char *key)
{
    struct sc_field *f = add(d, parent, key, SC_FIELD_OBJECT);
    return f ? f : &d->root;
}

struct sc_field *sc_add_list(struct sc_document *d, struct sc_field *parent, const char *key)
{
    struct sc_field *f = add(d, parent, key, SC_FIELD_LIST);
    return f ? f : &d->root;
}

void sc_add_text(struct sc_document *d, struct sc_field *parent, const char *key,
                 struct sc_str text)
{
    struct sc_field *f = add(d, parent, key, SC_FIELD_TEXT);
    if (f && !copy_text(d, text, &f->as.s))
        d->failed = true;
}

void sc_add_textz(struct sc_document *d, struct sc_field *parent, const char *key, const char *text)
{
    if (text)
        sc_add_text(d, parent, key, sc_strz(text));
    else
        sc_add_null(d, parent, key);
}

void sc_add_borrowed(struct sc_document *d, struct sc_field *parent, const char *key,
                     struct sc_str text)
{
    struct sc_field *f = add(d, parent, key, SC_FIELD_TEXT);
    if (f)
        f->as.s = text;
}

void sc_add_uint(struct sc_document *d, struct sc_field *parent, const char *key, uint64_t v,
                 enum sc_column_kind hint)
{
    struct sc_field *f = add(d, parent, key, SC_FIELD_UINT);
    if (f) {
        f->as.u = v;
        f->hint = (uint8_t)hint;
    }
}

void sc_add_int(struct sc_document *d, struct sc_field *parent, const char *key, int64_t v)
{
    struct sc_field *f = add(d, parent, key, SC_FIELD_INT);
    if (f)
        f->as.i = v;
}

void sc_add_number(struct sc_document *d, struct sc_field *parent, const char *key, double v)
{
    struct sc_field *f = add(d, parent, key, SC_FIELD_NUMBER);
    if (f)
        f->as.f = v;
}

void sc_add_bool(struct sc_document *d, struct sc_field *parent, const char *key, bool v)
{
    struct sc_field *f = add(d, parent, key, SC_FIELD_BOOL);
    if (f)
        f->as.b = v;
}

void sc_add_null(struct sc_document *d, struct sc_field *parent, const char *key)
{
    (void)add(d, parent, key, SC_FIELD_NULL);
}

static struct sc_field *add_table(struct sc_document *d, struct sc_field *parent, const char *key,
                                  const struct sc_table *t)
{
    struct sc_field *f = add(d, parent, key, SC_FIELD_TABLE);
    if (!f)
        return NULL;
    struct sc_table *copy = SC_ARENA_NEW(&d->arena, struct sc_table, 1);
    if (!copy) {
        d->failed = true;
        return NULL;
    }
    *copy = *t;
    f->as.table = copy;
    return f;
}

void sc_add_table(struct sc_document *d, struct sc_field *parent, const char *key,
                  const struct sc_table *t)
{
    (void)add_table(d, parent, key, t);
}

void sc_add_objects(struct sc_document *d, struct sc_field *parent, const char *key,
                    const struct sc_table *t, sc_row_object *object)
{
    struct sc_field *f = add_table(d, parent, key, t);

    if (f)
        f->object = object;
}

void sc_add_table_more(struct sc_document *d, struct sc_field *parent, const char *key,
                       const struct sc_table *t, sc_row_object *more)
{
    struct sc_field *f = add_table(d, parent, key, t);

    if (f)
        f->more = more;
}

const struct sc_field *sc_find_field(const struct sc_field *object, const char *key)
{
    if (!object || object->kind != SC_FIELD_OBJECT)
        return NULL;
    for (const struct sc_field *f = object->as.children.first; f; f = f->next)
        if (sc_str_is(f->key, key))
            return f;
    return NULL;
}

uint64_t sc_find_uint(const struct sc_field *object, const char *key)
{
    const struct sc_field *f = sc_find_field(object, key);
    return f && f->kind == SC_FIELD_UINT ? f->as.u : 0;
}

const struct sc_table *sc_find_table(const struct sc_field *object, const char *key)
{
    const struct sc_field *f = sc_find_field(object, key);
    return f && f->kind == SC_FIELD_TABLE ? f->as.table : NULL;
}

struct sc_str sc_find_text(const struct sc_field *object, const char *key)
{
    const struct sc_field *f = sc_find_field(object, key);
    return f && f->kind == SC_FIELD_TEXT ? f->as.s : sc_str(NULL, 0);
}
