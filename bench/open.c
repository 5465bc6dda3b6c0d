/* SPDX-License-Identifier: Apache-2.0 */
/* open: how fast headers are scanned and validated, without starting a program or printing a tree.
 *
 *   open MODEL [RUNS]
 *
 * One tab-separated line: entries, bytes of headers, fastest and median seconds of
 * sc_catalog_open() and, as the limit of any program that looks at every byte once, the fastest
 * pass that only sums up the same headers. */
#include "format/format.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_RUNS = 1000 };

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Every header byte of the model, once. */
static int sum_headers(struct sc_repo *repo, const struct sc_catalog *c, uint64_t *sum,
                       struct sc_error *e)
{
    for (size_t i = 0; i < c->n_files; i++) {
        struct sc_source *s;
        const uint64_t n = c->files[i].header_bytes;
        TRY(sc_repo_open_file(repo, c->files[i].path, &s, e));
        const uint8_t *p = sc_source_map(s, 0, (size_t)n);
        for (uint64_t k = 0; p && k + 8 <= n; k += 8)
            *sum += sc_le64(p + k);
        sc_source_close(s);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static double seconds[MAX_RUNS];
    const long runs = argc > 2 ? strtol(argv[2], NULL, 10) : 5;
    struct sc_error e = {0};
    struct sc_repo *repo = NULL;
    struct sc_catalog *c = NULL;
    uint64_t headers = 0, sum = 0;
    size_t entries = 0;
    double sum_seconds = 1e9;
    int status = 1;
    if (argc < 2 || runs < 1 || runs > MAX_RUNS) {
        fputs("usage: open MODEL [RUNS]\n", stderr);
        return 2;
    }
    if (sc_repo_open_local(argv[1], &repo, &e) < 0)
        goto done;
    for (long i = 0; i < runs; i++) {
        double start = now();
        if (sc_catalog_open(repo, NULL, &c, &e) < 0)
            goto done;
        seconds[i] = now() - start;
        entries = c->n_entries;
        headers = 0;
        for (size_t k = 0; k < c->n_files; k++)
            headers += c->files[k].header_bytes;
        start = now();
        if (sum_headers(repo, c, &sum, &e) < 0)
            goto done;
        sum_seconds = SC_MIN(sum_seconds, now() - start);
        sc_catalog_close(c);
        c = NULL;
    }
    qsort(seconds, (size_t)runs, sizeof seconds[0], by_size);
    printf("%zu\t%llu\t%.6f\t%.6f\t%.6f\n", entries, (unsigned long long)headers, seconds[0],
           seconds[runs / 2], sum_seconds);
    fprintf(stderr, "sum %016llx\n", (unsigned long long)sum); /* so that it is computed */
    status = 0;
done:
    if (status)
        fprintf(stderr, "open: %s\n", e.text);
    sc_catalog_close(c);
    sc_repo_close(repo);
    return status;
}
