# SPDX-License-Identifier: Apache-2.0
"""What goes in and what comes out. Field names are those of the contract, `proto/prefscore/v1`, where each is defined.

Log-probs are natural logarithms (nats), summed over a completion's tokens given the prompt, <= 0. Choices are the names
of the proto's enums in lower case without prefix: "keep_start", "read_write", "bulk".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from .errors import InvalidArgument, NotFound, PairError

Message: TypeAlias = Mapping[str, Any]
"""A chat message: "role" and "content"; one with more (tool calls, content parts) is sent as JSON, key order kept."""

TokenIds: TypeAlias = "npt.NDArray[np.integer[Any]] | Sequence[int]"
"""Token ids of the model's vocabulary: a one-dimensional integer array or a sequence of ints, used as they are."""

Content: TypeAlias = "str | Sequence[Message] | TokenIds"
"""A prompt or a completion. All contents of a pair take the same form."""

TruncationPolicy: TypeAlias = Literal["error", "keep_start", "keep_prompt_end"]
CacheMode: TypeAlias = Literal["read_write", "bypass", "refresh", "read_only"]
Priority: TypeAlias = Literal["default", "interactive", "bulk"]
Health: TypeAlias = Literal["serving", "not_serving", "unknown"]


@dataclass(frozen=True, slots=True)
class KnownLogProbs:
    """The four log-probs of a pair, nats, those that are known. Finite and <= 0."""

    policy_chosen_logp: float | None = None
    policy_rejected_logp: float | None = None
    reference_chosen_logp: float | None = None
    reference_rejected_logp: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference pair.

    chosen, rejected: the two completions. None only where both log-probs of that side are known.
    prompt: None asks for the implicit prompt, the longest common start of chosen and rejected, as TRL finds it.
    id: the caller's name for the pair, at most 256 bytes.
    tools, chat_template_kwargs: for the chat template; conversations only.
    known: log-probs that are known already; only the others are computed.
    score_gap: score of chosen less that of rejected, > 0; needed by the objective odpo.
    labels: at most 8, such as {"category": "code"}; reports slice by them.
    """

    chosen: Content | None
    rejected: Content | None
    prompt: Content | None = None
    id: str = field(default="", kw_only=True)
    tools: Sequence[Mapping[str, Any]] | None = field(default=None, kw_only=True)
    chat_template_kwargs: Mapping[str, Any] | None = field(default=None, kw_only=True)
    known: KnownLogProbs = field(default=KnownLogProbs(), kw_only=True)
    score_gap: float | None = field(default=None, kw_only=True)
    labels: Mapping[str, str] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True, slots=True)
class PromptCompletions:
    """A prompt and its completions, each scored given the prompt. Arguments as of `Pair`."""

    prompt: Content
    completions: Sequence[Content]
    id: str = field(default="", kw_only=True)
    tools: Sequence[Mapping[str, Any]] | None = field(default=None, kw_only=True)
    chat_template_kwargs: Mapping[str, Any] | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class _Arrays:
    """Arrays that are equal where all of their elements are."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # type: ignore[assignment]


def _no_logps() -> npt.NDArray[np.float32]:
    return np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class PairTokenLogProbs(_Arrays):
    """Per-token log-probs, nats, float32, in token order. Empty where the sum was known to the caller."""

    policy_chosen: npt.NDArray[np.float32] = field(default_factory=_no_logps)  # [num_chosen_tokens]
    policy_rejected: npt.NDArray[np.float32] = field(default_factory=_no_logps)  # [num_rejected_tokens]
    reference_chosen: npt.NDArray[np.float32] = field(default_factory=_no_logps)  # [num_chosen_tokens]
    reference_rejected: npt.NDArray[np.float32] = field(default_factory=_no_logps)  # [num_rejected_tokens]


@dataclass(frozen=True, slots=True, eq=False)
class PairTokenIds(_Arrays):
    """The token ids that were scored, uint32."""

    prompt: npt.NDArray[np.uint32]  # [num_prompt_tokens]
    chosen: npt.NDArray[np.uint32]  # [num_chosen_tokens]
    rejected: npt.NDArray[np.uint32]  # [num_rejected_tokens]


