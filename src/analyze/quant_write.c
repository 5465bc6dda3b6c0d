/* SPDX-License-Identifier: Apache-2.0 */
/* quant_write: quantised values as safetensors.
 *
 *   what was measured   as the format, or the mix, keeps it, under its logical name
 *   the rest            byte for byte; where safetensors cannot hold the bytes (blocks of GGUF,
 *                       strided views), as values
 *
 * A logical tensor that is stored in parts (codes and scales) becomes plain when it is written
 * anew. One model holds only one kind: then all such tensors become plain, and the configuration
 * loses its "quantization_config".
 *
 * The type is that of the stored tensor when it holds all values exactly, else BF16, else F32: that
 * is found out by reading once more, unless the formats tell.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quant.h"
#include "format/safetensors_write.h"
#include "hub/cache.h"

enum { STEP = 1 << 18 };     /* values at a time */
enum { RAW_STEP = 1 << 20 }; /* bytes */

enum action {
    ACTION_ROUND,  /* a measured tensor */
    ACTION_VALUES, /* as it is, as plain values */
    ACTION_COPY,   /* an entry, byte for byte */
};
enum type { TYPE_F64, TYPE_F32, TYPE_F16, TYPE_BF16, TYPE_I64, TYPE_OTHER };
static const struct {
    const char *name;
    size_t bytes;
} types[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"", 1}};

struct job {
    uint8_t action, type;
    uint32_t tensor; /* of the model */
    uint32_t entry;  /* ACTION_COPY */
    size_t measured; /* ACTION_ROUND: position in the run */
};
struct writing {
    const struct sc_quant *q;
    const struct sc_quant_writing *w;
    struct sc_st_item *items;
    struct job *jobs;
    size_t n;
    bool flatten;
    uint64_t done, total;
    struct sc_st_writer *out;
    struct sc_recipe recipe; /* the format, if it is one */
    double *wide;            /* (STEP) */
    float *values;           /* (STEP) */
    uint8_t *stored;         /* (STEP * 8) */
    struct sc_error *e;
};

static bool cancelled(const struct writing *x)
{
    return x->w->cancel && *x->w->cancel;
}

static int go_on(struct writing *x, uint64_t bytes, const char *name)
{
    x->done = sc_add_up(x->done, bytes);
    if (cancelled(x))
        return sc_fail(x->e, SCRUPLE_EINTERRUPTED, "interrupted");
    if (x->w->progress)
        x->w->progress(x->w->ctx, x->done, x->total, name);
    return 0;
}

/* --------------------------------------------------------------------------------- values --- */
static const struct sc_encoding *format_of(const struct sc_quant *q)
{
    /* The transposed one follows the plain one. */
    return sc_quant_mixes(q->plan) ? NULL : &q->measured.f[q->measured.n - 1];
}

int sc_quant_may_write(const struct sc_quant_plan *p, struct sc_error *e)
{
    if (sc_quant_mixes(p) || p->formats.n == 1)
        return 0;
    return sc_fail(e, SCRUPLE_EUSAGE,
                   "--write needs to know which format: name one with --format, or an algorithm "
                   "that mixes (%zu formats are tried)",
                   p->formats.n);
}

/* What the job's values are read from; *base is closed after it. */
static int open_view(struct writing *x, const struct job *j, struct sc_values **base,
                     struct sc_values **out)
{
    *base = *out = NULL;
    TRY(sc_values_open(x->q->model, j->tensor, base, x->e));
    if (j->action != ACTION_ROUND)
        return 0;
    const struct sc_quant_tensor *t = sc_quant_first(x->q, j->measured);
    const struct sc_encoding *f = format_of(x->q);
    if (f && sc_quant_is_recipe(f)) {
        TRY(sc_recipe_parse(sc_strz(f->name), &x->recipe, x->e));
        const struct sc_recipe_use use = {&x->recipe, x->w->held, x->w->p, x->w->cancel, 2};
        return sc_values_open_quantised(*base, j->tensor, &use, NULL, x->w->memory / 2, out, x->e);
    }
    return sc_values_open_rounded(*base, format_of(x->q), t->geometry, t->assignment, x->w->p, out,
                                  x->e);
}

