# SPDX-License-Identifier: Apache-2.0
"""Clients that are used wrongly, or meet servers that are not there: what they say, and that none hangs."""
import contextlib
import multiprocessing
import os
import pickle
import socket
import threading
import time

import pytest
from fake_server import Step

import prefscore
from prefscore import AsyncClient, Client, Pair

PAIR = Pair("abc", "a", "p")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(("servers", "message"), [
    ([], "servers is empty; give at least one HOST:PORT"),
    ("", "servers: '' is no HOST:PORT, such as 127.0.0.1:50051"),
    ("localhost", "servers: 'localhost' is no HOST:PORT"),
    (":50051", "is no HOST:PORT"),
    ("localhost:http", "is no HOST:PORT"),
    ("localhost:0", "servers: 'localhost:0': a port is in 1 to 65535"),
    ("localhost:99999", "servers: 'localhost:99999': a port is in 1 to 65535"),
    ("http://localhost:50051", "is no HOST:PORT"),
    ("::1:50051", r"servers: '::1:50051': write an IPv6 address in brackets, \[::1\]:50051"),
    (["a:1", "a:1"], "servers: an address is given twice: a:1, a:1"),
    ([("a", 1)], r"servers: \('a', 1\) is no HOST:PORT"),
    (50051, "servers: 50051 is no HOST:PORT"),
    (None, "servers: None is no HOST:PORT"),
])  # fmt: skip
def test_addresses_that_are_none(kind, servers, message):
    with pytest.raises(prefscore.InvalidArgument, match=message):
        kind(servers)


@pytest.mark.parametrize(("arguments", "message"), [
    (dict(timeout_s=0), "timeout_s is 0; it must be > 0 seconds, or None for no limit"),
    (dict(timeout_s=float("nan")), "timeout_s is nan"),
    (dict(timeout_s="3"), "timeout_s is '3'"),
    (dict(timeout_s=float("inf")), "timeout_s is inf; .*None for no limit"),
    (dict(max_in_flight_pairs=0), "max_in_flight_pairs is 0; it must be an int >= 1"),
    (dict(max_in_flight_bytes=1.5), "max_in_flight_bytes is 1.5; it must be an int >= 1"),
    (dict(retry=3), "retry: must be a RetryPolicy, not int"),
])  # fmt: skip
def test_wrong_settings(arguments, message):
    with pytest.raises(prefscore.InvalidArgument, match=message):
        Client("127.0.0.1:1", **arguments)


@pytest.mark.parametrize("arguments", [
    dict(max_attempts=0), dict(jitter=-1), dict(jitter=1.5), dict(multiplier=0.5), dict(max_elapsed_s=float("nan")),
    dict(initial_backoff_s="1"),
])  # fmt: skip
def test_wrong_retry_policies(arguments):
    with pytest.raises(prefscore.InvalidArgument, match=f"RetryPolicy.{next(iter(arguments))} is"):
        prefscore.RetryPolicy(**arguments)


@pytest.mark.parametrize(("pair", "field"), [
    (Pair(None, "r", "p"), "pairs[0].chosen"),
    (Pair("c", b"r", "p"), "pairs[0].rejected"),
    (Pair("c", "r", 3.5), "pairs[0].prompt"),
    (Pair("c", "r\ud800", "p"), "pairs[0].rejected"),
    (Pair([1, -1], [1], [1]), "pairs[0].chosen[1]"),
    (Pair([1, 2**32], [1], [1]), "pairs[0].chosen[1]"),
    (Pair([1, 2.5], [1], [1]), "pairs[0].chosen[1]"),
    (Pair([{"role": "user", "content": "a"}, "b"], [], []), "pairs[0].chosen[1]"),
    (Pair([{"role": "user", "content": {1}}], [], []), "pairs[0].chosen[0]"),
    (Pair("c", "r", "p", id=3), "pairs[0].id"),
    (Pair("c", "r", "p", labels={"a": 1}), "pairs[0].labels['a']"),
    (Pair("c", "r", "p", labels=["a"]), "pairs[0].labels"),
    (Pair("c", "r", "p", score_gap="1"), "pairs[0].score_gap"),
    (Pair("c", "r", "p", known=-1.0), "pairs[0].known"),
    (Pair("c", "r", "p", known=prefscore.KnownLogProbs("a")), "pairs[0].known.policy_chosen_logp"),
    (Pair("c", "r", "p", tools=[{1}]), "pairs[0].tools"),
    ({"chosen": "c"}, "pairs[0]"),
])  # fmt: skip
def test_wrong_types_are_named(fake_server, fake_client, pair, field):
    with pytest.raises(prefscore.InvalidArgument) as caught:
        fake_client.score_pairs([pair])
    assert [violation.field for violation in caught.value.field_violations] == [field]
    assert str(caught.value).startswith(f"{field}: ")
    assert isinstance(caught.value, ValueError)
    assert not fake_server.calls


