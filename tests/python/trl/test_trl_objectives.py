# SPDX-License-Identifier: Apache-2.0
"""The objectives in torch against the server's values and derivatives, on the same log-probs."""
import random

import pytest
import torch

import prefscore
from prefscore import KnownLogProbs, Objective, PairLogProbs, WeightedSum
from prefscore.trl import PairTensors, TorchObjective
from prefscore.trl import formulas

# Each objective with its defaults, and at other weights and parameters.
OTHERS = {
    "cdpo": {"label_smoothing": 0.2}, "robust": {"label_smoothing": 0.3}, "exo_pair": {"label_smoothing": 0.1},
    "bco_pair": {"delta": 0.7}, "discopop": {"discopop_tau": 0.3}, "simpo": {"simpo_gamma": 1.1, "cpo_alpha": 0.3},
    "cpo": {"label_smoothing": 0.1, "cpo_alpha": 0.2}, "slic_hf": {"delta": 4.0, "lambda_coef": 0.3},
    "r_dpo": {"alpha": 0.2}, "r_dpo_subtract": {"alpha": 0.2}, "dpop": {"dpop_lambda": 3.0},
    "dpop_outside": {"delta": 0.5}, "mpo": {"sigmoid_weight": 0.1, "bco_pair_weight": 2.0, "sft_weight": 0.4},
    "rpo": {"rpo_alpha": 0.005},
}  # fmt: skip
DIVERGENCES = [
    {"f_divergence_type": "forward_kl"}, {"f_divergence_type": "js_divergence"},
    {"f_divergence_type": "alpha_divergence"},
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 1.0},
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef_trl_0_28": 0.3},
]  # fmt: skip
WITHOUT_BETA, WITHOUT_GAMMA = {"sft", "sft_sum", "slic_hf"}, {"sft", "sft_sum", "slic_hf", "cpo", "simpo", "orpo"}
WITH_DIVERGENCE = {"sigmoid", "robust", "hinge", "ipo", "ipo_sum", "exo_pair", "discopop", "sigmoid_norm"}


def cases():
    for name in formulas.FORMULAS:
        yield Objective(name)
        weights = {} if name in WITHOUT_BETA else {"beta": 0.35}
        yield Objective(name, **weights, **({} if name in WITHOUT_GAMMA else {"gamma": 0.2}),
                        parameters=OTHERS.get(name, {}))  # fmt: skip
        for divergence in DIVERGENCES if name in WITH_DIVERGENCE else ():
            yield Objective(name, **weights, gamma=0.5, parameters=divergence)
    yield WeightedSum([(0.8, Objective("sigmoid", 0.2, 0.1)), (-0.2, Objective("bco_pair")), (1.0, Objective("sft"))])


def random_pairs(seed, largest_logratio, num_pairs=24):
    chance = random.Random(seed)
    pairs = []
    for _ in range(num_pairs):
        policy = [-chance.uniform(largest_logratio + 0.1, 60) for _ in range(2)]
        reference = [logp + chance.uniform(-largest_logratio, largest_logratio) for logp in policy]
        counts = {f"num_{side}_tokens": chance.randint(1, 40) for side in ("chosen", "rejected")}
        pairs.append(PairLogProbs(KnownLogProbs(*policy, *reference), **counts))
    return pairs


def tensors(pairs):
    columns = torch.tensor(
        [[pair.logps.policy_chosen_logp, pair.logps.policy_rejected_logp, pair.logps.reference_chosen_logp,
          pair.logps.reference_rejected_logp, pair.num_chosen_tokens, pair.num_rejected_tokens] for pair in pairs],
        dtype=torch.float64,
    ).T  # fmt: skip
    policy = [column.clone().requires_grad_() for column in columns[:2]]
    return policy, PairTensors(*policy, *columns[2:])


@pytest.mark.parametrize("objective", list(cases()), ids=str)
def test_values_and_derivatives_are_the_servers(objective, demo_client):
    # Exponentials of larger log-ratios cancel in double, here and in the server alike.
    has_exponentials = "f_divergence_type" in getattr(objective, "parameters", {})
    pairs = random_pairs(seed=len(str(objective)), largest_logratio=6 if has_exponentials else 30)
    policy, columns = tensors(pairs)
    losses = TorchObjective.of(demo_client, objective)(columns)
    gradient = torch.autograd.grad(losses.sum(), policy, allow_unused=True)
    gradient = [torch.zeros(len(pairs)) if part is None else part for part in gradient]
    for idx, result in enumerate(demo_client.evaluate_objectives(pairs, [objective])):
        theirs = result.objectives[0]
        assert losses[idx].item() == pytest.approx(theirs.loss, rel=1e-11, abs=1e-12)
        assert gradient[0][idx].item() == pytest.approx(theirs.d_loss_d_policy_chosen_logp, rel=1e-10, abs=1e-13)
        assert gradient[1][idx].item() == pytest.approx(theirs.d_loss_d_policy_rejected_logp, rel=1e-10, abs=1e-13)


def test_beta_and_gamma_are_those_of_the_contract(demo_client):
    def weights(objective, **kwargs):
        made = TorchObjective.of(demo_client, objective, **kwargs)
        return made.beta, made.gamma

    assert weights("sigmoid") == (0.1, 0.1)
    assert weights("sigmoid", default_beta=0.3) == (0.3, 0.3)
    assert weights("sigmoid:beta=0.2", default_beta=0.3) == (0.2, 0.2)
    assert weights("hypo:gamma=0", default_beta=0.3) == (0.3, 0.0)
    assert weights("simpo", default_beta=0.3) == (0.3, 0.0)
    assert weights("sft_sum", default_beta=0.3) == (1.0, 0.0)


def test_every_objective_of_the_server_is_here_or_refused_with_a_reason(demo_client):
    absent = [info for info in demo_client.objectives() if info.name not in formulas.FORMULAS]
    assert all(info.is_batch or {"token_logps", "score_gap"} & set(info.needs) for info in absent)
    for info in absent:
        with pytest.raises(prefscore.InvalidArgument, match=f"'{info.name}' is no function of one pair's"):
            TorchObjective.of(demo_client, info.name)


@pytest.mark.parametrize("objective, message", [
    ("sigmoyd", "no objective 'sigmoyd'"),
    ("sigmoid:label_smoothing=0.1", "no parameter label_smoothing"),
    ("sft_sum:beta=0.1", "no beta"), ("simpo:gamma=0.1", "no gamma"),
    ("cdpo:label_smoothing=0.7", "label_smoothing"), ("sigmoid:beta=-1", "beta"),
])  # fmt: skip
def test_wrong_objectives_are_named(objective, message, demo_client):
    with pytest.raises(prefscore.InvalidArgument, match=message):
        TorchObjective.of(demo_client, objective)


def test_a_formula_that_is_not_the_servers_is_noticed(demo_client, monkeypatch):
    monkeypatch.setitem(formulas.FORMULAS, "hypo", formulas.FORMULAS["sigmoid"])
    with pytest.raises(prefscore.PrefscoreError, match="hypo.* differs from the server's"):
        TorchObjective.of(demo_client, "hypo")
