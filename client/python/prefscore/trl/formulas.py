# SPDX-License-Identifier: Apache-2.0
"""The server's objectives in torch, differentiable: each formula once, as in server/objectives/catalogue.

pc, pr, rc, rr: log-probs, [num_pairs], nats. h = pc - pr, h0 = rc - rr. R+ = beta pc - gamma rc, R- likewise, z = R+ -
R-. lc, lr: tokens of the completions. s(x): score of a log-ratio by `f_divergence_type`, x itself by default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) for any x; torch's own is x above 20, 2e-9 too little."""
    return -logsigmoid(-x)


@dataclass(frozen=True)
class PairTensors:
    """What objectives are functions of: tensors [num_pairs] of one floating type.

    The log-probs are nats, summed over a completion's tokens; those of the policy carry the gradient.
    """

    policy_chosen_logp: Tensor
    policy_rejected_logp: Tensor
    reference_chosen_logp: Tensor
    reference_rejected_logp: Tensor
    num_chosen_tokens: Tensor
    num_rejected_tokens: Tensor


class Terms:
    """What formulas are made of, for one choice of beta, gamma and further parameters (`own`)."""

    def __init__(self, pairs: PairTensors, beta: float, gamma: float, own: Mapping[str, float | str]) -> None:
        self.beta, self.gamma, self.own = beta, gamma, own
        self.pc, self.pr = pairs.policy_chosen_logp, pairs.policy_rejected_logp
        self.rc, self.rr = pairs.reference_chosen_logp, pairs.reference_rejected_logp
        self.lc, self.lr = pairs.num_chosen_tokens, pairs.num_rejected_tokens
        self.h, self.h0 = self.pc - self.pr, self.rc - self.rr
        self.chosen_reward = beta * self.pc - gamma * self.rc
        self.rejected_reward = beta * self.pr - gamma * self.rr

    def number(self, name: str) -> float:
        return float(self.own[name])

    @cached_property
    def plain_z(self) -> Tensor:
        return self.beta * self.h - self.gamma * self.h0

    @cached_property
    def z(self) -> Tensor:
        """beta (s(R+/beta) - s(R-/beta)), which is `plain_z` without an f-divergence."""
        if self._divergence() == "reverse_kl":
            return self.plain_z
        return self.beta * (self._score(self.chosen_reward) - self._score(self.rejected_reward))

    @cached_property
    def mean_z(self) -> Tensor:
        """The same per token: beta (s(R+/beta)/lc - s(R-/beta)/lr)."""
        return self.beta * (self._score(self.chosen_reward) / self.lc - self._score(self.rejected_reward) / self.lr)

    @cached_property
    def nll(self) -> Tensor:
        """Negative log-prob per token of the chosen completion."""
        return -self.pc / self.lc

    def smoothed(self, z: Tensor) -> Tensor:
        eps = self.number("label_smoothing")
        return (1 - eps) * softplus(-z) + eps * softplus(z)

    def _alpha_less_one(self) -> float:
        old = self.own.get("f_alpha_divergence_coef_trl_0_28")
        return self.number("f_alpha_divergence_coef") - 1 if old is None else -float(old)

    def _divergence(self) -> str:
        kind = str(self.own.get("f_divergence_type", "reverse_kl"))
        return "reverse_kl" if kind == "alpha_divergence" and abs(self._alpha_less_one()) < 1e-6 else kind

    def _score(self, reward: Tensor) -> Tensor:
        """s(reward / beta)."""
        ratio, kind = reward / self.beta, self._divergence()
        if kind == "forward_kl":
            return -torch.expm1(-ratio)
        if kind == "js_divergence":
            return math.log(2) - softplus(-ratio)
        if kind == "alpha_divergence":
            rate = self._alpha_less_one()
            return torch.expm1(rate * ratio) / rate
        return ratio


def _robust(t: Terms) -> Tensor:
    eps = t.number("label_smoothing")
    return ((1 - eps) * softplus(-t.z) - eps * softplus(t.z)) / (1 - 2 * eps)


