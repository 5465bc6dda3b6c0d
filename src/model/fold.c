/* SPDX-License-Identifier: Apache-2.0 */
/* fold: from stored tensors to logical ones.
 *
 * Owns: finding the stored tensors that may belong together, and writing tensors and parts so that
 * every entry is in exactly one. Does not own: the layouts (fold_float.c, fold_int.c,
 * fold_opaque.c), which decide by names, types and shapes whether they do.
 *
 * A model can have a million entries, most of them plain, so the work goes in steps that drop what
 * is not needed further on:
 *
 *     1. the last segment of every name: only ~80 words and a dozen endings can be a companion of
 *        a weight; a table of lengths by last character rejects most others without comparing
 *     2. every companion is entered under its stem in a hash index (none: all is plain, done)
 *     3. weights whose stem is in the index join their companions
 *     4. in the order of the entries: a group is shown to the layouts when its first member comes
 *
 * Of entries with the same name (a broken model in lenient mode) only the first can be part of a
 * group. */
#include "model/fold.h"

#include <stdlib.h>
#include <string.h>

const uint8_t sc_slot_scheme[SC_SLOT_COUNT] = {
#define SC_FOLD_X(slot, part, scheme) [SC_SLOT_##slot] = SC_LAYOUT_##scheme,
    SC_FOLD_SLOTS(SC_FOLD_X)
#undef SC_FOLD_X
};
static const uint8_t slot_part[SC_SLOT_COUNT] = {
#define SC_FOLD_X(slot, part, scheme) [SC_SLOT_##slot] = SC_PART_##part,
    SC_FOLD_SLOTS(SC_FOLD_X)
#undef SC_FOLD_X
};

/* ------------------------------------------------------------------------------- suffixes --- */
enum form {
    BESIDE, /* the last segment; the stem is what stands before it */
    META,   /* the same, and a segment `meta` between stem and word is passed over */
    BELOW,  /* the last segment, below the weight's own name: "x.weight.absmax" */
    STATE,  /* below the weight and `quant_state` */
    GLUED,  /* ends the last segment, glued to the weight's own name: "x.weight_scale" */
};
struct suffix {
    const char *text;
    uint8_t len;
    uint8_t form; /* enum form */
    uint8_t slot; /* enum sc_fold_slot */
};

#define S(text, form, slot)                                                                        \
    {                                                                                              \
        text, sizeof(text) - 1, form, SC_SLOT_##slot                                               \
    }
