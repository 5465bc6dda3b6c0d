#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write tests/data/spectra and print what tests/unit expects of them.

    make_spectra.py [DIR]   write the singular values; print tables of C

Four matrices of integers and IEEE operations only, so that every machine makes the same ones;
their singular values by LAPACK (dgesdd) in double; and every figure by its definition in numpy and
scipy (written with 1.24 and 1.10 from Debian 12).  The power law is fitted by brute force.
"""
import os
import sys

import numpy as np
from scipy import integrate, linalg, optimize, special, stats

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data", "spectra")


def uniform(seed, n):
    """Output 0..n-1 of SplitMix64, its upper 24 bits brought into -1..1."""
    with np.errstate(over="ignore"):
        z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float64) - 2**23) / 2**23


def matrices():
    """Uniform noise, heavy tails, square noise, twenty directions in noise; as they are in F32."""
    a = (0.0625 * uniform(1, 240000)).reshape(600, 400)
    u = uniform(2, 240000)
    b = (0.001 * np.sign(u + 1e-300) / (np.abs(u) + 1 / 256)).reshape(600, 400)
    c = uniform(3, 90000).reshape(300, 300)
    left, right = uniform(4, 10000).reshape(500, 20), uniform(5, 5000).reshape(20, 250)
    d = np.zeros((500, 250))
    for j in range(20):
        d = d + np.outer(left[:, j], right[j]) * 0.5 / (j + 1)
    d = d + 0.01 * uniform(6, 125000).reshape(500, 250)
    return {k: m.astype(np.float32).astype(np.float64) for k, m in zip("abcd", (a, b, c, d))}


def power_law(x):
    """Every xmin but the largest value; the lower steps of the empirical distribution."""
    x = np.sort(x)
    logs, n, best = np.log(x), len(x), None
    for i in range(n - 1):
        k = n - i
        alpha = 1 + k / (np.sum(logs[i:]) - k * logs[i])
        d = np.max(np.abs(1 - (x[i:] / x[i])**(1 - alpha) - np.arange(k) / k))
        if best is None or d < best[3]:
            best = (alpha, x[i], x[-1], d, (alpha - 1) / np.sqrt(k), k)
    return best


def mp_density(x, beta):
    low, high = (1 - np.sqrt(beta))**2, (1 + np.sqrt(beta))**2
    return np.sqrt(max((high - x) * (x - low), 0)) / (2 * np.pi * beta * x)


def mp_cdf(x, beta):
    """By quadrature; the square root at either end is taken away by a change of variable."""
    low, high = (1 - np.sqrt(beta))**2, (1 + np.sqrt(beta))**2
    if x <= low:
        return 0.0
    if x >= high:
        return 1.0
    return integrate.quad(lambda t: 2 * t * mp_density(low + t * t, beta), 0, np.sqrt(x - low),
                          epsabs=1e-13, epsrel=1e-13, limit=500)[0]


def mp_median(beta):
    low, high = (1 - np.sqrt(beta))**2, (1 + np.sqrt(beta))**2
    return optimize.brentq(lambda x: mp_cdf(x, beta) - 0.5, low, high, xtol=1e-14)


def first(condition):
    return int(np.argmax(condition)) + 1


def describe(m):
    """The fields of tests/unit/test_spectrum.c, in their order."""
    s = linalg.svdvals(m)
    rows, cols = m.shape
    m, n = max(rows, cols), min(rows, cols)
    beta, lam = n / m, s * s
    energy = np.cumsum(lam) / lam.sum()
    shares = s / s.sum()
    sigma = np.median(s) / np.sqrt(m * mp_median(beta))
    edge = sigma * (np.sqrt(m) + np.sqrt(n))
    star = np.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + np.sqrt(beta**2 + 14 * beta + 1)))
    a, b = np.sqrt(m - 1), np.sqrt(n)
    bulk = np.sort(lam[s <= edge]) / (sigma**2 * m)
    fit = power_law(lam[lam > 1e-5])
    p = lam / lam.sum() + 1e-10
    rank = np.linalg.matrix_rank(np.diag(s), tol=s[0] * m * np.finfo(float).eps)
    q75, q25 = np.percentile(s, [75, 25])
    threshold = (q75 - q25) / 1.349 * (1 + np.sqrt(beta))
    ascending = np.sort(lam)
    upper = ascending[n // 2:]
    scaled = np.sort(lam * n / lam.sum())[::-1]
    i = np.arange(n)
    knee = np.abs(i / (n - 1) + (s - s[-1]) / (s[0] - s[-1]) - 1)
    x = s[0] / s[-1] / n
    return [
        rows, cols, s[0], s[-1], s[0] / s[-1], lam.sum() / lam[0], int((s > 0.01 * s[0]).sum()),
        np.exp(stats.entropy(shares)), lam.sum()**2 / (lam**2).sum(),
        *[first(energy >= t) for t in (0.5, 0.9, 0.95, 0.99)],
        sigma, edge, int((s > edge).sum()), int((s > star * np.sqrt(m) * sigma).sum()),
        (lam[0] / sigma**2 - (a + b)**2) / ((a + b) * (1 / a + 1 / b)**(1 / 3)),
        stats.kstest(bulk, np.vectorize(lambda v: mp_cdf(v, beta))).statistic,
        *fit, fit[0] * np.log10(lam[0]), np.log10(lam.sum()), np.log10(lam[0]),
        np.log10((lam**fit[0]).sum()), -(p * np.log(p)).sum() / np.log(rank),
        1 + len(upper) / np.log(upper / upper[0]).sum(), first(np.cumsum(np.log(scaled)) < 0),
        s[s > threshold].sum() / s[s <= threshold].sum() / s[0], int((s > threshold).sum()),
        s[s > edge].sum() / s[s <= edge].sum() / s[0],
        *[min(max(k, 1), n - 1) for k in (
            first(energy >= 0.9**2), first(energy >= 0.95**2), int((s > s[0] / 10).sum()),
            first(np.cumsum(shares) >= 0.9), first(knee == knee.max()))],
        np.sqrt(lam[16:].sum() / lam.sum()), np.sqrt(lam[64:].sum() / lam.sum()),
        1 - np.exp(-2 / x - 2 / x**2) if rows == cols else np.nan,
    ]


def number(x):
    if isinstance(x, (int, np.integer)):
        return str(int(x))
    return "NAN" if np.isnan(x) else repr(float(x))


def abs_max_mean(n):
    inside = lambda x: np.log(special.erf(x / np.sqrt(2))) if x < 1 else \
        np.log1p(-special.erfc(x / np.sqrt(2)))
    f = lambda x: x * 2 * n * stats.norm.pdf(x) * np.exp((n - 1) * inside(x))
    peak = stats.norm.isf(min(0.4, 0.5 / n))
    return integrate.quad(f, 1e-300, 37, points=[peak, peak + 1], epsabs=0, epsrel=1e-12,
                          limit=1000)[0]


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else DATA
    os.makedirs(folder, exist_ok=True)
    for name, m in matrices().items():
        linalg.svdvals(m).astype("<f8").tofile(os.path.join(folder, name + ".f64"))
        print(f"{{\"{name}\", " + ", ".join(number(x) for x in describe(m)) + "},")
    print("mp_median", [(b, mp_median(b)) for b in (1e-4, 0.01, 0.5, 2 / 3, 0.999, 1.0)])
    print("mp_cdf", [(x, b, mp_cdf(x, b)) for x, b in ((0.01, 1.0), (1.5, 1.0), (0.2, 0.5),
          (0.9, 0.5), (2.9, 0.5), (0.99, 1e-4), (1.01, 1e-4), (1e-5, 0.999), (3.9, 0.999))])
    print("cdf", [(x, stats.norm.cdf(x)) for x in (-37.0, -6.0, -1.0, 0.5, 3.0)])
    print("quantile", [(p, stats.norm.ppf(p)) for p in (1e-300, 1e-12, 0.01, 0.3, 0.75, 1 - 1e-9)])
    print("beyond", [(x, 2 * stats.norm.sf(x)) for x in (1, 6)])
    print("abs_max_mean", [(n, abs_max_mean(n)) for n in (1, 2, 32, 1000, 1e6, 1e12)])


if __name__ == "__main__":
    main()
