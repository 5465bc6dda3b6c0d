#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make_corpus.sh: write the seeds of every fuzz target to fuzz/corpus/<x>/seed-*. They come from
# tools/mkmodel, from files of other programs in tests/data, and from below. What the fuzzer found
# lies beside them under names of its own and is left alone. The same every time it runs.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -B tools/mkmodel --all "$work" >/dev/null
rm -f fuzz/corpus/*/seed-*

PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tools python3 - "$work" <<'PY'
import io, json, pathlib, pickle, struct, sys, zipfile

from mkmodel_lib import gguf, torchfile
from mkmodel_lib.kinds_numpy import npy

FIXTURES, DATA, CORPUS = pathlib.Path(sys.argv[1]), pathlib.Path("tests/data"), pathlib.Path("fuzz/corpus")
LIMIT = 4096  # bytes of a seed


def seed(target, name, data):
    """A seed; too large ones are a mistake here."""
    data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    assert len(data) <= LIMIT, f"{target}/{name}: {len(data)} bytes"
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data)


def fixture(target, path, name=None):
    path = pathlib.Path(path)
    seed(target, name or f"{path.parent.name}-{path.stem}", path.read_bytes())


# ------------------------------------------------------------------------------- safetensors
def safetensors(doc, data=b"", pad=0):
    text = (doc if isinstance(doc, str) else json.dumps(doc, separators=(",", ":"))).encode()
    text += b" " * pad
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, begin, end, **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


for kind in ("empty", "unknown-dtype", "metadata-empty", "utf8-names", "unaligned"):
    fixture("safetensors", FIXTURES / kind / "model.safetensors", kind)
fixture("safetensors", FIXTURES / "strangers/truncated-header/model.safetensors", "truncated-header")
for name, doc, data in (
        ("two", {"a.weight": tensor("F32", [2, 3], 0, 24), "b": tensor("BF16", [], 24, 26)}, 26),
        ("hole", {"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [2], 3, 5)}, 5),
        ("overlap", {"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 2, 6)}, 6),
        ("trailing", {"a": tensor("I8", [4], 0, 4)}, 9),
        ("truncated", {"a": tensor("F64", [4], 0, 32)}, 7),
        ("packed", {"a": tensor("F4", [2, 4], 0, 4), "b": tensor("F6_E2M3", [4], 4, 7),
                    "c": tensor("F8_E8M0", [2], 7, 9), "d": tensor("C64", [1], 9, 17)}, 17),
        ("backwards", {"a": tensor("U8", [2], 4, 2)}, 4),
        ("wraps", {"a": tensor("F64", [2**61, 2, 2], 0, 0)}, 0),
        ("zero", {"a": tensor("F32", [0, 2**63, 2], 0, 0), "b": tensor("BOOL", [1], 0, 1)}, 1),
        ("metadata", {"__metadata__": {"format": "pt", "\u202e": "\x1b[31m"},
                      "a": tensor("I64", [1], 0, 8, extra=[1.5e3, None, {"k": [True]}])}, 8),
        ("metadata-null", '{"__metadata__":null,"a":{"shape":[],"dtype":"U8","data_offsets":[0,1]}}', 1),
        ("metadata-twice", '{"__metadata__":{"k":"1","k":"2"},"a":{"shape":[],"dtype":"U8","data_offsets":[0,1]}}', 1),
        ("twin", '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                 '"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', 2),
        ("escapes", '{"\\u00e9\\ud83d\\ude00\\n\\/":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
        ("comma", '{"a":{"dtype":"U8","shape":[1,],"data_offsets":[0,1]}}', 1),
        ("deep", '{"a":{"dtype":"U8","shape":[1],"x":' + "[" * 70 + "]" * 70 + "}}", 1)):
    seed("safetensors", name, safetensors(doc, bytes(data), pad=len(name) % 8))
seed("safetensors", "negative-length", b"\xff" * 8 + b'{"a":')

# -------------------------------------------------------------------------------------- gguf
for kind in ("gguf-alignment-8", "gguf-empty", "gguf-custom-alignment", "gguf-unknown-type",
             "gguf-arrays"):
    fixture("gguf", FIXTURES / kind / f"{kind}.gguf", kind)
fixture("gguf", FIXTURES / "gguf-split/model-00001-of-00003.gguf", "split-first")


def small_gguf(**options):
    f = gguf.File(**options)
    f.add_kv("general.architecture", "str", "llama")
    f.add_kv("llama.block_count", "u32", 1)
    f.add_kv("llama.rope.freq_base", "f32", 1e4)
    f.add_kv("general.flag", "bool", True)
    f.add_kv("tokenizer.ggml.tokens", ("arr", "str"), ["a", "b", b"\xff", ""])
    f.add_kv("tokenizer.ggml.scores", ("arr", "f32"), [0.5, -1])
    f.add("token_embd.weight", "F16", [4, 8], bytes(64))
    f.add("blk.0.ffn_down.weight", "Q8_0", [2, 32], bytes(68))
    f.add("blk.0.attn_q.weight", "Q4_K", [1, 256], bytes(144))
    return f.pack()


for name, options in (("v1", {"version": 1}), ("v2", {"version": 2}), ("v3", {}),
                      ("big-endian", {"big": True}), ("no-padding", {"tail_padding": False})):
    seed("gguf", name, small_gguf(**options))
seed("gguf", "huge-counts", b"GGUF" + struct.pack("<IQQ", 3, 2**62, 2**63))
seed("gguf", "huge-array", b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 4, 2**40))
seed("gguf", "version-4", b"GGUF" + struct.pack("<IQQ", 4, 0, 0))

# ------------------------------------------------------------------------------------- torch
for file in sorted((DATA / "torch").iterdir()):
    if file.suffix == ".pt" and file.stat().st_size <= LIMIT:
        seed("torch", file.stem, file.read_bytes())
for kind in ("torch-bare/torch-bare.pt", "torch-evil-bare/torch-evil-bare.bin",
             "torch-parameter/torch-parameter.pt", "torchscript/torchscript.pt"):
    fixture("torch", FIXTURES / kind, kind.split("/")[0])

storage = torchfile.Storage("FloatStorage", bytes(32))
state = {"state_dict": {"a": torchfile.Tensor(storage, [2, 3]),
                        "b": torchfile.Tensor(storage, [3, 2], stride=[1, 3], offset=1),
                        "tied": torchfile.Tensor(storage, [2, 3])},
         "epoch": 3, "lr": 0.5, "name": "x", "none": None, "nested": [{"k": (1, 2)}]}
seed("torch", "tar", torchfile.save_tar({"a": torchfile.Tensor(storage, [2, 3])})[:LIMIT])
seed("torch", "shared", torchfile.save_legacy(state))
for name, options in (("zip64", {"zip64": True, "align": 0}), ("deflated", {"deflate": True, "align": 0}),
                      ("plain", {"descriptors": False, "align": 0, "top": "x"}),
                      ("big-endian", {"big": True, "align": 0})):
    seed("torch", name, torchfile.save_zip(state, **options))
quantised = {"q": torchfile.Tensor(torchfile.Storage("QInt8Storage", bytes(6)), [2, 3],
                                   quant=("per_tensor_affine", 0.1, 0)),
             "v3": torchfile.Tensor.untyped("uint16", [3], bytes(6)),
             "p": torchfile.Tensor(torchfile.Storage("HalfStorage", bytes(8)), [4]).as_parameter()}
seed("torch", "quantised", torchfile.save_zip(quantised, align=0))
past = {"past": torchfile.Tensor(torchfile.Storage("FloatStorage", bytes(16)), [2, 3])}
seed("torch", "past-the-end", torchfile.save_zip(past, align=0))
strides = {"far": torchfile.Tensor(torchfile.Storage("FloatStorage", bytes(16)), [2, 2],
                                   stride=[2**62, 2**62])}
seed("torch", "huge-strides", torchfile.save_legacy(strides))


class Call:
    """An object that pickles as a call of module.name(*args)."""

    def __init__(self, module, name, *args):
        self.made = torchfile.stub(module, name), args

    def __reduce__(self):
        return self.made


def rebuilt(n=4, cls="FloatStorage"):
    return torchfile.Tensor(torchfile.Storage(cls, bytes(n * torchfile.STORAGES[cls][1])), [n])


half, size = torchfile.named("torch", "float16"), torchfile.stub("torch", "Size")
builders = {
    "meta": Call("torch._utils", "_rebuild_meta_tensor_no_storage", half, (2, 3), (3, 1), False),
    "wrapper": Call("torch._utils", "_rebuild_wrapper_subclass", size, half, (2,), (1,), 0, None, None, False),
    "nested": Call("torch._utils", "_rebuild_nested_tensor", rebuilt(), rebuilt(2, "LongStorage"),
                   rebuilt(2, "LongStorage"), rebuilt(2, "LongStorage")),
    "sparse": Call("torch._utils", "_rebuild_sparse_tensor", 0, (rebuilt(2, "LongStorage"), rebuilt(2), (2, 2), True)),
    "from_type": Call("torch._tensor", "_rebuild_from_type_v2", torchfile.stub("torch._utils", "_rebuild_tensor_v2"),
                      torchfile.stub("torch.nn.parameter", "Parameter"),
                      (torchfile.Storage("FloatStorage", bytes(8)), 0, (2,), (1,), False, {}), {"note": 1}),
    "device": Call("torch._utils", "_rebuild_device_tensor_from_numpy", rebuilt(), half, "cpu", False),
    True: rebuilt(1), None: rebuilt(1), 7: [rebuilt(1)], ("k", 1): rebuilt(1)}
for name in list(builders)[:6]:
    seed("torch", f"builder-{name}", torchfile.save_zip({name: builders.pop(name)}, align=0))
seed("torch", "odd-keys", torchfile.save_zip(builders, align=0))

# ------------------------------------------------------------------------------------ pickle
# The first byte: 0 no persistent ids, 1 of zip files, 2 of the stream, 3 of the tar; +4 lenient.
storages = torchfile.Storages()
for protocol in (0, 2, 4, 5):
    plain = {"i": [1, -2, 300, 2**70, -2**33], "f": 1.5, "t": ((), (1,), (1, 2, 3, 4)),
             "s": {"\u00e9", "x"}, "b": b"bytes", "y": bytearray(b"z"), "n": [None, True, False]}
    seed("pickle", f"plain-{protocol}", b"\0" + pickle.dumps(plain, protocol))
for protocol in (2, 4):
    seed("pickle", f"torch-{protocol}", b"\1" + torchfile.dumps(state, protocol, torchfile.Storages()))
seed("pickle", "stream", b"\2" + torchfile.save_legacy(state))
loop = []
loop.append(loop)
seed("pickle", "loop", b"\0" + pickle.dumps([loop, {"me": loop}], 2))
for name, code in (
        ("evil-global", b"cos\nsystem\n(S'id'\ntR."), ("evil-inst", b"(S'id'\nios\nsystem\n."),
        ("evil-popped", b"cos\nsystem\n(S'id'\ntR0N."), ("evil-stack-global", b"\x80\x04\x8c\x02os\x8c\x06system\x93)R."),
        ("memo-far", b"\x80\x02]r\xff\xff\xff\xffj\xff\xff\xff\xffa."), ("memo-missing", b"h\x07."),
        ("underflow", b"0."), ("unclosed-mark", b"((((N."), ("no-stop", b"]]]]"),
        ("frame", b"\x80\x04\x95\x03\0\0\0\0\0\0\0N."), ("frame-beyond", b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN."),
        ("extension", b"\x80\x02\x82\x01."), ("buffers", b"\x80\x05\x97\x98."),
        ("long", b"\x80\x02\x8a\x09\0\0\0\0\0\0\0\0\x01\x8b\xff\xff\xff\x7f."),
        ("text-numbers", b"(I01\nI-5\nL12345678901234567890L\nF1e400\nF-0.5\nl."),
        ("text-strings", b"(S'a\\x00\\n'\nV\\u00e9\nU\x03abcX\x02\0\0\0hiT\x01\0\0\0zt."),
        ("build", b"ccollections\nOrderedDict\n)R(dS'k'\nNsb."), ("dict-update", b"}(K\x01K\x02K\x03u."),
        ("setitems", b"}(K\x01K\x02K\x01K\x03u."), ("persid", b"P123\n."), ("binpersid", b"K\x01Q."),
        ("newobj-ex", b"\x80\x04\x8c\x01a\x8c\x01b\x93)}\x8c\x01kK\x01s\x92."),
        ("reconstructor", b"ccopyreg\n_reconstructor\n(cm\nC\nc__builtin__\nobject\n}tR."),
        ("newobj-named", b"ccopyreg\n__newobj__\n(cm\nC\nK\x01tR}b."),
        ("encode", b"c_codecs\nencode\n(X\x02\0\0\0\xc3\xbfX\x06\0\0\0latin1tR."),
        ("ordered-dict", b"ccollections\nOrderedDict\n((K\x01K\x02l(K\x03K\x04lltR."),
        ("many-dups", b"(" + b"2" * 40 + b"t."), ("list-into-itself", b"]q\0h\0a.")):
    seed("pickle", name, bytes([4 if name in ("no-stop", "memo-missing") else 1]) + code)

# ------------------------------------------------------------------------------- zip and npz
def archive(members, method=zipfile.ZIP_STORED, comment=b""):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as z:
        for name, data in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system = method, 3
            z.writestr(info, data)
        z.comment = comment
    return file.getvalue()


members = [("a/data.pkl", b"N."), ("a/data/0", bytes(range(64))), ("a/empty", b"")]
stored, deflated = archive(members), archive(members, zipfile.ZIP_DEFLATED)
seed("zip", "stored", stored)
seed("zip", "deflated", deflated)
seed("zip", "comment", archive(members, comment=b"PK\5\6 not the end"))
seed("zip", "prefix", b"#!/bin/sh\n" + stored)
seed("zip", "empty", archive([]))
seed("zip", "bomb", archive([("zeros", bytes(1 << 20))], zipfile.ZIP_DEFLATED))
seed("zip", "twins", archive([("x", b"1"), ("y", b"2")]).replace(b"y", b"x"))
seed("zip", "wrong-crc", stored.replace(bytes(range(64)), bytes(64)))
seed("zip", "bad-deflate", deflated.replace(b"PK\1\2", b"PK\1\2", 1)[:40] + b"\xff" + deflated[41:])
for name, options in (("zip64", {"zip64": True, "align": 0}), ("descriptors", {"align": 16})):
    z = torchfile.Zip(**options)
    for member, data in members:
        z.add(member, data, deflate=name == "zip64")
    seed("zip", name, z.finish())

arrays = [("a", npy("<f4", [2, 3], bytes(24))), ("b", npy("|b1", [4], bytes(4), version=2)),
          ("sub/c", npy(">f8", [], bytes(8))), ("not an array.txt", b"text")]
arrays = [(n if "." in n else n + ".npy", d) for n, d in arrays]
seed("npz", "stored", archive(arrays))
seed("npz", "deflated", archive(arrays, zipfile.ZIP_DEFLATED))
seed("npz", "short", archive([("a.npy", npy("<f4", [9, 9], bytes(5)))]))
seed("npz", "twins", archive([("a.npy", npy("|u1", [1], b"1")), ("b.npy", npy("|u1", [1], b"2"))])
     .replace(b"b.npy", b"a.npy"))
fixture("npz", DATA / "torch/numpy.npz", "numpy")
fixture("npz", DATA / "torch/numpy-compressed.npz", "numpy-compressed")

for file in sorted((DATA / "torch").glob("*.npy")):
    seed("npy", file.stem, file.read_bytes())
for name, text in (
        ("python2", "{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 4L), }"),
        ("object", "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }"),
        ("nested", "{'descr': [('x', '<f4', (2,)), (('t', 'y'), [('z', '|S3')])], "
                   "'fortran_order': True, 'shape': (1, 0), }"),
        ("huge", "{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551615, 2), }"),
        ("escapes", '{"descr": "\\x3cf4", "fortran_order": False, "shape": ()}'),
        ("unclosed", "{'descr': '<f4', 'shape': ("), ("twin", "{'descr':'<f4','descr':'<f8'}")):
    body = text.encode() + b"\n"
    seed("npy", name, b"\x93NUMPY\1\0" + struct.pack("<H", len(body)) + body + bytes(48))
seed("npy", "long-header", b"\x93NUMPY\2\0" + struct.pack("<I", 2000) +
     ("{'descr': [" + ", ".join(f"('f{i}', '<i4')" for i in range(99)) + "], 'fortran_order': False, 'shape': (1,)}")
     .encode().ljust(2000) + bytes(400))
seed("npy", "version-3", b"\x93NUMPY\3\0" + struct.pack("<I", 70) +
     "{'descr': [('\u00e9', '<f4')], 'fortran_order': False, 'shape': (1,), }".encode().ljust(70) + bytes(4))

# -------------------------------------------------------------------------------------- json
for name, text in (
        ("object", '{"a": [1, 2.5e3, -0.5E-7, true, false, null, {}, []], "b": {"c": ""}}'),
        ("string", '"text \\"\\\\\\/\\b\\f\\n\\r\\t \u00e9 \\u00e9\\ud83d\\ude00"'), ("plain", '"abc"'),
        ("largest", "18446744073709551615"), ("too-large", "18446744073709551616"), ("zero", "0"),
        ("leading-zero", "007"), ("fraction", "1.50"), ("minus", "-7"), ("nul", '"\\u0000"'),
        ("surrogate", '"\\ud800"'), ("depth-64", "[" * 64 + "]" * 64), ("depth-65", "[" * 65 + "]" * 65),
        ("not-utf8", '"\udcff"'), ("overlong", '"\udcc0\udc80"'), ("twins", '{"a":1,"a":2}'),
        ("comma", "[1,]"), ("control", '"\n"'), ("after", "{} {}"), ("blank", " \t\r\n[ ] "), ("word", "nul")):
    seed("json", name, text)
for name, inside, text in (
        ("escape", 14, '1}, "a\\u00e9\\ud83d\\ude00", 3]'), ("pair", 18, '1}, "abcd\\ud83d\\ude00", 3]'),
        ("word", 10, "1}, [true, false, null], 3]"), ("number", 9, "1}, -1.5e+7, 18446744073709551615]"),
        ("utf8", 8, '1}, "\u00e9\u4e2d\U0001f600"]'), ("colon", 9, '1}, {"k" : [ ] }]'), ("open", 60, '1}, "abc'),
        ("wrong", 3, "1}, tru, 3]"), ("after", 2, "1}]]"), ("deep", 20, "1}, " + "[" * 64 + "]" * 64 + "]")):
    seed("json_stream", name, bytes([inside]) + text.encode())

for name, text in (
        ("two", '{"metadata": {"total_size": 12}, "weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}'),
        ("escapes", '{"weight_map": {"a\\u0041\\n": "sub/d\\u00e9.bin"}}'),
        ("outside", '{"weight_map": {"a": "../x", "b": "/etc/passwd", "c": "d/../../x", "d": "..", "e": ""}}'),
        ("backslash", '{"weight_map": {"a": "..\\\\x", "b": "x\\u0000y"}}'), ("empty", '{"weight_map": {}}'),
        ("none", '{"metadata": null}'), ("twice", '{"weight_map": {"a": "x"}, "weight_map": {}}'),
        ("twin", '{"weight_map": {"a": "x", "a": "y"}}'), ("number", '{"weight_map": {"a": 1}}'),
        ("truncated", '{"weight_map": {"a": "x", "b'), ("list", "[]"), ("comma", '{"weight_map": {"a": "x",}}')):
    seed("index", name, text)

# ------------------------------------------------------------------------------ words and text
names = "\n\nmodel.layers.3.self_attn.q_proj.weight\nmodel.layers.10.mlp.down_proj.weight\nlm_head.weight\na[b]c\n"
for name, text in (("plain", "attn\nMODEL.layers.3\n.."), ("glob", "*.mlp.*\n[a-m]*\nlm?head*\n[!x-z]*\n[]]*\n[]"),
                   ("range", "layers.3-12\nlayers.3-7.mlp\n7-3.x\n3-7"), ("regex", "re:q_proj|lm\nre:^m.*t$\nre:("),
                   ("stars", "*a*b*c*d*\n***\n?*?*?"), ("near", "lm_haed\nmodle\nlayers")):
    seed("filter", name, text + names)
for name, parts in (
        ("numbers", ("layer.10.w", "layer.9.w", "layer.010.w")), ("padding", ("a0", "a01", "a1")),
        ("zeros", ("00x", "0", "000")), ("plain", ("a", "a.b", "a-b")), ("bidi", ("a\u202eb\u2066", "\u200b", "\u2028")),
        ("marks", ("e" + "\u0301" * 9, "\u0301a", "\U000e0100")), ("wide", ("\u4e2d\u6587" * 9, "\U0001f600", "\uac00")),
        ("control", ("\x1b[31m\r\b\x7f\x9b", "\0\t\n", "\ufeff"))):
    seed("text", name, b"\xff".join(p.encode() for p in parts))
seed("text", "not-utf8", b"\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xc3\xff\xe4\xb8\xff0")
for name, words in (("all", "--json\n-vv\n-d3\n--depth=7\n--memory\n1.5GiB\nmodel\n--color=never\n-o\nfile\n--\n-x"),
                    ("letters", "-jvM64k\n-\na\nb"), ("wrong", "--colr=x"), ("missing", "a\n--depth"), ("help", "-h\n--x"),
                    ("both", "--json\n--csv"), ("many", "a\nb\nc"), ("value", "--json=1"), ("list", "-i*.x\n--include\ny")):
    seed("options", name, words)

# -------------------------------------------------------------------------- models and configs
def files(*members):
    """The archive of fuzz.h."""
    out = []
    for path, data, zeros in members:
        data = data if isinstance(data, bytes) else data.encode()
        out.append(f"=== {path}{f' +{zeros}' if zeros else ''}\n".encode() + data)
    return b"\n".join(out)


def excerpt(path, wanted, most=10):
    """A safetensors file with some of its tensors: small ones first and with their data, of the
    large ones only the header. (bytes, zeros)"""
    raw = path.read_bytes()
    n, = struct.unpack("<Q", raw[:8])
    doc = json.loads(raw[8:8 + n])
    doc.pop("__metadata__", None)
    chosen = [k for k in doc if any(w in k for w in wanted)][:most]
    size = lambda k: doc[k]["data_offsets"][1] - doc[k]["data_offsets"][0]
    header, data, at = {}, b"", 0
    for k in sorted(chosen, key=lambda k: ("quant_state" not in k, size(k))):
        begin, end = doc[k]["data_offsets"]
        header[k] = tensor(doc[k]["dtype"], doc[k]["shape"], at, at + end - begin)
        at += end - begin
        if end - begin <= (1024 if "quant_state" in k else 96) and len(data) == at - (end - begin):
            data += raw[8 + n + begin:8 + n + end]
    return safetensors(header, data), at - len(data)


def config(kind, name="config.json"):
    """Without the blanks, and without what is nobody's business here."""
    doc = json.loads((FIXTURES / kind / name).read_text())
    return json.dumps(doc, separators=(",", ":"))


FAMILIES = ("gptq", "gptq-3bit", "gptq-8bit-v2", "awq", "ct-pack", "ct-pack-zp", "ct-int8", "ct-fp8-static",
            "ct-nvfp4", "modelopt-nvfp4", "modelopt-fp8", "ct-mxfp4", "fp8-block", "fp8-stacked", "fbgemm-fp8",
            "deepseek-v4", "bnb-int8", "bnb-nf4-double", "bnb-fp4", "mlx-4bit", "mlx-mxfp4", "bitnet", "hqq",
            "aqlm", "quip", "exl2", "exl3", "gpt-oss")
for kind in FAMILIES:
    data, zeros = excerpt(FIXTURES / kind / "model.safetensors", ("q_proj", "q_a_proj", "experts", ".w1.", "model.norm"))
    members = [("model.safetensors", data, zeros), ("config.json", config(kind), 0)]
    seed("model", kind, files(*members))
    seed("unpack", kind, files(*members))
    if kind in ("gptq", "bnb-nf4-double", "ct-pack", "mlx-4bit"):
        seed("model", kind + "-noconfig", files(*members[:1]))
data, zeros = excerpt(FIXTURES / "mistral-fp8/consolidated.safetensors", ("layers.0.", "norm"))
seed("model", "mistral-fp8", files(("consolidated.safetensors", data, zeros), ("params.json", config("mistral-fp8", "params.json"), 0)))
data, zeros = excerpt(FIXTURES / "moe-tiny/model.safetensors", ("gate", "q_proj"), 24)
seed("model", "moe", files(("model.safetensors", data, zeros), ("filter", "layers.1-3\nexperts", 0)))
data, zeros = excerpt(FIXTURES / "llama-tiny/model.safetensors", ("norm", "mlp"), 16)
seed("model", "llama", files(("model.safetensors", data, zeros), ("config.json", config("llama-tiny"), 0)))
shards = []
for i in (1, 2, 3):
    name = f"model-{i:05d}-of-00003.safetensors"
    shards.append((name, *excerpt(FIXTURES / "llama-sharded" / name, ("norm", "bias"), 3)))
weight_map = {k: name for name, data, _ in shards for k in json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])}
index = json.dumps({"metadata": {}, "weight_map": weight_map}, separators=(",", ":"))
seed("model", "sharded", files(("model.safetensors.index.json", index, 0), *shards))
seed("model", "shard-missing", files(("model.safetensors.index.json", index, 0), *shards[1:]))
unet = safetensors({"conv.weight": tensor("F16", [2, 2], 0, 8)}, bytes(8))
seed("model", "diffusers", files(("model_index.json", '{"_class_name":"StableDiffusionPipeline","unet":["diffusers","UNet"]}', 0),
     ("unet/diffusion_pytorch_model.safetensors", unet, 0), ("vae/diffusion_pytorch_model.safetensors", unet, 0)))
seed("model", "gguf", files(("model.gguf", small_gguf(), 0), ("filter", "blk.*.ffn", 0)))
for part in (0, 1):
    f = gguf.File()
    for key, kind, value in (("split.no", "u16", part), ("split.count", "u16", 2), ("split.tensors.count", "i32", 2)):
        f.add_kv(key, kind, value)
    f.add(f"blk.{part}.attn_q.weight", "F32", [2], bytes(8))
    (FIXTURES / f"split-{part}").write_bytes(f.pack())
split = [(f"m-{i + 1:05d}-of-00002.gguf", (FIXTURES / f"split-{i}").read_bytes(), 0) for i in (0, 1)]
seed("model", "gguf-split", files(*split))
seed("model", "gguf-split-selected", files(("selected", "m-00002-of-00002.gguf", 0), *split))
seed("model", "gguf-split-twice", files(split[0], (split[1][0], *split[0][1:])))
seed("model", "index-selected", files(("selected", "x.index.json", 0), ("x.index.json", '{"weight_map":{"conv.weight":"y"}}', 0), ("y", unet, 0)))
seed("model", "excluded", files(("exclude", "*.bin", 0), ("include", "model*\n*.npz", 0), ("model.safetensors", unet, 0), ("pytorch_model.bin", b"N.", 0)))
scaled = gguf.File()
scaled.add("blk.0.ffn_down.weight", "Q8_0", [2, 32], bytes(68))
scaled.add("blk.0.ffn_down.scale", "F32", [1], bytes(4))
seed("model", "gguf-scaled", files(("model.gguf", scaled.pack(), 0)))
seed("unpack", "gguf-scaled", files(("model.gguf", scaled.pack(), 0)))
for kind, parts in (("vptq", {"indices": ("I32", [4, 4]), "centroids.weight": ("F16", [4, 8])}),
                    ("spqr", {"dense_weights": ("I64", [4]), "row_offsets": ("I32", [5]), "col_vals": ("I32", [3])}),
                    ("mxfp8", {"weight": ("F8_E4M3", [2, 64]), "weight_scale": ("U8", [2, 2])}),
                    ("f4", {"weight": ("F4", [2, 64]), "weight_scale": ("F8_E4M3", [2, 4]), "weight_scale_2": ("F32", [])})):
    doc, at, width = {}, 0, {"F4": .5, "I32": 4, "F32": 4, "I64": 8, "F16": 2}
    for part, (dtype, shape) in parts.items():
        count = 1
        for dim in shape:
            count *= dim
        n = int(count * width.get(dtype, 1))
        doc["layers.0.up_proj." + part] = tensor(dtype, shape, at, at + n)
        at += n
    seed("model", kind, files(("model.safetensors", safetensors(doc), at)))
seed("model", "torch", files(("pytorch_model.bin", torchfile.save_zip(state, align=0), 0)))
seed("model", "evil", files(("pytorch_model.bin", (FIXTURES / "torch-evil-bare/torch-evil-bare.bin").read_bytes(), 0)))
seed("model", "npz", files(("weights.npz", archive(arrays), 0)))
seed("model", "sets", files(("model.safetensors", unet, 0), ("model.gguf", small_gguf(), 0), ("x.bin", b"N.", 0)))
seed("model", "strangers", files(("model.safetensors", "<!doctype html><html>", 0), ("b.gguf", "version https://git-lfs", 0)))
odd = {"a..b": 0, ".x": 1, "x.": 2, "": 3, "\x1b[31m": 4, "a": 5, "a.b": 6, "\u202e.0": 7, "l.00": 8, "l.01": 9, "=cmd": 10, 'q"u,o': 11}
seed("model", "odd-names", files(("model.safetensors", safetensors({k: tensor("U8", [1], v, v + 1) for k, v in odd.items()}, bytes(12)), 0)))
seed("model", "bare", safetensors({"a": tensor("U8", [1], 0, 1)}, b"x"))

import zlib
etag = b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
content = bytes((i * 131 + (i >> 8) * 17 + 1) & 255 for i in range(4096))


def summed(b):
    return b + struct.pack("<I", zlib.crc32(b))


def record(off, n):
    return summed(struct.pack("<QQI", off, n, zlib.crc32(content[off:off + n])))


head = summed(b"scrpmap\n" + struct.pack("<IIQ", 1, len(etag), 4096) + etag)
seed("ranges", "empty", b"\0" + head)
seed("ranges", "some", b"\0" + head + record(0, 100) + record(1000, 2000) + record(50, 1000))
seed("ranges", "cut", b"\1" + head + record(0, 4096) + record(100, 10))
seed("ranges", "torn", b"\0" + head + record(0, 100)[:13] + record(200, 100) + b"\0" * 30 + record(300, 9))
seed("ranges", "no-head", b"\0" + record(0, 100))
seed("ranges", "overlaps", bytes([2, 0, 100, 1, 50, 100, 1, 20, 10, 0, 0, 255, 1, 10, 10, 1, 10, 10, 0, 250, 6, 1, 255, 255, 1]))

for kind in ("llama-tiny", "vision-language", "deepseek-tiny", "gptq", "awq", "bnb-nf4-double", "ct-nvfp4", "mlx-4bit",
             "fp8-block", "hqq", "gpt-oss", "t5-tiny", "whisper-tiny"):
    seed("facts", kind, files(("config.json", config(kind), 0)))
seed("facts", "params", files(("params.json", config("mistral-fp8", "params.json"), 0)))
seed("facts", "modelopt", files(("hf_quant_config.json", config("modelopt-nvfp4", "hf_quant_config.json"), 0)))
seed("facts", "autogptq", files(("quantize_config.json", config("gptq", "quantize_config.json"), 0)))
seed("facts", "numbers", files(("config.json", '{"num_hidden_layers": -1, "hidden_size": 1e400, "vocab_size": "12", '
     '"rope_theta": NaN, "num_attention_heads": 99999999999999999999, "head_dim": 1.5, "tie_word_embeddings": 1}', 0)))
seed("facts", "types", files(("config.json", '\ufeff{"num_hidden_layers": [], "hidden_size": {}, "vocab_size": true, "head_dim": 1.5, '
     '"model_type": 3, "architectures": "x", "quantization_config": {"bits": 4.25, "group_size": -1, "weight_block_size": [0]}}', 0)))
seed("facts", "list", files(("config.json", "[1]", 0), ("params.json", "7", 0)))
seed("facts", "mlx-modules", files(("config.json", '{"quantization": {"bits": 4, "group_size": 64, "layers.0.mlp.gate": {"bits": 8, "group_size": 32}, '
     '"embed_tokens": {"bits": 6}, "lm_head": false}}', 0)))
tokenizer = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b", ["c", "d"]], "unk_token": "<u>"},
             "added_tokens": [{"id": 2, "content": "<s>", "special": True}, {"id": 3, "content": "x", "special": False}]}
settings = {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": None, "chat_template": "{{ x }}"}
seed("facts", "tokenizer", files(("tokenizer.json", json.dumps(tokenizer), 0), ("tokenizer_config.json", json.dumps(settings), 0)))
seed("facts", "unigram", files(("tokenizer.json", '{"model": {"type": "Unigram", "vocab": [["a", -1.5], ["b", 2]]}}', 0)))
seed("facts", "old-tokenizer", files(("vocab.json", '{"a": 1, "b": 2}', 0), ("merges.txt", "#version: 0.2\na b\nb c\n", 0),
     ("special_tokens_map.json", '{"unk_token": "?"}', 0), ("vocab.txt", "a\nb\n", 0), ("chat_template.jinja", "{}", 0)))
seed("facts", "card", files(("README.md", "---\nlicense: other\nlicense_name: x\nbase_model:\n- org/a\n- org/b\nbase_model_relation: quantized\n"
     "pipeline_tag: text-generation\nlibrary_name: transformers\nlanguage: [en, de]\ntags:\n  - a\n  - b\n---\n# Model\n", 0)))
seed("facts", "card-odd", files(("README.md", "---\nlicense: &x mit\nlanguage: *x\ntags: {a: [b, {c: d}]}\nbase_model: |\n  a\n  b\n---\n", 0)))
seed("facts", "gguf", files(("model.gguf", small_gguf(), 0)))
seed("facts", "broken", files(("config.json", "{", 0), ("tokenizer.json", "[", 0), ("README.md", "---\n\t- x: [\n---", 0)))

# --------------------------------------------------------------------------------------- hub
sha, sha2 = "0123456789abcdef" * 2 + "01234567", "0123456789abcdef" * 4
siblings = [{"rfilename": "config.json", "size": 600, "blobId": sha},
            {"rfilename": "sub/model.safetensors", "size": 7 * 10**11, "blobId": sha, "lfs": {"sha256": sha2, "size": 7 * 10**11, "pointerSize": 135}}]
answer = {"_id": "x", "id": "org/name", "sha": sha, "private": False, "gated": "manual", "disabled": False, "tags": ["a"], "cardData": {"license": "mit"}}
tree = [{"type": "directory", "oid": sha, "size": 0, "path": "sub"},
        {"type": "file", "oid": sha, "size": 9, "path": "sub/a.bin", "lfs": {"oid": sha2, "size": 9}, "xetHash": sha2}]
refs = {"branches": [{"name": "main", "ref": "refs/heads/main"}], "tags": [{"name": "v1"}], "converts": [], "pullRequests": [{"ref": "refs/pr/1"}]}
for name, text, body in (
        ("bare", "org/name", {**answer, "siblings": siblings}), ("quant", "org/name:Q4_K_M", {**answer, "siblings": []}),
        ("hf", "hf://datasets/org/name@refs/pr/1/a/b c", tree), ("web", "https://www.huggingface.co/models/org/name/blob/a%2Fb/x%20y?z#w", refs),
        ("prefix", "localhost:8080/hub/org/name/tree/refs/convert/parquet", [*tree, *tree]), ("url", "https://example.org/a.gguf?sig=x#y", {"sha": "main"}),
        ("file", "file:///a%20b", []), ("wrong", "hf://model/org/name", {}), ("page", "https://hf.co/gpt2/commits/main", None),
        ("scheme", "s3://bucket/key", [1, -2, 1.5e3]), ("legacy", "gpt2@v1.0", {**answer, "siblings": [{}, {"rfilename": "../x"}, {"rfilename": 1, "size": -1}]}),
        ("odd", "a/b@x..y", {**answer, "sha": sha2, "siblings": {"a": 1}}), ("twice", "~/x", {**answer, "siblings": siblings * 2})):
    seed("hub", name, text + "\n" + json.dumps(body))
# ------------------------------------------------------------------------------ HTTP headers
for name, lines in (
        ("file", ("HTTP/1.1 206 Partial Content", "Content-Range: bytes 0-99/1234", "Content-Length: 100",
                  'ETag: W/"abc"', "Content-Encoding: identity", "Content-Type: text/plain")),
        ("hub", ("HTTP/1.1 103 Early Hints", "HTTP/2 302 ", 'X-Linked-Etag: "sha"', "X-Linked-Size: 1234",
                 "X-Repo-Commit: c", "X-Xet-Hash: h", "Location: ../x?Expires=1700000000&Signature=s#f")),
        ("pages", ("HTTP/2 200", 'Link: </a>; rel="prev", <https://hub.example/b?cursor=c>; title="x,>\\""; rel="last next"',
                   'RateLimit: "api";r=0;t=123', "X-HF-Warning: topic; text")),
        ("slow", ("HTTP/1.1 429 Slow", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", "X-Request-Id: r")),
        ("dates", ("HTTP/1.1 503 No", "Retry-After: Sunday, 06-Nov-94 08:49:37 GMT", "X: Sun Nov  6 08:49:37 1994")),
        ("error", ("HTTP/1.1 416 No", "Content-Range: bytes */9", "X-Error-Code: EntryNotFound", "X-Error-Message: no")),
        ("away", ("HTTP/1.1 301 M", "Location: http://user:pw@[::1]:8080/a b/%41?X-Amz-Date=20240229T000000Z&X-Amz-Expires=60")),
        ("signed", ("HTTP/1.1 307 T", "Location: //STORE.example:443/x?se=2024-02-29T00%3A00%3A00Z"))):
    seed("http", name, "\r\n".join(lines) + "\r\n\r\n")

