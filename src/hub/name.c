/* SPDX-License-Identifier: Apache-2.0 */
/* name: what the text means that names a MODEL.
 *
 * Owns: the grammar of names, by text alone.
 *
 *   hf://[models/|datasets/|spaces/]org/name[@REV][/PATH]
 *   [https://][www.]huggingface.co/[models/|datasets/|spaces/]org/name[/ACTION[/REV[/PATH]]]
 *                   ACTION: blob blame raw resolve tree; query and fragment do not count
 *   org/name  org/name@REV  org/name:QUANT  gpt2
 *   file:///PATH  https://elsewhere/FILE
 *
 * "refs/pr/N" and "refs/convert/NAME" are revisions as they stand; the slashes of others are
 * written %2F. Everything that fits nothing is a path.
 *
 * Does not own: whether something of that name exists (repo.c). */
#include <stdlib.h>
#include <string.h>

#include "hub/internal.h"

enum {
    MAX_TEXT = 8192, /* bytes of a name */
    MAX_PARTS = 256, /* of a path */
    MAX_ID = 96,
    MAX_REVISION = 255,
    MAX_QUANT = 64,
};

const char *const sc_repo_type_plural[3] = {"models", "datasets", "spaces"};
static const char *const type_singular[3] = {"model", "dataset", "space"};
/* Hosts of the Hub, whatever the endpoint is. */
static const char *const hub_hosts[] = {"huggingface.co", "hf.co", "hub-ci.huggingface.co"};
/* Pages about files: what follows is a revision and a path. */
static const char *const actions[] = {"blob", "blame", "raw", "resolve", "tree"};
/* Other pages of a repository, where only the id can be meant. */
static const char *const pages[] = {"commit", "commits", "discussions", "settings", "edit"};
/* First parts of addresses that are not repositories. */
static const char *const sites[] = {"api",      "docs",  "blog",  "papers", "collections",
                                    "settings", "tasks", "chat",  "posts",  "organizations",
                                    "join",     "login", "learn", "search", "new"};
/* A name that ends so is a file. */
static const char *const file_ends[] = {
    ".safetensors", ".gguf", ".ggml", ".bin",  ".pt",  ".pth", ".ckpt", ".pkl",     ".npz", ".npy",
    ".json",        ".onnx", ".h5",   ".hdf5", ".tar", ".zip", ".gz",   ".msgpack", ".txt", ".md"};

/* ---------------------------------------------------------------------------------- pieces --- */

bool sc_hub_is_hex(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    return s[n] == '\0';
}

bool sc_is_commit(struct sc_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n == 40;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(struct sc_str s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sc_str_is(s, words[i]))
            return true;
    return false;
}

/* One half of an id. */
static bool is_id_part(struct sc_str s)
{
    if (s.n == 0 || s.p[0] == '-' || s.p[0] == '.' || s.p[s.n - 1] == '-' || s.p[s.n - 1] == '.')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        if (!is_alnum(c) && c != '_' && c != '-' && c != '.')
            return false;
        if (i + 1 < s.n && (c == '-' || c == '.') && s.p[i + 1] == c)
            return false;
    }
    return !sc_str_ends(s, ".git");
}

bool sc_hub_is_id(struct sc_str s)
{
    const char *slash = s.n ? memchr(s.p, '/', s.n) : NULL;
    if (s.n > MAX_ID)
        return false;
    if (!slash)
        return is_id_part(s);
    const size_t n = (size_t)(slash - s.p);
    return is_id_part(sc_str(s.p, n)) && is_id_part(sc_str(slash + 1, s.n - n - 1));
}

