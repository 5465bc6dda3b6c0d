#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of bytes, against a Hilbert curve, classes and entropies that are written here from their definitions."""
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

import numpy as np

from test_view import SCRUPLE, read_png, write_safetensors
from viewer_page import Served

OUTSIDE = 0x7FC20000
UNKNOWN = 0x7FC30000
STEPS, ZERO = 240, 241
ORDER1 = [(0, 0), (0, 1), (1, 1), (1, 0)]  # x, y


def curve(order):
    """(x, y) of all positions: four copies of the square of half the side, the outer two transposed."""
    x = y = np.zeros(1, np.int64)
    for level in range(order):
        side = 1 << level
        x, y = (np.concatenate([y, x, x + side, 2 * side - 1 - y]),
                np.concatenate([x, y + side, y + side, side - 1 - x]))
    return x, y


def layout(total):
    """The order of a square, and how many there are."""
    order = 4
    while 2 * 4 ** order < total:
        order += 1
    return order, 2 if 4 ** order < total else 1


def spread(values, order, squares):
    """Values of pixels in the order of the curve as a picture; `order` is that of a square in pixels."""
    side = 1 << order
    x, y = curve(order)
    out = np.full((side, squares * side), np.nan, np.float64)
    for k in range(squares):
        part = values[k * side * side:(k + 1) * side * side]
        out[y[:len(part)], k * side + x[:len(part)]] = part
    return out


def kind_of(v):
    v = np.asarray(v)
    return np.select([v == 0, v == 255, (v < 32) | (v == 127), v < 127], [0, 4, 1, 2], 3)


def entropies(data):
    """Bits a byte of windows of 256 bytes, and how many bytes each has."""
    window = np.arange(len(data)) // 256
    n = np.bincount(window * 256 + data, minlength=(window[-1] + 1) * 256).reshape(-1, 256).astype(np.float64)
    size = n.sum(1)
    p = n / size[:, None]
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(1) + 0.0, size


