/* SPDX-License-Identifier: Apache-2.0 */
/* export_page: the page of an export: as files, and as one that holds them all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/cache.h"
#include "report/html.h"
#include "report/svg.h"
#include "web/export.h"
#include "web/page.h"

int sc_export_into(void *ctx, const char *p, size_t n)
{
    struct sc_buf *b = ctx;
    sc_buf_put(b, p, n);
    return b->failed ? SCRUPLE_EMEMORY : 0;
}

int sc_export_failed(const char *path, struct sc_error *e)
{
    const int error = errno;
    struct sc_quoted q;
    return sc_fail(e, SCRUPLE_EWRITE, "%s: cannot be written: %s%s", sc_quote(&q, sc_strz(path)),
                   strerror(error),
                   error == ENOSPC || error == EDQUOT
                       ? "; what is there stays, and the same command goes on from it"
                       : "");
}

/* Nothing waits for the disk: a run that follows a crash writes all documents anew, and looks at
 * every tile. */
int sc_export_write(const char *dir, const char *name, const struct sc_buf *b, struct sc_error *e)
{
    struct sc_buf path = {0}, temporary = {0};
    int fd = -1, code = 0;
    sc_buf_printf(&path, "%s/%s", dir, name);
    if (path.failed || b->failed) {
        code = sc_fail_memory(e);
    } else {
        fd = sc_open_temporary(&temporary, path.p, ".tmp", 0666);
        bool good = fd >= 0 && (!b->n || sc_write_all(fd, b->p, b->n));
        good = (fd < 0 || close(fd) == 0) && good;
        if (!good || rename(temporary.p, path.p) < 0) {
            code = sc_export_failed(path.p, e);
            if (fd >= 0)
                unlink(temporary.p);
        }
    }
    sc_buf_clear(&path);
    sc_buf_clear(&temporary);
    return code;
}

int sc_export_end(int fd, struct sc_buf *temporary, const char *path, int code, struct sc_error *e)
{
    if (code == 0 && !sc_sync(fd))
        code = sc_export_failed(path, e);
    if (close(fd) < 0 && code == 0)
        code = sc_export_failed(path, e);
    if (code == 0 && rename(temporary->p, path) < 0)
        code = sc_export_failed(path, e);
    if (code < 0)
        unlink(temporary->p);
    sc_buf_clear(temporary);
    return code;
}

/* Stands near the beginning of every page. */
#define GENERATOR "<meta name=\"generator\" content=\"scruple\">\n"

int sc_export_may_replace(const char *path, struct sc_error *e)
{
    char start[256] = "";
    struct sc_quoted q;
    struct stat st;
    if (lstat(path, &st) < 0)
        return 0;
    const int fd = S_ISREG(st.st_mode) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    const ssize_t n = fd < 0 ? -1 : read(fd, start, sizeof start - 1);
    if (fd >= 0)
        close(fd);
    if (n == 0 || (n > 0 && strstr(start, GENERATOR)))
        return 0;
    return sc_fail(e, SCRUPLE_EUSAGE,
                   "%s is there and is no page of this program; --force replaces it",
                   sc_quote(&q, sc_strz(path)));
}

/* ------------------------------------------------------------------------------- the files --- */

/* Calls fn for every file that a page reads, in a fixed order, with its name below the folder. */
static int each_file(const char *dir, size_t n_views,
                     int (*fn)(void *ctx, const char *path, const char *name, uint64_t bytes,
                               struct sc_error *e),
                     void *ctx, struct sc_error *e)
{
    static const char *const of_view[] = {"scene.json", "scales.json", "tensors.bin",
                                          "tiles/index.bin"};
    struct sc_buf path = {0}, name = {0};
    struct stat st;
    int code = 0;
    for (size_t v = 0; v <= n_views && code == 0; v++)
        for (size_t i = 0; code == 0; i++) {
            name.n = path.n = 0;
            if (v == n_views && i == 2)
                break;
            if (v == n_views)
                sc_buf_puts(&name, i ? "colours.json" : "view.json");
            else if (i < SC_COUNT(of_view))
                sc_buf_printf(&name, "%zu/%s", v, of_view[i]);
            else
                sc_buf_printf(&name, "%zu/tiles/pack-%03zu.bin", v, i - SC_COUNT(of_view));
            sc_buf_printf(&path, "%s/%s", dir, name.p);
            if (name.failed || path.failed)
                code = sc_fail_memory(e);
            else if (stat(path.p, &st) == 0 && S_ISREG(st.st_mode))
                code = fn(ctx, path.p, name.p, (uint64_t)st.st_size, e);
            else if (v < n_views && i >= SC_COUNT(of_view))
                break; /* behind the last pack */
            else
                code = sc_export_failed(path.p, e);
        }
    sc_buf_clear(&path);
    sc_buf_clear(&name);
    return code;
}

