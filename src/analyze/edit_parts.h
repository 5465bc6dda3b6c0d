/* SPDX-License-Identifier: Apache-2.0 */
/* edit_parts: what the files of edits share.
 *
 *   edit_place.c   words to boxes            edit.c         boxes to bytes
 *   edit_write.c   bytes into a copy         edit_record.c  what is remembered of them; undoing */
#ifndef SC_EDIT_PARTS_H
#define SC_EDIT_PARTS_H

#include "analyze/edit.h"

struct sc_edit_file {
    const char *path;   /* in the repository */
    uint64_t bytes;     /* UINT64_MAX: any number */
    size_t first, last; /* patches; none: a plain copy */
    char sha256[65];    /* of the original, of a file with patches; "": not known */
};
/* Some files of a repository, copied with patches; a copy of one file is a file unless `folder`. */
struct sc_edit_copy {
    const struct sc_edit_writing *writing;
    const char *path; /* writing->path without slashes at its end */
    bool folder, undo;
    struct sc_repo *repo;
    struct sc_edit_file *files; /* their digests are filled in; undo: looked at */
    size_t n_files;
    const struct sc_edit_patches *patches; /* from old to new, by file (its place in `files`) */
    const char *mismatch;                  /* what it means that `old` is not there */
    /* What is kept beside the copy, once all digests are known; empty: nothing. */
    int (*record)(void *ctx, struct sc_buf *text, struct sc_error *e);
    void *ctx;
};
int sc_edit_copy(const struct sc_edit_copy *how, struct sc_edit_written *out, struct sc_error *e);
/* Where the record of a copy is: appended. */
void sc_edit_record_path(struct sc_buf *b, const char *path, bool folder);

#endif
