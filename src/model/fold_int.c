/* SPDX-License-Identifier: Apache-2.0 */
/* fold_int: layouts whose codes are integers (N outputs, K inputs, b bits, g inputs a scale).
 *
 *     GPTQ       qweight I32 [K*b/32,N], qzeros I32 [G,ceil(N*b/32)], scales [G,N], g_idx [K]
 *     AWQ        qweight I32 [K,N*b/32], qzeros I32 [G,N*b/32],       scales [G,N]
 *     ct-pack    weight_packed I32 [N,ceil(K*b/32)], weight_scale [N,K/g], weight_shape I64 [2],
 *                weight_zero_point I32 [ceil(N*b/32),K/g], weight_g_idx [K]
 *     MLX        weight U32 [..,N,K*b/32], scales and biases float [..,N,K/g]; or U8 scales without
 *                biases: mxfp4 (32 a scale), mxfp8 (32), nvfp4 (16)
 *     bnb int8   weight I8 [N,K], SCB F32 [N], weight_format U8 []
 *     bnb 4-bit  weight U8 [N*K/2,1] and below it absmax, quant_map, quant_state.bitsandbytes__*,
 *                nested_absmax, nested_quant_map
 *
 * No file says b, so it follows from two shapes at once; where several would do, the configuration
 * decides, then what is common. */
#include "model/fold.h"

#include <string.h>

const char *sc_int_label(uint64_t bits)
{
    static const char *const labels[] = {NULL,   "INT1", "INT2", "INT3", "INT4",
                                         "INT5", "INT6", "INT7", "INT8"};
    return bits < SC_COUNT(labels) ? labels[bits] : NULL;
}

/* ceil(n * bits / 32) words hold n codes; 0 when that does not fit in 64 bits. */
static uint64_t words_for(uint64_t n, uint64_t bits)
{
    uint64_t all;
    return sc_mul(n, bits, &all) ? all / 32 + (all % 32 != 0) : 0;
}

/* Codes of `bits` in whole words: n * 32 / bits, when that is a whole number. */
static bool codes_in(uint64_t words, uint64_t bits, uint64_t *out)
{
    uint64_t all;
    if (!sc_mul(words, 32, &all) || all % bits != 0)
        return false;
    *out = all / bits;
    return true;
}

static void set_2d(struct sc_fold_pick *p, uint64_t n, uint64_t k)
{
    p->shape[0] = n;
    p->shape[1] = k;
    p->rank = 2;
}

static bool is_int_matrix(const struct sc_fold *f, const struct sc_entry *en)
{
    return en->rank == 2 && sc_type_of(f, en) == SC_TYPE_INT &&
           sc_codec((sc_codec_id)en->dtype)->bytes == 4;
}

static bool is_float_matrix(const struct sc_fold *f, const struct sc_entry *en)
{
    return en->rank == 2 && sc_type_of(f, en) == SC_TYPE_FLOAT;
}

/* ------------------------------------------------------------------------- GPTQ and AWQ --- */
struct gptq {
    const struct sc_entry *q, *zeros, *scales, *index; /* zeros and index may be NULL */
};

static bool gptq_fits(const struct gptq *t, uint64_t bits, uint64_t *k)
{
    const uint64_t n = t->q->shape[1], groups = t->scales->shape[0];
    if (t->scales->shape[1] != n || !codes_in(t->q->shape[0], bits, k))
        return false;
    if (t->zeros && (t->zeros->shape[0] != groups || t->zeros->shape[1] != words_for(n, bits)))
        return false;
    if (t->index && sc_entry_elements(t->index) != *k)
        return false;
    return groups > 0 && groups <= *k;
}

static bool awq_fits(const struct gptq *t, uint64_t bits, uint64_t *k)
{
    const uint64_t groups = t->scales->shape[0];
    uint64_t n;
    *k = t->q->shape[0];
    return t->zeros && !t->index && codes_in(t->q->shape[1], bits, &n) &&
           t->scales->shape[1] == n && t->zeros->shape[0] == groups &&
           t->zeros->shape[1] == t->q->shape[1] && groups > 0 && groups <= *k;
}

