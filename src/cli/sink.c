/* SPDX-License-Identifier: Apache-2.0 */
/* sink: where results go.
 *
 *   standard output          written at once
 *   a terminal               held back until longer than the screen, then given to a pager
 *   --output FILE            grows beside FILE as .scruple-XXXXXX and is renamed over it
 *   --output DEVICE or FIFO  written in place
 *
 * Owns: descriptors, the pager's process, the temporary file; every write, flush and close is
 * checked. A reader that goes away (EPIPE) is the end of the work, not an error. The pager is
 * started by fork and exec, never by a shell.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "format/format.h"

const char *volatile sc_unfinished;

#define HOLD_MAX    ((size_t)1 << 20)
#define PAGER_WORDS 16

/* --------------------------------------------------------------------------------- files --- */
/* Copies of the path's parts, for messages and for a name beside it. */
static char *join(const char *a, size_t n, const char *b)
{
    char *p = sc_alloc(n + strlen(b) + 1);

    if (p) {
        memcpy(p, a, n);
        memcpy(p + n, b, strlen(b) + 1);
    }
    return p;
}

/* Replacing a checkpoint by its own listing would be a sad way to learn what -o does. */
static int refuse_weights(const char *path, struct sc_error *e)
{
    struct sc_source *s = NULL;
    const struct sc_format *format = NULL;
    const char *stranger;
    struct sc_quoted q;

    if (sc_file_open(path, &(struct sc_file_options){.no_map = true}, &s, NULL) < 0)
        return 0;
    int code = sc_format_probe(s, &format, &stranger, NULL);
    sc_source_close(s);
    if (code < 0 || !format)
        return 0;
    return sc_fail(e, SCRUPLE_EUSAGE, "%s: holds weights (%s) and is not overwritten",
                   sc_quote(&q, sc_strz(path)), format->name);
}

static int fail_path(struct sc_error *e, const char *path, int error)
{
    struct sc_quoted q;

    return sc_fail(e, SCRUPLE_EWRITE, "%s: cannot be written: %s", sc_quote(&q, sc_strz(path)),
                   strerror(error));
}

/* The file that a link names, so that the link stays one. NULL: no memory. */
static char *behind_links(const char *path)
{
    enum { HOPS = 40 }; /* stat() has been through, so there are fewer */
    char to[4096];
    char *at = join(path, strlen(path), "");

    for (int i = 0; at && i < HOPS; i++) {
        ssize_t n = readlink(at, to, sizeof to - 1);
        if (n < 0)
            break;
        to[n] = '\0';
        const char *slash = to[0] == '/' ? NULL : strrchr(at, '/');
        char *next = join(at, slash ? (size_t)(slash + 1 - at) : 0, to);
        free(at);
        at = next;
    }
    return at;
}

