#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure scruple against its peers and limits, all in one run, and print one table.

    bench.py BUILD [GROUP...]      deepseek, small, header, gguf, hostile, hub, decode, encode,
                                   elements, svd, scan, diff, mix, quality, png, tiles, bytes, web; none: all

BUILD is a release build with the target `bench`.  Sample files are made once in BUILD/bench-data.
The result also goes to BUILD/bench-data/last.csv.  $SCRUPLE_BASE, when set, is the program of
another commit: it takes turns with ours and gets a column of its own.  $GGML_LIB, when set, is the
path of a libggml-base.so, the peer of the groups `decode` and `encode`.

Times are the fastest of N runs of whole programs, from fork to exit.  Nothing is judged: the goal
stands beside the ratio, the reader compares.
"""
import csv
import glob
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(HERE)
BUILD = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else sys.exit(__doc__)
DATA = os.path.join(BUILD, "bench-data")
SCRUPLE = os.path.join(BUILD, "scruple")
BASE = os.environ.get("SCRUPLE_BASE")
PYTHON = sys.executable
MB = 1e6


class Run:
    """What bench/run says of one program."""
    def __init__(self, line):
        fields = line.split("\t")
        self.best, self.median = float(fields[0]), float(fields[1])
        self.rss, self.status = int(fields[2]), int(fields[3])


def run(*programs, n=10, warmups=2):
    command = [os.path.join(BUILD, "bench", "run"), "-n", str(n), "-w", str(warmups)]
    for program in programs:
        command += ["--", *program]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [Run(line) for line in said.splitlines()]


def ours(*arguments):
    """The program of this build and, if there is one, that of the other commit."""
    return [[program, *arguments] for program in (SCRUPLE, BASE) if program]


def made(name, *maker):
    """The path of sample data NAME, made by `maker` unless it is there already."""
    path = os.path.join(DATA, name)
    done = path + ".made"
    if not os.path.exists(done):
        print(f"bench: making {name}", file=sys.stderr)
        os.makedirs(path, exist_ok=True)
        subprocess.run([PYTHON, "-B", *maker, path], check=True, stderr=subprocess.DEVNULL)
        open(done, "w").close()
    return path


def headers(kind):
    return made(kind, os.path.join(HERE, "make_headers.py"), kind)


def wide(kind):
    return os.path.join(made(kind, os.path.join(SOURCE, "tools", "mkmodel"), kind), kind)


def header_bytes(path):
    with open(path, "rb") as file:
        return 8 + int.from_bytes(file.read(8), "little")


# ---------------------------------------------------------------------------------- the table

ROWS = []


def row(what, unit, value, limit, limit_name, goal, base=None, median=None):
    """One line: value and limit in the same unit; the ratio is value / limit."""
    ROWS.append({"what": what, "unit": unit, "ours": value, "median": median, "base": base,
                 "against": limit, "peer or limit": limit_name, "ratio": value / limit,
                 "goal": goal})


def timed(what, model, arguments, limit, limit_name, goal, n=10, factor=1.0, unit="s", peer=None):
    """Wall time of one command against a peer (a command, run in turns) or a number."""
    runs = run(*ours(*arguments, model), *([peer] if peer else []), n=n)
    first = runs[0]
    against = runs[-1].best * factor if peer else limit
    base = runs[1].best * factor if BASE else None
    if first.status > 1:
        print(f"bench: {what}: exit status {first.status}", file=sys.stderr)
    row(what, unit, first.best * factor, against, limit_name, goal, base, first.median * factor)
    return runs


def deepseek():
    folder = headers("deepseek-v3")
    peer = [PYTHON, os.path.join(HERE, "list_peer.py"), folder]
    what = "91,991 tensors in 163 files: "
    runs = timed(what + "tree", folder, ["tree"], None, "python3 json, same run", "<= 0.30", n=20,
                 factor=1e3, unit="ms", peer=peer)
    row(what + "tree, peak memory", "MB", runs[0].rss / MB, 24, "limit", "<= 1",
        runs[1].rss / MB if BASE else None)
    timed(what + "tree --flat", folder, ["tree", "--flat"], None, "python3 json, same run", "-",
          factor=1e3, unit="ms", peer=peer)


def small():
    folder = headers("dense-300")
    runs = run(*ours("tree", folder), ["/bin/true"], n=50, warmups=5)
    extra = [(r.best - runs[-1].best) * 1e3 for r in runs]
    row("300 tensors: tree, more than /bin/true", "ms", extra[0], 5, "limit", "<= 1",
        extra[1] if BASE else None, (runs[0].median - runs[-1].median) * 1e3)


def big_header():
    folder = wide("wide-safetensors")
    size = header_bytes(os.path.join(folder, "model.safetensors"))
    said = subprocess.run([os.path.join(BUILD, "bench", "open"), folder, "5"], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    best, median, reading = [float(word) for word in said.split()[2:]]
    peer = subprocess.run([PYTHON, "-c", "import json, sys, time\n"
                           "f = open(sys.argv[1], 'rb'); n = int.from_bytes(f.read(8), 'little')\n"
                           "b = f.read(n); t = time.perf_counter(); json.loads(b)\n"
                           "print(time.perf_counter() - t)",
                           os.path.join(folder, "model.safetensors")],
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    what = f"{size / MB:.0f} MB header, 720,000 tensors: "
    row(what + "scan and validate", "GB/s", size / best / 1e9, 1, "limit", ">= 1",
        None, size / median / 1e9)
    row(what + "scan and validate", "GB/s", size / best / 1e9, size / float(peer) / 1e9,
        "python3 json.loads, same run", "-")
    row(what + "scan and validate", "GB/s", size / best / 1e9, size / reading / 1e9,
        "adding up the bytes, same run", "-")
    runs = timed(what + "tree", folder, ["tree"], 2, "limit", "<= 1", n=5)
    row(what + "tree, peak memory", "MB", runs[0].rss / MB, size / MB, "size of the header",
        "<= 3", runs[1].rss / MB if BASE else None)


def big_gguf():
    timed("60,000 tensors in a GGUF: tree", wide("wide-gguf"), ["tree"], 0.2, "limit", "<= 1")


def hostile():
    root = made("hostile", os.path.join(HERE, "make_hostile.py"))
    empty = os.path.join(made("empty", os.path.join(SOURCE, "tools", "mkmodel"), "empty"), "empty")
    (nothing,) = run([SCRUPLE, "check", empty], n=3)
    worst = {"memory": (0, ""), "time": (0.0, "")}
    crashed = []
    for name in sorted(os.listdir(root)):
        for command in ("tree", "info", "check"):
            (r,) = run([SCRUPLE, command, os.path.join(root, name)], n=1, warmups=0)
            label = f"{command} {name}"
            worst["memory"] = max(worst["memory"], (r.rss - nothing.rss, label))
            worst["time"] = max(worst["time"], (r.best, label))
            if r.status > 5:
                crashed.append(f"{label} ({r.status})")
    row(f"hostile files, worst ({worst['memory'][1]}): more memory than an empty file", "MB",
        worst["memory"][0] / MB, 48, "limit", "<= 1")
    row(f"hostile files, worst ({worst['time'][1]}): time", "s", worst["time"][0], 2, "limit",
        "<= 1")
    if crashed:
        print("bench: did not end cleanly: " + ", ".join(crashed), file=sys.stderr)


def on_the_hub():
    import hub
    hub.measure(sys.modules[__name__], SCRUPLE, headers("deepseek-v3"), DATA)


def decode():
    """Elements a second of each decoder: against ggml, and against what memory brings."""
    said = subprocess.run([os.path.join(BUILD, "bench", "decode")], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    lines = [line.split("\t") for line in said.splitlines()]
    read = float(lines.pop()[2])
    for name, bytes_each, *numbers in lines:
        *levels, ggml = [float(number) for number in numbers]
        levels = {level: speed for level, speed in zip(("c", "avx2", "avx512"), levels) if speed}
        best = list(levels)[-1]
        goal = ">= 2" if name in TWICE else ">= 1"
        for level, speed in levels.items():
            what = f"decode {name}, {level}"
            if ggml:
                row(what, "Gelem/s", speed, ggml, "ggml, same run", goal if level == best else "-")
            if level == best or not ggml:
                row(what, "Gelem/s", speed, read / float(bytes_each), "adding up memory", "-")


def encode():
    """Elements a second of rounding, against what memory brings; of blocks, against ggml."""
    said = subprocess.run([os.path.join(BUILD, "bench", "encode")], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    lines = [line.split("\t") for line in said.splitlines()]
    read = float(lines.pop()[2])
    for name, _, *numbers in lines:
        *levels, last = [float(number) for number in numbers]
        best = max(levels)
        if not name.startswith("blocks "):
            row(f"round to {name}", "Gelem/s", best, read / 4, "adding up memory", "-")
        elif last:
            goal = ">= 2" if name.split()[1] in ENCODED_TWICE else ">= 1"
            row(f"encode {name}", "Gelem/s", best, last, "ggml, same run", goal)


def spectra():
    """All singular values, two threads: against numpy, and LAPACK on the same Gram matrix."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS")}
    for n, runs in ((1024, 5), (2048, 5), (4096, 2)):
        said = subprocess.run([os.path.join(BUILD, "bench", "svd"), str(n), str(runs)], check=True,
                              stdout=subprocess.PIPE, text=True, env=clean).stdout
        seconds, direct, two_stage, numpy, _ = [float(word) for word in said.split()]
        what = f"singular values, {n} x {n}"
        row(what, "s", seconds, min(direct, two_stage), "LAPACK on the Gram matrix, same run",
            "<= 1.2")
        if numpy:
            row(what, "s", seconds, numpy, "numpy svd, values only, same run", "<= 0.45")


