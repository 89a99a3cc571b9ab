# SPDX-License-Identifier: Apache-2.0
"""Each kind of data set comes back as itself, with the same scores."""

import json
import pickle
import subprocess
import sys

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import prefscore


def check(found, expected):
    for name, values in expected.items():
        assert list(found[name]) == values, name


def test_dataset(fake_client, rows, expected):
    dataset = datasets.Dataset.from_list(rows)
    scored = prefscore.score_dataset(dataset, fake_client)
    assert type(scored) is datasets.Dataset
    check(scored, expected)
    assert scored.column_names[:4] == ["prompt", "chosen", "rejected", "source"]
    assert scored[3]["source"] == 3
    assert scored.features["ref_chosen_logps"].dtype == "float32"
    assert scored.features["policy_chosen_logp"].dtype == "float64"
    assert scored["prefscore_error"][:] == [None] * len(rows)


def test_dataset_with_chosen_rows_and_a_format(fake_client, rows, expected):
    dataset = datasets.Dataset.from_list(rows).select([7, 3, 11]).with_format("numpy", columns=["source"])
    scored = prefscore.score_dataset(dataset, fake_client)
    assert scored.format["type"] == "numpy" and scored.format["columns"] == ["source"]
    assert scored["source"][:].tolist() == [7, 3, 11]
    assert scored.with_format(None)["policy_chosen_logp"][:] == [expected["policy_chosen_logp"][i] for i in (7, 3, 11)]


def test_dataset_goes_to_another_process(fake_client, rows, expected):
    scored = prefscore.score_dataset(datasets.Dataset.from_list(rows), fake_client)
    code = f"import pickle\nprint(list(pickle.loads({pickle.dumps(scored)!r})['policy_chosen_logp']))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(ended.stdout) == expected["policy_chosen_logp"]


def test_empty_dataset(fake_client, rows):
    scored = prefscore.score_dataset(datasets.Dataset.from_list(rows).select([]), fake_client)
    assert len(scored) == 0 and "ref_chosen_logps" in scored.column_names


@pytest.mark.parametrize("has_features", [True, False])
def test_iterable_dataset_is_lazy(fake_server, fake_client, rows, expected, has_features):
    def generate():
        yield from rows

    features = datasets.Dataset.from_list(rows).features if has_features else None
    dataset = datasets.IterableDataset.from_generator(generate, features=features)
    scored = prefscore.score_dataset(dataset, fake_client)
    assert type(scored) is datasets.IterableDataset
    assert fake_server.pairs == []
    assert (scored.features is not None) == has_features
    found = list(scored)
    check({name: [row[name] for row in found] for name in expected}, expected)
    assert [row["source"] for row in found] == list(range(25))
    assert len(list(scored)) == 25  # again


def test_iterable_dataset_with_a_format(fake_client):
    rows = [{"prompt_ids": [1], "chosen_ids": [2] * idx, "rejected_ids": [3], "policy_chosen_logp": -5.0}
            for idx in range(1, 4)]  # fmt: skip
    dataset = datasets.Dataset.from_list(rows).to_iterable_dataset().with_format("numpy")
    found = list(prefscore.score_dataset(dataset, fake_client, existing="keep", on_error="raise"))
    assert [row["policy_margin"] for row in found] == [-4.0] * 3
    assert [row["chosen_ids"].tolist() for row in found] == [[2], [2, 2], [2, 2, 2]]


def test_iterable_dataset_reads_no_more_than_is_asked_for(fake_server, rows):
    num_read = 0

    def generate():
        nonlocal num_read
        for idx in range(1_000_000):
            num_read += 1
            yield rows[idx % len(rows)]

    dataset = datasets.IterableDataset.from_generator(generate)
    with prefscore.Client(fake_server.address, max_in_flight_pairs=20) as client:
        iterator = iter(prefscore.score_dataset(dataset, client))
        for _ in range(5):
            next(iterator)
        iterator.close()
    assert num_read < 200


def test_iterable_dataset_with_addresses_goes_to_another_process(fake_server, rows, expected):
    dataset = datasets.Dataset.from_list(rows).to_iterable_dataset()
    scored = pickle.loads(pickle.dumps(prefscore.score_dataset(dataset, fake_server.address)))
    check({name: [row[name] for row in scored] for name in expected}, expected)


def test_iterable_dataset_with_a_client_does_not(fake_client, rows):
    dataset = datasets.Dataset.from_list(rows).to_iterable_dataset()
    pickled = pickle.dumps(prefscore.score_dataset(dataset, fake_client))
    code = f"import pickle, prefscore\nlist(pickle.loads({pickled!r}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "give score_dataset the servers' addresses" in ended.stderr


