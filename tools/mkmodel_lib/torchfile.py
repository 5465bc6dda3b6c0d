# SPDX-License-Identifier: Apache-2.0
"""PyTorch files without PyTorch: the zip, stream and tar containers.

The pickles are written by Python's own pickler.  Stand-ins for the classes
and functions of torch live in stub modules that exist only while a pickle is
being written, so the opcodes are the ones a real torch.save emits.
"""
import copyreg
import io
import pickle
import struct
import sys
import tarfile
import types
import zlib
from collections import OrderedDict
from contextlib import contextmanager

from .output import Logical, natural
from .values import swap

#: storage class -> (dtype label, bytes of an element)
STORAGES = {
    "FloatStorage": ("F32", 4), "DoubleStorage": ("F64", 8), "HalfStorage": ("F16", 2),
    "BFloat16Storage": ("BF16", 2), "LongStorage": ("I64", 8), "IntStorage": ("I32", 4),
    "ShortStorage": ("I16", 2), "CharStorage": ("I8", 1), "ByteStorage": ("U8", 1),
    "BoolStorage": ("BOOL", 1), "ComplexFloatStorage": ("C64", 8),
    "ComplexDoubleStorage": ("C128", 16), "QInt8Storage": ("QI8", 1),
    "QUInt8Storage": ("QU8", 1), "QInt32Storage": ("QI32", 4),
    "QUInt4x2Storage": ("QU4", 1), "QUInt2x4Storage": ("QU2", 1)}

#: torch.dtype name -> (dtype label, bytes of an element)
DTYPES = {
    "float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2), "float64": ("F64", 8),
    "uint16": ("U16", 2), "uint32": ("U32", 4), "uint64": ("U64", 8), "int64": ("I64", 8),
    "complex32": ("C32", 4), "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1),
    "float8_e4m3fnuz": ("F8_E4M3FNUZ", 1), "float8_e5m2fnuz": ("F8_E5M2FNUZ", 1),
    "float8_e8m0fnu": ("F8_E8M0", 1)}


# ---------------------------------------------------------------- stand-ins for torch

_modules = {}
_replaced = None  # while a pickle is written: what sys.modules held before


def _module(name):
    if "." in name:
        _module(name.rpartition(".")[0])
    if name not in _modules:
        _modules[name] = types.ModuleType(name)
    if _replaced is not None and name not in _replaced:
        _replaced[name] = sys.modules.get(name)
        sys.modules[name] = _modules[name]
    return _modules[name]


def stub(module, name):
    """A class that pickles as the global `module.name`."""
    home = _module(module)
    if not hasattr(home, name):
        setattr(home, name, type(name, (), {"__module__": module, "__qualname__": name}))
    return getattr(home, name)


class _Named:
    """An object, such as torch.float32, that pickles as a global by its name."""

    def __init__(self, module, name):
        self.__module__, self.name = module, name

    def __reduce__(self):
        return self.name


def named(module, name):
    home = _module(module)
    if not hasattr(home, name):
        setattr(home, name, _Named(module, name))
    return getattr(home, name)


@contextmanager
def stub_modules():
    """Put the stub modules in sys.modules for the time of one pickle."""
    global _replaced
    _replaced = {}
    try:
        for name in ["torch", *_modules]:
            _module(name)
        yield
    finally:
        for name, module in _replaced.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
        _replaced = None


# ---------------------------------------------------------------- what is saved

class Storage:
    """Bytes that tensors look into.  `cls` None is an untyped storage."""

    def __init__(self, cls, data):
        self.cls, self.data = cls, data
        self.numel = len(data) // (STORAGES[cls][1] if cls else 1)
        self.swap_width = 1  # set by the tensors: bytes of one number
        self.key = None

    def type(self):
        return stub("torch", self.cls) if self.cls else stub("torch.storage", "UntypedStorage")


def contiguous(shape):
    stride, step = [], 1
    for dim in reversed(shape):
        stride.insert(0, step)
        step *= max(1, dim)
    return stride


