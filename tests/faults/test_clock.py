# SPDX-License-Identifier: Apache-2.0
"""The wall clock of a real server jumps while it works: no call is lost, and no duration comes out wrong."""
import pathlib
import threading
import time

import pytest
from real_server import wait_until
from scoring_calls import random_pairs, score
from token_file import TokenFile

LIBRARIES = sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
HOUR_S = 3600
NUM_CALLERS, NUM_PAIRS = 3, 30
# Sums of durations, and how many of them can go on at once.
DURATIONS = {"prefscore_request_duration_seconds_sum": NUM_CALLERS,
             "prefscore_queue_delay_seconds_sum": NUM_CALLERS * NUM_PAIRS,
             "prefscore_batch_duration_seconds_sum": 1,
             "prefscore_forward_duration_seconds_sum": 1}


@pytest.fixture
def wall_clock(monkeypatch, tmp_path):
    """set_offset(seconds), for the wall clock of programs that are started from now on. Their steady clock is the true one,
    as on a machine whose time is set."""
    if not LIBRARIES:
        pytest.skip("libfaketime is not installed")
    offset = tmp_path / "offset"

    def set_offset(seconds):
        new = tmp_path / "new"
        new.write_text(f"{seconds:+d}\n")
        new.rename(offset)

    set_offset(0)
    for name, value in {"LD_PRELOAD": LIBRARIES[0], "FAKETIME_TIMESTAMP_FILE": offset, "FAKETIME_NO_CACHE": 1,
                        "FAKETIME_DONT_FAKE_MONOTONIC": 1}.items():
        monkeypatch.setenv(name, str(value))
    return set_offset


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_a_wall_clock_that_jumps_costs_no_call(start_server, demo_flags, wall_clock, monkeypatch, jump_s):
    pairs = random_pairs(NUM_PAIRS)
    with start_server(*demo_flags) as server:
        monkeypatch.delenv("LD_PRELOAD")
        assert server.address, server.log
        start = time.monotonic()
        expected = score(server, pairs)
        num_calls = threading.Semaphore(0)
        faults = []
        stopping = threading.Event()

        def call():
            while not stopping.is_set():
                try:  # a deadline that a jump of an hour would pass
                    assert score(server, pairs, timeout_s=HOUR_S // 2) == expected
                except Exception as fault:
                    faults.append(fault)
                num_calls.release()

        threads = [threading.Thread(target=call) for _ in range(NUM_CALLERS)]
        for thread in threads:
            thread.start()
        for offset_s in (None, jump_s, 0):  # calls are under way at each jump
            if offset_s is not None:
                wall_clock(offset_s)
            for _ in range(6):
                assert num_calls.acquire(timeout=300)
        stopping.set()
        for thread in threads:
            thread.join(timeout=300)
        assert not faults, faults[0]
        passed_s = time.monotonic() - start
        for name, num_at_once in DURATIONS.items():
            assert 0 <= server.metric(name) <= num_at_once * passed_s, name
        assert server.stop() == 0


def test_a_token_file_is_followed_whatever_the_wall_clock_does(start_server, demo_flags, wall_clock, monkeypatch, tmp_path):
    token_file = TokenFile(tmp_path / "tokens.toml")
    token_file.add("first", "score")
    with start_server(*demo_flags, "--token-file", token_file.path) as server:
        monkeypatch.delenv("LD_PRELOAD")
        # Waits that have begun, and those that begin now, would be an hour longer on the wall clock.
        for offset_s, name in ((HOUR_S, "second"), (0, "third")):
            wall_clock(offset_s)
            token_file.add(name, "score")
            num_tokens = len(token_file.entries)
            wait_until(f"the {name} token is known", lambda: f"{num_tokens} tokens" in server.log)
        assert server.stop() == 0
