# SPDX-License-Identifier: Apache-2.0
"""A real server is told to stop while clients keep it busy: what was admitted is answered, the rest is told to go
elsewhere, and both sides count the same."""
import os
import re
import signal
import subprocess

import grpc
import pytest
from clients_under_load import Callers, error_info, open_channel, pair_of
from grpc_health.v1 import health_pb2, health_pb2_grpc
from real_server import Server, wait_until
from scoring_calls import NOT_SERVING, SERVING, watch_health

from prefscore.v1 import scoring_pb2, scoring_pb2_grpc

DONE, CUT_OFF = 0, 3


def totals(log):
    """What the server says at its end: calls by method and code, and the pairs that it scored."""
    [line] = re.findall(r"\bstopped; since the start (.*); pairs scored (\d+), failed \d+$", log, re.MULTILINE)
    return {(method, code): int(count) for method, code, count in re.findall(r"(\w+) (\w+) (\d+)", line[0])}, int(line[1])


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_under_full_load_loses_nothing(start_server, demo_flags, demo_pairs, stop_signal):
    with start_server(*demo_flags) as server, server.channel() as channel:
        told = watch_health(channel)
        callers = Callers(server.address, demo_pairs, num_unary=6, num_streams=3)
        callers.wait_until_busy(num_calls=12)
        server.process.send_signal(stop_signal)
        callers.join()
        assert server.process.wait(timeout=60) == DONE, server.log
        wait_until("the watcher's call ends", lambda: isinstance(told[-1], grpc.StatusCode))
    assert told[:2] == [SERVING, NOT_SERVING]

    calls, num_scored = totals(server.log)
    assert num_scored == callers.num_scored
    assert calls["ScorePairs", "OK"] == callers.calls["ScorePairs", "OK"]
    # Each caller ended with a refusal: of the server that drains, or of a port that is closed already.
    assert callers.calls["ScorePairs", "UNAVAILABLE"] == 6
    assert callers.calls["StreamScorePairs", "UNAVAILABLE"] == 3 == calls["StreamScorePairs", "UNAVAILABLE"]
    assert {info.reason for info in callers.refusals if info} == {"SHUTTING_DOWN"}
    for indices, info in callers.streams:
        assert sorted(indices) == sorted(set(indices))
        assert set(range(int(info.metadata["resume_index"]))) <= set(indices)


def test_a_stream_goes_on_at_another_server_from_its_resume_index(start_server, demo_flags, demo_pairs):
    pairs = [pair_of(row, str(index)) for index, row in enumerate(demo_pairs * 3)]
    requests = [scoring_pb2.StreamScorePairsRequest(pair=pair) for pair in pairs]
    options = scoring_pb2.StreamScorePairsRequest(options=scoring_pb2.ScoringOptions())

    def stream(channel, requests, on_result):
        for response in scoring_pb2_grpc.ScoringServiceStub(channel).StreamScorePairs(iter([options, *requests])):
            on_result(response.result)

    with start_server(*demo_flags) as first, start_server(*demo_flags) as second:
        with first.channel() as channel, second.channel() as other:
            whole = {}
            stream(other, requests, lambda result: whole.setdefault(result.id, result))
            results = {}

            def take(result):
                results[result.id] = result
                if len(results) == 100:
                    first.process.terminate()

            with pytest.raises(grpc.RpcError) as end:
                stream(channel, requests, take)
            assert end.value.code() == grpc.StatusCode.UNAVAILABLE
            resume_index = int(error_info(end.value).metadata["resume_index"])
            assert 100 <= resume_index < len(pairs)
            assert set(map(str, range(resume_index))) == set(results), "each pair before it has its result, none after"
            stream(other, requests[resume_index:], lambda result: results.setdefault(result.id, result))
        assert first.process.wait(timeout=60) == DONE
    assert len(results) == len(pairs)
    for pair in pairs:
        results[pair.id].index = whole[pair.id].index
    assert results == whole


