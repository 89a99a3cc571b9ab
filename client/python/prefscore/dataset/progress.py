# SPDX-License-Identifier: Apache-2.0
"""A progress bar, where one is wanted and tqdm is there."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

from ..errors import MissingExtra


class Bar(Protocol):
    def update(self, n: float) -> Any: ...


class _NoBar:
    def update(self, n: float) -> None:
        pass


def progress_bar(progress: bool | None, num_rows: int | None) -> contextlib.AbstractContextManager[Bar]:
    """progress: None shows one on a terminal only. num_rows: None where it is not known."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        if progress:
            raise MissingExtra.of("datasets", "tqdm") from None
        return contextlib.nullcontext(_NoBar())
    disable = None if progress is None else not progress
    bar: contextlib.AbstractContextManager[Bar] = tqdm(total=num_rows, unit=" pairs", disable=disable)
    return bar
