# SPDX-License-Identifier: Apache-2.0
"""Runs that are cut off go on where they were; nothing is lost, and nothing mixed."""

import collections
import errno
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import datasets
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fake_server import Code, FakeServer, Step

import prefscore
from prefscore.dataset import files, hugging_face, run
from prefscore.dataset.parts import Part, Parts

NUM_ROWS = 90
PART_ROWS = 20


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(run, "PART_ROWS", PART_ROWS)


@pytest.fixture
def rows():
    return [
        {"chosen": f"Q{idx}" + "a" * (idx % 7), "rejected": f"Q{idx}" + "b" * (idx % 4 + 1)} for idx in range(NUM_ROWS)
    ]


def times_scored(server):
    return collections.Counter(pair.chosen.text for pair in server.pairs)


def no_retries(server):
    policy = prefscore.RetryPolicy(max_attempts=1, max_stream_attempts=1)
    return prefscore.Client(server.address, retry=policy, max_in_flight_pairs=8)


@pytest.mark.parametrize("num_before", [0, 1, 19, 20, 21, 55, 89])
def test_a_run_that_failed_goes_on(fake_server, rows, tmp_path, num_before):
    whole = prefscore.score_dataset(pd.DataFrame(rows), fake_server.address)
    fake_server.pairs.clear()
    fake_server.script["StreamScorePairs"] = [Step(code=Code.INTERNAL, after_results=num_before, after_pairs=1)]
    with no_retries(fake_server) as client, pytest.raises(prefscore.Internal):
        prefscore.score_dataset(pd.DataFrame(rows), client, checkpoint=tmp_path)
    with Parts(tmp_path, json.loads((tmp_path / "settings.json").read_text()), pq_schema(tmp_path)) as parts:
        num_kept = parts.num_rows
    assert num_before - 8 <= num_kept <= num_before  # what was scored is there: also the part that was not full

    summary = prefscore.DatasetSummary()
    scored = prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path, summary=summary)
    pd.testing.assert_frame_equal(scored, whole)
    assert (summary.num_rows, summary.num_kept) == (NUM_ROWS, num_kept)
    again = times_scored(fake_server)
    assert len(again) == NUM_ROWS
    assert all(again[row["chosen"]] == 1 for row in rows[:num_kept])


def pq_schema(folder):
    paths = sorted(folder.glob("part-*.parquet"))
    return pq.read_schema(paths[0]).remove_metadata() if paths else None


KILLED_RUN = """
import os, signal, sys
import datasets, prefscore
from prefscore.dataset import run

run.PART_ROWS = {part_rows}
calls = 0

def deadly(name, function):
    def call(*arguments, **more):
        global calls
        if name == {function!r}:
            calls += 1
            if calls == {count}:
                os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    return call

os.fsync = deadly("fsync", os.fsync)
os.replace = deadly("replace", os.replace)
run.Run._record = deadly("record", run.Run._record)
rows = datasets.Dataset.from_list({rows!r})
prefscore.score_dataset(rows, {address!r}, checkpoint={folder!r})
"""


@pytest.mark.parametrize(
    "function, count",
    [
        *(("fsync", count) for count in (1, 2, 3, 4)),
        *(("replace", count) for count in (1, 2, 6)),
        *(("record", count) for count in (1, 21, 85)),
    ],
)
def test_a_killed_run_goes_on(fake_server, rows, tmp_path, function, count):
    code = KILLED_RUN.format(function=function, count=count, rows=rows, address=fake_server.address,
                             folder=str(tmp_path), part_rows=PART_ROWS)  # fmt: skip
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    num_whole = PART_ROWS * len(list(tmp_path.glob("part-*.parquet")))
    whole = prefscore.score_dataset(datasets.Dataset.from_list(rows), fake_server.address)
    fake_server.pairs.clear()

    scored = prefscore.score_dataset(datasets.Dataset.from_list(rows), fake_server.address, checkpoint=tmp_path)
    assert scored[:] == whole[:]
    assert times_scored(fake_server) == {row["chosen"]: 1 for row in rows[min(num_whole, NUM_ROWS) :]}
    assert not list(tmp_path.glob("*.partial"))


