/* SPDX-License-Identifier: Apache-2.0 */
/* pyramid_file: pyramids that outlive us.
 *
 *     pyramids/<key>.pyramid   below our cache; the key names the content of a model, how its
 *                              tensors are drawn, and the method
 *
 *     0    struct head         with its checksum
 *     64   struct row          one a tensor; all zeros: not there yet. Each has the checksum of its
 *                              cells, how large values are, and a checksum of itself
 *     ...  cells               at places that follow from the shapes; a hole where nothing is yet
 *
 * A file is made whole (rows of zeros) and gets its name at once. From then on cells are written,
 * and after them their row. Several processes may do so: the same key means the same bytes. What is
 * read is checked against its checksum when it is first used, so a write that the machine did not
 * finish is as if it had not begun. A file whose head is not as it should be is replaced. Numbers
 * are in the order of this machine, which the head tells.
 *
 * It is mapped; what somebody cuts off of it reads as zeros (source/guard.c), which its size tells.
 *
 * Nothing here fails a run: a cache that is missing, read-only, full or damaged costs only time. */
#include "picture/pyramid.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/cache.h"

enum { LAYOUT = 2, ORDER = 0x01020304 };
static const char magic[8] = {'S', 'C', 'P', 'Y', 'R', 'A', 'M', 'S'};
static const char suffix[] = ".pyramid";

struct head {
    char magic[8];
    uint32_t order, layout;
    uint64_t n_tensors, size; /* of the whole file */
    uint8_t key[24];
    uint32_t zero, crc;
};
_Static_assert(sizeof(struct head) == 64, "as in the file");
struct row {
    uint32_t there, crc_cells, number;
    struct sc_scale_range range;
    uint32_t zero[2], crc;
};
_Static_assert(sizeof(struct row) == 32, "as in the file");

struct sc_pack {
    struct sc_source *source; /* to read */
    const uint8_t *map;       /* all of it; NULL: cannot be mapped */
    int fd;                   /* to write; -1: read only */
    int look;                 /* for its size */
    uint64_t size;
    size_t n;
    const struct sc_pack_tensor *tensors;
    uint64_t cells; /* where they begin */
    _Atomic bool damaged, full;
    _Atomic uint8_t *known; /* 0 not looked at, 1 good, 2 bad */
};

/* ------------------------------------------------------------------------------- its layout --- */

static uint64_t cells_at(size_t n)
{
    return sc_align_up(sizeof(struct head) + (uint64_t)n * sizeof(struct row), 64);
}

static struct head head_of(const char key[65], const struct sc_pack_tensor *t, size_t n)
{
    struct head h = {.order = ORDER, .layout = LAYOUT, .n_tensors = n, .size = cells_at(n)};
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.key, key, sizeof h.key);
    if (n)
        h.size += (t[n - 1].first + t[n - 1].n) * sizeof(struct sc_cell_stats);
    h.crc = libdeflate_crc32(0, &h, offsetof(struct head, crc));
    return h;
}

static uint32_t crc_of_row(const struct row *r)
{
    return libdeflate_crc32(0, r, offsetof(struct row, crc));
}

/* ------------------------------------------------------------------------------- opening it --- */

static bool is_sound(struct sc_source *s, const struct head *want)
{
    struct head have;
    return s->size == want->size && sc_source_read(s, 0, &have, sizeof have, NULL) == 0 &&
           memcmp(&have, want, sizeof have) == 0;
}

/* Whatever stands under the name is replaced. */
static bool make_file(const char *path, const struct head *h)
{
    struct sc_buf temporary = {0};
    const int fd = sc_open_temporary(&temporary, path, ".tmp", 0644);
    bool made = fd >= 0 && sc_write_all(fd, h, sizeof *h) && ftruncate(fd, (off_t)h->size) == 0;
    if (fd >= 0) {
        made = close(fd) == 0 && made;
        made = made && rename(temporary.p, path) == 0;
        if (!made)
            unlink(temporary.p);
    }
    sc_buf_clear(&temporary);
    return made;
}

