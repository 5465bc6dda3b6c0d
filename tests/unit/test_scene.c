/* SPDX-License-Identifier: Apache-2.0 */
/* Where every tensor stands: properties that hold for any model, golden plans of known ones. */
#include "picture/scene.h"

#include "test.h"

#include "oom.h"
#include "scene_models.h"
#include "support.h"

static struct sc_scene *scene_of(const struct sc_model *m, const struct sc_scene_options *o)
{
    struct sc_scene *s = NULL;
    struct sc_error e = {0};
    if (sc_scene_new(m, o, &s, &e) < 0)
        support_fail(e.text);
    return s;
}

static struct sc_model *fixture(const char *name)
{
    char path[1024];
    struct sc_model *m = NULL;
    struct sc_error e = {0};
    snprintf(path, sizeof path, "%s/%s", SC_FIXTURES, name);
    if (sc_model_open(path, NULL, &m, &e) < 0)
        support_fail(e.text);
    return m;
}

static const struct sc_place *place_of(const struct sc_scene *s, const char *name, uint32_t slice)
{
    for (uint32_t i = 0; i < s->model->n_tensors; i++)
        if (strcmp(s->model->tensors[i].name, name) == 0)
            return s->places_of[i] + slice < s->places_of[i + 1]
                       ? &s->places[s->list[s->places_of[i] + slice]]
                       : NULL;
    return NULL;
}

/* ----------------------------------------------------------------------------- properties --- */
static bool inside(const struct sc_scene_box *b, int64_t x, int64_t y, int64_t w, int64_t h)
{
    return x >= b->x && y >= b->y && x + w <= b->x + b->w && y + h <= b->y + b->h;
}

/* By the definition, with a power for each depth instead of shifts. */
static void check_axis(uint64_t n, uint64_t longer, uint32_t units, int depth)
{
    const double per_unit = pow(2, depth);
    CHECK(units == ceil((double)n / per_unit));
    CHECK(units <= SC_SCENE_LONG && units >= SC_SCENE_THIN);
    const int most = longer > SC_SCENE_LONG ? (int)ceil(log2((double)longer / SC_SCENE_LONG)) : 0;
    CHECK(depth <= most);
    /* a step larger it would be too thin, unless it is as deep as the longer side */
    CHECK(depth == most || ceil((double)n / (2 * per_unit)) < SC_SCENE_THIN);
}

static void check_place(const struct sc_scene *s, const struct sc_place *p)
{
    const struct sc_tensor *t = &s->model->tensors[p->tensor];
    REQUIRE(p->tensor < s->model->n_tensors && p->box < s->n_boxes);
    CHECK(inside(&s->boxes[p->box], p->x, p->y, p->w, p->h));
    CHECK(p->x % SC_SCENE_ALIGN == 0 && p->y % SC_SCENE_ALIGN == 0);
    check_axis(p->rows, SC_MAX(p->rows, p->cols), p->h, p->depth_y);
    check_axis(p->cols, SC_MAX(p->rows, p->cols), p->w, p->depth_x);
    const uint64_t slices = s->places_of[p->tensor + 1] - s->places_of[p->tensor];
    CHECK_U64(p->rows * p->cols * slices, t->parameters);
    CHECK(p->slice < slices);
    CHECK(&s->places[s->list[s->places_of[p->tensor] + p->slice]] == p);
    const struct sc_scene_box *b = &s->boxes[p->box];
    if (b->kind == SC_BOX_EXPERT) {
        CHECK(b->number == (t->expert >= 0 ? t->expert : (int32_t)p->slice));
        b = &s->boxes[s->boxes[b->parent].parent];
    }
    CHECK(b->number == t->layer);
    CHECK(!b->empty);
}

static void check_boxes(const struct sc_scene *s)
{
    static const uint8_t parent_kind[] = {SC_BOX_MODEL, SC_BOX_MODEL, SC_BOX_TOWER, SC_BOX_BLOCK,
                                          SC_BOX_EXPERTS};
    CHECK(s->boxes[0].kind == SC_BOX_MODEL && s->boxes[0].w == s->w && s->boxes[0].h == s->h);
    for (uint32_t i = 1; i < s->n_boxes; i++) {
        const struct sc_scene_box *b = &s->boxes[i];
        REQUIRE(b->parent < i);
        CHECK(s->boxes[b->parent].kind == parent_kind[b->kind]);
        CHECK(inside(&s->boxes[b->parent], b->x, b->y, b->w, b->h));
        CHECK((b->number >= 0) == (b->kind == SC_BOX_BLOCK || b->kind == SC_BOX_EXPERT));
        CHECK(b->label != NULL);
    }
}

