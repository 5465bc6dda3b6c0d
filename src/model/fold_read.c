/* SPDX-License-Identifier: Apache-2.0 */
/* fold_read: the two kinds of metadata that come as tensors, a shape of a few integers and the
 * JSON of bitsandbytes. At most SC_TINY bytes are read of any tensor, and the file that was used
 * last stays open, as the tensors of a shard follow each other.
 *
 * What cannot be read costs only the exact shape: a warning is recorded and folding goes on. */
#include "model/fold.h"

#include <stdlib.h>

#include "model/config.h"

void sc_fold_read_end(struct sc_fold *f)
{
    sc_source_close(f->file);
    f->file = NULL;
    f->file_index = UINT32_MAX;
}

static bool fatal(int code)
{
    return code == SCRUPLE_EMEMORY || code == SCRUPLE_EINTERRUPTED;
}

int sc_fold_doubt(struct sc_fold *f, uint32_t entry, const char *why, struct sc_error *e)
{
    const struct sc_entry *en = &f->c->entries[entry];
    return sc_problem(f->m->catalog, SC_WARNING, "fold.shape", en->file, sc_entry_name(en),
                      SC_NO_OFFSET, e,
                      "the shape of the weight is taken from its packed dimensions: %s", why);
}

/* Where the bytes of an entry stand in its file; false: not as they are. */
static bool stored_plainly(const struct sc_fold *f, const struct sc_entry *en)
{
    if (en->flags & SC_ENTRY_BROKEN)
        return false;
    if (en->view == SC_NO_STORAGE)
        return true;
    const struct sc_view *v = &f->c->views[en->view];
    const struct sc_storage *s = &f->c->storages[v->storage];
    return s->method == 0 && s->file == en->file && (en->rank == 0 || v->strides[0] == 1);
}

/* The names of what may be read here: see fold.c for their meaning. */
static bool is_metadata(struct sc_str name)
{
    static const char *const ends[] = {"weight_shape", "quant_state.bitsandbytes__nf4",
                                       "quant_state.bitsandbytes__fp4", ".shape"};
    for (size_t i = 0; i < SC_COUNT(ends); i++)
        if (sc_str_ends(name, ends[i]))
            return true;
    return false;
}

/* Over a network every small read is a round trip: all of this file's start at once. */
static void prefetch_metadata(struct sc_fold *f, uint32_t entry)
{
    enum { MOST = 4096 };
    const uint32_t file = f->c->entries[entry].file;
    struct sc_span *spans = NULL;
    size_t n = 0, cap = 0;
    while (entry > 0 && f->c->entries[entry - 1].file == file)
        entry--;
    for (; entry < f->c->n_entries && f->c->entries[entry].file == file && n < MOST; entry++) {
        const struct sc_entry *en = &f->c->entries[entry];
        if (en->bytes == 0 || en->bytes > SC_TINY || !stored_plainly(f, en) ||
            !is_metadata(sc_entry_name(en)))
            continue;
        if (sc_grow(&spans, &cap, n + 1, sizeof spans[0], NULL) < 0)
            break;
        spans[n++] = (struct sc_span){en->offset, en->bytes};
    }
    sc_source_prefetch(f->file, spans, n);
    free(spans);
}

int sc_fold_read(struct sc_fold *f, uint32_t entry, uint8_t dst[SC_TINY], size_t *n,
                 struct sc_error *e)
{
    const struct sc_entry *en = &f->c->entries[entry];
    struct sc_error why = {.code = 0};
    struct sc_quoted q;
    int code = 0;
    uint64_t size = 0;
    if (!f->m->repo)
        return 0;
    if (en->rank > 1 || en->dtype & SC_FOREIGN_TYPE ||
        !sc_codec_bytes((sc_codec_id)en->dtype, en->shape, en->rank, &size) || size > SC_TINY)
        return sc_fold_doubt(f, entry, "the tensor that tells it is not a short list", e);
    if (!stored_plainly(f, en))
        return sc_fold_doubt(f, entry, "the tensor that tells it is compressed, strided or broken",
                             e);
    if (f->file_index != en->file) {
        sc_fold_read_end(f);
        f->file_index = en->file;
        code = sc_repo_open_file(f->m->repo, f->c->files[en->file].path, &f->file, &why);
        if (code == 0 && f->file->remote)
            prefetch_metadata(f, entry);
    } else if (!f->file) {
        return 0; /* was reported for the tensor before */
    }
    if (code == 0)
        code = sc_source_read(f->file, en->offset, dst, (size_t)size, &why);
    if (fatal(code)) {
        if (e)
            *e = why;
        return code;
    }
    if (code < 0)
        return sc_fold_doubt(f, entry, sc_quote(&q, sc_strz(why.text)), e);
    *n = (size_t)size;
    return 1;
}

int sc_fold_read_shape(struct sc_fold *f, uint32_t entry, uint64_t *dims, size_t *rank,
                       struct sc_error *e)
{
    const struct sc_entry *en = &f->c->entries[entry];
    const uint64_t count = sc_entry_elements(en);
    uint8_t bytes[SC_TINY];
    size_t n = 0;
    const bool is_int = sc_type_of(f, en) == SC_TYPE_INT;
    const size_t width = is_int ? sc_codec((sc_codec_id)en->dtype)->bytes : 0;
    if (!f->m->repo)
        return 0;
    if ((width != 4 && width != 8) || count == 0 || count > 8)
        return sc_fold_doubt(f, entry, "the tensor that tells it is not a list of up to 8 integers",
                             e);
    const int code = sc_fold_read(f, entry, bytes, &n, e);
    if (code <= 0)
        return code;
    for (size_t i = 0; i < count; i++) {
        struct sc_cursor c = {.p = bytes + i * width,
                              .end = bytes + n,
                              .big_endian = (en->flags & SC_ENTRY_BIG_ENDIAN) != 0};
        uint32_t half;
        if (width == 8 ? !sc_cursor_u64(&c, &dims[i]) : !sc_cursor_u32(&c, &half))
            return 0;
        if (width == 4)
            dims[i] = half;
        if (dims[i] > (width == 8 ? (uint64_t)INT64_MAX : (uint64_t)INT32_MAX))
            return sc_fold_doubt(f, entry, "the tensor that tells it holds a negative number", e);
    }
    *rank = (size_t)count;
    return 1;
}

/* Dimensions from a JSON list; false: it is no list of up to 8 whole numbers. */
static bool list_of_dims(const json_t *list, struct sc_bnb_state *s)
{
    const size_t n = json_array_size(list);
    if (n == 0 || n > SC_COUNT(s->shape))
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return false;
        s->shape[i] = (uint64_t)json_integer_value(item);
    }
    s->rank = n;
    return true;
}

int sc_fold_read_state(struct sc_fold *f, uint32_t entry, struct sc_bnb_state *s,
                       struct sc_error *e)
{
    uint8_t bytes[SC_TINY];
    size_t n = 0;
    json_error_t at;
    const int code = sc_fold_read(f, entry, bytes, &n, e);
    if (code <= 0)
        return code;
    json_t *doc;
    if (sc_config_parse((const char *)bytes, n, &doc, &at) < 0)
        return sc_fail_memory(e);
    const json_int_t block = json_integer_value(json_object_get(doc, "blocksize"));
    if (block > 0)
        s->blocksize = (uint64_t)block;
    const bool told = list_of_dims(json_object_get(doc, "shape"), s);
    json_decref(doc);
    return told ? 1 : sc_fold_doubt(f, entry, "its quant_state is no JSON with a shape", e);
}
