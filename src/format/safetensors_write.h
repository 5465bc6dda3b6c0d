/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors_write: tensors into safetensors files.
 *
 * Owns: headers, shards and their index as the Hugging Face tools name them, and that nothing is
 * seen of a file or a folder before it is whole: both grow under another name beside the target.
 *
 * A target that exists is refused; a folder may be there when it is empty. One thread. */
#ifndef SC_SAFETENSORS_WRITE_H
#define SC_SAFETENSORS_WRITE_H

#include "base/base.h"

#define SC_SHARD_BYTES UINT64_C(5000000000) /* of the Hugging Face tools */

struct sc_st_item {
    struct sc_str name;    /* UTF-8 */
    const char *dtype;     /* "BF16", as safetensors spells it */
    const uint64_t *shape; /* (rank) */
    size_t rank;
    uint64_t bytes;
};
/* The header of a file that holds the items one after the other: its length in 8 bytes, then JSON,
 * padded so that the data behind it is aligned. *bytes: of the data. b must be empty. */
int sc_st_header(const struct sc_st_item *items, size_t n, struct sc_buf *b, uint64_t *bytes,
                 struct sc_error *e);
struct sc_st_writer;
/* Whether the target can be made, before hours of work go into what belongs there: 0, or the error
 * that sc_st_create() would give now. */
int sc_st_may_create(const char *path, bool folder, struct sc_error *e);
/* SCRUPLE_EUSAGE: the target would lie inside of the folder `source`, that is in the model that it
 * is made of. A source that is a file or does not exist holds nothing. */
int sc_st_keep_out(const char *source, const char *path, struct sc_error *e);
/* `items` is borrowed until the end. folder: model.safetensors, or shards of at most `shard` bytes
 * (a tensor is never cut) and an index, in the folder `path`; else one file. */
int sc_st_create(const char *path, bool folder, const struct sc_st_item *items, size_t n,
                 uint64_t shard, struct sc_st_writer **out, struct sc_error *e);
/* The next bytes of the data: item after item, in any portions. */
int sc_st_put(struct sc_st_writer *w, const void *p, size_t n, struct sc_error *e);
/* Where the folder grows, for what belongs beside the weights; what grows of a single file. */
const char *sc_st_place(const struct sc_st_writer *w);
size_t sc_st_files(const struct sc_st_writer *w); /* with weights */
/* All bytes have come: on the disk and in place. Frees w, also on failure, then nothing is left. */
int sc_st_finish(struct sc_st_writer *w, struct sc_error *e);
/* Given up: nothing is left. NULL is allowed. */
void sc_st_drop(struct sc_st_writer *w);

/* Appends text as a JSON string. False: it is no UTF-8, or there is no memory. */
bool sc_put_json_text(struct sc_buf *b, struct sc_str text);

#endif
