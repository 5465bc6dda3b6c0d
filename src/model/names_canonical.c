/* SPDX-License-Identifier: Apache-2.0 */
/* names_canonical: one name for the same weight in every container, after the Llama of Hugging
 * Face without its wrappers:
 *
 *     [TOWER.]layers.N.MODULE.weight   or   [TOWER.]MODULE.weight
 *
 *     1. wrappers in front are dropped ("state_dict.", "module.", "model.", "transformer.",
 *        "language_model.", ...)
 *     2. a tower gets one word (vision_tower.vision_model.encoder, visual, v: "vision"), and the
 *        wrappers behind it are dropped too
 *     3. whatever the layers are called, they are "layers.N"
 *     4. the module is looked up in the tables below; `#` stands for a number and keeps it where
 *        the other side has a `#` too. What is not there keeps its name
 *
 * Names alone cannot tell that `ffn_norm` of a GGUF is `pre_feedforward_layernorm` in Gemma 2 and
 * 3 and `post_attention_layernorm` elsewhere; the table has the latter, and no row for Gemma's
 * `post_attention_norm`, so that names which differ in a file never become one. Nor do equal names
 * promise equal values: converters permute the rows of q and k, and add 1 to the norms of some
 * families. */
#include "model/names.h"

#include <string.h>

struct rename {
    const char *from, *to;
};

/* clang-format off */
/* Within a layer. GGUF first, then Meta and Mistral, GPT-2, GPT-NeoX, BLOOM and Falcon, MPT, OPT,
 * Phi, OLMo, Mixtral, DeepSeek, T5, BERT, vision towers. */
