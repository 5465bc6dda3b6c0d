/* SPDX-License-Identifier: Apache-2.0 */
/* session: what every command needs from outside: the screen, standard error, and its MODELs.
 *
 * Owns: whether there are colours, how wide the terminal is, the form of messages. Does not own:
 * the results (sink, report).
 */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

_Atomic int sc_cancel;

/* The alarm was set by the handler, for a program that does not look at the flag; this one did. */
int sc_take_cancel(void)
{
    const int number = sc_cancel;

    (void)alarm(0);
    sc_cancel = 0;
    return number;
}

/* -------------------------------------------------------------------------------- screen --- */
static size_t number_in(const char *name)
{
    const char *text = getenv(name);
    uint64_t n;

    return text && sc_str_u64(sc_strz(text), &n) ? (size_t)SC_MIN(n, 100000) : 0;
}

void sc_screen_look(struct sc_screen *s)
{
    struct winsize w;

    *s = (struct sc_screen){.out_tty = isatty(STDOUT_FILENO), .err_tty = isatty(STDERR_FILENO)};
    s->utf8 = true;
    if (!s->out_tty)
        return;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0) {
        s->rows = w.ws_row;
        s->columns = w.ws_col;
    }
    if (!s->columns)
        s->columns = number_in("COLUMNS");
    /* Only a terminal shows characters; a file or pipe gets the bytes that the names have. */
    setlocale(LC_CTYPE, "");
    s->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
}

static bool is_on(const char *name)
{
    const char *value = getenv(name);

    return value && strcmp(value, "0") != 0;
}

bool sc_colour_wanted(enum sc_when when, bool tty)
{
    const char *term = getenv("TERM");

    if (when != SC_AUTO)
        return when == SC_ALWAYS;
    if (getenv("NO_COLOR"))
        return false;
    if (is_on("FORCE_COLOR") || is_on("CLICOLOR_FORCE"))
        return true;
    return tty && term && *term && strcmp(term, "dumb") != 0;
}

/* ------------------------------------------------------------------------------ messages --- */
void sc_write_error(const char *p, size_t n)
{
    while (n) {
        ssize_t done = write(STDERR_FILENO, p, n);
        if (done < 0 && errno != EINTR)
            return; /* there is nowhere left to complain */
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        }
    }
}

void sc_say(const struct sc_cli *c, const char *kind, const char *fmt, ...)
{
    char text[2048];
    struct sc_buf b = {0};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sc_buf_puts(&b, "scruple: ");
    if (*kind) {
        sc_colour_on(&b, &c->err,
                     *kind == 'e'   ? SC_COLOUR_ERROR
                     : *kind == 'w' ? SC_COLOUR_WARNING
                                    : SC_COLOUR_KEY);
        sc_buf_puts(&b, kind);
        sc_buf_putc(&b, ':');
        sc_colour_off(&b, &c->err);
        sc_buf_putc(&b, ' ');
    }
    sc_put_safe(&b, sc_strz(text), 0);
    sc_buf_putc(&b, '\n');
    sc_progress_hide();
    if (b.failed)
        sc_write_error("scruple: out of memory\n", 23);
    else
        sc_write_error(b.p, b.n);
    sc_progress_go_on();
    sc_buf_clear(&b);
}

int sc_fail_exit(const struct sc_cli *c, const struct sc_error *e)
{
    if (e->code == SCRUPLE_EINTERRUPTED && sc_cancel)
        return 128 + sc_cancel;
    int status = sc_exit_of(e->code);
    sc_say(c, "", "%s", e->text[0] ? e->text : sc_code_text(e->code));
    return status ? status : SC_EXIT_INPUT;
}

int sc_usage_exit(const struct sc_cli *c, const struct sc_error *e)
{
    if (e->code != SCRUPLE_EUSAGE)
        return sc_fail_exit(c, e);
    if (c->command && c->command != &sc_cmd_help)
        sc_say(c, "", "%s (scruple help %s tells more)", e->text, c->command->name);
    else
        sc_say(c, "", "%s", e->text);
    return SC_EXIT_USAGE;
}

int sc_wrong_use(const struct sc_cli *c, const char *fmt, ...)
{
    struct sc_error e;
    va_list ap;

    va_start(ap, fmt);
    sc_fail_v(&e, SCRUPLE_EUSAGE, fmt, ap);
    va_end(ap);
    return sc_usage_exit(c, &e);
}

