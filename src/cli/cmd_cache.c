/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_cache: what models on the Hub and scans left on this disk.
 *
 *     cache ls [ID...]     what there is, largest first
 *     cache verify [ID]    hashes blobs, follows links, checks parts of files and listings
 *     cache rm ID...       removes; asks before it touches what other programs share
 *     cache dir            where it all is
 *
 * Owns: the rows (the parts of one repository's files are one row), the question, the exit code.
 * Does not own: what is in the caches and what is sound (hub).
 */
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "analyze/results.h"
#include "cli/cli.h"
#include "hub/hub.h"
#include "picture/tiles.h"

#define FIELD(name)     ((uint16_t)offsetof(struct sc_settings, name))
#define SC_SCHEMA_CACHE "scruple.cache/1"

static const struct sc_option cache_options[] = {
    {"repair", 0, SC_OPTION_FLAG, 0, FIELD(repair), NULL, NULL,
     "verify: remove what is broken, so that it is fetched again"},
    {"ranges", 0, SC_OPTION_FLAG, 0, FIELD(only_ranges), NULL, NULL, "rm: all parts of files"},
    {"listings", 0, SC_OPTION_FLAG, 0, FIELD(only_listings), NULL, NULL, "rm: all listings"},
    {"results", 0, SC_OPTION_FLAG, 0, FIELD(only_results), NULL, NULL,
     "rm: all figures of earlier scans"},
    {"pyramids", 0, SC_OPTION_FLAG, 0, FIELD(only_pyramids), NULL, NULL,
     "rm: all statistics that pictures are drawn from"},
    {"all", 0, SC_OPTION_FLAG, 0, FIELD(all), NULL, NULL,
     "rm: everything, the repositories of the shared cache, too"},
    {"dry-run", 'n', SC_OPTION_FLAG, 0, FIELD(dry_run), NULL, NULL,
     "rm: only list what would be removed"},
    {"yes", 'y', SC_OPTION_FLAG, 0, FIELD(yes), NULL, NULL,
     "rm: do not ask before removing from the shared cache"},
};

static const struct sc_example cache_examples[] = {
    {"scruple cache", "what is here, largest first"},
    {"scruple cache verify", "is all of it sound? The exit code tells"},
    {"scruple cache verify --repair org/name", "and remove what is not"},
    {"scruple cache rm org/name --dry-run", "what removing a model would free"},
    {"scruple cache rm --ranges --listings", "start afresh; whole files stay"},
    {NULL, NULL},
};

/* ------------------------------------------------------------------------------------- rows --- */
struct row {
    const struct sc_kept *kept; /* the first of those that the row stands for */
    const char *id;             /* with the type in front, if it is no model */
    size_t files;
    uint64_t bytes, total, used;
    size_t n;
};
struct rows {
    struct row *p;
    size_t n, cap;
    uint64_t bytes;
    struct sc_arena arena;
};

static void clear_rows(struct rows *r)
{
    free(r->p);
    sc_arena_clear(&r->arena);
}

static const char *row_id(struct rows *r, const struct sc_kept *k)
{
    struct sc_buf b = {0};
    if (k->kind == SC_KEPT_RANGES)
        return sc_arena_copy(&r->arena, k->id, sc_kept_repo_length(k->id));
    if (k->type != SC_REPO_MODEL)
        sc_buf_printf(&b, "%s/", sc_repo_type_plural[k->type]);
    sc_buf_puts(&b, k->id);
    const char *id = b.failed ? NULL : sc_arena_copy(&r->arena, b.p, b.n);
    sc_buf_clear(&b);
    return id;
}

static int by_kind_and_id(const void *a, const void *b)
{
    const struct sc_kept *x = *(const struct sc_kept *const *)a,
                         *y = *(const struct sc_kept *const *)b;
    int order = x->kind != y->kind   ? (x->kind < y->kind ? -1 : 1)
                : x->tier != y->tier ? (x->tier < y->tier ? -1 : 1)
                                     : strcmp(x->id, y->id);
    return order ? order : strcmp(x->key, y->key);
}

static int by_size(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    int order = strcmp(x->id, y->id);
    return order ? order : by_kind_and_id(&x->kept, &y->kept);
}

/* Parts of the same repository go into one row. */
static int add_row(struct rows *r, const struct sc_kept *k, struct sc_error *e)
{
    const char *id = row_id(r, k);
    struct row *last = r->n ? &r->p[r->n - 1] : NULL;
    if (!id)
        return sc_fail_memory(e);
    if (!last || k->kind != SC_KEPT_RANGES || last->kept->kind != SC_KEPT_RANGES ||
        strcmp(last->id, id) != 0) {
        TRY(sc_grow(&r->p, &r->cap, r->n + 1, sizeof r->p[0], e));
        last = &r->p[r->n++];
        *last = (struct row){.kept = k, .id = id};
    }
    last->n++;
    last->files += k->files;
    last->bytes = sc_add_up(last->bytes, k->bytes);
    last->total = sc_add_up(last->total, k->total);
    last->used = SC_MAX(last->used, k->used);
    r->bytes = sc_add_up(r->bytes, k->bytes);
    return 0;
}

static int make_rows(struct rows *r, const struct sc_kept *const *kept, size_t n,
                     struct sc_error *e)
{
    for (size_t i = 0; i < n; i++)
        TRY(add_row(r, kept[i], e));
    if (r->n)
        qsort(r->p, r->n, sizeof r->p[0], by_size);
    return 0;
}

enum column {
    KEPT_KIND,
    KEPT_ID,
    KEPT_REFS,
    KEPT_REVISIONS,
    KEPT_FILES,
    KEPT_BYTES,
    KEPT_TOTAL,
    KEPT_USED,
    KEPT_DATE,
    KEPT_KEY,
    KEPT_CACHE
};
static const struct sc_column columns[] = {
    [KEPT_KIND] = {"kind", "what", NULL, SC_COL_TEXT, 0, 0},
    [KEPT_ID] = {"id", "id", NULL, SC_COL_KEY, 0, 0},
    [KEPT_REFS] = {"refs", "revision", NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
    [KEPT_REVISIONS] = {"revisions", NULL, NULL, SC_COL_OFFSET, SC_COL_JSON_ONLY, 0},
    [KEPT_FILES] = {"files", "files", NULL, SC_COL_COUNT, 0, 0},
    [KEPT_BYTES] = {"bytes", "size", "bytes", SC_COL_BYTES, 0, 0},
    [KEPT_TOTAL] = {"total", "whole", "bytes", SC_COL_BYTES, SC_COL_OPTIONAL, 0},
    [KEPT_USED] = {"used", NULL, NULL, SC_COL_OFFSET, SC_COL_JSON_ONLY, 0},
    [KEPT_DATE] = {"date", "last used", NULL, SC_COL_TEXT, SC_COL_TERM_ONLY, 0},
    [KEPT_KEY] = {"key", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [KEPT_CACHE] = {"cache", "cache", NULL, SC_COL_TEXT, 0, 0},
};
static const char *const kept_kinds[] = {"repository", "parts", "listing", "results", "pyramids"};

static struct sc_str date_of(uint64_t used)
{
    static char text[16]; /* until the next cell */
    time_t t = (time_t)used;
    struct tm tm;
    return localtime_r(&t, &tm) ? sc_str(text, strftime(text, sizeof text, "%Y-%m-%d", &tm))
                                : SC_STR("");
}

static void row_cell(const void *ctx, size_t i, size_t column, struct sc_cell *out)
{
    const struct row *r = &((const struct rows *)ctx)->p[i];
    const struct sc_kept *k = r->kept;
    switch ((enum column)column) {
    case KEPT_KIND:
        out->text = sc_strz(kept_kinds[k->kind]);
        break;
    case KEPT_ID:
        out->text = sc_strz(r->id);
        break;
    case KEPT_REFS:
        out->text = sc_strz(k->refs);
        out->null = !*k->refs;
        break;
    case KEPT_REVISIONS:
        out->u = k->revisions;
        out->null = k->kind != SC_KEPT_REPO;
        break;
    case KEPT_FILES:
        out->u = r->files;
        break;
    case KEPT_BYTES:
        out->u = r->bytes;
        break;
    case KEPT_TOTAL:
        out->u = r->total;
        out->null = k->kind != SC_KEPT_RANGES;
        break;
    case KEPT_USED:
        out->u = r->used;
        break;
    case KEPT_DATE:
        out->text = date_of(r->used);
        break;
    case KEPT_KEY:
        out->text = sc_strz(k->key);
        out->null = r->n > 1;
        break;
    case KEPT_CACHE:
        out->text = sc_strz(k->kind != SC_KEPT_REPO ? "own" : k->writable ? "shared" : "read only");
        break;
    }
}

static struct sc_table table_of(const struct rows *r)
{
    return (struct sc_table){columns, SC_COUNT(columns), r->n, row_cell, r};
}

/* "3 repositories, 12 files in parts, 2 listings: 1.2 GB" */
static void put_sum(struct sc_cli *c, const struct rows *r, const char *verb)
{
    static const struct {
        const char *one, *many;
    } words[] = {{"repository", "repositories"},
                 {"file in parts", "files in parts"},
                 {"listing", "listings"},
                 {"store of results", "stores of results"},
                 {"store of pyramids", "stores of pyramids"}};
    struct sc_buf b = {0};
    char size[32];
    sc_buf_puts(&b, verb);
    bool any = false;
    for (size_t kind = 0; kind < SC_COUNT(words); kind++) {
        size_t n = 0;
        for (size_t i = 0; i < r->n; i++)
            n += r->p[i].kept->kind == kind ? r->p[i].n : 0;
        if (n == 0)
            continue;
        sc_buf_puts(&b, any ? ", " : "");
        any = true;
        sc_buf_printf(&b, "%zu %s", n, n == 1 ? words[kind].one : words[kind].many);
    }
    sc_format_bytes(r->bytes, size);
    if (r->n)
        sc_buf_printf(&b, ": %s\n", size);
    else
        sc_buf_puts(&b, "nothing\n");
    sc_put_text(c, &b);
    sc_buf_clear(&b);
}

/* -------------------------------------------------------------------------------- documents --- */
static void add_folders(struct sc_document *d, const struct sc_hub_env *env)
{
    struct sc_field *f = sc_add_object(d, &d->root, "folders");
    sc_add_textz(d, f, "shared", env->hf_cache);
    struct sc_field *tiers = sc_add_list(d, f, "read_only");
    for (size_t i = 0; i < env->n_tiers; i++)
        sc_add_textz(d, tiers, NULL, env->tiers[i]);
    sc_add_textz(d, f, "own", env->cache);
}

static void start_document(struct sc_document *d, const struct sc_hub_env *env, const char *action)
{
    sc_document_start(d, SC_SCHEMA_CACHE);
    sc_add_textz(d, &d->root, "action", action);
    add_folders(d, env);
}

static void put_rows(struct sc_cli *c, const struct sc_hub_env *env, const struct rows *r,
                     const char *action, const char *verb)
{
    struct sc_table t = table_of(r);
    if (c->set.json) {
        struct sc_document d;
        start_document(&d, env, action);
        if (strcmp(action, "rm") == 0)
            sc_add_bool(&d, &d.root, "dry_run", c->set.dry_run);
        sc_add_table(&d, &d.root, "entries", &t);
        sc_add_uint(&d, &d.root, "bytes", r->bytes, SC_COL_BYTES);
        sc_report_json(&c->out, &d);
        sc_document_clear(&d);
    } else if (c->set.csv) {
        sc_report_csv(&c->out, &t);
    } else {
        if (r->n)
            sc_report_table(&c->out, &t, &c->term);
        put_sum(c, r, verb);
    }
}

/* --------------------------------------------------------------------------------- choosing --- */
/* Something of ours that is no part of the Hub's caches, where there is any of it. */
static int add_own(struct sc_kept_list *list, uint8_t kind, const char *id, const char *key,
                   uint64_t files, uint64_t bytes, uint64_t used, struct sc_error *e)
{
    if (bytes == 0)
        return 0;
    TRY(sc_grow(&list->items, &list->cap, list->n + 1, sizeof list->items[0], e));
    list->items[list->n++] = (struct sc_kept){.kind = kind,
                                              .id = id,
                                              .key = key,
                                              .refs = "",
                                              .files = (size_t)files,
                                              .bytes = bytes,
                                              .used = used,
                                              .writable = true};
    return 0;
}

static int look_at_own(const char *cache, struct sc_kept_list *list, struct sc_error *e)
{
    uint64_t n, bytes, used;
    TRY(sc_results_size(cache, &n, &bytes, e));
    TRY(add_own(list, SC_KEPT_RESULTS, "results", "results.db", n, bytes, sc_results_used(cache),
                e));
    TRY(sc_pyramids_size(cache, &n, &bytes, &used, e));
    return add_own(list, SC_KEPT_PYRAMIDS, "pyramids", "pyramids", n, bytes, used, e);
}

/* What the caches hold: of the Hub, figures of scans, and what pictures are drawn from. */
static int look(const struct sc_hub_env *env, struct sc_kept_list *list, struct sc_error *e)
{
    TRY(sc_kept_look(env, list, e));
    const int code = env->cache ? look_at_own(env->cache, list, e) : 0;
    if (code < 0)
        sc_kept_clear(list);
    return code;
}

static int remove_one(const struct sc_hub_env *env, const struct sc_kept *k, struct sc_error *e)
{
    return k->kind == SC_KEPT_RESULTS    ? sc_results_remove(env->cache, e)
           : k->kind == SC_KEPT_PYRAMIDS ? sc_pyramids_remove(env->cache, e)
                                         : sc_kept_remove(env, k, e);
}

struct chosen {
    const struct sc_kept **p;
    size_t n, cap;
};

static bool is_meant(const struct sc_cli *c, const struct sc_kept *k, const struct sc_words *ids)
{
    if (c->set.all || (c->set.only_ranges && k->kind == SC_KEPT_RANGES) ||
        (c->set.only_listings && k->kind == SC_KEPT_LISTING) ||
        (c->set.only_results && k->kind == SC_KEPT_RESULTS) ||
        (c->set.only_pyramids && k->kind == SC_KEPT_PYRAMIDS))
        return true;
    for (size_t i = 1; i < ids->n; i++)
        if (sc_kept_matches(k, ids->p[i]))
            return true;
    return false;
}

static int choose(const struct sc_cli *c, const struct sc_kept_list *l, bool everything,
                  struct chosen *out, struct sc_error *e)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!everything && !is_meant(c, &l->items[i], &c->operands.words))
            continue;
        TRY(sc_grow(&out->p, &out->cap, out->n + 1, sizeof out->p[0], e));
        out->p[out->n++] = &l->items[i];
    }
    if (out->n)
        qsort(out->p, out->n, sizeof out->p[0], by_kind_and_id);
    return 0;
}

