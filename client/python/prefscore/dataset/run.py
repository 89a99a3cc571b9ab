# SPDX-License-Identifier: Apache-2.0
"""Rows in, the same rows with their scores out, in order: the part that all kinds of data sets share."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import grpc
from google.rpc import status_pb2

from .. import convert
from ..client import Client
from ..errors import FailedPrecondition, InvalidArgument, PairError, from_status
from ..types import KnownLogProbs, Model, Pair, PairResult, ScoringOptions
from .columns import OutputColumns, objective_text
from .parts import Part, Parts
from .rows import RowReader
from .summary import DatasetSummary

OnError = Literal["keep", "raise"]
Record = dict[str, Any]

# A part ends after so many rows, or so long after its first one: what a killed run loses is bounded either way.
PART_ROWS = 1000
PART_SECONDS = 30.0
_MESSAGE_OVERHEAD_BYTES = 64  # around a pair in its stream message

# Sent in place of a row that makes no pair: no work for the server, it keeps the place in the stream, so that order
# and back-pressure are those of all rows.
_NO_PAIR = Pair(None, None, known=KnownLogProbs(-1.0, -1.0, -1.0, -1.0))


class Scored(NamedTuple):
    row: Mapping[str, Any]
    record: Record


class BadRow(NamedTuple):
    """A row that could not be read, in the place of its values."""

    message: str


class _Sent(NamedTuple):
    """A row whose result is to come."""

    row: Mapping[str, Any]
    fault: PairError | None
    digest: bytes
    kept_digests: Mapping[str, Any]  # columns of the result


class Run:
    """One data set's scoring, all its settings checked. Not thread-safe.

    options: those given, with the digests of the models that the server has now: where it comes back with others, the
        run fails.
    """

    def __init__(
        self,
        client: Client,
        options: ScoringOptions,
        columns: OutputColumns,
        on_error: OnError,
        summary: DatasetSummary,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._columns = columns
        self._on_error = on_error
        self._summary = summary
        self._now = now
        info = client.models()
        self._policy = info.find_model(options.policy, "policy")
        self._reference = info.find_model(options.reference, "reference")
        self._max_pair_bytes = info.limits.max_message_bytes - _MESSAGE_OVERHEAD_BYTES
        self.options = columns.options(
            dataclasses.replace(
                options,
                expected_policy_digest=options.expected_policy_digest or _digest(self._policy),
                expected_reference_digest=options.expected_reference_digest or _digest(self._reference),
            )
        )
        self._digests = {
            "policy_digest": self.options.expected_policy_digest,
            "reference_digest": self.options.expected_reference_digest,
        }

    def settings(self) -> dict[str, str]:
        """All that the numbers depend on, and the columns."""
        options = self.options
        out = {
            "policy_digest": options.expected_policy_digest,
            "reference_digest": options.expected_reference_digest,
            "objectives": " ".join(map(objective_text, options.objectives)),
            "profile": options.profile,
            "truncation_policy": options.truncation_policy,
            "max_length": str(options.max_length),
            "columns": " ".join(f"{name}:{kind}" for name, kind in self._columns.kinds.items()),
        }
        for role, model in (("policy", self._policy), ("reference", self._reference)):
            out[f"{role}_tokenizer_fingerprint"] = model.tokenizer_fingerprint if model else ""
            out[f"{role}_numerics_mode"] = model.numerics_mode if model else ""
        return out

    def scored(
        self, rows: Iterable[Mapping[str, Any] | BadRow], reader: RowReader, parts: Parts | None = None
    ) -> Generator[Scored]:
        """Each row with its record, in order. A bounded number of rows is held.

        The rows of `parts` come from there, and those that are new go there. Raises FailedPrecondition where the rows
        are not those that the parts were made of; else what the rows' iterator and the client raise, and with
        on_error="raise" the first row's error.
        """
        summary = self._summary
        summary.begin(self.options.expected_policy_digest, self.options.expected_reference_digest)
        started_at = self._now()
        remaining = iter(rows)
        try:
            if parts is not None:
                for scored in self._kept(remaining, reader, parts):
                    summary.add(scored.record, is_kept=True)
                    yield scored
            for scored in self._new(remaining, reader, parts):
                summary.add(scored.record, is_kept=False)
                summary.seconds = self._now() - started_at
                yield scored
        finally:
            summary.seconds = self._now() - started_at

    def _kept(self, rows: Iterator[Mapping[str, Any] | BadRow], reader: RowReader, parts: Parts) -> Iterator[Scored]:
        for part in parts.kept():
            digest = hashlib.sha256()
            kept: list[Scored] = []
            for record, row in zip(part.records, rows):  # in this order: else a row too many would be taken
                sent, _ = self._prepare(row, reader)
                digest.update(sent.digest)
                kept.append(Scored(sent.row, record))
            end_row = part.first_row + len(part.records)
            if len(kept) < len(part.records):
                raise FailedPrecondition(
                    f"the checkpoint holds {end_row} rows or more, the data set only {part.first_row + len(kept)}: "
                    "it is another one"
                )
            if digest.hexdigest() != part.input_digest:
                raise FailedPrecondition(
                    f"rows {part.first_row} to {end_row - 1} of the data set are not those that the checkpoint was "
                    "made of: it is another one, or in another order"
                )
            yield from kept

    def _new(
        self, rows: Iterator[Mapping[str, Any] | BadRow], reader: RowReader, parts: Parts | None
    ) -> Iterator[Scored]:
        in_flight: collections.deque[_Sent] = collections.deque()
        failure: list[BaseException] = []

        def pairs() -> Iterator[Pair]:  # read by another thread: what it raises is raised below, after all results
            try:
                for row in rows:
                    sent, pair = self._prepare(row, reader)
                    in_flight.append(sent)
                    yield pair
            except Exception as error:
                failure.append(error)

        part = _OpenPart(parts, self._now) if parts is not None else None
        first_row = parts.num_rows if parts is not None else 0
        try:
            with self._client.stream_pairs(pairs(), self.options, in_order=True) as results:
                for result in results:
                    sent = in_flight.popleft()
                    record = self._record(result, sent, first_row + result.index)
                    if part is not None:
                        part.add(record, sent.digest)
                    yield Scored(sent.row, record)
            if failure:
                raise failure[0]
        finally:
            if part is not None:
                part.write()

    def _prepare(self, row: Mapping[str, Any] | BadRow, reader: RowReader) -> tuple[_Sent, Pair]:
        if isinstance(row, BadRow):
            return _Sent({}, PairError("INVALID_ARGUMENT", row.message), row.message.encode(), {}), _NO_PAIR
        pair = reader.pair(row, self._digests)
        try:
            message = convert.pair_to_proto(pair).SerializeToString(deterministic=True)
        except InvalidArgument as error:
            fault = PairError(error.code, error.message, error.field_violations)
            return _Sent(row, fault, error.message.encode(), {}), _NO_PAIR
        digest = hashlib.sha256(message).digest()
        if 0 < self._max_pair_bytes < len(message):
            fault = PairError(
                "INVALID_ARGUMENT",
                f"pair: is {len(message)} bytes long; the server's limit is {self._max_pair_bytes} (max_message_bytes)",
            )
            return _Sent(row, fault, digest, {}), _NO_PAIR
        return _Sent(row, None, digest, reader.kept_digests(row, pair)), pair

    def _record(self, result: PairResult, sent: _Sent, row_number: int) -> Record:
        error = sent.fault or result.error
        if error is not None and self._on_error == "raise":
            status = status_pb2.Status(
                code=grpc.StatusCode[error.code].value[0], message=f"row {row_number}: {error.message}"
            )
            raised = from_status(status)
            raised.field_violations = error.field_violations
            raise raised
        if sent.kept_digests:
            result = dataclasses.replace(result, **sent.kept_digests)
        return self._columns.record(result, error)


def _digest(model: Model | None) -> str:
    return model.digest if model else ""


class _OpenPart:
    """The rows that are scored and in no part yet."""

    def __init__(self, parts: Parts, now: Callable[[], float]) -> None:
        self._parts = parts
        self._now = now
        self._begin()

    def _begin(self) -> None:
        self._records: list[Record] = []
        self._digest = hashlib.sha256()
        self._began_at = self._now()

    def add(self, record: Record, digest: bytes) -> None:
        self._records.append(record)
        self._digest.update(digest)
        if len(self._records) >= PART_ROWS or self._now() - self._began_at >= PART_SECONDS:
            self.write()

    def write(self) -> None:
        if self._records:
            self._parts.append(Part(self._parts.num_rows, self._records, self._digest.hexdigest()))
        self._begin()