# ------------------------------------------------------------------------------------ decode
# Blocks of any format: the first byte is the distance from an even address.
def pseudo_random(n, state=1):
    out = bytearray()
    for _ in range(n):
        state = (state * 1664525 + 1013904223) & 0xffffffff
        out.append(state >> 24)
    return bytes(out)


for name, data in (("zeros", bytes(700)), ("ones", b"\0" + b"\xff" * 700),
                   ("random", b"\0" + pseudo_random(2000)), ("odd", b"\7" + pseudo_random(900, 7)),
                   ("halves", b"\0" + struct.pack("<300H", *(i * 0x222 & 0xffff for i in range(300)))),
                   ("nan-scales", b"\0" + struct.pack("<300H", *(0x7e00 if i % 3 else i * 214
                                                               for i in range(300)))),
                   ("tiny-scales", b"\0" + struct.pack("<300H", *(i * 0x801 & 0x83ff for i in range(300)))),
                   ("few", b"\1\2\3\4\5")):
    seed("decode", name, data)

# ---------------------------------------------------------------------------------- encoding
# The name of a format, then floats.
WEIGHTS = struct.pack("<96f", *((b - 128) * 0.0007 * (1 + i % 5) for i, b in enumerate(pseudo_random(96, 3))))
SPECIAL = struct.pack("<40I", *(0x7f800000, 0xff800000, 0x7fc00000, 1, 0x80000000, 0x7f7fffff,
                                0x00800000, 0x7f800001) * 5)
