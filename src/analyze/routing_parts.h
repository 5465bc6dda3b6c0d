/* SPDX-License-Identifier: Apache-2.0 */
/* routing_parts: what the files of routing share. Private to analyze. */
#ifndef SC_ROUTING_PARTS_H
#define SC_ROUTING_PARTS_H

#include "analyze/routing.h"

/* routing_judge.c: figures of layers, pairs and outputs, once everything is counted. certainty
 * holds the sum over tokens. */
int sc_routing_judge(struct sc_routing *r, struct sc_error *e);
/* routing.c: tokens that see each other. */
size_t sc_routing_window(const struct sc_forward *f, const struct sc_routing_options *o);

#endif
