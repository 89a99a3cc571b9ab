# SPDX-License-Identifier: Apache-2.0
"""A folder used as the root of a process of its own, as a container's would be."""
import dataclasses
import pathlib
import shlex
import subprocess


@dataclasses.dataclass
class Bind:
    """A file or folder of this machine, seen inside at `target`."""

    source: pathlib.Path
    target: str
    read_only: bool = True


@dataclasses.dataclass
class RootFileSystem:
    folder: pathlib.Path

    def inside(self, path: str) -> pathlib.Path:
        return self.folder / path.lstrip("/")

    def run(self, argv, *, environment, workdir="/", binds=(), read_only=False, own_network=False, user=None,
            tmpfs=(), timeout_s=None, **popen):
        """Runs argv in mount and process namespaces of its own, so nothing of it outlives the call."""
        made = [path for path in map(self._make_mount_point, binds) if path is not None]
        root = shlex.quote(str(self.folder))
        script = ["set -e", "mount --make-rprivate /", f"mount --bind {root} {root}",
                  f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        if own_network:
            script.append("ip link set lo up")
        if read_only:
            script.append(f"mount -o remount,bind,ro {root}")
        script += [f"mount -t tmpfs tmpfs {root}{path}" for path in tmpfs]
        for bind in binds:
            target = shlex.quote(str(self.inside(bind.target)))
            script.append(f"mount --bind {shlex.quote(str(bind.source))} {target}")
            if bind.read_only:
                script.append(f"mount -o remount,bind,ro {target}")
        variables = " ".join(shlex.quote(f"{name}={value}") for name, value in environment.items())
        becomes = ""
        if user is not None:
            # No capability, and none to be had: as cap_drop ALL with no-new-privileges.
            becomes = (f"setpriv --reuid={user} --regid={user} --clear-groups --no-new-privs --bounding-set=-all "
                       "--inh-caps=-all ")
        script.append(f"exec chroot {root} /usr/bin/env -i {variables} {becomes}"
                      f"/bin/sh -c {shlex.quote(f'cd {shlex.quote(workdir)} && exec {shlex.join(argv)}')}")
        network = ["--net"] if own_network else []
        try:
            return subprocess.run(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", *network, "sh", "-c", "\n".join(script)],
                timeout=timeout_s, **popen)
        finally:
            for path in reversed(made):
                path.rmdir() if path.is_dir() else path.unlink()

    def _make_mount_point(self, bind: Bind):
        """Makes what is missing of the target; gives its path where the last part was."""
        path = self.inside(bind.target)
        if path.exists():
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if bind.source.is_dir() else path.touch()
        return path