def long_call(server):
    """A call that a server is busy with for seconds, in many small batches; and its connection."""
    pair = scoring_pb2.PreferencePair()
    for content, ids in ((pair.prompt, range(1, 200)), (pair.chosen, [9] * 30), (pair.rejected, [7] * 30)):
        content.token_ids.ids.extend(ids)
    pairs = []
    for index in range(1024):  # all different: equal ones are computed once
        pairs.append(scoring_pb2.PreferencePair())
        pairs[-1].CopyFrom(pair)
        pairs[-1].chosen.token_ids.ids[:2] = [1 + index % 200, 1 + index // 200]
    channel = open_channel(server.address)
    wait_until("the cost of a pass is known", lambda: "model 'reference' takes" in server.log)
    call = scoring_pb2_grpc.ScoringServiceStub(channel).ScorePairs.future(scoring_pb2.ScorePairsRequest(pairs=pairs))
    wait_until("it runs", lambda: 0 < server.metric("prefscore_queued_pairs") < 1024)
    return call, channel


def assert_cut_off(call, channel, server):
    assert server.process.wait(timeout=60) == CUT_OFF, server.log
    assert call.code() == grpc.StatusCode.UNAVAILABLE, call.details()
    assert error_info(call).reason == "SHUTTING_DOWN"
    [line] = re.findall(r"cut off by the end of --shutdown-grace or a second signal: (\d+) pairs.*, (\d+) calls", server.log)
    assert 0 < int(line[0]) <= 1024 and int(line[1]) == 0
    assert totals(server.log)[0] == {("ScorePairs", "UNAVAILABLE"): 1}
    channel.close()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_refuses_what_waits(start_server, demo_flags, second):
    with start_server(*demo_flags, "--max-batch-ms", 20, "--shutdown-grace", 3600) as server:
        call, channel = long_call(server)
        server.process.terminate()
        wait_until("it drains", lambda: "shutting down" in server.log)
        assert server.process.poll() is None
        server.process.send_signal(second)
        assert_cut_off(call, channel, server)
        assert "a second signal: what waits is refused" in server.log


def test_the_end_of_the_grace_refuses_what_waits(start_server, demo_flags):
    with start_server(*demo_flags, "--max-batch-ms", 20, "--shutdown-grace", 0.05) as server:
        call, channel = long_call(server)
        server.process.terminate()
        assert_cut_off(call, channel, server)


def test_an_idle_server_stops_with_clients_that_are_connected(start_server, demo_flags):
    with start_server(*demo_flags, "--shutdown-grace", 3600) as server, server.channel() as channel:
        told = watch_health(channel)
        server.process.terminate()
        assert server.process.wait(timeout=60) == DONE
        wait_until("the watcher's call ends", lambda: isinstance(told[-1], grpc.StatusCode))
        assert told[:2] == [SERVING, NOT_SERVING]


def test_a_signal_while_models_are_loaded_ends_the_server_at_once(build_dir, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        os.mkfifo(model / name)  # whoever opens it waits
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        server = Server(build_dir, tmp_path / f"{stop_signal.name}.txt", "--model", f"policy={model}", "--reference", "policy")
        wait_until("it has started", lambda: "shutdown-grace" in server.log)
        server.process.send_signal(stop_signal)
        assert server.process.wait(timeout=60) == DONE
        assert "stopped while starting\n" in server.log


def test_metrics_are_served_while_models_are_loaded(build_dir, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    os.mkfifo(model / "config.json")  # whoever opens it waits
    server = Server(build_dir, tmp_path / "log.txt", "--model", f"policy={model}", "--reference", "policy")
    try:
        wait_until("metrics are served", lambda: server.has_metrics())
        assert server.metric("prefscore_serving") == 0
        assert server.metric("process_open_fds") > 0
        assert "listening on" not in server.log
    finally:
        server.stop()


def test_a_terminal_or_reader_that_goes_away_does_not_stop_the_server(build_dir, demo_flags, start_server):
    with start_server(*demo_flags) as server, server.channel() as channel:
        server.process.send_signal(signal.SIGHUP)
        server.process.send_signal(signal.SIGPIPE)
        request = health_pb2.HealthCheckRequest()
        assert health_pb2_grpc.HealthStub(channel).Check(request, timeout=60).status == SERVING

    address = server.address  # of the one that has stopped
    command = [build_dir / "prefscore-server", *demo_flags, "--cache-dir", "", "--listen", address, "--metrics-listen", ""]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    reader.stdout.readline()
    reader.stdout.close()
    try:
        with grpc.insecure_channel(address) as channel:
            check = lambda: health_pb2_grpc.HealthStub(channel).Check(request, timeout=60, wait_for_ready=True).status
            assert check() == SERVING
        reader.terminate()
        assert reader.wait(timeout=60) == DONE
    finally:
        reader.kill()
