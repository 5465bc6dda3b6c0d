/* SPDX-License-Identifier: Apache-2.0 */
/* issues: what the files of rules share. Private to analyze. */
#ifndef SC_ANALYZE_ISSUES_H
#define SC_ANALYZE_ISSUES_H

#include "analyze/health.h"

/* In the order of sc_rules, which is the order of the ranking among equals. */
enum sc_rule_id {
    SC_RULE_UNREADABLE,
    SC_RULE_NAN,
    SC_RULE_INFINITY,
    SC_RULE_SATURATED,
    SC_RULE_RANK_DEFICIENT,
    SC_RULE_ALL_ZERO,
    SC_RULE_CONSTANT,
    SC_RULE_DEAD_ROWS,
    SC_RULE_DEAD_COLUMNS,
    SC_RULE_DUPLICATE,
    SC_RULE_FINDING,
    SC_RULE_ODD_LAYER,
    SC_RULE_DRIFT,
    SC_RULE_CONDITION,
    SC_RULE_MAX_OVER_SIGMA,
    SC_RULE_KURTOSIS,
    SC_RULE_OUTLIERS,
    SC_RULE_QUANTIZATION,
    SC_RULE_CORRELATION_TRAP,
    SC_RULE_OVER_TRAINED,
    SC_RULE_UNDER_TRAINED,
    SC_RULE_SUPER_WEIGHT,
    SC_RULE_SPARSE,
    SC_RULE_UPCAST,
    SC_RULE_TIED,
    SC_RULE_UNDECODABLE,
    SC_RULE_COUNT
};

/* While rules run. Adding never fails visibly: `code` is looked at once. */
struct sc_judge {
    const struct sc_model *model;
    const struct sc_scanned *tensors;
    size_t n;
    struct sc_issues *out;
    struct sc_error *e;
    int code;
};
/* tensors[i] has an issue; the message is cut where a character ends. */
void sc_judge_add(struct sc_judge *j, size_t i, enum sc_rule_id rule, enum sc_severity severity,
                  double value, double threshold, const char *fmt, ...) SC_PRINTF(7, 8);
static inline const struct sc_tensor *sc_judge_tensor(const struct sc_judge *j, size_t i)
{
    return &j->model->tensors[j->tensors[i].tensor];
}
/* Weights of which statistics mean something: floats or codes of a quantised layout; no masks,
 * counters or indices. */
bool sc_is_weight(const struct sc_model *m, const struct sc_tensor *t, const struct sc_health *h);
/* And a matrix of at least 1024 values, below which a sample tells little of tails. */
bool sc_is_matrix(const struct sc_tensor *t);

/* Each looks at one measured tensor. */
void sc_judge_values(struct sc_judge *j, size_t i);       /* issues_values.c */
void sc_judge_distribution(struct sc_judge *j, size_t i); /* issues_values.c */
void sc_judge_spectrum(struct sc_judge *j, size_t i);     /* issues_spectrum.c */
/* Looks at all of them. */
void sc_judge_layers(struct sc_judge *j); /* issues_layers.c */

#endif
