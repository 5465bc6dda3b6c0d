/* SPDX-License-Identifier: Apache-2.0 */
#include "text/parts.h"
int sc_tokenizer_of_gguf(const struct sc_load *l, const struct sc_model *m)
{
    (void)m;
    return sc_fail(l->e, SCRUPLE_EUNSUPPORTED, "x");
}
