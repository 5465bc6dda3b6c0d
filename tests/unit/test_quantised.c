/* SPDX-License-Identifier: Apache-2.0 */
/* Quantised integers of PyTorch that torch would not write, or not like this: parameters that are
 * missing, do not fit or lie. What it does write stands in tests/data/torch, see test_values.c. */
#include "analyze/figures.h"
#include "format/torch.h"
#include "stream/values.h"

#include "test.h"

#include "st_maker.h"
#include "zip_maker.h"

/* ------------------------------------------------------------------------------------- files ---
 * Pickles as text: opcodes of protocol 0, and the one for persistent references. */

struct storage {
    const void *p;
    size_t n;
};
struct file {
    struct sc_buf pickle;
    struct storage storages[8];
    size_t n_storages;
    struct zip_maker zip;
    struct sc_model *m;
};

static void start(struct file *f)
{
    *f = (struct file){.n_storages = 0};
    sc_buf_puts(&f->pickle, "(d");
}

/* A storage with n elements of `size` bytes, as an argument. */
static void add_storage(struct file *f, const char *class, const void *p, size_t n, size_t size)
{
    sc_buf_printf(&f->pickle, "(Vstorage\nctorch\n%sStorage\nV%zu\nVcpu\nI%zu\ntQ", class,
                  f->n_storages, n);
    f->storages[f->n_storages++] = (struct storage){p, n * size};
}

/* Offset 0, and dimensions and strides as text: "I2\nI3\n". */
static void add_dims(struct file *f, const char *dims, const char *strides)
{
    sc_buf_printf(&f->pickle, "I0\n(%st(%st", dims, strides);
}

/* A vector, as an argument of a quantizer. */
static void add_vector(struct file *f, const char *class, const void *p, size_t n, size_t size)
{
    char dims[64];
    snprintf(dims, sizeof dims, "I%zu\n", n);
    sc_buf_puts(&f->pickle, "ctorch._utils\n_rebuild_tensor_v2\n(");
    add_storage(f, class, p, n, size);
    add_dims(f, dims, "I1\n");
    sc_buf_puts(&f->pickle, "I00\nNtR");
}

/* The beginning of a quantised tensor: its quantizer comes next, then end_tensor(). */
static void begin_tensor(struct file *f, const char *name, const char *class, const void *p,
                         size_t n, size_t size, const char *dims, const char *strides)
{
    sc_buf_printf(&f->pickle, "V%s\nctorch._utils\n_rebuild_qtensor\n(", name);
    add_storage(f, class, p, n, size);
    add_dims(f, dims, strides);
}

static void end_tensor(struct file *f)
{
    sc_buf_puts(&f->pickle, "I00\nNtRs");
}

static struct sc_model *finish(struct file *f)
{
    char name[64];
    sc_buf_puts(&f->pickle, ".");
    zm_add(&f->zip, "archive/data.pkl", f->pickle.p, f->pickle.n);
    for (size_t i = 0; i < f->n_storages; i++) {
        snprintf(name, sizeof name, "archive/data/%zu", i);
        zm_add(&f->zip, name, f->storages[i].p, f->storages[i].n);
    }
    zm_add(&f->zip, "archive/version", "3\n", 2);
    zm_end(&f->zip);
    return f->m = open_kept((struct blob){.p = (void *)f->zip.out.p, .n = f->zip.out.n});
}

/* Every entry is part of one row, and no byte is lost. */
static void close_file(struct file *f)
{
    const struct sc_catalog *c = f->m->catalog;
    uint64_t stored = 0, logical = 0;
    size_t parts = 0;
    uint8_t *seen = sc_calloc(c->n_entries + 1, 1);
    for (size_t i = 0; i < c->n_entries; i++)
        stored += c->entries[i].bytes;
    for (size_t i = 0; i < f->m->n_tensors; i++) {
        const struct sc_tensor *t = &f->m->tensors[i];
        logical += t->bytes;
        parts += t->n_parts;
        for (size_t k = 0; k < t->n_parts; k++)
            CHECK_U64(seen[f->m->parts[t->first_part + k].entry]++, 0);
    }
    CHECK_U64(parts, c->n_entries);
    CHECK_U64(logical, stored);
    free(seen);
    sc_model_close(f->m);
    zm_clear(&f->zip);
    sc_buf_clear(&f->pickle);
}

/* What opening the view says. */
static void check_refused(const struct file *f, const char *name, int code, const char *words)
{
    struct sc_values *v = NULL;
    struct sc_error e = {0};
    CHECK_ERR(code, sc_values_open(f->m, tensor_named(f->m, name), &v, &e));
    CHECK(strstr(e.text, words) && strstr(e.text, name));
    if (!strstr(e.text, words))
        fprintf(stderr, "%s\n", e.text);
    sc_values_close(v);
}

