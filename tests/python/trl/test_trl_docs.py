# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/trl.md, run as they stand against a server at another address."""
import json
import math
import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).resolve().parents[3] / "client/python/docs"


def test_examples(stories_server, stories_rows, model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in stories_rows[:40]]
    pathlib.Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "trl.md").read_text(), re.DOTALL)
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        here = block.replace("127.0.0.1:50051", stories_server.address).replace("my/model", model_folder)
        exec(here.replace('DPOConfig("run"', 'DPOConfig("run", use_cpu=True, report_to=[], max_steps=3'), names)
    logged = [entry for entry in names["trainer"].state.log_history if "cells/num_pairs" in entry]
    assert logged and logged[0]["cells/num_pairs"] == 8
    with_gamma = names["with_gamma"]
    assert (with_gamma.beta, with_gamma.gamma) == (0.1, 0.05)
    assert names["hypo"].requested_objective.name == "hypo"
    assert "ref_chosen_logps" in names["precomputed"].train_dataset.column_names
    expected = [math.log1p(math.exp(-z)) for z in (0.1 * 4 - 0.05 * 1.5, 0.1 * -4 - 0.05 * -1.5)]
    assert names["losses"].tolist() == pytest.approx(expected)
