/* SPDX-License-Identifier: Apache-2.0 */
/* options: the command line. The input is one word a line. The commands are ours: one option of
 * every kind, so that each rule of the grammar is met. opt.c is not part of the library, hence the
 * include. */
#include "fuzz.h"

#include <limits.h>
#include <stddef.h>

#include "cli/opt.c"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const char *const colours[] = {"auto", "always", "never", NULL};
static const struct sc_option table[] = {
    {"json", 'j', SC_OPTION_FLAG, 0, FIELD(json), NULL, NULL, "a flag"},
    {"csv", 0, SC_OPTION_FLAG, 0, FIELD(csv), NULL, NULL, "a flag without a letter"},
    {"verbose", 'v', SC_OPTION_COUNT, 0, FIELD(verbose), NULL, NULL, "a count"},
    {"depth", 'd', SC_OPTION_UINT, 0, FIELD(depth), "N", NULL, "a number"},
    {"memory", 'M', SC_OPTION_SIZE, 0, FIELD(sort), "SIZE", NULL, "a size"},
    {"color", 0, SC_OPTION_ENUM, 0, FIELD(color), "WHEN", colours, "a word of a few"},
    {"output", 'o', SC_OPTION_TEXT, 0, FIELD(output), "FILE", NULL, "a text"},
    {"include", 'i', SC_OPTION_LIST, 0, FIELD(include), "GLOB", NULL, "a list"},
    {"help", 'h', SC_OPTION_FLAG, 0, FIELD(help), NULL, NULL, "the flag that ends all checks"},
};
static const struct sc_command many = {.name = "many",
                                       .alias = "m",
                                       .usage = "WORD...",
                                       .options = table,
                                       .n_options = SC_COUNT(table),
                                       .operands = UINT_MAX};
static const struct sc_command two = {.name = "two",
                                      .usage = "WORD [WORD]",
                                      .options = table,
                                      .n_options = SC_COUNT(table),
                                      .operands = 2};
const struct sc_command *const sc_commands[] = {&many, &two, NULL};

const struct sc_option *sc_command_option(const struct sc_command *c, size_t i)
{
    return i < c->n_options ? &c->options[i] : NULL;
}

enum { WORDS_MAX = 64 };

static bool is_one_of(const char *word, const char *const *args, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (word == args[i])
            return true;
    return false;
}

static void check_result(const struct sc_command *c, const char *const *args, size_t n,
                         const struct sc_settings *set, const struct sc_operands *got)
{
    const struct sc_words *w = &got->words;
    size_t k = 0;

    FUZZ_CHECK(w->n + set->include.n <= n && got->n_before_dashes <= w->n);
    FUZZ_CHECK(set->color < SC_COUNT(colours) - 1);
    FUZZ_CHECK(!set->output || set->output[0]);
    FUZZ_CHECK(set->help || w->n <= c->operands);
    FUZZ_CHECK(set->help || !(set->json && set->csv));
    FUZZ_CHECK(w->n == 0 || !w->p[w->n]);
    FUZZ_CHECK(set->include.n == 0 || !set->include.p[set->include.n]);
    for (size_t i = 0; i < w->n; i++) {
        FUZZ_CHECK(is_one_of(w->p[i], args, n));
        FUZZ_CHECK(i >= got->n_before_dashes || w->p[i][0] != '-' || !w->p[i][1]);
    }
    /* Operands keep their order. */
    for (size_t i = 0; i < n && k < w->n; i++)
        k += args[i] == w->p[k];
    FUZZ_CHECK(k == w->n);
}

static void parse(const struct sc_command *c, const char *const *args, size_t n)
{
    struct sc_settings set = {0};
    struct sc_operands operands = {0};
    struct sc_error e = {0};
    const int code = sc_options_parse(c, args, n, &set, &operands, &e);

    if (code < 0) {
        FUZZ_CHECK(code == SCRUPLE_EUSAGE);
        fuzz_check_error(code, &e);
    } else {
        FUZZ_CHECK(code == 0);
        check_result(c, args, n, &set, &operands);
    }
    sc_words_clear(&operands.words);
    sc_settings_clear(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_alloc(size + 1);
    const char *args[WORDS_MAX] = {NULL};
    size_t n = 0;

    memcpy(text, data, size);
    text[size] = '\0';
    for (char *p = text; p < text + size && n < WORDS_MAX;) {
        args[n++] = p;
        p += strcspn(p, "\n");
        *p++ = '\0';
    }
    parse(&many, args, n);
    parse(&two, args, n);
    if (n) {
        (void)sc_command_find(args[0]);
        (void)sc_command_guess(args[0]);
    }
    free(text);
    return 0;
}
