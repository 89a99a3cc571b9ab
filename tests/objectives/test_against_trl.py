# SPDX-License-Identifier: Apache-2.0
"""The objectives that TRL 1.16 has against TRL's own loss code, with its metrics and gradients.

TRL's DPOTrainer._compute_loss, CPOTrainer and ORPOTrainer.get_batch_loss_metrics run unchanged, on trainers without a
model behind them: what is called for the model returns token log-probs (or logits) that the test chose.

TRL computes in float64 here, which its code does not mind. Tolerance: 1e-11, some digits above the rounding of
log-probs of some 40 nats that cancel to 1 or less. Where TRL has float32 inside, 2e-6, of whose 6e-8 some thirty may
add up: exo_pair (label smoothing is a float32 tensor), alpha_divergence (refuses float64), ORPO (casts its log-probs).
"""
import collections
import itertools
import math
import types

import pytest
import torch
from scaled_numbers import VARIABLES

DOUBLE, SINGLE = 1e-11, 2e-6
POLICY_SLOPES = [f"d_loss_d_{variable}" for variable in VARIABLES[:2]]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


class Accelerator:
    """One process."""
    device = torch.device("cpu")

    def gather(self, x):
        return x

    gather_for_metrics = gather


class Batch:
    """Token log-probs of num_pairs pairs, padded as TRL pads: rows of the chosen first, then the rejected ones."""

    PROMPT = 3

    def __init__(self, seed, num_pairs=7, chosen_lengths=None, is_single=False):
        generator = torch.Generator().manual_seed(seed)

        def integers(low, high):
            return torch.randint(low, high, (num_pairs,), generator=generator)

        chosen = integers(1, 14) if chosen_lengths is None else torch.tensor(chosen_lengths)
        lengths = torch.cat([chosen, integers(1, 14)])
        width = self.PROMPT + int(lengths.max()) + 1
        columns = torch.arange(width)
        self.completion_mask = ((columns >= self.PROMPT) & (columns < self.PROMPT + lengths[:, None])).long()
        self.attention_mask = (columns < self.PROMPT + lengths[:, None]).long()
        self.input_ids = torch.randint(1, 50, (2 * num_pairs, width), generator=generator)
        self.mask = self.completion_mask[:, 1:].bool()  # the position before a token predicts it
        self.lengths, self.num_pairs = lengths.tolist(), num_pairs

        def log_probs():
            uniform = torch.rand(2 * num_pairs, width - 1, generator=generator, dtype=torch.float64)
            # Small in float32: an exponential of 50 nats would keep their rounding of 4e-6.
            values = (-0.3 if is_single else -3) * uniform**2 - 0.01
            return (values * self.mask).to(torch.float32 if is_single else torch.float64)

        self.policy = log_probs().requires_grad_()
        self.reference = 0.5 * (self.policy.detach() + log_probs())  # not far from the policy

    def inputs(self):
        return {"input_ids": self.input_ids, "attention_mask": self.attention_mask,
                "completion_mask": self.completion_mask}

    def pairs(self):
        """Our view of the same batch."""
        def sums(log_probs, lengths):
            return [math.fsum(row[mask][:n].tolist()) for row, mask, n in
                    zip(log_probs.detach().double(), self.mask, lengths)]

        n = self.num_pairs
        shared = [min(pair) for pair in zip(self.lengths[:n], self.lengths[n:])] * 2
        policy, reference = sums(self.policy, self.lengths), sums(self.reference, self.lengths)
        policy_heads, reference_heads = sums(self.policy, shared), sums(self.reference, shared)
        return [{"policy_chosen_logp": policy[i], "policy_rejected_logp": policy[i + n],
                 "reference_chosen_logp": reference[i], "reference_rejected_logp": reference[i + n],
                 "num_chosen_tokens": self.lengths[i], "num_rejected_tokens": self.lengths[i + n],
                 "head_logps": [policy_heads[i], policy_heads[i + n], reference_heads[i], reference_heads[i + n]]}
                for i in range(n)]


