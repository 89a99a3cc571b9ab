# SPDX-License-Identifier: Apache-2.0
"""The build step that pyproject.toml cannot state: the contract's Python modules are made from the protos."""

import pathlib
import sys

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import generate_stubs  # noqa: E402


class BuildPy(build_py):
    def run(self) -> None:
        generate_stubs.generate()
        super().run()


setup(cmdclass={"build_py": BuildPy})
