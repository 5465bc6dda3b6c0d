# SPDX-License-Identifier: Apache-2.0
"""Numbers: deterministic random values and their encoding as tensor bytes.

Everything is plain Python.  Big tensors stay cheap because Gaussian values are
drawn once into a table of 65,536 entries, the table is encoded once for each
(dtype, mean, sigma), and a tensor is a sequence of slices of that table.
"""
import random
import statistics
import struct
import sys
from array import array
from bisect import bisect_left

#: Bits of one element, for every safetensors dtype.
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}

#: struct letters of the integer types.
INT_CODE = {"BOOL": "B", "U8": "B", "I8": "b", "I16": "h", "U16": "H", "I32": "i",
            "U32": "I", "I64": "q", "U64": "Q"}

#: (exponent bits, mantissa bits, bias, largest finite code) of the small floats.
MINIFLOAT = {
    "F8_E4M3": (4, 3, 7, 0x7E), "F8_E5M2": (5, 2, 15, 0x7B),
    "F8_E4M3FNUZ": (4, 3, 8, 0x7F), "F8_E5M2FNUZ": (5, 2, 16, 0x7F),
    "F6_E2M3": (2, 3, 1, 0x1F), "F6_E3M2": (3, 2, 3, 0x1F), "F4": (2, 1, 1, 0x07),
}

TABLE = 1 << 16
CHUNK = 1021  # a prime, so that slices never line up with matrix rows


def product(shape):
    """Number of elements of a shape; 1 for a scalar."""
    n = 1
    for dim in shape:
        n *= dim
    return n


def nbytes(dtype, shape):
    """Stored bytes of a tensor; sub-byte types are bit-packed."""
    bits = BITS[dtype] * product(shape)
    if bits % 8:
        raise ValueError(f"{dtype} {shape} is not a whole number of bytes")
    return bits // 8


def little(values):
    """Bytes of an array.array in little-endian order on any host."""
    if sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return values.tobytes()


def swap(data, width):
    """Reverse the bytes of every element of `width` bytes."""
    out = bytearray(len(data))
    for i in range(width):
        out[i::width] = data[width - 1 - i::width]
    return bytes(out)


# ---------------------------------------------------------------- encoders

def f32(values):
    return little(array("f", values))


def f16(values):
    values = list(values)
    return struct.pack(f"<{len(values)}e", *values)


def bf16(values):
    """Round to nearest, ties to even; finite inputs only."""
    words = array("I", array("f", values).tobytes())
    return little(array("H", [(u + 0x7FFF + ((u >> 16) & 1)) >> 16 for u in words]))


def f64(values):
    return little(array("d", values))


def _magnitudes(dtype):
    """Values of the non-negative finite codes 0, 1, 2 ... of a small float."""
    _, mant, bias, last = MINIFLOAT[dtype]
    out = []
    for code in range(last + 1):
        e, m = code >> mant, code & ((1 << mant) - 1)
        if e:
            out.append((1 + m / (1 << mant)) * 2.0 ** (e - bias))
        else:
            out.append(m / (1 << mant) * 2.0 ** (1 - bias))
    return out


_MAG = {name: _magnitudes(name) for name in MINIFLOAT}


def minifloat_code(dtype, x):
    """Nearest code of a small float, ties to even, saturating."""
    mags = _MAG[dtype]
    a = abs(x)
    if a >= mags[-1]:
        code = len(mags) - 1
    else:
        i = bisect_left(mags, a)
        code = i
        if mags[i] != a:
            low, high = a - mags[i - 1], mags[i] - a
            if low < high or (low == high and (i - 1) % 2 == 0):
                code = i - 1
    exp, mant, _, _ = MINIFLOAT[dtype]
    if x < 0 and (code or "FNUZ" not in dtype):
        code |= 1 << (exp + mant)
    return code


def minifloat_value(dtype, code):
    """Value of a finite code of a small float."""
    exp, mant, _, _ = MINIFLOAT[dtype]
    sign = 1 << (exp + mant)
    return -_MAG[dtype][code & ~sign] if code & sign else _MAG[dtype][code]


def pack_bits(codes, bits):
    """Little-endian bit stream: code i holds bits [i*bits, (i+1)*bits)."""
    if bits == 8:
        return bytes(codes)
    if bits == 4:
        if len(codes) % 2:
            codes = list(codes) + [0]
        return bytes(a | b << 4 for a, b in zip(codes[::2], codes[1::2]))
    out, word, have = bytearray(), 0, 0
    for code in codes:
        word |= code << have
        have += bits
        while have >= 8:
            out.append(word & 255)
            word >>= 8
            have -= 8
    if have:
        out.append(word)
    return bytes(out)


