#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a server takes beside throughput: time to start, memory of long pairs, time of many completions per prompt.

    PREFSCORE_TEST_DATA=... .venv/bin/python tests/bench/footprint.py [--rounds N]

See README.md beside this file.
"""

import argparse
import pathlib
import random
import statistics
import subprocess
import time

import grpc

import inputs
import server_process
from contender import peak_rss_bytes
from prefscore.v1 import scoring_pb2, scoring_pb2_grpc

LONG_SHAPE = "qwen2-500m"  # 151,936 tokens
COMPLETIONS_SHAPE = "llama-125m"


def random_ids(count, shape, seed):
    generator = random.Random(seed)
    return [generator.randrange(inputs.SHAPES[shape].vocab) for _ in range(count)]


def model_flags(shape, dtype):
    """One model as policy and reference: the weights are in memory once."""
    folder = inputs.model_folder(shape, "policy")
    return ["--model", f"m={folder}", "--policy", "m", "--reference", "m", "--dtype", dtype, "--cache-dir", ""]


def ids_pair(shape, num_prompt, num_completion):
    def ids(count, seed):
        return scoring_pb2.Content(token_ids=scoring_pb2.TokenIds(ids=random_ids(count, shape, seed)))

    return scoring_pb2.PreferencePair(prompt=ids(num_prompt, 1), chosen=ids(num_completion, 2),
                                  rejected=ids(num_completion, 3))  # fmt: skip


def score_pair(address, pair):
    with grpc.insecure_channel(address) as channel:
        result = scoring_pb2_grpc.ScoringServiceStub(channel).ScorePairs(
            scoring_pb2.ScorePairsRequest(pairs=[pair]), timeout=3600).results[0]  # fmt: skip
    assert not result.HasField("status"), result.status


def measure_start(args, dtype):
    """Seconds from the start of the process to the reply of a short pair, the checkpoint in the page cache."""
    folder = inputs.model_folder(LONG_SHAPE, "policy")
    for file in folder.glob("*.safetensors"):
        subprocess.run(["cat", file], stdout=subprocess.DEVNULL, check=True)
    pair = ids_pair(LONG_SHAPE, 16, 8)
    seconds = []
    for _ in range(args.rounds):
        start = time.monotonic()
        with server_process.serving(args.build_dir, *model_flags(LONG_SHAPE, dtype)) as server:
            score_pair(server.address, pair)
            seconds.append(time.monotonic() - start)
    return seconds


def measure_memory(args, dtype):
    """Peak resident bytes of scoring a long pair, above what the loaded server holds."""
    with server_process.serving(args.build_dir, *model_flags(LONG_SHAPE, dtype)) as server:
        loaded = server.resident_bytes()
        pathlib.Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # the peak starts anew
        score_pair(server.address, ids_pair(LONG_SHAPE, 2048, 2048))
        return peak_rss_bytes(server.pid) - loaded


def measure_completions(args):
    """{N: seconds per completion} of one prompt of 512 tokens with N completions of 64 under one model."""
    shape = COMPLETIONS_SHAPE

    def content(count, seed):
        return scoring_pb2.Content(token_ids=scoring_pb2.TokenIds(ids=random_ids(count, shape, seed)))

    requests = {
        n: scoring_pb2.ScoreCompletionsRequest(
            prompts=[scoring_pb2.PromptCompletions(prompt=content(512, 0),
                                               completions=[content(64, seed) for seed in range(1, n + 1)])],
            models=["m"])
        for n in (2, 8)
    }  # fmt: skip
    seconds = {n: [] for n in requests}
    with server_process.serving(args.build_dir, *model_flags(shape, "float32")) as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = scoring_pb2_grpc.ScoringServiceStub(channel)
            for round_number in range(args.rounds + 1):
                for n, request in requests.items():
                    start = time.monotonic()
                    stub.ScoreCompletions(request, timeout=600)
                    if round_number > 0:  # the first warms up
                        seconds[n].append((time.monotonic() - start) / n)
    return {n: statistics.median(values) for n, values in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--build-dir", type=pathlib.Path, default=inputs.REPO / "build", help="(default: build)")
    args = parser.parse_args()
    inputs.CACHE.mkdir(parents=True, exist_ok=True)
    for shape in (LONG_SHAPE, COMPLETIONS_SHAPE):
        inputs.make_models(shape)

    print(f"| figure, {LONG_SHAPE} unless said | |\n|---|---|")
    for dtype in ("float32", "bfloat16"):
        seconds = measure_start(args, dtype)
        print(f"| start to first reply, {dtype}, checkpoint of float32 in the page cache | "
              f"{statistics.median(seconds):.2f} s (fastest {min(seconds):.2f} s) |", flush=True)
    for dtype in ("float32", "bfloat16"):
        print(f"| peak memory above the loaded server, prompt 2,048 + completions 2,048, {dtype} | "
              f"{measure_memory(args, dtype) / 1e6:.0f} MB |", flush=True)
    per_completion = measure_completions(args)
    print(f"| {COMPLETIONS_SHAPE}, prompt 512, completions 64: time per completion, 8 to 2 completions | "
          f"{per_completion[8] / per_completion[2]:.2f} ({per_completion[8] * 1e3:.0f} ms, "
          f"{per_completion[2] * 1e3:.0f} ms) |")


if __name__ == "__main__":
    main()
