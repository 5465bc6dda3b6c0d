# SPDX-License-Identifier: Apache-2.0
"""The forward pass against llama.cpp (skipped without it: see llama_peer.py), on random small models of every
architecture, converted to GGUF by its rules: our logits of the GGUF, those of the model that it comes from, and
llama.cpp's are the same to 2e-5 of the largest. Where llama.cpp computes something else on purpose, the reference in
double precision with that one difference agrees with it, and ours with the reference without it."""
import os
import shutil
import tempfile
import unittest

import numpy as np

import forward_gguf
import forward_reference as ref
import llama_peer
from test_forward import IDS, run

CLOSE = 2e-5


class Halves(ref.Reference):
    """gelu from a table: of a number in float16, to float16."""

    def run(self, ids):
        exact = ref.gelu_tanh
        ref.gelu_tanh = lambda x: np.where(x <= -10, 0, np.where(x >= 10, x, exact(
            x.astype("f2").astype("f8")).astype("f2").astype("f8")))
        try:
            return super().run(ids)
        finally:
            ref.gelu_tanh = exact


class TwoBest(ref.Reference):
    """A group of DeepSeek-V2's experts counts as the sum of its two best (in V2 itself: as its best)."""

    def groups(self, g):
        return np.sort(g, 1)[:, -2:].sum(1)


def case(name, differs=None, options=None, **changes):
    return name, changes, options or {}, differs


SAME = ref.CONFIGS["deepseek2"]["rope_scaling"]
FACTORS = ref.CONFIGS["phi3-long"]["rope_scaling"]
CASES = {
    "llama": case("llama"), "llama-linear": case("llama-linear"), "llama3": case("llama3"),
    "llama-yarn": case("llama-yarn"), "llama-bias": case("llama-bias"),
    # base' = base ((f n / max) - (f - 1))^(d / (d - 2)): llama.cpp has no rule by length, but takes a base
    "llama-dynamic": case("llama-dynamic", options={"base": 10000 * (2 * len(IDS) / 16 - 1) ** (16 / 14)}),
    "mistral": case("mistral", options={"window": 9}),
    "qwen2": case("qwen2"), "qwen2-window": case("qwen2-window", options={"window": 7}, max_window_layers=0),
    "qwen2-yarn": case("qwen2", rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}),
    "qwen3": case("qwen3"), "olmo": case("olmo"), "olmo2": case("olmo2"), "olmo3": case("olmo3"),
    "phi3": case("phi3"), "phi3-window": case("phi3", options={"window": 11}, sliding_window=11),
    "phi3-long": case("phi3-long"),
    "phi3-short": case("phi3-long", options={"context": 256}, original_max_position_embeddings=300,
                       max_position_embeddings=1200),
    "gemma": case("gemma", Halves), "gemma2": case("gemma2", Halves, query_pre_attn_scalar=32),
    "gemma3": case("gemma3", Halves), "gpt2": case("gpt2", Halves),
    "mixtral": case("mixtral"), "qwen2moe": case("qwen2moe", decoder_sparse_step=1),
    "qwen3moe": case("qwen3moe", mlp_only_layers=[]), "olmoe": case("olmoe"),
    # what tells llama.cpp that q is one matrix is the number of layers
    "deepseek2-lite": case("deepseek2", num_hidden_layers=27, rms_norm_eps=1e-6),
    "deepseek2": case("deepseek2", q_lora_rank=20, rms_norm_eps=1e-6),
    "deepseek2-groups": case("deepseek2-groups", TwoBest, rms_norm_eps=1e-6),
    "deepseek3": case("deepseek3", rms_norm_eps=1e-6),
    "deepseek3-yarn": case("deepseek3", rms_norm_eps=1e-6, rope_scaling={**SAME, "mscale": 1.0, "mscale_all_dim": 1.0}),
}


