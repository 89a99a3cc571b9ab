# SPDX-License-Identifier: Apache-2.0
"""Streams of pairs when servers fail, at every point at which they can: no row is lost, none comes twice."""
import itertools
import threading

import grpc
import pytest
from fake_server import FakeServer, Step, retry_info
from test_stream import check, endless, numbered, stream_threads, wait_until

import prefscore

Code = grpc.StatusCode
# For servers that are started again: that takes its time, whatever a fake clock says.
PATIENT = prefscore.RetryPolicy(max_stream_attempts=1000, initial_backoff_s=0.02, max_backoff_s=0.1)
POINTS = [(pairs, results) for pairs in range(6) for results in range(pairs + 1)]


@pytest.mark.parametrize("shuffle", [1, 3])
@pytest.mark.parametrize("in_order", [False, True])
def test_a_call_that_dies_at_any_point_loses_nothing(clock, shuffle, in_order):
    pairs = numbered(6)
    for code, (after_pairs, after_results) in itertools.product((Code.UNAVAILABLE, Code.CANCELLED), POINTS):
        with FakeServer(shuffle=shuffle) as server, prefscore.Client(server.address, _clock=clock) as client:
            step = Step(code, after_pairs=after_pairs, after_results=after_results)
            server.script["StreamScorePairs"] = [step, step]
            check(list(client.stream_pairs(pairs, in_order=in_order)), pairs, in_order)
            assert server.calls["StreamScorePairs"] >= 2 or after_results > 3
    wait_until(lambda: not stream_threads())


def test_an_answered_pair_is_not_sent_again(clock):
    with FakeServer() as server, prefscore.Client(server.address, _clock=clock) as client:
        server.script["StreamScorePairs"] = [Step(Code.UNAVAILABLE, after_results=3)]
        results = list(client.stream_pairs(numbered(10)))
    check(results, numbered(10), in_order=False)
    sent = [pair.id for pair in server.pairs]
    assert all(sent.count(f"id-{index}") == 1 for index in range(3))


def test_a_killed_server_that_comes_back_goes_on(fake_server):
    fake_server.result_delay_s = 0.002
    with prefscore.Client(fake_server.address, retry=PATIENT, max_in_flight_pairs=20) as client:
        stream = client.stream_pairs(numbered(200), in_order=True)
        results = list(itertools.islice(stream, 50))
        fake_server.restart()
        results += itertools.islice(stream, 50)
        fake_server.restart()
        results += stream
    check(results, numbered(200), in_order=True)


@pytest.mark.parametrize("model", ["policy", "reference"])
def test_another_model_ends_the_stream(fake_server, model):
    with prefscore.Client(fake_server.address, retry=PATIENT, max_in_flight_pairs=5) as client:
        stream = client.stream_pairs(numbered(100), in_order=True)
        results = list(itertools.islice(stream, 10))
        old, fake_server.digests[model] = fake_server.digests[model], "other"
        fake_server.restart()
        with pytest.raises(prefscore.FailedPrecondition, match=f"{model}_digest is other, but was {old} at 127") as caught:
            results += stream
    assert caught.value.server == fake_server.address
    assert {getattr(result, f"{model}_digest") for result in results} == {old}


def test_another_tokenizer_ends_the_stream(fake_server):
    with prefscore.Client(fake_server.address, retry=PATIENT, max_in_flight_pairs=5) as client:
        stream = client.stream_pairs(numbered(100))
        next(stream)
        fake_server.tokenizer_fingerprint = "other"
        fake_server.restart()
        with pytest.raises(prefscore.FailedPrecondition, match="tokenizer_fingerprint is other, but was ffff"):
            list(stream)


def test_servers_with_different_models_do_not_mix():
    with FakeServer() as one, FakeServer(digests={"policy": "q", "reference": "r" * 64}) as two:
        with prefscore.Client([one.address, two.address], max_in_flight_pairs=4) as client:
            with pytest.raises(prefscore.FailedPrecondition, match="results of two models would mix: policy_digest"):
                list(client.stream_pairs(endless()))


