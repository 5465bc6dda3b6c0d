/* SPDX-License-Identifier: Apache-2.0 */
/* torch_tensor: from a call of torch._utils._rebuild_... in the pickle to an entry.
 *
 * Owns: the arguments of the builders, the table of storages, and the rule that a tensor may touch
 * nothing but its storage. Does not own: names (torch_walk.c), where storages lie (the containers).
 *
 *   builder                      arguments
 *   _rebuild_tensor, _v2         storage, offset, size, stride, ...
 *   _rebuild_tensor_v3           storage (bytes), offset, size, stride, grad, hooks, dtype, ...
 *   _rebuild_qtensor             storage, offset, size, stride, quantizer, ...
 *   _rebuild_meta_tensor...      dtype, size, stride, grad
 *   _rebuild_wrapper_subclass    class, dtype, size, stride, ...
 *
 * A tensor of n dimensions touches the elements first + sum(index[i] * stride[i]). Sizes and
 * strides are not negative, so the last one is first + sum((size[i] - 1) * stride[i]), and it is
 * enough to look at that. Stride 0 is legal: one element may be shown as 10^18. */
#include "format/torch.h"

#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------- storages --- */

static uint64_t storage_hash(struct sc_str key, uint32_t space)
{
    return sc_hash_mix(sc_hash(key.p, key.n), space);
}

uint32_t sc_torch_find_storage(const struct sc_torch *t, struct sc_str key, uint32_t space)
{
    const uint64_t hash = storage_hash(key, space);
    size_t probe = 0;
    for (uint32_t id; (id = sc_index_next(&t->storage_index, hash, &probe)) != UINT32_MAX;)
        if (t->storages[id].space == space && sc_str_eq(t->storages[id].key, key))
            return id;
    return SC_NO_STORAGE;
}

int sc_torch_new_storage(struct sc_torch *t, const struct sc_torch_storage *s, uint32_t *index)
{
    TRY(sc_grow(&t->storages, &t->storages_cap, t->n_storages + 1, sizeof t->storages[0], t->e));
    TRY(sc_index_put(&t->storage_index, storage_hash(s->key, s->space), (uint32_t)t->n_storages,
                     t->e));
    *index = (uint32_t)t->n_storages;
    t->storages[t->n_storages] = *s;
    t->storages[t->n_storages++].index = SC_NO_STORAGE;
    return 0;
}

/* "_UntypedStorage" of 1.11 is "UntypedStorage". */
static struct sc_str public_name(struct sc_str name)
{
    return name.n > 0 && name.p[0] == '_' ? sc_str(name.p + 1, name.n - 1) : name;
}

int sc_torch_classify(struct sc_torch *t, const struct sc_pk_global *class,
                      struct sc_torch_storage *s)
{
    static const struct sc_str suffix = {"Storage", 7};
    const struct sc_str name = public_name(class->name);
    s->codec = sc_codec_torch_storage(name);
    s->untyped = sc_str_is(name, "UntypedStorage");
    s->dtype = s->codec;
    s->need = 0;
    if (s->codec == SC_OPAQUE)
        return sc_catalog_foreign_type(t->c, sc_str(name.p, name.n - suffix.n), &s->dtype, t->e);
    if (!sc_mul(s->numel, sc_codec(s->codec)->bytes, &s->need)) {
        struct sc_quoted q;
        s->conflict = true;
        return SC_TORCH_BAD(t, "torch.storage", SC_NO_TENSOR,
                            "storage \"%s\" has %llu elements, more than 2^64 bytes",
                            sc_quote(&q, s->key), (unsigned long long)s->numel);
    }
    return 0;
}