struct seen {
    const struct sc_place *self, *before;
    size_t n, too_near;
};
static int see(void *ctx, const struct sc_place *p)
{
    struct seen *seen = ctx;
    seen->n++;
    if (seen->before && p <= seen->before)
        seen->too_near++; /* out of order */
    seen->before = p;
    if (p != seen->self)
        seen->too_near++;
    return 0;
}

/* Nothing else within the gap around a place: so no two overlap. */
static void check_neighbours(const struct sc_scene *s, const struct sc_place *p)
{
    struct seen seen = {.self = p};
    const int64_t gap = SC_SCENE_GAP - 1;
    sc_scene_look(s, p->x - gap, p->y - gap, p->w + 2 * gap, p->h + 2 * gap, see, &seen);
    CHECK_U64(seen.n, 1);
    CHECK_U64(seen.too_near, 0);
}

static void check_scene(const struct sc_scene *s)
{
    int deepest = 0;
    const unsigned before = test_bad;
    check_boxes(s);
    for (size_t i = 0; i < s->n_places && test_bad < before + 10; i++) {
        const struct sc_place *p = &s->places[i];
        check_place(s, p);
        check_neighbours(s, p);
        CHECK(sc_scene_at(s, (double)p->x, (double)p->y) == p);
        CHECK(sc_scene_at(s, (double)(p->x + p->w) - 0.25, (double)(p->y + p->h) - 0.25) == p);
        deepest = SC_MAX(deepest, SC_MAX(p->depth_x, p->depth_y));
    }
    CHECK(s->deepest == deepest);
    CHECK_U64(s->places_of[s->model->n_tensors], s->n_places);
    CHECK(SC_MAX(s->w, s->h) <= (int64_t)SC_SCENE_TILE << s->top);
    CHECK(s->top == 0 || SC_MAX(s->w, s->h) > (int64_t)SC_SCENE_TILE << (s->top - 1));
}

/* Every block of a tower has the same plan: what has the same canonical name but for the number
 * stands at the same place in it, in the same size or smaller. */
static void check_same_plan(const struct sc_scene *s)
{
    static const char *const subs[] = {"self_attn.q_proj.weight", "mlp.down_proj.weight",
                                       "post_attention_layernorm.weight", "mlp.gate.weight"};
    for (size_t k = 0; k < SC_COUNT(subs); k++) {
        int64_t x = -1, y = -1;
        size_t found = 0;
        for (size_t i = 0; i < s->n_places; i++) {
            const struct sc_place *p = &s->places[i];
            const struct sc_tensor *t = &s->model->tensors[p->tensor];
            if (t->layer < 0 || t->tower != SC_TOWER_MAIN ||
                !sc_str_ends(sc_tensor_name(t), subs[k]))
                continue;
            const struct sc_scene_box *b = &s->boxes[p->box];
            if (found++ == 0) {
                x = p->x - b->x;
                y = p->y - b->y;
            }
            CHECK(p->x - b->x == x && p->y - b->y == y);
        }
    }
    const struct sc_scene_box *first[SC_BOX_EXPERT + 1] = {NULL};
    for (size_t i = 0; i < s->n_boxes; i++) {
        const struct sc_scene_box *b = &s->boxes[i];
        if (b->kind == SC_BOX_TOWER)
            first[SC_BOX_BLOCK] = first[SC_BOX_EXPERT] = NULL;
        if (b->kind != SC_BOX_BLOCK && b->kind != SC_BOX_EXPERT)
            continue;
        if (!first[b->kind])
            first[b->kind] = b;
        CHECK(b->w == first[b->kind]->w && b->h == first[b->kind]->h);
    }
}

TEST(properties_hold_for_known_models)
{
    static const struct hand_decoder *const all[] = {
        &hand_smollm2_135m, &hand_llama32_1b, &hand_llama3_8b, &hand_llama3_70b, &hand_mixtral};
    for (size_t i = 0; i < SC_COUNT(all); i++)
        for (int form = 0; form < 4; form++) {
            struct sc_model *m = form & 1 ? hand_decoder_gguf(all[i]) : hand_decoder_hf(all[i]);
            const struct sc_scene_options o = {.vertical = form & 2};
            struct sc_scene *s = scene_of(m, &o);
            check_scene(s);
            check_same_plan(s);
            sc_scene_free(s);
            hand_free(m);
        }
}

