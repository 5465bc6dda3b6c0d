/* SPDX-License-Identifier: Apache-2.0 */
/* encode_fit_body: the search of encode_fit.h, once for every level.
 *
 * Included by encode_fit.c and, twice, by encode_fit_x86.c, which say what 16 floats are (`lanes`,
 * `lanes_mask` and the functions on them) and how a function is compiled and called (FIT_TARGET,
 * FIT(name)). Nothing is fused and nothing is added across lanes but in the scalar code that all
 * share, so the order of float operations is the same, and so are the bytes. */

#ifdef FIT_TARGET /* else there is nothing to compile */
#define FIT_FN FIT_TARGET static inline __attribute__((always_inline))

FIT_FN lanes FIT(code)(const struct sc_fit_shape *s, lanes y)
{
    if (s->levels)
        return fit_iq4(y);
    return fit_round(fit_min(fit_max(y, fit_set(s->low)), fit_set(s->high)));
}

/* 1 / v, 0 where v is too small to divide by. */
FIT_FN lanes FIT(inverse)(lanes v)
{
    const lanes zero = fit_set(0), tiny = fit_set(0x1p-60F);
    const lanes size = fit_max(v, fit_sub(zero, v));
    return fit_pick(fit_less(tiny, size), fit_div(fit_set(1), v), zero);
}
/* a / b, 0 where b is 0. */
FIT_FN lanes FIT(ratio)(lanes a, lanes b)
{
    const lanes zero = fit_set(0);
    return fit_pick(fit_less(zero, b), fit_div(a, b), zero);
}

/* --------------------------------------------------------------------- groups without a minimum */

/* The value of the largest size, with its sign. */
FIT_FN lanes FIT(top)(const struct sc_fit_shape *s, const float *x)
{
    lanes low = fit_set(0), high = low;
    for (size_t e = 0; e < s->values; e++) {
        const lanes v = fit_load(x + 16 * e);
        low = fit_min(low, v);
        high = fit_max(high, v);
    }
    return fit_pick(fit_less(fit_sub(fit_set(0), low), high), high, low);
}

/* The scale that explains most, of those that give the largest value the codes s->at. */
FIT_FN lanes FIT(scale)(const struct sc_fit_shape *s, const float *x)
{
    const lanes inverse = FIT(inverse)(FIT(top)(s, x));
    lanes best = fit_set(0), scale = best;
    for (size_t t = 0; t < s->trials; t++) {
        const lanes by = fit_mul(inverse, fit_set(s->at[t]));
        lanes xq = fit_set(0), qq = xq;
        for (size_t e = 0; e < s->values; e++) {
            const lanes v = fit_load(x + 16 * e), q = FIT(code)(s, fit_mul(v, by));
            xq = fit_add(xq, fit_mul(v, q));
            qq = fit_add(qq, fit_mul(q, q));
        }
        const lanes slope = FIT(ratio)(xq, qq), gain = fit_mul(slope, xq);
        const lanes_mask better = fit_less(best, gain);
        scale = fit_pick(better, slope, scale);
        best = fit_pick(better, gain, best);
    }
    return scale;
}

/* Squared error of a group with this scale, and the sums that a better one follows from. */
FIT_FN lanes FIT(error)(const struct sc_fit_shape *s, const float *x, lanes scale, lanes *xq,
                        lanes *qq)
{
    const lanes inverse = FIT(inverse)(scale);
    lanes error = fit_set(0);
    *xq = *qq = error;
    for (size_t e = 0; e < s->values; e++) {
        const lanes v = fit_load(x + 16 * e), q = FIT(code)(s, fit_mul(v, inverse));
        const lanes off = fit_sub(v, fit_mul(scale, q));
        error = fit_add(error, fit_mul(off, off));
        *xq = fit_add(*xq, fit_mul(v, q));
        *qq = fit_add(*qq, fit_mul(q, q));
    }
    return error;
}

