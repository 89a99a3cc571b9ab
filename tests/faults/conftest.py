# SPDX-License-Identifier: Apache-2.0
"""What the tests of faults share: small file systems, and models to be spoilt."""
import contextlib
import os
import pathlib
import shutil
import subprocess

import pytest


@pytest.fixture(scope="session")
def demo_folder():
    return pathlib.Path(__file__).resolve().parents[2] / "deploy/demo"


@pytest.fixture
def broken_reference(demo_folder, tmp_path):
    """A copy of the demo reference whose weights are cut off."""
    folder = shutil.copytree(demo_folder / "models/reference", tmp_path / "broken")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(megabytes): a context manager that gives the folder of a file system of that size, in memory."""

    @contextlib.contextmanager
    def mounted(megabytes):
        folder = tmp_path / "disk"
        folder.mkdir()
        mounting = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder],
                                  capture_output=True, text=True)
        if mounting.returncode != 0:
            pytest.skip(f"a file system cannot be mounted here: {mounting.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", folder], check=True)

    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    return mounted
