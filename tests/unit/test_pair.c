/* SPDX-License-Identifier: Apache-2.0 */
/* Which tensor of one model is which of another. */
#include "test.h"

#include "support.h"

/* A model from a list of "name RxC". */
static struct sc_model *model_of(const char *const *list, size_t n)
{
    struct sc_buf json = {0};
    struct sc_model *m;
    struct sc_error e;
    unsigned long at = 0;

    sc_buf_putc(&json, '{');
    for (size_t i = 0; i < n; i++) {
        char name[128];
        unsigned long rows = 0, cols = 0;
        const int got = sscanf(list[i], "%127s %lux%lu", name, &rows, &cols);
        const unsigned long bytes = got > 2 ? rows * cols : rows;
        sc_buf_printf(&json, "%s\"%s\":{\"dtype\":\"U8\",\"shape\":[%lu", i ? "," : "", name, rows);
        if (got > 2)
            sc_buf_printf(&json, ",%lu", cols);
        sc_buf_printf(&json, "],\"data_offsets\":[%lu,%lu]}", at, at + bytes);
        at += bytes;
    }
    sc_buf_putc(&json, '}');
    struct blob b = st_blob(json.p, json.n, at);
    if (open_blob(b, NULL, &m, &e) < 0)
        support_fail(e.text);
    free(b.p);
    sc_buf_clear(&json);
    return m;
}
#define MODEL(...)                                                                                 \
    model_of((const char *const[]){__VA_ARGS__},                                                   \
             sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* "a=b a~b (canonical) a?b (ending) a^b (tied) a!b (shape) a- -b", joined by blanks. */
static const char *pairs_of(const struct sc_model *a, const struct sc_model *b, const char *filter)
{
    static char text[4096];
    static const char rules[] = "=~?^";
    const char *words[] = {filter};
    struct sc_filter *f = NULL;
    struct sc_pairs pairs;
    struct sc_error e;
    size_t at = 0, counted = 0;

    if (filter && sc_filter_new(words, 1, &f, &e) < 0)
        support_fail(e.text);
    if (sc_models_pair(a, b, f, &pairs, &e) < 0)
        support_fail(e.text);
    text[0] = '\0';
    for (size_t i = 0; i < pairs.n; i++) {
        const struct sc_pair *p = &pairs.p[i];
        const char sign = p->status == SC_PAIR_BOTH    ? rules[p->rule]
                          : p->status == SC_PAIR_SHAPE ? '!'
                                                       : '-';
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s%c%s", i ? " " : "",
                               p->a != SC_NO_NODE ? a->tensors[p->a].name : "", sign,
                               p->b != SC_NO_NODE ? b->tensors[p->b].name : "");
    }
    for (size_t i = 0; i < SC_COUNT(pairs.n_status); i++)
        counted += pairs.n_status[i];
    CHECK_U64(counted, pairs.n);
    sc_pairs_clear(&pairs);
    sc_filter_free(f);
    return text;
}

static void check(struct sc_model *a, struct sc_model *b, const char *filter, const char *want)
{
    CHECK_STR(pairs_of(a, b, filter), want);
    sc_model_close(a);
    sc_model_close(b);
}

TEST(same_names)
{
    check(MODEL("x.weight 2x3", "y.bias 3"), MODEL("y.bias 3", "x.weight 2x3"), NULL,
          "x.weight=x.weight y.bias=y.bias");
}

TEST(nothing_in_common)
{
    check(MODEL("x.weight 2x3"), MODEL("y.bias 3"), NULL, "x.weight- -y.bias");
}

TEST(other_shapes)
{
    check(MODEL("x.weight 2x3", "v 3"), MODEL("x.weight 3x2", "v 1x3"), NULL,
          "v=v x.weight!x.weight");
}

TEST(other_containers)
{
    check(MODEL("blk.0.attn_q.weight 4x4", "token_embd.weight 5x4"),
          MODEL("model.embed_tokens.weight 5x4", "model.layers.0.self_attn.q_proj.weight 4x4"),
          NULL,
          "blk.0.attn_q.weight~model.layers.0.self_attn.q_proj.weight "
          "token_embd.weight~model.embed_tokens.weight");
}

TEST(unknown_wrappers)
{
    check(MODEL("net.foo.a 2x2", "net.foo.b 2x2"), MODEL("wrap.foo.a 2x2", "foo.b 2x2"), NULL,
          "net.foo.a?wrap.foo.a net.foo.b?foo.b");
}

TEST(an_ending_needs_the_same_shape)
{
    check(MODEL("net.foo 2x2"), MODEL("foo 2x3"), NULL, "net.foo- -foo");
}

TEST(what_a_rule_cannot_tell_apart_is_left_alone)
{
    /* both of A end in "w" for a rule that drops a word */
    check(MODEL("p.w 2x2", "q.w 2x2"), MODEL("w 2x2"), NULL, "p.w- q.w- -w");
}

TEST(an_exact_name_comes_first)
{
    /* "model.x" is canonically "x", which A has as well: names decide */
    check(MODEL("model.x 2x2", "x 2x2"), MODEL("x 2x2"), NULL, "model.x- x=x");
}

TEST(tied_output)
{
    check(MODEL("model.embed_tokens.weight 6x2", "lm_head.weight 6x2"),
          MODEL("model.embed_tokens.weight 6x2"), NULL,
          "lm_head.weight^model.embed_tokens.weight "
          "model.embed_tokens.weight=model.embed_tokens.weight");
    check(MODEL("model.embed_tokens.weight 6x2"),
          MODEL("model.embed_tokens.weight 6x2", "lm_head.weight 6x2"), NULL,
          "model.embed_tokens.weight=model.embed_tokens.weight "
          "model.embed_tokens.weight^lm_head.weight");
    check(MODEL("model.embed_tokens.weight 6x2", "lm_head.weight 7x2"),
          MODEL("model.embed_tokens.weight 6x2"), NULL,
          "lm_head.weight- model.embed_tokens.weight=model.embed_tokens.weight");
}

TEST(filters_choose_but_do_not_pair)
{
    check(MODEL("p.w 2x2", "q.w 2x2"), MODEL("w 2x2", "q.w 2x2"), "p.w", "p.w?w");
    check(MODEL("blk.0.attn_q.weight 4x4", "x 1"),
          MODEL("model.layers.0.self_attn.q_proj.weight 4x4", "y 1"), "q_proj",
          "blk.0.attn_q.weight~model.layers.0.self_attn.q_proj.weight");
}
