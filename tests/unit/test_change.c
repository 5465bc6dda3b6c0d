/* SPDX-License-Identifier: Apache-2.0 */
/* What changed between two tensors, against sums in long double. */
#include "analyze/diff.h"
#include "analyze/change_sums.h"
#include "math/math.h"
#include "test.h"

#include <stdlib.h>

static uint64_t state = 1;

static double uniform(void)
{
    state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (double)((z ^ (z >> 31)) >> 40) / (double)(1 << 24) - 0.5;
}

/* Run the pass over a, b of n values in chunks of `chunk`, segments of `segment` chunks. */
static struct sc_change run(const float *a, const float *b, size_t n, size_t chunk, size_t segment)
{
    struct sc_change out;
    struct sc_tensor tensor = {.dtype = "F32", .layout = SC_LAYOUT_PLAIN};
    struct sc_model other = {.tensors = &tensor, .n_tensors = 1};
    struct sc_values v = {.tensor = &tensor, .count = n, .rows = 1, .cols = n, .code_bytes = 4};
    const struct sc_item item = {0, 0, &other, &out};
    const struct sc_pass *p = &sc_pass_change;
    struct sc_error e;
    void *total = NULL, *part = NULL;

    memset(&out, 0, sizeof out);
    CHECK_U64(p->wants(NULL, &item, &v), SC_WANT_CODES | SC_WANT_VALUES);
    CHECK(p->begin(NULL, &item, &v, &total, &e) == 0);
    for (size_t i = 0, k = 0; i < n; i += chunk, k++) {
        const size_t here = SC_MIN(chunk, n - i);
        const struct sc_chunk c = {.view = &v,
                                   .view_b = &v,
                                   .col = i,
                                   .n_rows = 1,
                                   .n_cols = here,
                                   .codes = a + i,
                                   .codes_b = b + i,
                                   .values = a + i,
                                   .values_b = b + i};
        if (k % segment == 0) {
            if (part)
                p->merge(NULL, total, part);
            CHECK(p->part(NULL, total, 0, part, &part, &e) == 0);
        }
        p->chunk(NULL, total, part, &c);
    }
    if (part)
        p->merge(NULL, total, part);
    p->part_free(NULL, part);
    CHECK(p->end(NULL, &item, &v, total, &e) == 0);
    return out;
}

TEST(against_long_double)
{
    enum { N = 10007 };
    static float a[N], b[N];
    long double dd = 0, aa = 0, bb = 0, ab = 0, abs_d = 0, most = 0;
    uint64_t changed = 0, significant = 0, at = 0, flips = 0;

    for (size_t i = 0; i < N; i++) {
        a[i] = (float)uniform();
        b[i] = i % 3 ? a[i] : (float)((double)a[i] + 1e-2 * uniform());
        const long double x = a[i], y = b[i], d = y - x;
        dd += d * d, aa += x * x, bb += y * y, ab += x * y, abs_d += fabsl(d);
        changed += a[i] != b[i];
        significant += fabsl(d) > 0.01L * (fabsl(x) + 1e-10L);
        flips += x * y < 0;
        if (fabsl(d) > most)
            most = fabsl(d), at = i;
    }
    const struct sc_change c = run(a, b, N, 999, 3);
    CHECK_U64(c.values, N);
    CHECK_U64(c.compared, N);
    CHECK_U64(c.changed, changed);
    CHECK_U64(c.significant, significant);
    CHECK_U64(c.sign_flips, flips);
    CHECK_U64(c.max_at, at);
    CHECK_U64(c.identical, 0);
    CHECK_U64(c.bits, N * 32);
    CHECK(c.changed_bits > changed && c.changed_bits < changed * 32);
    CHECK(fabs(c.max_abs - (double)most) == 0);
    CHECK(fabs(c.l2 / (double)sqrtl(dd) - 1) < 1e-14);
    CHECK(fabs(c.mean_abs / (double)(abs_d / N) - 1) < 1e-13);
    CHECK(fabs(c.norm_a / (double)sqrtl(aa) - 1) < 1e-14);
    CHECK(fabs(c.relative_l2 / (double)sqrtl(dd / aa) - 1) < 1e-14);
    CHECK(fabs(c.one_minus_cosine / (double)(1 - ab / sqrtl(aa * bb)) - 1) < 1e-9);
}

