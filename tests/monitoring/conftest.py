# SPDX-License-Identifier: Apache-2.0
"""A real server under load that a real Prometheus watches, shared by the tests of metrics and of dashboards.

The server has all that brings metrics along: a certificate, tokens with an end and a quota, a cache.
"""
import contextlib
import shutil
import ssl
import time
import urllib.request

import grpc
import pytest
from certificates import Authority
from load import Load
from prometheus_server import Prometheus
from real_server import wait_until
from token_file import TokenFile

NUM_SCRAPES = 10  # under load: enough for rates over a few seconds


class Monitored:
    """What the load did and Prometheus saw: `start` and `end` bound the load, seconds since the epoch."""

    def __init__(self, server, access, prometheus, load, start, end):
        self.server, self.access, self.prometheus, self.load = server, access, prometheus, load
        self.start, self.end = start, end

    def scrape(self) -> bytes:
        request = urllib.request.Request(self.server.metrics_url,
                                         headers={"Authorization": f"Bearer {self.access.scrape_token}"})
        context = ssl.create_default_context(cafile=self.access.authority)
        return urllib.request.urlopen(request, timeout=30, context=context).read()


class Access:
    """What a server is guarded with, as files: `authority` certifies it, `tokens` of callers are by name."""

    def __init__(self, folder):
        certifier = Authority()
        self.authority, certificate, key = (folder / name for name in ("ca.crt", "tls.crt", "tls.key"))
        self.authority.write_bytes(certifier.certificate)
        for path, content in zip((key, certificate), certifier.issue(days=90)):
            path.write_bytes(content)
        file = TokenFile(folder / "tokens.toml")
        self.tokens = {
            "trainer": file.add("trainer", "score", expires="2099-01-01"),
            # Let in once, and then never again while a test lasts.
            "over_quota": file.add("over_quota", "score", tokens_per_second=1, burst_tokens=1),
        }
        self.scrape_token = file.add("prometheus", "metrics")
        self.scrape_job = {"job_name": "prefscore", "scheme": "https", "tls_config": {"ca_file": self.authority.name},
                           "authorization": {"credentials": self.scrape_token}}
        self.flags = ["--tls-certificate", certificate, "--tls-key", key, "--token-file", file.path]

    def channel(self, server, token=None):
        credentials = grpc.ssl_channel_credentials(self.authority.read_bytes())
        if token is not None:
            credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
        return grpc.secure_channel(server.address, credentials)


@pytest.fixture(scope="session")
def monitored(start_server, demo_flags, demo_pairs, tmp_path_factory):
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("monitoring")
    access = Access(folder)
    with start_server(*demo_flags, *access.flags, "--cache-dir", folder / "cache") as server:
        assert server.address, server.log
        wait_until("the cost of a pass is known", lambda: "model 'reference' takes" in server.log)
        prometheus = Prometheus(folder, server.metrics_url.split("/")[2], jobs=[access.scrape_job])
        try:
            prometheus.wait_until_ready()
            yield under_load(server, access, prometheus, demo_pairs)
        finally:
            prometheus.stop()


def under_load(server, access, prometheus, rows):
    start = time.time()
    with contextlib.ExitStack() as opened:
        load = Load({name: opened.enter_context(access.channel(server, access.tokens.get(name)))
                     for name in (None, *access.tokens)}, rows)
        wait_until("Prometheus scrapes", lambda: prometheus.value("up") == 1)
        num_scrapes = lambda: prometheus.value(f'count_over_time(up{{job="prefscore"}}[{time.time() - start:.0f}s])')
        give_up_at = time.monotonic() + 240
        while num_scrapes() < NUM_SCRAPES:
            assert time.monotonic() < give_up_at, "Prometheus scrapes too rarely"
            load.round()
    # The server ends what missed its deadline after its client has left.
    num_answered = sum(count for (_, code), count in load.calls.items() if code != "DEADLINE_EXCEEDED")
    wait_until("Prometheus has seen all calls", lambda: num_answered == prometheus.value(
        'sum(prefscore_requests_total{code!="DEADLINE_EXCEEDED"})'))
    return Monitored(server, access, prometheus, load, start, time.time())
