# SPDX-License-Identifier: Apache-2.0
"""A real server on real models and pairs: the client's own numbers, and TRL's."""

import dataclasses

import datasets
import numpy as np
import pytest

import prefscore

NUM_ROWS = 60


@pytest.fixture(scope="module")
def dataset(stories_rows):
    return datasets.Dataset.from_list(stories_rows[:NUM_ROWS]).remove_columns("id")


@pytest.fixture(scope="module")
def client(stories_server):
    with prefscore.Client(stories_server.address, timeout_s=120) as client:
        yield client


def test_numbers_are_those_of_the_client(client, dataset):
    options = prefscore.ScoringOptions(objectives=["sigmoid:beta=0.1,gamma=0.05", "ipo"], return_token_ids=True,
                                       return_token_logps=True)  # fmt: skip
    columns = ["policy_chosen_logp", "reference_rejected_logp", "chosen_logratio", "policy_margin", "reference_margin",
               "num_prompt_tokens", "num_chosen_tokens", "loss", "chosen_reward", "d_loss_d_gamma", "numerics_mode",
               "chosen_ids", "reference_chosen_token_logps", "chosen_boundary_merged"]  # fmt: skip
    scored = prefscore.score_dataset(dataset, client, options, columns=columns)
    direct = client.score_pairs(
        [prefscore.Pair(row["chosen"], row["rejected"], row["prompt"]) for row in dataset], options
    )
    for row, result in zip(scored, direct, strict=True):
        for name in [name for name in columns if hasattr(result, name)]:
            assert row[name] == getattr(result, name), name
        for objective, text in zip(result.objectives, ("sigmoid:beta=0.1,gamma=0.05", "ipo"), strict=True):
            for name in ("loss", "chosen_reward", "d_loss_d_gamma"):
                assert row[f"{text}/{name}"] == getattr(objective, name)
        assert row["chosen_ids"] == result.token_ids.chosen.tolist()
        assert row["reference_chosen_token_logps"] == result.token_logps.reference_chosen.tolist()
        assert row["chosen_boundary_merged"] == bool(result.tokenization and result.tokenization.chosen_boundary_merged)


def test_reference_log_probs_are_those_that_trl_computes(client, dataset, test_data, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    policy, reference = (
        AutoModelForCausalLM.from_pretrained(test_data / "models" / name) for name in ("stories260k-dpo", "stories260k")
    )
    arguments = DPOConfig(output_dir=str(tmp_path), precompute_ref_log_probs=True, bf16=False, report_to=[],
                          use_cpu=True, max_length=None, per_device_train_batch_size=4)  # fmt: skip
    trainer = DPOTrainer(
        policy, reference, arguments, train_dataset=dataset,
        processing_class=AutoTokenizer.from_pretrained(test_data / "models/stories260k-dpo"),
    )  # fmt: skip
    theirs = trainer.train_dataset
    ours = prefscore.score_dataset(dataset, client)
    for name in ("ref_chosen_logps", "ref_rejected_logps"):
        assert ours.features[name] == theirs.features[name]
        # TRL adds up float32 log-probs in float32: about a rounding of the sum for each token.
        np.testing.assert_allclose(ours[name][:], theirs[name][:], rtol=2e-6)

    # What TRL tokenised is scored by its ids, to the same bits.
    tokenised = theirs.remove_columns(["ref_chosen_logps", "ref_rejected_logps"])
    by_ids = prefscore.score_dataset(tokenised, client, prefscore.ScoringOptions(profile="ids"))
    assert by_ids["policy_margin"][:] == ours["policy_margin"][:]


def test_rows_that_the_server_refuses_fail_alone(client, dataset):
    rows = dataset.to_list()
    rows[1] = {**rows[1], "chosen": rows[1]["chosen"] * 50}
    options = prefscore.ScoringOptions(max_length=512)
    scored = prefscore.score_dataset(datasets.Dataset.from_list(rows[:3]), client, options)
    assert scored["prefscore_error_code"][:] == [None, "INVALID_ARGUMENT", None]
    assert "512" in scored["prefscore_error"][1]
    assert scored["policy_margin"][1] is None and scored["policy_digest"][1] is None
    cut = dataclasses.replace(options, truncation_policy="keep_start")
    columns = ["num_truncated_chosen_tokens", "num_chosen_tokens"]
    scored = prefscore.score_dataset(datasets.Dataset.from_list(rows[:3]), client, cut, columns=columns)
    assert scored["num_truncated_chosen_tokens"][1] > 0 and scored["num_truncated_chosen_tokens"][0] == 0


def test_no_reference_is_no_number(client, dataset):
    options = prefscore.ScoringOptions(objectives=["simpo"])
    scored = prefscore.score_dataset(dataset.select(range(3)), client, options)
    assert scored["ref_chosen_logps"][:] == [None] * 3 and None not in scored["simpo/loss"][:]
    assert scored["prefscore_error"][:] == [None] * 3
