# SPDX-License-Identifier: Apache-2.0
"""Short DPO runs of a small real model, on TRL's own reference and on a served one."""
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

from prefscore.trl import RemoteReferenceDPOTrainer


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_folder(test_data):
    return str(test_data / "models/stories260k")


@pytest.fixture(scope="session")
def tokenizer(model_folder):
    return AutoTokenizer.from_pretrained(model_folder)


@pytest.fixture(scope="session")
def dataset(stories_rows):
    """96 pairs of text."""
    return Dataset.from_list([{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in stories_rows[:96]])


@pytest.fixture
def make_trainer(model_folder, tokenizer, dataset, tmp_path):
    """make_trainer(reference, callbacks=(), trainer={...}, **args of DPOConfig); reference None: TRL's own, local."""

    def make(reference, *, callbacks=(), trainer={}, **args):
        defaults = dict(
            output_dir=str(tmp_path / "run"), per_device_train_batch_size=4, per_device_eval_batch_size=4, max_steps=8,
            bf16=False, use_cpu=True, logging_steps=1, report_to=[], save_strategy="no", learning_rate=1e-3,
            max_length=48, max_grad_norm=0.0, disable_tqdm=True, activation_checkpointing=False,
        )  # fmt: skip
        common = dict(
            args=DPOConfig(**defaults | args), train_dataset=dataset, processing_class=tokenizer,
            callbacks=list(callbacks),
        )  # fmt: skip
        model = AutoModelForCausalLM.from_pretrained(model_folder)
        if reference is None:
            return DPOTrainer(model, **common | trainer)
        return RemoteReferenceDPOTrainer(model, reference=reference, **common | trainer)

    return make