TEST(every_level_gives_the_same_bits)
{
    static float a[4099], b[4099];
    struct sc_change_sums want, got;

    for (size_t i = 0; i < SC_COUNT(a); i++) {
        a[i] = (float)(uniform() * pow(2, (int)(i % 40) - 20));
        b[i] = (float)((double)a[i] * (1 + 1e-3 * uniform()));
        if (i / 1024 == 2)
            b[i] = i % 100 ? a[i] : -a[i];
        if (i / 1024 == 1)
            b[i] = a[i];
        if (i % 97 == 0)
            a[i] = 0, b[i] = i % 2 ? -0.0f : 0;
    }
    for (size_t n = 0; n <= SC_COUNT(a); n = n < 40 ? n + 1 : n * 2 + 1)
        for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
            sc_change_sums(a, b, n, SC_CPU_C, &want);
            sc_change_sums(a, b, n, level, &got);
            CHECK_BITS(&got, &want, sizeof got);
        }
    a[77] = NAN;
    b[99] = INFINITY;
    sc_change_sums(a, b, 4099, SC_CPU_C, &want);
    sc_change_sums(a, b, 4099, sc_cpu_level(), &got);
    CHECK_BITS(&got, &want, sizeof got);
    CHECK_U64(got.compared, 4097);
}

TEST(differing_bits_are_counted)
{
    enum { MOST = 20000 };
    uint8_t *a = malloc(MOST), *b = malloc(MOST);

    REQUIRE(a && b);
    for (int kind = 0; kind < 3; kind++)
        for (size_t n = 0; n <= MOST; n = n < 200 ? n + 1 : n * 3 / 2) {
            uint64_t want = 0;
            for (size_t i = 0; i < n; i++) {
                a[i] = (uint8_t)sc_random(7, i);
                b[i] = kind == 0 ? (uint8_t)~a[i] : kind == 1 ? a[i] : (uint8_t)sc_random(8, i);
                for (unsigned k = 0; k < 8; k++)
                    want += ((a[i] ^ b[i]) >> k) & 1;
            }
            for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++)
                CHECK_U64(sc_change_bits(a, b, n, level), want);
        }
    free(a);
    free(b);
}

/* 16-bit codes against the same values as floats. */
static void check_codes(const char *name, uint16_t inf, const uint16_t *a, const uint16_t *b,
                        size_t n)
{
    const sc_codec_id codec = sc_codec_find(sc_strz(name));
    float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
    struct sc_change_sums want, got;

    sc_decoder(codec, SC_CPU_C)((const uint8_t *)a, x, n);
    sc_decoder(codec, SC_CPU_C)((const uint8_t *)b, y, n);
    sc_change_sums(x, y, n, SC_CPU_C, &want);
    want.bits = sc_change_bits((const uint8_t *)a, (const uint8_t *)b, 2 * n, SC_CPU_C);
    const double most = SC_MAX(want.max_d, -want.min_d);
    for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
        const struct sc_change_half half = {sc_decoder(codec, level), inf};
        sc_change_sums16(&half, (const uint8_t *)a, (const uint8_t *)b, n, level, &got);
        CHECK_BITS(&got, &want, sizeof got);
        size_t first = 0;
        while (first < n && fabs((double)y[first] - (double)x[first]) != most)
            first++;
        CHECK_U64(sc_change_find(x, y, n, level, most), first);
        CHECK_U64(sc_change_find16(&half, (const uint8_t *)a, (const uint8_t *)b, n, level, most),
                  first);
        CHECK_U64(sc_change_find(x, y, n, level, -1), n);
    }
    free(x);
    free(y);
}

TEST(codes_give_the_same_bits_as_values)
{
    static uint16_t a[5001], b[5001];

    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < SC_COUNT(a); i++) {
            /* all but the highest exponent; zeros of both signs */
            a[i] = (uint16_t)((uniform() + 0.5) * 0x7bff) | (i % 3 ? 0 : 0x8000);
            if (i % 50 == 0)
                a[i] &= 0x8000;
            b[i] = i / 1024 % 2 ? a[i] : (uint16_t)(a[i] ^ (i % 7 == 0 ? 0x8001 : i % 3));
            if (kind == 2 && i % 999 == 5)
                b[i] = 0x7fff;
            if (kind == 1 && i > 3000)
                b[i] = a[i];
        }
        for (size_t n = 1; n <= SC_COUNT(a); n = n < 70 ? n + 1 : n * 2 + 1) {
            check_codes("BF16", 0x7f80, a, b, n);
            check_codes("F16", 0x7c00, a, b, n);
        }
        check_codes("BF16", 0x7f80, a, b, SC_COUNT(a));
    }
}

/* Weights and small changes of them, whose differences are added up as floats; pairs beside the
 * limit of what is significant, of every 16-bit float; and others, of which few sums are floats. */
