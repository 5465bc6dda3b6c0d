# SPDX-License-Identifier: Apache-2.0
"""Edited checkpoints against numpy: the named elements hold what their type can hold of what was asked, every other byte
is the original's, and undoing gives the original back. What fails leaves nothing."""
import hashlib
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

SCRUPLE = os.environ["SCRUPLE"]
FIXTURES = os.environ["FIXTURES"]


def call(*args, limit=None):
    def fewer():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    r = subprocess.run([SCRUPLE, "edit", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       preexec_fn=fewer if limit else None)
    return r.returncode, r.stdout.decode(), r.stderr.decode()


def tree(path):
    r = subprocess.run([SCRUPLE, "tree", path, "--json", "-q"], stdout=subprocess.PIPE, check=True)
    return {t["name"]: t for t in json.loads(r.stdout)["tensors"]}


def read(path):
    with open(path, "rb") as f:
        return f.read()


def safetensors(path, tensors):
    """{name: (dtype, shape, bytes)}"""
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def small_floats(exponent, mantissa, bias, specials):
    """All values of a float of 8 bits by its definition; None: no number."""
    out = []
    for code in range(256):
        e, m = code >> mantissa & ((1 << exponent) - 1), code & ((1 << mantissa) - 1)
        v = (m / 2 ** mantissa) * 2.0 ** (1 - bias) if e == 0 else (1 + m / 2 ** mantissa) * 2.0 ** (e - bias)
        out.append(None if specials(e, m, code) else -v if code >> 7 else v)
    return out


E4M3 = small_floats(4, 3, 7, lambda e, m, c: e == 15 and m == 7)
E5M2 = small_floats(5, 2, 15, lambda e, m, c: e == 31)


def nearest(table, x):
    """The nearest of a table of codes, of two the one whose code is even."""
    x = max(min(x, max(v for v in table if v is not None)), min(v for v in table if v is not None))
    return min((c for c in range(len(table)) if table[c] is not None),
               key=lambda c: (abs(table[c] - x), c & 1, c >> 7 != (x < 0)))


def bf16(x):
    """Rounded to nearest even from the double itself."""
    down = np.float64(x).astype(np.float32).view(np.uint32) & 0xffff0000
    lo = np.uint32(down).view(np.float32)
    if abs(float(lo)) > abs(x):
        lo = np.uint32(down - 0x10000).view(np.float32)
    hi = np.uint32(lo.view(np.uint32) + 0x10000).view(np.float32)
    a, b = abs(x - float(lo)), abs(float(hi) - x)
    pick = lo if a < b or (a == b and not int(lo.view(np.uint32)) >> 16 & 1) else hi
    return int(pick.view(np.uint32)) >> 16


class Edit(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()

    def tearDown(self):
        shutil.rmtree(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def edit(self, source, *wishes, out="out"):
        code, text, errors = call(source, *wishes, "-q", "--json", "-o", self.path(out))
        self.assertEqual(code, 0, errors)
        return json.loads(text)

    def refused(self, *args, says, status=2, **more):
        before = sorted(os.listdir(self.dir))
        code, text, errors = call(*args, "-q", **more)
        self.assertEqual(code, status, errors)
        self.assertIn(says, errors)
        self.assertEqual(text, "")
        self.assertEqual(sorted(os.listdir(self.dir)), before)

    def undo(self, source, out="back"):
        code, _, errors = call(source, "--undo", "-q", "-o", self.path(out))
        self.assertEqual(code, 0, errors)
        return self.path(out)

    def test_types(self):
        """Every plain type holds the nearest value of what was asked."""
        rng = np.random.default_rng(1)
        v = rng.normal(size=(4, 6))
        codes = rng.integers(0, 100, size=(4, 6)).astype(np.uint8)
        half = v.astype(np.float16)
        tensors = {
            "f64": ("F64", v.shape, v.tobytes()), "f32": ("F32", v.shape, v.astype(np.float32).tobytes()),
            "f16": ("F16", v.shape, half.tobytes()),
            "bf16": ("BF16", v.shape, (v.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()),
            "e4m3": ("F8_E4M3", v.shape, codes.tobytes()), "e5m2": ("F8_E5M2", v.shape, codes.tobytes()),
            "i8": ("I8", v.shape, codes.astype(np.int8).tobytes()), "u8": ("U8", v.shape, codes.tobytes()),
            "i32": ("I32", v.shape, codes.astype(np.int32).tobytes()),
            "i64": ("I64", v.shape, codes.astype(np.int64).tobytes()), "bool": ("BOOL", v.shape, (codes % 2).tobytes()),
        }
        path = self.path("m.safetensors")
        safetensors(path, tensors)
        where = tree(path)
        # just beside the middle between two of F16 and BF16, where rounding twice goes wrong
        xs = [0.1, -3.7, 1 + 2.0 ** -11 + 2.0 ** -40, -(1 + 2.0 ** -8 + 2.0 ** -50), 1e-8, 2.5, 300.0, -1e6, 1e300]
        want = {"f64": lambda x: struct.pack("<d", x),
                "f32": lambda x: np.clip(x, -3.4028234663852886e38, 3.4028234663852886e38).astype(np.float32).tobytes(),
                "f16": lambda x: np.clip(x, -65504, 65504).astype(np.float16).tobytes(),
                "bf16": lambda x: struct.pack("<H", bf16(min(max(x, -3.3895313892515355e38), 3.3895313892515355e38))),
                "e4m3": lambda x: bytes([nearest(E4M3, x)]), "e5m2": lambda x: bytes([nearest(E5M2, x)]),
                "i8": lambda x: struct.pack("<b", int(np.rint(np.clip(x, -128, 127)))),
                "u8": lambda x: struct.pack("<B", int(np.rint(np.clip(x, 0, 255)))),
                "i32": lambda x: struct.pack("<i", int(np.rint(np.clip(x, -2 ** 31, 2 ** 31 - 1)))),
                "i64": lambda x: struct.pack("<q", min(int(np.rint(np.clip(x, -2.0 ** 63, 2.0 ** 63))), 2 ** 63 - 1024)),
                "bool": lambda x: bytes([int(np.rint(np.clip(x, 0, 1)))])}
        for k, x in enumerate(xs):
            self.edit(path, *[f"--set={name}[2,3]={x!r}" for name in tensors], out=f"{k}.safetensors")
            was, now = read(path), read(self.path(f"{k}.safetensors"))
            expected = bytearray(was)
            for name in tensors:
                raw = want[name](np.float64(x))
                at = where[name]["offset"] + 15 * len(raw)
                self.assertEqual(now[at:at + len(raw)].hex(), raw.hex(), (name, x))
                expected[at:at + len(raw)] = raw
            self.assertEqual(now, bytes(expected))
            self.assertEqual(read(self.undo(self.path(f"{k}.safetensors"), f"b{k}")), was)
            self.assertFalse(os.path.exists(self.path(f"b{k}.edits.json")))

    def test_operations(self):
        v = np.random.default_rng(2).normal(size=(5, 3, 4)).astype(np.float32)
        path = self.path("m.safetensors")
        safetensors(path, {"a.weight": ("F32", v.shape, v.tobytes()), "b": ("F32", (3,), np.ones(3, "<f4").tobytes())})
        d = self.edit(path, "--zero", "a[1, 0-2, *]", "--scale", "a[4,2,3]=-0.3", "--mean", "a[0,5]", "--set", "b=7",
                      out="o")
        got = read(self.path("o"))
        at = tree(path)
        want = v.copy()
        want[1] = 0
        want[4, 2, 3] = np.float32(np.float64(v[4, 2, 3]) * -0.3)
        want[0, 1, 1] = np.float32(v.astype(np.float64).sum() / v.size)
        n = at["a.weight"]["offset"]
        self.assertEqual(got[n:n + v.nbytes], want.tobytes())
        n = at["b"]["offset"]
        self.assertEqual(got[n:n + 12], np.full(3, 7, "<f4").tobytes())
        rows = {e["place"]: e for e in d["edits"]}
        self.assertEqual(rows["a.weight[1,0-2,0-3]"]["elements"], 12)
        self.assertEqual(rows["a.weight[0,5]"]["was"], float(v[0, 1, 1]))
        self.assertEqual(rows["a.weight[4,2,3]"]["asked"], float(v[4, 2, 3]) * -0.3)
        self.assertEqual(rows["a.weight[4,2,3]"]["held"], float(want[4, 2, 3]))
        self.assertEqual(d["output"]["bytes"], len(got))

    def test_list_of_super(self):
        v = np.arange(12, dtype="<f4").reshape(3, 4) + 1
        path, found = self.path("m.safetensors"), self.path("found.json")
        safetensors(path, {"w": ("F32", v.shape, v.tobytes())})
        with open(found, "w") as f:
            json.dump({"weights": [{"tensor": "w", "stored_row": 1, "stored_column": 2},
                                   {"tensor": "w", "stored_row": 2, "stored_column": 0}]}, f)
        self.edit(path, "--zero", "@" + found, out="o")
        v[1, 2] = v[2, 0] = 0
        self.assertEqual(read(self.path("o"))[-48:], v.tobytes())
        self.refused(path, "--zero", "@" + path, "-o", self.path("x"), says="no list \"weights\"")
        with open(found, "rb") as f:
            subprocess.run(["sh", "-c", 'cat | "$0" edit "$1" --zero @- -o "$2"', SCRUPLE, path, self.path("piped")],
                           stdin=f, stdout=subprocess.DEVNULL, check=True)
        self.assertEqual(read(self.path("piped"))[-48:], v.tobytes())

    def test_folders(self):
        """Sharded: only the shard with the element differs; configuration comes along; and back."""
        source = os.path.join(FIXTURES, "llama-sharded")
        names = sorted(tree(source))
        shards = [f for f in os.listdir(source) if f.endswith(".safetensors")]
        self.assertGreater(len(shards), 1)
        self.edit(source, "--zero", names[0], "--scale", names[-1] + "=2")
        differ = [f for f in shards if read(os.path.join(source, f)) != read(os.path.join(self.path("out"), f))]
        self.assertTrue(0 < len(differ) <= 2)
        record = json.loads(read(os.path.join(self.path("out"), "scruple-edits.json")))
        self.assertEqual(sorted(f["path"] for f in record["files"]), sorted(differ))
        for f in record["files"]:
            self.assertEqual(f["sha256"], hashlib.sha256(read(os.path.join(source, f["path"]))).hexdigest())
        for f in ("config.json", "model.safetensors.index.json"):
            self.assertEqual(read(os.path.join(source, f)), read(os.path.join(self.path("out"), f)))
        back = self.undo(self.path("out"))
        for f in os.listdir(back):
            self.assertEqual(read(os.path.join(source, f)), read(os.path.join(back, f)), f)
        self.assertFalse(os.path.exists(os.path.join(back, "scruple-edits.json")))

    def test_edit_of_an_edit(self):
        source = os.path.join(FIXTURES, "llama-tiny")
        name = sorted(tree(source))[0]
        self.edit(source, f"--set={name}[0,0]=1", out="a")
        self.edit(self.path("a"), f"--set={name}[0,1]=2", out="b")
        self.edit(self.path("b"), f"--set={name}[0,0]=3", out="c")
        self.undo(self.path("c"), "d")
        for one, other in (("b", "d"),):
            for f in os.listdir(self.path(one)):
                self.assertEqual(read(os.path.join(self.path(one), f)), read(os.path.join(self.path(other), f)), f)
        self.undo(self.path("d"), "e")
        for f in os.listdir(self.path("a")):
            self.assertEqual(read(os.path.join(self.path("a"), f)), read(os.path.join(self.path("e"), f)), f)

    def gguf(self, types=("gguf-all-types", "gguf-be")):
        for fixture in types:
            folder = os.path.join(FIXTURES, fixture)
            file = [f for f in os.listdir(folder) if f.endswith(".gguf")][0] if os.path.isdir(folder) else ""
            yield os.path.join(folder, file)

    def test_gguf(self):
        """Of every type: one element changes as its own code can, the others keep their bits; or it is refused."""
        edited = refused = 0
        for path in self.gguf():
            for k, (name, t) in enumerate(tree(path).items()):
                if not t["parameters"]:
                    continue
                place = name + ("[" + ",".join("0" for _ in t["shape"]) + "]" if t["shape"] else "")
                out = self.path(f"o{k}")
                code, text, errors = call(path, f"--scale={place}=0.6", "--json", "-q", "-o", out)
                if code:
                    self.assertIn("cannot be edited", errors, (t["dtype"], errors))
                    self.assertFalse(os.path.exists(out))
                    refused += 1
                    continue
                row = json.loads(text)["edits"][0]
                self.assertIsNone(row["neighbours"], t["dtype"])
                edited += 1
                self.assertEqual(read(self.undo(out, f"b{k}")), read(path))
                os.remove(out), os.remove(out + ".edits.json"), os.remove(self.path(f"b{k}"))
        self.assertGreater(edited, 20)
        self.assertGreater(refused, 3)

    def blocks(self, kind, block):
        """A GGUF file of one tensor of 8 blocks; its path and where they begin."""
        def text(s):
            return struct.pack("<Q", len(s)) + s.encode()
        data = b"".join(block(k) for k in range(8))
        n = 8 * (256 if kind == 14 else 32)
        head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text("general.architecture") + struct.pack("<I", 8) + text("x")
        head += text("w") + struct.pack("<IQIQ", 1, n, kind, 0)
        head += b"\0" * (-len(head) % 32)
        path = self.path(f"{kind}.gguf")
        with open(path, "wb") as f:
            f.write(head + data)
        return path, len(head)

    def test_codes_of_blocks(self):
        """Q4_0, Q8_0 and Q6_K by hand: the nearest code under the scale that is there."""
        rng = np.random.default_rng(5)
        q4, at4 = self.blocks(2, lambda k: np.float16(0.1 + k / 16).tobytes() + rng.bytes(16))
        q8, at8 = self.blocks(8, lambda k: np.float16(0.01 + k / 16).tobytes() + rng.bytes(32))
        q6, at6 = self.blocks(14, lambda k: rng.bytes(192) + rng.integers(1, 90, 16).astype(np.int8).tobytes() +
                              np.float16(.002).tobytes())
        for x in (0.0, 0.33, -0.61, 5.0, -7.0):
            for path, place, at in ((q4, 3 * 32 + 21, at4), (q8, 5 * 32 + 30, at8), (q6, 2 * 256 + 201, at6)):
                out = self.path("o")
                self.edit(path, f"--set=w[{place}]={x}", out="o")
                was, now = bytearray(read(path)), read(out)
                if path == q4:      # element 21 of 32: the high nibble of byte 5
                    b = at + 3 * 18
                    d = float(np.frombuffer(bytes(was[b:b + 2]), "<f2")[0])
                    q = min(range(16), key=lambda q: (abs((q - 8) * d - x), abs(q - 8)))
                    was[b + 2 + 5] = was[b + 2 + 5] & 15 | q << 4
                elif path == q8:
                    b = at + 5 * 34
                    d = float(np.frombuffer(bytes(was[b:b + 2]), "<f2")[0])
                    was[b + 2 + 30] = min(range(-128, 128), key=lambda q: (abs(q * d - x), abs(q))) & 255
                else:               # element 201: second half, quarter 2 (64 to 95), l = 9
                    b = at + 2 * 210
                    d = float(np.frombuffer(bytes(was[b + 208:b + 210]), "<f2")[0])
                    scale = np.int8(was[b + 192 + 8 + 4]) * d
                    q = min(range(64), key=lambda q: (abs((q - 32) * scale - x), abs(q - 32)))
                    low, high = b + 64 + 9, b + 128 + 32 + 9
                    was[low] = was[low] & 15 | (q & 15) << 4
                    was[high] = was[high] & ~0x30 | q >> 4 << 4
                self.assertEqual(now.hex(), bytes(was).hex(), (path, x))
                os.remove(out), os.remove(out + ".edits.json")

    def test_refit(self):
        """A block encoded anew: ggml's Q8_0 of the decoded block with the new value in it."""
        rng = np.random.default_rng(6)
        path, at = self.blocks(8, lambda k: np.float16(0.01 + k / 16).tobytes() + rng.bytes(32))
        d = self.edit(path, "--refit", "--set=w[70]=50", out="o")
        b = read(path)[at + 68:at + 102]
        v = np.frombuffer(b[2:], np.int8) * np.frombuffer(b[:2], "<f2").astype(np.float32)
        v[6] = 50
        step = np.float32(np.abs(v).max() / np.float32(127))
        y = (v * np.float32(1 / step)).astype(np.float64)
        q = (np.sign(y) * np.floor(np.abs(y) + .5)).astype(np.int8)
        self.assertEqual(read(self.path("o"))[at + 68:at + 102].hex(),
                         (step.astype("<f2").tobytes() + q.tobytes()).hex())
        self.assertGreater(d["edits"][0]["neighbours"], 10)
        self.assertEqual(read(self.undo(self.path("o"))), read(path))

    def test_refusals(self):
        source = os.path.join(FIXTURES, "llama-tiny")
        name = "model.embed_tokens.weight"
        shape = tree(source)[name]["shape"]
        o = self.path("o")
        self.refused(source, "-o", o, says="nothing to edit")
        self.refused(source, f"--zero={name}[0,0]", says="-o says where")
        self.refused(source, f"--zero={name}[{shape[0]},0]", "-o", o, says=f"this dimension has {shape[0]}")
        self.refused(source, f"--zero={name}[1]", "-o", o, says="1 index is given, but the tensor has 2 dimensions")
        self.refused(source, f"--zero={name}[1,x]", "-o", o, says="\"x\" is no index")
        self.refused(source, f"--zero={name}[3-1,0]", "-o", o, says="is no index")
        self.refused(source, f"--set={name}[0,0]", "-o", o, says="takes PLACE=X")
        self.refused(source, f"--set={name}[0,0]=nan", "-o", o, says="takes PLACE=X")
        self.refused(source, "--zero=nothing[0]", "-o", o, says="no tensor is called \"nothing\"", status=4)
        self.refused(source, "--zero=mlp[0,0]", "-o", o, says="name one of them")
        self.refused(source, f"--zero={name}[0,*]", f"--scale={name}[*,0]=2", "-o", o, says="two edits change an element")
        self.refused(source, f"--zero={name}[0,0]", "-o", source, says="exists already")
        self.refused(source, f"--zero={name}[0,0]", "--undo", "-o", o, says="takes back an edit")
        for inside in (os.path.join(source, "sub"), source + "/./sub/"):
            self.refused(source, f"--zero={name}[0,0]", "-o", inside, says="inside of the model")
            self.refused(source, "--undo", "-o", inside, says="inside of the model")
        self.refused(source, "--undo", "-o", o, says="no record of an edit", status=4)
        for fixture, why in (("torch-zip", "PyTorch"), ("npz", "checksums"), ("gptq", "scales"), ("npy-fortran", "one after")):
            path = os.path.join(FIXTURES, fixture)
            some = [n for n, t in tree(path).items() if t["parameters"]]
            some = [n for n in some if n.endswith("q_proj.weight")] or some
            self.refused(path, f"--zero={some[0]}", "-o", o, says=why, status=3)

    def test_nothing_is_left(self):
        """A disk that is full, a file that has changed, a record that lies."""
        v = np.ones((1024, 1024), "<f4")
        path, o = self.path("m.safetensors"), self.path("o")
        safetensors(path, {"w": ("F32", v.shape, v.tobytes())})
        self.refused(path, "--zero=w[0,0]", "-o", o, says="cannot be written", status=5, limit=1 << 20)
        shutil.copytree(os.path.join(FIXTURES, "llama-sharded"), self.path("s"))
        self.refused(self.path("s"), "--zero=model.norm.weight", "-o", o, says="cannot be written", status=5, limit=4096)
        self.edit(path, "--zero=w[0,0]", "--zero=w[1023,1023]", out="o")
        good, record = read(o), read(o + ".edits.json")

        def tamper(at, says, status=3):
            with open(o, "wb") as f:
                f.write(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
            self.refused(o, "--undo", "-o", self.path("b"), says=says, status=status)
        tamper(len(good) - 1, "is not what the edit wrote")
        tamper(len(good) // 2, "has changed elsewhere")
        with open(o, "wb") as f:
            f.write(good[:-4])
        self.refused(o, "--undo", "-o", self.path("b"), says="not the", status=3)
        with open(o, "wb") as f:
            f.write(good)
        for bad in (b"", b"{}", record[:-9], record.replace(b'"offset": ', b'"offset": 9'),
                    record.replace(b'"new": "', b'"new": "zz'), record.replace(b"record/1", b"record/2")):
            with open(o + ".edits.json", "wb") as f:
                f.write(bad)
            self.refused(o, "--undo", "-o", self.path("b"), says="no sound record", status=3)
        with open(o + ".edits.json", "wb") as f:
            f.write(record)
        self.assertEqual(read(self.undo(o)), read(path))

    def test_dry_run(self):
        code, text, _ = call(os.path.join(FIXTURES, "llama-tiny"), "--zero=model.norm.weight[0]", "-n", "--json", "-q")
        self.assertEqual(code, 0)
        self.assertIsNone(json.loads(text)["output"])
        self.assertEqual(os.listdir(self.dir), [])


if __name__ == "__main__":
    unittest.main()