TEST(properties_hold_for_deepseek)
{
    struct sc_model *m = hand_deepseek_v3();
    struct sc_scene *s = scene_of(m, NULL);
    check_scene(s);
    check_same_plan(s);
    CHECK_U64(s->n_places, m->n_tensors);
    sc_scene_free(s);
    hand_free(m);
}

TEST(properties_hold_for_fixtures)
{
    static const char *const names[] = {
        "llama-tiny",   "llama-sharded",   "moe-tiny",    "deepseek-tiny", "t5-tiny",
        "whisper-tiny", "vision-language", "diffusers",   "odd-names",     "gguf-moe",
        "gpt-oss",      "fp8-block",       "fp8-stacked", "deepseek-v4",   "empty"};
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        const unsigned before = test_bad;
        struct sc_model *m = fixture(names[i]);
        struct sc_scene *s = scene_of(m, NULL);
        check_scene(s);
        check_same_plan(s);
        sc_scene_free(s);
        sc_model_close(m);
        if (test_bad != before)
            fprintf(stderr, "    ... of %s\n", names[i]);
    }
}

/* ---------------------------------------------------------------------------- same picture --- */
/* Same places and boxes; slices of stacks against single experts. */
static void check_equal(const struct sc_scene *a, const struct sc_scene *b)
{
    CHECK(a->w == b->w && a->h == b->h && a->deepest == b->deepest && a->top == b->top);
    REQUIRE(a->n_places == b->n_places && a->n_boxes == b->n_boxes);
    for (size_t i = 0; i < a->n_places; i++) {
        const struct sc_place *p = &a->places[i], *q = &b->places[i];
        CHECK(p->x == q->x && p->y == q->y && p->w == q->w && p->h == q->h && p->box == q->box &&
              p->rows == q->rows && p->cols == q->cols && p->depth_x == q->depth_x &&
              p->depth_y == q->depth_y);
        const struct sc_tensor *t = &a->model->tensors[p->tensor],
                               *u = &b->model->tensors[q->tensor];
        CHECK(t->layer == u->layer && t->role == u->role);
    }
    for (size_t i = 0; i < a->n_boxes; i++) {
        const struct sc_scene_box *p = &a->boxes[i], *q = &b->boxes[i];
        CHECK(p->kind == q->kind && p->empty == q->empty && p->parent == q->parent &&
              p->number == q->number && p->x == q->x && p->y == q->y && p->w == q->w &&
              p->h == q->h);
        CHECK_STR(p->label, q->label);
    }
}

TEST(containers_give_the_same_picture)
{
    static const struct hand_decoder *const all[] = {&hand_smollm2_135m, &hand_llama3_8b,
                                                     &hand_mixtral};
    for (size_t i = 0; i < SC_COUNT(all); i++) {
        struct sc_model *a = hand_decoder_hf(all[i]), *b = hand_decoder_gguf(all[i]);
        struct sc_scene *x = scene_of(a, NULL), *y = scene_of(b, NULL), *z = scene_of(a, NULL);
        check_equal(x, y);
        check_equal(x, z);
        sc_scene_free(x);
        sc_scene_free(y);
        sc_scene_free(z);
        hand_free(a);
        hand_free(b);
    }
}

/* The same model in three containers, as files. */
TEST(weight_sets_give_the_same_picture)
{
    static const char *const globs[] = {"*.safetensors", "*.gguf", "*.bin"};
    struct sc_model *m[3];
    struct sc_scene *s[3];
    char path[1024];
    snprintf(path, sizeof path, "%s/weight-sets", SC_FIXTURES);
    for (size_t i = 0; i < 3; i++) {
        const char *const include[] = {globs[i], NULL};
        const struct sc_open_options o = {.include = include};
        struct sc_error e = {0};
        if (sc_model_open(path, &o, &m[i], &e) < 0)
            support_fail(e.text);
        s[i] = scene_of(m[i], NULL);
        CHECK(s[i]->n_places > 0);
    }
    check_equal(s[0], s[1]);
    check_equal(s[0], s[2]);
    for (size_t i = 0; i < 3; i++) {
        sc_scene_free(s[i]);
        sc_model_close(m[i]);
    }
}

