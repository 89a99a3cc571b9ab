"""What a set of pairs teaches, through the whole service: reports against plain numpy, and the founding post's tables."""
import json
import random
import subprocess

import numpy as np
import pytest

CELLS = [(policy, reference) for policy in ("RIGHT", "TIE", "WRONG") for reference in ("RIGHT", "TIE", "WRONG")]


@pytest.fixture(scope="module")
def prefscore(build_dir, tmp_path_factory):
    """prefscore(*arguments): the finished command, run in a folder of its own."""
    folder = tmp_path_factory.mktemp("analysis")

    def run(*arguments, stdin=None):
        return subprocess.run([build_dir / "prefscore", *map(str, arguments)], input=stdin, capture_output=True, text=True,
                              cwd=folder, timeout=600)

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def analyze(prefscore):
    """analyze(rows, *flags): the report of rows as a dict."""

    def run(rows, *flags):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        finished = prefscore("analyze", "--input", "-", "--json", "-", *flags, stdin=text)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)

    return run


@pytest.fixture(scope="module")
def score(prefscore):
    """score(server, pairs): rows as `prefscore score` writes them."""

    def run(server, pairs, *flags):
        text = "".join(json.dumps(row) + "\n" for row in pairs)
        finished = prefscore("score", "--server", server.address, "--input", "-", "--output", "-", *flags, stdin=text)
        assert finished.returncode == 0, finished.stderr
        return [json.loads(line) for line in finished.stdout.splitlines()]

    return run


@pytest.fixture(scope="module")
def demo_scores(score, demo_server, demo_pairs):
    return score(demo_server, demo_pairs)


def columns(rows):
    """The four log-probs, and the two margins: arrays of all rows."""
    names = ("policy_chosen_logp", "policy_rejected_logp", "reference_chosen_logp", "reference_rejected_logp")
    pc, pr, rc, rr = (np.array([row[name] for row in rows]) for name in names)
    return pc, pr, rc, rr, pc - pr, rc - rr


def sigmoid(x):
    return np.exp(-np.logaddexp(0, -x))


def ranking(margin):
    return np.where(margin > 0, "RIGHT", np.where(margin == 0, "TIE", "WRONG"))


def cell_of(table, policy, reference):
    found = [cell for cell in table
             if cell["policy"] == f"RANKING_{policy}" and cell["reference"] == f"RANKING_{reference}"]
    assert len(found) == 1
    return found[0]


def distribution(distributions, name):
    return next(one for one in distributions if one["name"] == name)


