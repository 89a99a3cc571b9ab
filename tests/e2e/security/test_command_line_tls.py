# SPDX-License-Identifier: Apache-2.0
"""The command line as a client of protected servers."""
import concurrent.futures
import subprocess

import grpc
import pytest
from certificate_folder import CertificateFolder
from certificates import Authority


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def health(build_dir):
    """health(address, *flags): the finished `prefscore health`."""

    def health(address, *flags):
        return subprocess.run([build_dir / "prefscore", "health", "--server", address, *map(str, flags)],
                              capture_output=True, text=True, timeout=120)

    return health


def test_tls(tls_server, authority, write, health):
    served = health(tls_server.address, "--tls-ca", write("ca.crt", authority.certificate))
    assert (served.returncode, served.stdout) == (0, "SERVING\n"), served.stderr
    other = write("other.crt", Authority("another").certificate)
    for flags, help in (((), "it may want TLS (--tls, --tls-ca)"), (("--tls",), "certificate is not trusted here"),
                        (("--tls-ca", other), "certificate is not trusted here; its authority's goes into")):
        refused = health(tls_server.address, *flags)
        assert refused.returncode == 1 and "UNAVAILABLE" in refused.stderr and help in refused.stderr, flags


def test_a_certificate_for_another_name(start_server, demo_flags, tmp_path, authority, write, health):
    folder = CertificateFolder(tmp_path, authority)
    folder.replace(*authority.issue(host="scores.example"))
    ca = ("--tls-ca", write("ca.crt", authority.certificate))
    with start_server(*demo_flags, *folder.flags) as server:
        refused = health(server.address, *ca)
        assert refused.returncode == 1 and "is for another name" in refused.stderr
        assert "--tls-server-name" in refused.stderr
        assert health(server.address, *ca, "--tls-server-name", "other.example").returncode == 1
        served = health(server.address, *ca, "--tls-server-name", "scores.example")
        assert (served.returncode, served.stdout) == (0, "SERVING\n"), served.stderr


def test_tls_to_a_plain_server(demo_server, authority, write, health):
    refused = health(demo_server.address, "--tls-ca", write("ca.crt", authority.certificate))
    assert refused.returncode == 1 and "the server does not speak TLS; without TlsOptions (--tls...)" in refused.stderr


def test_what_lasts_is_not_tried_again(tls_server, demo_server, authority, write, build_dir, tmp_path):
    """`score` is patient with servers that are away."""
    other = write("other.crt", Authority("another").certificate)
    rows = write("rows.jsonl", b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    for address, ca in ((tls_server.address, other), (demo_server.address, write("ca.crt", authority.certificate))):
        done = subprocess.run([build_dir / "prefscore", "score", "--server", address, "--tls-ca", ca, "--input", rows,
                               "--output", tmp_path / "out.jsonl"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 1 and "(--tls" in done.stderr
        assert "next attempt" not in done.stderr, "it failed at once"


def test_top_asks_over_tls_where_it_is_given_an_authority(tls_server, authority, write, build_dir):
    address = tls_server.metrics_url.split("/")[2]

    def top(*flags):
        return subprocess.run([build_dir / "prefscore", "top", "--once", "--interval", "0.1", "--metrics", address,
                               *map(str, flags)], capture_output=True, text=True, timeout=120)

    seen = top("--tls-ca", write("ca.crt", authority.certificate))
    assert seen.returncode == 0 and f"https://{address}/metrics" in seen.stdout, seen.stderr
    assert top("--tls-ca", write("other.crt", Authority("another").certificate)).returncode == 1
    assert top("--tls-ca", "/no/such/file").returncode == 2
    assert top().returncode == 1, "plain text"


def test_mutual_tls(mutual_tls_server, authority, client_authority, write, health):
    ca = ("--tls-ca", write("ca.crt", authority.certificate))
    key, certificate = client_authority.issue(host="trainer")
    certificate, key = write("client.crt", certificate), write("client.key", key)
    served = health(mutual_tls_server.address, *ca, "--tls-certificate", certificate, "--tls-key", key)
    assert (served.returncode, served.stdout) == (0, "SERVING\n"), served.stderr
    without = health(mutual_tls_server.address, *ca)
    assert without.returncode == 1 and "certificate of this client" in without.stderr
    alone = health(mutual_tls_server.address, *ca, "--tls-certificate", certificate)
    assert alone.returncode == 2 and "--tls-key" in alone.stderr


def test_files_at_fault_are_named(write, health):
    missing = health("127.0.0.1:1", "--tls-ca", "/no/such/file")
    assert missing.returncode == 2 and "/no/such/file" in missing.stderr
    empty = write("empty", b"")
    for flag in ("--tls-ca", "--token-file"):
        refused = health("127.0.0.1:1", flag, empty)
        assert refused.returncode == 1
        assert f"{flag} '{empty}': cannot be read, or is empty" in refused.stderr


class Listener(grpc.GenericRpcHandler):
    """A server that knows no method, and what each call brought."""

    def __init__(self):
        self.headers = []

    def service(self, details):
        self.headers.append(dict(details.invocation_metadata))


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain text to loopback", "TLS"])
def test_a_token_is_sent(has_tls, authority, write, health):
    listener = Listener()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), handlers=[listener])
    if has_tls:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([authority.issue()]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        flags = ("--tls-ca", write("ca.crt", authority.certificate)) if has_tls else ()
        done = health(f"127.0.0.1:{port}", "--token-file", write("token", b"prefscore_secret\n"), *flags)
        assert "UNIMPLEMENTED" in done.stderr
        assert [headers["authorization"] for headers in listener.headers] == ["Bearer prefscore_secret"]
        assert "secret" not in done.stderr
    finally:
        server.stop(None)


def test_a_token_is_not_sent_in_plain_text_to_another_machine(write, health):
    token = write("token", b"prefscore_secret")
    refused = health("192.0.2.1:50051", "--token-file", token)
    assert refused.returncode == 1
    assert "a token is not sent in plain text to 192.0.2.1:50051" in refused.stderr
    two_words = health("127.0.0.1:1", "--token-file", write("words", b"two words"))
    assert two_words.returncode == 1 and "visible ASCII" in two_words.stderr
