# SPDX-License-Identifier: Apache-2.0
"""Every objective in mpmath, with its derivatives: what the numbers of server/objectives are held to.

    values = Request("sigmoid", beta=0.1, gamma=0.05).values([pair, ...])  # pairs: dicts as evaluate_objectives reads
    values[0]["loss"].value, values[0]["loss"].scale  # see scaled_numbers.py

Inputs are exact doubles. What is linear in the log-probs is formed in rational arithmetic and claimed to be right
whatever cancels: its scale is |value|. All else has 60 digits, of which at least 40 are right relative to the scale.
"""
from __future__ import annotations

import dataclasses
import functools
from fractions import Fraction

import mpmath
from mpmath import mpf
from scaled_numbers import (
    HALF, NOTHING, VARIABLES, ZERO, Number, Scaled, Undecided, as_number, chain, exact, exp_of, log1mexp, plain_sigmoid,
    positive_part, sigmoid_of, softplus, square, to_mpf,
)

FIELDS = ("loss", "logit", "chosen_reward", "rejected_reward", "required_margin", "effective_margin",
          "gradient_weight", *(f"d_loss_d_{variable}" for variable in VARIABLES))
LOGP_NAMES = ("policy_chosen_logp", "policy_rejected_logp", "reference_chosen_logp", "reference_rejected_logp")
DIVERGENCE_PARAMETERS = {"f_divergence_type", "f_alpha_divergence_coef", "f_alpha_divergence_coef_trl_0_28"}
DEFAULT_BETA = 0.1


# ---- a pair