def _exo_pair(t: Terms) -> Tensor:
    eps = t.number("label_smoothing")
    chosen = torch.sigmoid(t.z) * (-softplus(-t.z) - math.log1p(-eps))
    return chosen + torch.sigmoid(-t.z) * (-softplus(t.z) - math.log(eps))


def _discopop(t: Terms) -> Tensor:
    ratio = t.z / t.number("discopop_tau")
    # sigmoid(ratio) exp(-z) in one exponential: for z << 0 its factors overflow and vanish.
    return torch.sigmoid(-ratio) * softplus(-t.z) + torch.exp(-t.z - softplus(-ratio))


def _orpo(t: Terms) -> Tensor:
    def log_odds(mean_logp: Tensor) -> Tensor:
        bounded = mean_logp.clamp(max=-torch.finfo(mean_logp.dtype).tiny)
        return bounded - torch.log(-torch.expm1(bounded))

    odds_ratio = log_odds(t.pc / t.lc) - log_odds(t.pr / t.lr)
    return t.nll + t.beta * softplus(-odds_ratio)


def _simpo(t: Terms) -> Tensor:
    v = t.beta * (t.pc / t.lc - t.pr / t.lr) - t.number("simpo_gamma")
    return t.smoothed(v) + t.number("cpo_alpha") * t.nll


def _bco_pair(t: Terms, delta: float) -> Tensor:
    return softplus(-(t.chosen_reward - delta)) + softplus(t.rejected_reward - delta)


def _mpo(t: Terms) -> Tensor:
    losses = {"sigmoid": softplus(-t.z), "bco_pair": _bco_pair(t, 0.0), "sft": t.nll}
    return torch.stack([t.number(f"{name}_weight") * loss for name, loss in losses.items()]).sum(0)


FORMULAS: dict[str, Callable[[Terms], Tensor]] = {
    "sigmoid": lambda t: softplus(-t.z),
    "cdpo": lambda t: t.smoothed(t.z),
    "robust": _robust,
    "hinge": lambda t: relu(1 - t.z),
    "margin_hinge": lambda t: relu(-t.z),
    "ipo": lambda t: (t.mean_z / t.beta - 0.5 / t.beta) ** 2,
    "ipo_sum": lambda t: (t.z / t.beta - 0.5 / t.beta) ** 2,
    "exo_pair": _exo_pair,
    "nca_pair": lambda t: (
        softplus(-t.chosen_reward) + 0.5 * softplus(t.chosen_reward) + 0.5 * softplus(t.rejected_reward)
    ),
    "bco_pair": lambda t: _bco_pair(t, t.number("delta")),
    "sppo_hard": lambda t: ((t.chosen_reward - 0.5) / t.beta) ** 2 + ((t.rejected_reward + 0.5) / t.beta) ** 2,
    "apo_zero": lambda t: torch.sigmoid(-t.chosen_reward) + torch.sigmoid(t.rejected_reward),
    "apo_down": lambda t: torch.sigmoid(t.chosen_reward) + torch.sigmoid(-t.z),
    "discopop": _discopop,
    "sigmoid_norm": lambda t: softplus(-t.mean_z),
    "simpo": _simpo,
    "cpo": lambda t: t.smoothed(t.beta * t.h) + t.number("cpo_alpha") * t.nll,
    "orpo": _orpo,
    "slic_hf": lambda t: relu(t.number("delta") - t.h) - t.number("lambda_coef") * t.pc,
    "r_dpo": lambda t: softplus(-(t.z + t.number("alpha") * (t.lc - t.lr))),
    "r_dpo_subtract": lambda t: softplus(-(t.z - t.number("alpha") * (t.lc - t.lr))),
    "dpop": lambda t: softplus(-(t.z - t.beta * t.number("dpop_lambda") * relu(t.rc - t.pc))),
    "dpop_outside": lambda t: softplus(-t.z) + t.number("delta") * relu(t.rc - t.pc),
    "hypo": lambda t: softplus(-(t.beta * t.h - t.gamma * relu(t.h0))),
    "sft": lambda t: t.nll,
    "sft_sum": lambda t: -t.pc,
    "mpo": _mpo,
    "rpo": lambda t: softplus(-t.z) + t.number("rpo_alpha") * t.nll,
}
