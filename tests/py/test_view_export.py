#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exports of the viewer, read back by a reader of our own.

The reader knows docs/viewer-protocol.md only: index, packs, bodies. Values are numpy's; pixels of
many weights are also held against the tiles of the live server, bit by bit.
"""
import functools
import gzip
import http.server
import json
import os
import re
import resource
import shutil
import signal
import stat
import struct
import subprocess
import threading
import time
import unittest
import urllib.request
import zlib

import numpy as np

from browser import Browser, CHROMIUM
from test_view import SCRUPLE, Folder, read_png, write_safetensors
from viewer_page import Served

FIXTURES = os.environ.get("FIXTURES", "")

PLANES = ["mean", "rms", "min", "max", "abs"]
OUTSIDE = 0x7FC20000


class Export:
    """What is in a folder."""
    def __init__(self, folder, view=0):
        self.folder, self.view = folder, f"{folder}/{view}"
        with open(f"{self.view}/scene.json", encoding="utf-8") as f:
            self.scene = json.load(f)
        with open(f"{self.view}/tiles/index.bin", "rb") as f:
            self.index = f.read()
        magic, levels, self.pack_bytes, self.head = struct.unpack_from("<4sIQQ", self.index)
        assert magic == b"SCI1"
        self.entries = {}  # (z, plane, x, y): offset, length, checksum
        self.levels = []
        for i in range(levels):
            z, plane, blocks, at = struct.unpack_from("<iIQQ", self.index, 24 + 24 * i)
            self.levels.append((z, PLANES[plane]))
            seen = []
            for b in range(blocks):
                bx, by, table, left, top, columns, rows, zero = struct.unpack_from(
                    "<IIQBBBBI", self.index, at + 24 * b)
                assert zero == 0 and table >= self.head
                seen.append((by, bx))
                for k in range(columns * rows):
                    entry = struct.unpack_from("<QII", self.index, table + 16 * k)
                    if entry[1]:
                        key = (z, PLANES[plane], bx * 32 + left + k % columns,
                               by * 32 + top + k // columns)
                        self.entries[key] = entry
            assert seen == sorted(set(seen))
        self.deepest = min(z for z, _ in self.levels)

    def body(self, key):
        offset, length, check = self.entries[key]
        with open(f"{self.view}/tiles/pack-{offset // self.pack_bytes:03}.bin", "rb") as f:
            f.seek(offset % self.pack_bytes)
            packed = f.read(length)
        assert len(packed) == length and zlib.crc32(packed) == check
        return zlib.decompress(packed, -15)

    @functools.lru_cache(maxsize=512)
    def tile(self, z, plane, x, y):
        """256 x 256 bits of float32, as the page would have them; None: nothing stands there."""
        key = (z, plane, x, y)
        if key not in self.entries:
            if z >= 0:
                return None
            above = self.tile(z + 1, plane, x // 2, y // 2)
            if above is None:
                return None
            quarter = above[y % 2 * 128:, x % 2 * 128:][:128, :128]
            return quarter.repeat(2, 0).repeat(2, 1)
        body = self.body(key)
        magic, _, kind, zero, at_z, epoch = struct.unpack_from("<4sBBHiI", body)
        assert (magic, zero, at_z, epoch) == (b"SCT1", 0, z, 0), key
        data = np.frombuffer(body, np.uint8, offset=16)
        if kind in (2, 3):
            assert len(data) == (0 if kind == 2 else 4)
            same = OUTSIDE if kind == 2 else int(data.view("<u4")[0])
            return np.full((256, 256), same, np.uint32)
        bytes_each = {4: 2, 5: 4}[kind]
        planes = data.reshape(bytes_each, 65536).astype(np.uint32)
        bits, v = 8 * bytes_each, np.zeros(65536, np.uint32)
        for p in planes:
            v = v << 8 | p
        v = v >> 1 | v << (bits - 1) & ((1 << bits) - 1)
        return (v << (32 - bits)).astype(np.uint32).reshape(256, 256)

    def level(self, z, plane):
        """The whole picture of a zoom."""
        w = -(-self.scene["width"] >> z) if z > 0 else self.scene["width"] << -z
        h = -(-self.scene["height"] >> z) if z > 0 else self.scene["height"] << -z
        if z > 0:
            w, h = -(-self.scene["width"] // 2 ** z), -(-self.scene["height"] // 2 ** z)
        out = np.full((-(-h // 256) * 256, -(-w // 256) * 256), OUTSIDE, np.uint32)
        for y in range(out.shape[0] // 256):
            for x in range(out.shape[1] // 256):
                tile = self.tile(z, plane, x, y)
                if tile is not None:
                    out[y * 256:][:256, x * 256:][:, :256] = tile
        return out[:h, :w]

    def files(self):
        out = {}
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    out[os.path.relpath(path, self.folder)] = f.read()
        return out

    def facts(self, i):
        with open(f"{self.view}/tensors.bin", "rb") as f:
            data = f.read()
        magic, n = struct.unpack_from("<4sI", data)
        assert magic == b"SCF1" and i < n
        at, length, _ = struct.unpack_from("<QII", data, 8 + 16 * i)
        return json.loads(zlib.decompress(data[at:at + length], -15)) if length else None


class Exports(Folder):
    def export(self, model, *words, to="out", code=0):
        done = self.run_it("view", model, "--out", self.at(to), "--no-cache", *words, code=code)
        self.said = done.stderr.decode()
        return Export(self.at(to)) if code == 0 and not to.endswith(".html") else None

    def model(self, tensors, name="m.safetensors"):
        write_safetensors(self.at(name), tensors)
        return self.at(name)

    def towers(self, layers=2, width=150):
        tensors = {"model.embed_tokens.weight": (
            "F32", self.rng.standard_normal((9000, 24)).astype("<f4"))}
        for i in range(layers):
            tensors[f"model.layers.{i}.mlp.up_proj.weight"] = (
                "F32", self.rng.standard_normal((300, width)).astype("<f4"))
            tensors[f"model.layers.{i}.input_layernorm.weight"] = (
                "F16", self.rng.standard_normal(width).astype("<f2"))
        return self.model(tensors)


class Tiles(Exports):
    def test_every_element_and_every_pooled_pixel(self):
        """One matrix fills the scene from its corner on."""
        x = self.rng.standard_normal((2300, 1901)).astype("<f4")
        x[7, 9], x[2299, 1900], x[0, 0], x[100, 256] = 0, np.nan, np.inf, -np.inf
        e = self.export(self.model({"w.weight": ("F32", x)}), "--planes", "mean,rms,min,max,abs")
        p = e.scene["places"]
        depth = p["dx"][0]
        self.assertEqual(([0], [0], depth), (p["x"], p["y"], p["dy"][0]))
        self.assertEqual({z for z, _ in e.levels}, set(range(-depth, e.scene["top"] + 1)))
        for plane in PLANES:
            got = e.level(-depth, plane)
            finite = ~np.isnan(x)
            np.testing.assert_array_equal(x.view(np.uint32)[finite],
                                          got[:2300, :1901][finite], plane)
            self.assertTrue(np.isnan(got[2299, 1900].view(np.float32)))
            self.assertTrue((got[2300:] == OUTSIDE).all() and (got[:, 1901:] == OUTSIDE).all())
        for up in range(1, depth + e.scene["top"] + 1):
            n = 2 ** up
            rows, cols = -(-2300 // n), -(-1901 // n)
            padded = np.full((rows * n, cols * n), np.nan)
            padded[:2300, :1901] = x
            cells = padded.reshape(rows, n, cols, n).transpose(0, 2, 1, 3).reshape(rows, cols, -1)
            # Larger pixels come of cells in bfloat16, and an element at an edge may go to either.
            near = 1e-5 if n < 32 else 2e-2
            finite = np.isfinite(np.where(np.isnan(padded), 0, padded)).reshape(rows, n, cols, n)
            finite = finite.all((1, 3)) & (np.arange(rows)[:, None] < rows - 1) & (
                np.arange(cols) < cols - 1)  # without what is no number, and edges
            if not finite.any():
                continue
            cells = np.where(np.isfinite(cells), cells, np.nan)
            want = {"mean": np.nanmean(cells, 2), "rms": np.sqrt(np.nanmean(cells ** 2, 2)),
                    "min": np.nanmin(cells, 2), "max": np.nanmax(cells, 2),
                    "abs": np.nanmax(np.abs(cells), 2)}
            for plane in PLANES:
                got = e.level(up - depth, plane).view(np.float32)[:rows, :cols].astype(float)
                np.testing.assert_allclose(got[finite], want[plane][finite], near, near,
                                           err_msg=f"{plane} {up}")

    def test_tiles_are_those_of_the_server(self):
        model = self.towers()
        e = self.export(model)
        with Served(model, "--no-cache") as url:
            with urllib.request.urlopen(url + "0/events", timeout=60) as events:
                while b'"done": 1' not in (line := events.readline()):
                    self.assertTrue(line)
            s, n = e.scene, 0
            for z in range(-s["deepest"], s["top"] + 1):
                side = 256 * 2.0 ** z
                tiles = [(x, y) for y in range(int(s["height"] / side) + 1)
                         for x in range(int(s["width"] / side) + 1)]
                if len(tiles) > 60:
                    tiles = [tiles[i] for i in sorted(self.rng.choice(len(tiles), 60, False))]
                for x, y in tiles:
                    for plane in ("mean", "abs"):
                        with urllib.request.urlopen(f"{url}0/t/{z}/{x}/{y}.{plane}") as answer:
                            body = answer.read()
                        kind = body[5]
                        want = np.full((256, 256), OUTSIDE, np.uint32)
                        if kind == 0:
                            want = np.frombuffer(body, "<u2", offset=16).astype(np.uint32) << 16
                        elif kind == 1:
                            want = np.frombuffer(body, "<u4", offset=16)
                        elif kind == 3:
                            want[:] = struct.unpack_from("<I", body, 16)[0]
                        got = e.tile(z, plane, x, y)
                        got = np.full((256, 256), OUTSIDE, np.uint32) if got is None else got
                        np.testing.assert_array_equal(want.reshape(256, 256), got,
                                                      f"{z} {x} {y} {plane}")
                        n += 1
            self.assertGreater(n, 100)

    def test_deep_levels_hold_what_needs_them(self):
        """The embedding alone goes deep: beside it nothing is stored there."""
        e = self.export(self.towers())
        p, deepest = e.scene["places"], e.scene["deepest"]
        self.assertEqual(e.deepest, -deepest)
        deep = [i for i in range(len(p["x"])) if max(p["dx"][i], p["dy"][i]) == deepest]
        for z, _, x, y in e.entries:
            if z == -deepest:
                self.assertTrue(any(
                    p["x"][i] * 2 ** -z < (x + 1) * 256 and (p["x"][i] + p["w"][i]) * 2 ** -z > x * 256
                    and p["y"][i] * 2 ** -z < (y + 1) * 256
                    and (p["y"][i] + p["h"][i]) * 2 ** -z > y * 256 for i in deep), (x, y))
        single = [k for k in e.entries if k[0] == -deepest and k[1] == "mean"]
        for z, _, x, y in single:  # an element is the same on every plane, and stored once
            self.assertEqual(e.entries[z, "mean", x, y], e.entries[z, "abs", x, y])

    def test_a_long_vector(self):
        """It is drawn thick: thousands of tiles whose rows are all the same take little."""
        model = self.model({"v": ("F32", self.rng.standard_normal((1, 30000)).astype("<f4"))})
        e = self.export(model, "--planes", "mean")
        packed = sum(len(b) for name, b in e.files().items() if "/tiles/pack" in name)
        self.assertGreater(len(e.entries), 200)
        self.assertLess(packed, 3000 * len(e.entries))

    def test_vectors_are_cheap(self):
        """Tiles that a vector crosses from edge to edge share bodies, and are still its pixels: in a row, in a column,
        beside others. A run that was killed goes on."""
        shapes = {"a.bias": (300000,), "b.weight": (40000, 1), "c.weight": (70, 90), "d.bias": (3000,)}
        tensors = {n: ("F32", self.rng.standard_normal(s).astype("<f4")) for n, s in shapes.items()}
        model = self.model(tensors)
        e = self.export(model)
        deep = [entry[0] for key, entry in e.entries.items() if key[:2] == (e.deepest, "mean")]
        self.assertLess(3 * len(set(deep)), len(deep))
        p, names = e.scene["places"], e.scene["tensors"]["name"]
        for name in ("a.bias", "b.weight", "d.bias"):
            row, i = tensors[name][1].reshape(-1), p["tensor"].index(names.index(name))
            down = name == "b.weight"
            along, across, length, side = "yxhw" if down else "xywh"
            z = -p["d" + along][i]  # an element is a pixel along its length, and thick
            thick = p[side][i] << -z
            self.assertGreaterEqual(thick, 16)
            for k in [0, len(row) - 1] + self.rng.integers(0, len(row), 9).tolist():
                for deep in (0, thick // 2, thick - 1):
                    at = {along: (p[along][i] << -z) + k, across: (p[across][i] << -z) + deep}
                    tile = e.tile(z, "mean", at["x"] // 256, at["y"] // 256)
                    self.assertEqual(row[k:k + 1].view("<u4")[0], tile[at["y"] % 256, at["x"] % 256], (name, k, deep))
        whole = e.files()
        with open(self.at("out/0/tiles/index.bin"), "r+b") as f:
            f.seek(os.path.getsize(self.at("out/0/tiles/index.bin")) // 2)
            f.write(bytes(160))
        self.assertEqual(whole, self.export(model).files())

    def test_documents(self):
        model = self.towers()
        e = self.export(model, "--title", "A <b>title</b> & more")
        with open(self.at("out/view.json"), encoding="utf-8") as f:
            view = json.load(f)
        self.assertEqual(("scruple.view/1", "static", "A <b>title</b> & more"),
                         (view["schema"], view["mode"], view["title"]))
        with open(self.at("out/0/scales.json"), encoding="utf-8") as f:
            scales = json.load(f)
        self.assertIs(True, scales["final"])
        for i, name in enumerate(e.scene["tensors"]["name"]):
            facts = e.facts(i)
            self.assertEqual((i, name), (facts["i"], facts["name"]))
            self.assertEqual(128, len(facts["histogram"]))
        with open(self.at("out/index.html"), encoding="utf-8") as f:
            self.assertIn("<title>A &lt;b&gt;title&lt;/b&gt; &amp; more", f.read())


class Folders(Exports):
    def same(self, a, b):
        self.assertEqual(sorted(a), sorted(b))
        for name in a:
            self.assertEqual(a[name], b[name], name)

    def test_threads_do_not_matter(self):
        model = self.towers()
        one = self.export(model, "-j", "1", "--pack-bytes", "1M").files()
        self.assertGreater(sum("pack-" in name for name in one), 2)
        for threads in ("2", "5"):
            self.same(one, self.export(model, "-j", threads, "--pack-bytes", "1M",
                                       to="out" + threads).files())

    def test_what_was_killed_goes_on(self):
        tensors = {f"model.layers.{i}.mlp.up_proj.weight": (
            "F32", self.rng.standard_normal((500, 700)).astype("<f4")) for i in range(4)}
        model = self.model(tensors)
        whole = self.export(model, "--pack-bytes", "1M", to="whole").files()
        out, pack = self.at("out"), self.at("out/0/tiles/pack-%03d.bin")

        def written(path):
            return os.stat(path).st_mtime_ns if os.path.exists(path) else None

        for number in (0, 1, 3, 3, 5):
            before = written(pack % number)  # a round may have come further than it was meant to
            process = subprocess.Popen(
                [SCRUPLE, "view", model, "--out", out, "--no-cache", "-q", "--pack-bytes", "1M", "-j",
                 "1"], stderr=subprocess.DEVNULL)
            while process.poll() is None and (written(pack % number) == before or
                                              os.path.getsize(pack % number) == 0):
                pass
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.assertFalse(os.path.exists(f"{out}/index.html") and
                             not os.path.exists(f"{out}/0/tiles/index.bin"))
            if number == 1:
                with open(pack % 0, "r+b") as f:
                    f.truncate(100000)  # the system lost what it had not written
        e = self.export(model, "--pack-bytes", "1M")
        went_on = "earlier run" in self.said
        self.same(whole, e.files())
        self.assertTrue(went_on, self.said)
        with open(self.at("out/0/tiles/pack-002.bin"), "r+b") as f:  # and what is damaged
            f.seek(77)
            f.write(b"damaged")
        self.same(whole, self.export(model, "--pack-bytes", "1M").files())

    def test_what_nobody_can_read_as_a_whole(self):
        """A tensor of 10^12 elements, all of them one number in the file."""
        model = os.path.join(FIXTURES, "torch-shared")
        e = self.export(model, "--max-zoom", "2")
        self.assertGreater(len(e.entries), 3)
        self.assertIn("too large to be read as a whole", self.said)
        self.assertEqual(1, self.said.count("too large"))

    def test_other_weights_take_its_place(self):
        self.export(self.towers(5))
        second = self.model({"w.weight": ("F32", np.ones((40, 40), "<f4"))}, "n.safetensors")
        e = self.export(second)
        self.assertNotIn("earlier run", self.said)
        self.same(self.export(second, to="new").files(), e.files())

    def test_no_page_shows_what_is_not_there(self):
        self.export(self.towers(5))
        self.assertTrue(os.path.exists(self.at("out/index.html")))
        other = self.towers(6)
        failed = subprocess.run([SCRUPLE, "view", other, "--out", self.at("out"), "--no-cache"],
                                stderr=subprocess.PIPE, preexec_fn=lambda: resource.setrlimit(
                                    resource.RLIMIT_FSIZE, (50000, 50000)))
        self.assertNotEqual(0, failed.returncode)
        self.assertTrue(os.path.exists(self.at("out/0/scene.json")))
        self.assertFalse(os.path.exists(self.at("out/index.html")))
        self.same(self.export(other, to="new").files(), self.export(other).files())

    def test_folders_of_others_stay(self):
        model = self.towers(1)
        os.mkdir(self.at("mine"))
        with open(self.at("mine/notes.txt"), "w", encoding="utf-8") as f:
            f.write("dear")
        self.export(model, to="mine", code=2)
        self.assertIn("no export", self.said)
        self.assertEqual(["notes.txt"], os.listdir(self.at("mine")))
        self.run_it("view", "--regen-html", self.at("mine"), code=2)
        self.assertEqual(["notes.txt"], os.listdir(self.at("mine")))
        with open(self.at("file"), "w", encoding="utf-8"):
            pass
        self.export(model, to="file", code=5)
        self.export(model, "--planes", "mean,median", code=2)

    def test_full_disk(self):
        model = self.towers()
        whole = self.export(model, to="whole").files()

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000))
        done = subprocess.run([SCRUPLE, "view", model, "--out", self.at("out"), "--no-cache"],
                              capture_output=True, preexec_fn=limit, timeout=120, check=False)
        self.assertEqual(5, done.returncode, done.stderr)
        self.assertIn(b"cannot be written: File too large", done.stderr)
        self.assertEqual(1, done.stderr.count(b"\n"))
        self.same(whole, self.export(model).files())

    def test_interrupt(self):
        tensors = {f"model.layers.{i}.w.weight": ("F32", np.zeros((3000, 3000), "<f4") + i)
                   for i in range(4)}
        model = self.model(tensors)
        for to in ("out", "out.html"):
            process = subprocess.Popen([SCRUPLE, "view", model, "--out", self.at(to), "--no-cache",
                                        "-q"], stderr=subprocess.DEVNULL)
            time.sleep(0.15)
            process.send_signal(signal.SIGINT)
            self.assertIn(process.wait(timeout=60), (0, 130))
        self.assertEqual([], [n for n in os.listdir(self.folder) if n.endswith(".tmp")])

    def test_regenerated_page(self):
        model = self.towers(1)
        before = self.export(model).files()
        for name in ("index.html", "main.mjs", "viewer.css", "colours.json"):
            os.remove(self.at("out/" + name))
        self.run_it("view", "--regen-html", self.at("out"))
        self.same(before, Export(self.at("out")).files())
        self.run_it("view", "--regen-html", self.at("out"), "--title", "<i>")
        with open(self.at("out/index.html"), encoding="utf-8") as f:
            self.assertIn("<title>&lt;i&gt;", f.read())
        self.run_it("view", model, "--regen-html", self.at("out"), code=2)


class Budgets(Exports):
    def size(self, e):
        return sum(len(data) for data in e.files().values())

    def test_bytes(self):
        tensors = {f"model.layers.{i}.mlp.up_proj.weight": (
            "F32", self.rng.standard_normal((500, 700)).astype("<f4")) for i in range(4)}
        model = self.model(tensors)
        full = self.export(model)
        deepest = full.deepest
        for most in (9000000, 3500000, 1000000):
            e = self.export(model, "--max-bytes", str(most), to=f"out{most}")
            self.assertLessEqual(self.size(e), most)
            self.assertGreater(e.deepest, deepest - 1)
            for key, entry in e.entries.items():  # what is there is what there would be
                self.assertEqual(full.body(key), e.body(key))
            if e.deepest > deepest:
                self.assertIn("deepest levels are left out", self.said)
        self.assertGreater(e.deepest, deepest)
        for most in ("10000", "1000"):
            self.export(model, "--max-bytes", most, to="none", code=5)
            self.assertIn("not enough", self.said)
            self.assertFalse(os.path.exists(self.at("none")))
            os.mkdir(self.at("none"))
            self.export(model, "--max-bytes", most, to="none", code=5)
            self.assertEqual([], os.listdir(self.at("none")))
            os.rmdir(self.at("none"))

    def test_budget_that_documents_exceed(self):
        """It is known only when they are written: they go again, and what was there before stays."""
        model = self.model({f"model.layers.{i}.{'x' * 99}{k}.weight": ("F32", np.zeros((8, 8), "<f4") + k)
                            for i in range(10) for k in range(10)})
        plan = self.tried(model, 1000)
        most = plan + 1
        self.assertGreater(self.tried(model, most), plan)
        self.assertEqual(["m.safetensors"], os.listdir(self.folder))
        os.mkdir(self.at("out"))
        self.tried(model, most)
        self.assertEqual([], os.listdir(self.at("out")))
        whole = self.export(model).files()
        self.tried(model, plan)
        self.assertEqual(whole, Export(self.at("out")).files())
        self.tried(model, most)
        self.assertEqual(whole, self.export(model).files())

    def tried(self, model, most):
        """What it would have taken."""
        done = self.run_it("view", model, "--out", self.at("out"), "--no-cache", "--max-bytes", str(most), code=5)
        return int(re.fullmatch(r".* bytes are not enough: page and documents alone take (\d+)\n",
                                done.stderr.decode()).group(1))

    def test_zoom(self):
        model = self.towers()
        full = self.export(model, to="full")
        e = self.export(model, "--max-zoom", "2")
        self.assertEqual({e.scene["top"] - k for k in range(3)}, {z for z, _ in e.levels})
        for key in e.entries:
            self.assertEqual(full.body(key), e.body(key))

    def test_planes(self):
        e = self.export(self.towers(), "--planes", "rms")
        self.assertEqual({"rms"}, {plane for _, plane in e.levels})

    def test_one_page(self):
        model = self.towers(1)
        self.export(model, to="page.html")
        with open(self.at("page.html"), encoding="utf-8") as f:
            text = f.read()
        e = self.export(model)
        files = e.files()
        import base64
        found = dict(re.findall(r'<script type="application/octet-stream" data-name="([^"]*)">'
                                r'([A-Za-z0-9+/=]*)</script>', text))
        self.assertEqual({"view.json", "colours.json", "0/scene.json", "0/scales.json",
                          "0/tensors.bin", "0/tiles/index.bin", "0/tiles/pack-000.bin"}, set(found))
        for name, data in found.items():
            self.assertEqual(files[name], base64.b64decode(data), name)
        self.assertEqual(files["index.html"].decode(), text)
        self.assertEqual(["m.safetensors", "out", "page.html"], sorted(os.listdir(self.folder)))


    def test_pages_of_others_stay(self):
        model = self.towers(1)
        for text in ("<!DOCTYPE html>\n<title>dear</title>\n", "x", "scruple"):
            with open(self.at("page.html"), "w", encoding="utf-8") as f:
                f.write(text)
            self.run_it("view", model, "--no-cache", "--out", self.at("page.html"), code=2)
            with open(self.at("page.html"), encoding="utf-8") as f:
                self.assertEqual(text, f.read())
        os.symlink("page.html", self.at("link.html"))
        self.run_it("view", model, "--no-cache", "--out", self.at("link.html"), code=2)
        self.assertEqual(["link.html", "m.safetensors", "page.html"], sorted(os.listdir(self.folder)))
        self.run_it("view", model, "--no-cache", "--out", self.at("page.html"), "--force")
        with open(self.at("page.html"), "rb") as f:
            first = f.read()
        # It is ours now, and so is one of other weights; nothing stands in an empty file.
        self.run_it("view", self.towers(2), "--no-cache", "--out", self.at("page.html"))
        with open(self.at("page.html"), "rb") as f:
            self.assertNotEqual(first, f.read())
        with open(self.at("empty.html"), "wb"):
            pass
        self.run_it("view", model, "--no-cache", "--out", self.at("empty.html"))
        os.mkdir(self.at("folder.html"))
        self.run_it("view", model, "--no-cache", "--out", self.at("folder.html"), "--force", code=5)
        self.run_it("view", model, "--no-cache", "--out", self.at("folder.html"), code=2)


class Pictures(Exports):
    def pictures(self, to="out"):
        return {name: body for name, body in Export(self.at(to)).files().items()
                if name.startswith("tiles/") and name.endswith(".png")}

    def stamps(self):
        found = {}
        for folder, _, names in os.walk(self.at("out/tiles")):
            for name in names:
                s = os.stat(os.path.join(folder, name))
                found[os.path.relpath(os.path.join(folder, name), self.at("out"))] = (s.st_ino, s.st_mtime_ns)
        return {k: v for k, v in found.items() if k.endswith(".png")}

    def test_what_was_killed_goes_on(self):
        tensors = {f"model.layers.{i}.mlp.up_proj.weight": (
            "F32", self.rng.standard_normal((2000, 2000)).astype("<f4")) for i in range(4)}
        model = self.model(tensors)
        self.export(model, "--tiles", to="whole")
        whole = self.pictures("whole")
        self.export(model)
        process = subprocess.Popen([SCRUPLE, "view", model, "--out", self.at("out"), "--no-cache", "-q",
                                    "--tiles"], stderr=subprocess.DEVNULL)
        while process.poll() is None and not os.path.exists(self.at("out/tiles/3")):
            time.sleep(0.001)
        process.kill()
        process.wait()
        before = self.stamps()
        self.assertGreater(len(before), 0)
        self.assertLess(len(before), len(whole))
        self.export(model, "--tiles")
        self.assertEqual(whole, self.pictures())
        after = self.stamps()
        self.assertEqual(before, {k: after[k] for k in before})
        self.assertRegex(self.said, r"%d pictures, %d of them of an earlier run" % (len(whole), len(before)))
        # Other colours are other pictures, and what they do not need goes.
        self.export(model, "--tiles", "--mode", "sign", "--light", "--max-zoom", "2")
        self.export(model, "--tiles", "--mode", "sign", "--light", "--max-zoom", "2", to="other")
        self.assertEqual(self.pictures("other"), self.pictures())
        self.assertNotIn("pictures,", self.said)
        # A picture that somebody cut short is made again.
        self.export(model, "--tiles")
        self.assertEqual(whole, self.pictures())
        one = sorted(whole)[5]
        with open(self.at("out/" + one), "r+b") as f:
            f.truncate(50)
        self.export(model, "--tiles")
        self.assertEqual(whole, self.pictures())

    def test_tiles_of_somebody_stay(self):
        model = self.towers(1)
        self.export(model)
        os.mkdir(self.at("out/tiles"))
        with open(self.at("out/tiles/notes.txt"), "w", encoding="utf-8") as f:
            f.write("dear")
        self.export(model, "--tiles")
        self.export(model, "--tiles", "--mode", "sign")
        with open(self.at("out/tiles/notes.txt"), encoding="utf-8") as f:
            self.assertEqual("dear", f.read())

    def test_tiles_are_parts_of_the_picture(self):
        model = self.towers(1)
        words = ("--mode", "magnitude", "--plane", "abs", "--scale", "model")
        e = self.export(model, "--tiles", *words)
        self.run_it("view", model, "--no-cache", "-q", "--png", self.at("p.png"), "--width",
                    "100000", *words)
        whole = read_png(self.at("p.png"))
        top, deepest, n = e.scene["top"], e.scene["deepest"], 0
        for z, plane, x, y in e.entries:
            if plane != "abs":
                continue
            path = self.at(f"out/tiles/{top - z}/{x}/{y}.png")
            self.assertTrue(os.path.exists(path), path)
            if z == -deepest:
                want = whole[y * 256:][:256, x * 256:][:, :256]
                got = read_tile(path)[:want.shape[0], :want.shape[1]]
                np.testing.assert_array_equal(want, got)
                n += 1
        self.assertGreater(n, 0)
        self.export(model, "--tiles", to="page.html", code=2)

    def test_avif_has_the_same_colours(self):
        model = self.towers(1)
        self.export(model, "--tile-format", "avif", code=2)  # of which pictures?
        said = subprocess.run([SCRUPLE, "view", model, "--no-cache", "-q", "--tiles", "--tile-format", "avif", "--out",
                               self.at("out")], stderr=subprocess.PIPE, text=True, check=False)
        if said.returncode and "AVIF" in said.stderr:
            self.assertEqual(1, said.stderr.count("\n"), said.stderr)
            self.assertFalse(os.path.exists(self.at("out")))
            self.skipTest("no libavif")
        self.assertEqual(0, said.returncode, said.stderr)
        avif = self.tiles_there()
        stamps = {name: os.stat(os.path.join(self.at("out/tiles"), name)).st_ino for name in avif}
        self.run_it("view", model, "--no-cache", "-q", "--tiles", "--tile-format", "avif", "--out", self.at("out"))
        self.assertEqual(stamps, {name: os.stat(os.path.join(self.at("out/tiles"), name)).st_ino for name in avif})
        self.run_it("view", model, "--no-cache", "-q", "--tiles", "--out", self.at("out"))
        png = self.tiles_there()  # and none of the others
        self.assertEqual({n[:-4] for n in png}, {n[:-5] for n in avif})
        if not shutil.which("avifdec"):
            self.skipTest("no avifdec")
        for name in avif:
            y4m = self.at("t.y4m")
            with open(self.at("t.avif"), "wb") as f:
                f.write(avif[name])
            subprocess.run(["avifdec", self.at("t.avif"), y4m], check=True, stdout=subprocess.DEVNULL)
            with open(y4m, "rb") as f:
                head, _, planes = f.read().partition(b"\nFRAME\n")
            self.assertIn(b"C444", head)
            g, b, r = np.frombuffer(planes, np.uint8).astype(np.uint32).reshape(3, 256, 256)
            want = read_tile(self.at("out/tiles/" + name[:-5] + ".png"))
            np.testing.assert_array_equal(want, r << 16 | g << 8 | b)
        self.assertGreater(len(avif), 4)

    def tiles_there(self):
        found = {}
        for at, _, names in os.walk(self.at("out/tiles")):
            for name in sorted(set(names) - {"tiles.json"}):
                path = os.path.join(at, name)
                with open(path, "rb") as f:
                    found[os.path.relpath(path, self.at("out/tiles"))] = f.read()
        return found


class Archive:
    """A PMTiles file, read as its specification says."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.bytes = f.read()
        h = self.bytes[:127]
        assert h[:8] == b"PMTiles\3"
        (root, n_root, meta, n_meta, self.leaves, _, self.data, n_data, *self.counts) = struct.unpack("<11Q", h[8:96])
        self.kinds, self.zooms = tuple(h[96:100]), tuple(h[100:102])
        self.west, self.south, self.east, self.north = (v / 1e7 for v in struct.unpack("<4i", h[102:118]))
        assert root + n_root <= 16384 and self.data + n_data <= len(self.bytes)
        self.metadata = json.loads(gzip.decompress(self.bytes[meta:meta + n_meta]))
        self.tiles = {}
        for n, run, size, at in self.directory(root, n_root):
            for n, run, size, at in [(n, run, size, at)] if run else self.directory(self.leaves + at, size):
                assert run == 1
                self.tiles[self.place(n)] = self.bytes[self.data + at:self.data + at + size]

    def directory(self, at, size):
        numbers, value, shift = [], 0, 0
        for byte in gzip.decompress(self.bytes[at:at + size]):
            value, shift = value | (byte & 127) << shift, shift + 7
            if byte < 128:
                numbers.append(value)
                value = shift = 0
        n, rest = numbers[0], numbers[1:]
        assert n > 0 and len(rest) == 4 * n
        ids, runs, sizes, places = (rest[k * n:(k + 1) * n] for k in range(4))
        for i in range(n):
            ids[i] += ids[i - 1] if i else 0
            places[i] = places[i] - 1 if places[i] else places[i - 1] + sizes[i - 1]
        return zip(ids, runs, sizes, places)

    @staticmethod
    def place(n):
        """Zoom, column and row, by Hilbert's curve."""
        zoom = 0
        while n >= 4 ** zoom:
            n -= 4 ** zoom
            zoom += 1
        x = y = 0
        for k in range(zoom):
            side, part = 1 << k, n >> 2 * k & 3
            if part == 0:
                x, y = y, x
            elif part == 3:
                x, y = side - 1 - y, side - 1 - x
            x, y = x + side * (part >> 1), y + side * (part in (1, 2))
        return zoom, x, y


