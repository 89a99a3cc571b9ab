# SPDX-License-Identifier: Apache-2.0
"""Pairs and weights at which objectives are compared with exact arithmetic: usual ones, extreme ones, and those where
formulas break."""
import dataclasses
import itertools
import math
import random


@dataclasses.dataclass(frozen=True)
class Point:
    kind: str
    beta: float
    gamma: float
    pair: dict


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


def usual_cases(rng):
    """kind, beta, gamma, log-probs"""
    for _ in range(50):
        yield "random", log_uniform(rng, 1e-3, 10), log_uniform(rng, 1e-3, 10), random_logps(rng)
        logps = [-log_uniform(rng, 1e-3, 1e4) for _ in range(4)]
        yield "wide", log_uniform(rng, 1e-3, 1), log_uniform(rng, 1e-3, 1), logps
    for _ in range(30):  # a policy in training: near its reference
        reference = [-rng.uniform(5, 300) for _ in range(2)]
        policy = [min(0.0, x + rng.gauss(0, 10)) for x in reference]
        beta = log_uniform(rng, 1e-2, 1)
        yield "near the reference", beta, rng.choice((beta, beta, 0.5 * beta)), policy + reference
    for _ in range(8):
        a, b, c, d = random_logps(rng)
        yield "policy tie", 0.1, 0.3, [a, a, c, d]
        yield "reference tie", 0.1, 0.3, [a, b, c, c]
        yield "policy is reference", 0.1, 0.1, [a, b, a, b]
        yield "equal completions", 0.1, 0.3, [a, a, c, c]
    for _ in range(15):
        yield "gamma zero", log_uniform(rng, 1e-3, 10), 0.0, random_logps(rng)


def extreme_cases(rng):
    for exponent, sign in itertools.product((0, 1, 2, 2.5, 3, 4, 5, 6), (-1, 1)):
        for beta in (0.01, 1.0):
            yield "large logit", beta, 0.1, scaled_to(sign * 10**exponent, beta, 0.1, rng)
    for z in (36, 37, 40, 600, 690, 707, 709, 720, 735, 744, 745, 746, 750):
        for sign in (-1, 1):
            yield "ends of exp", 0.5, 0.1, scaled_to(sign * z, 0.5, 0.1, rng)
    for _ in range(15):
        yield "extreme ratio", log_uniform(rng, 1e-8, 1e-3), log_uniform(rng, 1, 1e4), random_logps(rng)
        yield "extreme ratio", log_uniform(rng, 1, 1e3), log_uniform(rng, 1e-12, 1e-6), random_logps(rng)
        yield "extreme weights", log_uniform(rng, 1e-12, 1e12), log_uniform(rng, 1e-12, 1e12), random_logps(rng)


def cancelling_cases(rng):
    """beta*h meets gamma*h0 in all but the last bits."""
    for _ in range(30):
        beta, gamma = log_uniform(rng, 1e-2, 1), log_uniform(rng, 1e-2, 1)
        a, b, c, _ = random_logps(rng)
        d = c - beta * (a - b) / gamma
        if d > 0:
            a, b, c, d = b, a, c, c + beta * (a - b) / gamma
        yield "cancels", beta, gamma, [a, b, c, math.nextafter(d, -math.inf) if rng.random() < 0.5 else d]
    for exponent in (-8, -16, -25, -60, -200):  # a nearly certain completion: only its own log-prob does not cancel
        for _ in range(3):
            rejected, tiny = -rng.uniform(50, 300), 10.0**exponent
            yield "cancels", 0.1, 0.1, [-rng.uniform(1, 2) * tiny, rejected, -rng.uniform(3, 4) * tiny, rejected]
            yield "cancels", 0.1, 0.2, [-tiny, rejected, -rng.uniform(0, 1) * tiny, rejected / 2]


