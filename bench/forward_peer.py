# SPDX-License-Identifier: Apache-2.0
"""forward_peer.py THREADS RUNS TOKENS HIDDEN WIDE KV: GFLOP/s of torch's linear layers in bfloat16, of the matrices of
one layer of such a model times TOKENS rows: the fastest of RUNS, by wall time and by processor time times the threads.
Prints nothing when there is no torch."""
import sys
import time

try:
    import torch
except ImportError:
    sys.exit(0)

threads, runs, tokens, hidden, wide, kv = map(int, sys.argv[1:])
torch.set_num_threads(threads)
torch.manual_seed(1)
shapes = [(hidden, hidden), (kv, hidden), (kv, hidden), (hidden, hidden), (wide, hidden), (wide, hidden), (hidden, wide)]
with torch.no_grad():
    layer = [(torch.randn(r, c).bfloat16(), torch.randn(tokens, c).bfloat16()) for r, c in shapes]
    work = sum(2e-9 * r * c * tokens for r, c in shapes)
    wall = cpu = 0
    for _ in range(runs + 1):
        start, used = time.perf_counter(), time.process_time()
        for w, x in layer:
            torch.nn.functional.linear(x, w)
        wall = max(wall, work / (time.perf_counter() - start))
        cpu = max(cpu, work / (time.process_time() - used) * threads)
print(f"{wall:.3f}\t{cpu:.3f}")
