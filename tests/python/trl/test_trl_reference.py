# SPDX-License-Identifier: Apache-2.0
"""The served reference apart from a trainer: batches to ids, waiting, what may not change; on a fake server."""
import logging
import threading
from concurrent.futures import Future

import numpy as np
import pytest
import torch
from fake_server import Code, Step

import prefscore
from prefscore.trl import ReferenceOptions, RemoteReference
from prefscore.trl.batches import prompts_of_batch
from prefscore.trl.look_ahead import look_ahead
from trl.trainer.dpo_trainer import DataCollatorForPreference

EXAMPLES = [
    {"prompt_ids": [1, 2, 3], "chosen_ids": [4, 5], "rejected_ids": [6]},
    {"prompt_ids": [7], "chosen_ids": [8, 9, 10, 11], "rejected_ids": [12, 13]},
]


def batch_of(examples=EXAMPLES, **kwargs):
    return DataCollatorForPreference(pad_token_id=0, **kwargs)(examples)


def asked(**kwargs):
    made = prompts_of_batch(batch_of(**kwargs))
    return [(list(p.prompt), [list(c) for c in p.completions]) for p in made.prompts], made.places


# ---- batches


def test_a_pair_is_one_prompt_with_two_completions():
    prompts, places = asked()
    assert prompts == [([1, 2, 3], [[4, 5], [6]]), ([7], [[8, 9, 10, 11], [12, 13]])]
    assert places == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_truncation_of_the_start_leaves_other_prompts_or_none():
    """With keep_end a row may begin within its completion: its first token is not scored, by TRL neither."""
    prompts, places = asked(max_length=3, truncation_mode="keep_end")
    assert prompts == [([3], [[4, 5]]), ([2, 3], [[6]]), ([9], [[10, 11]]), ([7], [[12, 13]])]
    assert places == [(0, 0), (2, 0), (1, 0), (3, 0)]


def test_a_row_without_tokens_to_score_is_not_asked_for():
    prompts, places = asked(max_length=1, truncation_mode="keep_end")
    assert prompts == [] and places == [None] * 4


def test_a_batch_of_another_collator_is_refused():
    with pytest.raises(prefscore.InvalidArgument, match="no completion_mask; it has input_ids, attention_mask"):
        prompts_of_batch({key: value for key, value in batch_of().items() if key != "completion_mask"})
    with pytest.raises(prefscore.InvalidArgument, match="the batch has pixel_values, which the policy would see"):
        prompts_of_batch({**batch_of(), "pixel_values": torch.zeros(1)})
    holed = batch_of()
    holed["completion_mask"][1, 2] = 0
    with pytest.raises(prefscore.InvalidArgument, match="completion_mask of row 1"):
        prompts_of_batch(holed)


# ---- the server's answers


@pytest.fixture
def reference(fake_client):
    return RemoteReference(fake_client)


def test_log_probs_of_rows(reference, fake_server):
    assert reference.score(batch_of()).tolist() == [-1.0, -2.0, -0.5, -1.0]  # half of a token each
    assert reference.score(batch_of(max_length=1, truncation_mode="keep_end")).tolist() == [0.0] * 4
    (request,) = [r for r in fake_server.requests if hasattr(r, "prompts")]
    assert list(request.models) == ["reference"] and request.profile == "ids"


def test_a_large_batch_is_asked_for_in_parts(fake_server):
    fake_server.limits = {"max_pairs_per_request": 3}
    scored = RemoteReference(fake_server.address).score(batch_of(EXAMPLES * 4))
    assert scored.tolist() == [-1.0, -2.0] * 4 + [-0.5, -1.0] * 4
    assert fake_server.calls["ScoreCompletions"] == 3


def test_a_server_that_is_gone_is_waited_for(fake_server, caplog):
    with caplog.at_level(logging.WARNING, "prefscore.trl"):
        client = prefscore.Client(fake_server.address, retry=prefscore.RetryPolicy(max_attempts=1))
        reference = RemoteReference(client)
        fake_server.kill()
        timer = threading.Timer(0.5, fake_server.start)
        timer.start()
        assert reference.score(batch_of())[0] == -1.0
        timer.join()
    assert "the run waits for the reference server" in caplog.text


def test_waiting_ends_after_the_longest_outage(fake_server, clock):
    client = prefscore.Client(fake_server.address, retry=prefscore.RetryPolicy(max_attempts=1))
    reference = RemoteReference(client, ReferenceOptions(max_outage_s=90), _clock=clock)
    fake_server.script["ScoreCompletions"] = [Step(Code.UNAVAILABLE)] * 1000
    began_at = clock.now()
    with pytest.raises(prefscore.Unavailable):
        reference.score(batch_of())
    assert 60 < clock.now() - began_at <= 90