static int open_temporary(struct sc_sink *s, const struct stat *old, struct sc_error *e)
{
    const char *slash = strrchr(s->target, '/');

    s->temporary = join(s->target, slash ? (size_t)(slash + 1 - s->target) : 0, ".scruple-XXXXXX");
    if (!s->temporary)
        return sc_fail_memory(e);
    s->fd = mkstemp(s->temporary);
    if (s->fd < 0) {
        int error = errno;
        free(s->temporary);
        s->temporary = NULL;
        return fail_path(e, s->path, error);
    }
    s->unfinished = sc_unfinished; /* of the sink that was opened before */
    sc_unfinished = s->temporary;
    mode_t mask = umask(0);
    umask(mask);
    /* A file system without modes has none to set. */
    (void)fchmod(s->fd, old ? old->st_mode & 0777 : 0666 & ~mask);
    (void)fcntl(s->fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

static int open_file(struct sc_sink *s, struct sc_error *e)
{
    struct stat st;
    struct sc_quoted q;

    if (stat(s->path, &st) < 0) {
        s->target = join(s->path, strlen(s->path), "");
        return s->target ? open_temporary(s, NULL, e) : sc_fail_memory(e);
    }
    if (S_ISDIR(st.st_mode))
        return sc_fail(e, SCRUPLE_EWRITE, "%s: is a folder", sc_quote(&q, sc_strz(s->path)));
    if (!S_ISREG(st.st_mode)) {
        s->fd = open(s->path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
        return s->fd < 0 ? fail_path(e, s->path, errno) : 0;
    }
    if (access(s->path, W_OK) < 0)
        return fail_path(e, s->path, errno);
    TRY(refuse_weights(s->path, e));
    s->target = behind_links(s->path);
    return s->target ? open_temporary(s, &st, e) : sc_fail_memory(e);
}

int sc_sink_open(struct sc_sink *s, const char *path, bool may_page, size_t rows,
                 struct sc_error *e)
{
    *s = (struct sc_sink){.fd = STDOUT_FILENO, .what = "standard output"};
    if (!path || !strcmp(path, "-")) {
        s->may_page = may_page && rows > 1;
        s->rows = rows;
        return 0;
    }
    s->path = s->what = path;
    int code = open_file(s, e);
    if (code < 0) {
        free(s->target);
        free(s->temporary);
        s->target = s->temporary = NULL;
    }
    return code;
}

/* --------------------------------------------------------------------------------- pager --- */
/* Split at blanks, without quoting: the words of "less -FRX". Returns their number. */
static size_t split(char *text, char *words[PAGER_WORDS + 1])
{
    size_t n = 0;
    char *save = NULL;

    for (char *w = strtok_r(text, " \t", &save); w && n < PAGER_WORDS;
         w = strtok_r(NULL, " \t", &save))
        words[n++] = w;
    words[n] = NULL;
    return n;
}

static void become_pager(int in, int report, char *const words[])
{
    struct sigaction normal = {.sa_handler = SIG_DFL};

    sigemptyset(&normal.sa_mask);
    sigaction(SIGPIPE, &normal, NULL);
    sigaction(SIGINT, &normal, NULL);
    sigaction(SIGTERM, &normal, NULL);
    if (dup2(in, STDIN_FILENO) >= 0) {
        setenv("LESS", "FRX", 0); /* for a $PAGER that is just "less" */
        execvp(words[0], words);
    }
    int error = errno;
    ssize_t n = write(report, &error, sizeof error);
    _exit(n == sizeof error ? 127 : 126);
}

/* false: there is no pager, and output goes to the terminal as it is. */
static bool start_pager(struct sc_sink *s)
{
    const char *named = getenv("SCRUPLE_PAGER");
    char command[512], *words[PAGER_WORDS + 1];
    int data[2], report[2], error = 0;

    if (!named)
        named = getenv("PAGER");
    if (!named)
        named = "less -FRX";
    if (strlen(named) >= sizeof command)
        return false;
    memcpy(command, named, strlen(named) + 1);
    if (!split(command, words) || !strcmp(words[0], "cat"))
        return false;
    if (pipe(data) < 0)
        return false;
    if (pipe(report) < 0) {
        close(data[0]);
        close(data[1]);
        return false;
    }
    (void)fcntl(data[1], F_SETFD, FD_CLOEXEC);
    (void)fcntl(report[1], F_SETFD, FD_CLOEXEC);
    pid_t child = fork();
    if (child == 0) {
        close(data[1]);
        close(report[0]);
        become_pager(data[0], report[1], words);
    }
    close(data[0]);
    close(report[1]);
    /* The pipe closes without a word when the pager runs. */
    ssize_t n = 0;
    if (child > 0)
        while ((n = read(report[0], &error, sizeof error)) < 0 && errno == EINTR)
            ;
    close(report[0]);
    if (child < 0 || n != 0) {
        close(data[1]);
        if (child > 0)
            (void)waitpid(child, NULL, 0);
        return false;
    }
    s->pager = child;
    s->fd = data[1];
    /* Ctrl-C belongs to the pager now. */
    signal(SIGINT, SIG_IGN);
    return true;
}

/* -------------------------------------------------------------------------------- writing --- */
static int write_all(struct sc_sink *s, const char *p, size_t n)
{
    while (n && !s->status) {
        ssize_t done = write(s->fd, p, n);
        if (done >= 0) {
            p += done;
            n -= (size_t)done;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            (void)poll(&(struct pollfd){.fd = s->fd, .events = POLLOUT}, 1, 1000);
        } else if (errno == EPIPE) {
            s->closed = true;
            s->status = SCRUPLE_EWRITE;
        } else if (errno != EINTR) {
            s->error = errno;
            s->status = SCRUPLE_EWRITE;
        }
        if (sc_cancel && !s->pager && !s->status)
            s->status = SCRUPLE_EINTERRUPTED;
    }
    return s->status;
}

static int let_go(struct sc_sink *s)
{
    s->may_page = false;
    int code = write_all(s, s->held.p, s->held.n);
    sc_buf_clear(&s->held);
    return code;
}

int sc_sink_write(void *sink, const char *p, size_t n)
{
    struct sc_sink *s = sink;

    if (s->status)
        return s->status;
    if (!s->may_page)
        return write_all(s, p, n);
    for (size_t i = 0; i < n; i++)
        s->lines += p[i] == '\n';
    sc_buf_put(&s->held, p, n);
    if (s->held.failed)
        return s->status = SCRUPLE_EMEMORY;
    if (s->lines < s->rows && s->held.n < HOLD_MAX)
        return 0;
    (void)start_pager(s);
    return let_go(s);
}

/* A full disk may show only when the file is closed. */
static void finish_file(struct sc_sink *s, bool keep)
{
    if (keep && s->temporary && fsync(s->fd) < 0 && errno != EINVAL && errno != ENOTSUP)
        s->error = errno;
    if (close(s->fd) < 0 && errno != EINTR && !s->error)
        s->error = errno;
    if (s->error && !s->status)
        s->status = SCRUPLE_EWRITE;
    if (!s->temporary)
        return;
    if (keep && !s->status && rename(s->temporary, s->target) < 0) {
        s->error = errno;
        s->status = SCRUPLE_EWRITE;
    }
    if (!keep || s->status)
        (void)unlink(s->temporary);
    sc_unfinished = s->unfinished;
}

int sc_sink_close(struct sc_sink *s, bool keep, struct sc_error *e)
{
    if (s->may_page && !s->status)
        (void)let_go(s);
    if (s->pager) {
        close(s->fd);
        while (waitpid((pid_t)s->pager, NULL, 0) < 0 && errno == EINTR)
            ;
        if (s->closed) /* the user has seen enough */
            s->status = 0;
    } else {
        finish_file(s, keep);
    }
    sc_buf_clear(&s->held);
    free(s->target);
    free(s->temporary);
    s->target = s->temporary = NULL;
    if (s->status == SCRUPLE_EWRITE && !s->closed)
        return fail_path(e, s->what, s->error);
    if (s->status == SCRUPLE_EMEMORY)
        return sc_fail_memory(e);
    return s->status;
}
