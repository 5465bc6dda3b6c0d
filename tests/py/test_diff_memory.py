# SPDX-License-Identifier: Apache-2.0
"""What scruple diff and view --diff take of memory beside pages of files, whatever the models.

Files are sparse where their bytes do not matter, so large ones cost neither disk nor time. The limits
are far below what the side that is measured would take as values, or as a table of all pairs.
"""
import json
import os
import struct
import unittest

from test_diff import DiffCase, np
from test_diff_gguf import BF16, F32, key, permute, text
from test_scan import SCRUPLE, bf16

MIB = 1 << 10  # of what /proc says


@unittest.skipUnless(os.path.exists("/proc/self/status") and os.environ.get("SCRUPLE_SANITIZE", "none") == "none",
                     "needs /proc, and memory that is the program's own")
class Memory(DiffCase):
    def put(self, path, head, at, size, pieces=()):
        """A file: a header, and zeros up to `size` but for pieces (offset behind `at`, bytes)."""
        with open(self.at(path), "wb") as f:
            f.write(head)
            for offset, data in pieces:
                f.seek(at + offset)
                f.write(data)
            f.truncate(at + size)
        return self.at(path)

    def one(self, path, name, shape, pieces=()):
        size = 2 * int(np.prod(shape))
        head = json.dumps({name: {"dtype": "BF16", "shape": shape, "data_offsets": [0, size]}}).encode()
        return self.put(path, struct.pack("<Q", len(head)) + head, 8 + len(head), size, pieces)

    def peak_of_diff(self, *words):
        """Most memory of its own in KiB, and the document."""
        most = self.peak(SCRUPLE, "diff", "--no-cache", "--json", "-o", self.at("o"), *words, exits=(0, 1))
        with open(self.at("o"), encoding="utf-8") as f:
            return most, json.load(f)

    def test_many_pairs_take_little_of_their_own(self):
        n = 20000
        head = json.dumps({f"model.layers.{i // 8}.mlp.experts.{i % 8}.up_proj.weight":
                           {"dtype": "F32", "shape": [2, 2], "data_offsets": [16 * i, 16 * i + 16]}
                           for i in range(n)}).encode()
        x = self.rng.normal(0, 1, (n, 4)).astype("<f4")
        y = x * np.where(np.arange(n) % 2, 1, 2).astype("<f4")[:, None]
        a, b = (self.put(path, struct.pack("<Q", len(head)) + head, 8 + len(head), 16 * n, [(0, v.tobytes())])
                for path, v in (("a.safetensors", x), ("b.safetensors", y)))
        most, document = self.peak_of_diff("-j2", "--memory", "16M", a, b)
        self.assertEqual({"same", "changed"}, {p["status"] for p in document["pairs"]})
        self.assertEqual(n // 2, sum(p["status"] == "changed" for p in document["pairs"]))
        self.assertLess(most, 12 * MIB)

    def test_a_large_tensor_takes_no_more_than_a_small_one(self):
        shape = [16384, 16384]  # 512 MiB a side
        a = self.one("a.safetensors", "lm_head.weight", shape)
        b = self.one("b.safetensors", "lm_head.weight", shape, [(2 * (16384 * 9000 + 7), bf16(np.ones(1)).tobytes())])
        most, document = self.peak_of_diff("-j4", "--memory", "16M", a, b)
        (p,) = document["pairs"]
        self.assertEqual((1, 1.0, 16384 * 9000 + 7), (p["changed"], p["max_abs"], p["max_at"]))
        self.assertLess(most, 8 * MIB)

    def test_pictures_of_a_large_tensor(self):
        shape = [8192, 8192]  # 128 MiB a side
        a, b = (self.one(path, "lm_head.weight", shape) for path in ("a.safetensors", "b.safetensors"))
        most = self.peak(SCRUPLE, "view", "--diff", "--no-cache", "-j4", "--memory", "64M", a, b, "--out", self.at("page"),
                         "--max-zoom", "4")
        self.assertLess(most, 64 * MIB)

    def test_rows_that_a_converter_permuted_take_no_copy_of_the_tensor(self):
        heads, rows, cols = 64, 8192, 8192  # 128 MiB a side
        name, row, col = "model.layers.0.self_attn.q_proj.weight", 4097, 5
        there = int(np.flatnonzero(permute(np.arange(rows), heads) == row)[0])
        one = bf16(np.ones(1)).tobytes()
        a = self.one("a.safetensors", name, [rows, cols], [(2 * (row * cols + col), one)])
        keys = {"general.architecture": "llama", "llama.block_count": 1, "llama.embedding_length": cols,
                "llama.attention.head_count": heads, "llama.attention.head_count_kv": heads}
        head = b"GGUF" + struct.pack("<IQQ", 3, 2, len(keys)) + b"".join(key(k, x) for k, x in keys.items())
        head += text("blk.0.attn_q.weight") + struct.pack("<IQQIQ", 2, cols, rows, BF16, 0)
        head += text("rope_freqs.weight") + struct.pack("<IQIQ", 1, 4, F32, 2 * rows * cols)
        head += b"\0" * (-len(head) % 32)
        for place, status in ((there, "same"), (row, "changed")):
            self.assertNotEqual(there, row)
            b = self.put("b.gguf", head, len(head), 2 * rows * cols + 16, [(2 * (place * cols + col), one)])
            most, document = self.peak_of_diff("-j4", "--memory", "16M", a, b)
            found = {p["name"]: p["status"] for p in document["pairs"]}
            self.assertEqual(status, found[name])
            self.assertLess(most, 8 * MIB)


if __name__ == "__main__":
    unittest.main()
