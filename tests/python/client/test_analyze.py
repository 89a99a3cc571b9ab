# SPDX-License-Identifier: Apache-2.0
"""Reports: from pairs and from log-probs, against the command line's, in small messages, and with faults."""
import json
import subprocess
import sys

import grpc
import pytest
from fake_server import FakeServer, Step
from google.protobuf import json_format

import prefscore
from prefscore import AnalysisOptions, KnownLogProbs, Pair, PairLogProbs, Report, ScoringOptions, SweepGrid

OPTIONS = AnalysisOptions(
    scoring=ScoringOptions(objectives=["sigmoid:beta=0.2,gamma=0.05", "ipo"]),
    sweep=SweepGrid([0.1, 1.0], [0.0, 1.0]),
    num_listed_pairs=3,
)


def pairs_of(rows):
    return [Pair(row["chosen"], row["rejected"], row["prompt"], id=row["id"], labels={"half": str(i % 2)})
            for i, row in enumerate(rows)]  # fmt: skip


def known_of(results):
    return [
        PairLogProbs(
            KnownLogProbs(r.policy_chosen_logp, r.policy_rejected_logp, r.reference_chosen_logp,
                          r.reference_rejected_logp),
            id=r.id, num_chosen_tokens=r.num_chosen_tokens, num_rejected_tokens=r.num_rejected_tokens, labels=r.labels,
            policy_digest=r.policy_digest, reference_digest=r.reference_digest,
        )
        for r in results
    ]  # fmt: skip


def test_pairs_and_their_log_probs_give_the_same_report(demo_client, demo_pairs):
    pairs = pairs_of(demo_pairs)
    from_pairs = demo_client.analyze(iter(pairs), OPTIONS)
    known = known_of(demo_client.score_pairs(pairs))
    mixed = [*known[:10], *pairs[10:]]
    assert from_pairs.message == demo_client.analyze(known, OPTIONS).message
    assert from_pairs.message == demo_client.analyze(mixed, OPTIONS).message
    assert from_pairs.message.num_pairs == len(pairs) and repr(from_pairs) == f"<Report: {len(pairs)} pairs, 0 faulty>"
    assert {value: part.num_pairs for value, part in from_pairs.slices("half").items()} == {"0": 64, "1": 64}
    assert from_pairs.overall.num_pairs == len(pairs)
    assert len(from_pairs.overall.objectives[0].sweep) == 4
    with pytest.raises(prefscore.InvalidArgument, match="no pair has the label 'source'; there are: half"):
        from_pairs.slices("source")


