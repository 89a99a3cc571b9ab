# SPDX-License-Identifier: Apache-2.0
"""The unary calls: what is sent, and how the answer is read. The same for `Client` and `AsyncClient`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from . import calls, convert
from .calls import Method, Request, Response
from .content import check_iterable, text, wrong
from .types import (
    CacheMode,
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
from .v1 import models_pb2, scoring_pb2

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Call(Generic[Request, Response, Answer]):
    """A call that is ready to be made, as often as it takes."""

    method: Method[Request, Response]
    request: Request
    read: Callable[[Response], Answer]


def _scored_pairs(response: scoring_pb2.ScorePairsResponse | scoring_pb2.EvaluateObjectivesResponse) -> ScoredPairs:
    return ScoredPairs(
        [convert.result_from_proto(result) for result in response.results],
        [dict(state.values) for state in response.batch_states],
        convert.timings_from_proto(response.timings) if response.HasField("timings") else None,
    )


def score_pairs(
    pairs: Iterable[Pair], options: ScoringOptions
) -> Call[scoring_pb2.ScorePairsRequest, scoring_pb2.ScorePairsResponse, ScoredPairs]:
    check_iterable(pairs, "pairs", "pairs")
    request = scoring_pb2.ScorePairsRequest(
        pairs=[convert.pair_to_proto(pair, f"pairs[{idx}]") for idx, pair in enumerate(pairs)],
        options=convert.options_to_proto(options),
    )
    return Call(calls.SCORE_PAIRS, request, _scored_pairs)


def score_completions(
    prompts: Iterable[PromptCompletions],
    models: Sequence[str],
    profile: str,
    truncation_policy: TruncationPolicy,
    max_length: int,
    return_token_logps: bool,
    return_greedy_match: bool,
    return_timings: bool,
    cache_mode: CacheMode,
    cache_policy: bool,
    priority: Priority,
) -> Call[scoring_pb2.ScoreCompletionsRequest, scoring_pb2.ScoreCompletionsResponse, ScoredPrompts]:
    check_iterable(prompts, "prompts", "prompts")
    if isinstance(models, str):
        raise wrong("models", f"must be a list of names, not a str; write [{models!r}]")
    request = scoring_pb2.ScoreCompletionsRequest(
        prompts=[convert.prompt_to_proto(prompt, f"prompts[{idx}]") for idx, prompt in enumerate(prompts)],
        models=[text(name, f"models[{idx}]") for idx, name in enumerate(models)],
        profile=text(profile, "profile"),
        truncation_policy=convert.truncation_to_proto(truncation_policy),
        max_length=convert.length_to_proto(max_length),
        return_token_logps=bool(return_token_logps),
        return_greedy_match=bool(return_greedy_match),
        return_timings=bool(return_timings),
        cache_mode=convert.cache_mode_to_proto(cache_mode),
        cache_policy=bool(cache_policy),
        priority=convert.priority_to_proto(priority),
    )
    return Call(calls.SCORE_COMPLETIONS, request, convert.scored_prompts_from_proto)


def evaluate_objectives(
    pairs: Iterable[PairLogProbs], objectives: Sequence[Objective | WeightedSum | str], return_timings: bool
) -> Call[scoring_pb2.EvaluateObjectivesRequest, scoring_pb2.EvaluateObjectivesResponse, ScoredPairs]:
    check_iterable(pairs, "pairs", "pairs, or LogProbColumns")
    request = scoring_pb2.EvaluateObjectivesRequest(
        pairs=[convert.logps_to_proto(pair, f"pairs[{idx}]") for idx, pair in enumerate(pairs)],
        objectives=convert.objectives_to_proto(objectives),
        return_timings=bool(return_timings),
    )
    return Call(calls.EVALUATE_OBJECTIVES, request, _scored_pairs)


def check_no_timings(return_timings: bool) -> None:
    if return_timings:
        raise wrong("return_timings", "is for pairs; LogProbColumns may take many calls")


def objectives() -> Call[scoring_pb2.ListObjectivesRequest, scoring_pb2.ListObjectivesResponse, list[ObjectiveInfo]]:
    return Call(calls.LIST_OBJECTIVES, scoring_pb2.ListObjectivesRequest(), convert.objective_infos_from_proto)


def models() -> Call[models_pb2.ListModelsRequest, models_pb2.ListModelsResponse, ServerInfo]:
    return Call(calls.LIST_MODELS, models_pb2.ListModelsRequest(), convert.server_info_from_proto)