/* Whole segments first: they win over endings. Longer endings stand before those they contain. */
static const struct suffix suffixes[] = {
    S("weight_format", BESIDE, WEIGHT_FORMAT),
    S("scale", META, SCALE),
    S("qscale_weight", BESIDE, QSCALE),
    S("scales", BESIDE, SCALES),
    S("SCB", BESIDE, SCB),
    S("qweight", BESIDE, QWEIGHT),
    S("qzeros", BESIDE, QZEROS),
    S("g_idx", BESIDE, G_IDX),
    S("biases", BESIDE, BIASES),
    S("absmax", BELOW, ABSMAX),
    S("quant_map", BELOW, QUANT_MAP),
    S("nested_absmax", BELOW, NESTED_ABSMAX),
    S("nested_quant_map", BELOW, NESTED_QUANT_MAP),
    S("bitsandbytes__nf4", STATE, STATE_NF4),
    S("bitsandbytes__fp4", STATE, STATE_FP4),
    S("W_q", BESIDE, HQQ_W_Q),
    S("zero", META, HQQ_ZERO),
    S("shape", META, HQQ_SHAPE),
    S("nbits", META, HQQ_NBITS),
    S("group_size", META, HQQ_GROUP_SIZE),
    S("axis", META, HQQ_AXIS),
    S("packing", META, HQQ_PACKING),
    S("unpack_view_dtype", META, HQQ_VIEW_DTYPE),
    S("view_as_float", META, HQQ_VIEW_AS_FLOAT),
    S("quant_scale", META, HQQ_QUANT_SCALE),
    S("quant_zero", META, HQQ_QUANT_ZERO),
    S("compute_dtype", META, HQQ_COMPUTE_DTYPE),
    S("offload_meta", BESIDE, HQQ_OFFLOAD_META),
    S("encoded_state_dict", BESIDE, HQQ_ENCODED),
    S("stores_quant_config", BESIDE, HQQ_STORES_CONFIG),
    S("channel_wise", BESIDE, HQQ_CHANNEL_WISE),
    S("optimize", BESIDE, HQQ_OPTIMIZE),
    S("round_zero", BESIDE, HQQ_ROUND_ZERO),
    S("codes", BESIDE, AQLM_CODES),
    S("codebooks", BESIDE, AQLM_CODEBOOKS),
    S("Qidxs", BESIDE, QUIP_QIDXS),
    S("SU", BESIDE, QUIP_SU),
    S("SV", BESIDE, QUIP_SV),
    S("Wscale", BESIDE, QUIP_WSCALE),
    S("codebook_id", BESIDE, QUIP_CODEBOOK_ID),
    S("q_weight", BESIDE, EXL2_Q_WEIGHT),
    S("q_scale", BESIDE, EXL2_Q_SCALE),
    S("q_scale_max", BESIDE, EXL2_Q_SCALE_MAX),
    S("q_groups", BESIDE, EXL2_Q_GROUPS),
    S("q_group_map", BESIDE, EXL2_Q_GROUP_MAP),
    S("q_invperm", BESIDE, EXL2_Q_INVPERM),
    S("q_perm", BESIDE, EXL2_Q_PERM),
    S("trellis", BESIDE, EXL3_TRELLIS),
    S("suh", BESIDE, EXL3_SUH),
    S("svh", BESIDE, EXL3_SVH),
    S("su", BESIDE, EXL3_SU),
    S("sv", BESIDE, EXL3_SV),
    S("mcg", BESIDE, EXL3_MCG),
    S("mul1", BESIDE, EXL3_MUL1),
    S("indices", BESIDE, VPTQ_INDICES),
    S("outlier_indices", BESIDE, VPTQ_OUTLIER_INDICES),
    S("weight_bias", BESIDE, VPTQ_WEIGHT_BIAS),
    S("perm", BESIDE, VPTQ_PERM),
    S("dense_weights", BESIDE, SPQR_DENSE),
    S("row_offsets", BESIDE, SPQR_ROW_OFFSETS),
    S("col_vals", BESIDE, SPQR_COL_VALS),
    S("in_perm", BESIDE, SPQR_IN_PERM),
    S("_weight_qdata", BESIDE, AO_QDATA),
    S("_weight_scale", BESIDE, AO_SCALE),
    S("_weight_scale_and_zero", BESIDE, AO_SCALE_AND_ZERO),
    S("_weight_zero_point", BESIDE, AO_ZERO_POINT),
    S("_weight_act_pre_scale", BESIDE, AO_PRE_SCALE),
    /* Scales of activations, found beside every weight; here only to leave them early. */
    S("input_scale", BESIDE, COUNT),
    S("input_global_scale", BESIDE, COUNT),
    S("output_scale", BESIDE, COUNT),
    S("activation_scale", BESIDE, COUNT),
    S("k_scale", BESIDE, COUNT),
    S("v_scale", BESIDE, COUNT),
    S("_scale_inv", GLUED, SCALE_INV),
    S("_weight_scale_2", GLUED, SCALE_2),
    S("_scale_2", GLUED, SCALE_2),
    S("_global_scale", GLUED, GLOBAL_SCALE),
    S("_weight_scale", GLUED, WEIGHT_SCALE),
    S("_scale", GLUED, WEIGHT_SCALE),
    S("_packed", GLUED, PACKED),
    S("_shape", GLUED, WEIGHT_SHAPE),
    S("_zero_point", GLUED, ZERO_POINT),
    S("_g_idx", GLUED, WEIGHT_G_IDX),
    S("_blocks", GLUED, BLOCKS),
    S("_scales", GLUED, BLOCK_SCALES),
};

