# SPDX-License-Identifier: Apache-2.0
"""Runs the tests in Go, the language of what reads these files: helm, Kubernetes' types, docker compose."""
import os
import pathlib
import subprocess

FOLDER = pathlib.Path(__file__).resolve().parent


def test_chart_and_compose_file_are_what_their_readers_and_the_server_accept(build_dir):
    # scripts/setup has brought the modules. The first call compiles helm: minutes.
    environment = {**os.environ, "GOFLAGS": "-mod=readonly", "GOPROXY": "off", "PREFSCORE_BUILD_DIR": str(build_dir)}
    tests = subprocess.run(["go", "test", "-count=1", "-p=2", "./..."], cwd=FOLDER, env=environment, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1500)
    assert tests.returncode == 0, tests.stdout
    for package in ("compose", "helm"):
        assert f"ok  \tprefscore/tests/deploy/{package}\t" in tests.stdout, tests.stdout
