#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of weights: every pixel of a picture against the value that stands there.

The pictures are read by a decoder of our own (zlib and the layout of PNG), values are numpy's.
"""
import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

import numpy as np

SCRUPLE = os.environ["SCRUPLE"]

# Colours that stand for what is no step of a scale, on a dark ground.
OUTSIDE, ZERO, NAN, PLUS, MINUS, SUBNORMAL = (0x121212, 0x0F6B4C, 0xFF00C8, 0xFFE600, 0x00E5FF,
                                              0x77853A)


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        raw = array.tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def read_png(path):
    """Rows of 0xRRGGBB."""
    with open(path, "rb") as f:
        data = f.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, pixels = 8, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + n]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + n:at + 12 + n])[0]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) == (8, 3)
        elif kind == b"PLTE":
            p = np.frombuffer(body, np.uint8).reshape(-1, 3).astype(np.uint32)
            palette = p[:, 0] << 16 | p[:, 1] << 8 | p[:, 2]
        elif kind == b"IDAT":
            pixels += body
        at += n + 12
    rows = np.frombuffer(zlib.decompress(pixels), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return palette[rows[:, 1:]]


def blue(rgb):
    return (rgb & 255) > (rgb >> 16)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="scruple-view-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.rng = np.random.default_rng(3)

    def at(self, name):
        return os.path.join(self.folder, name)

    def run_it(self, *words, code=0):
        done = subprocess.run([SCRUPLE, *words], capture_output=True, timeout=120, check=False)
        self.assertEqual(code, done.returncode, done.stderr.decode())
        return done

    def picture(self, tensors, *words):
        write_safetensors(self.at("m.safetensors"), tensors)
        self.run_it("view", self.at("m.safetensors"), "--png", self.at("m.png"), "--no-cache", "-q",
                    *words)
        return read_png(self.at("m.png"))


class View(Folder):
    def test_every_element_is_a_pixel(self):
        x = self.rng.standard_normal((300, 700)).astype("<f4")
        x[7, 9], x[299, 699], x[0, 0], x[100, 256], x[255, 255] = 0, np.nan, np.inf, -np.inf, 1e-42
        for mode in ("diverging", "linear", "sign"):
            p = self.picture({"w.weight": ("F32", x)}, "--mode", mode)
            self.assertEqual((300, 700), p.shape)
            for (row, col), want in {(7, 9): ZERO, (299, 699): NAN, (0, 0): PLUS, (100, 256): MINUS,
                                     (255, 255): SUBNORMAL}.items():
                self.assertEqual(want, p[row, col], (mode, row, col))
            plain = np.isfinite(x) & (np.abs(x) > 0.05)
            self.assertTrue((blue(p[plain]) == (x[plain] < 0)).all(), mode)

    def test_sizes_are_steps(self):
        x = np.exp(self.rng.uniform(-6, 1, (64, 64))).astype("<f4")
        p = self.picture({"w.weight": ("F32", x)}, "--mode", "magnitude").ravel()
        red = (p >> 16).astype(int)[np.argsort(x.ravel())]
        self.assertTrue((np.diff(np.maximum.accumulate(red)) >= 0).all())
        self.assertGreater(len(set(p)), 100)
        order = np.argsort(x.ravel())
        steps = [k for k in range(1, len(order)) if p[order[k]] != p[order[k - 1]]]
        self.assertEqual(len(steps) + 1, len(set(p)))  # a colour is one stretch of sizes

    def test_an_outlier_is_seen_from_afar(self):
        x = (self.rng.standard_normal((4096, 4096)) * 0.01).astype("<f4")
        x[3001, 77] = 50
        for plane in ("max", "abs"):
            p = self.picture({"w.weight": ("F32", x)}, "--width", "64", "--plane", plane, "--mode",
                             "linear")
            self.assertEqual((64, 64), p.shape)
            bright = np.argwhere((p >> 16) > 250)
            self.assertEqual([[3001 // 64, 77 // 64]], bright.tolist(), plane)

    def test_pooled_pixels_are_of_values(self):
        x = np.where(self.rng.random((2048, 2048)) < 0.5, 1.0, -1.0).astype("<f4")
        x[:1024] = np.abs(x[:1024])
        p = self.picture({"w.weight": ("F32", x)}, "--width", "16", "--mode", "sign", "--plane",
                         "min")
        self.assertTrue((~blue(p[:8])).all() and blue(p[8:]).all())

    def test_layers_are_alike(self):
        tensors = {}
        for i in range(4):
            tensors[f"model.layers.{i}.mlp.up_proj.weight"] = (
                "F32", np.full((96, 64), 1 + i, "<f4"))
            tensors[f"model.layers.{i}.input_layernorm.weight"] = ("F32", np.full(64, 1, "<f4"))
        p = self.picture(tensors)
        self.assertGreater((p == OUTSIDE).sum(), 0)
        one = self.picture(tensors, "--mode", "magnitude", "--scale", "model")
        self.assertEqual(p.shape, one.shape)

    def test_widths(self):
        x = self.rng.standard_normal((1000, 1000)).astype("<f4")
        for width, want in ((1000, 1000), (999, 500), (500, 500), (1, 1), (5000, 1000)):
            p = self.picture({"w.weight": ("F32", x)}, "--width", str(width))
            self.assertEqual((want, want), p.shape, width)

    def test_threads_do_not_matter(self):
        x = self.rng.standard_normal((1500, 900)).astype("<f4")
        a = self.picture({"w.weight": ("F32", x)}, "-j", "1", "--width", "300")
        b = self.picture({"w.weight": ("F32", x)}, "-j", "8", "--width", "300")
        self.assertTrue((a == b).all())

    def test_what_cannot_be_drawn(self):
        write_safetensors(self.at("e.safetensors"), {})
        e = self.run_it("view", self.at("e.safetensors"), "--png", self.at("e.png"), code=3)
        self.assertIn(b"no weights to draw", e.stderr)
        self.assertFalse(os.path.exists(self.at("e.png")))
        write_safetensors(self.at("m.safetensors"), {"w": ("F32", np.ones((4, 4), "<f4"))})
        self.run_it("view", self.at("m.safetensors"), "nothing", "--png", self.at("e.png"), code=1)
        self.run_it("view", self.at("m.safetensors"), "--png", self.at("no/e.png"), code=5)
        self.run_it("view", self.at("m.safetensors"), "--png", "/dev/full", code=5)
        self.run_it("view", self.at("m.safetensors"), "--png", self.at("e.png"), "--mode", "rainbow",
                    code=2)
        self.run_it("view", self.at("m.safetensors"), "--png", self.at("e.png"), "--out",
                    self.at("site"), code=2)
        self.run_it("show", self.at("m.safetensors"), "--json", code=2)
        self.assertEqual(["e.safetensors", "m.safetensors"], sorted(os.listdir(self.folder)))

    def test_an_interrupt_leaves_nothing(self):
        x = np.zeros((8192, 8192), "<f4")
        write_safetensors(self.at("m.safetensors"), {"w.weight": ("F32", x)})
        words = [SCRUPLE, "view", self.at("m.safetensors"), "--png", self.at("m.png"), "--no-cache",
                 "-q", "--width", "8192"]
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
        self.assertIn(code, (0, 130))
        if code:
            self.assertEqual(["m.safetensors"], os.listdir(self.folder))


class Show(Folder):
    def show(self, *words):
        return self.run_it("show", self.at("m.safetensors"), "--no-cache", "-q", *words).stdout

    def test_ascii(self):
        x = np.zeros((16, 16), "<f4")
        x[:, 8:] = 1
        write_safetensors(self.at("m.safetensors"), {"w.weight": ("F32", x)})
        lines = self.show("--graphics", "ascii", "--mode", "magnitude").decode().splitlines()
        self.assertEqual(9, len(lines))
        self.assertEqual({lines[0]}, set(lines[:8]))
        self.assertEqual("%" * 8, lines[0][8:])
        self.assertEqual(1, len(set(lines[0][:8])))
        self.assertNotIn("\033", "".join(lines))

    def test_kitty_holds_a_png(self):
        import base64
        x = self.rng.standard_normal((40, 30)).astype("<f4")
        write_safetensors(self.at("m.safetensors"), {"w.weight": ("F32", x)})
        out = self.show("--graphics", "kitty", "--color", "always")
        pieces = [p.split(b"\033\\")[0] for p in out.split(b"\033_G")[1:]]
        png = base64.b64decode(b"".join(p.split(b";", 1)[1] for p in pieces))
        with open(self.at("k.png"), "wb") as f:
            f.write(png)
        self.assertEqual((40, 30), read_png(self.at("k.png")).shape)

    def test_sixels(self):
        """Decoded by the rules of DEC's manual: the picture has the colours of the PNG."""
        x = self.rng.standard_normal((20, 30)).astype("<f4")
        p = self.picture({"w.weight": ("F32", x)}, "--mode", "sign")
        out = self.show("--graphics", "sixel", "--mode", "sign").decode()
        body = out[out.index('"') + 1:out.index("\033\\")]
        got, colours, i, row, col, colour = np.full((24, 30), -1), {}, 0, 0, 0, 0
        numbers, _, rest = body.partition("#")
        self.assertEqual("1;1;30;20", numbers)
        rest = "#" + rest
        while i < len(rest):
            c, i = rest[i], i + 1
            if c in "#!":
                end = i
                while rest[end] in "0123456789;":
                    end += 1
                values, i = [int(v) for v in rest[i:end].split(";")], end
                if c == "#" and len(values) > 1:
                    colours[values[0]] = values[2:]
                elif c == "#":
                    colour = values[0]
                else:
                    for _ in range(values[0]):
                        for k in range(6):
                            if (ord(rest[i]) - 63) >> k & 1:
                                got[row + k, col] = colour
                        col += 1
                    i += 1
            elif c == "$":
                col = 0
            elif c == "-":
                row, col = row + 6, 0
            else:
                for k in range(6):
                    if (ord(c) - 63) >> k & 1:
                        got[row + k, col] = colour
                col += 1
        for r in range(20):
            for k in range(30):
                rgb = [int(p[r, k]) >> s & 255 for s in (16, 8, 0)]
                for a, b in zip(rgb, colours[got[r, k]]):
                    self.assertLess(abs(a * 100 / 255 - b), 1)

    def test_blocks(self):
        x = np.ones((6, 9), "<f4")
        write_safetensors(self.at("m.safetensors"), {"w.weight": ("F32", x)})
        out = self.show("--graphics", "blocks", "--color", "always").decode()
        self.assertIn("▀", out)
        legend = out.splitlines()[-1]
        self.assertTrue(legend.startswith("-1 "), legend)
        self.assertTrue(legend.endswith(" 1"), legend)
        self.assertNotIn("zero", legend)  # there is none in the picture
        x[0, 0] = 0
        write_safetensors(self.at("m.safetensors"), {"w.weight": ("F32", x)})
        out = self.show("--graphics", "blocks", "--color", "always").decode()
        self.assertTrue(out.splitlines()[-1].endswith(" zero"), out.splitlines()[-1])

    def legend(self, x, *words):
        write_safetensors(self.at("m.safetensors"), {"w.weight": ("F32", x)})
        return self.show("--graphics", "ascii", *words).decode().splitlines()[-1]

    def test_legends_of_few_values(self):
        """The ends are those of the scale, and nothing is said of values that are not there."""
        self.assertRegex(self.legend(np.array(1.5, "<f4")), r"^-1\.5 #.+% 1\.5$")
        self.assertRegex(self.legend(np.array(-3, "<f4"), "--mode", "magnitude"), r"^0\.0003 .+ 3$")
        self.assertEqual("0 zero", self.legend(np.zeros((9, 9), "<f4")))
        self.assertEqual("0 zero", self.legend(np.zeros((), "<f4")))
        self.assertEqual("N NaN", self.legend(np.full((3, 3), np.nan, "<f4")))
        self.assertRegex(self.legend(np.arange(64, dtype="<f4").reshape(8, 8), "--mode", "rank"),
                         "^lowest .+ highest  0 zero$")
        self.assertEqual("s subnormal", self.legend(np.full((3, 3), 1e-40, "<f4")))

    def test_ascii_marks(self):
        """What is no finite number has a letter, also beside other values in one character."""
        x = np.full((20, 8), 2, "<f4")
        x[3, 1], x[8, 2], x[12:14, 3], x[16:18, 4] = np.nan, np.inf, -np.inf, 0
        x[18, 5] = 0
        write_safetensors(self.at("m.safetensors"), {"w.weight": ("F32", x)})
        lines = self.show("--graphics", "ascii").decode().splitlines()
        marks = {(1, 1): "N", (4, 2): "I", (6, 3): "i", (8, 4): "0"}
        for row in range(10):
            for col in range(8):
                self.assertEqual(marks.get((row, col), "%"), lines[row][col], (row, col))
        for mark in ("N NaN", "I +inf", "i -inf", "0 zero"):
            self.assertIn(mark, lines[-1])


