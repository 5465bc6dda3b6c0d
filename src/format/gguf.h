/* SPDX-License-Identifier: Apache-2.0 */
/* gguf: what the three files of the GGUF parser share, and the check of split models.
 *
 * gguf.c reads the header and the tensor list, gguf_value.c the values of the keys, gguf_split.c
 * compares the parts of a split model. */
#ifndef SC_GGUF_H
#define SC_GGUF_H

#include "format/format.h"

/* Metadata and tensor list together; the largest seen in the wild are about 50 MB. */
#define SC_MAX_GGUF_HEADER (UINT64_C(256) << 20)

/* One file being read. Functions that take it return false to stop reading; `code` then says why:
 * a negative code to return from open(), or 0 in lenient mode when nothing after this place can be
 * made sense of. */
struct sc_gguf {
    struct sc_catalog *c;
    struct sc_error *e;
    struct sc_reader r;
    struct sc_arena scratch; /* one key with its value */
    uint64_t alignment;
    uint32_t file;
    uint32_t version;
    int code;
};

static inline bool sc_gguf_stop(struct sc_gguf *g, int code)
{
    g->code = code;
    return false;
}
/* For a call that may fail and has no other meaning: sc_problem(), sc_reader_...(). */
static inline bool sc_gguf_ok(struct sc_gguf *g, int code)
{
    g->code = code;
    return code >= 0;
}

/* Numbers in the byte order of the file; `what` is named when the file ends inside it. A length is
 * 32 bits wide in version 1, 64 in later ones. */
bool sc_gguf_u32(struct sc_gguf *g, uint32_t *out, const char *what);
bool sc_gguf_u64(struct sc_gguf *g, uint64_t *out, const char *what);
bool sc_gguf_length(struct sc_gguf *g, uint64_t *out, const char *what);
/* A string of at most max bytes; *out is valid until the next read. */
bool sc_gguf_string(struct sc_gguf *g, uint64_t max, struct sc_str *out, const char *what);
/* The value of `key`, of this type id. Strings and items live in g->scratch. */
bool sc_gguf_value(struct sc_gguf *g, struct sc_str key, uint32_t type, struct sc_value *out);

/* Compare the GGUF files of a catalog whose split.* keys say that they are parts of one model:
 * missing, doubled and misnumbered parts, tensor counts, names that two parts share. To be called
 * once, after all files are open. Files without split.count are left alone. */
int sc_gguf_check_split(struct sc_catalog *c, struct sc_error *e);

#endif
