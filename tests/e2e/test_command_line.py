"""The prefscore program against a real server: what a person types, and what they find afterwards."""
import json
import os
import signal
import subprocess
import time

import pytest

from locations import DEMO

RESULT_FIELDS = [
    "id", "policy_chosen_logp", "policy_rejected_logp", "reference_chosen_logp", "reference_rejected_logp",
    "chosen_logratio", "rejected_logratio", "policy_margin", "reference_margin", "num_prompt_tokens",
    "num_chosen_tokens", "num_rejected_tokens", "objectives",
]
OBJECTIVE_FIELDS = ["name", "beta", "gamma", "loss", "logit", "chosen_reward", "rejected_reward", "required_margin",
                    "gradient_weight"]


@pytest.fixture
def run(build_dir, demo_server):
    def run_prefscore(command, *arguments, stdin=None, server=demo_server.address):
        return subprocess.run(
            [build_dir / "prefscore", command, "--server", server, *map(str, arguments)],
            input=stdin, capture_output=True, text=True, timeout=120,
        )

    return run_prefscore


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_score_writes_a_row_a_pair_in_order(run, demo_pairs, tmp_path):
    output = tmp_path / "scores.jsonl"
    finished = run("score", "--input", DEMO / "pairs.jsonl", "--output", output,
                   "--objective", "sigmoid:beta=0.1,gamma=0.05", "--objective", "margin_hinge:beta=0.2")
    assert finished.returncode == 0, finished.stderr
    rows = rows_of(output)
    assert [row["id"] for row in rows] == [pair["id"] for pair in demo_pairs]
    for row in rows:
        assert all(field in row for field in RESULT_FIELDS)
        assert [(o["name"], o["beta"], o["gamma"]) for o in row["objectives"]] == [
            ("sigmoid", 0.1, 0.05), ("margin_hinge", 0.2, 0.2)]
        assert all(field in objective for objective in row["objectives"] for field in OBJECTIVE_FIELDS)
    summary = finished.stdout
    accuracy = sum(row["objectives"][0]["logit"] > 0 for row in rows) / len(rows)
    [line] = [line for line in summary.splitlines() if line.startswith("rewards/accuracies")]
    assert float(line.split()[1]) == pytest.approx(accuracy, abs=1e-6)


def test_text_messages_and_ids_give_the_same_numbers(run, demo_pairs, tmp_path, api, demo_server):
    pair = demo_pairs[0]
    with demo_server.channel() as channel:
        request = api.scoring.ScorePairsRequest(
            pairs=[api.text_pair(pair)], options=api.scoring.ScoringOptions(return_token_ids=True))
        ids = api.Scoring(channel).ScorePairs(request).results[0].token_ids
    rows = [
        pair,
        {"prompt": list(ids.prompt), "chosen": list(ids.chosen), "rejected": list(ids.rejected)},
        {"chosen": pair["prompt"] + pair["chosen"], "rejected": pair["prompt"] + pair["rejected"]},
    ]
    finished = run("score", "--input", "-", "--output", "-", stdin="".join(json.dumps(row) + "\n" for row in rows))
    assert finished.returncode == 0, finished.stderr
    by_text, by_ids, implicit = map(json.loads, finished.stdout.splitlines())
    assert by_ids["policy_chosen_logp"] == by_text["policy_chosen_logp"]
    assert by_ids["reference_rejected_logp"] == by_text["reference_rejected_logp"]
    assert implicit["num_prompt_tokens"] > 0


def test_conversations_and_failed_rows(run, tmp_path):
    message = lambda role, content: {"role": role, "content": content}
    rows = [
        {"id": "chat", "prompt": [message("user", "Where does Button sleep?")],
         "chosen": [message("assistant", "On a high perch.")], "rejected": [message("assistant", "Go away.")]},
        {"id": "mixed", "prompt": "text", "chosen": [1, 2], "rejected": [3]},
        {"id": "no chosen", "prompt": "text", "rejected": "x"},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows) + "{not json\n"
    finished = run("score", "--input", "-", "--output", "-", stdin=text)
    assert finished.returncode == 3, finished.stderr
    chat, mixed, no_chosen, not_json = map(json.loads, finished.stdout.splitlines())
    assert "status" not in chat and chat["policy_chosen_logp"] < 0
    for failed in (mixed, no_chosen, not_json):
        assert failed["status"]["code"] == 3 and failed["status"]["message"], failed
    assert "4" in not_json["status"]["message"]


