# SPDX-License-Identifier: Apache-2.0
"""scruple diff from end to end, with numpy in double as the oracle.

The same weights in three containers, other element types, fine-tuned twins, other shapes, one-sided
and tied tensors, NaN, quantised weights against what they came from, LoRA adapters of two kinds
against the explicit product, checkpoints in order; the same bytes for any number of threads and any
processor, going on after kill -9, and adapters that lie.
"""
import json
import os
import re
import signal
import subprocess
import time
import unittest
from collections import OrderedDict

from test_schemas import Schemas
from test_scan import Case, FIXTURES, SCRUPLE, SOURCE, bf16, gguf, healthy, np, save, torchfile, value

SCHEMAS = Schemas(os.path.join(SOURCE, "tests", "schema"))


def validate(schemas, file, document):
    problems = list(schemas.problems(file, document))
    assert not problems, problems[:5]


class DiffCase(Case):
    def run_it(self, *words, exits=(0, 1), **environment):
        done = subprocess.run([SCRUPLE, "diff", *words], capture_output=True, check=False, timeout=250,
                              env=dict(self.environment, **environment))
        self.assertIn(done.returncode, exits, done.stderr.decode())
        return done

    def diff(self, *words, exits=(0, 1), **environment):
        document = json.loads(self.run_it(*words, "--json", exits=exits, **environment).stdout)
        validate(SCHEMAS, "diff.json", document)
        return document

    def save(self, name, tensors):
        save(self.at(name), tensors)
        return self.at(name)

    def near(self, got, want, tolerance, what):
        if np.isnan(want):
            self.assertIsNone(got, what)
        elif np.isinf(want):
            self.assertEqual("Infinity", got, what)
        else:
            self.assertIsNotNone(got, what)
            self.assertLessEqual(abs(got - want), tolerance * max(1e-12, abs(want)), f"{what}: {got}, not {want}")

    def check_pair(self, p, a, b, tolerance=1e-9):
        a, b, d = a.reshape(-1), b.reshape(-1), (b - a).reshape(-1)
        ok = np.isfinite(a) & np.isfinite(b)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        self.assertEqual([a.size, ok.sum(), (~same).sum()], [p["values"], p["compared"], p["changed"]], p["name"])
        a, b, d = a[ok], b[ok], d[ok]
        norm = np.linalg.norm
        for key, want in (("max_abs", np.abs(d).max()), ("mean_abs", np.abs(d).mean()), ("l2", norm(d)),
                          ("rms", np.sqrt((d ** 2).mean())), ("relative_l2", norm(d) / norm(a)),
                          ("norm_a", norm(a)), ("norm_b", norm(b)), ("cosine", a @ b / norm(a) / norm(b)),
                          ("min_diff", d.min()), ("max_diff", d.max()), ("std_diff", d.std(ddof=1)),
                          ("absmax_b", np.abs(b).max())):
            self.near(p[key], want, tolerance, f"{p['name']} {key}")
        if ok.all() and (d != 0).any():
            self.assertEqual(np.abs(d).argmax(), p["max_at"], p["name"])
        self.assertEqual(p["status"], "changed" if (~same).any() else "same", p["name"])