class LogProbs(torch.nn.Module):
    """In place of a model: returns the log-probs that it was given."""
    is_gradient_checkpointing = False

    def __init__(self, log_probs):
        super().__init__()
        self.log_probs = log_probs

    def forward(self, **_):
        zeros = torch.zeros_like(self.log_probs)
        return types.SimpleNamespace(log_probs=self.log_probs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool(),
                                     log_sum_sq_probs=zeros)


def trl_loss(batch, loss_types, loss_weights=None, beta=0.1, gamma=None, label_smoothing=0.0, ld_alpha=None,
             f_divergence_type="reverse_kl", f_alpha_divergence_coef=0.5, discopop_tau=0.05):
    """TRL's loss, its logged metrics and the gradient by the policy's token log-probs."""
    from trl import DPOTrainer

    # beta*(log pi - log pi0^(gamma/beta)): how gamma gets into TRL.
    reference = batch.reference * (1 if gamma is None else gamma / beta)
    trainer = DPOTrainer.__new__(DPOTrainer)
    model = LogProbs(batch.policy)
    vars(trainer).update(
        model=model, ref_model=LogProbs(reference), accelerator=Accelerator(), aux_loss_enabled=False,
        precompute_ref_logps=False, use_weighting=False, beta=beta, label_smoothing=label_smoothing, ld_alpha=ld_alpha,
        f_divergence_type=f_divergence_type, f_alpha_divergence_coef=f_alpha_divergence_coef, loss_types=loss_types,
        loss_weights=loss_weights or [1.0] * len(loss_types), _total_train_tokens=0, _tp_size=1,
        _metrics={"train": collections.defaultdict(list)},
        args=types.SimpleNamespace(discopop_tau=discopop_tau, gradient_checkpointing_kwargs=None))
    batch.policy.grad = None
    loss = trainer._compute_loss(model, batch.inputs(), return_outputs=False)
    loss.backward()
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    return loss.item(), metrics, batch.policy.grad


def mean(values):
    return math.fsum(values) / len(values)


def close(actual, expected, tolerance):
    assert actual == pytest.approx(expected, rel=tolerance, abs=tolerance)


def check_metrics(metrics, values, tolerance):
    close(mean([value["chosen_reward"] for value in values]), metrics["rewards/chosen"], tolerance)
    close(mean([value["rejected_reward"] for value in values]), metrics["rewards/rejected"], tolerance)
    margins = [value["chosen_reward"] - value["rejected_reward"] for value in values]
    close(mean(margins), metrics["rewards/margins"], tolerance)


def check_gradient(gradient, batch, values, tolerance, tail_weight=1.0):
    """d mean loss / d token log-prob; behind the shared length each token counts `tail_weight`."""
    n = batch.num_pairs
    for side, name in enumerate(POLICY_SLOPES):
        for i, value in enumerate(values):
            row = i + side * n
            tokens = gradient[row][batch.mask[row]].tolist()
            shared = min(batch.lengths[i], batch.lengths[i + n])
            for position, slope in enumerate(tokens):
                expected = value[name] * (1 if position < shared else tail_weight) / n
                close(expected, slope, tolerance)


# ---- each loss type

PLAIN = {
    "sigmoid": [{}], "hinge": [{}], "ipo": [{}], "exo_pair": [{"label_smoothing": 0.001}, {"label_smoothing": 0.2}],
    "nca_pair": [{}], "robust": [{}, {"label_smoothing": 0.1}, {"label_smoothing": 0.4}], "bco_pair": [{}],
    "sppo_hard": [{}], "aot": [{}, {"label_smoothing": 0.1}], "aot_unpaired": [{}, {"label_smoothing": 0.1}],
    "apo_zero": [{}], "apo_down": [{}], "discopop": [{}, {"discopop_tau": 0.4}], "sigmoid_norm": [{}],
}
WITH_DIVERGENCE = ["sigmoid", "hinge", "ipo", "exo_pair", "robust", "discopop", "sigmoid_norm"]
DIVERGENCES = [{"f_divergence_type": "forward_kl"}, {"f_divergence_type": "js_divergence"},
               {"f_divergence_type": "alpha_divergence"},
               {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 1.7}]
WEIGHTS = [{}, {"beta": 0.03}, {"beta": 1.5}, {"beta": 0.1, "gamma": 0.3}, {"beta": 0.2, "gamma": 0.0}]


