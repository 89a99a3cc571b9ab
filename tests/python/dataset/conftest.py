# SPDX-License-Identifier: Apache-2.0
"""Rows for the data set tests, and what the fake server makes of them."""

import pytest


@pytest.fixture
def rows():
    return [
        {
            "prompt": f"Question {idx}?",
            "chosen": " Yes" + "!" * (idx % 5),
            "rejected": " No" * (1 + idx % 3),
            "source": idx,
        }
        for idx in range(25)
    ]


@pytest.fixture
def expected(rows):
    """The fake server's log-probs of `rows`: columns by name."""
    chosen, rejected = ([-float(len(row[side])) for row in rows] for side in ("chosen", "rejected"))
    return {
        "policy_chosen_logp": chosen,
        "policy_rejected_logp": rejected,
        "ref_chosen_logps": [0.5 * logp for logp in chosen],
        "ref_rejected_logps": [0.5 * logp for logp in rejected],
        "policy_margin": [a - b for a, b in zip(chosen, rejected)],
    }
