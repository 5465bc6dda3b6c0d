/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_fetch: bring files of a model on the Hub here, or only the bytes of some tensors.
 *
 *     fetch MODEL           whole files, verified, into the shared cache or --local-dir; prints
 *                           where they are
 *     fetch MODEL FILTER    the byte ranges of the tensors that match, into our cache of ranges
 *     --dry-run             the table of what would be fetched
 *
 * Owns: which files and bytes are meant, the table, the last words (also of an interrupted run: the
 * command that goes on). Does not own: downloads (hub), the line of progress.
 */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define FIELD(name)     ((uint16_t)offsetof(struct sc_settings, name))
#define SC_SCHEMA_FETCH "scruple.fetch/1"

static const struct sc_option fetch_options[] = {
    {"include", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(include), "GLOB", NULL,
     "fetch only files whose path matches (may be repeated); \"dir/\" is all below dir"},
    {"exclude", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(exclude), "GLOB", NULL,
     "leave out files whose path matches (may be repeated)"},
    {"dry-run", 'n', SC_OPTION_FLAG, 0, FIELD(dry_run), NULL, NULL,
     "only list what is here and what would be fetched"},
    {"local-dir", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(local_dir), "DIR", NULL,
     "put the files into DIR under their own paths, not into the shared cache"},
    {"threads", 'j', SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(threads), "N", NULL,
     "fetch N large files at once (default 4)"},
    {"progress", 0, SC_OPTION_ENUM, 0, FIELD(progress), "WHEN", sc_progress_words,
     "tell how far it is: auto (a line on a terminal, else one every 30 s), never, or json (an "
     "object a line, on standard error)"},
};

static const struct sc_example fetch_examples[] = {
    {"scruple fetch Qwen/Qwen3-0.6B", "all files, into the cache that other tools use, too"},
    {"scruple fetch hf://org/model@v1/model.gguf", "one file of a tag; prints where it is"},
    {"scruple fetch org/model --dry-run", "what is here, and what would come"},
    {"scruple fetch org/model --include '*.json' --local-dir model", "some files, into a folder"},
    {"scruple fetch org/model model.layers.3 lm_head", "only the bytes of these tensors"},
    {NULL, NULL},
};

struct fetch {
    struct sc_cli *c;
    const char *name;
    struct sc_words filters;
    struct sc_repo *repo;   /* of the model, when there is one */
    struct sc_model *model; /* with filters */
    struct sc_fetch_item *items;
    size_t n, cap;
    size_t matched; /* tensors */
    bool by_quant;  /* "org/name:Q4_K_M" means all parts of a split file */
    struct sc_arena arena;
    struct sc_fetch_options options;
    struct sc_fetch_progress last;
    struct sc_buf folder; /* where the files are; empty with filters */
};

/* ----------------------------------------------------------------------------- whole files --- */
static bool matches(const struct sc_words *globs, struct sc_str path)
{
    for (size_t i = 0; i < globs->n; i++) {
        struct sc_str glob = sc_strz(globs->p[i]);
        if (sc_glob(glob, path) ||
            (sc_str_ends(glob, "/") && path.n > glob.n && !memcmp(path.p, glob.p, glob.n)))
            return true;
    }
    return false;
}

/* "x-00002-of-00003.gguf" beside "x-00001-of-00003.gguf": parts of one model. */
static bool is_sibling(const char *part, const char *path)
{
    const char *of = strstr(part, "-of-"), *from = of;
    size_t n = strlen(part);

    while (from && from > part && from[-1] >= '0' && from[-1] <= '9')
        from--;
    if (!of || from == of || strlen(path) != n)
        return false;
    size_t before = (size_t)(from - part), after = (size_t)(of - part);
    return !memcmp(part, path, before) && !memcmp(of, path + after, n - after) &&
           strspn(path + before, "0123456789") == after - before;
}

/* Patterns may be of the path as the repository shows it, or of the whole. */
static bool is_wanted(const struct fetch *f, const char *path, const char *whole)
{
    const struct sc_settings *set = &f->c->set;
    struct sc_str a = sc_strz(path), b = sc_strz(whole);

    if (f->repo->selected && strcmp(f->repo->selected, path) != 0 &&
        !(f->by_quant && is_sibling(f->repo->selected, path)))
        return false;
    return (!set->include.n || matches(&set->include, a) || matches(&set->include, b)) &&
           !matches(&set->exclude, a) && !matches(&set->exclude, b);
}

