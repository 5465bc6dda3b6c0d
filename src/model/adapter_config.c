/* SPDX-License-Identifier: Apache-2.0 */
/* adapter_config: adapter_config.json, which lies beside the weights of a PEFT adapter.
 *
 * A file that cannot be used costs its facts, with a warning; numbers that are out of range are
 * ignored likewise. */
#include "model/config.h"

#include <math.h>
#include <string.h>

enum { MAX_PATTERNS = 4096 };

static void read_alphas(struct sc_reading *r, const json_t *root, struct sc_adapter_facts *f)
{
    json_t *patterns = json_object_get(root, "alpha_pattern"), *value;
    const char *key;
    const size_t n = json_object_size(patterns);
    struct sc_alpha_pattern *all;
    if (n == 0 || r->code < 0)
        return;
    if (n > MAX_PATTERNS) {
        sc_config_warn(r, "alpha_pattern has %zu entries, at most %d are read", n, MAX_PATTERNS);
        return;
    }
    all = SC_ARENA_NEW(&r->m->arena, struct sc_alpha_pattern, n);
    if (!all) {
        r->code = sc_fail_memory(r->e);
        return;
    }
    json_object_foreach(patterns, key, value)
    {
        const double alpha = json_is_number(value) ? json_number_value(value) : (double)NAN;
        if (!isfinite(alpha) || f->n_alphas == n)
            continue;
        all[f->n_alphas].key = sc_config_keep(r, key, strlen(key));
        all[f->n_alphas++].alpha = alpha;
    }
    f->alphas = all;
}

int sc_model_read_adapter(struct sc_model *m, struct sc_repo *repo, struct sc_error *e)
{
    static const char path[] = "adapter_config.json";
    struct sc_adapter_facts *f = &m->adapter;
    struct sc_reading r = {.m = m, .path = path, .e = e};
    json_t *root;
    f->alpha = (double)NAN;
    r.code = sc_config_load(m, repo, path, SC_MAX_CONFIG_BYTES, &root, e);
    if (r.code <= 0)
        return r.code;
    r.code = 0;
    f->there = true;
    sc_config_text(&r, root, "peft_type", &f->type);
    sc_config_text(&r, root, "base_model_name_or_path", &f->base);
    sc_config_uint(&r, root, "r", 1, 1 << 20, &f->rank);
    sc_config_number(&r, root, "lora_alpha", &f->alpha);
    sc_config_bool(root, "use_rslora", &f->rank_stabilised);
    sc_config_bool(root, "use_dora", &f->dora);
    sc_config_bool(root, "fan_in_fan_out", &f->fan_in_fan_out);
    f->n_ranks = json_object_size(json_object_get(root, "rank_pattern"));
    read_alphas(&r, root, f);
    json_decref(root);
    return r.code;
}
