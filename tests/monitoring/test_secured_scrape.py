# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes a server with mutual TLS and tokens, by the configuration that deploy/SECURITY.md shows."""
import copy
import pathlib
import re
import shutil

import pytest
import yaml
from certificates import Authority
from prometheus_server import Prometheus
from real_server import wait_until
from token_file import TokenFile

SECURITY = pathlib.Path(__file__).resolve().parents[2] / "deploy/SECURITY.md"

# By job: what of the documented configuration is changed, to what, and the lastError that keeps Prometheus out.
REFUSED = {
    "wrong token": ({"authorization": {"credentials_file": "wrong.token"}}, "server returned HTTP status 401"),
    "wrong role": ({"authorization": {"credentials_file": "scorer.token"}}, "server returned HTTP status 403"),
    "no token": ({"authorization": None}, "server returned HTTP status 401"),
    "foreign authority": ({"tls_config": {"ca_file": "foreign.crt"}}, "certificate signed by unknown authority"),
    "another server": ({"tls_config": {"server_name": "scores.example"}}, "but wanted to match scores.example"),
    "no certificate": ({"tls_config": {"cert_file": None, "key_file": None}}, "tls: certificate required"),
    "plain text": ({"scheme": "http", "tls_config": None}, "EOF|connection reset by peer"),
}


def documented_job():
    (snippet,) = re.findall(r"^```yaml\n(scrape_configs:\n.*?)^```", SECURITY.read_text(), re.MULTILINE | re.DOTALL)
    (job,) = yaml.safe_load(snippet)["scrape_configs"]
    return job


def changed(job, name, change):
    """`change` says what replaces what; None: is left out."""
    result = copy.deepcopy(job) | {"job_name": name}
    for key, value in change.items():
        merged = result.get(key, {}) | value if isinstance(value, dict) else value
        result[key] = {k: v for k, v in merged.items() if v is not None} if isinstance(merged, dict) else merged
    return {key: value for key, value in result.items() if value is not None}


@pytest.fixture(scope="module")
def targets(start_server, demo_flags, tmp_path_factory):
    """What Prometheus says of its targets, by job, once it has asked all of them; and Prometheus itself."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("secured-scrape")
    authority = Authority()
    (folder / "ca.crt").write_bytes(authority.certificate)
    (folder / "foreign.crt").write_bytes(Authority("foreign").certificate)
    for name, host in (("tls", "127.0.0.1"), ("prometheus", "prometheus")):
        for suffix, content in zip(("key", "crt"), authority.issue(host=host)):
            (folder / f"{name}.{suffix}").write_bytes(content)
    tokens = TokenFile(folder / "tokens.toml")
    (folder / "prometheus.token").write_text(tokens.add("prometheus", "metrics") + "\n")
    (folder / "scorer.token").write_text(tokens.add("scorer", "score", "admin") + "\n")
    (folder / "wrong.token").write_text("token-of-nobody\n")
    with start_server(*demo_flags, "--tls-certificate", folder / "tls.crt", "--tls-key", folder / "tls.key",
                      "--tls-client-ca", folder / "ca.crt", "--token-file", tokens.path) as server:
        assert server.address, server.log
        job = documented_job()
        jobs = [job] + [changed(job, name, change) for name, (change, _) in REFUSED.items()]
        prometheus = Prometheus(folder, server.metrics_url.split("/")[2], jobs)
        try:
            prometheus.wait_until_ready()
            by_job = lambda: {target["scrapePool"]: target for target in prometheus.api("targets")["activeTargets"]}
            wait_until("all targets were asked", lambda: len(by_job()) == len(jobs) and
                       all(target["health"] != "unknown" for target in by_job().values()))
            yield by_job(), prometheus
        finally:
            prometheus.stop()


def test_the_documented_configuration_is_let_in(targets):
    by_job, prometheus = targets
    assert (by_job["prefscore"]["health"], by_job["prefscore"]["lastError"]) == ("up", "")
    assert by_job["prefscore"]["scrapeUrl"].startswith("https://")
    # It calls a target up before it has stored what it scraped.
    serving = 'prefscore_serving{job="prefscore",grpc_service="prefscore.v1.ScoringService"}'
    wait_until("the metrics are stored", lambda: prometheus.value(serving) == 1)
    assert prometheus.value("count(count by (job) (prefscore_build_info))") == 1


@pytest.mark.parametrize("job", REFUSED)
def test_whoever_lacks_a_part_of_it_is_down_and_told_why(targets, job):
    by_job, prometheus = targets
    assert by_job[job]["health"] == "down"
    assert re.search(REFUSED[job][1], by_job[job]["lastError"]), by_job[job]["lastError"]
    assert prometheus.value(f'up{{job="{job}"}}') == 0
