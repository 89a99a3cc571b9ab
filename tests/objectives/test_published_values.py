# SPDX-License-Identifier: Apache-2.0
"""Values that other projects' tests and papers state, and what the formulas say of special pairs.

Tolerances are half a unit of the last published digit, or the publisher's own; 1e-12 where the value is exact.
"""
import math

import pytest

LN2 = math.log(2)
EXACT = 1e-12
NAMES = ("policy_chosen_logp", "policy_rejected_logp", "reference_chosen_logp", "reference_rejected_logp")
SWAP = dict(zip(NAMES, (NAMES[1], NAMES[0], NAMES[3], NAMES[2])))


def pairs_of(policy_chosen, policy_rejected, reference_chosen, reference_rejected, **more):
    columns = (policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    return [dict(zip(NAMES, logps)) | more for logps in zip(*columns)]


@pytest.fixture
def losses(evaluate):
    def run(name, pairs, **parameters):
        return [value["loss"] for value in evaluate({"name": name, "parameters": parameters}, pairs)]

    return run


def near(expected, tolerance=EXACT):
    return pytest.approx(expected, rel=0, abs=tolerance)


# ---- other projects' tests

TORCHTUNE = pairs_of([-0.5, -10, -1], [-0.1, -30, -21], [-0.5, -10.1, -0.1], [-0.1, -20.1, -0.1])


def test_torchtune(losses):
    """tests/torchtune/rlhf/loss/test_dpo_loss.py; its RSO loss is hinge."""
    published = pytest.approx([0.693147, 0.313262, 0.126928], rel=1e-4, abs=1e-5)
    assert losses("sigmoid", TORCHTUNE, beta=0.1) == published
    assert losses("hinge", TORCHTUNE, beta=0.1) == pytest.approx([1, 0, 0], rel=1e-4, abs=1e-5)


LLAMA_FACTORY = pairs_of([-3, -2.5, -4, -1.5], [-5, -3.5, -6, -2.5], [-2.8, -2.3, -3.8, -1.4],
                         [-3.2, -2.7, -4.2, -1.8])


def test_llama_factory(losses):
    """tests_v1/trainers/test_dpo_loss_precision.py"""
    published = [0.616343773041, 0.663597113076] * 2
    assert losses("sigmoid", LLAMA_FACTORY, beta=0.1) == near(published, 5e-13)

    swapped = [{name: pair[SWAP[name]] for name in pair} for pair in LLAMA_FACTORY]
    half = {"beta": 0.1, "label_smoothing": 0.5}  # which of the two is called chosen does not matter
    assert losses("cdpo", LLAMA_FACTORY, **half) == near(losses("cdpo", swapped, **half))


@pytest.mark.parametrize("beta, loss, margin", [
    (0.05, 0.6624048944, 0.0625), (0.1, 0.6326768539, 0.125), (0.5, 0.4304739951, 0.625)])
def test_tinker_cookbook(beta, loss, margin, evaluate):
    """Tutorial 403: means of two pairs."""
    pairs = pairs_of([-2, -1.5], [-3, -4], [-2.5, -2], [-2.5, -3])
    values = evaluate({"name": "sigmoid", "parameters": {"beta": beta}}, pairs)
    assert sum(value["loss"] for value in values) / 2 == near(loss, 5e-11)
    assert sum(value["chosen_reward"] - value["rejected_reward"] for value in values) / 2 == near(margin)
    assert all(value["chosen_reward"] > value["rejected_reward"] for value in values)


def test_nemo_rl(losses):
    """tests/unit/algorithms/test_loss_functions.py: uniform logits over 16 tokens, completions of 2."""
    uniform = [-2 * math.log(16)]
    pairs = pairs_of(uniform, uniform, uniform, uniform, num_chosen_tokens=2, num_rejected_tokens=2)
    assert losses("sigmoid", pairs) == near([LN2])
    assert losses("sft_sum", pairs) == near([5.545177], 5e-7)
    assert losses("sft", pairs) == near([math.log(16)])


def test_open_instruct(losses):
    """open_instruct/test_dpo_utils.py: a larger target margin, a larger loss."""
    pairs = [{NAMES[0]: -4.0, NAMES[1]: -3.0, "num_chosen_tokens": 2, "num_rejected_tokens": 2}]
    by_target = [losses("simpo", pairs, beta=2.0, simpo_gamma=target)[0] for target in (0.0, 0.5, 1.0, 1.5)]
    assert by_target == sorted(by_target) and by_target[0] < by_target[-1]
    assert by_target[1] == near(math.log1p(math.exp(-(2.0 * (-2.0 + 1.5) - 0.5))))


# TRL <= 0.28, tests/test_dpo_trainer.py: finite with every f-divergence. There log-probs are positive, which none is;
# only log-ratios count, so chosen and rejected are moved below 0.
OLD_TRL_ALPHA = pairs_of([0, 0], [0, -0.3], [-1020, -0.2], [-699.9, 0])
OLD_TRL_JS = pairs_of([0, 0], [0, -0.3], [-1020, -0.2], [-90, 0])


@pytest.mark.parametrize("pairs, divergence", [
    (OLD_TRL_ALPHA, {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef_trl_0_28": 0.5}),
    (OLD_TRL_ALPHA, {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.5}),
    (OLD_TRL_ALPHA, {"f_divergence_type": "forward_kl"}),
    (OLD_TRL_JS, {"f_divergence_type": "js_divergence"}),
], ids=["alpha of TRL 0.28", "alpha", "forward_kl", "js"])
def test_old_trl_divergences_are_finite(pairs, divergence, evaluate):
    for value in evaluate({"name": "sigmoid", "parameters": {"beta": 0.1} | divergence}, pairs):
        assert all(math.isfinite(x) for x in value.values()), value


def test_both_meanings_of_alpha(evaluate, evaluate_lines):
    """TRL's alpha up to 0.28 is 1 - alpha since; the two agree at 0.5, and only one may be given."""
    def logits(**divergence):
        parameters = {"beta": 0.1, "f_divergence_type": "alpha_divergence", **divergence}
        return [value["logit"] for value in evaluate({"name": "sigmoid", "parameters": parameters}, TORCHTUNE)]

    assert logits(f_alpha_divergence_coef=0.5) == logits(f_alpha_divergence_coef_trl_0_28=0.5)
    assert logits(f_alpha_divergence_coef=0.25) == logits(f_alpha_divergence_coef_trl_0_28=0.75)
    chosen, rejected = -10 + 10.1, -30 + 20.1  # log-ratios of the second pair
    old = (math.exp(-0.75 * rejected) - math.exp(-0.75 * chosen)) / 0.75  # TRL 0.28's own form
    assert logits(f_alpha_divergence_coef_trl_0_28=0.75)[1] == pytest.approx(0.1 * old, rel=1e-12)
    both = {"f_alpha_divergence_coef": 0.5, "f_alpha_divergence_coef_trl_0_28": 0.5}
    (result,) = evaluate_lines([({"name": "sigmoid", "parameters": both}, TORCHTUNE)])
    assert "f_alpha_divergence_coef" in result["error"]


# ---- special pairs

EQUAL = pairs_of([-12.5, -300.25], [-80.125, -7.5], [-12.5, -300.25], [-80.125, -7.5], num_chosen_tokens=10,
                 num_rejected_tokens=20, score_gap=1.0, head_logps=[-12.5, -7.5, -12.5, -7.5])


@pytest.mark.parametrize("name, at_start", [
    ("sigmoid", LN2), ("cdpo", LN2), ("robust", LN2), ("hinge", 1.0), ("margin_hinge", 0.0), ("nca_pair", 2 * LN2),
    ("bco_pair", 2 * LN2), ("sppo_hard", 50.0), ("ipo", 25.0), ("ipo_sum", 25.0), ("apo_zero", 1.0), ("apo_down", 1.0),
    ("sigmoid_norm", LN2), ("aot", LN2), ("aot_unpaired", LN2), ("kto_pair", 0.5), ("dpop", LN2), ("dpop_outside", LN2),
    ("odpo", LN2), ("beta_dpo", None), ("exo_pair", -LN2 - 0.5 * math.log(0.999 * 0.001)),
    ("discopop", 0.5 * LN2 + 0.5)])
def test_policy_is_reference(name, at_start, losses):
    """A training's first step, at beta = gamma = 0.1. beta_dpo gives 0 to the pair that it leaves out."""
    for loss in losses(name, EQUAL, beta=0.1):
        assert loss == near(at_start) if at_start is not None else loss in (near(LN2), 0.0)


@pytest.mark.parametrize("divergence", ["forward_kl", "js_divergence", "alpha_divergence"])
@pytest.mark.parametrize("name", ["sigmoid", "robust", "sigmoid_norm"])
def test_policy_is_reference_with_divergences(name, divergence, losses):
    assert losses(name, EQUAL, beta=0.1, f_divergence_type=divergence) == near([LN2, LN2])


def test_gamma_moves_the_start(evaluate):
    """With gamma apart from beta, training does not start at ln 2: z = (beta - gamma) h."""
    values = evaluate({"name": "sigmoid", "parameters": {"beta": 0.1, "gamma": 0.3}}, EQUAL)
    for value, h in zip(values, (67.625, -292.75)):
        assert value["logit"] == pytest.approx(-0.2 * h, rel=1e-12)


def test_discopop_starts_uphill(evaluate):
    """At u = 0 the loss is 0.846574 and rises with the margin, by 0.7843 beta."""
    for value in evaluate({"name": "discopop", "parameters": {"beta": 0.1}}, EQUAL):
        assert value["loss"] == near(0.846574, 5e-7)
        assert value["d_loss_d_policy_chosen_logp"] / 0.1 == near(0.7843, 5e-5)
        assert value["d_loss_d_policy_rejected_logp"] / 0.1 == near(-0.7843, 5e-5)


def test_apo_down_leaves_the_chosen_alone_at_first(evaluate):
    for value in evaluate({"name": "apo_down", "parameters": {"beta": 0.1}}, EQUAL):
        assert value["d_loss_d_policy_chosen_logp"] == 0
        assert value["d_loss_d_policy_rejected_logp"] == near(0.1 / 4)


def at_logit(z):
    """beta = 1, gamma = 0."""
    return pairs_of([min(0.0, z)], [min(0.0, -z)], [0.0], [0.0])


@pytest.mark.parametrize("name", ["cdpo", "exo_pair"])
@pytest.mark.parametrize("smoothing", [0.05, 0.25])
def test_smoothed_losses_are_least_at_the_odds(name, smoothing, evaluate):
    pairs = at_logit(math.log((1 - smoothing) / smoothing))
    (value,) = evaluate({"name": name, "parameters": {"beta": 1.0, "gamma": 0.0, "label_smoothing": smoothing}}, pairs)
    assert value["d_loss_d_policy_chosen_logp"] == near(0)
    entropy = -smoothing * math.log(smoothing) - (1 - smoothing) * math.log(1 - smoothing)
    assert value["loss"] == near(entropy if name == "cdpo" else 0)


def test_nca_is_flat_at_ln_2(evaluate):
    pairs = pairs_of([0.0], [-3.0], [-LN2], [-3.0])
    (value,) = evaluate({"name": "nca_pair", "parameters": {"beta": 1.0}}, pairs)
    assert value["chosen_reward"] == near(LN2)
    assert value["d_loss_d_policy_chosen_logp"] == near(0)


def test_robust_is_unbounded_below(losses):
    """Slope -eps/(1 - 2 eps) for a large logit."""
    (near_end, end) = losses("robust", at_logit(1e5) + at_logit(2e5), beta=1.0, gamma=0.0, label_smoothing=0.1)
    assert end - near_end == pytest.approx(-0.1 / 0.8 * 1e5, rel=1e-12)


# ---- the founding post: beta and gamma apart


def test_hinge_is_within_ln_2_of_the_loss(losses):
    for z in (0.0, 1e-3, -1e-3, 1.0, -1.0, 40.0, -40.0, 1e6, -1e6):
        soft, hard = (losses(name, at_logit(z), beta=1.0, gamma=0.0)[0] for name in ("sigmoid", "margin_hinge"))
        assert 0 <= soft - hard <= LN2
        assert (soft - hard == near(LN2)) == (z == 0)


def test_sharper_reference_is_larger_gamma(losses):
    """(reference^2, gamma) is (reference, 2 gamma): its log-probs are doubled, but for what is the same for all."""
    sharper = [pair | {name: 2 * pair[name] for name in ("reference_chosen_logp", "reference_rejected_logp")}
               for pair in LLAMA_FACTORY]
    expected = losses("sigmoid", LLAMA_FACTORY, beta=0.1, gamma=0.14)
    assert losses("sigmoid", sharper, beta=0.1, gamma=0.07) == near(expected)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.7])
def test_flip_threshold(gamma, losses):
    """The policy ranks the pair rightly just where the loss is below log(1 + exp(gamma h0))."""
    pairs = pairs_of([-3, -5, -4, -9], [-5, -3, -4.5, -2], [-2, -2, -8, -1], [-6, -6, -1, -5])
    for pair, loss in zip(pairs, losses("sigmoid", pairs, beta=0.1, gamma=gamma)):
        h = pair["policy_chosen_logp"] - pair["policy_rejected_logp"]
        h0 = pair["reference_chosen_logp"] - pair["reference_rejected_logp"]
        assert (h > 0) == (loss < math.log1p(math.exp(gamma * h0)))


def test_hypo_takes_the_reference_where_it_is_right(losses):
    pairs = pairs_of([-3.0, -3.0], [-5.0, -5.0], [-2.0, -9.0], [-6.0, -4.0])
    right, wrong = losses("hypo", pairs, beta=0.2)
    assert right == near(losses("sigmoid", pairs, beta=0.2)[0])
    assert wrong == near(losses("sigmoid", pairs, beta=0.2, gamma=0.0)[1])


def test_r_dpo_signs(losses):
    """The paper's derivation makes a longer chosen completion count more, the alpha-DPO repository less."""
    (pair,) = pairs_of([-3.0], [-5.0], [-2.0], [-4.5], num_chosen_tokens=120, num_rejected_tokens=20)
    z = 0.1 * (2.0 - 2.5)
    assert losses("r_dpo", [pair], beta=0.1, alpha=0.01) == near([math.log1p(math.exp(-(z + 1.0)))])
    assert losses("r_dpo_subtract", [pair], beta=0.1, alpha=0.01) == near([math.log1p(math.exp(-(z - 1.0)))])


def test_dpop_inside_and_outside(losses):
    """The same penalty inside the log-sigmoid (the paper) and beside it (mlx-lm-lora)."""
    (pair,) = pairs_of([-3.0], [-5.0], [-2.5], [-4.0])
    z = 0.1 * (2.0 - 1.5)
    assert losses("dpop", [pair], beta=0.1) == near([math.log1p(math.exp(-(z - 0.1 * 50 * 0.5)))])
    assert losses("dpop_outside", [pair], beta=0.1) == near([math.log1p(math.exp(-z)) + 50 * 0.5])


def test_orpo_of_a_certain_completion(evaluate):
    """At pc = 0 the odds are infinite, loss and slope have limits: 0 and -(1 + beta odds(pr/lr)) / lc."""
    pair = {"policy_chosen_logp": 0.0, "policy_rejected_logp": -5.0, "num_chosen_tokens": 2, "num_rejected_tokens": 4}
    (value,) = evaluate({"name": "orpo", "parameters": {"beta": 0.1}}, [pair])
    odds = math.exp(-1.25) / (1 - math.exp(-1.25))
    assert value["loss"] == near(0)
    assert value["d_loss_d_policy_chosen_logp"] == near(-(1 + 0.1 * odds) / 2)
    assert value["d_loss_d_policy_rejected_logp"] == near(0)
    for pc, pr in ((-5.0, 0.0), (0.0, 0.0)):
        (value,) = evaluate({"name": "orpo"}, [pair | {"policy_chosen_logp": pc, "policy_rejected_logp": pr}])
        assert not any(math.isnan(x) for x in value.values())
