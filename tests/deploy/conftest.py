# SPDX-License-Identifier: Apache-2.0
"""An installation of the build."""
import pathlib
import subprocess

import pytest


@pytest.fixture(scope="session")
def installed(build_dir, tmp_path_factory) -> pathlib.Path:
    """An installation, moved to another place than it was installed to."""
    folder = tmp_path_factory.mktemp("install")
    subprocess.run(["cmake", "--install", build_dir, "--prefix", folder / "first", "--strip"], check=True,
                   stdout=subprocess.DEVNULL, timeout=300)
    return (folder / "first").rename(folder / "moved")