static const struct rename in_layer[] = {
    {"attn_norm",                      "input_layernorm"                },
    {"attn_q",                         "self_attn.q_proj"               },
    {"attn_k",                         "self_attn.k_proj"               },
    {"attn_v",                         "self_attn.v_proj"               },
    {"attn_qkv",                       "self_attn.qkv_proj"             },
    {"attn_output",                    "self_attn.o_proj"               },
    {"attn_q_norm",                    "self_attn.q_norm"               },
    {"attn_k_norm",                    "self_attn.k_norm"               },
    {"attn_q_a",                       "self_attn.q_a_proj"             },
    {"attn_q_a_norm",                  "self_attn.q_a_layernorm"        },
    {"attn_q_b",                       "self_attn.q_b_proj"             },
    {"attn_kv_a_mqa",                  "self_attn.kv_a_proj_with_mqa"   },
    {"attn_kv_a_norm",                 "self_attn.kv_a_layernorm"       },
    {"attn_kv_b",                      "self_attn.kv_b_proj"            },
    {"attn_sinks",                     "self_attn.sinks"                },
    {"attn_rot_embd",                  "self_attn.rotary_emb.inv_freq"  },
    {"ffn_norm",                       "post_attention_layernorm"       },
    {"post_ffw_norm",                  "post_feedforward_layernorm"     },
    {"ffn_gate",                       "mlp.gate_proj"                  },
    {"ffn_up",                         "mlp.up_proj"                    },
    {"ffn_down",                       "mlp.down_proj"                  },
    {"ffn_gate_inp",                   "mlp.gate"                       },
    {"exp_probs_b",                    "mlp.gate.e_score_correction"    },
    {"ffn_gate_exps",                  "mlp.experts.gate_proj"          },
    {"ffn_up_exps",                    "mlp.experts.up_proj"            },
    {"ffn_down_exps",                  "mlp.experts.down_proj"          },
    {"ffn_gate_up_exps",               "mlp.experts.gate_up_proj"       },
    {"ffn_gate.#",                     "mlp.experts.#.gate_proj"        },
    {"ffn_up.#",                       "mlp.experts.#.up_proj"          },
    {"ffn_down.#",                     "mlp.experts.#.down_proj"        },
    {"ffn_gate_shexp",                 "mlp.shared_expert.gate_proj"    },
    {"ffn_up_shexp",                   "mlp.shared_expert.up_proj"      },
    {"ffn_down_shexp",                 "mlp.shared_expert.down_proj"    },
    {"ffn_gate_inp_shexp",             "mlp.shared_expert_gate"         },
    {"cross_attn_norm",                "cross_attn_layernorm"           },
    {"cross_attn_q",                   "cross_attn.q_proj"              },
    {"cross_attn_k",                   "cross_attn.k_proj"              },
    {"cross_attn_v",                   "cross_attn.v_proj"              },
    {"cross_attn_o",                   "cross_attn.o_proj"              },
    {"attn_rel_b",                     "self_attn.relative_attention_bias"},
    {"attn_output_norm",               "attn_output_layernorm"          },
    {"layer_output_norm",              "output_layernorm"               },
    {"ssm_a",                          "mixer.A_log"                    },
    {"ssm_d",                          "mixer.D"                        },
    {"ssm_in",                         "mixer.in_proj"                  },
    {"ssm_x",                          "mixer.x_proj"                   },
    {"ssm_dt",                         "mixer.dt_proj"                  },
    {"ssm_out",                        "mixer.out_proj"                 },
    {"ssm_conv1d",                     "mixer.conv1d"                   },
    {"ssm_norm",                       "mixer.norm"                     },
    {"nextn.eh_proj",                  "eh_proj"                        },
    {"nextn.embed_tokens",             "embed_tokens"                   },
    {"nextn.enorm",                    "enorm"                          },
    {"nextn.hnorm",                    "hnorm"                          },
    {"nextn.shared_head_head",         "shared_head.head"               },
    {"nextn.shared_head_norm",         "shared_head.norm"               },
    {"attention.wq",                   "self_attn.q_proj"               },
    {"attention.wk",                   "self_attn.k_proj"               },
    {"attention.wv",                   "self_attn.v_proj"               },
    {"attention.wo",                   "self_attn.o_proj"               },
    {"attention_norm",                 "input_layernorm"                },
    {"feed_forward.w1",                "mlp.gate_proj"                  },
    {"feed_forward.w2",                "mlp.down_proj"                  },
    {"feed_forward.w3",                "mlp.up_proj"                    },
    {"feed_forward.gate",              "mlp.gate"                       },
    {"feed_forward.experts.#.w1",      "mlp.experts.#.gate_proj"        },
    {"feed_forward.experts.#.w2",      "mlp.experts.#.down_proj"        },
    {"feed_forward.experts.#.w3",      "mlp.experts.#.up_proj"          },
    {"attn.c_attn",                    "self_attn.qkv_proj"             },
    {"attn.c_proj",                    "self_attn.o_proj"               },
    {"mlp.c_fc",                       "mlp.up_proj"                    },
    {"mlp.c_proj",                     "mlp.down_proj"                  },
    {"ln_1",                           "input_layernorm"                },
    {"ln_2",                           "post_attention_layernorm"       },
    {"attention.query_key_value",      "self_attn.qkv_proj"             },
    {"attention.dense",                "self_attn.o_proj"               },
    {"self_attention.query_key_value", "self_attn.qkv_proj"             },
    {"self_attention.dense",           "self_attn.o_proj"               },
    {"mlp.dense_h_to_4h",              "mlp.up_proj"                    },
    {"mlp.dense_4h_to_h",              "mlp.down_proj"                  },
    {"attn.Wqkv",                      "self_attn.qkv_proj"             },
    {"attn.out_proj",                  "self_attn.o_proj"               },
    {"ffn.up_proj",                    "mlp.up_proj"                    },
    {"ffn.down_proj",                  "mlp.down_proj"                  },
    {"norm_1",                         "input_layernorm"                },
    {"norm_2",                         "post_attention_layernorm"       },
    {"self_attn.out_proj",             "self_attn.o_proj"               },
    {"self_attn_layer_norm",           "input_layernorm"                },
    {"final_layer_norm",               "post_attention_layernorm"       },
    {"encoder_attn.q_proj",            "cross_attn.q_proj"              },
    {"encoder_attn.k_proj",            "cross_attn.k_proj"              },
    {"encoder_attn.v_proj",            "cross_attn.v_proj"              },
    {"encoder_attn.out_proj",          "cross_attn.o_proj"              },
    {"encoder_attn_layer_norm",        "cross_attn_layernorm"           },
    {"fc1",                            "mlp.up_proj"                    },
    {"fc2",                            "mlp.down_proj"                  },
    {"mlp.fc1",                        "mlp.up_proj"                    },
    {"mlp.fc2",                        "mlp.down_proj"                  },
    {"self_attn.dense",                "self_attn.o_proj"               },
    {"block_sparse_moe.gate",          "mlp.gate"                       },
    {"block_sparse_moe.experts.#.w1",  "mlp.experts.#.gate_proj"        },
    {"block_sparse_moe.experts.#.w2",  "mlp.experts.#.down_proj"        },
    {"block_sparse_moe.experts.#.w3",  "mlp.experts.#.up_proj"          },
    {"mlp.router",                     "mlp.gate"                       },
    {"mlp.shared_experts.gate_proj",   "mlp.shared_expert.gate_proj"    },
    {"mlp.shared_experts.up_proj",     "mlp.shared_expert.up_proj"      },
    {"mlp.shared_experts.down_proj",   "mlp.shared_expert.down_proj"    },
    {"attn.wq_a",                      "self_attn.q_a_proj"             },
    {"attn.wq_b",                      "self_attn.q_b_proj"             },
    {"attn.wkv_a",                     "self_attn.kv_a_proj_with_mqa"   },
    {"attn.wkv_b",                     "self_attn.kv_b_proj"            },
    {"attn.wo",                        "self_attn.o_proj"               },
    {"attn.q_norm",                    "self_attn.q_a_layernorm"        },
    {"attn.kv_norm",                   "self_attn.kv_a_layernorm"       },
    {"ffn.gate",                       "mlp.gate"                       },
    {"ffn.w1",                         "mlp.gate_proj"                  },
    {"ffn.w2",                         "mlp.down_proj"                  },
    {"ffn.w3",                         "mlp.up_proj"                    },
    {"ffn.experts.#.w1",               "mlp.experts.#.gate_proj"        },
    {"ffn.experts.#.w2",               "mlp.experts.#.down_proj"        },
    {"ffn.experts.#.w3",               "mlp.experts.#.up_proj"          },
    {"ffn.shared_experts.w1",          "mlp.shared_expert.gate_proj"    },
    {"ffn.shared_experts.w2",          "mlp.shared_expert.down_proj"    },
    {"ffn.shared_experts.w3",          "mlp.shared_expert.up_proj"      },
    {"layer.#.SelfAttention.q",        "self_attn.q_proj"               },
    {"layer.#.SelfAttention.k",        "self_attn.k_proj"               },
    {"layer.#.SelfAttention.v",        "self_attn.v_proj"               },
    {"layer.#.SelfAttention.o",        "self_attn.o_proj"               },
    {"layer.#.SelfAttention.relative_attention_bias",
     "self_attn.relative_attention_bias"                                },
    {"layer.#.EncDecAttention.q",      "cross_attn.q_proj"              },
    {"layer.#.EncDecAttention.k",      "cross_attn.k_proj"              },
    {"layer.#.EncDecAttention.v",      "cross_attn.v_proj"              },
    {"layer.#.EncDecAttention.o",      "cross_attn.o_proj"              },
    {"layer.#.DenseReluDense.wi",      "mlp.up_proj"                    },
    {"layer.#.DenseReluDense.wi_0",    "mlp.gate_proj"                  },
    {"layer.#.DenseReluDense.wi_1",    "mlp.up_proj"                    },
    {"layer.#.DenseReluDense.wo",      "mlp.down_proj"                  },
    {"attention.self.query",           "self_attn.q_proj"               },
    {"attention.self.key",             "self_attn.k_proj"               },
    {"attention.self.value",           "self_attn.v_proj"               },
    {"attention.output.dense",         "self_attn.o_proj"               },
    {"attention.output.LayerNorm",     "attn_output_layernorm"          },
    {"intermediate.dense",             "mlp.up_proj"                    },
    {"output.dense",                   "mlp.down_proj"                  },
    {"output.LayerNorm",               "output_layernorm"               },
    {"attn.qkv",                       "self_attn.qkv_proj"             },
    {"attn.proj",                      "self_attn.o_proj"               },
    {"attn_out",                       "self_attn.o_proj"               },
    {"ln1",                            "input_layernorm"                },
    {"ln2",                            "post_attention_layernorm"       },
    {"layer_norm1",                    "input_layernorm"                },
    {"layer_norm2",                    "post_attention_layernorm"       },
    {"norm1",                          "input_layernorm"                },
    {"norm2",                          "post_attention_layernorm"       },
};

