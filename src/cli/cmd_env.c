/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_env: this program and this machine, for a bug report.
 *
 * Owns: what the program was built with. Prints no secrets: of environment variables only those
 * that the program reads, and of those that are secret only whether they are set.
 */
#include <jansson.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <yaml.h>
#include <zlib.h>

#include "cli/cli.h"

#if defined(__clang__)
static const char compiler[] = "clang " __clang_version__;
#elif defined(__GNUC__)
static const char compiler[] = "gcc " __VERSION__;
#else
static const char compiler[] = "unknown";
#endif

static const char *deflate_version(void)
{
    return LIBDEFLATE_VERSION_STRING;
}

static const struct library {
    const char *name;
    const char *(*version)(void);
} libraries[] = {
    {"jansson", jansson_version_str},
    {"libdeflate", deflate_version},
    {"libyaml", yaml_get_version_string},
    {"zlib", zlibVersion},
};

void sc_help_version(struct sc_buf *b)
{
    sc_buf_printf(b, "scruple %s\n", scruple_version());
}

void sc_help_version_verbose(struct sc_buf *b)
{
    sc_help_version(b);
    sc_buf_printf(b, "compiler   %s\nlibraries ", compiler);
    for (size_t i = 0; i < SC_COUNT(libraries); i++)
        sc_buf_printf(b, " %s %s", libraries[i].name, libraries[i].version());
    sc_buf_puts(b, "\ncontainers");
    for (size_t i = 0; sc_formats[i]; i++)
        sc_buf_printf(b, " %s", sc_formats[i]->name);
    sc_buf_puts(b, "\nlicense    Apache-2.0\n");
}

static const struct sc_example env_examples[] = {
    {"scruple env", "what to put into a bug report"},
    {NULL, NULL},
};

/* The first line "model name : ..." of Linux; elsewhere the kind of machine says enough. */
static void cpu_name(char out[128])
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");

    out[0] = '\0';
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        size_t n = SC_MIN(strcspn(colon, "\n"), 127);
        memcpy(out, colon, n);
        out[n] = '\0';
        break;
    }
    if (f)
        fclose(f);
}

static void add_cpu_features(struct sc_document *d, struct sc_field *into)
{
    struct sc_field *list = sc_add_list(d, into, "features");
#if defined(__x86_64__) || defined(__i386__)
    if (__builtin_cpu_supports("avx2"))
        sc_add_textz(d, list, NULL, "avx2");
    if (__builtin_cpu_supports("fma"))
        sc_add_textz(d, list, NULL, "fma");
    if (__builtin_cpu_supports("avx512f"))
        sc_add_textz(d, list, NULL, "avx512f");
    if (__builtin_cpu_supports("avx512bw"))
        sc_add_textz(d, list, NULL, "avx512bw");
#elif defined(__ARM_NEON)
    sc_add_textz(d, list, NULL, "neon");
#else
    (void)list;
#endif
}

static void add_machine(struct sc_document *d)
{
    struct utsname u;
    char cpu[128];
    long cores = sysconf(_SC_NPROCESSORS_ONLN), page = sysconf(_SC_PAGESIZE);
    long pages = sysconf(_SC_PHYS_PAGES);

    struct sc_field *f = sc_add_object(d, &d->root, "machine");
    if (uname(&u) == 0) {
        sc_add_textz(d, f, "system", u.sysname);
        sc_add_textz(d, f, "release", u.release);
        sc_add_textz(d, f, "kind", u.machine);
    }
    cpu_name(cpu);
    sc_add_textz(d, f, "cpu", cpu[0] ? cpu : NULL);
    sc_add_uint(d, f, "cores", cores > 0 ? (uint64_t)cores : 0, SC_COL_COUNT);
    add_cpu_features(d, f);
    sc_add_uint(d, f, "memory", pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0,
                SC_COL_BYTES);
}

