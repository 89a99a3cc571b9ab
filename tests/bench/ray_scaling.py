#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scores a data set on a local Ray cluster with 1, 2 and 4 servers, slow on purpose, and prints a Markdown table.

    .venv/bin/python tests/bench/ray_scaling.py [--rows-per-server 3000] [--pair-ms 4]

A server is a fake one in a process of its own that takes --pair-ms for each pair, one at a time, as a GPU would: what
is measured is how near N servers come to N times the rate of one. See README.md beside this file.
"""

import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import inputs

sys.path.insert(0, str(inputs.REPO / "tests/python"))
from ray_cluster import ray_cluster  # noqa: E402

STORE_BYTES = 200 << 20


def serve(pair_s):
    """In a process of its own: prints the address, and ends with its stdin."""
    from fake_server import FakeServer

    turn = threading.Lock()

    class SlowServer(FakeServer):
        def result(self, *arguments):
            with turn:
                time.sleep(pair_s)
            self.pairs.clear()
            return super().result(*arguments)

    with SlowServer() as server:
        print(server.address, flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def serving(count, pair_s):
    """Addresses of so many slow servers."""
    command = [sys.executable, __file__, "--serve", str(pair_s)]
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(count)
        ]
        yield [server.stdout.readline().strip() for server in servers]
        for server in servers:
            server.stdin.close()


def rows_per_s(num_rows, part_rows, addresses):
    """Of the time in which rows are scored: the start of Ray's actors, some seconds, is left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import prefscore.ray

    with tempfile.TemporaryDirectory() as folder:
        ids = range(num_rows)
        rows = {"id": list(ids), "chosen": [f"{n} yes" for n in ids], "rejected": [f"{n} no" for n in ids]}
        pq.write_table(pa.table(rows), f"{folder}/pairs.parquet")
        output = pathlib.Path(folder, "scored")
        done = []  # (when, rows written by then)
        is_over = threading.Event()

        def watch():
            while not is_over.wait(0.1):
                num_parts = len(list(output.glob("*.parquet")))
                if num_parts and (not done or done[-1][1] < num_parts * part_rows):
                    done.append((time.monotonic(), num_parts * part_rows))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            prefscore.ray.score_parquet(
                f"{folder}/pairs.parquet", str(output), addresses, id_column="id", part_rows=part_rows
            )
        finally:
            is_over.set()
            watcher.join()
    (begin, before), (end, after) = done[0], done[-1]
    return (after - before) / (end - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, nargs="+", default=[1, 2, 4], help="(default: 1 2 4)")
    parser.add_argument("--rows-per-server", type=int, default=3000, help="(default: %(default)s)")
    parser.add_argument("--part-rows", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument("--pair-ms", type=float, default=4.0, help="time of a server for a pair (default: %(default)s)")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        serve(args.serve)
        return

    print(f"{len(os.sched_getaffinity(0))} cores, load average before the run {os.getloadavg()[0]:.1f}; "
          f"{args.pair_ms:g} ms a pair: at most {1000 / args.pair_ms:.0f} rows/s a server\n")  # fmt: skip
    print("| servers | rows | rows/s | of the servers' most |\n|---|---|---|---|")
    with ray_cluster(cpus_per_node=2, store_bytes=STORE_BYTES):
        for count in args.servers:
            num_rows = args.rows_per_server * count
            with serving(count, args.pair_ms / 1000) as addresses:
                rate = rows_per_s(num_rows, args.part_rows, addresses)
            print(f"| {count} | {num_rows} | {rate:.0f} | {rate * args.pair_ms / 1000 / count:.0%} |", flush=True)


if __name__ == "__main__":
    main()
