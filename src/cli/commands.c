/* SPDX-License-Identifier: Apache-2.0 */
/* commands: the tables that the parser, --help, the manual page and the completions are made of.
 *
 * To add a command: write cmd_x.c with its `const struct sc_command`, and one line below. To add an
 * option: a field in struct sc_settings and a row in the command's table, or here if it is shared.
 */
#include <stddef.h>

#include "cli/cli.h"

const struct sc_command *const sc_commands[] = {
    &sc_cmd_tree,  &sc_cmd_info,   &sc_cmd_check,    &sc_cmd_scan,        &sc_cmd_diff,
    &sc_cmd_quant, &sc_cmd_curves, &sc_cmd_view,     &sc_cmd_show,        &sc_cmd_super,
    &sc_cmd_moe,   &sc_cmd_eval,   &sc_cmd_tokenize, &sc_cmd_activations, &sc_cmd_edit,
    &sc_cmd_fetch, &sc_cmd_cache,  &sc_cmd_formats,  &sc_cmd_env,         &sc_cmd_completions,
    &sc_cmd_help,  NULL,
};

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const char *const when_words[] = {"auto", "always", "never", NULL};

static const struct sc_option input_options[] = {
    {"include", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(include), "GLOB", NULL,
     "of a folder, read only weight files whose path matches (may be repeated)"},
    {"exclude", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(exclude), "GLOB", NULL,
     "of a folder, leave out weight files whose path matches (may be repeated)"},
};
static const struct sc_option hub_options[] = {
    {"revision", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(revision), "REV", NULL,
     "of a model on the Hub: its branch, tag, refs/pr/N or commit (default: as named, else main)"},
    {"token", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(token), "TOKEN", NULL,
     "access token for the Hub, in place of HF_TOKEN and the saved login"},
    {"offline", 0, SC_OPTION_FLAG, 0, FIELD(offline), NULL, NULL,
     "do not use the network; show what the caches hold"},
};
static const struct sc_option json_options[] = {
    {"json", 0, SC_OPTION_FLAG, 0, FIELD(json), NULL, NULL, "print one JSON document"},
};
static const struct sc_option output_options[] = {
    {"output", 'o', SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(output), "FILE", NULL,
     "write to FILE, which is replaced once everything is written"},
};
static const struct sc_option screen_options[] = {
    {"color", 0, SC_OPTION_ENUM, 0, FIELD(color), "WHEN", when_words,
     "use colours: auto (on a terminal), always or never"},
    {"ascii", 0, SC_OPTION_FLAG, 0, FIELD(ascii), NULL, NULL,
     "print no characters outside ASCII; those in names become \\u{..}"},
    {"no-pager", 0, SC_OPTION_FLAG, 0, FIELD(no_pager), NULL, NULL,
     "do not start a pager when the output is longer than the screen"},
};
static const struct sc_option csv_options[] = {
    {"csv", 0, SC_OPTION_FLAG, 0, FIELD(csv), NULL, NULL, "print the table as CSV"},
};
static const struct sc_option work_options[] = {
    {"threads", 'j', SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(threads), "N", NULL,
     "work in N threads (default: as many as this process may use); results are the same"},
    {"memory", 0, SC_OPTION_SIZE, SC_COMPLETE_NOTHING, FIELD(memory), "SIZE", NULL,
     "take about SIZE of memory, such as 4G (default: a quarter of what there is)"},
    {"progress", 0, SC_OPTION_ENUM, 0, FIELD(progress), "WHEN", sc_progress_words,
     "tell how far it is on standard error: auto, never, or json (one object a line)"},
};
static const struct sc_option common_options[] = {
    {"quiet", 'q', SC_OPTION_FLAG, 0, FIELD(quiet), NULL, NULL,
     "print no notes and warnings on standard error"},
    {"verbose", 'v', SC_OPTION_COUNT, 0, FIELD(verbose), NULL, NULL,
     "tell how much was read; info shows long values in full"},
    {"help", 'h', SC_OPTION_FLAG, 0, FIELD(help), NULL, NULL, "print help and exit"},
    {"version", 0, SC_OPTION_FLAG, 0, FIELD(version), NULL, NULL, "print the version and exit"},
};