static int add_item(struct fetch *f, const struct sc_hub_file *file, struct sc_error *e)
{
    TRY(sc_grow(&f->items, &f->cap, f->n + 1, sizeof *f->items, e));
    f->items[f->n++] = (struct sc_fetch_item){.file = file};
    return 0;
}

static bool names_quant(const struct fetch *f)
{
    struct sc_name name = {0};
    bool yes =
        sc_name_parse(f->name, sc_repo_hub(f->repo)->env.endpoint, &name, NULL) == 0 && name.quant;

    sc_name_clear(&name);
    return yes;
}

static int choose_files(struct fetch *f, struct sc_error *e)
{
    const struct sc_repo *r = f->repo;
    struct sc_quoted q;

    f->by_quant = names_quant(f);
    for (size_t i = 0; i < r->n_files; i++) {
        const struct sc_hub_file *file = sc_repo_hub_file(r, r->files[i].path);
        if (file && is_wanted(f, r->files[i].path, file->path))
            TRY(add_item(f, file, e));
    }
    if (!f->n)
        return sc_fail(e, SCRUPLE_ENOTFOUND, "%s: no file matches (it has %zu)",
                       sc_quote(&q, sc_strz(r->label)), r->n_files);
    return 0;
}

/* --------------------------------------------------------------------------------- ranges --- */
struct piece {
    uint32_t file; /* of the catalog */
    struct sc_span span;
};
struct pieces {
    struct piece *p;
    size_t n, cap;
};

static int compare_pieces(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->span.off < y->span.off ? -1 : x->span.off > y->span.off;
}

/* Where the bytes of a stored tensor lie; of a view, those of its whole storage. */
static int add_entry(struct pieces *ps, const struct sc_catalog *cat, const struct sc_entry *en,
                     struct sc_error *e)
{
    struct piece piece = {en->file, {en->offset, en->bytes}};

    if (en->flags & SC_ENTRY_BROKEN)
        return 0;
    if (en->view != SC_NO_STORAGE && cat->views[en->view].storage != SC_NO_STORAGE) {
        const struct sc_storage *s = &cat->storages[cat->views[en->view].storage];
        piece = (struct piece){s->file, {s->offset, s->stored}};
    }
    if (!piece.span.len)
        return 0;
    TRY(sc_grow(&ps->p, &ps->cap, ps->n + 1, sizeof *ps->p, e));
    ps->p[ps->n++] = piece;
    return 0;
}

static int collect(struct fetch *f, struct pieces *ps, struct sc_error *e)
{
    const struct sc_model *m = f->model;
    struct sc_filter *filter = NULL;
    int code = sc_filter_new(f->filters.p, f->filters.n, &filter, e);

    for (size_t i = 0; i < m->n_tensors && code == 0; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        if (!sc_filter_match(filter, sc_str(t->name, t->name_len)))
            continue;
        f->matched++;
        for (size_t k = 0; k < t->n_parts && code == 0; k++)
            code = add_entry(ps, m->catalog,
                             &m->catalog->entries[m->parts[t->first_part + k].entry], e);
    }
    sc_filter_free(filter);
    if (ps->n)
        qsort(ps->p, ps->n, sizeof *ps->p, compare_pieces);
    return code;
}

/* Neighbours and overlaps become one; a span stays inside its file. */
static size_t merge(struct sc_span *to, const struct piece *p, size_t n, uint64_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t off = SC_MIN(p[i].span.off, size);
        uint64_t end = SC_MIN(sc_add_up(off, p[i].span.len), size);
        if (used && off <= to[used - 1].off + to[used - 1].len)
            to[used - 1].len = SC_MAX(to[used - 1].len, end - to[used - 1].off);
        else if (end > off)
            to[used++] = (struct sc_span){off, end - off};
    }
    return used;
}

