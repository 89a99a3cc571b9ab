# SPDX-License-Identifier: Apache-2.0
"""Scoring on a cluster of several nodes: whatever dies, each row is there once, with the bits that one client gets."""

import collections
import pathlib
import re
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import STORE_BYTES
from fake_server import FakeServer

import prefscore
import prefscore.ray

NUM_ROWS = 400
PART_ROWS = 20


@pytest.fixture
def table():
    """Row 7 makes no pair."""
    ids = range(NUM_ROWS)
    return pa.table({
        "id": [f"row {idx}" for idx in ids],
        "chosen": [None if idx == 7 else f"Q{idx}" + "a" * (idx % 7) for idx in ids],
        "rejected": [f"Q{idx}" + "b" * (idx % 4 + 1) for idx in ids],
        "more": [[float(idx)] * (idx % 3) for idx in ids],
    })  # fmt: skip


@pytest.fixture
def source(table, tmp_path):
    """Two files, the second of several row groups."""
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(table.slice(0, 50), folder / "a.parquet")
    pq.write_table(table.slice(50), folder / "b.parquet", row_group_size=100)
    return folder


@pytest.fixture
def expected(table, tmp_path):
    """By one client, without Ray."""
    pq.write_table(table, tmp_path / "whole.parquet")
    with FakeServer() as server:
        output = prefscore.score_dataset(tmp_path / "whole.parquet", server.address, output=tmp_path / "one.parquet")
    return pq.read_table(output).sort_by("id")


def check(output, expected):
    found = pq.read_table(output).sort_by("id")
    assert found.column_names == expected.column_names
    for name in expected.column_names:  # the kind of list and string is Ray's choice
        assert found[name].to_pylist() == expected[name].to_pylist(), name


def in_background(run):
    """Starts `run`; wait() gives what it returns, or raises."""
    outcome = {}

    def target():
        try:
            outcome["value"] = run()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=target, daemon=True)
    thread.start()

    def wait():
        thread.join(300)
        assert not thread.is_alive(), "the run does not end"
        if "error" in outcome:
            raise outcome["error"]
        return outcome["value"]

    return wait


def wait_for(condition, what):
    give_up_at = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.05)


def test_a_lazy_dataset(cluster, source, expected):
    import ray.data

    with FakeServer() as server:
        scored = prefscore.ray.score(ray.data.read_parquet(str(source)), server.address, batch_rows=64)
        assert server.pairs == []
        found = sorted(scored.take_all(), key=lambda row: row["id"])
    assert [row["policy_margin"] for row in found] == expected["policy_margin"].to_pylist()
    assert [row["prefscore_error_code"] for row in found] == expected["prefscore_error_code"].to_pylist()


def test_the_examples_of_the_documentation(cluster, table, tmp_path, monkeypatch, capsys):
    """Of docs/ray.md, as they stand, but for the server's address and the folder."""
    text = (pathlib.Path(__file__).resolve().parents[3] / "client/python/docs/ray.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    pq.write_table(table, "pairs.parquet")
    names = {}
    with FakeServer() as server:
        for block in blocks:
            block = block.replace("127.0.0.1:50051", server.address).replace('"pairs.', f'"{tmp_path}/pairs.')
            exec(block, names)
        printed = capsys.readouterr().out
        assert f"{NUM_ROWS} rows, 1 failed, 0 kept from before" in printed
        margins = [
            -len(row["chosen"]) + len(row["rejected"]) for row in table.slice(0, 100).to_pylist() if row["chosen"]
        ]
        assert str(sum(margins) / len(margins))[:8] in printed
    assert pq.read_table("scored").num_rows == NUM_ROWS


def test_a_server_that_dies_among_two(cluster, source, expected, tmp_path):
    with FakeServer(result_delay_s=0.005) as first, FakeServer(result_delay_s=0.005) as second:
        wait = in_background(lambda: prefscore.ray.score_parquet(
            str(source), str(tmp_path / "out"), [first.address, second.address], id_column="id", part_rows=PART_ROWS
        ))  # fmt: skip
        wait_for(lambda: len(first.pairs) >= 30 and len(second.pairs) >= 30, "both servers are asked")
        first.kill()
        summary = wait()
    assert (summary.num_rows, summary.num_failed, summary.num_kept) == (NUM_ROWS, 1, 0)
    check(tmp_path / "out", expected)


def test_a_run_that_ended_goes_on(cluster, source, expected, tmp_path):
    def few_attempts(address):
        retry = prefscore.RetryPolicy(max_attempts=1, max_stream_attempts=1)
        return lambda: prefscore.Client(address, retry=retry)

    output = tmp_path / "out"
    with FakeServer(result_delay_s=0.005) as server:
        wait = in_background(lambda: prefscore.ray.score_parquet(
            str(source), str(output), few_attempts(server.address), id_column="id", part_rows=PART_ROWS
        ))  # fmt: skip
        wait_for(lambda: len(list(output.glob("*.parquet"))) >= 3, "parts are written")
        server.kill()
        with pytest.raises(prefscore.Unavailable):
            wait()
        server.pairs.clear()
        server.start()
        summary = prefscore.ray.score_parquet(
            str(source), str(output), server.address, id_column="id", part_rows=PART_ROWS
        )
        check(output, expected)
        assert 2 * PART_ROWS <= summary.num_kept < NUM_ROWS
        times_scored = collections.Counter(pair.rejected.text for pair in server.pairs)
        assert sum(times_scored.values()) == NUM_ROWS - summary.num_kept

        server.pairs.clear()
        again = prefscore.ray.score_parquet(
            str(source), str(output), server.address, id_column="id", part_rows=PART_ROWS
        )
        assert again.num_kept == NUM_ROWS and server.pairs == []
        with pytest.raises(prefscore.FailedPrecondition, match="objectives was '' and is 'ipo'"):
            prefscore.ray.score_parquet(
                str(source), str(output), server.address, prefscore.ScoringOptions(objectives=["ipo"]), id_column="id"
            )


def test_a_node_that_dies(cluster, source, expected, tmp_path):
    victim = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node)
    with FakeServer(result_delay_s=0.01) as server:
        wait = in_background(lambda: prefscore.ray.score_parquet(
            str(source), str(tmp_path / "out"), server.address, id_column="id", part_rows=PART_ROWS
        ))  # fmt: skip
        wait_for(lambda: len(server.pairs) >= 60, "the server is asked")
        cluster.remove_node(victim, allow_graceful=False)
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        summary = wait()
    assert summary.num_rows == NUM_ROWS
    check(tmp_path / "out", expected)
