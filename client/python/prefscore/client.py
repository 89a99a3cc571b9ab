# SPDX-License-Identifier: Apache-2.0
"""The client: one method per question, with a deadline and retries, and streams for whole data sets."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType

import grpc
from google.protobuf import wrappers_pb2

from . import calls, convert
from .calls import Method, Request, Response
from .errors import PrefscoreError, from_rpc_error
from .retry import NO_RETRIES, Clock, RetryPolicy
from .servers import Attempts, ChannelSettings, Server, Servers, Tls, check_addresses, check_usable
from .types import (
    Health,
    Objective,
    ObjectiveInfo,
    Pair,
    PairLogProbs,
    PairResult,
    ScoredPairs,
    ScoringOptions,
    ServerInfo,
    WeightedSum,
)
from .v1 import models_pb2, scoring_pb2

_GONE = (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.TRANSIENT_FAILURE)


class Client:
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

    def __init__(
        self,
        servers: str | Sequence[str],
        *,
        tls: Tls | None = None,
        token: str | None = None,
        timeout_s: float | None = None,
        retry: RetryPolicy = RetryPolicy(),
        max_in_flight_pairs: int = 256,
        max_in_flight_bytes: int = 32 << 20,
        _clock: Clock | None = None,
    ) -> None:
        addresses = check_addresses(servers)
        settings = ChannelSettings(tls, token)
        settings.check(addresses)
        self._clock = _clock or Clock()
        self._timeout_s = timeout_s
        self._retry = retry
        self._max_in_flight_pairs = max_in_flight_pairs
        self._max_in_flight_bytes = max_in_flight_bytes
        self._metadata = settings.metadata()
        self._servers = Servers(addresses, self._clock)
        self._pid = os.getpid()
        self._is_closed = False
        self._channels = {server: _open_channel(server, settings) for server in self._servers.all}
        self._handshake_locks = {server: threading.Lock() for server in self._servers.all}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends what is under way. Repeated calls do nothing."""
        if self._is_closed or os.getpid() != self._pid:
            return
        self._is_closed = True
        for channel in self._channels.values():
            channel.close()

    def score_pairs(
        self, pairs: Iterable[Pair], options: ScoringOptions = ScoringOptions(), *, timeout_s: float | None = None
    ) -> ScoredPairs:
        """Scores pairs: one result per pair, in the same order."""
        request = scoring_pb2.ScorePairsRequest(
            pairs=[convert.pair_to_proto(pair, f"pairs[{idx}]") for idx, pair in enumerate(pairs)],
            options=convert.options_to_proto(options),
        )
        response = self._unary(calls.SCORE_PAIRS, request, timeout_s)
        return ScoredPairs(
            [convert.result_from_proto(result) for result in response.results],
            [dict(state.values) for state in response.batch_states],
        )

    def stream_pairs(
        self, pairs: Iterable[Pair], options: ScoringOptions = ScoringOptions(), *, in_order: bool = False
    ) -> Iterator[PairResult]:
        """Scores any number of pairs, a bounded number of them under way."""
        first = scoring_pb2.StreamScorePairsRequest(options=convert.options_to_proto(options))
        window = threading.Semaphore(self._max_in_flight_pairs)

        def requests() -> Iterator[scoring_pb2.StreamScorePairsRequest]:
            yield first
            for idx, pair in enumerate(pairs):
                window.acquire()
                yield scoring_pb2.StreamScorePairsRequest(pair=convert.pair_to_proto(pair, f"pairs[{idx}]"))

        server = self._servers.pick()
        self._shake_hands(server, 20)
        method = calls.STREAM_SCORE_PAIRS
        stream = self._channels[server].stream_stream(
            method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.response.FromString
        )(requests(), metadata=self._metadata)
        held: dict[int, PairResult] = {}
        next_index = 0
        try:
            for response in stream:
                window.release()
                result = convert.result_from_proto(response.result)
                if not in_order:
                    yield result
                    continue
                held[result.index] = result
                while next_index in held:
                    yield held.pop(next_index)
                    next_index += 1
        except grpc.RpcError as error:
            raise from_rpc_error(error, server.address) from None
        finally:
            stream.cancel()

    def evaluate_objectives(
        self,
        pairs: Iterable[PairLogProbs],
        objectives: Sequence[Objective | WeightedSum | str] = (),
        *,
        timeout_s: float | None = None,
    ) -> ScoredPairs:
        """Objectives of pairs whose log-probs are known. Runs no model."""
        request = scoring_pb2.EvaluateObjectivesRequest(
            pairs=[convert.logps_to_proto(pair, f"pairs[{idx}]") for idx, pair in enumerate(pairs)],
            objectives=convert.objectives_to_proto(objectives),
        )
        response = self._unary(calls.EVALUATE_OBJECTIVES, request, timeout_s)
        return ScoredPairs(
            [convert.result_from_proto(result) for result in response.results],
            [dict(state.values) for state in response.batch_states],
        )

    def objectives(self, *, timeout_s: float | None = None) -> list[ObjectiveInfo]:
        """All objectives that the server knows, with formulas, parameters and sources."""
        response = self._unary(calls.LIST_OBJECTIVES, scoring_pb2.ListObjectivesRequest(), timeout_s)
        return convert.objective_infos_from_proto(response)

    def models(self, *, timeout_s: float | None = None) -> ServerInfo:
        """What the server hosts: models with their digests, and its limits. Of several servers, of one of them."""
        response = self._unary(calls.LIST_MODELS, models_pb2.ListModelsRequest(), timeout_s)
        return convert.server_info_from_proto(response)

    def health(self, *, timeout_s: float | None = None) -> Health:
        """Whether the server serves: "serving", "not_serving" (it is shutting down) or "unknown". Not retried."""
        check_usable(self._is_closed, self._pid, "Client")
        attempts = self._attempts(timeout_s, NO_RETRIES)
        server = self._servers.pick()
        try:
            response = self._call(server, calls.CHECK_HEALTH, wrappers_pb2.StringValue(), attempts.remaining_s())
        except PrefscoreError as error:
            attempts.failed(server, error)
            raise
        finally:
            self._servers.add_in_flight(server, -1)
        return convert.health_from_proto(response.value)

    def _attempts(self, timeout_s: float | None, retry: RetryPolicy) -> Attempts:
        return Attempts(self._servers, retry, self._clock, self._timeout_s if timeout_s is None else timeout_s)

    def _unary(self, method: Method[Request, Response], request: Request, timeout_s: float | None) -> Response:
        check_usable(self._is_closed, self._pid, "Client")
        attempts = self._attempts(timeout_s, self._retry)
        while True:
            server = self._servers.pick()
            try:
                self._shake_hands(server, attempts.handshake_timeout_s())
                response = self._call(server, method, request, attempts.remaining_s())
                self._servers.answered(server)
                return response
            except PrefscoreError as error:
                failure = error
            finally:
                self._servers.add_in_flight(server, -1)
            self._clock.sleep(attempts.failed(server, failure))

    def _call(
        self, server: Server, method: Method[Request, Response], request: Request, timeout_s: float | None
    ) -> Response:
        call = self._channels[server].unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        try:
            return call(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error, server.address) from None

    def _shake_hands(self, server: Server, timeout_s: float) -> ServerInfo:
        """What the server told when it was asked for its version; asks it where it was not, or may be another now."""
        if (info := server.info) is not None:
            return info
        with self._handshake_locks[server]:
            if (info := server.info) is not None:
                return info
            epoch = server.epoch
            response = self._call(server, calls.LIST_MODELS, models_pb2.ListModelsRequest(), timeout_s)
            info = convert.server_info_from_proto(response)
            server.accept(info, epoch)
            return info


def _open_channel(server: Server, settings: ChannelSettings) -> grpc.Channel:
    credentials = settings.credentials()
    if credentials is None:
        channel = grpc.insecure_channel(server.address, options=settings.options())
    else:
        channel = grpc.secure_channel(server.address, credentials, options=settings.options())
    known = weakref.ref(server)
    was_ready = False

    def on_change(state: grpc.ChannelConnectivity) -> None:
        nonlocal was_ready
        if was_ready and state in _GONE and (server := known()) is not None:
            server.forget()
        was_ready = state is grpc.ChannelConnectivity.READY

    channel.subscribe(on_change)
    return channel