/* Code scales for the halves f->d: the one next to `want`, or a neighbour that is better. */
FIT_FN void FIT(choose)(const struct sc_fit_shape *s, const float *x, lanes want,
                        struct sc_fit_found *f)
{
    const lanes d = fit_load(f->d), least = fit_set(s->least), most = fit_set(s->most);
    const lanes at = fit_round(fit_min(fit_max(fit_mul(want, FIT(inverse)(d)), least), most));
    lanes error = fit_set(0x1p120F), scale = at, xq = at, qq = at;
    for (int i = -s->reach; i <= s->reach; i++) {
        lanes a, b;
        const lanes trial = fit_min(fit_max(fit_add(at, fit_set((float)i)), least), most);
        const lanes now = FIT(error)(s, x, fit_mul(d, trial), &a, &b);
        const lanes_mask better = fit_less(now, error);
        error = fit_pick(better, now, error);
        scale = fit_pick(better, trial, scale);
        xq = fit_pick(better, a, xq);
        qq = fit_pick(better, b, qq);
    }
    fit_store(f->error, error);
    fit_store(f->scale, scale);
    fit_store(f->xq, xq);
    fit_store(f->qq, qq);
}

/* Codes less s->low, as bytes in the order of x. */
FIT_FN void FIT(codes)(const struct sc_fit_shape *s, const float *x, lanes scale, uint8_t *codes)
{
    const lanes inverse = FIT(inverse)(scale);
    for (size_t e = 0; e < s->values; e++) {
        const lanes q = FIT(code)(s, fit_mul(fit_load(x + 16 * e), inverse));
        fit_bytes(codes + 16 * e, fit_sub(q, fit_set(s->low)));
    }
}

/* A run of blocks, transposed: their halves, code scales and codes. */
FIT_FN void FIT(symmetric)(const struct sc_fit_shape *s, const float *x, struct sc_fit_found *f,
                           uint8_t *codes)
{
    struct sc_fit_found again;
    lanes want = FIT(scale)(s, x);
    fit_store(f->scale, want);
    sc_fit_first_halves(f->d, f->scale, s->groups, s->least);
    FIT(choose)(s, x, want, f);
    sc_fit_better_halves(s, f, again.d);
    want = fit_mul(fit_load(f->d), fit_load(f->scale));
    FIT(choose)(s, x, want, &again);
    sc_fit_keep_better(s, f, &again);
    FIT(codes)(s, x, fit_mul(fit_load(f->d), fit_load(f->scale)), codes);
}

/* ------------------------------------------------------------------------ groups with a minimum */

/* Scale and minimum that leave the least squared error, of trials in which the range of the values
 * takes `at` codes. Values are counted from the least one, `low`, so that sums do not cancel. */
FIT_FN void FIT(line)(const struct sc_fit_shape *s, const float *x, lanes *scale, lanes *min)
{
    const lanes zero = fit_set(0), n = fit_set((float)s->values);
    lanes low = zero, high = fit_set(-0x1p100F), sum = zero, best = fit_set(0x1p120F);
    for (size_t e = 0; e < s->values; e++) {
        const lanes v = fit_load(x + 16 * e);
        low = fit_min(low, v);
        high = fit_max(high, v);
    }
    for (size_t e = 0; e < s->values; e++)
        sum = fit_add(sum, fit_sub(fit_load(x + 16 * e), low));
    const lanes inverse = FIT(inverse)(fit_sub(high, low));
    *scale = zero;
    *min = fit_sub(zero, low);
    for (size_t t = 0; t < s->trials; t++) {
        const lanes by = fit_mul(inverse, fit_set(s->at[t]));
        lanes yq = zero, qq = zero, q1 = zero;
        for (size_t e = 0; e < s->values; e++) {
            const lanes y = fit_sub(fit_load(x + 16 * e), low), q = FIT(code)(s, fit_mul(y, by));
            yq = fit_add(yq, fit_mul(y, q));
            qq = fit_add(qq, fit_mul(q, q));
            q1 = fit_add(q1, q);
        }
        const lanes det = fit_sub(fit_mul(n, qq), fit_mul(q1, q1));
        lanes slope = FIT(ratio)(fit_sub(fit_mul(n, yq), fit_mul(sum, q1)), det);
        lanes base = FIT(ratio)(fit_sub(fit_mul(qq, sum), fit_mul(q1, yq)), det);
        /* A minimum below 0 cannot be stored: then the line goes through 0. */
        const lanes over = fit_sub(zero, low);
        const lanes_mask through = fit_less(over, base);
        const lanes xq = fit_add(yq, fit_mul(low, q1));
        base = fit_pick(through, over, base);
        slope = fit_pick(through, fit_max(FIT(ratio)(xq, qq), zero), slope);
        /* Its error less the sum of y^2. */
        const lanes s2 = fit_mul(slope, fit_sub(fit_mul(slope, qq), fit_add(yq, yq)));
        const lanes b2 = fit_mul(base, fit_sub(fit_mul(base, n), fit_add(sum, sum)));
        const lanes sb = fit_mul(fit_mul(slope, base), fit_add(q1, q1));
        const lanes error = fit_add(fit_add(s2, b2), sb);
        const lanes_mask better = fit_less(error, best);
        best = fit_pick(better, error, best);
        *scale = fit_pick(better, slope, *scale);
        *min = fit_pick(better, fit_sub(over, base), *min);
    }
}

