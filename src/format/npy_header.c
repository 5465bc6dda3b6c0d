/* SPDX-License-Identifier: Apache-2.0 */
/* npy_header: the text in front of a numpy array.
 *
 *     93 'N' 'U' 'M' 'P' 'Y'      6 bytes
 *     version                     01 00, 02 00 or 03 00
 *     length of the text          u16 in version 1, u32 later, little-endian
 *     text                        a Python dictionary, padded with blanks up to a line feed:
 *                                 {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
 *
 * numpy evaluates the text as a Python literal. Here it is held to the few forms that numpy
 * writes: exactly these three keys in any order, a type string or a list of fields, True or False,
 * a tuple of whole numbers (with the L that Python 2 put behind them).
 *
 *     field = ('name' or ('title', 'name'), type string or list of fields [, shape])
 *
 * Owns: that grammar and the size of an element. Pure: no file, no allocation, no recursion. */
#include "format/npy.h"

#include <stdio.h>
#include <string.h>

enum { MAX_NESTING = 16 }; /* records in records */

struct text {
    const uint8_t *p, *end, *start;
    struct sc_npy *npy;
};

static bool wrong(struct sc_npy *npy, size_t at, const char *problem)
{
    npy->problem = problem;
    npy->problem_at = at;
    return false;
}

static bool wrong_here(struct text *t, const char *problem)
{
    return wrong(t->npy, (size_t)(t->p - t->start), problem);
}

/* --------------------------------------------------------------------------------- tokens --- */

static bool one_of(uint8_t c, const char *set)
{
    return c && strchr(set, c);
}

static uint8_t peek(struct text *t)
{
    while (t->p < t->end && one_of(*t->p, " \t\r\n\f"))
        t->p++;
    return t->p < t->end ? *t->p : 0;
}

static bool accept(struct text *t, char want)
{
    if (peek(t) != (uint8_t)want)
        return false;
    t->p++;
    return true;
}

static bool expect(struct text *t, char want, const char *problem)
{
    return accept(t, want) || wrong_here(t, problem);
}

static bool word(struct text *t, const char *want)
{
    const size_t n = strlen(want);

    peek(t);
    if ((size_t)(t->end - t->p) < n || memcmp(t->p, want, n) != 0)
        return false;
    t->p += n;
    return true;
}

/* The bytes between the quotes as they stand; names of fields may have escapes, which are only
 * stepped over. */
static bool string(struct text *t, struct sc_str *out)
{
    uint8_t quote = peek(t);

    if (one_of(quote, "ubUB") && t->end - t->p > 1) {
        t->p++;
        quote = *t->p;
    }
    if (quote != '\'' && quote != '"')
        return wrong_here(t, "a string is expected");
    const uint8_t *from = ++t->p;
    while (t->p < t->end && *t->p != quote && *t->p != '\n')
        t->p += *t->p == '\\' && t->end - t->p > 1 ? 2 : 1;
    if (t->p >= t->end || *t->p != quote)
        return wrong_here(t, "a string is not closed");
    *out = sc_str((const char *)from, (size_t)(t->p - from));
    t->p++;
    return true;
}

static bool number(struct text *t, uint64_t *out)
{
    peek(t);
    const uint8_t *from = t->p;
    while (t->p < t->end && *t->p >= '0' && *t->p <= '9')
        t->p++;
    if (!sc_str_u64(sc_str((const char *)from, (size_t)(t->p - from)), out)) {
        t->p = from;
        return wrong_here(t, "a whole number from 0 to 2^64 - 1 is expected");
    }
    if (t->p < t->end && *t->p == 'L')
        t->p++;
    return true;
}

/* (), (3,), (2, 3): a lone number in brackets would not be a tuple in Python. */
static bool tuple(struct text *t, uint64_t *dims, uint8_t *rank)
{
    bool comma = true;

    *rank = 0;
    if (!expect(t, '(', "a tuple is expected"))
        return false;
    while (!accept(t, ')')) {
        if (!comma)
            return wrong_here(t, "a comma or \")\" is expected");
        if (*rank == SC_MAX_RANK)
            return wrong_here(t, "there are more than 64 dimensions");
        if (!number(t, &dims[*rank]))
            return false;
        ++*rank;
        comma = accept(t, ',');
    }
    return *rank != 1 || comma || wrong_here(t, "a tuple of one number needs a comma");
}

