/* SPDX-License-Identifier: Apache-2.0 */
/* keys: settings of a model, whatever its container calls them.
 *
 * A setting that is there and cannot be understood is refused: a forward pass with a guess in it
 * would give numbers that look right. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forward/engine.h"
#include "model/config.h"

#define MAX_CONFIG ((uint64_t)16 << 20)

void sc_keys_refuse(struct sc_keys *k, const char *fmt, ...)
{
    char text[256];
    va_list args;

    if (k->code < 0)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    k->code = sc_fail(k->e, SCRUPLE_EUNSUPPORTED, "this model cannot be run: %s", text);
}

static const struct sc_value *meta_of(const struct sc_model *m, struct sc_str arch, const char *key)
{
    const struct sc_catalog *c = m->catalog;
    const size_t n = strlen(key);

    for (size_t i = 0; i < c->n_metas; i++) {
        const struct sc_str name = c->metas[i].key;
        if (!arch.n && sc_str_is(name, key))
            return &c->metas[i].value;
        if (arch.n && name.n == arch.n + 1 + n && memcmp(name.p, arch.p, arch.n) == 0 &&
            name.p[arch.n] == '.' && memcmp(name.p + arch.n + 1, key, n) == 0)
            return &c->metas[i].value;
    }
    return NULL;
}

int sc_keys_open(const struct sc_model *m, struct sc_keys *k, struct sc_error *e)
{
    char *text = NULL;
    size_t n = 0;
    json_error_t at;

    *k = (struct sc_keys){.m = m, .e = e};
    const struct sc_value *arch = meta_of(m, sc_str(NULL, 0), "general.architecture");
    if (arch && arch->kind == SC_VALUE_STRING) {
        k->arch = arch->as.s;
        return 0;
    }
    if (!m->repo)
        return sc_fail(e, SCRUPLE_EUSAGE, "the model was not opened for reading values");
    int code = sc_repo_read_text(m->repo, "config.json", MAX_CONFIG, &text, &n, e);
    if (code == SCRUPLE_ENOTFOUND)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED,
                       "this model cannot be run: there is no config.json that says how");
    TRY(code);
    code = sc_config_parse(text, n, &k->root, &at);
    free(text);
    if (code < 0)
        return sc_fail_memory(e);
    if (!json_is_object(k->root)) {
        sc_keys_close(k);
        return sc_fail(e, SCRUPLE_EFORMAT, "config.json: %s",
                       code ? "the JSON is no object" : at.text);
    }
    const json_t *inner = json_object_get(k->root, "text_config");
    k->text = json_is_object(inner) ? inner : k->root;
    return 0;
}

void sc_keys_close(struct sc_keys *k)
{
    json_decref(k->root);
    k->root = NULL;
    k->text = NULL;
}

/* ----------------------------------------------------------------------------- config.json --- */

/* "a.b" of an object. */
static const json_t *dig(const json_t *object, const char *path, size_t n)
{
    while (object) {
        const char *dot = memchr(path, '.', n);
        const size_t part = dot ? (size_t)(dot - path) : n;
        object = json_object_getn(object, path, part);
        if (!dot)
            return json_is_null(object) ? NULL : object;
        path += part + 1;
        n -= part + 1;
    }
    return NULL;
}

/* The first of several names that has a value. */
static const json_t *find(const struct sc_keys *k, const char *names)
{
    while (names && *names) {
        const size_t n = strcspn(names, " ");
        const json_t *v = dig(k->text, names, n);
        if (!v)
            v = dig(k->root, names, n);
        if (v)
            return v;
        names += n + (names[n] == ' ');
    }
    return NULL;
}

static const struct sc_value *gguf_value(const struct sc_keys *k, const char *name)
{
    return name && k->arch.n ? meta_of(k->m, k->arch, name) : NULL;
}

struct sc_key_name sc_key_called(const struct sc_keys *k, const char *hf, const char *gguf)
{
    const char *name = k->root ? hf : gguf;
    struct sc_key_name out = {""};

