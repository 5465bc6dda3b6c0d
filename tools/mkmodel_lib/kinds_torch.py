# SPDX-License-Identifier: Apache-2.0
"""Kinds of PyTorch files."""
import os
from collections import OrderedDict

from . import torchfile as tf
from .registry import kind, variant
from .sidefiles import llama_config
from .torchfile import Object, Storage, Tensor
from .values import encode, f32, product

#: storage class -> dtype the values are encoded with
ENCODE = {"FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16",
          "BFloat16Storage": "BF16"}


def tensor(out, name, shape, storage="FloatStorage", sigma=0.02, mean=0.0):
    data = out.source.normal(f"{out.kind}/{name}", ENCODE[storage], product(shape), mean, sigma)
    return Tensor.of(storage, shape, data)


def mlp_state(out, storage="FloatStorage", hidden=16, layers=2):
    """A state dict: embedding, blocks, norm; an OrderedDict with _metadata as torch makes."""
    state = OrderedDict()
    state["embed.weight"] = tensor(out, "embed", [48, hidden], storage)
    for i in range(layers):
        state[f"layers.{i}.fc1.weight"] = tensor(out, f"{i}.fc1", [32, hidden], storage)
        state[f"layers.{i}.fc1.bias"] = tensor(out, f"{i}.b1", [32], storage, 0.01)
        state[f"layers.{i}.fc2.weight"] = tensor(out, f"{i}.fc2", [hidden, 32], storage)
        state[f"layers.{i}.norm.weight"] = tensor(out, f"{i}.norm", [hidden], storage, 0.05, 1.0)
    state["norm.num_batches_tracked"] = Tensor.of("LongStorage", [], encode("I64", [7]))
    state._metadata = OrderedDict([("", {"version": 1}), ("embed", {"version": 1})])
    return state


def training_state(out):
    """What a training script saves: model, optimizer, plain values."""
    state = mlp_state(out)
    moments = {i: {"step": Tensor.of("FloatStorage", [], f32([3.0])),
                   "exp_avg": tensor(out, f"avg{i}", t.shape, sigma=1e-3),
                   "exp_avg_sq": tensor(out, f"sq{i}", t.shape, sigma=1e-6)}
               for i, t in enumerate(list(state.values())[:3])}
    return {"epoch": 3, "state_dict": state,
            "optimizer": {"state": moments,
                          "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8,
                                            "amsgrad": False, "maximize": None, "params": [0, 1, 2]}]},
            "loss": 0.25, "name": "r\u00fcn-1", "tag": b"\x00\xff", "big": 2 ** 70, "none": None,
            "best": (1, 2.5, True), "rng": [Tensor.of("ByteStorage", [16], bytes(range(16)))]}


def save(out, obj, data, name=None, **more):
    """Write one torch file and its expect file."""
    name = name or out.kind + ".pt"
    out.write(name, data, weights=True)
    out.expect("torch", tf.rows(obj), file=name, **more)


def zip_kind(out, **options):
    obj = training_state(out)
    save(out, obj, tf.save_zip(obj, **options))


variant("torch-zip", "torch.save zip, protocol 2: state_dict, optimizer, plain values", zip_kind)
variant("torch-zip-p3", "the same with pickle protocol 3", zip_kind, protocol=3)
variant("torch-zip-p4", "the same with pickle protocol 4 (frames, memoize)", zip_kind, protocol=4)
variant("torch-zip-p5", "the same with pickle protocol 5", zip_kind, protocol=5)
variant("torch-zip-deflated", "every member deflated, sizes in the local headers", zip_kind,
        deflate=True, align=0, descriptors=False)
variant("torch-zip64", "zip64 records everywhere", zip_kind, zip64=True, descriptors=False)
variant("torch-zip64-descriptors", "zip64 and data descriptors", zip_kind, zip64=True)
variant("torch-zip-plain", "no alignment, no descriptors, folder named like the file", zip_kind,
        align=0, descriptors=False, top="torch-zip-plain")
variant("torch-bigendian", "byteorder big", zip_kind, big=True)


@kind("torch-legacy", "the stream form before torch 1.6")
def torch_legacy(out):
    obj = training_state(out)
    save(out, obj, tf.save_legacy(obj))


@kind("torch-tar", "the tar form of torch 0.1")
def torch_tar(out):
    state = mlp_state(out)
    del state._metadata
    save(out, state, tf.save_tar(state))


@kind("torch-bare", "a bare pickle of plain values, no tensors")
def torch_bare(out):
    obj = {"epoch": 3, "names": ["a", "b"]}
    save(out, obj, tf.dumps(obj))


