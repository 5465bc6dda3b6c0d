/* SPDX-License-Identifier: Apache-2.0 */
/* load_gguf: what its two files share. */
#ifndef SC_TEXT_LOAD_GGUF_H
#define SC_TEXT_LOAD_GGUF_H

#include "text/parts.h"

/* Normalizers and pre-tokenizers of a byte-level vocabulary, by tokenizer.ggml.pre; "" or
 * "default": by the architecture. A name that is not known is refused: another way to cut gives
 * other ids. */
int sc_gguf_pre(const struct sc_load *l, struct sc_str pre, struct sc_str architecture);

#endif
