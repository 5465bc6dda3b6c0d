/* SPDX-License-Identifier: Apache-2.0 */
/* main: from argv to an exit code.
 *
 *   scruple COMMAND ...        that command
 *   scruple MODEL ...          tree
 *   scruple OPTION... COMMAND  that command, too: options may come first
 *
 * A first word that names a command is one, even if a file has that name (say ./tree then).
 *
 * Owns: signals, standard output's fate, the exit code. SIGINT and SIGTERM set a flag that all
 * loops look at; a second one, or a second of time, ends the program where it stands.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* Nothing but unlink, alarm and _exit, which a handler may call. */
static void on_signal(int number)
{
    if (!sc_cancel && number != SIGALRM) {
        sc_cancel = number;
        alarm(1); /* for what cannot look at the flag, such as a read from a slow pipe */
        return;
    }
    if (sc_unfinished)
        (void)unlink(sc_unfinished);
    _exit(128 + sc_cancel);
}

static void set_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN}, old;

    sigemptyset(&stop.sa_mask);
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, NULL); /* a write then fails with EPIPE */
    sigaction(SIGXFSZ, &ignore, NULL); /* and beyond `ulimit -f` with EFBIG */
    sigaction(SIGALRM, &stop, NULL);
    /* Whoever started us with a signal ignored (nohup, a shell's &) meant it. */
    if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(SIGINT, &stop, NULL);
    if (sigaction(SIGTERM, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(SIGTERM, &stop, NULL);
}

/* Were one of the standard descriptors closed, the first file we open would take its number and
 * become our output. What is put there refuses what the stream is for. */
static void fill_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* ------------------------------------------------------------------------------- dispatch --- */
/* Which command the words ask for. *skip is set to the word that is its name, or n. */
static const struct sc_command *choose(const char *const *args, size_t n, size_t *skip)
{
    const struct sc_command *c = NULL;
    struct sc_settings set = {0};
    struct sc_operands operands = {{0}, 0};

    *skip = n;
    if (args[0][0] != '-' && (c = sc_command_find(args[0]))) {
        *skip = 0;
        return c;
    }
    /* Options first, as in "scruple --json check x": what tree makes of it tells where the first
     * operand stands. */
    if (args[0][0] == '-' && sc_options_parse(&sc_cmd_tree, args, n, &set, &operands, NULL) == 0 &&
        operands.n_before_dashes && (c = sc_command_find(operands.words.p[0])))
        for (*skip = 0; args[*skip] != operands.words.p[0];)
            ++*skip;
    sc_settings_clear(&set);
    sc_words_clear(&operands.words);
    return c ? c : &sc_cmd_tree;
}

/* A first word that is no command, no file, and looks like a command. */
static const struct sc_command *slip(const struct sc_cli *c, const char *first)
{
    if (c->command != &sc_cmd_tree || !c->operands.n_before_dashes || c->set.models.n ||
        strcmp(first, c->operands.words.p[0]) != 0 || strchr(first, '/') || sc_path_exists(first))
        return NULL;
    return sc_command_guess(first);
}

static int print_text(struct sc_cli *c, bool overview)
{
    struct sc_buf b = {0};

    if (c->set.version && c->set.verbose)
        sc_help_version_verbose(&b);
    else if (c->set.version)
        sc_help_version(&b);
    else if (overview)
        sc_help_overview(&b);
    else
        sc_help_command(&b, c->command);
    int status = sc_put_text(c, &b);
    sc_buf_clear(&b);
    return status;
}

/* Start the output, run, finish the output. */
static int with_output(struct sc_cli *c, const struct sc_screen *screen, bool named)
{
    struct sc_error e = {0};
    int status;
    bool colour = sc_colour_wanted((enum sc_when)c->set.color, screen->out_tty && !c->set.output);

    c->term = (struct sc_term){.colour = colour,
                               .ascii = c->set.ascii || !screen->utf8,
                               .width = c->set.output ? 0 : screen->columns};
    bool page = screen->out_tty && !c->set.no_pager && !c->set.json && !c->set.csv;
    if (sc_sink_open(&c->sink, c->set.output, page, screen->rows, &e) < 0)
        return sc_fail_exit(c, &e);
    c->out = (struct sc_out){.write = sc_sink_write, .ctx = &c->sink};
    if (c->set.version || c->set.help)
        status = print_text(c, !named && !c->operands.words.n);
    else
        status = c->command->run(c);
    int code = sc_out_finish(&c->out);
    bool keep = code == 0 && (status == SC_EXIT_OK || status == SC_EXIT_FINDINGS || c->whole);
    int closed = sc_sink_close(&c->sink, keep, &e);
    if (c->sink.closed && !c->sink.pager)
        return SC_EXIT_PIPE;
    if (sc_cancel && !c->sink.pager)
        return 128 + sc_cancel;
    if (closed < 0)
        return sc_fail_exit(c, &e);
    if (code < 0 && !c->sink.closed) {
        sc_fail(&e, code, "%s", sc_code_text(code));
        return sc_fail_exit(c, &e);
    }
    return status;
}

/* A token on the command line can be seen by every user of the machine for as long as it stands
 * there. Keeps a copy and overwrites the original. */
static int hide_token(struct sc_cli *c, char **args, size_t n, char **copy, struct sc_error *e)
{
    if (!c->set.token)
        return 0;
    const size_t length = strlen(c->set.token);
    *copy = sc_alloc(length + 1);
    if (!*copy)
        return sc_fail_memory(e);
    memcpy(*copy, c->set.token, length + 1);
    for (size_t i = 0; i < n; i++) {
        const size_t whole = strlen(args[i]);
        if (whole >= length && args[i] + (whole - length) == c->set.token)
            memset(args[i] + (whole - length), '*', length);
    }
    c->set.token = *copy;
    return 0;
}

static int run(struct sc_cli *c, char **argv, size_t n, char **token)
{
    const char *const *args = (const char *const *)argv;
    struct sc_screen screen;
    struct sc_error e = {0};
    size_t skip;

    sc_screen_look(&screen);
    c->err = (struct sc_term){.colour = sc_colour_wanted(SC_AUTO, screen.err_tty)};
    c->command = choose(args, n, &skip);
    bool named = skip < n;
    int code = 0;
    /* The words around the command's name. */
    if (skip && named)
        code = sc_options_parse(c->command, args, skip, &c->set, &c->operands, &e);
    if (!code)
        code = sc_options_parse(c->command, args + (named ? skip + 1 : 0), named ? n - skip - 1 : n,
                                &c->set, &c->operands, &e);
    if (!code)
        code = hide_token(c, argv, n, token, &e);
    c->err.colour = sc_colour_wanted((enum sc_when)c->set.color, screen.err_tty);
    if (code < 0)
        return sc_usage_exit(c, &e);
    const struct sc_command *meant =
        named || c->set.help || c->set.version ? NULL : slip(c, args[0]);
    if (meant) {
        struct sc_quoted q;
        sc_say(c, "", "\"%s\" is neither a command nor a file (did you mean \"scruple %s\"?)",
               sc_quote(&q, sc_strz(args[0])), meant->name);
        return SC_EXIT_USAGE;
    }
    return with_output(c, &screen, named);
}

int main(int argc, char **argv)
{
    struct sc_cli c = {.set = SC_SETTINGS_DEFAULT};

    fill_descriptors();
    set_signals();
    if (argc < 2) {
        static const char usage[] =
            "usage: scruple MODEL [FILTER...], or scruple COMMAND ...; scruple --help tells more\n";
        ssize_t n = write(STDERR_FILENO, usage, sizeof usage - 1);
        return n < 0 ? SC_EXIT_RESOURCE : SC_EXIT_USAGE;
    }
    char *token = NULL;
    int status = run(&c, argv + 1, (size_t)argc - 1, &token);
    free(token);
    sc_settings_clear(&c.set);
    sc_words_clear(&c.operands.words);
    return status;
}
