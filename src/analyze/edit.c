/* SPDX-License-Identifier: Apache-2.0 */
/* edit: which bytes an edit changes.
 *
 *   boxes --> elements, sorted by tensor and place --> block by block: read, change, compare
 *
 * Elements of one block are changed one after the other in the same bytes, so it does not matter
 * which wish they come from. */
#include "analyze/edit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MEAN_STEP = 1 << 16, MOST_BLOCK = 512 };

struct element {
    uint64_t at; /* in its tensor */
    uint32_t tensor, wish;
};
struct planning {
    const struct sc_model *m;
    struct sc_edit_wishes *w;
    struct sc_edit_patches *out;
    bool refit;
    const _Atomic int *cancel;
    struct element *elements;
    size_t n;
    /* of the tensor at work */
    const struct sc_entry *entry;
    sc_codec_id codec;
    const struct sc_codec *c;
    sc_decode64_fn *decode;
    sc_encode_fn *encode; /* refit; else NULL */
    bool has_bits, swap;
    double mean;
    sc_codec_id bits_of; /* whose bits these are */
    struct sc_own_bits bits;
};

void sc_edit_patches_clear(struct sc_edit_patches *p)
{
    free(p->p);
    free(p->old);
    free(p->new);
    *p = (struct sc_edit_patches){0};
}

/* ------------------------------------------------------------------------------- elements --- */

static int ascending(const void *a, const void *b)
{
    const struct element *x = a, *y = b;

    if (x->tensor != y->tensor)
        return x->tensor < y->tensor ? -1 : 1;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->wish < y->wish ? -1 : x->wish > y->wish;
}

/* All elements of a box, in row-major order. */
static void expand(struct planning *x, uint32_t wish)
{
    const struct sc_edit_wish *w = &x->w->p[wish];
    const struct sc_tensor *t = &x->m->tensors[w->tensor];
    uint64_t place[SC_MAX_RANK] = {0}, size[SC_MAX_RANK];

    for (size_t k = 0; k < w->rank; k++)
        size[k] = t->shape[k];
    for (size_t k = w->rank; w->rank == 2 && k < t->rank; k++)
        size[1] *= t->shape[k]; /* row and column */
    for (uint64_t i = 0; i < w->elements; i++) {
        uint64_t at = 0;
        for (size_t k = 0; k < w->rank; k++)
            at = at * size[k] + w->from[k] + place[k];
        x->elements[x->n++] = (struct element){at, w->tensor, wish};
        for (size_t k = w->rank; k-- > 0;) {
            if (++place[k] < w->n[k])
                break;
            place[k] = 0;
        }
    }
}

static int list_elements(struct planning *x, struct sc_error *e)
{
    uint64_t n = 0;
    struct sc_quoted q;

    for (size_t i = 0; i < x->w->n; i++)
        n = sc_add_up(n, x->w->p[i].elements);
    if (n > SC_EDIT_MOST)
        return sc_fail(e, SCRUPLE_ELIMIT, "%llu elements are named, an edit changes at most %d",
                       (unsigned long long)n, SC_EDIT_MOST);
    x->elements = sc_alloc((size_t)n * sizeof *x->elements);
    if (!x->elements)
        return sc_fail_memory(e);
    for (uint32_t i = 0; i < x->w->n; i++)
        expand(x, i);
    sc_sort(x->elements, x->n, sizeof *x->elements, ascending);
    for (size_t i = 1; i < x->n; i++)
        if (x->elements[i].tensor == x->elements[i - 1].tensor &&
            x->elements[i].at == x->elements[i - 1].at)
            return sc_fail(e, SCRUPLE_EUSAGE, "two edits change an element of \"%s\"",
                           sc_quote(&q, sc_strz(x->w->p[x->elements[i].wish].place)));
    return 0;
}