/* Codebooks of VPTQ are modules of their own: "x.centroids.weight". */
static const struct suffix nested_weights[] = {
    S("res_centroids.", BESIDE, VPTQ_RES_CENTROIDS),
    S("outlier_centroids.", BESIDE, VPTQ_OUTLIER_CENTROIDS),
    S("centroids.", BESIDE, VPTQ_CENTROIDS),
};

/* ------------------------------------------------------------------------------- grouping --- */
struct group {
    uint32_t entry; /* whose name begins with the stem */
    uint32_t stem_len;
    uint32_t first; /* member + 1; 0: none */
    bool decided;   /* the layouts have seen it */
};
#define TAKEN UINT8_MAX /* in `slot`: already part of a folded tensor */
/* PyTorch's quantised tensors: what the pickle joins is never joined by names. */
enum apart {
    APART_NOT,
    APART_MAIN, /* quantised integers */
    APART_PART, /* scales or zero points of some */
};
struct finder {
    struct sc_fold fold;
    const struct sc_catalog *c;
    uint64_t lengths[256]; /* by last character: bit n set when a suffix may have n bytes */
    uint8_t head[256];     /* by last character: first suffix + 1 */
    uint8_t chain[SC_COUNT(suffixes)]; /* the next suffix + 1 with that last character */
    struct group *groups;
    size_t n_groups, groups_cap;
    bool any_bare;         /* a stem that is a whole name */
    struct sc_index index; /* stem -> group */
    uint32_t *group_of;    /* by entry: group + 1; 0: none */
    uint32_t *next;        /* by entry: next member + 1 */
    uint8_t *slot;         /* by entry: enum sc_fold_slot, or TAKEN */
    uint8_t *apart;        /* by entry: enum apart; NULL: the model has none */
};

_Static_assert(SC_COUNT(suffixes) < UINT8_MAX, "chains hold suffixes in bytes");

static void learn_suffixes(struct finder *f)
{
    for (size_t i = SC_COUNT(suffixes); i-- > 0;) {
        const struct suffix *s = &suffixes[i];
        const uint8_t c = (uint8_t)s->text[s->len - 1];
        f->lengths[c] |= s->form == GLUED ? ~UINT64_C(0) << s->len : UINT64_C(1) << s->len;
        f->chain[i] = f->head[c];
        f->head[c] = (uint8_t)(i + 1);
    }
}

/* Where the last segment begins. */
static size_t last_segment(struct sc_str name)
{
    size_t at = name.n;
    while (at > 0 && name.p[at - 1] != '.')
        at--;
    return at;
}

static bool is_weight(struct sc_str name, size_t last)
{
    return name.n - last == 6 && memcmp(name.p + last, "weight", 6) == 0;
}

/* The stem of a weight's own name: "x." of "x.weight", else the name. */
static size_t stem_of(struct sc_str weight)
{
    const size_t last = last_segment(weight);
    return is_weight(weight, last) ? last : weight.n;
}

/* Strips a last segment `word` from the first n bytes, which end in a dot; n: it is not there. */
static size_t strip(struct sc_str name, size_t n, const char *word)
{
    const size_t len = strlen(word);
    if (n < len + 1 || memcmp(name.p + n - 1 - len, word, len) != 0)
        return n;
    return n == len + 1 || name.p[n - len - 2] == '.' ? n - len - 1 : n;
}

/* The stem that a companion of this form points to. false: the name is no such companion. */
static bool stem_for(const struct suffix *s, struct sc_str name, size_t last, size_t *stem)
{
    const size_t glue = name.n - s->len;
    switch ((enum form)s->form) {
    case BESIDE:
        *stem = last;
        return true;
    case META:
        *stem = strip(name, last, "meta");
        return true;
    case BELOW:
    case STATE:
        *stem = s->form == STATE ? strip(name, last, "quant_state") : last;
        if (*stem < 2 || (s->form == STATE && *stem == last))
            return false;
        *stem = stem_of(sc_str(name.p, *stem - 1));
        return true;
    case GLUED:
        if (glue <= last) /* nothing is left of the weight's own name */
            return false;
        *stem = stem_of(sc_str(name.p, glue));
        return true;
    }
    return false;
}

