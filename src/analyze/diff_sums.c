/* SPDX-License-Identifier: Apache-2.0 */
/* diff_sums: figures over many pairs of a diff, and the sentence that sums it up. */
#include <math.h>

#include "analyze/diff.h"

void sc_diff_add(struct sc_diff_sums *to, const struct sc_diff_pair *p)
{
    const struct sc_change *c = p->change;

    if (!c || p->same != SC_NO_NODE)
        return;
    to->tensors++;
    to->changed_tensors += !c->identical;
    to->values = sc_add_up(to->values, c->values);
    to->compared = sc_add_up(to->compared, c->compared);
    to->changed = sc_add_up(to->changed, c->changed);
    if (!c->compared)
        return;
    to->aa += isnan(c->norm_a) ? 0 : c->norm_a * c->norm_a;
    to->bb += c->norm_b * c->norm_b;
    to->dd += c->l2 * c->l2;
    to->max_abs = fmax(to->max_abs, c->max_abs);
}

double sc_diff_relative(const struct sc_diff_sums *s)
{
    if (!s->compared)
        return (double)NAN;
    if (s->dd == 0)
        return 0;
    return s->aa > 0 ? sqrt(s->dd / s->aa) : (double)INFINITY;
}

double sc_diff_one_minus_cosine(const struct sc_diff_sums *s)
{
    const double a = sqrt(s->aa), b = sqrt(s->bb);

    if (!(a > 0) || !(b > 0))
        return (double)NAN;
    const double gap = (s->bb - s->aa) / (a + b);
    return fmin(fmax((s->dd - gap * gap) / (2 * a * b), 0), 2);
}

bool sc_diff_identical(const struct sc_diff *d)
{
    return d->n_status[SC_DIFF_SAME] == d->n;
}

static void put_number(struct sc_buf *out, size_t n, const char *word)
{
    sc_buf_printf(out, "%zu %s%s", n, word, n == 1 ? "" : "s");
}

static void put_rounding(const struct sc_diff *d, size_t changed, struct sc_buf *out)
{
    const size_t cast = d->n_verdict[SC_CHANGE_IS_CAST], about = d->n_verdict[SC_CHANGE_IS_ABOUT];

    if (cast && cast == changed)
        sc_buf_puts(out, "; all of it is rounding");
    else if (cast)
        sc_buf_printf(out, "; %zu of them by rounding alone", cast);
    if (about)
        sc_buf_printf(out, "; %zu by about as much as rounding does", about);
}

bool sc_diff_broke(const struct sc_diff *d, const struct sc_diff_pair *p)
{
    const struct sc_change *c = p->change;

    return c && c->nonfinite_b > (d->has_base ? c->nonfinite_a : 0);
}

/* Differences that are not finite are in no sum, so a NaN that came in would not be seen there. */
static void put_broken(const struct sc_diff *d, struct sc_buf *out)
{
    size_t more = 0;

    for (size_t i = 0; i < d->n; i++)
        more += sc_diff_broke(d, &d->pairs[i]);
    if (more)
        sc_buf_printf(out, "; %zu with more NaN or infinity in B", more);
}

void sc_diff_sentence(const struct sc_diff *d, struct sc_buf *out)
{
    static const char *const sides[] = {"A", "B"};
    const size_t only[] = {d->n_status[SC_DIFF_ONLY_A], d->n_status[SC_DIFF_ONLY_B]};
    const size_t changed = d->n_status[SC_DIFF_CHANGED], same = d->n_status[SC_DIFF_SAME];
    const double relative = sc_diff_relative(&d->sums);

    if (!d->n)
        sc_buf_puts(out, "there are no tensors to compare");
    else if (!changed && !same)
        sc_buf_puts(out, "nothing could be compared");
    else if (!changed && d->adapter)
        sc_buf_puts(out, "the adapter changes nothing");
    else if (!changed)
        sc_buf_printf(out, "all values of %zu tensor%s are the same", same, same == 1 ? "" : "s");
    else if (d->adapter)
        put_number(out, changed, "updated tensor");
    else {
        sc_buf_printf(out, "%zu of ", changed);
        put_number(out, changed + same, "tensor");
        sc_buf_puts(out, " changed");
    }
    if (changed && d->has_base && !isnan(relative))
        sc_buf_printf(out, "; relative change %.3g", relative);
    put_rounding(d, changed, out);
    put_broken(d, out);
    if (d->n_status[SC_DIFF_SHAPE])
        sc_buf_printf(out, "; %zu with another shape", d->n_status[SC_DIFF_SHAPE]);
    for (size_t i = 0; i < 2; i++)
        if (only[i] && d->has_base)
            sc_buf_printf(out, "; %zu only in %s", only[i], sides[i]);
    if (!d->has_base && only[1])
        sc_buf_printf(out, "; %zu replaced as a whole", only[1]);
    if (d->n_status[SC_DIFF_UNREADABLE])
        sc_buf_printf(out, "; %zu could not be compared", d->n_status[SC_DIFF_UNREADABLE]);
    sc_finetune_sentence(d, out);
    if (d->adapter && d->adapter->n_left)
        sc_buf_printf(out, "; %zu of the adapter's tensors not used", d->adapter->n_left);
}
