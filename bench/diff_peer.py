#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a Python user would run for the numbers of a diff: 10^9 values of each side a CPU second of
widening BF16 and computing, in double, extremes, sums, norms, cosine and what changed."""
import sys
import time

import numpy as np

N = int(sys.argv[1]) << 20 if len(sys.argv) > 1 else 8 << 20


def widen(codes):
    return (codes.astype(np.uint32) << 16).view(np.float32)


def figures(a, b):
    bits = np.bitwise_xor(a, b)
    np.unpackbits(bits.view(np.uint8)).sum()
    a, b = widen(a).astype(np.float64), widen(b).astype(np.float64)
    np.isfinite(a).all(), np.isfinite(b).all()
    d = b - a
    size = np.abs(d)
    size.max(), size.argmax(), size.mean(), d.min(), d.max(), d.mean(), d.std(ddof=1)
    np.linalg.norm(d), np.linalg.norm(a), np.linalg.norm(b), np.abs(a).max(), np.abs(b).max()
    a.mean(), b.mean(), a.std(ddof=1), b.std(ddof=1)
    np.count_nonzero(a != b), np.count_nonzero(size > 0.01 * (np.abs(a) + 1e-10))
    np.count_nonzero(np.signbit(a) != np.signbit(b)), a @ b


rng = np.random.default_rng(1)
one = (rng.standard_normal(N, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16)
two = one ^ (rng.random(N) < .5).astype(np.uint16)
best = 1e9
for _ in range(3):
    start = time.process_time()
    figures(one, two)
    best = min(best, time.process_time() - start)
print(f"{N / best / 1e9:.5f}")