static void check_values(const struct file *f, const char *name, const float *want, size_t n)
{
    struct sc_values *v = NULL;
    struct sc_error e = {0};
    float got[64];
    CHECK_ERR(0, sc_values_open(f->m, tensor_named(f->m, name), &v, &e));
    if (!v) {
        fprintf(stderr, "%s\n", e.text);
        return;
    }
    CHECK_U64(v->count, n);
    CHECK_U64(v->code_bytes, 0);
    CHECK_ERR(0, sc_values_read(v, 0, n, got, &e));
    CHECK_BITS(got, want, n * sizeof got[0]);
    sc_values_close(v);
}

static const int8_t codes[6] = {-128, -1, 0, 1, 2, 127};
#define DIMS "I2\nI3\n", "I3\nI1\n"

/* -------------------------------------------------------------------------------- per tensor ---
 */

static void check_tensor(const char *class, const char *quantizer, int code, const char *words)
{
    static const int32_t zeros[6];
    struct file f;
    start(&f);
    begin_tensor(&f, "w", class, zeros, 6, strcmp(class, "QInt32") == 0 ? 4 : 1, DIMS);
    sc_buf_puts(&f.pickle, quantizer);
    end_tensor(&f);
    finish(&f);
    if (code < 0)
        check_refused(&f, "w", code, words);
    else
        check_values(&f, "w", (const float[6]){0}, 6);
    close_file(&f);
}
#define PER_TENSOR "(ctorch\nper_tensor_affine\n"

TEST(scale_and_zero_point_of_a_tensor)
{
    struct file f;
    const float want[] = {-64.5F, -1, -0.5F, 0, 0.5F, 63};
    start(&f);
    begin_tensor(&f, "w", "QInt8", codes, 6, 1, DIMS);
    sc_buf_puts(&f.pickle, PER_TENSOR "F0.5\nI1\nt");
    end_tensor(&f);
    finish(&f);
    check_values(&f, "w", want, 6);
    const struct sc_tensor *t = &f.m->tensors[0];
    CHECK_U64(t->layout, SC_LAYOUT_TORCH_QINT);
    CHECK_U64(t->bits, 8);
    CHECK_STR(t->dtype, "QI8");
    close_file(&f);
}

TEST(parameters_that_are_not_understood)
{
    static const char *const bad[] = {
        "N",
        "(t",
        "(ctorch\nper_tensor_affine\nt",
        "(Vper_tensor_affine\nF0.5\nI0\nt",
        "(ctorch\nper_tensor_symmetric\nF0.5\nI0\nt",
        "(cother\nper_tensor_affine\nF0.5\nI0\nt",
        PER_TENSOR "F0.5\nt",
        PER_TENSOR "NI0\nt",
        PER_TENSOR "F0.5\nF0\nt",
        PER_TENSOR "F0.5\nNt",
        PER_TENSOR "F0.5\nL1180591620717411303424L\nt", /* 2^70 */
        "(ctorch\nper_channel_affine\nt",
        "(ctorch\nper_channel_affine\nNNI0\nt",
        "(ctorch\nper_channel_affine\n(lF1\naF1\na(lI0\naI0\naI0\nt",
    };
    for (size_t i = 0; i < SC_COUNT(bad); i++)
        check_tensor("QInt8", bad[i], SCRUPLE_EUNSUPPORTED, "only listed");
    check_tensor("QInt8", PER_TENSOR "I2\nI0\nt", 0, NULL);
}

TEST(zero_points_stay_within_their_type)
{
    static const struct {
        const char *class, *quantizer;
    } bad[] = {
        {"QInt8", PER_TENSOR "F1\nI128\nt"},
        {"QInt8", PER_TENSOR "F1\nI-129\nt"},
        {"QUInt8", PER_TENSOR "F1\nI-1\nt"},
        {"QUInt8", PER_TENSOR "F1\nI256\nt"},
        {"QInt32", PER_TENSOR "F1\nI2147483648\nt"},
        {"QInt32", PER_TENSOR "F1\nI-2147483649\nt"},
        {"QInt32", PER_TENSOR "F1\nI9223372036854775807\nt"},
        {"QInt32", PER_TENSOR "F1\nI-9223372036854775807\nt"},
        {"QUInt4x2", PER_TENSOR "F1\nI256\nt"},
    };
    for (size_t i = 0; i < SC_COUNT(bad); i++)
        check_tensor(bad[i].class, bad[i].quantizer, SCRUPLE_EFORMAT, "outside of the type");
    check_tensor("QInt8", PER_TENSOR "F0\nI-128\nt", SCRUPLE_OK, NULL);
}

