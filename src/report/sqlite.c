/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite: a document as a SQLite database.
 *
 *   document(model, key, value)   everything that is no table: "summary.errors", 3
 *   tensors, issues, roles, ...   one table each, with a column "model" in front
 *
 * Columns are called as in JSON, with '_' for '.'. `model` counts the items of "models" from 0. The
 * database is made beside and handed on as bytes, so that it reaches its place like any output.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sqlite.h"
#include "hub/cache.h"
#include "report/report.h"

struct database {
    const struct sc_sqlite *lib;
    sqlite3 *db;
    struct sc_error *e;
};

static int fail(struct database *b, const char *what)
{
    return sc_fail(b->e, SCRUPLE_EWRITE, "SQLite: %s: %s", what,
                   b->db ? b->lib->errmsg(b->db) : "out of memory");
}

/* ------------------------------------------------------------------------------------ names --- */
/* "quantization.per_row" -> "quantization_per_row", in quotes: keys are our own. */
static void put_name(struct sc_buf *sql, const char *key)
{
    sc_buf_putc(sql, '"');
    for (; *key; key++)
        sc_buf_putc(sql, (char)(*key == '.' || *key == '"' ? '_' : *key));
    sc_buf_putc(sql, '"');
}

static const char *type_of(const struct sc_column *c)
{
    switch ((enum sc_column_kind)c->kind) {
    case SC_COL_COUNT:
    case SC_COL_BYTES:
    case SC_COL_OFFSET:
    case SC_COL_TIMES:
        return " INTEGER";
    case SC_COL_PERCENT:
    case SC_COL_NUMBER:
        return " REAL";
    case SC_COL_TEXT:
    case SC_COL_LABEL:
    case SC_COL_SHAPE:
    case SC_COL_SEVERITY:
    case SC_COL_LIST:
    case SC_COL_DTYPE:
    case SC_COL_KEY:
        break;
    }
    return " TEXT";
}

/* ------------------------------------------------------------------------------------- cells ---
 */
/* Integers of SQLite have a sign: what does not fit is stored as a number. */
static int bind_count(struct database *b, sqlite3_stmt *s, int at, uint64_t v)
{
    return v <= INT64_MAX ? b->lib->bind_int64(s, at, (int64_t)v)
                          : b->lib->bind_double(s, at, (double)v);
}

/* NULL is what SQLite makes of NaN, so that one is a text, as in JSON. */
static int bind_number(struct database *b, sqlite3_stmt *s, int at, double v)
{
    return isnan(v) ? b->lib->bind_text(s, at, "NaN", 3, SQLITE_STATIC)
                    : b->lib->bind_double(s, at, v);
}

/* Valid UTF-8 whatever the file held, and nothing that could hide text. */
static int bind_text(struct database *b, sqlite3_stmt *s, int at, struct sc_str text)
{
    struct sc_buf safe = {0};

    (void)sc_put_safe(&safe, text, 0);
    int code = safe.failed
                   ? SQLITE_NOMEM
                   : b->lib->bind_text(s, at, safe.n ? safe.p : "", (int)safe.n, SQLITE_TRANSIENT);
    sc_buf_clear(&safe);
    return code;
}

static int bind_joined(struct database *b, sqlite3_stmt *s, int at, const struct sc_cell *cell,
                       bool shape)
{
    struct sc_buf joined = {0};

    for (size_t i = 0; i < (shape ? cell->n_dims : cell->n_list); i++) {
        if (i)
            sc_buf_putc(&joined, shape ? 'x' : ' ');
        if (shape)
            sc_buf_printf(&joined, "%llu", (unsigned long long)cell->dims[i]);
        else
            sc_buf_put(&joined, cell->list[i].p, cell->list[i].n);
    }
    if (shape && !cell->n_dims)
        sc_buf_puts(&joined, "scalar");
    int code = joined.failed ? SQLITE_NOMEM
                             : bind_text(b, s, at, sc_str(joined.n ? joined.p : "", joined.n));
    sc_buf_clear(&joined);
    return code;
}