static double value_of(int code, bool bf16)
{
    return (double)(bf16 ? sc_bf16_value((uint16_t)code) : sc_f16_value((uint16_t)code));
}

/* `steps` codes from the one at or below |x|, with the sign of x. */
static uint16_t neighbour(double x, int steps, bool bf16)
{
    const int most = bf16 ? 0x7f7f : 0x7bff;
    int low = 0, high = most + 1;

    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (value_of(middle, bf16) <= fabs(x))
            low = middle;
        else
            high = middle;
    }
    low = SC_MIN(SC_MAX(low + steps, 0), most);
    return (uint16_t)(low | (x < 0 ? 0x8000 : 0));
}

TEST(differences_as_floats_are_those_of_doubles)
{
    enum { N = 70000, BESIDE = 10 };
    uint16_t *a = malloc(N * BESIDE * sizeof *a), *b = malloc(N * BESIDE * sizeof *b);

    REQUIRE(a && b);
    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < N; i++) {
            const double w = (uniform() + uniform() + uniform()) * 0.05;
            const double d = kind == 3 ? uniform() : uniform() * 1e-3 * (kind == 1);
            a[i] = kind == 2 ? (uint16_t)(0x0001 + i % 0x7f00) : neighbour(w, 0, true);
            b[i] = neighbour(value_of(a[i], true) + d, kind == 0 ? (int)(i % 3) : 0, true);
        }
        check_codes("BF16", 0x7f80, a, b, N);
        check_codes("BF16", 0x7f80, a, b, N / 7);
    }
    for (int bf16 = 0; bf16 < 2; bf16++) {
        size_t n = 0;
        for (int code = 0; code < (bf16 ? 0x7f80 : 0x7c00); code++)
            for (int k = 0; k < BESIDE; k++) {
                const double x = value_of(code, bf16);
                const double limit = 0.01 * (x + 1e-10);
                a[n] = (uint16_t)(code | (n % 2 ? 0x8000 : 0));
                const double beside = k < BESIDE / 2 ? x + limit : x - limit;
                b[n] = neighbour(n % 2 ? -beside : beside, k % (BESIDE / 2) - 2, bf16);
                n++;
            }
        check_codes(bf16 ? "BF16" : "F16", bf16 ? 0x7f80 : 0x7c00, a, b, n);
    }
    free(a);
    free(b);
}

#if SC_HAVE_X86
TEST(sums_of_floats_that_may_be_rounded_are_not_taken)
{
    static float a[64], b[64];
    struct sc_change_lanes want, got;

    if (sc_cpu_level() < SC_CPU_AVX512)
        return;
    for (size_t i = 0; i < 64; i++)
        a[i] = 1, b[i] = i % 2 ? 1.5f : 0.25f;
    memset(&want, 0, sizeof want);
    got = want;
    sc_change_lanes_avx512(a, b, 64, NULL, &want);
    CHECK(sc_change_floats_avx512(a, b, 64, 1.75f, NULL, &got)); /* two of 0.75 in a lane */
    CHECK_BITS(&got, &want, sizeof got);
    CHECK(!sc_change_floats_avx512(a, b, 64, 1.5f, NULL, &got));
    CHECK_BITS(&got, &want, sizeof got);
}
#endif

TEST(identical)
{
    const float a[] = {1, -0.0f, NAN, INFINITY, 3}, b[] = {1, 0.0f, NAN, INFINITY, 3};
    const struct sc_change c = run(a, b, 5, 2, 1);

    CHECK_U64(c.identical, 1);
    CHECK_U64(c.changed, 0);
    CHECK_U64(c.changed_bits, 1); /* the sign of the zero */
    CHECK_U64(c.compared, 3);
    CHECK_U64(c.nonfinite_a, 2);
    CHECK_U64(c.nonfinite_b, 2);
    CHECK(c.l2 == 0 && c.relative_l2 == 0 && c.max_abs == 0);
    CHECK(c.cosine == 1 && c.one_minus_cosine == 0);
    CHECK_U64(c.max_at, UINT64_MAX);
}

TEST(not_finite_on_one_side)
{
    const float a[] = {1, NAN, -INFINITY, 4}, b[] = {1, 2, INFINITY, 4.5f};
    const struct sc_change c = run(a, b, 4, 4, 1);

    CHECK_U64(c.changed, 3);
    CHECK_U64(c.compared, 2);
    CHECK_U64(c.nonfinite_a, 2);
    CHECK_U64(c.nonfinite_b, 1);
    CHECK_NEAR(c.max_abs, 0.5, 0);
    CHECK_U64(c.max_at, 3);
    CHECK_NEAR(c.min_diff, 0, 0);
    CHECK_NEAR(c.max_diff, 0.5, 0);
}