for name, text, data in (
        ("bfp8", "bfp8", WEIGHTS), ("bfp4-sse", "BFP4:sse.T", WEIGHTS), ("bfp2", "bfp2", pseudo_random(320, 5)),
        ("mxfp4", "mxfp4:rceil", WEIGHTS), ("mxfp8-even", "mxfp8:even", pseudo_random(400)),
        ("mxfp6-sse", "mxfp6_e3m2:sse", WEIGHTS), ("mxint8", "mxint8:ceil", SPECIAL),
        ("nvfp4", "nvfp4:floor=0.015625,sse", WEIGHTS), ("nvfp4-special", "nvfp4", SPECIAL),
        ("fp8", "fp8:nosat", SPECIAL), ("bf16", "bf16", SPECIAL), ("fp16", "half", pseudo_random(300, 9)),
        ("int4", "int4:group=128,affine,clip.T", struct.pack("<3Q", 2, 2**40, 2**30)),
        ("q4_k", "q4_k", struct.pack("<3Q", 3, 4, 512)), ("wrong", "mxfp5:floor,floor=1e999,", b"")):
    seed("encoding", name, text.encode() + b"\n" + data)

# --------------------------------------------------------------------------------- tokenizer
# A tokenizer.json, a byte 0, a text.
for name, text in (("words", "The weights, e\u0301 12 x \uff21"), ("clip", "the and  ing's 12!"),
                   ("bert", "[MASK] Gewichte \u6a21\u578b n\u00f6ch [SEP]"), ("llama2", "<s>The  weights \u20ac"),
                   ("qwen2", "don't  12\n\n x<|endoftext|>")):
    seed("tokenizer", name, (DATA / "tokenize" / (name + ".json")).read_bytes() + b"\0" + text.encode())

