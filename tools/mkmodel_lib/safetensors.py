# SPDX-License-Identifier: Apache-2.0
"""The safetensors container and the folder layout around it."""
import json

from .output import Stored


def header(tensors, metadata=None, pad=8, ascii_only=False):
    """The 8-byte length and the JSON header."""
    doc, at = {}, 0
    if metadata is not None:
        doc["__metadata__"] = metadata
    for t in tensors:
        doc[t.name] = {"dtype": t.dtype, "shape": t.shape, "data_offsets": [at, at + t.size]}
        at += t.size
    text = json.dumps(doc, separators=(",", ":"), ensure_ascii=ascii_only).encode()
    if pad:
        text += b" " * (-len(text) % pad)
    return len(text).to_bytes(8, "little") + text


def pack(tensors, metadata=None, pad=8, ascii_only=False):
    """A whole safetensors file."""
    return header(tensors, metadata, pad, ascii_only) + b"".join(t.data for t in tensors)


def save(out, model, rel="model.safetensors", metadata={"format": "pt"}, folder=True, **options):
    """Write a one-file model and its expect file."""
    out.write(rel, pack(model.stored, metadata, **options), weights=True)
    finish(out, model, None if folder else rel)


def finish(out, model, file=None, **more):
    out.expect("safetensors", model.logical(), stored=len(model.stored), file=file, **more)


def shard(tensors, count):
    """Split tensors, in order, into `count` runs of about equal bytes."""
    total = sum(t.size for t in tensors)
    runs, have = [[]], 0
    for i, t in enumerate(tensors):
        left = len(tensors) - i
        full = have >= total * len(runs) / count or left <= count - len(runs)
        if runs[-1] and len(runs) < count and full:
            runs.append([])
        runs[-1].append(t)
        have += t.size
    return runs


def write_shards(out, tensors, count, folder="", stem="model"):
    """Write shards and their index; `folder` is a prefix such as "unet/"."""
    weight_map = {}
    for i, run in enumerate(shard(tensors, count)):
        name = f"{stem}-{i + 1:05d}-of-{count:05d}.safetensors"
        out.write(folder + name, pack(run, {"format": "pt"}), weights=True)
        weight_map.update((t.name, name) for t in run)
    out.json(f"{folder}{stem}.safetensors.index.json", {
        "metadata": {"total_size": sum(t.size for t in tensors)},
        "weight_map": dict(sorted(weight_map.items()))})


def save_shards(out, model, count):
    """Write a sharded model with its index and expect file."""
    write_shards(out, model.stored, count)
    finish(out, model)


def renamed(tensors, prefix):
    """The same tensors under another prefix."""
    return [Stored(prefix + t.name, t.dtype, t.shape, t.data) for t in tensors]
