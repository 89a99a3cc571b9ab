# SPDX-License-Identifier: Apache-2.0
"""Objectives of many pairs whose log-probs are arrays: no object per pair, several calls in flight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from . import convert
from .content import wrong
from .errors import InvalidArgument, PairError
from .types import Limits, ObjectiveInfo
from .v1 import scoring_pb2 as pb

_CALLS_IN_FLIGHT = 4
_MAX_BYTES_PER_PAIR = 128  # of a message: four log-probs, two counts and a gap have 65
_DEFAULT_PAIRS_PER_CALL = 1024

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LogProbColumns:
    """The log-probs of N pairs: one-dimensional arrays [N], or anything that numpy makes one of.

    policy_*: required. reference_*: where an objective needs them. Nats, float64, finite and <= 0.
    num_chosen_tokens, num_rejected_tokens: counts, where an objective is on log-probs per token. 0: unknown.
    score_gap: score of chosen less that of rejected, > 0; needed by the objective odpo.
    """

    policy_chosen_logp: npt.ArrayLike
    policy_rejected_logp: npt.ArrayLike
    reference_chosen_logp: npt.ArrayLike | None = None
    reference_rejected_logp: npt.ArrayLike | None = None
    num_chosen_tokens: npt.ArrayLike | None = None
    num_rejected_tokens: npt.ArrayLike | None = None
    score_gap: npt.ArrayLike | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ObjectiveColumns:
    """An objective's values for N pairs: arrays [N], float64, as the fields of `ObjectiveResult`. NaN: a faulty pair."""

    name: str
    label: str
    beta: Floats
    gamma: Floats
    loss: Floats
    logit: Floats
    chosen_reward: Floats
    rejected_reward: Floats
    required_margin: Floats
    gradient_weight: Floats
    effective_margin: Floats
    d_loss_d_policy_chosen_logp: Floats
    d_loss_d_policy_rejected_logp: Floats
    d_loss_d_beta: Floats
    d_loss_d_gamma: Floats


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatedColumns:
    """objectives: in the order of the request. errors: of the faulty pairs, by position."""

    objectives: tuple[ObjectiveColumns, ...]
    errors: Mapping[int, PairError]


_VALUES = tuple(field.name for field in fields(ObjectiveColumns) if field.name not in ("name", "label"))
_read_values = attrgetter(*_VALUES)


def _column(columns: LogProbColumns, name: str) -> list[Any] | None:
    value = getattr(columns, name)
    if value is None:
        if name.startswith("policy"):
            raise wrong(name, "is missing")
        return None
    array = np.asarray(value)
    is_count = name.startswith("num_")
    if array.ndim != 1:
        raise wrong(name, f"must have one dimension, not shape {array.shape}")
    if array.size > 0 and array.dtype.kind not in ("iu" if is_count else "fiu"):
        raise wrong(name, f"must be {'counts' if is_count else 'numbers'}, not {array.dtype}")
    if is_count and array.size > 0 and not 0 <= array.min() <= array.max() < 2**32:
        raise wrong(name, f"must be counts in [0, 2**32), not {array.min()} to {array.max()}")
    numbers: list[Any] = array.tolist() if is_count else array.astype(np.float64).tolist()
    return numbers


