# SPDX-License-Identifier: Apache-2.0
"""A Dockerfile as its stages, read by Docker's own parser, and the files that a build of it would see."""
import dataclasses
import os
import pathlib
import re
import string
import subprocess

import dockerfile
import pathspec


@dataclasses.dataclass
class Mount:
    """One --mount of a RUN."""

    kind: str  # "cache" or "bind"
    target: str
    source: str = ""


@dataclasses.dataclass
class Step:
    """RUN, COPY, WORKDIR, ... of a stage."""

    command: str
    flags: dict[str, list[str]]
    values: tuple[str, ...]
    is_json: bool

    @property
    def mounts(self) -> list[Mount]:
        parsed = [dict(part.split("=", 1) for part in mount.split(",")) for mount in self.flags.get("mount", [])]
        return [Mount(mount["type"], mount["target"], mount.get("source", "")) for mount in parsed]


@dataclasses.dataclass
class Stage:
    """FROM base AS name, and its steps."""

    name: str
    base: str
    steps: list[Step]

    def last(self, command: str) -> Step | None:
        return next((step for step in reversed(self.steps) if step.command == command), None)

    def sources(self) -> set[str]:
        """The stages that this one needs: its base, and those that it copies from."""
        return {self.base} | {stage for step in self.steps for stage in step.flags.get("from", [])}


def read_stages(path: pathlib.Path) -> dict[str, Stage]:
    """Every stage by its name, with the arguments' defaults put into FROM."""
    stages: dict[str, Stage] = {}
    defaults: dict[str, str] = {}
    current = None
    for line in dockerfile.parse_file(str(path)):
        command = line.cmd.upper()
        if command == "FROM":
            base, _, name = line.value
            current = stages[name] = Stage(name, string.Template(base).substitute(defaults), [])
        elif current is None:
            assert command == "ARG", f"{path}: {line.original} stands before the first FROM"
            defaults.update([line.value[0].split("=", 1)])
        else:
            flags: dict[str, list[str]] = {}
            for key, value in (re.fullmatch(r"--([a-z-]+)=(.*)", flag).groups() for flag in line.flags):
                flags.setdefault(key, []).append(value)
            current.steps.append(Step(command, flags, line.value, line.json))
    return stages


def in_build_order(stages: dict[str, Stage], target: str) -> list[Stage]:
    """What the target needs, itself last; like BuildKit, without the rest."""
    order: list[Stage] = []

    def visit(name: str):
        if name not in stages or stages[name] in order:
            return
        for source in sorted(stages[name].sources()):
            visit(source)
        order.append(stages[name])

    visit(target)
    return order


def context_files(repo: pathlib.Path) -> list[str]:
    """Paths of the build context: what git knows or would add, less what .dockerignore names."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=repo,
                            check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    # Docker's patterns start at the root; git's match at any depth unless they begin with a slash.
    anchored = [re.sub(r"^(!?)(?!\*\*/|!)", r"\1/", line) for line in (repo / ".dockerignore").read_text().splitlines()
                if line and not line.startswith("#")]
    ignored = pathspec.PathSpec.from_lines("gitignore", anchored)
    return sorted(path for path in listed if path and os.path.lexists(repo / path) and not ignored.match_file(path))