/* Does every ID on the command line mean something that is there? */
static bool all_found(const struct sc_cli *c, const struct chosen *chosen)
{
    const struct sc_words *ids = &c->operands.words;
    bool all = true;
    for (size_t i = 1; i < ids->n; i++) {
        struct sc_quoted q;
        bool found = false;
        for (size_t k = 0; k < chosen->n && !found; k++)
            found = sc_kept_matches(chosen->p[k], ids->p[i]);
        if (!found)
            sc_say(c, "", "nothing in the caches is called %s (scruple cache ls lists them)",
                   sc_quote(&q, sc_strz(ids->p[i])));
        all = all && found;
    }
    return all;
}

/* --------------------------------------------------------------------------------- removing --- */
/* Standard input and error are a terminal: ask. */
static bool says_yes(const struct sc_cli *c, size_t n, uint64_t bytes)
{
    char size[32], answer[16];
    sc_format_bytes(bytes, size);
    sc_say(c, "",
           "%zu repositor%s (%s) in the cache that the Hugging Face tools share will be removed", n,
           n == 1 ? "y" : "ies", size);
    sc_write_error("Remove? [y/N] ", 14);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* What others share is not removed by a slip. 0, or an exit code. */
static int may_remove(struct sc_cli *c, const struct rows *r)
{
    size_t n = 0;
    uint64_t bytes = 0;
    char size[32];
    for (size_t i = 0; i < r->n; i++) {
        const struct row *row = &r->p[i];
        if (row->kept->kind != SC_KEPT_REPO)
            continue;
        n++;
        bytes = sc_add_up(bytes, row->bytes);
        sc_format_bytes(row->bytes, size);
        if (!c->set.yes)
            sc_say(c, "note", "%s: %s%s%s, %s", row->id, row->kept->refs,
                   *row->kept->refs ? ", " : "", row->kept->key, size);
    }
    if (!n || c->set.yes)
        return 0;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return sc_wrong_use(c, "these repositories are shared with other programs: give --yes to "
                               "remove them, or --dry-run to look");
    if (says_yes(c, n, bytes))
        return 0;
    sc_say(c, "note", "nothing was removed");
    return SC_EXIT_FINDINGS;
}

/* Those of read-only caches stay; they are told and left out. */
static void drop_read_only(const struct sc_cli *c, struct chosen *chosen)
{
    size_t kept = 0;
    for (size_t i = 0; i < chosen->n; i++) {
        struct sc_quoted q;
        if (chosen->p[i]->writable)
            chosen->p[kept++] = chosen->p[i];
        else if (!c->set.quiet)
            sc_say(c, "note", "%s stays: its cache is only read",
                   sc_quote(&q, sc_strz(chosen->p[i]->id)));
    }
    chosen->n = kept;
}

static int remove_them(struct sc_cli *c, const struct sc_hub_env *env, const struct chosen *chosen,
                       const struct rows *rows)
{
    struct sc_error e = {0};
    int status = c->set.dry_run ? 0 : may_remove(c, rows);
    for (size_t i = 0; i < chosen->n && !status && !c->set.dry_run; i++)
        if (sc_cancel || remove_one(env, chosen->p[i], &e) < 0)
            status = sc_cancel ? 128 + sc_cancel : sc_fail_exit(c, &e);
    if (!status)
        put_rows(c, env, rows, "rm", c->set.dry_run ? "would remove " : "removed ");
    return status;
}

static int run_rm(struct sc_cli *c, const struct sc_hub_env *env)
{
    struct sc_kept_list list;
    struct chosen chosen = {0};
    struct rows rows = {0};
    struct sc_error e = {0};
    int status;
    if (c->operands.words.n < 2 && !c->set.only_ranges && !c->set.only_listings &&
        !c->set.only_results && !c->set.only_pyramids && !c->set.all)
        return sc_wrong_use(
            c, "cache rm: say what: ID, --ranges, --listings, --results, --pyramids or --all");
    if (look(env, &list, &e) < 0)
        return sc_fail_exit(c, &e);
    if (choose(c, &list, false, &chosen, &e) < 0) {
        status = sc_fail_exit(c, &e);
    } else if (!all_found(c, &chosen)) {
        status = SC_EXIT_NOT_FOUND;
    } else {
        drop_read_only(c, &chosen);
        status = make_rows(&rows, chosen.p, chosen.n, &e) < 0 ? sc_fail_exit(c, &e)
                                                              : remove_them(c, env, &chosen, &rows);
    }
    clear_rows(&rows);
    free(chosen.p);
    sc_kept_clear(&list);
    return status;
}

/* ------------------------------------------------------------------------------- verifying --- */
struct problem {
    const char *id, *path, *what;
    uint8_t severity;
    bool repaired;
};
struct problems {
    struct problem *p;
    size_t n, cap;
    struct sc_arena arena;
    bool failed;
    uint64_t bytes;
};

static void take_problem(void *ctx, const struct sc_kept_problem *p)
{
    struct problems *ps = ctx;
    char *path = sc_arena_copy(&ps->arena, p->path, strlen(p->path));
    if (!path || sc_grow(&ps->p, &ps->cap, ps->n + 1, sizeof ps->p[0], NULL) < 0)
        ps->failed = true;
    else
        ps->p[ps->n++] = (struct problem){p->id, path, p->what, p->severity, p->repaired};
}

static void take_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct problems *ps = ctx;
    ps->bytes = total;
    sc_progress_show(&(struct sc_progress){.done = done, .total = total, .moved = done});
}

