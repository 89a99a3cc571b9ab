# SPDX-License-Identifier: Apache-2.0
"""docker-compose.yml, and what is laid over it, as docker-compose reads them."""
import os
import pathlib
import subprocess

import yaml

REPO = pathlib.Path(__file__).resolve().parent.parent.parent


def read_services(*overlays, **variables):
    """All services, whatever their profiles, with every reference resolved; `variables` are PREFSCORE_..."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "PREFSCORE_"))}
    files = [part for file in ("docker-compose.yml", *overlays) for part in ("-f", file)]
    read = subprocess.run(["docker-compose", *files, "config"], cwd=REPO, env=environment | variables, text=True,
                          capture_output=True, timeout=120)
    assert read.returncode == 0, read.stderr
    return yaml.safe_load(read.stdout)["services"]


def servers(services):
    return [service for name, service in services.items() if name.startswith("prefscore-server")]


def host_folders(service):
    """{where it is inside: the path here} of what is mounted from this machine."""
    mounts = (volume.split(":") for volume in service["volumes"])
    return {inside: pathlib.Path(here) for here, inside, *_ in mounts if here.startswith("/")}


def assert_confined(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith(("0", "root"))
    assert "privileged" not in service and "cap_add" not in service
    assert service["mem_limit"]
