/* SPDX-License-Identifier: Apache-2.0 */
/* facts: a file of a repository as bytes in memory. Private to facts*.c. */
#ifndef SC_MODEL_FACTS_H
#define SC_MODEL_FACTS_H

#include "model/model.h"

/* Mapped where the source can, else a copy. */
struct sc_text {
    struct sc_source *source;
    char *copy;
    const char *p;
    size_t n;
};
/* The first `max` bytes of a file (the whole of it when `whole`: a longer one is ignored). 1: *t
 * has it; 0: there is no such file, or it was ignored with a warning; negative: an error. Clear
 * in every case. A byte order mark is left out. */
int sc_text_open(struct sc_model *m, struct sc_repo *repo, const char *path, uint64_t max,
                 bool whole, struct sc_text *t, struct sc_error *e);
void sc_text_clear(struct sc_text *t);

/* A warning "facts.ignored": the file cannot be used. */
int sc_facts_ignore(struct sc_model *m, const char *path, const char *why, struct sc_error *e);

/* facts_card.c: front matter of README.md. */
int sc_facts_card(struct sc_model *m, struct sc_repo *repo, struct sc_error *e);

#endif