int sc_edit_held(const struct sc_model *m, const struct sc_edit_wishes *w, struct sc_held **out,
                 size_t *n, struct sc_error *e)
{
    struct planning x = {.m = m, .w = (struct sc_edit_wishes *)(uintptr_t)w};
    int code = list_elements(&x, e);

    *out = NULL;
    *n = 0;
    if (code == 0 && !(*out = sc_alloc(SC_MAX(x.n, (size_t)1) * sizeof **out)))
        code = sc_fail_memory(e);
    for (size_t i = 0; i < x.n && code == 0; i++)
        (*out)[(*n)++] = (struct sc_held){x.elements[i].tensor, x.elements[i].at};
    free(x.elements);
    return code;
}

/* --------------------------------------------------------------------------------- tensors --- */

static int refuse(const struct planning *x, const struct sc_tensor *t, const char *why,
                  struct sc_error *e)
{
    struct sc_quoted q;

    (void)x;
    return sc_fail(e, SCRUPLE_EUNSUPPORTED, "tensor \"%s\" cannot be edited: %s",
                   sc_quote(&q, sc_tensor_name(t)), why);
}

/* NULL: its elements lie in the file as they are. */
static const char *why_not(const struct planning *x, const struct sc_tensor *t)
{
    const struct sc_entry *en = x->entry;
    const char *format = x->m->catalog->files[en->file].format->name;

    if (t->n_parts != 1)
        return "codes and scales are tensors of their own";
    if (strcmp(format, "torch") == 0)
        return "archives of PyTorch hold checksums of their tensors; quant -c fp32 --write makes "
               "a safetensors model of it";
    if (strcmp(format, "npz") == 0)
        return "archives of NumPy hold checksums of their arrays";
    if (en->view != SC_NO_STORAGE || (en->flags & (SC_ENTRY_FORTRAN | SC_ENTRY_BROKEN)))
        return "its elements do not lie one after the other";
    if (en->dtype >= SC_FOREIGN_TYPE || !sc_decoder64((sc_codec_id)en->dtype))
        return "elements of its type have no value by themselves";
    if (sc_codec((sc_codec_id)en->dtype)->row_bytes ||
        sc_codec((sc_codec_id)en->dtype)->bytes > MOST_BLOCK ||
        sc_codec((sc_codec_id)en->dtype)->block > SC_OWN_BLOCK ||
        sc_codec_values((sc_codec_id)en->dtype) != 1)
        return "elements of its type are not numbers of their own";
    return NULL;
}

static int open_tensor(struct planning *x, uint32_t tensor, struct sc_error *e)
{
    const struct sc_tensor *t = &x->m->tensors[tensor];

    x->entry = &x->m->catalog->entries[t->main];
    x->mean = (double)NAN;
    const char *why = why_not(x, t);
    if (why)
        return refuse(x, t, why, e);
    x->codec = (sc_codec_id)x->entry->dtype;
    x->c = sc_codec(x->codec);
    x->decode = sc_decoder64(x->codec);
    x->swap = (x->entry->flags & SC_ENTRY_BIG_ENDIAN) != 0;
    x->encode =
        x->refit && x->c->kind == SC_KIND_BLOCK ? sc_encoder(x->codec, sc_cpu_level()) : NULL;
    const bool sums = strcmp(x->c->name, "Q8_1") == 0 || strcmp(x->c->name, "Q8_K") == 0;
    if (sums)
        return refuse(x, t, "its blocks hold sums of their codes", e);
    if (x->refit && x->c->kind == SC_KIND_BLOCK && !x->encode)
        return refuse(x, t, "there is no encoder for its type", e);
    if (x->encode || sc_can_put(x->codec, NULL))
        return 0;
    if (x->bits_of != x->codec) {
        x->bits_of = x->codec;
        x->has_bits = sc_own_bits_find(x->codec, &x->bits);
    }
    if (x->has_bits)
        return 0;
    return refuse(x, t,
                  sc_encoder(x->codec, SC_CPU_C)
                      ? "elements of its type share their codes; --refit encodes their blocks anew"
                      : "elements of its type share their codes, and there is no encoder for it",
                  e);
}