class Pair:
    """The log-probs of a pair as fractions, and the combinations of them that the formulas speak of."""

    def __init__(self, logps, beta, gamma, lengths, score_gap, own):
        self.pc, self.pr, self.rc, self.rr = logps
        self.beta, self.gamma, self.lengths, self.score_gap, self.own = beta, gamma, lengths, score_gap, own
        self.is_rounded = False  # the log-probs are results of arithmetic, which doubles round

    @staticmethod
    def of(request, pair):
        def fraction(name):
            return Fraction(pair[name]) if pair.get(name) is not None else None

        logps = [fraction(name) or Fraction(0) for name in LOGP_NAMES]
        heads = pair.get("head_logps")
        result = Pair(logps, Fraction(request.beta), Fraction(request.gamma),
                      (fraction("num_chosen_tokens"), fraction("num_rejected_tokens")), fraction("score_gap"),
                      request.own)
        result.heads = [Fraction(x) for x in heads] if heads else None
        return result

    def replaced(self, pc=None, pr=None, rc=None, rr=None):
        new = [mine if other is None else other for mine, other in
               zip((self.pc, self.pr, self.rc, self.rr), (pc, pr, rc, rr))]
        return Pair(new, self.beta, self.gamma, self.lengths, self.score_gap, self.own)

    def __getitem__(self, name):
        """An own parameter, exactly."""
        value = self.own[name]
        return value if isinstance(value, str) or value is None else Fraction(value)

    # Margins and rewards

    @functools.cached_property
    def h_exact(self):
        return self.pc - self.pr

    @functools.cached_property
    def h(self):
        return exact(self.h_exact, 1, -1)

    @functools.cached_property
    def h0(self):
        return self.rc - self.rr

    @functools.cached_property
    def length_gap(self):
        return self.lengths[0] - self.lengths[1]

    def linear(self, *terms):
        """The sum of terms that are products of the log-probs: right whatever cancels, unless these are rounded."""
        if self.is_rounded:
            return sum((Scaled.exact(term) for term in terms), Scaled.exact(0))
        return Scaled.exact(sum(terms))

    @functools.cached_property
    def z(self):
        beta, gamma = self.beta, self.gamma
        return exact(self.linear(beta * self.pc, -beta * self.pr, -gamma * self.rc, gamma * self.rr), beta, -beta,
                     self.linear(self.pc, -self.pr), self.linear(-self.rc, self.rr))

    @functools.cached_property
    def chosen_reward(self):
        return exact(self.linear(self.beta * self.pc, -self.gamma * self.rc), self.beta, 0, self.pc, -self.rc)

    @functools.cached_property
    def rejected_reward(self):
        return exact(self.linear(self.beta * self.pr, -self.gamma * self.rr), 0, self.beta, self.pr, -self.rr)

    @functools.cached_property
    def required_margin(self):
        ratio = self.gamma / self.beta
        return exact(self.linear(ratio * self.rc, -ratio * self.rr))

    @functools.cached_property
    def beta_number(self):
        return exact(self.beta, by_beta=1)

    @functools.cached_property
    def half_over_beta(self):
        """1/(2 beta)"""
        return exact(1 / (2 * self.beta), by_beta=-1 / (2 * self.beta**2))

    # Scores: A, B = reward / beta under the f-divergence

    @functools.cached_property
    def chosen_ratio(self):
        """A = R+ / beta"""
        weight = self.gamma * self.rc / self.beta
        return exact(self.pc - weight, 1, 0, weight / self.beta, -self.rc / self.beta)

    @functools.cached_property
    def rejected_ratio(self):
        """B = R- / beta"""
        weight = self.gamma * self.rr / self.beta
        return exact(self.pr - weight, 0, 1, weight / self.beta, -self.rr / self.beta)

    @functools.cached_property
    def divergence(self):
        """Name and, for alpha_divergence, alpha - 1."""
        name = self.own.get("f_divergence_type", "reverse_kl")
        if name != "alpha_divergence":
            return name, None
        old = self.own.get("f_alpha_divergence_coef_trl_0_28")
        rate = Fraction(self.own.get("f_alpha_divergence_coef", 0.5)) - 1 if old is None else -Fraction(old)
        return (name, to_mpf(rate)) if abs(rate) >= Fraction(1, 10**6) else ("reverse_kl", None)

    def score(self, x):
        name, rate = self.divergence
        if name == "forward_kl":  # 1 - exp(-x)
            return chain(x, lambda t: -mpmath.expm1(-t), lambda t: mpmath.exp(-t))
        if name == "js_divergence":  # log 2 + log sigmoid(x)
            return chain(x, lambda t: -mpmath.log1p(mpmath.expm1(-t) / 2), lambda t: plain_sigmoid(-t))
        if name == "alpha_divergence":  # (exp((alpha - 1) x) - 1) / (alpha - 1)
            return chain(x, lambda t: mpmath.expm1(rate * t) / rate, lambda t: mpmath.exp(rate * t))
        assert name == "reverse_kl"
        return x

    @functools.cached_property
    def chosen_score(self):
        return self.score(self.chosen_ratio)

    @functools.cached_property
    def rejected_score(self):
        return self.score(self.rejected_ratio)

    @functools.cached_property
    def zf(self):
        if self.divergence[0] == "reverse_kl":
            return self.z
        return self.beta_number * (self.chosen_score - self.rejected_score)

    # Per token

    def difference_of_means(self, chosen, rejected):
        """chosen/lc - rejected/lr as a Scaled: two terms."""
        terms = chosen / self.lengths[0], rejected / self.lengths[1]
        return Scaled.exact(terms[0]) + Scaled.exact(-terms[1])

    @functools.cached_property
    def zn(self):
        lc, lr = self.lengths
        if self.divergence[0] != "reverse_kl":
            return self.beta_number * (self.chosen_score / lc - self.rejected_score / lr)
        chosen, rejected = self.beta * self.pc - self.gamma * self.rc, self.beta * self.pr - self.gamma * self.rr
        return exact(chosen / lc - rejected / lr, self.beta / lc, -self.beta / lr,
                     self.difference_of_means(self.pc, self.pr), -self.difference_of_means(self.rc, self.rr))

    @functools.cached_property
    def mean_required_margin(self):
        return Number(self.difference_of_means(self.rc, self.rr) * Scaled.exact(self.gamma / self.beta))

    @functools.cached_property
    def chosen_mean(self):
        return exact(self.pc / self.lengths[0], by_chosen=1 / self.lengths[0])

    @functools.cached_property
    def rejected_mean(self):
        return exact(self.pr / self.lengths[1], by_rejected=1 / self.lengths[1])

    @functools.cached_property
    def nll(self):
        return -self.chosen_mean


# ---- the objectives


