# SPDX-License-Identifier: Apache-2.0
"""TRL's DPOTrainer with the reference model on a prefscore server instead of in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import chain
from typing import Any

import numpy as np
import torch
import transformers
from trl import DPOConfig, DPOTrainer

from ..client import Client
from ..errors import InvalidArgument
from ..types import Objective, WeightedSum
from .batches import Float64s
from .formulas import PairTensors
from .look_ahead import CHOSEN_COLUMN, REJECTED_COLUMN, LookAheadLoader, WithoutLogps, look_ahead, with_logps
from .objectives import TorchObjective
from .reference import ReferenceOptions, RemoteReference
from .run_record import RunRecord, check_checkpoint
from .tokenizer_check import check_tokenizer

# Pairs of one request where the reference's log-probs are precomputed: nothing of a batch is computed here.
_PRECOMPUTE_BATCH_SIZE = 64


class NoLocalReference(torch.nn.Module):
    """What DPOTrainer is given as its ref_model: without weights, never called."""

    def __init__(self) -> None:
        super().__init__()
        self.config = transformers.PretrainedConfig()

    def forward(self, **_: Any) -> Any:
        raise RuntimeError("the reference is remote; DPOTrainer must take its log-probs from the batch")


class RemoteReferenceDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """A DPOTrainer whose reference is a model on a prefscore server. No reference is loaded here.

    model, args and all further arguments: DPOTrainer's.
    reference: a Client, or addresses of servers that host the same models.
    reference_options: see `ReferenceOptions`.
    gamma: weight of the reference's log-probs, >= 0. Default: beta, which is DPO. TRL's loss and rewards/* become
        those of z = beta h - gamma h0.
    objective: a server's objective to train with instead of args.loss_type, see `TorchObjective`: "hypo:gamma=0.05".
        Its beta, where it names none, is args.beta.

    With args.precompute_ref_log_probs the server is asked for all log-probs once, before training; otherwise for each
    batch, ahead of its step, whatever log-probs the data set has, and `reference/wait_s` in the log tells how long a
    batch had to be waited for, seconds.
    A server that is gone delays the run, one that has another reference ends it.

    Raises InvalidArgument for arguments that exclude each other, TokenizerMismatch where the reference's vocabulary is
    another, and what `Client` raises.
    """

    data_collator: Any

    def __init__(
        self,
        model: Any,
        *,
        reference: Client | str | Sequence[str],
        reference_options: ReferenceOptions = ReferenceOptions(),
        args: DPOConfig | None = None,
        gamma: float | None = None,
        objective: Objective | WeightedSum | str | None = None,
        **kwargs: Any,
    ) -> None:
        if args is None:
            name = model if isinstance(model, str) else model.config.name_or_path
            args = DPOConfig(f"{name.split('/')[-1]}-DPO")
        _check_arguments(args, gamma, objective, kwargs)
        self.reference = RemoteReference(reference, reference_options)
        self._objective: TorchObjective | None = None
        if objective is not None:
            self._objective = TorchObjective.of(self.reference.client, objective, default_beta=args.beta)
        self._precomputes = args.precompute_ref_log_probs
        self._epoch: tuple[Any, Iterator[Any]] = (None, iter(()))
        super().__init__(model=model, ref_model=NoLocalReference(), args=args, **kwargs)
        self.precompute_ref_logps = True  # the log-probs are in the batch
        if not self._precomputes:
            self.data_collator = WithoutLogps(self.data_collator)
        if self._objective is not None:
            self.beta, gamma = self._objective.beta, self._objective.gamma
        self.gamma = self.beta if gamma is None else gamma
        self.requested_objective: Objective | WeightedSum = Objective("sigmoid", self.beta, self.gamma)
        if self._objective is not None:
            self.requested_objective = self._objective.request
        check_tokenizer(self.reference, self._tokenizer)
        self.add_callback(RunRecord(self, self.reference.identity))

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        check_checkpoint(resume_from_checkpoint, self.args.output_dir, self.reference.identity)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    # --- where log-probs come into batches

    def get_train_dataloader(self) -> Any:
        return self._looking_ahead(super().get_train_dataloader(), "train")

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        return self._looking_ahead(super().get_eval_dataloader(eval_dataset), "eval")

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        return self._looking_ahead(super().get_test_dataloader(test_dataset), "eval")

    def _looking_ahead(self, loader: Any, mode: str) -> Any:
        base = loader.base_dataloader  # accelerate's loaders wrap torch's
        if not self._precomputes and type(base) is not LookAheadLoader:
            loader.base_dataloader = LookAheadLoader(base, *self._look_ahead_arguments(mode))
        return loader

    def _look_ahead_arguments(self, mode: str) -> tuple[Any, int, Any]:
        def ask(batch: Mapping[str, Any], stopped: Any) -> Future[Float64s]:
            return self.reference.submit(batch, self.ld_alpha, stopped)

        def on_wait(wait_s: float) -> None:
            self._metrics[mode]["reference/wait_s"].append(wait_s)

        return ask, self.reference.options.look_ahead, on_wait

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> Any:
        # For an epoch that is resumed in its middle accelerate makes a new loader, which does not look ahead.
        if self._epoch[0] is not epoch_iterator:
            first = next(epoch_iterator, None)
            batches = chain([] if first is None else [first], epoch_iterator)
            if first is not None and CHOSEN_COLUMN not in first:
                batches = look_ahead(batches, *self._look_ahead_arguments("train"))  # type: ignore[assignment]
            self._epoch = (epoch_iterator, iter(batches))
        return super().get_batch_samples(self._epoch[1], num_batches, device)

    # --- precomputing: TRL's code, asked at the server

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        if not self._precomputes:
            return dataset
        if {CHOSEN_COLUMN, REJECTED_COLUMN} <= set(dataset.column_names or ()):
            self._check_columns(dataset, name)
            return dataset
        identity = self.reference.identity
        self._precompute_model_hash = repr(
            ("prefscore", identity.digest, identity.numerics_mode, self.ld_alpha, self.args.max_length,
             self.args.truncation_mode)
        )  # fmt: skip
        batch_size = self.args.precompute_ref_batch_size or max(batch_size, _PRECOMPUTE_BATCH_SIZE)
        return super()._precompute_ref_logps(dataset, name, batch_size)

    def _check_columns(self, dataset: Any, name: str) -> None:
        """Raises InvalidArgument where a row has no log-probs, or those of the first rows are not the reference's."""
        columns = dataset.select_columns([CHOSEN_COLUMN, REJECTED_COLUMN]).with_format("numpy")[:]
        for column, logps in columns.items():
            if (without := np.flatnonzero(~np.isfinite(np.asarray(logps, np.float64)))).size:
                raise InvalidArgument(
                    f"the {name} dataset has no {column} in row {without[0]}, and in {without.size} of {len(dataset)} "
                    "rows: such a row could not be scored. Leave these rows out (Dataset.filter), or drop the columns "
                    "to have them made"
                )
        batch = self.data_collator([dataset[idx] for idx in range(min(len(dataset), _PRECOMPUTE_BATCH_SIZE))])
        scored = with_logps(batch, self.reference.score(batch, self.ld_alpha))
        for column in (CHOSEN_COLUMN, REJECTED_COLUMN):
            wrong = (batch[column] - scored[column]).abs() > 1e-2 + 1e-4 * scored[column].abs()
            if wrong.any():
                row = int(wrong.nonzero()[0])
                raise InvalidArgument(
                    f"the {name} dataset's column {column} is {batch[column][row].item():.6g} in row {row}, and the "
                    f"reference {self.reference.identity.model!r} gives {scored[column][row].item():.6g}: it was made "
                    "with another model or truncation. Drop the columns to have them made"
                )

    def compute_ref_log_probs(self, model: Any, inputs: Mapping[str, Any]) -> tuple[Any, Any]:
        scored = with_logps(inputs, self.reference.score(inputs, self.ld_alpha))
        return scored[CHOSEN_COLUMN], scored[REJECTED_COLUMN]

    # --- the loss

    def _compute_loss(self, model: Any, inputs: Mapping[str, Any], return_outputs: bool) -> Any:
        if CHOSEN_COLUMN not in inputs:  # the caller has a data loader of its own
            inputs = with_logps(inputs, self.reference.score(inputs, self.ld_alpha))
        scaled = dict(inputs)
        if self.gamma != self.beta:
            for name in (CHOSEN_COLUMN, REJECTED_COLUMN):
                scaled[name] = inputs[name] * (self.gamma / self.beta)
        if self._objective is None:
            return super()._compute_loss(model, scaled, return_outputs)
        seen = []

        def recorded(**model_kwargs: Any) -> Any:
            seen.append(model(**model_kwargs))
            return seen[-1]

        result = super()._compute_loss(recorded, scaled, return_outputs)  # for its metrics
        loss = self._objective(_pair_tensors(seen[0].log_probs, inputs)).mean()
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * seen[0].aux_loss
        return (loss, result[1]) if return_outputs else loss


def _pair_tensors(log_probs: torch.Tensor, inputs: Mapping[str, Any]) -> PairTensors:
    """log_probs: per token, 0 outside of completions, [2 num_pairs, num_positions]."""
    completion_mask = inputs["completion_mask"]
    policy = log_probs[:, 1 - completion_mask.size(1) :].sum(dim=1).chunk(2)
    num_tokens = completion_mask.sum(dim=1).clamp(min=1).to(policy[0].dtype).chunk(2)
    return PairTensors(
        policy[0], policy[1], inputs[CHOSEN_COLUMN], inputs[REJECTED_COLUMN], num_tokens[0], num_tokens[1]
    )


def _check_arguments(args: Any, gamma: float | None, objective: object, kwargs: Mapping[str, Any]) -> None:
    def refuse(what: str) -> None:
        raise InvalidArgument(f"RemoteReferenceDPOTrainer: {what}")

    if kwargs.get("ref_model") is not None:
        refuse("ref_model is given, and the reference is remote; give one of the two")
    if args.sync_ref_model:
        refuse("sync_ref_model is set, and a hosted reference does not follow the policy")
    if gamma is not None and not 0 <= gamma < float("inf"):
        refuse(f"gamma is {gamma}; it must be >= 0 and finite")
    if gamma is not None and not args.beta > 0:
        refuse(f"gamma is given and beta is {args.beta}; beta must be > 0")
    if objective is None:
        return
    if gamma is not None:
        refuse("gamma is given beside objective; write it into the objective, as in 'sigmoid:gamma=0.05'")
    defaults = {"loss_type": ["sigmoid"], "loss_weights": None, "ld_alpha": None, "f_divergence_type": "reverse_kl",
                "use_weighting": False, "label_smoothing": 0.0}  # fmt: skip
    for name, default in defaults.items():
        if getattr(args, name) != default:
            refuse(f"args.{name} is {getattr(args, name)!r} beside objective, which would not use it; "
                   f"leave it at {default!r}")  # fmt: skip
