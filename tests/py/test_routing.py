# SPDX-License-Identifier: Apache-2.0
"""`scruple moe --probe` against an independent pass in double precision, on random small mixtures of every
architecture, as folders and as GGUF: who is chosen with which weight, together with whom, how evenly, how large the
outputs are; the same bytes for any number of threads."""
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import forward_gguf  # noqa: E402
import forward_reference as ref  # noqa: E402

SCRUPLE = os.environ["SCRUPLE"]
IDS = [int(v) for v in np.random.default_rng(9).integers(0, 150, 41)]
SPARSE = {name: c for name, c in ref.CONFIGS.items() if ref.experts_of(c)}


def run(path, *words, ids=None, status=0):
    r = subprocess.run([SCRUPLE, "moe", path, "--no-maps", "--ids", ",".join(map(str, ids or IDS)), "-q", "--json", *words],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if r.returncode != status:
        raise AssertionError(r.stderr.decode())
    return json.loads(r.stdout)["routing"] if status == 0 else r.stderr.decode()


def entropy(p):
    p = np.asarray(p, float)
    p = p[p > 0] / p.sum()
    return -(p * np.log(p)).sum()


class Routing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp()
        cls.models = {}
        for seed, (name, c) in enumerate(SPARSE.items()):
            tensors = ref.make(c, seed + 21)
            cls.models[name] = (c, tensors, ref.write_folder(os.path.join(cls.dir, name), c, tensors))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def oracle(self, c, tensors, ids=None):
        r = ref.Reference(c, tensors)
        r.run(np.array(ids or IDS))
        layers = collections.defaultdict(list)
        for layer, _, *rest in r.routed:
            layers[layer].append(rest)
        return layers

    def check(self, c, got, want):
        n, k, t = ref.experts_of(c), c["num_experts_per_tok"], len(IDS)
        self.assertEqual((got["experts"], got["per_token"], got["text_tokens"]), (n, k, t))
        self.assertEqual([x["layer"] for x in got["layers"]], sorted(want))
        self.assertEqual([x["layer"] for x in got["together"]], sorted(want))
        self.assertEqual(len(got["trace"]), t * len(want))
        for row in got["trace"]:
            ids, weights = want[row["layer"]][row["token"]][:2]
            self.assertEqual(row["experts"], list(ids))
            self.assertEqual(row["id"], IDS[row["token"]])
            np.testing.assert_allclose(row["weights"], weights, atol=2e-5)
        for layer, pairs in zip(got["layers"], got["together"]):
            rows = want[layer["layer"]]
            chosen = np.zeros((t, n))
            weight, output = np.zeros(n), np.full(n, -1.)
            for i, (ids, w, _, outs) in enumerate(rows):
                chosen[i, ids] = 1
                weight[ids] += w
                output[ids] = np.maximum(output[ids], np.abs(outs).max(1))
            count = chosen.sum(0)
            self.assertEqual(layer["tokens"], list(count))
            np.testing.assert_allclose(layer["weight"], weight, atol=1e-4)
            np.testing.assert_array_equal(pairs["counts"], chosen.T @ chosen)
            for a, b in zip(layer["output"], output):
                self.assertEqual(a is None, b < 0)
                if a is not None:
                    self.assertAlmostEqual(a, b, delta=2e-5 * output.max())
            self.assertAlmostEqual(layer["entropy"], entropy(count), places=9)
            self.assertAlmostEqual(layer["balance"], entropy(count) / np.log(n), places=9)
            self.assertAlmostEqual(layer["weight_balance"], entropy(weight) / np.log(n), places=4)
            self.assertAlmostEqual(layer["max_over_mean"], count.max() / count.mean(), places=9)
            self.assertAlmostEqual(layer["cv"], count.std() / count.mean(), places=9)
            self.assertAlmostEqual(layer["cv_uniform"], np.sqrt((n / k - 1) / t), places=9)
            self.assertEqual(layer["dead"], (count == 0).sum())
            self.assertEqual(layer["busiest"], weight.argmax())
            self.assertAlmostEqual(layer["share"], 100 * weight.max() / weight.sum(), places=3)
            sure = []
            for _, _, logits, _ in rows:
                score = 1 / (1 + np.exp(-logits)) if "V3" in c["architectures"][0] else ref.softmax(logits)
                sure.append(1 - entropy(score) / np.log(n))
            self.assertAlmostEqual(layer["certainty"], np.mean(sure), places=5)
        self.assertEqual(got["dead"], sum(x["dead"] for x in got["layers"]))
        self.assertAlmostEqual(got["dead_probability"], (1 - k / n) ** t, delta=1e-12)
        self.assertAlmostEqual(got["dead_uniform"], len(want) * n * (1 - k / n) ** t, delta=1e-9)
        together = {x["layer"]: np.array(x["counts"]) for x in got["together"]}
        for p in got["pairs"]:
            m = together[p["layer"]]
            self.assertLess(p["a"], p["b"])
            self.assertEqual(p["tokens"], m[p["a"], p["b"]])
            self.assertAlmostEqual(p["lift"], m[p["a"], p["b"]] * t / m[p["a"], p["a"]] / m[p["b"], p["b"]], places=9)
            self.assertAlmostEqual(p["lift_uniform"], (k - 1) / k * n / (n - 1), places=9)
            self.assertGreater(p["lift"], p["lift_uniform"])
        sizes = [v for x in got["layers"] for v in x["output"] if v is not None]
        self.assertAlmostEqual(got["output_995"], np.percentile(sizes, 99.5), places=6)
        self.assertEqual(got["output_most"], max(sizes))
        self.assertEqual([o["output"] for o in got["outputs"]], sorted(sizes, reverse=True)[:len(got["outputs"])])

    def test_every_architecture(self):
        for name, (c, tensors, folder) in self.models.items():
            with self.subTest(model=name):
                self.check(c, run(folder, "--trace", "--pairs"), self.oracle(c, tensors))

    def test_gguf(self):
        said = {"qwen2moe": {"decoder_sparse_step": 1}, "qwen3moe": {"mlp_only_layers": []}}
        for seed, (name, c) in enumerate(SPARSE.items()):
            with self.subTest(model=name):
                c = {**c, **said.get(name, {})}
                tensors = ref.make(c, seed + 41)
                path = os.path.join(self.dir, name + ".gguf")
                forward_gguf.write(path, c, tensors, 0)
                self.check(c, run(path, "--trace", "--pairs"), self.oracle(c, tensors))

    def test_it_would_notice_a_wrong_router(self):
        c, tensors, folder = self.models["mixtral"]
        wrong = dict(tensors)
        name = "model.layers.1.block_sparse_moe.gate.weight"
        wrong[name] = wrong[name][::-1]
        with self.assertRaises(AssertionError):
            self.check(c, run(folder, "--trace", "--pairs"), self.oracle(c, wrong))

    def test_threads_and_memory_do_not_matter(self):
        for name in ("qwen2moe", "deepseek3"):
            folder = self.models[name][2]
            first = run(folder, "--trace", "--pairs", "--window", "7", "-j", "1")
            self.assertEqual(first["windows"], 6)
            for words in (("-j", "4"), ("-j", "3", "--memory", "129M")):
                other = run(folder, "--trace", "--pairs", "--window", "7", *words)
                self.assertEqual(other["passes"], 6 if "--memory" in words else 1)
                other["passes"] = first["passes"]
                self.assertEqual(first, other)

    def test_windows_are_runs_of_their_own(self):
        c, tensors, folder = self.models["olmoe"]
        got = run(folder, "--window", "10", "--limit", "3")
        self.assertEqual((got["window"], got["windows"], got["text_tokens"]), (10, 3, 30))
        self.assertEqual(got["tokens"], IDS[:30])
        want = np.zeros((3, 6))
        for i in range(3):
            for layer, rows in self.oracle(c, tensors, IDS[10 * i:10 * i + 10]).items():
                for ids, *_ in rows:
                    want[layer, ids] += 1
        np.testing.assert_array_equal([x["tokens"] for x in got["layers"]], want)

    def test_experts_that_are_never_chosen(self):
        """A row of the router that points away from every token."""
        c, tensors, _ = self.models["qwen3moe"]
        t = dict(tensors)
        name = "model.layers.1.post_attention_layernorm.weight"
        t[name] = np.zeros_like(t[name])  # all tokens are the same to the router: the first of equals
        folder = ref.write_folder(os.path.join(self.dir, "dead"), c, t)
        got = run(folder)
        layer = got["layers"][0]
        self.assertEqual(layer["layer"], 1)
        self.assertEqual(layer["tokens"], [len(IDS)] * 2 + [0] * 4)
        self.assertEqual((layer["dead"], layer["output"][3]), (4, None))
        self.assertAlmostEqual(layer["balance"], np.log(2) / np.log(6))
        self.assertAlmostEqual(layer["certainty"], 0, places=6)
        r = subprocess.run([SCRUPLE, "moe", folder, "--no-maps", "--ids", "1,2,3"], stdout=subprocess.PIPE)
        self.assertIn(b"never chosen", r.stdout)

    def test_a_super_expert_that_was_planted(self):
        """One expert of 8 whose output is huge for one token, so that massive activations form behind it."""
        c = {**SPARSE["mixtral"], "num_local_experts": 8, "hidden_size": 64, "num_hidden_layers": 4}
        tensors = ref.make(c, 77)
        ids, *_ = self.oracle(c, tensors)[2][0]
        expert = int(ids[0])
        name = f"model.layers.2.block_sparse_moe.experts.{expert}.w2.weight"
        t = dict(tensors)
        t[name] = t[name].copy()
        t[name][11] *= 30000
        folder = ref.write_folder(os.path.join(self.dir, "super"), c, t)
        got = run(folder)
        self.assertEqual(got["super"], 1)
        found = [o for o in got["outputs"] if o["super"]]
        self.assertEqual([(o["layer"], o["expert"], o["channel"]) for o in found], [(2, expert, 11)])
        self.assertEqual([x["layer"] for x in got["layers"] if x["massive"]], [2])
        plain = run(ref.write_folder(os.path.join(self.dir, "plain"), c, tensors))
        self.assertEqual((plain["super"], [x["massive"] for x in plain["layers"]]), (0, [None] * 4))

    def test_the_same_beside_the_maps(self):
        folder = self.models["qwen2moe"][2]
        words = [SCRUPLE, "moe", folder, "-q", "--json"]
        plain, both = (json.loads(subprocess.run(words + more, stdout=subprocess.PIPE).stdout)
                       for more in ([], ["--ids", ",".join(map(str, IDS))]))
        self.assertNotIn("routing", plain)
        routing = both.pop("routing")
        both["io"] = plain["io"]
        self.assertEqual(plain, both)
        self.assertEqual(routing, run(folder))

    def test_what_cannot_run_does_not_take_the_maps_away(self):
        folder = self.models["qwen2moe"][2]  # no tokenizer, so not our text
        for words in (["--probe"], ["--text", "a"]):
            r = subprocess.run([SCRUPLE, "moe", folder, "--json", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(r.returncode, 0)
            d = json.loads(r.stdout)
            self.assertIsNone(d["routing"])
            self.assertIn("tokenizer", d["routing_error"])
            self.assertEqual(len(d["maps"]), 16)
            self.assertEqual(r.stderr.decode(), "scruple: warning: no probe: " + d["routing_error"] + "\n")
            r = subprocess.run([SCRUPLE, "moe", folder, "--no-maps", *words], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
            self.assertEqual((r.returncode != 0, r.stdout, r.stderr.count(b"\n")), (True, b"", 1))

    def test_wrong_words(self):
        folder = self.models["qwen2moe"][2]
        for words in (["--text", "a", "--ids", "1"], ["--url", "file.txt"], ["--window", "9999999"],
                      ["--url", "http://x/", "--file", "y"]):
            r = subprocess.run([SCRUPLE, "moe", folder, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual((r.returncode, r.stdout), (2, b""), words)

    def test_a_dense_model(self):
        c = ref.CONFIGS["llama"]
        folder = ref.write_folder(os.path.join(self.dir, "dense"), c, ref.make(c, 3))
        self.assertIn("no experts", run(folder, status=3))


if __name__ == "__main__":
    unittest.main()