/* The parts of ("storage", class, key, location, numel, ...), whose shape the machine checked. */
static int enter_reference(struct sc_torch *t, struct sc_pk *v, uint32_t space)
{
    const struct sc_pk *id = v->as.id;
    struct sc_torch_storage s = {.space = space, .numel = (uint64_t)id->as.seq.item[4]->as.i};
    sc_pk_text(id->as.seq.item[2], &s.key);
    const uint32_t known = sc_torch_find_storage(t, s.key, space);
    const struct sc_pk_global *class = id->as.seq.item[1]->as.global;
    TRY(sc_torch_classify(t, class, &s));
    if (known == SC_NO_STORAGE)
        return sc_torch_new_storage(t, &s, &v->n);

    struct sc_torch_storage *old = &t->storages[known];
    v->n = known;
    if (old->conflict ||
        (old->dtype == s.dtype && old->untyped == s.untyped && old->numel == s.numel))
        return 0;
    struct sc_quoted q;
    old->conflict = true;
    return SC_TORCH_BAD(t, "torch.storage", SC_NO_TENSOR,
                        "storage \"%s\" is referred to with two types or sizes",
                        sc_quote(&q, s.key));
}

int sc_torch_collect(struct sc_torch *t, size_t first, uint32_t space)
{
    size_t n;
    struct sc_pk *const *all = sc_pickle_persistent(t->pickle, &n);
    for (size_t i = first; i < n; i++)
        TRY(enter_reference(t, all[i], space));
    return 0;
}

int sc_torch_found(struct sc_torch *t, size_t i, const struct sc_storage *place)
{
    struct sc_torch_storage *s = &t->storages[i];
    struct sc_storage found = *place;
    struct sc_quoted q;
    found.file = t->file;
    found.dtype = s->codec;
    s->bytes = place->bytes;
    s->offset = place->offset;
    s->stored = place->stored;
    s->method = place->method;
    if (s->codec != SC_OPAQUE && s->bytes > s->need)
        TRY(SC_TORCH_WARN(t, "torch.storage-longer", SC_NO_TENSOR,
                          "storage \"%s\" has %llu bytes, but only %llu are used",
                          sc_quote(&q, s->key), (unsigned long long)s->bytes,
                          (unsigned long long)s->need));
    return sc_catalog_add_storage(t->c, &found, s->key, &s->index, t->e);
}

/* ------------------------------------------------------------------------------- arguments --- */

static struct sc_pk *argument(const struct sc_pk *args, uint32_t i)
{
    return i < args->n ? args->as.seq.item[i] : NULL;
}

bool sc_torch_peel(const struct sc_pk *v, struct sc_torch_peeled *out)
{
    *out = (struct sc_torch_peeled){.role = sc_pk_made_by(v)};
    if (out->role < SC_PK_ROLE_BUILDER)
        return false;
    out->args = v->as.object->args;
    for (int hops = 0; hops < SC_MAX_PEEL; hops++) {
        const struct sc_pk *inner = argument(out->args, 0), *type = argument(out->args, 1);
        const bool wraps = out->role == SC_PK_ROLE_PARAMETER || out->role == SC_PK_ROLE_COPY ||
                           out->role == SC_PK_ROLE_TENSOR_CLASS;
        if (!wraps && out->role != SC_PK_ROLE_FROM_TYPE)
            return out->role >= SC_PK_ROLE_BUILDER;
        if (!inner)
            return false;
        if (out->role != SC_PK_ROLE_COPY && !out->state)
            out->state = argument(out->args, 3);
        if (wraps) {
            out->parameter |= out->role != SC_PK_ROLE_COPY;
            out->role = sc_pk_made_by(inner);
            out->args = inner->kind == SC_PK_OBJECT ? inner->as.object->args : NULL;
        } else {
            out->parameter |= sc_pk_role(type) == SC_PK_ROLE_TENSOR_CLASS;
            out->role = sc_pk_role(inner);
            out->args = argument(out->args, 2);
        }
        if (!sc_pk_is_sequence(out->args))
            return false;
    }
    return false;
}

static bool get_count(const struct sc_pk *v, uint64_t *out)
{
    if (!v || v->kind != SC_PK_INT || v->as.i < 0)
        return false;
    *out = (uint64_t)v->as.i;
    return true;
}

/* A tuple or torch.Size of numbers that are not negative. */
static bool get_dims(const struct sc_pk *v, uint64_t dims[SC_MAX_RANK], size_t *rank)
{
    if (sc_pk_made_by(v) == SC_PK_ROLE_SIZE)
        v = sc_pk_item(v->as.object->args, 0);
    if (!sc_pk_is_sequence(v) || v->n > SC_MAX_RANK)
        return false;
    *rank = v->n;
    for (size_t i = 0; i < v->n; i++)
        if (!get_count(v->as.seq.item[i], &dims[i]))
            return false;
    return true;
}

