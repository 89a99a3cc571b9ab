# SPDX-License-Identifier: Apache-2.0
"""Objectives from arrays: the same numbers as from objects, for any number of pairs."""
import asyncio

import grpc
import numpy as np
import pytest
from fake_server import FakeServer, Step

import prefscore
from prefscore import KnownLogProbs, LogProbColumns, PairLogProbs

OBJECTIVES = ["sigmoid:beta=0.2,gamma=0.05", "ipo", "0.8*sigmoid+0.2*sft"]
NAMES = ("policy_chosen_logp", "policy_rejected_logp", "reference_chosen_logp", "reference_rejected_logp")


def columns_of(count, seed=0):
    chance = np.random.default_rng(seed)
    tokens = chance.integers(1, 90, (2, count))
    return LogProbColumns(*-chance.gamma(2, 20, (4, count)), *tokens)


def objects_of(columns):
    rows = zip(*(np.asarray(getattr(columns, name)).tolist() for name in LogProbColumns.__dataclass_fields__
                 if getattr(columns, name) is not None), strict=True)  # fmt: skip
    return [PairLogProbs(KnownLogProbs(*row[:4]), num_chosen_tokens=row[4], num_rejected_tokens=row[5]) for row in rows]


def check(found, expected):
    for objective_idx, objective in enumerate(found.objectives):
        for name in prefscore.ObjectiveColumns.__dataclass_fields__:
            one_by_one = [getattr(result.objectives[objective_idx], name) for result in expected]
            if name in ("name", "label"):
                assert {getattr(objective, name)} == set(one_by_one)
            else:
                np.testing.assert_array_equal(getattr(objective, name), one_by_one, err_msg=name)


def test_columns_give_the_numbers_of_objects(demo_client):
    columns = columns_of(2500)
    pairs = objects_of(columns)
    expected = [result for start in range(0, 2500, 1000)
                for result in demo_client.evaluate_objectives(pairs[start : start + 1000], OBJECTIVES)]  # fmt: skip
    found = demo_client.evaluate_objectives(columns, OBJECTIVES)
    assert found.errors == {} and [objective.name for objective in found.objectives] == ["sigmoid", "ipo", "weighted_sum"]
    check(found, expected)


def test_the_async_client_gives_the_same(demo_server, demo_client):
    async def main():
        async with prefscore.AsyncClient(demo_server.address) as client:
            return await client.evaluate_objectives(columns_of(1500))

    found, expected = asyncio.run(main()), demo_client.evaluate_objectives(columns_of(1500))
    np.testing.assert_array_equal(found.objectives[0].loss, expected.objectives[0].loss)


def test_dpos_loss_against_numpy(demo_client):
    columns = columns_of(100)
    [found] = demo_client.evaluate_objectives(columns, "sigmoid:beta=0.3,gamma=0.1").objectives
    margins = columns.policy_chosen_logp - columns.policy_rejected_logp
    logits = 0.3 * margins - 0.1 * (columns.reference_chosen_logp - columns.reference_rejected_logp)
    np.testing.assert_allclose(found.loss, np.logaddexp(0, -logits), rtol=1e-12)
    assert found.loss.dtype == np.float64 and found.loss.shape == (100,)


def test_faulty_pairs_are_nan_and_have_an_error(demo_client):
    columns = columns_of(1500)
    columns.policy_chosen_logp[[3, 1400]] = np.nan, 5.0
    found = demo_client.evaluate_objectives(columns, OBJECTIVES)
    assert list(found.errors) == [3, 1400]
    assert "policy_chosen_logp" in found.errors[1400].message
    for objective in found.objectives:
        assert np.flatnonzero(np.isnan(objective.loss)).tolist() == [3, 1400]
    all_faulty = demo_client.evaluate_objectives(LogProbColumns([1.0, 2.0], [1.0, 2.0]), OBJECTIVES)
    assert len(all_faulty.errors) == 2 and np.isnan(all_faulty.objectives[2].loss).all()


