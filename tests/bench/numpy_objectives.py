# SPDX-License-Identifier: Apache-2.0
"""Objectives in numpy, as diagnostics_bench evaluates them: vectorised, in place, chunk by chunk as the caller says.

A pair's numbers are columns of a [6, N] array, an objective's values those of an [11, N] array, both as the program
dumps them. Formulas are those of server/objectives/catalogue, with what they share computed once: e = exp(-|z|) gives
softplus and sigmoid at the speed of numpy's vectorised exp and log1p, several times that of logaddexp.
"""

import numpy as np

PC, PR, RC, RR, LC, LR = range(6)
LOSS, LOGIT, CHOSEN, REJECTED, REQUIRED, EFFECTIVE, WEIGHT, BY_PC, BY_PR, BY_BETA, BY_GAMMA = range(11)


def chunks(count, size):
    for begin in range(0, count, size):
        yield slice(begin, min(begin + size, count))


class Scratch:
    """Memory for temporaries of a chunk, made once."""

    def __init__(self, size):
        self.rows = np.empty((6, size))
        self.mask = np.empty(size, bool)

    def first(self, count):
        return self.rows[:, :count], self.mask[:count]


def rewards(p, out, beta, gamma, t):
    for logp, reference, reward in ((PC, RC, CHOSEN), (PR, RR, REJECTED)):
        np.multiply(p[logp], beta, out=out[reward])
        np.multiply(p[reference], gamma, out=t)
        out[reward] -= t


def exp_of_minus_abs(z, out):
    np.abs(z, out=out)
    np.negative(out, out=out)
    np.exp(out, out=out)


def softplus_of_minus(z, e, out, t):
    """log(1 + exp(-z)), e being exp(-|z|)."""
    np.log1p(e, out=out)
    np.minimum(z, 0, out=t)
    out -= t


def sigmoid_of_minus(z, e, out, t, mask):
    np.greater(z, 0, out=mask)
    np.add(e, 1, out=t)
    np.divide(np.where(mask, e, 1.0), t, out=out)


def by_everything(p, out, slope, beta, t):
    """Derivatives of a function of z = beta*h - gamma*h0 with the derivative `slope`."""
    np.multiply(slope, beta, out=out[BY_PC])
    np.multiply(slope, -beta, out=out[BY_PR])
    np.subtract(p[PC], p[PR], out=t)
    np.multiply(slope, t, out=out[BY_BETA])
    np.subtract(p[RR], p[RC], out=t)
    np.multiply(slope, t, out=out[BY_GAMMA])


def margins(p, out, beta, gamma):
    """required = gamma/beta * h0, effective = z/beta."""
    np.subtract(p[RC], p[RR], out=out[REQUIRED])
    out[REQUIRED] *= gamma / beta
    np.multiply(out[LOGIT], 1 / beta, out=out[EFFECTIVE])


def dpo_like(p, out, beta, gamma, t, mask):
    """All but loss and derivatives, which follow; t[0] is exp(-|z|) afterwards."""
    rewards(p, out, beta, gamma, t[0])
    np.subtract(out[CHOSEN], out[REJECTED], out=out[LOGIT])
    margins(p, out, beta, gamma)
    exp_of_minus_abs(out[LOGIT], t[0])
    sigmoid_of_minus(out[LOGIT], t[0], out[WEIGHT], t[1], mask)


def sigmoid(p, out, scratch, beta=0.1, gamma=0.05):
    t, mask = scratch
    dpo_like(p, out, beta, gamma, t, mask)
    softplus_of_minus(out[LOGIT], t[0], out[LOSS], t[1])
    np.negative(out[WEIGHT], out=t[0])
    by_everything(p, out, t[0], beta, t[1])


def robust(p, out, scratch, beta=0.1, gamma=0.05, eps=0.1):
    t, mask = scratch
    dpo_like(p, out, beta, gamma, t, mask)
    # softplus(z) = softplus(-z) + z, so the loss is softplus(-z) - eps/(1-2eps) * z, its slope -weight - eps/(1-2eps).
    excess = eps / (1 - 2 * eps)
    softplus_of_minus(out[LOGIT], t[0], out[LOSS], t[1])
    np.multiply(out[LOGIT], excess, out=t[1])
    out[LOSS] -= t[1]
    np.subtract(-excess, out[WEIGHT], out=t[0])
    by_everything(p, out, t[0], beta, t[1])


def exo_pair(p, out, scratch, beta=0.1, gamma=0.05, eps=1e-3):
    t, mask = scratch
    dpo_like(p, out, beta, gamma, t, mask)
    z, weight = out[LOGIT], out[WEIGHT]
    # loss = (1-w) * (-s - log(1-eps)) + w * (-s - z - log(eps)) = -s - log(1-eps) - w * (z + log(eps/(1-eps)))
    # with s = softplus(-z), w = sigmoid(-z); its slope is w * (1-w) * (z + log(eps/(1-eps))).
    softplus_of_minus(z, t[0], out[LOSS], t[1])
    np.add(z, np.log(eps) - np.log1p(-eps), out=t[0])
    t[0] *= weight
    out[LOSS] += np.log1p(-eps)
    out[LOSS] += t[0]
    np.negative(out[LOSS], out=out[LOSS])
    np.subtract(1, weight, out=t[1])
    t[0] *= t[1]
    by_everything(p, out, t[0], beta, t[1])


