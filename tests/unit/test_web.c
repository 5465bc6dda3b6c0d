/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of addresses, who may ask, tiles as bytes, and what is kept of them. */
#include "web/request.h"

#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "hub/cache.h"
#include "scratch.h"

#include "web/body.h"
#include "web/export.h"
#include "web/page.h"

#define TOKEN "00112233445566778899aabbccddeeff"

static struct sc_web_request parse(const char *path)
{
    struct sc_web_request r;
    char target[2048];

    snprintf(target, sizeof target, "/" TOKEN "/%s", path);
    sc_web_parse(target, TOKEN, &r);
    return r;
}

/* --------------------------------------------------------------------------------- requests --- */

TEST(addresses_of_the_protocol_are_understood)
{
    static const struct {
        const char *path;
        enum sc_web_route route;
    } all[] = {{"", SC_ROUTE_PAGE},
               {"view.json", SC_ROUTE_VIEW},
               {"colours.json", SC_ROUTE_COLOURS},
               {"main.mjs", SC_ROUTE_ASSET},
               {"0/scene.json", SC_ROUTE_SCENE},
               {"1/scales.json", SC_ROUTE_SCALES},
               {"0/t/-4/1/2.abs", SC_ROUTE_TILE},
               {"0/value?tensor=1&row=2&col=3", SC_ROUTE_VALUE},
               {"0/tensor?i=9", SC_ROUTE_TENSOR},
               {"0/search?q=", SC_ROUTE_SEARCH},
               {"0/events", SC_ROUTE_EVENTS},
               {"0/shot.png?x=0&y=0&w=1&h=1&z=0", SC_ROUTE_SHOT}};

    for (size_t i = 0; i < SC_COUNT(all); i++) {
        const struct sc_web_request r = parse(all[i].path);
        CHECK_U64(r.route, all[i].route);
        CHECK(!r.problem);
    }
}

TEST(what_they_say_is_taken_over)
{
    struct sc_web_request r = parse("7/t/-12/-3/9223372036854775807.max");
    CHECK_U64(r.view, 7);
    CHECK(r.z == -12 && r.x == -3 && r.y == INT64_MAX && r.plane == SC_PLANE_MAX);
    r = parse("0/value?col=18446744073709551615&row=0&slice=4&tensor=5");
    CHECK(r.col == UINT64_MAX && r.row == 0 && r.slice == 4 && r.tensor == 5);
    r = parse("0/search?q=a%2Bb+c%C3%A4&limit=7");
    CHECK_STR(r.words, "a+b c\xc3\xa4");
    CHECK_U64(r.limit, 7);
    r = parse("0/shot.png?x=-5&y=6&w=7&h=8&z=-1&m=rank&p=abs&s=model&ground=light");
    CHECK(r.x == -5 && r.y == 6 && r.w == 7 && r.h == 8 && r.z == -1);
    CHECK(r.mode == SC_COLOURS_RANK && r.plane == SC_PLANE_ABS && r.scale_of == SC_SCALE_MODEL);
    CHECK_U64(r.ground, 1);
}

TEST(what_is_not_in_the_table_does_not_exist)
{
    static const char *const none[] = {"..",
                                       "../",
                                       "%2e%2e/main.mjs",
                                       ".hidden",
                                       "a/b/c",
                                       "0/",
                                       "0/t/0/0/0",
                                       "0/t/0/0/0.mode",
                                       "0/t/0/0",
                                       "0/t//0/0.mean",
                                       "0/t/+1/0/0.mean",
                                       "0/t/01/0/0.mean",
                                       "0/t/-0/0/0.mean",
                                       "0/t/65/0/0.mean",
                                       "0/t/0/9223372036854775808/0.mean",
                                       "0/t/0/0/0.mean/",
                                       "0/t/0/0/0x1.mean",
                                       "4294967296/scene.json",
                                       "00/scene.json",
                                       "-1/scene.json",
                                       "0/scene.json/",
                                       "0//scene.json",
                                       "Main.mjs",
                                       "main.mjs%00",
                                       "0/t/0/0/%30.mean",
                                       "0/t/0/ 1/0.mean"};

    for (size_t i = 0; i < SC_COUNT(none); i++)
        CHECK_U64(parse(none[i]).route, SC_ROUTE_NONE);
}