def test_columns_without_a_reference(demo_client):
    found = demo_client.evaluate_objectives(LogProbColumns([-1.0, -2.0], [-3, -1]), "simpo", timeout_s=60)
    assert len(found.errors) == 2  # simpo needs counts of tokens
    assert "num_chosen_tokens" in found.errors[0].message
    with_counts = LogProbColumns([-1.0, -2.0], [-3, -1], num_chosen_tokens=[1, 2], num_rejected_tokens=[3, 4])
    assert demo_client.evaluate_objectives(with_counts, "simpo").errors == {}


def test_no_pairs(demo_client):
    found = demo_client.evaluate_objectives(LogProbColumns([], []))
    assert found.errors == {} and found.objectives[0].loss.shape == (0,)


def test_batch_objectives_are_not_cut(demo_client):
    whole = demo_client.evaluate_objectives(columns_of(1000), "beta_dpo").objectives[0]
    batch = demo_client.evaluate_objectives(objects_of(columns_of(1000)), "beta_dpo")
    assert whole.loss.tolist() == [result.objectives[0].loss for result in batch]
    for objective in ("beta_dpo", "0.5*sigmoid+0.5*aot"):
        with pytest.raises(prefscore.InvalidArgument, match=r"depends on all pairs of its call, .* at most 1024 of the 1025"):
            demo_client.evaluate_objectives(columns_of(1025), ["sigmoid", objective])


def test_calls_stay_below_the_servers_limits():
    with FakeServer(limits={"max_pairs_per_request": 10, "max_message_bytes": 100_000}) as server:
        with prefscore.Client(server.address) as client:
            found = client.evaluate_objectives(columns_of(95), "sigmoid")
            assert found.objectives[0].logit.shape == (95,)
    sizes = sorted(len(request.pairs) for request in server.requests if hasattr(request, "pairs"))
    assert sizes == [5] + [10] * 9
    with FakeServer(limits={"max_message_bytes": 1000}) as server, prefscore.Client(server.address) as client:
        client.evaluate_objectives(columns_of(50), "sigmoid")
    assert all(request.ByteSize() <= 1000 for request in server.requests)


def test_a_call_that_fails_is_tried_again_and_another_ends_all(clock):
    with FakeServer(limits={"max_pairs_per_request": 10}) as server:
        with prefscore.Client(server.address, _clock=clock) as client:
            server.script["EvaluateObjectives"] = [Step(grpc.StatusCode.UNAVAILABLE)] * 3
            expected = client.evaluate_objectives(objects_of(columns_of(10)))
            check(client.evaluate_objectives(columns_of(10)), expected)
            server.script["EvaluateObjectives"] = [Step(), Step(grpc.StatusCode.INTERNAL, "broken")]
            with pytest.raises(prefscore.Internal, match="broken"):
                client.evaluate_objectives(columns_of(1000))
            assert server.calls["EvaluateObjectives"] < 40


@pytest.mark.parametrize(("columns", "message"), [
    (LogProbColumns([-1.0], [-1.0, -2.0]), "the columns have different lengths: policy_chosen_logp 1, policy_rej"),
    (LogProbColumns(None, [-1.0]), "policy_chosen_logp: is missing"),
    (LogProbColumns([[-1.0]], [-1.0]), r"policy_chosen_logp: must have one dimension, not shape \(1, 1\)"),
    (LogProbColumns(["a"], [-1.0]), "policy_chosen_logp: must be numbers, not <U1"),
    (LogProbColumns([-1.0], [-1.0], num_chosen_tokens=[1.5]), "num_chosen_tokens: must be counts, not float64"),
    (LogProbColumns([-1.0], [-1.0], num_chosen_tokens=[-1]), r"num_chosen_tokens: must be counts in \[0, 2\*\*32\)"),
])  # fmt: skip
def test_wrong_columns(fake_client, columns, message):
    with pytest.raises(prefscore.InvalidArgument, match=message):
        fake_client.evaluate_objectives(columns)
