#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of what changed: checkpoints that differ in known places.

Tiles, PNG, page, figures and the documents of `scruple diff` are held against B - A in numpy and
against each other. Colours are computed here by the formulas of docs/diff.md.
"""
import base64
import json
import os
import subprocess
import time
import unittest
import urllib.request

import numpy as np

from browser import CHROMIUM
from test_diff_gguf import F16, Q8_0, llama, write_gguf
from test_scan import save
from test_schemas import SCHEMAS as SCHEMA_FOLDER, Schemas
from test_view import SCRUPLE, Folder, read_png, write_safetensors
from test_view_export import OUTSIDE, Export
from test_viewer import InBrowser
from viewer_page import Served

ONLY_A, ONLY_B, SHAPE = 0x7FC50000, 0x7FC60000, 0x7FC70000
NAN_PIXEL = 0x7FC10000
STEPS, HALF = 240, 120
ENTRY = {"outside": 240, "zero": 241, "nan": 242, "pos_inf": 243, "neg_inf": 244, "only_a": 250,
         "only_b": 251, "shape": 252, "same": 253}
L, H, F, V = 4, 64, 96, 128
SCHEMAS = Schemas(SCHEMA_FOLDER)


def layer(i):
    return f"model.layers.{i}."


def make_a(rng):
    def normal(*shape):
        return (rng.standard_normal(shape) * 0.05).astype("<f4")
    a = {"model.embed_tokens.weight": normal(V, H)}
    for i in range(L):
        for name, shape in (("self_attn.q_proj", (H, H)), ("self_attn.v_proj", (H, H)),
                            ("mlp.up_proj", (F, H)), ("mlp.down_proj", (H, F))):
            a[layer(i) + name + ".weight"] = normal(*shape)
        a[layer(i) + "input_layernorm.weight"] = np.ones(H, "<f4")
    a["model.norm.weight"] = np.ones(H, "<f4")
    return a


def change(a, rng):
    """One element, a row, a layer, values that are not finite, one-sided ones, another shape."""
    b = {k: v.copy() for k, v in a.items()}
    b[layer(0) + "self_attn.q_proj.weight"][17, 33] += np.float32(0.5)
    b[layer(0) + "mlp.up_proj.weight"][40] *= np.float32(-1.5)
    for name in ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.down_proj"):
        w = b[layer(1) + name + ".weight"]
        w += (rng.standard_normal(w.shape) * 10 ** rng.uniform(-9, 0, w.shape)).astype("<f4")
    w = b[layer(2) + "self_attn.v_proj.weight"]
    w[3, 4], w[5, 6], w[7, 8] = np.nan, np.inf, -np.inf
    del b[layer(2) + "mlp.up_proj.weight"]
    b[layer(3) + "self_attn.q_proj.bias"] = np.full(H, 2, "<f4")
    b[layer(3) + "mlp.down_proj.weight"] = np.zeros((H, F + 32), "<f4")
    return b


def bits_of(d):
    """What pixels of B - A are."""
    return np.where(np.isnan(d), np.uint32(NAN_PIXEL), d.astype(np.float32).view(np.uint32))


def entries_of(d, mode, end):
    """Palette entries by the formulas; end: of linear scales."""
    d = d.astype(np.float32)
    side = np.arange(1, HALF)
    if mode == "exact":
        out = np.where(d < 0, 60, 180)
    else:
        share = {"rms": side / HALF * np.float64(end), "linear": side / HALF * np.float64(end),
                 "abs-log": 10 ** (side / HALF * 5 - 6)}[mode].astype(np.float32)
        out = np.searchsorted(np.concatenate([-share[::-1], [np.float32(0)], share]), d, "right")
    out = np.where(d == 0, ENTRY["same"], out)
    out = np.where(np.isnan(d), ENTRY["nan"], out)
    return np.where(np.isinf(d), np.where(d > 0, ENTRY["pos_inf"], ENTRY["neg_inf"]), out)


def end_of_rms(a, d):
    """Half of the root mean square of A where both are finite, at least half a millionth."""
    a = a[np.isfinite(d)].astype(np.float64)
    return np.float32(0.5 * max(np.sqrt(np.mean(a ** 2)), 1e-6))


class Places:
    """Where tensors stand in scene.json."""
    def __init__(self, scene):
        self.scene = scene
        self.names = scene["tensors"]["name"]
        self.tensor = {name: i for i, name in enumerate(self.names)}

    def of(self, name):
        p = self.scene["places"]
        i = p["tensor"].index(self.tensor[name])
        return {key: p[key][i] for key in ("x", "y", "w", "h", "dx", "dy", "rows", "cols")}

    def cut(self, level, name):
        """The pixels of a tensor in a picture of zoom 0."""
        p = self.of(name)
        return level[p["y"]:p["y"] + p["h"], p["x"]:p["x"] + p["w"]]


class Pair(Folder):
    def setUp(self):
        super().setUp()
        self.a = make_a(self.rng)
        self.b = change(self.a, self.rng)
        self.paths = [self.store("a.safetensors", self.a), self.store("b.safetensors", self.b)]

    def store(self, name, tensors):
        write_safetensors(self.at(name), {k: ("F32", v) for k, v in tensors.items()})
        return self.at(name)

    def export(self, *words, paths=None, command=("view", "--diff")):
        self.run_it(*command, *(paths or self.paths), "--out", self.at("site"), "--no-cache", "-q",
                    "--planes", "mean,min,max,abs", *words, code=1 if command[0] == "diff" else 0)
        return Export(self.at("site"))

    def diff(self, *words, paths=None):
        done = subprocess.run([SCRUPLE, "diff", *(paths or self.paths), "--json", "--no-cache", *words],
                              capture_output=True, timeout=120, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return json.loads(done.stdout)

    def differences(self):
        with np.errstate(invalid="ignore"):
            return {k: self.b[k] - v for k, v in self.a.items() if k in self.b and self.b[k].shape == v.shape}


class Pictures(Pair):
    def test_every_element_is_where_it_changed(self):
        site = self.export()
        self.assertEqual("differences", site.scene["shows"])
        places, level = Places(site.scene), site.level(0, "mean")
        for name, d in self.differences().items():
            got = places.cut(level, name)
            if d.ndim == 2:
                np.testing.assert_array_equal(bits_of(d), got, name)
            else:
                self.assertEqual({0}, set(got.ravel().tolist()), name)
        for name, code in ((layer(2) + "mlp.up_proj.weight", ONLY_A),
                           (layer(3) + "self_attn.q_proj.bias", ONLY_B),
                           (layer(3) + "mlp.down_proj.weight", SHAPE)):
            self.assertEqual({code}, set(places.cut(level, name).ravel().tolist()), name)
        shape = site.scene["shapes"][site.scene["tensors"]["shape"][
            places.tensor[layer(3) + "mlp.down_proj.weight"]]]
        self.assertEqual([H, F], shape)  # A's

    def test_one_element_is_seen_from_afar(self):
        site = self.export()
        places = Places(site.scene)
        for name in (layer(0) + "self_attn.q_proj.weight", layer(1) + "mlp.up_proj.weight"):
            p, d = places.of(name), np.abs(self.differences()[name])
            for z in range(1, max(z for z, _ in site.levels) + 1):
                n = 2 ** z
                level = site.level(z, "abs")
                got = level[p["y"] // n:(p["y"] + p["h"]) // n, p["x"] // n:(p["x"] + p["w"]) // n]
                want = d.reshape(d.shape[0] // n, n, d.shape[1] // n, n).max(axis=(1, 3))
                np.testing.assert_array_equal(want, got.view(np.float32), f"{name} {z}")
        top = site.level(max(z for z, _ in site.levels), "abs").view(np.float32)
        self.assertTrue((np.nan_to_num(top, nan=0, posinf=0) >= 0.5).any())

    def test_figures_are_those_of_diff(self):
        site, doc = self.export(), self.diff("--top", "1000")
        with open(self.at("site/0/scales.json"), encoding="utf-8") as f:
            scales = json.load(f)
        changes = scales["changes"]
        pairs = {p["name"] or p["name_b"]: p for p in doc["pairs"]}
        self.assertEqual(doc["sentence"], changes["groups"]["sentence"])
        self.assertTrue(scales["final"])
        names = site.scene["tensors"]["name"]
        self.assertEqual(sorted(pairs), sorted(names))
        for i, name in enumerate(names):
            p = pairs[name]
            self.assertEqual(p["verdict"] or p["status"], changes["verdict"][i], name)
            for key in ("relative_l2", "max_abs"):
                self.assertEqual(p[key], changes[key][i], name)
            if p["verdict"]:
                d = self.differences()[name]
                self.assertAlmostEqual(1, scales["rms"][i] / end_of_rms(self.a[name], d), 6, name)
                self.assertEqual(float(np.abs(d[np.isfinite(d)]).max()), scales["abs"][i], name)
        self.assertEqual([t["name"] for t in doc["most_changed"]], [names[i] for i in changes["ranked"]])
        for key in ("layers", "roles"):
            mine = {json.dumps([g.get("layer"), g.get("role")]): g for g in doc[key]}
            self.assertEqual(len(mine), len(changes["groups"][key]))
            for g in changes["groups"][key]:
                self.assertEqual(mine[json.dumps([g.get("layer"), g.get("role")])], g)
            change = [-1 if g["relative_l2"] is None else g["relative_l2"] for g in changes["groups"][key]]
            self.assertEqual(sorted(change, reverse=True), change)

    def test_colours_are_by_the_formulas(self):
        d, site = self.differences(), self.export()
        places = Places(site.scene)
        for mode in ("rms", "abs-log", "exact"):
            self.run_it("view", "--diff", *self.paths, "--png", self.at("p.png"), "--no-cache", "-q", "--mode", mode,
                        "--plane", "mean")
            shown = read_png(self.at("p.png"))
            self.assertEqual((site.scene["height"], site.scene["width"]), shown.shape)
            with open(self.at("site/colours.json"), encoding="utf-8") as f:
                colours = json.load(f)
            for word, entry in ENTRY.items():
                self.assertEqual(entry, colours["special"][word])
            palette = palette_of(colours, mode)
            for name in d:
                if d[name].ndim == 2:
                    want = palette[entries_of(d[name], mode, end_of_rms(self.a[name], d[name]))]
                    np.testing.assert_array_equal(want, places.cut(shown, name), f"{mode} {name}")
            for name, word in ((layer(2) + "mlp.up_proj.weight", "only_a"),
                               (layer(3) + "self_attn.q_proj.bias", "only_b"),
                               (layer(3) + "mlp.down_proj.weight", "shape")):
                self.assertEqual({int(palette[ENTRY[word]])}, set(places.cut(shown, name).ravel().tolist()))

    def test_models_that_are_the_same(self):
        site = self.export(paths=[self.paths[0], self.paths[0]])
        level = site.level(0, "mean")
        self.assertEqual({0, OUTSIDE}, set(level.ravel().tolist()))

    def test_diff_writes_the_same(self):
        mine = self.export().files()
        other = self.export(command=("diff",)).files()
        self.assertEqual(sorted(mine), sorted(other))
        for name in mine:
            if name.startswith("0/") and not name.endswith("scales.json"):
                self.assertEqual(mine[name], other[name], name)

    def test_filters_are_of_both_names(self):
        site = self.export(layer(2)[:-1], layer(3) + "self_attn")
        self.assertEqual({layer(2)[:-1], layer(3)[:-1]}, {".".join(n.split(".")[:3]) for n in site.scene["tensors"]["name"]})
        self.run_it("view", "--diff", *self.paths, "--png", self.at("p.png"), "nothing.like.this", code=1)

    def test_the_order_of_threads_is_not_seen(self):
        one = self.export("--threads", "1").files()
        os.rename(self.at("site"), self.at("one"))
        many = self.export("--threads", "5").files()
        self.assertEqual({k: v for k, v in one.items() if "tiles" in k}, {k: v for k, v in many.items() if "tiles" in k})

    def test_caches_know_both_sides(self):
        cache = {**os.environ, "SCRUPLE_CACHE": self.at("cache"), "XDG_CACHE_HOME": self.at("xdg")}
        for path in (self.paths[1], self.paths[0], self.paths[1]):
            done = subprocess.run([SCRUPLE, "view", "--diff", self.paths[0], path, "--png", self.at("p.png"), "-q"],
                                  env=cache, capture_output=True, timeout=120, check=False)
            self.assertEqual(0, done.returncode, done.stderr)
            shown = read_png(self.at("p.png"))
            self.assertEqual(path == self.paths[0], len(set(shown.ravel().tolist())) <= 3)

    def test_steps_are_maps(self):
        c = {k: v * np.float32(1.25) if layer(3) in k else v for k, v in self.b.items()}
        paths = [*self.paths, self.store("c.safetensors", c)]
        site = self.export(paths=paths, command=("diff",))
        self.assertEqual("maps", site.scene["shows"])
        places, level = Places(site.scene), site.level(0, "mean")
        got = places.cut(level, "up_proj step by step").view(np.float32)
        h, w = got.shape[0] // L, got.shape[1] // 2
        for step in range(2):
            pairs = {p["name"]: p for p in self.diff(paths=paths[step:step + 2])["pairs"]}
            for i in (0, 1, 3):
                want = pairs[layer(i) + "mlp.up_proj.weight"]["relative_l2"]
                self.assertEqual(np.float32(want), got[h * i + h // 2, w * step + w // 2], (step, i))

    def test_wrong_words(self):
        for words in (["view", "--diff", self.paths[0]], ["view", self.paths[0], "--png", "x.png", "--mode", "rms"],
                      ["view", "--diff", *self.paths, "--png", "x.png", "--mode", "bits"],
                      ["view", "--diff", *self.paths, self.paths[0], "--png", "x.png"]):
            self.run_it(*words, code=2)


def palette_of(colours, mode, ground="dark"):
    p = next(m for m in colours["modes"] if m["name"] == mode)[ground]
    rgb = np.frombuffer(base64.b64decode(p), np.uint8).reshape(256, 3).astype(np.uint32)
    return rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]


class Converted(Pair):
    def test_a_gguf_looks_unchanged(self):
        m = llama(np.random.default_rng(1))
        save(self.at("hf.safetensors"), m.hf)
        for kind, same in ((F16, False), (30, True)):
            write_gguf(self.at("m.gguf"), m.keys, m.gguf, kind)
            for paths in ([self.at("hf.safetensors"), self.at("m.gguf")], [self.at("m.gguf"), self.at("hf.safetensors")]):
                site = self.export(paths=paths)
                level = site.level(0, "mean")
                values = set(level.ravel().tolist()) - {OUTSIDE, ONLY_A, ONLY_B}
                if same:
                    self.assertEqual({0}, values)
                with open(self.at("site/0/scales.json"), encoding="utf-8") as f:
                    verdicts = json.load(f)["changes"]["verdict"]
                self.assertLessEqual(set(verdicts), {"bits", "values", "cast", "only_a", "only_b"}, verdicts)

    def test_rows_are_put_back(self):
        """A change of one element of a q that the converter permuted stands in the row of the source."""
        m = llama(np.random.default_rng(2))
        save(self.at("hf.safetensors"), m.hf)
        name = "blk.1.attn_q.weight"
        for row in (0, 1, 5, 63):
            x = m.gguf[name].copy()
            m.gguf[name] = x.copy()
            m.gguf[name][row, 7] += 1
            write_gguf(self.at("m.gguf"), m.keys, m.gguf, 0)
            m.gguf[name] = x
            site = self.export(paths=[self.at("hf.safetensors"), self.at("m.gguf")])
            places = Places(site.scene)
            got = places.cut(site.level(0, "mean"), "model.layers.1.self_attn.q_proj.weight").view(np.float32)
            head, d = row // 8, row % 8  # 8 heads of 8 rows, of which pairs were put together
            want = head * 8 + (d % 2) * 4 + d // 2
            self.assertEqual([[want, 7]], np.argwhere(got != 0).tolist(), row)

    def test_quantised(self):
        m = llama(np.random.default_rng(3))
        save(self.at("hf.safetensors"), m.hf)
        write_gguf(self.at("m.gguf"), m.keys, m.gguf, Q8_0)
        site = self.export(paths=[self.at("hf.safetensors"), self.at("m.gguf")])
        with open(self.at("site/0/scales.json"), encoding="utf-8") as f:
            self.assertIn("cast", json.load(f)["changes"]["verdict"])
        level = site.level(0, "mean")
        places = Places(site.scene)
        got = places.cut(level, "model.layers.0.mlp.up_proj.weight").view(np.float32)
        self.assertTrue(0 < np.abs(got).max() < 0.01)

    def test_fused_against_parts(self):
        """Where one side has fused what the other has not, the parts are drawn."""
        fused = {k: v for k, v in self.a.items() if "q_proj" not in k and "v_proj" not in k}
        parts = dict(self.a)
        changed = None
        for i in range(L):
            parts[layer(i) + "self_attn.k_proj.weight"] = (self.rng.standard_normal((H, H)) * 0.05).astype("<f4")
            rows = [parts[layer(i) + f"self_attn.{x}_proj.weight"] for x in "qkv"]
            fused[layer(i) + "self_attn.qkv_proj.weight"] = np.concatenate(rows)
        changed = fused[layer(2) + "self_attn.qkv_proj.weight"] = fused[layer(2) + "self_attn.qkv_proj.weight"].copy()
        changed[H + 9, 11] += 1  # row 9 of k
        for i, d in enumerate(("f", "p")):
            os.mkdir(self.at(d))
            self.store(d + "/model.safetensors", (fused, parts)[i])
            with open(self.at(d + "/config.json"), "w", encoding="utf-8") as f:
                json.dump({"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "hidden_size": H,
                           "num_attention_heads": 4, "num_key_value_heads": 4, "num_hidden_layers": L}, f)
        for paths, sign in (([self.at("p"), self.at("f")], 1), ([self.at("f"), self.at("p")], -1)):
            site = self.export(paths=paths)
            places, level = Places(site.scene), site.level(0, "mean")
            got = places.cut(level, layer(2) + "self_attn.k_proj.weight").view(np.float32)
            self.assertEqual([[9, 11]], np.argwhere(got != 0).tolist())
            self.assertEqual(sign, np.sign(got[9, 11]))


class Served_(Pair):
    def setUp(self):
        super().setUp()
        self.url = self.enterContext(Served("--diff", *self.paths))

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            doc = json.load(answer)
        for kind in ("scales", "value", "tensor"):
            if f"/{kind}" in path:
                problems = list(SCHEMAS.problems("viewer.json", doc, {"$ref": f"#/$defs/{kind}"}))
                self.assertEqual([], problems[:5], path)
        return doc

    def wait(self):
        deadline = time.monotonic() + 60
        while not self.get("2/scales.json")["final"] and time.monotonic() < deadline:
            time.sleep(0.05)

    def test_a_shot_is_what_png_writes(self):
        self.wait()
        scene = self.get("2/scene.json")
        self.run_it("view", "--diff", *self.paths, "--png", self.at("p.png"), "--no-cache", "-q", "--mode", "rms", "--plane", "min")
        with urllib.request.urlopen(f"{self.url}2/shot.png?x=0&y=0&w={scene['width']}&h={scene['height']}&z=0&m=rms&p=min",
                                    timeout=60) as answer, open(self.at("s.png"), "wb") as f:
            f.write(answer.read())
        np.testing.assert_array_equal(read_png(self.at("p.png")), read_png(self.at("s.png")))

    def test_three_views(self):
        shows = [self.get(f"{i}/scene.json")["shows"] for i in range(3)]
        self.assertEqual(["weights", "weights", "differences"], shows)
        self.assertEqual("a.safetensors \u2192 b.safetensors", self.get("view.json")["title"])

    def test_elements(self):
        places = Places(self.get("2/scene.json"))

        def value(name, row, col):
            return self.get(f"2/value?tensor={places.tensor[name]}&slice=0&row={row}&col={col}")
        name = layer(0) + "self_attn.q_proj.weight"
        got = value(name, 17, 33)
        a, b = self.a[name][17, 33], self.b[name][17, 33]
        self.assertEqual(float(b) - float(a), got["value"])
        self.assertEqual((float(a), float(b)), (got["a"]["value"], got["b"]["value"]))
        self.assertEqual((a.tobytes().hex(), b.tobytes().hex()), (got["a"]["raw"], got["b"]["raw"]))
        as_int = [int(x.view(np.int32)) if x >= 0 else -int(x.view(np.int32) & 0x7FFFFFFF) for x in (a, b)]
        self.assertEqual(abs(as_int[1] - as_int[0]), got["ulp"])
        for side, path in (("a", self.paths[0]), ("b", self.paths[1])):
            with open(path, "rb") as f:
                f.seek(got[side]["offset"])
                self.assertEqual(got[side]["raw"], f.read(4).hex())
        self.assertEqual(0, value(name, 0, 0)["ulp"])
        self.assertEqual("NaN", value(layer(2) + "self_attn.v_proj.weight", 3, 4)["value"])
        only = value(layer(2) + "mlp.up_proj.weight", 1, 2)
        self.assertIsNone(only["value"])
        self.assertIsNone(only["b"])
        self.assertEqual(float(self.a[layer(2) + "mlp.up_proj.weight"][1, 2]), only["a"]["value"])
        only = value(layer(3) + "self_attn.q_proj.bias", 0, 2)
        self.assertEqual((None, 2.0), (only["a"], only["b"]["value"]))

    def test_tensors(self):
        places = Places(self.get("2/scene.json"))
        doc = {p["name"] or p["name_b"]: p for p in self.diff()["pairs"]}
        self.wait()
        for name, i in places.tensor.items():
            pair = self.get(f"2/tensor?i={i}")["pair"]
            if doc[name]["verdict"]:
                for key in ("verdict", "max_abs", "relative_l2", "one_minus_cosine", "rms", "changed"):
                    self.assertEqual(doc[name][key], pair["change"][key], name)
            else:
                self.assertEqual((doc[name]["status"], None), (pair["status"], pair["change"]))
        pair = self.get(f"2/tensor?i={places.tensor[layer(3) + 'mlp.down_proj.weight']}")["pair"]
        self.assertEqual(([H, F], [H, F + 32]), (pair["a"]["shape"], pair["b"]["shape"]))


@unittest.skipUnless(CHROMIUM, "there is no Chromium")
class Page(InBrowser):
    def setUp(self):
        super().setUp()
        self.a = make_a(self.rng)
        self.b = change(self.a, self.rng)
        self.paths = [self.model({k: ("F32", v) for k, v in t.items()}, n)
                      for t, n in ((self.a, "a.safetensors"), (self.b, "b.safetensors"))]

    def test_pictures_are_those_of_files(self):
        page = self.view("--diff", *self.paths)
        for words, state in (
                (["--mode", "rms"], "{mode: 'rms'}"), (["--mode", "abs-log", "--plane", "mean"], "{mode: 'abs-log', plane: 'mean'}"),
                (["--mode", "exact", "--light"], "{mode: 'exact', plane: 'abs', ground: 'light'}"),
                (["--mode", "linear", "--plane", "min", "--scale", "role"],
                 "{mode: 'linear', plane: 'min', scaleOf: 'role', ground: 'dark'}"), ([], "{mode: 'diverging', plane: 'abs', scaleOf: 'tensor'}")):
            page.do("scruple.store.set({ground: 'dark'}); scruple.store.set(%s); scruple.fit(false)" % state)
            subprocess.run([SCRUPLE, "view", "--diff", *self.paths, "--png", self.at("p.png"), "--no-cache", "-q",
                            "--width", str(page.picture().shape[1]), *words], check=True, timeout=120)
            np.testing.assert_array_equal(read_png(self.at("p.png")), page.picture(), str(words))

    def test_what_is_ranked(self):
        page = self.view("--diff", *self.paths)
        page.key("r")
        rows = page.run("[...document.querySelectorAll('.p-ranked-row .p-ranked-name')].map((e) => e.textContent)")
        done = subprocess.run([SCRUPLE, "diff", *self.paths, "--json", "--no-cache"], capture_output=True, timeout=120, check=False)
        doc = json.loads(done.stdout)
        self.assertEqual([t["name"] for t in doc["most_changed"]], rows[:len(doc["most_changed"])])
        self.assertIn(layer(2) + "mlp.up_proj.weight", rows)
        page.run("document.querySelector('.p-ranked-row').click()")
        page.settle()
        chosen = page.run("scruple.views[2].scene.names[scruple.store.get('selection').tensor]")
        self.assertEqual(rows[0], chosen)
        page.run("document.querySelector('[data-list=layers]').click()")
        self.assertEqual("layer 1", page.run("document.querySelector('.p-ranked-name').textContent"))

    def test_what_is_not_finite_is_told(self):
        name = layer(2) + "mlp.down_proj.weight"
        a = {name: self.a[name].copy()}
        b = {name: self.a[name].copy()}
        b[name][3, 5:7] = np.nan, np.inf
        paths = [self.model({k: ("F32", v) for k, v in t.items()}, n)
                 for t, n in ((a, "fine.safetensors"), (b, "broken.safetensors"))]
        page = self.view("--diff", *paths)
        page.key("r")
        self.assertEqual("2 not finite", page.run("document.querySelector('.p-ranked-row small').textContent"))
        self.assertIn("1 with more NaN or infinity in B", page.run("document.querySelector('#p-changes').innerText"))
        page.key("?", shift=True)
        self.assertIn("Every pixel is B", page.run("document.querySelector('.p-help').innerText"))

    def test_three_views_take_turns(self):
        page = self.view("--diff", *self.paths)
        state = "[scruple.store.get('view'), scruple.store.get('compare'), scruple.store.get('mode'), scruple.store.get('plane')]"
        page.do("scruple.store.set({mode: 'rms'})")
        self.assertEqual([2, "none", "rms", "abs"], page.run(state))
        page.key("v")
        self.assertEqual([0, "none", "diverging", "mean"], page.run(state))
        page.key("c")
        self.assertEqual([0, "side", "diverging", "mean"], page.run(state))
        page.key("v")
        page.key("v")
        self.assertEqual([2, "none", "rms", "abs"], page.run(state))
        page.key("c")
        page.settle()
        self.assertEqual([0, "side", "diverging", "mean"], page.run(state))

    def test_the_selected_element(self):
        page = self.view("--diff", *self.paths, width=1200)
        name = layer(0) + "self_attn.q_proj.weight"
        page.do("scruple.goTo({view: 2, tensor: scruple.views[2].scene.names.indexOf('%s'), row: 17, col: 33}, {animate: false})" % name)
        page.wait_for("document.querySelector('.p-element')?.innerText.includes('ulp')")
        text = page.run("document.querySelector('.p-element').innerText")
        for side, word in ((self.a, "A"), (self.b, "B")):
            x = side[name][17, 33]
            self.assertIn(f"{word} {np.format_float_positional(x, unique=True)}", text)
        self.assertIn("1 of 4", page.run("document.querySelector('.p-pair').innerText.replace(/\\s+/g, ' ')"))


if __name__ == "__main__":
    unittest.main()