@dataclasses.dataclass(frozen=True)
class Outcome:
    loss: Number
    logit: Number
    required_margin: Number | None = None  # None: (gamma/beta) * h0
    effective_margin: Number | None = None  # None: logit / beta
    rewards_of: Pair | None = None  # None: the pair itself


@dataclasses.dataclass(frozen=True)
class Definition:
    function: object
    needs: tuple
    defaults: dict
    has_beta: bool
    has_gamma: bool
    has_divergence: bool
    is_batch: bool


OBJECTIVES = {}


def objective(*needs, beta=True, gamma=True, divergence=False, batch=False, **defaults):
    def register(function):
        OBJECTIVES[function.__name__] = Definition(function, needs, defaults, beta, gamma, divergence, batch)
        return function

    return register


def smoothed(logit, label_smoothing):
    return (1 - label_smoothing) * softplus(-logit) + label_smoothing * softplus(logit)


@objective("reference", divergence=True)
def sigmoid(p):
    return Outcome(softplus(-p.zf), p.zf)


@objective("reference", label_smoothing=0.0)
def cdpo(p):
    return Outcome(smoothed(p.z, p["label_smoothing"]), p.z)


@objective("reference", divergence=True, label_smoothing=0.0)
def robust(p):
    z, eps = p.zf, p["label_smoothing"]
    return Outcome(((1 - eps) * softplus(-z) - eps * softplus(z)) / (1 - 2 * eps), z)


@objective("reference", divergence=True)
def hinge(p):
    return Outcome(positive_part(1 - p.zf), p.zf)


@objective("reference")
def margin_hinge(p):
    return Outcome(positive_part(-p.z), p.z)


@objective("reference", "lengths", divergence=True)
def ipo(p):
    lc, lr = p.lengths
    loss = square(p.chosen_score / lc - p.rejected_score / lr - p.half_over_beta)
    return Outcome(loss, p.zn, p.mean_required_margin)


@objective("reference", divergence=True)
def ipo_sum(p):
    return Outcome(square(p.chosen_score - p.rejected_score - p.half_over_beta), p.zf)


@objective("reference", divergence=True, label_smoothing=0.001)
def exo_pair(p):
    z, eps = p.zf, to_mpf(p["label_smoothing"])
    win = sigmoid_of(z) * (-softplus(-z) - mpmath.log(1 - eps))
    lose = sigmoid_of(-z) * (-softplus(z) - mpmath.log(eps))
    return Outcome(win + lose, z)


@objective("reference")
def nca_pair(p):
    chosen, rejected = p.chosen_reward, p.rejected_reward
    return Outcome(softplus(-chosen) + HALF * softplus(chosen) + HALF * softplus(rejected), p.z)


@objective("reference", delta=0.0)
def bco_pair(p):
    chosen, rejected = p.chosen_reward - p["delta"], p.rejected_reward - p["delta"]
    return Outcome(softplus(-chosen) + softplus(rejected), p.z)


@objective("reference")
def sppo_hard(p):
    return Outcome(square(p.chosen_ratio - p.half_over_beta) + square(p.rejected_ratio + p.half_over_beta), p.z)


@objective("reference")
def apo_zero(p):
    return Outcome(sigmoid_of(-p.chosen_reward) + sigmoid_of(p.rejected_reward), p.z)


@objective("reference")
def apo_down(p):
    return Outcome(sigmoid_of(p.chosen_reward) + sigmoid_of(-p.z), p.z)


@objective("reference", divergence=True, discopop_tau=0.05)
def discopop(p):
    z = p.zf
    logistic_share, exponential_share = sigmoid_of(-z / p["discopop_tau"]), sigmoid_of(z / p["discopop_tau"])
    return Outcome(softplus(-z) * logistic_share + exp_of(-z) * exponential_share, z)


@objective("reference", "lengths", divergence=True)
def sigmoid_norm(p):
    return Outcome(softplus(-p.zn), p.zn, p.mean_required_margin)


@objective("lengths", gamma=False, simpo_gamma=0.5, label_smoothing=0.0, cpo_alpha=0.0)
def simpo(p):
    (lc, lr), target = p.lengths, p["simpo_gamma"]
    v = exact(p.beta * (p.pc / lc - p.pr / lr), p.beta / lc, -p.beta / lr, p.difference_of_means(p.pc, p.pr)) - target
    return Outcome(smoothed(v, p["label_smoothing"]) + p["cpo_alpha"] * p.nll, v, exact(target / p.beta))


