/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: every call once, nested loops, jobs that grow, limits of control groups. */
#include "stream/pool.h"

#include <signal.h>
#include <stdlib.h>

#include "scratch.h"
#include "test.h"

static struct sc_pool *pool_of(unsigned threads)
{
    struct sc_pool *p = NULL;
    return sc_pool_new(threads, &p, NULL) == 0 ? p : NULL;
}

struct counts {
    _Atomic unsigned char *hits;
    _Atomic size_t sum;
    struct sc_pool *pool;
    size_t inner;
    unsigned depth;
};

static void hit(void *ctx, size_t i)
{
    struct counts *c = ctx;
    c->hits[i]++;
    c->sum += i;
}

TEST(every_index_is_called_once)
{
    enum { MOST = 10000 };
    static _Atomic unsigned char hits[MOST];
    for (unsigned threads = 1; threads <= 8; threads++) {
        struct sc_pool *p = pool_of(threads);
        REQUIRE(p);
        CHECK_U64(sc_pool_threads(p), threads);
        for (size_t n = 0; n <= MOST; n = n * 10 + 1) {
            struct counts c = {.hits = hits};
            for (size_t i = 0; i < MOST; i++)
                hits[i] = 0;
            sc_pool_for(p, n, hit, &c);
            for (size_t i = 0; i < MOST; i++)
                if (hits[i] != (i < n))
                    CHECK_U64(hits[i], i < n);
            CHECK_U64(c.sum, n * (n - (n > 0)) / 2);
        }
        sc_pool_free(p);
    }
    sc_pool_free(NULL);
}

static void nest(void *ctx, size_t i)
{
    struct counts *c = ctx;
    struct counts inner = {.pool = c->pool, .inner = c->inner, .depth = c->depth - 1};
    (void)i;
    if (c->depth == 0) {
        c->sum++;
        return;
    }
    sc_pool_for(c->pool, c->inner, nest, &inner);
    c->sum += inner.sum;
}

TEST(loops_inside_loops_end)
{
    for (unsigned threads = 1; threads <= 8; threads *= 2) {
        struct sc_pool *p = pool_of(threads);
        REQUIRE(p);
        for (unsigned depth = 0; depth <= 4; depth++) {
            struct counts c = {.pool = p, .inner = 5, .depth = depth};
            size_t want = 1;
            for (unsigned i = 0; i < depth; i++)
                want *= 5;
            nest(&c, 0);
            CHECK_U64(c.sum, want);
        }
        sc_pool_free(p);
    }
}

/* Callers that are threads of somebody else. */
static void *call_from_outside(void *arg)
{
    struct counts *c = arg;
    struct counts mine = {.pool = c->pool, .inner = 7, .depth = 3};
    nest(&mine, 0);
    c->sum += mine.sum;
    return NULL;
}

TEST(many_callers_share_a_pool)
{
    pthread_t callers[6];
    struct sc_pool *p = pool_of(3);
    REQUIRE(p);
    struct counts c = {.pool = p};
    for (size_t i = 0; i < SC_COUNT(callers); i++)
        REQUIRE(pthread_create(&callers[i], NULL, call_from_outside, &c) == 0);
    for (size_t i = 0; i < SC_COUNT(callers); i++)
        pthread_join(callers[i], NULL);
    CHECK_U64(c.sum, SC_COUNT(callers) * 7 * 7 * 7);
    sc_pool_free(p);
}

/* The last call of a long job gets help from whoever waits for the others: its inner loop needs two
 * threads at once, or never ends. */
struct meeting {
    struct sc_pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t all_here;
    unsigned here, wanted;
};

static void meet(void *ctx, size_t i)
{
    struct meeting *m = ctx;
    (void)i;
    pthread_mutex_lock(&m->lock);
    m->here++;
    pthread_cond_broadcast(&m->all_here);
    while (m->here < m->wanted)
        pthread_cond_wait(&m->all_here, &m->lock);
    pthread_mutex_unlock(&m->lock);
}

static void last_is_long(void *ctx, size_t i)
{
    struct meeting *m = ctx;
    if (i == 5)
        sc_pool_for(m->pool, m->wanted, meet, m);
}

TEST(waiting_callers_help_with_inner_loops)
{
    for (unsigned threads = 2; threads <= 6; threads++) {
        struct meeting m = {.pool = pool_of(threads), .wanted = threads};
        REQUIRE(m.pool);
        pthread_mutex_init(&m.lock, NULL);
        pthread_cond_init(&m.all_here, NULL);
        sc_pool_for(m.pool, 6, last_is_long, &m);
        CHECK_U64(m.here, threads);
        pthread_cond_destroy(&m.all_here);
        pthread_mutex_destroy(&m.lock);
        sc_pool_free(m.pool);
    }
}

