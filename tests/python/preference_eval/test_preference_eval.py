# SPDX-License-Identifier: Apache-2.0
import dataclasses
import math

import pytest
from scipy.stats import binomtest

from prefscore import InvalidArgument
from prefscore.preference_eval import REWARD_BENCH, RULES, Sections, evaluate

RIGHT, WRONG, TIE = ([-1.0], [-2.0]), ([-2.0], [-1.0]), ([-1.0], [-1.0])


@pytest.fixture
def subset_of(make_result):
    """subset_of(name, right=2, wrong=1, ...): results of one subset, ranked so by the rule "sum"."""

    def make(name, right=0, wrong=0, tied=0, failed=0):
        return (
            [make_result(*RIGHT, subset=name) for _ in range(right)]
            + [make_result(*WRONG, subset=name) for _ in range(wrong)]
            + [make_result(*TIE, subset=name) for _ in range(tied)]
            + [make_result(subset=name, failed=True) for _ in range(failed)]
        )

    return make


def accuracies(result):
    return {rule: evaluation.overall.accuracy for rule, evaluation in evaluate([result], rules=RULES).items()}


def test_the_rules_rank_by_what_they_are_said_to(make_result):
    # Sums -3 and -2.5; per token -1 and -2.5; norms sqrt(3) and 2.5; log-ratios +1 and -1.
    assert accuracies(make_result([-1, -1, -1], [-2.5], [-4], [-1.5])) == {
        "reference": 1, "sum": 0, "average": 1, "norm": 1,
    }  # fmt: skip
    # Sums -4 and -4.2; per token -4 and -1.05; norms 4 and 2.1; log-ratios -2 and +0.8.
    assert accuracies(make_result([-4], [-1.05] * 4, [-2], [-5])) == {
        "reference": 0, "sum": 1, "average": 0, "norm": 0,
    }  # fmt: skip


def test_a_tie_is_wrong_and_is_told(subset_of):
    found = evaluate(subset_of("a", right=3, wrong=2, tied=1), rules=["sum", "norm"])["sum"].subsets["a"]
    assert (found.num_pairs, found.num_right, found.num_ties) == (6, 3, 1)
    assert found.accuracy == 0.5


def test_failed_pairs_are_counted_apart(subset_of):
    evaluation = evaluate(subset_of("a", right=1, wrong=1, failed=3) + subset_of("b", failed=2), rules=["sum"])["sum"]
    assert evaluation.overall.accuracy == 0.5 and evaluation.overall.num_failed == 5
    assert evaluation.subsets["a"].num_failed == 3
    nothing = evaluation.subsets["b"]
    assert nothing.num_pairs == 0 and math.isnan(nothing.accuracy) and nothing.interval is None
    assert "3 failed" in str(evaluation) and "nan" in str(evaluation)


def test_subsets_are_those_of_the_label(subset_of, make_result):
    results = subset_of("b", right=1) + subset_of("a", wrong=1) + [make_result(*RIGHT)]
    evaluation = evaluate(results, rules=["sum"])["sum"]
    assert {name: found.accuracy for name, found in evaluation.subsets.items()} == {"": 1, "a": 0, "b": 1}
    assert list(evaluation.subsets) == ["", "a", "b"]
    assert list(evaluate(results, rules=["sum"], subset_label="else")["sum"].subsets) == [""]
    assert evaluation.sections == {} and evaluation.score is None


def test_intervals_of_subsets_are_wilsons(subset_of):
    evaluation = evaluate(subset_of("a", right=7, wrong=3), rules=["sum"], confidence=0.9)["sum"]
    expected = binomtest(7, 10).proportion_ci(0.9, method="wilson")
    assert evaluation.subsets["a"].interval == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert "90% interval" in str(evaluation)


