/* SPDX-License-Identifier: Apache-2.0 */
/* unicode_look: what normal.c looks up in the tables of unicode.c. */
#ifndef SC_TEXT_UNICODE_LOOK_H
#define SC_TEXT_UNICODE_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Combining class, | 256 when c may be the second of a composition. */
unsigned sc_uc_marks(uint32_t c);
/* The full decomposition in *to; 0: c itself. Hangul is the caller's business. */
size_t sc_uc_decomposed(uint32_t c, bool compat, const uint32_t **to);
/* The code point that a and b compose to, or 0. */
uint32_t sc_uc_compose(uint32_t a, uint32_t b);

#endif
