# SPDX-License-Identifier: Apache-2.0
"""The cache's disk is full, read-only or gone: every call is answered with the same bits, metrics and log tell, and the
cache works again once the disk does."""
import re
import shutil
import subprocess

from real_server import wait_until
from scoring_calls import random_pairs, score

NUM_PAIRS = 60


def state(server):
    return [name for name in ("serving", "not_writing", "unavailable")
            if server.metric("prefscore_cache_state", state=name) == 1]


def call_until(server, wanted):
    """Calls, since the cache tries to write only then, until it is in this state."""
    seeds = iter(range(10_000))

    def is_reached():
        score(server, random_pairs(NUM_PAIRS, seed=next(seeds)), cache_policy=True)
        return state(server) == [wanted]

    wait_until(f"the cache is {wanted}", is_reached, timeout_s=120)


def expect_hits(server, expected):
    hits = server.metric("prefscore_cache_lookups_total", result="hit")
    pairs = random_pairs(NUM_PAIRS, seed=-1)

    def is_hit():
        assert score(server, pairs, cache_policy=True) == expected
        return server.metric("prefscore_cache_lookups_total", result="hit") > hits

    wait_until("what was stored is found", is_hit)


def test_a_full_disk(start_server, demo_flags, small_disk):
    with small_disk(megabytes=8) as disk:
        with start_server(*demo_flags, "--cache-dir", disk / "cache", "--cache-max-bytes", 4 << 20) as server:
            assert state(server) == ["serving"], server.log
            expected = score(server, random_pairs(NUM_PAIRS, seed=-1), cache_mode="CACHE_MODE_BYPASS")
            filler = disk / "filler"
            subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], capture_output=True)  # until it is full
            call_until(server, "not_writing")
            assert re.search(r" warning cache .*: cannot write, entries are dropped until it can", server.log)
            assert server.metric("prefscore_cache_errors_total", kind="write") >= 1
            assert server.metric("prefscore_cache_entries_total", event="dropped") >= 1
            assert score(server, random_pairs(NUM_PAIRS, seed=-1), cache_policy=True) == expected
            filler.unlink()
            call_until(server, "serving")
            assert len(re.findall(r" info cache .*: holds ", server.log)) == 2, "it says that it is open again"
            expect_hits(server, expected)


def test_a_disk_that_is_read_only_at_the_start(start_server, demo_flags, small_disk):
    with small_disk(megabytes=8) as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with start_server(*demo_flags, "--cache-dir", disk / "cache") as server:
            assert server.address, server.log
            assert state(server) == ["unavailable"]
            assert re.search(r" warning cache .*: unavailable, everything", server.log) and "Read-only file system" in server.log
            expected = score(server, random_pairs(NUM_PAIRS, seed=-1), cache_policy=True)
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
            call_until(server, "serving")
            expect_hits(server, expected)


def test_a_folder_that_is_deleted_under_the_server(start_server, demo_flags, tmp_path):
    folder = tmp_path / "cache"
    with start_server(*demo_flags, "--cache-dir", folder, "--cache-max-bytes", 4 << 20) as server:
        expected = score(server, random_pairs(NUM_PAIRS, seed=-1), cache_policy=True)
        shutil.rmtree(folder)
        call_until(server, "not_writing")
        call_until(server, "serving")
        assert folder.is_dir()
        expect_hits(server, expected)
