# SPDX-License-Identifier: Apache-2.0
"""Per-token log-probs of every architecture against transformers in float64 on the same ids.

transformers scores each prompt + completion alone; the engine scores groups that share their prompts. transformers' own
float32 run on the same ids is the yardstick of the error.

PREFSCORE_TEST_DEVICE=cuda:0 (or host) compares what runs on a GPU.
"""
import copy
import json
import os
import subprocess

import pytest
import safetensors.torch
import tokenizers
import torch

import random_models


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)  # small matrices: more threads only wait for each other


@pytest.fixture
def engine(build_dir):
    """engine(folder, groups, dtype): what score_ids writes for each group."""

    def run(folder, groups, dtype="float32"):
        lines = [json.dumps({"prompt": prompt, "completions": completions}) for prompt, completions in groups]
        device = os.environ.get("PREFSCORE_TEST_DEVICE", "cpu")
        done = subprocess.run([build_dir / "tests/score_ids", folder, "--device", device, "--dtype", dtype],
                              input="\n".join(lines) + "\n", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row for row in rows if "error" in row] == []
        return rows

    return run


@pytest.fixture
def engine_logps(engine):
    """engine_logps(folder, groups, dtype): the engine's log-probs in the order of random_models.group_logps."""

    def run(folder, groups, dtype="float32"):
        rows = engine(folder, groups, dtype)
        return torch.tensor([logp for row in rows for completion in row["token_logps"] for logp in completion],
                            dtype=torch.float64)

    return run


class Errors:
    """Largest and root-mean-square error per token, of the engine and of transformers in the same dtype."""

    def __init__(self, title, ours, theirs, exact):
        assert ours.shape == theirs.shape == exact.shape
        self.our_max, self.our_rms = self._measure(ours - exact)
        self.their_max, self.their_rms = self._measure(theirs - exact)
        print(f"{title}: {len(exact)} tokens, max error {self.our_max:.2e} (transformers {self.their_max:.2e}), "
              f"rms {self.our_rms:.2e} ({self.their_rms:.2e})")

    @staticmethod
    def _measure(error):
        return error.abs().max().item(), error.square().mean().sqrt().item()


def check_float32(model, folder, groups, engine_logps):
    exact = random_models.group_logps(copy.deepcopy(model).double(), groups)
    errors = Errors("float32", engine_logps(folder, groups), random_models.group_logps(model, groups), exact)
    assert errors.our_max <= 3 * errors.their_max


@torch.no_grad()
def greedy_completions(model, prompt, length):
    """What greedy decoding gives after the prompt, token by token with torch.argmax; and it with another last token."""
    ids = list(prompt)
    for _ in range(length):
        ids.append(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax().item())
    completion = ids[len(prompt):]
    return completion, completion[:-1] + [(completion[-1] + 1) % model.config.vocab_size]


def check_bfloat16(model, folder, groups, engine_logps):
    """`folder` holds bfloat16 weights, `model` the same: the error is that of bfloat16 arithmetic only.

    The largest of some hundred bfloat16 errors is one unlucky token: it has room where the root mean square has none.
    """
    exact = random_models.group_logps(copy.deepcopy(model).double(), groups)
    ours = engine_logps(folder, groups, "bfloat16")
    errors = Errors("bfloat16", ours, random_models.group_logps(model, groups), exact)
    assert errors.our_rms <= errors.their_rms
    assert errors.our_max <= 1.5 * errors.their_max


@pytest.mark.parametrize("variant", random_models.VARIANTS, ids=lambda variant: variant.name)
def test_float32(variant, tmp_path, engine_logps):
    random_models.save(random_models.make_model(variant), variant, tmp_path)
    model = random_models.load(tmp_path)
    assert random_models.early_token_effect(model, length=30) >= 0.1, "the model hardly sees its prompt"
    check_float32(model, tmp_path, random_models.make_groups(variant), engine_logps)


@pytest.mark.parametrize("variant", [variant for variant in random_models.VARIANTS if not variant.only_sizes],
                         ids=lambda variant: variant.name)
def test_bfloat16(variant, tmp_path, engine_logps):
    random_models.save(random_models.make_model(variant).bfloat16(), variant, tmp_path)
    model = random_models.load(tmp_path, torch.bfloat16)
    check_bfloat16(model, tmp_path, random_models.make_groups(variant), engine_logps)


def variant_named(name):
    return next(variant for variant in random_models.VARIANTS if variant.name == name)


def test_float16_weights(tmp_path, engine_logps):
    variant = variant_named("llama")
    random_models.save(random_models.make_model(variant).half(), variant, tmp_path)
    check_float32(random_models.load(tmp_path), tmp_path, random_models.make_groups(variant), engine_logps)


def test_gpt2_without_prefix_and_with_causal_mask_buffers(tmp_path, engine_logps):
    """As in the first GPT-2 checkpoints."""
    variant = variant_named("gpt2")
    groups = random_models.make_groups(variant)
    random_models.save(random_models.make_model(variant), variant, tmp_path)
    expected = engine_logps(tmp_path, groups)
    path = tmp_path / "model.safetensors"
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in safetensors.torch.load_file(path).items()}
    for layer in range(random_models.LAYERS):
        tensors[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 512, 512, dtype=torch.uint8).tril()
        tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    assert torch.equal(engine_logps(tmp_path, groups), expected)


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


def test_real_model_greedy_matches(real_folder, real_groups, engine):
    """What transformers decodes greedily is a match, what differs in its last token is not; nor are the stories' texts."""
    model = random_models.load(real_folder)
    groups = [(prompt, [*greedy_completions(model, prompt, length=12), completions[0]])
              for prompt, completions in real_groups[:20]]
    rows = engine(real_folder, groups)
    assert [row["is_greedy_match"] for row in rows] == [[True, False, False]] * len(groups)
