# SPDX-License-Identifier: Apache-2.0
"""Every derivative of every objective is the slope of its loss: of the engine's own losses, in double, and of the
reference's, in 60 digits."""
import random
from fractions import Fraction

import pytest
from points import completed, log_uniform
from reference import OBJECTIVES, Request
from scaled_numbers import VARIABLES, to_mpf

# Slopes by five points: the error of the formula falls with the fourth power of the step, that of the rounding of the
# loss grows with 1/step.
STENCIL = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
STEP = 1e-4  # nats; of beta and gamma: relative
# The step's error is (1e-4 k)^4 / 30 of the slope, with k the slope of the loss's argument by the variable, here up to
# 30 (of an f-divergence's exponent by beta); rounding leaves 1e-15 / 1e-4 of the loss.
RELATIVE_TOLERANCE = 1e-8

OWN_PARAMETERS = {
    "cdpo": {"label_smoothing": 0.1}, "robust": {"label_smoothing": 0.1}, "exo_pair": {"label_smoothing": 0.05},
    "bco_pair": {"delta": 0.3}, "discopop": {"discopop_tau": 0.5}, "simpo": {"label_smoothing": 0.1, "cpo_alpha": 0.2},
    "cpo": {"label_smoothing": 0.1}, "dpop": {"dpop_lambda": 3.0}, "ld_dpo": {"ld_alpha": 0.3},
    "aot": {"label_smoothing": 0.1}, "aot_unpaired": {"label_smoothing": 0.1},
    "beta_dpo": {"alpha": 0.0},  # or the batch's beta would move, which the derivatives take for a constant
}
DIVERGENCES = [{}, *({"f_divergence_type": name} for name in ("forward_kl", "js_divergence", "alpha_divergence"))]


def single_cases():
    for name, definition in OBJECTIVES.items():
        if definition.is_batch:
            continue
        for divergence in DIVERGENCES if definition.has_divergence else DIVERGENCES[:1]:
            yield name, OWN_PARAMETERS.get(name, {}) | divergence


def make_pair(rng):
    """A policy some nats below its reference: with gamma <= beta, both mean rewards are negative, so that kto_pair's
    estimates of the divergence are 0 and stay there; and the f-divergences' exponentials are small."""
    reference = [-rng.uniform(5, 30) for _ in range(2)]
    pair = completed([x - rng.uniform(0.5, 4) for x in reference] + reference, "random", rng)
    for side in ("chosen", "rejected"):
        pair[f"num_{side}_tokens"] = rng.randrange(1, 40)
    return pair


def moved(request, pair, variable, amount):
    """Objective and pair with one variable moved."""
    given = dict(request.given)
    if variable in given:
        given[variable] += amount
        return Request(request.name, **given), pair
    new = pair | {variable: pair[variable] + amount}
    if request.name == "ld_dpo":  # its derivatives are by the weighted log-probs: all of the move is in the head
        heads = list(pair["head_logps"])
        heads[VARIABLES.index(variable)] += amount
        new["head_logps"] = heads
    return request, new


def variables_of(request):
    definition = request.definition
    return [variable for variable in VARIABLES if variable not in ("beta", "gamma")
            or variable == "beta" and definition.has_beta or variable == "gamma" and definition.has_gamma]


def make_request(rng, name, own):
    definition = OBJECTIVES[name]
    beta = log_uniform(rng, 0.05, 0.3)
    gamma = beta * rng.uniform(0.9, 1)
    return Request(name, **({"beta": beta} if definition.has_beta else {}),
                   **({"gamma": gamma} if definition.has_gamma else {}), **own)


def is_near_kink(request, pair):
    """Within reach of the stencil, by name."""
    def near(x):
        return abs(x) < 0.05

    pc, pr = pair["policy_chosen_logp"], pair["policy_rejected_logp"]
    rc, rr = pair["reference_chosen_logp"], pair["reference_rejected_logp"]
    value = float(request.values([pair])[0]["logit"].value)
    return {"hinge": near(1 - value), "margin_hinge": near(value), "slic_hf": near(value), "hypo": near(rc - rr),
            "dpop": near(rc - pc), "dpop_outside": near(rc - pc)}.get(request.name, False)


