/* SPDX-License-Identifier: Apache-2.0 */
/* rope: rotary positions (Su et al., arXiv 2104.09864) and their scalings.
 *
 *     angle of pair i at position p = p * frequency[i],  frequency[i] = base^(-2i / dims)
 *
 * in double. Scalings change the frequencies: linear, llama3, yarn (Peng et al., arXiv 2309.00071),
 * longrope (Ding et al., arXiv 2402.13753), dynamic NTK; GGUF keeps those of Llama 3 as a tensor of
 * divisors. */
#include <math.h>
#include <string.h>

#include "forward/engine.h"

static double *new_frequencies(struct sc_keys *k, struct sc_forward *f, double base, uint32_t dims)
{
    double *out = SC_ARENA_NEW(&f->arena, double, dims / 2);

    if (!out) {
        if (k->code == 0)
            k->code = sc_fail_memory(k->e);
        return NULL;
    }
    for (uint32_t i = 0; i < dims / 2; i++)
        out[i] = pow(base, -2.0 * i / dims);
    return out;
}

/* ------------------------------------------------------------------------------- scalings --- */

static void scale_llama3(struct sc_keys *k, struct sc_rope *r, double factor)
{
    double low = 0, high = 0, original = 0;

    sc_key_real(k, "rope_scaling.low_freq_factor rope_parameters.low_freq_factor", NULL, &low);
    sc_key_real(k, "rope_scaling.high_freq_factor rope_parameters.high_freq_factor", NULL, &high);
    sc_key_real(k,
                "rope_scaling.original_max_position_embeddings "
                "rope_parameters.original_max_position_embeddings",
                NULL, &original);
    if (k->code == 0 && !(low > 0 && high > low && original > 0)) {
        sc_keys_refuse(k, "the numbers of its llama3 rope scaling make no sense");
        return;
    }
    for (uint32_t i = 0; i < r->dims / 2; i++) {
        const double wave = 2 * 3.14159265358979323846 / r->frequency[i];
        if (wave < original / high)
            continue;
        if (wave > original / low) {
            r->frequency[i] /= factor;
            continue;
        }
        const double s = (original / wave - low) / (high - low);
        r->frequency[i] = (1 - s) * r->frequency[i] / factor + s * r->frequency[i];
    }
}

double sc_yarn_magnitude(double factor, double m)
{
    return factor > 1 ? 0.1 * m * log(factor) + 1 : 1;
}

static double yarn_dim(double rotations, double dims, double base, double original)
{
    return dims * log(original / (2 * 3.14159265358979323846 * rotations)) / (2 * log(base));
}

static void scale_yarn(struct sc_keys *k, struct sc_rope *r, double base, double factor)
{
    double original = 0, fast = 32, slow = 1, m = 0, all = 0, given = 0;
    bool truncate = true;

    sc_key_real(k,
                "rope_scaling.original_max_position_embeddings "
                "rope_parameters.original_max_position_embeddings max_position_embeddings",
                "rope.scaling.original_context_length", &original);
    sc_key_real(k, "rope_scaling.beta_fast rope_parameters.beta_fast",
                "rope.scaling.yarn_beta_fast", &fast);
    sc_key_real(k, "rope_scaling.beta_slow rope_parameters.beta_slow",
                "rope.scaling.yarn_beta_slow", &slow);
    sc_key_bool(k, "rope_scaling.truncate rope_parameters.truncate", NULL, &truncate);
    if (k->code == 0 && !(original > 0 && fast > 0 && slow > 0 && base > 1)) {
        sc_keys_refuse(k, "the numbers of its yarn rope scaling make no sense");
        return;
    }
    double low = yarn_dim(fast, r->dims, base, original);
    double high = yarn_dim(slow, r->dims, base, original);
    if (truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, r->dims - 1.0);
    if (low == high)
        high += 0.001;
    for (uint32_t i = 0; i < r->dims / 2; i++) {
        const double ramp = fmin(fmax((i - low) / (high - low), 0), 1);
        r->frequency[i] = r->frequency[i] / factor * ramp + r->frequency[i] * (1 - ramp);
    }
    sc_key_real(k, "rope_scaling.mscale rope_parameters.mscale", NULL, &m);
    sc_key_real(k, "rope_scaling.mscale_all_dim rope_parameters.mscale_all_dim", NULL, &all);
    if (sc_key_real(k, "rope_scaling.attention_factor rope_parameters.attention_factor", NULL,
                    &given))
        r->factor = given;
    else if (m != 0 && all != 0)
        r->factor = sc_yarn_magnitude(factor, m) / sc_yarn_magnitude(factor, all);
    else if (k->root || !sc_key_real(k, NULL, "rope.scaling.yarn_log_multiplier", &all))
        r->factor = sc_yarn_magnitude(factor, 1);
}

