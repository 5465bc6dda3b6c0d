/* SPDX-License-Identifier: Apache-2.0 */
/* torch: PyTorch files. Recognition by content, and the zip archive that torch.save and
 * torch.jit.save write since 1.6.
 *
 *   TOP/data.pkl        the object; its storages are persistent references by key
 *   TOP/data/KEY        the bytes of one storage
 *   TOP/version         "3"
 *   TOP/byteorder       "little" or "big" (2.0 and later)
 *   TOP/constants.pkl   TorchScript: tensors of the code, with
 *   TOP/constants/KEY   their storages
 *   TOP/code/...        TorchScript: source text, which nobody here compiles
 *
 * The directory before the first slash, TOP, is the name of the file that was saved. There must be
 * exactly one TOP/data.pkl: with two, programs differ in which they load. A key is only ever
 * compared with names in the archive; it is no path. */
#include "format/torch.h"

#include <stdlib.h>
#include <string.h>

#include "format/zip.h"

enum { SPACE_DATA, SPACE_CONSTANTS, SPACES };
enum { PREFETCH_PICKLE = 32 << 20 };

struct archive {
    struct sc_torch *t;
    struct sc_zip zip;
    struct sc_str top; /* "archive" */
};

static const char *const space_folder[SPACES] = {"data", "constants"};

/* ---------------------------------------------------------------------------------- members --- */

/* TOP/part, or NULL. */
static int find_part(const struct archive *a, const char *part, const struct sc_zip_member **out)
{
    struct sc_buf name = {0};
    sc_buf_put(&name, a->top.p, a->top.n);
    sc_buf_putc(&name, '/');
    sc_buf_puts(&name, part);
    const int code = name.failed ? sc_fail_memory(a->t->e) : 0;
    *out = code == 0 ? sc_zip_find(&a->zip, sc_str(name.p, name.n)) : NULL;
    sc_buf_clear(&name);
    return code;
}

/* TOP, from the one TOP/data.pkl. 0 with top.p == NULL: a problem was reported. */
static int find_top(struct archive *a)
{
    static const char suffix[] = "/data.pkl";
    struct sc_torch *t = a->t;
    for (size_t i = 0; i < a->zip.n; i++) {
        const struct sc_str name = a->zip.members[i].name;
        if (!sc_str_ends(name, suffix))
            continue;
        const struct sc_str top = sc_str(name.p, name.n - (sizeof suffix - 1));
        if (top.n == 0 || memchr(top.p, '/', top.n))
            continue; /* deeper ones are not looked at by torch either */
        if (a->top.p) {
            struct sc_quoted q, r;
            const int code =
                SC_TORCH_BAD(t, "torch.ambiguous", SC_NO_TENSOR,
                             "the archive has two pickles, \"%s/data.pkl\" and \"%s/data.pkl\"",
                             sc_quote(&q, a->top), sc_quote(&r, top));
            a->top = SC_STR("");
            a->top.p = NULL;
            return code;
        }
        a->top = top;
    }
    if (!a->top.p)
        return SC_TORCH_BAD(t, "torch.no-pickle", SC_NO_TENSOR,
                            "the archive has no data.pkl in a folder of its own");
    return 0;
}

/* A small text member without blanks at its end, into the arena. p == NULL: not there. */
static int read_text(struct archive *a, const char *part, struct sc_str *out)
{
    struct sc_torch *t = a->t;
    const struct sc_zip_member *m;
    uint8_t *text;
    size_t n;
    *out = sc_str(NULL, 0);
    TRY(find_part(a, part, &m));
    if (!m)
        return 0;
    TRY(sc_zip_read(t->c, t->file, t->s, m, 4096, &text, &n, t->e));
    if (!text)
        return 0;
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
        n--;
    *out = sc_str(sc_arena_copy(&t->arena, text, n), n);
    free(text);
    return out->p ? 0 : sc_fail_memory(t->e);
}

static int read_byteorder(struct archive *a)
{
    struct sc_torch *t = a->t;
    struct sc_str order;
    struct sc_quoted q;
    TRY(read_text(a, "byteorder", &order));
    if (!order.p || sc_str_is(order, "little"))
        return 0;
    t->big_endian = sc_str_is(order, "big");
    if (t->big_endian)
        return sc_torch_note(t, "torch.byteorder", order);
    return SC_TORCH_BAD(t, "torch.byteorder", SC_NO_TENSOR,
                        "byteorder is \"%s\"; it can be \"little\" or \"big\"",
                        sc_quote(&q, order));
}

