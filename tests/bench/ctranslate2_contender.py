# SPDX-License-Identifier: Apache-2.0
"""CTranslate2's score_batch, on models converted once."""

import pathlib
import subprocess
import sys
import tempfile

import ctranslate2
from transformers import AutoTokenizer

import inputs

BATCH_TOKENS = 1024


def _converted(shape, role, tokenizer):
    folder = inputs.CACHE / f"ctranslate2-{shape}-{role}"
    if not (folder / "model.bin").exists():
        with tempfile.TemporaryDirectory() as model:
            tokenizer.save_pretrained(model)  # the converter wants one
            for file in inputs.model_folder(shape, role).iterdir():
                if "tokenizer" not in file.name:
                    pathlib.Path(model, file.name).symlink_to(file)
            # In a process of its own, so that the converter's memory is not counted as the scorer's.
            program = "from ctranslate2.converters.transformers import main; main()"
            flags = ["--model", model, "--output_dir", folder, "--force"]
            subprocess.run([sys.executable, "-c", program, *flags], check=True)
    return folder


def load(args, pairs):
    tokenizer = AutoTokenizer.from_pretrained(inputs.tokenizer_folder())
    dtype = args.dtype if args.dtype in ctranslate2.get_supported_compute_types("cpu") else "float32"
    models = [
        ctranslate2.Generator(str(_converted(args.shape, role, tokenizer)), device="cpu", compute_type=dtype, intra_threads=args.threads)
        for role in ("policy", "reference")
    ]
    rows = [(pair.prompt_ids, completion) for pair in pairs for completion in pair.completions]
    tokens = [tokenizer.convert_ids_to_tokens(prompt + completion) for prompt, completion in rows]

    def score():
        columns = []
        for model in models:
            scored = model.score_batch(tokens, max_batch_size=BATCH_TOKENS, batch_type="tokens")
            logps = [sum(result.log_probs[-len(completion) :])
                     for result, (_, completion) in zip(scored, rows, strict=True)]  # fmt: skip
            columns += [logps[0::2], logps[1::2]]
        return [list(row) for row in zip(*columns, strict=True)]

    description = f"CTranslate2 {ctranslate2.__version__}, {dtype}: score_batch, batches of {BATCH_TOKENS} tokens"
    return description, score, "self"
