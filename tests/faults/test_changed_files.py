# SPDX-License-Identifier: Apache-2.0
"""The files of a model change while it is served: the server keeps the weights that it has loaded, and answers with
their bits."""
import json
import os
import shutil

import pytest
import safetensors.torch
from scoring_calls import random_pairs, score


def overwrite(file):
    with open(file, "r+b") as opened:
        opened.write(b"\xff" * file.stat().st_size)


def truncate(file):
    os.truncate(file, 0)


def replace(file):
    other = file.with_suffix(".new")
    other.write_bytes(b"another model")
    other.rename(file)


def remove(file):
    file.unlink()


@pytest.fixture
def untied_model(demo_folder, tmp_path):
    """The demo policy with a head of its own, so that its embedding is a matrix of its own, too."""
    folder = shutil.copytree(demo_folder / "models/policy", tmp_path / "model")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone().flip(0)
    safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    return folder


def test_whatever_is_done_to_the_files_the_loaded_weights_stay(start_server, demo_folder, untied_model):
    reference = demo_folder / "models/reference"
    pairs = random_pairs(30)
    with start_server("--model", f"policy={untied_model}", "--model", f"reference={reference}") as server:
        assert server.address, server.log
        expected = score(server, pairs)
        for change in (overwrite, truncate, replace, remove):
            for file in untied_model.glob("*"):
                if file.is_file():
                    change(file)
            assert score(server, pairs) == expected, change.__name__
            assert server.process.poll() is None