def test_a_whole_run_is_not_scored_again(fake_server, rows, tmp_path):
    first = prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path)
    second = prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path)
    pd.testing.assert_frame_equal(first, second)
    assert set(times_scored(fake_server).values()) == {1}


@pytest.mark.parametrize("kind", ["iterable", "json", "parquet"])
def test_streams_go_on_too(fake_server, rows, tmp_path, kind):
    checkpoint = tmp_path / "checkpoint"
    sources = {"json": tmp_path / "rows.jsonl", "parquet": tmp_path / "rows.parquet"}
    sources["json"].write_text("".join(json.dumps(row) + "\n" for row in rows))
    datasets.Dataset.from_list(rows).to_parquet(sources["parquet"])

    def score(client):
        if kind == "iterable":
            return list(prefscore.score_dataset(
                datasets.Dataset.from_list(rows).to_iterable_dataset(), client, checkpoint=checkpoint))  # fmt: skip
        source = sources[kind]
        output = prefscore.score_dataset(source, client, output=source.with_stem("out"), checkpoint=checkpoint)
        if kind == "parquet":
            return pq.read_table(output).to_pylist()
        return [json.loads(line) for line in output.read_text().splitlines()]

    fake_server.script["StreamScorePairs"] = [Step(code=Code.INTERNAL, after_results=47, after_pairs=1)]
    with no_retries(fake_server) as client, pytest.raises(prefscore.Internal):
        score(client)
    found = score(fake_server.address)
    assert [row["chosen"] for row in found] == [row["chosen"] for row in rows]
    assert [row["policy_chosen_logp"] for row in found] == [-float(len(row["chosen"])) for row in rows]
    assert all(times_scored(fake_server)[row["chosen"]] == 1 for row in rows[:39])


def test_a_closed_stream_keeps_what_it_gave(fake_server, rows, tmp_path):
    dataset = datasets.Dataset.from_list(rows).to_iterable_dataset()
    iterator = iter(prefscore.score_dataset(dataset, fake_server.address, checkpoint=tmp_path))
    for _ in range(33):
        next(iterator)
    iterator.close()
    summary = prefscore.DatasetSummary()
    list(prefscore.score_dataset(dataset, fake_server.address, checkpoint=tmp_path, summary=summary))
    assert summary.num_kept >= 33


def test_a_longer_data_set_goes_on(fake_server, rows, tmp_path):
    prefscore.score_dataset(pd.DataFrame(rows[:50]), fake_server.address, checkpoint=tmp_path)
    scored = prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path)
    assert len(scored) == NUM_ROWS and set(times_scored(fake_server).values()) == {1}


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows[::-1], "rows 0 to 19 of the data set are not those"),
        (
            lambda rows: [*rows[:25], {"chosen": "Q", "rejected": "R"}, *rows[26:]],
            "rows 20 to 39 of the data set are not",
        ),
        (lambda rows: rows[:70], "holds 80 rows or more, the data set only 70"),
    ],
)
def test_another_data_set(fake_server, rows, tmp_path, change, message):
    prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path)
    fake_server.pairs.clear()
    with pytest.raises(prefscore.FailedPrecondition, match=message):
        prefscore.score_dataset(pd.DataFrame(change(rows)), fake_server.address, checkpoint=tmp_path)
    assert fake_server.pairs == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"options": prefscore.ScoringOptions(objectives=["ipo"], max_length=7)},
            "columns was .*max_length was '0' and is '7'; objectives was '' and is 'ipo'",
        ),
        ({"columns": ["loss"]}, "columns was"),
        ({"on_error": "raise"}, "columns was"),
        ({"existing": "overwrite"}, "existing was 'error' and is 'overwrite'"),
    ],
)
def test_other_settings(fake_server, rows, tmp_path, arguments, message):
    prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path)
    with pytest.raises(prefscore.FailedPrecondition, match=message):
        prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path, **arguments)


