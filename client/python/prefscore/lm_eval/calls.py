# SPDX-License-Identifier: Apache-2.0
"""From requests on token ids to calls and back: each context once, a bounded number of calls under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import PrefscoreError
from ..types import Limits, PromptCompletions, PromptResult

# A call is large enough for its cost to vanish beside the model's, and small enough for several to be under way.
_MAX_PROMPTS_PER_CALL = 64
_MAX_TOKENS_PER_CALL = 1 << 15


class TokenRequest(NamedTuple):
    """What is asked: log p(continuation | context), both of at least one token id."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


class Answer(NamedTuple):
    """logp: nats, summed over the continuation's tokens. is_greedy: greedy decoding gives the continuation."""

    logp: float
    is_greedy: bool


@dataclass(slots=True)
class _Prompt:
    """A context with its continuations, and for each of these the place of its request."""

    context: tuple[int, ...]
    num_tokens: int
    continuations: list[tuple[int, ...]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


def _prompts(requests: Sequence[TokenRequest], max_completions: int) -> Iterable[_Prompt]:
    """Requests with the same context become one prompt, or several where they are more than a call takes.

    Windows of long texts have a context of one token: their continuations alone would fill a server's queue.
    """
    prompts: list[_Prompt] = []
    open_prompts: dict[tuple[int, ...], _Prompt] = {}
    for place, (context, continuation) in enumerate(requests):
        prompt = open_prompts.get(context)
        if (
            prompt is None
            or len(prompt.continuations) == max_completions
            or prompt.num_tokens + len(continuation) > _MAX_TOKENS_PER_CALL
        ):
            prompt = open_prompts[context] = _Prompt(context, len(context))
            prompts.append(prompt)
        prompt.num_tokens += len(continuation)
        prompt.continuations.append(continuation)
        prompt.places.append(place)
    return prompts


def _calls(prompts: Iterable[_Prompt], max_prompts: int) -> Iterator[list[_Prompt]]:
    call: list[_Prompt] = []
    num_tokens = 0
    for prompt in prompts:
        if call and (len(call) == max_prompts or num_tokens + prompt.num_tokens > _MAX_TOKENS_PER_CALL):
            yield call
            call, num_tokens = [], 0
        call.append(prompt)
        num_tokens += prompt.num_tokens
    if call:
        yield call


def answer_all(
    requests: Sequence[TokenRequest],
    score: Callable[[list[PromptCompletions]], Sequence[PromptResult]],
    limits: Limits,
    max_calls: int,
) -> Iterator[tuple[int, Answer]]:
    """The answers with their places in `requests`, as they come.

    score: makes one call under one model; used from several threads at once.
    max_calls: how many calls are under way.

    Raises what `score` raises, and PrefscoreError for a prompt that the server could not score.
    """
    prompts = _prompts(requests, limits.max_completions_per_prompt)
    calls = list(_calls(prompts, min(_MAX_PROMPTS_PER_CALL, limits.max_pairs_per_request)))
    executor = ThreadPoolExecutor(max_calls, thread_name_prefix="prefscore-lm-eval")
    try:
        futures = {executor.submit(score, list(map(_to_completions, call))): call for call in calls}
        for future in as_completed(futures):
            for prompt, result in zip(futures[future], future.result(), strict=True):
                yield from _answers(prompt, result)
    finally:
        executor.shutdown(cancel_futures=True)


def _to_completions(prompt: _Prompt) -> PromptCompletions:
    return PromptCompletions(prompt.context, prompt.continuations)


def _answers(prompt: _Prompt, result: PromptResult) -> Iterator[tuple[int, Answer]]:
    if result.error is not None:
        raise PrefscoreError(f"request {prompt.places[0]}: {result.error.message}", code=result.error.code)
    for place, completion in zip(prompt.places, result.completions, strict=True):
        (logp,) = completion.logps
        if logp.is_greedy_match is None:
            raise PrefscoreError("the server does not tell greedy matches: it is older than this client")
        yield place, Answer(logp.logp, logp.is_greedy_match)
