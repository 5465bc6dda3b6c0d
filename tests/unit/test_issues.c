/* SPDX-License-Identifier: Apache-2.0 */
/* issues: a healthy model gives no warnings, whatever its sizes; each rule speaks when it should.
 */
#include "analyze/health.h"
#include "oom.h"
#include "support.h"
#include "test.h"

/* ----------------------------------------------------------------------------- random values ---
 */
static uint64_t state;

static double uniform(void)
{
    state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return ((double)((z ^ z >> 31) >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

/* ----------------------------------------------------------------------------------- a model ---
 */
enum { MAX_TENSORS = 512 };
static struct bench {
    struct sc_model *model;
    struct sc_scanned scanned[MAX_TENSORS];
    struct sc_health health[MAX_TENSORS];
    size_t n;
    struct sc_issues issues;
} b;

struct line {
    const char *name;
    unsigned rows, cols; /* cols 0: a vector */
};

/* A model with these tensors in `layers` layers ("%" in a name), figures not filled. */
static void open_bench(const struct line *lines, size_t n, unsigned layers, const char *dtype)
{
    struct sc_buf json = {0};
    struct sc_error e = {0};
    uint64_t at = 0;
    bool first = true;

    memset(&b, 0, sizeof b);
    sc_buf_putc(&json, '{');
    for (unsigned layer = 0; layer < layers; layer++) {
        for (size_t i = 0; i < n; i++) {
            const char *percent = strchr(lines[i].name, '%');
            uint64_t values = (uint64_t)lines[i].rows * (lines[i].cols ? lines[i].cols : 1);
            if (!percent && layer)
                continue;
            sc_buf_puts(&json, first ? "\"" : ", \"");
            first = false;
            if (percent)
                sc_buf_printf(&json, "%.*s%u%s", (int)(percent - lines[i].name), lines[i].name,
                              layer, percent + 1);
            else
                sc_buf_puts(&json, lines[i].name);
            sc_buf_printf(&json, "\": {\"dtype\": \"%s\", \"shape\": [%u", dtype, lines[i].rows);
            if (lines[i].cols)
                sc_buf_printf(&json, ", %u", lines[i].cols);
            uint64_t size =
                values * (strcmp(dtype, "F32") == 0 || strcmp(dtype, "I32") == 0 ? 4 : 2);
            sc_buf_printf(&json, "], \"data_offsets\": [%llu, %llu]}", (unsigned long long)at,
                          (unsigned long long)(at + size));
            at += size;
        }
    }
    sc_buf_putc(&json, '}');
    struct blob file = st_blob(json.p, json.n, (size_t)at);
    if (open_blob(file, NULL, &b.model, &e) < 0 || b.model->n_tensors > MAX_TENSORS)
        support_fail(e.text);
    free(file.p);
    sc_buf_clear(&json);
    b.n = b.model->n_tensors;
    for (uint32_t i = 0; i < b.n; i++)
        b.scanned[i] = (struct sc_scanned){.tensor = i, .same = SC_NO_NODE, .health = &b.health[i]};
}

static void close_bench(void)
{
    sc_issues_clear(&b.issues);
    sc_model_close(b.model);
}

static void judge(void)
{
    struct sc_error e = {0};

    sc_issues_clear(&b.issues);
    CHECK_ERR(0, sc_issues_find(b.model, b.scanned, b.n, &b.issues, &e));
}

/* The expected maximum of |x| / sigma in n normal values: where the tail leaves half a value. */
static double expected_max(double n)
{
    double low = 0, high = 40;

    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (n * erfc(middle / sqrt(2)) > 0.56)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Figures of a normal sample of the tensor's own size (at most 100,000 values are drawn; moments
 * beyond that are as good as exact). The spectrum is a draw from the laws of such matrices. */
static void fill_normal(size_t i, double sigma)
{
    const struct sc_tensor *t = &b.model->tensors[i];
    struct sc_health *h = &b.health[i];
    double n = (double)t->parameters, m1 = 0, m2 = 0, m3 = 0, m4 = 0, most = 0;
    uint64_t draws = SC_MIN(t->parameters, UINT64_C(100000));

    memset(h, 0, sizeof *h);
    h->measured = SC_METHODS_ELEMENTS | SC_METHOD_SPECTRAL;
    for (uint64_t k = 0; k < draws; k++) {
        double x = normal();
        m1 += x;
        m2 += x * x;
        m3 += x * x * x;
        m4 += x * x * x * x;
        most = fmax(most, fabs(x));
    }
    m1 /= (double)draws;
    m2 /= (double)draws;
    m4 /= (double)draws;
    struct sc_basic *a = &h->basic;
    a->values = a->finite = t->parameters;
    a->first_nan = a->first_infinity = a->distinct = UINT64_MAX;
    a->mean = m1 * sigma;
    a->std = a->rms = sqrt(m2) * sigma;
    a->max_over_sigma_normal = expected_max(n);
    a->max_over_sigma = draws < t->parameters ? a->max_over_sigma_normal * (0.9 + 0.3 * uniform())
                                              : most / sqrt(m2);
    a->abs_max = a->max = a->max_over_sigma * a->std;
    a->min = -a->max * 0.97;
    a->l2_norm = a->rms * sqrt(n);
    a->kurtosis = draws > 1 ? m4 / (m2 * m2) - 3 : NAN;
    h->sparsity.rows = t->rank >= 2 ? t->shape[0] : UINT64_MAX;
    h->sparsity.cols = t->rank >= 2 ? t->parameters / t->shape[0] : UINT64_MAX;
    struct sc_quantization *q = &h->quantization;
    q->bits = 8;
    q->iqr = 1.349 * a->std;
    q->extreme_outliers = (uint64_t)(n * 2.3e-6);
    q->extreme_outlier_percent = 100 * (double)q->extreme_outliers / n;
    q->sqnr_normal_db =
        10 * log10(12 * 127.0 * 127 / (a->max_over_sigma_normal * a->max_over_sigma_normal));
    q->per_tensor.sqnr_db = 10 * log10(12 * 127.0 * 127 / (a->max_over_sigma * a->max_over_sigma));
    q->per_channel.sqnr_db = q->per_tensor.sqnr_db + 3;
    struct sc_spectrum *s = &h->spectrum;
    if (t->rank < 2) {
        h->measured &= ~(unsigned)SC_METHOD_SPECTRAL;
        return;
    }
    uint64_t small = SC_MIN(t->shape[0], t->shape[1]), large = SC_MAX(t->shape[0], t->shape[1]);
    double ratio = sqrt((double)large / (double)small);
    s->method = SC_SPECTRUM_GRAM;
    s->slices = 1;
    s->rows = t->shape[0];
    s->cols = t->shape[1];
    s->total_rank = s->numerical_rank = small;
    s->frobenius = a->l2_norm;
    s->sigma_max = a->std * (sqrt((double)large) + sqrt((double)small));
    s->stable_rank = a->l2_norm * a->l2_norm / (s->sigma_max * s->sigma_max);
    s->condition_resolution = 1e3;
    s->condition_p = NAN;
    if (small == large) {
        /* P(condition / n > x) = 1 - exp(-2/x - 2/x^2), solved for x. */
        double p = uniform(), v = -log1p(-p), x = (2 + sqrt(4 + 8 * v)) / (2 * v);
        s->condition_random = 3.67 * (double)small;
        s->condition = x * (double)small;
        s->condition_p = p;
    } else {
        s->condition_random = (ratio + 1) / (ratio - 1);
        s->condition = s->condition_random * (0.9 + 0.2 * uniform());
    }
    s->power_law = (struct sc_power_law){.alpha = 4 + 4 * uniform(), .sigma = 0.5, .in_tail = 60};
    s->shuffled_alpha = s->power_law.alpha + 0.2;
    s->shuffled_sigma_max = s->sigma_max;
}

static const struct line llama[] = {
    {"model.layers.%.self_attn.q_proj.weight", 64, 64},
    {"model.layers.%.self_attn.k_proj.weight", 16, 64},
    {"model.layers.%.self_attn.o_proj.weight", 64, 64},
    {"model.layers.%.mlp.up_proj.weight", 172, 64},
    {"model.layers.%.mlp.down_proj.weight", 64, 172},
    {"model.layers.%.mlp.gate.weight", 8, 64},
    {"model.layers.%.input_layernorm.weight", 64, 0},
    {"model.embed_tokens.weight", 500, 64},
    {"lm_head.weight", 500, 64},
};

static void open_llama(unsigned layers)
{
    open_bench(llama, SC_COUNT(llama), layers, "BF16");
    for (size_t i = 0; i < b.n; i++)
        fill_normal(i, 0.02);
}

static struct sc_health *of(const char *name)
{
    for (size_t i = 0; i < b.n; i++)
        if (strcmp(b.model->tensors[i].name, name) == 0)
            return &b.health[i];
    support_fail(name);
    return NULL;
}

/* Issues of a rule; *severity is that of the first. */
static size_t count(const char *rule, int *severity)
{
    size_t n = 0;

    *severity = -1;
    for (size_t k = 0; k < b.issues.n; k++)
        if (strcmp(sc_rules[b.issues.p[k].rule].id, rule) == 0 && n++ == 0)
            *severity = b.issues.p[k].severity;
    return n;
}

/* Exactly one issue of this rule, on this tensor, of this severity. */
static void check_one(const char *rule, const char *name, int severity)
{
    int got;

    judge();
    if (count(rule, &got) != 1 || got != severity)
        fprintf(stderr, "%s: %zu issues, severity %d\n", rule, count(rule, &got), got);
    CHECK(count(rule, &got) == 1 && got == severity);
    for (size_t k = 0; k < b.issues.n; k++) {
        const struct sc_issue *i = &b.issues.p[k];
        if (strcmp(sc_rules[i->rule].id, rule) != 0)
            continue;
        CHECK_STR(b.model->tensors[i->tensor].name, name);
        CHECK(strlen(i->message) > 10 && strlen(i->message) < sizeof i->message);
    }
}

static const char *message(const char *rule)
{
    for (size_t k = 0; k < b.issues.n; k++)
        if (strcmp(sc_rules[b.issues.p[k].rule].id, rule) == 0)
            return b.issues.p[k].message;
    return "";
}

static void show_bad(void)
{
    for (size_t k = 0; k < b.issues.n; k++)
        if (b.issues.p[k].severity > SC_INFO)
            fprintf(stderr, "%s: %s\n", sc_rules[b.issues.p[k].rule].id, b.issues.p[k].message);
}

/* ------------------------------------------------------------------------------------ healthy ---
 */
TEST(the_table_of_rules_is_whole)
{
    for (size_t i = 0; i < sc_n_rules; i++) {
        REQUIRE(sc_rules[i].id && sc_rules[i].title && sc_rules[i].reference);
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(sc_rules[i].id, sc_rules[k].id) != 0);
    }
}

TEST(a_normal_model_of_any_size_gives_no_warnings)
{
    static const struct line sizes[] = {
        {"a.%.one", 1, 0},
        {"a.%.vector", 4096, 0},
        {"a.%.tiny.weight", 2, 2},
        {"a.%.small.weight", 32, 32},
        {"a.%.row.weight", 1, 4096},
        {"a.%.column.weight", 4096, 1},
        {"a.%.q_proj.weight", 256, 256},
        {"a.%.up_proj.weight", 1024, 256},
        {"a.%.o_proj.weight", 1024, 1024},
        {"a.%.down_proj.weight", 2048, 4096},
    };
    int severity;

    for (unsigned seed = 1; seed <= 5; seed++) {
        state = seed;
        open_bench(sizes, SC_COUNT(sizes), 12, "BF16");
        for (size_t i = 0; i < b.n; i++)
            fill_normal(i, 0.02);
        judge();
        size_t bad = 0;
        for (size_t k = 0; k < b.issues.n; k++)
            bad += b.issues.p[k].severity > SC_INFO;
        CHECK_U64(bad, 0);
        show_bad();
        CHECK_U64(count("odd-layer", &severity), 0);
        CHECK_U64(count("drift", &severity), 0);
        CHECK_U64(count("kurtosis", &severity), 0);
        CHECK_U64(count("max-over-sigma", &severity), 0);
        close_bench();
    }
}

TEST(integers_and_masks_are_not_judged_as_weights)
{
    static const struct line ids[] = {{"position_ids", 64, 64}};
    open_bench(ids, 1, 1, "I32");
    fill_normal(0, 1);
    b.health[0].basic.zeros = b.health[0].basic.finite;
    judge();
    CHECK_U64(b.issues.n, 0);
    close_bench();

    static const struct line mask[] = {{"h.0.attn.bias", 64, 64}};
    open_bench(mask, 1, 1, "F32");
    fill_normal(0, 1);
    struct sc_basic *a = &b.health[0].basic;
    a->min = 0;
    a->max = 1;
    a->mean = 0.25;
    a->rms = 0.5;
    a->kurtosis = 500;
    judge();
    CHECK_U64(b.issues.n, 0);
    close_bench();
}

/* ----------------------------------------------------------------------------------- each rule ---
 */
#define Q3    "model.layers.3.self_attn.q_proj.weight"
#define UP2   "model.layers.2.mlp.up_proj.weight"
#define DOWN1 "model.layers.1.mlp.down_proj.weight"

#define CUBE "experts.weight"

static void open_cube(void)
{
    static const char json[] = "{\"" CUBE "\": {\"dtype\": \"F32\", \"shape\": [4, 20, 30], "
                               "\"data_offsets\": [0, 9600]}}";
    struct blob file = st_blob(json, sizeof json - 1, 9600);
    struct sc_error e = {0};

    memset(&b, 0, sizeof b);
    if (open_blob(file, NULL, &b.model, &e) < 0)
        support_fail(e.text);
    free(file.p);
    b.n = 1;
    b.scanned[0] = (struct sc_scanned){.tensor = 0, .same = SC_NO_NODE, .health = &b.health[0]};
    b.health[0].measured = SC_METHOD_BASIC;
    b.health[0].basic = (struct sc_basic){.values = 2400, .finite = 2399, .max = 1, .std = 1};
}

TEST(what_is_not_a_number)
{
    state = 1;
    open_llama(6);
    of(Q3)->basic.nans = 3;
    of(Q3)->basic.first_nan = 65;
    check_one("nan", Q3, SC_ERROR);
    CHECK(strstr(b.issues.p[0].message, "row 1, column 1") != NULL);
    CHECK(b.issues.p[0].value > 2.9 && b.issues.p[0].value < 3.1);
    of(UP2)->basic.infinities = 1;
    of(UP2)->basic.first_infinity = 0;
    check_one("infinity", UP2, SC_ERROR);
    of(Q3)->basic.values *= 2; /* complex: two values an element */
    check_one("nan", Q3, SC_ERROR);
    CHECK(strstr(message("nan"), "row 0, column 32") != NULL);
    close_bench();
    open_cube();
    of(CUBE)->basic.nans = 1;
    of(CUBE)->basic.first_nan = 2 * 600 + 7 * 30 + 11;
    check_one("nan", CUBE, SC_ERROR);
    CHECK(strstr(message("nan"), "the first at [2, 7, 11];") != NULL);
    close_bench();
}

TEST(zeros_constants_dead_rows)
{
    struct sc_health *h;

    state = 2;
    open_llama(6);
    h = of(UP2);
    h->basic.zeros = h->basic.finite;
    h->basic.min = h->basic.max = h->basic.std = 0;
    check_one("all-zero", UP2, SC_WARNING);
    h = of("model.layers.0.input_layernorm.weight");
    h->basic.min = h->basic.max = 1;
    h->basic.std = 0;
    check_one("constant", "model.layers.0.input_layernorm.weight", SC_INFO);
    of(Q3)->sparsity.dead_rows = 2; /* of 64 */
    check_one("dead-rows", Q3, SC_WARNING);
    of(DOWN1)->sparsity.dead_columns = 1; /* of 172: below one percent */
    check_one("dead-columns", DOWN1, SC_INFO);
    of(Q3)->basic.rms = 1e-7; /* as small as the threshold: only zeros count */
    judge();
    int severity;
    CHECK_U64(count("dead-rows", &severity), 0);
    of(Q3)->sparsity.zero_rows = 1;
    of(Q3)->sparsity.first_dead_row = 5; /* not one of zeros, so it must not be named */
    of(Q3)->basic.zeros = 64;
    check_one("dead-rows", Q3, SC_WARNING);
    CHECK_STR(message("dead-rows"), "1 of 64 rows is dead (all zero), 1.56 %");
    of(Q3)->sparsity.dead_rows = 1;
    check_one("dead-rows", Q3, SC_WARNING);
    CHECK_STR(message("dead-rows"), "1 of 64 rows is dead (all zero), 1.56 %; the first is row 5");
    of(Q3)->basic.zeros = 63; /* the row is of doubles that are no floats, not of zeros */
    judge();
    CHECK_U64(count("dead-rows", &severity), 0);
    of(Q3)->sparsity.zero_rows = of(Q3)->basic.zeros = 0;
    of(DOWN1)->sparsity.dead_columns = 20; /* of 172 x 64: by chance, where nearly all are zero */
    of(DOWN1)->sparsity.level_percent[1] = 96.7;
    judge();
    CHECK_U64(count("dead-columns", &severity), 0);
    of(DOWN1)->sparsity.dead_columns = 60;
    check_one("dead-columns", DOWN1, SC_WARNING);
    of("model.embed_tokens.weight")->sparsity.dead_rows = 400; /* padding */
    check_one("dead-rows", "model.embed_tokens.weight", SC_INFO);
    close_bench();
}

TEST(tails)
{
    struct sc_health *h;

    state = 3;
    open_llama(6);
    h = of(Q3);
    h->basic.max = h->basic.mean + 30 * h->basic.std;
    check_one("max-over-sigma", Q3, SC_INFO);
    h->basic.min = h->basic.mean - 80 * h->basic.std;
    check_one("max-over-sigma", Q3, SC_WARNING);
    of(DOWN1)->basic.max = 80 * of(DOWN1)->basic.std;
    check_one("super-weight", DOWN1, SC_INFO);
    /* Values around another number than zero are no outliers. */
    of(UP2)->basic.mean += 1;
    of(UP2)->basic.min += 1;
    of(UP2)->basic.max += 1;
    of(UP2)->basic.abs_max = of(UP2)->basic.max;
    of(UP2)->basic.max_over_sigma = of(UP2)->basic.max / of(UP2)->basic.std;
    check_one("max-over-sigma", Q3, SC_WARNING);
    h->basic.kurtosis = 12;
    check_one("kurtosis", Q3, SC_INFO);
    h->basic.kurtosis = 120;
    check_one("kurtosis", Q3, SC_WARNING);
    h->quantization.extreme_outliers = 80;
    h->quantization.extreme_outlier_percent = 80 / 40.96;
    check_one("outliers", Q3, SC_INFO);
    h->quantization.extreme_outlier_percent = 6;
    check_one("outliers", Q3, SC_WARNING);
    h->quantization.per_tensor.sqnr_db = 20;
    h->quantization.per_channel.sqnr_db = 38;
    check_one("quantization", Q3, SC_INFO);
    h->quantization.per_channel.sqnr_db = 25;
    check_one("quantization", Q3, SC_WARNING);
    h->basic.zeros_percent = 60;
    check_one("sparse", Q3, SC_INFO);
    close_bench();
}

TEST(clipped_and_too_wide)
{
    state = 4;
    open_bench(llama, SC_COUNT(llama), 6, "F16");
    for (size_t i = 0; i < b.n; i++)
        fill_normal(i, 0.02);
    of(Q3)->basic.abs_max = 65504;
    check_one("saturated", Q3, SC_WARNING);
    close_bench();
    open_bench(llama, SC_COUNT(llama), 6, "F32");
    for (size_t i = 0; i < b.n; i++)
        fill_normal(i, 0.02);
    snprintf(of(Q3)->basic.holds, 16, "BF16");
    check_one("upcast", Q3, SC_INFO);
    CHECK(strstr(b.issues.p[b.issues.n - 1].message, "BF16") != NULL);
    snprintf(of(Q3)->basic.holds, 16, "F32"); /* no narrower */
    judge();
    int severity;
    CHECK_U64(count("upcast", &severity), 0);
    close_bench();
}

TEST(spectra)
{
    struct sc_spectrum *s;

    state = 5;
    open_llama(6);
    s = &of(Q3)->spectrum;
    s->numerical_rank = 63;
    s->condition = INFINITY;
    check_one("rank-deficient", Q3, SC_WARNING);
    CHECK_STR(message("rank-deficient"),
              "is singular: its rank is 63 of 64, so its condition number is infinite");
    of(Q3)->sparsity.zero_columns = 1; /* of a square one, too */
    check_one("rank-deficient", Q3, SC_WARNING);
    CHECK(strstr(message("rank-deficient"), "; 1 column of zeros is the cause") != NULL);
    s->numerical_rank = 60;
    of(Q3)->sparsity.zero_rows = 2;
    check_one("rank-deficient", Q3, SC_WARNING);
    CHECK(strstr(message("rank-deficient"),
                 "; 2 rows of zeros explain 2 of the 4 that are missing") != NULL);
    of(Q3)->sparsity.zero_columns = of(Q3)->sparsity.zero_rows = 0;
    s->numerical_rank = 64;
    s->condition = 64 * 1e5;
    s->condition_p = 2e-5;
    check_one("condition", Q3, SC_INFO);
    s->condition = 64 * 1e8;
    s->condition_p = 2e-8;
    check_one("condition", Q3, SC_WARNING);
    s = &of(UP2)->spectrum;
    s->condition = s->condition_random * 1e5;
    of(Q3)->spectrum.condition_p = 0.5;
    check_one("condition", UP2, SC_WARNING);
    s->method = SC_SPECTRUM_LANCZOS; /* it does not know the smallest */
    s->numerical_rank = 10;
    judge();
    int severity;
    CHECK_U64(count("condition", &severity), 0);
    CHECK_U64(count("rank-deficient", &severity), 0);
    s = &of("model.layers.2.self_attn.k_proj.weight")->spectrum;
    s->numerical_rank = 10;
    check_one("rank-deficient", "model.layers.2.self_attn.k_proj.weight", SC_WARNING);
    of("model.layers.2.self_attn.k_proj.weight")->measured = SC_METHOD_SPECTRAL; /* alone */
    of("model.layers.2.self_attn.k_proj.weight")->basic = (struct sc_basic){0};
    check_one("rank-deficient", "model.layers.2.self_attn.k_proj.weight", SC_WARNING);
    s->numerical_rank = s->total_rank;
    of("model.layers.1.mlp.gate.weight")->spectrum.numerical_rank = 5; /* 512 values are too few */
    judge();
    CHECK_U64(count("rank-deficient", &severity), 0);
    s = &of(DOWN1)->spectrum;
    s->power_law = (struct sc_power_law){.alpha = 1.5, .sigma = 0.05, .in_tail = 60};
    s->shuffled_alpha = 5;
    check_one("over-trained", DOWN1, SC_WARNING);
    s->shuffled_alpha = NAN; /* no baseline, no warning */
    check_one("over-trained", DOWN1, SC_INFO);
    s->shuffled_sigma_max = s->sigma_max * 1.4;
    check_one("correlation-trap", DOWN1, SC_INFO);
    CHECK(strstr(message("correlation-trap"), "a few elements dominate") != NULL);
    of(DOWN1)->basic.mean = s->shuffled_sigma_max / sqrt(64 * 172.);
    check_one("correlation-trap", DOWN1, SC_INFO);
    CHECK(strstr(message("correlation-trap"), "its mean is far from zero") != NULL);
    close_bench();
}

TEST(one_layer_is_not_like_the_others)
{
    state = 6;
    open_llama(8);
    of(Q3)->basic.std *= 3;
    check_one("odd-layer", Q3, SC_INFO);
    of(Q3)->basic.std *= 10;
    check_one("odd-layer", Q3, SC_WARNING);
    fill_normal((size_t)(of(Q3) - b.health), 0.02);
    of(DOWN1)->spectrum.stable_rank = 0.05;
    check_one("odd-layer", DOWN1, SC_WARNING);
    close_bench();
    open_llama(4); /* too few to tell */
    of(Q3)->basic.std *= 30;
    judge();
    int severity;
    CHECK_U64(count("odd-layer", &severity), 0);
    close_bench();
}

TEST(weights_that_grow_with_depth)
{
    char name[80];

    state = 7;
    open_llama(16);
    for (unsigned l = 0; l < 16; l++) {
        snprintf(name, sizeof name, "model.layers.%u.mlp.up_proj.weight", l);
        of(name)->basic.std *= pow(10, 0.09 * l);
    }
    check_one("drift", "model.layers.15.mlp.up_proj.weight", SC_INFO);
    for (unsigned l = 0; l < 16; l++) {
        snprintf(name, sizeof name, "model.layers.%u.mlp.up_proj.weight", l);
        of(name)->basic.std *= pow(10, 0.12 * l);
    }
    check_one("drift", "model.layers.15.mlp.up_proj.weight", SC_WARNING);
    close_bench();
}

TEST(what_became_of_tensors)
{
    size_t q = 0;

    state = 8;
    open_llama(6);
    while (strcmp(b.model->tensors[q].name, Q3) != 0)
        q++;
    b.scanned[q].health = NULL;
    b.scanned[q].why = "the disk is on fire";
    check_one("unreadable", Q3, SC_ERROR);
    b.scanned[q].unsupported = true;
    check_one("undecodable", Q3, SC_INFO);
    b.scanned[q].why = NULL;
    b.scanned[q].health = &b.health[q];
    b.scanned[q].same = 0;
    check_one("duplicate", Q3, SC_WARNING);
    b.scanned[q].tied = true;
    check_one("tied", Q3, SC_INFO);
    close_bench();
}

TEST(the_worst_comes_first)
{
    state = 9;
    open_llama(6);
    of(UP2)->basic.kurtosis = 200;
    of(DOWN1)->basic.kurtosis = 400;
    of(Q3)->basic.nans = 1;
    of(Q3)->basic.kurtosis = 11;
    judge();
    REQUIRE(b.issues.n >= 4);
    for (size_t k = 1; k < b.issues.n; k++) {
        const struct sc_issue *x = &b.issues.p[k - 1], *y = &b.issues.p[k];
        CHECK(x->severity > y->severity || (x->severity == y->severity && x->rule <= y->rule));
    }
    CHECK_STR(sc_rules[b.issues.p[0].rule].id, "nan");
    size_t k = 0;
    while (k < b.issues.n && strcmp(sc_rules[b.issues.p[k].rule].id, "kurtosis") != 0)
        k++;
    REQUIRE(k + 1 < b.issues.n);
    CHECK_STR(b.model->tensors[b.issues.p[k].tensor].name, DOWN1);
    CHECK_STR(b.model->tensors[b.issues.p[k + 1].tensor].name, UP2);
    close_bench();
}

TEST(no_memory)
{
    struct sc_error e = {0};

    state = 10;
    open_llama(6);
    of(Q3)->basic.nans = 1;
    for (uint64_t k = 0;; k++) {
        sc_oom_fail_at(k);
        int code = sc_issues_find(b.model, b.scanned, b.n, &b.issues, &e);
        bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK(code == (reached ? SCRUPLE_EMEMORY : 0));
        sc_issues_clear(&b.issues);
        if (!reached)
            break;
    }
    close_bench();
}