int sc_fold_gptq_awq(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                     struct sc_error *e)
{
    static const uint8_t usual[] = {4, 8, 3, 2};
    (void)e;
    if (!sc_has(g, SC_SLOT_SCALES))
        return 0;
    struct gptq t = {.q = sc_part_of(f, g, SC_SLOT_QWEIGHT),
                     .scales = sc_part_of(f, g, SC_SLOT_SCALES)};
    if (!is_int_matrix(f, t.q) || !is_float_matrix(f, t.scales))
        return 0;
    if (sc_has(g, SC_SLOT_QZEROS)) {
        t.zeros = sc_part_of(f, g, SC_SLOT_QZEROS);
        if (!is_int_matrix(f, t.zeros))
            return 0;
    }
    if (sc_has(g, SC_SLOT_G_IDX))
        t.index = sc_part_of(f, g, SC_SLOT_G_IDX);

    const int64_t said = f->m->config.quant_bits;
    for (size_t i = 0; i <= SC_COUNT(usual); i++) {
        const uint64_t bits = i > 0 ? usual[i - 1] : said > 0 && said <= 8 ? (uint64_t)said : 4;
        uint64_t k;
        /* Without zeros and order nothing ties the words to K: only the configuration can. */
        const bool tied = t.zeros || t.index || (i == 0 && said > 0);
        const bool gptq = tied && gptq_fits(&t, bits, &k);
        if (!gptq && !awq_fits(&t, bits, &k))
            continue;
        set_2d(p, t.scales->shape[1], k);
        p->layout = gptq ? SC_LAYOUT_GPTQ : SC_LAYOUT_AWQ;
        p->dtype = sc_int_label(bits);
        p->bits = (uint8_t)bits;
        p->group = sc_group_of(k, t.scales->shape[0]);
        p->main = SC_SLOT_QWEIGHT;
        p->take[SC_SLOT_SCALES] = p->take[SC_SLOT_QZEROS] = p->take[SC_SLOT_G_IDX] = true;
        return 1;
    }
    return 0;
}

/* --------------------------------------------------------------------- compressed-tensors --- */
/* Whether K codes of `bits` fill so many words: as a bit stream, or with whole codes only. */
static bool fills(uint64_t k, uint64_t bits, uint64_t words)
{
    const uint64_t per = 32 / bits;
    return words_for(k, bits) == words || k / per + (k % per != 0) == words;
}

static uint64_t ct_bits(const struct sc_fold *f, uint64_t k, uint64_t words)
{
    static const uint8_t usual[] = {4, 8, 2, 3, 6, 5, 7, 1};
    const int64_t said = f->m->config.quant_bits;
    if (said > 0 && said <= 8 && fills(k, (uint64_t)said, words))
        return (uint64_t)said;
    for (size_t i = 0; i < SC_COUNT(usual); i++)
        if (fills(k, usual[i], words))
            return usual[i];
    return 0;
}

/* Without a readable weight_shape: the most columns the words can hold, cropped to what g_idx or
 * the groups of the configuration say. */
static uint64_t ct_guess(const struct sc_fold *f, const struct sc_fold_group *g, uint64_t words,
                         uint64_t groups, uint64_t *k)
{
    const int64_t said = f->m->config.quant_bits, per = f->m->config.quant_group;
    const uint64_t bits = said > 0 && said <= 8 ? (uint64_t)said : 4;
    uint64_t n;
    if (!sc_mul(words, 32 / bits, k))
        return 0;
    if (sc_has(g, SC_SLOT_WEIGHT_G_IDX))
        n = sc_entry_elements(sc_part_of(f, g, SC_SLOT_WEIGHT_G_IDX));
    else if (per <= 0 || groups < 2 || !sc_mul(groups, (uint64_t)per, &n))
        return bits;
    if (n < *k && fills(n, bits, words))
        *k = n;
    return bits;
}