/* The job of an entry by its name, and the length of its stem. NULL: it is no companion. */
static const struct suffix *companion(const struct finder *f, struct sc_str name, size_t last,
                                      size_t *stem)
{
    const char *seg = name.p + last;
    const size_t n = name.n - last;
    const uint8_t c = n ? (uint8_t)seg[n - 1] : 0;
    if (!(f->lengths[c] >> SC_MIN(n, 63) & 1))
        return NULL;
    for (unsigned i = f->head[c]; i; i = f->chain[i - 1]) {
        const struct suffix *s = &suffixes[i - 1];
        if (s->len > n || (s->len < n && s->form != GLUED) ||
            memcmp(seg + n - s->len, s->text, s->len) != 0)
            continue;
        if (stem_for(s, name, last, stem))
            return s->slot == SC_SLOT_COUNT ? NULL : s;
    }
    return NULL;
}

/* The group of a stem, or UINT32_MAX. */
static uint32_t find_group(const struct finder *f, struct sc_str stem, uint64_t hash)
{
    size_t probe = 0;
    for (uint32_t id; (id = sc_index_next(&f->index, hash, &probe)) != UINT32_MAX;) {
        const struct group *g = &f->groups[id];
        if (g->stem_len == stem.n && memcmp(f->c->entries[g->entry].name, stem.p, stem.n) == 0)
            return id;
    }
    return UINT32_MAX;
}

/* Makes entry i a member, unless the slot is filled: names are unique in a sound model. */
static void join(struct finder *f, uint32_t group, uint32_t i, uint8_t slot)
{
    struct group *g = &f->groups[group];
    for (uint32_t k = g->first; k; k = f->next[k - 1])
        if (f->slot[k - 1] == slot)
            return;
    f->group_of[i] = group + 1;
    f->slot[i] = slot;
    f->next[i] = g->first;
    g->first = i + 1;
}

static int enter(struct finder *f, uint32_t i, struct sc_str stem, uint8_t slot, struct sc_error *e)
{
    const uint64_t hash = sc_hash(stem.p, stem.n);
    uint32_t group = find_group(f, stem, hash);
    if (group == UINT32_MAX) {
        TRY(sc_pages_grow(f->c->filed, &f->groups, &f->groups_cap, f->n_groups + 1,
                          sizeof f->groups[0], e));
        group = (uint32_t)f->n_groups++;
        f->groups[group] = (struct group){.entry = i, .stem_len = (uint32_t)stem.n};
        TRY(sc_index_put(&f->index, hash, group, e));
        f->any_bare |= stem.n > 0 && stem.p[stem.n - 1] != '.';
    }
    join(f, group, i, slot);
    return 0;
}

static int make_lists(struct finder *f, struct sc_error *e)
{
    const size_t n = f->c->n_entries;
    f->group_of = sc_pages_new(f->c->filed, n, sizeof f->group_of[0]);
    f->next = sc_pages_new(f->c->filed, n, sizeof f->next[0]);
    f->slot = sc_pages_new(f->c->filed, n, sizeof f->slot[0]);
    if (!f->group_of || !f->next || !f->slot)
        return sc_fail_memory(e);
    return sc_index_reserve(&f->index, n / 2, e); /* mostly one companion a weight */
}

static int find_companions(struct finder *f, struct sc_error *e)
{
    for (size_t i = 0; i < f->c->n_entries; i++) {
        const struct sc_str name = sc_entry_name(&f->c->entries[i]);
        const size_t last = last_segment(name);
        size_t stem;
        if (is_weight(name, last) || (f->apart && f->apart[i]))
            continue;
        const struct suffix *s = companion(f, name, last, &stem);
        if (!s)
            continue;
        if (!f->group_of)
            TRY(make_lists(f, e));
        TRY(enter(f, (uint32_t)i, sc_str(name.p, stem), s->slot, e));
    }
    return 0;
}

/* Files mostly hold a weight and its companions side by side: cheaper to look there than to hash.
 * The group of that stem when the entry before or after i is in it, or UINT32_MAX. */