/* What git refuses in the name of a branch, we refuse, too. */
bool sc_hub_is_revision(struct sc_str s)
{
    if (s.n == 0 || s.n > MAX_REVISION || s.p[0] == '-' || !sc_utf8_valid(s))
        return false;
    for (size_t i = 0, begin = 0; i <= s.n; i++) {
        if (i == s.n || s.p[i] == '/') {
            if (i == begin || s.p[begin] == '.' || s.p[i - 1] == '.')
                return false;
            begin = i + 1;
        } else if ((unsigned char)s.p[i] <= ' ' || strchr("~^:?*[\\\x7f", s.p[i]) ||
                   (s.p[i] == '.' && i + 1 < s.n && s.p[i + 1] == '.')) {
            return false;
        }
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool sc_hub_decode(struct sc_buf *b, struct sc_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        int high = -1, low = -1;
        if (s.p[i] == '%' && s.n - i > 2) {
            high = hex_digit(s.p[i + 1]);
            low = hex_digit(s.p[i + 2]);
        }
        if (high == 0 && low == 0)
            return false;
        if (high >= 0 && low >= 0) {
            sc_buf_putc(b, (char)(unsigned char)(high * 16 + low));
            i += 2;
        } else {
            sc_buf_putc(b, s.p[i]);
        }
    }
    return true;
}

void sc_hub_encode(struct sc_buf *b, struct sc_str s, bool slashes)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && slashes)) {
            sc_buf_putc(b, c);
            continue;
        }
        const unsigned char byte = (unsigned char)c;
        const char escaped[3] = {'%', digits[byte >> 4], digits[byte & 15]};
        sc_buf_put(b, escaped, sizeof escaped);
    }
}

void sc_hub_put_id(struct sc_buf *b, uint8_t type, const char *id)
{
    if (type != SC_REPO_MODEL) {
        sc_buf_puts(b, sc_repo_type_plural[type]);
        sc_buf_putc(b, '/');
    }
    sc_buf_puts(b, id);
}

void sc_name_clear(struct sc_name *n)
{
    free(n->id);
    free(n->revision);
    free(n->path);
    free(n->quant);
    free(n->url);
    memset(n, 0, sizeof *n);
}

/* ---------------------------------------------------------------------------------- parsing --- */

/* The text, and its parts between slashes. */
struct parse {
    const char *text; /* all of it, for messages */
    struct sc_name *out;
    struct sc_str part[MAX_PARTS];
    size_t n, at; /* parts; the next one */
    bool escaped; /* %xx counts */
};

/* The text as it may be shown: what follows "?" in an address can be a signature. */
static const char *shown(const struct parse *p, struct sc_quoted *q)
{
    const size_t n = strstr(p->text, "://") ? strcspn(p->text, "?#") : strlen(p->text);
    return sc_quote(q, sc_str(p->text, n));
}

static int refuse(const struct parse *p, const char *why, struct sc_error *e)
{
    struct sc_quoted q;
    return sc_fail(e, SCRUPLE_EUSAGE, "%s: %s", shown(p, &q), why);
}

/* Empty parts are dropped. */
static int split(struct parse *p, const char *s, struct sc_error *e)
{
    p->n = p->at = 0;
    while (*s) {
        const size_t n = strcspn(s, "/");
        if (n > 0) {
            if (p->n == MAX_PARTS)
                return refuse(p, "the path has too many parts", e);
            p->part[p->n++] = sc_str(s, n);
        }
        s += n + (s[n] == '/');
    }
    return 0;
}

static int set(char **out, struct sc_str s, struct sc_error *e)
{
    free(*out);
    *out = sc_str_copy(s);
    return *out ? 0 : sc_fail_memory(e);
}

static int decoded(const struct parse *p, struct sc_buf *b, struct sc_str s, struct sc_error *e)
{
    if (!p->escaped)
        sc_buf_put(b, s.p, s.n);
    else if (!sc_hub_decode(b, s))
        return refuse(p, "contains an escaped NUL (%00)", e);
    return b->failed ? sc_fail_memory(e) : 0;
}

static int set_revision(const struct parse *p, struct sc_str s, struct sc_error *e)
{
    struct sc_buf b = {0};
    int rc = 0;
    if (s.n == 0 || !sc_hub_decode(&b, s) || b.failed || !sc_hub_is_revision(sc_str(b.p, b.n)))
        rc = refuse(p, "that is not the name of a branch, tag or commit", e);
    if (rc == 0)
        rc = set(&p->out->revision, sc_str(b.p, b.n), e);
    sc_buf_clear(&b);
    return rc;
}

