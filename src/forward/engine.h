/* SPDX-License-Identifier: Apache-2.0 */
/* engine: what the files of the forward layer share. Private to it.
 *
 *   keys.c  settings, whatever the container calls them --> families*.c  what they mean
 *   weights.c  which tensor is which matrix --> linear.c  products with it, views.c  its bytes
 *   run.c  the pass: embedding, then attention.c and mlp.c for each layer, output
 */
#ifndef SC_FORWARD_ENGINE_H
#define SC_FORWARD_ENGINE_H

#include <jansson.h>

#include "forward/forward.h"
#include "kernel/dots.h"
#include "kernel/dots16.h"

/* ---------------------------------------------------------------------------------- keys.c ---
 * Settings of config.json (of the text model in it) or of GGUF metadata. The first that is wrong
 * makes `code` negative; from then on getters give their fallback. */
struct sc_keys {
    const struct sc_model *m;
    json_t *root;       /* NULL: GGUF */
    const json_t *text; /* the object that describes the language model */
    struct sc_str arch; /* GGUF: general.architecture */
    struct sc_error *e;
    int code;
};
int sc_keys_open(const struct sc_model *m, struct sc_keys *k, struct sc_error *e);
void sc_keys_close(struct sc_keys *k);
/* `hf`: names in config.json, separated by spaces, the first that is there counts; "a.b" looks into
 * an object. `gguf`: behind "ARCH.". Either may be NULL. */
bool sc_key_uint(struct sc_keys *k, const char *hf, const char *gguf, uint64_t *out);
bool sc_key_real(struct sc_keys *k, const char *hf, const char *gguf, double *out);
bool sc_key_bool(struct sc_keys *k, const char *hf, const char *gguf, bool *out);
/* Until sc_keys_close(); {NULL, 0}: absent. */
struct sc_str sc_key_text(struct sc_keys *k, const char *hf, const char *gguf);
/* Of config.json alone; NULL: absent or no list. */
const json_t *sc_key_list(struct sc_keys *k, const char *hf);
/* A list of `n` truth values in GGUF metadata. False: there is none; a number instead of a list, or
 * a list of another length, is refused. */
bool sc_key_flags(struct sc_keys *k, const char *gguf, size_t n, bool *out);
/* What a setting is called in this container, for messages: the first of its names. */
struct sc_key_name {
    char s[64];
};
struct sc_key_name sc_key_called(const struct sc_keys *k, const char *hf, const char *gguf);
/* Refuses: what is set, and why it cannot be run. */
void sc_keys_refuse(struct sc_keys *k, const char *fmt, ...) SC_PRINTF(2, 3);

/* ---------------------------------------------------------------------------------- a plan --- */
enum sc_slot { /* matrices and vectors of a layer, then those outside */
               SC_SLOT_ATTN_NORM,
               SC_SLOT_Q,
               SC_SLOT_K,
               SC_SLOT_V,
               SC_SLOT_O,
               SC_SLOT_Q_NORM,
               SC_SLOT_K_NORM,
               SC_SLOT_POST_ATTN_NORM,
               SC_SLOT_Q_A,
               SC_SLOT_Q_A_NORM,
               SC_SLOT_Q_B,
               SC_SLOT_KV_A,
               SC_SLOT_KV_A_NORM,
               SC_SLOT_KV_B,
               SC_SLOT_K_B, /* instead: k of each head, transposed; rows as they are stored */
               SC_SLOT_V_B,
               SC_SLOT_MLP_NORM,
               SC_SLOT_GATE,
               SC_SLOT_UP,
               SC_SLOT_DOWN,
               SC_SLOT_POST_MLP_NORM,
               SC_SLOT_ROUTER,
               SC_SLOT_ROUTER_BIAS,
               SC_SLOT_SHARED_GATE, /* matrices of the shared expert */
               SC_SLOT_SHARED_UP,
               SC_SLOT_SHARED_DOWN,
               SC_SLOT_SHARED_SWITCH, /* one row: how much of it */
               SC_SLOTS_OF_LAYER,
               SC_SLOT_EMBED = SC_SLOTS_OF_LAYER,
               SC_SLOT_POSITIONS,
               SC_SLOT_FINAL_NORM,
               SC_SLOT_OUTPUT,
               SC_SLOTS
};
#define SC_NO_TENSOR_HERE UINT32_MAX
/* A matrix of the pass, `rows` outputs and `cols` inputs, wherever it lies: see
 * struct sc_forward_matrix. Vectors have one row. */
