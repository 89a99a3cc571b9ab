# SPDX-License-Identifier: Apache-2.0
"""The systemd unit: valid where it is installed, sandboxed, and no tighter than what the server does."""
import pathlib
import re
import subprocess
import urllib.request

import pytest
from real_server import Server

DEMO = pathlib.Path(__file__).resolve().parents[2] / "deploy/demo"

UNIT = "lib/systemd/system/prefscore-server.service"


@pytest.fixture(scope="module")
def unit(installed):
    """The installed unit, made to point to where the installation was moved."""
    path = installed / UNIT
    first = re.search(r"^ExecStart=(\S+)/bin/prefscore-server", path.read_text(), re.MULTILINE)[1]
    path.write_text(path.read_text().replace(first, str(installed)))
    return path


def test_the_unit_is_valid_and_exposes_little(unit):
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
    assert (verified.returncode, verified.stderr) == (0, "")
    # In tenths; systemd calls up to 20 "OK" at the least.
    exposed = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", unit],
                             capture_output=True, text=True, timeout=60)
    assert exposed.returncode == 0, exposed.stdout[-400:]


def test_stopping_waits_longer_than_the_drain(unit, build_dir, demo_flags):
    stop_s = float(re.search(r"^TimeoutStopSec=(\d+)$", unit.read_text(), re.MULTILINE)[1])
    in_force = subprocess.run([build_dir / "prefscore-server", *demo_flags, "--check-config"], check=True, text=True,
                              stdout=subprocess.PIPE, timeout=120).stdout
    settings = dict(re.findall(r"^(shutdown-grace|max-batch-ms) = (\S+)$", in_force, re.MULTILINE))
    assert stop_s > float(settings["shutdown-grace"]) + float(settings["max-batch-ms"]) / 1000


def allowed_system_calls(unit_text):
    """Names in the unit's SystemCallFilter, its sets resolved by systemd."""
    def names(group):
        listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", group], check=True, text=True,
                                stdout=subprocess.PIPE, timeout=60).stdout
        found = set()
        for line in listed.splitlines()[1:]:
            entry = line.split("#")[0].strip()
            if entry:
                found |= names(entry) if entry.startswith("@") else {entry}
        return found

    allowed, refused = re.findall(r"^SystemCallFilter=(.*)$", unit_text, re.MULTILINE)
    assert refused.startswith("~") and not allowed.startswith("~")
    minus = set().union(*map(names, refused[1:].split()))
    # systemd always lets these through.
    return set().union(*map(names, allowed.split())) - minus | names("@default")


def test_the_server_does_nothing_that_the_unit_refuses(unit, installed, tmp_path, demo_flags):
    trace = tmp_path / "trace.txt"
    wrapper = tmp_path / "prefscore-server"
    # All but what every program does all the time.
    wrapper.write_text(f"#!/bin/sh\nexec strace -D -f -qq -e 'trace=!futex,read,write' -o {trace} "
                       f'{installed}/bin/prefscore-server "$@"\n')
    wrapper.chmod(0o755)
    server = Server(tmp_path, tmp_path / "log.txt", *demo_flags, "--cache-dir", tmp_path / "cache")
    try:
        assert server.wait_until_ready(timeout_s=300), server.log
        subprocess.run([installed / "bin/prefscore", "score", "--server", server.address, "--input",
                        DEMO / "pairs.jsonl", "--output", tmp_path / "rows.jsonl"], check=True, timeout=300,
                       stderr=subprocess.DEVNULL)
        assert urllib.request.urlopen(server.metrics_url, timeout=60).status == 200
    finally:
        server.stop()
    text = trace.read_text()
    calls = set(re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE))
    assert {"execve", "accept4", "epoll_wait", "fdatasync"} <= calls
    assert calls <= allowed_system_calls(unit.read_text())
    allowed = set(re.search(r"^RestrictAddressFamilies=(.*)$", unit.read_text(), re.MULTILINE)[1].split())
    assert set(re.findall(r"socket\((AF_\w+)", text)) <= allowed
