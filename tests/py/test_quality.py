# SPDX-License-Identifier: Apache-2.0
"""What formats cost tensors, against numpy: integers, levels, microscaling and Q8_0 of tensors in several types,
the quantiles of errors, the worst lines, and values that are not finite.

Formats are written here from their definitions, with the steps that are stored and in floats
where they are; values are floats.
"""
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

import numpy as np

SCRUPLE = os.environ["SCRUPLE"]
NF4 = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
                -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
                0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
                0.7229568362236023, 1.0], "<f4")


# ----------------------------------------------------------------------------------- formats
def integers(x, bits, axis, scale="<f4"):
    """Symmetric, one step, stored as `scale`, for what `axis` (None: everything) goes over."""
    most = 2 ** (bits - 1) - 1
    step = (np.abs(x).max(axis=axis, keepdims=True) / np.float32(most)).astype(scale).astype(float)
    t = x.astype("<f4") / np.where(step > 0, step, 1).astype("<f4")
    return np.clip(np.rint(t), -most, most) * step


def by_groups(x, size, f):
    return f(x.reshape(-1, size)).reshape(x.shape)


def nf4(x):
    most = np.abs(x).max(axis=1, keepdims=True)
    t = x / np.where(most > 0, most, 1)
    return NF4[np.abs(t[..., None] - NF4.astype(float)).argmin(-1)].astype(float) * most


def mxfp4(x):
    levels = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    scale = np.exp2(np.floor(np.log2(np.abs(x).max(axis=1, keepdims=True))) - 2)
    t = np.abs(x) / scale
    up = np.searchsorted(levels, np.minimum(t, 6))
    low, high = levels[np.maximum(up - 1, 0)], levels[up]
    tie = np.where((up - 1) % 2 == 0, low, high)
    near = np.where(t - low < high - t, low, np.where(t - low > high - t, high, tie))
    return np.copysign(np.where(t >= 6, 6, near), x) * scale


def q8_0(x):
    d = np.abs(x).max(axis=1, keepdims=True).astype("<f4") / np.float32(127)
    t = x.astype("<f4") * (1 / d)
    return np.copysign(np.floor(np.abs(t) + np.float32(0.5)), t) * d.astype("<f2").astype(float)


FORMATS = {
    "int8": lambda x: integers(x, 8, 1),
    "int4:tensor": lambda x: integers(x, 4, None),
    "int4:group=32": lambda x: by_groups(x, 32, lambda g: integers(g, 4, 1, "<f2")),
    "int8.T": lambda x: integers(x, 8, 0),
    "nf4": lambda x: by_groups(x, 64, nf4),
    "mxfp4": lambda x: by_groups(x, 32, mxfp4),
    "q8_0": lambda x: by_groups(x, 32, q8_0),
    "fp16": lambda x: x.astype("<f2").astype(float),
    "fp0": np.zeros_like,
}


# -------------------------------------------------------------------------------------- model
def stored(x, dtype):
    """Bytes and what they hold."""
    if dtype == "BF16":
        bits = (x.astype("<f4").view("<u4") >> 16).astype("<u2")
        return bits.tobytes(), (bits.astype("<u4") << 16).view("<f4").astype(float)
    raw = x.astype({"F32": "<f4", "F16": "<f2"}[dtype])
    return raw.tobytes(), raw.astype(float)


class Figures(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="scruple-quality-")
        self.addCleanup(shutil.rmtree, self.folder)

    def measure(self, x, dtype, formats):
        raw, values = stored(x, dtype)
        head = json.dumps({"w.weight": {"dtype": dtype, "shape": list(x.shape), "data_offsets": [0, len(raw)]}}).encode()
        path = os.path.join(self.folder, "m.safetensors")
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", len(head)) + head + raw)
        words = [SCRUPLE, "quant", path, "--json", "--no-cache", "-q"]
        for name in formats:
            words += ["-c", name]
        done = subprocess.run(words, capture_output=True, timeout=120, check=False)
        self.assertEqual(0, done.returncode, done.stderr.decode())
        rows = json.loads(done.stdout)["tensors"][0]["results"]
        self.assertEqual(len(formats), len(rows))
        return values, dict(zip(formats, rows))

    def near(self, want, got, share):
        self.assertLessEqual(abs(got - want), share * abs(want) + 1e-300, (want, got))

    def check(self, x, y, row, exact):
        d = np.abs(y - x)
        share = 1e-9 if exact else 1e-6
        self.near(d.mean(), row["mae"], share)
        self.near((d * d).mean(), row["mse"], share)
        self.near(d.max(), row["atol"], 1e-7)
        self.assertAlmostEqual(np.corrcoef(x.ravel(), y.ravel())[0, 1] if y.any() else 0, row["pcc"], delta=1e-6)
        if d.any():
            self.assertAlmostEqual(10 * np.log10((x * x).sum() / (d * d).sum()), row["sqnr_db"], delta=1e-5)
        for q, key in ((0.99, "p99_abs_error"), (0.999, "p999_abs_error")):
            self.near(np.quantile(d, q), row[key], 1e-6 if exact else 2e-3)
        for axis, key in ((1, "worst_row"), (0, "worst_column")):
            shares = np.sqrt((d * d).sum(axis) / np.maximum((x * x).sum(axis), 1e-300))
            self.near(shares.max(), row[key]["relative_frobenius"], 1e-5)

    def test_types_and_formats(self):
        rng = np.random.default_rng(5)
        for dtype, shape in (("BF16", (96, 256)), ("F16", (64, 320)), ("F32", (70, 192)), ("BF16", (1000, 128))):
            x = rng.standard_normal(shape) * np.exp(rng.standard_normal((shape[0], 1))) * 0.05
            values, got = self.measure(x, dtype, list(FORMATS))
            for name, of in FORMATS.items():
                with self.subTest(dtype=dtype, shape=shape, format=name):
                    self.check(values, of(values).astype("<f4").astype(float), got[name], x.size <= 65536)

    def test_not_finite(self):
        rng = np.random.default_rng(6)
        for shape in ((64, 64), (800, 128)):
            x = rng.standard_normal(shape)
            x[3, 5], x[10, 40], x[11, 2] = np.nan, np.inf, -np.inf
            values, got = self.measure(x, "F32", ["fp16", "int8"])
            kept = np.isfinite(values)
            finite = np.where(kept, values, 0)
            for name in got:
                y = FORMATS[name](finite).astype("<f4").astype(float)
                with self.subTest(shape=shape, format=name):
                    self.assertEqual(3, got[name]["nonfinite"])
                    self.near(np.abs(y - finite)[kept].mean(), got[name]["mae"], 1e-6)
                    self.near(np.quantile(np.abs(y - finite)[kept], 0.99), got[name]["p99_abs_error"], 2e-3)


if __name__ == "__main__":
    unittest.main()