def exact_cases(_):
    """Kinks and zeros that doubles hit exactly."""
    yield "all zero", 0.1, 0.1, [0.0] * 4
    yield "zero", 0.5, 0.25, [0.0, -3.0, -1.0, -3.0]
    yield "zero", 0.5, 0.25, [-3.0, 0.0, -1.0, 0.0]
    yield "zero", 0.1, 0.1, [0.0, -300.0, 0.0, -100.0]
    yield "z = 0", 0.5, 0.25, [-2.0, -3.0, -1.0, -3.0]
    yield "z = 0", 0.1, 0.1, [-2.5, -40.25, -2.5, -40.25]
    yield "1 - z = 0", 0.5, 0.25, [-2.0, -6.0, -1.0, -5.0]
    yield "1 - z = 0", 0.25, 0.0, [-2.0, -6.0, -1.0, -5.0]
    yield "h = 1", 0.5, 0.25, [-2.0, -3.0, -1.0, -4.0]
    yield "reference chosen meets policy chosen", 0.5, 0.25, [-7.5, -3.0, -7.5, -4.0]
    yield "h0 = 0", 0.5, 0.25, [-7.5, -3.0, -4.5, -4.5]
    yield "R+ = 1/2, R- = -1/2", 0.5, 0.25, [-1.0, -2.0, -4.0, -2.0]
    yield "A/lc - B/lr = 1/(2 beta)", 0.5, 0.5, [-1.0, -2.0, -2.0, -2.0]


def completed(logps, kind, rng):
    """The pair with lengths, score gap and heads."""
    policy_chosen, policy_rejected, reference_chosen, reference_rejected = logps
    one_token = kind in ("large logit", "ends of exp", "cancels") and rng.random() < 0.5
    lengths = [1, 1] if one_token else [max(1, int(log_uniform(rng, 1, 2001))) for _ in range(2)]
    if kind == "equal completions" or rng.random() < 0.15:
        lengths[1] = lengths[0]
    if rng.random() < 0.1:
        lengths[rng.randrange(2)] = 1
    shared = min(lengths)
    heads = list(logps)  # all tokens, of the shorter completion
    for side, length in enumerate(lengths):
        if length > shared:
            heads[side] *= rng.uniform(0, 1)
            heads[side + 2] *= rng.uniform(0, 1)
    return {
        "policy_chosen_logp": policy_chosen, "policy_rejected_logp": policy_rejected,
        "reference_chosen_logp": reference_chosen, "reference_rejected_logp": reference_rejected,
        "num_chosen_tokens": lengths[0], "num_rejected_tokens": lengths[1],
        "score_gap": rng.choice((1.0, log_uniform(rng, 1e-3, 1e3))), "head_logps": heads,
    }


def points(seed=20240601):
    rng = random.Random(seed)
    for cases in (usual_cases, extreme_cases, cancelling_cases, exact_cases):
        for kind, beta, gamma, logps in cases(rng):
            assert max(logps) <= 0, (kind, logps)
            yield Point(kind, beta, gamma, completed(logps, kind, rng))


# ---- where one objective's own terms meet


def moved(pair, policy_chosen=None, policy_rejected=None, reference_rejected=None):
    """The pair with other log-probs, and without heads: none of these objectives needs them."""
    new = {"policy_chosen_logp": policy_chosen, "policy_rejected_logp": policy_rejected,
           "reference_rejected_logp": reference_rejected}
    pair = pair | {name: logp for name, logp in new.items() if logp is not None}
    del pair["head_logps"]
    return pair


def means_cancel(rng):
    """R+ per chosen token meets R- per rejected token in all but the last bits."""
    for _ in range(20):
        (a, _, c, _), beta = random_logps(rng), log_uniform(rng, 1e-2, 1)
        pair = completed([a, -1.0, c, -1.0], "means cancel", rng)
        ratio = pair["num_rejected_tokens"] / pair["num_chosen_tokens"]
        gamma = rng.choice((beta, log_uniform(rng, 1e-2, 1)))
        yield Point("means cancel", beta, gamma, moved(pair, policy_rejected=a * ratio, reference_rejected=c * ratio))


def lengths_cancel(rng, sign):
    """z meets -sign * 0.01 * (lc - lr), all but the last bits."""
    for _ in range(20):
        (a, b, c, d), beta, gamma = random_logps(rng), log_uniform(rng, 1e-2, 1), log_uniform(rng, 1e-2, 1)
        pair = completed([a, b, c, d], "lengths cancel", rng)
        penalty = sign * 0.01 * (pair["num_chosen_tokens"] - pair["num_rejected_tokens"])
        h = (gamma * (c - d) - penalty) / beta
        yield Point("lengths cancel", beta, gamma, moved(pair, min(0.0, h) - 3, min(0.0, -h) - 3))


