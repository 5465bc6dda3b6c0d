/* SPDX-License-Identifier: Apache-2.0 */
/* body: tiles as bytes, and those that were asked for last. */
#include "web/body.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------- bodies --- */

struct sc_body *sc_body_new(void *p, size_t n)
{
    struct sc_body *b = sc_alloc(sizeof *b);
    if (!b) {
        free(p);
        return NULL;
    }
    b->users = 1;
    b->p = p;
    b->n = n;
    return b;
}

struct sc_body *sc_body_use(struct sc_body *b)
{
    b->users++;
    return b;
}

void sc_body_leave(void *body)
{
    struct sc_body *b = body;
    if (!b || atomic_fetch_sub(&b->users, 1) > 1)
        return;
    free(b->p);
    free(b);
}

/* ------------------------------------------------------------------------------------ tiles --- */

enum { KIND_BF16, KIND_F32, KIND_NOTHING, KIND_ALIKE };
enum { FLAG_WAITING = 16 };

static uint8_t *put_u32(uint8_t *to, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> 8 * i);
    return to + 4;
}

bool sc_tile_waits(const struct sc_tile *t)
{
    size_t n = 0;
    for (size_t i = 0; i < SC_COUNT(t->pixels); i++)
        n += t->pixels[i] == SC_PIXEL_WAITING;
    return n > 0;
}

static bool is_alike(const struct sc_tile *t)
{
    return memcmp(t->pixels, t->pixels + 1, sizeof t->pixels - sizeof t->pixels[0]) == 0;
}

/* The upper halves of n pixels. */
static void put_upper(const uint32_t *pixels, size_t n, uint8_t *to)
{
    for (size_t i = 0; i < n; i++) {
#if SC_LITTLE_ENDIAN
        const uint16_t upper = (uint16_t)(pixels[i] >> 16);
        memcpy(to + 2 * i, &upper, sizeof upper);
#else
        to[2 * i] = (uint8_t)(pixels[i] >> 16);
        to[2 * i + 1] = (uint8_t)(pixels[i] >> 24);
#endif
    }
}

size_t sc_tile_head(const struct sc_tile *t, uint64_t epoch, uint8_t *out, unsigned *planes)
{
    const bool nothing = (t->flags & SC_TILE_EMPTY) != 0, alike = !nothing && is_alike(t);
    uint8_t *at = out;
    memcpy(at, "SCT1", 4);
    at[4] = (uint8_t)t->flags;
    if (!(t->flags & SC_TILE_EXACT) && sc_tile_waits(t))
        at[4] |= FLAG_WAITING;
    at[5] = nothing ? KIND_NOTHING : alike ? KIND_ALIKE : t->bf16 ? KIND_BF16 : KIND_F32;
    at[6] = at[7] = 0;
    at = put_u32(at + 8, (uint32_t)t->z);
    at = put_u32(at, (uint32_t)epoch);
    if (alike)
        at = put_u32(at, t->pixels[0]);
    *planes = nothing || alike ? 0 : t->bf16 ? 2 : 4;
    return (size_t)(at - out);
}

size_t sc_tile_body(const struct sc_tile *t, uint64_t epoch, uint8_t *out)
{
    unsigned planes;
    const size_t head = sc_tile_head(t, epoch, out, &planes), n = SC_COUNT(t->pixels);
    if (planes == 2)
        put_upper(t->pixels, n, out + head);
    for (size_t i = 0; planes == 4 && i < n; i++)
        (void)put_u32(out + head + 4 * i, t->pixels[i]);
    return head + planes * n;
}

/* ------------------------------------------------------------------------------------- kept --- */

struct item {
    struct sc_tile_key key;
    struct sc_body *body;
    struct item *in_slot;       /* the next one there */
    struct item *older, *newer; /* by their last use */
};
struct sc_tile_cache {
    pthread_mutex_t lock;
    struct item **slots;
    size_t n_slots; /* a power of two */
    struct item *oldest, *newest;
    uint64_t memory, used;
};
enum { COST = 256 /* of an item, beside its bytes */, SMALLEST = 1024 };

