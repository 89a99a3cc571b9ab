# SPDX-License-Identifier: Apache-2.0
"""Python packages: those whose libraries the server loads, and what the client package depends on."""

import importlib.metadata
import pathlib
import re

from component import Component
from licences import spdx

# Libraries in a wheel that are another project's.
BUNDLED = {"libgomp.so.1": ("libgomp", "GPL-3.0-or-later WITH GCC-exception-3.1")}


def component(part: str, name: str, note: str = "") -> Component:
    metadata = importlib.metadata.metadata(name)
    licence = metadata["License-Expression"] or metadata["License"] or "LicenseRef-unknown"
    return Component(part, "pypi", metadata["Name"], metadata["Version"], spdx(licence), note)


def of_libraries(part: str, libraries: list[pathlib.Path]) -> set[Component]:
    """The packages of the libraries that no package of the system brings."""
    owners = {}
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or []:
            if ".so" in file.name:
                owners[pathlib.Path(distribution.locate_file(file)).resolve()] = distribution.metadata["Name"]
    found = set()
    for library in libraries:
        owner = owners.get(library.resolve())
        if owner is None:
            raise SystemExit(f"[sbom] no package of the system and none of Python's brings {library}")
        found.add(component(part, owner))
        if library.name in BUNDLED:
            name, licence = BUNDLED[library.name]
            version = importlib.metadata.version(owner)
            found.add(Component(part, "generic", name, f"{owner}-{version}", licence, f"in the wheel of {owner}"))
    return found


def of_requirements(part: str, requirements: list[str]) -> set[Component]:
    """The named packages and, from them on, all that they need, without their extras."""
    found, waiting, seen = set(), list(requirements), set()
    while waiting:
        requirement = waiting.pop()
        if "extra ==" in requirement:
            continue
        name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        try:
            waiting += importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            if ";" in requirement:
                continue  # for another platform
            raise SystemExit(f"[sbom] {name} is not installed: run scripts/setup --tests") from None
        found.add(component(part, name))
    return found
