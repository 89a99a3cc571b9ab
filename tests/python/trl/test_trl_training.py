# SPDX-License-Identifier: Apache-2.0
"""Runs on a served reference against the same runs of TRL with its own reference in this process."""
import gc
import json
import signal
import threading

import pytest
import torch
from datasets import Dataset
from trl_runs import AtStep, FirstGradients, losses

import prefscore
from prefscore.trl import ReferenceOptions


ONE_AHEAD = {"reference_options": ReferenceOptions(look_ahead=1)}


def both(make_trainer, server, **kwargs):
    """A run on the served reference and one on TRL's."""
    runs = []
    for reference in (server.address, None):
        trainer = make_trainer(reference, **kwargs)
        trainer.train()
        runs.append(trainer)
    return runs


def test_sixty_steps_are_those_of_a_local_reference(make_trainer, stories_server):
    gradients = [FirstGradients(), FirstGradients()]
    runs = []
    for reference, first in zip((stories_server.address, None), gradients):
        trainer = make_trainer(reference, callbacks=[first], max_steps=60)
        trainer.train()
        runs.append(losses(trainer))
    remote, local = runs
    assert len(remote) == 60 and local[-1] < 0.5 * local[0]  # it learnt something
    assert remote == pytest.approx(local, abs=1e-4)
    assert gradients[0].by_name.keys() == gradients[1].by_name.keys()
    for name, gradient in gradients[1].by_name.items():
        torch.testing.assert_close(gradients[0].by_name[name], gradient, atol=1e-5, rtol=1e-5)


def parameter_bytes():
    gc.collect()
    storages = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in gc.get_objects()
                if isinstance(p, torch.nn.Parameter)}  # fmt: skip
    return sum(storages.values())


def test_no_reference_weights_are_in_memory(make_trainer, stories_server):
    sizes = []
    for reference in (stories_server.address, None):
        before = parameter_bytes()
        trainer = make_trainer(reference)
        sizes.append(parameter_bytes() - before)
        policy = sum(p.nbytes for p in trainer.model.parameters())
        del trainer
    assert sizes == [policy, 2 * policy]


def test_accumulation_workers_partial_batches_and_evaluation(make_trainer, stories_server, dataset):
    """42 pairs: 10 whole batches and one of 2, in steps of 4 batches, the last of 3; 10 to evaluate."""
    remote, local = both(
        make_trainer, stories_server, max_steps=-1, num_train_epochs=2, gradient_accumulation_steps=4,
        dataloader_num_workers=2, eval_strategy="epoch", dataloader_prefetch_factor=2,
        trainer={"train_dataset": dataset.select(range(42)), "eval_dataset": dataset.select(range(50, 60))},
    )  # fmt: skip
    assert len(losses(local)) == 6 and len(losses(local, "eval_loss")) == 2
    for name in ("loss", "rewards/margins", "eval_loss", "eval_rewards/margins"):
        assert losses(remote, name) == pytest.approx(losses(local, name), abs=1e-4)
    assert len(losses(remote, "reference/wait_s")) == 6 and len(losses(remote, "eval_reference/wait_s")) == 2


def test_stream_of_rows(make_trainer, stories_server, dataset):
    rows = {"train_dataset": dataset.to_iterable_dataset()}
    remote, local = both(make_trainer, stories_server, max_steps=4, trainer=rows)
    assert losses(remote) == pytest.approx(losses(local), abs=1e-4)


def test_lora(make_trainer, stories_server):
    peft = pytest.importorskip("peft")
    lora = peft.LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False, r=2)
    remote, local = both(make_trainer, stories_server, trainer={"peft_config": lora})
    assert losses(local)[0] != pytest.approx(0.6931, abs=1e-3)  # the adapter is not nothing
    assert losses(remote) == pytest.approx(losses(local), abs=1e-4)


@pytest.mark.parametrize("kwargs", [
    {"ld_alpha": 0.4}, {"truncation_mode": "keep_end", "max_length": 30},
    {"loss_type": ["ipo", "sft"], "loss_weights": [1.0, 0.5]},
    {"f_divergence_type": "js_divergence", "use_weighting": True},
], ids=str)  # fmt: skip
def test_trls_losses_and_options(kwargs, make_trainer, stories_server):
    remote, local = both(make_trainer, stories_server, max_steps=4, learning_rate=1e-4, **kwargs)
    assert losses(remote) == pytest.approx(losses(local), rel=1e-4)


