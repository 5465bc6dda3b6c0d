#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What formats cost a BF16 matrix, as numpy measures it: values to a format and back, then pcc, mean
and largest |error|. One line a format: its name and 10^9 values a second of CPU time, the fastest
of several runs."""
import time

import numpy as np

SIZE = 2048
RUNS = 3


def widened():
    values = np.random.default_rng(1).standard_normal((SIZE, SIZE), dtype=np.float32) * 0.02
    return (values.view(np.uint32) & np.uint32(0xffff0000)).view(np.float32)


def exponents(peaks):
    return (np.frexp(peaks)[1] - 1).astype(np.int32)


def bfp(x, bits):
    """16 values share an exponent; bits of a code are a sign and a magnitude."""
    groups = x.reshape(-1, 16)
    top = exponents(np.abs(groups).max(axis=1))[:, None]
    most = np.float32(2 ** (bits - 1) - 1)
    step = np.ldexp(np.float32(1), top - (bits - 2))
    codes = np.minimum(np.rint(np.abs(groups) / step), most)
    return (np.copysign(codes, groups) * step).reshape(x.shape)


LEVELS = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
BETWEEN = (LEVELS[1:] + LEVELS[:-1]) / 2


def e2m1(q):
    return np.copysign(LEVELS[np.searchsorted(BETWEEN, np.abs(q))], q)


def mxfp4(x):
    groups = x.reshape(-1, 32)
    top = exponents(np.abs(groups).max(axis=1))[:, None]
    scale = np.ldexp(np.float32(1), top - 2)
    return (e2m1(groups / scale) * scale).reshape(x.shape)


def e4m3(v):
    """Positive values to the nearest of three bits of mantissa."""
    step = np.ldexp(np.float32(1), np.maximum(exponents(v), -6) - 3)
    return np.minimum(np.rint(v / step) * step, np.float32(448))


def nvfp4(x):
    groups = x.reshape(-1, 16)
    peaks = np.abs(groups).max(axis=1)
    whole = peaks.max() / np.float32(2688)
    scale = (e4m3(np.maximum(peaks / 6 / whole, np.float32(2 ** -9))) * whole)[:, None]
    return (e2m1(groups / scale) * scale).reshape(x.shape)


def report(x, rounded):
    y = rounded(x)
    d = np.abs(y - x)
    return np.corrcoef(x.ravel(), y.ravel())[0, 1], d.mean(), d.max()


def main():
    x = widened()
    formats = {"bfp8": lambda v: bfp(v, 8), "bfp4": lambda v: bfp(v, 4),
               "bfp2": lambda v: bfp(v, 2), "mxfp4": mxfp4, "nvfp4": nvfp4}
    for name, rounded in formats.items():
        best = float("inf")
        for _ in range(RUNS):
            begin = time.process_time()
            report(x, rounded)
            best = min(best, time.process_time() - begin)
        print(f"{name}\t{1e-9 * x.size / best:.6f}")


if __name__ == "__main__":
    main()
