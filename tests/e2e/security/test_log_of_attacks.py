# SPDX-License-Identifier: Apache-2.0
"""The log while strangers make gRPC and OpenSSL complain: every line is ours."""
import contextlib
import json
import socket
import ssl

from certificate_folder import CertificateFolder
from certificates import Authority
from real_server import wait_until


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=60)


def test_each_line_is_json_whatever_grpc_says(
        start_server, demo_flags, tmp_path, authority, client_authority, ask, monkeypatch):
    monkeypatch.setenv("GRPC_VERBOSITY", "INFO")  # for whoever looks closer; by default it tells errors only
    folder = CertificateFolder(tmp_path, authority, clients=client_authority)
    flags = [*demo_flags, *folder.flags, "--token-file", tmp_path / "none", "--log-format", "json", "--log-level", "debug"]
    with start_server(*flags) as server:
        assert server.address is None, "the token file is missing"
        assert all(json.loads(line)["level"] in ("info", "error") for line in server.log.splitlines())
    flags = [*demo_flags, *folder.flags, "--log-format", "json", "--log-level", "debug"]
    with start_server(*flags) as server:
        assert server.address, server.log
        for _ in range(100):
            with connect(server.address) as stranger, contextlib.suppress(OSError):
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                while stranger.recv(1 << 16):
                    pass
        for trusted in (authority, Authority("another")):  # one shows no certificate, one turns away
            context = ssl.create_default_context(cadata=trusted.certificate.decode())
            context.set_alpn_protocols(["h2"])
            with connect(server.address) as plain, contextlib.suppress(OSError):
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                    secure.recv(1 << 16)
        complaints = lambda: [line for line in map(json.loads, server.log.splitlines())
                              if line["message"].startswith("gRPC: ")]
        wait_until("gRPC complains", lambda: any(line["level"] == "warning" for line in complaints()))
        assert all(line["source"] for line in complaints())
        assert len(complaints()) < 50, "what is repeated is held back"
        server.stop()
        lines = [json.loads(line) for line in server.log.splitlines()]
        assert "stopped; since the start" in lines[-1]["message"]
