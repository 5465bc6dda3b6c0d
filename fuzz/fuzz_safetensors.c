/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors: the header parser, through its sliding JSON window. What it accepts is what jansson
 * reads in the same header, tensor by tensor, and the tensors tile the data. */
#include "fuzz.h"

#include <jansson.h>

static bool has_number(const json_t *list, size_t i, uint64_t want)
{
    const json_t *n = json_array_get(list, i);
    return json_is_integer(n) && (uint64_t)json_integer_value(n) == want;
}

static void compare_tensor(const struct sc_catalog *c, const struct sc_entry *en,
                           const json_t *tensor)
{
    const json_t *shape = json_object_get(tensor, "shape");
    const json_t *range = json_object_get(tensor, "data_offsets");
    const uint64_t begin = en->offset - c->files[0].data_offset;

    FUZZ_CHECK(json_is_object(tensor));
    FUZZ_CHECK(strcmp(sc_entry_dtype(c, en), json_string_value(json_object_get(tensor, "dtype"))) ==
               0);
    FUZZ_CHECK(json_array_size(shape) == en->rank && json_array_size(range) == 2);
    for (size_t i = 0; i < en->rank; i++)
        FUZZ_CHECK(has_number(shape, i, en->shape[i]));
    FUZZ_CHECK(has_number(range, 0, begin) && has_number(range, 1, begin + en->bytes));
}

/* Keys that stand twice are found when the model is put together; jansson refuses them, as it does
 * keys with NUL and numbers of 64 bits. */
static void compare(const struct sc_catalog *c, const uint8_t *data, size_t size)
{
    const size_t n = (size_t)sc_le64(data);
    json_t *header = json_loadb((const char *)data + 8, n, JSON_REJECT_DUPLICATES, NULL);
    uint64_t sum = 8 + n;

    FUZZ_CHECK(c->files[0].header_bytes == sum);
    for (size_t i = 0; i < c->n_entries; i++)
        sum += c->entries[i].bytes;
    FUZZ_CHECK(sum == size || c->n_warnings);
    if (!header)
        return;
    const json_t *metadata = json_object_get(header, "__metadata__");
    FUZZ_CHECK(json_object_size(header) == c->n_entries + (metadata ? 1 : 0));
    FUZZ_CHECK(json_object_size(metadata) == c->n_metas);
    for (size_t i = 0; i < c->n_entries; i++)
        compare_tensor(c, &c->entries[i], json_object_get(header, c->entries[i].name));
    for (size_t i = 0; i < c->n_metas; i++) {
        const json_t *value = json_object_get(metadata, c->metas[i].key.p);
        FUZZ_CHECK(sc_str_is(c->metas[i].value.as.s, json_string_value(value)));
    }
    json_decref(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sc_open_options strictly = {0};
    int code;

    fuzz_bid(&sc_format_safetensors, data, size);
    fuzz_format(&sc_format_safetensors, data, size);
    struct sc_catalog *c = fuzz_open(&sc_format_safetensors, data, size, &strictly, &code);
    if (c)
        compare(c, data, size);
    sc_catalog_close(c);
    return 0;
}
