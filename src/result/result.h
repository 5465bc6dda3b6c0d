/* SPDX-License-Identifier: Apache-2.0 */
/* result: what an analysis found, as typed data.
 *
 * Owns: documents (ordered keys -> values) and tables whose columns have a kind and a unit.
 * Terminal, JSON and CSV render the same tables, so no two outputs can disagree.
 *
 * Does not own: any formatting (report). Tables are virtual: a cell is asked for when it is
 * printed, so a table of a million tensors costs nothing.
 */
#ifndef SC_RESULT_H
#define SC_RESULT_H

#include "base/base.h"

/* What a column holds decides how each renderer prints it. */
enum sc_column_kind {
    SC_COL_TEXT,     /* foreign or own text; renderers escape it */
    SC_COL_LABEL,    /* text indented by the row's depth: the tree */
    SC_COL_SHAPE,    /* u64 list: 64x128, "scalar" */
    SC_COL_COUNT,    /* u64: 1,234 */
    SC_COL_BYTES,    /* u64: 1.5 MB; exact in JSON and CSV */
    SC_COL_OFFSET,   /* u64 */
    SC_COL_PERCENT,  /* double 0..100: 12.3 % */
    SC_COL_NUMBER,   /* double */
    SC_COL_TIMES,    /* u64 multiplicity: blank when 1, else x28 */
    SC_COL_SEVERITY, /* 0 info, 1 warning, 2 error */
    SC_COL_LIST,     /* list of texts: JSON array; joined by blanks elsewhere */
    SC_COL_DTYPE,    /* text: the name of an element type */
    SC_COL_KEY,      /* text: the name of what stands beside it */
};
enum sc_column_flags {
    SC_COL_JSON_ONLY = 1, /* not in the terminal */
    SC_COL_TERM_ONLY = 2, /* not in JSON and CSV */
    SC_COL_RIGHT = 4,     /* align right in the terminal */
    SC_COL_OPTIONAL = 8,  /* the terminal drops the column when every cell is empty */
    SC_COL_SHRINK = 16,   /* text that a narrow terminal cuts */
    SC_COL_SPARE = 32,    /* dropped, the last one first, where even that is not enough */
    SC_COL_BAR = 64,      /* a bar stands before it in the terminal, where the cell is not empty */
};
/* How good a value is: a terminal shows it in a colour. */
enum sc_grade { SC_GRADE_NONE, SC_GRADE_GOOD, SC_GRADE_FAIR, SC_GRADE_POOR };
struct sc_column {
    const char *key;   /* JSON key and CSV header */
    const char *title; /* terminal heading; NULL: none */
    const char *unit;  /* "bytes", "bits", NULL */
    uint8_t kind;      /* enum sc_column_kind */
    uint8_t flags;
    uint8_t digits; /* SC_COL_NUMBER: decimals in the terminal */
};
struct sc_cell {
    struct sc_str text; /* valid until the next cell is asked for, as is the list; of numbers and
                           sizes: what a terminal shows instead */
    uint64_t u;
    double f;
    const uint64_t *dims; /* SC_COL_SHAPE */
    size_t n_dims;
    const struct sc_str *list; /* SC_COL_LIST */
    size_t n_list;
    uint32_t depth; /* SC_COL_LABEL */
    uint8_t grade;  /* enum sc_grade */
    bool strong;    /* SC_COL_LABEL: a module, not a tensor */
    bool null;      /* prints as null, or as nothing */
};
#define SC_MAX_COLUMNS 384
struct sc_document;
struct sc_field;
struct sc_table {
    const struct sc_column *columns;
    size_t n_columns; /* on a terminal at most SC_MAX_COLUMNS are looked at */
    size_t n_rows;
    void (*cell)(const void *ctx, size_t row, size_t column, struct sc_cell *out);
    const void *ctx; /* outlives the table */
};
/* A row as an object: adds its members to `into`, which lives until the next row. ctx is the
 * table's. */
typedef void sc_row_object(const void *ctx, size_t row, struct sc_document *d,
                           struct sc_field *into);

