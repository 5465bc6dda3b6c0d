/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this directory share, and nobody else needs: making sources, naming paths in
 * messages, and the guard against mapped files that shrink. */
#ifndef SC_SOURCE_INTERNAL_H
#define SC_SOURCE_INTERNAL_H

#include <sys/types.h>

#include "source/source.h"

#define SC_STDIN_NAME "<stdin>"

/* A source object of `bytes` (its first member is the struct sc_source), cleared, with a copy of
 * name. NULL: no memory, and e says so. */
void *sc_source_new(size_t bytes, const struct sc_source_ops *ops, const char *name, uint64_t size,
                    struct sc_error *e);

/* As sc_quote(), but a long path loses its beginning: the file's own name is what matters. */
const char *sc_quote_path(struct sc_quoted *q, const char *path);
/* "PATH: WHAT: strerror". */
int sc_fail_errno(struct sc_error *e, int code, int error, const char *path, const char *what);
/* open() or stat() of path below the folder `dir` (AT_FDCWD: the working directory) failed with
 * `error`; says why under the name `name`. What is not there gives SCRUPLE_ENOTFOUND. */
int sc_fail_open(struct sc_error *e, int error, int dir, const char *path, const char *name);
/* It is there, but it is a folder, a pipe, a device ... */
int sc_fail_kind(struct sc_error *e, mode_t mode, const char *name);

int sc_file_open_at(int dir, const char *path, const char *name, const struct sc_file_options *o,
                    struct sc_source **out, struct sc_error *e);
/* Takes over p, which came from malloc (and frees it, on failure too). */
int sc_memory_open_owned(void *p, size_t n, const char *name, struct sc_source **out,
                         struct sc_error *e);
/* A second handle on `inner`; closing it leaves `inner` open. */
int sc_source_borrow(struct sc_source *inner, struct sc_source **out, struct sc_error *e);

/* Fills r (label, selected, files, private_data) for a path that is not "-". */
int sc_folder_open(const char *path, struct sc_repo *r, struct sc_error *e);

/* ---------------------------------------------------------------------------------- guard ---
 * Mappings that may be outlived by their file. See guard.c. */
#define SC_GUARD_SLOTS 1024
/* Watch n mapped bytes at p (page aligned). A slot, or -1: all are taken, so do not use them. */
int sc_guard_add(const void *p, size_t n);
/* Did an access inside the range fail? From then on it reads as zeros, from the failing page to
 * its end. */
bool sc_guard_broken(int slot);
/* Before the range is unmapped, and after the last access to it. */
void sc_guard_remove(int slot);

#endif
