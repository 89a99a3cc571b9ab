# SPDX-License-Identifier: Apache-2.0
"""Asking for a report on a set of pairs: the options, and the messages that carry the pairs."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from . import convert
from .content import number, wrong
from .errors import PrefscoreError
from .types import Limits, Pair, PairLogProbs, ScoringOptions
from .v1 import diagnostics_pb2 as pb

_MAX_PAIRS_PER_MESSAGE = 256
_MAX_SHARE_OF_MESSAGE = 0.5  # a message is sent once it has this share of the bytes that the server takes


@dataclass(frozen=True, slots=True)
class SweepGrid:
    """The points of a sweep: each beta (> 0) with each ratio gamma / beta (>= 0). At most 1024; none: no sweep."""

    betas: Sequence[float] = ()
    gamma_over_betas: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """What is reported, and how pairs are scored.

    scoring: models, objectives and lengths. Objectives that need a whole batch (aot, beta_dpo, ...) are refused.
    sweep: default: 10 x 10 points, beta from 0.01 to 5, gamma / beta from 0 to 100.
    temper_exponents: of the reference temper, each > 0. Default: 0.25, 0.5, 1, 2, 4.
    learning_threshold: a pair still learns where sigmoid(-logit) is above this, in (0, 1). Default: 0.05.
    saturation_threshold: a pair is saturated where it is below this, in (0, 1). Default: 0.01.
    max_slices: per label name; further values are grouped. 0: 64.
    num_listed_pairs: in each list of pairs to look at, at most 1000. 0: 10.
    preference_probabilities: of the idealised optimum, each in (0.5, 1). Default: 0.6, 0.75, 0.9, 0.95, 0.99.
    skip_faulty_pairs: count and list pairs that the server cannot score, instead of ending with the first one.
    """

    scoring: ScoringOptions = field(default=ScoringOptions())
    sweep: SweepGrid | None = None
    temper_exponents: Sequence[float] = ()
    learning_threshold: float | None = None
    saturation_threshold: float | None = None
    max_slices: int = 0
    num_listed_pairs: int = 0
    preference_probabilities: Sequence[float] = ()
    skip_faulty_pairs: bool = False


def _count(value: object, name: str) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise wrong(name, f"must be a count >= 0, not {value!r}")
    return int(value)


def _numbers(values: Sequence[float], name: str) -> list[float]:
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise wrong(name, f"must be a list of numbers, not {type(values).__name__}")
    numbers = [number(value, f"{name}[{idx}]") for idx, value in enumerate(values)]
    if (idx := next((idx for idx, value in enumerate(numbers) if value is None), None)) is not None:
        raise wrong(f"{name}[{idx}]", "is None")
    return [value for value in numbers if value is not None]


def options_to_proto(options: AnalysisOptions) -> pb.AnalysisOptions:
    if not isinstance(options, AnalysisOptions):
        raise wrong("options", f"must be AnalysisOptions, not {type(options).__name__}")
    out = pb.AnalysisOptions(
        scoring=convert.options_to_proto(options.scoring),
        temper_exponents=_numbers(options.temper_exponents, "temper_exponents"),
        learning_threshold=number(options.learning_threshold, "learning_threshold"),
        saturation_threshold=number(options.saturation_threshold, "saturation_threshold"),
        max_slices=_count(options.max_slices, "max_slices"),
        num_listed_pairs=_count(options.num_listed_pairs, "num_listed_pairs"),
        preference_probabilities=_numbers(options.preference_probabilities, "preference_probabilities"),
        skip_faulty_pairs=bool(options.skip_faulty_pairs),
    )
    if options.sweep is not None:
        if not isinstance(options.sweep, SweepGrid):
            raise wrong("sweep", f"must be a SweepGrid, not {type(options.sweep).__name__}")
        out.sweep.SetInParent()
        out.sweep.betas.extend(_numbers(options.sweep.betas, "sweep.betas"))
        out.sweep.gamma_over_betas.extend(_numbers(options.sweep.gamma_over_betas, "sweep.gamma_over_betas"))
    return out


_PLACE = re.compile(r"(pairs|logps)\[(\d+)\]")  # how the server names a pair of the stream


class Messages:
    """Gathers pairs into messages of a size that the server takes. The first one carries the options."""

    def __init__(self, options: pb.AnalysisOptions, limits: Limits, return_html: bool) -> None:
        self._max_pairs = min(_MAX_PAIRS_PER_MESSAGE, limits.max_pairs_per_request or _MAX_PAIRS_PER_MESSAGE)
        self._max_bytes = (limits.max_message_bytes or 4 << 20) * _MAX_SHARE_OF_MESSAGE
        self._message = pb.AnalyzePairsRequest(options=options, return_html=return_html)
        self._num_read = 0
        self._is_known = False
        self._changes = array("Q")  # indices at which `Pair` gives way to `PairLogProbs`, and back
        self._num_bytes = 0

    def add(self, pair: Pair | PairLogProbs) -> Iterator[pb.AnalyzePairsRequest]:
        """Gives a message where one is full. Raises InvalidArgument for what is no pair."""
        index, field_name = self._num_read, f"pairs[{self._num_read}]"
        self._num_read += 1
        if isinstance(pair, PairLogProbs) != self._is_known:
            self._is_known = not self._is_known
            self._changes.append(index)
        if isinstance(pair, PairLogProbs):
            known = convert.logps_to_proto(pair, field_name)
            known.id = known.id or str(index)
            self._num_bytes += known.ByteSize()
            self._message.logps.append(known)
        elif isinstance(pair, Pair):
            proto = convert.pair_to_proto(pair, field_name)
            proto.id = proto.id or str(index)
            self._num_bytes += proto.ByteSize()
            self._message.pairs.append(proto)
        else:
            raise wrong(field_name, f"must be a Pair or PairLogProbs, not {type(pair).__name__}")
        if len(self._message.pairs) + len(self._message.logps) >= self._max_pairs or self._num_bytes >= self._max_bytes:
            yield self.rest()

    def rest(self) -> pb.AnalyzePairsRequest:
        """What is gathered, however little: also where there are no pairs, the options."""
        message, self._message, self._num_bytes = self._message, pb.AnalyzePairsRequest(), 0
        return message

    def with_index(self, error: PrefscoreError) -> PrefscoreError:
        """`error` with the index in the caller's pairs: the server counts those that it scores and the others apart."""

        def named(text: str) -> str:
            if (place := _PLACE.match(text)) is None:
                return text
            return f"pairs[{self._index(place[1] == 'logps', int(place[2]))}]{text[place.end() :]}"

        error.message = named(error.message)
        error.field_violations = tuple(
            replace(violation, field=named(violation.field), description=named(violation.description))
            for violation in error.field_violations
        )
        return error

    def _index(self, is_known: bool, nth: int) -> int:
        """Where the nth of one kind stands among all pairs, from 0."""
        start, start_is_known = 0, False
        for end in self._changes:
            if start_is_known == is_known:
                if start + nth < end:
                    break
                nth -= end - start
            start, start_is_known = end, not start_is_known
        return start + nth