static const struct sc_column problem_columns[] = {
    {"severity", NULL, NULL, SC_COL_SEVERITY, 0, 0}, {"id", NULL, NULL, SC_COL_TEXT, 0, 0},
    {"path", NULL, NULL, SC_COL_TEXT, 0, 0},         {"message", NULL, NULL, SC_COL_TEXT, 0, 0},
    {"state", NULL, NULL, SC_COL_TEXT, 0, 0},
};

static void problem_cell(const void *ctx, size_t i, size_t column, struct sc_cell *out)
{
    const struct problem *p = &((const struct problems *)ctx)->p[i];
    if (column == 0)
        out->u = p->severity;
    else
        out->text = sc_strz(column == 1   ? p->id
                            : column == 2 ? p->path
                            : column == 3 ? p->what
                            : p->repaired ? "removed"
                                          : "found");
}

static void put_problems(struct sc_cli *c, const struct problems *ps)
{
    struct sc_out *o = &c->out;
    char size[32], text[100];
    for (size_t i = 0; i < ps->n; i++) {
        const struct problem *p = &ps->p[i];
        bool error = p->severity > 1;
        sc_out_safe(o, &c->term, SC_COLOUR_REPO, sc_strz(p->path));
        sc_out_puts(o, ": ");
        sc_out_colour(o, &c->term, error ? SC_COLOUR_ERROR : SC_COLOUR_WARNING,
                      error ? "error" : "warning");
        sc_out_puts(o, ": ");
        sc_out_puts(o, p->what);
        sc_out_puts(o, p->repaired ? " (removed)" : "");
        sc_out_colour(o, &c->term, SC_COLOUR_UNIT, " [");
        sc_out_colour(o, &c->term, SC_COLOUR_UNIT, p->id);
        sc_out_colour(o, &c->term, SC_COLOUR_UNIT, "]");
        sc_out_putc(o, '\n');
    }
    sc_format_bytes(ps->bytes, size);
    if (ps->n)
        snprintf(text, sizeof text, "%zu problem%s in %s\n", ps->n, ps->n == 1 ? "" : "s", size);
    else
        snprintf(text, sizeof text, "sound: %s\n", size);
    sc_out_puts(o, text);
}

