/* SPDX-License-Identifier: Apache-2.0 */
/* diff_known: figures of an earlier run, by the content of both sides, and what is left to do. */
#include <stddef.h>

#include "analyze/diff_parts.h"

/* The part of a record that belongs to a key. */
static void *part_of(struct sc_change *c, enum sc_diff_todo part, size_t *n)
{
    *n = part == SC_DIFF_TODO_SPECTRUM ? sizeof c->difference
                                       : offsetof(struct sc_change, difference);
    return part == SC_DIFF_TODO_SPECTRUM ? (void *)&c->difference : (void *)c;
}

bool sc_diff_is_limited(const struct sc_diff_work *r, const struct sc_change *c)
{
    const struct sc_spectrum *s = &c->difference;

    return r->measure.memory && s->method == SC_SPECTRUM_ESTIMATE &&
           SC_MIN(s->rows, s->cols) <= r->measure.max_rank;
}

/* false: nothing names the content of one of them. */
static bool make_key(struct sc_diff_work *r, enum sc_diff_todo part, bool limited,
                     struct sc_values *a, struct sc_values *b)
{
    r->key.n = 0;
    if (part == SC_DIFF_TODO_CHANGE)
        sc_buf_printf(&r->key, "change %d%s %s\n", SC_CHANGE_VERSION,
                      r->d->methods & SC_METHOD_ULP ? " ulp" : "",
                      r->casts && r->casts->off ? "none"
                      : r->o->casts_text        ? r->o->casts_text
                                                : "");
    else
        sc_buf_printf(&r->key, "change spectrum %d %llu", SC_HEALTH_VERSION,
                      (unsigned long long)r->measure.max_rank);
    if (limited)
        sc_buf_printf(&r->key, " within %llu", (unsigned long long)r->measure.memory);
    if (part == SC_DIFF_TODO_SPECTRUM)
        sc_buf_putc(&r->key, '\n');
    const bool first = sc_values_identity(a, &r->key);
    sc_buf_putc(&r->key, '\n');
    return first && sc_values_identity(b, &r->key) && !r->key.failed;
}

void sc_diff_remember(struct sc_diff_work *r, size_t i, enum sc_diff_todo part)
{
    const bool limited =
        part == SC_DIFF_TODO_SPECTRUM && sc_diff_is_limited(r, sc_diff_change(r, i));
    struct sc_values *a = NULL, *b = NULL;
    size_t n;

    if (r->results && sc_diff_open_pair(r, i, &a, &b, NULL) == 0 &&
        make_key(r, part, limited, a, b)) {
        const void *p = part_of(sc_diff_change(r, i), part, &n);
        sc_results_put(r->results, sc_str(r->key.p, r->key.n), p, n);
    }
    sc_values_close(a);
    sc_values_close(b);
}

static bool recall(struct sc_diff_work *r, size_t i, enum sc_diff_todo part, bool limited,
                   struct sc_values *a, struct sc_values *b)
{
    size_t n;
    void *p = part_of(sc_diff_change(r, i), part, &n);

    return r->results && make_key(r, part, limited, a, b) &&
           sc_results_get(r->results, sc_str(r->key.p, r->key.n), p, n);
}

int sc_diff_give_up_on(struct sc_diff_work *r, size_t i, const struct sc_error *why)
{
    struct sc_diff_pair *p = &r->d->pairs[i];
    struct sc_buf text = {0};

    (void)sc_put_safe(&text, sc_strz(why->text[0] ? why->text : sc_code_text(why->code)), 0);
    p->status = SC_DIFF_UNREADABLE;
    p->unsupported = why->code == SCRUPLE_EUNSUPPORTED;
    p->why = text.failed ? NULL : sc_arena_copy(&r->d->arena, text.n ? text.p : "", text.n);
    sc_buf_clear(&text);
    return p->why ? 0 : sc_fail_memory(r->e);
}

/* Of a part: its share. */
static uint64_t bytes_read_of(const struct sc_tensor *t, const struct sc_arrangement *how)
{
    double values = 0;

    for (size_t i = 0; how && i < how->n; i++)
        if (how->step[i].kind == SC_STEP_ROWS)
            values = (double)how->step[i].cols * (double)how->step[i].n[0] *
                     (double)how->step[i].n[1] * (double)how->step[i].n[2];
    if (!(values > 0) || values >= (double)t->parameters)
        return t->bytes;
    return (uint64_t)((double)t->bytes * (values / (double)t->parameters));
}

uint64_t sc_diff_bytes_of(const struct sc_diff_work *r, size_t i)
{
    const struct sc_diff_pair *p = &r->d->pairs[i];
    uint64_t n = r->d->has_base ? bytes_read_of(&r->d->a->tensors[p->pair.a], p->pair.how_a) : 0;

    return sc_add_up(n, bytes_read_of(&r->d->b->tensors[p->pair.b], p->pair.how_b));
}

int sc_diff_look_up(struct sc_diff_work *r, size_t i)
{
    struct sc_values *a = NULL, *b = NULL;
    struct sc_error why = {0};

    r->todo[i] =
        SC_DIFF_TODO_CHANGE | (r->d->methods & SC_METHOD_SPECTRAL ? SC_DIFF_TODO_SPECTRUM : 0);
    sc_diff_change(r, i)->difference.method = SC_SPECTRUM_NONE;
    int code = sc_diff_open_pair(r, i, &a, &b, &why);
    if (code == 0 && recall(r, i, SC_DIFF_TODO_CHANGE, false, a, b))
        r->todo[i] &= (uint8_t)~SC_DIFF_TODO_CHANGE;
    if (code == 0 && (r->todo[i] & SC_DIFF_TODO_SPECTRUM) &&
        (recall(r, i, SC_DIFF_TODO_SPECTRUM, false, a, b) ||
         recall(r, i, SC_DIFF_TODO_SPECTRUM, true, a, b)))
        r->todo[i] &= (uint8_t)~SC_DIFF_TODO_SPECTRUM;
    sc_values_close(a);
    sc_values_close(b);
    if (code < 0) {
        why.code = code;
        r->todo[i] = 0;
        if (!sc_diff_ends(code))
            return sc_diff_give_up_on(r, i, &why);
        *r->e = why;
        return code;
    }
    if (!(r->todo[i] & SC_DIFF_TODO_CHANGE))
        r->d->n_known++;
    else
        r->total = sc_add_up(r->total, sc_diff_bytes_of(r, i));
    return 0;
}
