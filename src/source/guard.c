/* SPDX-License-Identifier: Apache-2.0 */
/* guard: a mapped file that shrinks gives an error, not the death of the process.
 *
 * Touching a mapped page that its file no longer has raises SIGBUS. The handler here looks the
 * address up in a fixed table of our mappings. Inside one of them, it marks the mapping as broken
 * and puts zero pages over the rest of it, from the failing page on, so that the interrupted
 * instruction goes on and reads zeros; sc_source_check() reports it afterwards. Any other SIGBUS
 * goes to whoever handled it before us.
 *
 * Owns: the table and the process-wide SIGBUS disposition, taken when the first file is mapped and
 * never given back (a handler of the host that was installed later may have ours saved in it).
 *
 * Why this is safe inside a signal handler:
 *   - It takes no lock and allocates nothing; the table is static and made of lock-free atomics.
 *   - A slot that is being filled or freed while the handler looks at it cannot be the one that it
 *     is looking for: whoever touches a mapping keeps it from being closed. Such a slot is known
 *     by its version, which is odd during a change and different after it, and is passed over.
 *   - mmap() is not on the list of POSIX but is a plain system call everywhere; errno is restored.
 *   - The signal is synchronous: it hits the thread that touched the page, between two of its own
 *     instructions. Two threads may repair one mapping at once; both put zeros there. */

/* MAP_ANONYMOUS and SA_ONSTACK are older than their place in POSIX. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* NOLINT: a feature test macro */
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE 1 /* NOLINT: a feature test macro */
#endif

#include "source/internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(ATOMIC_POINTER_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "a signal handler may use lock-free atomics only");

struct slot {
    _Atomic(uintptr_t) begin, end; /* whole pages; end 0: free */
    _Atomic unsigned version;      /* odd: being changed */
    _Atomic unsigned broken;
};

static struct slot slots[SC_GUARD_SLOTS];
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER; /* adding and removing */
static pthread_once_t install_once = PTHREAD_ONCE_INIT;
static struct sigaction previous; /* written before the handler is installed */
static uintptr_t page_size;
static bool installed;

/* Is the fault ours, and could it be repaired? */
static bool repair(const siginfo_t *info)
{
    uintptr_t address = (uintptr_t)info->si_addr;
    for (size_t i = 0; i < SC_GUARD_SLOTS; i++) {
        struct slot *s = &slots[i];
        unsigned version = atomic_load(&s->version);
        uintptr_t begin = atomic_load(&s->begin);
        uintptr_t end = atomic_load(&s->end);
        if (version % 2 != 0 || atomic_load(&s->version) != version)
            continue;
        if (address < begin || address >= end)
            continue;

        atomic_store(&s->broken, 1);
        char *page = (char *)info->si_addr - address % page_size;
        int how = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS;
        return mmap(page, end - (uintptr_t)page, PROT_READ, how, -1, 0) != MAP_FAILED;
    }
    return false;
}

/* As if we were not there. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
    bool sent = info->si_code <= 0; /* by kill(): there is no instruction to run again */
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(sig, info, context);
    } else if (previous.sa_handler == SIG_IGN && sent) {
        return;
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(sig);
    } else {
        /* Back to the default, and die of the same instruction, so that a core dump shows it. */
        struct sigaction die = {.sa_handler = SIG_DFL};
        sigaction(SIGBUS, &die, NULL);
        if (sent)
            raise(sig);
    }
}

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    /* A misaligned access is a bug, never the file's doing. */
    bool page_fault = info->si_code > 0 && info->si_code != BUS_ADRALN;
    bool repaired = page_fault && repair(info);
    errno = saved;
    if (!repaired)
        pass_on(sig, info, context);
}

static void install(void)
{
    long size = sysconf(_SC_PAGESIZE);
    struct sigaction ours = {.sa_sigaction = on_bus_error,
                             .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    if (size <= 0)
        return;
    page_size = (uintptr_t)size;
    sigemptyset(&ours.sa_mask);
    installed = sigaction(SIGBUS, NULL, &previous) == 0 && sigaction(SIGBUS, &ours, NULL) == 0;
}

static void set_range(struct slot *s, uintptr_t begin, uintptr_t end)
{
    atomic_fetch_add(&s->version, 1);
    atomic_store(&s->begin, begin);
    atomic_store(&s->end, end);
    atomic_store(&s->broken, 0);
    atomic_fetch_add(&s->version, 1);
}

int sc_guard_add(const void *p, size_t n)
{
    int found = -1;
    pthread_once(&install_once, install);
    if (!installed || n == 0)
        return -1;

    pthread_mutex_lock(&table_lock);
    for (int i = 0; i < SC_GUARD_SLOTS && found < 0; i++)
        if (atomic_load(&slots[i].end) == 0)
            found = i;
    if (found >= 0) {
        uintptr_t begin = (uintptr_t)p;
        set_range(&slots[found], begin, begin + (n + page_size - 1) / page_size * page_size);
    }
    pthread_mutex_unlock(&table_lock);
    return found;
}

bool sc_guard_broken(int slot)
{
    /* A read-modify-write: unlike a load, it cannot move up before the reads of the data. */
    return atomic_fetch_or(&slots[slot].broken, 0) != 0;
}

void sc_guard_remove(int slot)
{
    pthread_mutex_lock(&table_lock);
    set_range(&slots[slot], 0, 0);
    pthread_mutex_unlock(&table_lock);
}

void sc_signals_block(sigset_t *before)
{
    static const int own[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < SC_COUNT(own); i++)
        sigdelset(&set, own[i]);
    pthread_sigmask(SIG_BLOCK, &set, before);
}

int sc_thread_start(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *ctx)
{
    sigset_t before;
    sc_signals_block(&before);
    const int error = pthread_create(thread, attr, run, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