/* All parts that are left. */
static int set_path(struct parse *p, struct sc_error *e)
{
    struct sc_buf b = {0};
    int rc = 0;
    if (p->at == p->n)
        return 0;
    for (size_t i = p->at; i < p->n && rc == 0; i++) {
        if (i > p->at)
            sc_buf_putc(&b, '/');
        rc = decoded(p, &b, p->part[i], e);
    }
    if (rc == 0 && (b.failed || !b.p))
        rc = sc_fail_memory(e);
    if (rc == 0 && !sc_path_is_inside(sc_strz(b.p)))
        rc = refuse(p, "the path leaves the repository", e);
    if (rc == 0)
        rc = set(&p->out->path, sc_str(b.p, b.n), e);
    sc_buf_clear(&b);
    return rc;
}

static bool is_number(struct sc_str s)
{
    uint64_t n;
    return sc_str_u64(s, &n);
}

/* "refs/pr/7" as three parts? */
static bool is_ref(const struct parse *p, struct sc_str first, size_t at)
{
    if (!sc_str_is(first, "refs") || at + 2 > p->n)
        return false;
    return (sc_str_is(p->part[at], "pr") && is_number(p->part[at + 1])) ||
           sc_str_is(p->part[at], "convert");
}

/* A revision that begins with `first`; the parts behind it are next. */
static int take_revision(struct parse *p, struct sc_str first, struct sc_error *e)
{
    if (!is_ref(p, first, p->at))
        return set_revision(p, first, e);
    struct sc_buf b = {0};
    sc_buf_printf(&b, "refs/%.*s/%.*s", (int)p->part[p->at].n, p->part[p->at].p,
                  (int)p->part[p->at + 1].n, p->part[p->at + 1].p);
    int rc = b.failed ? sc_fail_memory(e) : set_revision(p, sc_str(b.p, b.n), e);
    sc_buf_clear(&b);
    p->at += 2;
    return rc;
}

/* "Q4_K_M" of "name:Q4_K_M". */
static int take_quant(const struct parse *p, struct sc_str *name, struct sc_error *e)
{
    const char *colon = name->n ? memchr(name->p, ':', name->n) : NULL;
    if (!colon)
        return 0;
    struct sc_str quant = sc_str(colon + 1, name->n - (size_t)(colon + 1 - name->p));
    bool sound = quant.n > 0 && quant.n <= MAX_QUANT;
    for (size_t i = 0; i < quant.n; i++)
        sound = sound && (is_alnum(quant.p[i]) || strchr("_-.", quant.p[i]));
    if (!sound)
        return refuse(p, "what follows \":\" is not the name of a quantisation (like Q4_K_M)", e);
    name->n = (size_t)(colon - name->p);
    return set(&p->out->quant, quant, e);
}

/* org and name (org may be empty), as they stand. */
static int set_id(const struct parse *p, struct sc_str org, struct sc_str name, struct sc_error *e)
{
    struct sc_buf b = {0};
    if (org.n > 0) {
        sc_buf_put(&b, org.p, org.n);
        sc_buf_putc(&b, '/');
    }
    sc_buf_put(&b, name.p, name.n);
    int rc = 0;
    if (b.failed)
        rc = sc_fail_memory(e);
    else if (!sc_hub_is_id(sc_str(b.p, b.n)))
        rc = refuse(p,
                    "that is not the name of a repository (letters, digits, \"-\", \"_\" and "
                    "\".\", as in org/name)",
                    e);
    else
        rc = set(&p->out->id, sc_str(b.p, b.n), e);
    sc_buf_clear(&b);
    return rc;
}

/* "name@REV" is cut in front of the "@". */
static bool cut_at(struct sc_str *name, struct sc_str *revision)
{
    const char *at = name->n ? memchr(name->p, '@', name->n) : NULL;
    if (!at)
        return false;
    *revision = sc_str(at + 1, name->n - (size_t)(at + 1 - name->p));
    name->n = (size_t)(at - name->p);
    return true;
}

/* ------------------------------------------------------------------------------------- hf:// ---
 */

