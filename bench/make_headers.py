#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write checkpoints that have the true geometry of a large model and no weights.

    make_headers.py KIND DIR

The headers are real, byte for byte of the size they have in the wild; the tensor data are holes in
sparse files, so 689 GB of model take 25 MB of disk.  Kinds:

    deepseek-v3   91,991 tensors in 163 shards, FP8 with block scales, with index.json
    dense-300     300 tensors in one file: a Llama of 33 layers, BF16
"""
import json
import os
import struct
import sys

BYTES = {"BF16": 2, "F8_E4M3": 1, "F32": 4}


def elements(shape):
    n = 1
    for dim in shape:
        n *= dim
    return n


class DeepSeek:
    """DeepSeek-V3: latent attention, mixture of experts, one layer of multi-token prediction."""
    layers, dense_layers, mtp_layers = 61, 3, 1
    hidden, heads, vocab = 7168, 128, 129280
    q_rank, kv_rank, rope, head = 1536, 512, 64, 128
    inter, moe_inter, experts = 18432, 2048, 256
    block = 128
    shards = 163

    def linear(self, name, rows, columns):
        """FP8 codes and one F32 scale for each block of 128 x 128."""
        blocks = (-(-rows // self.block), -(-columns // self.block))
        yield f"{name}.weight", "F8_E4M3", (rows, columns)
        yield f"{name}.weight_scale_inv", "F32", blocks

    def mlp(self, name, inter):
        yield from self.linear(f"{name}.gate_proj", inter, self.hidden)
        yield from self.linear(f"{name}.up_proj", inter, self.hidden)
        yield from self.linear(f"{name}.down_proj", self.hidden, inter)

    def attention(self, name):
        yield from self.linear(f"{name}.q_a_proj", self.q_rank, self.hidden)
        yield f"{name}.q_a_layernorm.weight", "BF16", (self.q_rank,)
        yield from self.linear(f"{name}.q_b_proj", self.heads * (self.head + self.rope), self.q_rank)
        yield from self.linear(f"{name}.kv_a_proj_with_mqa", self.kv_rank + self.rope, self.hidden)
        yield f"{name}.kv_a_layernorm.weight", "BF16", (self.kv_rank,)
        yield from self.linear(f"{name}.kv_b_proj", self.heads * 2 * self.head, self.kv_rank)
        yield from self.linear(f"{name}.o_proj", self.hidden, self.heads * self.head)

    def layer(self, number):
        name = f"model.layers.{number}"
        if number >= self.layers:  # the MTP layer carries its own ends
            yield f"{name}.embed_tokens.weight", "BF16", (self.vocab, self.hidden)
            yield f"{name}.enorm.weight", "BF16", (self.hidden,)
            yield f"{name}.hnorm.weight", "BF16", (self.hidden,)
            yield f"{name}.eh_proj.weight", "BF16", (self.hidden, 2 * self.hidden)
            yield f"{name}.shared_head.norm.weight", "BF16", (self.hidden,)
            yield f"{name}.shared_head.head.weight", "BF16", (self.vocab, self.hidden)
        yield f"{name}.input_layernorm.weight", "BF16", (self.hidden,)
        yield from self.attention(f"{name}.self_attn")
        yield f"{name}.post_attention_layernorm.weight", "BF16", (self.hidden,)
        if number < self.dense_layers:
            yield from self.mlp(f"{name}.mlp", self.inter)
            return
        yield f"{name}.mlp.gate.weight", "BF16", (self.experts, self.hidden)
        yield f"{name}.mlp.gate.e_score_correction_bias", "F32", (self.experts,)
        for expert in range(self.experts):
            yield from self.mlp(f"{name}.mlp.experts.{expert}", self.moe_inter)
        yield from self.mlp(f"{name}.mlp.shared_experts", self.moe_inter)

    def tensors(self):
        yield "model.embed_tokens.weight", "BF16", (self.vocab, self.hidden)
        for number in range(self.layers + self.mtp_layers):
            yield from self.layer(number)
        yield "model.norm.weight", "BF16", (self.hidden,)
        yield "lm_head.weight", "BF16", (self.vocab, self.hidden)


class Dense:
    """A Llama with 9 tensors a layer: 33 * 9 + 3 = 300."""
    layers, hidden, inter, kv, vocab, shards = 33, 4096, 14336, 1024, 128256, 1

    def tensors(self):
        h, kv, inter = self.hidden, self.kv, self.inter
        yield "model.embed_tokens.weight", "BF16", (self.vocab, h)
        for number in range(self.layers):
            for name, shape in (("input_layernorm", (h,)), ("mlp.down_proj", (h, inter)),
                                ("mlp.gate_proj", (inter, h)), ("mlp.up_proj", (inter, h)),
                                ("post_attention_layernorm", (h,)), ("self_attn.k_proj", (kv, h)),
                                ("self_attn.o_proj", (h, h)), ("self_attn.q_proj", (h, h)),
                                ("self_attn.v_proj", (kv, h))):
                yield f"model.layers.{number}.{name}.weight", "BF16", shape
        yield "model.norm.weight", "BF16", (h,)
        yield "lm_head.weight", "BF16", (self.vocab, h)


KINDS = {"deepseek-v3": DeepSeek, "dense-300": Dense}


def split(tensors, sizes, shards):
    """Consecutive groups of about the same number of bytes."""
    total, done, groups, group = sum(sizes), 0, [], []
    for tensor, size in zip(tensors, sizes):
        group.append((tensor, size))
        done += size
        if len(groups) < shards - 1 and done * shards >= total * (len(groups) + 1):
            groups.append(group)
            group = []
    return groups + [group]


def write_shard(path, group):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for (name, dtype, shape), size in group:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
    return 8 + len(text)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: make_headers.py {'|'.join(KINDS)} DIR")
    kind, folder = KINDS[sys.argv[1]](), sys.argv[2]
    tensors = list(kind.tensors())
    sizes = [elements(shape) * BYTES[dtype] for _, dtype, shape in tensors]
    groups = split(tensors, sizes, kind.shards)
    os.makedirs(folder, exist_ok=True)
    headers, weight_map = 0, {}
    for number, group in enumerate(groups, 1):
        name = f"model-{number:05d}-of-{len(groups):06d}.safetensors"
        if len(groups) == 1:
            name = "model.safetensors"
        headers += write_shard(os.path.join(folder, name), group)
        weight_map.update((tensor[0], name) for tensor, _ in group)
    if len(groups) > 1:
        index = {"metadata": {"total_size": sum(sizes)}, "weight_map": weight_map}
        with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
            json.dump(index, file, indent=2)
    print(f"{sys.argv[1]}: {len(tensors)} tensors, {len(groups)} shards, {sum(sizes)} bytes of data, "
          f"{headers} bytes of headers", file=sys.stderr)


if __name__ == "__main__":
    main()
