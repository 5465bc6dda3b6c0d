# SPDX-License-Identifier: Apache-2.0
"""llama.cpp as a peer of bench.py forward: a copy in GGUF of a Llama whose safetensors are BF16, matrices in BF16 and
vectors in F32, rows of q and k where its converter puts them; and how fast it is run (tests/oracle/llama.c, where
$LLAMA_LIB and $LLAMA_INCLUDE name the library and its headers)."""
import glob
import json
import os
import struct
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "tests", "py"))
import llama_peer  # noqa: E402

NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
         "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
F32, BF16 = 0, 30


def name_of(name):
    stem = name.removesuffix(".weight")
    if stem in NAMES:
        return NAMES[stem] + ".weight"
    _, _, layer, module = stem.split(".", 3)
    return f"blk.{layer}.{NAMES[module]}.weight"


def tensors_of(folder):
    """Name, shape, and 16-bit codes that are still in the file."""
    for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))):
        with open(path, "rb") as f:
            n = struct.unpack("<Q", f.read(8))[0]
            head = json.loads(f.read(n))
        data = np.memmap(path, "<u2", "r", 8 + n)
        for name, t in head.items():
            if name != "__metadata__":
                begin, end = t["data_offsets"]
                yield name, t["shape"], data[begin // 2:end // 2]


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def key(name, x):
    if isinstance(x, str):
        return text(name) + struct.pack("<I", 8) + text(x)
    return text(name) + (struct.pack("<If", 6, x) if isinstance(x, float) else struct.pack("<II", 4, x))


def keys_of(c):
    k = {"block_count": c["num_hidden_layers"], "embedding_length": c["hidden_size"],
         "feed_forward_length": c["intermediate_size"], "attention.head_count": c["num_attention_heads"],
         "attention.head_count_kv": c["num_key_value_heads"], "context_length": 2048, "vocab_size": c["vocab_size"],
         "attention.layer_norm_rms_epsilon": c["rms_norm_eps"], "rope.freq_base": c["rope_theta"],
         "rope.dimension_count": c["hidden_size"] // c["num_attention_heads"]}
    return {"general.architecture": "llama", "tokenizer.ggml.model": "no_vocab", **{"llama." + n: v for n, v in k.items()}}


def to_gguf(folder, path):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        c = json.load(f)
    keys, tensors = keys_of(c), list(tensors_of(folder))
    heads = {"self_attn.q_proj": c["num_attention_heads"], "self_attn.k_proj": c["num_key_value_heads"]}
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(key(*k) for k in keys.items())
    at = 0
    for name, shape, codes in tensors:
        kind = BF16 if len(shape) > 1 else F32
        head += text(name_of(name)) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        head += struct.pack("<IQ", kind, at)
        at += codes.size * (2 if kind == BF16 else 4)
        at += -at % 32
    with open(path + ".part", "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32))
        for name, shape, codes in tensors:
            turn = [n for module, n in heads.items() if module in name]
            if turn:  # pairs of a rotation become neighbours
                codes = codes.reshape(turn[0], 2, shape[0] // turn[0] // 2, shape[1]).swapaxes(1, 2)
            raw = (codes if len(shape) > 1 else codes.astype("<u4") << 16).tobytes()
            f.write(raw + b"\0" * (-len(raw) % 32))
    os.replace(path + ".part", path)


def program_and_model(bench, folder):
    """None without the library. $LLAMA_MODEL is a GGUF of the same model, made where it is not."""
    if not llama_peer.is_there():
        return None
    path = os.environ.get("LLAMA_MODEL") or os.path.join(bench.DATA, "forward.gguf")
    if not os.path.exists(path):
        to_gguf(folder, path)
    return llama_peer.build(bench.DATA), path
