# SPDX-License-Identifier: Apache-2.0
"""Many clients at once, and clients that take no answers: each call is answered or refused by name, what the server holds
stays bounded, and it stops when it is told to."""
import asyncio
import collections
import itertools
import pathlib
import re
import resource
import time

import grpc
from clients_under_load import error_info, open_channel, pair_of
from real_server import wait_until

from prefscore.v1 import scoring_pb2, scoring_pb2_grpc

NUM_CLIENTS, CALLS_PER_CLIENT = 1000, 3
NUM_STUCK = 5


def resident_mib(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


async def call_from_many(address, rows):
    """What each call of many connections at once was told: OK, or code and reason."""
    told = collections.Counter()

    async def client(name):
        async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            await asyncio.wait_for(channel.channel_ready(), timeout=300)
            ready.release()
            await all_ready.wait()
            stub = scoring_pb2_grpc.ScoringServiceStub(channel)
            for call in range(CALLS_PER_CLIENT):
                pair = pair_of(rows[(name + call) % len(rows)], f"{name}-{call}")
                try:
                    response = await stub.ScorePairs(scoring_pb2.ScorePairsRequest(pairs=[pair]))
                    assert [result.id for result in response.results] == [pair.id]
                    told["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    info = error_info(error)
                    told[error.code().name, info and info.reason] += 1

    ready, all_ready = asyncio.Semaphore(0), asyncio.Event()
    clients = [asyncio.create_task(client(name)) for name in range(NUM_CLIENTS)]
    for _ in clients:
        await ready.acquire()
    all_ready.set()
    await asyncio.gather(*clients)
    return told


def test_a_thousand_clients_at_once(start_server, demo_flags, demo_pairs):
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    with start_server(*demo_flags, "--max-queued-tokens", 20000) as server:
        told = asyncio.run(call_from_many(server.address, demo_pairs))
        assert sum(told.values()) == NUM_CLIENTS * CALLS_PER_CLIENT
        assert set(told) <= {"OK", ("RESOURCE_EXHAUSTED", "QUEUE_FULL")}, told
        num_refused = told["RESOURCE_EXHAUSTED", "QUEUE_FULL"]
        assert told["OK"] > 0 and num_refused > 0
        metric = lambda code: server.metric("prefscore_requests_total", method="ScorePairs", code=code)
        assert (metric("OK"), metric("RESOURCE_EXHAUSTED")) == (told["OK"], num_refused)
        assert server.metric("prefscore_requests_total", method="ScorePairs") == NUM_CLIENTS * CALLS_PER_CLIENT
        assert server.metric("prefscore_pairs_scored_total") == told["OK"]
        assert server.metric("prefscore_queued_tokens") == 0
    assert server.process.returncode == 0, server.log


def stuck_stream(address, rows, options):
    """A call that sends pairs for as long as they are taken and never reads a result; and its connection."""
    def messages():
        yield scoring_pb2.StreamScorePairsRequest(options=options)
        for index, row in enumerate(itertools.cycle(rows)):
            yield scoring_pb2.StreamScorePairsRequest(pair=pair_of(row, str(index)))

    # The client's transport would take megabytes on the program's behalf.
    channel = open_channel(address, **{"http2.bdp_probe": 0, "http2.lookahead_bytes": 65536})
    return scoring_pb2_grpc.ScoringServiceStub(channel).StreamScorePairs(messages()), channel


def test_clients_that_never_read(start_server, demo_flags, demo_pairs):
    options = scoring_pb2.ScoringOptions(return_token_logps=True, return_token_ids=True)
    flags = ["--max-stream-in-flight", 32, "--shutdown-grace", 1]
    with start_server(*demo_flags, *flags) as server, server.channel() as channel:
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)
        request = scoring_pb2.ScorePairsRequest(pairs=[pair_of(demo_pairs[0], "one")], options=options)
        assert stub.ScorePairs(request, timeout=60).results
        before_mib = resident_mib(server)
        streams = [stuck_stream(server.address, demo_pairs, options) for _ in range(NUM_STUCK)]
        counts = [0]  # of scored pairs, second by second

        def nothing_is_taken():
            time.sleep(1)
            counts.append(server.metric("prefscore_pairs_scored_total"))
            is_idle = server.metric("prefscore_queued_pairs") == 0
            return is_idle and counts[-1] > NUM_STUCK * 32 and len(set(counts[-4:])) == 1

        wait_until("nothing more is taken", nothing_is_taken, timeout_s=180)
        assert server.metric("prefscore_streams_in_flight") == NUM_STUCK
        # A result has about 2 KiB here: windows and transport hold well below 1 MiB a stream. Batches take some, too.
        assert resident_mib(server) - before_mib < NUM_STUCK + 150
        assert len(stub.ScorePairs(request, timeout=60).results) == 1, "others are served"
        server.process.terminate()
        assert server.process.wait(timeout=60) == 3, server.log
        assert f", {NUM_STUCK} calls that had no answer yet" in server.log
        for call, stuck_channel in streams:
            call.cancel()
            stuck_channel.close()