class Chunks:
    """The pairs as requests of at most as many as the server takes."""

    def __init__(self, columns: LogProbColumns, objectives: Sequence[pb.Objective], limits: Limits) -> None:
        self._columns = {field.name: _column(columns, field.name) for field in fields(LogProbColumns)}
        lengths = {name: len(column) for name, column in self._columns.items() if column is not None}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise InvalidArgument(f"the columns have different lengths: {told}")
        self.num_pairs = lengths["policy_chosen_logp"]
        self._objectives = objectives
        max_bytes = limits.max_message_bytes or _DEFAULT_PAIRS_PER_CALL * _MAX_BYTES_PER_PAIR
        max_pairs = limits.max_pairs_per_request or _DEFAULT_PAIRS_PER_CALL
        self.pairs_per_call = max(min(max_pairs, max_bytes // (2 * _MAX_BYTES_PER_PAIR)), 1)

    def check_no_batch_objective(self, infos: Sequence[ObjectiveInfo]) -> None:
        """Raises InvalidArgument where a pair's value would depend on how the pairs are cut into calls."""
        names = {info.name for info in infos if info.is_batch}
        for objective in self._objectives:
            for name in (objective.name, *(term.objective.name for term in objective.terms)):
                if name in names:
                    raise InvalidArgument(
                        f"objective {name!r} depends on all pairs of its call, and a call has at most "
                        f"{self.pairs_per_call} of the {self.num_pairs} pairs"
                    )

    def starts(self) -> range:
        return range(0, self.num_pairs, self.pairs_per_call)

    def request(self, start: int) -> pb.EvaluateObjectivesRequest:
        part = slice(start, start + self.pairs_per_call)
        names = [name for name, column in self._columns.items() if column is not None]
        known = [name for name in names if name.endswith("_logp")]
        other = [name for name in names if not name.endswith("_logp")]
        rows = zip(*(self._part(name, part) for name in known), strict=True)
        all_known = [pb.KnownLogProbs(**dict(zip(known, row, strict=True))) for row in rows]
        if not other:
            pairs = [pb.PairLogProbs(logps=one) for one in all_known]
        else:
            others = zip(*(self._part(name, part) for name in other), strict=True)
            pairs = [
                pb.PairLogProbs(logps=one, **dict(zip(other, row, strict=True)))
                for one, row in zip(all_known, others, strict=True)
            ]
        return pb.EvaluateObjectivesRequest(pairs=pairs, objectives=self._objectives)

    def _part(self, name: str, part: slice) -> list[Any]:
        column = self._columns[name]
        assert column is not None
        return column[part]


class _Answers:
    """Gathers the answers of all calls."""

    def __init__(self, num_pairs: int) -> None:
        self._num_pairs = num_pairs
        self._values: list[Floats] = []  # per objective [N, values]
        self._names: list[tuple[str, str]] = []
        self._errors: dict[int, PairError] = {}

    def add(self, start: int, response: pb.EvaluateObjectivesResponse) -> None:
        results = response.results
        failed = {idx for idx, result in enumerate(results) if result.HasField("status")}
        for idx in failed:
            self._errors[start + idx] = convert.pair_error(results[idx].status)
        scored = [idx for idx in range(len(results)) if idx not in failed]
        if not scored:
            return
        first = results[scored[0]].objectives
        if not self._names:
            self._names = [(objective.name, objective.label) for objective in first]
            self._values = [np.full((self._num_pairs, len(_VALUES)), np.nan) for _ in first]
        positions = start + np.array(scored)
        for objective_idx, values in enumerate(self._values):
            values[positions] = [_read_values(results[idx].objectives[objective_idx]) for idx in scored]

    def result(self, objectives: Sequence[pb.Objective]) -> EvaluatedColumns:
        if not self._names:  # no pair was scored: all is NaN, or empty
            names = [objective.name or "weighted_sum" for objective in objectives] or ["sigmoid"]
            self._names = [(name, "") for name in names]
            self._values = [np.full((self._num_pairs, len(_VALUES)), np.nan) for _ in names]
        return EvaluatedColumns(
            tuple(
                ObjectiveColumns(name, label, *np.ascontiguousarray(values.T))
                for (name, label), values in zip(self._names, self._values, strict=True)
            ),
            dict(sorted(self._errors.items())),
        )


Ask = Callable[[pb.EvaluateObjectivesRequest], pb.EvaluateObjectivesResponse]


def evaluate(
    chunks: Chunks,
    objectives: Sequence[pb.Objective],
    ask: Ask,
) -> EvaluatedColumns:
    """Asks for all chunks, several at a time. The first error ends it."""
    answers = _Answers(chunks.num_pairs)
    with ThreadPoolExecutor(_CALLS_IN_FLIGHT, thread_name_prefix="prefscore columns") as pool:
        for start, response in _in_flight(pool, chunks, ask):
            answers.add(start, response)
    return answers.result(objectives)


def _ask_for(chunks: Chunks, start: int, ask: Ask) -> pb.EvaluateObjectivesResponse:
    return ask(chunks.request(start))


def _in_flight(
    pool: ThreadPoolExecutor, chunks: Chunks, ask: Ask
) -> Iterator[tuple[int, pb.EvaluateObjectivesResponse]]:
    """The answers in order; as many calls are under way as the pool has threads."""
    under_way = []
    try:
        for start in chunks.starts():
            under_way.append((start, pool.submit(_ask_for, chunks, start, ask)))
            if len(under_way) > _CALLS_IN_FLIGHT:
                first, answer = under_way.pop(0)
                yield first, answer.result()
        while under_way:
            first, answer = under_way.pop(0)
            yield first, answer.result()
    finally:
        for _, answer in under_way:
            answer.cancel()
