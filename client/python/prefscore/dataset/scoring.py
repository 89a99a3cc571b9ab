# SPDX-License-Identifier: Apache-2.0
"""`score_dataset`: any data set of preference pairs, with scores."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..errors import InvalidArgument
from ..types import ScoringOptions
from .columns import DEFAULT_COLUMNS, OutputColumns
from .files import as_paths, score_files
from .job import ClientSource, Existing, Job
from .run import OnError
from .summary import DatasetSummary

if TYPE_CHECKING:
    import datasets
    import pandas as pd

    Table = TypeVar("Table", datasets.Dataset, datasets.IterableDataset, pd.DataFrame)

Path = str | os.PathLike[str]


@overload
def score_dataset(
    dataset: Table,
    client: ClientSource,
    options: ScoringOptions = ...,
    *,
    columns: Sequence[str] = ...,
    existing: Existing = ...,
    on_error: OnError = ...,
    checkpoint: Path | None = ...,
    progress: bool | None = ...,
    summary: DatasetSummary | None = ...,
) -> Table: ...


@overload
def score_dataset(
    dataset: Path | Sequence[Path],
    client: ClientSource,
    options: ScoringOptions = ...,
    *,
    output: Path,
    columns: Sequence[str] = ...,
    existing: Existing = ...,
    on_error: OnError = ...,
    checkpoint: Path | None = ...,
    progress: bool | None = ...,
    summary: DatasetSummary | None = ...,
) -> pathlib.Path: ...


def score_dataset(
    dataset: Any,
    client: ClientSource,
    options: ScoringOptions = ScoringOptions(),
    *,
    output: Path | None = None,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    existing: Existing = "error",
    on_error: OnError = "keep",
    checkpoint: Path | None = None,
    progress: bool | None = None,
    summary: DatasetSummary | None = None,
) -> Any:
    """Scores each row of a data set of preference pairs; gives back the same kind of data set with columns added.

    dataset: a datasets.Dataset, a datasets.IterableDataset (scored lazily, by each pass anew), a pandas.DataFrame, or
        the path of a .jsonl or .parquet file, or a list of such paths. Rows follow TRL's conventions: `chosen`,
        `rejected` and, unless it is their common start, `prompt`, as texts or as lists of messages, with `tools` and
        `chat_template_kwargs`; or `prompt_ids`, `chosen_ids`, `rejected_ids`, which go first.
    client: a client; or, for a client of this call's own, the addresses of servers or a function that makes one.
    options: how pairs are scored. What the columns need is asked for by itself.
    output: path of the file to write, of the input's kind; for files only. It appears when it is whole.
    columns: those to add; `prefscore.dataset.columns` tells which there are.
    existing: what to do where the data set has such columns: "error"; "keep": log-probs that are there are taken as
        known and only the others computed, columns that follow from them are replaced; log-probs whose `policy_digest`
        or `reference_digest` is of another model than the server's are computed, too; "overwrite": all are computed.
    on_error: "keep": a row that cannot be scored has null numbers and its reason in the columns `prefscore_error_code`
        and `prefscore_error`; "raise": the first one ends the call.
    checkpoint: a folder for what is scored so far. The same call goes on from there, whatever ended the run before, and
        gives the same result; a row is scored twice only if it was not in the folder yet (at most 1000 rows, or 30
        seconds). Needs pyarrow.
    progress: whether to show a bar; None: on a terminal only.
    summary: filled in while rows are scored.

    Holds a bounded number of rows, except that a DataFrame's columns are in memory. Failed rows stay failed when a
    checkpoint is continued.

    Raises MissingColumns; InvalidArgument for other wrong arguments; FailedPrecondition where the checkpoint is in use,
    or is of another data set, model or options; and what `Client.stream_pairs` raises.
    """
    summary = summary if summary is not None else DatasetSummary()
    job = Job(
        client, options, OutputColumns(columns, options, on_error == "keep"), existing, on_error, checkpoint, progress,
        summary,
    )  # fmt: skip
    is_lazy, out = False, None
    if (paths := as_paths(dataset)) is not None:
        if output is None:
            raise InvalidArgument("output is missing; it names the file to write")
        out = score_files(paths, pathlib.Path(output), job)
    elif output is not None:
        raise InvalidArgument(f"output is for files; a {type(dataset).__name__} comes back with its columns")
    else:
        is_lazy, out = _score_object(dataset, job)
    if not is_lazy:
        job.log_summary()
    return out


def _score_object(dataset: Any, job: Job) -> tuple[bool, Any]:
    """(whether it is scored later, the scored data set)"""
    # Who has one of these has imported its package.
    if (module := sys.modules.get("datasets")) is not None:
        from . import hugging_face

        if isinstance(dataset, module.Dataset):
            return False, hugging_face.score_dataset(dataset, job)
        if isinstance(dataset, module.IterableDataset):
            return True, hugging_face.score_iterable(dataset, job)
        if isinstance(dataset, module.DatasetDict | module.IterableDatasetDict):
            raise InvalidArgument(f"dataset has several splits; give one of them: {', '.join(map(repr, dataset))}")
    if (module := sys.modules.get("pandas")) is not None and isinstance(dataset, module.DataFrame):
        from . import data_frames

        return False, data_frames.score_frame(dataset, job)
    raise InvalidArgument(
        "dataset must be a datasets.Dataset, a datasets.IterableDataset, a pandas.DataFrame or the path of a .jsonl or "
        f".parquet file, not {type(dataset).__name__}"
    )