@pytest.mark.parametrize("pairs", [PAIR, 3, None])
def test_one_pair_instead_of_many(fake_client, pairs):
    with pytest.raises(prefscore.InvalidArgument, match=r"pairs: must be an iterable of pairs, not "):
        fake_client.score_pairs(pairs)


def test_a_server_that_is_not_there_is_told_in_time(clock):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"  # bound, but nobody listens
        with Client([address, "127.0.0.1:1"], _clock=clock) as client, pytest.raises(prefscore.Unavailable) as caught:
            client.score_pairs([PAIR])
    message = str(caught.value)
    assert "10 attempts" in message and address in message and "127.0.0.1:1" in message, message
    assert isinstance(caught.value, ConnectionError)


def test_a_server_that_never_answers_ends_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with Client(address) as client:
            start = time.monotonic()
            with pytest.raises((prefscore.DeadlineExceeded, prefscore.Unavailable), match="timeout_s 0.5"):
                client.score_pairs([PAIR], timeout_s=0.5)
            assert time.monotonic() - start < 15


def test_a_server_that_is_slow_to_accept_is_waited_for(fake_server):
    def serve(listener):
        near, _ = listener.accept()
        time.sleep(1)
        with near, socket.create_connection(("127.0.0.1", fake_server.port)) as far:
            back = threading.Thread(target=pump, args=(far, near), daemon=True)
            back.start()
            pump(near, far)
            far.shutdown(socket.SHUT_RDWR)
            back.join(10)

    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = threading.Thread(target=serve, args=(listener,), daemon=True)
        proxy.start()
        once = prefscore.RetryPolicy(max_attempts=1)
        with Client(f"127.0.0.1:{listener.getsockname()[1]}", retry=once) as client:
            assert client.score_pairs([PAIR])[0].policy_margin == -2
        proxy.join(10)


def test_a_closed_client_says_so(fake_server):
    client = Client(fake_server.address)
    client.score_pairs([PAIR])
    client.close()
    client.close()
    for ask in (lambda: client.score_pairs([PAIR]), lambda: client.stream_pairs([PAIR]), lambda: client.analyze([PAIR]),
                client.models, client.objectives, client.health):  # fmt: skip
        with pytest.raises(prefscore.FailedPrecondition, match="this Client is closed"):
            ask()


def test_closing_ends_a_call_that_is_under_way(fake_server):
    release = threading.Event()
    fake_server.script["ScorePairs"] = [Step(release=release)]
    client = Client(fake_server.address)
    errors = []

    def ask():
        try:
            client.score_pairs([PAIR])
        except prefscore.PrefscoreError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not fake_server.calls["ScorePairs"]:
        time.sleep(0.01)
    client.close()
    thread.join(10)
    release.set()
    assert not thread.is_alive()
    assert isinstance(errors[0], prefscore.FailedPrecondition) and "closed" in str(errors[0])