static void close_view(struct sc_values *base, struct sc_values *v)
{
    sc_values_close(v);
    sc_values_close(base);
}

static bool holds(uint8_t type, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    if (type == TYPE_BF16)
        return (bits & 0xffff) == 0 || isnan(v);
    if (type == TYPE_F16)
        return isnan(v) || sc_f16_value((uint16_t)sc_element_encode(SC_ELEMENT_F16, v, false)) == v;
    return true;
}

/* Few enough bits for BF16, whatever the values. */
static bool is_bf16(const struct sc_encoding *f)
{
    return f->scheme == SC_SCHEME_ZERO || f->scheme == SC_SCHEME_BFP ||
           (f->scheme == SC_SCHEME_CAST && f->element != SC_ELEMENT_F32 &&
            f->element != SC_ELEMENT_F16);
}

static bool surely_bf16(const struct writing *x, const struct job *j)
{
    const struct sc_quant_tensor *t = sc_quant_first(x->q, j->measured);
    const struct sc_encoding *f = format_of(x->q);
    bool all = j->action == ACTION_ROUND;

    if (all && f)
        return is_bf16(f);
    for (size_t i = 0; all && i < t->geometry->n_formats; i++)
        all = is_bf16(&t->geometry->formats[i]);
    return all && t->totals.left == 0;
}

/* Whether all values of a job fit its type. */
static int all_fit(struct writing *x, const struct job *j, bool *fit)
{
    struct sc_values *base, *v;
    int code = open_view(x, j, &base, &v);
    struct sc_values *from = v ? v : base;

    if (code >= 0 && from->count != x->q->model->tensors[j->tensor].parameters)
        code = sc_fail(x->e, SCRUPLE_EUNSUPPORTED,
                       "tensor \"%s\" cannot be written: it has more values than elements",
                       x->q->model->tensors[j->tensor].name);
    *fit = true;
    for (uint64_t at = 0; code >= 0 && *fit && at < from->count; at += STEP) {
        const uint64_t n = SC_MIN(from->count - at, (uint64_t)STEP);
        code = sc_values_read(from, at, n, x->values, x->e);
        for (uint64_t i = 0; code >= 0 && i < n && *fit; i++)
            *fit = holds(j->type, x->values[i]);
        if (code >= 0)
            code = go_on(x, 0, x->q->model->tensors[j->tensor].name);
    }
    close_view(base, v);
    return code;
}

/* ----------------------------------------------------------------------------------- plan --- */
static const struct sc_entry *main_of(const struct sc_model *m, const struct sc_tensor *t)
{
    return &m->catalog->entries[t->main];
}

/* Bytes that safetensors would hold as they are. */
static bool can_copy(const struct sc_model *m, const struct sc_entry *en)
{
    const sc_codec_id id = (sc_codec_id)en->dtype;

    return en->dtype < SC_FOREIGN_TYPE && id != SC_OPAQUE && en->view == SC_NO_STORAGE &&
           !(en->flags & (SC_ENTRY_BROKEN | SC_ENTRY_BIG_ENDIAN | SC_ENTRY_FORTRAN)) &&
           sc_codec_safetensors(sc_strz(sc_codec(id)->name)) == id &&
           m->catalog->files[en->file].bytes >= en->bytes;
}

static uint8_t stored_type(const struct sc_model *m, const struct sc_tensor *t)
{
    for (uint8_t i = 0; t->n_parts == 1 && i < TYPE_OTHER; i++)
        if (strcmp(t->dtype, types[i].name) == 0)
            return i;
    const struct sc_entry *stored = main_of(m, t);
    const uint32_t dtype = stored->dtype;
    const uint8_t kind =
        dtype < SC_FOREIGN_TYPE ? sc_codec((sc_codec_id)dtype)->kind : SC_KIND_FLOAT;
    const bool whole = kind == SC_KIND_INT || kind == SC_KIND_UINT || kind == SC_KIND_BOOL;
    return t->layout == SC_LAYOUT_PLAIN && whole ? TYPE_I64 : TYPE_OTHER;
}

