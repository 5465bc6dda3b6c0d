/* SPDX-License-Identifier: Apache-2.0 */
/* view_bytes: `view --layout hilbert`: which files are meant, and what is known of their insides.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/drawing.h"
#include "picture/bytes.h"
#include "source/source.h"
#include "web/bytes_view.h"

enum { LOOK_INSIDE = 64 }; /* files named one by one whose headers are read */
#define LIST_MOST ((size_t)64 << 20)

/* What a name of the command line stands for. */
struct origin {
    struct sc_repo *repo;       /* NULL: a local file, or `own` */
    struct sc_source *own;      /* what came through a pipe */
    struct sc_catalog *catalog; /* NULL: no model that we know */
};
struct known_file {
    uint32_t origin;
    const char *path; /* as the repository has it, or of the disk */
};
struct inputs {
    struct sc_cli *c;
    const struct sc_open_options *oo;
    uint64_t memory;
    struct origin *origins;
    struct sc_byte_file *files;
    struct known_file *known; /* (n_files) */
    struct sc_byte_part *parts;
    size_t n_origins, origins_cap, n_files, files_cap, known_cap, n_parts, parts_cap;
    size_t named; /* names that were given */
    struct sc_arena arena;
    bool remote;
};

static void close_inputs(struct inputs *x)
{
    for (size_t i = 0; i < x->n_origins; i++) {
        sc_catalog_close(x->origins[i].catalog);
        sc_source_close(x->origins[i].own);
        sc_repo_close(x->origins[i].repo);
    }
    free(x->origins);
    free(x->files);
    free(x->known);
    free(x->parts);
    sc_arena_clear(&x->arena);
}

static struct origin *add_origin(struct inputs *x, struct sc_error *e)
{
    if (sc_grow(&x->origins, &x->origins_cap, x->n_origins + 1, sizeof *x->origins, e) < 0)
        return NULL;
    x->origins[x->n_origins] = (struct origin){0};
    return &x->origins[x->n_origins++];
}

/* A file of the last origin. */
static int add_file(struct inputs *x, const char *name, const char *path, uint64_t bytes,
                    struct sc_error *e)
{
    TRY(sc_grow(&x->files, &x->files_cap, x->n_files + 1, sizeof *x->files, e));
    TRY(sc_grow(&x->known, &x->known_cap, x->n_files + 1, sizeof *x->known, e));
    char *copy = sc_arena_copy(&x->arena, name, strlen(name));
    char *where = sc_arena_copy(&x->arena, path, strlen(path));
    if (!copy || !where)
        return sc_fail_memory(e);
    x->files[x->n_files] = (struct sc_byte_file){
        .name = copy, .bytes = bytes, .source = x->origins[x->n_origins - 1].own};
    x->known[x->n_files++] =
        (struct known_file){.origin = (uint32_t)(x->n_origins - 1), .path = where};
    return 0;
}

/* As sc_bytes_options.open. */
static int open_file(void *ctx, size_t i, struct sc_source **out, struct sc_error *e)
{
    struct inputs *x = ctx;
    const struct known_file *k = &x->known[i];
    struct sc_repo *repo = x->origins[k->origin].repo;
    return repo ? sc_repo_open_file(repo, k->path, out, e) : sc_file_open(k->path, NULL, out, e);
}

/* ---------------------------------------------------------------------------------- inside --- */

static int by_place(const void *a, const void *b)
{
    const struct sc_byte_part *p = a, *q = b;
    if (p->file != q->file)
        return p->file < q->file ? -1 : 1;
    if (p->offset != q->offset)
        return p->offset < q->offset ? -1 : 1;
    return p->bytes < q->bytes ? 1 : p->bytes > q->bytes ? -1 : 0;
}

static int add_part(struct inputs *x, const struct sc_byte_part *p, struct sc_error *e)
{
    const uint64_t size = x->files[p->file].bytes;
    if (p->bytes == 0 || p->offset > size || p->bytes > size - p->offset)
        return 0;
    TRY(sc_grow(&x->parts, &x->parts_cap, x->n_parts + 1, sizeof *x->parts, e));
    x->parts[x->n_parts++] = *p;
    return 0;
}

