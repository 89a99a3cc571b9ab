# SPDX-License-Identifier: Apache-2.0
"""Batches that come with the reference's log-probs, which were asked for some batches before.

Works below accelerate's loader, in the process that trains: what accelerate and transformers count stays as it is,
and workers of the loader, which are forks, have nothing to do with the server.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import torch

from .batches import Float64s

Ask = Callable[[Mapping[str, Any], threading.Event], "Future[Float64s]"]

CHOSEN_COLUMN, REJECTED_COLUMN = "ref_chosen_logps", "ref_rejected_logps"  # TRL's names


class WithoutLogps:
    """A collator that passes over the log-probs which a data set brings: any model may have made them."""

    def __init__(self, collate: Callable[[list[dict[str, Any]]], Any]) -> None:
        self._collate = collate

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> Any:
        columns = (CHOSEN_COLUMN, REJECTED_COLUMN)
        return self._collate([{k: v for k, v in example.items() if k not in columns} for example in examples])


class LookAheadLoader:
    """A data loader in place of `loader`: the same, but for what its batches bring.

    ask: starts to score a batch.
    num_batches: that are under way while one is trained on.
    on_wait: told how long each batch had to be waited for, seconds.
    """

    def __init__(self, loader: Any, ask: Ask, num_batches: int, on_wait: Callable[[float], None]) -> None:
        self._loader, self._ask, self._num_batches, self._on_wait = loader, ask, num_batches, on_wait

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return look_ahead(self._loader, self._ask, self._num_batches, self._on_wait)

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":
            raise AttributeError(name)
        return getattr(self._loader, name)

    @property
    def __class__(self) -> Any:  # accelerate asks isinstance(loader, DataLoader), and does so itself
        return self._loader.__class__

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise AttributeError("__class__")


def look_ahead(
    batches: Iterable[Mapping[str, Any]], ask: Ask, num_batches: int, on_wait: Callable[[float], None]
) -> Iterator[Mapping[str, Any]]:
    """The batches with both columns; see `LookAheadLoader`. What is under way when the iterator is closed is let go."""
    stopped = threading.Event()
    waiting: deque[tuple[Mapping[str, Any], Future[Float64s]]] = deque()

    def oldest() -> Mapping[str, Any]:
        batch, future = waiting.popleft()
        started_at = time.monotonic()
        logps = future.result()
        on_wait(time.monotonic() - started_at)
        return with_logps(batch, logps)

    try:
        for batch in batches:
            waiting.append((batch, ask(batch, stopped)))
            if len(waiting) > num_batches:
                yield oldest()
        while waiting:
            yield oldest()
    finally:
        stopped.set()


def with_logps(batch: Mapping[str, Any], logps: Float64s) -> Mapping[str, Any]:
    """`batch` with the reference's log-probs of its rows, float32 as TRL has them."""
    chosen, rejected = torch.from_numpy(logps).to(batch["input_ids"].device, torch.float32).chunk(2)
    return {**batch, CHOSEN_COLUMN: chosen, REJECTED_COLUMN: rejected}
