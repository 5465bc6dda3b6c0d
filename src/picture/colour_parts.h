/* SPDX-License-Identifier: Apache-2.0 */
/* colour_parts: what colour.c and its variant share. Private to these. */
#ifndef SC_PICTURE_COLOUR_PARTS_H
#define SC_PICTURE_COLOUR_PARTS_H

#include "kernel/kernel.h"
#include "picture/colour.h"

/* Entries of the table of a scale: an index, flags, and above them the last lower bits that mean
 * it. */
enum {
    SC_COLOUR_ASK = 0x100,   /* lower bits that are not 0 may mean anything else */
    SC_COLOUR_FALLS = 0x200, /* behind the last comes the step below, not the one above */
    SC_COLOUR_LAST = 16      /* where the last lower bits begin */
};
#if SC_HAVE_X86
/* As many of n pixels as come before one that asks, or as are left at the end; how many. */
size_t sc_colours_apply_avx512(const struct sc_colours *c, const uint32_t *pixels, size_t n,
                               uint8_t *out);
#endif

#endif
