/* SPDX-License-Identifier: Apache-2.0 */
/* diff_files: the files of two models that hold no tensors: configurations, tokenizers, cards.
 *
 * Files are matched by their path. Each pair is compared byte by byte; JSON and JSON lines also by
 * structure: which paths were added, removed or changed. Work and memory have limits: files above
 * SC_DIFF_FILES_JSON are compared as bytes only, remote ones above SC_DIFF_FILES_REMOTE not at all,
 * and at most SC_DIFF_FILES_CHANGES changes a file are kept (all are counted).
 *
 * Owns: that. Does not own: files with tensors (diff.c). */
#ifndef SC_DIFF_FILES_H
#define SC_DIFF_FILES_H

#include "analyze/analyze.h"

#define SC_DIFF_FILES_JSON    (UINT64_C(32) << 20)
#define SC_DIFF_FILES_REMOTE  (UINT64_C(32) << 20)
#define SC_DIFF_FILES_CHANGES 100
#define SC_DIFF_FILES_STRIP   128

enum sc_file_status {
    SC_FILE_SAME,
    SC_FILE_CHANGED,
    SC_FILE_ONLY_A,
    SC_FILE_ONLY_B,
    SC_FILE_NOT_READ, /* or not to its end: `why` tells */
    SC_FILE_STATUSES
};
extern const char *const sc_file_status_names[SC_FILE_STATUSES];

enum sc_node_change { SC_NODE_ADDED, SC_NODE_REMOVED, SC_NODE_CHANGED, SC_NODE_CHANGES };
extern const char *const sc_node_change_names[SC_NODE_CHANGES];
struct sc_json_change {
    const char *path;  /* "$.rope_scaling.factor", "[12].text": of JSON lines the line from 1 on */
    const char *a, *b; /* values as JSON, cut after some; NULL: there is none */
    uint8_t kind;      /* enum sc_node_change */
};
struct sc_file_diff {
    const char *path;
    uint64_t bytes[2]; /* UINT64_MAX: the side has no such file */
    uint64_t first;    /* byte that differs first; UINT64_MAX: none */
    /* Of the longer file cut into so many equal parts (fewer than its bytes): bytes that differ, or
     * that the shorter one does not have. NULL: not counted. */
    uint32_t *strip; /* (SC_DIFF_FILES_STRIP) */
    uint64_t differing;
    uint8_t status;        /* enum sc_file_status */
    const char *why;       /* not read; or not compared by structure */
    const char *structure; /* "json", "jsonl"; NULL: bytes only */
    uint64_t n[SC_NODE_CHANGES];
    struct sc_json_change *changes; /* (n_changes) */
    size_t n_changes;
};
struct sc_files_diff {
    struct sc_file_diff *files; /* (n) by path */
    size_t n, n_status[SC_FILE_STATUSES];
    struct sc_arena arena;
};
/* Models must have been opened with keep_repo. Unreadable files are no failure. */
int sc_files_diff(const struct sc_model *a, const struct sc_model *b, const _Atomic int *cancel,
                  struct sc_files_diff *out, struct sc_error *e);
void sc_files_diff_clear(struct sc_files_diff *f);
/* "files": a list, or null when f is NULL. f must outlive the document. */
void sc_files_add(struct sc_document *doc, struct sc_field *into, const struct sc_files_diff *f);

/* diff_json.c: two texts of JSON, or of lines of it. 0, or SCRUPLE_EMEMORY; out->why when they
 * cannot be compared so. */
int sc_json_diff(struct sc_arena *arena, const char *a, size_t n_a, const char *b, size_t n_b,
                 bool lines, struct sc_file_diff *out, struct sc_error *e);

#endif
