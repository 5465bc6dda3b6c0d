/* SPDX-License-Identifier: Apache-2.0 */
/* opt: from words to settings.
 *
 *   --name VALUE  --name=VALUE  -n VALUE  -nVALUE     with an argument
 *   --name  -n  -qv (several letters)                 without
 *   --                                                everything after it is an operand
 *   -                                                 an operand (standard input)
 *
 * Options may stand anywhere among the operands. Beginnings of long names are not accepted: a
 * script must not change its meaning when an option is added.
 *
 * Owns: the grammar, and what is said about a wrong word. Does not own: which options there are.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

int sc_words_add(struct sc_words *w, const char *word, struct sc_error *e)
{
    TRY(sc_grow(&w->p, &w->cap, w->n + 2, sizeof *w->p, e));
    w->p[w->n++] = word;
    w->p[w->n] = NULL;
    return 0;
}

void sc_words_clear(struct sc_words *w)
{
    free(w->p);
    *w = (struct sc_words){0};
}

void sc_settings_clear(struct sc_settings *s)
{
    sc_words_clear(&s->models);
    sc_words_clear(&s->formats);
    sc_words_clear(&s->hooks);
    sc_words_clear(&s->quantized);
    for (size_t i = 0; i < SC_COUNT(s->edits); i++)
        sc_words_clear(&s->edits[i]);
    sc_words_clear(&s->include);
    sc_words_clear(&s->exclude);
}

/* --------------------------------------------------------------------------------- tables --- */
const struct sc_command *sc_command_find(const char *name)
{
    for (size_t i = 0; sc_commands[i]; i++) {
        const struct sc_command *c = sc_commands[i];
        if (!strcmp(c->name, name) || (c->alias && !strcmp(c->alias, name)))
            return c;
    }
    return NULL;
}

/* Words this far apart are taken for slips of the same word. */
static unsigned tolerance(size_t n)
{
    return n < 4 ? 1 : 2;
}

const struct sc_command *sc_command_guess(const char *word)
{
    const struct sc_command *best = NULL;
    unsigned least = tolerance(strlen(word)) + 1;

    for (size_t i = 0; sc_commands[i]; i++) {
        unsigned d = sc_edit_distance(sc_strz(word), sc_strz(sc_commands[i]->name), least);
        if (d < least) {
            least = d;
            best = sc_commands[i];
        }
    }
    return best;
}

static const struct sc_option *find_long(const struct sc_command *c, struct sc_str name)
{
    const struct sc_option *o;

    for (size_t i = 0; (o = sc_command_option(c, i)); i++)
        if (sc_str_is(name, o->name))
            return o;
    return NULL;
}

static const struct sc_option *find_letter(const struct sc_command *c, char letter)
{
    const struct sc_option *o;

    for (size_t i = 0; (o = sc_command_option(c, i)); i++)
        if (o->letter && o->letter == letter)
            return o;
    return NULL;
}

/* ------------------------------------------------------------------------------- mistakes --- */
static int unknown_long(const struct sc_command *c, struct sc_str name, struct sc_error *e)
{
    const struct sc_option *o;
    const char *best = NULL;
    unsigned least = tolerance(name.n) + 1;
    struct sc_quoted q;

    for (size_t i = 0; (o = sc_command_option(c, i)); i++) {
        unsigned d = sc_edit_distance(name, sc_strz(o->name), least);
        /* A beginning of the name is meant often enough to be worth the hint. */
        if (d >= least && name.n >= 2 && strlen(o->name) > name.n &&
            !memcmp(o->name, name.p, name.n))
            d = least - 1;
        if (d < least) {
            least = d;
            best = o->name;
        }
    }
    if (best)
        return sc_fail(e, SCRUPLE_EUSAGE, "%s: there is no option --%s (did you mean --%s?)",
                       c->name, sc_quote(&q, name), best);
    return sc_fail(e, SCRUPLE_EUSAGE, "%s: there is no option --%s", c->name, sc_quote(&q, name));
}

static int bad_word(const struct sc_option *o, const char *value, struct sc_error *e)
{
    struct sc_buf words = {0};
    struct sc_quoted q;
    const char *best = NULL;
    unsigned least = tolerance(strlen(value)) + 1;

    for (size_t i = 0; o->values[i]; i++) {
        unsigned d = sc_edit_distance(sc_strz(value), sc_strz(o->values[i]), least);
        if (d < least) {
            least = d;
            best = o->values[i];
        }
        sc_buf_printf(&words, "%s%s", !i ? "" : o->values[i + 1] ? ", " : " or ", o->values[i]);
    }
    int code = words.failed
                   ? sc_fail_memory(e)
                   : sc_fail(e, SCRUPLE_EUSAGE, "--%s cannot be \"%s\": it takes %s%s%s%s", o->name,
                             sc_quote(&q, sc_strz(value)), words.p, best ? " (did you mean " : "",
                             best ? best : "", best ? "?)" : "");
    sc_buf_clear(&words);
    return code;
}

