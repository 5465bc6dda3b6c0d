/* SPDX-License-Identifier: Apache-2.0 */
/* load_stages: the parts of tokenizer.json that are small, from jansson's values. NULL or null:
 * there is none. */
#ifndef SC_TEXT_LOAD_STAGES_H
#define SC_TEXT_LOAD_STAGES_H

#include <jansson.h>

#include "text/parts.h"

int sc_load_normalizer(const struct sc_load *l, const json_t *value);
int sc_load_pretokenizer(const struct sc_load *l, const json_t *value);
int sc_load_postprocessor(const struct sc_load *l, const json_t *value);
int sc_load_decoder(const struct sc_load *l, const json_t *value);
int sc_load_gpt2_regex(const struct sc_load *l, struct sc_regex *out);

/* Members of an object, with what they are when they are missing or null. */
bool sc_json_flag(const json_t *o, const char *key, bool otherwise);
struct sc_str sc_json_text(const json_t *o, const char *key); /* p == NULL: none */

/* load_number.c: a number in JSON's spelling, to the last bit as in Rust. */
double sc_serde_number(struct sc_str s);

#endif
