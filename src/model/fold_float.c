/* SPDX-License-Identifier: Apache-2.0 */
/* fold_float: layouts whose codes are small floats (N outputs, K inputs; scales multiply unless
 * the table says so).
 *
 *     layout    codes                       scales
 *     FP8       F8 [..,N,K]                 *_scale_inv, *_scale, .scale, .qscale_weight: [], [1],
 *                                           [N], [N,1], [..,ceil(N/bn),ceil(K/bk)]
 *     MXFP8     F8 [..,N,K]                 U8 or E8M0 [..,N,K/32]
 *     INT8      I8 [..,N,K]                 float, shapes as FP8; optional zero point
 *     NVFP4     U8 [..,N,K/2] or F4 [..,K]  E4M3 [..,N,K/16] and *_scale_2 or *_global_scale
 *     MXFP4     U8, I8 [..,N,K/2] or F4     U8 or E8M0 [..,N,K/32]
 *     gpt-oss   _blocks U8 [..,N,K/32,16]   _scales U8 [..,N,K/32]
 *     BitNet    U8 [N/4,K]                  one float, which divides
 *     GGML      blocks                      .scale: one float (NVFP4, ternary)
 *
 * The same names serve several of them (`weight` and `weight_scale` alone are FP8, MXFP8, INT8,
 * MXFP4 or BitNet), so types and shapes decide. */
#include "model/fold.h"

#include <string.h>

uint16_t sc_group_of(uint64_t k, uint64_t n)
{
    if (n == 0 || k == 0)
        return 0;
    if (n == 1)
        return UINT16_MAX;
    const uint64_t per = k / n + (k % n != 0);
    return per < UINT16_MAX ? (uint16_t)per : 0;
}

/* n = ceil(d / b) for some whole b. */
static bool divides(uint64_t d, uint64_t n)
{
    if (n == 0 || n > d)
        return d == n;
    const uint64_t b = d / n + (d % n != 0);
    return d / b + (d % b != 0) == n;
}

static uint64_t elements(const struct sc_entry *en)
{
    return sc_entry_elements(en);
}

bool sc_scale_fits(const uint64_t *dims, size_t rank, const struct sc_entry *scale, uint64_t block,
                   uint16_t *group)
{
    *group = 0;
    if (elements(scale) == 1)
        return true;
    if (rank < 2 || scale->rank == 0 || scale->rank > rank)
        return false;
    const uint64_t n = dims[rank - 2], k = dims[rank - 1], *s = scale->shape;
    if (scale->rank < rank) {
        /* One a row, or one for each of the stacked matrices. */
        if (scale->rank == rank - 1 && memcmp(s, dims, (rank - 1) * sizeof s[0]) == 0) {
            *group = UINT16_MAX;
            return true;
        }
        return scale->rank == rank - 2 && memcmp(s, dims, (rank - 2) * sizeof s[0]) == 0;
    }
    for (size_t i = 0; i + 2 < rank; i++)
        if (s[i] != dims[i] && s[i] != 1)
            return false;
    if (!divides(n, s[rank - 2]) || !divides(k, s[rank - 1]))
        return false;
    const uint64_t per = s[rank - 1];
    if (!block && s[rank - 2] == n / 128 + (n % 128 != 0))
        block = 128; /* what every producer of square blocks uses, where nobody says so */
    if (block && per == k / block + (k % block != 0))
        *group = block < UINT16_MAX ? (uint16_t)block : 0;
    else if (per != 1 || s[rank - 2] == n)
        *group = sc_group_of(k, per);
    return true;
}

static bool same_lead(const struct sc_entry *a, const struct sc_entry *b, size_t n)
{
    return a->rank >= n && b->rank >= n && memcmp(a->shape, b->shape, n * sizeof a->shape[0]) == 0;
}

/* The logical shape of 4-bit codes, two in a byte unless the type counts values. */
static bool fp4_shape(const struct sc_fold *f, const struct sc_entry *codes, struct sc_fold_pick *p)
{
    if (codes->rank < 2)
        return false;
    memcpy(p->shape, codes->shape, codes->rank * sizeof p->shape[0]);
    p->rank = codes->rank;
    uint64_t *k = &p->shape[p->rank - 1];
    switch (sc_type_of(f, codes)) {
    case SC_TYPE_F4:
        return true;
    case SC_TYPE_U8:
    case SC_TYPE_I8:
    case SC_TYPE_F4_X2:
        return sc_mul(*k, 2, k);
    case SC_TYPE_OTHER:
    case SC_TYPE_FLOAT:
    case SC_TYPE_F8:
    case SC_TYPE_E8M0:
    case SC_TYPE_INT:
    case SC_TYPE_U32:
    case SC_TYPE_BLOCK:
        break;
    }
    return false;
}

