# SPDX-License-Identifier: Apache-2.0
"""Which calls are made of requests, and how answers find back."""
import threading

import pytest

import prefscore
from prefscore import CompletionResult, Limits, ModelLogProb, PairError, PromptResult
from prefscore.lm_eval import calls
from prefscore.lm_eval.calls import Answer, TokenRequest, answer_all

NO_LIMITS = dict.fromkeys(Limits.__dataclass_fields__, 1 << 30)


class Scorer:
    """log p = -100 * first id of the context - first id of the continuation; greedy where the latter is even."""

    def __init__(self):
        self.calls = []
        self.lock = threading.Lock()

    def __call__(self, prompts):
        with self.lock:
            self.calls.append(prompts)
        return [
            PromptResult("", index, None, tuple(self.completion(prompt.prompt, ids) for ids in prompt.completions), ())
            for index, prompt in enumerate(prompts)
        ]

    @staticmethod
    def completion(context, ids):
        logp = ModelLogProb("policy", -100.0 * context[0] - ids[0], None, False, ids[0] % 2 == 0)
        return CompletionResult(len(context), len(ids), (logp,), False, 0, 0)


def expected(requests):
    return [Answer(-100.0 * context[0] - ids[0], ids[0] % 2 == 0) for context, ids in requests]


def answers(requests, score, max_calls=3, **limits):
    found = dict(answer_all(requests, score, Limits(**{**NO_LIMITS, **limits}), max_calls))
    assert sorted(found) == list(range(len(requests)))
    return [found[place] for place in range(len(requests))]


def requests_of(num_contexts, num_continuations):
    """Continuations of one context apart from each other, as a harness may bring them."""
    return [TokenRequest((context, 7), (ids, 8)) for ids in range(num_continuations) for context in range(num_contexts)]


def test_a_context_is_sent_once_with_all_its_continuations():
    score = Scorer()
    requests = [*requests_of(5, 3), TokenRequest((0, 7), (1, 8))]  # the last one twice
    assert answers(requests, score) == expected(requests)
    [call] = score.calls
    assert [prompt.prompt for prompt in call] == [(context, 7) for context in range(5)]
    assert [len(prompt.completions) for prompt in call] == [4, 3, 3, 3, 3]


def test_the_servers_limits_are_kept():
    score = Scorer()
    requests = requests_of(5, 7)
    assert answers(requests, score, max_pairs_per_request=4, max_completions_per_prompt=3) == expected(requests)
    assert [len(call) for call in score.calls] and max(map(len, score.calls)) == 4
    assert sum(map(len, score.calls)) == 5 * 3
    assert max(len(prompt.completions) for call in score.calls for prompt in call) == 3


def test_calls_are_bounded_in_prompts_and_tokens(monkeypatch):
    score = Scorer()
    requests = requests_of(200, 1)
    assert answers(requests, score) == expected(requests)
    assert sorted(map(len, score.calls)) == [8, 64, 64, 64]
    monkeypatch.setattr(calls, "_MAX_TOKENS_PER_CALL", 10)  # a prompt has 4
    score = Scorer()
    long = TokenRequest((1,) * 50, (2,))  # a call of its own
    assert answers([*requests[:4], long, requests[4]], score) == expected([*requests[:4], long, requests[4]])
    assert sorted(map(len, score.calls)) == [1, 1, 2, 2]


def test_long_continuations_of_one_context_are_not_one_call(monkeypatch):
    """As windows of long texts are: each goes after the same prefix token."""
    monkeypatch.setattr(calls, "_MAX_TOKENS_PER_CALL", 10)
    score = Scorer()
    requests = [TokenRequest((1,), (ids,) * 4) for ids in range(7)]
    assert answers(requests, score) == expected(requests)
    assert sorted(len(prompt.completions) for call in score.calls for prompt in call) == [1, 2, 2, 2]
    assert all(len(call) == 1 for call in score.calls)


def test_several_calls_are_under_way_and_no_more():
    score, meeting = Scorer(), threading.Barrier(3, timeout=30)
    under_way, most = 0, 0

    def slow(prompts):
        nonlocal under_way, most
        with score.lock:
            under_way += 1
            most = max(most, under_way)
        meeting.wait()  # breaks where fewer than three come
        with score.lock:
            under_way -= 1
        return score(prompts)

    requests = requests_of(12, 1)
    assert answers(requests, slow, max_calls=3, max_pairs_per_request=2) == expected(requests)
    assert most == 3


def test_an_error_ends_all_and_leaves_no_call_behind():
    score = Scorer()

    def failing(prompts):
        if prompts[0].prompt[0] == 2:
            raise prefscore.Unavailable("gone")
        return score(prompts)

    with pytest.raises(prefscore.Unavailable, match="gone"):
        answers(requests_of(1000, 1), failing, max_calls=1, max_pairs_per_request=1)
    assert len(score.calls) < 1000
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefscore-lm-eval")]


def test_a_prompt_at_fault_is_named():
    fault = PromptResult("", 0, PairError("INVALID_ARGUMENT", "prompts[1].prompt[0]: is 600"), (), ())
    with pytest.raises(prefscore.PrefscoreError, match=r"request 1: prompts\[1\].prompt\[0\]: is 600") as caught:
        answers(requests_of(2, 1), lambda prompts: [Scorer()(prompts)[0], fault])
    assert caught.value.code == "INVALID_ARGUMENT"


def test_a_server_without_greedy_matches_is_refused():
    def old(prompts):
        logp = ModelLogProb("policy", -1.0, None, False)
        return [PromptResult("", 0, None, (CompletionResult(1, 1, (logp,), False, 0, 0),), ())]

    with pytest.raises(prefscore.PrefscoreError, match="older than this client"):
        answers([TokenRequest((1,), (2,))], old)


def test_no_requests_make_no_call():
    score = Scorer()
    assert answers([], score) == []
    assert score.calls == []