static uint32_t neighbour_group(const struct finder *f, uint32_t i, struct sc_str stem)
{
    for (uint32_t k = i ? i - 1 : 0; k <= i + 1 && k < f->c->n_entries; k++) {
        if (!f->group_of[k])
            continue;
        const struct group *g = &f->groups[f->group_of[k] - 1];
        if (g->stem_len == stem.n && memcmp(f->c->entries[g->entry].name, stem.p, stem.n) == 0)
            return f->group_of[k] - 1;
    }
    return UINT32_MAX;
}

static bool join_stem(struct finder *f, struct sc_str stem, uint32_t i, uint8_t slot)
{
    uint32_t group = neighbour_group(f, i, stem);
    if (group == UINT32_MAX)
        group = find_group(f, stem, sc_hash(stem.p, stem.n));
    if (group == UINT32_MAX)
        return false;
    join(f, group, i, slot);
    return true;
}

/* A weight joins the companions of its stem. */
static void place_weight(struct finder *f, uint32_t i)
{
    const struct sc_str name = sc_entry_name(&f->c->entries[i]);
    const size_t last = last_segment(name);
    const bool weight = is_weight(name, last);
    if (!weight && !f->any_bare)
        return;
    const size_t stem = weight ? last : name.n;
    if (join_stem(f, sc_str(name.p, stem), i, SC_SLOT_WEIGHT))
        return;
    for (size_t k = 0; weight && k < SC_COUNT(nested_weights); k++) {
        const struct suffix *s = &nested_weights[k];
        if (stem < s->len || memcmp(name.p + stem - s->len, s->text, s->len) != 0)
            continue;
        join_stem(f, sc_str(name.p, stem - s->len), i, s->slot);
        return;
    }
}

/* -------------------------------------------------------------------------------- results --- */
/* The part that must be there, and who looks at the group then; the first that accepts wins. */
static const struct {
    uint8_t key; /* enum sc_fold_slot */
    sc_fold_fn *fn;
} layouts[] = {
    {SC_SLOT_BLOCKS, sc_fold_gpt_oss},     {SC_SLOT_QWEIGHT, sc_fold_gptq_awq},
    {SC_SLOT_PACKED, sc_fold_packed},      {SC_SLOT_ABSMAX, sc_fold_bnb4},
    {SC_SLOT_SCB, sc_fold_bnb8},           {SC_SLOT_SCALE_INV, sc_fold_float},
    {SC_SLOT_WEIGHT_SCALE, sc_fold_float}, {SC_SLOT_SCALE, sc_fold_float},
    {SC_SLOT_QSCALE, sc_fold_float},       {SC_SLOT_SCALES, sc_fold_mlx},
    {SC_SLOT_HQQ_W_Q, sc_fold_hqq},        {SC_SLOT_AQLM_CODES, sc_fold_aqlm},
    {SC_SLOT_QUIP_QIDXS, sc_fold_quip},    {SC_SLOT_EXL2_Q_WEIGHT, sc_fold_exl2},
    {SC_SLOT_EXL3_TRELLIS, sc_fold_exl3},  {SC_SLOT_VPTQ_INDICES, sc_fold_vptq},
    {SC_SLOT_SPQR_DENSE, sc_fold_spqr},    {SC_SLOT_AO_QDATA, sc_fold_torchao},
};

/* The same dimensions once: most modules of a model share a few shapes. */
struct shape_memo {
    const uint64_t *dims[16];
    uint8_t rank[16];
    unsigned turn;
};

static const uint64_t *keep_shape(struct sc_model *m, struct shape_memo *memo, const uint64_t *dims,
                                  size_t rank)
{
    for (size_t i = 0; i < SC_COUNT(memo->dims); i++) {
        if (memo->dims[i] && memo->rank[i] == rank &&
            memcmp(memo->dims[i], dims, rank * sizeof dims[0]) == 0)
            return memo->dims[i];
    }
    uint64_t *copy = SC_ARENA_NEW(&m->arena, uint64_t, rank + 1);
    if (!copy)
        return NULL;
    memcpy(copy, dims, rank * sizeof dims[0]);
    const unsigned at = memo->turn++ % SC_COUNT(memo->dims);
    memo->dims[at] = copy;
    memo->rank[at] = (uint8_t)rank;
    return copy;
}

