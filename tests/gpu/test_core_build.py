# SPDX-License-Identifier: Apache-2.0
"""What scripts/gpu-check builds, configured: it asks for nothing of the service, and nvcc for one toolkit's headers."""
import json
import pathlib
import shutil
import subprocess

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
CONFIGURATIONS = ["Debug", "Release", "RelWithDebInfo", "MinSizeRel"]
SERVICE_PACKAGES = ["gRPC", "Protobuf", "prometheus-cpp", "RocksDB", "CLI11", "benchmark"]


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory) -> pathlib.Path:
    """A second CUDA toolkit beside the one that lies with torch, as a machine has one in /usr/local/cuda."""
    wheel = next(REPO.glob(".venv/lib/python3*/site-packages/nvidia/cu13"), None)
    if wheel is None or not (wheel / "bin/nvcc").exists():
        pytest.skip("no nvcc: scripts/setup --cuda")
    root = tmp_path_factory.mktemp("toolkit")
    (root / "bin").mkdir()
    for entry in (wheel / "bin").iterdir():
        (root / "bin" / entry.name).symlink_to(entry.resolve())
    (root / "bin/nvcc").unlink()
    shutil.copy(wheel / "bin/nvcc", root / "bin/nvcc")  # its real place decides which toolkit it is
    for folder in ("nvvm", "lib"):
        (root / folder).symlink_to((wheel / folder).resolve())
    (root / "include").mkdir()
    for entry in (wheel / "include").iterdir():
        (root / "include" / entry.name).symlink_to(entry.resolve())
    return root


@pytest.fixture(scope="module")
def core(toolkit, tmp_path_factory) -> pathlib.Path:
    """A build folder of all configurations, made where no package of the service can be found."""
    folder = tmp_path_factory.mktemp("core")
    absent = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{package}=ON" for package in SERVICE_PACKAGES]
    done = subprocess.run(
        ["cmake", "-S", REPO, "-B", folder, "-G", "Ninja Multi-Config", "--log-level=WARNING", *absent,
         f"-DCMAKE_CONFIGURATION_TYPES={';'.join(CONFIGURATIONS)}", "-DPREFSCORE_BUILD_SERVICE=OFF",
         "-DPREFSCORE_CUDA=ON", f"-DPREFSCORE_NVCC={toolkit / 'bin/nvcc'}"],
        capture_output=True, text=True, timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder


def kernel_commands(core) -> list[str]:
    commands = json.loads((core / "compile_commands.json").read_text())
    return [entry["command"] for entry in commands if entry["file"].endswith(".cu")]


def test_it_needs_nothing_of_the_service_and_no_rust(core):
    rules = "".join(path.read_text() for path in core.rglob("*.ninja")).lower()
    for word in ("cargo", "rocksdb", "grpc", "protobuf"):
        assert word not in rules
    for program in ("gpu_check", "kernel_speed", "score_ids", "device_decoder_test", "segment_attention_test"):
        assert f"/{program}" in rules


def test_kernels_have_the_same_flags_in_every_configuration(core):
    commands = kernel_commands(core)
    kernels = list((REPO / "server/kernels").glob("*.cu"))
    assert len(commands) == len(kernels) * len(CONFIGURATIONS)
    for command in commands:
        words = command.split()
        assert [word for word in words if word.startswith("-O")] == ["-O3"], command
        assert "-lineinfo" in words and "-fmad=false" in words
        assert "sm_90" in command


def test_kernels_include_the_headers_of_their_compiler_alone(core, toolkit):
    roots = {path for command in kernel_commands(core) for path in command.replace("-isystem ", "-I").split()
             if path.startswith("-I") and "cu13" in path}
    assert roots == set()
    cache = (core / "CMakeCache.txt").read_text()
    assert f"PREFSCORE_CUDA_INCLUDE:PATH={toolkit / 'include'}\n" in cache
    # The library stays the one that torch loads.
    assert "PREFSCORE_CUDART:FILEPATH=" + str(REPO / ".venv") in cache