/* Experts one by one and in a stack, with their biases. */
TEST(stacks_stand_like_single_experts)
{
    struct sc_model *a = hand_new(), *b = hand_new();
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned x = 0; x < 5; x++) {
            hand_add(a, 64, 32, 0, "model.layers.%u.mlp.experts.%u.up_proj.weight", i, x);
            hand_add(a, 64, 0, 0, "model.layers.%u.mlp.experts.%u.up_proj.bias", i, x);
        }
        hand_add(b, 5, 64, 32, "blk.%u.ffn_up_exps.weight", i);
        hand_add(b, 5, 64, 0, "blk.%u.ffn_up_exps.bias", i);
    }
    struct sc_scene *x = scene_of(hand_done(a), NULL), *y = scene_of(hand_done(b), NULL);
    check_scene(y);
    check_equal(x, y);
    CHECK_U64(y->n_places, 3 * 5 * 2);
    const struct sc_place *p = place_of(y, "blk.1.ffn_up_exps.weight", 3);
    REQUIRE(p);
    CHECK(p->slice == 3 && p->rows == 64 && p->cols == 32);
    sc_scene_free(x);
    sc_scene_free(y);
    hand_free(a);
    hand_free(b);
}

/* -------------------------------------------------------------------------- golden plans --- */
/* "x,y wxh" within its block. */
static const char *where(const struct sc_scene *s, const char *name)
{
    static char text[8][64];
    static unsigned turn;
    const struct sc_place *p = place_of(s, name, 0);
    char *out = text[turn++ % 8];
    if (!p)
        return "nowhere";
    const struct sc_scene_box *b = &s->boxes[p->box];
    snprintf(out, sizeof text[0], "%" PRId64 ",%" PRId64 " %ux%u", p->x - b->x, p->y - b->y, p->w,
             p->h);
    return out;
}

static void check_size(const struct sc_scene *s, int64_t w, int64_t h, int64_t block_w,
                       int64_t block_h, int deepest, int top)
{
    CHECK_U64(s->w, w);
    CHECK_U64(s->h, h);
    CHECK_U64(s->boxes[2].w, block_w);
    CHECK_U64(s->boxes[2].h, block_h);
    CHECK_U64(s->deepest, deepest);
    CHECK_U64(s->top, top);
}

TEST(plan_of_smollm2_135m)
{
    struct sc_model *m = hand_decoder_hf(&hand_smollm2_135m);
    struct sc_scene *s = scene_of(m, NULL);
    check_size(s, 13440, 14792, 3312, 1584, 5, 6);
    CHECK_STR(where(s, "model.embed_tokens.weight"), "0,0 18x1536");
    CHECK_STR(where(s, "model.layers.7.self_attn.q_proj.weight"), "0,0 576x576");
    CHECK_STR(where(s, "model.layers.7.self_attn.k_proj.weight"), "0,592 576x192");
    CHECK_STR(where(s, "model.layers.7.self_attn.v_proj.weight"), "0,800 576x192");
    CHECK_STR(where(s, "model.layers.7.self_attn.o_proj.weight"), "0,1008 576x576");
    CHECK_STR(where(s, "model.layers.7.mlp.gate_proj.weight"), "592,0 576x1536");
    CHECK_STR(where(s, "model.layers.7.mlp.up_proj.weight"), "1184,0 576x1536");
    CHECK_STR(where(s, "model.layers.7.mlp.down_proj.weight"), "1776,0 1536x576");
    CHECK_STR(where(s, "model.layers.7.input_layernorm.weight"), "1776,592 576x8");
    CHECK_STR(where(s, "model.norm.weight"), "0,14784 576x8");
    sc_scene_free(s);
    hand_free(m);
}

TEST(plan_of_llama_3_2_1b)
{
    struct sc_model *m = hand_decoder_hf(&hand_llama32_1b);
    struct sc_scene *s = scene_of(m, NULL);
    check_size(s, 18656, 18984, 9296, 2048, 6, 7);
    CHECK_STR(where(s, "model.layers.0.mlp.up_proj.weight"), "6720,0 512x2048");
    sc_scene_free(s);
    hand_free(m);
}

TEST(plan_of_llama_3_8b)
{
    struct sc_model *m = hand_decoder_hf(&hand_llama3_8b);
    struct sc_scene *s = scene_of(m, NULL);
    check_size(s, 28016, 27332, 9296, 2048, 6, 7);
    CHECK_STR(where(s, "model.embed_tokens.weight"), "0,0 64x2004");
    CHECK_STR(where(s, "model.layers.31.self_attn.q_proj.weight"), "0,0 2048x2048");
    CHECK_STR(where(s, "model.layers.31.self_attn.v_proj.weight"), "2064,528 2048x512");
    CHECK_STR(where(s, "model.layers.31.mlp.gate_proj.weight"), "6192,0 512x1792");
    CHECK_STR(where(s, "model.layers.31.mlp.down_proj.weight"), "7248,0 1792x512");
    CHECK_STR(where(s, "model.layers.31.post_attention_layernorm.weight"), "7248,544 2048x8");
    CHECK_STR(where(s, "lm_head.weight"), "0,25328 64x2004");
    sc_scene_free(s);
    const struct sc_scene_options vertical = {.vertical = true};
    s = scene_of(m, &vertical);
    CHECK_U64(s->w, 9296);
    CHECK_U64(s->h, 2080 + 32 * 2112 + 16 + 2004);
    sc_scene_free(s);
    hand_free(m);
}

