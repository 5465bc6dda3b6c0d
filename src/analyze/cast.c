/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/cast.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------- what to try ---
 */
int sc_casts_parse(const char *text, struct sc_casts *out, struct sc_error *e)
{
    struct sc_quoted q;

    *out = (struct sc_casts){.off = strcmp(text, "none") == 0};
    for (const char *p = text; !out->off; p++) {
        const size_t n = strcspn(p, ",");
        if (out->n == SC_MAX_CASTS)
            return sc_fail(e, SCRUPLE_EUSAGE, "--cast takes at most %d formats", (int)SC_MAX_CASTS);
        struct sc_encoding *f = &out->format[out->n++];
        if (sc_encoding_parse(sc_str(p, n), f, e) < 0) {
            sc_error_prefix(e, "--cast");
            return SCRUPLE_EUSAGE;
        }
        if (f->over != SC_OVER_NOTHING || f->scheme == SC_SCHEME_ZERO || f->other_axis)
            return sc_fail(e, SCRUPLE_EUSAGE,
                           "--cast cannot be \"%s\": only formats whose scales lie within a row "
                           "can be tried",
                           sc_quote(&q, sc_str(p, n)));
        p += n;
        if (!*p)
            break;
    }
    return 0;
}

/* How values get into the type of a stored tensor; false: not by themselves. */
static bool own_encoding(const struct sc_tensor *t, struct sc_encoding *out)
{
    if (t->layout != SC_LAYOUT_PLAIN && t->layout != SC_LAYOUT_GGML)
        return false;
    *out = (struct sc_encoding){.scheme = SC_SCHEME_ZERO, .unit = 1};
    if (strcmp(t->dtype, "F32") == 0 || strcmp(t->dtype, "F64") == 0)
        return true;
    for (size_t i = 0; i < sc_n_encodings; i++) {
        const struct sc_encoding_info *info = &sc_encodings[i];
        if ((info->scheme == SC_SCHEME_CAST || info->scheme == SC_SCHEME_GGML) && info->codec &&
            strcmp(info->codec, t->dtype) == 0)
            return sc_encoding_parse(sc_strz(info->name), out, NULL) == 0 &&
                   out->over == SC_OVER_NOTHING;
    }
    return false;
}

static bool suits(const struct sc_encoding *f, uint64_t cols)
{
    return f->scheme == SC_SCHEME_ZERO || f->unit <= 1 ||
           (cols % f->unit == 0 && SC_CHUNK_VALUES % f->unit == 0);
}

static void add(struct sc_trials *out, const struct sc_encoding *by, const struct sc_encoding *own,
                bool of_b)
{
    out->t[out->n++] = (struct sc_trial){.by = by, .own = *own, .of_b = of_b};
}

void sc_trials_of(const struct sc_casts *c, const struct sc_tensor *a, const struct sc_tensor *b,
                  uint64_t cols, struct sc_trials *out)
{
    struct sc_encoding own[2];
    const bool has[2] = {own_encoding(a, &own[0]), own_encoding(b, &own[1])};

    out->n = 0;
    if (c->off)
        return;
    for (size_t side = 2; side-- > 0;) /* B was made of A: the usual order */
        if (has[side] && own[side].scheme != SC_SCHEME_ZERO && suits(&own[side], cols) &&
            strcmp(a->dtype, b->dtype) != 0)
            add(out, NULL, &own[side], side == 0);
    for (size_t i = 0; i < c->n; i++)
        for (size_t side = 2; side-- > 0;)
            if (has[side] && suits(&own[side], cols) && suits(&c->format[i], cols))
                add(out, &c->format[i], &own[side], side == 0);
}

/* ------------------------------------------------------------------------------------ trying ---
 */
static void round_by(const struct sc_encoding *f, const float *x, size_t n, float *y)
{
    if (f->scheme == SC_SCHEME_ZERO)
        memmove(y, x, n * sizeof *y);
    else
        sc_rounder(f, sc_cpu_level())(f, NULL, x, n, y);
}

void sc_trial_run(const struct sc_trial *t, const float *a, const float *b, size_t n, float *work,
                  struct sc_trial_sums *sums)
{
    const float *from = t->of_b ? b : a, *to = t->of_b ? a : b;
    uint64_t unexplained = 0;
    double squares = 0;

    if (t->by)
        round_by(t->by, from, n, work);
    round_by(&t->own, t->by ? work : from, n, work);
    for (size_t i = 0; i < n; i++)
        unexplained += !(work[i] == to[i] || (isnan(work[i]) && isnan(to[i])));
    for (size_t i = 0; i < n; i++) {
        const double d = (double)work[i] - (double)from[i];
        squares += isfinite(d) ? d * d : 0;
    }
    sums->unexplained += unexplained;
    sums->squares += squares;
}

static const char *name_of(const struct sc_encoding *f)
{
    return f->scheme == SC_SCHEME_CAST || f->scheme == SC_SCHEME_GGML ? sc_codec(f->codec)->name
                                                                      : f->name;
}

void sc_trial_name(const struct sc_trial *t, char *out, size_t room)
{
    if (t->by)
        snprintf(out, room, "%s", t->by->name);
    else
        snprintf(out, room, "%s", name_of(&t->own));
}

static bool is_exact(const struct sc_encoding *f)
{
    return f->scheme != SC_SCHEME_GGML || sc_encoder_exact(f->codec);
}

bool sc_trial_exact(const struct sc_trial *t)
{
    return (!t->by || is_exact(t->by)) && is_exact(&t->own);
}