TEST(nothing_to_compare)
{
    const float a[] = {NAN}, b[] = {1};
    struct sc_change c = run(a, b, 1, 1, 1);

    CHECK(isnan(c.l2) && isnan(c.cosine) && isnan(c.max_abs) && isnan(c.relative_l2));
    CHECK_U64(c.changed, 1);
    c = run(a, b, 0, 1, 1);
    CHECK(isnan(c.l2) && isnan(c.changed_percent));
    CHECK_U64(c.identical, 1);
}

TEST(zeros)
{
    const float zero[] = {0, 0, 0}, one[] = {1, 1, 1};
    struct sc_change c = run(zero, one, 3, 3, 1);

    CHECK(isinf(c.relative_l2) && isinf(c.norm_ratio) && isnan(c.cosine));
    c = run(one, zero, 3, 3, 1);
    CHECK_NEAR(c.relative_l2, 1, 1e-15);
    CHECK_NEAR(c.norm_ratio, 0, 0);
    c = run(zero, zero, 3, 3, 1);
    CHECK_NEAR(c.relative_l2, 0, 0);
}

/* WeightScope calls a layer unchanged that kept its mean, spread and norm; we do not. */
TEST(another_draw_of_the_same_distribution)
{
    enum { N = 4096 };
    static float a[N], b[N];

    for (size_t i = 0; i < N; i++)
        a[i] = b[N - 1 - i] = (float)uniform();
    const struct sc_change c = run(a, b, N, 512, 2);
    CHECK(fabs(c.change_score) < 1e-10);
    CHECK(c.relative_l2 > 1.3 && c.relative_l2 < 1.5);
    CHECK(fabs(c.cosine) < 0.1);
}

/* Places on the line of all numbers of a type, as the definition says. */
static int64_t place(uint32_t code, unsigned bytes)
{
    const uint32_t sign = UINT32_C(1) << (8 * bytes - 1);
    return code & sign ? -(int64_t)(code & (sign - 1)) : (int64_t)(code & (sign - 1));
}

TEST(distances_are_counted_by_powers_of_two_at_every_level)
{
    static const struct {
        uint32_t inf;
        unsigned bytes;
    } types[] = {{0x7f80, 2}, {0x7c00, 2}, {0x7f800000, 4}, {0x7f, 1}, {0x7c, 1}};
    enum { MOST = 2500 };
    static uint8_t a[4 * MOST + 1], b[4 * MOST + 1];

    for (size_t round = 0; round < 60; round++) {
        const unsigned bytes = types[round % 5].bytes;
        const uint32_t inf = types[round % 5].inf, sign = UINT32_C(1) << (8 * bytes - 1);
        const size_t n = round < 5 ? 0 : (size_t)((uniform() + 0.5) * MOST), at = round & 1;
        struct sc_change_ulps want = {{0}, 0};
        for (size_t i = 0; i < n; i++) {
            const uint32_t mask = sign | (sign - 1);
            uint32_t u = (uint32_t)((uniform() + 0.5) * 4294967295.0) & mask;
            uint32_t v = u ^ (uint32_t)((uniform() + 0.5) * 4294967295.0) % (1U << round % 8);
            v = i % 50 == 7 ? v ^ sign : i % 97 == 3 ? ~v & mask : v;
            for (unsigned k = 0; k < bytes; k++) {
                a[at + i * bytes + k] = (uint8_t)(u >> 8 * k);
                b[at + i * bytes + k] = (uint8_t)(v >> 8 * k);
            }
            if ((u & (sign - 1)) >= inf || (v & (sign - 1)) >= inf)
                continue;
            const int64_t d = place(v, bytes) - place(u, bytes);
            const uint64_t far = (uint64_t)(d < 0 ? -d : d);
            unsigned bin = 0;
            while (bin + 1 < SC_ULP_BINS && far >= UINT64_C(1) << bin)
                bin++;
            want.bin[bin]++;
            want.most = SC_MAX(want.most, far);
        }
        for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
            struct sc_change_ulps got = {{0}, 0};
            const size_t half = n / 2;
            sc_change_ulps(a + at, b + at, half, bytes, inf, level, &got);
            sc_change_ulps(a + at + half * bytes, b + at + half * bytes, n - half, bytes, inf,
                           level, &got);
            CHECK(memcmp(&got, &want, sizeof got) == 0);
        }
    }
}
