# SPDX-License-Identifier: Apache-2.0
"""Where a kind is written, and the record of what was meant.

The expect file is an independent oracle: it is computed from what the maker
meant to write and never read back from the files.
"""
import json
import os
import re
from dataclasses import dataclass, field

from .values import Source, nbytes, product


@dataclass
class Stored:
    """One tensor as a file stores it.  `data` None means `size` sparse bytes."""
    name: str
    dtype: str
    shape: list
    data: bytes = b""
    size: int = -1

    def __post_init__(self):
        self.shape = list(self.shape)
        if self.size < 0:
            self.size = len(self.data)


@dataclass
class Logical:
    """One row a reader should show."""
    name: str
    dtype: str
    shape: list
    bytes: int
    stored: list = field(default_factory=list)
    head: list = None  # the first values of the logical tensor, when the maker knows them

    def row(self):
        count = None if self.shape is None else product(self.shape)
        row = {"name": self.name, "dtype": self.dtype, "shape": self.shape,
               "parameters": count, "bytes": self.bytes, "stored": self.stored}
        if self.head is not None:
            row["head"] = self.head
        return row


class Model:
    """The tensors of a model: what is stored, and what it means."""

    def __init__(self, source, kind):
        self.source = source
        self.kind = kind
        self.stored = []
        self.folds = []

    # -- stored tensors

    def add(self, name, dtype, shape, data):
        """Store a tensor whose bytes are given."""
        want = nbytes(dtype, shape)
        if len(data) != want:
            raise ValueError(f"{self.kind}: {name}: {len(data)} bytes, want {want}")
        self.stored.append(Stored(name, dtype, shape, bytes(data)))

    def label(self, name):
        return f"{self.kind}/{name}"

    def weight(self, name, shape, dtype="BF16", sigma=None):
        """A matrix of Gaussian weights; sigma differs a little by name."""
        if sigma is None:
            sigma = (0.014, 0.018, 0.02, 0.025, 0.032)[len(name) % 5]
        self.add(name, dtype, shape,
                 self.source.normal(self.label(name), dtype, product(shape), 0.0, sigma))

    def norm(self, name, size, dtype="BF16"):
        """A norm gain: near one."""
        self.add(name, dtype, [size], self.source.normal(
            self.label(name), dtype, size, 1.0, 0.06, outliers=False))

    def bias(self, name, size, dtype="BF16"):
        """A bias: near zero."""
        self.add(name, dtype, [size], self.source.normal(
            self.label(name), dtype, size, 0.0, 0.01, outliers=False))

    # -- meaning

    def fold(self, name, dtype, shape, stored, head=None):
        """Declare that `stored` tensors together are one logical tensor.

        `head` holds its first dequantised values in row-major order."""
        self.folds.append((name, dtype, None if shape is None else list(shape), list(stored), head))

    def logical(self):
        """The rows a reader should show: folds first, then what is left."""
        size = {t.name: t.size for t in self.stored}
        used, rows = set(), []
        for name, dtype, shape, parts, head in self.folds:
            rows.append(Logical(name, dtype, shape, sum(size[p] for p in parts), parts, head))
            used.update(parts)
        rows += [Logical(t.name, t.dtype, t.shape, t.size)
                 for t in self.stored if t.name not in used]
        return rows


class Output:
    """The folder of one kind and its expect file."""

    def __init__(self, root, kind, seed=0, tensors=None):
        self.root = root
        self.kind = kind
        self.dir = os.path.join(root, kind)
        self.source = Source(seed)
        self.tensors = tensors
        self.files = []
        os.makedirs(self.dir, exist_ok=True)

    def model(self):
        return Model(self.source, self.kind)

    def path(self, rel):
        path = os.path.join(self.dir, rel)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def write(self, rel, data, weights=False):
        """Write one file; `weights` lists it in the expect file."""
        with open(self.path(rel), "wb") as f:
            f.write(data)
        if weights:
            self.listed(rel, len(data))

    def listed(self, rel, size):
        self.files.append({"path": rel, "bytes": size})

    def json(self, rel, value):
        self.write(rel, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())

    def text(self, rel, value):
        self.write(rel, value.encode())

    def expect(self, fmt, rows, stored=None, file=None, **more):
        """Write KIND.expect.json.  `rows` are Logical; `file` when one is meant."""
        rows = [r.row() for r in rows]
        doc = {"path": self.kind + ("/" + file if file else ""), "format": fmt,
               "files": sorted(self.files, key=lambda f: f["path"]),
               "stored_tensors": len(rows) if stored is None else stored,
               "parameters": total(rows, "parameters"),
               "tensor_bytes": total(rows, "bytes")}
        doc.update(more)
        doc["tensors"] = rows
        self.write_expect(doc)

    def write_expect(self, doc):
        with open(os.path.join(self.root, self.kind + ".expect.json"), "w",
                  encoding="utf-8") as f:
            f.write(dump_expect(doc))


def total(rows, key):
    """Sum of a column, or None when any row is unknown."""
    values = [r[key] for r in rows]
    return None if None in values else sum(values)


def dump_expect(doc):
    """JSON with one tensor a line."""
    lists = {k: doc[k] for k in ("tensors", "files") if k in doc}
    out = []
    for key, value in doc.items():
        if key in lists and value:
            body = ",\n  ".join(json.dumps(v, ensure_ascii=True) for v in value)
            out.append(f" {json.dumps(key)}: [\n  {body}\n ]")
        else:
            out.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=True)}")
    return "{\n" + ",\n".join(out) + "\n}\n"


def natural(name):
    """Sort key: runs of digits compare as numbers."""
    return [(int(p), "") if p.isdigit() and p.isascii() else (-1, p)
            for p in re.split(r"([0-9]+)", name)]