/* Outside of the layers. */
static const struct rename at_top[] = {
    {"token_embd",                     "embed_tokens"                   },
    {"tok_embeddings",                 "embed_tokens"                   },
    {"wte",                            "embed_tokens"                   },
    {"embed_in",                       "embed_tokens"                   },
    {"embed",                          "embed_tokens"                   },
    {"shared",                         "embed_tokens"                   },
    {"word_embeddings",                "embed_tokens"                   },
    {"embeddings.word_embeddings",     "embed_tokens"                   },
    {"embeddings",                     "embed_tokens"                   },
    {"embeddings.token_embedding",     "embed_tokens"                   },
    {"wpe",                            "embed_positions"                },
    {"position_embd",                  "embed_positions"                },
    {"embeddings.position_embeddings", "embed_positions"                },
    {"embeddings.position_embedding",  "embed_positions"                },
    {"token_types",                    "token_type_embeddings"          },
    {"embeddings.token_type_embeddings","token_type_embeddings"         },
    {"token_embd_norm",                "embed_layernorm"                },
    {"embeddings.LayerNorm",           "embed_layernorm"                },
    {"word_embeddings_layernorm",      "embed_layernorm"                },
    {"patch_embd",                     "patch_embedding"                },
    {"embeddings.patch_embedding",     "patch_embedding"                },
    {"patch_embed.proj",               "patch_embedding"                },
    {"class_embd",                     "class_embedding"                },
    {"embeddings.class_embedding",     "class_embedding"                },
    {"pre_ln",                         "pre_layernorm"                  },
    {"pre_layrnorm",                   "pre_layernorm"                  },
    {"post_ln",                        "post_layernorm"                 },
    {"output_norm",                    "norm"                           },
    {"ln_f",                           "norm"                           },
    {"norm_f",                         "norm"                           },
    {"final_layernorm",                "norm"                           },
    {"final_layer_norm",               "norm"                           },
    {"layer_norm",                     "norm"                           },
    {"output",                         "lm_head"                        },
    {"embed_out",                      "lm_head"                        },
    {"head",                           "lm_head"                        },
    {"rope_freqs",                     "rotary_emb.inv_freq"            },
};

