# SPDX-License-Identifier: Apache-2.0
"""How scripts/gpu-check takes faults, with stubs in place of all that it runs."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]

CHECK_REPORT = {
    "device": "stub", "large_product": {"rows": 8, "num_in": 8, "num_out": 8, "tflops": 1.0, "algorithm": "stub"},
    "models": [
        {"name": "good", "products": [], "rows_are_independent": "yes", "same_bits": True, "load_seconds": 1.0,
         "load_gb_per_second": 2.0, "pairs_per_second_two_callers": 3.0,
         "batches": [{"pairs": 4, "tokens": 80, "milliseconds": 1.0, "pairs_per_second_cached_reference": 8.0,
                      "pairs_per_second": 4.0, "body_tokens_per_second": 5.0, "tflops": 6.0,
                      "share_of_matmul_rate": 0.5}]},
        {"name": "bad", "error": "out of device memory", "products": []},
    ],
}


class Machine:
    """A folder of stubs: programs that end as told, a python that has torch and no transformers."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.build = folder / "build"
        for name in ("kernels/a_test", "kernels/b_test", "models/device/c_test", "score_ids", "gpu/kernel_speed"):
            self.program(name, "exit 0")
        for source in (*REPO.glob("tests/kernels/*_test.cc"), *REPO.glob("tests/models/device/*_test.cc")):
            self.program(str(source.relative_to(REPO / "tests").with_suffix("")), "exit 0")
        self.check("exit 0")
        self.write(folder / "python", f"""case "$1" in
          scripts/lib/check_torch.py) printf '2.11.0+stub\\t{folder}/torch\\n' ;;
          tests/gpu/report.py) exec {sys.executable} "$@" ;;
          tests/gpu/peer.py) echo '{{}}' >"$4" ;;
          *) exit 1 ;;  # no transformers
        esac""")

    @staticmethod
    def write(path: pathlib.Path, body: str):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def program(self, name, body):
        self.write(self.build / "tests" / name, body)

    def check(self, body):
        """gpu_check, which writes the report above and then does as told."""
        report = self.folder / "report.json"
        report.write_text(json.dumps(CHECK_REPORT))
        self.program("gpu/gpu_check", f'while [ "$1" != --json ]; do shift; done\ncp {report} "$2"\n{body}')

    def run(self, *arguments):
        out = self.folder / "out.json"
        done = subprocess.run(
            [REPO / "scripts/gpu-check", *arguments, "--json", out], capture_output=True, text=True, timeout=120,
            env=os.environ | {"PYTHON": str(self.folder / "python"), "PREFSCORE_BUILD_DIR": str(self.build),
                              "TMPDIR": str(self.folder)})
        report = json.loads(out.read_text()) if out.exists() else None
        return done, {step["name"]: step["status"] for step in report["steps"]} if report else {}, report


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_all_is_well(machine):
    done, steps, report = machine.run("--dry-run")
    assert done.returncode == 0, done.stderr
    assert set(steps.values()) == {0, 77}
    assert "all steps passed" in done.stdout
    assert report["check"] == CHECK_REPORT


def test_a_failing_step_hides_no_other_and_its_output_is_shown(machine):
    machine.program("kernels/a_test", "echo expected 3, got 4; exit 1")
    machine.program("kernels/b_test", "kill -SEGV $$")
    done, steps, report = machine.run("--dry-run")
    assert done.returncode == 1
    assert steps["kernels/a_test"] == 1
    assert steps["kernels/b_test"] == 128 + 11
    assert steps["models/device/c_test"] == steps["check"] == steps["peer"] == 0
    assert "expected 3, got 4" in done.stderr
    assert "FAILED: kernels/a_test, kernels/b_test" in done.stdout
    assert report["check"] == CHECK_REPORT


def test_models_that_were_measured_are_shown_beside_one_that_failed(machine):
    machine.check("exit 1")
    done, steps, _ = machine.run("--dry-run")
    assert done.returncode == 1
    assert steps["check"] == 1
    assert "bad: out of device memory" in done.stdout
    assert ["good", "4", "1.00", "4.00"] in [line.split()[:4] for line in done.stdout.splitlines()]


def test_a_report_that_broke_off_is_no_reason_to_print_none(machine):
    machine.program("gpu/gpu_check", """while [ "$1" != --json ]; do shift; done; echo '{"models": [' >"$2"; exit 1""")
    done, steps, report = machine.run("--dry-run")
    assert done.returncode == 1
    assert report["check"] == {}
    assert "FAILED: check" in done.stdout


def test_on_a_gpu_a_skipped_test_has_not_passed(machine):
    machine.program("models/device/c_test", "echo '[  SKIPPED ] no GPU is at hand'; exit 0")
    assert machine.run("--dry-run")[1]["models/device/c_test"] == 0
    done, steps, _ = machine.run("--quick")
    assert steps["models/device/c_test"] == 1
    assert "tests were skipped: no GPU was found" in done.stderr


def test_the_tests_of_architectures_need_no_grpc_and_nothing_beyond_the_bundle(tmp_path):
    for file in (REPO / "tests/conftest.py", *REPO.glob("tests/models/*.py")):
        copy = tmp_path / file.relative_to(REPO)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    (tmp_path / "absent").mkdir()
    for module in ("grpc", "prefscore"):
        (tmp_path / "absent" / f"{module}.py").write_text("raise ImportError('not on this machine')\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider",
         "tests/models/test_architectures.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "absent")})
    assert done.returncode == 0, done.stdout + done.stderr


def test_transformers_is_timed_in_full_runs_only(machine):
    machine.program("gpu/kernel_speed", "echo copy 4000 GB/s")
    done, steps, report = machine.run("--quick")
    assert steps["peer"] == 77
    assert steps["kernel-speed"] == 0
    assert report["kernel_speed"] == ["copy 4000 GB/s"]
    assert machine.run()[1]["peer"] == 0


def test_a_python_whose_torch_does_not_multiply_is_not_taken(machine):
    machine.write(machine.folder / "python", "echo import torch: libcublas.so.13 is missing >&2; exit 1")
    done = subprocess.run(
        [REPO / "scripts/gpu-check"], capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHON": str(machine.folder / "python"), "PREFSCORE_BUILD_DIR": str(machine.build)})
    if done.returncode == 0:
        pytest.skip("another python here runs torch on a GPU")
    assert f"{machine.folder / 'python'}: import torch: libcublas.so.13 is missing" in done.stderr