def target_meets_margin(rng, target):
    """beta * (pc/lc - pr/lr) meets `target`."""
    for _ in range(20):
        beta = log_uniform(rng, 1e-2, 1)
        pair = completed(random_logps(rng), "target met", rng)
        mean_rejected = -rng.uniform(0, 5) - target / beta
        chosen = min(0.0, mean_rejected + target / beta) * pair["num_chosen_tokens"]
        yield Point("target met", beta, 0.0, moved(pair, chosen, mean_rejected * pair["num_rejected_tokens"]))


def margin_meets(rng, delta):
    """h is delta but for the last bits."""
    for _ in range(20):
        rejected = -rng.uniform(1, 300) - delta
        chosen = rejected + delta
        chosen = rng.choice((chosen, math.nextafter(chosen, -math.inf)))
        pair = completed([chosen, rejected, -1.0, -2.0], "delta met", rng)
        yield Point("delta met", 1.0, 0.0, pair)


def logit_at(rng, z):
    """z as near as doubles come."""
    for _ in range(10):
        beta, gamma = log_uniform(rng, 1e-2, 1), log_uniform(rng, 1e-2, 1)
        yield Point(f"z near {z:.3f}", beta, gamma, completed(scaled_to(z, beta, gamma, rng), "logit", rng))


def fall_meets_margin(rng, weight):
    """z meets beta * weight * (rc - pc)."""
    for _ in range(20):
        beta, gamma, fall = log_uniform(rng, 1e-2, 1), log_uniform(rng, 1e-2, 1), rng.uniform(0.01, 2)
        chosen = -rng.uniform(1, 50)
        reference = [chosen + fall, -rng.uniform(60, 100)]
        fall = reference[0] - chosen
        h = weight * fall + gamma * (reference[0] - reference[1]) / beta
        yield Point("fall meets margin", beta, gamma, completed([chosen, chosen - h, *reference], "fall", rng))


def nearly_certain(rng):
    """Completions with a probability next to 1 and next to 0."""
    for exponent in (-1, -3, -8, -15, -40, -200):
        for _ in range(3):
            tiny, other = -rng.uniform(1, 9) * 10.0**exponent, -log_uniform(rng, 1e-3, 800)
            for logps in ([tiny, other, tiny, other], [other, tiny, other, tiny], [tiny, 1.5 * tiny, tiny, tiny]):
                yield Point("nearly certain", 0.1, 0.1, completed(logps, "cancels", rng))


def own_points(name, own, seed=7):
    """Further points for an objective with the own parameters `own`."""
    rng = random.Random(seed)
    smoothing = own.get("label_smoothing", 0)
    sources = {
        "sigmoid_norm": lambda: means_cancel(rng),
        "ipo": lambda: means_cancel(rng),
        "r_dpo": lambda: lengths_cancel(rng, 1),
        "r_dpo_subtract": lambda: lengths_cancel(rng, -1),
        "simpo": lambda: itertools.chain(target_meets_margin(rng, own.get("simpo_gamma", 0.5)), means_cancel(rng)),
        "slic_hf": lambda: margin_meets(rng, own.get("delta", 1.0)),
        "dpop": lambda: fall_meets_margin(rng, own.get("dpop_lambda", 50.0)),
        "orpo": lambda: nearly_certain(rng),
        "odpo": lambda: odpo_meets(rng, own.get("alpha", 1.0)),
    }
    yield from sources.get(name, lambda: ())()
    if smoothing > 0 and name != "simpo":  # where a smoothed loss is least
        yield from logit_at(rng, math.log((1 - smoothing) / smoothing) if smoothing < 1 else 0)
    if name == "nca_pair":
        yield from logit_at(rng, math.log(2))


def odpo_meets(rng, alpha):
    """z near alpha * log(score gap)."""
    for _ in range(20):
        beta, gamma, gap = log_uniform(rng, 1e-2, 1), log_uniform(rng, 1e-2, 1), log_uniform(rng, 1e-3, 1e3)
        pair = completed(scaled_to(alpha * math.log(gap), beta, gamma, rng), "odpo", rng) | {"score_gap": gap}
        yield Point("log gap met", beta, gamma, pair)
