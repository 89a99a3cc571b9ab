# SPDX-License-Identifier: Apache-2.0
"""One or many servers: how to reach them, which is the least busy one, and that they speak this contract.

What is here needs no particular kind of gRPC; `client.py` and `aio.py` add the channels.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc

from .errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidArgument,
    PrefscoreError,
    Unavailable,
    VersionMismatch,
)
from .retry import Backoff, Clock, RetryPolicy
from .types import ServerInfo
from .v1 import models_pb2

logger = logging.getLogger("prefscore")

CONTRACT_VERSION = int(models_pb2.CONTRACT_VERSION_CURRENT)
# Longest wait for a server that is asked for its version, where the call has no shorter one.
HANDSHAKE_TIMEOUT_S = 20.0
# A server that answered nothing for longer may have been replaced: calls that are under way notice, silence does not.
_SAME_SERVER_S = 1.0


@dataclass(frozen=True, slots=True)
class Tls:
    """Transport security. Certificates and keys are PEM: bytes, or the path of a file.

    root_certificates: whom to trust. Default: the roots that gRPC brings.
    client_key, client_certificate: this client's identity, where the server asks for one.
    server_name: the name that the server's certificate must have, where it is not the address's.
    """

    root_certificates: bytes | str | os.PathLike[str] | None = None
    client_key: bytes | str | os.PathLike[str] | None = field(default=None, repr=False)
    client_certificate: bytes | str | os.PathLike[str] | None = None
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        if (self.client_key is None) != (self.client_certificate is None):
            raise InvalidArgument("Tls: client_key and client_certificate are given together or not at all")
        return grpc.ssl_channel_credentials(
            _pem(self.root_certificates, "root_certificates"),
            _pem(self.client_key, "client_key"),
            _pem(self.client_certificate, "client_certificate"),
        )


def _pem(value: bytes | str | os.PathLike[str] | None, name: str) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if not isinstance(value, str | os.PathLike):  # a number would be a file that is open
        raise InvalidArgument(f"Tls.{name}: must be bytes or a path, not {type(value).__name__}")
    try:
        with open(value, "rb") as file:
            return file.read()
    except OSError as error:
        raise InvalidArgument(f"Tls.{name}: cannot read {os.fspath(value)!r}: {error.strerror}") from error


_TOKEN = re.compile(r"[\x21-\x7e]+")
_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "xds:")


def check_addresses(servers: str | Sequence[str]) -> list[str]:
    if not hasattr(servers, "__iter__"):
        raise InvalidArgument(f"servers: {servers!r} is no HOST:PORT")
    addresses = [servers] if isinstance(servers, str) else list(servers)
    if not addresses:
        raise InvalidArgument("servers is empty; give at least one HOST:PORT")
    for address in addresses:
        if not isinstance(address, str):
            raise InvalidArgument(f"servers: {address!r} is no HOST:PORT")
        host, colon, port = address.rpartition(":")
        if address.startswith(_SCHEMES):
            continue
        if "/" in address or not colon or not host or not port.isdigit():
            raise InvalidArgument(f"servers: {address!r} is no HOST:PORT, such as 127.0.0.1:50051")
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise InvalidArgument(f"servers: {address!r}: write an IPv6 address in brackets, [{host}]:{port}")
        if not 0 < int(port) < 65536:
            raise InvalidArgument(f"servers: {address!r}: a port is in 1 to 65535")
    if len(set(addresses)) < len(addresses):
        raise InvalidArgument(f"servers: an address is given twice: {', '.join(addresses)}")
    return addresses


def is_loopback(address: str) -> bool:
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.removeprefix("dns:///").removeprefix("dns:").removeprefix("ipv4:").removeprefix("ipv6:")
    host = host.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """All that channels are made with; the same for grpc and grpc.aio."""

    tls: Tls | None
    token: str | None = field(repr=False)
    # A peer that vanished is noticed after both: no answer to a ping. Servers allow a ping each 10 s.
    keepalive_time_s: float = 30.0
    keepalive_timeout_s: float = 10.0
    connect_timeout_s: float = 10.0

    def check(self, addresses: Sequence[str]) -> None:
        """Raises InvalidArgument for settings of a wrong form, or a token that anybody could read on its way."""
        if self.tls is not None and not isinstance(self.tls, Tls):
            raise InvalidArgument(f"tls: must be Tls, not {type(self.tls).__name__}")
        if self.token is None:
            return
        if not isinstance(self.token, str) or not _TOKEN.fullmatch(self.token):
            raise InvalidArgument("token: must be a str of visible ASCII characters, without spaces")
        if self.tls is not None:
            return
        if remote := [address for address in addresses if not is_loopback(address)]:
            raise InvalidArgument(
                f"a token is not sent in plain text to {', '.join(remote)}: anybody on the way could read it. "
                "Give tls=prefscore.Tls(...), or use a loopback address"
            )

    def options(self, address: str) -> list[tuple[str, int | str]]:
        options: list[tuple[str, int | str]] = [
            # The server's limits hold, whatever this side's would be.
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", int(1000 * self.keepalive_time_s)),
            ("grpc.keepalive_timeout_ms", int(1000 * self.keepalive_timeout_s)),
            ("grpc.http2.max_pings_without_data", 0),
            # While a channel backs off, calls fail without an attempt; the retry policy is the one that waits.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            # Despite its name: how long one attempt to connect may take, TLS included.
            ("grpc.min_reconnect_backoff_ms", int(1000 * self.connect_timeout_s)),
            ("grpc.enable_retries", 0),
        ]
        if is_loopback(address):
            # Else gRPC sends even this through the proxy of http_proxy, a token in plain text included.
            options.append(("grpc.enable_http_proxy", 0))
        if self.tls is not None and self.tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options

    def credentials(self) -> grpc.ChannelCredentials | None:
        """None: plain text."""
        if self.tls is None:
            return None
        credentials = self.tls.credentials()
        if self.token is None:
            return credentials
        return grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(self.token))

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Sent with each call. Over TLS the token is a call credential instead, which gRPC never sends without."""
        return (("authorization", f"Bearer {self.token}"),) if self.token is not None and self.tls is None else ()


