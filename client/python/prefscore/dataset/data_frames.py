# SPDX-License-Identifier: Apache-2.0
"""pandas.DataFrame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pandas as pd

from ..errors import InvalidArgument
from .columns import Kind
from .job import Job
from .run import Record

# Integers that are null in failed rows stay integers.
_DTYPES: dict[Kind, str] = {"float64": "float64", "float32": "float32", "int32": "Int32", "bool": "boolean"}


def score_frame(frame: pd.DataFrame, job: Job) -> pd.DataFrame:
    """A new frame with the same index. Null numbers are NaN, null counts pandas.NA, null texts None."""
    names = list(frame.columns)
    if not frame.columns.is_unique:
        raise InvalidArgument("the data frame has two columns of one name")
    replaced = job.replaced(names)
    values: dict[str, list[Any]] = {name: [] for name in job.columns.names}
    with contextlib.closing(job.scored(_rows(frame, job), names, len(frame))) as scored:
        for _, record in scored:
            for name, value in record.items():
                values[name].append(value)
    out = frame.drop(columns=replaced)
    new = {
        name: pd.Series(values[name], index=frame.index, dtype=_DTYPES.get(kind, "object"), name=name)
        for name, kind in job.columns.kinds.items()
    }
    scored_frame: pd.DataFrame = out.assign(**new)
    return scored_frame


def _rows(frame: pd.DataFrame, job: Job) -> Iterator[Record]:
    names = job.reader(frame.columns).columns
    for cells in zip(*(frame[name] for name in names), strict=True):
        yield dict(zip(names, cells, strict=True))
