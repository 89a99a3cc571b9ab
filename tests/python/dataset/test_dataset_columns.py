# SPDX-License-Identifier: Apache-2.0
"""Which columns are read, and which are written."""

import json

import datasets
import numpy as np
import pandas as pd
import pytest
from fake_server import FakeServer

import prefscore
from prefscore.dataset.columns import objective_text


def sent(fake_server, rows, columns=None, **arguments):
    """What the server gets of these rows."""
    frame = pd.DataFrame(rows, columns=columns)
    with prefscore.Client(fake_server.address) as client:
        scored = prefscore.score_dataset(frame, client, **arguments)
    assert scored["prefscore_error"].isna().all(), scored["prefscore_error"]
    return fake_server.pairs


def test_prompt_is_explicit_or_implicit(fake_server):
    pairs = sent(fake_server, [{"prompt": "Q", "chosen": "a", "rejected": "b"}])
    pairs = sent(fake_server, [{"chosen": "Qa", "rejected": "Qb"}])
    assert pairs[0].prompt.text == "Q" and pairs[0].chosen.text == "a" and pairs[0].rejected.text == "b"
    assert not pairs[1].HasField("prompt") and pairs[1].chosen.text == "Qa"


def test_messages_tools_and_template_arguments(fake_server):
    user, yes, no = (
        {"role": role, "content": text} for role, text in (("user", "?"), ("assistant", "y"), ("assistant", "n"))
    )
    row = {"prompt": [user], "chosen": [yes], "rejected": [no], "tools": '[{"name": "f"}]',
           "chat_template_kwargs": {"enable_thinking": False}}  # fmt: skip
    # as text, and as Parquet's readers bring it: arrays of objects
    pairs = sent(fake_server, [row, {**row, "chosen": np.array([yes], dtype=object), "tools": None}])
    assert pairs[0].tools_json == '[{"name": "f"}]' and pairs[1].tools_json == ""
    assert pairs[0].chat_template_kwargs_json == '{"enable_thinking": false}'
    assert [message.content for message in pairs[1].chosen.conversation.messages] == ["y"]


def test_conversations_with_the_prompt_as_text_too(fake_server):
    user, yes, no = (
        {"role": role, "content": text} for role, text in (("user", "?"), ("assistant", "y"), ("assistant", "n"))
    )
    [pair] = sent(fake_server, [{"prompt": "?", "chosen": [user, yes], "rejected": [user, no]}])
    assert not pair.HasField("prompt")


def test_tools_of_texts_are_ignored_as_in_trl(fake_server):
    [pair] = sent(fake_server, [{"prompt": "Q", "chosen": "a", "rejected": "b", "tools": "[]"}])
    assert pair.tools_json == ""


def test_ids_go_first(fake_server):
    row = {
        "prompt": "Q",
        "chosen": "a",
        "rejected": "b",
        "prompt_ids": [1, 2],
        "chosen_ids": [3],
        "rejected_ids": np.array([4]),
    }
    [pair] = sent(fake_server, [row])
    assert list(pair.prompt.token_ids.ids) == [1, 2] and list(pair.rejected.token_ids.ids) == [4]


def test_score_gap_and_null(fake_server):
    pairs = sent(fake_server, [{"chosen": "a", "rejected": "b", "score_gap": 1.5}, {"chosen": "a", "rejected": "b"}])
    assert pairs[0].score_gap == 1.5 and not pairs[1].HasField("score_gap")


