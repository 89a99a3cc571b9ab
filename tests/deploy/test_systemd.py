# SPDX-License-Identifier: Apache-2.0
"""The systemd unit: valid where it is installed, sandboxed, and no tighter than what the server does."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import urllib.request

import pytest
from certificates import Authority
from real_server import Server
from token_file import TokenFile

DEMO = pathlib.Path(__file__).resolve().parents[2] / "deploy/demo"

UNIT = "lib/systemd/system/prefscore-server.service"
# Of nobody here: the user that systemd makes for the service, and its group prefscore.
SERVICE_ID, GROUP_ID = 61234, 61999


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
    settings = dict(re.findall(r"^(shutdown-grace|drain-delay) = (\S+)$", in_force, re.MULTILINE))
    assert stop_s >= float(settings["drain-delay"]) + float(settings["shutdown-grace"]) + 15


def test_systemd_is_told_when_the_server_serves_and_how_long_its_end_may_take(unit, start_server, demo_flags, tmp_path,
                                                                            monkeypatch):
    assert "\nType=notify\n" in unit.read_text()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(60)
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with start_server(*demo_flags, "--drain-delay", 1, "--shutdown-grace", 500) as server:
            assert manager.recv(4096) == b"READY=1"
            socket.create_connection(server.address.rsplit(":", 1), timeout=60).close()
            assert server.stop() == 0
            assert manager.recv(4096) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=516000000"


def test_the_group_is_one_that_systemd_sysusers_makes(unit, installed, tmp_path):
    group = re.search(r"^SupplementaryGroups=(\S+)$", unit.read_text(), re.MULTILINE)[1]
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", installed / "lib/sysusers.d/prefscore.conf"], check=True,
                   timeout=60)
    assert [line.split(":")[0] for line in (tmp_path / "etc/group").read_text().splitlines()] == [group]
    passwd = tmp_path / "etc/passwd"
    assert not passwd.exists() or group not in passwd.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_the_service_reads_keys_tokens_and_models_of_its_group_and_nobody_else_does(installed, tmp_path):
    for folder in (installed, *installed.parents, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o011)  # pytest's are root's alone
    tmp_path.chmod(0o755)
    authority = Authority()
    key, certificate = authority.issue()
    (tmp_path / "tls.key").write_bytes(key)
    (tmp_path / "tls.crt").write_bytes(certificate)
    TokenFile(tmp_path / "tokens.toml").add("trainer", "score")
    shutil.copytree(DEMO / "models", tmp_path / "models")
    for path in (tmp_path / "tls.key", tmp_path / "tokens.toml", *(tmp_path / "models").rglob("*")):
        os.chown(path, 0, GROUP_ID)
        path.chmod(0o750 if path.is_dir() else 0o640)

    def check(*groups):
        return subprocess.run(
            ["setpriv", f"--reuid={SERVICE_ID}", f"--regid={SERVICE_ID}", *groups, "--no-new-privs",
             "--inh-caps=-all", "--bounding-set=-all", installed / "bin/prefscore-server", "--check-config",
             "--tls-certificate", tmp_path / "tls.crt", "--tls-key", tmp_path / "tls.key", "--token-file",
             tmp_path / "tokens.toml", *(flag for name in ("policy", "reference")
                                         for flag in ("--model", f"{name}={tmp_path}/models/{name}"))],
            capture_output=True, text=True, timeout=300, cwd="/", env={})

    as_the_unit = check(f"--groups={GROUP_ID}")
    assert as_the_unit.returncode == 0, as_the_unit.stderr
    as_anybody = check("--clear-groups")
    assert as_anybody.returncode == 1
    for name in ("tls.key", "tokens.toml", "models/policy", "models/reference"):
        assert f"{tmp_path}/{name}" in as_anybody.stderr


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


def test_the_server_does_nothing_that_the_unit_refuses(unit, installed, tmp_path, demo_flags, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "@prefscore-nobody")
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
    assert {"AF_UNIX"} < set(re.findall(r"socket\((AF_\w+)", text)) <= allowed
