/* SPDX-License-Identifier: Apache-2.0 */
/* help: the tables as text for a terminal of 80 columns.
 *
 * Descriptions are paragraphs separated by blank lines; a paragraph whose lines begin with a blank
 * is a table and stays as it is.
 */
#include <string.h>

#include "cli/cli.h"

#define WIDTH 80

/* Append words of one paragraph, broken before WIDTH; the cursor stands at `column`. */
static void put_wrapped(struct sc_buf *b, const char *text, size_t indent, size_t column)
{
    bool begun = false;

    while (*text) {
        size_t n = strcspn(text, " \n");
        if (begun && column + 1 + n > WIDTH) {
            sc_buf_putc(b, '\n');
            sc_buf_repeat(b, ' ', indent);
            column = indent;
        } else if (begun) {
            sc_buf_putc(b, ' ');
            column++;
        }
        sc_buf_put(b, text, n);
        column += n;
        begun = true;
        text += n;
        text += strspn(text, " \n");
    }
    sc_buf_putc(b, '\n');
}

static void put_description(struct sc_buf *b, const char *text)
{
    char paragraph[2000];

    while (*text) {
        const char *end = strstr(text, "\n\n");
        size_t n = end ? (size_t)(end - text) : strlen(text);
        if (*text == ' ') {
            sc_buf_put(b, text, n);
            sc_buf_putc(b, '\n');
        } else {
            n = SC_MIN(n, sizeof paragraph - 1);
            memcpy(paragraph, text, n);
            paragraph[n] = '\0';
            put_wrapped(b, paragraph, 0, 0);
        }
        text += n;
        text += strspn(text, "\n");
        if (*text)
            sc_buf_putc(b, '\n');
    }
}

/* "  -o, --output FILE   " and the help beside it. */
static void put_option(struct sc_buf *b, const struct sc_option *o, size_t column)
{
    size_t start = b->n;

    if (o->letter)
        sc_buf_printf(b, "  -%c, --%s", o->letter, o->name);
    else
        sc_buf_printf(b, "      --%s", o->name);
    if (o->arg)
        sc_buf_printf(b, " %s", o->arg);
    size_t used = b->n - start;
    sc_buf_repeat(b, ' ', used + 2 > column ? 2 : column - used);
    put_wrapped(b, o->help, column, SC_MAX(used + 2, column));
}

static size_t option_column(const struct sc_command *c)
{
    const struct sc_option *o;
    size_t widest = 0;

    for (size_t i = 0; (o = sc_command_option(c, i)); i++)
        widest = SC_MAX(widest, strlen(o->name) + (o->arg ? strlen(o->arg) + 1 : 0));
    return SC_MIN(widest + 10, 30);
}

void sc_help_command(struct sc_buf *b, const struct sc_command *c)
{
    const struct sc_option *o;
    size_t column = option_column(c);

    sc_buf_printf(b, "scruple %s - %s\n\n", c->name, c->summary);
    sc_buf_printf(b, "Usage: scruple %s [OPTION...]%s%s\n", c->name, *c->usage ? " " : "",
                  c->usage);
    if (c->alias)
        sc_buf_printf(b, "   or: scruple %s [OPTION...] %s\n", c->alias, c->usage);
    if (c == &sc_cmd_tree)
        sc_buf_printf(b, "   or: scruple [OPTION...] %s\n", c->usage);
    sc_buf_putc(b, '\n');
    put_description(b, c->description);
    sc_buf_puts(b, "\nOptions:\n");
    for (size_t i = 0; (o = sc_command_option(c, i)); i++)
        put_option(b, o, column);
    if (c->examples->line)
        sc_buf_puts(b, "\nExamples:\n");
    for (const struct sc_example *x = c->examples; x->line; x++)
        sc_buf_printf(b, "  %s\n      %s\n", x->line, x->what);
}

void sc_help_usage(struct sc_buf *b)
{
    sc_buf_puts(b, "usage: scruple MODEL [FILTER...], or scruple COMMAND ...; "
                   "scruple --help tells more\n");
}

void sc_help_overview(struct sc_buf *b)
{
    size_t widest = 0;

    for (size_t i = 0; sc_commands[i]; i++)
        widest = SC_MAX(widest, strlen(sc_commands[i]->name));
    sc_buf_puts(b, "scruple - look at the weights of AI models\n\n"
                   "Usage: scruple MODEL [FILTER...]\n"
                   "       scruple COMMAND [OPTION...] ...\n\n"
                   "Commands:\n");
    for (size_t i = 0; sc_commands[i]; i++) {
        sc_buf_printf(b, "  %s", sc_commands[i]->name);
        sc_buf_repeat(b, ' ', widest + 2 - strlen(sc_commands[i]->name));
        put_wrapped(b, sc_commands[i]->summary, widest + 4, widest + 4);
    }
    sc_buf_puts(b, "\n");
    put_description(b,
                    "MODEL is a folder, a weight file (safetensors, GGUF, PyTorch, NPZ, NPY, "
                    "whatever its name), an index file, or - for standard input; what is none of "
                    "these on this machine: org/name of the Hub, hf://..., or a URL. Only headers "
                    "are read, also over the network.");
    sc_buf_puts(b, "\nExamples:\n");
    for (const struct sc_example *x = sc_cmd_tree.examples; x->line; x++)
        sc_buf_printf(b, "  %s\n      %s\n", x->line, x->what);
    sc_buf_puts(b, "\nscruple help COMMAND (or scruple COMMAND --help) tells more;\n"
                   "scruple help --man prints the manual page.\n");
}