def test_iterable_dataset_is_not_split_among_workers(fake_server, rows, tmp_path):
    # In a process of its own: workers that are still starting when the loader goes would end this one's later tests.
    script = tmp_path / "load.py"
    script.write_text(
        f"""
import datasets, prefscore, torch.utils.data

if __name__ == "__main__":
    dataset = datasets.Dataset.from_list({rows!r}).to_iterable_dataset(num_shards=2)
    scored = prefscore.score_dataset(dataset, {fake_server.address!r})
    list(torch.utils.data.DataLoader(scored, batch_size=None, num_workers=2, multiprocessing_context="spawn"))
"""
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert "2 workers of a DataLoader" in ended.stderr


def test_data_frame(fake_client, rows, expected):
    frame = pd.DataFrame(rows, index=[f"row {idx}" for idx in range(25)])
    before = frame.copy()
    scored = prefscore.score_dataset(frame, fake_client)
    assert type(scored) is pd.DataFrame
    check(scored, expected)
    assert list(scored.index) == list(frame.index)
    assert scored["num_chosen_tokens"].dtype == "Int32"
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(scored[list(frame.columns)], frame)


def test_json_lines(fake_client, rows, expected, tmp_path):
    source, output = tmp_path / "pairs.jsonl", tmp_path / "scored.jsonl"
    rows[2]["prompt"] = "Où ?"
    source.write_text("\n\n".join(json.dumps(row) for row in rows))
    assert prefscore.score_dataset(source, fake_client, output=output) == output
    found = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    check({name: [row[name] for row in found] for name in expected}, expected)
    assert [{name: row[name] for name in rows[0]} for row in found] == rows
    assert "Où ?" in output.read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.jsonl", "scored.jsonl"]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("pick", [lambda rows: rows, lambda rows: rows[0]])
def test_json_that_is_no_json_lines(fake_client, rows, tmp_path, indent, pick):
    source, output = tmp_path / "pairs.json", tmp_path / "scored.json"
    source.write_text(json.dumps(pick(rows), indent=indent))
    if pick(rows) is not rows and indent is None:  # one object on one line
        prefscore.score_dataset(source, fake_client, output=output)
        return
    with pytest.raises(prefscore.InvalidArgument, match="pairs.json is one JSON value over all of its lines"):
        prefscore.score_dataset(source, fake_client, output=output)
    assert not output.exists()


def test_several_parquet_files_keep_all_of_their_columns(fake_client, rows, expected, tmp_path):
    table = pa.Table.from_pylist(rows)
    odd = pa.array([{"day": None if idx % 2 else idx, "x": [1.5] * idx} for idx in range(25)],
                   pa.struct([("day", pa.date32()), ("x", pa.list_(pa.float32()))]))  # fmt: skip
    table = table.append_column("odd", odd)
    sources = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    pq.write_table(table.slice(0, 10), sources[0])
    pq.write_table(table.slice(10), sources[1], row_group_size=4)
    output = prefscore.score_dataset(sources, fake_client, output=tmp_path / "scored.parquet")
    scored = pq.read_table(output)
    assert scored.select(table.column_names).equals(table)
    check({name: scored[name].to_pylist() for name in expected}, expected)


def test_empty_parquet_file(fake_client, rows, tmp_path):
    source = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows).slice(0, 0), source)
    output = prefscore.score_dataset(source, fake_client, output=tmp_path / "b.parquet")
    assert pq.read_table(output).num_rows == 0
    assert "policy_margin" in pq.read_schema(output).names


def test_addresses_in_place_of_a_client(fake_server, rows, expected):
    check(prefscore.score_dataset(datasets.Dataset.from_list(rows), [fake_server.address]), expected)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda rows, _: rows, "must be a datasets.Dataset"),
        (lambda rows, _: datasets.DatasetDict(train=datasets.Dataset.from_list(rows)), "several splits.*'train'"),
        (lambda _, path: path / "pairs.csv", "neither .jsonl nor .parquet"),
        (lambda _, path: path / "pairs.parquet", "must be of one kind"),
        (lambda _, path: path / "pairs.jsonl", "there is no file"),
        (lambda _, path: path / "out.jsonl", "the same file"),
    ],
)
def test_wrong_inputs(fake_client, rows, tmp_path, make, message):
    (tmp_path / "out.jsonl").write_text("{}\n")
    dataset = make(rows, tmp_path)
    output = {} if not isinstance(dataset, type(tmp_path)) else {"output": tmp_path / "out.jsonl"}
    with pytest.raises(prefscore.InvalidArgument, match=message):
        prefscore.score_dataset(dataset, fake_client, **output)
    assert (tmp_path / "out.jsonl").read_text() == "{}\n"


def test_output_is_for_files_only(fake_client, rows, tmp_path):
    with pytest.raises(prefscore.InvalidArgument, match="output is for files"):
        prefscore.score_dataset(datasets.Dataset.from_list(rows), fake_client, output=tmp_path / "x.jsonl")
    with pytest.raises(prefscore.InvalidArgument, match="output is missing"):
        prefscore.score_dataset(tmp_path / "x.jsonl", fake_client)
