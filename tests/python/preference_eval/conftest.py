# SPDX-License-Identifier: Apache-2.0
"""Results as a server gives them, with made-up numbers."""
import dataclasses

import numpy as np
import pytest

from prefscore import PairError, PairResult, PairTokenLogProbs

NOTHING = {field.name: None for field in dataclasses.fields(PairResult)}


def _float32s(values):
    return np.asarray(values, np.float32)


@pytest.fixture
def make_result():
    """make_result(chosen, rejected, reference_chosen, reference_rejected, ...): from log-probs per token."""

    def make(chosen=(), rejected=(), reference_chosen=None, reference_rejected=None, *, subset=None, failed=False,
             index=0):  # fmt: skip
        result = dict(NOTHING, id="", index=index, labels={} if subset is None else {"subset": subset},
                      num_chosen_tokens=len(chosen), num_rejected_tokens=len(rejected))  # fmt: skip
        if failed:
            return PairResult(**dict(result, error=PairError("OUT_OF_RANGE", "the pair is too long", ())))
        result.update(policy_chosen_logp=sum(chosen), policy_rejected_logp=sum(rejected))
        result["token_logps"] = PairTokenLogProbs(_float32s(chosen), _float32s(rejected), _float32s([]), _float32s([]))
        if reference_chosen is not None:
            result.update(chosen_logratio=sum(chosen) - sum(reference_chosen),
                          rejected_logratio=sum(rejected) - sum(reference_rejected))  # fmt: skip
        return PairResult(**result)

    return make