/* ----------------------------------------------------------------------------------- pickle --- */

static int read_packed(void *ctx, void *dst, size_t want, size_t *got, struct sc_error *e)
{
    struct sc_zip_stream *st = ctx;
    uint8_t waste[4096];
    if (dst)
        return sc_zip_stream_read(st, dst, want, got, e);
    *got = 0;
    for (size_t n = 1; n > 0 && *got < want; *got += n)
        TRY(sc_zip_stream_read(st, waste, SC_MIN(want - *got, sizeof waste), &n, e));
    return 0;
}

/* What stands behind STOP: read for the CRC, and said. */
static int drain(struct archive *a, struct sc_zip_stream *st, uint64_t used)
{
    struct sc_torch *t = a->t;
    struct sc_quoted q;
    size_t got;
    while (st->out_left > 0 && !st->failed)
        TRY(read_packed(st, NULL, (size_t)SC_MIN(st->out_left, (uint64_t)1 << 20), &got, t->e));
    if (st->member->bytes > used && !st->failed)
        TRY(SC_TORCH_WARN(t, "pickle.trailing", SC_NO_TENSOR,
                          "member \"%s\" has %llu bytes after the end of its pickle",
                          sc_quote(&q, st->member->name),
                          (unsigned long long)(st->member->bytes - used)));
    const bool verify = t->c->options && t->c->options->verify;
    return sc_zip_stream_check(st, verify ? SC_ERROR : SC_WARNING, t->e);
}

/* Runs the pickle in a member; *root is NULL when a problem was reported (lenient). */
static int run_pickle(struct archive *a, const struct sc_zip_member *m, const char *what,
                      struct sc_pk **root)
{
    struct sc_torch *t = a->t;
    struct sc_zip_stream st = {0};
    struct sc_quoted q;
    uint64_t used;
    *root = NULL;
    if (m->bytes > SC_MAX_PICKLE_BYTES)
        return sc_fail(t->e, SCRUPLE_ELIMIT,
                       "member \"%s\" unpacks to %llu bytes; at most %llu "
                       "are read",
                       sc_quote(&q, m->name), (unsigned long long)m->bytes,
                       (unsigned long long)SC_MAX_PICKLE_BYTES);
    const struct sc_pickle_input in = {
        .read = read_packed,
        .ctx = &st,
        .size = m->bytes,
        .offset = m->method == 0 ? m->data : SC_NO_OFFSET,
        .what = what,
        .ids = SC_PK_IDS_STORAGE,
    };
    if (m->stored > 0 && m->stored <= PREFETCH_PICKLE)
        sc_source_prefetch(t->s, &(struct sc_span){m->data, m->stored}, 1);
    int code = sc_zip_stream_open(&st, t->c, t->file, t->s, m, t->e);
    if (code == 0 && !st.failed)
        code = sc_pickle_run(t->pickle, &in, root, &used, t->e);
    if (code == 0 && *root)
        code = drain(a, &st, used);
    sc_zip_stream_close(&st);
    return code;
}

/* -------------------------------------------------------------------------------- storages --- */

static int place_storages(struct archive *a, size_t first, uint32_t space)
{
    struct sc_torch *t = a->t;
    struct sc_buf name = {0};
    int code = 0;
    for (size_t i = first; i < t->n_storages && code == 0; i++) {
        name.n = 0;
        sc_buf_put(&name, a->top.p, a->top.n);
        sc_buf_printf(&name, "/%s/", space_folder[space]);
        sc_buf_put(&name, t->storages[i].key.p, t->storages[i].key.n);
        if (name.failed) {
            code = sc_fail_memory(t->e);
            break;
        }
        const struct sc_zip_member *m = sc_zip_find(&a->zip, sc_str(name.p, name.n));
        if (!m || !m->usable)
            continue; /* said when a tensor needs it */
        const struct sc_storage place = {
            .offset = m->data,
            .stored = m->stored,
            .bytes = m->bytes,
            .crc32 = m->crc32,
            .unseen = m->unseen ? (uint32_t)(m->data - m->header) : 0,
            .method = (uint8_t)m->method,
            .has_crc = true,
        };
        code = sc_torch_found(t, i, &place);
    }
    sc_buf_clear(&name);
    return code;
}

