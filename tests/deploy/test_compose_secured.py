# SPDX-License-Identifier: Apache-2.0
"""deploy/docker/secured.yml over docker-compose.yml: a real server with its configuration, asked as the container is."""
import shutil
import subprocess

import pytest
from certificates import Authority
from compose_file import REPO, assert_confined, host_folders, read_services, servers
from token_file import TokenFile

OVERLAY = "deploy/docker/secured.yml"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """What README.md has an operator make."""
    folder = tmp_path_factory.mktemp("secrets")
    server, prometheus = folder / "server", folder / "prometheus"
    for each in (server, prometheus):
        each.mkdir()
    authority = Authority()
    for path, content in zip((server / "tls.key", server / "tls.crt"), authority.issue(host="localhost")):
        path.write_bytes(content)
    for each in (server, prometheus):
        (each / "ca.crt").write_bytes(authority.certificate)
    tokens = TokenFile(server / "tokens.toml")
    (prometheus / "prometheus.token").write_text(tokens.add("prometheus", "metrics"))
    (folder / "admin.token").write_text(tokens.add("operator", "admin"))
    return folder


@pytest.fixture(scope="module")
def services(secrets):
    return read_services(OVERLAY, PREFSCORE_SECRETS=str(secrets))


def test_the_folder_of_secrets_must_be_named():
    with pytest.raises(AssertionError, match="names the folder with certificate and tokens"):
        read_services(OVERLAY)


def test_containers_are_confined_and_other_machines_reach_only_calls_over_tls(services):
    for service in services.values():
        assert_confined(service)
        ports = [port if isinstance(port, str) else f"{port['published']}:{port['target']}" for port in service["ports"]]
        open_ports = [port for port in ports if not port.startswith("127.0.0.1:")]
        assert open_ports == (["50443:50051"] if service in servers(services) else [])


def test_what_is_mounted_is_there_and_read_only_and_the_key_is_the_servers_alone(services):
    for service in services.values():
        for inside, here in host_folders(service).items():
            assert here.exists() and f"{here}:{inside}:ro" in service["volumes"]
    assert not (host_folders(services["prometheus"])["/run/prefscore"] / "tls.key").exists()


def test_the_server_starts_with_it_is_healthy_and_answers_an_operator(services, secrets, build_dir, start_server,
                                                                     tmp_path):
    cpu, gpu = servers(services)
    here = host_folders(cpu)
    assert here == host_folders(gpu) and cpu["healthcheck"] == gpu["healthcheck"]
    text = here["/etc/prefscore/server.toml"].read_text()
    for inside, outside in (("/models/", f"{here['/models']}/"), ("/run/prefscore", str(here["/run/prefscore"])),
                            ("/var/cache/prefscore", str(tmp_path / "cache"))):
        text = text.replace(inside, outside)
    config = tmp_path / "server.toml"
    config.write_text(text)
    free = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    with start_server("--config", config, *free, "--cache-dir", tmp_path / "cache") as server:
        assert server.address, server.log
        authority = str(here["/run/prefscore"] / "ca.crt")

        def prefscore(*arguments, input=""):
            return subprocess.run([build_dir / "prefscore", *arguments], input=input, text=True, capture_output=True,
                                  timeout=120)

        port = server.address.rpartition(":")[2]
        check = [argument.replace("/run/prefscore/ca.crt", authority).replace(":50051", f":{port}")
                 for argument in cpu["healthcheck"]["test"]]
        assert check[:2] == ["CMD", "prefscore"]
        health = prefscore(*check[2:])
        assert (health.returncode, health.stdout) == (0, "SERVING\n"), health.stderr
        assert prefscore("health", "--server", f"localhost:{port}").returncode == 1, "plain text"

        port = server.admin_address.rpartition(":")[2]
        status = prefscore("admin", "status", "--server", f"localhost:{port}", "--tls-ca", authority, "--token-file",
                           "/dev/stdin", input=(secrets / "admin.token").read_text())
        assert "2 of " in status.stdout, status.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_its_configuration(services, tmp_path):
    here = host_folders(services["prometheus"])
    text = here["/etc/prefscore/prometheus.yml"].read_text()
    for inside in ("/etc/prometheus", "/run/prefscore"):
        text = text.replace(inside, str(here[inside]))
    (tmp_path / "prometheus.yml").write_text(text)
    checked = subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], text=True,
                             capture_output=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(list((REPO / 'deploy/prometheus/rules').glob('*.yml')))} rule files found" in checked.stdout