# ----------------------------------------------------------------------------- addresses, hosts
TOKEN = "/0123456789abcdef0123456789abcdef/"
for name, path, host in (
        ("page", "", "127.0.0.1:8080"), ("tile", "0/t/-3/12/0.mean", "localhost:8080"),
        ("negative", "1/t/7/-1/-9223372036854775807.abs", "[::1]:8080"),
        ("value", "0/value?tensor=3&slice=0&row=18446744073709551615&col=0", "box.example:8080"),
        ("tensor", "0/tensor?i=12", "127.0.0.1"), ("search", "0/search?q=q%5Fproj+3&limit=5", "10.0.0.7:80"),
        ("shot", "0/shot.png?x=-4&y=0&w=512&h=512&z=0&m=rank&p=rms&s=role&ground=light", "localhost"),
        ("events", "0/events", "[fe80::1%25eth0]:80"), ("asset", "main.mjs", "other.example"),
        ("dots", "..%2f../etc/passwd", "127.0.0.1:8080.evil.example"), ("twice", "0/tensor?i=1&i=2", "")):
    seed("web", name, TOKEN + path + "\n" + host)
PY

# ------------------------------------------------------------------------------------ values
# Models of other targets whose tensors lie in unusual ways.
mkdir -p fuzz/corpus/values
for file in npz/seed-* npy/seed-* torch/seed-*shared* torch/seed-big-endian torch/seed-deflated \
    torch/seed-*tar* torch/seed-*legacy* safetensors/seed-packed safetensors/seed-two \
    gguf/seed-* model/seed-awq model/seed-bnb-nf4-double model/seed-ct-* model/seed-fp8*; do
    [ ! -f "fuzz/corpus/$file" ] || cp "fuzz/corpus/$file" "fuzz/corpus/values/seed-$(echo "$file" | sed 's,/seed-,-,')"
done

for folder in fuzz/corpus/*/; do
    bytes=$(cat "$folder"* | wc -c)
    [ "$bytes" -le 65536 ] || { echo "make_corpus: $folder has $bytes bytes; 65536 are allowed" >&2 && exit 1; }
done
