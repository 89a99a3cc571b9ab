# SPDX-License-Identifier: Apache-2.0
"""Sections: groups of subsets, and what each subset weighs in its group."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Sections:
    """Groups of subsets. A section's accuracy is the mean over its pairs; the score is the mean over the sections.

    subsets: names of subsets by section; a subset is in one section only.
    pair_weights: by subset, how much each of its pairs counts in its section, > 0. Default: 1.
    """

    subsets: Mapping[str, Sequence[str]]
    pair_weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if twice := [name for name, count in Counter(self._names()).items() if count > 1]:
            raise InvalidArgument(f"sections: a subset is named twice: {', '.join(twice)}")
        for name, weight in self.pair_weights.items():
            if name not in self._names():
                raise InvalidArgument(f"pair_weights: {name!r} is in no section")
            if not (math.isfinite(weight) and weight > 0):
                raise InvalidArgument(f"pair_weights[{name!r}] is {weight!r}; it must be > 0 and finite")

    def _names(self) -> list[str]:
        return [name for names in self.subsets.values() for name in names]

    def check_hold(self, subsets: Iterable[str], subset_label: str) -> None:
        """Raises InvalidArgument unless each of the subsets is in a section. "" is that of the pairs without label."""
        if unknown := sorted(set(subsets) - set(self._names())):
            told = f"{unknown[0]!r} is in no section" if unknown[0] else "a pair does not have the label"
            raise InvalidArgument(f"label {subset_label!r}: {told}; the sections hold {', '.join(self._names())}")

    def are_covered(self, num_pairs: Mapping[str, int]) -> bool:
        """Whether every subset of every section has a pair."""
        return all(num_pairs.get(name) for name in self._names())

    def weights(self, num_pairs: Mapping[str, int]) -> dict[str, dict[str, float]]:
        """By section, the weights of its subsets' accuracies, with sum 1. Sections without a pair are left out."""
        weights: dict[str, dict[str, float]] = {}
        for section, names in self.subsets.items():
            sizes = {name: self.pair_weights.get(name, 1.0) * num_pairs.get(name, 0) for name in names}
            if total := sum(sizes.values()):
                weights[section] = {name: size / total for name, size in sizes.items() if size}
        return weights


REWARD_BENCH = Sections(
    subsets={
        "Chat": ("alpacaeval-easy", "alpacaeval-length", "alpacaeval-hard", "mt-bench-easy", "mt-bench-med"),
        "Chat Hard": (
            "mt-bench-hard", "llmbar-natural", "llmbar-adver-neighbor", "llmbar-adver-GPTInst", "llmbar-adver-GPTOut",
            "llmbar-adver-manual",
        ),
        "Safety": (
            "refusals-dangerous", "refusals-offensive", "xstest-should-refuse", "xstest-should-respond", "donotanswer",
        ),
        "Reasoning": ("math-prm", "hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust"),
    },
    # RewardBench counts its 447 pairs of mathematics as 984, which is how many it has of code.
    pair_weights={"math-prm": 984 / 447},
)  # fmt: skip
"""RewardBench's sections and weights. The fifth one of its leaderboard, "Prior Sets" at half weight, is not here."""
