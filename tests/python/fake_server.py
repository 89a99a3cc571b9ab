# SPDX-License-Identifier: Apache-2.0
"""A prefscore server without models, in this process: scriptable errors, delays, digests and versions.

A completion's log-prob under the policy is -(its length), under the reference half of that; see `fake_logp`. Greedy
decoding gives what has a log-prob of at least -1. Everything else follows from the contract. It can be killed, and
started again at the same port as another server.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from prefscore.v1 import (
    diagnostics_pb2,
    diagnostics_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    scoring_pb2,
    scoring_pb2_grpc,
)

Code = grpc.StatusCode


@dataclass
class Step:
    """What happens to one call: after `delay_s` it fails with `code`, if one is set.

    after_pairs, after_results: of a stream, the fault waits until so many pairs are read and results are written.
    details: messages of google.rpc that the status carries, such as `retry_info(0.5)`.
    code OK: a stream ends too early, as if all were well.
    release: the call waits for it first (for at most 30 s).
    """

    code: grpc.StatusCode | None = None
    message: str = "scripted"
    details: Sequence[Message] = ()
    delay_s: float = 0.0
    after_pairs: int = 0
    after_results: int = 0
    release: threading.Event | None = None

    def run(self, context: grpc.ServicerContext) -> None:
        if self.release is not None:
            self.release.wait(30)
        if self.delay_s:
            time.sleep(self.delay_s)
        if self.code is not None:
            abort(context, self.code, self.message, self.details)


def retry_info(delay_s: float) -> error_details_pb2.RetryInfo:
    delay = Duration()
    delay.FromNanoseconds(round(delay_s * 1e9))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def make_status(code: grpc.StatusCode, message: str, details: Sequence[Message] = ()) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str, details: Sequence[Message] = ()) -> None:
    status = make_status(code, message, details)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, message)


def fake_logp(content: scoring_pb2.Content, model: str = "policy") -> float:
    """Log-prob of a completion: -(characters of its text, or ids), halved under any model but "policy"."""
    size = len(content.text) + len(content.token_ids.ids) + sum(len(m.content) for m in content.conversation.messages)
    return -float(size) * (1.0 if model == "policy" else 0.5)


@dataclass
class FakeServer:
    """Serves from the start of the `with` block to its end.

    script["ScorePairs"]: the steps of the coming calls of that method, the first for the next; without one it answers.
    calls["ScorePairs"]: how often it was called; metadata[...]: of each call, as a dict.
    requests: every unary request, streams' pairs one by one in `pairs`.
    shuffle: a stream's results leave in blocks of so many, each block shuffled.
    bad_ids: pairs and prompts with these ids fail, with INVALID_ARGUMENT.
    refused_ids: of pairs of streams; the result of each says once that the server stops.
    """

    digests: dict[str, str] = field(default_factory=lambda: {"policy": "p" * 64, "reference": "r" * 64})
    tokenizer_fingerprint: str = "f" * 64
    contract_version: int = models_pb2.CONTRACT_VERSION_CURRENT
    server_version: str = "0.1.0"
    limits: dict[str, int] = field(default_factory=dict)
    credentials: grpc.ServerCredentials | None = None
    token: str | None = None
    shuffle: int = 1
    result_delay_s: float = 0.0
    bad_ids: frozenset[str] = frozenset()
    refused_ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.script: dict[str, list[Step]] = defaultdict(list)
        self.calls: dict[str, int] = defaultdict(int)
        self.metadata: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.requests: list[Message] = []
        self.pairs: list[scoring_pb2.PreferencePair] = []
        self.lock = threading.Lock()
        self.port = 0
        self._server: grpc.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> FakeServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        self._server = server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=32), options=[("grpc.max_receive_message_length", -1)]
        )
        scoring_pb2_grpc.add_ScoringServiceServicer_to_server(_Scoring(self), server)
        models_pb2_grpc.add_ModelServiceServicer_to_server(_Models(self), server)
        diagnostics_pb2_grpc.add_DiagnosticsServiceServicer_to_server(_Diagnostics(self), server)
        self.health = health.HealthServicer()
        self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        address = f"127.0.0.1:{self.port}"
        give_up_at = time.monotonic() + 10
        while True:
            try:
                if self.credentials is None:
                    self.port = server.add_insecure_port(address)
                else:
                    self.port = server.add_secure_port(address, self.credentials)
                break
            except RuntimeError:  # its own earlier socket is not gone yet
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.02)
        server.start()

    def kill(self) -> None:
        """Ends all calls at once. `start` brings a server back at the same port."""
        if self._server is not None:
            self._server.stop(grace=0).wait(10)
            self._server = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def begin(self, method: str, context: grpc.ServicerContext) -> Step:
        """Counts a call, checks its token, and gives its step."""
        metadata = {key: value for key, value in context.invocation_metadata()}
        with self.lock:
            self.calls[method] += 1
            self.metadata[method].append(metadata)
            step = self.script[method].pop(0) if self.script[method] else Step()
        if self.token is not None and metadata.get("authorization") != f"Bearer {self.token}":
            context.abort(Code.UNAUTHENTICATED, "the call carries no valid token")
        return step

    def unary(self, method: str, request: Message, context: grpc.ServicerContext) -> None:
        step = self.begin(method, context)
        with self.lock:
            self.requests.append(request)
        step.run(context)

    def result(
        self, pair: scoring_pb2.PreferencePair, index: int, options: scoring_pb2.ScoringOptions
    ) -> scoring_pb2.PairResult:
        result = scoring_pb2.PairResult(id=pair.id, index=index, labels=dict(pair.labels))
        if pair.id in self.refused_ids:
            self.refused_ids.remove(pair.id)
            result.status.CopyFrom(make_status(Code.UNAVAILABLE, "the server is shutting down"))
            return result
        if pair.id in self.bad_ids:
            violation = error_details_pb2.BadRequest.FieldViolation(field="pair.chosen", description="is bad")
            bad = error_details_pb2.BadRequest(field_violations=[violation])
            result.status.CopyFrom(make_status(Code.INVALID_ARGUMENT, "pair.chosen: is bad", [bad]))
            return result
        for model, name_of_model in (("policy", options.policy), ("reference", options.reference)):
            for side in ("chosen", "rejected"):
                name = f"{model}_{side}_logp"
                if pair.known.HasField(name):
                    setattr(result, name, getattr(pair.known, name))
                else:
                    setattr(result, name, fake_logp(getattr(pair, side), model))
                    setattr(result, f"{model}_digest", self.digests[name_of_model or model])
        _derive(result, options.objectives)
        result.tokenizer_fingerprint = self.tokenizer_fingerprint
        result.numerics_mode = "fake-1"
        return result


def _derive(result: scoring_pb2.PairResult, objectives: Sequence[scoring_pb2.Objective]) -> None:
    """What follows from the four log-probs. The loss is that of margin_hinge, whatever the objective's name."""
    result.chosen_logratio = result.policy_chosen_logp - result.reference_chosen_logp
    result.rejected_logratio = result.policy_rejected_logp - result.reference_rejected_logp
    result.policy_margin = result.policy_chosen_logp - result.policy_rejected_logp
    result.reference_margin = result.reference_chosen_logp - result.reference_rejected_logp
    for objective in objectives or [scoring_pb2.Objective(name="sigmoid")]:
        beta = objective.beta if objective.HasField("beta") else 0.1
        gamma = objective.gamma if objective.HasField("gamma") else beta
        logit = beta * result.policy_margin - gamma * result.reference_margin
        result.objectives.add(
            name=objective.name or "weighted_sum", beta=beta, gamma=gamma, loss=max(0.0, -logit), logit=logit
        )


