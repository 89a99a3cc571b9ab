# SPDX-License-Identifier: Apache-2.0
"""TLS, mutual TLS and tokens: what is let through, what is refused, and that the reason is told."""
import asyncio
import socket

import grpc
import pytest
from certificates import Authority
from fake_server import FakeServer

import prefscore
from prefscore import Tls

PAIR = prefscore.Pair("abc", "a", "p")
FEW = prefscore.RetryPolicy(max_attempts=2, initial_backoff_s=0.01)


@pytest.fixture(scope="module")
def authority():
    return Authority()


def credentials(key_and_certificate, clients=None):
    return grpc.ssl_server_credentials([key_and_certificate], clients and clients.certificate, clients is not None)


def ask(server, tls, **arguments):
    with prefscore.Client(server.address, tls=tls, retry=FEW, **arguments) as client:
        margin = client.score_pairs([PAIR])[0].policy_margin
        assert [result.policy_margin for result in client.stream_pairs([PAIR])] == [margin]
        return margin


def test_tls_from_bytes_and_from_files(authority, tmp_path):
    root = tmp_path / "root.pem"
    root.write_bytes(authority.certificate)
    with FakeServer(credentials=credentials(authority.issue())) as server:
        assert ask(server, Tls(authority.certificate)) == -2
        assert ask(server, Tls(root)) == -2
        assert ask(server, Tls(str(root))) == -2

        async def main():
            async with prefscore.AsyncClient(server.address, tls=Tls(root)) as client:
                return [result async for result in client.stream_pairs([PAIR])] + list(await client.score_pairs([PAIR]))

        assert [result.policy_margin for result in asyncio.run(main())] == [-2, -2]


def test_mutual_tls(authority):
    other = Authority("other authority")
    with FakeServer(credentials=credentials(authority.issue(), clients=authority)) as server:
        key, certificate = authority.issue(host="a client")
        assert ask(server, Tls(authority.certificate, key, certificate)) == -2
        for tls in (Tls(authority.certificate), Tls(authority.certificate, *other.issue())):
            with pytest.raises(prefscore.Unavailable, match=server.address):
                ask(server, tls)


def test_a_servers_name_other_than_its_address(authority):
    with FakeServer(credentials=credentials(authority.issue(host="scores.example"))) as server:
        assert ask(server, Tls(authority.certificate, server_name="scores.example")) == -2
        with pytest.raises(prefscore.NotTrusted):
            ask(server, Tls(authority.certificate))


@pytest.mark.parametrize("what", ["another authority", "its name", "expired", "another host"])
def test_a_certificate_that_is_not_trusted_fails_at_once(authority, what, caplog):
    issued = authority.issue(days=-0.5 if what == "expired" else 1,
                             host="scores.example" if what == "another host" else "127.0.0.1")
    trusted = {"another authority": Authority("another authority"), "its name": Authority()}.get(what, authority)
    tls = Tls(trusted.certificate)
    with FakeServer(credentials=credentials(issued)) as server:
        with prefscore.Client(server.address, tls=tls) as client:
            for call in (lambda: client.score_pairs([PAIR]), lambda: list(client.stream_pairs([PAIR]))):
                with pytest.raises(prefscore.NotTrusted, match="the server's certificate is not trusted here: "):
                    call()
    assert not server.calls
    assert "again in" not in caplog.text


@pytest.mark.parametrize("what", ["plain text", "tls to plain text"])
def test_plain_text_and_tls_do_not_meet(authority, what):
    with FakeServer(credentials=None if what == "tls to plain text" else credentials(authority.issue())) as server:
        with pytest.raises(prefscore.Unavailable):
            ask(server, None if what == "plain text" else Tls(authority.certificate))
    assert not server.calls


def test_tokens(authority):
    with FakeServer(credentials=credentials(authority.issue()), token="secret") as server:
        assert ask(server, Tls(authority.certificate), token="secret") == -2
        for token in (None, "wrong"):
            with pytest.raises(prefscore.PrefscoreError, match="no valid token") as caught:
                ask(server, Tls(authority.certificate), token=token)
            assert caught.value.code == "UNAUTHENTICATED"
            assert "secret" not in str(caught.value)
    for method in ("ListModels", "ScorePairs", "StreamScorePairs"):
        assert server.metadata[method][0]["authorization"] == "Bearer secret"


def test_a_token_over_plain_text_only_to_loopback():
    with FakeServer(token="secret") as server:
        assert ask(server, None, token="secret") == -2
        with prefscore.Client(f"localhost:{server.port}", token="secret") as client:
            assert client.score_pairs([PAIR])[0].policy_margin == -2
    for address in ("192.0.2.1:50051", "scores.example:50051", "[2001:db8::1]:50051"):
        with pytest.raises(prefscore.InvalidArgument, match="a token is not sent in plain text to"):
            prefscore.Client(["127.0.0.1:1", address], token="secret")


@pytest.mark.parametrize("token", ["", "a\nb", "a b", "naïve", 3])
def test_tokens_that_are_none(token):
    with pytest.raises(prefscore.InvalidArgument, match="token"):
        prefscore.Client("127.0.0.1:1", token=token)


def test_secrets_are_not_printed():
    assert "secret" not in repr(Tls(b"root", b"secret", b"certificate"))
    with prefscore.Client("127.0.0.1:1", token="secret") as client:
        assert "secret" not in repr(client) + repr(client._settings)
        assert repr(client) == "<Client of 127.0.0.1:1>"


@pytest.mark.parametrize(("tls", "message"), [
    (Tls("/no/such/file.pem"), "Tls.root_certificates: cannot read '/no/such/file.pem': No such file"),
    (Tls(client_key=b"key"), "client_key and client_certificate are given together or not at all"),
    (Tls(3), "Tls.root_certificates: must be bytes or a path, not int"),
    ("root.pem", "tls: must be Tls, not str"),
])  # fmt: skip
def test_wrong_tls_arguments(tls, message):
    with pytest.raises(prefscore.InvalidArgument, match=message):
        prefscore.Client("127.0.0.1:1", tls=tls)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_no_proxy_sees_what_is_sent_in_plain_text_to_this_machine(monkeypatch, asynchronous):
    """gRPC obeys these variables for all addresses, and a proxy is on the way where anybody can read."""
    with FakeServer(token="secret") as server, socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        for name in ("grpc_proxy", "https_proxy", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_grpc_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)

        async def ask_asynchronously():
            async with prefscore.AsyncClient(server.address, token="secret", retry=FEW) as client:
                return (await client.score_pairs([PAIR]))[0].policy_margin

        try:
            if asynchronous:
                assert asyncio.run(ask_asynchronously()) == -2
            else:
                with prefscore.Client(server.address, token="secret", retry=FEW) as client:
                    assert client.score_pairs([PAIR])[0].policy_margin == -2
        finally:
            with pytest.raises(BlockingIOError):
                proxy.accept()
