/* SPDX-License-Identifier: Apache-2.0 */
/* facts_card: the YAML front matter of README.md, the part of a model card that machines read.
 *
 *     ---
 *     license: apache-2.0           one word
 *     base_model: [a/b, c/d]        one or a list
 *     language: [en, de]            one or a list; also tags
 *     ---
 *
 * libyaml reports events and nothing is built from them, so anchors cost nothing and an alias,
 * which no card needs, ends the reading. Nested values are passed over. */
#include "model/facts.h"

#include <string.h>
#include <yaml.h>

enum { MAX_CARD = 1 << 20, MAX_DEPTH = 32, MAX_EVENTS = 100000 };

/* The front matter within the text. false: there is none (a rule of dashes begins none). */
static bool front_matter(const struct sc_text *t, struct sc_str *out)
{
    const char *end = t->p + t->n, *p = t->p;
    if (t->n < 4 || memcmp(p, "---", 3) != 0)
        return false;
    p += 3;
    while (p < end && (*p == ' ' || *p == '\r'))
        p++;
    if (p == end || *p++ != '\n')
        return false;
    const char *first = p;
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (end - p >= 3 && memcmp(p, "---", 3) == 0) {
            *out = sc_str(first, (size_t)(p - first));
            return true;
        }
        if (!nl)
            break;
        p = nl + 1;
    }
    return false;
}

struct card {
    struct sc_model *m;
    struct sc_buf languages, tags;
    struct sc_str key; /* in the arena; of the value that comes next */
    unsigned depth;    /* open mappings and lists */
    bool value, list;  /* the next scalar at depth 1 is a value; depth 2 is a list of values */
    const char *why;   /* set when the card cannot be used */
};

static void append(struct sc_buf *b, struct sc_str s)
{
    if (b->n > 0)
        sc_buf_puts(b, ", ");
    sc_buf_put(b, s.p, s.n);
}

static int keep_first(struct card *c, const char **out, struct sc_str s, struct sc_error *e)
{
    if (*out || s.n == 0)
        return 0;
    *out = sc_arena_copy(&c->m->arena, s.p, s.n);
    return *out ? 0 : sc_fail_memory(e);
}

/* One value of c->key: the only one, or one of a list. */
static int take(struct card *c, struct sc_str s, struct sc_error *e)
{
    struct sc_card_facts *f = &c->m->card;
    const struct {
        const char *key;
        const char **out;
    } words[] = {
        {"license", &f->license},
        {"license_name", &f->license_name},
        {"base_model_relation", &f->base_model_relation},
        {"pipeline_tag", &f->pipeline},
        {"library_name", &f->library},
    };
    for (size_t i = 0; i < SC_COUNT(words); i++)
        if (sc_str_is(c->key, words[i].key))
            return keep_first(c, words[i].out, s, e);
    if (sc_str_is(c->key, "language"))
        append(&c->languages, s);
    else if (sc_str_is(c->key, "tags"))
        append(&c->tags, s);
    else if (sc_str_is(c->key, "base_model") && f->n_base_models < SC_COUNT(f->base_model)) {
        TRY(keep_first(c, &f->base_model[f->n_base_models], s, e));
        f->n_base_models += f->base_model[f->n_base_models] != NULL;
    }
    return c->languages.failed || c->tags.failed ? sc_fail_memory(e) : 0;
}

static int on_scalar(struct card *c, const yaml_event_t *event, struct sc_error *e)
{
    const struct sc_str s =
        sc_str((const char *)event->data.scalar.value, event->data.scalar.length);
    if (c->depth == 0) {
        c->why = "the front matter is no mapping";
    } else if (c->depth == 1 && !c->value) {
        c->key.n = s.n;
        c->key.p = sc_arena_copy(&c->m->arena, s.p, s.n);
        if (!c->key.p)
            return sc_fail_memory(e);
        c->value = true;
    } else {
        const bool known = c->depth == 1 || (c->depth == 2 && c->list);
        if (c->depth == 1)
            c->value = false;
        /* A tilde or nothing is null. */
        if (known && s.n > 0 && !sc_str_is(s, "~") && !sc_str_is(s, "null"))
            return take(c, s, e);
    }
    return 0;
}

static void on_open(struct card *c, bool list)
{
    if (c->depth == 0 && list)
        c->why = "the front matter is no mapping";
    else if (c->depth == 1 && !c->value)
        c->why = "a key of the front matter is no word";
    else if (c->depth == MAX_DEPTH)
        c->why = "the front matter is nested too deeply";
    if (c->depth == 1)
        c->list = list;
    c->depth++;
}

static void on_close(struct card *c)
{
    c->depth--;
    if (c->depth == 1)
        c->value = false;
}

/* Negative: an error; else c->why tells whether it went well. */
static int on_event(struct card *c, const yaml_event_t *event, struct sc_error *e)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(c, event, e);
    case YAML_SEQUENCE_START_EVENT:
        on_open(c, true);
        break;
    case YAML_MAPPING_START_EVENT:
        on_open(c, false);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_close(c);
        break;
    case YAML_ALIAS_EVENT:
        c->why = "the front matter has an alias (*name)";
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return 0;
}

static int parse(struct card *c, struct sc_str text, struct sc_error *e)
{
    yaml_parser_t parser;
    yaml_event_t event;
    int code = 0;
    bool last = false;
    if (!yaml_parser_initialize(&parser))
        return sc_fail_memory(e);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    for (unsigned n = 0; !last && code == 0 && !c->why; n++) {
        if (!yaml_parser_parse(&parser, &event)) {
            if (parser.error == YAML_MEMORY_ERROR)
                code = sc_fail_memory(e);
            c->why = parser.problem ? parser.problem : "the front matter is no YAML";
            break;
        }
        last = event.type == YAML_STREAM_END_EVENT || event.type == YAML_DOCUMENT_END_EVENT;
        code = on_event(c, &event, e);
        yaml_event_delete(&event);
        if (n == MAX_EVENTS)
            c->why = "the front matter is too long";
    }
    yaml_parser_delete(&parser);
    return code;
}

static int keep_list(struct card *c, const struct sc_buf *b, const char **out, struct sc_error *e)
{
    return b->n > 0 ? keep_first(c, out, sc_str(b->p, b->n), e) : 0;
}

int sc_facts_card(struct sc_model *m, struct sc_repo *repo, struct sc_error *e)
{
    struct sc_text text;
    struct sc_str yaml;
    struct card c = {.m = m};
    int code = sc_text_open(m, repo, "README.md", MAX_CARD, false, &text, e);
    if (code <= 0)
        goto done;
    code = front_matter(&text, &yaml) ? parse(&c, yaml, e) : 0;
    if (code == 0 && c.why) {
        m->card = (struct sc_card_facts){.license = NULL};
        code = sc_facts_ignore(m, "README.md", c.why, e);
        goto done;
    }
    if (code == 0)
        code = keep_list(&c, &c.languages, &m->card.languages, e);
    if (code == 0)
        code = keep_list(&c, &c.tags, &m->card.tags, e);
done:
    sc_buf_clear(&c.languages);
    sc_buf_clear(&c.tags);
    sc_text_clear(&text);
    return code;
}
