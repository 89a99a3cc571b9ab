# SPDX-License-Identifier: Apache-2.0
"""What LearningCellsCallback logs against the same numbers from plain forwards of both models."""
import numpy as np
import pytest
import torch
from datasets import DatasetDict
from transformers import AutoModelForCausalLM

import prefscore
from prefscore.trl import LearningCellsCallback

CELLS = [(policy, reference) for policy in ("right", "wrong") for reference in ("right", "wrong")]


def logps(model, rows):
    """[num_pairs, 2]: chosen and rejected, float64, one forward per completion."""
    sums = []
    for row in rows:
        for side in ("chosen_ids", "rejected_ids"):
            prompt, completion = row["prompt_ids"], row[side][: 48 - len(row["prompt_ids"])]
            ids = torch.tensor([prompt + completion])
            with torch.no_grad():
                log_probs = model(input_ids=ids).logits[0].double().log_softmax(-1)
            positions = range(len(prompt) - 1, ids.size(1) - 1)
            sums.append(sum(log_probs[t, ids[0, t + 1]].item() for t in positions))
    return np.array(sums).reshape(-1, 2)


def expected(trainer, model_folder, rows, beta, gamma):
    policy = logps(trainer.model.eval(), rows)
    reference = logps(AutoModelForCausalLM.from_pretrained(model_folder).eval(), rows)
    h, h0 = policy[:, 0] - policy[:, 1], reference[:, 0] - reference[:, 1]
    mass = beta / (1 + np.exp(beta * h - gamma * h0))
    numbers = {
        "num_pairs": len(rows), "mean_loss": np.mean(np.log1p(np.exp(gamma * h0 - beta * h))),
        "gradient_mass": mass.sum(), "policy_accuracy": np.mean(h > 0), "reference_accuracy": np.mean(h0 > 0),
        "chosen_fell_share": np.mean(policy[:, 0] < reference[:, 0]),
        "both_fell_share": np.mean((policy < reference).all(axis=1)),
        "mean_chosen_logratio": np.mean(policy[:, 0] - reference[:, 0]), "mean_policy_margin": np.mean(h),
    }  # fmt: skip
    for policy_ranking, reference_ranking in CELLS:
        inside = ((h > 0) == (policy_ranking == "right")) & ((h0 > 0) == (reference_ranking == "right"))
        name = f"policy_{policy_ranking}_reference_{reference_ranking}"
        numbers[f"{name}/share"] = np.mean(inside)
        numbers[f"{name}/gradient_mass_share"] = mass[inside].sum() / mass.sum()
    return numbers


def reported(trainer):
    return [{name.removeprefix("cells/"): value for name, value in entry.items() if name.startswith("cells/")}
            for entry in trainer.state.log_history if "cells/num_pairs" in entry]  # fmt: skip


def test_cells_at_each_evaluation(make_trainer, stories_server, dataset, model_folder):
    trainer = make_trainer(
        stories_server.address, max_steps=6, eval_strategy="steps", eval_steps=3, beta=0.2,
        trainer={"eval_dataset": dataset.select(range(60, 71)), "gamma": 0.1},
    )  # fmt: skip
    trainer.add_callback(LearningCellsCallback(trainer))
    trainer.train()
    entries = reported(trainer)
    assert len(entries) == 2
    numbers = expected(trainer, model_folder, trainer.eval_dataset, beta=0.2, gamma=0.1)
    assert {name: entries[1][name] for name in numbers} == pytest.approx(numbers, abs=2e-5)
    assert entries[0] != entries[1] and entries[1]["num_faulty_pairs"] == 0


def test_every_so_many_steps_beside_a_local_reference(make_trainer, stories_server, dataset):
    """The steps' own metrics are not touched: a log of every second step is that without the callback."""
    runs = []
    for has_callback in (True, False):
        trainer = make_trainer(None, max_steps=6, logging_steps=4)
        if has_callback:
            trainer.add_callback(
                LearningCellsCallback(
                    trainer, dataset.select(range(9)), reference=stories_server.address, objective="hypo:gamma=0.05",
                    every_steps=3,
                )  # fmt: skip
            )
        trainer.train()
        runs.append(trainer)
    with_callback, without = runs
    assert len(reported(with_callback)) == 2 and reported(with_callback)[0]["num_pairs"] == 9

    def steps(trainer):
        return [{k: v for k, v in entry.items() if not k.startswith("train_")} for entry in trainer.state.log_history
                if "loss" in entry]  # fmt: skip

    assert steps(with_callback) == steps(without) and len(steps(without)) >= 1


def test_the_reference_is_asked_once_and_the_objective_is_the_trainers(make_trainer, stories_server, dataset):
    trainer = make_trainer(stories_server.address, max_steps=1, beta=0.3, trainer={"objective": "hypo:gamma=0.05"})
    callback = LearningCellsCallback(trainer, dataset.select(range(5)))
    trainer.train()
    report = callback.report()
    assert report._repr_html_() is None  # no page that nobody looks at
    first = report.message
    assert first.slices[0].objectives[0].label == "hypo:beta=0.3,gamma=0.05"
    trainer.reference.score = None
    assert callback.report().message == first


def test_once_per_step_whatever_the_number_of_evaluation_sets(make_trainer, stories_server, dataset):
    halves = {"first": dataset.select(range(5)), "second": dataset.select(range(5, 9))}
    trainer = make_trainer(
        stories_server.address, max_steps=4, eval_strategy="steps", eval_steps=2, trainer={"eval_dataset": halves}
    )
    trainer.add_callback(LearningCellsCallback(trainer, dataset.select(range(6))))
    trainer.train()
    trainer.evaluate(dataset.select(range(5)))
    assert [entry["step"] for entry in trainer.state.log_history if "cells/num_pairs" in entry] == [2, 4, 4]


def test_a_report_that_fails_leaves_the_model_in_training(make_trainer, stories_server, dataset):
    trainer = make_trainer(stories_server.address, max_steps=1)
    trainer.train()
    callback = LearningCellsCallback(trainer, dataset.select(range(5)))
    trainer.model.train()
    trainer.reference.score = None
    with pytest.raises(TypeError):
        callback.report()
    assert trainer.model.training


@pytest.mark.parametrize("arguments, trainer, message", [
    ({"every_steps": 0}, {}, "every_steps is 0"),
    ({}, {}, "dataset is not given, and the trainer's eval_dataset is of type NoneType"),
    ({"dataset": ["a pair"]}, {}, "dataset is of type list; give a datasets.Dataset"),
    ({}, {"eval_dataset": DatasetDict()}, "eval_dataset is of type dict"),
])  # fmt: skip
def test_wrong_arguments(arguments, trainer, message, make_trainer, fake_server):
    trainer = make_trainer(fake_server.address, trainer=trainer)
    with pytest.raises(prefscore.InvalidArgument, match=message):
        LearningCellsCallback(trainer, **arguments)


def test_a_trainer_with_a_local_reference_needs_one(make_trainer, dataset):
    with pytest.raises(prefscore.InvalidArgument, match="the trainer's reference is local; give reference="):
        LearningCellsCallback(make_trainer(None), dataset)