class Server:
    """What is known of one server. Guarded by its `Servers`' lock."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.in_flight = 0  # calls, or pairs of streams, that wait for it
        self.rests_until = float("-inf")  # it failed, or is full: others are preferred until then
        self.info: ServerInfo | None = None  # what it told when it was last asked for its version
        self.answered_at = float("-inf")
        self.epoch = 0  # counts the times it may have become another

    def forget(self) -> None:
        """It went away: what comes back may be another server."""
        self.info = None
        self.epoch += 1


def handshake_timeout(server: Server, timeout_s: float) -> PrefscoreError:
    """Of a handshake that got `timeout_s` and no answer: the call's own time is over, or the server is as good as lost."""
    kind = DeadlineExceeded if timeout_s < HANDSHAKE_TIMEOUT_S else Unavailable
    return kind(f"it told no version in {timeout_s:.3g} s", server=server.address)


def _check_version(info: ServerInfo, address: str) -> None:
    if info.contract_version == CONTRACT_VERSION:
        return
    theirs = info.contract_version or "none that it tells (it is older than contract versions)"
    release = f" (prefscore {info.server_version})" if info.server_version else ""
    older = "server" if info.contract_version < CONTRACT_VERSION else "client: pip install --upgrade prefscore"
    raise VersionMismatch(
        f"the server{release} speaks contract version {theirs}, this client version {CONTRACT_VERSION}; "
        f"upgrade the {older}",
        server=address,
    )


