# SPDX-License-Identifier: Apache-2.0
"""Callers that keep a server busy and count what they are told, call by call. They never retry."""
import collections
import itertools
import threading
import time

import grpc
from google.rpc import error_details_pb2, status_pb2

from prefscore.v1 import scoring_pb2, scoring_pb2_grpc


def pair_of(row, name):
    content = lambda text: scoring_pb2.Content(text=text)
    return scoring_pb2.PreferencePair(id=name, prompt=content(row["prompt"]), chosen=content(row["chosen"]),
                                      rejected=content(row["rejected"]))  # fmt: skip


def error_info(error):
    """The ErrorInfo of a failed call; None where no server of ours spoke, but the transport."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    info = error_details_pb2.ErrorInfo()
    found = details and any(detail.Unpack(info) for detail in status_pb2.Status.FromString(details).details)
    return info if found else None


def open_channel(address, **options):
    """A connection of its own, unlike those that gRPC shares between equal channels."""
    given = [(f"grpc.{name}", value) for name, value in options.items()]
    return grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1), *given])


class Callers:
    """Threads, each with a connection and calls one after the other, until `stop` or the first call that fails."""

    def __init__(self, address, rows, num_unary, num_streams, pairs_per_call=64):
        self.calls = collections.Counter()  # by method and code
        self.num_scored = 0  # pairs with numbers
        self.refusals = []  # ErrorInfo of each call that failed; None where the transport ended it
        self.streams = []  # of each: the indices that have results, and the ErrorInfo of its end
        self._address = address
        self._rows = rows
        self._pairs_per_call = pairs_per_call
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        work = [self._call_unary] * num_unary + [self._call_stream] * num_streams
        self._threads = [threading.Thread(target=each, args=(name,)) for name, each in enumerate(work)]
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s=120):
        for thread in self._threads:
            thread.join(timeout_s)
            assert not thread.is_alive(), "a call got no answer"

    def stop(self):
        self._stopping.set()
        self.join()

    def wait_until_busy(self, num_calls=1):
        give_up_at = time.monotonic() + 60
        while self.calls["ScorePairs", "OK"] < num_calls or self.num_scored < len(self._threads) * self._pairs_per_call:
            assert time.monotonic() < give_up_at, "the server answers too little"
            time.sleep(0.01)

    def _call_unary(self, name):
        with open_channel(self._address) as channel:
            stub = scoring_pb2_grpc.ScoringServiceStub(channel)
            for call in itertools.count():
                if self._stopping.is_set():
                    return
                rows = itertools.islice(itertools.cycle(self._rows), call, call + self._pairs_per_call)
                pairs = [pair_of(row, f"{name}-{call}-{idx}") for idx, row in enumerate(rows)]
                try:
                    results = stub.ScorePairs(scoring_pb2.ScorePairsRequest(pairs=pairs)).results
                except grpc.RpcError as error:
                    return self._failed("ScorePairs", error)
                assert [result.id for result in results] == [pair.id for pair in pairs]
                self._count("ScorePairs", "OK", sum(not result.HasField("status") for result in results))

    def _call_stream(self, name):
        def messages():
            yield scoring_pb2.StreamScorePairsRequest(options=scoring_pb2.ScoringOptions())
            for index, row in enumerate(itertools.cycle(self._rows)):
                if self._stopping.is_set():
                    return
                yield scoring_pb2.StreamScorePairsRequest(pair=pair_of(row, f"{name}-{index}"))

        indices = []
        info = None
        with open_channel(self._address) as channel:
            try:
                for response in scoring_pb2_grpc.ScoringServiceStub(channel).StreamScorePairs(messages()):
                    assert response.result.id == f"{name}-{response.result.index}"
                    indices.append(response.result.index)
                    with self._lock:
                        self.num_scored += not response.result.HasField("status")
                self._count("StreamScorePairs", "OK", 0)
            except grpc.RpcError as error:
                info = self._failed("StreamScorePairs", error)
        with self._lock:
            self.streams.append((indices, info))

    def _failed(self, method, error):
        info = error_info(error)
        self._count(method, error.code().name, 0)
        with self._lock:
            self.refusals.append(info)
        return info

    def _count(self, method, code, num_scored):
        with self._lock:
            self.calls[method, code] += 1
            self.num_scored += num_scored
