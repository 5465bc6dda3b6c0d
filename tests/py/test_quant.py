# SPDX-License-Identifier: Apache-2.0
"""scruple quant against numpy: figures of block floats, folders of results, rebuilt tensors, written models.

The oracle is written here from the definition of TTNN's block floats, value by value where it can be. The first
class holds the figures that wq printed of its golden run (seed 42).
"""
import csv
import glob
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

import numpy as np

SCRUPLE = os.environ["SCRUPLE"]
SOURCE = os.environ["SOURCE"]
FIXTURES = os.environ["FIXTURES"]
FORMATS = ["bf16", "bfp8", "bfp4", "bfp2"]
BYTES = {"bfp8": 1088, "bfp4": 576, "bfp2": 320}
DTYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8", "I32": "<i4", "BF16": "<u2", "I8": "|i1"}


# ------------------------------------------------------------------------------------- oracle
def bf16(x):
    """The nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(x, "<f4").view("<u4")
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view("<f4")


def bfp(x, magnitude):
    """TTNN block floats: 16 values of a row share the largest exponent; `magnitude` bits beside the sign."""
    x = np.ascontiguousarray(x, "<f4")
    rows = x.reshape(-1, x.shape[-1]) if x.ndim > 1 else x.reshape(1, -1)
    wide = np.zeros((rows.shape[0], -(-rows.shape[1] // 16) * 16), "<f4")
    wide[:, :rows.shape[1]] = rows
    bits = wide.reshape(-1, 16).view("<u4").astype(np.int64)
    exponent = bits >> 23 & 0xFF
    shared = exponent.max(axis=1, keepdims=True)
    significand = np.where(exponent > 0, bits & 0x7FFFFF | 0x800000, 0)
    significand >>= np.minimum(shared - exponent, 32)
    shift = 24 - magnitude
    code, rest = significand >> shift, significand & (1 << shift) - 1
    half = 1 << shift - 1
    code += (rest > half) | ((rest == half) & (code & 1 == 1))
    code = np.minimum(code, (1 << magnitude) - 1)
    value = np.ldexp(code.astype(float), shared - 127 - (magnitude - 1))
    value = np.where(bits >> 31 & 1, -value, value).astype("<f4").reshape(wide.shape)
    return value[:, :rows.shape[1]].reshape(x.shape) + np.float32(0)


def rounded(x, name):
    return {"bf16": lambda: bf16(x), "bfp8": lambda: bfp(x, 7), "bfp4": lambda: bfp(x, 3), "bfp2": lambda: bfp(x, 1),
            "fp0": lambda: np.zeros_like(x)}[name]()


def figures(x, y):
    x, y = x.astype(float).ravel(), y.astype(float).ravel()
    d, a, b = y - x, x - x.mean(), y - y.mean()
    norms = np.sqrt((a * a).sum() * (b * b).sum())
    return {"pcc": (a * b).sum() / norms if norms else float(not d.any()), "mae": np.abs(d).mean(), "mse": (d * d).mean(),
            "atol": np.abs(d).max(), "bias": d.mean(), "relative_frobenius": np.linalg.norm(d) / np.linalg.norm(x)}


def as_assigned(x, tiles, formats=tuple(FORMATS)):
    """Each 32 x 32 tile in its format; -1: as it is."""
    y = x.copy()
    for f, name in enumerate(formats):
        whole = rounded(x, name)
        for r, c in np.argwhere(tiles == f):
            at = slice(32 * r, 32 * r + 32), slice(32 * c, 32 * c + 32)
            y[at] = whole[at]
    return y


# -------------------------------------------------------------------------------------- files
def write_safetensors(path, tensors):
    head, data = {}, b""
    for name, (dtype, array) in tensors.items():
        raw = array.tobytes()
        head[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    """{name: (dtype, array)}; bfloat16 as float32."""
    with open(path, "rb") as f:
        raw = f.read()
    n = struct.unpack("<Q", raw[:8])[0]
    head, out, ends = json.loads(raw[8:8 + n]), {}, [0]
    head.pop("__metadata__", None)
    for name, t in head.items():
        a, b = t["data_offsets"]
        ends.append(b)
        array = np.frombuffer(raw[8 + n + a:8 + n + b], DTYPES[t["dtype"]]).reshape(t["shape"])
        if t["dtype"] == "BF16":
            array = (array.astype("<u4") << 16).view("<f4")
        out[name] = (t["dtype"], array)
    assert max(ends) == len(raw) - 8 - n, "bytes behind the last tensor"
    return out


def run(*words, code=0):
    done = subprocess.run([SCRUPLE, "quant", *map(str, words), "-q"], capture_output=True, timeout=120, check=False)
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    return done.stdout


def document(*words):
    return json.loads(run(*words, "--json", "--no-cache"))


def results(doc, tensor=0):
    return {r["format"]: r for r in doc["tensors"][tensor]["results"]}


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="scruple-quant-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def golden(self):
        random = np.random.default_rng(42)
        self.a = (random.standard_normal((70, 100)) * 0.05).astype("<f4")
        self.b = (1 + 0.1 * random.standard_normal(50)).astype("<f4")
        write_safetensors(self.path("m.safetensors"), {"up_proj.weight": ("F32", self.a), "norm.weight": ("F32", self.b)})
        return self.path("m.safetensors")

    def matrix(self, rows=200, cols=300, seed=1):
        random = np.random.default_rng(seed)
        x = (random.standard_normal((rows, cols)) * np.exp(random.standard_normal((rows, 1))) * 0.02).astype("<f4")
        write_safetensors(self.path("x.safetensors"), {"x.weight": ("F32", x)})
        return self.path("x.safetensors"), x


# -------------------------------------------------------------------------------------- tests
class Golden(Folder):
    def test_what_wq_printed(self):
        """PCC of these sizes, MAE and ATOL are as float32 gives them; the last digit of a PCC may differ."""
        doc = document(self.golden(), "-c", "bf16,bfp8,bfp4,bfp2,fp0")
        printed = {
            "norm.weight": {"bf16": (0.99981, "1.576e-03", "3.862e-03"), "bfp8": (0.99884, "4.063e-03", "7.778e-03"),
                            "bfp4": (0.79932, "6.067e-02", "1.215e-01"), "bfp2": (0.0, "7.569e-02", "2.152e-01"),
                            "fp0": (0.0, "9.962e-01", "1.202e+00")},
            "up_proj.weight": {"bf16": (1.0, "5.654e-05", "4.855e-04"), "bfp8": (0.99998, "2.880e-04", "9.764e-04"),
                               "bfp4": (0.99357, "4.653e-03", "1.562e-02"), "bfp2": (0.88883, "1.901e-02", "9.446e-02"),
                               "fp0": (0.0, "3.992e-02", "2.195e-01")},
        }
        for i, tensor in enumerate(doc["tensors"]):
            for name, got in results(doc, i).items():
                pcc, mae, atol = printed[tensor["name"]][name]
                self.assertAlmostEqual(pcc, got["pcc"], delta=1.1e-5)
                self.assertEqual((mae, atol), (f"{got['mae']:.3e}", f"{got['atol']:.3e}"))

    def test_legacy_sizes(self):
        doc = document(self.golden(), "up_proj", "-c", "bfp4,bf16", "--threshold", "0.9", "--mix", "bfp4", "--legacy-sizes")
        got = results(doc)
        self.assertEqual(6156, round(got["mix"]["legacy_bytes"]))
        self.assertEqual(12 * 576, got["mix"]["bytes"])
        self.assertAlmostEqual(7000 * 0.50097, got["bfp4"]["legacy_bytes"], places=6)


class Figures(Folder):
    def test_against_numpy(self):
        for rows, cols in ((1, 1), (1, 50), (33, 16), (64, 64), (70, 100), (200, 300)):
            path, x = self.matrix(rows, cols, rows)
            got = results(document(path, "-c", "bf16,bfp8,bfp4,bfp2,fp0"))
            for name, row in got.items():
                for key, want in figures(x, rounded(x, name)).items():
                    with self.subTest((rows, cols), format=name, key=key):
                        self.assertAlmostEqual(want, row[key], delta=1e-9 + 1e-9 * abs(want))
            tiles = -(-rows // 32) * -(-cols // 32)
            for name, size in BYTES.items():
                self.assertEqual(tiles * size, got[name]["bytes"])

    def test_transpose(self):
        path, x = self.matrix(96, 70)
        doc = document(path, "-c", "bfp4", "--algorithm", "transpose")
        rows = doc["tensors"][0]["results"]
        self.assertEqual([("none", "bfp4"), ("transpose", "bfp4.T")], [(r["algorithm"], r["format"]) for r in rows])
        self.assertAlmostEqual(figures(x, bfp(x.T, 3).T)["mae"], rows[1]["mae"], delta=1e-12)

    def test_same_bits_for_any_number_of_threads(self):
        path, _ = self.matrix(400, 500)
        words = [path, "--all-tensors", "--threshold", "0.999", "--json", "--no-cache", "--curve"]
        self.assertEqual(run(*words, "-j", 1), run(*words, "-j", 2))

    def test_a_second_run_says_the_same(self):
        path, _ = self.matrix()
        os.environ["SCRUPLE_CACHE"] = self.path("cache")
        self.addCleanup(os.environ.pop, "SCRUPLE_CACHE")
        first, again = (json.loads(run(path, "--json")) for _ in range(2))
        self.assertLess(again["io"]["bytes_read"], first["io"]["bytes_read"])
        fresh = json.loads(run(path, "--json", "--recompute"))
        self.assertEqual(first["tensors"], again["tensors"])
        self.assertEqual(first, fresh)

    def test_sample(self):
        path, x = self.matrix(2048, 256)
        doc = document(path, "-c", "bfp4", "--sample", "100k")
        row = results(doc)["bfp4"]
        self.assertLess(row["values"], x.size)
        want = figures(x, bfp(x, 3))
        for key in ("pcc", "mae"):
            self.assertLess(abs(want[key] - row[key]), 3 * row["interval"][key])


    def test_every_figure_is_explained(self):
        path, _ = self.matrix(64, 64)
        row = results(document(path, "-c", "bfp8"))["bfp8"]

        def keys(prefix, x):
            for key, inner in x.items():
                yield from keys(f"{prefix}.{key}", inner) if isinstance(inner, dict) else [f"{prefix}.{key}"]

        about = ("algorithm", "format", "legacy_bytes", "interval", "mix")  # what was asked for
        have = set(keys("quality", {k: v for k, v in row.items() if k not in about}))
        with open(os.path.join(SOURCE, "docs", "metrics.md"), encoding="utf-8") as f:
            headings = set(re.findall(r"^### `?(quality\.[\w.]+)`?$", f.read(), re.M))
        self.assertEqual(headings, have)


class Mixes(Folder):
    def run_mix(self, *words):
        path, x = self.matrix()
        out = self.path("results")
        doc = document(path, "--results", out, *words)
        row = results(doc)["mix"]
        found = glob.glob(os.path.join(out, "x.safetensors", doc["plan"]["algorithm"], "*", "**", "*assignment.npy"), recursive=True)
        self.assertEqual(1, len(found))
        tiles = np.load(found[0])
        shutil.rmtree(out)
        self.assertEqual(np.int8, tiles.dtype)
        self.assertEqual((7, 10), tiles.shape)
        for cell in row["mix"]["cells"]:
            self.assertEqual(cell["cells"], int((tiles == FORMATS.index(cell["format"])).sum()))
        return x, row, tiles

    def check(self, x, row, tiles):
        """What is reported of a mix is what numpy finds of it."""
        for key, want in figures(x, as_assigned(x, tiles)).items():
            if row[key] is not None:
                self.assertAlmostEqual(want, row[key], delta=1e-9 + 1e-8 * abs(want))

    def test_every_algorithm(self):
        sizes = {}
        for algorithm in ("mixed-tile-threshold", "mixed-tile-greedy", "mixed-tile-random", "optimal"):
            for metric, threshold in (("pcc", "0.995"), ("mae", "0.002"), ("atol", "0.02")):
                with self.subTest(algorithm, metric=metric):
                    x, row, tiles = self.run_mix("--algorithm", algorithm, "--metric", metric, "--threshold", threshold)
                    self.check(x, row, tiles)
                    good = row[metric] >= float(threshold) if metric == "pcc" else row[metric] <= float(threshold)
                    self.assertEqual(good, row["mix"]["good"])
                    if algorithm != "mixed-tile-random":  # chance alone need not find one
                        self.assertTrue(good)
                    if good:
                        sizes[algorithm, metric] = row["bytes"]
        for (algorithm, metric), size in sizes.items():
            self.assertLessEqual(sizes["optimal", metric], size, (algorithm, metric))

    def test_seeds(self):
        words = ("--algorithm", "mixed-tile", "--threshold", "0.995")
        _, _, one = self.run_mix(*words, "--seed", 5)
        _, _, same = self.run_mix(*words, "--seed", 5)
        _, _, other = self.run_mix(*words, "--seed", 6)
        self.assertTrue((one == same).all())
        self.assertFalse((one == other).all())

    def test_budget(self):
        x, row, tiles = self.run_mix("-c", "bfp8,bfp4,bfp2", "--budget", "6bpw")
        self.check(x, row, tiles)
        self.assertLessEqual(row["bytes"], 6 * x.size / 8)
        self.assertTrue(row["mix"]["good"])
        _, more, _ = self.run_mix("-c", "bfp8,bfp4,bfp2", "--budget", "7bpw")
        self.assertLess(more["mse"], row["mse"])

    def test_model_wide(self):
        random = np.random.default_rng(3)
        write_safetensors(self.path("two.safetensors"), {
            "a.weight": ("F32", random.standard_normal((64, 128)).astype("<f4")),
            "b.weight": ("F32", (random.standard_normal((64, 128)) * 0.01).astype("<f4"))})
        doc = document(self.path("two.safetensors"), "-c", "bfp8,bfp4,bfp2", "--budget", "4bpw", "--model-wide")
        self.assertLessEqual(doc["total"]["bytes"], 64 * 128)
        self.assertEqual(doc["total"]["bytes"], sum(results(doc, i)["mix"]["bytes"] for i in range(2)))
        self.assertTrue(doc["total"]["good"])
        # one price for all: the tensor of large values gets the bits
        self.assertGreater(results(doc, 0)["mix"]["bytes"], results(doc, 1)["mix"]["bytes"])

    def test_a_threshold_of_the_file_is_for_its_metric(self):
        path, _ = self.matrix()
        with open(self.path("c.json"), "w", encoding="utf-8") as f:
            json.dump({"algorithm": "optimal", "params": {"metric": "pcc", "threshold": 0.999}}, f)
        words = (path, "--compression-config", self.path("c.json"), "--no-cache")
        run(*words, "--metric", "mae", code=2)  # 0.999 would let everything pass
        run(*words, "--metric", "mae", "--threshold", "0.002")
        run(*words, "--metric", "pcc")

    def test_a_tensor_that_no_mix_fits(self):
        random = np.random.default_rng(4)
        write_safetensors(self.path("two.safetensors"), {
            "a.weight": ("F32", random.standard_normal((64, 128)).astype("<f4")),
            "norm.weight": ("F32", random.standard_normal(50).astype("<f4"))})
        for words in (["--threshold", "0.99"], ["--budget", "6bpw", "--model-wide"]):
            doc = document(self.path("two.safetensors"), "-c", "bf16,q4_0", "--mix", "bf16,q4_0", *words)
            self.assertEqual(2, doc["counts"]["measured"])
            self.assertTrue(results(doc, 0)["mix"]["mix"]["good"])
            self.assertIsNone(doc["tensors"][0]["why"])
            self.assertEqual(["bf16", "q4_0"], [r["format"] for r in doc["tensors"][1]["results"]])
            self.assertEqual(100, results(doc, 1)["bf16"]["bytes"])
            self.assertIn("q4_0 does not fit this tensor", doc["tensors"][1]["why"])
        # nothing at all could be mixed
        out = run(self.path("two.safetensors"), "-c", "bf16", "--mix", "q4_k", code=3).decode()
        self.assertEqual(2, out.count("no mix: q4_k "), out)

    def test_frontier(self):
        path, _ = self.matrix()
        doc = document(path, "-c", "bfp8,bfp4,bfp2", "--curve")
        points = doc["tensors"][0]["curve"]
        self.assertGreater(len(points), 10)
        for a, b in zip(points, points[1:]):
            self.assertLess(a["bytes"], b["bytes"])
            self.assertGreater(b["pcc"], a["pcc"])
        rows = list(csv.DictReader(io.StringIO(run(path, "-c", "bfp8,bfp4,bfp2", "--curve", "--csv", "--no-cache").decode())))
        self.assertEqual([str(p["bytes"]) for p in points], [r["bytes"] for r in rows if r["name"]])


class ResultsFolder(Folder):
    def test_random(self):
        path, x = self.matrix()
        with open(self.path("config.json"), "w", encoding="utf-8") as f:
            json.dump({"algorithm": "mixed-tile-random", "seed": 9, "params": {"iters": 12, "threshold": 0.9}}, f)
        run(path, "--compression-config", self.path("config.json"), "--results", self.path("r"), "--no-cache")
        (top,) = glob.glob(self.path("r", "x.safetensors", "mixed-tile-random", "*"))
        self.assertRegex(os.path.basename(top), r"^\d{8}-\d{6}$")
        with open(os.path.join(top, "mixed_tile_random", "x.weight.csv"), encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f))
        self.assertEqual(["sample_id", "bf16_tiles", "bfp8_tiles", "bfp4_tiles", "bfp2_tiles", "total_gb", "pcc", "mae", "atol"],
                         list(rows[0]))
        self.assertEqual([str(i) for i in range(12)], [r["sample_id"] for r in rows])
        for r in rows:
            self.assertEqual(70, sum(int(r[f + "_tiles"]) for f in FORMATS))
        with open(os.path.join(top, "mixed_tile_random", "x.weight_assignment_mapping.json"), encoding="utf-8") as f:
            mapping = json.load(f)
        self.assertEqual((32, {f: i for i, f in enumerate(FORMATS)}, [7, 10]),
                         (mapping["tile_hw"], mapping["format_to_int"], mapping["assignment_shape"]))
        self.assertEqual({str(i): f for i, f in enumerate(FORMATS)}, mapping["int_to_format"])
        with open(os.path.join(top, "mixed_tile_random", "x.weight_assignment.npy"), "rb") as f:
            raw = f.read()
        self.assertEqual((b"\x93NUMPY\x01\x00", 118, 128 + 70), (raw[:8], struct.unpack("<H", raw[8:10])[0], len(raw)))
        used = os.path.join(top, "compression_config.used.json")
        with open(used, encoding="utf-8") as f:
            config = json.load(f)
        self.assertEqual(("mixed-tile-random", 9, "config"), (config["algorithm"], config["seed"], config["seed_source"]))
        # the configuration that was used gives the same again
        run(path, "--compression-config", used, "--results", self.path("again"), "--no-cache")
        (again,) = glob.glob(self.path("again", "x.safetensors", "mixed-tile-random", "*"))
        for name in ("mixed_tile_random/x.weight.csv", "mixed_tile_random/x.weight_assignment.npy", "results.csv"):
            with open(os.path.join(top, name), "rb") as a, open(os.path.join(again, name), "rb") as b:
                self.assertEqual(a.read(), b.read(), name)
        with open(os.path.join(top, "results.csv"), encoding="utf-8", newline="") as f:
            self.assertEqual({str(x.size)}, {r["values"] for r in csv.DictReader(f)})

    def test_runs_of_one_second(self):
        path, _ = self.matrix(32, 32)
        words = [SCRUPLE, "quant", path, "-c", "bfp8", "--results", self.path("r"), "-q", "--no-cache"]
        runs = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(6)]
        self.assertEqual([0] * 6, [r.wait() for r in runs])
        folders = glob.glob(self.path("r", "x.safetensors", "none", "*"))
        self.assertEqual(6, len(folders))
        for folder in folders:
            self.assertEqual(["compression_config.used.json", "results.csv", "table.txt"], sorted(os.listdir(folder)))
        self.assertEqual(6, len(os.listdir(self.path("r", "x.safetensors", "none"))))  # nothing hidden is left


class Reconstruct(Folder):
    def test_from_an_assignment(self):
        path, x = self.matrix()
        tiles = np.random.default_rng(8).integers(-1, 4, (7, 10)).astype(np.int8)
        np.save(self.path("assignment.npy"), tiles)
        run(path, "x.weight", "--reconstruct", self.path("assignment.npy"))
        got = np.load(self.path("assignment_recon.npy"))
        self.assertEqual((np.dtype("<f4"), x.shape), (got.dtype, got.shape))
        self.assertTrue((got == as_assigned(x, tiles)).all())
        run(path, "x.weight", "--reconstruct", self.path("assignment.npy"), "-o", self.path("out.npy"))
        with open(self.path("out.npy"), "rb") as a, open(self.path("assignment_recon.npy"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_with_a_mapping(self):
        path, x = self.matrix()
        tiles = np.random.default_rng(8).integers(0, 2, (7, 10)).astype(np.int8)
        np.save(self.path("mine.npy"), tiles)
        for name in ("mine_mapping.json", "elsewhere.json"):
            with open(self.path(name), "w", encoding="utf-8") as f:
                json.dump({"tile_hw": 32, "int_to_format": {"0": "bfp2", "1": "bfp8"}, "assignment_shape": [7, 10]}, f)
            words = [] if name.startswith("mine") else ["--assignment-mapping", self.path(name)]
            run(path, "--reconstruct", self.path("mine.npy"), *words)
            self.assertTrue((np.load(self.path("mine_recon.npy")) == as_assigned(x, tiles, ("bfp2", "bfp8"))).all())
            run(path, "--reconstruct", self.path("mine.npy"), code=2)  # it is there, and stays
            os.unlink(self.path("mine_recon.npy"))

    def test_what_does_not_fit(self):
        path, _ = self.matrix()
        for array in (np.zeros((7, 9), np.int8), np.zeros((7, 10), np.int16), np.full((7, 10), 4, np.int8), np.zeros(70, np.int8),
                      np.full((7, 10), -2, np.int8)):
            np.save(self.path("bad.npy"), array)
            run(path, "--reconstruct", self.path("bad.npy"), code=3)
        self.assertEqual(["bad.npy", "x.safetensors"], sorted(os.listdir(self.folder)))


class Write(Folder):
    def test_one_file(self):
        path, x = self.matrix()
        run(path, "-c", "bfp4", "--write", self.path("out.safetensors"), "--no-cache")
        dtype, got = read_safetensors(self.path("out.safetensors"))["x.weight"]
        self.assertEqual("F32", dtype)
        self.assertTrue((got == bfp(x, 3)).all())

    def test_a_mix_is_what_its_assignment_rebuilds(self):
        path, x = self.matrix()
        run(path, "--threshold", "0.99", "--write", self.path("out.safetensors"), "--results", self.path("r"), "--no-cache")
        (found,) = glob.glob(self.path("r", "**", "assignment.npy"), recursive=True)
        run(path, "--reconstruct", found, "-o", self.path("out.npy"))
        got = read_safetensors(self.path("out.safetensors"))["x.weight"][1]
        self.assertTrue((got == np.load(self.path("out.npy"))).all())
        self.assertTrue((got == as_assigned(x, np.load(found))).all())

    def test_types(self):
        """A type stays where it holds the values, else BF16, else F32; what is not matched stays as it is."""
        x = np.random.default_rng(2).standard_normal((64, 64)).astype("<f4")
        half = x.astype("<f2")
        short = (bf16(x).view("<u4") >> 16).astype("<u2")
        counts = np.arange(5, dtype="<i8")
        write_safetensors(self.path("m.safetensors"), {
            "a.weight": ("BF16", short), "b.weight": ("F16", half), "c.weight": ("F64", x.astype("<f8")),
            "d.bias": ("F16", half[0].copy()), "e.count": ("I64", counts)})
        run(self.path("m.safetensors"), "-c", "bfp8", "--write", self.path("bfp8"), "--no-cache")
        got = read_safetensors(self.path("bfp8", "model.safetensors"))
        self.assertEqual({"a.weight": "BF16", "b.weight": "F16", "c.weight": "F64", "d.bias": "F16", "e.count": "I64"},
                         {name: t[0] for name, t in got.items()})
        self.assertTrue((got["a.weight"][1] == bfp(bf16(x), 7)).all())
        self.assertTrue((got["b.weight"][1].astype("<f4") == bfp(half.astype("<f4"), 7)).all())
        self.assertTrue((got["c.weight"][1] == bfp(x, 7)).all())
        self.assertTrue((got["d.bias"][1] == half[0]).all() and (got["e.count"][1] == counts).all())
        run(self.path("m.safetensors"), "a.weight", "-c", "nvfp4", "--write", self.path("n.safetensors"), "--no-cache")
        self.assertEqual("F32", read_safetensors(self.path("n.safetensors"))["a.weight"][0])

    def test_a_model_that_was_quantised_becomes_plain(self):
        for kind in ("ct-fp8", "gptq", "awq", "mlx", "bnb-nf4"):
            path = os.path.join(FIXTURES, kind)
            if not os.path.isdir(path):
                continue
            with self.subTest(kind):
                out = self.path(kind)
                run(path, "-c", "bfp8", "--write", out, "--no-cache")
                listing = json.loads(subprocess.run([SCRUPLE, "tree", out, "--json"], capture_output=True, check=True).stdout)
                before = json.loads(subprocess.run([SCRUPLE, "tree", path, "--json"], capture_output=True, check=True).stdout)
                self.assertEqual([(t["name"], t["shape"]) for t in before["tensors"]],
                                 [(t["name"], t["shape"]) for t in listing["tensors"]])
                self.assertTrue({t["dtype"] for t in listing["tensors"]} <= {"BF16", "F16", "F32", "F64", "I64", "I32"})
                with open(os.path.join(out, "config.json"), encoding="utf-8") as f:
                    self.assertNotIn("quantization_config", json.load(f))

    def test_every_fixture_that_can_be_read(self):
        """Whatever the container, the names and shapes are those of the model, and ours opens it again."""
        wrote = 0
        for kind in ("llama-tiny", "llama-sharded", "gguf-llama", "moe-tiny", "torch-zip", "npz", "torch-shared"):
            path = os.path.join(FIXTURES, kind)
            if not os.path.exists(path):
                continue
            with self.subTest(kind):
                before = json.loads(subprocess.run([SCRUPLE, "tree", path, "--json"], capture_output=True, check=True).stdout)
                if any(t["parameters"] > 10**8 for t in before["tensors"]):
                    continue
                out = self.path(kind)
                run(path, "-c", "bfp8", "--write", out, "--no-cache", "--shard-size", "100k")
                check = subprocess.run([SCRUPLE, "check", out, "--json"], capture_output=True, check=False)
                self.assertNotIn("error", {f["severity"] for f in json.loads(check.stdout)["findings"]})
                after = json.loads(subprocess.run([SCRUPLE, "tree", out, "--json"], capture_output=True, check=True).stdout)
                self.assertEqual([(t["name"], t["shape"]) for t in before["tensors"]],
                                 [(t["name"], t["shape"]) for t in after["tensors"]])
                wrote += 1
        self.assertGreater(wrote, 3)

    def test_shards_have_an_index(self):
        run(os.path.join(FIXTURES, "llama-tiny"), "-c", "bfp8", "--write", self.path("m"), "--shard-size", "60k", "--no-cache")
        with open(self.path("m", "model.safetensors.index.json"), encoding="utf-8") as f:
            index = json.load(f)
        files = sorted(glob.glob(self.path("m", "*.safetensors")))
        self.assertGreater(len(files), 2)
        found = {name: os.path.basename(path) for path in files for name in read_safetensors(path)}
        self.assertEqual(found, index["weight_map"])
        self.assertTrue(os.path.exists(self.path("m", "config.json")))

    def test_nothing_is_overwritten(self):
        path, _ = self.matrix()
        with open(path, "rb") as f:
            before = f.read()
        # told before anything is measured
        self.assertEqual(b"", run(path, "-c", "bfp8", "--write", path, "--no-cache", code=2))
        self.assertEqual(b"", run(path, "-c", "bfp8", "--write", self.folder, "--no-cache", code=2))
        self.assertEqual(b"", run(path, "-c", "bfp8", "--write", self.path("no/out"), "--no-cache", code=5))
        self.assertEqual(b"", run(path, "-c", "bfp8", "--write", self.path("no/out.safetensors"), "--no-cache", code=5))
        with open(path, "rb") as f:
            self.assertEqual(before, f.read())
        self.assertEqual(["x.safetensors"], os.listdir(self.folder))

    def test_a_full_disk_leaves_nothing(self):
        path, _ = self.matrix(512, 512)
        words = [SCRUPLE, "quant", path, "-c", "bfp8", "--no-cache", "-q", "--write"]
        for target in ("out.safetensors", "out"):
            done = subprocess.run(["bash", "-c", 'ulimit -f 300; exec "$@"', "x", *words, self.path(target)], capture_output=True,
                                  timeout=60, check=False)
            self.assertEqual(5, done.returncode, done.stderr)
            self.assertIn(b"cannot be written", done.stderr)
            self.assertEqual(["x.safetensors"], os.listdir(self.folder))

    def test_an_interrupt_leaves_nothing(self):
        path = self.path("x.safetensors")
        x = np.random.default_rng(1).standard_normal((4096, 4096)).astype("<f4")
        write_safetensors(path, {"x.weight": ("F32", x)})
        words = [SCRUPLE, "quant", path, "-c", "bfp8", "--no-cache", "-q", "--write"]
        for target in ("out.safetensors", "out"):
            process = subprocess.Popen([*words, self.path(target)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(2000):
                if len(os.listdir(self.folder)) > 1 or process.poll() is not None:
                    break
                time.sleep(0.005)
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=60)
            self.assertIn(code, (0, 130))  # 0: it was faster
            if code:
                self.assertEqual(["x.safetensors"], os.listdir(self.folder))


if __name__ == "__main__":
    unittest.main()
