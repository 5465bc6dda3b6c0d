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
    /* The 99.9 % quantile of |x| of finite values: the largest step of which more than n / 1000
     * values are not below; steps have six binary digits, so it is up to 3 % low. From a pyramid it
     * is of all values of tensors of less than a Mi, and of 512 Ki or more of larger ones (one in 2
     * to 16, at fixed places). 0: nothing but zeros (or so few others). */
    float robust;
    float abs; /* largest finite |x|; exact from a pyramid */
};
/* From any thread. */
struct sc_scales;
/* Reads nothing. `p` must outlive it. */
int sc_scales_new(struct sc_pyramids *p, struct sc_scales **out, struct sc_error *e);
void sc_scales_free(struct sc_scales *s); /* NULL is allowed */
/* Reads what is cheap of every tensor, or of those of a list (NULL: all), in parallel: of files
 * that are here only, and only what nothing is known of. 4 to 64 runs of 256 values a tensor
 * (65,536 for all, if that is enough), so it is the same estimate in any order. What cannot be read
 * stays unknown. SCRUPLE_EINTERRUPTED after a cancel; `cancel` may be NULL. */
int sc_scales_sample(struct sc_scales *s, struct sc_pool *pool, const uint32_t *tensors, size_t n,
                     const _Atomic int *cancel, struct sc_error *e);
/* What is known now; false: nothing. *final: building pyramids will not change it. */
bool sc_scales_of(struct sc_scales *s, uint32_t tensor, struct sc_scale_range *out, bool *final);
/* The largest that is known of each role (enum sc_role), and of all tensors of the scene. Counted
 * anew only when one has changed. */
void sc_scales_all(struct sc_scales *s, struct sc_scale_range roles[SC_ROLE_COUNT],
                   struct sc_scale_range *model);

/* Of differences, for SC_END_RMS: the root mean square of A's tensor, when somebody has measured
 * it, and what steps end at; 0: not known. Of SC_NO_NODE the largest. */
void sc_scales_set_rms(struct sc_scales *s, uint32_t tensor, double rms);
float sc_scales_end(const struct sc_scales *s, uint32_t tensor);

#endif