static uint8_t width_of(const struct sc_entry *entry)
{
    if (entry->dtype & SC_FOREIGN_TYPE || entry->view != SC_NO_STORAGE ||
        entry->flags & (SC_ENTRY_BIG_ENDIAN | SC_ENTRY_BROKEN))
        return 0;
    uint64_t n = 1;
    for (size_t k = 0; k < entry->rank; k++)
        if (!sc_mul(n, entry->shape[k], &n))
            return 0;
    const uint64_t width = n && entry->bytes % n == 0 ? entry->bytes / n : 0;
    return (uint8_t)(width <= 16 ? width : 0);
}

/* Headers and tensors of the files from `first` on. */
static int add_parts(struct inputs *x, const struct sc_catalog *c, size_t first, struct sc_error *e)
{
    uint32_t *file = sc_alloc((c->n_files + 1) * sizeof *file);
    uint64_t *begin = sc_alloc((c->n_files + 1) * sizeof *begin);
    int code = file && begin ? 0 : sc_fail_memory(e);
    for (size_t i = 0; i < c->n_files && code == 0; i++) {
        file[i] = UINT32_MAX;
        begin[i] = UINT64_MAX;
        for (size_t k = first; k < x->n_files && file[i] == UINT32_MAX; k++)
            if (strcmp(x->known[k].path, c->files[i].path) == 0)
                file[i] = (uint32_t)k;
    }
    for (size_t i = 0; i < c->n_entries && code == 0; i++) {
        const struct sc_entry *en = &c->entries[i];
        const bool foreign = (en->dtype & SC_FOREIGN_TYPE) != 0;
        if (en->file >= c->n_files || file[en->file] == UINT32_MAX)
            continue;
        begin[en->file] = SC_MIN(begin[en->file], en->offset);
        const struct sc_byte_part p = {.name = en->name,
                                       .dtype =
                                           foreign ? "?" : sc_codec((sc_codec_id)en->dtype)->name,
                                       .shape = en->shape,
                                       .offset = en->offset,
                                       .bytes = en->bytes,
                                       .file = file[en->file],
                                       .rank = en->rank,
                                       .width = width_of(en)};
        code = add_part(x, &p, e);
    }
    for (size_t i = 0; i < c->n_files && code == 0; i++) {
        const uint64_t n = SC_MIN(begin[i], c->files[i].header_bytes);
        if (file[i] != UINT32_MAX && begin[i] != UINT64_MAX)
            code = add_part(
                x, &(struct sc_byte_part){.name = "header", .bytes = n, .file = file[i]}, e);
    }
    free(file);
    free(begin);
    return code;
}

/* Tensors may share bytes: of those that overlap the first stays. */
static void order_parts(struct inputs *x)
{
    size_t n = 0;
    if (x->n_parts)
        qsort(x->parts, x->n_parts, sizeof *x->parts, by_place);
    for (size_t i = 0; i < x->n_parts; i++) {
        const struct sc_byte_part *p = &x->parts[i], *before = n ? &x->parts[n - 1] : NULL;
        if (!before || before->file != p->file || before->offset + before->bytes <= p->offset)
            x->parts[n++] = *p;
    }
    x->n_parts = n;
}

/* A model that cannot be read is still bytes. */
static int look_inside(struct inputs *x, struct sc_repo *repo, struct origin *at, size_t first,
                       struct sc_error *e)
{
    struct sc_open_options oo = *x->oo;
    oo.lenient = true;
    oo.note = NULL;
    if (sc_catalog_open(repo, &oo, &at->catalog, NULL) < 0)
        return 0;
    return add_parts(x, at->catalog, first, e);
}

/* ----------------------------------------------------------------------------------- names --- */

static bool is_wanted(const struct inputs *x, const char *path)
{
    const struct sc_words *in = &x->c->set.include, *out = &x->c->set.exclude;
    bool wanted = in->n == 0;
    for (size_t i = 0; i < in->n && !wanted; i++)
        wanted = sc_glob(sc_strz(in->p[i]), sc_strz(path));
    for (size_t i = 0; i < out->n && wanted; i++)
        wanted = !sc_glob(sc_strz(out->p[i]), sc_strz(path));
    return wanted;
}

static int add_repo_file(struct inputs *x, struct sc_repo *r, const char *path, uint64_t bytes,
                         struct sc_error *e)
{
    struct sc_source *s = NULL;
    if (bytes == UINT64_MAX) { /* nobody said */
        TRY(sc_repo_open_file(r, path, &s, e));
        bytes = s->size;
        sc_source_close(s);
    }
    return add_file(x, path, path, bytes, e);
}

