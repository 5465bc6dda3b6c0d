/* SPDX-License-Identifier: Apache-2.0 */
/* layouts_models: the weights of all quantised fixtures. tools/mkmodel knows the first values of
 * each, from the codes and scales that it packed, in Python. */
#include "stream/stream.h"
#include "test.h"

#include <dirent.h>
#include <stdlib.h>

#include <jansson.h>

/* SC_NO_NODE: none. */
static uint32_t tensor_called(const struct sc_model *m, const char *name)
{
    for (uint32_t i = 0; i < m->n_tensors; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return i;
    return SC_NO_NODE;
}

/* The first values are those that are told, and all others can be read. */
static void check_values(const struct sc_model *m, uint32_t tensor, const json_t *head)
{
    struct sc_error e = {0};
    struct sc_values *v;
    CHECK_ERR(0, sc_values_open(m, tensor, &v, &e));
    if (!v) {
        fprintf(stderr, "%s\n", e.text);
        return;
    }
    CHECK_U64(v->count, m->tensors[tensor].parameters);
    float *all = sc_alloc(v->count * sizeof *all);
    CHECK_ERR(0, sc_values_read(v, 0, v->count, all, &e));
    for (size_t i = 0; i < json_array_size(head); i++) {
        const double want = json_number_value(json_array_get(head, i));
        CHECK_NEAR((double)all[i], want, 4e-9);
    }
    for (uint64_t i = 0; i < v->count; i++)
        if (!isfinite(all[i])) {
            CHECK(!"all values are finite");
            break;
        }
    free(all);
    sc_values_close(v);
}

/* How many weights were looked at. */
static size_t check_model(const char *name, const json_t *tensors)
{
    struct sc_open_options o = {.keep_repo = true};
    struct sc_model *m;
    struct sc_error e = {0};
    char path[1024];
    size_t n = 0, i;
    json_t *row;
    snprintf(path, sizeof path, "%s/%s", SC_FIXTURES, name);
    CHECK_ERR(0, sc_model_open(path, &o, &m, &e));
    if (!m)
        return 0;
    json_array_foreach(tensors, i, row)
    {
        const json_t *head = json_object_get(row, "head");
        const char *called = json_string_value(json_object_get(row, "name"));
        const uint32_t t = head && called ? tensor_called(m, called) : SC_NO_NODE;
        CHECK(!head || t != SC_NO_NODE);
        if (t != SC_NO_NODE && m->tensors[t].layout != SC_LAYOUT_PLAIN) {
            const unsigned before = test_bad;
            check_values(m, t, head);
            if (test_bad > before)
                fprintf(stderr, "in %s of %s\n", called, name);
            n++;
        }
    }
    sc_model_close(m);
    return n;
}

TEST(weights_of_all_fixtures)
{
    static const char end[] = ".expect.json";
    DIR *d = opendir(SC_FIXTURES);
    REQUIRE(d);
    size_t models = 0, weights = 0;
    for (const struct dirent *entry; (entry = readdir(d));) {
        const size_t n = strlen(entry->d_name);
        char path[1024], name[512];
        if (n < sizeof end || n >= sizeof name || strcmp(entry->d_name + n - strlen(end), end) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", SC_FIXTURES, entry->d_name);
        json_t *doc = json_load_file(path, 0, NULL);
        if (!doc) /* names that jansson does not hold */
            continue;
        memcpy(name, entry->d_name, n - strlen(end));
        name[n - strlen(end)] = '\0';
        json_t *row, *tensors = json_object_get(doc, "tensors");
        bool any = false;
        size_t i;
        json_array_foreach(tensors, i, row) any |= json_object_get(row, "head") != NULL;
        const size_t seen = any ? check_model(name, tensors) : 0;
        models += seen > 0;
        weights += seen;
        json_decref(doc);
    }
    closedir(d);
    CHECK(models >= 46);
    CHECK(weights >= 460);
}
