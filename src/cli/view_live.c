/* SPDX-License-Identifier: Apache-2.0 */
/* view_live: weights in a browser: the address, and the browser that is told of it. */
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/drawing.h"
#include "cli/spots.h"

/* -------------------------------------------------------------------------------- browser --- */

extern char **environ;

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

/* Is there a screen, and is it that of whoever typed the command? */
static bool has_screen(void)
{
    const bool far = is_set("SSH_CONNECTION") || is_set("SSH_CLIENT") || is_set("SSH_TTY");
    return !far && (is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"));
}

/* It is not waited for; where there is no such program, the address is on the terminal. */
static void open_browser(const char *url)
{
    char program[] = "xdg-open", *address = sc_str_copy(sc_strz(url));
    char *const words[] = {program, address, NULL};
    posix_spawn_file_actions_t files;
    pid_t child;

    if (!address)
        return;
    if (posix_spawn_file_actions_init(&files) == 0) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
            (void)posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
        (void)posix_spawnp(&child, program, &files, NULL, words, environ);
        posix_spawn_file_actions_destroy(&files);
    }
    free(address);
}

/* --------------------------------------------------------------------------------- serving --- */

static int on_ready(void *ctx, const char *url)
{
    struct sc_cli *c = ctx;

    c->sink.may_page = false;
    sc_out_puts(&c->out, url);
    sc_out_putc(&c->out, '\n');
    sc_out_flush(&c->out);
    if (sc_cancel) /* is no failure to write */
        c->out.status = c->sink.status = 0;
    if (!c->out.status && !c->set.no_open && has_screen())
        open_browser(url);
    return c->out.status;
}

static void on_note(void *ctx, const char *sentence)
{
    const struct sc_cli *c = ctx;

    sc_say(c, "warning", "%s", sentence);
}

/* Ending takes as long as what is being read; then, that long. */
static void on_ending(void *ctx)
{
    enum { SECONDS = 5 };

    (void)ctx;
    if (sc_cancel)
        (void)alarm(SECONDS);
}

int sc_view_serve(struct sc_cli *c, const struct sc_web_view *views, size_t n, uint64_t memory,
                  const char *start)
{
    /* About 2,000 tiles, 15 screens of 4K. Those of memory that is used again are made in half of
     * the time: what is fresh from the system has to be cleared first. */
    const uint64_t most = UINT64_C(256) << 20;
    struct sc_error e = {0};
    const struct sc_web_options o = {
        .bind = c->set.bind,
        .start = start,
        .port = (uint16_t)c->set.port,
        /* three: both sides and their differences, which are what is shown */
        .title = n > 2 ? views[n - 1].title : NULL,
        .memory = SC_MIN(memory, most),
        .cancel = &sc_cancel,
        .ready = on_ready,
        .note = on_note,
        .ending = on_ending,
        .ctx = c};

    if (c->set.port > UINT16_MAX)
        return sc_wrong_use(c, "--port: there is no port %llu", (unsigned long long)c->set.port);
    const int code = sc_web_serve(&o, views, n, &e);
    if (code < 0 && !c->out.status)
        return sc_fail_exit(c, &e);
    (void)sc_take_cancel(); /* that is how it is meant to end */
    return 0;
}

int sc_display_serve(struct sc_display *x, uint64_t memory)
{
    const char *at = x->desk.c->set.at;
    struct sc_buf start = {0};
    struct sc_error e = {0};

    const int status = at && sc_spots_start(x->drawings[0].scene, at, &start, &e) < 0
                           ? sc_fail_exit(x->desk.c, &e)
                           : sc_view_serve(x->desk.c, x->views, x->n_views, memory, start.p);
    sc_buf_clear(&start);
    return status;
}

int sc_view_live(struct sc_cli *c)
{
    struct sc_display x = {0};

    /* Half for statistics of all models, a quarter for tiles. */
    const uint64_t memory = sc_memory_budget(c->set.memory);
    int status = sc_display_open(&x, c, true, memory / 2, c->set.fetch);
    if (!status)
        status = sc_display_serve(&x, memory / 4);
    sc_display_close(&x);
    return status;
}
