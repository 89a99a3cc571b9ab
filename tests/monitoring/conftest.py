# SPDX-License-Identifier: Apache-2.0
"""A real server under load that a real Prometheus watches, shared by the tests of metrics and of dashboards."""
import shutil
import time

import pytest
from load import Load
from prometheus_server import Prometheus
from real_server import wait_until

NUM_SCRAPES = 10  # under load: enough for rates over a few seconds


class Monitored:
    """What the load did and Prometheus saw: `start` and `end` bound the load, seconds since the epoch."""

    def __init__(self, server, prometheus, load, start, end):
        self.server, self.prometheus, self.load, self.start, self.end = server, prometheus, load, start, end


@pytest.fixture(scope="session")
def monitored(start_server, demo_flags, demo_pairs, tmp_path_factory):
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("monitoring")
    with start_server(*demo_flags, "--cache-dir", folder / "cache") as server:
        assert server.address, server.log
        wait_until("the cost of a pass is known", lambda: "model 'reference' takes" in server.log)
        prometheus = Prometheus(folder, server.metrics_url.split("/")[2])
        try:
            prometheus.wait_until_ready()
            yield under_load(server, prometheus, demo_pairs)
        finally:
            prometheus.stop()


def under_load(server, prometheus, rows):
    start = time.time()
    with server.channel() as channel:
        load = Load(channel, rows)
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
    return Monitored(server, prometheus, load, start, time.time())