class Servers:
    """The servers of a client; thread-safe."""

    def __init__(self, addresses: Sequence[str], clock: Clock) -> None:
        self.all = [Server(address) for address in addresses]
        self._clock = clock
        self._lock = threading.Lock()

    def pick(self) -> Server:
        """The least busy one that does not rest; where all rest, the one that is up first. Counts a call for it."""
        with self._lock:
            now = self._clock.now()
            server = min(self.all, key=lambda server: (max(server.rests_until - now, 0), server.in_flight))
            server.in_flight += 1
            # Among equals, another one next time.
            self.all.remove(server)
            self.all.append(server)
            return server

    def add_in_flight(self, server: Server, count: int) -> None:
        with self._lock:
            server.in_flight += count

    def rest(self, server: Server, delay_s: float, error: PrefscoreError) -> None:
        with self._lock:
            server.rests_until = self._clock.now() + delay_s
            if isinstance(error, Unavailable | Cancelled):
                server.forget()

    def answered(self, server: Server) -> None:
        with self._lock:
            server.rests_until = float("-inf")
            server.answered_at = self._clock.now()

    def info(self, server: Server) -> ServerInfo | None:
        """What it told of itself. None: it is to be asked, since it may be another server than it was."""
        with self._lock:
            return server.info if self._clock.now() - server.answered_at <= _SAME_SERVER_S else None

    def accept(self, server: Server, info: ServerInfo, epoch: int) -> None:
        """Raises VersionMismatch unless the server, asked in `epoch`, speaks this client's contract."""
        _check_version(info, server.address)
        with self._lock:
            server.answered_at = self._clock.now()
            if epoch == server.epoch:
                server.info = info

    def shortest_wait(self) -> float:
        """Seconds until a server does not rest."""
        with self._lock:
            return max(0.0, min(server.rests_until for server in self.all) - self._clock.now())


class Attempts:
    """The attempts of one unary call: when it ends, and what a last error says. Not thread-safe."""

    def __init__(self, servers: Servers, policy: RetryPolicy, clock: Clock, timeout_s: float | None) -> None:
        if timeout_s is not None and not (isinstance(timeout_s, int | float) and 0 < timeout_s < math.inf):
            raise InvalidArgument(f"timeout_s is {timeout_s!r}; it must be > 0 seconds, or None for no limit")
        self._servers = servers
        self._clock = clock
        self._timeout_s = timeout_s
        self._give_up_at = None if timeout_s is None else clock.now() + timeout_s
        self._backoff = Backoff(policy, clock, policy.max_attempts * len(servers.all))
        self._unavailable: dict[str, str] = {}  # address -> what it last said
        self._is_last = False

    def stop_after_this(self) -> None:
        """No attempt follows the one that is under way."""
        self._is_last = True

    def remaining_s(self) -> float | None:
        """Of the call's time; None: no limit."""
        return None if self._give_up_at is None else max(self._give_up_at - self._clock.now(), 0.001)

    def handshake_timeout_s(self) -> float:
        remaining_s = self.remaining_s()
        return HANDSHAKE_TIMEOUT_S if remaining_s is None else min(remaining_s, HANDSHAKE_TIMEOUT_S)

    def failed(self, server: Server, error: PrefscoreError) -> float:
        """Seconds to wait before the next attempt. Raises what the caller gets, where there is to be none."""
        if isinstance(error, Unavailable):
            self._unavailable[server.address] = error.message
        elapsed_s = self._backoff.elapsed_s
        delay_s = self._backoff.next_delay(error)
        if delay_s is None or self._is_last:
            raise self._final(error, elapsed_s)
        self._servers.rest(server, delay_s, error)
        wait_s = self._servers.shortest_wait()
        if self._give_up_at is not None and self._clock.now() + wait_s >= self._give_up_at:
            raise self._final(error, elapsed_s)
        logger.warning(
            "%s: %s: %s; trying again in %.2g s (attempt %d of %d)",
            server.address, error.code, error.message, wait_s, self._backoff.num_failed + 1, self._backoff.max_attempts,
        )  # fmt: skip
        return wait_s

    def _final(self, error: PrefscoreError, elapsed_s: float) -> PrefscoreError:
        attempts = f"{self._backoff.num_failed} attempt{'s' if self._backoff.num_failed > 1 else ''}"
        if isinstance(error, Unavailable):
            told = "; ".join(f"{address}: {message}" for address, message in self._unavailable.items())
            limit = "" if self._timeout_s is None else f" (timeout_s {self._timeout_s:g})"
            error.message = f"no answer in {attempts} over {elapsed_s:.1f} s{limit}. {told}"
        elif isinstance(error, DeadlineExceeded) and self._timeout_s is not None:
            error.message = f"{error.message} (timeout_s {self._timeout_s:g}, {attempts})"
        return error
