# SPDX-License-Identifier: Apache-2.0
"""What a stream of pairs knows: which pairs are where, and what becomes of them when a server is lost.

Invariants. Each pair that is read is in one place: waiting, sent to one call, or with a result that is not given back.
A call's end puts what it leaves without a result back among those that wait, the earliest first. Results are of one
policy, one reference and one tokenizer. Nothing here waits or is thread-safe: `stream.py` and `aio_stream.py` do the
waiting, under a lock or on an event loop.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque

import grpc
from google.rpc import status_pb2

from . import convert
from .content import wrong
from .errors import FailedPrecondition, Internal, PrefscoreError, Unavailable, from_status
from .retry import Backoff, Clock, RetryPolicy, is_retryable
from .servers import Server, Servers
from .types import Pair, PairResult, ScoringOptions
from .v1 import scoring_pb2 as pb

logger = logging.getLogger("prefscore")

_IDENTITIES = ("policy_digest", "reference_digest", "tokenizer_fingerprint")


def request_of(pair: Pair, position: int) -> bytes:
    """The message that carries a pair. Raises InvalidArgument, naming pairs[position], for what is no pair."""
    field = f"pairs[{position}]"
    if not isinstance(pair, Pair):
        raise wrong(field, f"must be a Pair, not {type(pair).__name__}")
    return pb.StreamScorePairsRequest(pair=convert.pair_to_proto(pair, field)).SerializeToString()


class StreamCall:
    """One StreamScorePairs call."""

    def __init__(self) -> None:
        self.positions: dict[int, int] = {}  # of the pairs without a result, by their index in this call
        self.num_sent = 0
        self.has_ended = False


class Lane:
    """One server of a stream, with at most one call at a time."""

    def __init__(self, server: Server, backoff: Backoff) -> None:
        self.server = server
        self.backoff = backoff
        self.gave_up: PrefscoreError | None = None  # its attempts are used up; it goes on while another lane does not
        self.is_asking = False  # its call could take a pair at once
        self.in_flight = 0  # pairs of this stream
        self.max_message_bytes = 0  # that the server takes; 0: it does not tell


class StreamState:
    """A stream over `servers`; see the invariants above. Once `is_over`, all that works for it ends."""

    def __init__(
        self, servers: Servers, policy: RetryPolicy, clock: Clock, max_pairs: int, max_bytes: int, in_order: bool
    ) -> None:
        self._servers = servers
        self._policy = policy
        self._max_pairs = max_pairs
        self._max_bytes = max_bytes
        self._in_order = in_order
        self.lanes = [Lane(server, Backoff(policy, clock, policy.max_stream_attempts)) for server in servers.all]
        self.failure: BaseException | None = None
        self.is_over = False

        self._num_read = 0
        self._input_ended = False
        self._requests: dict[int, bytes] = {}  # of the pairs without a result, by position
        self._waiting: list[int] = []  # positions, a heap
        self._ready: deque[tuple[pb.PairResult, int]] = deque()  # results and the bytes of their requests
        self._held: dict[int, tuple[pb.PairResult, int]] = {}  # in order: results that an earlier one is missing for
        self._next_ready = 0  # in order: position of the next result to be ready
        self._in_flight_pairs = 0
        self._in_flight_bytes = 0
        self._identity: dict[str, tuple[str, str]] = {}  # of the results: digest and the server that told it first

    # --- in ---

    def has_room(self) -> bool:
        """For one more pair to be read from the caller."""
        return self._in_flight_pairs < self._max_pairs and self._in_flight_bytes < self._max_bytes

    def has_much_room(self) -> bool:
        """For as many pairs that it pays to wake who reads them: an eighth of the window."""
        return self._in_flight_pairs <= self._max_pairs - max(self._max_pairs // 8, 1) and self.has_room()

    def add(self, request: bytes) -> None:
        heapq.heappush(self._waiting, self._num_read)
        self._requests[self._num_read] = request
        self._num_read += 1
        self._in_flight_pairs += 1
        self._in_flight_bytes += len(request)

    def end_input(self) -> None:
        self._input_ended = True

    # --- between ---

    def wants_call(self) -> bool:
        """Whether a lane should have a call: pairs wait, or are to come."""
        return bool(self._waiting) or (self._num_read > 0 and not self._input_ended)

    def has_waiting(self) -> bool:
        return bool(self._waiting)

    def may_send(self, lane: Lane) -> bool:
        """Whether a pair waits and the lane is the least busy of those that could take it at once.

        Changes with each pair that is added, sent or answered, and with a lane that ceases to ask.
        """
        if not self._waiting:
            return False
        return all(lane.in_flight <= other.in_flight for other in self.lanes if other.is_asking)

    def send(self, lane: Lane, call: StreamCall) -> bytes | None:
        """Moves the pair that came first to the call. None: it was too large to be sent, and has its result now."""
        position = heapq.heappop(self._waiting)
        request = self._requests[position]
        if 0 < lane.max_message_bytes < len(request):
            self._finish(position, _too_large(len(request), lane.max_message_bytes))
            return None
        call.positions[call.num_sent] = position
        call.num_sent += 1
        self._count(lane, 1)
        return request

    def accept(self, lane: Lane, call: StreamCall, result: pb.PairResult) -> None:
        """Raises what ends the call; `delay_after` tells whether another one follows."""
        server = lane.server
        if result.index not in call.positions:
            raise Internal(f"a result came that was not asked for: index {result.index}", server=server.address)
        if result.HasField("status"):
            # A server that stops or is full may say so of a pair: it was not scored, and is not at fault.
            error = from_status(result.status, server.address)
            if is_retryable(error):
                raise error
        self._check_identity(result, server.address)
        self._count(lane, -1)
        self._servers.answered(server)
        lane.backoff.reset()
        lane.gave_up = None
        self._finish(call.positions.pop(result.index), result)

    def _finish(self, position: int, result: pb.PairResult) -> None:
        num_bytes = len(self._requests.pop(position))
        result.index = position
        if not self._in_order:
            self._ready.append((result, num_bytes))
            return
        self._held[position] = result, num_bytes
        while self._next_ready in self._held:
            self._ready.append(self._held.pop(self._next_ready))
            self._next_ready += 1

    def _check_identity(self, result: pb.PairResult, address: str) -> None:
        for name in _IDENTITIES:
            value: str = getattr(result, name)
            if not value:
                continue
            known, teller = self._identity.setdefault(name, (value, address))
            if value != known:
                raise FailedPrecondition(
                    f"results of two models would mix: {name} is {value}, but was {known} at {teller} before; "
                    "score what is left in a new stream, or all of it anew",
                    server=address,
                )

    def end_call(self, lane: Lane, call: StreamCall) -> int:
        """Puts back what the call leaves without a result; returns how many pairs these are."""
        call.has_ended = True
        lane.is_asking = False
        num_lost = len(call.positions)
        self._count(lane, -num_lost)
        for position in call.positions.values():
            heapq.heappush(self._waiting, position)
        call.positions.clear()
        return num_lost

    def _count(self, lane: Lane, num_pairs: int) -> None:
        lane.in_flight += num_pairs
        self._servers.add_in_flight(lane.server, num_pairs)

    def delay_after(self, lane: Lane, error: PrefscoreError) -> float:
        """Seconds until the lane's next call. Raises what the caller gets, where the stream is to end."""
        if lane.backoff.num_failed == 0:
            lane.backoff.reset()  # time counts from here: what came before is no failing, but slow pairs or callers
        elapsed_s = lane.backoff.elapsed_s
        delay_s = lane.backoff.next_delay(error)
        if not is_retryable(error):
            raise error
        if delay_s is None:
            lane.gave_up = error
            if all(other.gave_up is not None for other in self.lanes):
                raise self._final(error, elapsed_s)
            delay_s = self._policy.max_backoff_s
        self._servers.rest(lane.server, delay_s, error)
        logger.warning(
            "%s: %s: %s; the stream calls again in %.2g s", lane.server.address, error.code, error.message, delay_s
        )
        return delay_s

    def _final(self, error: PrefscoreError, elapsed_s: float) -> PrefscoreError:
        if isinstance(error, Unavailable):
            told = "; ".join(f"{lane.server.address}: {lane.gave_up.message}" for lane in self.lanes if lane.gave_up)
            num_attempts = sum(lane.backoff.num_failed for lane in self.lanes)
            error.message = f"no result in {num_attempts} attempts over {elapsed_s:.1f} s. {told}"
        return error

    # --- out ---

    def take(self) -> PairResult | None:
        """A result to give back; None where none is ready."""
        if not self._ready:
            return None
        result, num_bytes = self._ready.popleft()
        self._in_flight_pairs -= 1
        self._in_flight_bytes -= num_bytes
        return convert.result_from_proto(result)

    def is_done(self) -> bool:
        """Whether every pair was read, and its result given back."""
        return self._input_ended and self._in_flight_pairs == 0


def _too_large(num_bytes: int, max_bytes: int) -> pb.PairResult:
    message = f"pair: has {num_bytes} bytes; the limit is the server's max_message_bytes = {max_bytes}"
    return pb.PairResult(status=status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message=message))


def options_message(options: ScoringOptions) -> bytes:
    """The message that a call begins with. Raises InvalidArgument for options of a wrong form."""
    return pb.StreamScorePairsRequest(options=convert.options_to_proto(options)).SerializeToString()


def lost_without_reason(num_lost: int, address: str) -> Internal:
    return Internal(f"the server ended the stream without a result for {num_lost} pairs", server=address)
