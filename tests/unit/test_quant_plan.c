/* SPDX-License-Identifier: Apache-2.0 */
/* quant_plan: configuration files and options, what they mean and what is refused. */
#include <stdlib.h>

#include "analyze/quant.h"
#include "test.h"

static struct sc_quant_plan plan;
static struct sc_error error;

/* The plan of a file, finished; the code of the first thing that is wrong. */
static int read_plan(const char *text)
{
    error = (struct sc_error){.code = 0};
    sc_quant_plan_start(&plan);
    const int code = sc_quant_plan_parse(&plan, text, strlen(text), "c.json", &error);
    return code ? code : sc_quant_plan_finish(&plan, &error);
}

static void check_formats(const struct sc_quant_formats *f, const char *const *names, size_t n)
{
    CHECK_U64(f->n, n);
    for (size_t i = 0; i < SC_MIN(n, f->n); i++)
        CHECK_STR(f->f[i].name, names[i]);
}

TEST(nothing_said_is_seven_formats)
{
    static const char *const all[] = {"mxfp4", "nvfp4", "bf16", "bfp8", "bfp4", "bfp2", "fp0"};
    CHECK_ERR(0, read_plan("{}"));
    CHECK_U64(plan.algorithm, SC_ALGORITHM_NONE);
    check_formats(&plan.formats, all, SC_COUNT(all));
    CHECK_U64(plan.seed_source, SC_SEED_UNUSED);
    CHECK_ERR(0, read_plan("{\"quantization_formats\": [], \"params\": null}"));
    check_formats(&plan.formats, all, SC_COUNT(all));
    CHECK_ERR(0, read_plan("{\"quantization_formats\": [\"ALL\"]}"));
    check_formats(&plan.formats, all, SC_COUNT(all));
}

TEST(algorithms_have_names_in_any_case)
{
    static const struct {
        const char *name;
        enum sc_algorithm algorithm;
    } all[] = {{"NONE", SC_ALGORITHM_NONE},
               {"transpose", SC_ALGORITHM_TRANSPOSE},
               {"mixed-tile", SC_ALGORITHM_GREEDY},
               {"Mixed-Tile-Greedy", SC_ALGORITHM_GREEDY},
               {"mixed-tile-threshold", SC_ALGORITHM_THRESHOLD},
               {"mixed-tile-random", SC_ALGORITHM_RANDOM},
               {"optimal", SC_ALGORITHM_OPTIMAL}};
    for (size_t i = 0; i < SC_COUNT(all); i++) {
        char text[80];
        snprintf(text, sizeof text, "{\"algorithm\": \"%s\"}", all[i].name);
        CHECK_ERR(0, read_plan(text));
        CHECK_U64(plan.algorithm, all[i].algorithm);
    }
    CHECK_ERR(0, read_plan("{\"algorithm\": \"budget\", \"budget\": \"2.5bpw\"}"));
    CHECK(plan.budget.bits == 2.5);
}

TEST(mixes_take_what_is_tried_in_its_order)
{
    static const char *const tried[] = {"bfp4", "bf16", "bfp2"};
    static const char *const named[] = {"bfp8", "bfp4"};
    static const char *const any[] = {"mxfp4", "fp8_e4m3"};
    CHECK_ERR(0, read_plan("{\"algorithm\":\"mixed-tile\",\"quantization_formats\":"
                           "\"bfp4, fp0,bf16,mxfp4,bfp2,bf16\"}"));
    check_formats(&plan.mix, tried, SC_COUNT(tried));
    CHECK_ERR(0, read_plan("{\"algorithm\":\"mixed-tile\",\"params\":{\"formats\":\"bfp8,bfp4\"}}"));
    check_formats(&plan.mix, named, SC_COUNT(named));
    CHECK_ERR(0, read_plan("{\"algorithm\":\"mixed-tile-random\","
                           "\"params\":{\"tile_formats\":[\"bfp8\",\"bfp4\",\"bfp8\"]}}"));
    check_formats(&plan.mix, named, SC_COUNT(named));
    CHECK_ERR(0, read_plan("{\"algorithm\":\"optimal\",\"mix_formats\":\"mxfp4,fp8_e4m3\","
                           "\"granularity\":\"group:64\"}"));
    check_formats(&plan.mix, any, SC_COUNT(any));
    CHECK_U64(plan.grain, SC_GRAIN_GROUP);
    CHECK_U64(plan.group, 64);
}

