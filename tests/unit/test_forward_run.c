/* SPDX-License-Identifier: Apache-2.0 */
/* A pass reads each weight once, whatever the number of variants; a model that does not fit the
 * memory gives the same bits as one that is mapped. */
#include <stdlib.h>
#include <unistd.h>

#include "forward/forward.h"
#include "support.h"
#include "test.h"

#include "st_maker.h"

enum { HIDDEN = 96, WIDE = 200, LAYERS = 3, HEADS = 4, VOCAB = 300, TOKENS = 20, VARIANTS = 64 };

static const char config[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":96,"
    "\"intermediate_size\":200,\"num_hidden_layers\":3,\"num_attention_heads\":4,"
    "\"num_key_value_heads\":2,\"vocab_size\":300,\"rms_norm_eps\":1e-5,\"rope_theta\":10000.0,"
    "\"tie_word_embeddings\":false}";

static struct world {
    char folder[64];
    struct sc_model *m;
    struct sc_forward *f;
    struct sc_pool *pool;
    uint32_t down; /* the tensor that variants edit */
} world;

static void add(struct st_maker *maker, const char *name, size_t rows, size_t cols)
{
    uint16_t *p = malloc(rows * cols * sizeof *p);
    char shape[48];

    for (size_t i = 0; i < rows * cols; i++) {
        const uint64_t v = sc_random(rows * 31 + cols, i);
        const float x = rows == 1 ? 1 : ((float)(v >> 40) / (1 << 23) - 1) * 0.2F;
        p[i] = (uint16_t)(sc_bits_of(x) >> 16);
    }
    if (rows == 1)
        snprintf(shape, sizeof shape, "[%zu]", cols);
    else
        snprintf(shape, sizeof shape, "[%zu,%zu]", rows, cols);
    st_add(maker, name, "BF16", shape, p, rows * cols * sizeof *p);
    free(p);
}

static void put_file(const char *folder, const char *name, const void *p, size_t n)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(p, 1, n, file) != n || fclose(file) != 0)
        support_fail("cannot write a file of the test");
}

static void make_model(struct world *w)
{
    static const struct {
        const char *name;
        size_t rows, cols;
    } parts[] = {{"input_layernorm", 1, HIDDEN},           {"self_attn.q_proj", HIDDEN, HIDDEN},
                 {"self_attn.k_proj", HIDDEN / 2, HIDDEN}, {"self_attn.v_proj", HIDDEN / 2, HIDDEN},
                 {"self_attn.o_proj", HIDDEN, HIDDEN},     {"post_attention_layernorm", 1, HIDDEN},
                 {"mlp.gate_proj", WIDE, HIDDEN},          {"mlp.up_proj", WIDE, HIDDEN},
                 {"mlp.down_proj", HIDDEN, WIDE}};
    struct st_maker maker = {0};
    char name[96];

    add(&maker, "model.embed_tokens.weight", VOCAB, HIDDEN);
    for (int l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < SC_COUNT(parts); i++) {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, parts[i].name);
            add(&maker, name, parts[i].rows, parts[i].cols);
        }
    add(&maker, "model.norm.weight", 1, HIDDEN);
    add(&maker, "lm_head.weight", VOCAB, HIDDEN);
    const struct blob b = st_finish(&maker);
    snprintf(w->folder, sizeof w->folder, "/tmp/scruple-test-XXXXXX");
    if (!mkdtemp(w->folder))
        support_fail("no folder for the test");
    put_file(w->folder, "model.safetensors", b.p, b.n);
    put_file(w->folder, "config.json", config, sizeof config - 1);
    free(b.p);
}

static void begin(unsigned threads)
{
    struct sc_error e = {0};
    char name[] = "model.layers.1.mlp.down_proj.weight";

    make_model(&world);
    world.m = open_path(world.folder);
    if (sc_forward_open(world.m, &world.f, &e) < 0 || sc_pool_new(threads, &world.pool, &e) < 0)
        support_fail(e.text);
    world.down = tensor_named(world.m, name);
}