/* What entry i is quantised by, when it is all there; NULL: nothing, or not known. */
static const struct sc_quantizer *quantizer_of(const struct finder *f, uint32_t i)
{
    const struct sc_entry *en = &f->c->entries[i];
    const struct sc_quantizer *q = sc_entry_quantizer(f->c, en);
    if (!q || en->dtype & SC_FOREIGN_TYPE || sc_codec((sc_codec_id)en->dtype)->kind != SC_KIND_QINT)
        return NULL;
    const bool parts = q->scales != SC_NO_ENTRY_YET && q->zero_points != SC_NO_ENTRY_YET;
    return parts || !q->per_channel ? q : NULL;
}

static void put_plain(struct finder *f, uint32_t i)
{
    struct sc_model *m = f->fold.m;
    const struct sc_entry *en = &f->c->entries[i];
    const bool block = sc_type_of(&f->fold, en) == SC_TYPE_BLOCK;
    m->tensors[m->n_tensors++] = (struct sc_tensor){
        .name = en->name,
        .name_len = en->name_len,
        .shape = en->shape,
        .rank = en->rank,
        .dtype = sc_entry_dtype(f->c, en),
        .parameters = sc_entry_elements(en),
        .bytes = en->bytes,
        .main = i,
        .first_part = (uint32_t)m->n_parts,
        .n_parts = 1,
        .layout = block ? SC_LAYOUT_GGML : SC_LAYOUT_PLAIN,
        .layer = -1,
        .expert = -1,
    };
    m->parts[m->n_parts++] = (struct sc_tensor_part){.entry = i, .part = SC_PART_WEIGHT};
}

/* The logical name: the entry's own when it is called so, else made from the stem. */
static int name_of(struct finder *f, const struct sc_fold_group *g, const struct sc_fold_pick *p,
                   struct sc_tensor *t, struct sc_error *e)
{
    if (p->main == SC_SLOT_WEIGHT) {
        const struct sc_entry *en = sc_part_of(&f->fold, g, SC_SLOT_WEIGHT);
        t->name = en->name;
        t->name_len = en->name_len;
        return 0;
    }
    const bool bare = g->stem.n > 0 && g->stem.p[g->stem.n - 1] != '.';
    const size_t n = g->stem.n + (bare ? 0 : 6);
    char *name = sc_arena_alloc(&f->fold.m->arena, n + 1, 1);
    if (!name)
        return sc_fail_memory(e);
    memcpy(name, g->stem.p, g->stem.n);
    memcpy(name + g->stem.n, "weight", n - g->stem.n);
    name[n] = '\0';
    t->name = name;
    t->name_len = (uint32_t)n;
    return 0;
}

static void put_part(struct finder *f, struct sc_tensor *t, uint32_t entry, uint8_t part)
{
    struct sc_model *m = f->fold.m;
    m->parts[m->n_parts++] = (struct sc_tensor_part){.entry = entry, .part = part};
    t->n_parts++;
    t->bytes = sc_add_up(t->bytes, f->c->entries[entry].bytes);
    if (f->slot)
        f->slot[entry] = TAKEN;
}

/* The members of a group, lowest slot first: no slot is filled twice. */
static size_t members_by_slot(const struct finder *f, uint32_t first, uint32_t out[SC_SLOT_COUNT])
{
    size_t n = 0;
    for (uint32_t k = first; k; k = f->next[k - 1]) {
        size_t at = n++;
        for (; at > 0 && f->slot[out[at - 1]] > f->slot[k - 1]; at--)
            out[at] = out[at - 1];
        out[at] = k - 1;
    }
    return n;
}