/* Whether scales lie on groups of `per` along K of the shape in p. */
static bool grouped(const struct sc_fold_pick *p, const struct sc_entry *scale, uint64_t per)
{
    const uint64_t k = p->shape[p->rank - 1];
    return scale->rank == p->rank &&
           memcmp(scale->shape, p->shape, (p->rank - 1U) * sizeof p->shape[0]) == 0 &&
           scale->shape[p->rank - 1] == k / per + (k % per != 0);
}

/* NVFP4 when there is a scale for the whole tensor, else MXFP4. Leaves what it does not accept to
 * the next in line: only shape and rank of p have changed then. */
static int fp4(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
               enum sc_fold_slot codes, enum sc_fold_slot scale, enum sc_fold_slot whole)
{
    const struct sc_entry *s = sc_part_of(f, g, scale);
    const enum sc_fold_type type = sc_type_of(f, s);
    if (!fp4_shape(f, sc_part_of(f, g, codes), p))
        return 0;
    if (whole != SC_SLOT_COUNT && sc_has(g, whole)) {
        const struct sc_entry *w = sc_part_of(f, g, whole);
        const uint64_t n = elements(w);
        if (type != SC_TYPE_F8 || sc_type_of(f, w) != SC_TYPE_FLOAT || !grouped(p, s, 16) ||
            (n != 1 && (p->rank < 3 || n != p->shape[0])))
            return 0;
        p->take[whole] = true;
        p->layout = SC_LAYOUT_NVFP4;
        p->dtype = "NVFP4";
        p->group = 16;
    } else {
        if ((type != SC_TYPE_U8 && type != SC_TYPE_E8M0) || !grouped(p, s, 32))
            return 0;
        p->layout = SC_LAYOUT_MXFP4;
        p->dtype = "MXFP4";
        p->group = 32;
    }
    p->take[scale] = true;
    p->main = (uint8_t)codes;
    p->bits = 4;
    return 1;
}

static bool method_is(const struct sc_fold *f, const char *name)
{
    const char *said = f->m->config.quant_method;
    return said && strcmp(said, name) == 0;
}

static int bitnet(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                  enum sc_fold_slot scale)
{
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_WEIGHT);
    const struct sc_entry *s = sc_part_of(f, g, scale);
    if (w->rank != 2 || elements(s) != 1 || sc_type_of(f, s) != SC_TYPE_FLOAT)
        return 0;
    if (f->m->config.quant_method && !method_is(f, "bitnet"))
        return 0; /* bytes of some other scheme */
    p->rank = 2;
    p->shape[1] = w->shape[1];
    if (!sc_mul(w->shape[0], 4, &p->shape[0]))
        return 0;
    p->layout = SC_LAYOUT_BITNET;
    p->dtype = "TERNARY";
    p->bits = 2;
    p->take[scale] = true;
    return 1;
}

/* Codes without their scales are other weights: nobody may take them for the model's unawares. */
static int unscaled(struct sc_fold *f, const struct sc_fold_group *g, enum sc_fold_slot scale,
                    struct sc_error *e)
{
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_WEIGHT), *s = sc_part_of(f, g, scale);
    struct sc_quoted of_weight, of_scale;

    return sc_problem(
        f->m->catalog, SC_WARNING, "fold.scale", s->file, sc_entry_name(w), SC_NO_OFFSET, e,
        "\"%s\" does not have the shape of any scales of \"%s\": that is read without "
        "scales",
        sc_quote(&of_scale, sc_entry_name(s)), sc_quote(&of_weight, sc_entry_name(w)));
}

/* Codes of 8 bits that are values themselves: the shape is that of the codes. */
static int eight(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                 enum sc_fold_slot scale, struct sc_error *e)
{
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_WEIGHT);
    const struct sc_entry *s = sc_part_of(f, g, scale);
    const enum sc_fold_type type = sc_type_of(f, s);
    const bool is_int = sc_type_of(f, w) == SC_TYPE_I8;
    if (w->rank == 0 ||
        (type != SC_TYPE_FLOAT && (is_int || (type != SC_TYPE_E8M0 && type != SC_TYPE_U8))))
        return 0;
    memcpy(p->shape, w->shape, w->rank * sizeof p->shape[0]);
    p->rank = w->rank;
    p->dtype = sc_entry_dtype(f->c, w);
    p->layout = is_int ? SC_LAYOUT_CT_INT : SC_LAYOUT_FP8;
    p->bits = 8;
    p->take[scale] = true;
    if (type != SC_TYPE_FLOAT && w->rank >= 2 && grouped(p, s, 32)) {
        p->dtype = "MXFP8";
        p->group = 32;
        return 1;
    }
    if (type == SC_TYPE_U8) /* plain bytes are no scales of 128 x 128 blocks */
        return 0;
    if (!sc_scale_fits(p->shape, p->rank, s, f->m->config.quant_block[1], &p->group))
        return unscaled(f, g, scale, e);
    if (is_int) {
        p->take[SC_SLOT_ZERO_POINT] = true;
        p->take[SC_SLOT_WEIGHT_G_IDX] = true;
    }
    return 1;
}

