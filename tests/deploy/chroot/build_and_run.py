#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Carries out deploy/docker/Dockerfile without a container engine, and runs what comes out as its container would.

Every RUN of the target's stages runs in a chroot made by debootstrap; then the server starts in the final root, which is
read-only, as the image's user, without capabilities and with no network but loopback, is found healthy by the image's
HEALTHCHECK, scores a pair, and drains. What this cannot show: the base images themselves, layers, and the engine's own
isolation. As root on Debian with debootstrap, from the repository:

  .venv/bin/python tests/deploy/chroot/build_and_run.py --work /var/tmp/prefscore-chroot --target cpu
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from dockerfile_stages import context_files, in_build_order, read_stages
from root_file_system import Bind, RootFileSystem

REPO = pathlib.Path(__file__).resolve().parent.parent.parent.parent
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMPILERS = ("cc", "gcc", "g++", "c++", "cpp", "clang", "as", "ld", "cargo", "rustc", "nvcc", "cmake", "ninja", "python3")
DEMO = "/demo"  # of the repository, seen inside

# Runs inside. $1: the health check; then the server's command.
START_SCORE_AND_STOP = r"""
health=$1; shift
id; touch /written 2>/dev/null && { echo "the root file system can be written to"; exit 1; }
"$@" & server=$!
attempt=0
until $health; do
  attempt=$((attempt + 1))
  kill -0 $server 2>/dev/null && [ $attempt -lt 300 ] || { echo "the server did not become healthy"; exit 1; }
  sleep 1
done
head -n 1 /demo/pairs.jsonl | prefscore score --server 127.0.0.1:50051 --input - --output -
scored=$?
ls -A /var/cache/prefscore | head -n 3
kill -TERM $server; wait $server; ended=$?
echo "exit codes: score $scored, server $ended"
[ $scored = 0 ] && [ $ended = 0 ]
"""


class Build:
    def __init__(self, arguments):
        self.work = arguments.work
        self.binds = [Bind(pathlib.Path(here), there or here) for here, _, there in
                      (bind.partition(":") for bind in arguments.bind)]
        self.environment = dict(variable.split("=", 1) for variable in arguments.env)
        self.ccache = arguments.ccache
        self.reuse = arguments.reuse
        self.mirror = [arguments.mirror] if arguments.mirror else []
        self.toolchain = pathlib.Path(subprocess.run(["rustc", "--print", "sysroot"], check=True, text=True,
                                                     stdout=subprocess.PIPE).stdout.strip())
        self.seconds: list[tuple[float, str]] = []

    def base(self, image: str) -> RootFileSystem:
        """Debian 12's smallest installation stands for every base image."""
        assert "bookworm" in image or image.startswith("debian:12"), f"{image} is not of Debian 12"
        folder = self.work / "debian"
        if not (folder / "usr").is_dir():
            self._timed("debootstrap", lambda: subprocess.run(
                ["debootstrap", "--variant=minbase", "bookworm", folder, *self.mirror], check=True,
                stdout=subprocess.DEVNULL))
        return RootFileSystem(folder)

    def stage(self, stage) -> RootFileSystem:
        root = RootFileSystem(self.work / stage.name)
        if stage.name in self.built:
            return root
        base = self.stage(self.stages[stage.base]) if stage.base in self.stages else self.base(stage.base)
        if not (self.reuse and root.folder.is_dir()):
            shutil.rmtree(root.folder, ignore_errors=True)
            subprocess.run(["cp", "-a", "--reflink=auto", base.folder, root.folder], check=True)
        self.shells.setdefault(stage.name, self.shells.get(stage.base, ["/bin/sh", "-c"]))
        self.variables.setdefault(stage.name, dict(self.variables.get(stage.base, {"PATH": DEFAULT_PATH})))
        self.workdirs.setdefault(stage.name, self.workdirs.get(stage.base, "/"))
        self.rust.setdefault(stage.name, self.rust.get(stage.base, stage.base.startswith("rust:")))
        for step in stage.steps:
            self._step(stage.name, root, step)
        self.built.add(stage.name)
        return root

    def all(self, target: str) -> RootFileSystem:
        self.stages = read_stages(REPO / "deploy/docker/Dockerfile")
        self.built, self.shells, self.variables, self.workdirs, self.rust = set(), {}, {}, {}, {}
        for stage in in_build_order(self.stages, target):
            root = self.stage(stage)
        return root

    def inherited(self, target: str, command: str):
        """The last such instruction of the target or of what it is made from."""
        stage = self.stages[target]
        return stage.last(command) or self.inherited(stage.base, command)

    def _step(self, name, root, step):
        if step.command == "WORKDIR":
            self.workdirs[name] = step.values[0]
            root.inside(step.values[0]).mkdir(parents=True, exist_ok=True)
        elif step.command == "SHELL":
            self.shells[name] = list(step.values)
        elif step.command == "ENV":
            known = self.variables[name]
            for variable, value in zip(step.values[::2], step.values[1::2]):
                known[variable] = re.sub(r"\$(\w+)", lambda found: known.get(found[1], ""), value)
        elif step.command == "COPY":
            self._timed(f"COPY {' '.join(step.values)}", lambda: self._copy(name, root, step))
        elif step.command == "RUN":
            self._timed(f"RUN {step.values[0]}", lambda: self._run(name, root, step))

    def _copy(self, name, root, step):
        source, target = step.values
        to = root.inside(os.path.join(self.workdirs[name], target))
        if "from" in step.flags:
            shutil.rmtree(to, ignore_errors=True)
            shutil.copytree(self.work / step.flags["from"][0] / source.lstrip("/"), to, symlinks=True)
            return
        prefix = "" if source == "." else source + "/"
        chosen = [path for path in context_files(REPO) if path == source or path.startswith(prefix)]
        assert chosen, f"COPY {source}: no such file in the build context"
        for path in chosen:
            destination = to if path == source else to / path.removeprefix(prefix)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / path, destination, follow_symlinks=False)

    def _run(self, name, root, step):
        binds = list(self.binds)
        variables = {"HOME": "/root", **self.variables[name], **self.environment}
        for mount in step.mounts:
            if mount.kind == "bind":
                binds.append(Bind(REPO / mount.source, mount.target))
            elif self.ccache is not None:
                binds.append(Bind(self.ccache, mount.target, read_only=False))
        if self.rust[name]:
            binds.append(Bind(self.toolchain, "/usr/local/rust"))
            variables["PATH"] += ":/usr/local/rust/bin"
        root.run([*self.shells[name], step.values[0]], environment=variables, workdir=self.workdirs[name], binds=binds,
                 check=True)

    def _timed(self, what, call):
        print(f"== {what}", flush=True)
        start = time.monotonic()
        call()
        self.seconds.append((time.monotonic() - start, what))


