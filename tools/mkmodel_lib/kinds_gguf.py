# SPDX-License-Identifier: Apache-2.0
"""Kinds of GGUF files."""
from . import gguf
from .registry import kind
from .sidefiles import byte_characters
from .values import product


def save(out, file, name=None):
    """Write a one-file GGUF and its expect file."""
    name = name or out.kind + ".gguf"
    out.write(name, file.pack(), weights=True)
    out.expect("gguf", file.rows(), file=name)


def put(out, file, name, type_name, shape, mean=0.0, sigma=0.02):
    """Add a tensor with plausible values."""
    file.add(name, type_name, shape,
             gguf.values(out.source, f"{out.kind}/{name}", type_name, shape, mean, sigma))


def llama_kvs(file, hidden, inter, layers, heads, kv, arch="llama", file_type=15, **more):
    """The keys a converter writes for a llama-like model."""
    file.add_kv("general.architecture", "str", arch)
    file.add_kv("general.type", "str", "model")
    file.add_kv("general.name", "str", "Fixture")
    file.add_kv("general.license", "str", "apache-2.0")
    file.add_kv("general.tags", ("arr", "str"), ["test-fixture", "text-generation"])
    file.add_kv("general.languages", ("arr", "str"), ["en"])
    file.add_kv(f"{arch}.block_count", "u32", layers)
    file.add_kv(f"{arch}.context_length", "u32", 2048)
    file.add_kv(f"{arch}.embedding_length", "u32", hidden)
    file.add_kv(f"{arch}.feed_forward_length", "u32", inter)
    file.add_kv(f"{arch}.attention.head_count", "u32", heads)
    file.add_kv(f"{arch}.attention.head_count_kv", "u32", kv)
    file.add_kv(f"{arch}.attention.layer_norm_rms_epsilon", "f32", 1e-5)
    file.add_kv(f"{arch}.rope.dimension_count", "u32", hidden // heads)
    file.add_kv(f"{arch}.rope.freq_base", "f32", 500000.0)
    for key, value in more.items():
        file.add_kv(f"{arch}.{key}", "u32", value)
    file.add_kv("general.file_type", "u32", file_type)
    file.add_kv("general.quantization_version", "u32", 2)


def tokenizer_kvs(file, vocab):
    """Tokens, scores, types and merges; one token is not UTF-8, one ends in NUL."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(16)]
    tokens += list(byte_characters().values())
    tokens = tokens[:vocab - 2] + [b"\xff\xfe", b"nul\x00"]
    tokens = tokens[:vocab] + [f"[PAD{i}]" for i in range(vocab - len(tokens))]
    kinds = [2, 3, 3] + [6] * 16 + [1] * vocab
    file.add_kv("tokenizer.ggml.model", "str", "llama")
    file.add_kv("tokenizer.ggml.pre", "str", "default")
    file.add_kv("tokenizer.ggml.tokens", ("arr", "str"), tokens)
    file.add_kv("tokenizer.ggml.scores", ("arr", "f32"), [-float(i) for i in range(vocab)])
    file.add_kv("tokenizer.ggml.token_type", ("arr", "i32"), kinds[:vocab])
    file.add_kv("tokenizer.ggml.merges", ("arr", "str"), ["t h", "th e", "i n", "a n"])
    file.add_kv("tokenizer.ggml.bos_token_id", "u32", 1)
    file.add_kv("tokenizer.ggml.eos_token_id", "u32", 2)
    file.add_kv("tokenizer.ggml.add_bos_token", "bool", True)
    file.add_kv("tokenizer.chat_template", "str", "{% for m in messages %}{{ m.content }}{% endfor %}")


def llama_tensors(out, file, hidden, inter, layers, kv, vocab, quant="Q4_K", better="Q6_K",
                  experts=0, first=0):
    """token_embd, blocks `first`.., output.  Some rows get the better type."""
    put(out, file, "token_embd.weight", quant, [vocab, hidden])
    for i in range(first, first + layers):
        block(out, file, f"blk.{i}", hidden, inter, kv, quant, better if i % 2 == 0 else quant, experts)
    put(out, file, "output_norm.weight", "F32", [hidden], 1.0, 0.06)
    put(out, file, "output.weight", better, [vocab, hidden])


def block(out, file, at, hidden, inter, kv, quant, better, experts=0):
    put(out, file, f"{at}.attn_norm.weight", "F32", [hidden], 1.0, 0.06)
    for name, shape, kind_ in (("q", [hidden, hidden], quant), ("k", [kv, hidden], quant),
                               ("v", [kv, hidden], better), ("output", [hidden, hidden], quant)):
        put(out, file, f"{at}.attn_{name}.weight", kind_, shape)
    put(out, file, f"{at}.ffn_norm.weight", "F32", [hidden], 1.0, 0.06)
    lead, tail = ([experts], "_exps") if experts else ([], "")
    if experts:
        put(out, file, f"{at}.ffn_gate_inp.weight", "F32", [experts, hidden])
    for name, shape, kind_ in (("gate", [inter, hidden], quant), ("up", [inter, hidden], quant),
                               ("down", [hidden, inter], better)):
        put(out, file, f"{at}.ffn_{name}{tail}.weight", kind_, lead + shape)


@kind("gguf-llama", "GGUF v3 llama, Q4_K / Q6_K / F32, tokenizer arrays and usual keys")
def gguf_llama(out):
    f = gguf.File()
    llama_kvs(f, 256, 256, 2, 4, 1)
    tokenizer_kvs(f, 64)
    llama_tensors(out, f, 256, 256, 2, 64, 64)
    save(out, f)


@kind("gguf-moe", "GGUF with stacked experts (ffn_gate_exps and friends)")
def gguf_moe(out):
    f = gguf.File()
    llama_kvs(f, 64, 32, 2, 4, 2, "qwen3moe", 7, expert_count=4, expert_used_count=2)
    tokenizer_kvs(f, 64)
    llama_tensors(out, f, 64, 32, 2, 32, 64, "Q8_0", "Q8_0", experts=4)
    save(out, f)


@kind("gguf-all-types", "one tensor of every tensor type")
def gguf_all_types(out):
    f = gguf.File()
    f.add_kv("general.architecture", "str", "fixture")
    for name, (_, size, _, _) in gguf.TYPES.items():
        put(out, f, f"type.{name.lower()}", name, [3, max(2 * size, 8)])
    put(out, f, "scalar.f32", "F32", [])
    put(out, f, "rank.four", "F16", [2, 1, 3, 4])
    put(out, f, "empty.rows", "Q4_0", [0, 32])
    save(out, f)


def all_values(f):
    """A key of every value type, and arrays of them."""
    samples = {"u8": 255, "i8": -128, "u16": 65535, "i16": -32768, "u32": 2 ** 32 - 1, "i32": -2 ** 31,
               "f32": 0.1, "bool": True, "str": "t\u00e9xt", "u64": 2 ** 64 - 1, "i64": -2 ** 63,
               "f64": 1e-300}
    for name, value in samples.items():
        f.add_kv(f"value.{name}", name, value)
        f.add_kv(f"array.{name}", ("arr", name), [value] * 3)
        f.add_kv(f"empty.{name}", ("arr", name), [])
    f.add_kv("value.f32.nan", "f32", float("nan"))
    f.add_kv("value.f64.inf", "f64", float("inf"))


@kind("gguf-arrays", "every value type, empty arrays, nested arrays, odd strings")
def gguf_arrays(out):
    f = gguf.File()
    f.add_kv("general.architecture", "str", "fixture")
    all_values(f)
    f.add_kv("nested.two", ("arr", ("arr", "i32")), [[1, 2, 3], [], [4]])
    f.add_kv("nested.three", ("arr", ("arr", ("arr", "str"))), [[["a", "b"], []], [["c"]]])
    f.add_kv("nested.empty", ("arr", ("arr", "f32")), [])
    f.add_kv("string.escape", "str", "\x1b[31mred\x1b[0m\x00nul")
    f.add_kv("string.bytes", "str", b"\xff\xfe\x00\x80")
    f.add_kv("string.empty", "str", "")
    put(out, f, "weight", "F32", [4, 4])
    save(out, f)


def old_version(version):
    def make(out):
        f = gguf.File(version=version)
        llama_kvs(f, 64, 64, 1, 4, 2)
        f.add_kv("array.i32", ("arr", "i32"), [1, -2, 3])
        llama_tensors(out, f, 64, 64, 1, 32, 32, "Q8_0", "F16")
        save(out, f)
    return make


kind("gguf-v1", "GGUF version 1: 32-bit counts and lengths")(old_version(1))
kind("gguf-v2", "GGUF version 2")(old_version(2))


@kind("gguf-be", "big-endian GGUF v3: F32, F16, BF16, Q8_0, I32")
def gguf_be(out):
    f = gguf.File(big=True)
    llama_kvs(f, 64, 64, 1, 4, 2)
    all_values(f)
    llama_tensors(out, f, 64, 64, 1, 32, 32, "Q8_0", "F16")
    put(out, f, "extra.bf16", "BF16", [4, 8])
    put(out, f, "extra.i32", "I32", [8])
    put(out, f, "extra.f64", "F64", [8])
    save(out, f)


@kind("gguf-split", "one model in 3 files; the first holds only metadata")
def gguf_split(out):
    whole = gguf.File()
    llama_tensors(out, whole, 64, 64, 2, 32, 64, "Q8_0", "Q8_0")
    middle = len(whole.tensors) // 2
    runs = [[], whole.tensors[:middle], whole.tensors[middle:]]
    for i, run in enumerate(runs):
        part = gguf.File()
        part.tensors = run
        if i == 0:
            llama_kvs(part, 64, 64, 2, 4, 2)
            tokenizer_kvs(part, 64)
        part.add_kv("split.no", "u16", i)
        part.add_kv("split.count", "u16", len(runs))
        part.add_kv("split.tensors.count", "i32", len(whole.tensors))
        out.write(f"model-{i + 1:05d}-of-{len(runs):05d}.gguf", part.pack(), weights=True)
    out.expect("gguf", whole.rows())


@kind("gguf-unknown-type", "tensor type 250, which nobody has defined, between two F32 tensors")
def gguf_unknown_type(out):
    f = gguf.File()
    f.add_kv("general.architecture", "str", "fixture")
    put(out, f, "a.weight", "F32", [8, 8])
    f.add("b.weight", "TYPE_250", [16, 64], out.source.raw("unknown", 704), type_id=250)
    put(out, f, "c.weight", "F32", [8, 8])
    out.write("gguf-unknown-type.gguf", f.pack(), weights=True)
    rows = f.rows()
    rows[1].bytes = None
    out.expect("gguf", rows, file="gguf-unknown-type.gguf")


@kind("gguf-fork", "every sized type of a well-known fork, rows with headers of their own")
def gguf_fork(out):
    f = gguf.File()
    f.add_kv("general.architecture", "str", "llama")
    for name, (_, size, _, _) in gguf.FORK_TYPES.items():
        put(out, f, f"fork.{name.lower()}.weight", name, [3, 2 * size])
    save(out, f)


@kind("gguf-custom-alignment", "general.alignment 64, no padding after the last tensor")
def gguf_custom_alignment(out):
    f = gguf.File(alignment=64, tail_padding=False)
    f.add_kv("general.architecture", "str", "fixture")
    for i, size in enumerate((1, 5, 16, 17, 3)):
        put(out, f, f"t.{i}", "F32", [size])
    save(out, f)


@kind("gguf-alignment-8", "general.alignment 8 and lengths that need it")
def gguf_alignment_8(out):
    f = gguf.File(alignment=8)
    f.add_kv("general.architecture", "str", "fixture")
    for i, size in enumerate((1, 3, 2)):
        put(out, f, f"t.{i}", "F16", [size])
    save(out, f)


@kind("gguf-empty", "no tensors, one key")
def gguf_empty(out):
    f = gguf.File()
    f.add_kv("general.architecture", "str", "fixture")
    save(out, f)


@kind("demo-gguf", "a 6-layer quantised GGUF llama of about 12 MB", big=True)
def demo_gguf(out):
    f = gguf.File()
    llama_kvs(f, 512, 1536, 6, 8, 2)
    tokenizer_kvs(f, 2048)
    llama_tensors(out, f, 512, 1536, 6, 128, 2048)
    save(out, f)


@kind("wide-gguf", "--tensors N (60000) tensors, sparse data", big=True)
def wide_gguf(out):
    count, shape = out.tensors or 60000, [64, 256]
    size = gguf.tensor_bytes("Q4_K", shape)
    f = gguf.File()
    f.add_kv("general.architecture", "str", "llama")
    blank = bytes(size)
    for i in range(count):
        f.add(f"blk.{i // 768}.exps.{i // 3 % 256}.{('gate', 'up', 'down')[i % 3]}.weight", "Q4_K",
              shape, blank)
    head = f.header()
    end = len(head) + count * f.padded(size)
    with open(out.path("wide-gguf.gguf"), "wb") as file:
        file.write(head)
        file.truncate(end)
    out.listed("wide-gguf.gguf", end)
    rows = f.rows()
    out.expect("gguf", rows[:2] + rows[-2:], stored=count, file="wide-gguf.gguf", partial=True,
               all_parameters=count * product(shape), all_bytes=count * size)
