# SPDX-License-Identifier: Apache-2.0
"""docker-compose.yml as docker-compose reads it. No engine runs here, so nothing is started."""
import re
import subprocess

import pytest
import yaml
from compose_file import REPO, assert_confined, host_folders, read_services, servers


@pytest.fixture(scope="module")
def services():
    return read_services()


def seconds(duration: str) -> int:
    minutes, rest = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration).groups()
    return 60 * int(minutes or 0) + int(rest or 0)


def test_one_server_for_each_profile_and_the_cpu_where_none_is_named(services):
    profiles = {name: service.get("profiles") for name, service in services.items()}
    assert profiles == {"prefscore-server": ["cpu"], "prefscore-server-gpu": ["gpu"], "prometheus": None, "grafana": None}
    assert "COMPOSE_PROFILES=cpu" in (REPO / ".env").read_text().splitlines()


def test_every_container_is_confined(services):
    for service in services.values():
        assert_confined(service)


def test_nothing_is_reached_from_another_machine(services):
    for name, service in services.items():
        assert service["ports"], name
        assert all(str(port).startswith("127.0.0.1:") for port in service["ports"]), name


def test_what_is_mounted_from_the_repository_is_there_and_read_only(services):
    for name, service in services.items():
        for inside, here in host_folders(service).items():
            assert here.exists(), f"{name}: {here}"
            assert f"{here}:{inside}:ro" in service["volumes"], name


def test_containers_are_stopped_later_than_the_server_has_drained(services):
    grace = float(re.search(r"^shutdown-grace = (.*)$", (REPO / "deploy/docker/server.toml").read_text(), re.M)[1])
    for service in servers(services):
        assert seconds(service["stop_grace_period"]) >= grace + 15


def test_every_service_says_whether_it_is_healthy(services):
    assert "\nHEALTHCHECK " in (REPO / "deploy/docker/Dockerfile").read_text()
    for name in ("prometheus", "grafana"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"


def test_images_and_stages_are_named_with_a_version(services):
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", (REPO / "deploy/docker/Dockerfile").read_text(), re.M))
    for name, service in services.items():
        assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), name
        if "build" in service:
            assert service["build"]["target"] in stages


def test_server_accepts_the_mounted_configuration_with_each_command(services, build_dir, tmp_path):
    for service in servers(services):
        here = host_folders(service)
        config = here["/etc/prefscore/server.toml"].read_text()
        config = config.replace("/models/", f"{here['/models']}/").replace("/var/cache/prefscore", str(tmp_path))
        (tmp_path / "server.toml").write_text(config)
        flags = service.get("command", ["--config", "/etc/prefscore/server.toml"])
        flags = [str(tmp_path / "server.toml") if flag == "/etc/prefscore/server.toml" else flag for flag in flags]
        checked = subprocess.run([build_dir / "prefscore-server", *flags, "--check-config"], text=True,
                                 capture_output=True, timeout=120)
        assert checked.returncode == 0, checked.stderr


def test_prometheus_looks_where_the_servers_are(services):
    config = yaml.safe_load((REPO / "deploy/prometheus/prometheus.yml").read_text())
    targets = [target for scrape in config["scrape_configs"] for static in scrape["static_configs"]
               for target in static["targets"]]
    assert targets == ["prefscore-server:9464"]
    for service in servers(services):
        assert service["networks"]["default"]["aliases"] == ["prefscore-server"]
