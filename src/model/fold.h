/* SPDX-License-Identifier: Apache-2.0 */
/* fold: between fold.c, which finds the stored tensors that may belong together, and the
 * fold_*.c files, which know the layouts. Private to the model layer.
 *
 * A stem is what the parts of one weight share: "model.layers.0.mlp.up_proj." (with its dot, or
 * empty) when the weight is called `weight`, else the whole name of the weight, as in
 * "...experts.gate_up_proj". The parts of a stem are kept by slot; a slot is filled once. */
#ifndef SC_MODEL_FOLD_H
#define SC_MODEL_FOLD_H

#include "model/model.h"

/* Every job a stored tensor can have, in the order in which the parts are listed.
 * X(slot, enum sc_part, scheme it belongs to and to no other) */
#define SC_FOLD_SLOTS(X)                                                                           \
    X(WEIGHT, WEIGHT, PLAIN)                                                                       \
    X(PACKED, WEIGHT, PLAIN)                                                                       \
    X(BLOCKS, WEIGHT, PLAIN)                                                                       \
    X(QWEIGHT, WEIGHT, PLAIN)                                                                      \
    X(SCALE_INV, SCALE, PLAIN)    /* _scale_inv */                                                 \
    X(WEIGHT_SCALE, SCALE, PLAIN) /* _scale of the weight */                                       \
    X(SCALE, SCALE, PLAIN)        /* .scale beside the weight */                                   \
    X(QSCALE, SCALE, PLAIN)       /* .qscale_weight */                                             \
    X(SCALES, SCALE, PLAIN)       /* .scales */                                                    \
    X(BLOCK_SCALES, SCALE, PLAIN) /* _scales beside _blocks */                                     \
    X(SCB, SCALE, PLAIN)                                                                           \
    X(ABSMAX, SCALE, PLAIN)                                                                        \
    X(SCALE_2, SCALE_2, PLAIN)                                                                     \
    X(GLOBAL_SCALE, SCALE_2, PLAIN)                                                                \
    X(NESTED_ABSMAX, SCALE_2, PLAIN)                                                               \
    X(ZERO_POINT, ZERO, PLAIN)                                                                     \
    X(QZEROS, ZERO, PLAIN)                                                                         \
    X(BIASES, BIAS, PLAIN)                                                                         \
    X(WEIGHT_G_IDX, ORDER, PLAIN)                                                                  \
    X(G_IDX, ORDER, PLAIN)                                                                         \
    X(WEIGHT_SHAPE, SHAPE, PLAIN)                                                                  \
    X(QUANT_MAP, MAP, PLAIN)                                                                       \
    X(NESTED_QUANT_MAP, MAP, PLAIN)                                                                \
    X(STATE_NF4, STATE, PLAIN)                                                                     \
    X(STATE_FP4, STATE, PLAIN)                                                                     \
    X(WEIGHT_FORMAT, STATE, PLAIN)                                                                 \
    X(HQQ_W_Q, WEIGHT, HQQ)                                                                        \
    X(HQQ_ZERO, ZERO, HQQ)                                                                         \
    X(HQQ_SHAPE, SHAPE, HQQ)                                                                       \
    X(HQQ_NBITS, STATE, HQQ)                                                                       \
    X(HQQ_GROUP_SIZE, STATE, HQQ)                                                                  \
    X(HQQ_AXIS, STATE, HQQ)                                                                        \
    X(HQQ_PACKING, STATE, HQQ)                                                                     \
    X(HQQ_VIEW_DTYPE, STATE, HQQ)                                                                  \
    X(HQQ_VIEW_AS_FLOAT, STATE, HQQ)                                                               \
    X(HQQ_QUANT_SCALE, STATE, HQQ)                                                                 \
    X(HQQ_QUANT_ZERO, STATE, HQQ)                                                                  \
    X(HQQ_COMPUTE_DTYPE, STATE, HQQ)                                                               \
    X(HQQ_OFFLOAD_META, STATE, HQQ)                                                                \
    X(HQQ_ENCODED, STATE, HQQ)                                                                     \
    X(HQQ_STORES_CONFIG, STATE, HQQ)                                                               \
    X(HQQ_CHANNEL_WISE, STATE, HQQ)                                                                \
    X(HQQ_OPTIMIZE, STATE, HQQ)                                                                    \
    X(HQQ_ROUND_ZERO, STATE, HQQ)                                                                  \
    X(AQLM_CODES, WEIGHT, AQLM)                                                                    \
    X(AQLM_CODEBOOKS, MAP, AQLM)                                                                   \
    X(QUIP_QIDXS, WEIGHT, QUIP)                                                                    \
    X(QUIP_SU, SCALE, QUIP)                                                                        \
    X(QUIP_SV, SCALE, QUIP)                                                                        \
    X(QUIP_WSCALE, SCALE_2, QUIP)                                                                  \
    X(QUIP_CODEBOOK_ID, STATE, QUIP)                                                               \
    X(EXL2_Q_WEIGHT, WEIGHT, EXL2)                                                                 \
    X(EXL2_Q_SCALE, SCALE, EXL2)                                                                   \
    X(EXL2_Q_SCALE_MAX, SCALE_2, EXL2)                                                             \
    X(EXL2_Q_GROUPS, STATE, EXL2)                                                                  \
    X(EXL2_Q_GROUP_MAP, STATE, EXL2)                                                               \
    X(EXL2_Q_INVPERM, ORDER, EXL2)                                                                 \
    X(EXL2_Q_PERM, ORDER, EXL2)                                                                    \
    X(EXL3_TRELLIS, WEIGHT, EXL3)                                                                  \
    X(EXL3_SUH, SCALE, EXL3)                                                                       \
    X(EXL3_SVH, SCALE, EXL3)                                                                       \
    X(EXL3_SU, SCALE, EXL3)                                                                        \
    X(EXL3_SV, SCALE, EXL3)                                                                        \
    X(EXL3_MCG, STATE, EXL3)                                                                       \
    X(EXL3_MUL1, STATE, EXL3)                                                                      \
    X(VPTQ_INDICES, WEIGHT, VPTQ)                                                                  \
    X(VPTQ_OUTLIER_INDICES, OTHER, VPTQ)                                                           \
    X(VPTQ_CENTROIDS, MAP, VPTQ)                                                                   \
    X(VPTQ_RES_CENTROIDS, MAP, VPTQ)                                                               \
    X(VPTQ_OUTLIER_CENTROIDS, MAP, VPTQ)                                                           \
    X(VPTQ_WEIGHT_BIAS, BIAS, VPTQ)                                                                \
    X(VPTQ_PERM, ORDER, VPTQ)                                                                      \
    X(SPQR_DENSE, WEIGHT, SPQR)                                                                    \
    X(SPQR_ROW_OFFSETS, OTHER, SPQR)                                                               \
    X(SPQR_COL_VALS, OTHER, SPQR)                                                                  \
    X(SPQR_IN_PERM, ORDER, SPQR)                                                                   \
    X(AO_QDATA, WEIGHT, TORCHAO)                                                                   \
    X(AO_SCALE, SCALE, TORCHAO)                                                                    \
    X(AO_SCALE_AND_ZERO, SCALE, TORCHAO)                                                           \
    X(AO_ZERO_POINT, ZERO, TORCHAO)                                                                \
    X(AO_PRE_SCALE, OTHER, TORCHAO)