TEST(wrong_words_have_a_sentence)
{
    static const char *const wrong[] = {
        "0/value",
        "0/value?tensor=1&row=2",
        "0/value?tensor=-1&row=0&col=0",
        "0/value?tensor=1&row=0&col=0&col=0",
        "0/value?tensor=1&row=0&col=0&more=1",
        "0/value?tensor=18446744073709551616&row=0&col=0",
        "0/value?tensor=1e3&row=0&col=0",
        "0/value?tensor=&row=0&col=0",
        "0/tensor?i=01",
        "0/search?q=%0",
        "0/search?q=%zz",
        "0/search?q=%00",
        "0/shot.png?x=0&y=0&w=1&h=1&z=0&m=pretty",
        "0/shot.png?x=9223372036854775808&y=0&w=1&h=1&z=0",
        "0/t/0/0/0.mean?x",
        "view.json?x=1",
    };

    for (size_t i = 0; i < SC_COUNT(wrong); i++)
        CHECK(parse(wrong[i]).problem);
    char long_words[1024];
    memset(long_words, 'a', sizeof long_words);
    memcpy(long_words, "0/search?q=", 11);
    long_words[sizeof long_words - 1] = '\0';
    CHECK(parse(long_words).problem);
}

TEST(without_the_token_there_is_nothing)
{
    static const char *const targets[] = {
        "",
        "/",
        "*",
        "/main.mjs",
        "/" TOKEN,
        "/" TOKEN "0/main.mjs",
        "/" TOKEN "\0/main.mjs",
        "/0" TOKEN "/main.mjs",
        "//" TOKEN "/main.mjs",
        "/00112233445566778899aabbccddeefe/main.mjs",
        "/00112233445566778899AABBCCDDEEFF/main.mjs",
        "/0011/main.mjs",
        "http://127.0.0.1/" TOKEN "/main.mjs",
        "/./" TOKEN "/main.mjs",
    };
    struct sc_web_request r;

    for (size_t i = 0; i < SC_COUNT(targets); i++) {
        sc_web_parse(targets[i], TOKEN, &r);
        CHECK_U64(r.route, SC_ROUTE_NONE);
    }
}

TEST(only_names_that_are_ours_are_served)
{
    const struct sc_web_place here = {.port = 8123}, eighty = {.port = 80};
    const struct sc_web_place all = {.name = "0.0.0.0", .port = 8123, .any = true};
    const struct sc_web_place box = {.name = "Box.example", .port = 8123};

    CHECK(sc_web_host_is_ours(&here, "127.0.0.1:8123"));
    CHECK(sc_web_host_is_ours(&here, "LocalHost:8123"));
    CHECK(sc_web_host_is_ours(&here, "[::1]:8123"));
    CHECK(sc_web_host_is_ours(&eighty, "localhost") && sc_web_host_is_ours(&eighty, "[::1]"));
    CHECK(sc_web_host_is_ours(&box, "box.EXAMPLE:8123"));
    CHECK(sc_web_host_is_ours(&all, "192.168.1.5:8123"));
    CHECK(sc_web_host_is_ours(&all, "[fe80::1]:8123"));
    static const char *const others[] = {"",
                                         "127.0.0.1",
                                         "127.0.0.1:8124",
                                         "localhost:80",
                                         "evil.example:8123",
                                         "::1:8123",
                                         "localhost.:8123",
                                         "127.0.0.1:8123 ",
                                         "127.0.0.1:8123.evil.example",
                                         "127.0.0.2:8123",
                                         "127.0.0.1.nip.io:8123",
                                         "127.1:8123",
                                         "2130706433:8123",
                                         "[::1]",
                                         "box:8123"};
    for (size_t i = 0; i < SC_COUNT(others); i++) {
        CHECK(!sc_web_host_is_ours(&here, others[i]));
        CHECK(!sc_web_host_is_ours(&box, others[i]));
    }
    CHECK(!sc_web_host_is_ours(&all, "evil.example:8123"));
    CHECK(!sc_web_host_is_ours(&all, "127.0.0.1.nip.io:8123"));
    CHECK(!sc_web_host_is_ours(&all, "192.168.1.5:8124"));
    CHECK(!sc_web_host_is_ours(&all, "192.168.1.5"));
}

