# SPDX-License-Identifier: Apache-2.0
"""client/python/README.md: its examples run as they stand, its links lead somewhere, its table lists every error."""
import inspect
import json
import pathlib
import re

import pytest
from certificates import Authority

import prefscore

PACKAGE = pathlib.Path(__file__).resolve().parents[3] / "client/python"
REPO = PACKAGE.parents[1]
README = (PACKAGE / "README.md").read_text()
EXAMPLES = re.findall(r"^## ([^\n]+)\n\n```python\n(.*?)```", README, re.DOTALL | re.MULTILINE)


def test_every_example_has_its_use_as_title():
    assert len(EXAMPLES) == README.count("```python") == 8
    assert all(code.count("\n") <= 11 for _, code in EXAMPLES)


def test_examples(demo_server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("root.pem").write_bytes(Authority().certificate)
    pathlib.Path("deploy").symlink_to(REPO / "deploy")
    names, told = {}, {}
    for title, code in EXAMPLES:
        exec(code.replace("127.0.0.1:50051", demo_server.address), names)
        told[title] = capsys.readouterr().out
    names["client"].close()
    assert re.fullmatch(r"(-?\d+\.\d+ ){2}\d+\.\d+\n", told["Pairs"])
    assert re.fullmatch(r"\d+ 0\n", told["Streams"])
    assert told["Completions"].count("\n") >= 3
    assert "[s(R+/beta)" in told["Objectives from log-probs that are known"]
    assert told["Reports"].count("\n") == 10
    assert "serving" in told["The server's tokenizer"]


def test_the_example_of_the_projects_readme(demo_server, tmp_path, monkeypatch):
    [code] = re.findall(r"```python\n(.*?)```", (REPO / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    pathlib.Path("deploy").symlink_to(REPO / "deploy")
    exec(code.replace("127.0.0.1:50051", demo_server.address), {})
    rows = [json.loads(line) for line in pathlib.Path("scored.jsonl").read_text().splitlines()]
    assert len(rows) == 128
    assert all(row["ref_chosen_logps"] < 0 and "sigmoid/loss" in row for row in rows)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (PACKAGE / target).exists(), target


@pytest.mark.parametrize("error", [
    kind for _, kind in inspect.getmembers(prefscore, inspect.isclass)
    if issubclass(kind, prefscore.PrefscoreError) and kind is not prefscore.PrefscoreError
])  # fmt: skip
def test_the_table_of_errors(error):
    [row] = re.findall(rf"^\| `{error.__name__}` \|([^|]*)\|", README, re.MULTILINE)
    builtin = [base.__name__ for base in error.__bases__ if base.__module__ == "builtins"]
    assert row.split() == [f"`{name}`" for name in builtin]