int sc_fold_ct_words(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                     struct sc_error *e)
{
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_PACKED);
    const struct sc_entry *s = sc_part_of(f, g, SC_SLOT_WEIGHT_SCALE);
    if (!is_int_matrix(f, w) || sc_type_of(f, s) != SC_TYPE_FLOAT || s->rank == 0 || s->rank > 2)
        return 0;
    const uint64_t n = w->shape[0], words = w->shape[1], groups = s->rank == 2 ? s->shape[1] : 1;
    uint64_t dims[8], k = 0, bits = 0;
    size_t rank = 0;
    if (sc_has(g, SC_SLOT_WEIGHT_SHAPE)) {
        const int code = sc_fold_read_shape(f, g->slot[SC_SLOT_WEIGHT_SHAPE], dims, &rank, e);
        if (code < 0)
            return code;
        if (code && rank == 2 && dims[0] == n) {
            k = dims[1];
            bits = ct_bits(f, k, words);
        }
        if (code && !bits)
            TRY(sc_fold_doubt(f, g->slot[SC_SLOT_WEIGHT_SHAPE],
                              "the tensor that tells it says more or less than was packed", e));
    }
    if (!bits)
        bits = ct_guess(f, g, words, groups, &k);
    set_2d(p, n, k);
    const int64_t per = f->m->config.quant_group;
    if (!bits || !sc_scale_fits(p->shape, 2, s, per > 0 ? (uint64_t)per : 0, &p->group))
        return 0;
    p->layout = SC_LAYOUT_CT_PACK;
    p->dtype = sc_int_label(bits);
    p->bits = (uint8_t)bits;
    p->main = SC_SLOT_PACKED;
    p->take[SC_SLOT_WEIGHT_SCALE] = p->take[SC_SLOT_WEIGHT_SHAPE] = true;
    p->take[SC_SLOT_ZERO_POINT] = p->take[SC_SLOT_WEIGHT_G_IDX] = true;
    return 1;
}

/* -------------------------------------------------------------------------------------- MLX --- */
/* What the configuration says about this module; the module's own entry wins. */
static void mlx_said(const struct sc_fold *f, struct sc_str stem, uint64_t *bits, uint64_t *group)
{
    const struct sc_config *c = &f->m->config;
    const struct sc_str module = sc_str(stem.p, stem.n ? stem.n - 1 : 0);
    *bits = c->quant_bits > 0 ? (uint64_t)c->quant_bits : 0;
    *group = c->quant_group > 0 ? (uint64_t)c->quant_group : 0;
    size_t low = 0, high = c->n_quant_modules;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const struct sc_quant_module *q = &c->quant_modules[mid];
        const int order = sc_str_cmp(module, sc_strz(q->name));
        if (order == 0) {
            *bits = q->bits ? q->bits : *bits;
            *group = q->group ? q->group : *group;
            return;
        }
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
}

/* bits * group from words and scales a row; the pair from what is said or usual. */
static bool mlx_pair(uint64_t product, uint64_t said_bits, uint64_t said_group, uint64_t *bits,
                     uint64_t *group)
{
    const uint64_t groups[] = {said_group, said_bits ? product / said_bits : 0, 64, 32, 128, 16};
    for (size_t i = 0; i < SC_COUNT(groups); i++) {
        *group = groups[i];
        if (*group == 0 || product % *group != 0)
            continue;
        *bits = product / *group;
        if (*bits >= 2 && *bits <= 8 && *bits != 7)
            return true;
    }
    return false;
}

int sc_fold_mlx(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                struct sc_error *e)
{
    static const struct {
        const char *dtype;
        uint8_t bits, group;
    } modes[] = {{"MXFP4", 4, 32}, {"MXFP8", 8, 32}, {"NVFP4", 4, 16}};
    (void)e;
    if (!sc_has(g, SC_SLOT_WEIGHT))
        return 0;
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_WEIGHT);
    const struct sc_entry *s = sc_part_of(f, g, SC_SLOT_SCALES);
    const struct sc_entry *b = sc_has(g, SC_SLOT_BIASES) ? sc_part_of(f, g, SC_SLOT_BIASES) : NULL;
    const size_t rank = w->rank;
    if (sc_type_of(f, w) != SC_TYPE_U32 || rank < 2 || s->rank != rank ||
        memcmp(w->shape, s->shape, (rank - 1) * sizeof w->shape[0]) != 0)
        return 0;
    const uint64_t words = w->shape[rank - 1], groups = s->shape[rank - 1];
    uint64_t row, product, bits = 0, group = 0, said_bits, said_group;
    if (groups == 0 || !sc_mul(words, 32, &row) || row % groups != 0)
        return 0;
    product = row / groups;
    if (b) {
        if (sc_type_of(f, s) != SC_TYPE_FLOAT || sc_type_of(f, b) != SC_TYPE_FLOAT ||
            b->rank != rank || memcmp(b->shape, s->shape, rank * sizeof s->shape[0]) != 0)
            return 0;
        mlx_said(f, g->stem, &said_bits, &said_group);
        if (!mlx_pair(product, said_bits, said_group, &bits, &group))
            return 0;
        p->dtype = sc_int_label(bits);
    } else {
        if (sc_type_of(f, s) != SC_TYPE_U8)
            return 0;
        for (size_t i = 0; i < SC_COUNT(modes) && !p->dtype; i++) {
            bits = modes[i].bits;
            group = modes[i].group;
            if (product == bits * group)
                p->dtype = modes[i].dtype;
        }
    }
    memcpy(p->shape, w->shape, rank * sizeof p->shape[0]);
    p->rank = w->rank;
    if (!p->dtype || !sc_mul(groups, group, &p->shape[rank - 1]))
        return 0;
    p->layout = SC_LAYOUT_MLX;
    p->bits = (uint8_t)bits;
    p->group = (uint16_t)SC_MIN(group, UINT16_MAX - 1);
    p->take[SC_SLOT_SCALES] = p->take[SC_SLOT_BIASES] = true;
    return 1;
}