/* Element type of torch.float8_e4m3fn and the like. */
static int set_dtype(struct sc_torch *t, const struct sc_pk *v, struct sc_torch_tensor *x)
{
    const struct sc_str name = v->as.global->name;
    const sc_codec_id codec = sc_codec_torch_dtype(name);
    x->dtype = codec;
    x->block = sc_codec(codec)->block;
    x->unit = sc_codec(codec)->bytes;
    if (codec != SC_OPAQUE)
        return 0;
    /* Types without arithmetic (uint4, bits8, int3): a byte an element, whatever the name says. */
    const bool known = sc_pk_role(v) == SC_PK_ROLE_DTYPE;
    x->block = 1;
    x->unit = !known ? 0 : sc_str_is(name, "bits16") ? 2 : 1;
    return sc_catalog_foreign_type(t->c, known ? name : v->as.global->dotted, &x->dtype, t->e);
}

static void set_storage(const struct sc_torch *t, uint32_t i, struct sc_torch_tensor *x)
{
    const struct sc_torch_storage *s = &t->storages[i];
    x->storage = i;
    x->dtype = s->dtype;
    x->block = sc_codec(s->codec)->block;
    x->unit = sc_codec(s->codec)->bytes;
}

/* The stream's references can name a part of a storage: (key, offset, size), in elements. */
static bool narrow(const struct sc_pk *reference, struct sc_torch_tensor *x, uint64_t *shift)
{
    const struct sc_pk *view = sc_pk_item(reference->as.id, 5);
    uint64_t end, size;
    *shift = 0;
    if (!view || view->kind == SC_PK_NONE)
        return true;
    if (!sc_pk_is_sequence(view) || view->n != 3 || !get_count(view->as.seq.item[1], shift) ||
        !get_count(view->as.seq.item[2], &size) || !sc_add(*shift, size, &end) || end > x->capacity)
        return false;
    x->capacity = end;
    return true;
}

/* torch.storage._load_from_bytes(bytes): how a storage pickles itself when torch.save does not. */
static bool is_pickled_within(const struct sc_pk *storage)
{
    if (!storage || storage->kind != SC_PK_OBJECT || storage->as.object->func->kind != SC_PK_GLOBAL)
        return false;
    const struct sc_pk_global *func = storage->as.object->func->as.global;
    return sc_str_is(func->module, "torch.storage") && sc_str_is(func->name, "_load_from_bytes");
}

/* What is wrong with the arguments, or NULL. */
static const char *read_dense(struct sc_torch *t, const struct sc_torch_peeled *peeled,
                              struct sc_torch_tensor *x, int *code)
{
    const struct sc_pk *args = peeled->args, *storage = sc_pk_item(args, 0);
    size_t n_strides;
    uint64_t shift;
    if (is_pickled_within(storage))
        return "was written by pickle.dump in place of torch.save: its data are a pickle inside of "
               "the pickle, which is not opened";
    if (!storage || storage->kind != SC_PK_PERSISTENT || t->tar)
        return "does not stand on a storage";
    set_storage(t, storage->n, x);
    if (peeled->role == SC_PK_ROLE_TENSOR_V3) {
        const struct sc_pk *dtype = sc_pk_item(args, 6);
        if (!dtype || dtype->kind != SC_PK_GLOBAL)
            return "has no element type";
        *code = set_dtype(t, dtype, x);
        if (*code < 0)
            return NULL;
    }
    if (!get_count(sc_pk_item(args, 1), &x->first))
        return "has no offset into its storage";
    if (!get_dims(sc_pk_item(args, 2), x->sizes, &x->rank))
        return "has a shape that is none";
    if (!get_dims(sc_pk_item(args, 3), x->strides, &n_strides) || n_strides != x->rank)
        return "has strides that do not go with its shape";
    x->capacity = x->unit ? t->storages[storage->n].need / x->unit * x->block : UINT64_MAX;
    if (!narrow(storage, x, &shift) || !sc_add(x->first, shift, &x->first))
        return "sees a part of its storage that is not there";
    return NULL;
}

