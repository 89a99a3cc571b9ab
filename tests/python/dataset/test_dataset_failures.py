# SPDX-License-Identifier: Apache-2.0
"""Rows that cannot be scored, and runs that end early."""

import json

import datasets
import pandas as pd
import pytest

import prefscore


@pytest.fixture
def bad_rows(rows):
    """Rows 2, 3 and 24 make no pair."""
    bad = [dict(row) for row in rows]
    bad[2]["chosen"] = None
    bad[3]["rejected"] = "\ud800"
    bad[24]["prompt"] = 5
    return bad


def test_failed_rows_are_kept_with_their_reason(fake_client, bad_rows, expected):
    summary = prefscore.DatasetSummary()
    scored = prefscore.score_dataset(pd.DataFrame(bad_rows, dtype=object), fake_client, summary=summary)
    failed = scored[scored["prefscore_error_code"].notna()]
    assert list(failed.index) == [2, 3, 24]
    assert list(failed["prefscore_error_code"]) == ["INVALID_ARGUMENT"] * 3
    assert "pair.chosen" in failed["prefscore_error"][2] and "is missing" in failed["prefscore_error"][2]
    assert "pair.rejected: is not valid Unicode" in failed["prefscore_error"][3]
    assert "pair.prompt" in failed["prefscore_error"][24]
    numbers = [name for name in scored.columns if name not in bad_rows[0] and not name.startswith("prefscore_error")]
    assert failed[numbers].isna().all(axis=None) and scored.drop([2, 3, 24])[numbers].notna().all(axis=None)
    good = [idx for idx in range(25) if idx not in (2, 3, 24)]
    assert list(scored["policy_chosen_logp"][good]) == [expected["policy_chosen_logp"][idx] for idx in good]
    assert (summary.num_rows, summary.num_failed, summary.errors) == (25, 3, {"INVALID_ARGUMENT": 3})
    assert "scored 22 of 25 rows, 3 failed (INVALID_ARGUMENT: 3)" in str(summary)
    assert "policy pppppppppppp; reference rrrrrrrrrrrr" in str(summary)


def test_failed_rows_are_raised_where_asked(fake_client, bad_rows):
    with pytest.raises(prefscore.InvalidArgument, match="^row 2: pair.chosen: is missing") as caught:
        prefscore.score_dataset(pd.DataFrame(bad_rows, dtype=object), fake_client, on_error="raise")
    assert caught.value.field_violations[0].field == "pair.chosen"


def test_no_error_columns_where_errors_are_raised(fake_client, rows):
    scored = prefscore.score_dataset(pd.DataFrame(rows), fake_client, on_error="raise")
    assert "prefscore_error" not in scored.columns


def test_lines_that_are_no_rows(fake_client, rows, tmp_path):
    lines = ["[1]", json.dumps(rows[0]), '{"chosen": ', json.dumps(rows[1])]
    (tmp_path / "pairs.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"chosen": "\xff"}\n')
    output = prefscore.score_dataset(tmp_path / "pairs.jsonl", fake_client, output=tmp_path / "out.jsonl")
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["prefscore_error"] is None for row in found] == [False, True, False, True, False]
    assert "pairs.jsonl, line 1: must be a JSON object, not list" in found[0]["prefscore_error"]
    assert "pairs.jsonl, line 3: is no JSON" in found[2]["prefscore_error"]


def test_rows_without_columns_that_others_have(fake_client, rows, tmp_path):
    (tmp_path / "pairs.jsonl").write_text(json.dumps(rows[0]) + '\n{"chosen": "x"}\n')
    output = prefscore.score_dataset(tmp_path / "pairs.jsonl", fake_client, output=tmp_path / "out.jsonl")
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert "pair.rejected: is missing" in found[1]["prefscore_error"]


def test_rows_over_the_servers_limit_fail_alone(fake_server, rows):
    fake_server.limits["max_message_bytes"] = 1000
    rows[5]["chosen"] = "x" * 1000
    scored = prefscore.score_dataset(pd.DataFrame(rows), fake_server.address)
    assert scored["prefscore_error"].notna().sum() == 1
    assert "the server's limit is 936 (max_message_bytes)" in scored["prefscore_error"][5]


def test_only_failed_rows_are_bounded_as_others_are(fake_server):
    num_read = 0

    def generate():
        nonlocal num_read
        for _ in range(100_000):
            num_read += 1
            yield {"chosen": 1, "rejected": 2}

    dataset = datasets.IterableDataset.from_generator(generate)
    with prefscore.Client(fake_server.address, max_in_flight_pairs=20) as client:
        iterator = iter(prefscore.score_dataset(dataset, client))
        for _ in range(5):
            assert next(iterator)["prefscore_error"]
        iterator.close()
    assert num_read < 200


def test_what_the_rows_raise_is_raised(fake_client, rows):
    def generate():
        yield from rows[:5]
        raise OSError("disk gone")

    scored = prefscore.score_dataset(datasets.IterableDataset.from_generator(generate), fake_client)
    found = []
    with pytest.raises(OSError, match="disk gone"):
        for row in scored:
            found.append(row)
    assert len(found) == 5


def test_a_failed_file_leaves_nothing(fake_server, rows, tmp_path):
    fake_server.digests["policy"] = "q" * 64
    (tmp_path / "pairs.jsonl").write_text(json.dumps(rows[0]) + '\n{"chosen": "x"}\n')
    with pytest.raises(prefscore.PrefscoreError):
        prefscore.score_dataset(
            tmp_path / "pairs.jsonl", fake_server.address, output=tmp_path / "out.jsonl", on_error="raise"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_progress_is_shown_where_asked(fake_client, rows, capsys):
    prefscore.score_dataset(pd.DataFrame(rows), fake_client)
    assert capsys.readouterr().err == ""
    prefscore.score_dataset(pd.DataFrame(rows), fake_client, progress=True)
    assert "25/25" in capsys.readouterr().err


@pytest.mark.parametrize("is_lazy", [False, True])
def test_failed_rows_are_warned_of(fake_client, rows, caplog, is_lazy):
    caplog.set_level("INFO", logger="prefscore")

    def score():
        dataset = datasets.Dataset.from_list(rows)
        list(prefscore.score_dataset(dataset.to_iterable_dataset() if is_lazy else dataset, fake_client))
        return [(record.levelname, record.getMessage()[:23]) for record in caplog.records]

    assert score() == [("INFO", "scored 25 of 25 rows; 0")]
    rows[3]["rejected"] = None
    assert score()[1:] == [("WARNING", "scored 24 of 25 rows, 1")]


def test_summary_starts_anew_with_each_pass(fake_client, rows):
    summary = prefscore.DatasetSummary()
    scored = prefscore.score_dataset(
        datasets.Dataset.from_list(rows).to_iterable_dataset(), fake_client, summary=summary
    )
    for _ in range(2):
        assert len(list(scored)) == 25
        assert summary.num_rows == 25 and summary.pairs_per_s > 0
