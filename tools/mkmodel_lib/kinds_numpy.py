# SPDX-License-Identifier: Apache-2.0
"""Kinds of NumPy files, written without NumPy."""
import io
import zipfile

from .output import Logical
from .registry import kind
from .values import encode, product

#: dtype label -> NumPy descriptor
DESCR = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
         "I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
         "C64": "<c8"}


def npy(descr, shape, data, fortran=False, version=1):
    """An .npy file: magic, version, padded header, data."""
    body = f"({shape[0]},)" if len(shape) == 1 else "(" + ", ".join(map(str, shape)) + ")"
    text = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {body}, }}".encode()
    width = 2 if version == 1 else 4
    text += b" " * (-(8 + width + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(width, "little") + text + data


def array(out, name, dtype, shape):
    """(row, data) of one array with Gaussian or counting values."""
    count = product(shape)
    label = f"{out.kind}/{name}"
    if dtype[0] == "F":
        data = out.source.normal(label, dtype, count)
    elif dtype == "C64":
        data = encode(dtype, [complex(a, a / 2) for a in out.source.gauss(label, count)])
    else:
        data = encode(dtype, [i % 2 if dtype == "BOOL" else i % 100 for i in range(count)])
    return Logical(name, dtype, list(shape), len(data)), data


def save_npy(out, dtype, shape, **options):
    row, data = array(out, "weights", dtype, shape)
    out.write("weights.npy", npy(DESCR[dtype], shape, data, **options), weights=True)
    out.expect("npy", [row], file="weights.npy")


kind("npy-f32", "a C-order .npy, F32")(lambda out: save_npy(out, "F32", [24, 32]))
kind("npy-fortran", "a Fortran-order .npy, F64, header version 2")(
    lambda out: save_npy(out, "F64", [24, 32], fortran=True, version=2))
kind("npy-scalar", "a rank-0 .npy, F16")(lambda out: save_npy(out, "F16", []))


def save_npz(out, method):
    rows, file = [], io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as z:
        for dtype, descr in DESCR.items():
            row, data = array(out, f"layer.{dtype.lower()}", dtype, [16, 24])
            add(z, row.name, npy(descr, row.shape, data), method)
            rows.append(row)
        row, data = array(out, "vector", "F32", [7])
        add(z, "vector", npy("<f4", [7], data), method)
        rows.append(row)
    out.write("weights.npz", file.getvalue(), weights=True)
    out.expect("npz", rows, file="weights.npz")


def add(z, name, data, method):
    """One member with a fixed time, so that the file never changes."""
    info = zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0))
    info.compress_type = method
    info.create_system = 3
    z.writestr(info, data)


kind("npz", "an .npz with stored members, every plain dtype")(
    lambda out: save_npz(out, zipfile.ZIP_STORED))
kind("npz-deflated", "an .npz as numpy.savez_compressed writes it")(
    lambda out: save_npz(out, zipfile.ZIP_DEFLATED))