static const char *read_meta(struct sc_torch *t, const struct sc_torch_peeled *peeled,
                             struct sc_torch_tensor *x, int *code)
{
    const size_t at = peeled->role == SC_PK_ROLE_WRAPPER ? 1 : 0;
    const struct sc_pk *dtype = sc_pk_item(peeled->args, at);
    if (!dtype || dtype->kind != SC_PK_GLOBAL)
        return "has no element type";
    if (!get_dims(sc_pk_item(peeled->args, at + 1), x->sizes, &x->rank))
        return "has a shape that is none";
    *code = set_dtype(t, dtype, x);
    return NULL;
}

/* ---------------------------------------------------------------------------------- checks --- */

/* Bytes of a whole tensor of 4- or 2-bit values: each row begins at a byte of its own. */
static bool packed_bytes(const struct sc_torch_tensor *x, uint64_t *bytes)
{
    const uint64_t row = x->rank ? x->sizes[x->rank - 1] : 1;
    uint64_t rows;
    return sc_product(x->sizes, x->rank ? x->rank - 1 : 0, &rows) &&
           sc_mul((row - 1) / x->block + 1, x->unit, bytes) && sc_mul(*bytes, rows, bytes);
}

/* First byte and end of what x touches in its storage. Empty for an empty tensor; all of it when
 * the size of an element is not known. `need` are the bytes of the storage. false: the numbers
 * leave 64 bits. */
static bool touched(const struct sc_torch_tensor *x, uint64_t need, uint64_t *last, uint64_t *low,
                    uint64_t *high)
{
    uint64_t sum = x->first, part;
    *last = 0;
    *low = *high = 0;
    for (size_t i = 0; i < x->rank; i++)
        if (x->sizes[i] == 0)
            return true;
    for (size_t i = 0; i < x->rank; i++)
        if (!sc_mul(x->sizes[i] - 1, x->strides[i], &part) || !sc_add(sum, part, &sum))
            return false;
    *last = sum;
    if (x->unit == 0) {
        *high = UINT64_MAX;
        return true;
    }
    /* Torch makes them so; without the gaps between rows is what others write. */
    if (x->block > 1 && x->first == 0 && packed_bytes(x, high) && *high <= need)
        return true;
    return sc_mul(x->first / x->block, x->unit, low) && sc_mul(sum / x->block + 1, x->unit, high);
}

/* The storage as a whole: there, of one type, and long enough. */
static int check_storage(struct sc_torch *t, struct sc_str name, struct sc_torch_tensor *x)
{
    const struct sc_torch_storage *s = &t->storages[x->storage];
    struct sc_quoted q, k;
    x->broken = true;
    if (s->conflict)
        return SC_TORCH_BAD(t, "torch.storage", name,
                            "tensor \"%s\" stands on storage \"%s\", whose size or type is not "
                            "clear",
                            sc_quote(&q, name), sc_quote(&k, s->key));
    if (s->index == SC_NO_STORAGE)
        return SC_TORCH_BAD(t, "torch.storage-missing", name,
                            "tensor \"%s\" stands on storage \"%s\", which the file does not have",
                            sc_quote(&q, name), sc_quote(&k, s->key));
    if (s->codec != SC_OPAQUE && s->bytes < s->need)
        return SC_TORCH_BAD(t, "torch.storage-short", name,
                            "tensor \"%s\" stands on storage \"%s\" of %llu bytes, but the file "
                            "has %llu of them",
                            sc_quote(&q, name), sc_quote(&k, s->key), (unsigned long long)s->need,
                            (unsigned long long)s->bytes);
    x->broken = false;
    return 0;
}

static int check_range(struct sc_torch *t, struct sc_str name, struct sc_torch_tensor *x,
                       uint64_t *low, uint64_t *high)
{
    uint64_t last;
    struct sc_quoted q, k;
    const uint64_t need = t->storages[x->storage].need;
    if (touched(x, need, &last, low, high) &&
        (*high == 0 || (last < x->capacity && (x->unit == 0 || *high <= need))))
        return 0;
    x->broken = true;
    *low = *high = 0;
    return SC_TORCH_BAD(t, "torch.range", name,
                        "tensor \"%s\" reaches beyond its storage \"%s\", which has %llu elements "
                        "for it",
                        sc_quote(&q, name), sc_quote(&k, t->storages[x->storage].key),
                        (unsigned long long)x->capacity);
}