@dataclass(frozen=True, slots=True)
class PairLogProbs:
    """A pair whose log-probs are known, for `evaluate_objectives` and `analyze`.

    logps: those of the policy are required, those of the reference where an objective needs them.
    num_chosen_tokens, num_rejected_tokens: 0 where unknown.
    token_logps: needed by ld_dpo.
    policy_digest, reference_digest: of the models that the log-probs come from; reports tell them.
    """

    logps: KnownLogProbs
    id: str = field(default="", kw_only=True)
    num_chosen_tokens: int = field(default=0, kw_only=True)
    num_rejected_tokens: int = field(default=0, kw_only=True)
    score_gap: float | None = field(default=None, kw_only=True)
    token_logps: PairTokenLogProbs | None = field(default=None, kw_only=True)
    labels: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    policy_digest: str = field(default="", kw_only=True)
    reference_digest: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class Objective:
    """An objective that `Client.objectives` lists, such as "sigmoid" (DPO's loss).

    beta: weight of the policy's log-probs, > 0. Default: the objective's, 0.1 for all.
    gamma: weight of the reference's log-probs, >= 0. Default: beta, which is the original DPO.
    parameters: further ones by name, numbers or choices.
    """

    name: str
    beta: float | None = None
    gamma: float | None = None
    parameters: Mapping[str, float | str] = field(default_factory=dict)

    @staticmethod
    def parse(text: str) -> Objective | WeightedSum:
        """Reads "sigmoid:beta=0.1,gamma=0.05" or a sum, "0.8*sigmoid+0.2*bco_pair:delta=1+sft".

        Raises InvalidArgument for what is not of this form; which names and values exist is for the server to say.
        """
        terms = _split_terms(text)
        if len(terms) == 1 and "*" not in text:
            return _parse_term(text, text)
        weighted: list[tuple[float, Objective]] = []
        for term in terms:
            weight_text, star, rest = term.partition("*")
            weight = _to_float(weight_text) if star else 1.0
            if weight is None or not math.isfinite(weight):
                raise InvalidArgument(f"objective {text!r}: the weight is not a finite number: {weight_text!r}")
            weighted.append((weight, _parse_term(rest if star else term, text)))
        return WeightedSum(tuple(weighted))


@dataclass(frozen=True, slots=True)
class WeightedSum:
    """A weighted sum of objectives: [(weight, objective), ...], at most 16."""

    terms: Sequence[tuple[float, Objective]]


def _split_terms(text: str) -> list[str]:
    """Splits at each + between terms; one that follows an e belongs to a number, as in 1e+5."""
    terms = [""]
    for idx, character in enumerate(text):
        is_exponent = idx >= 2 and text[idx - 1] in "eE" and (text[idx - 2].isdigit() or text[idx - 2] == ".")
        if character == "+" and not is_exponent:
            terms.append("")
        else:
            terms[-1] += character
    return terms


