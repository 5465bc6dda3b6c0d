# SPDX-License-Identifier: Apache-2.0
"""Kinds of unquantised safetensors models: architectures, layouts, oddities."""
import json
import struct

from . import gguf, safetensors as st, torchfile
from .output import Logical, Stored
from .registry import kind
from .sidefiles import card, llama_config, write_sidefiles
from .values import (BITS, INT_CODE, MINIFLOAT, encode, minifloat_value, nbytes, product,
                     rounded)


# ---------------------------------------------------------------- building blocks

def attention(m, at, hidden, kv, bias=False, qk_norm=0):
    """The four projections of a llama-like attention."""
    for name, rows in (("q", hidden), ("k", kv), ("v", kv)):
        m.weight(f"{at}.{name}_proj.weight", [rows, hidden])
        if bias:
            m.bias(f"{at}.{name}_proj.bias", rows)
    m.weight(f"{at}.o_proj.weight", [hidden, hidden])
    if qk_norm:
        m.norm(f"{at}.q_norm.weight", qk_norm)
        m.norm(f"{at}.k_norm.weight", qk_norm)


def mlp(m, at, hidden, inter):
    """gate, up and down of a gated MLP."""
    m.weight(f"{at}.gate_proj.weight", [inter, hidden])
    m.weight(f"{at}.up_proj.weight", [inter, hidden])
    m.weight(f"{at}.down_proj.weight", [hidden, inter])


def layer_norms(m, at, hidden):
    m.norm(f"{at}.input_layernorm.weight", hidden)
    m.norm(f"{at}.post_attention_layernorm.weight", hidden)


def llama(m, hidden, inter, layers, kv, vocab, prefix="model.", head="lm_head.weight", bias=False):
    """A llama: embedding, blocks, final norm, head (None when tied)."""
    m.weight(prefix + "embed_tokens.weight", [vocab, hidden])
    for i in range(layers):
        at = f"{prefix}layers.{i}"
        layer_norms(m, at, hidden)
        attention(m, at + ".self_attn", hidden, kv, bias=bias)
        mlp(m, at + ".mlp", hidden, inter)
    m.norm(prefix + "norm.weight", hidden)
    if head:
        m.weight(head, [vocab, hidden])


def moe_block(m, at, hidden, inter, experts, shared):
    """Router, routed experts and a gated shared expert, as in Qwen MoE."""
    m.weight(f"{at}.gate.weight", [experts, hidden])
    for e in range(experts):
        mlp(m, f"{at}.experts.{e}", hidden, inter)
    if shared:
        mlp(m, f"{at}.shared_expert", hidden, shared)
        m.weight(f"{at}.shared_expert_gate.weight", [1, hidden])


# ---------------------------------------------------------------- language models

@kind("llama-tiny", "llama, 4 layers, bf16, one file, with config, tokenizer and card")
def llama_tiny(out):
    m = out.model()
    llama(m, 48, 96, 4, 16, 272)
    write_sidefiles(out, llama_config(48, 96, 4, 3, 1, 272), "Llama tiny")
    st.save(out, m)


@kind("llama-sharded", "llama in 3 shards with an index, tied embeddings, attention biases")
def llama_sharded(out):
    m = out.model()
    llama(m, 32, 64, 3, 16, 272, head=None, bias=True)
    write_sidefiles(out, llama_config(32, 64, 3, 4, 2, 272, tie_word_embeddings=True,
                                      attention_bias=True), "Llama sharded")
    st.save_shards(out, m, 3)


