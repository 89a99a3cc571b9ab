# SPDX-License-Identifier: Apache-2.0
"""What `score_parquet` keeps in folders, of this machine or elsewhere: paths or URIs as pyarrow.fs knows them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
import pyarrow.fs

from ..dataset.parts import check_settings
from ..errors import FailedPrecondition, InvalidArgument, MissingColumns

# How Ray names the checkpoint of a file that is not confirmed yet.
_PENDING = ".pending.parquet"


def absolute(path: str) -> str:
    """A URI as it is; a path as it is on every node."""
    return path if "://" in path else os.path.abspath(path)


def read_ids(inputs: Sequence[str], id_column: str) -> tuple[pa.ChunkedArray, list[str]]:
    """The ids, and the names of all columns. Raises MissingColumns, or InvalidArgument where the ids are no ids."""
    rows = _open(inputs)
    if not rows.files:
        raise InvalidArgument(f"there is no Parquet file at {', '.join(inputs)}")
    if id_column not in rows.schema.names:
        raise MissingColumns(
            f"the data set has no column {id_column!r}, the id_column; it has: "
            + ", ".join(map(repr, rows.schema.names))
        )
    ids = rows.to_table(columns=[id_column])[id_column]
    if ids.null_count > 0:
        raise InvalidArgument(f"id_column {id_column!r}: {ids.null_count} of {len(ids)} values are null")
    if len(repeated := _repeated(ids)) > 0:
        raise InvalidArgument(f"id_column {id_column!r}: {len(repeated)} values are not unique, such as {repeated[0]}")
    return ids, rows.schema.names


def check_ids(output: str, id_column: str, expected: pa.ChunkedArray) -> None:
    """Raises FailedPrecondition unless each id is there exactly once."""
    rows = _open([output])
    found = rows.to_table(columns=[id_column])[id_column] if rows.files else expected.slice(0, 0)
    repeated = _repeated(found)
    missing = expected.filter(pc.invert(pc.is_in(expected, value_set=found)))
    foreign = found.filter(pc.invert(pc.is_in(found, value_set=expected)))
    wrong = [
        f"{len(ids)} are {what}, such as {ids[0]}"
        for ids, what in ((repeated, "there more than once"), (missing, "missing"), (foreign, "of no input"))
        if len(ids) > 0
    ]
    if wrong:
        raise FailedPrecondition(f"{output} does not hold each row once; of the ids {'; '.join(wrong)}")


def num_rows(folder: str, only: pc.Expression | None = None) -> int:
    rows = _open([folder])
    return int(rows.count_rows(filter=only)) if rows.files else 0


def begin_or_go_on(checkpoint: str, output: str, settings: Mapping[str, str]) -> None:
    """Raises FailedPrecondition where the folders are of another call."""
    filesystem, folder = _locate(checkpoint)
    path = f"{folder}/settings.json"
    if filesystem.get_file_info(path).type == pyarrow.fs.FileType.File:
        with filesystem.open_input_stream(path) as file:
            check_settings(f"checkpoint {checkpoint}", json.loads(file.read()), settings)
        return
    if _open([output]).files:
        raise FailedPrecondition(f"{output} holds files, and no checkpoint is at {checkpoint}: give another folder")
    filesystem.create_dir(f"{folder}/rows", recursive=True)
    with filesystem.open_output_stream(path) as file:
        file.write(json.dumps(dict(settings), indent=1).encode())


def _locate(path: str) -> tuple[pyarrow.fs.FileSystem, str]:
    located: tuple[pyarrow.fs.FileSystem, str] = pyarrow.fs.FileSystem.from_uri(absolute(path))
    return located


def _open(paths: Sequence[str]) -> Any:
    """A pyarrow.dataset of the Parquet files at these places, which are of one file system. Without any it has no
    columns."""
    files: list[str] = []
    for path in paths:
        filesystem, place = _locate(path)
        info = filesystem.get_file_info(place)
        if info.type == pyarrow.fs.FileType.File:
            files.append(place)
        elif info.type == pyarrow.fs.FileType.Directory:
            inside = filesystem.get_file_info(pyarrow.fs.FileSelector(place, recursive=True))
            files += sorted(i.path for i in inside if i.path.endswith(".parquet") and not i.path.endswith(_PENDING))
    schema = None if files else pa.schema([])
    return pds.dataset(files, schema=schema, filesystem=filesystem, format="parquet")


def _repeated(ids: pa.ChunkedArray) -> pa.Array:
    counts = pc.value_counts(ids)
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))
