#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a Python user would run for the three analyses of `scan`, with torch and as many threads as
it takes: moments, outliers by quartiles, integers of eight bits, dead rows and thresholds.

    scan_peer.py [MILLION_VALUES]     prints GB of BF16 a second; nothing without torch

$WEIGHTSCOPE, when set, is a folder with the source of WeightScope: then a second line says the same
of its own functions for basic statistics, quantization and sparsity, with two threads."""
import importlib.util
import os
import sys
import time

try:
    import torch
except ImportError:
    sys.exit(0)

COLS = 2048


def moments(w):
    x = w.float()
    centred = (x - x.mean()) / x.std()
    return [x.min(), x.max(), x.norm(), (centred ** 3).mean(), (centred ** 4).mean(),
            torch.isnan(x).sum(), torch.isinf(x).sum(), (x == 0).sum()]


def integers(w):
    x = w.float().flatten()
    ordered = x.sort().values
    low, high = ordered[x.numel() // 4], ordered[3 * x.numel() // 4]
    fence = 1.5 * (high - low)
    outliers = ((x < low - fence) | (x > high + fence)).sum()
    step = x.abs().max() / 127
    back = torch.clamp(torch.round(x / step), -128, 127) * step
    error = x - back
    return [outliers, (error ** 2).mean(), error.abs().mean(),
            torch.nn.functional.cosine_similarity(x, back, dim=0)]


def sparsity(w):
    x = w.float().abs()
    ordered = x.flatten().sort().values
    quantiles = [ordered[int(q * (x.numel() - 1))] for q in (.1, .25, .5, .75, .9)]
    return [(x <= t).sum() for t in (0, 1e-6, 1e-4, 1e-2)] + quantiles + \
        [(x.amax(dim=1) <= 1e-6).sum(), (x.amax(dim=0) <= 1e-6).sum()]


def seconds(analyses, weights, runs):
    best = 1e9
    for _ in range(runs):
        start = time.perf_counter()
        for analysis in analyses:
            analysis(weights)
        best = min(best, time.perf_counter() - start)
    return best


def figures_of(analysis):
    return lambda weights: [figure.item() for figure in analysis(weights)]


def weightscope(folder):
    """Its analyses, without the rest of it, which wants more to be installed."""
    for name, function in (("basic", "analyze_basic_stats"),
                           ("quantization", "analyze_quantization_sensitivity"),
                           ("sparsity", "analyze_sparsity")):
        path = os.path.join(folder, "weightscope", "analyzers", name + ".py")
        spec = importlib.util.spec_from_file_location("weightscope_" + name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield getattr(module, function)


def main():
    n = (int(sys.argv[1]) if len(sys.argv) > 1 else 8) << 20
    weights = (torch.randn(n // COLS, COLS) * 0.02).to(torch.bfloat16)
    best = seconds([figures_of(f) for f in (moments, integers, sparsity)], weights, 3)
    print(f"{2 * n / best / 1e9:.5f}")
    if "WEIGHTSCOPE" in os.environ:
        torch.set_num_threads(2)
        best = seconds(list(weightscope(os.environ["WEIGHTSCOPE"])), weights, 2)
        print(f"{2 * n / best / 1e9:.5f}")


main()