static void add_terminal(struct sc_document *d)
{
    struct sc_screen s;

    sc_screen_look(&s);
    struct sc_field *f = sc_add_object(d, &d->root, "terminal");
    sc_add_bool(d, f, "is_terminal", s.out_tty);
    sc_add_bool(d, f, "colours", sc_colour_wanted(SC_AUTO, s.out_tty));
    if (s.columns)
        sc_add_uint(d, f, "columns", s.columns, SC_COL_OFFSET);
    if (s.rows)
        sc_add_uint(d, f, "rows", s.rows, SC_COL_OFFSET);
    sc_add_bool(d, f, "utf8", s.utf8);
}

/* What the settings come to, defaults included. */
static void add_hub(struct sc_document *d, const struct sc_cli *c)
{
    const struct sc_hub_options o = {.token = c->set.token, .offline = c->set.offline};
    struct sc_hub_env env;
    struct sc_error e = {0};
    struct sc_field *f = sc_add_object(d, &d->root, "hub");
    const bool sound = sc_hub_env_read(&env, &o, &e) == 0;
    sc_add_textz(d, f, "endpoint", sound ? env.endpoint : NULL);
    sc_add_textz(d, f, "shared_cache", sound ? env.hf_cache : NULL);
    sc_add_textz(d, f, "cache", sound ? env.cache : NULL);
    sc_add_textz(d, f, "token_from", sound ? env.token_source : NULL);
    sc_add_textz(d, f, "offline_because", sound ? env.offline : NULL);
    sc_add_textz(d, f, "problem", sound ? NULL : e.text);
    if (sound)
        sc_hub_env_clear(&env);
}

/* What may be shown of a variable. An address may hold a password. */
static const char *shown(const char *name, bool secret)
{
    const char *value = getenv(name);
    return value && (secret || (strstr(value, "://") && strchr(value, '@'))) ? "(set)" : value;
}

static int run_env(struct sc_cli *c)
{
    struct sc_document d;

    sc_document_start(&d, "scruple.env/1");
    struct sc_field *build = sc_add_object(&d, &d.root, "build");
    sc_add_textz(&d, build, "compiler", compiler);
    struct sc_field *versions = sc_add_object(&d, build, "libraries");
    for (size_t i = 0; i < SC_COUNT(libraries); i++)
        sc_add_textz(&d, versions, libraries[i].name, libraries[i].version());
    add_machine(&d);
    add_terminal(&d);
    add_hub(&d, c);
    struct sc_field *variables = sc_add_object(&d, &d.root, "environment");
    const struct sc_hub_variable *v;
    for (size_t i = 0; (v = sc_variable(i)); i++)
        sc_add_textz(&d, variables, v->name, shown(v->name, v->secret));
    if (c->set.json) {
        sc_report_json(&c->out, &d);
    } else if (d.failed) {
        c->out.status = SCRUPLE_EMEMORY;
    } else {
        sc_out_puts(&c->out, "scruple ");
        sc_out_puts(&c->out, scruple_version());
        sc_out_putc(&c->out, '\n');
        for (const struct sc_field *f = d.root.as.children.first; f; f = f->next) {
            if (f->kind != SC_FIELD_OBJECT)
                continue;
            sc_out_safe(&c->out, &c->term, SC_COLOUR_MODULE, f->key);
            sc_out_putc(&c->out, '\n');
            sc_report_fields(&c->out, f, &c->term);
        }
    }
    sc_document_clear(&d);
    return SC_EXIT_OK;
}

const struct sc_command sc_cmd_env = {
    .name = "env",
    .summary = "show versions, the machine and the environment, for a bug report",
    .usage = "",
    .description = "Prints what the program was built with and what it sees of the machine. "
                   "Environment variables are listed only if scruple reads them.",
    .groups = SC_GROUP_OUTPUT | SC_GROUP_COMMON,
    .complete = SC_COMPLETE_NOTHING,
    .examples = env_examples,
    .run = run_env,
};
