# SPDX-License-Identifier: Apache-2.0
"""What a fixed set of pairs still teaches while a policy is trained: the server's report, in the run's log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from trl import DPOTrainer

from ..analysis import AnalysisOptions, SweepGrid
from ..client import Client
from ..errors import InvalidArgument
from ..report import Report
from ..types import KnownLogProbs, Objective, PairLogProbs, ScoringOptions, WeightedSum
from ..v1 import diagnostics_pb2 as pb
from .reference import RemoteReference

_RANKINGS = {pb.RANKING_RIGHT: "right", pb.RANKING_WRONG: "wrong"}


class LearningCellsCallback(TrainerCallback):  # type: ignore[misc]
    """Reports on `dataset` under the policy as it is, and logs the report's main numbers as cells/... .

    trainer: the DPOTrainer that it is added to; its tokenisation and collator are used.
    dataset: preference pairs, as the trainer takes them; a Dataset. Default: the trainer's eval_dataset.
    reference: a RemoteReference, a Client or addresses. Default: the trainer's, where that is remote.
    objective: what to report on. Default: the trainer's, where it is a server's; else sigmoid with its beta and gamma.
    every_steps: report after so many steps each. Default: with each evaluation.

    The policy's log-probs are computed here, those of the reference are asked for once; the server runs no policy. Of
    several processes each computes its share of the pairs, and the first one asks.
    """

    def __init__(
        self,
        trainer: Any,
        dataset: Any = None,
        *,
        reference: RemoteReference | Client | str | Sequence[str] | None = None,
        objective: Objective | WeightedSum | str | None = None,
        every_steps: int | None = None,
    ) -> None:
        if every_steps is not None and every_steps < 1:
            raise InvalidArgument(f"LearningCellsCallback: every_steps is {every_steps}; it must be at least 1")
        told = "dataset" if dataset is not None else "dataset is not given, and the trainer's eval_dataset"
        dataset = trainer.eval_dataset if dataset is None else dataset
        if not isinstance(dataset, Dataset):
            raise InvalidArgument(
                f"LearningCellsCallback: {told} is of type {type(dataset).__name__}; give a datasets.Dataset"
            )
        reference = getattr(trainer, "reference", None) if reference is None else reference
        if reference is None:
            raise InvalidArgument("LearningCellsCallback: the trainer's reference is local; give reference=")
        self._trainer = trainer
        self._reference = reference if isinstance(reference, RemoteReference) else RemoteReference(reference)
        if objective is None:
            objective = getattr(trainer, "requested_objective", None) or Objective("sigmoid", trainer.beta)
        self._options = AnalysisOptions(
            scoring=ScoringOptions(objectives=[objective]), sweep=SweepGrid(), skip_faulty_pairs=True
        )
        self._every_steps = every_steps
        self._reported_step: int | None = None
        prepared = trainer._prepare_dataset(dataset, trainer.processing_class, trainer.args, "learning cells")
        prepared = prepared.select_columns(["prompt_ids", "chosen_ids", "rejected_ids"])
        batch_size = trainer.args.per_device_eval_batch_size
        self._loader = trainer.accelerator.prepare(
            DataLoader(prepared, batch_size=batch_size, collate_fn=trainer.data_collator)
        )
        self._reference_logps: list[torch.Tensor] = []  # of each batch of this process, [2 num_pairs]

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Of several evaluation data sets each is evaluated, one after the other: once is enough.
        if self._every_steps is None and not (self._trainer.is_in_train and state.global_step == self._reported_step):
            self._reported_step = state.global_step
            self._log()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._every_steps is not None and state.global_step % self._every_steps == 0:
            self._log()

    def report(self) -> Report | None:
        """The report under the policy as it is now, without a page; None but in the first process."""
        rows = torch.cat(list(self._rows())).tolist()
        if not self._trainer.accelerator.is_main_process:
            return None
        pairs = [
            PairLogProbs(
                KnownLogProbs(*row[:4]), num_chosen_tokens=int(row[4]), num_rejected_tokens=int(row[5]),
                reference_digest=self._reference.identity.digest,
            )
            for row in rows
        ]  # fmt: skip
        client = self._reference.client
        return self._reference.patiently(lambda: client.analyze(pairs, self._options, return_html=False))

    def _log(self) -> None:
        report = self.report()
        if report is not None:
            # Not DPOTrainer's log: that would hand out the metrics of the steps since the last one.
            super(DPOTrainer, self._trainer).log({f"cells/{name}": value for name, value in _numbers(report).items()})

    def _rows(self) -> Iterator[torch.Tensor]:
        """Per batch [num_pairs, 6], float64: log-probs of policy, then of reference; numbers of tokens."""
        accelerator = self._trainer.accelerator
        model = self._trainer.model_wrapped
        was_training = model.training
        model.eval()
        try:
            for idx, batch in enumerate(self._loader):
                if idx == len(self._reference_logps):
                    self._reference_logps.append(torch.from_numpy(self._reference.score(batch)))
                with torch.no_grad(), accelerator.autocast():
                    policy = _policy_logps(model, batch)
                counts = batch["completion_mask"].sum(dim=1)
                columns = [column for values in (policy, self._reference_logps[idx], counts)
                           for column in values.to(policy.device, torch.float64).chunk(2)]  # fmt: skip
                yield accelerator.gather_for_metrics(torch.stack(columns, dim=1)).cpu()
        finally:
            model.train(was_training)


def _policy_logps(model: Any, batch: Mapping[str, Any]) -> torch.Tensor:
    """[2 num_pairs], as DPOTrainer computes them."""
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    outputs = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels, use_cache=False,
        fused_lm_head=True,
    )  # fmt: skip
    logps: torch.Tensor = outputs.log_probs[:, 1 - labels.size(1) :].sum(dim=1)
    return logps


def _numbers(report: Report) -> dict[str, float]:
    """What of a report goes into a log: shares in [0, 1], nats."""
    overall, ranking = report.overall, report.overall.ranking
    objective = overall.objectives[0]
    numbers = {
        "num_pairs": float(overall.num_pairs),
        "num_faulty_pairs": float(report.message.num_faulty_pairs),
        "mean_loss": objective.mean_loss,
        "gradient_mass": objective.gradient_mass,
        "effective_sample_size": objective.effective_sample_size,
        "saturated_share": objective.saturated_share,
        "policy_accuracy": ranking.policy_accuracy,
        "reference_accuracy": ranking.reference_accuracy,
        "chosen_fell_share": ranking.chosen_fell_share,
        "both_fell_share": ranking.both_fell_share,
    }
    for distribution in overall.distributions:
        if distribution.name in ("chosen_logratio", "rejected_logratio", "policy_margin"):
            numbers[f"mean_{distribution.name}"] = distribution.mean
    for cell in objective.learning_table:
        if cell.policy in _RANKINGS and cell.reference in _RANKINGS:
            name = f"policy_{_RANKINGS[cell.policy]}_reference_{_RANKINGS[cell.reference]}"
            numbers[f"{name}/share"] = cell.share
            numbers[f"{name}/gradient_mass_share"] = cell.gradient_mass_share
            numbers[f"{name}/learning_share"] = cell.learning_share
    return numbers
