# SPDX-License-Identifier: Apache-2.0
"""Who is let in over TLS and mutual TLS, and that renewed certificates are taken without a restart."""
import contextlib
import socket
import ssl
import threading
import urllib.error
import urllib.request

import grpc
import pytest
from certificate_folder import CertificateFolder
from certificates import Authority
from grpc_health.v1 import health_pb2, health_pb2_grpc
from real_server import wait_until
from secure_channel import open_channel

MODELS = ["policy", "reference"]
HTTP2 = ["h2"]


def trusting(authority, key_and_certificate=(None, None)):
    return grpc.ssl_channel_credentials(authority.certificate, *key_and_certificate)


def refused(ask, address, credentials):
    with pytest.raises(grpc.RpcError) as caught:
        ask(address, credentials)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    return caught.value.details()


def context_of(authority):
    return ssl.create_default_context(cadata=authority.certificate.decode())


def handshake(address, context):
    """What is agreed on: the protocol's version, and the server's certificate (DER)."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as plain:
        with context.wrap_socket(plain, server_hostname=host) as secure:
            return secure.version(), secure.getpeercert(binary_form=True)


def test_a_client_that_trusts_the_authority_is_served(tls_server, authority, ask):
    assert ask(tls_server.address, trusting(authority)) == MODELS


def test_a_client_that_trusts_another_authority_does_not_talk(tls_server, ask):
    assert "CERTIFICATE_VERIFY_FAILED" in refused(ask, tls_server.address, trusting(Authority("another")))


def test_plain_text_to_a_tls_port_is_refused(tls_server, ask, authority):
    refused(ask, tls_server.address, None)
    host, port = tls_server.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            answer = plain.recv(1024)
        except ConnectionResetError:
            answer = b""
    assert b"HTTP/" not in answer
    assert ask(tls_server.address, trusting(authority)) == MODELS


@pytest.mark.parametrize("listener", ["grpc", "metrics"])
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_of_tls_are_refused(tls_server, authority, listener, version):
    address = tls_server.address if listener == "grpc" else tls_server.metrics_url.split("/")[2]
    old = context_of(authority)
    old.set_ciphers("ALL:@SECLEVEL=0")  # else this side would not offer them
    old.minimum_version = old.maximum_version = ssl.TLSVersion[version]
    with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
        handshake(address, old)
    assert "NO_PROTOCOLS_AVAILABLE" not in str(caught.value), "it must be the server that refuses"
    new = context_of(authority)
    new.set_alpn_protocols(HTTP2 if listener == "grpc" else [])
    assert handshake(address, new)[0] == "TLSv1.3"
    new.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(address, new)[0] == "TLSv1.2"


def test_mutual_tls_lets_in_who_has_a_certificate_of_the_authority(mutual_tls_server, authority, client_authority, ask):
    address = mutual_tls_server.address
    assert ask(address, trusting(authority, client_authority.issue(host="trainer"))) == MODELS
    for who in ((None, None), client_authority.issue(host="trainer", days=-0.5), Authority().issue(host="trainer"),
                authority.issue(host="trainer")):  # the server's own authority certifies no clients
        refused(ask, address, trusting(authority, who))
    assert ask(address, trusting(authority, client_authority.issue(host="trainer"))) == MODELS


def test_metrics_are_behind_the_same_certificates(tls_server, mutual_tls_server, authority, client_authority, tmp_path):
    assert tls_server.metrics_url.startswith("https://")
    text = urllib.request.urlopen(tls_server.metrics_url, timeout=60, context=context_of(authority)).read().decode()
    assert "prefscore_build_info" in text
    for url, context in ((tls_server.metrics_url, context_of(Authority())),
                         (tls_server.metrics_url.replace("https", "http"), None),
                         (mutual_tls_server.metrics_url, context_of(authority))):
        with pytest.raises((OSError, urllib.error.URLError)):  # some of them while the answer is read
            urllib.request.urlopen(url, timeout=60, context=context).read()
    pem = tmp_path / "client.pem"
    pem.write_bytes(b"".join(client_authority.issue(host="prometheus")))
    context = context_of(authority)
    context.load_cert_chain(pem)
    text = urllib.request.urlopen(mutual_tls_server.metrics_url, timeout=60, context=context).read().decode()
    assert "prefscore_build_info" in text


def test_the_admin_listener_is_behind_the_same_certificates(
        start_server, demo_flags, tmp_path, authority, client_authority):
    folder = CertificateFolder(tmp_path, authority, clients=client_authority)
    with start_server(*demo_flags, *folder.flags, "--admin-listen", "127.0.0.1:0") as server:
        def check(credentials):
            with contextlib.closing(open_channel(server.admin_address, credentials)) as channel:
                return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60).status

        client = client_authority.issue(host="operator")
        assert check(trusting(authority, client)) == health_pb2.HealthCheckResponse.SERVING
        for credentials in (None, trusting(authority), trusting(Authority("another"), client)):
            with pytest.raises(grpc.RpcError) as caught:
                check(credentials)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_renewed_authority_of_clients_holds_for_new_connections(
        start_server, demo_flags, tmp_path, authority, client_authority, ask):
    folder = CertificateFolder(tmp_path, authority, clients=client_authority)
    old = trusting(authority, client_authority.issue(host="trainer"))
    renewed = Authority("authority of clients, renewed")
    new = trusting(authority, renewed.issue(host="trainer"))

    def is_let_in(address, credentials):
        try:
            return ask(address, credentials) == MODELS
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            return False

    with start_server(*demo_flags, *folder.flags) as server:
        assert is_let_in(server.address, old) and not is_let_in(server.address, new)
        folder.replace_client_ca(renewed)
        wait_until("clients of the new authority are let in", lambda: is_let_in(server.address, new))
        assert not is_let_in(server.address, old)


def expiry_metric(server, authority):
    text = urllib.request.urlopen(server.metrics_url, timeout=60, context=context_of(authority)).read().decode()
    name = "prefscore_tls_certificate_expiry_timestamp_seconds "
    return next(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


def test_a_renewed_certificate_holds_for_new_connections_and_leaves_open_ones_alone(
        start_server, demo_flags, certificate_folder, authority, api, demo_pairs):
    with start_server(*demo_flags, *certificate_folder.flags) as server:
        context = context_of(authority)
        context.set_alpn_protocols(HTTP2)
        served = lambda: handshake(server.address, context)[1]
        scraped_from = lambda: handshake(server.metrics_url.split("/")[2], context_of(authority))[1]
        before, expiry_before = served(), expiry_metric(server, authority)
        assert scraped_from() == before

        renewed = threading.Event()

        def requests():
            message = api.scoring.StreamScorePairsRequest
            yield message(options=api.scoring.ScoringOptions())
            yield message(pair=api.text_pair(demo_pairs[0]))
            renewed.wait(60)
            yield message(pair=api.text_pair(demo_pairs[1]))

        with contextlib.closing(open_channel(server.address, trusting(authority))) as channel:
            stream = api.Scoring(channel).StreamScorePairs(requests(), timeout=120)
            assert next(stream).result.id == demo_pairs[0]["id"]
            certificate_folder.replace(*authority.issue(days=30))
            wait_until("the new certificate is served", lambda: served() != before)
            renewed.set()
            assert next(stream).result.id == demo_pairs[1]["id"], "the stream that was open goes on"
        assert scraped_from() == served()
        assert expiry_metric(server, authority) > expiry_before + 20 * 86400


def test_a_broken_renewal_changes_nothing_and_is_told(start_server, demo_flags, certificate_folder, authority, ask):
    with start_server(*demo_flags, *certificate_folder.flags) as server:
        context = context_of(authority)
        context.set_alpn_protocols(HTTP2)
        before = handshake(server.address, context)[1]
        certificate_folder.key.write_bytes(authority.issue()[0])

        def is_told():
            assert handshake(server.address, context)[1] == before
            return "is not the key of the certificate" in server.log

        wait_until("the log tells of the wrong key", is_told)
        assert " warning the certificate files have changed and cannot be used" in server.log and str(certificate_folder.key) in server.log
        certificate_folder.replace(*authority.issue(days=-0.5))
        wait_until("the log tells of the end", lambda: ask(server.address, trusting(authority)) and
                   "expired at" in server.log)
        certificate_folder.replace(*authority.issue())
        wait_until("the good one is served", lambda: handshake(server.address, context)[1] != before)


def test_files_that_cannot_be_served_end_the_start_by_name(start_server, demo_flags, certificate_folder, authority):
    def fault():
        with start_server(*demo_flags, *certificate_folder.flags) as server:
            assert server.address is None
            assert server.process.wait(timeout=60) == 1
            return server.log

    certificate_folder.replace(*authority.issue(days=-0.5))
    assert f"--tls-certificate '{certificate_folder.certificate}': expired at" in fault()
    certificate_folder.replace(key=authority.issue()[0], certificate=authority.issue()[1])
    assert f"--tls-key '{certificate_folder.key}': is not the key of the certificate" in fault()
    certificate_folder.key.unlink()
    assert f"--tls-key '{certificate_folder.key}': cannot be read: No such file or directory" in fault()


def test_plain_text_is_not_served_beyond_loopback_unless_asked_for(start_server, demo_flags):
    for flag in ("--listen", "--metrics-listen"):
        with start_server(*demo_flags, flag, "0.0.0.0:0") as server:
            assert server.address is None
            assert server.process.wait(timeout=60) == 1
            assert f"{flag}: '0.0.0.0:0' can be reached from other machines" in server.log
            assert "--tls-certificate" in server.log and "--allow-plaintext" in server.log
    with start_server(*demo_flags, "--listen", "0.0.0.0:0", "--allow-plaintext") as server:
        assert server.address is not None