static int put_folded(struct finder *f, struct shape_memo *memo, const struct sc_fold_group *g,
                      uint32_t first, const struct sc_fold_pick *p, struct sc_error *e)
{
    uint32_t members[SC_SLOT_COUNT] = {0};
    const size_t n = members_by_slot(f, first, members);
    struct sc_model *m = f->fold.m;
    const struct sc_entry *main = sc_part_of(&f->fold, g, (enum sc_fold_slot)p->main);
    struct sc_tensor t = {
        .dtype = p->dtype,
        .rank = p->rank,
        .main = g->slot[p->main],
        .first_part = (uint32_t)m->n_parts,
        .group = p->group,
        .layout = p->layout,
        .bits = p->bits,
        .layer = -1,
        .expert = -1,
    };
    if (!sc_product(p->shape, p->rank, &t.parameters))
        return 0; /* no such tensor can exist */
    TRY(name_of(f, g, p, &t, e));
    const bool same =
        p->rank == main->rank && memcmp(p->shape, main->shape, p->rank * sizeof p->shape[0]) == 0;
    t.shape = same ? main->shape : keep_shape(m, memo, p->shape, p->rank);
    if (!t.shape)
        return sc_fail_memory(e);
    put_part(f, &t, t.main, SC_PART_WEIGHT);
    for (size_t i = 0; i < n; i++) {
        const uint8_t slot = f->slot[members[i]];
        if (slot != p->main && slot < SC_SLOT_COUNT && p->take[slot])
            put_part(f, &t, members[i], slot_part[slot]);
    }
    m->tensors[m->n_tensors++] = t;
    return 0;
}

/* The row that was put last is of integers of PyTorch. Its parts are joined as the pickle joins
 * them, whatever they are called; whether they fit is a matter of those who read them. */
static void make_quantised(struct finder *f, uint32_t i)
{
    struct sc_tensor *t = &f->fold.m->tensors[f->fold.m->n_tensors - 1];
    const struct sc_entry *en = &f->c->entries[i];
    const struct sc_quantizer *q = quantizer_of(f, i);
    t->layout = SC_LAYOUT_TORCH_QINT;
    t->bits = (uint8_t)sc_codec_bits((sc_codec_id)en->dtype);
    if (!q->per_channel)
        return;
    t->group = q->axis == 0 && en->rank > 1 ? UINT16_MAX : 0;
    put_part(f, t, q->scales, SC_PART_SCALE);
    put_part(f, t, q->zero_points, SC_PART_ZERO);
}

/* All but the dimensions, which are only read up to the rank. */
static void clear_pick(struct sc_fold_pick *p)
{
    p->dtype = NULL;
    p->group = 0;
    p->rank = p->layout = p->bits = 0;
    p->main = SC_SLOT_WEIGHT;
    memset(p->take, 0, sizeof p->take);
}

static int decide(struct finder *f, struct shape_memo *memo, struct group *group,
                  struct sc_error *e)
{
    struct sc_fold_group g = {
        .stem = sc_str(f->c->entries[group->entry].name, group->stem_len),
    };
    memset(g.slot, 0xff, sizeof g.slot);
    for (uint32_t k = group->first; k; k = f->next[k - 1])
        g.slot[f->slot[k - 1]] = k - 1;
    group->decided = true;
    for (size_t i = 0; i < SC_COUNT(layouts); i++) {
        if (g.slot[layouts[i].key] == SC_NO_ENTRY)
            continue;
        struct sc_fold_pick p;
        clear_pick(&p);
        const int fits = layouts[i].fn(&f->fold, &g, &p, e);
        if (fits < 0)
            return fits;
        /* A weight of its own already has the name that the folded one would get. */
        if (fits && (p.main == SC_SLOT_WEIGHT || !sc_has(&g, SC_SLOT_WEIGHT)))
            return put_folded(f, memo, &g, group->first, &p, e);
    }
    return 0;
}

