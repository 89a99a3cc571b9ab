# SPDX-License-Identifier: Apache-2.0
"""A systemd of its own, booted in namespaces over a copy of this machine's root that is written to memory alone.

It sees no network but loopback, no other process, none of this machine's services; what it changes goes with it.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess

from real_server import wait_until

CGROUPS = pathlib.Path("/sys/fs/cgroup")

# $1: a folder to work in. Then pairs: a folder here, and where it is seen inside, read-only.
BOOT = r"""
set -eu
work=$1; root=$work/root; shift
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$root"
mount -t proc proc "$root/proc"
mount -o bind "$root/proc/sys" "$root/proc/sys" && mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
fi
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device" && mount -o bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
while [ $# -gt 0 ]; do
  mkdir -p "$root$2"
  mount -o bind "$1" "$root$2" && mount -o remount,ro,bind "$root$2"
  shift 2
done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
rm -rf "$root"/lib/systemd/system/*.target.wants "$root"/etc/systemd/system/*.wants
printf '[Unit]\nDefaultDependencies=no\nWants=basic.target systemd-journald.service\n' \
  > "$root/etc/systemd/system/only-this.target"
cd "$root" && mkdir before && pivot_root . before && umount -l before
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --unit=only-this.target --show-status=0
"""


class Systemd:
    def __init__(self, pid):
        self._enter = ["nsenter", f"--target={pid}", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup",
                       "--root", "--wd", "env", "-i", "PATH=/usr/bin:/usr/sbin:/bin:/sbin"]

    def run(self, *command, timeout_s=300, **options):
        """As root, inside."""
        return subprocess.run([*self._enter, *map(str, command)], text=True, capture_output=True, timeout=timeout_s,
                              **options)


def _own_cgroups():
    """Folders of which systemd gets one each, below which it makes its own."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [CGROUPS / "systemd", CGROUPS / "unified"]


def why_not() -> str:
    """Empty where a systemd can be booted."""
    if os.geteuid() != 0:
        return "only root can make the namespaces"
    if not pathlib.Path("/lib/systemd/systemd").exists() or not shutil.which("nsenter"):
        return "no systemd is installed"
    if not all(os.access(folder, os.W_OK) and (folder / "cgroup.procs").exists() for folder in _own_cgroups()):
        return "no cgroup can be made"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--net", "--cgroup", "--fork",
                            "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, timeout=60)
    return f"no namespace can be made: {tried.stderr}" if tried.returncode else ""


@contextlib.contextmanager
def booted(folder: pathlib.Path, binds: dict[pathlib.Path, str]):
    """folder: an empty one to work in. binds: {a folder here: where it is inside}, read-only."""
    cgroups = [parent / f"prefscore-test-{os.getpid()}" for parent in _own_cgroups()]
    for cgroup in cgroups:
        cgroup.mkdir()
    enter_cgroups = "".join(f"echo $$ > {cgroup}/cgroup.procs; " for cgroup in cgroups)
    process = subprocess.Popen(
        ["sh", "-c", enter_cgroups + 'exec unshare "$@"', "sh",
         "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child",
         "sh", "-c", BOOT, "boot", folder, *(part for bind in binds.items() for part in bind)])
    try:
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")

        def is_up():
            assert process.poll() is None, "it did not boot"
            child = children.read_text().split()
            return bool(child) and Systemd(child[0]).run("systemctl", "is-active", "only-this.target").returncode == 0

        wait_until("systemd has booted", is_up, timeout_s=600)
        yield Systemd(children.read_text().split()[0])
    finally:
        process.kill()
        process.wait(timeout=60)
        for cgroup in cgroups:
            wait_until(f"{cgroup} is empty", lambda cgroup=cgroup: not any(
                procs.read_text() for procs in cgroup.rglob("cgroup.procs")))
            for path, _, _ in os.walk(cgroup, topdown=False):
                os.rmdir(path)