/* "models", "datasets", "spaces" in front is taken off. */
static int take_type(struct parse *p, struct sc_error *e)
{
    for (size_t i = 0; i < 3 && p->n > 0; i++) {
        if (sc_str_is(p->part[0], sc_repo_type_plural[i])) {
            p->out->type = (uint8_t)i;
            p->at = 1;
            return 0;
        }
        if (p->n > 2 && sc_str_is(p->part[0], type_singular[i])) {
            struct sc_quoted q;
            return sc_fail(e, SCRUPLE_EUSAGE, "%s: write %s in the plural: hf://%s/...",
                           sc_quote(&q, sc_strz(p->text)), type_singular[i],
                           sc_repo_type_plural[i]);
        }
    }
    if (p->n > 1 && (sc_str_is(p->part[0], "buckets") || sc_str_is(p->part[0], "kernels")))
        return refuse(p, "buckets and kernels are not supported; models, datasets and spaces are",
                      e);
    return 0;
}

static int parse_hf(struct parse *p, const char *rest, struct sc_error *e)
{
    struct sc_str org = {NULL, 0}, name, revision;

    TRY(split(p, rest, e));
    TRY(take_type(p, e));
    if (p->at == p->n)
        return refuse(p, "names no repository (hf://org/name)", e);
    name = p->part[p->at++];
    bool has_revision = cut_at(&name, &revision);
    if (!has_revision && p->at < p->n) {
        org = name;
        name = p->part[p->at++];
        has_revision = cut_at(&name, &revision);
    }
    if (has_revision)
        TRY(take_revision(p, revision, e));
    TRY(take_quant(p, &name, e));
    TRY(set_id(p, org, name, e));
    p->out->kind = SC_NAME_HUB;
    return set_path(p, e);
}

/* ---------------------------------------------------------------------------- web addresses --- */

/* Host and port of an address without scheme. */
static struct sc_str authority_of(const char *s)
{
    return sc_str(s, strcspn(s, "/?#"));
}

static struct sc_str without(struct sc_str s, const char *end)
{
    if (sc_str_ends(s, end))
        s.n -= strlen(end);
    return s;
}

/* Behind "https://", or the text itself. */
static const char *skip_scheme(const char *s)
{
    const size_t n = strlen(s);
    if (n >= 8 && sc_str_eq_nocase(sc_str(s, 8), SC_STR("https://")))
        return s + 8;
    if (n >= 7 && sc_str_eq_nocase(sc_str(s, 7), SC_STR("http://")))
        return s + 7;
    return s;
}

static bool same_host(struct sc_str a, struct sc_str b)
{
    return sc_str_eq_nocase(without(without(a, ":443"), ":80"), without(without(b, ":443"), ":80"));
}

/* Where the path begins behind the Hub's host (or the endpoint and its prefix); NULL: elsewhere. */
static const char *hub_path(const char *address, const char *endpoint)
{
    const struct sc_str host = authority_of(address);
    if (endpoint) {
        const char *base = skip_scheme(endpoint);
        const struct sc_str own = authority_of(base);
        const char *prefix = base + own.n;
        const size_t n = strlen(prefix);
        const char *path = address + host.n;
        if (same_host(host, own) && strncmp(path, prefix, n) == 0 &&
            (path[n] == '\0' || strchr("/?#", path[n])))
            return path + n;
    }
    struct sc_str plain = host;
    if (plain.n > 4 && sc_str_eq_nocase(sc_str(plain.p, 4), SC_STR("www.")))
        plain = sc_str(plain.p + 4, plain.n - 4);
    for (size_t i = 0; i < SC_COUNT(hub_hosts); i++)
        if (same_host(plain, sc_strz(hub_hosts[i])))
            return address + host.n;
    return NULL;
}

/* In front of an id: models/ (or model/), datasets/, spaces/. */
static int take_web_type(struct parse *p, struct sc_error *e)
{
    for (size_t i = 0; i < 3 && p->n > 0; i++)
        if (sc_str_is(p->part[0], sc_repo_type_plural[i]) ||
            (i == SC_REPO_MODEL && sc_str_is(p->part[0], type_singular[i]))) {
            p->out->type = (uint8_t)i;
            p->at = 1;
            break;
        }
    if (p->at == p->n)
        return refuse(p, "names no repository", e);
    if (p->at == 0 && is_one_of(p->part[0], sites, SC_COUNT(sites)))
        return refuse(p, "is not the page of a repository", e);
    return 0;
}

