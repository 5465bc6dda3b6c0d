/* SPDX-License-Identifier: Apache-2.0 */
/* figures: what the commands that measure tensors share.
 *
 * Owns: many records of figures beside little memory, tensors that are the same bytes, metric
 * tables as parts of documents, medians, lines of bars.
 */
#ifndef SC_FIGURES_H
#define SC_FIGURES_H

#include "analyze/analyze.h"
#include "analyze/health.h"

/* n zeroed records of `size` bytes. Those of 100,000 tensors are some 300 MB: in pages of a file.
 */
struct sc_records {
    void *p; /* sc_pages_new() */
    size_t n, size;
};
int sc_records_make(struct sc_records *r, size_t n, size_t size, struct sc_error *e);
void sc_records_free(struct sc_records *r);
static inline void *sc_record(const struct sc_records *r, size_t i)
{
    return (char *)r->p + i * r->size;
}

/* twin[i]: the first k < i for which tensors[k] of m is stored in the same bytes as tensors[i],
 * with the same type and shape; SC_NO_NODE: there is none. */
int sc_find_twins(const struct sc_model *m, const uint32_t *tensors, size_t n, uint32_t *twin,
                  struct sc_error *e);

/* Metrics of the struct at `figures` as cells and as members of an object. */
bool sc_metric_is_list(const struct sc_metric *m);
void sc_metric_cell(const struct sc_metric *m, const void *figures, struct sc_cell *out);
/* "per_channel.sqnr_db": neighbours with the same beginning share an object. `full`: with the data
 * of pictures. */
void sc_metrics_add(struct sc_document *d, struct sc_field *into, const struct sc_metric_group *g,
                    const void *figures, bool full);
/* Columns of the metrics that are no lists, "group.key", from columns[*k] on; metrics[*k] is what
 * column *k shows. There is room for g->n more. */
int sc_metric_columns(struct sc_document *d, const struct sc_metric_group *g,
                      struct sc_column *columns, const struct sc_metric **metrics, size_t *k,
                      struct sc_error *e);

/* Of those that are numbers; v is left in another order. Infinities count as large. NaN: of none.
 */
double sc_figures_median(double *v, size_t n);
/* n values as at most `most` bars, neighbours put together by their median; v is overwritten. In
 * the document's arena; NULL: nothing is above zero. */
const char *sc_bars(struct sc_document *d, double *v, size_t n, size_t most, bool ascii);
/* A number in four digits, as people read it, into text (64); empty for NaN. */
struct sc_str sc_short_number(double v, char *text);
/* Where a weight is seen: a document that names weights is lent one. */
struct sc_spotter {
    /* "NAME[r,c]" as view --at takes it, or with `link` the permalink of the viewer. Valid until
     * the next call; p NULL: there is none. */
    struct sc_str (*text)(void *ctx, uint32_t tensor, uint64_t element, bool link);
    void *ctx;
};
void sc_spotter_cell(const struct sc_spotter *s, uint32_t tensor, uint64_t element, bool link,
                     struct sc_cell *out); /* s NULL: null */
/* Adds a number; null for NaN. */
void sc_add_figure(struct sc_document *d, struct sc_field *into, const char *key, double v);

#endif