def test_the_report_says_what_numpy_says(analyze, demo_scores):
    beta, gamma = 0.2, 0.07
    report = analyze(demo_scores, "--objective", f"sigmoid:beta={beta},gamma={gamma}")
    assert int(report["num_pairs"]) == len(demo_scores) and report["slices"][0]["label_name"] == ""
    overall = report["slices"][0]
    objective = overall["objectives"][0]
    pc, pr, rc, rr, h, h0 = columns(demo_scores)
    z = beta * h - gamma * h0
    loss, mass = np.logaddexp(0, -z), beta * sigmoid(-z)
    close = lambda value: pytest.approx(value, rel=1e-12, abs=1e-300)

    assert overall["ranking"]["policy_accuracy"] == close(np.mean(h > 0))
    assert overall["ranking"]["pessimistic_share"] == close(np.mean(h0 < 0))
    assert overall["ranking"]["agreement"] == close(np.mean(np.sign(h) == np.sign(h0)))
    assert overall["ranking"]["both_fell_share"] == close(np.mean((pc < rc) & (pr < rr)))
    assert objective["mean_loss"] == close(loss.mean())
    assert objective["accuracy"] == close(np.mean(z > 0))
    assert objective["gradient_mass"] == close(mass.sum())
    assert objective["effective_sample_size"] == close(mass.sum() ** 2 / (mass**2).sum())
    for policy, reference in CELLS:
        cell = cell_of(objective["learning_table"], policy, reference)
        inside = (ranking(h) == policy) & (ranking(h0) == reference)
        assert int(cell["num_pairs"]) == inside.sum()
        assert cell["gradient_mass"] == close(mass[inside].sum())
        assert cell["gradient_mass_share"] == close(mass[inside].sum() / mass.sum())
        if inside.any():
            assert cell["mean_loss"] == close(loss[inside].mean())
            assert cell["mean_logit"] == close(z[inside].mean())
            assert cell["active_share"] == close(np.mean(z[inside] < 0))
            assert cell["learning_share"] == close(np.mean(sigmoid(-z[inside]) > 0.05))
    for name, values, where in (("policy_margin", h, overall), ("reference_margin", h0, overall),
                                ("chosen_logratio", pc - rc, overall), ("logit", z, objective), ("loss", loss, objective),
                                ("required_margin", gamma / beta * h0, objective),
                                ("chosen_reward", beta * pc - gamma * rc, objective)):
        found = distribution(where["distributions"], name)
        assert int(found["count"]) == len(values)
        assert found["mean"] == close(values.mean())
        assert found["deviation"] == close(values.std(ddof=1))
        assert found["quantile_relative_error"] == 0
        for quantile in found["quantiles"]:
            assert quantile["value"] == close(np.quantile(values, quantile["probability"]))
        assert sum(map(int, found["histogram"]["counts"])) == len(values)
    length = np.array([row["num_chosen_tokens"] - row["num_rejected_tokens"] for row in demo_scores])
    assert overall["length"]["policy_margin_correlation"] == pytest.approx(np.corrcoef(h, length)[0, 1], abs=1e-12)

    assert len(objective["sweep"]) == 100
    for point in objective["sweep"]:
        at = point["beta"] * h - point["gamma"] * h0
        weights = point["beta"] * sigmoid(-at)
        assert point["mean_loss"] == close(np.logaddexp(0, -at).mean())
        assert point["accuracy"] == close(np.mean(at > 0))
        assert point["active_share"] == close(np.mean(at < 0))
        assert point["gradient_mass"] == close(weights.sum())
        assert point["effective_sample_size"] == close(weights.sum() ** 2 / (weights**2).sum())
        by_cell = [weights[(ranking(h) == policy) & (ranking(h0) == reference)].sum() for policy, reference in CELLS]
        assert point["gradient_mass_by_cell"] == close(np.array(by_cell))
    worst = [row["id"] for row in sorted(demo_scores, key=lambda row: row["policy_margin"])[:10]]
    assert [pair["id"] for pair in overall["most_negative_margins"]] == worst
    assert [pair["id"] for pair in objective["largest_gradient_masses"]] == [
        demo_scores[i]["id"] for i in np.argsort(-mass, kind="stable")[:10]]


def test_a_tempered_reference_is_undone_by_gamma_over_the_exponent(analyze, demo_scores):
    report = analyze(demo_scores, "--objective", "sigmoid:beta=0.1,gamma=0.3", "--sweep", "none")
    objective = report["slices"][0]["objectives"][0]
    assert [point["exponent"] for point in objective["temper"]] == [0.25, 0.5, 1, 2, 4]
    for point in objective["temper"]:
        # The reference's log-probs times the exponent are those of the tempered reference, but for a constant per prompt.
        tempered = [dict(row, **{name: row[name] * point["exponent"]
                                 for name in ("reference_chosen_logp", "reference_rejected_logp")}) for row in demo_scores]
        unchanged = analyze(tempered, "--sweep", "none", "--objective", f"sigmoid:beta=0.1,gamma={point['unchanged_gamma']}")
        left_alone = analyze(tempered, "--sweep", "none", "--objective", "sigmoid:beta=0.1,gamma=0.3")
        same = lambda value: pytest.approx(value, rel=1e-9)
        assert unchanged["slices"][0]["objectives"][0]["mean_loss"] == same(objective["mean_loss"])
        assert left_alone["slices"][0]["objectives"][0]["mean_loss"] == same(point["if_left_alone"]["mean_loss"])


