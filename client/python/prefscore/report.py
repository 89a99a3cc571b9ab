# SPDX-License-Identifier: Apache-2.0
"""A report on a set of pairs: its numbers, and the page of `prefscore analyze --html`, which the server draws."""

from __future__ import annotations

import html as markup
import json
import os
import pathlib

from google.protobuf import json_format

from .errors import FailedPrecondition, InvalidArgument
from .v1 import diagnostics_pb2 as pb

_HEIGHT_PX = 640  # of the frame in a notebook
# A link to a part of the page would lead a frame to the notebook's address, were that the base.
_HEAD, _HEAD_OF_FRAME = "<head>\n", '<head>\n<base href="about:srcdoc">\n'


class Report:
    """A report on a set of pairs. The last value of a notebook's cell shows as the page.

    message: the contract's `AnalysisReport`, with all numbers; definitions in proto/prefscore/v1/diagnostics.proto.
    """

    def __init__(self, message: pb.AnalysisReport, html: str = "") -> None:
        self.message = message
        self._html = html

    @property
    def overall(self) -> pb.SliceReport:
        """The part about all pairs."""
        return self.message.slices[0]

    def slices(self, label_name: str) -> dict[str, pb.SliceReport]:
        """The parts about the pairs with each value of a label; under "", the group of further values, if any."""
        names = {slice_.label_name for slice_ in self.message.slices if slice_.label_name}
        if label_name not in names:
            told = ", ".join(sorted(names)) or "none"
            raise InvalidArgument(f"no pair has the label {label_name!r}; there are: {told}")
        return {s.label_value: s for s in self.message.slices if s.label_name == label_name}

    @property
    def html(self) -> str:
        """The page: one HTML file that needs nothing else, no network, no script; light or dark as the reader's system
        is. Raises FailedPrecondition where there is none: in a report that was read from JSON, or
        asked for with return_html=False."""
        if not self._html:
            raise FailedPrecondition(
                "this report has no page: only what Client.analyze returns has one, with return_html=True and of a "
                "server that draws pages"
            )
        return self._html

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Writes the page to a file, in place of what is there."""
        pathlib.Path(path).write_text(self.html, encoding="utf-8", newline="\n")

    def _repr_html_(self) -> str | None:
        """The page in a frame of its own: its styles and the notebook's do not meet. None, where there is no page."""
        if not self._html:
            return None
        page = markup.escape(self._html.replace(_HEAD, _HEAD_OF_FRAME, 1))
        style = f"width: 100%; height: {_HEIGHT_PX}px; border: 1px solid #8884"
        return f'<iframe title="prefscore report" sandbox="" style="{style}" srcdoc="{page}"></iframe>'

    def to_json(self) -> str:
        """proto3 JSON with the proto's field names, as `prefscore analyze --json` writes it, but for 64-bit integers,
        which are strings here. Without the page."""
        return json_format.MessageToJson(
            self.message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """Reads what `to_json` or `prefscore analyze --json` wrote."""
        try:
            fields = json.loads(text)
            if not isinstance(fields, dict):
                raise ValueError(f"it is a {type(fields).__name__}")
            return cls(json_format.ParseDict(fields, pb.AnalysisReport()))
        except (json_format.ParseError, ValueError) as error:
            raise InvalidArgument(f"this is no report: {error}") from None

    def __repr__(self) -> str:
        return f"<Report: {self.message.num_pairs} pairs, {self.message.num_faulty_pairs} faulty>"