@objective("lengths", gamma=False, label_smoothing=0.0, cpo_alpha=1.0)
def cpo(p):
    logit = exact(p.beta * p.h_exact, p.beta, -p.beta, p.h_exact)
    return Outcome(smoothed(logit, p["label_smoothing"]) + p["cpo_alpha"] * p.nll, logit)


@objective("lengths", gamma=False)
def orpo(p):
    chosen, rejected = p.chosen_mean, p.rejected_mean
    log_odds_ratio = (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))
    return Outcome(p.nll + p.beta_number * softplus(-log_odds_ratio), log_odds_ratio,
                   effective_margin=log_odds_ratio)


@objective(beta=False, gamma=False, delta=1.0, lambda_coef=0.1)
def slic_hf(p):
    short = exact(p["delta"] - p.h_exact, -1, 1)
    return Outcome(positive_part(short) - p["lambda_coef"] * exact(p.pc, 1), -short, exact(p["delta"]))


def length_penalised(p, penalty):
    logit = p.z + penalty
    required = Scaled.exact(p.gamma * p.h0) + Scaled.exact(-penalty)
    return Outcome(softplus(-logit), logit, Number(required) / p.beta)


@objective("reference", "lengths", alpha=0.01)
def r_dpo(p):
    return length_penalised(p, p["alpha"] * p.length_gap)


@objective("reference", "lengths", alpha=0.01)
def r_dpo_subtract(p):
    return length_penalised(p, -p["alpha"] * p.length_gap)


@objective("reference", dpop_lambda=50.0)
def dpop(p):
    fall = max(Fraction(0), p.rc - p.pc)
    weight = p["dpop_lambda"]
    penalty = exact(p.beta * weight * fall, -p.beta * weight if fall else 0, 0, weight * fall)
    logit = p.z - penalty
    return Outcome(softplus(-logit), logit)


@objective("reference", delta=50.0)
def dpop_outside(p):
    return Outcome(softplus(-p.z) + p["delta"] * positive_part(exact(p.rc - p.pc, -1)), p.z)


@objective("reference", "gap", alpha=1.0)
def odpo(p):
    offset = to_mpf(p["alpha"]) * mpmath.log(to_mpf(p.score_gap))
    logit = p.z - offset
    required = Scaled.exact(p.gamma * p.h0) + Scaled.exact(offset)
    return Outcome(softplus(-logit), logit, Number(required) / p.beta)


@objective("reference")
def hypo(p):
    h0 = max(Fraction(0), p.h0)
    logit = exact(p.beta * p.h_exact - p.gamma * h0, p.beta, -p.beta, p.h_exact, -h0)
    return Outcome(softplus(-logit), logit, exact(p.gamma / p.beta * h0))


@objective("reference", "heads", ld_alpha=0.5, ld_models="policy_and_reference")
def ld_dpo(p):
    tail_weight = p["ld_alpha"]
    pc, pr, rc, rr = (head + tail_weight * (x - head) for x, head in zip((p.pc, p.pr, p.rc, p.rr), p.heads))
    if p["ld_models"] == "policy":
        rc, rr = p.rc, p.rr
    primed = p.replaced(pc, pr, rc, rr)
    primed.is_rounded = True
    return Outcome(softplus(-primed.z), primed.z, primed.required_margin, rewards_of=primed)


@objective("chosen_length", beta=False, gamma=False)
def sft(p):
    return Outcome(p.nll, p.h, exact(0))


@objective(beta=False, gamma=False)
def sft_sum(p):
    return Outcome(exact(-p.pc, -1), p.h, exact(0))


@objective("reference", "chosen_length", sigmoid_weight=0.8, bco_pair_weight=0.2, sft_weight=1.0)
def mpo(p):
    bco = softplus(-p.chosen_reward) + softplus(p.rejected_reward)
    loss = p["sigmoid_weight"] * softplus(-p.z) + p["bco_pair_weight"] * bco + p["sft_weight"] * p.nll
    return Outcome(loss, p.z)


