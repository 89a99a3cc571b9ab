# SPDX-License-Identifier: Apache-2.0
"""deploy/METRICS.md against what a real Prometheus finds on a real server; its numbers against the load's own count."""
import subprocess

import pytest
from metrics_document import family_of, read_label_values, read_metrics
from rule_cases import TARGET_LABELS

# Documented, but not on this server.
NOT_HERE = {
    "prefscore_gpu_memory_used_bytes": "the server computes on the CPU",
    "prefscore_gpu_memory_total_bytes": "the server computes on the CPU",
}


@pytest.fixture(scope="module")
def documented():
    metrics = read_metrics()
    assert len(metrics) > 40  # the document's tables are understood
    return metrics


@pytest.fixture(scope="module")
def series(monitored):
    """By metric: the labels of its series as Prometheus has them, without what Prometheus adds."""
    found = {}
    own = '{__name__=~"(prefscore|process)_.+",job="prefscore"}'
    for labels in monitored.prometheus.api("series", **{"match[]": own}):
        name = family_of(labels.pop("__name__"))
        found.setdefault(name, []).append({key: labels[key] for key in labels.keys() - {"job", "instance"}})
    return found


def test_every_metric_is_documented_and_every_documented_one_exists(monitored, series, documented):
    assert set(series) == set(documented) - set(NOT_HERE)
    # Whatever else there is, Prometheus adds.
    samples = monitored.prometheus.api("query", query='{job="prefscore"}')["result"]
    names = {sample["metric"]["__name__"] for sample in samples}
    known = ("prefscore_", "process_", "scrape_", "job:", "job_model:")
    assert {name for name in names if not name.startswith(known)} <= {"up", "ALERTS", "ALERTS_FOR_STATE"}


def test_types_agree(monitored, documented):
    metadata = monitored.prometheus.api("metadata")
    found = {name: metadata[name][0] for name in documented if name not in NOT_HERE}
    assert {name: each["type"] for name, each in found.items()} == {
        name: metric.type for name, metric in documented.items() if name not in NOT_HERE}
    assert not [name for name, each in found.items() if not each["help"]]


def test_labels_and_their_values_agree(series, documented):
    listed = read_label_values()
    for name, metric in documented.items():
        if name in NOT_HERE:
            continue
        expected = metric.labels | ({"le"} if metric.type == "histogram" else set())
        assert set().union(*series[name]) == expected, name
        for label in metric.labels:
            values = metric.values.get(label) or listed.get(label)
            if values:
                assert {labels[label] for labels in series[name]} == values, f"{label} of {name}"


def test_no_label_is_one_that_prometheus_gives_a_target(documented):
    """It would rename the metric's own, and every query for it would find nothing."""
    taken = {"job", "instance", *TARGET_LABELS}
    assert not {name: metric.labels & taken for name, metric in documented.items() if metric.labels & taken}


def test_promtool_finds_nothing_to_say(monitored):
    finished = subprocess.run(["promtool", "check", "metrics"], input=monitored.scrape(), capture_output=True, timeout=60)
    complaints = [line for line in (finished.stdout + finished.stderr).decode().splitlines()
                  if line.startswith(("prefscore_", "process_")) or "error" in line]
    assert not complaints


def test_prometheus_counts_what_was_done(monitored):
    load, value = monitored.load, monitored.prometheus.value
    for (method, code), count in load.calls.items():
        counted = value(f'prefscore_requests_total{{method="{method}",code="{code}"}}')
        assert 0 < counted <= count if code == "DEADLINE_EXCEEDED" else counted == count, (method, code)
    assert value("prefscore_pairs_scored_total") == load.num_pairs
    assert value('prefscore_pairs_failed_total{code="INVALID_ARGUMENT"}') == load.num_failed_pairs
    assert value('prefscore_prompts_failed_total{code="INVALID_ARGUMENT"}') == load.num_failed_pairs
    assert value("sum(prefscore_learning_cell_pairs_total)") == load.num_pairs
    assert value('prefscore_chosen_logratio_nats_count{model="policy"}') == load.num_pairs
    assert value('prefscore_access_refusals_total{reason="no_token"}') == load.calls["ListModels", "UNAUTHENTICATED"]
    assert value('prefscore_quota_refusals_total{token="over_quota",quota="tokens_per_second"}') == load.calls[
        "ScorePairs", "RESOURCE_EXHAUSTED"]
    assert value('prefscore_token_charged_tokens_total{token="over_quota"}') > 0
    assert value('prefscore_cache_lookups_total{result="hit"}') > 0
    assert value('prefscore_cache_state{state="serving"}') == 1
    assert value('sum(prefscore_serving)') == 3
    process = monitored.server.process
    assert value("process_open_fds") < value("process_max_fds")
    assert monitored.start - 600 < value("process_start_time_seconds") < monitored.start + 1
    with open(f"/proc/{process.pid}/statm") as statm:
        resident_bytes = int(statm.read().split()[1]) * 4096
    assert 0.5 < value("process_resident_memory_bytes") / resident_bytes < 2


def test_no_alert_of_a_healthy_server_is_critical(monitored):
    alerts = monitored.prometheus.api("alerts")["alerts"]
    assert not [alert for alert in alerts if alert["labels"]["severity"] == "critical"]
