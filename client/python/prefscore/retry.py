# SPDX-License-Identifier: Apache-2.0
"""Which failed calls are tried again, and when.

UNAVAILABLE, and CANCELLED by a server that stops, after an exponential backoff with jitter; any error that brings a
RetryInfo (RESOURCE_EXHAUSTED: the queue is full) no sooner than it says. Everything else fails at once,
RESOURCE_EXHAUSTED without a RetryInfo too: a message over the size limit does not shrink by waiting. So does UNAVAILABLE
by a certificate that is not trusted.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from dataclasses import dataclass

from .errors import Cancelled, InvalidArgument, NotTrusted, PrefscoreError, Unavailable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a call is tried.

    max_attempts: of one call, the first included.
    max_stream_attempts: of a stream, at one server, without any result in between. The default outlasts a restart.
    max_elapsed_s: no further attempt starts later than this after the first one; of a stream, after the first failure
        since the last result.
    initial_backoff_s, max_backoff_s, multiplier: the waits between attempts.
    jitter: in [0, 1]; a backoff is scaled by 1 +- jitter, the server's own delay by 1 to 1 + jitter.
    """

    max_attempts: int = 5
    max_stream_attempts: int = 12
    max_elapsed_s: float = 60.0
    initial_backoff_s: float = 0.2
    max_backoff_s: float = 10.0
    multiplier: float = 2.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value >= least:
                raise InvalidArgument(f"RetryPolicy.{name} is {value!r}; it must be a number >= {least}")
        if self.jitter > 1:
            raise InvalidArgument(f"RetryPolicy.jitter is {self.jitter!r}; it must be a number <= 1")


_LEAST = {
    "max_attempts": 1, "max_stream_attempts": 1, "max_elapsed_s": 0, "initial_backoff_s": 0, "max_backoff_s": 0,
    "multiplier": 1, "jitter": 0,
}  # fmt: skip
NO_RETRIES = RetryPolicy(max_attempts=1, max_stream_attempts=1)


class Clock:
    """Time and chance, replaceable in tests."""

    def now(self) -> float:
        """Seconds, monotonic."""
        return time.monotonic()

    def sleep(self, delay_s: float) -> None:
        time.sleep(delay_s)

    def wait(self, condition: threading.Condition, delay_s: float) -> None:
        """Waits for the condition, which the caller holds, but no longer than `delay_s`."""
        condition.wait(delay_s)

    async def async_sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)

    def random(self) -> float:
        """Uniform in [0, 1)."""
        return random.random()


def is_retryable(error: PrefscoreError) -> bool:
    if isinstance(error, NotTrusted):
        return False
    return isinstance(error, Unavailable | Cancelled) or error.retry_delay_s is not None


class Backoff:
    """Counts the attempts of one call, or of one stream at one server. Not thread-safe."""

    def __init__(self, policy: RetryPolicy, clock: Clock, max_attempts: int) -> None:
        self._policy = policy
        self.max_attempts = max_attempts
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Starts counting anew: an attempt brought something."""
        self.num_failed = 0
        self._started_at = self._clock.now()
        self._backoff_s = self._policy.initial_backoff_s

    @property
    def elapsed_s(self) -> float:
        return self._clock.now() - self._started_at

    def next_delay(self, error: PrefscoreError) -> float | None:
        """Seconds to wait before the next attempt after `error`; None where there is to be none."""
        self.num_failed += 1
        if not is_retryable(error) or self.num_failed >= self.max_attempts:
            return None
        chance = self._clock.random()
        delay_s = self._backoff_s * (1 + self._policy.jitter * (2 * chance - 1))
        self._backoff_s = min(self._backoff_s * self._policy.multiplier, self._policy.max_backoff_s)
        if error.retry_delay_s is not None:
            delay_s = error.retry_delay_s * (1 + self._policy.jitter * chance)
        return None if self.elapsed_s + delay_s > self._policy.max_elapsed_s else delay_s