/* ----------------------------------------------------------------------------------- entry --- */

/* A name that is taken gets a number behind it: two keys may read the same (1 and "1"), and no
 * tensor shall hide another. */
static int unique_name(struct sc_torch *t, struct sc_str name, struct sc_buf *longer)
{
    struct sc_str now = name;
    struct sc_quoted q;
    for (;;) {
        const uint64_t hash = sc_hash(now.p, now.n);
        size_t probe = 0;
        bool taken = false;
        for (uint32_t id; (id = sc_index_next(&t->names, hash, &probe)) != UINT32_MAX && !taken;)
            taken = sc_str_eq(sc_entry_name(&t->c->entries[t->first_entry + id]), now);
        if (!taken)
            break;
        t->n_twins++;
        longer->n = 0;
        sc_buf_put(longer, name.p, name.n);
        sc_buf_printf(longer, "#%zu", t->n_twins + 1);
        if (longer->failed)
            return sc_fail_memory(t->e);
        now = sc_str(longer->p, longer->n);
    }
    if (longer->n > 0) {
        struct sc_quoted r;
        return SC_TORCH_WARN(t, "torch.duplicate-name", name,
                             "two tensors are named \"%s\"; the second is listed as \"%s\"",
                             sc_quote(&q, name), sc_quote(&r, now));
    }
    return 0;
}

static int add_span(struct sc_torch *t, uint32_t entry, const struct sc_torch_tensor *x,
                    uint64_t low, uint64_t high)
{
    const uint64_t bytes = t->storages[x->storage].bytes; /* fewer than needed when broken */
    const bool packed = t->storages[x->storage].method != 0;
    if (low >= SC_MIN(high, bytes) && !packed)
        return 0; /* empty, or not there: nothing to own */
    TRY(sc_grow(&t->spans, &t->spans_cap, t->n_spans + 1, sizeof t->spans[0], t->e));
    t->spans[t->n_spans++] = (struct sc_torch_span){
        .low = low,
        .high = SC_MIN(high, bytes),
        .entry = entry,
        .storage = x->storage,
    };
    return 0;
}

static int add_entry(struct sc_torch *t, struct sc_str name, const struct sc_torch_tensor *x,
                     uint64_t low, uint64_t high)
{
    struct sc_entry proto = {.file = t->file, .dtype = x->dtype, .view = SC_NO_STORAGE};
    const struct sc_torch_storage *s =
        x->storage == SC_NO_STORAGE ? NULL : &t->storages[x->storage];
    const bool placed = s && s->index != SC_NO_STORAGE;
    uint32_t index;
    proto.flags =
        (uint8_t)((x->broken ? SC_ENTRY_BROKEN : 0) | (x->parameter ? SC_ENTRY_PARAMETER : 0) |
                  (t->big_endian ? SC_ENTRY_BIG_ENDIAN : 0));
    if (placed) {
        const struct sc_view view = {
            .storage = s->index,
            .quantizer = x->quantizer,
            .first = x->first,
            .strides = x->strides,
        };
        TRY(sc_catalog_add_view(t->c, &view, x->rank, &proto.view, t->e));
        t->c->storages[s->index].referenced = true;
        proto.offset = s->offset + (s->method == 0 ? SC_MIN(low, s->bytes) : 0);
    }
    TRY(sc_catalog_add(t->c, name, x->sizes, x->rank, &proto, &index, t->e));
    if (index == UINT32_MAX)
        return 0; /* its shape was refused */
    TRY(sc_index_put(&t->names, sc_hash(name.p, name.n), (uint32_t)(index - t->first_entry), t->e));
    t->n_names++;
    return placed ? add_span(t, index, x, low, high) : 0;
}