/* ---------------------------------------------------------------------------------- types --- */

/* A type that has no codec row, under its own spelling, if that is harmless. */
static void name_type(struct sc_npy *npy, struct sc_str s)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "<>|=[]_";
    size_t i = 0;

    while (i < s.n && i < sizeof npy->type - 1 && one_of((uint8_t)s.p[i], allowed))
        i++;
    if (i == 0 || i < s.n)
        s = SC_STR("UNKNOWN");
    memcpy(npy->type, s.p, s.n);
    npy->type[s.n] = '\0';
}

/* A type string: a codec row; else letter and size ("S5", "U5", "V8", "M8[ns]"), objects, or
 * something new, whose size is not known. */
static bool plain_type(struct text *t, struct sc_npy *out)
{
    struct sc_str s;
    uint64_t bytes;

    if (!string(t, &s))
        return false;
    out->codec = sc_codec_numpy(s, &out->big_endian);
    if (out->codec != SC_OPAQUE) {
        out->item_bytes = sc_codec(out->codec)->bytes;
        out->sized = true;
        return true;
    }
    const bool ordered = s.n > 0 && one_of((uint8_t)s.p[0], "<>|=");
    const uint8_t letter = s.n > ordered ? (uint8_t)s.p[ordered] : 0;
    struct sc_str digits = sc_str(s.p + ordered + 1, 0);
    while (ordered + 1 + digits.n < s.n && digits.p[digits.n] >= '0' && digits.p[digits.n] <= '9')
        digits.n++;
    if (letter == 'O') {
        out->objects = true;
        name_type(out, SC_STR("OBJECT"));
        return true;
    }
    name_type(out, sc_str(s.p + ordered, s.n - ordered));
    if (!one_of(letter, "biufcmMSaUV") || !sc_str_u64(digits, &bytes))
        return true;
    /* Only dates carry a unit behind the size. */
    if (ordered + 1 + digits.n < s.n && letter != 'm' && letter != 'M')
        return true;
    if (letter == 'U' && !sc_mul(bytes, 4, &bytes)) /* UCS-4 */
        return wrong_here(t, "a string type is too long");
    out->item_bytes = bytes;
    out->sized = true;
    out->big_endian = s.p[0] == '>' && letter != 'S' && letter != 'V';
    return true;
}

static bool field_name(struct text *t)
{
    struct sc_str s;

    if (!accept(t, '('))
        return string(t, &s);
    return string(t, &s) && expect(t, ',', "a title is followed by a name") && string(t, &s) &&
           (accept(t, ',') || true) && expect(t, ')', "a title and a name end with \")\"");
}

/* What follows the type of a field: a shape perhaps, and the end of its tuple. */
static bool end_field(struct text *t, uint64_t bytes, uint64_t *sum)
{
    uint64_t dims[SC_MAX_RANK], count = 1;
    uint8_t rank = 0;

    if (accept(t, ',') && peek(t) == '(') {
        if (!tuple(t, dims, &rank))
            return false;
        if (!sc_product(dims, rank, &count))
            return wrong_here(t, "the shape of a field is too large");
        accept(t, ',');
    }
    if (!expect(t, ')', "a field ends with \")\""))
        return false;
    if (!sc_mul(bytes, count, &bytes) || !sc_add(*sum, bytes, sum))
        return wrong_here(t, "a record has more than 2^64 bytes");
    return peek(t) == ']' || expect(t, ',', "a comma or \"]\" is expected");
}

