/* SPDX-License-Identifier: Apache-2.0 */
/* progress: how far a long command is, on standard error.
 *
 *     a terminal      one line, drawn again at most ten times a second, cut to the width:
 *                       37 %  2.1 of 5.7 GB  310.0 MB/s  ETA 12 s  model-00003-of-00005.safetensors
 *                       37 %  12 of 32  layers
 *     else            one such line every 30 seconds
 *     --progress=json one JSON object a line, every second and at the end
 *
 * Owns: the line; it disappears before any message is printed and comes back after it. No escape
 * sequence is needed: the line is written over with blanks. Does not own: what is counted.
 */
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

enum { DRAW_MS = 100, JSON_MS = 1000, PLAIN_MS = 30000, SAMPLE_MS = 500, SAMPLES = 12 };
enum how { HOW_NOT, HOW_LINE, HOW_PLAIN, HOW_JSON };

/* One at a time: there is one standard error. */
static struct {
    pthread_mutex_t lock;
    uint8_t how;    /* enum how */
    size_t width;   /* columns of the line that stands there; 0: none */
    uint64_t start; /* milliseconds */
    uint64_t shown; /* when it was drawn last */
    struct {
        uint64_t when, moved;
    } sample[SAMPLES]; /* the last seconds, for the rate */
    size_t n_samples;  /* ever */
    struct sc_progress last;
    bool any;
} bar = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---------------------------------------------------------------------------------- rate --- */
static void take_sample(uint64_t now, uint64_t moved)
{
    size_t last = (bar.n_samples + SAMPLES - 1) % SAMPLES;

    if (bar.n_samples && now - bar.sample[last].when < SAMPLE_MS)
        return;
    bar.sample[bar.n_samples % SAMPLES].when = now;
    bar.sample[bar.n_samples % SAMPLES].moved = moved;
    bar.n_samples++;
}

/* Bytes a second over the last few; 0: not known yet. */
static double rate_of(uint64_t now, uint64_t moved)
{
    size_t oldest = bar.n_samples > SAMPLES ? bar.n_samples % SAMPLES : 0;
    uint64_t since = bar.n_samples ? bar.sample[oldest].when : now;
    uint64_t before = bar.n_samples ? bar.sample[oldest].moved : moved;

    if (now <= since + SAMPLE_MS / 2 || moved <= before)
        return 0;
    return (double)(moved - before) * 1000 / (double)(now - since);
}

/* ---------------------------------------------------------------------------------- text --- */
/* "12 s", "3 min 5 s", "2 h 10 min" */
static void put_time(struct sc_buf *b, double seconds)
{
    unsigned long s = seconds > 1e8 ? 100000000UL : (unsigned long)(seconds + 0.5);

    if (s < 60)
        sc_buf_printf(b, "%lu s", s);
    else if (s < 3600)
        sc_buf_printf(b, "%lu min %lu s", s / 60, s % 60);
    else
        sc_buf_printf(b, "%lu h %lu min", s / 3600, s / 60 % 60);
}

/* "2.1 of 5.7 GB", or "900.0 MB of 5.7 GB" */
static void put_amount(struct sc_buf *b, uint64_t done, uint64_t total)
{
    char a[32], z[32];

    sc_format_bytes(done, a);
    sc_format_bytes(total, z);
    char *unit = strchr(a, ' '), *of = strchr(z, ' ');
    if (unit && of && !strcmp(unit, of))
        *unit = '\0';
    sc_buf_printf(b, "%s of %s", a, z);
}

static void put_line(struct sc_buf *b, uint64_t now, const struct sc_progress *p, size_t room)
{
    const bool counted = !p->total && p->n; /* layers, say: no bytes */
    double percent = p->total  ? (double)p->done * 100 / (double)p->total
                     : counted ? (double)p->n_done * 100 / (double)p->n
                               : 100;
    double rate = rate_of(now, p->moved);
    char text[32];

    sc_buf_printf(b, "%3d %%  ", (int)percent);
    if (counted)
        sc_buf_printf(b, "%zu of %zu", p->n_done, p->n);
    else
        put_amount(b, p->done, p->total);
    if (rate >= 1) {
        sc_format_bytes((uint64_t)rate, text);
        sc_buf_printf(b, "  %s/s", text);
        if (p->total > p->done) {
            sc_buf_puts(b, "  ETA ");
            put_time(b, (double)(p->total - p->done) / rate);
        }
    }
    if (b->failed || !p->what)
        return;
    if (!room) {
        sc_buf_puts(b, "  ");
        sc_put_safe(b, sc_strz(p->what), 0);
    } else if (b->n + 8 < room) {
        sc_buf_puts(b, "  ");
        sc_put_safe(b, sc_strz(p->what), room - b->n);
    }
}

