# SPDX-License-Identifier: Apache-2.0
"""Two servers are restarted one after the other while clients of both work: no pair is lost, none comes twice, and the
numbers are those of servers that nobody touched."""
import contextlib
import dataclasses
import itertools
import json
import signal
import subprocess
import threading

import pytest
from real_server import Server, wait_until

import prefscore


class Replicas:
    """Two servers with equal models, each of which comes back where it was."""

    def __init__(self, start, build_dir, flags, log_folder):
        self._names = itertools.count()
        self._start = lambda *more: start(Server(build_dir, log_folder / f"{next(self._names)}.txt", *flags, *more))
        self.servers = [self._start(), self._start()]
        self.addresses = [server.address for server in self.servers]

    def restart(self, index, is_killed=False):
        server = self.servers[index]
        server.process.send_signal(signal.SIGKILL if is_killed else signal.SIGTERM)
        assert server.process.wait(timeout=60) == (-signal.SIGKILL if is_killed else 0), server.log
        self.servers[index] = self._start("--listen", server.address)


@pytest.fixture
def replicas(build_dir, demo_flags, tmp_path):
    with contextlib.ExitStack() as stack:

        def start(server):
            stack.callback(server.stop)
            assert server.wait_until_ready(), server.log
            return server

        yield Replicas(start, build_dir, demo_flags, tmp_path)


@pytest.fixture
def pairs(demo_pairs):
    return [prefscore.Pair(row["chosen"], row["rejected"], row["prompt"], id=str(index))
            for index, row in enumerate(demo_pairs * 2)]  # fmt: skip


def test_a_stream_and_unary_calls_lose_nothing(replicas, pairs, demo_server):
    with prefscore.Client(demo_server.address) as client:
        expected = list(client.stream_pairs(pairs, in_order=True))
    chunks = [pairs[begin : begin + 32] for begin in range(0, len(pairs), 32)]
    by_chunk = [expected[begin : begin + 32] for begin in range(0, len(pairs), 32)]
    over = threading.Event()
    rounds = {"stream": 0, "unary": 0}
    faults = []

    def work(kind, one_round):
        try:
            with prefscore.Client(replicas.addresses, max_in_flight_pairs=64) as client:
                while not over.is_set():
                    one_round(client)
                    rounds[kind] += 1
        except BaseException as fault:
            faults.append(fault)

    def stream(client):
        results = list(client.stream_pairs(pairs, in_order=True))
        assert results == expected

    def unary(client):
        for chunk, scored in zip(chunks, by_chunk):
            results = client.score_pairs(chunk)
            at_zero = lambda results: [dataclasses.replace(result, index=0) for result in results]
            assert at_zero(results) == at_zero(scored)

    threads = [threading.Thread(target=work, args=each) for each in (("stream", stream), ("unary", unary))]
    for thread in threads:
        thread.start()

    def wait_for_progress():
        before = dict(rounds)
        wait_until("both kinds of calls get on", lambda: faults or all(rounds[kind] > before[kind] for kind in rounds))

    try:
        for index in (0, 1, 0, 1):
            wait_for_progress()
            replicas.restart(index)
    finally:
        over.set()
        for thread in threads:
            thread.join(timeout=120)
    assert not faults, faults
    assert all(count >= 4 for count in rounds.values())


@pytest.mark.parametrize("is_killed", [False, True])
def test_the_command_line_goes_on(replicas, build_dir, demo_pairs, tmp_path, is_killed):
    """`prefscore score` takes several addresses as gRPC writes them, and goes to the next one that answers."""
    rows = [json.dumps({**row, "id": str(index)}) + "\n" for index, row in enumerate(demo_pairs * 4)]
    score = lambda server, output: subprocess.Popen(
        [build_dir / "prefscore", "score", "--server", server, "--input", "-", "--output", output],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    expected, output = tmp_path / "expected.jsonl", tmp_path / "scores.jsonl"
    whole = score(replicas.addresses[0], expected)
    whole.communicate("".join(rows), timeout=120)
    assert whole.returncode == 0

    run = score("ipv4:" + ",".join(replicas.addresses), output)
    num_results = lambda: output.read_text().count("\n") if output.exists() else 0
    quarter = len(rows) // 4
    for number, index in enumerate((0, 1, 0)):
        run.stdin.write("".join(rows[number * quarter : (number + 1) * quarter]))
        run.stdin.flush()
        wait_until("results come", lambda: num_results() >= number * quarter + 10)
        replicas.restart(index, is_killed)
    _, errors = run.communicate("".join(rows[3 * quarter :]), timeout=120)
    assert run.returncode == 0, errors
    assert output.read_text() == expected.read_text()
