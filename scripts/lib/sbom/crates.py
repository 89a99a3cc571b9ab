# SPDX-License-Identifier: Apache-2.0
"""The crates that are linked into the tokenizer's object file."""

import json
import pathlib
import subprocess

from component import Component
from licences import spdx

MANIFEST = pathlib.Path("server/tokenizer/rust/Cargo.toml")
# C code that a crate carries, under a licence of its own.
BUNDLED = {"onig_sys": ("oniguruma", "BSD-2-Clause")}


def components(part: str) -> set[Component]:
    """Only what is linked: no crate that runs while others are built, no macro."""
    host = next(line.split()[1] for line in
                subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.splitlines()
                if line.startswith("host:"))
    metadata = json.loads(subprocess.run(
        ["cargo", "metadata", "--locked", "--offline", "--format-version=1", f"--filter-platform={host}",
         f"--manifest-path={MANIFEST}"], check=True, capture_output=True, text=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    waiting, seen = [root], {root}
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            is_linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            is_macro = any("proc-macro" in target["kind"] for target in packages[dependency["pkg"]]["targets"])
            if is_linked and not is_macro and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    found = set()
    for package in (packages[identity] for identity in seen - {root}):
        licence = spdx(package["license"] or "LicenseRef-unknown")
        found.add(Component(part, "cargo", package["name"], package["version"], licence))
        if package["name"] in BUNDLED:
            name, licence = BUNDLED[package["name"]]
            version = package["version"].partition("+")[0]
            found.add(Component(part, "generic", name, version, licence, f"in the crate {package['name']}"))
    return found