@kind("torch-shared", "tied storages, offset views, transposes, expanded strides, empty tensors")
def torch_shared(out):
    base = Storage("FloatStorage", f32(out.source.gauss("shared", 24 * 16, 0, 0.02)))
    flat = Storage("HalfStorage", encode("F16", out.source.gauss("flat", 300, 0, 0.02)))
    tied = tensor(out, "tied", [16, 8])
    one = Storage("FloatStorage", f32([0.5]))
    obj = OrderedDict([
        ("decoder.weight", Tensor(base, [24, 16])),
        ("embed.weight", Tensor(base, [24, 16])),
        ("embed.transposed", Tensor(base, [16, 24], [1, 16])),
        ("embed.rows", Tensor(base, [4, 16], [16, 1], offset=64)),
        ("embed.column", Tensor(base, [24], [16], offset=3)),
        ("flat.a", Tensor(flat, [10, 10])),
        ("flat.b", Tensor(flat, [10, 10], offset=100)),
        ("flat.c", Tensor(flat, [99], offset=200)),
        ("flat.overlap", Tensor(flat, [20], offset=290 - 10)),
        ("same_object.a", tied), ("same_object.b", tied),
        ("expanded", Tensor(one, [1000, 1000], [0, 0])),
        ("expanded.huge", Tensor(one, [10 ** 6, 10 ** 6], [0, 0])),
        ("dilated", Tensor(Storage("FloatStorage", f32(range(20))), [10], [2])),
        ("empty", Tensor(Storage("FloatStorage", b""), [0, 5])),
        ("negative_free.scalar", Tensor(Storage("DoubleStorage", encode("F64", [1.5])), []))])
    save(out, obj, tf.save_zip(obj))


