/* SPDX-License-Identifier: Apache-2.0 */
/* tree_quality: what number formats cost, beside the rows of `scruple tree -c`.
 *
 * Owns: how a row that stands for many tensors sums them up, and the columns and objects that show
 * it. Does not own: figures of a tensor (quant.h), collapsing (model), the tables that these
 * columns are part of (listing).
 *
 * A row tells the worst of its tensors: the least pcc, the largest atol. Beside these the least and
 * the largest of all values, and their mean (tensors count by their number of values).
 */
#ifndef SC_TREE_QUALITY_H
#define SC_TREE_QUALITY_H

#include "analyze/quant.h"

struct sc_tree_quality;

/* In the memory of the document; run and outline are borrowed. The outline must have been made with
 * `members`, of the model that the run is about. ascii: no character beyond ASCII in texts. */
int sc_tree_quality_make(struct sc_document *d, const struct sc_quant *q,
                         const struct sc_outline *outline, bool ascii, struct sc_tree_quality **out,
                         struct sc_error *e);

/* Columns that follow the n of `base`, of which a copy is made: for rows on a terminal, or flat,
 * one set a format, for CSV of tensors. Sets *columns and *n to all of them. */
int sc_tree_quality_columns(struct sc_document *d, const struct sc_tree_quality *v, bool flat,
                            const struct sc_column **columns, size_t *n, struct sc_error *e);
/* column: from 0 on, behind the base. */
void sc_tree_quality_row_cell(const struct sc_tree_quality *v, size_t row, size_t column,
                              struct sc_cell *out);
void sc_tree_quality_tensor_cell(const struct sc_tree_quality *v, uint32_t tensor, size_t column,
                                 struct sc_cell *out);

/* "quality" of a row, of a tensor (an index into model->tensors), and of the document. */
void sc_tree_quality_add_row(const struct sc_tree_quality *v, size_t row, struct sc_document *d,
                             struct sc_field *into);
void sc_tree_quality_add_tensor(const struct sc_tree_quality *v, uint32_t tensor,
                                struct sc_document *d, struct sc_field *into);
void sc_tree_quality_add(const struct sc_tree_quality *v, struct sc_document *d,
                         struct sc_field *into);

#endif
