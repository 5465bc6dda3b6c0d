#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of what an adapter adds, and of a model against the base that its card names; other files in the page.

Tiles, values and figures are held against the product of the factors in numpy.
"""
import json
import os
import subprocess
import time
import unittest
import urllib.request

import numpy as np

from browser import CHROMIUM
from test_scan import save
from test_schemas import SCHEMAS as SCHEMA_FOLDER, Schemas
from test_view import SCRUPLE, Folder, read_png
from test_view_diff import ONLY_B, Places, SHAPE, bits_of, layer, make_a
from test_view_export import OUTSIDE, Export
from test_viewer import InBrowser
from viewer_page import Served

SCHEMAS = Schemas(SCHEMA_FOLDER)
RANK, ALPHA = 4, 6
UPDATED = [layer(1) + "self_attn.q_proj", layer(2) + "mlp.up_proj"]
WHOLE = "model.norm.weight"


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text)


class Adapted(Folder):
    """A base, an adapter of two of its matrices, and of one weight as a whole."""
    def setUp(self):
        super().setUp()
        self.base = make_a(self.rng)
        self.deltas, tensors = {}, {}
        for name in UPDATED:
            rows, cols = self.base[name + ".weight"].shape
            up = (self.rng.standard_normal((rows, RANK)) * 0.05).astype("f4")
            down = (self.rng.standard_normal((RANK, cols)) * 0.05).astype("f4")
            tensors[f"base_model.model.{name}.lora_A.weight"] = down
            tensors[f"base_model.model.{name}.lora_B.weight"] = up
            self.deltas[name + ".weight"] = ALPHA / RANK * (up.astype("f8") @ down.astype("f8"))
        tensors["base_model.model." + WHOLE] = np.full(self.base[WHOLE].shape, 2, "f4")
        self.whole = 2 - self.base[WHOLE]
        tensors["base_model.model.new.weight"] = np.ones((8, 8), "f4")
        os.makedirs(self.at("base"))
        save(self.at("base/model.safetensors"), self.base)
        os.makedirs(self.at("adapter"))
        save(self.at("adapter/adapter_model.safetensors"), tensors)
        self.tensors = tensors
        self.configure(base_model_name_or_path="Org/base")
        self.words = [self.at("base"), self.at("adapter")]

    def configure(self, **more):
        write(self.at("adapter/adapter_config.json"), json.dumps({"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, **more}))

    def site(self, *words, out="site"):
        self.run_it("view", "--diff", *words, "--out", self.at(out), "--no-cache", "-q", "--planes", "mean,abs")
        return Export(self.at(out))

    def check(self, site, base=True):
        places, level = Places(site.scene), site.level(0, "mean")
        for name, delta in self.deltas.items():
            got = places.cut(level, name).view(np.float32)
            np.testing.assert_allclose(delta, got, rtol=2e-7, atol=1e-9, err_msg=name)
        self.assertEqual({ONLY_B}, set(places.cut(level, "new.weight").ravel().tolist()))
        if base:
            for name, w in self.base.items():
                if name not in self.deltas and name != WHOLE and w.ndim == 2:
                    self.assertEqual({0}, set(places.cut(level, name).ravel().tolist()), name)
        return places


class Pictures(Adapted):
    def test_the_update_is_drawn_in_its_place(self):
        site = self.site(*self.words)
        self.assertEqual("differences", site.scene["shows"])
        places = self.check(site)
        self.assertEqual({*self.base, "new.weight"}, set(places.names))
        p, level = places.of(WHOLE), site.level(0, "mean")
        got = level[p["y"]:p["y"] + p["h"], p["x"]:p["x"] + p["w"]].view(np.float32)
        self.assertEqual({1.0}, set(got.ravel().tolist()))

    def test_figures_are_those_of_diff(self):
        self.site(*self.words)
        done = subprocess.run([SCRUPLE, "diff", *self.words, "--json", "--no-cache", "--out", self.at("other")],
                              capture_output=True, timeout=120, check=False)
        self.assertEqual(1, done.returncode, done.stderr)
        pairs = {p["name"] or p["name_b"]: p for p in json.loads(done.stdout)["pairs"]}
        for folder in ("site", "other"):
            with open(self.at(folder + "/0/scales.json"), encoding="utf-8") as f:
                scales = json.load(f)
            self.assertEqual([], list(SCHEMAS.problems("viewer.json", scales, {"$ref": "#/$defs/scales"}))[:5])
            names, changes = Export(self.at(folder)).scene["tensors"]["name"], scales["changes"]
            for i, name in enumerate(names):
                p = pairs.get(name)
                self.assertEqual("untouched" if p is None else p["verdict"] or p["status"], changes["verdict"][i], name)
                if p and p["verdict"]:
                    self.assertEqual(p["max_abs"], changes["max_abs"][i])
                    a = self.base[name].astype("f8")
                    self.assertAlmostEqual(1, scales["rms"][i] / (0.5 * np.sqrt((a ** 2).mean())), 6)
            order = [names[i] for i in changes["ranked"]]
            self.assertEqual([WHOLE], order[:1])
            self.assertEqual(sorted([*self.deltas, WHOLE]), sorted(order))
            self.assertIsNone(changes["files"])

    def test_the_base_that_it_names(self):
        self.check(self.site(self.at("adapter")))
        self.configure(base_model_name_or_path="Org/elsewhere")
        self.check(self.site(self.at("adapter"), "--offline", out="alone"), base=False)

    def test_what_does_not_fit_is_told(self):
        self.tensors[f"base_model.model.{UPDATED[0]}.lora_B.weight"] = np.ones((70, RANK), "f4")
        save(self.at("adapter/adapter_model.safetensors"), self.tensors)
        site = self.site(*self.words)
        cut = Places(site.scene).cut(site.level(0, "mean"), UPDATED[0] + ".weight")
        self.assertEqual({SHAPE}, set(cut.ravel().tolist()))

    def test_filters_threads_pictures(self):
        site = self.site(*self.words, layer(1)[:-1])
        self.assertEqual({layer(1)[:-1]}, {".".join(n.split(".")[:3]) for n in site.scene["tensors"]["name"]})
        pictures = []
        for threads in ("1", "4"):
            self.run_it("view", "--diff", *self.words, "--png", self.at("p.png"), "-q", "--threads", threads, "--no-cache")
            pictures.append(read_png(self.at("p.png")))
        np.testing.assert_array_equal(*pictures)
        self.assertGreater(len(set(pictures[0].ravel().tolist())), 20)

    def test_a_scale_is_part_of_what_is_kept(self):
        for alpha in (6, 60):
            self.configure(lora_alpha=alpha)
            self.run_it("view", "--diff", *self.words, "--out", self.at(f"s{alpha}"), "-q", "--planes", "mean")
            site, name = Export(self.at(f"s{alpha}")), UPDATED[0] + ".weight"
            got = Places(site.scene).cut(site.level(0, "mean"), name).view(np.float32)
            np.testing.assert_allclose(self.deltas[name] * alpha / ALPHA, got, rtol=2e-7, atol=1e-9)

    def test_elements(self):
        with Served("--diff", *self.words) as url:
            def get(path):
                with urllib.request.urlopen(url + path, timeout=60) as answer:
                    doc = json.load(answer)
                kind = path.split("/")[-1].split("?")[0].removesuffix(".json")
                if kind in ("value", "tensor", "scales"):
                    self.assertEqual([], list(SCHEMAS.problems("viewer.json", doc, {"$ref": f"#/$defs/{kind}"}))[:5], path)
                return doc
            deadline = time.monotonic() + 60
            while not get("0/scales.json")["final"] and time.monotonic() < deadline:
                time.sleep(0.05)
            self.assertEqual("base + adapter", get("view.json")["title"])
            places = Places(get("0/scene.json"))

            def value(name, row, col):
                return get(f"0/value?tensor={places.tensor[name]}&slice=0&row={row}&col={col}")
            name = UPDATED[1] + ".weight"
            got, a = value(name, 5, 7), self.base[name][5, 7]
            self.assertEqual((float(a), a.tobytes().hex()), (got["a"]["value"], got["a"]["raw"]))
            self.assertAlmostEqual(self.deltas[name][5, 7], got["value"], 12)
            self.assertAlmostEqual(float(a) + self.deltas[name][5, 7], got["b"]["value"], 12)
            self.assertEqual((None, None, None), (got["b"]["file"], got["b"]["raw"], got["ulp"]))
            name = layer(0) + "self_attn.q_proj.weight"
            got = value(name, 1, 2)
            self.assertEqual((0, got["a"]), (got["value"], got["b"]))
            self.assertEqual("untouched", get(f"0/tensor?i={places.tensor[name]}")["pair"]["status"])
            got = value(WHOLE, 0, 3)
            self.assertEqual((1.0, "adapter_model.safetensors"), (got["value"], got["b"]["file"]))
            got = value("new.weight", 0, 3)
            self.assertEqual((None, None, 1.0), (got["value"], got["a"], got["b"]["value"]))


class Words(Adapted):
    def test_one_model_and_its_base(self):
        tuned = {k: v.copy() for k, v in self.base.items()}
        name = layer(3) + "mlp.down_proj.weight"
        tuned[name][2, 3] += np.float32(.5)
        os.makedirs(self.at("tuned"))
        save(self.at("tuned/model.safetensors"), tuned)
        done = self.run_it("view", "--diff", self.at("tuned"), "--png", self.at("x.png"), code=2)
        self.assertIn("neither a card nor a configuration of", str(done))
        write(self.at("tuned/README.md"), "---\nbase_model: Org/base\n---\n")
        self.run_it("view", "--diff", self.at("tuned"), "--out", self.at("one"), "--no-cache", "-q")
        self.run_it("view", "--diff", self.at("base"), self.at("tuned"), "--out", self.at("two"), "--no-cache", "-q")
        one, two = Export(self.at("one")).files(), Export(self.at("two")).files()
        self.assertEqual(sorted(one), sorted(two))
        for path in one:
            if path.startswith("0/"):
                self.assertEqual(one[path], two[path], path)
        level = Export(self.at("one")).level(0, "mean")
        self.assertEqual(1, (~np.isin(level, [OUTSIDE, 0])).sum())
        self.assertEqual(bits_of(tuned[name] - self.base[name])[2, 3],
                         Places(Export(self.at("one")).scene).cut(level, name)[2, 3])

    def said(self, *words, code):
        done = subprocess.run([SCRUPLE, *words], capture_output=True, check=False, timeout=60, cwd=self.folder,
                              env=dict(os.environ, HF_HUB_OFFLINE="1", HF_HOME=self.at("hf"), SCRUPLE_CACHE=self.at("cache")))
        self.assertEqual(code, done.returncode, done.stderr)
        text = done.stderr.decode()
        self.assertEqual(1, text.count("\n"), text)
        return text

    def test_a_name_that_is_not_there(self):
        for command in (["diff"], ["view", "--png", "x.png", "--diff"]):
            text = self.said(*command, "base", "missing-dir", code=2)
            self.assertIn('needs two MODELs, but "missing-dir" is none: no file or folder here has that name', text)
            self.assertIn("neither a card nor a configuration of", text)
            text = self.said(*command, "base", "base", "missing-dir", code=1) if command == ["diff"] else ""
            if text:
                self.assertIn('no tensor matches "missing-dir", nor is there a file or folder of that name here', text)
            self.assertIn("./missing-dir: no such file or folder", self.said(*command, "base", "./missing-dir", code=4))
            self.assertIn("org/missing: not in the caches", self.said(*command, "base", "org/missing", code=4))
            self.assertIn("MODEL is missing", self.said(*command, code=2))
            self.assertIn("adapter is an adapter: name the model that it changes before it",
                          self.said(*command, "adapter", "base", code=2))
        self.assertIn("--diff takes two MODELs, but 3 are given (of checkpoints in order, scruple diff --out makes maps)",
                      self.said("view", "--diff", "base", "base", "base", "--png", "x.png", code=2))

    def test_experts(self):
        self.assertIn("MODEL is missing", self.said("moe", code=2))
        self.assertIn('moe takes one MODEL, but "adapter" would be another', self.said("moe", "base", "adapter", code=2))
        self.assertIn('no tensor matches "missing-dir"', self.said("moe", "base", "missing-dir", code=1))
        self.assertIn("has no experts\n", self.said("moe", "base", code=3))


@unittest.skipUnless(CHROMIUM, "there is no Chromium")
class Page(InBrowser):
    def write_pair(self):
        for side, config in (("a", {"eps": 1e-6, "list": [1, 2, 3]}), ("b", {"eps": 1e-5, "list": [1, 3], "new": "x"})):
            write(self.at(side + "/config.json"), json.dumps(config))
            write(self.at(side + "/notes.txt"), "abc " * 100 if side == "a" else "abc " * 99 + "end!")
            write(self.at(side + "/same.txt"), "the same")
            save(self.at(side + "/model.safetensors"), {"w": np.full((8, 8), side == "b", "f4")})
        write(self.at("b/only.txt"), "12345")
        return self.at("a"), self.at("b")

    def test_other_files(self):
        page = self.view("--diff", *self.write_pair())
        page.key("r")
        page.run("document.querySelector('[data-list=files]').click()")
        text = page.run("document.querySelector('.p-files').innerText")
        for words in ("config.json", "1e-06 \u2192 1e-05", "notes.txt", "in B only, 5 bytes", "1 file is the same"):
            self.assertIn(words, text)
        names = page.run("[...document.querySelectorAll('.p-file .p-ranked-name')].map((e) => e.textContent)")
        self.assertEqual(["config.json", "notes.txt", "only.txt"], names)
        changes = page.run("[...document.querySelectorAll('.p-file-changes li')].map((e) => [e.dataset.kind, e.querySelector('code').textContent])")
        self.assertEqual([["changed", "$.eps"], ["removed", "$.list[1]"], ["added", "$.new"]], changes)
        tall = page.run("[...document.querySelectorAll('.p-file')[1].querySelectorAll('.p-file-strip span')].map((e) => e.style.height !== '0px')")
        self.assertEqual((128, [126, 127]), (len(tall), [i for i, t in enumerate(tall) if t]))
        page.run("document.querySelector('[data-list=tensors]').click()")
        self.assertEqual(1, page.run("document.querySelectorAll('.p-ranked-row').length"))


if __name__ == "__main__":
    unittest.main()
