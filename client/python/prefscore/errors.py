# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, as exceptions that keep all that the server told.

A pair that is at fault fails alone: its result carries a `PairError` and nothing is raised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request that is wrong: `field` as in the proto ("pairs[3].chosen"), and what is wrong with it."""

    field: str
    description: str


class PrefscoreError(Exception):
    """Base of all errors of this package.

    code: name of the gRPC code, such as "INVALID_ARGUMENT".
    message: what the server, or this client, says about it.
    field_violations: the fields that are wrong.
    retry_delay_s: when the server says that a repeated call may succeed, seconds; None where it does not say.
    server: address of the server that it came from; "" where no server was involved.
    reason: the server's `ErrorInfo.reason`, such as "QUEUE_FULL"; "" where it tells none.
    """

    code = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field_violations: Sequence[FieldViolation] = (),
        retry_delay_s: float | None = None,
        server: str = "",
        reason: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.field_violations = tuple(field_violations)
        self.retry_delay_s = retry_delay_s
        self.server = server
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.server}: {self.message}" if self.server and self.server not in self.message else self.message

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:  # crosses processes whole
        return _rebuild, (type(self), self.message), self.__dict__.copy()


def _rebuild(kind: type[PrefscoreError], message: str) -> PrefscoreError:
    error = kind.__new__(kind, message)
    PrefscoreError.__init__(error, message)
    return error


class InvalidArgument(PrefscoreError, ValueError):
    """An argument is wrong; `field_violations` names it where the server does."""

    code = "INVALID_ARGUMENT"


class NotFound(PrefscoreError, LookupError):
    """No model, or service, of that name; the message lists what there is."""

    code = "NOT_FOUND"


class FailedPrecondition(PrefscoreError):
    """The call does not fit what the server hosts: another digest, no tokenizer, no chat template."""

    code = "FAILED_PRECONDITION"


class ResourceExhausted(PrefscoreError):
    """The server is full (`retry_delay_s` tells for how long), or a message is over its size limit."""

    code = "RESOURCE_EXHAUSTED"


class DeadlineExceeded(PrefscoreError, TimeoutError):
    """The call's time is over, or the server predicts that it will not do."""

    code = "DEADLINE_EXCEEDED"


class Unavailable(PrefscoreError, ConnectionError):
    """No server answers, or it is shutting down; the message tells the addresses, the attempts and the time."""

    code = "UNAVAILABLE"


class NotTrusted(Unavailable):
    """The server's certificate has expired, is another's, or comes from an authority that is not trusted here."""


class Cancelled(PrefscoreError):
    """The call was cancelled, here or by a server that stops."""

    code = "CANCELLED"


class Internal(PrefscoreError):
    """A bug in the server or in this client."""

    code = "INTERNAL"


class VersionMismatch(PrefscoreError):
    """Server and client speak different versions of the contract; the message tells both, and what to do."""

    code = "FAILED_PRECONDITION"


class TokenizerMismatch(PrefscoreError, ValueError):
    """Token ids mean something else here than at the server; the message tells which."""

    code = "FAILED_PRECONDITION"


class MissingColumns(PrefscoreError, ValueError):
    """A data set lacks columns that are needed; the message names them and those that are there."""

    code = "INVALID_ARGUMENT"


class MissingExtra(PrefscoreError, ImportError):
    """An optional package is needed; the message tells the pip command that brings it."""

    code = "FAILED_PRECONDITION"

    @classmethod
    def of(cls, extra: str, package: str) -> MissingExtra:
        return cls(f"{package} is not installed: pip install 'prefscore[{extra}]'")


@dataclass(frozen=True, slots=True)
class PairError:
    """Why one pair, or prompt, was not scored: `code` as in `PrefscoreError`, and the fields at fault."""

    code: str
    message: str
    field_violations: tuple[FieldViolation, ...] = ()


_KINDS: dict[str, type[PrefscoreError]] = {
    kind.code: kind
    for kind in (
        InvalidArgument, NotFound, FailedPrecondition, ResourceExhausted, DeadlineExceeded, Unavailable, Cancelled,
        Internal,
    )
}  # fmt: skip
_CODE_NAMES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}


def from_status(status: status_pb2.Status, server: str = "") -> PrefscoreError:
    """The exception of a google.rpc.Status, with what its details tell."""
    message = status.message
    violations: list[FieldViolation] = []
    retry_delay_s: float | None = None
    reason = ""
    bad_request = error_details_pb2.BadRequest()
    retry_info = error_details_pb2.RetryInfo()
    error_info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(bad_request):
            violations += [FieldViolation(v.field, v.description) for v in bad_request.field_violations]
        elif detail.Unpack(retry_info) and retry_info.HasField("retry_delay"):
            retry_delay_s = retry_info.retry_delay.seconds + 1e-9 * retry_info.retry_delay.nanos
        elif detail.Unpack(error_info):
            reason = error_info.reason
    untold = [v for v in violations if v.field not in message or v.description not in message]
    if untold:
        message = f"{message} [{'; '.join(f'{v.field}: {v.description}' for v in untold)}]".lstrip()
    name = _CODE_NAMES.get(status.code, "UNKNOWN")
    return _KINDS.get(name, PrefscoreError)(
        message, code=name, field_violations=violations, retry_delay_s=retry_delay_s, server=server, reason=reason
    )


# gRPC gives all that fails before a call the same code; only its words tell these apart.
_NOT_TRUSTED = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|certificate signature failure|Hostname Verification Check failed|is not in peer certificate"
)


class FailedCall(Protocol):
    """What grpc's errors and calls have, and grpc.aio's."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Any: ...


def from_rpc_error(error: FailedCall, server: str) -> PrefscoreError:
    """The exception of a failed gRPC call to `server`."""
    code = error.code()
    message = error.details() or code.name
    if code is grpc.StatusCode.UNAVAILABLE and _NOT_TRUSTED.search(message):
        return NotTrusted(f"the server's certificate is not trusted here: {message}", server=server)
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            try:
                status.ParseFromString(value)
            except DecodeError:  # details that do not parse lose nothing but themselves
                status.Clear()
    if status.code != code.value[0]:
        status.Clear()
    status.code, status.message = code.value[0], message
    return from_status(status, server)
