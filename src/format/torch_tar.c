/* SPDX-License-Identifier: Apache-2.0 */
/* torch_tar: the tar archive of PyTorch 0.1. Members are found by their exact names and read in
 * place; nothing is extracted.
 *
 *   header    0  100  name       124  12  size, octal      156  1  type: '0' or NUL is a file
 *             148  8  checksum, octal: sum of the 512 bytes, itself taken as blanks
 *   data      padded to 512 bytes; two blocks of zeros end the archive
 *
 *   sys_info  pickle {"little_endian", ...}
 *   storages  pickle n, then n times: pickle (key, location, class), 8 bytes count, the elements;
 *             then pickle [(key, key of the whole, offset, count), ...]: parts of storages
 *   tensors   pickle n, then n times: pickle (key, storage key, class), 4 bytes rank, 4 bytes
 *             nothing, rank times 8 bytes size, the same for strides, 8 bytes offset
 *   pickle    the object; its tensors and storages are persistent references by key */
#include "format/torch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, MAX_MEMBERS = 4096 };
enum part { SYS_INFO, STORAGES, TENSORS, PICKLE, PARTS };

static const char *const part_names[PARTS] = {"sys_info", "storages", "tensors", "pickle"};

struct stretch {
    uint64_t begin, end; /* end 0: not there */
};

/* A part of a storage that goes by a key of its own. */
struct alias {
    uint64_t key, first, count;
    uint32_t storage;
};

struct tar {
    struct sc_torch *t;
    struct stretch part[PARTS];
    struct alias *aliases;
    size_t n_aliases, aliases_cap;
    struct sc_index alias_index;
    uint64_t foreign; /* bytes of members that have nothing to do here */
};

/* --------------------------------------------------------------------------------- members --- */

/* Octal digits, blanks before and a blank or NUL behind; large sizes in binary, marked by 0x80. */
static bool parse_number(const uint8_t *p, size_t n, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    if (p[0] & 0x80) {
        for (i = n - 8; i < n; i++)
            *out = *out << 8 | p[i];
        return true;
    }
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        *out = *out << 3 | (uint64_t)(p[i] - '0');
    return i == n || p[i] == ' ' || p[i] == '\0';
}

static bool checksum_fits(const uint8_t *h)
{
    uint64_t said, sum = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : h[i];
    return parse_number(h + 148, 8, &said) && said == sum;
}

/* PARTS: none of ours. */
static enum part part_of(const uint8_t *h)
{
    const uint8_t *nul = memchr(h, '\0', 100);
    const struct sc_str name = sc_str((const char *)h, nul ? (size_t)(nul - h) : 100);
    enum part i = SYS_INFO;
    while (i < PARTS && !sc_str_is(name, part_names[i]))
        i++;
    return i;
}

bool sc_torch_is_tar(const uint8_t *head, size_t n)
{
    return n >= BLOCK && part_of(head) != PARTS && checksum_fits(head);
}

/* Records where the four members lie. */
static int find_parts(struct tar *tar)
{
    struct sc_torch *t = tar->t;
    uint8_t h[BLOCK];
    uint64_t pos = 0, size;
    for (int i = 0; t->s->size - pos >= BLOCK; i++) {
        TRY(sc_source_read(t->s, pos, h, sizeof h, t->e));
        if (h[0] == '\0')
            return 0; /* the end of the archive */
        pos += BLOCK;
        if (!checksum_fits(h) || !parse_number(h + 124, 12, &size) || i == MAX_MEMBERS)
            return SC_TORCH_BAD(t, "tar.header", SC_NO_TENSOR,
                                "the tar header at byte %llu is damaged",
                                (unsigned long long)(pos - BLOCK));
        if (size > t->s->size - pos)
            return SC_TORCH_BAD(t, "tar.range", SC_NO_TENSOR,
                                "the tar member at byte %llu needs %llu bytes, but the file has "
                                "%llu (a truncated download?)",
                                (unsigned long long)pos, (unsigned long long)size,
                                (unsigned long long)t->s->size);
        const enum part part = part_of(h);
        if (part == PARTS || (h[156] != '0' && h[156] != '\0')) {
            tar->foreign += size;
        } else if (tar->part[part].end) {
            return SC_TORCH_BAD(t, "tar.duplicate", SC_NO_TENSOR,
                                "the tar archive has two members \"%s\"", part_names[part]);
        } else {
            tar->part[part] = (struct stretch){pos, pos + size};
        }
        pos += SC_MIN(sc_align_up(size, BLOCK), t->s->size - pos);
    }
    return SC_TORCH_WARN(t, "tar.end", SC_NO_TENSOR,
                         "the tar archive ends without its closing blocks (a truncated download?)");
}

