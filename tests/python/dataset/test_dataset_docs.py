# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/dataset.md, run as they stand against a server at another address."""

import json
import pathlib
import re

DOCS = pathlib.Path(__file__).resolve().parents[3] / "client/python/docs"


def test_examples(demo_server, demo_pairs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in demo_pairs]
    pathlib.Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (DOCS / "dataset.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    names = {}
    for block in blocks:
        exec(block.replace("127.0.0.1:50051", demo_server.address), names)
    assert len(names["scored"]) == len(rows)
    printed = capsys.readouterr().out
    assert "'sigmoid:beta=0.1,gamma=0.05/loss', 'ipo/loss', 'policy_margin'" in printed
    assert f"scored {len(rows)} of {len(rows)} rows;" in printed
    assert len(pathlib.Path("scored.jsonl").read_text().splitlines()) == len(rows)
