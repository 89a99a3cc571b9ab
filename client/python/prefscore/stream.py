# SPDX-License-Identifier: Apache-2.0
"""Streams of pairs, on threads: one reads the caller's pairs, one per server makes its calls, and the caller's own takes
the results. gRPC brings one more per call, which asks for the requests."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

import grpc

from .errors import PrefscoreError, from_rpc_error
from .retry import Clock
from .servers import Server
from .stream_state import Lane, StreamCall, StreamState, lost_without_reason, request_of
from .types import Pair, PairResult, ServerInfo
from .v1 import scoring_pb2

# Longest wait, after the last result, for servers to end their calls themselves.
_GOODBYE_S = 1.0

OpenCall = Callable[[Server, Iterator[bytes]], "grpc.CallIterator[scoring_pb2.StreamScorePairsResponse]"]


def on_drop(dropped: object, end: Callable[[], None]) -> None:
    """Calls `end`, on a thread of its own, once nobody has `dropped` any more.

    A garbage collection may be on any thread, also on one that holds a lock which `end` needs.
    """

    def start() -> None:
        with contextlib.suppress(RuntimeError):  # the interpreter is ending
            threading.Thread(target=end, name="prefscore end", daemon=True).start()

    weakref.finalize(dropped, start).atexit = False


def _ignore() -> None:
    pass


class PairStream(Iterator[PairResult]):
    """The results of `Client.stream_pairs`: an iterator, and a context manager that closes it. Thread-safe."""

    def __init__(self, run: StreamRun, check_usable: Callable[[], None]) -> None:
        self._run = run
        self._check_usable = check_usable
        on_drop(self, run.end)

    def __next__(self) -> PairResult:
        self._check_usable()
        return self._run.next()

    def close(self) -> None:
        """Ends the stream at once, from any thread; pairs without a result get none. Repeated calls do nothing."""
        self._run.end()

    def __enter__(self) -> PairStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class StreamRun:
    """The threads of one stream. They know nothing of the `PairStream`, so that one which is dropped is closed."""

    def __init__(
        self, state: StreamState, pairs: Iterable[Pair], options: bytes, clock: Clock,
        prepare: Callable[[Server], ServerInfo], open_call: OpenCall,
    ) -> None:  # fmt: skip
        self._pid = os.getpid()
        self._state = state
        self._options = options
        self._clock = clock
        self._prepare = prepare  # raises PrefscoreError unless a server answers and speaks the contract
        self._open_call = open_call
        self._calls: dict[Lane, grpc.CallIterator[scoring_pb2.StreamScorePairsResponse]] = {}
        self._lock = threading.Lock()  # guards all of the above
        self._has_room = threading.Condition(self._lock)
        self._has_work = threading.Condition(self._lock)  # or there will be no more
        self._has_news = threading.Condition(self._lock)
        self.on_news: Callable[[], None] = _ignore  # called with the lock held: it must neither wait nor come back
        self._start("reader", self._read, iter(pairs))
        for lane in state.lanes:
            self._start(lane.server.address, self._run_lane, lane)

    def _start(self, name: str, run: Callable[..., None], argument: object) -> None:
        threading.Thread(target=run, args=(argument,), name=f"prefscore stream {name}", daemon=True).start()

    def next(self) -> PairResult:
        with self._lock:
            while (result := self._poll()) is None and not self._is_finished():
                self._has_news.wait()
        if result is not None:
            return result
        self.finish()
        raise StopIteration

    def poll(self) -> tuple[PairResult | None, bool]:
        """A result, if one is there, and whether there will be none any more: then `finish` is due. Does not wait."""
        with self._lock:
            return self._poll(), self._is_finished()

    def _poll(self) -> PairResult | None:
        if self._state.is_over:
            return None
        if (result := self._state.take()) is not None and self._state.has_much_room():
            self._has_room.notify()
        return result

    def finish(self) -> None:
        """Waits a little until the servers have ended their calls. Raises what ended the stream early."""
        with self._lock:
            if not self._state.is_over:
                self._has_work.notify_all()  # calls end now
                self._has_news.wait_for(lambda: not self._calls, _GOODBYE_S)
            failure, self._state.failure = self._state.failure, None
        self.end()
        if failure is not None:
            raise failure

    def end(self, failure: BaseException | None = None) -> None:
        """Ends the stream at once; the caller gets `failure`, if it is one. Does nothing where it has ended."""
        if os.getpid() != self._pid:
            return  # of a fork, where the threads are not, and the lock may be held for ever
        with self._lock:
            if self._state.is_over:
                return
            self._state.is_over = True
            self._state.failure = failure
            open_calls = list(self._calls.values())
            for condition in (self._has_room, self._has_work):
                condition.notify_all()
            self._tell_news()
        for call in open_calls:
            call.cancel()

    def _tell_waiting(self) -> None:
        """Another server is the least busy one now. (Who has no pair to wait for is let sleep: a wake-up is dear.)"""
        if self._state.has_waiting():
            self._has_work.notify_all()

    def _tell_news(self) -> None:
        self._has_news.notify_all()
        self.on_news()

    # --- threads ---

    def _read(self, pairs: Iterator[Pair]) -> None:
        position = 0
        try:
            while True:
                with self._lock:
                    self._has_room.wait_for(lambda: self._state.has_room() or self._state.is_over)
                    if self._state.is_over:
                        return
                try:
                    pair = next(pairs)
                except StopIteration:
                    break
                request = request_of(pair, position)
                position += 1
                with self._lock:
                    self._state.add(request)
                    self._has_work.notify_all()
        except BaseException as error:
            self.end(error)
            return
        with self._lock:
            self._state.end_input()
            self._has_work.notify_all()
            self._tell_news()

    def _run_lane(self, lane: Lane) -> None:
        try:
            while self._wait_for_work():
                try:
                    self._run_call(lane)
                except PrefscoreError as error:
                    self._wait_after(lane, error)
        except BaseException as error:
            self.end(error)

    def _wait_for_work(self) -> bool:
        """False: there will be no more."""
        with self._lock:
            self._has_work.wait_for(lambda: self._state.wants_call() or self._is_finished())
            return not self._is_finished()

    def _is_finished(self) -> bool:
        return self._state.is_over or self._state.is_done()

    def _wait_after(self, lane: Lane, error: PrefscoreError) -> None:
        with self._lock:
            if self._is_finished():
                return
            give_up_at = self._clock.now() + self._state.delay_after(lane, error)
            while not self._is_finished() and (delay_s := give_up_at - self._clock.now()) > 0:
                self._clock.wait(self._has_work, delay_s)

    def _run_call(self, lane: Lane) -> None:
        """Returns when the server ended the call; raises PrefscoreError where it failed."""
        info = self._prepare(lane.server)
        call = StreamCall()
        with self._lock:
            if self._is_finished():
                return
            lane.max_message_bytes = info.limits.max_message_bytes
            rpc = self._calls[lane] = self._open_call(lane.server, self._requests(lane, call))
        num_lost = 0
        try:
            for response in rpc:
                with self._lock:
                    if self._state.is_over:
                        return
                    self._state.accept(lane, call, response.result)
                    self._tell_waiting()
                    self._tell_news()
        except grpc.RpcError as error:
            raise from_rpc_error(rpc, lane.server.address) from error
        finally:
            with self._lock:
                num_lost = self._state.end_call(lane, call)
                del self._calls[lane]
                self._has_work.notify_all()
                self._tell_news()
            rpc.cancel()
        if num_lost > 0:
            raise lost_without_reason(num_lost, lane.server.address)

    def _requests(self, lane: Lane, call: StreamCall) -> Iterator[bytes]:
        """Asked for by a thread of gRPC's, each when the one before is on its way."""
        yield self._options
        while True:
            with self._lock:
                lane.is_asking = not call.has_ended
                if not self._wait_to_send(lane, call):
                    return
                request = self._state.send(lane, call)
                lane.is_asking = False
                self._tell_waiting()
                if request is None:
                    self._tell_news()
                    continue
            yield request

    def _wait_to_send(self, lane: Lane, call: StreamCall) -> bool:
        """False: the call takes no more."""
        while not call.has_ended and not self._is_finished():
            if self._state.may_send(lane):
                return True
            if not self._state.wants_call():
                break
            self._has_work.wait()
        lane.is_asking = False
        return False