def elements():
    """Figures of single values: loops against memory, whole passes against numpy."""
    said = subprocess.run([os.path.join(BUILD, "bench", "elements")], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    lines = [line.split("\t") for line in said.splitlines()]
    read = 4 * max(float(number) for number in lines.pop()[1:4])
    peer = subprocess.run([PYTHON, "-B", os.path.join(HERE, "elements_peer.py")], check=False,
                          stdout=subprocess.PIPE, text=True).stdout.split()
    goals = {("sums", "avx2"): ">= 0.45", ("sums", "avx512"): ">= 0.6"}
    for name, *numbers, bytes_each in lines:
        for level, speed in zip(("c", "avx2", "avx512"), map(float, numbers)):
            if speed:
                row(f"{name}, {level}", "GB/s", speed * int(bytes_each), read,
                    "adding up memory", goals.get((name, level), "-"))
    best = {name: max(map(float, numbers)) for name, *numbers, _ in lines}
    if peer:
        full = "BF16 basic, sparsity, quantization"
        row(full, "Gelem/s", best[full], float(peer[0]), "numpy, 9 percentiles", ">= 40")
        row("BF16 basic", "Gelem/s", best["BF16 basic"], float(peer[1]), "numpy.bincount", ">= 4")


def pictures():
    """Pixels a second from values to colours and from colours to PNG, and the bytes of these."""
    said = subprocess.run([os.path.join(BUILD, "bench", "png")], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    lines = {name: list(map(float, numbers))
             for name, *numbers in (line.split("\t") for line in said.splitlines())}
    speed, size, entropy = lines["ours"]
    row("tiles as PNG", "Mpx/s", speed, lines["zlib"][0], "zlib, level 1, as libpng calls it",
        ">= 8")
    row("tiles as PNG", "Mpx/s", speed, lines["libdeflate"][0], "libdeflate, level 1", ">= 4")
    row("bytes of a tile", "KiB", size * 64, entropy * 64, "entropy of its pixels",
        "<= 1.04 and 1 KiB")
    row("colours of bfloat16", "Mpx/s", lines["colours"][0], speed, "its PNG", "-")


def forget(folder):
    """The files of a folder leave the page cache."""
    for name in os.listdir(folder):
        file = os.open(os.path.join(folder, name), os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def first_picture(folder):
    """Milliseconds from a start to the last tile of an overview, nothing in the page cache."""
    times = []
    for _ in range(5):
        forget(folder)
        start = time.perf_counter()
        subprocess.run([os.path.join(BUILD, "bench", "tiles"), "--first", folder, "2"], check=True,
                       stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - start) * 1e3)
    return min(times), sorted(times)[2]


def tiles():
    """Pyramids against reading, tiles in processor time of one thread, first pictures."""
    folder = made("weights-bf16", os.path.join(HERE, "make_weights.py"), "bf16")
    said = subprocess.run([os.path.join(BUILD, "bench", "tiles"), folder, "2", "7"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    lines = [line.split("\t") for line in said.splitlines()]
    for what, *fields in lines:
        if what == "pyramid":
            size, build, reading, _, share = map(float, fields[1:])
            row("pyramids of 2.2 GB", "GB/s", size / build / 1e9, size / reading / 1e9,
                "reading the file", ">= 0.5")
            row("bytes of pyramids", "MB", size * share / MB, size / MB, "the model", "<= 0.02")
    built = [fields[1:] for fields in lines if fields[1] == "built"]
    one = next(fields for what, *fields in lines if what == "tile" and fields[0] == "built")
    everything = next(fields for fields in built if len(fields) == 4)
    rate = next(fields for fields in built if len(fields) == 2)
    for name, (p50, p99, *_), limit in (("one pixel an element", one[3:], 0.3),
                                        ("any zoom", everything[1:], 30)):
        row(f"a tile, {name}, p50", "ms", float(p50) / 1e3, limit, "limit", "<= 1")
        row(f"a tile, {name}, p99", "ms", float(p99) / 1e3, 30, "limit", "<= 1")
    row("tiles of one pixel an element a core", "1/s", float(rate[1]), 4000, "limit", ">= 1")
    for name, kind in (("16 GB", "dense-300"), ("689 GB", "deepseek-v3")):
        best, median = first_picture(headers(kind))
        row(f"first picture of {name}, cold, two threads", "ms", best, 150, "limit", "<= 1", None,
            median)


def mixes():
    """Optimal mixes of formats against greedy ones: bytes of ten tensors, time of a large one."""
    def lines(*arguments):
        said = subprocess.run([os.path.join(BUILD, "bench", "mix"), *arguments], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        for kind, goal, _, *numbers in (line.split("\t") for line in said.splitlines()):
            yield kind, goal, *map(float, numbers)
    ten = list(lines())
    for goal in ("pcc 0.999", "pcc 0.99", "mae", "atol"):
        of_goal = [line for line in ten if line[1] == goal]
        *_, size, greedy, _ = max(of_goal, key=lambda line: line[4] / line[5])
        row(f"bytes of a mix, {goal}, worst of ten tensors", "MB", size / MB, greedy / MB,
            "greedy, best of three", "<= 1")
    for _, goal, seconds, greedy, *_ in lines("7168", "18432", "1"):
        row(f"129,024 tiles, 4 formats, {goal}", "s", seconds, 1, "limit", "<= 1")
        row(f"129,024 tiles, 4 formats, {goal}", "s", seconds, greedy, "greedy, same run", "-")


def qualities():
    """What formats cost a BF16 matrix in memory, on one core: loops, and reports against memory and
    against a peer in numpy that rounds and takes pcc, mae and the largest error. Brief reports are
    the figures that numpy makes; whole ones have quantiles and the worst parts besides."""
    said = subprocess.run([os.path.join(BUILD, "bench", "quality"), "32"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    peer = subprocess.run([PYTHON, "-B", os.path.join(HERE, "quality_peer.py")], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    numpy = {name: float(speed) for name, speed in (line.split("\t") for line in peer.splitlines())}
    goals = {"bfp8": ">= 0.25", "bfp4": ">= 0.25", "mxfp4": ">= 0.15", "nvfp4": ">= 0.15"}
    for line in said.splitlines():
        what, c, avx2, avx512, size, *read = line.split("\t")
        if not read:
            for level, speed in (("c", c), ("avx2", avx2), ("avx512", avx512)):
                if float(speed):
                    row(f"{what}, {level}", "Gelem/s", float(speed), 1, "10^9 a second", "-")
            continue
        kind = next(k for k in ("brief file", "file", "brief", "report") if what.startswith(k + " "))
        name = what[len(kind) + 1:]
        speed, seven = float(avx512), " " in name and name != "of x alone"
        title = f"{kind} of seven formats" if seven else f"{kind}, {name}"
        in_memory = not kind.endswith("file")
        row(title, "GB/s", speed * int(size), float(read[0]),
            "adding up memory" if in_memory else "adding up the file",
            (">= 0.045" if seven else goals.get(name, "-")) if in_memory else "-")
        if in_memory and seven:
            row(title, "Gelem/s", speed, numpy["all five"], "numpy, five of them", ">= 60")
        elif in_memory and name in numpy:
            row(title, "Gelem/s", speed, numpy[name], "numpy", ">= 40")


def diffs():
    """The numbers of a diff: loops against memory, whole programs against numpy."""
    a, b = (made("weights-" + kind, os.path.join(HERE, "make_weights.py"), kind)
            for kind in ("bf16", "bf16-twin"))
    said = subprocess.run([os.path.join(BUILD, "bench", "change"), "5", a, b], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    lines = [line.split("\t") for line in said.splitlines()]
    read = float(lines.pop()[0])
    both = float(lines.pop()[1])
    row("diff, the model and its twin in memory", "GB/s", float(lines.pop()[1]), both,
        "adding up the same memory", ">= 0.7")
    for name, *numbers in lines:
        for level, speed in zip(("c", "avx2", "avx512"), map(float, numbers)):
            if speed:
                row(f"diff, {name}, {level}", "GB/s", speed, read, "adding up memory", "-")
    peer = subprocess.run([PYTHON, "-B", os.path.join(HERE, "diff_peer.py")], check=False,
                          stdout=subprocess.PIPE, text=True).stdout.split()
    values = sum(os.path.getsize(os.path.join(a, name)) for name in os.listdir(a)) / 2
    best = 1e9
    for _ in range(3):
        start = os.times()
        subprocess.run([SCRUPLE, "diff", a, b, "-q", "--no-cache"], check=False)
        end = os.times()
        best = min(best, end.children_user - start.children_user +
                   end.children_system - start.children_system)
    if peer:
        row("diff of two models, a CPU second", "Gelem/s", values / best / 1e9, float(peer[0]),
            "numpy, in double", ">= 20")


def scans():
    import scan
    scan.measure(sys.modules[__name__], SCRUPLE)


def servers():
    import web
    web.measure(sys.modules[__name__], SCRUPLE, BUILD)


def exports():
    import export
    export.measure(sys.modules[__name__], SCRUPLE)


def passes():
    import forward
    forward.measure(sys.modules[__name__], BUILD)


# At least twice as fast as ggml as it is shipped.
ENCODED_TWICE = {"Q8_0", "Q4_0", "MXFP4", "NVFP4"}
TWICE = {"F16", "Q4_0", "Q6_K", "Q3_K", "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4"}


def tokenizers():
    """MB/s of English text, of one core; TOKENIZERS names real tokenizer.json files, TOKENIZER_TEXT a text."""
    folder = os.path.join(SOURCE, "tests", "data", "tokenize")
    files = os.environ.get("TOKENIZERS", "").split() or [
        os.path.join(folder, name + ".json") for name in ("gpt2", "llama3", "qwen2", "llama2", "bert", "xlmr")]
    text = os.environ.get("TOKENIZER_TEXT")
    if not text:
        text = os.path.join(DATA, "english.txt")
        licences = sorted(glob.glob("/usr/share/common-licenses/*") + glob.glob("/usr/share/perl/*/pod/*.pod"))
        with open(text, "wb") as out:
            for path in licences:
                with open(path, "rb") as file:
                    out.write(file.read())
    said = subprocess.run([os.path.join(BUILD, "bench", "tokenize"), text, *files], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    peer = subprocess.run(["node", os.path.join(HERE, "tokenize_peer.js"), text, *files], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout
    against = dict(line.split("\t") for line in peer.splitlines())
    for path, opened, speed, _ in (line.split("\t") for line in said.splitlines()):
        name = os.path.basename(path)
        row(f"tokenize, {name}", "MB/s", float(speed), float(against.get(path, 30)),
            "Rust tokenizers, same run" if path in against else "30 MB/s", ">= 1" if path not in against else ">= 5")
        row(f"open {name}", "ms", float(opened), 100, "100 ms", "<= 1")


def pictures_of_bytes():
    """Tiles of files as bytes, in processor time of one thread, taking turns with memcpy."""
    folder = made("weights-bf16", os.path.join(HERE, "make_weights.py"), "bf16")
    path = max((os.path.join(folder, name) for name in os.listdir(folder)), key=os.path.getsize)
    said = subprocess.run([os.path.join(BUILD, "bench", "bytes"), path, "5"], check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = [line.split("\t") for line in said.splitlines()]
    copy = float(next(fields[1] for fields in lines if fields[0] == "copy"))
    for what, *fields in lines:
        if what == "tile" and fields[1] != "mean":
            row(f"bytes into tiles, {4 ** int(fields[0])} a pixel, {fields[1]}", "GB/s", float(fields[2]) / 1e9, 1,
                "1 GB/s", ">= 1" if fields[1] == "main" else "-")
        elif what == "count":
            row("counting bytes a core", "GB/s", float(fields[0]) / 1e9, copy / 1e9, "memcpy, same run", "-")


def similarity():
    """Comparing the experts of a layer: multiplications a second of one core, and what a sketch saves and loses."""
    said = subprocess.run([os.path.join(BUILD, "bench", "similarity")], check=True, stdout=subprocess.PIPE, text=True)
    speed, blas, exact, sketch, told, error = map(float, said.stdout.split())
    row("experts alike, exact, 10^9 multiplications a second", "", speed, blas, "OpenBLAS sgemm, same run", ">= 0.8")
    row("one weight of 16 experts, sketched", "s", sketch, exact, "exact, same run", "<= 0.3")
    row("largest error of the sketch, 10^-3", "", 1e3 * error, 1e3 * told, "the error that it tells", "<= 1")


GROUPS = {"deepseek": deepseek, "small": small, "header": big_header, "gguf": big_gguf,
          "hostile": hostile, "hub": on_the_hub, "decode": decode, "encode": encode,
          "elements": elements, "svd": spectra, "scan": scans, "diff": diffs, "mix": mixes,
          "quality": qualities,
          "png": pictures, "tiles": tiles, "bytes": pictures_of_bytes, "web": servers, "export": exports,
          "tokenize": tokenizers, "similarity": similarity,
          "forward": passes}


def number(value, unit=""):
    if value is None:
        return ""
    digits = 0 if value >= 1000 else 1 if value >= 100 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}" + (f" {unit}" if unit else "")


def show():
    table = [["what", "ours"] + (["base"] if BASE else []) + ["against", "", "ratio", "goal"]]
    for r in ROWS:
        table.append([r["what"], number(r["ours"], r["unit"])] +
                     ([number(r["base"], r["unit"])] if BASE else []) +
                     [number(r["against"], r["unit"]), r["peer or limit"], number(r["ratio"]),
                      r["goal"]])
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    text = {0, len(table[0]) - 3}  # the other columns are numbers
    for line in table:
        print("  ".join(cell.ljust(w) if i in text else cell.rjust(w)
                        for i, (cell, w) in enumerate(zip(line, widths))).rstrip())


def main():
    words = sys.argv[2:]
    unknown = [word for word in words if word not in GROUPS]
    if unknown:
        sys.exit(f"bench: no group \"{unknown[0]}\"; there are {', '.join(GROUPS)}")
    os.makedirs(DATA, exist_ok=True)
    for name in words or GROUPS:
        GROUPS[name]()
    show()
    with open(os.path.join(DATA, "last.csv"), "w", newline="") as file:
        out = csv.DictWriter(file, ROWS[0].keys())
        out.writeheader()
        for r in ROWS:
            out.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in r.items()})


if __name__ == "__main__":
    main()