def encode(dtype, values):
    """Encode a sequence of Python numbers as the bytes of a safetensors dtype."""
    if dtype in INT_CODE:
        values = list(values)
        return struct.pack(f"<{len(values)}{INT_CODE[dtype]}", *values)
    if dtype in MINIFLOAT:
        return pack_bits([minifloat_code(dtype, v) for v in values], BITS[dtype])
    if dtype == "F8_E8M0":
        return bytes(max(0, min(254, int(v))) for v in values)  # v is the code
    if dtype == "C64":
        return f32(part for v in values for part in (v.real, v.imag))
    return {"F32": f32, "F16": f16, "BF16": bf16, "F64": f64}[dtype](values)


def rounded(dtype, values):
    """(bytes, the values a reader gets back) of F32, F16 or BF16 numbers."""
    if dtype == "F32":
        data = f32(values)
        return data, list(struct.unpack(f"<{len(values)}f", data))
    if dtype == "F16":
        data = f16(values)
        return data, list(struct.unpack(f"<{len(values)}e", data))
    data = bf16(values)
    wide = b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
    return data, list(struct.unpack(f"<{len(values)}f", wide))


# ---------------------------------------------------------------- random values

class Source:
    """Deterministic values: the same seed and label always give the same bytes."""

    _gauss = None
    _encoded = {}  # the table in other forms; the same for every seed

    def __init__(self, seed):
        self.seed = seed

    @classmethod
    def gauss_table(cls):
        """65,536 standard normal values: the exact quantiles, shuffled."""
        if cls._gauss is None:
            inv = statistics.NormalDist().inv_cdf
            half = [inv((2 * i + 1) / (2 * TABLE)) for i in range(TABLE // 2, TABLE)]
            table = half + [-v for v in half]
            random.Random("gauss").shuffle(table)
            cls._gauss = table
        return cls._gauss

    def rng(self, label):
        """A random stream of its own for one label."""
        return random.Random(f"{self.seed}/{label}")

    def _table(self, dtype, mean, sigma):
        key = (dtype, mean, sigma)
        if key not in self._encoded:
            table = [mean + sigma * g for g in self.gauss_table()]
            if dtype == "C64":
                data = f32(table + table[1:] + table[:1])
            else:
                data = encode(dtype, table)
            self._encoded[key] = data
        return self._encoded[key]

    def normal(self, label, dtype, count, mean=0.0, sigma=0.02, outliers=True):
        """`count` Gaussian values as bytes, with a few outliers when asked."""
        width = BITS[dtype] // 8
        data = self._table(dtype, mean, sigma)
        rng = self.rng(label)
        parts, left = [], count
        while left:
            n = min(left, CHUNK)
            at = rng.randrange(TABLE - n + 1) * width
            parts.append(data[at:at + n * width])
            left -= n
        out = bytearray(b"".join(parts))
        if outliers and count >= 512 and dtype != "C64":
            for _ in range(2 + count // 40000):
                at = rng.randrange(count) * width
                value = mean + rng.choice((-1, 1)) * sigma * rng.uniform(8, 25)
                out[at:at + width] = encode(dtype, [value])
        return bytes(out)

    def gauss(self, label, count, mean=0.0, sigma=1.0):
        """A list of Gaussian floats."""
        return [mean + sigma * g for g in self.mapped(label, count, "gauss", float)]

    def mapped(self, label, count, key, function):
        """Gaussian draws through `function` (one int or float each), cached by `key`."""
        if key not in self._encoded:
            self._encoded[key] = [function(g) for g in self.gauss_table()]
        table, rng, out = self._encoded[key], self.rng(label), []
        while len(out) < count:
            n = min(count - len(out), CHUNK)
            at = rng.randrange(TABLE - n + 1)
            out += table[at:at + n]
        return out

    def codes(self, label, count, bits, signed=False):
        """Integer codes shaped like a quantised Gaussian weight."""
        top = (1 << bits) - 1
        low = (top + 1) // 2 if signed else 0
        spread = max(0.6, (top + 1) / 6.5)
        return self.mapped(label, count, ("codes", bits, signed),
                           lambda g: max(0, min(top, round(top / 2 + spread * g))) - low)

    def f4_codes(self, label, count):
        """E2M1 codes of a Gaussian with amax near 6."""
        return self.mapped(label, count, "f4", lambda g: minifloat_code("F4", 1.7 * g))

    def scales(self, label, count, typical):
        """Positive scales within a factor of about 1.5 of a typical one."""
        return [typical * (1 + min(0.8, 0.12 * abs(g))) for g in self.gauss(label, count)]

    def raw(self, label, count):
        """Uniform random bytes."""
        return self.rng(label).randbytes(count)