class Tensor:
    """A view of a storage and the way it is rebuilt."""

    def __init__(self, storage, shape, stride=None, offset=0, how="v2", dtype=None, quant=None):
        self.storage, self.shape, self.offset = storage, list(shape), offset
        self.stride = contiguous(shape) if stride is None else list(stride)
        self.how, self.quant = how, quant
        self.label, self.width = DTYPES[dtype] if dtype else STORAGES[storage.cls]
        self.dtype = dtype
        storage.swap_width = self.width // (2 if self.label in ("C64", "C128", "C32") else 1)
        self.parameter = False

    @classmethod
    def of(cls, storage_class, shape, data, **options):
        return cls(Storage(storage_class, data), shape, **options)

    @classmethod
    def untyped(cls, dtype, shape, data):
        """A dtype without a storage class of its own: _rebuild_tensor_v3."""
        return cls(Storage(None, data), shape, how="v3", dtype=dtype)

    def as_parameter(self, state=None):
        self.parameter, self.state = True, state
        return self

    def __reduce__(self):
        if self.parameter:
            return parameter(self)
        base = (self.storage, self.offset, tuple(self.shape), tuple(self.stride))
        if self.how == "v1":
            return stub("torch._utils", "_rebuild_tensor"), base
        hooks = OrderedDict()
        if self.how == "v3":
            return (stub("torch._utils", "_rebuild_tensor_v3"),
                    base + (False, hooks, named("torch", self.dtype)))
        if self.quant:
            scheme, *rest = self.quant
            return (stub("torch._utils", "_rebuild_qtensor"),
                    base + ((named("torch", scheme), *rest), False, hooks))
        return stub("torch._utils", "_rebuild_tensor_v2"), base + (False, hooks)

    def dense(self):
        """True when the elements cover every byte of the span."""
        distinct = 1
        for n, s in zip(self.shape, self.stride):
            distinct *= n if s else 1
        first, last = self.span()
        return distinct * self.width == last - first

    def span(self):
        """First and past-the-last byte of the storage this view touches."""
        first = self.offset * self.width
        if 0 in self.shape:
            return first, first
        last = sum((n - 1) * s for n, s in zip(self.shape, self.stride))
        return first, first + (last + 1) * self.width


class _Inner:
    """The tensor inside a Parameter, so that the Parameter can be one object."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        tensor = self.tensor
        return (stub("torch._utils", "_rebuild_tensor_v2"),
                (tensor.storage, tensor.offset, tuple(tensor.shape), tuple(tensor.stride), False,
                 OrderedDict()))


def parameter(tensor):
    if not hasattr(tensor, "inner"):
        tensor.inner = _Inner(tensor)
    args = (tensor.inner, True, OrderedDict())
    if tensor.state is None:
        return stub("torch._utils", "_rebuild_parameter"), args
    return stub("torch._utils", "_rebuild_parameter_with_state"), args + (tensor.state,)


class Object:
    """An instance of a class the reader does not know, with a state dict."""

    def __init__(self, module, name, state):
        self.module, self.name, self.state = module, name, state

    @property
    def __class__(self):  # the pickler insists that NEWOBJ names the object's class
        return stub(self.module, self.name)

    def __reduce__(self):
        return copyreg.__newobj__, (stub(self.module, self.name),), self.state


# ---------------------------------------------------------------- pickles

class _Pickler(pickle.Pickler):
    def __init__(self, file, protocol, persistent):
        super().__init__(file, protocol)
        self.persistent = persistent

    def persistent_id(self, obj):
        return self.persistent(obj)


def dumps(obj, protocol=2, persistent=lambda obj: None):
    """Pickle with the stub modules in place."""
    file = io.BytesIO()
    with stub_modules():
        _Pickler(file, protocol, persistent).dump(obj)
    return file.getvalue()


class Storages:
    """Numbers the storages in the order a pickle meets them."""

    def __init__(self, key=str, view=False):
        self.key, self.view, self.found = key, view, []

    def __call__(self, obj):
        if not isinstance(obj, Storage):
            return None
        if obj not in self.found:
            obj.key = self.key(len(self.found))
            self.found.append(obj)
        pid = ("storage", obj.type(), obj.key, "cpu", obj.numel)
        return pid + (None,) if self.view else pid


# ---------------------------------------------------------------- zip

class Zip:
    """A zip writer with the habits of PyTorch's: stored, aligned, descriptors."""

    def __init__(self, align=64, zip64=False, descriptors=True):
        self.align, self.zip64, self.descriptors = align, zip64, descriptors
        self.out, self.central, self.count = bytearray(), [], 0

    def add(self, name, data, deflate=False):
        raw = name.encode()
        body, method = data, 0
        if deflate:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            body, method = packer.compress(data) + packer.flush(), 8
        crc, at = zlib.crc32(data), len(self.out)
        flags = 0x0808 if self.descriptors else 0x0800
        sizes = (0, 0, 0) if self.descriptors else (crc, len(body), len(data))
        extra = b""
        if self.zip64:
            extra = struct.pack("<HHQQ", 1, 16, sizes[2], sizes[1])
            sizes = (sizes[0], 0xFFFFFFFF, 0xFFFFFFFF)
        if self.align:
            start = at + 30 + len(raw) + len(extra) + 4
            fill = -start % self.align
            extra += struct.pack("<HH", 0x4246, fill) + b"Z" * fill
        self.out += struct.pack("<IHHHHHIIIHH", 0x04034B50, 45 if self.zip64 else 20, flags, method, 0,
                                0x21, *sizes, len(raw), len(extra)) + raw + extra + body
        if self.descriptors:
            code = "<IIQQ" if self.zip64 else "<IIII"
            self.out += struct.pack(code, 0x08074B50, crc, len(body), len(data))
        self._entry(raw, flags, method, crc, len(body), len(data), at)

    def _entry(self, raw, flags, method, crc, packed, size, at):
        extra = b""
        if self.zip64:
            extra = struct.pack("<HHQQQ", 1, 24, size, packed, at)
            packed = size = at = 0xFFFFFFFF
        self.central.append(struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45 if self.zip64 else 20, flags, method, 0, 0x21, crc,
            packed, size, len(raw), len(extra), 0, 0, 0, 0, at) + raw + extra)
        self.count += 1

    def finish(self):
        start, directory = len(self.out), b"".join(self.central)
        out, n = bytes(self.out) + directory, self.count
        size = len(directory)
        if self.zip64:
            end = len(out)
            out += struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, n, n, size, start)
            out += struct.pack("<IIQI", 0x07064B50, 0, end, 1)
            n, size, start = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
        return out + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, n, n, size, start, 0)


