# SPDX-License-Identifier: Apache-2.0
"""Kinds of quantised safetensors checkpoints.

Each scheme is a function `linear(m, module, n, k)` that stores one quantised
linear layer of n outputs and k inputs and declares what it folds to.  The
first eight values of row 0 are computed here from codes and scales, and go to
the expect file as "head".
"""
import json
import struct

from . import safetensors as st
from .kinds_plain import fp8_pair, layer_norms
from .registry import kind
from .sidefiles import llama_config
from .values import (encode, f32, minifloat_code, minifloat_value, pack_bits, product,
                     rounded)

HEAD = 8


# ---------------------------------------------------------------- the model around the scheme

def quantised(out, linear, config=None, hidden=64, inter=64, kv=32, layers=1, vocab=64,
              dtype="BF16", files=(), quantise_embedding=False):
    """A small llama whose projections are stored by `linear`."""
    m = out.model()
    if quantise_embedding:
        linear(m, "model.embed_tokens", vocab, hidden)
    else:
        m.weight("model.embed_tokens.weight", [vocab, hidden], dtype)
    for i in range(layers):
        at = f"model.layers.{i}"
        layer_norms(m, at, hidden)
        for name, n, k in (("self_attn.q_proj", hidden, hidden), ("self_attn.k_proj", kv, hidden),
                           ("self_attn.v_proj", kv, hidden), ("self_attn.o_proj", hidden, hidden),
                           ("mlp.gate_proj", inter, hidden), ("mlp.up_proj", inter, hidden),
                           ("mlp.down_proj", hidden, inter)):
            linear(m, f"{at}.{name}", n, k)
    m.norm("model.norm.weight", hidden)
    m.weight("lm_head.weight", [vocab, hidden], dtype)
    full = llama_config(hidden, inter, layers, 4, 4 * kv // hidden, vocab)
    full.update(config or {})
    out.json("config.json", full)
    for name, value in files:
        out.json(name, value)
    st.save(out, m)


def family(name, about, linear, config, noconfig=True, files=(), **options):
    """A kind, and its twin without any word about quantisation."""
    kind(name, about)(lambda out: quantised(out, linear, config, files=files, **options))
    if noconfig:
        kind(name + "-noconfig", about + "; no quantisation config")(
            lambda out: quantised(out, linear, None, **options))


def scales(m, name, dtype, shape, typical):
    """Store positive scales; return them as read back."""
    data, values = rounded(dtype, m.source.scales(m.label(name), product(shape), typical))
    m.add(name, dtype, shape, data)
    return values


def words(rows, bits):
    """Rows of codes as LSB-first bit streams, each padded to whole 32-bit words."""
    out = []
    for row in rows:
        data = pack_bits(row, bits)
        out.append(data + bytes(-len(data) % 4))
    return out


def columns_packed(rows, bits):
    """Codes rows x cols packed along the rows: 32 rows become `bits` rows of words."""
    out, cols = [], len(rows[0])
    rows = rows + [[0] * cols] * (-len(rows) % 32)
    for at in range(0, len(rows), 32):
        block = rows[at:at + 32]
        streams = [pack_bits([row[c] for row in block], bits) for c in range(cols)]
        for w in range(bits):
            out.append(b"".join(s[4 * w:4 * w + 4] for s in streams))
    return out


def grid(flat, cols):
    return [flat[i:i + cols] for i in range(0, len(flat), cols)]


def zero_points(m, name, rows, cols, bits, low=0):
    """Zero points near the middle of the range."""
    rng, mid = m.source.rng(m.label(name)), 1 << (bits - 1)
    return [[max(low, mid + rng.choice((-1, 0, 0, 1))) for _ in range(cols)] for _ in range(rows)]


# ---------------------------------------------------------------- GPTQ and AWQ

def gptq(bits, group, v2=False, g_idx=True, act_order=False):
    """qweight packed along K, qzeros packed along N, scales, g_idx."""
    def linear(m, module, n, k):
        size = k if group < 0 else group
        groups = k // size
        codes = grid(m.source.codes(m.label(module + ".qweight"), k * n, bits), n)
        zeros = zero_points(m, module + ".qzeros", groups, n, bits, 1)
        index = [i // size for i in range(k)]
        if act_order:
            m.source.rng(m.label(module + ".g_idx")).shuffle(index)
        packed = b"".join(columns_packed(codes, bits))
        m.add(module + ".qweight", "I32", [k * bits // 32, n], packed)
        stored = [[z - (0 if v2 else 1) for z in row] for row in zeros]
        m.add(module + ".qzeros", "I32", [groups, n * bits // 32], b"".join(words(stored, bits)))
        s = grid(scales(m, module + ".scales", "F16", [groups, n], 0.13 / (1 << bits)), n)
        parts = [module + ".qweight", module + ".qzeros", module + ".scales"]
        if g_idx:
            m.add(module + ".g_idx", "I32", [k], encode("I32", index))
            parts.append(module + ".g_idx")
        if module.endswith("q_proj"):
            m.bias(module + ".bias", n, "F16")
        head = [s[index[i]][0] * (codes[i][0] - zeros[index[i]][0]) for i in range(HEAD)]
        m.fold(module + ".weight", f"INT{bits}", [n, k], parts, head)
    return linear


def gptq_config(bits, group, act_order=False, fmt="gptq"):
    entry = {"bits": bits, "group_size": group, "damp_percent": 0.01, "desc_act": act_order,
             "sym": False, "true_sequential": True, "quant_method": "gptq", "checkpoint_format": fmt}
    return {"quantization_config": entry, "torch_dtype": "float16"}


def gptq_family(name, about, bits, group, noconfig=False, v2=False, g_idx=True, act_order=False):
    config = gptq_config(bits, group, act_order, "gptq_v2" if v2 else "gptq")
    family(name, about, gptq(bits, group, v2, g_idx, act_order), config, noconfig, dtype="F16", layers=2,
           files=[("quantize_config.json", config["quantization_config"])])


gptq_family("gptq", "GPTQ 4 bit, groups of 32 in activation order, v1 zeros", 4, 32, True,
            act_order=True)
gptq_family("gptq-3bit", "GPTQ 3 bit, a contiguous bit stream", 3, 32)
gptq_family("gptq-2bit", "GPTQ 2 bit, groups of 16", 2, 16)
gptq_family("gptq-8bit-v2", "GPTQ 8 bit, checkpoint_format gptq_v2: zeros stored as they are", 8, 32,
            v2=True)
gptq_family("gptq-one-group", "GPTQ 4 bit, group_size -1, no g_idx", 4, -1, g_idx=False)

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def awq(m, module, n, k, group=32):
    """4-bit codes packed along N in AWQ's nibble order; zeros without the +1."""
    def pack(rows):
        return b"".join(pack_bits([row[j + o] for j in range(0, n, 8) for o in AWQ_ORDER], 4)
                        for row in rows)

    codes = grid(m.source.codes(m.label(module + ".qweight"), k * n, 4), n)
    zeros = zero_points(m, module + ".qzeros", k // group, n, 4)
    m.add(module + ".qweight", "I32", [k, n // 8], pack(codes))
    m.add(module + ".qzeros", "I32", [k // group, n // 8], pack(zeros))
    s = scales(m, module + ".scales", "F16", [k // group, n], 0.008)
    parts = [f"{module}.{p}" for p in ("qweight", "qzeros", "scales")]
    m.fold(module + ".weight", "INT4", [n, k], parts,
           [s[0] * (codes[i][0] - zeros[0][0]) for i in range(HEAD)])


family("awq", "AWQ gemm, 4 bit, groups of 32", awq, {"quantization_config": {
    "quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm",
    "modules_to_not_convert": None}, "torch_dtype": "float16"}, dtype="F16", layers=2)


# ---------------------------------------------------------------- compressed-tensors

def ct_config(fmt, bits, type_, strategy, group=None, symmetric=True, activations=None):
    return {"quantization_config": {
        "quant_method": "compressed-tensors", "format": fmt, "quantization_status": "compressed",
        "kv_cache_scheme": None, "global_compression_ratio": None, "ignore": ["lm_head"],
        "config_groups": {"group_0": {
            "targets": ["Linear"], "output_activations": None, "input_activations": activations,
            "weights": {"num_bits": bits, "type": type_, "symmetric": symmetric, "strategy": strategy,
                        "group_size": group, "dynamic": False, "observer": "minmax", "actorder": None,
                        "block_structure": None}}}}}


def ct_pack(bits, group, zero=False, g_idx=False):
    """weight_packed along K, cropped by weight_shape; zero points packed along N."""
    def linear(m, module, n, k):
        groups = 1 if group is None else k // group
        codes = grid(m.source.codes(m.label(module), n * k, bits), k)
        packed = words(codes, bits)
        m.add(module + ".weight_packed", "I32", [n, len(packed[0]) // 4], b"".join(packed))
        s = scales(m, module + ".weight_scale", "BF16", [n, groups], 0.13 / (1 << bits))
        m.add(module + ".weight_shape", "I64", [2], encode("I64", [n, k]))
        parts = [f"{module}.weight_{p}" for p in ("packed", "scale", "shape")]
        zp = [[1 << (bits - 1)] * groups] * n
        if zero:
            zp = zero_points(m, module + ".zp", n, groups, bits)
            rows = columns_packed(zp, bits)[:-(-n * bits // 32)]
            m.add(module + ".weight_zero_point", "I32", [len(rows), groups], b"".join(rows))
            parts.append(module + ".weight_zero_point")
        index = [0 if group is None else i // group for i in range(k)]
        if g_idx:
            m.source.rng(m.label(module + ".g")).shuffle(index)
            m.add(module + ".weight_g_idx", "I32", [k], encode("I32", index))
            parts.append(module + ".weight_g_idx")
        head = [s[index[i]] * (codes[0][i] - zp[0][index[i]]) for i in range(HEAD)]
        m.fold(module + ".weight", f"INT{bits}", [n, k], parts, head)
    return linear


ODD = {"hidden": 60, "inter": 100, "kv": 30}  # nothing is a multiple of eight

family("ct-pack", "compressed-tensors W4A16, groups of 20, K = 60: crop to weight_shape",
       ct_pack(4, 20), ct_config("pack-quantized", 4, "int", "group", 20), **ODD)
family("ct-pack-zp", "compressed-tensors W4A16 asymmetric, zero points packed along N",
       ct_pack(4, 20, True), ct_config("pack-quantized", 4, "int", "group", 20, False), False, **ODD)
family("ct-pack-gidx", "compressed-tensors W4A16 with weight_g_idx", ct_pack(4, 32, False, True),
       ct_config("pack-quantized", 4, "int", "group", 32), False)
family("ct-pack-w8", "compressed-tensors W8A16, one scale a row, K = 60: 15 words", ct_pack(8, None),
       ct_config("pack-quantized", 8, "int", "channel"), False, **ODD)


def ct_int8(m, module, n, k):
    codes = m.source.codes(m.label(module), n * k, 8, signed=True)
    m.add(module + ".weight", "I8", [n, k], encode("I8", codes))
    s = scales(m, module + ".weight_scale", "BF16", [n, 1], 0.0005)
    m.fold(module + ".weight", "I8", [n, k], [module + ".weight", module + ".weight_scale"],
           [s[0] * codes[i] for i in range(HEAD)])


family("ct-int8", "compressed-tensors int-quantized W8A8", ct_int8,
       ct_config("int-quantized", 8, "int", "channel", activations={
           "num_bits": 8, "type": "int", "dynamic": True, "strategy": "token", "symmetric": True}))


def fp8_scaled(scale_name, scale_shape, scale_dtype="F32", extra=()):
    """FP8 weight with one scale, or one a row; `extra` are scales that stay rows."""
    def linear(m, module, n, k):
        data = m.source.normal(m.label(module), "F8_E4M3", n * k, 0.0, 100.0, outliers=False)
        m.add(module + ".weight", "F8_E4M3", [n, k], data)
        shape = [n if d == "n" else d for d in scale_shape]
        s = scales(m, f"{module}.{scale_name}", scale_dtype, shape, 2e-4)
        for name, dtype, dims in extra:
            scales(m, f"{module}.{name}", dtype, dims, 0.02)
        m.fold(module + ".weight", "F8_E4M3", [n, k], [module + ".weight", f"{module}.{scale_name}"],
               [minifloat_value("F8_E4M3", data[i]) * s[0] for i in range(HEAD)])
    return linear


family("ct-fp8", "compressed-tensors float-quantized, one scale a row",
       fp8_scaled("weight_scale", ["n", 1], "BF16"), ct_config(
           "float-quantized", 8, "float", "channel", activations={
               "num_bits": 8, "type": "float", "dynamic": True, "strategy": "token", "symmetric": True}))
family("ct-fp8-static", "compressed-tensors float-quantized, one scale a tensor, static activations",
       fp8_scaled("weight_scale", [1], "BF16", [("input_scale", "BF16", [1])]),
       ct_config("float-quantized", 8, "float", "tensor", activations={
           "num_bits": 8, "type": "float", "dynamic": False, "strategy": "tensor", "symmetric": True}),
       False)
family("fbgemm-fp8", "FBGEMM FP8: one scale a row, rank 1", fp8_scaled("weight_scale", ["n"]),
       {"quantization_config": {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0,
                                "modules_to_not_convert": ["lm_head"]}}, False)


# ---------------------------------------------------------------- FP4

def e8m0(m, name, shape, dtype="U8", mid=120):
    """Store power-of-two scales; return the codes."""
    codes = [mid + round(0.7 * g) for g in m.source.gauss(m.label(name), product(shape))]
    m.add(name, dtype, shape, bytes(codes))
    return codes


def fp4_head(codes, scale):
    return [minifloat_value("F4", codes[i]) * scale for i in range(HEAD)]


def nvfp4(weight, global_name, inverse, input_name):
    """Two-level FP4: E4M3 scales of 16, one F32 for the tensor (or its inverse)."""
    def linear(m, module, n, k):
        codes = m.source.f4_codes(m.label(module), n * k)
        m.add(f"{module}.{weight}", "U8", [n, k // 2], pack_bits(codes, 4))
        block = [minifloat_code("F8_E4M3", v) for v in m.source.scales(
            m.label(module + ".s"), n * k // 16, 180.0)]
        m.add(module + ".weight_scale", "F8_E4M3", [n, k // 16], bytes(block))
        data, (g,) = rounded("F32", [m.source.rng(m.label(module)).uniform(5e-5, 9e-5)])
        if inverse:
            data, (g,) = rounded("F32", [1 / g])
        m.add(f"{module}.{global_name}", "F32", [1] if inverse else [], data)
        scales(m, f"{module}.{input_name}", "F32", [1] if inverse else [], 0.01)
        m.fold(module + ".weight", "NVFP4", [n, k],
               [f"{module}.{weight}", module + ".weight_scale", f"{module}.{global_name}"],
               fp4_head(codes, minifloat_value("F8_E4M3", block[0]) * (1 / g if inverse else g)))
    return linear


family("ct-nvfp4", "compressed-tensors nvfp4-pack-quantized",
       nvfp4("weight_packed", "weight_global_scale", True, "input_global_scale"),
       ct_config("nvfp4-pack-quantized", 4, "float", "tensor_group", 16))


def modelopt_files(algo, **more):
    quant = {"quant_algo": algo, "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"], **more}
    return [("hf_quant_config.json", {"producer": {"name": "modelopt", "version": "0.29.0"},
                                      "quantization": quant})]


family("modelopt-nvfp4", "ModelOpt NVFP4: weight, weight_scale, weight_scale_2, input_scale",
       nvfp4("weight", "weight_scale_2", False, "input_scale"), {"quantization_config": {
           "quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16,
           "ignore": ["lm_head"]}}, files=modelopt_files("NVFP4", group_size=16))
family("modelopt-fp8", "ModelOpt FP8, scalar scales, only hf_quant_config.json speaks",
       fp8_scaled("weight_scale", [], "F32", [("input_scale", "F32", [])]), {},
       files=modelopt_files("FP8"))


def ct_mxfp4(m, module, n, k):
    codes = m.source.f4_codes(m.label(module), n * k)
    m.add(module + ".weight_packed", "U8", [n, k // 2], pack_bits(codes, 4))
    s = e8m0(m, module + ".weight_scale", [n, k // 32])
    m.fold(module + ".weight", "MXFP4", [n, k], [module + ".weight_packed", module + ".weight_scale"],
           fp4_head(codes, 2.0 ** (s[0] - 127)))


family("ct-mxfp4", "compressed-tensors mxfp4-pack-quantized", ct_mxfp4,
       ct_config("mxfp4-pack-quantized", 4, "float", "group", 32))


def gpt_oss(out, config=True):
    """MXFP4 experts as _blocks and _scales, logical [E, rows, K]."""
    m = out.model()
    hidden, inter, experts = 64, 64, 4
    m.weight("model.embed_tokens.weight", [64, hidden])
    for i in range(2):
        at = f"model.layers.{i}"
        layer_norms(m, at, hidden)
        for name, n in (("q", hidden), ("k", 32), ("v", 32), ("o", hidden)):
            m.weight(f"{at}.self_attn.{name}_proj.weight", [n, hidden])
            m.bias(f"{at}.self_attn.{name}_proj.bias", n)
        m.bias(f"{at}.self_attn.sinks", 4)
        m.weight(f"{at}.mlp.router.weight", [experts, hidden])
        m.bias(f"{at}.mlp.router.bias", experts)
        for name, rows, k in (("gate_up_proj", 2 * inter, hidden), ("down_proj", hidden, inter)):
            base = f"{at}.mlp.experts.{name}"
            codes = m.source.f4_codes(m.label(base), experts * rows * k)
            m.add(base + "_blocks", "U8", [experts, rows, k // 32, 16], pack_bits(codes, 4))
            s = e8m0(m, base + "_scales", [experts, rows, k // 32])
            m.weight(base + "_bias", [experts, rows], sigma=0.01)
            m.fold(base, "MXFP4", [experts, rows, k], [base + "_blocks", base + "_scales"],
                   fp4_head(codes, 2.0 ** (s[0] - 127)))
    m.norm("model.norm.weight", hidden)
    m.weight("lm_head.weight", [64, hidden])
    full = llama_config(hidden, inter, 2, 4, 2, 64, architectures=["GptOssForCausalLM"],
                        model_type="gpt_oss", num_local_experts=experts, num_experts_per_tok=2)
    if config:
        full["quantization_config"] = {
            "quant_method": "mxfp4", "modules_to_not_convert": [
                "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens",
                "lm_head"]}
    out.json("config.json", full)
    st.save(out, m)


kind("gpt-oss", "gpt-oss: MXFP4 experts as _blocks and _scales")(gpt_oss)
kind("gpt-oss-noconfig", "gpt-oss without quantisation config")(lambda out: gpt_oss(out, False))


# ---------------------------------------------------------------- FP8 in blocks

FP8_BLOCK = {"quantization_config": {"quant_method": "fp8", "fmt": "e4m3",
                                     "activation_scheme": "dynamic", "weight_block_size": [128, 128]}}


def fp8_block(out, config=True, stacked_suffix=".weight"):
    """Qwen-like FP8: BF16 scales of 128 x 128 blocks, ragged edges, stacked experts."""
    m = out.model()
    hidden, inter, experts, layers = 144, 40, 2, 1
    m.weight("model.embed_tokens.weight", [48, hidden])
    for i in range(layers):
        at = f"model.layers.{i}"
        layer_norms(m, at, hidden)
        for name, n in (("q", hidden), ("k", 32), ("v", 32), ("o", hidden)):
            fp8_pair(m, f"{at}.self_attn.{name}_proj.weight", [n, hidden], scale_dtype="BF16")
        m.weight(f"{at}.mlp.gate.weight", [experts, hidden])
        for name, n, k in (("gate_up_proj", 2 * inter, hidden), ("down_proj", hidden, inter)):
            fp8_pair(m, f"{at}.mlp.experts.{name}{stacked_suffix}", [experts, n, k], scale_dtype="BF16")
    m.norm("model.norm.weight", hidden)
    m.weight("lm_head.weight", [48, hidden])
    full = llama_config(hidden, inter, layers, 4, 1, 48, model_type="qwen3_moe", num_experts=experts)
    full.update(FP8_BLOCK if config else {})
    out.json("config.json", full)
    st.save(out, m)


kind("fp8-block", "FP8 weight and weight_scale_inv, BF16 scales, stacked experts 3-D")(fp8_block)
kind("fp8-block-noconfig", "the same without quantisation config")(lambda out: fp8_block(out, False))
kind("fp8-stacked", "stacked experts named X and X_scale_inv, without .weight")(
    lambda out: fp8_block(out, True, ""))


@kind("mistral-fp8", "Mistral's own layout: consolidated.safetensors, qscale_weight, params.json")
def mistral_fp8(out):
    m = out.model()
    linear = fp8_scaled("qscale_weight", [], "BF16", [("qscale_act", "BF16", [])])
    m.weight("tok_embeddings.weight", [128, 64])
    for i in range(2):
        at = f"layers.{i}"
        for name, n, k in (("attention.wq", 64, 64), ("attention.wk", 32, 64), ("attention.wv", 32, 64),
                           ("attention.wo", 64, 64), ("feed_forward.w1", 96, 64),
                           ("feed_forward.w2", 64, 96), ("feed_forward.w3", 96, 64)):
            linear(m, f"{at}.{name}", n, k)
        m.norm(f"{at}.attention_norm.weight", 64)
        m.norm(f"{at}.ffn_norm.weight", 64)
    m.norm("norm.weight", 64)
    m.weight("output.weight", [128, 64])
    out.json("params.json", {
        "dim": 64, "n_layers": 2, "head_dim": 16, "hidden_dim": 96, "n_heads": 4, "n_kv_heads": 2,
        "vocab_size": 128, "rope_theta": 1e6, "norm_eps": 1e-5,
        "quantization": {"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"}})
    st.save(out, m, "consolidated.safetensors")


def deepseek_v4(out, config=True):
    """FP8 weights with E8M0 .scale; experts MXFP4, packed as U8 in one layer and I8 in the next."""
    m = out.model()
    hidden, inter, experts = 160, 64, 2

    def fp8(module, n, k):
        data = m.source.normal(m.label(module), "F8_E4M3", n * k, 0.0, 100.0, outliers=False)
        m.add(module + ".weight", "F8_E4M3", [n, k], data)
        s = e8m0(m, module + ".scale", [-(-n // 128), -(-k // 128)], "F8_E8M0", 115)
        m.fold(module + ".weight", "F8_E4M3", [n, k], [module + ".weight", module + ".scale"],
               [minifloat_value("F8_E4M3", data[i]) * 2.0 ** (s[0] - 127) for i in range(HEAD)])

    def fp4(module, n, k, dtype):
        codes = m.source.f4_codes(m.label(module), n * k)
        m.add(module + ".weight", dtype, [n, k // 2], pack_bits(codes, 4))
        s = e8m0(m, module + ".scale", [n, k // 32], "F8_E8M0")
        m.fold(module + ".weight", "MXFP4", [n, k], [module + ".weight", module + ".scale"],
               fp4_head(codes, 2.0 ** (s[0] - 127)))

    m.weight("embed.weight", [96, hidden])
    for i, dtype in enumerate(("U8", "I8")):
        at = f"layers.{i}"
        m.norm(f"{at}.attn_norm.weight", hidden)
        m.norm(f"{at}.ffn_norm.weight", hidden)
        fp8(f"{at}.attn.wq_a", 48, hidden)
        fp8(f"{at}.attn.wo_a", hidden, 48)
        m.weight(f"{at}.ffn.gate.weight", [experts, hidden])
        m.bias(f"{at}.ffn.gate.bias", experts, "F32")
        for e in range(experts):
            fp4(f"{at}.ffn.experts.{e}.w1", inter, hidden, dtype)
            fp4(f"{at}.ffn.experts.{e}.w2", hidden, inter, dtype)
            fp4(f"{at}.ffn.experts.{e}.w3", inter, hidden, dtype)
        fp8(f"{at}.ffn.shared_experts.w1", inter, hidden)
    m.norm("norm.weight", hidden)
    m.weight("head.weight", [96, hidden])
    full = {"architectures": ["DeepseekV4ForCausalLM"], "model_type": "deepseek_v4",
            "hidden_size": hidden, "num_hidden_layers": 2, "n_routed_experts": experts, "vocab_size": 96}
    if config:
        full["expert_dtype"] = "fp4"
        full["quantization_config"] = {**FP8_BLOCK["quantization_config"], "scale_fmt": "ue8m0"}
    out.json("config.json", full)
    st.save(out, m)


kind("deepseek-v4", "FP8 weight with E8M0 .scale, MXFP4 experts with .scale")(deepseek_v4)
kind("deepseek-v4-noconfig", "the same without quantisation config")(
    lambda out: deepseek_v4(out, False))


# ---------------------------------------------------------------- bitsandbytes

def bnb_int8(m, module, n, k):
    codes = m.source.codes(m.label(module), n * k, 8, signed=True)
    codes = [max(-127, c) for c in codes]
    m.add(module + ".weight", "I8", [n, k], encode("I8", codes))
    s = scales(m, module + ".SCB", "F32", [n], 0.07)
    m.add(module + ".weight_format", "U8", [], b"\0")
    inverse = struct.unpack("<f", (0x3C010204).to_bytes(4, "little"))[0]
    parts = [f"{module}.{p}" for p in ("weight", "SCB", "weight_format")]
    m.fold(module + ".weight", "I8", [n, k], parts, [codes[i] * s[0] * inverse for i in range(HEAD)])


NF4 = (-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
       -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
       0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
       0.7229568362236023, 1.0)
FP4 = tuple(s * v / 12 for s in (1, -1) for v in (0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0))


def dynamic_map():
    """The 256 values of an 8-bit map with a dynamic exponent, ascending."""
    out = [0.0, 1.0]
    for i in range(7):
        step = 0.9 / 2 ** i
        for j in range(2 ** i):
            value = 10.0 ** (i - 6) * (0.1 + step * (j + 0.5))
            out += [value, -value]
    return sorted(out)


def bnb_4bit(table, name, double):
    """Codes high nibble first; absmax of 64, itself quantised when `double`."""
    def linear(m, module, n, k):
        base, count = module + ".weight", n * k
        codes = m.source.mapped(m.label(base), count, "bnb" + name, lambda g: min(
            range(16), key=lambda c: abs(table[c] - max(-1, min(1, g / 2.6)))))
        data = bytes(a << 4 | b for a, b in zip(codes[::2], codes[1::2]))
        m.add(base, "U8", [count // 2, 1], data)
        m.add(base + ".quant_map", "F32", [16], f32(table))
        state = {"quant_type": name, "blocksize": 64, "dtype": "bfloat16", "shape": [n, k]}
        parts = [base, base + ".quant_map"]
        blocks = count // 64
        if double:
            a0 = nested_absmax(m, base, blocks, state, parts)
        else:
            a0 = scales(m, base + ".absmax", "F32", [blocks], 0.05)[0]
            parts.append(base + ".absmax")
        blob = json.dumps(state).encode()
        m.add(f"{base}.quant_state.bitsandbytes__{name}", "U8", [len(blob)], blob)
        parts.append(f"{base}.quant_state.bitsandbytes__{name}")
        m.fold(base, name.upper(), [n, k], parts, [table[codes[i]] * a0 for i in range(HEAD)])
    return linear


def nested_absmax(m, base, blocks, state, parts):
    """Double quantisation of absmax; returns its first value."""
    codes = [max(0, min(255, 128 + round(60 * g))) for g in m.source.gauss(m.label(base + "a"), blocks)]
    m.add(base + ".absmax", "U8", [blocks], bytes(codes))
    outer = scales(m, base + ".nested_absmax", "F32", [-(-blocks // 256)], 0.01)
    nested = dynamic_map()
    m.add(base + ".nested_quant_map", "F32", [256], f32(nested))
    state.update(nested_blocksize=256, nested_dtype="float32", nested_offset=0.05)
    parts += [base + ".absmax", base + ".nested_absmax", base + ".nested_quant_map"]
    return nested[codes[0]] * outer[0] + 0.05


def bnb_config(**options):
    return {"quantization_config": {"quant_method": "bitsandbytes", "llm_int8_threshold": 6.0,
                                    "llm_int8_skip_modules": None, **options}}


def bnb_4bit_config(name, double):
    return bnb_config(load_in_4bit=True, load_in_8bit=False, bnb_4bit_quant_type=name,
                      bnb_4bit_use_double_quant=double, bnb_4bit_compute_dtype="bfloat16")


family("bnb-int8", "bitsandbytes LLM.int8: weight, SCB, weight_format", bnb_int8,
       bnb_config(load_in_8bit=True, load_in_4bit=False), dtype="F16")
family("bnb-nf4", "bitsandbytes NF4", bnb_4bit(NF4, "nf4", False), bnb_4bit_config("nf4", False))
family("bnb-nf4-double", "bitsandbytes NF4 with double quantisation", bnb_4bit(NF4, "nf4", True),
       bnb_4bit_config("nf4", True), False)
family("bnb-fp4", "bitsandbytes FP4", bnb_4bit(FP4, "fp4", False), bnb_4bit_config("fp4", False), False)


# ---------------------------------------------------------------- MLX, BitNet

def mlx_affine(bits, group):
    """weight U32 as a bit stream a row, scales and biases of groups."""
    def linear(m, module, n, k):
        codes = grid(m.source.codes(m.label(module), n * k, bits), k)
        m.add(module + ".weight", "U32", [n, k * bits // 32], b"".join(words(codes, bits)))
        step = 0.13 / (1 << bits)
        s = scales(m, module + ".scales", "BF16", [n, k // group], step)
        data, b = rounded("BF16", [-0.065 + 0.004 * g for g in m.source.gauss(
            m.label(module + ".b"), n * k // group)])
        m.add(module + ".biases", "BF16", [n, k // group], data)
        m.fold(module + ".weight", f"INT{bits}", [n, k],
               [f"{module}.{p}" for p in ("weight", "scales", "biases")],
               [codes[0][i] * s[0] + b[0] for i in range(HEAD)])
    return linear


def mlx_float(label, group):
    """MLX modes mxfp4, mxfp8, nvfp4: U32 codes and U8 scales."""
    def linear(m, module, n, k):
        bits = 8 if label == "MXFP8" else 4
        if bits == 8:
            codes = m.source.normal(m.label(module), "F8_E4M3", n * k, 0.0, 100.0, outliers=False)
            values = [minifloat_value("F8_E4M3", c) for c in codes[:HEAD]]
        else:
            codes = m.source.f4_codes(m.label(module), n * k)
            values = fp4_head(codes, 1.0)
        m.add(module + ".weight", "U32", [n, k * bits // 32], pack_bits(codes, bits))
        if label == "NVFP4":
            block = [minifloat_code("F8_E4M3", v) for v in m.source.scales(
                m.label(module + ".s"), n * k // group, 0.016)]
            m.add(module + ".scales", "U8", [n, k // group], bytes(block))
            scale = minifloat_value("F8_E4M3", block[0])
        else:
            mid = 115 if bits == 8 else 121
            scale = 2.0 ** (e8m0(m, module + ".scales", [n, k // group], mid=mid)[0] - 127)
        m.fold(module + ".weight", label, [n, k], [module + ".weight", module + ".scales"],
               [v * scale for v in values])
    return linear


def mlx_config(bits, group, mode):
    entry = {"group_size": group, "bits": bits, "mode": mode}
    return {"quantization": entry, "quantization_config": dict(entry)}


for _bits, _group in ((4, 32), (3, 32), (8, 64)):
        family(f"mlx-{_bits}bit", f"MLX affine, {_bits} bit, groups of {_group}, embedding too",
           mlx_affine(_bits, _group), mlx_config(_bits, _group, "affine"), False,
           quantise_embedding=True)
family("mlx-mxfp4", "MLX mode mxfp4", mlx_float("MXFP4", 32), mlx_config(4, 32, "mxfp4"), False)
family("mlx-mxfp8", "MLX mode mxfp8", mlx_float("MXFP8", 32), mlx_config(8, 32, "mxfp8"), False)
family("mlx-nvfp4", "MLX mode nvfp4", mlx_float("NVFP4", 16), mlx_config(4, 16, "nvfp4"), False)


def bitnet(m, module, n, k):
    """Ternary weights, four row blocks in a byte; divide by the scale."""
    codes = grid(m.source.mapped(m.label(module), n * k, "ternary",
                                 lambda g: 1 if g > 0.6 else -1 if g < -0.6 else 0), k)
    rows = n // 4
    data = bytearray()
    for r in range(rows):
        quads = zip(codes[r], codes[rows + r], codes[2 * rows + r], codes[3 * rows + r])
        data += bytes(a + 1 | b + 1 << 2 | c + 1 << 4 | d + 1 << 6 for a, b, c, d in quads)
    m.add(module + ".weight", "U8", [rows, k], data)
    s = scales(m, module + ".weight_scale", "BF16", [1], 40.0)
    m.fold(module + ".weight", "TERNARY", [n, k], [module + ".weight", module + ".weight_scale"],
           [codes[0][i] / s[0] for i in range(HEAD)])


family("bitnet", "BitNet: U8 ternary, weight_scale", bitnet, {
    "model_type": "bitnet", "architectures": ["BitNetForCausalLM"],
    "quantization_config": {"quant_method": "bitnet", "linear_class": "bitlinear",
                            "quantization_mode": "offline", "use_rms_norm": False}})


# ---------------------------------------------------------------- recognised, not decoded

def opaque(label, parts, known=True):
    """A scheme that is shown as one row.  `parts`: (suffix, dtype, shape of n and k)."""
    def linear(m, module, n, k):
        names = []
        for suffix, dtype, shape in parts:
            dims = shape(n, k)
            name = f"{module}.{suffix}"
            if dtype in ("F16", "F32", "BF16"):
                m.add(name, dtype, dims,
                      m.source.normal(m.label(name), dtype, product(dims), 0.02, 0.004))
            else:
                m.add(name, dtype, dims, opaque_bytes(m, name, suffix, dtype, dims, n, k))
            names.append(name)
        m.fold(module + ".weight", label, [n, k] if known else None, names)
    return linear


def opaque_bytes(m, name, suffix, dtype, dims, n, k):
    """Integers: true shapes and permutations where they matter, else random codes."""
    if suffix == "shape":
        return encode(dtype, [n, k])
    if suffix == "q_invperm":
        return encode(dtype, range(k))
    width = {"I16": 2, "I32": 4, "I64": 8}.get(dtype, 1)
    return m.source.raw(m.label(name), product(dims) * width)


family("hqq", "HQQ: W_q and the meta tensors; recognised only", opaque("HQQ", [
    ("W_q", "U8", lambda n, k: [32, n * k // 64]), ("scale", "F16", lambda n, k: [1, n * k // 64]),
    ("zero", "F16", lambda n, k: [1, n * k // 64]), ("shape", "I32", lambda n, k: [2]),
    ("nbits", "I32", lambda n, k: []), ("group_size", "I32", lambda n, k: []),
    ("axis", "I32", lambda n, k: [])], known=False),
    {"quantization_config": {"quant_method": "hqq", "quant_config": {"weight_quant_params": {
        "nbits": 4, "group_size": 64, "axis": 0}}}})
family("aqlm", "AQLM 1x16: codes, codebooks, scales; recognised only", opaque("AQLM", [
    ("codes", "I16", lambda n, k: [n, k // 8, 1]), ("codebooks", "F16", lambda n, k: [1, 64, 1, 8]),
    ("scales", "F16", lambda n, k: [n, 1, 1, 1])]),
    {"quantization_config": {"quant_method": "aqlm", "nbits_per_codebook": 16, "num_codebooks": 1,
                             "in_group_size": 8, "out_group_size": 1}})
family("quip", "QuIP#: Qidxs, SU, SV; recognised only", opaque("QUIP#", [
    ("Qidxs", "I64", lambda n, k: [n, k // 32]), ("SU", "F16", lambda n, k: [k]),
    ("SV", "F16", lambda n, k: [n]), ("Wscale", "F32", lambda n, k: [])]),
    {"quip_params": {"codebook": "E8P12", "codesz": 8, "packsz": 4, "lora_rank": 0}})
family("exl2", "EXL2: q_weight, q_scale, q_scale_max, q_groups, q_invperm; recognised only",
       opaque("EXL2", [
           ("q_weight", "I32", lambda n, k: [k * 4 // 32, n]),
           ("q_scale", "I32", lambda n, k: [k // 32, n // 8]),
           ("q_scale_max", "F16", lambda n, k: [k // 32]),
           ("q_groups", "I16", lambda n, k: [2 * k // 32]),
           ("q_invperm", "I32", lambda n, k: [k])]),
       {"quantization_config": {"quant_method": "exl2", "version": "0.2.4", "bits": 4.0,
                                "head_bits": 6}})
family("exl3", "EXL3: trellis, suh, svh; recognised only", opaque("EXL3", [
    ("trellis", "I16", lambda n, k: [k // 16, n // 16, 16 * 3]), ("suh", "F16", lambda n, k: [k]),
    ("svh", "F16", lambda n, k: [n])]),
    {"quantization_config": {"quant_method": "exl3", "version": "0.0.3", "bits": 3.0, "head_bits": 6}})
