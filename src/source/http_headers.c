/* SPDX-License-Identifier: Apache-2.0 */
/* http_headers: what stands in header fields. Pure functions over foreign text; all of them are
 * fuzzed. What is malformed counts as not there, unless somebody must know. */
#include <stdlib.h>
#include <string.h>

#include "source/http_internal.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct sc_str trim(struct sc_str s)
{
    while (s.n && is_blank(s.p[0]))
        s = sc_str(s.p + 1, s.n - 1);
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* What stands in front of c; *rest is what follows it (empty when c is not there). */
static struct sc_str before(struct sc_str s, char c, struct sc_str *rest)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    if (!at) {
        *rest = sc_str("", 0);
        return s;
    }
    const size_t n = (size_t)(at - s.p);
    *rest = sc_str(at + 1, s.n - n - 1);
    return sc_str(s.p, n);
}

/* ------------------------------------------------------------------------------- ranges --- */

bool sc_http_content_range(struct sc_str value, uint64_t *begin, uint64_t *end, uint64_t *total,
                           bool *unsatisfied)
{
    struct sc_str rest, last, unit = before(trim(value), ' ', &rest), span, first;
    uint64_t last_byte = 0;

    *begin = *end = 0;
    *unsatisfied = false;
    *total = UINT64_MAX;
    if (!sc_str_eq_nocase(unit, SC_STR("bytes")))
        return false;
    span = trim(before(rest, '/', &rest));
    rest = trim(rest);
    const bool has_total = !sc_str_is(rest, "*");
    if (has_total && (!sc_str_u64(rest, total) || *total == UINT64_MAX))
        return false;
    if (sc_str_is(span, "*")) {
        *unsatisfied = true;
        return has_total;
    }
    first = before(span, '-', &last);
    if (!sc_str_u64(first, begin) || !sc_str_u64(last, &last_byte))
        return false;
    if (last_byte < *begin || !sc_add(last_byte, 1, end))
        return false;
    return *end <= *total;
}

/* ------------------------------------------------------------------------------- limits --- */

bool sc_http_rate_limit(struct sc_str value, uint64_t *rest, uint64_t *seconds)
{
    bool has_rest = false, has_seconds = false;
    struct sc_str item = before(value, ',', &value); /* the first policy */

    *rest = *seconds = 0;
    before(item, ';', &item);
    while (item.n) {
        struct sc_str word = trim(before(item, ';', &item)), number;
        const struct sc_str key = trim(before(word, '=', &number));
        number = trim(number);
        if (sc_str_eq_nocase(key, SC_STR("r")) && !has_rest)
            has_rest = sc_str_u64(number, rest);
        else if (sc_str_eq_nocase(key, SC_STR("t")) && !has_seconds)
            has_seconds = sc_str_u64(number, seconds);
    }
    return has_rest && has_seconds;
}

/* Days from 1970-01-01 in the Gregorian calendar; month 1 to 12. Years begin in March here, so
 * that the leap day comes last. */
static int64_t days(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    const int64_t era = year / 400, of_era = year - era * 400;
    const unsigned from_march = (month + 9) % 12;
    const int64_t of_year = (int64_t)(153 * from_march + 2) / 5 + (int64_t)day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool clock_time(struct sc_str s, uint64_t *seconds)
{
    struct sc_str minute, second;
    const struct sc_str hour = before(s, ':', &minute);
    uint64_t h, m, sec;

    minute = before(minute, ':', &second);
    if (!sc_str_u64(hour, &h) || !sc_str_u64(minute, &m) || !sc_str_u64(second, &sec))
        return false;
    *seconds = h * 3600 + m * 60 + sec;
    return h < 24 && m < 60 && sec <= 60;
}

static unsigned month_number(struct sc_str s)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (unsigned i = 0; s.n == 3 && i < 12; i++)
        if (sc_str_eq_nocase(s, sc_str(names + 3 * (size_t)i, 3)))
            return i + 1;
    return 0;
}

/* The three forms of RFC 9110 differ in order and separators only: "Sun, 06 Nov 1994 08:49:37 GMT",
 * "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994". */
static bool http_date(struct sc_str s, uint64_t *unix_time)
{
    uint64_t day = 0, year = UINT64_MAX, of_day = UINT64_MAX, n;
    unsigned month = 0;

    while (s.n) {
        size_t k = 0;
        while (k < s.n && !is_blank(s.p[k]) && s.p[k] != '-' && s.p[k] != ',')
            k++;
        const struct sc_str word = sc_str(s.p, k);
        s = sc_str(s.p + k + (k < s.n), s.n - k - (k < s.n));
        if (sc_str_u64(word, &n) && word.n <= 4) {
            if (!day)
                day = n;
            else
                year = word.n == 2 ? n + (n < 70 ? 2000 : 1900) : n;
        } else if (!month && month_number(word)) {
            month = month_number(word);
        } else if (of_day == UINT64_MAX) {
            uint64_t t;
            of_day = clock_time(word, &t) ? t : UINT64_MAX;
        }
    }
    if (day < 1 || day > 31 || !month || year > 9999 || of_day == UINT64_MAX)
        return false;
    const int64_t date = days((int64_t)year, month, (unsigned)day);
    *unix_time = date < 0 ? 0 : (uint64_t)date * 86400 + of_day;
    return true;
}

