# SPDX-License-Identifier: Apache-2.0
"""Prompts and completions as messages of the contract, with errors that say which argument is of a wrong type.

What the contract can express, such as an empty completion or a pair of mixed forms, is for the server to judge: it
fails that pair alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import FieldViolation, InvalidArgument
from .types import Content
from .v1 import scoring_pb2 as pb

_MAX_ID = 2**32 - 1


def wrong(field: str, description: str) -> InvalidArgument:
    return InvalidArgument(f"{field}: {description}", field_violations=[FieldViolation(field, description)])


def text(value: object, field: str) -> str:
    """`value`, if it is a str that UTF-8 can express."""
    if not isinstance(value, str):
        raise wrong(field, f"must be a str, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise wrong(field, f"is not valid Unicode: {error.reason} at character {error.start}") from None
    return value


def number(value: object, field: str) -> float | None:
    """`value` as a float; None stays None."""
    if value is None or type(value) is float:
        return value
    if isinstance(value, (int, np.integer, np.floating)) and not isinstance(value, bool):
        return float(value)
    raise wrong(field, f"must be a number, not {type(value).__name__}")


def check_iterable(values: object, field: str, what: str) -> None:
    if not hasattr(values, "__iter__"):
        hint = "; AsyncClient.stream_pairs and analyze read async iterables" if hasattr(values, "__aiter__") else ""
        raise wrong(field, f"must be an iterable of {what}, not {type(values).__name__}{hint}")


def json_text(value: object, field: str) -> str:
    """JSON of `value`; "" for None. A str is JSON already."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise wrong(field, f"cannot be written as JSON: {error}") from None


def _is_plain(message: Mapping[str, Any]) -> bool:
    if list(message) != ["role", "content"]:
        return False
    return isinstance(message["role"], str) and message["role"] != "" and isinstance(message["content"], str)


def _conversation(messages: Sequence[Any], field: str) -> pb.Content:
    out = pb.Content(conversation=pb.Conversation())
    for idx, message in enumerate(messages):
        where = f"{field}[{idx}]"
        if not isinstance(message, Mapping):
            raise wrong(where, f"must be a message like those before it, not {type(message).__name__}")
        if _is_plain(message):
            role, content = text(message["role"], where), text(message["content"], where)
            out.conversation.messages.add(role=role, content=content)
        else:
            out.conversation.messages.add(json=text(json_text(dict(message), where), where))
    return out


def _ids(ids: Sequence[Any], field: str) -> pb.Content:
    try:
        return pb.Content(token_ids=pb.TokenIds(ids=ids))
    except (TypeError, ValueError):
        for idx, value in enumerate(ids):
            if isinstance(value, Mapping | str) or not hasattr(value, "__index__"):
                what = f"{type(value).__name__} {value!r}" if isinstance(value, float | str) else type(value).__name__
                raise wrong(f"{field}[{idx}]", f"must be a token id (an int), not {what}") from None
            if not 0 <= value <= _MAX_ID:
                raise wrong(f"{field}[{idx}]", f"is {value}; a token id is in [0, vocabulary size)") from None
        raise


def _ids_of_array(array: np.ndarray[Any, Any], field: str) -> pb.Content:
    if array.ndim != 1:
        raise wrong(field, f"token ids must have one dimension, not shape {array.shape}")
    if array.dtype.kind not in "iu" and array.size > 0:
        raise wrong(field, f"token ids must be integers, not {array.dtype}")
    return _ids(array.tolist(), field)


def is_conversation(value: object) -> bool:
    return isinstance(value, Sequence) and len(value) > 0 and isinstance(value[0], Mapping)


def to_proto(value: Content, field: str, empty_is_conversation: bool = False) -> pb.Content:
    """`value` as a message; an empty list is a conversation where the pair's other contents are.

    Raises InvalidArgument, naming `field`, for what is no content.
    """
    if isinstance(value, str):
        return pb.Content(text=text(value, field))
    if isinstance(value, np.ndarray) or (hasattr(value, "__array__") and not isinstance(value, Sequence)):
        return _ids_of_array(np.asarray(value), field)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        if is_conversation(value) or (len(value) == 0 and empty_is_conversation):
            return _conversation(value, field)
        return _ids(value, field)
    what = "bytes; decode it" if isinstance(value, bytes) else type(value).__name__
    raise wrong(field, f"must be a str, a list of messages or token ids, not {what}")
