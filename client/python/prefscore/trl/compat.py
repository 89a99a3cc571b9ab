# SPDX-License-Identifier: Apache-2.0
"""Whether the installed TRL is one that this package can extend."""

from __future__ import annotations

import inspect
import logging
from importlib import import_module
from importlib.metadata import version

from ..errors import FailedPrecondition, MissingExtra

logger = logging.getLogger("prefscore.trl")

TESTED_VERSION = "1.16"

# What is overridden: names and the parameters that it is called with.
_METHODS = {
    "_compute_loss": ("model", "inputs", "return_outputs"),
    "compute_ref_log_probs": ("model", "inputs"),
    "_precompute_ref_logps": ("dataset", "name", "batch_size"),
    "_prepare_dataset": ("dataset", "processing_class", "args", "dataset_name"),
    "get_train_dataloader": (),
    "get_eval_dataloader": (),
    "get_test_dataloader": (),
    "train": ("resume_from_checkpoint",),
}
# What TRL's own code must read for the log-probs that come with a batch to be used.
_READS = {"_compute_loss": ("precompute_ref_logps", "log_probs", "_metrics")}


def check_trl() -> None:
    """Warns of a TRL that is not tested.

    Raises MissingExtra without TRL, FailedPrecondition for one that lacks what is built on.
    """
    try:
        trl = import_module("trl")
        trainer = trl.DPOTrainer
    except ImportError as error:
        raise MissingExtra.of("trl", "trl") from error
    installed = version("trl")
    missing = []
    for name, parameters in _METHODS.items():
        method = getattr(trainer, name, None)
        if method is None:
            missing.append(f"DPOTrainer.{name}")
        else:
            known = inspect.signature(method).parameters
            missing += [f"the parameter {p} of DPOTrainer.{name}" for p in parameters if p not in known]
    for name, reads in _READS.items():
        code = getattr(getattr(trainer, name, None), "__code__", None)
        missing += [f"the use of {read} in DPOTrainer.{name}" for read in reads if code and read not in code.co_names]
    if missing:
        raise FailedPrecondition(
            f"trl {installed} lacks {', '.join(missing)}, which prefscore.trl builds on; install trl {TESTED_VERSION}, "
            "with which it is tested"
        )
    if installed.split(".")[:2] != TESTED_VERSION.split("."):
        logger.warning(
            "prefscore.trl is tested with trl %s and not with %s, which has all that it builds on",
            TESTED_VERSION, installed,
        )  # fmt: skip