struct sc_weight {
    struct sc_forward_matrix m; /* tensor SC_NO_TENSOR_HERE: there is none */
    uint32_t bias;              /* tensor, or SC_NO_TENSOR_HERE */
    uint64_t bias_first;
};
struct sc_expert {
    struct sc_weight gate, up, down;
};
enum sc_norm { SC_NORM_RMS, SC_NORM_RMS_PLUS_ONE, SC_NORM_LAYER, SC_NORM_PLAIN };
enum sc_activation { SC_ACT_SILU, SC_ACT_GELU_TANH, SC_ACT_GELU };
enum sc_router { SC_ROUTER_SOFTMAX, SC_ROUTER_SIGMOID };
/* Rotation of a head: frequencies, and the factor of cosine and sine. Two sets where the length
 * of the sequence decides (longrope). */
struct sc_rope {
    uint32_t dims;          /* of a head that are rotated; 0: none */
    bool adjacent;          /* pairs (2i, 2i + 1), else (i, i + dims / 2) */
    double *frequency;      /* (dims / 2) */
    double *long_frequency; /* above original_context positions; NULL: the same */
    uint64_t original_context;
    double factor;
    double dynamic_base, dynamic_factor; /* NTK by length; factor 0: none */
};
struct sc_layer {
    struct sc_weight w[SC_SLOTS_OF_LAYER];
    struct sc_expert *experts; /* (plan->experts); NULL: a dense layer */
    uint32_t window;           /* keys that a query sees; 0: all before it */
    uint8_t rope;              /* which of plan->ropes */
};
struct sc_plan {
    struct sc_forward_facts facts;
    enum sc_norm norm;
    enum sc_activation activation;
    double eps, qk_eps;
    bool gguf, gguf_permuted; /* rows of q and k stand as llama.cpp wants them */
    bool parallel_norms;      /* norms behind attention and MLP, too (Gemma 2) */
    bool post_only;           /* no norms before them (OLMo 2) */
    bool gated;               /* down(act(gate) * up), else down(act(up)) */
    bool qk_norm_full, qk_norm_head;
    bool learned_positions, tied;
    bool untied;     /* config.json says that embeddings are not the output matrix */
    bool conv1d;     /* matrices are stored [in, out] */
    double clip_qkv; /* 0: none */
    double embed_scale, attention_scale, attention_cap, logit_cap;
    /* MLA; q_rank 0: q is one matrix; kv_rank 0: no MLA */
    uint32_t q_rank, kv_rank, nope_dim, rope_dim;
    /* mixture of experts */
    enum sc_router router;
    bool renormalise;
    double route_scale;
    uint32_t groups, groups_kept, moe_intermediate, shared_intermediate, first_dense, sparse_step;
    bool group_top2; /* score of a group: sum of its two best, else its best */
    struct sc_rope ropes[2];
    struct sc_layer *layers;
    struct sc_weight top[SC_SLOTS - SC_SLOTS_OF_LAYER];
};
/* What is in a slot that is of no layer. */
#define SC_TOP(plan, slot) (&(plan)->top[(slot)-SC_SLOTS_OF_LAYER])
struct sc_forward {
    const struct sc_model *m;
    struct sc_plan plan;
    struct sc_arena arena;
    atomic_bool *seen; /* a pass has read all of it */
};
enum { SC_MAX_GROUPS = 256 };
/* An architecture: what the two containers call it, and what its settings mean. */
struct sc_family {
    const char *name;
    const char *hf[4]; /* config.json, "architectures" */
    const char *gguf;  /* general.architecture */
    /* After the common settings. A refusal is k->code. */
    void (*plan)(struct sc_keys *k, struct sc_forward *f);
};
extern const struct sc_family sc_family_llama, sc_family_mistral, sc_family_qwen2, sc_family_qwen3,
    sc_family_olmo, sc_family_olmo2, sc_family_olmo3, sc_family_phi3, sc_family_gemma,
    sc_family_gemma2, sc_family_gemma3, sc_family_gpt2, sc_family_mixtral, sc_family_qwen2moe,
    sc_family_qwen3moe, sc_family_olmoe, sc_family_deepseek2, sc_family_deepseek3;
/* families.c: common settings; layers exist afterwards. */
int sc_forward_plan(struct sc_forward *f, struct sc_keys *k);
/* Which layers have a sliding window: those that a list of the configuration says, else all but
 * each `period`-th. `window`: its width where none is given, 0: then there are none. */
void sc_windows_plan(struct sc_keys *k, struct sc_plan *p, uint64_t window, uint32_t period);
/* rope.c: the rotation that settings ask for. */
void sc_rope_plan(struct sc_keys *k, struct sc_forward *f, struct sc_rope *r, double base,
                  uint32_t dims, bool scaled);
/* By what yarn multiplies attention when lengths grow by `factor`: 0.1 m ln factor + 1. */
double sc_yarn_magnitude(double factor, double m);
/* cos and sin of n positions, (n x dims / 2) each, of a sequence of `length`. */
void sc_rope_table(const struct sc_rope *r, size_t n, size_t length, float *cosine, float *sine);
/* One head of one position. */
void sc_rope_apply(const struct sc_rope *r, const float *cosine, const float *sine, float *head);

