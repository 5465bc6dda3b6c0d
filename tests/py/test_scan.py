# SPDX-License-Identifier: Apache-2.0
"""scruple scan from end to end: files of three containers, with numpy in double as the oracle.

Also what a scan promises beside its figures: the same bytes for any number of threads and any
processor, resuming after kill -9, reading nothing twice, several processes at once, a cache that
cannot be used, models that are broken, empty or all NaN, and the forms of other programs.
"""
import csv
import io
import json
import os
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from collections import OrderedDict

try:
    import numpy as np
except ImportError:  # the oracle; tools/deps.sh installs it
    raise unittest.SkipTest("python3-numpy is not installed")

SCRUPLE = os.environ["SCRUPLE"]
SOURCE = os.environ["SOURCE"]
FIXTURES = os.environ["FIXTURES"]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(SOURCE, "tools"))
from mkmodel_lib import gguf, torchfile  # noqa: E402

TYPES = {"float32": "F32", "float16": "F16", "float64": "F64", "uint16": "BF16", "int64": "I64", "bool": "BOOL"}


# ---------------------------------------------------------------------------------- making files
def bf16(x):
    """Rounded to nearest even, as bit patterns."""
    u = np.ascontiguousarray(x, "f4").view("u4")
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype("u2")


def value(x):
    """What stored elements mean, in double."""
    return (x.astype("u4") << 16).view("f4").astype("f8") if x.dtype == np.uint16 else x.astype("f8")


def save(path, tensors):
    header, data, at = {}, [], 0
    for name, x in tensors.items():
        x = np.asarray(x)
        raw = x.tobytes()
        header[name] = {"dtype": TYPES[x.dtype.name], "shape": list(x.shape), "data_offsets": [at, at + len(raw)]}
        data.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def healthy(rng, layers=6, width=64, wrap=bf16):
    t = {}
    for layer in range(layers):
        p = f"model.layers.{layer}."
        for name, shape in (("self_attn.q_proj", (width, width)), ("self_attn.o_proj", (width, width)),
                            ("mlp.up_proj", (3 * width, width)), ("mlp.down_proj", (width, 3 * width))):
            t[p + name + ".weight"] = wrap(rng.normal(0, .02, shape))
        t[p + "input_layernorm.weight"] = wrap(1 + rng.normal(0, .02, width))
    t["model.embed_tokens.weight"] = wrap(rng.normal(0, .02, (500, width)))
    return t


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.at = lambda name: os.path.join(self.folder.name, name)
        self.environment = dict(os.environ, SCRUPLE_CACHE=self.at("cache"))
        self.rng = np.random.default_rng(20260704)

    def tearDown(self):
        self.folder.cleanup()

    def run_it(self, *words, exits=(0,), **environment):
        done = subprocess.run([SCRUPLE, "scan", *words], capture_output=True, check=False, timeout=250,
                              env=dict(self.environment, **environment))
        self.assertIn(done.returncode, exits, done.stderr.decode())
        return done

    def peak(self, *command, exits=(0,)):
        """KiB of memory that are of no file, at most, while a command runs: what /proc says, looked at often."""
        most = 0
        with subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL) as child:
            while not os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                with open(f"/proc/{child.pid}/status", encoding="ascii") as status:
                    most = max([most] + [int(line.split()[1]) for line in status if line.startswith("RssAnon:")])
                time.sleep(.002)
        self.assertIn(child.returncode, exits)
        self.assertGreater(most, 0)
        return most

    def scan(self, *words, exits=(0,), **environment):
        return json.loads(self.run_it(*words, "--json", exits=exits, **environment).stdout)


