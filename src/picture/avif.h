/* SPDX-License-Identifier: Apache-2.0 */
/* avif: pictures of indices as AVIF, for whoever takes nothing else.
 *
 * Lossless: 8 bits, 4:4:4, the colours themselves as planes (matrix coefficients "identity"), so a
 * decoder gives the bytes of the palette. libavif is loaded when the first picture is wanted, and
 * need not be there to build. */
#ifndef SC_PICTURE_AVIF_H
#define SC_PICTURE_AVIF_H

#include "picture/colour.h"

/* Can pictures be written? SCRUPLE_EUNSUPPORTED with a sentence when they cannot. */
int sc_avif_check(struct sc_error *e);
/* width x height indices (each at most 65536) as a picture: *out is the caller's to free. The same
 * bytes for the same pixels and libraries. Any thread. */
int sc_avif_tile(const uint8_t *indices, uint32_t width, uint32_t height,
                 const struct sc_palette *palette, uint8_t **out, size_t *n, struct sc_error *e);

#endif
