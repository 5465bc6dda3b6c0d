/* SPDX-License-Identifier: Apache-2.0 */
/* Sound little files of every format, damaged in every way that a table of fields would name and
 * some more: cut at every byte, every byte and every 2-, 4- and 8-byte field set to 0, 1, its
 * maximum and one beyond, either byte order. Nothing may crash, hang or add up to more than the
 * file; what is refused must be refused with a sentence. */
#include "test.h"

#include "support.h"

static void check_sums(const struct sc_model *m)
{
    uint64_t rows = 0, files = 0;
    for (size_t i = 0; i < m->n_tensors; i++)
        rows += m->tensors[i].bytes;
    for (size_t i = 0; i < m->catalog->n_files; i++) {
        const struct sc_file *f = &m->catalog->files[i];
        files += f->tensor_bytes;
        if (f->other_bytes && f->header_bytes + f->tensor_bytes + f->other_bytes != f->bytes)
            CHECK_U64(f->header_bytes + f->tensor_bytes + f->other_bytes, f->bytes);
    }
    if (rows != files)
        CHECK_U64(rows, files);
}

/* Open strictly and leniently. Returns the strict status. */
static int try_bytes(const uint8_t *p, size_t n)
{
    /* A block of the exact size on the heap: a sanitizer sees one byte beyond. */
    struct blob b = blob_new(n);
    int status = 0;
    memcpy(b.p, p, n);
    for (int lenient = 0; lenient < 2; lenient++) {
        const struct sc_open_options o = {.lenient = lenient, .verify = lenient};
        struct sc_model *m;
        struct sc_error e = {0};
        const int now = open_blob(b, &o, &m, &e);
        if (now < 0)
            CHECK(e.text[0] != '\0' && e.code == now && !m);
        else
            check_sums(m);
        if (m && !lenient)
            CHECK_U64(m->catalog->n_errors, 0);
        sc_model_close(m);
        status = lenient ? status : now;
    }
    free(b.p);
    return status;
}

static void cut_everywhere(struct blob b)
{
    for (size_t n = 0; n < b.n; n++)
        try_bytes(b.p, n);
}

static void put(uint8_t *at, size_t width, bool big, uint64_t value)
{
    for (size_t i = 0; i < width; i++)
        at[big ? width - 1 - i : i] = (uint8_t)(value >> (8 * i));
}

static void damage_everywhere(struct blob b, size_t limit)
{
    static const uint64_t values[] = {0,
                                      1,
                                      UINT64_MAX,
                                      UINT64_MAX / 2,
                                      (UINT64_MAX >> 1) + 1,
                                      UINT64_C(0x7fffffff),
                                      UINT64_C(0xffffffff)};
    uint8_t *copy = malloc(b.n);
    memcpy(copy, b.p, b.n);
    for (size_t at = 0; at < b.n && at < limit; at++)
        for (size_t width = 1; width <= 8; width *= 2) {
            if (at + width > b.n)
                break;
            for (size_t v = 0; v < SC_COUNT(values); v++)
                for (int big = 0; big < (width > 1 ? 2 : 1); big++) {
                    put(copy + at, width, big, values[v]);
                    if (memcmp(copy + at, b.p + at, width) != 0)
                        try_bytes(copy, b.n);
                    memcpy(copy + at, b.p + at, width);
                }
            copy[at]++; /* max + 1, off by one */
            try_bytes(copy, b.n);
            copy[at] = b.p[at];
        }
    free(copy);
}

/* The file must be sound to begin with, else the sweep proves nothing. */
static void sweep(const char *path, size_t limit)
{
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", SC_FIXTURES, path);
    struct blob b = read_blob(full);
    CHECK_ERR(0, try_bytes(b.p, b.n));
    cut_everywhere(b);
    damage_everywhere(b, limit);
    free(b.p);
}

