#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write tests/data/torch with the real PyTorch and NumPy.

    make_torch.py [DIR]        write the files and their expect files
    make_torch.py --check DIR  load what tools/mkmodel wrote and compare

Needs torch (written with 1.13 from Debian 12) and numpy.  The files are tiny
and committed; the expect files are computed from the objects in memory.
"""
import glob
import json
import os
import re
import sys
from collections import OrderedDict

import numpy as np
import torch

LABELS = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL", torch.complex64: "C64", torch.complex128: "C128", torch.qint8: "QI8",
    torch.quint8: "QU8", torch.qint32: "QI32", torch.quint4x2: "QU4", torch.quint2x4: "QU2"}

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data", "torch")


# ---------------------------------------------------------------- what a file should show

def natural(name):
    """Sort key: runs of digits compare as numbers."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"([0-9]+)", name)]


def flatten(obj, path=""):
    """(name, tensor) of every tensor in a nest of dicts and lists."""
    if isinstance(obj, torch.Tensor):
        yield path, obj
    elif isinstance(obj, dict):
        for key, value in obj.items():
            yield from flatten(value, f"{path}.{key}" if path else str(key))
    elif isinstance(obj, (list, tuple)):
        for i, value in enumerate(obj):
            yield from flatten(value, f"{path}.{i}" if path else str(i))


def span(t):
    """First and past-the-last byte of the storage that a strided tensor touches."""
    first = t.storage_offset() * t.element_size()
    if t.numel() == 0:
        return first, first
    last = sum((n - 1) * s for n, s in zip(t.shape, t.stride()))
    return first, first + (last + 1) * t.element_size()


def fresh(covered, t):
    """Bytes nobody covered yet; None when that takes more than a whole or nothing."""
    if t.dtype in (torch.quint4x2, torch.quint2x4):
        return t.storage().nbytes()
    first, last = span(t)
    spans = covered.setdefault(t.storage().data_ptr(), [])
    overlap = [(max(a, first), min(b, last)) for a, b in spans if a < last and first < b]
    spans.append((first, last))
    distinct = 1
    for n, s in zip(t.shape, t.stride()):
        distinct *= n if s else 1
    if not overlap:
        return last - first if distinct * t.element_size() == last - first else None
    at = first
    for a, b in sorted(overlap):
        if a > at:
            return None
        at = max(at, b)
    return 0 if at >= last else None


def values(t):
    """All values of a quantised tensor, exactly; None: it is none."""
    if not t.is_quantized:
        return None
    return [float(v).hex() for v in t.dequantize().flatten()]


def parts(name, t):
    """What belongs to a quantised tensor with parameters a channel."""
    if not t.is_quantized or t.qscheme() == torch.per_tensor_affine:
        return {}
    return {f"{name}.scales": t.q_per_channel_scales(),
            f"{name}.zero_points": t.q_per_channel_zero_points()}


def head(t):
    """The first four values as strings that float() reads back."""
    if t.is_quantized or t.is_complex():
        return None
    return [repr(float(v)) for v in t.detach().flatten()[:4].double()]


def rows(obj):
    """One row for each strided tensor, in natural order, with stride and offset."""
    out, covered = [], {}
    for name, t in sorted(flatten(obj), key=lambda item: natural(item[0])):
        if t.layout != torch.strided:
            continue
        more, exact = parts(name, t), values(t)
        sizes = [fresh(covered, part) for part in (t, *more.values())]
        row = {"name": name, "dtype": LABELS[t.dtype], "shape": list(t.shape),
               "parameters": t.numel(), "bytes": None if None in sizes else sum(sizes),
               "stored": [name, *more] if more else [],
               "stride": list(t.stride()), "storage_offset": t.storage_offset()}
        if exact is not None:
            row["values"] = exact
        first = head(t)
        if first is not None:
            row["head"] = first
        out.append(row)
    return out


def write_expect(path, fmt, table, **more):
    size = [r["bytes"] for r in table]
    doc = {"path": os.path.basename(path), "format": fmt,
           "files": [{"path": os.path.basename(path), "bytes": os.path.getsize(path)}],
           "stored_tensors": sum(max(1, len(r["stored"])) for r in table), "parameters": sum(r["parameters"] for r in table),
           "tensor_bytes": None if None in size else sum(size), **more}
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in doc.items()]
    body = ",\n  ".join(json.dumps(r) for r in table)
    lines.append(' "tensors": [\n  ' + body + "\n ]" if table else ' "tensors": []')
    with open(path + ".expect.json", "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(lines) + "\n}\n")


