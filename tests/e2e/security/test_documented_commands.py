# SPDX-License-Identifier: Apache-2.0
"""The commands and files that deploy/SECURITY.md shows, as they stand there."""
import os
import shlex
import subprocess

import pytest
from documented import block

import prefscore


def run(command, folder, build_dir):
    """By a shell that finds our programs, in `folder`; returns the finished process."""
    environment = os.environ | {"PATH": f"{build_dir}:{os.environ['PATH']}"}
    return subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=120)


@pytest.fixture
def certificates(tmp_path, build_dir):
    """The folder in which the commands have run that make an authority and a server's certificate."""
    made = run(block("openssl req -x509"), tmp_path, build_dir)
    assert made.returncode == 0, made.stderr
    return tmp_path


@pytest.fixture
def server_flags(certificates):
    """Those of the page's server, on free ports."""
    server_line = block("prefscore-server ... --listen").splitlines()[0]
    flags = shlex.split(server_line)[2:]
    free = {address: "0.0.0.0:0" for address in ("0.0.0.0:50051", "0.0.0.0:9464")}
    assert free.keys() <= set(flags)
    return [free.get(flag, flag if flag.startswith("--") else certificates / flag) for flag in flags]


def models(server, folder, **tls):
    """The models' names, told to a client that knows the authority and calls the server by its name."""
    address = f"127.0.0.1:{server.address.rsplit(':', 1)[1]}"
    files = {name: folder / file for name, file in tls.items()}
    tls = prefscore.Tls(root_certificates=folder / "ca.crt", server_name="scores.example", **files)
    with prefscore.Client(address, tls=tls, retry=prefscore.RetryPolicy(max_attempts=1)) as client:
        return [model.name for model in client.models().models]


def test_the_certificate_serves(start_server, demo_flags, certificates, server_flags, build_dir):
    with start_server(*demo_flags, *server_flags) as server:
        assert server.address, server.log
        assert models(server, certificates) == ["policy", "reference"]
        # As the page's client, but for the address, which does not have the name here.
        client_line = block("prefscore-server ... --listen").splitlines()[1]
        assert "--server scores.example:50051" in client_line
        port = server.address.rsplit(":", 1)[1]
        client_line = client_line.replace("scores.example:50051", f"127.0.0.1:{port} --tls-server-name scores.example")
        asked = run(client_line, certificates, build_dir)
        assert (asked.returncode, asked.stdout) == (0, "SERVING\n"), asked.stderr


def test_client_certificates_are_made_in_the_same_way(start_server, demo_flags, certificates, server_flags, build_dir):
    for_client = "\n".join(block("openssl req -x509").splitlines()[2:])  # the authority is there
    for old, new in (("scores.example", "trainer"), ("tls.", "client.")):
        assert old in for_client
        for_client = for_client.replace(old, new)
    made = run(for_client, certificates, build_dir)
    assert made.returncode == 0, made.stderr
    with start_server(*demo_flags, *server_flags, "--tls-client-ca", certificates / "ca.crt") as server:
        assert server.address, server.log
        client = {"client_certificate": "client.crt", "client_key": "client.key"}
        assert models(server, certificates, **client) == ["policy", "reference"]
        with pytest.raises(prefscore.Unavailable):
            models(server, certificates)


def test_the_token_lets_in(start_server, demo_flags, tmp_path, build_dir):
    lines = [line.removeprefix("$ ") for line in block("$ prefscore token new").splitlines()]
    commands = "\n".join(line for line in lines if "..." not in line)
    assert "chgrp prefscore " in commands  # the unit's group, which this machine may not have
    made = run(commands.replace("chgrp prefscore ", f"chgrp {os.getgid()} "), tmp_path, build_dir)
    assert made.returncode == 0, made.stderr
    with start_server(*demo_flags, "--token-file", tmp_path / "tokens.toml") as server:
        assert server.address, server.log
        asked = run(f"prefscore models --server {server.address} --token-file trainer.token", tmp_path, build_dir)
        assert asked.returncode == 0, asked.stderr


def test_the_entry_with_all_fields_is_good(demo_flags, tmp_path, build_dir):
    (tmp_path / "tokens.toml").write_text(block("[[token]]"))
    command = [build_dir / "prefscore-server", *demo_flags, "--token-file", tmp_path / "tokens.toml", "--check-config"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (checked.returncode, checked.stderr) == (0, "")