def fp8_pair(m, name, shape, block=(128, 128), scale_dtype="F32", suffix="_scale_inv",
             typical=2e-4):
    """An FP8 weight and its block scales, folded to one row."""
    count = product(shape)
    grid = shape[:-2] + [-(-shape[-2] // block[0]), -(-shape[-1] // block[1])]
    data = m.source.normal(m.label(name), "F8_E4M3", count, 0.0, 100.0, outliers=False)
    m.add(name, "F8_E4M3", shape, data)
    scales = m.source.scales(m.label(name + suffix), product(grid), typical)
    encoded, scales = rounded(scale_dtype, scales)
    m.add(name + suffix, scale_dtype, grid, encoded)
    head = [minifloat_value("F8_E4M3", code) * scales[0] for code in data[:8]]
    m.fold(name, "F8_E4M3", shape, [name, name + suffix], head)


@kind("we-golden", "the 61 tensors of the reference tool's golden listing")
def we_golden(out):
    m = out.model()
    for i, size in ((0, 3), (2, 3), (5, 4)):
        m.bias(f"head.{i}.weight", size, "F32")
    m.weight("model.embed_tokens.weight", [1000, 64])
    for i in range(6):
        at = f"model.layers.{i}"
        m.norm(f"{at}.input_layernorm.weight", 64)
        if i < 2:
            m.weight(f"{at}.mlp.up_proj.weight", [256, 64])
        else:
            for e in range(4):
                m.weight(f"{at}.mlp.experts.{e}.up_proj.weight", [32, 64])
            m.bias(f"{at}.mlp.gate.e_score_correction_bias", 4, "F32")
            m.weight(f"{at}.mlp.gate.weight", [4, 64])
        m.bias(f"{at}.self_attn.k_proj.bias", 64)
        m.weight(f"{at}.self_attn.k_proj.weight", [64, 64])
        fp8_pair(m, f"{at}.self_attn.q_proj.weight", [64, 64])
    m.add("norm", "F32", [], encode("F32", [1.0]))
    st.save(out, m)


@kind("moe-tiny", "Qwen-like mixture of experts: 6 layers, first dense, shared expert, router")
def moe_tiny(out):
    m = out.model()
    hidden, inter, experts = 32, 16, 8
    m.weight("model.embed_tokens.weight", [272, hidden])
    for i in range(6):
        at = f"model.layers.{i}"
        layer_norms(m, at, hidden)
        attention(m, at + ".self_attn", hidden, 16, qk_norm=8)
        if i == 0:
            mlp(m, at + ".mlp", hidden, 96)
        else:
            moe_block(m, at + ".mlp", hidden, inter, experts, 32)
    m.norm("model.norm.weight", hidden)
    m.weight("lm_head.weight", [272, hidden])
    config = llama_config(hidden, 96, 6, 4, 2, 272)
    config.update(architectures=["Qwen2MoeForCausalLM"], model_type="qwen2_moe",
                  num_experts=experts, num_experts_per_tok=2, moe_intermediate_size=inter,
                  shared_expert_intermediate_size=32, mlp_only_layers=[0],
                  decoder_sparse_step=1, norm_topk_prob=True)
    write_sidefiles(out, config, "MoE tiny")
    st.save(out, m)


def deepseek_layer(m, at, hidden, dense, experts):
    """One DeepSeek block: latent attention and a dense or routed MLP, FP8 pairs."""
    layer_norms(m, at, hidden)
    attn = f"{at}.self_attn"
    fp8_pair(m, f"{attn}.q_a_proj.weight", [48, hidden])
    m.norm(f"{attn}.q_a_layernorm.weight", 48)
    fp8_pair(m, f"{attn}.q_b_proj.weight", [96, 48])
    fp8_pair(m, f"{attn}.kv_a_proj_with_mqa.weight", [40, hidden])
    m.norm(f"{attn}.kv_a_layernorm.weight", 32)
    fp8_pair(m, f"{attn}.kv_b_proj.weight", [128, 32])
    fp8_pair(m, f"{attn}.o_proj.weight", [hidden, 64])
    shapes = (("gate_proj", lambda n: [n, hidden]), ("up_proj", lambda n: [n, hidden]),
              ("down_proj", lambda n: [hidden, n]))
    if dense:
        for name, shape in shapes:
            fp8_pair(m, f"{at}.mlp.{name}.weight", shape(144))
        return
    m.weight(f"{at}.mlp.gate.weight", [experts, hidden])
    m.bias(f"{at}.mlp.gate.e_score_correction_bias", experts, "F32")
    for block in [f"experts.{e}" for e in range(experts)] + ["shared_experts"]:
        for name, shape in shapes:
            fp8_pair(m, f"{at}.mlp.{block}.{name}.weight", shape(16))


@kind("deepseek-tiny", "DeepSeek-V3-like: FP8 block pairs, experts, MTP layer, 2 shards")
def deepseek_tiny(out):
    m = out.model()
    hidden, experts = 136, 4
    m.weight("model.embed_tokens.weight", [48, hidden])
    for i in range(3):
        deepseek_layer(m, f"model.layers.{i}", hidden, i == 0, experts)
    m.norm("model.norm.weight", hidden)
    m.weight("lm_head.weight", [48, hidden])
    mtp = "model.layers.3"
    m.weight(f"{mtp}.embed_tokens.weight", [48, hidden])
    m.norm(f"{mtp}.enorm.weight", hidden)
    m.norm(f"{mtp}.hnorm.weight", hidden)
    m.weight(f"{mtp}.eh_proj.weight", [hidden, 2 * hidden])
    deepseek_layer(m, mtp, hidden, False, experts)
    m.norm(f"{mtp}.shared_head.norm.weight", hidden)
    m.weight(f"{mtp}.shared_head.head.weight", [48, hidden])
    config = llama_config(hidden, 144, 3, 4, 4, 48)
    config.update(
        architectures=["DeepseekV3ForCausalLM"], model_type="deepseek_v3", n_routed_experts=experts,
        n_shared_experts=1, num_experts_per_tok=2, moe_intermediate_size=16, first_k_dense_replace=1,
        num_nextn_predict_layers=1, q_lora_rank=48, kv_lora_rank=32, qk_nope_head_dim=16,
        qk_rope_head_dim=8, v_head_dim=16, topk_method="noaux_tc", scoring_func="sigmoid",
        quantization_config={"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                             "weight_block_size": [128, 128]})
    write_sidefiles(out, config, "DeepSeek tiny")
    st.save_shards(out, m, 2)


@kind("t5-tiny", "encoder and decoder, relative attention bias, shared embedding, F32")
def t5_tiny(out):
    m = out.model()
    d, ff, heads = 32, 64, 4

    def attn(at, relative):
        for name in "qkvo":
            m.weight(f"{at}.{name}.weight", [d, d], "F32")
        if relative:
            m.weight(f"{at}.relative_attention_bias.weight", [32, heads], "F32", 0.5)

    m.weight("shared.weight", [128, d], "F32", 1.0)
    for stack, cross in (("encoder", False), ("decoder", True)):
        for i in range(2):
            at = f"{stack}.block.{i}.layer"
            attn(f"{at}.0.SelfAttention", i == 0)
            m.norm(f"{at}.0.layer_norm.weight", d, "F32")
            last = 1
            if cross:
                attn(f"{at}.1.EncDecAttention", False)
                m.norm(f"{at}.1.layer_norm.weight", d, "F32")
                last = 2
            m.weight(f"{at}.{last}.DenseReluDense.wi.weight", [ff, d], "F32")
            m.weight(f"{at}.{last}.DenseReluDense.wo.weight", [d, ff], "F32")
            m.norm(f"{at}.{last}.layer_norm.weight", d, "F32")
        m.norm(f"{stack}.final_layer_norm.weight", d, "F32")
    out.json("config.json", {
        "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "d_model": d,
        "d_ff": ff, "d_kv": 8, "num_heads": heads, "num_layers": 2, "num_decoder_layers": 2,
        "vocab_size": 128, "relative_attention_num_buckets": 32, "is_encoder_decoder": True})
    st.save(out, m)


@kind("whisper-tiny", "speech encoder and decoder with convolutions and biases, F16")
def whisper_tiny(out):
    m = out.model()
    d, mels = 32, 16

    def linear(at, rows, cols, bias=True):
        m.weight(at + ".weight", [rows, cols], "F16")
        if bias:
            m.bias(at + ".bias", rows, "F16")

    def norm(at):
        m.norm(at + ".weight", d, "F16")
        m.bias(at + ".bias", d, "F16")

    m.weight("model.encoder.conv1.weight", [d, mels, 3], "F16")
    m.bias("model.encoder.conv1.bias", d, "F16")
    m.weight("model.encoder.conv2.weight", [d, d, 3], "F16")
    m.bias("model.encoder.conv2.bias", d, "F16")
    m.weight("model.encoder.embed_positions.weight", [60, d], "F16")
    m.weight("model.decoder.embed_tokens.weight", [128, d], "F16")
    m.weight("model.decoder.embed_positions.weight", [32, d], "F16")
    for stack in ("encoder", "decoder"):
        for i in range(2):
            at = f"model.{stack}.layers.{i}"
            for attn in ("self_attn", "encoder_attn")[:1 if stack == "encoder" else 2]:
                for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    linear(f"{at}.{attn}.{name}", d, d, name != "k_proj")
                norm(f"{at}.{attn}_layer_norm")
            linear(f"{at}.fc1", 64, d)
            linear(f"{at}.fc2", d, 64)
            norm(f"{at}.final_layer_norm")
        norm(f"model.{stack}.layer_norm")
    out.json("config.json", {
        "architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper", "d_model": d,
        "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
        "num_mel_bins": mels, "vocab_size": 128, "is_encoder_decoder": True})
    st.save(out, m)


@kind("vision-language", "vision tower, projector and language model in one repository")
def vision_language(out):
    m = out.model()
    d, patch = 32, 4
    tower = "vision_tower.vision_model"
    m.bias(f"{tower}.embeddings.class_embedding", d)
    m.weight(f"{tower}.embeddings.patch_embedding.weight", [d, 3, patch, patch])
    m.weight(f"{tower}.embeddings.position_embedding.weight", [17, d])
    for name in ("pre_layrnorm", "post_layernorm"):
        m.norm(f"{tower}.{name}.weight", d)
        m.bias(f"{tower}.{name}.bias", d)
    for i in range(2):
        at = f"{tower}.encoder.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            m.weight(f"{at}.self_attn.{name}.weight", [d, d])
            m.bias(f"{at}.self_attn.{name}.bias", d)
        for name, shape in (("fc1", [64, d]), ("fc2", [d, 64])):
            m.weight(f"{at}.mlp.{name}.weight", shape)
            m.bias(f"{at}.mlp.{name}.bias", shape[0])
        for n in (1, 2):
            m.norm(f"{at}.layer_norm{n}.weight", d)
            m.bias(f"{at}.layer_norm{n}.bias", d)
    for n, shape in ((1, [48, d]), (2, [48, 48])):
        m.weight(f"multi_modal_projector.linear_{n}.weight", shape)
        m.bias(f"multi_modal_projector.linear_{n}.bias", shape[0])
    m.bias("image_newline", 48)
    llama(m, 48, 64, 2, 16, 128, "language_model.model.", "language_model.lm_head.weight")
    text = llama_config(48, 64, 2, 3, 1, 128)
    out.json("config.json", {
        "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava",
        "image_token_index": 127, "projector_hidden_act": "gelu", "text_config": text,
        "vision_config": {"model_type": "clip_vision_model", "hidden_size": d,
                          "intermediate_size": 64, "num_hidden_layers": 2,
                          "num_attention_heads": 4, "image_size": 16, "patch_size": patch}})
    out.text("README.md", card("Vision-language tiny", "mit"))
    st.save(out, m)


@kind("diffusers", "pipeline: model_index.json, unet (sharded, own index), vae, text_encoder")
def diffusers(out):
    rows, stored = [], 0
    for part, build in (("unet", unet), ("vae", vae), ("text_encoder", clip_text)):
        m = out.model()
        config = build(m)
        out.json(f"{part}/config.json", config)
        stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
        if part == "unet":
            st.write_shards(out, m.stored, 2, "unet/", stem)
        else:
            out.write(f"{part}/{stem}.safetensors", st.pack(m.stored, {"format": "pt"}), True)
        rows += [Logical(f"{part}.{r.name}", r.dtype, r.shape, r.bytes) for r in m.logical()]
        stored += len(m.stored)
    out.json("model_index.json", {
        "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.31.0",
        "scheduler": ["diffusers", "DDIMScheduler"], "safety_checker": [None, None],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]})
    out.json("scheduler/scheduler_config.json",
             {"_class_name": "DDIMScheduler", "num_train_timesteps": 1000})
    out.expect("safetensors", rows, stored=stored, components={
        "note": "names carry the folder of the component as a first segment"})


def conv(m, at, out_ch, in_ch, size):
    m.weight(at + ".weight", [out_ch, in_ch, size, size], "F16")
    m.bias(at + ".bias", out_ch, "F16")


def resnet(m, at, ch):
    for n in (1, 2):
        m.norm(f"{at}.norm{n}.weight", ch, "F16")
        m.bias(f"{at}.norm{n}.bias", ch, "F16")
        conv(m, f"{at}.conv{n}", ch, ch, 3)


def unet(m):
    ch = 16
    conv(m, "conv_in", ch, 4, 3)
    for n, shape in ((1, [64, ch]), (2, [64, 64])):
        m.weight(f"time_embedding.linear_{n}.weight", shape, "F16")
        m.bias(f"time_embedding.linear_{n}.bias", shape[0], "F16")
    for i in range(2):
        resnet(m, f"down_blocks.{i}.resnets.0", ch)
        at = f"down_blocks.{i}.attentions.0.transformer_blocks.0"
        for attn, cols in (("attn1", ch), ("attn2", 32)):
            m.weight(f"{at}.{attn}.to_q.weight", [ch, ch], "F16")
            m.weight(f"{at}.{attn}.to_k.weight", [ch, cols], "F16")
            m.weight(f"{at}.{attn}.to_v.weight", [ch, cols], "F16")
            m.weight(f"{at}.{attn}.to_out.0.weight", [ch, ch], "F16")
            m.bias(f"{at}.{attn}.to_out.0.bias", ch, "F16")
    resnet(m, "mid_block.resnets.0", ch)
    resnet(m, "up_blocks.0.resnets.0", ch)
    conv(m, "conv_out", 4, ch, 3)
    return {"_class_name": "UNet2DConditionModel", "block_out_channels": [ch, ch],
            "in_channels": 4, "out_channels": 4, "cross_attention_dim": 32, "sample_size": 8}


def vae(m):
    conv(m, "encoder.conv_in", 8, 3, 3)
    resnet(m, "encoder.down_blocks.0.resnets.0", 8)
    conv(m, "encoder.conv_out", 8, 8, 3)
    conv(m, "quant_conv", 8, 8, 1)
    conv(m, "post_quant_conv", 4, 4, 1)
    conv(m, "decoder.conv_in", 8, 4, 3)
    resnet(m, "decoder.up_blocks.0.resnets.0", 8)
    conv(m, "decoder.conv_out", 3, 8, 3)
    return {"_class_name": "AutoencoderKL", "latent_channels": 4, "block_out_channels": [8]}


def clip_text(m):
    d, at = 32, "text_model"
    m.weight(f"{at}.embeddings.token_embedding.weight", [96, d], "F16")
    m.weight(f"{at}.embeddings.position_embedding.weight", [16, d], "F16")
    m.add(f"{at}.embeddings.position_ids", "I64", [1, 16], encode("I64", range(16)))
    for i in range(2):
        block = f"{at}.encoder.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            m.weight(f"{block}.self_attn.{name}.weight", [d, d], "F16")
            m.bias(f"{block}.self_attn.{name}.bias", d, "F16")
        for n in (1, 2):
            m.norm(f"{block}.layer_norm{n}.weight", d, "F16")
    m.norm(f"{at}.final_layer_norm.weight", d, "F16")
    return {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model",
            "hidden_size": d, "num_hidden_layers": 2, "vocab_size": 96}


# ---------------------------------------------------------------- the container's corners

def any_dtype(m, name, dtype, shape):
    """Plausible bytes for any safetensors dtype."""
    count, label = product(shape), m.label(name)
    if dtype in INT_CODE:
        high = 2 if dtype == "BOOL" else 1 << min(BITS[dtype] - 1, 40)
        rng = m.source.rng(label)
        low = -high if dtype.startswith("I") else 0
        data = encode(dtype, [rng.randrange(low, high) for _ in range(count)])
    elif dtype == "F8_E8M0":
        data = encode(dtype, [127 + round(3 * g) for g in m.source.gauss(label, count)])
    elif dtype == "C64":
        data = encode(dtype, [complex(a, -a) for a in m.source.gauss(label, count, 0, 0.02)])
    else:
        sigma = 0.5 if dtype in MINIFLOAT else 0.02
        data = encode(dtype, m.source.gauss(label, count, 0.0, sigma))
    m.add(name, dtype, shape, data)


@kind("all-dtypes", "every safetensors dtype, scalars, zero-size dimensions, rank 8")
def all_dtypes(out):
    m = out.model()
    for dtype in BITS:
        any_dtype(m, f"matrix.{dtype.lower()}", dtype, [8, 16])
        if BITS[dtype] % 8 == 0:
            any_dtype(m, f"scalar.{dtype.lower()}", dtype, [])
    any_dtype(m, "empty.one", "F32", [0])
    any_dtype(m, "empty.rows", "BF16", [0, 64])
    any_dtype(m, "empty.columns", "F4", [64, 0])
    any_dtype(m, "empty.deep", "I64", [3, 0, 5])
    any_dtype(m, "rank.one", "F32", [1])
    any_dtype(m, "rank.eight", "F16", [1, 2, 1, 3, 1, 2, 1, 4])
    any_dtype(m, "odd.f4", "F4", [2, 3])
    any_dtype(m, "odd.f6", "F6_E2M3", [4, 5])
    special = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-45, 3.4028235e38, 1.0]
    m.add("special.f32", "F32", [8], encode("F32", special))
    m.add("special.bf16", "BF16", [8], struct.pack(
        "<8H", 0, 0x8000, 0x7F80, 0xFF80, 0x7FC0, 1, 0x7F7F, 0x3F80))
    m.add("special.f16", "F16", [8], struct.pack(
        "<8H", 0, 0x8000, 0x7C00, 0xFC00, 0x7E00, 1, 0x7BFF, 0x3C00))
    m.add("special.f8_e4m3", "F8_E4M3", [256], bytes(range(256)))
    m.add("special.bool", "BOOL", [4], bytes([0, 1, 2, 255]))
    st.save(out, m, folder=False)


ODD_NAMES = [
    "normal.weight", "__proto__", "constructor.prototype", "toString", ".", "..", "a..b",
    ".leading", "trailing.", "with space.weight", "tab\tname", "new\nline", "nul\x00byte",
    "esc.\x1b[31mred\x1b[0m", "esc.\x1b]0;title\x07", "bidi.\u202egnp.exe", "zero\u200bwidth",
    "c1.\x9b31m", "del.\x7f", "line\u2028separator", "caf\u00e9.nfc", "cafe\u0301.nfd",
    "\u5c42.0.\u6743\u91cd", "emoji.\U0001f422.weight", "slash/and\\backslash", "quote\"s",
    "<b>&amp;</b>", "=1+1", "-dash", "con", "aux.weight", "b.00", "b.01", "b.1", "e.0", "e.1",
    "f.0.weight", "f.0.weight_scale_inv", "parent", "parent.child", "parent.child.leaf", "x.weight",
    "x.weight.absmax_like", "MixedCase", "mixedcase", "n.9", "n.10", "n.100000000000000000000",
    "long." + "n" * 295, "deep." + ".".join("abcdefgh" * 4)]


@kind("odd-names", "hostile and unusual tensor names, all valid")
def odd_names(out):
    m = out.model()
    for i, name in enumerate(ODD_NAMES):
        shape = [4, 1 + i % 5]
        dtype = "F8_E4M3" if name == "f.0.weight" else "F32"
        if name == "f.0.weight_scale_inv":
            shape = [1, 1]
        m.add(name, dtype, shape, encode(dtype, m.source.gauss(m.label(name), product(shape))))
    m.fold("f.0.weight", "F8_E4M3", [4, 1 + ODD_NAMES.index("f.0.weight") % 5],
           ["f.0.weight", "f.0.weight_scale_inv"])
    st.save(out, m, folder=False, ascii_only=True)


@kind("utf8-names", "the same names written as raw UTF-8 where JSON allows it")
def utf8_names(out):
    m = out.model()
    for name in ODD_NAMES:
        if name != "f.0.weight_scale_inv":
            m.add(name, "F32", [2], encode("F32", [1.0, 2.0]))
    st.save(out, m, folder=False)


@kind("unaligned", "no header padding, one byte before the floats")
def unaligned(out):
    m = out.model()
    any_dtype(m, "a.flag", "U8", [1])
    m.weight("b.weight", [33, 17], "F32")
    any_dtype(m, "c.bytes", "I8", [3])
    m.weight("d.weight", [9, 11], "F64")
    m.weight("e.weight", [5, 7], "BF16")
    data = st.pack(m.stored, {"format": "pt", "odd": "!"}, pad=0)
    if len(data[8:]) - sum(t.size for t in m.stored) & 1 == 0:
        data = st.pack(m.stored, {"format": "pt", "odd": "!!"}, pad=0)
    out.write("model.safetensors", data, weights=True)
    st.finish(out, m, "model.safetensors")


@kind("leading-space", "a header that starts with white space, as page-aligning writers do")
def leading_space(out):
    m = out.model()
    m.weight("weight", [16, 16], "F32")
    head = st.header(m.stored, None, pad=0)[8:]
    head = b" " * (4096 - 8 - len(head)) + head
    out.write("model.safetensors", len(head).to_bytes(8, "little") + head + m.stored[0].data, True)
    st.finish(out, m, "model.safetensors")


@kind("empty", "the smallest valid file: {} and no tensors")
def empty(out):
    out.write("model.safetensors", (2).to_bytes(8, "little") + b"{}", weights=True)
    out.expect("safetensors", [], file="model.safetensors")


@kind("metadata-empty", "__metadata__ is {} and every tensor carries an unknown extra field")
def metadata_empty(out):
    m = out.model()
    m.weight("weight", [8, 8], "F32")
    doc = {"__metadata__": {}, "weight": {"dtype": "F32", "shape": [8, 8], "data_offsets": [0, 256],
                                          "note": {"extra": [1, 2.5, None, True]}}}
    text = json.dumps(doc, indent=1).encode()
    out.write("model.safetensors", len(text).to_bytes(8, "little") + text + m.stored[0].data, True)
    st.finish(out, m, "model.safetensors")


@kind("metadata-only", "no tensors, only __metadata__ with long and odd strings")
def metadata_only(out):
    meta = {"format": "pt", "": "empty key", "long": "v" * 5000, "esc": "\x1b[2J", "json": "{\"a\": 1}"}
    out.write("model.safetensors", st.pack([], meta, ascii_only=True), weights=True)
    out.expect("safetensors", [], file="model.safetensors")


@kind("unknown-dtype", "a dtype no reader knows; size from the offsets")
def unknown_dtype(out):
    tensors = [Stored("a.weight", "F5_E2M2", [8, 8], bytes(40)),
               Stored("b.weight", "F32", [4, 4], encode("F32", [0.5] * 16))]
    out.write("model.safetensors", st.pack(tensors), weights=True)
    out.expect("safetensors", [Logical(t.name, t.dtype, t.shape, t.size) for t in tensors],
               file="model.safetensors")


@kind("weight-sets", "one model three times: safetensors, pytorch_model.bin and GGUF in a folder")
def weight_sets(out):
    m = out.model()
    llama(m, 32, 64, 1, 16, 64)
    out.json("config.json", llama_config(32, 64, 1, 4, 2, 64))
    state = {t.name: torchfile.Tensor.of("BFloat16Storage", t.shape, t.data) for t in m.stored}
    out.write("pytorch_model.bin", torchfile.save_zip(state))
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
             "lm_head.weight": "output.weight"}
    g = gguf.File()
    g.add_kv("general.architecture", "str", "llama")
    for t in m.stored:
        g.add(names.get(t.name, t.name.replace("model.layers.", "blk.")), "BF16", t.shape, t.data)
    out.write("model-bf16.gguf", g.pack())
    st.save(out, m)


@kind("index-broken", "an index that names a missing shard, a missing tensor and a wrong total")
def index_broken(out):
    m = out.model()
    m.weight("a.weight", [8, 8])
    m.weight("b.weight", [8, 8])
    out.write("model-00001-of-00002.safetensors", st.pack(m.stored), weights=True)
    out.json("model.safetensors.index.json", {
        "metadata": {"total_size": 12345.0},
        "weight_map": {"a.weight": "model-00001-of-00002.safetensors",
                       "gone.weight": "model-00001-of-00002.safetensors",
                       "c.weight": "model-00002-of-00002.safetensors"}})
    st.finish(out, m, problems={
        "missing_files": ["model-00002-of-00002.safetensors"],
        "missing_tensors": ["gone.weight"], "unlisted_tensors": ["b.weight"]})


# ---------------------------------------------------------------- big ones

@kind("demo", "a 28 MB sharded mixture-of-experts model with config, tokenizer and card", big=True)
def demo(out):
    m = out.model()
    hidden, vocab, experts = 256, 4096, 8
    m.weight("model.embed_tokens.weight", [vocab, hidden])
    for i in range(12):
        at = f"model.layers.{i}"
        layer_norms(m, at, hidden)
        attention(m, at + ".self_attn", hidden, 64, qk_norm=32)
        if i < 2:
            mlp(m, at + ".mlp", hidden, 704)
        else:
            moe_block(m, at + ".mlp", hidden, 128, experts, 128)
    m.norm("model.norm.weight", hidden)
    m.weight("lm_head.weight", [vocab, hidden])
    config = llama_config(hidden, 704, 12, 8, 2, vocab)
    config.update(architectures=["Qwen2MoeForCausalLM"], model_type="qwen2_moe",
                  num_experts=experts, num_experts_per_tok=2, moe_intermediate_size=128,
                  shared_expert_intermediate_size=128, mlp_only_layers=[0, 1])
    write_sidefiles(out, config, "Demo MoE")
    st.save_shards(out, m, 3)


@kind("wide-safetensors", "a header just below 100 MB: --tensors N (720000), sparse data", big=True)
def wide_safetensors(out):
    count = out.tensors or 720000
    size, at, text, names = nbytes("BF16", [64, 128]), 0, ['{"__metadata__":{"format":"pt"}'], []
    for i in range(count):
        layer, expert, which = i // 3072, i // 3 % 1024, ("gate", "up", "down")[i % 3]
        name = f"language_model.model.block.{layer}.mlp.experts.{expert}.{which}_proj.weight"
        names.append(name)
        text.append(f',"{name}":{{"dtype":"BF16","shape":[64,128],"data_offsets":[{at},{at + size}]}}')
        at += size
    text.append("}")
    head = "".join(text).encode()
    head += b" " * (-len(head) % 8)
    with open(out.path("model.safetensors"), "wb") as f:
        f.write(len(head).to_bytes(8, "little") + head)
        f.truncate(8 + len(head) + at)
    out.listed("model.safetensors", 8 + len(head) + at)
    sample = [Logical(n, "BF16", [64, 128], size) for n in names[:2] + names[-2:]]
    out.expect("safetensors", sample, stored=count, file="model.safetensors", partial=True,
               header_bytes=len(head), all_parameters=count * 64 * 128, all_bytes=at)