/* A job that grows by invitations and ends when it is closed. */
struct growing {
    struct sc_job job;
    _Atomic size_t calls;
    size_t until;
};

static void grow(void *ctx, size_t i)
{
    struct growing *g = ctx;
    (void)i;
    const size_t call = ++g->calls;
    if (call < g->until)
        sc_job_invite(&g->job, 2);
    else
        sc_job_close(&g->job);
}

TEST(jobs_grow_until_they_are_closed)
{
    for (unsigned threads = 1; threads <= 8; threads++) {
        struct sc_pool *p = pool_of(threads);
        REQUIRE(p);
        for (size_t round = 0; round < 50; round++) {
            struct growing g = {.until = 200};
            g.job = (struct sc_job){.fn = grow, .ctx = &g, .invitations = 1, .open = true};
            sc_pool_run(p, &g.job);
            CHECK(g.calls >= 200 && g.calls < 200 + 2 * threads);
        }
        sc_pool_free(p);
    }
}

static void look_at_signals(void *ctx, size_t i)
{
    struct meeting *m = ctx;
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    meet(m, i); /* everybody is here: nobody was asked twice */
    if (sigismember(&set, SIGINT) == 0 || sigismember(&set, SIGTERM) == 0) {
        pthread_mutex_lock(&m->lock);
        m->here += 100; /* not blocked: this is the thread of the test, once */
        pthread_mutex_unlock(&m->lock);
    }
    if (sigismember(&set, SIGBUS) != 0 || sigismember(&set, SIGSEGV) != 0)
        m->here += 1000;
}

TEST(signals_go_to_the_host)
{
    struct meeting m = {.pool = pool_of(4), .wanted = 4};
    REQUIRE(m.pool);
    pthread_mutex_init(&m.lock, NULL);
    pthread_cond_init(&m.all_here, NULL);
    sc_pool_for(m.pool, 4, look_at_signals, &m);
    CHECK_U64(m.here, 104);
    sc_pool_free(m.pool);
    pthread_cond_destroy(&m.all_here);
    pthread_mutex_destroy(&m.lock);
}

TEST(math_borrows_the_threads)
{
    static _Atomic unsigned char hits[100];
    struct sc_pool *p = pool_of(3);
    REQUIRE(p);
    const struct sc_parallel parallel = sc_pool_parallel(p);
    struct counts c = {.hits = hits};
    CHECK_U64(parallel.threads, 3);
    sc_parallel_run(&parallel, 100, hit, &c);
    CHECK_U64(c.sum, 4950);
    sc_pool_free(p);
}

/* -------------------------------------------------------------------------------- limits --- */

static void put(const char *path, const char *text)
{
    char full[1024];
    snprintf(full, sizeof full, "%s/%s", scratch_root, path);
    for (char *slash = full + strlen(scratch_root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0777);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

TEST(limits_are_those_of_all_groups_above)
{
    struct sc_limits l;
    REQUIRE(scratch_new());
    sc_limits_read(scratch_root, &l);
    CHECK(l.cpus == 0);
    CHECK_U64(l.memory, 0);

    put("proc/self/cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    put("sys/fs/cgroup/a/b/memory.max", "3000000000\n");
    put("sys/fs/cgroup/a/memory.max", "max\n");
    sc_limits_read(scratch_root, &l);
    CHECK(l.cpus == 2.5);
    CHECK_U64(l.memory, 3000000000);

    /* version 1, and the path of the host: only the root of the tree is there */
    put("proc/self/cgroup", "4:memory:/docker/0123\n3:cpu,cpuacct:/docker/0123\n1:name=x:/y\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    sc_limits_read(scratch_root, &l);
    CHECK(l.cpus == 0.5);
    CHECK_U64(l.memory, 1073741824);

    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    sc_limits_read(scratch_root, &l);
    CHECK(l.cpus == 0);
    CHECK_U64(l.memory, 0);

    put("proc/self/cgroup", "0::\n::\n:\nnonsense\n5:cpu");
    sc_limits_read(scratch_root, &l);
    scratch_remove();
}

TEST(the_budget_has_a_floor)
{
    CHECK_U64(sc_memory_budget(UINT64_C(1) << 40), UINT64_C(1) << 40);
    CHECK_U64(sc_memory_budget(1), 64 << 20);
    CHECK(sc_memory_budget(0) >= (64 << 20));
}
