/* SPDX-License-Identifier: Apache-2.0 */
/* index: the weight map of a sharded model, against jansson: the same names in the same files. No
 * shard is ever looked for outside the model's folder. */
#include "fuzz.h"

#include <jansson.h>

#include "format/weights.h"

#define INDEX "sub/model.safetensors.index.json"

static bool stays_below(const char *path)
{
    return strncmp(path, "sub/", 4) == 0 && path[4] && !strstr(path, "/../") &&
           !strstr(path, "//") && !strchr(path, '\\') &&
           (strlen(path) < 3 || strcmp(path + strlen(path) - 3, "/..") != 0);
}

/* Names that stand there twice are found later, when the shards are open; jansson refuses them. */
static void compare(const struct sc_weight_map *map, const uint8_t *data, size_t size)
{
    json_t *document = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *want = json_object_get(document, "weight_map");
    const char *name;
    json_t *file;
    size_t i = 0;

    if (!document)
        return;
    FUZZ_CHECK(json_object_size(want) == map->n_items);
    /* jansson keeps the order of the file. */
    json_object_foreach((json_t *)(uintptr_t)want, name, file)
    {
        const struct sc_map_item *item = &map->items[i++];
        FUZZ_CHECK(item->name_hash == sc_name_hash("", sc_strz(name)));
        FUZZ_CHECK(json_is_string(file) && item->shard < map->n_shards);
        FUZZ_CHECK(strcmp(map->shards[item->shard].p + 4, json_string_value(file)) == 0);
    }
    json_decref(document);
}

static void read_map(const uint8_t *data, size_t size, bool lenient)
{
    const struct sc_open_options o = {.lenient = lenient};
    struct fuzz_archive a = {.n = 1, .files = {{.path = INDEX, .p = data, .size = size}}};
    struct sc_repo *repo = fuzz_repo(&a, NULL);
    struct sc_catalog *c = fuzz_catalog(INDEX, size, &o);
    struct sc_weight_map map = {0};
    struct sc_names names = {0};
    struct sc_error e = {0};
    int code = sc_weight_map_read(c, repo, INDEX, "", &map, &e);

    FUZZ_CHECK(code == 0 || !lenient || code == SCRUPLE_ELIMIT);
    if (code < 0)
        fuzz_check_error(code, &e);
    for (size_t i = 0; i < map.n_shards; i++) {
        FUZZ_CHECK(map.shards[i].p[map.shards[i].n] == '\0');
        FUZZ_CHECK(strlen(map.shards[i].p) == map.shards[i].n);
        FUZZ_CHECK(stays_below(map.shards[i].p));
    }
    if (code == 0 && !lenient) {
        FUZZ_CHECK(map.n_items > 0 && c->n_errors == 0);
        compare(&map, data, size);
    }
    /* A model without a single tensor: every promise is broken, and each is said. */
    if (code == 0 && lenient) {
        for (size_t i = 0; i < map.n_shards; i++)
            map.shard_file[i] = 0;
        const size_t before = c->n_errors;
        FUZZ_CHECK(sc_weight_map_check(c, repo, &map, &names, &e) == 0);
        FUZZ_CHECK(c->n_errors - before == map.n_items);
    }
    fuzz_check_findings(c);
    sc_weight_map_clear(&map);
    sc_catalog_close(c);
    sc_repo_close(repo);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_map(data, size, false);
    read_map(data, size, true);
    return 0;
}