TEST(safetensors_survives)
{
    sweep("unknown-dtype/model.safetensors", 4096);
}
TEST(safetensors_metadata_survives)
{
    sweep("metadata-empty/model.safetensors", 4096);
}
TEST(gguf_survives)
{
    sweep("gguf-custom-alignment/gguf-custom-alignment.gguf", 700);
}
TEST(gguf_small_survives)
{
    sweep("gguf-alignment-8/gguf-alignment-8.gguf", 240);
}
TEST(gguf_unknown_type_survives)
{
    sweep("gguf-unknown-type/gguf-unknown-type.gguf", 500);
}
TEST(gguf_arrays_survives)
{
    sweep("gguf-arrays/gguf-arrays.gguf", 1400);
}
TEST(npy_survives)
{
    sweep("npy-scalar/weights.npy", 200);
}
TEST(torch_parameter_survives)
{
    sweep("torch-parameter/torch-parameter.pt", 2100);
}
TEST(torch_module_survives)
{
    sweep("torch-module/torch-module.pt", 1200);
}
TEST(torchscript_survives)
{
    sweep("torchscript/torchscript.pt", 1000);
}
TEST(torch_bare_survives)
{
    sweep("torch-bare/torch-bare.pt", 100);
}

/* Larger ones: cut at every byte. */
static void cut_file(const char *path)
{
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", SC_FIXTURES, path);
    struct blob b = read_blob(full);
    CHECK_ERR(0, try_bytes(b.p, b.n));
    cut_everywhere(b);
    free(b.p);
}

TEST(safetensors_cut)
{
    cut_file("odd-names/model.safetensors");
}
TEST(npy_cut)
{
    cut_file("npy-fortran/weights.npy");
}
TEST(torch_cut)
{
    cut_file("torch-shared/torch-shared.pt");
}
TEST(torch_storages_cut)
{
    cut_file("torch-storages/torch-storages.pt");
}

static size_t count_tensors(const char *path)
{
    struct sc_model *m;
    struct sc_error e;
    if (sc_model_open(path, NULL, &m, &e) < 0)
        support_fail(e.text);
    const size_t n = m->n_tensors;
    sc_model_close(m);
    return n;
}

/* Read number k fails, for every k, once and for good: an error, or the whole listing; never a
 * wrong one. */
static void fault_sweep(const char *kind, bool sticky)
{
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", SC_FIXTURES, kind);
    const size_t sound = count_tensors(full);
    for (uint64_t k = 0; k < 100000; k++) {
        struct sc_fault plan = {.fail_at = k, .sticky = sticky};
        struct sc_repo *repo;
        struct sc_model *m;
        struct sc_error e = {0};
        if (sc_repo_open_local(full, &repo, &e) < 0)
            support_fail(e.text);
        repo->fault = &plan;
        const int status = sc_model_open_repo(repo, NULL, &m, &e);
        if (!plan.fired) {
            CHECK_ERR(0, status);
            CHECK(k > 0); /* the sweep did something */
            sc_model_close(m);
            return;
        }
        /* What only helps may fail: a format's second look while it bids, or config and the shapes
         * of packed layouts, and these are noted. */
        if (status == 0)
            CHECK(m->n_tensors == sound || m->catalog->n_findings > 0);
        else
            CHECK(status == SCRUPLE_EIO && e.text[0]);
        sc_model_close(m);
    }
    CHECK(false); /* never ended */
}

TEST(failing_reads_of_a_sharded_model)
{
    fault_sweep("llama-sharded", false);
    fault_sweep("llama-sharded", true);
}
TEST(failing_reads_of_gguf)
{
    fault_sweep("gguf-llama", false);
    fault_sweep("gguf-split", true);
}
TEST(failing_reads_of_torch)
{
    fault_sweep("torch-zip", false);
    fault_sweep("torch-legacy", true);
    fault_sweep("torch-tar", false);
}
TEST(failing_reads_of_npz)
{
    fault_sweep("npz", false);
}
TEST(failing_reads_of_packed_layouts)
{
    fault_sweep("ct-pack", false);
    fault_sweep("bnb-nf4", false);
}
