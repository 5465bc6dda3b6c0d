# SPDX-License-Identifier: Apache-2.0
"""From a weight that `super` found to its pixel: the permalink in the JSON and `view --at` lead to this very weight, in the
middle of the picture, however the tensor is stored."""
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import forward_reference as ref  # noqa: E402
import test_moe as moe  # noqa: E402
from browser import CHROMIUM, Browser  # noqa: E402
from test_super_magnitude import SCRUPLE  # noqa: E402
from viewer_page import Served, Viewer  # noqa: E402


def super_of(*words):
    return subprocess.run([SCRUPLE, "super", "-q", *words], stdout=subprocess.PIPE, check=True).stdout.decode()


@unittest.skipUnless(CHROMIUM, "there is no Chromium")
class Pixels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser(webgl=True))

    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)

    def folder(self, c, tensors, name):
        return ref.write_folder(os.path.join(self.dir, name), c, tensors)

    def check(self, page, w):
        """It is selected, it stands in the middle, and the value there is its own."""
        page.wait_for("scruple.store.get('selection')")
        page.settle()
        spot = page.run("(({tensor, slice, row, col, place}) => { const {scene} = scruple.front();"
                        "const at = scene.pointOf(place, row, col), camera = scruple.store.get('camera');"
                        "return {name: scene.names[tensor], slice, row, col, width: at.w / 2 ** camera.z,"
                        "dx: (at.x + at.w / 2 - camera.x) / 2 ** camera.z,"
                        "dy: (at.y + at.h / 2 - camera.y) / 2 ** camera.z}; })(scruple.store.get('selection'))")
        place = w["at"][len(w["tensor"]) + 1:-1].split(",")
        self.assertEqual(spot["name"], w["tensor"])
        self.assertEqual([spot["row"], spot["col"]], [int(i) for i in place[-2:]])
        self.assertEqual(spot["slice"], int(place[0]) if len(place) == 3 else 0)
        self.assertGreaterEqual(spot["width"], 8)
        self.assertLessEqual(max(abs(spot["dx"]), abs(spot["dy"])), spot["width"], spot)
        left, top, width, height = page.run("(({left, top, width, height}) => [left, top, width, height])"
                                            "(scruple.elements.stage.getBoundingClientRect())")
        page.mouse("mouseMoved", left + width / 2 + spot["dx"], top + height / 2 + spot["dy"])
        page.wait_for("scruple.store.get('hover')?.raw !== undefined")
        self.assertEqual(np.float32(page.run("scruple.store.get('hover').value")), np.float32(w["weight"]))
        page.mouse("mouseMoved", 1, 1)

    def follow(self, path, weights, at=0):
        """Every link on one page, and the command of one of them."""
        with Served(path) as url:
            for w in weights:
                self.browser.open("about:blank")
                self.check(Viewer(self.browser, url + w["link"]), w)
            self.browser.open("about:blank")
        with Served(path, "--at", weights[at]["at"]) as url:
            self.check(Viewer(self.browser, url), weights[at])
            self.browser.open("about:blank")

    def test_a_matrix_and_one_that_is_stored_the_other_way_round(self):
        for name in ("llama", "gpt2"):
            path = self.folder(ref.CONFIGS[name], ref.make(ref.CONFIGS[name], 1), name)
            d = json.loads(super_of(path, "--by", "magnitude", "--top", "2", "--kind", "down_proj", "--json"))
            self.follow(path, d["weights"])
            # the line below the table is that command
            said = super_of(path, "--by", "magnitude", "--top", "2", "--kind", "down_proj")
            line = next(x for x in said.splitlines() if x.startswith("to see it: "))
            self.assertEqual(shlex.split(line)[3:], ["scruple", "view", path, "--at", d["weights"][0]["at"]])

    def test_an_expert_of_a_stack(self):
        w = moe.experts(2)
        w[1, "down_proj"][5, 7, 11] = 9
        path = self.folder(moe.CONFIG, moe.names(w, "stacked"), "stacked")
        [found] = json.loads(super_of(path, "--by", "magnitude", "--top", "1", "--json"))["weights"]
        self.assertEqual((found["expert"], found["row"], found["column"]), (5, 7, 11))
        self.assertTrue(found["at"].endswith("[5,7,11]"))
        self.follow(path, [found])

    def test_what_was_found_by_activation(self):
        c = ref.CONFIGS["llama"]
        tensors = ref.make(c, 3)
        for n in ("gate_proj", "up_proj"):
            tensors[f"model.layers.1.mlp.{n}.weight"][40] *= 6
        tensors["model.layers.1.mlp.down_proj.weight"][21, 40] = 24
        path = self.folder(c, tensors, "planted")
        [found] = json.loads(super_of(path, "--ids", "1,2,3,4,5,6,7", "--json"))["weights"]
        self.assertEqual(found["at"], "model.layers.1.mlp.down_proj.weight[21,40]")
        self.follow(path, [found])


class Places(unittest.TestCase):
    def test_wrong_places_are_told(self):
        c = ref.CONFIGS["llama"]
        with tempfile.TemporaryDirectory() as top:
            path = ref.write_folder(os.path.join(top, "m"), c, ref.make(c, 1))
            name = "model.layers.1.mlp.down_proj.weight"
            for at in ("no.such.tensor", "no.such[1,2]", f"{name}[64,0]", f"{name}[0,96]", f"{name}[]", f"{name}[1,2,3]",
                       f"{name}[1;2]", f"{name}[-1,2]", f"{name}[1,2", "", "[0,0]"):
                r = subprocess.run([SCRUPLE, "view", path, "--no-open", "--no-cache", "--at", at], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
                self.assertEqual(r.returncode, 2, at)
                self.assertEqual(r.stderr.count(b"\n"), 1, r.stderr)
                self.assertEqual(r.stdout, b"")
            r = subprocess.run([SCRUPLE, "view", path, "--at", name, "--png", os.path.join(top, "x.png")],
                               stderr=subprocess.PIPE)
            self.assertEqual(r.returncode, 2)

    def test_an_export_begins_there(self):
        c = ref.CONFIGS["llama"]
        with tempfile.TemporaryDirectory() as top:
            path = ref.write_folder(os.path.join(top, "m"), c, ref.make(c, 1))
            out = os.path.join(top, "site")
            for at, link in (("model.norm.weight[5]", "#t=model.norm.weight&r=0&c=5&z=-"),
                             ("model.layers.2.mlp.up_proj.weight", "#t=model.layers.2.mlp.up_proj.weight"),
                             ("model.layers.2.mlp.up_proj.weight[95,63]",
                              "#t=model.layers.2.mlp.up_proj.weight&r=95&c=63&z=-")):
                subprocess.run([SCRUPLE, "view", path, "--out", out, "--at", at, "-q", "--no-cache"], check=True)
                with open(os.path.join(out, "view.json"), encoding="utf-8") as f:
                    self.assertTrue(json.load(f)["start"].startswith(link))


if __name__ == "__main__":
    unittest.main()
