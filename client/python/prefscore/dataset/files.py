# SPDX-License-Identifier: Apache-2.0
"""Files of JSON lines and Parquet files: read and written row by row, whatever their size."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import IO, Any

from ..errors import InvalidArgument
from .job import Job
from .parts import require_pyarrow
from .run import BadRow, Record, Scored
from .whole_file import whole_file

_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_BATCH_ROWS = 1000

Paths = Sequence[pathlib.Path]


def as_paths(value: Any) -> Paths | None:
    """A path, or a list of them; None for anything else."""
    values = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(values, list | tuple) or not values:
        return None
    if not all(isinstance(path, str | os.PathLike) for path in values):
        return None
    return [pathlib.Path(path) for path in values]


def score_files(inputs: Paths, output: pathlib.Path, job: Job) -> pathlib.Path:
    """The rows of all inputs, in their order, in one file; it appears when it is whole."""
    is_json = _is_json(output)
    for path in inputs:
        if _is_json(path) != is_json:
            raise InvalidArgument(f"output {output} and input {path} must be of one kind: JSON lines or Parquet")
        if not path.is_file():
            raise InvalidArgument(f"there is no file {path}")
        if output.exists() and output.samefile(path):
            raise InvalidArgument(f"output and input are the same file: {path}")
        if path.suffix == ".json" and _is_one_value(path):
            raise InvalidArgument(f"{path} is one JSON value over all of its lines; needed is an object on each line")
    with whole_file(output) as file:
        (_score_json if is_json else _score_parquet)(inputs, file, job)
    return output


def _is_json(path: pathlib.Path) -> bool:
    if path.suffix in _JSON_SUFFIXES:
        return True
    if path.suffix == ".parquet":
        return False
    raise InvalidArgument(f"{path} is named neither .jsonl nor .parquet")


# --- JSON lines -----------------------------------------------------------------------------------------------------


def _score_json(inputs: Paths, output: IO[bytes], job: Job) -> None:
    with contextlib.closing(job.scored(_json_rows(inputs), None, None)) as scored:
        for row, record in scored:
            job.replaced(row)
            output.write(_json_line({**row, **record}))


def _json_rows(inputs: Paths) -> Iterator[Record | BadRow]:
    for path in inputs:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _json_row(line, f"{path.name}, line {number}")


def _is_one_value(path: pathlib.Path) -> bool:
    with open(path, "rb") as file:
        begin = file.read(100).strip()
    return begin.startswith(b"[") or begin.partition(b"\n")[0].strip() == b"{"


def _json_row(line: bytes, where: str) -> Record | BadRow:
    try:
        row = json.loads(line)
    except ValueError as error:  # no JSON, or no UTF-8
        return BadRow(f"{where}: is no JSON: {error}")
    return row if isinstance(row, dict) else BadRow(f"{where}: must be a JSON object, not {type(row).__name__}")


def _json_line(row: Record) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can only escape
        return json.dumps(row).encode() + b"\n"


# --- Parquet --------------------------------------------------------------------------------------------------------


def _score_parquet(inputs: Paths, output: IO[bytes], job: Job) -> None:
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(inputs[0])
    for path in inputs[1:]:
        if not pq.read_schema(path).equals(schema):
            raise InvalidArgument(f"{path} and {inputs[0]} have different columns")
    replaced = job.replaced(schema.names)
    kept_schema = pa.schema([field for field in schema if field.name not in replaced], schema.metadata)
    needed = job.reader(schema.names).columns
    rows = (row for batch in _batches(inputs, needed) for row in batch.to_pylist())
    num_rows = sum(pq.read_metadata(path).num_rows for path in inputs)
    with contextlib.closing(job.scored(rows, schema.names, num_rows)) as scored:
        _write_parquet(inputs, kept_schema, scored, output, job)


def _batches(inputs: Paths, columns: Sequence[str]) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for path in inputs:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(_BATCH_ROWS, columns=list(columns))


def _write_parquet(inputs: Paths, input_schema: Any, scored: Iterator[Scored], output: IO[bytes], job: Job) -> None:
    """Reads the inputs a second time: their columns come out as they went in."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([*input_schema, *job.columns.arrow_schema], input_schema.metadata)
    with pq.ParquetWriter(output, schema) as writer:
        for batch in _batches(inputs, input_schema.names):
            records = [record for _, (_, record) in zip(range(len(batch)), scored)]
            scores = pa.RecordBatch.from_pylist(records, schema=job.columns.arrow_schema)
            columns = [batch.column(name) for name in input_schema.names]
            writer.write_batch(pa.RecordBatch.from_arrays([*columns, *scores.columns], schema=schema))