static int add_ranges(struct fetch *f, const struct piece *p, size_t n, struct sc_error *e)
{
    const char *path = f->model->catalog->files[p->file].path;
    const struct sc_hub_file *file = sc_repo_hub_file(f->repo, path);
    struct sc_quoted q;

    if (!file)
        return sc_fail(e, SCRUPLE_ENOTFOUND, "%s: is not among the files of the repository",
                       sc_quote(&q, sc_strz(path)));
    struct sc_span *spans = SC_ARENA_NEW(&f->arena, struct sc_span, n);
    if (!spans)
        return sc_fail_memory(e);
    TRY(add_item(f, file, e));
    f->items[f->n - 1].spans = spans;
    f->items[f->n - 1].n_spans = merge(spans, p, n, file->bytes);
    return 0;
}

static int choose_ranges(struct fetch *f, struct sc_error *e)
{
    struct pieces ps = {0};
    int code = collect(f, &ps, e);

    for (size_t i = 0; i < ps.n && code == 0;) {
        size_t end = i + 1;
        while (end < ps.n && ps.p[end].file == ps.p[i].file)
            end++;
        code = add_ranges(f, ps.p + i, end - i, e);
        i = end;
    }
    free(ps.p);
    return code;
}

/* ---------------------------------------------------------------------------------- words --- */
enum item_column {
    ITEM_PATH,
    ITEM_BYTES,
    ITEM_WANT,
    ITEM_STATE,
    ITEM_MISSING,
    ITEM_HERE,
    ITEM_ETAG
};
static const struct sc_column item_columns[] = {
    [ITEM_PATH] = {"path", "file", NULL, SC_COL_KEY, 0, 0},
    [ITEM_BYTES] = {"bytes", NULL, "bytes", SC_COL_BYTES, SC_COL_JSON_ONLY, 0},
    [ITEM_WANT] = {"wanted", "size", "bytes", SC_COL_BYTES, 0, 0},
    [ITEM_STATE] = {"state", "state", NULL, SC_COL_TEXT, 0, 0},
    [ITEM_MISSING] = {"missing", "to fetch", "bytes", SC_COL_BYTES, 0, 0},
    [ITEM_HERE] = {"here", NULL, "bytes", SC_COL_BYTES, SC_COL_JSON_ONLY, 0},
    [ITEM_ETAG] = {"etag", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
};

static uint64_t missing_of(const struct sc_fetch_item *it)
{
    return it->state == SC_FETCH_DONE ? 0 : it->want - SC_MIN(it->here, it->want);
}

static void item_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    static const char *const states[] = {
        [SC_FETCH_HAVE] = "have",
        [SC_FETCH_PARTLY] = "partly",
        [SC_FETCH_MISSING] = "missing",
        [SC_FETCH_DONE] = "fetched",
    };
    const struct sc_fetch_item *it = &((const struct fetch *)ctx)->items[row];

    switch ((enum item_column)column) {
    case ITEM_PATH:
        out->text = sc_strz(it->file->path);
        break;
    case ITEM_BYTES:
        out->u = it->file->bytes;
        break;
    case ITEM_WANT:
        out->u = it->want;
        break;
    case ITEM_STATE:
        out->text = sc_strz(states[it->state]);
        break;
    case ITEM_MISSING:
        out->u = missing_of(it);
        break;
    case ITEM_HERE:
        out->u = it->here;
        break;
    case ITEM_ETAG:
        out->null = !*it->file->etag;
        out->text = sc_strz(it->file->etag);
        break;
    }
}

struct totals {
    uint64_t want, here, missing;
};

static struct totals add_up(const struct fetch *f)
{
    struct totals t = {0};

    for (size_t i = 0; i < f->n; i++) {
        t.want = sc_add_up(t.want, f->items[i].want);
        t.here = sc_add_up(t.here, f->items[i].here);
        t.missing = sc_add_up(t.missing, missing_of(&f->items[i]));
    }
    return t;
}