static void put_verified(struct sc_cli *c, const struct sc_hub_env *env, const struct problems *ps)
{
    struct sc_table t = {problem_columns, SC_COUNT(problem_columns), ps->n, problem_cell, ps};
    if (c->set.json) {
        struct sc_document d;
        start_document(&d, env, "verify");
        sc_add_bool(&d, &d.root, "repair", c->set.repair);
        sc_add_table(&d, &d.root, "problems", &t);
        sc_add_uint(&d, &d.root, "bytes", ps->bytes, SC_COL_BYTES);
        sc_report_json(&c->out, &d);
        sc_document_clear(&d);
    } else if (c->set.csv) {
        sc_report_csv(&c->out, &t);
    } else {
        put_problems(c, ps);
    }
}

static int run_verify(struct sc_cli *c, const struct sc_hub_env *env)
{
    struct problems ps = {0};
    struct sc_error e = {0};
    const struct sc_words *w = &c->operands.words;
    if (w->n > 2)
        return sc_wrong_use(c, "cache verify takes one ID, but %zu are given", w->n - 1);
    sc_progress_start(c, env->progress_bars);
    int code = sc_kept_verify(env, w->n > 1 ? w->p[1] : NULL, c->set.repair, &sc_cancel,
                              take_problem, take_progress, &ps, &e);
    sc_progress_end();
    int status = code < 0 ? sc_fail_exit(c, &e) : code > 0 ? SC_EXIT_FINDINGS : SC_EXIT_OK;
    if (code >= 0)
        put_verified(c, env, &ps);
    if (ps.failed)
        c->out.status = c->out.status ? c->out.status : SCRUPLE_EMEMORY;
    free(ps.p);
    sc_arena_clear(&ps.arena);
    return status;
}