def check_slope(losses, step, stated, case):
    slope = sum(weight * loss for weight, loss in zip(STENCIL.values(), losses)) / step
    tolerance = RELATIVE_TOLERANCE * max(1.0, abs(stated)) + 1e-15 * max(map(abs, losses)) / step
    assert slope == pytest.approx(stated, rel=0, abs=tolerance), case


def label(case):
    return ":".join([case[0], *map(str, case[1].values())])


@pytest.mark.parametrize("case", list(single_cases()), ids=label)
def test_single_pairs(case, evaluate_batches):
    name, own = case
    rng = random.Random(str(case))
    lines, checks = [], []
    for _ in range(40):
        pair, request = make_pair(rng), make_request(rng, name, own)
        if is_near_kink(request, pair):
            continue
        base = len(lines)
        lines.append((request.json(), [pair]))
        for variable in variables_of(request):
            step = STEP * (request.given[variable] if variable in ("beta", "gamma") else 1)
            checks.append((base, len(lines), variable, step))
            for position in STENCIL:
                other, new = moved(request, pair, variable, position * step)
                lines.append((other.json(), [new]))
    values = [result["values"][0] for result in evaluate_batches(lines)]
    assert len(checks) >= 40
    for base, start, variable, step in checks:
        losses = [value["loss"] for value in values[start:start + len(STENCIL)]]
        check_slope(losses, step, values[base][f"d_loss_d_{variable}"], (variable, lines[base]))


@pytest.mark.parametrize("name", [name for name, definition in OBJECTIVES.items() if definition.is_batch])
def test_batches(name, evaluate_batches):
    """The batch's total loss by each log-prob, and by beta and gamma."""
    rng = random.Random(name)
    own = OWN_PARAMETERS.get(name, {})
    for size in (1, 3, 9):  # not 2: beta_dpo keeps one of two that are equally far from their mean
        pairs, request = [make_pair(rng) for _ in range(size)], make_request(rng, name, own)
        lines, checks = [(request.json(), pairs)], []
        for variable in VARIABLES:
            for i in range(size) if variable not in ("beta", "gamma") else (None,):
                step = STEP * (1 if i is not None else request.given[variable])
                checks.append((len(lines), variable, i, step))
                for position in STENCIL:
                    other, new = moved(request, pairs[i or 0], variable, position * step)
                    lines.append((other.json(), pairs if i is None else pairs[:i] + [new] + pairs[i + 1:]))
        results = [result["values"] for result in evaluate_batches(lines)]
        for at, variable, i, step in checks:
            totals = [sum(value["loss"] for value in values) for values in results[at:at + len(STENCIL)]]
            stated = [value[f"d_loss_d_{variable}"] for value in results[0]]
            expected = sum(stated) if i is None else stated[i]
            check_slope(totals, step, expected, (variable, i, request.json(), pairs))


@pytest.mark.parametrize("case", list(single_cases()), ids=label)
def test_the_reference(case):
    """reference.py by itself: central differences with a step of 1e-20 have an error of 1e-40."""
    name, own = case
    rng, step = random.Random(str(case)), Fraction(1, 10**20)
    for _ in range(5):
        pair, request = make_pair(rng), make_request(rng, name, own)
        pair |= {variable: Fraction(pair[variable]) for variable in VARIABLES[:2]}
        request.given |= {v: Fraction(request.given[v]) for v in ("beta", "gamma") if request.given[v] is not None}
        pair["head_logps"] = [Fraction(x) for x in pair["head_logps"]]
        stated = request.values([pair])[0]
        for variable in variables_of(request):
            high, low = (moved(request, pair, variable, sign * step) for sign in (1, -1))
            rise = high[0].values([high[1]])[0]["loss"].value - low[0].values([low[1]])[0]["loss"].value
            slope = rise / to_mpf(2 * step)
            error = abs(slope - stated[f"d_loss_d_{variable}"].value)
            assert error <= 1e-30 * (1 + abs(slope)), (variable, request.given, pair)