bool sc_http_retry_after(struct sc_str value, uint64_t now, uint64_t *seconds)
{
    uint64_t then;

    value = trim(value);
    *seconds = 0;
    if (sc_str_u64(value, seconds))
        return true;
    if (!http_date(value, &then))
        return false;
    *seconds = then > now ? then - now : 0;
    return true;
}

/* ---------------------------------------------------------------------------------- links --- */

/* One past a parameter's value that begins at s.p[k]; *out is the value without quotes. */
static size_t parameter_value(struct sc_str s, size_t k, struct sc_str *out)
{
    const size_t from = k;
    if (k < s.n && s.p[k] == '"') {
        for (k++; k < s.n && s.p[k] != '"'; k++)
            k += s.p[k] == '\\' && k + 1 < s.n;
        *out = sc_str(s.p + from + 1, k - from - 1);
        return k + (k < s.n);
    }
    while (k < s.n && s.p[k] != ';' && s.p[k] != ',')
        k++;
    *out = trim(sc_str(s.p + from, k - from));
    return k;
}

static bool has_word(struct sc_str list, const char *word)
{
    while (list.n) {
        const struct sc_str w = before(list, ' ', &list);
        if (sc_str_eq_nocase(w, sc_strz(word)))
            return true;
    }
    return false;
}

/* The parameters of one link, from s.p[k] on; *rel is set when rel has the word next. */
static size_t parameters(struct sc_str s, size_t k, bool *next)
{
    bool seen = false;
    *next = false;
    while (k < s.n && s.p[k] != ',') {
        if (s.p[k] == ';' || is_blank(s.p[k])) {
            k++;
            continue;
        }
        const size_t from = k;
        while (k < s.n && s.p[k] != '=' && s.p[k] != ';' && s.p[k] != ',')
            k++;
        const struct sc_str key = trim(sc_str(s.p + from, k - from));
        struct sc_str value = {"", 0};
        if (k < s.n && s.p[k] == '=') {
            for (k++; k < s.n && is_blank(s.p[k]);)
                k++;
            k = parameter_value(s, k, &value);
        }
        if (!seen && sc_str_eq_nocase(key, SC_STR("rel"))) {
            seen = true; /* later ones do not count, says RFC 8288 */
            *next = has_word(value, "next");
        }
    }
    return k;
}

bool sc_http_link_next(struct sc_str s, struct sc_str *url)
{
    size_t k = 0;
    while (k < s.n) {
        if (s.p[k] != '<') {
            k++;
            continue;
        }
        const char *close = memchr(s.p + k, '>', s.n - k);
        if (!close)
            return false;
        const struct sc_str target = trim(sc_str(s.p + k + 1, (size_t)(close - s.p) - k - 1));
        bool next;
        k = parameters(s, (size_t)(close - s.p) + 1, &next);
        if (next) {
            *url = target;
            return true;
        }
    }
    return false;
}

/* ----------------------------------------------------------------------------- signed URLs --- */

