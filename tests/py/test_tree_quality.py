# SPDX-License-Identifier: Apache-2.0
"""scruple tree -c: what formats cost, beside the rows of the tree.

Figures come from test_quant's definition of block floats; which tensors a row stands for is found here from their
names. The first class holds the row that `we` printed of its golden run (seed 42).
"""
import csv
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np

sys.path.insert(0, os.path.join(os.environ["SOURCE"], "tests", "mockhub"))
sys.path.insert(0, os.path.join(os.environ["SOURCE"], "tests", "py"))
from mockhub import MockHub  # noqa: E402
from test_quant import Folder, figures, rounded, write_safetensors  # noqa: E402
from test_terminal import on_terminal  # noqa: E402

SCRUPLE = os.environ["SCRUPLE"]


def tree(*words, code=0):
    done = subprocess.run([SCRUPLE, "tree", *map(str, words), "-q"], capture_output=True, timeout=120, check=False)
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    return done.stdout.decode()


def document(*words):
    return json.loads(tree(*words, "--json", "--no-cache"))


def by_format(quality):
    return {f["format"]: f for f in quality["formats"]}


def cells(line):
    """A line's columns: the tree's, the range, then of each format."""
    return [re.split(r"  +", part.strip()) for part in line.split("  |  ")]


class Golden(Folder):
    def setUp(self):
        super().setUp()
        self.model = self.golden()

    def test_rows_of_we(self):
        rows = {cells(line)[0][0]: cells(line) for line in tree(self.model, "-c", "bfp8", "-c", "bfp4.T", "--no-totals",
                                                               "--no-cache").splitlines()[1:]}
        up, norm = rows["up_proj"], rows["norm"]
        self.assertEqual(up[0][1:], ["70x100", "F32", "28.0 KB", "99.3 %"])
        self.assertEqual(up[2][:3], ["bfp8", "1.0000 pcc", "9.8e-4 atol"])
        self.assertEqual(up[3][:3], ["bfp4.T", "0.9934 pcc", "1.6e-2 atol"])
        self.assertEqual(norm[2][:3], ["bfp8", "0.9988 pcc", "7.8e-3 atol"])
        self.assertEqual(norm[3][:3], ["bfp4.T", "0.7993 pcc", "1.2e-1 atol"])
        self.assertEqual(norm[1], ["0.78 ≤", "1.00 ≤ 1.20"])
        # where `we` said 0.00
        mean = float(self.a.mean(dtype=float))
        self.assertRegex(up[1][0], r"^-0\.22 ≤ {}e-4 ≤ 0\.17$".format(re.escape(f"{mean * 1e4:.1f}")))

    def test_bars_stand_in_one_column(self):
        for words in ((), ("--ascii",), ("--flat",)):
            lines = [line for line in tree(self.model, "-c", "all", "--no-totals", "--no-cache", *words).splitlines()[1:]]
            self.assertEqual(1, len({tuple(i for i, c in enumerate(line) if c == "|") for line in lines}), lines)
            self.assertEqual(5, lines[0].count("|"))
        self.assertTrue(tree(self.model, "-c", "all", "--ascii", "--no-cache").isascii())

    def test_formats(self):
        names = document(self.model, "-c", "all")["quality"]["formats"]
        self.assertEqual(names, ["bfp8", "bfp8.T", "bfp4", "bfp4.T"])
        self.assertEqual(document(self.model, "-c", "BFP4,bfp8", "--compress", "all,bfp4")["quality"]["formats"],
                         ["bfp4", "bfp8", "bfp8.T", "bfp4.T"])
        done = subprocess.run([SCRUPLE, self.model, "-c", "bfp9"], capture_output=True, check=False)
        self.assertEqual((2, b""), (done.returncode, done.stdout))
        self.assertIn(b"--format", done.stderr)

    def test_known_the_second_time(self):
        env = {**os.environ, "SCRUPLE_CACHE": self.path("cache")}

        def again(command, *words):
            done = subprocess.run([SCRUPLE, command, self.model, *words, "-c", "bfp8,bfp4", "-v"], env=env,
                                  capture_output=True, check=True)
            return re.search(rb"(\d) tensors measured, (\d) of them known", done.stderr).groups(), done.stdout

        first, one = again("tree")
        second, two = again("tree")
        self.assertEqual((first, second), ((b"2", b"0"), (b"2", b"2")))
        self.assertEqual(one, two)
        self.assertEqual(again("quant")[0], (b"2", b"2"))
        self.assertEqual(again("tree", "--recompute")[0], (b"2", b"0"))

    def test_tables_know_less_than_documents(self):
        """Figures of tables never serve a document; those of a document serve all."""
        env = {**os.environ, "SCRUPLE_CACHE": self.path("cache")}

        def known(command, *words):
            done = subprocess.run([SCRUPLE, command, self.model, *words, "-v"], env=env, capture_output=True, check=True)
            return int(re.search(rb"(\d) of them known", done.stderr).group(1)), done.stdout

        plain = known("tree", "-c", "bfp8", "--no-cache")[1]
        self.assertEqual(known("tree", "-c", "bfp8"), (0, plain))
        self.assertEqual(known("tree", "-c", "bfp8", "--csv")[0], 2)
        for command in ("tree", "quant"):
            got, text = known(command, "-c", "bfp8", "--json")
            self.assertEqual(got, 0 if command == "tree" else 2)
            tensors = json.loads(text)["tensors"]
            costs = [t["quality"]["formats"][0] if command == "tree" else t["results"][0] for t in tensors]
            for cost in costs:
                for key in ("zeroed", "max_relative", "p99_abs_error", "p999_abs_error"):
                    self.assertIsNotNone(cost[key], key)
                self.assertIsNotNone(cost["worst_row"]["relative_frobenius"])
        self.assertEqual(known("tree", "-c", "bfp8"), (2, plain))
        self.assertEqual(known("tree", "-c", "bfp8,bfp4")[0], 0)
        self.assertEqual(known("quant", "-c", "bfp4,bfp8")[0], 2)
        self.assertEqual(known("quant", "-c", "bfp4", "--json")[0], 0)

    def test_every_processor_says_the_same(self):
        """Tables of BF16 weights in all orders of adding that there are; blocks of 128 columns, and rests of them."""
        rng = np.random.default_rng(5)
        values = rng.normal(size=(331, 700)).astype(np.float32)
        values[64:96] *= 1e-14  # too small for sums in the short order
        values[5, 7:90:9] = 0
        model = self.path("levels.safetensors")
        write_safetensors(model, {"w": ("BF16", (values.view(np.uint32) >> 16).astype("<u2"))})
        words = ["tree", model, "-c", "bfp8,bfp4,bfp2,mxfp4,mxfp8_e5m2,mxint8,fp8_e4m3,fp0,nvfp4,bfp8.T,mxfp4.T", "--no-cache", "--csv"]
        said = [subprocess.run([SCRUPLE, *words, "-q"], env={**os.environ, "SCRUPLE_CPU": level}, capture_output=True, check=True).stdout
                for level in ("c", "avx2", "avx512", "bf16")]
        self.assertEqual(len(set(said)), 1)
        self.assertEqual(said[0].splitlines()[0].count(b".pcc,"), 11)

    def test_narrow_terminal(self):
        wide = on_terminal(["tree", self.model, "-c", "bfp8", "--no-totals", "--no-cache", "--color", "never", "-q",
                            "--progress", "never"], columns=200)[1]
        narrow = on_terminal(["tree", self.model, "-c", "bfp8", "--no-totals", "--no-cache", "--color", "never", "-q",
                              "--progress", "never"], columns=80)[1]
        self.assertIn("bpw", wide)
        self.assertIn("≤", wide)
        self.assertNotIn("bpw", narrow)
        self.assertIn("9.8e-4 atol", narrow)
        self.assertLessEqual(max(map(len, narrow.splitlines()[1:])), 80)

    def test_colours_by_quality(self):
        text = on_terminal(["tree", self.model, "-c", "bfp8,bfp4", "--no-cache", "-q", "--progress", "never"], columns=200)[1]
        self.assertIn("\x1b[38;5;114m1.0000\x1b[0m", text)  # good
        self.assertIn("\x1b[38;5;203m0.7993\x1b[0m", text)  # poor


