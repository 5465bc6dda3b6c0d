/* SPDX-License-Identifier: Apache-2.0 */
/* facts: the files beside the weights: config.json, params.json, quantisation configs, tokenizers,
 * the model card. The input is an archive (fuzz.h) of those; a tiny model is added where it has
 * none. What they say wrongly is a finding, never the end, and every number is in range. */
#include "render.h"

/* A sound safetensors file of two tensors. */
static const char header[] = "{\"embed_tokens.weight\":{\"dtype\":\"F16\",\"shape\":[4,2],"
                             "\"data_offsets\":[0,16]},"
                             "\"layers.0.mlp.gate.weight\":{\"dtype\":\"F16\",\"shape\":[2,2],"
                             "\"data_offsets\":[16,24]}}";

static void add_weights(struct fuzz_archive *a, uint8_t *bytes, size_t n)
{
    struct fuzz_file *f = &a->files[SC_MIN(a->n, FUZZ_MAX_FILES - 1)];

    for (size_t i = 0; i < a->n; i++) {
        const struct sc_str path = sc_strz(a->files[i].path);
        if (sc_str_ends(path, ".safetensors") || sc_str_ends(path, ".gguf"))
            return;
    }
    memset(bytes, 0, n);
    bytes[0] = sizeof header - 1;
    memcpy(bytes + 8, header, sizeof header - 1);
    *f = (struct fuzz_file){.path = "model.safetensors", .p = bytes, .size = n};
    a->n = (size_t)(f - a->files) + 1;
}

static void check_text(const char *s)
{
    if (s)
        FUZZ_CHECK(strlen(s) < SC_MAX_CONFIG_BYTES);
}

static void check_config(const struct sc_config *c)
{
    check_text(c->source);
    check_text(c->architecture);
    check_text(c->model_type);
    check_text(c->dtype);
    check_text(c->quant_method);
    check_text(c->quant_format);
    FUZZ_CHECK(c->quant_bits >= 0 && c->quant_bits <= 64);
    FUZZ_CHECK(c->quant_group >= -1);
    for (size_t i = 0; i < c->n_quant_modules; i++) {
        check_text(c->quant_modules[i].name);
        if (i)
            FUZZ_CHECK(strcmp(c->quant_modules[i - 1].name, c->quant_modules[i].name) <= 0);
    }
    FUZZ_CHECK(!c->tied_embeddings || c->has_tied_embeddings);
}

static void check_facts(const struct sc_model *m)
{
    const struct sc_tokenizer_facts *t = &m->tokenizer;
    const struct sc_card_facts *c = &m->card;

    check_text(t->type);
    check_text(t->bos);
    check_text(t->eos);
    check_text(t->pad);
    check_text(t->unk);
    FUZZ_CHECK(c->n_base_models <= SC_COUNT(c->base_model));
    for (size_t i = 0; i < c->n_base_models; i++)
        FUZZ_CHECK(c->base_model[i]);
    check_text(c->license);
    check_text(c->languages);
    check_text(c->tags);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_archive archive;
    static uint8_t weights[8 + sizeof header - 1 + 24];
    const struct sc_open_options o = {.facts = true, .check = true};
    const struct sc_term term = {.width = 100};
    struct sc_model *m;
    struct sc_document d;
    struct sc_error e = {0};

    fuzz_archive_read(&archive, data, size);
    add_weights(&archive, weights, sizeof weights);
    const int code = sc_model_open_repo(fuzz_repo(&archive, NULL), &o, &m, &e);
    if (code < 0) {
        fuzz_check_refusal(code, &e, true);
        return 0;
    }
    check_config(&m->config);
    check_facts(m);
    fuzz_check_model(m);
    sc_document_start(&d, SC_SCHEMA_INFO);
    FUZZ_CHECK(sc_analyze_info(&d, &d.root, m, &e) == 0);
    fuzz_check_document(&d, SC_SCHEMA_INFO, &term);
    sc_document_clear(&d);
    sc_model_close(m);
    return 0;
}
