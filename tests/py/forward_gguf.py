# SPDX-License-Identifier: Apache-2.0
"""The random small models of forward_reference as GGUF files, by llama.cpp's rules of conversion: names, permuted rows of
q and k, norms with the 1 in them, transposed matrices, stacked experts, divisors of the rotation as tensors."""
import re

import numpy as np

import forward_reference as ref
from test_diff_gguf import permute, write_gguf

ARCH = {"LlamaForCausalLM": "llama", "MistralForCausalLM": "llama", "MixtralForCausalLM": "llama",
        "Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3", "OlmoForCausalLM": "olmo", "Olmo2ForCausalLM": "olmo2",
        "Olmo3ForCausalLM": "olmo2",
        "Phi3ForCausalLM": "phi3", "GemmaForCausalLM": "gemma", "Gemma2ForCausalLM": "gemma2",
        "Gemma3ForCausalLM": "gemma3", "GPT2LMHeadModel": "gpt2", "Qwen2MoeForCausalLM": "qwen2moe",
        "Qwen3MoeForCausalLM": "qwen3moe", "OlmoeForCausalLM": "olmoe", "DeepseekV2ForCausalLM": "deepseek2",
        "DeepseekV3ForCausalLM": "deepseek2"}
TOP = {"model.embed_tokens": "token_embd", "lm_head": "output", "model.norm": "output_norm", "wte": "token_embd",
       "wpe": "position_embd", "ln_f": "output_norm"}
LAYER = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "self_attn.qkv_proj": "attn_qkv", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
         "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
         "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm",
         "self_attn.kv_b_proj": "attn_kv_b", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "mlp.gate_up_proj": "ffn_up", "mlp.gate": "ffn_gate_inp",
         "block_sparse_moe.gate": "ffn_gate_inp", "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
         "ln_1": "attn_norm", "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
         "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
BEHIND = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
          "post_feedforward_layernorm": "post_ffw_norm"}
EXPERT = {"w1": "gate", "w3": "up", "w2": "down", "gate_proj": "gate", "up_proj": "up", "down_proj": "down"}


