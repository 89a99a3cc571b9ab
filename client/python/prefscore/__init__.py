# SPDX-License-Identifier: Apache-2.0
"""Scores preference pairs on a prefscore server: log-probs, DPO losses, reports.

    with prefscore.Client("127.0.0.1:50051") as client:
        for result in client.score_pairs([prefscore.Pair(" Yes.", " No.", "Is it?")]):
            print(result.policy_margin, result.objectives[0].loss)
"""

from .aio import AsyncClient
from .aio_stream import AsyncPairStream
from .analysis import AnalysisOptions, SweepGrid
from .client import Client
from .columns import EvaluatedColumns, LogProbColumns, ObjectiveColumns
from .dataset import DatasetSummary, score_dataset
from .errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    Internal,
    InvalidArgument,
    MissingColumns,
    MissingExtra,
    NotFound,
    NotTrusted,
    PairError,
    PrefscoreError,
    ResourceExhausted,
    TokenizerMismatch,
    Unavailable,
    VersionMismatch,
)
from .report import Report
from .retry import RetryPolicy
from .servers import Tls
from .stream import PairStream
from .tokenizer_check import check_tokenizer
from .types import (
    CachedLogProbs,
    CacheMode,
    CompletionResult,
    Content,
    Health,
    KnownLogProbs,
    Limits,
    Message,
    Model,
    ModelIdentity,
    ModelLogProb,
    Objective,
    ObjectiveInfo,
    ObjectiveResult,
    Pair,
    PairLogProbs,
    PairResult,
    PairTokenIds,
    PairTokenLogProbs,
    ParameterInfo,
    Priority,
    PromptCompletions,
    PromptResult,
    ScoredPairs,
    ScoredPrompts,
    ScoringOptions,
    ServerInfo,
    Timings,
    TokenIds,
    TokenizationNotes,
    TruncationPolicy,
    WeightedSum,
)

__version__ = "0.1.0"

__all__ = [
    "AnalysisOptions",
    "AsyncClient",
    "AsyncPairStream",
    "CacheMode",
    "CachedLogProbs",
    "Cancelled",
    "Client",
    "CompletionResult",
    "Content",
    "DatasetSummary",
    "DeadlineExceeded",
    "EvaluatedColumns",
    "FailedPrecondition",
    "FieldViolation",
    "Health",
    "Internal",
    "InvalidArgument",
    "KnownLogProbs",
    "Limits",
    "LogProbColumns",
    "Message",
    "MissingColumns",
    "MissingExtra",
    "Model",
    "ModelIdentity",
    "ModelLogProb",
    "NotFound",
    "NotTrusted",
    "Objective",
    "ObjectiveColumns",
    "ObjectiveInfo",
    "ObjectiveResult",
    "Pair",
    "PairError",
    "PairLogProbs",
    "PairResult",
    "PairStream",
    "PairTokenIds",
    "PairTokenLogProbs",
    "ParameterInfo",
    "PrefscoreError",
    "Priority",
    "PromptCompletions",
    "PromptResult",
    "Report",
    "ResourceExhausted",
    "RetryPolicy",
    "ScoredPairs",
    "ScoredPrompts",
    "ScoringOptions",
    "ServerInfo",
    "SweepGrid",
    "Timings",
    "Tls",
    "TokenIds",
    "TokenizationNotes",
    "TokenizerMismatch",
    "TruncationPolicy",
    "Unavailable",
    "VersionMismatch",
    "WeightedSum",
    "check_tokenizer",
    "score_dataset",
]
