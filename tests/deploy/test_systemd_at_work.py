# SPDX-License-Identifier: Apache-2.0
"""The unit under a real systemd, set up as deploy/OPERATIONS.md and SECURITY.md say."""
import re

import pytest
from booted_systemd import booted, why_not
from certificates import Authority
from token_file import TokenFile

PREFIX = "/opt/prefscore"
PROPERTIES = ("MainPID", "Result", "ExecMainStatus")

SET_UP = rf"""
set -eu
systemd-sysusers {PREFIX}/lib/sysusers.d/prefscore.conf
mkdir -p /etc/prefscore/tls /var/lib/prefscore /etc/systemd/system
chgrp prefscore /etc/prefscore/tls && chmod 750 /etc/prefscore/tls
install -m 644 /secrets/tls.crt -t /etc/prefscore/tls
install -m 640 -g prefscore /secrets/tls.key /secrets/tokens.toml -t /etc/prefscore/tls
cp -r {PREFIX}/share/doc/prefscore/demo/models /var/lib/prefscore/
chgrp -R prefscore /var/lib/prefscore/models && chmod -R g+rX,o= /var/lib/prefscore/models
{{ sed 's#"\(.*\)=models/#"\1=/var/lib/prefscore/models/#' {PREFIX}/share/doc/prefscore/config/laptop.toml
  printf '%s = "/etc/prefscore/tls/%s"\n' tls-certificate tls.crt tls-key tls.key token-file tokens.toml
}} > /etc/prefscore/server.toml
sed "s#$1/#{PREFIX}/#" {PREFIX}/lib/systemd/system/prefscore-server.service \
  > /etc/systemd/system/prefscore-server.service
systemctl daemon-reload
"""


@pytest.fixture(scope="module")
def systemd(installed, tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    secrets = tmp_path_factory.mktemp("secrets")
    authority = Authority()
    key, certificate = authority.issue(host="localhost")
    (secrets / "tls.key").write_bytes(key)
    (secrets / "tls.crt").write_bytes(certificate)
    (secrets / "ca.crt").write_bytes(authority.certificate)
    (secrets / "trainer.token").write_text(TokenFile(secrets / "tokens.toml").add("trainer", "score"))
    unit = (installed / "lib/systemd/system/prefscore-server.service").read_text()
    configured = re.search(r"^ExecStart=(\S+)/bin/prefscore-server", unit, re.MULTILINE)[1]
    with booted(tmp_path_factory.mktemp("systemd"), {installed: PREFIX, secrets: "/secrets"}) as running:
        done = running.run("sh", "-c", SET_UP, "sh", configured)
        assert done.returncode == 0, done.stderr
        yield running


def prefscore(systemd, *arguments, **options):
    return systemd.run(f"{PREFIX}/bin/prefscore", *arguments, "--server", "localhost:50051",
                       "--tls-ca", "/secrets/ca.crt", **options)


def properties(systemd):
    shown = systemd.run("systemctl", "show", "prefscore-server", *(f"--property={name}" for name in PROPERTIES))
    return dict(line.split("=", 1) for line in shown.stdout.splitlines())


def journal(systemd):
    return systemd.run("journalctl", "--no-pager", "--unit=prefscore-server", "--output=cat").stdout


@pytest.fixture()
def started(systemd):
    start = systemd.run("systemctl", "start", "prefscore-server")
    assert start.returncode == 0, journal(systemd)
    yield systemd
    systemd.run("systemctl", "stop", "prefscore-server")


def test_once_it_is_started_it_serves_with_a_key_and_models_of_its_group(started):
    assert prefscore(started, "health").stdout == "SERVING\n"
    pair = started.run("head", "-n", "1", f"{PREFIX}/share/doc/prefscore/demo/pairs.jsonl").stdout
    scored = prefscore(started, "score", "--token-file", "/secrets/trainer.token", "--input", "-", "--output", "-",
                       input=pair)
    assert '"policy_chosen_logp":-' in scored.stdout, scored.stderr
    status = started.run("cat", f"/proc/{properties(started)['MainPID']}/status").stdout
    group = started.run("getent", "group", "prefscore").stdout.split(":")[2]
    assert group in re.search(r"^Groups:(.*)$", status, re.MULTILINE)[1].split()
    assert not re.search(r"^Uid:\t0", status, re.MULTILINE)
    # The folder that systemd made for its cache.
    assert "cache /var/cache/prefscore: holds" in journal(started)


def test_a_drain_may_take_longer_than_systemd_waits_by_itself(systemd):
    drop_in = "/run/systemd/system/prefscore-server.service.d"
    # Until the server has asked for more it has TimeoutStopSec: on a busy machine that is not long.
    made = systemd.run("sh", "-euc", f"""
        mkdir -p {drop_in}
        printf '[Service]\nTimeoutStopSec=8\n' > {drop_in}/short.conf
        cp /etc/prefscore/server.toml /etc/prefscore/before.toml
        echo drain-delay = 10 >> /etc/prefscore/server.toml
        systemctl daemon-reload
        systemctl start prefscore-server
        systemctl show prefscore-server --property=TimeoutStopUSec --value""")
    assert (made.returncode, made.stdout) == (0, "8s\n"), journal(systemd)
    systemd.run("systemctl", "stop", "prefscore-server")
    ended = properties(systemd)
    assert (ended["Result"], ended["ExecMainStatus"]) == ("success", "0")
    systemd.run("sh", "-euc", f"rm -r {drop_in}; mv /etc/prefscore/before.toml /etc/prefscore/server.toml; "
                              "systemctl daemon-reload")


def test_a_key_of_root_alone_is_named_at_the_start(systemd):
    key = "/etc/prefscore/tls/tls.key"
    systemd.run("chmod", "600", key)
    try:
        assert systemd.run("systemctl", "start", "prefscore-server").returncode != 0
        assert f"--tls-key '{key}': cannot be read: Permission denied" in journal(systemd)
    finally:
        systemd.run("systemctl", "stop", "prefscore-server")
        systemd.run("chmod", "640", key)
