/* SPDX-License-Identifier: Apache-2.0 */
/* pyramids_find: the pyramids of earlier runs: what names the content of a model and the way it is
 * drawn, and which of its tensors the file of that name has. */
#include "picture/pyramid.h"

#include <stdio.h>

#include "hub/cache.h"

/* Of what is computed: another number makes older files useless. */
#define METHOD "pyramid 1"

/* What a layout takes from the configuration, beside the tensors. */
static void put_config(const struct sc_config *c, struct sc_buf *b)
{
    sc_buf_printf(b, "%s %s %lld %lld %llu %llu %d\n", c->quant_method ? c->quant_method : "-",
                  c->quant_format ? c->quant_format : "-", (long long)c->quant_bits,
                  (long long)c->quant_group, (unsigned long long)c->quant_block[0],
                  (unsigned long long)c->quant_block[1], c->quant_modelopt_awq);
    for (size_t i = 0; i < c->n_quant_modules; i++)
        sc_buf_printf(b, "%s %u %u\n", c->quant_modules[i].name, c->quant_modules[i].bits,
                      c->quant_modules[i].group);
}

static void put_entry(const struct sc_model *m, uint32_t entry, struct sc_buf *b)
{
    const struct sc_entry *en = &m->catalog->entries[entry];
    const struct sc_quantizer *q = sc_entry_quantizer(m->catalog, en);
    sc_buf_printf(b, " %u:%llu+%llu/%u/%u", en->file, (unsigned long long)en->offset,
                  (unsigned long long)en->bytes, en->dtype, en->flags);
    if (en->view != SC_NO_STORAGE) {
        const struct sc_view *v = &m->catalog->views[en->view];
        sc_buf_printf(b, " view %u %llu", v->storage, (unsigned long long)v->first);
        for (uint8_t i = 0; i < en->rank; i++)
            sc_buf_printf(b, " %llu", (unsigned long long)v->strides[i]);
    }
    if (q)
        sc_buf_printf(b, " quantizer %d %a %lld %lld", q->per_channel, q->scale,
                      (long long)q->zero_point, (long long)q->axis);
}

static void put_tensor(const struct sc_pyramids *p, size_t i, struct sc_buf *b)
{
    const struct sc_model *m = p->model;
    const struct sc_tensor *t = &m->tensors[i];
    const struct sc_cell_grid *g = &p->entries[i].grid;
    if (!p->entries[i].drawn)
        return;
    sc_buf_put(b, t->name, t->name_len);
    sc_buf_printf(b, " %s %s %u %u %llux%llux%llu %u %u", sc_layouts[t->layout].name, t->dtype,
                  t->group, t->bits, (unsigned long long)g->slices, (unsigned long long)g->rows,
                  (unsigned long long)g->cols, g->bits_y, g->bits_x);
    for (size_t k = 0; k < t->rank; k++)
        sc_buf_printf(b, " %llu", (unsigned long long)t->shape[k]);
    for (size_t k = 0; k < t->n_parts; k++)
        put_entry(m, m->parts[t->first_part + k].entry, b);
    sc_buf_putc(b, '\n');
}

bool sc_pyramids_identify(const struct sc_model *m, struct sc_buf *b)
{
    bool known = true;
    put_config(&m->config, b);
    for (uint32_t i = 0; i < m->catalog->n_files && known; i++) {
        known = sc_model_identity(m, i, b);
        sc_buf_putc(b, '\n');
    }
    return known;
}

/* What names the content of all tensors, as sc_values_identity() does for one, but without opening
 * them: their files, and what is said of them. */
bool sc_pyramids_key(const struct sc_pyramids *p, char key[65])
{
    const struct sc_drawn_values *v = p->o.values;
    struct sc_buf b = {0};
    sc_buf_puts(&b, METHOD "\n");
    bool known = v ? v->identify(v->ctx, &b) : sc_pyramids_identify(p->model, &b);
    for (size_t i = 0; i < p->model->n_tensors && known; i++)
        put_tensor(p, i, &b);
    known = known && !b.failed && sc_sha_of(SC_SHA256, b.p, b.n, key, NULL) == 0;
    sc_buf_clear(&b);
    return known;
}

void sc_pyramids_find(struct sc_pyramids *p)
{
    const size_t n = p->model->n_tensors;
    char key[65];
    uint64_t at = 0;
    if (!p->cache || p->pack || !sc_pyramids_key(p, key))
        return;
    p->pack_tensors = sc_calloc(n, sizeof *p->pack_tensors);
    for (size_t i = 0; p->pack_tensors && i < n; i++) {
        const struct sc_pyramid_entry *t = &p->entries[i];
        const bool has = t->drawn && !t->instead;
        const uint64_t cells = has ? t->slice_cells * t->grid.slices : 0;
        p->pack_tensors[i] = (struct sc_pack_tensor){at, cells};
        at = sc_add_up(at, cells);
    }
    if (!p->pack_tensors || at > UINT64_MAX / 64)
        return;
    p->pack = sc_pack_open(p->cache, key, p->pack_tensors, n);
    for (size_t i = 0; i < n && p->pack; i++) {
        struct sc_pyramid_entry *t = &p->entries[i];
        uint8_t none = SC_PYRAMID_NONE;
        struct sc_scale_range range;
        if (!t->drawn || t->state != SC_PYRAMID_NONE || !sc_pack_has(p->pack, i, &range))
            continue;
        t->range = sc_range_to_bits(&range);
        if (atomic_compare_exchange_strong(&t->state, &none, SC_PYRAMID_KEPT))
            p->done_bytes += p->model->tensors[i].bytes;
    }
    p->ranges++;
    sc_pyramids_grow(p, false);
}
