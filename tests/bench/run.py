#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scores the same real pairs with prefscore and its peers, in one run, and prints a Markdown report.

    PREFSCORE_TEST_DATA=... .venv/bin/python tests/bench/run.py [--dtype bfloat16] [--only NAME ...]

See README.md beside this file for what is measured and how to read it.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import inputs
from contender import Process
from gemm_ceiling import pair_gflop

PEERS = ("transformers-trl", "transformers-careful", "transformers-cached", "ctranslate2")
LABELS = {"transformers-trl": "(a)", "transformers-careful": "(b)", "transformers-cached": "(b')", "ctranslate2": "(c)",
          "prefscore": "(d)", "prefscore-cached": "(d')", "engine": "(e)"}  # fmt: skip
CONTENDERS = tuple(LABELS)
RATIOS = (
    ("(d) to (a), the way of DPO trainers", "prefscore", "transformers-trl"),
    ("(d') to (d), what the cached reference saves", "prefscore-cached", "prefscore"),
    ("(d) to (e), what gRPC, tokenizer and scheduler leave of the engine", "prefscore", "engine"),
)


def log(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def measure_ceilings(args, lengths):
    """{dtype: {"large", "work"}}, each in a fresh process."""
    return {
        dtype: json.loads(subprocess.check_output(
            [sys.executable, pathlib.Path(__file__).with_name("gemm_ceiling.py"), "--shape", args.shape,
             "--threads", str(args.threads), "--dtype", dtype, "--lengths", *map(str, lengths)]))
        for dtype in ("float32", "bfloat16")
    }  # fmt: skip


def yardstick(arguments, cache_file):
    """float64 log-probs of the pairs, kept between runs."""
    if cache_file.exists():
        return json.loads(cache_file.read_text())
    log("scoring once in float64 (kept for later runs)")
    process = Process("float64", arguments)
    logps = process.score()["logps"]
    process.finish()
    cache_file.write_text(json.dumps(logps))
    return logps


def max_difference(logps, reference):
    return max(abs(a - b) for row, expected in zip(logps, reference, strict=True)
               for a, b in zip(row, expected, strict=True))  # fmt: skip


def print_report(args, lengths, ceilings, contenders, seconds, differences, peaks):
    num_pairs = args.pairs
    shape = inputs.SHAPES[args.shape]
    rate = {name: num_pairs / statistics.median(times) for name, times in seconds.items()}
    best_peer = max((rate[name] for name in rate if name in PEERS), default=None)
    prompt, chosen, rejected = lengths
    print(f"{args.shape}, {num_pairs} pairs, mean tokens {prompt:.1f} / {chosen:.1f} / {rejected:.1f}; "
          f"{args.threads} threads; {args.rounds} rounds, order rotated, warm; medians. "
          f"Load average before the run: {args.load_before:.1f}.\n")
    print("| | contender | pairs/s | best | to best peer | of ceiling | peak RSS, MB "
          "| max abs difference to float64, nats |")
    print("|---|---|---|---|---|---|---|---|")
    for name, times in seconds.items():
        ratio = f"{rate[name] / best_peer:.2f}" if best_peer else "-"
        allowed = ceilings[args.dtype]["large"] / pair_gflop(shape, lengths)
        print(f"| {LABELS[name]} | {contenders[name].description} | {rate[name]:.2f} | {num_pairs / min(times):.2f} "
              f"| {ratio} | {rate[name] / allowed:.0%} | {peaks[name] / 1e6:,.0f} | {differences[name]:.1e} |")
    print("\n| GEMM ceiling | large, GFLOP/s | allows, pairs/s | at the work's shapes, GFLOP/s | allows, pairs/s |")
    print("|---|---|---|---|---|")
    for dtype, ceiling in ceilings.items():
        large, work = ceiling["large"], ceiling["work"]
        print(f"| {dtype} | {large:.0f} | {large / pair_gflop(shape, lengths):.2f} "
              f"| {work:.0f} | {work / pair_gflop(shape, lengths):.2f} |")
    print(f"\nShared-prompt work: {pair_gflop(shape, lengths):.1f} GFLOP a pair, both models.")
    for text, name, other in RATIOS:
        if name in rate and other in rate:
            print(f"{text}: {rate[name] / rate[other]:.2f}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=inputs.SHAPES, default="llama-125m", help="(default: %(default)s)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32",
                        help="of all contenders that have it on this machine (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=24, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds after a warm-up (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="(default: all cores)")
    parser.add_argument("--build-dir", type=pathlib.Path, default=inputs.REPO / "build", help="(default: build)")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=CONTENDERS, help="(default: all)")
    args = parser.parse_args()
    args.load_before = os.getloadavg()[0]

    inputs.CACHE.mkdir(parents=True, exist_ok=True)
    inputs.make_models(args.shape)
    pairs = inputs.pick_pairs(args.pairs)
    lengths = inputs.mean_lengths(pairs)
    child_arguments = ["--shape", args.shape, "--num-pairs", str(args.pairs), "--threads", str(args.threads), "--dtype", args.dtype,
                       "--build-dir", str(args.build_dir.resolve())]  # fmt: skip
    expected = yardstick(child_arguments, inputs.CACHE / f"float64-{args.shape}-{args.dtype}-{args.pairs}.json")

    contenders, seconds, differences = {}, {}, {}
    for name in args.only:
        log(f"loading and warming {name}")
        contenders[name] = Process(name, child_arguments)
        differences[name] = max_difference(contenders[name].score()["logps"], expected)
        seconds[name] = []
    log("measuring the GEMM ceiling")
    ceilings = measure_ceilings(args, lengths)
    order = list(args.only)
    for round_number in range(args.rounds):
        for name in order:
            seconds[name].append(contenders[name].score()["seconds"])
            log(f"round {round_number + 1}: {name} {args.pairs / seconds[name][-1]:.2f} pairs/s")
        order = order[1:] + order[:1]
    for dtype, again in measure_ceilings(args, lengths).items():
        ceilings[dtype] = {key: max(value, again[key]) for key, value in ceilings[dtype].items()}
    peaks = {name: contender.finish() for name, contender in contenders.items()}
    print_report(args, lengths, ceilings, contenders, seconds, differences, peaks)


if __name__ == "__main__":
    main()