TEST(plan_of_mixtral)
{
    struct sc_model *m = hand_decoder_hf(&hand_mixtral);
    struct sc_scene *s = scene_of(m, NULL);
    check_size(s, 43616, 51440, 6176, 9408, 4, 8);
    CHECK_STR(where(s, "model.layers.3.block_sparse_moe.experts.5.w1.weight"), "0,0 512x1792");
    CHECK_STR(where(s, "model.layers.3.block_sparse_moe.experts.5.w3.weight"), "528,0 512x1792");
    CHECK_STR(where(s, "model.layers.3.block_sparse_moe.experts.5.w2.weight"), "1056,0 1792x512");
    sc_scene_free(s);
    hand_free(m);
}

TEST(plan_of_deepseek_v3)
{
    struct sc_model *m = hand_deepseek_v3();
    struct sc_scene *s = scene_of(m, NULL);
    check_size(s, 263616, 335680, 32896, 36752, 6, 11);
    size_t n[SC_BOX_EXPERT + 1] = {0}, missing = 0;
    for (size_t i = 0; i < s->n_boxes; i++) {
        n[s->boxes[i].kind]++;
        missing += s->boxes[i].empty;
    }
    CHECK_U64(n[SC_BOX_TOWER], 2); /* main, and the layer that predicts further */
    CHECK_U64(n[SC_BOX_BLOCK], 62);
    CHECK_U64(n[SC_BOX_EXPERTS], 59); /* the first three layers are dense, and lack nothing */
    CHECK_U64(n[SC_BOX_EXPERT], 59 * 256);
    CHECK_U64(missing, 0);
    sc_scene_free(s);
    hand_free(m);
}

/* -------------------------------------------------------------------------- what is missing --- */
TEST(missing_layers_and_experts_stay_empty)
{
    struct sc_model *m = hand_new();
    hand_add(m, 64, 64, 0, "model.layers.1.mlp.experts.2.up_proj.weight");
    hand_add(m, 64, 64, 0, "model.layers.3.mlp.experts.0.up_proj.weight");
    m->config.layers = 4;
    m->config.experts = 4;
    struct sc_scene *s = scene_of(hand_done(m), NULL);
    check_scene(s);
    check_same_plan(s);
    char text[256] = "";
    for (size_t i = 0; i < s->n_boxes; i++)
        if (s->boxes[i].kind == SC_BOX_BLOCK || s->boxes[i].kind == SC_BOX_EXPERT)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d%s ",
                     s->boxes[i].kind == SC_BOX_BLOCK ? "L" : "", s->boxes[i].number,
                     s->boxes[i].empty ? "-" : "");
    CHECK_STR(text, "L0- L1 0- 1- 2 3- L2- L3 0 1- 2- 3- ");
    sc_scene_free(s);

    const char *const words[] = {"model.layers.3"};
    struct sc_filter *f = NULL;
    REQUIRE(sc_filter_new(words, 1, &f, NULL) == 0);
    const struct sc_scene_options o = {.filter = f};
    s = scene_of(m, &o);
    CHECK_U64(s->n_places, 1);
    CHECK_U64(s->n_boxes, 5); /* whole, tower, layer, group, expert */
    CHECK(place_of(s, "model.layers.1.mlp.experts.2.up_proj.weight", 0) == NULL);
    sc_scene_free(s);
    sc_filter_free(f);
    hand_free(m);
}