/* One pickle with its folder of storages. */
static int read_space(struct archive *a, uint32_t space)
{
    static const char *const pickle[SPACES] = {"data.pkl", "constants.pkl"};
    static const char *const prefix[SPACES] = {"", "constants"};
    struct sc_torch *t = a->t;
    const struct sc_zip_member *m;
    struct sc_pk *root;
    size_t references;
    const size_t first = t->n_storages;
    sc_pickle_persistent(t->pickle, &references);
    TRY(find_part(a, pickle[space], &m));
    if (!m)
        return 0;
    TRY(run_pickle(a, m, pickle[space], &root));
    if (!root)
        return 0;
    TRY(sc_torch_collect(t, references, space));
    TRY(place_storages(a, first, space));
    return sc_torch_walk(t, root, prefix[space]);
}

/* name is TOP/rest. */
static bool inside(const struct archive *a, struct sc_str name, struct sc_str *rest)
{
    if (name.n <= a->top.n + 1 || memcmp(name.p, a->top.p, a->top.n) != 0 ||
        name.p[a->top.n] != '/')
        return false;
    *rest = sc_str(name.p + a->top.n + 1, name.n - a->top.n - 1);
    return true;
}

/* Everything that is not a storage was read to list the file, or describes it. */
static void count_header(struct archive *a)
{
    struct sc_file *f = &a->t->c->files[a->t->file];
    f->header_bytes = a->zip.overhead;
    for (size_t i = 0; i < a->zip.n; i++) {
        const struct sc_zip_member *m = &a->zip.members[i];
        struct sc_str rest;
        const bool storage = inside(a, m->name, &rest) &&
                             (sc_str_starts(rest, "data/") || sc_str_starts(rest, "constants/"));
        if (m->usable && !storage)
            f->header_bytes += m->stored;
    }
}

/* Only TorchScript has source text. */
static bool has_code(const struct archive *a)
{
    struct sc_str rest;
    for (size_t i = 0; i < a->zip.n; i++)
        if (inside(a, a->zip.members[i].name, &rest) && sc_str_starts(rest, "code/"))
            return true;
    return false;
}

static int open_zip(struct sc_torch *t)
{
    struct archive a = {.t = t};
    struct sc_str version;
    TRY(sc_zip_open(t->c, t->file, t->s, &t->arena, &a.zip, t->e));
    TRY(find_top(&a));
    if (!a.top.p)
        return 0;
    count_header(&a);
    TRY(sc_torch_note(t, "torch.container",
                      has_code(&a) ? SC_STR("zip, TorchScript") : SC_STR("zip")));
    TRY(read_text(&a, "version", &version));
    if (version.p)
        TRY(sc_torch_note(t, "torch.version", version));
    TRY(read_byteorder(&a));
    uint64_t stored = 0;
    for (size_t i = 0; i < a.zip.n; i++)
        if (sc_str_ends(a.zip.members[i].name, ".pkl"))
            stored += a.zip.members[i].stored; /* disjoint, so below the size of the file */
    TRY(sc_pickle_new(t->c, t->file, sc_pickle_memory(stored), &t->pickle, t->e));
    for (uint32_t space = 0; space < SPACES; space++)
        TRY(read_space(&a, space));
    TRY(sc_torch_share(t));
    return sc_zip_verify_all(t->c, t->file, t->s, &a.zip, t->e);
}

/* ------------------------------------------------------------------------------ recognition --- */

