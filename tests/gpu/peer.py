#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What torch and transformers reach on the same GPU: the products of gpu_check's report, and pairs per second.

    peer.py REPORT --json FILE [--dry-run]

Two ways of scoring pairs with transformers, the better of which counts: as a DPO trainer does it (both completions as
rows of a batch, logits of every position), and carefully (logits of completion tokens only). Both compute the prompt
twice. Weights are random, of the architecture's own initialisation; attention is flash-attn's where that is installed,
else torch's (SDPA).
"""
import argparse
import importlib.util
import json
import statistics
import sys
import time

import torch

CONFIGS = {
    "Qwen2.5-0.5B": ("Qwen2Config", dict(num_hidden_layers=24, hidden_size=896, num_attention_heads=14,
                                         num_key_value_heads=2, intermediate_size=4864, vocab_size=151936,
                                         rope_theta=1e6, tie_word_embeddings=True)),
    "Llama-3.2-1B": ("LlamaConfig", dict(num_hidden_layers=16, hidden_size=2048, num_attention_heads=32,
                                         num_key_value_heads=8, intermediate_size=8192, vocab_size=128256,
                                         rope_theta=5e5, tie_word_embeddings=True)),
    "Llama-3.1-8B": ("LlamaConfig", dict(num_hidden_layers=32, hidden_size=4096, num_attention_heads=32,
                                         num_key_value_heads=8, intermediate_size=14336, vocab_size=128256,
                                         rope_theta=5e5, tie_word_embeddings=False)),
    "tiny": ("Qwen2Config", dict(num_hidden_layers=2, hidden_size=64, num_attention_heads=4, num_key_value_heads=2,
                                 intermediate_size=96, vocab_size=9000, tie_word_embeddings=True)),
}


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def median_seconds(device, budget, call):
    """Of one call, after two that are not counted."""
    for _ in range(2):
        call()
    synchronize(device)
    seconds, end = [], time.monotonic() + budget
    while len(seconds) < 3 or (time.monotonic() < end and len(seconds) < 1000):
        start = time.monotonic()
        call()
        synchronize(device)
        seconds.append(time.monotonic() - start)
    return statistics.median(seconds)


def product_tflops(device, rows, num_in, num_out, budget):
    x = torch.randn(rows, num_in, device=device, dtype=torch.bfloat16)
    weight = torch.randn(num_out, num_in, device=device, dtype=torch.bfloat16)
    runs = 10

    def multiply():
        for _ in range(runs):
            torch.mm(x, weight.T)

    return 2e-12 * runs * rows * num_in * num_out / median_seconds(device, budget, multiply)


def attention_of(device):
    has_flash = device.type == "cuda" and importlib.util.find_spec("flash_attn") is not None
    return "flash_attention_2" if has_flash else "sdpa"


def make_model(name, device):
    import transformers

    config_class, fields = CONFIGS[name]
    config = getattr(transformers, config_class)(max_position_embeddings=2048, **fields)
    config._attn_implementation = attention_of(device)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return model.eval()


def row_logps(logits, targets):
    """log softmax at the targets, in float32, some rows at a time."""
    parts = []
    for chunk, target in zip(logits.split(2048), targets.split(2048)):
        chunk = chunk.float()
        parts.append(chunk.gather(1, target[:, None])[:, 0] - chunk.logsumexp(-1))
    return torch.cat(parts)


def as_trainer(model, ids, prompt):
    """TRL's concatenated forward: logits of every position."""
    logits = model(input_ids=ids, use_cache=False).logits
    rows, targets = logits[:, prompt - 1:-1], ids[:, prompt:]
    return row_logps(rows.flatten(0, 1), targets.flatten())


def carefully(model, ids, prompt):
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, prompt - 1:-1]
    targets = ids[:, prompt:].flatten()
    rows = hidden.flatten(0, 1)
    return torch.cat([row_logps(model.lm_head(part), target)
                      for part, target in zip(rows.split(2048), targets.split(2048))])


@torch.inference_mode()
def time_model(name, prompt, completion, batch_sizes, device, budget):
    model = make_model(name, device)
    best = {"pairs_per_second": 0.0}
    for way in (as_trainer, carefully):
        for batch_size in batch_sizes:
            ids = torch.randint(0, model.config.vocab_size, (2 * batch_size, prompt + completion), device=device)
            try:
                seconds = median_seconds(device, budget, lambda: way(model, ids, prompt))
            except torch.OutOfMemoryError:
                break
            rate = batch_size / seconds / 2  # policy and reference
            if rate > best["pairs_per_second"]:
                best = {"pairs_per_second": rate, "pairs_per_second_cached_reference": 2 * rate, "way": way.__name__,
                        "pairs": batch_size}
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report")
    parser.add_argument("--json", required=True)
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    device = torch.device("cpu" if arguments.dry_run else "cuda")
    budget = 0.01 if arguments.dry_run else 2.0
    with open(arguments.report) as file:
        report = json.load(file)

    result = {"torch": torch.__version__, "products": {}, "models": {}}

    def write():
        with open(arguments.json, "w") as file:
            json.dump(result, file, indent=1)

    large = report["large_product"]
    result["large_product_tflops"] = product_tflops(device, large["rows"], large["num_in"], large["num_out"], budget)
    for model in report["models"]:
        result["products"][model["name"]] = {
            product["name"]: product_tflops(device, product["rows"], product["num_in"], product["num_out"], budget / 10)
            for product in model.get("products", [])}
    write()
    try:
        import transformers
    except ImportError as error:
        result["transformers_error"] = f"transformers is not installed: {error}"
        write()
        return 0
    result["transformers"] = transformers.__version__
    result["attention"] = attention_of(device)
    for model in report["models"]:
        print(f"peer: {model['name']}", file=sys.stderr)
        sizes = [batch["pairs"] for batch in model.get("batches", [])]
        if not sizes:
            continue  # ours failed
        try:
            timed = time_model(model["name"], model["prompt"], model["completion"], sizes, device, budget)
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:  # of one model: the others are timed
            timed = {"error": f"{type(error).__name__}: {error}"}
        result["models"][model["name"]] = timed
        if device.type == "cuda":
            torch.cuda.empty_cache()
        write()
    return int(any("error" in model for model in result["models"].values()))


if __name__ == "__main__":
    sys.exit(main())
