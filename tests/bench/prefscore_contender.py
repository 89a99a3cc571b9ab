# SPDX-License-Identifier: Apache-2.0
"""prefscore as its users meet it: the server in its own process, text in and results out over gRPC."""

import contextlib
import tempfile

import grpc

import inputs
import server_process
from prefscore.v1 import scoring_pb2, scoring_pb2_grpc

NO_CACHE = "nothing cached"
REFERENCE_CACHED = "reference log-probs cached"


def _request(args, pairs):
    def content(text, ids):
        if inputs.SHAPES[args.shape].has_tokenizer:
            return scoring_pb2.Content(text=text)
        return scoring_pb2.Content(token_ids=scoring_pb2.TokenIds(ids=ids))

    return scoring_pb2.ScorePairsRequest(
        pairs=[
            scoring_pb2.PreferencePair(
                prompt=content(pair.prompt, pair.prompt_ids),
                chosen=content(pair.chosen, pair.chosen_ids),
                rejected=content(pair.rejected, pair.rejected_ids),
            )
            for pair in pairs
        ]
    )


@contextlib.contextmanager
def serving(args, pairs, what_is_cached):
    request = _request(args, pairs)
    flags = ["--dtype", args.dtype, "--threads", args.threads]
    for role in inputs.MODEL_SEEDS:
        flags += ["--model", f"{role}={inputs.model_folder(args.shape, role)}"]
    with tempfile.TemporaryDirectory() as cache_dir:
        flags += ["--cache-dir", cache_dir if what_is_cached == REFERENCE_CACHED else ""]
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(server_process.serving(args.build_dir, *flags))
            channel = stack.enter_context(grpc.insecure_channel(server.address))
            stub = scoring_pb2_grpc.ScoringServiceStub(channel)

            def score():
                results = stub.ScorePairs(request, timeout=600).results
                for result, pair in zip(results, pairs, strict=True):
                    assert not result.HasField("status"), result.status
                    counts = result.num_prompt_tokens, result.num_chosen_tokens, result.num_rejected_tokens
                    assert counts == tuple(map(len, (pair.prompt_ids, *pair.completions))), (counts, pair)
                return [
                    [r.policy_chosen_logp, r.policy_rejected_logp, r.reference_chosen_logp, r.reference_rejected_logp]
                    for r in results
                ]

            first = stub.ScorePairs(scoring_pb2.ScorePairsRequest(pairs=request.pairs[:1]), timeout=600).results[0]
            yield f"prefscore-server over gRPC, {first.numerics_mode}, {what_is_cached}", score, server.pid
