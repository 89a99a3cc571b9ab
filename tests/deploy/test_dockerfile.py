# SPDX-License-Identifier: Apache-2.0
"""The Dockerfile as Docker's parser and hadolint read it. chroot/build_and_run.py carries it out."""
import pathlib
import re
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "chroot"))
from dockerfile_stages import context_files, in_build_order, read_stages  # noqa: E402

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
DOCKERFILE = REPO / "deploy/docker/Dockerfile"
TARGETS = ("cpu", "gpu")


@pytest.fixture(scope="module")
def stages():
    return read_stages(DOCKERFILE)


def lineage(stages, name):
    """A stage and what it is made from, down to a base image."""
    while name in stages:
        yield stages[name]
        name = stages[name].base


def inherited(stages, target, command):
    return next(step for stage in lineage(stages, target) if (step := stage.last(command)))


def test_hadolint_has_nothing_to_say():
    hadolint = pathlib.Path(sys.executable).parent / "hadolint"
    said = subprocess.run([hadolint, DOCKERFILE], text=True, stdout=subprocess.PIPE, timeout=60)
    assert (said.returncode, said.stdout) == (0, "")


def test_default_target_runs_on_the_cpu(stages):
    assert list(stages)[-1] == "cpu"


def test_base_images_are_pinned_to_a_release(stages):
    for base in {stage.base for stage in stages.values()} - set(stages):
        assert re.search(r":\d+\.\d+", base), base


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_of_a_build_stage_is_in_the_image_but_the_installation(stages, target):
    for stage in lineage(stages, target):
        copies = [step for step in stage.steps if step.command in ("COPY", "ADD")]
        assert all(step.values[1] == "/opt/prefscore" and "from" in step.flags for step in copies)
    assert not stage.base.startswith("rust:")


@pytest.mark.parametrize("target", TARGETS)
def test_image_runs_as_a_user_by_number_and_drains_when_stopped(stages, target):
    assert inherited(stages, target, "USER").values == ("10001:10001",)
    assert inherited(stages, target, "STOPSIGNAL").values == ("SIGTERM",)
    # A shell in between would keep the signal for itself.
    assert inherited(stages, target, "ENTRYPOINT").is_json


@pytest.mark.parametrize("target", TARGETS)
def test_health_check_is_a_call_of_the_command_line(stages, target):
    check = inherited(stages, target, "HEALTHCHECK")
    assert check.is_json
    assert check.values[:3] == ("CMD", "prefscore", "health")


def test_a_target_does_not_build_the_other(stages):
    assert [stage.name for stage in in_build_order(stages, "cpu")] == ["build", "runtime", "cpu"]
    assert [stage.name for stage in in_build_order(stages, "gpu")] == ["build", "build-gpu", "runtime", "gpu"]


def test_build_context_holds_the_sources_and_what_runs_copy_but_no_model(stages):
    files = set(context_files(REPO))
    assert {"CMakeLists.txt", "server/main.cc", "scripts/setup", "LICENSE", "proto/prefscore/v1/scoring.proto"} <= files
    assert not [path for path in files if path.startswith(("deploy/demo", "client/python", ".git/"))]
    for stage in stages.values():
        for step in stage.steps:
            assert all(mount.source in files for mount in step.mounts if mount.kind == "bind")
