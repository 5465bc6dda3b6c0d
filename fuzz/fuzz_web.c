/* SPDX-License-Identifier: Apache-2.0 */
/* web: addresses that the server is asked for, and names that it is called by. The input is a line
 * of each. What is accepted has one spelling, which is written here once more. */
#include "fuzz.h"

#include <strings.h>

#include "web/request.h"

static const char token[] = "0123456789abcdef0123456789abcdef";

static void check_tile(const struct sc_web_request *r, const char *target)
{
    char again[256];

    FUZZ_CHECK(r->plane < SC_PLANES && r->z >= -64 && r->z <= 64);
    snprintf(again, sizeof again, "/%s/%u/t/%lld/%lld/%lld.%s", token, (unsigned)r->view,
             (long long)r->z, (long long)r->x, (long long)r->y, sc_plane_names[r->plane]);
    FUZZ_CHECK(strcmp(again, target) == 0);
}

static void check_file(const struct sc_web_request *r, const char *target)
{
    char again[256];
    const char *name = r->route == SC_ROUTE_PAGE    ? ""
                       : r->route == SC_ROUTE_VIEW  ? "view.json"
                       : r->route == SC_ROUTE_ASSET ? r->name
                                                    : "colours.json";

    FUZZ_CHECK(!strchr(name, '/') && name[0] != '.');
    const int n = snprintf(again, sizeof again, "/%s/%s", token, name);
    FUZZ_CHECK(strncmp(again, target, (size_t)n) == 0);
    FUZZ_CHECK(target[n] == '\0' || target[n] == '?');
}

static void check_target(const char *target)
{
    struct sc_web_request r;

    sc_web_parse(target, token, &r);
    FUZZ_CHECK(r.n_words < SC_WEB_WORDS && r.words[r.n_words] == '\0');
    FUZZ_CHECK(strlen(r.words) == r.n_words && strlen(r.name) < SC_WEB_NAME);
    if (r.route == SC_ROUTE_NONE || r.problem)
        return;
    FUZZ_CHECK(target[0] == '/' && strncmp(target + 1, token, SC_WEB_TOKEN) == 0);
    if (r.route == SC_ROUTE_TILE)
        check_tile(&r, target);
    else if (r.route < SC_ROUTE_SCENE)
        check_file(&r, target);
    FUZZ_CHECK(r.mode < SC_COLOUR_MODES && r.scale_of < SC_SCALES && r.ground < 2);
}

static void check_host(const char *host)
{
    static const char *const ours[] = {"127.0.0.1:8080", "localhost:8080", "[::1]:8080",
                                       "box.example:8080"};
    const struct sc_web_place place = {.name = "box.example", .port = 8080};
    const struct sc_web_place any = {.name = "0.0.0.0", .port = 80, .any = true};
    bool is_one = false;

    for (size_t i = 0; i < SC_COUNT(ours); i++)
        is_one = is_one || strcasecmp(host, ours[i]) == 0;
    FUZZ_CHECK(sc_web_host_is_ours(&place, host) == is_one);
    if (sc_web_host_is_ours(&any, host)) /* numbers, and one name */
        FUZZ_CHECK(strspn(host, "0123456789abcdefABCDEF:.[]%") == strlen(host) ||
                   strncasecmp(host, "localhost", 9) == 0);
    if (sc_web_origin_is_ours(host, "http://other.example", NULL, NULL, NULL, true))
        FUZZ_CHECK(strcasecmp(host, "other.example") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_alloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    char *line = strchr(text, '\n');
    if (line)
        *line = '\0';
    check_target(text);
    check_host(line ? line + 1 : "");
    free(text);
    return 0;
}