def test_the_report_does_not_depend_on_the_order_or_the_way(prefscore, analyze, api, demo_server, demo_pairs, demo_scores):
    labelled = [dict(row, category=f"kind {i % 5}", source="a" if i % 3 else "b") for i, row in enumerate(demo_scores)]
    flags = ("--label", "category", "--label", "source", "--max-slices", "3", "--objective", "sigmoid", "--objective", "ipo")
    report = analyze(labelled, *flags)
    names = [(one["label_name"], one["label_value"], int(one["num_grouped_values"])) for one in report["slices"]]
    assert names == [("", "", 0), ("category", "kind 0", 0), ("category", "kind 1", 0), ("category", "kind 2", 0),
                     ("category", "", 2), ("source", "a", 0), ("source", "b", 0)]
    for seed in (1, 2):
        shuffled = labelled[:]
        random.Random(seed).shuffle(shuffled)
        assert analyze(shuffled, *flags) == report
    assert analyze(labelled, *flags, "--server", demo_server.address)["slices"] == report["slices"]

    # Scored on the way, in several messages, as a client of the rpc.
    messages = [api.diagnostics.AnalyzePairsRequest(options=api.diagnostics.AnalysisOptions())]
    for begin in range(0, len(demo_pairs), 50):
        messages.append(api.diagnostics.AnalyzePairsRequest(
            pairs=[api.text_pair(row) for row in demo_pairs[begin : begin + 50]]))
    scored = api.Diagnostics(demo_server.channel()).AnalyzePairs(iter(messages)).report
    known = analyze(demo_scores)
    assert scored.slices[0].objectives[0].mean_loss == known["slices"][0]["objectives"][0]["mean_loss"]
    from_pairs = prefscore("analyze", "--server", demo_server.address, "--input", "-", "--json", "-",
                           stdin="".join(json.dumps(row) + "\n" for row in demo_pairs))
    assert from_pairs.returncode == 0, from_pairs.stderr
    assert json.loads(from_pairs.stdout)["slices"] == known["slices"]
    assert json.loads(from_pairs.stdout)["policy_digests"] == known["policy_digests"]