int sc_put_text(struct sc_cli *c, const struct sc_buf *b)
{
    if (b->failed && !c->out.status)
        c->out.status = SCRUPLE_EMEMORY;
    else if (b->n)
        sc_out_put(&c->out, b->p, b->n);
    return SC_EXIT_OK;
}

/* -------------------------------------------------------------------------------- models --- */
bool sc_path_exists(const char *path)
{
    struct stat st;

    return !strcmp(path, "-") || stat(path, &st) == 0;
}

static void tell_note(void *ctx, const char *sentence)
{
    const struct sc_cli *c = ctx;

    if (!c->set.quiet)
        sc_say(c, "note", "%s", sentence);
}

struct sc_open_options sc_cli_open_options(struct sc_cli *c)
{
    c->hub = (struct sc_hub_options){
        .revision = c->set.revision,
        .token = c->set.token,
        .offline = c->set.offline,
        .cancel = &sc_cancel,
        .note = tell_note,
        .note_ctx = c,
    };
    return (struct sc_open_options){
        .include = c->set.include.p,
        .exclude = c->set.exclude.p,
        .lenient = c->set.lenient,
        .threads = c->set.threads ? (unsigned)SC_MIN(c->set.threads, 4096) : 4096,
        .cancel = &sc_cancel,
        .note = tell_note,
        .note_ctx = c,
        .hub = &c->hub,
    };
}

void sc_cli_findings(const struct sc_cli *c, const struct sc_model *m)
{
    enum { SHOWN = 20 };
    static const char *const severities[] = {"note", "warning", "error"};
    const struct sc_catalog *cat = m->catalog;
    size_t shown = 0, all = cat->n_errors + cat->n_warnings;

    if (c->set.quiet || !all)
        return;
    for (size_t i = 0; i < cat->n_findings && !c->set.lenient; i++)
        if (strcmp(cat->findings[i].id, "pickle.danger") == 0) /* nobody may miss that */
            sc_say(c, "warning", "%s: %s", cat->files[cat->findings[i].file].path,
                   cat->findings[i].message);
    if (!c->set.lenient) {
        sc_say(c, "note", "%zu warning%s; scruple check lists %s", all, all == 1 ? "" : "s",
               all == 1 ? "it" : "them");
        return;
    }
    for (size_t i = 0; i < cat->n_findings && shown < SHOWN; i++) {
        const struct sc_finding *f = &cat->findings[i];
        if (f->severity == SC_INFO)
            continue;
        bool named = f->file < cat->n_files;
        sc_say(c, severities[f->severity], "%s%s%s", named ? cat->files[f->file].path : "",
               named ? ": " : "", f->message);
        shown++;
    }
    if (all > shown)
        sc_say(c, "note", "%zu more errors and warnings; scruple check lists them", all - shown);
}

int sc_cli_open_with(struct sc_cli *c, const char *path, const struct sc_open_options *o,
                     struct sc_model **out)
{
    struct sc_error e = {0};

    if (sc_model_open(path, o, out, &e) < 0) {
        struct sc_quoted q;
        const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
        /* "dir/model.gguf: model.gguf: ..." would say it twice. */
        if (c->several && strncmp(e.text, path, strlen(path)) != 0 &&
            strncmp(e.text, base, strlen(base)) != 0)
            sc_error_prefix(&e, "%s", sc_quote(&q, sc_strz(path)));
        return sc_fail_exit(c, &e);
    }
    sc_cli_findings(c, *out);
    if (c->set.verbose) {
        char size[32];
        sc_format_bytes((*out)->io.bytes_read, size);
        sc_say(c, "note", "%s read in %llu requests", size,
               (unsigned long long)(*out)->io.requests);
    }
    return 0;
}

enum sc_graphics sc_graphics_of(const struct sc_cli *c)
{
    const char *term = getenv("TERM"), *program = getenv("TERM_PROGRAM");

    if (c->set.graphics != SC_GRAPHICS_AUTO)
        return (enum sc_graphics)c->set.graphics;
    if (!c->term.colour)
        return SC_GRAPHICS_ASCII;
    if (getenv("KITTY_WINDOW_ID") || (term && strstr(term, "kitty")) ||
        (program && (!strcmp(program, "WezTerm") || !strcmp(program, "ghostty"))))
        return SC_GRAPHICS_KITTY;
    return c->term.ascii ? SC_GRAPHICS_ASCII : SC_GRAPHICS_BLOCKS;
}

void sc_say_note(void *ctx, const char *sentence)
{
    const struct sc_cli *c = ctx;

    if (!c->set.quiet)
        sc_say(c, "note", "%s", sentence);
}