static int choose_type(struct writing *x, struct job *j)
{
    const uint8_t was = stored_type(x->q->model, &x->q->model->tensors[j->tensor]);
    bool fit = false;

    j->type = was == TYPE_OTHER ? TYPE_BF16 : was;
    if (j->type == TYPE_F32 || j->type == TYPE_F64 || j->type == TYPE_I64 ||
        (j->action == ACTION_VALUES && was != TYPE_OTHER) ||
        (j->type == TYPE_BF16 && surely_bf16(x, j)))
        return 0;
    TRY(all_fit(x, j, &fit));
    j->type = fit ? j->type : TYPE_F32;
    return 0;
}

static int add_job(struct writing *x, struct job j)
{
    const struct sc_model *m = x->q->model;
    const struct sc_tensor *t = &m->tensors[j.tensor];
    struct sc_st_item *item = &x->items[x->n];

    if (j.action == ACTION_COPY) {
        const struct sc_entry *en = &m->catalog->entries[j.entry];
        *item = (struct sc_st_item){.name = sc_str(en->name, en->name_len),
                                    .dtype = sc_codec((sc_codec_id)en->dtype)->name,
                                    .shape = en->shape,
                                    .rank = en->rank,
                                    .bytes = en->bytes};
        j.type = TYPE_OTHER;
    } else {
        TRY(choose_type(x, &j));
        *item = (struct sc_st_item){.name = sc_tensor_name(t),
                                    .dtype = types[j.type].name,
                                    .shape = t->shape,
                                    .rank = t->rank};
        uint64_t count;
        if (!sc_product(t->shape, t->rank, &count) ||
            !sc_mul(count, types[j.type].bytes, &item->bytes))
            return sc_fail(x->e, SCRUPLE_ELIMIT, "tensor \"%s\" is too large", t->name);
    }
    x->total = sc_add_up(x->total, item->bytes);
    x->jobs[x->n++] = j;
    return 0;
}

/* A tensor that was not measured. */
static int add_other(struct writing *x, uint32_t tensor)
{
    const struct sc_model *m = x->q->model;
    const struct sc_tensor *t = &m->tensors[tensor];
    bool copy = !(x->flatten && t->n_parts > 1);

    for (size_t k = 0; copy && k < t->n_parts; k++)
        copy = can_copy(m, &m->catalog->entries[m->parts[t->first_part + k].entry]);
    if (!copy)
        return add_job(x, (struct job){.action = ACTION_VALUES, .tensor = tensor});
    for (size_t k = 0; k < t->n_parts; k++)
        TRY(add_job(x, (struct job){.action = ACTION_COPY,
                                    .tensor = tensor,
                                    .entry = m->parts[t->first_part + k].entry}));
    return 0;
}

/* Measured, and of a shape that the format can hold. */
static bool is_rounded(const struct sc_quant *q, size_t i)
{
    struct sc_quant_row row;

    return sc_quant_row_at(q, i, q->n_rows - 1, &row) && row.cost->bytes != UINT64_MAX &&
           sc_quant_first(q, i)->facts.values == q->model->tensors[q->tensors[i].tensor].parameters;
}

static int plan_jobs(struct writing *x)
{
    const struct sc_quant *q = x->q;
    const struct sc_model *m = q->model;
    const size_t most = SC_MAX(m->n_parts + m->n_tensors, (size_t)1);
    size_t next = 0;

    x->items = sc_calloc(most, sizeof *x->items);
    x->jobs = sc_calloc(most, sizeof *x->jobs);
    if (!x->items || !x->jobs)
        return sc_fail_memory(x->e);
    for (size_t i = 0; i < q->n; i++)
        x->flatten = x->flatten || (x->w->folder && is_rounded(q, i) &&
                                    m->tensors[q->tensors[i].tensor].n_parts > 1);
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const bool listed = next < q->n && q->tensors[next].tensor == i;
        if (listed && is_rounded(q, next))
            TRY(add_job(x, (struct job){.action = ACTION_ROUND, .tensor = i, .measured = next}));
        else if (x->w->folder)
            TRY(add_other(x, i));
        next += listed;
    }
    return x->n ? 0
                : sc_fail(x->e, SCRUPLE_EUSAGE, "there is nothing to write: nothing was measured");
}