static const struct {
    unsigned group;
    const struct sc_option *options;
    size_t n;
} groups[] = {
    {SC_GROUP_INPUT, input_options, SC_COUNT(input_options)},
    {SC_GROUP_INPUT | SC_GROUP_HUB, hub_options, SC_COUNT(hub_options)},
    {SC_GROUP_WORK, work_options, SC_COUNT(work_options)},
    {SC_GROUP_CSV, csv_options, SC_COUNT(csv_options)},
    {SC_GROUP_OUTPUT | SC_GROUP_SCREEN, json_options, SC_COUNT(json_options)},
    {SC_GROUP_OUTPUT, output_options, SC_COUNT(output_options)},
    {SC_GROUP_OUTPUT | SC_GROUP_SCREEN, screen_options, SC_COUNT(screen_options)},
    {SC_GROUP_COMMON, common_options, SC_COUNT(common_options)},
};

const struct sc_option *sc_command_option(const struct sc_command *c, size_t i)
{
    if (i < c->n_options)
        return &c->options[i];
    i -= c->n_options;
    for (size_t g = 0; g < SC_COUNT(groups); g++) {
        if (!(c->groups & groups[g].group))
            continue;
        if (i < groups[g].n)
            return &groups[g].options[i];
        i -= groups[g].n;
    }
    return NULL;
}

const struct sc_exit sc_exits[] = {
    {SC_EXIT_OK, "Everything is fine."},
    {SC_EXIT_FINDINGS,
     "check, cache verify or scan --fail-on found something, or no tensor matched."},
    {SC_EXIT_USAGE, "The command line is wrong."},
    {SC_EXIT_INPUT, "The input, or of scan a part of it, cannot be read or is not valid."},
    {SC_EXIT_NOT_FOUND, "The model was not found, access was refused, or the network failed."},
    {SC_EXIT_RESOURCE, "Out of memory or disk space, or a limit was exceeded."},
    {SC_EXIT_INTERRUPTED, "Interrupted (143 when by SIGTERM)."},
    {SC_EXIT_PIPE, "The program that read the output went away."},
};
const size_t sc_n_exits = SC_COUNT(sc_exits);

int sc_exit_of(int code)
{
    static const struct {
        int code, status;
    } map[] = {
        {SCRUPLE_EUSAGE, SC_EXIT_USAGE},
        {SCRUPLE_EMEMORY, SC_EXIT_RESOURCE},
        {SCRUPLE_EIO, SC_EXIT_INPUT},
        {SCRUPLE_EFORMAT, SC_EXIT_INPUT},
        {SCRUPLE_EUNSUPPORTED, SC_EXIT_INPUT},
        {SCRUPLE_ENOTFOUND, SC_EXIT_NOT_FOUND},
        {SCRUPLE_ENETWORK, SC_EXIT_NOT_FOUND},
        {SCRUPLE_ELIMIT, SC_EXIT_RESOURCE},
        {SCRUPLE_EINTERRUPTED, SC_EXIT_INTERRUPTED},
        {SCRUPLE_EWRITE, SC_EXIT_RESOURCE},
    };

    for (size_t i = 0; i < SC_COUNT(map); i++)
        if (map[i].code == code)
            return map[i].status;
    return code < 0 ? SC_EXIT_INPUT : SC_EXIT_OK;
}

static const struct sc_hub_variable variables[] = {
    {"NO_COLOR", "When set, even to nothing, no colours are used.", false},
    {"FORCE_COLOR", "When set and not 0, colours are used without a terminal.", false},
    {"CLICOLOR_FORCE", "The same.", false},
    {"TERM", "When empty or \"dumb\", no colours are used.", false},
    {"COLUMNS", "The width of the terminal, where the terminal does not tell.", false},
    {"SCRUPLE_PAGER", "The pager and its arguments; nothing or \"cat\": none.", false},
    {"PAGER", "The same, when SCRUPLE_PAGER is not set. The default is less -FRX.", false},
    {"SCRUPLE_CPU",
     "Vector units to use at most: c, avx2, avx512, bf16 or amx; results are the same.", false},
    {"TMPDIR",
     "Where standard input, unpacked tensors and tables of scan and diff go that are too large for "
     "memory (default /tmp).",
     false},
};

const struct sc_hub_variable *sc_variable(size_t i)
{
    if (i < SC_COUNT(variables))
        return &variables[i];
    i -= SC_COUNT(variables);
    return sc_hub_variables[i].name ? &sc_hub_variables[i] : NULL;
}
