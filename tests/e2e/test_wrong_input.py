"""Every kind of wrong input: a clear error with code, field, value and limit; neighbours unharmed; the server up."""
import socket
import time

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT


def violated_fields(status):
    """The fields that the BadRequest detail of a google.rpc.Status names."""
    violations = error_details_pb2.BadRequest()
    return [v.field for detail in status.details if detail.Unpack(violations) for v in violations.field_violations]


def fields_of(error):
    """The same for a failed call."""
    status = status_pb2.Status()
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    return violated_fields(status)


@pytest.fixture
def stub(api, demo_server):
    with demo_server.channel() as channel:
        yield api.Scoring(channel)


@pytest.fixture
def good(api, demo_pairs):
    return api.text_pair(demo_pairs[0])


def expect_call_error(api, stub, request, code, field=None, message=()):
    with pytest.raises(grpc.RpcError) as raised:
        stub.ScorePairs(request, timeout=30)
    error = raised.value
    assert error.code() == code, error
    for part in message:
        assert part in error.details(), error.details()
    if field:
        assert fields_of(error) == [field], error
    return error


def request(api, pairs, **options):
    return api.scoring.ScorePairsRequest(pairs=pairs, options=api.scoring.ScoringOptions(**options))


def test_unknown_model(api, stub, good):
    expect_call_error(api, stub, request(api, [good], policy="nobody"), grpc.StatusCode.NOT_FOUND,
                      message=["nobody", "policy", "reference"])


def test_digest_mismatch(api, stub, good):
    expect_call_error(api, stub, request(api, [good], expected_reference_digest="0" * 64),
                      grpc.StatusCode.FAILED_PRECONDITION, message=["reference", "0" * 64])


def test_right_digest_is_accepted(api, stub, good, demo_server):
    with demo_server.channel() as channel:
        digest = api.Models(channel).GetModel(api.models.GetModelRequest(name="policy")).model.digest
    result = stub.ScorePairs(request(api, [good], expected_policy_digest=digest)).results[0]
    assert result.policy_digest == digest


def test_zero_pairs(api, stub):
    expect_call_error(api, stub, request(api, []), INVALID_ARGUMENT, "pairs", ["0", "1"])


def test_too_many_pairs(api, stub, good):
    expect_call_error(api, stub, request(api, [good] * 1025), INVALID_ARGUMENT, "pairs", ["1025", "1024"])


@pytest.mark.parametrize(
    "objective, field",
    [
        (dict(name="sigmoid", beta=0.0), "options.objectives[0].beta"),
        (dict(name="sigmoid", beta=-0.1), "options.objectives[0].beta"),
        (dict(name="sigmoid", beta=float("nan")), "options.objectives[0].beta"),
        (dict(name="sigmoid", beta=float("inf")), "options.objectives[0].beta"),
        (dict(name="margin_hinge", gamma=-1.0), "options.objectives[0].gamma"),
        (dict(name="margin_hinge", gamma=float("nan")), "options.objectives[0].gamma"),
        (dict(name="nonsense"), "options.objectives[0].name"),
        (dict(), "options.objectives[0].name"),
    ],
)
def test_bad_objectives(api, stub, good, objective, field):
    expect_call_error(api, stub, request(api, [good], objectives=[api.scoring.Objective(**objective)]),
                      INVALID_ARGUMENT, field)


def test_unknown_profile(api, stub, good):
    expect_call_error(api, stub, request(api, [good], profile="wild"), INVALID_ARGUMENT, "options.profile", ["wild", "trl"])


def test_max_length_beyond_the_models(api, stub, good):
    expect_call_error(api, stub, request(api, [good], max_length=1 << 30), INVALID_ARGUMENT, "options.max_length",
                      [str(1 << 30)])