/* Squared error of a group; the sums that a better line follows from. */
FIT_FN lanes FIT(line_error)(const struct sc_fit_shape *s, const float *x, lanes scale, lanes min,
                             lanes *xq, lanes *qq, lanes *q1)
{
    const lanes inverse = FIT(inverse)(scale);
    lanes error = fit_set(0);
    *xq = *qq = *q1 = error;
    for (size_t e = 0; e < s->values; e++) {
        const lanes v = fit_load(x + 16 * e);
        const lanes q = FIT(code)(s, fit_mul(fit_add(v, min), inverse));
        const lanes off = fit_sub(v, fit_sub(fit_mul(scale, q), min));
        error = fit_add(error, fit_mul(off, off));
        *xq = fit_add(*xq, fit_mul(v, q));
        *qq = fit_add(*qq, fit_mul(q, q));
        *q1 = fit_add(*q1, q);
    }
    return error;
}

/* The minimum's code that fits best when codes are those of this scale and minimum. */
FIT_FN lanes FIT(min_code)(const struct sc_fit_shape *s, const float *x, lanes sum, lanes scale,
                           lanes min, lanes dmin)
{
    const lanes inverse = FIT(inverse)(scale);
    lanes q1 = fit_set(0);
    for (size_t e = 0; e < s->values; e++)
        q1 = fit_add(q1, FIT(code)(s, fit_mul(fit_add(fit_load(x + 16 * e), min), inverse)));
    const lanes mean = fit_mul(fit_sub(fit_mul(scale, q1), sum), fit_set(1 / (float)s->values));
    return fit_round(
        fit_min(fit_max(fit_mul(mean, FIT(inverse)(dmin)), fit_set(0)), fit_set(s->most)));
}

/* Code scales and minima for the halves f->d and f->dmin, near those that are wanted. */
FIT_FN void FIT(choose_line)(const struct sc_fit_shape *s, const float *x, lanes scale, lanes min,
                             struct sc_fit_found *f)
{
    const lanes d = fit_load(f->d), dmin = fit_load(f->dmin);
    const lanes zero = fit_set(0), most = fit_set(s->most);
    const lanes at = fit_round(fit_min(fit_mul(scale, FIT(inverse)(d)), most));
    lanes sum = zero, error = fit_set(0x1p120F), xq = zero, qq = zero, q1 = zero;
    lanes best_scale = zero, best_min = zero;
    for (size_t e = 0; e < s->values; e++)
        sum = fit_add(sum, fit_load(x + 16 * e));
    for (int i = -s->reach; i <= s->reach; i++) {
        lanes a, b, c;
        const lanes trial = fit_min(fit_max(fit_add(at, fit_set((float)i)), zero), most);
        const lanes step = fit_mul(d, trial);
        const lanes code = FIT(min_code)(s, x, sum, step, min, dmin);
        const lanes now = FIT(line_error)(s, x, step, fit_mul(dmin, code), &a, &b, &c);
        const lanes_mask better = fit_less(now, error);
        error = fit_pick(better, now, error);
        best_scale = fit_pick(better, trial, best_scale);
        best_min = fit_pick(better, code, best_min);
        xq = fit_pick(better, a, xq);
        qq = fit_pick(better, b, qq);
        q1 = fit_pick(better, c, q1);
    }
    fit_store(f->error, error);
    fit_store(f->scale, best_scale);
    fit_store(f->min, best_min);
    fit_store(f->xq, xq);
    fit_store(f->qq, qq);
    fit_store(f->q, q1);
    fit_store(f->x, sum);
}