TEST(towers_have_grids_of_their_own)
{
    struct sc_model *m = hand_new();
    for (unsigned i = 0; i < 4; i++) {
        hand_add(m, 64, 64, 0, "model.layers.%u.self_attn.q_proj.weight", i);
        hand_add(m, 32, 32, 0,
                 "vision_tower.vision_model.encoder.layers.%u.self_attn.q_proj.weight", i);
        hand_add(m, 16, 16, 0, "transformer_blocks.%u.attn.to_q.weight", i);
    }
    hand_add(m, 100, 64, 0, "model.embed_tokens.weight");
    struct sc_scene *s = scene_of(hand_done(m), NULL);
    check_scene(s);
    char text[256] = "";
    for (size_t i = 0; i < s->n_boxes; i++)
        if (s->boxes[i].kind == SC_BOX_TOWER)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", s->boxes[i].label);
    CHECK_STR(text, "main transformer_blocks vision ");
    for (size_t i = 0; i < s->n_boxes; i++)
        for (size_t k = i + 1; k < s->n_boxes; k++)
            if (s->boxes[i].kind == SC_BOX_TOWER && s->boxes[k].kind == SC_BOX_TOWER)
                CHECK(s->boxes[k].x >= s->boxes[i].x + s->boxes[i].w + SC_SCENE_TOWER_GAP ||
                      s->boxes[k].y >= s->boxes[i].y + s->boxes[i].h + SC_SCENE_TOWER_GAP);
    sc_scene_free(s);
    hand_free(m);
}

TEST(order_within_a_block)
{
    static const char *const names[] = {
        "mlp.gate",         "mlp.down_proj",    "mlp.gate_proj",
        "input_layernorm",  "self_attn.o_proj", "self_attn.k_proj",
        "self_attn.q_proj", "strange",          "mlp.shared_expert.up_proj",
        "self_attn.q_norm"};
    struct sc_model *m = hand_new();
    for (size_t i = 0; i < SC_COUNT(names); i++)
        hand_add(m, 16, 16, 0, "model.layers.0.%s.weight", names[i]);
    hand_add(m, 16, 0, 0, "model.layers.0.self_attn.q_proj.bias");
    struct sc_scene *s = scene_of(hand_done(m), NULL);
    struct sc_buf b = {0};
    for (size_t i = 0; i < s->n_places; i++)
        sc_buf_printf(&b, "%s ", m->tensors[s->places[i].tensor].name + strlen("model.layers.0."));
    CHECK_STR(b.p, "self_attn.q_proj.weight self_attn.q_proj.bias self_attn.k_proj.weight "
                   "self_attn.o_proj.weight mlp.gate_proj.weight mlp.down_proj.weight "
                   "mlp.gate.weight mlp.shared_expert.up_proj.weight input_layernorm.weight "
                   "self_attn.q_norm.weight strange.weight ");
    sc_buf_clear(&b);
    sc_scene_free(s);
    hand_free(m);
}

/* -------------------------------------------------------------------------------- elements --- */
TEST(elements_and_points)
{
    static const uint64_t shapes[][2] = {{1, 1},
                                         {3, 5},
                                         {1, 4096},
                                         {14336, 4096},
                                         {128256, 4096},
                                         {UINT64_C(1) << 31, 1},
                                         {7, UINT64_C(1) << 40},
                                         {576, 576},
                                         {2049, 31}};
    struct sc_model *m = hand_new();
    uint32_t random = 1;
    for (size_t i = 0; i < SC_COUNT(shapes); i++)
        hand_add(m, shapes[i][0], shapes[i][1], 0, "t%zu", i);
    struct sc_scene *s = scene_of(hand_done(m), NULL);
    check_scene(s);
    for (size_t i = 0; i < s->n_places; i++) {
        const struct sc_place *p = &s->places[i];
        for (int k = 0; k < 2000; k++) {
            double x, y, w, h;
            uint64_t row = 0, col = 0, r, c;
            for (int part = 0; part < 3; part++) {
                random = random * 1664525 + 1013904223;
                row = row << 24 ^ random >> 8;
                random = random * 1664525 + 1013904223;
                col = col << 24 ^ random >> 8;
            }
            row = k == 0 ? 0 : k == 1 ? p->rows - 1 : row % p->rows;
            col = k == 0 ? 0 : k == 1 ? p->cols - 1 : col % p->cols;
            sc_place_point(p, row, col, &x, &y, &w, &h);
            CHECK(x >= (double)p->x && x + w <= (double)(p->x + p->w));
            CHECK(y >= (double)p->y && y + h <= (double)(p->y + p->h));
            CHECK(sc_scene_at(s, x, y) == p);
            sc_place_element(p, x, y, &r, &c);
            CHECK(r == row && c == col);
            sc_place_element(p, x + w * 0.75, y + h * 0.75, &r, &c);
            CHECK(r == row && c == col);
        }
        uint64_t r, c;
        sc_place_element(p, -1e9, 1e18, &r, &c);
        CHECK(c == 0 && r == p->rows - 1);
        sc_place_element(p, NAN, NAN, &r, &c);
        CHECK(c == 0 && r == 0);
    }
    CHECK(sc_scene_at(s, -1, 0) == NULL && sc_scene_at(s, 1e300, NAN) == NULL);
    sc_scene_free(s);
    hand_free(m);
}

