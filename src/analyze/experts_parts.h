/* SPDX-License-Identifier: Apache-2.0 */
/* experts_parts: what the files of experts share. Private to analyze. */
#ifndef SC_EXPERTS_PARTS_H
#define SC_EXPERTS_PARTS_H

#include "analyze/experts.h"
#include "kernel/kernel.h"

/* How one expert's share of a tensor is cut into matrices. */
enum sc_expert_cut {
    SC_CUT_WHOLE,        /* it is one matrix */
    SC_CUT_ROWS,         /* upper half gate, lower half up */
    SC_CUT_COLUMNS,      /* left half gate, right half up */
    SC_CUT_EVEN_ROWS,    /* even rows gate, odd rows up (gpt-oss, as its blocks are stored) */
    SC_CUT_EVEN_COLUMNS, /* likewise columns */
};
/* One expert's share of a tensor: `rows` x `cols` values from `first` on. */
struct sc_expert_piece {
    uint32_t tensor, at, expert; /* of layers; expert SC_NO_NODE: the shared one */
    uint8_t part, cut;           /* of a cut one: GATE, and UP beside it */
    uint64_t first, rows, cols;
};
struct sc_expert_pieces {
    struct sc_expert_piece *p;
    size_t n, cap;
};
/* experts_sums.c: of n floats. `most`: bits of the largest magnitude; if that is not finite, `abs`
 * and `square` mean nothing. `small`: magnitudes whose bits are less than `below`. The same bits at
 * every level. */
struct sc_expert_sums {
    double abs, square;
    uint64_t small, zeros;
    uint32_t most;
};
void sc_expert_sums(const float *x, size_t n, uint32_t below, enum sc_cpu level,
                    struct sc_expert_sums *out);
/* experts_find.c: layers (numbers only) and pieces of a model, in the order of the file. */
int sc_experts_find(const struct sc_model *m, const struct sc_filter *filter, struct sc_experts *x,
                    struct sc_expert_pieces *out, struct sc_error *e);
/* experts_judge.c: fills findings. */
int sc_experts_judge(struct sc_experts *x, struct sc_error *e);

#endif
