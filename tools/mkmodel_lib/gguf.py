# SPDX-License-Identifier: Apache-2.0
"""The GGUF container, versions 1 to 3, both byte orders, and its tensor types."""
import struct

from .output import Logical
from .values import bf16, f16, f32, f64, little, product, swap
from array import array

#: name -> (id, elements of a block, bytes of a block, extra bytes of a row)
TYPES = {
    "F32": (0, 1, 4, 0), "F16": (1, 1, 2, 0), "Q4_0": (2, 32, 18, 0), "Q4_1": (3, 32, 20, 0),
    "Q5_0": (6, 32, 22, 0), "Q5_1": (7, 32, 24, 0), "Q8_0": (8, 32, 34, 0), "Q8_1": (9, 32, 36, 0),
    "Q2_K": (10, 256, 84, 0), "Q3_K": (11, 256, 110, 0), "Q4_K": (12, 256, 144, 0),
    "Q5_K": (13, 256, 176, 0), "Q6_K": (14, 256, 210, 0), "Q8_K": (15, 256, 292, 0),
    "IQ2_XXS": (16, 256, 66, 0), "IQ2_XS": (17, 256, 74, 0), "IQ3_XXS": (18, 256, 98, 0),
    "IQ1_S": (19, 256, 50, 0), "IQ4_NL": (20, 32, 18, 0), "IQ3_S": (21, 256, 110, 0),
    "IQ2_S": (22, 256, 82, 0), "IQ4_XS": (23, 256, 136, 0), "I8": (24, 1, 1, 0),
    "I16": (25, 1, 2, 0), "I32": (26, 1, 4, 0), "I64": (27, 1, 8, 0), "F64": (28, 1, 8, 0),
    "IQ1_M": (29, 256, 56, 0), "BF16": (30, 1, 2, 0), "TQ1_0": (34, 256, 54, 0),
    "TQ2_0": (35, 256, 66, 0), "MXFP4": (39, 32, 17, 0), "NVFP4": (40, 64, 36, 0),
    "Q1_0": (41, 128, 18, 0), "Q2_0": (42, 64, 18, 0)}

#: Types of one well-known fork; a row may carry a header of its own.
FORK_TYPES = {
    "Q6_0": (133, 32, 26, 0), "IQ1_BN": (134, 64, 13, 2), "IQ2_BN": (135, 64, 16, 4),
    "IQ2_K": (137, 256, 76, 0), "IQ3_K": (138, 256, 110, 0), "IQ4_K": (139, 256, 144, 0),
    "IQ5_K": (140, 256, 176, 0), "IQ6_K": (141, 256, 212, 0), "IQ4_KS": (144, 256, 136, 4),
    "IQ2_KS": (145, 256, 70, 2), "IQ4_KSS": (146, 256, 128, 4), "Q8_KV": (151, 32, 32, 8),
    "IQ5_KS": (152, 256, 168, 4), "IQ2_KT": (153, 256, 68, 4), "IQ3_KT": (154, 256, 100, 4),
    "IQ4_KT": (155, 256, 128, 4), "IQ3_KS": (156, 256, 102, 2), "IQ2_KL": (157, 256, 86, 2),
    "IQ1_KT": (158, 256, 56, 4)}

#: type -> [(offset of an fp16 in the block, typical value)]: what makes random
#: bytes decode to weights of a usual size.
HALF_FIELDS = {
    "Q4_0": [(0, .006)], "Q4_1": [(0, .006), (2, -.045)], "Q5_0": [(0, .003)],
    "Q5_1": [(0, .003), (2, -.045)], "Q8_0": [(0, .0003)], "Q8_1": [(0, .0003)],
    "Q2_K": [(80, .0015), (82, .002)], "Q3_K": [(108, .0003)], "Q4_K": [(0, 8e-5), (2, .0006)],
    "Q5_K": [(0, 4e-5), (2, .0006)], "Q6_K": [(208, 1e-5)], "IQ2_XXS": [(0, .0005)],
    "IQ2_XS": [(0, .0005)], "IQ3_XXS": [(0, .0003)], "IQ1_S": [(0, .003)], "IQ4_NL": [(0, .0003)],
    "IQ3_S": [(0, .0002)], "IQ2_S": [(0, .0005)], "IQ4_XS": [(0, 1e-5)], "TQ1_0": [(52, .03)],
    "TQ2_0": [(64, .03)], "Q1_0": [(0, .018)], "Q2_0": [(0, .03)], "Q6_0": [(0, .001)],
    "IQ2_K": [(0, .0005)], "IQ3_K": [(0, .0003)], "IQ4_K": [(0, 1e-5)], "IQ5_K": [(0, 1e-5)],
    "IQ6_K": [(0, 1e-5)]}

PLAIN = {"F32": f32, "F16": f16, "BF16": bf16, "F64": f64}
INTEGER = {"I8": "b", "I16": "h", "I32": "i", "I64": "q"}

VALUE_TYPES = {"u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"),
               "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?"), "str": (8, None),
               "arr": (9, None), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d")}


def type_row(name):
    return TYPES.get(name) or FORK_TYPES[name]