/* --------------------------------------------------------------------------------- reading --- */

/* What every table here can run into. Negative, or 1: stop reading (lenient). */
static int table_bad(struct sc_torch *t, const char *table, uint64_t pos)
{
    const int code = SC_TORCH_BAD(t, "tar.table", SC_NO_TENSOR,
                                  "the table of %s is damaged or cut off at byte %llu", table,
                                  (unsigned long long)pos);
    return code < 0 ? code : 1;
}

static bool number_of(const struct sc_pk *v, uint64_t *out)
{
    struct sc_str s;
    if (v && v->kind == SC_PK_INT && v->as.i >= 0) {
        *out = (uint64_t)v->as.i;
        return true;
    }
    return sc_pk_text(v, &s) && sc_str_u64(s, out);
}

/* A pickle in one of the tables. 1: it cannot be read, or is no `kind`. */
static int table_pickle(struct tar *tar, enum part part, uint64_t *pos, struct sc_pk **v)
{
    TRY(sc_torch_run(tar->t, pos, tar->part[part].end, SC_PK_IDS_NONE, part_names[part], v));
    return *v ? 0 : 1;
}

static int table_bytes(struct tar *tar, enum part part, uint64_t *pos, uint8_t *dst, size_t n)
{
    if (n > tar->part[part].end - *pos)
        return table_bad(tar->t, part_names[part], *pos);
    TRY(sc_source_read(tar->t->s, *pos, dst, n, tar->t->e));
    *pos += n;
    return 0;
}

/* Keys are addresses, written as numbers; the table of storages wants text. */
static int key_text(struct sc_torch *t, uint64_t key, struct sc_str *out)
{
    char text[24];
    const int n = snprintf(text, sizeof text, "%llu", (unsigned long long)key);
    *out = sc_str(sc_arena_copy(&t->arena, text, (size_t)n), (size_t)n);
    return out->p ? 0 : sc_fail_memory(t->e);
}

static uint32_t find_storage(const struct sc_torch *t, uint64_t key)
{
    char text[24];
    const int n = snprintf(text, sizeof text, "%llu", (unsigned long long)key);
    return sc_torch_find_storage(t, sc_str(text, (size_t)n), 0);
}

/* -------------------------------------------------------------------------------- storages --- */

static int read_storage(struct tar *tar, uint64_t *pos)
{
    struct sc_torch *t = tar->t;
    struct sc_torch_storage s = {0};
    struct sc_pk *v;
    uint8_t raw[8] = {0};
    uint64_t key;
    uint32_t i;
    int code = table_pickle(tar, STORAGES, pos, &v);
    if (code != 0)
        return code;
    const struct sc_pk *class = sc_pk_item(v, 2);
    if (!sc_pk_is_sequence(v) || v->n != 3 || !number_of(sc_pk_item(v, 0), &key) ||
        sc_pk_role(class) != SC_PK_ROLE_STORAGE || find_storage(t, key) != SC_NO_STORAGE)
        return table_bad(t, "storages", *pos);
    code = table_bytes(tar, STORAGES, pos, raw, sizeof raw);
    if (code != 0)
        return code;
    s.numel = sc_le64(raw);
    TRY(key_text(t, key, &s.key));
    TRY(sc_torch_classify(t, class->as.global, &s));
    if (s.conflict || s.codec == SC_OPAQUE || s.need > tar->part[STORAGES].end - *pos)
        return table_bad(t, "storages", *pos);
    const struct sc_storage place = {.offset = *pos, .stored = s.need, .bytes = s.need};
    *pos += s.need;
    TRY(sc_torch_new_storage(t, &s, &i));
    t->c->files[t->file].header_bytes -= s.need;
    return sc_torch_found(t, i, &place);
}

