#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write small files that claim, nest or unpack to a lot: make_hostile.py DIR.

Each is a few bytes to a few megabytes.  A reader that believes a declared count, follows nesting
with its stack, or unpacks without a ceiling needs gigabytes, minutes or crashes.  They are made for
measuring peak memory; that each ends in a clean error is what tests/ and fuzz/ check.
"""
import io
import json
import os
import pickle
import struct
import sys
import zipfile

U64 = (1 << 64) - 1


def write(root, path, *parts):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)


# --------------------------------------------------------------------------------- safetensors

def safetensors(header, declared=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if declared is None else declared) + header


def make_safetensors(root):
    def tensor(shape, end):
        return {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}

    write(root, "st-length-100mb/model.safetensors", safetensors(b"{}", 100_000_000))
    write(root, "st-length-max/model.safetensors", safetensors(b"{}", U64))
    write(root, "st-shape-max/model.safetensors", safetensors({"a": tensor([U64, U64, 2], U64)}))
    write(root, "st-rank/model.safetensors", safetensors({"a": tensor([1] * 1_000_000, 4)}))
    write(root, "st-nesting/model.safetensors", safetensors(b'{"a":' + b"[" * 4_000_000))
    write(root, "st-name/model.safetensors", safetensors({"a" * 4_000_000: tensor([1], 4)}), bytes(4))
    write(root, "st-escapes/model.safetensors",
          safetensors(b'{"' + b"\\u0041" * 1_000_000 + b'":{}}'))
    write(root, "st-number/model.safetensors",
          safetensors(b'{"a":{"dtype":"F32","shape":[' + b"9" * 4_000_000 + b"]}}"))
    write(root, "st-index/model.safetensors.index.json",
          json.dumps({"weight_map": {f"t{i}": f"model-{i}.safetensors"
                                     for i in range(100_000)}}).encode())
    write(root, "st-config/model.safetensors", safetensors({"a": tensor([1], 4)}), bytes(4))
    write(root, "st-config/config.json", b'{"a":' * 2_000_000)
    write(root, "st-config/tokenizer.json", b"[" * 8_000_000)
    laughs = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]"
                                for i in range(1, 20)]
    write(root, "st-config/README.md", ("---\n" + "\n".join(laughs) + "\n---\n").encode())


# ---------------------------------------------------------------------------------------- gguf

def gguf(tensors, keys, body=b"", version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + body


def text(s, declared=None):
    return struct.pack("<Q", len(s) if declared is None else declared) + s


def make_gguf(root):
    array = 9
    write(root, "gguf-tensors-max.gguf", gguf(U64, 0))
    write(root, "gguf-keys-max.gguf", gguf(0, U64))
    write(root, "gguf-counts.gguf", gguf(1 << 32, 1 << 32))
    write(root, "gguf-string-max.gguf", gguf(0, 1, text(b"k", U64)))
    write(root, "gguf-string-1gb.gguf", gguf(0, 1, text(b"k", 1 << 30)))
    write(root, "gguf-array-max.gguf",
          gguf(0, 1, text(b"k") + struct.pack("<IIQ", array, 10, 1 << 61)))
    write(root, "gguf-array-strings.gguf",
          gguf(0, 1, text(b"k") + struct.pack("<IIQ", array, 8, U64)))
    nest = struct.pack("<IQ", array, 1)
    write(root, "gguf-array-nested.gguf",
          gguf(0, 1, text(b"k") + struct.pack("<I", array) + nest * 400_000))
    write(root, "gguf-rank.gguf", gguf(1, 0, text(b"t") + struct.pack("<I", 0xFFFFFFFF)))
    write(root, "gguf-shape.gguf",
          gguf(1, 0, text(b"t") + struct.pack("<IQQQQIQ", 4, U64, U64, U64, U64, 0, 0)))
    one_key = text(b"k") + struct.pack("<II", 4, 1)
    write(root, "gguf-same-keys.gguf", gguf(0, 200_000, one_key * 200_000))


# --------------------------------------------------------------------------------------- torch

def torch_zip(data_pkl, compressed=False, members=()):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compressed else 0) as z:
        z.writestr("archive/data.pkl", data_pkl)
        for name, content in members:
            z.writestr(name, content)
    return file.getvalue()


def make_torch(root):
    p2 = b"\x80\x02"
    write(root, "torch-bomb.pt", torch_zip(p2 + b"N0" * (128 << 20) + b".", True))
    write(root, "torch-zeros.pt", torch_zip(bytes(1 << 30), True))
    # A list that holds the list before it ten times, 30 levels: 10^30 items if it were unfolded.
    laughs = b"]q\x00" + b"".join(
        b"](" + b"h" + bytes([i]) + (b"h" + bytes([i])) * 9 + b"eq" + bytes([i + 1])
        for i in range(30))
    write(root, "torch-laughs.pt", torch_zip(p2 + laughs + b"."))
    write(root, "torch-marks.pt", torch_zip(p2 + b"(" * 8_000_000 + b".", True))
    write(root, "torch-nested.pt", torch_zip(p2 + b"]" + b"\x85" * 8_000_000 + b".", True))
    write(root, "torch-lists.pt", torch_zip(p2 + b"]" * 8_000_000 + b".", True))
    write(root, "torch-memo.pt", torch_zip(p2 + b"Nr\xff\xff\xff\xff."))
    write(root, "torch-long.pt", torch_zip(p2 + b"\x8b\xff\xff\xff\x7f."))
    write(root, "torch-bytes8.pt", torch_zip(b"\x80\x04\x8e" + struct.pack("<Q", U64) + b"."))
    write(root, "torch-frame.pt", torch_zip(b"\x80\x04\x95" + struct.pack("<Q", U64) + b"N."))
    write(root, "torch-ints.pt", torch_zip(p2 + b"](" + b"K\1" * 8_000_000 + b"e.", True))
    write(root, "torch-globals.pt",
          torch_zip(p2 + b"".join(b"cm%d\nn\n0" % i for i in range(300_000)) + b"N.", True))
    write(root, "torch-members.pt",
          torch_zip(pickle.dumps({}, 2), False, ((f"archive/data/{i}", b"") for i in range(50_000))))
    write(root, "torch-legacy.pt",
          pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) +
          p2 + b"(" * 4_000_000)


def make_numpy(root):
    write(root, "npy-length.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 0xFFFFFFFF) + b"{}")
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 16_000 + b")}\n"
    write(root, "npy-rank.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_hostile.py DIR")
    root = sys.argv[1]
    os.makedirs(root, exist_ok=True)
    make_safetensors(root)
    make_gguf(root)
    make_torch(root)
    make_numpy(root)


if __name__ == "__main__":
    main()
