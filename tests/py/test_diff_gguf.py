# SPDX-License-Identifier: Apache-2.0
"""scruple diff of a GGUF and the safetensors that it was converted from.

Models in the shapes and names of Hugging Face are converted here by llama.cpp's rules, with a GGUF
writer and encoders (F16, BF16, Q8_0, Q4_0) of this test's own, in numpy. Every tensor has to diff as
unchanged or as exactly its quantisation; with a rule that is broken on purpose, as changed.
"""
import struct
import unittest

from test_diff import DiffCase, np
from test_scan import bf16, save, value

F32, F16, Q4_0, Q8_0, BF16 = 0, 1, 2, 8, 30


# ------------------------------------------------------------------------------------------ GGUF
def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def key(name, x):
    if isinstance(x, str):
        return text(name) + struct.pack("<I", 8) + text(x)
    if isinstance(x, bool):
        return text(name) + struct.pack("<I?", 7, x)
    if isinstance(x, float):
        return text(name) + struct.pack("<If", 6, x)
    if isinstance(x, list):  # of truth values
        return text(name) + struct.pack("<IIQ", 9, 7, len(x)) + bytes(x)
    return text(name) + struct.pack("<II", 4, x)


def q8_0(x):
    """ggml's: d = amax / 127, rounded to half only where it is stored; halves away from zero."""
    x = x.astype("f4").reshape(-1, 32)
    d = (np.abs(x).max(axis=1) / np.float32(127)).astype("f4")
    with np.errstate(divide="ignore"):
        scale = np.where(d == 0, np.float32(0), np.float32(1) / d).astype("f4")
    scaled = (x * scale[:, None]).astype("f4")
    codes = (np.sign(scaled) * np.floor(np.abs(scaled) + np.float32(.5))).astype("i1")
    return b"".join(h.tobytes() + c.tobytes() for h, c in zip(d.astype("f2"), codes))


def q4_0(x):
    x = x.astype("f4").reshape(-1, 32)
    largest = x[np.arange(len(x)), np.abs(x).argmax(axis=1)]
    d = (largest / np.float32(-8)).astype("f4")
    with np.errstate(divide="ignore"):
        scale = np.where(d == 0, np.float32(0), np.float32(1) / d).astype("f4")
    codes = np.minimum(15, np.trunc((x * scale[:, None]).astype("f4") + np.float32(8.5))).astype("u1")
    packed = codes[:, :16] | codes[:, 16:] << 4
    return b"".join(h.tobytes() + c.tobytes() for h, c in zip(d.astype("f2"), packed))


ENCODERS = {F32: lambda x: x.astype("f4").tobytes(), F16: lambda x: x.astype("f4").astype("f2").tobytes(),
            BF16: lambda x: bf16(x).tobytes(), Q8_0: q8_0, Q4_0: q4_0}
NAMES = {F32: "F32", F16: "F16", BF16: "BF16", Q8_0: "Q8_0", Q4_0: "Q4_0"}


def write_gguf(path, keys, tensors, kind):
    """As the converter chooses: vectors and routers as F32, the rest as `kind`."""
    head, data = b"", b""
    for name, x in tensors.items():
        k = F32 if x.ndim == 1 or "ffn_gate_inp." in name or x.shape[-1] % 32 else kind
        data += b"\0" * (-len(data) % 32)
        head += text(name) + struct.pack("<I", x.ndim)
        head += b"".join(struct.pack("<Q", d) for d in reversed(x.shape)) + struct.pack("<IQ", k, len(data))
        data += ENCODERS[k](np.ascontiguousarray(x))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(
        key(k, x) for k, x in keys.items()) + head
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32) + data)


