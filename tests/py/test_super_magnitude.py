# SPDX-License-Identifier: Apache-2.0
"""The largest weights against numpy: every ranking, every kind, every way in which matrices are stored, equal sizes,
NaN and infinities; lines that hold too many; coordinates that were published."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import forward_gguf  # noqa: E402
import forward_reference as ref  # noqa: E402
import planted_model  # noqa: E402
import test_diff_gguf as gguf  # noqa: E402
import test_moe as moe  # noqa: E402

SCRUPLE = os.environ["SCRUPLE"]
KINDS = {"q_proj": "q_proj", "k_proj": "k_proj", "v_proj": "v_proj", "o_proj": "o_proj", "gate_proj": "gate_proj",
         "up_proj": "up_proj", "down_proj": "down_proj", "w1": "gate_proj", "w2": "down_proj", "w3": "up_proj",
         "gate": "router", "qkv_proj": "qkv_proj", "gate_up_proj": "gate_up_proj", "c_attn": "qkv_proj",
         "c_fc": "up_proj", "shared_expert_gate": "router"}


def kind_of(name):
    if name.endswith("attn.c_proj.weight"):
        return "o_proj"
    if name.endswith("mlp.c_proj.weight"):
        return "down_proj"
    return KINDS.get(name.split(".")[-2])


def layer_of(name):
    words = name.split(".")
    return next((int(b) for a, b in zip(words, words[1:]) if a in ("layers", "h") and b.isdigit()), None)


def ranked(tensors):
    """Those that are ranked if nothing is said, in natural order."""
    def key(name):
        return [(0, int(w), "") if w.isdigit() else (1, 0, w) for w in name.split(".")]
    return {n: tensors[n] for n in sorted(tensors, key=key)
            if tensors[n].ndim > 1 and kind_of(n) and "embed" not in n}


def largest(parts, n=None, above=None):
    """[(name, element, value)] of the largest of several tensors; of equal ones the first."""
    names = list(parts)
    which = np.concatenate([np.full(parts[x].size, i) for i, x in enumerate(names)])
    element = np.concatenate([np.arange(parts[x].size) for x in names])
    value = np.concatenate([parts[x].ravel() for x in names])
    size = np.where(np.isfinite(value), np.abs(value), -1)
    order = np.lexsort((element, which, -size))
    order = order[size[order] >= 0]
    order = order[:n] if above is None else order[size[order] > above]
    return [(names[which[i]], int(element[i]), float(value[i])) for i in order]


def listed(d):
    return [(w["tensor"], w["stored_row"], w["stored_column"], w["weight"]) for w in d["weights"]]


def as_stored(found, tensors):
    return [(n, *divmod(e, int(np.prod(tensors[n].shape[1:]))), v) for n, e, v in found]


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()

    def tearDown(self):
        shutil.rmtree(self.dir)

    def folder(self, c, tensors, name="model", **how):
        path = os.path.join(self.dir, name)
        shutil.rmtree(path, ignore_errors=True)
        return ref.write_folder(path, c, tensors, **how)

    def run_it(self, *words, status=0, env=None):
        r = subprocess.run([SCRUPLE, "super", "--by", "magnitude", "-q", *words], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, env={**os.environ, **(env or {})})
        self.assertEqual(r.returncode, status, r.stderr.decode())
        return r.stdout.decode() if not status else r.stderr.decode()

    def find(self, *words, **how):
        return json.loads(self.run_it("--json", *words, **how))


class Rankings(Case):
    def test_of_the_model_layers_tensors(self):
        c = ref.CONFIGS["qwen2moe"]
        tensors = ref.make(c, 1)
        path, parts = self.folder(c, tensors), ranked(tensors)
        self.assertEqual(listed(self.find(path)), as_stored(largest(parts, 20), tensors))
        layers = {layer_of(n) for n in parts}
        expected = [w for i in sorted(layers)
                    for w in largest({n: v for n, v in parts.items() if layer_of(n) == i}, 7)]
        self.assertEqual(listed(self.find(path, "--top", "7", "--per", "layer")), as_stored(expected, tensors))
        for per in ("tensor", "matrix"):  # no stack here, so they are the same
            expected = [w for n, v in parts.items() for w in largest({n: v}, max(1, int(v.size * .001)))]
            self.assertEqual(listed(self.find(path, "--percent", ".1", "--per", per)), as_stored(expected, tensors))
        d = self.find(path, "--above", ".6")
        self.assertEqual(listed(d), as_stored(largest(parts, above=.6), tensors))
        self.assertGreater(len(d["weights"]), 20)
        self.assertEqual(d["totals"]["values"], sum(v.size for v in parts.values()))

    def test_as_superweights_does(self):
        """Its own loop, on a model of which it can read the names: k = max(1, int(n threshold)) a tensor."""
        c = ref.CONFIGS["llama"]
        tensors = ref.make(c, 2)
        path = self.folder(c, tensors)
        threshold = 1e-3
        d = self.find(path, "--percent", str(100 * threshold), "--per", "tensor")
        ours = {}
        for w in d["weights"]:
            ours.setdefault(w["tensor"], []).append((w["stored_row"], w["stored_column"]))
        for name, v in tensors.items():
            if any(word in name for word in ("layernorm", "norm", "embed_tokens", "lm_head")):
                self.assertNotIn(name, ours)
                continue
            k = max(1, int(v.size * threshold))
            top = np.sort(np.abs(v).ravel())[::-1][:k]
            self.assertEqual(len(ours[name]), k)
            np.testing.assert_array_equal([abs(v[at]) for at in ours[name]], top)

    def test_kinds_layers_and_names(self):
        c = ref.CONFIGS["llama"]
        tensors = ref.make(c, 3)
        path, parts = self.folder(c, tensors), ranked(tensors)

        def check(keep, *words):
            expected = largest({n: v for n, v in parts.items() if keep(n)}, 20)
            self.assertEqual(listed(self.find(path, *words)), as_stored(expected, tensors), words)

        check(lambda n: kind_of(n) in ("down_proj", "o_proj"), "--kind", "down_proj,o_proj")
        check(lambda n: layer_of(n) in (0, 2), "--layers", "0,2-9")
        check(lambda n: "mlp" in n and layer_of(n) == 1, "model.layers.1.mlp")
        check(lambda n: n.endswith(("k_proj.weight", "v_proj.weight")), "re:[kv]_proj")
        check(lambda n: kind_of(n) == "q_proj" and layer_of(n) == 2, "--kind", "q_proj", "--layers", "2", "self_attn")
        everything = self.find(path, "--kind", "all", "--above", "0")
        self.assertEqual(everything["totals"]["values"], sum(v.size for v in tensors.values()))
        only = self.find(path, "--kind", "norm", "--top", "1")["weights"]
        norms = {n: v for n, v in tensors.items() if "norm" in n}
        self.assertEqual(abs(only[0]["weight"]), max(float(np.abs(v).max()) for v in norms.values()))

    def test_equal_sizes_in_the_order_of_storage(self):
        """Three values only, so nearly everything is a tie."""
        rng = np.random.default_rng(4)
        c = ref.CONFIGS["llama"]
        tensors = {f"model.layers.{i}.mlp.{n}_proj.weight": rng.integers(-1, 2, (96, 200)).astype(np.float32)
                   for i in range(2) for n in ("up", "gate")}
        path, parts = self.folder(c, tensors), ranked(tensors)
        for k in (1, 65, 5000):
            d = self.find(path, "--top", str(k))
            self.assertEqual(listed(d), as_stored(largest(parts, k), tensors))
            ones = sum(int((np.abs(v) == 1).sum()) for v in tensors.values())
            self.assertEqual(d["groups"][0]["ties"], ones - k)
        all_of_it = self.find(path, "--percent", "100", "--per", "tensor")
        self.assertEqual(len(all_of_it["weights"]), 4 * 96 * 200)
        self.assertEqual([g["ties"] for g in all_of_it["groups"]], [0] * 4)

    def test_nan_and_infinities_have_no_rank(self):
        c = ref.CONFIGS["llama"]
        tensors = ref.make(c, 5)
        name = "model.layers.1.mlp.down_proj.weight"
        tensors[name] = tensors[name].copy()
        tensors[name][3, 4], tensors[name][5, 6], tensors[name][5, 7] = np.nan, np.inf, -np.inf
        path = self.folder(c, tensors)
        d = self.find(path, "--per", "tensor", "--top", "3")
        expected = [w for n, v in ranked(tensors).items() for w in largest({n: v}, 3)]
        self.assertEqual(listed(d), as_stored(expected, tensors))
        self.assertEqual((d["totals"]["nans"], d["totals"]["infinities"]), (1, 2))
        m = next(m for m in d["matrices"] if m["tensor"] == name)
        v = tensors[name].astype(np.float64)
        v = v[np.isfinite(v)]
        self.assertEqual((m["nans"], m["infinities"], m["values"]), (1, 2, tensors[name].size))
        self.assertAlmostEqual(m["rms"], np.sqrt((v ** 2).mean()), delta=1e-12)
        self.assertEqual(m["abs_max"], np.abs(v).max())
        self.assertIn("have no rank", self.run_it(path))
        nothing = {n: np.full_like(v, np.nan) for n, v in tensors.items()}
        d = self.find(self.folder(c, nothing))
        self.assertEqual(d["weights"], [])
        self.assertEqual(d["totals"]["nans"], d["totals"]["values"])

    def test_threads_processors_and_shards_do_not_matter(self):
        rng = np.random.default_rng(6)
        c = ref.CONFIGS["llama"]
        tensors = {f"model.layers.{i}.mlp.down_proj.weight":
                   ref.to_bf16(np.round(rng.standard_t(4, (700, 600 + i)) * 8) / 8) for i in range(4)}
        one = self.folder(c, tensors, "one")
        words = ("--percent", ".2", "--per", "layer")
        d = self.find(one, *words, "-j", "1")
        for change in ({"SCRUPLE_CPU": "c"}, {"SCRUPLE_CPU": "avx2"}, {}):
            for threads in ("1", "3", "8"):
                self.assertEqual(self.find(one, *words, "-j", threads, env=change), d)
        other = self.find(self.folder(c, tensors, "other", kind="BF16", shards=3), *words)
        self.assertEqual(other["weights"], d["weights"])

    def test_a_list_that_does_not_fit(self):
        c = ref.CONFIGS["llama"]
        tensors = {"model.layers.0.mlp.down_proj.weight": ref.to_bf16(np.random.default_rng(7).normal(size=(512, 512)))}
        path = self.folder(c, tensors)
        room = 64 * 2 ** 20 // 512
        for words in (("--percent", "80"), ("--above", ".1"), ("--top", "200000")):
            said = self.run_it(path, *words, "--memory", "64M", status=5)
            self.assertIn("memory", said)
            self.assertEqual(said.count("\n"), 1)
        listed_as = self.run_it(path, "--memory", "64M", "--top", str(room), "--csv")
        self.assertEqual(listed_as.count("\n"), room + 1)

    def test_wrong_words(self):
        c = ref.CONFIGS["llama"]
        path = self.folder(c, ref.make(c, 8))
        for words in (["--top", "3", "--above", "1"], ["--percent", "101"], ["--percent", "x"], ["--above", "-1"],
                      ["--above", "nan"], ["--kind", "nose"], ["--kind", ""], ["--layers", "3-1"], ["--layers", "a"],
                      ["--layers", "1,"], ["--above", "1", "--per", "tensor"], ["--text", "x"], ["--verify"], ["re:("],
                      ["--ratio", "9", "--verify", "--ids", "1"], ["--verify", "--ids", "1", "--top", "65"],
                      ["--plot", "maxima", "-o", "x.svg"], ["--plot", "shift", "-o", os.path.join(self.dir, "x.svg")]):
            said = self.run_it(path, *words, status=2)
            self.assertEqual(said.count("\n"), 1, said)
        self.run_it(path, "--kind", "conv", status=4)
        self.run_it(path, "no_such_name", status=4)
        r = subprocess.run([SCRUPLE, "super", path, "--ids", "1", "--top", "3"], stderr=subprocess.PIPE)
        self.assertEqual(r.returncode, 2)


IDS = ",".join(str(i) for i in range(3, 143, 4))
FIGURES = ("kl", "nll", "perplexity_ratio", "nll_low", "nll_high", "agree", "change")


class Verified(Case):
    def test_as_the_same_weights_found_by_what_they_do(self):
        path = planted_model.write(os.path.join(self.dir, "planted"), layers=4, tokenizer=False)
        d = self.find(path, "--top", "2", "--kind", "down_proj", "--verify", "--ids", IDS)
        r = subprocess.run([SCRUPLE, "super", path, "--ids", IDS, "--verify", "-q", "--json"], stdout=subprocess.PIPE,
                           check=True)
        other = json.loads(r.stdout)
        places = [(w["row"], w["column"]) for w in d["weights"]]
        self.assertEqual(sorted(places), sorted((w["row"], w["column"]) for w in other["weights"]))
        where = [places.index((w["row"], w["column"])) for w in other["weights"]]

        def told(effects, at):
            return {(e["kind"], e["factor"], at[e["weight"]] if e["weight"] is not None else None):
                    [e[k] for k in FIGURES] for e in effects if e["kind"] not in ("restored", "null")}
        self.assertEqual(told(d["effects"], range(2)), told(other["effects"], where))
        self.assertEqual([d["label"], d["call"]], [other["label"], other["call"]])
        for w, i in zip(other["weights"], where):
            self.assertEqual([w["alone_kl"], w["label"]], [d["weights"][i]["alone_kl"], d["weights"][i]["label"]])
        self.assertNotIn("restored", [e["kind"] for e in d["effects"]])
        self.assertEqual({t["restored"] for t in d["shift"]}, {None})

    def test_of_any_matrix_it_is_what_the_edited_model_says(self):
        """Turned (GPT-2), fused (Phi-3), experts one by one (Mixtral); the mean of all, and each alone."""
        for name, words in (("gpt2", []), ("phi3", []), ("mixtral", []), ("mixtral", ["--kind", "router"])):
            c = ref.CONFIGS[name]
            path = self.folder(c, ref.make(c, 5))
            d = self.find(path, "--top", "5", *words, "--verify", "--ids", IDS)
            at = [x for w in d["weights"] for x in ("--zero", w["at"])]
            for kind, places in (("all", at), ("alone", at[:2])):
                other = os.path.join(self.dir, "edited")
                shutil.rmtree(other, ignore_errors=True)
                subprocess.run([SCRUPLE, "edit", path, *places, "-o", other], check=True, stdout=subprocess.DEVNULL)
                r = subprocess.run([SCRUPLE, "eval", other, "--ids", IDS, "--json"], check=True, stdout=subprocess.PIPE)
                effect = next(e for e in d["effects"] if e["kind"] == kind and not e["weight"])
                self.assertEqual(effect["nll"], json.loads(r.stdout)["nll"], (name, kind))

    def test_what_the_pass_does_not_multiply_with(self):
        c = ref.CONFIGS["llama"]
        said = self.run_it(self.folder(c, ref.make(c, 5)), "--kind", "norm", "--verify", "--ids", "1,2", status=2)
        self.assertIn("no matrix that the pass multiplies with", said)

    def test_draws_that_share_no_weight(self):
        """A router of 16 x 5 weights: with n found there are as many draws as 80 - n others give, at most four."""
        c = dict(ref.CONFIGS["mixtral"], hidden_size=16, num_attention_heads=2, num_key_value_heads=2, head_dim=8)
        path = self.folder(c, ref.make(c, 6))
        for top, nulls in ((16, (4, 0)), (17, (3, 0)), (20, (3, 0)), (27, (1, 0)), (40, (1, 0)), (41, (1, 2)),
                           (63, (1, 46)), (64, (1, 48))):
            d = self.find(path, "--kind", "router", "--layers", "0", "--top", str(top), "--verify", "--ids", IDS)
            self.assertEqual(len(d["weights"]), top)
            self.assertEqual(d["nulls"], dict(asked=4, drawn=nulls[0], unmatched=nulls[1]), top)
            self.assertEqual(sum(e["kind"] == "null" for e in d["effects"]), nulls[0])
            text = self.run_it(path, "--kind", "router", "--layers", "0", "--top", str(top), "--verify", "--ids", IDS)
            self.assertEqual("null draws: a matrix has too few other weights" in text, nulls != (4, 0))
            self.assertEqual("even for one whole draw" in text, nulls[1] > 0)

    def test_no_other_weight(self):
        c = dict(ref.CONFIGS["mixtral"], hidden_size=16, num_attention_heads=2, num_key_value_heads=2, head_dim=8,
                 num_local_experts=4)
        path = self.folder(c, ref.make(c, 6))
        words = [path, "--kind", "router", "--layers", "0", "--top", "64", "--verify", "--ids", IDS]
        d = self.find(*words)
        self.assertEqual(d["nulls"], dict(asked=4, drawn=0, unmatched=64))
        self.assertNotIn("null", [e["kind"] for e in d["effects"]])
        self.assertIn("0 of 4 null draws", self.run_it(*words))


class Pictures(Case):
    def test_any_way_a_matrix_is_stored(self):
        for name in ("gpt2", "phi3", "mixtral"):
            c = ref.CONFIGS[name]
            tensors = ref.make(c, 5)
            path, out = self.folder(c, tensors), os.path.join(self.dir, "pictures-" + name)
            d = self.find(path, "--top", "30", "--plots", out)
            names = sorted(os.listdir(out))
            shown = list(dict.fromkeys((w["layer"], w["expert"], w["tensor"]) for w in d["weights"]))[:8]
            self.assertEqual(len(names), 2 * len(shown), names)
            seen = set()
            for file in names:
                root = ET.parse(os.path.join(out, file)).getroot()
                tips = [t.text for t in root.iter("{http://www.w3.org/2000/svg}title")]
                marks = {t for t in tips if re.match(r"\[\d+, \d+\] ", t)}
                if file.startswith("weights-"):
                    seen |= {(file[8:], m.split("]")[0]) for m in marks}
                    near = [re.match(r"\[(\d+), (\d+)\]: (-?[\d.]+)$", t) for t in tips]
                    near = [m for m in near if m]
                    self.assertGreater(len(near), 50)
                else:
                    seen |= {(file[10:], m.split("]")[0]) for m in marks}
            expected = {(layer, expert, f"[{w['row']}, {w['column']}") for layer, expert, t in shown
                        for w in d["weights"] if (w["layer"], w["expert"], w["tensor"]) == (layer, expert, t)}
            self.assertEqual(len(seen), len(expected))

    def test_the_window_is_the_matrix(self):
        """What stands in the squares around the largest one, of a turned matrix and of one part of a stack."""
        c = ref.CONFIGS["gpt2"]
        tensors = ref.make(c, 5)
        out = os.path.join(self.dir, "x.svg")
        path = self.folder(c, tensors)
        w = self.find(path, "--top", "1")["weights"][0]
        self.run_it(path, "--top", "1", "-o", out)
        v = tensors[w["tensor"]].T
        tips = [t.text for t in ET.parse(out).getroot().iter("{http://www.w3.org/2000/svg}title")]
        n = 0
        for t in tips:
            m = re.match(r"\[(\d+), (\d+)\]: (-?[\d.]+)$", t)
            if m:
                n += 1
                self.assertAlmostEqual(float(m[3]), v[int(m[1]), int(m[2])], delta=abs(float(m[3])) * .01 + 1e-4)
        self.assertGreater(n, 600)

    def test_a_page(self):
        path = planted_model.write(os.path.join(self.dir, "planted"), layers=4)
        page = os.path.join(self.dir, "x.html")
        self.run_it(path, "--verify", "--text", "Paris is in the country", "-o", page)
        with open(page, encoding="utf-8") as file:
            text = file.read()
        for word in ("Where they stand", "How large they are", "Perplexity without them", "all listed weights times"):
            self.assertIn(word, text)
        self.assertNotIn("put back", text)


class Layouts(Case):
    def test_gpt2_is_stored_the_other_way_round(self):
        c = ref.CONFIGS["gpt2"]
        tensors = ref.make(c, 1)
        plain = self.find(self.folder(c, tensors), "--top", "50")
        for w in plain["weights"]:
            self.assertEqual((w["row"], w["column"]), (w["stored_column"], w["stored_row"]))
            self.assertEqual(tensors[w["tensor"]][w["stored_row"], w["stored_column"]], np.float32(w["weight"]))
        self.assertEqual({m["stored_as"] for m in plain["matrices"]}, {"in, out"})
        # a GGUF turns them; the product is the same
        other = self.find(forward_gguf.write(os.path.join(self.dir, "m.gguf"), c, tensors, gguf.F32), "--top", "50")
        self.assertEqual({m["stored_as"] for m in other["matrices"]}, {"out, in"})
        keys = ("layer", "kind", "row", "column", "weight", "in_row", "in_column")
        self.assertEqual(sorted(tuple(w[k] for k in keys) for w in plain["weights"]),
                         sorted(tuple(w[k] for k in keys) for w in other["weights"]))
        # and the file alone, without its configuration
        path = os.path.join(self.dir, "alone.safetensors")
        ref.write_safetensors(path, tensors)
        self.assertEqual(self.find(path, "--top", "50")["weights"], plain["weights"])

    def check_parts(self, c, tensors, split):
        """split: {kind: {name of the fused tensor: its rows of that kind}}."""
        path = self.folder(c, tensors)
        for kind, parts in split.items():
            d = self.find(path, "--kind", kind, "--top", "5")
            masked = {}
            for name, rows in parts.items():
                v = np.full_like(tensors[name], np.nan)
                v[rows] = tensors[name][rows]
                masked[name] = v
            self.assertEqual(listed(d), as_stored(largest(masked, 5), tensors), kind)
            self.assertEqual({w["kind"] for w in d["weights"]}, {kind})
            share = self.find(path, "--kind", kind, "--percent", "1", "--per", "tensor")["groups"]
            for g in share:
                self.assertEqual(g["values"], np.isfinite(masked[g["tensor"]]).sum())

    def test_fused_q_k_v_and_gate_up(self):
        c = ref.CONFIGS["phi3"]
        tensors = ref.make(c, 2)
        qkv = [n for n in ranked(tensors) if "qkv" in n]
        both = [n for n in ranked(tensors) if "gate_up" in n]
        self.check_parts(c, tensors, {
            "q_proj": {n: slice(0, 64) for n in qkv}, "k_proj": {n: slice(64, 96) for n in qkv},
            "v_proj": {n: slice(96, 128) for n in qkv}, "gate_proj": {n: slice(0, 96) for n in both},
            "up_proj": {n: slice(96, 192) for n in both}})

    def test_q_k_v_by_groups_of_heads(self):
        """Falcon: for each of two k and v, three q before them."""
        c = {"architectures": ["FalconForCausalLM"], "model_type": "falcon", "hidden_size": 48, "num_hidden_layers": 1,
             "num_attention_heads": 6, "num_kv_heads": 2, "num_key_value_heads": 2, "vocab_size": 9}
        name = "transformer.h.0.self_attention.query_key_value.weight"
        tensors = {name: ref.to_bf16(np.random.default_rng(3).normal(size=(80, 48)))}
        at = np.arange(80) % 40
        self.check_parts(c, tensors, {"q_proj": {name: np.flatnonzero(at < 24)},
                                      "k_proj": {name: np.flatnonzero((at >= 24) & (at < 32))},
                                      "v_proj": {name: np.flatnonzero(at >= 32)}})

    def test_every_layout_of_experts_gives_the_same(self):
        w = moe.experts(5)
        rng = np.random.default_rng(9)
        for part in ("gate_proj", "up_proj", "down_proj"):
            for layer in range(moe.LAYERS):
                for _ in range(3):
                    w[layer, part][tuple(rng.integers(n) for n in w[layer, part].shape)] *= 30
        expected = sorted(
            (layer, e, part, *divmod(i, w[layer, part].shape[2]), float(v))
            for (layer, part), x in w.items() if part != "router" for e in range(moe.EXPERTS)
            for _, i, v in largest({"x": x[e]}, 2))
        for layout in ("single", "stacked", "mixtral", "rows", "columns", "turns"):
            change = {"model_type": "gpt_oss"} if layout == "turns" else {}
            path = self.folder({**moe.CONFIG, **change}, moe.names(w, layout), layout)
            fused = layout in ("rows", "columns", "turns")
            found = []
            for kind in ("gate_proj", "up_proj", "down_proj"):
                d = self.find(path, "--per", "matrix", "--top", "2", "--kind", kind)
                for x in d["weights"]:
                    row = x["row"]
                    if fused and kind != "down_proj":
                        row = row // 2 if layout == "turns" else row % moe.WIDE
                    found.append((x["layer"], x["expert"], x["kind"], row, x["column"], x["weight"]))
            self.assertEqual(sorted(found), expected, layout)

    def test_stored_types(self):
        """What is ranked are the values that a type holds, scales applied."""
        c = ref.CONFIGS["llama"]
        tensors = ref.make(c, 6)
        for kind in (gguf.F32, gguf.F16, gguf.Q8_0):
            path = forward_gguf.write(os.path.join(self.dir, f"{kind}.gguf"), c, tensors, kind)
            d = self.find(path, "--kind", "down_proj", "--top", "40")
            held = {n: v for n, v in forward_gguf.tensors_of(c, tensors).items() if "ffn_down" in n}
            if kind == gguf.F16:
                held = {n: v.astype(np.float16).astype(np.float32) for n, v in held.items()}
            elif kind == gguf.Q8_0:
                held = {n: q8_0(v) for n, v in held.items()}
            self.assertEqual(listed(d), as_stored(largest(held, 40), held), kind)


def q8_0(v):
    b = v.reshape(-1, 32).astype(np.float32)
    d = np.abs(b).max(1, keepdims=True) / np.float32(127)
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.where(d > 0, b * (np.float32(1) / d), 0)
    q = np.trunc(q + np.copysign(np.float32(.5), q))
    return (q * d.astype(np.float16).astype(np.float32)).astype(np.float32).reshape(v.shape)


class Lines(Case):
    def test_a_column_a_row_and_scalars(self):
        c = ref.CONFIGS["llama"]
        tensors = ref.make(c, 7)
        name = "model.layers.1.mlp.down_proj.weight"
        v = tensors[name] = tensors[name].copy()
        v[10:22, 40] = 9  # twelve in a column
        v[50, 5:12] = -8  # seven in a row
        v[3, 60] = 20  # alone
        d = self.find(self.folder(c, tensors), "--top", "20", "--kind", "down_proj")
        self.assertEqual([(x["what"], x["index"], x["weights"], x["of"], x["tensor"]) for x in d["lines"]],
                         [("row", 50, 7, 20, name), ("column", 40, 12, 20, name)])
        self.assertEqual(d["totals"]["alone"], 1)
        for w in d["weights"]:
            column = w["column"] == 40
            self.assertEqual((w["in_row"], w["in_column"]),
                             (1, 12) if column else (7, 1) if w["row"] == 50 else (1, 1))
        self.assertEqual((d["weights"][0]["row"], d["weights"][0]["column"]), (3, 60))
        m = next(m for m in d["matrices"] if m["tensor"] == name)
        self.assertEqual((m["weights"], m["weight_rows"], m["weight_columns"]), (20, 14, 9))
        said = self.run_it(self.folder(c, tensors), "--kind", "down_proj")
        self.assertIn("column", said.split("more in one line")[1])

    def test_the_chance_is_the_binomial_one(self):
        c = ref.CONFIGS["llama"]
        v = np.zeros((60, 80), np.float32)
        v[np.arange(20), 7 * np.arange(20) % 80] = 1
        v[:6, 33] = 2
        d = self.find(self.folder(c, {"model.layers.0.mlp.down_proj.weight": v}), "--above", ".5")
        n, k, p = len(d["weights"]), 6, 1 / 80
        term, tail = 1.0, 0.0
        for i in range(n + 1):
            term = (1 - p) ** n if i == 0 else term * (n - i + 1) / i * p / (1 - p)
            tail += term if i >= k else 0
        [line] = d["lines"]
        self.assertEqual((line["what"], line["index"], line["weights"]), ("column", 33, 6))
        self.assertLess(140 * tail, line["chance"] * (1 + 1e-9))
        self.assertLess(line["chance"], 140 * tail * 1.01)

    def test_random_weights_have_no_such_lines(self):
        c = ref.CONFIGS["llama"]
        found = 0
        for seed in range(20):
            d = self.find(self.folder(c, ref.make(c, 200 + seed)), "--percent", ".5", "--per", "tensor")
            found += len(d["lines"])
        self.assertEqual(found, 0)  # each model has a chance of 1 in 100 at the most


class Published(Case):
    ROWS = (525, 1693, 1113)

    def model(self, hidden=1700, wide=2730):
        """The matrices of Phi-3 that something was published of, in small."""
        rng = np.random.default_rng(8)
        t = {f"model.layers.{i}.mlp.down_proj.weight": ref.to_bf16(rng.normal(size=(hidden, wide)) * .02)
             for i in (2, 4)}
        for row in self.ROWS[:2] if hidden > 1693 else ():
            t["model.layers.2.mlp.down_proj.weight"][row, 808] = 3
        c = {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_size": hidden,
             "intermediate_size": wide, "num_hidden_layers": 5, "num_attention_heads": 4, "vocab_size": 9}
        return c, t

    def test_found_and_not_found(self):
        c, t = self.model()
        d = self.find(self.folder(c, t, "Phi-3-mini-4k-instruct", kind="BF16"), "--top", "2")
        self.assertEqual([w["published"] for w in d["weights"]], ["Phi-3-mini-4k"] * 2)
        self.assertEqual(len(d["published"]), 6)
        for k in d["published"]:
            v = np.abs(t[f"model.layers.{k['layer']}.mlp.down_proj.weight"])
            own = v[k["row"], k["column"]]
            first = np.arange(v.size).reshape(v.shape) < k["row"] * v.shape[1] + k["column"]
            self.assertEqual(k["rank"], 1 + int((v > own).sum() + ((v == own) & first).sum()))
            self.assertEqual(abs(k["weight"]), own)
            self.assertEqual(k["found"], k["layer"] == 2 and k["row"] in self.ROWS[:2])
            self.assertEqual((k["model"], k["recognised_by"], k["impossible"]), ("Phi-3-mini-4k", "name", None))

    def test_what_the_model_cannot_have(self):
        c, t = self.model(hidden=1200, wide=2000)
        d = self.find(self.folder(c, t, "phi-3-mini-4k-instruct", kind="BF16"), "--top", "2")
        self.assertEqual({(k["layer"], k["row"]): k["impossible"] for k in d["published"]}, {
            (2, 525): None, (2, 1113): None, (2, 1693): "its stream has no such channel",
            (4, 525): "its MLP has no such neuron", (4, 1113): "its MLP has no such neuron",
            (4, 1693): "its stream has no such channel"})
        self.assertEqual([k["rank"] is None for k in d["published"]], [k["impossible"] is not None for k in d["published"]])

    def test_recognised_by_its_configuration(self):
        c = {**ref.CONFIGS["llama"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
             "num_hidden_layers": 32, "vocab_size": 32000, "max_position_embeddings": 4096}
        t = {"model.layers.1.mlp.down_proj.weight": np.ones((9, 9), np.float32)}

        def known(**change):
            d = self.find(self.folder({**c, **change}, t))
            return {(k["model"], k["recognised_by"]) for k in d["published"]}

        self.assertEqual(known(), {("Llama-2-7B", "config")})
        self.assertEqual(known(max_position_embeddings=2048), {("LLaMA-7B", "config")})
        self.assertEqual(known(vocab_size=5), {(m, "shape") for m in ("LLaMA-7B", "Llama-2-7B", "OLMo-7B-0724",
                                                                     "LLaVA-1.5-7B")})
        self.assertEqual(known(hidden_size=4097), set())

    def test_where_matrices_are_stored_the_other_way_round(self):
        """Coordinates are those of the product."""
        v = np.full((1420, 2040), .01, np.float32)
        v[1417, 400] = 5
        c = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 2040, "n_inner": 1420, "n_layer": 2}
        d = self.find(self.folder(c, {"h.1.mlp.c_proj.weight": v}, "Llama-3.2-1B"), "--top", "1")
        [w] = d["weights"]
        self.assertEqual((w["row"], w["column"], w["stored_row"], w["stored_column"], w["published"]),
                         (400, 1417, 1417, 400, "Llama-3.2-1B"))
        self.assertEqual([(k["row"], k["found"]) for k in d["published"]],
                         [(400, True), (698, False), (2029, False), (1159, False)])


if __name__ == "__main__":
    unittest.main()