def test_sections_weigh_pairs_and_the_score_weighs_sections(subset_of):
    sections = Sections({"one": ["a", "b"], "two": ["c"]}, {"b": 4})
    results = subset_of("a", right=6, wrong=2) + subset_of("b", right=1, wrong=1) + subset_of("c", right=1)
    evaluation = evaluate(results, rules=["sum"], sections=sections)["sum"]
    one = (8 * 0.75 + 4 * 2 * 0.5) / (8 + 4 * 2)
    assert evaluation.sections["one"].accuracy == pytest.approx(one)
    assert evaluation.sections["two"].accuracy == 1
    assert evaluation.score.accuracy == pytest.approx((one + 1) / 2)
    assert evaluation.score.interval.low < evaluation.score.accuracy < evaluation.score.interval.high
    assert evaluation.overall.accuracy == pytest.approx(8 / 11), "the overall accuracy weighs nothing"
    assert "mean of the sections" in str(evaluation)


def test_there_is_no_score_of_a_part(subset_of):
    sections = Sections({"one": ["a", "b"], "two": ["c"]})
    evaluation = evaluate(subset_of("a", right=1) + subset_of("b", failed=1), rules=["sum"], sections=sections)["sum"]
    assert list(evaluation.sections) == ["one"] and evaluation.score is None
    assert "score" not in str(evaluation)


def test_reward_bench_weighs_mathematics_as_code(subset_of):
    # RewardBench's table of examples: mathematics counts 984, as many as the six languages of 164 pairs each.
    results = subset_of("math-prm", right=447)
    for language in ("cpp", "go", "java", "js", "python", "rust"):
        results += subset_of(f"hep-{language}", wrong=164)
    evaluation = evaluate(results, rules=["sum"], sections=REWARD_BENCH)["sum"]
    assert evaluation.sections["Reasoning"].accuracy == pytest.approx(0.5)
    assert len({name for names in REWARD_BENCH.subsets.values() for name in names}) == 23


@pytest.mark.parametrize(
    ("lack", "rule", "told"),
    [
        ({"chosen_logratio": None}, "reference", "needs the reference's log-probs"),
        ({"policy_chosen_logp": None}, "sum", "needs the policy's log-probs"),
        ({"num_rejected_tokens": 0}, "average", "needs the numbers of tokens"),
        ({"token_logps": None}, "norm", "return_token_logps=True"),
    ],
)
def test_what_a_rule_needs_is_told(make_result, lack, rule, told):
    result = dataclasses.replace(make_result(*RIGHT, *RIGHT, index=7), **lack)
    with pytest.raises(InvalidArgument, match=rf"results\[7\]: the rule '{rule}' .*{told}"):
        evaluate([result], rules=[rule])
    evaluate([result], rules=[other for other in RULES if other not in (rule, "average")])


def test_wrong_arguments_are_told(subset_of, make_result):
    with pytest.raises(InvalidArgument, match="there is no 'avg'; there are reference, sum, average, norm"):
        evaluate([], rules=["avg"])
    for confidence in (0, 1, 95, math.nan):
        with pytest.raises(InvalidArgument, match=f"confidence is {confidence}"):
            evaluate([], confidence=confidence)
    with pytest.raises(InvalidArgument, match="named twice: a"):
        Sections({"one": ["a"], "two": ["a"]})
    with pytest.raises(InvalidArgument, match="'b' is in no section"):
        Sections({"one": ["a"]}, {"b": 2})
    with pytest.raises(InvalidArgument, match=r"pair_weights\['a'\] is 0"):
        Sections({"one": ["a"]}, {"a": 0})
    with pytest.raises(InvalidArgument, match="label 'subset': 'chatt' is in no section; the sections hold chat"):
        evaluate(subset_of("chatt", right=1), rules=["sum"], sections=Sections({"one": ["chat"]}))
    with pytest.raises(InvalidArgument, match="a pair does not have the label"):
        evaluate([make_result(*RIGHT)], rules=["sum"], sections=Sections({"one": ["chat"]}))


def test_nothing_is_an_evaluation_of_nothing():
    evaluation = evaluate([])["reference"]
    assert evaluation.overall.num_pairs == 0 and evaluation.subsets == {}
