#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server of `scruple view`: what it answers, whom it answers, and what it survives.

Tiles are held against numpy, bit for bit where every pixel is an element. Attacks use sockets, as
no library would send them.
"""
import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

import numpy as np

SCRUPLE = os.environ["SCRUPLE"]
SOURCE = os.environ.get("SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("FIXTURES", "")
os.environ.setdefault("TESTDATA", "")
os.environ.setdefault("SOURCE", SOURCE)
sys.path.insert(0, os.path.join(SOURCE, "tests", "py"))
sys.path.insert(0, os.path.join(SOURCE, "tests", "mockhub"))
from test_schemas import Schemas, strict  # noqa: E402
from test_view import read_png, write_safetensors  # noqa: E402
from mockhub import MockHub  # noqa: E402

SCHEMAS = Schemas(os.path.join(SOURCE, "tests", "schema"))
OUTSIDE, UNKNOWN, WAITING = 0x7FC20000, 0x7FC30000, 0x7FC40000
EXACT, SAMPLED, EMPTY, MISSING, ON_ITS_WAY = 1, 2, 4, 8, 16
HOSTILE = "model.layers.0.</script><img src=x onerror=alert(1)>\u202e\x1b[31m&'\"`.weight"


def free_signals():
    """A shell's & ignores SIGINT for all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Server:
    """`with Server(MODEL, OPTION...) as s:` runs it until the block ends, and holds it to exit code 0."""

    def __init__(self, *words, env=None, code=0, cache=False):
        self.words, self.env, self.code = [*words, *([] if cache else ["--no-cache"])], env, code

    def __enter__(self):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([SCRUPLE, "view", *self.words, "--no-open"], env=self.env,
                                        stdout=subprocess.PIPE, stderr=self.errors, preexec_fn=free_signals)
        self.url = self.process.stdout.readline().decode().rstrip("\n")
        match = re.fullmatch(r"http://(.*):(\d+)(/[0-9a-f]{32}/)", self.url)
        if not match:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no address: {self.url!r} {self.said()}")
        self.host, self.port, self.base = match.group(1), int(match.group(2)), match.group(3)
        self.name = f"{self.host}:{self.port}"
        return self

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        rest = self.process.stdout.read()
        code = self.process.wait(60)
        self.process.stdout.close()
        assert rest == b"", rest
        return code

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            code = self.stop()
            if kind is None:
                assert code == self.code, (code, self.said())
        self.errors.close()

    def connect(self):
        s = socket.create_connection((self.host.strip("[]"), self.port), timeout=30)
        self_name = self.name.encode()
        return s, self_name

    def http(self):
        return http.client.HTTPConnection(self.host.strip("[]"), self.port, timeout=30)

    def ask(self, path, headers=None, method="GET", base=None):
        c = self.http()
        try:
            c.request(method, (self.base if base is None else base) + path, headers={"Host": self.name, **(headers or {})})
            r = c.getresponse()
            return r.status, dict((k.lower(), v) for k, v in r.getheaders()), r.read()
        finally:
            c.close()

    def document(self, kind, path, status=200):
        got, headers, body = self.ask(path)
        assert got == status, (path, got, body)
        assert headers["content-type"] == "application/json; charset=utf-8", headers
        value = strict(body.decode("utf-8"))
        problems = list(SCHEMAS.problems("viewer.json", value, {"$ref": f"#/$defs/{kind}"}))
        assert not problems, problems[:5]
        return value

    def scene(self, view=0):
        return strict(self.ask(f"{view}/scene.json")[2].decode())

    def tile(self, z, x, y, plane="mean", view=0):
        status, headers, body = self.ask(f"{view}/t/{z}/{x}/{y}.{plane}")
        assert status == 200, body
        magic, flags, kind, zero, said_z, epoch = struct.unpack("<4sBBHiI", body[:16])
        assert (magic, zero, said_z) == (b"SCT1", 0, z), body[:16]
        body = body[16:]
        if kind == 0:
            pixels = np.frombuffer(body, "<u2").astype(np.uint32) << 16
        elif kind == 1:
            pixels = np.frombuffer(body, "<u4")
        elif kind == 2:
            assert body == b""
            pixels = np.full(65536, OUTSIDE, np.uint32)
        else:
            pixels = np.full(65536, *np.frombuffer(body, "<u4"), np.uint32)
        assert (flags & EMPTY != 0) == (kind == 2)
        kept = "immutable" in headers["cache-control"]
        assert kept == (flags & EXACT != 0 and flags & MISSING == 0), (flags, headers)
        return pixels.reshape(256, 256), flags, epoch

    def events(self):
        """What is told until everything is known."""
        c = self.http()
        c.request("GET", self.base + "0/events", headers={"Host": self.name})
        r = c.getresponse()
        assert r.status == 200 and r.getheader("Content-Type").startswith("text/event-stream"), r.status
        while True:
            line = r.readline().decode()
            if line.startswith("data: "):
                event = strict(line[6:])
                assert not list(SCHEMAS.problems("viewer.json", event, {"$ref": "#/$defs/event"}))
                yield event
                if event["done"] == 1:
                    c.close()
                    return

    def wait(self):
        for _ in self.events():
            pass


def bits(x):
    """Pixels of float32 values: every NaN is the same."""
    return np.where(np.isnan(x), np.uint32(0x7FC10000), np.ascontiguousarray(x, "<f4").view(np.uint32))


POOLS = ("mean", "rms", "min", "max", "abs")