static int add_alias(struct tar *tar, const struct sc_pk *v, uint64_t pos)
{
    struct sc_torch *t = tar->t;
    struct alias a;
    uint64_t root, end;
    if (!sc_pk_is_sequence(v) || v->n != 4 || !number_of(sc_pk_item(v, 0), &a.key) ||
        !number_of(sc_pk_item(v, 1), &root) || !number_of(sc_pk_item(v, 2), &a.first) ||
        !number_of(sc_pk_item(v, 3), &a.count))
        return table_bad(t, "storages", pos);
    a.storage = find_storage(t, root);
    if (a.storage == SC_NO_STORAGE || !sc_add(a.first, a.count, &end) ||
        end > t->storages[a.storage].numel)
        return table_bad(t, "storages", pos);
    TRY(sc_grow(&tar->aliases, &tar->aliases_cap, tar->n_aliases + 1, sizeof a, t->e));
    TRY(sc_index_put(&tar->alias_index, sc_hash(&a.key, sizeof a.key), (uint32_t)tar->n_aliases,
                     t->e));
    tar->aliases[tar->n_aliases++] = a;
    return 0;
}

static int read_storages(struct tar *tar)
{
    uint64_t pos = tar->part[STORAGES].begin, n;
    struct sc_pk *v;
    int code = table_pickle(tar, STORAGES, &pos, &v);
    if (code == 0 && !number_of(v, &n))
        code = table_bad(tar->t, "storages", pos);
    for (uint64_t i = 0; code == 0 && i < n; i++)
        code = read_storage(tar, &pos);
    if (code == 0)
        code = table_pickle(tar, STORAGES, &pos, &v);
    if (code == 0 && !sc_pk_is_sequence(v))
        code = table_bad(tar->t, "storages", pos);
    for (uint32_t i = 0; code == 0 && i < v->n; i++)
        code = add_alias(tar, v->as.seq.item[i], pos);
    return SC_MIN(code, 0);
}

/* --------------------------------------------------------------------------------- tensors --- */

static const struct alias *find_alias(const struct tar *tar, uint64_t key)
{
    size_t probe = 0;
    const uint64_t hash = sc_hash(&key, sizeof key);
    for (uint32_t id; (id = sc_index_next(&tar->alias_index, hash, &probe)) != UINT32_MAX;)
        if (tar->aliases[id].key == key)
            return &tar->aliases[id];
    return NULL;
}

static int add_record(struct sc_torch *t, const struct sc_torch_record *r, uint32_t *index)
{
    TRY(sc_grow(&t->records, &t->records_cap, t->n_records + 1, sizeof *r, t->e));
    TRY(sc_index_put(&t->record_index, sc_hash(&r->key, sizeof r->key), (uint32_t)t->n_records,
                     t->e));
    *index = (uint32_t)t->n_records;
    t->records[t->n_records++] = *r;
    return 0;
}

static uint32_t find_record(const struct sc_torch *t, uint64_t key)
{
    size_t probe = 0;
    const uint64_t hash = sc_hash(&key, sizeof key);
    for (uint32_t id; (id = sc_index_next(&t->record_index, hash, &probe)) != UINT32_MAX;)
        if (t->records[id].key == key)
            return id;
    return UINT32_MAX;
}

/* The storage, or the part of one, that goes by this key. */
static bool resolve_storage(const struct tar *tar, uint64_t key, struct sc_torch_record *r)
{
    const struct alias *alias = find_alias(tar, key);
    const uint32_t storage = alias ? alias->storage : find_storage(tar->t, key);
    if (storage == SC_NO_STORAGE)
        return false;
    r->storage = storage;
    r->first = alias ? alias->first : 0;
    r->capacity = alias ? alias->first + alias->count : tar->t->storages[storage].numel;
    return true;
}

static int read_tensor(struct tar *tar, uint64_t *pos)
{
    struct sc_torch *t = tar->t;
    struct sc_torch_record r = {0};
    uint8_t raw[8 + 16 * SC_MAX_RANK + 8] = {0};
    uint64_t storage;
    uint32_t index;
    struct sc_pk *v;
    int code = table_pickle(tar, TENSORS, pos, &v);
    if (code != 0)
        return code;
    if (!sc_pk_is_sequence(v) || v->n != 3 || !number_of(sc_pk_item(v, 0), &r.key) ||
        !number_of(sc_pk_item(v, 1), &storage) || !resolve_storage(tar, storage, &r) ||
        find_record(t, r.key) != UINT32_MAX)
        return table_bad(t, "tensors", *pos);
    code = table_bytes(tar, TENSORS, pos, raw, 8);
    if (code != 0)
        return code;
    r.rank = sc_le32(raw);
    if (r.rank > SC_MAX_RANK)
        return table_bad(t, "tensors", *pos);
    code = table_bytes(tar, TENSORS, pos, raw, 16 * (size_t)r.rank + 8);
    if (code != 0)
        return code;
    uint64_t *dims = SC_ARENA_NEW(&t->arena, uint64_t, 2 * (size_t)r.rank + 1);
    if (!dims)
        return sc_fail_memory(t->e);
    bool sane = true;
    for (size_t i = 0; i <= 2 * (size_t)r.rank; i++) { /* the last one is the offset */
        dims[i] = sc_le64(raw + 8 * i);
        sane = sane && dims[i] <= INT64_MAX;
    }
    if (!sane || !sc_add(r.first, dims[2 * (size_t)r.rank], &r.first))
        return table_bad(t, "tensors", *pos);
    r.dims = dims;
    return add_record(t, &r, &index);
}

