# SPDX-License-Identifier: Apache-2.0
"""A batch of TRL's DPO collator as token ids to score, and back.

A batch of num_pairs pairs has 2 num_pairs rows, chosen ones first: input_ids, attention_mask and completion_mask,
[2 num_pairs, width]. What TRL scores of a row is the tokens under its completion_mask, but for a row's first token,
which nothing predicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidArgument
from ..types import CompletionResult, PromptCompletions

_COLUMNS = {"input_ids", "attention_mask", "completion_mask", "ref_chosen_logps", "ref_rejected_logps"}

Ids = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BatchPrompts:
    """What to ask the server for.

    prompts: one per pair, with both completions; two where truncation left the sides different prompts.
    places: of each row, the positions of its prompt and of its completion in there; None: it has no token to score.
    """

    prompts: list[PromptCompletions]
    places: list[tuple[int, int] | None]


def prompts_of_batch(batch: Mapping[str, Any]) -> BatchPrompts:
    """Raises InvalidArgument for a batch that is not TRL's of text, or whose completions do not end their rows."""
    missing = [name for name in ("input_ids", "attention_mask", "completion_mask") if name not in batch]
    if missing:
        raise InvalidArgument(
            f"the batch has no {', '.join(missing)}; it has {', '.join(map(str, batch))}. A data_collator must make "
            "what TRL's DataCollatorForPreference makes"
        )
    if others := set(batch) - _COLUMNS:
        raise InvalidArgument(
            f"the batch has {', '.join(sorted(others))}, which the policy would see and the served reference would not"
        )
    arrays = [batch[name].numpy(force=True) for name in ("input_ids", "attention_mask", "completion_mask")]
    rows = [_split(ids[mask != 0], completion[mask != 0], row) for row, (ids, mask, completion) in
            enumerate(zip(*arrays, strict=True))]  # fmt: skip
    prompts: list[PromptCompletions] = []
    places: list[tuple[int, int] | None] = [None] * len(rows)
    num_pairs = len(rows) // 2
    for pair in range(num_pairs):
        sides = [row for row in (pair, pair + num_pairs) if len(rows[row][1]) > 0]
        if len(sides) == 2 and np.array_equal(rows[sides[0]][0], rows[sides[1]][0]):
            groups = [sides]
        else:
            groups = [[row] for row in sides]
        for group in groups:
            for position, row in enumerate(group):
                places[row] = (len(prompts), position)
            prompts.append(PromptCompletions(rows[group[0]][0], [rows[row][1] for row in group]))
    return BatchPrompts(prompts, places)


def _split(ids: Ids, completion_mask: Ids, row: int) -> tuple[Ids, Ids]:
    """Prompt and completion of one row."""
    num_prompt_tokens = int((completion_mask == 0).sum())
    if completion_mask[:num_prompt_tokens].any():
        raise InvalidArgument(
            f"completion_mask of row {row} is not 0 for a prompt and then 1 for its completion: the reference scores "
            "whole completions"
        )
    num_prompt_tokens = max(num_prompt_tokens, 1)
    return ids[:num_prompt_tokens], ids[num_prompt_tokens:]


def logps_of_rows(
    places: Sequence[tuple[int, int] | None],
    completions: Sequence[Sequence[CompletionResult]],
    ld_alpha: float | None,
) -> Float64s:
    """Log-prob of each row, [2 num_pairs], nats.

    completions: as scored, those of each prompt.
    ld_alpha: TRL's: weight of the tokens beyond the shorter completion of a pair; None: all count alike.
    """
    scored = [None if place is None else completions[place[0]][place[1]] for place in places]
    if ld_alpha is None:
        return np.array([0.0 if one is None else one.logps[0].logp for one in scored])
    tokens = [
        np.empty(0) if one is None or one.logps[0].token_logps is None else one.logps[0].token_logps.astype(np.float64)
        for one in scored
    ]
    num_pairs = len(tokens) // 2
    logps = np.empty(len(tokens))
    for row, logp in enumerate(tokens):
        num_shared = min(len(logp), len(tokens[(row + num_pairs) % len(tokens)]))
        logps[row] = logp[:num_shared].sum() + ld_alpha * logp[num_shared:].sum()
    return logps
