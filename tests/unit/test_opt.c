/* SPDX-License-Identifier: Apache-2.0 */
/* opt: the option parser, and that help, man page and completions tell all of the tables. */
#include "cli/cli.h"

#include <stdlib.h>

#include "oom.h"
#include "test.h"

/* ------------------------------------------------------------------------------ scaffolding --- */
struct parsed {
    int code;
    struct sc_settings set;
    struct sc_operands operands;
    struct sc_error e;
    char copy[512]; /* the words, which everything borrows */
};

/* A command line split at blanks. */
static void parse(struct parsed *p, const struct sc_command *c, const char *line)
{
    const char *args[32];
    size_t n = 0;
    char *save = NULL;

    memset(p, 0, sizeof *p);
    snprintf(p->copy, sizeof p->copy, "%s", line);
    for (char *w = strtok_r(p->copy, " ", &save); w && n < 32; w = strtok_r(NULL, " ", &save))
        args[n++] = w;
    p->code = sc_options_parse(c, args, n, &p->set, &p->operands, &p->e);
}

static void parsed_clear(struct parsed *p)
{
    sc_settings_clear(&p->set);
    sc_words_clear(&p->operands.words);
}

static void check_refused(const struct sc_command *c, const char *line, const char *sentence)
{
    struct parsed p;

    parse(&p, c, line);
    CHECK_ERR(SCRUPLE_EUSAGE, p.code);
    CHECK_STR(p.e.text, sentence);
    parsed_clear(&p);
}

static bool contains(const struct sc_buf *b, const char *word)
{
    return b->p && strstr(b->p, word);
}

/* ----------------------------------------------------------------------------------- grammar ---
 */
TEST(all_forms_of_an_option)
{
    static const char *const lines[] = {"x --depth 7 -o f", "--depth=7 x -of", "-o f --depth=7 x",
                                        "x -o f --depth 7"};
    struct parsed p;

    for (size_t i = 0; i < SC_COUNT(lines); i++) {
        parse(&p, &sc_cmd_tree, lines[i]);
        CHECK_ERR(0, p.code);
        CHECK_U64(p.set.depth, 7);
        CHECK_STR(p.set.output, "f");
        CHECK_U64(p.operands.words.n, 1);
        CHECK_STR(p.operands.words.p[0], "x");
        CHECK(!p.operands.words.p[1]);
        parsed_clear(&p);
    }
}

TEST(letters_can_be_bundled)
{
    struct parsed p;

    parse(&p, &sc_cmd_tree, "-qvvo f m -v --flat");
    CHECK_ERR(0, p.code);
    CHECK(p.set.quiet && p.set.flat);
    CHECK_U64(p.set.verbose, 3);
    CHECK_STR(p.set.output, "f");
    parsed_clear(&p);
}

TEST(dashes_end_the_options)
{
    struct parsed p;

    parse(&p, &sc_cmd_tree, "a b -- --json -x");
    CHECK_ERR(0, p.code);
    CHECK(!p.set.json);
    CHECK_U64(p.operands.words.n, 4);
    CHECK_U64(p.operands.n_before_dashes, 2);
    CHECK_STR(p.operands.words.p[2], "--json");
    parsed_clear(&p);
    parse(&p, &sc_cmd_tree, "- -o -");
    CHECK_ERR(0, p.code);
    CHECK_STR(p.operands.words.p[0], "-");
    CHECK_STR(p.set.output, "-");
    parsed_clear(&p);
}

TEST(lists_and_words)
{
    struct parsed p;

    parse(&p, &sc_cmd_tree,
          "--include a --include=b --exclude c -m x -my --sort size --color never");
    CHECK_ERR(0, p.code);
    CHECK_U64(p.set.include.n, 2);
    CHECK_STR(p.set.include.p[1], "b");
    CHECK(!p.set.include.p[2]);
    CHECK_STR(p.set.exclude.p[0], "c");
    CHECK_U64(p.set.models.n, 2);
    CHECK_STR(p.set.models.p[1], "y");
    CHECK_U64(p.set.sort, SC_SORT_SIZE);
    CHECK_U64(p.set.color, SC_NEVER);
    parsed_clear(&p);
    parse(&p, &sc_cmd_tree, "--sort size --sort name --depth 3 --depth 2");
    CHECK_U64(p.set.sort, SC_SORT_NAME); /* the last one counts */
    CHECK_U64(p.set.depth, 2);
    parsed_clear(&p);
}