/* 0x1950a86a20f9469cfc6c, the number that begins a stream: LONG1 with ten bytes, or as text. */
static const uint8_t magic_binary[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                       0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
static const char magic_text[] = "L119547037146038801333356L\n.";

static bool is_stream(const uint8_t *head, size_t n)
{
    const size_t text = sizeof magic_text - 1;
    if (n >= text && memcmp(head, magic_text, text) == 0)
        return true;
    if (n < 2 || head[0] != 0x80)
        return false;
    /* PROTO n, from protocol 4 on a FRAME of nine bytes, then the number. */
    for (size_t at = 2; at <= 11; at += 9)
        if (n >= at + sizeof magic_binary &&
            memcmp(head + at, magic_binary, sizeof magic_binary) == 0)
            return true;
    return false;
}

/* PROTO 2 to 5 and something that pickles begin with. */
static bool is_pickle(const uint8_t *head, size_t n)
{
    return n >= 4 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5 &&
           memchr("}](c)\x95\x8c\x8a\x8fNKMJXUTGBC\x88\x89", head[2], 21);
}

static bool is_zip(const uint8_t *head, size_t n)
{
    return n >= 4 && memcmp(head, "PK\3\4", 4) == 0;
}

/* A pickle that nothing announces: protocols 0 and 1, or a PROTO in a place of its own. */
static bool is_unmarked_pickle(const struct sc_probe *p)
{
    enum { SAMPLE = 64 << 10 };
    static const char first[] = "(c]})IFLSVNKJMUTXG\x80\x8c\x95";
    if (p->head_len == 0 || !memchr(first, p->head[0], sizeof first - 1))
        return false;
    if (sc_pickle_sniff(p->head, p->head_len, p->size))
        return true;
    if (p->head_len == p->size || !p->source)
        return false;
    const size_t n = (size_t)SC_MIN(p->size, (uint64_t)SAMPLE);
    uint8_t *sample = malloc(n);
    const bool found = sample && sc_source_read(p->source, 0, sample, n, NULL) == 0 &&
                       sc_pickle_sniff(sample, n, p->size);
    free(sample);
    return found;
}

static int bid(const struct sc_probe *p)
{
    static const char pickle[] = "/data.pkl";
    const uint8_t *h = p->head;
    if (is_zip(h, p->head_len)) {
        /* torch.save writes the pickle first; torch.jit.save last. */
        const size_t name = p->head_len >= 30 ? sc_le16(h + 26) : 0;
        if (name > 0 && name <= p->head_len - 30 &&
            sc_str_ends(sc_str((const char *)h + 30, name), pickle))
            return 8 * (4 + (int)sizeof pickle - 1);
        return p->source && sc_zip_has_suffix(p->source, pickle) ? 8 * (4 + (int)sizeof pickle - 1)
                                                                 : 0;
    }
    if (sc_torch_is_tar(h, p->head_len))
        return 96;
    if (is_stream(h, p->head_len))
        return 8 * (int)sizeof magic_binary;
    if (is_pickle(h, p->head_len))
        return 12;
    return is_unmarked_pickle(p) ? 6 : 0;
}

/* Limits are the file's fault, so they are named with it; in lenient mode they are a finding. */
static int report_limit(struct sc_torch *t, int code)
{
    if (code != SCRUPLE_ELIMIT || !t->e)
        return code;
    struct sc_quoted q;
    if (t->c->options && t->c->options->lenient) {
        const struct sc_error said = *t->e;
        return SC_TORCH_BAD(t, "torch.limit", SC_NO_TENSOR, "%s", said.text);
    }
    sc_error_prefix(t->e, "%s", sc_quote(&q, sc_strz(t->c->files[t->file].path)));
    return code;
}

/* Their bytes are in the pickle itself and are passed over. */
static int note_arrays(struct sc_torch *t)
{
    const uint64_t n = t->n_arrays;
    return n == 0 ? 0
                  : sc_problem(t->c, SC_INFO, "torch.numpy", t->file, SC_NO_TENSOR, SC_NO_OFFSET,
                               t->e, "%llu numpy array%s inside the pickle %s not listed",
                               (unsigned long long)n, n == 1 ? "" : "s", n == 1 ? "is" : "are");
}

static int open_torch(struct sc_catalog *c, uint32_t file, struct sc_source *s, struct sc_error *e)
{
    struct sc_error own = {0};
    struct sc_torch t = {
        .c = c,
        .file = file,
        .s = s,
        .e = e ? e : &own,
        .first_entry = c->n_entries,
    };
    uint8_t head[SC_PROBE_HEAD];
    const size_t n = (size_t)SC_MIN(s->size, (uint64_t)sizeof head);
    int code = sc_source_read(s, 0, head, n, e);
    if (code == 0) {
        if (is_zip(head, n))
            code = open_zip(&t);
        else if (sc_torch_is_tar(head, n))
            code = sc_torch_open_tar(&t);
        else
            code = sc_torch_open_stream(&t);
    }
    if (code == 0)
        code = note_arrays(&t);
    code = report_limit(&t, code);
    sc_pickle_free(t.pickle);
    sc_arena_clear(&t.arena);
    free(t.storages);
    sc_index_clear(&t.storage_index);
    free(t.spans);
    free(t.records);
    sc_index_clear(&t.record_index);
    sc_index_clear(&t.names);
    return code;
}

const struct sc_format sc_format_torch = {
    .name = "torch",
    .summary = "PyTorch: zip archives, TorchScript, the stream before 1.6, the tar of 0.1; "
               "pickles are read as data and never run",
    .bid = bid,
    .open = open_torch,
};