def test_a_killed_run_goes_on_without_scoring_a_row_twice(run, build_dir, demo_server, demo_pairs, tmp_path):
    whole, resumed = tmp_path / "whole.jsonl", tmp_path / "resumed.jsonl"
    many = tmp_path / "many.jsonl"
    many.write_text("".join(json.dumps({**pair, "id": f"{copy}-{pair['id']}"}) + "\n"
                            for copy in range(20) for pair in demo_pairs))
    assert run("score", "--input", many, "--output", whole).returncode == 0

    process = subprocess.Popen([build_dir / "prefscore", "score", "--server", demo_server.address, "--input", many,
                                "--output", resumed], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up_at = time.monotonic() + 60
    while (not resumed.exists() or resumed.read_bytes().count(b"\n") < 50) and time.monotonic() < give_up_at:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    num_kept = resumed.read_bytes().count(b"\n")
    assert 50 <= num_kept < len(demo_pairs) * 20, "the run was not interrupted"
    with open(resumed, "a") as torn:
        torn.write('{"id":"torn')

    finished = run("score", "--input", many, "--output", resumed)
    assert finished.returncode == 0, finished.stderr
    assert resumed.read_bytes() == whole.read_bytes()


def test_resuming_with_other_options_is_refused(run, tmp_path):
    output = tmp_path / "scores.jsonl"
    assert run("score", "--input", DEMO / "pairs.jsonl", "--output", output).returncode == 0
    before = output.read_bytes()
    refused = run("score", "--input", DEMO / "pairs.jsonl", "--output", output, "--objective", "sigmoid:beta=0.7")
    assert refused.returncode == 1
    assert "objective" in refused.stderr
    assert output.read_bytes() == before


def test_completions(run, demo_pairs):
    row = {"id": "a", "prompt": demo_pairs[0]["prompt"],
           "completions": [demo_pairs[0]["chosen"], demo_pairs[0]["rejected"], " Yes."]}
    finished = run("completions", "--input", "-", "--output", "-", stdin=json.dumps(row) + "\n")
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout.splitlines()[0])
    assert len(result["completions"]) == 3
    assert [logp["model"] for logp in result["completions"][0]["logps"]] == ["policy", "reference"]


def test_models_and_health(run, start_server, demo_flags):
    models = run("models")
    assert models.returncode == 0 and "policy" in models.stdout and "max_pairs_per_request" in models.stdout
    assert run("health").returncode == 0
    with start_server(*demo_flags) as gone:
        pass
    assert run("health", server=gone.address).returncode == 1


def test_unreachable_server_and_wrong_usage(run, build_dir):
    wrong = run("score", "--input", DEMO / "pairs.jsonl", "--output", "-", "--objective", "sigmoid:beta=-1")
    assert wrong.returncode in (1, 2) and "beta" in wrong.stderr
    assert subprocess.run([build_dir / "prefscore", "score"], capture_output=True).returncode == 2
    assert run("score", "--input", "/no/such/file", "--output", "-").returncode == 1


def test_the_readmes_call_gives_the_readmes_numbers(run, demo_pairs):
    readme = (DEMO.parent.parent / "README.md").read_text()
    block = readme[readme.index("$ build/prefscore-server --model policy=deploy/demo"):]
    block = block[: block.index("\n```\n")]
    row = json.loads(block[block.index("echo '") + 6 : block.index("' |")])
    assert row == demo_pairs[2]
    shown = json.loads(block[block.index('{"id":"demo-002"') :])
    found = json.loads(run("score", "--input", "-", "--output", "-", "--objective", "sigmoid:beta=0.1,gamma=0.05",
                           stdin=json.dumps(row) + "\n").stdout)
    assert shown.keys() == found.keys()
    for name, value in shown.items():
        if isinstance(value, float):
            assert value == pytest.approx(found[name], abs=1e-4), name  # other processors round differently
        elif name in ("policy_digest", "reference_digest", "tokenizer_fingerprint"):
            assert found[name].startswith(value.rstrip("…"))
    assert shown["objectives"][0] == pytest.approx(found["objectives"][0], abs=1e-4)


def test_the_readmes_table_is_the_registrys(build_dir):
    readme = (DEMO.parent.parent / "README.md").read_text()
    shown = readme[readme.index("<!-- prefscore objectives --markdown -->\n") :].split("\n", 1)[1].split("<!-- end -->")[0]
    listed = subprocess.run([build_dir / "prefscore", "objectives", "--markdown"], capture_output=True, text=True)
    assert listed.returncode == 0 and shown == listed.stdout