static void put_json(struct fetch *f)
{
    const struct sc_hub_listing *l = sc_repo_listing(f->repo);
    struct totals t = add_up(f);
    struct sc_document d;

    sc_document_start(&d, SC_SCHEMA_FETCH);
    struct sc_field *model = sc_add_object(&d, &d.root, "model");
    sc_add_textz(&d, model, "source", l->id);
    sc_add_textz(&d, model, "revision", l->revision);
    sc_add_textz(&d, model, "commit", l->commit);
    sc_add_bool(&d, &d.root, "dry_run", f->c->set.dry_run);
    sc_add_textz(&d, &d.root, "folder", f->folder.n ? f->folder.p : NULL);
    if (f->filters.n)
        sc_add_uint(&d, &d.root, "matched", f->matched, SC_COL_COUNT);
    else
        sc_add_null(&d, &d.root, "matched");
    struct sc_field *totals = sc_add_object(&d, &d.root, "totals");
    sc_add_uint(&d, totals, "files", f->n, SC_COL_COUNT);
    sc_add_uint(&d, totals, "wanted", t.want, SC_COL_BYTES);
    sc_add_uint(&d, totals, "here", t.here, SC_COL_BYTES);
    sc_add_uint(&d, totals, "missing", t.missing, SC_COL_BYTES);
    sc_add_uint(&d, totals, "fetched", f->last.fetched, SC_COL_BYTES);
    struct sc_table table = {item_columns, SC_COUNT(item_columns), f->n, item_cell, f};
    sc_add_table(&d, &d.root, "files", &table);
    sc_report_json(&f->c->out, &d);
    if (d.failed && !f->c->out.status)
        f->c->out.status = SCRUPLE_EMEMORY;
    sc_document_clear(&d);
}

static void put_table(struct fetch *f)
{
    struct sc_out *o = &f->c->out;
    const struct sc_term *term = &f->c->term;
    struct totals t = add_up(f);

    sc_report_table(o, &(struct sc_table){item_columns, SC_COUNT(item_columns), f->n, item_cell, f},
                    term);
    sc_out_putc(o, '\n');
    sc_out_u64(o, f->n);
    sc_out_colour(o, term, SC_COLOUR_UNIT, f->n == 1 ? " file, " : " files, ");
    sc_out_bytes(o, term, SC_COLOUR_SIZE, t.want);
    sc_out_colour(o, term, SC_COLOUR_UNIT, ": ");
    sc_out_bytes(o, term, SC_COLOUR_SIZE, t.want - SC_MIN(t.missing, t.want));
    sc_out_colour(o, term, SC_COLOUR_UNIT, " here, ");
    sc_out_bytes(o, term, SC_COLOUR_SIZE, t.missing);
    sc_out_colour(o, term, SC_COLOUR_UNIT, " to fetch");
    sc_out_putc(o, '\n');
}

/* One word of a command, so that a shell takes it as it is. */
static void put_word(struct sc_buf *b, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "@%_-+=:,./";

    sc_buf_putc(b, ' ');
    if (*word && word[strspn(word, plain)] == '\0') {
        sc_buf_puts(b, word);
        return;
    }
    sc_buf_putc(b, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            sc_buf_puts(b, "'\\''");
        else
            sc_buf_putc(b, *word);
    }
    sc_buf_putc(b, '\'');
}

static void put_value(struct sc_buf *b, const char *name, const char *value)
{
    if (!value)
        return;
    sc_buf_puts(b, name);
    put_word(b, value);
}

/* The command again, but for a token: that stays secret. */
static void put_again(struct sc_buf *b, const struct fetch *f)
{
    const struct sc_settings *set = &f->c->set;

    sc_buf_puts(b, "scruple fetch");
    put_word(b, f->name);
    for (size_t i = 0; i < f->filters.n; i++)
        put_word(b, f->filters.p[i]);
    for (size_t i = 0; i < set->include.n; i++)
        put_value(b, " --include", set->include.p[i]);
    for (size_t i = 0; i < set->exclude.n; i++)
        put_value(b, " --exclude", set->exclude.p[i]);
    put_value(b, " --revision", set->revision);
    put_value(b, " --local-dir", set->local_dir);
    if (set->threads)
        sc_buf_printf(b, " -j %llu", (unsigned long long)set->threads);
    if (set->token)
        sc_buf_puts(b, " --token ...");
}

