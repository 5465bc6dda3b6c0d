#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What formats cost a BF16 matrix, as numpy measures it: values to a format and back, then pcc, mean
and largest |error|. One line a format: its name and 10^9 values a second of CPU time, the fastest
of several runs; the last line is all five, one after the other."""
import time

import numpy as np

SIZE = 2048
RUNS = 3


def widened():
    values = np.random.default_rng(1).standard_normal((SIZE, SIZE), dtype=np.float32) * 0.02
    return (values.view(np.uint32) & np.uint32(0xffff0000)).view(np.float32)


def exponents(v):
    """Of positive values; 0 counts as 1."""
    return np.frexp(np.where(v > 0, v, 1))[1] - 1


def powers(e):
    return np.ldexp(np.float32(1), e).astype(np.float32)


def peaks(groups):
    return np.abs(groups).max(axis=1, keepdims=True)


def bfp(x, bits):
    """16 values share an exponent; bits of a code are a sign and a magnitude."""
    groups = x.reshape(-1, 16)
    step = powers(exponents(peaks(groups)) - (bits - 2))
    codes = np.minimum(np.rint(np.abs(groups) / step), (1 << (bits - 1)) - 1)
    return np.copysign(codes * step, groups).reshape(x.shape)


def e2m1(v):
    """Positive values to the nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6."""
    step = np.where(v < 2, np.float32(0.5), np.where(v < 4, np.float32(1), np.float32(2)))
    return np.minimum(np.rint(v / step) * step, np.float32(6))


def mxfp4(x):
    groups = x.reshape(-1, 32)
    scale = powers(exponents(peaks(groups)) - 2)
    return np.copysign(e2m1(np.abs(groups) / scale) * scale, groups).reshape(x.shape)


def e4m3(v):
    """Positive values to the nearest of three bits of mantissa."""
    step = powers(np.maximum(exponents(v), -6) - 3)
    return np.minimum(np.rint(v / step) * step, np.float32(448))


def nvfp4(x):
    whole = np.float32(np.abs(x).max() / 2688)
    groups = x.reshape(-1, 16)
    scale = e4m3(peaks(groups) / 6 / whole) * whole
    units = np.abs(groups) / np.where(scale > 0, scale, 1)
    return np.copysign(e2m1(units) * scale, groups).reshape(x.shape)


def report(x, rounded):
    y = rounded(x)
    away = np.abs(x - y)
    a, b = x - x.mean(), y - y.mean()
    pcc = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    return float(pcc), float(away.mean()), float(away.max())


def main():
    x = widened()
    formats = {"bfp8": lambda v: bfp(v, 8), "bfp4": lambda v: bfp(v, 4),
               "bfp2": lambda v: bfp(v, 2), "mxfp4": mxfp4, "nvfp4": nvfp4}
    total = 0.0
    for name, rounded in formats.items():
        best = float("inf")
        for _ in range(RUNS):
            begin = time.process_time()
            report(x, rounded)
            best = min(best, time.process_time() - begin)
        total += best
        print(f"{name}\t{1e-9 * x.size / best:.6f}")
    print(f"all five\t{1e-9 * x.size / total:.6f}")


if __name__ == "__main__":
    main()