/* Divisors of one length: a list in config.json, or a tensor. */
static void divide(struct sc_keys *k, const struct sc_rope *r, double *frequency,
                   const char *list_name, const char *tensor)
{
    const json_t *list = sc_key_list(k, list_name);
    const struct sc_model *m = k->m;

    if (list && json_array_size(list) != r->dims / 2) {
        sc_keys_refuse(k, "%s has %zu numbers, its heads want %u", list_name, json_array_size(list),
                       r->dims / 2);
        return;
    }
    for (uint32_t i = 0; list && i < r->dims / 2; i++) {
        const double by = json_number_value(json_array_get(list, i));
        if (!(by > 0)) {
            sc_keys_refuse(k, "%s holds what is no number above 0", list_name);
            return;
        }
        frequency[i] /= by;
    }
    for (size_t t = 0; !list && t < m->n_tensors; t++) {
        struct sc_values *v;
        float by[8192];
        if (!sc_str_is(sc_tensor_name(&m->tensors[t]), tensor))
            continue;
        if (m->tensors[t].parameters != r->dims / 2 || r->dims / 2 > SC_COUNT(by)) {
            sc_keys_refuse(k, "%s does not have one number for each pair of a head", tensor);
            return;
        }
        if (k->code == 0)
            k->code = sc_values_open(m, (uint32_t)t, &v, k->e);
        if (k->code != 0)
            return;
        k->code = sc_values_read(v, 0, r->dims / 2, by, k->e);
        sc_values_close(v);
        for (uint32_t i = 0; k->code == 0 && i < r->dims / 2; i++) {
            if (!(by[i] > 0))
                sc_keys_refuse(k, "%s holds what is no number above 0", tensor);
            frequency[i] /= (double)by[i];
        }
        return;
    }
}

static void scale_long(struct sc_keys *k, struct sc_forward *f, struct sc_rope *r, double base)
{
    uint64_t original = 0;
    double given = 0;

    r->long_frequency = new_frequencies(k, f, base, r->dims);
    if (!r->long_frequency)
        return;
    if (!sc_key_uint(
            k,
            "original_max_position_embeddings rope_scaling.original_max_position_embeddings "
            "rope_parameters.original_max_position_embeddings",
            "rope.scaling.original_context_length", &original) ||
        original < 2) {
        sc_keys_refuse(k, "its longrope scaling does not say the original length");
        return;
    }
    r->original_context = original;
    divide(k, r, r->frequency, "rope_scaling.short_factor", "rope_factors_short.weight");
    divide(k, r, r->long_frequency, "rope_scaling.long_factor", "rope_factors_long.weight");
    const double s = (double)f->plan.facts.context / (double)original;
    r->factor = s > 1 ? sqrt(1 + log(s) / log((double)original)) : 1;
    if (sc_key_real(k, "rope_scaling.attention_factor", "rope.scaling.attn_factor", &given))
        r->factor = given;
}

/* llama.cpp writes no type for Phi-3: the tensors say it. */
static bool has_long_factors(const struct sc_keys *k)
{
    for (size_t t = 0; !k->root && t < k->m->n_tensors; t++)
        if (sc_str_is(sc_tensor_name(&k->m->tensors[t]), "rope_factors_long.weight"))
            return true;
    return false;
}

