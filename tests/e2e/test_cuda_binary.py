"""The server with CUDA: what it is linked with, and what it says where no GPU is. scripts/test builds it."""
import os
import pathlib
import re
import subprocess

import pytest
from locations import DEMO, REPO


@pytest.fixture(scope="module")
def cuda_server() -> pathlib.Path:
    server = pathlib.Path(os.environ.get("PREFSCORE_CUDA_BUILD_DIR", REPO / "build-cuda")) / "prefscore-server"
    if not server.exists():
        pytest.skip("not built: scripts/setup --cuda && scripts/build --cuda prefscore-server")
    return server


def readelf(*arguments) -> str:
    return subprocess.run(["readelf", "-W", *arguments], check=True, capture_output=True, text=True).stdout


def start(server, device):
    """Starts with the demo's models; for a device that cannot be had, so that the server ends by itself."""
    return subprocess.run(
        [server, "--listen", "127.0.0.1:0", "--metrics-listen", "", "--device", device,
         "--model", f"policy={DEMO / 'models/policy'}", "--model", f"reference={DEMO / 'models/reference'}"],
        capture_output=True, text=True, timeout=60,
    )


def test_it_loads_the_cuda_half_of_the_wheel(cuda_server):
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", readelf("-d", cuda_server)))
    assert {"libtorch_cuda.so", "libc10_cuda.so", "libcudart.so.13"} <= needed


def test_it_carries_the_kernels(cuda_server):
    assert ".nv_fatbin" in readelf("-S", cuda_server)


def test_it_starts_without_a_gpu_and_says_so(cuda_server):
    if pathlib.Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU")
    ended = start(cuda_server, "cuda:0")
    assert ended.returncode == 1
    assert "device 'cuda:0': no GPU is at hand" in ended.stderr


def test_auto_takes_the_cpu_and_says_why(build_dir, tmp_path):
    ended = subprocess.run([build_dir / "prefscore-server", "--device", "auto", "--model", f"one={tmp_path / 'none'}",
                            "--policy", "one", "--reference", "one"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1  # there is no such model
    assert "device auto: cpu (device 'cuda:0': this build has no CUDA" in ended.stderr


def test_a_build_without_cuda_says_so(build_dir):
    ended = start(build_dir / "prefscore-server", "cuda:0")
    assert ended.returncode == 1
    assert "has no CUDA" in ended.stderr
