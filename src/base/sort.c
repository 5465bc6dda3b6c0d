/* SPDX-License-Identifier: Apache-2.0 */
/* sort: order without memory of its own. Heapsort (Williams 1964), with the descent to
 * a leaf and back up that spares half of the comparisons (Wegener 1993); an array that is in order
 * already, as lists of tensors mostly are, is only looked at. */
#include "base/base.h"

#include <string.h>

struct array {
    char *p;
    size_t size;
    int (*compare)(const void *, const void *);
};

static char *item(const struct array *a, size_t i)
{
    return a->p + i * a->size;
}

static void swap(const struct array *a, size_t i, size_t k)
{
    char *x = item(a, i), *y = item(a, k), spare[64];
    for (size_t left = a->size; left > 0;) {
        const size_t n = SC_MIN(left, sizeof spare);
        memcpy(spare, x, n);
        memcpy(x, y, n);
        memcpy(y, spare, n);
        x += n;
        y += n;
        left -= n;
    }
}

/* Items below `end` are a heap but for the one at `root`. */
static void sift(const struct array *a, size_t root, size_t end)
{
    size_t at = root;
    while (2 * at + 2 < end) { /* always to the larger child */
        const size_t left = 2 * at + 1;
        at = a->compare(item(a, left), item(a, left + 1)) < 0 ? left + 1 : left;
    }
    if (2 * at + 1 < end)
        at = 2 * at + 1;
    while (at > root && a->compare(item(a, at), item(a, root)) < 0)
        at = (at - 1) / 2;
    for (; at > root; at = (at - 1) / 2) /* the path moves up, the root takes its place */
        swap(a, at, root);
}

void sc_sort(void *p, size_t n, size_t size, int (*compare)(const void *, const void *))
{
    const struct array a = {p, size, compare};
    size_t sorted = 1;
    while (sorted < n && compare(item(&a, sorted - 1), item(&a, sorted)) <= 0)
        sorted++;
    if (sorted >= n)
        return;
    for (size_t i = n / 2; i-- > 0;)
        sift(&a, i, n);
    for (size_t end = n; end-- > 1;) {
        swap(&a, 0, end);
        sift(&a, 0, end);
    }
}

/* Hoare's FIND. */
double sc_select(double *v, size_t n, size_t k)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        const double pivot = v[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (v[i] < pivot)
                i++;
            while (pivot < v[j])
                j--;
            if (i >= j)
                break;
            const double x = v[i];
            v[i++] = v[j];
            v[j--] = x;
        }
        if (k <= j)
            high = j;
        else
            low = j + 1;
    }
    return v[k];
}
