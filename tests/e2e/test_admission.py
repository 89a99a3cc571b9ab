# SPDX-License-Identifier: Apache-2.0
"""What becomes of calls when there is more work than time: refused, told when to come again, cancelled, overtaken.

A large call keeps the server busy for many times longer than anything else takes here; it is cancelled at the end.
"""
import re
import time

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from real_server import wait_until


def small_call(api, seed, **options):
    return api.scoring.ScorePairsRequest(pairs=[api.ids_pair([5, seed % 200], [7], [8])],
                                         options=api.scoring.ScoringOptions(**options))


class BusyServer:
    """A server that works on `call`, a future."""

    def __init__(self, server, api, priority):
        self.server = server
        self.stub = api.Scoring(server.channel())
        wait_until("the cost of a pass is known", lambda: "model 'reference' takes" in server.log)
        assert self.stub.ScorePairs(small_call(api, 0), timeout=60).results
        pairs = [api.ids_pair(list(range(1, 200)), [idx % 200] * 30, [7] * 30) for idx in range(1024)]
        options = api.scoring.ScoringOptions(priority=priority)
        self.call = self.stub.ScorePairs.future(api.scoring.ScorePairsRequest(pairs=pairs, options=options))
        wait_until("it runs", lambda: server.metric("prefscore_queued_pairs") > 900)


@pytest.fixture
def busy_server(start_server, demo_flags, api):
    started = []

    def start(priority="PRIORITY_UNSPECIFIED", *flags):
        context = start_server(*demo_flags, *flags)
        busy = BusyServer(context.__enter__(), api, api.scoring.Priority.Value(priority))
        started.append((context, busy))
        return busy

    yield start
    for context, busy in started:
        busy.call.cancel()
        context.__exit__(None, None, None)


def retry_delay_s(error):
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(info) for detail in status.details), status
    return info.retry_delay.ToNanoseconds() * 1e-9


def test_a_full_queue_refuses_and_who_does_as_told_is_served(busy_server, api):
    busy = busy_server("PRIORITY_UNSPECIFIED", "--max-queued-tokens", "20000")  # a first call is taken whatever it brings
    request = small_call(api, 1)  # in time even on a slow machine: the queue is to refuse it, not the deadline
    with pytest.raises(grpc.RpcError) as refused:
        busy.stub.ScorePairs(request, timeout=3600)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "the limit is max_queued_tokens = 20000" in refused.value.details()
    metric = busy.server.metric
    assert metric("prefscore_refusals_total", priority="interactive", reason="queued_tokens") == 1
    assert metric("prefscore_refusals_total") == 1
    assert metric("prefscore_requests_total", method="ScorePairs", code="RESOURCE_EXHAUSTED") == 1
    # Once would do on a machine that nobody else uses: the time is a prediction.
    delay_s = retry_delay_s(refused.value)
    assert delay_s > 0.05
    for _ in range(6):
        time.sleep(delay_s)
        try:
            assert busy.stub.ScorePairs(request, timeout=3600).results
            assert metric("prefscore_requests_total", method="ScorePairs", code="OK") >= 2
            return
        except grpc.RpcError as error:
            delay_s = retry_delay_s(error)
    pytest.fail("refused again and again")


def test_a_deadline_that_cannot_be_met_is_refused_at_arrival(busy_server, api):
    busy = busy_server()
    with pytest.raises(grpc.RpcError) as refused:
        busy.stub.ScorePairs(small_call(api, 1), timeout=0.4)
    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert re.search(r"the deadline cannot be met: predicted are .* s .*, allowed are 0\.\d+ s", refused.value.details())
    assert not busy.call.done()
    assert busy.server.metric("prefscore_refusals_total", priority="interactive", reason="deadline") == 1
    assert busy.server.metric("prefscore_requests_total", method="ScorePairs", code="DEADLINE_EXCEEDED") == 1


def test_a_cancelled_call_leaves_the_queue_at_once(busy_server, api):
    busy = busy_server()
    busy.call.cancel()
    metric = busy.server.metric
    wait_until("the queue is empty", lambda: metric("prefscore_queued_tokens") == 0)
    assert metric("prefscore_queued_pairs") == 0
    assert busy.stub.ScorePairs(small_call(api, 1), timeout=60).results
    scored = metric("prefscore_batch_tokens_sum")
    assert scored < 0.5 * 1024 * 2 * 259, "most of the cancelled call was never computed"
    wait_until("the call is counted",
               lambda: metric("prefscore_requests_total", method="ScorePairs", code="CANCELLED") == 1)
    assert metric("prefscore_pairs_scored_total") == 2, "of the cancelled call none"


def test_interactive_calls_overtake_bulk(busy_server, api):
    busy = busy_server("PRIORITY_BULK")
    for seed in range(5):
        assert busy.stub.ScorePairs(small_call(api, seed), timeout=60).results
    assert not busy.call.done()
    assert busy.server.metric("prefscore_queued_pairs", priority="bulk") > 0
    assert busy.server.metric("prefscore_queued_pairs", priority="interactive") == 0
    # One before the bulk call came, and five that overtook it; batches of both classes alternate and never mix.
    assert busy.server.metric("prefscore_queue_delay_seconds_count", priority="interactive") == 6
    assert busy.server.metric("prefscore_batch_duration_seconds_count", priority="bulk") >= 1


def test_an_unknown_priority_is_refused(demo_server, api):
    stub = api.Scoring(demo_server.channel())
    request = small_call(api, 1)
    request.options.priority = 77
    with pytest.raises(grpc.RpcError) as refused:
        stub.ScorePairs(request, timeout=60)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "options.priority: 77 is not a known priority" in refused.value.details()


def test_limits_are_reported(start_server, demo_flags, api):
    flags = ["--max-queued-bytes", "1000001", "--max-batch-bytes", "1000002", "--max-batch-ms", "1003"]
    with start_server(*demo_flags, *flags) as server:
        limits = api.Models(server.channel()).ListModels(api.models.ListModelsRequest(), timeout=60).limits
        assert (limits.max_queued_bytes, limits.max_batch_bytes, limits.max_batch_ms) == (1000001, 1000002, 1003)
        wait_until("passes are measured", lambda: "model 'reference' takes" in server.log)
        assert server.metric("prefscore_cost_seconds") > 0
