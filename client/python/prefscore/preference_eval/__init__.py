# SPDX-License-Identifier: Apache-2.0
"""Evaluates a preference-tuned model as RewardBench evaluates a DPO model: how often does it score the chosen
completion above the rejected one, by subset?

    evaluations = preference_eval.evaluate(client.stream_pairs(pairs), subset_label="category")
    print(evaluations["reference"])

| rule        | a completion's score                                                                 |
|-------------|--------------------------------------------------------------------------------------|
| "reference" | its log-prob under the policy less that under the reference, summed over its tokens  |
| "sum"       | its log-prob under the policy, summed over its tokens                                |
| "average"   | the same per token                                                                   |
| "norm"      | minus the Euclidean norm of the policy's log-probs of its tokens                     |

A pair is right where score(chosen) > score(rejected). A tie counts as wrong, as in RewardBench, and is told in
`num_ties`.
"""

from .evaluation import Accuracy, Evaluation, WeightedAccuracy, evaluate
from .intervals import Interval
from .rules import RULES, Rule
from .sections import REWARD_BENCH, Sections

__all__ = [
    "REWARD_BENCH",
    "RULES",
    "Accuracy",
    "Evaluation",
    "Interval",
    "Rule",
    "Sections",
    "WeightedAccuracy",
    "evaluate",
]