/* ------------------------------------------------------------------------------- per channel ---
 */

struct channels {
    const char *scale_class, *zero_class, *axis; /* the axis with its opcode */
    const void *scales, *zeros;
    size_t n_scales, n_zeros, scale_size, zero_size;
};

static void make_channels(struct file *f, const struct channels *c)
{
    start(f);
    begin_tensor(f, "w", "QInt8", codes, 6, 1, DIMS);
    sc_buf_puts(&f->pickle, "(ctorch\nper_channel_affine\n");
    add_vector(f, c->scale_class, c->scales, c->n_scales, c->scale_size);
    add_vector(f, c->zero_class, c->zeros, c->n_zeros, c->zero_size);
    sc_buf_printf(&f->pickle, "%st", c->axis);
    end_tensor(f);
    finish(f);
}

#define CHANNELS(...) (&(const struct channels){__VA_ARGS__})

static const double scales[3] = {0.5, 0.1, 2};
static const int64_t zeros[3] = {0, 10, -20};
TEST(parameters_of_channels_are_parts)
{
    struct file f;
    struct sc_buf a = {0}, b = {0};
    float columns[6], rows[6];
    for (size_t i = 0; i < 6; i++) {
        const size_t row = i / 3, col = i % 3;
        columns[i] = (float)((codes[i] - (double)zeros[col]) * scales[col]);
        rows[i] = (float)((codes[i] - (double)zeros[row]) * scales[row]);
    }
    make_channels(&f, CHANNELS("Double", "Long", "I1\n", scales, zeros, 3, 3, 8, 8));
    check_values(&f, "w", columns, 6);
    CHECK_U64(f.m->n_tensors, 1);
    CHECK_U64(f.m->tensors[0].n_parts, 3);
    CHECK_U64(f.m->tensors[0].bytes, 6 + 24 + 24);
    CHECK_U64(f.m->tensors[0].group, 0);
    struct sc_values *v = NULL;
    CHECK_ERR(0, sc_values_open(f.m, 0, &v, NULL));
    sc_values_identity(v, &a);
    sc_values_close(v);
    close_file(&f);

    make_channels(&f, CHANNELS("Double", "Long", "I0\n", scales, zeros, 2, 2, 8, 8));
    check_values(&f, "w", rows, 6);
    CHECK_U64(f.m->tensors[0].group, UINT16_MAX);
    CHECK_ERR(0, sc_values_open(f.m, 0, &v, NULL));
    sc_values_identity(v, &b);
    CHECK(strstr(b.p, "quantizer"));
    sc_values_close(v);
    close_file(&f);
    CHECK(a.n != b.n || memcmp(a.p, b.p, a.n) != 0);
    sc_buf_clear(&a);
    sc_buf_clear(&b);
}

TEST(channels_that_do_not_fit)
{
    static const int64_t far[3] = {0, 1, 200};
    static const struct {
        struct channels c;
        const char *words;
    } bad[] = {
        {{"Double", "Long", "I2\n", scales, zeros, 3, 3, 8, 8}, "a dimension that it does not"},
        {{"Double", "Long", "I-1\n", scales, zeros, 3, 3, 8, 8}, "a dimension that it does not"},
        {{"Double", "Long", "I9223372036854775807\n", scales, zeros, 3, 3, 8, 8}, "a dimension"},
        {{"Double", "Long", "N", scales, zeros, 3, 3, 8, 8}, "a dimension that it does not"},
        {{"Double", "Long", "", scales, zeros, 3, 3, 8, 8}, "a dimension that it does not"},
        {{"Double", "Long", "I0\n", scales, zeros, 3, 3, 8, 8}, "each of 2 channels"},
        {{"Double", "Long", "I1\n", scales, zeros, 2, 3, 8, 8}, "each of 3 channels"},
        {{"Double", "Long", "I1\n", scales, zeros, 3, 2, 8, 8}, "each of 3 channels"},
        {{"Double", "Long", "I1\n", scales, zeros, 0, 3, 8, 8}, "each of 3 channels"},
        {{"Long", "Long", "I1\n", zeros, zeros, 3, 3, 8, 8}, "floats were expected"},
        {{"Double", "Bool", "I1\n", scales, zeros, 3, 3, 8, 1}, "numbers were expected"},
        {{"Double", "ComplexFloat", "I1\n", scales, zeros, 3, 3, 8, 8}, "numbers were expected"},
        {{"Double", "QInt8", "I1\n", scales, zeros, 3, 3, 8, 1}, "numbers were expected"},
    };
    struct file f;
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        make_channels(&f, &bad[i].c);
        check_refused(&f, "w", SCRUPLE_EFORMAT, bad[i].words);
        close_file(&f);
    }
    make_channels(&f, CHANNELS("Double", "Long", "I1\n", scales, far, 3, 3, 8, 8));
    struct sc_values *v = NULL;
    struct sc_error e = {0};
    float got[6];
    CHECK_ERR(0, sc_values_open(f.m, 0, &v, &e));
    CHECK_ERR(SCRUPLE_EFORMAT, sc_values_read(v, 0, 6, got, &e));
    CHECK(strstr(e.text, "zero point 200 of channel 2"));
    sc_values_close(v);
    close_file(&f);
}