class _Scoring(scoring_pb2_grpc.ScoringServiceServicer):
    def __init__(self, fake: FakeServer) -> None:
        self._fake = fake

    def ScorePairs(self, request, context):
        self._fake.unary("ScorePairs", request, context)
        results = [self._fake.result(pair, index, request.options) for index, pair in enumerate(request.pairs)]
        return scoring_pb2.ScorePairsResponse(results=results)

    def StreamScorePairs(self, requests, context) -> Iterator[scoring_pb2.StreamScorePairsResponse]:
        fake, step = self._fake, self._fake.begin("StreamScorePairs", context)
        if step.code is not None and step.after_pairs == step.after_results == 0:
            step.run(context)
        options = next(requests).options
        held: list[scoring_pb2.PairResult] = []
        num_read = num_sent = 0
        chance = random.Random(len(fake.pairs))

        def is_due() -> bool:
            return step.code is not None and num_read >= step.after_pairs and num_sent >= step.after_results

        def results() -> Iterator[scoring_pb2.PairResult]:
            nonlocal num_read
            for request in requests:
                with fake.lock:
                    fake.pairs.append(request.pair)
                held.append(fake.result(request.pair, num_read, options))
                num_read += 1
                if len(held) == fake.shuffle:
                    chance.shuffle(held)
                    while held:
                        yield held.pop()
                elif is_due():
                    return
            while held:
                yield held.pop(chance.randrange(len(held)))

        for result in results():
            if is_due():
                break
            if fake.result_delay_s:
                time.sleep(fake.result_delay_s)
            yield scoring_pb2.StreamScorePairsResponse(result=result)
            num_sent += 1
            if is_due():
                break
        if step.code is not Code.OK:
            step.run(context)

    def ScoreCompletions(self, request, context):
        fake = self._fake
        fake.unary("ScoreCompletions", request, context)
        names = list(request.models) or ["policy", "reference"]
        response = scoring_pb2.ScoreCompletionsResponse()
        for name in names:
            response.models.add(
                name=name, digest=fake.digests[name], tokenizer_fingerprint=fake.tokenizer_fingerprint,
                numerics_mode="fake-1",
            )  # fmt: skip
        for index, prompt in enumerate(request.prompts):
            result = response.results.add(id=prompt.id, index=index)
            if prompt.id in fake.bad_ids:
                result.status.CopyFrom(make_status(Code.INVALID_ARGUMENT, "prompt: is bad"))
                continue
            for completion in prompt.completions:
                scored = result.completions.add(num_prompt_tokens=1, num_completion_tokens=1)
                for name in names:
                    logp = scored.logps.add(model=name, logp=fake_logp(completion, name))
                    if request.return_greedy_match:
                        logp.is_greedy_match = logp.logp >= -1
        return response

    def EvaluateObjectives(self, request, context):
        fake = self._fake
        fake.unary("EvaluateObjectives", request, context)
        response = scoring_pb2.EvaluateObjectivesResponse()
        for index, pair in enumerate(request.pairs):
            result = response.results.add(id=pair.id, index=index, labels=dict(pair.labels))
            if pair.id in fake.bad_ids:
                result.status.CopyFrom(make_status(Code.INVALID_ARGUMENT, "pair: is bad"))
                continue
            for name in ("policy_chosen_logp", "policy_rejected_logp", "reference_chosen_logp",
                         "reference_rejected_logp"):  # fmt: skip
                if pair.logps.HasField(name):
                    setattr(result, name, getattr(pair.logps, name))
            _derive(result, request.objectives)
        return response

    def ListObjectives(self, request, context):
        self._fake.unary("ListObjectives", request, context)
        response = scoring_pb2.ListObjectivesResponse()
        response.objectives.add(name="sigmoid", formula="-log sigmoid(z)", needs=["reference"])
        return response


