#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of bytes in a real browser: the same pixels as --png, what is said of a byte, outlines, search, links, exports."""
import functools
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest

import numpy as np

from browser import Browser, CHROMIUM
from test_view import SCRUPLE, read_png, write_safetensors
from test_view_bytes import curve, layout, mixture
from viewer_page import Served, Viewer


@unittest.skipUnless(CHROMIUM, "there is no Chromium")
class InBrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser(webgl=True))

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="scruple-bytes-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.rng = np.random.default_rng(3)
        self.browser.complaints.clear()

    def tearDown(self):
        self.assertEqual([], self.browser.complaints)

    def at(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.at(name), "wb") as f:
            f.write(bytes(data))
        return self.at(name)

    def view(self, *words, hash="", **how):
        url = self.enterContext(Served("--layout", "hilbert", *words))
        self.addCleanup(self.browser.open, "about:blank")
        return Viewer(self.browser, url + hash, **how)

    def png(self, *words):
        subprocess.run([SCRUPLE, "view", "--layout", "hilbert", "--png", self.at("p.png"), "-q", *words], check=True, timeout=120)
        return read_png(self.at("p.png"))

    def spot(self, page, position, total):
        order, _ = layout(total)
        x, y = curve(order)
        slice, d = divmod(position, 4 ** order)
        return f"{{view: 0, tensor: 0, slice: {slice}, row: {y[d]}, col: {x[d]}}}"

    def text(self, page, selector):
        return page.run(f"document.querySelector({selector!r})?.innerText ?? ''")

    # ------------------------------------------------------------------------------- pixels

    def test_pixels_are_those_of_png(self):
        path = self.write("a", mixture(self.rng, 150_000))
        page = self.view(path)
        for mode in ("classes", "value", "entropy"):
            for ground in ("dark", "light"):
                page.do(f"scruple.store.set({{mode: '{mode}', ground: '{ground}'}}); scruple.camera.jump({{z: 0}})")
                want = self.png(path, "--mode", mode, *(["--light"] if ground == "light" else []))
                np.testing.assert_array_equal(want, page.picture(), f"{mode} {ground}")
        page.do("scruple.store.set({mode: 'classes', ground: 'dark'}); scruple.camera.jump({z: 1})")
        want = self.png(path, "--width", str(page.run("scruple.front().scene.width") // 2))
        np.testing.assert_array_equal(want, page.picture())

    def test_modes_and_planes_go_together(self):
        page = self.view(self.write("a", mixture(self.rng, 5000)))
        state = "[scruple.store.get('mode'), scruple.store.get('plane')]"
        self.assertEqual(["classes", "main"], page.run(state))
        for change, want in (("mode: 'entropy'", ["entropy", "entropy"]), ("plane: 'max'", ["value", "max"]),
                             ("mode: 'classes'", ["classes", "main"]), ("plane: 'entropy'", ["entropy", "entropy"]),
                             ("plane: 'main'", ["classes", "main"]), ("plane: 'min'", ["classes", "min"]),
                             ("mode: 'value'", ["value", "mean"])):
            page.do(f"scruple.store.set({{{change}}})")
            self.assertEqual(want, page.run(state), change)
        modes = page.run("[...document.querySelectorAll('#p-mode option')].map((o) => o.value)")
        self.assertEqual(["classes", "value", "entropy"], modes)

    # -------------------------------------------------------------------------------- words

    def model(self):
        a = self.rng.standard_normal((64, 48)).astype("<f4")
        b = self.rng.standard_normal((200,)).astype("<f2")
        write_safetensors(self.at("m.safetensors"), {"layers.0.q_proj.weight": ("F32", a), "norm.weight": ("F16", b)})
        return self.at("m.safetensors"), a, b

    def test_what_is_said_of_a_byte(self):
        path, a, b = self.model()
        total = os.path.getsize(path)
        begin = total - a.nbytes - b.nbytes
        page = self.view(path)
        page.do(f"scruple.goTo({self.spot(page, begin + 4 * (48 + 2) + 3, total)})")
        page.wait_for("document.querySelector('.p-dump')")
        said = self.text(page, "#p-details")
        at = begin + 4 * 50 + 3
        self.assertIn("layers.0.q_proj.weight", said)
        self.assertIn(f"0x{at:x}", said)
        self.assertIn("byte 3 of element [1, 2]", said)
        self.assertIn(f"{abs(float(a[1, 2])):.5f}"[:6], said)
        self.assertIn("F32", said)
        with open(path, "rb") as f:
            data = f.read()
        self.assertEqual(f"{data[at]:02x}", page.run("document.querySelector('.p-dump mark').textContent"))
        self.assertIn(f"{data[at]:02x} {data[at + 1]:02x}" if at % 8 < 7 else "", self.text(page, ".p-dump").replace("\n", " "))

    def test_the_pointer_reads(self):
        data = mixture(self.rng, 3000)
        page = self.view(self.write("name of a file", data))
        order, _ = layout(3000)
        x, y = curve(order)
        page.do("scruple.camera.jump({z: -3})")
        at = 1234
        d = at % 4 ** order
        px, py = page.run(f"""((x, y) => {{
            const {{camera: c, size}} = scruple.store.get(), box = scruple.elements.stage.getBoundingClientRect();
            return [(x + 0.5 - c.x) / 2 ** c.z + size.width / 2 + box.left, (y + 0.5 - c.y) / 2 ** c.z + size.height / 2 + box.top];
        }})({x[d] + at // 4 ** order * 2 ** order}, {y[d]})""")
        page.mouse("mouseMoved", px, py)
        page.wait_for("scruple.store.get('hover')?.answer")
        said = self.text(page, ".readout")
        self.assertIn("name of a file", said)
        self.assertIn(f"0x{at:x}", said)
        self.assertIn(f"0x{data[at]:02x}", said)

    def test_search_and_links(self):
        path, a, b = self.model()
        total = os.path.getsize(path)
        other = self.write("other.txt", mixture(self.rng, 2000))
        page = self.view(path, other)

        def find(words):
            page.do("document.querySelector('#p-search').focus(); "
                    f"document.querySelector('#p-search').value = {json.dumps(words)}; "
                    "document.querySelector('#p-search').dispatchEvent(new Event('input'))")
            page.wait_for("document.querySelectorAll('.p-found').length > 0")
            page.key("Enter")
            page.wait_for("scruple.store.get('selection')")
            page.settle()

        position = "(() => { const s = scruple.store.get('selection'); return new URLSearchParams(new URL(scruple.link()).hash.slice(1)).get('o'); })()"
        find("norm")
        self.assertEqual(hex(total - b.nbytes), page.run(position))
        find("other")
        self.assertEqual(hex(total), page.run(position))
        find("0x10")
        self.assertEqual(hex(total + 16), page.run(position))
        page.do("location.hash = '#o=0x21'")
        page.wait_for("scruple.store.get('selection')")
        page.settle()
        self.assertEqual("0x21", page.run(position))

    def test_help_has_what_bytes_have(self):
        page = self.view(self.write("a.bin", range(256)))
        page.key("?", shift=True)
        keys = page.run("[...document.querySelectorAll('.p-help kbd')].map((k) => k.textContent)")
        self.assertIn("p", keys)
        for key in "k[]":
            self.assertNotIn(key, keys)
        text = self.text(page, ".p-help")
        for word in ("weight", "q_proj", "scale"):
            self.assertNotIn(word, text)
        self.assertIn("Every pixel is a byte", text)

    def test_begin_at_a_byte(self):
        page = self.view(self.write("a", mixture(self.rng, 3000)), "--at", "0x7b")
        page.wait_for("scruple.store.get('selection')")
        self.assertIn("o=0x7b", page.run("scruple.link()"))

    # ----------------------------------------------------------------------------- outlines

    def test_outlines_are_the_borders_of_runs(self):
        page = self.view(self.write("a", mixture(self.rng, 1000)))
        order, n = 5, 2 * 4 ** 5
        side = 2 ** order
        x, y = curve(order)
        ranges = [(0, n), (0, 1), (n - 1, n), (1000, 1050)] + \
            [tuple(sorted(self.rng.integers(0, n + 1, 2).tolist())) for _ in range(40)]
        got = page.run("import('scruple/hilbert.mjs').then(({outline}) => " +
                       json.dumps([r for r in ranges if r[0] < r[1]]) + f".map(([a, b]) => outline({order}, a, b)))")
        for (a, b), shape in zip([r for r in ranges if r[0] < r[1]], got):
            inside = np.zeros((side + 2, 2 * side + 2), bool)
            d = np.arange(a, b)
            inside[1 + y[d % 4 ** order], 1 + x[d % 4 ** order] + d // 4 ** order * side] = True
            across, down = np.zeros_like(inside), np.zeros_like(inside)
            for at, x0, x1 in shape["across"]:
                self.assertFalse(across[at, x0:x1].any())
                across[at, x0:x1] = True
            for at, y0, y1 in shape["down"]:
                self.assertFalse(down[y0:y1, at].any())
                down[y0:y1, at] = True
            want = inside[1:, 1:-1] != inside[:-1, 1:-1]
            np.testing.assert_array_equal(want, across[:side + 1, :2 * side], f"{a} {b}")
            want = inside[1:-1, 1:] != inside[1:-1, :-1]
            np.testing.assert_array_equal(want, down[:side, :2 * side + 1], f"{a} {b}")

    def test_names_are_drawn(self):
        path, _, _ = self.model()
        page = self.view(path, self.write("b.txt", mixture(self.rng, 9000)))
        drawn = page.run("""(() => {
            const out = [], c = scruple.stage.labels.c, {fillText} = c;
            c.fillText = (text, ...at) => { out.push(text); fillText.call(c, text, ...at); };
            scruple.stage.draw();
            c.fillText = fillText;
            return out;
        })()""")
        self.assertIn("m.safetensors", drawn)
        self.assertIn("b.txt", drawn)
        self.assertTrue(any("q_proj" in text for text in drawn), drawn)

    # ------------------------------------------------------------------------------- export

    def test_an_export_shows_the_same(self):
        path, a, b = self.model()
        data = self.write("c", mixture(self.rng, 140_000))
        subprocess.run([SCRUPLE, "view", "--layout", "hilbert", path, data, "--out", self.at("site"), "-q"], check=True, timeout=300)
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=self.at("site"))
        handler.log_message = lambda *_: None
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        self.addCleanup(self.browser.open, "about:blank")
        page = Viewer(self.browser, f"http://127.0.0.1:{server.server_port}/")
        for mode in ("classes", "entropy"):
            page.do(f"scruple.store.set({{mode: '{mode}', ground: 'dark'}}); scruple.camera.jump({{z: 0}})")
            np.testing.assert_array_equal(self.png(path, data, "--mode", mode), page.picture(), mode)
        page.do(f"scruple.goTo({self.spot(page, 3, os.path.getsize(path) + 140_000)})")
        page.wait_for("/0x00/.test(document.querySelector('#p-details').innerText)")
        self.assertIn("header", self.text(page, "#p-details"))


if __name__ == "__main__":
    unittest.main()