static int add_bytes(void *ctx, const char *path, const char *name, uint64_t bytes,
                     struct sc_error *e)
{
    uint64_t *sum = ctx;
    (void)path;
    (void)name;
    (void)e;
    *sum = sc_add_up(*sum, bytes);
    return 0;
}

uint64_t sc_export_bytes(const char *dir, size_t n_views)
{
    struct sc_error e;
    uint64_t sum = 0;
    return each_file(dir, n_views, add_bytes, &sum, &e) < 0 ? UINT64_MAX : sum;
}

/* ------------------------------------------------------------------------------- one page --- */

struct writer {
    int fd;
    struct sc_buf b; /* waits */
    const char *path;
};

static int settle(struct writer *w, struct sc_error *e)
{
    if (w->b.failed)
        return sc_fail_memory(e);
    if (w->b.n && !sc_write_all(w->fd, w->b.p, w->b.n))
        return sc_export_failed(w->path, e);
    w->b.n = 0;
    return 0;
}

/* A file in base64: a multiple of 3 bytes at a time. */
static int embed(void *ctx, const char *path, const char *name, uint64_t bytes, struct sc_error *e)
{
    enum { PIECE = 3 << 16 };
    struct writer *w = ctx;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *piece = sc_alloc(PIECE);
    uint64_t done = 0;
    int code = fd < 0 ? sc_export_failed(path, e) : !piece ? sc_fail_memory(e) : 0;

    sc_buf_printf(&w->b, "<script type=\"application/octet-stream\" data-name=\"%s\">", name);
    while (code == 0 && done < bytes) {
        const size_t n = (size_t)SC_MIN(bytes - done, (uint64_t)PIECE);
        const ssize_t got = pread(fd, piece, n, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || (size_t)got < n) {
            code = sc_fail(e, SCRUPLE_EIO, "%s cannot be read", path);
            break;
        }
        sc_put_base64(&w->b, piece, n);
        code = settle(w, e);
        done += n;
    }
    sc_buf_puts(&w->b, "</script>\n");
    if (fd >= 0)
        close(fd);
    free(piece);
    return code;
}

/* All modules as addresses that hold them. */
static void put_modules(struct sc_buf *b)
{
    const char *before = "";
    sc_buf_puts(b, "{\"imports\": {");
    for (const struct sc_web_asset *a = sc_web_assets; a->name; a++)
        if (sc_str_ends(sc_strz(a->name), ".mjs")) {
            sc_buf_printf(b, "%s\"scruple/%s\": \"data:text/javascript;base64,", before, a->name);
            sc_put_base64(b, a->p, a->n);
            sc_buf_puts(b, "\"");
            before = ", ";
        }
    sc_buf_puts(b, "}}");
}

static void put_styles(struct sc_buf *b)
{
    for (const struct sc_web_asset *a = sc_web_assets; a->name; a++)
        if (sc_str_ends(sc_strz(a->name), ".css"))
            sc_buf_put(b, (const char *)a->p, a->n);
}

