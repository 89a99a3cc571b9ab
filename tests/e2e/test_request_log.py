# SPDX-License-Identifier: Apache-2.0
"""Calls in a real server's log, and the ids that lead from a caller to its line."""
import json

import grpc
import pytest
from real_server import wait_until

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def lines_of(start_server, demo_flags):
    """Starts a server with these flags; gives it and a function that waits for lines about calls."""
    import contextlib

    @contextlib.contextmanager
    def start(*flags):
        with start_server(*demo_flags, "--log-format", "json", *flags) as server:
            assert server.address, server.log

            def calls(count):
                found = lambda: [line for line in map(json.loads, server.log.splitlines()) if "request_id" in line]
                wait_until(f"{count} calls are logged", lambda: len(found()) >= count)
                return found()

            yield server, calls

    return start


def test_a_line_tells_counts_and_times_and_is_found_by_its_ids(api, lines_of, demo_pairs):
    with lines_of("--log-level", "debug") as (server, calls), server.channel() as channel:
        request = api.scoring.ScorePairsRequest(pairs=[api.text_pair(row) for row in demo_pairs[:3]]
                                                + [api.scoring.PreferencePair()])
        metadata = [("x-request-id", "job 7"), ("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01")]
        _, call = api.Scoring(channel).ScorePairs.with_call(request, metadata=metadata)
        line, = calls(1)
        trailers = dict(call.trailing_metadata())
    assert line["message"] == "call" and line["level"] == "debug"
    assert line["method"] == "ScorePairs" and line["code"] == "OK"
    assert line["request_id"] == trailers["x-request-id"] == "job 7"
    assert (line["trace_id"], line["parent_span_id"]) == (TRACE_ID, SPAN_ID)
    assert trailers["traceresponse"] == f"00-{TRACE_ID}-{line['span_id']}-01"
    assert line["models"] == "policy,reference"
    assert (line["scored"], line["failed"], line["cached_tokens"]) == (3, 1, 0)
    assert line["tokens"] > 0
    phases = [line[name] for name in ("queue_us", "tokenize_us", "cache_lookup_us", "forward_us.policy",
                                      "forward_us.reference")]
    assert 0 < sum(phases) <= line["total_us"]


def test_by_default_only_streams_and_failures_are_logged(api, lines_of, demo_pairs):
    with lines_of() as (server, calls), server.channel() as channel:
        stub, pair = api.Scoring(channel), api.text_pair(demo_pairs[0])
        stub.ScorePairs(api.scoring.ScorePairsRequest(pairs=[pair]))
        with pytest.raises(grpc.RpcError):
            stub.ScorePairs(api.scoring.ScorePairsRequest())
        list(stub.StreamScorePairs(iter([api.scoring.StreamScorePairsRequest(options=api.scoring.ScoringOptions()),
                                         api.scoring.StreamScorePairsRequest(pair=pair)])))
        failed, stream = calls(2)
    assert (failed["method"], failed["code"], failed["field"]) == ("ScorePairs", "INVALID_ARGUMENT", "pairs")
    assert (stream["method"], stream["code"], stream["scored"]) == ("StreamScorePairs", "OK", 1)


def test_slow_calls_are_warnings(api, lines_of, demo_pairs):
    with lines_of("--slow-request-ms", "1") as (server, calls), server.channel() as channel:
        pairs = [api.text_pair(row) for row in demo_pairs] * 4
        api.Scoring(channel).ScorePairs(api.scoring.ScorePairsRequest(pairs=pairs))
        line, = calls(1)
    assert (line["message"], line["level"], line["code"]) == ("slow call", "warning", "OK")
    assert line["total_us"] >= 1000 and "forward_us.policy" in line


def test_a_reader_that_takes_nothing_stops_no_call(api, build_dir, demo_flags, demo_pairs):
    """The log is a pipe of 64 KiB that nobody reads, once the server listens."""
    import re
    import subprocess

    process = subprocess.Popen([build_dir / "prefscore-server", "--listen", "127.0.0.1:0", "--metrics-listen", "",
                                "--cache-dir", "", "--log-level", "debug", *demo_flags],
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    try:
        for line in process.stderr:
            if listening := re.search(r"listening on (\S+)", line):
                break
        with grpc.insecure_channel(listening[1]) as channel:
            stub, request = api.Scoring(channel), api.scoring.ListObjectivesRequest()
            for _ in range(1000):
                stub.ListObjectives(request, timeout=60, metadata=[("x-request-id", "x" * 128)])
        process.terminate()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.stderr.close()