def megabytes(folder: pathlib.Path) -> str:
    kilobytes = subprocess.run(["du", "-sk", folder], check=True, text=True, stdout=subprocess.PIPE).stdout.split()[0]
    return f"{int(kilobytes) / 1024:.0f} MB"


def compilers_in(root: RootFileSystem) -> list[str]:
    return [f"/{folder}/{name}" for folder in ("usr/bin", "usr/local/bin", "opt/prefscore/bin") for name in COMPILERS
            if os.path.lexists(root.folder / folder / name)]


def start_score_and_stop(build: Build, target: str, root: RootFileSystem) -> int:
    user = build.inherited(target, "USER").values[0].split(":")[0]
    health = build.inherited(target, "HEALTHCHECK").values[1:]
    command = [*build.inherited(target, "ENTRYPOINT").values, *build.inherited(target, "CMD").values]
    configuration = build.work / "server.toml"
    configuration.write_text(f'model = ["policy={DEMO}/models/policy", "reference={DEMO}/models/reference"]\n'
                             'cache-dir = "/var/cache/prefscore"\n')
    volume = build.work / "cache"
    shutil.rmtree(volume, ignore_errors=True)
    shutil.copytree(root.inside("/var/cache/prefscore"), volume)  # as a new named volume is filled
    os.chown(volume, int(user), int(user))
    return root.run(
        ["/bin/sh", "-c", START_SCORE_AND_STOP, "sh", " ".join(health), *command],
        environment=build.variables[target], user=user, read_only=True, own_network=True, tmpfs=["/tmp"],
        binds=[Bind(REPO / "deploy/demo", DEMO), Bind(configuration, "/etc/prefscore/server.toml"),
               Bind(volume, "/var/cache/prefscore", read_only=False)]).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder of the roots; 10 GB, kept")
    parser.add_argument("--target", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--mirror", help="where debootstrap finds Debian, if not at its own default")
    parser.add_argument("--ccache", type=pathlib.Path, help="a compiler cache for the RUNs that mount one")
    parser.add_argument("--reuse", action="store_true", help="carry the steps out on top of what an earlier run left: "
                        "minutes in place of the better part of an hour, and it proves less")
    parser.add_argument("--bind", action="append", default=["/etc/resolv.conf"], metavar="HERE[:THERE]",
                        help="a file or folder that RUNs see: settings of package clients, say. Repeatable")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE",
                        help="a variable that RUNs see. Repeatable")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    build = Build(arguments)
    root = build.all(arguments.target)
    status = start_score_and_stop(build, arguments.target, root)
    for seconds, what in build.seconds:
        print(f"{seconds:7.1f} s  {what[:100]}")
    print(f"final root: {megabytes(root.folder)}, of it /opt/prefscore {megabytes(root.inside('/opt/prefscore'))}, "
          f"Debian's smallest installation {megabytes(arguments.work / 'debian')}")
    found = compilers_in(root)
    if found:
        print(f"compilers in the final root: {' '.join(found)}", file=sys.stderr)
    return 1 if found or status else 0


if __name__ == "__main__":
    sys.exit(main())
