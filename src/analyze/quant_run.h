/* SPDX-License-Identifier: Apache-2.0 */
/* quant_run: what the files of a run of `quant` share; private to them. */
#ifndef SC_QUANT_RUN_H
#define SC_QUANT_RUN_H

#include <pthread.h>

#include "analyze/quant.h"
#include "analyze/results.h"

struct sc_quant_work {
    struct sc_quant *q;
    const struct sc_quant_options *o;
    struct sc_results *results;
    struct sc_encoding formats[SC_QUALITY_FORMATS]; /* all that are measured in one reading */
    bool in_mix[SC_QUALITY_FORMATS];
    size_t n_formats;
    size_t at_of[SC_QUALITY_FORMATS]; /* where those of q->measured are among them */
    struct sc_item *items;            /* item k is tensor at[k] */
    uint32_t *at;
    size_t n_items;
    uint64_t total;                  /* bytes to read */
    pthread_mutex_t tell;            /* around what follows, and calls of o->progress */
    uint64_t done, under_way, shown; /* bytes of tensors: complete, of others so far, last told */
    struct sc_buf key;               /* scratch */
    struct sc_error *e;
};

struct sc_quality *sc_quant_record(const struct sc_quant *q, size_t i, size_t k);
double sc_quant_now(void); /* seconds from some moment on */
/* quant_mix.c. The mix of one tensor whose cells have come; they are freed unless a mix over all
 * tensors, or its curve, needs them. */
int sc_quant_mix_own(struct sc_quant_work *r, struct sc_quant_tensor *t,
                     const struct sc_parallel *p, struct sc_error *e);
int sc_quant_mix_all(struct sc_quant_work *r);
void sc_quant_mix_forget(struct sc_quant_tensor *t);

#endif