class Shrinking(Exports):
    def check(self, *words):
        """What a file no longer has must not be kept as pictures of something unknown."""
        codes, rows = self.rng.integers(0x3000, 0x3f00, (1 << 10, 2000), "<u2"), 24 << 10
        for _ in range(5):  # it may be faster than the shrinking
            model = self.model({"w.weight": ("BF16", np.tile(codes, (rows >> 10, 1)))})
            before = set(os.listdir(self.folder))
            process = subprocess.Popen([SCRUPLE, "view", model, *words, "--no-cache", "-q"], stderr=subprocess.PIPE)
            while process.poll() is None and set(os.listdir(self.folder)) == before:
                time.sleep(0.001)
            os.truncate(model, 1 << 20)
            said = process.communicate(timeout=120)[1].decode()
            if process.returncode:
                break
            for name in set(os.listdir(self.folder)) - before:
                path = self.at(name)
                (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)
        self.assertEqual(3, process.returncode, said)
        self.assertIn("shrank from", said)

    def test_a_folder(self):
        self.check("--out", self.at("out"))
        self.assertFalse(os.path.exists(self.at("out/index.html")))

    def test_pictures_in_a_folder(self):
        self.check("--out", self.at("out"), "--tiles")
        self.assertFalse(os.path.exists(self.at("out/index.html")))

    def test_an_archive(self):
        self.check("--pmtiles", self.at("m.pmtiles"))
        self.assertEqual(["m.safetensors"], os.listdir(self.folder))


