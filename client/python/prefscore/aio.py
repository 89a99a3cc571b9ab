# SPDX-License-Identifier: Apache-2.0
"""The client for asyncio. What is not I/O is `Client`'s, and so are streams and reports, see aio_stream.py."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar, overload

import grpc.aio
from google.protobuf import wrappers_pb2

from . import calls, convert, unary
from .aio_stream import AsyncPairStream, on_thread, run_on_thread
from .analysis import AnalysisOptions
from .calls import Method, Request, Response
from .client import Client
from .columns import EvaluatedColumns, LogProbColumns
from .core import ClientCore
from .errors import DeadlineExceeded, FailedPrecondition, PrefscoreError, from_rpc_error
from .report import Report
from .retry import NO_RETRIES
from .servers import Attempts, Server, handshake_timeout
from .types import (
    CacheMode,
    Health,
    Objective,
    ObjectiveInfo,
    Pair,
    PairLogProbs,
    Priority,
    PromptCompletions,
    ScoredPairs,
    ScoredPrompts,
    ScoringOptions,
    ServerInfo,
    TruncationPolicy,
    WeightedSum,
)
from .unary import Answer
from .v1 import models_pb2

Value = TypeVar("Value")


class AsyncClient(ClientCore):
    """As `Client`, with the same arguments and methods, for one event loop: that of its first call.

    async with prefscore.AsyncClient("127.0.0.1:50051") as client:
        async for result in client.stream_pairs(pairs):
            ...

    Where `Client` takes an iterable of pairs for a stream or a report, an async iterable does as well: it is read on
    the event loop, a plain one on another thread. A task that is cancelled cancels its call.
    """

    def _open(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channels: dict[Server, grpc.aio.Channel] = {}
        self._handshake_locks: dict[Server, asyncio.Lock] = {}
        self._threaded = Client(
            [server.address for server in self._servers.all], tls=self._settings.tls, token=self._settings.token,
            retry=self._retry, max_in_flight_pairs=self._max_in_flight_pairs,
            max_in_flight_bytes=self._max_in_flight_bytes, _clock=self._clock, _servers=self._servers,
        )  # fmt: skip

    def _enter_loop(self) -> None:
        """Connects to the running loop, the first time; raises where it is another one later, or the client closed."""
        self._check_usable()
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._channels = {server: self._open_channel(server) for server in self._servers.all}
            self._handshake_locks = {server: asyncio.Lock() for server in self._servers.all}
        elif self._loop is not loop:
            raise FailedPrecondition("this AsyncClient belongs to another event loop; make one in each")

    def _open_channel(self, server: Server) -> grpc.aio.Channel:
        credentials = self._settings.credentials()
        if credentials is None:
            return grpc.aio.insecure_channel(server.address, options=self._settings.options(server.address))
        return grpc.aio.secure_channel(server.address, credentials, options=self._settings.options(server.address))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends what is under way. Repeated calls do nothing."""
        if not self._close():
            return
        self._threaded.close()
        for channel in self._channels.values():
            await channel.close(grace=None)

    async def score_pairs(
        self, pairs: Iterable[Pair], options: ScoringOptions = ScoringOptions(), *, timeout_s: float | None = None
    ) -> ScoredPairs:
        """See `Client.score_pairs`."""
        return await self._ask(unary.score_pairs(pairs, options), timeout_s)

    def stream_pairs(
        self,
        pairs: Iterable[Pair] | AsyncIterable[Pair],
        options: ScoringOptions = ScoringOptions(),
        *,
        in_order: bool = False,
    ) -> AsyncPairStream:
        """See `Client.stream_pairs`. To be called on the event loop, where scoring starts at once."""
        self._enter_loop()
        readable, stop_reading = on_thread(pairs)
        run = self._threaded._start_stream(readable, options, in_order)
        return AsyncPairStream(run, stop_reading, self._check_fork)

    async def score_completions(
        self,
        prompts: Iterable[PromptCompletions],
        models: Sequence[str] = (),
        *,
        profile: str = "",
        truncation_policy: TruncationPolicy = "error",
        max_length: int = 0,
        return_token_logps: bool = False,
        return_greedy_match: bool = False,
        return_timings: bool = False,
        cache_mode: CacheMode = "read_write",
        cache_policy: bool = False,
        priority: Priority = "default",
        timeout_s: float | None = None,
    ) -> ScoredPrompts:
        """See `Client.score_completions`."""
        return await self._ask(
            unary.score_completions(
                prompts, models, profile, truncation_policy, max_length, return_token_logps, return_greedy_match,
                return_timings, cache_mode, cache_policy, priority,
            ),
            timeout_s,
        )  # fmt: skip

    @overload
    async def evaluate_objectives(
        self,
        pairs: Iterable[PairLogProbs],
        objectives: Sequence[Objective | WeightedSum | str] = (),
        *,
        return_timings: bool = False,
        timeout_s: float | None = None,
    ) -> ScoredPairs: ...
    @overload
    async def evaluate_objectives(
        self,
        pairs: LogProbColumns,
        objectives: Sequence[Objective | WeightedSum | str] = (),
        *,
        timeout_s: float | None = None,
    ) -> EvaluatedColumns: ...
    async def evaluate_objectives(
        self,
        pairs: Iterable[PairLogProbs] | LogProbColumns,
        objectives: Sequence[Objective | WeightedSum | str] = (),
        *,
        return_timings: bool = False,
        timeout_s: float | None = None,
    ) -> ScoredPairs | EvaluatedColumns:
        """See `Client.evaluate_objectives`."""
        if not isinstance(pairs, LogProbColumns):
            return await self._ask(unary.evaluate_objectives(pairs, objectives, return_timings), timeout_s)
        unary.check_no_timings(return_timings)
        self._enter_loop()
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        is_cancelled = threading.Event()
        return await run_on_thread(
            lambda: self._threaded._evaluate_columns(pairs, objectives, timeout_s, is_cancelled), is_cancelled.set
        )

    async def analyze(
        self,
        pairs: Iterable[Pair | PairLogProbs] | AsyncIterable[Pair | PairLogProbs],
        options: AnalysisOptions = AnalysisOptions(),
        *,
        return_html: bool = True,
    ) -> Report:
        """See `Client.analyze`."""
        self._enter_loop()
        readable, stop_reading = on_thread(pairs)
        open_calls: list[grpc.Future[Any]] = []

        def cancel() -> None:
            stop_reading()
            for call in open_calls:
                call.cancel()

        return await run_on_thread(
            lambda: self._threaded._analyze(readable, options, return_html, open_calls.append), cancel
        )

    async def objectives(self, *, timeout_s: float | None = None) -> list[ObjectiveInfo]:
        """See `Client.objectives`."""
        return await self._ask(unary.objectives(), timeout_s)

    async def models(self, *, timeout_s: float | None = None) -> ServerInfo:
        """See `Client.models`."""
        return await self._ask(unary.models(), timeout_s)

    async def health(self, *, timeout_s: float | None = None) -> Health:
        """See `Client.health`."""
        attempts = self._attempts(timeout_s, NO_RETRIES)
        reply = await self._attempt(
            attempts,
            lambda server: self._call(server, calls.CHECK_HEALTH, wrappers_pb2.StringValue(), attempts.remaining_s()),
        )
        return convert.health(reply.value)

    async def _ask(self, call: unary.Call[Request, Response, Answer], timeout_s: float | None) -> Answer:
        attempts = self._attempts(timeout_s, self._retry)

        async def ask(server: Server) -> Response:
            await self._shake_hands(server, attempts.handshake_timeout_s())
            response = await self._call(server, call.method, call.request, attempts.remaining_s())
            self._servers.answered(server)
            return response

        return call.read(await self._attempt(attempts, ask))

    async def _attempt(self, attempts: Attempts, act: Callable[[Server], Awaitable[Value]]) -> Value:
        """What `act` returns, at a server and as often as the retry policy allows."""
        while True:
            self._enter_loop()
            server = self._servers.pick()
            try:
                return await act(server)
            except PrefscoreError as error:
                failure = error
            finally:
                self._servers.add_in_flight(server, -1)
            await self._clock.async_sleep(attempts.failed(server, failure))

    async def _call(
        self, server: Server, method: Method[Request, Response], request: Request, timeout_s: float | None
    ) -> Response:
        self._check_usable()  # it may have been closed since the step before
        call = self._channels[server].unary_unary(
            method.path, method.request.SerializeToString, method.response.FromString
        )
        response: Response = await self._answer(call(request, timeout=timeout_s, metadata=self._metadata), server)
        return response

    async def _answer(self, call: Any, server: Server) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, server.address) from None
        except asyncio.CancelledError:
            if self._is_closed and not _is_cancelled():
                raise self._closed_under_way() from None
            raise

    async def _shake_hands(self, server: Server, timeout_s: float) -> ServerInfo:
        """See `Client._shake_hands`."""
        if (info := self._servers.info(server)) is not None:
            return info
        give_up_at = self._clock.now() + timeout_s
        lock = self._handshake_locks[server]
        try:
            await asyncio.wait_for(lock.acquire(), timeout_s)
        except asyncio.TimeoutError:  # another task asks, and gets no answer
            raise handshake_timeout(server, timeout_s) from None
        try:
            if (info := self._servers.info(server)) is not None:
                return info
            epoch, remaining_s = server.epoch, max(give_up_at - self._clock.now(), 0.001)
            response = await self._call(server, calls.LIST_MODELS, models_pb2.ListModelsRequest(), remaining_s)
            info = convert.server_info_from_proto(response)
            self._servers.accept(server, info, epoch)
            return info
        except DeadlineExceeded:
            raise handshake_timeout(server, timeout_s) from None
        finally:
            lock.release()


def _is_cancelled() -> bool:
    """Whether this task is: a call that its channel's end cancels raises the same. Before Python 3.11 nobody knows."""
    task = asyncio.current_task()
    return sys.version_info >= (3, 11) and task is not None and task.cancelling() > 0