FIT_FN void FIT(with_minimum)(const struct sc_fit_shape *s, const float *x, struct sc_fit_found *f,
                              uint8_t *codes)
{
    struct sc_fit_found again;
    lanes scale, min;
    FIT(line)(s, x, &scale, &min);
    fit_store(f->scale, scale);
    fit_store(f->min, min);
    sc_fit_first_halves(f->d, f->scale, s->groups, s->most);
    sc_fit_first_halves(f->dmin, f->min, s->groups, s->most);
    FIT(choose_line)(s, x, scale, min, f);
    sc_fit_better_lines(s, f, again.d, again.dmin);
    scale = fit_mul(fit_load(f->d), fit_load(f->scale));
    min = fit_mul(fit_load(f->dmin), fit_load(f->min));
    FIT(choose_line)(s, x, scale, min, &again);
    sc_fit_keep_better(s, f, &again);
    scale = fit_mul(fit_load(f->d), fit_load(f->scale));
    min = fit_mul(fit_load(f->dmin), fit_load(f->min));
    const lanes inverse = FIT(inverse)(scale);
    for (size_t e = 0; e < s->values; e++)
        fit_bytes(codes + 16 * e,
                  FIT(code)(s, fit_mul(fit_add(fit_load(x + 16 * e), min), inverse)));
}

/* --------------------------------------------------------------------------------- the encoders */

/* Runs of blocks that fill 16 lanes; the last one may fill fewer. */
FIT_FN void FIT(blocks)(enum sc_fit_type type, const float *x, uint8_t *dst, size_t n)
{
    const struct sc_fit_shape *s = &sc_fit_shapes[type];
    const size_t most = 16 / s->groups;
    _Alignas(64) float lines[SC_FIT_VALUES];
    uint8_t codes[SC_FIT_VALUES];
    struct sc_fit_found f;
    while (n) {
        const size_t blocks = SC_MIN(n, most);
        sc_fit_transpose(s, x, blocks, lines);
        if (s->minimum)
            FIT(with_minimum)(s, lines, &f, codes);
        else
            FIT(symmetric)(s, lines, &f, codes);
        sc_fit_pack(type, &f, codes, blocks, dst);
        x += blocks * s->groups * s->values;
        dst += blocks * s->bytes;
        n -= blocks;
    }
}

#define FIT_ENCODER(id, type)                                                                      \
    FIT_TARGET void FIT(sc_encode_##id)(const float *x, uint8_t *dst, size_t n)                    \
    {                                                                                              \
        FIT(blocks)(type, x, dst, n);                                                              \
    }
FIT_ENCODER(q2_k, SC_FIT_Q2_K)
FIT_ENCODER(q3_k, SC_FIT_Q3_K)
FIT_ENCODER(q4_k, SC_FIT_Q4_K)
FIT_ENCODER(q5_k, SC_FIT_Q5_K)
FIT_ENCODER(q6_k, SC_FIT_Q6_K)
FIT_ENCODER(iq4_nl, SC_FIT_IQ4_NL)
FIT_ENCODER(iq4_xs, SC_FIT_IQ4_XS)
#undef FIT_ENCODER
#undef FIT_FN

#endif