/* --------------------------------------------------------------------------------- values --- */
static int set_enum(const struct sc_option *o, uint64_t *field, const char *value,
                    struct sc_error *e)
{
    for (size_t i = 0; o->values[i]; i++) {
        if (!strcmp(o->values[i], value)) {
            *field = i;
            return 0;
        }
    }
    return bad_word(o, value, e);
}

static int set_option(const struct sc_option *o, struct sc_settings *set, const char *value,
                      struct sc_error *e)
{
    /* The table's offsets are made by offsetof on this struct. */
    void *field = (char *)set + o->field;
    struct sc_quoted q;

    switch ((enum sc_option_kind)o->kind) {
    case SC_OPTION_FLAG:
        *(bool *)field = true;
        return 0;
    case SC_OPTION_COUNT:
        ++*(uint64_t *)field;
        return 0;
    case SC_OPTION_TEXT:
        if (!*value)
            return sc_fail(e, SCRUPLE_EUSAGE, "--%s must not be empty", o->name);
        *(const char **)field = value;
        return 0;
    case SC_OPTION_UINT:
        if (!sc_str_u64(sc_strz(value), field))
            return sc_fail(e, SCRUPLE_EUSAGE, "--%s cannot be \"%s\": it takes a whole number",
                           o->name, sc_quote(&q, sc_strz(value)));
        return 0;
    case SC_OPTION_SIZE:
        if (!sc_str_size(sc_strz(value), field))
            return sc_fail(e, SCRUPLE_EUSAGE,
                           "--%s cannot be \"%s\": it takes a size such as 500M or 2GiB", o->name,
                           sc_quote(&q, sc_strz(value)));
        return 0;
    case SC_OPTION_ENUM:
        return set_enum(o, field, value, e);
    case SC_OPTION_LIST:
        return sc_words_add(field, value, e);
    }
    return 0;
}

/* -------------------------------------------------------------------------------- grammar --- */
struct parser {
    const struct sc_command *command;
    const char *const *args;
    size_t n, at; /* at: the next word */
    struct sc_settings *set;
};

static bool takes_value(const struct sc_option *o)
{
    return o->kind != SC_OPTION_FLAG && o->kind != SC_OPTION_COUNT;
}

static int parse_long(struct parser *p, const char *word, struct sc_error *e)
{
    const char *equals = strchr(word, '=');
    struct sc_str name = sc_str(word, equals ? (size_t)(equals - word) : strlen(word));
    const struct sc_option *o = find_long(p->command, name);

    if (!o)
        return unknown_long(p->command, name, e);
    if (!takes_value(o)) {
        if (equals)
            return sc_fail(e, SCRUPLE_EUSAGE, "--%s takes no value", o->name);
        return set_option(o, p->set, NULL, e);
    }
    if (equals)
        return set_option(o, p->set, equals + 1, e);
    if (p->at == p->n)
        return sc_fail(e, SCRUPLE_EUSAGE, "--%s needs a value: --%s %s", o->name, o->name, o->arg);
    return set_option(o, p->set, p->args[p->at++], e);
}

static int parse_letters(struct parser *p, const char *word, struct sc_error *e)
{
    for (; *word; word++) {
        const struct sc_option *o = find_letter(p->command, *word);
        if (!o) {
            struct sc_quoted q;
            return sc_fail(e, SCRUPLE_EUSAGE, "%s: there is no option -%s", p->command->name,
                           sc_quote(&q, sc_str(word, 1)));
        }
        if (!takes_value(o)) {
            TRY(set_option(o, p->set, NULL, e));
            continue;
        }
        if (word[1])
            return set_option(o, p->set, word + 1, e);
        if (p->at == p->n)
            return sc_fail(e, SCRUPLE_EUSAGE, "-%c needs a value: -%c %s", *word, *word, o->arg);
        return set_option(o, p->set, p->args[p->at++], e);
    }
    return 0;
}

int sc_options_parse(const struct sc_command *c, const char *const *args, size_t n,
                     struct sc_settings *set, struct sc_operands *operands, struct sc_error *e)
{
    struct parser p = {c, args, n, 0, set};
    bool dashes = false;

    while (p.at < p.n) {
        const char *word = p.args[p.at++];
        if (dashes || word[0] != '-' || !word[1]) {
            TRY(sc_words_add(&operands->words, word, e));
            if (!dashes)
                operands->n_before_dashes = operands->words.n;
        } else if (!strcmp(word, "--")) {
            dashes = true;
        } else if (word[1] == '-') {
            TRY(parse_long(&p, word + 2, e));
        } else {
            TRY(parse_letters(&p, word + 1, e));
        }
    }
    if (set->help || set->version)
        return 0;
    if (operands->words.n > c->operands) {
        struct sc_quoted q;
        return sc_fail(e, SCRUPLE_EUSAGE, "%s: \"%s\" is one word too many", c->name,
                       sc_quote(&q, sc_strz(operands->words.p[c->operands])));
    }
    if (set->json && set->csv)
        return sc_fail(e, SCRUPLE_EUSAGE, "--json and --csv exclude each other");
    return 0;
}