@objective("reference", "chosen_length", rpo_alpha=1.0)
def rpo(p):
    return Outcome(softplus(-p.z) + p["rpo_alpha"] * p.nll, p.z)


# ---- the objectives of batches: from pairs to outcomes, in order


@objective("reference", batch=True, label_smoothing=0.0)
def aot(pairs):
    """The i-th smallest h meets the i-th smallest h0."""
    by_policy = sorted(range(len(pairs)), key=lambda i: pairs[i].h_exact)
    by_reference = sorted(range(len(pairs)), key=lambda i: pairs[i].h0)
    outcomes = [None] * len(pairs)
    for i, j in zip(by_policy, by_reference):
        matched = pairs[i].replaced(rc=pairs[j].rc, rr=pairs[j].rr)
        outcomes[i] = dataclasses.replace(cdpo(matched), rewards_of=matched, required_margin=matched.required_margin)
    return outcomes


@objective("reference", batch=True, label_smoothing=0.0)
def aot_unpaired(pairs):
    """The i-th smallest R+ meets the i-th smallest R-; the derivative by pr goes to the pair that holds R-."""
    by_chosen = sorted(range(len(pairs)), key=lambda i: pairs[i].beta * pairs[i].pc - pairs[i].gamma * pairs[i].rc)
    by_rejected = sorted(range(len(pairs)), key=lambda i: pairs[i].beta * pairs[i].pr - pairs[i].gamma * pairs[i].rr)
    outcomes, by_policy_rejected = [None] * len(pairs), [None] * len(pairs)
    for i, j in zip(by_chosen, by_rejected):
        matched = pairs[i].replaced(pr=pairs[j].pr, rr=pairs[j].rr)
        outcomes[i] = dataclasses.replace(cdpo(matched), rewards_of=matched, required_margin=matched.required_margin)
        by_policy_rejected[j] = outcomes[i].loss.slopes[1]
    for outcome, slope in zip(outcomes, by_policy_rejected):
        outcome.loss.slopes[1] = slope
    return outcomes


def mean(scaled):
    total = NOTHING
    for x in scaled:
        total += x
    return total * Scaled.exact(Fraction(1, len(scaled)))


@objective("reference", batch=True)
def kto_pair(pairs):
    """Each side is compared with the other side's mean reward: a constant as far as derivatives go."""
    def divergence_estimate(rewards):
        average = mean([reward.size for reward in rewards])
        return Number(Scaled(max(average.value, ZERO), average.scale if average.value > 0 else ZERO))

    kl_chosen = divergence_estimate([p.chosen_reward for p in pairs])
    kl_rejected = divergence_estimate([p.rejected_reward for p in pairs])
    return [Outcome(HALF * (sigmoid_of(kl_rejected - p.chosen_reward) + sigmoid_of(p.rejected_reward - kl_chosen)), p.z)
            for p in pairs]


def mean_and_deviation(values):
    average = mean(values)
    if len(values) == 1:
        return average, NOTHING
    differences = [x + -average for x in values]

    def deviation(sizes):
        return mpmath.sqrt(mpmath.fsum(size**2 for size in sizes) / (len(values) - 1))

    return average, Scaled(deviation([d.value for d in differences]), deviation([d.scale for d in differences]))


