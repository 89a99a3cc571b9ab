# SPDX-License-Identifier: Apache-2.0
"""Rows of a data set, in TRL's conventions, as pairs.

A row has `chosen` and `rejected`, and `prompt` unless that is their common start: texts or lists of messages. Or it is
tokenised already and has `prompt_ids`, `chosen_ids` and `rejected_ids`, which then go before texts. Further columns
that are used where they are there: `tools` and `chat_template_kwargs` (of conversations) and `score_gap`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import content
from ..errors import MissingColumns
from ..types import KnownLogProbs, Pair

ID_COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids")
# A log-prob -> the columns that may tell it, the exact one first.
KNOWN_COLUMNS = {
    "policy_chosen_logp": ("policy_chosen_logp",),
    "policy_rejected_logp": ("policy_rejected_logp",),
    "reference_chosen_logp": ("reference_chosen_logp", "ref_chosen_logps"),
    "reference_rejected_logp": ("reference_rejected_logp", "ref_rejected_logps"),
}
# The column that tells which model log-probs are of.
DIGEST_COLUMNS = {
    "policy_digest": ("policy_chosen_logp", "policy_rejected_logp"),
    "reference_digest": ("reference_chosen_logp", "reference_rejected_logp"),
}


class RowReader:
    """Reads pairs from rows with these columns. Raises MissingColumns unless they make a pair.

    uses_known: log-probs that rows bring are taken as known, unless a digest beside them is of another model.
    """

    def __init__(self, columns: Iterable[str], uses_known: bool) -> None:
        present = list(columns)
        self._has_ids = all(name in present for name in ID_COLUMNS)
        if not self._has_ids:
            needed: tuple[str, ...] = ("chosen", "rejected")
            if not any(name in present for name in needed) and any(name in present for name in ID_COLUMNS):
                needed = ID_COLUMNS
            if missing := [name for name in needed if name not in present]:
                raise MissingColumns(
                    f"the data set has no column {' and no column '.join(map(repr, missing))}; it has: "
                    f"{', '.join(map(repr, present)) or 'none'}. Needed are chosen and rejected, with or without "
                    f"prompt, or {', '.join(ID_COLUMNS)}"
                )
        inputs = ID_COLUMNS if self._has_ids else ("prompt", "chosen", "rejected", "tools", "chat_template_kwargs")
        self._known = {
            logp: [name for name in names if name in present] if uses_known else []
            for logp, names in KNOWN_COLUMNS.items()
        }
        known = [name for names in self._known.values() for name in names]
        digests = [name for name in DIGEST_COLUMNS if known and name in present]
        self.columns = [name for name in (*inputs, "score_gap", *known, *digests) if name in present]
        """Those that are read."""

    def kept_digests(self, row: Mapping[str, Any], pair: Pair) -> dict[str, str]:
        """Those of models that the pair's log-probs are known of, by column: the server does not tell them."""
        kept = {}
        for column, (chosen, rejected) in DIGEST_COLUMNS.items():
            if column in self.columns and isinstance(digest := row.get(column), str) and digest:
                if getattr(pair.known, chosen) is not None and getattr(pair.known, rejected) is not None:
                    kept[column] = digest
        return kept

    def _known_logps(self, row: Mapping[str, Any], digests: Mapping[str, str]) -> KnownLogProbs:
        known = {
            logp: next((value for name in names if (value := _plain(row.get(name))) is not None), None)
            for logp, names in self._known.items()
        }
        for column, logps in DIGEST_COLUMNS.items():
            if column in self.columns and (told := _plain(row.get(column))) and digests[column] not in ("", told):
                known.update(dict.fromkeys(logps))
        return KnownLogProbs(**known)

    def pair(self, row: Mapping[str, Any], digests: Mapping[str, str]) -> Pair:
        """What is wrong in a row is told by who converts the pair.

        digests: of the models that score, by column; "": none does.
        """
        known = self._known_logps(row, digests)
        score_gap = _plain(row.get("score_gap"))
        if self._has_ids:
            prompt, chosen, rejected = (_plain(row.get(name)) for name in ID_COLUMNS)
            return Pair(chosen, rejected, prompt, known=known, score_gap=score_gap)
        prompt, chosen, rejected = (_plain(row.get(name)) for name in ("prompt", "chosen", "rejected"))
        if not (
            content.is_conversation(chosen) or content.is_conversation(rejected)
        ):  # as TRL, which reads tools only there
            return Pair(chosen, rejected, prompt, known=known, score_gap=score_gap)
        if isinstance(prompt, str):  # a common layout: the conversations hold it, too
            prompt = None
        tools, kwargs = _plain(row.get("tools")), _plain(row.get("chat_template_kwargs"))
        return Pair(
            chosen, rejected, prompt, tools=tools, chat_template_kwargs=kwargs, known=known, score_gap=score_gap
        )


def _plain(value: Any) -> Any:
    """Cells of data frames as what they stand for: NaN and pandas.NA are None, arrays of objects are lists."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else value
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value] if value.dtype == object else value
    if isinstance(value, Mapping):
        return {key: _plain(item) if isinstance(item, np.ndarray | Mapping) else item for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes) and any(isinstance(v, Mapping) for v in value):
        return [_plain(item) for item in value]
    return None if type(value).__name__ in ("NAType", "NaTType") else value
