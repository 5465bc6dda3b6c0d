/* SPDX-License-Identifier: Apache-2.0 */
/* export: a folder, or a page, in which a model can be looked at without this program.
 *
 * export.json says whose the folder is, for which weights and options, and whether all of it is
 * there. It comes first, and once more at the end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/cache.h"
#include "web/export.h"
#include "web/page.h"

#define SMALLEST_PACK 1000000u /* holds any tile */
#define SCHEMA        "scruple.export/1"
#define MOST_SINGLE   (UINT64_C(384) << 20) /* of files: browsers end strings at 512 MiB */

struct exporting {
    const struct sc_export_options *o;
    const struct sc_web_view *views;
    size_t n_views;
    const char *dir, *title;
    struct sc_export_plan *plans; /* of each view */
    struct sc_exported *out;
    char key[65];    /* "": not known */
    uint64_t scenes; /* bytes of the plans of all views */
    bool made;       /* the folder was not there before */
    bool fresh;      /* it was empty */
    bool refused;    /* by a budget: what was written to learn that is of no use */
    bool goes_on;    /* what is there is of the same weights and options */
    bool single;     /* of the run before */
    int lock;
    struct sc_buf path;
};

static void note(const struct exporting *x, const char *sentence)
{
    if (x->o->note)
        x->o->note(x->o->ctx, sentence);
}

static int name_path(struct exporting *x, struct sc_error *e, const char *fmt, ...) SC_PRINTF(3, 4);
static int name_path(struct exporting *x, struct sc_error *e, const char *fmt, ...)
{
    char name[64];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    x->path.n = 0;
    sc_buf_printf(&x->path, "%s/%s", x->dir, name);
    return x->path.failed ? sc_fail_memory(e) : 0;
}

/* ------------------------------------------------------------------------------ whose folder ---
 */

enum { NOTHING, OURS, SOMEBODYS };

/* export.json of a folder; false: there is none. An empty one is what a crash may leave. */
static bool read_marker(const char *dir, char key[65], bool *complete, bool *single)
{
    struct sc_buf path = {0};
    size_t n = 0;
    sc_buf_printf(&path, "%s/export.json", dir);
    char *text = path.failed ? NULL : sc_read_file(path.p, 65536, &n);
    json_t *root = text && n ? json_loadb(text, n, 0, NULL) : NULL;
    const char *schema = json_string_value(json_object_get(root, "schema"));
    const char *found = json_string_value(json_object_get(root, "key"));
    const bool ours = (text && n == 0) || (schema && strcmp(schema, SCHEMA) == 0);
    key[0] = '\0';
    if (ours && found && strlen(found) == 64)
        memcpy(key, found, 65);
    *complete = json_is_true(json_object_get(root, "complete"));
    *single = json_is_true(json_object_get(root, "single"));
    json_decref(root);
    free(text);
    sc_buf_clear(&path);
    return ours;
}

