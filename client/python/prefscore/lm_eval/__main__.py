# SPDX-License-Identifier: Apache-2.0
"""The harness's own command line, which then knows `--model prefscore`: it looks for no plugins by itself."""

from lm_eval.__main__ import cli_evaluate

from . import PrefscoreLM  # noqa: F401  registers the model

cli_evaluate()
