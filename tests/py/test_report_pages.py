# SPDX-License-Identifier: Apache-2.0
"""Pages and pictures of scans, as other programs read them.

The unit test test_html writes pages of made-up scans; here they are read by Python's parsers, their
policy is held against what they contain, and, where there is a Chromium, their script is run.
"""
import base64
import glob
import hashlib
import html.parser
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

WRITER = os.path.join(os.path.dirname(os.environ.get("SCRUPLE", "scruple")), "test_html")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NUMBERS = re.compile(r"[0-9.\- MLQHVZ%]*\Z")
PLACES = {"x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "d", "width", "height", "viewBox"}
VOID = {"meta", "input", "br", "link"}


class Reader(html.parser.HTMLParser):
    """Elements that nest, with their attributes, and the text of scripts and styles."""

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.wrong, self.texts = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("script", "style"):
            self.texts.append([tag, dict(attrs), ""])

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.texts[-1][2] += data


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def digest(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@unittest.skipUnless(os.path.exists(WRITER), "the unit tests are not built")
class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run([WRITER, "write_pages"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "SCRUPLE_TEST_PAGES": cls.folder.name})
        cls.pages = {}
        for path in sorted(glob.glob(os.path.join(cls.folder.name, "*.html"))):
            reader = Reader()
            reader.feed(read(path))
            reader.close()
            cls.pages[os.path.basename(path)] = (path, reader)

    def test_there_are_pages(self):
        self.assertEqual(list(self.pages), ["dense.html", "moe.html", "two.html"])

    def test_elements_nest_and_ids_are_unique(self):
        for name, (_, reader) in self.pages.items():
            with self.subTest(page=name):
                self.assertEqual((reader.open, reader.wrong), ([], []))
                ids = [a["id"] for _, a in reader.elements if "id" in a]
                self.assertEqual(len(ids), len(set(ids)))
                for tag, attributes in reader.elements:
                    if tag == "a":
                        self.assertIn(attributes["href"][1:], ids)

    def test_nothing_comes_from_elsewhere_and_nothing_runs_inline(self):
        for name, (_, reader) in self.pages.items():
            for tag, attributes in reader.elements:
                with self.subTest(page=name, tag=tag):
                    self.assertNotIn(tag, ("link", "iframe", "object", "embed", "base", "img", "form"))
                    self.assertNotIn("src", attributes)
                    self.assertNotIn("style", attributes)
                    self.assertFalse([a for a in attributes if a.startswith("on")])
                    self.assertTrue(attributes.get("href", "#").startswith("#"))

    def test_the_policy_names_exactly_what_is_there(self):
        for name, (_, reader) in self.pages.items():
            with self.subTest(page=name):
                policy = [a["content"] for t, a in reader.elements if t == "meta"
                          and a.get("http-equiv") == "Content-Security-Policy"]
                self.assertEqual(len(policy), 1)
                rules = dict(rule.strip().split(" ", 1) for rule in policy[0].split(";"))
                self.assertEqual(rules["default-src"], "'none'")
                code = [text for tag, a, text in reader.texts if tag == "script" and "type" not in a]
                style = [text for tag, _, text in reader.texts if tag == "style"]
                self.assertEqual([digest(text) for text in code], rules["script-src"].split())
                self.assertEqual([digest(text) for text in style], rules["style-src"].split())
                self.assertNotIn("unsafe", policy[0])

    def test_data_is_json_with_every_tensor_once(self):
        for name, (_, reader) in self.pages.items():
            with self.subTest(page=name):
                text = [text for tag, a, text in reader.texts if a.get("id") == "data"]
                data = json.loads(text[0], parse_constant=self.fail)
                places = [tensor["i"] for tensor in data["tensors"]]
                self.assertEqual(sorted(places), list(range(len(places))))
                for tensor in data["tensors"]:
                    for group, figures in zip(data["groups"], tensor["m"]):
                        if figures is not None:
                            self.assertEqual(len(figures), len(group["columns"]))

    def check_svg(self, text):
        root = xml.etree.ElementTree.fromstring(text)
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
        for element in root.iter():
            for attribute, value in element.attrib.items():
                if attribute in PLACES:
                    self.assertRegex(value, NUMBERS)
            self.assertNotIn("script", element.tag)
        return root

    def test_pictures_in_pages_are_well_formed(self):
        for name, (path, _) in self.pages.items():
            pictures = re.findall(r"<svg.*?</svg>", read(path), re.S)
            self.assertGreater(len(pictures), 10)
            for i, picture in enumerate(pictures):
                with self.subTest(page=name, picture=i):
                    self.check_svg(picture)

    def test_files_are_well_formed_and_stand_alone(self):
        files = glob.glob(os.path.join(self.folder.name, "*", "*.svg"))
        self.assertGreater(len(files), 60)
        for path in files:
            with self.subTest(file=os.path.basename(path)):
                text = read(path)
                self.check_svg(text)
                self.assertNotIn("var(", text)
                self.assertNotRegex(text.replace("http://www.w3.org/2000/svg", ""), r"https?:|url\(")

    @unittest.skipUnless(CHROMIUM, "no Chromium")
    def test_the_script_runs(self):
        for name, tensor in (("dense", "lm_head.weight"),
                             ("moe", "model.layers.1.</script><b>\"evil\" & 'odd'.weight")):
            path = os.path.join(self.folder.name, name + ".html")
            data = json.loads([t for _, a, t in self.pages[name + ".html"][1].texts
                               if a.get("id") == "data"][0])
            wanted = "".join(f"%{byte:02x}" for byte in tensor.encode())
            with tempfile.TemporaryDirectory() as profile:
                done = subprocess.run(
                    [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
                     f"--user-data-dir={profile}", "--virtual-time-budget=3000", "--dump-dom",
                     f"file://{path}#tensor={wanted}"],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
            with self.subTest(page=name):
                self.assertEqual(re.findall(r"CONSOLE.*", done.stderr), [])
                reader = Reader()
                reader.feed(done.stdout)
                buttons = [a for t, a in reader.elements if t == "button" and a.get("class") == "tensor"]
                self.assertGreaterEqual(len(buttons), min(100, len(data["tensors"])))
                self.assertIn(("dialog", True), [(t, "open" in a) for t, a in reader.elements])
                dialog = done.stdout.split("<dialog")[1].split("</dialog>")[0]
                self.assertGreaterEqual(dialog.count("<svg"), 4)
                self.assertIsNone(re.search(r"[\"L ](NaN|Infinity)", dialog))
                self.assertEqual(len([t for t, _ in reader.elements if t == "script"]), 3)
                options = [a for t, a in reader.elements if t == "option"]
                self.assertGreater(len(options), 10)


if __name__ == "__main__":
    unittest.main()
