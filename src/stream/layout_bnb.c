/* SPDX-License-Identifier: Apache-2.0 */
/* layout_bnb: 4-bit weights of bitsandbytes (arXiv 2305.14314).
 *
 *     w[i] = quant_map[code i] * a[i / blocksize]       code 2j: high nibble of byte j, 2j+1: low
 *     a[b] = absmax[b]                                  float
 *     a[b] = nested_quant_map[absmax[b]] * nested_absmax[b / nested_blocksize] + nested_offset
 *
 * in single precision and in this order. Blocks run through the rows of the matrix as if it were
 * one. The sizes of blocks and the offset stand in quant_state, which is JSON in a tensor. */
#include <math.h>
#include <string.h>

#include "model/config.h"
#include "stream/layout_parts.h"

enum { MOST_STATE = 4096 };

/* Floats of absmax: blocks first..first+n. */
static int block_scales(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t first,
                        size_t n, struct sc_error *e)
{
    if (!u->nested_block)
        return sc_part_floats(u, w, &u->scale, first, n, w->scales, e);
    const uint64_t from = first / u->nested_block, to = (first + n - 1) / u->nested_block + 1;
    const uint8_t *codes;
    TRY(sc_part_floats(u, w, &u->scale_2, from, to - from, w->zeros, e));
    TRY(sc_part_bytes(u, w, &u->scale, first, n, &codes, e));
    for (size_t i = 0; i < n; i++)
        w->scales[i] =
            u->nested[codes[i]] * w->zeros[(first + i) / u->nested_block - from] + u->offset;
    return 0;
}

static int bnb4_piece(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                      uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    const uint64_t along = u->grid.along, from = col / along, to = (col + n - 1) / along + 1;
    const uint8_t *src;
    const size_t len = (size_t)((col + n + 1) / 2 - col / 2);
    (void)row; /* one row that is as long as the weight */
    TRY(sc_code_bytes(u, w, col / 2, len, &src, e));
    TRY(block_scales(u, w, from, (size_t)(to - from), e));
    size_t i = 0;
    if (col % 2)
        dst[i++] = u->pairs[*src++][1];
    for (; i + 1 < n; i += 2, src++)
        memcpy(dst + i, u->pairs[*src], sizeof u->pairs[0]);
    if (i < n)
        dst[i] = u->pairs[*src][0];
    sc_apply_runs(SC_APPLY_SCALE, dst, n, col, along, w->scales, NULL);
    return 0;
}

/* Sizes and offset; 0 or as they are where the state is silent. */
static int read_state(struct sc_unpack *u, uint64_t *block, uint64_t *nested, struct sc_error *e)
{
    struct sc_unpack_part p = {.entry = SC_PART_ABSENT};
    json_t *doc = NULL;
    json_error_t at;
    int code = sc_part_find(u, SC_PART_STATE, NULL, &p, e);
    if (code == 0 && sc_part_there(&p)) {
        if (!p.whole || p.bytes > MOST_STATE || !sc_part_is(&p, "U8"))
            code = sc_unpack_refuse(u, &p, SCRUPLE_EFORMAT, e, "it is no text of up to %d bytes",
                                    MOST_STATE);
        else if ((code = sc_config_parse((const char *)p.whole, (size_t)p.bytes, &doc, &at)) < 0)
            sc_say_memory(e);
        else if (code == 0)
            code = sc_unpack_refuse(u, &p, SCRUPLE_EFORMAT, e, "it is not valid JSON");
        else
            code = 0;
    }
    if (doc) {
        const json_t *offset = json_object_get(doc, "nested_offset");
        const json_int_t b = json_integer_value(json_object_get(doc, "blocksize"));
        const json_int_t c = json_integer_value(json_object_get(doc, "nested_blocksize"));
        *block = b > 0 ? (uint64_t)b : 0;
        *nested = c > 0 ? (uint64_t)c : *nested;
        u->offset = (float)json_number_value(offset);
        if ((offset && !json_is_number(offset)) || !isfinite(u->offset))
            code = sc_unpack_refuse(u, &p, SCRUPLE_EFORMAT, e, "nested_offset is no number");
        json_decref(doc);
    }
    sc_part_drop(&p);
    return code;
}

static int read_map(struct sc_unpack *u, const char *name, struct sc_unpack_part *p, uint64_t n,
                    float *dst, struct sc_error *e)
{
    TRY(sc_part_find(u, SC_PART_MAP, name, p, e));
    TRY(sc_unpack_need(u, p, name + 1, e));
    if (p->count != n)
        return sc_unpack_refuse(u, p, SCRUPLE_EFORMAT, e, "%llu values were expected",
                                (unsigned long long)n);
    return sc_part_read(u, p, dst, e);
}

static uint64_t pieces(uint64_t n, uint64_t size)
{
    return n / size + (n % size != 0);
}

static int open_nested(struct sc_unpack *u, uint64_t nested, struct sc_error *e)
{
    TRY(read_map(u, ".nested_quant_map", &u->map_2, 256, u->nested, e));
    TRY(sc_part_find(u, SC_PART_SCALE_2, NULL, &u->scale_2, e));
    TRY(sc_unpack_need(u, &u->scale_2, "nested_absmax", e));
    u->nested_block = nested;
    if (u->scale_2.count != pieces(u->scale.count, nested))
        return sc_unpack_refuse(
            u, &u->scale_2, SCRUPLE_EFORMAT, e, "%llu blocks of %llu values were expected",
            (unsigned long long)pieces(u->scale.count, nested), (unsigned long long)nested);
    return 0;
}

int sc_unpack_bnb4(struct sc_unpack *u, struct sc_error *e)
{
    uint64_t block = 0, nested = 256; /* what bitsandbytes uses when it is not told */
    float table[16] = {0};
    TRY(read_map(u, ".quant_map", &u->map, 16, table, e));
    for (size_t i = 0; i < SC_COUNT(u->pairs); i++) {
        u->pairs[i][0] = table[i >> 4];
        u->pairs[i][1] = table[i & 15];
    }
    TRY(sc_part_find(u, SC_PART_SCALE, NULL, &u->scale, e));
    TRY(sc_unpack_need(u, &u->scale, "absmax", e));
    TRY(read_state(u, &block, &nested, e));
    if (!block)
        block = u->tensor->group;
    if (!sc_part_is(&u->codes, "U8") || u->codes.count != u->count / 2 + u->count % 2)
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EFORMAT, e,
                                "bytes of two of the %llu values were expected",
                                (unsigned long long)u->count);
    if (!block || u->scale.count != pieces(u->count, block))
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e,
                                "blocks of %llu values make another number of them",
                                (unsigned long long)block);
    u->bits = 4;
    u->cols = u->count;
    u->rows = 1;
    u->grid = (struct sc_unpack_grid){.down = 1, .along = block, .high = 1, .wide = u->scale.count};
    u->piece = bnb4_piece;
    return sc_part_is(&u->scale, "U8") ? open_nested(u, nested, e) : 0;
}