int sc_edit_mean(const struct sc_model *m, uint32_t tensor, const _Atomic int *cancel, double *mean,
                 struct sc_error *e)
{
    struct sc_values *v = NULL;
    double sum = 0, *part = sc_alloc(MEAN_STEP * sizeof *part);
    uint64_t n = 0;

    int code = part ? sc_values_open(m, tensor, &v, e) : sc_fail_memory(e);
    for (uint64_t at = 0; code == 0 && at < v->count; at += MEAN_STEP) {
        const uint64_t here = SC_MIN(v->count - at, (uint64_t)MEAN_STEP);
        code = cancel && atomic_load(cancel) ? sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted")
                                             : sc_values_read64(v, at, here, part, e);
        for (uint64_t i = 0; i < here && code == 0; i++)
            if (isfinite(part[i])) {
                sum += part[i];
                n++;
            }
    }
    *mean = n ? sum / (double)n : 0;
    sc_values_close(v);
    free(part);
    return code;
}

/* --------------------------------------------------------------------------------- patches --- */

static int add_patch(struct planning *x, uint64_t offset, const uint8_t *old, const uint8_t *new,
                     size_t n, struct sc_error *e)
{
    struct sc_edit_patches *out = x->out;
    struct sc_edit_patch *last = out->n ? &out->p[out->n - 1] : NULL;

    TRY(sc_grow(&out->old, &out->old_cap, out->bytes + n, 1, e));
    TRY(sc_grow(&out->new, &out->new_cap, out->bytes + n, 1, e));
    memcpy(out->old + out->bytes, old, n);
    memcpy(out->new + out->bytes, new, n);
    if (last && last->file == x->entry->file && last->offset + last->n == offset) {
        last->n += n;
    } else {
        TRY(sc_grow(&out->p, &out->cap, out->n + 1, sizeof *out->p, e));
        out->p[out->n++] = (struct sc_edit_patch){x->entry->file, offset, n, out->bytes};
    }
    out->bytes += n;
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct sc_edit_patch *x = a, *y = b;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* ---------------------------------------------------------------------------------- blocks --- */

static double ask(const struct planning *x, const struct sc_edit_wish *w, double was)
{
    switch (w->op) {
    case SC_EDIT_SCALE:
        return was * w->x;
    case SC_EDIT_MEAN:
        return x->mean;
    case SC_EDIT_SET:
        return w->x;
    default:
        return 0;
    }
}

/* The whole block again, the named elements with what is asked. */
static void refit(struct planning *x, const struct element *el, size_t n, const double *asked,
                  const double *was, uint8_t *block)
{
    float values[SC_OWN_BLOCK];

    for (size_t i = 0; i < x->c->block; i++)
        values[i] = (float)was[i];
    for (size_t i = 0; i < n; i++)
        values[el[i].at % x->c->block] = (float)asked[i];
    x->encode(values, block, 1);
}

/* What became of the elements of a block, and of the others in it. */
static void tell(struct planning *x, const struct element *el, size_t n, const double *asked,
                 const double *was, const double *held)
{
    size_t next = 0;

    for (size_t i = 0; i < x->c->block; i++) {
        const double moved = fabs(held[i] - was[i]);
        if (next < n && el[next].at % x->c->block == i) {
            struct sc_edit_wish *w = &x->w->p[el[next].wish];
            if (isnan(w->held)) { /* the first */
                w->was = was[i];
                w->asked = asked[next];
                w->held = held[i];
            }
            w->worst = SC_MAX(w->worst, fabs(held[i] - asked[next]));
            next++;
        } else if (moved > 0) {
            struct sc_edit_wish *w = &x->w->p[el[0].wish];
            w->neighbours++;
            w->neighbours_worst = SC_MAX(w->neighbours_worst, moved);
        }
    }
}

/* n elements that lie in one block. */
static int edit_block(struct planning *x, struct sc_source *s, const struct element *el, size_t n,
                      struct sc_error *e)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): set with the tensor */
    const uint64_t offset = x->entry->offset + el[0].at / x->c->block * x->c->bytes;
    uint8_t old[MOST_BLOCK], block[MOST_BLOCK];
    double was[SC_OWN_BLOCK], held[SC_OWN_BLOCK], asked[SC_OWN_BLOCK];

    TRY(sc_source_read(s, offset, old, x->c->bytes, e));
    memcpy(block, old, x->c->bytes);
    if (x->swap)
        sc_codec_swap(x->codec, block, x->c->block);
    x->decode(block, was, 1);
    for (size_t i = 0; i < n; i++) {
        const unsigned k = (unsigned)(el[i].at % x->c->block);
        struct sc_edit_wish *w = &x->w->p[el[i].wish];
        asked[i] = ask(x, w, was[k]);
        if (isnan(asked[i]) && x->c->block > 1)
            return refuse(x, &x->m->tensors[el[i].tensor], "its block holds no number", e);
        if (!x->encode)
            sc_put_element(x->codec, x->has_bits ? &x->bits : NULL, block, k, asked[i]);
    }
    if (x->encode)
        refit(x, el, n, asked, was, block);
    x->decode(block, held, 1);
    tell(x, el, n, asked, was, held);
    if (x->swap)
        sc_codec_swap(x->codec, block, x->c->block);
    if (memcmp(old, block, x->c->bytes) == 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned k = (unsigned)(el[i].at % x->c->block);
        x->w->p[el[i].wish].changed += was[k] != held[k] || signbit(was[k]) != signbit(held[k]);
    }
    return add_patch(x, offset, old, block, x->c->bytes, e);
}