/* ---------------------------------------------------------------------------------- running --- */
static int run_ls(struct sc_cli *c, const struct sc_hub_env *env)
{
    struct sc_kept_list list;
    struct chosen chosen = {0};
    struct rows rows = {0};
    struct sc_error e = {0};
    int status = SC_EXIT_OK;
    if (look(env, &list, &e) < 0)
        return sc_fail_exit(c, &e);
    if (choose(c, &list, c->operands.words.n < 2, &chosen, &e) < 0 ||
        make_rows(&rows, chosen.p, chosen.n, &e) < 0)
        status = sc_fail_exit(c, &e);
    else if (!all_found(c, &chosen))
        status = SC_EXIT_NOT_FOUND;
    else
        put_rows(c, env, &rows, "ls", "");
    clear_rows(&rows);
    free(chosen.p);
    sc_kept_clear(&list);
    return status;
}

static int run_dir(struct sc_cli *c, const struct sc_hub_env *env)
{
    struct sc_document d;
    if (c->operands.words.n > 1)
        return sc_wrong_use(c, "cache dir takes no words");
    start_document(&d, env, "dir");
    if (c->set.json)
        sc_report_json(&c->out, &d);
    else
        sc_report_fields(&c->out, sc_find_field(&d.root, "folders"), &c->term);
    sc_document_clear(&d);
    return SC_EXIT_OK;
}