def test_closing_between_the_steps_of_a_call(fake_server, monkeypatch):
    client = Client(fake_server.address)
    shake_hands = client._shake_hands

    def shake_hands_and_close(*arguments):
        info = shake_hands(*arguments)
        client.close()
        return info

    monkeypatch.setattr(client, "_shake_hands", shake_hands_and_close)
    with pytest.raises(prefscore.FailedPrecondition, match="this Client is closed"):
        client.score_pairs([PAIR])


def test_a_message_above_the_servers_limit_is_not_sent_twice(start_server, demo_flags):
    with start_server(*demo_flags, "--max-message-bytes", 65536) as server, Client(server.address) as client:
        with pytest.raises(prefscore.ResourceExhausted, match="65536"):
            client.score_pairs([Pair("c" * 100_000, "r", "p")])
        assert len(client.score_pairs([PAIR])) == 1


def test_clients_are_not_pickled():
    for client in (Client("127.0.0.1:1"), AsyncClient("127.0.0.1:1")):
        with pytest.raises(TypeError, match="cannot be pickled: make one in the process that uses it"):
            pickle.dumps(client)


def test_errors_cross_processes_whole():
    error = prefscore.ResourceExhausted("full", retry_delay_s=2.5, server="a:1", reason="QUEUE_FULL")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error) == "a:1: full"
    assert vars(copy) == vars(error)


def _use_in_fork(client, stream, results):
    for use in (lambda: client.models(), lambda: client.stream_pairs([PAIR]), lambda: next(stream)):
        try:
            use()
            results.put("no error")
        except prefscore.FailedPrecondition as error:
            results.put(str(error))
    stream.close()
    client.close()  # neither hangs, nor touches the parent's
    results.put(os.getpid())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_is_told_to_make_its_own(fake_server):
    fork = multiprocessing.get_context("fork")
    with Client(fake_server.address) as client:
        stream = client.stream_pairs([PAIR] * 50)
        next(stream)
        results = fork.Queue()
        process = fork.Process(target=_use_in_fork, args=(client, stream, results), daemon=True)
        process.start()
        told = [results.get(timeout=30) for _ in range(4)]
        process.join(30)
        assert process.exitcode == 0
        for message in told[:3]:
            assert f"made in process {os.getpid()} and is used in its fork {told[3]}" in message
            assert "worker_init_fn" in message
        assert len(list(stream)) == 49  # the parent's goes on
        assert client.score_pairs([PAIR])[0].policy_margin == -2


def test_expected_digests(demo_client, demo_pairs):
    [model] = [model for model in demo_client.models().models if model.name == "policy"]
    demo_client.score_pairs([PAIR], prefscore.ScoringOptions(expected_policy_digest=model.digest))
    with pytest.raises(prefscore.FailedPrecondition, match=model.digest):
        demo_client.score_pairs([PAIR], prefscore.ScoringOptions(expected_policy_digest="0" * 64))
    with pytest.raises(prefscore.NotFound, match="policy, reference|'policy', 'reference'|policy"):
        demo_client.score_pairs([PAIR], prefscore.ScoringOptions(policy="no-such-model"))


def test_details_of_the_servers_errors_are_kept(demo_client):
    with pytest.raises(prefscore.InvalidArgument) as caught:
        demo_client.score_pairs([PAIR], prefscore.ScoringOptions(objectives=["sigmoid:beta=-1"]))
    [violation] = caught.value.field_violations
    assert violation.field == "options.objectives[0].beta" and "-1" in violation.description
    assert caught.value.server and caught.value.code == "INVALID_ARGUMENT"


def test_no_call_blocks_others(fake_server, fake_client):
    release = threading.Event()
    fake_server.script["ScorePairs"] = [Step(release=release)]
    thread = threading.Thread(target=fake_client.score_pairs, args=([PAIR],))
    thread.start()
    while not fake_server.calls["ScorePairs"]:
        time.sleep(0.01)
    assert fake_client.score_pairs([PAIR])[0].policy_margin == -2
    release.set()
    thread.join(10)
    assert not thread.is_alive()