TEST(settings_of_a_format_may_have_commas)
{
    static const char *const two[] = {"int4:group=128,affine", "bf16"};
    CHECK_ERR(0, read_plan("{\"quantization_formats\": \"int4:group=128,affine,bf16\"}"));
    struct sc_encoding f;
    CHECK_ERR(0, sc_encoding_parse(sc_strz(two[0]), &f, NULL));
    CHECK_U64(plan.formats.n, 2);
    CHECK_STR(plan.formats.f[0].name, f.name);
    CHECK_STR(plan.formats.f[1].name, two[1]);
}

TEST(goals)
{
    CHECK_ERR(0, read_plan("{\"algorithm\":\"optimal\"}"));
    CHECK_U64(plan.goal.metric, SC_MIX_PCC);
    CHECK(plan.goal.threshold == 0.999);
    CHECK_U64(plan.grain, SC_GRAIN_TILE);
    CHECK_ERR(0, read_plan("{\"algorithm\":\"optimal\","
                           "\"params\":{\"metric\":\"MAE\",\"threshold\":1e-3}}"));
    CHECK_U64(plan.goal.metric, SC_MIX_MAE);
    CHECK(plan.goal.threshold == 1e-3);
}

TEST(seeds_in_their_order)
{
    /* that of the file, else a drawn one, else that of params, else ours */
    CHECK_ERR(0, read_plan("{\"algorithm\":\"mixed-tile\",\"seed\":7,\"random_seed\":true,"
                           "\"params\":{\"seed\":9}}"));
    CHECK_U64(plan.seed, 7);
    CHECK_U64(plan.seed_source, SC_SEED_CONFIG);
    CHECK_ERR(0, read_plan("{\"algorithm\":\"mixed-tile\",\"params\":{\"seed\":9}}"));
    CHECK_U64(plan.seed, 9);
    CHECK_U64(plan.seed_source, SC_SEED_PARAMS);
    CHECK_ERR(0, read_plan("{\"algorithm\":\"mixed-tile\"}"));
    CHECK_U64(plan.seed, SC_SEED_OF_NOBODY);
    CHECK_U64(plan.seed_source, SC_SEED_DEFAULT);
    static const char *const drawn[] = {
        "{\"algorithm\":\"mixed-tile\",\"random_seed\":true,\"params\":{\"seed\":9}}",
        "{\"algorithm\":\"mixed-tile\",\"seed\":0,\"params\":{\"seed\":9}}",
        "{\"algorithm\":\"mixed-tile\",\"seed\":\"Random\"}",
        "{\"algorithm\":\"mixed-tile-random\",\"params\":{\"seed\":0}}"};
    for (size_t i = 0; i < SC_COUNT(drawn); i++) {
        CHECK_ERR(0, read_plan(drawn[i]));
        CHECK_U64(plan.seed_source, SC_SEED_RANDOM);
        CHECK(plan.seed > 0 && plan.seed < UINT64_C(1) << 31);
        const uint64_t first = plan.seed;
        CHECK_ERR(0, read_plan(drawn[i]));
        CHECK(plan.seed != first); /* one in two thousand million */
    }
    /* options count more than all of it */
    sc_quant_plan_start(&plan);
    static const char text[] = "{\"algorithm\":\"mixed-tile\",\"random_seed\":true}";
    CHECK_ERR(0, sc_quant_plan_parse(&plan, text, strlen(text), "c.json", &error));
    CHECK_ERR(0, sc_quant_set_seed(&plan, SC_STR("11"), "--seed", &error));
    CHECK_ERR(0, sc_quant_plan_finish(&plan, &error));
    CHECK_U64(plan.seed, 11);
    CHECK_U64(plan.seed_source, SC_SEED_OPTION);
    /* nothing is random here */
    CHECK_ERR(0, read_plan("{\"algorithm\":\"optimal\",\"seed\":7}"));
    CHECK_U64(plan.seed_source, SC_SEED_UNUSED);
}

