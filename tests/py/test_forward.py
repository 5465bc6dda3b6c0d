# SPDX-License-Identifier: Apache-2.0
"""The forward pass of `scruple activations` against an independent one in double precision, on random small models of
every architecture: logits, hidden states, attention, routes; the same bits for any number of threads and processor
level, in bfloat16, in shards."""
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "mockhub"))
import forward_gguf  # noqa: E402
import forward_reference as ref  # noqa: E402
from mockhub import MockHub  # noqa: E402
from test_diff_gguf import write_gguf  # noqa: E402

SCRUPLE = os.environ["SCRUPLE"]
IDS = [int(v) for v in np.random.default_rng(5).integers(0, 150, 37)]
HOOKS = "all"


def run(folder, out, *more, ids=None, env=None):
    shutil.rmtree(out, ignore_errors=True)
    r = subprocess.run([SCRUPLE, "activations", folder, "--ids", ",".join(map(str, ids or IDS)), "--hook", HOOKS,
                        "--npy", out, "-q", "--json", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env={**os.environ, **(env or {})})
    if r.returncode:
        raise AssertionError(r.stderr.decode())
    return {f[:-4]: np.load(os.path.join(out, f)) for f in os.listdir(out)}, json.loads(r.stdout)


class Forward(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp()
        cls.models = {}
        for seed, (name, c) in enumerate(ref.CONFIGS.items()):
            tensors = ref.make(c, seed + 1)
            cls.models[name] = (c, tensors, ref.write_folder(os.path.join(cls.dir, name), c, tensors))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def out(self):
        return os.path.join(self.dir, "out")

    def test_against_double_precision(self):
        for name, (c, tensors, folder) in self.models.items():
            with self.subTest(model=name):
                r = ref.Reference(c, tensors)
                want = r.run(np.array(IDS))
                got, _ = run(folder, self.out())
                self.assertEqual(got["logits"].shape, want.shape)
                self.assertLess(np.abs(got["logits"] - want).max(), 2e-5 * np.abs(want).max())
                for key, value in r.seen.items():
                    if key.startswith("route"):
                        continue
                    mine = got[key]
                    self.assertEqual(mine.shape, value.shape, key)
                    self.assertLess(np.abs(mine - value).max(), 2e-5 * max(np.abs(value).max(), 1), key)

    def test_it_would_notice_a_wrong_weight(self):
        c, tensors, _ = self.models["llama"]
        wrong = dict(tensors)
        w = wrong["model.layers.1.mlp.down_proj.weight"].copy()
        w[3, 5] += 1
        wrong["model.layers.1.mlp.down_proj.weight"] = w
        want = ref.Reference(c, wrong).run(np.array(IDS))
        got, _ = run(self.models["llama"][2], self.out())
        self.assertGreater(np.abs(got["logits"] - want).max(), 1e-3 * np.abs(want).max())

    def same(self, a, b):
        self.assertEqual(a.keys(), b.keys())
        for k in a:
            self.assertEqual(a[k].tobytes(), b[k].tobytes(), k)

    def test_threads_levels_and_containers_give_the_same_bits(self):
        for name in ("llama3", "gemma2", "qwen2moe", "deepseek3", "gpt2"):
            c, tensors, folder = self.models[name]
            with self.subTest(model=name):
                first, _ = run(folder, self.out(), "-j", "1")
                self.same(first, run(folder, self.out(), "-j", "4")[0])
                for level in ("c", "avx2"):
                    self.same(first, run(folder, self.out(), env={"SCRUPLE_CPU": level})[0])
                for kind, shards in (("BF16", 1), ("BF16", 3), ("F32", 2)):
                    other = ref.write_folder(os.path.join(self.dir, f"{name}-{kind}-{shards}"), c, tensors, kind,
                                             shards)
                    self.same(first, run(other, self.out())[0])

    def test_rounded_products(self):
        """--precision bf16: what comes from rounding activations is there, and little else. (Sums in float decide
        now and then differently from those in double how an activation is rounded.)"""
        for name in ("llama", "llama3", "qwen2", "qwen3", "olmo2", "gemma2", "phi3"):
            c, tensors, folder = self.models[name]
            with self.subTest(model=name):
                exact, rounded = ref.Reference(c, tensors), ref.Rounded(c, tensors)
                far, near = exact.run(np.array(IDS)), rounded.run(np.array(IDS))
                got, document = run(folder, self.out(), "--precision", "bf16")
                self.assertEqual(document["forward"]["precision"], "bf16")

                def error(want):
                    return np.sqrt(((got["logits"] - want) ** 2).mean())
                self.assertLess(np.abs(got["logits"] - far).max(), 0.05 * np.abs(far).max())
                self.assertGreater(error(far), 1e-4 * np.abs(far).max())
                self.assertLess(error(near), error(far) / 4)
                first = got["embedding"]
                self.assertLess(np.abs(first - exact.seen["embedding"]).max(), 1e-6 * np.abs(first).max())

    def test_rounded_products_have_the_same_bits_everywhere(self):
        """In C, with vectors, with a matrix unit; for any number of threads; from any container of weights that are
        bfloat16; and rounded weights are those of the model that holds them so."""
        for name in ("llama3", "qwen2moe", "deepseek3", "gpt2"):
            c, tensors, folder = self.models[name]
            other = ref.write_folder(os.path.join(self.dir, f"{name}-brief"), c, tensors, "BF16", 1)
            for ids in (IDS[:1], (IDS * 2)[:60]):
                with self.subTest(model=name, n=len(ids)):
                    def read(where, *more, ids=ids, **env):
                        return run(where, self.out(), "--precision", "bf16", *more, ids=ids, env=env)[0]
                    first = read(folder, "-j", "1")
                    self.same(first, read(folder, "-j", "3"))
                    for level in ("c", "avx2", "avx512", "amx"):
                        self.same(first, read(folder, SCRUPLE_CPU=level))
                    self.same(first, read(other))
        c, tensors, _ = self.models["llama3"]
        noise = {k: (v * (1 + 2e-4 * (np.arange(v.size).reshape(v.shape) % 7 - 3))).astype(np.float32) if v.ndim == 2
                 and "embed" not in k else v for k, v in tensors.items()}
        brief = {k: ref.to_bf16(v) for k, v in noise.items()}
        self.assertTrue(any((noise[k] != brief[k]).any() for k in noise))
        both = [run(ref.write_folder(os.path.join(self.dir, f"noise-{i}"), c, t), self.out(), "--precision", "bf16")[0]
                for i, t in enumerate((noise, brief))]
        self.same(*both)

    def test_many_tokens_give_the_same_bits_at_every_level(self):
        """From 64 tokens on, rows are multiplied in another way."""
        for name in ("llama3", "phi3", "gemma2"):
            with self.subTest(model=name):
                first, _ = run(self.models[name][2], self.out(), "-j", "3", ids=(IDS * 3)[:101])
                for level in ("c", "avx2"):
                    self.same(first, run(self.models[name][2], self.out(), ids=(IDS * 3)[:101],
                                         env={"SCRUPLE_CPU": level})[0])

    def test_from_the_hub_and_without_room_for_the_model(self):
        """Read over a network, or piece by piece, from files of which nothing is mapped: the same bits."""
        for name in ("llama3", "phi3", "gpt2", "mixtral", "deepseek3"):
            c, _, folder = self.models[name]
            with self.subTest(model=name):
                first, _ = run(folder, self.out())
                files = {}
                for file in os.listdir(folder):
                    with open(os.path.join(folder, file), "rb") as f:
                        files[file] = {"base64": base64.b64encode(f.read()).decode()}
                with MockHub(config={"repos": {"org/model": {"files": files}}}) as hub, \
                        tempfile.TemporaryDirectory() as cache:
                    self.same(first, run("org/model", self.out(), env={**hub.env(cache), "HF_HUB_OFFLINE": "0"})[0])
                # the least that activations take, to 64 KiB: nothing is left for the model
                low, high = 64 << 20, 96 << 20
                while high - low > 64 << 10:
                    middle = (low + high) // 2
                    done = subprocess.run([SCRUPLE, "activations", folder, "--ids", ",".join(map(str, IDS)), "--hook",
                                           HOOKS, "-q", "--memory", str(middle)], stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL)
                    low, high = (low, middle) if done.returncode == 0 else (middle, high)
                self.assertLess(64 << 10, sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)))
                self.same(first, run(folder, self.out(), "--memory", str(high))[0])

    def test_gguf(self):
        """Converted by llama.cpp's rules, in F32 and F16. What GGUF cannot say is set to what it means."""
        said = {"gemma2": {"query_pre_attn_scalar": 32}, "qwen2moe": {"decoder_sparse_step": 1},
                "qwen3moe": {"mlp_only_layers": []}, "mistral": {"sliding_window": None}}
        leave = ("llama-dynamic", "qwen2-window")
        for seed, (name, c) in enumerate(ref.CONFIGS.items()):
            if name in leave:
                continue
            c = {**c, **said.get(name, {})}
            exact = ref.make(c, seed + 1)
            forms = [(0, "F32", None, False), (1, "F16", np.float16, False)]
            if name.startswith("deepseek"):
                forms.append((0, "F32-whole", None, True))
            for kind, label, short, whole in forms:
                tensors = {k: v.astype(short).astype("f4") if short and v.ndim > 1 else v for k, v in exact.items()}
                path = os.path.join(self.dir, f"{name}-{label}.gguf")
                forward_gguf.write(path, c, tensors, kind, whole)
                with self.subTest(model=name, kind=label):
                    r = ref.Reference(c, tensors)
                    want = r.run(np.array(IDS))
                    got, _ = run(path, self.out())
                    self.assertLess(np.abs(got["logits"] - want).max(), 2e-5 * np.abs(want).max())
                    for key, value in r.seen.items():
                        if key.startswith("residual"):
                            self.assertLess(np.abs(got[key] - value).max(), 2e-5 * max(np.abs(value).max(), 1), key)

    def test_what_gguf_says_in_few_words(self):
        """Settings that have a default, an older name or another meaning in GGUF alone."""
        def changed(name, drop=(), change=None):
            c = self.models[name][0]
            arch, *_ = [k.split(".")[0] for k in forward_gguf.keys_of(c) if k.endswith(".block_count")]
            keys = {k: v for k, v in forward_gguf.keys_of(c).items() if k not in [f"{arch}.{d}" for d in drop]}
            keys.update({f"{arch}.{k}": v for k, v in (change or {}).items()})
            path = os.path.join(self.dir, "words.gguf")
            write_gguf(path, keys, {n: np.asarray(v, np.float32)
                                    for n, v in forward_gguf.tensors_of(c, self.models[name][1]).items()}, 0)
            return path

        def close(path, name):
            want = ref.Reference(*self.models[name][:2]).run(np.array(IDS))
            got, _ = run(path, self.out())
            self.assertLess(np.abs(got["logits"] - want).max(), 2e-5 * np.abs(want).max())

        # a factor without a type is linear, and had another name before
        close(changed("llama-linear", ["rope.scaling.type"]), "llama-linear")
        close(changed("llama-linear", ["rope.scaling.type", "rope.scaling.factor"], {"rope.scale_linear": 4.0}),
              "llama-linear")
        # layers that predict further tokens come last
        extra = changed("deepseek3", change={"nextn_predict_layers": 1, "block_count": 4})
        close(extra, "deepseek3")
        for name, change, words in (("deepseek3", {"attention.temperature_scale": .5}, "sharper"),
                                    ("olmo3", {"attention.sliding_window_pattern": [True] * 4}, "sliding_window_pattern"),
                                    ("olmo3", {"attention.sliding_window_pattern": 4}, "sliding_window_pattern")):
            r = subprocess.run([SCRUPLE, "activations", changed(name, change=change), "--ids", "1", "-q"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
            self.assertEqual((r.returncode != 0, r.stdout), (True, ""))
            self.assertIn(words, r.stderr)

    def test_a_prefix_gives_the_same_bits(self):
        """Attention is causal: what comes later changes nothing (but where the length chooses the rotation)."""
        for name in ("llama3", "gemma3", "mixtral", "deepseek2"):
            with self.subTest(model=name):
                long, _ = run(self.models[name][2], self.out())
                short, _ = run(self.models[name][2], self.out(), ids=IDS[:11])
                self.assertEqual(long["logits"][:11].tobytes(), short["logits"].tobytes())

    def test_figures_are_those_of_the_values(self):
        got, doc = run(self.models["qwen2moe"][2], self.out())
        rows = {(r["layer"], r["hook"]): r for r in doc["activations"]}
        for layer in range(3):
            v = got[f"residual.{layer}"].astype(float)
            r = rows[(str(layer), "residual")]
            self.assertAlmostEqual(r["rms"], np.sqrt((v * v).mean()), delta=1e-9)
            self.assertAlmostEqual(r["median_abs"], np.median(np.abs(v)), delta=1e-9)
            self.assertAlmostEqual(r["min"], v.min())
            self.assertAlmostEqual(r["max"], v.max())
            self.assertEqual((r["token"], r["channel"]), np.unravel_index(np.abs(v).argmax(), v.shape))
            self.assertAlmostEqual(r["kurtosis"], ((v - v.mean()) ** 4).mean() / v.var() ** 2, delta=1e-9)
            np.testing.assert_allclose(r["quantiles"], np.percentile(v, [1, 5, 25, 50, 75, 95, 99]), atol=1e-9)
            heads = np.array([got[f"attention.{layer}.{h}"] for h in range(4)], float)
            sink = doc["sinks"][layer]
            self.assertAlmostEqual(sink["mass"], heads[:, 1:, 0].mean(), delta=1e-6)
            self.assertEqual(sink["head"], heads[:, 1:, 0].mean(1).argmax())
        logits = got["logits"][-1].astype(float)
        p = np.exp(logits - logits.max())
        p /= p.sum()
        self.assertEqual([n["id"] for n in doc["next"]], list(np.argsort(-logits, kind="stable")[:10]))
        np.testing.assert_allclose([n["probability"] for n in doc["next"]], np.sort(p)[::-1][:10], atol=1e-6)

    def refused(self, name, change, *words, drop=(), add=None):
        c, tensors, _ = self.models[name]
        tensors = {**tensors, **(add or {})}
        folder = os.path.join(self.dir, "refused")
        shutil.rmtree(folder, ignore_errors=True)
        ref.write_folder(folder, {**c, **change}, {k: v for k, v in tensors.items() if k not in drop})
        r = subprocess.run([SCRUPLE, "activations", folder, "--ids", "1,2", "-q"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, universal_newlines=True)
        self.assertNotEqual(r.returncode, 0)
        self.assertEqual(r.stdout, "")
        for w in words:
            self.assertIn(w, r.stderr)
        self.assertEqual(r.stderr.count("\n"), 1, r.stderr)

    def test_what_cannot_be_run_is_refused_with_the_reason(self):
        self.refused("llama", {"architectures": ["MambaForCausalLM"]}, "MambaForCausalLM")
        self.refused("llama", {"rope_scaling": {"type": "spiral", "factor": 2.0}}, "spiral")
        self.refused("llama", {"hidden_act": "relu6"}, "relu6")
        self.refused("llama", {"num_attention_heads": 0}, "num_attention_heads")
        self.refused("llama", {"num_attention_heads": "four"}, "num_attention_heads")
        self.refused("llama", {"num_key_value_heads": 3}, "4 heads", "3")
        self.refused("llama", {"num_hidden_layers": 9}, "layers.3")
        self.refused("llama", {"intermediate_size": 100}, "mlp")
        self.refused("llama", {}, "layers.1.mlp.down_proj", drop=["model.layers.1.mlp.down_proj.weight"])
        self.refused("mixtral", {"num_experts_per_tok": 9}, "9 of 5 experts")
        self.refused("llama", {"partial_rotary_factor": 1e300}, "partial_rotary_factor")
        self.refused("llama", {"rms_norm_eps": -1}, "epsilon")
        self.refused("llama", {"rope_scaling": "linear"}, "rope_scaling")
        self.refused("gemma3", {"layer_types": "sliding_attention"}, "layer_types")
        self.refused("gemma3", {"layer_types": [1] * 7}, "layer_types")
        self.refused("gemma3", {"head_dim": 15}, "15")
        self.refused("mixtral", {"num_local_experts": 65536, "num_hidden_layers": 10000}, "65536 experts")
        self.refused("qwen2moe", {"shared_expert_intermediate_size": None}, "shared expert")
        self.refused("llama", {}, "lm_head", drop=["lm_head.weight"])
        self.refused("llama", {}, "mean the same",
                     add={"norm.weight": self.models["llama"][1]["model.norm.weight"]})

    def test_scaling_of_nested_rope_parameters(self):
        """Newer configurations of Gemma 3 have one set of numbers for each kind of layer."""
        c, tensors, folder = self.models["gemma3"]
        new = {k: v for k, v in c.items() if not k.startswith("rope")}
        new["rope_parameters"] = {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": c["rope_theta"]},
            "sliding_attention": {"rope_type": "default", "rope_theta": c["rope_local_base_freq"]}}
        other = ref.write_folder(os.path.join(self.dir, "nested"), new, tensors)
        self.same(run(folder, self.out())[0], run(other, self.out())[0])

    def test_what_attention_takes_counts(self):
        """Attention that is shown is a square of the length."""
        ids = ",".join(["1"] * 6000)
        r = subprocess.run([SCRUPLE, "activations", self.models["llama"][2], "--ids", ids, "--memory", "128M", "-q"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        self.assertEqual((r.returncode, r.stdout), (5, ""))
        self.assertIn("--memory", r.stderr)

    def test_hooks_that_name_nothing(self):
        for hook in ("", ",", "residuals"):
            r = subprocess.run([SCRUPLE, "activations", self.models["llama"][2], "--ids", "1", "--hook", hook],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
            self.assertEqual((r.returncode, r.stdout), (2, ""), hook)

    def test_codes_of_an_unknown_format(self):
        c, tensors, _ = self.models["llama"]
        folder = ref.write_folder(os.path.join(self.dir, "codes"), c, tensors)
        path = os.path.join(folder, "model.safetensors")
        with open(path, "rb") as f:
            data = f.read()
        n = int.from_bytes(data[:8], "little")
        head = json.loads(data[8:8 + n])
        head["model.layers.1.mlp.up_proj.weight"]["dtype"] = "I32"
        text = json.dumps(head).encode()
        with open(path, "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text + data[8 + n:])
        r = subprocess.run([SCRUPLE, "activations", folder, "--ids", "1", "-q"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, universal_newlines=True)
        self.assertEqual((r.returncode != 0, r.stdout), (True, ""))
        self.assertIn("whole numbers", r.stderr)

    def test_tokens_that_the_model_does_not_have(self):
        for ids, words in (("1,150", "150"), ("", "--ids"), ("1,x", "holds x"), ("-1", "")):
            r = subprocess.run([SCRUPLE, "activations", self.models["llama"][2], "--ids=" + ids],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertIn(words, r.stderr)


if __name__ == "__main__":
    unittest.main()