/* A folder, or something elsewhere. */
static int add_repo(struct inputs *x, const char *name, struct sc_error *e)
{
    const size_t first = x->n_files;
    struct origin *at = add_origin(x, e);
    if (!at)
        return e->code;
    TRY(sc_repo_open(name, x->oo->hub, &at->repo, e));
    struct sc_repo *r = at->repo;
    x->remote = x->remote || sc_repo_is_remote(r);
    for (size_t i = 0; i < r->n_files; i++)
        if (!r->selected ? is_wanted(x, r->files[i].path)
                         : strcmp(r->selected, r->files[i].path) == 0)
            TRY(add_repo_file(x, r, r->files[i].path, r->files[i].bytes, e));
    if (r->selected && first == x->n_files)
        TRY(add_repo_file(x, r, r->selected, UINT64_MAX, e));
    return look_inside(x, r, &x->origins[x->n_origins - 1], first, e);
}

static int add_pipe(struct inputs *x, int fd, const char *name, struct sc_error *e)
{
    struct origin *at = add_origin(x, e);
    if (!at)
        return e->code;
    TRY(sc_pipe_open(fd, name, x->memory, &sc_cancel, &at->own, e));
    return add_file(x, name, name, at->own->size, e);
}

static int add_stdin(struct inputs *x, struct sc_error *e)
{
    struct stat st;
    if (fstat(STDIN_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
        return add_pipe(x, STDIN_FILENO, "standard input", e);
    struct origin *at = add_origin(x, e);
    if (!at)
        return e->code;
    TRY(sc_stdin_open(&at->own, e));
    return add_file(x, at->own->name, at->own->name, at->own->size, e);
}

/* A file here. Its folder is not of interest, but a model is recognised by its repository. */
static int add_local(struct inputs *x, const char *path, uint64_t bytes, struct sc_error *e)
{
    const size_t first = x->n_files;
    struct sc_source *s = NULL;
    TRY(sc_file_open(path, NULL, &s, e));
    sc_source_close(s);
    if (!add_origin(x, e))
        return e->code;
    TRY(add_file(x, path, path, bytes, e));
    if (x->named > LOOK_INSIDE || !bytes)
        return 0;
    struct sc_repo *r = NULL;
    if (sc_repo_open_local(path, &r, NULL) < 0)
        return 0;
    if (r->selected && (x->known[first].path =
                            sc_arena_copy(&x->arena, r->selected, strlen(r->selected))) == NULL) {
        sc_repo_close(r);
        return sc_fail_memory(e);
    }
    struct origin *at = &x->origins[x->n_origins - 1];
    int code = look_inside(x, r, at, first, e);
    if (at->catalog)
        at->repo = r; /* it is read through that then */
    else
        sc_repo_close(r);
    if (!at->repo)
        x->known[first].path = x->files[first].name;
    return code;
}

static int add_name(struct inputs *x, const char *name, struct sc_error *e)
{
    struct stat st;
    if (strcmp(name, "-") == 0)
        return add_stdin(x, e);
    if (stat(name, &st) != 0 || S_ISDIR(st.st_mode))
        return add_repo(x, name, e);
    if (!S_ISFIFO(st.st_mode))
        return add_local(x, name, (uint64_t)st.st_size, e);
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sc_fail(e, SCRUPLE_EIO, "%s: %s", name,
                       errno == EINTR ? "interrupted" : "cannot be opened");
    const int code = add_pipe(x, fd, name, e);
    close(fd);
    return code;
}

/* One that cannot be read is left out, with a warning, when there are others. */
static int try_name(struct inputs *x, const char *name, struct sc_error *e)
{
    const size_t files = x->n_files, parts = x->n_parts;
    struct sc_error why = {0};
    const int code = add_name(x, name, &why);
    if (code == 0)
        return 0;
    x->n_files = files;
    x->n_parts = parts;
    if (x->named == 1 || code == SCRUPLE_EMEMORY || code == SCRUPLE_EINTERRUPTED || sc_cancel) {
        *e = why;
        return code;
    }
    sc_say(x->c, "warning", "left out: %s", why.text);
    return 0;
}

/* ------------------------------------------------------------------------------------ list --- */

static int read_list(struct inputs *x, const char *path, char **out, size_t *n, struct sc_error *e)
{
    struct sc_source *s = NULL;
    const bool piped = strcmp(path, "-") == 0;
    TRY(piped ? sc_pipe_open(STDIN_FILENO, "standard input", LIST_MOST, &sc_cancel, &s, e)
              : sc_file_open(path, NULL, &s, e));
    int code = s->size <= LIST_MOST
                   ? 0
                   : sc_fail(e, SCRUPLE_ELIMIT, "%s: a list of files has at most 64 MiB", path);
    if (code == 0 && !(*out = sc_alloc((size_t)s->size + 1)))
        code = sc_fail_memory(e);
    *n = (size_t)s->size;
    if (code == 0)
        code = sc_source_read(s, 0, *out, *n, e);
    if (code == 0)
        (*out)[*n] = '\0';
    sc_source_close(s);
    (void)x;
    return code;
}

/* With a NUL anywhere, names end there and may hold line feeds; else they are lines, trimmed. */
static int split_list(char *text, size_t n, struct sc_words *out, struct sc_error *e)
{
    const char end = memchr(text, '\0', n) ? '\0' : '\n';
    for (char *p = text, *stop = text + n; p < stop;) {
        char *to = memchr(p, end, (size_t)(stop - p));
        to = to ? to : stop;
        char *next = to + 1;
        *to = '\0';
        if (end == '\n') {
            while (*p == ' ' || *p == '\t' || *p == '\r')
                p++;
            while (to > p && strchr(" \t\r", to[-1]))
                *--to = '\0';
        }
        if (*p)
            TRY(sc_words_add(out, p, e));
        p = next;
    }
    return 0;
}

static int find_files(struct inputs *x, struct sc_error *e)
{
    const struct sc_settings *set = &x->c->set;
    struct sc_words names = {0};
    char *text = NULL;
    size_t n = 0;
    int code = 0;
    for (size_t i = 0; i < set->models.n && code == 0; i++)
        code = sc_words_add(&names, set->models.p[i], e);
    for (size_t i = 0; i < x->c->operands.words.n && code == 0; i++)
        code = sc_words_add(&names, x->c->operands.words.p[i], e);
    if (code == 0 && set->list)
        code = read_list(x, set->list, &text, &n, e);
    if (code == 0 && text)
        code = split_list(text, n, &names, e);
    x->named = names.n;
    if (code == 0 && names.n == 0)
        code = set->list ? sc_fail(e, SCRUPLE_EUSAGE, "%s: names no file", set->list)
                         : sc_fail(e, SCRUPLE_EUSAGE, "name a file, - for standard input, or -l");
    for (size_t i = 0; i < names.n && code == 0; i++)
        code = try_name(x, names.p[i], e);
    if (code == 0 && x->n_files == 0)
        code = sc_fail(e, SCRUPLE_EIO, "there is no file to draw");
    sc_words_clear(&names);
    free(text);
    order_parts(x);
    return code;
}

/* ---------------------------------------------------------------------------------- picture --- */

/* Of the settings that are not of bytes, the usual is meant. */
static int choose(struct sc_cli *c, struct sc_error *e)
{
    struct sc_settings *set = &c->set;
    if (set->plane == UINT64_MAX) /* not said */
        set->plane = SC_PLANE_MEAN;
    if (!sc_colour_mode_suits((enum sc_colour_mode)set->mode, SC_SHOWS_BYTES)) {
        if (set->mode)
            return sc_fail(e, SCRUPLE_EUSAGE, "--mode %s: bytes have classes, value or entropy",
                           sc_colour_modes[set->mode]);
        set->mode = set->plane == SC_PLANE_ENTROPY ? SC_COLOURS_ENTROPY : SC_COLOURS_CLASSES;
    }
    if (!sc_plane_suits((enum sc_plane)set->plane, SC_SHOWS_BYTES))
        return sc_fail(e, SCRUPLE_EUSAGE, "--plane %s: bytes have main, mean, min, max or entropy",
                       sc_plane_names[set->plane]);
    if (set->mode == SC_COLOURS_ENTROPY)
        set->plane = SC_PLANE_ENTROPY;
    else if (set->plane == SC_PLANE_ENTROPY)
        return sc_fail(e, SCRUPLE_EUSAGE, "--plane entropy needs --mode entropy");
    else if (set->mode == SC_COLOURS_CLASSES && set->plane == SC_PLANE_MEAN)
        set->plane = SC_PLANE_MAIN; /* a mean of kinds is of no kind */
    return 0;
}

/* --at as a permalink. */
static int start_at(const struct sc_cli *c, const struct sc_bytes *b, char out[40],
                    struct sc_error *e)
{
    char *end;
    errno = 0;
    const uint64_t at = strtoull(c->set.at, &end, 0);
    if (errno || *end || end == c->set.at || c->set.at[0] == '-' || at >= sc_bytes_total(b))
        return sc_fail(e, SCRUPLE_EUSAGE, "--at %s: no offset from 0 to %" PRIu64, c->set.at,
                       sc_bytes_total(b) - 1);
    (void)snprintf(out, 40, "#o=0x%" PRIx64, at);
    return 0;
}

static int draw_pictures(struct sc_cli *c, struct sc_bytes_view *v, const char *title,
                         struct sc_error *e)
{
    struct sc_render_options ro = sc_bytes_render(v);
    struct sc_palette palette;
    struct sc_render *render = NULL;
    ro.mode = (enum sc_colour_mode)c->set.mode;
    ro.plane = (enum sc_plane)c->set.plane;
    sc_palette_make(ro.mode, !c->set.light, &palette);
    TRY(sc_bytes_build(v->bytes, e));
    TRY(sc_render_new(&ro, &render, e));
    const int status = c->set.pmtiles ? sc_view_pmtiles(c, &ro, render, &palette, title)
                                      : sc_view_png(c, ro.scene, render, &palette, c->set.picture);
    sc_render_free(render);
    return status;
}

/* Below 0 an error, else an exit code. */
static int show(struct sc_cli *c, struct sc_bytes_view *v, uint64_t memory, struct sc_error *e)
{
    const struct sc_web_view view = sc_web_view_of_bytes(v);
    char at[40];
    if (c->set.at)
        TRY(start_at(c, v->bytes, at, e));
    if (c->set.picture || c->set.pmtiles)
        return draw_pictures(c, v, view.title, e);
    if (!c->set.out_dir)
        return sc_view_serve(c, &view, 1, memory / 4, c->set.at ? at : NULL);
    struct sc_render_options ro = sc_bytes_render(v);
    ro.mode = (enum sc_colour_mode)c->set.mode;
    ro.plane = (enum sc_plane)c->set.plane;
    return sc_view_write(c, &view, 1, &ro, c->set.at ? at : NULL, e);
}

static int draw(struct inputs *x, struct sc_pool *pool, struct sc_error *e)
{
    struct sc_cli *c = x->c;
    struct sc_buf title = {0};
    const struct sc_bytes_options bo = {.pool = pool,
                                        .memory = x->memory / 2,
                                        .network = c->set.fetch,
                                        .remote = x->remote,
                                        .cancel = &sc_cancel,
                                        .open = open_file,
                                        .ctx = x};
    struct sc_bytes_view v = {.pool = pool, .cancel = &sc_cancel};
    TRY(choose(c, e));
    if (x->named == 1 && c->operands.words.n == 1)
        sc_buf_puts(&title, c->operands.words.p[0]);
    else
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there is a file */
        sc_buf_printf(&title, "%s and %zu more", x->files[0].name, x->n_files - 1);
    v.title = title.p;
    int code = title.failed ? sc_fail_memory(e)
                            : sc_bytes_new(v.title, x->files, x->n_files, x->parts, x->n_parts, &bo,
                                           &v.bytes, e);
    if (code == 0)
        code = show(c, &v, x->memory, e);
    sc_bytes_free(v.bytes);
    sc_buf_clear(&title);
    return code;
}

int sc_view_bytes(struct sc_cli *c)
{
    const struct sc_open_options oo = sc_cli_open_options(c);
    struct inputs x = {.c = c, .oo = &oo, .memory = sc_memory_budget(c->set.memory)};
    struct sc_pool *pool = NULL;
    struct sc_error e = {0};
    int status = 0;

    if (c->set.port > UINT16_MAX)
        return sc_wrong_use(c, "--port: there is no port %llu", (unsigned long long)c->set.port);
    if (find_files(&x, &e) < 0 ||
        sc_pool_new((unsigned)SC_MIN(c->set.threads, 4096), &pool, &e) < 0 ||
        (status = draw(&x, pool, &e)) < 0)
        status = e.code == SCRUPLE_EUSAGE ? sc_usage_exit(c, &e) : sc_fail_exit(c, &e);
    sc_pool_free(pool);
    close_inputs(&x);
    return status;
}
