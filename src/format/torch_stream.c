/* SPDX-License-Identifier: Apache-2.0 */
/* torch_stream: what torch.save wrote before 1.6, and pickles that are nothing else.
 *
 *   pickle   0x1950a86a20f9469cfc6c
 *   pickle   1001, the protocol
 *   pickle   {"protocol_version", "little_endian", "type_sizes"}
 *   pickle   the object; its storages are persistent references by key
 *   pickle   [key, key, ...]: the order in which the storages follow
 *   storage  8 bytes: number of elements, little-endian; then the elements
 *   ...
 *
 * The size of an element is known from the reference alone, so a key that nothing refers to ends
 * the reading. A bare pickle is run for its verdict; it has no storages. */
#include "format/torch.h"

#include <string.h>

enum { PROTOCOL = 1001, MAX_BARE_PICKLES = 64, COUNT_BYTES = 8 };

int sc_torch_run(struct sc_torch *t, uint64_t *pos, uint64_t end, enum sc_pk_ids ids,
                 const char *what, struct sc_pk **root)
{
    struct sc_pickle_stretch stretch = {.source = t->s, .pos = *pos, .end = end};
    const struct sc_pickle_input in = {
        .read = sc_pickle_read_stretch,
        .ctx = &stretch,
        .size = end - *pos,
        .offset = *pos,
        .what = what,
        .ids = ids,
    };
    uint64_t used = 0;
    TRY(sc_pickle_run(t->pickle, &in, root, &used, t->e));
    *pos += used;
    return 0;
}

static bool is_magic(const struct sc_pk *v)
{
    return v->kind == SC_PK_BIGINT && !v->cut &&
           (sc_str_is(v->as.s, "0x1950a86a20f9469cfc6c") ||
            sc_str_is(v->as.s, "119547037146038801333356"));
}

int sc_torch_read_sys_info(struct sc_torch *t, const struct sc_pk *sys_info)
{
    struct sc_str key;
    if (sys_info->kind != SC_PK_DICT)
        return SC_TORCH_BAD(t, "torch.sys-info", SC_NO_TENSOR, "its sys_info is no dict");
    for (uint32_t i = 0; i + 1 < sys_info->n; i += 2) {
        const struct sc_pk *value = sys_info->as.seq.item[i + 1];
        if (sc_pk_text(sys_info->as.seq.item[i], &key) && sc_str_is(key, "little_endian"))
            t->big_endian = value->kind == SC_PK_BOOL && !value->as.b;
    }
    return t->big_endian ? sc_torch_note(t, "torch.byteorder", SC_STR("big")) : 0;
}

/* -------------------------------------------------------------------------------- storages --- */

/* The elements of storage i begin at *pos; moves *pos behind them. 1: nothing more can be read. */
static int read_storage(struct sc_torch *t, uint32_t i, uint64_t *pos)
{
    const struct sc_torch_storage *s = &t->storages[i];
    const uint64_t left = t->s->size - *pos;
    uint8_t raw[COUNT_BYTES] = {0};
    struct sc_quoted q;
    int code;
    if (left < COUNT_BYTES) {
        code = SC_TORCH_BAD(t, "torch.truncated", SC_NO_TENSOR,
                            "the file ends before storage \"%s\" (a truncated download?)",
                            sc_quote(&q, s->key));
        return code < 0 ? code : 1;
    }
    TRY(sc_source_read(t->s, *pos, raw, sizeof raw, t->e));
    *pos += COUNT_BYTES;
    t->c->files[t->file].header_bytes += COUNT_BYTES;
    const uint64_t count = sc_le64(raw);
    if (s->conflict || s->codec == SC_OPAQUE || count != s->numel) {
        code = SC_TORCH_BAD(t, "torch.storage", SC_NO_TENSOR,
                            "storage \"%s\" has %lld elements where it lies, but the pickle "
                            "refers to %llu of a type%s",
                            sc_quote(&q, s->key), (long long)count, /* signed in the file */
                            (unsigned long long)s->numel,
                            s->codec == SC_OPAQUE ? " that is not known" : "");
        return code < 0 ? code : 1;
    }
    const bool whole = s->need <= left - COUNT_BYTES;
    const struct sc_storage place = {
        .offset = *pos,
        .stored = whole ? s->need : left - COUNT_BYTES,
        .bytes = whole ? s->need : left - COUNT_BYTES,
    };
    if (!whole) {
        code = SC_TORCH_BAD(t, "torch.truncated", SC_NO_TENSOR,
                            "storage \"%s\" needs %llu bytes from byte %llu on, but the file has "
                            "%llu bytes (a truncated download?)",
                            sc_quote(&q, s->key), (unsigned long long)s->need,
                            (unsigned long long)*pos, (unsigned long long)t->s->size);
        if (code < 0)
            return code;
    }
    *pos += place.stored;
    TRY(sc_torch_found(t, i, &place));
    return whole ? 0 : 1;
}

