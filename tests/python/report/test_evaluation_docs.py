# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/evaluation.md, run as they stand against a server at another address."""
import json
import pathlib
import re

DOCS = pathlib.Path(__file__).resolve().parents[3] / "client/python/docs"


def test_examples(demo_server, demo_pairs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [dict(row, kind="odd" if i % 2 else "even") for i, row in enumerate(demo_pairs)]
    pathlib.Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "evaluation.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    names = {"dataset": [dict(row, subset="hep-python" if i % 2 else "donotanswer") for i, row in enumerate(rows)]}
    told = []
    for block in blocks:
        exec(block.replace("127.0.0.1:50051", demo_server.address), names)
        told.append(capsys.readouterr().out)
    names["client"].close()
    assert pathlib.Path("report.html").read_text() == names["report"].html
    assert re.search(r"^even 64 0\.\d+\nodd 64 0\.\d+$", told[0], re.MULTILINE)
    assert re.search(r"^even +0\.\d{3}  \[0\.\d{3}, 0\.\d{3}\] +\d+ of 64", told[1], re.MULTILINE)
    assert names["evaluations"]["sum"].overall.accuracy == names["report"].overall.ranking.policy_accuracy
    assert re.search(r"^Reasoning .* section\n", told[2], re.MULTILINE) and names["evaluation"].score is None
