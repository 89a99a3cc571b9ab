# SPDX-License-Identifier: Apache-2.0
"""The contract's methods, typed, for grpc and grpc.aio alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf import wrappers_pb2
from google.protobuf.message import Message

from .v1 import diagnostics_pb2, models_pb2, scoring_pb2

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[Request, Response]):
    """`path` with the types of its messages."""

    path: str
    request: type[Request]
    response: type[Response]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


SCORE_PAIRS = Method(
    "/prefscore.v1.ScoringService/ScorePairs", scoring_pb2.ScorePairsRequest, scoring_pb2.ScorePairsResponse
)
STREAM_SCORE_PAIRS = Method(
    "/prefscore.v1.ScoringService/StreamScorePairs",
    scoring_pb2.StreamScorePairsRequest,
    scoring_pb2.StreamScorePairsResponse,
)
SCORE_COMPLETIONS = Method(
    "/prefscore.v1.ScoringService/ScoreCompletions",
    scoring_pb2.ScoreCompletionsRequest,
    scoring_pb2.ScoreCompletionsResponse,
)
EVALUATE_OBJECTIVES = Method(
    "/prefscore.v1.ScoringService/EvaluateObjectives",
    scoring_pb2.EvaluateObjectivesRequest,
    scoring_pb2.EvaluateObjectivesResponse,
)
LIST_OBJECTIVES = Method(
    "/prefscore.v1.ScoringService/ListObjectives",
    scoring_pb2.ListObjectivesRequest,
    scoring_pb2.ListObjectivesResponse,
)
ANALYZE_PAIRS = Method(
    "/prefscore.v1.DiagnosticsService/AnalyzePairs",
    diagnostics_pb2.AnalyzePairsRequest,
    diagnostics_pb2.AnalyzePairsResponse,
)
LIST_MODELS = Method(
    "/prefscore.v1.ModelService/ListModels", models_pb2.ListModelsRequest, models_pb2.ListModelsResponse
)
# HealthCheckRequest and HealthCheckResponse have one field each, a string and an enum: on the wire they are these two.
# (Their own proto would clash with that of other packages in the process.)
CHECK_HEALTH = Method("/grpc.health.v1.Health/Check", wrappers_pb2.StringValue, wrappers_pb2.Int32Value)
