# SPDX-License-Identifier: Apache-2.0
"""Dataclasses to messages of the contract, and back. Pure functions; InvalidArgument names the argument at fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from google.rpc import status_pb2

from . import content as _content
from . import types
from .content import number, text, wrong
from .errors import InvalidArgument, PairError, from_status
from .v1 import models_pb2, scoring_pb2 as pb

# --- in -------------------------------------------------------------------------------------------------------------


def _enum(kind: Any, prefix: str, value: object, field: str) -> Any:
    names = [name.removeprefix(prefix).lower() for name in kind.keys() if not name.endswith("_UNSPECIFIED")]
    if value == "default":
        return 0
    if value not in names:
        raise wrong(field, f"is {value!r}; it must be one of: {', '.join(names)}")
    return kind.Value(prefix + str(value).upper())


def _labels(labels: Mapping[str, str], field: str) -> dict[str, str]:
    if not isinstance(labels, Mapping):
        raise wrong(field, f"must map names to texts, not be a {type(labels).__name__}")
    return {text(name, field): text(value, f"{field}[{name!r}]") for name, value in labels.items()}


def _known(known: types.KnownLogProbs, field: str) -> pb.KnownLogProbs:
    if not isinstance(known, types.KnownLogProbs):
        raise wrong(field, f"must be KnownLogProbs, not {type(known).__name__}")
    return pb.KnownLogProbs(
        policy_chosen_logp=number(known.policy_chosen_logp, f"{field}.policy_chosen_logp"),
        policy_rejected_logp=number(known.policy_rejected_logp, f"{field}.policy_rejected_logp"),
        reference_chosen_logp=number(known.reference_chosen_logp, f"{field}.reference_chosen_logp"),
        reference_rejected_logp=number(known.reference_rejected_logp, f"{field}.reference_rejected_logp"),
    )


_NOTHING_KNOWN = types.KnownLogProbs()


def pair_to_proto(pair: types.Pair, field: str = "pair") -> pb.PreferencePair:
    if not isinstance(pair, types.Pair):
        raise wrong(field, f"must be a Pair, not {type(pair).__name__}")
    out = pb.PreferencePair(id=text(pair.id, f"{field}.id"), score_gap=number(pair.score_gap, f"{field}.score_gap"))
    sides = (("prompt", pair.prompt), ("chosen", pair.chosen), ("rejected", pair.rejected))
    has_messages = any(_content.is_conversation(value) for _, value in sides)
    for name, value in sides:
        if value is not None:
            getattr(out, name).CopyFrom(_content.to_proto(value, f"{field}.{name}", has_messages))
    for side in ("chosen", "rejected"):
        if getattr(pair, side) is None and (
            getattr(pair.known, f"policy_{side}_logp") is None or getattr(pair.known, f"reference_{side}_logp") is None
        ):
            raise wrong(f"{field}.{side}", "is missing; it may be None only where both of its log-probs are known")
    if pair.tools is not None:
        out.tools_json = _content.json_text(pair.tools, f"{field}.tools")
    if pair.chat_template_kwargs is not None:
        out.chat_template_kwargs_json = _content.json_text(pair.chat_template_kwargs, f"{field}.chat_template_kwargs")
    if pair.known is not _NOTHING_KNOWN and pair.known != _NOTHING_KNOWN:
        out.known.CopyFrom(_known(pair.known, f"{field}.known"))
    if pair.labels:
        out.labels.update(_labels(pair.labels, f"{field}.labels"))
    return out


def prompt_to_proto(prompt: types.PromptCompletions, field: str = "prompt") -> pb.PromptCompletions:
    if not isinstance(prompt, types.PromptCompletions):
        raise wrong(field, f"must be PromptCompletions, not {type(prompt).__name__}")
    if isinstance(prompt.completions, str) or not isinstance(prompt.completions, Sequence):
        raise wrong(f"{field}.completions", f"must be a list of contents, not {type(prompt.completions).__name__}")
    out = pb.PromptCompletions(id=text(prompt.id, f"{field}.id"))
    has_messages = any(map(_content.is_conversation, (prompt.prompt, *prompt.completions)))
    out.prompt.CopyFrom(_content.to_proto(prompt.prompt, f"{field}.prompt", has_messages))
    out.completions.extend(
        _content.to_proto(value, f"{field}.completions[{idx}]", has_messages)
        for idx, value in enumerate(prompt.completions)
    )
    out.tools_json = _content.json_text(prompt.tools, f"{field}.tools")
    out.chat_template_kwargs_json = _content.json_text(prompt.chat_template_kwargs, f"{field}.chat_template_kwargs")
    return out


def logps_to_proto(pair: types.PairLogProbs, field: str = "pair") -> pb.PairLogProbs:
    if not isinstance(pair, types.PairLogProbs):
        raise wrong(field, f"must be PairLogProbs, not {type(pair).__name__}")
    try:
        out = pb.PairLogProbs(
            id=text(pair.id, f"{field}.id"),
            logps=_known(pair.logps, f"{field}.logps"),
            num_chosen_tokens=pair.num_chosen_tokens,
            num_rejected_tokens=pair.num_rejected_tokens,
            score_gap=number(pair.score_gap, f"{field}.score_gap"),
            policy_digest=text(pair.policy_digest, f"{field}.policy_digest"),
            reference_digest=text(pair.reference_digest, f"{field}.reference_digest"),
        )
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidArgument):
            raise
        counts = f"{pair.num_chosen_tokens!r} and {pair.num_rejected_tokens!r}"
        raise wrong(field, f"num_chosen_tokens and num_rejected_tokens must be counts, not {counts}") from None
    if pair.token_logps is not None:
        out.token_logps.CopyFrom(
            pb.PairTokenLogProbs(
                **{
                    name: np.asarray(getattr(pair.token_logps, name), np.float32).tolist()
                    for name in ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")
                }
            )
        )
    if pair.labels:
        out.labels.update(_labels(pair.labels, f"{field}.labels"))
    return out


def objective_to_proto(
    objective: types.Objective | types.WeightedSum | str, field: str = "objective"
) -> pb.Objective:
    if isinstance(objective, str):
        objective = types.Objective.parse(objective)
    if isinstance(objective, types.WeightedSum):
        out = pb.Objective()
        for idx, term in enumerate(objective.terms):
            where = f"{field}.terms[{idx}]"
            if not (isinstance(term, Sequence) and len(term) == 2 and isinstance(term[1], types.Objective)):
                raise wrong(where, "must be (weight, Objective)")
            out.terms.add(
                weight=number(term[0], f"{where}.weight"), objective=objective_to_proto(term[1], f"{where}.objective")
            )
        return out
    if not isinstance(objective, types.Objective):
        raise wrong(field, f"must be an Objective, a WeightedSum or a str, not {type(objective).__name__}")
    out = pb.Objective(
        name=text(objective.name, f"{field}.name"),
        beta=number(objective.beta, f"{field}.beta"),
        gamma=number(objective.gamma, f"{field}.gamma"),
    )
    for name, value in objective.parameters.items():
        where = f"{field}.parameters[{name!r}]"
        if isinstance(value, str):
            out.parameters[text(name, where)].text = value
        elif (parsed := number(value, where)) is not None:
            out.parameters[text(name, where)].number = parsed
        else:
            raise wrong(where, "is None")
    return out


def objectives_to_proto(objectives: Sequence[types.Objective | types.WeightedSum | str]) -> list[pb.Objective]:
    if isinstance(objectives, (str, types.Objective, types.WeightedSum)):
        objectives = [objectives]
    if not isinstance(objectives, Sequence):  # a generator would be empty the second time
        raise wrong("objectives", f"must be a list, not {type(objectives).__name__}")
    return [objective_to_proto(objective, f"objectives[{idx}]") for idx, objective in enumerate(objectives)]


def truncation_to_proto(value: str) -> pb.TruncationPolicy:
    policy: pb.TruncationPolicy = _enum(pb.TruncationPolicy, "TRUNCATION_POLICY_", value, "truncation_policy")
    return policy


def cache_mode_to_proto(value: str) -> pb.CacheMode:
    mode: pb.CacheMode = _enum(pb.CacheMode, "CACHE_MODE_", value, "cache_mode")
    return mode


def priority_to_proto(value: str) -> pb.Priority:
    priority: pb.Priority = _enum(pb.Priority, "PRIORITY_", value, "priority")
    return priority


def length_to_proto(value: object) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise wrong("max_length", f"must be a number of tokens >= 0, not {value!r}")
    return int(value)


def options_to_proto(options: types.ScoringOptions) -> pb.ScoringOptions:
    if not isinstance(options, types.ScoringOptions):
        raise wrong("options", f"must be ScoringOptions, not {type(options).__name__}")
    return pb.ScoringOptions(
        policy=text(options.policy, "policy"),
        reference=text(options.reference, "reference"),
        expected_policy_digest=text(options.expected_policy_digest, "expected_policy_digest"),
        expected_reference_digest=text(options.expected_reference_digest, "expected_reference_digest"),
        objectives=objectives_to_proto(options.objectives),
        profile=text(options.profile, "profile"),
        truncation_policy=truncation_to_proto(options.truncation_policy),
        max_length=length_to_proto(options.max_length),
        return_token_logps=bool(options.return_token_logps),
        return_token_ids=bool(options.return_token_ids),
        cache_mode=cache_mode_to_proto(options.cache_mode),
        cache_policy=bool(options.cache_policy),
        priority=priority_to_proto(options.priority),
        return_timings=bool(options.return_timings),
    )


# --- out ------------------------------------------------------------------------------------------------------------


def pair_error(status: status_pb2.Status) -> PairError:
    error = from_status(status)
    return PairError(error.code, status.message, error.field_violations)


def _logps(values: Sequence[float]) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


def _ids(values: Sequence[int]) -> npt.NDArray[np.uint32]:
    return np.asarray(values, np.uint32)


def objective_from_proto(result: pb.ObjectiveResult) -> types.ObjectiveResult:
    return types.ObjectiveResult(
        result.name,
        result.beta,
        result.gamma,
        result.loss,
        result.logit,
        result.chosen_reward,
        result.rejected_reward,
        result.required_margin,
        result.gradient_weight,
        result.label,
        result.effective_margin,
        result.d_loss_d_policy_chosen_logp,
        result.d_loss_d_policy_rejected_logp,
        result.d_loss_d_beta,
        result.d_loss_d_gamma,
    )


def timings_from_proto(timings: pb.Timings) -> types.Timings:
    return types.Timings(
        timings.total_us,
        timings.queue_us,
        timings.tokenize_us,
        timings.cache_lookup_us,
        {forward.model: forward.forward_us for forward in timings.forwards},
    )


def result_from_proto(result: pb.PairResult, index: int | None = None) -> types.PairResult:
    """`index`: position of the pair, where it is not the message's."""
    has = result.HasField
    failed = has("status")
    notes, token_logps, token_ids, cached = result.tokenization, result.token_logps, result.token_ids, result.cached
    return types.PairResult(
        id=result.id,
        index=result.index if index is None else index,
        error=pair_error(result.status) if failed else None,
        policy_chosen_logp=None if failed else result.policy_chosen_logp,
        policy_rejected_logp=None if failed else result.policy_rejected_logp,
        reference_chosen_logp=result.reference_chosen_logp if has("reference_chosen_logp") else None,
        reference_rejected_logp=result.reference_rejected_logp if has("reference_rejected_logp") else None,
        chosen_logratio=result.chosen_logratio if has("chosen_logratio") else None,
        rejected_logratio=result.rejected_logratio if has("rejected_logratio") else None,
        policy_margin=None if failed else result.policy_margin,
        reference_margin=result.reference_margin if has("reference_margin") else None,
        num_prompt_tokens=result.num_prompt_tokens,
        num_chosen_tokens=result.num_chosen_tokens,
        num_rejected_tokens=result.num_rejected_tokens,
        objectives=tuple(map(objective_from_proto, result.objectives)),
        tokenization=types.TokenizationNotes(
            notes.chosen_boundary_merged,
            notes.rejected_boundary_merged,
            notes.num_unshared_prompt_tokens,
            notes.num_truncated_prompt_tokens,
            notes.num_truncated_chosen_tokens,
            notes.num_truncated_rejected_tokens,
            notes.template_date,
        )
        if has("tokenization")
        else None,
        token_logps=types.PairTokenLogProbs(
            _logps(token_logps.policy_chosen),
            _logps(token_logps.policy_rejected),
            _logps(token_logps.reference_chosen),
            _logps(token_logps.reference_rejected),
        )
        if has("token_logps")
        else None,
        token_ids=types.PairTokenIds(_ids(token_ids.prompt), _ids(token_ids.chosen), _ids(token_ids.rejected))
        if has("token_ids")
        else None,
        policy_digest=result.policy_digest,
        reference_digest=result.reference_digest,
        tokenizer_fingerprint=result.tokenizer_fingerprint,
        numerics_mode=result.numerics_mode,
        score_gap=result.score_gap if has("score_gap") else None,
        labels=dict(result.labels),
        cached=types.CachedLogProbs(
            cached.policy_chosen_logp,
            cached.policy_rejected_logp,
            cached.reference_chosen_logp,
            cached.reference_rejected_logp,
        )
        if has("cached")
        else None,
        timings=timings_from_proto(result.timings) if has("timings") else None,
    )


