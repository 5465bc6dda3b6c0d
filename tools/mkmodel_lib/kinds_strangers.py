# SPDX-License-Identifier: Apache-2.0
"""Files that are not models although their names say so."""
import gzip
import io
import json
import struct
import zipfile
import zlib

from . import gguf, safetensors as st, torchfile as tf
from .registry import kind
from .torchfile import Tensor
from .values import encode


def lfs_pointer():
    return (b"version https://git-lfs.github.com/spec/v1\n"
            b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
            b"size 4976698672\n")


def html_page():
    return (b"<!DOCTYPE html>\n<html class=\"\">\n<head><title>Sign in</title></head>\n"
            b"<body><p>Access to this model is restricted.</p></body>\n</html>\n")


def source_zip():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        for name in ("project-main/README.md", "project-main/setup.py"):
            z.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), "print('hello')\n")
    return file.getvalue()


def png():
    def chunk(kind_, body):
        return struct.pack(">I", len(body)) + kind_ + body + struct.pack(">I", zlib.crc32(kind_ + body))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b""))


@kind("strangers", "LFS pointer, HTML, cut downloads, archives, images: files that are not models")
def strangers(out):
    m = out.model()
    m.weight("a.weight", [64, 64])
    m.weight("b.weight", [64, 64])
    whole = st.pack(m.stored)
    g = gguf.File()
    g.add_kv("general.architecture", "str", "llama")
    g.add("a.weight", "F32", [32, 32], encode("F32", [0.5] * 1024))
    whole_gguf = g.pack()
    whole_torch = tf.save_zip({"w": Tensor.of("FloatStorage", [32, 32], encode("F32", [0.5] * 1024))})
    head = int.from_bytes(whole[:8], "little")
    files = [
        ("lfs/model.safetensors", "lfs", lfs_pointer()),
        ("lfs-gguf/model.gguf", "lfs", lfs_pointer()),
        ("html/model.safetensors", "html", html_page()),
        ("truncated/model.safetensors", "truncated", whole[:8 + head + 8192]),
        ("truncated-header/model.safetensors", "truncated", whole[:8 + head // 2]),
        ("truncated-length/model.safetensors", "truncated", whole[:5]),
        ("truncated-gguf/model.gguf", "truncated", whole_gguf[:len(whole_gguf) // 2]),
        ("truncated-gguf-header/model.gguf", "truncated", whole_gguf[:40]),
        ("truncated-torch/pytorch_model.bin", "truncated", whole_torch[:len(whole_torch) // 2]),
        ("trailing/model.safetensors", "trailing", whole + b"extra bytes"),
        ("archive/model.safetensors", "archive", source_zip()),
        ("archive-bin/pytorch_model.bin", "archive", source_zip()),
        ("gzip/model.safetensors", "gzip", gzip.compress(whole, 9, mtime=0)),
        ("gzip-bin/pytorch_model.bin", "gzip", gzip.compress(b"x" * 100, 9, mtime=0)),
        ("7z/pytorch_model.bin", "7z", b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(56)),
        ("hdf5/model.h5", "hdf5", b"\x89HDF\r\n\x1a\n" + bytes(120)),
        ("hdf5-bin/pytorch_model.bin", "hdf5", b"\x89HDF\r\n\x1a\n" + bytes(120)),
        ("empty/model.safetensors", "empty", b""),
        ("empty-gguf/model.gguf", "empty", b""),
        ("zeros/model.safetensors", "zeros", bytes(4096)),
        ("zeros-bin/pytorch_model.bin", "zeros", bytes(4096)),
        ("png/model.safetensors", "png", png()),
        ("json/model.safetensors", "json", json.dumps({"error": "Entry not found"}).encode()),
        ("text/model.gguf", "text", b"Not Found\n"),
        ("wrong-suffix/model.bin", "safetensors", whole),
        ("wrong-suffix-gguf/model.safetensors", "gguf", whole_gguf),
        ("wrong-suffix-torch/model.safetensors", "torch", whole_torch)]
    for path, _, data in files:
        out.write(path, data)
    out.text("nothing/README.md", "no weights here\n")
    listed = [{"path": f"{out.kind}/{p}", "is": what} for p, what, _ in files]
    listed.append({"path": f"{out.kind}/nothing", "is": "no-weights"})
    out.write_expect({"path": out.kind, "format": None, "strangers": listed})
