# SPDX-License-Identifier: Apache-2.0
"""Curves of real values against numpy: block floats after their definition, gathered by hand.

Also the synthetic ones: an ideal curve is what a value becomes that is alone in its block.
"""
import json
import math
import os
import struct
import subprocess
import tempfile
import unittest

import numpy as np

SCRUPLE = os.environ.get("SCRUPLE", "scruple")


def curves(*arguments):
    done = subprocess.run([SCRUPLE, "curves", "--json", *arguments], stdout=subprocess.PIPE, check=True, timeout=120)
    return json.loads(done.stdout)


def numbers(values):
    return np.array([math.nan if v is None else float(v) for v in values])


def bf16(x):
    bits = np.ascontiguousarray(x, "<f4").view("<u4").astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    return bits.astype("<u4").view("<f4").astype(float)


def bfp(x, m):
    """TTNN's block floats: 16 neighbours of a row share an exponent; x is finite and normal or 0."""
    rows, cols = x.shape
    padded = np.zeros((rows, (cols + 15) // 16 * 16), "<f4")
    padded[:, :cols] = x
    bits = padded.view("<u4").astype(np.int64).reshape(rows, -1, 16)
    exponent, sign = bits >> 23 & 255, bits >> 31
    shared = exponent.max(axis=2, keepdims=True)
    significand = np.where(exponent > 0, 1 << 23 | bits & 0x7FFFFF, 0)
    significand >>= np.minimum(shared - exponent, 32)
    shift = 24 - m
    k, rest, half = significand >> shift, significand & ((1 << shift) - 1), 1 << (shift - 1)
    k += (rest > half) | ((rest == half) & (k & 1 == 1))
    k = np.minimum(k, (1 << m) - 1)
    value = k * np.exp2(shared - 127.0 - (m - 1)) * np.where(sign == 1, -1, 1)
    return value.reshape(rows, -1)[:, :cols]


class Tensors(unittest.TestCase):
    POINTS = 40

    @classmethod
    def setUpClass(cls):
        random = np.random.default_rng(11)
        x = random.standard_normal((200, 330)) * 0.05 * np.exp(0.5 * random.standard_normal((200, 1)))
        cls.x = x.astype("<f4")
        cls.x[3, 4] = np.nan
        cls.x[150, 329] = -np.inf
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = os.path.join(cls.folder.name, "model.safetensors")
        data = cls.x.tobytes()
        header = json.dumps({"w": {"dtype": "F32", "shape": cls.x.shape, "data_offsets": [0, len(data)]}}).encode()
        with open(cls.path, "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header + data)
        cls.document = curves(cls.path, "-c", "bf16,fp0", "--points", str(cls.POINTS))
        cls.tensor = cls.document["tensors"][0]

    def gathered(self, q):
        """Every figure of a curve, from x and what the format keeps of it."""
        finite = np.isfinite(self.x)
        x, q = self.x[finite].astype(float), q[finite]
        low, high = x.min(), x.max()
        bins = np.clip(((x - low) / (high - low) * self.POINTS).astype(int), 0, self.POINTS - 1)
        d = q - x
        mean = np.full(self.POINTS, np.nan)
        for i in range(self.POINTS):
            if (bins == i).any():
                mean[i] = q[bins == i].mean()
        return {"mae": np.abs(d).mean(), "rmse": math.sqrt((d * d).mean()), "atol": np.abs(d).max(),
                "bias": d.mean(), "sqnr_db": 10 * math.log10((x * x).sum() / (d * d).sum())}, mean, bins, d

    def check(self, curve, q):
        figures, mean, bins, d = self.gathered(q)
        for key, value in figures.items():
            self.assertTrue(math.isclose(curve[key], value, rel_tol=1e-9, abs_tol=1e-9 * figures["mae"]), key)
        self.assertEqual(curve["exact"], int((d == 0).sum()))
        np.testing.assert_allclose(numbers(curve["mean"]), mean, rtol=1e-9, atol=1e-12)
        self.assertEqual(sum(curve["magnitudes"]["counts"]), int((d != 0).sum()))
        self.assertEqual(sum(curve["errors"]["counts"]), len(d))
        # The band, to a quarter of an octave of each error and half the width of a point.
        at, low, high = (numbers(v) for v in (self.tensor["x"], curve["low"], curve["high"]))
        kept = q[np.isfinite(self.x)].astype(float)
        for i in range(self.POINTS):
            here, became = d[bins == i], kept[bins == i]
            if len(here):
                self.assertGreaterEqual(low[i], became.min())
                self.assertLessEqual(high[i], became.max())
            if len(here) < 50:
                continue
            for got, share in ((low[i], 0.05), (high[i], 0.95)):
                wanted = np.quantile(here, share)
                self.assertLess(abs(got - at[i] - wanted), 0.35 * np.abs(here).max() + (at[1] - at[0]) / 2)
        tiles = numbers([v for row in curve["tiles"] for v in row])
        rows, cols = len(curve["tiles"]), len(curve["tiles"][0])
        self.assertEqual((rows, cols), (7, 11))
        finite = np.isfinite(self.x)
        x, e = np.where(finite, self.x, 0).astype(float), np.where(finite, q - np.where(finite, self.x, 0), 0)
        for r in range(rows):
            for c in range(cols):
                part = np.s_[32 * r:32 * r + 32, 32 * c:32 * c + 32]
                wanted = math.sqrt((e[part] ** 2).sum() / (x[part] ** 2).sum())
                self.assertAlmostEqual(tiles[r * cols + c] / wanted, 1, 6)

    def test_the_tensor(self):
        t = self.tensor
        finite = self.x[np.isfinite(self.x)]
        self.assertEqual((t["name"], t["values"], t["nonfinite"]), ("w", self.x.size, 2))
        self.assertEqual((t["low"], t["high"]), (float(finite.min()), float(finite.max())))
        self.assertEqual((t["tile_rows"], t["tile_columns"]), (32, 32))
        self.assertEqual(len(t["x"]), self.POINTS)

    def test_bf16_and_nothing(self):
        kept = bf16(np.where(np.isfinite(self.x), self.x, 0))
        self.check(self.tensor["curves"][0], kept)
        self.check(self.tensor["curves"][1], np.zeros(self.x.shape))

    def test_block_floats_of_finite_values(self):
        # Rows with a value that is not finite become something else; they are left out here.
        whole = np.isfinite(self.x).all(axis=1)
        x = self.x[whole]
        path = os.path.join(self.folder.name, "finite.safetensors")
        header = json.dumps({"w": {"dtype": "F32", "shape": x.shape, "data_offsets": [0, x.nbytes]}}).encode()
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header + x.tobytes())
        tensor = curves(path, "-c", "bfp8,bfp4,bfp2", "--points", str(self.POINTS))["tensors"][0]
        self.tensor, before, self.x = tensor, self.x, x
        try:
            for curve, m in zip(tensor["curves"], (7, 3, 1)):
                with self.subTest(format=curve["format"]):
                    self.check(curve, bfp(x, m))
        finally:
            self.x = before

    def test_threads_change_nothing(self):
        one, four = (curves(self.path, "-c", "bfp4,nvfp4", "-j", n) for n in ("1", "4"))
        self.assertEqual(one, four)


class Synthetic(unittest.TestCase):
    def test_ideal_is_a_value_alone(self):
        d = curves("-c", "bfp8,bfp4,bfp2", "--points", "257", "--rand-samples", "3")
        x = numbers(d["x"])
        np.testing.assert_array_equal(x, np.arange(257) / 256)
        alone = np.zeros((257, 16), "<f4")
        alone[:, 0] = x
        ideal = [c for c in d["curves"] if c["kind"] == "ideal"]
        for curve, m in zip(ideal, (7, 3, 1)):
            np.testing.assert_array_equal(numbers(curve["mean"]), bfp(alone, m)[:, 0])
            np.testing.assert_array_equal(numbers(curve["low"]), numbers(curve["high"]))

    def test_neighbours_make_small_values_worse(self):
        d = curves("-c", "bfp4", "--points", "65", "--rand-samples", "400")
        ideal, block = d["curves"]
        x, low, high = (numbers(v) for v in (d["x"], block["low"], block["high"]))
        # Above 0.5 no neighbour can have a larger exponent but in one block in ten thousands.
        np.testing.assert_array_equal(numbers(ideal["mean"])[x > 0.5], high[x > 0.5])
        self.assertGreater(block["mae"], ideal["mae"])
        # 16 normal neighbours of deviation 1/4: the exponent is that of 0.25 to 1, the step 1/16 or 1/8.
        small = (x > 0) & (x < 0.2)
        self.assertTrue((np.abs(high - x)[small] <= 1 / 8).all())
        for value in np.concatenate([low[small], high[small]]):
            self.assertEqual(value * 16 % 1, 0)

    def test_seeds(self):
        one, again, other = (curves("-c", "nvfp4", "--points", "9", "--seed", s) for s in ("1", "1", "2"))
        self.assertEqual(one, again)
        self.assertNotEqual(one["curves"][1]["mean"], other["curves"][1]["mean"])
        self.assertEqual(one["curves"][0], other["curves"][0])

    def test_legacy_is_one_bit_too_fine(self):
        d = curves("-c", "bfp4", "--points", "101", "--legacy", "--rand-samples", "4")
        old, rand = d["curves"]
        self.assertEqual((old["kind"], rand["kind"]), ("legacy_ideal", "legacy_random"))
        x, y = numbers(d["x"]), numbers(old["mean"])
        m = 3
        e = np.ceil(np.log2(x[1:] / (2 - 2.0 ** -m)))
        step = 2.0 ** (e - m)
        np.testing.assert_array_equal(y[1:], np.minimum(np.round(x[1:] / step) * step, (2 - 2.0 ** -m) * 2.0 ** e))
        # A value that is always the largest of its row: every sample gives the same.
        np.testing.assert_array_equal(numbers(rand["low"]), numbers(rand["high"]))


if __name__ == "__main__":
    unittest.main()