static const struct {
    const char *name;
    int (*run)(struct sc_cli *c, const struct sc_hub_env *env);
    bool removes, repairs; /* which options are its own */
} actions[] = {
    {"ls", run_ls, false, false},
    {"verify", run_verify, false, true},
    {"rm", run_rm, true, false},
    {"dir", run_dir, false, false},
};

static int run_cache(struct sc_cli *c)
{
    const struct sc_settings *s = &c->set;
    const char *word = c->operands.words.n ? c->operands.words.p[0] : "ls";
    struct sc_hub_options o = {0};
    struct sc_hub_env env;
    struct sc_error e = {0};
    struct sc_quoted q;
    size_t i = 0;
    while (i < SC_COUNT(actions) && strcmp(actions[i].name, word) != 0)
        i++;
    if (i == SC_COUNT(actions))
        return sc_wrong_use(c, "cache %s: no such action; there are ls, verify, rm and dir",
                            sc_quote(&q, sc_strz(word)));
    if (!actions[i].removes && (s->only_ranges || s->only_listings || s->only_results ||
                                s->only_pyramids || s->all || s->dry_run || s->yes))
        return sc_wrong_use(
            c, "--ranges, --listings, --results, --pyramids, --all, --dry-run and --yes are for "
               "cache rm");
    if (!actions[i].repairs && s->repair)
        return sc_wrong_use(c, "--repair is for cache verify");
    if (sc_hub_env_read(&env, &o, &e) < 0)
        return sc_fail_exit(c, &e);
    int status = actions[i].run(c, &env);
    sc_hub_env_clear(&env);
    return status;
}

