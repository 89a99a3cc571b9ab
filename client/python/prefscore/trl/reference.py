# SPDX-License-Identifier: Apache-2.0
"""The reference model behind a server: which one it is, and its log-probs of TRL's batches, however long that takes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..client import Client
from ..errors import Cancelled, FailedPrecondition, InvalidArgument, PrefscoreError
from ..retry import Backoff, Clock, RetryPolicy
from ..types import ModelIdentity, PromptCompletions, PromptResult
from .batches import Float64s, logps_of_rows, prompts_of_batch

logger = logging.getLogger("prefscore.trl")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class ReferenceOptions:
    """How the reference is asked.

    model: name of the hosted model. Default: the server's reference.
    expected_digest: if set, another model is FailedPrecondition before the run starts.
    look_ahead: batches that are asked for before their step, >= 1: what hides the server's time behind the training.
    max_outage_s: how long a batch waits for a server that is gone, seconds; then the run ends with its error.
    """

    model: str = ""
    expected_digest: str = ""
    look_ahead: int = 4
    max_outage_s: float = 1800.0

    def __post_init__(self) -> None:
        if not self.look_ahead >= 1:
            raise InvalidArgument(f"ReferenceOptions.look_ahead is {self.look_ahead}; it must be at least 1 batch")
        if not self.max_outage_s >= 0:
            raise InvalidArgument(f"ReferenceOptions.max_outage_s is {self.max_outage_s}; it must be at least 0 s")


@dataclass(frozen=True, slots=True)
class ReferenceIdentity:
    """Which model a run is trained against, as the server told at its start."""

    model: str
    digest: str
    tokenizer_fingerprint: str
    numerics_mode: str
    dtype: str
    server_version: str
    contract_version: int


class RemoteReference:
    """A hosted model as DPO's reference. Thread-safe; not usable after a fork.

    client: a Client, which stays the caller's to close, or addresses of servers, for a client of its own.
    """

    def __init__(
        self,
        client: Client | str | Sequence[str],
        options: ReferenceOptions = ReferenceOptions(),
        *,
        _clock: Clock | None = None,
    ) -> None:
        self.options = options
        self.client = client if isinstance(client, Client) else Client(client)
        self._clock = _clock
        self._told_modes: set[str] = set()
        info = self.patiently(self.client.models)
        model = info.model(options.model, "reference")
        if options.expected_digest not in ("", model.digest):
            raise FailedPrecondition(
                f"the server's model {model.name!r} has the digest {model.digest}, and expected_digest is "
                f"{options.expected_digest}: it is another model"
            )
        self.identity = ReferenceIdentity(
            model.name, model.digest, model.tokenizer_fingerprint, model.numerics_mode, model.dtype,
            info.server_version, info.contract_version,
        )  # fmt: skip
        self._max_prompts = info.limits.max_pairs_per_request or 1024

    def score(self, batch: Mapping[str, Any], ld_alpha: float | None = None) -> Float64s:
        """Log-probs of the rows of a batch (see `batches`), [2 num_pairs]: chosen ones first, nats."""
        return self._score(batch, ld_alpha, threading.Event())

    def submit(
        self, batch: Mapping[str, Any], ld_alpha: float | None, stopped: threading.Event
    ) -> Future[Float64s]:
        """`score` in the background. `stopped` ends its waiting."""
        future: Future[Float64s] = Future()

        def run() -> None:
            try:
                future.set_result(self._score(batch, ld_alpha, stopped))
            except BaseException as error:  # it is the one who waits that is told
                future.set_exception(error)

        # No pool of threads: at its end Python waits for those, and a wait for a lost server is long.
        threading.Thread(target=run, name="prefscore-reference", daemon=True).start()
        return future

    def _score(self, batch: Mapping[str, Any], ld_alpha: float | None, stopped: threading.Event) -> Float64s:
        asked = prompts_of_batch(batch)
        results: list[PromptResult] = []
        for start in range(0, len(asked.prompts), self._max_prompts):
            ask = partial(self._ask, asked.prompts[start : start + self._max_prompts], ld_alpha is not None)
            results += self.patiently(ask, stopped)
        return logps_of_rows(asked.places, [result.completions for result in results], ld_alpha)

    def _ask(self, prompts: Sequence[PromptCompletions], needs_tokens: bool) -> list[PromptResult]:
        results = self.client.score_completions(
            prompts, models=[self.identity.model], profile="ids", return_token_logps=needs_tokens
        )
        for prompt, result in zip(prompts, results, strict=True):
            if result.error is not None:
                lengths = ", ".join(str(len(completion)) for completion in prompt.completions)
                raise InvalidArgument(
                    f"the reference cannot score a prompt of {len(prompt.prompt)} tokens with completions of {lengths} "
                    f"tokens: {result.error.code}: {result.error.message}",
                    field_violations=result.error.field_violations,
                )
            self._check(result.models[0])
        return list(results)

    def _check(self, model: ModelIdentity) -> None:
        if model.digest != self.identity.digest:
            raise FailedPrecondition(
                f"the reference model {self.identity.model!r} has changed: the run began with the digest "
                f"{self.identity.digest}, and the server now has {model.digest}. Log-probs of two references must not "
                "mix: host the first one again and resume from a checkpoint"
            )
        if model.numerics_mode not in (self.identity.numerics_mode, *self._told_modes):
            self._told_modes.add(model.numerics_mode)
            logger.warning(
                "the reference is now computed with %s instead of %s: the last digits of its log-probs may differ",
                model.numerics_mode, self.identity.numerics_mode,
            )  # fmt: skip

    def patiently(self, call: Callable[[], Answer], stopped: threading.Event | None = None) -> Answer:
        """The answer of a call to the server, after as many attempts as the options' max_outage_s has time for."""
        stopped = stopped or threading.Event()
        policy = RetryPolicy(max_attempts=1_000_000, max_elapsed_s=self.options.max_outage_s)
        clock = self._clock or _StoppableClock(stopped)
        backoff = Backoff(policy, clock, policy.max_attempts)
        while True:
            try:
                return call()
            except PrefscoreError as error:
                elapsed_s = backoff.elapsed_s
                delay_s = backoff.next_delay(error)
                if delay_s is None:
                    raise
                logger.warning(
                    "the run waits for the reference server, %.0f s so far, at most %.0f s: %s",
                    elapsed_s, self.options.max_outage_s, error,
                )  # fmt: skip
            clock.sleep(delay_s)
            if stopped.is_set():
                raise Cancelled("the run no longer needs this batch")


class _StoppableClock(Clock):
    """Sleeps end when `stopped` is set."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped

    def sleep(self, delay_s: float) -> None:
        self._stopped.wait(delay_s)
