# SPDX-License-Identifier: Apache-2.0
"""How fast this machine multiplies matrices, and how many pairs a second that allows.

Printed as JSON: {"large": GFLOP/s, "work": GFLOP/s} of torch.matmul, large square and at the shapes of the work.
"""

import argparse
import json
import time

import torch

LARGE = (2048, 2048, 2048)


def work_shapes(prompt, chosen, rejected):
    """(rows, inner, columns, times) of one pair under one model, its prompt computed once."""
    rows, head_rows = round(prompt + chosen + rejected), round(chosen + rejected)
    return [(rows, 768, 2304, 12), (rows, 768, 768, 12), (rows, 768, 4096, 12), (rows, 2048, 768, 12),
            (head_rows, 768, 51_200, 1)]  # fmt: skip


def attention_flops(prompt, chosen, rejected):
    """Scores and weighted sums of 12 layers of width 768, causal halves only, under one model."""
    cells = prompt * prompt / 2 + sum(c * prompt + c * c / 2 for c in (chosen, rejected))
    return 12 * 4 * 768 * cells


def pair_gflop(lengths):
    """One pair under both models."""
    matmuls = sum(2 * m * k * n * times for m, k, n, times in work_shapes(*lengths))
    return 2 * (matmuls + attention_flops(*lengths)) / 1e9


def gflops(shape, dtype, seconds=0.6):
    m, k, n = shape
    a = torch.randn(m, k).to(dtype)
    b = torch.randn(n, k).to(dtype)  # [out, in], as a linear layer's weight lies
    best = float("inf")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        start = time.monotonic()
        torch.matmul(a, b.T)
        best = min(best, time.monotonic() - start)
    return 2 * m * k * n / best / 1e9


def work_gflops(lengths, dtype):
    flops = seconds = 0.0
    for m, k, n, times in work_shapes(*lengths):
        amount = 2 * m * k * n * times
        flops += amount
        seconds += amount / gflops((m, k, n), dtype)
    return flops / seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--lengths", type=float, nargs=3, required=True, help="mean prompt, chosen, rejected tokens")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dtype = getattr(torch, args.dtype)
    print(json.dumps({"large": gflops(LARGE, dtype), "work": work_gflops(args.lengths, dtype)}))


if __name__ == "__main__":
    main()