@pytest.mark.parametrize(
    "columns, missing",
    [
        (["prompt", "chosen", "text"], "no column 'rejected'; it has: 'prompt', 'chosen', 'text'"),
        (["question"], "no column 'chosen' and no column 'rejected'; it has: 'question'"),
        (["chosen_ids", "rejected_ids"], "no column 'prompt_ids'; it has"),
        ([], "it has: none"),
    ],
)
@pytest.mark.parametrize("kind", ["frame", "dataset", "iterable", "unknown"])
def test_missing_columns(fake_server, fake_client, columns, missing, kind):
    dataset = datasets.Dataset.from_dict({name: ["x"] for name in columns})
    with pytest.raises(prefscore.MissingColumns, match=missing):
        if kind == "frame":
            prefscore.score_dataset(dataset.to_pandas(), fake_client)
        elif kind == "dataset":
            prefscore.score_dataset(dataset, fake_client)
        elif kind == "iterable" and columns:
            prefscore.score_dataset(dataset.to_iterable_dataset(), fake_client)
        else:
            unknown = datasets.IterableDataset.from_generator(lambda: iter([{name: "x" for name in columns}]))
            list(prefscore.score_dataset(unknown, fake_client))
    assert fake_server.pairs == []


def test_objectives_name_their_columns(fake_client, rows):
    objectives = ["sigmoid:beta=0.1", prefscore.Objective("ipo", beta=0.2, gamma=0.1)]
    options = prefscore.ScoringOptions(objectives=objectives)
    scored = prefscore.score_dataset(pd.DataFrame(rows), fake_client, options, columns=["loss", "num_chosen_tokens"])
    new = [name for name in scored.columns if name not in rows[0]]
    assert new == ["sigmoid:beta=0.1/loss", "ipo:beta=0.2,gamma=0.1/loss", "num_chosen_tokens", "prefscore_error_code",
                   "prefscore_error"]  # fmt: skip
    direct = fake_client.score_pairs(
        [prefscore.Pair(row["chosen"], row["rejected"], row["prompt"]) for row in rows], options
    )
    assert list(scored["ipo:beta=0.2,gamma=0.1/loss"]) == [result.objectives[1].loss for result in direct]


@pytest.mark.parametrize(
    "text", ["sigmoid", "sigmoid:beta=0.1", "ipo:beta=0.2,gamma=0.0,tau=0.5,x=y", "0.5*sigmoid+2.0*sft:beta=0.3"]
)
def test_objectives_as_text(text):
    assert objective_text(prefscore.Objective.parse(text)) == text
    assert objective_text(text) == text


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"columns": ["losses"]}, "no column 'losses'; there are: .*loss"),
        ({"columns": "loss"}, "must be a list of names"),
        ({"columns": ["loss", "loss"]}, "twice: sigmoid/loss"),
        ({"existing": "replace"}, "existing is 'replace'; it must be one of: error, keep, overwrite"),
        ({"on_error": "skip"}, "on_error is 'skip'"),
        ({"options": {}}, "options: must be ScoringOptions, not dict"),
        (
            {"options": prefscore.ScoringOptions(objectives=(name for name in ["ipo"]))},
            "objectives: must be a list, not generator",
        ),
    ],
)
def test_wrong_arguments(fake_client, rows, arguments, message):
    with pytest.raises(prefscore.InvalidArgument, match=message):
        prefscore.score_dataset(pd.DataFrame(rows), fake_client, **arguments)


def test_existing_columns_are_replaced_only_if_asked(fake_client, rows, expected):
    frame = pd.DataFrame(rows)
    frame["ref_chosen_logps"] = [-3.0, None] + [-5.0] * 23
    with pytest.raises(
        prefscore.InvalidArgument, match='already: ref_chosen_logps.*existing="overwrite", or existing=.keep'
    ):
        prefscore.score_dataset(frame, fake_client)

    kept = prefscore.score_dataset(frame, fake_client, existing="keep")
    assert list(kept["ref_chosen_logps"]) == [-3.0, expected["ref_chosen_logps"][1]] + [-5.0] * 23
    assert kept["reference_margin"][0] == -3.0 - expected["ref_rejected_logps"][0]

    replaced = prefscore.score_dataset(frame, fake_client, existing="overwrite")
    assert list(replaced["ref_chosen_logps"]) == expected["ref_chosen_logps"]
    assert list(replaced.columns).count("ref_chosen_logps") == 1

    dataset = prefscore.score_dataset(datasets.Dataset.from_pandas(frame), fake_client, existing="overwrite")
    assert list(dataset["ref_chosen_logps"]) == expected["ref_chosen_logps"]