static int say_failure(struct fetch *f, const struct sc_error *e)
{
    struct sc_buf command = {0};

    if (e->code == SCRUPLE_EINTERRUPTED) {
        put_again(&command, f);
        if (!command.failed && !f->c->set.quiet)
            sc_say(f->c, "note",
                   "interrupted; what arrived is kept, and this goes on from there: %s", command.p);
        sc_buf_clear(&command);
        return sc_fail_exit(f->c, e);
    }
    int status = sc_fail_exit(f->c, e);
    if (e->code == SCRUPLE_ENETWORK && f->last.fetched && !f->c->set.quiet)
        sc_say(f->c, "note", "what arrived is kept; the same command goes on from there");
    return status;
}

static void say_done(struct fetch *f, double seconds)
{
    char size[32], rate[32];
    size_t files = 0;

    if (f->c->set.quiet)
        return;
    const struct sc_io *io = sc_repo_hub(f->repo)->io;
    if (f->c->set.verbose && io) {
        sc_format_bytes(io->bytes_read, size);
        sc_say(f->c, "note", "%s received in %llu requests", size,
               (unsigned long long)io->requests);
    }
    for (size_t i = 0; i < f->n; i++)
        files += f->items[i].state == SC_FETCH_DONE;
    if (!files) {
        sc_say(f->c, "note", "nothing to fetch: everything is here");
        return;
    }
    sc_format_bytes(f->last.fetched, size);
    sc_format_bytes((uint64_t)((double)f->last.fetched / SC_MAX(seconds, 1e-3)), rate);
    if (f->filters.n)
        sc_say(f->c, "note", "%zu tensor%s: %s fetched in %.1f s (%s/s)", f->matched,
               f->matched == 1 ? "" : "s", size, seconds, rate);
    else
        sc_say(f->c, "note", "%zu file%s: %s fetched in %.1f s (%s/s), checksums verified", files,
               files == 1 ? "" : "s", size, seconds, rate);
}

/* -------------------------------------------------------------------------------- running --- */
static void show(void *ctx, const struct sc_fetch_progress *p)
{
    struct fetch *f = ctx;

    f->last = *p;
    sc_progress_show(&(struct sc_progress){.done = p->done,
                                           .total = p->total,
                                           .moved = p->fetched,
                                           .n_done = p->files_done,
                                           .n = p->files,
                                           .what = p->file});
}

/* Where what the user named is: a folder (maybe one inside the repository), or a file. */
static void find_folder(struct fetch *f)
{
    const struct sc_repo *r = f->repo;

    if (f->filters.n || !r->n_files)
        return;
    if (f->options.local_dir)
        sc_buf_puts(&f->folder, f->options.local_dir);
    else
        (void)sc_fetch_folder(r, f->items, f->n, &f->folder);
    const char *path = r->selected ? r->selected : r->files[0].path;
    const struct sc_hub_file *file = sc_repo_hub_file(r, path);
    size_t whole = file ? strlen(file->path) : 0, below = strlen(path);
    if (whole > below || r->selected) { /* the root is "sub/" of the repository */
        sc_buf_putc(&f->folder, '/');
        sc_buf_put(&f->folder, file ? file->path : path,
                   r->selected ? SC_MAX(whole, below) : whole - below - 1);
    }
}

static int open_it(struct fetch *f)
{
    struct sc_open_options o = sc_cli_open_options(f->c);
    struct sc_error e = {0};

    if (f->filters.n) {
        struct sc_filter *filter = NULL; /* a mistake in it costs no request */
        if (sc_filter_new(f->filters.p, f->filters.n, &filter, &e) < 0)
            return sc_usage_exit(f->c, &e);
        sc_filter_free(filter);
        o.keep_repo = o.names_only = true;
        int status = sc_cli_open_with(f->c, f->name, &o, &f->model);
        f->repo = status ? NULL : f->model->repo;
        return status;
    }
    return sc_repo_open(f->name, &f->c->hub, &f->repo, &e) < 0 ? sc_fail_exit(f->c, &e) : 0;
}

