# SPDX-License-Identifier: Apache-2.0
"""Figures of experts in the viewer: every cell of every map is the number that --json has, in the colour of its range."""
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.request

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import forward_reference as ref  # noqa: E402
import test_moe as moe  # noqa: E402
from browser import CHROMIUM, Browser  # noqa: E402
from viewer_page import SCRUPLE, Served, Viewer  # noqa: E402

PARTS = ("gate_proj", "up_proj", "down_proj", "router")
STATS = ("rms", "frobenius", "mean-abs", "sparsity")


def value_of(number):
    return np.nan if number is None else float(number)


class Maps(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.model = os.path.join(cls.folder.name, "model")
        w = moe.experts()
        w[1, "gate_proj"][3] = 0
        w[2, "down_proj"][5, 0, 0] = np.nan
        tensors = moe.names(w, "single")
        del tensors["model.layers.0.mlp.experts.6.up_proj.weight"]
        ref.write_folder(cls.model, moe.CONFIG, tensors)
        r = subprocess.run([SCRUPLE, "moe", cls.model, "--json"], capture_output=True, check=False)
        cls.told = {(m["part"], m["stat"]): m["values"] for m in json.loads(r.stdout)["maps"]}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def wanted(self, part, stat):
        rows = self.told[part, stat]
        return np.array([[value_of(x) for x in row] for row in rows], np.float32)

    def test_documents(self):
        with Served(self.model, command=("moe", "--view")) as url:
            with urllib.request.urlopen(url + "0/scene.json") as f:
                scene = json.load(f)
            self.assertEqual("maps", scene["shows"])
            names = scene["tensors"]["name"]
            self.assertEqual(sorted(f"{p} {s}" for p in PARTS for s in STATS), sorted(names))
            self.assertEqual(len(names), len(scene["maps"]))
            for i, name in enumerate(names):
                part, stat = name.split(" ")
                want, got = self.wanted(part, stat), scene["maps"][i]
                finite = np.sort(want[np.isfinite(want)])
                at = [int(np.floor(q * (len(finite) - 1) + 0.5)) for q in (.02, .98)]
                np.testing.assert_array_equal(finite[at], np.float32([got["low"], got["high"]]))
                self.assertEqual(("layer", "expert"), (got["down"]["of"], got["across"]["of"]))
                for row in range(want.shape[0]):
                    for col in range(want.shape[1]):
                        with urllib.request.urlopen(f"{url}0/value?tensor={i}&slice=0&row={row}&col={col}") as f:
                            x = json.load(f)["value"]
                        np.testing.assert_array_equal(want[row, col], np.float32(x), f"{name} {row} {col}")

    def test_where_the_weights_are(self):
        """What a cell names is in the model, and begins with the weights of that expert's matrix."""
        w = moe.experts()
        for layout in ("single", "stacked", "rows", "columns", "turns"):
            config = {**moe.CONFIG, **({"model_type": "gpt_oss"} if layout == "turns" else {})}
            folder = ref.write_folder(os.path.join(self.folder.name, "at " + layout), config, moe.names(w, layout))
            with Served(folder, command=("moe", "--view")) as url:
                with urllib.request.urlopen(url + "0/scene.json") as f:
                    scene = json.load(f)
            self.assertEqual(4, len(scene["spots"]))
            with open(os.path.join(folder, "model.safetensors"), "rb") as f:
                n = int.from_bytes(f.read(8), "little")
                header, start = json.loads(f.read(n)), 8 + n
                data = f.read()
            for i, name in enumerate(scene["tensors"]["name"]):
                part, spots = name.split(" ")[0], scene["spots"][str(scene["maps"][i]["spots"])]
                self.assertEqual(f"scruple view '{folder}' --at", spots["command"])
                rows, cols = scene["shapes"][scene["tensors"]["shape"][i]]
                for layer, expert in np.ndindex(rows, cols):
                    at = re.fullmatch(r"(.*?)(?:\[([0-9,]+)\])?", spots["at"][layer * cols + expert])
                    entry = header[at[1]]
                    stored = np.frombuffer(data[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
                    index = tuple(int(x) for x in at[2].split(",")) if at[2] else (0,) * stored.ndim
                    want = w[layer, part][expert]
                    self.assertEqual(want.ravel()[0], stored[index], (layout, name, layer, expert))
                    self.assertEqual(at[2] is None, want.size == stored.size, (layout, name))
            for at in (spots["at"][0], spots["at"][-1]):
                r = subprocess.run([SCRUPLE, "view", folder, "--at", at, "--out", os.path.join(self.folder.name, "x.html"), "-q"],
                                   capture_output=True, check=False)
                self.assertEqual((0, b""), (r.returncode, r.stderr))

    @unittest.skipUnless(CHROMIUM, "there is no Chromium")
    def test_page(self):
        with Served(self.model, command=("moe", "--view")) as url, Browser(webgl=True) as browser:
            page = Viewer(browser, url, 1000, 800)
            self.assertEqual("range", page.run("scruple.store.get('mode')"))
            self.assertEqual("Find a map", page.run("document.querySelector('#p-search').placeholder"))
            self.assertEqual([], browser.complaints)
            page.do("scruple.store.set({ground: 'dark', labels: false}); scruple.fit(false); scruple.camera.jump({z: 0})")
            colours = json.loads(urllib.request.urlopen(url + "colours.json").read())
            mode = next(m for m in colours["modes"] if m["name"] == "range")
            rgb = np.frombuffer(base64.b64decode(mode["dark"]), np.uint8).reshape(256, 3).astype(int)
            scene = json.loads(urllib.request.urlopen(url + "0/scene.json").read())
            pixels = page.picture()
            for i, name in enumerate(scene["tensors"]["name"]):
                part, stat = name.split(" ")
                want, m = self.wanted(part, stat), scene["maps"][i]
                ramp = np.float32(m["low"] + (m["high"] - m["low"]) * np.arange(257) / 256).astype(np.float64)
                at = np.arange(1, 240) * 256 / 240
                k = at.astype(int)
                edges = (ramp[k] + (ramp[k + 1] - ramp[k]) * (at - k)).astype(np.float32)
                place = scene["places"]["tensor"].index(i)
                x0, y0 = scene["places"]["x"][place], scene["places"]["y"][place]
                for row, col in np.ndindex(want.shape):
                    v = want[row, col]
                    entry = (colours["special"]["nan"] if np.isnan(v) else colours["special"]["zero"] if v == 0
                             else int(np.searchsorted(edges, v, "right")))
                    r, g, b = rgb[entry]
                    self.assertEqual(r << 16 | g << 8 | b, int(pixels[y0 + 8 * row + 3, x0 + 8 * col + 5]),
                                     f"{name} {row} {col}")
            page.do("scruple.goTo({view: 0, tensor: %d, row: 1, col: 3})" % scene["tensors"]["name"].index("gate_proj rms"))
            page.wait_for("document.querySelector('.p-element')?.textContent.includes('layer 1, expert 3')")
            page.wait_for("document.querySelector('.p-element').textContent.includes('root mean square of')")
            self.assertEqual(f"scruple view '{self.model}' --at 'model.layers.1.mlp.experts.3.gate_proj.weight'",
                             page.run("document.querySelector('.p-command code').textContent"))
            href = page.run("document.querySelector('.p-beside').href")
            self.assertEqual(url + "#t=model.layers.1.mlp.experts.3.gate_proj.weight&g=1", href)
            self.assertEqual([1, None, "maps"], page.run("[scruple.views.length, document.querySelector('.p-view'), scruple.views[0].scene.shows]"))
            page.do("scruple.goTo({view: 0, tensor: %d, row: 0, col: 6})" % scene["tensors"]["name"].index("up_proj rms"))
            page.wait_for("document.querySelector('.p-element')?.textContent.includes('layer 0, expert 6')")
            page.wait_for("document.querySelector('.p-element').textContent.includes('root mean square of')")
            self.assertEqual(0, page.run("document.querySelectorAll('.p-command').length"))  # there is none
            there = Viewer(browser, href, 1000, 800)
            there.wait_for("scruple.store.get('selection')")
            self.assertEqual(["weights", "model.layers.1.mlp.experts.3.gate_proj.weight", 1],
                             there.run("[scruple.views[0].scene.shows, scruple.views[0].scene.names[scruple.store.get('selection').tensor], "
                                       "scruple.views.length]"))
            there.do("scruple.goTo({view: 0, tensor: scruple.store.get('selection').tensor, row: 2, col: 3}, {animate: false})")
            there.wait_for("/[0-9]/.test(document.querySelector('.p-element-value')?.textContent)")
            self.assertEqual(0.0, float(there.run("document.querySelector('.p-element-value').textContent")))  # it is the empty one
            there.wait_for("location.hash.includes('&g=1')")
            there.run("location.hash = '#m=range'")
            there.wait_for("window.scruple && scruple.views?.[0].scene.shows === 'maps'")
            self.assertEqual([], browser.complaints)

    def test_files(self):
        out = os.path.join(self.folder.name, "experts.html")
        r = subprocess.run([SCRUPLE, "moe", self.model, "--out", out], capture_output=True, check=False)
        self.assertEqual(0, r.returncode, r.stderr)
        with open(out, encoding="utf-8") as f:
            self.assertIn("0/scene.json", f.read())
        if not CHROMIUM:
            self.skipTest("there is no Chromium")
        with Browser(webgl=True) as browser:
            page = Viewer(browser, "file://" + out, 1000, 800)
            self.assertEqual("maps", page.run("scruple.front().scene.shows"))

    def shown(self, *words):
        """What a page has: {name: (about, matrix)}."""
        with Served(*words, command=("moe", "--view")) as url:
            with urllib.request.urlopen(url + "0/scene.json") as f:
                scene = json.load(f)
            out = {}
            for i, name in enumerate(scene["tensors"]["name"]):
                rows, cols = scene["shapes"][scene["tensors"]["shape"][i]]
                m = np.empty((rows, cols), np.float32)
                for row, col in np.ndindex(m.shape):
                    with urllib.request.urlopen(f"{url}0/value?tensor={i}&slice=0&row={row}&col={col}") as f:
                        m[row, col] = np.float32(json.load(f)["value"])
                out[name] = scene["maps"][i], m
        return out

    def told_of(self, *words):
        r = subprocess.run([SCRUPLE, "moe", *words, "--json"], capture_output=True, check=False)
        return json.loads(r.stdout)

    def test_routing(self):
        c = next(c for c in ref.CONFIGS.values() if ref.experts_of(c))
        folder = ref.write_folder(os.path.join(self.folder.name, "routed"), c, ref.make(c, 5))
        words = (folder, "--no-maps", "--ids", ",".join(str(7 * i % 29) for i in range(40)), "--pairs")
        told, maps = self.told_of(*words)["routing"], self.shown(*words)
        layers = told["layers"]
        tokens = np.array([x["tokens"] for x in layers], float)
        np.testing.assert_array_equal(np.float32(tokens / 40), maps["routed tokens"][1])
        weight = np.array([x["weight"] for x in layers])
        np.testing.assert_allclose(weight / weight.sum(1, keepdims=True), maps["routed weight"][1], rtol=1e-6)
        output = np.array([[value_of(v) for v in x["output"]] for x in layers], np.float32)
        np.testing.assert_array_equal(output, maps["routed output"][1])
        for i, x in enumerate(layers):
            about, both = maps[f"together {x['layer']}"]
            self.assertEqual("expert", about["down"]["of"])
            np.testing.assert_array_equal(np.float32(np.diag(both)), np.float32(tokens[i] / 40))
            np.testing.assert_array_equal(both, both.T)
            n = tokens[i]
            with np.errstate(invalid="ignore"):
                want = both.astype(float) * 40 * 40 / np.outer(n, n)
            np.fill_diagonal(want, np.nan)
            np.testing.assert_allclose(want, maps[f"lift {x['layer']}"][1], rtol=1e-6)
            off = both[~np.eye(len(both), dtype=bool)]
            self.assertEqual((np.float32(about["low"]), np.float32(about["high"])), (off.min(), off.max()))

    def test_similarity(self):
        maps = self.shown(self.model, "--similarity")
        matrices = self.told_of(self.model, "--similarity")["matrices"]
        self.assertEqual(len(maps), len(matrices))
        for m in matrices:
            about, got = maps[f"{m['part']} {m['layer']}"]
            want = np.array([[value_of(x) for x in row] for row in m["corrected"]], np.float32)
            np.testing.assert_allclose(want, got, atol=6e-9)
            self.assertEqual((0, 1), (about["low"], about["high"]))

    def test_numbers_beside_a_page(self):
        for more in ([], ["--similarity"]):
            page = os.path.join(self.folder.name, "beside.html")
            r = subprocess.run([SCRUPLE, "moe", self.model, *more, "--out", page, "--json"], capture_output=True, check=False)
            self.assertEqual(self.told_of(self.model, *more), json.loads(r.stdout))
            self.assertTrue(os.path.exists(page))

    def test_view_has_no_end_to_print_at(self):
        for words in (["--json"], ["--fail"], ["-o", "x.json"], ["--out", "x.html"]):
            r = subprocess.run([SCRUPLE, "moe", self.model, "--view", "--no-open", *words], capture_output=True, check=False, timeout=60)
            self.assertEqual((2, b""), (r.returncode, r.stdout), words)
            self.assertIn(b"until Ctrl-C", r.stderr)

    def test_help_has_what_maps_have(self):
        with Served(self.model, command=("moe", "--view")) as url, Browser(webgl=True) as browser:
            page = Viewer(browser, url, 1000, 800)
            page.key("?", shift=True)
            keys = page.run("[...document.querySelectorAll('.p-help kbd')].map((k) => k.textContent)")
            for key in "pk[]":
                self.assertNotIn(key, keys)
            text = page.run("document.querySelector('.p-help').innerText")
            self.assertNotIn("weight", text)
            self.assertIn("show or hide: map", text)
            self.assertIn("show or hide: overview", text)
            before = page.run("JSON.stringify([scruple.store.get('plane'), scruple.store.get('scaleOf')])")
            page.run("document.querySelector('.p-help').close()")
            for key in "pk":
                page.key(key)
            self.assertEqual(before, page.run("JSON.stringify([scruple.store.get('plane'), scruple.store.get('scaleOf')])"))

    def test_wrong_words(self):
        for words in (["--view", "--port", "70000"], ["--out", os.path.join(self.folder.name, "no", "such", "x.html")]):
            r = subprocess.run([SCRUPLE, "moe", self.model, *words], capture_output=True, check=False)
            self.assertNotEqual(0, r.returncode)
            self.assertEqual(1, r.stderr.count(b"\n"), r.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
