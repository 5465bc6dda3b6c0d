# SPDX-License-Identifier: Apache-2.0
"""The pages of quant and curves: what they contain, and what their scripts do in a browser.

The unit test test_pictures writes a page of made-up tensors and, beside it, what each threshold must
give; the figures are summed up there from the table of errors, in long double, by code of its own.
"""
import json
import os
import re
import subprocess
import tempfile
import unittest

from browser import CHROMIUM, Browser
from test_report_pages import Reader, digest, read

SCRUPLE = os.environ.get("SCRUPLE", "scruple")
WRITER = os.path.join(os.path.dirname(SCRUPLE), "test_pictures")


def parsed(path):
    reader = Reader()
    reader.feed(read(path))
    reader.close()
    return reader


@unittest.skipUnless(os.path.exists(WRITER), "the unit tests are not built")
class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run([WRITER, "write_pages"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "SCRUPLE_TEST_PAGES": cls.folder.name})
        cls.quant = os.path.join(cls.folder.name, "quant.html")
        cls.curves = os.path.join(cls.folder.name, "curves.html")
        subprocess.run([SCRUPLE, "curves", "-c", "bfp4,bf16,mxfp4", "--points", "50", "-o", cls.curves],
                       check=True)
        cls.wanted = []
        for line in read(os.path.join(cls.folder.name, "quant.txt")).splitlines():
            tensor, metric, threshold, size, missing, mae, atol, sqnr, *counts = line.split()
            cls.wanted.append({"tensor": int(tensor), "metric": metric, "threshold": float(threshold),
                               "bytes": int(size), "pcc": float(missing), "mae": float(mae),
                               "atol": float(atol), "sqnr_db": float(sqnr),
                               "counts": dict((k, int(v)) for k, v in (c.split(":") for c in counts))})

    def test_elements_nest_and_ids_are_unique(self):
        for path in (self.quant, self.curves):
            reader = parsed(path)
            with self.subTest(page=path):
                self.assertEqual((reader.open, reader.wrong), ([], []))
                ids = [a["id"] for _, a in reader.elements if "id" in a]
                self.assertEqual(len(ids), len(set(ids)))
                for tag, attributes in reader.elements:
                    self.assertNotIn(tag, ("link", "iframe", "object", "embed", "base", "img", "form"))
                    self.assertFalse({"src", "style"} & set(attributes))
                    self.assertFalse([a for a in attributes if a.startswith("on")])
                    self.assertTrue(attributes.get("href", "#").startswith("#"))

    def test_the_policy_names_exactly_what_is_there(self):
        for path in (self.quant, self.curves):
            reader = parsed(path)
            policy = next(a["content"] for t, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
            rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
            code = [text for tag, a, text in reader.texts if tag == "script" and "type" not in a]
            style = [text for tag, _, text in reader.texts if tag == "style"]
            with self.subTest(page=path):
                self.assertEqual(rules["default-src"], "'none'")
                self.assertEqual([digest(text) for text in code], rules["script-src"].split())
                self.assertEqual([digest(text) for text in style], rules["style-src"].split())

    def test_data_is_json(self):
        for path in (self.quant, self.curves):
            text = next(text for _, a, text in parsed(path).texts if a.get("id") == "data")
            json.loads(text, parse_constant=self.fail)

    @unittest.skipUnless(CHROMIUM, "no Chromium")
    def test_a_threshold_gives_what_the_program_gives(self):
        with Browser() as page:
            tensor = None
            for wanted in self.wanted:
                if wanted["tensor"] != tensor:
                    tensor = wanted["tensor"]
                    page.open(f"file://{self.quant}#tensor={tensor}")
                page.run(f"document.querySelector('input[value={wanted['metric']}]').click()")
                page.run("(() => { const box = document.getElementById('threshold');"
                         f" box.value = '{wanted['threshold']!r}';"
                         " box.dispatchEvent(new Event('input')); })()")
                page.settle()
                with self.subTest(**{k: wanted[k] for k in ("tensor", "metric", "threshold")}):
                    counts = page.run("Object.fromEntries([...document.querySelectorAll('.count')]"
                                      ".map((c) => [c.dataset.format, Number(c.dataset.v)]))")
                    self.assertEqual(counts, wanted["counts"])
                    self.assertEqual(self.figure(page, "bytes"), wanted["bytes"])
                    for name in ("pcc", "mae", "atol", "sqnr_db"):
                        got = self.figure(page, name)
                        self.assertLess(abs(got / wanted[name] - 1), 2e-6, name)
            self.assertEqual(page.complaints, [])

    @staticmethod
    def figure(page, name):
        return float(page.run(f"document.getElementById('f-{name}').dataset.v"))

    @unittest.skipUnless(CHROMIUM, "no Chromium")
    def test_the_slider_moves_the_map(self):
        slide = ("(() => { const s = document.getElementById('slider'); s.value = %d;"
                 " s.dispatchEvent(new Event('input')); })()")
        picture = "document.getElementById('canvas').toDataURL()"
        sizes = []
        with Browser() as page:
            page.open(f"file://{self.quant}")
            seen = set()
            for position in (0, 250, 500, 1000):
                page.run(slide % position)
                page.settle()
                sizes.append(self.figure(page, "bytes"))
                seen.add(page.run(picture))
            self.assertEqual(len(seen), len(set(sizes)))
            self.assertEqual(sizes, sorted(sizes))
            self.assertGreater(len(set(sizes)), 2)
            # Without a format, its cells get others.
            page.run(slide % 500)
            page.settle()
            before = self.figure(page, "bytes")
            page.run("document.querySelector('#formats input[value=bfp8]').click()")
            page.settle()
            self.assertGreater(self.figure(page, "bytes"), before)
            self.assertEqual(page.run("document.querySelector('.count[data-format=bfp8]').dataset.v"), "0")
            self.assertEqual(page.complaints, [])

    @unittest.skipUnless(CHROMIUM, "no Chromium")
    def test_what_holds_already_is_left_alone_and_the_choice_of_the_run_is_shown(self):
        with Browser() as page:
            page.open(f"file://{self.quant}#metric=sqnr_db&threshold=30")
            loose = self.figure(page, "sqnr_db"), self.figure(page, "bytes")
            page.open(f"file://{self.quant}#metric=sqnr_db&threshold=30&hold=1")
            self.assertGreaterEqual(loose[0], 30)
            self.assertEqual((self.figure(page, "sqnr_db"), self.figure(page, "bytes")), loose)
            # What no mix of these formats can reach gets the best of them.
            page.open(f"file://{self.quant}#metric=sqnr_db&threshold=50&hold=1&formats=bfp4,bfp2")
            self.assertLess(self.figure(page, "sqnr_db"), 50)
            self.assertEqual(page.run("document.querySelector('.count[data-format=bfp2]').dataset.v"), "0")
            page.run("document.getElementById('chosen').click()")
            page.settle()
            chosen = next(w for w in self.wanted if (w["tensor"], w["metric"], w["threshold"]) == (0, "pcc", 0.99))
            self.assertEqual(self.figure(page, "bytes"), chosen["bytes"])
            self.assertEqual(page.complaints, [])

    @unittest.skipUnless(CHROMIUM, "no Chromium")
    def test_curves_are_shown_hidden_and_enlarged(self):
        paths = "document.querySelectorAll('#curves path').length"
        ticks = "[...document.querySelectorAll('#curves .t0')].map((t) => t.textContent).join()"
        with Browser() as page:
            page.open(f"file://{self.curves}")
            self.assertEqual(page.run("document.querySelectorAll('#toggles input').length"), 5)
            before, home = page.run(paths), page.run(ticks)
            page.run("document.querySelector('#toggles input[value=\"BF16\"]').click()")
            self.assertLess(page.run(paths), before)
            page.run("document.querySelector('#curves svg').dispatchEvent("
                     "new WheelEvent('wheel', { deltaY: -300, clientX: 500, clientY: 400, cancelable: true }))")
            self.assertNotEqual(page.run(ticks), home)
            page.run("document.getElementById('home').click()")
            self.assertEqual(page.run(ticks), home)
            page.run("document.querySelector('#curves svg').dispatchEvent("
                     "new PointerEvent('pointermove', { clientX: 500, clientY: 400 }))")
            self.assertIn("original value", page.run("document.querySelector('.tip').textContent"))
            self.assertIsNone(re.search(r"NaN|Infinity", page.run("document.querySelector('#curves').innerHTML")))
            page.run("document.getElementById('error').click()")
            self.assertIn("error", page.run("document.querySelector('#curves .t2').textContent"))
            self.assertEqual(page.complaints, [])


if __name__ == "__main__":
    unittest.main()
