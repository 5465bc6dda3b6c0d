#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The viewer in a real browser: what it draws and says against the values in the files.

Colours are computed here from numpy's values, the rules of src/picture/colour.h and the palettes;
whole pictures are those that --png writes.
"""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.request

import numpy as np

from browser import Browser, CHROMIUM
from firefox import FIREFOX, SCREEN, Firefox
from test_view import SCRUPLE, read_png, write_safetensors
from viewer_page import Served, Viewer

STEPS, HALF = 240, 120
OUTSIDE, ZERO, NAN, PLUS, MINUS, SUBNORMAL = range(STEPS, STEPS + 6)


def edges_of(mode, scale):
    """Where steps begin, as src/picture/colour.h says it."""
    k = np.arange(1, HALF)
    if mode == "magnitude":
        share = 10 ** ((np.arange(1, STEPS) / STEPS - 1) * 4)
        return (share * np.float64(scale)).astype(np.float32)
    share = np.expm1(k / HALF * np.log(1001.0)) / 1000 if mode == "diverging" else k / HALF
    side = (share * np.float64(scale)).astype(np.float32)
    return np.concatenate([-side[::-1], np.zeros(1, np.float32), side])


def entries_of(x, mode, scale, least):
    """Palette entries of an array of float32."""
    size = np.abs(x)
    if mode == "sign":
        out = np.where(x < 0, 60, 180)
    elif mode == "exponent":
        out = (x.view(np.uint32) >> 23 & 31).astype(int) * 7 + 3
    else:
        out = np.searchsorted(edges_of(mode, scale), size if mode == "magnitude" else x, "right")
    out = np.where(size < least, SUBNORMAL, out)
    out = np.where(x == 0, ZERO, out)
    out = np.where(np.isnan(x), NAN, out)
    return np.where(np.isinf(x), np.where(x > 0, PLUS, MINUS), out)


def bf16(x):
    """Nearest bfloat16 of float32, as its bits and as float32 again."""
    bits = x.astype("<f4").view(np.uint32)
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return bits.astype("<u2"), (bits << 16).astype(np.uint32).view(np.float32)


@unittest.skipUnless(CHROMIUM, "there is no Chromium")
class InBrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser(webgl=True))
        cls.browser.call("Network.enable")

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="scruple-viewer-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.rng = np.random.default_rng(11)
        self.browser.complaints.clear()
        self.browser.requests.clear()

    def tearDown(self):
        self.assertEqual([], self.browser.complaints)

    def at(self, name):
        return os.path.join(self.folder, name)

    def model(self, tensors, name="m.safetensors"):
        write_safetensors(self.at(name), tensors)
        return self.at(name)

    def serve(self, *words):
        self.url = self.enterContext(Served(*words))
        self.addCleanup(self.browser.open, "about:blank")  # leave before the server goes
        return self.url

    def view(self, *words, **how):
        return Viewer(self.browser, self.serve(*words), **how)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def palette(self, mode, ground):
        p = next(m for m in self.get("colours.json")["modes"] if m["name"] == mode)[ground]
        rgb = np.frombuffer(base64.b64decode(p), np.uint8).reshape(256, 3).astype(np.uint32)
        return rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]

    def png(self, path, *words):
        subprocess.run([SCRUPLE, "view", path, "--png", self.at("p.png"), "--no-cache", "-q",
                        *words], check=True, timeout=120)
        return read_png(self.at("p.png"))

    def special_matrix(self):
        x = self.rng.standard_normal((300, 700)).astype("<f4")
        x[7, 9], x[299, 699], x[0, 0], x[100, 256], x[255, 255] = 0, np.nan, np.inf, -np.inf, 1e-42
        return x


class Pictures(InBrowser):
    def test_every_element_has_its_colour(self):
        x = self.special_matrix()
        page = self.view(self.model({"w.weight": ("F32", x)}))
        scales = self.get("0/scales.json")
        for mode in ("diverging", "linear", "magnitude", "sign", "exponent"):
            for ground in ("dark", "light"):
                page.do(f"scruple.store.set({{mode: '{mode}', ground: '{ground}'}});"
                        "scruple.camera.jump({z: 0})")
                want = self.palette(mode, ground)[
                    entries_of(x, mode, scales["robust"][0], np.finfo(np.float32).tiny)]
                np.testing.assert_array_equal(want, page.picture(), f"{mode} {ground}")

    def test_other_types_and_scales(self):
        half = self.rng.standard_normal((40, 64)).astype("<f2")
        half[3, 5] = 1e-7  # subnormal there
        raw, brain = bf16(self.rng.standard_normal((64, 100)) * 8)
        page = self.view(self.model({
            "model.layers.0.mlp.up_proj.weight": ("F16", half),
            "model.layers.0.mlp.down_proj.weight": ("BF16", raw)}))
        scales = self.get("0/scales.json")
        palette = self.palette("diverging", "dark")
        scene = self.get("0/scene.json")
        for of in ("tensor", "role", "model"):
            page.do(f"scruple.store.set({{scaleOf: '{of}', ground: 'dark'}});"
                    "scruple.camera.jump({z: -1})")
            left, top, z = page.origin()
            shot = page.pixels()
            for name, x, least in (("up_proj", half.astype(np.float32), 2.0 ** -14),
                                   ("down_proj", brain, np.finfo(np.float32).tiny)):
                t = next(i for i, n in enumerate(scene["tensors"]["name"]) if name in n)
                place = scene["places"]["tensor"].index(t)
                role = scene["roles"][scene["tensors"]["role"][t]]
                scale = {"tensor": scales["robust"][t], "role": scales["roles"][role]["robust"],
                         "model": scales["model"]["robust"]}[of]
                x0 = int(left + scene["places"]["x"][place] * 2)
                y0 = int(top + scene["places"]["y"][place] * 2)
                got = shot[y0:y0 + 2 * x.shape[0], x0:x0 + 2 * x.shape[1]]
                want = palette[entries_of(x, "diverging", scale, least)]
                np.testing.assert_array_equal(want.repeat(2, 0).repeat(2, 1), got, f"{name} {of}")

    def test_whole_pictures_are_those_of_files(self):
        """Frames, pooled pixels, planes, ranks: every pixel of --png."""
        tensors = {"model.embed_tokens.weight": ("F32", self.rng.standard_normal((900, 64)).astype("<f4"))}
        for i in range(5):
            for name, shape in (("self_attn.q_proj", (256, 256)), ("mlp.up_proj", (300, 256)),
                                ("input_layernorm", (256,))):
                tensors[f"model.layers.{i}.{name}.weight"] = (
                    "F32", (self.rng.standard_normal(shape) * (1 + i)).astype("<f4"))
        path = self.model(tensors)
        page = self.view(path)
        for words, state in (
                ([], "{}"), (["--mode", "rank"], "{mode: 'rank'}"),
                (["--mode", "magnitude", "--plane", "abs"], "{mode: 'magnitude', plane: 'abs'}"),
                (["--plane", "min", "--scale", "model"],
                 "{mode: 'diverging', plane: 'min', scaleOf: 'model'}"),
                (["--plane", "rms", "--scale", "role", "--mode", "bits", "--light"],
                 "{mode: 'bits', plane: 'rms', scaleOf: 'role', ground: 'light'}")):
            page.do("scruple.store.set({ground: 'dark'}); scruple.store.set(%s);"
                    "scruple.fit(false)" % state)
            want = self.png(path, "--width", str(page.picture().shape[1]), *words)
            np.testing.assert_array_equal(want, page.picture(), str(words))

    def test_tables_of_colours(self):
        """Every upper half of a float32 with some lower ones, in every mode, at odd scales."""
        page = self.view(self.model({"w.weight": ("F32", np.ones((8, 8), "<f4"))}))
        upper = np.arange(65536, dtype=np.uint32) << 16
        quantile = np.sort(self.rng.standard_normal(257)).astype(np.float32)
        quantile[100:120] = quantile[100]
        for mode, scale, least in (("diverging", 0.07, 2.0 ** -126), ("linear", 3e38, 2.0 ** -14),
                                   ("magnitude", 1e-30, 0), ("sign", 1, 2.0 ** -126),
                                   ("exponent", 1, 2.0 ** -6), ("rank", 1, 2.0 ** -126)):
            text = page.run("""(async (mode, scale, least, quantile) => {
                const {colours} = scruple, table = colours.table(mode, scale, least, quantile);
                let out = "";
                for (const low of [0, 1, 12345, 0x8000, 0xffff]) {
                    const bits = Uint32Array.from({length: 65536}, (_, i) => i * 65536 + low);
                    const entries = new Uint8Array(65536);
                    table.apply(bits, entries, 0, 0, 256, 256);
                    const few = new table.constructor(colours, table.mode, scale, least, quantile);
                    const some = new Uint8Array(65536);
                    for (let y = 0; y < 256; y += 16)
                        for (let x = 0; x < 256; x += 8)
                            few.apply(bits, some, x, y, x + 8, y + 16);
                    if ((few.made && !quantile) || some.some((entry, i) => entry !== entries[i]))
                        throw new Error(`few values differ from many: ${mode}`);
                    for (let i = 0; i < 65536; i += 16384)
                        out += String.fromCharCode(...entries.subarray(i, i + 16384));
                }
                return btoa(out);
            })(%s, %r, %r, %s)""" % (json.dumps(mode), scale, least,
                                     quantile.tolist() if mode == "rank" else "null"))
            got = np.frombuffer(base64.b64decode(text), np.uint8).reshape(5, 65536)
            for k, low in enumerate((0, 1, 12345, 0x8000, 0xFFFF)):
                x = (upper | np.uint32(low)).view(np.float32)
                if mode == "rank":
                    at = np.arange(1, STEPS) * 256 / STEPS
                    i = at.astype(int)
                    q = quantile.astype(np.float64)
                    edges = (q[i] + (q[i + 1] - q[i]) * (at - i)).astype(np.float32)
                    want = np.searchsorted(edges, x, "right")
                    want = np.where(np.abs(x) < least, SUBNORMAL, want)
                    want = np.where(x == 0, ZERO, want)
                    want = np.where(np.isinf(x), np.where(x > 0, PLUS, MINUS), want)
                    want = np.where(np.isnan(x), NAN, want)
                else:
                    want = entries_of(x, mode, np.float32(scale), least)
                for word, entry in ((0x7FC2, OUTSIDE), (0x7FC3, 246), (0x7FC4, 247), (0x7FC5, 250),
                                    (0x7FC6, 251), (0x7FC7, 252)):
                    want[word] = entry  # bits that stand for no value
                np.testing.assert_array_equal(want, got[k], f"{mode} {low:x}")

    def test_deep_elements_are_squares(self):
        x = self.special_matrix()
        page = self.view(self.model({"w.weight": ("F32", x)}))
        scale = self.get("0/scales.json")["robust"][0]
        page.do("scruple.store.set({ground: 'dark'}); scruple.camera.jump({x: 257, y: 101, z: -5})")
        left, top, z = page.origin()
        self.assertEqual((-5, 0, 0), (z, left % 1, top % 1))
        shot = page.pixels()
        palette = self.palette("diverging", "dark")
        want = palette[entries_of(x, "diverging", scale, np.finfo(np.float32).tiny)]
        rows, cols = np.indices(shot.shape)
        rows, cols = (rows - int(top)) // 32, (cols - int(left)) // 32
        np.testing.assert_array_equal(want[rows, cols], shot)

    def test_the_screen_shows_it(self):
        """What the window system gets, not only the canvas."""
        x = np.where(self.rng.random((64, 64)) < 0.5, 1, -1).astype("<f4")
        page = self.view(self.model({"w.weight": ("F32", x)}))
        page.do("scruple.store.set({mode: 'sign', ground: 'dark', labels: false});"
                "scruple.camera.jump({x: 32, y: 32, z: -2})")
        page.run("scruple.elements.stage.querySelectorAll('.corner').forEach((e) => { e.hidden = true; })")
        self.browser.settle()
        palette = self.palette("sign", "dark")
        for row, col in ((0, 0), (5, 40), (63, 63), (33, 17)):
            at = page.element_at("w.weight", row, col)
            page.run("""(async (data) => {
                const image = new Image();
                image.src = "data:image/png;base64," + data;
                await image.decode();
                const c = document.createElement("canvas").getContext("2d");
                c.drawImage(image, 0, 0);
                window.seen = [...c.getImageData(0, 0, 1, 1).data];
            })(%s)""" % json.dumps(self.browser.call("Page.captureScreenshot", clip={
                "x": int(at[0]), "y": int(at[1]), "width": 1, "height": 1, "scale": 1})["data"]))
            r, g, b, _ = page.run("window.seen")
            self.assertEqual(palette[60 if x[row, col] < 0 else 180], r << 16 | g << 8 | b)

    def test_a_dense_screen(self):
        """Two pixels of the device for each of CSS: an element is still one of the device."""
        x = self.special_matrix()
        page = self.view(self.model({"w.weight": ("F32", x)}), width=900, height=500, dpr=2)
        self.assertEqual(*page.run("(({canvas: c}, {clientWidth: w, clientHeight: h}) =>"
                                   " [[c.width, c.height], [2 * w, 2 * h]])(scruple.stage, scruple.elements.stage)"))
        page.do("scruple.store.set({ground: 'dark'}); scruple.camera.jump({z: 0})")
        want = self.palette("diverging", "dark")[entries_of(
            x, "diverging", self.get("0/scales.json")["robust"][0], np.finfo(np.float32).tiny)]
        np.testing.assert_array_equal(want, page.picture())

    def test_a_filter_dims(self):
        x = np.ones((64, 64), "<f4")
        page = self.view(self.model({"a.weight": ("F32", x), "b.weight": ("F32", x)}))
        page.do("scruple.camera.jump({z: 0})")
        before = page.picture()
        page.do("const {n} = scruple.front().scene.places;"
                "scruple.store.set({filter: [Uint8Array.from({length: n}, (_, i) => i)]})")
        after = page.picture()
        changed = before != after
        self.assertEqual(64 * 64, changed.sum())
        page.do("scruple.store.set({filter: [null]})")
        np.testing.assert_array_equal(before, page.picture())


class Travel(InBrowser):
    def setUp(self):
        super().setUp()
        self.x = self.special_matrix()
        self.page = self.view(self.model({"w.weight": ("F32", self.x)}))
        self.page.do("scruple.store.set({ground: 'dark'})")
        self.want = self.palette("diverging", "dark")[entries_of(
            self.x, "diverging", self.get("0/scales.json")["robust"][0], np.finfo(np.float32).tiny)]

    def check_pixels(self):
        """Whatever was done: whole pixels, each of the right colour."""
        left, top, z = self.page.origin()
        self.assertEqual((0, 0, 0), (left % 1, top % 1, z % 1))
        shot, size = self.page.pixels(), 2 ** -int(z)
        self.assertGreaterEqual(size, 1)
        rows, cols = np.indices(shot.shape)
        rows, cols = (rows - int(top)) // size, (cols - int(left)) // size
        inside = (rows >= 0) & (cols >= 0) & (rows < 300) & (cols < 700)
        self.assertGreater(inside.sum(), 1000)
        np.testing.assert_array_equal(self.want[rows[inside], cols[inside]], shot[inside])
        return z

    def test_a_wheel_comes_to_rest_on_whole_pixels(self):
        page = self.page
        page.do("scruple.camera.jump({z: 0})")
        at = page.element_at("w.weight", 120, 333)
        for delta in (-100, -37, -60, 25, -240, 100):
            page.mouse("mouseWheel", *at, deltaX=0, deltaY=delta)
            time.sleep(0.03)
            page.settle()
            self.check_pixels() if page.origin()[2] <= 0 else None
        page.do("scruple.camera.jump({z: 0})")
        at = page.element_at("w.weight", 120, 333)
        page.mouse("mouseWheel", *at, deltaX=0, deltaY=-300)
        page.settle()
        self.assertLess(self.check_pixels(), 0)
        now = page.element_at("w.weight", 120, 333)  # what was under the pointer stays there
        self.assertLess(np.abs(np.subtract(at, now)).max(), 8)

    def test_drags_and_double_clicks(self):
        page = self.page
        page.do("scruple.camera.jump({z: -1})")
        before = page.origin()
        page.drag(400, 300, 433, 281)
        after = page.origin()
        self.assertEqual((33, -19), (after[0] - before[0], after[1] - before[1]))
        self.check_pixels()
        page.click(400, 300)
        page.click(400, 300, 2)
        page.settle()
        self.assertEqual(-3, self.check_pixels())

    def test_keys(self):
        page = self.page
        page.key("0")
        self.assertEqual(0, page.origin()[2])
        page.key("+")
        page.key("+")
        page.key("ArrowRight")
        self.assertEqual(-2, self.check_pixels())
        page.key("-")
        self.assertEqual(-1, self.check_pixels())
        page.key("m")
        self.assertNotEqual("diverging", page.run("scruple.store.get('mode')"))

    def test_fingers(self):
        page, call = self.page, self.browser.call

        def touch(kind, *points):
            call("Input.dispatchTouchEvent", type=kind,
                 touchPoints=[{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)])

        call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
        self.addCleanup(call, "Emulation.setTouchEmulationEnabled", enabled=False)
        page.do("scruple.camera.jump({x: 350, y: 150, z: -1})")
        before = page.origin()
        touch("touchStart", (300, 300))
        touch("touchMove", (310, 305))
        touch("touchMove", (340, 320))
        touch("touchEnd")
        page.settle()
        after = page.origin()
        self.assertEqual((40, 20, -1), (after[0] - before[0], after[1] - before[1], after[2]))
        touch("touchStart", (300, 300), (400, 300))
        for k in range(1, 6):
            touch("touchMove", (300 - 10 * k, 300), (400 + 10 * k, 300))
        touch("touchEnd")
        page.settle()
        self.assertEqual(-2, self.check_pixels())

    def test_another_size(self):
        page = self.page
        page.do("scruple.camera.jump({x: 350, y: 150, z: 0})")
        for width, height, dpr in ((901, 633, 1), (640, 480, 1.5), (900, 700, 1)):
            self.browser.resize(width, height, dpr)
            self.browser.settle()
            page.settle()
            box = page.run("[...Object.values(scruple.store.get('size')), "
                           "scruple.elements.stage.clientWidth, scruple.elements.stage.clientHeight]")
            self.assertEqual(dpr, box[2])
            for seen, size in ((box[0], box[3]), (box[1], box[4])):
                self.assertLess(abs(seen - size * dpr), 1.01)
            self.check_pixels()
            x, y = page.run("[scruple.store.get('camera').x, scruple.store.get('camera').y]")
            self.assertLess(abs(x - 350) + abs(y - 150), 4)

    def test_all_of_it_is_seen_at_first(self):
        """The bar above takes its place after the picture was planned; then it must still fit."""
        tensors = {f"model.layers.{i}.w.weight": ("F32", self.rng.standard_normal((300, 200)).astype("<f4"))
                   for i in range(4)}
        page = self.view(self.model(tensors, "four.safetensors"), width=1100, height=700)

        def all_seen():
            left, top, z = page.origin()
            width, height = page.run("[scruple.front().scene.width, scruple.front().scene.height]")
            size = page.run("scruple.store.get('size')")
            return (left >= 0 and top >= 0 and left + width / 2 ** z <= size["width"] and
                    top + height / 2 ** z <= size["height"])
        self.assertTrue(all_seen())
        self.browser.resize(500, 500)
        self.browser.settle()
        page.settle()
        self.assertTrue(all_seen())

    def test_a_lost_context_comes_back(self):
        page = self.page
        page.do("scruple.camera.jump({z: 0})")
        page.run("window.losing = scruple.stage.renderer.gl.getExtension('WEBGL_lose_context');"
                 "losing.loseContext()")
        page.wait_for("scruple.store.get('message')")
        page.run("losing.restoreContext()")
        page.wait_for("!scruple.store.get('message')")
        page.settle()
        self.check_pixels()
        self.browser.complaints.clear()  # the browser itself complains of the loss

    def test_screenshot(self):
        size = self.page.run("""(async () => {
            const image = await createImageBitmap(await scruple.shot());
            return [image.width, image.height];
        })()""")
        self.assertEqual(self.page.run("[scruple.stage.canvas.width, scruple.stage.canvas.height]"), size)


class Values(InBrowser):
    def hover(self, page, name, row, col):
        x, y = page.element_at(name, row, col)
        page.mouse("mouseMoved", x, y)
        page.wait_for("scruple.store.get('hover')?.raw !== undefined")
        self.browser.settle()
        return page.run("({...scruple.store.get('hover'), text:"
                        " document.querySelector('.readout').textContent})")

    def test_values_are_those_of_the_file(self):
        x = self.special_matrix()
        raw, brain = bf16(self.rng.standard_normal((64, 100)))
        page = self.view(self.model({"w.weight": ("F32", x), "b.weight": ("BF16", raw)}))
        for z in (-3, 0, 1):
            for name, values, stored, row, col in (
                    ("w.weight", x, x.view("<u4"), 151, 350), ("w.weight", x, x.view("<u4"), 100, 256),
                    ("w.weight", x, x.view("<u4"), 255, 255), ("b.weight", brain, raw, 63, 99),
                    ("b.weight", brain, raw, 0, 1)):
                page.do("const {scene} = scruple.front(); const at = scene.pointOf(scene.placeOf("
                        f"scene.names.indexOf('{name}')), {row}, {col});"
                        "scruple.camera.jump({x: at.x, y: at.y, z: %d})" % z)
                got = self.hover(page, name, row, col)
                want = values[row, col]
                if z > 0:  # a pixel is several elements: one of those under it
                    row, col = got["row"], got["col"]
                    want = values[row, col]
                self.assertEqual((row, col), (got["row"], got["col"]))
                if np.isfinite(want):
                    self.assertEqual(np.float32(want), np.float32(got["value"]))
                else:
                    self.assertEqual("-Infinity", got["value"])
                self.assertEqual(stored[row, col].tobytes().hex(), got["raw"])
                self.assertIn(name, got["text"])
                self.assertIn(f"row {row}, column {col}", got["text"])
                page.mouse("mouseMoved", 2, 2)

    def test_a_click_selects_and_a_key_goes_there(self):
        x = self.special_matrix()
        page = self.view(self.model({"w.weight": ("F32", x)}))
        page.do("scruple.camera.jump({x: 100, y: 100, z: -3})")
        page.click(*page.element_at("w.weight", 97, 103))
        page.settle()
        spot = page.run("scruple.store.get('selection')")
        self.assertEqual((97, 103), (spot["row"], spot["col"]))
        page.key("ArrowRight", shift=True)
        self.assertEqual(104, page.run("scruple.store.get('selection').col"))
        page.key("0")
        page.key("Enter")
        left, top, z = page.origin()
        self.assertLess(z, 0)
        at = page.element_at("w.weight", 97, 104)
        box = page.run("[scruple.elements.stage.clientWidth, scruple.elements.stage.clientHeight]")
        self.assertLess(abs(at[0] - box[0] / 2) + abs(at[1] - box[1] / 2), 100)
        page.key("Escape")
        self.assertIsNone(page.run("scruple.store.get('selection')"))

    def test_the_next_layer(self):
        tensors = {f"model.layers.{i}.mlp.up_proj.weight":
                   ("F32", np.full((64, 96), i + 1, "<f4")) for i in range(6)}
        page = self.view(self.model(tensors))
        page.do("const {scene} = scruple.front(); scruple.goTo({view: 0, tensor: "
                "scene.names.findIndex((n) => n.includes('layers.2')), slice: 0, row: 5, col: 7},"
                "{animate: false})")
        for key, want in (("]", 3), ("]", 4), ("[", 3)):
            page.key(key)
            name = page.run("scruple.front().scene.names[scruple.store.get('selection').tensor]")
            self.assertEqual(f"model.layers.{want}.mlp.up_proj.weight", name)
            self.assertEqual([5, 7], page.run("[scruple.store.get('selection').row, "
                                              "scruple.store.get('selection').col]"))
            at = page.element_at(name, 5, 7)
            self.assertEqual(want + 1, self.hover(page, name, 5, 7)["value"], at)


class TwoModels(InBrowser):
    def setUp(self):
        super().setUp()
        self.a = self.rng.standard_normal((64, 96)).astype("<f4")
        self.b = -self.a
        name = "model.layers.%d.mlp.up_proj.weight"
        one = self.model({name % 1: ("F32", self.a)}, "a.safetensors")
        # another plan: what is the same tensor stands elsewhere
        two = self.model({"model.embed_tokens.weight": ("F32", np.ones((512, 32), "<f4")),
                          name % 1: ("F32", self.b)}, "b.safetensors")
        self.page = self.view(one, two)
        self.page.do("scruple.store.set({mode: 'sign', ground: 'dark', labels: false})")
        self.page.do("scruple.goTo({view: 0, tensor: 0, slice: 0, row: 32, col: 48},"
                     "{zoom: -2, animate: false, select: false})")
        self.colours = self.palette("sign", "dark")[[60, 180]]

    def side(self, shot, x, y, sign):
        """Does element (32, 48) and those around it stand at x, y?"""
        values = self.a * sign
        for dr in (-8, -1, 0, 3):
            for dc in (-9, 0, 5):
                want = self.colours[int(values[32 + dr, 48 + dc] > 0)]
                self.assertEqual(want, shot[y + 4 * dr + 1, x + 4 * dc + 1], (dr, dc))

    def test_side_by_side(self):
        shot = self.page.pixels()
        height, width = shot.shape
        for left, sign in ((0, 1), (width - width // 2, -1)):
            found = False
            for dx in range(-4, 5):
                for dy in range(-4, 5):
                    try:
                        self.side(shot, left + width // 4 + dx, height // 2 + dy, sign)
                        found = True
                    except AssertionError:
                        pass
            self.assertTrue(found, f"picture {left}")

    def test_swipe_and_blink(self):
        page = self.page
        page.do("scruple.store.set({compare: 'swipe', split: 0.5})")
        swipe = page.pixels()
        height, width = swipe.shape
        page.do("scruple.store.set({compare: 'none'})")
        one = page.pixels()
        page.do("scruple.lookAt(1)")
        other = page.pixels()
        cut = width // 2
        np.testing.assert_array_equal(one[:, :cut - 4], swipe[:, :cut - 4])
        np.testing.assert_array_equal(other[:, cut + 4:], swipe[:, cut + 4:])
        self.assertTrue((one[height // 2 - 40:height // 2 + 40, cut - 40:cut + 40] !=
                         other[height // 2 - 40:height // 2 + 40, cut - 40:cut + 40]).mean() > 0.9)
        page.run("scruple.lookAt(0); scruple.store.set({compare: 'blink'})")
        seen = set()
        deadline = time.monotonic() + 20
        while len(seen) < 2 and time.monotonic() < deadline:
            shot = page.pixels()
            seen.add("one" if (shot == one).all() else "other" if (shot == other).all() else "?")
        self.assertEqual({"one", "other"}, seen)

    def test_both_values(self):
        page = self.page
        box = page.run("(({left, top, width, height}) => [left, top, width, height])"
                       "(scruple.elements.stage.getBoundingClientRect())")
        page.mouse("mouseMoved", box[0] + box[2] / 4 + 1, box[1] + box[3] / 2 + 1)
        page.wait_for("scruple.store.get('hover')?.other !== undefined")
        hover = page.run("scruple.store.get('hover')")
        row, col = hover["row"], hover["col"]
        self.assertEqual(np.float32(hover["value"]), self.a[row, col])
        self.assertEqual(np.float32(hover["other"]), self.b[row, col])


class Guarded(InBrowser):
    def test_nothing_comes_from_elsewhere(self):
        page = self.view(self.model({"w.weight": ("F32", np.ones((64, 64), "<f4"))}))
        page.do("scruple.store.set({compare: 'none'}); scruple.fit(false)")
        self.assertGreater(len(self.browser.requests), 10)
        for url in self.browser.requests:
            if not url.startswith(("about:", "data:", "blob:")):
                self.assertTrue(url.startswith(self.url), url)

    def test_names_stay_text(self):
        names = ['<img src=x onerror="window.hurt=1">', "<script>window.hurt=1</script>",
                 "model.layers.0.<b>bold</b>.weight", '"><svg onload=window.hurt=1>', "a\u202eb\nc"]
        x = self.rng.standard_normal((64, 64)).astype("<f4")
        page = self.view(self.model({name: ("F32", x) for name in names}))
        scene = page.run("scruple.front().scene.names")
        self.assertEqual(sorted(names), sorted(scene))
        for i, name in enumerate(scene):
            page.do("scruple.goTo({view: 0, tensor: %d, slice: 0, row: 3, col: 4}, {animate: false})" % i)
            x, y = page.element_at(name, 3, 4)
            page.mouse("mouseMoved", x, y)
            page.wait_for("scruple.store.get('hover')?.raw !== undefined")
            self.browser.settle()
            self.assertIn(name, page.run("document.querySelector('.readout').textContent"))
        self.assertEqual([0, None], page.run(
            "[document.querySelectorAll('img, svg[onload], b, body script').length, window.hurt ?? null]"))

    def test_from_a_disk_there_is_a_sentence(self):
        """Of a folder, browsers take no modules from file:."""
        url = self.serve(self.model({"w.weight": ("F32", np.ones((4, 4), "<f4"))}))
        for name in ("", "viewer.css", "main.mjs"):
            with urllib.request.urlopen(url + name, timeout=60) as answer, \
                    open(self.at(name or "index.html"), "wb") as file:
                file.write(answer.read())
        self.browser.open("file://" + self.at("index.html"))
        page = Viewer(self.browser, "file://" + self.at("index.html"), wait=False)
        page.wait_for("getComputedStyle(document.querySelector('.asleep')).visibility === 'visible'")
        self.assertIn("web server", page.run("document.body.innerText"))
        self.browser.complaints.clear()
        page = Viewer(self.browser, url)
        self.assertIsNone(page.run("document.querySelector('.asleep')"))

    def test_without_webgl_there_is_a_sentence(self):
        url = self.serve(self.model({"w.weight": ("F32", np.ones((4, 4), "<f4"))}))
        self.browser.call("Page.addScriptToEvaluateOnNewDocument", source="""
            HTMLCanvasElement.prototype.getContext = new Proxy(HTMLCanvasElement.prototype.getContext,
                {apply: (f, canvas, [kind, ...rest]) =>
                    kind === "webgl2" ? null : Reflect.apply(f, canvas, [kind, ...rest])});""")
        page = Viewer(self.browser, url, wait=False)
        page.wait_for("document.querySelector('.message')?.textContent")
        self.assertIn("WebGL 2", page.run("document.querySelector('.message').textContent"))
        self.assertTrue(any("WebGL 2" in c for c in self.browser.complaints))
        self.browser.complaints.clear()


@unittest.skipUnless(FIREFOX and SCREEN, "there is no Firefox, or no screen for it")
class InFirefox(unittest.TestCase):
    def test_pixels_and_values(self):
        x = np.random.default_rng(5).standard_normal((200, 300)).astype("<f4")
        x[3, 4], x[100, 200], x[199, 299] = np.nan, 0, np.inf
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.safetensors")
            write_safetensors(path, {"w.weight": ("F32", x)})
            png = os.path.join(folder, "m.png")
            subprocess.run([SCRUPLE, "view", path, "--png", png, "--no-cache", "-q"], check=True,
                           timeout=120)
            with Served(path) as url, Firefox() as browser:
                page = Viewer(browser, url)
                page.do("scruple.store.set({ground: 'dark'}); scruple.camera.jump({z: 0})")
                np.testing.assert_array_equal(read_png(png), page.picture())
                for row, col in ((150, 33), (100, 200), (199, 299)):
                    browser.point(*page.element_at("w.weight", row, col))
                    page.wait_for("scruple.store.get('hover')?.raw !== undefined && "
                                  f"scruple.store.get('hover').col === {col}")
                    hover = page.run("scruple.store.get('hover')")
                    self.assertEqual((row, x[row, col].tobytes().hex()), (hover["row"], hover["raw"]))
                browser.open("about:blank")


if __name__ == "__main__":
    unittest.main()