/* clang-format on */
static const char *const wrappers[] = {
    "state_dict",  "model_state_dict",
    "model",       "module",
    "transformer", "base_model",
    "_orig_mod",   "backbone",
    "gpt_neox",    "bert",
    "roberta",     "language_model",
    "thinker",     "_fsdp_wrapped_module",
};

static const struct {
    const char *word, *tower;
    bool gguf; /* only where sc_gguf_tower() agrees */
} towers[] = {
    {"v", "vision", true},
    {"a", "audio", true},
    {"mm", "projector", true},
    {"enc", "encoder", true},
    {"dec", "decoder", true},
    {"vision_tower", "vision", false},
    {"vision_model", "vision", false},
    {"visual", "vision", false},
    {"audio_tower", "audio", false},
    {"multi_modal_projector", "projector", false},
    {"mm_projector", "projector", false},
    {"text_model", "text", false},
    {"encoder", "encoder", false},
    {"decoder", "decoder", false},
    {"mtp", "mtp", false},
};
/* Behind a vision, audio or text tower. */
static const char *const tower_wrappers[] = {"vision_model", "text_model", "model", "transformer",
                                             "encoder"};

static const char *const layer_words[] = {"layers", "layer", "h",        "blocks",
                                          "block",  "blk",   "resblocks"};

#define MAX_WORDS 48
struct words {
    struct sc_str at[MAX_WORDS];
    size_t n;
};