def keys_of(c, whole=False):
    """whole: keys and values of DeepSeek's heads come from one matrix, as they did until April 2025."""
    family = c["architectures"][0]
    arch = ARCH[family]
    hidden, heads = c.get("hidden_size", c.get("n_embd")), c.get("num_attention_heads", c.get("n_head"))
    dim = c.get("head_dim", hidden // heads)
    k = {"block_count": c.get("num_hidden_layers", c.get("n_layer")), "embedding_length": hidden,
         "feed_forward_length": c.get("intermediate_size", 4 * hidden), "attention.head_count": heads,
         "attention.head_count_kv": c.get("num_key_value_heads", heads),
         "context_length": c.get("max_position_embeddings", c.get("n_positions"))}
    if family in ("GPT2LMHeadModel", "OlmoForCausalLM"):
        k["attention.layer_norm_epsilon"] = 1e-5
    else:
        k["attention.layer_norm_rms_epsilon"] = c["rms_norm_eps"]
    if "rope_theta" in c:
        k["rope.freq_base"] = c["rope_theta"]
        k["rope.dimension_count"] = int(dim * c.get("partial_rotary_factor", 1))
    if "head_dim" in c:
        k["attention.key_length"] = k["attention.value_length"] = dim
    for ours, theirs in (("sliding_window", "attention.sliding_window"), ("clip_qkv", "attention.clamp_kqv"),
                         ("attn_logit_softcapping", "attn_logit_softcapping"),
                         ("final_logit_softcapping", "final_logit_softcapping"),
                         ("num_experts_per_tok", "expert_used_count"),
                         ("moe_intermediate_size", "expert_feed_forward_length"),
                         ("shared_expert_intermediate_size", "expert_shared_feed_forward_length"),
                         ("kv_lora_rank", "attention.kv_lora_rank"), ("q_lora_rank", "attention.q_lora_rank"),
                         ("first_k_dense_replace", "leading_dense_block_count"),
                         ("n_shared_experts", "expert_shared_count"), ("n_group", "expert_group_count"),
                         ("topk_group", "expert_group_used_count"), ("routed_scaling_factor", "expert_weights_scale")):
        if c.get(ours) is not None:
            k[theirs] = c[ours]
    if ref.experts_of(c):
        k["expert_count"] = ref.experts_of(c)
    if family.startswith("Deepseek"):
        k["rope.dimension_count"] = c["qk_rope_head_dim"]
        mla = "" if whole else "_mla"
        k["attention.key_length" + mla] = c["qk_nope_head_dim"] + c["qk_rope_head_dim"]
        k["attention.value_length" + mla] = c["v_head_dim"]
        if not whole:  # one head for all, as wide as what is kept of a token
            k["attention.head_count_kv"] = 1
            k["attention.key_length"] = c["kv_lora_rank"] + c["qk_rope_head_dim"]
            k["attention.value_length"] = c["kv_lora_rank"]
        k["expert_weights_norm"] = c["norm_topk_prob"]
        k["expert_gating_func"] = 2 if family == "DeepseekV3ForCausalLM" else 1
    if family == "Olmo3ForCausalLM":
        k["attention.sliding_window_pattern"] = [(i + 1) % 4 != 0 for i in range(c["num_hidden_layers"])]
    k.update(scaling_of(c))
    k["vocab_size"] = c["vocab_size"]
    return {"general.architecture": arch, "tokenizer.ggml.model": "no_vocab", **{f"{arch}.{name}": v for name, v in k.items()}}


def scaling_of(c):
    s = c.get("rope_scaling") or {}
    kind = s.get("rope_type", s.get("type"))
    if kind in ("linear", "yarn"):
        k = {"rope.scaling.type": kind, "rope.scaling.factor": s["factor"]}
        if kind == "yarn":
            k["rope.scaling.original_context_length"] = s["original_max_position_embeddings"]
        if "mscale_all_dim" in s:
            k["rope.scaling.yarn_log_multiplier"] = .1 * s["mscale_all_dim"]
        return k
    if kind == "longrope":  # without a type: the tensors say it
        o = c["original_max_position_embeddings"]
        return {"rope.scaling.original_context_length": o,
                "rope.scaling.attn_factor": float(np.sqrt(1 + np.log(c["max_position_embeddings"] / o) / np.log(o)))}
    return {}


def divisors_of(c):
    s = c.get("rope_scaling") or {}
    kind = s.get("rope_type", s.get("type"))
    if kind == "llama3":
        dim = c["head_dim"]
        plain, scaled = (ref.frequencies(c, dim, 2, scaled=x)[0][1] for x in (False, True))
        return {"rope_freqs.weight": plain / scaled}
    if kind == "longrope":
        return {"rope_factors_long.weight": np.array(s["long_factor"]),
                "rope_factors_short.weight": np.array(s["short_factor"])}
    return {}


def name_of(name, behind):
    stem, kind = name.rsplit(".", 1)
    if stem in TOP:
        return f"{TOP[stem]}.{kind}"
    i, module = re.match(r"(?:model\.layers|h)\.(\d+)\.(.*)", stem).groups()
    shared = re.match(r"mlp\.shared_experts?\.(\w+)_proj", module)
    if kind == "e_score_correction_bias":
        return f"blk.{i}.exp_probs_b.bias"
    if shared:
        return f"blk.{i}.ffn_{shared[1]}_shexp.{kind}"
    return f"blk.{i}.{(behind if module in behind else LAYER)[module]}.{kind}"


def tensors_of(c, tensors, whole=False):
    family = c["architectures"][0]
    gemma, out, stacks = family.startswith("Gemma"), divisors_of(c), {}
    behind = BEHIND if family in ("Gemma2ForCausalLM", "Gemma3ForCausalLM", "Olmo2ForCausalLM",
                                "Olmo3ForCausalLM") else {}
    for name, v in tensors.items():
        e = re.match(r"model\.layers\.(\d+)\..*experts\.(\d+)\.(\w+)\.weight", name)
        if e:
            stacks.setdefault(f"blk.{e[1]}.ffn_{EXPERT[e[3]]}_exps.weight", {})[int(e[2])] = v
            continue
        if ARCH[family] in ("llama", "olmo") and ".q_proj." in name:
            v = permute(v, c["num_attention_heads"])
        if ARCH[family] in ("llama", "olmo") and ".k_proj." in name:
            v = permute(v, c["num_key_value_heads"])
        if gemma and name.endswith("norm.weight"):
            v = v + np.float32(1)
        if family == "GPT2LMHeadModel" and ".c_" in name and v.ndim == 2:
            v = v.T
        if name.endswith("kv_b_proj.weight") and not whole:
            layer, heads = name.split(".")[2], v.reshape(c["num_attention_heads"], -1, v.shape[1])
            out[f"blk.{layer}.attn_k_b.weight"] = heads[:, :c["qk_nope_head_dim"]].swapaxes(1, 2)
            out[f"blk.{layer}.attn_v_b.weight"] = heads[:, c["qk_nope_head_dim"]:]
            continue
        out[name_of(name, behind)] = v
    for name, parts in stacks.items():
        out[name] = np.stack([parts[e] for e in range(len(parts))])
    return out


def write(path, c, tensors, kind, whole=False):
    write_gguf(path, keys_of(c, whole),
               {n: np.asarray(v, np.float32) for n, v in tensors_of(c, tensors, whole).items()}, kind)
    return path
