# SPDX-License-Identifier: Apache-2.0
"""A real server with a token file: who is let in, to what, how much, and what an operator can do about it."""
import subprocess
import urllib.error
import urllib.request

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from real_server import wait_until
from token_file import TokenFile

import prefscore


@pytest.fixture
def token_file(tmp_path):
    return TokenFile(tmp_path / "tokens.toml")


@pytest.fixture
def guarded(start_server, demo_flags, token_file):
    """A server with an admin listener and the tokens of `scorer`, `operator` and `prometheus`."""
    for name, role in (("scorer", "score"), ("operator", "admin"), ("prometheus", "metrics")):
        token_file.add(name, role)
    token_file.add("old", "score", expires="2020-01-01")
    with start_server(*demo_flags, "--token-file", token_file.path, "--admin-listen", "127.0.0.1:0") as server:
        assert server.address, server.log
        server.scrape_token = "token-of-prometheus"
        yield server


def client_of(server, token=None):
    return prefscore.Client(server.address, token=token, retry=prefscore.RetryPolicy(max_attempts=1))


def refusal(server, token=None):
    with client_of(server, token) as client, pytest.raises(prefscore.PrefscoreError) as refused:
        client.models()
    return refused.value


def test_who_has_no_fitting_token_is_refused_and_told_why(guarded):
    with client_of(guarded, "token-of-scorer") as client:
        assert client.models().models
    none = refusal(guarded)
    assert none.code == "UNAUTHENTICATED"
    assert "send the metadata 'authorization: Bearer TOKEN'" in none.message
    assert none.reason == "NO_VALID_TOKEN"
    assert refusal(guarded, "token-of-nobody").code == "UNAUTHENTICATED"
    expired = refusal(guarded, "token-of-old")
    assert expired.code == "UNAUTHENTICATED"
    assert "the token 'old' expired at 2020-01-01T00:00:00+00:00" in expired.message
    wrong_role = refusal(guarded, "token-of-operator")
    assert wrong_role.code == "PERMISSION_DENIED"
    assert "this call needs the role 'score'; the token 'operator' has: admin" in wrong_role.message
    refused = {reason: guarded.metric("prefscore_access_refusals_total", reason=reason)
               for reason in ("no_token", "unknown_token", "expired_token", "missing_role")}
    assert refused == dict.fromkeys(refused, 1)
    for secret in ("token-of-scorer", "token-of-nobody", "token-of-old"):
        assert secret not in guarded.log


def test_health_is_open_and_reflection_is_not(guarded):
    with guarded.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        with pytest.raises(grpc.RpcError) as refused:
            next(reflection.ServerReflectionInfo(iter([request]), timeout=60))
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_reflection_beside_tokens_is_there_where_it_is_asked_for(start_server, demo_flags, token_file):
    token_file.add("scorer", "score")
    with start_server(*demo_flags, "--token-file", token_file.path, "--reflection", "on") as server:
        with server.channel() as channel:
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]), timeout=60)
            assert next(answers).list_services_response.service
        assert refusal(server).code == "UNAUTHENTICATED"


def test_metrics_need_their_role(guarded):
    def scrape(token):
        request = urllib.request.Request(guarded.metrics_url)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            return urllib.request.urlopen(request, timeout=60).status
        except urllib.error.HTTPError as error:
            return error.code

    assert scrape("token-of-prometheus") == 200
    assert [scrape(token) for token in (None, "token-of-nobody", "token-of-scorer")] == [401, 401, 403]
    wait_until("a refusal is logged", lambda: "scrape refused" in guarded.log)
    wait_until("and why", lambda: "the token 'scorer' has: score" in guarded.log)