TEST(mistakes_are_explained)
{
    check_refused(&sc_cmd_tree, "x --flta",
                  "tree: there is no option --flta (did you mean --flat?)");
    check_refused(&sc_cmd_tree, "x --len",
                  "tree: there is no option --len (did you mean --lenient?)");
    check_refused(&sc_cmd_tree, "x --frobnicate", "tree: there is no option --frobnicate");
    check_refused(&sc_cmd_info, "x --flat", "info: there is no option --flat");
    check_refused(&sc_cmd_tree, "x -qz", "tree: there is no option -z");
    check_refused(&sc_cmd_tree, "x --depth", "--depth needs a value: --depth N");
    check_refused(&sc_cmd_tree, "x -o", "-o needs a value: -o FILE");
    check_refused(&sc_cmd_tree, "x --json=yes", "--json takes no value");
    check_refused(&sc_cmd_tree, "x --depth=-1",
                  "--depth cannot be \"-1\": it takes a whole number");
    check_refused(&sc_cmd_tree, "x --depth=0x10",
                  "--depth cannot be \"0x10\": it takes a whole number");
    check_refused(&sc_cmd_tree, "x --depth 18446744073709551616",
                  "--depth cannot be \"18446744073709551616\": it takes a whole number");
    check_refused(&sc_cmd_tree, "x --sort syze",
                  "--sort cannot be \"syze\": it takes name or size (did you mean size?)");
    check_refused(&sc_cmd_tree,
                  "x --color=", "--color cannot be \"\": it takes auto, always or never");
    check_refused(&sc_cmd_tree, "x --output=", "--output must not be empty");
    check_refused(&sc_cmd_tree, "x --json --csv", "--json and --csv exclude each other");
    check_refused(&sc_cmd_info, "a b", "info: \"b\" is one word too many");
    check_refused(&sc_cmd_env, "a", "env: \"a\" is one word too many");
    check_refused(&sc_cmd_tree, "--\033[2J", "tree: there is no option --\\u{1b}[2J");
}

TEST(sizes_have_units)
{
    static const struct sc_option table[] = {
        {"size", 's', SC_OPTION_SIZE, 0, (uint16_t)offsetof(struct sc_settings, depth), "SIZE",
         NULL, "x"},
    };
    static const struct sc_command command = {
        .name = "x", .options = table, .n_options = 1, .operands = 0};
    static const struct {
        const char *text;
        uint64_t want;
    } good[] = {{"0", 0},
                {"512", 512},
                {"64k", 64000},
                {"64KB", 64000},
                {"64KiB", 65536},
                {"1.5G", 1500000000},
                {"2GiB", UINT64_C(2147483648)},
                {"1.5mib", 1572864},
                {"18446744073709551615", UINT64_MAX}};
    static const char *const bad[] = {
        "",    "k",        "1.2345k", "1x",   "-1", "18446744073709551616",
        "1e9", "9999999P", "1.k",     "1ki5", "5i"};
    char line[64];
    struct parsed p;

    for (size_t i = 0; i < SC_COUNT(good); i++) {
        snprintf(line, sizeof line, "--size=%s", good[i].text);
        parse(&p, &command, line);
        CHECK_ERR(0, p.code);
        CHECK_U64(p.set.depth, good[i].want);
        parsed_clear(&p);
    }
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        snprintf(line, sizeof line, "--size=%s", bad[i]);
        parse(&p, &command, line);
        CHECK_ERR(SCRUPLE_EUSAGE, p.code);
        parsed_clear(&p);
    }
}

TEST(slips_in_command_names)
{
    CHECK(sc_command_find("tree") == &sc_cmd_tree && sc_command_find("ls") == &sc_cmd_tree);
    CHECK(!sc_command_find("tre") && !sc_command_find("TREE") && !sc_command_find(""));
    CHECK(sc_command_guess("tre") == &sc_cmd_tree);
    CHECK(sc_command_guess("chekc") == &sc_cmd_check);
    CHECK(sc_command_guess("completion") == &sc_cmd_completions);
    CHECK(!sc_command_guess("Qwen3-0.6B") && !sc_command_guess("x"));
}

/* ------------------------------------------------------------------------------------ tables ---
 */
static void check_option(const struct sc_command *c, size_t i)
{
    const struct sc_option *o = sc_command_option(c, i), *other;
    bool value = o->kind != SC_OPTION_FLAG && o->kind != SC_OPTION_COUNT;

    CHECK((o->arg != NULL) == value);
    /* Of a text they are only offered by completions. */
    CHECK((o->values != NULL) == (o->kind == SC_OPTION_ENUM) || o->kind == SC_OPTION_TEXT);
    CHECK(strlen(o->help) > 5 && o->help[strlen(o->help) - 1] != '.');
    CHECK(o->field < sizeof(struct sc_settings));
    for (size_t k = 0; (other = sc_command_option(c, k)); k++) {
        CHECK(k == i || strcmp(o->name, other->name) != 0);
        CHECK(k == i || !o->letter || o->letter != other->letter);
    }
}