def _to_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _parse_term(term: str, text: str) -> Objective:
    name, colon, rest = term.partition(":")
    if not name:
        raise InvalidArgument(f"objective {text!r} has no name; write NAME or NAME:beta=NUMBER,gamma=NUMBER")
    parameters: dict[str, float | str] = {}
    for parameter in rest.split(",") if colon else ():
        key, equals, value = parameter.partition("=")
        number = _to_float(value)
        if not key:
            raise InvalidArgument(f"objective {text!r}: {parameter!r} is not PARAMETER=VALUE")
        if not equals:
            raise InvalidArgument(f"objective {text!r}: {key} has no value; write {key}=VALUE")
        if (key in ("beta", "gamma") or not value) if number is None else not math.isfinite(number):
            raise InvalidArgument(f"objective {text!r}: {key} is not a finite number: {value!r}")
        if key in parameters:
            raise InvalidArgument(f"objective {text!r}: {key} is given twice")
        parameters[key] = value if number is None else number
    beta, gamma = parameters.pop("beta", None), parameters.pop("gamma", None)
    assert not isinstance(beta, str) and not isinstance(gamma, str)
    return Objective(name, beta, gamma, parameters)


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """How pairs are scored; the same for all pairs of a call.

    policy, reference: names of hosted models. Default: the server's.
    expected_policy_digest, expected_reference_digest: if set, another model is FailedPrecondition.
    objectives: all evaluated from one pass. Default: sigmoid with beta 0.1. Also as text, see `Objective.parse`.
    profile: "trl" (tokenises as TRL's DPOTrainer; the default) or "ids" (only token ids are accepted).
    truncation_policy: what to do with a pair that is longer than max_length: "error", "keep_start" (cut a completion's
        end) or "keep_prompt_end" (cut the prompt's start, alike for both sides).
    max_length: prompt + completion, tokens. 0: the smaller context of the two models, which is also the maximum.
    return_token_logps, return_token_ids: whether results carry them.
    return_timings: whether `ScoredPairs`, or each result of a stream, tells where the time went.
    cache_mode: "read_write", "bypass" (compute all, cache nothing), "refresh" or "read_only".
    cache_policy: whether the policy's log-probs use the cache, too.
    priority: "default" (interactive for unary calls, bulk for streams), "interactive" or "bulk".
    """

    policy: str = ""
    reference: str = ""
    expected_policy_digest: str = ""
    expected_reference_digest: str = ""
    objectives: Sequence[Objective | WeightedSum | str] = ()
    profile: str = ""
    truncation_policy: TruncationPolicy = "error"
    max_length: int = 0
    return_token_logps: bool = False
    return_token_ids: bool = False
    cache_mode: CacheMode = "read_write"
    cache_policy: bool = False
    priority: Priority = "default"
    return_timings: bool = False


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a call on the server went, or of one pair of a stream; microseconds. Definitions in the proto.

    forward_us: by model, the forward passes that computed anything for the call; other calls share them, and are told
        the same time.
    """

    total_us: int
    queue_us: int
    tokenize_us: int
    cache_lookup_us: int
    forward_us: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ObjectiveResult:
    """An objective's values for one pair, with exact derivatives; definitions in the proto."""

    name: str
    beta: float
    gamma: float
    loss: float
    logit: float
    chosen_reward: float
    rejected_reward: float
    required_margin: float
    gradient_weight: float
    label: str
    effective_margin: float
    d_loss_d_policy_chosen_logp: float
    d_loss_d_policy_rejected_logp: float
    d_loss_d_beta: float
    d_loss_d_gamma: float


@dataclass(frozen=True, slots=True)
class TokenizationNotes:
    """What tokenisation and truncation did to a pair."""

    chosen_boundary_merged: bool
    rejected_boundary_merged: bool
    num_unshared_prompt_tokens: int
    num_truncated_prompt_tokens: int
    num_truncated_chosen_tokens: int
    num_truncated_rejected_tokens: int
    template_date: str


@dataclass(frozen=True, slots=True)
class CachedLogProbs:
    """Which of a pair's log-probs came from the server's cache."""

    policy_chosen_logp: bool
    policy_rejected_logp: bool
    reference_chosen_logp: bool
    reference_rejected_logp: bool


@dataclass(frozen=True, slots=True)
class PairResult:
    """What was found for one pair. Where `error` is set, the numbers are None.

    index: position in the list or stream, from 0.
    Numbers of the reference are None also where no objective needs one: then none is run.
    token_logps, token_ids: where the options ask for them.
    policy_digest, reference_digest, tokenizer_fingerprint, numerics_mode: where the numbers come from.
    timings: of a stream, where the options ask for them.
    """

    id: str
    index: int
    error: PairError | None
    policy_chosen_logp: float | None
    policy_rejected_logp: float | None
    reference_chosen_logp: float | None
    reference_rejected_logp: float | None
    chosen_logratio: float | None
    rejected_logratio: float | None
    policy_margin: float | None
    reference_margin: float | None
    num_prompt_tokens: int
    num_chosen_tokens: int
    num_rejected_tokens: int
    objectives: tuple[ObjectiveResult, ...]
    tokenization: TokenizationNotes | None
    token_logps: PairTokenLogProbs | None
    token_ids: PairTokenIds | None
    policy_digest: str
    reference_digest: str
    tokenizer_fingerprint: str
    numerics_mode: str
    score_gap: float | None
    labels: Mapping[str, str]
    cached: CachedLogProbs | None
    timings: Timings | None = None


