/* SPDX-License-Identifier: Apache-2.0 */
/* scratch: a folder of its own for a test, and what one does with it. Include after test.h. */
#ifndef SC_SCRATCH_H
#define SC_SCRATCH_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_root[512];

/* Path of something in the folder; good for the next seven calls. */
static inline const char *scratch_at(const char *name)
{
    static char paths[8][1024];
    static unsigned next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s%s%s", scratch_root, *name ? "/" : "", name);
    return p;
}

static inline bool scratch_new(void)
{
    const char *dir = getenv("TMPDIR");
    snprintf(scratch_root, sizeof scratch_root, "%s/scruple-test-XXXXXX",
             dir && *dir ? dir : "/tmp");
    return mkdtemp(scratch_root) != NULL;
}

/* The bytes of test files: every position can be told from its neighbours, 256 and 65536 ones
 * included. */
static inline uint8_t pattern_at(uint64_t i)
{
    return (uint8_t)(i * 131 + (i >> 8) * 17 + (i >> 16) * 7 + 1);
}

static inline void fill_pattern(uint8_t *p, uint64_t off, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = pattern_at(off + i);
}

static inline bool is_pattern(const uint8_t *p, uint64_t off, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != pattern_at(off + i))
            return false;
    return true;
}

static inline bool scratch_folder(const char *name)
{
    return mkdir(scratch_at(name), 0700) == 0;
}

static inline bool scratch_file(const char *name, const void *p, size_t n)
{
    int fd = open(scratch_at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t done = 0;
    while (fd >= 0 && done < n) {
        ssize_t k = write(fd, (const char *)p + done, n - done);
        if (k <= 0)
            break;
        done += (size_t)k;
    }
    return fd >= 0 && close(fd) == 0 && done == n;
}

static inline bool scratch_pattern(const char *name, size_t n)
{
    uint8_t *p = malloc(n ? n : 1);
    if (!p)
        return false;
    fill_pattern(p, 0, n);
    bool ok = scratch_file(name, p, n);
    free(p);
    return ok;
}

static inline bool scratch_link(const char *target, const char *name)
{
    return symlink(target, scratch_at(name)) == 0;
}

static inline void scratch_remove_tree(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        chmod(path, 0700);
        DIR *d = opendir(path);
        for (struct dirent *en; d && (en = readdir(d));) {
            size_t n = strlen(path) + strlen(en->d_name) + 2;
            char *sub = malloc(n);
            if (sub && strcmp(en->d_name, ".") != 0 && strcmp(en->d_name, "..") != 0) {
                snprintf(sub, n, "%s/%s", path, en->d_name);
                scratch_remove_tree(sub);
            }
            free(sub);
        }
        if (d)
            closedir(d);
        rmdir(path);
    } else {
        unlink(path);
    }
}

static inline void scratch_remove(void)
{
    scratch_remove_tree(scratch_root);
}

#endif
