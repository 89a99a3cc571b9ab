# SPDX-License-Identifier: Apache-2.0
"""Names of licences in SPDX's spelling, and which of them a dependency may have."""

import re

from license_expression import AND, OR, ExpressionError, LicenseWithExceptionSymbol, Licensing

# Permissive; or weak copyleft on a library that is linked dynamically and can be replaced.
ALLOWED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "LGPL-2.1-or-later", "MIT",
    "MPL-2.0", "PSF-2.0", "Unicode-3.0", "Unlicense", "Zlib", "bzip2-1.0.6", "curl",
    # The runtime libraries of GCC.
    "GPL-3.0-or-later WITH GCC-exception-3.1",
}
# Other licences, allowed for one component each.
ALLOWED_FOR = {
    # Torch's CPU library links them; NVIDIA allows to pass them on with an application.
    ("nvidia-cuda-runtime", "LicenseRef-NVIDIA-Proprietary"),
    ("nvidia-cuda-cupti", "LicenseRef-NVIDIA-Proprietary"),
}
# What Debian's copyright files and Python packages call licences that SPDX spells otherwise.
SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD-2-clause": "BSD-2-Clause",
    "BSD-3-Clause~Google": "BSD-3-Clause",
    "BSD-3-clause": "BSD-3-Clause",
    "BSD-3-google": "BSD-3-Clause",
    "BSD-variant": "bzip2-1.0.6",  # libbz2's own
    "Expat": "MIT",
    "Expat with embedded exception": "MIT",  # libfmt: the exception asks for less
    "GPL-2": "GPL-2.0-only",
    "GPL-2+": "GPL-2.0-or-later",
    "GPL-3+": "GPL-3.0-or-later",
    "LGPL-2.1+": "LGPL-2.1-or-later",
}

_licensing = Licensing()


def spdx(text: str) -> str:
    """The expression in SPDX's spelling. "/" between names is Cargo's old way of saying "or"."""
    words = re.split(r"\s+(or|and|OR|AND)\s+|\s*(/)\s*", text.strip())
    joined = []
    for word in words:
        if word is None:
            continue
        joined.append({"or": "OR", "and": "AND", "/": "OR"}.get(word, SPELLINGS.get(word, word)))
    return " ".join(joined)


def is_allowed(name: str, expression: str) -> bool:
    """Whether one choice of an OR, and every part of an AND, is allowed. An expression that cannot be read is not."""

    def holds(node: object) -> bool:
        if isinstance(node, OR):
            return any(holds(argument) for argument in node.args)
        if isinstance(node, AND):
            return all(holds(argument) for argument in node.args)
        licence = node.render() if isinstance(node, LicenseWithExceptionSymbol) else str(node)
        return licence in ALLOWED or (name, licence) in ALLOWED_FOR

    try:
        parsed = _licensing.parse(expression)
    except ExpressionError:
        return False
    return parsed is not None and holds(parsed)
