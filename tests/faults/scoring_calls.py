# SPDX-License-Identifier: Apache-2.0
"""Calls that the tests of faults make, and what errors and health tell."""
import random
import threading

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from real_server import wait_until

from prefscore.v1 import scoring_pb2, scoring_pb2_grpc

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def random_pairs(count, seed=0, max_tokens=40):
    """Pairs of ids that every demo model takes."""
    rng = random.Random(seed)

    def content():
        return scoring_pb2.Content(token_ids=scoring_pb2.TokenIds(
            ids=[rng.randrange(500) for _ in range(rng.randint(1, max_tokens))]))

    return [scoring_pb2.PreferencePair(prompt=content(), chosen=content(), rejected=content()) for _ in range(count)]


def score(server, pairs, timeout_s=120, objectives=(), **options):
    """The results, all without fault, as bytes that tell nothing of the cache."""
    request = scoring_pb2.ScorePairsRequest(pairs=pairs, options=scoring_pb2.ScoringOptions(
        objectives=[scoring_pb2.Objective(name=name) for name in objectives], **options))
    with server.channel() as channel:
        results = scoring_pb2_grpc.ScoringServiceStub(channel).ScorePairs(request, timeout=timeout_s).results
    for result in results:
        assert not result.HasField("status"), result.status
        result.ClearField("cached")
    return [result.SerializeToString(deterministic=True) for result in results]


def health_of(server, service):
    with server.channel() as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return health_pb2_grpc.HealthStub(channel).Check(request, timeout=60).status


def watch_health(channel):
    """The statuses that a watcher is told, as they come, until its call ends."""
    told = []

    def watch():
        try:
            for response in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
                told.append(response.status)
        except grpc.RpcError as error:
            told.append(error.code())

    threading.Thread(target=watch, daemon=True).start()
    wait_until("the watcher is told something", lambda: told)
    return told


def reason_of(error: grpc.RpcError):
    """The reason of a failed call's ErrorInfo."""
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status_pb2.Status.FromString(details).details)
    return info.reason
