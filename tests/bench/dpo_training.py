#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""DPO training with TRL on its own reference and on a served one: time per step, waiting, memory, losses.

    PREFSCORE_TEST_DATA=... .venv/bin/python tests/bench/dpo_training.py [--bf16] [--steps N] [--model FOLDER]

The run has the first core, the server the others. See README.md beside this file.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import inputs
import server_process
from contender import peak_rss_bytes

WARM_UP_STEPS = 2


def train(args):
    """One run in this process; prints its figures as JSON."""
    import datasets
    import torch
    import transformers
    import trl

    from prefscore.trl import RemoteReferenceDPOTrainer

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    ends = []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *_, **__):
            ends.append(time.monotonic())

    rows = [json.loads(line) for line in args.pairs.read_text().splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        common = dict(
            args=trl.DPOConfig(
                folder, per_device_train_batch_size=args.batch, max_steps=args.steps + WARM_UP_STEPS, max_length=256,
                bf16=args.bf16, use_cpu=True, logging_steps=1, report_to=[], save_strategy="no", disable_tqdm=True,
                learning_rate=1e-5, activation_checkpointing=False,
            ),
            train_dataset=datasets.Dataset.from_list([{k: row[k] for k in ("prompt", "chosen", "rejected")}
                                                      for row in rows]),
            processing_class=transformers.AutoTokenizer.from_pretrained(args.model), callbacks=[Clock()],
        )  # fmt: skip
        model = transformers.AutoModelForCausalLM.from_pretrained(args.model)
        if args.reference:
            trainer = RemoteReferenceDPOTrainer(model, reference=args.reference, **common)
        else:
            trainer = trl.DPOTrainer(model, **common)
        trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    modules = [module for module in (trainer.model, trainer.ref_model) if module is not None]
    print("RESULT" + json.dumps({
        "seconds per step": statistics.median(b - a for a, b in zip(ends[WARM_UP_STEPS - 1 :], ends[WARM_UP_STEPS:])),
        "wait per batch": statistics.mean([e["reference/wait_s"] for e in logged[WARM_UP_STEPS:]])
        if args.reference else None,
        "weights MiB": sum(p.nbytes for module in modules for p in module.parameters()) / 2**20,
        "peak RSS MiB": peak_rss_bytes() / 2**20,
        "losses": [entry["loss"] for entry in logged],
    }))  # fmt: skip


def run(args, reference):
    flags = ["--model", str(args.model), "--pairs", str(args.pairs), "--steps", str(args.steps), "--batch",
             str(args.batch), *(["--bf16"] if args.bf16 else []), "--reference", reference]  # fmt: skip
    done = subprocess.run([sys.executable, __file__, "--worker", *flags], capture_output=True, text=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, [0]))  # fmt: skip
    results = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if done.returncode != 0 or not results:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return json.loads(results[0].removeprefix("RESULT"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, help="policy and reference (default: llama-125m, random)")
    parser.add_argument("--pairs", type=pathlib.Path, help="(default: hh_harmless.jsonl of the test data)")
    parser.add_argument("--steps", type=int, default=10, help=f"beside {WARM_UP_STEPS} first ones (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=2, help="pairs per step (default: %(default)s)")
    parser.add_argument("--bf16", action="store_true", help="train under bf16 autocast; the server stays in float32")
    parser.add_argument("--build-dir", type=pathlib.Path, default=inputs.REPO / "build", help="(default: build)")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--reference", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return train(args)
    args.pairs = args.pairs or inputs.test_data() / "pairs/hh_harmless.jsonl"
    if args.model is None:
        inputs.make_models("llama-125m")
        args.model = inputs.model_folder("llama-125m", "policy")
    local = run(args, "")
    cores = sorted(os.sched_getaffinity(0))
    with server_process.serving(args.build_dir, "--model", f"m={args.model}", "--policy", "m", "--reference", "m",
                                "--cache-dir", "", cores=cores[1:] or cores) as server:  # fmt: skip
        remote = run(args, server.address)
    print("| | TRL's reference | served reference |\n|---|---|---|")
    for name in ("seconds per step", "wait per batch", "weights MiB", "peak RSS MiB"):
        cells = ["" if result[name] is None else f"{result[name]:.4g}" for result in (local, remote)]
        print(f"| {name} | {cells[0]} | {cells[1]} |")
    print(f"| first loss | {local['losses'][0]:.6f} | {remote['losses'][0]:.6f} |")
    difference = max(abs(x - y) for x, y in zip(local["losses"], remote["losses"], strict=True))
    print(f"| largest difference of a step's loss | | {difference:.2g} |")


if __name__ == "__main__":
    main()