/* The folder of a path, made with its parents. */
static bool make_folder_of(const char *cache, struct sc_buf *b)
{
    sc_buf_printf(b, "%s/pyramids", cache);
    if (b->failed || !sc_make_cache(cache) || !sc_make_folders(b->p))
        return false;
    sc_sweep(b->p);
    return true;
}

/* Reading and writing must mean the same file, whatever its name means by now. */
static bool open_file(struct sc_pack *p, const char *path, const struct head *want)
{
    p->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    const int fd = p->fd >= 0 ? dup(p->fd) : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        p->look = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
    if (fd < 0 || sc_file_open_fd(fd, path, NULL, &p->source, NULL) < 0)
        p->source = NULL;
    if (p->source && is_sound(p->source, want))
        return true;
    sc_source_close(p->source);
    if (p->fd >= 0)
        close(p->fd);
    if (p->look >= 0)
        close(p->look);
    p->source = NULL;
    p->fd = p->look = -1;
    return false;
}

struct sc_pack *sc_pack_open(const char *cache, const char key[65],
                             const struct sc_pack_tensor *tensors, size_t n)
{
    struct sc_buf path = {0}, folder = {0};
    const struct head want = head_of(key, tensors, n);
    struct sc_pack *p = sc_calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->fd = p->look = -1;
    p->n = n;
    p->size = want.size;
    p->tensors = tensors;
    p->cells = cells_at(n);
    p->known = sc_calloc(n, sizeof *p->known);
    sc_buf_printf(&path, "%s/pyramids/%s%s", cache, key, suffix);
    bool opened = p->known && !path.failed && open_file(p, path.p, &want);
    if (!opened && p->known && !path.failed && make_folder_of(cache, &folder) &&
        make_file(path.p, &want))
        opened = open_file(p, path.p, &want);
    sc_buf_clear(&path);
    sc_buf_clear(&folder);
    if (!opened) {
        sc_pack_close(p);
        return NULL;
    }
    p->map = want.size <= SIZE_MAX ? sc_source_map(p->source, 0, (size_t)want.size) : NULL;
    return p;
}

void sc_pack_close(struct sc_pack *p)
{
    if (!p)
        return;
    if (p->fd >= 0)
        close(p->fd);
    if (p->look >= 0)
        close(p->look);
    sc_source_close(p->source);
    free(p->known);
    free(p);
}

bool sc_pack_is_damaged(struct sc_pack *p)
{
    struct stat st;
    if (!p)
        return false;
    if (!p->damaged && (fstat(p->look, &st) != 0 || (uint64_t)st.st_size < p->size))
        p->damaged = true;
    return p->damaged;
}

/* ------------------------------------------------------------------------ reading, writing --- */

static bool read_row(struct sc_pack *p, size_t i, struct row *r)
{
    const uint64_t at = sizeof(struct head) + (uint64_t)i * sizeof *r;
    if (p->map)
        memcpy(r, p->map + at, sizeof *r);
    else if (sc_source_read(p->source, at, r, sizeof *r, NULL) < 0)
        return false;
    return r->there == 1 && r->number == (uint32_t)i && r->crc == crc_of_row(r);
}

bool sc_pack_has(struct sc_pack *p, size_t i, struct sc_scale_range *out)
{
    struct row r;
    if (!p || p->damaged || p->known[i] == 2 || !read_row(p, i, &r))
        return false;
    *out = r.range;
    return isfinite(out->robust) && isfinite(out->abs);
}

static uint64_t position(const struct sc_pack *p, size_t i)
{
    return p->cells + p->tensors[i].first * sizeof(struct sc_cell_stats);
}