def save_zip(obj, protocol=2, deflate=False, big=False, top="archive", pickled=None, extra=(),
             version=b"3\n", **options):
    """The zip form of torch.save.  `pickled` edits the bytes of data.pkl."""
    storages = Storages()
    data = dumps(obj, protocol, storages)
    if pickled:
        data = pickled(data)
    z = Zip(**options)
    z.add(f"{top}/data.pkl", data, deflate)
    for name, content in extra:
        z.add(f"{top}/{name}", content, deflate)
    z.add(f"{top}/byteorder", b"big" if big else b"little", deflate)
    for s in storages.found:
        content = swap(s.data, s.swap_width) if big else s.data
        z.add(f"{top}/data/{s.key}", content, deflate)
    z.add(f"{top}/version", version, deflate)
    return z.finish()


# ---------------------------------------------------------------- older forms

MAGIC = 0x1950A86A20F9469CFC6C


def save_legacy(obj, protocol=2):
    """The stream form: five pickles, then the storages."""
    storages = Storages(key=lambda i: str(94000000000000 + 4096 * i), view=True)
    body = dumps(obj, protocol, storages)
    info = {"protocol_version": 1001, "little_endian": True,
            "type_sizes": {"short": 2, "int": 4, "long": 4}}
    found = sorted(storages.found, key=lambda s: s.key)
    out = [dumps(MAGIC, protocol), dumps(1001, protocol), dumps(info, protocol), body,
           dumps([s.key for s in found], protocol)]
    for s in found:
        out += [struct.pack("<q", s.numel), s.data]
    return b"".join(out)


def save_tar(obj):
    """The tar form of torch 0.1: tensors and storages are members of their own."""
    tensors, storages = [], []

    def persistent(x):
        if not isinstance(x, Tensor):
            return None
        if x not in tensors:
            tensors.append(x)
            if x.storage not in storages:
                storages.append(x.storage)
        return str(1000 + tensors.index(x))

    main = dumps(obj, 2, persistent)
    out = [dumps(len(storages))]
    for i, s in enumerate(storages):
        out += [dumps((str(i), "cpu", s.type())), struct.pack("<q", s.numel), s.data]
    out.append(dumps([]))
    views = [dumps(len(tensors))]
    for i, t in enumerate(tensors):
        kind = stub("torch", t.storage.cls.replace("Storage", "Tensor"))
        rank = len(t.shape)
        views += [dumps((1000 + i, str(storages.index(t.storage)), kind)), struct.pack("<ii", rank, 0),
                  struct.pack(f"<{rank}q", *t.shape), struct.pack(f"<{rank}q", *t.stride),
                  struct.pack("<q", t.offset)]
    info = {"protocol_version": 1000, "little_endian": True,
            "type_sizes": {"short": 2, "int": 4, "long": 4}}
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (("sys_info", dumps(info)), ("pickle", main),
                           ("tensors", b"".join(views)), ("storages", b"".join(out))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


# ---------------------------------------------------------------- what was meant

def flatten(obj, path=""):
    """(name, Tensor) for every tensor, keys and list indices joined by dots."""
    join = (lambda key: f"{path}.{key}") if path else str
    if isinstance(obj, Tensor):
        yield path, obj
    elif isinstance(obj, dict):
        for key, value in obj.items():
            yield from flatten(value, join(key))
    elif isinstance(obj, (list, tuple)):
        for i, value in enumerate(obj):
            yield from flatten(value, join(i))
    elif isinstance(obj, Object):  # named as in a state dict: module keys drop out
        for key, value in obj.state.items():
            inner = path if key in ("_parameters", "_buffers", "_modules") else join(key)
            yield from flatten(value, inner)


def rows(obj):
    """Logical rows.  A byte of a storage counts once, for the first name."""
    named_tensors = sorted(flatten(obj), key=lambda item: natural(item[0]))
    covered, out = {}, []
    for name, t in named_tensors:
        size = fresh_bytes(covered.setdefault(id(t.storage), []), *t.span())
        if size and not t.dense():
            size = None  # gaps: not ours to say
        if t.label in ("QU4", "QU2"):
            size = len(t.storage.data)
        out.append(Logical(name, t.label, t.shape, size))
    return out


def fresh_bytes(spans, first, last):
    """Bytes of a span nobody covered yet; None when only a part is new."""
    overlap = [(max(a, first), min(b, last)) for a, b in spans if a < last and first < b]
    spans.append((first, last))
    if not overlap:
        return last - first
    at = first
    for a, b in sorted(overlap):
        if a > at:
            return None
        at = max(at, b)
    return 0 if at >= last else None
