# SPDX-License-Identifier: Apache-2.0
"""Data sets of preference pairs, scored row by row: `score_dataset`."""

from .columns import DEFAULT_COLUMNS
from .scoring import score_dataset
from .summary import DatasetSummary

__all__ = ["DEFAULT_COLUMNS", "DatasetSummary", "score_dataset"]