/* Wide elements first, so that all stand at multiples of their size; else as the model has them. */
static int sort_jobs(struct writing *x)
{
    struct sc_st_item *items = sc_alloc(x->n * sizeof *items);
    struct job *jobs = sc_alloc(x->n * sizeof *jobs);
    size_t n = 0;

    if (!items || !jobs) {
        free(items);
        free(jobs);
        return sc_fail_memory(x->e);
    }
    for (unsigned wide = 16; wide; wide /= 2)
        for (size_t i = 0; i < x->n; i++) {
            const sc_codec_id id = sc_codec_safetensors(sc_strz(x->items[i].dtype));
            const unsigned bytes = sc_codec(id)->block == 1 ? sc_codec(id)->bytes : 1;
            if (bytes != wide &&
                !(wide == 1 && bytes != 2 && bytes != 4 && bytes != 8 && bytes != 16))
                continue;
            items[n] = x->items[i];
            jobs[n++] = x->jobs[i];
        }
    free(x->items);
    free(x->jobs);
    x->items = items;
    x->jobs = jobs;
    return 0;
}

/* ---------------------------------------------------------------------------------- write --- */
static void put_floats(const struct writing *x, uint8_t type, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        const float v = x->values[i];
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        if (type == TYPE_F32)
            sc_put_le(x->stored + 4 * i, bits, 4);
        else if (type == TYPE_BF16)
            sc_put_le(x->stored + 2 * i, bits >> 16 | (isnan(v) ? 0x40u : 0), 2);
        else
            sc_put_le(x->stored + 2 * i, sc_element_encode(SC_ELEMENT_F16, v, false), 2);
    }
}

static int put_doubles(const struct writing *x, uint8_t type, uint64_t n, const char *name)
{
    for (uint64_t i = 0; i < n; i++) {
        const double v = x->wide[i];
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        if (type == TYPE_I64) {
            if (!(fabs(v) <= 0x1p53))
                return sc_fail(x->e, SCRUPLE_EUNSUPPORTED,
                               "tensor \"%s\" holds whole numbers above 2^53 in a form that cannot "
                               "be copied",
                               name);
            bits = (uint64_t)(int64_t)v;
        }
        sc_put_le(x->stored + 8 * i, bits, 8);
    }
    return 0;
}

static int write_values(struct writing *x, const struct job *j)
{
    const char *name = x->q->model->tensors[j->tensor].name;
    const bool wide = j->type == TYPE_F64 || j->type == TYPE_I64;
    struct sc_values *base, *v;
    int code = open_view(x, j, &base, &v);
    struct sc_values *from = v ? v : base;

    for (uint64_t at = 0; code >= 0 && at < from->count; at += STEP) {
        const uint64_t n = SC_MIN(from->count - at, (uint64_t)STEP);
        code = wide ? sc_values_read64(from, at, n, x->wide, x->e)
                    : sc_values_read(from, at, n, x->values, x->e);
        if (code >= 0 && wide)
            code = put_doubles(x, j->type, n, name);
        else if (code >= 0)
            put_floats(x, j->type, n);
        const size_t bytes = (size_t)n * types[j->type].bytes;
        if (code >= 0)
            code = sc_st_put(x->out, x->stored, bytes, x->e);
        if (code >= 0)
            code = go_on(x, bytes, name);
    }
    close_view(base, v);
    return code;
}

static int write_copy(struct writing *x, const struct job *j)
{
    const struct sc_model *m = x->q->model;
    const struct sc_entry *en = &m->catalog->entries[j->entry];
    struct sc_source *s = NULL;
    int code = sc_model_source(m, en->file, &s, x->e);

    if (code < 0)
        return code;
    for (uint64_t at = 0; code >= 0 && at < en->bytes; at += RAW_STEP) {
        const size_t n = (size_t)SC_MIN(en->bytes - at, (uint64_t)RAW_STEP);
        code = sc_source_read(s, en->offset + at, x->stored, n, x->e);
        if (code >= 0)
            code = sc_st_put(x->out, x->stored, n, x->e);
        if (code >= 0)
            code = go_on(x, n, en->name);
    }
    sc_model_release(m, en->file);
    return code;
}