# ---------------------------------------------------------------------------------- the oracle
class Figures(Case):
    def near(self, got, want, tolerance, what):
        if np.isnan(want):
            self.assertIsNone(got, what)
        elif np.isinf(want):
            self.assertEqual(got, "Infinity" if want > 0 else "-Infinity", what)
        else:
            self.assertIsNotNone(got, what)
            self.assertLessEqual(abs(got - want), tolerance * max(1e-300, abs(want)), f"{what}: {got}, not {want}")

    def rounded(self, x, scale):
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(scale > 0, np.clip(np.rint(x / np.where(scale > 0, scale, 1)), -127, 127) * scale, 0)

    def check_rounding(self, got, x, shape, what):
        """shape: rows of values that share a scale."""
        rows = x.reshape(shape)
        error = rows - self.rounded(rows, np.abs(rows).max(axis=1, keepdims=True) / 127)
        mse = (error ** 2).mean()
        self.near(got["mse"], mse, 1e-5, what + " mse")
        self.near(got["sqnr_db"], 10 * np.log10((x ** 2).mean() / mse), 1e-6, what + " sqnr")

    def check_tensor(self, t, x):
        """All values of one tensor against numpy's figures of the same values."""
        name, flat = t["name"], x.reshape(-1)
        finite = flat[np.isfinite(flat)]
        b, s, q = t["basic"], t["sparsity"], t["quantization"]
        self.assertEqual([b["values"], b["finite"], b["nans"], b["infinities"]],
                         [flat.size, finite.size, np.isnan(flat).sum(), np.isinf(flat).sum()], name)
        self.assertEqual(b["zeros"], (finite == 0).sum(), name)
        self.near(b["mean"], finite.mean(), 1e-9 * max(1, np.abs(finite).mean() / abs(finite.mean())), name + " mean")
        if finite.size > 1:
            self.near(b["std"], finite.std(ddof=1), 1e-10, name + " std")
        self.near(b["l2_norm"], np.sqrt((finite ** 2).sum()), 1e-12, name + " norm")
        self.assertEqual([b["min"], b["max"], b["abs_max"]], [finite.min(), finite.max(), np.abs(finite).max()], name)
        for got, p in zip(b["quantile"], (.001, .01, .05, .25, .5, .75, .95, .99, .999)):
            self.near(got, np.quantile(finite, p), 1e-9, f"{name} quantile {p}")
        for got, p in zip(s["magnitude"], (.10, .25, .50, .75, .90)):
            self.near(got, np.quantile(np.abs(finite), p), 1e-9, f"{name} magnitude {p}")
        for got, level in zip(s["level_percent"], (0, 1e-6, 1e-4, 1e-2)):
            # The thresholds are those of single precision where the values are.
            self.near(got, 100 * (np.abs(finite) <= level).sum() / flat.size, 1e-12, f"{name} level {level}")
        if finite.std() > 0:
            z = finite - finite.mean()
            self.near(b["kurtosis"], (z ** 4).mean() / (z ** 2).mean() ** 2 - 3 + 0.0,
                      1e-8 * max(1, 3 / abs((z ** 4).mean() / (z ** 2).mean() ** 2 - 3)), name + " kurtosis")
        if x.ndim == 2 and finite.size == flat.size:
            self.assertEqual([s["dead_rows"], s["dead_columns"]],
                             [(np.abs(x).max(axis=1) <= 1e-6).sum(), (np.abs(x).max(axis=0) <= 1e-6).sum()], name)
            fine = 1e-6  # lines are added up in single precision first
            self.near(s["row_norm_max"], np.sqrt((x ** 2).sum(axis=1)).max(), fine, name + " row norm")
            self.near(s["column_norm_max"], np.sqrt((x ** 2).sum(axis=0)).max(), fine, name + " column norm")
            self.check_rounding(q["per_tensor"], x, (1, -1), name + " per tensor")
            self.check_rounding(q["per_channel"], x, x.shape, name + " per row")
        q1, q3 = np.quantile(finite, [.25, .75])
        for key, k in (("outliers", 1.5), ("extreme_outliers", 3)):
            want = ((finite < q1 - k * (q3 - q1)) | (finite > q3 + k * (q3 - q1))).sum()
            self.assertEqual(q[key], want, f"{name} {key}")
        if t["spectral"] and x.ndim == 2 and min(x.shape) > 1 and finite.size == flat.size:
            # Doubles are rounded to single precision before their spectrum is measured.
            self.check_spectrum(t["spectral"], x.astype("f8"), name)

    def check_spectrum(self, got, x, name):
        s = np.linalg.svd(x, compute_uv=False)
        self.near(got["max_singular_value"], s[0], 1e-10, name + " sigma max")
        if s[-1] <= s[0] * max(x.shape) * 2 ** -52:
            self.assertEqual("Infinity", got["condition_number"], name)
            self.assertLess(got["numerical_rank"], len(s))
        else:
            self.near(got["min_singular_value"], s[-1], 1e-6, name + " sigma min")
            self.near(got["condition_number"], s[0] / s[-1], 1e-6, name + " condition")
        self.near(got["stable_rank"], (s ** 2).sum() / s[0] ** 2, 1e-10, name + " stable rank")
        self.assertEqual(got["rank_at_001"], (s > 0.01 * s[0]).sum(), name)
        for g, w in zip(got["top_singular_values"], s):
            self.near(g, w, 1e-9, name + " top")

    def check_all(self, document, values):
        self.assertEqual(sorted(t["name"] for t in document["tensors"]), sorted(values))
        for t in document["tensors"]:
            self.check_tensor(t, values[t["name"]])

    def tensors(self):
        r = self.rng
        t = {"normal": r.normal(0, .02, (64, 96)), "laplace": r.laplace(0, .01, (100, 40)), "wide": r.normal(3, 1, (8, 512)),
             "sparse": r.normal(0, 1, (50, 60)) * (r.random((50, 60)) < .3), "tall": r.normal(0, 1e-3, (301, 17)),
             "cube": r.normal(0, 1, (6, 10, 30)), "vector": r.normal(1, .1, 777), "square": r.normal(0, 1, (48, 48))}
        t["sparse"][:, 7] = 0
        t["sparse"][3] = 0
        return t

    def test_safetensors(self):
        for wrap in (bf16, lambda x: x.astype("f4"), lambda x: x.astype("f2"), lambda x: x.astype("f8")):
            t = {k: wrap(v) for k, v in self.tensors().items()}
            with self.subTest(t["normal"].dtype.name):
                save(self.at("m.safetensors"), t)
                self.check_all(self.scan(self.at("m.safetensors"), "--methods", "all"),
                               {k: value(v) for k, v in t.items()})

    def test_gguf(self):
        file, values = gguf.File(), {}
        for name, x in (("blk.0.ffn_up.weight", self.rng.normal(0, .02, (64, 96))),
                        ("blk.0.attn_norm.weight", self.rng.normal(1, .1, 96))):
            file.add(name, "F32", list(x.shape), x.astype("f4").tobytes())
            values[name] = x.astype("f4").astype("f8")
        scales = self.rng.uniform(1e-4, 1e-3, (40, 3)).astype("f2")
        codes = self.rng.integers(-127, 128, (40, 3, 32)).astype("i1")
        blocks = b"".join(scales[i, j].tobytes() + codes[i, j].tobytes() for i in range(40) for j in range(3))
        file.add("blk.0.ffn_down.weight", "Q8_0", [40, 96], blocks)
        values["blk.0.ffn_down.weight"] = (scales.astype("f4")[..., None] * codes.astype("f4")).reshape(40, 96).astype("f8")
        with open(self.at("m.gguf"), "wb") as f:
            f.write(file.pack())
        self.check_all(self.scan(self.at("m.gguf"), "--methods", "all"), values)

    def test_torch(self):
        t = {k: v.astype("f4") for k, v in self.tensors().items()}
        state = OrderedDict((k, torchfile.Tensor.of("FloatStorage", list(v.shape), v.tobytes())) for k, v in t.items())
        # A transposed view, and two tensors on one storage.
        turned = t["square"].T
        state["turned"] = torchfile.Tensor(state["square"].storage, [48, 48], [1, 48])
        state["tied"] = torchfile.Tensor(state["normal"].storage, [64, 96])
        for deflate in (False, True):
            with open(self.at("m.pt"), "wb") as f:
                f.write(torchfile.save_zip(state, deflate=deflate))
            document = self.scan(self.at("m.pt"), "--methods", "all")
            self.check_all(document, {k: value(v) for k, v in {**t, "turned": turned, "tied": t["normal"]}.items()})
            states = {x["name"]: (x["state"], x["same_as"]) for x in document["tensors"]}
            self.assertEqual(("measured", "tied"), (states["normal"][0], states["tied"][0]))
            self.assertEqual("normal", states["tied"][1])
            self.assertEqual(1, document["summary"]["tied"])

    def test_values_that_are_none(self):
        x = self.rng.normal(0, 1, (40, 50)).astype("f4")
        x[2, 3], x[7, 9], x[8, 0] = np.nan, np.inf, -np.inf
        save(self.at("m.safetensors"), {"model.layers.0.mlp.up_proj.weight": x, "all": np.full((4, 4), np.nan, "f4")})
        document = self.scan(self.at("m.safetensors"), "--methods", "all", "--fail-on", "error", exits=(1,))
        t = {t["name"]: t for t in document["tensors"]}
        self.check_tensor(t["model.layers.0.mlp.up_proj.weight"], x.astype("f8"))
        self.assertEqual(t["model.layers.0.mlp.up_proj.weight"]["basic"]["first_nan"], 2 * 50 + 3)
        self.assertEqual((t["all"]["basic"]["nans"], t["all"]["basic"]["mean"]), (16, None))
        self.assertEqual("errors", document["verdict"])
        self.assertEqual(["nan", "nan", "infinity"], [i["id"] for i in document["issues"]][:3])

    def test_next_to_nothing(self):
        save(self.at("empty.safetensors"), {})
        empty = self.scan(self.at("empty.safetensors"), "--methods", "all")
        self.assertEqual(([], "unknown"), (empty["tensors"], empty["verdict"]))
        self.run_it(self.at("empty.safetensors"))
        save(self.at("m.safetensors"), {"one": np.float32(3).reshape(()), "none": np.zeros((0, 5), "f4"),
                                        "single": np.ones((1, 1), "f4"), "flags": np.array([True, False])})
        document = self.scan(self.at("m.safetensors"), "--methods", "all", "--shuffled")
        t = {t["name"]: t for t in document["tensors"]}
        self.assertEqual((3, 3, 1), (t["one"]["basic"]["mean"], t["one"]["basic"]["max"], t["one"]["basic"]["values"]))
        self.assertEqual(0, t["none"]["basic"]["values"])
        self.assertEqual("healthy", document["verdict"])
        self.run_it(self.at("m.safetensors"), "--methods", "all")


