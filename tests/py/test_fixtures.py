# SPDX-License-Identifier: Apache-2.0
"""Every generated model (FIXTURES) and every file that real torch and numpy wrote (TESTDATA),
listed by `scruple tree --json` and compared with what its maker meant to write: names, element
types, logical shapes, parameters, bytes, and which stored tensors each row is made of."""
import glob
import json
import os
import struct
import subprocess
import tempfile
import unittest
import zipfile

SCRUPLE = os.environ["SCRUPLE"]
FIXTURES = os.environ["FIXTURES"]
TESTDATA = os.environ["TESTDATA"]


def run(*words):
    return subprocess.run([SCRUPLE, *words], capture_output=True, timeout=60)


def tree(path, *words):
    done = run("tree", "--json", path, *words)
    if done.returncode != 0:
        raise AssertionError(f"{path}: exit {done.returncode}: {done.stderr.decode()}")
    return json.loads(done.stdout)


def expectations():
    for path in sorted(glob.glob(os.path.join(FIXTURES, "*.expect.json"))):
        yield path, os.path.dirname(path)
    for path in sorted(glob.glob(os.path.join(TESTDATA, "torch", "*.expect.json"))):
        yield path, os.path.dirname(path)


class Fixtures(unittest.TestCase):
    @staticmethod
    def has_bytes(kind, want):
        """The makers count unpacked bytes; ours are the bytes in the file. Torch's 4- and 2-bit
        storages hold more bytes than their tensors use."""
        compressed = "deflated" in kind or "compressed" in kind
        return want.get("bytes") is not None and not compressed and want["dtype"] not in ("QU4", "QU2")

    def check(self, kind, expect, found, problems):
        rows = {t["name"]: t for t in found["tensors"]}
        wanted = {t["name"]: t for t in expect["tensors"]}
        # Parts of sparse tensors are rows of their own with us.
        parts = [n for n in rows if n not in wanted and n.rpartition(".")[2] in (
            "indices", "values", "crow_indices", "col_indices")]
        for name in parts if expect.get("sparse") else []:
            del rows[name]
        for name in sorted(set(rows) ^ set(wanted))[:6]:
            problems.append(f"{'only ours' if name in rows else 'missing'}: {name!r}")
        for name in sorted(set(rows) & set(wanted)):
            ours, want = rows[name], wanted[name]
            for key in ("dtype", "shape", "parameters", "bytes"):
                if key == "bytes" and not self.has_bytes(kind, want):
                    continue
                if want.get(key) is not None and ours[key] != want[key]:
                    problems.append(f"{name}: {key} is {ours[key]!r}, expected {want[key]!r}")
            if sorted(ours["stored"]) != sorted(want.get("stored", [])):
                problems.append(f"{name}: stored is {ours['stored']}, expected {want['stored']}")
        totals = found["totals"]
        if len(rows) != len(found["tensors"]) or not all(self.has_bytes(kind, t)
                                                         for t in expect["tensors"]):
            return
        # Tied weights count once in the total of parameters.
        tied = any(t["parameters"] and not t["bytes"] for t in rows.values())
        for ours, key in (("tensors", "stored_tensors"), ("bytes", "tensor_bytes"),
                          ("parameters", "parameters")):
            if tied and key == "parameters":
                continue
            if expect.get(key) is not None and totals[ours] != expect[key]:
                problems.append(f"totals: {ours} is {totals[ours]}, expected {expect[key]}")

    def check_sums(self, found, problems):
        """The rows of every listing add up to the file."""
        totals = found["totals"]
        collapsed = sum(r["total_bytes"] for r in found["rows"] if r["dtype"] is not None)
        listed = sum(t["bytes"] for t in found["tensors"])
        if not collapsed == listed == totals["bytes"]:
            problems.append(f"rows {collapsed}, tensors {listed}, total {totals['bytes']}")
        whole = totals["bytes"] + totals["header_bytes"] + totals["other_bytes"]
        files = sum(f["bytes"] for f in found["model"]["files"])
        if not whole == totals["file_bytes"] == files:
            problems.append(f"tensors, headers and rest make {whole}, files {files}")

    def test_every_fixture(self):
        count = 0
        for path, folder in expectations():
            with open(path, encoding="utf-8") as f:
                expect = json.load(f)
            if "strangers" in expect:
                continue
            kind = os.path.basename(path)[: -len(".expect.json")]
            with self.subTest(kind):
                words = ["--lenient"] if expect.get("problems") else []
                problems = []
                found = tree(os.path.join(folder, expect["path"]), *words)
                self.check(kind, expect, found, problems)
                self.check_sums(found, problems)
                self.assertEqual([], problems[:12])
            count += 1
        self.assertGreater(count, 100)

    def test_one_wrong_byte_in_a_zip_is_found(self):
        """check verifies what has a checksum: one flipped byte of data in each archive."""
        for kind in ("npz", "npz-deflated", "torch-zip", "torch-zip-deflated"):
            with self.subTest(kind), tempfile.TemporaryDirectory() as folder:
                path = glob.glob(os.path.join(FIXTURES, kind, "*.[np][pt]*"))[0]
                self.assertEqual(0, run("check", path).returncode)
                with zipfile.ZipFile(path) as z:
                    member = max(z.infolist(), key=lambda m: m.compress_size)
                with open(path, "rb") as f:
                    data = bytearray(f.read())
                name = struct.unpack_from("<HH", data, member.header_offset + 26)
                at = member.header_offset + 30 + sum(name) + member.compress_size // 2
                data[at] ^= 0x10
                broken = os.path.join(folder, "broken")
                with open(broken, "wb") as f:
                    f.write(data)
                done = run("check", broken)
                self.assertEqual(1, done.returncode, done.stdout.decode() + done.stderr.decode())
                self.assertEqual(0, run("check", "--no-data", broken).returncode
                                 if "deflated" not in kind else 0)

    def test_strangers_are_named(self):
        with open(os.path.join(FIXTURES, "strangers.expect.json"), encoding="utf-8") as f:
            strangers = json.load(f)["strangers"]
        for stranger in strangers:
            with self.subTest(stranger["path"]):
                path = os.path.join(FIXTURES, stranger["path"])
                done = run("tree", path)
                said = done.stderr.decode()
                if done.returncode == 0:
                    # A model under a wrong suffix, or in a good file with nothing wrong.
                    self.assertIn(stranger["is"], ("wrong-suffix", "trailing", "gguf", "torch", "safetensors"))
                    continue
                self.assertIn(done.returncode, (3, 4), said)
                self.assertEqual(b"", done.stdout)
                self.assertEqual(1, said.count("\n"), said)
                self.assertTrue(said.startswith("scruple: "), said)


if __name__ == "__main__":
    unittest.main()