def scored_prompts_from_proto(response: pb.ScoreCompletionsResponse) -> types.ScoredPrompts:
    models = tuple(
        types.ModelIdentity(model.name, model.digest, model.tokenizer_fingerprint, model.numerics_mode)
        for model in response.models
    )
    results = [
        types.PromptResult(
            id=result.id,
            index=result.index,
            error=pair_error(result.status) if result.HasField("status") else None,
            completions=tuple(map(_completion, result.completions)),
            models=models,
        )
        for result in response.results
    ]
    timings = timings_from_proto(response.timings) if response.HasField("timings") else None
    return types.ScoredPrompts(results, timings)


def _completion(result: pb.CompletionResult) -> types.CompletionResult:
    return types.CompletionResult(
        num_prompt_tokens=result.num_prompt_tokens,
        num_completion_tokens=result.num_completion_tokens,
        logps=tuple(
            types.ModelLogProb(
                model=logp.model,
                logp=logp.logp,
                token_logps=_logps(logp.token_logps) if logp.token_logps else None,
                from_cache=logp.from_cache,
                is_greedy_match=logp.is_greedy_match if logp.HasField("is_greedy_match") else None,
            )
            for logp in result.logps
        ),
        boundary_merged=result.boundary_merged,
        num_truncated_completion_tokens=result.num_truncated_completion_tokens,
        num_truncated_prompt_tokens=result.num_truncated_prompt_tokens,
    )