def test_waiting_ends_when_the_run_does(fake_client, fake_server):
    reference = RemoteReference(fake_client)
    fake_server.script["ScoreCompletions"] = [Step(Code.UNAVAILABLE)] * 1000
    stopped = threading.Event()
    future = reference.submit(batch_of(), None, stopped)
    stopped.set()
    with pytest.raises(prefscore.Cancelled):
        future.result(timeout=30)


def test_a_changed_reference_is_an_error_and_other_arithmetic_a_warning(reference, fake_server, caplog, monkeypatch):
    reference.identity = type(reference.identity)(**{**fields(reference.identity), "numerics_mode": "cpu-old"})
    with caplog.at_level(logging.WARNING, "prefscore.trl"):
        reference.score(batch_of())
        reference.score(batch_of())
    assert caplog.text.count("is now computed with fake-1 instead of cpu-old") == 1
    fake_server.digests["reference"] = "x" * 64
    with pytest.raises(prefscore.FailedPrecondition, match=f"{'r' * 64}.*now has {'x' * 64}"):
        reference.score(batch_of())


def fields(identity):
    return {name: getattr(identity, name) for name in type(identity).__slots__}


def test_a_row_that_cannot_be_scored_is_told(stories_server):
    reference = RemoteReference(stories_server.address)
    with pytest.raises(prefscore.InvalidArgument, match="prompt of 2 tokens with .* 3000, 1 tokens.*max_length"):
        reference.score(batch_of([{"prompt_ids": [1, 2], "chosen_ids": [5] * 3000, "rejected_ids": [5]}]))
    with pytest.raises(prefscore.InvalidArgument, match="token id 512 .* outside the vocabulary of model 'reference'"):
        reference.score(batch_of([{"prompt_ids": [1, 2], "chosen_ids": [512], "rejected_ids": [5]}]))


def test_which_model(fake_client):
    assert RemoteReference(fake_client, ReferenceOptions(model="policy")).identity.digest == "p" * 64
    with pytest.raises(prefscore.NotFound, match="no model 'other'. It hosts: 'policy', 'reference'"):
        RemoteReference(fake_client, ReferenceOptions(model="other"))
    with pytest.raises(prefscore.FailedPrecondition, match="digest r+, and expected_digest is abc"):
        RemoteReference(fake_client, ReferenceOptions(expected_digest="abc"))


def test_a_server_of_another_contract_is_refused(fake_server):
    fake_server.contract_version = 99
    with pytest.raises(prefscore.VersionMismatch, match="speaks contract version 99"):
        RemoteReference(fake_server.address)


@pytest.mark.parametrize("name, value", [("look_ahead", 0), ("max_outage_s", -1.0)])
def test_wrong_options(name, value):
    with pytest.raises(prefscore.InvalidArgument, match=f"ReferenceOptions.{name} is {value}"):
        ReferenceOptions(**{name: value})


# ---- looking ahead


class Asked:
    """Answers each batch at once, with minus its number, or with `errors[number]`."""

    def __init__(self, errors=()):
        self.errors, self.count, self.stopped = dict(errors), 0, None

    def __call__(self, batch, stopped):
        future, self.stopped = Future(), stopped
        if self.count in self.errors:
            future.set_exception(self.errors[self.count])
        else:
            future.set_result(np.full(4, -float(self.count)))
        self.count += 1
        return future


def looking_ahead(ask, num_batches, on_wait=lambda wait_s: None):
    return look_ahead([{"input_ids": torch.full((4, 1), idx)} for idx in range(6)], ask, num_batches, on_wait)


def test_batches_come_in_order_with_so_many_under_way():
    ask, waits = Asked(), []
    for idx, batch in enumerate(looking_ahead(ask, 3, waits.append)):
        assert ask.count == min(idx + 4, 6)
        assert batch["input_ids"][0] == idx
        assert batch["ref_chosen_logps"].tolist() == batch["ref_rejected_logps"].tolist() == [-float(idx)] * 2
        assert batch["ref_chosen_logps"].dtype == torch.float32
    assert idx == 5 and len(waits) == 6 and ask.stopped.is_set()


def test_an_error_is_raised_at_its_batch():
    ask = Asked({1: prefscore.FailedPrecondition("changed")})
    iterator = looking_ahead(ask, 2)
    assert next(iterator)["ref_rejected_logps"].tolist() == [0.0, 0.0]
    with pytest.raises(prefscore.FailedPrecondition, match="changed"):
        next(iterator)
    assert ask.stopped.is_set()


def test_closing_lets_go_of_what_is_under_way():
    ask = Asked()
    iterator = looking_ahead(ask, 3)
    next(iterator)
    assert not ask.stopped.is_set()
    iterator.close()
    assert ask.stopped.is_set()