static int bind_cell(struct database *b, sqlite3_stmt *s, int at, const struct sc_column *column,
                     const struct sc_cell *cell)
{
    static const char *const severity[] = {"info", "warning", "error"};

    if (cell->null)
        return b->lib->bind_null(s, at);
    switch ((enum sc_column_kind)column->kind) {
    case SC_COL_COUNT:
    case SC_COL_BYTES:
    case SC_COL_OFFSET:
    case SC_COL_TIMES:
        return bind_count(b, s, at, cell->u);
    case SC_COL_PERCENT:
    case SC_COL_NUMBER:
        return bind_number(b, s, at, cell->f);
    case SC_COL_SHAPE:
        return bind_joined(b, s, at, cell, true);
    case SC_COL_LIST:
        return bind_joined(b, s, at, cell, false);
    case SC_COL_SEVERITY:
        return b->lib->bind_text(s, at, severity[SC_MIN(cell->u, 2)], -1, SQLITE_STATIC);
    case SC_COL_TEXT:
    case SC_COL_LABEL:
    case SC_COL_DTYPE:
    case SC_COL_KEY:
        break;
    }
    return bind_text(b, s, at, cell->text);
}

/* ------------------------------------------------------------------------------------- tables ---
 */
static int run(struct database *b, const struct sc_buf *sql, const char *what)
{
    if (sql->failed)
        return sc_fail_memory(b->e);
    return b->lib->exec(b->db, sql->p, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(b, what);
}

static bool is_stored(const struct sc_column *c)
{
    return !(c->flags & SC_COL_TERM_ONLY);
}

static int make_table(struct database *b, const char *name, const struct sc_table *t,
                      struct sc_buf *insert)
{
    struct sc_buf sql = {0};

    sc_buf_puts(&sql, "CREATE TABLE IF NOT EXISTS ");
    put_name(&sql, name);
    sc_buf_puts(&sql, "(model INTEGER");
    sc_buf_puts(insert, "INSERT INTO ");
    put_name(insert, name);
    sc_buf_puts(insert, "(model");
    for (size_t i = 0; i < t->n_columns; i++) {
        if (!is_stored(&t->columns[i]))
            continue;
        sc_buf_puts(&sql, ", ");
        put_name(&sql, t->columns[i].key);
        sc_buf_puts(&sql, type_of(&t->columns[i]));
        sc_buf_puts(insert, ", ");
        put_name(insert, t->columns[i].key);
    }
    sc_buf_puts(&sql, ")");
    sc_buf_puts(insert, ") VALUES(?");
    for (size_t i = 0; i < t->n_columns; i++)
        if (is_stored(&t->columns[i]))
            sc_buf_puts(insert, ", ?");
    sc_buf_puts(insert, ")");
    int code = run(b, &sql, "a table cannot be made");
    sc_buf_clear(&sql);
    return code;
}

static int put_table(struct database *b, size_t model, const char *name, const struct sc_table *t)
{
    struct sc_buf insert = {0};
    sqlite3_stmt *s = NULL;

    int code = make_table(b, name, t, &insert);
    if (code == 0 && (insert.failed || b->lib->prepare_v2(b->db, insert.p, -1, &s, NULL) != 0))
        code = insert.failed ? sc_fail_memory(b->e) : fail(b, "a table cannot be filled");
    for (size_t row = 0; row < t->n_rows && code == 0; row++) {
        int at = 1, bad = b->lib->bind_int64(s, at++, (int64_t)model);
        for (size_t i = 0; i < t->n_columns && bad == SQLITE_OK; i++) {
            struct sc_cell cell = {0};
            if (!is_stored(&t->columns[i]))
                continue;
            t->cell(t->ctx, row, i, &cell);
            bad = bind_cell(b, s, at++, &t->columns[i], &cell);
        }
        if (bad != SQLITE_OK || b->lib->step(s) != SQLITE_DONE)
            code = fail(b, "a row cannot be written");
        b->lib->reset(s);
    }
    if (s)
        b->lib->finalize(s);
    sc_buf_clear(&insert);
    return code;
}

/* ------------------------------------------------------------------------------------ fields ---
 */
static int put_scalar(struct database *b, sqlite3_stmt *s, size_t model, const char *key,
                      const struct sc_field *f)
{
    int bad = b->lib->bind_int64(s, 1, (int64_t)model);

    if (bad == SQLITE_OK)
        bad = b->lib->bind_text(s, 2, key, -1, SQLITE_TRANSIENT);
    if (bad == SQLITE_OK)
        switch ((enum sc_field_kind)f->kind) {
        case SC_FIELD_BOOL:
            bad = b->lib->bind_int64(s, 3, f->as.b);
            break;
        case SC_FIELD_UINT:
            bad = bind_count(b, s, 3, f->as.u);
            break;
        case SC_FIELD_INT:
            bad = b->lib->bind_int64(s, 3, f->as.i);
            break;
        case SC_FIELD_NUMBER:
            bad = bind_number(b, s, 3, f->as.f);
            break;
        case SC_FIELD_TEXT:
            bad = bind_text(b, s, 3, f->as.s);
            break;
        case SC_FIELD_NULL:
        case SC_FIELD_OBJECT:
        case SC_FIELD_LIST:
        case SC_FIELD_TABLE:
            bad = b->lib->bind_null(s, 3);
            break;
        }
    bool done = bad == SQLITE_OK && b->lib->step(s) == SQLITE_DONE;
    b->lib->reset(s);
    return done ? 0 : fail(b, "a field cannot be written");
}

/* As deep as our own documents nest. */
static int put_fields(struct database *b, sqlite3_stmt *s, size_t model, struct sc_buf *path,
                      const struct sc_field *object)
{
    size_t before = path->n, number = 0;
    int code = 0;

    for (const struct sc_field *f = object->as.children.first; f && code == 0; f = f->next) {
        path->n = before;
        if (before)
            sc_buf_putc(path, '.');
        if (object->kind == SC_FIELD_LIST)
            sc_buf_printf(path, "%zu", number++);
        else
            sc_buf_put(path, f->key.p, f->key.n);
        if (path->failed)
            return sc_fail_memory(b->e);
        if (f->kind == SC_FIELD_TABLE)
            code = put_table(b, model, path->p, f->as.table);
        else if (f->kind == SC_FIELD_OBJECT || f->kind == SC_FIELD_LIST)
            code = put_fields(b, s, model, path, f);
        else
            code = put_scalar(b, s, model, path->p, f);
    }
    path->n = before;
    return code;
}

static int put_document(struct database *b, const struct sc_document *d)
{
    static const char start[] = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN;"
                                "CREATE TABLE document(model INTEGER, key TEXT, value)";
    static const char insert[] = "INSERT INTO document(model, key, value) VALUES(?, ?, ?)";
    const struct sc_field *models = sc_find_field(&d->root, "models");
    struct sc_buf path = {0};
    sqlite3_stmt *s = NULL;
    int code = 0;

    if (b->lib->exec(b->db, start, NULL, NULL, NULL) != SQLITE_OK ||
        b->lib->prepare_v2(b->db, insert, -1, &s, NULL) != SQLITE_OK)
        return fail(b, "the database cannot be begun");
    if (models && models->kind == SC_FIELD_LIST) {
        size_t model = 0;
        for (const struct sc_field *f = models->as.children.first; f && code == 0; f = f->next)
            code = put_fields(b, s, model++, &path, f);
    } else {
        code = put_fields(b, s, 0, &path, &d->root);
    }
    b->lib->finalize(s);
    sc_buf_clear(&path);
    if (code == 0 && b->lib->exec(b->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        code = fail(b, "the database cannot be written");
    return code;
}

/* ----------------------------------------------------------------------------------- outside ---
 */
static int copy_out(struct sc_out *o, int fd, struct sc_error *e)
{
    enum { STEP = 1 << 16 };
    char *p = sc_alloc(STEP);
    int code = p ? 0 : sc_fail_memory(e);

    for (off_t at = 0; code == 0 && !o->status;) {
        ssize_t n = pread(fd, p, STEP, at);
        if (n < 0)
            code = sc_fail(e, SCRUPLE_EIO, "the database cannot be read back");
        if (n <= 0)
            break;
        sc_out_put(o, p, (size_t)n);
        at += n;
    }
    free(p);
    return code;
}

int sc_report_sqlite(struct sc_out *o, const struct sc_document *d, struct sc_error *e)
{
    const char *folder = getenv("TMPDIR");
    struct sc_buf path = {0}, stem = {0};
    struct database b = {sc_sqlite(e), NULL, e};

    if (!b.lib)
        return SCRUPLE_EUNSUPPORTED;
    if (d->failed)
        return sc_fail_memory(e);
    sc_buf_printf(&stem, "%s/scruple-tables", folder && *folder ? folder : "/tmp");
    int fd = stem.failed ? -1 : sc_open_temporary(&path, stem.p, ".tmp", 0600), code = 0;
    sc_buf_clear(&stem);
    if (fd < 0) {
        sc_buf_clear(&path);
        return sc_fail(e, SCRUPLE_EWRITE,
                       "a temporary file for the database cannot be made "
                       "(set TMPDIR to a folder with room)");
    }
    if (b.lib->open_v2(path.p, &b.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        code = fail(&b, "a temporary database cannot be opened");
    if (code == 0)
        code = put_document(&b, d);
    if (b.db)
        b.lib->close_v2(b.db);
    if (code == 0)
        code = copy_out(o, fd, e);
    (void)unlink(path.p);
    close(fd);
    sc_buf_clear(&path);
    return code;
}