static int put_head(struct sc_buf *b, const char *title, struct sc_error *e)
{
    static const char start[] = "import(\"scruple/main.mjs\");";
    struct sc_buf map = {0}, styles = {0};
    int code = 0;
    put_modules(&map);
    put_styles(&styles);
    if (map.failed || styles.failed)
        code = sc_fail_memory(e);
    /* The map and the script that starts are known by their hashes, modules are addresses of the
     * map: nothing from elsewhere runs. */
    sc_buf_puts(b,
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n" GENERATOR
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                "script-src data:");
    if (code == 0)
        code = sc_page_hash(map.p, map.n, b, e);
    if (code == 0)
        code = sc_page_hash(start, sizeof start - 1, b, e);
    sc_buf_puts(b, "; style-src");
    if (code == 0)
        code = sc_page_hash(styles.n ? styles.p : "", styles.n, b, e);
    sc_buf_puts(b, "; img-src blob: data:; base-uri 'none'; form-action 'none'\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                   "<meta name=\"referrer\" content=\"no-referrer\">\n"
                   "<meta name=\"color-scheme\" content=\"dark light\">\n<title>");
    sc_put_markup(b, sc_strz(title));
    sc_buf_puts(b, " – scruple</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>");
    if (styles.n)
        sc_buf_put(b, styles.p, styles.n);
    sc_buf_puts(b,
                "</style>\n</head>\n<body>\n<noscript>This page draws with a script.</noscript>\n"
                "<script type=\"importmap\">");
    if (map.n)
        sc_buf_put(b, map.p, map.n);
    sc_buf_puts(b, "</script>\n");
    sc_buf_clear(&map);
    sc_buf_clear(&styles);
    return code;
}

int sc_export_one(const char *dir, const char *title, size_t n_views, const char *path,
                  struct sc_error *e)
{
    struct sc_buf temporary = {0};
    struct writer w = {.fd = sc_open_temporary(&temporary, path, ".tmp", 0666), .path = path};
    if (w.fd < 0) {
        sc_buf_clear(&temporary);
        return sc_export_failed(path, e);
    }
    int code = put_head(&w.b, title, e);
    if (code == 0)
        code = each_file(dir, n_views, embed, &w, e);
    sc_buf_puts(&w.b, "<script type=\"module\">import(\"scruple/main.mjs\");</script>\n</body>\n"
                      "</html>\n");
    if (code == 0)
        code = settle(&w, e);
    code = sc_export_end(w.fd, &temporary, path, code, e);
    sc_buf_clear(&w.b);
    return code;
}

/* --------------------------------------------------------------------------- page as files --- */

/* The page of the server, with its policy inside. */
static int put_page(const char *title, struct sc_buf *b, struct sc_error *e)
{
    static const char before[] = "<meta name=\"viewport\"", end[] = "; frame-ancestors";
    struct sc_buf page = {0}, policy = {0};
    int code = sc_web_page(title, &page, &policy, e);
    sc_buf_putc(&page, '\0');
    sc_buf_putc(&policy, '\0');
    if (code == 0 && (page.failed || policy.failed))
        code = sc_fail_memory(e);
    if (code == 0) {
        char *at = strstr(page.p, before), *tail = strstr(policy.p, end);
        if (tail)
            *tail = '\0'; /* only a header can say that */
        sc_buf_put(b, page.p, (size_t)(at - page.p));
        sc_buf_puts(b, "<meta http-equiv=\"Content-Security-Policy\" content=\"");
        sc_buf_puts(b, policy.p);
        sc_buf_puts(b, "\">\n");
        sc_buf_puts(b, at);
    }
    sc_buf_clear(&page);
    sc_buf_clear(&policy);
    return code;
}

int sc_export_files(const char *dir, const char *title, size_t n_views, bool single,
                    struct sc_error *e)
{
    struct sc_buf b = {0};
    int code = 0;
    for (const struct sc_web_asset *a = sc_web_assets; a->name && code == 0; a++) {
        b.n = 0;
        sc_buf_put(&b, (const char *)a->p, a->n);
        code = sc_export_write(dir, a->name, &b, e);
    }
    b.n = 0;
    if (code == 0 && !single) {
        code = put_page(title, &b, e);
        if (code == 0)
            code = sc_export_write(dir, "index.html", &b, e);
    } else if (code == 0) {
        sc_buf_printf(&b, "%s/index.html", dir);
        code = b.failed ? sc_fail_memory(e) : sc_export_one(dir, title, n_views, b.p, e);
    }
    sc_buf_clear(&b);
    return code;
}

int sc_export_colours(const char *dir, struct sc_error *e)
{
    struct sc_buf b = {0};
    struct sc_out o = {.write = sc_export_into, .ctx = &b};
    sc_web_colours(&o);
    const int code =
        sc_out_finish(&o) < 0 ? sc_fail_memory(e) : sc_export_write(dir, "colours.json", &b, e);
    sc_buf_clear(&b);
    return code;
}