TEST(floats_as_zero_points)
{
    static const float s[3] = {0.5F, 0.1F, 2}, z[3] = {0.25F, 1e9F, -3.5F};
    struct file f;
    float want[6];
    for (size_t i = 0; i < 6; i++) {
        const float difference = (float)codes[i] - z[i % 3];
        want[i] = difference * s[i % 3];
    }
    make_channels(&f, CHANNELS("Float", "Float", "I1\n", s, z, 3, 3, 4, 4));
    check_values(&f, "w", want, 6);
    close_file(&f);
}

TEST(no_channels_at_all)
{
    struct file f;
    start(&f);
    begin_tensor(&f, "w", "QInt8", codes, 0, 1, "I0\nI3\n", "I3\nI1\n");
    sc_buf_puts(&f.pickle, "(ctorch\nper_channel_affine\n");
    add_vector(&f, "Double", scales, 0, 8);
    add_vector(&f, "Long", zeros, 0, 8);
    sc_buf_puts(&f.pickle, "I0\nt");
    end_tensor(&f);
    finish(&f);
    check_values(&f, "w", NULL, 0);
    close_file(&f);
}

/* ----------------------------------------------------------------------------- odd pickles --- */

/* Names that the parts of another would have do not make a tensor one of them. */
TEST(parts_are_found_by_what_they_are)
{
    struct file f;
    float want[6];
    for (size_t i = 0; i < 6; i++)
        want[i] = (float)((codes[i] - (double)zeros[i % 3]) * scales[i % 3]);
    start(&f);
    sc_buf_puts(&f.pickle, "Vw.scales\n");
    add_vector(&f, "Double", zeros, 3, 8);
    sc_buf_puts(&f.pickle, "s");
    begin_tensor(&f, "w", "QInt8", codes, 6, 1, DIMS);
    sc_buf_puts(&f.pickle, "(ctorch\nper_channel_affine\n");
    add_vector(&f, "Double", scales, 3, 8);
    add_vector(&f, "Long", zeros, 3, 8);
    sc_buf_puts(&f.pickle, "I1\nt");
    end_tensor(&f);
    finish(&f);
    check_values(&f, "w", want, 6);
    CHECK_U64(f.m->n_tensors, 2);
    CHECK(tensor_named(f.m, "w.scales") != tensor_named(f.m, "w"));
    close_file(&f);
}

/* Names by which other layouts know their parts: integers of PyTorch are no part of those. */
TEST(names_of_other_layouts)
{
    struct file f;
    start(&f);
    sc_buf_puts(&f.pickle, "Vx.scale\n");
    add_vector(&f, "Float", scales, 3, 4);
    sc_buf_puts(&f.pickle, "sVx.zero\n");
    add_vector(&f, "Float", zeros, 3, 4);
    sc_buf_puts(&f.pickle, "s");
    begin_tensor(&f, "x.W_q", "QInt8", codes, 6, 1, DIMS);
    sc_buf_puts(&f.pickle, "(ctorch\nper_channel_affine\n");
    add_vector(&f, "Double", scales, 3, 8);
    add_vector(&f, "Long", zeros, 3, 8);
    sc_buf_puts(&f.pickle, "I1\nt");
    end_tensor(&f);
    finish(&f);
    CHECK_U64(f.m->n_tensors, 3);
    CHECK_U64(f.m->tensors[tensor_named(f.m, "x.W_q")].layout, SC_LAYOUT_TORCH_QINT);
    close_file(&f);
}

