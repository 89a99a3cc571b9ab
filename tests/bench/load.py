#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts a real server under more load than it can bear, and prints what becomes of it as one Markdown table.

    .venv/bin/python tests/bench/load.py [--seconds 15] [--models DIR]

See README.md beside this file for what is measured and how to read it.
"""

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import grpc
from google.rpc import error_details_pb2, status_pb2

import inputs
import server_process
from prefscore.v1 import scoring_pb2, scoring_pb2_grpc

GHZ = "github.com/bojand/ghz/cmd/ghz@v0.121.0"
PAIRS_PER_CALL = 16
INTERACTIVE_INTERVAL_S = 0.5
# The load comes from elsewhere, as it does in earnest: else an overload would be measured with less of the machine.
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = set(CORES[: max(len(CORES) // 2, 1)])
LOAD_CORES = set(CORES) - SERVER_CORES or set(CORES)


def log(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def ghz_program():
    """Installed once, into .cache."""
    folder = inputs.REPO / ".cache" / "go"
    program = folder / "bin" / "ghz"
    if not program.exists():
        go = "/usr/local/go/bin/go" if pathlib.Path("/usr/local/go/bin/go").exists() else "go"
        subprocess.run([go, "install", GHZ], check=True, env={
            **os.environ, "GOBIN": str(folder / "bin"), "GOPATH": str(folder / "path"), "GOCACHE": str(folder / "cache"),
            "GOFLAGS": "-modcacherw"})  # fmt: skip
    return program


def sum_of(server, name):
    """Of all series of this metric."""
    text = urllib.request.urlopen(server.metrics_url).read().decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


def longest_bulk_batch_s(server):
    """The bucket's bound that no batch exceeded."""
    text = urllib.request.urlopen(server.metrics_url).read().decode()
    buckets = re.findall(r'^prefscore_batch_duration_seconds_bucket{priority="bulk",le="([^"]+)"} (\d+)$', text,
                         re.MULTILINE)  # fmt: skip
    return min(float(bound) for bound, count in buckets if count == buckets[-1][1])


def next_batch(server):
    """Waits for a batch to end; returns when that was, and the pairs scored until then."""
    before = sum_of(server, "prefscore_pairs_scored_total")
    while (now := sum_of(server, "prefscore_pairs_scored_total")) == before:
        time.sleep(0.01)
    return time.monotonic(), now


class Throughput(threading.Thread):
    """Pairs per second between a batch's end after the load has settled and one shortly before it ends."""

    def __init__(self, server, seconds):
        super().__init__()
        self.server, self.seconds = server, seconds
        self.start()

    def run(self):
        time.sleep(2)
        begin, before = next_batch(self.server)
        time.sleep(self.seconds - 4)
        end, after = next_batch(self.server)
        self.pairs_per_s = (after - before) / (end - begin)
        self.resident_mib = resident_mib(self.server)

    def result(self):
        self.join()
        return self.pairs_per_s


def resident_mib(server):
    return server.resident_bytes() / 2**20


@contextlib.contextmanager
def serving(args, *flags):
    """A server that knows what a pass costs."""
    models = [part for role in ("policy", "reference") for part in ("--model", f"{role}={args.models / role}")]
    with server_process.serving(args.build_dir, *models, "--cache-dir", "", *flags, cores=SERVER_CORES) as server:
        server.wait_for(r"\b(model 'reference' takes .*)")
        yield server


def request_json(rows, name):
    """Prompts start with the name: equal ones would be computed once for all calls of a batch."""
    content = lambda text: {"text": text}
    return {"pairs": [
        {"id": f"{name}-{idx}", "prompt": content(f"{name} {row['prompt']}"), "chosen": content(row["chosen"]),
         "rejected": content(row["rejected"])} for idx, row in enumerate(rows)]}  # fmt: skip