/* ----------------------------------------------------------------------------- bitsandbytes --- */
int sc_fold_bnb8(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                 struct sc_error *e)
{
    (void)e;
    if (!sc_has(g, SC_SLOT_WEIGHT))
        return 0;
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_WEIGHT);
    const struct sc_entry *s = sc_part_of(f, g, SC_SLOT_SCB);
    if (sc_type_of(f, w) != SC_TYPE_I8 || w->rank != 2 || sc_type_of(f, s) != SC_TYPE_FLOAT ||
        sc_entry_elements(s) != w->shape[0])
        return 0;
    set_2d(p, w->shape[0], w->shape[1]);
    p->layout = SC_LAYOUT_BNB_INT8;
    p->dtype = "I8";
    p->bits = 8;
    p->group = UINT16_MAX;
    p->take[SC_SLOT_SCB] = p->take[SC_SLOT_WEIGHT_FORMAT] = true;
    return 1;
}

/* Whether the shape that the state tells is that of so many bytes of two codes. */
static bool state_fits(const struct sc_bnb_state *s, uint64_t bytes)
{
    uint64_t n;
    return s->rank > 0 && sc_product(s->shape, s->rank, &n) && n / 2 + n % 2 == bytes;
}

static const char *bnb_dtype(const struct sc_fold *f, const struct sc_fold_group *g)
{
    if (sc_has(g, SC_SLOT_STATE_FP4))
        return "FP4";
    const char *said = f->m->config.quant_format;
    return !sc_has(g, SC_SLOT_STATE_NF4) && said && strcmp(said, "fp4") == 0 ? "FP4" : "NF4";
}

int sc_fold_bnb4(struct sc_fold *f, const struct sc_fold_group *g, struct sc_fold_pick *p,
                 struct sc_error *e)
{
    if (!sc_has(g, SC_SLOT_WEIGHT) || !sc_has(g, SC_SLOT_QUANT_MAP))
        return 0;
    const struct sc_entry *w = sc_part_of(f, g, SC_SLOT_WEIGHT);
    const uint64_t bytes = sc_entry_elements(w);
    const uint64_t blocks = sc_entry_elements(sc_part_of(f, g, SC_SLOT_ABSMAX));
    if (sc_type_of(f, w) != SC_TYPE_U8 || blocks == 0 || blocks > bytes ||
        sc_entry_elements(sc_part_of(f, g, SC_SLOT_QUANT_MAP)) != 16)
        return 0;
    struct sc_bnb_state state = {.rank = 0};
    const enum sc_fold_slot slot =
        sc_has(g, SC_SLOT_STATE_FP4) ? SC_SLOT_STATE_FP4 : SC_SLOT_STATE_NF4;
    if (sc_has(g, slot)) {
        const int code = sc_fold_read_state(f, g->slot[slot], &state, e);
        if (code < 0)
            return code;
    }
    if (state_fits(&state, bytes)) {
        memcpy(p->shape, state.shape, state.rank * sizeof p->shape[0]);
        p->rank = (uint8_t)state.rank;
    } else {
        p->rank = 1;
        if (!sc_mul(bytes, 2, &p->shape[0]))
            return 0;
    }
    p->layout = SC_LAYOUT_BNB_4BIT;
    p->dtype = bnb_dtype(f, g);
    p->bits = 4;
    if (state.blocksize == 0 || state.blocksize >= UINT16_MAX)
        state.blocksize = bytes / blocks <= UINT16_MAX / 2 ? bytes / blocks * 2 : 0;
    p->group = (uint16_t)state.blocksize;
    p->take[SC_SLOT_ABSMAX] = p->take[SC_SLOT_QUANT_MAP] = true;
    p->take[SC_SLOT_NESTED_ABSMAX] = p->take[SC_SLOT_NESTED_QUANT_MAP] = true;
    p->take[slot] = true;
    return 1;
}