@unittest.skipUnless(llama_peer.is_there(), "LLAMA_LIB and LLAMA_INCLUDE name no llama.cpp")
class Llama(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp()
        cls.program = llama_peer.build(cls.dir)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def near(self, a, b, what, most=CLOSE):
        self.assertEqual(a.shape, b.shape)
        far = np.abs(a - b).max() / np.abs(b).max()
        self.figures.append(f"{what} {far:.1e}")
        self.assertLess(far, most, what)

    def halves(self, c, tensors, theirs, want):
        """Float and double decide now and then differently what a number in float16 is, so all but a few of the
        differences are those of the table; and without them, in a model whose MLPs add nothing, there is none."""
        def error(x):
            return np.sqrt(((theirs - x) ** 2).mean()) / np.abs(want).max()
        as_it_does = Halves(c, tensors).run(np.array(IDS))
        self.figures.append(f"llama.cpp/double: {error(want):.1e} root mean square, as it does {error(as_it_does):.1e}")
        self.assertLess(error(as_it_does), error(want) / 2.5)
        self.near(theirs, want, "llama.cpp/double", 1e-3)
        idle = {k: v * 0 if k.endswith(("mlp.down_proj.weight", "mlp.c_proj.weight")) else v for k, v in tensors.items()}
        path = forward_gguf.write(os.path.join(self.dir, "idle.gguf"), c, idle, 0)
        mine, _ = run(path, os.path.join(self.dir, "out"))
        self.near(mine["logits"], llama_peer.logits(self.program, path, IDS, self.dir), "without MLPs: ours/llama.cpp")

    def compare(self, label, name, changes, options, differs):
        c = {**ref.CONFIGS[name], **changes}
        tensors = ref.make(c, 7)
        if c.get("num_hidden_layers", 0) > 8:  # what random layers add to the stream would make errors grow with depth
            tensors = {k: v / 4 if k.endswith(("o_proj.weight", "down_proj.weight")) else v for k, v in tensors.items()}
        path = forward_gguf.write(os.path.join(self.dir, f"{label}.gguf"), c, tensors, 0)
        folder = ref.write_folder(os.path.join(self.dir, label + "-hf"), c, tensors)
        want = ref.Reference(c, tensors).run(np.array(IDS))
        mine, _ = run(folder, os.path.join(self.dir, "out"))
        theirs = llama_peer.logits(self.program, path, IDS, self.dir, **options)
        self.near(mine["logits"], want, "ours/double")
        if differs is Halves:
            self.halves(c, tensors, theirs, want)
        elif differs:
            self.near(theirs, differs(c, tensors).run(np.array(IDS)), "llama.cpp/double as it does")
            self.assertGreater(np.abs(theirs - want).max(), CLOSE * np.abs(want).max())
        else:
            self.near(mine["logits"], theirs, "ours/llama.cpp")
        if set(options) - {"context"}:
            return  # a GGUF cannot say it
        said, _ = run(path, os.path.join(self.dir, "out"))
        self.near(said["logits"], mine["logits"], "GGUF/original")

    def test_every_architecture(self):
        for label, (name, changes, options, differs) in CASES.items():
            with self.subTest(model=label):
                self.figures = []
                self.compare(label, name, changes, options, differs)
                if os.environ.get("SCRUPLE_FIGURES"):
                    print(f"{label:18}", "  ".join(self.figures))

    def test_it_would_notice(self):
        """The same models with one setting changed on one side."""
        for name, wrong in (("llama", {"rope_theta": 9000.0}), ("gemma2", {"sliding_window": 9}),
                            ("mixtral", {"num_experts_per_tok": 1}), ("olmo", {"clip_qkv": 0.8})):
            c = ref.CONFIGS[name]
            tensors = ref.make(c, 7)
            path = forward_gguf.write(os.path.join(self.dir, "wrong.gguf"), {**c, **wrong}, tensors, 0)
            theirs = llama_peer.logits(self.program, path, IDS, self.dir)
            want = ref.Reference(c, tensors).run(np.array(IDS))
            self.assertGreater(np.abs(theirs - want).max(), 1e-3 * np.abs(want).max(), name)


if __name__ == "__main__":
    unittest.main()