def test_a_server_of_another_version_ends_the_stream(fake_server):
    with prefscore.Client(fake_server.address, retry=PATIENT, max_in_flight_pairs=5) as client:
        stream = client.stream_pairs(endless())
        next(stream)
        fake_server.contract_version = 9
        fake_server.restart()
        with pytest.raises(prefscore.VersionMismatch):
            list(stream)


def test_the_servers_delay_is_obeyed(fake_server, clock):
    full = Step(Code.RESOURCE_EXHAUSTED, "full", [retry_info(7)], after_pairs=2)
    fake_server.script["StreamScorePairs"] = [full, full]
    with prefscore.Client(fake_server.address, _clock=clock) as client:
        check(list(client.stream_pairs(numbered(5))), numbered(5), in_order=False)
    assert clock.sleeps == [pytest.approx(7.7), pytest.approx(7.7)]


@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.NOT_FOUND, Code.INTERNAL,
                                  Code.RESOURCE_EXHAUSTED, Code.UNAUTHENTICATED])  # fmt: skip
def test_other_errors_end_the_stream(fake_server, clock, code):
    fake_server.script["StreamScorePairs"] = [Step(code, "no", after_pairs=2)]
    with prefscore.Client(fake_server.address, _clock=clock) as client:
        with pytest.raises(prefscore.PrefscoreError, match="no") as caught:
            list(client.stream_pairs(numbered(5)))
    assert caught.value.code == code.name and caught.value.server == fake_server.address
    assert fake_server.calls["StreamScorePairs"] == 1 and clock.sleeps == []


def test_a_server_that_ends_too_early_is_at_fault(fake_server):
    fake_server.script["StreamScorePairs"] = [Step(Code.OK, after_pairs=3, after_results=1)]
    with prefscore.Client(fake_server.address) as client:
        with pytest.raises(prefscore.Internal, match="ended the stream without a result for [1-5] pairs"):
            list(client.stream_pairs(numbered(5)))


def test_pairs_that_a_stopping_server_refuses_are_sent_again(fake_server, clock):
    fake_server.refused_ids = {"id-1", "id-3"}
    with prefscore.Client(fake_server.address, _clock=clock) as client:
        results = list(client.stream_pairs(numbered(5), in_order=True))
    check(results, numbered(5), in_order=True)
    assert all(result.error is None for result in results)


def test_a_dead_server_ends_the_stream_in_time(clock):
    policy = prefscore.RetryPolicy(max_elapsed_s=30)
    with prefscore.Client("127.0.0.1:1", retry=policy, _clock=clock) as client:
        with pytest.raises(prefscore.Unavailable, match=r"no result in \d+ attempts over .* s. 127.0.0.1:1: "):
            list(client.stream_pairs(numbered(5)))
    assert 0 < sum(clock.sleeps) <= 30
    wait_until(lambda: not stream_threads())


def test_attempts_are_counted_since_the_last_result(fake_server, clock):
    fake_server.script["StreamScorePairs"] = [Step(Code.UNAVAILABLE, after_pairs=1, after_results=1)] * 50
    policy = prefscore.RetryPolicy(max_stream_attempts=2)
    with prefscore.Client(fake_server.address, retry=policy, _clock=clock) as client:
        check(list(client.stream_pairs(numbered(60))), numbered(60), in_order=False)
    fake_server.script["StreamScorePairs"] = [Step(Code.UNAVAILABLE)] * 2
    with prefscore.Client(fake_server.address, retry=policy, _clock=clock) as client:
        with pytest.raises(prefscore.Unavailable, match="no result in 2 attempts"):
            list(client.stream_pairs(numbered(5)))


def test_a_loss_after_a_long_silence_is_tried_again(fake_server, clock):
    """Of the pairs' source, or of the caller."""
    may_go = threading.Event()

    def pairs():
        yield from numbered(3)
        may_go.wait(30)
        yield from numbered(2)

    with prefscore.Client(fake_server.address, _clock=clock) as client:
        stream = client.stream_pairs(pairs())
        for _ in range(3):
            next(stream)
        clock.time_s += 10 * prefscore.RetryPolicy().max_elapsed_s
        fake_server.restart()
        may_go.set()
        assert len(list(stream)) == 2


