# SPDX-License-Identifier: Apache-2.0
"""The page for operators tells how to foresee what a server can do: its terms are those that the server reckons with."""
import math
import pathlib
import re

import pytest
from real_server import wait_until

OPERATIONS = pathlib.Path(__file__).resolve().parents[2] / "deploy/OPERATIONS.md"
TERMS = ("token", "attended position", "head row")
# prompt, chosen, rejected, in tokens
LENGTHS = (60, 24, 15)


def documented_formulas():
    """How many of each term a pair has, as functions of p, c and r, by the table in the page."""
    formulas = {}
    for term, formula in re.findall(r"^\| (.*?) \| (.*?) \|$", OPERATIONS.read_text(), re.MULTILINE):
        if term in TERMS:
            expression = re.sub(r"([pcr])\(", r"\1*(", formula.split(":")[0]).replace("·", "*")
            formulas[term] = eval(f"lambda p, c, r: {expression}")
    assert sorted(formulas) == sorted(TERMS)
    return formulas


def test_the_example_is_what_the_formula_gives():
    text = " ".join(OPERATIONS.read_text().split())
    line = re.search(r"takes (\S+) us a token, (\S+) us an attended position, (\S+) us a head row", text)
    microseconds = dict(zip(TERMS, map(float, line.groups())))
    example = re.search(r"p = (\d+) and two completions of (\d+) tokens have (\d+) tokens, (\d+) attended positions and "
                        r"(\d+) head rows, (\S+) ms a model; so (\d+) pairs a second", text)
    p, c, *counts = map(int, example.group(1, 2, 3, 4, 5))
    assert counts == [documented_formulas()[term](p, c - 1, c - 1) for term in TERMS]
    milliseconds = sum(microseconds[term] * count for term, count in zip(TERMS, counts)) / 1000
    assert example[6] == f"{milliseconds:.2f}"
    assert int(example[7]) == round(1000 / (2 * milliseconds))


def test_the_documented_formula_is_what_the_server_predicts_with(start_server, demo_flags, api):
    formulas = documented_formulas()
    with start_server(*demo_flags) as server:
        for model in ("policy", "reference"):
            wait_until("the cost of a pass is known", lambda: f"model '{model}' takes" in server.log, timeout_s=300)
        # One pair is one batch, and the first: later ones are predicted from what earlier ones took, too.
        pair = api.ids_pair(*([part] * length for part, length in enumerate(LENGTHS, start=1)))
        with server.channel() as channel:
            scored = api.Scoring(channel).ScorePairs(api.scoring.ScorePairsRequest(pairs=[pair]), timeout=300)
        assert scored.results[0].status.code == 0
        wait_until("the batch is counted", lambda: server.metric("prefscore_batch_duration_seconds_count") == 1)
        seconds = 0
        for model in ("policy", "reference"):
            cost = {per: server.metric("prefscore_cost_seconds", model=model, per=per.replace(" ", "_"))
                    for per in (*TERMS, "forward")}
            seconds += cost["forward"]
            prompt, chosen, rejected = LENGTHS
            # A completion's last token predicts nothing.
            seconds += sum(cost[term] * formulas[term](prompt, chosen - 1, rejected - 1) for term in TERMS)
        assert seconds > 0
        assert server.metric("prefscore_batch_predicted_seconds_total") == pytest.approx(seconds, rel=1e-6)