const struct sc_command sc_cmd_cache = {
    .name = "cache",
    .summary = "list, verify or remove what models and scans left on this disk",
    .usage = "[ls [ID...] | verify [ID] | rm ID... | dir]",
    .description =
        "There are two caches. The one of the Hugging Face tools (HF_HUB_CACHE) holds whole files "
        "and is shared with them; those named by SCRUPLE_CACHE_PATH are of the same kind and only "
        "read. Our own (SCRUPLE_CACHE) holds parts of files, figures of scans, the statistics that "
        "pictures are drawn from and, for an hour, what the Hub said of a repository. ID is "
        "org/name, datasets/org/name, or the beginning of a "
        "key.\n\n"
        "ls lists them, largest first; size is what the disk gives up for it. verify hashes every "
        "file that carries its hash as name, follows every link and checks every part against its "
        "checksum; the exit code is 1 when something is wrong. With --repair what is wrong is "
        "removed, so that it is fetched again.\n\n"
        "rm removes. Parts, listings, results and pyramids go without asking; a repository in the "
        "shared cache only after a question, or with --yes.",
    .options = cache_options,
    .n_options = SC_COUNT(cache_options),
    .groups = SC_GROUP_OUTPUT | SC_GROUP_CSV | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_NOTHING,
    .examples = cache_examples,
    .run = run_cache,
};