def pooled(x, step_y, step_x, plane):
    """Blocks of step_y x step_x elements, smaller at the edges, each as one double; NaN: some are not finite."""
    def each(x, join):
        rows = join.reduceat(x, np.arange(0, x.shape[0], step_y), 0)
        return join.reduceat(rows, np.arange(0, x.shape[1], step_x), 1)
    if not np.isfinite(x).all():
        odd = each(~np.isfinite(x) * 1.0, np.maximum) > 0
        return np.where(odd, np.nan, pooled(np.nan_to_num(x, nan=0, posinf=0, neginf=0), step_y, step_x, plane))
    x = x.astype(float)
    if plane in ("min", "max"):
        return each(x, np.minimum if plane == "min" else np.maximum)
    if plane == "abs":
        return each(np.abs(x), np.maximum)
    mean = each(x * x if plane == "rms" else x, np.add) / each(np.ones_like(x), np.add)
    return np.sqrt(mean) if plane == "rms" else mean


class Model(unittest.TestCase):
    """One model with one server for all tests of the class."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="scruple-web-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        rng = np.random.default_rng(5)
        f = rng.standard_normal((300, 700)).astype("<f4")
        f[7, 9], f[299, 699], f[0, 0], f[100, 256], f[5, 5], f[6, 6] = 0, np.nan, np.inf, -np.inf, 1e-42, -0.0
        clean = rng.standard_normal((512, 768)).astype("<f4")
        half = (rng.standard_normal((640, 400)) * 0.1).astype("<f2")
        upper = bits(rng.standard_normal((280, 520)).astype("<f4")) >> 16
        cls.arrays = {
            "model.layers.0.mlp.up_proj.weight": f,
            "model.layers.1.mlp.up_proj.weight": clean,
            "model.layers.0.self_attn.q_proj.weight": half.astype("<f4"),
            "model.layers.1.self_attn.q_proj.weight": (upper << 16).astype("<u4").view("<f4"),
            "model.norm.weight": rng.standard_normal(64).astype("<f4"),
            HOSTILE: np.full((40, 40), 0.25, "<f4"),
        }
        stored = {name: ("F32", x) for name, x in cls.arrays.items()}
        stored["model.layers.0.self_attn.q_proj.weight"] = ("F16", half)
        stored["model.layers.1.self_attn.q_proj.weight"] = ("BF16", upper.astype("<u2"))
        cls.path = os.path.join(cls.folder, "model.safetensors")
        write_safetensors(cls.path, stored)
        cls.server = Server(cls.path)
        cls.server.__enter__()
        cls.addClassCleanup(cls.server.__exit__, None, None, None)
        cls.scene = cls.server.scene()
        cls.names = cls.scene["tensors"]["name"]

    def places(self):
        p = self.scene["places"]
        for i in range(len(p["tensor"])):
            yield {k: v[i] for k, v in p.items()}

    def index(self, name):
        return self.names.index(name)


class Documents(Model):
    def test_view(self):
        view = self.server.document("view", "view.json")
        self.assertEqual(([{"title": self.path, "scene": "0/"}], None), (view["views"], view["start"]))

    def test_names_come_as_they_are(self):
        self.assertEqual(sorted(self.arrays), sorted(self.names))
        body = self.server.ask("0/scene.json")[2]
        self.assertNotIn(b"\x1b", body)

    def test_colours(self):
        c = self.server.document("colours", "colours.json")
        modes = {m["name"]: m for m in c["modes"]}
        for m in modes.values():
            self.assertEqual(768, len(base64.b64decode(m["dark"], validate=True)))
            self.assertNotEqual(m["dark"], m["light"])
        k = np.arange(1, 120)
        half = np.expm1(k / 120 * np.log(1001)) / 1000
        np.testing.assert_allclose(np.r_[-half[::-1], 0, half], modes["diverging"]["shares"], rtol=1e-14)
        np.testing.assert_allclose(np.arange(-119, 120) / 120, modes["linear"]["shares"], rtol=1e-14)
        np.testing.assert_allclose(10.0 ** ((np.arange(1, 240) / 240 - 1) * 4), modes["magnitude"]["shares"], rtol=1e-13)
        self.assertEqual([None] * 3, [modes[m]["shares"] for m in ("sign", "exponent", "bits")])
        self.assertEqual(["magnitude"], [m for m in modes if modes[m]["folded"]])
        self.assertEqual(list(range(240, 254)), sorted(c["special"].values()))
        self.assertEqual(["diverging", "linear", "magnitude", "sign", "exponent", "bits", "rank"],
                         [m for m in modes if "weights" in modes[m]["shows"]])
        self.assertEqual("weights", self.server.scene()["shows"])

    def test_a_shot_has_the_colours_of_the_document(self):
        c = self.server.document("colours", "colours.json")
        for mode in c["modes"]:
            for ground in ("dark", "light"):
                status, headers, body = self.server.ask(
                    f"0/shot.png?x=0&y=0&w=64&h=64&z=0&m={mode['name']}&ground={ground}")
                self.assertEqual((200, "image/png"), (status, headers["content-type"]))
                at = body.index(b"PLTE") + 4
                self.assertEqual(base64.b64decode(mode[ground]), body[at:at + 768])

    def test_shot_is_what_png_writes(self):
        self.server.wait()
        png, shot = os.path.join(self.folder, "m.png"), os.path.join(self.folder, "s.png")
        subprocess.run([SCRUPLE, "view", self.path, "--png", png, "--no-cache", "-q", "--plane", "abs", "--scale", "model",
                        "--mode", "magnitude"], check=True)
        want, s = read_png(png), self.scene
        z = next(z for z in range(-s["deepest"], 20) if -(-s["width"] // 2**z if z > 0 else s["width"] * 2**-z) <= 2048
                 and s["width"] * 2.0**-z <= 2048)
        status, _, body = self.server.ask(f"0/shot.png?x=0&y=0&w={s['width']}&h={s['height']}&z={z}&m=magnitude&p=abs&s=model")
        self.assertEqual(200, status, body)
        with open(shot, "wb") as f:
            f.write(body)
        np.testing.assert_array_equal(want, read_png(shot))

    def test_scales(self):
        self.server.wait()
        s = self.server.document("scales", "0/scales.json")
        self.assertTrue(s["final"])
        for i, name in enumerate(self.names):
            x = np.abs(self.arrays[name].astype(float))
            x = x[np.isfinite(x)]
            self.assertEqual(np.float32(x.max()), np.float32(s["abs"][i]), name)
            self.assertLessEqual(s["robust"][i], np.quantile(x, 0.999, method="higher") * 1.001, name)
            self.assertGreaterEqual(s["robust"][i], np.quantile(x, 0.999, method="lower") * 0.96, name)
        self.assertEqual(max(s["abs"]), s["model"]["abs"])
        roles = self.scene["tensors"]["role"]
        for r, name in enumerate(self.scene["roles"]):
            of = [s["abs"][i] for i in range(len(roles)) if roles[i] == r]
            self.assertEqual(max(of, default=0), s["roles"][name]["abs"], name)

    def test_values(self):
        raw = {"F32": ("<f4", 4), "F16": ("<f2", 2), "BF16": ("<u2", 2)}
        with open(self.path, "rb") as f:
            file = f.read()
        for name, x in self.arrays.items():
            x = x.reshape(-1, x.shape[-1])
            corners = {(0, 0), (x.shape[0] - 1, x.shape[1] - 1), (min(7, x.shape[0] - 1), 9), (0, 3)}
            for row, col in corners | ({(100, 256), (5, 5), (6, 6)} if x.shape[0] == 300 else set()):
                v = self.server.document("value", f"0/value?tensor={self.index(name)}&slice=0&row={row}&col={col}")
                got = float(v["value"].replace("Infinity", "inf")) if isinstance(v["value"], str) else v["value"]
                want = float(x[row, col])
                self.assertTrue(got == want or (np.isnan(got) and np.isnan(want)), (name, row, col, got, want))
                stored = bytes.fromhex(v["raw"])
                self.assertEqual(file[v["offset"]:v["offset"] + len(stored)], stored)
                dtype = self.scene["types"]["dtype"][self.scene["tensors"]["type"][self.index(name)]] \
                    if isinstance(self.scene["types"], dict) else self.scene["types"][self.scene["tensors"]["type"][self.index(name)]]["dtype"]
                self.assertEqual(raw[dtype][1], len(stored))
                self.assertEqual(os.path.basename(self.path), os.path.basename(v["file"]))

    def test_tensors(self):
        for name, x in self.arrays.items():
            t = self.server.document("tensor", f"0/tensor?i={self.index(name)}")
            self.assertEqual((name, list(x.shape), None), (t["name"], t["shape"], t["why"]))
            ok = x[np.isfinite(x)].astype(float)
            self.assertEqual([ok.min(), ok.max(), np.abs(ok).max()], [t["min"], t["max"], t["abs_max"]])
            self.assertEqual([(x == 0).sum(), (~np.isfinite(x)).sum()], [t["zeros"], t["nonfinite"]])
            np.testing.assert_allclose([ok.mean(), np.sqrt((ok * ok).mean())], [t["mean"], t["rms"]], rtol=1e-9, atol=1e-12)
            self.assertEqual(ok.size, sum(t["histogram"]))
            np.testing.assert_allclose(np.quantile(ok, np.arange(257) / 256, method="lower"), t["quantile"], rtol=2**-7, atol=1e-6)
            if x.shape == (512, 768):
                np.testing.assert_allclose(np.sqrt((x.astype(float)**2).mean(1)), t["rows"], rtol=1e-6)

    def test_searches(self):
        def found(q, **more):
            query = "&".join(f"{k}={v}" for k, v in {"q": q, **more}.items())
            s = self.server.document("search", "0/search?" + query)
            return s["total"], [self.names[i] for i in s["tensors"]]
        up = [f"model.layers.{i}.mlp.up_proj.weight" for i in (0, 1)]
        self.assertEqual((2, up), found("up_proj"))
        self.assertEqual((2, up), found("UP_PROJ"))
        self.assertEqual((1, [up[1]]), found("proj+1+up"))
        self.assertEqual((1, [up[1]]), found("layers.1.mlp.up_proj.weight"))
        self.assertEqual((1, [up[1]]), found("blk.1.up")[:0] or found("layers.1.mlp"))
        self.assertEqual((2, up), found("*.mlp.*"))
        self.assertEqual((2, [up[0]]), found("up_proj", limit=1))
        self.assertEqual((2, []), found("up_proj", limit=0))
        self.assertEqual((0, []), found("nothing+like+it"))
        self.assertEqual((1, [HOSTILE]), found("%3C%2Fscript%3E"))
        self.assertEqual(len(self.names), found("")[0])
        self.assertEqual("model.norm.weight", found("norm.weight")[1][0])
        for odd in ("%FF%FE", "%5B", "re:(((", "re:a%7B255%7D%7B255%7D%7B255%7D", "%F0%9F%98%80", "a" * 400):
            found(odd)

    def test_errors(self):
        for path in ("0/value?tensor=99&slice=0&row=0&col=0", "0/value?tensor=0&slice=0&row=9999999&col=0",
                     "0/value?tensor=0&slice=18446744073709551615&row=0&col=0",
                     "0/value?tensor=18446744073709551615&row=18446744073709551615&col=18446744073709551615",
                     "0/value?tensor=0&slice=0&row=0&col=-1", "0/value?tensor=0&row=0", "0/value?tensor=a&row=0&col=0",
                     "0/tensor?i=4294967295", "0/tensor?i=4294967296", "0/tensor?i=9223372036854775808", "0/tensor?i=",
                     "0/tensor", "0/search", "0/search?q=%00", "0/search?q=a&q=b", "0/t/60/0/0.mean", "0/t/-60/0/0.mean",
                     "0/shot.png?x=0&y=0&w=0&h=1&z=0", "0/shot.png?x=0&y=0&w=100000&h=100000&z=-4",
                     "0/shot.png?x=0&y=0&w=9223372036854775807&h=9223372036854775807&z=0",
                     "0/shot.png?x=-9223372036854775807&y=0&w=5&h=5&z=0", "0/shot.png?x=0&y=0&w=9&h=9&z=63",
                     "0/shot.png?x=0&y=0&w=9&h=9&z=-9223372036854775807", "0/t/0/0/0.mean?x=1", "view.json?a=b"):
            with self.subTest(path=path):
                self.server.document("error", path, 400)
        for path in ("1/scene.json", "0/nothing", "0", "0/", "nothing.mjs", "0/t/0/0/0.median", "0/t/0/9223372036854775808/0.mean",
                     "0/t/1e1/0/0.mean", "99999999999/scene.json", "index.html", "report.js"):
            with self.subTest(path=path):
                self.server.document("error", path, 404)

    def test_events_end_when_all_is_known(self):
        last = list(self.server.events())[-1]
        self.assertEqual(1, last["done"])

    def test_page_and_its_files(self):
        status, headers, body = self.server.ask("")
        page = body.decode()
        self.assertEqual((200, "text/html; charset=utf-8"), (status, headers["content-type"]))
        policy = headers["content-security-policy"]
        self.assertNotIn("unsafe", policy)
        for word in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
            self.assertIn(word, policy)
        inline = re.search(r'<script type="importmap">(.*?)</script>', page, re.S).group(1)
        import hashlib
        self.assertIn("'sha256-" + base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode() + "'", policy)
        self.assertEqual(1, len(re.findall(r"<script(?![^>]*src=)", page)))
        self.assertFalse(re.search(r"https?:|//", page))
        for name, where in json.loads(inline)["imports"].items():
            self.assertEqual("./" + name.split("/")[1], where)
            status, headers, body = self.server.ask(where[2:])
            self.assertEqual((200, "text/javascript; charset=utf-8"), (status, headers["content-type"]))
            with open(os.path.join(SOURCE, "src", "web", "assets", where[2:]), "rb") as f:
                self.assertEqual(f.read(), body)
        self.assertEqual("text/css; charset=utf-8", self.server.ask("viewer.css")[1]["content-type"])

    def test_every_answer_is_closed_to_others(self):
        for path in ("", "view.json", "0/scene.json", "0/t/0/0/0.mean", "main.mjs", "nothing", "0/tensor"):
            headers = self.server.ask(path)[1]
            self.assertEqual("nosniff", headers["x-content-type-options"], path)
            self.assertIn("default-src 'none'", headers["content-security-policy"])
            self.assertEqual("same-origin", headers["cross-origin-resource-policy"])
            self.assertFalse([h for h in headers if h.startswith("access-control")])

    def test_head_is_get_without_a_body(self):
        for path in ("", "view.json", "0/t/0/0/0.mean", "nothing"):
            a, b = self.server.ask(path), self.server.ask(path, method="HEAD")
            self.assertEqual((a[0], b""), (b[0], b[2]))
            self.assertEqual(a[1]["content-length"], b[1]["content-length"])


class Tiles(Model):
    def expected(self, z, tx, ty, plane):
        """The tile's pixels as doubles; NaN: no tensor. And their bits, where every one is an element."""
        value = np.full((256, 256), np.nan)
        exact = np.full((256, 256), OUTSIDE, np.uint32)
        for p in self.places():
            x = self.arrays[self.names[p["tensor"]]].reshape(p["rows"], p["cols"])
            ky, kx = z + p["dy"], z + p["dx"]
            up = [2**max(-k, 0) for k in (ky, kx)]
            image = np.repeat(np.repeat(pooled(x, 2**max(ky, 0), 2**max(kx, 0), plane), up[0], 0), up[1], 1)
            image_bits = np.repeat(np.repeat(bits(x), up[0], 0), up[1], 1) if ky <= 0 and kx <= 0 else None
            left, top = p["x"] * 2.0**-z - tx * 256, p["y"] * 2.0**-z - ty * 256
            if left != int(left) or top != int(top):
                return None, None
            for j in range(max(0, int(-top)), min(image.shape[0], 256 - int(top))):
                a, b = max(0, int(-left)), min(image.shape[1], 256 - int(left))
                if a < b:
                    value[j + int(top), a + int(left):b + int(left)] = image[j, a:b]
                    exact[j + int(top), a + int(left):b + int(left)] = \
                        image_bits[j, a:b] if image_bits is not None else 0
        return value, exact

    def each_tile(self, z):
        size = 256 * 2.0**z
        for ty in range(int(self.scene["height"] // size) + 1):
            for tx in range(int(self.scene["width"] // size) + 1):
                yield tx, ty

    def test_elements_are_pixels(self):
        z, seen = -self.scene["deepest"], 0
        for tx, ty in self.each_tile(z):
            _, want = self.expected(z, tx, ty, "mean")
            self.assertIsNotNone(want)
            for plane in ("mean", "abs"):
                got, flags, _ = self.server.tile(z, tx, ty, plane)
                self.assertTrue(flags & EXACT)
                np.testing.assert_array_equal(want, got, f"{tx} {ty} {plane}")
            seen += (want != OUTSIDE).sum()
        self.assertGreaterEqual(seen, sum(x.size for x in self.arrays.values()))

    def test_pixels_pool_elements(self):
        self.server.wait()
        checked = 0
        for z in range(-self.scene["deepest"] + 1, 3):
            for plane in POOLS:
                for tx, ty in self.each_tile(z):
                    want, _ = self.expected(z, tx, ty, plane)
                    if want is None:
                        continue
                    got, flags, _ = self.server.tile(z, tx, ty, plane)
                    self.assertTrue(flags & EXACT)
                    there = np.isfinite(want)
                    np.testing.assert_allclose(got.view(np.float32)[there], want[there], rtol=2**-7, atol=1e-6)
                    self.assertFalse((got[there] == OUTSIDE).any())
                    checked += there.sum()
        self.assertGreater(checked, 10000)

    def test_beside_the_picture_is_nothing(self):
        for x, y in ((-1, 0), (0, -1), (10**6, 0), (0, 10**9), (-2**62, 2**62), (2**63 - 1, -2**63 + 1)):
            pixels, flags, _ = self.server.tile(0, x, y)
            self.assertEqual(EMPTY | EXACT, flags & (EMPTY | EXACT))
            self.assertTrue((pixels == OUTSIDE).all())

    def test_the_same_again(self):
        paths = [f"0/t/{z}/0/0.{plane}" for z in (-1, 0, 2) for plane in POOLS]
        self.server.wait()
        first = [self.server.ask(p)[2] for p in paths]
        self.assertEqual(first, [self.server.ask(p)[2] for p in paths])

    def test_many_at_once(self):
        z = -self.scene["deepest"]
        paths = [f"0/t/{z}/{x}/{y}.mean" for x, y in self.each_tile(z)] * 3
        want = {p: self.server.ask(p)[2][16:] for p in set(paths)}
        wrong = []

        def work(part):
            c = self.server.http()
            for p in part:
                c.request("GET", self.server.base + p, headers={"Host": self.server.name})
                if c.getresponse().read()[16:] != want[p]:
                    wrong.append(p)
            c.close()
        threads = [threading.Thread(target=work, args=(paths[k::8],)) for k in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([], wrong)


class Attacks(Model):
    def raw(self, request, more=b""):
        """Status and all bytes until the server closes; None: no answer."""
        s, _ = self.server.connect()
        with s:
            try:
                s.sendall(request + more)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            got = b""
            try:
                while True:
                    part = s.recv(65536)
                    if not part:
                        break
                    got += part
            except OSError:
                pass
        match = re.match(rb"HTTP/1\.[01] (\d+) ", got)
        return (int(match.group(1)) if match else None), got

    def get(self, target, *headers, host=None):
        lines = [b"GET " + target + b" HTTP/1.1", b"Host: " + (self.server.name.encode() if host is None else host),
                 *headers, b"Connection: close", b"", b""]
        return self.raw(b"\r\n".join(lines))

    def still_there(self):
        self.assertEqual(200, self.server.ask("view.json")[0])

    def test_paths(self):
        base = self.server.base.encode()
        for path in (b"../../etc/passwd", b"..%2f..%2fetc/passwd", b"%2e%2e/%2e%2e/etc/passwd", b"..\\..\\etc\\passwd", b"....//",
                     b"%c0%ae%c0%ae/", b".git/config", b"%00", b"main.mjs%00.png", b"main.mjs/", b"./main.mjs", b"0/../view.json",
                     b"0/t/0/0/%2e%2e.mean", b"\xff\xfe", b"//etc/passwd", b"/etc/passwd", b"0/t/-9223372036854775808/0/0.mean",
                     b"file:///etc/passwd", b"%76iew.json", b"view.json%20", b"a" * 3000):
            with self.subTest(path=path):
                status, got = self.get(base + path)
                self.assertIn(status, (400, 404))
                self.assertNotIn(b"root:", got)
        for target in (b"/", b"/etc/passwd", b"*", base[:-1], b"/" + b"0" * 32 + b"/", base[:-2] + b"x/", base.upper(),
                       b"http://" + self.server.name.encode() + base, b"//" + base, b"/x" + base, b"/../.." + base):
            with self.subTest(target=target):
                self.assertIn(self.get(target)[0], (400, 404))
        self.still_there()

    def test_hosts(self):
        port = self.server.port
        base = self.server.base.encode()
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"127.0.0.1.nip.io:{port}",
                     f"127.0.0.2:{port}", f"0.0.0.0:{port}", f"127.0.0.1:{port}.evil.example", f"localhost.:{port}", "", f"127.1:{port}",
                     f"user@127.0.0.1:{port}", f"127.0.0.1:{port}, evil.example", f"[::ffff:127.0.0.1]:{port}"):
            with self.subTest(host=host):
                self.assertEqual(403, self.get(base + b"view.json", host=host.encode())[0])
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
            self.assertEqual(200, self.get(base + b"view.json", host=host.encode())[0])
        name = self.server.name.encode()
        twice = self.raw(b"GET " + base + b"view.json HTTP/1.1\r\nHost: " + name + b"\r\nHost: evil.example\r\n\r\n")
        self.assertIn(twice[0], (400, 403))
        self.assertIn(self.raw(b"GET " + base + b"view.json HTTP/1.1\r\n\r\n")[0], (400, 403))
        self.assertIn(self.raw(b"GET " + base + b"view.json HTTP/1.0\r\n\r\n")[0], (400, 403))

    def test_origins(self):
        def status(path, **headers):
            return self.server.ask(path, {k.replace("_", "-"): v for k, v in headers.items()})[0]
        self.assertEqual(403, status("view.json", Origin="http://evil.example"))
        self.assertEqual(403, status("view.json", Origin="null"))
        self.assertEqual(403, status("view.json", Origin=f"https://{self.server.name}"))
        self.assertEqual(403, status("view.json", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="script"))
        self.assertEqual(403, status("", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe"))
        self.assertEqual(403, status("view.json", Sec_Fetch_Site="same-site"))
        self.assertEqual(200, status("view.json", Origin=f"http://{self.server.name}", Sec_Fetch_Site="same-origin"))
        self.assertEqual(200, status("", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document"))

    def test_methods(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "get", "X" * 100):
            with self.subTest(method=method):
                request = f"{method} {self.server.base} HTTP/1.1\r\nHost: {self.server.name}\r\nConnection: close\r\n\r\n"
                status, got = self.raw(request.encode())
                self.assertIn(status, (400, 405))
                self.assertNotIn(b"importmap", got)
        status, headers, _ = self.server.ask("", method="DELETE")
        self.assertEqual((405, "GET, HEAD"), (status, headers["allow"]))
        name, base = self.server.name.encode(), self.server.base.encode()
        body = self.raw(b"POST " + base + b" HTTP/1.1\r\nHost: " + name + b"\r\nContent-Length: 100000000\r\n\r\n", b"x" * 100000)
        self.assertIn(body[0], (405, None))
        body = self.raw(b"GET " + base + b" HTTP/1.1\r\nHost: " + name + b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        self.assertEqual(400, body[0])
        self.still_there()

    def test_heads_of_any_size(self):
        base = self.server.base.encode()
        self.assertIn(self.get(base + b"0/search?q=" + b"a" * 5000)[0], (400, 404))
        self.assertIn(self.get(base + b"a" * 100000)[0], (400, 404, 413, 414, 431, None))
        self.assertIn(self.get(base, b"X: " + b"a" * 100000)[0], (400, 413, 431, None))
        self.assertIn(self.get(base, *[b"X%d: y" % i for i in range(20000)])[0], (400, 413, 431, None))
        for junk in (b"\0" * 1000, b"\r\n" * 1000, b"GET", b"GET \r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", os.urandom(4000),
                     b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"GET " + base + b" HTTP/1.1\r\n Host: x\r\n\r\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b": \r\n\r\n"):
            status, got = self.raw(junk)
            self.assertNotIn(b"importmap", got)
            self.assertNotEqual(200, status)
        self.still_there()

    def test_requests_behind_each_other(self):
        line = f"GET {self.server.base}view.json HTTP/1.1\r\nHost: {self.server.name}\r\n"
        _, got = self.raw((line + "\r\n").encode() * 5 + (line + "Connection: close\r\n\r\n").encode())
        self.assertEqual(6, got.count(b"scruple.view/1"))

    def test_floods(self):
        """Many that say nothing, and many that never finish, hold up nobody."""
        slow = []
        try:
            for i in range(200):
                s, name = self.server.connect()
                slow.append(s)
                if i % 2:
                    s.sendall(b"GET " + self.server.base.encode() + b" HTTP/1.1\r\nHost: " + name + b"\r\nX-A: ")
            for _ in range(20):
                self.still_there()
        finally:
            for s in slow:
                s.close()
        self.still_there()

    def test_who_sends_too_slowly_is_hung_up_on(self):
        s, name = self.server.connect()
        with s:
            s.settimeout(1)
            s.sendall(b"GET " + self.server.base.encode() + b" HTTP/1.1\r\nHost: " + name + b"\r\n")
            ended = False
            for _ in range(120):  # a byte a second keeps no connection open
                try:
                    s.sendall(b"X")
                    ended = s.recv(1000) == b"" or ended
                except TimeoutError:
                    continue
                except OSError:
                    ended = True
                if ended:
                    break
            self.assertTrue(ended)
        self.still_there()

    def test_who_reads_nothing_holds_up_nobody(self):
        slow = []
        for _ in range(10):
            s, name = self.server.connect()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall((b"GET " + self.server.base.encode() + b"0/t/-1/0/0.mean HTTP/1.1\r\nHost: " + name + b"\r\n\r\n") * 20)
            slow.append(s)
        for _ in range(20):
            self.still_there()
        for s in slow:
            s.close()

    def test_streams_have_a_limit(self):
        open_ones = []
        statuses = []
        for _ in range(20):
            c = self.server.http()
            c.request("GET", self.server.base + "0/events", headers={"Host": self.server.name})
            r = c.getresponse()
            statuses.append(r.status)
            open_ones.append(c)
        self.assertEqual({200, 429}, set(statuses))
        self.still_there()
        for c in open_ones:
            c.close()


class Program(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="scruple-web-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.model = os.path.join(self.folder, "a.safetensors")
        write_safetensors(self.model, {"w.weight": ("F32", np.ones((300, 300), "<f4"))})

    def fails(self, *words, code):
        done = subprocess.run([SCRUPLE, "view", *words, "--no-open", "--no-cache"], capture_output=True, timeout=60, check=False)
        self.assertEqual((code, b""), (done.returncode, done.stdout), done.stderr)
        return done.stderr.decode()

    def test_ctrl_c_with_open_requests(self):
        for how in (signal.SIGINT, signal.SIGTERM):
            with Server(self.model) as s:
                a, name = s.connect()  # nothing said
                b, _ = s.connect()     # half a request
                b.sendall(b"GET " + s.base.encode() + b" HTTP/1.1\r\n")
                c = s.http()           # a stream
                c.request("GET", s.base + "0/events", headers={"Host": s.name})
                c.getresponse()
                d, _ = s.connect()     # answers that nobody reads
                d.sendall((b"GET " + s.base.encode() + b"0/t/0/0/0.mean HTTP/1.1\r\nHost: " + name + b"\r\n\r\n") * 50)
                self.assertEqual(0, s.stop(how), s.said())
                for x in (a, b, c, d):
                    x.close()

    def test_tokens_differ(self):
        seen = set()
        for _ in range(3):
            with Server(self.model) as s:
                seen.add(s.base)
        self.assertEqual(3, len(seen))

    def test_port_in_use(self):
        with Server(self.model) as s:
            said = self.fails(self.model, "--port", str(s.port), code=3)
            self.assertIn(str(s.port), said)
            self.assertEqual(200, s.ask("view.json")[0])
        with Server(self.model, "--port", str(s.port)) as again:  # free again at once
            self.assertEqual(s.port, again.port)
        self.assertIn("65536", self.fails(self.model, "--port", "65536", code=2))

    def test_the_browser_is_told_where_there_is_a_screen(self):
        tools, told = os.path.join(self.folder, "bin"), os.path.join(self.folder, "told")
        os.mkdir(tools)
        with open(os.path.join(tools, "xdg-open"), "w", encoding="ascii") as f:
            f.write(f"#!/bin/sh\necho \"$#:$1\" > {told}.part\nmv {told}.part {told}\n")
        os.chmod(os.path.join(tools, "xdg-open"), 0o755)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SSH_", "WAYLAND_", "DISPLAY"))}
        clean["PATH"] = tools + ":" + clean.get("PATH", "")

        def opened(words, **more):
            process = subprocess.Popen([SCRUPLE, "view", self.model, "--no-cache", *words], env={**clean, **more},
                                       stdout=subprocess.PIPE, preexec_fn=free_signals)
            url = process.stdout.readline().decode().strip()
            # The order of things: whoever answers has started the browser, or never will.
            host, _, path = url[len("http://"):].partition("/")
            c = http.client.HTTPConnection(host, timeout=30)
            c.request("GET", "/" + path)
            self.assertEqual(200, c.getresponse().status)
            c.close()
            for _ in range(200 if "DISPLAY" in more and not words and len(more) == 1 else 5):
                if os.path.exists(told):
                    break
                threading.Event().wait(0.05)
            process.send_signal(signal.SIGINT)
            self.assertEqual(0, process.wait(60))
            process.stdout.close()
            if not os.path.exists(told):
                return None
            with open(told, encoding="ascii") as f:
                said = f.read().strip()
            os.remove(told)
            return said == "1:" + url
        self.assertTrue(opened([], DISPLAY=":9"))
        self.assertIsNone(opened([]))
        self.assertIsNone(opened(["--no-open"], DISPLAY=":9"))
        self.assertIsNone(opened([], DISPLAY=":9", SSH_CONNECTION="10.0.0.1 1 10.0.0.2 22"))

    def test_other_addresses(self):
        with Server(self.model, "--bind", "127.0.0.2") as s:
            self.assertEqual("127.0.0.2", s.host)
            self.assertEqual(200, s.ask("view.json")[0])
            self.assertEqual(403, s.ask("view.json", {"Host": f"127.0.0.3:{s.port}"})[0])
            self.assertEqual("", s.said())
        with Server(self.model, "--bind", "0.0.0.0") as s:
            self.assertIn("warning", s.said())
            self.assertEqual(200, s.ask("view.json")[0])
            self.assertEqual(200, s.ask("view.json", {"Host": f"10.1.2.3:{s.port}"})[0])
            self.assertEqual(403, s.ask("view.json", {"Host": f"evil.example:{s.port}"})[0])
        self.fails(self.model, "--bind", "no.such.host.invalid", code=3)
        self.fails(self.model, "--bind", "192.0.2.1", code=3)

    def test_two_models(self):
        b = os.path.join(self.folder, "b.safetensors")
        write_safetensors(b, {"w.weight": ("F32", np.full((300, 300), 2, "<f4"))})
        with Server(self.model, b) as s:
            view = s.document("view", "view.json")
            self.assertEqual([(self.model, "0/"), (b, "1/")], [(v["title"], v["scene"]) for v in view["views"]])
            self.assertEqual(1, s.tile(0, 0, 0, view=0)[0].view(np.float32)[0, 0])
            self.assertEqual(2, s.tile(0, 0, 0, view=1)[0].view(np.float32)[0, 0])
            self.assertEqual(404, s.ask("2/scene.json")[0])
        self.fails(self.model, b, "--model", b, code=2)

    def test_what_cannot_be_drawn(self):
        self.fails(os.path.join(self.folder, "none.safetensors"), code=4)
        self.fails(self.model, "nothing", code=1)
        self.fails(code=2)

    def test_what_is_cut_off_is_missing(self):
        """A file that shrinks while it is looked at."""
        x = np.arange(1000 * 1000, dtype="<f4").reshape(1000, 1000)
        write_safetensors(self.model, {"w.weight": ("F32", x)})
        with Server(self.model) as s:
            s.wait()
            self.assertEqual(EXACT, s.tile(0, 3, 3)[1])
            os.truncate(self.model, 1 << 20)
            pixels, flags, _ = s.tile(0, 0, 2)
            self.assertTrue(flags & MISSING)
            self.assertIn(UNKNOWN, pixels)
            self.assertTrue(s.document("tensor", "0/tensor?i=0")["why"])
            self.assertEqual(500, s.ask("0/value?tensor=0&row=999&col=0")[0])
            self.assertEqual(200, s.ask("view.json")[0])

    def test_the_page_runs_in_a_browser(self):
        from browser import CHROMIUM, Browser
        if not CHROMIUM:
            self.skipTest("no Chromium")
        model = os.path.join(self.folder, "x.safetensors")
        write_safetensors(model, {HOSTILE: ("F32", np.ones((64, 64), "<f4"))})
        with Server(model) as s, Browser() as page:
            page.open(s.url)
            self.assertEqual("complete", page.run("document.readyState"))
            self.assertEqual(0, page.run("document.querySelectorAll('img[src=x]').length"))
            self.assertEqual([], page.complaints)


class Hub(unittest.TestCase):
    """A model that is elsewhere, 20 ms away."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="scruple-web-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.x = np.random.default_rng(1).standard_normal((600, 900)).astype("<f4")
        path = os.path.join(self.folder, "m.safetensors")
        write_safetensors(path, {"model.layers.0.mlp.up_proj.weight": ("F32", self.x)})
        with open(path, "rb") as f:
            self.file = f.read()

    def hub(self, **more):
        return MockHub(config={"latency_ms": 20, "repos": {"org/m": {"files": {
            "config.json": {"json": {"model_type": "llama"}}, "model.safetensors": {"data": self.file}}}}, **more})

    def env(self, hub):
        env = hub.env(self.folder)
        env.pop("HF_HUB_OFFLINE", None)
        return env

    def test_tiles_arrive(self):
        with self.hub() as hub, Server("org/m", "--fetch", "0", env=self.env(hub)) as s:
            scene = s.scene()
            z, place = -scene["deepest"], {k: v[0] for k, v in scene["places"].items()}
            got = np.full((600, 900), WAITING, np.uint32)
            left, top = int(place["x"] * 2**-z), int(place["y"] * 2**-z)
            self.assertEqual(0, z + place["dx"])
            for ty in range(3):
                for tx in range(4):
                    for _ in range(400):
                        pixels, flags, _ = s.tile(z, tx, ty)
                        self.assertEqual(bool(flags & ON_ITS_WAY), bool((pixels == WAITING).any()))
                        if not flags & ON_ITS_WAY:
                            break
                    self.assertTrue(flags & EXACT)
                    for j in range(256):
                        y, x = ty * 256 + j - top, tx * 256 - left
                        if 0 <= y < 600 and x < 900:
                            n = min(256, 900 - max(x, 0))
                            a = max(0, -x)
                            got[y, x + a:x + a + n - a] = pixels[j, a:n]
            np.testing.assert_array_equal(bits(self.x), got)
            v = s.document("value", "0/value?tensor=0&slice=0&row=599&col=899")
            self.assertEqual(float(self.x[599, 899]), v["value"])

    def test_statistics_of_what_is_far(self):
        """They are built of what comes, each byte comes once, and the next viewer finds them."""
        cache = os.path.join(self.folder, "own")
        for run in range(2):
            with self.hub() as hub, Server("org/m", env={**self.env(hub), "SCRUPLE_CACHE": cache}, cache=True) as s:
                scene = s.scene()
                s.wait()
                place = {k: v[0] for k, v in scene["places"].items()}
                z = 5 - place["dx"]
                for plane in ("mean", "abs"):
                    pixels, flags, _ = s.tile(z, 0, 0, plane)
                    self.assertTrue(flags & EXACT)
                    self.assertFalse(flags & (SAMPLED | MISSING | ON_ITS_WAY))
                    got = pixels[int(place["y"]) >> z:, int(place["x"]) >> z:][:19, :29].view("<f4")
                    np.testing.assert_allclose(pooled(self.x, 32, 32, plane), got, rtol=2**-7, atol=1e-6)
                if run == 0:
                    self.assertLess(hub.sent("cdn"), len(self.file) * 1.05)
                else:
                    self.assertLess(hub.sent("cdn"), len(self.file) * 0.1)

    def test_a_stalled_shard_holds_up_no_other(self):
        names = [f"model-0000{k}-of-00002.safetensors" for k in (1, 2)]
        tensors = [f"model.layers.{k}.mlp.up_proj.weight" for k in (0, 1)]
        files = {"config.json": {"json": {"model_type": "llama"}},
                 "model.safetensors.index.json": {"json": {"metadata": {}, "weight_map": dict(zip(tensors, names))}}}
        for name, tensor in zip(names, tensors):
            write_safetensors(os.path.join(self.folder, name), {tensor: ("F32", self.x)})
            with open(os.path.join(self.folder, name), "rb") as f:
                files[name] = {"data": f.read()}
        with MockHub(config={"latency_ms": 20, "repos": {"org/m": {"files": files}}}) as hub:
            # The headers come, and then nothing more of the first file.
            hub.fault("stall", match=names[0], where="cdn", after=1)
            with Server("org/m", env=self.env(hub)) as s:
                scene = s.scene()
                z = -scene["deepest"]
                place = {k: v[1] for k, v in scene["places"].items()}
                left, top = int(place["x"] * 2**-z), int(place["y"] * 2**-z)
                for row, col in ((0, 0), (300, 500), (599, 899)):
                    x, y = left + col, top + row
                    for _ in range(400):
                        pixels, flags, _ = s.tile(z, x // 256, y // 256)
                        if not flags & ON_ITS_WAY or pixels[y % 256, x % 256] != WAITING:
                            break
                    self.assertEqual(bits(self.x[row, col]), pixels[y % 256, x % 256])
                first = {k: v[0] for k, v in scene["places"].items()}
                x, y = (int(first[k] * 2**-z) for k in "xy")
                pixels, flags, _ = s.tile(z, x // 256, y // 256)
                self.assertTrue(flags & ON_ITS_WAY)
                self.assertEqual(0, s.stop(), s.said())

    def test_a_hub_that_never_answers_holds_up_nobody(self):
        with self.hub() as hub, Server("org/m", "--fetch", "0", env=self.env(hub)) as s:
            scene = s.scene()
            hub.fault("stall", match="model.safetensors")
            hung = threading.Thread(target=lambda: self.swallow(s), daemon=True)
            hung.start()
            for _ in range(10):
                pixels, flags, _ = s.tile(-scene["deepest"], 0, 0)
                self.assertEqual(200, s.ask("view.json")[0])
            self.assertEqual(0, s.stop(), s.said())
            hung.join(30)

    @staticmethod
    def swallow(s):
        try:
            s.ask("0/value?tensor=0&slice=0&row=500&col=800")
        except (OSError, http.client.HTTPException):
            pass


if __name__ == "__main__":
    unittest.main()
