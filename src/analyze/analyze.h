/* SPDX-License-Identifier: Apache-2.0 */
/* analyze: from a model to a document of results.
 *
 * Owns: what the commands `tree`, `info` and `check` have to say, as documents: which fields and
 * tables there are, their order and their keys (the JSON of design.md section 6). The terminal,
 * JSON and CSV all show these same tables.
 *
 * Does not own: reading (format), meaning (model), words and columns on a screen (report). Nothing
 * here prints, and nothing reads tensor data.
 *
 * The tables are virtual: they look into the model and the outline, which must outlive the
 * document. A document belongs to one thread.
 */
#ifndef SC_ANALYZE_H
#define SC_ANALYZE_H

#include "model/model.h"
#include "result/result.h"

#define SC_SCHEMA_TREE  "scruple.tree/1"
#define SC_SCHEMA_INFO  "scruple.info/1"
#define SC_SCHEMA_CHECK "scruple.check/1"

/* Each adds its fields to `into`, which is &d->root, or one object of the list "models" when a
 * command was given several. The document must have been started. Fails only for want of memory.
 *
 * tree: "model", "io", "totals", ["matched"], "dtypes", "tensors", "rows", "findings". `outline`
 * was made of `m` with `oo`; with a filter, "tensors" and "rows" hold only what it matched, the
 * totals stay those of the whole model. */
int sc_analyze_tree(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                    const struct sc_outline *outline, const struct sc_outline_options *oo,
                    struct sc_error *e);
/* The same with what number formats cost: "quality" behind "io" tells the formats and their means;
 * tensors and rows have objects "quality". */
struct sc_quant;
struct sc_tree_look {
    const struct sc_quant *quality; /* of `m`, with the filter of `oo`, which has `members`; must
                                       outlive the document. NULL: as above */
    bool ascii;                     /* texts of rows are ASCII */
    bool flat;                      /* figures are columns of "tensors", for CSV */
};
int sc_analyze_tree_quality(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                            const struct sc_outline *outline, const struct sc_outline_options *oo,
                            const struct sc_tree_look *look, struct sc_error *e);
/* info: "model", "io", "totals", "hub", "facts", "tokenizer", "card", "dtypes", "layouts",
 * "towers", "metadata", "pickle", "files", "findings". */
int sc_analyze_info(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                    struct sc_error *e);
/* check: "model", "io", "totals", "verdict" ("sound", "warnings" or "errors"), "summary", "pickle",
 * "findings". */
int sc_analyze_check(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                     struct sc_error *e);
/* The same document for a path that could not be opened as a model at all: one finding. */
int sc_analyze_unreadable(struct sc_document *d, struct sc_field *into, const char *path,
                          const struct sc_error *why, struct sc_error *e);

/* ------------------------------------------------------------------ parts that they share --- */
int sc_analyze_model(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                     struct sc_error *e); /* "model" and "io" */
/* The same when more was read than was needed to open it. */
int sc_analyze_model_read(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                          uint64_t bytes_read, uint64_t requests, struct sc_error *e);
int sc_analyze_totals(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                      struct sc_error *e);
int sc_analyze_dtypes(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                      struct sc_error *e);
int sc_analyze_findings(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                        struct sc_error *e);
/* "pickle": null when no file holds one, else the verdict and what it names. */
int sc_analyze_pickle(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                      struct sc_error *e);

/* Memory of the document for a table's context; NULL when there is none (e is filled). */
void *sc_analyze_alloc(struct sc_document *d, size_t n, struct sc_error *e);
int sc_analyze_done(const struct sc_document *d, struct sc_error *e); /* 0 or out of memory */

static inline double sc_bits_per_weight(uint64_t bytes, uint64_t parameters)
{
    return parameters ? (double)bytes * 8 / (double)parameters : 0;
}
static inline double sc_percent(double part, uint64_t whole)
{
    return whole ? 100 * part / (double)whole : 0;
}

#endif
