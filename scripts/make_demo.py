#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the demo: a reference model, a policy DPO-tuned from it, and held-out preference pairs.

    scripts/setup --tests && .venv/bin/python scripts/make_demo.py

writes deploy/demo/models/{reference,policy} and deploy/demo/pairs.jsonl, on one CPU core, in the minutes that
deploy/demo/README.md states. All text comes from scripts/lib/demo_text.py; all seeds are fixed. The packages are those
of scripts/lib/requirements-tests.txt. Floating-point sums depend on the processor, so another machine makes models
that differ in the last bits at first and visibly in the end; the pairs are the same everywhere.
"""

import argparse
import collections
import itertools
import json
import os
import pathlib
import random
import sys
import time

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: E402

import demo_text  # noqa: E402

VOCAB_SIZE = 1024
CONTEXT_TOKENS = 512
BOS, EOS, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

NUM_TOKENIZER_DOCUMENTS = 20_000
BATCH_DOCUMENTS = 32
SOUND_FRACTION = 0.65  # of the reference's training documents; the others end with a faulty continuation
CHAT_FRACTION = 0.2  # of the documents that hold a question
REFERENCE_STEPS = 2400
NUM_DPO_PAIRS = 768
NUM_DEMO_PAIRS = 128


def chat(messages):
    return BOS + "".join(f"<|{m['role']}|>{m['content']}{EOS}" for m in messages)


def documents(seed):
    """The reference's training text: prompt + continuation, sound or faulty, some of the questions as chats."""
    rng = random.Random(seed)
    for pair in demo_text.pairs(seed, held_out=False):
        completion = pair.chosen if rng.random() < SOUND_FRACTION else pair.rejected
        if pair.prompt.endswith("\nAnswer:") and rng.random() < CHAT_FRACTION:
            question = pair.prompt.removesuffix("\nAnswer:").replace("\nQuestion: ", " ")
            yield chat([{"role": "user", "content": question}, {"role": "assistant", "content": completion.strip()}])
        else:
            yield BOS + pair.prompt + completion + EOS


def train_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[BOS, EOS, PAD, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = itertools.islice(demo_text.pairs("tokenizer", held_out=False), NUM_TOKENIZER_DOCUMENTS)
    tokenizer.train_from_iterator((p.prompt + p.chosen + "\n" + p.rejected for p in text), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=list(ROLES),
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def new_model(tokenizer):
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(1)
    return LlamaForCausalLM(config)


def train_reference(tokenizer, num_steps):
    model = new_model(tokenizer).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=num_steps, pct_start=0.05)
    text = documents("reference")
    start = time.monotonic()
    for step in range(num_steps):
        encoded = [tokenizer(d, add_special_tokens=False).input_ids for d in itertools.islice(text, BATCH_DOCUMENTS)]
        batch = tokenizer.pad({"input_ids": encoded}, return_tensors="pt")
        labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
        loss = model(**batch, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == num_steps - 1:
            print(f"reference: step {step}, loss {loss.item():.3f}, {time.monotonic() - start:.0f} s", flush=True)
    return model


def tune_policy(reference_folder, tokenizer, learning_rate):
    """TRL's DPOTrainer for one short epoch: the policy is meant to be better than the reference, not perfect."""
    from trl import DPOConfig, DPOTrainer

    drawn = itertools.islice(demo_text.pairs("policy", held_out=False), NUM_DPO_PAIRS)
    rows = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in drawn]
    config = DPOConfig(
        output_dir=str(ROOT / ".cache" / "make_demo"),
        beta=0.1,
        learning_rate=learning_rate,
        num_train_epochs=1,
        per_device_train_batch_size=8,
        lr_scheduler_type="linear",
        warmup_steps=8,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        seed=2,
        logging_steps=24,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = DPOTrainer(
        model=LlamaForCausalLM.from_pretrained(reference_folder, dtype=torch.float32),
        ref_model=LlamaForCausalLM.from_pretrained(reference_folder, dtype=torch.float32),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    return trainer.model


def save(model, tokenizer, folder):
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)


def demo_rows():
    """The first NUM_DEMO_PAIRS held-out draws with distinct prompts, unselected."""
    rows, seen = [], set()
    for pair in demo_text.pairs("demo", held_out=True):
        if pair.prompt in seen:
            continue
        seen.add(pair.prompt)
        rows.append({"id": f"demo-{len(rows):03d}", "prompt": pair.prompt, "chosen": pair.chosen,
                     "rejected": pair.rejected})  # fmt: skip
        if len(rows) == NUM_DEMO_PAIRS:
            return rows


def completion_logp(model, tokenizer, prompt, completion):
    prompt_ids = tokenizer(prompt).input_ids
    ids = tokenizer(prompt + completion + EOS).input_ids
    assert ids[: len(prompt_ids)] == prompt_ids
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, len(prompt_ids) - 1 : -1].double()
    targets = torch.tensor(ids[len(prompt_ids) :])
    return logits.log_softmax(-1).gather(1, targets[:, None]).sum().item()


def margins(folder, rows):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return [
        completion_logp(model, tokenizer, r["prompt"], r["chosen"])
        - completion_logp(model, tokenizer, r["prompt"], r["rejected"])
        for r in rows
    ]


def learning_table(demo, rows):
    """{(policy, reference): number of pairs}, each "right" or "wrong" by the sign of its margin."""
    h, h0 = margins(demo / "models" / "policy", rows), margins(demo / "models" / "reference", rows)
    cells = collections.Counter(
        ("right" if policy > 0 else "wrong", "right" if reference > 0 else "wrong")
        for policy, reference in zip(h, h0, strict=True)
    )
    return {cell: cells[cell] for cell in itertools.product(("wrong", "right"), repeat=2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "deploy" / "demo")
    parser.add_argument("--reference-steps", type=int, default=REFERENCE_STEPS)
    parser.add_argument("--policy-learning-rate", type=float, default=4e-4)
    parser.add_argument("--keep-reference", action="store_true", help="tune from the reference that is already there")
    args = parser.parse_args()

    torch.set_num_threads(1)
    start = time.monotonic()
    reference, policy = args.output / "models" / "reference", args.output / "models" / "policy"
    if args.keep_reference:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(reference)
    else:
        tokenizer = train_tokenizer()
        save(train_reference(tokenizer, args.reference_steps), tokenizer, reference)
    save(tune_policy(reference, tokenizer, args.policy_learning_rate), tokenizer, policy)

    rows = demo_rows()
    with open(args.output / "pairs.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    for (policy_is, reference_is), count in learning_table(args.output, rows).items():
        print(f"policy {policy_is}, reference {reference_is}: {count}")
    print(f"{(time.monotonic() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