static int fetch_it(struct fetch *f)
{
    struct sc_error e = {0};

    sc_progress_start(f->c, sc_repo_hub(f->repo)->env.progress_bars);
    int code = sc_fetch(f->repo, &f->options, f->items, f->n, &e);
    double seconds = sc_progress_end();
    if (code < 0)
        return say_failure(f, &e);
    find_folder(f);
    if (f->c->set.json) {
        put_json(f);
    } else if (f->folder.n) {
        sc_out_put(&f->c->out, f->folder.p, f->folder.n);
        sc_out_putc(&f->c->out, '\n');
    }
    say_done(f, seconds);
    return SC_EXIT_OK;
}

static int look_at_it(struct fetch *f)
{
    struct sc_error e = {0};

    if (sc_fetch_look(f->repo, &f->options, f->items, f->n, &e) < 0)
        return sc_fail_exit(f->c, &e);
    find_folder(f);
    if (f->c->set.json)
        put_json(f);
    else
        put_table(f);
    return SC_EXIT_OK;
}

static int with_repo(struct fetch *f)
{
    struct sc_error e = {0};
    struct sc_quoted q;

    if (!sc_repo_listing(f->repo))
        return sc_wrong_use(f->c, "%s is not a repository of the Hub, so there is nothing to fetch",
                            sc_quote(&q, sc_strz(f->name)));
    f->options = (struct sc_fetch_options){
        .local_dir = f->filters.n ? NULL : f->c->set.local_dir,
        .parallel = (unsigned)SC_MIN(f->c->set.threads, UINT_MAX),
        .progress = show,
        .progress_ctx = f,
    };
    if ((f->filters.n ? choose_ranges(f, &e) : choose_files(f, &e)) < 0)
        return sc_fail_exit(f->c, &e);
    if (f->filters.n && !f->matched) {
        sc_say_no_match(f->c, f->model, f->filters.p, f->filters.n);
        if (f->c->set.json)
            put_json(f);
        return SC_EXIT_FINDINGS;
    }
    return f->c->set.dry_run ? look_at_it(f) : fetch_it(f);
}

static int run_fetch(struct sc_cli *c)
{
    struct fetch f = {.c = c};
    struct sc_error e = {0};
    struct sc_quoted q;
    int code = 0;

    if (!c->operands.words.n)
        return sc_wrong_use(c, "fetch: MODEL is missing");
    f.name = c->operands.words.p[0];
    if (sc_path_exists(f.name))
        return sc_wrong_use(c, "%s is here already: fetch is for models on the Hub",
                            sc_quote(&q, sc_strz(f.name)));
    for (size_t i = 1; i < c->operands.words.n && !code; i++)
        code = sc_words_add(&f.filters, c->operands.words.p[i], &e);
    int status = code < 0 ? sc_fail_exit(c, &e) : 0;
    if (!status && f.filters.n && c->set.local_dir)
        status = sc_wrong_use(c, "--local-dir is for whole files; tensors go into the cache");
    if (!status)
        status = open_it(&f);
    if (!status)
        status = with_repo(&f);
    if (f.model)
        sc_model_close(f.model);
    else if (f.repo)
        sc_repo_close(f.repo);
    free(f.items);
    sc_arena_clear(&f.arena);
    sc_buf_clear(&f.folder);
    sc_words_clear(&f.filters);
    return status;
}

const struct sc_command sc_cmd_fetch = {
    .name = "fetch",
    .summary = "download a model from the Hub, or only the tensors that match",
    .usage = "MODEL [FILTER...]",
    .description =
        "Without FILTER whole files are fetched: all of the repository, or those that --include "
        "and --exclude leave. They go into the cache of the Hugging Face tools (HF_HUB_CACHE), "
        "where those find them, too, and the folder is printed. Size and checksum of every file "
        "are verified. What is here already is not fetched again, and what was interrupted goes "
        "on where it stopped, even after a crash. Several at once share the work.\n\n"
        "With FILTER, as in tree, only the bytes of the tensors that match are fetched, into the "
        "cache below SCRUPLE_CACHE; whatever reads these tensors later needs no network. When "
        "nothing matches the exit code is 1.",
    .options = fetch_options,
    .n_options = SC_COUNT(fetch_options),
    .groups = SC_GROUP_HUB | SC_GROUP_OUTPUT | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_NOTHING,
    .examples = fetch_examples,
    .run = run_fetch,
};
