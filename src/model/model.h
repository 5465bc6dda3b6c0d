/* SPDX-License-Identifier: Apache-2.0 */
/* model: what the catalog means.
 *
 * Owns: canonical names, roles, layers, experts and towers; logical tensors (a weight together
 * with its scales); config.json, card and tokenizer facts; the module tree in natural order, its
 * collapsed rows, and filters.
 *
 * Does not own: bytes. Nothing here reads tensor data, but for two kinds of metadata that are
 * stored as tensors: shapes (16 bytes) and the JSON of bitsandbytes (below 4 KiB). It does keep the
 * files open for those who read more.
 *
 * Immutable after sc_model_open(); may be read from many threads.
 */
#ifndef SC_MODEL_H
#define SC_MODEL_H

#include "format/format.h"

/* --------------------------------------------------------------------- logical tensors --- */
enum sc_layout {
    SC_LAYOUT_PLAIN,
    SC_LAYOUT_GGML,    /* the block type carries its scales */
    SC_LAYOUT_FP8,     /* weight * scale: per tensor, channel or block */
    SC_LAYOUT_CT_PACK, /* compressed-tensors pack-quantized */
    SC_LAYOUT_CT_INT,  /* compressed-tensors int-quantized */
    SC_LAYOUT_NVFP4,   /* ModelOpt and compressed-tensors */
    SC_LAYOUT_MXFP4,   /* gpt-oss blocks/scales, compressed-tensors, DeepSeek-V4 experts */
    SC_LAYOUT_GPTQ,
    SC_LAYOUT_AWQ,
    SC_LAYOUT_BNB_INT8,
    SC_LAYOUT_BNB_4BIT, /* nf4 and fp4, single or double quantised */
    SC_LAYOUT_MLX,
    SC_LAYOUT_BITNET,
    SC_LAYOUT_TORCH_QINT, /* integers of PyTorch; scale and zero point stand in the pickle */
    SC_LAYOUT_HQQ,        /* from here on: recognised, cannot be decoded */
    SC_LAYOUT_AQLM,
    SC_LAYOUT_QUIP,
    SC_LAYOUT_EXL2,
    SC_LAYOUT_EXL3,
    SC_LAYOUT_VPTQ,
    SC_LAYOUT_SPQR,
    SC_LAYOUT_TORCHAO,
    SC_LAYOUT_COUNT
};
/* "fp8", "gptq", ...; whether values can be computed; a sentence. */
struct sc_layout_info {
    const char *name;
    bool decodable;
    const char *summary;
};
extern const struct sc_layout_info sc_layouts[SC_LAYOUT_COUNT];

/* What a stored tensor does inside its logical one. */
enum sc_part {
    SC_PART_WEIGHT, /* the codes; always the first part */
    SC_PART_SCALE,
    SC_PART_SCALE_2, /* NVFP4 tensor scale, bnb nested_absmax */
    SC_PART_ZERO,
    SC_PART_BIAS,  /* MLX biases */
    SC_PART_ORDER, /* g_idx, q_invperm */
    SC_PART_SHAPE, /* weight_shape */
    SC_PART_MAP,   /* quant_map, codebooks */
    SC_PART_STATE, /* bnb quant_state and other descriptions */
    SC_PART_OTHER,
};

enum sc_role {
    SC_ROLE_OTHER,
    SC_ROLE_EMBEDDING,
    SC_ROLE_POSITION,
    SC_ROLE_OUTPUT, /* lm_head */
    SC_ROLE_NORM,
    SC_ROLE_Q,
    SC_ROLE_K,
    SC_ROLE_V,
    SC_ROLE_O,
    SC_ROLE_QKV,
    SC_ROLE_KV,
    SC_ROLE_Q_A,
    SC_ROLE_Q_B,
    SC_ROLE_KV_A,
    SC_ROLE_KV_B,
    SC_ROLE_GATE,
    SC_ROLE_UP,
    SC_ROLE_DOWN,
    SC_ROLE_GATE_UP,
    SC_ROLE_ROUTER,
    SC_ROLE_CONV,
    SC_ROLE_SSM,
    SC_ROLE_BIAS,
    SC_ROLE_COUNT
};
extern const char *const sc_role_names[SC_ROLE_COUNT]; /* "q_proj", "router", ... */