static int read_tensors(struct tar *tar)
{
    uint64_t pos = tar->part[TENSORS].begin, n;
    struct sc_pk *v;
    int code = table_pickle(tar, TENSORS, &pos, &v);
    if (code == 0 && !number_of(v, &n))
        code = table_bad(tar->t, "tensors", pos);
    for (uint64_t i = 0; code == 0 && i < n; i++)
        code = read_tensor(tar, &pos);
    return SC_MIN(code, 0);
}

/* ---------------------------------------------------------------------------------- object --- */

/* A reference to a storage by itself is listed as a row of its elements. */
static int storage_record(struct tar *tar, uint64_t key, uint32_t *index)
{
    struct sc_torch *t = tar->t;
    struct sc_torch_record r = {.key = key, .rank = 1};
    *index = UINT32_MAX;
    if (!resolve_storage(tar, key, &r))
        return 0;
    uint64_t *dims = SC_ARENA_NEW(&t->arena, uint64_t, 2);
    if (!dims)
        return sc_fail_memory(t->e);
    dims[0] = r.capacity - r.first;
    dims[1] = 1;
    r.dims = dims;
    return add_record(t, &r, index);
}

static int resolve_references(struct tar *tar, size_t first)
{
    size_t n;
    struct sc_pk *const *all = sc_pickle_persistent(tar->t->pickle, &n);
    for (size_t i = first; i < n; i++) {
        uint64_t key;
        all[i]->n = UINT32_MAX; /* reported when a name is known for it */
        if (!number_of(all[i]->as.id, &key))
            continue;
        all[i]->n = find_record(tar->t, key);
        if (all[i]->n == UINT32_MAX)
            TRY(storage_record(tar, key, &all[i]->n));
    }
    return 0;
}

static int read_object(struct tar *tar)
{
    struct sc_torch *t = tar->t;
    struct sc_pk *root;
    size_t references;
    uint64_t pos = tar->part[PICKLE].begin;
    sc_pickle_persistent(t->pickle, &references);
    TRY(sc_torch_run(t, &pos, tar->part[PICKLE].end, SC_PK_IDS_TAR, "the pickle of the object",
                     &root));
    if (!root)
        return 0;
    TRY(resolve_references(tar, references));
    TRY(sc_torch_walk(t, root, ""));
    return sc_torch_share(t);
}

static int read_parts(struct tar *tar)
{
    struct sc_torch *t = tar->t;
    struct sc_pk *sys_info;
    TRY(find_parts(tar));
    for (enum part i = STORAGES; i < PARTS; i++)
        if (!tar->part[i].end)
            return SC_TORCH_BAD(t, "tar.missing", SC_NO_TENSOR,
                                "the tar archive has no member \"%s\"", part_names[i]);
    t->c->files[t->file].header_bytes = t->s->size - tar->foreign;
    if (tar->part[SYS_INFO].end) {
        uint64_t pos = tar->part[SYS_INFO].begin;
        TRY(sc_torch_run(t, &pos, tar->part[SYS_INFO].end, SC_PK_IDS_NONE, "sys_info", &sys_info));
        if (sys_info)
            TRY(sc_torch_read_sys_info(t, sys_info));
    }
    TRY(read_storages(tar));
    TRY(read_tensors(tar));
    return read_object(tar);
}

int sc_torch_open_tar(struct sc_torch *t)
{
    struct tar tar = {.t = t};
    t->tar = true;
    TRY(sc_torch_note(t, "torch.container", SC_STR("tar")));
    TRY(sc_pickle_new(t->c, t->file, sc_pickle_memory(t->s->size), &t->pickle, t->e));
    const int code = read_parts(&tar);
    free(tar.aliases);
    sc_index_clear(&tar.alias_index);
    return code;
}