def check_the_posts_tables(analyze, itself, tuned):
    """`itself`: scores of the reference as policy; `tuned`: of a policy that was trained from it."""
    beta = 0.1
    gammas = [0, 0.01, 0.1, 1, 10]  # 0 to 100 beta
    objectives = [flag for gamma in gammas for flag in ("--objective", f"sigmoid:beta={beta},gamma={gamma}")]

    # A policy that starts as the reference is only on the diagonal.
    report = analyze(itself, *objectives, "--sweep", "none")["slices"][0]
    assert report["ranking"]["agreement"] == 1
    for objective in report["objectives"]:
        for cell in objective["learning_table"]:
            assert cell["is_diagonal"] == (cell["policy"] == cell["reference"])
            assert cell["is_diagonal"] or int(cell["num_pairs"]) == 0
            assert int(cell["num_initial_pairs"]) == int(cell["num_pairs"])
    at_beta = report["objectives"][gammas.index(beta)]
    assert at_beta["mean_loss"] == pytest.approx(np.log(2), abs=1e-15)

    # A trained one is in all cells, and gamma decides which of them have the gradient.
    report = analyze(tuned, *objectives, "--sweep", "none")["slices"][0]
    tables = [objective["learning_table"] for objective in report["objectives"]]
    share = lambda table, policies, references: sum(
        cell_of(table, policy, reference)["gradient_mass_share"] for policy in policies for reference in references)
    for policy in ("RIGHT", "WRONG"):
        for reference in ("RIGHT", "WRONG"):
            assert int(cell_of(tables[0], policy, reference)["num_pairs"]) > 0
    for table in tables:
        verdict = lambda policy, reference, which: cell_of(table, policy, reference)[which].removeprefix("VERDICT_")
        for policy in ("RIGHT", "WRONG"):  # gamma >> 0: what the reference has right teaches
            assert verdict(policy, "RIGHT", "verdict_large_gamma") == "LEARNING"
            assert verdict(policy, "WRONG", "verdict_large_gamma") == "NO_LEARNING"
        for reference in ("RIGHT", "WRONG"):  # gamma = 0: what the policy has wrong teaches
            assert verdict("WRONG", reference, "verdict_zero_gamma") == "LEARNING"
            assert verdict("RIGHT", reference, "verdict_zero_gamma") == "NO_LEARNING"
    from_reference_right = [share(table, ("RIGHT", "WRONG"), ("RIGHT",)) for table in tables]
    from_policy_wrong = [share(table, ("WRONG",), ("RIGHT", "WRONG")) for table in tables]
    assert from_reference_right == sorted(from_reference_right), "the larger gamma, the more of it is there"
    pairs_right = sum(cell_of(tables[0], policy, "RIGHT")["share"] for policy in ("RIGHT", "WRONG"))
    # All but pairs whose reference margin is small even 100-fold: those are decided by the policy.
    assert from_reference_right[-1] > 0.9 > pairs_right
    assert from_policy_wrong == sorted(from_policy_wrong, reverse=True)
    pairs_share = sum(cell_of(tables[0], "WRONG", reference)["share"] for reference in ("RIGHT", "WRONG"))
    assert from_policy_wrong[0] > pairs_share, "gamma = 0 learns more from what the policy has wrong"
    # The same by each pair's weight: at gamma = 0 a wrong pair weighs more than a right one, and at gamma >> 0 a pair that
    # the reference has right more than one that it has wrong.
    mean_mass = lambda cell: cell["gradient_mass"] / int(cell["num_pairs"])
    for reference in ("RIGHT", "WRONG"):
        assert mean_mass(cell_of(tables[0], "WRONG", reference)) > mean_mass(cell_of(tables[0], "RIGHT", reference))
    for policy in ("RIGHT", "WRONG"):
        assert mean_mass(cell_of(tables[-1], policy, "RIGHT")) > mean_mass(cell_of(tables[-1], policy, "WRONG"))


def test_the_posts_tables_on_the_demo_models(analyze, score, demo_server, demo_pairs, demo_scores):
    check_the_posts_tables(analyze, score(demo_server, demo_pairs, "--policy", "reference"), demo_scores)


def test_the_posts_tables_on_real_models(analyze, score, start_server, test_data):
    pairs = [json.loads(line) for line in (test_data / "pairs/stories.jsonl").read_text().splitlines()]
    models = test_data / "models"
    with start_server("--model", f"policy={models}/stories260k-dpo", "--model", f"reference={models}/stories260k") as server:
        check_the_posts_tables(analyze, score(server, pairs, "--policy", "reference"), score(server, pairs))


def test_reference_free_objectives_run_no_reference(score, start_server, demo_flags, demo_pairs):
    with start_server(*demo_flags) as server:
        rows = score(server, demo_pairs[:8], "--objective", "simpo", "--objective", "orpo")
        import urllib.request

        metrics = urllib.request.urlopen(server.metrics_url).read().decode()
    assert "reference_chosen_logp" not in rows[0] and rows[0]["reference_digest"] == ""
    assert 'prefscore_forward_duration_seconds_count{model="policy"} 0' not in metrics
    assert 'prefscore_forward_duration_seconds_count{model="reference"} 0' in metrics


