/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this directory share, and nobody else needs. */
#ifndef SC_HUB_INTERNAL_H
#define SC_HUB_INTERNAL_H

#include "hub/hub.h"

/* A copy in its own memory; NULL: no memory. */
char *sc_hub_copy(struct sc_str s);
/* Lower-case hex digits, `n` of them, and nothing else. */
bool sc_hub_is_hex(const char *s, size_t n);
/* Can this be an id ("org/name", "gpt2"), a revision as git allows it? */
bool sc_hub_is_id(struct sc_str s);
bool sc_hub_is_revision(struct sc_str s);
/* "%2F" and the like to bytes; false: a NUL byte would come out. What is no escape stays. */
bool sc_hub_decode(struct sc_buf *b, struct sc_str s);
/* Appends s with everything but unreserved characters escaped; slashes stay if `slashes`. */
void sc_hub_encode(struct sc_buf *b, struct sc_str s, bool slashes);
/* "org/name", "datasets/org/name": the id in front of which models have nothing. */
void sc_hub_put_id(struct sc_buf *b, uint8_t type, const char *id);
/* `~` and `$VAR` as the Hugging Face tools expand them; NULL: no memory. */
char *sc_hub_expand(const char *text);

#endif
