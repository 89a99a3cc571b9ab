# SPDX-License-Identifier: Apache-2.0
"""datasets.Dataset and datasets.IterableDataset."""

from __future__ import annotations

import atexit
import contextlib
import pathlib
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import datasets
import pyarrow as pa

from ..client import Client
from ..errors import FailedPrecondition
from .job import Job
from .run import Record
from .whole_file import whole_file

_BATCH_ROWS = 1000


def score_dataset(dataset: datasets.Dataset, job: Job) -> datasets.Dataset:
    """Scores go to an Arrow file, which is mapped into memory: in the checkpoint, or in a temporary folder that lasts
    as long as the process."""
    replaced = job.replaced(dataset.column_names)
    rows = dataset.with_format(None).select_columns(job.reader(dataset.column_names).columns)
    if job.checkpoint is not None:
        folder = pathlib.Path(job.checkpoint)
        folder.mkdir(parents=True, exist_ok=True)
    else:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="prefscore-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    scored = job.scored(rows, dataset.column_names, len(dataset))
    with contextlib.closing(scored):
        scores = _write_arrow(folder / "scores.arrow", (record for _, record in scored), job.columns.arrow_schema)
    kept = dataset.with_format(None).remove_columns(replaced)
    if len(dataset) > 0:
        return _with_format_of(dataset, datasets.concatenate_datasets([kept, scores], axis=1))
    # concatenate_datasets drops what is empty, its columns too
    features = datasets.Features({**kept.features, **scores.features})
    return _with_format_of(dataset, datasets.Dataset.from_dict({name: [] for name in features}, features=features))


def _write_arrow(path: pathlib.Path, records: Iterator[Record], schema: pa.Schema) -> datasets.Dataset:
    features = datasets.Features.from_arrow_schema(schema)
    with whole_file(path) as file, pa.ipc.new_stream(file, features.arrow_schema) as writer:
        while batch := _take(records, _BATCH_ROWS):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=features.arrow_schema))
    return datasets.Dataset.from_file(str(path))


def _take(records: Iterator[Record], count: int) -> list[Record]:
    return [record for _, record in zip(range(count), records)]


def _with_format_of(dataset: datasets.Dataset, out: datasets.Dataset) -> datasets.Dataset:
    """A format of all columns is one of the new ones, too; one of some columns stays one of those."""
    wanted = dataset.format
    names = wanted["columns"]
    if set(names) == set(dataset.column_names):
        names = out.column_names
    if wanted["type"] is None and len(names) == len(out.column_names):
        return out
    return out.with_format(
        wanted["type"], columns=[name for name in names if name in out.column_names],
        output_all_columns=wanted["output_all_columns"], **wanted["format_kwargs"],
    )  # fmt: skip


def score_iterable(dataset: datasets.IterableDataset, job: Job) -> datasets.IterableDataset:
    """Lazy: each pass over the result scores."""
    features = None
    if dataset.features is not None:
        replaced = job.replaced(dataset.features)
        job.reader(dataset.features)
        kept = {name: feature for name, feature in dataset.features.items() if name not in replaced}
        features = datasets.Features(kept | dict(datasets.Features.from_arrow_schema(job.columns.arrow_schema)))
    scored = datasets.IterableDataset.from_generator(_Rows(dataset.with_format(None), job), features=features)
    formatting = getattr(dataset, "_formatting", None)  # there is no public name for it
    return scored if formatting is None else scored.with_format(formatting.format_type)


class _Rows:
    """The generator function of a scored IterableDataset."""

    def __init__(self, dataset: datasets.IterableDataset, job: Job) -> None:
        self._dataset = dataset
        self._job = job

    def __call__(self) -> Iterator[Record]:
        _check_not_shared()
        job = self._job
        present = None if self._dataset.features is None else list(self._dataset.features)
        with contextlib.closing(job.scored(self._dataset, present, None)) as scored:
            for row, record in scored:
                job.replaced(row)
                yield {**row, **record}
        job.log_summary()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # datasets pickles it to get a fingerprint, with a DataLoader's workers it is unpickled, too.
        if isinstance(self._job.client, Client):
            key = id(self)
            _of_this_process[key] = self
            return _find, (key,)
        return _Rows, (self._dataset, self._job)


_of_this_process: weakref.WeakValueDictionary[int, _Rows] = weakref.WeakValueDictionary()


def _find(key: int) -> _Rows:
    try:
        return _of_this_process[key]
    except KeyError:
        raise FailedPrecondition(
            "a Client cannot go to another process: give score_dataset the servers' addresses in its place"
        ) from None


def _check_not_shared() -> None:
    if (torch_data := sys.modules.get("torch.utils.data")) is None:  # who is a worker has imported it
        return
    worker = torch_data.get_worker_info()
    if worker is not None and worker.num_workers > 1:
        # The input would give each worker a share of its rows, and only the first worker asks.
        raise FailedPrecondition(
            f"a scored IterableDataset cannot be read by {worker.num_workers} workers of a DataLoader: use "
            "num_workers=1, or score to a file first"
        )
