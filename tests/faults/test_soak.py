# SPDX-License-Identifier: Apache-2.0
"""tests/bench/soak.py, cut short: long enough for lost and miscounted calls, too short for slow leaks."""
import json
import pathlib
import subprocess
import sys

import pytest

SOAK = pathlib.Path(__file__).resolve().parents[1] / "bench" / "soak.py"


def test_no_call_is_lost_and_both_sides_count_the_same(build_dir, tmp_path):
    output = tmp_path / "soak.json"
    run = subprocess.run([sys.executable, SOAK, "--minutes", "0.3", "--build-dir", build_dir, "--json", output],
                         capture_output=True, text=True, timeout=300)  # fmt: skip
    assert output.exists(), run.stderr
    result = json.loads(output.read_text())
    assert result["problems"] == [] and result["num_lost"] == 0
    assert result["num_pairs"] > 100 and result["num_calls"] > 20
    for method in ("ScorePairs", "StreamScorePairs", "ScoreCompletions", "EvaluateObjectives", "AnalyzePairs"):
        assert result["calls_of_client"][f"{method} OK"] > 0
    assert result["num_abandoned"] >= 2
    first_mb, highest_mb, _ = result["resident_mb"]
    assert highest_mb - first_mb < 200  # all of what the cache may hold in memory is below


@pytest.mark.parametrize("mb_per_hour", [0.0, 30.0])
def test_a_leak_is_told_from_noise(monkeypatch, mb_per_hour):
    monkeypatch.syspath_prepend(SOAK.parent)
    import random

    import soak_report

    rng = random.Random(1)
    times_s = list(range(1500))
    resident_mb = [300 + mb_per_hour * time_s / 3600 + rng.gauss(0, 2) for time_s in times_s]
    slope, half_width = soak_report.slope_per_hour(times_s, resident_mb)
    assert slope == pytest.approx(mb_per_hour, abs=2 * half_width)
    assert 0 < half_width < 3
    assert (slope - half_width > soak_report.MAX_MB_PER_HOUR) == (mb_per_hour > 0)