static int count(void *ctx, const struct sc_place *p)
{
    (void)p;
    ++*(size_t *)ctx;
    return 0;
}
static int stop_at_three(void *ctx, const struct sc_place *p)
{
    (void)p;
    return ++*(size_t *)ctx == 3 ? 42 : 0;
}

/* Against all places, one by one. */
TEST(looks_see_what_is_there)
{
    struct sc_model *m = hand_decoder_gguf(&hand_mixtral);
    struct sc_scene *s = scene_of(m, NULL);
    uint32_t random = 7;
    for (int k = 0; k < 500; k++) {
        int64_t v[4];
        size_t want = 0, got = 0;
        for (int i = 0; i < 4; i++) {
            random = random * 1664525 + 1013904223;
            v[i] = random >> 12;
            v[i] = i < 2 ? v[i] % 70000 - 10000 : v[i] % (k % 2 ? 300 : 60000);
        }
        for (size_t i = 0; i < s->n_places; i++) {
            const struct sc_place *p = &s->places[i];
            want += v[2] > 0 && v[3] > 0 && p->x < v[0] + v[2] && v[0] < p->x + p->w &&
                    p->y < v[1] + v[3] && v[1] < p->y + p->h;
        }
        CHECK(sc_scene_look(s, v[0], v[1], v[2], v[3], count, &got) == 0);
        CHECK_U64(got, want);
    }
    size_t n = 0;
    CHECK(sc_scene_look(s, 0, 0, s->w, s->h, stop_at_three, &n) == 42);
    CHECK_U64(n, 3);
    n = 0;
    CHECK(sc_scene_look(s, -5, -5, INT64_MAX, INT64_MAX, count, &n) == 0);
    CHECK_U64(n, s->n_places);
    sc_scene_free(s);
    hand_free(m);
}

/* --------------------------------------------------------------------------- odd and hostile ---
 */
TEST(nothing_to_draw)
{
    struct sc_model *m = hand_done(hand_new());
    struct sc_scene *s = scene_of(m, NULL);
    CHECK(s->n_places == 0 && s->n_boxes == 1 && s->w == 0 && s->h == 0 && s->top == 0);
    CHECK(sc_scene_at(s, 0, 0) == NULL);
    sc_scene_free(s);
    hand_free(m);
}

TEST(scalars_and_empty_tensors)
{
    struct sc_model *m = hand_new();
    hand_put(m, "scalar", NULL, 0);
    hand_put(m, "empty", (const uint64_t[]){4, HAND_EMPTY}, 2);
    hand_put(m, "none", (const uint64_t[]){HAND_EMPTY}, 1);
    hand_put(m, "conv", (const uint64_t[]){8, 3, 5, 2}, 4);
    hand_put(m, "impossible", (const uint64_t[]){2, UINT64_C(1) << 40, UINT64_C(1) << 40}, 3);
    struct sc_scene *s = scene_of(hand_done(m), NULL);
    CHECK_U64(s->n_places, 2);
    const struct sc_place *p = place_of(s, "scalar", 0);
    REQUIRE(p);
    CHECK(p->rows == 1 && p->cols == 1 && p->w == 8 && p->h == 8 && p->depth_x == -3);
    p = place_of(s, "conv", 0);
    REQUIRE(p);
    CHECK(p->rows == 8 && p->cols == 30);
    CHECK(place_of(s, "empty", 0) == NULL && place_of(s, "none", 0) == NULL &&
          place_of(s, "impossible", 0) == NULL);
    sc_scene_free(s);
    hand_free(m);
}

/* Names that come to be the same name still get a place each. */
TEST(twins_stand_apart)
{
    struct sc_model *m = hand_new();
    for (unsigned i = 0; i < 3; i++) {
        hand_add(m, 32, 32, 0, "model.layers.%u.self_attn.q_proj.weight", i);
        hand_add(m, 32, 32, 0, "layers.%u.self_attn.q_proj.weight", i);
        hand_add(m, 32, 32, 0, "blk.%u.attn_q.weight", i);
        hand_add(m, 32, 32, 0, "model.layers.%02u.self_attn.q_proj.weight", i);
        hand_add(m, 32, 32, 0, "model.layers.%u.mlp.experts.1.up_proj.weight", i);
        hand_add(m, 32, 32, 0, "model.layers.%u.mlp.experts.001.up_proj.weight", i);
        hand_add(m, 32, 32, 0, "#.layers.%u.x.weight", i);
        hand_add(m, 32, 32, 0, "%u.layers.%u.x.weight", i, i);
    }
    for (unsigned i = 0; i < 3000; i++)
        hand_add(m, 8, 8, 0, "layers.0.same.weight");
    struct sc_scene *s = scene_of(hand_done(m), NULL);
    check_scene(s);
    CHECK_U64(s->n_places, 3024);
    sc_scene_free(s);
    hand_free(m);
}

