/* SPDX-License-Identifier: Apache-2.0 */
/* pickle: the machine on its own. The first byte chooses which persistent ids are allowed and
 * whether reading is lenient; the rest are pickles, one after the other, in one machine. Every
 * value that can be reached is touched. */
#include "fuzz.h"

#include "format/pickle.h"

#define NODES_MAX 100000

struct walk {
    struct sc_pk **todo;
    size_t n, cap, seen;
};

static void later(struct walk *w, struct sc_pk *v)
{
    if (!v || w->seen >= NODES_MAX)
        return;
    FUZZ_CHECK(v->kind <= SC_PK_PERSISTENT);
    if (v->walk)
        return;
    v->walk = 1;
    w->seen++;
    FUZZ_CHECK(sc_grow(&w->todo, &w->cap, w->n + 1, sizeof w->todo[0], NULL) == 0);
    w->todo[w->n++] = v;
}

/* What the machine hands out as const is shared; its contents are looked at, not marked. */
static void touch_global(const struct sc_pk *v)
{
    const struct sc_pk_global *g = v->as.global;
    enum sc_pk_role role;
    FUZZ_CHECK(g->verdict <= SC_VERDICT_DANGER);
    FUZZ_CHECK(sc_pk_judge(g->module, g->name, &role) == (enum sc_verdict)g->verdict);
    FUZZ_CHECK(role == (enum sc_pk_role)g->role);
    FUZZ_CHECK(g->dotted.p[g->dotted.n] == '\0');
    fuzz_check_safe(g->dotted, "");
}

static void touch_text(const struct sc_pk *v)
{
    volatile char last;
    if (v->cut)
        return;
    FUZZ_CHECK(v->as.s.n <= SC_MAX_NAME || v->kind == SC_PK_BIGINT);
    if (v->as.s.n)
        last = v->as.s.p[v->as.s.n - 1];
    (void)last;
}

static void touch(struct walk *w, struct sc_pk *v)
{
    switch ((enum sc_pk_kind)v->kind) {
    case SC_PK_NONE:
    case SC_PK_BOOL:
    case SC_PK_INT:
    case SC_PK_FLOAT:
        break;
    case SC_PK_BIGINT:
    case SC_PK_BYTES:
    case SC_PK_STR:
        touch_text(v);
        break;
    case SC_PK_DICT:
        FUZZ_CHECK(v->n % 2 == 0);
        /* fall through */
    case SC_PK_TUPLE:
    case SC_PK_LIST:
    case SC_PK_SET:
        for (uint32_t i = 0; i < v->n; i++) {
            FUZZ_CHECK(v->as.seq.item[i]);
            later(w, v->as.seq.item[i]);
        }
        break;
    case SC_PK_GLOBAL:
        touch_global(v);
        break;
    case SC_PK_OBJECT: {
        const struct sc_pk_object *o = v->as.object;
        FUZZ_CHECK(o->func && (o->func->kind == SC_PK_GLOBAL || o->func->kind == SC_PK_OBJECT ||
                               o->func->kind <= SC_PK_PERSISTENT));
        FUZZ_CHECK(o->args);
        later(w, o->state);
        later(w, o->dict);
        later(w, o->list);
        for (uint32_t i = 0; sc_pk_is_sequence(o->args) && i < o->args->n; i++)
            later(w, o->args->as.seq.item[i]);
        break;
    }
    case SC_PK_PERSISTENT:
        later(w, v->as.id);
        break;
    }
}

static void touch_all(struct sc_pickle *p, struct sc_pk *root)
{
    struct walk w = {0};
    size_t n;
    struct sc_pk *const *ids = sc_pickle_persistent(p, &n);

    later(&w, root);
    for (size_t i = 0; i < n; i++)
        later(&w, ids[i]);
    while (w.n)
        touch(&w, w.todo[--w.n]);
    free(w.todo);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const struct sc_open_options o = {.lenient = data[0] & 4};
    struct sc_catalog *c = fuzz_catalog("fuzz.pkl", size, &o);
    struct sc_pickle *p;
    struct sc_source *s;
    struct sc_error e = {0};
    struct sc_pk *last = NULL;

    FUZZ_CHECK(sc_memory_open(data, size, "fuzz.pkl", &s, NULL) == 0);
    FUZZ_CHECK(sc_pickle_new(c, 0, sc_pickle_memory(size), &p, &e) == 0);
    for (uint64_t at = 1; at < size;) {
        struct sc_pickle_stretch stretch = {.source = s, .pos = at, .end = size};
        const struct sc_pickle_input in = {.read = sc_pickle_read_stretch,
                                           .ctx = &stretch,
                                           .size = size - at,
                                           .offset = at,
                                           .what = "fuzz.pkl",
                                           .ids = (enum sc_pk_ids)(data[0] & 3)};
        struct sc_pk *result = NULL;
        uint64_t used = 0;
        const int code = sc_pickle_run(p, &in, &result, &used, &e);
        if (code < 0) {
            fuzz_check_error(code, &e);
            FUZZ_CHECK(!o.lenient || code == SCRUPLE_ELIMIT);
            break;
        }
        FUZZ_CHECK(result || o.lenient);
        if (!result)
            break;
        FUZZ_CHECK(used > 0 && used <= size - at);
        last = result;
        at += used;
    }
    touch_all(p, last);
    FUZZ_CHECK(sc_pickle_nodes(p) <= SC_MAX_PICKLE_NODES);
    sc_pickle_free(p);
    sc_source_close(s);
    fuzz_check_catalog(c);
    sc_catalog_close(c);
    return 0;
}
