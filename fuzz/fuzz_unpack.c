/* SPDX-License-Identifier: Apache-2.0 */
/* unpack: values of logical weights. The input is an archive (fuzz.h) with a model; every folded
 * weight is opened as it is, and once more with something about it changed that the folding would
 * not have accepted. What opens can be read: in any ranges, mapped or not, it is the same. No byte
 * outside a stored tensor is asked for. */
#include "fuzz.h"

#include "stream/layout.h"

struct files {
    const struct sc_model *m;
    struct sc_source *source; /* of the file that was used last */
    uint32_t file;
    uint8_t *whole; /* in place of a mapping: all of an entry */
    uint32_t entry;
    bool maps;
};

static int read_entry(void *ctx, uint32_t entry, uint64_t off, void *dst, size_t len,
                      struct sc_error *e)
{
    struct files *f = ctx;
    const struct sc_entry *en = &f->m->catalog->entries[entry];
    FUZZ_CHECK(entry < f->m->catalog->n_entries);
    if (en->view != SC_NO_STORAGE || off > en->bytes || len > en->bytes - off)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED, "not plain");
    if (f->file != en->file) {
        sc_source_close(f->source);
        f->source = NULL;
        f->file = UINT32_MAX;
        TRY(sc_repo_open_file(f->m->repo, f->m->catalog->files[en->file].path, &f->source, e));
        f->file = en->file;
    }
    return sc_source_read(f->source, en->offset + off, dst, len, e);
}

/* One small entry at a time is in memory. */
static const uint8_t *map_entry(void *ctx, uint32_t entry, uint64_t off, size_t len)
{
    struct files *f = ctx;
    const struct sc_entry *en = &f->m->catalog->entries[entry];
    if (!f->maps || en->bytes > 1 << 20 || off > en->bytes || len > en->bytes - off)
        return NULL;
    if (f->entry != entry) {
        uint8_t *p = fuzz_alloc((size_t)en->bytes);
        if (read_entry(f, entry, 0, p, (size_t)en->bytes, NULL) < 0) {
            free(p);
            return NULL;
        }
        free(f->whole);
        f->whole = p;
        f->entry = entry;
    }
    return f->whole + off;
}

static void compare(const float *a, const float *b, uint64_t n)
{
    FUZZ_CHECK(n == 0 || memcmp(a, b, n * sizeof *a) == 0);
}

/* The same values at once, in pieces, and one alone. */
static void read_values(const struct sc_unpack *u, struct files *f, uint64_t first, uint64_t n,
                        uint32_t choice)
{
    struct sc_error e = {0};
    float *all = fuzz_alloc(n * sizeof *all), *some = fuzz_alloc(n * sizeof *some);
    f->maps = choice & 1;
    const int code = sc_unpack_read(u, first, n, false, all, &e);
    if (code < 0) {
        fuzz_check_error(code, &e);
    } else {
        uint64_t step = 1 + choice % 97;
        f->maps = !f->maps;
        for (uint64_t at = 0; at < n; at += step, step = step * 3 + 1)
            FUZZ_CHECK(sc_unpack_read(u, first + at, SC_MIN(step, n - at), false, some + at, &e) == 0);
        compare(all, some, n);
        if (n) {
            FUZZ_CHECK(sc_unpack_read(u, first + choice % n, 1, true, some, &e) == 0);
            compare(all + choice % n, some, 1);
        }
    }
    free(all);
    free(some);
}

static void open_tensor(struct files *f, const struct sc_tensor *t, uint32_t choice)
{
    const struct sc_entry_bytes bytes = {read_entry, map_entry, f};
    const uint64_t most = 20000, n = SC_MIN(t->parameters, most);
    struct sc_error e = {0};
    struct sc_unpack *u;
    const int code = sc_unpack_open(f->m, t, &bytes, &u, &e);
    FUZZ_CHECK(!u == (code < 0));
    if (code < 0) {
        fuzz_check_error(code, &e);
        return;
    }
    FUZZ_CHECK(sc_layouts[t->layout].decodable);
    read_values(u, f, 0, n, choice);
    read_values(u, f, t->parameters - n, n, choice >> 3);
    sc_unpack_close(u);
}

/* One thing that folding promises and this does not keep. The shape stays that of the parameters,
 * which every reader relies on. */
static void tamper(struct sc_model *m, struct sc_tensor *t, uint32_t choice)
{
    struct sc_tensor_part *part = &m->parts[t->first_part + (choice >> 4) % t->n_parts];
    switch (choice % 5) {
    case 0:
        t->layout = (uint8_t)((choice >> 4) % SC_LAYOUT_COUNT);
        break;
    case 1:
        t->bits = (uint8_t)(choice >> 4);
        break;
    case 2:
        part->part = (uint8_t)((choice >> 12) % (SC_PART_OTHER + 1));
        break;
    case 3:
        part->entry = (choice >> 12) % (uint32_t)m->catalog->n_entries;
        break;
    default:
        m->config.quant_group = (int64_t)((choice >> 4) % 300);
        m->config.quant_block[0] = (choice >> 8) % 300;
        m->config.quant_block[1] = (choice >> 12) % 300;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_archive archive;
    const struct sc_open_options o = {.lenient = true, .keep_repo = true};
    uint32_t choice = fuzz_choice(data, size);
    struct sc_error e = {0};
    struct sc_model *m;
    fuzz_archive_read(&archive, data, size);
    if (sc_model_open_repo(fuzz_repo(&archive, NULL), &o, &m, &e) < 0)
        return 0;
    struct files f = {.m = m, .file = UINT32_MAX, .entry = UINT32_MAX};
    for (size_t i = 0; i < m->n_tensors && i < 40; i++) {
        struct sc_tensor *t = &m->tensors[i];
        if (t->layout == SC_LAYOUT_PLAIN)
            continue;
        open_tensor(&f, t, choice);
        for (int turn = 0; turn < 4; turn++) {
            choice = choice * 1664525 + 1013904223;
            tamper(m, t, choice >> 3);
            open_tensor(&f, t, choice);
        }
    }
    sc_source_close(f.source);
    free(f.whole);
    sc_model_close(m);
    return 0;
}