def faulty_pairs(api, good):
    """name -> (pair, field that its status names)."""
    ids, text = api.ids_pair, api.text_pair
    mixed = api.scoring.PreferencePair(id="mixed", prompt=good.prompt, chosen=good.chosen)
    mixed.rejected.token_ids.ids.append(3)
    known = api.scoring.PreferencePair()
    known.CopyFrom(good)
    known.known.policy_chosen_logp = float("nan")
    positive = api.scoring.PreferencePair()
    positive.CopyFrom(good)
    positive.known.reference_chosen_logp = 0.5
    no_prompt_ids = api.scoring.PreferencePair()
    no_prompt_ids.chosen.token_ids.ids.append(3)
    no_prompt_ids.rejected.token_ids.ids.append(4)
    bad_json = api.scoring.PreferencePair()
    for content in (bad_json.prompt, bad_json.chosen, bad_json.rejected):
        content.conversation.messages.add(json="{not json")
    empty_conversation = api.scoring.PreferencePair()
    for content in (empty_conversation.prompt, empty_conversation.chosen, empty_conversation.rejected):
        content.conversation.SetInParent()
    tools_without_conversation = api.scoring.PreferencePair()
    tools_without_conversation.CopyFrom(good)
    tools_without_conversation.tools_json = "[]"
    return {
        "empty chosen ids": (ids([1, 2], [], [3]), "chosen"),
        "empty rejected ids": (ids([1, 2], [3], []), "rejected"),
        "empty prompt ids": (ids([], [3], [4]), "prompt"),
        "id out of range": (ids([1, 2], [3], [4_000_000_000]), "rejected"),
        "over length": (ids([1, 2], [3] * 100_000, [4]), "chosen"),
        "mixed text and ids": (mixed, None),
        "known is NaN": (known, "known.policy_chosen_logp"),
        "known is positive": (positive, "known.reference_chosen_logp"),
        "ids without prompt": (no_prompt_ids, "prompt"),
        "chosen unset": (api.scoring.PreferencePair(prompt=good.prompt, rejected=good.rejected), "chosen"),
        "message is not JSON": (bad_json, None),
        "empty conversation": (empty_conversation, None),
        "tools without conversation": (tools_without_conversation, "tools_json"),
        "id too long": (text({"id": "x" * 257, "prompt": "a", "chosen": "b", "rejected": "c"}), "id"),
    }


def test_a_faulty_pair_fails_alone(api, stub, good):
    faulty = faulty_pairs(api, good)
    pairs = [good]
    for pair, _ in faulty.values():
        pairs += [pair, good]
    results = stub.ScorePairs(request(api, pairs)).results
    alone = stub.ScorePairs(request(api, [good])).results[0]
    for result in results[::2]:
        assert not result.HasField("status")
        assert result.policy_chosen_logp == alone.policy_chosen_logp
    for (name, (_, field)), (index, result) in zip(faulty.items(), list(enumerate(results))[1::2]):
        assert result.status.code == code_pb2.INVALID_ARGUMENT, (name, result)
        assert result.index == index
        [named] = violated_fields(result.status)
        assert named.startswith(f"pairs[{index}]"), (name, named)
        if field:
            assert named == f"pairs[{index}].{field}", (name, named)
        assert result.policy_chosen_logp == 0 and not result.objectives


def test_a_token_id_error_names_value_and_limit(api, stub):
    status = stub.ScorePairs(request(api, [api.ids_pair([1], [2, 999_999], [3])])).results[0].status
    assert "999999" in status.message and "position 1" in status.message and "[0, " in status.message


def test_over_length_is_cut_only_when_asked_and_reported(api, stub, demo_server):
    with demo_server.channel() as channel:
        limit = api.Models(channel).GetModel(api.models.GetModelRequest(name="policy")).model.max_context_tokens
    pair = api.ids_pair([5] * 10, [6] * limit, [7] * 4)
    refused = stub.ScorePairs(request(api, [pair])).results[0]
    assert refused.status.code == code_pb2.INVALID_ARGUMENT
    assert str(limit) in refused.status.message
    policies = api.scoring.TruncationPolicy
    kept = stub.ScorePairs(request(api, [pair], truncation_policy=policies.TRUNCATION_POLICY_KEEP_START)).results[0]
    assert not kept.HasField("status")
    assert (kept.num_prompt_tokens, kept.num_chosen_tokens, kept.num_rejected_tokens) == (10, limit - 10, 4)
    assert kept.tokenization.num_truncated_chosen_tokens == 10
    pair = api.ids_pair([5] * 60, [6] * 30, [7] * 4)
    cut = stub.ScorePairs(
        request(api, [pair], truncation_policy=policies.TRUNCATION_POLICY_KEEP_PROMPT_END, max_length=50)
    ).results[0]
    assert (cut.num_prompt_tokens, cut.num_chosen_tokens, cut.num_rejected_tokens) == (20, 30, 4)
    assert cut.tokenization.num_truncated_prompt_tokens == 40


