/* SPDX-License-Identifier: Apache-2.0 */
/* Similarity of experts: the same bits however much memory and however many threads there are;
 * being interrupted; having no memory. Numbers are held against numpy in tests/py. */
#include "analyze/similarity.h"
#include "oom.h"

#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "st_maker.h"

enum { EXPERTS = 5, HIDDEN = 310, NEURONS = 130 };

static float next(uint64_t *at)
{
    double sum = -2;

    for (int i = 0; i < 4; i++)
        sum += (double)(sc_random(7, (*at)++) >> 40) * 0x1p-24;
    return (float)sum;
}

/* Expert 3 is expert 1 with its neurons in the opposite order, half as large. */
static struct blob make(size_t hidden, size_t neurons)
{
    static const char *const parts[] = {"gate_proj", "up_proj", "down_proj"};
    struct st_maker m = {0};
    const size_t n = hidden * neurons;
    float *w = sc_alloc(EXPERTS * n * sizeof *w);
    uint64_t at = 0;
    char name[96], shape[32];

    for (size_t p = 0; p < 3; p++) {
        const bool down = p == 2;
        const size_t rows = down ? hidden : neurons, cols = down ? neurons : hidden;
        for (size_t i = 0; i < EXPERTS * n; i++)
            w[i] = next(&at);
        for (size_t i = 0; i < n; i++) {
            const size_t r = i / cols, c = i % cols;
            w[3 * n + i] =
                .5F * w[n + (down ? r * cols + cols - 1 - c : (rows - 1 - r) * cols + c)];
        }
        snprintf(shape, sizeof shape, "[%zu,%zu]", rows, cols);
        for (size_t e = 0; e < EXPERTS; e++) {
            snprintf(name, sizeof name, "model.layers.0.mlp.experts.%zu.%s.weight", e, parts[p]);
            st_add(&m, name, "F32", shape, w + e * n, n * sizeof *w);
        }
    }
    free(w);
    return st_finish(&m);
}

static int measure(const struct sc_model *m, struct sc_similarity_options o, unsigned threads,
                   struct sc_similarity *out)
{
    struct sc_error e = {0};
    int code = sc_pool_new(threads, &o.pool, &e);

    o.threshold = (double)NAN;
    if (code == 0)
        code = sc_similarity_measure(m, &o, out, &e);
    sc_pool_free(o.pool);
    return code;
}

static bool same(const struct sc_similarity *a, const struct sc_similarity *b)
{
    for (unsigned p = 0; p < SC_SIMILARITY_PARTS; p++) {
        const struct sc_similarity_matrix *x = &a->layers[0].part[p], *y = &b->layers[0].part[p];
        if (x->method != y->method)
            return false;
        if (x->method != SC_SIMILARITY_NONE &&
            memcmp(x->score, y->score, EXPERTS * EXPERTS * sizeof *x->score) != 0)
            return false;
        if (x->base && memcmp(x->base, y->base, EXPERTS * sizeof *x->base) != 0)
            return false;
    }
    return true;
}

TEST(memory_and_threads_do_not_matter)
{
    struct blob b = make(HIDDEN, NEURONS);
    struct sc_model *m = open_kept(b);
    struct sc_similarity whole, other;

    CHECK(measure(m, (struct sc_similarity_options){.memory = 1 << 30}, 1, &whole) == 0);
    CHECK(whole.layers[0].part[SC_EXPERT_GATE].method == SC_SIMILARITY_GRAMS);
    CHECK(whole.n_pairs == 1 && whole.pairs[0].a == 1 && whole.pairs[0].b == 3);
    CHECK(whole.pairs[0].kind == SC_SIMILARITY_SHUFFLED && whole.pairs[0].matched == NEURONS);
    CHECK(fabs(whole.pairs[0].scale - .5) < 1e-6);
    /* a tile of lines of five experts is 250 KB, a group of products 4.6 MB: one stripe, two, ...
     */
    size_t least = 0;
    for (uint64_t memory = 6400000; memory > 5000000; memory -= 200000) {
        const int code = measure(m, (struct sc_similarity_options){.memory = memory}, 3, &other);
        CHECK(code == 0 || (code == SCRUPLE_ELIMIT && memory < 5900000));
        CHECK(code != 0 || same(&whole, &other));
        least += code == 0;
        sc_similarity_clear(&other);
    }
    CHECK(least > 1 && least < 6);
    CHECK(measure(m, (struct sc_similarity_options){.memory = 1 << 30}, 8, &other) == 0);
    CHECK(same(&whole, &other));
    sc_similarity_clear(&other);
    sc_similarity_clear(&whole);
    sc_model_close(m);
    free(b.p);
}