def test_another_model(fake_server, rows, tmp_path):
    prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path)
    with FakeServer(digests={"policy": "n" * 64, "reference": "r" * 64}) as other:
        with pytest.raises(prefscore.FailedPrecondition, match="policy_digest was 'p+' and is 'n+'"):
            prefscore.score_dataset(pd.DataFrame(rows), other.address, checkpoint=tmp_path)
        assert other.pairs == []


def test_options_that_change_no_number_may_change(fake_server, rows, tmp_path):
    prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path)
    options = prefscore.ScoringOptions(cache_mode="bypass", priority="interactive")
    prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, options, checkpoint=tmp_path)


def test_a_folder_belongs_to_one_run(fake_server, rows, tmp_path):
    dataset = datasets.Dataset.from_list(rows).to_iterable_dataset()
    iterator = iter(prefscore.score_dataset(dataset, fake_server.address, checkpoint=tmp_path))
    next(iterator)
    with pytest.raises(prefscore.FailedPrecondition, match="another run is using the folder of checkpoint"):
        prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path)
    iterator.close()
    prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path)


@pytest.fixture
def scoring_in_between(fake_server, rows):
    """begin(score): scores in another thread, which waits in the midst of the rows that it is given; `let_go()`, which
    this gives, ends the wait and gives what came of it."""
    may_go, has_begun, outcome = threading.Event(), threading.Event(), []

    def generate():
        for idx, row in enumerate(rows):
            if idx == 60:
                has_begun.set()
                assert may_go.wait(30)
            yield row

    def run(score):
        try:
            outcome.append(score(generate()))
        except BaseException as error:
            outcome.append(error)

    def begin(score):
        thread = threading.Thread(target=run, args=(score,))
        thread.start()
        assert has_begun.wait(30)

        def let_go():
            may_go.set()
            thread.join(30)
            return outcome[0]

        return let_go

    yield begin
    may_go.set()


def test_a_second_run_leaves_the_scores_of_the_first_alone(fake_server, rows, tmp_path, monkeypatch, scoring_in_between):
    """They are in one file, of the checkpoint's folder."""
    dataset = datasets.Dataset.from_list(rows)

    def score(generated):
        slow = run.Run.scored
        monkeypatch.setattr(run.Run, "scored", lambda self, _, *more: slow(self, generated, *more))
        return prefscore.score_dataset(dataset, fake_server.address, checkpoint=tmp_path)

    monkeypatch.setattr(hugging_face, "_BATCH_ROWS", 1)
    let_go = scoring_in_between(score)
    give_up_at = time.monotonic() + 30
    while not any(path.stat().st_size for path in tmp_path.glob("scores.*")):  # what a second run could destroy
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
    with pytest.raises(prefscore.FailedPrecondition, match="another run is using"):
        prefscore.score_dataset(dataset, fake_server.address, checkpoint=tmp_path)
    assert let_go()["policy_chosen_logp"][:] == [-float(len(row["chosen"])) for row in rows]


def test_a_second_run_leaves_the_output_of_the_first_alone(
    fake_server, rows, tmp_path, monkeypatch, scoring_in_between
):
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "scored.jsonl"

    def score(generated):
        monkeypatch.setattr(files, "_json_rows", lambda inputs: generated)
        return prefscore.score_dataset(tmp_path / "pairs.jsonl", fake_server.address, output=output)

    let_go = scoring_in_between(score)
    with pytest.raises(prefscore.FailedPrecondition, match="another run is using .*scored.jsonl"):
        prefscore.score_dataset(tmp_path / "pairs.jsonl", fake_server.address, output=output)
    assert let_go() == output
    assert [json.loads(line)["chosen"] for line in output.read_text().splitlines()] == [row["chosen"] for row in rows]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.jsonl", "scored.jsonl"]