enum sc_fold_slot {
#define SC_FOLD_X(slot, part, scheme) SC_SLOT_##slot,
    SC_FOLD_SLOTS(SC_FOLD_X)
#undef SC_FOLD_X
        SC_SLOT_COUNT
};
extern const uint8_t sc_slot_scheme[SC_SLOT_COUNT]; /* enum sc_layout; PLAIN: shared */

/* What the layouts ask about an element type. */
enum sc_fold_type {
    SC_TYPE_OTHER,
    SC_TYPE_FLOAT, /* F16, BF16, F32, F64: the types of scales */
    SC_TYPE_F8,    /* any 8-bit float that is not E8M0 */
    SC_TYPE_E8M0,
    SC_TYPE_F4,    /* shape counts values */
    SC_TYPE_F4_X2, /* shape counts bytes */
    SC_TYPE_U8,
    SC_TYPE_I8,
    SC_TYPE_INT, /* I16, I32, I64, U16, U64 */
    SC_TYPE_U32,
    SC_TYPE_BLOCK,
};

struct sc_fold {
    struct sc_model *m;
    const struct sc_catalog *c;
    uint8_t *types; /* enum sc_fold_type by codec id */
    size_t n_types;
    struct sc_source *file; /* the file that was read last; NULL: it could not be opened */
    uint32_t file_index;    /* UINT32_MAX: none yet */
};

