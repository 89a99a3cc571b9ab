#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many pairs per second the Python client gets through, and what a call costs; prints a Markdown table.

    .venv/bin/python tests/bench/python_client.py [--pairs 100000] [--rounds 5]

Objectives from known log-probs: nothing is computed by a model, so that the client and the wire are what is measured.
The stream's rows have all log-probs known, too: they bring what the client itself costs per pair. Server and client
share the machine.
"""

import argparse
import asyncio
import pathlib
import statistics
import time

import numpy as np

import inputs
import prefscore
import server_process
from prefscore import KnownLogProbs, LogProbColumns, Pair, PairLogProbs


def columns_of(count):
    return LogProbColumns(*-np.random.default_rng(0).gamma(2, 20, (4, count)))


def rows_of(columns):
    return list(zip(*(getattr(columns, name).tolist() for name in KnownLogProbs.__dataclass_fields__), strict=True))


def by_columns(client, _address, count):
    client.evaluate_objectives(columns_of(count), "sigmoid")


def by_objects(client, _address, count):
    rows = rows_of(columns_of(count))
    for start in range(0, count, 1000):
        pairs = [PairLogProbs(KnownLogProbs(*row)) for row in rows[start : start + 1000]]
        client.evaluate_objectives(pairs, "sigmoid")


def by_stream(client, _address, count):
    pairs = (Pair(None, None, known=KnownLogProbs(*row)) for row in rows_of(columns_of(count)))
    assert sum(result.error is None for result in client.stream_pairs(pairs)) == count


def by_async_stream(_client, address, count):
    async def stream():
        pairs = (Pair(None, None, known=KnownLogProbs(*row)) for row in rows_of(columns_of(count)))
        async with prefscore.AsyncClient(address) as aio:
            return [result async for result in aio.stream_pairs(pairs)]

    assert len(asyncio.run(stream())) == count


def call_ms(client, rounds):
    def once():
        start = time.perf_counter()
        client.objectives()
        return time.perf_counter() - start

    return statistics.median(once() for _ in range(50 * rounds)) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--build-dir", type=pathlib.Path, default=inputs.REPO / "build", help="(default: build)")
    args = parser.parse_args()
    models = inputs.REPO / "deploy/demo/models"
    flags = ["--model", f"policy={models}/policy", "--model", f"reference={models}/reference", "--cache-dir", ""]
    ways = {
        "evaluate_objectives of columns, one objective": (by_columns, 1),
        "evaluate_objectives of objects, one objective": (by_objects, 10),
        "stream_pairs, all log-probs known": (by_stream, 20),
        "AsyncClient.stream_pairs, all log-probs known": (by_async_stream, 20),
    }
    with server_process.serving(args.build_dir, *flags) as server, prefscore.Client(server.address) as client:
        print(f"| way, median of {args.rounds} | pairs | pairs/s |\n|---|---|---|")
        for name, (run, divisor) in ways.items():
            count = args.pairs // divisor
            run(client, server.address, count // 10)
            seconds = []
            for _ in range(args.rounds):
                start = time.perf_counter()
                run(client, server.address, count)
                seconds.append(time.perf_counter() - start)
            print(f"| {name} | {count:,} | {count / statistics.median(seconds):,.0f} |", flush=True)
        print(f"\nA call of `objectives()`: {call_ms(client, args.rounds):.2f} ms (median).")


if __name__ == "__main__":
    main()