/* The value of a parameter in a query: what follows "key=" up to '&'. */
static bool query_value(struct sc_str query, const char *key, struct sc_str *out)
{
    while (query.n) {
        struct sc_str word = before(query, '&', &query), value;
        if (sc_str_eq_nocase(before(word, '=', &value), sc_strz(key))) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* Digits of ISO 8601, in its short and its long form; ':' may be escaped as %3A. */
static bool iso_date(struct sc_str s, uint64_t *unix_time)
{
    unsigned d[14], n = 0;
    for (size_t i = 0; i < s.n && n < SC_COUNT(d); i++) {
        if (s.p[i] >= '0' && s.p[i] <= '9')
            d[n++] = (unsigned)(s.p[i] - '0');
        else if (s.p[i] == '%')
            i += 2;
        else if (!memchr("-:TZ", s.p[i], 4))
            return false;
    }
    if (n != SC_COUNT(d))
        return false;
    const unsigned year = d[0] * 1000 + d[1] * 100 + d[2] * 10 + d[3], month = d[4] * 10 + d[5],
                   day = d[6] * 10 + d[7], hour = d[8] * 10 + d[9], minute = d[10] * 10 + d[11],
                   second = d[12] * 10 + d[13];
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    *unix_time = (uint64_t)days(year, month, day) * 86400 + (uint64_t)hour * 3600 +
                 (uint64_t)minute * 60 + second;
    return true;
}

uint64_t sc_http_url_expires(const char *url)
{
    const char *mark = url ? strchr(url, '?') : NULL;
    struct sc_str value, fragment, query;
    uint64_t at = 0, seconds;

    if (!mark)
        return 0;
    query = before(sc_strz(mark + 1), '#', &fragment);
    if (query_value(query, "X-Amz-Date", &value) && iso_date(value, &at))
        if (query_value(query, "X-Amz-Expires", &value) && sc_str_u64(value, &seconds))
            return sc_add_up(at, seconds);
    if (query_value(query, "Expires", &value) && sc_str_u64(value, &at))
        return at;
    if (query_value(query, "se", &value) && iso_date(value, &at))
        return at;
    return 0;
}

/* ------------------------------------------------------------------------------ the fields --- */

static void keep(char *out, size_t size, struct sc_str value)
{
    const size_t n = SC_MIN(value.n, size - 1);
    memcpy(out, value.p, n);
    out[n] = '\0';
}

static int keep_copy(char **out, struct sc_str value)
{
    free(*out);
    *out = sc_str_copy(value);
    return *out ? 0 : SCRUPLE_EMEMORY;
}

/* W/"abc" and "abc" are abc. */
static void keep_etag(char *out, size_t size, struct sc_str value)
{
    if (sc_str_starts(value, "W/"))
        value = sc_str(value.p + 2, value.n - 2);
    if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
        value = sc_str(value.p + 1, value.n - 2);
    keep(out, size, value);
}

/* Fields that are kept as they are, by name. */
static bool keep_text(struct sc_http_answer *a, struct sc_str name, struct sc_str value)
{
    const struct {
        const char *name;
        char *at;
        size_t size;
    } fields[] = {
        {"Content-Encoding", a->encoding, sizeof a->encoding},
        {"Content-Type", a->content_type, sizeof a->content_type},
        {"X-Repo-Commit", a->commit, sizeof a->commit},
        {"X-Xet-Hash", a->xet_hash, sizeof a->xet_hash},
        {"X-Error-Code", a->error_code, sizeof a->error_code},
        {"X-Error-Message", a->error_message, sizeof a->error_message},
        {"X-HF-Warning", a->warning, sizeof a->warning},
        {"X-Request-Id", a->request_id[0], sizeof a->request_id[0]},
        {"X-Amzn-Trace-Id", a->request_id[1], sizeof a->request_id[1]},
        {"X-Amz-Cf-Id", a->request_id[2], sizeof a->request_id[2]},
    };
    for (size_t i = 0; i < SC_COUNT(fields); i++)
        if (sc_str_eq_nocase(name, sc_strz(fields[i].name))) {
            keep(fields[i].at, fields[i].size, value);
            return true;
        }
    return false;
}

static int keep_field(struct sc_http_answer *a, struct sc_str name, struct sc_str value)
{
    struct sc_str next;

    if (keep_text(a, name, value))
        return 0;
    if (sc_str_eq_nocase(name, SC_STR("ETag")))
        keep_etag(a->etag, sizeof a->etag, value);
    else if (sc_str_eq_nocase(name, SC_STR("X-Linked-Etag")))
        keep_etag(a->linked_etag, sizeof a->linked_etag, value);
    else if (sc_str_eq_nocase(name, SC_STR("X-Linked-Size"))) {
        if (!sc_str_u64(value, &a->linked_size))
            a->linked_size = UINT64_MAX;
    } else if (sc_str_eq_nocase(name, SC_STR("Content-Length")))
        a->has_length = sc_str_u64(value, &a->length);
    else if (sc_str_eq_nocase(name, SC_STR("Content-Range")))
        a->has_range = sc_http_content_range(value, &a->begin, &a->end, &a->total, &a->unsatisfied);
    else if (sc_str_eq_nocase(name, SC_STR("RateLimit")))
        a->has_rate = sc_http_rate_limit(value, &a->rest, &a->renewal);
    else if (sc_str_eq_nocase(name, SC_STR("Retry-After")))
        a->has_retry_after = sc_http_retry_after(value, sc_http_unix_time(), &a->retry_after);
    else if (sc_str_eq_nocase(name, SC_STR("Location")))
        return keep_copy(&a->location, value);
    else if (sc_str_eq_nocase(name, SC_STR("Link")) && !a->next && sc_http_link_next(value, &next))
        return keep_copy(&a->next, next);
    return 0;
}

/* "HTTP/1.1 206 Partial Content": forgets what an answer before said (100, 103). */
static void status_line(struct sc_http_answer *a, struct sc_str line)
{
    struct sc_str rest;
    uint64_t status;
    const size_t bytes = a->header_bytes;

    before(line, ' ', &rest);
    sc_http_answer_clear(a);
    a->header_bytes = bytes;
    if (sc_str_u64(before(trim(rest), ' ', &rest), &status) && status >= 100 && status <= 999)
        a->status = (int)status;
}

int sc_http_header_line(struct sc_http_answer *a, struct sc_str line)
{
    struct sc_str value;

    if (sc_str_starts(line, "HTTP/")) {
        status_line(a, line);
        return 0;
    }
    const struct sc_str name = before(line, ':', &value);
    return keep_field(a, trim(name), trim(value));
}

void sc_http_answer_clear(struct sc_http_answer *a)
{
    free(a->location);
    free(a->next);
    *a = (struct sc_http_answer){.linked_size = UINT64_MAX, .total = UINT64_MAX};
}
