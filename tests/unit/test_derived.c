/* SPDX-License-Identifier: Apache-2.0 */
/* Views that are computed from others, the singular values of a product, and names of adapters:
 * against sums in double that are written out here. */
#include "model/adapter.h"
#include "stream/stream.h"

#include "test.h"

#include <stdlib.h>

#include "st_maker.h"

enum { M = 13, N = 700, R = 3 };

static float value_of(size_t i)
{
    return (float)((double)((i * 2654435761u) % 2001) / 1000.0 - 1.0);
}

/* up (M x R), down (R x N), a and b (M x N). */
static struct blob make_blob(void)
{
    static float x[M * N], y[M * N], up[M * R], down[R * N];
    struct st_maker m = {0};
    for (size_t i = 0; i < M * N; i++) {
        x[i] = value_of(i);
        y[i] = value_of(7 * i + 3);
    }
    for (size_t i = 0; i < M * R; i++)
        up[i] = value_of(11 * i + 1);
    for (size_t i = 0; i < R * N; i++)
        down[i] = value_of(5 * i + 2);
    st_add(&m, "a", "F32", "[13,700]", x, sizeof x);
    st_add(&m, "b", "F32", "[13,700]", y, sizeof y);
    st_add(&m, "down", "F32", "[3,700]", down, sizeof down);
    st_add(&m, "up", "F32", "[13,3]", up, sizeof up);
    return st_finish(&m);
}

static struct sc_values *open_named(const struct sc_model *m, const char *name)
{
    struct sc_values *v = NULL;
    struct sc_error e = {0};
    CHECK_ERR(0, sc_values_open(m, tensor_named(m, name), &v, &e));
    return v;
}

static struct sc_low_rank low_rank_of(const struct sc_model *m, bool transposed)
{
    return (struct sc_low_rank){
        .model = m,
        .tensor = &m->tensors[tensor_named(m, "a")],
        .up = tensor_named(m, "up"),
        .down = tensor_named(m, "down"),
        .rows = transposed ? N : M,
        .cols = transposed ? M : N,
        .rank = R,
        .scale = 0.75,
        .transposed = transposed,
        .memory = 1 << 20,
    };
}

static double product_at(size_t i, size_t j)
{
    double sum = 0;
    for (size_t k = 0; k < R; k++)
        sum += (double)value_of(11 * (i * R + k) + 1) * (double)value_of(5 * (k * N + j) + 2);
    return 0.75 * sum;
}

TEST(a_difference_is_b_minus_a)
{
    struct blob blob = make_blob();
    struct sc_model *m = open_kept(blob);
    struct sc_values *d = NULL;
    static float f[M * N];
    struct sc_error e = {0};
    CHECK_ERR(0, sc_values_open_difference(open_named(m, "a"), open_named(m, "b"), &d, &e));
    REQUIRE(d);
    CHECK_U64(d->rows, M);
    CHECK_U64(d->cols, N);
    CHECK_U64(d->code_bytes, 0);
    CHECK(!d->is_double);
    CHECK_ERR(0, sc_values_read(d, 0, M * N, f, &e));
    for (size_t i = 0; i < M * N; i++)
        CHECK(f[i] == (float)((double)value_of(7 * i + 3) - (double)value_of(i)));
    /* At any alignment, and as a rectangle. */
    float some[5], runs[2 * 3];
    CHECK_ERR(0, sc_values_read(d, 4093, 5, some, &e));
    CHECK_BITS(some, f + 4093, sizeof some);
    CHECK_ERR(0, sc_values_read_runs(d, 10, N, 2, 3, runs, &e));
    CHECK_BITS(runs, f + 10, 3 * sizeof *f);
    CHECK_BITS(runs + 3, f + 10 + N, 3 * sizeof *f);
    CHECK_ERR(SCRUPLE_EUSAGE, sc_values_read(d, M * N - 1, 2, some, &e));
    sc_values_close(d);
    CHECK_ERR(SCRUPLE_EFORMAT,
              sc_values_open_difference(open_named(m, "a"), open_named(m, "up"), &d, &e));
    CHECK(d == NULL);
    sc_model_close(m);
    free(blob.p);
}