def mains(data, run):
    """The kind that most of a run are of, the first of equals; in it the rounded mean."""
    kind = kind_of(data)
    n = run[-1] + 1
    counts = np.bincount(run * 5 + kind, minlength=5 * n).reshape(n, 5)
    sums = np.bincount(run * 5 + kind, weights=data, minlength=5 * n).reshape(n, 5).astype(np.int64)
    most, i = counts.argmax(1), np.arange(n)
    mean = (sums[i, most] + counts[i, most] // 2) // counts[i, most]
    between = (most == 1) & (mean > 31) & (mean < 127)
    return np.where(between, np.where(mean < 79, 31, 127), mean).astype(np.float64)


def pooled(data, z, plane):
    """A value for each run of 4^z bytes."""
    each = 4 ** z
    run = np.arange(len(data)) // each
    starts = np.arange(0, len(data), each)
    if plane == "entropy":
        bits, size = entropies(data)
        if each <= 256:
            return bits[starts // 256]
        per = np.arange(0, len(bits), each // 256)
        return np.add.reduceat(bits * size, per) / np.add.reduceat(size, per)
    if plane == "main":
        return mains(data, run)
    fn = {"mean": np.add, "min": np.minimum, "max": np.maximum}[plane]
    out = fn.reduceat(data.astype(np.float64), starts)
    return out / np.bincount(run) if plane == "mean" else out


def read_tile(body):
    """A tile as floats' bits (256, 256), and its flags."""
    assert body[:4] == b"SCT1"
    flags, kind = body[4], body[5]
    if kind == 2:
        return np.full((256, 256), OUTSIDE, np.uint32), flags
    if kind == 3:
        return np.full((256, 256), struct.unpack("<I", body[16:20])[0], np.uint32), flags
    if kind == 0:
        return np.frombuffer(body, "<u2", 65536, 16).astype(np.uint32).reshape(256, 256) << 16, flags
    return np.frombuffer(body, "<u4", 65536, 16).reshape(256, 256), flags


def mixture(rng, n):
    """Text, zeros, 255, numbers and noise in pieces of any length."""
    out, made = [np.zeros(0, np.uint8)], 0
    text = np.frombuffer(b"Lorem ipsum dolor sit amet,\n\tconsetetur \x7f sadipscing elitr. ", np.uint8)
    while made < n:
        k = int(rng.integers(1, max(2, n // 9)))
        kind = rng.integers(0, 5)
        piece = (np.resize(text, k), np.zeros(k, np.uint8), np.full(k, 255, np.uint8),
                 (rng.standard_normal(k // 2 + 1) * 0.02).astype("<f2").view(np.uint8)[:k],
                 rng.integers(0, 256, k).astype(np.uint8))[kind]
        out.append(piece)
        made += k
    return np.concatenate(out)[:n]


def class_entries(v):
    """Palette entries of whole bytes in the mode of classes."""
    v = np.asarray(v, np.int64)
    # 112 steps for 127 values: a step begins at 128 + k 127 / 112: the entry is the last one that begins at or below v
    begins = np.array([128 + k * 127.0 / 112 for k in range(112)]).astype(np.float32)
    high = 127 + np.searchsorted(begins, v.astype(np.float32), "right") - 1
    return np.select([v == 0, v == 255, v < 128], [ZERO, 239, v - 1], high)


def palette_of(path):
    """PLTE of a PNG, (256, 3)."""
    with open(path, "rb") as f:
        data = f.read()
    at = data.index(b"PLTE")
    n = struct.unpack(">I", data[at - 4:at])[0]
    return np.frombuffer(data[at + 4:at + 4 + n], np.uint8).reshape(-1, 3)


class Bytes(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="scruple-bytes-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.rng = np.random.default_rng(5)

    def at(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.at(name), "wb") as f:
            f.write(bytes(data))
        return self.at(name)

    def view(self, *words, stdin=None, code=0):
        done = subprocess.run([SCRUPLE, "view", "--layout", "hilbert", *words], input=stdin, capture_output=True,
                              timeout=120)
        self.assertEqual(code, done.returncode, done.stderr)
        return done.stderr.decode()

    def fetch(self, url):
        with urllib.request.urlopen(url) as answer:
            return answer.read()

    def settled(self, url):
        """Waits until everything has been counted."""
        with urllib.request.urlopen(url + "0/events") as stream:
            for line in stream:
                if line.startswith(b"data:") and json.loads(line[5:])["done"] >= 1:
                    return

    def picture(self, url, plane, z, width, height):
        rows = []
        for y in range((height + 255) // 256):
            row = [read_tile(self.fetch(f"{url}0/t/{z}/{x}/{y}.{plane}")) for x in range((width + 255) // 256)]
            self.assertTrue(all(flags & 1 or flags & 4 for _, flags in row), (plane, z))
            rows.append(np.concatenate([tile for tile, _ in row], 1))
        return np.concatenate(rows, 0)[:height, :width]

    # -------------------------------------------------------------------------------- tiles

    def check_tiles(self, data, zooms, *words):
        order, squares = layout(len(data))
        with Served("--layout", "hilbert", *words) as url:
            self.settled(url)
            scene = json.loads(self.fetch(url + "0/scene.json"))
            self.assertEqual((2 ** order * squares, 2 ** order), (scene["width"], scene["height"]))
            self.assertEqual("bytes", scene["shows"])
            for z in zooms:
                if z > min(order, scene["top"]):
                    continue
                for plane in ("main", "mean", "min", "max", "entropy"):
                    side = 2 ** (order - z)
                    got = self.picture(url, plane, z, side * squares, side)
                    want = spread(pooled(data, z, plane), order - z, squares)
                    outside = np.isnan(want)
                    self.assertTrue((got[outside] == OUTSIDE).all(), (plane, z))
                    values = got[~outside].view(np.float32).astype(np.float64)
                    if plane in ("entropy", "mean"):
                        np.testing.assert_allclose(values, want[~outside], rtol=1e-6, atol=2e-6, err_msg=f"{plane} {z}")
                    else:
                        np.testing.assert_array_equal(values, want[~outside], err_msg=f"{plane} {z}")

    def test_the_curve_is_the_one_that_is_documented(self):
        x, y = curve(1)
        self.assertEqual(ORDER1, list(zip(x.tolist(), y.tolist())))
        x, y = curve(5)
        self.assertEqual(1, int((abs(np.diff(x)) + abs(np.diff(y))).max()))
        self.assertEqual((31, 0), (x[-1], y[-1]))

    def test_tiles_of_one_square(self):
        data = mixture(self.rng, 200_000)
        self.check_tiles(data, range(0, 6), self.write("a", data))

    def test_tiles_of_two_squares_and_many_tiles(self):
        data = mixture(self.rng, 300_001)
        self.check_tiles(data, (0, 1, 3), self.write("a", data))

    def test_far_zooms_are_counted(self):
        data = mixture(self.rng, 9_000_003)  # more than a chunk of what is counted at once
        self.check_tiles(data, (4, 5), self.write("a", data))

    def test_sizes_at_the_edges(self):
        for n in (1, 2, 255, 256, 257, 511, 512, 513, 65535, 65536, 65537):
            with self.subTest(n=n):
                data = mixture(self.rng, n)
                self.check_tiles(data, (0, 1, 2), self.write(f"f{n}", data))

    def test_files_stand_behind_each_other(self):
        parts = [mixture(self.rng, n) for n in (1000, 0, 70_000, 1, 333)]
        names = [self.write(f"f{i}", p) for i, p in enumerate(parts)]
        self.check_tiles(np.concatenate(parts), (0, 2), *names)

    # ------------------------------------------------------------------------------- values

    def test_values_and_offsets(self):
        parts = [mixture(self.rng, n) for n in (5000, 9000)]
        names = [self.write(f"f{i}", p) for i, p in enumerate(parts)]
        whole = np.concatenate(parts)
        order, _ = layout(len(whole))
        x, y = curve(order)
        with Served("--layout", "hilbert", *names) as url:
            for at in (0, 1, 4999, 5000, 5001, 13999):
                got = json.loads(self.fetch(f"{url}0/value?tensor=0&slice=0&row={y[at]}&col={x[at]}"))
                file = int(at >= 5000)
                self.assertEqual((int(whole[at]), at - 5000 * file, names[file]), (got["value"], got["offset"], got["file"]))
                self.assertEqual(f"{whole[at]:02x}", got["raw"])
                around = bytes.fromhex(got["around"])
                self.assertEqual(bytes(parts[file][got["from"]:got["from"] + len(around)]), around)
                self.assertTrue(got["from"] <= got["offset"] < got["from"] + len(around))
            with self.assertRaises(urllib.error.HTTPError) as refused:
                self.fetch(f"{url}0/value?tensor=0&slice=0&row={y[14000]}&col={x[14000]}")
            self.assertEqual(400, refused.exception.code)
            figures = json.loads(self.fetch(f"{url}0/tensor?i=1"))
            self.assertEqual([9000], figures["shape"])

    def test_elements_of_tensors(self):
        a = (self.rng.standard_normal((40, 30))).astype("<f4")
        b = np.arange(77, dtype="<i8")
        path = self.at("m.safetensors")
        write_safetensors(path, {"a.weight": ("F32", a), "b": ("I64", b)})
        data = np.fromfile(path, np.uint8)
        order, _ = layout(len(data))
        x, y = curve(order)

        def answer(at):
            slice, d = divmod(at, 4 ** order)
            return json.loads(self.fetch(f"{url}0/value?tensor=0&slice={slice}&row={y[d]}&col={x[d]}"))

        begin = 8 + struct.unpack("<Q", data[:8].tobytes())[0]
        with Served("--layout", "hilbert", path) as url:
            parts = json.loads(self.fetch(url + "0/scene.json"))["bytes"]["parts"]
            self.assertEqual(["header", "a.weight", "b"], parts["name"])
            self.assertEqual([0, begin, begin + a.nbytes], parts["offset"])
            self.assertEqual([begin, a.nbytes, b.nbytes], parts["bytes"])
            self.assertEqual(["", "F32", "I64"], parts["dtype"])
            for at, part, index, byte, value in ((begin, "a.weight", 0, 0, a[0, 0]), (begin + 4 * 31 + 3, "a.weight", 31, 3, a[1, 1]),
                                                 (begin + a.nbytes + 8 * 76 + 1, "b", 76, 1, 76)):
                got = answer(at)
                self.assertEqual((part, index, byte), (got["part"], got["element"]["index"], got["element"]["byte"]))
                self.assertEqual(float(value), got["element"]["value"])
            got = answer(9)
            self.assertEqual(("header", None), (got["part"], got["element"]))

    # ------------------------------------------------------------------------------ pictures

    def test_pictures_in_files(self):
        data = mixture(self.rng, 40_000)
        path = self.write("a", data)
        order, squares = layout(len(data))
        self.view(path, "--png", self.at("a.png"))
        got = read_png(self.at("a.png"))
        palette = palette_of(self.at("a.png")).astype(np.uint32)
        colours = palette[:, 0] << 16 | palette[:, 1] << 8 | palette[:, 2]
        want = spread(class_entries(data).astype(np.float64), order, squares)
        outside = np.isnan(want)
        wanted = np.where(outside, colours[STEPS], colours[np.where(outside, 0, want).astype(int)])
        np.testing.assert_array_equal(wanted, got)

    def test_wrong_words(self):
        path = self.write("a", b"abc")
        self.assertIn("--mode sign", self.view(path, "--mode", "sign", "--png", self.at("x.png"), code=2))
        self.assertIn("--plane rms", self.view(path, "--plane", "rms", "--png", self.at("x.png"), code=2))
        self.assertIn("--at 3", self.view(path, "--at", "3", "--out", self.at("x"), code=2))
        self.assertIn("name a file", self.view(code=2))

    # -------------------------------------------------------------------------------- inputs

    def bytes_of(self, png):
        """The values of the pixels of --mode value, as entries."""
        return read_png(png)

    def same(self, one, *words, stdin=None):
        """The picture of these words is that of one file."""
        path = self.write("whole", one)
        self.view(path, "--png", self.at("1.png"), "--mode", "value")
        said = self.view(*words, "--png", self.at("2.png"), "--mode", "value", stdin=stdin)
        np.testing.assert_array_equal(read_png(self.at("1.png")), read_png(self.at("2.png")))
        return said

    def test_standard_input_and_pipes(self):
        data = mixture(self.rng, 100_000).tobytes()
        self.same(data, "-", stdin=data)
        self.same(b"only text " * 300_000, "-", stdin=b"only text " * 300_000)
        os.mkfifo(self.at("fifo"))
        writer = subprocess.Popen(["sh", "-c", 'cat "$1" > "$2"', "sh", self.write("a", data), self.at("fifo")])
        self.same(data, self.at("fifo"))
        writer.wait()

    def test_a_pipe_without_end(self):
        yes = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
        done = subprocess.run([SCRUPLE, "view", "--layout", "hilbert", "-", "--memory", "64M", "--png", self.at("x.png")],
                              stdin=yes.stdout, capture_output=True, timeout=120)
        yes.kill()
        yes.communicate()
        self.assertNotEqual(0, done.returncode)
        self.assertIn(b"--memory", done.stderr)

    def test_devices_are_refused(self):
        self.assertIn("/dev/zero", self.view("/dev/zero", "--png", self.at("x.png"), code=3))

    def test_lists(self):
        a, b = mixture(self.rng, 3000), mixture(self.rng, 4000)
        names = [self.write("a b", a), self.write("c\nd", b)]
        whole = np.concatenate([a, b])
        listed = self.write("list", "\0".join(names).encode())
        self.same(whole, "-l", listed)
        shutil.copy(names[1], self.at("cd"))
        self.same(whole, "-l", self.write("lines", f"  {names[0]} \n\n{self.at('cd')}\r\n".encode()))
        self.same(whole, "-l", "-", stdin=f"{names[0]}\n{self.at('cd')}\n".encode())
        said = self.same(whole, names[0], self.at("none"), self.at("cd"))
        self.assertIn("left out", said)
        self.view("-l", self.write("empty", b"\n\n"), "--png", self.at("x.png"), code=2)

    def test_folders(self):
        os.makedirs(self.at("d/e"))
        os.symlink("..", self.at("d/e/up"))
        a, b = mixture(self.rng, 3000), mixture(self.rng, 4000)
        self.write("d/a", a)
        self.write("d/e/b", b)
        self.same(np.concatenate([a, b]), self.at("d"))
        self.same(b, self.at("d"), "--exclude", "a")

    def test_nothing_and_little(self):
        self.assertIn("no byte", self.view(self.write("empty", b""), "--png", self.at("x.png"), code=3))
        self.view(self.write("one", b"x"), "--png", self.at("x.png"))
        self.view(self.at("none"), "--png", self.at("x.png"), code=4)

    def test_a_hole_of_many_terabytes(self):
        with open(self.at("hole"), "wb") as f:
            f.truncate(2 ** 41 + 5)
            f.seek(2 ** 40)
            f.write(b"in the middle")
        with Served("--layout", "hilbert", "--memory", "64M", self.at("hole")) as url:
            scene = json.loads(self.fetch(url + "0/scene.json"))
            order = scene["bytes"]["order"]
            self.assertEqual(2 ** 41 + 5, scene["bytes"]["total"])
            self.assertEqual(21, order)
            _, flags = read_tile(self.fetch(f"{url}0/t/{scene['top']}/0/0.main"))
            self.assertTrue(flags & 2)  # nobody has read two terabytes by now
            # the second quarter begins at 2^40, and its tiles lie as the whole
            tile, flags = read_tile(self.fetch(f"{url}0/t/0/0/{2 ** 20 // 256}.main"))
            x, y = curve(8)
            got = tile[y, x].view(np.float32).astype(np.uint8).tobytes()
            self.assertEqual(b"in the middle\0", got[:14])
            end, _ = read_tile(self.fetch(f"{url}0/t/0/{2 ** 20 // 256}/{2 ** 20 // 256}.main"))
            self.assertEqual([0, 0, 0, 0, 0, OUTSIDE], end[y, x][:6].tolist())

    def test_a_file_that_shrinks(self):
        data = mixture(self.rng, 70_000)
        path = self.write("a", data)
        with Served("--layout", "hilbert", path) as url:
            self.settled(url)
            os.truncate(path, 10)
            tile, flags = read_tile(self.fetch(f"{url}0/t/0/0/0.main"))
            self.assertTrue(flags & 8)
            self.assertTrue((tile == UNKNOWN).any())
            with self.assertRaises(urllib.error.HTTPError):
                self.fetch(f"{url}0/value?tensor=0&slice=0&row=3&col=7")

    def test_models_say_that_there_is_this(self):
        done = subprocess.run([SCRUPLE, "view", self.write("a.txt", b"hello world, this is text\n" * 9), "--png", self.at("x")],
                              capture_output=True)
        self.assertEqual(3, done.returncode)
        self.assertIn(b"--layout hilbert", done.stderr)


if __name__ == "__main__":
    unittest.main()
