# SPDX-License-Identifier: Apache-2.0
"""What deploy/SECURITY.md tells operators to type."""
import re

from locations import REPO

PAGE = (REPO / "deploy/SECURITY.md").read_text()


def block(start):
    """The text of the one block of code whose first line starts so."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if text.startswith(start)]
    return found
