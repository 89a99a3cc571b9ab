# SPDX-License-Identifier: Apache-2.0
"""What `Client` and `AsyncClient` have in common: their arguments, their servers, and when they are usable."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from .errors import FailedPrecondition, InvalidArgument
from .retry import Clock, RetryPolicy
from .servers import Attempts, ChannelSettings, Servers, Tls, check_addresses
from .stream_state import StreamState


class ClientCore:
    """Holds what was given; see `Client`."""

    def __init__(
        self,
        servers: str | Sequence[str],
        *,
        tls: Tls | None = None,
        token: str | None = None,
        timeout_s: float | None = None,
        retry: RetryPolicy = RetryPolicy(),
        max_in_flight_pairs: int = 256,
        max_in_flight_bytes: int = 32 << 20,
        _clock: Clock | None = None,
        _servers: Servers | None = None,
    ) -> None:
        addresses = check_addresses(servers)
        self._settings = ChannelSettings(tls, token)
        self._settings.check(addresses)
        self._metadata = self._settings.metadata()
        self._clock = _clock or Clock()
        self._timeout_s = timeout_s
        if not isinstance(retry, RetryPolicy):
            raise InvalidArgument(f"retry: must be a RetryPolicy, not {type(retry).__name__}")
        self._retry = retry
        self._max_in_flight_pairs = _positive(max_in_flight_pairs, "max_in_flight_pairs")
        self._max_in_flight_bytes = _positive(max_in_flight_bytes, "max_in_flight_bytes")
        self._servers = _servers or Servers(addresses, self._clock)
        self._pid = os.getpid()
        self._is_closed = False
        self._attempts(None, retry)  # a timeout of a wrong form is told now
        self._open()

    def _open(self) -> None:
        """Makes what reaches the servers."""
        raise NotImplementedError

    def _attempts(self, timeout_s: float | None, retry: RetryPolicy) -> Attempts:
        return Attempts(self._servers, retry, self._clock, self._timeout_s if timeout_s is None else timeout_s)

    def _new_stream(self, in_order: bool) -> StreamState:
        return StreamState(
            self._servers, self._retry, self._clock, self._max_in_flight_pairs, self._max_in_flight_bytes, bool(in_order)
        )

    def _close(self) -> bool:
        """Whether there is something to close: not a second time, nor in a fork."""
        if self._is_closed or os.getpid() != self._pid:
            return False
        self._is_closed = True
        return True

    def _closed_under_way(self) -> FailedPrecondition:
        return FailedPrecondition(f"this {type(self).__name__} was closed while the call was under way")

    def _check_usable(self) -> None:
        self._check_fork()
        if self._is_closed:
            raise FailedPrecondition(f"this {type(self).__name__} is closed")

    def _check_fork(self) -> None:
        name = type(self).__name__
        if os.getpid() != self._pid:
            raise FailedPrecondition(
                f"this {name} was made in process {self._pid} and is used in its fork {os.getpid()}: gRPC connections "
                f"do not survive a fork. Make the {name} in the process that uses it (in a DataLoader: in "
                'worker_init_fn), and use the start method "spawn" or "forkserver" where the parent process talks to '
                "a server, too"
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(server.address for server in self._servers.all)}>"

    def __reduce__(self) -> str:
        raise TypeError(f"a {type(self).__name__} cannot be pickled: make one in the process that uses it")


def _positive(value: object, name: str) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise InvalidArgument(f"{name} is {value!r}; it must be an int >= 1")
    return int(value)


def can_start_over(pairs: object) -> bool:
    """Whether `pairs` can be read again from the start: a list, not a generator."""
    return not hasattr(pairs, "__next__")