# ------------------------------------------------------------------------------------ two models
class Models(DiffCase):
    def test_against_numpy(self):
        a = healthy(self.rng, 2, 32, lambda x: x.astype("f4"))
        b = {k: (v + self.rng.normal(0, 1e-3, v.shape) * (self.rng.random(v.shape) < .3)).astype("f4") for k, v in a.items()}
        document = self.diff(self.save("a.safetensors", a), self.save("b.safetensors", b), exits=(1,))
        self.assertEqual(len(a), len(document["pairs"]))
        for p in document["pairs"]:
            self.check_pair(p, value(a[p["name"]]), value(b[p["name"]]))
        s = document["summary"]
        d = np.concatenate([(value(b[k]) - value(a[k])).reshape(-1) for k in a])
        x, y = (np.concatenate([value(t[k]).reshape(-1) for k in a]) for t in (a, b))
        self.near(s["relative_l2"], np.linalg.norm(d) / np.linalg.norm(x), 1e-12, "all")
        self.near(s["one_minus_cosine"], 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y), 1e-6, "all")
        ranked = [t["relative_l2"] for t in document["most_changed"]]
        self.assertEqual(sorted(ranked, reverse=True), ranked)
        self.assertEqual(max(p["relative_l2"] for p in document["pairs"]), ranked[0])

    def test_three_containers_are_the_same(self):
        t = {f"blk.0.{n}.weight": self.rng.normal(0, .02, s).astype("f4")
             for n, s in (("ffn_up", (64, 32)), ("ffn_down", (32, 64)), ("attn_norm", (32,)))}
        plain = {"blk.0.ffn_up.weight": "model.layers.0.mlp.up_proj.weight",
                 "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
                 "blk.0.attn_norm.weight": "model.layers.0.input_layernorm.weight"}
        file = gguf.File()
        for name, x in t.items():
            file.add(name, "F32", list(x.shape), x.tobytes())
        with open(self.at("m.gguf"), "wb") as f:
            f.write(file.pack())
        with open(self.at("m.pt"), "wb") as f:
            f.write(torchfile.save_zip(OrderedDict(
                (plain[k], torchfile.Tensor.of("FloatStorage", list(v.shape), v.tobytes())) for k, v in t.items())))
        st = self.save("m.safetensors", {plain[k]: v for k, v in t.items()})
        for a, b in ((st, "m.gguf"), (st, "m.pt"), ("m.gguf", "m.pt")):
            document = self.diff(self.at(a), self.at(b), exits=(0,))
            self.assertTrue(document["identical"])
            self.assertEqual(["same"] * 3, [p["status"] for p in document["pairs"]])

    def test_other_types(self):
        f4 = {"w": self.rng.normal(0, 1, (64, 48)).astype("f4"), "v": np.arange(64, dtype="f4")}
        half = {k: bf16(v) for k, v in f4.items()}
        wide = {k: value(v) + (self.rng.normal(0, 1e-9, v.shape) if k == "w" else 0) for k, v in f4.items()}
        paths = [self.save(n, t) for n, t in (("f4.safetensors", f4), ("bf.safetensors", half), ("f8.safetensors", wide))]
        for p in self.diff(paths[0], paths[1], exits=(1,))["pairs"]:
            self.check_pair(p, value(f4[p["name"]]), value(half[p["name"]]))
            self.assertIsNone(p["changed_bits"])
        # What a float cannot hold is a difference all the same.
        for p in self.diff(paths[0], paths[2], exits=(1,))["pairs"]:
            self.check_pair(p, value(f4[p["name"]]), wide[p["name"]], 1e-6)

    def test_changed_bits(self):
        a = self.rng.integers(0, 1 << 15, (40, 30)).astype("u2") & 0xBFFF
        b = a.copy()
        b[3, 5] ^= 3
        p = self.diff(self.save("a.safetensors", {"w": a}), self.save("b.safetensors", {"w": b}), exits=(1,))["pairs"][0]
        self.assertEqual((1, 2, 3 * 30 + 5), (p["changed"], p["changed_bits"], p["max_at"]))

    def test_shapes_and_one_sided(self):
        a = {"same": np.ones((4, 5), "f4"), "model.norm.weight": np.ones(6, "f4"), "gone": np.ones(3, "f4"),
             "flat": np.ones((7, 1, 3), "f4")}
        b = {"same": np.ones((4, 5), "f4"), "model.norm.weight": np.ones(7, "f4"), "new": np.ones(3, "f4"),
             "flat": np.ones((7, 3), "f4")}
        paths = self.save("a.safetensors", a), self.save("b.safetensors", b)
        document = self.diff(*paths, exits=(1,))
        got = {p["name"] or p["name_b"]: p["status"] for p in document["pairs"]}
        self.assertEqual({"same": "same", "flat": "same", "model.norm.weight": "shape", "gone": "only_a",
                          "new": "only_b"}, got)
        self.assertFalse(document["identical"])
        text = self.run_it(*paths).stdout.decode()
        for words in ("Only in A\n  gone\n", "Only in B\n  new\n", "Other shapes", "1 with another shape"):
            self.assertIn(words, text)
        self.assertEqual(b"", self.run_it(*paths, "-q", exits=(1,)).stdout)
        self.assertEqual(b"", self.run_it(*paths, "same", "-q", exits=(0,)).stdout)
        self.run_it(*paths, "nothing-is-called-so", exits=(1,))
        many = {f"x{i}": np.ones(2, "f4") for i in range(9)}
        text = self.run_it(paths[0], self.save("c.safetensors", {**a, **many})).stdout.decode()
        self.assertIn("... and 4 more", text)

    def test_none_and_tied(self):
        a = {"w": self.rng.normal(0, 1, (20, 30)).astype("f4")}
        b = {"w": a["w"].copy()}
        a["w"][1, 2] = b["w"][1, 2] = np.nan
        b["w"][5, 5], b["w"][7, 7] = np.inf, np.nan
        p = self.diff(self.save("a.safetensors", a), self.save("b.safetensors", b), exits=(1,))["pairs"][0]
        self.check_pair(p, value(a["w"]), value(b["w"]))
        self.assertEqual((1, 3, 2), (p["nonfinite_a"], p["nonfinite_b"], p["changed"]))
        self.assertTrue(self.diff(self.at("a.safetensors"), self.at("a.safetensors"), exits=(0,))["identical"])
        for name, x in (("a.pt", 0.), ("b.pt", 1.)):
            w = torchfile.Tensor.of("FloatStorage", [6, 4], (np.arange(24) + x).astype("f4").tobytes())
            state = OrderedDict((("model.embed_tokens.weight", w), ("lm_head.weight", torchfile.Tensor(w.storage, [6, 4]))))
            with open(self.at(name), "wb") as f:
                f.write(torchfile.save_zip(state))
        document = self.diff(self.at("a.pt"), self.at("b.pt"), exits=(1,))
        self.assertEqual((2, 1, 24), tuple(document["summary"][k] for k in ("changed", "tied", "changed_values")))

    def test_quantised(self):
        x = self.rng.normal(0, .02, (64, 96)).astype("f4")
        amax = np.abs(x.reshape(64, 3, 32)).max(axis=2)
        scales = (amax / 127).astype("f2")
        codes = np.clip(np.rint(x.reshape(64, 3, 32) / scales.astype("f4")[..., None]), -127, 127).astype("i1")
        file = gguf.File()
        file.add("blk.0.ffn_up.weight", "Q8_0", [64, 96],
                 b"".join(scales[i, j].tobytes() + codes[i, j].tobytes() for i in range(64) for j in range(3)))
        with open(self.at("q.gguf"), "wb") as f:
            f.write(file.pack())
        a = self.save("a.safetensors", {"model.layers.0.mlp.up_proj.weight": x})
        p = self.diff(a, self.at("q.gguf"), exits=(1,))["pairs"][0]
        self.check_pair(p, value(x), (scales.astype("f4")[..., None] * codes.astype("f4")).reshape(64, 96).astype("f8"))
        self.assertEqual("canonical", p["rule"])
        self.assertLess(p["relative_l2"], 0.01)
        for name in ("gptq", "awq", "ct-fp8", "fp8-block"):
            path = os.path.join(FIXTURES, name)
            with self.subTest(name):
                self.assertTrue(self.diff(path, path, exits=(0,))["identical"])

    def test_spectra(self):
        a = self.rng.normal(0, .02, (60, 40)).astype("f4")
        low = self.rng.normal(0, 1, (60, 3)) @ self.rng.normal(0, .01, (3, 40))
        b = (a + low).astype("f4")
        paths = self.save("a.safetensors", {"w": a, "v": a}), self.save("b.safetensors", {"w": b, "v": a})
        document = self.diff(*paths, "--methods", "spectral", exits=(1,))
        got = {p["name"]: p["spectral"] for p in document["pairs"]}
        self.assertIsNone(got["v"])
        want = np.linalg.svd((value(b) - value(a)).astype("f4").astype("f8"), compute_uv=False)
        for i in range(10):
            self.assertLessEqual(abs(got["w"]["top_singular_values"][i] - want[i]), 1e-6 * want[0])
        energy = np.cumsum(want ** 2) / (want ** 2).sum()
        self.assertEqual(np.argmax(energy >= .99) + 1, got["w"]["energy_rank"]["p99"])

    def test_declared_base(self):
        x = self.rng.normal(0, 1, (8, 8)).astype("f4")
        for name, y in (("base", x), ("tuned", x + 1)):
            os.mkdir(self.at(name))
            save(self.at(name + "/model.safetensors"), {"w": y})
        with open(self.at("tuned/README.md"), "w", encoding="utf-8") as f:
            f.write(f"---\nbase_model: {self.at('base')}\n---\n")
        done = self.run_it(self.at("tuned"), "--json", exits=(1,))
        self.assertIn(b"README.md names as the base", done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual(self.at("base"), document["a"]["model"]["source"])
        self.run_it(self.at("base"), exits=(2,))

    def test_weightscope(self):
        a, b = self.rng.normal(0, 1, (9, 9)).astype("f4"), self.rng.normal(0, 1, (9, 9)).astype("f4")
        document = json.loads(self.run_it(self.save("a.safetensors", {"l.weight": a}),
                                          self.save("b.safetensors", {"l.weight": b, "m": a}), "--compat", "weightscope").stdout)
        self.assertEqual((1, [], ["m"]), tuple(document[k] for k in ("common_layers", "only_in_model1", "only_in_model2")))
        got, d = document["layer_comparisons"]["l"], value(a) - value(b)
        self.near(got["difference_stats"]["mean"], d.mean(), 1e-9, "mean")
        self.near(got["difference_stats"]["max"], d.max(), 1e-12, "max")
        self.near(got["l2_norm_ratio"], np.linalg.norm(value(b)) / np.linalg.norm(value(a)), 1e-9, "ratio")

    def test_csv(self):
        paths = self.save("a.safetensors", {"w": np.ones(3, "f4")}), self.save("b.safetensors", {"w": np.zeros(3, "f4")})
        self.run_it(*paths, "-o", self.at("out.csv"))
        with open(self.at("out.csv"), encoding="utf-8") as f:
            head, row = f.read().splitlines()
        row = dict(zip(head.split(","), row.split(",")))
        self.assertEqual(("changed", "3", "1"), (row["status"], row["changed"], row["relative_l2"]))


# ---------------------------------------------------------------------------------------- adapters
class Adapters(DiffCase):
    def adapter(self, tensors, config=None, name="adapter"):
        os.makedirs(self.at(name), exist_ok=True)
        save(self.at(name + "/adapter_model.safetensors"), tensors)
        if config is not None:
            with open(self.at(name + "/adapter_config.json"), "w", encoding="utf-8") as f:
                json.dump(config, f)
        return self.at(name)

    def factors(self, m, n, r):
        return self.rng.normal(0, .05, (m, r)).astype("f4"), self.rng.normal(0, .05, (r, n)).astype("f4")

    def check_update(self, p, base, delta):
        self.assertEqual("changed", p["status"], p["name"])
        self.check_pair(p, base, base + delta, 1e-9)
        want = np.linalg.svd(delta, compute_uv=False)
        for i, got in enumerate(x for x in p["spectral"]["top_singular_values"] if x is not None):
            self.assertLessEqual(abs(got - want[i]), 1e-10 * want[0], p["name"])
        self.near(p["spectral"]["frobenius_norm"], np.linalg.norm(delta), 1e-10, p["name"])
        self.assertEqual(np.linalg.matrix_rank(delta), p["spectral"]["numerical_rank"], p["name"])

    def test_peft(self):
        shapes = {"model.layers.0.self_attn.q_proj": (24, 40), "model.layers.1.self_attn.q_proj": (40, 24),
                  "model.layers.1.mlp.up_proj": (16, 16)}
        base = {k + ".weight": bf16(self.rng.normal(0, .02, s)) for k, s in shapes.items()}
        base["model.norm.weight"] = bf16(np.ones(16))
        for stabilised in (False, True):
            tensors, deltas = {}, {}
            for k, (m, n) in shapes.items():
                up, down = self.factors(m, n, 4)
                tensors[f"base_model.model.{k}.lora_A.weight"] = down
                tensors[f"base_model.model.{k}.lora_B.weight"] = up
                alpha = 32 if k.endswith("1.self_attn.q_proj") else 6
                deltas[k + ".weight"] = alpha / (2 if stabilised else 4) * (value(up) @ value(down))
            tensors["base_model.model.model.norm.weight"] = np.full(16, 2, "f4")
            folder = self.adapter(tensors, {"peft_type": "LORA", "r": 4, "lora_alpha": 6, "use_rslora": stabilised,
                                            "alpha_pattern": {"layers.1.self_attn.q_proj": 32}})
            document = self.diff(self.save("base.safetensors", base), folder, exits=(1,))
            pairs = {p["name"]: p for p in document["pairs"]}
            self.assertEqual(set(base), set(pairs))
            for name, delta in deltas.items():
                self.check_update(pairs[name], value(base[name]), delta)
            self.assertEqual((None, 1.0), (pairs["model.norm.weight"]["update"], pairs["model.norm.weight"]["max_abs"]))
            alone = {p["name"] or p["name_b"]: p for p in self.diff(folder, "--no-base", exits=(1,))["pairs"]}
            for name, delta in deltas.items():
                p = alone[name]
                self.near(p["l2"], np.linalg.norm(delta), 1e-7, name)
                self.near(p["max_abs"], np.abs(delta).max(), 1e-7, name)
                self.assertIsNone(p["relative_l2"])
            self.assertEqual("only_b", alone["model.norm.weight"]["status"])

    def test_transposed(self):
        up, down = self.factors(24, 50, 3)
        base = {"wte.weight": self.rng.normal(0, 1, (50, 24)).astype("f4"),
                "h.0.attn.c_attn.weight": self.rng.normal(0, 1, (50, 24)).astype("f4")}
        folder = self.adapter({"base_model.model.wte.lora_embedding_A": down, "base_model.model.wte.lora_embedding_B": up,
                               "base_model.model.h.0.attn.c_attn.lora_A.default.weight": down,
                               "base_model.model.h.0.attn.c_attn.lora_B.default.weight": up},
                              {"r": 3, "lora_alpha": 3, "fan_in_fan_out": True})
        for p in self.diff(self.save("base.safetensors", base), folder, exits=(1,))["pairs"]:
            self.check_update(p, value(base[p["name"]]), (value(up) @ value(down)).T)

    def test_kohya(self):
        up, down = self.factors(24, 3 * 9, 2)
        base = {"unet.mid_block.resnets.0.conv1.weight": self.rng.normal(0, 1, (24, 3, 3, 3)).astype("f4"),
                "unet.mid_block.attentions.0.proj_in.weight": self.rng.normal(0, 1, (24, 27)).astype("f4")}
        folder = self.adapter({"lora_unet_mid_block_resnets_0_conv1.lora_down.weight": down.reshape(2, 3, 3, 3),
                               "lora_unet_mid_block_resnets_0_conv1.lora_up.weight": up.reshape(24, 2, 1, 1),
                               "lora_unet_mid_block_resnets_0_conv1.alpha": np.array(1, "f4"),
                               "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": down,
                               "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": up})
        pairs = {p["name"]: p for p in self.diff(self.save("base.safetensors", base), folder, exits=(1,))["pairs"]}
        for name, scale in (("unet.mid_block.resnets.0.conv1.weight", .5), ("unet.mid_block.attentions.0.proj_in.weight", 1)):
            self.check_update(pairs[name], value(base[name]).reshape(24, 27), scale * value(up) @ value(down))

    def test_lies(self):
        up, down = self.factors(8, 8, 2)
        base = self.save("base.safetensors", {"a.weight": np.ones((8, 8), "f4"), "b.weight": np.ones((4, 4), "f4")})
        both = {"base_model.model.a.lora_A.weight": down, "base_model.model.a.lora_B.weight": up}
        cases = (
            ({"base_model.model.a.lora_A.weight": down}, {"r": 2}),
            ({**both, "base_model.model.a.lora_B.bias": np.ones(8, "f4")}, {"r": 10 ** 18, "lora_alpha": "x"}),
            ({"base_model.model.a.lora_A.weight": down, "base_model.model.a.lora_B.weight": np.ones((8, 3), "f4")}, {"r": 2}),
            ({"base_model.model.a.lora_A.weight": np.ones((0, 8), "f4"), "base_model.model.a.lora_B.weight": np.ones((8, 0), "f4")}, {}),
            ({**both, "base_model.model.a.lora_A.other.weight": down}, {"alpha_pattern": {"((": 1, "(a+)+b$": 2, "": 3}}),
            ({**both, "base_model.model.a.lora_magnitude_vector.weight": np.ones(8, "f4")}, {"use_dora": True}),
            ({"base_model.model.b.lora_A.weight": down, "base_model.model.b.lora_B.weight": up}, [1]),
            ({**both, "base_model.model.a.alpha": np.ones((2, 2), "f4")}, {}),
            ({"base_model.model.a.lora_A.weight": down * np.nan, "base_model.model.a.lora_B.weight": up}, {}),
        )
        for i, (tensors, config) in enumerate(cases):
            folder = self.adapter(tensors, config, f"adapter{i}")
            document = self.diff(base, folder, exits=(0, 1, 3))
            stored = [n for p in document["pairs"] if p["update"] for n in p["update"]["stored"]]
            stored += [u["name"] for u in document["adapter"]["unused"]]
            self.assertEqual(sorted(tensors), sorted(stored), i)
        self.assertIn(b"DoRA", self.run_it(base, self.at("adapter5")).stderr)
        self.run_it(self.at("adapter1"), base, exits=(2,))


# --------------------------------------------------------------------------------------- evolution
class Evolution(DiffCase):
    def test_steps(self):
        first = {f"model.layers.{i}.mlp.up_proj.weight": self.rng.normal(0, .02, (16, 16)).astype("f4") for i in range(3)}
        paths, models = [], []
        for step in range(6):
            t = dict(models[-1] if models else first)
            if step:
                t["model.layers.1.mlp.up_proj.weight"] = t["model.layers.1.mlp.up_proj.weight"] + self.rng.normal(0, 1e-3, (16, 16)).astype("f4")
            if step == 4:
                t["model.layers.2.mlp.up_proj.weight"] = t["model.layers.2.mlp.up_proj.weight"] * np.float32(2)
            models.append(t)
            paths.append(self.save(f"step{step}.safetensors", t))
        document = json.loads(self.run_it(*paths, "--json", exits=(1,)).stdout)
        validate(SCHEMAS, "evolution.json", document)
        t = document["tensors"]
        self.assertEqual([True, False, False], [x["frozen"] for x in t])
        self.assertEqual([None, None, 3], [x["jump"] for x in t])
        self.assertEqual("Infinity", t[2]["jump_z"])
        for x in t:
            w = [value(m[x["name"]]) for m in models]
            for i in range(5):
                self.near(x["relative_l2"][i], np.linalg.norm(w[i + 1] - w[i]) / np.linalg.norm(w[i]), 1e-9, x["name"])
                self.near(x["from_first"][i], np.linalg.norm(w[i + 1] - w[0]) / np.linalg.norm(w[0]), 1e-9, x["name"])
            for i in range(6):
                self.near(x["norm"][i], np.linalg.norm(w[i]), 1e-9, x["name"])
            slope = np.polyfit(np.arange(6), np.log2([np.linalg.norm(y) for y in w]), 1)[0]
            self.assertLessEqual(abs(x["norm_trend"] - slope), 1e-9)
        self.assertEqual([1, 1, 1, 2, 1], [s["changed"] for s in document["steps"]])
        whole = [np.concatenate([value(x).reshape(-1) for x in m.values()]) for m in models]
        self.assertEqual([0, 1, 2], [x["layer"] for x in document["layers"]])
        self.assertEqual(["up_proj"], [x["role"] for x in document["roles"]])
        for i in range(5):
            first = np.linalg.norm(whole[i + 1] - whole[0]) / np.linalg.norm(whole[0])
            self.near(document["steps"][i]["from_first"], first, 1e-9, "steps")
            self.near(document["roles"][0]["from_first"][i], first, 1e-9, "roles")
            self.near(document["roles"][0]["relative_l2"][i], np.linalg.norm(whole[i + 1] - whole[i]) / np.linalg.norm(whole[i]), 1e-9, "roles")
            for x, t in zip(document["layers"], document["tensors"]):
                self.near(x["from_first"][i], t["from_first"][i], 1e-12, "layers")
        self.assertIn(b"only then", self.run_it(*paths).stdout)
        self.run_it(*[paths[0]] * 3, exits=(0,))

    def test_an_output_that_comes_and_goes(self):
        """An embedding that stands for the output matrix is followed as itself."""
        embedding, output = "model.embed_tokens.weight", "lm_head.weight"
        w = [self.rng.normal(0, 1, (9, 4)).astype("f4") for _ in range(2)]
        tied = self.save("tied.safetensors", {embedding: w[0]})
        free = self.save("free.safetensors", {embedding: w[0], output: w[1]})
        self.assertIn(output, self.run_it(tied, free, exits=(1,)).stdout.decode())
        pairs = self.diff(tied, free, exits=(1,))["pairs"]
        self.assertEqual([(embedding, embedding, "same"), (embedding, output, "changed")],
                         [(p["name"], p["name_b"], p["status"]) for p in pairs])
        document = json.loads(self.run_it(tied, free, tied, "--json", exits=(1,)).stdout)
        t = {x["name"]: x for x in document["tensors"]}
        self.assertEqual({embedding, output}, set(t))
        self.assertEqual([0, 0], t[embedding]["relative_l2"])
        x, y = value(w[0]), value(w[1])
        self.near(t[output]["relative_l2"][0], np.linalg.norm(y - x) / np.linalg.norm(x), 1e-9, output)
        self.near(t[output]["relative_l2"][1], np.linalg.norm(y - x) / np.linalg.norm(y), 1e-9, output)


# ---------------------------------------------------------------------------------------- promises
class Promises(DiffCase):
    def test_same_bytes(self):
        a = healthy(self.rng, 3, 96)
        b = {k: bf16(value(v) + self.rng.normal(0, 1e-3, v.shape)) for k, v in a.items()}
        words = (self.save("a.safetensors", a), self.save("b.safetensors", b), "--methods", "all", "--json", "--no-cache")
        want = self.run_it(*words, "-j", "1").stdout
        for threads in ("2", "8"):
            self.assertEqual(want, self.run_it(*words, "-j", threads).stdout, threads)
        for level in ("scalar", "avx2"):
            self.assertEqual(want, self.run_it(*words, SCRUPLE_CPU=level).stdout, level)

    def test_reads_nothing_twice(self):
        a = healthy(self.rng, 1, 32)
        paths = self.save("a.safetensors", a), self.save("b.safetensors", {k: v + 1 for k, v in a.items()})
        first, second = (self.diff(*paths, "--methods", "all") for _ in range(2))
        self.assertLess(second["io"]["bytes_read"], first["io"]["bytes_read"])
        first.pop("io"), second.pop("io")
        self.assertEqual(first, second)

    def test_goes_on_after_kill(self):
        a = {f"model.layers.{i}.mlp.up_proj.weight": self.rng.normal(0, 1, (1024, 2048)).astype("f4") for i in range(24)}
        paths = self.save("a.safetensors", a), self.save("b.safetensors", {k: v * np.float32(1.5) for k, v in a.items()})
        p = subprocess.Popen([SCRUPLE, "diff", *paths, "-j", "1", "--json"], env=self.environment,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(.15)
        p.send_signal(signal.SIGKILL)
        p.wait()
        document = self.diff(*paths, exits=(1,))
        self.assertEqual(24, document["summary"]["changed"])
        for x in document["pairs"]:
            self.assertLessEqual(abs(x["relative_l2"] - .5), 1e-6)

    def test_scan_of_a_difference(self):
        a = self.rng.normal(0, 1, (40, 60)).astype("f4")
        b = a + self.rng.normal(0, .01, (40, 60)).astype("f4")
        paths = self.save("a.safetensors", {"w": a, "gone": a}), self.save("b.safetensors", {"w": b, "new": a})
        done = subprocess.run([SCRUPLE, "scan", paths[1], "--base", paths[0], "--methods", "all", "--json"],
                              capture_output=True, check=True, env=self.environment)
        document = json.loads(done.stdout)
        validate(SCHEMAS, "scan.json", document)
        self.assertEqual("difference", document["verdict"])
        got = {t["name"]: t for t in document["tensors"]}
        d = (value(b) - value(a)).astype("f4").astype("f8")
        self.near(got["w"]["basic"]["std"], d.std(ddof=1), 1e-9, "std")
        self.near(got["w"]["basic"]["l2_norm"], np.linalg.norm(d), 1e-9, "norm")
        self.near(got["w"]["spectral"]["max_singular_value"], np.linalg.norm(d, 2), 1e-6, "largest")
        self.assertIsNone(got["new"]["basic"])


class Pages(unittest.TestCase):
    def test_every_figure_is_explained(self):
        with open(os.path.join(SOURCE, "docs", "metrics.md"), encoding="utf-8") as f:
            headings = re.findall(r"^### change\.(\w+)$", f.read(), re.M)
        with open(os.path.join(SOURCE, "src", "analyze", "change.c"), encoding="utf-8") as f:
            keys = re.findall(r"^    (?:UINT|DOUBLE)\((\w+),", f.read(), re.M)
        self.assertGreater(len(keys), 20)
        self.assertEqual(sorted(keys), sorted(headings))


if __name__ == "__main__":
    unittest.main()