TEST(a_low_rank_update_is_the_product)
{
    struct blob blob = make_blob();
    struct sc_model *m = open_kept(blob);
    struct sc_error e = {0};
    static double got[M * N];
    for (int turned = 0; turned < 2; turned++) {
        struct sc_low_rank l = low_rank_of(m, turned);
        struct sc_values *v = NULL;
        CHECK_ERR(0, sc_values_open_low_rank(&l, &v, &e));
        REQUIRE(v);
        CHECK_ERR(0, sc_values_read64(v, 0, M * N, got, &e));
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++)
                CHECK_NEAR(got[turned ? j * M + i : i * N + j], product_at(i, j), 1e-15);
        /* Whatever rows it is told to have, the values stay in their order. */
        float f[3];
        v->cols = 1;
        v->rows = M * N;
        CHECK_ERR(0, sc_values_read(v, 699, 3, f, &e));
        for (size_t i = 0; i < 3; i++)
            CHECK(f[i] == (float)got[699 + i]);
        sc_values_close(v);
    }
    struct sc_low_rank l = low_rank_of(m, false);
    struct sc_values *v = NULL;
    l.memory = 100;
    CHECK_ERR(SCRUPLE_ELIMIT, sc_values_open_low_rank(&l, &v, &e));
    l = low_rank_of(m, false);
    l.rank = 4;
    CHECK_ERR(SCRUPLE_EFORMAT, sc_values_open_low_rank(&l, &v, &e));
    l.rank = 0;
    CHECK_ERR(SCRUPLE_EFORMAT, sc_values_open_low_rank(&l, &v, &e));
    CHECK(v == NULL);
    sc_model_close(m);
    free(blob.p);
}

TEST(a_sum_keeps_a_small_update)
{
    struct blob blob = make_blob();
    struct sc_model *m = open_kept(blob);
    struct sc_error e = {0};
    struct sc_low_rank l = low_rank_of(m, false);
    struct sc_values *update = NULL, *sum = NULL, *zeros = NULL;
    double got[4];
    l.scale = 1e-12;
    CHECK_ERR(0, sc_values_open_low_rank(&l, &update, &e));
    CHECK_ERR(0, sc_values_open_zeros(update, &zeros, &e));
    CHECK_ERR(0, sc_values_read64(zeros, 5, 4, got, &e));
    CHECK(got[0] == 0 && got[3] == 0);
    sc_values_close(zeros);
    CHECK_ERR(0, sc_values_open_sum(open_named(m, "a"), update, &sum, &e));
    REQUIRE(sum);
    CHECK(sum->is_double);
    CHECK_ERR(0, sc_values_read64(sum, N, 4, got, &e));
    for (size_t i = 0; i < 4; i++)
        CHECK_NEAR(got[i] - (double)value_of(N + i), product_at(1, i) / 0.75 * 1e-12, 1e-15);
    sc_values_close(sum);
    sc_model_close(m);
    free(blob.p);
}

TEST(identities_tell_views_apart)
{
    struct blob blob = make_blob();
    struct sc_model *m = open_kept(blob);
    struct sc_values *x = NULL, *y = NULL;
    struct sc_error e = {0};
    struct sc_buf one = {0}, two = {0};
    CHECK_ERR(0, sc_values_open_difference(open_named(m, "a"), open_named(m, "b"), &x, &e));
    CHECK_ERR(0, sc_values_open_difference(open_named(m, "b"), open_named(m, "a"), &y, &e));
    const bool named = sc_values_identity(x, &one);
    CHECK(named == sc_values_identity(y, &two));
    CHECK(!named || one.n != two.n || memcmp(one.p, two.p, one.n) != 0);
    sc_values_close(x);
    sc_values_close(y);
    sc_buf_clear(&one);
    sc_buf_clear(&two);
    sc_model_close(m);
    free(blob.p);
}