def server_info_from_proto(response: models_pb2.ListModelsResponse) -> types.ServerInfo:
    return types.ServerInfo(
        models=tuple(map(_model, response.models)),
        limits=types.Limits(**{name: getattr(response.limits, name) for name in types.Limits.__dataclass_fields__}),
        contract_version=response.contract_version,
        server_version=response.server_version,
    )


def _model(model: models_pb2.Model) -> types.Model:
    role = models_pb2.ModelRole.Name(model.role).removeprefix("MODEL_ROLE_").lower()
    names = [name for name in types.Model.__dataclass_fields__ if name != "role"]
    return types.Model(role=role, **{name: getattr(model, name) for name in names})


def health(status: int) -> types.Health:
    """Of grpc.health.v1.HealthCheckResponse.ServingStatus."""
    return "serving" if status == 1 else "not_serving" if status == 2 else "unknown"


def objective_infos_from_proto(response: pb.ListObjectivesResponse) -> list[types.ObjectiveInfo]:
    return [
        types.ObjectiveInfo(
            name=info.name,
            formula=info.formula,
            source=info.source,
            parameters=tuple(
                types.ParameterInfo(p.name, p.default_value, p.limits, p.meaning, p.source) for p in info.parameters
            ),
            needs=tuple(info.needs),
            is_batch=info.is_batch,
        )
        for info in response.objectives
    ]