def test_a_fork_does_not_keep_the_folder(tmp_path, schema):
    """As a worker of a DataLoader that was started while the run was under way, and outlives it."""
    with Parts(tmp_path, {}, schema):
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.close(writing)
            os.read(reading, 1)  # until the parent closes its end
            os._exit(0)
        os.close(reading)
    try:
        with Parts(tmp_path, {}, schema):
            pass
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def test_file_systems_without_locks(fake_server, rows, tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    prefscore.score_dataset(datasets.Dataset.from_list(rows), fake_server.address, checkpoint=tmp_path)
    assert (tmp_path / "scores.arrow").exists()


def test_what_a_killed_run_left_of_the_output_is_written_over(fake_server, rows, tmp_path):
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "scored.jsonl.partial").write_text("x" * 1_000_000)
    output = prefscore.score_dataset(
        tmp_path / "pairs.jsonl", fake_server.address, output=tmp_path / "scored.jsonl"
    )
    assert len([json.loads(line) for line in output.read_text().splitlines()]) == NUM_ROWS


def test_failed_rows_are_kept_too(fake_server, rows, tmp_path):
    rows[3]["rejected"] = None
    first = prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path)
    summary = prefscore.DatasetSummary()
    second = prefscore.score_dataset(pd.DataFrame(rows), fake_server.address, checkpoint=tmp_path, summary=summary)
    pd.testing.assert_frame_equal(first, second)
    assert "pair.rejected" in second["prefscore_error"][3] and summary.num_failed == 1


def test_lists_survive(fake_server, rows, tmp_path):
    columns = ["policy_chosen_token_logps", "prompt_ids", "chosen_boundary_merged"]
    schemas = [prefscore.score_dataset(datasets.Dataset.from_list(rows), fake_server.address, checkpoint=tmp_path,
                                       columns=columns).features for _ in range(2)]  # fmt: skip
    assert schemas[0] == schemas[1]


def a_part(first_row=0, value=1.5):
    return Part(first_row, [{"x": value}], "digest")


@pytest.fixture
def schema():
    import pyarrow as pa

    return pa.schema([("x", pa.float64())])


def test_parts_tell_what_is_wrong_with_them(tmp_path, schema):
    with Parts(tmp_path, {}, schema) as parts:
        for row in range(3):
            parts.append(a_part(row))
    paths = sorted(tmp_path.glob("part-*"))
    paths[2].write_bytes(paths[1].read_bytes()[:-9])
    with Parts(tmp_path, {}, schema) as parts, pytest.raises(Exception, match="part-000000000002-000000000003.parquet"):
        list(parts.kept())
    paths[1].unlink()
    with pytest.raises(prefscore.FailedPrecondition, match="the part from row 1 on is missing"):
        Parts(tmp_path, {}, schema)


def test_parts_keep_the_bits(tmp_path, schema):
    values = [0.1 + 0.2, -1e-310, float("inf"), None]
    with Parts(tmp_path, {"a": "b"}, schema) as parts:
        parts.append(Part(0, [{"x": value} for value in values], "digest"))
    with Parts(tmp_path, {"a": "b"}, schema) as parts:
        [part] = parts.kept()
    assert [record["x"] for record in part.records] == values and part.input_digest == "digest"


def test_parts_end_after_a_while(fake_client, rows, tmp_path):
    """A slow server's rows are not all lost with the run."""
    from prefscore.dataset.columns import OutputColumns
    from prefscore.dataset.rows import RowReader

    columns = OutputColumns(["loss"], prefscore.ScoringOptions(), has_errors=True)
    ticks = iter(range(0, 10**6, 10))  # ten seconds pass whenever it is looked at
    one = run.Run(
        fake_client, prefscore.ScoringOptions(), columns, "keep", prefscore.DatasetSummary(), lambda: next(ticks)
    )
    with Parts(tmp_path, {}, columns.arrow_schema) as parts:
        list(one.scored(rows[:19], RowReader(rows[0], uses_known=False), parts))
    assert len(list(tmp_path.glob("part-*"))) > 3


@pytest.mark.parametrize("kind", [pd.DataFrame, datasets.Dataset.from_list])
def test_checkpoint_folder_is_made(fake_server, rows, tmp_path, kind):
    folder = tmp_path / "a" / "b"
    prefscore.score_dataset(kind(rows), fake_server.address, checkpoint=str(folder))
    assert (pathlib.Path(folder) / "settings.json").exists()