# ---------------------------------------------------------------------------------- promises
    def test_doubles_are_not_rounded_to_floats(self):
        rng, tensors = np.random.default_rng(9), {}
        for name, (m, n) in {"square": (90, 90), "tall": (400, 60), "wide": (60, 400)}.items():
            k = min(m, n)
            u, v = (np.linalg.qr(rng.normal(size=(x, k)))[0] for x in (m, n))
            tensors[name + ".weight"] = (u * np.logspace(0, -9, k)) @ v.T
        tensors["large.weight"] = rng.normal(size=(64, 64)) * 1e60
        lost = rng.normal(size=(64, 64))
        lost[7] = 2 * lost[8]  # of floats it would be a multiple, too; the sum below would not
        lost[9] = lost[10] + lost[11]
        tensors["lost.weight"] = lost
        save(self.at("doubles.safetensors"), tensors)
        for t in self.scan("--methods", "spectral", "--shuffled", self.at("doubles.safetensors"))["tensors"]:
            s = np.linalg.svd(tensors[t["name"]], compute_uv=False)
            got = t["spectral"]
            self.assertAlmostEqual(got["max_singular_value"] / s[0], 1, delta=1e-12, msg=t["name"])
            if t["name"] == "lost.weight":
                self.assertEqual((got["numerical_rank"], got["condition_number"]), (62, "Infinity"))
            else:
                self.assertAlmostEqual(got["condition_number"] * s[-1] / s[0], 1, delta=0.01, msg=t["name"])


