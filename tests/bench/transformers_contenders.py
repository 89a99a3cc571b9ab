# SPDX-License-Identifier: Apache-2.0
"""Hugging Face transformers, used in four ways."""

import copy

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

import inputs

TRL_BATCH_PAIRS = 8


def _load_models(shape, dtype):
    return [AutoModelForCausalLM.from_pretrained(inputs.model_folder(shape, role), dtype=dtype).eval()
            for role in inputs.MODEL_SEEDS]  # fmt: skip


def _completion_logp(logits, completion_ids):
    """Sum over the completion of log-probs in float32 (float64 for float64 logits); logits: [completion, vocab]."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    logps = logits.log_softmax(-1).gather(1, torch.tensor(completion_ids)[:, None])
    return logps.double().sum().item()


def score_like_trl(models, pairs):
    """Rows padded to the longest of the batch, chosen above rejected; logits of every position; log-softmax, mask."""
    from trl.trainer.utils import selective_log_softmax

    results = []
    for begin in range(0, len(pairs), TRL_BATCH_PAIRS):
        batch = pairs[begin : begin + TRL_BATCH_PAIRS]
        rows = [(p.prompt_ids, p.chosen_ids) for p in batch] + [(p.prompt_ids, p.rejected_ids) for p in batch]
        width = max(len(prompt) + len(completion) for prompt, completion in rows)
        input_ids = torch.zeros(len(rows), width, dtype=torch.long)
        attention_mask = torch.zeros_like(input_ids)
        completion_mask = torch.zeros_like(input_ids)
        for i, (prompt, completion) in enumerate(rows):
            length = len(prompt) + len(completion)
            input_ids[i, :length] = torch.tensor(prompt + completion)
            attention_mask[i, :length] = 1
            completion_mask[i, len(prompt) : length] = 1
        columns = []
        for model in models:
            logits = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits[:, :-1]
            logps = selective_log_softmax(logits, input_ids[:, 1:])
            logps = logps.masked_fill(completion_mask[:, 1:] == 0, 0).float().sum(1).tolist()
            columns += [logps[: len(batch)], logps[len(batch) :]]
        results += [list(row) for row in zip(*columns, strict=True)]
    return results


def score_one_by_one(models, pairs):
    """One completion at a time, no padding; the head on the completion's rows only."""
    return [
        [_one(model, pair.prompt_ids, completion) for model in models for completion in pair.completions]
        for pair in pairs
    ]


def _one(model, prompt_ids, completion_ids):
    output = model(
        input_ids=torch.tensor([prompt_ids + completion_ids]), logits_to_keep=len(completion_ids) + 1, use_cache=False
    )
    return _completion_logp(output.logits[0, :-1], completion_ids)


def score_with_shared_prompt(models, pairs):
    """As above, but the prompt runs once for both completions, through the key-value cache."""
    return [[logp for model in models for logp in _shared(model, pair)] for pair in pairs]


def _shared(model, pair):
    prompt_ids = torch.tensor([pair.prompt_ids])
    prompt = model(input_ids=prompt_ids, logits_to_keep=1, use_cache=True, past_key_values=DynamicCache())
    logps = []
    for completion_ids in pair.completions:
        logits = prompt.logits[0]
        if len(completion_ids) > 1:
            cache = copy.deepcopy(prompt.past_key_values)
            rest = model(input_ids=torch.tensor([completion_ids[:-1]]), past_key_values=cache, use_cache=True)
            logits = torch.cat([logits, rest.logits[0]])
        logps.append(_completion_logp(logits, completion_ids))
    return logps


WAYS = {
    "transformers-trl": (score_like_trl, f"2B padded rows, logits everywhere, batch {TRL_BATCH_PAIRS}"),
    "transformers-careful": (score_one_by_one, "completion rows only, one completion at a time"),
    "transformers-cached": (score_with_shared_prompt, "the same, prompt shared through the KV cache"),
    "float64": (score_one_by_one, "the yardstick of the numbers"),
}


def load(args, pairs):
    way, description = WAYS[args.name]
    torch.set_num_threads(args.threads)
    dtype = getattr(torch, args.dtype)
    models = _load_models(args.shape, dtype)
    if args.name == "float64":  # of the weights as rounded to the dtype that is measured
        models = [model.double() for model in models]
        dtype = torch.float64

    @torch.inference_mode()
    def score():
        return way(models, pairs)

    return f"transformers {transformers.__version__}, {str(dtype).removeprefix('torch.')}: {description}", score, "self"
