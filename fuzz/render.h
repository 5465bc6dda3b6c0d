/* SPDX-License-Identifier: Apache-2.0 */
/* render: models and what is printed of them; for the targets that open whole models.
 *
 * Owns: the invariants of struct sc_model and sc_outline, and those of rendered text: JSON that a
 * strict reader takes, terminal output that holds nothing but text and our own colours, CSV whose
 * rows all have the same number of fields. */
#ifndef SC_FUZZ_RENDER_H
#define SC_FUZZ_RENDER_H

#include <jansson.h>

#include "analyze/analyze.h"
#include "report/report.h"

#include "fuzz.h"

/* ---------------------------------------------------------------------------------- model --- */
static inline void fuzz_check_tree(const struct sc_model *m)
{
    size_t tensors = 0, children = 0;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct sc_node *node = &m->nodes[i];
        FUZZ_CHECK(i == 0 || node->parent < i);
        FUZZ_CHECK(node->tensor == SC_NO_NODE || node->tensor < m->n_tensors);
        tensors += node->tensor != SC_NO_NODE;
        uint32_t n = 0;
        for (uint32_t c = node->first_child; c != SC_NO_NODE; c = m->nodes[c].next) {
            FUZZ_CHECK(c > i && c < m->n_nodes && m->nodes[c].parent == i);
            const struct sc_node *x = &m->nodes[c];
            const struct sc_node *y = x->next == SC_NO_NODE ? x : &m->nodes[x->next];
            FUZZ_CHECK(sc_natural_cmp(sc_str(x->label, x->label_len),
                                      sc_str(y->label, y->label_len)) <= 0);
            n++;
        }
        FUZZ_CHECK(n == node->n_children);
        children += n;
    }
    FUZZ_CHECK(tensors == m->n_tensors && children + 1 == m->n_nodes);
}

/* Every entry is part of exactly one tensor, so the bytes of the rows are those of the files. */
static inline void fuzz_check_parts(const struct sc_model *m)
{
    const struct sc_catalog *c = m->catalog;
    uint8_t *seen = fuzz_alloc(c->n_entries);

    memset(seen, 0, c->n_entries);
    FUZZ_CHECK(m->n_parts == c->n_entries);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        uint64_t bytes = 0, product;
        FUZZ_CHECK(t->name && t->name[t->name_len] == '\0' && t->dtype);
        FUZZ_CHECK(t->layout < SC_LAYOUT_COUNT && t->role < SC_ROLE_COUNT);
        FUZZ_CHECK(t->tower < SC_TOWER_COUNT && t->layer >= -1 && t->expert >= -1);
        FUZZ_CHECK(t->n_parts > 0 && t->first_part < m->n_parts);
        FUZZ_CHECK(t->n_parts <= m->n_parts - t->first_part);
        FUZZ_CHECK(m->parts[t->first_part].entry == t->main);
        FUZZ_CHECK(m->parts[t->first_part].part == SC_PART_WEIGHT);
        for (size_t k = 0; k < t->n_parts; k++) {
            const struct sc_tensor_part *part = &m->parts[t->first_part + k];
            FUZZ_CHECK(part->entry < c->n_entries && !seen[part->entry]);
            FUZZ_CHECK(part->part <= SC_PART_OTHER);
            seen[part->entry] = 1;
            if (!sc_add(bytes, c->entries[part->entry].bytes, &bytes))
                bytes = UINT64_MAX;
        }
        FUZZ_CHECK(bytes == t->bytes);
        FUZZ_CHECK(t->rank <= SC_MAX_RANK && sc_product(t->shape, t->rank, &product));
        FUZZ_CHECK(product == t->parameters);
    }
    for (size_t i = 0; i < c->n_entries; i++)
        FUZZ_CHECK(seen[i]);
    free(seen);
}

static inline void fuzz_check_model(const struct sc_model *m)
{
    uint64_t rows = 0, files = 0;

    fuzz_check_catalog(m->catalog);
    fuzz_check_parts(m);
    fuzz_check_tree(m);
    for (size_t i = 0; i < m->n_tensors; i++)
        rows = sc_add_up(rows, m->tensors[i].bytes);
    for (size_t i = 0; i < m->catalog->n_files; i++) {
        const struct sc_file *f = &m->catalog->files[i];
        files = sc_add_up(files, f->tensor_bytes);
        if (!m->catalog->n_errors)
            FUZZ_CHECK(f->header_bytes + f->tensor_bytes + f->other_bytes == f->bytes);
    }
    FUZZ_CHECK(rows == files && rows == m->bytes);
}

