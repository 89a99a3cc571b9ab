# SPDX-License-Identifier: Apache-2.0
"""Whether ids mean the same here and at the reference."""

from __future__ import annotations

import logging
from typing import Any

from .. import tokenizer_check
from ..errors import FailedPrecondition
from .reference import RemoteReference

logger = logging.getLogger("prefscore.trl")


def check_tokenizer(reference: RemoteReference, tokenizer: Any) -> None:
    """Raises TokenizerMismatch; says so in the log where the server has no tokenizer to compare with.

    Not compared: which special tokens are put around a text, and chat templates. Ids are sent, so these are local.
    """
    model = reference.identity.model
    told = "it has none"
    try:
        tokenizer_check.check_tokenizer(reference.client, tokenizer, model)
        if reference.identity.tokenizer_fingerprint:
            return
    except FailedPrecondition as error:
        told = error.message
    logger.warning("not checked that the reference %r has this tokenizer: %s", model, told)
