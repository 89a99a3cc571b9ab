# SPDX-License-Identifier: Apache-2.0
"""Tasks of local files, for lm-evaluation-harness without a network."""
import os
import pathlib

import pytest

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

TASKS = pathlib.Path(__file__).parent / "tasks"


@pytest.fixture
def tasks_folder(monkeypatch, tmp_path):
    """The tasks' folder, and the current one: their data files are named from there. Data sets are built elsewhere."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.chdir(TASKS)
    return TASKS


@pytest.fixture(scope="session")
def policy_folder(test_data):
    """The model that `stories_server` hosts as its policy, with its tokenizer."""
    return test_data / "models/stories260k-dpo"
