/* SPDX-License-Identifier: Apache-2.0 */
/* budget: what this process may take of the machine.
 *
 * A control group limits processors and memory, and so does every group above it:
 *
 *     /proc/self/cgroup     0::/a/b            version 2: one tree
 *                           3:cpu,cpuacct:/a   version 1: a tree for each controller
 *     /sys/fs/cgroup/a/b/cpu.max               "200000 100000": quota and period; "max": none
 *     /sys/fs/cgroup/a/b/memory.max            bytes, or "max"
 *     /sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us, cpu.cfs_period_us    -1: none
 *     /sys/fs/cgroup/memory/a/memory.limit_in_bytes                       about 2^63: none
 *
 * In a container the path is often that of the host, and only the root of the tree is there: what
 * is missing is passed over. (Linux: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1.) */
#include "stream/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 1024 };

/* The first line of folder/name, or false. */
static bool read_line(const char *folder, const char *name, char *line, size_t room)
{
    char path[PATH_ROOM + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "re");
    const bool read = f && fgets(line, (int)room, f);
    if (f)
        fclose(f);
    return read;
}

static void limit_cpus(struct sc_limits *l, double quota, double period)
{
    if (quota > 0 && period > 0 && (l->cpus == 0 || quota / period < l->cpus))
        l->cpus = quota / period;
}

static void limit_memory(struct sc_limits *l, const char *text)
{
    const uint64_t none = UINT64_C(1) << 60; /* version 1 has no word for it */
    const unsigned long long n = strtoull(text, NULL, 10);
    if (n > 0 && n < none && (l->memory == 0 || n < l->memory))
        l->memory = n;
}

static void look_at(const char *folder, struct sc_limits *l)
{
    char a[128], b[128];
    char *end;
    if (read_line(folder, "cpu.max", a, sizeof a)) { /* "max 100000" or "150000 100000" */
        const double quota = strtod(a, &end);
        limit_cpus(l, quota, strtod(end, NULL));
    }
    if (read_line(folder, "cpu.cfs_quota_us", a, sizeof a) &&
        read_line(folder, "cpu.cfs_period_us", b, sizeof b))
        limit_cpus(l, strtod(a, NULL), strtod(b, NULL));
    if (read_line(folder, "memory.max", a, sizeof a))
        limit_memory(l, a);
    if (read_line(folder, "memory.limit_in_bytes", a, sizeof a))
        limit_memory(l, a);
}

/* A group and all above it, up to the root of its tree. */
static void climb(const char *tree, const char *group, struct sc_limits *l)
{
    char folder[PATH_ROOM];
    const size_t root = strlen(tree);
    if (snprintf(folder, sizeof folder, "%s%s", tree, group) >= (int)sizeof folder)
        return;
    for (;;) {
        look_at(folder, l);
        char *slash = strrchr(folder + root, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

static bool names(const char *controllers, const char *one)
{
    const size_t n = strlen(one);
    for (const char *p = controllers; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, one, n) == 0 && (p[n] == ',' || p[n] == '\0'))
            return true;
    }
    return false;
}

void sc_limits_read(const char *root, struct sc_limits *out)
{
    char path[PATH_ROOM], line[PATH_ROOM];
    *out = (struct sc_limits){0};
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        char tree[PATH_ROOM * 2];
        char *controllers = strchr(line, ':'), *group = NULL;
        if (controllers)
            group = strchr(++controllers, ':');
        if (!group)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (*controllers && !names(controllers, "cpu") && !names(controllers, "memory"))
            continue;
        snprintf(tree, sizeof tree, "%s/sys/fs/cgroup%s%s", root, *controllers ? "/" : "",
                 controllers);
        climb(tree, group, out);
    }
    if (f)
        fclose(f);
}

uint64_t sc_memory_budget(uint64_t asked)
{
    const uint64_t least = UINT64_C(64) << 20;
    struct sc_limits limits;
    if (asked)
        return SC_MAX(asked, least);
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : least * 4;
    sc_limits_read("", &limits);
    if (limits.memory)
        memory = SC_MIN(memory, limits.memory);
    return SC_MAX(memory / 4, least);
}