def test_the_command_line_gives_the_same_report(demo_client, demo_server, demo_pairs, build_dir, tmp_path):
    rows, report = tmp_path / "rows.jsonl", tmp_path / "report.json"
    rows.write_text("".join(json.dumps({key: row[key] for key in ("id", "prompt", "chosen", "rejected")}) + "\n"
                            for row in demo_pairs))  # fmt: skip
    subprocess.run(
        [build_dir / "prefscore", "analyze", "--server", demo_server.address, "--input", rows, "--json", report],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    pairs = [Pair(row["chosen"], row["rejected"], row["prompt"], id=row["id"]) for row in demo_pairs]
    ours = demo_client.analyze(pairs).message
    theirs = Report.from_json(report.read_bytes()).message
    # The command line writes out the objective that we leave to the server.
    assert ours.slices == theirs.slices and ours.policy_digests == theirs.policy_digests
    assert Report.from_json(Report(ours).to_json()).message == ours


def test_no_pairs_give_an_empty_report(demo_client):
    assert demo_client.analyze([]).message.num_pairs == 0


def test_pairs_without_an_id_are_listed_by_position(demo_client, demo_pairs):
    pairs = [Pair(row["chosen"], row["rejected"], row["prompt"]) for row in demo_pairs]
    listed = demo_client.analyze(pairs).overall.most_negative_margins
    margins = [result.policy_margin for result in demo_client.score_pairs(pairs)]
    assert listed[0].id == str(margins.index(min(margins)))


def test_faulty_pairs_end_the_report_or_are_listed(demo_client):
    pairs = [Pair(" Yes.", " No.", "Is it?"), Pair([10**9], [1], [1], id="wrong")]
    with pytest.raises(prefscore.InvalidArgument, match="1000000000"):
        demo_client.analyze(pairs)
    report = demo_client.analyze(pairs, AnalysisOptions(skip_faulty_pairs=True))
    assert report.message.num_pairs == 1 and [pair.id for pair in report.message.faulty_pairs] == ["wrong"]


KNOWN, BAD_KNOWN = PairLogProbs(KnownLogProbs(-1, -2, -3, -4)), PairLogProbs(KnownLogProbs(-1, 2, -3, -4))
SCORED, BAD_SCORED = Pair([1], [2], [3]), Pair([10**9], [1], [1])


@pytest.mark.parametrize(("good", "bad", "field"), [
    ([SCORED] * 300, BAD_SCORED, "chosen"), ([KNOWN] * 600, BAD_KNOWN, "logps.policy_rejected_logp"),
    ([KNOWN] * 300 + [SCORED] * 300, BAD_SCORED, "chosen"),
    ([SCORED, KNOWN, SCORED, SCORED, KNOWN, SCORED, SCORED], BAD_KNOWN, "logps.policy_rejected_logp"),
    ([KNOWN, KNOWN, SCORED], BAD_KNOWN, "logps.policy_rejected_logp"),
    ([SCORED, KNOWN, SCORED, KNOWN, KNOWN], BAD_SCORED, "chosen"), ([], BAD_KNOWN, "logps.policy_rejected_logp"),
])  # fmt: skip
def test_a_faulty_pair_is_named_by_its_index(demo_client, good, bad, field):
    """Whatever message it goes in: 256 pairs fit into one."""
    with pytest.raises(prefscore.InvalidArgument) as caught:
        demo_client.analyze([*good, bad, SCORED, KNOWN])
    [violation] = caught.value.field_violations
    place = f"pairs[{len(good)}].{field}"
    assert violation.field.startswith(place)
    assert violation.description.startswith(place) and caught.value.message.startswith(place)


def test_the_page_is_drawn_unless_nobody_wants_it(demo_client):
    drawn, plain = demo_client.analyze([KNOWN]), demo_client.analyze([KNOWN], return_html=False)
    assert drawn.message == plain.message and drawn.html.startswith("<!DOCTYPE html>")
    assert plain._repr_html_() is None
    with pytest.raises(prefscore.FailedPrecondition, match="has no page: .* return_html=True"):
        plain.html  # noqa: B018


def test_messages_stay_below_the_servers_limits():
    pairs = [Pair("c" * 1000, "r", "p")] * 40
    known = [PairLogProbs(KnownLogProbs(-1, -2))] * 25
    with FakeServer(limits={"max_message_bytes": 10_000, "max_pairs_per_request": 10}) as server:
        with prefscore.Client(server.address) as client:
            assert client.analyze(pairs + known).message.num_pairs == 65
    assert all(request.ByteSize() < 10_000 for request in server.requests)
    assert all(len(request.pairs) + len(request.logps) <= 10 for request in server.requests)
    assert [request.HasField("options") for request in server.requests] == [True] + [False] * (len(server.requests) - 1)
    ids = [pair.id for request in server.requests for pair in (*request.pairs, *request.logps)]
    assert ids == [str(index) for index in range(65)]


def test_what_reading_the_pairs_raises_is_raised(fake_client):
    def pairs():
        yield Pair("a", "b", "p")
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        fake_client.analyze(pairs())
    with pytest.raises(SystemExit):
        fake_client.analyze(sys.exit() for _ in range(1))
    with pytest.raises(prefscore.InvalidArgument, match=r"pairs\[1\]: must be a Pair or PairLogProbs, not dict"):
        fake_client.analyze([Pair("a", "b", "p"), {"chosen": "a"}])
    with pytest.raises(prefscore.InvalidArgument, match="pairs: must be an iterable of pairs, not int"):
        fake_client.analyze(3)


def test_lists_are_sent_again_and_generators_are_not(fake_server, clock):
    pairs = [Pair("a", "b", "p")] * 3
    with prefscore.Client(fake_server.address, _clock=clock) as client:
        fake_server.script["AnalyzePairs"] = [Step(grpc.StatusCode.UNAVAILABLE, after_pairs=2)]
        assert client.analyze(pairs).message.num_pairs == 3
        fake_server.script["AnalyzePairs"] = [Step(grpc.StatusCode.UNAVAILABLE, after_pairs=2)]
        with pytest.raises(prefscore.Unavailable):
            client.analyze(iter(pairs))
    assert fake_server.calls["AnalyzePairs"] == 3


def test_a_generator_is_not_read_on_by_another_server(clock):
    """The second server's report would lack what the first one had."""
    with FakeServer() as one, FakeServer() as other:
        for server in (one, other):
            server.script["AnalyzePairs"] = [Step(grpc.StatusCode.UNAVAILABLE, after_pairs=300)]
        with prefscore.Client([one.address, other.address], _clock=clock) as client:
            with pytest.raises(prefscore.Unavailable):
                client.analyze(Pair("a", "b", "p") for _ in range(1000))
        assert one.calls["AnalyzePairs"] + other.calls["AnalyzePairs"] == 1


def test_a_generator_that_nobody_has_read_goes_to_another_server(fake_server, clock):
    with prefscore.Client(["127.0.0.1:1", fake_server.address], _clock=clock) as client:
        assert client.analyze(Pair("a", "b", "p") for _ in range(1000)).message.num_pairs == 1000


@pytest.mark.parametrize(("options", "message"), [
    (ScoringOptions(), "options: must be AnalysisOptions, not ScoringOptions"),
    (AnalysisOptions(max_slices=-1), "max_slices: must be a count >= 0, not -1"),
    (AnalysisOptions(temper_exponents=[1, None]), r"temper_exponents\[1\]: is None"),
    (AnalysisOptions(temper_exponents="1"), "temper_exponents: must be a list of numbers, not str"),
    (AnalysisOptions(sweep=([1], [1])), "sweep: must be a SweepGrid, not tuple"),
    (AnalysisOptions(learning_threshold="high"), "learning_threshold: must be a number, not str"),
])  # fmt: skip
def test_wrong_options(fake_client, options, message):
    with pytest.raises(prefscore.InvalidArgument, match=message):
        fake_client.analyze([], options)


def test_every_option_of_the_contract_is_there():
    from prefscore.v1 import diagnostics_pb2

    assert [field.name for field in diagnostics_pb2.AnalysisOptions.DESCRIPTOR.fields] == list(
        AnalysisOptions.__dataclass_fields__
    )


@pytest.mark.parametrize("text", ["[]", "", "{", b"\xff", '{"slices": 3}', '{"no_such_field": 3}'])
def test_text_that_is_no_report(text):
    with pytest.raises(prefscore.InvalidArgument, match="this is no report"):
        Report.from_json(text)


def test_an_empty_report_reads_back():
    assert json_format.MessageToDict(Report.from_json("{}").message) == {}
