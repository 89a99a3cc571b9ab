# SPDX-License-Identifier: Apache-2.0
"""What became of a data set's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .columns import ERROR_COLUMNS


@dataclass(slots=True)
class DatasetSummary:
    """Filled in by `score_dataset` while it scores; of a data set that is scored lazily, by each pass anew.

    num_rows: rows that have their scores, or their error.
    num_failed: of those, rows with an error; `errors` counts them by code.
    num_kept: of num_rows, those that came from the checkpoint.
    seconds: since the first row was asked for.
    policy_digest, reference_digest: of the models; "" where the server hosts none for that role.
    """

    num_rows: int = 0
    num_failed: int = 0
    num_kept: int = 0
    seconds: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    policy_digest: str = ""
    reference_digest: str = ""

    @property
    def pairs_per_s(self) -> float:
        """Without the rows of the checkpoint; 0 before the first one."""
        return (self.num_rows - self.num_kept) / self.seconds if self.seconds > 0 else 0.0

    def begin(self, policy_digest: str, reference_digest: str) -> None:
        self.num_rows = self.num_failed = self.num_kept = 0
        self.seconds = 0.0
        self.errors = {}
        self.policy_digest, self.reference_digest = policy_digest, reference_digest

    def add(self, record: Mapping[str, Any], is_kept: bool) -> None:
        self.num_rows += 1
        self.num_kept += is_kept
        if (code := record.get(ERROR_COLUMNS[0])) is not None:
            self.num_failed += 1
            self.errors[code] = self.errors.get(code, 0) + 1

    def __str__(self) -> str:
        text = f"scored {self.num_rows - self.num_failed} of {self.num_rows} rows"
        if self.num_failed:
            text += f", {self.num_failed} failed ({', '.join(f'{code}: {n}' for code, n in self.errors.items())})"
        if self.num_kept:
            text += f", {self.num_kept} kept from an earlier run"
        text += f"; {self.seconds:.1f} s, {self.pairs_per_s:.1f} pairs/s"
        for role, digest in (("policy", self.policy_digest), ("reference", self.reference_digest)):
            text += f"; {role} {digest[:12] or 'none'}"
        return text