/* One tensor is both; and it stands in the file a second time, as a row of its own. */
TEST(one_tensor_twice)
{
    struct file f;
    float want[6];
    for (size_t i = 0; i < 6; i++)
        want[i] = ((float)codes[i] - (float)scales[i % 3]) * (float)scales[i % 3];
    start(&f);
    begin_tensor(&f, "w", "QInt8", codes, 6, 1, DIMS);
    sc_buf_puts(&f.pickle, "(ctorch\nper_channel_affine\n");
    add_vector(&f, "Double", scales, 3, 8);
    sc_buf_puts(&f.pickle, "p1\ng1\nI1\nt");
    end_tensor(&f);
    sc_buf_puts(&f.pickle, "Vz\ng1\ns");
    finish(&f);
    check_values(&f, "w", want, 6);
    CHECK_U64(f.m->n_tensors, 2);
    close_file(&f);
}

/* The arguments of a quantised tensor serve as those of its scales, too: it is no part of itself.
 */
TEST(arguments_that_are_shared)
{
    struct file f;
    start(&f);
    sc_buf_puts(&f.pickle, "Vw\nctorch._utils\n_rebuild_qtensor\n(");
    add_storage(&f, "QInt8", codes, 6, 1);
    add_dims(&f, DIMS);
    /* [args of w] is a list that is filled when the tuple is there: memo 2 */
    sc_buf_puts(&f.pickle, "(lp3\nI00\nNtp2\nRp4\ns"
                           "g3\nctorch\nper_channel_affine\na"
                           "ctorch._utils\n_rebuild_tensor_v2\ng2\nRa"
                           "ctorch._utils\n_rebuild_tensor_v2\ng2\nRaI1\na0");
    finish(&f);
    check_refused(&f, "w", SCRUPLE_EFORMAT, "floats were expected");
    CHECK_U64(f.m->tensors[0].n_parts, 3);
    close_file(&f);
}

/* ------------------------------------------------------------------------------ packed codes ---
 */

TEST(packed_codes_are_read_whole)
{
    static const uint8_t four[3] = {0x21, 0x43, 0xf5}, two[2] = {0xe4, 0x0b};
    const float want[] = {0.5F, 1, 1.5F, 2, 2.5F}, crumbs[] = {0, 1, 2, 3, 3};
    static const struct {
        const char *dims, *strides;
    } bad[] = {{"I2\nI2\n", "I1\nI2\n"}, {"I2\nI1\n", "I3\nI1\n"}, {"I5\n", "I0\n"}};
    struct file f;
    start(&f);
    begin_tensor(&f, "four", "QUInt4x2", four, 3, 1, "I5\n", "I1\n");
    sc_buf_puts(&f.pickle, PER_TENSOR "F0.5\nI0\nt");
    end_tensor(&f);
    begin_tensor(&f, "two", "QUInt2x4", two, 2, 1, "I1\nI5\n", "I77\nI1\n");
    sc_buf_puts(&f.pickle, PER_TENSOR "F1\nI0\nt");
    end_tensor(&f);
    finish(&f);
    check_values(&f, "four", want, 5);
    check_values(&f, "two", crumbs, 5);
    close_file(&f);
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        start(&f);
        begin_tensor(&f, "w", "QUInt4x2", four, 3, 1, bad[i].dims, bad[i].strides);
        sc_buf_puts(&f.pickle, PER_TENSOR "F0.5\nI0\nt");
        end_tensor(&f);
        finish(&f);
        check_refused(&f, "w", SCRUPLE_EUNSUPPORTED, "packed values");
        close_file(&f);
    }
}

/* ------------------------------------------------------------------------------------- twins ---
 */

TEST(twins_have_the_same_meaning)
{
    static const uint32_t all[] = {0, 1, 2, 3};
    struct file f;
    uint32_t twin[4];
    start(&f);
    for (size_t i = 0; i < 4; i++) {
        sc_buf_printf(&f.pickle, "V%zu\nctorch._utils\n_rebuild_qtensor\n(", i);
        sc_buf_puts(&f.pickle, "(Vstorage\nctorch\nQInt8Storage\nV0\nVcpu\nI6\ntQ");
        add_dims(&f, DIMS);
        sc_buf_printf(&f.pickle, PER_TENSOR "F%s\nI%d\nt", i == 1 ? "0.25" : "0.5", i == 2);
        end_tensor(&f);
    }
    f.storages[f.n_storages++] = (struct storage){codes, 6};
    finish(&f);
    CHECK_ERR(0, sc_find_twins(f.m, all, 4, twin, NULL));
    CHECK_U64(twin[0], SC_NO_NODE);
    CHECK_U64(twin[1], SC_NO_NODE);
    CHECK_U64(twin[2], SC_NO_NODE);
    CHECK_U64(twin[3], 0);
    close_file(&f);
}
