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


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()

    def tearDown(self):
        shutil.rmtree(self.dir)

    def folder(self, c, tensors, name="model"):
        path = os.path.join(self.dir, name)
        shutil.rmtree(path, ignore_errors=True)
        return ref.write_folder(path, c, tensors)


class Super(Case):
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
        self.assertEqual((d["label"], d["call"]), ("fatal, one of them alone", "single"))
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

    def test_the_mean_is_that_of_the_whole_tensor(self):
        """Of a large one, too, and the same that `edit --mean` writes."""
        c = dict(ref.CONFIGS["llama"], num_hidden_layers=1, intermediate_size=32768)
        tensors = louder(ref.make(c, 3), "model.layers.0.mlp", 40)
        tensors = edit(tensors, "model.layers.0.mlp.down_proj.weight", lambda w: w.__setitem__((21, 40), 900.0))
        folder = self.folder(c, tensors)
        d = run(folder, "--verify", "--rounds", "1")
        self.assertEqual([(w["row"], w["column"]) for w in d["weights"]], [(21, 40)])
        other = os.path.join(self.dir, "mean")
        subprocess.run([SCRUPLE, "edit", folder, "--mean", d["weights"][0]["at"], "-o", other], check=True,
                       stdout=subprocess.DEVNULL)
        r = subprocess.run([SCRUPLE, "eval", other, "--ids", ",".join(map(str, IDS)), "--json"], check=True,
                           stdout=subprocess.PIPE)
        self.assertEqual(next(e["nll"] for e in d["effects"] if e["kind"] == "mean"), json.loads(r.stdout)["nll"])

    def test_a_model_that_gives_no_numbers_is_not_judged(self):
        c, tensors, _, _ = self.planted()
        broken = edit(tensors, "model.norm.weight", lambda w: w.__setitem__(0, np.float32("nan")))
        d = run(self.folder(c, broken), "--verify")
        w = d["weights"][0]
        self.assertEqual((w["row"], w["column"], w["label"], w["alone_kl"]), (21, 40, None, None))
        self.assertIn("not finite", d["label"])
        self.assertIsNone(d["call"])
        for e in d["effects"]:
            self.assertEqual([e[k] for k in ("kl", "nll", "agree", "change")], [None] * 4, e["kind"])

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


TOKENS = list(range(3, 143, 8))
DENSE = ("llama", "qwen3", "gemma2", "gpt2", "phi3", "olmo2")
SPARSE = ("mixtral", "qwen2moe", "qwen3moe", "deepseek2")
PLANTS = {"scalar": [(21, 30)], "column": [(3, 30), (21, 30), (50, 30)], "row": [(21, 30), (21, 7)],
          "row of three": [(21, 30), (21, 7), (21, 14)], "two and one": [(21, 30), (3, 30), (21, 7)]}


def log_p(z):
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


