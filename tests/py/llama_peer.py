# SPDX-License-Identifier: Apache-2.0
"""llama.cpp, where it is: $LLAMA_LIB is a folder with libllama.so, libggml.so, libggml-base.so and the back ends,
$LLAMA_INCLUDE the folders of its headers (llama.h, ggml.h), with ":" between. tests/oracle/llama.c is compiled for it."""
import os
import subprocess

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(os.path.dirname(HERE), "oracle", "llama.c")


def is_there():
    return bool(os.environ.get("LLAMA_LIB") and os.environ.get("LLAMA_INCLUDE"))


def build(folder):
    """The program's path; raises when it cannot be compiled."""
    program, lib = os.path.join(folder, "llama"), os.path.abspath(os.environ["LLAMA_LIB"])
    include = [a for path in os.environ["LLAMA_INCLUDE"].split(":") for a in ("-isystem", path)]
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2", *include, SOURCE, "-o", program, "-L" + lib,
                    "-Wl,-rpath," + lib, "-Wl,--unresolved-symbols=ignore-in-shared-libs", "-lllama", "-lggml",
                    "-lggml-base"], check=True)
    return program


def logits(program, model, ids, folder, **options):
    """(positions, vocabulary), float32."""
    out = os.path.join(folder, "logits.bin")
    r = subprocess.run([program, "logits", model, out, ",".join(map(str, ids)),
                        *(f"{k}={v}" for k, v in options.items())], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       universal_newlines=True)
    if r.returncode:
        raise AssertionError(r.stderr)
    return np.fromfile(out, "<f4").reshape([int(n) for n in r.stdout.split()])


def speed(program, model, threads, tokens, runs):
    """Tokens a second: of a prompt and of one token by the clock, of both by processor time."""
    return tuple(map(float, subprocess.run([program, "speed", model, str(threads), str(tokens), str(runs)], check=True,
                                           stdout=subprocess.PIPE, universal_newlines=True).stdout.split()))