enum sc_tower {
    SC_TOWER_MAIN, /* decoder-only text model, or a model with one tower */
    SC_TOWER_VISION,
    SC_TOWER_AUDIO,
    SC_TOWER_TEXT,
    SC_TOWER_ENCODER,
    SC_TOWER_DECODER,
    SC_TOWER_PROJECTOR,
    SC_TOWER_MTP,
    SC_TOWER_UNET,
    SC_TOWER_VAE,
    SC_TOWER_COUNT
};
extern const char *const sc_tower_names[SC_TOWER_COUNT];

struct sc_tensor {
    const char *name;      /* NUL-terminated; logical name: "...q_proj.weight" */
    const uint64_t *shape; /* (rank) logical */
    const char *dtype;     /* "BF16", "F8_E4M3", "Q4_K", "INT4", "NF4", "NVFP4", ... */
    uint64_t parameters;
    uint64_t bytes; /* stored bytes of all parts */
    uint32_t name_len;
    uint32_t main;       /* entry that holds the codes */
    uint32_t first_part; /* into model->parts; parts[first_part] is main */
    uint16_t n_parts;    /* 1: plain */
    uint16_t group;      /* elements per scale along K; 0: unknown or one a tensor, 65535: row */
    uint8_t rank;
    uint8_t layout; /* enum sc_layout */
    uint8_t bits;   /* of one code; 0: not one number, or not folded */
    uint8_t role;   /* enum sc_role */
    uint8_t tower;  /* enum sc_tower */
    int32_t layer;  /* -1: none */
    int32_t expert; /* -1: none (or all of them stacked) */
};
struct sc_tensor_part {
    uint32_t entry;
    uint8_t part; /* enum sc_part */
};

/* ------------------------------------------------------------------------------ config --- */
/* MLX: a module with other parameters than the rest; bits, group 0: not said. */
struct sc_quant_module {
    const char *name; /* "model.layers.0.mlp.gate" */
    uint32_t bits, group;
};
/* Facts of config.json or of GGUF keys; 0 or NULL: the file does not say. Every number was range
 * checked; `problems` in the catalog's findings say what was ignored. */
struct sc_config {
    const char *source;       /* file the facts are from: "config.json"; NULL: there is none */
    const char *architecture; /* "Qwen3ForCausalLM", "llama" */
    const char *model_type;
    const char *dtype; /* torch_dtype */
    uint64_t layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context, experts,
        experts_per_token, shared_experts, moe_intermediate, mtp_layers;
    double rope_theta, norm_eps;
    bool tied_embeddings, has_tied_embeddings;
    const char *quant_method; /* "gptq", "fp8", ... */
    const char *quant_format; /* compressed-tensors format, gptq checkpoint_format, MLX mode, class
                                 of BitNet's layers, ... */
    int64_t quant_bits, quant_group; /* 0: not said; group -1: one per row */
    uint64_t quant_block[2];         /* fp8 weight_block_size */
    bool quant_modelopt_awq;
    const struct sc_quant_module *quant_modules; /* in byte order of their names */
    size_t n_quant_modules;
};
/* tokenizer.json / tokenizer_config.json / GGUF tokenizer keys */
struct sc_tokenizer_facts {
    const char *type; /* "BPE", "Unigram", "WordPiece", "gpt2", "llama" */
    uint64_t vocabulary, merges, added, special;
    const char *bos, *eos, *pad, *unk;
    bool chat_template;
};
/* adapter_config.json, as PEFT writes it */
struct sc_alpha_pattern {
    const char *key; /* a module's name, or how it ends; may be a regular expression */
    double alpha;
};
struct sc_adapter_facts {
    bool there;       /* the file was read */
    const char *type; /* "LORA"; NULL: not said */
    const char *base; /* base_model_name_or_path */
    uint64_t rank;    /* r; 0: not said */
    double alpha;     /* lora_alpha; NaN: not said */
    bool rank_stabilised, dora, fan_in_fan_out;
    const struct sc_alpha_pattern *alphas; /* alpha_pattern, in the order of the file */
    size_t n_alphas, n_ranks;              /* n_ranks: of rank_pattern */
};
/* Front matter of README.md */
struct sc_card_facts {
    const char *license, *license_name, *base_model[8], *base_model_relation, *pipeline, *library;
    size_t n_base_models;
    const char *languages; /* joined by ", " */
    const char *tags;
};

