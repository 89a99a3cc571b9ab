# SPDX-License-Identifier: Apache-2.0
"""Calls with one answer: what goes over, what comes back, and when they are tried again."""
import grpc
import numpy as np
import pytest
from fake_server import FakeServer, Step, retry_info

import prefscore
from prefscore import Pair, PairLogProbs, PromptCompletions

Code = grpc.StatusCode
PAIR = Pair("abc", "a", "p")


def pairs_of(rows):
    return [Pair(row["chosen"], row["rejected"], row["prompt"], id=row["id"]) for row in rows]


def test_completions_have_the_bits_of_pairs(demo_client, demo_pairs):
    pairs = pairs_of(demo_pairs[:12])
    prompts = [PromptCompletions(pair.prompt, [pair.rejected, pair.chosen], id=pair.id) for pair in pairs]
    by_pair = demo_client.score_pairs(pairs)
    by_prompt = demo_client.score_completions(prompts, return_token_logps=True)
    assert [result.index for result in by_prompt] == list(range(12))
    for pair, prompt in zip(by_pair, by_prompt, strict=True):
        assert prompt.id == pair.id and prompt.error is None
        assert [model.name for model in prompt.models] == ["policy", "reference"]
        assert [model.digest for model in prompt.models] == [pair.policy_digest, pair.reference_digest]
        rejected, chosen = prompt.completions
        assert [logp.logp for logp in chosen.logps] == [pair.policy_chosen_logp, pair.reference_chosen_logp]
        assert [logp.logp for logp in rejected.logps] == [pair.policy_rejected_logp, pair.reference_rejected_logp]
        assert chosen.num_completion_tokens == pair.num_chosen_tokens == len(chosen.logps[0].token_logps)
        assert chosen.logps[0].token_logps.dtype == np.float32


def test_completions_under_named_models(demo_client):
    [result] = demo_client.score_completions([PromptCompletions("Is it?", [" Yes."])], ["reference"])
    assert [logp.model for logp in result.completions[0].logps] == ["reference"]
    assert result.completions[0].logps[0].token_logps is None


@pytest.mark.parametrize("is_asked", [False, True])
def test_greedy_matches_of_completions(fake_client, is_asked):
    prompts = [PromptCompletions("p", ["a", "abc"])]
    [result] = fake_client.score_completions(prompts, ["policy"], return_greedy_match=is_asked)
    found = [completion.logps[0].is_greedy_match for completion in result.completions]
    assert found == ([True, False] if is_asked else [None, None])


def test_a_faulty_prompt_fails_alone(demo_client):
    good = PromptCompletions("Is it?", [" Yes."])
    results = demo_client.score_completions([good, PromptCompletions([10**9], [[1]]), good])
    assert [result.error is None for result in results] == [True, False, True]
    assert results[1].error.code == "INVALID_ARGUMENT" and results[1].completions == ()
    assert "1000000000" in results[1].error.message


@pytest.mark.parametrize(("arguments", "message"), [
    (dict(prompts=[PAIR]), r"prompts\[0\]: must be PromptCompletions, not Pair"),
    (dict(prompts=[PromptCompletions("p", "abc")]), r"prompts\[0\].completions: must be a list of contents, not str"),
    (dict(prompts=[PromptCompletions("p", ["a", None])]), r"prompts\[0\].completions\[1\]: must be a str, .*NoneType"),
    (dict(prompts=[], models="policy"), r"models: must be a list of names, not a str; write \['policy'\]"),
    (dict(prompts=[], max_length=-1), "max_length: must be a number of tokens >= 0, not -1"),
    (dict(prompts=[], truncation_policy="left"), "truncation_policy: is 'left'; it must be one of: error, keep_start"),
    (dict(prompts=[], cache_mode="no"), "cache_mode: is 'no'; it must be one of: read_write, bypass"),
])  # fmt: skip
def test_wrong_arguments_of_score_completions(fake_server, fake_client, arguments, message):
    with pytest.raises(prefscore.InvalidArgument, match=message):
        fake_client.score_completions(**arguments)
    assert fake_server.calls["ScoreCompletions"] == 0


def test_objectives_from_log_probs_are_those_of_scored_pairs(demo_client, demo_pairs):
    objectives = ["sigmoid:beta=0.2,gamma=0.05", "0.8*sigmoid+0.2*sft", "ipo"]
    scored = demo_client.score_pairs(pairs_of(demo_pairs[:8]), prefscore.ScoringOptions(objectives=objectives))
    known = [
        PairLogProbs(
            prefscore.KnownLogProbs(
                one.policy_chosen_logp, one.policy_rejected_logp, one.reference_chosen_logp, one.reference_rejected_logp
            ),
            num_chosen_tokens=one.num_chosen_tokens,
            num_rejected_tokens=one.num_rejected_tokens,
        )
        for one in scored
    ]
    evaluated = demo_client.evaluate_objectives(known, objectives)
    assert [one.objectives for one in evaluated] == [one.objectives for one in scored]
    assert [objective.name for objective in scored[0].objectives] == ["sigmoid", "weighted_sum", "ipo"]