const struct sc_cell_stats *sc_pack_get(struct sc_pack *p, size_t i, bool *in_place)
{
    struct row r;
    void *copy = NULL;
    if (!p || p->damaged || p->known[i] == 2 || !read_row(p, i, &r))
        return NULL;
    const size_t n = (size_t)p->tensors[i].n * sizeof(struct sc_cell_stats);
    const void *cells = p->map ? p->map + position(p, i) : (copy = sc_alloc(n));
    bool good = cells && (p->map || sc_source_read(p->source, position(p, i), copy, n, NULL) == 0);
    if (good && (p->known[i] == 0 || copy))
        good = libdeflate_crc32(0, cells, n) == r.crc_cells && !sc_pack_is_damaged(p);
    p->known[i] = good ? 1 : 2;
    if (!good)
        free(copy);
    *in_place = !copy;
    return good ? cells : NULL;
}

static bool write_at(int fd, const void *p, size_t n, uint64_t off)
{
    const char *at = p;
    while (n > 0) {
        const ssize_t k = pwrite(fd, at, n, (off_t)off);
        if (k <= 0 && !(k < 0 && errno == EINTR))
            return false;
        at += SC_MAX(k, 0);
        off += (uint64_t)SC_MAX(k, 0);
        n -= (size_t)SC_MAX(k, 0);
    }
    return true;
}

bool sc_pack_is_writable(const struct sc_pack *p)
{
    return p && p->fd >= 0 && !p->damaged;
}

bool sc_pack_put(struct sc_pack *p, size_t i, const struct sc_cell_stats *cells,
                 const struct sc_scale_range *range)
{
    if (!p || p->fd < 0 || p->damaged || p->full)
        return false;
    const size_t n = (size_t)p->tensors[i].n * sizeof *cells;
    struct row r = {.there = 1, .number = (uint32_t)i, .range = *range};
    r.crc_cells = libdeflate_crc32(0, cells, n);
    r.crc = crc_of_row(&r);
    const bool written =
        write_at(p->fd, cells, n, position(p, i)) &&
        write_at(p->fd, &r, sizeof r, sizeof(struct head) + (uint64_t)i * sizeof r);
    if (written)
        p->known[i] = 0;
    else
        p->full = true;
    return written;
}

/* ----------------------------------------------------------------------------- housekeeping --- */

static bool is_ours(const char *name)
{
    const size_t n = strlen(name), s = sizeof suffix - 1;
    return n > s && strcmp(name + n - s, suffix) == 0;
}

int sc_pyramids_size(const char *cache, uint64_t *files, uint64_t *bytes, uint64_t *used,
                     struct sc_error *e)
{
    struct sc_buf folder = {0};
    *files = *bytes = *used = 0;
    sc_buf_printf(&folder, "%s/pyramids", cache);
    DIR *d = folder.failed ? NULL : opendir(folder.p);
    for (struct dirent *en; d && (en = readdir(d)) != NULL;) {
        struct stat st;
        if (!is_ours(en->d_name) || fstatat(dirfd(d), en->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode))
            continue;
        ++*files;
        *bytes = sc_add_up(*bytes, (uint64_t)st.st_blocks * 512);
        *used = SC_MAX(*used, (uint64_t)SC_MAX(st.st_mtime, (time_t)0));
    }
    if (d)
        closedir(d);
    const bool failed = folder.failed;
    sc_buf_clear(&folder);
    return failed ? sc_fail_memory(e) : 0;
}

int sc_pyramids_remove(const char *cache, struct sc_error *e)
{
    struct sc_buf folder = {0};
    struct stat st;
    sc_buf_printf(&folder, "%s/pyramids", cache);
    int code = folder.failed ? sc_fail_memory(e) : 0;
    if (code == 0 && lstat(folder.p, &st) == 0 && !sc_remove_tree(folder.p))
        code = sc_fail(e, SCRUPLE_EWRITE, "%s: cannot be removed: %s", folder.p, strerror(errno));
    sc_buf_clear(&folder);
    return code;
}
