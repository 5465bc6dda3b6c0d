/* SPDX-License-Identifier: Apache-2.0 */
/* hash: a keyed 64-bit hash of bytes, and an open-addressing index over it.
 *
 * The hash takes 16 bytes a step. Each step multiplies two words, one blinded by a secret and one
 * by the state, to 128 bits and folds the halves together:
 *
 *     h = fold(word0 ^ key, word1 ^ h)        fold(a, b) = low(a * b) ^ high(a * b)
 *
 * The last 16 bytes are read again from the end, so that no length needs a loop of its own, and
 * the length enters at the end. Without the key nobody can aim at a collision; the key is drawn
 * once a process and never shows in any output, nor does the order of anything hashed.
 *
 * A slot of the index holds 32 bits of the hash and 32 of the id; its place is taken from the same
 * 32 bits, so that the index can grow without asking for the hashes again.
 */
#include "base/base.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<sys/random.h>) && defined(__linux__)
#include <sys/random.h>
#define HAVE_GETRANDOM 1
#endif
#endif

static uint64_t key[4];
static atomic_bool key_ready;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static inline uint64_t fold(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 u128;
    u128 r = (u128)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
#else
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t ll = al * bl, lh = al * bh, hl = ah * bl, hh = ah * bh;
    uint64_t mid = (ll >> 32) + (uint32_t)lh + (uint32_t)hl;
    return (mid << 32 | (uint32_t)ll) ^ (hh + (lh >> 32) + (hl >> 32) + (mid >> 32));
#endif
}

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8); /* either byte order will do: hashes stay in the process */
    return v;
}

static inline uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
static bool random_bytes(void *p, size_t n)
{
#ifdef HAVE_GETRANDOM
    if (getrandom(p, n, 0) == (ssize_t)n)
        return true;
#endif
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, p, n);
    close(fd);
    return got == (ssize_t)n;
}
#endif

static void draw_key(void)
{
    /* The starting values are the fractional parts of the square roots of 2, 3, 5 and 7. */
    uint64_t k[4] = {UINT64_C(0x6A09E667F3BCC908), UINT64_C(0xBB67AE8584CAA73B),
                     UINT64_C(0x3C6EF372FE94F82B), UINT64_C(0xA54FF53A5F1D36F1)};
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* fuzzing: the same key in every run */
    uint64_t drawn[4];
    if (random_bytes(drawn, sizeof drawn)) {
        memcpy(k, drawn, sizeof k);
    } else {
        /* No source of randomness (a bare chroot): what an attacker's file cannot know either. */
        struct timespec now = {0};
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t salt = fold((uint64_t)now.tv_nsec ^ k[0], (uint64_t)(uintptr_t)&now ^ k[1]);
        salt = fold(salt ^ (uint64_t)getpid(), (uint64_t)(uintptr_t)&draw_key ^ k[2]);
        for (size_t i = 0; i < 4; i++)
            k[i] ^= salt = fold(salt ^ k[i], k[(i + 1) % 4]);
    }
#endif
    memcpy(key, k, sizeof key);
    atomic_store_explicit(&key_ready, true, memory_order_release);
}

static inline void need_key(void)
{
    if (SC_UNLIKELY(!atomic_load_explicit(&key_ready, memory_order_acquire)))
        pthread_once(&key_once, draw_key);
}

enum { LONG = 256 };

uint64_t sc_hash(const void *p, size_t n)
{
    need_key();
    const uint8_t *at = p, *end = n ? at + n : at; /* NULL + 0 is undefined in C */
    uint64_t a = 0, b = 0, h = key[0];
    if (n >= 16) {
        if (n > LONG) { /* four products at a time do not wait for each other */
            uint64_t i = h ^ key[1], j = h ^ key[2], k = h ^ key[3];
            for (; end - at > 64; at += 64) {
                h = fold(load64(at) ^ key[1], load64(at + 8) ^ h);
                i = fold(load64(at + 16) ^ key[2], load64(at + 24) ^ i);
                j = fold(load64(at + 32) ^ key[3], load64(at + 40) ^ j);
                k = fold(load64(at + 48) ^ key[0], load64(at + 56) ^ k);
            }
            h = fold(h ^ key[2], i) ^ fold(j ^ key[3], k);
        }
        for (; end - at > 16; at += 16)
            h = fold(load64(at) ^ key[1], load64(at + 8) ^ h);
        a = load64(end - 16);
        b = load64(end - 8);
    } else if (n >= 8) {
        a = load64(at);
        b = load64(end - 8);
    } else if (n >= 4) {
        a = load32(at);
        b = load32(end - 4);
    } else if (n) {
        a = (uint64_t)at[0] << 16 | (uint64_t)at[n / 2] << 8 | end[-1];
    }
    h = fold(a ^ key[2], b ^ h);
    return fold(h ^ key[3], (uint64_t)n ^ key[1]);
}

uint64_t sc_hash_mix(uint64_t a, uint64_t b)
{
    need_key();
    uint64_t h = fold(a ^ key[2], b ^ key[0]);
    return fold(h ^ key[3], key[1]);
}

/* --------------------------------------------------------------------------------- index --- */

#define INDEX_CAP_MIN ((size_t)16)
#define INDEX_CAP_MAX ((uint64_t)1 << 32) /* places come from 32 bits of the hash */

static inline void place(uint64_t *slot, size_t cap, uint64_t value)
{
    size_t at = (size_t)(value >> 32) & (cap - 1);
    while (slot[at])
        at = (at + 1) & (cap - 1);
    slot[at] = value;
}

static int resize(struct sc_index *ix, size_t cap, struct sc_error *e)
{
    uint64_t *slot = sc_pages_new(ix->filed, cap, sizeof *slot);
    if (!slot)
        return sc_fail_memory(e);
    for (size_t i = 0; i < ix->cap; i++) {
        if (ix->slot[i])
            place(slot, cap, ix->slot[i]);
    }
    sc_pages_free(ix->slot);
    ix->slot = slot;
    ix->cap = cap;
    return 0;
}

int sc_index_reserve(struct sc_index *ix, size_t n, struct sc_error *e)
{
    size_t cap = SC_MAX(ix->cap, INDEX_CAP_MIN);
    while (n > cap / 4 * 3) {
        if (cap > INDEX_CAP_MAX / 2 || cap > SIZE_MAX / 2)
            return sc_fail(e, SCRUPLE_ELIMIT, "%zu entries are more than an index can hold", n);
        cap *= 2;
    }
    return cap > ix->cap ? resize(ix, cap, e) : 0;
}

uint32_t sc_index_next(const struct sc_index *ix, uint64_t hash, size_t *probe)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    while (*probe < ix->cap) {
        uint64_t slot = ix->slot[(tag + *probe) & (ix->cap - 1)];
        if (slot == 0)
            break;
        ++*probe;
        if (slot >> 32 == tag)
            return (uint32_t)slot - 1;
    }
    return UINT32_MAX;
}

int sc_index_put(struct sc_index *ix, uint64_t hash, uint32_t id, struct sc_error *e)
{
    if (id == UINT32_MAX)
        return sc_fail(e, SCRUPLE_ELIMIT, "an index cannot hold the id %" PRIu32, id);
    TRY(sc_index_reserve(ix, ix->n + 1, e));
    place(ix->slot, ix->cap, (hash >> 32) << 32 | (id + 1));
    ix->n++;
    return 0;
}

void sc_index_clear(struct sc_index *ix)
{
    sc_pages_free(ix->slot);
    ix->slot = NULL;
    ix->cap = ix->n = 0;
}
