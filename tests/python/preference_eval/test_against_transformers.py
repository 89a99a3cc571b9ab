# SPDX-License-Identifier: Apache-2.0
"""A real policy and its reference on real pairs: evaluated through a server, and with transformers alone by the
formulas of RewardBench's `DPOInference.get_batch_logps`."""
import pytest

import prefscore
from prefscore.preference_eval import RULES, evaluate

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

NUM_PAIRS = 60


@pytest.fixture(scope="module")
def rows(stories_rows):
    """Labelled by the prompt's length."""
    return [dict(row, subset="long" if len(row["prompt"]) > 60 else "short") for row in stories_rows[:NUM_PAIRS]]


@pytest.fixture(scope="module")
def results(stories_server, rows):
    pairs = [prefscore.Pair(row["chosen"], row["rejected"], row["prompt"], labels={"subset": row["subset"]})
             for row in rows]  # fmt: skip
    options = prefscore.ScoringOptions(return_token_logps=True, return_token_ids=True)
    with prefscore.Client(stories_server.address, timeout_s=120) as client:
        return list(client.score_pairs(pairs, options))


def token_logps(model, prompt, completion):
    """Log-probs of the completion's tokens, float64."""
    ids = torch.tensor([[*prompt.tolist(), *completion.tolist()]])
    with torch.no_grad():
        logps = model(ids).logits.double().log_softmax(-1)
    return logps[0, len(prompt) - 1 : -1].gather(1, ids[0, len(prompt) :, None])[:, 0]


@pytest.fixture(scope="module")
def expected(test_data, results):
    """By rule, the scores of each pair's completions."""
    load = transformers.AutoModelForCausalLM.from_pretrained
    policy, reference = (load(test_data / "models" / name, dtype=torch.float32).eval()
                         for name in ("stories260k-dpo", "stories260k"))  # fmt: skip
    scores = {rule: [] for rule in RULES}
    for result in results:
        ids = result.token_ids
        of_policy, of_reference = (
            [token_logps(model, ids.prompt, completion) for completion in (ids.chosen, ids.rejected)]
            for model in (policy, reference)
        )
        scores["reference"].append([(p.sum() - r.sum()).item() for p, r in zip(of_policy, of_reference, strict=True)])
        scores["sum"].append([logps.sum().item() for logps in of_policy])
        scores["average"].append([logps.mean().item() for logps in of_policy])
        scores["norm"].append([-torch.linalg.vector_norm(logps).item() for logps in of_policy])
    return scores


@pytest.mark.parametrize("rule", RULES)
def test_the_same_pairs_are_right(results, rows, expected, rule):
    margins = [chosen - rejected for chosen, rejected in expected[rule]]
    assert min(map(abs, margins)) > 1e-5, "no pair may hang on the last bits of float32"
    evaluation = evaluate(results, rules=[rule])[rule]
    assert evaluation.overall.num_pairs == NUM_PAIRS
    for subset in ("long", "short"):
        right = [margin > 0 for margin, row in zip(margins, rows, strict=True) if row["subset"] == subset]
        assert 0 < sum(right) < len(right)
        found = evaluation.subsets[subset]
        assert (found.num_right, found.num_pairs, found.num_ties) == (sum(right), len(right), 0)
    each = [evaluate([result], rules=[rule])[rule].overall.num_right for result in results]
    assert each == [margin > 0 for margin in margins]


def test_the_rules_disagree(results):
    """Else the test above could not tell them apart."""
    found = {rule: evaluation.overall.num_right for rule, evaluation in evaluate(results, rules=RULES).items()}
    assert len(set(found.values())) == len(RULES), found