static int ggml(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p)
{
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_WEIGHT);
    const struct sc_entry *s = sc_part_of(f, g, SC_SLOT_SCALE);
    const uint64_t n = elements(s);
    if (sc_type_of(f, s) != SC_TYPE_FLOAT || (n != 1 && (w->rank < 3 || n != w->shape[0])))
        return 0;
    memcpy(p->shape, w->shape, w->rank * sizeof p->shape[0]);
    p->rank = w->rank;
    p->dtype = sc_entry_dtype(f->c, w);
    p->layout = SC_LAYOUT_GGML;
    p->take[SC_SLOT_SCALE] = true;
    return 1;
}

int sc_fold_float(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                  struct sc_error *e)
{
    static const enum sc_fold_slot order[] = {SC_SLOT_SCALE_INV, SC_SLOT_WEIGHT_SCALE,
                                              SC_SLOT_SCALE, SC_SLOT_QSCALE};
    if (!sc_has(g, SC_SLOT_WEIGHT))
        return 0;
    size_t i = 0;
    while (!sc_has(g, order[i]))
        i++; /* fold.c calls only when one of them is there */
    switch (sc_type_of(f, sc_part_of(f, g, SC_SLOT_WEIGHT))) {
    case SC_TYPE_F8:
        return eight(f, g, p, order[i], e);
    case SC_TYPE_I8:
        return fp4(f, g, p, SC_SLOT_WEIGHT, order[i], SC_SLOT_SCALE_2)
                   ? 1
                   : eight(f, g, p, order[i], e);
    case SC_TYPE_U8:
        return fp4(f, g, p, SC_SLOT_WEIGHT, order[i], SC_SLOT_SCALE_2) || bitnet(f, g, p, order[i]);
    case SC_TYPE_F4:
    case SC_TYPE_F4_X2:
        return fp4(f, g, p, SC_SLOT_WEIGHT, order[i], SC_SLOT_SCALE_2);
    case SC_TYPE_BLOCK:
        return order[i] == SC_SLOT_SCALE && ggml(f, g, p);
    case SC_TYPE_OTHER:
    case SC_TYPE_FLOAT:
    case SC_TYPE_E8M0:
    case SC_TYPE_INT:
    case SC_TYPE_U32:
        break;
    }
    return 0;
}

int sc_fold_packed(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                   struct sc_error *e)
{
    if (!sc_has(g, SC_SLOT_WEIGHT_SCALE))
        return 0;
    if (sc_type_of(f, sc_part_of(f, g, SC_SLOT_PACKED)) == SC_TYPE_INT)
        return sc_fold_ct_words(f, g, p, e);
    return fp4(f, g, p, SC_SLOT_PACKED, SC_SLOT_WEIGHT_SCALE, SC_SLOT_GLOBAL_SCALE);
}

int sc_fold_gpt_oss(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                    struct sc_error *e)
{
    (void)e;
    if (!sc_has(g, SC_SLOT_BLOCK_SCALES))
        return 0;
    const struct sc_entry *b = sc_part_of(f, g, SC_SLOT_BLOCKS);
    const struct sc_entry *s = sc_part_of(f, g, SC_SLOT_BLOCK_SCALES);
    const enum sc_fold_type type = sc_type_of(f, s);
    if (sc_type_of(f, b) != SC_TYPE_U8 || (type != SC_TYPE_U8 && type != SC_TYPE_E8M0) ||
        b->rank < 3 || b->shape[b->rank - 1] != 16 || s->rank + 1 != b->rank ||
        !same_lead(b, s, s->rank))
        return 0;
    p->rank = s->rank;
    memcpy(p->shape, s->shape, s->rank * sizeof p->shape[0]);
    if (!sc_mul(p->shape[p->rank - 1], 32, &p->shape[p->rank - 1]))
        return 0;
    p->main = SC_SLOT_BLOCKS;
    p->take[SC_SLOT_BLOCK_SCALES] = true;
    p->layout = SC_LAYOUT_MXFP4;
    p->dtype = "MXFP4";
    p->bits = 4;
    p->group = 32;
    return 1;
}