TEST(only_our_own_pages_may_read)
{
    const char *host = "127.0.0.1:8123";

    CHECK(sc_web_origin_is_ours(host, NULL, NULL, NULL, NULL, false));
    CHECK(sc_web_origin_is_ours(host, "http://127.0.0.1:8123", "same-origin", "cors", "empty",
                                false));
    CHECK(sc_web_origin_is_ours(host, NULL, "none", "navigate", "document", true));
    CHECK(sc_web_origin_is_ours(host, NULL, "cross-site", "navigate", "document", true));
    CHECK(!sc_web_origin_is_ours(host, NULL, "cross-site", "navigate", "document", false));
    CHECK(!sc_web_origin_is_ours(host, NULL, "cross-site", "navigate", "iframe", true));
    CHECK(!sc_web_origin_is_ours(host, NULL, "cross-site", "no-cors", "image", true));
    CHECK(!sc_web_origin_is_ours(host, NULL, "same-site", "no-cors", "script", false));
    CHECK(!sc_web_origin_is_ours(host, "null", NULL, NULL, NULL, true));
    CHECK(!sc_web_origin_is_ours(host, "https://127.0.0.1:8123", NULL, NULL, NULL, true));
    CHECK(!sc_web_origin_is_ours(host, "http://127.0.0.1:8124", NULL, NULL, NULL, true));
    CHECK(
        !sc_web_origin_is_ours(host, "http://127.0.0.1:8123.evil.example", NULL, NULL, NULL, true));
}

/* ----------------------------------------------------------------------------------- bodies --- */

static struct sc_tile *new_tile(uint32_t pixel)
{
    struct sc_tile *t = calloc(1, sizeof *t);

    t->z = -3;
    for (size_t i = 0; i < SC_COUNT(t->pixels); i++)
        t->pixels[i] = pixel;
    return t;
}

TEST(bodies_are_as_the_protocol_says)
{
    struct sc_tile *t = new_tile(0x3f800000);
    uint8_t *body = malloc(SC_TILE_BODY);

    t->flags = SC_TILE_EXACT;
    t->bf16 = true;
    CHECK_U64(sc_tile_body(t, 0x100000005, body), 20);
    static const uint8_t alike[] = {'S',  'C',  'T', '1', 1, 3, 0, 0, 0xfd, 0xff,
                                    0xff, 0xff, 5,   0,   0, 0, 0, 0, 0x80, 0x3f};
    CHECK(memcmp(body, alike, sizeof alike) == 0);
    t->pixels[65535] = 0xc0490000;
    CHECK_U64(sc_tile_body(t, 0, body), 16 + 2 * 65536);
    CHECK(body[5] == 0 && body[16] == 0x80 && body[17] == 0x3f);
    CHECK(body[16 + 131070] == 0x49 && body[16 + 131071] == 0xc0);
    t->bf16 = false;
    t->pixels[1] = 0x01020304;
    CHECK_U64(sc_tile_body(t, 0, body), SC_TILE_BODY);
    CHECK(body[5] == 1 && sc_le32(body + 20) == 0x01020304 && sc_le32(body + 16) == 0x3f800000);
    t->flags = SC_TILE_EXACT | SC_TILE_EMPTY;
    CHECK_U64(sc_tile_body(t, 0, body), 16);
    CHECK(body[4] == 5 && body[5] == 2);
    free(t);
    free(body);
}

TEST(what_is_on_its_way_is_told)
{
    struct sc_tile *t = new_tile(SC_PIXEL_OUTSIDE);
    uint8_t *body = malloc(SC_TILE_BODY);

    t->flags = SC_TILE_SAMPLED;
    t->bf16 = true;
    (void)sc_tile_body(t, 0, body);
    CHECK_U64(body[4], 2);
    t->pixels[40000] = SC_PIXEL_WAITING;
    (void)sc_tile_body(t, 0, body);
    CHECK_U64(body[4], 2 | 16);
    free(t);
    free(body);
}