/* A document is an object of ordered fields; everything lives in its arena except what is marked
 * borrowed. Adding never fails visibly: out of memory sets `failed`, looked at once at the end. */
enum sc_field_kind {
    SC_FIELD_NULL,
    SC_FIELD_BOOL,
    SC_FIELD_UINT,
    SC_FIELD_INT,
    SC_FIELD_NUMBER,
    SC_FIELD_TEXT,
    SC_FIELD_OBJECT,
    SC_FIELD_LIST,
    SC_FIELD_TABLE
};
struct sc_field {
    struct sc_str key; /* empty inside a list */
    uint8_t kind;      /* enum sc_field_kind */
    uint8_t hint;      /* enum sc_column_kind: how the terminal shows it (SC_COL_BYTES, ...) */
    union {
        bool b;
        uint64_t u;
        int64_t i;
        double f;
        struct sc_str s;
        struct {
            struct sc_field *first, *last;
        } children;
        const struct sc_table *table; /* borrowed or in the arena */
    } as;
    sc_row_object *object; /* tables: what JSON shows of a row instead of its cells; or NULL */
    sc_row_object *more;   /* tables: what JSON shows of a row behind its cells; or NULL */
    struct sc_field *next;
};
struct sc_document {
    struct sc_arena arena;
    struct sc_field root; /* an object */
    bool failed;
};
/* Overwrites *d. Adds "schema" and "scruple", which every document has. */
void sc_document_start(struct sc_document *d, const char *schema);
void sc_document_clear(struct sc_document *d);
/* parent: &d->root or what sc_add_object / sc_add_list returned (never NULL; after a failure it is
 * the root and nothing more is added). key is NULL inside a list. Text and keys are copied. */
struct sc_field *sc_add_object(struct sc_document *d, struct sc_field *parent, const char *key);
struct sc_field *sc_add_list(struct sc_document *d, struct sc_field *parent, const char *key);
void sc_add_text(struct sc_document *d, struct sc_field *parent, const char *key,
                 struct sc_str text);
void sc_add_textz(struct sc_document *d, struct sc_field *parent, const char *key,
                  const char *text); /* NULL: null */
void sc_add_uint(struct sc_document *d, struct sc_field *parent, const char *key, uint64_t v,
                 enum sc_column_kind hint);
void sc_add_int(struct sc_document *d, struct sc_field *parent, const char *key, int64_t v);
void sc_add_number(struct sc_document *d, struct sc_field *parent, const char *key, double v);
void sc_add_bool(struct sc_document *d, struct sc_field *parent, const char *key, bool v);
void sc_add_null(struct sc_document *d, struct sc_field *parent, const char *key);
void sc_add_table(struct sc_document *d, struct sc_field *parent, const char *key,
                  const struct sc_table *t); /* the sc_table is copied, its ctx is borrowed */
/* The same, of rows that hold more than cells: JSON shows objects, what is flat (CSV, SQLite, the
 * terminal) the cells. */
void sc_add_objects(struct sc_document *d, struct sc_field *parent, const char *key,
                    const struct sc_table *t, sc_row_object *object);
/* The same, but the members that it adds follow the cells. */
void sc_add_table_more(struct sc_document *d, struct sc_field *parent, const char *key,
                       const struct sc_table *t, sc_row_object *more);
/* As sc_add_text, but the bytes are borrowed and must outlive the document. */
void sc_add_borrowed(struct sc_document *d, struct sc_field *parent, const char *key,
                     struct sc_str text);
/* NULL: object is NULL, not an object, or has no such key. */
const struct sc_field *sc_find_field(const struct sc_field *object, const char *key);
/* What a field of that name holds: 0, or NULL when it is missing or of another kind. */
uint64_t sc_find_uint(const struct sc_field *object, const char *key);
const struct sc_table *sc_find_table(const struct sc_field *object, const char *key);
struct sc_str sc_find_text(const struct sc_field *object, const char *key); /* p NULL: none */

#endif
