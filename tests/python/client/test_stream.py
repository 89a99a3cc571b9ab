# SPDX-License-Identifier: Apache-2.0
"""Streams of pairs: every result exactly once, in bounded memory, whatever the caller does."""
import gc
import itertools
import queue
import threading
import time

import pytest
from fake_server import FakeServer

import prefscore
from prefscore import Pair


def numbered(count, size=lambda index: index % 7 + 1):
    """Pairs whose numbers tell which they are."""
    return [Pair("c" * size(index), "r", "p", id=f"id-{index}") for index in range(count)]


def check(results, pairs, in_order):
    """Each pair has its own result, once."""
    assert len(results) == len(pairs)
    if in_order:
        assert [result.index for result in results] == list(range(len(pairs)))
    for index, result in enumerate(sorted(results, key=lambda result: result.index)):
        assert (result.index, result.id) == (index, f"id-{index}")
        assert result.policy_chosen_logp == -len(pairs[index].chosen)


def stream_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefscore ")]


def wait_until(condition, timeout_s=10):
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("window", [1, 2, 7, 1000])
def test_every_pair_gets_its_result(in_order, window):
    pairs = numbered(100)
    with FakeServer(shuffle=min(5, window)) as server:
        with prefscore.Client(server.address, max_in_flight_pairs=window) as client:
            check(list(client.stream_pairs(iter(pairs), in_order=in_order)), pairs, in_order)
        assert server.calls["StreamScorePairs"] == 1


def test_the_real_server_gives_the_bits_of_unary_calls(demo_client, demo_pairs):
    pairs = [Pair(row["chosen"], row["rejected"], row["prompt"], id=row["id"]) for row in demo_pairs]
    options = prefscore.ScoringOptions(objectives=["sigmoid", "ipo"])
    streamed = sorted(demo_client.stream_pairs(pairs, options), key=lambda result: result.index)
    assert streamed == list(demo_client.score_pairs(pairs, options))


def test_a_faulty_pair_is_a_result():
    with FakeServer(bad_ids=frozenset({"id-1"})) as server, prefscore.Client(server.address) as client:
        results = list(client.stream_pairs(numbered(3), in_order=True))
    assert [result.error is None for result in results] == [True, False, True]
    assert results[1].error.code == "INVALID_ARGUMENT" and results[1].policy_margin is None


def test_a_pair_that_is_too_large_to_send_fails_alone():
    pairs = numbered(3, size=lambda index: 5000 if index == 1 else 3)
    with FakeServer(limits={"max_message_bytes": 4096}) as server, prefscore.Client(server.address) as client:
        results = list(client.stream_pairs(pairs, in_order=True))
    assert [result.index for result in results] == [0, 1, 2]
    assert "pair: has 50" in results[1].error.message and "max_message_bytes = 4096" in results[1].error.message
    assert results[2].error is None


def test_a_real_server_takes_the_largest_message_and_refuses_a_larger_one(start_server, demo_flags):
    with start_server(*demo_flags, "--max-message-bytes", 65536) as server, prefscore.Client(server.address) as client:
        pairs = [Pair([1], [2], [3] * count) for count in (10, 65500, 65530, 10)]
        results = list(client.stream_pairs(pairs, in_order=True))
    assert [result.error is None for result in results] == [True, False, False, True]
    assert "max_message_bytes = 65536" in results[2].error.message
    assert "tokens" in results[1].error.message


def test_no_pairs_need_no_server():
    with prefscore.Client("127.0.0.1:1") as client:
        assert list(client.stream_pairs([])) == []


def test_no_more_is_read_than_the_window_holds():
    given_back = read = most = 0

    def pairs():
        nonlocal read, most
        for pair in numbered(200):
            read += 1
            most = max(most, read - given_back)
            yield pair

    with FakeServer() as server, prefscore.Client(server.address, max_in_flight_pairs=9) as client:
        for _ in client.stream_pairs(pairs()):
            time.sleep(0.0005)
            given_back += 1
    assert given_back == 200
    assert 5 <= most <= 10  # one more is given back before we count it


def test_bytes_bound_the_window_too():
    given_back = most = 0

    def pairs():
        nonlocal most
        for index, pair in enumerate(numbered(60, size=lambda index: 1000)):
            most = max(most, index + 1 - given_back)
            yield pair

    with FakeServer() as server, prefscore.Client(server.address, max_in_flight_bytes=4000) as client:
        for _ in client.stream_pairs(pairs()):
            time.sleep(0.0005)
            given_back += 1
    assert given_back == 60 and most <= 5


