# SPDX-License-Identifier: Apache-2.0
"""All values of every objective against reference.py, which has 40 digits.

Tolerance: 1e-12 of the scale that reference.py gives each number. The scale is |value| for z and the rewards, which are
linear in the log-probs, whatever cancels there: these are claimed to be right to the last bits. Elsewhere, also where an
objective adds a term of its own to z or z is formed of weighted log-probs (ld_dpo), it is the sum of the magnitudes of
the terms that the formula adds, since a sum of rounded terms cannot be known better than its largest term: 1e-12 leaves
three digits of room above that. Below the smallest normal double, where no relative promise can hold, each step may be
off by two last bits. What exceeds the range of doubles must be infinite, never NaN; where the logit does, so may a
derivative that is its product with a tiny slope.
"""
import collections
import math
import random
import sys

import mpmath
import pytest
from points import completed, own_points, points, random_logps
from reference import FIELDS, LOGP_NAMES, OBJECTIVES, Request, WeightedSum
from scaled_numbers import TOLERANCE, Undecided

LAST_BIT = 5e-324
LARGEST = sys.float_info.max
MIN_POINTS = 200

# ---- own parameters

DIVERGENCES = [
    {"f_divergence_type": "forward_kl"},
    {"f_divergence_type": "js_divergence"},
    {"f_divergence_type": "alpha_divergence"},
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 2.0},
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": -0.25},
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef_trl_0_28": 0.3},
]
OTHER_NAMES_OF_REVERSE_KL = [
    {"f_divergence_type": "reverse_kl"},
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 1.0000001},  # as good as 1
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef_trl_0_28": 0.0},
]
OWN_PARAMETERS = {
    "cdpo": [{}, *({"label_smoothing": eps} for eps in (0.1, 0.25, 0.5))],
    "robust": [{}, *({"label_smoothing": eps} for eps in (0.25, 0.1, 0.499))],
    "exo_pair": [{}, *({"label_smoothing": eps} for eps in (1e-9, 0.1, 0.49))],
    "bco_pair": [{}, {"delta": 1.5}, {"delta": -0.3}],
    "discopop": [{"discopop_tau": 1.0}, {}, {"discopop_tau": 3.0}],
    "simpo": [{}, {"simpo_gamma": 1.4, "label_smoothing": 0.1}, {"simpo_gamma": 0.0, "cpo_alpha": 0.7},
              {"simpo_gamma": 0.3, "label_smoothing": 0.5, "cpo_alpha": 2.0}],
    "cpo": [{}, {"label_smoothing": 0.2}, {"cpo_alpha": 0.0}, {"cpo_alpha": 0.05, "label_smoothing": 0.5}],
    "slic_hf": [{}, {"delta": 0.0, "lambda_coef": 0.0}, {"delta": 0.7, "lambda_coef": 1.3}],
    "r_dpo": [{}, {"alpha": -0.02}, {"alpha": 0.0}],
    "r_dpo_subtract": [{}, {"alpha": -0.02}],
    "dpop": [{}, {"dpop_lambda": 0.0}, {"dpop_lambda": 3.3}],
    "dpop_outside": [{}, {"delta": 0.0}, {"delta": 0.4}],
    "odpo": [{}, {"alpha": 0.0}, {"alpha": 0.3}],
    "ld_dpo": [{}, {"ld_models": "policy"}, {"ld_alpha": 1.0}, {"ld_alpha": 0.0}, {"ld_alpha": 0.3},
               {"ld_alpha": 0.3, "ld_models": "policy"}],
    "mpo": [{}, {"sigmoid_weight": 0.1, "bco_pair_weight": 0.0, "sft_weight": 0.005},
            {"sigmoid_weight": 0.0, "bco_pair_weight": 1.0, "sft_weight": 0.0}],
    "rpo": [{}, {"rpo_alpha": 0.0}, {"rpo_alpha": 0.005}],
}


