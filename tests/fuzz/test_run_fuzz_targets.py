# SPDX-License-Identifier: Apache-2.0
"""What scripts/fuzz makes of libFuzzer's output: a crash, a hang and a target that runs nothing must not pass."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

import run_fuzz_targets  # noqa: E402

CLEAN = """#2\tINITED cov: 90 ft: 91 corp: 3/120b exec/s: 0 rss: 40Mb
#26564\tDONE   cov: 412 ft: 900 corp: 55/9Kb lim: 4096 exec/s: 1264 rss: 295Mb
Done 26564 runs in 21 second(s)
stat::number_of_executed_units: 26564
stat::average_exec_per_sec:     1264
stat::new_units_added:          60
"""
CRASH = """==1==ERROR: AddressSanitizer: heap-buffer-overflow
artifact_prefix='build/crashes/rows/'; Test unit written to build/crashes/rows/crash-da39
stat::number_of_executed_units: 7
stat::average_exec_per_sec:     7
"""


def test_a_clean_run_has_its_figures():
    outcome = run_fuzz_targets.outcome_of("rows", 0, CLEAN)
    assert (outcome.executions, outcome.executions_per_s, outcome.edges, outcome.corpus) == (26564, 1264, 412, 55)
    assert (outcome.new_edges, outcome.new_inputs) == (322, 60)
    assert outcome.crash == ""


@pytest.mark.parametrize(("exit_code", "log", "crash"), [
    (77, CRASH, "build/crashes/rows/crash-da39"),
    (70, CLEAN, "exit code 70"),
    (0, "", "nothing was run"),
    (0, CLEAN.replace("412", "0"), "nothing was run"),
])
def test_what_is_no_clean_run_is_said(exit_code, log, crash):
    outcome = run_fuzz_targets.outcome_of("rows", exit_code, log)
    assert outcome.crash == crash
    assert crash in run_fuzz_targets.table([outcome])


@pytest.mark.parametrize(("rows_log", "rows_exit_code", "exit_code"), [(CLEAN, 0, 0), (CRASH, 77, 1)])
def test_one_crash_among_the_targets_fails_the_run(tmp_path, rows_log, rows_exit_code, exit_code):
    (tmp_path / "fuzz").mkdir()
    for target, log, target_exit_code in [("flags", CLEAN, 0), ("rows", rows_log, rows_exit_code)]:
        program = tmp_path / "fuzz" / target
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{log}END\nexit {target_exit_code}\n")
        program.chmod(0o755)
    done = subprocess.run([sys.executable, run_fuzz_targets.__file__, "--build-dir", tmp_path, "--seconds", "1",
                           "flags", "rows"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == exit_code, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["target", "flags", "rows"]
    assert ("AddressSanitizer" in done.stderr) == (exit_code == 1)


def test_every_target_has_seeds_and_is_described():
    readme = (ROOT / "tests/fuzz/README.md").read_text()
    cmake = (ROOT / "tests/fuzz/CMakeLists.txt").read_text()
    targets = [path.name.removesuffix("_fuzz.cc") for path in (ROOT / "tests/fuzz").glob("*_fuzz.cc")]
    assert targets
    for target in targets:
        assert any((ROOT / run_fuzz_targets.SEEDS / target).iterdir()), target
        assert f"| `{target}` |" in readme, target
        assert f"prefscore_fuzz({target} " in cmake, target


def test_the_corpus_stays_small():
    files = [path for path in (ROOT / run_fuzz_targets.SEEDS).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 200_000