def test_batch_objectives_tell_their_states(demo_client, demo_pairs):
    options = prefscore.ScoringOptions(objectives=["sigmoid", "beta_dpo"])
    scored = demo_client.score_pairs(pairs_of(demo_pairs[:8]), options)
    assert [bool(state) for state in scored.batch_states] == [False, True]
    assert "beta_used" in scored.batch_states[1]


def test_what_a_server_hosts(demo_client):
    info = demo_client.models()
    assert [(model.name, model.role) for model in info.models] == [("policy", "policy"), ("reference", "reference")]
    assert info.limits.max_pairs_per_request == 1024
    names = {objective.name: objective for objective in demo_client.objectives()}
    assert "reference" in names["sigmoid"].needs and names["beta_dpo"].is_batch
    assert demo_client.health() == "serving"


def test_health_of_a_server_that_stops(fake_server, fake_client):
    from grpc_health.v1 import health_pb2

    fake_server.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert fake_client.health() == "not_serving"
    fake_server.kill()
    with pytest.raises(prefscore.Unavailable, match=fake_server.address):
        fake_client.health()


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.CANCELLED])
def test_a_server_that_stops_is_asked_again(fake_server, clock, code):
    fake_server.script["ScorePairs"] = [Step(code), Step(code)]
    with prefscore.Client(fake_server.address, _clock=clock) as client:
        assert client.score_pairs([PAIR])[0].policy_margin == -2
    assert clock.sleeps == [pytest.approx(0.2), pytest.approx(0.4)]
    # It may be another server now, so it is asked for its version again.
    assert fake_server.calls["ListModels"] == 3


def test_attempts_end(fake_server, clock):
    fake_server.script["ScorePairs"] = [Step(Code.UNAVAILABLE, "stopping")] * 9
    with prefscore.Client(fake_server.address, _clock=clock) as client, pytest.raises(prefscore.Unavailable) as caught:
        client.score_pairs([PAIR])
    assert fake_server.calls["ScorePairs"] == 5
    assert "5 attempts" in str(caught.value) and fake_server.address in str(caught.value)
    assert "stopping" in str(caught.value)


@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED, Code.INTERNAL, Code.UNAUTHENTICATED])
def test_other_errors_are_final(fake_server, clock, code):
    fake_server.script["ScorePairs"] = [Step(code, "no")]
    with prefscore.Client(fake_server.address, _clock=clock) as client, pytest.raises(prefscore.PrefscoreError) as it:
        client.score_pairs([PAIR])
    assert it.value.code == code.name and fake_server.calls["ScorePairs"] == 1 and clock.sleeps == []


def test_another_server_takes_over(clock):
    with FakeServer() as one, FakeServer() as two:
        with prefscore.Client([one.address, two.address], _clock=clock) as client:
            client.score_pairs([PAIR]), client.score_pairs([PAIR])
            assert one.calls["ScorePairs"] == two.calls["ScorePairs"] == 1
            one.kill()
            for _ in range(4):
                assert client.score_pairs([PAIR])[0].policy_margin == -2
            assert two.calls["ScorePairs"] == 5
    assert sum(clock.sleeps) == 0  # nobody waited: the other one was free


def test_a_full_server_is_left_alone_for_as_long_as_it_says(clock):
    with FakeServer() as one, FakeServer() as two:
        one.script["ScorePairs"] = [Step(Code.RESOURCE_EXHAUSTED, "full", [retry_info(5)])]
        with prefscore.Client([one.address, two.address], _clock=clock) as client:
            for _ in range(6):
                client.score_pairs([PAIR])
            assert (one.calls["ScorePairs"], two.calls["ScorePairs"]) == (1, 6)
            clock.time_s += 6
            for _ in range(4):
                client.score_pairs([PAIR])
            assert one.calls["ScorePairs"] == 3


def test_the_deadline_holds_for_all_attempts_together(fake_server):
    fake_server.script["ScorePairs"] = [Step(release=None, delay_s=2)]
    with prefscore.Client(fake_server.address, timeout_s=60) as client:
        with pytest.raises(prefscore.DeadlineExceeded, match="timeout_s 0.3"):
            client.score_pairs([PAIR], timeout_s=0.3)


def test_no_attempt_starts_after_the_deadline(fake_server, clock):
    fake_server.script["ScorePairs"] = [Step(Code.UNAVAILABLE)] * 9
    with prefscore.Client(fake_server.address, _clock=clock, timeout_s=0.5) as client:
        with pytest.raises(prefscore.Unavailable, match="timeout_s 0.5"):
            client.score_pairs([PAIR])
    assert fake_server.calls["ScorePairs"] == 2