class Calibration(Case):
    """What is planted is found and rightly called, and nothing else is: the figures come from an independent pass."""

    def find(self, c, tensors, *more):
        r = subprocess.run([SCRUPLE, "super", self.folder(c, tensors), "--ids", ",".join(map(str, TOKENS)), "-q", "--json",
                            *more], stdout=subprocess.PIPE, check=True)
        return json.loads(r.stdout)

    def names(self, c, expert=2, layer=1):
        """Matrices that make a neuron of layer 1 loud, its down projection, and whether they are stored transposed."""
        family = c["architectures"][0]
        if family == "GPT2LMHeadModel":
            return [f"h.{layer}.mlp.c_fc.weight"], f"h.{layer}.mlp.c_proj.weight", True
        p = f"model.layers.{layer}."
        if family == "MixtralForCausalLM":
            p += f"block_sparse_moe.experts.{expert}."
            return [p + "w1.weight", p + "w3.weight"], p + "w2.weight", False
        p += f"mlp.experts.{expert}." if ref.is_sparse(c, layer) else "mlp."
        up = [p + "gate_up_proj.weight"] if family == "Phi3ForCausalLM" else [p + "gate_proj.weight", p + "up_proj.weight"]
        return up, p + "down_proj.weight", False

    def plant(self, name, seed, cells, value=24.0, loud=6):
        c = ref.CONFIGS[name]
        tensors = {n: v.copy() for n, v in ref.make(c, seed).items()}
        up, down, turned = self.names(c)
        for column in {k for _, k in cells}:
            for n in up:
                w = tensors[n].T if turned else tensors[n]
                for row in (column, column + len(w) // 2) if "gate_up" in n else (column,):
                    w[row] = ref.to_bf16(w[row] * (9 if turned else loud))
        for row, column in cells:
            tensors[down][(column, row) if turned else (row, column)] = value * (1 if (row + column) % 2 else -1)
        return c, tensors

    def without(self, c, tensors, cells):
        _, down, turned = self.names(c)
        out = {**tensors, down: tensors[down].copy()}
        for row, column in cells:
            out[down][(column, row) if turned else (row, column)] = 0
        return out

    def stands_out(self, c, tensors, cells, cell):
        """Alone, it makes thirty times the median of the layer and of its position."""
        r = ref.Reference(c, self.without(c, tensors, [x for x in cells if x != cell]))
        r.run(np.array(TOKENS))
        x, y = r.seen["down_in.1"], np.abs(r.seen["down_out.1"])
        _, down, turned = self.names(c)
        w = tensors[down].T if turned else tensors[down]
        part = np.abs(x[:, cell[1]] * w[cell])
        least = 30 * np.maximum(np.median(y), np.median(y, axis=1))
        return (part > 1.05 * least).any(), (part > .95 * least).any()

    def test_planted_ones_are_found_and_nothing_else(self):
        planted = 0
        for name in DENSE:
            for kind, cells in PLANTS.items():
                c, tensors = self.plant(name, 3 + len(kind), cells)
                with self.subTest(model=name, plant=kind):
                    found = {(w["layer"], w["row"], w["column"]) for w in self.find(c, tensors)["weights"]}
                    surely = [x for x in cells if self.stands_out(c, tensors, cells, x)[0]]
                    planted += len(surely)
                    self.assertLessEqual({(1, *x) for x in surely}, found)
                    self.assertLessEqual(found, {(1, *x) for x in cells})
        self.assertGreater(planted, 60)  # of 66: the others are planted in a neuron that these tokens do not wake

    def test_planted_in_experts(self):
        for name in SPARSE:
            for kind in ("scalar", "column"):
                c, tensors = self.plant(name, 3, PLANTS[kind])
                with self.subTest(model=name, plant=kind):
                    found = {(w["layer"], w["expert"], w["row"], w["column"]) for w in self.find(c, tensors)["weights"]}
                    self.assertEqual(found, {(1, "2", *x) for x in PLANTS[kind]})

    def test_single_or_joint(self):
        """As the reference says: does zeroing one do more than half of what zeroing all does?"""
        calls = []
        for name in ("llama", "gpt2", "phi3", "qwen3"):
            for kind in ("scalar", "column", "row"):
                c, tensors = self.plant(name, 4, PLANTS[kind])
                base = log_p(ref.Reference(c, tensors).run(np.array(TOKENS)))

                def kl(cells):
                    q = log_p(ref.Reference(c, self.without(c, tensors, cells)).run(np.array(TOKENS)))
                    return (np.exp(base) * (base - q)).sum(1).mean()

                d = self.find(c, tensors, "--verify")
                places = [(w["row"], w["column"]) for w in d["weights"]]
                every, alone = kl(places), [kl([x]) for x in places]
                with self.subTest(model=name, plant=kind):
                    self.assertGreater(every, .05)
                    effects = {(e["kind"], e["weight"]): e["kl"] for e in d["effects"]}
                    self.assertAlmostEqual(effects["all", None] / every, 1, delta=1e-2)
                    for i, x in enumerate(alone):
                        self.assertAlmostEqual(effects["alone", i], x, delta=1e-2 * every)
                        label = d["weights"][i]["label"]
                        self.assertEqual(label == "fatal alone", x > every / 2, (label, x, every))
                    self.assertEqual(d["call"], "single" if max(alone) > every / 2 else "joint")
                    calls.append(d["call"])
        self.assertGreater(min(calls.count("single"), calls.count("joint")), 2)

    def test_twins_are_inert_alone_and_fatal_together(self):
        """Two neurons that do the same write to one channel, so much that half of it is as good as all of it: what
        follows is normed."""
        c, tensors = self.plant("llama", 4, [(21, 30), (21, 7)], value=20000.0)
        up, down, _ = self.names(c)
        for n in up:
            tensors[n][7] = tensors[n][30]
        tensors[down][21, 7] = tensors[down][21, 30]
        d = self.find(c, tensors, "--verify")
        self.assertEqual({(w["row"], w["column"]) for w in d["weights"]}, {(21, 30), (21, 7)})
        for w in d["weights"]:
            self.assertAlmostEqual(w["share"], .5, delta=.01)
            self.assertEqual((w["in_row"], w["in_column"]), (2, 1))
            self.assertEqual(w["label"], "needed for the joint effect")  # either keeps it
            self.assertLess(w["alone_kl"], .01)
        self.assertEqual((d["call"], d["label"]), ("joint", "inert alone, fatal together"))

    def test_groups_are_zeroed_together(self):
        cells = PLANTS["two and one"]
        c, tensors = self.plant("llama", 3, cells)
        d = self.find(c, tensors, "--verify")
        at = [(w["row"], w["column"]) for w in d["weights"]]
        self.assertEqual(set(at), set(cells))
        base = log_p(ref.Reference(c, tensors).run(np.array(TOKENS)))
        for kind, axis, shared in (("column", 1, 30), ("row", 0, 21)):
            [e] = [e for e in d["effects"] if e["kind"] == kind]
            members = [x for x in cells if x[axis] == shared]
            self.assertIn(at[e["weight"]], members)
            q = log_p(ref.Reference(c, self.without(c, tensors, members)).run(np.array(TOKENS)))
            self.assertAlmostEqual(e["kl"], (np.exp(base) * (base - q)).sum(1).mean(), delta=1e-3)
        self.assertEqual([w["in_column"] for w in d["weights"]], [1 + (k == 30) for _, k in at])

    def test_a_loud_neuron_is_no_scalar(self):
        """All that it writes is large, and no weight of it stands out."""
        for name in ("llama", "gpt2", "phi3"):
            for seed in range(5):
                c, tensors = self.plant(name, seed, [(0, 30)], loud=20)
                tensors[self.names(c)[1]] = ref.make(c, seed)[self.names(c)[1]]
                with self.subTest(model=name, seed=seed):
                    self.assertEqual(self.find(c, tensors)["weights"], [])

    def test_a_hundred_random_models_have_none(self):
        for name in (*DENSE, *SPARSE):
            for seed in range(10):
                c = ref.CONFIGS[name]
                with self.subTest(model=name, seed=seed):
                    self.assertEqual(self.find(c, ref.make(c, 100 + seed))["weights"], [])


if __name__ == "__main__":
    unittest.main()
