# SPDX-License-Identifier: Apache-2.0
"""Maps of experts against numpy, in every layout; dead, copied and strange experts that were planted are named, and
nobody else."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import forward_reference as ref  # noqa: E402

SCRUPLE = os.environ["SCRUPLE"]
LAYERS, EXPERTS, HIDDEN, WIDE = 3, 8, 32, 24
CONFIG = {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": HIDDEN,
          "num_hidden_layers": LAYERS, "num_experts": EXPERTS, "num_experts_per_tok": 2, "num_attention_heads": 4,
          "moe_intermediate_size": WIDE, "vocab_size": 50}


def experts(seed=1):
    rng = np.random.default_rng(seed)
    return {(layer, part): ref.to_bf16(rng.normal(size=(EXPERTS, *shape)) * .05)
            for layer in range(LAYERS)
            for part, shape in (("gate_proj", (WIDE, HIDDEN)), ("up_proj", (WIDE, HIDDEN)),
                                ("down_proj", (HIDDEN, WIDE)), ("router", (HIDDEN,)))}


def names(w, layout):
    t = {"model.embed_tokens.weight": np.zeros((50, HIDDEN), np.float32)}
    for layer in range(LAYERS):
        p = f"model.layers.{layer}."
        if layout == "mixtral":
            t[p + "block_sparse_moe.gate.weight"] = w[layer, "router"]
            for e in range(EXPERTS):
                for part, n in (("gate_proj", "w1"), ("up_proj", "w3"), ("down_proj", "w2")):
                    t[p + f"block_sparse_moe.experts.{e}.{n}.weight"] = w[layer, part][e]
            continue
        t[p + "mlp.gate.weight"] = w[layer, "router"]
        if layout == "single":
            for e in range(EXPERTS):
                for part in ("gate_proj", "up_proj", "down_proj"):
                    t[p + f"mlp.experts.{e}.{part}.weight"] = w[layer, part][e]
        elif layout == "stacked":
            for part in ("gate_proj", "up_proj", "down_proj"):
                t[p + f"mlp.experts.{part}.weight"] = w[layer, part]
        elif layout == "rows":
            t[p + "mlp.experts.gate_up_proj"] = np.concatenate([w[layer, "gate_proj"], w[layer, "up_proj"]], 1)
            t[p + "mlp.experts.down_proj"] = w[layer, "down_proj"]
        elif layout == "columns":
            both = np.concatenate([w[layer, "gate_proj"], w[layer, "up_proj"]], 1).transpose(0, 2, 1)
            t[p + "mlp.experts.gate_up_proj"] = both
            t[p + "mlp.experts.down_proj"] = w[layer, "down_proj"].transpose(0, 2, 1)
        elif layout == "turns":
            both = np.stack([w[layer, "gate_proj"], w[layer, "up_proj"]], 2).reshape(EXPERTS, 2 * WIDE, HIDDEN)
            t[p + "mlp.experts.gate_up_proj"] = both.transpose(0, 2, 1)
            t[p + "mlp.experts.down_proj"] = w[layer, "down_proj"].transpose(0, 2, 1)
    return t


class Moe(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()

    def tearDown(self):
        shutil.rmtree(self.dir)

    def folder(self, w, layout="single", **change):
        path = os.path.join(self.dir, layout)
        shutil.rmtree(path, ignore_errors=True)
        return ref.write_folder(path, {**CONFIG, **change}, names(w, layout))

    def run_it(self, *words, status=0):
        r = subprocess.run([SCRUPLE, "moe", *words, "--json", "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(r.returncode, status, r.stderr)
        return json.loads(r.stdout)

    def check_maps(self, d, w, eps=1e-6):
        maps = {(m["part"], m["stat"]): m for m in d["maps"]}
        self.assertEqual(len(maps), 16)
        for part in ("gate_proj", "up_proj", "down_proj", "router"):
            v = np.array([w[layer, part].reshape(EXPERTS, -1) for layer in range(LAYERS)], float)
            for stat, want in (("rms", np.sqrt((v * v).mean(2))), ("frobenius", np.sqrt((v * v).sum(2))),
                               ("mean-abs", np.abs(v).mean(2)), ("sparsity", (np.abs(v) < eps).mean(2))):
                np.testing.assert_allclose(maps[part, stat]["values"], want, rtol=1e-6, atol=1e-12, err_msg=part + stat)

    def test_every_layout_gives_the_same_maps(self):
        w = experts()
        for layout in ("single", "mixtral", "stacked", "rows", "columns", "turns"):
            with self.subTest(layout):
                more = {"model_type": "gpt_oss"} if layout == "turns" else {}
                d = self.run_it(self.folder(w, layout, **more))
                self.check_maps(d, w)
                self.assertEqual(d["experts"]["parameters"], LAYERS * EXPERTS * 3 * WIDE * HIDDEN)
                self.assertEqual(d["layers"], list(range(LAYERS)))
                self.assertEqual(d["findings"], [])

    def test_planted_troubles_are_named_and_nothing_else(self):
        w = experts(2)
        w[0, "up_proj"][3] = 0
        w[1, "router"][5] = 0
        w[2, "down_proj"][1] *= 3
        for part in ("gate_proj", "up_proj", "down_proj"):
            w[1, part][6] = w[1, part][2]
        w[2, "gate_proj"][7, 4, 4] = np.nan
        for layout in ("single", "stacked", "rows"):
            d = self.run_it(self.folder(w, layout), "--fail", status=1)
            found = {(f["problem"], f["layer"], f["expert"], f["part"], f["other"]) for f in d["findings"]}
            self.assertEqual(found, {("dead", 0, 3, "up_proj", None), ("unrouted", 1, 5, "router", None),
                                     ("outlier", 2, 1, "down_proj", None), ("duplicate", 1, 6, None, 2),
                                     ("broken", 2, 7, "gate_proj", None)})

    def test_healthy_experts_are_left_alone(self):
        for seed in range(30):
            self.assertEqual(self.run_it(self.folder(experts(10 + seed)), "--fail")["findings"], [])

    def test_a_missing_matrix(self):
        w = experts(3)
        t = names(w, "single")
        del t["model.layers.1.mlp.experts.4.up_proj.weight"]
        d = self.run_it(ref.write_folder(os.path.join(self.dir, "gap"), CONFIG, t))
        self.assertEqual([(f["problem"], f["layer"], f["expert"], f["part"]) for f in d["findings"]],
                         [("missing", 1, 4, "up_proj")])
        maps = {(m["part"], m["stat"]): m["values"] for m in d["maps"]}
        self.assertIsNone(maps["up_proj", "rms"][1][4])

    def test_threads_do_not_matter(self):
        folder = self.folder(experts(4), "rows")
        one, four = (subprocess.run([SCRUPLE, "moe", folder, "--json", "-j", j], stdout=subprocess.PIPE).stdout
                     for j in "14")
        self.assertEqual(one, four)

    def test_eps_and_norms(self):
        w = experts(5)
        folder = self.folder(w)
        self.check_maps(self.run_it(folder, "--eps", "0.01"), w, .01)
        weight = float(abs(w[0, "up_proj"].ravel()[7]))  # "below" is about the number itself, and those beside it
        for eps in (weight, np.nextafter(weight, 1), np.nextafter(weight, 0), 0, 1e9):
            self.check_maps(self.run_it(folder, "--eps", repr(float(eps))), w, float(eps))
        v = np.sort(np.array([np.sqrt((w[layer, "up_proj"].astype(float) ** 2).mean((1, 2)))
                              for layer in range(LAYERS)]).ravel())
        for norm, low, high in (("max", 0, v[-1]), ("min-max", v[0], v[-1]),
                                ("percentile", v[round(.02 * 23)], v[round(.98 * 23)])):
            m = next(m for m in self.run_it(folder, "--norm", norm)["maps"]
                     if (m["part"], m["stat"]) == ("up_proj", "rms"))
            np.testing.assert_allclose([m["low"], m["high"]], [low, high], rtol=1e-6, atol=1e-12)

    def test_the_picture_shows_the_maps(self):
        w = experts(6)
        w[1, "gate_proj"][2] *= 4
        png = os.path.join(self.dir, "m.png")
        self.run_it(self.folder(w), "--png", png, "--norm", "max")
        with open(png, "rb") as f:
            data = f.read()
        width, height = struct.unpack(">II", data[16:24])
        self.assertEqual((width, height), (4 * EXPERTS * 16 + 3 * 16, LAYERS * 16))
        at, idat = 8, b""
        while at < len(data):
            n, kind = struct.unpack(">I4s", data[at:at + 8])
            idat += data[at + 8:at + 8 + n] if kind == b"IDAT" else b""
            at += 12 + n
        rows = np.frombuffer(zlib.decompress(idat), np.uint8).reshape(height, width + 1)[:, 1:]
        cells = rows[8::16, 8:EXPERTS * 16:16].astype(float)
        rms = np.array([np.sqrt((w[layer, "gate_proj"].astype(float) ** 2).mean((1, 2))) for layer in range(LAYERS)])
        np.testing.assert_allclose(cells, np.floor(rms / rms.max() * 239), atol=1)
        self.assertEqual(cells.max(), 239)

    def test_a_model_without_experts_and_wrong_words(self):
        t = {"model.layers.0.mlp.up_proj.weight": np.zeros((4, 4), np.float32)}
        folder = ref.write_folder(os.path.join(self.dir, "dense"), CONFIG, t)
        r = subprocess.run([SCRUPLE, "moe", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(r.returncode, 3)
        self.assertIn(b"no experts", r.stderr)
        for words in (["--eps", "x"], ["--norm", "best"], ["--stat", "mode"]):
            r = subprocess.run([SCRUPLE, "moe", folder, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(r.returncode, 2)

    def test_a_number_far_behind_the_others(self):
        """Experts that are not there are not compared with each other: that would be two thousand million pairs."""
        with tempfile.TemporaryDirectory() as folder:
            ref.write_safetensors(os.path.join(folder, "model.safetensors"), {
                "model.layers.0.mlp.experts.65535.up_proj.weight": np.ones((4, 8), np.float32)})
            r = subprocess.run([SCRUPLE, "moe", folder, "-q", "--json"], stdout=subprocess.PIPE)
            self.assertEqual(len(json.loads(r.stdout)["findings"]), 65535)


if __name__ == "__main__":
    unittest.main()