class _Models(models_pb2_grpc.ModelServiceServicer):
    def __init__(self, fake: FakeServer) -> None:
        self._fake = fake

    def ListModels(self, request, context):
        fake = self._fake
        fake.begin("ListModels", context).run(context)
        response = models_pb2.ListModelsResponse(
            contract_version=fake.contract_version, server_version=fake.server_version
        )
        roles = {"policy": models_pb2.MODEL_ROLE_POLICY, "reference": models_pb2.MODEL_ROLE_REFERENCE}
        for name, digest in fake.digests.items():
            response.models.add(
                name=name, role=roles.get(name, models_pb2.MODEL_ROLE_UNSPECIFIED), digest=digest,
                tokenizer_fingerprint=fake.tokenizer_fingerprint, numerics_mode="fake-1", vocab_size=512,
                max_context_tokens=512, architecture="llama", dtype="float32",
            )  # fmt: skip
        limits = {
            "max_pairs_per_request": 1024, "max_completions_per_prompt": 64, "max_objectives": 64,
            "max_message_bytes": 64 << 20, "max_text_bytes": 1 << 20, "max_stream_in_flight": 256,
        }  # fmt: skip
        for name, value in {**limits, **fake.limits}.items():
            setattr(response.limits, name, value)
        return response


class _Diagnostics(diagnostics_pb2_grpc.DiagnosticsServiceServicer):
    def __init__(self, fake: FakeServer) -> None:
        self._fake = fake

    def AnalyzePairs(self, requests, context):
        fake = self._fake
        step = fake.begin("AnalyzePairs", context)
        report = diagnostics_pb2.AnalysisReport()
        for request in requests:
            with fake.lock:
                fake.requests.append(request)
            if request.HasField("options"):
                report.options.CopyFrom(request.options)
            report.num_pairs += len(request.pairs) + len(request.logps)
            if step.code is not None and report.num_pairs >= step.after_pairs:
                step.run(context)
        step.run(context)
        return diagnostics_pb2.AnalyzePairsResponse(report=report)