def without_holes(path):
    """The size of a file and its blocks that are not all zeros: where they are, and what they hold. A file of statistics may
    have gigabytes of holes."""
    block, found, at = 4096, [], 0
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        while at < size:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            for at in range(at - at % block, end, block):
                data = os.pread(f.fileno(), block, at)
                if data.strip(b"\0"):
                    found.append((at, data))
            at = end
    return size, found


class Pyramids(Folder):
    """What a scan leaves for the viewer is what the viewer would have made."""

    def cached(self, cache, *words, code=0):
        env = {**os.environ, "SCRUPLE_CACHE": self.at(cache)}
        done = subprocess.run([SCRUPLE, *words], capture_output=True, timeout=120, check=False,
                              env=env)
        self.assertIn(done.returncode, code if isinstance(code, tuple) else (code,), done.stderr.decode())
        return done

    def files(self, cache):
        folder = os.path.join(self.at(cache), "pyramids")
        found = {}
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            found[name] = without_holes(os.path.join(folder, name))
        return found

    def model(self):
        wide = self.rng.standard_normal((300, 500)).astype(np.float32)
        wide[5, 7] = np.inf
        codes = (self.rng.standard_normal((4, 70, 90)).astype(np.float32).view(np.uint32)
                 >> 16).astype(np.uint16)
        write_safetensors(self.at("m.safetensors"), {
            "model.layers.0.mlp.up_proj.weight": ("F32", wide),
            "model.layers.0.mlp.experts": ("BF16", codes),
            "model.norm.weight": ("F64", self.rng.standard_normal(2000)),
            "tiny": ("F16", self.rng.standard_normal(5).astype(np.float16))})
        return self.at("m.safetensors")

    def drawn(self, cache, path):
        self.cached(cache, "view", path, "--png", self.at("m.png"), "-q")
        return self.files(cache)

    def test_of_a_scan(self):
        path = self.model()
        wanted = self.drawn("a", path)
        self.assertEqual(1, len(wanted))
        said = self.cached("b", "scan", path, "--pyramids", "-v").stderr.decode()
        self.assertIn("statistics for scruple view: 4 tensors, 0 of them from before", said)
        self.assertEqual(wanted, self.files("b"))
        plain = self.cached("c", "scan", path, "--json").stdout
        self.assertEqual({}, self.files("c"))
        self.assertEqual(plain, self.cached("d", "scan", path, "--json", "--pyramids").stdout)
        # They are used: a viewer makes nothing anew.
        self.assertEqual(wanted, self.drawn("b", path))

    def test_of_what_is_known(self):
        path = self.model()
        self.cached("b", "scan", path, "-q")
        self.cached("b", "scan", path, "-q", "--pyramids", "up_proj")
        first = self.files("b")
        said = self.cached("b", "scan", path, "--pyramids", "-v").stderr.decode()
        self.assertIn("statistics for scruple view: 4 tensors, 1 of them from before", said)
        self.assertEqual(self.drawn("a", path), self.files("b"))
        self.assertNotEqual(first, self.files("b"))
        said = self.cached("b", "scan", path, "--pyramids", "-v").stderr.decode()
        self.assertIn("0 B read", said)

    def test_of_spectra_alone(self):
        path = self.model()
        self.cached("b", "scan", path, "-q", "--pyramids", "--methods", "spectral")
        self.assertEqual(self.drawn("a", path), self.files("b"))

    def test_without_a_cache(self):
        path = self.model()
        said = self.cached("b", "scan", path, "--pyramids", "--no-cache").stderr.decode()
        self.assertIn("cannot be kept: there is no cache", said)
        self.assertEqual({}, self.files("b"))
        self.cached("b", "scan", path, "--pyramids", "--base", path, code=2)

    def test_of_fixtures(self):
        """Layouts whose values are computed, tied tensors, strided views."""
        fixtures = os.environ["FIXTURES"]
        for name in ("gguf-moe", "gptq", "awq", "fp8-block", "torch-shared", "torch-storages"):
            path = os.path.join(fixtures, name)
            wanted = self.drawn("a" + name, path)
            self.assertEqual(1, len(wanted), name)
            self.cached("b" + name, "scan", path, "--pyramids", "-q", code=(0, 3))  # some is not decoded
            self.assertEqual(wanted, self.files("b" + name), name)


if __name__ == "__main__":
    unittest.main()