def loss_cases():
    for name, own_sets in PLAIN.items():
        divergences = [{}, *DIVERGENCES] if name in WITH_DIVERGENCE else [{}]
        for own, divergence in itertools.product(own_sets, divergences):
            yield name, own | divergence


def label(case):
    name, own = case
    return ":".join([name, *(f"{key}={value}" for key, value in own.items())])


def test_all_loss_types_of_trl_are_here():
    from trl import DPOConfig

    import inspect
    import trl.trainer.dpo_trainer as module

    source = inspect.getsource(module.DPOTrainer._compute_loss)
    names = [line.split('"')[1] for line in source.splitlines() if 'if loss_type == "' in line]
    assert sorted(names) == sorted([*PLAIN, "sft"])
    assert DPOConfig.__dataclass_fields__["beta"].default == 0.1


@pytest.mark.parametrize("case", list(loss_cases()), ids=label)
def test_loss(case, evaluate):
    name, own = case
    is_single = own.get("f_divergence_type") == "alpha_divergence"
    tolerance = SINGLE if is_single or name == "exo_pair" else DOUBLE
    for seed, weights in enumerate(WEIGHTS):
        batch = Batch(seed, is_single=is_single)
        loss, metrics, gradient = trl_loss(batch, [name], **weights, **own)
        values = evaluate({"name": name, "parameters": weights | own}, batch.pairs())
        close(mean([value["loss"] for value in values]), loss, tolerance)
        check_metrics(metrics, values, tolerance)
        check_gradient(gradient, batch, values, tolerance)


@pytest.mark.parametrize("name", [name for name in PLAIN if name not in WITH_DIVERGENCE])
def test_divergence_is_refused_where_trl_refuses_it(name, evaluate_lines):
    request = {"name": name, "parameters": {"f_divergence_type": "js_divergence"}}
    (result,) = evaluate_lines([(request, Batch(0).pairs())])
    assert "f_divergence_type" in result["error"]


def test_exo_pair_without_smoothing_is_refused(evaluate_lines):
    (result,) = evaluate_lines([({"name": "exo_pair", "parameters": {"label_smoothing": 0.0}}, Batch(0).pairs())])
    assert "label_smoothing" in result["error"]


def test_reward_accuracy_is_strict(evaluate):
    for seed in range(5):
        batch = Batch(seed, num_pairs=9)
        with torch.no_grad():  # one pair is a tie: log-ratios equal
            for row in (2, 2 + batch.num_pairs):
                batch.policy[row] = batch.reference[row]
        _, metrics, _ = trl_loss(batch, ["sigmoid"])
        values = evaluate({"name": "sigmoid"}, batch.pairs())
        assert mean([value["logit"] > 0 for value in values]) == pytest.approx(metrics["rewards/accuracies"])


@pytest.mark.parametrize("ld_alpha", [0.0, 0.3, 0.5, 1.0])
def test_ld_alpha(ld_alpha, evaluate):
    for seed, weights in enumerate(WEIGHTS):
        batch = Batch(seed)
        loss, metrics, gradient = trl_loss(batch, ["sigmoid"], ld_alpha=ld_alpha, **weights)
        values = evaluate({"name": "ld_dpo", "parameters": weights | {"ld_alpha": ld_alpha}}, batch.pairs())
        close(mean([value["loss"] for value in values]), loss, DOUBLE)
        check_metrics(metrics, values, DOUBLE)
        check_gradient(gradient, batch, values, DOUBLE, tail_weight=ld_alpha)


# ---- sft and lists of losses: TRL averages over the tokens of the batch, ours over those of a completion


def token_weighted_sft(batch, values):
    lengths = batch.lengths[:batch.num_pairs]
    return sum(n * value["loss"] for n, value in zip(lengths, values)) / sum(lengths)


def test_sft(evaluate):
    for seed in range(4):
        batch = Batch(seed)
        loss, _, gradient = trl_loss(batch, ["sft"])
        values = evaluate({"name": "sft"}, batch.pairs())
        close(token_weighted_sft(batch, values), loss, DOUBLE)
        lengths = batch.lengths[:batch.num_pairs]
        for i, value in enumerate(values):
            slope = value[POLICY_SLOPES[0]] * lengths[i] / sum(lengths)
            assert gradient[i][batch.mask[i]].tolist() == pytest.approx([slope] * lengths[i], rel=DOUBLE)
        assert (gradient[batch.num_pairs:] == 0).all()


