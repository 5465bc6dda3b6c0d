/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors: header parser and validator.
 *
 *   OFFSET  SIZE  DESCRIPTION
 *   0       8     N, length of the header, little-endian
 *   8       N     JSON object: name -> {"dtype", "shape", "data_offsets": [begin, end]}, and
 *                 optionally "__metadata__" -> {string: string}; may be padded with blanks
 *   8+N     ...   tensor data; offsets count from here; tensors tile it without hole or overlap
 *
 * Stricter than the reference implementation where that one is silent (duplicate names, tensors
 * given as arrays), laxer where files exist that it refuses: unknown element types are listed, and
 * trailing bytes and leading blanks are reported instead. Nothing here reads tensor data. */
#include "format/json_stream.h"
#include "format/format.h"

#include <stdlib.h>
#include <string.h>

struct parser {
    struct sc_catalog *c;
    struct sc_json_stream st;
    uint32_t file;
    uint64_t data;      /* file position where data starts */
    uint64_t data_size; /* bytes of data that are in the file */
    size_t first;       /* index of the first entry of this file */
    size_t n_cut;       /* tensors that end beyond the file */
    bool has_metadata;
};

/* The fields of one tensor as scanned, before anything is believed. */
struct fields {
    struct sc_str dtype;
    uint64_t shape[SC_MAX_RANK];
    size_t rank;
    uint64_t begin, end;
    bool has_dtype, has_shape, has_offsets;
};

static int bid(const struct sc_probe *p)
{
    if (p->head_len < 10)
        return 0;
    const uint8_t *h = p->head;
    if (h[8] != '{' && h[8] != ' ' && h[8] != '\t' && h[8] != '\n' && h[8] != '\r')
        return 0;
    const uint64_t n = sc_le64(h);
    const bool fits = n >= 2 && n <= SC_MAX_SAFETENSORS_HEADER && n <= p->size - 8;
    size_t text = 0;
    for (size_t i = 0; i < 8; i++)
        text += h[i] >= 0x20 && h[i] < 0x7F;
    const bool opens = h[8] == '{' && (h[9] == '"' || h[9] == '}' || h[9] == ' ' || h[9] == '\n');
    if (fits)
        return 40 + 8 * opens;
    /* A length that cannot be, in front of what is plainly our JSON: ours, and broken. */
    return opens && h[9] == '"' && text < 8 ? 24 : 0;
}

static bool wrong(struct sc_json *j, const char *problem)
{
    if (!j->problem) {
        j->problem = problem;
        j->problem_at = j->p;
    }
    return false;
}

/* Whole numbers in brackets; at most max. */
static bool scan_numbers(struct sc_json *j, uint64_t *out, size_t max, size_t *n,
                         const char *too_many)
{
    char c;
    *n = 0;
    if (!sc_json_char(j, '[', "expected a list of numbers") || !sc_json_peek(j, &c))
        return false;
    if (c == ']') {
        j->p++;
        return true;
    }
    for (;;) {
        if (*n == max)
            return wrong(j, too_many);
        if (!sc_json_u64(j, &out[(*n)++]) || !sc_json_peek(j, &c))
            return false;
        if (c == ']') {
            j->p++;
            return true;
        }
        if (!sc_json_char(j, ',', "expected ',' or ']'"))
            return false;
    }
}

static bool scan_field(struct sc_json *j, struct sc_str key, struct fields *f)
{
    if (sc_str_eq(key, SC_STR("dtype"))) {
        if (f->has_dtype)
            return wrong(j, "duplicate \"dtype\"");
        f->has_dtype = true;
        return sc_json_string(j, &f->dtype);
    }
    if (sc_str_eq(key, SC_STR("shape"))) {
        if (f->has_shape)
            return wrong(j, "duplicate \"shape\"");
        f->has_shape = true;
        return scan_numbers(j, f->shape, SC_MAX_RANK, &f->rank, "more than 64 dimensions");
    }
    if (sc_str_eq(key, SC_STR("data_offsets"))) {
        uint64_t range[2];
        size_t n;
        if (f->has_offsets)
            return wrong(j, "duplicate \"data_offsets\"");
        f->has_offsets = true;
        if (!scan_numbers(j, range, 2, &n, "\"data_offsets\" has more than two numbers"))
            return false;
        if (n != 2)
            return wrong(j, "\"data_offsets\" needs two numbers");
        f->begin = range[0];
        f->end = range[1];
        return true;
    }
    return sc_json_skip(j); /* as the reference does */
}