TEST(tables_are_consistent)
{
    for (size_t i = 0; sc_commands[i]; i++) {
        const struct sc_command *c = sc_commands[i];
        CHECK(c->summary[0] >= 'a' && c->summary[0] <= 'z');
        CHECK(c->summary[strlen(c->summary) - 1] != '.' && strlen(c->summary) <= 66);
        CHECK(c->description[strlen(c->description) - 1] == '.');
        CHECK(c->run && c->examples && c->examples->line);
        for (size_t k = 0; sc_command_option(c, k); k++)
            check_option(c, k);
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(c->name, sc_commands[k]->name) != 0);
    }
    for (size_t i = 1; i < sc_n_exits; i++)
        CHECK(sc_exits[i - 1].status < sc_exits[i].status);
}

/* The words of the example that belong to our own command line, up to the shell's operators; what
 * stands in double quotes is one word. */
static size_t own_words(char *line, const char *args[32])
{
    size_t n = 0;

    for (char *p = line + strspn(line, " "); *p && n < 32; p += strspn(p, " ")) {
        const bool quoted = *p == '"';
        char *end = quoted ? strchr(++p, '"') : p + strcspn(p, " ");
        const bool last = !end || !*end;
        if (!last)
            *end = '\0';
        if (!strcmp(p, "|") || !strcmp(p, ">") || !strcmp(p, "&&"))
            break;
        args[n++] = p;
        if (last)
            break;
        p = end + 1;
    }
    return n;
}

TEST(examples_parse)
{
    for (size_t i = 0; sc_commands[i]; i++) {
        for (const struct sc_example *x = sc_commands[i]->examples; x->line; x++) {
            const char *args[32], *start = strstr(x->line, "scruple ");
            char line[256];
            struct sc_settings set = {0};
            struct sc_operands operands = {{0}, 0};
            struct sc_error e = {0};
            REQUIRE(start);
            snprintf(line, sizeof line, "%s", start + 8);
            line[strcspn(line, ")")] = '\0';
            size_t n = own_words(line, args);
            const struct sc_command *c = n ? sc_command_find(args[0]) : NULL;
            size_t skip = c ? 1 : 0;
            c = c ? c : &sc_cmd_tree;
            CHECK(c == sc_commands[i]);
            CHECK_ERR(0, sc_options_parse(c, args + skip, n - skip, &set, &operands, &e));
            CHECK_STR(e.text, "");
            sc_settings_clear(&set);
            sc_words_clear(&operands.words);
        }
    }
}

TEST(help_tells_every_option_in_80_columns)
{
    char word[64];

    for (size_t i = 0; sc_commands[i]; i++) {
        struct sc_buf b = {0};
        const struct sc_option *o;
        sc_help_command(&b, sc_commands[i]);
        REQUIRE(!b.failed);
        for (size_t k = 0; (o = sc_command_option(sc_commands[i], k)); k++) {
            snprintf(word, sizeof word, "--%s", o->name);
            CHECK(contains(&b, word));
        }
        for (const char *line = b.p; *line; line += strcspn(line, "\n") + 1)
            CHECK(strcspn(line, "\n") <= 80);
        CHECK(!strstr(b.p, " \n") && !strstr(b.p, "\n\n\n"));
        sc_buf_clear(&b);
    }
}

TEST(overview_tells_every_command)
{
    struct sc_buf b = {0};

    sc_help_overview(&b);
    for (size_t i = 0; sc_commands[i]; i++)
        CHECK(contains(&b, sc_commands[i]->summary));
    sc_buf_clear(&b);
}