class ScoredPairs(Sequence[PairResult]):
    """Results in the order of the pairs.

    batch_states: what each batch objective (aot, beta_dpo, ...) found out about the pairs, one mapping per requested
        objective; empty where there is no batch objective.
    timings: of the call, where it asks for them.
    """

    __slots__ = ("_results", "batch_states", "timings")

    def __init__(
        self,
        results: Sequence[PairResult],
        batch_states: Sequence[Mapping[str, float]] = (),
        timings: Timings | None = None,
    ) -> None:
        self._results = tuple(results)
        self.batch_states = tuple(batch_states)
        self.timings = timings

    @overload
    def __getitem__(self, index: int) -> PairResult: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PairResult]: ...
    def __getitem__(self, index: int | slice) -> PairResult | Sequence[PairResult]:
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        num_failed = sum(result.error is not None for result in self._results)
        return f"<ScoredPairs: {len(self)} pairs, {num_failed} failed>"


@dataclass(frozen=True, slots=True)
class ModelLogProb:
    """Log-prob of a completion under one model, nats; `token_logps` [num_completion_tokens] where asked for.

    is_greedy_match: whether greedy decoding gives just this completion; None where not asked for.
    """

    model: str
    logp: float
    token_logps: npt.NDArray[np.float32] | None = field(compare=False)
    from_cache: bool
    is_greedy_match: bool | None = None


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """Log-probs of one completion, one per model."""

    num_prompt_tokens: int
    num_completion_tokens: int
    logps: tuple[ModelLogProb, ...]
    boundary_merged: bool
    num_truncated_completion_tokens: int
    num_truncated_prompt_tokens: int


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model a number came from."""

    name: str
    digest: str
    tokenizer_fingerprint: str
    numerics_mode: str


@dataclass(frozen=True, slots=True)
class PromptResult:
    """What was found for one prompt: one `CompletionResult` per completion, none where `error` is set.

    models: the models that were used, in the order of each completion's `logps`.
    """

    id: str
    index: int
    error: PairError | None
    completions: tuple[CompletionResult, ...]
    models: tuple[ModelIdentity, ...]


class ScoredPrompts(list[PromptResult]):
    """Results in the order of the prompts.

    timings: of the call, where it asks for them.
    """

    def __init__(self, results: Iterable[PromptResult] = (), timings: Timings | None = None) -> None:
        super().__init__(results)
        self.timings = timings


@dataclass(frozen=True, slots=True)
class Model:
    """A hosted model. role: "unspecified" (used only by name), "policy", "reference" or "policy_and_reference"."""

    name: str
    role: str
    architecture: str
    digest: str
    tokenizer_fingerprint: str
    has_chat_template: bool
    dtype: str
    numerics_mode: str
    num_parameters: int
    vocab_size: int
    max_context_tokens: int
    same_bits_verified: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """The server's limits; exceeding one is an error that names it. 0: the server does not tell."""

    max_pairs_per_request: int
    max_completions_per_prompt: int
    max_objectives: int
    max_message_bytes: int
    max_text_bytes: int
    max_queued_tokens: int
    max_stream_in_flight: int
    max_batch_tokens: int
    max_queued_bytes: int
    max_batch_bytes: int
    max_batch_ms: int


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server hosts, and its limits. contract_version: of its protos; server_version: its release."""

    models: tuple[Model, ...]
    limits: Limits
    contract_version: int
    server_version: str

    def find_model(self, name: str, role: Literal["policy", "reference"]) -> Model | None:
        """The model of that name; for "" the one that has the role, if any has."""
        for model in self.models:
            if model.name == name if name else model.role in (role, "policy_and_reference"):
                return model
        return None

    def model(self, name: str, role: Literal["policy", "reference"]) -> Model:
        """The same. Raises NotFound where there is none."""
        if (model := self.find_model(name, role)) is not None:
            return model
        what = f"no model {name!r}" if name else f"no model with the role {role!r}; name one"
        raise NotFound(f"the server hosts {what}. It hosts: {', '.join(repr(model.name) for model in self.models)}")


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """A parameter of an objective; default and limits as text."""

    name: str
    default_value: str
    limits: str
    meaning: str
    source: str


@dataclass(frozen=True, slots=True)
class ObjectiveInfo:
    """What there is to know of an objective.

    needs: what it needs of a pair beside the policy's log-probs, such as "reference" and "num_chosen_tokens".
    is_batch: the value of a pair depends on the other pairs of its request.
    """

    name: str
    formula: str
    source: str
    parameters: tuple[ParameterInfo, ...]
    needs: tuple[str, ...]
    is_batch: bool
