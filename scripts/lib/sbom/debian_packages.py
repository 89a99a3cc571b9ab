# SPDX-License-Identifier: Apache-2.0
"""The system's libraries that a program loads, by the package that brings them."""

import pathlib
import re
import subprocess

from component import Component
from licences import spdx

# Headers that are compiled in: no library tells of them.
HEADER_PACKAGES = ["nlohmann-json3-dev", "libcli11-dev", "libtomlplusplus-dev"]
# Packages whose copyright file is plain text, read by a person.
PLAIN_TEXT_LICENCES = {
    "libc-ares2": "MIT",
    "libc6": "LGPL-2.1-or-later",
    "libgcc-s1": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgomp1": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libstdc++6": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libcurl4": "curl",
}


def loaded_libraries(program: pathlib.Path) -> list[pathlib.Path]:
    output = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True).stdout
    if "not found" in output:
        raise SystemExit(f"[sbom] {program} lacks a library:\n{output}")
    return [pathlib.Path(path) for path in re.findall(r"(/\S+) \(0x", output)]


def places_of(library: pathlib.Path) -> list[str]:
    """A library may be known by the place it was put at before /lib became a link to /usr/lib."""
    places = [str(library), str(library.resolve())]
    return places + [place.removeprefix("/usr") for place in places] + ["/usr" + place for place in places]


def packages_of(libraries: list[pathlib.Path]) -> dict[pathlib.Path, str]:
    """Those of the libraries that a package of the system brings."""
    places = {place: library for library in libraries for place in places_of(library)}
    # Names what it finds; that it does not know some of the places is no failure.
    output = subprocess.run(["dpkg-query", "-S", *places], check=False, capture_output=True, text=True).stdout
    found = (line.rpartition(": ") for line in output.splitlines())
    return {places[place]: owner.partition(":")[0] for owner, _, place in found if place in places}


def licence_of(package: str) -> str:
    """That of `Files: *` in the package's machine-readable copyright file. LicenseRef-unknown where there is none."""
    if package in PLAIN_TEXT_LICENCES:
        return PLAIN_TEXT_LICENCES[package]
    text = pathlib.Path(f"/usr/share/doc/{package}/copyright").read_text(encoding="utf-8", errors="replace")
    for paragraph in re.split(r"\n\s*\n", text):
        licence = re.search(r"^License: *(\S.*)$", paragraph, re.MULTILINE)
        if re.search(r"^Files: *\*\s*$", paragraph, re.MULTILINE) and licence:
            return spdx(licence[1])
    return "LicenseRef-unknown"


def component(part: str, package: str, note: str = "") -> Component:
    version = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], check=True, capture_output=True,
                             text=True).stdout
    return Component(part, "deb", package, version, licence_of(package), note)


def components(part: str, program: pathlib.Path) -> tuple[set[Component], list[pathlib.Path]]:
    """Those of the packages, and the libraries that come from elsewhere."""
    found = {component(part, package, "headers, compiled in") for package in HEADER_PACKAGES}
    libraries = loaded_libraries(program)
    packages = packages_of(libraries)
    found |= {component(part, package) for package in set(packages.values())}
    return found, [library for library in libraries if library not in packages]
