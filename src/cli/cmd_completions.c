/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_completions: print a completion script. */
#include "cli/cli.h"

static const struct sc_example completions_examples[] = {
    {"source <(scruple completions bash)", "in ~/.bashrc"},
    {"scruple completions fish > ~/.config/fish/completions/scruple.fish", "for fish"},
    {NULL, NULL},
};

static int run_completions(struct sc_cli *c)
{
    struct sc_buf b = {0};
    struct sc_quoted q;
    int status;

    if (!c->operands.words.n)
        return sc_wrong_use(c, "completions: SHELL is missing");
    const char *shell = c->operands.words.p[0];
    if (sc_completions(&b, shell))
        status = sc_put_text(c, &b);
    else
        status = sc_wrong_use(c, "completions: \"%s\" is not known; bash, zsh and fish are",
                              sc_quote(&q, sc_strz(shell)));
    sc_buf_clear(&b);
    return status;
}

const struct sc_command sc_cmd_completions = {
    .name = "completions",
    .summary = "print completions for bash, zsh or fish",
    .usage = "SHELL",
    .description = "The script completes commands, options, their values, and names of files.",
    .groups = SC_GROUP_COMMON,
    .operands = 1,
    .complete = SC_COMPLETE_SHELL,
    .examples = completions_examples,
    .run = run_completions,
};
