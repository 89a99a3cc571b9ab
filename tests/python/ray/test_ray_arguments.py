# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a call is told before anything runs on a cluster: these tests have none."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_server import FakeServer

import prefscore
import prefscore.ray
from prefscore.ray import storage


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    def read_parquet(*_, **__):
        raise AssertionError("Ray is asked")

    monkeypatch.setattr("ray.data.read_parquet", read_parquet)


def write(path, **columns):
    pq.write_table(pa.table({"chosen": ["a", "b", "c"], "rejected": ["x", "y", "z"], **columns}), path)
    return str(path)


@pytest.mark.parametrize(
    "ids, arguments, kind, message",
    [
        ([1, 2, 2], {}, prefscore.InvalidArgument, "1 values are not unique, such as 2"),
        ([1, None, 2], {}, prefscore.InvalidArgument, "1 of 3 values are null"),
        ([1, 2, 3], {"id_column": "key"}, prefscore.MissingColumns, "no column 'key', the id_column; it has: .*'id'"),
        ([1, 2, 3], {"part_rows": 0}, prefscore.InvalidArgument, "part_rows is 0"),
        ([1, 2, 3], {"num_actors": 0}, prefscore.InvalidArgument, "num_actors is 0"),
        ([1, 2, 3], {"columns": ["losses"]}, prefscore.InvalidArgument, "no column 'losses'"),
        ([1, 2, 3], {"options": {}}, prefscore.InvalidArgument, "options: must be ScoringOptions"),
        ([1, 2, 3], {"inputs": []}, prefscore.InvalidArgument, "inputs is empty"),
        ([1, 2, 3], {"inputs": "/nowhere.parquet"}, prefscore.InvalidArgument, "no Parquet file at /nowhere.parquet"),
    ],
)
def test_wrong_arguments(fake_server, tmp_path, ids, arguments, kind, message):
    source = write(tmp_path / "in.parquet", id=ids)
    arguments = {"inputs": source, "id_column": "id", **arguments}
    with pytest.raises(kind, match=message):
        prefscore.ray.score_parquet(output=str(tmp_path / "out"), servers=fake_server.address, **arguments)
    assert not (tmp_path / "out").exists()


def test_wrong_columns(fake_server, tmp_path):
    source = write(tmp_path / "in.parquet", id=[1, 2, 3], policy_margin=[0.5, 0.5, 0.5])
    with pytest.raises(prefscore.InvalidArgument, match="already: policy_margin"):
        prefscore.ray.score_parquet(source, str(tmp_path / "out"), fake_server.address, id_column="id")
    pq.write_table(pa.table({"id": [1], "chosen": ["a"]}), source)
    with pytest.raises(prefscore.MissingColumns, match="no column 'rejected'"):
        prefscore.ray.score_parquet(source, str(tmp_path / "out"), fake_server.address, id_column="id")


def test_a_client_cannot_go_to_actors(fake_client, tmp_path):
    source = write(tmp_path / "in.parquet", id=[1, 2, 3])
    with pytest.raises(prefscore.InvalidArgument, match="a Client cannot go to actors"):
        prefscore.ray.score_parquet(source, str(tmp_path / "out"), fake_client, id_column="id")


def test_folders_of_other_runs(tmp_path):
    write(tmp_path / "out.parquet")
    settings = {"policy_digest": "p", "inputs": "in"}
    with pytest.raises(prefscore.FailedPrecondition, match="holds files, and no checkpoint is at"):
        storage.begin_or_go_on(str(tmp_path / "checkpoint"), str(tmp_path), settings)
    storage.begin_or_go_on(str(tmp_path / "checkpoint"), str(tmp_path / "out"), settings)
    storage.begin_or_go_on(str(tmp_path / "checkpoint"), str(tmp_path / "out"), settings)
    with pytest.raises(prefscore.FailedPrecondition, match="policy_digest was 'p' and is 'q'"):
        storage.begin_or_go_on(str(tmp_path / "checkpoint"), str(tmp_path / "out"), {**settings, "policy_digest": "q"})


def test_another_model(tmp_path):
    source = write(tmp_path / "in.parquet", id=[1, 2, 3])
    storage.begin_or_go_on(str(tmp_path / "out.checkpoint"), str(tmp_path / "out"), {"policy_digest": "p" * 64})
    with FakeServer(digests={"policy": "n" * 64, "reference": "r" * 64}) as server:
        with pytest.raises(prefscore.FailedPrecondition, match="policy_digest was 'p+' and is 'n+'"):
            prefscore.ray.score_parquet(source, str(tmp_path / "out"), server.address, id_column="id")


@pytest.mark.parametrize(
    "found, message",
    [
        ([1, 2], "1 are missing, such as 3"),
        ([1, 2, 3, 3], "1 are there more than once, such as 3"),
        ([1, 2, 3, 4], "1 are of no input, such as 4"),
        ([], "3 are missing, such as 1"),
    ],
)
@pytest.mark.parametrize("is_uri", [False, True])
def test_the_audit(tmp_path, found, message, is_uri):
    expected = pa.chunked_array([[1, 2, 3]])
    output = tmp_path / "out"
    output.mkdir()
    if found:
        pq.write_table(pa.table({"id": found}), output / "a.parquet")
    with pytest.raises(prefscore.FailedPrecondition, match=message):
        storage.check_ids(output.as_uri() if is_uri else str(output), "id", expected)
    pq.write_table(pa.table({"id": [1, 2, 3]}), output / "a.parquet")
    storage.check_ids(str(output), "id", expected)
    assert storage.num_rows(str(output)) == 3


def test_files_that_are_not_confirmed_do_not_count(tmp_path):
    write(tmp_path / "a.parquet")
    write(tmp_path / "b.pending.parquet")
    assert storage.num_rows(str(tmp_path)) == 3
