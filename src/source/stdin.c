/* SPDX-License-Identifier: Apache-2.0 */
/* stdin: standard input as a source. Parsers seek, a pipe does not, so a pipe is read to its end
 * first (spool.c). */
#include "source/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nothing that has no zero byte among its first 512, or nothing else, is a weight file: an endless
 * pipe of text or of zeros is refused before it fills the disk. */
static bool is_hopeless(const struct sc_spool *sp)
{
    enum { LOOK = 512 };
    size_t zeros = 0, controls = 0;
    if (sp->fd >= 0 || sp->n < SC_SPOOL_STEP)
        return false;
    for (size_t i = 0; i < LOOK; i++) {
        zeros += sp->p[i] == 0;
        controls += sp->p[i] < 0x20 && !memchr("\t\r\n\f", sp->p[i], 4);
    }
    return zeros == LOOK || controls == 0;
}

/* Reads to the end. most 0: a model, of any size. */
static int fill(struct sc_spool *sp, int fd, uint64_t most, const _Atomic int *cancel,
                struct sc_error *e)
{
    for (;;) {
        uint8_t *at;
        size_t room;
        if (cancel && atomic_load(cancel))
            return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        if (most && sp->filed + sp->n > most)
            return sc_fail(e, SCRUPLE_ELIMIT,
                           "%s: gives more than %llu MiB, as much as --memory lets be kept (write "
                           "it to a file and name that)",
                           sp->name, (unsigned long long)(most >> 20));
        if (!most && is_hopeless(sp))
            return sc_fail(e, SCRUPLE_EFORMAT,
                           SC_STDIN_NAME ": not a weight file, but %s, and more than 1 MiB of it",
                           sp->p[0] ? "text" : "zeros");
        TRY(sc_spool_room(sp, &at, &room, e));
        ssize_t n = read(fd, at, room);
        if (n == 0)
            return 0;
        if (n > 0) {
            sc_spool_take(sp, (size_t)n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            /* Whoever has the other end may have made it non-blocking. */
            struct pollfd ready = {.fd = fd, .events = POLLIN};
            (void)poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return sc_fail_errno(e, SCRUPLE_EIO, errno, sp->name, "cannot read");
        }
    }
}

static int open_spooled(int fd, const char *name, const char *advice, uint64_t most,
                        const _Atomic int *cancel, struct sc_source **out, struct sc_error *e)
{
    struct sc_spool sp;
    sc_spool_start(&sp, name, advice);
    int rc = fill(&sp, fd, most, cancel, e);
    if (rc == 0)
        rc = sc_spool_finish(&sp, out, e);
    sc_spool_drop(&sp);
    return rc;
}

int sc_pipe_open(int fd, const char *name, uint64_t most, const _Atomic int *cancel,
                 struct sc_source **out, struct sc_error *e)
{
    *out = NULL;
    return open_spooled(fd, name, "", SC_MAX(most, UINT64_C(1)), cancel, out, e);
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
    return open_spooled(STDIN_FILENO, SC_STDIN_NAME, ", or name a file instead of -", 0, NULL, out,
                        e);
}