    if (name)
        snprintf(out.s, sizeof out.s, "%.*s", (int)strcspn(name, " "), name);
    return out;
}

static void wrong(struct sc_keys *k, const char *hf, const char *gguf, const char *wanted)
{
    sc_keys_refuse(k, "its setting %s is not %s", sc_key_called(k, hf, gguf).s, wanted);
}

bool sc_key_real(struct sc_keys *k, const char *hf, const char *gguf, double *out)
{
    const struct sc_value *v = gguf_value(k, gguf);
    const json_t *j = find(k, hf);
    double x;

    if (v && v->kind == SC_VALUE_FLOAT)
        x = v->as.f;
    else if (v && v->kind == SC_VALUE_UINT)
        x = (double)v->as.u;
    else if (v && v->kind == SC_VALUE_INT)
        x = (double)v->as.i;
    else if (json_is_number(j))
        x = json_number_value(j);
    else {
        if (v || j)
            wrong(k, hf, gguf, "a number");
        return false;
    }
    if (!isfinite(x)) {
        wrong(k, hf, gguf, "finite");
        return false;
    }
    *out = x;
    return true;
}

bool sc_key_uint(struct sc_keys *k, const char *hf, const char *gguf, uint64_t *out)
{
    double x;

    if (!sc_key_real(k, hf, gguf, &x))
        return false;
    if (x < 0 || x > 9007199254740992.0 || x != floor(x)) {
        wrong(k, hf, gguf, "a whole number");
        return false;
    }
    *out = (uint64_t)x;
    return true;
}

bool sc_key_bool(struct sc_keys *k, const char *hf, const char *gguf, bool *out)
{
    const struct sc_value *v = gguf_value(k, gguf);
    const json_t *j = find(k, hf);

    if (v && v->kind == SC_VALUE_BOOL)
        *out = v->as.b;
    else if (json_is_boolean(j))
        *out = json_is_true(j);
    else {
        if (v || j)
            wrong(k, hf, gguf, "true or false");
        return false;
    }
    return true;
}

struct sc_str sc_key_text(struct sc_keys *k, const char *hf, const char *gguf)
{
    const struct sc_value *v = gguf_value(k, gguf);
    const json_t *j = find(k, hf);

    if (v && v->kind == SC_VALUE_STRING)
        return v->as.s;
    if (json_is_string(j))
        return sc_str(json_string_value(j), json_string_length(j));
    if (v || j)
        wrong(k, hf, gguf, "a text");
    return sc_str(NULL, 0);
}

const json_t *sc_key_list(struct sc_keys *k, const char *hf)
{
    const json_t *j = find(k, hf);

    return json_is_array(j) ? j : NULL;
}

bool sc_key_flags(struct sc_keys *k, const char *gguf, size_t n, bool *out)
{
    const struct sc_value *v = gguf_value(k, gguf);
    const struct sc_catalog *c = k->m->catalog;
    struct sc_source *s;
    unsigned char *bytes;
    uint32_t file = 0;

    if (!v || k->code < 0)
        return false;
    if (v->kind != SC_VALUE_ARRAY || v->element != SC_VALUE_BOOL || v->as.a.count != n) {
        wrong(k, NULL, gguf, "a list that says true or false of each layer");
        return false;
    }
    for (size_t i = 0; i < c->n_metas; i++)
        if (&c->metas[i].value == v)
            file = c->metas[i].file;
    bytes = sc_alloc(n);
    k->code = bytes ? sc_model_source(k->m, file, &s, k->e) : sc_fail_memory(k->e);
    if (k->code == 0) {
        k->code = sc_source_read(s, v->as.a.offset, bytes, n, k->e);
        sc_model_release(k->m, file);
    }
    for (size_t i = 0; i < n && k->code == 0; i++)
        out[i] = bytes[i] != 0;
    free(bytes);
    return k->code == 0;
}