/* "gpt2/tree/main": one part only, and then what is done with it. */
static bool is_page(struct sc_str s)
{
    return is_one_of(s, actions, SC_COUNT(actions)) || is_one_of(s, pages, SC_COUNT(pages));
}

static int take_web_id(struct parse *p, struct sc_error *e)
{
    struct sc_str org = {NULL, 0}, name = p->part[p->at++];
    if (p->at < p->n && !is_page(p->part[p->at])) {
        org = name;
        name = p->part[p->at++];
    }
    if (p->at == p->n) {
        struct sc_str revision;
        if (cut_at(&name, &revision)) /* not the Hub's, but meant like that */
            TRY(set_revision(p, revision, e));
        TRY(take_quant(p, &name, e));
    }
    return set_id(p, org, name, e);
}

static int parse_web(struct parse *p, const char *path, struct sc_error *e)
{
    char *copy = sc_str_copy(sc_str(path, strcspn(path, "?#")));
    if (!copy)
        return sc_fail_memory(e);
    p->escaped = true;
    p->out->kind = SC_NAME_HUB;
    int rc = split(p, copy, e);
    if (rc == 0)
        rc = take_web_type(p, e);
    if (rc == 0)
        rc = take_web_id(p, e);
    if (rc == 0 && p->at < p->n) {
        const struct sc_str action = p->part[p->at++];
        if (!is_one_of(action, actions, SC_COUNT(actions))) {
            struct sc_quoted q, page;
            const uint8_t type = p->out->type;
            const bool plain = type == SC_REPO_MODEL;
            rc = sc_fail(e, SCRUPLE_EUSAGE, "%s: the page \"%s\" shows no files; write %s%s%s%s",
                         shown(p, &q), sc_quote(&page, action), plain ? "" : "hf://",
                         plain ? "" : sc_repo_type_plural[type], plain ? "" : "/", p->out->id);
        } else if (p->at < p->n) {
            const struct sc_str first = p->part[p->at++];
            rc = take_revision(p, first, e);
        }
    }
    if (rc == 0)
        rc = set_path(p, e);
    free(copy);
    return rc;
}

static int parse_url(struct parse *p, struct sc_error *e)
{
    const struct sc_str host = authority_of(skip_scheme(p->text));
    for (const char *c = p->text; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return refuse(p, "an address has no spaces and control characters", e);
    if (host.n == 0)
        return refuse(p, "the address has no host", e);
    p->out->kind = SC_NAME_URL;
    return set(&p->out->url, sc_str(p->text, strcspn(p->text, "#")), e);
}

/* ----------------------------------------------------------------------------- other schemes ---
 */

static int parse_file(struct parse *p, const char *rest, struct sc_error *e)
{
    struct sc_buf b = {0};
    if (sc_str_starts(sc_strz(rest), "localhost/"))
        rest += strlen("localhost");
    if (rest[0] != '/')
        return refuse(p, "a file on another machine (file:///PATH has three slashes)", e);
    p->escaped = true;
    int rc = decoded(p, &b, sc_strz(rest), e);
    if (rc == 0)
        rc = set(&p->out->path, sc_str(b.p, b.n), e);
    sc_buf_clear(&b);
    return rc;
}

static int refuse_scheme(const struct parse *p, struct sc_str scheme, struct sc_error *e)
{
    if (sc_str_eq_nocase(scheme, SC_STR("ms")))
        return refuse(p, "ModelScope is not supported; give the https:// address of a file", e);
    if (sc_str_eq_nocase(scheme, SC_STR("ollama")))
        return refuse(p, "Ollama's registry is not supported; give the path of the GGUF file", e);
    if (sc_str_eq_nocase(scheme, SC_STR("s3")) || sc_str_eq_nocase(scheme, SC_STR("gs")))
        return refuse(p, "buckets are not supported; give a presigned https:// address", e);
    return refuse(p, "not a kind of address that is supported (hf://, https:// and file:// are)",
                  e);
}

/* "hf" of "hf://..."; empty: there is none. */
static struct sc_str scheme_of(const char *s)
{
    size_t n = 0;
    while (is_alnum(s[n]) || s[n] == '+' || s[n] == '-' || s[n] == '.')
        n++;
    return sc_str(s, n > 0 && strncmp(s + n, "://", 3) == 0 ? n : 0);
}

static int parse_scheme(struct parse *p, struct sc_str scheme, const char *endpoint,
                        struct sc_error *e)
{
    const char *rest = scheme.p + scheme.n + 3;
    if (sc_str_eq_nocase(scheme, SC_STR("hf")))
        return parse_hf(p, rest, e);
    if (sc_str_eq_nocase(scheme, SC_STR("file")))
        return parse_file(p, rest, e);
    if (!sc_str_eq_nocase(scheme, SC_STR("https")) && !sc_str_eq_nocase(scheme, SC_STR("http")))
        return refuse_scheme(p, scheme, e);
    const struct sc_str host = authority_of(rest);
    if (host.n > 0 && memchr(host.p, '@', host.n)) /* the text holds a password: do not repeat it */
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "an address with a user name or password in it is not supported");
    const char *path = hub_path(rest, endpoint);
    return path ? parse_web(p, path, e) : parse_url(p, e);
}