# ------------------------------------------------------------------------- what the converter does
def permute(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


H, I, V, HEADS, KV, L = 64, 96, 128, 8, 2, 2


class Maker:
    """A Hugging Face model in `hf` (bf16 codes) and its conversion in `gguf` (float32)."""

    def __init__(self, rng, arch, wrap=bf16, **more):
        self.rng, self.wrap, self.hf, self.gguf = rng, wrap, {}, {}
        self.keys = {"general.architecture": arch, f"{arch}.block_count": L, f"{arch}.embedding_length": H,
                     f"{arch}.attention.head_count": HEADS, f"{arch}.attention.head_count_kv": KV}
        self.keys.update({f"{arch}.{k}": x for k, x in more.items()})

    def new(self, shape, mean=0.):
        return self.wrap(self.rng.normal(mean, .05, shape))

    def put(self, hf, gguf, shape, change=lambda x: x, mean=0.):
        """One tensor of both; gguf may be None, a name, or {name: function}."""
        x = self.hf[hf] = self.new(shape, mean)
        v = value(x).astype("f4")
        if isinstance(gguf, dict):
            self.gguf.update({k: f(v) for k, f in gguf.items()})
        elif gguf:
            self.gguf[gguf] = change(v)

    def ends(self, embedding="model.embed_tokens.weight", norm="model.norm.weight", head="lm_head.weight", shift=0):
        self.put(embedding, "token_embd.weight", (V, H))
        self.put(norm, "output_norm.weight", (H,), lambda x: x + np.float32(shift), mean=1 - shift)
        if head:
            self.put(head, "output.weight", (V, H))


def llama(rng, permuted=permute, wrap=bf16, head=True):
    m = Maker(rng, "llama", wrap)
    for i in range(L):
        p, b = f"model.layers.{i}.", f"blk.{i}."
        m.put(p + "self_attn.q_proj.weight", b + "attn_q.weight", (H, H), lambda x: permuted(x, HEADS))
        m.put(p + "self_attn.k_proj.weight", b + "attn_k.weight", (H // 4, H), lambda x: permuted(x, KV))
        m.put(p + "self_attn.q_proj.bias", b + "attn_q.bias", (H,), lambda x: permuted(x, HEADS))
        m.put(p + "self_attn.v_proj.weight", b + "attn_v.weight", (H // 4, H))
        m.put(p + "self_attn.o_proj.weight", b + "attn_output.weight", (H, H))
        m.put(p + "input_layernorm.weight", b + "attn_norm.weight", (H,), mean=1.)
        m.put(p + "post_attention_layernorm.weight", b + "ffn_norm.weight", (H,), mean=1.)
        m.put(p + "mlp.gate_proj.weight", b + "ffn_gate.weight", (I, H))
        m.put(p + "mlp.up_proj.weight", b + "ffn_up.weight", (I, H))
        m.put(p + "mlp.down_proj.weight", b + "ffn_down.weight", (H, I))
    m.ends(head="lm_head.weight" if head else None)
    m.gguf["rope_freqs.weight"] = np.ones(4, "f4")
    return m


def qwen2(rng):
    m = Maker(rng, "qwen2")
    for i in range(L):
        p, b = f"model.layers.{i}.", f"blk.{i}."
        for a, g, n in (("q", "attn_q", H), ("k", "attn_k", H // 4), ("v", "attn_v", H // 4)):
            m.put(p + f"self_attn.{a}_proj.weight", b + g + ".weight", (n, H))
            m.put(p + f"self_attn.{a}_proj.bias", b + g + ".bias", (n,))
        m.put(p + "self_attn.o_proj.weight", b + "attn_output.weight", (H, H))
        m.put(p + "input_layernorm.weight", b + "attn_norm.weight", (H,), mean=1.)
        m.put(p + "post_attention_layernorm.weight", b + "ffn_norm.weight", (H,), mean=1.)
        for a in ("gate", "up"):
            m.put(p + f"mlp.{a}_proj.weight", b + f"ffn_{a}.weight", (I, H))
        m.put(p + "mlp.down_proj.weight", b + "ffn_down.weight", (H, I))
    m.ends(head=None)  # tied
    return m


def gemma2(rng, wrap=bf16, shift=1, arch="gemma2"):
    m = Maker(rng, arch, wrap)
    one = np.float32(shift)
    for i in range(L):
        p, b = f"model.layers.{i}.", f"blk.{i}."
        for a, g, n in (("q", "attn_q", H), ("k", "attn_k", H // 4), ("v", "attn_v", H // 4)):
            m.put(p + f"self_attn.{a}_proj.weight", b + g + ".weight", (n, H))
        m.put(p + "self_attn.o_proj.weight", b + "attn_output.weight", (H, H))
        for a, g in (("input", "attn_norm"), ("post_attention", "post_attention_norm"),
                     ("pre_feedforward", "ffn_norm"), ("post_feedforward", "post_ffw_norm")):
            m.put(p + a + "_layernorm.weight", b + g + ".weight", (H,),
                  lambda x: value((x.astype("f2") + np.float16(shift)) if wrap is half else x + one).astype("f4"))
        for a in ("gate", "up"):
            m.put(p + f"mlp.{a}_proj.weight", b + f"ffn_{a}.weight", (I, H))
        m.put(p + "mlp.down_proj.weight", b + "ffn_down.weight", (H, I))
    m.put("model.embed_tokens.weight", "token_embd.weight", (V, H))
    m.put("model.norm.weight", "output_norm.weight", (H,), lambda x: x + one if wrap is bf16 else
          (x.astype("f2") + np.float16(shift)).astype("f4"))
    return m


def half(x):
    return np.asarray(x).astype("f2")


def mixtral(rng, swapped=False, experts=4):
    m = Maker(rng, "llama", expert_count=experts)
    for i in range(L):
        p, b = f"model.layers.{i}.", f"blk.{i}."
        m.put(p + "self_attn.q_proj.weight", b + "attn_q.weight", (H, H), lambda x: permute(x, HEADS))
        m.put(p + "self_attn.k_proj.weight", b + "attn_k.weight", (H // 4, H), lambda x: permute(x, KV))
        m.put(p + "self_attn.v_proj.weight", b + "attn_v.weight", (H // 4, H))
        m.put(p + "self_attn.o_proj.weight", b + "attn_output.weight", (H, H))
        m.put(p + "input_layernorm.weight", b + "attn_norm.weight", (H,), mean=1.)
        m.put(p + "post_attention_layernorm.weight", b + "ffn_norm.weight", (H,), mean=1.)
        m.put(p + "block_sparse_moe.gate.weight", b + "ffn_gate_inp.weight", (experts, H))
        for w, g, shape in (("w1", "gate", (I, H)), ("w3", "up", (I, H)), ("w2", "down", (H, I))):
            stack = []
            for e in range(experts):
                m.put(p + f"block_sparse_moe.experts.{e}.{w}.weight", None, shape)
                stack.append(value(m.hf[p + f"block_sparse_moe.experts.{e}.{w}.weight"]).astype("f4"))
            if swapped:
                stack[0], stack[1] = stack[1], stack[0]
            m.gguf[b + f"ffn_{g}_exps.weight"] = np.stack(stack)
    m.ends()
    return m


def phi3(rng):
    m = Maker(rng, "phi3")
    for i in range(L):
        p, b = f"model.layers.{i}.", f"blk.{i}."
        m.put(p + "self_attn.qkv_proj.weight", b + "attn_qkv.weight", (H + H // 2, H))
        m.put(p + "self_attn.o_proj.weight", b + "attn_output.weight", (H, H))
        m.put(p + "input_layernorm.weight", b + "attn_norm.weight", (H,), mean=1.)
        m.put(p + "post_attention_layernorm.weight", b + "ffn_norm.weight", (H,), mean=1.)
        m.put(p + "mlp.gate_up_proj.weight", b + "ffn_up.weight", (2 * I, H))
        m.put(p + "mlp.down_proj.weight", b + "ffn_down.weight", (H, I))
    m.ends()
    return m


def gpt2(rng):
    m = Maker(rng, "gpt2")
    turn = lambda x: x.T  # noqa: E731
    for i in range(L):
        p, b = f"h.{i}.", f"blk.{i}."
        for a, g, n, k in (("attn.c_attn", "attn_qkv", H, 3 * H), ("attn.c_proj", "attn_output", H, H),
                           ("mlp.c_fc", "ffn_up", H, 4 * H), ("mlp.c_proj", "ffn_down", 4 * H, H)):
            m.put(p + a + ".weight", b + g + ".weight", (n, k), turn)
            m.put(p + a + ".bias", b + g + ".bias", (k,))
        for a, g in (("ln_1", "attn_norm"), ("ln_2", "ffn_norm")):
            m.put(p + a + ".weight", b + g + ".weight", (H,), mean=1.)
            m.put(p + a + ".bias", b + g + ".bias", (H,))
        m.put(p + "attn.bias", None, (1, 1, 8, 8))
    m.put("wte.weight", "token_embd.weight", (V, H))
    m.put("wpe.weight", "position_embd.weight", (32, H))
    m.put("ln_f.weight", "output_norm.weight", (H,), mean=1.)
    m.put("ln_f.bias", "output_norm.bias", (H,))
    return m


def neox(rng):
    m = Maker(rng, "gptneox")
    m.keys["gptneox.attention.head_count_kv"] = HEADS
    order = lambda x: x.reshape(HEADS, 3, H // HEADS, -1).swapaxes(0, 1).reshape(x.shape)  # noqa: E731
    for i in range(L):
        p, b = f"gpt_neox.layers.{i}.", f"blk.{i}."
        m.put(p + "attention.query_key_value.weight", b + "attn_qkv.weight", (3 * H, H), order)
        m.put(p + "attention.query_key_value.bias", b + "attn_qkv.bias", (3 * H,), order)
        m.put(p + "attention.dense.weight", b + "attn_output.weight", (H, H))
        m.put(p + "mlp.dense_h_to_4h.weight", b + "ffn_up.weight", (4 * H, H))
    m.put("gpt_neox.embed_in.weight", "token_embd.weight", (V, H))
    return m


def grouped(rng, arch):
    """InternLM2 takes q, k and v apart and weaves the rows; Falcon only sorts them."""
    m = Maker(rng, arch)
    q, d = HEADS // KV, H // HEADS

    def part(at, heads, woven):
        def f(x):
            x = x.reshape(KV, q + 2, d, H)[:, at].reshape(-1, H)
            return permute(x, heads) if woven else x
        return f
    parts = {"q": part(slice(0, q), HEADS, arch != "falcon"), "k": part(slice(q, q + 1), KV, arch != "falcon"),
             "v": part(slice(q + 1, q + 2), 0, False)}
    for i in range(L):
        if arch == "falcon":
            m.put(f"transformer.h.{i}.self_attention.query_key_value.weight", f"blk.{i}.attn_qkv.weight",
                  (H + 2 * KV * d, H), lambda x: np.concatenate([f(x) for f in parts.values()]))
        else:
            m.put(f"model.layers.{i}.attention.wqkv.weight", {f"blk.{i}.attn_{k}.weight": f for k, f in parts.items()},
                  (H + 2 * KV * d, H))
            m.put(f"model.layers.{i}.feed_forward.w1.weight", f"blk.{i}.ffn_gate.weight", (I, H))
    return m


def gpt_oss(rng):
    m = Maker(rng, "gpt-oss", expert_count=4)
    for i in range(L):
        p, b = f"model.layers.{i}.", f"blk.{i}."
        m.put(p + "mlp.experts.gate_up_proj", {b + "ffn_gate_exps.weight": lambda x: x.swapaxes(1, 2)[:, ::2],
                                               b + "ffn_up_exps.weight": lambda x: x.swapaxes(1, 2)[:, 1::2]}, (4, H, 2 * I))
        m.put(p + "mlp.experts.gate_up_proj_bias", {b + "ffn_gate_exps.bias": lambda x: x[:, ::2],
                                                    b + "ffn_up_exps.bias": lambda x: x[:, 1::2]}, (4, 2 * I))
        m.put(p + "mlp.experts.down_proj", b + "ffn_down_exps.weight", (4, I, H), lambda x: x.swapaxes(1, 2))
        m.put(p + "mlp.experts.down_proj_bias", b + "ffn_down_exps.bias", (4, H))
        m.put(p + "post_attention_layernorm.weight", b + "post_attention_norm.weight", (H,), mean=1.)
        m.put(p + "self_attn.sinks", b + "attn_sinks.weight", (HEADS,))
    return m


def deepseek2(rng):
    m = Maker(rng, "deepseek2", expert_count=4)
    nope, own, rank = 32, 64, 96
    for i in range(L):
        p, b = f"model.layers.{i}.", f"blk.{i}."
        per_head = lambda x: x.reshape(HEADS, nope + own, rank)  # noqa: E731
        m.put(p + "self_attn.kv_b_proj.weight",
              {b + "attn_k_b.weight": lambda x: per_head(x)[:, :nope].swapaxes(1, 2),
               b + "attn_v_b.weight": lambda x: per_head(x)[:, nope:]}, (HEADS * (nope + own), rank))
        m.put(p + "mlp.gate.e_score_correction_bias", b + "exp_probs_b.bias", (4,))
        for a in ("gate", "up", "down"):
            shape = (H, I) if a == "down" else (I, H)
            for e in range(4):
                m.put(p + f"mlp.experts.{e}.{a}_proj.weight", None, shape)
            m.gguf[b + f"ffn_{a}_exps.weight"] = np.stack(
                [value(m.hf[p + f"mlp.experts.{e}.{a}_proj.weight"]).astype("f4") for e in range(4)])
    return m


def qwen_moe(rng):
    """Stacked on both sides, gate and up fused in one."""
    m = Maker(rng, "qwen3moe", expert_count=4)
    for i in range(L):
        p, b = f"model.layers.{i}.", f"blk.{i}."
        m.put(p + "mlp.experts.gate_up_proj", {b + "ffn_gate_exps.weight": lambda x: x[:, :I],
                                               b + "ffn_up_exps.weight": lambda x: x[:, I:]}, (4, 2 * I, H))
        m.put(p + "mlp.experts.down_proj", b + "ffn_down_exps.weight", (4, H, I))
    return m


# ------------------------------------------------------------------------------------------ tests
class Converted(DiffCase):
    def pairs(self, m, kind, *words, turned=False):
        save(self.at("a.safetensors"), m.hf)
        write_gguf(self.at("b.gguf"), m.keys, m.gguf, kind)
        paths = [self.at("a.safetensors"), self.at("b.gguf")]
        return self.diff(*(paths[::-1] if turned else paths), *words)

    def check_explained(self, make, kinds=(F16, BF16, Q8_0, Q4_0), one_sided=(), **more):
        for kind in kinds:
            for turned in (False, True):
                m = make(np.random.default_rng(5), **more)
                with self.subTest(kind=NAMES[kind], turned=turned):
                    document = self.pairs(m, kind, turned=turned)
                    seen = set()
                    for p in document["pairs"]:
                        name = p["name"] or p["name_b"]
                        gguf, hf = (p["name"], p["name_b"]) if turned else (p["name_b"], p["name"])
                        if any(name.endswith(x) for x in one_sided):
                            self.assertIn(p["status"], ("only_a", "only_b"), name)
                            self.assertIsNotNone(p["why"], name)
                            continue
                        self.assertIn(p["verdict"], ("bits", "values", "cast"), (name, p["transform"], p["rms"]))
                        seen |= {gguf, hf}
                        if p["verdict"] != "cast":
                            self.assertEqual(("same", 0), (p["status"], p["changed"]), name)
                            continue
                        cast = p["cast"]
                        self.assertEqual(NAMES[kind], cast["type"], name)
                        self.assertEqual(("b" if turned else "a", 0), (cast["of"], cast["unexplained"]), name)
                    missing = {n for n in (*m.hf, *m.gguf) if not n.endswith(tuple(one_sided) or "?")} - seen
                    self.assertEqual(set(), missing)

    def test_llama(self):
        self.check_explained(llama, one_sided=("rope_freqs.weight",))

    def test_qwen2(self):
        self.check_explained(qwen2)

    def test_gemma(self):
        self.check_explained(gemma2)
        self.check_explained(gemma2, arch="gemma3")

    def test_gemma_in_half(self):
        self.check_explained(gemma2, wrap=half, kinds=(F16,))

    def test_mixtral(self):
        self.check_explained(mixtral)

    def test_phi3(self):
        self.check_explained(phi3)

    def test_gpt2(self):
        self.check_explained(gpt2, one_sided=(".attn.bias",))

    def test_other_orders(self):
        for make in (neox, gpt_oss, deepseek2, qwen_moe):
            with self.subTest(make.__name__):
                self.check_explained(make, kinds=(F16, BF16, Q8_0))
        for arch in ("internlm2", "falcon"):
            with self.subTest(arch):
                self.check_explained(grouped, kinds=(BF16, Q8_0), arch=arch)

    def test_heads_by_their_size(self):
        """A number of heads a layer is a list in the keys: the size of a head tells."""
        def make(rng):
            m = llama(rng)
            del m.keys["llama.attention.head_count_kv"]
            m.keys["llama.attention.key_length"] = H // HEADS
            return m
        self.check_explained(make, kinds=(F16,), one_sided=("rope_freqs.weight",))

    def test_says_what_was_undone(self):
        p = {x["name"]: x for x in self.pairs(llama(self.rng), BF16)["pairs"]}
        self.assertEqual("rows of 8 heads put back", p["model.layers.0.self_attn.q_proj.weight"]["transform"])
        self.assertEqual("rows of 2 heads put back", p["model.layers.1.self_attn.k_proj.weight"]["transform"])
        self.assertIsNone(p["model.layers.0.self_attn.v_proj.weight"]["transform"])
        text = self.run_it(self.at("a.safetensors"), self.at("b.gguf")).stdout.decode()
        self.assertIn("Undone before comparing\n  rows of 2 heads put back, and the like: 6 tensors\n", text)
        p = {x["name"]: x for x in self.pairs(gemma2(self.rng), BF16)["pairs"]}
        self.assertEqual("1 added", p["model.norm.weight"]["transform"])
        p = {x["name"]: x for x in self.pairs(mixtral(self.rng), BF16)["pairs"]}
        x = p["model.layers.1.block_sparse_moe.experts.3.w2.weight"]
        self.assertEqual(("expert 3 of a stack", "part", "blk.1.ffn_down_exps.weight"),
                         (x["transform"], x["rule"], x["name_b"]))
        self.assertEqual(I * H, x["values"])

    def test_same_bytes_for_any_threads_and_processor(self):
        m = mixtral(self.rng)
        save(self.at("a.safetensors"), m.hf)
        write_gguf(self.at("b.gguf"), m.keys, m.gguf, Q8_0)
        words = [self.at("a.safetensors"), self.at("b.gguf"), "--json", "--no-cache", "--cast", "q4_0,fp8"]
        want = self.run_it(*words, "-j", "1").stdout
        for threads in ("2", "5"):
            for level in ("c", "avx2", "avx512"):
                self.assertEqual(want, self.run_it(*words, "-j", threads, SCRUPLE_CPU=level).stdout, (threads, level))
        # and once more from the cache
        words.remove("--no-cache")
        self.run_it(*words)
        again = self.run_it(*words, "-v")
        self.assertIn(b"known from an earlier diff", again.stderr)

    # What must not be explained away.
    def test_wrong_rows(self):
        for wrong in (lambda x, n: x, lambda x, n: permute(x, n // 2), lambda x, n: permute(permute(x, n), n)):
            bad = {x["name"] for x in self.pairs(llama(self.rng, wrong), F16)["pairs"] if x["verdict"] == "changed"}
            self.assertEqual({f"model.layers.{i}.self_attn.{n}" for i in range(L)
                              for n in ("q_proj.weight", "k_proj.weight", "q_proj.bias")}, bad)

    def test_wrong_norms(self):
        for arch in ("gemma2", "gemma3"):
            got = self.pairs(gemma2(self.rng, shift=0, arch=arch), F16)["pairs"]
            self.assertEqual({p["name"] for p in got if "norm" in p["name"]},
                             {p["name"] for p in got if p["verdict"] == "changed"})

    def test_swapped_experts(self):
        got = self.pairs(mixtral(self.rng, swapped=True), F16)["pairs"]
        self.assertEqual({p["name"] for p in got if ".experts.0." in p["name"] or ".experts.1." in p["name"]},
                         {p["name"] for p in got if p["verdict"] == "changed"})

    def test_one_value(self):
        """One element off by one step is found, and counted."""
        m = llama(self.rng)
        x = m.gguf["blk.1.ffn_down.weight"]
        x[5, 7] *= np.float32(1.5)
        for kind in (F16, BF16, Q8_0):
            got = [p for p in self.pairs(m, kind)["pairs"] if p["verdict"] == "changed"]
            self.assertEqual(["model.layers.1.mlp.down_proj.weight"], [p["name"] for p in got])
            if kind == BF16:
                self.assertEqual((1, None), (got[0]["changed"], got[0]["cast"]))
            else:
                self.assertTrue(1 <= got[0]["cast"]["unexplained"] <= 32, got[0]["cast"])

    def test_no_transform_between_equals(self):
        """Two GGUFs, or two checkpoints of Meta's order, are compared as they are."""
        m = llama(self.rng)
        write_gguf(self.at("a.gguf"), m.keys, m.gguf, F16)
        write_gguf(self.at("b.gguf"), m.keys, m.gguf, F16)
        document = self.diff(self.at("a.gguf"), self.at("b.gguf"), exits=(0,))
        self.assertTrue(all(p["transform"] is None and p["verdict"] == "bits" for p in document["pairs"]))
        names = {"self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk"}
        meta = {}
        for n in ("q", "k"):
            meta[f"layers.0.attention.w{n}.weight"] = bf16(m.gguf[f"blk.0.attn_{n}.weight"])
        save(self.at("meta.safetensors"), meta)
        got = self.diff(self.at("meta.safetensors"), self.at("a.gguf"))["pairs"]
        both = [p for p in got if p["name"] and p["name_b"]]
        self.assertEqual(len(names), len(both))
        self.assertTrue(all(p["transform"] is None and p["verdict"] in ("cast", "values") for p in both), both)

    def test_fused_against_split(self):
        """Phi-3's fused matrices against the same model with its parts by themselves."""
        m = phi3(self.rng)
        parts = {}
        for name, x in m.hf.items():
            if "qkv_proj" in name:
                for k, at in (("q", slice(0, H)), ("k", slice(H, H + H // 4)), ("v", slice(H + H // 4, None))):
                    parts[name.replace("qkv_proj", k + "_proj")] = x[at]
            elif "gate_up_proj" in name:
                parts[name.replace("gate_up", "gate")], parts[name.replace("gate_up", "up")] = x[:I], x[I:]
            else:
                parts[name] = x
        a, b = self.save("a.safetensors", m.hf), self.save("b.safetensors", parts)
        for paths in ((a, b), (b, a)):
            document = self.diff(*paths, exits=(0,))
            self.assertEqual(len(parts), len(document["pairs"]))
            self.assertEqual({"bits"}, {p["verdict"] for p in document["pairs"]})


if __name__ == "__main__":
    unittest.main()
