#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a Python user would run for the figures of single values: 10^9 values a CPU second of
widening BF16, statistics with nine percentiles, and of counting bit patterns with numpy."""
import sys
import time

import numpy as np

N = int(sys.argv[1]) << 20 if len(sys.argv) > 1 else 8 << 20
PERCENTILES = [0.1, 1, 5, 25, 50, 75, 95, 99, 99.9]


def statistics(codes):
    x = (codes.astype(np.uint32) << 16).view(np.float32)
    x.min(), x.max(), x.mean(), x.std(), np.sqrt(np.dot(x, x)), np.count_nonzero(x)
    np.abs(x).max(), np.isfinite(x).all()
    np.percentile(x, PERCENTILES)


def counting(codes):
    np.bincount(codes, minlength=65536)


def speed(work, codes):
    best = 1e9
    for _ in range(3):
        start = time.process_time()
        work(codes)
        best = min(best, time.process_time() - start)
    return N / best / 1e9


values = (np.random.default_rng(1).standard_normal(N) * 0.02).astype(np.float32)
codes = (values.view(np.uint32) >> 16).astype(np.uint16)
print(f"{speed(statistics, codes):.5f}\t{speed(counting, codes):.5f}")