class Archives(Exports):
    def archive(self, model, *words, to="m.pmtiles", code=0):
        done = self.run_it("view", model, "--pmtiles", self.at(to), "--no-cache", *words, code=code)
        self.said = done.stderr.decode()
        return Archive(self.at(to)) if code == 0 else None

    def pictures_of(self, model, *words):
        self.export(model, "--tiles", *words)
        found = {}
        for at, _, names in os.walk(self.at("out/tiles")):
            for name in set(names) - {"tiles.json"}:
                zoom, x = os.path.relpath(at, self.at("out/tiles")).split("/")
                with open(os.path.join(at, name), "rb") as f:
                    found[int(zoom), int(x), int(name.split(".")[0])] = f.read()
        return found

    def test_pictures_are_those_of_a_folder(self):
        model = self.towers(3)
        for words in ((), ("--mode", "magnitude", "--plane", "abs", "--scale", "model", "--light", "--max-zoom", "3")):
            files, a = self.pictures_of(model, *words), self.archive(model, *words)
            self.assertEqual(files, a.tiles)
            self.assertEqual([len(files)] * 3, a.counts)
            self.assertEqual((0, 2, 1, 2), a.kinds)
            self.assertEqual((0, max(z for z, _, _ in files)), a.zooms)
        self.assertEqual({"name": model, "type": "baselayer", "format": "png", "mode": "magnitude", "plane": "abs",
                          "scale": "model"}, {k: v for k, v in a.metadata.items() if k != "generator"})
        self.assertIn(f"m.pmtiles: {len(files)} tiles", self.said)

    def test_vectors_share_bodies(self):
        """They are drawn thick: tiles that one crosses from edge to edge have the same bytes."""
        shapes = {"a.bias": (120000,), "b.weight": (9000, 1), "c.weight": (70, 90)}
        model = self.model({n: ("F32", self.rng.standard_normal(s).astype("<f4")) for n, s in shapes.items()})
        files, a = self.pictures_of(model), self.archive(model)
        self.assertEqual(files, a.tiles)
        self.assertEqual(len(files), a.counts[0])
        self.assertLess(4 * a.counts[2], 3 * a.counts[0])
        self.assertLess(4 * len(a.bytes), 3 * sum(len(p) for p in files.values()))

    def test_bytes_do_not_depend_on_threads(self):
        model = self.towers(3)
        self.assertEqual(self.archive(model, "-j", "1").bytes, self.archive(model, "-j", "3", to="b.pmtiles").bytes)

    def test_bounds_are_those_of_the_picture(self):
        """In the plane of the map everything is as wide and high as in the tile of zoom 0."""
        scene = self.export(self.towers(3)).scene
        a = self.archive(self.at("m.safetensors"))
        side = 256 << scene["top"]
        self.assertAlmostEqual(-180, a.west, 6)
        self.assertAlmostEqual(scene["width"] / side, (a.east + 180) / 360, 6)
        high = (1 - np.arcsinh(np.tan(np.radians(a.south))) / np.pi) / 2
        self.assertAlmostEqual(scene["height"] / side, high, 6)

    def test_titles_and_bytes_of_files(self):
        a = self.archive(self.towers(1), "--title", 'a "b" <c>')
        self.assertEqual('a "b" <c>', a.metadata["name"])
        with open(self.at("f.bin"), "wb") as f:
            f.write(bytes(range(256)) * 1000)
        done = self.run_it("view", "--layout", "hilbert", self.at("f.bin"), "--pmtiles", self.at("f.pmtiles"))
        a = Archive(self.at("f.pmtiles"))
        self.assertIn((0, 0, 0), a.tiles)
        self.assertEqual("f.bin", os.path.basename(a.metadata["name"]), done)

    def test_nothing_is_left_of_what_failed(self):
        model = self.towers(3)
        for before in (None, b"older"):
            if before:
                with open(self.at("m.pmtiles"), "wb") as f:
                    f.write(before)
            there = set(os.listdir(self.folder))
            done = subprocess.run([SCRUPLE, "view", model, "--no-cache", "-q", "--pmtiles", self.at("m.pmtiles")],
                                  stderr=subprocess.PIPE, preexec_fn=lambda: resource.setrlimit(
                                      resource.RLIMIT_FSIZE, (30000, 30000)))
            self.assertNotEqual(0, done.returncode)
            self.assertEqual(there, set(os.listdir(self.folder)))
            if before:
                with open(self.at("m.pmtiles"), "rb") as f:
                    self.assertEqual(before, f.read())

    def test_what_is_no_place_for_it(self):
        model = self.towers(1)
        with open(model, "rb") as f:
            weights = f.read()
        for words, what in ((("--pmtiles", "/dev/null"), "not a file"), (("--pmtiles", "-"), "not a file"),
                            (("--pmtiles", model), "holds weights"), (("--pmtiles", self.folder), "is a folder"),
                            (("--pmtiles", self.at("none/m.pmtiles")), "No such file"),
                            (("--pmtiles", self.at("x"), "--png", self.at("y")), "name one"),
                            (("--pmtiles", self.at("x"), "--out", self.at("y")), "name one"),
                            (("--pmtiles", self.at("x"), "--at", "w"), "--at"),
                            (("--pmtiles", self.at("x"), "--max-bytes", "1M"), "--max-bytes"),
                            (("--pmtiles", self.at("x"), "--tiles"), "--tiles")):
            done = subprocess.run([SCRUPLE, "view", model, "--no-cache", *words], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, check=False)
            self.assertNotEqual(0, done.returncode, words)
            self.assertIn(what, done.stderr)
            self.assertEqual(1, done.stderr.count("\n"), done.stderr)
            self.assertEqual("", done.stdout)
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        with open(model, "rb") as f:
            self.assertEqual(weights, f.read())
        self.assertEqual({"m.safetensors"}, set(os.listdir(self.folder)))


