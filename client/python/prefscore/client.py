# SPDX-License-Identifier: Apache-2.0
"""The client: one method per question, with a deadline and retries, and streams for whole data sets."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar, overload

import grpc
from google.protobuf import wrappers_pb2

from . import analysis, calls, columns, convert, unary
from .analysis import AnalysisOptions
from .calls import Method, Request, Response
from .columns import Chunks, EvaluatedColumns, LogProbColumns
from .content import check_iterable
from .core import ClientCore, can_start_over
from .errors import Cancelled, DeadlineExceeded, PrefscoreError, from_rpc_error
from .report import Report
from .retry import NO_RETRIES, RetryPolicy
from .servers import HANDSHAKE_TIMEOUT_S, Attempts, ChannelSettings, Server, handshake_timeout
from .stream import PairStream, StreamRun
from .stream_state import options_message
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
from .v1 import diagnostics_pb2, models_pb2, scoring_pb2

Value = TypeVar("Value")


class Client(ClientCore):
    """A client of one prefscore server, or of many that host the same models. Thread-safe; a context manager.

    servers: "HOST:PORT", or several of them: each call goes to the least busy one.
    tls: transport security; None: plain text.
    token: sent as a bearer token with each call. Without tls only to loopback addresses.
    timeout_s: of each call, all its attempts together, seconds; a method's own `timeout_s` goes before it. None: no
        limit. Streams and reports have none.
    retry: how often and how long calls are tried.
    max_in_flight_pairs, max_in_flight_bytes: of one stream, pairs that are read from the caller and not yet given back.

    Connections are made by the first call. Not usable after a fork. Raises InvalidArgument for arguments of a wrong
    form, and from each method what `prefscore.PrefscoreError` lists.
    """

    def _open(self) -> None:
        self._channels = {server: _open_channel(server, self._settings) for server in self._servers.all}
        self._streams: weakref.WeakSet[StreamRun] = weakref.WeakSet()
        self._handshake_locks = {server: threading.Lock() for server in self._servers.all}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends what is under way. Repeated calls do nothing."""
        if not self._close():
            return
        for stream in list(self._streams):
            stream.end(self._closed_under_way())
        for channel in self._channels.values():
            channel.close()

    def score_pairs(
        self, pairs: Iterable[Pair], options: ScoringOptions = ScoringOptions(), *, timeout_s: float | None = None
    ) -> ScoredPairs:
        """Scores pairs: one result per pair, in the same order. At most `Limits.max_pairs_per_request` of them."""
        return self._ask(unary.score_pairs(pairs, options), timeout_s)

    def stream_pairs(
        self, pairs: Iterable[Pair], options: ScoringOptions = ScoringOptions(), *, in_order: bool = False
    ) -> PairStream:
        """Scores any number of pairs: each pair's result exactly once, `PairResult.index` its position in `pairs`.

        Results come as they finish, or in the order of the pairs. A pair that is at fault has a result with an `error`;
        nothing is raised for it. Scoring starts at once. `pairs` is read on another thread, no further ahead than the
        client's `max_in_flight_pairs` and `max_in_flight_bytes`. The iterator raises what ends the stream early: what
        reading `pairs` raised, InvalidArgument for what is no `Pair`, or the servers' error.

        With several servers each pair goes to the least busy one. A server or connection that is lost is called again,
        as the client's `retry` says, and pairs without a result are sent again, also to other servers. Where models or
        tokenizer are then others than before, the stream ends with FailedPrecondition.
        """
        return PairStream(self._start_stream(pairs, options, in_order), self._check_fork)

    def _start_stream(self, pairs: Iterable[Pair], options: ScoringOptions, in_order: bool) -> StreamRun:
        self._check_usable()
        check_iterable(pairs, "pairs", "pairs")
        first = options_message(options)
        run = StreamRun(
            self._new_stream(in_order), pairs, first, self._clock, lambda server: self._shake_hands(server, HANDSHAKE_TIMEOUT_S),
            self._open_stream,
        )  # fmt: skip
        self._streams.add(run)
        return run

    def score_completions(
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
        """Log-probs of each prompt's completions: one result per prompt, in the same order.

        prompts: at most `Limits.max_pairs_per_request`.
        models: names of the models to score under. Default: the server's policy and reference.
        return_greedy_match: whether results tell if greedy decoding would give the completion.
        return_timings: whether the results' `timings` tell where the time went.
        cache_policy: whether all models use the cache; without it only the server's reference does.
        The other arguments are those of `ScoringOptions`.
        """
        return self._ask(
            unary.score_completions(
                prompts, models, profile, truncation_policy, max_length, return_token_logps, return_greedy_match,
                return_timings, cache_mode, cache_policy, priority,
            ),
            timeout_s,
        )  # fmt: skip

    @overload
    def evaluate_objectives(
        self,
        pairs: Iterable[PairLogProbs],
        objectives: Sequence[Objective | WeightedSum | str] = (),
        *,
        return_timings: bool = False,
        timeout_s: float | None = None,
    ) -> ScoredPairs: ...
    @overload
    def evaluate_objectives(
        self,
        pairs: LogProbColumns,
        objectives: Sequence[Objective | WeightedSum | str] = (),
        *,
        timeout_s: float | None = None,
    ) -> EvaluatedColumns: ...
    def evaluate_objectives(
        self,
        pairs: Iterable[PairLogProbs] | LogProbColumns,
        objectives: Sequence[Objective | WeightedSum | str] = (),
        *,
        return_timings: bool = False,
        timeout_s: float | None = None,
    ) -> ScoredPairs | EvaluatedColumns:
        """Objectives of pairs whose log-probs are known. Runs no model.

        pairs: at most `Limits.max_pairs_per_request` of them; or any number as `LogProbColumns`, which is much faster:
            then the results are columns, too. Objectives that depend on all pairs of a call (aot, beta_dpo, ...) are
            refused where one call cannot carry all pairs.
        return_timings: whether the results' `timings` tell how long it took. Not for columns, which may be many calls.
        """
        if not isinstance(pairs, LogProbColumns):
            return self._ask(unary.evaluate_objectives(pairs, objectives, return_timings), timeout_s)
        unary.check_no_timings(return_timings)
        return self._evaluate_columns(pairs, objectives, timeout_s, threading.Event())

    def _evaluate_columns(
        self,
        pairs: LogProbColumns,
        objectives: Sequence[Objective | WeightedSum | str],
        timeout_s: float | None,
        is_cancelled: threading.Event,
    ) -> EvaluatedColumns:
        """Once `is_cancelled` is set, no further calls are made."""
        protos = convert.objectives_to_proto(objectives)
        attempts = self._attempts(timeout_s, self._retry)

        def ask(request: scoring_pb2.EvaluateObjectivesRequest) -> scoring_pb2.EvaluateObjectivesResponse:
            if is_cancelled.is_set():
                raise Cancelled("the call was cancelled")
            call = unary.Call(calls.EVALUATE_OBJECTIVES, request, lambda response: response)
            return self._ask(call, attempts.remaining_s())

        info = self._attempt(attempts, lambda server: self._shake_hands(server, attempts.handshake_timeout_s()))
        chunks = Chunks(pairs, protos, info.limits)
        if chunks.num_pairs > chunks.pairs_per_call:
            chunks.check_no_batch_objective(self.objectives(timeout_s=attempts.remaining_s()))
        return columns.evaluate(chunks, protos, ask)

    def analyze(
        self,
        pairs: Iterable[Pair | PairLogProbs],
        options: AnalysisOptions = AnalysisOptions(),
        *,
        return_html: bool = True,
    ) -> Report:
        """One report on any number of pairs: `Pair` is scored on the way, `PairLogProbs` is known already.

        return_html: whether the server draws the page, too, about 1 MB: `Report.html`, and what a notebook shows.

        A pair without an id is listed by its position, from 0. `pairs` is read on another thread, a few messages ahead
        of the server; what it raises is raised here. Once it is being read, a report is tried again only where `pairs`
        can be read again, as a list can.
        Raises InvalidArgument for the first faulty pair, by its index, unless `options.skip_faulty_pairs` is set.
        """
        return self._analyze(pairs, options, return_html, lambda call: None)

    def objectives(self, *, timeout_s: float | None = None) -> list[ObjectiveInfo]:
        """All objectives that the server knows, with formulas, parameters and sources."""
        return self._ask(unary.objectives(), timeout_s)

    def models(self, *, timeout_s: float | None = None) -> ServerInfo:
        """What the server hosts: models with their digests, and its limits. Of several servers, of one of them."""
        return self._ask(unary.models(), timeout_s)

    def health(self, *, timeout_s: float | None = None) -> Health:
        """Whether the server serves: "serving", "not_serving" (it is shutting down) or "unknown". Not retried."""
        attempts = self._attempts(timeout_s, NO_RETRIES)
        reply = self._attempt(
            attempts,
            lambda server: self._call(server, calls.CHECK_HEALTH, wrappers_pb2.StringValue(), attempts.remaining_s()),
        )
        return convert.health(reply.value)

    def _ask(self, call: unary.Call[Request, Response, Answer], timeout_s: float | None) -> Answer:
        attempts = self._attempts(timeout_s, self._retry)

        def ask(server: Server) -> Response:
            self._shake_hands(server, attempts.handshake_timeout_s())
            response = self._call(server, call.method, call.request, attempts.remaining_s())
            self._servers.answered(server)
            return response

        return call.read(self._attempt(attempts, ask))

    def _attempt(self, attempts: Attempts, act: Callable[[Server], Value]) -> Value:
        """What `act` returns, at a server and as often as the retry policy allows."""
        while True:
            self._check_usable()
            server = self._servers.pick()
            try:
                return act(server)
            except PrefscoreError as error:
                failure = error
            finally:
                self._servers.add_in_flight(server, -1)
            self._clock.sleep(attempts.failed(server, failure))

    def _analyze(
        self,
        pairs: Iterable[Pair | PairLogProbs],
        options: AnalysisOptions,
        return_html: bool,
        on_call: Callable[[grpc.Future[Any]], None],
    ) -> Report:
        """on_call: is given each call that is made, to cancel it."""
        check_iterable(pairs, "pairs", "pairs")
        first = analysis.options_to_proto(options)
        attempts = Attempts(self._servers, self._retry, self._clock, timeout_s=None)

        def ask(server: Server) -> Report:
            limits = self._shake_hands(server, HANDSHAKE_TIMEOUT_S).limits
            if not can_start_over(pairs):
                attempts.stop_after_this()
            return self._analyze_at(server, pairs, analysis.Messages(first, limits, return_html), on_call)

        return self._attempt(attempts, ask)

    def _analyze_at(
        self,
        server: Server,
        pairs: Iterable[Pair | PairLogProbs],
        messages: analysis.Messages,
        on_call: Callable[[grpc.Future[Any]], None],
    ) -> Report:
        faults: list[BaseException] = []  # what reading the pairs raised
        is_calling = threading.Event()

        def requests() -> Iterator[diagnostics_pb2.AnalyzePairsRequest]:
            try:
                for pair in pairs:
                    yield from messages.add(pair)
            except GeneratorExit:
                raise
            except BaseException as error:
                faults.append(error)
                is_calling.wait()
                call.cancel()
            else:
                yield messages.rest()

        method = calls.ANALYZE_PAIRS
        call = self._channels[server].stream_unary(
            method.path, method.request.SerializeToString, method.response.FromString
        ).future(requests(), metadata=self._metadata)
        is_calling.set()
        on_call(call)
        try:
            response = call.result()
            self._servers.answered(server)
            return Report(response.report, response.html)
        except (grpc.RpcError, grpc.FutureCancelledError):
            if faults:
                raise faults[0] from None
            raise messages.with_index(from_rpc_error(call, server.address)) from None
        finally:
            call.cancel()

    def _open_stream(
        self, server: Server, requests: Iterator[bytes]
    ) -> grpc.CallIterator[scoring_pb2.StreamScorePairsResponse]:
        method = calls.STREAM_SCORE_PAIRS
        return self._channels[server].stream_stream(method.path, None, method.response.FromString)(
            requests, metadata=self._metadata
        )

    def _call(
        self, server: Server, method: Method[Request, Response], request: Request, timeout_s: float | None
    ) -> Response:
        call = self._channels[server].unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        try:
            response: Response = call(request, timeout=timeout_s, metadata=self._metadata)
            return response
        except grpc.RpcError as error:
            raise from_rpc_error(error, server.address) from None
        except ValueError:  # what gRPC says of a channel that was closed meanwhile
            self._check_usable()
            raise

    def _shake_hands(self, server: Server, timeout_s: float) -> ServerInfo:
        """What the server told when it was asked for its version; asks it where it was not, or may be another now."""
        if (info := self._servers.info(server)) is not None:
            return info
        give_up_at = self._clock.now() + timeout_s
        lock = self._handshake_locks[server]
        if not lock.acquire(timeout=timeout_s):  # another thread asks, and gets no answer
            raise handshake_timeout(server, timeout_s)
        try:
            if (info := self._servers.info(server)) is not None:
                return info
            epoch, remaining_s = server.epoch, max(give_up_at - self._clock.now(), 0.001)
            response = self._call(server, calls.LIST_MODELS, models_pb2.ListModelsRequest(), remaining_s)
            info = convert.server_info_from_proto(response)
            self._servers.accept(server, info, epoch)
            return info
        except DeadlineExceeded:
            raise handshake_timeout(server, timeout_s) from None
        finally:
            lock.release()


def _open_channel(server: Server, settings: ChannelSettings) -> grpc.Channel:
    credentials = settings.credentials()
    if credentials is None:
        return grpc.insecure_channel(server.address, options=settings.options(server.address))
    return grpc.secure_channel(server.address, credentials, options=settings.options(server.address))
