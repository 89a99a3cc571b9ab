# SPDX-License-Identifier: Apache-2.0
"""Our side of the tests here: the program evaluate_objectives."""
import json
import subprocess

import pytest


def run_program(build_dir, lines):
    text = "".join(json.dumps({"objective": request, "pairs": pairs}) + "\n" for request, pairs in lines)
    done = subprocess.run([build_dir / "tests/evaluate_objectives"], input=text, capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(lines)
    return results


def read_numbers(values):
    """Doubles that are not finite come as strings."""
    return [{name: float(x) for name, x in value.items()} for value in values]


@pytest.fixture(scope="session")
def evaluate_lines(build_dir):
    """evaluate_lines([(objective request, pairs), ...]): results as the program writes them, errors too."""
    return lambda lines: run_program(build_dir, lines)


@pytest.fixture(scope="session")
def evaluate_batches(evaluate_lines):
    """evaluate_batches([(objective request, pairs), ...]): per line {"values", "state", "fast"}, all without error."""

    def evaluate(lines):
        results = evaluate_lines(lines)
        for (request, _), result in zip(lines, results):
            assert "error" not in result, (request, result)
            for part in ("values", "fast"):
                if part in result:
                    result[part] = read_numbers(result[part])
            result["state"] = {name: float(x) for name, x in result["state"].items()}
        return results

    return evaluate


@pytest.fixture(scope="session")
def evaluate(evaluate_batches):
    """evaluate(objective request, pairs): the values of the pairs."""
    return lambda request, pairs: evaluate_batches([(request, pairs)])[0]["values"]
