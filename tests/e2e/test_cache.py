"""The cache of log-probs in a real server: same bits, fewer forward passes, and what happens when things go wrong."""
import json
import os
import random
import re
import signal
import subprocess
import threading

import grpc
import pytest
from locations import DEMO
from real_server import wait_until


@pytest.fixture
def cache_flags(tmp_path):
    return ["--cache-dir", tmp_path / "cache"]


def state(server):
    return [name for name in ("off", "serving", "not_writing", "unavailable")
            if server.metric("prefscore_cache_state", state=name) == 1]


def hits_and_misses(server):
    return tuple(server.metric("prefscore_cache_lookups_total", result=result) for result in ("hit", "miss"))


def wait_for_entries(server, event, number):
    wait_until(f"{number} entries are {event}",
               lambda: server.metric("prefscore_cache_entries_total", event=event) == number)


def score(api, server, pairs, **options):
    """The results without what was cached, as bytes; and what was."""
    with server.channel() as channel:
        response = api.Scoring(channel).ScorePairs(
            api.scoring.ScorePairsRequest(pairs=pairs, options=api.scoring.ScoringOptions(**options)))
    cached = [(r.cached.policy_chosen_logp, r.cached.policy_rejected_logp, r.cached.reference_chosen_logp,
               r.cached.reference_rejected_logp) for r in response.results]
    for result in response.results:
        assert not result.HasField("status"), result.status
        result.ClearField("cached")
    return [result.SerializeToString(deterministic=True) for result in response.results], cached


@pytest.fixture
def pairs(api, demo_pairs):
    return [api.text_pair(pair) for pair in demo_pairs]


def test_a_second_run_and_a_restart_compute_nothing_and_give_the_same_bits(api, start_server, demo_flags, cache_flags,
                                                                          pairs):
    everything = dict(cache_policy=True, return_token_logps=True)
    with start_server(*demo_flags) as server:
        assert state(server) == ["off"]
        without, _ = score(api, server, pairs, **everything)
    with start_server(*demo_flags, *cache_flags) as server:
        assert state(server) == ["serving"]
        first, _ = score(api, server, pairs, **everything)
        computed = server.metric("prefscore_tokens_total", kind="computed")
        second, cached = score(api, server, pairs, **everything)
        assert server.metric("prefscore_tokens_total", kind="computed") == computed
        assert cached == [(True, True, True, True)] * len(pairs)
        assert hits_and_misses(server) == (4 * len(pairs), 4 * len(pairs))
        _, cached = score(api, server, pairs)
        assert cached == [(False, False, True, True)] * len(pairs)
        assert hits_and_misses(server) == (6 * len(pairs), 4 * len(pairs)), "nobody asked for the policy's"
        assert server.metric("prefscore_tokens_total", kind="saved_by_cache") > 0
        wait_for_entries(server, "written", 4 * len(pairs))
    with start_server(*demo_flags, *cache_flags) as server:
        third, cached = score(api, server, pairs, **everything)
        assert cached == [(True, True, True, True)] * len(pairs)
        assert hits_and_misses(server) == (4 * len(pairs), 0)
        assert server.metric("prefscore_tokens_total", kind="computed") == 0
    assert without == first == second == third


def test_streams_and_completions_and_the_command_line_share_it(api, build_dir, start_server, demo_flags, cache_flags,
                                                               demo_pairs, tmp_path):
    def run(server, command, output, *flags):
        finished = subprocess.run(
            [build_dir / "prefscore", command, "--server", server.address, "--input", DEMO / "pairs.jsonl",
             "--output", output, *flags], capture_output=True, text=True, timeout=120)
        assert finished.returncode == 0, finished.stderr
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        cached = [row.pop("cached", {}) for row in rows]
        return rows, cached

    with start_server(*demo_flags, *cache_flags) as server:
        num_sides = 2 * len(demo_pairs)
        first, _ = run(server, "score", tmp_path / "first.jsonl")
        assert hits_and_misses(server) == (0, num_sides)
        second, cached = run(server, "score", tmp_path / "second.jsonl")
        assert first == second
        assert hits_and_misses(server) == (num_sides, num_sides)
        assert all(c.get("reference_chosen_logp") and c.get("reference_rejected_logp") for c in cached)
        third, cached = run(server, "score", tmp_path / "third.jsonl", "--cache", "bypass")
        assert first == third and not any(cached)
        _, cached = run(server, "score", tmp_path / "policy.jsonl", "--cache", "refresh", "--cache-policy")
        assert not any(cached)
        assert hits_and_misses(server) == (num_sides, num_sides), "neither bypass nor refresh looks anything up"
        wait_for_entries(server, "written", num_sides + 2 * num_sides)
        _, cached = run(server, "score", tmp_path / "all.jsonl", "--cache", "read-only", "--cache-policy")
        assert all(len(c) == 4 and all(c.values()) for c in cached)
        assert hits_and_misses(server) == (3 * num_sides, num_sides)

        content = lambda text: api.scoring.Content(text=text)
        prompts = [api.scoring.PromptCompletions(prompt=content(p["prompt"]),
                                                 completions=[content(p["chosen"]), content(p["rejected"])])
                   for p in demo_pairs]
        with server.channel() as channel:
            response = api.Scoring(channel).ScoreCompletions(api.scoring.ScoreCompletionsRequest(prompts=prompts))
        for result, row in zip(response.results, first):
            logps = [{logp.model: logp for logp in completion.logps} for completion in result.completions]
            assert [logp["reference"].logp for logp in logps] == [row["reference_chosen_logp"],
                                                                  row["reference_rejected_logp"]]
            assert all(logp["reference"].from_cache and not logp["policy"].from_cache for logp in logps)
        assert hits_and_misses(server) == (4 * num_sides, num_sides)
        assert server.metric("prefscore_prompts_scored_total") == len(demo_pairs)