static struct sc_body *bytes(size_t n)
{
    return sc_body_new(calloc(n, 1), n);
}

TEST(tiles_that_were_used_last_are_kept)
{
    struct sc_tile_cache *k = sc_tile_cache_new(4096);
    struct sc_tile_key key = {.plane = 1};

    for (key.x = 0; key.x < 3; key.x++) {
        struct sc_body *b = bytes(1000);
        sc_tile_cache_put(k, &key, b);
        sc_body_leave(b);
        const struct sc_tile_key first = {.plane = 1};
        struct sc_body *again = sc_tile_cache_get(k, &first);
        CHECK(again != NULL);
        sc_body_leave(again);
    }
    /* 3 x 1256 bytes are there: a fourth drops the second. */
    struct sc_body *b = bytes(1000);
    sc_tile_cache_put(k, &key, b);
    sc_tile_cache_put(k, &key, b); /* as another thread would */
    sc_body_leave(b);
    static const bool there[] = {true, false, true, true};
    for (key.x = 0; key.x < 4; key.x++) {
        struct sc_body *got = sc_tile_cache_get(k, &key);
        CHECK((got != NULL) == there[key.x]);
        sc_body_leave(got);
    }
    b = bytes(5000); /* more than all: not kept, and nothing is dropped for it */
    key.x = 9;
    sc_tile_cache_put(k, &key, b);
    CHECK(sc_tile_cache_get(k, &key) == NULL);
    sc_body_leave(b);
    key.x = 3;
    b = sc_tile_cache_get(k, &key);
    CHECK(b != NULL);
    sc_tile_cache_free(k); /* a user outlives it */
    CHECK(b && b->n == 1000 && b->p[999] == 0);
    sc_body_leave(b);
}

TEST(keys_differ_in_everything)
{
    struct sc_tile_cache *k = sc_tile_cache_new(1 << 20);
    const struct sc_tile_key keys[] = {{0, 0, 0, 0, 0},  {1, 0, 0, 0, 0},        {0, 1, 0, 0, 0},
                                       {0, 0, 1, 0, 0},  {0, 0, 0, 1, 0},        {0, 0, 0, 0, 1},
                                       {0, -1, 0, 0, 0}, {0, 0, INT64_MIN, 0, 0}};

    for (size_t i = 0; i < SC_COUNT(keys); i++) {
        struct sc_body *b = bytes(i + 1);
        CHECK(sc_tile_cache_get(k, &keys[i]) == NULL);
        sc_tile_cache_put(k, &keys[i], b);
        sc_body_leave(b);
    }
    for (size_t i = 0; i < SC_COUNT(keys); i++) {
        struct sc_body *b = sc_tile_cache_get(k, &keys[i]);
        CHECK(b && b->n == i + 1);
        sc_body_leave(b);
    }
    sc_tile_cache_free(k);
}

static void *use_tiles(void *ctx)
{
    struct sc_tile_cache *k = ctx;

    for (unsigned i = 0; i < 4000; i++) {
        const struct sc_tile_key key = {.x = i * 7 % 31};
        struct sc_body *b = sc_tile_cache_get(k, &key);
        if (!b) {
            b = bytes(200 + key.x);
            sc_tile_cache_put(k, &key, b);
        }
        if (b->n != (size_t)(200 + key.x))
            return ctx;
        sc_body_leave(b);
    }
    return NULL;
}

TEST(threads_share_what_is_kept)
{
    struct sc_tile_cache *k = sc_tile_cache_new(6000); /* about half of what is asked for */
    pthread_t threads[4];
    void *bad = NULL;

    for (size_t i = 0; i < SC_COUNT(threads); i++)
        REQUIRE(pthread_create(&threads[i], NULL, use_tiles, k) == 0);
    for (size_t i = 0; i < SC_COUNT(threads); i++) {
        REQUIRE(pthread_join(threads[i], &bad) == 0);
        CHECK(bad == NULL);
    }
    sc_tile_cache_free(k);
}

