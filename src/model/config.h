/* SPDX-License-Identifier: Apache-2.0 */
/* config: reading numbers and words from JSON that anybody may have written. Private to the model
 * layer; shared by config*.c and facts.c. */
#ifndef SC_MODEL_CONFIG_H
#define SC_MODEL_CONFIG_H

#include <jansson.h>

#include "model/model.h"

/* A document and what came of it. The getters leave *out alone when the value is absent, null or a
 * list; what is out of range or of another type is ignored with a warning. Once `code` is
 * negative (no memory) they do nothing. */
struct sc_reading {
    struct sc_model *m;
    const char *path;
    struct sc_error *e;
    int code;
};

/* 1: *out is an object, to be freed with json_decref(). 0: there is no such file, or it was
 * ignored with a warning. Negative: an error. */
int sc_config_load(struct sc_model *m, struct sc_repo *repo, const char *path, uint64_t max,
                   json_t **out, struct sc_error *e);

/* 1: *out is the document. 0: it is not valid, *at tells why. SCRUPLE_EMEMORY: no memory. */
int sc_config_parse(const char *text, size_t n, json_t **out, json_error_t *at);

/* `keys`: names of one thing, separated by spaces; the first that has a value counts. true: *out
 * was set. */
bool sc_config_uint(struct sc_reading *r, const json_t *object, const char *keys, uint64_t min,
                    uint64_t max, uint64_t *out);
bool sc_config_number(struct sc_reading *r, const json_t *object, const char *keys, double *out);
bool sc_config_text(struct sc_reading *r, const json_t *object, const char *keys, const char **out);
bool sc_config_bool(const json_t *object, const char *key, bool *out);

/* A copy that lives as long as the model; NULL when r->code is (or becomes) negative. */
const char *sc_config_keep(struct sc_reading *r, const char *text, size_t n);
/* A warning "config.value" about what was ignored. */
void sc_config_warn(struct sc_reading *r, const char *fmt, ...) SC_PRINTF(2, 3);

/* config_quant.c: how the weights are quantised, from the root of config.json or params.json. */
void sc_config_quantization(struct sc_reading *r, const json_t *root, const json_t *text);
/* hf_quant_config.json of ModelOpt, quantize_config.json of early GPTQ. */
int sc_config_quant_files(struct sc_model *m, struct sc_repo *repo, struct sc_error *e);
/* config_gguf.c: the keys of a GGUF model. */
int sc_config_gguf(struct sc_model *m, struct sc_error *e);

#endif