TEST(a_stack_of_too_many_is_one_matrix)
{
    struct sc_model *m = hand_new();
    hand_add(m, UINT64_C(1) << 40, 2, 2, "model.layers.0.mlp.experts.up_proj.weight");
    struct sc_scene *s = scene_of(hand_done(m), NULL);
    check_scene(s);
    CHECK_U64(s->n_places, 1);
    CHECK_U64(s->places[0].rows, UINT64_C(1) << 40);
    sc_scene_free(s);
    hand_free(m);
}

/* 700 layers of one expert each, all of different numbers: 490,000 empty boxes are shown, four
 * times as many are not. */
TEST(missing_experts_have_a_limit)
{
    for (unsigned n = 700; n <= 1400; n += 700) {
        struct sc_model *m = hand_new();
        for (unsigned i = 0; i < n; i++)
            hand_add(m, 8, 8, 0, "model.layers.%u.mlp.experts.%u.up_proj.weight", i, i);
        struct sc_scene *s = scene_of(hand_done(m), NULL);
        CHECK_U64(s->n_places, n);
        CHECK_U64(s->n_boxes, n == 700 ? 2 + 700 * (2 + 700) : 2 + 1400 * 3);
        sc_scene_free(s);
        hand_free(m);
    }
}

/* Layers, experts and names that are all different: the plan multiplies them, which makes 2^46
 * units of 220,000 tensors. More than 2^52 would need millions. */
TEST(a_plan_that_multiplies)
{
    struct sc_model *m = hand_new();
    for (unsigned i = 0; i < 100000; i++)
        hand_add(m, 2048, 2048, 0, "model.layers.%u.a.weight", i * 7);
    for (unsigned i = 0; i < 60000; i++) {
        hand_add(m, 2048, 2048, 0, "model.layers.0.mlp.experts.%u.up_proj.weight", i);
        hand_add(m, 2048, 2048, 0, "model.layers.0.mlp.experts.0.n%u.weight", i);
    }
    const struct sc_scene_options o = {.vertical = true};
    struct sc_scene *s = scene_of(hand_done(m), &o);
    CHECK(s->h > INT64_C(1) << 43 && s->h <= SC_SCENE_MOST);
    for (size_t i = 0; i < s->n_places; i += 499)
        check_neighbours(s, &s->places[i]);
    sc_scene_free(s);
    hand_free(m);
}

TEST(a_million_tensors)
{
    struct sc_model *m = hand_new();
    for (unsigned i = 0; i < 1000000; i++)
        hand_add(m, 1 + i % 7, 0, 0, "model.layers.%u.part_%u.weight", i / 100, i % 100);
    struct sc_scene *s = scene_of(hand_done(m), NULL);
    CHECK_U64(s->n_places, 1000000);
    CHECK_U64(s->n_boxes, 2 + 10000);
    for (size_t i = 0; i < s->n_places; i += 997)
        check_neighbours(s, &s->places[i]);
    sc_scene_free(s);
    hand_free(m);
}

TEST(every_allocation_may_fail)
{
    struct sc_model *m = hand_new();
    for (unsigned i = 0; i < 3; i++) {
        hand_add(m, 64, 64, 0, "model.layers.%u.self_attn.q_proj.weight", i);
        hand_add(m, 4, 64, 64, "model.layers.%u.mlp.experts.up_proj.weight", i);
        hand_add(m, 64, 64, 0, "foo_blocks.blocks.%u.experts.1.w1.weight", i);
    }
    hand_add(m, 64, 64, 0, "model.embed_tokens.weight");
    m->config.experts = 4;
    hand_done(m);
    for (uint64_t k = 0;; k++) {
        struct sc_scene *s;
        struct sc_error e = {0};
        sc_oom_fail_at(k);
        const int code = sc_scene_new(m, NULL, &s, &e);
        const bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        if (!reached) {
            CHECK(code == 0 && k > 10);
            sc_scene_free(s);
            break;
        }
        CHECK_ERR(SCRUPLE_EMEMORY, code);
        CHECK(s == NULL);
    }
    hand_free(m);
}