/* A row stands for `count` tensors, or for what --depth closed: together all that matched. */
static inline void fuzz_check_outline(const struct sc_model *m, const struct sc_outline *o)
{
    uint64_t bytes = 0, parameters = 0, row;

    FUZZ_CHECK(o->n_matched <= m->n_tensors);
    for (size_t i = 0; i < o->n_rows; i++) {
        const struct sc_row *r = &o->rows[i];
        FUZZ_CHECK(r->label && r->count > 0);
        FUZZ_CHECK(r->tensor == SC_NO_NODE || r->tensor < m->n_tensors);
        if (r->tensor == SC_NO_NODE && !r->closed)
            continue;
        bytes = sc_add_up(bytes, sc_mul(r->bytes, r->count, &row) ? row : UINT64_MAX);
        parameters =
            sc_add_up(parameters, sc_mul(r->parameters, r->count, &row) ? row : UINT64_MAX);
    }
    if (m->bytes != UINT64_MAX)
        FUZZ_CHECK(bytes == o->matched_bytes);
    if (m->parameters != UINT64_MAX)
        FUZZ_CHECK(parameters == o->matched_parameters);
}

/* ----------------------------------------------------------------------------------- text --- */
static inline int fuzz_gather(void *ctx, const char *p, size_t n)
{
    struct sc_buf *b = ctx;
    sc_buf_put(b, p, n);
    return b->failed ? SCRUPLE_EMEMORY : 0;
}

static inline struct sc_str fuzz_finish(struct sc_out *o, struct sc_buf *text)
{
    FUZZ_CHECK(sc_out_finish(o) == 0);
    return sc_str(text->n ? text->p : "", text->n);
}

/* Strict JSON: jansson takes it whole, no key stands twice, the schema is named. Caller frees. */
static inline json_t *fuzz_check_json(const struct sc_document *d, const char *schema)
{
    struct sc_buf text = {0};
    struct sc_out out = {.write = fuzz_gather, .ctx = &text};
    struct sc_arena arena = {0};
    struct sc_json j;

    FUZZ_CHECK(!d->failed);
    sc_report_json(&out, d);
    const struct sc_str s = fuzz_finish(&out, &text);
    fuzz_check_safe(s, "\n");
    json_t *json = json_loadb(s.p, s.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    sc_json_start(&j, s.p, s.n, &arena);
    const bool ours = sc_json_skip(&j) && sc_json_end(&j);
    sc_arena_clear(&arena);
    FUZZ_CHECK(ours);
    /* Integers of 64 bits without sign are more than jansson holds. */
    if (json)
        FUZZ_CHECK(strcmp(json_string_value(json_object_get(json, "schema")), schema) == 0);
    sc_buf_clear(&text);
    return json;
}

/* "ESC [ digits ; digits m" is taken out; whatever control character is left is not ours. */
static inline void fuzz_check_terminal(struct sc_str s, const struct sc_term *t)
{
    char *plain = fuzz_alloc(s.n);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\033' || !t->colour) {
            FUZZ_CHECK(!t->ascii || (unsigned char)s.p[i] < 0x80);
            plain[n++] = s.p[i];
            continue;
        }
        FUZZ_CHECK(i + 2 < s.n && s.p[i + 1] == '[');
        for (i += 2; i < s.n && s.p[i] != 'm'; i++)
            FUZZ_CHECK(s.p[i] == ';' || (s.p[i] >= '0' && s.p[i] <= '9'));
        FUZZ_CHECK(i < s.n);
    }
    fuzz_check_safe(sc_str(plain, n), "\n");
    free(plain);
}

static inline void fuzz_check_csv(const struct sc_table *t)
{
    struct sc_buf text = {0};
    struct sc_out out = {.write = fuzz_gather, .ctx = &text};
    size_t fields = 0, first = 0, lines = 0;
    bool quoted = false;

    sc_report_csv(&out, t);
    const struct sc_str s = fuzz_finish(&out, &text);
    fuzz_check_safe(s, "\n");
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            quoted = !quoted;
        fields += s.p[i] == ',' && !quoted;
        if (s.p[i] != '\n')
            continue;
        FUZZ_CHECK(!quoted);
        first = lines++ ? first : fields;
        FUZZ_CHECK(fields == first);
        fields = 0;
    }
    FUZZ_CHECK(lines == t->n_rows + 1);
    sc_buf_clear(&text);
}

static inline void fuzz_check_table(const struct sc_table *t, const struct sc_term *term)
{
    struct sc_buf text = {0};
    struct sc_out out = {.write = fuzz_gather, .ctx = &text};

    sc_report_table(&out, t, term);
    fuzz_check_terminal(fuzz_finish(&out, &text), term);
    sc_buf_clear(&text);
}

static inline void fuzz_check_fields(const struct sc_field *object, const struct sc_term *term)
{
    struct sc_buf text = {0};
    struct sc_out out = {.write = fuzz_gather, .ctx = &text};

    sc_report_fields(&out, object, term);
    fuzz_check_terminal(fuzz_finish(&out, &text), term);
    sc_buf_clear(&text);
}

/* All that a command prints of a document: its tables and its objects of plain facts. */
static inline void fuzz_check_document(const struct sc_document *d, const char *schema,
                                       const struct sc_term *term)
{
    json_decref(fuzz_check_json(d, schema));
    for (const struct sc_field *f = d->root.as.children.first; f; f = f->next) {
        if (f->kind == SC_FIELD_TABLE) {
            fuzz_check_table(f->as.table, term);
            fuzz_check_csv(f->as.table);
        } else if (f->kind == SC_FIELD_OBJECT) {
            fuzz_check_fields(f, term);
        }
    }
}

#endif
