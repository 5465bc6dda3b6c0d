/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes: known answers, pieces, and which etag is which hash. */
#include "test.h"

#include <stdlib.h>

#include "hub/cache.h"

TEST(known_answers)
{
    char hex[65];
    REQUIRE(sc_sha_of(SC_SHA256, "abc", 3, hex, NULL) == 0);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    REQUIRE(sc_sha_of(SC_SHA256, "", 0, hex, NULL) == 0);
    CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    /* git hash-object */
    REQUIRE(sc_sha_of(SC_SHA_GIT_BLOB, "", 0, hex, NULL) == 0);
    CHECK_STR(hex, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    REQUIRE(sc_sha_of(SC_SHA_GIT_BLOB, "hello\n", 6, hex, NULL) == 0);
    CHECK_STR(hex, "ce013625030ba8dba906f756967f9e9ca394464a");
}

TEST(pieces_make_the_same)
{
    static uint8_t p[100000];
    char whole[65], parts[65];
    for (size_t i = 0; i < sizeof p; i++)
        p[i] = (uint8_t)(i * 7 + i / 251);
    REQUIRE(sc_sha_of(SC_SHA256, p, sizeof p, whole, NULL) == 0);
    struct sc_sha *s;
    REQUIRE(sc_sha_new(SC_SHA256, sizeof p, &s, NULL) == 0);
    for (size_t at = 0, n = 1; at < sizeof p; at += n, n = n * 3 + 1)
        sc_sha_add(s, p + at, SC_MIN(n, sizeof p - at));
    sc_sha_end(s, parts);
    CHECK_STR(parts, whole);
}

TEST(may_be_given_up)
{
    struct sc_sha *s;
    REQUIRE(sc_sha_new(SC_SHA_GIT_BLOB, 5, &s, NULL) == 0);
    sc_sha_add(s, "ab", 2);
    sc_sha_free(s);
    sc_sha_free(NULL);
}

TEST(kind_of_an_etag)
{
    enum sc_sha_kind kind;
    CHECK(sc_sha_kind_of("ce013625030ba8dba906f756967f9e9ca394464a", &kind));
    CHECK(kind == SC_SHA_GIT_BLOB);
    CHECK(
        sc_sha_kind_of("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", &kind));
    CHECK(kind == SC_SHA256);
    CHECK(!sc_sha_kind_of("", &kind));
    CHECK(!sc_sha_kind_of("../../etc/passwd", &kind));
    CHECK(!sc_sha_kind_of("CE013625030BA8DBA906F756967F9E9CA394464A", &kind));
    CHECK(!sc_sha_kind_of("ce013625030ba8dba906f756967f9e9ca394464a0", &kind));
    CHECK(!sc_sha_kind_of("ce013625030ba8dba906f756967f9e9ca394464", &kind));
    CHECK(!sc_sha_kind_of("ce013625030ba8dba906f756967f9e9ca394464\n", &kind));
}