/* ---------------------------------------------------------------------------------- product --- */
/* diag(s) between two reflections I - 2 v v^T / v^T v, which leave singular values alone. */
TEST(singular_values_of_a_product_are_those_that_were_planted)
{
    enum { K = 4 };
    static const double s[K] = {5, 0.5, 1e-3, 1e-7};
    float up[K * K], down[K * K];
    double v[K] = {1, 2, -1, 0.5}, vv = 6.25;
    struct sc_svd svd = {0};
    struct sc_error e = {0};
    for (size_t i = 0; i < K; i++)
        for (size_t j = 0; j < K; j++) {
            up[i * K + j] = (float)((i == j) - 2 * v[i] * v[j] / vv) * (float)s[j];
            down[i * K + j] = (float)((i == j) - 2 * v[i] * v[j] / vv);
        }
    CHECK_ERR(0, sc_svd_product(up, down, K, K, K, -2, NULL, &svd, &e));
    CHECK_U64(svd.n, K);
    for (size_t i = 0; i < K; i++)
        CHECK_NEAR(svd.s[i] / (2 * s[i]), 1, 1e-6);
    sc_svd_clear(&svd);
    down[3] = NAN;
    CHECK_ERR(SCRUPLE_EFORMAT, sc_svd_product(up, down, K, K, K, 1, NULL, &svd, &e));
    memset(up, 0, sizeof up);
    down[3] = 1;
    CHECK_ERR(0, sc_svd_product(up, down, 2, 8, 2, 1, NULL, &svd, &e)); /* rank above both sides */
    CHECK_U64(svd.n, 2);
    CHECK(svd.s[0] == 0 && svd.frobenius == 0);
    sc_svd_clear(&svd);
}

/* ---------------------------------------------------------------------------------- adapters ---
 */
TEST(tensors_of_an_adapter_find_each_other)
{
    float x[64] = {0};
    struct st_maker m = {0};
    struct sc_adapter *a = NULL;
    struct sc_error e = {0};
    st_add(&m, "base_model.model.h.q.lora_A.default.weight", "F32", "[2,8]", x, 64);
    st_add(&m, "base_model.model.h.q.lora_B.default.weight", "F32", "[4,2]", x, 32);
    st_add(&m, "base_model.model.e.lora_embedding_A", "F32", "[2,6]", x, 48);
    st_add(&m, "base_model.model.e.lora_embedding_B", "F32", "[3,2]", x, 24);
    st_add(&m, "base_model.model.head.modules_to_save.default.weight", "F32", "[3]", x, 12);
    st_add(&m, "base_model.model.lost.lora_A.weight", "F32", "[2,8]", x, 64);
    struct blob blob = st_finish(&m);
    struct sc_model *model = open_kept(blob);
    CHECK_ERR(1, sc_adapter_open(model, &a, &e));
    REQUIRE(a);
    CHECK_U64(a->n_updates, 2);
    CHECK_U64(a->n_whole, 1);
    CHECK_U64(a->n_left, 1);
    CHECK_STR(a->target.tensors[0].name, "e.weight");
    CHECK(a->updates[0].transposed);
    CHECK_U64(a->target.tensors[0].shape[0], 6);
    CHECK_U64(a->target.tensors[0].shape[1], 3);
    CHECK_STR(a->target.tensors[1].name, "h.q.weight");
    CHECK_U64(a->updates[1].rank, 2);
    CHECK_NEAR(a->updates[1].scale, 1, 0); /* nobody says: alpha is the rank */
    CHECK_STR(a->target.tensors[2].name, "head.weight");
    sc_adapter_free(a);
    sc_model_close(model);
    free(blob.p);
    struct blob plain = make_blob();
    model = open_kept(plain);
    CHECK_ERR(0, sc_adapter_open(model, &a, &e));
    CHECK(a == NULL);
    sc_model_close(model);
    free(plain.p);
}

/* ------------------------------------------------------------------------------- arranged --- */
static struct sc_values *arranged(const struct sc_model *m, struct sc_arrangement how)
{
    struct sc_values *v = NULL;
    struct sc_error e = {0};
    CHECK_ERR(0, sc_values_open_arranged(open_named(m, "a"), &how, &v, &e));
    return v;
}

/* All of it at once, in pieces of every length, and as doubles. */
static void check_values(struct sc_values *v, const float *want, size_t n)
{
    static float f[M * N];
    static double d[M * N];
    struct sc_error e = {0};
    CHECK_U64(v->count, n);
    CHECK_U64(v->rows * v->cols, n);
    CHECK_ERR(0, sc_values_read(v, 0, n, f, &e));
    CHECK_BITS(f, want, n * sizeof *f);
    for (size_t step = 1; step < n; step = step * 3 + 1)
        for (size_t at = 0; at < n; at += step) {
            const size_t take = SC_MIN(step, n - at);
            CHECK_ERR(0, sc_values_read(v, at, take, f, &e));
            CHECK_BITS(f, want + at, take * sizeof *f);
        }
    CHECK_ERR(0, sc_values_read64(v, 0, n, d, &e));
    for (size_t i = 0; i < n; i++)
        CHECK(d[i] == (double)want[i]);
    sc_values_close(v);
}

