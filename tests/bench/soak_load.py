# SPDX-License-Identifier: Apache-2.0
"""The load of soak.py: kinds of calls, each made at its rate whatever becomes of the others, and what each was told."""

import asyncio
import collections
import dataclasses
import itertools
import random
import time

import grpc

from prefscore.v1 import diagnostics_pb2, diagnostics_pb2_grpc, scoring_pb2, scoring_pb2_grpc

NUM_CHANNELS = 4
PAIRS_PER_STREAM = 200
PAIRS_PER_CALL = (1, 4)  # least and most
ANALYSED_PAIRS, KNOWN_PAIRS = 8, 64
COMPLETIONS = 4  # of one prompt: cost what 2 pairs do
# When the time is over: longest wait for what is open. What has no answer then is lost.
LAST_ANSWER_S = 120
# A cancelled call or a short deadline ends this soon at most.
MOST_PATIENCE_S = 0.05


@dataclasses.dataclass
class Tally:
    """What the client saw."""

    calls: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # by method and code
    num_pairs: int = 0  # with numbers
    num_abandoned: int = 0  # calls that the client gave up, or that had little time: the server may not know of them
    num_lost: int = 0
    faults: list = dataclasses.field(default_factory=list)  # what should not happen
    latencies: list = dataclasses.field(default_factory=list)  # (seconds since the start, kind, seconds) of answers
    max_lag_s: float = 0  # of a call's start behind its time: the load is at fault, not the server