static int write_tensors(struct finder *f, struct sc_error *e)
{
    struct shape_memo memo = {.turn = 0};
    for (uint32_t i = 0; i < f->c->n_entries; i++) {
        if (f->group_of && f->group_of[i]) {
            struct group *g = &f->groups[f->group_of[i] - 1];
            if (!g->decided)
                TRY(decide(f, &memo, g, e));
            if (f->slot[i] == TAKEN)
                continue;
        }
        const enum apart apart = f->apart ? (enum apart)f->apart[i] : APART_NOT;
        if (apart == APART_PART)
            continue;
        put_plain(f, i);
        if (apart == APART_MAIN)
            make_quantised(f, i);
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- setup --- */
static int learn_types(struct finder *f, struct sc_error *e)
{
    static const struct {
        const char *name;
        uint8_t type;
    } known[] = {
        {"F16", SC_TYPE_FLOAT}, {"BF16", SC_TYPE_FLOAT}, {"F32", SC_TYPE_FLOAT},
        {"F64", SC_TYPE_FLOAT}, {"F4", SC_TYPE_F4},      {"F4_X2", SC_TYPE_F4_X2},
        {"U8", SC_TYPE_U8},     {"I8", SC_TYPE_I8},      {"I16", SC_TYPE_INT},
        {"I32", SC_TYPE_INT},   {"I64", SC_TYPE_INT},    {"U16", SC_TYPE_INT},
        {"U64", SC_TYPE_INT},   {"U32", SC_TYPE_U32},
    };
    const size_t n = sc_codec_count();
    f->fold.types = sc_calloc(n, 1);
    if (!f->fold.types)
        return sc_fail_memory(e);
    f->fold.n_types = n;
    for (size_t i = 0; i < n; i++) {
        const struct sc_codec *codec = sc_codec((sc_codec_id)i);
        uint8_t type = SC_TYPE_OTHER;
        if (codec->kind == SC_KIND_BLOCK)
            type = SC_TYPE_BLOCK;
        else if (codec->kind == SC_KIND_SCALE)
            type = SC_TYPE_E8M0;
        else if (strncmp(codec->name, "F8_", 3) == 0)
            type = SC_TYPE_F8;
        for (size_t k = 0; k < SC_COUNT(known); k++)
            if (strcmp(codec->name, known[k].name) == 0)
                type = known[k].type;
        f->fold.types[i] = type;
    }
    return 0;
}

static int set_apart(struct finder *f, struct sc_error *e)
{
    if (f->c->n_quantizers == 0)
        return 0;
    f->apart = sc_pages_new(f->c->filed, f->c->n_entries, sizeof f->apart[0]);
    if (!f->apart)
        return sc_fail_memory(e);
    for (uint32_t i = 0; i < f->c->n_entries; i++) {
        const struct sc_quantizer *q = quantizer_of(f, i);
        if (!q)
            continue;
        f->apart[i] = APART_MAIN;
        if (q->per_channel)
            f->apart[q->scales] = f->apart[q->zero_points] = APART_PART;
    }
    return 0;
}

static int fold_all(struct finder *f, struct sc_error *e)
{
    learn_suffixes(f);
    TRY(learn_types(f, e));
    TRY(set_apart(f, e));
    TRY(find_companions(f, e));
    if (f->group_of)
        for (uint32_t i = 0; i < f->c->n_entries; i++)
            if (!f->group_of[i] && !(f->apart && f->apart[i]))
                place_weight(f, i);
    return write_tensors(f, e);
}

int sc_model_fold(struct sc_model *m, struct sc_error *e)
{
    const struct sc_catalog *c = m->catalog;
    int code = 0;
    struct finder *f = sc_calloc(1, sizeof *f);
    if (!f)
        return sc_fail_memory(e);
    f->c = c;
    f->fold.m = m;
    f->fold.c = c;
    f->fold.file_index = UINT32_MAX;
    m->arena.filed = f->index.filed = c->filed;
    m->tensors = sc_pages_new(c->filed, c->n_entries, sizeof m->tensors[0]);
    m->parts = sc_pages_new(c->filed, c->n_entries, sizeof m->parts[0]);
    code = m->tensors && m->parts ? fold_all(f, e) : sc_fail_memory(e);
    sc_fold_read_end(&f->fold);
    sc_index_clear(&f->index);
    free(f->fold.types);
    sc_pages_free(f->groups);
    sc_pages_free(f->group_of);
    sc_pages_free(f->next);
    sc_pages_free(f->slot);
    sc_pages_free(f->apart);
    free(f);
    return code;
}
