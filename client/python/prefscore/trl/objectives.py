# SPDX-License-Identifier: Apache-2.0
"""The server's objectives as torch losses: the server says which parameters they have, and proves the formula.

    loss_of = TorchObjective.of(client, "hypo:beta=0.1,gamma=0.05")
    loss_of(pairs).mean().backward()

Those that are functions of one pair's log-probs and token counts. Not here: ld_dpo, which needs log-probs per token
(TRL has it as `ld_alpha`), odpo, which needs a score gap, and those that look at a whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..client import Client
from ..errors import Internal, InvalidArgument
from ..types import KnownLogProbs, Objective, ObjectiveInfo, PairLogProbs, WeightedSum
from .formulas import FORMULAS, PairTensors, Terms

# Where the torch formulas are compared with the server's, each time: policy and reference of two completions (nats),
# token counts. Every quadrant of margins, none near a kink.
_PROBES = (
    (-10.0, -14.0, -11.0, -12.5, 9, 7), (-14.0, -10.0, -12.5, -11.0, 5, 11), (-30.5, -22.0, -20.0, -29.0, 20, 20),
    (-3.25, -41.0, -5.0, -4.0, 3, 30), (-7.0, -7.5, -9.0, -9.25, 12, 4),
)  # fmt: skip


@dataclass(frozen=True)
class _Term:
    weight: float
    name: str
    beta: float
    gamma: float
    parameters: Mapping[str, float | str]

    def loss(self, pairs: PairTensors) -> Tensor:
        return self.weight * FORMULAS[self.name](Terms(pairs, self.beta, self.gamma, self.parameters))


class TorchObjective:
    """An objective, or a weighted sum of some: called with `PairTensors`, it gives the losses, [num_pairs].

    beta, gamma: as used; of a sum, its first term's, as the contract has it.
    request: what to ask a server for to have the same; its weights are set.
    """

    def __init__(self, terms: Sequence[_Term], request: Objective | WeightedSum) -> None:
        self._terms = tuple(terms)
        self.request = request
        self.beta, self.gamma = terms[0].beta, terms[0].gamma

    def __call__(self, pairs: PairTensors) -> Tensor:
        return torch.stack([term.loss(pairs) for term in self._terms]).sum(0)

    @classmethod
    def of(
        cls, client: Client, objective: Objective | WeightedSum | str, *, default_beta: float | None = None
    ) -> TorchObjective:
        """`objective` with the server's defaults; proven to give the server's values and derivatives.

        default_beta: of terms that name none; None: the server's default.
        Raises InvalidArgument for objectives and parameters that the server does not know, or that are not here.
        """
        if isinstance(objective, str):
            objective = Objective.parse(objective)
        terms = objective.terms if isinstance(objective, WeightedSum) else ((1.0, objective),)
        infos = {info.name: info for info in client.objectives()}
        resolved = [_resolve(weight, term, infos, default_beta) for weight, term in terms]
        asked = []
        for term, (_, given) in zip(resolved, terms, strict=True):
            has = [parameter.name for parameter in infos[term.name].parameters]
            beta, gamma = term.beta if "beta" in has else None, term.gamma if "gamma" in has else None
            asked.append((term.weight, Objective(term.name, beta, gamma, given.parameters)))
        result = cls(resolved, WeightedSum(asked) if isinstance(objective, WeightedSum) else asked[0][1])
        result._prove(client)
        return result

    def _prove(self, client: Client) -> None:
        columns = torch.tensor(_PROBES, dtype=torch.float64).T
        policy = columns[:2].clone().requires_grad_()
        losses = self(PairTensors(policy[0], policy[1], columns[2], columns[3], columns[4], columns[5]))
        (gradient,) = torch.autograd.grad(losses.sum(), policy)
        pairs = [
            PairLogProbs(KnownLogProbs(*probe[:4]), num_chosen_tokens=probe[4], num_rejected_tokens=probe[5])
            for probe in _PROBES
        ]
        for idx, result in enumerate(client.evaluate_objectives(pairs, [self.request])):
            if result.error is not None:
                raise InvalidArgument(result.error.message, field_violations=result.error.field_violations)
            theirs = result.objectives[0]
            expected = (theirs.loss, theirs.d_loss_d_policy_chosen_logp, theirs.d_loss_d_policy_rejected_logp)
            ours = (losses[idx].item(), gradient[0, idx].item(), gradient[1, idx].item())
            if any(abs(x - y) > 1e-9 * (1 + abs(y)) for x, y in zip(ours, expected, strict=True)):
                raise Internal(
                    f"the objective {theirs.label} differs from the server's: at log-probs {_PROBES[idx][:4]} loss and "
                    f"derivatives are {ours} here and {expected} there; use a client of the server's version"
                )


def _resolve(
    weight: float, objective: Objective, infos: Mapping[str, ObjectiveInfo], default_beta: float | None
) -> _Term:
    if objective.name not in FORMULAS:
        known = ", ".join(FORMULAS)
        if objective.name in infos:
            raise InvalidArgument(
                f"the objective {objective.name!r} is no function of one pair's log-probs and token counts, so it "
                f"cannot be trained with here; TRL's own loss_type may have it. Those that can: {known}"
            )
        raise InvalidArgument(f"there is no objective {objective.name!r}; those that can be trained with: {known}")
    if (info := infos.get(objective.name)) is None:
        raise InvalidArgument(f"the server does not know the objective {objective.name!r}: it is older than the client")
    defaults = {parameter.name: _default(parameter.default_value) for parameter in info.parameters}
    if unknown := set(objective.parameters) - set(defaults):
        raise InvalidArgument(
            f"the objective {objective.name!r} has no parameter {', '.join(sorted(unknown))}; it has: "
            f"{', '.join(defaults) or 'none'}"
        )
    for name, value in (("beta", objective.beta), ("gamma", objective.gamma)):
        if value is not None and name not in defaults:
            raise InvalidArgument(f"the objective {objective.name!r} has no {name}")
    beta, gamma = 1.0, 0.0  # what the contract tells of an objective that has none
    if "beta" in defaults:
        given = default_beta if objective.beta is None else objective.beta
        beta = float(defaults["beta"] or 0.0) if given is None else given
    if "gamma" in defaults:
        gamma = beta if objective.gamma is None else objective.gamma
    own = {name: value for name, value in defaults.items() if value is not None and name not in ("beta", "gamma")}
    return _Term(float(weight), objective.name, beta, gamma, own | dict(objective.parameters))


def _default(text: str) -> float | str | None:
    """The server's text of a default: a number, a choice, "beta" (gamma's) or nothing."""
    try:
        return float(text)
    except ValueError:
        return text if text not in ("", "beta") else None
