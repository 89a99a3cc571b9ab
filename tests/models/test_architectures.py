# SPDX-License-Identifier: Apache-2.0
"""Per-token log-probs of every architecture against transformers in float64 on the same ids.

transformers scores each prompt + completion alone; the engine scores groups that share their prompts. transformers' own
float32 run on the same ids is the yardstick of the error.
"""
import copy
import json
import subprocess

import pytest
import tokenizers
import torch

import random_models


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)  # small matrices: more threads only wait for each other


@pytest.fixture
def engine_logps(build_dir):
    """engine_logps(folder, groups, dtype): the engine's log-probs in the order of random_models.group_logps."""

    def run(folder, groups, dtype="float32"):
        lines = [json.dumps({"prompt": prompt, "completions": completions}) for prompt, completions in groups]
        done = subprocess.run([build_dir / "tests/score_ids", folder, "--dtype", dtype], input="\n".join(lines) + "\n",
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row for row in rows if "error" in row] == []
        return torch.tensor([logp for row in rows for completion in row["token_logps"] for logp in completion],
                            dtype=torch.float64)

    return run


def max_error(logps, exact):
    assert logps.shape == exact.shape
    return (logps - exact).abs().max().item()


def check_float32(model, folder, groups, engine_logps):
    theirs = random_models.group_logps(model, groups)
    exact = random_models.group_logps(copy.deepcopy(model).double(), groups)
    their_error, our_error = max_error(theirs, exact), max_error(engine_logps(folder, groups), exact)
    print(f"float32: {len(exact)} tokens, engine {our_error:.2e}, transformers {their_error:.2e}, "
          f"ratio {our_error / their_error:.2f}")
    assert our_error <= 3 * their_error


def check_bfloat16(model, folder, groups, engine_logps):
    """`folder` holds bfloat16 weights, `model` the same; exact is float64 on them."""
    exact = random_models.group_logps(copy.deepcopy(model).double(), groups)
    theirs = random_models.group_logps(model, groups)
    their_error, our_error = max_error(theirs, exact), max_error(engine_logps(folder, groups, "bfloat16"), exact)
    print(f"bfloat16: {len(exact)} tokens, engine {our_error:.2e}, transformers {their_error:.2e}, "
          f"ratio {our_error / their_error:.2f}")
    assert our_error <= their_error


@pytest.mark.parametrize("variant", random_models.VARIANTS, ids=lambda variant: variant.name)
def test_float32(variant, tmp_path, engine_logps):
    random_models.save(random_models.make_model(variant), variant, tmp_path)
    model = random_models.load(tmp_path)
    assert random_models.early_token_effect(model, length=30) >= 0.1, "the model hardly sees its prompt"
    check_float32(model, tmp_path, random_models.make_groups(variant), engine_logps)


@pytest.mark.parametrize("variant", random_models.VARIANTS, ids=lambda variant: variant.name)
def test_bfloat16(variant, tmp_path, engine_logps):
    random_models.save(random_models.make_model(variant).bfloat16(), variant, tmp_path)
    model = random_models.load(tmp_path, torch.bfloat16)
    check_bfloat16(model, tmp_path, random_models.make_groups(variant), engine_logps)


@pytest.fixture(params=["stories260k", "stories260k-dpo"])
def real_folder(request, test_data):
    return test_data / "models" / request.param


@pytest.fixture
def real_groups(test_data, real_folder):
    """All pairs of the model's domain, prompts and completions tokenised jointly, with BOS."""
    tokenizer = tokenizers.Tokenizer.from_file(str(real_folder / "tokenizer.json"))
    groups = []
    for line in (test_data / "pairs/stories.jsonl").read_text().splitlines():
        row = json.loads(line)
        prompt = tokenizer.encode(row["prompt"]).ids
        completions = [tokenizer.encode(row["prompt"] + row[side]).ids[len(prompt):] for side in ("chosen", "rejected")]
        groups.append((prompt, completions))
    assert len(groups) == 268
    return groups


def test_real_model_float32(real_folder, real_groups, engine_logps):
    check_float32(random_models.load(real_folder), real_folder, real_groups, engine_logps)


def test_real_model_bfloat16(real_folder, real_groups, tmp_path, engine_logps):
    model = random_models.load(real_folder, torch.bfloat16)
    model.save_pretrained(tmp_path)
    check_bfloat16(model, tmp_path, real_groups, engine_logps)