/* ------------------------------------------------------------------------------ neighbours --- */
static int fail_file(struct writing *x, const char *path)
{
    struct sc_quoted q;

    return sc_fail(x->e, SCRUPLE_EWRITE, "%s: cannot be written: %s", sc_quote(&q, sc_strz(path)),
                   strerror(errno));
}

/* The weights are plain now. */
static int write_config(struct writing *x, const char *path, const char *text, size_t n)
{
    json_error_t at;
    json_t *root = json_loadb(text, n, 0, &at);
    int code = 0;

    if (json_is_object(root) && json_object_del(root, "quantization_config") == 0) {
        char *plain = json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        if (!plain)
            code = sc_fail_memory(x->e);
        else if (!sc_write_file(path, plain, strlen(plain), 0666))
            code = fail_file(x, path);
        else if (x->w->note)
            x->w->note(x->w->ctx, "config.json is written without its quantization_config: the "
                                  "weights are plain now");
        free(plain);
    } else if (!sc_write_file(path, text, n, 0666)) {
        code = fail_file(x, path);
    }
    json_decref(root);
    return code;
}

static int copy_neighbours(struct writing *x)
{
    struct sc_repo *repo = x->q->model->repo;
    int code = 0;

    for (size_t i = 0; repo && i < repo->n_files && code == 0; i++) {
        const char *name = repo->files[i].path;
        struct sc_buf path = {0};
        char *text = NULL;
        size_t n = 0;
        if (!sc_is_companion(sc_strz(name)))
            continue;
        code = sc_repo_read_text(repo, name, SC_MAX_INDEX_BYTES, &text, &n, x->e);
        sc_buf_printf(&path, "%s/%s", sc_st_place(x->out), name);
        if (code >= 0 && path.failed)
            code = sc_fail_memory(x->e);
        else if (code >= 0 && x->flatten && strcmp(name, "config.json") == 0)
            code = write_config(x, path.p, text, n);
        else if (code >= 0 && !sc_write_file(path.p, text, n, 0666))
            code = fail_file(x, path.p);
        free(text);
        sc_buf_clear(&path);
    }
    return code;
}

/* -------------------------------------------------------------------------------- outside --- */
static int refuse(const struct writing *x)
{
    const struct sc_catalog *c = x->q->model->catalog;

    for (size_t i = 0; i < c->n_files && x->w->folder; i++)
        if (c->files[i].component[0])
            return sc_fail(x->e, SCRUPLE_EUNSUPPORTED,
                           "a pipeline of components cannot be written as one folder: name a "
                           "component, or a file that ends in .safetensors");
    return 0;
}

static int write_all(struct writing *x)
{
    TRY(refuse(x));
    x->wide = sc_alloc(STEP * sizeof *x->wide);
    x->values = sc_alloc(STEP * sizeof *x->values);
    x->stored = sc_alloc((size_t)STEP * 8);
    if (!x->wide || !x->values || !x->stored)
        return sc_fail_memory(x->e);
    TRY(plan_jobs(x));
    TRY(sort_jobs(x));
    TRY(sc_st_create(x->w->path, x->w->folder, x->items, x->n, x->w->shard, &x->out, x->e));
    if (x->w->place && !x->w->folder)
        x->w->place(x->w->ctx, sc_st_place(x->out));
    if (x->w->folder)
        TRY(copy_neighbours(x));
    for (size_t i = 0; i < x->n; i++)
        TRY(x->jobs[i].action == ACTION_COPY ? write_copy(x, &x->jobs[i])
                                             : write_values(x, &x->jobs[i]));
    struct sc_st_writer *out = x->out;
    x->out = NULL;
    return sc_st_finish(out, x->e);
}

int sc_quant_write(const struct sc_quant *q, const struct sc_quant_writing *w, struct sc_error *e)
{
    struct sc_error own = {0};
    struct writing x = {.q = q, .w = w, .e = e ? e : &own};
    const int code = write_all(&x);

    sc_st_drop(x.out);
    if (w->place)
        w->place(w->ctx, NULL);
    free(x.items);
    free(x.jobs);
    free(x.wide);
    free(x.values);
    free(x.stored);
    return code;
}