def test_every_objective_reaches_the_user(prefscore, api, demo_server, demo_pairs, demo_scores, score):
    """evaluate here, evaluate at the server, and score on the way give the same numbers."""
    listed = api.Scoring(demo_server.channel()).ListObjectives(api.scoring.ListObjectivesRequest()).objectives
    rows = score(demo_server, demo_pairs[:20], "--per-token")
    for row in rows:
        row["score_gap"] = 0.5
    text = "".join(json.dumps(row) + "\n" for row in rows)
    flags = [flag for objective in listed for flag in ("--objective", objective.name)]
    here = prefscore("evaluate", "--input", "-", "--output", "-", *flags, stdin=text)
    assert here.returncode == 0, here.stderr
    there = prefscore("evaluate", "--server", demo_server.address, "--input", "-", "--output", "-", *flags, stdin=text)
    assert there.stdout == here.stdout
    found = [json.loads(line) for line in here.stdout.splitlines()]
    assert [value["name"] for value in found[0]["objectives"]] == [objective.name for objective in listed]
    for value in found[0]["objectives"]:
        for name in ("loss", "logit", "d_loss_d_policy_chosen_logp", "d_loss_d_policy_rejected_logp", "d_loss_d_beta",
                     "d_loss_d_gamma", "effective_margin", "required_margin", "chosen_reward"):
            assert isinstance(value[name], float | int), (value["name"], name)

    one_by_one = [objective for objective in listed if not objective.is_batch and objective.name != "odpo"]
    flags = [flag for objective in one_by_one for flag in ("--objective", objective.name)]
    scored = score(demo_server, demo_pairs[:20], *flags)
    for mine, theirs in zip(scored, found):
        by_name = {value["name"]: value for value in theirs["objectives"]}
        for value in mine["objectives"]:
            tolerance = 1e-5 if value["name"] == "ld_dpo" else 0  # its token log-probs travelled as float32
            assert value["loss"] == pytest.approx(by_name[value["name"]]["loss"], rel=tolerance, abs=0), value["name"]


def test_wrong_input_is_told_by_line_and_field(prefscore, demo_scores):
    rows = [json.dumps(row) for row in demo_scores[:6]]
    rows[2] = '{"policy_chosen_logp": 1, "policy_rejected_logp": -1, "reference_chosen_logp": -1, "reference_rejected_logp": -1}'
    rows[3] = "{broken"
    rows[4] = json.dumps({"id": "x", "status": {"code": 11, "message": "policy, chosen: the log-prob of token 0 is nan"}})
    text = "\n".join(rows) + "\n"
    ended = prefscore("analyze", "--input", "-", stdin=text)
    assert ended.returncode == 1 and "line 3: logps.policy_chosen_logp: is 1" in ended.stderr
    skipped = prefscore("analyze", "--input", "-", "--skip-faulty", "--json", "-", stdin=text)
    assert skipped.returncode == 0, skipped.stderr
    report = json.loads(skipped.stdout)
    assert (int(report["num_pairs"]), int(report["num_faulty_pairs"]), int(report["num_non_finite_pairs"])) == (3, 3, 1)
    assert [pair["id"] for pair in report["faulty_pairs"]] == ["line 3", "line 4", "x"]
    assert "line 4: not valid JSON" in report["faulty_pairs"][1]["message"]

    for flags, message in (
        (("--objective", "aot"), "aot"),
        (("--objective", "sigmoid:beta=0"), "beta"),
        (("--objective", "nonsense"), "known names: sigmoid"),
        (("--sweep", "beta=0.1:1"), "FROM:TO:COUNT"),
        (("--sweep", "beta=-1/1"), "betas[0]"),
        (("--sweep", "beta=0.1:1:64,ratio=0:1:64"), "1024"),
        (("--learning-threshold", "2"), "learning_threshold"),
        (("--objective", "odpo"), "line 1: score_gap"),
        (("--label", "category"), "line 1: category: is absent"),
    ):
        refused = prefscore("analyze", "--input", "-", *flags, stdin=rows[0] + "\n")
        assert refused.returncode in (1, 2) and message in refused.stderr, (flags, refused.stderr)
    pairs_without_server = prefscore("analyze", "--input", "-", stdin='{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    assert pairs_without_server.returncode == 1 and "--server" in pairs_without_server.stderr


def test_an_empty_input_gives_an_empty_report(prefscore):
    finished = prefscore("analyze", "--input", "-", "--json", "-", "--html", "empty.html", stdin="")
    assert finished.returncode == 0, finished.stderr
    report = json.loads(finished.stdout)
    assert int(report["num_pairs"]) == 0
    for text in (finished.stdout, finished.stderr, (prefscore.folder / "empty.html").read_text()):
        assert "nan" not in text.lower().replace("nanosecond", "")