/* Each value is that of the stored element that stands there, and `more`. */
static void check_places(const struct sc_arrangement *how, const float *want, size_t n, float more)
{
    for (size_t i = 0; i < n; i++)
        CHECK(value_of((size_t)sc_arranged_at(how, i)) + more == want[i]);
}

TEST(rows_and_columns_in_another_order)
{
    struct blob blob = make_blob();
    struct sc_model *m = open_kept(blob);
    static float want[M * N];
    size_t n = 0;

    /* rows 1, 4, 7, 10, 2, 5, 8, 11 of 13 */
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < 4; k++)
            for (size_t c = 0; c < N; c++)
                want[n++] = value_of((1 + i + 3 * k) * N + c);
    const struct sc_arrange_step rows = {
        .kind = SC_STEP_ROWS, .cols = N, .first = 1, .n = {1, 2, 4}, .stride = {0, 1, 3}};
    check_values(arranged(m, (struct sc_arrangement){{rows}, 1}), want, n);
    check_places(&(struct sc_arrangement){{rows}, 1}, want, n, 0);

    for (size_t c = 0; c < N; c++)
        for (size_t r = 0; r < M; r++)
            want[c * M + r] = value_of(r * N + c);
    const struct sc_arrange_step turn = {.kind = SC_STEP_TURN, .cols = N, .height = M};
    check_values(arranged(m, (struct sc_arrangement){{turn}, 1}), want, M * N);
    check_places(&(struct sc_arrangement){{turn}, 1}, want, M * N, 0);

    /* every second of its columns, which are rows then, and 1 more */
    n = 0;
    for (size_t c = 1; c < N; c += 2)
        for (size_t r = 0; r < M; r++)
            want[n++] = value_of(r * N + c) + 1.0f;
    const struct sc_arrange_step some = {
        .kind = SC_STEP_ROWS, .cols = M, .first = 1, .n = {1, 1, N / 2}, .stride = {0, 0, 2}};
    check_values(arranged(m, (struct sc_arrangement){{turn, some, {.kind = SC_STEP_ADD}}, 3}), want,
                 n);
    check_places(&(struct sc_arrangement){{turn, some, {.kind = SC_STEP_ADD}}, 3}, want, n, 1);
    CHECK_U64(sc_arranged_at(NULL, 17), 17);
    sc_model_close(m);
    free(blob.p);
}

TEST(an_order_that_does_not_fit)
{
    struct blob blob = make_blob();
    struct sc_model *m = open_kept(blob);
    const struct sc_arrange_step bad[] = {
        {.kind = SC_STEP_ROWS, .cols = N, .n = {1, 1, M + 1}, .stride = {0, 0, 1}},
        {.kind = SC_STEP_ROWS, .cols = N, .first = M, .n = {1, 1, 1}},
        {.kind = SC_STEP_ROWS, .cols = N + 1, .n = {1, 1, 1}},
        {.kind = SC_STEP_ROWS, .cols = 0, .n = {1, 1, 1}},
        {.kind = SC_STEP_ROWS, .cols = N, .n = {1, 0, 1}},
        {.kind = SC_STEP_ROWS, .cols = N, .n = {2, 2, 2}, .stride = {UINT64_MAX, 1, 1}},
        {.kind = SC_STEP_TURN, .cols = N, .height = M + 1},
        {.kind = SC_STEP_TURN, .cols = N, .height = 0},
        {.kind = SC_STEP_TURN, .cols = UINT64_MAX, .height = 2},
    };
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        struct sc_values *v = NULL;
        struct sc_error e = {0};
        const struct sc_arrangement how = {{bad[i]}, 1};
        CHECK_ERR(SCRUPLE_EFORMAT, sc_values_open_arranged(open_named(m, "a"), &how, &v, &e));
        CHECK(v == NULL);
    }
    sc_model_close(m);
    free(blob.p);
}
