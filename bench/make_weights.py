#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints whose values matter: what `scan` is measured with.

    make_weights.py KIND DIR

    bf16    1.1 billion values of a 22-layer Llama in four files, 2.2 GB
    bf16-twin  the same with the upper half of its layers, and what is behind them, moved by 2 %
    f32     0.13 billion values in one file, 0.5 GB
    holes   four matrices of 17 GB in BF16 that take no place on the disk: 69 GB of zeros
    tiny    100,000 tensors of 64 to 4096 values in BF16

Values are normal, with a scale a row, some columns 8 times as large and a few values far out."""
import json
import os
import struct
import sys

import numpy as np

RNG = np.random.default_rng(7)
BLOCK = (RNG.standard_normal(1 << 22, dtype=np.float32) * 0.02)
BLOCK[RNG.integers(0, BLOCK.size, 64)] *= 20


def llama(layers=22, hidden=2048, inner=5632, vocabulary=32000, kv=256):
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for i in range(layers):
        layer = f"model.layers.{i}."
        for name, shape in (("input_layernorm", (hidden,)), ("self_attn.q_proj", (hidden, hidden)),
                            ("self_attn.k_proj", (kv, hidden)), ("self_attn.v_proj", (kv, hidden)),
                            ("self_attn.o_proj", (hidden, hidden)),
                            ("post_attention_layernorm", (hidden,)),
                            ("mlp.gate_proj", (inner, hidden)), ("mlp.up_proj", (inner, hidden)),
                            ("mlp.down_proj", (hidden, inner))):
            yield layer + name + ".weight", shape
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (vocabulary, hidden)


def values(shape):
    n = int(np.prod(shape))
    at = int(RNG.integers(0, BLOCK.size // 2))
    x = np.resize(BLOCK[at:at + n], n).reshape(shape)
    if len(shape) > 1:
        x *= np.exp(0.15 * RNG.standard_normal((shape[0], 1), dtype=np.float32))
        x[:, RNG.choice(shape[1], min(3, shape[1]), replace=False)] *= 8
    return x


def stored(x, dtype):
    return x.tobytes() if dtype == "F32" else (x.view(np.uint32) >> 16).astype(np.uint16).tobytes()


def moved(name, x):
    """A twin's: fine-tuned from the middle on. Its own random numbers leave the others as they are."""
    if "embed" in name or name.startswith("model.layers.") and int(name.split(".")[2]) < 11:
        return x
    rng = np.random.default_rng(x.size)
    return x * (1 + .02 * np.resize(rng.standard_normal(1 << 20, dtype=np.float32), x.size)
                ).reshape(x.shape)


def write(path, tensors, dtype, holes=False, twin=False):
    size = {"F32": 4, "BF16": 2}[dtype]
    header, end = {}, 0
    for name, shape in tensors:
        start, end = end, end + size * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        if holes:
            file.truncate(8 + len(text) + end)
            return
        for name, shape in tensors:
            x = values(shape)
            file.write(stored(moved(name, x) if twin else x, dtype))


def main():
    kind, folder = sys.argv[1:3]
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "model.safetensors")
    if kind in ("bf16", "bf16-twin"):
        tensors = list(llama())
        for i in range(4):
            write(os.path.join(folder, f"model-{i + 1:05}-of-00004.safetensors"),
                  tensors[i * len(tensors) // 4:(i + 1) * len(tensors) // 4], "BF16",
                  twin=kind == "bf16-twin")
    elif kind == "f32":
        write(path, list(llama(layers=2, vocabulary=10000)), "F32")
    elif kind == "holes":
        write(path, [(f"model.layers.{i}.weight", (1 << 20, 8192)) for i in range(4)], "BF16", True)
    elif kind == "tiny":
        shapes = ((64,), (64, 64), (16, 32), (4096,))
        write(path, [(f"model.layers.{i}.weight", shapes[i % 4]) for i in range(100000)], "BF16")
    else:
        sys.exit(__doc__)


main()
