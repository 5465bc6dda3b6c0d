/* SPDX-License-Identifier: Apache-2.0 */
/* Module tree, natural order, filters, collapsed rows. */
#include "test.h"

#include "support.h"

/* A model from a list of names, each a tensor of 1 byte; "name:N" has N bytes. */
static struct sc_model *model_of(const char *const *names, size_t n)
{
    struct sc_buf json = {0};
    struct sc_model *m;
    struct sc_error e;
    unsigned long at = 0;
    sc_buf_putc(&json, '{');
    for (size_t i = 0; i < n; i++) {
        const char *colon = strchr(names[i], ':');
        const unsigned long bytes = colon ? strtoul(colon + 1, NULL, 10) : 1;
        sc_buf_printf(&json,
                      "%s\"%.*s\":{\"dtype\":\"U8\",\"shape\":[%lu],\"data_offsets\":"
                      "[%lu,%lu]}",
                      i ? "," : "", (int)(colon ? colon - names[i] : (long)strlen(names[i])),
                      names[i], bytes, at, at + bytes);
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

/* Rows as text: two blanks an indent, label, then [count x bytes] for tensors; rows joined by |. */
static char *rows_of(const struct sc_model *m, struct sc_outline_options o, const char *filter)
{
    static char text[8192];
    struct sc_outline ol;
    struct sc_error e;
    struct sc_filter *f = NULL;
    const char *words[] = {filter};
    text[0] = '\0';
    if (filter && sc_filter_new(words, 1, &f, &e) < 0)
        support_fail(e.text);
    o.filter = f;
    if (sc_outline_make(m, &o, &ol, &e) < 0)
        support_fail(e.text);
    uint64_t bytes = 0, parameters = 0;
    for (size_t i = 0; i < ol.n_rows; i++) {
        const struct sc_row *r = &ol.rows[i];
        char *end = text + strlen(text);
        const size_t left = sizeof text - strlen(text);
        if (r->tensor == SC_NO_NODE && !r->closed) {
            snprintf(end, left, "%s%*s%.*s", i ? "|" : "", (int)r->depth * 2, "", (int)r->label_len,
                     r->label);
        } else {
            snprintf(end, left, "%s%*s%.*s [%llux%llu]", i ? "|" : "", (int)r->depth * 2, "",
                     (int)r->label_len, r->label, (unsigned long long)r->count,
                     (unsigned long long)r->bytes);
            bytes += r->count * r->bytes;
            parameters += r->count * r->parameters;
        }
    }
    CHECK_U64(bytes, ol.matched_bytes); /* the rows add up, whatever was asked for */
    CHECK_U64(parameters, ol.matched_parameters);
    if (!filter)
        CHECK_U64(bytes, m->bytes);
    sc_outline_clear(&ol);
    sc_filter_free(f);
    return text;
}

static char *rows(const struct sc_model *m)
{
    return rows_of(m, (struct sc_outline_options){0}, NULL);
}

TEST(layers_collapse_into_runs)
{
    struct sc_model *m = MODEL("l.10.a", "l.0.a", "l.1.a", "l.2.a", "l.3.a:2", "l.9.a", "l.11.a");
    CHECK_STR(rows(m), "l|  (0-2)|    a [3x1]|  3|    a [1x2]|  (9-11)|    a [3x1]");
    sc_model_close(m);
    m = MODEL("l.0.a", "l.1.a", "l.2.a");
    CHECK_STR(rows(m), "l (0-2)|  a [3x1]");
    sc_model_close(m);
    m = MODEL("h.0.w", "h.2.w", "h.5.w:2");
    CHECK_STR(rows(m), "h|  (0,2)|    w [2x1]|  5|    w [1x2]");
    sc_model_close(m);
}

TEST(lone_weights_take_the_name_of_their_module)
{
    struct sc_model *m = MODEL("norm.weight", "q.weight", "q.bias");
    CHECK_STR(rows(m), "norm [1x1]|q|  bias [1x1]|  weight [1x1]");
    sc_model_close(m);
}

TEST(experts_multiply)
{
    struct sc_model *m =
        MODEL("l.0.e.0.w.weight", "l.0.e.1.w.weight", "l.1.e.0.w.weight", "l.1.e.1.w.weight");
    CHECK_STR(rows(m), "l (0-1)|  e (0-1)|    w [4x1]");
    sc_model_close(m);
}

/* What the predecessor lost. */
TEST(a_node_can_be_tensor_and_module)
{
    struct sc_model *m = MODEL("x.w", "x.w.absmax:3", "x.w.quant:2");
    CHECK_STR(rows(m), "x|  w [1x1]|    absmax [1x3]|    quant [1x2]");
    CHECK_STR(rows_of(m, (struct sc_outline_options){.depth = 1}, NULL), "x [1x6]");
    CHECK_STR(rows_of(m, (struct sc_outline_options){.depth = 2}, NULL), "x|  w [1x1]|  w [1x5]");
    sc_model_close(m);
}

TEST(numbered_tensors_are_rows)
{
    struct sc_model *m = MODEL("e.0", "e.1", "e.2");
    CHECK_STR(rows(m), "e (0-2) [3x1]");
    sc_model_close(m);
    m = MODEL("e.0", "e.1", "e.2:5");
    CHECK_STR(rows(m), "e|  (0-1) [2x1]|  2 [1x5]");
    sc_model_close(m);
    m = MODEL("0", "1");
    CHECK_STR(rows(m), "(0-1) [2x1]");
    sc_model_close(m);
}

TEST(padded_numbers_keep_their_zeros)
{
    struct sc_model *m = MODEL("b.00.w", "b.01.w", "b.02.w");
    CHECK_STR(rows(m), "b (00-02)|  w [3x1]");
    sc_model_close(m);
    m = MODEL("b.00", "b.01", "b.1");
    CHECK_STR(rows(m), "b|  00 [1x1]|  1 [1x1]|  01 [1x1]");
    sc_model_close(m);
}

TEST(odd_names)
{
    struct sc_model *m = MODEL("", "a..b", ".c", "d.");
    CHECK_U64(m->n_tensors, 4);
    rows(m);
    sc_model_close(m);
    m = MODEL("99999999999999999999.w", "100000000000000000000.w");
    CHECK_STR(rows(m), "99999999999999999999|  w [1x1]|100000000000000000000|  w [1x1]");
    sc_model_close(m);
}

TEST(order_is_natural_whatever_the_file_says)
{
    struct sc_model *m = MODEL("z", "l.10.w", "l.9.w", "a", "l.2.w", "l.9.b");
    static const char *const want[] = {"a", "l.2.w", "l.9.b", "l.9.w", "l.10.w", "z"};
    for (size_t i = 0; i < 6; i++)
        CHECK_STR(m->tensors[i].name, want[i]);
    sc_model_close(m);
}

/* Many children, in the worst order: the index of crowded nodes must find each one again. */
TEST(crowded_nodes_stay_exact)
{
    enum { N = 500 };
    char *names[2 * N];
    for (int i = 0; i < N; i++) {
        names[i] = malloc(32);
        names[N + i] = malloc(32);
        snprintf(names[i], 32, "l.%d.a", (i * 7919) % N);
        snprintf(names[N + i], 32, "l.%d.b", (i * 104729) % N);
    }
    struct sc_model *m = model_of((const char *const *)names, 2 * N);
    CHECK_STR(rows(m), "l (0-499)|  a [500x1]|  b [500x1]");
    for (int i = 0; i < 2 * N; i++)
        free(names[i]);
    sc_model_close(m);
}

TEST(filters)
{
    struct sc_model *m =
        MODEL("model.layers.0.mlp.up.weight", "model.layers.0.attn.q.weight",
              "model.layers.1.mlp.up.weight", "model.layers.12.mlp.up.weight", "lm_head.weight");
    static const struct {
        const char *filter, *rows;
    } table[] = {
        {"LM_HEAD", "lm_head [1x1]"},
        {"model.layers.0",
         "model|  layers|    0|      attn|        q [1x1]|      mlp|        up [1x1]"},
        {"model.layers.1", "model|  layers|    1|      mlp|        up [1x1]"},
        {"layers.1", ""},
        {"model.", "model|  layers|    0|      attn|        q [1x1]|      mlp|        up [1x1]|"
                   "    (1,12)|      mlp|        up [2x1]"},
        {"attn", "model|  layers|    0|      attn|        q [1x1]"},
        {"model.layers.*.attn", "model|  layers|    0|      attn|        q [1x1]"},
        {"*up", "model|  layers (0,1,12)|    mlp|      up [3x1]"},
        {"layers.0-1.mlp", "model|  layers (0-1)|    mlp|      up [2x1]"},
        {"layers.2-99", "model|  layers|    12|      mlp|        up [1x1]"},
        {"re:\\.(q|k)\\.", "model|  layers|    0|      attn|        q [1x1]"},
        {"re:^lm", "lm_head [1x1]"},
        {"nothing", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        CHECK_STR(rows_of(m, (struct sc_outline_options){0}, table[i].filter), table[i].rows);
    struct sc_filter *f;
    struct sc_error e;
    const char *bad[] = {"re:("};
    CHECK_ERR(SCRUPLE_EUSAGE, sc_filter_new(bad, 1, &f, &e));
    char deep[2100] = "re:";
    memset(deep + 3, '(', 40);
    const char *heavy[] = {"re:(x+)\\1", "re:(((x{255}){255}){255})", "re:x{2000}", deep};
    for (size_t i = 0; i < SC_COUNT(heavy); i++)
        CHECK_ERR(SCRUPLE_EUSAGE, sc_filter_new(&heavy[i], 1, &f, &e));
    memset(deep + 3, 'x', 2000);
    CHECK_ERR(SCRUPLE_EUSAGE, sc_filter_new(&heavy[3], 1, &f, &e));
    const char *fine[] = {"re:a{2,3}\\.(b|c){1,30}"};
    REQUIRE(sc_filter_new(fine, 1, &f, &e) == 0);
    sc_filter_free(f);
    const char *two[] = {"attn", "lm_head"};
    REQUIRE(sc_filter_new(two, 2, &f, &e) == 0);
    CHECK(sc_filter_match(f, SC_STR("lm_head.weight")));
    CHECK(!sc_filter_match(f, SC_STR("model.layers.1.mlp.up.weight")));
    sc_filter_free(f);
    sc_model_close(m);
}

TEST(depth_flat_and_sort)
{
    struct sc_model *m = MODEL("a.x:1", "b.0.y:5", "b.1.y:5", "c:7");
    CHECK_STR(rows_of(m, (struct sc_outline_options){.depth = 1}, NULL),
              "a [1x1]|b (0-1) [2x5]|c [1x7]");
    CHECK_STR(rows_of(m, (struct sc_outline_options){.sort = SC_SORT_SIZE}, NULL),
              "b (0-1)|  y [2x5]|c [1x7]|a|  x [1x1]");
    CHECK_STR(rows_of(m, (struct sc_outline_options){.flat = true}, NULL),
              "a.x [1x1]|b.0.y [1x5]|b.1.y [1x5]|c [1x7]");
    CHECK_STR(rows_of(m, (struct sc_outline_options){.flat = true, .sort = SC_SORT_SIZE}, NULL),
              "c [1x7]|b.0.y [1x5]|b.1.y [1x5]|a.x [1x1]");
    sc_model_close(m);
}

/* One name a hundred thousand times was quadratic. */
TEST(equal_names_do_not_make_a_chain)
{
    enum { N = 20000 };
    struct sc_buf json = {0};
    struct sc_model *m;
    struct sc_error e;
    const struct sc_open_options lenient = {.lenient = true};
    for (int i = 0; i < N; i++)
        sc_buf_printf(&json, "%c\"a.b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                      i ? ',' : '{', i, i + 1);
    sc_buf_puts(&json, ",\"a.c\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    struct blob b = st_blob(json.p, json.n, N);
    REQUIRE(open_blob(b, &lenient, &m, &e) == 0);
    CHECK_U64(m->n_tensors, N + 1);
    CHECK_U64(m->n_nodes, 1 + 1 + N + 1);
    CHECK_U64(m->nodes[1].n_children, N + 1);
    sc_model_close(m);
    free(b.p);
    sc_buf_clear(&json);
}

TEST(a_name_with_thousands_of_dots)
{
    char name[40001];
    for (size_t i = 0; i < sizeof name - 1; i++)
        name[i] = i % 2 ? '.' : 'a';
    name[sizeof name - 1] = '\0';
    struct sc_model *m = MODEL(name, "b");
    struct sc_outline ol;
    struct sc_error e;
    const struct sc_outline_options o = {0};
    REQUIRE(sc_outline_make(m, &o, &ol, &e) == 0);
    CHECK_U64(ol.n_rows, 20002);
    sc_outline_clear(&ol);
    sc_model_close(m);
}