static int list(struct sc_torch *t, struct sc_str name, struct sc_torch_tensor *x)
{
    struct sc_buf longer = {0};
    uint64_t low = 0, high = 0;
    if (t->n_names >= SC_MAX_PICKLE_NAMES)
        return sc_fail(t->e, SCRUPLE_ELIMIT, "the file names more than %d tensors",
                       SC_MAX_PICKLE_NAMES);
    /* Names are copied, and a deep pickle can make long ones of few bytes. */
    t->name_bytes += name.n;
    if (t->name_bytes > sc_torch_name_memory(t))
        return sc_fail(t->e, SCRUPLE_ELIMIT,
                       "the names of its tensors take more than %llu MiB, the most that so many "
                       "tensors are given",
                       (unsigned long long)(sc_torch_name_memory(t) >> 20));
    if (x->storage != SC_NO_STORAGE) {
        TRY(check_storage(t, name, x));
        TRY(check_range(t, name, x, &low, &high));
    }
    int code = unique_name(t, name, &longer);
    if (code == 0)
        code = add_entry(t, longer.n ? sc_str(longer.p, longer.n) : name, x, low, high);
    sc_buf_clear(&longer);
    return code;
}

/* The arguments of the builder of a tensor with bytes, by which it is known again when its turn to
 * be listed comes; NULL: v is none. */
static bool is_dense(const struct sc_torch_peeled *peeled)
{
    return peeled->role == SC_PK_ROLE_TENSOR || peeled->role == SC_PK_ROLE_TENSOR_V3;
}

static const struct sc_pk *dense_arguments(const struct sc_pk *v)
{
    struct sc_torch_peeled peeled;
    return v && sc_torch_peel(v, &peeled) && is_dense(&peeled) ? peeled.args : NULL;
}

static bool get_real(const struct sc_pk *v, double *out)
{
    if (v && v->kind == SC_PK_FLOAT)
        *out = v->as.f;
    else if (v && v->kind == SC_PK_INT)
        *out = (double)v->as.i;
    else
        return false;
    return true;
}

/* (torch.per_tensor_affine, scale, zero point) or (torch.per_channel_affine, scales, zero points,
 * axis), the latter also with zero points that are floats (..._float_qparams). What cannot be
 * understood leaves a tensor that is only listed. */
static int read_quantizer(struct sc_torch *t, const struct sc_torch_peeled *peeled,
                          struct sc_torch_tensor *x)
{
    const struct sc_pk *q = sc_pk_item(peeled->args, 4), *scheme = sc_pk_item(q, 0);
    const struct sc_pk *scale = sc_pk_item(q, 1), *zero = sc_pk_item(q, 2),
                       *axis = sc_pk_item(q, 3);
    struct sc_quantizer out = {
        .axis = -1, .scales = SC_NO_ENTRY_YET, .zero_points = SC_NO_ENTRY_YET};
    if (!scheme || scheme->kind != SC_PK_GLOBAL || !sc_str_is(scheme->as.global->module, "torch"))
        return 0;
    const struct sc_str name = scheme->as.global->name;
    if (sc_str_is(name, "per_tensor_affine")) {
        if (!get_real(scale, &out.scale) || !zero || zero->kind != SC_PK_INT)
            return 0;
        out.zero_point = zero->as.i;
        return sc_catalog_add_quantizer(t->c, &out, &x->quantizer, t->e);
    }
    if (!sc_str_is(name, "per_channel_affine") &&
        !sc_str_is(name, "per_channel_affine_float_qparams"))
        return 0;
    out.per_channel = true;
    if (axis && axis->kind == SC_PK_INT && axis->as.i >= 0)
        out.axis = axis->as.i;
    t->scales = dense_arguments(scale);
    t->zero_points = dense_arguments(zero);
    TRY(sc_catalog_add_quantizer(t->c, &out, &x->quantizer, t->e));
    t->quantizer = x->quantizer;
    return 0;
}

/* Is the entry that was just listed one of those that the quantizer is waiting for? One tensor may
 * be both. An entry gets into one quantizer at most, and one that has a quantizer into none: so
 * every entry is part of one row. */
static void link_quantizer(struct sc_torch *t, const struct sc_pk *args, uint32_t entry)
{
    struct sc_quantizer *q = &t->c->quantizers[t->quantizer - 1];
    if (args == t->scales && q->scales == SC_NO_ENTRY_YET)
        q->scales = entry;
    else if (args == t->zero_points && q->zero_points == SC_NO_ENTRY_YET)
        q->zero_points = entry;
}

