# SPDX-License-Identifier: Apache-2.0
"""Super weights that were planted are found and rightly judged, those that were not are not; what happens without them
is what an independent pass in double precision says, and bit for bit what the edited model does."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import forward_reference as ref  # noqa: E402

SCRUPLE = os.environ["SCRUPLE"]
IDS = list(range(3, 143, 4))


def run(folder, *more):
    r = subprocess.run([SCRUPLE, "super", folder, "--ids", ",".join(map(str, IDS)), "-q", "--json", *more],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if r.returncode:
        raise AssertionError(r.stderr.decode())
    return json.loads(r.stdout)


def edit(tensors, name, change):
    out = dict(tensors)
    out[name] = out[name].copy()
    change(out[name])
    return out


def louder(tensors, prefix, neuron, names=("gate_proj", "up_proj")):
    for n in names:
        tensors = edit(tensors, f"{prefix}.{n}.weight",
                       lambda w: w.__setitem__(neuron, ref.to_bf16(w[neuron] * 6)))
    return tensors


class Super(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()

    def tearDown(self):
        shutil.rmtree(self.dir)

    def folder(self, c, tensors, name="model"):
        path = os.path.join(self.dir, name)
        shutil.rmtree(path, ignore_errors=True)
        return ref.write_folder(path, c, tensors)

    def planted(self, name="llama", layer=1, neuron=40, rows=((21, 24.0),), seed=3):
        c = ref.CONFIGS[name]
        down = f"model.layers.{layer}.mlp.down_proj.weight"
        tensors = louder(ref.make(c, seed), f"model.layers.{layer}.mlp", neuron)
        plain = tensors
        for row, value in rows:
            tensors = edit(tensors, down, lambda w: w.__setitem__((row, neuron), value))
        return c, tensors, plain, down

    def test_a_planted_scalar(self):
        c, tensors, _, down = self.planted()
        d = run(self.folder(c, tensors), "--verify")
        self.assertEqual(len(d["weights"]), 1)
        w = d["weights"][0]
        self.assertEqual((w["layer"], w["row"], w["column"], w["weight"], w["tensor"]), (1, 21, 40, 24.0, down))
        self.assertEqual((w["stored_row"], w["stored_column"]), (21, 40))
        r = ref.Reference(c, tensors)
        base = r.run(np.array(IDS))
        x, y = r.seen["down_in.1"], r.seen["down_out.1"]
        t = w["token"]
        self.assertEqual(np.unravel_index(np.abs(y).argmax(), y.shape), (t, 21))
        self.assertAlmostEqual(w["share"], 24 * x[t, 40] / y[t, 21], delta=1e-5)
        self.assertAlmostEqual(w["ratio"] / (abs(y[t, 21]) / np.sort(np.abs(y).ravel())[y.size // 2]), 1, delta=1e-4)
        zeroed = ref.Reference(c, edit(tensors, down, lambda a: a.__setitem__((21, 40), 0))).run(np.array(IDS))

        def log_p(z):
            z = z - z.max(1, keepdims=True)
            return z - np.log(np.exp(z).sum(1, keepdims=True))

        p, q = log_p(base), log_p(zeroed)
        effects = {(e["kind"], e["weight"], e["factor"]): e for e in d["effects"]}
        alone = effects["alone", 0, 0]
        self.assertAlmostEqual(alone["kl"], (np.exp(p) * (p - q)).sum(1).mean(), delta=1e-4)
        self.assertAlmostEqual(alone["nll"], -q[np.arange(len(IDS) - 1), IDS[1:]].mean(), delta=1e-4)
        self.assertAlmostEqual(alone["agree"], (p.argmax(1) == q.argmax(1)).mean(), delta=1e-9)
        self.assertAlmostEqual(alone["change"], np.linalg.norm(zeroed - base) / np.linalg.norm(base), delta=1e-4)
        self.assertEqual(w["label"], "fatal alone")
        self.assertEqual(d["label"], "fatal")
        null = [e["kl"] for e in d["effects"] if e["kind"] == "null"]
        self.assertEqual(len(null), 4)
        self.assertLess(max(null), alone["kl"] / 10)

    def test_a_variant_has_the_bits_of_the_edited_model(self):
        """What zeroing all does is what the model with zeros does; the base line of one is the variant of the other."""
        c, tensors, _, down = self.planted(rows=((21, 24.0), (7, -19.0)))
        d = run(self.folder(c, tensors), "--verify")
        self.assertEqual({(w["row"], w["column"]) for w in d["weights"]}, {(21, 40), (7, 40)})
        everything = next(e for e in d["effects"] if e["kind"] == "all")
        half = next(e for e in d["effects"] if e["kind"] == "scaled" and e["factor"] == 0.5)
        for factor, effect in ((0.0, everything), (0.5, half)):
            def scale(w):
                w[21, 40] *= factor
                w[7, 40] *= factor
            other = self.folder(c, edit(tensors, down, scale), "edited")
            # something must be found there for effects to be told: a low bar finds anything
            base = run(other, "--verify", "--ratio", "1.5", "--share", "0.01", "--rounds", "1")["effects"][0]
            self.assertEqual(base["nll"], effect["nll"])

    def test_weights_that_share_a_column(self):
        c, tensors, _, _ = self.planted(rows=((3, 11.0), (30, -12.0), (50, 10.0)))
        d = run(self.folder(c, tensors), "--verify")
        self.assertEqual({(w["row"], w["column"]) for w in d["weights"]}, {(3, 40), (30, 40), (50, 40)})
        kinds = [e["kind"] for e in d["effects"]]
        self.assertEqual((kinds.count("alone"), kinds.count("without")), (3, 3))

    def test_one_that_hides_another(self):
        """The second stands in a later layer and is seen only after the first is gone, or together with it."""
        c, tensors, _, _ = self.planted()
        tensors = louder(tensors, "model.layers.2.mlp", 11)
        tensors = edit(tensors, "model.layers.2.mlp.down_proj.weight", lambda w: w.__setitem__((60, 11), -40.0))
        d = run(self.folder(c, tensors))
        self.assertEqual({(w["layer"], w["row"], w["column"]) for w in d["weights"]}, {(1, 21, 40), (2, 60, 11)})

    def test_in_an_expert(self):
        c = ref.CONFIGS["qwen3moe"]
        tensors = louder(ref.make(c, 4), "model.layers.1.mlp.experts.3", 17)
        tensors = edit(tensors, "model.layers.1.mlp.experts.3.down_proj.weight",
                       lambda w: w.__setitem__((9, 17), 30.0))
        d = run(self.folder(c, tensors), "--verify")
        self.assertEqual([(w["layer"], w["expert"], w["row"], w["column"]) for w in d["weights"]], [(1, "3", 9, 17)])

    def test_in_a_matrix_that_is_stored_transposed(self):
        c = ref.CONFIGS["gpt2"]
        tensors = edit(ref.make(c, 5), "h.1.mlp.c_fc.weight", lambda w: w.__setitem__((slice(None), 100),
                                                                                     ref.to_bf16(w[:, 100] * 9)))
        tensors = edit(tensors, "h.1.mlp.c_proj.weight", lambda w: w.__setitem__((100, 33), 30.0))
        d = run(self.folder(c, tensors), "--verify")
        w = d["weights"][0]
        self.assertEqual((w["layer"], w["row"], w["column"], w["stored_row"], w["stored_column"]), (1, 33, 100, 100, 33))
        self.assertEqual(w["weight"], 30.0)

    def test_behind_norms(self):
        """Gemma 2 norms what the MLP gives, so its spike is not in the stream; it is in the projection."""
        c = ref.CONFIGS["gemma2"]
        tensors = louder(ref.make(c, 6), "model.layers.2.mlp", 50)
        tensors = edit(tensors, "model.layers.2.mlp.down_proj.weight", lambda w: w.__setitem__((12, 50), -30.0))
        d = run(self.folder(c, tensors))
        first = d["weights"][0]
        self.assertEqual((first["layer"], first["row"], first["column"], first["round"]), (2, 12, 50, 0))
        # the neuron is so loud that its other weights stand out once this one is gone
        self.assertEqual({w["column"] for w in d["weights"]}, {50})

    def test_random_models_have_none(self):
        for name in ("llama", "qwen3", "gemma2", "gpt2", "mixtral"):
            for seed in range(20):
                c = ref.CONFIGS[name]
                with self.subTest(model=name, seed=seed):
                    self.assertEqual(run(self.folder(c, ref.make(c, 100 + seed)))["weights"], [])

    def test_published_ones_are_named(self):
        d = run(self.folder(*self.planted()[:2]))
        self.assertEqual(d["published"], [])

    def test_wrong_words(self):
        c, tensors, _, _ = self.planted()
        folder = self.folder(c, tensors)
        for words in (["--ratio", "x"], ["--ratio", "0.5"], ["--share", "2"], ["--share", ""], ["--rounds", "1000"]):
            r = subprocess.run([SCRUPLE, "super", folder, "--ids", "1", *words], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, universal_newlines=True)
            self.assertEqual(r.returncode, 2, words)
            self.assertEqual(r.stderr.count("\n"), 1)
            self.assertIn(words[0], r.stderr)


if __name__ == "__main__":
    unittest.main()
