/* SPDX-License-Identifier: Apache-2.0 */
/* sort: order without memory of its own, by heapsort (Williams 1964), with the descent to a leaf
 * and back up that spares half of the comparisons (Wegener 1993); an array that is in order
 * already, as lists of tensors mostly are, is only looked at. And order of numbers, byte by byte.
 */
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

void sc_sort_bits(uint64_t *v, uint64_t *spare, size_t n, unsigned low)
{
    uint64_t differ = 0, *from = v, *to = spare;
    for (size_t i = 1; i < n; i++)
        differ |= v[i] ^ v[0];
    for (unsigned shift = low; shift < 64; shift += 8) {
        size_t first[257] = {0};
        if ((differ >> shift & 0xff) == 0)
            continue;
        for (size_t i = 0; i < n; i++)
            first[(from[i] >> shift & 0xff) + 1]++;
        for (size_t i = 0; i < 256; i++)
            first[i + 1] += first[i];
        for (size_t i = 0; i < n; i++)
            to[first[from[i] >> shift & 0xff]++] = from[i];
        uint64_t *const sorted = to;
        to = from;
        from = sorted;
    }
    if (from != v)
        memcpy(v, from, n * sizeof *v);
}