class Load:
    def __init__(self, address, rows, rng=None):
        self.tally = Tally()
        self._rows = rows
        self._rng = rng or random.Random(7)
        self._number = itertools.count()
        self._begin_s = time.monotonic()
        self._channels = [grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
                          for _ in range(NUM_CHANNELS)]  # fmt: skip

    async def close(self):
        for channel in self._channels:
            await channel.close()

    async def run(self, kinds, seconds):
        """Makes calls of each (kind, rate per second) for so long, and waits for the last answers."""
        open_calls = set()

        async def make(kind, rate):
            due_s = time.monotonic()  # of the first call: at once, so that no kind is missing
            end_s = due_s + seconds
            while due_s < end_s:
                await asyncio.sleep(max(due_s - time.monotonic(), 0))
                self.tally.max_lag_s = max(self.tally.max_lag_s, time.monotonic() - due_s)
                task = asyncio.create_task(self._time(kind))
                open_calls.add(task)
                task.add_done_callback(open_calls.discard)
                due_s += self._rng.expovariate(rate)

        await asyncio.gather(*(make(kind, rate) for kind, rate in kinds if rate > 0))
        if open_calls:
            _, lost = await asyncio.wait(open_calls, timeout=LAST_ANSWER_S)
            self.tally.num_lost += len(lost)

    async def capacity(self, seconds, num_callers=16):
        """Pairs a second that callers get who wait for each answer."""
        before, begin_s = self.tally.num_pairs, time.monotonic()

        async def call_again_and_again():
            while time.monotonic() < begin_s + seconds:
                await self.interactive(num_pairs=16)

        await asyncio.gather(*(call_again_and_again() for _ in range(num_callers)))
        return (self.tally.num_pairs - before) / (time.monotonic() - begin_s)

    # --- kinds of calls: each notes its end ---

    async def interactive(self, num_pairs=None):
        pairs = [self._pair() for _ in range(num_pairs or self._rng.randint(*PAIRS_PER_CALL))]
        await self._end_of_pairs("ScorePairs", self._scoring().ScorePairs(scoring_pb2.ScorePairsRequest(pairs=pairs)),
                                 {"RESOURCE_EXHAUSTED"})  # fmt: skip

    async def bulk(self):
        def messages():
            yield scoring_pb2.StreamScorePairsRequest(options=scoring_pb2.ScoringOptions())
            for _ in range(PAIRS_PER_STREAM):
                yield scoring_pb2.StreamScorePairsRequest(pair=self._pair())

        call = self._scoring().StreamScorePairs(messages())
        indices = set()

        async def read():
            async for response in call:
                indices.add(response.result.index)
                self._count_pair(response.result)
            if len(indices) != PAIRS_PER_STREAM:
                self.tally.faults.append(f"a stream gave {len(indices)} results to {PAIRS_PER_STREAM} pairs")

        await self._end("StreamScorePairs", read(), {"RESOURCE_EXHAUSTED"})

    async def evaluate(self):
        pairs = [self._known() for _ in range(KNOWN_PAIRS)]
        request = scoring_pb2.EvaluateObjectivesRequest(pairs=pairs)
        await self._end("EvaluateObjectives", self._scoring().EvaluateObjectives(request))

    async def analyze(self):
        request = diagnostics_pb2.AnalyzePairsRequest(
            options=diagnostics_pb2.AnalysisOptions(), pairs=[self._pair() for _ in range(ANALYSED_PAIRS)],
            logps=[self._known() for _ in range(KNOWN_PAIRS)])  # fmt: skip
        stub = diagnostics_pb2_grpc.DiagnosticsServiceStub(self._rng.choice(self._channels))
        report = await self._end("AnalyzePairs", stub.AnalyzePairs(iter([request])), {"RESOURCE_EXHAUSTED"})
        if report is not None:
            self.tally.num_pairs += ANALYSED_PAIRS

    async def completions(self, timeout=None, expected=()):
        request = self._completions()
        call = self._scoring().ScoreCompletions(request, timeout=timeout)
        await self._end("ScoreCompletions", call, {"RESOURCE_EXHAUSTED", *expected})

    async def in_a_hurry(self):
        self.tally.num_abandoned += 1
        await self.completions(self._rng.uniform(0.001, MOST_PATIENCE_S), {"DEADLINE_EXCEEDED"})

    async def cancelled(self):
        self.tally.num_abandoned += 1
        call = self._scoring().ScoreCompletions(self._completions())
        asyncio.get_running_loop().call_later(self._rng.uniform(0.001, MOST_PATIENCE_S), call.cancel)
        await self._end("ScoreCompletions", call, {"RESOURCE_EXHAUSTED", "CANCELLED"})

    async def bad(self):
        unknown = scoring_pb2.ScoringOptions(policy="nobody")
        request, code = self._rng.choice([
            (scoring_pb2.ScorePairsRequest(), "INVALID_ARGUMENT"),
            (scoring_pb2.ScorePairsRequest(pairs=[self._pair()], options=unknown), "NOT_FOUND"),
            (scoring_pb2.ScorePairsRequest(pairs=[self._pair()], options={"objectives": [{"name": "none"}]}),
             "INVALID_ARGUMENT"),
        ])  # fmt: skip
        answer = await self._end("ScorePairs", self._scoring().ScorePairs(request), {code})
        if answer is not None:
            self.tally.faults.append(f"a bad request was answered: {request}")

    # --- parts ---

    def _scoring(self):
        return scoring_pb2_grpc.ScoringServiceStub(self._rng.choice(self._channels))

    def _texts(self):
        """No two alike: nothing is cached or shared."""
        number = next(self._number)
        row = self._rows[number % len(self._rows)]
        return [scoring_pb2.Content(text=text) for text in (f"{number} {row['prompt']}", row["chosen"], row["rejected"])]

    def _pair(self):
        prompt, chosen, rejected = self._texts()
        return scoring_pb2.PreferencePair(prompt=prompt, chosen=chosen, rejected=rejected)

    def _completions(self):
        prompt, chosen, rejected = self._texts()
        completions = [chosen, rejected] * (COMPLETIONS // 2)
        prompts = [scoring_pb2.PromptCompletions(prompt=prompt, completions=completions)]
        return scoring_pb2.ScoreCompletionsRequest(prompts=prompts)

    def _known(self):
        logps = scoring_pb2.KnownLogProbs(**{
            f"{model}_{side}_logp": -self._rng.uniform(1, 50)
            for model in ("policy", "reference") for side in ("chosen", "rejected")})  # fmt: skip
        return scoring_pb2.PairLogProbs(logps=logps, num_chosen_tokens=10, num_rejected_tokens=12)

    def _count_pair(self, result):
        if result.HasField("status"):
            self.tally.faults.append(f"a pair failed: {result.status.code} {result.status.message}")
        else:
            self.tally.num_pairs += 1

    async def _end_of_pairs(self, method, call, expected):
        response = await self._end(method, call, expected)
        for result in response.results if response is not None else ():
            self._count_pair(result)

    async def _end(self, method, call, expected=()):
        """Notes how the call ends; its answer, or None where it has none. Codes that are not expected are faults."""
        try:
            answer = await call
            code = "OK"
        except grpc.aio.AioRpcError as error:
            answer, code = None, error.code().name
            if code not in expected:
                self.tally.faults.append(f"{method}: {code}: {error.details()}")
        except asyncio.CancelledError:  # by `cancelled`
            answer, code = None, "CANCELLED"
            if code not in expected:
                raise
        self.tally.calls[method, code] += 1
        return answer

    async def _time(self, kind):
        begin_s = time.monotonic()
        await getattr(self, kind)()
        self.tally.latencies.append((begin_s - self._begin_s, kind, time.monotonic() - begin_s))


def rates(pairs_per_second):
    """How often each kind is called so that all together ask for so many pairs a second."""
    interactive = 0.35 * pairs_per_second / (sum(PAIRS_PER_CALL) / 2)
    completions = pairs_per_second / (COMPLETIONS / 2)
    return [("interactive", interactive), ("bulk", 0.4 * pairs_per_second / PAIRS_PER_STREAM),
            ("analyze", 0.05 * pairs_per_second / ANALYSED_PAIRS), ("completions", 0.1 * completions),
            ("in_a_hurry", 0.05 * completions), ("cancelled", 0.05 * completions), ("evaluate", 0.5 * interactive),
            ("bad", 0.1 * interactive)]  # fmt: skip
