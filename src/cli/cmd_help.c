/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_help: help for a command, or the manual page of all. */
#include <stddef.h>

#include "cli/cli.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const struct sc_option help_options[] = {
    {"man", 0, SC_OPTION_FLAG, 0, FIELD(man), NULL, NULL, "print the manual page, as roff"},
};

static const struct sc_example help_examples[] = {
    {"scruple help tree", "options and examples of tree"},
    {"scruple help --man | man -l -", "read the manual page"},
    {NULL, NULL},
};

static int run_help(struct sc_cli *c)
{
    struct sc_buf b = {0};
    struct sc_quoted q;

    if (c->set.man) {
        sc_man_page(&b);
    } else if (!c->operands.words.n) {
        sc_help_overview(&b);
    } else {
        const char *name = c->operands.words.p[0];
        const struct sc_command *about = sc_command_find(name), *guess = sc_command_guess(name);
        if (!about)
            return sc_wrong_use(c, "help: there is no command \"%s\"%s%s%s",
                                sc_quote(&q, sc_strz(name)), guess ? " (did you mean " : "",
                                guess ? guess->name : "", guess ? "?)" : "");
        sc_help_command(&b, about);
    }
    int status = sc_put_text(c, &b);
    sc_buf_clear(&b);
    return status;
}

const struct sc_command sc_cmd_help = {
    .name = "help",
    .summary = "tell more about a command",
    .usage = "[COMMAND]",
    .description = "Without a COMMAND it lists them. The same text is printed by "
                   "scruple COMMAND --help.",
    .options = help_options,
    .n_options = SC_COUNT(help_options),
    .groups = SC_GROUP_COMMON,
    .operands = 1,
    .complete = SC_COMPLETE_COMMAND,
    .examples = help_examples,
    .run = run_help,
};