def run_ghz(server, rows, seconds, *flags):
    """[(latency_s, code)] of every call."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as data, tempfile.NamedTemporaryFile(suffix=".json") as out:
        json.dump(request_json(rows, "{{.RequestNumber}}-{{.WorkerID}}"), data)
        data.flush()
        subprocess.run(
            [ghz_program(), "--insecure", "--call", "prefscore.v1.ScoringService.ScorePairs", "-D", data.name,
             "-z", f"{seconds}s", "--duration-stop", "wait", "--connections", "4", "-t", "120s", "-O", "json",
             "-o", out.name, *map(str, flags), server.address], check=True)  # fmt: skip
        report = json.load(open(out.name))
    return [(call["latency"] * 1e-9, call["status"]) for call in report["details"]]


def percentile(values, share):
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


class Api:
    """A Python client that makes calls of its own."""

    cycles = itertools.count()  # of all streams together

    def __init__(self, server):
        self.channel = grpc.insecure_channel(server.address)
        self.stub = scoring_pb2_grpc.ScoringServiceStub(self.channel)

    def request(self, rows, name):
        content = lambda text: scoring_pb2.Content(text=text)
        return scoring_pb2.ScorePairsRequest(pairs=[
            scoring_pb2.PreferencePair(id=f"{name}-{idx}", prompt=content(f"{name} {row['prompt']}"),
                                        chosen=content(row["chosen"]), rejected=content(row["rejected"]))
            for idx, row in enumerate(rows)])  # fmt: skip

    def stream(self, rows, until):
        """Streams rows over and over until the event is set."""
        def messages():
            yield scoring_pb2.StreamScorePairsRequest(options=scoring_pb2.ScoringOptions())
            while not until.is_set():
                for pair in self.request(rows, f"bulk {next(self.cycles)}").pairs:
                    yield scoring_pb2.StreamScorePairsRequest(pair=pair)
        call = self.stub.StreamScorePairs(messages())
        for _ in call:
            if until.is_set():
                return call.cancel()  # what the transport still holds need not be scored


def retry_delay(error):
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    for detail in status.details:
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.ToNanoseconds() * 1e-9
    raise AssertionError("a refusal without RetryInfo")


def obey(server, rows, stop, attempts, delays, worker):
    """Calls one after the other, doing as it is told; notes how many attempts each took."""
    api = Api(server)
    call = 0
    while not stop.is_set():
        call += 1
        request = api.request(rows, f"obedient-{worker}-{call}")
        for attempt in range(1, 5):
            try:
                api.stub.ScorePairs(request, timeout=120)
                attempts.append(attempt)
                break
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
                delays.append(retry_delay(error))
                time.sleep(delays[-1] * (1 + 0.2 * random.random()))


def in_threads(count, work):
    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(count)]
    for thread in threads:
        thread.start()
    return threads


def measure_overload(args, rows, table):
    calls = rows[:PAIRS_PER_CALL]
    with serving(args, "--max-queued-tokens", str(args.queued_tokens)) as server:
        run_ghz(server, calls, 3, "-c", 16)
        log("closed loop")
        throughput = Throughput(server, args.seconds)
        run_ghz(server, calls, args.seconds, "-c", 16)
        capacity = throughput.result() / PAIRS_PER_CALL
        table.append(("capacity (closed loop, 16 callers)", f"{capacity * PAIRS_PER_CALL:.0f} pairs/s", ""))

        log(f"open loop at 4 x {capacity:.1f} calls/s")
        rss_before = resident_mib(server)
        stop, attempts, delays = threading.Event(), [], []
        obedient = in_threads(12, lambda worker: obey(server, calls, stop, attempts, delays, worker))
        throughput = Throughput(server, args.seconds)
        flood = run_ghz(server, calls, args.seconds, "--async", "-r", round(4 * capacity), "-c", 4000)
        stop.set()
        for thread in obedient:
            thread.join()
        goodput = throughput.result() / PAIRS_PER_CALL
        refused = [1e3 * latency for latency, code in flood if code == "ResourceExhausted"]
        table.append(("offered", f"{len(flood) / args.seconds / capacity:.2f} x capacity", ""))
        table.append(("goodput at that load", f"{goodput / capacity:.1%} of capacity", ">= 90 %"))
        table.append(("refused calls", f"{len(refused)} of {len(flood)}", ""))
        if refused:
            table.append(("a refusal takes, p50 / p99",
                          f"{percentile(refused, 0.5):.1f} / {percentile(refused, 0.99):.1f} ms", "<= 20 ms"))
        seconds = [attempt for attempt in attempts if attempt >= 2]
        if seconds:
            table.append(("who obeyed RetryInfo had to come a third time",
                          f"{sum(a > 2 for a in seconds)} of {len(seconds)}; delays {min(delays):.2f} to {max(delays):.2f} s",
                          "0"))
        table.append(("resident memory before / at the end of it", f"{rss_before:.0f} / {throughput.resident_mib:.0f} MiB", "equal"))
        table.append(("codes", ", ".join(f"{code} {sum(c == code for _, c in flood)}"
                                         for code in sorted({c for _, c in flood})), ""))


def measure_classes(args, rows, table):
    with serving(args) as server:
        api = Api(server)
        one = lambda name: api.request(rows[:1], name)

        def timed(name):
            begin = time.monotonic()
            api.stub.ScorePairs(one(name), timeout=120)
            return time.monotonic() - begin

        own = [timed(f"alone-{idx}") for idx in range(10)]
        stop = threading.Event()
        streams = in_threads(2, lambda _: Api(server).stream(rows, stop))
        time.sleep(3)

        def throughput(work):
            before, begin = sum_of(server, "prefscore_pairs_scored_total"), time.monotonic()
            num_own = work()
            return (sum_of(server, "prefscore_pairs_scored_total") - before - num_own) / (time.monotonic() - begin)

        def idle():
            time.sleep(args.seconds)
            return 0

        latencies = []

        def interactive():
            end = time.monotonic() + args.seconds
            num_before = len(latencies)
            while time.monotonic() < end:
                latencies.append(timed(f"now-{len(latencies)}"))
                time.sleep(INTERACTIVE_INTERVAL_S)
            return len(latencies) - num_before

        log("bulk alone, then with interactive calls; twice")
        alone, mixed = [], []
        for _ in range(2):
            alone.append(throughput(idle))
            mixed.append(throughput(interactive))
        longest = longest_bulk_batch_s(server)
        stop.set()
        for thread in streams:
            thread.join()
        table.append(("an interactive pair on an idle server, p50 / max",
                      f"{1e3 * statistics.median(own):.0f} / {1e3 * max(own):.0f} ms", ""))
        table.append((f"the same under saturating bulk, p50 / max of {len(latencies)}",
                      f"{1e3 * statistics.median(latencies):.0f} / {1e3 * max(latencies):.0f} ms",
                      f"<= longest bulk batch (at most {1e3 * longest:.0f} ms) + own"))
        table.append(("bulk alone", f"{statistics.mean(alone):.0f} pairs/s", ""))
        table.append((f"bulk with an interactive pair every {INTERACTIVE_INTERVAL_S} s",
                      f"{statistics.mean(mixed):.0f} pairs/s = {statistics.mean(mixed) / statistics.mean(alone):.1%}",
                      ">= 90 %"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", type=pathlib.Path, default=inputs.REPO / "build")
    parser.add_argument("--models", type=pathlib.Path, default=inputs.REPO / "deploy" / "demo" / "models",
                        help="folder with the models policy and reference")
    parser.add_argument("--seconds", type=int, default=15, help="of each phase")
    parser.add_argument("--queued-tokens", type=int, default=60_000, help="the server's --max-queued-tokens under overload")
    args = parser.parse_args()
    rows = [json.loads(line) for line in open(inputs.REPO / "deploy" / "demo" / "pairs.jsonl")]
    os.sched_setaffinity(0, LOAD_CORES)
    table = []
    load_before = os.getloadavg()
    measure_overload(args, rows, table)
    measure_classes(args, rows, table)
    print(f"load average before {load_before[0]:.1f}, after {os.getloadavg()[0]:.1f}; the server had {len(SERVER_CORES)} and the load {len(LOAD_CORES)} of "
          f"{len(CORES)} cores\n")
    print("| what | measured | goal |\n|---|---|---|")
    for row in table:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
