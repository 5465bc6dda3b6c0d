# SPDX-License-Identifier: Apache-2.0
"""The group `scan` of bench.py: whole scans of whole models. Speed is held against Python, against
reading the files, and against limits; memory against 16 MB and 2 MB a thread."""
import os
import subprocess
import sys
import time

METHODS = ["--methods", "basic,sparsity,quantization"]


class Scan:
    """One run: seconds, CPU seconds, and the most memory that is no file page, in bytes."""

    def __init__(self, program, model, threads, methods=METHODS, watch=False):
        start = time.perf_counter()
        child = subprocess.Popen([program, "scan", "--no-cache", "-j", str(threads), *methods,
                                  model], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.memory = 0
        while watch:
            try:
                with open(f"/proc/{child.pid}/status", encoding="ascii") as status:
                    for line in status:
                        if line.startswith("RssAnon:"):
                            self.memory = max(self.memory, int(line.split()[1]) * 1024)
            except OSError:
                break
            if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.005)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.wall = time.perf_counter() - start
        self.cpu = usage.ru_utime + usage.ru_stime
        if child.returncode > 1:
            print(f"bench: scan of {model}: exit status {child.returncode}", file=sys.stderr)


def size_of(folder):
    files = [os.path.join(folder, name) for name in os.listdir(folder)]
    return files, sum(os.path.getsize(file) for file in files)


def forget(files):
    for file in files:
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def numbers(*command):
    said = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout
    return [float(word) for word in said.split()]


def made(bench, kind):
    return bench.made("weights-" + kind, os.path.join(bench.HERE, "make_weights.py"), kind)


def speed(bench, program):
    model = made(bench, "bf16")
    files, size = size_of(model)
    sweep = os.path.join(bench.BUILD, "bench", "sweep")
    python = [bench.PYTHON, "-B"]
    onepass = os.path.join(bench.BUILD, "bench", "onepass")
    Scan(program, model, 2)
    both, one, least_both, least_one, memory_speed = 1e9, 1e9, 1e9, 1e9, 0
    for _ in range(5):  # in turns
        both = min(both, Scan(program, model, 2).wall)
        least_both = min(least_both, numbers(onepass, model, "2", "1")[2])
        one = min(one, Scan(program, model, 1).cpu)
        said = numbers(onepass, model, "1", "1")
        least_one = min(least_one, said[4])
        memory_speed = max(memory_speed, said[6])
    what = f"{size / 1e9:.1f} GB BF16: scan"
    two = what + ", 2 threads, warm"
    row = bench.row
    for peer, name in zip(numbers(*python, os.path.join(bench.HERE, "scan_peer.py")),
                          ("torch, same run", "WeightScope's functions, same run")):
        row(two, "GB/s", size / both / 1e9, peer, name, ">= 400")
    least = "codes counted, rows and columns, same run"
    row(two, "GB/s", size / both / 1e9, size / least_both / 1e9, least, ">= 0.75")
    core = what + ", a CPU second"
    row(core, "GB/s", size / one / 1e9, size / least_one / 1e9, least, ">= 0.75")
    row(core, "GB/s", size / one / 1e9, memory_speed, "adding up memory, same run", ">= 0.15")
    row(two, "GB/s", size / both / 1e9, 7, "limit", ">= 1")
    reading = numbers(sweep, model, "2", "5", "codes")[4]
    row(two, "GB/s", size / both / 1e9, size / reading / 1e9, "reading the files, same run", "-")
    peers = numbers(*python, os.path.join(bench.HERE, "elements_peer.py"))
    for peer, name, goal in zip(peers, ("numpy, 9 percentiles", "numpy.bincount"),
                                (">= 40", ">= 4")):
        row(core, "Gelem/s", size / 2 / one / 1e9, peer, name, goal)
    cold = []
    for _ in range(3):
        forget(files)
        cold.append(Scan(program, model, 2).wall)
    reading = numbers(sweep, model, "2", "3", "codes", "cold")[4]
    row(what + ", 2 threads, cold", "s", min(cold), reading, "reading, cold, same run", "<= 1.25")
    model = made(bench, "f32")
    _, size = size_of(model)
    one = min(Scan(program, model, 1).cpu for _ in range(4))
    core = f"{size / 1e9:.1f} GB F32: scan, a CPU second"
    row(core, "GB/s", size / one / 1e9, 4, "limit", ">= 1")
    row(core, "GB/s", size / one / 1e9, memory_speed, "adding up memory, same run", ">= 0.10")


def small(bench, program):
    model = made(bench, "tiny")
    files, _ = size_of(model)
    listing = min(bench.run([program, "tree", model], n=3), key=lambda r: r.best).best
    cpu = min(Scan(program, model, 1).cpu for _ in range(2))
    each = (cpu - listing) / 1e5 * 1e6
    bench.row(f"{len(files)} file of 100,000 tensors: scan, each", "us", each, 50, "limit",
              "<= 1")


def memory(bench, program):
    for kind, methods in (("bf16", METHODS), ("holes", ["--methods", "basic"]), ("tiny", METHODS)):
        most = Scan(program, made(bench, kind), 2, methods, watch=True).memory
        bench.row(f"scan of weights-{kind}, 2 threads: memory of its own", "MB", most / bench.MB,
                  16 + 2 * 2, "limit", "<= 1")


def measure(bench, program):
    speed(bench, program)
    small(bench, program)
    memory(bench, program)