def test_another_dtype_shares_nothing(api, start_server, demo_flags, cache_flags, pairs):
    with start_server(*demo_flags, *cache_flags) as server:
        score(api, server, pairs)
    with start_server(*demo_flags, *cache_flags, "--dtype", "bfloat16") as server:
        if server.address is None and "bfloat16" in server.log:
            pytest.skip("this CPU has no bfloat16 arithmetic: " + server.log.strip().splitlines()[-1])
        _, cached = score(api, server, pairs)
        assert not any(any(flags) for flags in cached)
        assert hits_and_misses(server) == (0, 2 * len(pairs))


def test_a_second_server_on_the_folder_serves_without(api, start_server, demo_flags, cache_flags, pairs):
    with start_server(*demo_flags, *cache_flags) as first, start_server(*demo_flags, *cache_flags) as second:
        assert "another server uses the folder" in second.log
        assert state(first) == ["serving"] and state(second) == ["unavailable"]
        expected, _ = score(api, first, pairs)
        for _ in range(2):
            found, cached = score(api, second, pairs)
            assert found == expected and not any(any(flags) for flags in cached)
        wait_for_entries(second, "dropped", 2 * 2 * len(pairs))
        assert second.metric("prefscore_cache_lookups_total", result="hit") == 0
        assert score(api, first, pairs)[1] == [(False, False, True, True)] * len(pairs)
        assert hits_and_misses(first) == (2 * len(pairs), 2 * len(pairs))
        assert first.metric("prefscore_cache_entries_total", event="dropped") == 0


def test_a_folder_that_cannot_be_made_is_no_cache(api, start_server, demo_flags, pairs, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with start_server(*demo_flags, "--cache-dir", tmp_path / "file" / "cache") as server:
        assert re.search(r" warning cache .*: unavailable, everything is computed: cannot make the folder", server.log)
        assert state(server) == ["unavailable"]
        assert len(score(api, server, pairs)[0]) == len(pairs)
        assert server.metric("prefscore_cache_errors_total", kind="open") >= 1
        assert hits_and_misses(server) == (0, 2 * len(pairs))
        wait_for_entries(server, "dropped", 2 * len(pairs))


def test_servers_that_are_killed_under_load(api, start_server, demo_flags, cache_flags):
    rng = random.Random(3)
    ids = lambda low, high: [rng.randrange(500) for _ in range(rng.randint(low, high))]
    pairs = [api.ids_pair(ids(1, 40), ids(1, 30), ids(1, 30), id=str(index)) for index in range(600)]

    def numbers(data):
        result = api.scoring.PairResult.FromString(data)
        result.index = 0  # that of the request
        return result

    with start_server(*demo_flags) as server:
        expected, _ = score(api, server, pairs)
    num_hits = 0
    for round_ in range(4):
        with start_server(*demo_flags, *cache_flags) as server:
            assert state(server) == ["serving"], server.log
            answered = threading.Semaphore(0)
            wrong = []

            def load():
                try:
                    while True:
                        some = rng.sample(range(len(pairs)), 20)
                        found, _ = score(api, server, [pairs[idx] for idx in some], cache_policy=True)
                        wrong.extend(idx for idx, data in zip(some, found) if numbers(data) != numbers(expected[idx]))
                        answered.release()
                except grpc.RpcError:
                    pass  # the server is gone

            threads = [threading.Thread(target=load) for _ in range(4)]
            for thread in threads:
                thread.start()
            for _ in range(4 + 3 * round_):
                assert answered.acquire(timeout=60)
            os.kill(server.process.pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
            assert not wrong
        with start_server(*demo_flags, *cache_flags) as server:
            found, cached = score(api, server, pairs, cache_policy=True, cache_mode="CACHE_MODE_READ_ONLY")
            assert found == expected
            num_cached = sum(sum(flags) for flags in cached)
            assert num_cached > num_hits, "what one server wrote, the next one has"
            num_hits = num_cached
            assert server.metric("prefscore_cache_errors_total", kind="checksum") == 0
