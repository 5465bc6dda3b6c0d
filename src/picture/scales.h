/* SPDX-License-Identifier: Apache-2.0 */
/* scales: how large the weights of a tensor are, for the ends of colours.
 *
 * Owns: estimates from a few values at fixed places, exact figures once pyramids know them, and
 * what follows for roles and the whole model. One piece for pictures in files and in the viewer.
 */
#ifndef SC_SCALES_H
#define SC_SCALES_H

#include "picture/tiles.h"

struct sc_scale_range {
    float robust; /* 99.9 % quantile of |x| of finite values; 0: not known, or nothing but zeros */
    float abs;    /* largest finite |x| */
};
/* From any thread. */
struct sc_scales;
/* Reads nothing. `p` must outlive it. */
int sc_scales_new(struct sc_pyramids *p, struct sc_scales **out, struct sc_error *e);
void sc_scales_free(struct sc_scales *s); /* NULL is allowed */
/* Reads what is cheap of every tensor, or of those of a list (NULL: all), in parallel: of files
 * that are here only. SCRUPLE_EINTERRUPTED. */
int sc_scales_sample(struct sc_scales *s, struct sc_pool *pool, const uint32_t *tensors, size_t n,
                     const _Atomic int *cancel, struct sc_error *e);
/* What is known now; false: nothing. *final: will not change. */
bool sc_scales_of(struct sc_scales *s, uint32_t tensor, struct sc_scale_range *out, bool *final);
/* The largest of a role (sc_role), or of all tensors of the scene. */
struct sc_scale_range sc_scales_role(struct sc_scales *s, unsigned role);
struct sc_scale_range sc_scales_model(struct sc_scales *s);

#endif