def test_the_file_is_followed_while_a_stream_runs(guarded, token_file, api, demo_pairs):
    with guarded.channel() as channel:
        messages = iter_queue()
        stream = api.Scoring(channel).StreamScorePairs(
            iter(messages), timeout=600, metadata=[("authorization", "Bearer token-of-scorer")])
        request = api.scoring.StreamScorePairsRequest
        messages.put(request(options=api.scoring.ScoringOptions()))
        messages.put(request(pair=api.text_pair(demo_pairs[0])))
        assert not next(stream).result.HasField("status")
        token_file.add("newcomer", "score")
        wait_until("the newcomer is let in", lambda: lets_in(guarded, "token-of-newcomer"))
        messages.put(request(pair=api.text_pair(demo_pairs[1])))
        assert not next(stream).result.HasField("status"), "the stream goes on"

        token_file.path.with_suffix(".new").write_text("[[token]")
        token_file.path.with_suffix(".new").rename(token_file.path)
        wait_until("the fault is seen", lambda: guarded.metric("prefscore_token_file_broken") == 1)
        assert f" warning tokens: the tokens in force stay: {token_file.path}:1:" in guarded.log
        assert lets_in(guarded, "token-of-newcomer")

        token_file.remove("scorer")
        wait_until("the scorer is refused", lambda: not lets_in(guarded, "token-of-scorer"))
        assert guarded.metric("prefscore_token_file_broken") == 0
        messages.put(request(pair=api.text_pair(demo_pairs[2])))
        with pytest.raises(grpc.RpcError) as ended:
            next(stream)
        assert ended.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert "the token 'scorer' was taken out" in ended.value.details()


def iter_queue():
    import queue

    class Messages(queue.Queue):
        def __iter__(self):
            while (message := self.get()) is not None:
                yield message

    return Messages()


def lets_in(server, token):
    with client_of(server, token) as client:
        try:
            return bool(client.models().models)
        except prefscore.PrefscoreError as error:
            assert error.code == "UNAUTHENTICATED"
            return False


def test_clients_obey_the_quota_and_are_served(start_server, demo_flags, token_file, demo_pairs):
    """A pair of some 150 tokens is paid back in some 7 s, however fast or slow this machine is."""
    token = token_file.add("slow", "score", tokens_per_second=20, burst_tokens=1)
    with start_server(*demo_flags, "--token-file", token_file.path) as server:
        server.scrape_token = token_file.add("prometheus", "metrics")
        wait_until("the server has read it", lambda: "took 2 tokens" in server.log)
        pairs = [prefscore.Pair(**{key: row[key] for key in ("prompt", "chosen", "rejected")}) for row in demo_pairs[:3]]
        once = prefscore.Client(server.address, token=token, retry=prefscore.RetryPolicy(max_attempts=1))
        with once, prefscore.Client(server.address, token=token) as client:
            once.models()
            client.models()
            for pair in pairs[:2]:
                assert client.score_pairs([pair])[0].error is None
            before = server.metric("prefscore_quota_refusals_total", token="slow", quota="tokens_per_second")
            assert before >= 1, "the second call came too early"
            assert all(result.error is None for result in client.stream_pairs(pairs[2:]))
            assert server.metric("prefscore_quota_refusals_total") == before, "streams wait"
            with pytest.raises(prefscore.ResourceExhausted) as over:
                once.score_pairs(pairs[:1])
        assert server.metric("prefscore_token_charged_tokens_total", token="slow") > 100
        assert over.value.reason == "OVER_QUOTA" and over.value.retry_delay_s > 0
        assert "the token 'slow' is over its quota tokens_per_second = 20" in over.value.message


@pytest.fixture
def run(build_dir):
    def run_prefscore(*arguments):
        return subprocess.run([build_dir / "prefscore", *map(str, arguments)], capture_output=True, text=True, timeout=120)

    return run_prefscore


def test_tokens_are_made_by_the_command_line(run, start_server, demo_flags, tmp_path):
    token, tokens = tmp_path / "a.token", tmp_path / "tokens.toml"
    made = run("token", "new", "--name", "a", "--role", "score", "--role", "metrics", "--output", token)
    assert (made.returncode, made.stderr) == (0, "")
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.read_text().strip() not in made.stdout
    tokens.write_text(made.stdout)
    shown = run("token", "new", "--name", "b", "--role", "admin")
    assert shown.returncode == 0
    [shown_token] = [line for line in shown.stderr.splitlines() if line.startswith("prefscore_")]
    with tokens.open("a") as file:
        file.write(shown.stdout)
    again = run("token", "new", "--name", "a", "--role", "score", "--output", token)
    assert again.returncode == 1 and "File exists" in again.stderr and again.stdout == ""
    assert "is not 1 to 64 letters" in run("token", "new", "--name", "a b", "--role", "score").stderr
    assert run("token", "new", "--name", "a", "--role", "root").returncode == 2

    with start_server(*demo_flags, "--token-file", tokens) as server:
        assert server.address, server.log
        with client_of(server, token.read_text().strip()) as client:
            assert client.models().models
        assert refusal(server, shown_token).code == "PERMISSION_DENIED"
        models = run("models", "--server", server.address, "--token-file", token)
        assert models.returncode == 0, models.stderr
        assert "UNAUTHENTICATED" in run("models", "--server", server.address).stderr