static void put_object(struct sc_buf *b, uint64_t now, const struct sc_progress *p)
{
    double rate = rate_of(now, p->moved);
    struct sc_buf what = {0};
    json_t *name = NULL;

    if (p->what)
        sc_put_safe(&what, sc_strz(p->what), 0);
    if (p->what && !what.failed)
        name = json_stringn(what.p ? what.p : "", what.n);
    char *text = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    sc_buf_printf(
        b,
        "{\"type\": \"progress\", \"done\": %llu, \"total\": %llu, \"fetched\": %llu, "
        "\"files_done\": %zu, \"files\": %zu, \"bytes_per_second\": %llu, \"eta_seconds\": ",
        (unsigned long long)p->done, (unsigned long long)p->total, (unsigned long long)p->moved,
        p->n_done, p->n, (unsigned long long)rate);
    if (rate >= 1)
        sc_buf_printf(b, "%llu",
                      (unsigned long long)((double)(p->total - SC_MIN(p->done, p->total)) / rate));
    else
        sc_buf_puts(b, "null");
    sc_buf_printf(b, ", \"file\": %s}\n", text ? text : "null");
    free(text);
    json_decref(name);
    sc_buf_clear(&what);
}

/* ------------------------------------------------------------------------------- drawing ---
 * With the lock held. */
static size_t terminal_width(void)
{
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col : 80;
}

static void wipe(void)
{
    struct sc_buf b = {0};

    if (!bar.width)
        return;
    sc_buf_putc(&b, '\r');
    sc_buf_repeat(&b, ' ', bar.width);
    sc_buf_putc(&b, '\r');
    if (!b.failed)
        sc_write_error(b.p, b.n);
    sc_buf_clear(&b);
    bar.width = 0;
}

static void draw(uint64_t now)
{
    size_t room = bar.how == HOW_LINE ? terminal_width() - 1 : 0;
    struct sc_buf text = {0}, b = {0};

    if (bar.how == HOW_JSON) {
        put_object(&b, now, &bar.last);
    } else {
        put_line(&text, now, &bar.last, room);
        size_t width = sc_safe_width(sc_str(text.p ? text.p : "", text.n));
        if (bar.how == HOW_LINE)
            sc_buf_putc(&b, '\r');
        (void)sc_put_safe(&b, sc_str(text.p ? text.p : "", text.n), room);
        if (bar.how == HOW_LINE) { /* what was longer before is written over */
            width = SC_MIN(width, room);
            if (bar.width > width)
                sc_buf_repeat(&b, ' ', bar.width - width);
            bar.width = width;
        } else {
            sc_buf_putc(&b, '\n');
        }
    }
    if (!b.failed)
        sc_write_error(b.p, b.n);
    sc_buf_clear(&text);
    sc_buf_clear(&b);
    bar.shown = now;
}

/* ------------------------------------------------------------------------------- outside --- */
const char *const sc_progress_words[] = {"auto", "never", "json", NULL};

void sc_progress_start(const struct sc_cli *c, int forced)
{
    bool tty = isatty(STDERR_FILENO);
    enum how how = HOW_NOT;

    if (c->set.progress == SC_PROGRESS_JSON)
        how = HOW_JSON;
    else if (c->set.quiet || c->set.progress == SC_PROGRESS_NEVER || forced > 0)
        how = HOW_NOT;
    else
        how = tty ? HOW_LINE : HOW_PLAIN;
    pthread_mutex_lock(&bar.lock);
    bar.how = (uint8_t)how;
    bar.width = bar.n_samples = 0;
    bar.any = false;
    bar.start = bar.shown = sc_milliseconds();
    pthread_mutex_unlock(&bar.lock);
}

void sc_progress_show(const struct sc_progress *p)
{
    static const unsigned every[] = {
        [HOW_LINE] = DRAW_MS, [HOW_PLAIN] = PLAIN_MS, [HOW_JSON] = JSON_MS};

    pthread_mutex_lock(&bar.lock);
    if (bar.how != HOW_NOT) {
        uint64_t now = sc_milliseconds();
        take_sample(now, p->moved);
        bar.last = *p;
        bar.any = true;
        if (now - bar.shown >= every[bar.how])
            draw(now);
    }
    pthread_mutex_unlock(&bar.lock);
}

double sc_progress_end(void)
{
    pthread_mutex_lock(&bar.lock);
    uint64_t now = sc_milliseconds();
    wipe();
    if (bar.how == HOW_JSON && bar.any)
        draw(now);
    bar.how = HOW_NOT;
    bar.last.what = NULL;
    double seconds = (double)(now - bar.start) / 1000;
    pthread_mutex_unlock(&bar.lock);
    return seconds;
}

void sc_progress_hide(void)
{
    pthread_mutex_lock(&bar.lock);
    wipe();
}

void sc_progress_go_on(void)
{
    pthread_mutex_unlock(&bar.lock);
}
