# SPDX-License-Identifier: Apache-2.0
"""Calls of every kind, good and bad, counted on this side."""
import collections

import grpc
from prefscore.v1 import (diagnostics_pb2, diagnostics_pb2_grpc, models_pb2, models_pb2_grpc, scoring_pb2,
                          scoring_pb2_grpc)


def text(value):
    return scoring_pb2.Content(text=value)


def pair(row):
    return scoring_pb2.PreferencePair(id=row["id"], prompt=text(row["prompt"]), chosen=text(row["chosen"]),
                                      rejected=text(row["rejected"]))


def ids(values):
    return scoring_pb2.Content(token_ids=scoring_pb2.TokenIds(ids=values))


def ids_pair(prompt, chosen, rejected):
    return scoring_pb2.PreferencePair(prompt=ids(prompt), chosen=ids(chosen), rejected=ids(rejected))


class Load:
    """`calls` counts the answers by (method, code), `num_pairs` the pairs that were scored.

    What a client gives up at its deadline may never have reached the server: those counts are upper bounds.
    `channels` are by the token that they send: `trainer`, `over_quota`, None.
    """

    def __init__(self, channels, rows):
        self.without_token = models_pb2_grpc.ModelServiceStub(channels[None])
        self.over_quota = scoring_pb2_grpc.ScoringServiceStub(channels["over_quota"])
        channel = channels["trainer"]
        self.scoring = scoring_pb2_grpc.ScoringServiceStub(channel)
        self.models = models_pb2_grpc.ModelServiceStub(channel)
        self.diagnostics = diagnostics_pb2_grpc.DiagnosticsServiceStub(channel)
        self.pairs = [pair(row) for row in rows]
        self.calls = collections.Counter()
        self.num_pairs = 0
        self.num_failed_pairs = 0
        self.num_rounds = 0
        # Far more than can be done within the deadline that is given below.
        self.large = scoring_pb2.ScorePairsRequest(
            pairs=[ids_pair(range(1, 200), [index % 200] * 30, [7] * 30) for index in range(1024)])

    def call(self, method, send, expected="OK"):
        try:
            answer = send()
            code = "OK"
        except grpc.RpcError as error:
            answer, code = None, error.code().name
        assert code == expected, f"{method} ended with {code}"
        self.calls[method, code] += 1
        return answer

    def refused_for_its_token(self):
        self.call("ListModels", lambda: self.without_token.ListModels(models_pb2.ListModelsRequest(), timeout=60),
                  expected="UNAUTHENTICATED")
        # The first call overdraws the quota by some thousand tokens, which takes an hour to pay back.
        request = scoring_pb2.ScorePairsRequest(
            pairs=[ids_pair(range(1, 200), [index] * 30, [7] * 30) for index in range(16)])
        if self.num_rounds == 0:
            self.call("ScorePairs", lambda: self.over_quota.ScorePairs(request, timeout=60))
            self.num_pairs += len(request.pairs)
        else:
            self.call("ScorePairs", lambda: self.over_quota.ScorePairs(request, timeout=60),
                      expected="RESOURCE_EXHAUSTED")

    def round(self):
        """A few of each. Every other round asks for what the cache knows from the one before."""
        start = 8 * (self.num_rounds // 2) % len(self.pairs)
        self.refused_for_its_token()
        self.num_rounds += 1
        some = self.pairs[start:start + 8]
        request = scoring_pb2.ScorePairsRequest(pairs=some)
        answer = self.call("ScorePairs", lambda: self.scoring.ScorePairs(request, timeout=60))
        assert all(result.status.code == 0 for result in answer.results)
        self.num_pairs += len(some)

        messages = [scoring_pb2.StreamScorePairsRequest(options=scoring_pb2.ScoringOptions()),
                    *(scoring_pb2.StreamScorePairsRequest(pair=each) for each in some)]
        results = self.call("StreamScorePairs", lambda: list(self.scoring.StreamScorePairs(iter(messages), timeout=60)))
        self.num_pairs += len(results)

        prompt = scoring_pb2.PromptCompletions(prompt=some[0].prompt, completions=[some[0].chosen, some[0].rejected])
        self.call("ScoreCompletions", lambda: self.scoring.ScoreCompletions(
            scoring_pb2.ScoreCompletionsRequest(prompts=[prompt]), timeout=60))

        known = [scoring_pb2.PairLogProbs(logps=scoring_pb2.KnownLogProbs(
            policy_chosen_logp=-1, policy_rejected_logp=-2, reference_chosen_logp=-1, reference_rejected_logp=-1))]
        self.call("EvaluateObjectives", lambda: self.scoring.EvaluateObjectives(
            scoring_pb2.EvaluateObjectivesRequest(pairs=known), timeout=60))
        self.call("AnalyzePairs", lambda: self.diagnostics.AnalyzePairs(iter(
            [diagnostics_pb2.AnalyzePairsRequest(options=diagnostics_pb2.AnalysisOptions(), logps=known)]), timeout=60))
        self.call("ListObjectives", lambda: self.scoring.ListObjectives(
            scoring_pb2.ListObjectivesRequest(), timeout=60))
        self.call("ListModels", lambda: self.models.ListModels(models_pb2.ListModelsRequest(), timeout=60))
        self.call("GetModel", lambda: self.models.GetModel(models_pb2.GetModelRequest(name="policy"), timeout=60))

        self.call("GetModel", lambda: self.models.GetModel(models_pb2.GetModelRequest(name="none"), timeout=60),
                  expected="NOT_FOUND")
        self.call("ScorePairs", lambda: self.scoring.ScorePairs(scoring_pb2.ScorePairsRequest(), timeout=60),
                  expected="INVALID_ARGUMENT")
        self.call("ScorePairs", lambda: self.scoring.ScorePairs(self.large, timeout=0.5), expected="DEADLINE_EXCEEDED")
        no_such_id = 10**6
        answer = self.call("ScorePairs", lambda: self.scoring.ScorePairs(
            scoring_pb2.ScorePairsRequest(pairs=[ids_pair([5], [7], [no_such_id])]), timeout=60))
        assert answer.results[0].status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        self.num_failed_pairs += 1
        prompt = scoring_pb2.PromptCompletions(prompt=ids([5]), completions=[ids([no_such_id])])
        self.call("ScoreCompletions", lambda: self.scoring.ScoreCompletions(
            scoring_pb2.ScoreCompletionsRequest(prompts=[prompt]), timeout=60))