TEST(what_is_wrong_is_refused_with_its_path)
{
    static const struct {
        const char *text, *says;
    } all[] = {
        {"[]", "c.json: a configuration is an object"},
        {"{\"algorithm\": 3}", "c.json: algorithm cannot be 3: it takes the name of an algorithm"},
        {"{\"algorithm\": \"best\"}", "c.json: algorithm cannot be \"best\": it takes none, transp"},
        {"{\"algoritm\": \"none\"}", "c.json: algoritm is no key of a configuration"},
        {"{\"params\": {\"x\": 1}}", "c.json: params.x is no key of a configuration"},
        {"{\"params\": []}", "c.json: params cannot be []: it takes an object, or null"},
        {"{\"params\": {\"metric\": \"psnr\"}}", "params.metric cannot be \"psnr\": it takes pcc"},
        {"{\"params\": {\"threshold\": \"high\"}}", "params.threshold cannot be"},
        {"{\"params\": {\"k\": 0}}", "params.k cannot be 0: it takes a whole number from 1"},
        {"{\"params\": {\"iters\": 1.5}}", "params.iters cannot be 1.5"},
        {"{\"params\": {\"cluster\": \"dbscan\"}}", "params.cluster cannot be"},
        {"{\"params\": {\"formats\": \"mxfp4\"}}", "it takes bf16, bfp8, bfp4 and bfp2"},
        {"{\"quantization_formats\": [1]}", "quantization_formats cannot be 1: it takes formats as"},
        {"{\"quantization_formats\": [\"bfp3\"]}", "c.json: quantization_formats: "},
        {"{\"seed\": -1}", "seed cannot be -1: it takes a whole number from 0 on"},
        {"{\"seed\": 1.5}", "seed cannot be 1.5"},
        {"{\"random_seed\": 1}", "random_seed cannot be 1: it takes true or false"},
        {"{\"granularity\": \"column\"}", "granularity cannot be \"column\": it takes tile, row"},
        {"{\"granularity\": \"group:0\"}", "granularity cannot be"},
        {"{\"budget\": \"much\"}", "budget cannot be \"much\": it takes a size"},
        {"{\"budget\": \"0bpw\"}", "budget cannot be"},
        {"{\"budget\": 100}", ""}, /* implies the algorithm */
        {"{\"algorithm\":\"budget\"}", "needs a budget"},
        {"{\"algorithm\":\"none\",\"budget\":100}", "a budget belongs to the algorithm budget"},
        {"{\"algorithm\":\"optimal\",\"quantization_formats\":[\"mxfp4\"]}", "no formats to mix"},
        {"{\"algorithm\":\"optimal\",\"mix_formats\":\"bfp8.T,bfp4\"}", "a mix cannot hold bfp8.T"},
        {"{\"algorithm\":\"optimal\",\"params\":{\"metric\":\"mae\"}}", "needs a threshold"},
        {"{\"algorithm\":\"optimal\",\"params\":{\"threshold\":2}}", "is from -1 to 1"},
        {"{\"algorithm\":\"mixed-tile\",\"model_wide\":true}", "is found by optimal and budget"},
        {"{\"seed\": 1, \"seed\": 2}", "c.json: is not JSON"},
        {"{\"seed\": 1} x", "c.json: is not JSON"},
        {"", "c.json: is not JSON"},
    };
    for (size_t i = 0; i < SC_COUNT(all); i++) {
        const int code = read_plan(all[i].text);
        if (!*all[i].says) {
            CHECK_ERR(0, code);
            continue;
        }
        CHECK_ERR(SCRUPLE_EUSAGE, code);
        if (!strstr(error.text, all[i].says))
            CHECK_STR(error.text, all[i].says);
    }
}

TEST(a_plan_that_is_written_is_the_same_plan)
{
    static const char *const all[] = {
        "{}",
        "{\"algorithm\":\"transpose\",\"quantization_formats\":[\"bfp8\",\"int4:group=64\"]}",
        "{\"algorithm\":\"mixed-tile\",\"seed\":5,\"params\":{\"cluster\":\"single\",\"k\":3}}",
        "{\"algorithm\":\"mixed-tile-random\",\"params\":{\"iters\":7,\"metric\":\"atol\","
        "\"threshold\":0.125}}",
        "{\"algorithm\":\"budget\",\"budget\":\"3.25bpw\",\"model_wide\":true,"
        "\"granularity\":\"row\"}",
        "{\"algorithm\":\"budget\",\"budget\":123456,\"granularity\":\"group:128\","
        "\"mix_formats\":\"mxfp4,bfp8\"}",
    };
    for (size_t i = 0; i < SC_COUNT(all); i++) {
        struct sc_buf first = {0}, again = {0};
        CHECK_ERR(0, read_plan(all[i]));
        sc_quant_plan_write(&plan, &first);
        REQUIRE(!first.failed);
        CHECK_ERR(0, read_plan(first.p));
        /* Whoever wrote it down named the seed. */
        plan.seed_source = strstr(first.p, "\"default\"") ? SC_SEED_DEFAULT : plan.seed_source;
        sc_quant_plan_write(&plan, &again);
        CHECK_STR(again.p, first.p);
        sc_buf_clear(&first);
        sc_buf_clear(&again);
    }
}