/* ---------------------------------------------------------------------------- without scheme ---
 */

static bool looks_like_file(struct sc_str s)
{
    for (size_t i = 0; i < SC_COUNT(file_ends); i++) {
        const size_t n = strlen(file_ends[i]);
        if (s.n > n && sc_str_eq_nocase(sc_str(s.p + s.n - n, n), sc_strz(file_ends[i])))
            return true;
    }
    return false;
}

/* "org/name", "org/name/", "org/name@REV", "org/name:QUANT", "gpt2". Anything else is a path. */
static int parse_bare(struct parse *p, struct sc_error *e)
{
    struct sc_str all = sc_strz(p->text), id, revision;
    while (all.n > 1 && all.p[all.n - 1] == '/')
        all.n--;
    id = all;
    const bool has_revision = cut_at(&id, &revision);
    struct sc_str name = id;
    const char *colon = id.n ? memchr(id.p, ':', id.n) : NULL;
    if (colon)
        name.n = (size_t)(colon - id.p);
    const bool has_org = name.n > 0 && memchr(name.p, '/', name.n);
    if (!sc_hub_is_id(name) || looks_like_file(id) || (colon && !has_org))
        return 0;
    if (has_revision)
        TRY(set_revision(p, revision, e));
    TRY(take_quant(p, &id, e));
    p->out->kind = SC_NAME_HUB;
    return set(&p->out->id, id, e);
}

static bool begins_like_path(const char *s)
{
    return s[0] == '/' || s[0] == '~' || strcmp(s, "-") == 0 || strcmp(s, ".") == 0 ||
           strcmp(s, "..") == 0 || strncmp(s, "./", 2) == 0 || strncmp(s, "../", 3) == 0;
}

static int parse(struct parse *p, const char *endpoint, struct sc_error *e)
{
    const struct sc_str scheme = scheme_of(p->text);
    const size_t n = strlen(p->text);
    if (scheme.n > 0) {
        if (n > MAX_TEXT)
            return refuse(p, "the address is too long", e);
        return parse_scheme(p, scheme, endpoint, e);
    }
    if (n == 0 || n > MAX_TEXT || begins_like_path(p->text))
        return 0;
    const char *path = hub_path(p->text, endpoint);
    return path && *path ? parse_web(p, path, e) : parse_bare(p, e);
}

int sc_name_parse(const char *text, const char *endpoint, struct sc_name *out, struct sc_error *e)
{
    struct parse p = {.text = text, .out = out};
    memset(out, 0, sizeof *out);
    int rc = parse(&p, endpoint, e);
    if (rc == 0 && out->kind == SC_NAME_PATH && !out->path)
        rc = set(&out->path, sc_strz(text), e);
    if (rc < 0)
        sc_name_clear(out);
    return rc;
}
