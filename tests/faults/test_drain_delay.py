# SPDX-License-Identifier: Apache-2.0
"""`--drain-delay`: health tells load balancers at once, and until they have noticed everything is served as before."""
import queue
import time

import grpc
import pytest
from clients_under_load import Callers
from real_server import wait_until
from scoring_calls import NOT_SERVING, SERVING, random_pairs, reason_of, score, watch_health

from prefscore.v1 import scoring_pb2, scoring_pb2_grpc

DELAY_S = 1


def open_stream(channel):
    """A stream's queue of pairs and its results."""
    pairs = queue.Queue()
    options = scoring_pb2.StreamScorePairsRequest(options=scoring_pb2.ScoringOptions())

    def messages():
        yield options
        while pair := pairs.get():
            yield scoring_pb2.StreamScorePairsRequest(pair=pair)

    return pairs, scoring_pb2_grpc.ScoringServiceStub(channel).StreamScorePairs(messages())


def test_until_a_second_signal_ends_the_delay_all_is_served(start_server, demo_flags):
    pairs = random_pairs(8)
    with start_server(*demo_flags, "--drain-delay", 3600) as server, server.channel() as channel:
        assert server.address, server.log
        told = watch_health(channel)
        expected = score(server, pairs)
        server.process.terminate()
        wait_until("health says so", lambda: told[-1] == NOT_SERVING)
        assert score(server, pairs) == expected, "on a new connection"
        stream_pairs, stream = open_stream(channel)
        for pair in pairs:
            stream_pairs.put(pair)
            assert not next(stream).result.HasField("status")
        assert server.process.poll() is None

        server.process.terminate()
        with pytest.raises(grpc.RpcError) as end:
            next(stream)
        stream_pairs.put(None)
        assert end.value.code() == grpc.StatusCode.UNAVAILABLE and reason_of(end.value) == "SHUTTING_DOWN"
        assert server.process.wait(timeout=60) == 0, server.log
    assert told[:2] == [SERVING, NOT_SERVING]


def test_after_the_delay_new_work_is_refused(start_server, demo_flags, demo_pairs):
    with start_server(*demo_flags, "--drain-delay", DELAY_S) as server:
        assert server.address, server.log
        callers = Callers(server.address, demo_pairs, num_unary=3, num_streams=2)
        callers.wait_until_busy()
        start = time.monotonic()
        server.process.terminate()
        callers.join()
        assert server.process.wait(timeout=60) == 0, server.log
        assert time.monotonic() - start >= DELAY_S
    assert callers.calls["ScorePairs", "UNAVAILABLE"] == 3 and callers.calls["StreamScorePairs", "UNAVAILABLE"] == 2
    assert {info.reason for info in callers.refusals if info} == {"SHUTTING_DOWN"}