LISTS = [
    (["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0]),
    (["sigmoid", "sft"], [1.0, 0.005]),
    (["hinge", "ipo", "sppo_hard"], None),
    (["apo_zero", "aot", "nca_pair", "sft"], [0.5, 2.0, 0.25, 0.1]),
]


@pytest.mark.parametrize("loss_types, loss_weights", LISTS, ids=lambda x: str(x))
def test_loss_list(loss_types, loss_weights, evaluate):
    used = loss_weights or [1.0] * len(loss_types)
    for seed, weights in enumerate(WEIGHTS):
        batch = Batch(seed)
        loss, metrics, _ = trl_loss(batch, loss_types, loss_weights, **weights)
        total = 0.0
        for name, weight in zip(loss_types, used):
            values = evaluate({"name": name, "parameters": weights if name != "sft" else {}}, batch.pairs())
            total += weight * (token_weighted_sft(batch, values) if name == "sft"
                               else mean([value["loss"] for value in values]))
        close(total, loss, DOUBLE)

        # One length for all: the two averages are the same, and a weighted sum is TRL's list.
        batch = Batch(seed, chosen_lengths=[6] * 7)
        loss, metrics, gradient = trl_loss(batch, loss_types, loss_weights, **weights)
        terms = [{"weight": weight, "objective": {"name": name, "parameters": weights if name != "sft" else {}}}
                 for name, weight in zip(loss_types, used)]
        values = evaluate({"terms": terms}, batch.pairs())
        close(mean([value["loss"] for value in values]), loss, DOUBLE)
        check_metrics(metrics, values, DOUBLE)
        check_gradient(gradient, batch, values, DOUBLE)


@pytest.mark.parametrize("name, own, loss_types, loss_weights", [
    ("mpo", {}, ["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0]),
    ("rpo", {}, ["sigmoid", "sft"], [1.0, 1.0]),
    ("rpo", {"rpo_alpha": 0.005}, ["sigmoid", "sft"], [1.0, 0.005]),
])
def test_named_sums(name, own, loss_types, loss_weights, evaluate):
    for seed, weights in enumerate(WEIGHTS):
        batch = Batch(seed, chosen_lengths=[5] * 7)
        loss, metrics, gradient = trl_loss(batch, loss_types, loss_weights, **weights)
        values = evaluate({"name": name, "parameters": weights | own}, batch.pairs())
        close(mean([value["loss"] for value in values]), loss, DOUBLE)
        check_metrics(metrics, values, DOUBLE)
        check_gradient(gradient, batch, values, DOUBLE)


# ---- TRL's experimental trainers: they get logits


class LogitBatch:
    """Random logits of a vocabulary of 11 behind a prompt of one token, of which nothing is scored."""

    def __init__(self, seed, chosen_length=6, num_pairs=5):
        generator = torch.Generator().manual_seed(seed)
        rejected = torch.randint(1, 12, (num_pairs,), generator=generator).tolist()
        self.lengths = [chosen_length] * num_pairs + rejected
        self.batch = {}
        for side, lengths in (("chosen", self.lengths[:num_pairs]), ("rejected", rejected)):
            width = 1 + max(lengths)
            ids = torch.randint(0, 11, (num_pairs, width), generator=generator)
            columns, ends = torch.arange(width), torch.tensor(lengths)[:, None]
            self.batch[f"{side}_input_ids"] = ids
            self.batch[f"{side}_attention_mask"] = (columns <= ends).long()
            self.batch[f"{side}_labels"] = torch.where((columns >= 1) & (columns <= ends), ids, -100)
        width = 1 + max(self.lengths)
        self.logits = 2 * torch.randn(2 * num_pairs, width, 11, generator=generator, dtype=torch.float64)
        self.num_pairs = num_pairs

    def pairs(self):
        n, sums = self.num_pairs, []
        for row, length in enumerate(self.lengths):
            ids = self.batch["chosen_input_ids" if row < n else "rejected_input_ids"][row % n]
            log_probs = self.logits[row].log_softmax(-1)
            sums.append(math.fsum(log_probs[t, ids[t + 1]].item() for t in range(length)))
        return [{"policy_chosen_logp": sums[i], "policy_rejected_logp": sums[i + n],
                 "num_chosen_tokens": self.lengths[i], "num_rejected_tokens": self.lengths[i + n]} for i in range(n)]


def experimental_loss(trainer_class, batch, **attributes):
    """The loss of a CPOTrainer or ORPOTrainer."""
    trainer = trainer_class.__new__(trainer_class)
    vars(trainer).update(accelerator=Accelerator(), is_encoder_decoder=False, pad_token_id=0, padding_value=0,
                         aux_loss_enabled=False, **attributes)
    model = lambda *_, **__: types.SimpleNamespace(logits=batch.logits)  # noqa: E731
    loss, metrics = trainer.get_batch_loss_metrics(model, batch.batch)
    return loss.item(), metrics


@pytest.mark.parametrize("name, own", [
    ("cpo", {}), ("cpo", {"label_smoothing": 0.1, "cpo_alpha": 0.3}), ("cpo", {"cpo_alpha": 0.0, "beta": 0.5}),
    ("simpo", {}), ("simpo", {"simpo_gamma": 1.2, "beta": 2.0, "label_smoothing": 0.2}),
    ("simpo", {"cpo_alpha": 0.7, "beta": 10.0}),
])
def test_cpo_trainer(name, own, evaluate):
    from trl.experimental.cpo import CPOTrainer

    for seed in range(4):
        batch = LogitBatch(seed)
        defaults = {"beta": 0.1, "label_smoothing": 0.0, "simpo_gamma": 0.5, "cpo_alpha": 1.0 if name == "cpo" else 0.0}
        loss, metrics = experimental_loss(CPOTrainer, batch, alpha=0.0,
                                          loss_type="sigmoid" if name == "cpo" else "simpo", **defaults | own)
        values = evaluate({"name": name, "parameters": own}, batch.pairs())
        close(mean([value["loss"] for value in values]), loss, DOUBLE)
        if name == "cpo":  # simpo's rewards in TRL are per token, ours are sums for all objectives
            close(mean([value["chosen_reward"] for value in values]), metrics["rewards/chosen"], DOUBLE)
            close(mean([value["rejected_reward"] for value in values]), metrics["rewards/rejected"], DOUBLE)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_orpo_trainer(beta, evaluate):
    """TRL's NLL is over prompt and completion; behind a prompt of one token that is the completion's."""
    from trl.experimental.orpo import ORPOTrainer

    for seed in range(4):
        batch = LogitBatch(seed)
        loss, metrics = experimental_loss(ORPOTrainer, batch, beta=beta)
        values = evaluate({"name": "orpo", "parameters": {"beta": beta}}, batch.pairs())
        close(mean([value["loss"] for value in values]), loss, SINGLE)
        close(mean([value["logit"] for value in values]), float(metrics["log_odds_chosen"]), SINGLE)


def test_odds_ratio_loss(evaluate):
    from trl.experimental.orpo import ORPOTrainer

    trainer = ORPOTrainer.__new__(ORPOTrainer)
    vars(trainer).update(beta=0.2, accelerator=Accelerator())
    chosen = torch.tensor([-0.01, -0.5, -2.0, -7.0], dtype=torch.float64)
    rejected = torch.tensor([-3.0, -0.5, -0.03, -1.0], dtype=torch.float64)
    ratios = -trainer.odds_ratio_loss(chosen, rejected)[0].double()
    pairs = [{"policy_chosen_logp": 4 * c, "policy_rejected_logp": 8 * r, "num_chosen_tokens": 4,
              "num_rejected_tokens": 8} for c, r in zip(chosen.tolist(), rejected.tolist())]
    values = evaluate({"name": "orpo", "parameters": {"beta": 0.2}}, pairs)
    for value, c, ratio in zip(values, chosen.tolist(), ratios.tolist()):
        close(value["loss"] + c, ratio, SINGLE)
