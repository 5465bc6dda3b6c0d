# SPDX-License-Identifier: Apache-2.0
"""An independent forward pass in double precision, written from the equations of docs/forward.md, and random small
models to run it on. Knows nothing of the program that it judges."""
import json
import math
import os

import numpy as np

BASE = {
    "vocab_size": 150, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False,
}


def config(architecture, **more):
    return {**BASE, "architectures": [architecture], **more}


CONFIGS = {
    "llama": config("LlamaForCausalLM"),
    "llama-linear": config("LlamaForCausalLM", rope_scaling={"type": "linear", "factor": 4.0}),
    "llama-dynamic": config("LlamaForCausalLM", max_position_embeddings=16,
                            rope_scaling={"type": "dynamic", "factor": 2.0}),
    "llama3": config("LlamaForCausalLM", rope_theta=500000.0, tie_word_embeddings=True, head_dim=32, rope_scaling={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}),
    "llama-yarn": config("LlamaForCausalLM", rope_scaling={
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}),
    "llama-bias": config("LlamaForCausalLM", attention_bias=True, mlp_bias=True),
    "mistral": config("MistralForCausalLM", sliding_window=9),
    "qwen2": config("Qwen2ForCausalLM", tie_word_embeddings=True),
    "qwen2-window": config("Qwen2ForCausalLM", use_sliding_window=True, sliding_window=7, max_window_layers=1),
    "qwen3": config("Qwen3ForCausalLM", head_dim=24),
    "olmo": config("OlmoForCausalLM", clip_qkv=0.9, num_key_value_heads=4),
    "olmo2": config("Olmo2ForCausalLM"),
    "phi3": config("Phi3ForCausalLM", partial_rotary_factor=0.75),
    "phi3-long": config("Phi3ForCausalLM", original_max_position_embeddings=16, rope_scaling={
        "type": "longrope", "short_factor": [1 + .05 * i for i in range(8)],
        "long_factor": [1 + .4 * i for i in range(8)]}),
    "gemma": config("GemmaForCausalLM", head_dim=32, tie_word_embeddings=True),
    "gemma2": config("Gemma2ForCausalLM", num_hidden_layers=4, head_dim=32, tie_word_embeddings=True,
                     hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=24, attn_logit_softcapping=50.0,
                     final_logit_softcapping=30.0, sliding_window=10),
    "gemma3": config("Gemma3ForCausalLM", num_hidden_layers=7, head_dim=16, tie_word_embeddings=True,
                     rope_theta=1000000.0, rope_local_base_freq=10000.0, query_pre_attn_scalar=16, sliding_window=8,
                     rope_scaling={"rope_type": "linear", "factor": 8.0}, hidden_activation="gelu_pytorch_tanh"),
    "gpt2": {"architectures": ["GPT2LMHeadModel"], "vocab_size": 150, "n_embd": 64, "n_layer": 3, "n_head": 4,
             "n_positions": 64, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"},
    "mixtral": config("MixtralForCausalLM", num_local_experts=5, num_experts_per_tok=2),
    "qwen2moe": config("Qwen2MoeForCausalLM", num_experts=6, num_experts_per_tok=3, moe_intermediate_size=48,
                       shared_expert_intermediate_size=80, norm_topk_prob=False, decoder_sparse_step=2,
                       mlp_only_layers=[]),
    "qwen3moe": config("Qwen3MoeForCausalLM", num_experts=6, num_experts_per_tok=2, moe_intermediate_size=48,
                       norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[0]),
    "olmoe": config("OlmoeForCausalLM", num_experts=6, num_experts_per_tok=2, norm_topk_prob=False,
                    num_key_value_heads=4),
    "deepseek2": config("DeepseekV2ForCausalLM", num_key_value_heads=4, q_lora_rank=None, kv_lora_rank=24,
                        qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=20, n_routed_experts=6,
                        num_experts_per_tok=2, n_shared_experts=2, moe_intermediate_size=40, first_k_dense_replace=1,
                        norm_topk_prob=False, routed_scaling_factor=1.5, topk_method="greedy", n_group=1, topk_group=1,
                        rope_scaling={"type": "yarn", "factor": 8.0, "mscale": 0.707, "mscale_all_dim": 0.707,
                                      "original_max_position_embeddings": 32, "beta_fast": 32, "beta_slow": 1}),
    "deepseek2-groups": config("DeepseekV2ForCausalLM", num_key_value_heads=4, q_lora_rank=20, kv_lora_rank=24,
                               qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16, n_routed_experts=8,
                               num_experts_per_tok=2, n_shared_experts=1, moe_intermediate_size=40,
                               first_k_dense_replace=0, norm_topk_prob=False, routed_scaling_factor=2.0,
                               topk_method="group_limited_greedy", n_group=4, topk_group=2),
    "deepseek3": config("DeepseekV3ForCausalLM", num_key_value_heads=4, q_lora_rank=20, kv_lora_rank=24,
                        qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16, n_routed_experts=8,
                        num_experts_per_tok=3, n_shared_experts=1, moe_intermediate_size=40, first_k_dense_replace=1,
                        norm_topk_prob=True, routed_scaling_factor=2.5, n_group=4, topk_group=2),
    "olmo3": config("Olmo3ForCausalLM", num_hidden_layers=5, num_key_value_heads=4, sliding_window=9, rope_scaling={
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}),
}


# ------------------------------------------------------------------------------------------------------ making models

def to_bf16(x):
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000).view(np.float32)


