# SPDX-License-Identifier: Apache-2.0
"""How fast this machine multiplies matrices, and how many pairs a second that allows.

Printed as JSON: {"large": GFLOP/s, "work": GFLOP/s}, large square and at the shapes of the work; of the faster of
torch.matmul and oneDNN with weights packed beforehand, whichever library the machine's maker favours.
"""

import argparse
import json
import time

import torch

import inputs

LARGE = (2048, 2048, 2048)


def work_shapes(shape, prompt, chosen, rejected):
    """(rows, inner, columns, times) of one pair under one model, its prompt computed once."""
    rows, head_rows = round(prompt + chosen + rejected), round(chosen + rejected)
    return [(rows, shape.hidden, shape.hidden + shape.key_value_width, shape.layers),
            (rows, shape.hidden, shape.hidden, shape.layers),
            (rows, shape.hidden, shape.mlp_inputs, shape.layers),
            (rows, shape.intermediate, shape.hidden, shape.layers),
            (head_rows, shape.hidden, shape.vocab, 1)]  # fmt: skip


def attention_flops(shape, prompt, chosen, rejected):
    """Scores and weighted sums of all layers, causal halves only, under one model."""
    cells = prompt * prompt / 2 + sum(c * prompt + c * c / 2 for c in (chosen, rejected))
    return shape.layers * 4 * shape.hidden * cells


def pair_gflop(shape, lengths):
    """One pair under both models."""
    matmuls = sum(2 * m * k * n * times for m, k, n, times in work_shapes(shape, *lengths))
    return 2 * (matmuls + attention_flops(shape, *lengths)) / 1e9


def _packed_multiply(a, b):
    """A function that multiplies by oneDNN's own layout of b, or None where this build has none."""
    if not torch.backends.mkldnn.is_available():
        return None
    packed = torch.ops.mkldnn._reorder_linear_weight(b, a.shape[0])
    return lambda: torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")


def _best_seconds(multiply, limit):
    best = float("inf")
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        start = time.monotonic()
        multiply()
        best = min(best, time.monotonic() - start)
    return best


@torch.inference_mode()
def gflops(dimensions, dtype, limit=0.4):
    m, k, n = dimensions
    a = torch.randn(m, k).to(dtype)
    b = torch.randn(n, k).to(dtype)  # [out, in], as a linear layer's weight lies
    ways = [lambda: torch.matmul(a, b.T), _packed_multiply(a, b)]
    return 2 * m * k * n / min(_best_seconds(way, limit) for way in ways if way) / 1e9


def work_gflops(shape, lengths, dtype):
    flops = seconds = 0.0
    for m, k, n, times in work_shapes(shape, *lengths):
        amount = 2 * m * k * n * times
        flops += amount
        seconds += amount / gflops((m, k, n), dtype)
    return flops / seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--shape", choices=inputs.SHAPES, required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--lengths", type=float, nargs=3, required=True, help="mean prompt, chosen, rejected tokens")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dtype = getattr(torch, args.dtype)
    shape = inputs.SHAPES[args.shape]
    print(json.dumps({"large": gflops(LARGE, dtype), "work": work_gflops(shape, args.lengths, dtype)}))


if __name__ == "__main__":
    main()
