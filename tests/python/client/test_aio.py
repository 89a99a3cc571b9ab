# SPDX-License-Identifier: Apache-2.0
"""AsyncClient: the surface of Client, with the same numbers, losses and ends, and what only asyncio has."""
import asyncio
import contextlib
import gc
import inspect
import itertools
import threading

import grpc
import pytest
from fake_server import FakeServer, Step, retry_info
from test_stream import check, numbered, stream_threads
from test_stream_losses import PATIENT

import prefscore
from prefscore import AsyncClient, Pair, PairLogProbs, PromptCompletions

Code = grpc.StatusCode


async def collect(stream):
    return [result async for result in stream]


async def agenerator(items):
    for item in items:
        await asyncio.sleep(0)
        yield item


async def take(stream, count):
    return [await anext(stream) for _ in range(count)]


async def until(condition, timeout_s=10):
    async def poll():
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(poll(), timeout_s)


def leftovers():
    """Threads and tasks of streams and reports."""
    return stream_threads() + [task for task in asyncio.all_tasks() if "_make_next" in repr(task.get_coro())]


def test_both_clients_have_the_same_surface():
    def surface(client):
        return {
            name: [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_")
        }

    assert surface(AsyncClient) == surface(prefscore.Client)
    assert set(surface(AsyncClient)) == {
        "score_pairs", "stream_pairs", "score_completions", "evaluate_objectives", "analyze", "objectives", "models",
        "health", "close",
    }  # fmt: skip
    assert inspect.signature(AsyncClient) == inspect.signature(prefscore.Client)


def test_the_numbers_are_those_of_the_other_client(demo_client, demo_server, demo_pairs):
    pairs = [Pair(row["chosen"], row["rejected"], row["prompt"], id=row["id"]) for row in demo_pairs]
    prompts = [PromptCompletions(pair.prompt, [pair.chosen]) for pair in pairs[:5]]
    known = [PairLogProbs(prefscore.KnownLogProbs(-1, -2, -3, -4))]

    async def main():
        async with AsyncClient(demo_server.address) as client:
            scored = demo_client.score_pairs(pairs)
            assert list(await client.score_pairs(pairs)) == list(scored)
            assert await collect(client.stream_pairs(pairs, in_order=True)) == list(scored)
            assert await collect(client.stream_pairs(agenerator(pairs), in_order=True)) == list(scored)
            assert await client.score_completions(prompts) == demo_client.score_completions(prompts)
            assert list(await client.evaluate_objectives(known)) == list(demo_client.evaluate_objectives(known))
            report = demo_client.analyze(pairs).message
            assert (await client.analyze(pairs)).message == report
            assert (await client.analyze(agenerator(pairs))).message == report
            assert (await client.analyze(pairs, return_html=False))._repr_html_() is None
            assert await client.objectives() == demo_client.objectives()
            assert await client.models() == demo_client.models()
            assert await client.health() == "serving"

    asyncio.run(main())


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("window", [1, 7, 1000])
def test_every_pair_gets_its_result(in_order, window):
    pairs = numbered(100)

    async def main(server):
        async with AsyncClient(server.address, max_in_flight_pairs=window) as client:
            check(await collect(client.stream_pairs(iter(pairs), in_order=in_order)), pairs, in_order)
            await until(lambda: not leftovers())

    with FakeServer(shuffle=min(5, window)) as server:
        asyncio.run(main(server))


@pytest.mark.parametrize("in_order", [False, True])
def test_a_call_that_dies_at_any_point_loses_nothing(clock, in_order):
    pairs = numbered(5)

    async def main():
        for after_pairs, after_results in itertools.product(range(5), range(5)):
            if after_results > after_pairs:
                continue
            with FakeServer(shuffle=2) as server:
                async with AsyncClient(server.address, _clock=clock) as client:
                    step = Step(Code.UNAVAILABLE, after_pairs=after_pairs, after_results=after_results)
                    server.script["StreamScorePairs"] = [step, step]
                    check(await collect(client.stream_pairs(pairs, in_order=in_order)), pairs, in_order)
                    assert server.calls["StreamScorePairs"] >= 2

    asyncio.run(main())


def test_servers_share_the_work_and_one_is_lost():
    async def main(one, two):
        async with AsyncClient([one.address, two.address], max_in_flight_pairs=16) as client:
            stream = client.stream_pairs(numbered(200))
            results = await take(stream, 40)
            assert len(one.pairs) > 5 and len(two.pairs) > 5
            one.kill()
            check(results + await collect(stream), numbered(200), in_order=False)

    with FakeServer(result_delay_s=0.003) as one, FakeServer(result_delay_s=0.003) as two:
        asyncio.run(main(one, two))


def test_another_model_ends_the_stream(fake_server):
    async def main():
        async with AsyncClient(fake_server.address, retry=PATIENT, max_in_flight_pairs=5) as client:
            stream = client.stream_pairs(numbered(100))
            await take(stream, 10)
            fake_server.digests["policy"] = "other"
            await asyncio.to_thread(fake_server.restart)
            with pytest.raises(prefscore.FailedPrecondition, match="policy_digest is other, but was pppp"):
                await collect(stream)

    asyncio.run(main())


def test_no_more_is_read_than_the_window_holds(fake_server):
    given_back = read = most = 0

    async def pairs():
        nonlocal read, most
        for pair in numbered(150):
            read += 1
            most = max(most, read - given_back)
            yield pair

    async def main():
        nonlocal given_back
        async with AsyncClient(fake_server.address, max_in_flight_pairs=9) as client:
            async for _ in client.stream_pairs(pairs()):
                await asyncio.sleep(0.0005)
                given_back += 1

    asyncio.run(main())
    assert given_back == 150 and 5 <= most <= 10


@pytest.mark.parametrize("how", ["aclose", "with", "drop", "client"])
def test_a_stream_ends_at_once(fake_server, how):
    async def main():
        client = AsyncClient(fake_server.address)
        stream = client.stream_pairs(itertools.repeat(Pair("c", "r", "p")))
        await take(stream, 3)
        if how == "aclose":
            await stream.aclose()
            assert await collect(stream) == []
        elif how == "with":
            async with contextlib.aclosing(stream):
                await take(stream, 1)
        elif how == "drop":
            del stream
            gc.collect()
        else:
            await client.close()
            with pytest.raises(prefscore.FailedPrecondition, match="was closed while the call was under way"):
                await collect(stream)
        await until(lambda: not leftovers())
        await client.close()

    asyncio.run(main())


def test_a_cancelled_task_cancels_its_call(fake_server):
    fake_server.script["ScorePairs"] = [Step(delay_s=1)]

    async def main():
        async with AsyncClient(fake_server.address) as client:
            task = asyncio.create_task(client.score_pairs(numbered(1)))
            await until(lambda: fake_server.calls["ScorePairs"] == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            stream = client.stream_pairs(never())
            task = asyncio.create_task(collect(stream))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            task = asyncio.create_task(client.analyze(never()))
            await until(lambda: fake_server.calls["AnalyzePairs"] == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            del stream
            await until(lambda: not leftovers())
            assert len(await client.score_pairs(numbered(2))) == 2

    async def never():
        yield numbered(1)[0]
        await asyncio.Event().wait()

    asyncio.run(main())


def test_closing_ends_calls_with_a_reason(fake_server):
    fake_server.script["ScorePairs"] = [Step(delay_s=1)]

    async def main():
        client = AsyncClient(fake_server.address)
        task = asyncio.create_task(client.score_pairs(numbered(1)))
        await until(lambda: fake_server.calls["ScorePairs"] == 1)
        await client.close()
        with pytest.raises(prefscore.FailedPrecondition, match="this AsyncClient was closed while the call was under way"):
            await task
        with pytest.raises(prefscore.FailedPrecondition, match="this AsyncClient is closed"):
            await client.models()

    asyncio.run(main())


def test_closing_between_the_steps_of_a_call(fake_server, monkeypatch):
    async def run():
        client = AsyncClient(fake_server.address)
        shake_hands = client._shake_hands

        async def shake_hands_and_close(*arguments):
            info = await shake_hands(*arguments)
            await client.close()
            return info

        monkeypatch.setattr(client, "_shake_hands", shake_hands_and_close)
        with pytest.raises(prefscore.FailedPrecondition, match="this AsyncClient is closed"):
            await client.score_pairs(numbered(1))

    asyncio.run(run())


def test_what_reading_the_pairs_raises_is_raised(fake_server):
    async def pairs():
        yield numbered(1)[0]
        raise OSError("the disk is gone")

    async def main():
        async with AsyncClient(fake_server.address) as client:
            for items in (pairs(), (1 // 0 for _ in range(1))):
                with pytest.raises((OSError, ZeroDivisionError)):
                    await collect(client.stream_pairs(items))
            with pytest.raises(OSError, match="the disk is gone"):
                await client.analyze(pairs())
            with pytest.raises(prefscore.InvalidArgument, match=r"pairs\[1\]: must be a Pair, not int"):
                await collect(client.stream_pairs([*numbered(1), 3]))
            with pytest.raises(prefscore.InvalidArgument, match="pairs: must be an iterable of pairs, not int"):
                client.stream_pairs(3)

    asyncio.run(main())


def test_refusals_are_retried(fake_server, clock):
    full = Step(Code.RESOURCE_EXHAUSTED, "full", [retry_info(3)])
    for method in ("ScorePairs", "StreamScorePairs", "AnalyzePairs"):
        fake_server.script[method] = [full]
    fake_server.script["ListModels"] = [Step(Code.UNAVAILABLE)]

    async def main():
        async with AsyncClient(fake_server.address, _clock=clock) as client:
            assert len(await client.score_pairs(numbered(1))) == 1
            assert len(await collect(client.stream_pairs(numbered(2)))) == 2
            assert (await client.analyze(numbered(2))).message.num_pairs == 2
            with pytest.raises(prefscore.DeadlineExceeded, match="timeout_s 0.2"):
                fake_server.script["ScorePairs"] = [Step(delay_s=1)]
                await client.score_pairs(numbered(1), timeout_s=0.2)

    asyncio.run(main())
    assert clock.sleeps.count(pytest.approx(3.3)) == 3


def test_a_client_belongs_to_one_event_loop(fake_server):
    client = AsyncClient(fake_server.address)
    asyncio.run(client.models())
    with pytest.raises(prefscore.FailedPrecondition, match="belongs to another event loop"):
        asyncio.run(client.models())


def test_a_handshake_of_another_call_does_not_use_up_the_time(fake_server):
    is_over = threading.Event()
    fake_server.script["ListModels"] = [Step(release=is_over)]

    async def run():
        async with AsyncClient(fake_server.address) as client:
            patient = asyncio.create_task(client.models())
            await until(lambda: fake_server.calls["ListModels"] == 1)
            with pytest.raises(prefscore.DeadlineExceeded, match="timeout_s 0.2, 1 attempt"):
                await client.score_pairs(numbered(1), timeout_s=0.2)
            assert not patient.done()
            is_over.set()
            await patient
            await client.score_pairs(numbered(1), timeout_s=30)  # the lock is free

    asyncio.run(run())


def test_many_calls_at_once(fake_server):
    async def main():
        async with AsyncClient(fake_server.address) as client:
            answers = await asyncio.gather(*(client.score_pairs(numbered(3)) for _ in range(50)))
            assert [len(answer) for answer in answers] == [3] * 50

    asyncio.run(main())
    assert fake_server.calls["ListModels"] == 1


def test_the_plain_client_says_who_reads_async_iterables(fake_client):
    with pytest.raises(prefscore.InvalidArgument, match="async_generator; AsyncClient.stream_pairs and analyze read async"):
        fake_client.stream_pairs(agenerator([]))
