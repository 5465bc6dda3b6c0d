/* SPDX-License-Identifier: Apache-2.0 */
/* tokens_input: from the command line to numbers of tokens. */
#include "cli/tokens_input.h"

#include <string.h>

int sc_tokens_input_read(const struct sc_cli *c, struct sc_tokens_input *out, struct sc_error *e)
{
    const char *p = c->set.ids;
    size_t cap = 0;

    *out = (struct sc_tokens_input){0};
    while (p && *p) {
        const size_t n = strcspn(p, ", \t\n");
        uint64_t id;
        struct sc_quoted q;
        if (n) {
            if (!sc_str_u64(sc_str(p, n), &id) || id > UINT32_MAX)
                return sc_fail(e, SCRUPLE_EUSAGE, "--ids holds %s, which is no token's number",
                               sc_quote(&q, sc_str(p, n)));
            TRY(sc_grow(&out->ids, &cap, out->n + 1, sizeof *out->ids, e));
            out->ids[out->n++] = (uint32_t)id;
        }
        p += n + (p[n] != '\0');
    }
    return out->n ? 0 : sc_fail(e, SCRUPLE_EUSAGE, "nothing to read: --ids gives no token");
}
