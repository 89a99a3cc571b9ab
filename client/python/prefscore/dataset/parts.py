# SPDX-License-Identifier: Apache-2.0
"""A folder of checkpoints: scored rows in parts, each written once and whole.

`settings.json` tells what the rows were scored with; `part-FIRST-END.parquet` holds the columns of the rows in
[FIRST, END) and, in its metadata, a digest of those rows' inputs. A part appears under its name only when all of it is
on the disk, so a run that is killed at any point leaves whole parts, without a gap.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ..errors import FailedPrecondition, MissingExtra
from .whole_file import locked

_PART_NAME = re.compile(r"part-(\d{12})-(\d{12})\.parquet")
_DIGEST_KEY = b"prefscore_input_digest"


@dataclass(frozen=True, slots=True)
class Part:
    """first_row: position in the data set, from 0. input_digest: of the rows' inputs."""

    first_row: int
    records: Sequence[dict[str, Any]]
    input_digest: str


class Parts:
    """The parts in `folder`, which this object owns until it is closed. A context manager; not thread-safe.

    Raises FailedPrecondition where another run has the folder, where its parts were made with other settings, or where
    one is missing.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, str], arrow_schema: Any) -> None:
        self._folder = pathlib.Path(folder)
        self._schema = arrow_schema
        self._folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(open(self._folder / "lock", "w"))
            stack.enter_context(locked(lock, f"the folder of checkpoint {self._folder}"))
            for leftover in self._folder.glob("part-*.partial"):
                leftover.unlink()
            self._check_settings(settings)
            self._ranges = self._find_parts()
            self._lock = stack.pop_all()

    def __enter__(self) -> Parts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.close()

    @property
    def num_rows(self) -> int:
        return self._ranges[-1][1] if self._ranges else 0

    def kept(self) -> Iterator[Part]:
        """In the order of the rows."""
        import pyarrow.parquet as pq

        for first_row, end_row in self._ranges:
            path = self._path(first_row, end_row)
            table = pq.read_table(path, partitioning=None)
            if not table.schema.equals(self._schema) or len(table) != end_row - first_row:
                raise FailedPrecondition(f"{path} is no part of this checkpoint: its rows or columns are others")
            digest = (table.schema.metadata or {}).get(_DIGEST_KEY, b"").decode()
            yield Part(first_row, table.to_pylist(), digest)

    def append(self, part: Part) -> None:
        """Returns when the part will outlast a crash of the machine."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = self._schema.with_metadata({_DIGEST_KEY: part.input_digest.encode()})
        table = pa.Table.from_pylist(list(part.records), schema)
        end_row = part.first_row + len(part.records)
        path = self._path(part.first_row, end_row)
        with open(path.with_suffix(".partial"), "wb") as file:
            pq.write_table(table, file)
            _flush(file)
        self._publish(path)
        self._ranges.append((part.first_row, end_row))

    def _check_settings(self, settings: Mapping[str, str]) -> None:
        path = self._folder / "settings.json"
        if not path.exists():
            with open(path.with_suffix(".partial"), "w", encoding="utf-8") as file:
                json.dump(dict(settings), file, indent=1)
                _flush(file)
            self._publish(path)
            return
        check_settings(f"checkpoint {self._folder}", json.loads(path.read_text(encoding="utf-8")), settings)

    def _find_parts(self) -> list[tuple[int, int]]:
        found = (_PART_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        ranges = sorted((int(match[1]), int(match[2])) for match in found if match)
        expected_first = 0
        for first_row, end_row in ranges:
            if first_row != expected_first:
                raise FailedPrecondition(f"checkpoint {self._folder}: the part from row {expected_first} on is missing")
            expected_first = end_row
        return ranges

    def _path(self, first_row: int, end_row: int) -> pathlib.Path:
        return self._folder / f"part-{first_row:012}-{end_row:012}.parquet"

    def _publish(self, path: pathlib.Path) -> None:
        os.replace(path.with_suffix(".partial"), path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def check_settings(name: str, kept: Mapping[str, str], settings: Mapping[str, str]) -> None:
    """Raises FailedPrecondition where those that are kept differ."""
    others = [
        f"{key} was {kept.get(key)!r} and is {settings.get(key)!r}"
        for key in sorted({*kept, *settings})
        if kept.get(key) != settings.get(key)
    ]
    if others:
        raise FailedPrecondition(
            f"{name} was made otherwise: {'; '.join(others)}. Give what was given then, or another folder"
        )


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def require_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise MissingExtra.of("datasets", "pyarrow") from None