/* What the quantizer of a quantised tensor says, for `info`. */
static int note_quantizer(struct sc_torch *t, const struct sc_torch_peeled *peeled,
                          struct sc_str name)
{
    const struct sc_pk *q = sc_pk_item(peeled->args, 4), *scheme = sc_pk_item(q, 0);
    const struct sc_pk *scale = sc_pk_item(q, 1), *zero = sc_pk_item(q, 2);
    if (!scheme || scheme->kind != SC_PK_GLOBAL || t->n_metas >= SC_MAX_PICKLE_METAS)
        return 0;
    struct sc_buf key = {0}, text = {0};
    sc_buf_put(&key, name.p, name.n);
    sc_buf_puts(&key, ".quantizer");
    sc_buf_put(&text, scheme->as.global->name.p, scheme->as.global->name.n);
    if (scale && scale->kind == SC_PK_FLOAT)
        sc_buf_printf(&text, " scale=%.9g", scale->as.f);
    if (zero && zero->kind == SC_PK_INT)
        sc_buf_printf(&text, " zero_point=%lld", (long long)zero->as.i);
    const int code = key.failed || text.failed ? sc_fail_memory(t->e)
                                               : sc_torch_note(t, key.p, sc_str(text.p, text.n));
    sc_buf_clear(&key);
    sc_buf_clear(&text);
    return code;
}

int sc_torch_list(struct sc_torch *t, const struct sc_torch_peeled *peeled, struct sc_str name)
{
    struct sc_torch_tensor x;
    int code = 0;
    memset(&x, 0, offsetof(struct sc_torch_tensor, sizes));
    x.storage = SC_NO_STORAGE;
    x.parameter = peeled->parameter;
    const bool meta = peeled->role == SC_PK_ROLE_META || peeled->role == SC_PK_ROLE_WRAPPER;
    const char *wrong = meta ? read_meta(t, peeled, &x, &code) : read_dense(t, peeled, &x, &code);
    if (code < 0)
        return code;
    if (wrong) {
        struct sc_quoted q;
        return SC_TORCH_BAD(t, "torch.tensor", name, "tensor \"%s\" %s", sc_quote(&q, name), wrong);
    }
    if (peeled->role == SC_PK_ROLE_QTENSOR) {
        TRY(note_quantizer(t, peeled, name));
        TRY(read_quantizer(t, peeled, &x));
    }
    const size_t before = t->c->n_entries;
    TRY(list(t, name, &x));
    if (t->quantizer && is_dense(peeled) && t->c->n_entries > before)
        link_quantizer(t, peeled->args, (uint32_t)before);
    return 0;
}

int sc_torch_list_reference(struct sc_torch *t, const struct sc_pk *v, struct sc_str name)
{
    struct sc_torch_tensor x;
    memset(&x, 0, offsetof(struct sc_torch_tensor, sizes));
    if (t->tar) {
        if (v->n == UINT32_MAX) {
            struct sc_quoted q;
            return SC_TORCH_BAD(t, "torch.tensor", name,
                                "tensor \"%s\" is not in the table of tensors", sc_quote(&q, name));
        }
        const struct sc_torch_record *r = &t->records[v->n];
        set_storage(t, r->storage, &x);
        x.rank = r->rank;
        x.first = r->first;
        x.capacity = r->capacity;
        if (r->rank > 0) {
            memcpy(x.sizes, r->dims, r->rank * sizeof x.sizes[0]);
            memcpy(x.strides, r->dims + r->rank, r->rank * sizeof x.strides[0]);
        }
    } else {
        uint64_t shift;
        set_storage(t, v->n, &x);
        x.rank = 1;
        x.strides[0] = 1;
        x.capacity = x.unit ? t->storages[v->n].need / x.unit * x.block : UINT64_MAX;
        if (!narrow(v, &x, &shift))
            shift = 0; /* the whole, then */
        x.first = shift;
        x.sizes[0] = (x.unit ? x.capacity : t->storages[v->n].numel) - shift;
    }
    return list(t, name, &x);
}