class Maker:
    """Random weights that bfloat16 holds exactly."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.t = {}

    def matrix(self, name, rows, cols, scale=None):
        self.t[name] = to_bf16(self.rng.normal(size=(rows, cols)) * (scale or 1.5 / math.sqrt(cols)))

    def vector(self, name, n, centre=1.0):
        self.t[name] = to_bf16(centre + .2 * self.rng.normal(size=n))


def make(c, seed):
    m = Maker(seed)
    family = c["architectures"][0]
    if family == "GPT2LMHeadModel":
        return make_gpt2(c, m)
    h, heads = c["hidden_size"], c["num_attention_heads"]
    d = c.get("head_dim", h // heads)
    kv = c["num_key_value_heads"]
    gemma = family.startswith("Gemma")
    centre = 0.0 if gemma else 1.0
    sandwich = family.startswith(("Gemma2", "Gemma3"))
    m.matrix("model.embed_tokens.weight", c["vocab_size"], h, 1.0 if not gemma else .2)
    if not c["tie_word_embeddings"]:
        m.matrix("lm_head.weight", c["vocab_size"], h)
    if family != "OlmoForCausalLM":
        m.vector("model.norm.weight", h, centre)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        if family not in ("OlmoForCausalLM", "Olmo2ForCausalLM", "Olmo3ForCausalLM"):
            m.vector(p + "input_layernorm.weight", h, centre)
        if family != "OlmoForCausalLM":
            m.vector(p + "post_attention_layernorm.weight", h, centre)
        if sandwich:
            m.vector(p + "pre_feedforward_layernorm.weight", h, centre)
        if sandwich or family in ("Olmo2ForCausalLM", "Olmo3ForCausalLM"):
            m.vector(p + "post_feedforward_layernorm.weight", h, centre)
        if family.startswith("Deepseek"):
            make_latent(c, m, p)
        else:
            make_attention(c, m, p, heads, kv, d)
        make_mlp(c, m, p, i)
    return m.t


def make_attention(c, m, p, heads, kv, d):
    family, h = c["architectures"][0], c["hidden_size"]
    if family == "Phi3ForCausalLM":
        m.matrix(p + "self_attn.qkv_proj.weight", (heads + 2 * kv) * d, h)
    else:
        for n, rows in (("q", heads * d), ("k", kv * d), ("v", kv * d)):
            m.matrix(p + f"self_attn.{n}_proj.weight", rows, h)
            if family.startswith("Qwen2") or c.get("attention_bias"):
                m.vector(p + f"self_attn.{n}_proj.bias", rows, 0.0)
    m.matrix(p + "self_attn.o_proj.weight", h, heads * d)
    if c.get("attention_bias"):
        m.vector(p + "self_attn.o_proj.bias", h, 0.0)
    if family in ("Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "Gemma3ForCausalLM"):
        m.vector(p + "self_attn.q_norm.weight", d, 0.0 if family[0] == "G" else 1.0)
        m.vector(p + "self_attn.k_norm.weight", d, 0.0 if family[0] == "G" else 1.0)
    if family in ("Olmo2ForCausalLM", "Olmo3ForCausalLM", "OlmoeForCausalLM"):
        m.vector(p + "self_attn.q_norm.weight", heads * d)
        m.vector(p + "self_attn.k_norm.weight", kv * d)


def make_latent(c, m, p):
    h, heads = c["hidden_size"], c["num_attention_heads"]
    d = c["qk_nope_head_dim"] + c["qk_rope_head_dim"]
    if c["q_lora_rank"]:
        m.matrix(p + "self_attn.q_a_proj.weight", c["q_lora_rank"], h)
        m.vector(p + "self_attn.q_a_layernorm.weight", c["q_lora_rank"])
        m.matrix(p + "self_attn.q_b_proj.weight", heads * d, c["q_lora_rank"])
    else:
        m.matrix(p + "self_attn.q_proj.weight", heads * d, h)
    m.matrix(p + "self_attn.kv_a_proj_with_mqa.weight", c["kv_lora_rank"] + c["qk_rope_head_dim"], h)
    m.vector(p + "self_attn.kv_a_layernorm.weight", c["kv_lora_rank"])
    m.matrix(p + "self_attn.kv_b_proj.weight", heads * (c["qk_nope_head_dim"] + c["v_head_dim"]), c["kv_lora_rank"])
    m.matrix(p + "self_attn.o_proj.weight", h, heads * c["v_head_dim"])


def is_sparse(c, i):
    family = c["architectures"][0]
    if family in ("MixtralForCausalLM", "OlmoeForCausalLM"):
        return True
    if family.startswith("Deepseek"):
        return i >= c["first_k_dense_replace"]
    if family in ("Qwen2MoeForCausalLM", "Qwen3MoeForCausalLM"):
        return i not in c["mlp_only_layers"] and (i + 1) % c["decoder_sparse_step"] == 0
    return False


def experts_of(c):
    return c.get("num_local_experts") or c.get("num_experts") or c.get("n_routed_experts")


def make_mlp(c, m, p, i):
    family, h = c["architectures"][0], c["hidden_size"]

    def dense(q, wide, bias=False):
        for n, rows, cols in (("gate", wide, h), ("up", wide, h), ("down", h, wide)):
            m.matrix(f"{q}.{n}_proj.weight", rows, cols)
            if bias:
                m.vector(f"{q}.{n}_proj.bias", rows, 0.0)

    if family == "Phi3ForCausalLM":
        m.matrix(p + "mlp.gate_up_proj.weight", 2 * c["intermediate_size"], h)
        m.matrix(p + "mlp.down_proj.weight", h, c["intermediate_size"])
        return
    if not is_sparse(c, i):
        dense(p + "mlp", c["intermediate_size"], c.get("mlp_bias"))
        return
    wide = c.get("moe_intermediate_size", c["intermediate_size"])
    if family == "MixtralForCausalLM":
        m.matrix(p + "block_sparse_moe.gate.weight", experts_of(c), h)
        for e in range(experts_of(c)):
            q = p + f"block_sparse_moe.experts.{e}."
            m.matrix(q + "w1.weight", wide, h)
            m.matrix(q + "w3.weight", wide, h)
            m.matrix(q + "w2.weight", h, wide)
        return
    m.matrix(p + "mlp.gate.weight", experts_of(c), h)
    for e in range(experts_of(c)):
        dense(p + f"mlp.experts.{e}", wide)
    if family == "Qwen2MoeForCausalLM":
        dense(p + "mlp.shared_expert", c["shared_expert_intermediate_size"])
        m.matrix(p + "mlp.shared_expert_gate.weight", 1, h)
    if family.startswith("Deepseek"):
        dense(p + "mlp.shared_experts", c["n_shared_experts"] * wide)
    if family == "DeepseekV3ForCausalLM":
        m.t[p + "mlp.gate.e_score_correction_bias"] = to_bf16(.3 * m.rng.normal(size=experts_of(c)))


def make_gpt2(c, m):
    h = c["n_embd"]
    m.matrix("wte.weight", c["vocab_size"], h, .5)
    m.matrix("wpe.weight", c["n_positions"], h, .2)
    for i in range(c["n_layer"]):
        p = f"h.{i}."
        for n in ("ln_1", "ln_2"):
            m.vector(p + n + ".weight", h)
            m.vector(p + n + ".bias", h, 0.0)
        for n, rows, cols in (("attn.c_attn", h, 3 * h), ("attn.c_proj", h, h), ("mlp.c_fc", h, 4 * h),
                              ("mlp.c_proj", 4 * h, h)):
            m.matrix(p + n + ".weight", rows, cols, 1.2 / math.sqrt(rows))
            m.vector(p + n + ".bias", cols, 0.0)
    m.vector("ln_f.weight", h)
    m.vector("ln_f.bias", h, 0.0)
    return m.t


# --------------------------------------------------------------------------------------------------------- the equations

def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(x):
    return .5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + .044715 * x ** 3)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rms_norm(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


def layer_norm(x, w, b, eps):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + eps) * w + b


def frequencies(c, dims, n, base=None, scaled=True):
    """Angles per position, and the factor of cosine and sine, for a sequence of n."""
    base = base or c["rope_theta"]
    theta = base ** (-np.arange(0, dims, 2) / dims)
    s = (c.get("rope_scaling") or {}) if scaled else {}
    kind, f, factor = s.get("rope_type", s.get("type")), s.get("factor", 1.0), 1.0
    if kind == "linear":
        theta = theta / f
    elif kind == "dynamic" and n > c["max_position_embeddings"]:
        base = base * (f * n / c["max_position_embeddings"] - (f - 1)) ** (dims / (dims - 2))
        theta = base ** (-np.arange(0, dims, 2) / dims)
    elif kind == "llama3":
        o, lo, hi = s["original_max_position_embeddings"], s["low_freq_factor"], s["high_freq_factor"]
        wave = 2 * math.pi / theta
        smooth = (o / wave - lo) / (hi - lo)
        theta = np.where(wave < o / hi, theta, np.where(wave > o / lo, theta / f,
                                                       (1 - smooth) * theta / f + smooth * theta))
    elif kind == "yarn":
        o = s["original_max_position_embeddings"]

        def dim(rot):
            return dims * math.log(o / (2 * math.pi * rot)) / (2 * math.log(base))

        low = max(math.floor(dim(s.get("beta_fast", 32))), 0)
        high = min(math.ceil(dim(s.get("beta_slow", 1))), dims - 1)
        high += .001 if high == low else 0
        ramp = np.clip((np.arange(dims // 2) - low) / (high - low), 0, 1)
        theta = theta / f * ramp + theta * (1 - ramp)

        def m(a):
            return .1 * a * math.log(f) + 1

        factor = m(s["mscale"]) / m(s["mscale_all_dim"]) if "mscale" in s else m(1)
    elif kind == "longrope":
        o = c["original_max_position_embeddings"]
        theta = theta / np.array(s["long_factor"] if n > o else s["short_factor"])
        ratio = c["max_position_embeddings"] / o
        factor = math.sqrt(1 + math.log(ratio) / math.log(o)) if ratio > 1 else 1.0
    return np.arange(n)[:, None] * theta[None], factor


def rotate(x, angle, factor, dims, adjacent=False):
    """x: (positions, heads, size); the first `dims` numbers of a head are rotated."""
    cos, sin = np.cos(angle)[:, None] * factor, np.sin(angle)[:, None] * factor
    out = x.copy()
    a, b = (slice(0, dims, 2), slice(1, dims, 2)) if adjacent else (slice(0, dims // 2), slice(dims // 2, dims))
    out[..., a] = x[..., a] * cos - x[..., b] * sin
    out[..., b] = x[..., b] * cos + x[..., a] * sin
    return out


class Reference:
    def __init__(self, c, tensors):
        self.c = c
        self.t = {k: v.astype(np.float64) for k, v in tensors.items()}
        self.seen = {}
        self.routed = []  # (layer, token, experts, weights, logits, outputs of these experts), heaviest first
        self.drops, self.reroute = set(), False  # (layer, expert) that give nothing, or cannot be chosen

    def see(self, name, value):
        self.seen[name] = value

    def attend(self, q, k, v, scale, window=0, cap=0.0, layer=0):
        n, heads, kv = q.shape[0], q.shape[1], k.shape[1]
        k, v = np.repeat(k, heads // kv, 1), np.repeat(v, heads // kv, 1)
        s = np.einsum("ihd,jhd->hij", q, k) * scale
        if cap:
            s = cap * np.tanh(s / cap)
        i, j = np.indices((n, n))
        s = np.where((j > i) | ((i - j >= window) if window else False), -np.inf, s)
        p = softmax(s)
        for h in range(heads):
            self.see(f"attention.{layer}.{h}", p[h])
        return np.einsum("hij,jhd->ihd", p, v).reshape(n, -1)

    def product(self, x, w, name):
        return x @ w.T

    def linear(self, x, name):
        y = self.product(x, self.t[name + ".weight"], name)
        return y + self.t[name + ".bias"] if name + ".bias" in self.t else y

    def norm(self, x, name):
        c = self.c
        if c["architectures"][0] == "OlmoForCausalLM":
            return layer_norm(x, 1.0, 0.0, 1e-5)
        w = self.t[name + ".weight"]
        return rms_norm(x, 1 + w if c["architectures"][0].startswith("Gemma") else w, c["rms_norm_eps"])

    def run(self, ids):
        return self.run_gpt2(ids) if self.c["architectures"][0] == "GPT2LMHeadModel" else self.run_llama(ids)

    def run_gpt2(self, ids):
        c, t, n = self.c, self.t, len(ids)
        h, heads, eps = c["n_embd"], c["n_head"], c["layer_norm_epsilon"]
        x = t["wte.weight"][ids] + t["wpe.weight"][:n]
        self.see("embedding", x)
        for i in range(c["n_layer"]):
            p = f"h.{i}."
            y = layer_norm(x, t[p + "ln_1.weight"], t[p + "ln_1.bias"], eps)
            qkv = (y @ t[p + "attn.c_attn.weight"] + t[p + "attn.c_attn.bias"]).reshape(n, 3, heads, h // heads)
            a = self.attend(qkv[:, 0], qkv[:, 1], qkv[:, 2], (h // heads) ** -.5, layer=i)
            x = x + a @ t[p + "attn.c_proj.weight"] + t[p + "attn.c_proj.bias"]
            y = layer_norm(x, t[p + "ln_2.weight"], t[p + "ln_2.bias"], eps)
            y = gelu_tanh(y @ t[p + "mlp.c_fc.weight"] + t[p + "mlp.c_fc.bias"])
            self.see(f"down_in.{i}", y)
            y = y @ t[p + "mlp.c_proj.weight"] + t[p + "mlp.c_proj.bias"]
            self.see(f"down_out.{i}", y)
            x = x + y
            self.see(f"residual.{i}", x)
        return layer_norm(x, t["ln_f.weight"], t["ln_f.bias"], eps) @ t["wte.weight"].T

    def windows(self, i):
        c, family = self.c, self.c["architectures"][0]
        w = c.get("sliding_window") or 0
        if family == "Qwen2ForCausalLM":
            return w if c.get("use_sliding_window") and i >= c["max_window_layers"] else 0
        if family == "Gemma2ForCausalLM":
            return w if i % 2 == 0 else 0
        if family == "Gemma3ForCausalLM":
            return w if (i + 1) % 6 else 0
        if family == "Olmo3ForCausalLM":
            return w if (i + 1) % 4 else 0
        return w

    def attention(self, x, i):
        c, t, n = self.c, self.t, len(x)
        family = c["architectures"][0]
        heads, kv = c["num_attention_heads"], c["num_key_value_heads"]
        d = c.get("head_dim", c["hidden_size"] // heads)
        p = f"model.layers.{i}.self_attn."
        if family == "Phi3ForCausalLM":
            q, k, v = np.split(self.linear(x, p + "qkv_proj"), [heads * d, (heads + kv) * d], 1)
        else:
            q, k, v = (self.linear(x, p + n_ + "_proj") for n_ in "qkv")
        if family in ("Olmo2ForCausalLM", "Olmo3ForCausalLM", "OlmoeForCausalLM"):
            q = rms_norm(q, t[p + "q_norm.weight"], c["rms_norm_eps"])
            k = rms_norm(k, t[p + "k_norm.weight"], c["rms_norm_eps"])
        if c.get("clip_qkv"):
            q, k, v = (np.clip(a, -c["clip_qkv"], c["clip_qkv"]) for a in (q, k, v))
        q, k, v = q.reshape(n, heads, d), k.reshape(n, kv, d), v.reshape(n, kv, d)
        if family in ("Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "Gemma3ForCausalLM"):
            q, k = self.norm(q, p + "q_norm"), self.norm(k, p + "k_norm")
        dims = int(d * c.get("partial_rotary_factor", 1.0))
        window = self.windows(i)
        local = family in ("Gemma3ForCausalLM", "Olmo3ForCausalLM") and window
        angle, f = frequencies(c, dims, n, c.get("rope_local_base_freq") if local else None, not local)
        q, k = rotate(q, angle, f, dims), rotate(k, angle, f, dims)
        scale = c.get("query_pre_attn_scalar", d) ** -.5
        a = self.attend(q, k, v, scale, window, c.get("attn_logit_softcapping", 0.0), i)
        return self.linear(a, p + "o_proj")

    def latent(self, x, i):
        c, t, n = self.c, self.t, len(x)
        heads, nope, rope, vd = (c[k] for k in ("num_attention_heads", "qk_nope_head_dim", "qk_rope_head_dim",
                                                "v_head_dim"))
        p = f"model.layers.{i}.self_attn."
        if c["q_lora_rank"]:
            q = self.linear(rms_norm(self.linear(x, p + "q_a_proj"), t[p + "q_a_layernorm.weight"], 1e-6), p + "q_b_proj")
        else:
            q = self.linear(x, p + "q_proj")
        q = q.reshape(n, heads, nope + rope)
        low = self.linear(x, p + "kv_a_proj_with_mqa")
        shared = low[:, None, c["kv_lora_rank"]:]
        kv = self.linear(rms_norm(low[:, :c["kv_lora_rank"]], t[p + "kv_a_layernorm.weight"], 1e-6), p + "kv_b_proj")
        kv = kv.reshape(n, heads, nope + vd)
        angle, f = frequencies(c, rope, n)
        q_rope = rotate(q[..., nope:], angle, f, rope, adjacent=True)
        k_rope = np.repeat(rotate(shared, angle, f, rope, adjacent=True), heads, 1)
        scale = (nope + rope) ** -.5
        s = c.get("rope_scaling") or {}
        if s.get("mscale_all_dim"):
            scale *= (.1 * s["mscale_all_dim"] * math.log(s["factor"]) + 1) ** 2
        a = self.attend(np.concatenate([q[..., :nope], q_rope], -1), np.concatenate([kv[..., :nope], k_rope], -1),
                        kv[..., nope:], scale, layer=i)
        return self.linear(a, p + "o_proj")

    def act(self, x):
        return gelu_tanh(x) if self.c["architectures"][0].startswith("Gemma") else silu(x)

    def mlp(self, x, i):
        c, p = self.c, f"model.layers.{i}.mlp"
        if is_sparse(c, i):
            return self.experts(x, i)
        if c["architectures"][0] == "Phi3ForCausalLM":
            gate, up = np.split(self.linear(x, p + ".gate_up_proj"), 2, 1)
        else:
            gate, up = self.linear(x, p + ".gate_proj"), self.linear(x, p + ".up_proj")
        y = self.act(gate) * up
        self.see(f"down_in.{i}", y)
        y = self.linear(y, p + ".down_proj")
        self.see(f"down_out.{i}", y)
        return y

    def groups(self, g):
        """What groups count as: (groups, experts of a group) of choices."""
        return np.sort(g, 1)[:, -2:].sum(1) if self.c["architectures"][0] == "DeepseekV3ForCausalLM" else g.max(1)

    def choose(self, logits, i):
        """Chosen experts and weights of one token, by the largest choice, the first of equals."""
        c, family = self.c, self.c["architectures"][0]
        k = c["num_experts_per_tok"]
        deep = family.startswith("Deepseek")
        score = 1 / (1 + np.exp(-logits)) if family == "DeepseekV3ForCausalLM" else softmax(logits)
        choice = score.copy()
        name = f"model.layers.{i}.mlp.gate.e_score_correction_bias"
        if name in self.t:
            choice = choice + self.t[name]
        for layer, e in self.drops if self.reroute else ():
            if layer == i:
                choice[e] = -np.inf
        if deep and c["n_group"] > 1:
            g = choice.reshape(c["n_group"], -1)
            keep = np.argsort(-self.groups(g), kind="stable")[:c["topk_group"]]
            mask = np.full(g.shape, -np.inf)
            mask[keep] = 0
            choice = (g + mask).reshape(-1)
        ids = np.argsort(-choice, kind="stable")[:k]
        w = score[ids]
        if family == "MixtralForCausalLM" or c.get("norm_topk_prob"):
            w = w / w.sum()
        return ids, w * (c["routed_scaling_factor"] if deep else 1)

    def experts(self, x, i):
        c, family = self.c, self.c["architectures"][0]
        mixtral = family == "MixtralForCausalLM"
        p = f"model.layers.{i}." + ("block_sparse_moe" if mixtral else "mlp")
        names = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
        logits = self.linear(x, p + ".gate")
        out = np.zeros_like(x)
        routes = []
        for t in range(len(x)):
            ids, w = self.choose(logits[t], i)
            order = np.argsort(-w, kind="stable")
            routes.append([int(e) for e in ids[order]])
            outs = []
            for e in ids:
                g, u, d = (f"{p}.experts.{e}.{n}" for n in names)
                outs.append(self.linear(self.act(self.linear(x[t], g)) * self.linear(x[t], u), d))
            for e, weight, y in zip(ids, w, outs):
                out[t] += weight * y * ((i, int(e)) not in self.drops)
            self.routed.append((i, t, ids[order], w[order], logits[t], np.array(outs)[order]))
        self.see(f"route.{i}", np.array(routes))
        shared = p + (".shared_expert" if family == "Qwen2MoeForCausalLM" else ".shared_experts")
        if shared + ".up_proj.weight" in self.t:
            y = self.act(self.linear(x, shared + ".gate_proj")) * self.linear(x, shared + ".up_proj")
            y = self.linear(y, shared + ".down_proj")
            if p + ".shared_expert_gate.weight" in self.t:
                y = y / (1 + np.exp(-self.linear(x, p + ".shared_expert_gate")))
            out += y
        self.see(f"mlp_out.{i}", out)
        return out

    def run_llama(self, ids):
        c, family = self.c, self.c["architectures"][0]
        sandwich = family.startswith(("Gemma2", "Gemma3"))
        x = self.t["model.embed_tokens.weight"][ids]
        if family.startswith("Gemma"):
            x = x * math.sqrt(c["hidden_size"])
        self.see("embedding", x)
        for i in range(c["num_hidden_layers"]):
            p = f"model.layers.{i}."
            attention = self.latent if family.startswith("Deepseek") else self.attention
            if family in ("Olmo2ForCausalLM", "Olmo3ForCausalLM"):
                x = x + self.norm(attention(x, i), p + "post_attention_layernorm")
                x = x + self.norm(self.mlp(x, i), p + "post_feedforward_layernorm")
            elif sandwich:
                x = x + self.norm(attention(self.norm(x, p + "input_layernorm"), i), p + "post_attention_layernorm")
                x = x + self.norm(self.mlp(self.norm(x, p + "pre_feedforward_layernorm"), i),
                                  p + "post_feedforward_layernorm")
            else:
                x = x + attention(self.norm(x, p + "input_layernorm"), i)
                x = x + self.mlp(self.norm(x, p + "post_attention_layernorm"), i)
            self.see(f"residual.{i}", x)
        x = self.norm(x, "model.norm")
        self.see("final_norm", x)
        head = self.t["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"]
        logits = self.product(x, head, "head")
        cap = c.get("final_logit_softcapping")
        return cap * np.tanh(logits / cap) if cap else logits


class Rounded(Reference):
    """Activations are rounded to bfloat16 before each product, but that of a router; weights are bfloat16."""

    def product(self, x, w, name):
        return (x if name.endswith(".gate") else to_bf16(x).astype(np.float64)) @ w.T


# ------------------------------------------------------------------------------------------------------------- files

def write_safetensors(path, tensors, kind="F32"):
    head, at, parts = {}, 0, []
    for name, v in tensors.items():
        v = np.ascontiguousarray(v, np.float32)
        raw = v.tobytes() if kind == "F32" else (v.view(np.uint32) >> 16).astype("<u2").tobytes()
        head[name] = {"dtype": kind, "shape": list(v.shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        parts.append(raw)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + b"".join(parts))


def write_folder(folder, c, tensors, kind="F32", shards=1):
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(c, f)
    if shards == 1:
        write_safetensors(os.path.join(folder, "model.safetensors"), tensors, kind)
        return folder
    names, where = list(tensors), {}
    for s in range(shards):
        file = f"model-{s + 1:05}-of-{shards:05}.safetensors"
        part = {n: tensors[n] for n in names[s::shards]}
        where.update({n: file for n in part})
        write_safetensors(os.path.join(folder, file), part, kind)
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {}, "weight_map": where}, f)
    return folder
