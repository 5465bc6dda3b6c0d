# SPDX-License-Identifier: Apache-2.0
"""The group `export`: all of a model as files, and as pictures of every zoom in one file, against vips making a pyramid
of PNG tiles of the same pixels."""
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

TENSOR = "model.embed_tokens.weight"


def indices_of(path):
    """Width, height and the pixels of an indexed PNG of 8 bits without filters, as ours are."""
    with open(path, "rb") as f:
        png = f.read()
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert (depth, kind) == (8, 3), "an indexed PNG"
    at, packed = 8, []
    while at < len(png):
        n, name = struct.unpack(">I4s", png[at:at + 8])
        if name == b"IDAT":
            packed.append(png[at + 8:at + 8 + n])
        at += 12 + n
    rows = zlib.decompress(b"".join(packed))
    step = width + 1
    assert not any(rows[::step]), "rows without a filter"
    return width, height, b"".join(rows[y * step + 1:(y + 1) * step] for y in range(height))


def timed(read, *words):
    """What is read first is in memory, as far as the system lets it stay there."""
    for path in read:
        with open(path, "rb") as f:
            while f.read(1 << 22):
                pass
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure(bench, program, runs=3):
    vips = shutil.which("vips")
    if not vips:
        print("bench: no vips (libvips-tools): an export has no peer", file=sys.stderr)
        return
    folder = bench.made("weights-bf16", os.path.join(bench.HERE, "make_weights.py"), "bf16")
    elements = sum(os.path.getsize(os.path.join(folder, n)) for n in os.listdir(folder)) / 2
    files = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    best = {"ours": (1e9, 1e9), "vips": (1e9, 1e9), "one": (1e9, 1e9), "pictures": (1e9, 1e9)}
    with tempfile.TemporaryDirectory(dir=bench.DATA, prefix="export-") as work:
        png, raw, image, out = (os.path.join(work, name) for name in ("t.png", "t.raw", "t.v", "out"))
        subprocess.run([program, "view", folder, TENSOR, "--no-cache", "-q", "--width", "100000", "--png", png], check=True)
        width, height, pixels = indices_of(png)
        with open(raw, "wb") as f:
            f.write(pixels)
        subprocess.run([vips, "rawload", raw, image, str(width), str(height), "1"], check=True)
        for _ in range(runs):
            took = timed([image], vips, "dzsave", image, out, "--suffix", ".png[compression=1]", "--tile-size", "256", "--overlap", "0")
            best["vips"] = min(best["vips"], took)
            shutil.rmtree(out + "_files")
            took = timed(files, program, "view", folder, "--no-cache", "-q", "--out", out)
            best["ours"] = min(best["ours"], took)
            written = sum(os.path.getsize(os.path.join(at, n)) for at, _, names in os.walk(out) for n in names)
            shutil.rmtree(out)
            took = timed(files, program, "view", folder, "--no-cache", "-q", "--planes", "abs", "--out", out)
            best["one"] = min(best["one"], took)
            shutil.rmtree(out)
            took = timed(files, program, "view", folder, "--no-cache", "-q", "--pmtiles", out)
            best["pictures"] = min(best["pictures"], took)
            drawn = os.path.getsize(out)
            os.remove(out)
    peer = [width * height / t / 1e6 for t in best["vips"]]
    ours = [elements / t / 1e6 for t in best["ours"]]
    one = [elements / t / 1e6 for t in best["one"]]
    pictures = [elements / t / 1e6 for t in best["pictures"]]
    bench.row("pictures of 2.2 GB, every zoom, in one file", "Mpx/s", pictures[0], peer[0], "vips dzsave, grey PNG of level 1, same run", ">= 20")
    bench.row("the same, a second of one core", "Mpx/s", pictures[1], peer[1], "vips dzsave, same run", "-")
    bench.row("bytes of it", "MB", drawn / 1e6, elements / 1e6, "a byte an element", "-")
    bench.row("export of 2.2 GB, every level, lossless", "Mpx/s", ours[0], peer[0], "vips dzsave, grey PNG of level 1, same run", ">= 20")
    bench.row("the same with one plane, as vips has", "Mpx/s", one[0], peer[0], "vips dzsave, same run", ">= 20")
    bench.row("the same with two, a second of one core", "Mpx/s", ours[1], peer[1], "vips dzsave, same run", "-")
    bench.row("bytes of the export", "MB", written / 1e6, elements * 2 / 1e6, "the model", "-")
