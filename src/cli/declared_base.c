/* SPDX-License-Identifier: Apache-2.0 */
/* declared_base: which model is meant, and where it is. */
#include "cli/declared_base.h"

#include <string.h>
#include <sys/stat.h>

/* The model that `m` says it was made from, and who says so; NULL: nobody does. Names from a file
 * are followed only where a user's would be a folder or a model on the Hub. */
static const char *base_of(const struct sc_model *m, const char **who)
{
    const char *name = m->adapter.base;

    *who = "adapter_config.json";
    if (!name && m->card.n_base_models) {
        name = m->card.base_model[0];
        *who = "README.md";
    }
    return name && name[0] != '-' && name[0] != '\0' && !strstr(name, "://") ? name : NULL;
}

/* A base that lies beside a local model, under the last part of its name. */
static int open_neighbour(const struct sc_model *m, const char *name,
                          const struct sc_open_options *o, struct sc_model **out)
{
    const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
    struct sc_buf path = {0};
    struct stat st;
    int code = SCRUPLE_ENOTFOUND;

    if (strcmp(m->origin, "local") != 0 || !*last || strcmp(last, "..") == 0 ||
        strcmp(last, ".") == 0)
        return code;
    size_t n = strlen(m->label);
    while (n > 1 && m->label[n - 1] == '/')
        n--;
    while (n > 0 && m->label[n - 1] != '/')
        n--;
    sc_buf_put(&path, m->label, n);
    sc_buf_puts(&path, last);
    sc_buf_putc(&path, '\0');
    if (!path.failed && stat(path.p, &st) == 0 && S_ISDIR(st.st_mode))
        code = sc_model_open(path.p, o, out, NULL);
    sc_buf_clear(&path);
    return code;
}

/* Neither on the command line nor in a file is there a second model. */
static int say_none(struct sc_cli *c, const struct sc_model *m, const struct sc_words *filters)
{
    const char *const command = c->set.changes ? "--diff" : c->command->name;
    struct sc_quoted q, word;

    if (!filters->n)
        return sc_wrong_use(c,
                            "%s needs two MODELs: neither a card nor a configuration of %s says "
                            "which model it was made from",
                            command, sc_quote(&q, sc_strz(m->label)));
    return sc_wrong_use(c,
                        "%s needs two MODELs, but \"%s\" is none: no file or folder here has that "
                        "name, and models of the Hub are org/name or hf://name. As a filter it "
                        "does not help either: neither a card nor a configuration of %s says which "
                        "model it was made from",
                        command, sc_quote(&word, sc_strz(filters->p[0])),
                        sc_quote(&q, sc_strz(m->label)));
}

int sc_declared_base_open(struct sc_cli *c, const struct sc_model *m, bool is_adapter,
                          const struct sc_words *filters, struct sc_declared_base *out)
{
    struct sc_open_options o = sc_cli_open_options(c);
    struct sc_error e = {0};
    struct sc_quoted q;
    const char *who, *name = base_of(m, &who), *relation = m->card.base_model_relation;

    *out = (struct sc_declared_base){0};
    if (is_adapter && (c->set.no_base || !name))
        return 0;
    if (!name)
        return say_none(c, m, filters);
    o.keep_repo = true;
    int code = open_neighbour(m, name, &o, &out->model);
    if (code < 0)
        code = sc_model_open(name, &o, &out->model, &e);
    if (code < 0 && (!is_adapter || code == SCRUPLE_EINTERRUPTED || code == SCRUPLE_EMEMORY)) {
        sc_error_prefix(&e, "the base model %s, which %s names", sc_quote(&q, sc_strz(name)), who);
        return sc_fail_exit(c, &e);
    }
    if (code < 0) {
        if (!c->set.quiet)
            sc_say(c, "note",
                   "the base model %s, which %s names, cannot be opened: the adapter "
                   "stands by itself",
                   sc_quote(&q, sc_strz(name)), who);
        return 0;
    }
    if (!c->set.quiet)
        sc_say(c, "note", "comparing with %s, which %s names as the base",
               sc_quote(&q, sc_strz(name)), who);
    out->name = name;
    out->finetune = !is_adapter && (!relation || strcmp(relation, "finetune") == 0);
    return 0;
}