def ipo(p, out, scratch, beta=0.1, gamma=0.05):
    t, mask = scratch
    rewards(p, out, beta, gamma, t[0])
    np.divide(out[CHOSEN], p[LC], out=out[LOGIT])
    np.divide(out[REJECTED], p[LR], out=t[0])
    out[LOGIT] -= t[0]
    np.multiply(out[LOGIT], 1 / beta, out=out[EFFECTIVE])
    exp_of_minus_abs(out[LOGIT], t[0])
    sigmoid_of_minus(out[LOGIT], t[0], out[WEIGHT], t[1], mask)
    slope, reference_margin = t[0], t[1]
    np.divide(p[RC], p[LC], out=reference_margin)
    np.divide(p[RR], p[LR], out=t[2])
    reference_margin -= t[2]
    np.multiply(reference_margin, gamma / beta, out=out[REQUIRED])
    np.subtract(out[EFFECTIVE], 0.5 / beta, out=slope)
    np.square(slope, out=out[LOSS])
    slope *= 2
    np.divide(slope, p[LC], out=out[BY_PC])
    np.negative(slope, out=slope)
    np.divide(slope, p[LR], out=out[BY_PR])
    slope *= 1 / beta  # -2/beta * (difference - 1/(2beta))
    np.multiply(slope, reference_margin, out=out[BY_GAMMA])
    np.add(out[REQUIRED], 0.5 / beta, out=reference_margin)
    np.negative(slope, out=slope)
    np.multiply(slope, reference_margin, out=out[BY_BETA])


def simpo(p, out, scratch, beta=2.0, simpo_gamma=0.5):
    t, mask = scratch
    np.multiply(p[PC], beta, out=out[CHOSEN])
    np.multiply(p[PR], beta, out=out[REJECTED])
    h = t[2]
    np.divide(p[PC], p[LC], out=h)
    np.divide(p[PR], p[LR], out=t[0])
    h -= t[0]
    v = out[LOGIT]
    np.multiply(h, beta, out=v)
    v -= simpo_gamma
    out[REQUIRED] = simpo_gamma / beta
    np.multiply(v, 1 / beta, out=out[EFFECTIVE])
    exp_of_minus_abs(v, t[0])
    softplus_of_minus(v, t[0], out[LOSS], t[1])
    sigmoid_of_minus(v, t[0], out[WEIGHT], t[1], mask)
    np.multiply(out[WEIGHT], beta, out=t[1])
    np.divide(t[1], p[LR], out=out[BY_PR])
    np.negative(t[1], out=t[1])
    np.divide(t[1], p[LC], out=out[BY_PC])
    np.multiply(out[WEIGHT], h, out=out[BY_BETA])
    np.negative(out[BY_BETA], out=out[BY_BETA])
    out[BY_GAMMA] = 0


def orpo(p, out, scratch, beta=0.1):
    t, mask = scratch
    np.multiply(p[PC], beta, out=out[CHOSEN])
    np.multiply(p[PR], beta, out=out[REJECTED])
    o, mean, chosen, rejected = out[LOGIT], t[0], t[1], t[2]
    np.divide(p[PC], p[LC], out=mean)  # log odds: m - log(1 - exp(m))
    np.negative(mean, out=out[LOSS])
    np.expm1(mean, out=chosen)
    np.negative(chosen, out=chosen)
    np.log(chosen, out=t[3])
    np.subtract(mean, t[3], out=o)
    np.divide(p[PR], p[LR], out=mean)
    np.expm1(mean, out=rejected)
    np.negative(rejected, out=rejected)
    np.log(rejected, out=t[3])
    mean -= t[3]
    o -= mean
    out[EFFECTIVE] = o
    out[REQUIRED] = 0
    exp_of_minus_abs(o, t[0])
    softplus_of_minus(o, t[0], out[BY_BETA], t[3])
    sigmoid_of_minus(o, t[0], out[WEIGHT], t[3], mask)
    np.multiply(out[BY_BETA], beta, out=t[3])
    out[LOSS] += t[3]
    # d log odds / dp = 1 / (1 - exp(p)), and 1/lc of the mean.
    np.multiply(out[WEIGHT], beta, out=t[3])
    rejected *= p[LR]
    np.divide(t[3], rejected, out=out[BY_PR])
    np.divide(t[3], chosen, out=out[BY_PC])
    out[BY_PC] += 1
    out[BY_PC] /= p[LC]
    np.negative(out[BY_PC], out=out[BY_PC])
    out[BY_GAMMA] = 0


INDEPENDENT = {"sigmoid": sigmoid, "robust": robust, "ipo": ipo, "simpo": simpo, "orpo": orpo, "exo_pair": exo_pair}
OBJECTIVES = (*INDEPENDENT, "aot")


def match_references(pairs):
    """AOT: the pair with the i-th smallest h gets the reference log-probs of that with the i-th smallest h0."""
    partner = np.empty(pairs.shape[1], np.intp)
    partner[np.argsort(pairs[PC] - pairs[PR])] = np.argsort(pairs[RC] - pairs[RR])
    matched = pairs.copy()
    np.take(pairs[RC], partner, out=matched[RC])
    np.take(pairs[RR], partner, out=matched[RR])
    return matched


def evaluate_plainly(pairs, beta=0.1, gamma=0.05):
    """sigmoid as one would write it down: whole columns, a new array for every step."""
    pc, pr, rc, rr = pairs[:4]
    h, h0 = pc - pr, rc - rr
    chosen, rejected = beta * pc - gamma * rc, beta * pr - gamma * rr
    z = chosen - rejected
    weight = 1 / (1 + np.exp(z))
    derivatives = -beta * weight, beta * weight, -weight * h, weight * h0
    return (np.logaddexp(0, -z), z, chosen, rejected, gamma / beta * h0, z / beta, weight, *derivatives)


def evaluate(name, pairs, out, chunk):
    if name == "aot":
        name, pairs = "sigmoid", match_references(pairs)
    count = pairs.shape[1]
    scratch = Scratch(min(chunk, count))
    for part in chunks(count, chunk):
        INDEPENDENT[name](pairs[:, part], out[:, part], scratch.first(part.stop - part.start))