@kind("torch-storages", "one tensor of every storage class")
def torch_storages(out):
    obj, rng = OrderedDict(), out.source.rng("storages")
    for cls, (label, width) in tf.STORAGES.items():
        count, quant = 24, None
        if cls in ENCODE:
            data = encode(ENCODE[cls], out.source.gauss(cls, count, 0, 0.02))
        elif label == "C64":
            data = f32(out.source.gauss(cls, 2 * count))
        elif label == "C128":
            data = encode("F64", out.source.gauss(cls, 2 * count))
        elif label == "BOOL":
            data = bytes(rng.randrange(2) for _ in range(count))
        elif label in ("QU4", "QU2"):
            data = rng.randbytes(count // (2 if label == "QU4" else 4))
        else:
            data = rng.randbytes(count * width)
        if label.startswith("Q"):
            quant = ("per_tensor_affine", 0.0078125, 3)
        obj[f"all.{cls}"] = Tensor.of(cls, [4, 6], data, quant=quant)
    save(out, obj, tf.save_zip(obj))


@kind("torch-parameter", "Parameters, one with a state, one tied, and a whole pickled module")
def torch_parameter(out):
    weight = tensor(out, "weight", [8, 8]).as_parameter()
    state = OrderedDict([
        ("weight", weight), ("tied", weight),
        ("bias", tensor(out, "bias", [8]).as_parameter()),
        ("tagged", tensor(out, "tagged", [4, 4]).as_parameter({"is_norm": False})),
        ("old", Tensor.of("FloatStorage", [3], f32([1, 2, 3]), how="v1"))])
    save(out, state, tf.save_zip(state))


@kind("torch-module", "a whole nn.Module: unknown classes with state dicts")
def torch_module(out):
    def linear(name, rows, cols):
        return Object("torch.nn.modules.linear", "Linear", {
            "training": True, "in_features": cols, "out_features": rows,
            "_parameters": OrderedDict([
                ("weight", tensor(out, name, [rows, cols]).as_parameter()),
                ("bias", tensor(out, name + "b", [rows]).as_parameter())]),
            "_buffers": OrderedDict(), "_modules": OrderedDict()})

    net = Object("my_project.models", "Net", {
        "training": False, "_parameters": OrderedDict(),
        "_buffers": OrderedDict([("steps", Tensor.of("LongStorage", [], encode("I64", [9])))]),
        "_modules": OrderedDict([("fc1", linear("fc1", 8, 6)), ("fc2", linear("fc2", 2, 8))])})
    save(out, net, tf.save_zip(net), names="state_dict")


@kind("torch-v3", "_rebuild_tensor_v3: dtypes without a storage class, untyped storages")
def torch_v3(out):
    obj = OrderedDict()
    for name, (label, width) in tf.DTYPES.items():
        data = out.source.raw("v3" + name, 24 * width)
        if label in ("F32", "F64", "F16", "BF16"):
            data = encode(label, out.source.gauss(name, 24, 0, 0.02))
        obj["v3." + name] = Tensor.untyped(name, [4, 6], data)
    save(out, obj, tf.save_zip(obj))


@kind("torch-sharded", "two .bin shards with pytorch_model.bin.index.json")
def torch_sharded(out):
    state = mlp_state(out, "HalfStorage", layers=3)
    del state._metadata
    names = list(state)
    middle, weight_map = len(names) // 2, {}
    for i, part in enumerate((names[:middle], names[middle:])):
        file = f"pytorch_model-{i + 1:05d}-of-00002.bin"
        out.write(file, tf.save_zip({n: state[n] for n in part}), weights=True)
        weight_map.update((n, file) for n in part)
    rows = tf.rows(state)
    out.json("pytorch_model.bin.index.json", {
        "metadata": {"total_size": sum(r.bytes for r in rows)}, "weight_map": weight_map})
    out.json("config.json", llama_config(16, 32, 3, 4, 4, 48))
    out.expect("torch", rows)


SCRIPT = """class Linear(Module):
  __parameters__ = ["weight", "bias", ]
  __buffers__ = []
  training : bool
  weight : Tensor
  bias : Tensor
class Net(Module):
  __parameters__ = []
  __buffers__ = ["scale", ]
  training : bool
  fc1 : __torch__.Linear
  scale : Tensor
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    scale = self.scale
    return torch.mul(x, scale)
"""


@kind("torchscript", "a TorchScript zip: constants.pkl, code/, an unknown root class")
def torchscript(out):
    def module(name, **attributes):
        return Object("__torch__", name, {"training": False, **attributes})

    net = module("Net",
                 fc1=module("Linear", weight=tensor(out, "w1", [8, 6]), bias=tensor(out, "b1", [8])),
                 scale=Tensor.of("FloatStorage", [], f32([2.0])))
    save(out, net, tf.save_zip(net, extra=[
        ("code/__torch__.py", SCRIPT.encode()), ("constants.pkl", tf.dumps(()))]))


# ---------------------------------------------------------------- hostile ones

MARKER = "scruple-executed-a-pickle"


class _Call:
    """Pickles as a call that a careless loader would make."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@kind("torch-evil", "the pickle would call os.system while loading")
def torch_evil(out):
    state = OrderedDict(mlp_state(out, layers=1))
    obj = {"state_dict": state, "payload": _Call(os.system, f"touch {MARKER}")}
    save(out, obj, tf.save_zip(obj), dangerous=["posix.system"], marker=MARKER)


def _popped(data):
    """Insert, right after PROTO, a call whose result is thrown away."""
    command = f"touch {MARKER}".encode()
    call = b"cposix\nsystem\nX" + len(command).to_bytes(4, "little") + command + b"\x85R0"
    return data[:2] + call + data[2:]


@kind("torch-evil-popped", "the same, the call first and its result popped")
def torch_evil_popped(out):
    state = OrderedDict(mlp_state(out, layers=1))
    save(out, state, tf.save_zip(state, pickled=_popped), dangerous=["posix.system"], marker=MARKER)


@kind("torch-evil-bare", "a bare pickle: eval by the INST opcode, then STOP")
def torch_evil_bare(out):
    command = f"__import__('os').system('touch {MARKER}')".encode()
    out.write("torch-evil-bare.bin", b"\x80\x02(X" + len(command).to_bytes(4, "little") + command
              + b"i__builtin__\neval\n.", weights=True)
    out.expect("torch", [], file="torch-evil-bare.bin", dangerous=["__builtin__.eval"], marker=MARKER)


# ---------------------------------------------------------------- demo

@kind("demo-torch", "a torch zip of about 24 MB, tied embedding", big=True)
def demo_torch(out):
    state, hidden = OrderedDict(), 384
    state["model.embed_tokens.weight"] = tensor(out, "embed", [4096, hidden], "HalfStorage")
    for i in range(6):
        at = f"model.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            state[f"{at}.self_attn.{name}.weight"] = tensor(out, at + name, [hidden] * 2, "HalfStorage")
        for name, shape in (("gate_proj", [1024, hidden]), ("up_proj", [1024, hidden]),
                            ("down_proj", [hidden, 1024])):
            state[f"{at}.mlp.{name}.weight"] = tensor(out, at + name, shape, "HalfStorage")
        state[f"{at}.input_layernorm.weight"] = tensor(out, at + "n", [hidden], "HalfStorage", .05, 1.0)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    obj = {"state_dict": state, "epoch": 1}
    save(out, obj, tf.save_zip(obj))
