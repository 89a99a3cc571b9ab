# SPDX-License-Identifier: Apache-2.0
"""Timings in replies: there where asked for, and consistent with themselves and with the caller's own clock."""
import json
import subprocess
import time

import prefscore
import pytest


def parts_us(timings):
    return (timings.queue_us + timings.tokenize_us + timings.cache_lookup_us
            + sum(forward.forward_us for forward in timings.forwards))


def check(timings, elapsed_us, models=("policy", "reference")):
    assert 0 < timings.total_us <= elapsed_us
    assert parts_us(timings) <= timings.total_us
    assert [forward.model for forward in timings.forwards] == list(models)
    assert all(forward.forward_us > 0 for forward in timings.forwards)


@pytest.fixture
def stubs(api, demo_server):
    with demo_server.channel() as channel:
        yield api.Scoring(channel), api.Diagnostics(channel)


@pytest.fixture
def pairs(api, demo_pairs):
    return [api.text_pair(row) for row in demo_pairs]


def timed(call):
    start = time.monotonic()
    reply = call()
    return reply, 1e6 * (time.monotonic() - start)


def test_pairs(api, stubs, pairs):
    options = api.scoring.ScoringOptions(return_timings=True)
    request = api.scoring.ScorePairsRequest(pairs=pairs[:40], options=options)
    reply, elapsed_us = timed(lambda: stubs[0].ScorePairs(request))
    check(reply.timings, elapsed_us)
    assert not any(result.HasField("timings") for result in reply.results)


def test_pairs_of_a_stream_have_their_own(api, stubs, pairs):
    def requests():
        yield api.scoring.StreamScorePairsRequest(options=api.scoring.ScoringOptions(return_timings=True))
        for pair in pairs[:40]:
            yield api.scoring.StreamScorePairsRequest(pair=pair)

    replies, elapsed_us = timed(lambda: list(stubs[0].StreamScorePairs(requests())))
    assert len(replies) == 40
    for reply in replies:
        check(reply.result.timings, elapsed_us)


def test_completions(api, stubs, demo_pairs):
    content = lambda text: api.scoring.Content(text=text)
    prompt = api.scoring.PromptCompletions(prompt=content(demo_pairs[0]["prompt"]),
                                           completions=[content(demo_pairs[0]["chosen"])])
    request = api.scoring.ScoreCompletionsRequest(prompts=[prompt], models=["reference", "policy"], return_timings=True)
    reply, elapsed_us = timed(lambda: stubs[0].ScoreCompletions(request))
    check(reply.timings, elapsed_us, ("reference", "policy"))


def test_objectives_of_known_log_probs_have_a_total_only(api, stubs):
    logps = api.scoring.KnownLogProbs(policy_chosen_logp=-1, policy_rejected_logp=-2, reference_chosen_logp=-1,
                                      reference_rejected_logp=-1)
    request = api.scoring.EvaluateObjectivesRequest(pairs=[api.scoring.PairLogProbs(logps=logps)] * 1000,
                                                    return_timings=True)
    reply, elapsed_us = timed(lambda: stubs[0].EvaluateObjectives(request))
    check(reply.timings, elapsed_us, ())
    assert parts_us(reply.timings) == 0


def test_a_report_has_the_sums_of_its_messages(api, stubs, pairs):
    def requests():
        options = api.diagnostics.AnalysisOptions(scoring=api.scoring.ScoringOptions(return_timings=True))
        yield api.diagnostics.AnalyzePairsRequest(options=options, pairs=pairs[:20])
        for begin in range(20, 80, 20):
            yield api.diagnostics.AnalyzePairsRequest(pairs=pairs[begin:begin + 20])

    reply, elapsed_us = timed(lambda: stubs[1].AnalyzePairs(requests()))
    check(reply.timings, elapsed_us)
    assert not reply.report.options.scoring.return_timings, "a report is the same whoever asks for timings"


def test_nothing_where_nothing_is_asked(api, stubs, pairs):
    reply = stubs[0].ScorePairs(api.scoring.ScorePairsRequest(pairs=pairs[:2]))
    assert not reply.HasField("timings")
    requests = [api.scoring.StreamScorePairsRequest(options=api.scoring.ScoringOptions()),
                api.scoring.StreamScorePairsRequest(pair=pairs[0])]
    for reply in stubs[0].StreamScorePairs(iter(requests)):
        assert not reply.result.HasField("timings")


def test_faulty_pairs_alone_have_a_total(api, stubs):
    request = api.scoring.ScorePairsRequest(pairs=[api.scoring.PreferencePair()],
                                            options=api.scoring.ScoringOptions(return_timings=True))
    reply = stubs[0].ScorePairs(request)
    assert reply.results[0].HasField("status") and reply.HasField("timings")
    assert parts_us(reply.timings) == 0


def test_the_python_client_gives_them_typed(demo_server, demo_pairs):
    pairs = [prefscore.Pair(row["chosen"], row["rejected"], row["prompt"]) for row in demo_pairs[:4]]
    with prefscore.Client(demo_server.address) as client:
        scored = client.score_pairs(pairs, prefscore.ScoringOptions(return_timings=True))
        assert isinstance(scored.timings, prefscore.Timings)
        assert set(scored.timings.forward_us) == {"policy", "reference"}
        streamed = list(client.stream_pairs(pairs, prefscore.ScoringOptions(return_timings=True)))
        assert all(result.timings.total_us >= sum(result.timings.forward_us.values()) for result in streamed)
        assert client.score_pairs(pairs).timings is None
        assert next(iter(client.stream_pairs(pairs))).timings is None

        prompts = [prefscore.PromptCompletions(demo_pairs[0]["prompt"], [demo_pairs[0]["chosen"]])]
        completions = client.score_completions(prompts, ["policy"], return_timings=True)
        assert set(completions.timings.forward_us) == {"policy"} and completions[0].error is None
        assert client.score_completions(prompts).timings is None

        logps = [prefscore.PairLogProbs(prefscore.KnownLogProbs(-1, -2, -1, -1))]
        assert client.evaluate_objectives(logps, return_timings=True).timings.total_us > 0
        assert client.evaluate_objectives(logps).timings is None
        columns = prefscore.LogProbColumns([-1.0], [-2.0], [-1.0], [-1.0])
        with pytest.raises(prefscore.InvalidArgument, match="return_timings: is for pairs"):
            client.evaluate_objectives(columns, return_timings=True)


def test_the_command_line_writes_them_into_rows(build_dir, demo_server, demo_pairs, tmp_path):
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in demo_pairs[:3]))
    for flags, has_timings in ((["--timings"], True), ([], False)):
        done = subprocess.run([build_dir / "prefscore", "score", "--server", demo_server.address, "--input",
                               tmp_path / "pairs.jsonl", "--output", "-", *flags],
                              capture_output=True, text=True, timeout=120, check=True)
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert len(rows) == 3
        for row in rows:
            assert ("timings" in row) == has_timings
            if has_timings:
                assert row["timings"]["total_us"] >= sum(f["forward_us"] for f in row["timings"]["forwards"]) > 0