/* --------------------------------------------------------------------------- module tree ---
 * Names split at dots. Children are in natural order. A node can be a module and a tensor. */
#define SC_NO_NODE UINT32_MAX
struct sc_node {
    const char *label; /* segment; borrowed from a tensor name, not NUL-terminated */
    uint32_t label_len;
    uint32_t parent;
    uint32_t first_child, next; /* SC_NO_NODE: none */
    uint32_t n_children;
    uint32_t tensor; /* index into model->tensors, or SC_NO_NODE */
};

struct sc_model {
    struct sc_catalog *catalog;
    char *label;             /* what the user opened: a path, "org/name", a URL */
    const char *origin;      /* "local", "hub" or "url" */
    char *revision, *commit; /* of the Hub; NULL elsewhere */
    char *page;              /* its page there; NULL elsewhere */
    bool gated, is_private;
    struct sc_tensor *tensors; /* logical, in natural order */
    struct sc_tensor_part *parts;
    struct sc_node *nodes; /* nodes[0] is the root */
    size_t n_tensors, n_parts, n_nodes;
    uint64_t bytes, parameters; /* totals over tensors */
    struct sc_config config;
    struct sc_adapter_facts adapter;
    struct sc_tokenizer_facts tokenizer;
    struct sc_card_facts card;
    struct sc_repo_file
        *files; /* of the folder; of a named file only what was opened, for `info` */
    size_t n_files;
    struct sc_arena arena;
    struct sc_io io;
    struct sc_repo *repo; /* while opening, and with keep_repo until the model is closed */
    struct sc_model_sources *sources; /* with keep_repo: see sc_model_source() */
};

/* Takes over the repository and closes it (with keep_repo: when the model is closed). */
int sc_model_open_repo(struct sc_repo *repo, const struct sc_open_options *o, struct sc_model **out,
                       struct sc_error *e);
/* MODEL as sc_repo_open() takes it: a path, "-", a name of the Hub, a URL. */
int sc_model_open(const char *path, const struct sc_open_options *o, struct sc_model **out,
                  struct sc_error *e);
void sc_model_close(struct sc_model *m);

static inline struct sc_str sc_tensor_name(const struct sc_tensor *t)
{
    return sc_str(t->name, t->name_len);
}
/* companions.c: configuration, tokenizer, templates and code of a model, by their path: what a copy
 * of its weights needs beside it. */
bool sc_is_companion(struct sc_str path);
/* enum sc_entry_flags of its main part; SC_ENTRY_BROKEN when any part is. */
unsigned sc_tensor_flags(const struct sc_model *m, const struct sc_tensor *t);
/* What a tensor adds to the number of parameters: the product of its shape, but weights that share
 * a storage (tied embeddings, expanded views of PyTorch) count once, and broken ones do not. */
uint64_t sc_tensor_counted(const struct sc_model *m, const struct sc_tensor *t);

/* ------------------------------------------------------------------------------- sources ---
 * The files of an open model (keep_repo), one open source each, shared by all who read. At most
 * SC_MODEL_SOURCES files stay open; one that nobody holds is closed when another is needed. From
 * any thread. */
#define SC_MODEL_SOURCES 64
/* catalog->files[file], until sc_model_release(). What is mapped of it stays as long. A file that
 * has another size than its header was read with is refused (SCRUPLE_EIO). */
int sc_model_source(const struct sc_model *m, uint32_t file, struct sc_source **out,
                    struct sc_error *e);
void sc_model_release(const struct sc_model *m, uint32_t file);
/* Bytes that name the content of catalog->files[file], for keys of what is kept: the Hub's hash,
 * whether the file is here or there, else the identity of its source. Appends to out; false: there
 * is none, or it cannot be opened. */
