# SPDX-License-Identifier: Apache-2.0
"""The settings of a call of `score_dataset`, and one pass over its rows with them."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..client import Client
from ..errors import InvalidArgument
from ..types import ScoringOptions
from .columns import OutputColumns
from .parts import Parts, require_pyarrow
from .progress import progress_bar
from .rows import KNOWN_COLUMNS, RowReader
from .run import BadRow, OnError, Run, Scored
from .summary import DatasetSummary

logger = logging.getLogger("prefscore")

Existing = Literal["error", "keep", "overwrite"]

ClientMaker: TypeAlias = str | Sequence[str] | Callable[[], Client]
"""The addresses of servers, or a function that makes a client of them."""

ClientSource: TypeAlias = Client | ClientMaker


def open_client(maker: ClientMaker) -> Client:
    return maker() if callable(maker) else Client(maker)


@dataclass(frozen=True, slots=True)
class Job:
    """As the arguments of `score_dataset`, with the columns resolved."""

    client: ClientSource
    options: ScoringOptions
    columns: OutputColumns
    existing: Existing
    on_error: OnError
    checkpoint: str | os.PathLike[str] | None
    progress: bool | None
    summary: DatasetSummary

    def __post_init__(self) -> None:
        for name, choices in (("existing", ("error", "keep", "overwrite")), ("on_error", ("keep", "raise"))):
            if getattr(self, name) not in choices:
                raise InvalidArgument(f"{name} is {getattr(self, name)!r}; it must be one of: {', '.join(choices)}")
        if self.checkpoint is not None:
            require_pyarrow()

    def replaced(self, present: Iterable[str]) -> list[str]:
        """Those of the columns `present` that scoring replaces. Raises InvalidArgument where none may be."""
        clashing = [name for name in present if name in self.columns.names]
        if clashing and self.existing == "error":
            has_logps = any(name in names for names in KNOWN_COLUMNS.values() for name in clashing)
            raise InvalidArgument(
                f"the data set has columns of these names already: {', '.join(clashing)}. Remove them, choose others "
                'by columns=, or give existing="overwrite"'
                + (', or existing="keep" to use the log-probs in them' if has_logps else "")
            )
        return clashing

    def check(self, present: Sequence[str]) -> None:
        """Raises what is wrong with the columns `present`."""
        self.replaced(present)
        self.reader(present)

    def log_summary(self) -> None:
        """As a warning where rows failed: their numbers are missing, and nothing else tells it."""
        logger.log(logging.WARNING if self.summary.num_failed else logging.INFO, "%s", self.summary)

    def reader(self, present: Iterable[str]) -> RowReader:
        """What rows with the columns `present` are read by. Raises MissingColumns."""
        present = list(present)
        if self.existing == "overwrite" and all(name in present for name in ("chosen", "rejected")):
            # Token ids that are computed anew, perhaps by another tokenizer, are not what is scored.
            present = [name for name in present if name not in self.columns.names]
        return RowReader(present, uses_known=self.existing == "keep")

    def scored(
        self, rows: Iterable[Mapping[str, Any] | BadRow], present: Sequence[str] | None, num_rows: int | None
    ) -> Generator[Scored]:
        """present: the columns of the rows; None: those of the first row. num_rows: how many, where that is known."""
        if present is None:
            iterator = iter(rows)
            skipped: list[Mapping[str, Any] | BadRow] = []
            for row in iterator:
                skipped.append(row)
                if not isinstance(row, BadRow):
                    break
            if not skipped or isinstance(skipped[-1], BadRow):
                present = ("chosen", "rejected")  # no row tells any
            else:
                present = list(skipped[-1])
            rows = itertools.chain(skipped, iterator)
        reader = self.reader(present)
        with contextlib.ExitStack() as stack:
            client = self.client if isinstance(self.client, Client) else stack.enter_context(open_client(self.client))
            run = Run(client, self.options, self.columns, self.on_error, self.summary)
            parts = None
            if self.checkpoint is not None:
                settings = run.settings() | {"existing": self.existing}
                parts = stack.enter_context(Parts(self.checkpoint, settings, self.columns.arrow_schema))
            bar = stack.enter_context(progress_bar(self.progress, num_rows))
            for scored in stack.enter_context(contextlib.closing(run.scored(rows, reader, parts))):
                bar.update(1)
                yield scored
