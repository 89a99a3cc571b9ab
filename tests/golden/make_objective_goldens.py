#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes objectives.json: objectives of pairs of log-probs, right to the last bit of a double.

    .venv/bin/python tests/golden/make_objective_goldens.py

The inputs are doubles. What is linear in them (logit, rewards, required margin) is formed in exact rational
arithmetic; log and exp are mpmath's at 40 digits. Written values are those numbers, rounded once to double.
"""

import fractions
import itertools
import json
import math
import pathlib
import random

import mpmath

mpmath.mp.dps = 40
OUTPUT = pathlib.Path(__file__).with_name("objectives.json")


def to_mpmath(x):
    return mpmath.mpf(x.numerator) / x.denominator


def exact_values(beta, gamma, logps):
    beta, gamma = fractions.Fraction(beta), fractions.Fraction(gamma)
    policy_chosen, policy_rejected, reference_chosen, reference_rejected = map(fractions.Fraction, logps)
    chosen_reward = beta * policy_chosen - gamma * reference_chosen
    rejected_reward = beta * policy_rejected - gamma * reference_rejected
    logit = chosen_reward - rejected_reward
    z = to_mpmath(logit)
    return {
        "logit": float(logit),
        "chosen_reward": float(chosen_reward),
        "rejected_reward": float(rejected_reward),
        "required_margin": float(gamma / beta * (fractions.Fraction(logps[2]) - fractions.Fraction(logps[3]))),
        "gradient_weight": float(1 / (1 + mpmath.exp(z))),
        "sigmoid_loss": float(mpmath.log1p(mpmath.exp(-z))),
        "margin_hinge_loss": max(0.0, -float(logit)),
    }


def random_logps(rng):
    return [-rng.uniform(0, 300) for _ in range(4)]


def log_uniform(rng, low, high):
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def scaled_to(z, beta, gamma, rng):
    """Log-probs with a logit near z (exactly whatever the doubles then give)."""
    reference = [-rng.uniform(0, 100), -rng.uniform(0, 100)]
    margin = (z + gamma * (reference[0] - reference[1])) / beta
    base = -rng.uniform(0, 50)
    return ([base, base - margin] if margin > 0 else [base + margin, base]) + reference


def cases(rng):
    for _ in range(80):
        yield "random", log_uniform(rng, 1e-3, 10), log_uniform(rng, 1e-3, 10), random_logps(rng)
    for _ in range(12):
        a, b, c, d = random_logps(rng)
        yield "policy tie", 0.1, 0.3, [a, a, c, d]
        yield "reference tie", 0.1, 0.3, [a, b, c, c]
        yield "policy is reference", 0.1, 0.1, [a, b, a, b]
    yield "all zero", 0.1, 0.1, [0.0] * 4
    for exponent, sign in itertools.product((0, 1, 2, 2.5, 3, 4, 5, 6), (-1, 1)):
        for beta in (0.01, 1.0):
            yield "large logit", beta, 0.1, scaled_to(sign * 10**exponent, beta, 0.1, rng)
    for z in (36, 37, 40, 600, 690, 707, 709, 720, 735, 744, 745, 746, 750):
        for sign in (-1, 1):
            yield "ends of exp", 0.5, 0.1, scaled_to(sign * z, 0.5, 0.1, rng)
    for _ in range(20):
        yield "gamma zero", log_uniform(rng, 1e-3, 10), 0.0, random_logps(rng)
        yield "extreme ratio", log_uniform(rng, 1e-8, 1e-3), log_uniform(rng, 1, 1e4), random_logps(rng)
        yield "extreme ratio", log_uniform(rng, 1, 1e3), log_uniform(rng, 1e-12, 1e-6), random_logps(rng)
    for _ in range(40):  # beta*h meets gamma*h0 in all but the last bits
        beta, gamma = log_uniform(rng, 1e-2, 1), log_uniform(rng, 1e-2, 1)
        a, b, c, _ = random_logps(rng)
        d = c - beta * (a - b) / gamma
        if d > 0:
            a, b, c, d = b, a, c, c + beta * (a - b) / gamma
        yield "cancels", beta, gamma, [a, b, c, math.nextafter(d, -math.inf) if rng.random() < 0.5 else d]
    for exponent in (-8, -16, -25, -60, -200):  # a nearly certain completion: only its own log-prob does not cancel
        for _ in range(4):
            rejected = -rng.uniform(50, 300)
            tiny = 10.0**exponent
            yield "cancels", 0.1, 0.1, [-rng.uniform(1, 2) * tiny, rejected, -rng.uniform(3, 4) * tiny, rejected]
            yield "cancels", 0.1, 0.2, [-tiny, rejected, -rng.uniform(0, 1) * tiny, rejected / 2]


def main():
    rng = random.Random(20240601)
    points = []
    for kind, beta, gamma, logps in cases(rng):
        values = exact_values(beta, gamma, logps)
        assert abs(values["logit"]) <= 1.1e6 and max(logps) <= 0, (kind, beta, gamma, logps)
        points.append({"kind": kind, "beta": beta, "gamma": gamma, "logps": logps, **values})
    lines = ",\n".join(json.dumps(point, allow_nan=False) for point in points)
    OUTPUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(points)} points -> {OUTPUT}")


if __name__ == "__main__":
    main()