class Rows(Folder):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(7)
        self.values = {}
        for layer in range(4):
            for expert in range(3):
                self.values[f"m.layers.{layer}.experts.{expert}.up.weight"] = random.standard_normal((40, 33)) * 10.0 ** -expert
            self.values[f"m.layers.{layer}.norm.weight"] = 1 + random.standard_normal(40) * 0.1 * (1 + layer)
        self.values["m.layers.9.norm.weight"] = random.standard_normal(40)
        self.values["m.head.weight"] = random.standard_normal((33, 40))
        self.values = {k: v.astype("<f4") for k, v in self.values.items()}
        self.model = self.path("m.safetensors")
        write_safetensors(self.model, {k: ("F32", v) for k, v in self.values.items()})

    def check(self, row, names):
        q = row["quality"]
        members = [self.values[n] for n in names]
        self.assertEqual((q["measured"], q["missing"], q["why"]), (len(members), 0, None), row["label"])
        self.assertEqual(q["min"], min(float(v.min()) for v in members))
        self.assertEqual(q["max"], max(float(v.max()) for v in members))
        self.assertAlmostEqual(q["mean"], float(np.concatenate([v.ravel().astype(float) for v in members]).mean()), 12)
        for name, other in (("bfp8", False), ("bfp4", False), ("bfp4.T", True)):
            turn = [np.ascontiguousarray(v.T) if other and v.ndim > 1 else v for v in members]
            got = [figures(v, rounded(v, name[:4])) for v in turn]
            f = by_format(q)[name]
            self.assertAlmostEqual(f["pcc"], min(g["pcc"] for g in got), 10)
            self.assertEqual(f["atol"], max(g["atol"] for g in got))
            tile = {"bfp8": 1088, "bfp4": 576}[name[:4]]
            # a vector is laid out in rows of 32
            size = sum((-(-v.shape[-1] // 32) * -(-v.shape[-2] // 32) if v.ndim > 1 else -(-v.size // 1024)) * tile for v in turn)
            self.assertEqual((f["tensors"], f["total_bytes"]), (len(members), size))
            self.assertAlmostEqual(f["bits_per_weight"], size * 8 / sum(v.size for v in members))

    def rows(self, *words):
        return document(self.model, "-c", "bfp8,bfp4,bfp4.T", *words)["rows"]

    def like(self, pattern):
        return [n for n in self.values if re.fullmatch(pattern, n)]

    def test_collapsed(self):
        for words in ((), ("--sort", "size")):
            rows = self.rows(*words)
            found = [(r["label"], r["depth"], r["count"]) for r in rows]
            self.assertEqual(sorted(found), sorted([
                ("m", 0, 1), ("head", 1, 1), ("layers", 1, 1), ("(0-3)", 2, 4), ("experts (0-2)", 3, 12), ("up", 4, 12),
                ("norm", 3, 4), ("9", 2, 1), ("norm", 3, 1)]))
            for row in rows:
                self.check(row, {
                    ("m", 1): self.like(".*"), ("head", 1): ["m.head.weight"], ("layers", 1): self.like(r"m\.layers.*"),
                    ("(0-3)", 4): self.like(r"m\.layers\.[0-3]\..*"), ("experts (0-2)", 12): self.like(r".*experts.*"),
                    ("up", 12): self.like(r".*experts.*"), ("norm", 4): self.like(r"m\.layers\.[0-3]\.norm.*"),
                    ("9", 1): ["m.layers.9.norm.weight"], ("norm", 1): ["m.layers.9.norm.weight"]}[row["label"], row["count"]])

    def test_closed(self):
        rows = self.rows("--depth", 3)
        for row in rows:
            if row["label"] == "(0-3)":
                self.check(row, self.like(r"m\.layers\.[0-3]\..*"))
        # a closed row shows the worst of all below
        line = next(x for x in tree(self.model, "-c", "bfp4", "--depth", 3, "--no-cache").splitlines() if "(0-3)" in x)
        worst = min(figures(self.values[n], rounded(self.values[n], "bfp4"))["pcc"] for n in self.like(r"m\.layers\.[0-3]\..*"))
        self.assertIn(f"bfp4  {worst:.4f} pcc", line)

    def test_flat_and_filtered(self):
        for row in self.rows("--flat"):
            self.check(row, [row["label"]])
        rows = self.rows("layers.1-2")
        self.assertEqual([r["label"] for r in rows], ["m", "layers (1-2)", "experts (0-2)", "up", "norm"])
        for row in rows:
            if row["label"] == "up":
                self.check(row, self.like(r"m\.layers\.[12]\.experts.*"))

    def test_tensors(self):
        for t in document(self.model, "-c", "bfp8,mxfp4")["tensors"]:
            v = self.values[t["name"]]
            self.assertEqual((t["quality"]["state"], t["quality"]["why"]), ("measured", None))
            want = figures(v, rounded(v, "bfp8"))
            got = by_format(t["quality"])["bfp8"]
            for key in ("mae", "mse", "atol", "bias", "relative_frobenius"):
                self.assertAlmostEqual(got[key], want[key], 12)

    def test_csv(self):
        rows = list(csv.DictReader(io.StringIO(tree(self.model, "-c", "bfp8,int4:group=32,affine", "--csv", "--no-cache"))))
        self.assertEqual(len(rows), len(self.values))
        for row in rows:
            v = self.values[row["name"]]
            self.assertAlmostEqual(float(row["bfp8.pcc"]), figures(v, rounded(v, "bfp8"))["pcc"], 10)
            self.assertEqual((row["quality"], float(row["min"])), ("measured", float(v.min())))
            self.assertGreater(float(row["int4:group=32,affine.pcc"]), 0.9)

    def test_several_models(self):
        docs = document(self.model, self.model, "-c", "bfp8")["models"]
        self.assertEqual(docs[0]["rows"], docs[1]["rows"])


class Kinds(Folder):
    def test_what_stands_for_what(self):
        random = np.random.default_rng(5)
        vector, ids = random.standard_normal(64).astype("<f4"), np.arange(-7, 57).astype("<i8")
        bad = random.standard_normal((32, 64)).astype("<f4")
        bad[3, 5], bad[7, 9] = np.inf, np.nan
        write_safetensors(self.path("k.safetensors"), {
            "vector": ("F32", vector), "ids": ("I64", ids), "one": ("F32", np.float32(3).reshape(())),
            "complex": ("C64", np.zeros(4, "<c8")), "empty": ("F32", np.zeros((0, 4), "<f4")),
            "odd": ("F32", random.standard_normal((4, 33)).astype("<f4")), "bad": ("F32", bad)})
        doc = document(self.path("k.safetensors"), "-c", "bfp8,bfp8.T,q4_0")
        q = {t["name"]: t["quality"] for t in doc["tensors"]}
        self.assertEqual(q["complex"], {"state": "unsupported", "why": "no format is for complex numbers", "facts": None,
                                        "formats": []})
        for name in ("vector", "ids"):  # a vector has no other axis
            one, other = by_format(q[name])["bfp8"], dict(by_format(q[name])["bfp8.T"], format="bfp8")
            self.assertEqual(one, other)
        self.assertAlmostEqual(by_format(q["ids"])["bfp8"]["pcc"],
                               figures(ids.astype("f4"), rounded(ids.astype("f4"), "bfp8"))["pcc"], 10)
        self.assertEqual(by_format(q["one"])["bfp8"]["atol"], 0)
        self.assertIn("whole blocks", by_format(q["odd"])["q4_0"]["why"])
        self.assertIsNone(by_format(q["odd"])["q4_0"]["pcc"])
        self.assertIsNone(by_format(q["odd"])["bfp8"]["why"])
        self.assertEqual(q["bad"]["facts"]["nonfinite"], 2)
        self.assertGreater(by_format(q["bad"])["bfp8"]["pcc"], 0.9)
        text = tree(self.path("k.safetensors"), "-c", "bfp8,q4_0", "--no-cache", "--no-totals")
        line = {cells(x)[0][0]: cells(x) for x in text.splitlines()[1:]}
        self.assertEqual(line["complex"][1:], [["-"], ["bfp8", "-", "-"], ["q4_0", "-", "-"]])
        self.assertEqual(line["odd"][3], ["q4_0", "-", "-"])

    def test_scales_are_applied_and_no_rows(self):
        random = np.random.default_rng(6)
        codes = random.integers(0x20, 0x60, (128, 256)).astype("u1")
        scales = np.array([[0.5, 0.0078125]], "<f4")
        write_safetensors(self.path("f.safetensors"), {
            "q.weight": ("F8_E4M3", codes), "q.weight_scale_inv": ("F32", scales)})
        with open(self.path("config.json"), "w", encoding="utf-8") as f:
            json.dump({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, f)
        doc = document(self.folder, "-c", "bfp4,bfp8")
        (t,), (row,) = doc["tensors"], [r for r in doc["rows"] if r["shape"]]
        value = np.ldexp(8.0 + (codes & 7), (codes >> 3).astype(int) - 10) * np.repeat(scales[0], 128)
        self.assertEqual(t["quality"]["facts"]["max"], value.max())
        want = figures(value.astype("<f4"), rounded(value.astype("<f4"), "bfp4"))
        for f in (by_format(t["quality"])["bfp4"], by_format(row["quality"])["bfp4"]):
            self.assertAlmostEqual(f["pcc"], want["pcc"], 9)
            self.assertEqual(f["atol"], want["atol"])
        self.assertEqual(row["quality"]["measured"], 1)

    def test_sample(self):
        random = np.random.default_rng(8)
        x = (random.standard_normal((4096, 512)) * 0.02).astype("<f4")
        write_safetensors(self.path("s.safetensors"), {"x.weight": ("F32", x)})
        (t,) = document(self.path("s.safetensors"), "-c", "bfp4", "--sample", "100K")["tensors"]
        f = by_format(t["quality"])["bfp4"]
        self.assertTrue(90000 < t["quality"]["facts"]["sampled"] < x.size // 2)
        want = figures(x, rounded(x, "bfp4"))["pcc"]
        self.assertLess(abs(f["pcc"] - want), 3 * f["interval"]["pcc"])
        text = tree(self.path("s.safetensors"), "-c", "bfp4", "--sample", "100K", "--no-totals")
        self.assertRegex(text, r"bfp4  0\.99\d\d±0\.000\d pcc  ≥\d\.\de-\d atol")
        text = tree(self.path("s.safetensors"), "-c", "bfp4", "--sample", "100K", "--no-totals", "--ascii")
        self.assertRegex(text, r"bfp4  0\.99\d\d\+-0\.000\d pcc  >=\d\.\de-\d atol")


def shard(names, rows=1024, columns=1024):
    """A safetensors file of F16 tensors, 2 MiB each."""
    header, at = {}, 0
    for name in names:
        header[name] = {"dtype": "F16", "shape": [rows, columns], "data_offsets": [at, at + rows * columns * 2]}
        at += rows * columns * 2
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    raw = struct.pack("<Q", len(text)) + text
    return {"size": len(raw) + at, "head": raw, "fill": "zero"}


class Hub(unittest.TestCase):
    NAMES = {"model-00001-of-00003.safetensors": [f"m.{i}.{kind}.weight" for i in range(3) for kind in ("up", "down")],
             "model-00002-of-00003.safetensors": ["z.up.weight"], "model-00003-of-00003.safetensors": ["large.weight"]}
    FILES = {"model.safetensors.index.json": {"json": {"weight_map": {n: f for f, names in NAMES.items() for n in names}}},
             **{f: shard(names, 16384 if f.endswith("3-of-00003.safetensors") else 1024) for f, names in NAMES.items()}}

    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.addCleanup(self.tmp.cleanup)
        self.hub = MockHub(config={"repos": {"org/m": {"files": self.FILES}}})
        self.hub.start()
        self.addCleanup(self.hub.stop)

    def sent(self, *words):
        before = self.hub.sent("cdn")
        done = subprocess.run([SCRUPLE, "tree", "org/m", *words, "--json", "-q"], env=self.hub.env(self.tmp.name),
                              capture_output=True, check=True, timeout=120)
        return self.hub.sent("cdn") - before, json.loads(done.stdout)

    def test_only_what_matches_is_read(self):
        mega = 1 << 20
        heads, _ = self.sent()
        one, doc = self.sent("m.1.down", "-c", "bfp8,bfp4")
        self.assertEqual([t["name"] for t in doc["tensors"]], ["m.1.down.weight"])
        self.assertEqual(doc["tensors"][0]["quality"]["state"], "measured")
        self.assertTrue(2 * mega - (64 << 10) <= one <= 2 * mega + heads + (512 << 10), one)
        again, twice = self.sent("m.1.down", "-c", "bfp8,bfp4")
        self.assertLess(again, 1 << 16)
        self.assertEqual(twice["tensors"], doc["tensors"])

    def test_a_sample_reads_a_part(self):
        self.sent()  # headers
        some, doc = self.sent("large", "-c", "bfp8", "--sample", "512K")
        facts = doc["tensors"][0]["quality"]["facts"]
        self.assertTrue(512 << 10 <= facts["sampled"] <= 1 << 20, facts)
        self.assertTrue(2 * facts["sampled"] <= some + (1 << 18) <= 4 * facts["sampled"], (some, facts))  # of 32 MiB

    def test_what_cannot_be_fetched(self):
        self.sent()  # headers
        self.hub.fault("status", match="model-00002", where="cdn", status=404)
        done = subprocess.run([SCRUPLE, "tree", "org/m", "z", "m.0", "-c", "bfp8", "--json", "-q"],
                              env=self.hub.env(self.tmp.name), capture_output=True, check=False, timeout=120)
        quality = {t["name"]: t["quality"] for t in json.loads(done.stdout)["tensors"]}
        self.assertEqual(done.returncode, 4)
        self.assertEqual((quality["z.up.weight"]["state"], quality["z.up.weight"]["formats"]), ("unreadable", []))
        self.assertIn("model-00002", quality["z.up.weight"]["why"])
        self.assertEqual(quality["m.0.up.weight"]["state"], "measured")

    def test_an_interruption_prints_what_there_is(self):
        self.sent()  # headers
        self.hub.fault("stall", match="model-00002", where="cdn")
        process = subprocess.Popen([SCRUPLE, "tree", "org/m", "m", "z", "-c", "bfp8", "--no-totals", "-j", "1"],
                                   env=self.hub.env(self.tmp.name), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.assertTrue(self.hub.wait(lambda: self.hub.sent("cdn") > 12 << 20 and self.hub.log("cdn", fault="stall")))
        time.sleep(2)  # for what has come to be measured
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn(b"interrupted", err)
        rows = {cells(x)[0][0]: cells(x) for x in out.decode().splitlines()[1:]}
        self.assertEqual(rows["down"][2][1], "1.0000 pcc")
        self.assertEqual(rows["z.up" if "z.up" in rows else "up"][-1][:1], ["bfp8"])
        self.assertIn(["bfp8", "-", "-"], [r[-1] for r in map(cells, out.decode().splitlines()[1:])])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
