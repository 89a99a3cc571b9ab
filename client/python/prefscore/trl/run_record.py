# SPDX-License-Identifier: Apache-2.0
"""What a run keeps of its reference: in the log, in output_dir and in each checkpoint."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, get_last_checkpoint

from ..errors import FailedPrecondition
from .reference import ReferenceIdentity

RECORD_NAME = "prefscore_reference.json"


class RunRecord(TrainerCallback):  # type: ignore[misc]
    """Logs the reference when training begins, as reference/digest and so on, and writes RECORD_NAME."""

    def __init__(self, trainer: Trainer, identity: ReferenceIdentity) -> None:
        self._trainer, self._identity = trainer, identity

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._trainer.log({f"reference/{name}": value for name, value in asdict(self._identity).items()})
        self._write(args, state, args.output_dir)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._write(args, state, os.path.join(args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"))

    def _write(self, args: Any, state: Any, folder: str) -> None:
        if not state.is_world_process_zero:
            return
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, RECORD_NAME), "w", encoding="utf-8") as file:
            json.dump(asdict(self._identity), file, indent=2)


def check_checkpoint(resume_from_checkpoint: str | bool | None, output_dir: str, identity: ReferenceIdentity) -> None:
    """Raises FailedPrecondition where a run that is resumed began with another reference."""
    if not resume_from_checkpoint:
        return
    folder = get_last_checkpoint(output_dir) if resume_from_checkpoint is True else resume_from_checkpoint
    path = os.path.join(folder or output_dir, RECORD_NAME)
    if not os.path.exists(path):  # a checkpoint of another trainer
        return
    with open(path, encoding="utf-8") as file:
        began_with = json.load(file)["digest"]
    if began_with != identity.digest:
        raise FailedPrecondition(
            f"the run that is resumed from {folder} began with the reference {began_with}, and the server hosts "
            f"{identity.digest}: host the first one again"
        )
