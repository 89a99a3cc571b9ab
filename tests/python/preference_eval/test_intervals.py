# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from prefscore.preference_eval.intervals import stratified_bootstrap, wilson


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(("num_right", "num_pairs"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 7), (700, 1000)])
def test_wilson_is_scipys(num_right, num_pairs, confidence):
    expected = binomtest(num_right, num_pairs).proportion_ci(confidence, method="wilson")
    assert wilson(num_right, num_pairs, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_bootstrap_of_one_subset_is_scipys():
    mean, interval = stratified_bootstrap({"a": (70, 100)}, {"a": 1.0}, 0.9)
    outcomes = np.repeat([1.0, 0.0], [70, 30])
    expected = bootstrap((outcomes,), np.mean, confidence_level=0.9, method="percentile", rng=1).confidence_interval
    assert mean == 0.7
    # Both ends are quantiles of 10,000 means in steps of 0.01.
    assert interval == pytest.approx((expected.low, expected.high), abs=0.0101)


def test_the_bootstrap_resamples_within_subsets():
    """The variance of a weighted mean is the sum of the weighted variances: no subset's size is drawn."""
    counts = {"a": (50, 100), "b": (4000, 8000), "c": (9, 9)}
    weights = {"a": 0.5, "b": 0.25, "c": 0.25}
    mean, interval = stratified_bootstrap(counts, weights, 0.6827)
    deviation = np.sqrt(0.5**2 * 0.25 / 100 + 0.25**2 * 0.25 / 8000)
    assert mean == pytest.approx(0.625)
    assert (interval.high - interval.low) / 2 == pytest.approx(deviation, rel=0.05)


def test_the_same_counts_give_the_same_interval():
    counts = {"a": (5, 9), "b": (1, 3)}
    found = stratified_bootstrap(counts, {"a": 0.5, "b": 0.5}, 0.95)
    assert found == stratified_bootstrap(dict(reversed(counts.items())), {"b": 0.5, "a": 0.5}, 0.95)
