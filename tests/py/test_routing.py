# SPDX-License-Identifier: Apache-2.0
"""`scruple moe --probe` against an independent pass in double precision, on random small mixtures of every
architecture, as folders and as GGUF: who is chosen with which weight, together with whom, how evenly, how large the
outputs are; the same bytes for any number of threads."""
import collections
import http.server
import itertools
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import zlib

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

    def by_chance(self, p, k):
        """How often two of k experts are chosen together by chance, when each is as often as p."""
        c = p * (1 - p)
        for _ in range(2000):
            c = .5 * c + .5 * p * (1 - p) / np.maximum(1 - c / max(c.sum(), 1e-300), .5)
        both = np.outer(p, p) - np.outer(c, c) / max(c.sum(), 1e-300)
        both = np.clip(both, np.maximum(np.add.outer(p, p) - 1, 0), np.minimum.outer(p, p))
        np.fill_diagonal(both, 0)
        np.testing.assert_allclose(both.sum(1), (k - 1) * p, atol=.02)
        return both

    def test_chance_is_that_of_samples_of_a_fixed_size(self):
        """The oracle's formula against all subsets: equal experts, three, and experts of all kinds."""
        np.testing.assert_allclose(self.by_chance(np.full(8, 3 / 8), 3)[0, 1], 3 / 8 * 2 / 7)
        for weights, k in (([1., 2, 5], 2), ([1., 1, 2, 3, 4, 8], 2), ([.2, 1, 1, 2, 3, 9], 3)):
            n, p, both = len(weights), np.zeros(len(weights)), np.zeros((len(weights),) * 2)
            sets = list(itertools.combinations(range(n), k))
            odds = np.array([np.prod([weights[i] for i in s]) for s in sets])
            for s, o in zip(sets, odds / odds.sum()):
                for i in s:
                    p[i] += o
                    for j in s:
                        both[i, j] += o * (i != j)
            np.testing.assert_allclose(self.by_chance(p, k), both, atol=.02)

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
            expected = self.by_chance(m.diagonal() / t, k)[p["a"], p["b"]]
            self.assertAlmostEqual(p["lift_chance"], expected * t * t / m[p["a"], p["a"]] / m[p["b"], p["b"]], places=6)
            self.assertGreater(p["lift"], p["lift_chance"])
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

    def lost(self, c, tensors, drops, reroute, ids):
        """What becomes of the expectations of a model without some experts."""
        r = ref.Reference(c, tensors)
        base = r.run(np.array(ids))
        r.drops, r.reroute = set(drops), reroute
        other = r.run(np.array(ids))
        p, q = (np.log(ref.softmax(v)) for v in (base, other))
        at = np.arange(len(ids) - 1)
        nll = [-v[at, ids[1:]].mean() for v in (p, q)]
        return {"kl": (np.exp(p) * (p - q)).sum(1).mean(), "nll": nll[1], "perplexity_ratio": np.exp(nll[1] - nll[0]),
                "agree": (p.argmax(1) == q.argmax(1)).mean(),
                "change": np.linalg.norm(other - base) / np.linalg.norm(base)}, nll[0]

    def test_dropped_experts(self):
        for name, (c, tensors, folder) in self.models.items():
            for reroute in (False, True):
                with self.subTest(model=name, reroute=reroute):
                    got = run(folder, "--drop", "top,2.1+1.0" if name != "qwen2moe" else "top,1.0+1.2",
                              *(["--reroute"] if reroute else []))
                    drops = got["drops"]
                    sets = [[(x["layer"], x["expert"]) for x in d["experts"]] for d in drops["list"]]
                    tops = [[(x["layer"], x["busiest"])] for x in got["layers"]]
                    self.assertEqual(sets[:len(tops)], tops)
                    self.assertEqual(sets[-1], sorted({x for s in sets[:-1] for x in s}))
                    self.assertEqual((drops["reroute"], drops["text_tokens"], drops["passes"]), (reroute, len(IDS), 1))
                    for d, s in zip(drops["list"], sets):
                        want, nll = self.lost(c, tensors, s, reroute, IDS)
                        self.assertAlmostEqual(drops["nll"], nll, delta=1e-5)
                        for key, value in want.items():
                            self.assertAlmostEqual(d[key], value, delta=2e-5 * max(1, abs(value)), msg=(key, s))
                        self.assertGreater(d["kl"], 1e-4)
                        self.assertLessEqual(d["nll_low"], d["nll"] - drops["nll"])
                        self.assertGreaterEqual(d["nll_high"], d["nll"] - drops["nll"])

    def test_dropping_one_that_is_never_chosen_changes_nothing(self):
        folder = self.models["mixtral"][2]
        layer = run(folder, ids=IDS[:2])["layers"][0]
        unused = layer["tokens"].index(0)
        for words in ([], ["--reroute"]):
            got = run(folder, "--drop", f"0.{unused},0.{layer['busiest']}", *words, ids=IDS[:2])["drops"]["list"]
            self.assertLess(got[0]["kl"], 1e-7)
            self.assertEqual([got[0][k] for k in ("agree", "nll_low", "nll_high")], [1, 0, 0])
            self.assertGreater(got[1]["kl"], 1e-3)
            self.assertEqual(got[1]["kl"], got[2]["kl"])

    def test_few_at_a_time_are_the_same(self):
        folder = self.models["deepseek2"][2]
        first = run(folder, "--drop", "top,1.1,1.2,2.3", "-j", "1")["drops"]
        self.assertEqual(first["passes"], 1)
        for words in (["-j", "4"], ["--memory", "90M"]):
            other = run(folder, "--drop", "top,1.1,1.2,2.3", *words)["drops"]
            self.assertEqual(other.pop("passes") > 1, "90M" in words)
            self.assertEqual({k: v for k, v in first.items() if k != "passes"}, other)

    def test_wrong_drops(self):
        folder = self.models["qwen2moe"][2]
        for drop, word in (("1", "LAYER.EXPERT"), ("1.2+", "1.2+"), ("a.b", "a.b"), ("0.1", "layer 0 has no experts"),
                           ("1.6", "0 to 5"), ("9.1", "layer 9"), ("1.1+1.1", "twice"), ("-1.1", "-1.1")):
            self.assertIn(word, run(folder, "--drop=" + drop, status=2))
        self.assertIn("3 that work", run(folder, "--drop", "1.0+1.1+1.2+1.3", "--reroute", status=2))
        self.assertIn("--drop", run(folder, "--reroute", status=2))

    def test_a_trace_in_a_file(self):
        folder, path = self.models["deepseek3"][2], os.path.join(self.dir, "trace.jsonl")
        want = run(folder, "--trace", "--trace-file", path)["trace"]
        with open(path) as f:
            lines = [json.loads(line) for line in f]
        self.assertEqual(len(lines), len(IDS))
        flat = [{"token": t["token"], "id": t["id"], "piece": t["piece"], **x} for t in lines for x in t["layers"]]
        self.assertEqual(flat, want)
        self.assertNotIn("trace", run(folder, "--trace-file", path))

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

    def test_the_picture_has_frequencies_behind_the_maps(self):
        c, tensors, folder = self.models["deepseek3"]  # its first layer is dense
        n, layers = ref.experts_of(c), 2
        for more, left in (([], 4 * (n * 16 + 16)), (["--no-maps"], 0)):
            png = os.path.join(self.dir, "m.png")
            subprocess.run([SCRUPLE, "moe", folder, "-q", "--json", "--png", png, "--norm", "max", "--ids",
                            ",".join(map(str, IDS)), *more], stdout=subprocess.DEVNULL, check=True)
            with open(png, "rb") as f:
                data = f.read()
            width, height = struct.unpack(">II", data[16:24])
            self.assertEqual((width, height), (left + n * 16, layers * 16))
            at, idat = 8, b""
            while at < len(data):
                size, kind = struct.unpack(">I4s", data[at:at + 8])
                idat += data[at + 8:at + 8 + size] if kind == b"IDAT" else b""
                at += 12 + size
            pixels = np.frombuffer(zlib.decompress(idat), np.uint8).reshape(height, width + 1)[:, 1:]
            count = np.array([x["tokens"] for x in run(folder)["layers"]], float)
            np.testing.assert_allclose(pixels[8::16, left + 8::16], np.floor(count / count.max() * 239), atol=1)

    def test_only_experts_that_are_chosen_are_read(self):
        c, _, folder = self.models["mixtral"]
        r = subprocess.run([SCRUPLE, "moe", folder, "--no-maps", "--ids", "7", "-q", "--json"], stdout=subprocess.PIPE)
        d = json.loads(r.stdout)
        each = 4 * 3 * c["hidden_size"] * c["intermediate_size"]
        rest = d["io"]["bytes_total"] - d["io"]["bytes_read"]
        self.assertEqual(d["routing"]["dead"], 3 * (5 - 2))
        self.assertGreaterEqual(rest, 3 * (5 - 2) * each)

    def test_maps_for_the_viewer(self):
        folder, got = self.models["deepseek3"][2], run(self.models["deepseek3"][2])
        out = os.path.join(self.dir, "view")
        subprocess.run([SCRUPLE, "moe", folder, "--no-maps", "-q", "--out", out, "--ids", ",".join(map(str, IDS))],
                       check=True)
        with open(os.path.join(out, "0", "scene.json")) as f:
            scene = json.load(f)
        names = scene["tensors"]["name"]
        self.assertEqual(sorted(names), ["lift 1", "lift 2", "routed output", "routed tokens", "routed weight", "together 1",
                                         "together 2"])
        shown = scene["maps"][names.index("routed tokens")]
        count = np.sort(np.concatenate([x["tokens"] for x in got["layers"]])) / len(IDS)
        self.assertAlmostEqual(shown["low"], count[round(.02 * (len(count) - 1))], places=6)
        self.assertAlmostEqual(shown["high"], count[round(.98 * (len(count) - 1))], places=6)

    def test_a_map_that_is_too_wide(self):
        """Columns of neighbours; characters for five levels of brightness."""
        c = {**SPARSE["mixtral"], "num_local_experts": 300, "num_hidden_layers": 1, "intermediate_size": 8}
        folder = ref.write_folder(os.path.join(self.dir, "wide"), c, ref.make(c, 4))
        r = subprocess.run([SCRUPLE, "moe", folder, "--no-maps", "--ids", ",".join(map(str, IDS)), "--graphics", "ascii",
                            "--norm", "max"], stdout=subprocess.PIPE, check=True)
        lines = r.stdout.decode().split("\n")
        at = lines.index("(a column is the largest of 3 experts)") + 1
        count = np.array(run(folder)["layers"][0]["tokens"])
        most = count.reshape(100, 3).max(1)
        self.assertEqual([c == " " for c in lines[at].ljust(100)], list(most == 0))
        self.assertEqual({lines[at][i] for i in np.flatnonzero(most == most.max())}, {"%"})

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

    def spelled(self):
        """A model whose tokens are bytes, behind a begin."""
        c = {**SPARSE["qwen3moe"], "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "mlp_only_layers": [],
             "moe_intermediate_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1}
        folder = os.path.join(self.dir, "spelled")
        if os.path.exists(folder):
            return folder
        ref.write_folder(folder, c, ref.make(c, 5))
        plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
        rest = [b for b in range(256) if b not in plain]
        vocab = {**{chr(b): b for b in plain}, **{chr(256 + i): b for i, b in enumerate(rest)}, "<s>": 299}
        with open(os.path.join(folder, "tokenizer.json"), "w") as f:
            json.dump({"version": "1.0", "added_tokens": [
                {"id": 299, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": True}], "normalizer": None,
                "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                "post_processor": {"type": "TemplateProcessing", "single": [
                    {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                    "special_tokens": {"<s>": {"id": "<s>", "ids": [299], "tokens": ["<s>"]}}},
                "decoder": {"type": "ByteLevel"},
                "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                          "end_of_word_suffix": None, "fuse_unk": False, "vocab": vocab, "merges": []}}, f)
        return folder

    def read(self, *words, status=0):
        r = subprocess.run([SCRUPLE, "moe", self.spelled(), "--no-maps", "-q", "--json", *words], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, env={**os.environ, "HF_HUB_OFFLINE": "0", "SCRUPLE_CACHE": os.path.join(self.dir, "cache")})
        self.assertEqual(r.returncode, status, r.stderr)
        return json.loads(r.stdout)["routing"] if status == 0 else r.stderr.decode()

    def test_a_text_of_our_own(self):
        got = self.read("--probe")
        self.assertEqual(got["tokens"][0], 299)
        text = bytes(got["tokens"][1:]).decode()
        self.assertGreater(len(text), 2000)
        for piece in ("gcd(", "def ", "Proof", "SELECT", "дети", "猫", "البحر", "\n\n"):
            self.assertIn(piece, text)
        self.assertEqual((got["window"], got["windows"]), (256, -(-len(got["tokens"]) // 256)))
        self.assertEqual(self.read("--probe", "--no-special", "--window", "16")["tokens"], got["tokens"][1:])

    def test_texts_from_everywhere(self):
        text = "Vier Fünftel, 四分の五: x < y\n"
        path = os.path.join(self.dir, "text.txt")
        with open(path, "w") as f:
            f.write(text)
        want = self.read("--text", text)
        self.assertEqual(bytes(want["tokens"][1:]).decode(), text)
        self.assertEqual(self.read("--file", path), want)

        class Server(http.server.SimpleHTTPRequestHandler):
            def answer(self, status, n, body=None, **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(n))
                self.end_headers()
                try:
                    self.wfile.write(bytes(n) if body is None else body)
                except ConnectionError:
                    pass  # nobody wants the rest

            def do_GET(self):
                if self.path == "/huge":
                    first, last = (int(v) for v in self.headers["Range"][6:].split("-"))
                    self.answer(206, last - first + 1, Content_Range=f"bytes {first}-{last}/{1 << 40}")
                elif self.path == "/whole":
                    self.answer(200, (16 << 20) + 1)
                elif self.path == "/a/text.txt":
                    self.answer(200, len(text.encode()), text.encode())
                else:
                    self.send_error(404)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        at = f"http://127.0.0.1:{server.server_port}"
        try:
            self.assertEqual(self.read("--url", at + "/a/text.txt"), want)
            self.assertIn("404", self.read("--url", at + "/none", status=4))
            for name, size in (("/huge", 1 << 40), ("/whole", (16 << 20) + 1)):
                self.assertIn(f"{size} bytes, allowed are 16777216", self.read("--url", at + name, status=5))
            self.assertIn("offline", self.read("--url", at + "/a/text.txt", "--offline", status=4))
        finally:
            server.shutdown()
            server.server_close()

    def test_a_dense_model(self):
        c = ref.CONFIGS["llama"]
        folder = ref.write_folder(os.path.join(self.dir, "dense"), c, ref.make(c, 3))
        self.assertIn("no experts", run(folder, status=3))


if __name__ == "__main__":
    unittest.main()