TEST(sketches_and_the_original_do_not_know_threads)
{
    struct blob b = make(96, 50);
    struct sc_model *m = open_kept(b);
    const struct sc_similarity_options ways[] = {{.probes = 20}, {.original = true, .rank = 40}};

    for (size_t i = 0; i < SC_COUNT(ways); i++) {
        struct sc_similarity one, many;
        CHECK(measure(m, ways[i], 1, &one) == 0);
        CHECK(measure(m, ways[i], 7, &many) == 0);
        CHECK(same(&one, &many));
        CHECK(one.layers[0].part[0].error[0] > 0 || i == 1);
        sc_similarity_clear(&one);
        sc_similarity_clear(&many);
    }
    sc_model_close(m);
    free(b.p);
}

TEST(a_limit_of_work_asks_for_a_sketch)
{
    struct blob b = make(96, 50);
    struct sc_model *m = open_kept(b);
    struct sc_similarity s;

    CHECK(measure(m, (struct sc_similarity_options){.limit = 1000}, 1, &s) == 0);
    CHECK(s.layers[0].part[0].method == SC_SIMILARITY_SKETCH);
    sc_similarity_clear(&s);
    const struct sc_similarity_options exact = {.limit = 1000, .probes = SC_SIMILARITY_EXACT};
    CHECK(measure(m, exact, 1, &s) == 0);
    CHECK(s.layers[0].part[0].method == SC_SIMILARITY_GRAMS);
    sc_similarity_clear(&s);
    sc_model_close(m);
    free(b.p);
}

static void raise_cancel(void *ctx, uint64_t done, uint64_t total)
{
    if (done > total / 3)
        atomic_store((_Atomic int *)ctx, 1);
}

TEST(interrupted)
{
    struct blob b = make(HIDDEN, NEURONS);
    struct sc_model *m = open_kept(b);

    for (int way = 0; way < 3; way++) {
        _Atomic int cancel = 0;
        struct sc_similarity s;
        const struct sc_similarity_options o = {.cancel = &cancel,
                                                .progress = raise_cancel,
                                                .ctx = &cancel,
                                                .probes = way == 1 ? 16 : 0,
                                                .original = way == 2};
        CHECK(measure(m, o, 2, &s) == SCRUPLE_EINTERRUPTED);
        sc_similarity_clear(&s);
    }
    sc_model_close(m);
    free(b.p);
}

TEST(without_memory)
{
    struct blob b = make(40, 20);
    struct sc_model *m = open_kept(b);

    for (int way = 0; way < 3; way++)
        for (uint64_t k = 0;; k += 1 + k / 12) {
            struct sc_similarity s = {0};
            const struct sc_similarity_options o = {.probes = way == 1 ? 16 : 0,
                                                    .original = way == 2};
            sc_oom_fail_at(k);
            const int code = measure(m, o, 1, &s);
            const bool reached = sc_oom_failed() > 0;
            sc_oom_off();
            sc_similarity_clear(&s);
            if (!reached) {
                CHECK(code == 0);
                break;
            }
            CHECK(code == SCRUPLE_EMEMORY || code == 0); /* 0: a reason that nobody has to know */
        }
    sc_model_close(m);
    free(b.p);
}