class Promises(Case):
    def test_a_healthy_model_of_any_size_gives_no_warnings(self):
        for width in (8, 48, 96):
            for wrap in (bf16, lambda x: x.astype("f4"), lambda x: x.astype("f2")):
                save(self.at("m.safetensors"), healthy(self.rng, layers=8, width=width, wrap=wrap))
                document = self.scan(self.at("m.safetensors"), "--methods", "all", "--shuffled")
                bad = [i for i in document["issues"] if i["severity"] != "info"]
                self.assertEqual(([], "healthy"), (bad, document["verdict"]), width)

    def test_same_bytes_for_any_threads_and_processor(self):
        save(self.at("m.safetensors"), healthy(self.rng))
        for path in (self.at("m.safetensors"), os.path.join(FIXTURES, "moe-tiny"), os.path.join(FIXTURES, "gptq")):
            words = [path, "--json", "--full", "--methods", "all", "--shuffled", "--no-cache"]
            want = self.run_it(*words, "-j", "1").stdout
            for threads in ("2", "8"):
                self.assertEqual(want, self.run_it(*words, "-j", threads).stdout, threads)
            for level in ("c", "avx2", "avx512"):
                self.assertEqual(want, self.run_it(*words, SCRUPLE_CPU=level).stdout, level)

    def figures(self, document):
        """Without what tells how much was read."""
        return {k: v for k, v in document.items() if k != "io"}

    def test_a_second_scan_reads_nothing(self):
        path = self.at("m.safetensors")
        t = healthy(self.rng)
        t["lm_head.weight"] = t["model.embed_tokens.weight"].copy()
        save(path, t)
        first = self.scan(path, "--methods", "all")
        second = self.scan(path, "--methods", "all")
        self.assertEqual(self.figures(first), self.figures(second))
        data = first["totals"]["bytes"]
        self.assertEqual(first["io"]["bytes_read"] - data, second["io"]["bytes_read"])
        self.assertIn(b"31 of them known", self.run_it(path, "--methods", "all", "-v").stderr.replace(b"32", b"31"))
        # Less is a part of it; what is new is read.
        self.assertEqual(second["io"], self.scan(path)["io"])
        self.assertLess(second["io"]["bytes_read"], self.scan(path, "--bits", "4")["io"]["bytes_read"])
        # A file that changed is another one.
        time.sleep(0.02)
        t["model.embed_tokens.weight"][0] = 0
        save(path, t)
        changed = self.scan(path, "--methods", "all")
        self.assertEqual(first["io"], changed["io"])
        self.assertNotEqual(self.figures(first), self.figures(changed))

    def test_resume_after_kill(self):
        path = self.at("m.safetensors")
        save(path, {f"model.layers.{i}.mlp.up_proj.weight": bf16(self.rng.normal(0, .02, (256, 256))) for i in range(400)})
        want = self.scan(path, "--no-cache", "--methods", "all")
        p = subprocess.Popen([SCRUPLE, "scan", path, "--methods", "all", "-j", "1", "--json"], env=self.environment,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        store, deadline = self.at("cache/results.db"), time.time() + 60
        while time.time() < deadline and p.poll() is None:
            if any(os.path.exists(store + s) and os.path.getsize(store + s) > 200000 for s in ("", "-wal")):
                break
            time.sleep(0.005)
        p.send_signal(signal.SIGKILL)
        p.wait()
        done = self.run_it(path, "--methods", "all", "--json", "-v")
        self.assertEqual(self.figures(want), self.figures(json.loads(done.stdout)))
        known = int(re.search(rb"(\d+) of them known", done.stderr).group(1))
        self.assertGreater(known, 20)

    @unittest.skipUnless(os.path.exists("/proc/self/status") and os.environ.get("SCRUPLE_SANITIZE", "none") == "none",
                         "needs /proc, and memory that is the program's own")
    def test_many_tensors_take_no_memory_of_their_own(self):
        """16 MB, and 2 MB a thread, beside pages of files: whatever the model. Held at less, since what grows with
        the tensors would be 20 MB of these only."""
        path, n = self.at("m.safetensors"), 45000
        header = {f"model.layers.{i // 8}.mlp.experts.{i % 8}.up_proj.weight":
                  {"dtype": "F32", "shape": [2, 2], "data_offsets": [16 * i, 16 * i + 16]} for i in range(n)}
        text = json.dumps(header).encode()
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + self.rng.normal(0, 1, 4 * n).astype("<f4").tobytes())
        most = self.peak(SCRUPLE, "scan", "-j2", "--no-cache", "-o", self.at("o"), path)
        self.assertLess(most, 12 << 10)

    def test_interrupt(self):
        path = self.at("m.safetensors")
        save(path, {f"model.layers.{i}.mlp.up_proj.weight": bf16(self.rng.normal(0, .02, (512, 512))) for i in range(200)})
        p = subprocess.Popen([SCRUPLE, "scan", path, "--methods", "all", "-j", "1", "--json"], env=self.environment,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.7)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)
        if p.returncode == 0:
            self.skipTest("it was done before the signal came")
        self.assertEqual(130, p.returncode, err.decode())
        self.assertEqual(b"", out)
        self.assertIn(b"goes on from there", err)

    def test_several_processes(self):
        path = self.at("m.safetensors")
        save(path, healthy(self.rng, layers=20))
        all_of_them = [subprocess.Popen([SCRUPLE, "scan", path, "--json"], env=self.environment, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE) for _ in range(5)]
        want = self.figures(self.scan(path, "--no-cache"))
        for p in all_of_them:
            out, err = p.communicate(timeout=120)
            self.assertEqual((0, b""), (p.returncode, err))
            self.assertEqual(want, self.figures(json.loads(out)))

    def test_caches_that_cannot_be_used(self):
        path = self.at("m.safetensors")
        save(path, healthy(self.rng))
        want = self.figures(self.scan(path, "--no-cache"))
        with open(self.at("file"), "w", encoding="utf-8") as f:
            f.write("no folder")
        done = self.run_it(path, "--json", SCRUPLE_CACHE=self.at("file"))
        self.assertEqual(want, self.figures(json.loads(done.stdout)))
        self.assertIn(b"results are not kept", done.stderr)
        os.mkdir(self.at("broken"))
        with open(self.at("broken/results.db"), "wb") as f:
            f.write(b"this is no database" * 1000)
        done = self.run_it(path, "--json", SCRUPLE_CACHE=self.at("broken"))
        self.assertEqual(want, self.figures(json.loads(done.stdout)))
        self.assertTrue(os.path.exists(self.at("broken/results.db.broken")))
        self.assertEqual(want, self.figures(self.scan(path, SCRUPLE_CACHE=self.at("broken"))))

    def test_exit_codes(self):
        sick = healthy(self.rng)
        path = self.at("m.safetensors")
        save(path, sick)
        self.run_it(path, "--fail-on", "warning", exits=(0,))
        sick["model.layers.3.mlp.up_proj.weight"][:] = 0
        save(path, sick)
        for severity, code in (("never", 0), ("info", 1), ("warning", 1), ("error", 0)):
            self.run_it(path, "--fail-on", severity, exits=(code,))
        self.run_it(path, "no-such-tensor", exits=(1,))
        self.run_it(exits=(2,))
        for wrong in (["--methods", "basics"], ["--bits", "9"], ["--bits", "1"], ["--compat", "other"],
                      ["--fail-on", "all"], ["--unfrozen-parameters", self.at("x"), "--quick"]):
            self.assertTrue(self.run_it(path, *wrong, exits=(2,)).stderr.startswith(b"scruple: "))
        self.run_it(self.at("nothing.safetensors"), exits=(4,))
        self.assertIn(b"basic, sparsity, quantization, spectral, all",
                      self.run_it(path, "--methods", "basic,,all", exits=(2,)).stderr)


    def test_a_model_that_is_read_in_part(self):
        """What is sound is measured and told; verdict and exit code say that there was more."""
        folder = self.at("sharded")
        os.mkdir(folder)
        for i in (1, 2):
            save(os.path.join(folder, f"model-{i:05}-of-00002.safetensors"),
                 {f"model.layers.{i}.weight": bf16(self.rng.normal(0, .02, (64, 64)))})
        with open(os.path.join(folder, "model-00002-of-00002.safetensors"), "r+b") as f:
            f.write(struct.pack("<Q", 20) + b"{ no header")
        self.run_it(folder, exits=(3,))
        done = self.run_it(folder, "--lenient", exits=(3,))
        self.assertNotIn(b"healthy", done.stdout)
        self.assertIn(b"not all of the model was measured", b" ".join(done.stdout.split()))
        got = self.scan(folder, "--lenient", exits=(3,))
        self.assertEqual(("errors", 1), (got["verdict"], got["summary"]["measured"]))
        self.run_it(folder, "--lenient", "--fail-on", "error", exits=(3,))
        page = self.at("page.html")
        self.run_it(folder, "--lenient", "-o", page, exits=(3,))
        with open(page, encoding="utf-8") as f:
            self.assertIn("not all of the model was measured", f.read())

    def test_nothing_to_judge(self):
        path = self.at("m.safetensors")
        for tensors in ({}, {"a.weight": np.zeros((0, 4), "f4")}):
            save(path, tensors)
            got = self.scan(path)
            self.assertNotIn("healthy", got["sentence"])
            self.assertEqual("unknown", got["verdict"])
            self.assertNotIn(b"healthy", self.run_it(path).stdout)