def test_a_server_that_does_not_answer_leaves_the_stream_to_others(monkeypatch):
    for module in (prefscore.servers, prefscore.client):
        monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT_S", 0.3)
    is_over = threading.Event()
    with FakeServer() as silent, FakeServer(result_delay_s=0.001) as other:
        silent.script["ListModels"] = [Step(release=is_over) for _ in range(50)]
        with prefscore.Client([silent.address, other.address], retry=PATIENT) as client:
            check(list(client.stream_pairs(numbered(600))), numbered(600), in_order=False)
            client.score_pairs(numbered(1))
            client.score_pairs(numbered(1))
        is_over.set()
    assert other.calls["ScorePairs"] == 2 and silent.calls["ListModels"] > 1


def test_servers_share_the_work():
    servers = [FakeServer(result_delay_s=delay_s) for delay_s in (0.001, 0.001, 0.02)]
    with servers[0], servers[1], servers[2]:
        addresses = [server.address for server in servers]
        with prefscore.Client(addresses, max_in_flight_pairs=12) as client:
            check(list(client.stream_pairs(numbered(300))), numbered(300), in_order=False)
    shares = [len(server.pairs) for server in servers]
    assert sum(shares) == 300
    assert min(shares[:2]) > 2 * shares[2] > 0, shares


@pytest.mark.parametrize("in_order", [False, True])
def test_what_a_lost_server_had_goes_to_another(in_order):
    with FakeServer(result_delay_s=0.005) as one, FakeServer(result_delay_s=0.005) as two:
        with prefscore.Client([one.address, two.address], max_in_flight_pairs=16) as client:
            stream = client.stream_pairs(numbered(200), in_order=in_order)
            results = list(itertools.islice(stream, 40))
            wait_until(lambda: len(one.pairs) > 5)
            one.kill()
            results += stream
            num_of_two = len(two.pairs)
        check(results, numbered(200), in_order)
        assert num_of_two > 100


def test_a_server_that_was_given_up_joins_again(clock):
    policy = prefscore.RetryPolicy(max_stream_attempts=2, max_backoff_s=1)
    one, two = FakeServer(result_delay_s=0.002), FakeServer()
    with one, two:
        two.kill()  # its port is known, and it is down from the start
        with prefscore.Client([one.address, two.address], retry=policy, max_in_flight_pairs=8, _clock=clock) as client:
            stream = client.stream_pairs(endless())
            for _ in range(50):
                next(stream)
            wait_until(lambda: len(clock.sleeps) > 5)
            assert not two.pairs
            two.start()
            for _ in stream:
                if len(two.pairs) > 20:
                    break
            one.kill()  # now the stream hangs on the one that was given up before
            num_sleeps = len(clock.sleeps)
            wait_until(lambda: len(clock.sleeps) > num_sleeps + 5)
            for _ in range(50):
                next(stream)
            stream.close()


def test_a_wait_ends_with_the_stream(fake_server):
    fake_server.script["StreamScorePairs"] = [Step(Code.RESOURCE_EXHAUSTED, "full", [retry_info(50)])]
    with prefscore.Client(fake_server.address) as client:
        stream = client.stream_pairs(numbered(5))
        wait_until(lambda: fake_server.calls["StreamScorePairs"] == 1)
        threading.Timer(0.1, stream.close).start()
        assert list(stream) == []
        wait_until(lambda: not stream_threads())


def test_a_real_server_that_is_killed_and_started_again(build_dir, demo_flags, demo_pairs, start_server, tmp_path):
    pairs = [
        prefscore.Pair(row["chosen"], row["rejected"], row["prompt"], id=str(index))
        for index, row in enumerate(demo_pairs * 4)
    ]
    with start_server(*demo_flags) as first:
        expected = None
        with prefscore.Client(first.address, max_in_flight_pairs=32) as client:
            expected = list(client.stream_pairs(pairs, in_order=True))
            stream = client.stream_pairs(pairs, in_order=True)
            results = list(itertools.islice(stream, 100))
            first.process.kill()
            first.process.wait()
            with start_server(*demo_flags, "--listen", first.address):
                results += stream
    assert results == expected