def test_kept_log_probs_are_of_the_models_that_score(fake_server, rows, expected):
    """Of the policy before, or of a reference before, none is kept."""
    before = prefscore.score_dataset(pd.DataFrame(rows), fake_server.address)
    for name in ("policy_chosen_logp", "ref_chosen_logps"):
        before[name] -= 1000  # what only the earlier models gave
    again = prefscore.score_dataset(before, fake_server.address, existing="keep")
    assert list(again["policy_chosen_logp"]) == list(before["policy_chosen_logp"])
    assert set(again["policy_digest"]) == {"p" * 64}  # although no policy ran

    with FakeServer(digests={"policy": "n" * 64, "reference": "r" * 64}) as other:
        scored = prefscore.score_dataset(again, other.address, existing="keep")
    assert list(scored["policy_chosen_logp"]) == expected["policy_chosen_logp"]
    assert list(scored["ref_chosen_logps"]) == list(before["ref_chosen_logps"])
    assert set(scored["policy_digest"]) == {"n" * 64} and set(scored["reference_digest"]) == {"r" * 64}


def test_token_ids_are_read_only_where_they_are_not_to_be_overwritten(fake_server):
    """They may be another tokenizer's."""
    row = {"prompt": "Q", "chosen": "a", "rejected": "b", "prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3]}
    for columns in (["prompt_ids", "chosen_ids", "rejected_ids"], ["loss"]):
        prefscore.score_dataset(pd.DataFrame([row]), fake_server.address, existing="overwrite", columns=columns)
    pairs = fake_server.pairs
    assert pairs[0].chosen.text == "a" and list(pairs[1].chosen.token_ids.ids) == [2]


def test_arrays_within_messages(fake_server):
    """As pandas reads them from Parquet."""
    call = {"function": {"name": "f", "arguments": np.array(["x"], dtype=object)}}
    chosen = {"role": "assistant", "content": "", "tool_calls": np.array([call], dtype=object)}
    [pair] = sent(fake_server, [{"chosen": [chosen], "rejected": [{"role": "assistant", "content": "n"}]}])
    function = json.loads(pair.chosen.conversation.messages[0].json)["tool_calls"][0]["function"]
    assert function == {"name": "f", "arguments": ["x"]}


def test_columns_that_are_not_written_may_exist_and_count_for_nothing(fake_server, fake_client, rows):
    frame = pd.DataFrame(rows).assign(reference_chosen_logp=-99.0)
    scored = prefscore.score_dataset(frame, fake_client, columns=["policy_margin"])
    assert list(scored["reference_chosen_logp"]) == [-99.0] * 25
    assert not any(pair.HasField("known") for pair in fake_server.pairs)


def test_columns_ask_for_what_they_need(fake_server, fake_client, rows, monkeypatch):
    asked = []
    stream_pairs = prefscore.Client.stream_pairs

    def spy(self, pairs, options, **more):
        asked.append(options)
        return stream_pairs(self, pairs, options, **more)

    monkeypatch.setattr(prefscore.Client, "stream_pairs", spy)
    frame = pd.DataFrame(rows)
    prefscore.score_dataset(frame, fake_client, columns=["prompt_ids"])
    prefscore.score_dataset(frame, fake_client, columns=["policy_chosen_token_logps"])
    prefscore.score_dataset(frame, fake_client, prefscore.ScoringOptions(return_token_ids=True), columns=["loss"])
    assert [(options.return_token_ids, options.return_token_logps) for options in asked] == [
        (True, False), (False, True), (False, False)]  # fmt: skip
    assert {options.expected_policy_digest for options in asked} == {"p" * 64}