def test_resumed_in_the_middle_of_an_epoch(make_trainer, stories_server, tmp_path):
    whole = make_trainer(stories_server.address, save_strategy="steps", save_steps=5)
    whole.train()
    checkpoint = tmp_path / "run/checkpoint-5"
    assert json.loads((checkpoint / "prefscore_reference.json").read_text())["model"] == "reference"
    resumed = make_trainer(stories_server.address)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert losses(resumed)[5:] == losses(whole)[5:]
    waits = [entry for entry in resumed.state.log_history[-4:] if "reference/wait_s" in entry]
    assert len(waits) == 3  # it looked ahead
    with open(checkpoint / "prefscore_reference.json", "w") as file:
        json.dump({"digest": "0" * 64}, file)
    with pytest.raises(prefscore.FailedPrecondition, match="began with the reference 0000"):
        make_trainer(stories_server.address).train(resume_from_checkpoint=str(checkpoint))


def test_batches_are_asked_for_before_their_step(make_trainer, stories_server):
    """The batch of the step, one that accelerate is ahead, and look_ahead more."""
    asked = []
    trainer = make_trainer(stories_server.address, callbacks=[AtStep(3, lambda: asked.append(len(batches)))])
    batches, submit = [], trainer.reference.submit

    def counted(batch, *arguments):
        batches.append(batch)
        return submit(batch, *arguments)

    trainer.reference.submit = counted
    trainer.train()
    assert asked == [3 + 1 + 4]


def test_the_reference_is_in_the_log_and_in_the_output(make_trainer, stories_server, tmp_path):
    trainer = make_trainer(stories_server.address, max_steps=1)
    trainer.train()
    (model,) = [m for m in trainer.reference.client.models().models if m.name == "reference"]
    told = json.loads((tmp_path / "run/prefscore_reference.json").read_text())
    assert told["digest"] == model.digest and told["numerics_mode"] == model.numerics_mode
    assert trainer.state.log_history[0] == {f"reference/{k}": v for k, v in told.items()} | {"epoch": 0, "step": 0}


def test_gamma_apart_from_beta(make_trainer, stories_server, dataset, tokenizer):
    """At the first step policy and reference are one: z = (beta - gamma) h."""
    run = make_trainer(stories_server.address, trainer={"gamma": 0.3}, beta=0.1, max_steps=3)
    run.train()
    scored = make_trainer(stories_server.address, trainer={"gamma": 0.3}, beta=0.1, max_steps=3)
    batch = next(iter(scored.get_train_dataloader()))
    h = batch["ref_chosen_logps"] - batch["ref_rejected_logps"]
    expected = torch.nn.functional.softplus(0.2 * h).mean().item()
    assert losses(run)[0] == pytest.approx(expected, abs=2e-5)
    assert losses(run, "rewards/margins")[0] == pytest.approx((-0.2 * h).mean().item(), abs=2e-5)
    objective = make_trainer(stories_server.address, trainer={"objective": "sigmoid:gamma=0.3"}, beta=0.1, max_steps=3)
    objective.train()
    for name in ("loss", "grad_norm", "rewards/chosen", "rewards/margins"):
        assert losses(objective, name) == pytest.approx(losses(run, name), rel=1e-5, abs=1e-5)


def test_an_objective_of_the_server(make_trainer, stories_server):
    """ipo is TRL's, too; of hypo the first loss is known."""
    local = make_trainer(None, loss_type=["ipo"], beta=0.05, max_steps=3)
    remote = make_trainer(stories_server.address, trainer={"objective": "ipo:beta=0.05"}, max_steps=3)
    hypo = make_trainer(stories_server.address, trainer={"objective": "hypo:beta=0.1,gamma=0.3"}, max_steps=1)
    for trainer in (local, remote, hypo):
        trainer.train()
    for name in ("loss", "grad_norm", "rewards/margins"):
        assert losses(remote, name) == pytest.approx(losses(local, name), rel=1e-4, abs=1e-4)
    batch = next(iter(hypo.get_train_dataloader()))
    h = batch["ref_chosen_logps"] - batch["ref_rejected_logps"]
    expected = torch.nn.functional.softplus(-(0.1 * h - 0.3 * h.clamp(min=0))).mean().item()
    assert losses(hypo)[0] == pytest.approx(expected, abs=2e-5)


def test_precomputed_once(make_trainer, stories_server, dataset, monkeypatch):
    args = {"precompute_ref_log_probs": True, "trainer": {"eval_dataset": dataset.select(range(10))}}
    remote, local = make_trainer(stories_server.address, **args), make_trainer(None, **args)
    for split in ("train_dataset", "eval_dataset"):
        for column in ("ref_chosen_logps", "ref_rejected_logps"):
            ours, theirs = getattr(remote, split)[column], getattr(local, split)[column]
            assert list(ours) == pytest.approx(list(theirs), abs=1e-4)
    monkeypatch.setattr(remote.reference, "score", None)  # nothing is asked from now on
    monkeypatch.setattr(remote.reference, "submit", None)
    for trainer in (remote, local):
        trainer.train()
    assert losses(remote) == pytest.approx(losses(local), abs=1e-4)
    again = make_trainer(stories_server.address, **args)
    assert list(again.train_dataset["ref_chosen_logps"]) == list(remote.train_dataset["ref_chosen_logps"])