# ---------------------------------------------------------------------------------- other forms
class Forms(Case):
    def setUp(self):
        super().setUp()
        self.path = self.at("m.safetensors")
        save(self.path, healthy(self.rng))
        self.document = self.scan(self.path, "--methods", "all")

    def test_weightscope(self):
        document = json.loads(self.run_it(self.path, "--methods", "all", "--compat", "weightscope").stdout)
        self.assertEqual(25, len(document))
        layer = document["model.layers.0.mlp.up_proj"]
        self.assertEqual(["basic_stats", "spectral", "quantization", "sparsity"], list(layer))
        self.assertEqual(["mean", "std", "min", "max", "l2_norm", "zeros_percentage"], list(layer["basic_stats"]))
        self.assertEqual(["condition_number", "stable_rank", "effective_rank", "total_rank", "max_singular_value",
                          "min_singular_value", "singular_value_ratio", "top_singular_values"], list(layer["spectral"]))
        self.assertEqual(["outlier_percentage", "extreme_outlier_percentage", "outlier_count", "extreme_outlier_count",
                          "quantization_scale", "quantization_mse", "quantization_mae", "cosine_similarity", "sqnr_db",
                          "abs_max", "dynamic_range"], list(layer["quantization"]))
        self.assertEqual(["threshold_0.0", "threshold_1e-06", "threshold_0.0001", "threshold_0.01"],
                         list(layer["sparsity"]["sparsity_levels"]))
        self.assertEqual(["dead_rows", "dead_rows_percentage", "dead_columns", "dead_columns_percentage"],
                         list(layer["sparsity"]["structured_sparsity"]))
        self.assertEqual(10, len(layer["spectral"]["top_singular_values"]))
        t = next(t for t in self.document["tensors"] if t["name"] == "model.layers.0.mlp.up_proj.weight")
        self.assertEqual(t["basic"]["std"], layer["basic_stats"]["std"])
        self.assertEqual(t["quantization"]["per_tensor"]["sqnr_db"], layer["quantization"]["sqnr_db"])
        zeros = {"m.weight": np.zeros((30, 40), "f4")}
        save(self.path, zeros)
        text = self.run_it(self.path, "--methods", "all", "--compat", "weightscope").stdout
        self.assertEqual("Infinity", json.loads(text)["m"]["spectral"]["condition_number"])

    def test_spectrum(self):
        for rule, key in (("spectrum", "spectrum_snr"), ("mp", "mp_snr")):
            self.run_it(self.path, "--unfrozen-parameters", self.at("list.yaml"), "--snr", rule)
            with open(self.at("list.yaml"), encoding="utf-8") as f:
                lines = f.read().splitlines()
            self.assertEqual(["unfrozen_parameters:", "- ^lm_head.weight$", "- ^model.embed_tokens.weight$"], lines[:3])
            groups = {}
            for t in self.document["tensors"]:
                if t["layer"] is not None and len(t["shape"]) == 2:
                    kind = t["name"].split(".", 3)[3]
                    groups.setdefault(kind, []).append((-t["spectral"][key], t["layer"], t["name"]))
            want = {name[:-len(".weight")] for g in groups.values() for _, _, name in sorted(g)[:len(g) // 2]}
            self.assertEqual(want, {x[2:] for x in lines[3:] if x.startswith("- ")})
            self.assertEqual(len(groups), sum(x.startswith("# ") for x in lines))

    def test_csv(self):
        self.run_it(self.path, "--methods", "all", "-o", self.at("m.csv"))
        with open(self.at("m.csv"), encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f))
        self.assertEqual([t["name"] for t in self.document["tensors"]], [r["name"] for r in rows])
        for t, row in zip(self.document["tensors"], rows):
            self.assertEqual(t["basic"]["std"], float(row["basic.std"]))
            self.assertEqual(str(t["quantization"]["per_channel"]["sqnr_db"]), row["quantization.per_channel.sqnr_db"])
        self.assertEqual(rows, list(csv.DictReader(io.StringIO(
            self.run_it(self.path, "--methods", "all", "--csv").stdout.decode(), newline=""))))

    def test_sqlite(self):
        self.run_it(self.path, "--methods", "all", "-o", self.at("m.sqlite"))
        db = sqlite3.connect(self.at("m.sqlite"))
        self.assertEqual([("ok",)], db.execute("PRAGMA integrity_check").fetchall())
        rows = db.execute("SELECT name, shape, basic_std, spectral_condition_number FROM tensors").fetchall()
        want = [(t["name"], "x".join(map(str, t["shape"])), t["basic"]["std"],
                 t["spectral"] and t["spectral"]["condition_number"]) for t in self.document["tensors"]]
        self.assertEqual(want, rows)
        self.assertEqual([("healthy",)], db.execute("SELECT value FROM document WHERE key = 'verdict'").fetchall())
        self.assertEqual(len(self.document["issues"]), db.execute("SELECT count(*) FROM issues").fetchone()[0])
        db.close()
        self.run_it("-m", self.path, "-m", self.path, "-o", self.at("two.db"))
        db = sqlite3.connect(self.at("two.db"))
        self.assertEqual([(0,), (1,)], db.execute("SELECT DISTINCT model FROM tensors ORDER BY 1").fetchall())
        db.close()

    def test_several_models(self):
        both = self.scan("-m", self.path, "-m", os.path.join(FIXTURES, "llama-tiny"))
        self.assertEqual(2, len(both["models"]))
        self.assertEqual(len(self.document["tensors"]), len(both["models"][0]["tensors"]))

    def test_filter(self):
        some = self.scan(self.path, "layers.1-2.mlp")
        self.assertEqual(4, len(some["tensors"]))
        self.assertEqual(4, some["matched"]["logical_tensors"])

    def test_page_and_pictures(self):
        self.run_it(self.path, "--methods", "all", "-o", self.at("m.html"), "--plots", self.at("plots"))
        with open(self.at("m.html"), encoding="utf-8") as f:
            page = f.read()
        self.assertTrue(page.lower().startswith("<!doctype html>"))
        self.assertIn("up_proj", page)
        self.assertTrue([name for name in os.listdir(self.at("plots")) if name.endswith(".svg")])

    def test_text_fits_the_screen(self):
        t = {k + "_with_a_name_that_is_far_too_long_for_this_screen": v for k, v in healthy(self.rng).items()}
        t["nan"] = np.full((9, 9), np.nan, "f4")
        save(self.path, t)
        for columns in (40, 60, 80, 120):
            script = f"stty cols {columns} rows 1000; exec \"$SCRUPLE\" scan \"$MODEL\" --methods all --no-pager --color never"
            done = subprocess.run(["script", "-qec", script, "/dev/null"], capture_output=True, check=False, timeout=60,
                                  stdin=subprocess.DEVNULL, env=dict(self.environment, SCRUPLE=SCRUPLE, MODEL=self.path,
                                                                     LC_ALL="C.UTF-8", TERM="xterm"))
            lines = done.stdout.decode().replace("\r", "").splitlines()
            self.assertTrue(any("NaN among" in line for line in lines), lines)
            self.assertEqual([], [line for line in lines[1:] if len(line) > columns], columns)


# ---------------------------------------------------------------------------------- documents
class Pages(Case):
    def test_every_rule_is_explained(self):
        with open(os.path.join(SOURCE, "docs", "scan.md"), encoding="utf-8") as f:
            headings = set(re.findall(r"^### ([a-z-]+)$", f.read(), re.M))
        with open(os.path.join(SOURCE, "src", "analyze", "issues.c"), encoding="utf-8") as f:
            rules = set(re.findall(r"\[SC_RULE_\w+\] = \{\"([a-z-]+)\"", re.sub(r"\s+", " ", f.read())))
        self.assertGreater(len(rules), 20)
        self.assertEqual(rules, headings)

    def test_every_figure_is_explained(self):
        path = os.path.join(SOURCE, "docs", "metrics.md")
        if not os.path.exists(path):
            self.skipTest("docs/metrics.md is not written yet")
        save(self.at("m.safetensors"), {"w.weight": bf16(self.rng.normal(0, 1, (40, 50)))})
        t = self.scan(self.at("m.safetensors"), "--methods", "all", "--full")["tensors"][0]

        def keys(prefix, x):
            for key, inner in x.items():
                yield from keys(f"{prefix}.{key}", inner) if isinstance(inner, dict) else [f"{prefix}.{key}"]

        have = {k for g in ("basic", "sparsity", "quantization", "spectral") for k in keys(g, t[g])}
        with open(path, encoding="utf-8") as f:
            headings = set(re.findall(r"^### `?((?!change|quality)[a-z_]+\.[\w.]+)`?$", f.read(), re.M))
        self.assertEqual(set(), have - headings, "not explained")
        self.assertEqual(set(), headings - have, "explained, but there are none")


if __name__ == "__main__":
    unittest.main()
