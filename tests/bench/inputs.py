# SPDX-License-Identifier: Apache-2.0
"""What all contenders read: two random models of one shape and real preference pairs with their token ids."""

import dataclasses
import json
import os
import pathlib
import shutil

REPO = pathlib.Path(__file__).resolve().parents[2]
CACHE = REPO / ".cache" / "bench"
MODEL_SEEDS = {"policy": 11, "reference": 12}

PROMPT_TOKENS = range(32, 257)
COMPLETION_TOKENS = range(16, 129)


@dataclasses.dataclass(frozen=True)
class Shape:
    """A model's dimensions, and what transformers calls them."""

    config_class: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocab: int
    config: dict
    # transformers builds Qwen2's tokenizer with a class that the tokenizer at hand is not: ids only.
    has_tokenizer: bool = True

    @property
    def key_value_width(self):
        return 2 * self.kv_heads * self.hidden // self.heads

    @property
    def mlp_inputs(self):
        """Columns of the projections that the MLP's activation reads."""
        return self.intermediate if self.config_class == "GPT2Config" else 2 * self.intermediate


def _gated(config_class, hidden, layers, heads, kv_heads, intermediate, vocab, **more):
    config = dict(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads,
                  intermediate_size=intermediate, vocab_size=vocab, max_position_embeddings=4096)  # fmt: skip
    return Shape(config_class, hidden, layers, heads, kv_heads, intermediate, vocab, config, **more)


SHAPES = {
    "llama-125m": _gated("LlamaConfig", 768, 12, 12, 12, 2048, 51_200),
    "qwen2-500m": _gated("Qwen2Config", 896, 24, 14, 2, 4864, 151_936, has_tokenizer=False),
    "gpt2-125m": Shape("GPT2Config", 768, 12, 12, 12, 3072, 50_295,
                       dict(n_embd=768, n_layer=12, n_head=12, n_positions=1024, vocab_size=50_295)),
}  # fmt: skip


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


def model_folder(shape, role):
    return CACHE / f"{shape}-{role}"


def make_models(shape):
    """Once; random weights, scaled up and with uneven norms, so that every part of the network shows in the numbers."""
    import torch
    import transformers

    for role, seed in MODEL_SEEDS.items():
        folder = model_folder(shape, role)
        if (folder / "complete").exists():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        torch.manual_seed(seed)
        tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder())
        config = getattr(transformers, SHAPES[shape].config_class)(
            **SHAPES[shape].config, initializer_range=0.04, tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "norm" in name or "ln_" in name:
                    parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
        model.save_pretrained(folder)
        if SHAPES[shape].has_tokenizer:
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
