# SPDX-License-Identifier: Apache-2.0
"""Whether token ids mean the same here and on a server.

A server's `tokenizer_fingerprint` covers its own tokenizer library as well, so it cannot be computed here. What is
compared is what matters: the ids of texts that use much of a vocabulary.
"""

from __future__ import annotations

import os
from typing import Any

from .client import Client
from .errors import FailedPrecondition, InvalidArgument, MissingExtra, TokenizerMismatch
from .types import Model, Pair, ScoringOptions

# Cases, accents, digits, white space, other scripts, code, an address, emoji. No text fills a small context.
_TEXTS = (
    "Once upon a time, in 1984, Zoë's FRIENDS (all 27 of them)",
    '\n\t"Où est le château?"  -- not far:\n\n1. 4567890 2. 3.5e-7',
    "Привет 你好 مرحبا 数学 🙂👍🏽 naïve Straße",
    "def main(x: int) -> str: return f'{x ** 2}'  # https://example.org/?q=a&b=c",
)
# Tokens that a server may put around a text, such as BOS and EOS.
_MAX_ADDED_TOKENS = 4


def check_tokenizer(client: Client, tokenizer: Any, model: str = "") -> None:
    """Raises TokenizerMismatch where `tokenizer` and that of a hosted model make different ids of a text.

    tokenizer: one of transformers or tokenizers, or the path of a folder that transformers reads one from.
    model: its name on the server. Default: the server's policy.

    Not compared: special tokens around a text, and chat templates. Of a model without a tokenizer only the size of the
    vocabulary is compared. Scores a few short texts.
    """
    hosted = client.models().model(model, "policy")
    if isinstance(tokenizer, str | os.PathLike):
        tokenizer = _load(tokenizer)
    if not (hasattr(tokenizer, "encode") and hasattr(tokenizer, "get_vocab")):
        raise InvalidArgument(
            "tokenizer: must be a tokenizer of transformers or tokenizers, or the path of a folder, not "
            f"{type(tokenizer).__name__}"
        )
    largest_id = max(tokenizer.get_vocab().values(), default=0)
    if largest_id >= hosted.vocab_size:
        raise TokenizerMismatch(
            f"the tokenizer here has ids up to {largest_id}, and model {hosted.name!r} has a vocabulary of "
            f"{hosted.vocab_size}"
        )
    if hosted.tokenizer_fingerprint:
        _compare(client, tokenizer, hosted)


def _load(folder: str | os.PathLike[str]) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtra.of("trl", "transformers") from None
    if not os.path.isdir(folder):
        raise InvalidArgument(f"tokenizer: {os.fspath(folder)!r} is no folder")
    return AutoTokenizer.from_pretrained(folder)


def _compare(client: Client, tokenizer: Any, model: Model) -> None:
    options = ScoringOptions(
        policy=model.name, reference=model.name, objectives=["sft"], return_token_ids=True, cache_mode="bypass"
    )
    pairs = [Pair(" yes", " no", text) for text in _TEXTS]
    for text, result in zip(_TEXTS, client.score_pairs(pairs, options), strict=True):
        if result.token_ids is None:
            reason = result.error.message if result.error else "the server sent no ids"
            raise FailedPrecondition(f"the tokenizer of model {model.name!r} could not be checked: {reason}")
        for completion, completion_ids in ((" yes", result.token_ids.chosen), (" no", result.token_ids.rejected)):
            there = [*result.token_ids.prompt.tolist(), *completion_ids.tolist()]
            here = _ids(tokenizer, text + completion)
            if not _contains(there, here):
                raise TokenizerMismatch(
                    f"the tokenizer here and that of model {model.name!r} (fingerprint {model.tokenizer_fingerprint}) "
                    f"differ: {_difference(text + completion, here, there)}"
                )


def _ids(tokenizer: Any, text: str) -> list[int]:
    encoded = tokenizer.encode(text, add_special_tokens=False)
    return list(getattr(encoded, "ids", encoded))


def _contains(there: list[int], here: list[int]) -> bool:
    num_added = len(there) - len(here)
    return num_added <= _MAX_ADDED_TOKENS and any(
        there[start : start + len(here)] == here for start in range(num_added + 1)
    )


def _difference(text: str, here: list[int], there: list[int]) -> str:
    """Where they part, seen from the start that they share most of."""
    best_start, best_length = 0, -1
    for start in range(_MAX_ADDED_TOKENS + 1):
        pairs = zip(here, there[start:], strict=False)
        length = next((idx for idx, (ours, theirs) in enumerate(pairs) if ours != theirs), len(here))
        if length > best_length:
            best_start, best_length = start, length
    theirs = there[best_start + best_length :]
    return (
        f"the ids of {text!r} part at position {best_length}: {here[best_length : best_length + 3]} here, "
        f"{theirs[:3]} there"
    )
