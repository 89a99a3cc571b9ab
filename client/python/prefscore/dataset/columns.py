# SPDX-License-Identifier: Apache-2.0
"""The columns that scoring adds to a data set.

* TRL's: `ref_chosen_logps`, `ref_rejected_logps`, float32 as TRL's own are. `prompt_ids`, `chosen_ids`, `rejected_ids`.
* Those of `prefscore.PairResult`, by its names, float64; and those of its `TokenizationNotes`.
* Per-token log-probs, float32: `policy_chosen_token_logps`, and so on for reference and rejected.
* Those of `prefscore.ObjectiveResult`, once for each objective and named after it: `loss` is `sigmoid:beta=0.1/loss`
  for the objective "sigmoid:beta=0.1", and `sigmoid/loss` for the default.
* `prefscore_error_code` and `prefscore_error`: why a row was not scored; its numbers are null. Always there, unless
  failed rows are raised.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .. import convert
from ..errors import InvalidArgument, PairError
from ..types import (
    Objective,
    ObjectiveResult,
    PairResult,
    PairTokenLogProbs,
    ScoringOptions,
    TokenizationNotes,
    WeightedSum,
)

DEFAULT_COLUMNS = (
    "ref_chosen_logps", "ref_rejected_logps", "policy_chosen_logp", "policy_rejected_logp", "policy_margin",
    "reference_margin", "num_prompt_tokens", "num_chosen_tokens", "num_rejected_tokens", "loss", "logit",
    "chosen_reward", "rejected_reward", "policy_digest", "reference_digest",
)  # fmt: skip
ERROR_COLUMNS = ("prefscore_error_code", "prefscore_error")

Kind = Literal["float64", "float32", "int32", "bool", "string", "float32 list", "int32 list"]
Value = Callable[[PairResult], Any]

_PAIR_FLOATS = (
    "policy_chosen_logp", "policy_rejected_logp", "reference_chosen_logp", "reference_rejected_logp", "chosen_logratio",
    "rejected_logratio", "policy_margin", "reference_margin",
)  # fmt: skip
_PAIR_COUNTS = ("num_prompt_tokens", "num_chosen_tokens", "num_rejected_tokens")
_PAIR_TEXTS = ("policy_digest", "reference_digest", "tokenizer_fingerprint", "numerics_mode")
_TRL_LOGPS = {"ref_chosen_logps": "reference_chosen_logp", "ref_rejected_logps": "reference_rejected_logp"}
_TOKEN_IDS = {"prompt_ids": "prompt", "chosen_ids": "chosen", "rejected_ids": "rejected"}
_TOKEN_LOGPS = {f"{field.name}_token_logps": field.name for field in dataclasses.fields(PairTokenLogProbs)}
_NOTES = {field.name: field for field in dataclasses.fields(TokenizationNotes)}
_OBJECTIVE_FLOATS = tuple(field.name for field in dataclasses.fields(ObjectiveResult) if field.type == "float")
_NO_NOTES = TokenizationNotes(False, False, 0, 0, 0, 0, "")


@dataclass(frozen=True, slots=True)
class Column:
    """value: from the result of a scored pair; None: null."""

    name: str
    kind: Kind
    value: Value


def objective_text(objective: Objective | WeightedSum | str) -> str:
    """As `Objective.parse` reads it; a text stays as it is."""
    if isinstance(objective, str):
        return objective
    if isinstance(objective, WeightedSum):
        return "+".join(f"{weight!r}*{objective_text(term)}" for weight, term in objective.terms)
    weights = {"beta": objective.beta, "gamma": objective.gamma}
    told = {key: value for key, value in weights.items() if value is not None} | dict(
        sorted(objective.parameters.items())
    )
    parameters = ",".join(f"{key}={value}" for key, value in told.items())
    return f"{objective.name}:{parameters}" if parameters else objective.name


def _float32(value: float | None) -> float | None:
    return None if value is None else float(np.float32(value))


def _columns_named(name: str, objectives: Sequence[str]) -> list[Column]:
    def attribute(attribute_name: str) -> Value:
        return lambda result: getattr(result, attribute_name)

    def of_objective(idx: int) -> Value:
        return lambda result: getattr(result.objectives[idx], name)

    def of_notes(result: PairResult) -> Any:
        return getattr(result.tokenization or _NO_NOTES, name)

    def of_token_ids(result: PairResult) -> Any:
        return result.token_ids and getattr(result.token_ids, _TOKEN_IDS[name]).tolist()

    def of_token_logps(result: PairResult) -> Any:
        return result.token_logps and getattr(result.token_logps, _TOKEN_LOGPS[name]).tolist()

    if name in _TRL_LOGPS:
        exact = attribute(_TRL_LOGPS[name])
        return [Column(name, "float32", lambda result: _float32(exact(result)))]
    if name in _PAIR_FLOATS:
        return [Column(name, "float64", attribute(name))]
    if name in _PAIR_COUNTS:
        return [Column(name, "int32", attribute(name))]
    if name in _PAIR_TEXTS:
        return [Column(name, "string", attribute(name))]
    if name in _TOKEN_IDS:
        return [Column(name, "int32 list", of_token_ids)]
    if name in _TOKEN_LOGPS:
        return [Column(name, "float32 list", of_token_logps)]
    if name in _NOTES:
        kinds: dict[Any, Kind] = {"bool": "bool", "int": "int32", "str": "string"}
        return [Column(name, kinds[_NOTES[name].type], of_notes)]
    if name in _OBJECTIVE_FLOATS:
        return [Column(f"{text}/{name}", "float64", of_objective(idx)) for idx, text in enumerate(objectives)]
    names = (
        *_TRL_LOGPS,
        *_PAIR_FLOATS,
        *_PAIR_COUNTS,
        *_OBJECTIVE_FLOATS,
        *_PAIR_TEXTS,
        *_TOKEN_IDS,
        *_TOKEN_LOGPS,
        *_NOTES,
    )
    raise InvalidArgument(f"columns: there is no column {name!r}; there are: {', '.join(names)}")


class OutputColumns:
    """The columns that a run adds: those named in `columns`, for these options. Raises InvalidArgument for others."""

    def __init__(self, columns: Sequence[str], options: ScoringOptions, has_errors: bool) -> None:
        if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
            raise InvalidArgument(f"columns must be a list of names, not {columns!r}")
        convert.options_to_proto(options)  # tells what is wrong with them
        self._arguments = (tuple(columns), options, has_errors)
        given = options.objectives
        objectives = [given] if isinstance(given, str | Objective | WeightedSum) else given or ["sigmoid"]
        texts = [objective_text(objective) for objective in objectives]
        wanted = [name for name in columns if name not in ERROR_COLUMNS]
        self._columns = [column for name in wanted for column in _columns_named(name, texts)]
        self._has_errors = has_errors
        self.names = [column.name for column in self._columns] + (list(ERROR_COLUMNS) if has_errors else [])
        if repeated := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise InvalidArgument(f"columns and objectives give a column twice: {', '.join(repeated)}")
        self._needs_token_ids = any(name in _TOKEN_IDS for name in wanted)
        self._needs_token_logps = any(name in _TOKEN_LOGPS for name in wanted)

    def __reduce__(self) -> tuple[type[OutputColumns], tuple[Any, ...]]:
        return OutputColumns, self._arguments

    @property
    def kinds(self) -> Mapping[str, Kind]:
        errors: dict[str, Kind] = dict.fromkeys(ERROR_COLUMNS, "string") if self._has_errors else {}
        return {column.name: column.kind for column in self._columns} | errors

    def options(self, options: ScoringOptions) -> ScoringOptions:
        """`options`, asking for what the columns need and for no more."""
        return dataclasses.replace(
            options, return_token_ids=self._needs_token_ids, return_token_logps=self._needs_token_logps
        )

    def record(self, result: PairResult, error: PairError | None) -> dict[str, Any]:
        """The columns' values of one row."""
        record = {column.name: None if error else column.value(result) for column in self._columns}
        if self._has_errors:
            record |= {ERROR_COLUMNS[0]: error and error.code, ERROR_COLUMNS[1]: error and error.message}
        return record

    @functools.cached_property
    def arrow_schema(self) -> Any:
        """A pyarrow.Schema."""
        import pyarrow as pa

        types = {
            "float64": pa.float64(), "float32": pa.float32(), "int32": pa.int32(), "bool": pa.bool_(),
            "string": pa.string(), "float32 list": pa.list_(pa.float32()), "int32 list": pa.list_(pa.int32()),
        }  # fmt: skip
        return pa.schema([pa.field(name, types[kind]) for name, kind in self.kinds.items()])
