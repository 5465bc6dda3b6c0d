/* SPDX-License-Identifier: Apache-2.0 */
/* Which unit has which byte, held against an array with an owner for every byte. */
#include "test.h"

#include <stdlib.h>

#include "hub/extents.h"

#define BYTES 200
#define NONE  UINT32_MAX

static uint32_t seed;

static uint32_t below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* Units differ by their checksum, which serves as their number. */
static struct sc_unit any_unit(uint32_t number)
{
    uint64_t off = below(BYTES), len = 1 + below(1 + below(60));
    return (struct sc_unit){off, SC_MIN(off + len, (uint64_t)BYTES), number, 0};
}

static void own(uint32_t owner[BYTES], const struct sc_unit *u)
{
    for (uint64_t i = u->off; i < u->end; i++)
        owner[i] = u->crc;
}

static bool agrees(const struct sc_extents *e, const uint32_t owner[BYTES])
{
    uint64_t at = 0;
    for (size_t i = 0; i < e->n; i++) {
        const struct sc_extent *x = &e->p[i];
        bool ok = x->off >= at && x->off < x->end && x->end <= BYTES && x->off >= x->unit.off &&
                  x->end <= x->unit.end;
        for (; ok && at < x->off; at++)
            ok = owner[at] == NONE;
        for (; ok && at < x->end; at++)
            ok = owner[at] == x->unit.crc && sc_extents_at(e, at) == i;
        if (!ok)
            return false;
    }
    for (; at < BYTES; at++)
        if (owner[at] != NONE || sc_extents_at(e, at) != e->n)
            return false;
    return true;
}

TEST(newer_units_cover_older_ones)
{
    for (uint32_t round = 0; round < 300; round++) {
        struct sc_extents e = {0};
        uint32_t owner[BYTES];
        memset(owner, 0xff, sizeof owner);
        seed = round;
        for (uint32_t k = 0; k < 40; k++) {
            struct sc_unit u = any_unit(k);
            REQUIRE(sc_extents_add(&e, u, false));
            own(owner, &u);
            REQUIRE(agrees(&e, owner));
        }
        free(e.p);
    }
}

TEST(many_at_once_are_the_same_as_one_by_one)
{
    for (uint32_t round = 0; round < 300; round++) {
        struct sc_extents e = {0};
        struct sc_extent many[60];
        uint32_t owner[BYTES];
        memset(owner, 0xff, sizeof owner);
        seed = round;
        uint32_t before = below(20), n = 1 + below(60);
        for (uint32_t k = 0; k < before + n; k++) {
            struct sc_unit u = any_unit(k);
            own(owner, &u);
            if (k < before)
                REQUIRE(sc_extents_add(&e, u, true));
            else
                many[k - before] = (struct sc_extent){u.off, u.end, u, false};
        }
        REQUIRE(sc_extents_add_all(&e, many, n));
        REQUIRE(agrees(&e, owner));
        for (size_t i = 0; i < e.n; i++)
            CHECK(e.p[i].sound == (e.p[i].unit.crc < before));
        free(e.p);
    }
}

TEST(a_unit_goes_and_what_lies_on_it_stays)
{
    for (uint32_t round = 0; round < 300; round++) {
        struct sc_extents e = {0};
        struct sc_unit units[20];
        uint32_t owner[BYTES];
        memset(owner, 0xff, sizeof owner);
        seed = round;
        for (uint32_t k = 0; k < 20; k++) {
            units[k] = any_unit(k);
            own(owner, &units[k]);
            REQUIRE(sc_extents_add(&e, units[k], false));
        }
        uint32_t gone = below(20), sound = below(20);
        sc_extents_sound(&e, &units[sound]);
        for (size_t i = 0; i < e.n; i++)
            CHECK(e.p[i].sound == (e.p[i].unit.crc == sound));
        sc_extents_drop(&e, &units[gone]);
        for (size_t i = 0; i < BYTES; i++)
            if (owner[i] == gone)
                owner[i] = NONE;
        REQUIRE(agrees(&e, owner));
        free(e.p);
    }
}

TEST(nothing_is_kept_in_an_empty_one)
{
    struct sc_extents e = {0};
    struct sc_unit u = {0, 10, 1, 0};
    CHECK_U64(sc_extents_at(&e, 0), 0);
    sc_extents_sound(&e, &u);
    sc_extents_drop(&e, &u);
    CHECK_U64(e.n, 0);
    free(e.p);
}