bool sc_model_identity(const struct sc_model *m, uint32_t file, struct sc_buf *out);
/* The unpacked bytes of a deflated storage: unpacked by the first who asks, kept while somebody
 * holds it, and a little longer. Until sc_model_release_storage(). */
int sc_model_storage(const struct sc_model *m, uint32_t storage, const _Atomic int *cancel,
                     struct sc_source **out, struct sc_error *e);
void sc_model_release_storage(const struct sc_model *m, uint32_t storage);
/* sources.c: made when the model is open, closed before its repository. */
int sc_model_sources_new(struct sc_model *m, struct sc_error *e);
void sc_model_sources_free(struct sc_model_sources *s);

/* Steps of opening, each in its own file. `repo` is open during the call. */
int sc_model_read_config(struct sc_model *m, struct sc_repo *repo, struct sc_error *e);
int sc_model_read_adapter(struct sc_model *m, struct sc_repo *repo, struct sc_error *e);
int sc_model_read_facts(struct sc_model *m, struct sc_repo *repo, struct sc_error *e);
/* Fills tensors and parts from catalog->entries, about in the order of the entries: every entry is
 * part of exactly one tensor, so the bytes of the rows add up. What does not fit a layout in names,
 * types and shapes stays as it is. Call after sc_model_read_config. When m->repo is there, shapes
 * that are stored as tiny tensors are read (at most 4 KiB each); where that fails, the shape
 * follows from the packed dimensions and a warning is recorded. A layout that cannot be decoded
 * and does not tell its logical shape keeps the shape of its codes. */
int sc_model_fold(struct sc_model *m, struct sc_error *e);
/* role, tower, layer, expert of every tensor, from its name. */
void sc_model_classify(struct sc_model *m);
/* Build nodes and put tensors into natural order. */
int sc_model_build_tree(struct sc_model *m, struct sc_error *e);
/* Config against tensors: findings for `check`. */
int sc_model_check(struct sc_model *m, struct sc_error *e);

/* One name for the same weight in every container: GGUF "blk.3.ffn_down.weight" and HF
 * "model.layers.3.mlp.down_proj.weight" give "layers.3.mlp.down_proj.weight". Appends to out.
 * The table is in names_canonical.c. */
void sc_canonical_name(struct sc_str name, struct sc_buf *out);
struct sc_name_facts {
    enum sc_role role;
    enum sc_tower tower;
    int32_t layer, expert;
};
struct sc_name_facts sc_name_facts(struct sc_str name, uint64_t config_layers);

/* --------------------------------------------------------------------------------- pairs ---
 * Which tensor of one model is which of another. */
enum sc_pair_status {
    SC_PAIR_BOTH,
    SC_PAIR_SHAPE, /* in both, with another shape: cannot be compared element by element */
    SC_PAIR_ONLY_A,
    SC_PAIR_ONLY_B,
};
/* How the two found each other: the first of these that does. */
enum sc_pair_rule {
    SC_PAIR_BY_NAME,      /* the same name */
    SC_PAIR_BY_CANONICAL, /* the same weight in another container or under another wrapper */
    SC_PAIR_BY_ENDING,    /* the same shape, and names that differ in up to two leading words */
    SC_PAIR_BY_TYING,     /* one stores the output matrix, the other uses its embedding for it */
    SC_PAIR_BY_PART,      /* one is a part of the other: q of a fused qkv, one expert of a stack */
};
/* How the values of a tensor are read so that they stand where those of its mate do: steps, the
 * first on what is stored. Stored and between steps values are rows without gaps. */
