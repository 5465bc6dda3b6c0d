/* SPDX-License-Identifier: Apache-2.0 */
/* run: how long programs take from fork to exit, and how much memory they had at most.
 *
 *   run [-n RUNS] [-w WARMUPS] -- PROGRAM ARG... [-- PROGRAM ARG...]...
 *
 * The programs take turns (A B A B ...), so that whatever else the machine does meets all of them.
 * Their output is thrown away. One line a program, in order, tab separated:
 *
 *   fastest and median wall time in seconds, highest peak RSS in bytes, exit status (128 + signal)
 *
 * A child's peak RSS starts at the size its parent had when it forked, so this program stays as
 * small as it can: no buffers, and no results but one array. Does not judge anything. */
#define _DEFAULT_SOURCE 1 /* NOLINT: for wait4(), the only way to the usage of one child */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

enum { MAX_PROGRAMS = 8, MAX_RUNS = 1000 };

struct program {
    char **argv;
    double seconds[MAX_RUNS];
    long rss_max; /* as the system counts: KiB on Linux */
    int status;   /* of the last run */
};
static struct program programs[MAX_PROGRAMS];

static void fail(const char *what)
{
    fprintf(stderr, "run: %s\n", what);
    exit(2);
}

static void become(char **argv)
{
    const int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
        _exit(126);
    if (argv[0])
        execvp(argv[0], argv);
    _exit(127);
}

static double run_once(struct program *p)
{
    struct rusage usage;
    int status;
    const double start = now();
    const pid_t child = fork();
    if (child < 0)
        fail("cannot fork");
    if (child == 0)
        become(p->argv);
    if (wait4(child, &status, 0, &usage) != child)
        fail("cannot wait");
    const double seconds = now() - start;
    if (usage.ru_maxrss > p->rss_max)
        p->rss_max = usage.ru_maxrss;
    p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return seconds;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t number(const char *text, size_t max)
{
    char *end;
    const unsigned long n = strtoul(text, &end, 10);
    if (end == text || *end || n > max)
        fail("a number of runs is at most 1000");
    return n;
}

/* Cut argv at each "--"; returns the number of programs. */
static size_t split(char **argv)
{
    size_t n = 0;
    for (char **arg = argv; *arg; arg++) {
        if (strcmp(*arg, "--") != 0)
            continue;
        *arg = NULL;
        if (n == MAX_PROGRAMS || !arg[1])
            fail("at most 8 programs, and none without a name");
        programs[n++].argv = arg + 1;
    }
    return n;
}

int main(int argc, char **argv)
{
    size_t runs = 10, warmups = 2;
    int option;
    while ((option = getopt(argc, argv, "+n:w:")) != -1) {
        if (option == 'n')
            runs = number(optarg, MAX_RUNS);
        else if (option == 'w')
            warmups = number(optarg, MAX_RUNS);
        else
            return 2;
    }
    /* getopt has skipped the first "--"; it is needed to start the first program. */
    if (optind < 2 || strcmp(argv[optind - 1], "--") != 0 || runs == 0)
        fail("usage: run [-n RUNS] [-w WARMUPS] -- PROGRAM ARG... [-- PROGRAM ARG...]...");
    const size_t n = split(argv + optind - 1);
    for (size_t i = 0; i < warmups + runs; i++)
        for (size_t k = 0; k < n; k++) {
            const double seconds = run_once(&programs[k]);
            if (i >= warmups)
                programs[k].seconds[i - warmups] = seconds;
        }
    for (size_t k = 0; k < n; k++) {
        struct program *p = &programs[k];
        qsort(p->seconds, runs, sizeof p->seconds[0], by_size);
        printf("%.6f\t%.6f\t%lld\t%d\n", p->seconds[0], p->seconds[runs / 2],
               (long long)p->rss_max * 1024, p->status);
    }
    return 0;
}