/* ------------------------------------------------------------------------------- weights.c --- */
int sc_weights_bind(struct sc_forward *f, struct sc_error *e);

/* --------------------------------------------------------------------------------- the pass --- */
/* One sequence in one variant. */
struct sc_stream {
    uint32_t number, variant, sequence;
    size_t first, n; /* its rows in the batch */
    size_t table;    /* its first row in the tables of cosine and sine */
};
struct sc_state {
    const struct sc_forward *f;
    const struct sc_run *r;
    enum sc_cpu level;
    enum sc_dots16_unit unit;
    struct sc_stream *streams; /* those that are live, in the order in which they began */
    size_t n_streams, n_rows;
    uint32_t *started;          /* (n_variants + 1) layer at which a variant leaves variant 0 */
    float *x;                   /* (n_rows x hidden) the residual stream of all live streams */
    uint32_t *of;               /* (n_rows) the stream of each row */
    float *cosine[2], *sine[2]; /* for the longest sequence */
    struct sc_views *views;
    float *packed; /* rows of the product that is at work; packed_at: where they begin */
    float *packed_at;
    size_t packed_room, packed_n;
    const float *packed_x;  /* what is packed: packed_n rows, */
    bool packed_brief;      /* as bfloat16 */
    _Atomic uint64_t bytes; /* of matrices that were multiplied with */
};
/* Y = X W^T + bias, of all rows; edits of variants are applied to the rows of their streams. `of`:
 * stream of each row of X; NULL: no edit applies. */
struct sc_linear {
    const struct sc_weight *w;
    const float *x;
    size_t n, x_stride;
    float *y;
    size_t y_stride;
    const uint32_t *of; /* (n) index into state->streams */
    bool same_x;        /* x is that of the product just before, unchanged */
    bool exact;         /* in floats, whatever the precision of the run */
};
int sc_linear_run(struct sc_state *s, const struct sc_linear *l, struct sc_error *e);
/* n values of a tensor from `first` on, to be freed; SC_NO_TENSOR_HERE gives NULL. */
int sc_tensor_floats(struct sc_state *s, uint32_t tensor, uint64_t first, uint64_t n, float **out,
                     struct sc_error *e);
/* views.c: tensors as they are read, opened once while a layer works. All but sc_views_used()
 * belong to the thread that runs the pass. free: views NULL is allowed. */
int sc_views_new(struct sc_state *s, struct sc_error *e);
void sc_views_free(struct sc_state *s);
int sc_views_get(struct sc_state *s, uint32_t tensor, struct sc_values **out, struct sc_error *e);
/* A product begins: the disk is asked for what comes behind it. */
int sc_views_begin(struct sc_state *s, const struct sc_weight *w, struct sc_error *e);
/* Rows of a matrix are multiplied. From any thread. */
void sc_views_used(struct sc_state *s, const struct sc_weight *w, uint64_t first, uint64_t rows);
/* A product ends. */
void sc_views_end(struct sc_state *s, const struct sc_weight *w);
/* A matrix that nobody could know of before will be used soon. */
int sc_views_ask(struct sc_state *s, const struct sc_weight *w, struct sc_error *e);
/* Closes what later layers do not need (layers: all); SCRUPLE_EIO: a file was changed meanwhile. */
int sc_views_end_layer(struct sc_state *s, uint32_t layer, struct sc_error *e);
/* y = norm(x) of n numbers; w and bias may be NULL; y may be x. */
void sc_norm_row(enum sc_norm kind, double eps, const float *w, const float *bias, const float *x,
                 size_t n, float *y);
/* The norm in a slot of a layer, of all rows of the batch. */
int sc_norm_run(struct sc_state *s, const struct sc_weight *w, const float *x, size_t width,
                float *y, struct sc_error *e);
int sc_attention_run(struct sc_state *s, uint32_t layer, const float *in, float *out,
                     struct sc_error *e);
int sc_mlp_run(struct sc_state *s, uint32_t layer, const float *in, float *out, struct sc_error *e);
/* act(gate) * up, or act(up) in place of gate. */
void sc_activate(const struct sc_state *s, const float *up, size_t n, size_t width, float *gate);
/* Shows all live streams; rows of `values` are the batch's. */
int sc_see(struct sc_state *s, enum sc_hook hook, int32_t layer, int32_t part, const float *values,
           size_t width, struct sc_error *e);
static inline bool sc_wants(const struct sc_state *s, enum sc_hook hook)
{
    return s->r->see && (s->r->hooks >> hook & 1);
}
/* Puts back what variants restore after a hook. */
void sc_restore_rows(const struct sc_state *s, enum sc_hook hook, uint32_t layer, float *values,
                     size_t width);
float *sc_floats(size_t rows, size_t width); /* malloc of rows * width floats, NULL: too many */

#endif
