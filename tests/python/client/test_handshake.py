# SPDX-License-Identifier: Apache-2.0
"""A client asks a server for the contract's version before all else, and again where it may be another server."""
import threading

import pytest
from fake_server import FakeServer, Step
from test_stream import wait_until

import prefscore

PAIR = prefscore.Pair("abc", "a", "p")


@pytest.mark.parametrize(("contract_version", "message"), [
    (0, r"the server \(prefscore 0.1.0\) speaks contract version none .*, this client version 1; upgrade the server"),
    (2, r"speaks contract version 2, this client version 1; upgrade the client: pip install --upgrade prefscore"),
])  # fmt: skip
def test_another_version_is_refused_before_anything_is_sent(contract_version, message):
    with FakeServer(contract_version=contract_version) as server, prefscore.Client(server.address) as client:
        for ask in (
            lambda: client.score_pairs([PAIR]),
            lambda: list(client.stream_pairs([PAIR])),
            lambda: client.score_completions([prefscore.PromptCompletions("p", ["a"])]),
            lambda: client.analyze([PAIR]),
            lambda: client.objectives(),
        ):
            with pytest.raises(prefscore.VersionMismatch, match=message) as caught:
                ask()
            assert caught.value.code == "FAILED_PRECONDITION" and caught.value.server == server.address
    assert set(server.calls) == {"ListModels"}


def test_a_server_is_asked_once_while_it_answers(fake_server, clock):
    with prefscore.Client(fake_server.address, _clock=clock) as client:
        for _ in range(5):
            client.score_pairs([PAIR])
            clock.time_s += 0.9
        assert fake_server.calls["ListModels"] == 1


def test_a_silent_server_is_asked_again(fake_server, clock):
    with prefscore.Client(fake_server.address, _clock=clock) as client:
        client.score_pairs([PAIR])
        fake_server.contract_version = 7
        fake_server.restart()
        clock.time_s += 1.1
        with pytest.raises(prefscore.VersionMismatch):
            client.score_pairs([PAIR])
    assert fake_server.calls["ScorePairs"] == 1


def test_a_handshake_of_another_call_does_not_use_up_the_time(fake_server):
    is_over = threading.Event()
    fake_server.script["ListModels"] = [Step(release=is_over)]
    with prefscore.Client(fake_server.address) as client:
        patient = threading.Thread(target=client.models)
        patient.start()
        wait_until(lambda: fake_server.calls["ListModels"] == 1)
        with pytest.raises(prefscore.DeadlineExceeded, match="timeout_s 0.2, 1 attempt"):
            client.score_pairs([PAIR], timeout_s=0.2)
        assert patient.is_alive()
        is_over.set()
        patient.join(30)
        client.score_pairs([PAIR], timeout_s=30)  # the lock is free


def test_many_threads_ask_once(fake_server):
    with prefscore.Client(fake_server.address) as client:
        threads = [threading.Thread(target=client.score_pairs, args=([PAIR],)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert fake_server.calls["ScorePairs"] == 8
    assert fake_server.calls["ListModels"] == 1