def beta_dpo_batch(pairs):
    """What beta_dpo finds out about a batch: beta, kept pairs and the state for the next batch."""
    own, beta = pairs[0].own, pairs[0].beta
    differences = [Scaled.exact((p.beta * p.h_exact - p.gamma * p.h0) / beta) for p in pairs]
    average, deviation = mean_and_deviation(differences)
    has_state = own["margin_mean"] is not None
    centre = Scaled.exact(Fraction(own["margin_mean"])) if has_state else average
    width = Scaled.exact(Fraction(own["margin_deviation"])) if has_state else deviation

    # exp(-((D - M)/s)^2 / 2) falls with |D - M|: the largest weights are the nearest pairs.
    num_kept = max(1, int(len(pairs) * own["keep_share"]))  # the product is a double: 10 * 0.7 is 7
    distances = [abs(d.value - centre.value) for d in differences]
    order = sorted(range(len(pairs)), key=lambda i: distances[i])
    if num_kept < len(pairs):
        last_in, first_out = distances[order[num_kept - 1]], distances[order[num_kept]]
        if last_in != first_out and first_out - last_in < mpf("1e-9") * (1 + first_out):
            raise Undecided("which pairs are kept")
    kept = set(order[:num_kept])

    kept_mean = mean([differences[i] for i in sorted(kept)])
    shift = kept_mean + Scaled(-centre.value, centre.scale)
    beta_used = Scaled.exact(beta) * (Scaled.exact(1) + Scaled.exact(Fraction(own["alpha"])) * shift)
    floor = Scaled.exact(Fraction(own["min_beta"]))
    if beta_used.value < floor.value:
        beta_used = floor
    momentum = Fraction(own["momentum"])
    old, new = Scaled.exact(momentum), Scaled.exact(1 - momentum)
    state = {"beta_used": beta_used, "num_kept": Scaled.exact(num_kept),
             "margin_mean": old * centre + new * average if has_state else centre,
             "margin_deviation": old * width + new * deviation if has_state else width}
    return kept, state


@objective("reference", batch=True, alpha=0.6, keep_share=0.8, momentum=0.9, min_beta=0.001, margin_mean=None,
           margin_deviation=None)
def beta_dpo(pairs):
    kept, state = beta_dpo_batch(pairs)
    factor = Number(state["beta_used"] * Scaled.exact(1 / pairs[0].beta))
    outcomes = []
    for i, p in enumerate(pairs):
        logit = factor * p.z
        outcomes.append(Outcome(softplus(-logit) if i in kept else as_number(0), logit))
    return outcomes


# ---- requests


class Request:
    """An objective as a caller names it: Request(name, beta=, gamma=, own parameters). gamma None: beta."""

    def __init__(self, name, beta=None, gamma=None, **own):
        self.name = name
        self.definition = OBJECTIVES[name]
        self.given = {"beta": beta, "gamma": gamma, **own}
        unknown = own.keys() - self.definition.defaults.keys() - DIVERGENCE_PARAMETERS
        assert not unknown, unknown
        self.own = self.definition.defaults | own
        beta = DEFAULT_BETA if beta is None else beta
        self.beta = beta if self.definition.has_beta else 1
        self.gamma = (beta if gamma is None else gamma) if self.definition.has_gamma else 0

    def json(self):
        return {"name": self.name, "parameters": {k: v for k, v in self.given.items() if v is not None}}

    def values(self, pairs):
        read = [Pair.of(self, pair) for pair in pairs]
        function = self.definition.function
        outcomes = function(read) if self.definition.is_batch else [function(p) for p in read]
        return [fields(p, outcome) for p, outcome in zip(read, outcomes)]

    def state(self, pairs):
        return beta_dpo_batch([Pair.of(self, p) for p in pairs])[1] if self.name == "beta_dpo" else {}


class WeightedSum:
    """[(weight, Request), ...]: losses and derivatives are summed, all else is that of the first term."""

    def __init__(self, *terms):
        self.terms = terms

    def json(self):
        return {"terms": [{"weight": weight, "objective": request.json()} for weight, request in self.terms]}

    def values(self, pairs):
        by_term = [request.values(pairs) for _, request in self.terms]
        results = []
        for rows in zip(*by_term):
            result = dict(rows[0])
            for name in ("loss", *(f"d_loss_d_{variable}" for variable in VARIABLES)):
                result[name] = NOTHING
                for (weight, _), row in zip(self.terms, rows):
                    result[name] += Scaled.exact(weight) * row[name]
            results.append(result)
        return results

    def state(self, pairs):
        return {}


def fields(pair, outcome):
    """The values of FIELDS by name."""
    rewards = outcome.rewards_of or pair
    effective = outcome.effective_margin or outcome.logit / pair.beta
    required = outcome.required_margin or pair.required_margin
    numbers = (outcome.loss, outcome.logit, rewards.chosen_reward, rewards.rejected_reward, required, effective,
               sigmoid_of(-outcome.logit))
    return dict(zip(FIELDS, [number.size for number in numbers] + list(outcome.loss.slopes)))
