# SPDX-License-Identifier: Apache-2.0
"""DPO training with TRL against a reference model on a prefscore server.

    trainer = RemoteReferenceDPOTrainer("my/model", reference="127.0.0.1:50051", train_dataset=pairs)
    trainer.train()

Needs `pip install 'prefscore[trl]'`: importing this without TRL raises MissingExtra, and FailedPrecondition with a TRL
that lacks what is built on.
"""

from .compat import check_trl

check_trl()

from .formulas import PairTensors  # noqa: E402
from .learning_cells import LearningCellsCallback  # noqa: E402
from .objectives import TorchObjective  # noqa: E402
from .reference import ReferenceIdentity, ReferenceOptions, RemoteReference  # noqa: E402
from .trainer import RemoteReferenceDPOTrainer  # noqa: E402

__all__ = [
    "LearningCellsCallback",
    "PairTensors",
    "ReferenceIdentity",
    "ReferenceOptions",
    "RemoteReference",
    "RemoteReferenceDPOTrainer",
    "TorchObjective",
]