# ---------------------------------------------------------------- what is saved

class Net(torch.nn.Module):
    """Embedding tied to the output layer, a buffer, a norm."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(10, 4)
        self.fc = torch.nn.Linear(4, 6)
        self.norm = torch.nn.BatchNorm1d(6)
        self.back = torch.nn.Linear(6, 4)
        self.out = torch.nn.Linear(4, 10, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x):
        return self.out(self.back(self.norm(self.fc(self.embed(x)))))


def checkpoint():
    """A nest with a state dict, an optimizer that has stepped, and plain values."""
    torch.manual_seed(1)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    net(torch.arange(8) % 10).sum().backward()
    optimizer.step()
    base = torch.randn(6, 8)
    special = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-45, 3.4e38, 1.0]
    return {
        "epoch": 3, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict(),
        "views": {"base": base, "transposed": base.t(), "row": base[2], "column": base[:, 3],
                  "slice": base[1:3, 2:5], "expanded": torch.ones(1).expand(5, 7),
                  "permuted": torch.randn(2, 3, 4).permute(2, 0, 1)},
        "types": OrderedDict([
            ("bf16", torch.randn(3, 4).bfloat16()), ("f16", torch.randn(3, 4).half()),
            ("f64", torch.randn(3, 4).double()), ("c64", torch.randn(3, dtype=torch.complex64)),
            ("c128", torch.randn(2, dtype=torch.complex128)), ("bool", torch.tensor([True, False])),
            ("i8", torch.tensor([-128, 127], dtype=torch.int8)),
            ("u8", torch.tensor([0, 255], dtype=torch.uint8)),
            ("i16", torch.tensor([-2 ** 15], dtype=torch.int16)),
            ("i32", torch.tensor([-2 ** 31], dtype=torch.int32)),
            ("i64", torch.tensor([-2 ** 53])), ("special", torch.tensor(special)),
            ("scalar", torch.tensor(2.5)), ("empty", torch.zeros(0, 4)),
            ("parameter", torch.nn.Parameter(torch.randn(2, 2)))]),
        "list": [torch.zeros(2), {"inner": torch.ones(3)}], "tuple": (torch.full((1,), 7.0), "text"),
        "note": "caf\u00e9", "big": 2 ** 80, "none": None, "flag": True, "rate": 1e-4}


def exotic():
    """Quantised and sparse tensors, and the parts of the sparse ones."""
    torch.manual_seed(2)
    x = torch.randn(4, 6)
    scales, zeros = torch.full((4,), 0.05, dtype=torch.float64), torch.zeros(4, dtype=torch.int64)
    obj = OrderedDict([
        ("per_tensor.qint8", torch.quantize_per_tensor(x, 0.05, 0, torch.qint8)),
        ("per_tensor.quint8", torch.quantize_per_tensor(x, 0.05, 128, torch.quint8)),
        ("per_tensor.qint32", torch.quantize_per_tensor(x, 0.001, 0, torch.qint32)),
        ("per_channel.qint8", torch.quantize_per_channel(x, scales, zeros, 0, torch.qint8)),
        ("sparse.coo", torch.sparse_coo_tensor([[0, 1, 3], [2, 0, 5]], [1.0, 2.0, 3.0], (4, 6))),
        ("sparse.csr", torch.eye(4).to_sparse_csr()),
        ("dense", x)])
    coo, csr = obj["sparse.coo"].coalesce(), obj["sparse.csr"]
    parts = [("sparse.coo", "coo", coo, {"indices": coo.indices(), "values": coo.values()}),
             ("sparse.csr", "csr", csr, {"crow_indices": csr.crow_indices(),
                                         "col_indices": csr.col_indices(), "values": csr.values()})]
    sparse = [{"name": name, "layout": layout, "dtype": LABELS[t.dtype], "shape": list(t.shape),
               "parts": {k: {"dtype": LABELS[v.dtype], "shape": list(v.shape)} for k, v in p.items()}}
              for name, layout, t, p in parts]
    return obj, sparse


def small():
    torch.manual_seed(3)
    w = torch.randn(4, 3)
    return OrderedDict([("a.weight", w), ("a.bias", torch.randn(4)), ("b.weight", w.t()),
                        ("h", torch.randn(2, 2).half())])


def quint4():
    """Four-bit quantised tensors; their storages hold two elements in a byte."""
    torch.manual_seed(6)
    x, scales = torch.randn(3, 5), torch.full((3,), 0.2)
    zeros = torch.zeros(3)
    return OrderedDict([("q4", torch.quantize_per_channel(x, scales, zeros, 0, torch.quint4x2)),
                        ("plain", x)])


def quantised():
    """Every kind of quantised tensor that torch can make values of."""
    rng = np.random.default_rng(7)

    def integers(shape, kind, low, high):
        return torch.from_numpy(rng.integers(low, high, shape, endpoint=True).astype(kind))

    def scales(n, kind=torch.float64):
        return torch.from_numpy(rng.random(n) * 0.1).to(kind)

    i8, u8 = integers((6, 7), "i1", -128, 127), integers((6, 7), "u1", 0, 255)
    i32 = integers((6, 7), "i4", -2 ** 30, 2 ** 30)
    conv = integers((3, 4, 5, 2), "i1", -128, 127)
    tensor, channel = torch._make_per_tensor_quantized_tensor, torch._make_per_channel_quantized_tensor
    pair = channel(i8, scales(7), integers(7, "i8", -128, 127), 1)
    whole = tensor(i8, 0.0123456789, -77)
    real = torch.from_numpy(rng.random((5, 7)).astype("f4"))
    float_zeros = torch.from_numpy((rng.random(5) * 3).astype("f4"))
    return OrderedDict([
        ("tensor.qint8", whole), ("tensor.transposed", whole.t()), ("tensor.slice", whole[1:4, 2:5]),
        ("tensor.column", whole[:, 3]), ("tensor.quint8", tensor(u8, 1 / 3, 255)),
        ("tensor.qint32", tensor(i32, 1e-7, 12345)), ("tensor.scalar", tensor(i8[2, 3], 0.1, 3)),
        ("tensor.nan", tensor(i8[0], float("nan"), 0)), ("tensor.huge", tensor(i8[1], 1e300, 1)),
        ("tensor.empty", tensor(i8[:0], 0.5, 0)),
        ("tensor.quint4x2", torch.quantize_per_tensor(real, 0.0876, 2, torch.quint4x2)),
        ("tensor.quint2x4", torch.quantize_per_tensor(real, 0.31, 1, torch.quint2x4)),
        ("channel.first", channel(i8, scales(6), integers(6, "i8", -128, 127), 0)),
        ("channel.last", pair), ("channel.last_slice", pair[2:5]),
        ("channel.quint8", channel(u8, scales(6), integers(6, "i8", 0, 255), 0)),
        ("channel.qint32", channel(i32, scales(7), integers(7, "i8", -2 ** 31, 2 ** 31 - 1), 1)),
        ("channel.middle", channel(conv, scales(4), integers(4, "i8", -100, 100), 1)),
        ("channel.channels_last", channel(conv.contiguous(memory_format=torch.channels_last), scales(3),
                                          integers(3, "i8", -100, 100), 0)),
        ("channel.float", torch.quantize_per_channel(real, scales(5, torch.float32), float_zeros, 0,
                                                     torch.quint8)),
        ("channel.quint4x2", torch.quantize_per_channel(real, scales(5, torch.float32), float_zeros, 0,
                                                        torch.quint4x2)),
        ("channel.quint2x4", torch.quantize_per_channel(real, scales(5, torch.float32), float_zeros, 0,
                                                        torch.quint2x4))])


class Script(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        return self.fc(x) * self.scale


# ---------------------------------------------------------------- the files

def save(folder, name, obj, more=None, **options):
    path = os.path.join(folder, name)
    torch.save(obj, path, **options)
    write_expect(path, "torch", rows(obj), **(more or {}))


def make_torch(folder):
    obj = checkpoint()
    save(folder, "zip.pt", obj)
    save(folder, "legacy.pt", obj, _use_new_zipfile_serialization=False)
    for protocol in (2, 3, 4, 5):
        save(folder, f"zip-p{protocol}.pt", small(), pickle_protocol=protocol)
        save(folder, f"legacy-p{protocol}.pt", small(), pickle_protocol=protocol,
             _use_new_zipfile_serialization=False)
    mixed, sparse = exotic()
    save(folder, "exotic.pt", mixed, {"sparse": sparse})
    save(folder, "exotic-legacy.pt", mixed, {"sparse": sparse}, _use_new_zipfile_serialization=False)
    save(folder, "quint4x2.pt", quint4())
    save(folder, "quantised.pt", quantised())
    save(folder, "quantised-legacy.pt", quantised(), _use_new_zipfile_serialization=False)
    module(folder)
    script(folder)


def module(folder):
    """A whole pickled module: the rows are those of its state dict."""
    torch.manual_seed(4)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    path = os.path.join(folder, "module.pt")
    torch.save(net, path)
    write_expect(path, "torch", rows(net.state_dict()), names="state_dict")


def script(folder):
    torch.manual_seed(5)
    net = Script()
    path = os.path.join(folder, "script.pt")
    torch.jit.script(net).save(path)
    write_expect(path, "torch", rows(net.state_dict()), names="state_dict")


def make_numpy(folder):
    rng = np.random.default_rng(1)
    labels = {"f4": "F32", "f8": "F64", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
              "u1": "U8", "u2": "U16", "b1": "BOOL", "c8": "C64"}
    arrays = OrderedDict()
    for code in labels:
        arrays["all." + code] = (rng.standard_normal((3, 4)) * 50).astype(code)
    arrays["fortran"] = np.asfortranarray(rng.standard_normal((3, 5)).astype("f4"))
    arrays["scalar"] = np.float32(2.5)
    arrays["empty"] = np.zeros((0, 3), "f4")

    def row(name, a):
        a = np.asarray(a)
        known = labels.get(a.dtype.str[1:])
        return {"name": name, "dtype": known, "shape": list(a.shape), "parameters": int(a.size),
                "bytes": int(a.nbytes), "stored": [], "descr": str(a.dtype.descr[0][1])
                if a.dtype.fields is None else a.dtype.descr, "fortran": bool(
                    a.flags.f_contiguous and not a.flags.c_contiguous)}

    for name, write in (("numpy.npz", np.savez), ("numpy-compressed.npz", np.savez_compressed)):
        path = os.path.join(folder, name)
        write(path, **arrays)
        write_expect(path, "npz", [row(n, a) for n, a in arrays.items()])
    odd = np.array([(1, 2.5), (3, 4.5)], dtype=[("id", "<i4"), ("x", "<f8")])
    singles = {"numpy-c.npy": arrays["all.f4"], "numpy-fortran.npy": arrays["fortran"],
               "numpy-big.npy": arrays["all.f4"].astype(">f4"),
               "numpy-string.npy": np.array(["a", "bcd"]),
               "numpy-struct.npy": odd, "numpy-scalar.npy": np.asarray(arrays["scalar"])}
    for name, a in singles.items():
        path = os.path.join(folder, name)
        np.save(path, a)
        write_expect(path, "npy", [row(name[:-4], a)])


# ---------------------------------------------------------------- the check of tools/mkmodel

def check(folder):
    """Load with the real torch what mkmodel wrote without it."""
    bad = 0
    for path in sorted(glob.glob(os.path.join(folder, "torch*.expect.json"))):
        with open(path, encoding="utf-8") as f:
            doc = json.load(f)
        kind = doc["path"].split("/")[0]
        if "dangerous" in doc or not doc["tensors"]:
            continue
        got = {}
        try:
            for file in doc["files"]:
                loaded = torch.load(os.path.join(folder, kind, file["path"]))
                if isinstance(loaded, torch.nn.Module):
                    loaded = loaded.state_dict()
                got.update(flatten(loaded))
        except Exception as error:  # a newer builder, a class that does not exist, TorchScript
            print(f"{kind}: not loadable with torch {torch.__version__}: {str(error)[:90]}")
            continue
        want = {t["name"]: (t["dtype"], t["shape"]) for t in doc["tensors"]}
        if "bigendian" in kind:  # torch 1.13 does not look at byteorder
            got = {n: t for n, t in got.items() if not t.is_floating_point()}
            want = {n: w for n, w in want.items() if n in got}
        same = want == {n: (LABELS[t.dtype], list(t.shape)) for n, t in got.items()}
        finite = all(torch.isfinite(t).all() for t in got.values()
                     if t.is_floating_point() and t.numel() < 1e7)
        print(f"{kind}: {len(got)} tensors, {'same' if same and finite else 'DIFFERENT'}")
        bad += not (same and finite)
    return 1 if bad else 0


def main(argv):
    if argv[:1] == ["--check"]:
        return check(argv[1])
    folder = argv[0] if argv else DATA
    os.makedirs(folder, exist_ok=True)
    make_torch(folder)
    make_numpy(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
