/* SPDX-License-Identifier: Apache-2.0 */
/* edit: single weights of a checkpoint with other values, in a new checkpoint.
 *
 * Owns: places ("NAME[3968,7003]"), what is done there, which bytes of which files that changes,
 * the copy with these bytes in it, the record of an edit and its undoing, the document.
 *
 * Does not own: rounding to a stored type (codec/put.c), bytes of files (source).
 *
 * Nothing but the elements that are named changes: the copy has the length, the header and every
 * other byte of the original. One thread.
 */
#ifndef SC_EDIT_H
#define SC_EDIT_H

#include "analyze/analyze.h"
#include "analyze/recipe.h"
#include "stream/stream.h"

#define SC_SCHEMA_EDIT        "scruple.edit/1"
#define SC_SCHEMA_EDIT_RECORD "scruple.edit-record/1"
#define SC_EDIT_RECORD_FOLDER "scruple-edits.json" /* in an edited folder */
#define SC_EDIT_RECORD_FILE   ".edits.json"        /* behind the name of an edited file */
enum { SC_EDIT_MOST = 1 << 20 };                   /* elements that one edit changes */

enum sc_edit_op { SC_EDIT_ZERO, SC_EDIT_SCALE, SC_EDIT_MEAN, SC_EDIT_SET, SC_EDIT_OPS };
extern const char *const sc_edit_ops[SC_EDIT_OPS + 1]; /* "zero", "scale", "mean", "set", NULL */

/* ---------------------------------------------------------------------------------- wishes --- */
/* What is done where: a box of one tensor. */
struct sc_edit_wish {
    uint8_t op;  /* enum sc_edit_op */
    double x;    /* SCALE: the factor; SET: the value */
    char *place; /* as it is shown: NAME[...] */
    uint32_t tensor;
    size_t rank;
    uint64_t from[SC_MAX_RANK], n[SC_MAX_RANK]; /* of each dimension */
    uint64_t elements;
    /* after sc_edit_plan(): */
    double was, asked, held; /* of the first element */
    uint64_t changed;        /* elements whose bytes are other ones now */
    double worst;            /* largest |held - asked| of all */
    uint64_t neighbours;     /* refit: values of the same blocks that moved */
    double neighbours_worst; /* and how far at most */
};
struct sc_edit_wishes {
    struct sc_edit_wish *p;
    size_t n, cap;
};
/* "NAME[3968,7003]", and with SCALE and SET "=X" behind it. NAME: of a tensor, whole or its
 * last words (without ".weight"), or a filter (as everywhere) that only one matches. In brackets a
 * number, a range a-b that includes both, or `*` for each dimension; of more than two dimensions
 * also row and column: dimension 0, and all others in one. No brackets: all of the tensor. "@FILE":
 * the weights that a document of `super --json` lists. SCRUPLE_EUSAGE, SCRUPLE_ENOTFOUND. */
int sc_edit_wish_add(struct sc_edit_wishes *w, const struct sc_model *m, enum sc_edit_op op,
                     const char *text, struct sc_error *e);
void sc_edit_wishes_clear(struct sc_edit_wishes *w);
/* The elements of all wishes, in the order of tensors and places, to be freed. SCRUPLE_ELIMIT: more
 * than SC_EDIT_MOST. */
int sc_edit_held(const struct sc_model *m, const struct sc_edit_wishes *w, struct sc_held **out,
                 size_t *n, struct sc_error *e);

/* ------------------------------------------------------------------------------------ plan --- */
struct sc_edit_patch { /* bytes of a file; in the order of files and offsets, none overlap */
    uint32_t file;     /* index into the files of the plan */
    uint64_t offset;
    size_t n, at; /* `n` bytes at `at` of old and new */
};
struct sc_edit_patches {
    struct sc_edit_patch *p;
    size_t n, cap;
    uint8_t *old, *new;
    size_t bytes, old_cap, new_cap;
};
void sc_edit_patches_clear(struct sc_edit_patches *p);
/* Reads what is there and rounds what is wanted to the stored types; fills the wishes. File indices
 * are those of the catalog. `refit`: blocks of packed types are encoded anew; else only the codes
 * of the elements that are named change. SCRUPLE_EUSAGE: two wishes for one element;
 * SCRUPLE_EUNSUPPORTED: a type or container that cannot be edited; SCRUPLE_ELIMIT. */
int sc_edit_plan(const struct sc_model *m, struct sc_edit_wishes *w, bool refit,
                 const _Atomic int *cancel, struct sc_edit_patches *out, struct sc_error *e);

/* ---------------------------------------------------------------------------------- writing --- */
struct sc_edit_writing {
    const char *path; /* of the copy: a file for a file, a folder for a folder */
    const _Atomic int *cancel;
    void (*progress)(void *ctx, uint64_t done, uint64_t total, const char *file);
    void (*place)(void *ctx, const char *temporary); /* a file that grows; NULL: done */
    void *ctx;
};
struct sc_edit_written {
    size_t files; /* without the record */
    uint64_t bytes;
    struct sc_buf record; /* its path */
};
/* The mean of all finite values of a tensor, in their order and in double; 0 of none. */
int sc_edit_mean(const struct sc_model *m, uint32_t tensor, const _Atomic int *cancel, double *mean,
                 struct sc_error *e);
/* Whether a copy can be made there. */
int sc_edit_may_write(const struct sc_model *m, const char *path, struct sc_error *e);
/* The copy and its record, whole or not at all. Nothing is overwritten. */
int sc_edit_write(const struct sc_model *m, const struct sc_edit_wishes *w,
                  const struct sc_edit_patches *p, const struct sc_edit_writing *how,
                  struct sc_edit_written *out, struct sc_error *e);
/* From an edited copy back to what it was made of, byte for byte: proven by the lengths, the bytes
 * that the edit had written, and the SHA-256 of each changed file. */
int sc_edit_undo(const char *from, const struct sc_edit_writing *how, struct sc_edit_written *out,
                 struct sc_error *e);
void sc_edit_written_clear(struct sc_edit_written *w);

/* --------------------------------------------------------------------------------- document --- */
/* "output" */
void sc_analyze_edit_output(struct sc_document *d, struct sc_field *into, const char *path,
                            const struct sc_edit_written *written);
/* "edits", and "output" (written NULL: null). All must outlive the document. */
void sc_analyze_edit(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                     const struct sc_edit_wishes *w, const char *path,
                     const struct sc_edit_written *written);

#endif
