/* SPDX-License-Identifier: Apache-2.0 */
/* quant_page: results of `quant` as marks of pictures, and as a page. */
#include <stdlib.h>

#include "report/quant_folder.h"

/* "bfp8:115209 bfp4:13815" */
static void put_cells(struct sc_buf *b, const struct sc_quant *q, const struct sc_mix_totals *t)
{
    for (size_t f = 0; f < q->plan->mix.n; f++)
        sc_buf_printf(b, "%s%s:%llu", f ? " " : "", q->plan->mix.f[f].name,
                      (unsigned long long)t->cells[f]);
}

int sc_quant_points_make(const struct sc_quant *q, size_t i, struct sc_quant_points *out,
                         struct sc_error *e)
{
    *out = (struct sc_quant_points){.points = sc_calloc(q->n_rows, sizeof *out->points),
                                    .names = sc_calloc(q->n_rows, sizeof *out->names)};
    put_cells(&out->cells, q, &sc_quant_first(q, i)->totals);
    if (!out->points || !out->names || out->cells.failed)
        return sc_fail_memory(e);
    for (size_t k = 0; k < q->n_rows; k++) {
        struct sc_quant_row row;
        if (!sc_quant_row_at(q, i, k, &row) || row.cost->bytes == UINT64_MAX)
            continue;
        const struct sc_quality *c = row.cost;
        const struct sc_mix_totals as = {.pcc = c->pcc,
                                         .one_minus_pcc = c->one_minus_pcc,
                                         .mae = c->mae,
                                         .atol = c->atol,
                                         .mse = c->mse,
                                         .sqnr_db = c->sqnr_db};
        const char *name =
            row.f ? sc_quant_row_name(&row, out->names[out->n]) : sc_algorithm_names[row.algorithm];
        out->points[out->n++] =
            (struct sc_size_point){.name = sc_strz(name),
                                   .formats = row.f ? NULL : out->cells.p,
                                   .bytes = (double)c->bytes,
                                   .value = sc_mix_value(&as, q->plan->goal.metric),
                                   .mix = !row.f};
    }
    return 0;
}

void sc_quant_points_clear(struct sc_quant_points *p)
{
    free(p->points);
    free(p->names);
    sc_buf_clear(&p->cells);
    *p = (struct sc_quant_points){.n = 0};
}

int sc_quant_page_write(struct sc_out *o, const struct sc_quant *q, struct sc_error *e)
{
    struct sc_quant_page_tensor tensors[SC_PAGE_TENSORS];
    struct sc_quant_points points[SC_PAGE_TENSORS];
    struct sc_quant_page page = {.title = sc_strz(q->model->label),
                                 .goal = q->plan->goal,
                                 .algorithm = sc_algorithm_names[q->plan->algorithm],
                                 .tensors = tensors};
    size_t n = 0;
    int code = 0;

    for (size_t i = 0; i < q->n && n < SC_PAGE_TENSORS && code == 0; i++) {
        const struct sc_quant_tensor *t = &q->tensors[i];
        if (!t->cells || !t->assignment)
            continue;
        code = sc_quant_points_make(q, i, &points[n], e);
        tensors[n] = (struct sc_quant_page_tensor){
            .name = sc_tensor_name(&q->model->tensors[t->tensor]),
            .cells = t->cells,
            .chosen = t->assignment,
            .chosen_totals = &t->totals,
            .points = points[n].points,
            .n_points = points[n].n,
            .frontier = t->curve,
            .n_frontier = t->n_curve,
        };
        n++;
    }
    page.n = n;
    if (code == 0)
        code = sc_report_quant_page(o, &page, e);
    for (size_t i = 0; i < n; i++)
        sc_quant_points_clear(&points[i]);
    return code;
}
