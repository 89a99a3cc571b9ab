#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads a real server with a mix of calls at 80 % of what it can do, for half an hour; tells whether its memory stays
flat, and whether every call got exactly one answer, by both sides' counts.

    .venv/bin/python tests/bench/soak.py [--minutes 30] [--models DIR] [--json FILE]

Exit code 0: nothing was lost, both sides agree, and memory does not surely grow. See README.md beside this file.
"""

import argparse
import asyncio
import collections
import json
import os
import pathlib
import re
import sys
import tempfile
import threading
import time
import urllib.request

import inputs
import server_process
import soak_load
import soak_report

SHARE = 0.8
# The load comes from elsewhere, as it does in earnest.
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = set(CORES[: max(len(CORES) // 2, 1)])
LOAD_CORES = set(CORES) - SERVER_CORES or set(CORES)


def log(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


class Sampler:
    """Looks at the server's process every second, on a thread."""

    def __init__(self, pid):
        self.samples = []  # (seconds since the start, resident MB, open files, threads)
        self._process = pathlib.Path(f"/proc/{pid}")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        begin_s = time.monotonic()
        while not self._stopping.wait(1):
            status = (self._process / "status").read_text()
            number = lambda name: int(re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[1])
            num_files = len(os.listdir(self._process / "fd"))
            self.samples.append((time.monotonic() - begin_s, number("VmRSS") * 1024e-6, num_files, number("Threads")))

    def stop(self):
        self._stopping.set()
        self._thread.join()


def served_calls(server):
    """The server's counts: calls by method and code, and pairs that have numbers."""
    text = urllib.request.urlopen(server.metrics_url, timeout=60).read().decode()
    calls = collections.Counter()
    for labels, value in re.findall(r"^prefscore_requests_total{(.*)} (\S+)$", text, re.MULTILINE):
        named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if float(value) > 0:
            calls[named["method"], named["code"]] = int(float(value))
    return calls, int(sum(map(float, re.findall(r"^prefscore_pairs_scored_total (\S+)$", text, re.MULTILINE))))


async def load_server(server, rows, seconds, calibration_s):
    load = soak_load.Load(server.address, rows)
    await load.capacity(calibration_s)  # warms it up
    capacity = await load.capacity(calibration_s)
    log(f"capacity {capacity:.0f} pairs/s; load {SHARE * capacity:.0f} for {seconds / 60:.1f} minutes")
    sampler = Sampler(server.pid)
    try:
        await load.run(soak_load.rates(SHARE * capacity), seconds)
    finally:
        sampler.stop()
        await load.close()
    return capacity, load.tally, sampler.samples


def settle(server, tally):
    """The server's counts, once it has noted the end of what the client gave up."""
    for _ in range(100):
        served, num_pairs = served_calls(server)
        problems = soak_report.disagreements(tally, served)
        if num_pairs != tally.num_pairs:
            problems.append(f"pairs with numbers: the client counts {tally.num_pairs}, the server {num_pairs}")
        if not problems:
            break
        time.sleep(0.1)
    return served, problems


def soak(args):
    rows = [json.loads(line) for line in open(inputs.REPO / "deploy" / "demo" / "pairs.jsonl")]
    seconds = 60 * args.minutes
    with tempfile.TemporaryDirectory() as cache_folder:
        flags = ["--model", f"policy={args.models}/policy", "--model", f"reference={args.models}/reference",
                 "--threads", len(SERVER_CORES), "--cache-dir", cache_folder, "--cache-max-bytes", 16 << 20]  # fmt: skip
        with server_process.serving(args.build_dir, *flags, cores=SERVER_CORES) as server:
            capacity, tally, samples = asyncio.run(load_server(server, rows, seconds, min(5, seconds / 10)))
            served, problems = settle(server, tally)
            exit_code = server.stop()
    warm = samples[int(soak_report.WARM_UP_SHARE * len(samples)) :]
    times_s, resident_mb, num_files, num_threads = map(list, zip(*warm))
    slope, half_width = soak_report.slope_per_hour(times_s, resident_mb)
    if exit_code != 0:
        problems.append(f"the server's exit code is {exit_code}")
    problems += tally.faults[:20]
    if tally.num_lost:
        problems.append(f"{tally.num_lost} calls have no answer")
    # NaN, of a run that is too short for a line, is no growth.
    grows = bool(slope - half_width > soak_report.MAX_MB_PER_HOUR)
    return {
        "seconds": seconds, "capacity_pairs_per_second": capacity, "max_lag_s": tally.max_lag_s,
        "calls_of_client": {" ".join(key): count for key, count in sorted(tally.calls.items())},
        "calls_of_server": {" ".join(key): count for key, count in sorted(served.items())},
        "num_calls": sum(tally.calls.values()), "num_pairs": tally.num_pairs, "num_abandoned": tally.num_abandoned,
        "num_lost": tally.num_lost, "problems": problems, "resident_mb": [resident_mb[0], max(resident_mb), resident_mb[-1]],
        "mb_per_hour": slope, "mb_per_hour_half_width": half_width, "memory_grows": grows,
        "open_files": [min(num_files), max(num_files)], "threads": [min(num_threads), max(num_threads)],
        "latencies": tally.latencies, "exit_code": exit_code,
    }  # fmt: skip


def print_report(result):
    low_mb, high_mb, last_mb = result["resident_mb"]
    calls = lambda side: ", ".join(f"{name} {count}" for name, count in result[f"calls_of_{side}"].items())
    print("| what | measured | goal |\n|---|---|---|")
    print(f"| load | {result['num_calls']} calls, {result['num_pairs']} pairs in {result['seconds'] / 60:.1f} minutes at "
          f"{SHARE:.0%} of {result['capacity_pairs_per_second']:.0f} pairs/s; starts late by {result['max_lag_s']:.2f} s at most | |")  # fmt: skip
    print(f"| calls that the client gave up | {result['num_abandoned']} | |")
    print(f"| calls without an answer | {result['num_lost']} | 0 |")
    print(f"| counts of client and server that differ, faults | {len(result['problems'])} | 0 |")
    print(f"| resident memory after the warm-up | {low_mb:.0f} MB, at most {high_mb:.0f}, at the end {last_mb:.0f} | |")
    print(f"| its slope | {result['mb_per_hour']:.1f} ± {result['mb_per_hour_half_width']:.1f} MB/h (95 %) | "
          f"not surely above {soak_report.MAX_MB_PER_HOUR} |")  # fmt: skip
    print(f"| open files, threads | {result['open_files']}, {result['threads']} | |")
    print(f"| the client counts | {calls('client')} | |\n| the server counts | {calls('server')} | |")
    print()
    print("\n".join(soak_report.latency_rows(result["latencies"], max(result["seconds"] / 6, 1))))
    for problem in result["problems"]:
        print(f"\nFAULT: {problem}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", type=pathlib.Path, default=inputs.REPO / "build")
    parser.add_argument("--models", type=pathlib.Path, default=inputs.REPO / "deploy" / "demo" / "models",
                        help="folder with the models policy and reference")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--json", type=pathlib.Path, help="write all figures to this file")
    args = parser.parse_args()
    os.sched_setaffinity(0, LOAD_CORES)
    result = soak(args)
    print_report(result)
    if args.json:
        args.json.write_text(json.dumps(result))
    sys.exit(1 if result["problems"] or result["memory_grows"] else 0)


if __name__ == "__main__":
    main()