/* A number of at most 19 digits, which fits in 64 bits; *p moves behind it. Looks at 20 bytes. */
static inline bool usual_number(const char **p, uint64_t *out)
{
    const char *q = *p;
    uint64_t v = 0;
    while (q - *p < 20 && *q >= '0' && *q <= '9')
        v = v * 10 + (uint64_t)(*q++ - '0');
    if (q == *p || q - *p > 19 || (**p == '0' && q - *p > 1))
        return false;
    *p = q;
    *out = v;
    return true;
}

/* The one spelling that every writer of safetensors uses, without blanks and in this order:
 *     {"dtype":"BF16","shape":[4096,4096],"data_offsets":[0,33554432]}
 * Twice as fast as scan_tensor(), which reads everything else; when in doubt this returns false
 * and leaves the scanner where it was. */
static bool scan_usual_tensor(struct sc_json *j, struct fields *f)
{
    enum { ENOUGH = 512, USUAL_RANK = 8 }; /* bytes of the longest entry of this kind */
    static const char dtype[] = "{\"dtype\":\"", shape[] = "\",\"shape\":[",
                      offsets[] = "],\"data_offsets\":[";
    const char *p = j->p;
    if (j->end - p < ENOUGH || memcmp(p, dtype, sizeof dtype - 1) != 0)
        return false;
    p += sizeof dtype - 1;
    const char *name = p;
    while ((*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_')
        if (++p - name > 16)
            return false;
    f->dtype = sc_str(name, (size_t)(p - name));
    if (memcmp(p, shape, sizeof shape - 1) != 0)
        return false;
    p += sizeof shape - 1;
    for (f->rank = 0; *p != ']';) {
        if (f->rank == USUAL_RANK || !usual_number(&p, &f->shape[f->rank++]))
            return false;
        if (*p == ',' && p[1] != ']')
            p++;
        else if (*p != ']')
            return false;
    }
    if (memcmp(p, offsets, sizeof offsets - 1) != 0)
        return false;
    p += sizeof offsets - 1;
    if (!usual_number(&p, &f->begin) || *p++ != ',' || !usual_number(&p, &f->end) || *p++ != ']' ||
        *p++ != '}')
        return false;
    j->p = p;
    return true;
}

static bool scan_tensor(struct sc_json *j, struct fields *f)
{
    struct sc_str key;
    char c;
    f->has_dtype = f->has_shape = f->has_offsets = false;
    if (!sc_json_char(j, '{',
                      "expected an object with \"dtype\", \"shape\" and \"data_offsets\"") ||
        !sc_json_peek(j, &c))
        return false;
    while (c != '}') {
        if (!sc_json_string(j, &key) || !sc_json_char(j, ':', "expected ':'") ||
            !scan_field(j, key, f) || !sc_json_peek(j, &c))
            return false;
        if (c == '}')
            break;
        if (!sc_json_char(j, ',', "expected ',' or '}'") || !sc_json_peek(j, &c))
            return false;
        if (c == '}')
            return wrong(j, "a comma before '}'");
    }
    j->p++;
    if (!f->has_dtype || !f->has_shape || !f->has_offsets)
        return wrong(j, "a tensor lacks \"dtype\", \"shape\" or \"data_offsets\"");
    return true;
}

/* The position check that arithmetic errors hide behind: begin <= end <= data_size. */
static int check_range(struct parser *p, struct sc_str name, const struct fields *f, bool *sound,
                       struct sc_error *e)
{
    struct sc_quoted q;
    *sound = false;
    if (f->begin > f->end)
        return sc_problem(p->c, SC_ERROR, "safetensors.range", p->file, name, SC_NO_OFFSET, e,
                          "tensor \"%s\" begins at %llu and ends at %llu, before it begins",
                          sc_quote(&q, name), (unsigned long long)f->begin,
                          (unsigned long long)f->end);
    if (f->end > p->data_size) {
        if (p->n_cut++ > 0)
            return 0; /* one sentence for all of them: check_tiling() counts the rest */
        uint64_t end = f->end;
        if (!sc_add(end, p->data, &end))
            end = f->end;
        return sc_problem(p->c, SC_ERROR, "safetensors.truncated", p->file, name, end, e,
                          "tensor \"%s\" ends at byte %llu, but the file has %llu "
                          "(truncated download?)",
                          sc_quote(&q, name), (unsigned long long)end,
                          (unsigned long long)p->c->files[p->file].bytes);
    }
    *sound = true;
    return 0;
}

/* Element type and size against the byte range. *dtype is set in any case. */
static int check_type(struct parser *p, struct sc_str name, const struct fields *f, uint32_t *dtype,
                      bool *sound, struct sc_error *e)
{
    struct sc_quoted q, t;
    const sc_codec_id id = sc_codec_safetensors(f->dtype);
    *dtype = id;
    if (id == SC_OPAQUE) {
        TRY(sc_catalog_foreign_type(p->c, f->dtype, dtype, e));
        return sc_problem(p->c, SC_WARNING, "safetensors.dtype", p->file, name, SC_NO_OFFSET, e,
                          "tensor \"%s\" has the unknown element type \"%s\"; it is listed, its "
                          "values cannot be read",
                          sc_quote(&q, name), sc_quote(&t, f->dtype));
    }
    uint64_t need;
    if (sc_codec_bytes(id, f->shape, f->rank, &need) && f->begin <= f->end &&
        need == f->end - f->begin)
        return 0;
    if (f->begin > f->end)
        return 0; /* said already */
    *sound = false;
    if (!sc_codec_bytes(id, f->shape, f->rank, &need))
        return sc_problem(p->c, SC_ERROR, "safetensors.size", p->file, name, SC_NO_OFFSET, e,
                          "the shape of tensor \"%s\" does not fill whole bytes of %s, or has more "
                          "than 2^64",
                          sc_quote(&q, name), sc_codec(id)->name);
    return sc_problem(p->c, SC_ERROR, "safetensors.size", p->file, name, SC_NO_OFFSET, e,
                      "tensor \"%s\" holds %llu bytes, but its shape in %s needs %llu",
                      sc_quote(&q, name), (unsigned long long)(f->end - f->begin),
                      sc_codec(id)->name, (unsigned long long)need);
}

static int add_tensor(struct parser *p, struct sc_str name, const struct fields *f,
                      struct sc_error *e)
{
    struct sc_entry proto = {.file = p->file, .view = SC_NO_STORAGE};
    bool sound;
    if (name.n > SC_MAX_NAME) {
        struct sc_quoted q;
        TRY(sc_problem(p->c, SC_ERROR, "safetensors.name", p->file, name, SC_NO_OFFSET, e,
                       "the tensor name \"%s\" has %zu bytes; %d are allowed", sc_quote(&q, name),
                       name.n, SC_MAX_NAME));
        return 0;
    }
    TRY(check_range(p, name, f, &sound, e));
    TRY(check_type(p, name, f, &proto.dtype, &sound, e));
    /* Listed leniently, a broken tensor owns no bytes, so that rows still add up to the file. */
    proto.flags = sound ? 0 : SC_ENTRY_BROKEN;
    proto.offset = sound ? p->data + f->begin : p->data;
    proto.bytes = sound ? f->end - f->begin : 0;
    return sc_catalog_add(p->c, name, f->shape, f->rank, &proto, NULL, e);
}

/* "__metadata__": null, or an object of strings. Kept until the whole object has been scanned,
 * because a retry would see the first pairs again. */
static bool scan_metadata(struct parser *p, struct sc_json *j, size_t before)
{
    struct sc_str key;
    struct sc_value value = {.kind = SC_VALUE_STRING};
    char c;
    p->c->n_metas = before;
    if (!sc_json_peek(j, &c))
        return false;
    if (c == 'n')
        return sc_json_literal(j, "null");
    if (!sc_json_char(j, '{', "\"__metadata__\" must be an object of strings") ||
        !sc_json_peek(j, &c))
        return false;
    while (c != '}') {
        if (!sc_json_string(j, &key) || !sc_json_char(j, ':', "expected ':'") ||
            !sc_json_peek(j, &c))
            return false;
        if (c != '"')
            return wrong(j, "a value in \"__metadata__\" is not a string");
        if (!sc_json_string(j, &value.as.s))
            return false;
        if (sc_catalog_add_meta(p->c, p->file, key, &value, NULL) < 0)
            return wrong(j, "out of memory");
        if (!sc_json_peek(j, &c))
            return false;
        if (c == '}')
            break;
        if (!sc_json_char(j, ',', "expected ',' or '}'") || !sc_json_peek(j, &c))
            return false;
        if (c == '}')
            return wrong(j, "a comma before '}'");
    }
    j->p++;
    return true;
}

static int compare_keys(const void *a, const void *b)
{
    const struct sc_meta *x = a, *y = b;
    return sc_str_cmp(x->key, y->key);
}

static int check_metadata_keys(struct parser *p, size_t before, struct sc_error *e)
{
    const size_t n = p->c->n_metas - before;
    if (n < 2)
        return 0;
    struct sc_meta *sorted = sc_alloc(n * sizeof *sorted);
    if (!sorted)
        return sc_fail_memory(e);
    memcpy(sorted, p->c->metas + before, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_keys);
    int status = 0;
    for (size_t i = 1; i < n && status == 0; i++) {
        struct sc_quoted q;
        if (sc_str_eq(sorted[i - 1].key, sorted[i].key))
            status =
                sc_problem(p->c, SC_ERROR, "safetensors.metadata.duplicate", p->file, SC_NO_TENSOR,
                           SC_NO_OFFSET, e, "the metadata key \"%s\" stands there twice",
                           sc_quote(&q, sorted[i].key));
    }
    free(sorted);
    return status;
}

static int bad_json(struct parser *p, struct sc_error *e)
{
    const uint64_t at = sc_json_stream_at(&p->st);
    if (p->st.json.problem && strcmp(p->st.json.problem, "out of memory") == 0)
        return sc_fail_memory(e);
    return sc_problem(p->c, SC_ERROR, "safetensors.json", p->file, SC_NO_TENSOR, at, e,
                      "the header is not valid at byte %llu: %s", (unsigned long long)at,
                      p->st.json.problem ? p->st.json.problem : "malformed");
}

enum item { ITEM_TENSOR, ITEM_METADATA, ITEM_END };

/* One "name": {...} and the comma or brace after it. */
static bool scan_item(struct parser *p, struct sc_str *name, struct fields *f, size_t metas,
                      enum item *item, bool *last)
{
    struct sc_json *j = &p->st.json;
    char c;
    if (!sc_json_string(j, name) || !sc_json_char(j, ':', "expected ':'"))
        return false;
    if (sc_str_eq(*name, SC_STR("__metadata__"))) {
        *item = ITEM_METADATA;
        if (p->has_metadata)
            return wrong(j, "duplicate \"__metadata__\"");
        if (!scan_metadata(p, j, metas))
            return false;
    } else {
        *item = ITEM_TENSOR;
        if (!scan_usual_tensor(j, f) && !scan_tensor(j, f))
            return false;
    }
    if (!sc_json_peek(j, &c))
        return false;
    *last = c == '}';
    if (c != '}' && c != ',')
        return wrong(j, "expected ',' or '}' after a tensor");
    j->p++;
    return true;
}

/* Tensors between the outer braces. Sets *done when the closing brace was seen. */
static int parse_items(struct parser *p, bool *done, struct sc_error *e)
{
    struct fields f;
    struct sc_str name;
    bool last = false;
    *done = false;
    for (size_t count = 0; !last; count++) {
        const size_t metas = p->c->n_metas;
        enum item item;
        bool ok;
        int again = 0;
        if ((count & 1023) == 0 && sc_cancelled(p->c))
            return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        do {
            TRY(sc_json_stream_fill(&p->st, e));
            ok = scan_item(p, &name, &f, metas, &item, &last);
        } while (!ok && (again = sc_json_stream_retry(&p->st, e)) > 0);
        TRY(again);
        if (!ok) {
            p->c->n_metas = metas;
            return bad_json(p, e);
        }
        if (item == ITEM_METADATA) {
            p->has_metadata = true;
            TRY(check_metadata_keys(p, metas, e));
        } else {
            TRY(add_tensor(p, name, &f, e));
        }
    }
    *done = true;
    return 0;
}

/* Blanks to the end of the header, and nothing else. */
static int parse_tail(struct parser *p, struct sc_error *e)
{
    bool first = true;
    for (;;) {
        TRY(sc_json_stream_fill(&p->st, e));
        char c;
        if (!sc_json_peek(&p->st.json, &c)) {
            p->st.json.problem = NULL;
            if (p->st.next == p->st.end)
                return 0;
            p->st.mark = p->st.window_pos + (uint64_t)(p->st.json.p - p->st.json.start);
            continue;
        }
        const uint64_t at = sc_json_stream_at(&p->st);
        const char *hint = "";
        if (first && c == ',' && p->c->n_entries == p->first)
            hint = " (safetensors 0.4.3 wrote this for files without tensors)";
        else if (c == '\0')
            hint = " (padded with NUL instead of blanks)";
        return sc_problem(p->c, SC_ERROR, "safetensors.header-tail", p->file, SC_NO_TENSOR, at, e,
                          "there is something after the header's JSON at byte %llu%s",
                          (unsigned long long)at, hint);
    }
}

static int parse_header(struct parser *p, struct sc_error *e)
{
    struct sc_json *j = &p->st.json;
    char c;
    bool done;
    TRY(sc_json_stream_fill(&p->st, e));
    const char *before = j->p;
    if (!sc_json_char(j, '{', "expected '{'") || !sc_json_peek(j, &c))
        return bad_json(p, e);
    if (before[0] != '{')
        TRY(sc_problem(p->c, SC_INFO, "safetensors.leading-blanks", p->file, SC_NO_TENSOR, 8, e,
                       "blanks stand in front of the header's JSON"));
    if (c == '}') {
        j->p++;
        return parse_tail(p, e);
    }
    TRY(parse_items(p, &done, e));
    return done ? parse_tail(p, e) : 0;
}

static int compare_entries(const void *a, const void *b)
{
    const struct sc_entry *x = *(const struct sc_entry *const *)a;
    const struct sc_entry *y = *(const struct sc_entry *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int gap(struct parser *p, const struct sc_entry *before, const struct sc_entry *after,
               uint64_t at, struct sc_error *e)
{
    struct sc_quoted a, b;
    sc_quote(&a, before ? sc_entry_name(before) : SC_STR("the start of the data"));
    if (after->offset > at)
        return sc_problem(p->c, SC_ERROR, "safetensors.hole", p->file, sc_entry_name(after), at, e,
                          "%llu byte%s before tensor \"%s\" belong%s to no tensor (after %s%s%s)",
                          (unsigned long long)(after->offset - at),
                          after->offset - at == 1 ? "" : "s", sc_quote(&b, sc_entry_name(after)),
                          after->offset - at == 1 ? "s" : "", before ? "\"" : "", a.s,
                          before ? "\"" : "");
    if (before && sc_str_eq(sc_entry_name(before), sc_entry_name(after)))
        return 0; /* one name twice: said as such when all names are known */
    if (after->bytes == 0)
        return sc_problem(p->c, SC_ERROR, "safetensors.overlap", p->file, sc_entry_name(after),
                          after->offset, e, "tensor \"%s\" is empty and lies inside \"%s\"",
                          sc_quote(&b, sc_entry_name(after)), a.s);
    return sc_problem(p->c, SC_ERROR, "safetensors.overlap", p->file, sc_entry_name(after),
                      after->offset, e, "tensors \"%s\" and \"%s\" overlap by %llu bytes", a.s,
                      sc_quote(&b, sc_entry_name(after)),
                      (unsigned long long)SC_MIN(at - after->offset, after->bytes));
}

/* Walk sound tensors in file order; each must begin where the one before ended. An overlapping
 * part is taken off the later row, so that rows never add up to more than the file. */
static int check_tiling(struct parser *p, struct sc_error *e)
{
    const size_t n = p->c->n_entries - p->first;
    struct sc_entry *all = n ? p->c->entries + p->first : NULL;
    struct sc_entry **sorted = NULL, *before = NULL;
    uint64_t at = p->data;
    int status = 0;
    bool in_order = true;
    for (size_t i = 1; i < n && in_order; i++)
        in_order = all[i - 1].offset < all[i].offset ||
                   (all[i - 1].offset == all[i].offset && all[i - 1].bytes <= all[i].bytes);
    if (!in_order) {
        sorted = sc_pages_new(p->c->filed, n, sizeof(struct sc_entry *));
        if (!sorted)
            return sc_fail_memory(e);
        for (size_t i = 0; i < n; i++)
            sorted[i] = &all[i];
        (p->c->filed ? sc_sort : qsort)(sorted, n, sizeof(struct sc_entry *), compare_entries);
    }
    size_t broken = 0;
    for (size_t i = 0; i < n; i++) {
        struct sc_entry *en = sorted ? sorted[i] : &all[i];
        if (en->flags & SC_ENTRY_BROKEN) {
            broken++;
            continue;
        }
        const uint64_t end = en->offset + en->bytes;
        if (en->offset != at && (status = gap(p, before, en, at, e)) < 0)
            goto done;
        if (en->offset < at) {
            en->flags |= SC_ENTRY_BROKEN;
            en->bytes = end > at ? end - at : 0;
        }
        at = SC_MAX(at, end);
        before = en;
    }
    if (p->n_cut > 1)
        status = sc_problem(p->c, SC_ERROR, "safetensors.truncated", p->file, SC_NO_TENSOR,
                            p->data + p->data_size, e, "%zu more tensors end beyond the file",
                            p->n_cut - 1);
    const uint64_t rest = p->data + p->data_size - at;
    if (rest && broken == 0 && status == 0)
        status = sc_problem(p->c, SC_WARNING, "safetensors.trailing", p->file, SC_NO_TENSOR, at, e,
                            "%llu byte%s after the last tensor belong%s to no tensor",
                            (unsigned long long)rest, rest == 1 ? "" : "s", rest == 1 ? "s" : "");
done:
    sc_pages_free(sorted);
    return status;
}

static int open_file(struct sc_catalog *c, uint32_t file, struct sc_source *s, struct sc_error *e)
{
    uint8_t head[8] = {0};
    if (s->size < 8)
        return sc_problem(c, SC_ERROR, "safetensors.truncated", file, SC_NO_TENSOR, s->size, e,
                          "the file has %llu bytes; a safetensors file has 8 at least",
                          (unsigned long long)s->size);
    TRY(sc_source_read(s, 0, head, 8, e));
    const uint64_t n = sc_le64(head);
    uint64_t end; /* of the header */
    if (!sc_add(n, 8, &end))
        end = n;
    if (n > SC_MAX_SAFETENSORS_HEADER)
        return sc_problem(c, SC_ERROR, "safetensors.header-length", file, SC_NO_TENSOR, 0, e,
                          "the header claims %llu bytes; %llu are allowed", (unsigned long long)n,
                          (unsigned long long)SC_MAX_SAFETENSORS_HEADER);
    if (n > s->size - 8)
        return sc_problem(c, SC_ERROR, "safetensors.truncated", file, SC_NO_TENSOR, s->size, e,
                          "the header ends at byte %llu, but the file has %llu (truncated "
                          "download?)",
                          (unsigned long long)end, (unsigned long long)s->size);
    struct parser p = {
        .c = c, .file = file, .data = 8 + n, .data_size = s->size - 8 - n, .first = c->n_entries};
    c->files[file].header_bytes = 8 + n;
    c->files[file].data_offset = 8 + n;
    if (n < 2)
        return sc_problem(c, SC_ERROR, "safetensors.header-length", file, SC_NO_TENSOR, 0, e,
                          "the header claims %llu bytes; \"{}\" takes 2", (unsigned long long)n);
    /* Room for as many tensors as such a header mostly holds, 120 bytes each. Memory that is not
     * touched costs nothing, and a million entries need not be moved while they grow. */
    TRY(sc_pages_grow(c->filed, &c->entries, &c->entries_cap, c->n_entries + (size_t)(n / 120),
                      sizeof c->entries[0], e));
    sc_source_prefetch_head(s, 8 + n);
    TRY(sc_json_stream_start(&p.st, s, 8, n, &c->arena, e));
    int status = parse_header(&p, e);
    sc_json_stream_clear(&p.st);
    return status < 0 ? status : check_tiling(&p, e);
}

const struct sc_format sc_format_safetensors = {
    .name = "safetensors",
    .summary = "JSON header and raw tensors; single files, shards with an index, components",
    .bid = bid,
    .open = open_file,
};