static int edit_tensor(struct planning *x, const struct element *el, size_t n, struct sc_error *e)
{
    struct sc_source *s = NULL;
    bool mean = false;

    TRY(open_tensor(x, el[0].tensor, e));
    for (size_t i = 0; i < n; i++)
        mean |= x->w->p[el[i].wish].op == SC_EDIT_MEAN;
    if (mean)
        TRY(sc_edit_mean(x->m, el[0].tensor, x->cancel, &x->mean, e));
    TRY(sc_model_source(x->m, x->entry->file, &s, e));
    int code = 0;
    for (size_t i = 0, next; i < n && code == 0; i = next) {
        for (next = i + 1; next < n && el[next].at / x->c->block == el[i].at / x->c->block;)
            next++;
        code = x->cancel && atomic_load(x->cancel) ? sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted")
                                                   : edit_block(x, s, el + i, next - i, e);
    }
    sc_model_release(x->m, x->entry->file);
    return code;
}

static int edit_all(struct planning *x, struct sc_error *e)
{
    TRY(list_elements(x, e));
    for (size_t i = 0, next; i < x->n; i = next) {
        for (next = i + 1; next < x->n && x->elements[next].tensor == x->elements[i].tensor;)
            next++;
        TRY(edit_tensor(x, x->elements + i, next - i, e));
    }
    sc_sort(x->out->p, x->out->n, sizeof *x->out->p, by_offset);
    return 0;
}

int sc_edit_plan(const struct sc_model *m, struct sc_edit_wishes *w, bool refit_blocks,
                 const _Atomic int *cancel, struct sc_edit_patches *out, struct sc_error *e)
{
    struct planning x = {.m = m, .w = w, .out = out, .refit = refit_blocks, .cancel = cancel};

    *out = (struct sc_edit_patches){0};
    for (size_t i = 0; i < w->n; i++)
        w->p[i].was = w->p[i].asked = w->p[i].held = (double)NAN;
    const int code = edit_all(&x, e);
    free(x.elements);
    return code;
}