static int read_storages(struct sc_torch *t, const struct sc_pk *keys, uint64_t pos)
{
    struct sc_quoted q;
    int code = 0;
    for (uint32_t i = 0; i < keys->n && code == 0; i++) {
        struct sc_str key;
        if (!sc_pk_text(keys->as.seq.item[i], &key))
            return SC_TORCH_BAD(t, "torch.keys", SC_NO_TENSOR, "key %u of its storages is no text",
                                (unsigned)i);
        const uint32_t storage = sc_torch_find_storage(t, key, 0);
        if (storage == SC_NO_STORAGE || t->storages[storage].index != SC_NO_STORAGE)
            return SC_TORCH_BAD(t, "torch.keys", SC_NO_TENSOR,
                                storage == SC_NO_STORAGE
                                    ? "nothing refers to storage \"%s\", so its size is not known"
                                    : "storage \"%s\" is there twice",
                                sc_quote(&q, key));
        code = read_storage(t, storage, &pos);
    }
    if (code == 0 && pos < t->s->size)
        code = SC_TORCH_WARN(t, "torch.trailing", SC_NO_TENSOR,
                             "%llu bytes follow the last storage, at byte %llu",
                             (unsigned long long)(t->s->size - pos), (unsigned long long)pos);
    return SC_MIN(code, 0);
}

/* ---------------------------------------------------------------------------------- stream --- */

static int read_stream(struct sc_torch *t, uint64_t pos)
{
    struct sc_pk *protocol, *sys_info, *root, *keys;
    const uint64_t end = t->s->size;
    TRY(sc_torch_note(t, "torch.container", SC_STR("stream")));
    TRY(sc_torch_run(t, &pos, end, SC_PK_IDS_NONE, "the protocol pickle", &protocol));
    if (!protocol)
        return 0;
    if (protocol->kind != SC_PK_INT || protocol->as.i != PROTOCOL)
        return SC_TORCH_BAD(t, "torch.protocol", SC_NO_TENSOR,
                            "its protocol is not %d, the only one that exists", PROTOCOL);
    TRY(sc_torch_run(t, &pos, end, SC_PK_IDS_NONE, "the sys_info pickle", &sys_info));
    if (!sys_info)
        return 0;
    TRY(sc_torch_read_sys_info(t, sys_info));
    TRY(sc_torch_run(t, &pos, end, SC_PK_IDS_STREAM, "the pickle of the object", &root));
    if (!root)
        return 0;
    TRY(sc_torch_run(t, &pos, end, SC_PK_IDS_NONE, "the pickle of the storage keys", &keys));
    if (!keys)
        return 0;
    t->c->files[t->file].header_bytes = pos;
    if (!sc_pk_is_sequence(keys))
        return SC_TORCH_BAD(t, "torch.keys", SC_NO_TENSOR, "its storage keys are no list");
    TRY(sc_torch_collect(t, 0, 0));
    TRY(read_storages(t, keys, pos));
    TRY(sc_torch_walk(t, root, ""));
    return sc_torch_share(t);
}

/* Pickles may stand one behind the other. pickle.load() stops after the first, but what the others
 * would do counts for the verdict. */
static int read_bare(struct sc_torch *t, struct sc_pk *root, uint64_t pos)
{
    struct sc_pk *another = root;
    uint8_t next;
    TRY(sc_torch_note(t, "torch.container", SC_STR("pickle")));
    for (int i = 1; another && pos < t->s->size; i++) {
        TRY(sc_source_read(t->s, pos, &next, 1, t->e));
        if (next != 0x80 || i == MAX_BARE_PICKLES)
            break;
        TRY(sc_torch_run(t, &pos, t->s->size, SC_PK_IDS_NONE, "a further pickle", &another));
    }
    t->c->files[t->file].header_bytes = pos;
    if (another && pos < t->s->size)
        TRY(SC_TORCH_WARN(t, "pickle.trailing", SC_NO_TENSOR,
                          "%llu bytes follow the last pickle, at byte %llu",
                          (unsigned long long)(t->s->size - pos), (unsigned long long)pos));
    TRY(sc_torch_walk(t, root, ""));
    return sc_torch_share(t);
}

int sc_torch_open_stream(struct sc_torch *t)
{
    struct sc_pk *first;
    uint64_t pos = 0;
    TRY(sc_pickle_new(t->c, t->file, sc_pickle_memory(t->s->size), &t->pickle, t->e));
    TRY(sc_torch_run(t, &pos, t->s->size, SC_PK_IDS_NONE, "the pickle", &first));
    if (!first)
        return 0;
    return is_magic(first) ? read_stream(t, pos) : read_bare(t, first, pos);
}
