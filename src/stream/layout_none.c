/* SPDX-License-Identifier: Apache-2.0 */
/* layout_none: stands in for the decoders of folded layouts where they are not linked. */
#include "stream/layout.h"

#define FALLBACK __attribute__((weak))

FALLBACK int sc_unpack_open(const struct sc_model *m, const struct sc_tensor *t,
                            const struct sc_entry_bytes *bytes, struct sc_unpack **out,
                            struct sc_error *e)
{
    (void)m, (void)bytes;
    *out = NULL;
    return sc_fail(e, SCRUPLE_EUNSUPPORTED, "values of the layout %s cannot be computed yet",
                   sc_layouts[t->layout].name);
}

FALLBACK int sc_unpack_read(const struct sc_unpack *u, uint64_t first, uint64_t n, float *dst,
                            struct sc_error *e)
{
    (void)u, (void)first, (void)n, (void)dst;
    return sc_fail(e, SCRUPLE_EUNSUPPORTED, "values of this layout cannot be computed yet");
}

FALLBACK void sc_unpack_close(struct sc_unpack *u)
{
    (void)u;
}
