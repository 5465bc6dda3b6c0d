# SPDX-License-Identifier: Apache-2.0
"""moe --similarity against numpy in double: scores of Gram matrices in every layout, what chance gives, sketches and
their error, the original definition, and copies, shuffled and scaled and noisy ones that were planted."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import forward_gguf  # noqa: E402
import forward_reference as ref  # noqa: E402
import test_moe as moe  # noqa: E402

SCRUPLE = os.environ["SCRUPLE"]
FIXTURES = os.environ.get("FIXTURES")
PARTS = ("gate_proj", "up_proj", "down_proj")


def config(experts, hidden, wide, layers=1, **more):
    return {**moe.CONFIG, "hidden_size": hidden, "num_hidden_layers": layers, "num_experts": experts,
            "moe_intermediate_size": wide, **more}


def random_experts(experts, hidden, wide, seed, layers=1, sigma=.05, spectrum=None):
    """Stored as [out, in]; `spectrum` makes neurons share directions, as those of trained experts do."""
    rng = np.random.default_rng(seed)
    w = {}
    for layer in range(layers):
        for part in PARTS:
            x = rng.normal(size=(experts, wide, hidden)) * sigma
            if spectrum is not None:
                x = x * spectrum
            w[layer, part] = np.float32(x if part != "down_proj" else x.transpose(0, 2, 1))
        w[layer, "router"] = np.float32(rng.normal(size=(experts, hidden)) * sigma)
    return w


def neurons(w, layer, part):
    """Experts as [neurons, hidden] in double."""
    x = w[layer, part].astype(np.float64)
    return x.transpose(0, 2, 1) if part == "down_proj" else x


def gram_scores(x):
    g = np.array([a.T @ a for a in x]).reshape(len(x), -1)
    inner = g @ g.T
    n = np.sqrt(np.diag(inner))
    with np.errstate(invalid="ignore", divide="ignore"):
        return inner / np.outer(n, n)


def baselines(x):
    """What chance gives an expert with itself: (tr G)^2 / (H |G|^2)."""
    g = [a.T @ a for a in x]
    return np.array([np.trace(a) ** 2 / (len(a) * (a * a).sum()) for a in g])


def corrected(x):
    """The cosine of Gram matrices without their traces: by this definition, not by way of a baseline."""
    g = np.array([a.T @ a for a in x])
    f = np.array([a - np.trace(a) / len(a) * np.eye(len(a)) for a in g]).reshape(len(x), -1)
    f /= np.sqrt((f * f).sum(1))[:, None]
    return f @ f.T


def splitmix(state, n):
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)


def original_scores(w, layer, part, k):
    """As modelweightvis defines them, on the matrix as stored."""
    x = w[layer, part].astype(np.float64)
    mask = (1 << 64) - 1
    golden = 0x9E3779B97F4A7C15
    seed = ((layer * golden & mask) ^ PARTS.index(part)) * golden & mask
    n = k * x.shape[2]
    u = (splitmix(seed, 2 * ((n + 1) // 2)) >> np.uint64(40)).astype(np.float64) / 2 ** 24
    size = np.sqrt(1 / k) * np.sqrt(-2 * np.log(np.maximum(u[0::2], 2.0 ** -126)))
    r = np.stack([size * np.cos(2 * np.pi * u[1::2]), size * np.sin(2 * np.pi * u[1::2])], 1).ravel()[:n].reshape(k, -1)
    a = x @ r.T
    s = np.array([[np.sum((p.T @ q) ** 2) for q in a] for p in a])
    return s / np.sqrt(np.outer(np.diag(s), np.diag(s)))


def stored(folder):
    """Tensors of a folder of safetensors as bytes with their types and shapes."""
    out = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(folder, name), "rb") as f:
            data = f.read()
        n, = struct.unpack("<Q", data[:8])
        for k, v in json.loads(data[8:8 + n]).items():
            if k != "__metadata__":
                first, end = (8 + n + x for x in v["data_offsets"])
                out[k] = v["dtype"], v["shape"], np.frombuffer(data[first:end], np.uint8)
    return out


def floats(dtype, shape, raw):
    if dtype == "F8_E4M3":
        code = raw.astype(int)
        exponent, fraction = code >> 3 & 15, code & 7
        size = np.where(exponent, (8 + fraction) * 2.0 ** (exponent - 10), fraction * 2.0 ** -9)
        return np.where(code & 128, -size, size).reshape(shape)
    if dtype == "BF16":
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32).astype(float).reshape(shape)
    return raw.view(np.float32).astype(float).reshape(shape)


def fp8(t, name, block=128):
    """Weight times the scale of its block."""
    w, s = floats(*t[name]), floats(*t[name + "_scale_inv"])
    s = np.repeat(np.repeat(s, block, -2), block, -1)
    return w * s[..., :w.shape[-2], :w.shape[-1]]


def mxfp4(t, name):
    (_, shape, blocks), (_, _, scales) = t[name + "_blocks"], t[name + "_scales"]
    levels = np.array([0, .5, 1, 1.5, 2, 3, 4, 6])
    levels = np.concatenate([levels, -levels])
    v = np.stack([levels[blocks & 15], levels[blocks >> 4]], -1).reshape(-1, 32) * 2.0 ** (scales.astype(float)[:, None] - 127)
    return v.reshape(shape[0], shape[1], -1)


class Similarity(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()

    def tearDown(self):
        shutil.rmtree(self.dir)

    def folder(self, w, c, tensors=None, name="m"):
        path = os.path.join(self.dir, name)
        shutil.rmtree(path, ignore_errors=True)
        if tensors is None:
            tensors = {}
            for (layer, part), x in w.items():
                p = f"model.layers.{layer}.mlp."
                if part == "router":
                    tensors[p + "gate.weight"] = x
                for e in range(len(x) if part != "router" else 0):
                    tensors[f"{p}experts.{e}.{part}.weight"] = x[e]
        return ref.write_folder(path, c, tensors)

    def run_it(self, *words, status=0):
        r = subprocess.run([SCRUPLE, "moe", *words, "--similarity", "--json", "-q"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        self.assertEqual(r.returncode, status, r.stderr)
        return json.loads(r.stdout) if r.stdout else None

    def matrices(self, d):
        out = {}
        for m in d["matrices"]:
            m["raw"], m["corrected"] = (np.array(m[k], float) for k in ("raw", "corrected"))
            out[m["layer"], m["part"]] = m
        return out

    def check_gram(self, d, w, layers, tolerance=2e-6):
        found = self.matrices(d)
        for layer in range(layers):
            joined = []
            for part in PARTS:
                x, m = neurons(w, layer, part), found[layer, part]
                want = gram_scores(x)
                np.testing.assert_allclose(m["raw"], want, atol=tolerance, err_msg=f"{layer} {part}")
                want = corrected(x)
                np.testing.assert_allclose(m["corrected"], want, atol=2 * tolerance, err_msg=f"{layer} {part}")
                np.testing.assert_allclose(m["norm"], np.sqrt((x * x).sum((1, 2))), rtol=1e-6)
                self.assertEqual(m["neurons"], [x.shape[1]] * len(x))
                joined.append(want)
            np.testing.assert_allclose(found[layer, "joined"]["corrected"], np.mean(joined, 0), atol=2 * tolerance)
            r = w[layer, "router"].astype(float)
            n = np.sqrt((r * r).sum(1))
            np.testing.assert_allclose(found[layer, "router"]["raw"], r @ r.T / np.outer(n, n), atol=1e-6)

    def test_every_layout_gives_the_same_scores(self):
        """Among them gpt-oss, whose gate and up take turns, and Llama-4's transposed stacks."""
        w = moe.experts(1)
        for layout in ("single", "mixtral", "stacked", "rows", "columns", "turns"):
            with self.subTest(layout):
                c = {**moe.CONFIG, **({"model_type": "gpt_oss"} if layout == "turns" else {})}
                d = self.run_it(self.folder(None, c, moe.names(w, layout), layout))
                self.check_gram(d, w, moe.LAYERS)

    def test_gguf_stacks(self):
        c = ref.CONFIGS["qwen3moe"]
        tensors = ref.make(c, 5)
        path = forward_gguf.write(os.path.join(self.dir, "m.gguf"), c, tensors, 0)
        found = self.matrices(self.run_it(path))
        for layer in {m[0] for m in found}:
            for part in PARTS:
                x = [np.array(tensors[f"model.layers.{layer}.mlp.experts.{e}.{part}.weight"], float) for e in range(6)]
                x = np.array([a.T for a in x] if part == "down_proj" else x)
                np.testing.assert_allclose(found[layer, part]["raw"], gram_scores(x), atol=2e-6)
                np.testing.assert_allclose(found[layer, part]["corrected"], corrected(x), atol=4e-6)

    def check_fixture(self, name, layer, want):
        found = self.matrices(self.run_it(os.path.join(FIXTURES, name)))
        for part, x in want.items():
            x = [a.T for a in x] if part == "down_proj" else list(x)
            np.testing.assert_allclose(found[layer, part]["raw"], gram_scores(x), atol=2e-6, err_msg=part)
            np.testing.assert_allclose(found[layer, part]["corrected"], corrected(x), atol=1e-5, err_msg=part)

    @unittest.skipUnless(FIXTURES, "needs fixtures")
    def test_fp8_with_scales_of_blocks(self):
        t = stored(os.path.join(FIXTURES, "deepseek-tiny"))
        for layer in (1, 2, 3):
            p = f"model.layers.{layer}.mlp."
            self.check_fixture("deepseek-tiny", layer, {
                part: [fp8(t, f"{p}experts.{e}.{part}.weight") for e in range(4)] +
                      [fp8(t, f"{p}shared_experts.{part}.weight")] for part in PARTS})
        t = stored(os.path.join(FIXTURES, "fp8-stacked"))
        both, down = (fp8(t, f"model.layers.0.mlp.experts.{n}") for n in ("gate_up_proj", "down_proj"))
        self.check_fixture("fp8-stacked", 0, {"gate_proj": both[:, :40], "up_proj": both[:, 40:], "down_proj": down})

    @unittest.skipUnless(FIXTURES, "needs fixtures")
    def test_mxfp4_that_takes_turns_and_is_square(self):
        t = stored(os.path.join(FIXTURES, "gpt-oss"))
        for layer in (0, 1):
            both, down = (mxfp4(t, f"model.layers.{layer}.mlp.experts.{n}") for n in ("gate_up_proj", "down_proj"))
            self.check_fixture("gpt-oss", layer, {"gate_proj": both[:, 0::2], "up_proj": both[:, 1::2], "down_proj": down})

    def test_square_experts(self):
        """Where the hidden size does not tell which axis is which, the layout does (gpt-oss: 2880 x 2880)."""
        w = random_experts(4, 24, 24, 2)
        for kind, gpt in (("single", False), ("columns", False), ("rows", False), ("turns", True)):
            gate, up, down = (w[0, p] for p in PARTS)
            p = "model.layers.0.mlp."
            t = {p + "gate.weight": w[0, "router"]}
            if kind == "single":
                t = None
            elif kind == "rows":
                t[p + "experts.gate_up_proj"] = np.concatenate([gate, up], 1)
                t[p + "experts.down_proj"] = down
            elif kind == "columns":
                t[p + "experts.gate_up_proj"] = np.concatenate([gate, up], 1).transpose(0, 2, 1)
                t[p + "experts.down_proj"] = down.transpose(0, 2, 1)
            else:
                both = np.stack([gate, up], 2).reshape(4, 48, 24)
                t[p + "experts.gate_up_proj"] = both.transpose(0, 2, 1)
                t[p + "experts.down_proj"] = down.transpose(0, 2, 1)
            c = config(4, 24, 24, **({"model_type": "gpt_oss"} if gpt else {}))
            with self.subTest(kind):
                self.check_gram(self.run_it(self.folder(w, c, t)), w, 1)

    def test_tiles_stripes_pairs_and_threads(self):
        """Sides that are no multiples of a tile; the way of few neurons; little memory; threads: the same bits."""
        for experts, hidden, wide in ((5, 200, 170), (3, 331, 40), (9, 97, 300)):
            w = random_experts(experts, hidden, wide, 3)
            folder = self.folder(w, config(experts, hidden, wide))
            d = self.run_it(folder)
            text = json.dumps({**d, "io": None})
            self.check_gram(d, w, 1)
            self.assertEqual(d["matrices"][0]["method"], "pairs" if (experts + 1) * wide < hidden else "grams")
            for words in (["-j", "1"], ["-j", "5"]):
                self.assertEqual(text, json.dumps({**self.run_it(folder, *words), "io": None}))
            for level in ("c", "avx2"):
                r = subprocess.run([SCRUPLE, "moe", folder, "--similarity", "--json"], stdout=subprocess.PIPE,
                                   env={**os.environ, "SCRUPLE_CPU": level})
                self.assertEqual(json.dumps({**json.loads(text), "io": None}),
                                 json.dumps({**json.loads(r.stdout), "io": None}))

    def test_huge_and_tiny_values(self):
        w = random_experts(4, 40, 30, 4)
        for part in PARTS:
            w[0, part][1] *= np.float32(1e30)
            w[0, part][2] *= np.float32(1e-30)
        d = self.run_it(self.folder(w, config(4, 40, 30)))
        self.check_gram(d, w, 1)
        d = self.run_it(self.folder(w, config(4, 40, 30)), "--sketch", "256")
        for part in PARTS:
            m = self.matrices(d)[0, part]
            self.assertLess(np.abs(m["raw"] - gram_scores(neurons(w, 0, part))).max(), m["error"])

    def test_chance_gives_nothing(self):
        """Unrelated experts: the mean of corrected scores is 0, their standard deviation the spread that is told."""
        experts, hidden, wide = 16, 192, 120
        found = []
        for seed in range(4):
            w = random_experts(experts, hidden, wide, 50 + seed)
            if seed % 2:  # neurons of very different sizes: a few of them make up most of an expert
                for part in PARTS:
                    size = np.float32(.1 + np.random.default_rng(seed).exponential(size=(experts, wide)) ** 2)
                    w[0, part] *= size[:, None, :] if part == "down_proj" else size[:, :, None]
            d = self.run_it(self.folder(w, config(experts, hidden, wide)))
            self.assertEqual((d["clusters"], d["pairs"]), ([], []))
            for part in PARTS:
                m = self.matrices(d)[0, part]
                found.append(m["corrected"][np.triu_indices(experts, 1)])
                self.assertAlmostEqual(m["spread"], np.sqrt(2) / hidden, places=4)
                if seed % 2 == 0:
                    np.testing.assert_allclose(m["baseline"], wide / (wide + hidden + 1), rtol=.03)
        found = np.concatenate(found)
        self.assertLess(abs(found.mean()), .15 * m["spread"])
        self.assertLess(abs(found.std() / m["spread"] - 1), .15)
        self.assertLess(np.abs(found).max(), 5.5 * m["spread"])

    def test_planted_copies_are_named(self):
        experts, hidden, wide, rng = 10, 64, 48, np.random.default_rng(7)
        w = random_experts(experts, hidden, wide, 8)
        order, noise = rng.permutation(wide), {}
        for part in PARTS:
            x = w[0, part]
            axis = 1 if part == "down_proj" else 0
            x[1] = x[0]                                             # a copy
            x[3] = np.take(x[2], order, axis)                       # in another order
            x[5] = x[4] * np.float32(2)                             # twice as large
            extra = np.float32(rng.normal(size=x[6].shape) * .05)
            x[7] = np.float32(np.sqrt(.98)) * x[6] + np.float32(np.sqrt(.02)) * extra  # correlation .99
            noise[part] = extra
        d = self.run_it(self.folder(w, config(experts, hidden, wide)), "--fail", status=1)
        self.check_gram(d, w, 1)
        pairs = {(p["a"], p["b"]): p for p in d["pairs"]}
        self.assertEqual(set(pairs), {(0, 1), (2, 3), (4, 5), (6, 7)})
        self.assertEqual([pairs[k]["kind"] for k in sorted(pairs)], ["copy", "shuffled copy", "copy", "near copy"])
        for k, scale in (((0, 1), 1), ((2, 3), 1), ((4, 5), 2)):
            self.assertAlmostEqual(pairs[k]["corrected"], 1, places=5)
            self.assertAlmostEqual(pairs[k]["scale"], scale, places=5)
            self.assertEqual((pairs[k]["neurons"], pairs[k]["matched"]), (wide, wide))
        self.assertEqual(pairs[2, 3]["in_place"], int((order == np.arange(wide)).sum()))
        self.assertEqual(pairs[0, 1]["in_place"], wide)
        # a mixture of a part r^2 of the squares scores r^2 = .98 beside chance; its neurons have a cosine of r
        self.assertLess(abs(pairs[6, 7]["corrected"] - .98), 4 * np.sqrt(2) / hidden)
        self.assertLess(abs(pairs[6, 7]["cosine"] - .99), .005)
        self.assertEqual(pairs[6, 7]["matched"], wide)
        self.assertEqual([c["experts"] for c in d["clusters"]], [[0, 1], [2, 3], [4, 5], [6, 7]])
        self.assertEqual({r["expert"] for r in d["ranking"][:8]}, set(range(8)))
        nearest = {r["expert"]: r["nearest"] for r in d["ranking"]}
        self.assertEqual([nearest[e] for e in range(8)], [1, 0, 3, 2, 5, 4, 7, 6])

    def test_the_original_definition_does_not_see_a_shuffled_copy(self):
        """And is far below its own expectation without a sketch: what docs/moe.md says of it."""
        experts, hidden, wide = 6, 160, 110
        w = random_experts(experts, hidden, wide, 9, layers=2)
        order = np.random.default_rng(1).permutation(wide)
        for part in PARTS:
            w[0, part][1] = np.take(w[0, part][0], order, 1 if part == "down_proj" else 0)
        folder = self.folder(w, config(experts, hidden, wide, 2))
        for rank in (128, 16, 201):
            d = self.run_it(folder, "--definition", "original", "--rank", str(rank))
            found = self.matrices(d)
            for layer in range(2):
                for part in PARTS:
                    want, m = original_scores(w, layer, part, rank), found[layer, part]
                    np.testing.assert_allclose(m["raw"], want, atol=2e-5, err_msg=f"{layer} {part} {rank}")
                    out, into = w[layer, part].shape[1:]
                    b = 1 / (1 + out * (1 / rank + 1 / into))
                    self.assertAlmostEqual(m["baseline"][0], b)
                    if layer == 1:
                        mean = np.mean(want[np.triu_indices(6, 1)])
                        self.assertLess(abs(mean / b - 1), .05 if rank > 100 else .2)
            self.assertLess(found[0, "gate_proj"]["corrected"][0, 1], .1)
            self.assertEqual(d["pairs"], [])
        self.assertGreater(self.matrices(self.run_it(folder))[0, "gate_proj"]["corrected"][0, 1], .99999)

    def test_sketches_keep_to_their_error_and_lean_to_no_side(self):
        """On isotropic weights, on some with a spectrum that falls as in trained ones, and on one dominant direction."""
        experts, hidden, wide = 8, 200, 120
        falls = (1 + np.arange(hidden)) ** -.5
        spike = np.ones(hidden)
        spike[3] = 30
        for name, spectrum in (("flat", None), ("falls", falls), ("spike", spike)):
            outside = total = 0
            lean = []
            for seed in range(8):
                w = random_experts(experts, hidden, wide, 100 + seed, spectrum=spectrum)
                w[0, "gate_proj"][1] = w[0, "gate_proj"][0][::-1]
                d = self.run_it(self.folder(w, config(experts, hidden, wide)), "--sketch", "32", "--no-match")
                for part in PARTS:
                    m = self.matrices(d)[0, part]
                    self.assertEqual(m["method"], "sketch")
                    off = np.triu_indices(experts, 1)
                    error = (m["raw"] - gram_scores(neurons(w, 0, part)))[off]
                    outside += (np.abs(error) > m["error"]).sum()
                    of_corrected = (m["corrected"] - corrected(neurons(w, 0, part)))[off]
                    outside += (np.abs(of_corrected) > m["corrected_error"]).sum()
                    total += 2 * len(error)
                    lean.append(error.mean() / (m["error"] / 4))
                    if part == "gate_proj":
                        self.assertAlmostEqual(m["raw"][0, 1], 1, places=5)
            self.assertLessEqual(outside, total * .002, name)
            # the pairs of a matrix share their probes, so a mean has up to one standard error
            self.assertLess(abs(np.mean(lean)), 4 / np.sqrt(len(lean)), name)

    def test_a_large_model_is_sketched_unasked(self):
        w = random_experts(4, 64, 48, 11)
        folder = self.folder(w, config(4, 64, 48))
        self.assertEqual(self.run_it(folder)["matrices"][0]["method"], "grams")
        self.assertEqual(self.run_it(folder, "--sketch", "never")["matrices"][0]["method"], "grams")

    def test_dead_broken_missing(self):
        w = random_experts(6, 32, 24, 12)
        w[0, "up_proj"][2] = 0
        w[0, "gate_proj"][3, 1, 1] = np.nan
        w[0, "down_proj"][4, 2, 2] = np.inf
        t = {}
        for part in PARTS:
            for e in range(6):
                t[f"model.layers.0.mlp.experts.{e}.{part}.weight"] = w[0, part][e]
        del t["model.layers.0.mlp.experts.5.gate_proj.weight"]
        folder = self.folder(w, config(6, 32, 24), t)
        for words in ([], ["--sketch", "16"], ["--definition", "original"]):
            d = self.run_it(folder, *words)
            found = self.matrices(d)
            self.assertEqual(found[0, "up_proj"]["state"][2], "dead")
            self.assertEqual(found[0, "up_proj"]["norm"][2], 0)
            self.assertEqual(found[0, "gate_proj"]["state"][3], "not finite")
            self.assertEqual(found[0, "down_proj"]["state"][4], "not finite")
            self.assertEqual(found[0, "gate_proj"]["state"][5], "missing")
            for part, e in (("up_proj", 2), ("gate_proj", 3), ("down_proj", 4), ("gate_proj", 5)):
                for m in (found[0, part], found[0, "joined"]):
                    self.assertTrue(np.isnan(m["raw"][e]).all() and np.isnan(m["raw"][:, e]).all())
                    self.assertTrue(np.isnan(m["corrected"][e]).all())
            self.assertEqual(np.isfinite(found[0, "joined"]["raw"]).sum(), 4)
            self.assertEqual({r["expert"] for r in d["ranking"]}, {0, 1})
        r = subprocess.run([SCRUPLE, "moe", folder, "--similarity", "-q"], stdout=subprocess.PIPE)
        for words in (b"expert 2, up_proj: dead", b"expert 3, gate_proj: not finite", b"expert 5, gate_proj: missing"):
            self.assertIn(words, r.stdout)

    def test_a_shared_expert_with_more_neurons(self):
        """Gram matrices do not mind; chance gives sqrt(b_a b_b)."""
        experts, hidden, wide, rng = 5, 96, 64, np.random.default_rng(13)
        w = random_experts(experts, hidden, wide, 14)
        big = {part: np.float32(rng.normal(size=(160, hidden)) * .05) for part in PARTS}
        t = {"model.layers.0.mlp.shared_expert_gate.weight": np.ones((1, hidden), np.float32)}
        for part in PARTS:
            big[part][:wide] = w[0, part][2].T if part == "down_proj" else w[0, part][2]
            for e in range(experts):
                t[f"model.layers.0.mlp.experts.{e}.{part}.weight"] = w[0, part][e]
            t[f"model.layers.0.mlp.shared_expert.{part}.weight"] = big[part].T if part == "down_proj" else big[part]
        d = self.run_it(self.folder(w, config(experts, hidden, wide), t))
        self.assertTrue(d["similarity"]["shared"])
        for part in PARTS:
            m = self.matrices(d)[0, part]
            x = [*neurons(w, 0, part), big[part].astype(float)]
            want = gram_scores(x)
            np.testing.assert_allclose(m["raw"], want, atol=2e-6)
            np.testing.assert_allclose(m["baseline"], baselines(x), rtol=1e-5)
            b = np.sqrt(np.outer(m["baseline"], m["baseline"]))
            left = 1 - np.array(m["baseline"])
            np.testing.assert_allclose(m["corrected"], (want - b) / np.sqrt(np.outer(left, left)), atol=1e-5)
            want = corrected(x)
            np.testing.assert_allclose(m["corrected"], want, atol=4e-6)
        p, = d["pairs"]
        self.assertEqual((p["a"], p["b"], p["neurons"], p["matched"], p["in_place"]), (2, experts, wide, wide, wide))

    def test_rows_of_the_router_that_say_nothing(self):
        """A row of zeros, and the row that a shared expert has not, are like no other row."""
        experts, hidden, wide, rng = 4, 32, 16, np.random.default_rng(15)
        w = random_experts(experts, hidden, wide, 16)
        router = np.float32(rng.normal(size=(experts, hidden)))
        router[2] = 0
        t = {"model.layers.0.mlp.gate.weight": router}
        for part in PARTS:
            for e in range(experts):
                t[f"model.layers.0.mlp.experts.{e}.{part}.weight"] = w[0, part][e]
            t[f"model.layers.0.mlp.shared_expert.{part}.weight"] = w[0, part][0] * 2
        m = self.matrices(self.run_it(self.folder(w, config(experts, hidden, wide), t)))[0, "router"]
        for key in ("raw", "corrected"):
            for a, b in np.ndindex(5, 5):
                self.assertEqual(a in (2, 4) or b in (2, 4), bool(np.isnan(m[key][a][b])), (key, a, b))

    def test_clusters_by_average_linkage(self):
        """Against a plain agglomeration in Python, on experts that are mixtures of three."""
        experts, hidden, wide, rng = 12, 80, 60, np.random.default_rng(15)
        w = random_experts(experts, hidden, wide, 16)
        for part in PARTS:
            base = w[0, part][:3].copy()
            for e in range(3, experts):
                share = np.float32(.55 + .04 * e)
                w[0, part][e] = share * base[e % 3] + np.float32(np.sqrt(1 - share ** 2)) * w[0, part][e]
        for threshold in (.3, .5, .7, .9):
            d = self.run_it(self.folder(w, config(experts, hidden, wide)), "--threshold", str(threshold))
            c = self.matrices(d)[0, "joined"]["corrected"]
            groups = [[e] for e in range(experts)]
            while len(groups) > 1:
                score, a, b = max(((np.mean(c[np.ix_(x, y)]), -i, -j) for i, x in enumerate(groups)
                                   for j, y in enumerate(groups) if i < j))
                if score < threshold:
                    break
                groups[-a] = sorted(groups[-a] + groups.pop(-b))
            self.assertEqual(sorted(g["experts"] for g in d["clusters"]), sorted(g for g in groups if len(g) > 1))
            upper = {(a, b) for a in range(experts) for b in range(a + 1, experts) if c[a, b] >= threshold}
            self.assertEqual({(p["a"], p["b"]) for p in d["pairs"]}, upper)

    def test_words_and_pictures(self):
        w = random_experts(6, 32, 24, 17, layers=6)
        folder = self.folder(w, config(6, 32, 24, 6))
        png = os.path.join(self.dir, "s.png")
        r = subprocess.run([SCRUPLE, "moe", folder, "--similarity", "--png", png, "--graphics", "ascii", "-q"],
                           stdout=subprocess.PIPE)
        self.assertIn(b"likeness to the nearest expert", r.stdout)
        self.assertIn(b"most replaceable", r.stdout)
        with open(png, "rb") as f:
            self.assertEqual(struct.unpack(">II", f.read()[16:24]), (5 * (6 * 8 + 12) - 12, 6 * (6 * 8 + 12) - 12))
        r = subprocess.run([SCRUPLE, "moe", folder, "model.layers.2", "--similarity", "-q"], stdout=subprocess.PIPE)
        self.assertIn(b"layer 2, likeness of experts", r.stdout)
        self.assertEqual(self.run_it(folder, "layers.2-3")["layers"], [2, 3])
        for words in (["--threshold", "2"], ["--threshold", "x"], ["--sketch", "3"], ["--sketch", "many"],
                      ["--definition", "best"], ["--probe"]):
            self.run_it(folder, *words, status=2)

    def test_too_many(self):
        t = {"model.layers.0.mlp.experts.65535.up_proj.weight": np.ones((4, 8), np.float32)}
        r = subprocess.run([SCRUPLE, "moe", self.folder(None, config(2, 8, 4), t), "--similarity"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(r.returncode, 5, r.stderr)
        self.assertIn(b"65536 experts are more than can be compared (1024)", r.stderr)


if __name__ == "__main__":
    unittest.main()