static void end(void)
{
    char path[128];

    sc_forward_close(world.f);
    sc_pool_free(world.pool);
    sc_model_close(world.m);
    snprintf(path, sizeof path, "%s/model.safetensors", world.folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/config.json", world.folder);
    unlink(path);
    rmdir(world.folder);
}

/* --------------------------------------------------------------------------------- passes --- */

struct seen {
    uint64_t sum; /* of the bits of all logits, in the order in which they come */
    size_t n;
};

static int take(void *ctx, uint32_t stream, uint32_t position, const float *row, size_t vocab,
                struct sc_error *e)
{
    struct seen *s = ctx;

    (void)e;
    for (size_t i = 0; i < vocab; i++)
        s->sum = s->sum * UINT64_C(0x100000001b3) + sc_bits_of(row[i]) + stream + position;
    s->n++;
    return 0;
}

/* Bytes of matrices that the pass took, and of files that were read for it. */
struct cost {
    uint64_t weights, files;
};

static struct cost pass(size_t variants, uint64_t memory, struct seen *seen)
{
    static struct sc_edit edits[VARIANTS];
    static struct sc_variant list[VARIANTS];
    static uint32_t tokens[TOKENS];
    struct cost cost = {0};
    struct sc_error e = {0};

    for (uint32_t i = 0; i < VARIANTS; i++) {
        edits[i] = (struct sc_edit){world.down, i % HIDDEN, i % WIDE, 3.0F};
        list[i] = (struct sc_variant){.edits = &edits[i], .n_edits = 1};
    }
    for (uint32_t i = 0; i < TOKENS; i++)
        tokens[i] = i * 13 % VOCAB;
    const struct sc_sequence sequence = {tokens, TOKENS};
    const struct sc_run run = {.pool = world.pool,
                               .memory = memory,
                               .sequences = &sequence,
                               .n_sequences = 1,
                               .variants = list,
                               .n_variants = variants,
                               .logits = take,
                               .ctx = seen,
                               .weight_bytes = &cost.weights};
    const uint64_t before = world.m->io.bytes_read;
    *seen = (struct seen){0};
    if (sc_forward_run(world.f, &run, &e) < 0)
        support_fail(e.text);
    cost.files = world.m->io.bytes_read - before;
    return cost;
}

/* What such a run needs for its activations, and nothing for the model. */
static uint64_t least_memory(size_t variants)
{
    static const struct sc_variant none[VARIANTS];
    static uint32_t tokens[TOKENS];
    const struct sc_sequence sequence = {tokens, TOKENS};
    const struct sc_run run = {
        .sequences = &sequence, .n_sequences = 1, .variants = none, .n_variants = variants};

    return sc_forward_memory(world.f, &run);
}

TEST(variants_cost_one_read)
{
    const uint64_t layer =
        2 * (UINT64_C(2) * HIDDEN * HIDDEN + HIDDEN * HIDDEN + 3 * HIDDEN * WIDE);
    const uint64_t matrices = LAYERS * layer + UINT64_C(2) * VOCAB * HIDDEN;
    struct seen seen;

    begin(2);
    const struct cost one = pass(0, least_memory(0), &seen);
    CHECK_U64(one.weights, matrices);
    CHECK_U64(seen.n, TOKENS);
    const struct cost many = pass(VARIANTS, least_memory(VARIANTS), &seen);
    CHECK_U64(many.weights, matrices);
    CHECK_U64(seen.n, TOKENS * (VARIANTS + 1));
    /* of the file: besides, a row for each edit */
    CHECK(one.files >= matrices && one.files < matrices + matrices / 20);
    CHECK(many.files <= one.files + VARIANTS * UINT64_C(2) * WIDE);
    end();
}

TEST(a_model_that_does_not_fit_gives_the_same_bits)
{
    struct seen large, small;

    begin(3);
    const struct cost mapped = pass(3, UINT64_C(1) << 30, &large);
    const struct cost pieces = pass(3, least_memory(3), &small);
    CHECK_U64(large.sum, small.sum);
    CHECK_U64(mapped.weights, pieces.weights);
    CHECK(mapped.files < pieces.files / 4); /* it is in place */
    pass(3, UINT64_C(1) << 30, &large);     /* once more, when all of it has been seen */
    CHECK_U64(large.sum, small.sum);
    end();
}

TEST(threads_give_the_same_bits)
{
    struct seen one, many;

    begin(1);
    pass(5, 0, &one);
    end();
    begin(4);
    pass(5, least_memory(5), &many);
    end();
    CHECK_U64(one.sum, many.sum);
}

/* Products of rounded numbers: other bits than the exact ones, but the same for any number of
 * threads, mapped or in pieces; and a variant is the model with its edit, row by row or as a whole.
 */
TEST(rounded_products_give_the_same_bits_too)
{
    struct seen exact, one, many, again;

    begin(1);
    pass(5, 0, &exact);
    sc_forward_set_precision(world.f, SC_PRECISION_BF16);
    const struct cost mapped = pass(5, 0, &one);
    CHECK(one.sum != exact.sum);
    CHECK_U64(one.n, exact.n);
    end();
    begin(4);
    sc_forward_set_precision(world.f, SC_PRECISION_BF16);
    const struct cost pieces = pass(5, least_memory(5), &many);
    CHECK_U64(one.sum, many.sum);
    CHECK_U64(mapped.weights, pieces.weights);
    sc_forward_set_precision(world.f, SC_PRECISION_F32);
    pass(5, 0, &again);
    CHECK_U64(again.sum, exact.sum);
    end();
}