/* A list of fields; a field can be a list again. sum[d] is the size so far at nesting d. */
static bool record_type(struct text *t, struct sc_npy *out)
{
    uint64_t sum[MAX_NESTING];
    size_t depth = 0;
    bool sized = true;

    do {
        uint64_t bytes;
        if (depth > 0 && accept(t, ']')) {
            bytes = sum[--depth];
            if (depth > 0 && !end_field(t, bytes, &sum[depth - 1]))
                return false;
            out->item_bytes = bytes;
            continue;
        }
        if (depth > 0 && (!expect(t, '(', "a field begins with \"(\"") || !field_name(t) ||
                          !expect(t, ',', "a name is followed by a type")))
            return false;
        if (depth == 0 || peek(t) == '[') {
            if (depth == MAX_NESTING)
                return wrong_here(t, "records are nested more than 16 deep");
            if (!expect(t, '[', "a list is expected"))
                return false;
            sum[depth++] = 0;
            continue;
        }
        struct sc_npy field = {0};
        if (!plain_type(t, &field) || !end_field(t, field.item_bytes, &sum[depth - 1]))
            return false;
        out->objects |= field.objects;
        sized &= field.sized;
    } while (depth > 0);
    out->sized = sized;
    out->item_bytes = sized ? out->item_bytes : 0;
    if (!sized)
        name_type(out, out->objects ? SC_STR("OBJECT") : SC_STR("STRUCT"));
    else
        snprintf(out->type, sizeof out->type, "STRUCT%llu", (unsigned long long)out->item_bytes);
    return true;
}

static bool type(struct text *t, struct sc_npy *out)
{
    return peek(t) == '[' ? record_type(t, out) : plain_type(t, out);
}

/* --------------------------------------------------------------------------------- header --- */

static bool fortran_order(struct text *t, bool *out)
{
    *out = word(t, "True");
    return *out || word(t, "False") || wrong_here(t, "True or False is expected");
}

static bool dictionary(struct text *t, struct sc_npy *npy)
{
    enum { DESCR = 1, FORTRAN = 2, SHAPE = 4, ALL = 7 };
    unsigned seen = 0;
    struct sc_str key;

    if (!expect(t, '{', "a dictionary is expected"))
        return false;
    while (!accept(t, '}')) {
        if (!string(t, &key) || !expect(t, ':', "a key is followed by \":\""))
            return false;
        const unsigned which = sc_str_is(key, "descr")           ? DESCR
                               : sc_str_is(key, "fortran_order") ? FORTRAN
                               : sc_str_is(key, "shape")         ? SHAPE
                                                                 : 0;
        if (!which || seen & which)
            return wrong_here(t, which ? "a key is there twice"
                                       : "a key is not descr, fortran_order or shape");
        seen |= which;
        if (which == DESCR     ? !type(t, npy)
            : which == FORTRAN ? !fortran_order(t, &npy->fortran)
                               : !tuple(t, npy->shape, &npy->rank))
            return false;
        if (!accept(t, ',') && peek(t) != '}')
            return wrong_here(t, "a comma or \"}\" is expected");
    }
    if (seen != ALL)
        return wrong_here(t, "descr, fortran_order or shape is missing");
    peek(t);
    return t->p == t->end || wrong_here(t, "something follows the dictionary");
}

bool sc_npy_header_bytes(const uint8_t *p, size_t n, uint64_t *out, struct sc_npy *npy)
{
    if (n < 6 || memcmp(p, "\x93NUMPY", 6) != 0)
        return wrong(npy, 0, "the magic number of a numpy array is missing");
    if (n < 10 || (p[6] > 1 && n < SC_NPY_PREFIX))
        return wrong(npy, 6, "the header is cut (truncated download?)");
    if (p[6] < 1 || p[6] > 3 || p[7] != 0)
        return wrong(npy, 6, "the version is not 1.0, 2.0 or 3.0");
    *out = p[6] == 1 ? UINT64_C(10) + sc_le16(p + 8) : UINT64_C(12) + sc_le32(p + 8);
    return *out <= SC_MAX_NPY_HEADER || wrong(npy, 8, "the header is longer than 1 MiB, the limit");
}

bool sc_npy_parse(const uint8_t *p, size_t n, struct sc_npy *npy)
{
    uint64_t header, elements;

    *npy = (struct sc_npy){0};
    if (!sc_npy_header_bytes(p, n, &header, npy))
        return false;
    if (header != n)
        return wrong(npy, 8, "the header is cut (truncated download?)");
    struct text t = {.p = p + (p[6] == 1 ? 10 : 12), .end = p + n, .start = p, .npy = npy};
    if (!dictionary(&t, npy))
        return false;
    if (!sc_product(npy->shape, npy->rank, &elements))
        return wrong(npy, 0, "the shape has more than 2^64 elements");
    return sc_mul(elements, npy->item_bytes, &npy->bytes) ||
           wrong(npy, 0, "the array has more than 2^64 bytes");
}
