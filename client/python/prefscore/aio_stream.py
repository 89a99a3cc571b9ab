# SPDX-License-Identifier: Apache-2.0
"""What runs on threads, seen from an event loop: streams of pairs, reports, and the pairs that they read.

They are not made with grpc.aio: where a server ends a call while it is written to, grpc.aio reports "Internal error from
Core" instead of the server's reason (grpc issue 36066), and both are written to most of the time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent import futures
from types import TracebackType
from typing import Generic, TypeVar

from .stream import StreamRun, on_drop
from .types import PairResult

Item = TypeVar("Item")
Value = TypeVar("Value")


class FromLoop(Generic[Item]):
    """An async iterable as an iterator for another thread. Each item is made on the loop."""

    def __init__(self, items: AsyncIterable[Item], loop: asyncio.AbstractEventLoop) -> None:
        self._items = aiter(items)
        self._loop = loop
        self._next: futures.Future[Item] | None = None
        self._is_cancelled = False

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        self._next = asyncio.run_coroutine_threadsafe(self._make_next(), self._loop)
        if self._is_cancelled:
            self._next.cancel()
        try:
            return self._next.result()
        except StopAsyncIteration:
            raise StopIteration from None

    async def _make_next(self) -> Item:
        return await anext(self._items)

    def cancel(self) -> None:
        """Ends the wait for an item."""
        self._is_cancelled = True
        if self._next is not None and not self._loop.is_closed():
            self._next.cancel()


def on_thread(pairs: Iterable[Item] | AsyncIterable[Item]) -> tuple[Iterable[Item], Callable[[], None]]:
    """The pairs for another thread, and what ends a wait for one."""
    if not isinstance(pairs, AsyncIterable):
        return pairs, lambda: None
    bridge = FromLoop(pairs, asyncio.get_running_loop())
    return bridge, bridge.cancel


async def run_on_thread(act: Callable[[], Value], cancel: Callable[[], None]) -> Value:
    """Awaits `act` on a thread of its own. Where the awaiting task is cancelled, `cancel` is to make it end."""
    result: futures.Future[Value] = futures.Future()

    def run() -> None:
        try:
            value = act()
        except BaseException as error:
            result.set_exception(error)
        else:
            result.set_result(value)

    threading.Thread(target=run, name="prefscore call", daemon=True).start()
    try:
        return await asyncio.shield(asyncio.wrap_future(result))
    except asyncio.CancelledError:
        cancel()
        raise


class AsyncPairStream(AsyncIterator[PairResult]):
    """The results of `AsyncClient.stream_pairs`: an async iterator, and an async context manager that closes it."""

    def __init__(self, run: StreamRun, stop_reading: Callable[[], None], check_usable: Callable[[], None]) -> None:
        self._run = run
        self._check_usable = check_usable
        self._stop_reading = stop_reading
        loop = asyncio.get_running_loop()
        self._news = news = asyncio.Event()
        run.on_news = lambda: _tell(loop, news)
        on_drop(self, lambda: _end(run, stop_reading))

    async def __anext__(self) -> PairResult:
        self._check_usable()
        while True:
            self._news.clear()
            result, is_finished = self._run.poll()
            if result is not None:
                return result
            if is_finished:
                break
            await self._news.wait()
        self._stop_reading()
        await run_on_thread(self._run.finish, self._run.end)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends the stream at once; pairs without a result get none. Repeated calls do nothing."""
        _end(self._run, self._stop_reading)

    async def __aenter__(self) -> AsyncPairStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _tell(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(news.set)
    except RuntimeError:  # the loop was closed: nobody waits for news
        pass


def _end(run: StreamRun, stop_reading: Callable[[], None]) -> None:
    run.end()
    stop_reading()
