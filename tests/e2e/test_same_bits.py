"""The same ids give the same bits however they are sent: alone, mixed, under load, to another process."""
import concurrent.futures
import random

import pytest


def logps(result):
    assert not result.HasField("status"), result.status
    return (result.policy_chosen_logp, result.policy_rejected_logp,
            result.reference_chosen_logp, result.reference_rejected_logp)


@pytest.fixture(scope="module")
def random_pairs(api):
    rng = random.Random(7)
    ids = lambda low, high: [rng.randrange(500) for _ in range(rng.randint(low, high))]
    return [api.ids_pair(ids(1, 60), ids(1, 40), ids(1, 40), id=str(index)) for index in range(200)]


def score(api, channel, pairs):
    results = api.Scoring(channel).ScorePairs(api.scoring.ScorePairsRequest(pairs=pairs)).results
    return {result.id: logps(result) for result in results}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bits(api, start_server, demo_flags, random_pairs, dtype):
    flags = [*demo_flags, "--dtype", dtype]
    with start_server(*flags) as server:
        if server.address is None and "bfloat16" in server.log:
            pytest.skip("this CPU has no bfloat16 arithmetic: " + server.log.strip().splitlines()[-1])
        alone = {}
        with server.channel() as channel:
            for pair in random_pairs:
                alone |= score(api, channel, [pair])
        assert len(alone) == len(random_pairs)

        def mates(seed):
            rng = random.Random(seed)
            return rng.sample(random_pairs, rng.randint(2, 60))

        def call(seed):
            with server.channel() as channel:
                return score(api, channel, mates(seed))

        num_calls = 48
        saved_before = server.metric("prefscore_tokens_total", kind="saved_by_sharing")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for found in pool.map(call, range(num_calls)):
                assert all(found[pair_id] == alone[pair_id] for pair_id in found)
        # A pair computes its prompt once for both sides, under two models. More than that is saved only where pairs of
        # several calls meet in a batch.
        saved_within_pairs = 2 * sum(len(pair.prompt.token_ids.ids) for seed in range(num_calls) for pair in mates(seed))
        saved = server.metric("prefscore_tokens_total", kind="saved_by_sharing") - saved_before
        assert saved > saved_within_pairs, "no batch held pairs of several calls: nothing was tested"

        swapped = [api.scoring.PreferencePair(id=p.id, prompt=p.prompt, chosen=p.rejected, rejected=p.chosen)
                   for p in random_pairs]
        with server.channel() as channel:
            for pair_id, (pc, pr, rc, rr) in score(api, channel, swapped).items():
                assert (pr, pc, rr, rc) == alone[pair_id]

    with start_server(*flags, "--threads", "1", "--max-batch-tokens", "200") as another:
        with another.channel() as channel:
            assert score(api, channel, random_pairs) == alone