/* The parts found for one stem. */
#define SC_NO_ENTRY UINT32_MAX
struct sc_fold_group {
    struct sc_str stem;
    uint32_t slot[SC_SLOT_COUNT]; /* entry, or SC_NO_ENTRY */
};
static inline bool sc_has(const struct sc_fold_group *g, enum sc_fold_slot slot)
{
    return g->slot[slot] != SC_NO_ENTRY;
}
static inline const struct sc_entry *
sc_part_of(const struct sc_fold *f, const struct sc_fold_group *g, enum sc_fold_slot slot)
{
    return &f->c->entries[g->slot[slot]];
}
static inline enum sc_fold_type sc_type_of(const struct sc_fold *f, const struct sc_entry *en)
{
    return en->dtype < f->n_types ? (enum sc_fold_type)f->types[en->dtype] : SC_TYPE_OTHER;
}

/* What a layout makes of a group. */
struct sc_fold_pick {
    const char *dtype; /* a constant, or a name in the codec table */
    uint64_t shape[SC_MAX_RANK];
    uint16_t group;
    uint8_t rank, layout, bits;
    uint8_t main;             /* slot that holds the codes */
    bool take[SC_SLOT_COUNT]; /* slots that become parts; main is implied */
};

/* A layout looks at the group and fills *p. 1: the parts belong together; 0: they do not fit;
 * negative: an error that ends the opening. *p is cleared before the call, main is WEIGHT. */
typedef int sc_fold_fn(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                       struct sc_error *e);
sc_fold_fn sc_fold_float, sc_fold_gpt_oss, sc_fold_packed;            /* fold_float.c */
sc_fold_fn sc_fold_gptq_awq, sc_fold_mlx, sc_fold_bnb8, sc_fold_bnb4; /* fold_int.c */
sc_fold_fn sc_fold_hqq, sc_fold_aqlm, sc_fold_quip, sc_fold_exl2, sc_fold_exl3, sc_fold_vptq,
    sc_fold_spqr, sc_fold_torchao; /* fold_opaque.c */

/* fold_int.c: compressed-tensors words; p->main is SC_SLOT_PACKED. */
sc_fold_fn sc_fold_ct_words;

/* fold_float.c: whether a tensor of scales can belong to a weight of the logical shape `dims`;
 * *group gets sc_tensor.group. `block` is the length of a block along K by the configuration, or
 * 0. */
bool sc_scale_fits(const uint64_t *dims, size_t rank, const struct sc_entry *scale, uint64_t block,
                   uint16_t *group);
/* The value of sc_tensor.group for K inputs in n groups. */
uint16_t sc_group_of(uint64_t k, uint64_t n);
/* "INT4"; NULL: no such label. */
const char *sc_int_label(uint64_t bits);

/* fold_read.c: the whole of a tiny stored tensor. 1: *n bytes are in dst; 0: they cannot be had (a
 * warning was recorded unless there is no repository at all); negative: an error. */
#define SC_TINY 4096
int sc_fold_read(struct sc_fold *f, uint32_t entry, uint8_t dst[SC_TINY], size_t *n,
                 struct sc_error *e);
/* A shape stored as integers. 1: *rank dimensions are in dims. */
int sc_fold_read_shape(struct sc_fold *f, uint32_t entry, uint64_t *dims, size_t *rank,
                       struct sc_error *e);
/* A warning "fold.shape": what the entry tells is not used, and why. */
int sc_fold_doubt(struct sc_fold *f, uint32_t entry, const char *why, struct sc_error *e);
/* The JSON of bitsandbytes. 1: what it says is in *s (0 or NULL where it is silent). */
struct sc_bnb_state {
    uint64_t shape[8];
    size_t rank;
    uint64_t blocksize;
};
int sc_fold_read_state(struct sc_fold *f, uint32_t entry, struct sc_bnb_state *s,
                       struct sc_error *e);
void sc_fold_read_end(struct sc_fold *f);

#endif