def test_columns_of_score_dataset_are_used(make_trainer, stories_server, dataset):
    options = prefscore.ScoringOptions(truncation_policy="keep_start", max_length=48)
    columns = ["ref_chosen_logps", "ref_rejected_logps"]
    scored = prefscore.score_dataset(dataset.select(range(16)), stories_server.address, options, columns=columns)
    trainer = make_trainer(
        stories_server.address, precompute_ref_log_probs=True, max_steps=2, trainer={"train_dataset": scored}
    )
    trainer.train()
    live = make_trainer(stories_server.address, max_steps=2, trainer={"train_dataset": dataset.select(range(16))})
    live.train()
    assert losses(trainer) == losses(live)
    with pytest.raises(prefscore.InvalidArgument, match="train dataset's column ref_chosen_logps is .* another model or"):
        make_trainer(
            stories_server.address, precompute_ref_log_probs=True, max_length=30, trainer={"train_dataset": scored}
        )


def test_columns_with_rows_that_were_not_scored_are_refused(make_trainer, stories_server, dataset):
    """However far down."""
    columns = {"ref_chosen_logps": [-1.0] * 95 + [None], "ref_rejected_logps": [-1.0] * 96}
    rows = Dataset.from_dict(dataset.to_dict() | columns)
    with pytest.raises(prefscore.InvalidArgument, match="train dataset has no ref_chosen_logps in row 95, and in 1 of 96"):
        make_trainer(stories_server.address, precompute_ref_log_probs=True, trainer={"train_dataset": rows})


@pytest.mark.parametrize("logp, args", [(-1.0, {}), (-1.0, {"remove_unused_columns": False}), (None, {})], ids=str)
def test_columns_of_another_reference_are_passed_over(logp, args, make_trainer, stories_server, dataset, tmp_path):
    """Where nothing is precomputed: at first, in evaluation, and in a run that is resumed in the middle of an epoch."""
    others = {"ref_chosen_logps": [logp] * 96, "ref_rejected_logps": [-1000.0] * 96}
    rows = Dataset.from_dict(dataset.to_dict() | others)
    data = {"train_dataset": rows, "eval_dataset": rows.select(range(6))}
    whole = make_trainer(stories_server.address, save_strategy="steps", save_steps=5, trainer=data, **args)
    whole.train()
    plain = make_trainer(stories_server.address, trainer={"eval_dataset": dataset.select(range(6))})
    plain.train()
    resumed = make_trainer(stories_server.address, trainer=data, **args)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run/checkpoint-5"))
    assert losses(whole) == losses(plain) and losses(resumed)[5:] == losses(plain)[5:]
    assert whole.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]


def test_evaluate_of_another_dataset(make_trainer, stories_server, dataset):
    trainer = make_trainer(stories_server.address, max_steps=1)
    trainer.train()
    local = make_trainer(None, max_steps=1)
    local.train()
    rows = dataset.select(range(40, 47))
    assert trainer.evaluate(rows)["eval_loss"] == pytest.approx(local.evaluate(rows)["eval_loss"], abs=1e-5)


def test_server_that_is_gone_delays_the_run(make_trainer, start_server, stories_flags, stories_server):
    """It is killed after step 2 and another one starts at its port while the run waits."""
    with start_server(*stories_flags) as first:
        port = first.address.rpartition(":")[2]
        started = []

        def kill():
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
            threading.Timer(2.0, restart).start()

        def restart():
            context = start_server(*stories_flags, "--listen", f"127.0.0.1:{port}")
            context.__enter__()
            started.append(context)

        trainer = make_trainer(first.address, callbacks=[AtStep(2, kill)], trainer=ONE_AHEAD)
        try:
            trainer.train()
        finally:
            for context in started:
                context.__exit__(None, None, None)
    undisturbed = make_trainer(stories_server.address)
    undisturbed.train()
    assert started and losses(trainer) == losses(undisturbed)


def test_another_reference_ends_the_run(make_trainer, start_server, stories_flags, test_data):
    with start_server(*stories_flags) as first:
        port = first.address.rpartition(":")[2]
        others = []

        def replace():
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
            models = test_data / "models"
            flags = ["--model", f"policy={models}/stories260k", "--model", f"reference={models}/stories260k-dpo"]
            others.append(start_server(*flags, "--listen", f"127.0.0.1:{port}"))
            others[0].__enter__()

        trainer = make_trainer(first.address, callbacks=[AtStep(2, replace)], trainer=ONE_AHEAD)
        try:
            with pytest.raises(prefscore.FailedPrecondition, match="'reference' has changed.*resume from a checkpoint"):
                trainer.train()
        finally:
            others[0].__exit__(None, None, None)
