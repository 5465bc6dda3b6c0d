# SPDX-License-Identifier: Apache-2.0
"""Recipes (clip, hold out, quantise to a grid of a block's own, restore) against numpy, bit for bit; what they cost; what
a quantised model says, against the model written with the quantised values."""
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import forward_reference as ref  # noqa: E402

SCRUPLE = os.environ["SCRUPLE"]
NF = {4: [-1, -.6961928009986877, -.5250730514526367, -.39491748809814453, -.28444138169288635, -.18477343022823334,
          -.09105003625154495, 0, .07958029955625534, .16093020141124725, .24611230194568634, .33791524171829224,
          .44070982933044434, .5626170039176941, .7229568362236023, 1],
      3: [-1, -.5350227355957031, -.2469314038753510, 0, .1833375245332718, .3819939494132996, .6229856610298157, 1]}


def run(*args):
    r = subprocess.run([SCRUPLE, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if r.returncode:
        raise AssertionError(r.stderr.decode())
    return r.stdout


def read_safetensors(path):
    with open(path, "rb") as f:
        raw = f.read()
    n = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name == "__metadata__":
            continue
        a, b = t["data_offsets"]
        some = raw[8 + n + a:8 + n + b]
        if t["dtype"] == "BF16":
            v = (np.frombuffer(some, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            v = np.frombuffer(some, {"F32": "<f4", "F16": "<f2"}[t["dtype"]]).astype(np.float32)
        out[name] = v.reshape(t["shape"])
    return out


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, v in tensors.items():
        raw = v.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


# ------------------------------------------------------------------------------------- the oracle
def blocks(shape, r, c):
    """Index arrays of each block of a matrix."""
    at = np.arange(r * c).reshape(r, c)
    if shape == "tensor":
        return [at.ravel()]
    if shape == "row":
        return list(at)
    if shape == "col":
        return list(at.T)
    if shape.startswith("flat:"):
        n = int(shape[5:])
        return [at.ravel()[i:i + n] for i in range(0, r * c, n)]
    h, w = map(int, shape.split("x"))
    return [at[i:i + h, j:j + w].ravel() for i in range(0, r, h) for j in range(0, c, w)]


def in_order(v):
    """Their sum, one after the other."""
    return float(np.add.accumulate(v)[-1])


def limit(how, x):
    """Above which |x| is an outlier, by the definition; x: those that count."""
    kind, _, at = how.partition(":")
    size, at = np.sort(np.abs(x.astype(np.float64))), float(at or 0)
    if kind in ("none", "mse") or (kind != "abs" and not len(size)):
        return np.inf
    if kind == "abs":
        return at
    if kind == "share":
        k = math.floor(at * len(size))
        k = min(k, len(size) - 1)
        return size[len(size) - 1 - k] if k else np.inf
    if kind == "std":
        s = np.abs(x.astype(np.float64))
        mean = in_order(s) / len(s)
        return mean + at * (math.sqrt(in_order((s - mean) ** 2) / (len(s) - 1)) if len(s) > 1 else 0)
    q = [float(np.percentile(size, p)) for p in (25, 75)]
    return q[1] + at * (q[1] - q[0])


def hold(how, x, held):
    kind, _, at = how.partition(":")
    free = np.isfinite(x) & ~held
    if kind == "none":
        return held
    if kind == "share":
        k = math.floor(float(at) * free.sum())
        order = np.argsort(np.where(free, -np.abs(x.astype(np.float64)), np.inf), kind="stable")
        out = held.copy()
        out[order[:k]] = True
        return out
    return held | (free & (np.abs(x.astype(np.float64)) > limit(how, x[free])))


def levels(x, bits, kind, cut):
    """x (finite, none held) at the nearest level of its own grid."""
    v = np.clip(x.astype(np.float64), -cut, cut)
    if not len(v):
        return x
    lo, hi, top = v.min(), v.max(), 2 ** bits - 1
    if lo == hi:
        return v.astype(np.float32)
    if kind == "sym":
        s = (2 ** (bits - 1) - 1) / max(abs(lo), abs(hi))
        y = np.clip(np.rint(v * s), -2 ** (bits - 1), 2 ** (bits - 1) - 1) / s
    elif kind == "nf":
        t = 2 * (v - lo) / (hi - lo) - 1
        poles = np.array(NF[bits])
        y = (poles[np.abs(t[:, None] - poles).argmin(1)] + 1) / 2 * (hi - lo) + lo
    elif kind == "shift":
        s = (2 ** bits - .01) / (hi - lo)
        y = (np.clip(np.rint((v - lo) * s - .49), 0, top) + .49) / s + lo
    else:
        s = top / (hi - lo)
        y = np.clip(np.rint((v - lo) * s), 0, top) / s + lo
    return y.astype(np.float32)


def quantise(w, bits, block="row", kind="", clip="none", out="none", restore=1.0, listed=()):
    """One matrix; also how many were cut, held, and how many bits it takes."""
    x = w.ravel().astype(np.float32)
    held = np.zeros(x.size, bool)
    held[list(listed)] = True
    parts = blocks(block, *w.shape)
    if out.startswith("tensor-"):
        held = hold(out[7:], x, held)
    else:
        for b in parts:
            held[b] = hold(out, x[b], held[b])
    whole = limit(clip[7:], x[np.isfinite(x) & ~held]) if clip.startswith("tensor-") else None
    y, cut, size = x.copy(), 0, 0
    for b in parts:
        take = b[np.isfinite(x[b]) & ~held[b]]
        t = limit(clip, x[take]) if whole is None else whole
        if clip == "mse" and len(take):
            best, v = None, x[take].astype(np.float64)
            peak = max(abs(v.min()), abs(v.max()))
            for percent in range(100, 29, -1) if v.min() < v.max() else ():
                c = peak * percent / 100 if percent < 100 else peak
                d = in_order((levels(x[take], bits, kind, c).astype(np.float64) - v) ** 2)
                if best is None or d < best:
                    best, t = d, c
        y[take] = levels(x[take], bits, kind, t)
        cut += int((np.abs(x[take].astype(np.float64)) > t).sum())
        size += bits * len(b) + (32 if kind == "sym" else 64)
    y[held] = (x[held].astype(np.float64) * restore).astype(np.float32)
    return y.reshape(w.shape), cut, int(held.sum()), size + 64 * int(held.sum())


CASES = [("rtn4", dict(bits=4)), ("rtn1", dict(bits=1)), ("rtn8:block=tensor", dict(bits=8, block="tensor")),
         ("rtn3:block=col", dict(bits=3, block="col")), ("rtn4:block=16x16", dict(bits=4, block="16x16")),
         ("rtn2:block=5x9", dict(bits=2, block="5x9")), ("rtn4:block=1000x1000", dict(bits=4, block="1000x1000")),
         ("rtn5:block=flat:100", dict(bits=5, block="flat:100")), ("rtn4:sym", dict(bits=4, kind="sym")),
         ("rtn2:sym,block=flat:7", dict(bits=2, kind="sym", block="flat:7")),
         ("rtn4:nf,block=8x32", dict(bits=4, kind="nf", block="8x32")), ("rtn3:nf", dict(bits=3, kind="nf")),
         ("rtn4:shift,block=16x16", dict(bits=4, kind="shift", block="16x16")),
         ("rtn4:clip=abs:0.11", dict(bits=4, clip="abs:0.11")),
         ("rtn4:clip=share:0.05,block=16x16", dict(bits=4, clip="share:0.05", block="16x16")),
         ("rtn4:clip=tensor-share:0.01", dict(bits=4, clip="tensor-share:0.01")),
         ("rtn4:clip=std:2,block=16x16", dict(bits=4, clip="std:2", block="16x16")),
         ("rtn4:clip=tensor-std:3", dict(bits=4, clip="tensor-std:3")),
         ("rtn4:clip=iqr:1.5,block=flat:64", dict(bits=4, clip="iqr:1.5", block="flat:64")),
         ("rtn4:clip=tensor-iqr:2", dict(bits=4, clip="tensor-iqr:2")),
         ("rtn3:clip=mse,block=16x16", dict(bits=3, clip="mse", block="16x16")),
         ("rtn3:clip=mse,sym", dict(bits=3, clip="mse", kind="sym")),
         ("rtn4:hold=share:0.02,block=16x16", dict(bits=4, out="share:0.02", block="16x16")),
         ("rtn4:hold=tensor-share:0.003", dict(bits=4, out="tensor-share:0.003")),
         ("rtn4:hold=abs:0.2,block=tensor", dict(bits=4, out="abs:0.2", block="tensor")),
         ("rtn4:hold=tensor-std:4,clip=std:2", dict(bits=4, out="tensor-std:4", clip="std:2")),
         ("rtn4:hold=iqr:3,restore=1.5,block=col", dict(bits=4, out="iqr:3", restore=1.5, block="col"))]


class Recipes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp()
        rng = np.random.default_rng(4)
        plain = (rng.normal(size=(70, 100)) * .05).astype(np.float32)
        loud = plain.copy()
        loud[3, 7], loud[11, 40], loud[69, 99] = -1.9, .8, .7
        coarse = ref.to_bf16(np.round(loud * 64) / 64).astype(np.float32)    # many equals
        odd = plain[:33, :17].copy()
        odd[2], odd[:, 5] = .125, 0                                           # constant rows and columns
        odd[4, 4], odd[5, 6], odd[5, 7] = np.nan, np.inf, -np.inf
        cls.tensors = {"plain.weight": plain, "loud.weight": loud, "coarse.weight": coarse, "odd.weight": odd,
                       "three.weight": np.stack([plain[:20, :30], loud[:20, :30], odd[:20, :17].repeat(2, 1)[:, :30]]),
                       "vector.weight": loud[3], "one.weight": loud[3:4, 7:8]}
        cls.path = os.path.join(cls.dir, "m.safetensors")
        write_safetensors(cls.path, cls.tensors)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def expected(self, **how):
        out = {}
        for name, w in self.tensors.items():
            flat = w.reshape(-1, *w.shape[-2:]) if w.ndim > 1 else w.reshape(1, 1, -1)
            parts = [quantise(m, **how) for m in flat]
            out[name] = (np.stack([p[0] for p in parts]).reshape(w.shape), *(sum(p[k] for p in parts) for k in (1, 2, 3)))
        return out

    def same(self, got, want, what):
        bad = ~((got.view(np.uint32) == want.view(np.uint32)) | (np.isnan(got) & np.isnan(want)) | ((got == 0) & (want == 0)))
        self.assertEqual(int(bad.sum()), 0, (what, np.argwhere(bad)[:3], got[bad][:3], want[bad][:3]))

    def test_values(self):
        for k, (name, how) in enumerate(CASES):
            out = os.path.join(self.dir, f"{k}.safetensors")
            run("quant", self.path, "-c", name, "-q", "--no-cache", "--write", out)
            want = self.expected(**how)
            got = read_safetensors(out)
            self.assertEqual(sorted(got), sorted(want))
            for t in want:
                self.same(got[t], want[t][0], (name, t))

    def test_figures(self):
        d = json.loads(run("quant", self.path, "-q", "--no-cache", "--json", "-c", ",".join(c[0] for c in CASES)))
        rows = {t["name"]: t["results"] for t in d["tensors"]}
        for k, (name, how) in enumerate(CASES):
            for t, (y, cut, _, size) in self.expected(**how).items():
                r = rows[t][k]
                self.assertEqual(r["format"].lower(), name)
                x = self.tensors[t].astype(np.float64).ravel()
                y = y.astype(np.float64).ravel()[np.isfinite(x)]
                x = x[np.isfinite(x)]
                e = y - x
                self.assertEqual(r["bytes"], -(-size // 8), (name, t))
                self.assertEqual(r["saturated"], cut, (name, t))
                self.assertEqual(r["atol"], np.abs(e).max())
                self.assertAlmostEqual(r["mae"], np.abs(e).mean(), delta=1e-12)
                self.assertAlmostEqual(r["mse"], (e * e).mean(), delta=1e-13)
                if (e * e).sum() > 0 and len(x) > 1:
                    self.assertAlmostEqual(r["sqnr_db"], 10 * np.log10((x * x).sum() / (e * e).sum()), delta=1e-9)
                    self.assertAlmostEqual(r["pcc"], np.corrcoef(x, y)[0, 1], delta=1e-9)

    def test_threads_and_store(self):
        """The same for any number of threads, and from the store."""
        names = ",".join(c[0] for c in CASES)
        env = dict(os.environ, SCRUPLE_CACHE=os.path.join(self.dir, "cache"))
        all = [subprocess.run([SCRUPLE, "quant", self.path, "-q", "--json", "-c", names, *more], env=env, check=True,
                              stdout=subprocess.PIPE).stdout for more in (("--no-cache", "-j", "1"),
                                                                         ("--no-cache", "-j", "4"), (), ())]
        results = [[t["results"] for t in json.loads(a)["tensors"]] for a in all]
        for r in results[1:]:
            self.assertEqual([[{**x, "seconds": 0} for x in t] for t in r],
                             [[{**x, "seconds": 0} for x in t] for t in results[0]])

    def test_held_by_name(self):
        """Weights of a list are left out of the grid and come back as they were."""
        out = os.path.join(self.dir, "held.safetensors")
        run("quant", self.path, "loud", "-c", "rtn4:block=tensor", "--hold", "loud.weight[3,7]", "-q", "--no-cache",
            "--write", out)
        w = self.tensors["loud.weight"]
        want = quantise(w, 4, block="tensor", listed=[307])[0]
        got = read_safetensors(out)["loud.weight"]
        self.same(got, want, "held")
        self.assertEqual(got[3, 7], w[3, 7])
        found = os.path.join(self.dir, "found.json")
        with open(found, "w") as f:
            json.dump({"weights": [{"tensor": "loud.weight", "stored_row": 3, "stored_column": 7}]}, f)
        d = [json.loads(run("quant", self.path, "loud", "-c", "rtn4:block=tensor", "-q", "--no-cache", "--json", *more))
             for more in ((), ("--hold", "@" + found), ("--hold", "loud.weight[3,7]"))]
        mse = [x["tensors"][0]["results"][0]["mse"] for x in d]
        self.assertEqual(mse[1], mse[2])
        self.assertLess(mse[1] * 3, mse[0])      # one scalar inflates the range of a block
        both = json.loads(run("quant", self.path, "loud", "-c", "rtn4:block=tensor,rtn4:block=tensor,bare", "-q",
                              "--no-cache", "--json", "--hold", "loud.weight[3,7]"))["tensors"][0]["results"]
        self.assertEqual([r["mse"] for r in both], [mse[1], mse[0]])

    def test_refusals(self):
        for words, says in (("rtn9", "is no recipe"), ("rtn4:block=0x3", "no setting"), ("rtn1:sym", "one bit"),
                            ("rtn5:nf", "3 or 4 bits"), ("rtn4:clip=share:1", "no setting"),
                            ("rtn4:hold=mse", "no setting"), ("rtn4:clip=abs:-1", "no setting"),
                            ("rtn4:" + "clip=tensor-share:0.0000000000000000000000000000000000000000000000001", "at most")):
            r = subprocess.run([SCRUPLE, "quant", self.path, "-c", words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(r.returncode, 2, words)
            self.assertIn(says, r.stderr.decode(), words)


class Memory(unittest.TestCase):
    """A matrix for which there is no room as a whole: in rows, where blocks allow it, else refused with what is needed.
    All recipes: tests/unit/test_recipe_rows.c."""

    def test_in_rows_or_with_more_memory(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.safetensors")
            w = np.random.default_rng(3).standard_normal((2050, 2000)).astype(np.float32)
            w[7, 9] = 60
            write_safetensors(path, {"w.weight": w})
            files, figures = [], []
            for memory in ("64M", "2G"):
                out = os.path.join(folder, memory + ".safetensors")
                words = ("quant", path, "-c", "rtn4:block=96x2000", "-q", "--no-cache", "--memory", memory)
                figures.append({**json.loads(run(*words, "--json"))["tensors"][0]["results"][0], "seconds": 0})
                run(*words, "--write", out)
                files.append(read_safetensors(out)["w.weight"])
            self.assertEqual(figures[0], figures[1])
            self.assertGreater(figures[0]["mse"], 0)
            np.testing.assert_array_equal(files[0], files[1])
            words = (SCRUPLE, "quant", path, "-c", "rtn4:block=tensor", "-q", "--no-cache", "--json", "--memory")
            r = subprocess.run([*words, "64M"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertNotEqual(r.returncode, 0)
            why = json.loads(r.stdout)["tensors"][0]["why"]
            m = re.search(r"takes \d+ MiB while it is quantised, because .* over all of it: --memory (\d+)M would do", why)
            self.assertTrue(m, why)
            d = json.loads(run(*words[1:], m[1] + "M"))
            self.assertEqual([t["why"] for t in d["tensors"]], [None])


IDS = [int(v) for v in np.random.default_rng(9).integers(0, 150, 61)]


class Evaluated(unittest.TestCase):
    """`eval --quantize`: the bits of a run of the model with quantised weights in its file."""

    def setUp(self):
        self.dir = tempfile.mkdtemp()

    def tearDown(self):
        shutil.rmtree(self.dir)

    def quantised(self, tensors, **how):
        out = {}
        for name, v in tensors.items():
            inside = ".layers." in name or name.startswith("h.") or ".h." in name
            router = name.endswith("mlp.gate.weight") or name.endswith("block_sparse_moe.gate.weight")
            out[name] = quantise(v, **how)[0] if inside and v.ndim == 2 and not router else v
        return out

    def evaluate(self, folder, *more):
        return json.loads(run("eval", folder, "--ids", ",".join(map(str, IDS)), "-q", "--json", "--window", 20, *more))

    def check(self, name, formats):
        c = {**ref.CONFIGS[name], "vocab_size": 150}
        tensors = {n: v.astype(np.float32) for n, v in ref.make(c, 12).items()}
        base = ref.write_folder(os.path.join(self.dir, name), c, tensors)
        d = self.evaluate(base, "--quantize", ",".join(formats), "--quantize", "bfp8,fp32")
        rows = {r["format"]: r for r in d["quantized"]}
        self.assertEqual(rows["as stored"]["nll"], d["nll"])
        self.assertLess(rows["fp32"]["kl"], 1e-6)   # log p of the model is kept as floats
        self.assertAlmostEqual(rows["fp32"]["nll"], d["nll"], delta=1e-11)
        logits = self.logits(base)
        for f, how in formats.items():
            other = ref.write_folder(os.path.join(self.dir, name + "q"), c, self.quantised(tensors, **how))
            self.assertAlmostEqual(rows[f]["nll"], self.evaluate(other)["nll"], delta=1e-11)
            self.compare(rows[f], logits, self.logits(other))
            shutil.rmtree(other)

    def logits(self, folder):
        """Of each window of 20 by the reference, in double."""
        with open(os.path.join(folder, "config.json")) as f:
            c = json.load(f)
        t = {}
        for file in os.listdir(folder):
            if file.endswith(".safetensors"):
                t.update(read_safetensors(os.path.join(folder, file)))
        return [ref.Reference(c, t).run(IDS[i:i + 20])[:-1] for i in (0, 20, 40)]

    def compare(self, row, base, other):
        kl, same, moved, all, n = 0, 0, 0, 0, 0
        for p, q in zip(base, other):
            p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
            lp = p - p.max(1, keepdims=True)
            lp -= np.log(np.exp(lp).sum(1, keepdims=True))
            lq = q - q.max(1, keepdims=True)
            lq -= np.log(np.exp(lq).sum(1, keepdims=True))
            kl += (np.exp(lp) * (lp - lq)).sum()
            same += (p.argmax(1) == q.argmax(1)).sum()
            moved, all, n = moved + ((p - q) ** 2).sum(), all + (p ** 2).sum(), n + len(p)
        self.assertAlmostEqual(row["kl"], kl / n, delta=2e-4 * max(kl / n, 1e-3))
        self.assertAlmostEqual(row["change"], math.sqrt(moved / all), delta=2e-4)
        self.assertAlmostEqual(row["agree"], same / n, delta=.02)

    def test_dense(self):
        self.check("llama3", {"rtn4": dict(bits=4), "rtn3:block=16x16,hold=share:0.01": dict(bits=3, block="16x16",
                                                                                             out="share:0.01"),
                              "rtn4:clip=std:3,block=tensor": dict(bits=4, clip="std:3", block="tensor")})

    def test_transposed(self):
        self.check("gpt2", {"rtn4": dict(bits=4), "rtn4:block=col": dict(bits=4, block="col")})

    def test_experts(self):
        self.check("mixtral", {"rtn4:block=flat:32": dict(bits=4, block="flat:32")})

    def test_threads_and_windows(self):
        c = {**ref.CONFIGS["llama3"], "vocab_size": 150}
        base = ref.write_folder(os.path.join(self.dir, "m"), c, ref.make(c, 12))
        all = [self.evaluate(base, "--quantize", "rtn4,q8_0,bfp4", "-j", j, *more)
               for j, more in ((1, ()), (3, ()), (2, ("--memory", "80M")))]
        for d in all[1:]:
            self.assertEqual(d["quantized"], all[0]["quantized"])


if __name__ == "__main__":
    unittest.main()
