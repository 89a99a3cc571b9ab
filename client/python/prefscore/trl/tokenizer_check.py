# SPDX-License-Identifier: Apache-2.0
"""Whether ids mean the same here and at the reference: both sides tokenise a text that uses much of a vocabulary."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..errors import TokenizerMismatch
from ..types import Pair, ScoringOptions
from .reference import RemoteReference

logger = logging.getLogger("prefscore.trl")

_PROMPT = "Once upon a time, in 1984, Zoë's friends (all 27 of them) asked:\n\t\"Où est le château?\""
_CHOSEN = " It's not far — walk past the old mill, turn left, then 100 metres.\n\n1. Привет 2. 你好 3. مرحبا 4. 🙂"
_REJECTED = " def main(x: int) -> str: return f\"{x ** 2 / 3.5}\"  # see https://example.org/?q=a&b=c"


def check_tokenizer(reference: RemoteReference, tokenizer: Any) -> None:
    """Raises TokenizerMismatch; says so in the log where the server has no tokenizer to compare with.

    Not compared: which special tokens are put around a text, and chat templates. Ids are sent, so these are local.
    """
    model = reference.identity.model
    options = ScoringOptions(policy=model, reference=model, objectives=["sft_sum"], return_token_ids=True)
    (result,) = reference.client.score_pairs([Pair(_CHOSEN, _REJECTED, _PROMPT)], options)
    if result.token_ids is None:
        told = "it sent no ids" if result.error is None else result.error.message
        logger.warning("not checked that the reference %r has this tokenizer: %s", model, told)
        return
    for completion, sent in ((_CHOSEN, result.token_ids.chosen), (_REJECTED, result.token_ids.rejected)):
        theirs = _without_start(tokenizer, [*result.token_ids.prompt.tolist(), *sent.tolist()])
        ours = _without_start(tokenizer, tokenizer(_PROMPT + completion)["input_ids"])
        # Not the end: either side may put an end token there, and that may merge with the text.
        for position, (our, their) in enumerate(zip(ours[:-2], theirs[:-2], strict=False)):
            if our != their:
                raise TokenizerMismatch(
                    f"the tokenizer here and that of the reference {model!r} (fingerprint "
                    f"{reference.identity.tokenizer_fingerprint}) differ: token {position} of a test text is "
                    f"{our} ({tokenizer.decode([our])!r}) here and {their} there. Log-probs of ids that mean something "
                    "else are worth nothing"
                )


def _without_start(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    return list(ids[1:]) if ids and ids[0] == tokenizer.bos_token_id else list(ids)