static void scale(struct sc_keys *k, struct sc_forward *f, struct sc_rope *r, double base)
{
    static const char *const objects[] = {"rope_scaling", "rope_parameters"};

    for (unsigned i = 0; i < SC_COUNT(objects); i++) {
        const json_t *given = json_object_get(k->text, objects[i]);
        if (given && !json_is_null(given) && !json_is_object(given))
            sc_keys_refuse(k, "its setting %s is no object", objects[i]);
    }
    const struct sc_str type =
        sc_key_text(k,
                    "rope_scaling.rope_type rope_scaling.type rope_parameters.rope_type "
                    "rope_parameters.full_attention.rope_type",
                    "rope.scaling.type");
    double factor = 1;
    struct sc_quoted q;

    sc_key_real(k,
                "rope_scaling.factor rope_parameters.factor rope_parameters.full_attention.factor",
                "rope.scaling.factor", &factor);
    if (factor == 1) /* its older name */
        sc_key_real(k, NULL, "rope.scale_linear", &factor);
    if (k->code == 0 && !(factor > 0))
        sc_keys_refuse(k, "its rope scaling has a factor that is not above 0");
    if (k->code < 0)
        return;
    if (sc_str_is(type, "longrope") || sc_str_is(type, "su") || (!type.n && has_long_factors(k))) {
        scale_long(k, f, r, base);
    } else if (sc_str_is(type, "llama3")) {
        scale_llama3(k, r, factor);
    } else if (sc_str_is(type, "yarn")) {
        scale_yarn(k, r, base, factor);
    } else if (sc_str_is(type, "linear") || (!type.n && !k->root)) { /* what llama.cpp assumes */
        for (uint32_t i = 0; i < r->dims / 2; i++)
            r->frequency[i] /= factor;
    } else if (sc_str_is(type, "dynamic") || sc_str_is(type, "ntk")) {
        r->dynamic_factor = factor;
        r->dynamic_base = base;
        r->original_context = f->plan.facts.context;
    } else if (type.n && !sc_str_is(type, "default") && !sc_str_is(type, "none")) {
        sc_keys_refuse(k, "its rope scaling is %s", sc_quote(&q, type));
    }
    if (!k->root && !r->long_frequency)
        divide(k, r, r->frequency, "", "rope_freqs.weight");
}

void sc_rope_plan(struct sc_keys *k, struct sc_forward *f, struct sc_rope *r, double base,
                  uint32_t dims, bool scaled)
{
    if (k->code == 0 && !(base > 0))
        sc_keys_refuse(k, "its rope base is not above 0");
    if (k->code == 0 && (dims < 2 || dims % 2))
        sc_keys_refuse(k, "it rotates %u numbers of a head, which are no pairs", dims);
    if (k->code < 0)
        return;
    r->dims = dims;
    r->factor = 1;
    r->frequency = new_frequencies(k, f, base, dims);
    if (scaled && r->frequency)
        scale(k, f, r, base);
}

/* ------------------------------------------------------------------------------- rotating --- */

void sc_rope_table(const struct sc_rope *r, size_t n, size_t length, float *cosine, float *sine)
{
    const size_t half = r->dims / 2;
    const bool is_long = r->long_frequency && length > r->original_context;
    double base = 0;

    if (r->dynamic_factor > 0 && length > r->original_context && r->dims > 2)
        base =
            r->dynamic_base * pow(r->dynamic_factor * (double)length / (double)r->original_context -
                                      (r->dynamic_factor - 1),
                                  r->dims / (r->dims - 2.0));
    for (size_t p = 0; p < n; p++)
        for (size_t i = 0; i < half; i++) {
            double frequency = is_long ? r->long_frequency[i] : r->frequency[i];
            if (base > 0)
                frequency = pow(base, -2.0 * (double)i / r->dims);
            cosine[p * half + i] = (float)(cos((double)p * frequency) * r->factor);
            sine[p * half + i] = (float)(sin((double)p * frequency) * r->factor);
        }
}

void sc_rope_apply(const struct sc_rope *r, const float *cosine, const float *sine, float *head)
{
    const size_t half = r->dims / 2, step = r->adjacent ? 2 : 1, to_other = r->adjacent ? 1 : half;

    for (size_t i = 0; i < half; i++) {
        const float a = head[i * step], b = head[i * step + to_other];
        head[i * step] = a * cosine[i] - b * sine[i];
        head[i * step + to_other] = b * cosine[i] + a * sine[i];
    }
}