enum sc_step_kind {
    SC_STEP_ROWS, /* row (i, j, k) is row first + i stride[0] + j stride[1] + k stride[2] */
    SC_STEP_TURN, /* matrices of `height` rows are transposed */
    SC_STEP_ADD,  /* x + 1, rounded to a float; `half`: to a half */
};
struct sc_arrange_step {
    uint8_t kind;                    /* enum sc_step_kind */
    bool half;                       /* ADD */
    uint64_t cols;                   /* of a row that is read: ROWS, TURN */
    uint64_t height;                 /* TURN: the new rows have so many columns */
    uint64_t first, n[3], stride[3]; /* ROWS */
};
enum { SC_MAX_STEPS = 3 };
struct sc_arrangement {
    struct sc_arrange_step step[SC_MAX_STEPS];
    size_t n;
};
struct sc_pair {
    uint32_t a, b;  /* index into the tensors of either; SC_NO_NODE: only the other has it */
    uint8_t status; /* enum sc_pair_status */
    uint8_t rule;   /* enum sc_pair_rule, when both have it */
    const struct sc_arrangement *how_a, *how_b; /* NULL: as stored */
    const char *transform; /* what was undone, or why only one has it; NULL: nothing to say */
};
struct sc_pairs {
    struct sc_pair *p; /* in the order of A; what only B has comes last, in its order */
    size_t n;
    size_t n_status[4];    /* by enum sc_pair_status */
    struct sc_arena arena; /* arrangements and words */
};
/* No tensor is in two pairs, but an embedding that is tied may also stand for the output matrix. A
 * rule pairs only what it tells apart: a name that several tensors of a model come to be called is
 * left to the next rule. Shapes are equal when they are so without dimensions of 1. With a filter,
 * only pairs of which one side's name matches; the pairing itself does not depend on it. */
struct sc_filter;
int sc_models_pair(const struct sc_model *a, const struct sc_model *b,
                   const struct sc_filter *filter, struct sc_pairs *out, struct sc_error *e);
/* The same, with what converters do undone (pair_undo.c has the table): rows of q and k that
 * llama.cpp permutes, norms to which it adds 1, Conv1D, tensors that one side has fused or stacked
 * and the other has not. Here a tensor may be in several pairs, a part of it in each. */
int sc_models_match(const struct sc_model *a, const struct sc_model *b,
                    const struct sc_filter *filter, struct sc_pairs *out, struct sc_error *e);
void sc_pairs_clear(struct sc_pairs *p);

/* ------------------------------------------------------------------------------- filters ---
 * dotted: exact module path from the root with all below; no dot: substring; `*?[]`: glob over
 * the whole path or any leading part; `a-b` inside a segment: number range; `re:`: POSIX extended
 * regular expression searched in the name. All ignore ASCII case. Several filters: union. */
int sc_filter_new(const char *const *words, size_t n, struct sc_filter **out, struct sc_error *e);
bool sc_filter_match(const struct sc_filter *f, struct sc_str name); /* NULL filter: all */
void sc_filter_free(struct sc_filter *f);

/* -------------------------------------------------------------------------- collapsed rows --- */
struct sc_row {
    const char *label; /* outline arena; sanitising is the renderer's business */
    uint32_t label_len;
    uint32_t depth;
    uint32_t tensor;     /* a member of the row, or SC_NO_NODE: module row */
    uint64_t count;      /* members the row stands for */
    uint64_t bytes;      /* of one member: its tensor, or everything below a module row */
    uint64_t parameters; /* of one member, likewise */
    bool closed;         /* module row whose content --depth hides */
};
struct sc_outline {
    struct sc_row *rows;
    size_t n_rows, rows_cap;
    size_t n_matched; /* logical tensors that passed the filter */
    uint64_t matched_bytes, matched_parameters;
    uint32_t *row_of; /* (n_tensors) the row that a tensor is in; SC_NO_NODE: filtered out. NULL
                         unless members were asked for */
    struct sc_arena arena;
};
enum sc_sort { SC_SORT_NAME, SC_SORT_SIZE };
struct sc_outline_options {
    const struct sc_filter *filter;
    uint32_t depth; /* 0: all */
    enum sc_sort sort;
    bool flat;    /* every tensor a row with its full name, nothing collapsed */
    bool members; /* say of each tensor which row it is in */
};
int sc_outline_make(const struct sc_model *m, const struct sc_outline_options *o,
                    struct sc_outline *out, struct sc_error *e);
void sc_outline_clear(struct sc_outline *o);

#endif