TEST(man_page_is_complete)
{
    struct sc_buf b = {0};
    char word[64];

    sc_man_page(&b);
    REQUIRE(!b.failed);
    CHECK(contains(&b, ".TH SCRUPLE 1"));
    for (size_t i = 0; sc_commands[i]; i++) {
        const struct sc_option *o;
        snprintf(word, sizeof word, ".SS %s\n", sc_commands[i]->name);
        CHECK(contains(&b, word));
        for (size_t k = 0; (o = sc_command_option(sc_commands[i], k)); k++) {
            struct sc_buf name = {0};
            sc_buf_puts(&name, "\\-\\-");
            for (const char *p = o->name; *p; p++)
                sc_buf_puts(&name, *p == '-' ? "\\-" : (const char[]){*p, '\0'});
            CHECK(contains(&b, name.p));
            sc_buf_clear(&name);
        }
    }
    for (size_t i = 0; i < sc_n_exits; i++) {
        snprintf(word, sizeof word, "\\fB%d\\fR\n", sc_exits[i].status);
        CHECK(contains(&b, word));
    }
    const struct sc_hub_variable *v;
    for (size_t i = 0; (v = sc_variable(i)); i++)
        CHECK(contains(&b, v->name));
    /* No line begins with a dot that we did not mean as a request. */
    for (const char *line = b.p; *line; line += strcspn(line, "\n") + 1)
        CHECK(*line != '.' || strchr(".STPBnf", line[1]) || line[1] == '\\' || line[1] == 'b');
    sc_buf_clear(&b);
}

TEST(completions_know_every_option)
{
    char word[64];

    for (size_t s = 0; sc_shells[s]; s++) {
        struct sc_buf b = {0};
        CHECK(sc_completions(&b, sc_shells[s]));
        REQUIRE(!b.failed);
        for (size_t i = 0; sc_commands[i]; i++) {
            const struct sc_option *o;
            CHECK(contains(&b, sc_commands[i]->name));
            for (size_t k = 0; (o = sc_command_option(sc_commands[i], k)); k++) {
                snprintf(word, sizeof word, "%s%s", strcmp(sc_shells[s], "fish") ? "--" : "-l ",
                         o->name);
                CHECK(contains(&b, word));
            }
        }
        sc_buf_clear(&b);
    }
    struct sc_buf b = {0};
    CHECK(!sc_completions(&b, "tcsh"));
    sc_buf_clear(&b);
}

/* -------------------------------------------------------------------------------- environment ---
 */
TEST(colour_follows_the_environment)
{
    static const char *const names[] = {"NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TERM"};

    for (size_t i = 0; i < SC_COUNT(names); i++)
        unsetenv(names[i]);
    CHECK(!sc_colour_wanted(SC_AUTO, true)); /* no TERM */
    setenv("TERM", "dumb", 1);
    CHECK(!sc_colour_wanted(SC_AUTO, true));
    setenv("TERM", "xterm", 1);
    CHECK(sc_colour_wanted(SC_AUTO, true));
    CHECK(!sc_colour_wanted(SC_AUTO, false));
    setenv("FORCE_COLOR", "0", 1);
    CHECK(!sc_colour_wanted(SC_AUTO, false));
    setenv("FORCE_COLOR", "1", 1);
    CHECK(sc_colour_wanted(SC_AUTO, false));
    unsetenv("FORCE_COLOR");
    setenv("CLICOLOR_FORCE", "1", 1);
    CHECK(sc_colour_wanted(SC_AUTO, false));
    setenv("NO_COLOR", "", 1); /* set to nothing is set */
    CHECK(!sc_colour_wanted(SC_AUTO, true));
    CHECK(sc_colour_wanted(SC_ALWAYS, false));
    CHECK(!sc_colour_wanted(SC_NEVER, true));
}

TEST(every_error_has_an_exit_code)
{
#define SCRUPLE_X(name, value, text) CHECK(sc_exit_of(name) >= 2);
    SCRUPLE_ERRORS(SCRUPLE_X)
#undef SCRUPLE_X
    CHECK_U64(sc_exit_of(0), 0);
    CHECK_U64(sc_exit_of(SCRUPLE_EFORMAT), 3);
    CHECK_U64(sc_exit_of(SCRUPLE_ENOTFOUND), 4);
    CHECK_U64(sc_exit_of(SCRUPLE_EWRITE), 5);
    CHECK_U64(sc_exit_of(-999), 3);
}

/* ------------------------------------------------------------------------------------ faults ---
 */
TEST(every_allocation_may_fail)
{
    bool reached = true;

    for (uint64_t k = 0; reached && k < 1000; k++) {
        struct parsed p;
        struct sc_buf b = {0};
        sc_oom_fail_at(k);
        parse(&p, &sc_cmd_tree, "a b --include x --sort nam");
        sc_man_page(&b);
        sc_completions(&b, "zsh");
        sc_help_command(&b, &sc_cmd_tree);
        reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK(reached || (p.code == SCRUPLE_EUSAGE && !b.failed));
        CHECK(p.code == SCRUPLE_EUSAGE || p.code == SCRUPLE_EMEMORY);
        parsed_clear(&p);
        sc_buf_clear(&b);
    }
    CHECK(!reached);
}