struct sc_tile_cache *sc_tile_cache_new(uint64_t memory)
{
    struct sc_tile_cache *k = sc_calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->memory = memory;
    k->n_slots = 64;
    while (k->n_slots < (size_t)1 << 20 && k->n_slots < memory / SMALLEST / 16)
        k->n_slots *= 2;
    k->slots = sc_calloc(k->n_slots, sizeof(struct item *));
    if (!k->slots) {
        free(k);
        return NULL;
    }
    pthread_mutex_init(&k->lock, NULL);
    return k;
}

static uint64_t cost_of(const struct sc_body *b)
{
    return b->n + COST;
}

static struct item **slot_of(const struct sc_tile_cache *k, const struct sc_tile_key *key)
{
    uint64_t h = sc_hash_mix((uint64_t)key->x, (uint64_t)key->y);
    h = sc_hash_mix(h, (uint64_t)(uint32_t)key->z << 32 | key->plane << 16 | key->view);
    return &k->slots[h & (k->n_slots - 1)];
}

static bool is_same(const struct sc_tile_key *a, const struct sc_tile_key *b)
{
    return a->x == b->x && a->y == b->y && a->z == b->z && a->plane == b->plane &&
           a->view == b->view;
}

static void unlink_item(struct sc_tile_cache *k, struct item *i)
{
    *(i->newer ? &i->newer->older : &k->newest) = i->older;
    *(i->older ? &i->older->newer : &k->oldest) = i->newer;
}

static void make_newest(struct sc_tile_cache *k, struct item *i)
{
    i->newer = NULL;
    i->older = k->newest;
    *(k->newest ? &k->newest->newer : &k->oldest) = i;
    k->newest = i;
}

static void drop_oldest(struct sc_tile_cache *k)
{
    struct item *i = k->oldest, **at = slot_of(k, &i->key);
    while (*at != i)
        at = &(*at)->in_slot;
    *at = i->in_slot;
    unlink_item(k, i);
    k->used -= cost_of(i->body);
    sc_body_leave(i->body);
    free(i);
}

void sc_tile_cache_free(struct sc_tile_cache *k)
{
    if (!k)
        return;
    while (k->oldest)
        drop_oldest(k);
    pthread_mutex_destroy(&k->lock);
    free(k->slots);
    free(k);
}

static struct item *find(const struct sc_tile_cache *k, const struct sc_tile_key *key)
{
    struct item *i = *slot_of(k, key);
    while (i && !is_same(&i->key, key))
        i = i->in_slot;
    return i;
}

struct sc_body *sc_tile_cache_get(struct sc_tile_cache *k, const struct sc_tile_key *key)
{
    pthread_mutex_lock(&k->lock);
    struct item *i = find(k, key);
    if (i) {
        unlink_item(k, i);
        make_newest(k, i);
    }
    struct sc_body *b = i ? sc_body_use(i->body) : NULL;
    pthread_mutex_unlock(&k->lock);
    return b;
}

void sc_tile_cache_put(struct sc_tile_cache *k, const struct sc_tile_key *key, struct sc_body *b)
{
    struct item *i = cost_of(b) <= k->memory ? sc_alloc(sizeof *i) : NULL;
    if (!i)
        return;
    pthread_mutex_lock(&k->lock);
    if (find(k, key)) { /* another thread was faster */
        free(i);
    } else {
        while (k->used + cost_of(b) > k->memory)
            drop_oldest(k);
        struct item **slot = slot_of(k, key);
        *i = (struct item){.key = *key, .body = sc_body_use(b), .in_slot = *slot};
        *slot = i;
        make_newest(k, i);
        k->used += cost_of(b);
    }
    pthread_mutex_unlock(&k->lock);
}
