/* SPDX-License-Identifier: Apache-2.0 */
/* fold_opaque: layouts that are recognised and listed as one row, but cannot be decoded.
 *
 *     HQQ      W_q, scale, zero and a dozen settings stored as tensors; `shape` tells [N,K]
 *     AQLM     codes [N/o,K/i,C], codebooks [C,2^b,o,i], scales [N/o,1,1,1]
 *     QuIP#    Qidxs, SU [K], SV [N], Wscale
 *     EXL2     q_weight [..,N], q_scale, q_scale_max, q_groups, q_invperm [K]
 *     EXL3     trellis [K/16,N/16,16*b], suh or su, svh or sv
 *     VPTQ     indices, centroids.weight, ...
 *     SpQR     dense_weights, row_offsets, col_vals
 *     torchao  _weight_qdata, _weight_scale, _weight_zero_point
 *
 * Where the logical shape cannot be known the row keeps the shape of its codes. */
#include "model/fold.h"

#include <string.h>

/* Everything that only this scheme has, and the shape of the codes until something better. */
static void take_scheme(const struct sc_fold *f, const struct sc_fold_group *g,
                        struct sc_fold_pick *p, enum sc_layout scheme, const char *dtype,
                        enum sc_fold_slot main)
{
    const struct sc_entry *w = sc_part_of(f, g, main);
    for (size_t s = 0; s < SC_SLOT_COUNT; s++)
        p->take[s] = sc_slot_scheme[s] == scheme;
    p->layout = (uint8_t)scheme;
    p->dtype = dtype;
    p->main = (uint8_t)main;
    p->rank = w->rank;
    memcpy(p->shape, w->shape, w->rank * sizeof p->shape[0]);
}

static void set_2d(struct sc_fold_pick *p, uint64_t n, uint64_t k)
{
    p->shape[0] = n;
    p->shape[1] = k;
    p->rank = 2;
}

/* Elements of a vector; 0 when it is not there or no vector. */
static uint64_t vector(const struct sc_fold *f, const struct sc_fold_group *g,
                       enum sc_fold_slot slot)
{
    if (!sc_has(g, slot))
        return 0;
    const struct sc_entry *en = sc_part_of(f, g, slot);
    return en->rank == 1 ? en->shape[0] : 0;
}

int sc_fold_hqq(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                struct sc_error *e)
{
    if (!sc_has(g, SC_SLOT_SCALE) || !sc_has(g, SC_SLOT_HQQ_ZERO))
        return 0;
    take_scheme(f, g, p, SC_LAYOUT_HQQ, "HQQ", SC_SLOT_HQQ_W_Q);
    p->take[SC_SLOT_SCALE] = true;
    if (!sc_has(g, SC_SLOT_HQQ_SHAPE))
        return 1;
    uint64_t dims[8], n, most;
    size_t rank;
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_HQQ_W_Q);
    const int code = sc_fold_read_shape(f, g->slot[SC_SLOT_HQQ_SHAPE], dims, &rank, e);
    if (code < 0)
        return code;
    /* Between one and eight codes in a byte, else it is not the shape of these bytes. */
    if (code && sc_product(dims, rank, &n) && sc_mul(w->bytes, 8, &most) && n <= most) {
        memcpy(p->shape, dims, rank * sizeof p->shape[0]);
        p->rank = (uint8_t)rank;
    }
    return 1;
}

int sc_fold_aqlm(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                 struct sc_error *e)
{
    (void)e;
    if (!sc_has(g, SC_SLOT_AQLM_CODEBOOKS) || !sc_has(g, SC_SLOT_SCALES))
        return 0;
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_AQLM_CODES);
    const struct sc_entry *b = sc_part_of(f, g, SC_SLOT_AQLM_CODEBOOKS);
    uint64_t n, k;
    if (w->rank != 3 || b->rank != 4 || w->shape[2] != b->shape[0] ||
        !sc_mul(w->shape[0], b->shape[2], &n) || !sc_mul(w->shape[1], b->shape[3], &k))
        return 0;
    take_scheme(f, g, p, SC_LAYOUT_AQLM, "AQLM", SC_SLOT_AQLM_CODES);
    p->take[SC_SLOT_SCALES] = true;
    set_2d(p, n, k);
    return 1;
}

int sc_fold_quip(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                 struct sc_error *e)
{
    (void)e;
    const uint64_t k = vector(f, g, SC_SLOT_QUIP_SU), n = vector(f, g, SC_SLOT_QUIP_SV);
    if (!k || !n)
        return 0;
    take_scheme(f, g, p, SC_LAYOUT_QUIP, "QUIP#", SC_SLOT_QUIP_QIDXS);
    set_2d(p, n, k);
    return 1;
}

int sc_fold_exl2(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                 struct sc_error *e)
{
    (void)e;
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_EXL2_Q_WEIGHT);
    if (w->rank != 2 || !sc_has(g, SC_SLOT_EXL2_Q_SCALE) || !sc_has(g, SC_SLOT_EXL2_Q_GROUPS))
        return 0;
    take_scheme(f, g, p, SC_LAYOUT_EXL2, "EXL2", SC_SLOT_EXL2_Q_WEIGHT);
    const uint64_t k = vector(f, g, SC_SLOT_EXL2_Q_INVPERM);
    if (k)
        set_2d(p, w->shape[1], k);
    return 1;
}

int sc_fold_exl3(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                 struct sc_error *e)
{
    (void)e;
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_EXL3_TRELLIS);
    const uint64_t suh = vector(f, g, SC_SLOT_EXL3_SUH), svh = vector(f, g, SC_SLOT_EXL3_SVH);
    uint64_t n, k;
    if (w->rank != 3 || !(suh || sc_has(g, SC_SLOT_EXL3_SU)) ||
        !(svh || sc_has(g, SC_SLOT_EXL3_SV)) || !sc_mul(w->shape[0], 16, &k) ||
        !sc_mul(w->shape[1], 16, &n) || (suh && suh != k) || (svh && svh != n))
        return 0;
    take_scheme(f, g, p, SC_LAYOUT_EXL3, "EXL3", SC_SLOT_EXL3_TRELLIS);
    set_2d(p, n, k);
    if (w->shape[2] % 16 == 0 && w->shape[2] / 16 <= 8)
        p->bits = (uint8_t)(w->shape[2] / 16);
    return 1;
}

int sc_fold_vptq(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                 struct sc_error *e)
{
    (void)e;
    if (!sc_has(g, SC_SLOT_VPTQ_CENTROIDS))
        return 0;
    take_scheme(f, g, p, SC_LAYOUT_VPTQ, "VPTQ", SC_SLOT_VPTQ_INDICES);
    p->take[SC_SLOT_WEIGHT_SCALE] = true;
    return 1;
}

int sc_fold_spqr(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                 struct sc_error *e)
{
    (void)e;
    if (!sc_has(g, SC_SLOT_SPQR_ROW_OFFSETS) || !sc_has(g, SC_SLOT_SPQR_COL_VALS))
        return 0;
    take_scheme(f, g, p, SC_LAYOUT_SPQR, "SPQR", SC_SLOT_SPQR_DENSE);
    return 1;
}

int sc_fold_torchao(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                    struct sc_error *e)
{
    (void)e;
    if (!sc_has(g, SC_SLOT_AO_SCALE) && !sc_has(g, SC_SLOT_AO_SCALE_AND_ZERO))
        return 0;
    take_scheme(f, g, p, SC_LAYOUT_TORCHAO, "TORCHAO", SC_SLOT_AO_QDATA);
    return 1;
}
