# SPDX-License-Identifier: Apache-2.0
"""What all contenders read: two 125M-parameter random Llamas and real preference pairs with their token ids."""

import dataclasses
import json
import os
import pathlib
import shutil

REPO = pathlib.Path(__file__).resolve().parents[2]
CACHE = REPO / ".cache" / "bench"
MODEL_SEEDS = {"policy": 11, "reference": 12}
VOCAB_SIZE = 51_200

PROMPT_TOKENS = range(32, 257)
COMPLETION_TOKENS = range(16, 129)


@dataclasses.dataclass(frozen=True)
class Pair:
    prompt: str
    chosen: str
    rejected: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def completions(self):
        return self.chosen_ids, self.rejected_ids


def test_data():
    folder = os.environ.get("PREFSCORE_TEST_DATA")
    if not folder or not pathlib.Path(folder).is_dir():
        raise SystemExit("PREFSCORE_TEST_DATA must name the folder with tokenizers/phi-2 and pairs/hh_harmless.jsonl")
    return pathlib.Path(folder)


def tokenizer_folder():
    return test_data() / "tokenizers" / "phi-2"


def model_folder(role):
    return CACHE / f"llama-125m-{role}"


def make_models():
    """Once; random weights, scaled up and with uneven norms, so that every part of the network shows in the numbers."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    for role, seed in MODEL_SEEDS.items():
        folder = model_folder(role)
        if (folder / "complete").exists():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        torch.manual_seed(seed)
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder())
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCAB_SIZE, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
                num_attention_heads=12, max_position_embeddings=2048, initializer_range=0.04,
                tie_word_embeddings=True, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            )
        )  # fmt: skip
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "norm" in name:
                    parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "complete").touch()


def pick_pairs(count):
    """The first `count` pairs, in file order, with prompt and completion lengths in the ranges above.

    Ids as TRL 1.16 makes them: EOS text appended, prompt and prompt + completion tokenised jointly.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder())
    pairs = []
    with open(test_data() / "pairs" / "hh_harmless.jsonl", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            prompt = tokenizer(row["prompt"]).input_ids
            texts = [row["prompt"] + row[side] + tokenizer.eos_token for side in ("chosen", "rejected")]
            joint = [tokenizer(text).input_ids for text in texts]
            shared = min(len(os.path.commonprefix([prompt, ids])) for ids in joint)
            completions = [ids[shared:] for ids in joint]
            pair = Pair(row["prompt"], row["chosen"], row["rejected"], prompt[:shared], *completions)
            if shared in PROMPT_TOKENS and all(len(ids) in COMPLETION_TOKENS for ids in pair.completions):
                pairs.append(pair)
            if len(pairs) == count:
                return pairs
    raise SystemExit(f"only {len(pairs)} pairs of the wanted lengths, {count} asked for")


def mean_lengths(pairs):
    return [sum(map(len, column)) / len(pairs)
            for column in zip(*((p.prompt_ids, p.chosen_ids, p.rejected_ids) for p in pairs), strict=True)]  # fmt: skip