def parameter_sets():
    for name, definition in OBJECTIVES.items():
        if definition.is_batch:
            continue
        own_sets = OWN_PARAMETERS.get(name, [{}])
        yield from ((name, own) for own in own_sets)
        if definition.has_divergence:
            yield from ((name, own_sets[len(own_sets) // 2] | divergence) for divergence in DIVERGENCES)
            yield from ((name, own_sets[-1] | divergence) for divergence in DIVERGENCES[:3] if len(own_sets) > 1)
        if name in ("sigmoid", "sigmoid_norm"):
            yield from ((name, divergence) for divergence in OTHER_NAMES_OF_REVERSE_KL)


def label(case):
    name, own = case
    return ":".join([name, *(f"{key}={value}" for key, value in own.items())])


# ---- comparison


def is_right(actual, exact):
    value, rounded = exact.value, float(exact.value)
    if 1e-300 < abs(rounded) < LARGEST and abs(actual - rounded) <= 4e-13 * abs(rounded):
        return True  # the usual case, without slow arithmetic
    if math.isnan(actual):
        return False
    allowed = TOLERANCE * exact.scale
    if abs(value) + allowed > LARGEST:  # infinite, or as large as it gets
        is_sign_open = abs(value) <= allowed
        return is_sign_open or (actual < 0) == (value < 0) and (math.isinf(actual) or abs(value) <= LARGEST)
    return not math.isinf(actual) and (abs(actual - rounded) <= LAST_BIT or abs(mpmath.mpf(actual) - value) <= allowed)


class Comparison:
    """Counts what was compared and keeps what was wrong."""

    def __init__(self):
        self.compared = 0
        self.counts = collections.Counter()
        self.examples = []

    def add(self, kind, request, pair, exact, actual, names=FIELDS):
        self.compared += 1
        is_beyond_range = abs(exact["logit"].value) > LARGEST
        for name in names:
            if is_right(actual[name], exact[name]):
                continue
            has_sign = (actual[name] < 0) == (exact[name].value < 0)
            if is_beyond_range and name.startswith("d_loss_") and math.isinf(actual[name]) and has_sign:
                continue
            self.counts[name, kind] += 1
            if self.counts[name, kind] == 1 and len(self.examples) < 12:
                expected, scale = (mpmath.nstr(x, 20) for x in (exact[name].value, exact[name].scale))
                self.examples.append(f"{name} ({kind}): {actual[name]!r} instead of {expected}, scale {scale}\n"
                                     f"    {request.json()}\n    {pair}")

    def check(self):
        counts = ", ".join(f"{name} at {kind}: {count}" for (name, kind), count in self.counts.items())
        assert not self.counts, f"of {self.compared} points wrong: {counts}\n" + "\n".join(self.examples)
        assert self.compared >= MIN_POINTS


# ---- objectives of single pairs


def is_evaluable(name, request, pair):
    """Whether the definition gives a number: no logarithm of 0, no exponential of thousands of digits."""
    if name == "orpo" and max(pair["policy_chosen_logp"], pair["policy_rejected_logp"]) == 0:
        return False
    divergence = request.own.get("f_divergence_type", "reverse_kl")
    if divergence == "reverse_kl":
        return True
    ratio = request.gamma / request.beta
    chosen = pair["policy_chosen_logp"] - ratio * pair["reference_chosen_logp"]
    rejected = pair["policy_rejected_logp"] - ratio * pair["reference_rejected_logp"]
    return max(abs(chosen), abs(rejected)) <= 2e3


def request_at(name, own, point):
    has = OBJECTIVES[name]
    return Request(name, beta=point.beta if has.has_beta else None, gamma=point.gamma if has.has_gamma else None, **own)


def chosen_points(name, own, rng):
    """All points for the default parameters, a sample of them for others."""
    usual = [point for point in points() if is_evaluable(name, request_at(name, own, point), point.pair)]
    if own:
        usual = rng.sample(usual, min(len(usual), MIN_POINTS + 20))
    special = [point for point in own_points(name, own) if is_evaluable(name, request_at(name, own, point), point.pair)]
    return usual + special


@pytest.mark.parametrize("case", list(parameter_sets()), ids=label)
def test_objective(case, evaluate_batches):
    name, own = case
    at = [(request_at(name, own, point), point) for point in chosen_points(name, own, random.Random(str(case)))]
    results = evaluate_batches([(request.json(), [point.pair]) for request, point in at])
    comparison = Comparison()
    for (request, point), result in zip(at, results):
        try:
            exact = request.values([point.pair])[0]
        except Undecided:
            continue
        comparison.add(point.kind, request, point.pair, exact, result["values"][0])
        if point.kind == "near the reference":
            check_fast(result["fast"][0], result["values"][0], request, point.pair)
    comparison.check()


def check_fast(fast, full, request, pair):
    """The fast form has its logit in plain double arithmetic: it loses some 1e-16 of the largest term, and an
    exponential of an f-divergence makes that a relative error of as many nats."""
    size = sum(abs(pair[name]) for name in LOGP_NAMES)
    loss = 1e-15 * size * max(1, request.beta)
    for name, value in fast.items():
        assert value == pytest.approx(full[name], rel=100 * loss, abs=100 * loss), (name, request.json(), pair)


def mixed_sums(point):
    beta, gamma = point.beta, point.gamma
    own = {"beta": beta, "gamma": gamma}
    return {
        "mpo": WeightedSum((0.8, Request("sigmoid", **own)), (0.2, Request("bco_pair", **own)), (1.0, Request("sft"))),
        "mixed betas": WeightedSum((1.0, Request("sigmoid", **own)), (0.25, Request("ipo", beta=0.3, gamma=0.2)),
                                   (2.0, Request("nca_pair", beta=0.01)), (0.5, Request("r_dpo", beta=0.7, gamma=0.0))),
        "mixed divergences": WeightedSum(
            (0.5, Request("exo_pair", beta=0.2, label_smoothing=0.05)),
            (1.5, Request("sigmoid_norm", beta=0.1, f_divergence_type="js_divergence")),
            (1.0, Request("apo_down", **own))),
        "without reference": WeightedSum((1.0, Request("slic_hf", delta=0.5)), (0.1, Request("simpo", beta=beta)),
                                         (0.3, Request("sft_sum")), (0.0, Request("cpo", beta=2.0))),
        "one term": WeightedSum((0.3, Request("hinge", **own))),
    }


@pytest.mark.parametrize("name", ["mpo", "mixed betas", "mixed divergences", "without reference", "one term"])
def test_weighted_sum(name, evaluate_batches):
    at = [(mixed_sums(point)[name], point) for point in points()]
    results = evaluate_batches([(request.json(), [point.pair]) for request, point in at])
    comparison = Comparison()
    for (request, point), result in zip(at, results):
        try:
            exact = request.values([point.pair])[0]
        except Undecided:
            continue
        comparison.add(point.kind, request, point.pair, exact, result["values"][0])
    comparison.check()


def test_mpo_is_the_sum_of_its_terms(evaluate_batches):
    """The objective mpo equals the weighted sum that it abbreviates."""
    at = list(points())
    named = evaluate_batches([(request_at("mpo", {}, point).json(), [point.pair]) for point in at])
    summed = evaluate_batches([(mixed_sums(point)["mpo"].json(), [point.pair]) for point in at])
    for point, one, other in zip(at, named, summed):
        assert one["values"][0] == pytest.approx(other["values"][0], rel=1e-13, abs=1e-300), point


# ---- objectives of batches

BATCH_SETS = [
    ("aot", {}), ("aot", {"label_smoothing": 0.1}), ("aot", {"label_smoothing": 0.5}),
    ("aot_unpaired", {}), ("aot_unpaired", {"label_smoothing": 0.2}),
    ("kto_pair", {}),
    ("beta_dpo", {}), ("beta_dpo", {"keep_share": 1.0, "alpha": 0.0}), ("beta_dpo", {"keep_share": 0.01}),
    ("beta_dpo", {"margin_mean": 3.0, "margin_deviation": 20.0}),
    ("beta_dpo", {"margin_mean": -1.5, "margin_deviation": 4.0, "momentum": 0.0, "keep_share": 0.5, "alpha": 0.2}),
    ("beta_dpo", {"margin_mean": 500.0, "margin_deviation": 300.0, "alpha": 1.0, "min_beta": 0.02}),  # at the floor
]


def batches(rng):
    """kind, beta, gamma, pairs; ties are exact: multiples of 1/4 at weights that are powers of 2."""
    for n in (1, 1, 2, 3, 7, 50, 33, 20):
        beta = rng.choice((0.1, 0.01, 0.5))
        yield "random", beta, beta * rng.choice((1, 1, 0.5, 0)), [completed(random_logps(rng), "random", rng)
                                                                   for _ in range(n)]
    for n in (2, 5, 17, 40):
        pairs = []
        for _ in range(n):
            reference = [-rng.uniform(5, 300) for _ in range(2)]
            pairs.append(completed([min(0.0, x + rng.gauss(0, 10)) for x in reference] + reference, "near", rng))
        yield "near the reference", 0.1, 0.1, pairs
    for n in (2, 4, 13, 50, 31):
        grid = [[-rng.randrange(1, 13) / 4 for _ in range(4)] for _ in range(n)]
        yield "ties", 0.5, 0.25, [completed(logps, "ties", rng) for logps in grid]
        yield "ties", 0.25, 0.25, [completed(logps, "ties", rng) for logps in grid]
    one = random_logps(rng)
    yield "equal pairs", 0.5, 0.25, [completed(one, "ties", rng) for _ in range(6)]
    yield "equal pairs", 0.5, 0.25, [completed([-1.5] * 4, "ties", rng) for _ in range(5)]


@pytest.mark.parametrize("case", BATCH_SETS, ids=label)
def test_batch_objective(case, evaluate_batches):
    name, own = case
    at = [(kind, Request(name, beta=beta, gamma=gamma, **own), pairs)
          for kind, beta, gamma, pairs in batches(random.Random(str(case)))]
    results = evaluate_batches([(request.json(), pairs) for _, request, pairs in at])
    comparison = Comparison()
    for (kind, request, pairs), result in zip(at, results):
        try:
            exact = request.values(pairs)
        except Undecided:
            continue
        for idx, pair in enumerate(pairs):
            comparison.add(kind, request, f"pair {idx} of {pairs}", exact[idx], result["values"][idx])
        state = request.state(pairs)
        assert state.keys() <= result["state"].keys()
        for entry, value in state.items():
            assert is_right(result["state"][entry], value), (entry, result["state"], value, request.json(), pairs)
    comparison.check()


def test_sum_of_batch_objectives(evaluate_batches):
    comparison = Comparison()
    for kind, beta, gamma, pairs in batches(random.Random(3)):
        request = WeightedSum((0.5, Request("aot_unpaired", beta=beta, gamma=gamma)), (0.25, Request("sft")),
                              (2.0, Request("kto_pair", beta=0.1, gamma=gamma)))
        result = evaluate_batches([(request.json(), pairs)])[0]
        for idx, (exact, actual) in enumerate(zip(request.values(pairs), result["values"])):
            comparison.add(kind, request, f"pair {idx} of {pairs}", exact, actual)
    comparison.check()