def test_operators_ask_the_admin_listener(run, guarded, token_file, tmp_path):
    (tmp_path / "operator").write_text("token-of-operator\n")
    (tmp_path / "scorer").write_text("token-of-scorer\n")

    def admin(*arguments, token="operator", server=None):
        return run("admin", *arguments, "--server", server or guarded.admin_address, "--token-file", tmp_path / token)

    status = admin("status")
    assert status.returncode == 0, status.stderr
    assert "model        policy: " in status.stdout and f"tokens       4 of {token_file.path}" in status.stdout
    assert "log level    info" in status.stdout
    assert admin("log-level", "debug").stdout == "log level debug, before info\n"
    assert "log level    debug" in admin("status").stdout
    assert admin("log-level", "loud").returncode == 2
    token_file.add("fifth", "score")
    assert f"tokens       5 of {token_file.path}" in admin("reload-tokens").stdout
    token_file.path.write_text("[[token]]")
    broken = admin("reload-tokens")
    assert broken.returncode == 1 and "token[0]: name: is missing" in broken.stderr
    assert "the file is wrong since then: " in admin("status").stdout
    assert "PERMISSION_DENIED" in admin("status", token="scorer").stderr
    assert "UNAUTHENTICATED" in run("admin", "status", "--server", guarded.admin_address).stderr
    assert "UNIMPLEMENTED" in admin("status", server=guarded.address).stderr, "it is not there"
    models = run("models", "--server", guarded.admin_address, "--token-file", tmp_path / "scorer")
    assert "UNIMPLEMENTED" in models.stderr, "and the admin listener nothing else"


def test_a_server_with_a_broken_token_file_does_not_start(start_server, demo_flags, token_file):
    token_file.path.write_text('[[token]]\nname = "a"\nsha256 = "prefscore_secret"\nroles = ["score"]\n')
    with start_server(*demo_flags, "--token-file", token_file.path) as server:
        assert server.process.wait(timeout=60) == 1
        assert f"{token_file.path}: token[0] 'a': sha256: is not a SHA-256 of 64 hexadecimal digits" in server.log
        assert "prefscore_secret" not in server.log


def test_an_admin_listener_without_tokens_is_for_this_machine(start_server, demo_flags, run):
    with start_server(*demo_flags, "--admin-listen", "0.0.0.0:0") as server:
        assert server.process.wait(timeout=60) == 1
        assert "--admin-listen: '0.0.0.0:0' can be reached from other machines" in server.log
    with start_server(*demo_flags, "--admin-listen", "127.0.0.1:0") as server:
        status = run("admin", "status", "--server", server.admin_address)
        assert status.returncode == 0 and "no token file" in status.stdout and "certificate  none" in status.stdout
        assert "the server has no token file" in run("admin", "reload-tokens", "--server", server.admin_address).stderr


def test_operators_see_when_the_certificate_ends(
        start_server, demo_flags, certificate_folder, authority, run, tmp_path):
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    with start_server(*demo_flags, *certificate_folder.flags, "--admin-listen", "127.0.0.1:0") as server:
        status = run("admin", "status", "--server", server.admin_address, "--tls-ca", tmp_path / "ca.crt")
        served = x509.load_pem_x509_certificate(certificate_folder.certificate.read_bytes()).not_valid_after_utc
        assert f"certificate  ends at {served:%Y-%m-%dT%H:%M:%S}+00:00" in status.stdout, status.stderr