/* Nothing but what a run leaves that is killed while it writes the marker. */
static bool is_empty(const char *dir)
{
    static const char marker[] = "export.json.";
    DIR *d = opendir(dir);
    size_t n = 0;
    if (!d)
        return false;
    for (const struct dirent *entry; (entry = readdir(d));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
             strncmp(entry->d_name, marker, sizeof marker - 1) != 0;
    closedir(d);
    return n == 0;
}

static int take_folder(struct exporting *x, struct sc_error *e)
{
    char key[65];
    bool complete = false;
    struct sc_quoted q;
    struct stat st;
    x->made = lstat(x->dir, &st) < 0;
    if (!sc_make_folders(x->dir))
        return sc_export_failed(x->dir, e);
    if (!x->o->single) /* else it is ours alone */
        x->lock = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (x->lock >= 0 && flock(x->lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return sc_fail(e, SCRUPLE_EWRITE, "%s: another export is being written there",
                       sc_quote(&q, sc_strz(x->dir)));
    const bool ours = read_marker(x->dir, key, &complete, &x->single);
    x->fresh = !ours && is_empty(x->dir);
    if (!ours && !x->fresh)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "%s holds something that is no export; name an empty folder or a new one",
                       sc_quote(&q, sc_strz(x->dir)));
    x->goes_on = ours && key[0] && strcmp(key, x->key) == 0;
    return 0;
}

static int write_marker(const struct exporting *x, bool complete, struct sc_error *e)
{
    struct sc_buf b = {0};
    sc_buf_printf(&b,
                  "{\"schema\": \"" SCHEMA "\", \"scruple\": \"%s\", \"key\": \"%s\", "
                  "\"complete\": %s, \"single\": %s}\n",
                  scruple_version(), x->key, complete ? "true" : "false",
                  x->out->single ? "true" : "false");
    const int code = sc_export_write(x->dir, "export.json", &b, e);
    sc_buf_clear(&b);
    return code;
}

/* Tiles of other weights. */
static int forget(struct exporting *x, struct sc_error *e)
{
    struct stat st;
    for (unsigned v = 0; v < 1000; v++) {
        TRY(name_path(x, e, "%u", v));
        if (lstat(x->path.p, &st) < 0)
            break;
        if (v >= x->n_views) {
            if (!sc_remove_tree(x->path.p))
                return sc_export_failed(x->path.p, e);
            continue;
        }
        TRY(name_path(x, e, "%u/tiles", v));
        if (!sc_remove_tree(x->path.p) && errno != ENOENT)
            return sc_export_failed(x->path.p, e);
        TRY(name_path(x, e, "%u/tensors.bin", v));
        if (unlink(x->path.p) < 0 && errno != ENOENT)
            return sc_export_failed(x->path.p, e);
    }
    return 0;
}

/* There is one only when everything that it shows is. */
static int remove_page(struct exporting *x, struct sc_error *e)
{
    TRY(name_path(x, e, "index.html"));
    return unlink(x->path.p) == 0 || errno == ENOENT ? 0 : sc_export_failed(x->path.p, e);
}

/* ------------------------------------------------------------------------------- documents --- */

static int scene_of(const struct sc_web_view *v, struct sc_buf *b, struct sc_error *e)
{
    struct sc_out o = {.write = sc_export_into, .ctx = b};
    v->kind->scene(v->ctx, &o, true);
    return sc_out_finish(&o) < 0 ? sc_fail_memory(e) : 0;
}

/* Names all that decides about bytes of tiles. */
static int make_key(struct exporting *x, struct sc_error *e)
{
    const struct sc_export_options *o = x->o;
    struct sc_buf b = {0}, scene = {0};
    bool known = true;
    int code = 0;
    sc_buf_printf(&b, "export 1 %u %u %llu %llu\n", o->planes, o->max_zoom,
                  (unsigned long long)o->max_bytes, (unsigned long long)o->pack_bytes);
    for (size_t i = 0; i < x->n_views && code == 0; i++) {
        char key[65];
        known = known && x->views[i].kind->key(x->views[i].ctx, key);
        if (known)
            sc_buf_printf(&b, "%s\n", key);
        scene.n = 0;
        code = scene_of(&x->views[i], &scene, e);
        x->scenes += scene.n;
        if (code == 0 && known)
            known = sc_sha_of(SC_SHA256, scene.p, scene.n, key, NULL) == 0;
        if (known)
            sc_buf_printf(&b, "%s\n", key);
    }
    if (code == 0 && b.failed)
        code = sc_fail_memory(e);
    if (code < 0 || !known || sc_sha_of(SC_SHA256, b.p, b.n, x->key, NULL) < 0)
        x->key[0] = '\0';
    sc_buf_clear(&b);
    sc_buf_clear(&scene);
    return code;
}

static int write_documents(struct exporting *x, size_t i, struct sc_error *e)
{
    const struct sc_web_view *v = &x->views[i];
    struct sc_buf b = {0};
    struct sc_out o = {.write = sc_export_into, .ctx = &b};
    struct stat st;
    char name[48];
    TRY(name_path(x, e, "%zu/tiles", i));
    if (!sc_make_folders(x->path.p))
        return sc_export_failed(x->path.p, e);
    snprintf(name, sizeof name, "%zu/scene.json", i);
    int code = scene_of(v, &b, e);
    if (code == 0)
        code = sc_export_write(x->dir, name, &b, e);
    b.n = 0;
    v->kind->scales(v->ctx, &o);
    snprintf(name, sizeof name, "%zu/scales.json", i);
    if (sc_out_finish(&o) < 0 && code == 0)
        code = sc_fail_memory(e);
    if (code == 0)
        code = sc_export_write(x->dir, name, &b, e);
    sc_buf_clear(&b);
    TRY(code);
    TRY(name_path(x, e, "%zu/tensors.bin", i));
    if (x->goes_on && stat(x->path.p, &st) == 0)
        return 0;
    return sc_export_facts(x->o, v, x->path.p, e);
}

static int write_view_json(const struct exporting *x, struct sc_error *e)
{
    struct sc_buf b = {0};
    struct sc_out o = {.write = sc_export_into, .ctx = &b};
    /* The title of the page is that of its only view. */
    struct sc_web_view one = x->views[0];
    one.title = x->title;
    sc_web_views(&o, "static", x->title, x->o->start, x->n_views == 1 ? &one : x->views,
                 x->n_views);
    const int code =
        sc_out_finish(&o) < 0 ? sc_fail_memory(e) : sc_export_write(x->dir, "view.json", &b, e);
    sc_buf_clear(&b);
    return code;
}

/* --------------------------------------------------------------------------------- budgets --- */

static void say_cut(struct exporting *x, size_t view)
{
    const struct sc_export_plan *p = &x->plans[view];
    const int z = p->levels[p->n_levels - 1].z;
    char sentence[256], each[64];
    x->out->cut = true;
    if (z > 0)
        snprintf(each, sizeof each, "%llu x %llu units", 1ull << z, 1ull << z);
    else
        snprintf(each, sizeof each, "1/%llu unit", 1ull << -z);
    snprintf(sentence, sizeof sentence,
             "the deepest levels are left out: zoom %d of %d is the last, where a pixel is %s",
             x->views[view].kind->plan(x->views[view].ctx)->top - z,
             x->views[view].kind->plan(x->views[view].ctx)->top +
                 x->views[view].kind->plan(x->views[view].ctx)->deepest,
             each);
    note(x, sentence);
}

/* Leaves out levels of a view until it fits, as far as that can be known before. */
static int fit(struct exporting *x, size_t view, uint64_t most, struct sc_error *e)
{
    struct sc_export_plan *p = &x->plans[view];
    struct sc_export_job j = {.o = x->o, .view = &x->views[view], .plan = p};
    size_t n = p->n_levels;
    uint64_t *bytes = sc_calloc(SC_MAX(n, (size_t)1), sizeof *bytes);
    if (!bytes)
        return sc_fail_memory(e);
    int code = sc_export_estimate(&j, bytes, e);
    while (code == 0 && n > 1 && bytes[n - 1] > most)
        n--;
    free(bytes);
    if (code == 0 && n < p->n_levels) {
        sc_export_plan_cut(p, n);
        sc_export_plan_place(p);
    }
    return code;
}

/* ----------------------------------------------------------------------------------- tiles --- */

static int plan_views(struct exporting *x, struct sc_error *e)
{
    for (size_t i = 0; i < x->n_views; i++) {
        const struct sc_scene *s = x->views[i].kind->plan(x->views[i].ctx);
        TRY(sc_export_plan_new(s, x->o->planes, x->o->max_zoom, x->o->pack_bytes, &x->plans[i], e));
    }
    return 0;
}

static int write_tiles(struct exporting *x, size_t i, uint64_t most, uint64_t before,
                       uint64_t total, struct sc_error *e)
{
    struct sc_export_plan *p = &x->plans[i];
    struct sc_export_job j = {.o = x->o,
                              .view = &x->views[i],
                              .plan = p,
                              .most = most,
                              .done_before = before,
                              .total = total};
    const int deepest = -x->views[i].kind->plan(x->views[i].ctx)->deepest;
    uint64_t bytes = 0, kept = 0;
    TRY(name_path(x, e, "%zu/tiles", i));
    j.dir = x->path.p;
    TRY(sc_export_tiles(&j, &bytes, &kept, e));
    x->out->bytes += bytes;
    x->out->tiles += p->n_tiles;
    x->out->kept += kept;
    if (p->n_levels && p->levels[p->n_levels - 1].z > deepest)
        say_cut(x, i);
    return 0;
}

static uint64_t asset_bytes(void)
{
    uint64_t sum = 0;
    for (const struct sc_web_asset *a = sc_web_assets; a->name; a++)
        sum += a->n;
    return sum;
}

/* Page, marker, view.json, colours.json. */
static uint64_t page_bytes(void)
{
    return 131072 + asset_bytes();
}

static int check_budget(struct exporting *x, uint64_t others, struct sc_error *e)
{
    x->refused = x->o->max_bytes && others >= x->o->max_bytes;
    return x->refused ? sc_fail(e, SCRUPLE_ELIMIT,
                                "%llu bytes are not enough: page and documents alone take %llu",
                                (unsigned long long)x->o->max_bytes, (unsigned long long)others)
                      : 0;
}

/* What all but tiles takes; the page is not written yet. */
static uint64_t other_bytes(struct exporting *x)
{
    uint64_t sum = page_bytes();
    struct stat st;
    struct sc_error e;
    static const char *const names[] = {"scene.json", "scales.json", "tensors.bin"};
    for (size_t i = 0; i < x->n_views; i++)
        for (size_t k = 0; k < SC_COUNT(names); k++)
            if (name_path(x, &e, "%zu/%s", i, names[k]) == 0 && stat(x->path.p, &st) == 0)
                sum += (uint64_t)st.st_size;
    return sum;
}

static int write_all_tiles(struct exporting *x, struct sc_error *e)
{
    uint64_t total = 0, before = 0, most = UINT64_MAX, others = other_bytes(x);
    TRY(check_budget(x, others, e));
    if (x->o->max_bytes) {
        most = (x->o->max_bytes - others) / x->n_views;
        for (size_t i = 0; i < x->n_views; i++)
            TRY(fit(x, i, most, e));
    }
    for (size_t i = 0; i < x->n_views; i++)
        total += x->plans[i].n_tiles;
    x->out->bytes = others;
    for (size_t i = 0; i < x->n_views; i++) {
        const uint64_t n = x->plans[i].n_tiles;
        TRY(write_tiles(x, i, most, before, total, e));
        before += n;
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- export --- */

bool sc_export_key(const char *dir, char key[65])
{
    bool complete = false, single = false;
    return read_marker(dir, key, &complete, &single) && key[0];
}

/* NAME.<8 digits>.tmp */
bool sc_export_is_temporary(const char *name)
{
    const size_t n = strlen(name);
    return n > 13 && strcmp(name + n - 4, ".tmp") == 0 && name[n - 13] == '.' &&
           strspn(name + n - 12, "0123456789abcdef") == 8;
}

static void sweep_folder(const char *folder)
{
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (const struct dirent *entry; (entry = readdir(d));)
        if (sc_export_is_temporary(entry->d_name))
            (void)unlinkat(dirfd(d), entry->d_name, 0);
    closedir(d);
}

/* What runs left that were killed while they wrote a document. Nobody else writes here. */
static void sweep(struct exporting *x)
{
    struct sc_error e;
    for (size_t v = 0; v <= x->n_views; v++) {
        const char *folder = x->dir;
        if (v < x->n_views && name_path(x, &e, "%zu", v) == 0)
            folder = x->path.p;
        sweep_folder(folder);
    }
}

/* What a run has written that was refused, when nothing was there before. */
static void take_back(struct exporting *x)
{
    struct sc_error e;
    for (size_t v = 0; v < x->n_views; v++)
        if (name_path(x, &e, "%zu", v) == 0)
            (void)sc_remove_tree(x->path.p);
    if (name_path(x, &e, "export.json") == 0)
        (void)unlink(x->path.p);
    if (x->made)
        (void)rmdir(x->dir);
}

static int write_folder(struct exporting *x, struct sc_error *e)
{
    x->lock = -1;
    TRY(make_key(x, e));
    TRY(check_budget(x, page_bytes() + x->scenes, e));
    TRY(take_folder(x, e));
    TRY(remove_page(x, e));
    if (!x->goes_on)
        TRY(forget(x, e));
    TRY(write_marker(x, false, e));
    sweep(x);
    for (size_t i = 0; i < x->n_views; i++) {
        TRY(x->views[i].kind->sample(x->views[i].ctx, SIZE_MAX, e));
        TRY(x->views[i].kind->build(x->views[i].ctx, e));
    }
    for (size_t i = 0; i < x->n_views; i++)
        TRY(write_documents(x, i, e));
    TRY(plan_views(x, e));
    TRY(write_all_tiles(x, e));
    TRY(sc_export_colours(x->dir, e));
    return write_view_json(x, e);
}

static int finish_folder(struct exporting *x, struct sc_error *e)
{
    const uint64_t bytes = sc_export_bytes(x->dir, x->n_views), assets = asset_bytes();
    const uint64_t page = sc_add_up(sc_add_up(bytes, assets) / 3 * 4, 65536);
    const bool fits =
        !x->o->max_bytes || sc_add_up(sc_add_up(bytes, assets), page) <= x->o->max_bytes;
    x->out->single = x->o->with_single || (bytes < SC_EXPORT_SINGLE && fits);
    if (x->out->single && bytes > MOST_SINGLE)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "one page would hold %llu bytes, but browsers can open at most %llu; "
                       "--max-bytes and --max-zoom make it smaller",
                       (unsigned long long)bytes, (unsigned long long)MOST_SINGLE);
    TRY(sc_export_files(x->dir, x->title, x->n_views, x->out->single, e));
    return write_marker(x, true, e);
}

/* A folder beside the page holds its files until it is there. */
static int write_single(struct exporting *x, struct sc_error *e)
{
    struct sc_buf work = {0};
    if (!x->o->force)
        TRY(sc_export_may_replace(x->o->dir, e));
    const int lock = sc_make_work_folder(&work, x->o->dir);
    if (lock < 0) {
        sc_buf_clear(&work);
        return sc_export_failed(x->o->dir, e);
    }
    x->dir = work.p;
    x->out->single = true;
    int code = write_folder(x, e);
    const uint64_t bytes = code == 0 ? sc_export_bytes(x->dir, x->n_views) : 0;
    if (code == 0 && bytes > MOST_SINGLE)
        code = sc_fail(e, SCRUPLE_ELIMIT,
                       "one page would hold %llu bytes, but browsers can open at most %llu; "
                       "--max-bytes and --max-zoom make it smaller, or a folder can hold it",
                       (unsigned long long)bytes, (unsigned long long)MOST_SINGLE);
    if (code == 0)
        code = sc_export_one(x->dir, x->title, x->n_views, x->o->dir, e);
    (void)sc_remove_tree(work.p);
    close(lock);
    sc_buf_clear(&work);
    return code;
}

int sc_export(const struct sc_export_options *options, const struct sc_web_view *views,
              size_t n_views, struct sc_exported *out, struct sc_error *e)
{
    struct sc_export_options o = *options;
    struct exporting x = {.o = &o,
                          .views = views,
                          .n_views = n_views,
                          .dir = o.dir,
                          .lock = -1,
                          .title = o.title ? o.title : views[0].title,
                          .out = out};
    memset(out, 0, sizeof *out);
    o.planes = o.planes ? o.planes : 1u << SC_PLANE_MEAN | 1u << SC_PLANE_ABS;
    o.pack_bytes = o.pack_bytes ? o.pack_bytes : SC_EXPORT_PACK;
    if (o.pack_bytes < SMALLEST_PACK)
        return sc_fail(e, SCRUPLE_EUSAGE, "a file of tiles has at least %u bytes", SMALLEST_PACK);
    x.plans = sc_calloc(n_views, sizeof *x.plans);
    if (!x.plans)
        return sc_fail_memory(e);
    int code = o.single ? write_single(&x, e) : write_folder(&x, e);
    if (code == 0 && !o.single)
        code = finish_folder(&x, e);
    if (x.refused && x.fresh && !o.single)
        take_back(&x);
    for (size_t i = 0; i < n_views; i++)
        sc_export_plan_clear(&x.plans[i]);
    free(x.plans);
    if (x.lock >= 0)
        close(x.lock);
    sc_buf_clear(&x.path);
    return code;
}

/* ------------------------------------------------------------------------------ once more --- */

/* view.json of an export, with another title if one is given. */
static int read_views(const char *dir, const char *title, size_t *n_views, struct sc_buf *shown,
                      struct sc_error *e)
{
    enum { MOST = 1 << 20 };
    struct sc_buf path = {0};
    struct sc_quoted q;
    size_t n = 0;
    int code = 0;
    sc_buf_printf(&path, "%s/view.json", dir);
    char *text = path.failed ? NULL : sc_read_file(path.p, MOST, &n);
    json_t *root = text ? json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    *n_views = json_array_size(json_object_get(root, "views"));
    if (*n_views == 0)
        code = sc_fail(e, SCRUPLE_EUSAGE, "%s holds no export that is complete",
                       sc_quote(&q, sc_strz(dir)));
    if (code == 0 && title) {
        struct sc_buf b = {0};
        json_t *views = json_object_get(root, "views");
        bool good = json_object_set_new(root, "title", json_string(title)) == 0;
        if (*n_views == 1)
            good =
                json_object_set_new(json_array_get(views, 0), "title", json_string(title)) == 0 &&
                good;
        char *dump = good ? json_dumps(root, JSON_INDENT(2)) : NULL;
        if (!good)
            code = sc_fail(e, SCRUPLE_EUSAGE, "a title is text in UTF-8");
        else if (!dump)
            code = sc_fail_memory(e);
        else
            sc_buf_printf(&b, "%s\n", dump);
        free(dump);
        if (code == 0)
            code = sc_export_write(dir, "view.json", &b, e);
        sc_buf_clear(&b);
    }
    const char *found = json_string_value(json_object_get(root, "title"));
    sc_buf_printf(shown, "%s", found ? found : "");
    if (code == 0 && shown->failed)
        code = sc_fail_memory(e);
    json_decref(root);
    free(text);
    sc_buf_clear(&path);
    return code;
}

int sc_export_page(const char *dir, const char *title, bool *single, struct sc_error *e)
{
    struct sc_buf shown = {0};
    struct sc_quoted q;
    char key[65];
    bool complete = false;
    size_t n_views = 0;
    if (!read_marker(dir, key, &complete, single) || !complete)
        return sc_fail(e, SCRUPLE_EUSAGE, "%s holds no export that is complete",
                       sc_quote(&q, sc_strz(dir)));
    int code = read_views(dir, title, &n_views, &shown, e);
    if (code == 0)
        code = sc_export_colours(dir, e);
    if (code == 0)
        code = sc_export_files(dir, shown.p, n_views, *single, e);
    sc_buf_clear(&shown);
    return code;
}
