/* SPDX-License-Identifier: Apache-2.0 */
/* encoder: which encoder serves which row of the codec table, at which level. */
#include <string.h>

#include "codec/encode_ggml.h"

static const struct sc_encoder_row *search(const struct sc_encoder_row *row, const char *name)
{
    while (row->name && strcmp(row->name, name) != 0)
        row++;
    return row->name ? row : NULL;
}

sc_encode_fn *sc_encoder(sc_codec_id id, enum sc_cpu level)
{
    const char *name = sc_codec(id)->name;
    const struct sc_encoder_row *row = search(sc_encode_ggml, name);
    if (!row)
        row = search(sc_encode_fits, name);
    if (!row)
        return NULL;
    if (level >= SC_CPU_AVX512 && row->avx512)
        return row->avx512;
    if (level >= SC_CPU_AVX2 && row->avx2)
        return row->avx2;
    return row->c;
}

bool sc_encoder_exact(sc_codec_id id)
{
    return search(sc_encode_ggml, sc_codec(id)->name) != NULL;
}