def read_tile(path):
    """A PNG of 1 to 8 bits a pixel, as 0xRRGGBB."""
    with open(path, "rb") as f:
        data = f.read()
    at, pixels = 8, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + n]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert colour == 3
        elif kind == b"PLTE":
            p = np.frombuffer(body, np.uint8).reshape(-1, 3).astype(np.uint32)
            palette = p[:, 0] << 16 | p[:, 1] << 8 | p[:, 2]
        elif kind == b"IDAT":
            pixels += body
        at += n + 12
    rows = np.frombuffer(zlib.decompress(pixels), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    bits = np.unpackbits(rows[:, 1:], axis=1).reshape(height, -1, depth)[:, :width]
    return palette[bits.dot(1 << np.arange(depth)[::-1])]


class Handler(http.server.BaseHTTPRequestHandler):
    """Files of a folder, by range or not."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802
        path = os.path.join(self.server.folder, self.path.split("?")[0].lstrip("/") or "index.html")
        self.server.asked.append((self.path, self.headers.get("Range")))
        if not os.path.isfile(path):
            self.send_error(404)
            return
        with open(path, "rb") as f:
            data = f.read()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        status = 200
        if wanted and self.server.ranges:
            first, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
            status, total, data = 206, len(data), data[first:last + 1]
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        kind = {"mjs": "text/javascript", "css": "text/css", "html": "text/html"}.get(
            path.rpartition(".")[2], "application/octet-stream")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class FileServer:
    def __init__(self, folder, ranges):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.folder, self.server.ranges, self.server.asked = folder, ranges, []

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = "http://127.0.0.1:%d/" % self.server.server_address[1]
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@unittest.skipUnless(CHROMIUM, "there is no Chromium")
class InBrowser(Exports):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser(webgl=True))
        cls.browser.call("Network.enable")

    def setUp(self):
        super().setUp()
        self.browser.complaints.clear()
        self.browser.requests.clear()

    def hostile(self):
        x = self.rng.standard_normal((700, 500)).astype("<f4")
        name = "<img src=x onerror=document.title='gone'>.weight"
        model = self.model({name: ("F32", x),
                            "model.layers.0.mlp.up_proj.weight": ("F32", x[:300, :200].copy())})
        return model, name, x

    def look(self, url, name, x):
        page = self.browser
        page.open(url)
        page.run("new Promise((done, fail) => { const wait = () => window.scruple ? done(1) :"
                 " document.querySelector('.wrong') ? fail(Error(document.querySelector('.wrong')"
                 ".textContent)) : setTimeout(wait, 20); wait(); })")
        page.run("scruple.settled()")
        self.assertIn("A title", page.run("document.title"))
        self.assertEqual(0, page.run("document.querySelectorAll('img').length"))
        i = page.run(f"scruple.views[0].scene.names.indexOf({json.dumps(name)})")
        for row, col in ((0, 0), (699, 499), (123, 456)):
            got = page.run(f"scruple.source.value(0, {i}, 0, {row}, {col})")
            self.assertEqual(float(x[row, col]), np.float32(got["value"]))
        found = page.run("scruple.source.search(0, 'ONERROR')")
        self.assertEqual({"total": 1, "tensors": [i]}, found)
        facts = page.run(f"scruple.source.tensor(0, {i})")
        self.assertEqual((name, [700, 500]), (facts["name"], facts["shape"]))
        page.run(f"scruple.goTo({{view: 0, tensor: {i}, row: 5, col: 7}}, {{zoom: 0, animate: false}})")
        page.run("scruple.settled()")
        bits = page.run("scruple.views[0].tiles.bitsOf('mean', scruple.views[0].scene.placeOf("
                        f"{i}, 0), 5, 7)")
        self.assertEqual(int(x.view(np.uint32)[5, 7]), bits)
        self.assertEqual([], page.complaints)

    def test_from_a_file_server(self):
        model, name, x = self.hostile()
        e = self.export(model, "--title", "A title", "--max-bytes", "4M")
        for ranges in (True, False):
            with open(self.at("out/index.html"), encoding="utf-8") as f:
                self.assertNotIn("data-name", f.read())
            with FileServer(self.at("out"), ranges) as server:
                self.look(server.url, name, x)
                asked = server.server.asked
            packs = [r for path, r in asked if "pack-" in path]
            self.assertTrue(packs and all(packs), asked)
            if ranges:
                size = os.path.getsize(self.at("out/0/tiles/pack-000.bin"))
                spans = [[int(n) for n in r[6:].split("-")] for r in packs]
                self.assertTrue(all(b - a + 1 < size for a, b in spans))
            else:
                self.assertEqual(1, len({p for p, r in asked if "pack-" in p}))
        self.assertTrue(e.entries)

    def test_from_a_file(self):
        model, name, x = self.hostile()
        self.export(model, "--title", "A title", to="page.html")
        self.look("file://" + self.at("page.html"), name, x)
        asked = [r for r in self.browser.requests if not r.startswith(("data:", "file:", "blob:"))]
        self.assertEqual([], asked)


if __name__ == "__main__":
    unittest.main()
