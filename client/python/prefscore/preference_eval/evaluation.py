# SPDX-License-Identifier: Apache-2.0
"""Counts who is right, by subset."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import InvalidArgument
from ..types import PairResult
from .intervals import Interval, check_confidence, stratified_bootstrap, wilson
from .rules import RULES, Rule, scores
from .sections import Sections


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Of a set of pairs: how many the rule ranks right.

    num_pairs: pairs with scores. num_failed: further ones, which have none.
    accuracy: num_right / num_pairs, with Wilson's interval. Without a pair NaN and None.
    """

    num_pairs: int
    num_right: int
    num_ties: int
    num_failed: int
    accuracy: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class WeightedAccuracy:
    """A weighted mean of the subsets' accuracies, with the interval of a bootstrap within each subset."""

    accuracy: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found by one rule.

    overall: over all pairs alike, whatever their subset.
    subsets: by the label's value, in the order of the names; "" holds the pairs without it.
    sections: those with a pair; empty where none were asked for.
    score: the mean of the sections' accuracies; None unless every subset of every section has a pair with scores.
    confidence: of all intervals.
    """

    rule: Rule
    overall: Accuracy
    subsets: Mapping[str, Accuracy]
    sections: Mapping[str, WeightedAccuracy]
    score: WeightedAccuracy | None
    confidence: float

    def __str__(self) -> str:
        rows: list[tuple[str, Accuracy | WeightedAccuracy, str]] = [
            (name or "(no label)", counted, _counts_text(counted)) for name, counted in self.subsets.items()
        ]
        rows.append(("overall", self.overall, _counts_text(self.overall)))
        rows += [(name, weighted, "section") for name, weighted in self.sections.items()]
        if self.score is not None:
            rows.append(("score", self.score, "mean of the sections"))
        title = f"rule {self.rule!r}"
        width = max(len(title), *(len(name) for name, _, _ in rows))
        lines = [f"{title:{width}}  accuracy  {100 * self.confidence:g}% interval"]
        for name, row, note in rows:
            interval = "-" if row.interval is None else f"[{row.interval.low:.3f}, {row.interval.high:.3f}]"
            lines.append(f"{name:{width}}  {row.accuracy:8.3f}  {interval:14}  {note}")
        return "\n".join(lines)


def _counts_text(counted: Accuracy) -> str:
    ties = f", {counted.num_ties} ties" if counted.num_ties else ""
    failed = f", {counted.num_failed} failed" if counted.num_failed else ""
    return f"{counted.num_right} of {counted.num_pairs}{ties}{failed}"


@dataclass(slots=True)
class _Tally:
    """Of one subset by one rule."""

    num_pairs: int = 0
    num_right: int = 0
    num_ties: int = 0
    num_failed: int = 0

    def count(self, chosen_score: float, rejected_score: float) -> None:
        self.num_pairs += 1
        self.num_right += chosen_score > rejected_score
        self.num_ties += chosen_score == rejected_score

    def accuracy(self, confidence: float) -> Accuracy:
        counts = (self.num_pairs, self.num_right, self.num_ties, self.num_failed)
        if self.num_pairs == 0:
            return Accuracy(*counts, math.nan, None)
        return Accuracy(*counts, self.num_right / self.num_pairs, wilson(self.num_right, self.num_pairs, confidence))


def evaluate(
    results: Iterable[PairResult],
    *,
    rules: Sequence[Rule] = ("reference",),
    subset_label: str = "subset",
    sections: Sections | None = None,
    confidence: float = 0.95,
) -> dict[Rule, Evaluation]:
    """Evaluates scored pairs by each of the rules. Reads `results` once and keeps counts only.

    results: of `Client.score_pairs`, `Client.stream_pairs` or the like, in any order. Failed pairs are counted, but not
        in the accuracies.
    rules: "reference" needs the reference's log-probs; "norm" needs token_logps (ScoringOptions.return_token_logps).
    subset_label: name of the label (`Pair.labels`) that tells a pair's subset.
    sections: such as REWARD_BENCH. Then each pair must be in a subset of a section.
    confidence: of the intervals, in (0, 1).

    Raises InvalidArgument where a result lacks what a rule needs, or a subset is in no section.
    """
    if unknown := [rule for rule in rules if rule not in RULES]:
        raise InvalidArgument(f"rules: there is no {unknown[0]!r}; there are {', '.join(RULES)}")
    check_confidence(confidence)
    tallies: dict[str, dict[Rule, _Tally]] = defaultdict(lambda: {rule: _Tally() for rule in rules})
    for result in results:
        for rule, tally in tallies[result.labels.get(subset_label, "")].items():
            if result.error is None:
                tally.count(*scores(result, rule))
            else:
                tally.num_failed += 1
    if sections is not None:
        sections.check_hold(tallies, subset_label)
    return {
        rule: _evaluation(rule, {name: tallies[name][rule] for name in sorted(tallies)}, sections, confidence)
        for rule in rules
    }


def _evaluation(rule: Rule, tallies: Mapping[str, _Tally], sections: Sections | None, confidence: float) -> Evaluation:
    overall = _Tally()
    for tally in tallies.values():
        overall.num_pairs += tally.num_pairs
        overall.num_right += tally.num_right
        overall.num_ties += tally.num_ties
        overall.num_failed += tally.num_failed
    num_pairs = {name: tally.num_pairs for name, tally in tallies.items()}
    counts = {name: (tally.num_right, tally.num_pairs) for name, tally in tallies.items()}
    weights = {} if sections is None else sections.weights(num_pairs)
    score = None
    if sections is not None and sections.are_covered(num_pairs):
        of_mean = {name: weight / len(weights) for group in weights.values() for name, weight in group.items()}
        score = WeightedAccuracy(*stratified_bootstrap(counts, of_mean, confidence))
    return Evaluation(
        rule,
        overall.accuracy(confidence),
        {name: tally.accuracy(confidence) for name, tally in tallies.items()},
        {
            section: WeightedAccuracy(*stratified_bootstrap(counts, group, confidence))
            for section, group in weights.items()
        },
        score,
        confidence,
    )