def test_invalid_utf8(api, stub, good, demo_server):
    # The bytes of a request whose text is not UTF-8; the stubs refuse to make one.
    bad = api.text_pair({"prompt": "a", "chosen": "NOT-UTF-8", "rejected": "c"})
    raw = request(api, [bad, good]).SerializeToString().replace(b"NOT-UTF-8", b"\xff" * 9)
    with demo_server.channel() as channel:
        call = channel.unary_unary("/prefscore.v1.ScoringService/ScorePairs", request_serializer=lambda message: message,
                                   response_deserializer=api.scoring.ScorePairsResponse.FromString)
        faulty, fine = call(raw, timeout=30).results
    assert faulty.status.code == code_pb2.INVALID_ARGUMENT
    assert violated_fields(faulty.status) == ["pairs[0].chosen.text"]
    assert "UTF-8" in faulty.status.message
    assert not fine.HasField("status")


def test_message_over_the_size_limit(api, start_server, demo_flags, good):
    with start_server(*demo_flags, "--max-message-bytes", 100_000) as server, server.channel() as channel:
        big = api.text_pair({"prompt": "a" * 200_000, "chosen": "b", "rejected": "c"})
        error = expect_call_error(api, api.Scoring(channel), request(api, [big]), grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert "100000" in error.details()
        assert not api.Scoring(channel).ScorePairs(request(api, [good])).results[0].HasField("status")


def test_text_over_the_size_limit(api, start_server, demo_flags, good):
    with start_server(*demo_flags, "--max-text-bytes", 1000) as server, server.channel() as channel:
        long = api.text_pair({"prompt": "a" * 1001, "chosen": "b", "rejected": "c"})
        bad, fine = api.Scoring(channel).ScorePairs(request(api, [long, good])).results
        assert bad.status.code == code_pb2.INVALID_ARGUMENT
        assert "1001" in bad.status.message and "1000" in bad.status.message
        assert not fine.HasField("status")


def test_expired_deadline(api, stub, good):
    with pytest.raises(grpc.RpcError) as raised:
        stub.ScorePairs(request(api, [good] * 200), timeout=0.0005)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_client_gone_mid_call(api, demo_server, stub, good):
    channel = demo_server.channel()

    def messages():
        yield api.scoring.StreamScorePairsRequest(options=api.scoring.ScoringOptions())
        while True:
            yield api.scoring.StreamScorePairsRequest(pair=good)

    responses = api.Scoring(channel).StreamScorePairs(messages())
    for _ in range(10):
        next(responses)
    channel.close()
    for _ in range(3):
        assert not stub.ScorePairs(request(api, [good]), timeout=30).results[0].HasField("status")


def test_stream_without_options(api, stub, good):
    with pytest.raises(grpc.RpcError) as raised:
        list(stub.StreamScorePairs(iter([api.scoring.StreamScorePairsRequest(pair=good)]), timeout=30))
    assert raised.value.code() == INVALID_ARGUMENT
    assert "options" in raised.value.details()


def test_stream_faults_fail_alone(api, stub, good):
    faulty = faulty_pairs(api, good)
    messages = [api.scoring.StreamScorePairsRequest(options=api.scoring.ScoringOptions())]
    for pair, _ in faulty.values():
        messages += [api.scoring.StreamScorePairsRequest(pair=pair), api.scoring.StreamScorePairsRequest(pair=good)]
    results = {r.result.index: r.result for r in stub.StreamScorePairs(iter(messages), timeout=60)}
    assert sorted(results) == list(range(2 * len(faulty)))
    for index, result in results.items():
        assert result.HasField("status") == (index % 2 == 0), result


def test_port_in_use(start_server, demo_flags):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with start_server(*demo_flags, "--listen", f"127.0.0.1:{port}") as server:
            assert server.process.wait(timeout=30) == 1
            assert f"127.0.0.1:{port}" in server.log


def test_two_servers_do_not_share_a_port(start_server, demo_flags):
    with start_server(*demo_flags) as first, start_server(*demo_flags, "--listen", first.address) as second:
        assert second.process.wait(timeout=30) == 1
        assert first.address in second.log


def test_metrics_port_in_use(start_server, demo_flags):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with start_server(*demo_flags, "--metrics-listen", address) as server:
            assert server.process.wait(timeout=30) == 1
            assert address in server.log


def test_sigterm_finishes_what_was_admitted(api, start_server, demo_flags, good):
    with start_server(*demo_flags) as server:
        channel = server.channel()
        call = api.Scoring(channel).ScorePairs.future(request(api, [good] * 500), timeout=60)
        time.sleep(0.05)
        server.process.terminate()
        try:
            assert len(call.result().results) == 500
        except grpc.RpcError as error:  # it had not arrived yet when admission ended
            assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert server.process.wait(timeout=60) == 0, server.log