def test_one_pair_above_the_windows_bytes_goes_through(fake_server):
    with prefscore.Client(fake_server.address, max_in_flight_bytes=10) as client:
        check(list(client.stream_pairs(numbered(5))), numbered(5), in_order=False)


def test_pairs_may_depend_on_results(fake_client):
    answers = queue.Queue()

    def pairs():
        for index in range(20):
            yield numbered(20)[index]
            assert answers.get(timeout=10) == index

    for result in fake_client.stream_pairs(pairs()):
        answers.put(result.index)


def test_a_caller_who_stops_reading_blocks_nothing_else(fake_client):
    stalled = fake_client.stream_pairs(numbered(10_000))
    next(stalled)
    assert len(fake_client.score_pairs(numbered(3))) == 3
    check(list(fake_client.stream_pairs(numbered(500))), numbered(500), in_order=False)
    stalled.close()
    wait_until(lambda: not stream_threads())


def endless(started=None):
    for index in itertools.count():
        if started is not None:
            started.set()
        yield Pair("c", "r", "p", id=f"id-{index}")


@pytest.mark.parametrize("how", ["close", "with", "drop", "client"])
def test_a_stream_ends_at_once(fake_server, how):
    client = prefscore.Client(fake_server.address)
    stream = client.stream_pairs(endless())
    next(stream)
    if how == "close":
        stream.close()
        assert list(stream) == []
    elif how == "with":
        with stream:
            next(stream)
        assert list(stream) == []
    elif how == "drop":
        del stream
        gc.collect()
    else:
        client.close()
        with pytest.raises(prefscore.FailedPrecondition, match="this Client was closed while the call was under way"):
            list(stream)
    wait_until(lambda: not stream_threads())
    client.close()


def test_closing_wakes_a_reader_in_another_thread():
    release = threading.Event()

    def pairs():
        yield from numbered(1)
        release.wait(30)  # as a caller who waits for input

    with FakeServer() as server, prefscore.Client(server.address) as client:
        stream = client.stream_pairs(pairs())
        results = []
        reader = threading.Thread(target=lambda: results.extend(stream))
        reader.start()
        wait_until(lambda: results)
        stream.close()
        reader.join(10)
        assert not reader.is_alive() and len(results) == 1
        release.set()
    wait_until(lambda: not stream_threads())


def test_what_reading_the_pairs_raises_ends_the_stream():
    def pairs():
        yield from numbered(2)
        raise OSError("the disk is gone")

    with FakeServer(result_delay_s=0.2) as server, prefscore.Client(server.address) as client:
        stream = client.stream_pairs(pairs())
        with pytest.raises(OSError, match="the disk is gone"):
            list(stream)
        assert list(stream) == []
        wait_until(lambda: not stream_threads())


@pytest.mark.parametrize(("pairs", "message"), [
    ([*numbered(2), {"chosen": "a"}], r"pairs\[2\]: must be a Pair, not dict"),
    ([Pair(3, "r", "p")], r"pairs\[0\].chosen: must be a str, a list of messages or token ids, not int"),
    ([Pair([1, "b"], [2], [3])], r"pairs\[0\].chosen\[1\]: must be a token id .*not str 'b'"),
    ("abc", r"pairs\[0\]: must be a Pair, not str"),
])  # fmt: skip
def test_wrong_pairs_end_the_stream(fake_client, pairs, message):
    with pytest.raises(prefscore.InvalidArgument, match=message):
        list(fake_client.stream_pairs(pairs))


def test_wrong_arguments_are_told_at_once(fake_server, fake_client):
    with pytest.raises(prefscore.InvalidArgument, match="pairs: must be an iterable of pairs, not Pair"):
        fake_client.stream_pairs(Pair("a", "b", "p"))
    with pytest.raises(prefscore.InvalidArgument, match="options: must be ScoringOptions, not dict"):
        fake_client.stream_pairs([], {})
    assert not fake_server.calls


def test_a_stream_that_is_garbage_is_closed_whoever_collects_it(fake_client):
    """The collection may come on a thread that holds the stream's lock."""
    stream = fake_client.stream_pairs(endless())
    next(stream)
    run, cycle = stream._run, [stream]
    cycle.append(cycle)
    del stream, cycle
    with run._lock:
        gc.collect()
    wait_until(lambda: not stream_threads())