/* false: more words than any model has; such a name stays as it is. */
static bool split(struct sc_str name, struct words *w)
{
    w->n = 0;
    const char *p = name.p, *end = name.p + name.n;
    for (;;) {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        if (w->n == MAX_WORDS)
            return false;
        w->at[w->n++] = sc_str(p, (size_t)((dot ? dot : end) - p));
        if (!dot)
            return true;
        p = dot + 1;
    }
}

static bool one_of(struct sc_str s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sc_str_is(s, list[i]))
            return true;
    return false;
}

static bool is_number(struct sc_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

/* Whether the words are what `from` says; the first numbers go to found. */
static bool matches(const char *from, const struct sc_str *w, size_t n, struct sc_str found[2])
{
    size_t numbers = 0;
    for (size_t i = 0; i < n; i++) {
        if (from[0] == '#') {
            if (!is_number(w[i]) || numbers == 2)
                return false;
            found[numbers++] = w[i];
            from++;
        } else {
            if (strlen(from) < w[i].n || !sc_str_eq(sc_str(from, w[i].n), w[i]))
                return false;
            from += w[i].n;
        }
        if (i + 1 < n && *from++ != '.')
            return false;
    }
    return *from == '\0';
}

static void put_words(struct sc_buf *out, const struct sc_str *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            sc_buf_putc(out, '.');
        sc_buf_put(out, w[i].p, w[i].n);
    }
}

static void put_module(struct sc_buf *out, const struct rename *table, size_t rows,
                       const struct sc_str *w, size_t n)
{
    struct sc_str found[2] = {{"", 0}, {"", 0}};
    size_t i = 0;
    while (i < rows && !matches(table[i].from, w, n, found))
        i++;
    if (i == rows) {
        put_words(out, w, n);
        return;
    }
    size_t used = 0;
    for (const char *p = table[i].to; *p; p++) {
        if (*p == '#' && used < 2) {
            sc_buf_put(out, found[used].p, found[used].n);
            used++;
        } else {
            sc_buf_putc(out, *p);
        }
    }
}

/* Writes the tower that begins at word i; returns the first word behind it. */
static size_t put_tower(struct sc_buf *out, const struct words *w, size_t i)
{
    for (size_t k = 0; k < SC_COUNT(towers); k++) {
        if (!sc_str_is(w->at[i], towers[k].word) || i + 1 == w->n ||
            (towers[k].gguf && (i > 0 || !sc_gguf_tower(w->at[0], w->at[1]))))
            continue;
        sc_buf_puts(out, towers[k].tower);
        sc_buf_putc(out, '.');
        const bool stack = strstr(towers[k].tower, "coder") != NULL; /* wraps nothing */
        i++;
        while (!stack && i + 1 < w->n && one_of(w->at[i], tower_wrappers, SC_COUNT(tower_wrappers)))
            i++;
        return i;
    }
    return i;
}

void sc_canonical_name(struct sc_str name, struct sc_buf *out)
{
    struct words w = {.n = 0};
    if (!split(name, &w)) {
        sc_buf_put(out, name.p, name.n);
        return;
    }
    size_t i = 0;
    while (i + 1 < w.n && one_of(w.at[i], wrappers, SC_COUNT(wrappers)))
        i++;
    i = put_tower(out, &w, i);
    const bool layer = i + 2 < w.n && one_of(w.at[i], layer_words, SC_COUNT(layer_words)) &&
                       is_number(w.at[i + 1]);
    if (layer) {
        sc_buf_puts(out, "layers.");
        sc_buf_put(out, w.at[i + 1].p, w.at[i + 1].n);
        sc_buf_putc(out, '.');
        i += 2;
    }
    /* The parameter's own word is not part of the module's name. */
    const struct sc_str last = w.at[w.n - 1];
    const bool parameter = w.n - i > 1 && (sc_str_is(last, "weight") || sc_str_is(last, "bias"));
    const size_t n = w.n - i - parameter;
    if (layer)
        put_module(out, in_layer, SC_COUNT(in_layer), &w.at[i], n);
    else
        put_module(out, at_top, SC_COUNT(at_top), &w.at[i], n);
    if (parameter) {
        sc_buf_putc(out, '.');
        sc_buf_put(out, last.p, last.n);
    }
}
