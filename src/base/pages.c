/* SPDX-License-Identifier: Apache-2.0 */
/* pages: tables that grow with the model, beside little memory.
 *
 * A block is in memory while it is small. A larger one is a mapping of a file that has lost its
 * name at once: its pages belong to the page cache, so the system writes them out when it needs
 * the memory, and nothing stays behind however the process ends.
 *
 *     [ struct head | table ... ]        in memory, or all of it mapped
 */
#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* MAP_* ; NOLINT(bugprone-reserved-identifier,cert-dcl51-cpp) */
#endif
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct head {
    size_t mapped; /* bytes of the mapping, this head included; 0: in memory */
};
enum { HEAD = 64 }; /* a cache line: what follows is aligned for everything */
_Static_assert(sizeof(struct head) <= HEAD, "the head fits");

const char *sc_temporary_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder && *folder ? folder : "/tmp";
}

int sc_open_unnamed(void)
{
    static _Atomic unsigned count; /* threads may come in the same nanosecond */
    const char *folder = sc_temporary_folder();
    const size_t n = strlen(folder) + sizeof "/scruple-0123456789abcdef";
    char *path = sc_alloc(n);
    int fd = -1, error = path ? EEXIST : ENOMEM;

    for (unsigned i = 0; i < 100 && error == EEXIST; i++) {
        struct timespec now = {0};
        clock_gettime(CLOCK_REALTIME, &now);
        const uint64_t salt[4] = {(uint64_t)now.tv_sec, (uint64_t)now.tv_nsec, (uint64_t)getpid(),
                                  atomic_fetch_add(&count, 1)};
        snprintf(path, n, "%s/scruple-%016llx", folder,
                 (unsigned long long)sc_hash(salt, sizeof salt));
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        error = fd < 0 ? errno : 0;
    }
    if (fd >= 0 && unlink(path) != 0) {
        error = errno;
        close(fd);
        fd = -1;
    }
    free(path);
    errno = error;
    return fd;
}

/* NULL: there is no such place, or no room in it. */
static struct head *map_file(size_t bytes)
{
    void *p = MAP_FAILED;
    const int fd = sc_open_unnamed();
    if (fd < 0)
        return NULL;
    /* Reserved, since a full disk would be a SIGBUS later. */
    if (posix_fallocate(fd, 0, (off_t)bytes) == 0)
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

static struct head *head_of(void *table)
{
    return (struct head *)(void *)((char *)table - HEAD);
}

void *sc_pages_new(bool filed, size_t n, size_t size)
{
    struct head *h = NULL;
    uint64_t bytes;
    if (!sc_mul(n, size, &bytes) || bytes > (uint64_t)PTRDIFF_MAX - HEAD)
        return NULL;
    const size_t whole = (size_t)bytes + HEAD;
    if (filed && bytes >= SC_PAGES_FROM && (h = map_file(whole)))
        h->mapped = whole;
    if (!h)
        h = sc_calloc(1, whole);
    if (!h)
        return NULL;
    return (char *)h + HEAD;
}

/* In memory, and stays there. */
static int grow_block(void *array_ptr, size_t *cap, size_t need, size_t size, void *old,
                      struct sc_error *e)
{
    char *block = old ? (char *)head_of(old) : NULL;
    size_t room = old ? HEAD + *cap * size : 0;
    uint64_t bytes;
    if (!sc_mul(need, size, &bytes) || bytes > (uint64_t)PTRDIFF_MAX - HEAD)
        return sc_fail_memory(e);
    TRY(sc_grow(&block, &room, HEAD + (size_t)bytes, 1, e));
    *cap = (room - HEAD) / size;
    *(struct head *)(void *)block = (struct head){0};
    block += HEAD;
    memcpy(array_ptr, &block, sizeof block);
    return 0;
}

int sc_pages_grow(bool filed, void *array_ptr, size_t *cap, size_t need, size_t size,
                  struct sc_error *e)
{
    void *old; /* the caller's pointer has a type of its own; only its bytes may be touched here */
    if (need <= *cap)
        return 0;
    memcpy(&old, array_ptr, sizeof old);
    if (!filed || (need <= SC_PAGES_FROM / size && !(old && head_of(old)->mapped)))
        return grow_block(array_ptr, cap, need, size, old, e);
    /* Half as much again, as sc_grow(). */
    size_t items = *cap <= SIZE_MAX / 2 ? *cap + *cap / 2 : SIZE_MAX;
    items = SC_MAX(items, need);
    void *p = sc_pages_new(true, items, size);
    if (!p && items > need)
        p = sc_pages_new(true, items = need, size);
    if (!p)
        return sc_fail_memory(e);
    if (old)
        memcpy(p, old, *cap * size);
    sc_pages_free(old);
    memcpy(array_ptr, &p, sizeof p);
    *cap = items;
    return 0;
}

void sc_pages_free(void *table)
{
    if (!table)
        return;
    struct head *h = head_of(table);
    if (h->mapped)
        munmap(h, h->mapped);
    else
        free(h);
}
