# SPDX-License-Identifier: Apache-2.0
"""What is shipped: types that mypy accepts, a wheel and an sdist that are whole, and nothing needed that is not asked for."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile

import pytest

import prefscore

PACKAGE = pathlib.Path(__file__).resolve().parents[3] / "client/python"
REPO = PACKAGE.parents[1]


def run(*command, cwd, env=None):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_types_are_strict(tmp_path):
    run(sys.executable, "-m", "mypy", "--cache-dir", tmp_path, cwd=PACKAGE)


def test_types_are_seen_by_those_who_use_the_package(tmp_path):
    (tmp_path / "user.py").write_text(
        """
import asyncio
import numpy as np
import prefscore

def margins(client: prefscore.Client, pairs: list[prefscore.Pair]) -> list[float]:
    return [result.policy_margin for result in client.stream_pairs(pairs) if result.policy_margin is not None]

def mean_loss(client: prefscore.Client, columns: prefscore.LogProbColumns) -> float:
    return float(np.mean(client.evaluate_objectives(columns, ["sigmoid"]).objectives[0].loss))

async def accuracy(pairs: list[prefscore.Pair]) -> float:
    async with prefscore.AsyncClient("127.0.0.1:50051") as client:
        report: prefscore.Report = await client.analyze(pairs, prefscore.AnalysisOptions())
        return report.overall.ranking.policy_accuracy
"""
    )
    (tmp_path / "wrong.py").write_text(
        'import prefscore\nclient = prefscore.Client("a:1")\nclient.score_pairs([3])\nclient.no_such_method()\n'
    )
    environment = {**os.environ, "MYPYPATH": str(PACKAGE)}
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "--follow-imports=silent"]
    run(*command, "user.py", cwd=tmp_path, env=environment)
    with pytest.raises(AssertionError, match=r'"int"; expected "Pair"(?s:.*)no attribute "no_such_method"'):
        run(*command, "wrong.py", cwd=tmp_path, env=environment)


def test_all_is_what_can_be_imported():
    public = [name for name, value in vars(prefscore).items()
              if not name.startswith("_") and type(value).__name__ != "module"]  # fmt: skip
    assert sorted(prefscore.__all__) == prefscore.__all__ == sorted(public)


def test_the_version_is_the_servers():
    [version] = re.findall(r"^project\(prefscore VERSION ([\d.]+) ", (REPO / "CMakeLists.txt").read_text(), re.MULTILINE)
    assert prefscore.__version__ == version


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """(sdist, wheel made from it), of what a fresh checkout has: without what builds leave."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "client/python"
    ignored = shutil.ignore_patterns("*_pb2*", ".generated_pb2", "build", "*.egg-info", "__pycache__", ".mypy_cache")
    shutil.copytree(PACKAGE, source, ignore=ignored, symlinks=True)
    shutil.copytree(REPO / "proto", folder / "proto")
    shutil.copy(REPO / "LICENSE", folder)
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder, cwd=source)
    [sdist] = folder.glob("*.tar.gz")
    # As pip does it by default, which here would need a network: what builds is on the path, not in site-packages.
    venv.create(folder / "builder")
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"]}
    command = [folder / "builder/bin/python", "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index"]
    run(*command, "-w", folder, sdist, cwd=folder, env=environment)
    [wheel] = folder.glob("*.whl")
    return sdist, wheel


def test_the_sdist_has_the_protos(distributions):
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"proto/prefscore/v1/{name}.proto" for name in ("scoring", "models", "diagnostics")} <= names
    assert {"generate_stubs.py", "README.md", "LICENSE", "pyproject.toml", "prefscore/py.typed"} <= names


def test_the_wheel_is_whole(distributions):
    with zipfile.ZipFile(distributions[1]) as archive:
        names = set(archive.namelist())
        [metadata] = [archive.read(name).decode() for name in names if name.endswith("METADATA")]
    modules = {str(path.relative_to(PACKAGE)) for path in (PACKAGE / "prefscore").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {"prefscore/py.typed", "prefscore/v1/scoring_pb2.pyi"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "\nLicense-Expression: Apache-2.0\n" in metadata and "\nRequires-Python: >=3.10\n" in metadata


def test_the_wheel_works_where_it_is_installed(distributions, demo_server, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", distributions[1]]
    run(*install, cwd=tmp_path)
    # The packages that it needs, from here: nothing is fetched.
    site_packages = run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=tmp_path).strip()
    pathlib.Path(site_packages, "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    code = f"""
import importlib.metadata, sys, prefscore
assert prefscore.__file__.startswith({str(tmp_path)!r}), prefscore.__file__
assert importlib.metadata.version("prefscore") == prefscore.__version__
with prefscore.Client({demo_server.address!r}) as client:
    print(client.score_pairs([prefscore.Pair(" Yes.", " No.", "Is it?")])[0].error)
for optional in ("torch", "transformers", "trl", "datasets", "pandas", "pyarrow", "ray", "lm_eval"):
    assert optional not in sys.modules, optional
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    assert run(python, "-c", code, cwd=tmp_path, env=environment) == "None\n"