def tensor_bytes(name, shape):
    """Bytes of a tensor; the last dimension of `shape` is the row."""
    _, block, size, extra = type_row(name)
    row = shape[-1] if shape else 1
    if row % block:
        raise ValueError(f"{name}: rows of {row} are not whole blocks of {block}")
    rows = product(shape) // row if row else 0
    return rows * (extra + row // block * size)


def half(x):
    return struct.pack("<e", x)


def fill_block(block, name, rng):
    """Patch one block of random bytes so that it decodes to sane weights."""
    for at, typical in HALF_FIELDS.get(name, ()):
        block[at:at + 2] = half(typical * rng.uniform(0.6, 1.6))
    if name == "Q8_1":
        d, = struct.unpack_from("<e", block, 0)
        block[2:4] = half(d * sum(struct.unpack_from("<32b", block, 4)))
    elif name == "Q8_K":
        struct.pack_into("<f", block, 0, 0.0003 * rng.uniform(0.6, 1.6))
        quants = struct.unpack_from("<256b", block, 4)
        struct.pack_into("<16h", block, 260, *(sum(quants[i:i + 16]) for i in range(0, 256, 16)))
    elif name == "IQ1_M":
        d, = struct.unpack("<H", half(0.003 * rng.uniform(0.6, 1.6)))
        for i in range(4):
            at = 49 + 2 * i
            block[at] = block[at] & 0x0F | (d >> 4 * i & 0x0F) << 4
    elif name in ("TQ2_0", "Q2_0"):  # the code 3 is never written
        start = 2 if name == "Q2_0" else 0
        for i in range(start, start + (16 if name == "Q2_0" else 64)):
            block[i] &= ~(block[i] >> 1 & block[i] & 0x55)
    elif name == "MXFP4":
        block[0] = rng.choice((119, 120, 121))
    elif name == "NVFP4":
        for i in range(4):
            block[i] = rng.randrange(0x02, 0x0A)


def values(source, label, name, shape, mean=0.0, sigma=0.02):
    """Bytes of a tensor of any type."""
    count = product(shape)
    if name in PLAIN:
        return source.normal(label, name, count, mean, sigma, outliers=mean == 0)
    rng = source.rng(label)
    if name in INTEGER:
        return little(array(INTEGER[name], [rng.randrange(-100, 100) for _ in range(count)]))
    _, size_block, size, extra = type_row(name)
    data = bytearray(rng.randbytes(tensor_bytes(name, shape)))
    row = extra + shape[-1] // size_block * size
    for start in range(0, len(data), row):
        if extra >= 4:
            struct.pack_into("<f", data, start, 0.0002 * rng.uniform(0.6, 1.6))
        elif extra:
            data[start:start + 2] = half(0.0002 * rng.uniform(0.6, 1.6))
        for at in range(start + extra, start + row, size):
            block = data[at:at + size]
            fill_block(block, name, rng)
            data[at:at + size] = block
    return bytes(data)


class File:
    """One GGUF file in memory."""

    def __init__(self, version=3, big=False, alignment=32, tail_padding=True):
        self.version, self.alignment, self.tail_padding = version, alignment, tail_padding
        self.order = ">" if big else "<"
        self.kvs, self.tensors = [], []
        if alignment != 32:
            self.add_kv("general.alignment", "u32", alignment)

    # -- content

    def add_kv(self, key, kind, value):
        """`kind` is a name of VALUE_TYPES or ("arr", element kind)."""
        self.kvs.append((key, kind, value))

    def add(self, name, type_name, shape, data, type_id=None):
        """`shape` is in numpy order; GGUF stores it reversed."""
        if type_id is None:
            type_id = type_row(type_name)[0]
            want = tensor_bytes(type_name, shape)
            if len(data) != want:
                raise ValueError(f"{name}: {len(data)} bytes, want {want}")
        self.tensors.append((name, type_name, list(shape), data, type_id))

    def rows(self):
        return [Logical(n, t, s, len(d)) for n, t, s, d, _ in self.tensors]

    # -- encoding

    def _pack(self, code, *numbers):
        return struct.pack(self.order + code, *numbers)

    def _size(self, n):
        return self._pack("I" if self.version == 1 else "Q", n)

    def _string(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        return self._size(len(data)) + data

    def _kind_id(self, kind):
        return VALUE_TYPES["arr" if isinstance(kind, tuple) else kind][0]

    def _value(self, kind, value):
        if isinstance(kind, tuple):
            head = self._pack("I", self._kind_id(kind[1])) + self._size(len(value))
            return head + b"".join(self._value(kind[1], v) for v in value)
        if kind == "str":
            return self._string(value)
        return self._pack(VALUE_TYPES[kind][1], value)

    def header(self):
        """Everything before the data, padded to the alignment."""
        out = [b"GGUF", self._pack("I", self.version), self._size(len(self.tensors)),
               self._size(len(self.kvs))]
        for key, kind, value in self.kvs:
            out += [self._string(key), self._pack("I", self._kind_id(kind)), self._value(kind, value)]
        at = 0
        for name, _, shape, data, type_id in self.tensors:
            out += [self._string(name), self._pack("I", len(shape))]
            out += [self._size(dim) for dim in reversed(shape)]
            out += [self._pack("I", type_id), self._pack("Q", at)]
            at += self.padded(len(data))
        head = b"".join(out)
        return head + bytes(self.padded(len(head)) - len(head))

    def padded(self, n):
        return -(-n // self.alignment) * self.alignment

    def pack(self):
        out = [self.header()]
        for i, (_, type_name, _, data, _) in enumerate(self.tensors):
            out.append(self._data(type_name, data))
            if self.tail_padding or i + 1 < len(self.tensors):
                out.append(bytes(self.padded(len(data)) - len(data)))
        return b"".join(out)

    def _data(self, type_name, data):
        if self.order == "<":
            return data
        if type_name == "Q8_0":  # only the fp16 scale has a byte order
            out = bytearray(data)
            out[0::34], out[1::34] = data[1::34], data[0::34]
            return bytes(out)
        return swap(data, type_row(type_name)[2])
