/* SPDX-License-Identifier: Apache-2.0 */
/* stdin: standard input as a source. Parsers seek, a pipe does not, so a pipe is read to its end
 * first: into memory up to 64 MiB, and beyond that into a file in $TMPDIR (or /tmp) that has no
 * name any more, so that nothing stays behind however the process ends. */
#include "source/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEEP_MAX ((size_t)64 << 20)
#define STEP_MIN ((size_t)64 << 10)
#define STEP_MAX ((size_t)1 << 20)

struct spool {
    uint8_t *p; /* what was read, or with a file: what it does not have yet */
    size_t n, cap;
    int fd;         /* the file, or -1 */
    uint64_t filed; /* bytes in the file */
};

static const char *temporary_folder(void)
{
    const char *dir = getenv("TMPDIR");
    return dir && *dir ? dir : "/tmp";
}

static int fail_spool(const struct spool *sp, int error, struct sc_error *e)
{
    struct sc_quoted q;
    char text[128];
    if (strerror_r(error, text, sizeof text) != 0)
        memcpy(text, "unknown error", sizeof "unknown error");
    return sc_fail(e, SCRUPLE_EWRITE,
                   SC_STDIN_NAME ": cannot be kept in %s: %s after %llu bytes (set TMPDIR to a "
                                 "folder with more room, or name a file instead of -)",
                   sc_quote_path(&q, temporary_folder()), text, (unsigned long long)sp->filed);
}

/* A new file that nobody else can open and that disappears with its descriptor. */
static int open_temporary(struct spool *sp, struct sc_error *e)
{
    const char *dir = temporary_folder();
    size_t n = strlen(dir) + sizeof "/scruple-0123456789abcdef";
    char *path = sc_alloc(n);
    if (!path)
        return sc_fail_memory(e);

    int error = EEXIST;
    for (unsigned i = 0; i < 100 && error == EEXIST; i++) {
        struct timespec now = {0};
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t salt[4] = {(uint64_t)now.tv_sec, (uint64_t)now.tv_nsec, (uint64_t)getpid(), i};
        snprintf(path, n, "%s/scruple-%016llx", dir,
                 (unsigned long long)sc_hash(salt, sizeof salt));
        sp->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        error = sp->fd < 0 ? errno : 0;
    }
    if (error == 0 && unlink(path) != 0)
        error = errno;
    free(path);
    return error == 0 ? 0 : fail_spool(sp, error, e);
}

/* Moves what is in memory to the file. */
static int flush(struct spool *sp, struct sc_error *e)
{
    size_t done = 0;
    if (sp->fd < 0)
        TRY(open_temporary(sp, e));
    while (done < sp->n) {
        ssize_t n = write(sp->fd, sp->p + done, sp->n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_spool(sp, errno, e);
        done += (size_t)n;
        sp->filed += (uint64_t)n;
    }
    sp->n = 0;
    return 0;
}

/* Room for at least one more byte. */
static int make_room(struct spool *sp, struct sc_error *e)
{
    if (sp->n < sp->cap)
        return 0;
    if (sp->fd < 0 && sp->cap <= KEEP_MAX) {
        /* One byte more than is kept tells a full memory from the end of the input. */
        size_t cap = sp->cap ? SC_MIN(sp->cap * 2, KEEP_MAX + 1) : STEP_MIN;
        uint8_t *p = realloc(sp->p, cap);
        if (!p)
            return sc_fail_memory(e);
        sp->p = p;
        sp->cap = cap;
        return 0;
    }
    TRY(flush(sp, e));
    if (sp->cap > STEP_MAX) {
        uint8_t *p = realloc(sp->p, STEP_MAX);
        if (p) {
            sp->p = p;
            sp->cap = STEP_MAX;
        }
    }
    return 0;
}

/* Nothing that has no zero byte among its first 512, or nothing else, is a weight file: an endless
 * pipe of text or of zeros is refused before it fills the disk. */
static bool is_hopeless(const struct spool *sp)
{
    enum { LOOK = 512 };
    size_t zeros = 0, controls = 0;
    if (sp->fd >= 0 || sp->n < STEP_MAX)
        return false;
    for (size_t i = 0; i < LOOK; i++) {
        zeros += sp->p[i] == 0;
        controls += sp->p[i] < 0x20 && !memchr("\t\r\n\f", sp->p[i], 4);
    }
    return zeros == LOOK || controls == 0;
}

/* Reads to the end. */
static int fill(struct spool *sp, struct sc_error *e)
{
    for (;;) {
        if (is_hopeless(sp))
            return sc_fail(e, SCRUPLE_EFORMAT,
                           SC_STDIN_NAME ": not a weight file, but %s, and more than 1 MiB of it",
                           sp->p[0] ? "text" : "zeros");
        TRY(make_room(sp, e));
        ssize_t n = read(STDIN_FILENO, sp->p + sp->n, SC_MIN(sp->cap - sp->n, STEP_MAX));
        if (n == 0)
            return sp->fd < 0 ? 0 : flush(sp, e);
        if (n > 0) {
            sp->n += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            /* Whoever has the other end may have made it non-blocking. */
            struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
            (void)poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return sc_fail_errno(e, SCRUPLE_EIO, errno, SC_STDIN_NAME, "cannot read");
        }
    }
}

static int open_spooled(struct sc_source **out, struct sc_error *e)
{
    struct spool sp = {.fd = -1};
    int rc = fill(&sp, e);
    if (rc < 0)
        goto done;
    if (sp.fd >= 0) {
        rc = sc_file_open_fd(sp.fd, SC_STDIN_NAME, NULL, out, e);
        sp.fd = -1;
    } else {
        uint8_t *fitting = realloc(sp.p, SC_MAX(sp.n, (size_t)1));
        rc = sc_memory_open_owned(fitting ? fitting : sp.p, sp.n, SC_STDIN_NAME, out, e);
        sp.p = NULL;
    }
done:
    if (sp.fd >= 0)
        close(sp.fd);
    free(sp.p);
    return rc;
}

int sc_stdin_open(struct sc_source **out, struct sc_error *e)
{
    struct stat st;
    *out = NULL;
    if (fstat(STDIN_FILENO, &st) != 0)
        return sc_fail_errno(e, SCRUPLE_EIO, errno, SC_STDIN_NAME, "standard input is closed");
    if (isatty(STDIN_FILENO))
        return sc_fail(e, SCRUPLE_EUSAGE,
                       SC_STDIN_NAME ": is a terminal; pipe a model into it, or name a file");

    /* In place only when nothing of it was consumed: positions count from the first byte. */
    if (S_ISREG(st.st_mode) && lseek(STDIN_FILENO, 0, SEEK_CUR) == 0) {
        int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            return sc_fail_errno(e, SCRUPLE_EIO, errno, SC_STDIN_NAME, "cannot be duplicated");
        return sc_file_open_fd(fd, SC_STDIN_NAME, NULL, out, e);
    }
    if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
        return sc_fail_kind(e, st.st_mode, SC_STDIN_NAME);
    return open_spooled(out, e);
}
