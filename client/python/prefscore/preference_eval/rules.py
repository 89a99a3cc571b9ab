# SPDX-License-Identifier: Apache-2.0
"""Scores of completions, as RewardBench makes them of log-probs (its `DPOInference`; arXiv 2403.13787)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, get_args

import numpy as np

from ..errors import InvalidArgument
from ..types import PairResult

Rule: TypeAlias = Literal["reference", "sum", "average", "norm"]
"""How a completion is scored; the package's docstring tells."""

RULES: tuple[Rule, ...] = get_args(Rule)

Scores: TypeAlias = tuple[float, float]
"""Of chosen and rejected, finite; higher is better."""


def _lacks(result: PairResult, rule: Rule, what: str) -> InvalidArgument:
    return InvalidArgument(f"results[{result.index}]: the rule {rule!r} needs {what}")


def _reference(result: PairResult) -> Scores:
    if result.chosen_logratio is None or result.rejected_logratio is None:
        raise _lacks(result, "reference", "the reference's log-probs; score with an objective that has a reference")
    return result.chosen_logratio, result.rejected_logratio


def _sum(result: PairResult) -> Scores:
    if result.policy_chosen_logp is None or result.policy_rejected_logp is None:
        raise _lacks(result, "sum", "the policy's log-probs")
    return result.policy_chosen_logp, result.policy_rejected_logp


def _average(result: PairResult) -> Scores:
    if not (result.num_chosen_tokens and result.num_rejected_tokens):
        raise _lacks(result, "average", "the numbers of tokens of both completions")
    chosen_logp, rejected_logp = _sum(result)
    return chosen_logp / result.num_chosen_tokens, rejected_logp / result.num_rejected_tokens


def _norm(result: PairResult) -> Scores:
    logps = result.token_logps
    if logps is None or not (len(logps.policy_chosen) and len(logps.policy_rejected)):
        raise _lacks(
            result, "norm", "the policy's token_logps; score with return_token_logps=True, and without known log-probs"
        )
    chosen, rejected = (np.linalg.norm(np.float64(side)) for side in (logps.policy_chosen, logps.policy_rejected))
    return -float(chosen), -float(rejected)


_SCORES: Mapping[Rule, Callable[[PairResult], Scores]] = {
    "reference": _reference,
    "sum": _sum,
    "average": _average,
    "norm": _norm,
}


def scores(result: PairResult, rule: Rule) -> Scores:
    """Scores of a result without an error. Raises InvalidArgument where it lacks what the rule needs."""
    return _SCORES[rule](result)
