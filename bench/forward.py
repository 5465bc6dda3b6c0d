# SPDX-License-Identifier: Apache-2.0
"""The group `forward` of bench.py: passes over a model of 1.1e9 weights in BF16, against memory, OpenBLAS, torch and
llama.cpp; and with less memory than it has weights, from a cold disk, against reading its files."""
import json
import os
import subprocess

import forward_llama
import scan

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048, "intermediate_size": 5632,
          "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000,
          "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "torch_dtype": "bfloat16", "tie_word_embeddings": False}
TOKENS = 128


def model_of(bench):
    folder = os.environ.get("FORWARD_MODEL")
    if folder:
        return folder
    folder = scan.made(bench, "bf16")
    path = os.path.join(folder, "config.json")
    if not os.path.exists(path):
        with open(path, "w", encoding="ascii") as file:
            json.dump(CONFIG, file)
    return folder


def ran(build, model, threads, runs, memory=0, only=None):
    """Figures by name: (by wall time, by processor time)."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS")}
    if only:
        env["ONLY"] = only
    said = subprocess.run([os.path.join(build, "bench", "forward"), model, str(threads), str(runs), str(TOKENS),
                           str(memory >> 20)], check=True, stdout=subprocess.PIPE, text=True, env=env).stdout
    return {name: (float(wall), float(cpu)) for name, wall, cpu, _ in
            (line.split("\t") for line in said.splitlines())}


def torch_speed(bench, threads):
    said = subprocess.run([bench.PYTHON, "-B", os.path.join(bench.HERE, "forward_peer.py"), str(threads), "5",
                           str(TOKENS), "2048", "5632", "256"], check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True).stdout
    return tuple(map(float, said.split())) if said else None


def best(rounds):
    """The largest figure of each name, wall and processor time apart."""
    return {name: tuple(max(r[name][kind] for r in rounds) for kind in (0, 1)) for name in rounds[0]}


def llama_speed(peer, threads):
    """Tokens a second of a prompt and of one token behind it."""
    prompt, one, prompt_cpu, one_cpu = forward_llama.llama_peer.speed(*peer, threads, TOKENS, 2)
    return {"prompt": (prompt, prompt_cpu), "one": (one, one_cpu)}


def compare_llama(bench, f, llama, kind, what):
    layers = 2e-9 * 22 * (2 * 2048 * 2048 + 2 * 256 * 2048 + 3 * 5632 * 2048)  # GFLOP a token
    once = layers + 2e-9 * 32000 * 2048  # GB, with the output matrix
    for name, label, work, goal in (("prompt", f"{TOKENS} tokens", layers, "-"),
                                    ("prompt16", f"{TOKENS} tokens, bf16", layers, ">= 1"),
                                    ("one", "one token", once, "-"), ("one16", "one token, bf16", once, "-")):
        bench.row(label + what, "1/s", f[name][kind] / work, llama[name.rstrip("16")][kind],
                  "llama.cpp, BF16, same run", goal)


def rates(bench, build, model, threads, peer):
    turns = [(ran(build, model, threads, 2), llama_speed(peer, threads) if peer else None) for _ in range(3)]
    f = best([t[0] for t in turns])
    torch = torch_speed(bench, threads)
    for kind, name in ((1, "by processor time"), (0, "by the clock")):
        row = bench.row
        what = f", {threads} threads, {name}"
        row("one token" + what, "GB/s", f["one"][kind], f["memory"][kind], "adding up memory, same run", ">= 0.7")
        blas = f["sgemm"][kind]
        row(f"{TOKENS} tokens" + what, "GFLOP/s", f["prompt"][kind], blas, "OpenBLAS sgemm, same run", ">= 0.8")
        row("products alone" + what, "GFLOP/s", f["kernel"][kind], blas, "OpenBLAS sgemm, same run", "-")
        row("products alone, bf16" + what, "GFLOP/s", f["kernel16"][kind], blas, "OpenBLAS sgemm, same run", "-")
        row("one token, bf16" + what, "GB/s", f["one16"][kind], f["memory"][kind], "adding up memory, same run", "-")
        if torch:
            row(f"{TOKENS} tokens, bf16" + what, "GFLOP/s", f["prompt16"][kind], torch[kind], "torch, bfloat16", ">= 0.9")
        if peer:
            compare_llama(bench, f, best([t[1] for t in turns]), kind, what)


def cold(bench, build, model, threads):
    files, size = scan.size_of(model)
    for only, tokens in (("one", 1), ("prompt", TOKENS), ("prompt16", TOKENS)):
        best, limit = 0, 0
        for _ in range(3):
            scan.forget(files)
            limit = max(limit, ran(build, model, threads, 1, only="files")["files"][0])
            scan.forget(files)
            f = ran(build, model, threads, 1, memory=size // 3, only=only)[only][0]
            best = max(best, f if only == "one" else f / (2e-9 * TOKENS * size / 2) * size * 1e-9)
        what = f"{tokens} tokens{', bf16' if only == 'prompt16' else ''}, cold, a third of the memory"
        bench.row(what, "s", size * 1e-9 / best, size * 1e-9 / limit, "reading the files, cold",
                  "-" if only == "prompt" else "<= 1.3")
    scan.forget(files)
    command = [os.path.join(build, "bench", "forward"), model, str(threads), "1", "1", str(size // 3 >> 20)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "ONLY": "one"})
    _, _, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    third, name = size / 3 / 1e6, "a third of the files"
    bench.row("most memory of that pass", "MB", usage.ru_maxrss * 1024 / 1e6, third, name, "<= 1")
    left = subprocess.run(["fincore", "-b", "-n", "-o", "RES", *files], check=False, stdout=subprocess.PIPE, text=True)
    if left.stdout:
        bench.row("left in the page cache", "MB", sum(map(int, left.stdout.split())) / 1e6, third, name, "<= 1")


def measure(bench, build):
    model = model_of(bench)
    peer = forward_llama.program_and_model(bench, model)
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        rates(bench, build, model, threads, peer)
    cold(bench, build, model, len(os.sched_getaffinity(0)))
