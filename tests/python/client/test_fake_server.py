# SPDX-License-Identifier: Apache-2.0
"""The fake server answers as the real one does where tests rely on it."""
import grpc
import pytest
from fake_server import FakeServer, Step, retry_info

import prefscore

PAIRS = [prefscore.Pair("abc", "a", "p", id="x"), prefscore.Pair("ab", "abcd", "p", id="y")]


def test_fake_numbers_are_those_of_its_documentation(fake_client):
    first, second = fake_client.score_pairs(PAIRS)
    assert (first.policy_chosen_logp, first.policy_rejected_logp) == (-3, -1)
    assert (first.reference_chosen_logp, first.reference_rejected_logp) == (-1.5, -0.5)
    assert first.policy_margin == -2 and second.policy_margin == 2
    assert (first.id, first.index, second.id, second.index) == ("x", 0, "y", 1)


def test_fake_and_real_fill_the_same_fields(fake_client, demo_client):
    fake, real = fake_client.score_pairs(PAIRS)[0], demo_client.score_pairs(PAIRS)[0]
    for name in prefscore.PairResult.__dataclass_fields__:
        if name not in ("tokenization", "cached"):
            assert type(getattr(fake, name)) is type(getattr(real, name)), name


def test_steps_run_in_turn(fake_server, fake_client, clock):
    client = prefscore.Client(fake_server.address, _clock=clock)
    fake_server.script["ScorePairs"] = [
        Step(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", [retry_info(3)]), Step(grpc.StatusCode.NOT_FOUND, "no model")
    ]  # fmt: skip
    with client, pytest.raises(prefscore.NotFound, match="no model"):
        client.score_pairs(PAIRS)
    assert fake_server.calls["ScorePairs"] == 2
    assert clock.sleeps == [pytest.approx(3 * 1.1)]


def test_bad_ids_fail_alone():
    with FakeServer(bad_ids=frozenset("y")) as server, prefscore.Client(server.address) as client:
        good, bad = client.score_pairs(PAIRS)
    assert good.error is None
    assert bad.error.code == "INVALID_ARGUMENT" and bad.error.field_violations[0].field == "pair.chosen"


def test_a_restarted_fake_keeps_its_port(fake_server, fake_client):
    port = fake_server.port
    assert len(fake_client.score_pairs(PAIRS)) == 2
    fake_server.restart()
    assert fake_server.port == port
    assert len(fake_client.score_pairs(PAIRS)) == 2