/* ------------------------------------------------------------------------------------- page --- */

TEST(every_file_of_the_page_has_a_type)
{
    size_t n = 0;

    for (const struct sc_web_asset *a = sc_web_assets; a->name; a++, n++) {
        CHECK(sc_web_asset_find(a->name) == a);
        CHECK(strcmp(sc_web_type_of(a->name), "application/octet-stream") != 0);
        CHECK(a->n > 0);
    }
    CHECK(n >= 2 && sc_web_asset_find("main.mjs") && sc_web_asset_find("viewer.css"));
    CHECK(!sc_web_asset_find("report.js") && !sc_web_asset_find(""));
}

TEST(titles_stay_text)
{
    struct sc_buf page = {0}, policy = {0};

    CHECK_U64(sc_web_page("</title><script>alert(1)</script>", &page, &policy, NULL), 0);
    REQUIRE(page.p && policy.p);
    CHECK(!strstr(page.p, "<script>alert") && strstr(page.p, "&lt;script&gt;alert"));
    CHECK(strstr(policy.p, "default-src 'none'; script-src 'self' 'sha256-"));
    CHECK(!strstr(policy.p, "unsafe") && strstr(policy.p, "frame-ancestors 'none'"));
    sc_buf_clear(&page);
    sc_buf_clear(&policy);
}

/* ---------------------------------------------------------------------------------- exports --- */

static uint32_t next_of(uint32_t *state)
{
    return (*state = *state * 1664525u + 1013904223u) >> 8;
}

/* Pieces of any size, from any byte on, one behind the other and not, into two files by turns. */
TEST(bytes_on_their_way_reach_their_files)
{
    enum { SIZE = 5 << 20, PIECES = 60 };
    static uint8_t want[2][SIZE], piece[400000];
    uint32_t state = 5;
    scratch_new();
    for (unsigned round = 0; round < 3; round++) {
        struct sc_stage *s = sc_stage_new();
        int fd[2];
        size_t end[2] = {0, 777}, size[2] = {0};
        memset(want, 0, sizeof want);
        REQUIRE(s);
        for (int i = 0; i < 2; i++)
            REQUIRE((fd[i] = open(scratch_at(i ? "b" : "a"), O_RDWR | O_CREAT | O_TRUNC, 0600)) >=
                    0);
        for (unsigned k = 0; k < PIECES; k++) {
            const unsigned i = k / 20 % 2;
            const size_t n = next_of(&state) % (k % 3 ? sizeof piece : 5000);
            if (k % 17 == 3)
                end[i] += next_of(&state) % 9000; /* a hole */
            if (end[i] + n > SIZE)
                continue;
            for (size_t at = 0; at < n; at++)
                piece[at] = (uint8_t)next_of(&state);
            memcpy(want[i] + end[i], piece, n);
            CHECK(sc_stage_put(s, fd[i], piece, n, end[i]));
            end[i] += n;
            size[i] = n ? end[i] : size[i];
            if (round == 1 && k == PIECES / 2)
                sc_stage_plain(s);
        }
        CHECK(round == 2 || (sc_stage_fd(s) >= 0 && sc_stage_flush(s) && sc_stage_fd(s) == -1));
        CHECK(round < 2 || sc_stage_flush(s));
        for (int i = 0; i < 2; i++) {
            size_t n = 0;
            char *got = sc_read_file(scratch_at(i ? "b" : "a"), SIZE + 1, &n);
            REQUIRE(got);
            CHECK_U64(n, size[i]);
            CHECK(memcmp(got, want[i], n) == 0);
            free(got);
            close(fd[i]);
        }
        sc_stage_free(s);
    }
    scratch_remove();
}

TEST(bytes_that_cannot_be_written_are_an_error)
{
    struct sc_stage *s = sc_stage_new();
    static uint8_t piece[3 << 20];
    REQUIRE(s);
    const int fd = open("/dev/null", O_RDONLY);
    CHECK(!sc_stage_put(s, fd, piece, sizeof piece, 100) && errno == EBADF);
    close(fd);
    sc_stage_free(s);
}
