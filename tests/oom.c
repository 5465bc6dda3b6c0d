/* SPDX-License-Identifier: Apache-2.0 */
/* oom: allocation failures on demand; see oom.h. The linker's --wrap turns each reference to
 * malloc into __wrap_malloc and leaves the true function under __real_malloc. */
#include "oom.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <libdeflate.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static atomic_uint_fast64_t count, failed;
static atomic_uint_fast64_t first_bad = UINT64_MAX, last_bad; /* none: first > last */

static bool fails(void)
{
    uint64_t k = atomic_fetch_add(&count, 1);
    if (k < first_bad || k > last_bad)
        return false;
    atomic_fetch_add(&failed, 1);
    errno = ENOMEM;
    return true;
}

/* Each wrapped function twice: the true one, and ours in front of it. The names are the linker's,
 * reserved or not. */
#define WRAP(result, name, parameters, arguments, on_failure)                                      \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters                                                                \
    {                                                                                              \
        return fails() ? (on_failure) : __real_##name arguments;                                   \
    }

WRAP(void *, malloc, (size_t n), (n), NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(void *, realloc, (void *p, size_t n), (p, n), NULL)
WRAP(void *, aligned_alloc, (size_t align, size_t n), (align, n), NULL)
WRAP(int, posix_memalign, (void **out, size_t align, size_t n), (out, align, n), ENOMEM)
WRAP(char *, strdup, (const char *s), (s), NULL)
WRAP(char *, strndup, (const char *s, size_t n), (s, n), NULL)
WRAP(char *, realpath, (const char *path, char *out), (path, out), NULL)
WRAP(DIR *, opendir, (const char *path), (path), NULL)
WRAP(DIR *, fdopendir, (int fd), (fd), NULL)

static void restart(uint64_t first, uint64_t last)
{
    /* Blocks of the hooks come from the true malloc, so hooking late or never does no harm. */
    json_set_alloc_funcs(__wrap_malloc, free);
    libdeflate_set_memory_allocator(__wrap_malloc, free);
    atomic_store(&first_bad, first);
    atomic_store(&last_bad, last);
    atomic_store(&count, 0);
    atomic_store(&failed, 0);
}

void sc_oom_fail_at(uint64_t k)
{
    restart(k, k);
}

void sc_oom_fail_from(uint64_t k)
{
    restart(k, UINT64_MAX);
}

void sc_oom_off(void)
{
    restart(UINT64_MAX, 0);
}

uint64_t sc_oom_count(void)
{
    return atomic_load(&count);
}

uint64_t sc_oom_failed(void)
{
    return atomic_load(&failed);
}
