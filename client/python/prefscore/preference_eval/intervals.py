# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals of accuracies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ..errors import InvalidArgument

_NUM_RESAMPLES = 10_000
_SEED = 0


class Interval(NamedTuple):
    """low <= high, both in [0, 1]."""

    low: float
    high: float


def check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise InvalidArgument(f"confidence is {confidence!r}; it must be in (0, 1), such as 0.95")


def wilson(num_right: int, num_pairs: int, confidence: float) -> Interval:
    """Wilson's score interval of a share, without continuity correction (JASA 22, 1927). num_pairs > 0.

    Unlike the normal interval it stays within [0, 1], and it has a width where all pairs are right or none is.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = num_right / num_pairs
    centre = share + z * z / (2 * num_pairs)
    half_width = z * math.sqrt(share * (1 - share) / num_pairs + z * z / (4 * num_pairs * num_pairs))
    scale = 1 + z * z / num_pairs
    low = 0.0 if num_right == 0 else (centre - half_width) / scale
    high = 1.0 if num_right == num_pairs else (centre + half_width) / scale
    return Interval(low, high)


def stratified_bootstrap(
    counts: Mapping[str, tuple[int, int]], weights: Mapping[str, float], confidence: float
) -> tuple[float, Interval]:
    """Weighted mean of the accuracies of subsets, and the percentile interval of a bootstrap within each subset.

    counts: (num_right, num_pairs) by subset, num_pairs > 0 where there is a weight.
    weights: of the accuracies, by subset.

    Drawing n of n pairs with replacement, the number of right ones is binomial: it is drawn as such. The seed is fixed,
    so the same counts give the same interval. A subset that is all right, or all wrong, adds no width.
    """
    rng = np.random.default_rng(_SEED)
    mean = 0.0
    resampled = np.zeros(_NUM_RESAMPLES)
    for name in sorted(weights):
        num_right, num_pairs = counts[name]
        mean += weights[name] * num_right / num_pairs
        resampled += weights[name] * rng.binomial(num_pairs, num_right / num_pairs, _NUM_RESAMPLES) / num_pairs
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return mean, Interval(float(low), float(high))
