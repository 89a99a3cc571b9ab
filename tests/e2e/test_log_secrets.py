# SPDX-License-Identifier: Apache-2.0
"""Nothing that a caller sends gets into the log: a secret in each text field of each rpc, in good and in bad requests."""
import contextlib
import json

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from real_server import wait_until

MAX_DEPTH = 6  # weighted sums hold objectives, which hold weighted sums
SECRET = "tell-nobody"


def text_paths(descriptor, depth=0):
    """Each way from a message of this type down to a text, as a tuple of field descriptors."""
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            yield (field,)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and depth < MAX_DEPTH:
            is_map = field.message_type.GetOptions().map_entry
            for path in text_paths(field.message_type, depth + 1):
                if not is_map or path[0].name in ("key", "value"):
                    yield (field, *path)


def put(message, path, secret):
    """Sets the text at the end of the path; what is on the way is made where it is not there."""
    field, rest = path[0], path[1:]
    value = getattr(message, field.name)
    if field.type == FieldDescriptor.TYPE_STRING:
        if field.is_repeated:
            value.append(secret)
        else:
            setattr(message, field.name, secret)
    elif field.message_type.GetOptions().map_entry:
        is_message = field.message_type.fields_by_name["value"].type == FieldDescriptor.TYPE_MESSAGE
        if rest[0].name == "key":
            value[secret].SetInParent() if is_message else value.__setitem__(secret, "x")
        elif is_message:
            put(value["alpha"], rest[1:], secret)
        else:
            value["name"] = secret
    elif field.is_repeated:
        put(value[0] if value else value.add(), rest, secret)
    else:
        put(value, rest, secret)


def good_requests(api, pair):
    """(service, method, streams requests, a good request)"""
    s, d, m = api.scoring, api.diagnostics, api.models
    completions = s.PromptCompletions(prompt=pair.prompt, completions=[pair.chosen])
    logps = s.PairLogProbs(logps=s.KnownLogProbs(policy_chosen_logp=-1, policy_rejected_logp=-2,
                                                 reference_chosen_logp=-1, reference_rejected_logp=-1))
    return [
        (api.Scoring, "ScorePairs", False, s.ScorePairsRequest(pairs=[pair])),
        (api.Scoring, "StreamScorePairs", True, s.StreamScorePairsRequest(pair=pair)),
        (api.Scoring, "StreamScorePairs", True, s.StreamScorePairsRequest(options=s.ScoringOptions())),
        (api.Scoring, "ScoreCompletions", False, s.ScoreCompletionsRequest(prompts=[completions])),
        (api.Scoring, "EvaluateObjectives", False, s.EvaluateObjectivesRequest(pairs=[logps])),
        (api.Scoring, "ListObjectives", False, s.ListObjectivesRequest()),
        (api.Diagnostics, "AnalyzePairs", True, d.AnalyzePairsRequest(options=d.AnalysisOptions(), pairs=[pair])),
        (api.Diagnostics, "AnalyzePairs", True, d.AnalyzePairsRequest(options=d.AnalysisOptions(), logps=[logps])),
        (api.Models, "ListModels", False, m.ListModelsRequest()),
        (api.Models, "GetModel", False, m.GetModelRequest(name="policy")),
    ]


def call(api, channel, service, method, is_stream, request):
    """Whatever comes of it. The caller's metadata hold secrets, too."""
    stub_method = getattr(service(channel), method)
    metadata = [("authorization", f"Bearer {SECRET}"), ("x-other", SECRET), ("traceparent", SECRET)]
    messages = [request]
    if method == "StreamScorePairs" and request.HasField("pair"):
        messages.insert(0, api.scoring.StreamScorePairsRequest(options=api.scoring.ScoringOptions()))
    try:
        if method == "StreamScorePairs":
            list(stub_method(iter(messages), timeout=60, metadata=metadata))
        else:
            stub_method(iter(messages) if is_stream else request, timeout=60, metadata=metadata)
        return grpc.StatusCode.OK
    except grpc.RpcError as error:
        return error.code()


def call_with_secrets(api, server, pair):
    """Returns the gRPC codes of all calls."""
    codes = []
    with server.channel() as channel:
        for service, method, is_stream, request in good_requests(api, pair):
            for path in text_paths(request.DESCRIPTOR):
                with_secret = type(request)()
                with_secret.CopyFrom(request)
                put(with_secret, path, SECRET)
                codes.append(call(api, channel, service, method, is_stream, with_secret))
        # No message, and no UTF-8: the server reads bytes itself.
        raw = channel.unary_unary("/prefscore.v1.ScoringService/ScorePairs")
        for request in (SECRET.encode(), b"\x0a\x10\x0a\x0e" + SECRET.encode() + b"\xff\xfe\xfd"):
            with contextlib.suppress(grpc.RpcError):
                raw(request, timeout=60)
    return codes


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_text_of_a_caller_gets_into_the_log(api, start_server, demo_flags, demo_pairs, log_format):
    with start_server(*demo_flags, "--log-level", "debug", "--log-format", log_format) as server:
        assert server.address, server.log
        codes = call_with_secrets(api, server, api.text_pair(demo_pairs[0]))
        num_calls = len(codes) + 2
        wait_until("all calls are logged", lambda: server.log.count("request_id") >= num_calls)
        assert len(codes) > 80
        assert codes.count(grpc.StatusCode.OK) > 20 and len(set(codes)) >= 3, "good and bad ones"
        assert SECRET not in server.log
        if log_format == "json":
            for line in server.log.splitlines():
                assert {"time", "level", "message"} <= json.loads(line).keys()


def test_who_asks_for_content_gets_it(api, start_server, demo_flags, demo_pairs):
    with start_server(*demo_flags, "--log-content", "true") as server:
        assert server.address, server.log
        call_with_secrets(api, server, api.text_pair(demo_pairs[0]))
        wait_until("contents are logged", lambda: server.log.count(SECRET) > 80)
        assert demo_pairs[0]["chosen"][:20] in server.log
