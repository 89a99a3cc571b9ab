# SPDX-License-Identifier: Apache-2.0
"""The cases for promtool in rules/, also as they would be on Kubernetes with a newer Prometheus."""
import pathlib
import re

import yaml

FOLDER = pathlib.Path(__file__).parent / "rules"
FILES = sorted(FOLDER.glob("*.yml"))
# What the Prometheus operator puts on every target of a ServiceMonitor, beside job and instance.
TARGET_LABELS = {"namespace": "scoring", "service": "prefscore-headless", "pod": "prefscore-0", "container": "server",
                 "endpoint": "metrics"}
DEPLOYMENT_LABELS = {name: TARGET_LABELS[name] for name in ("namespace", "service")}


def read(path):
    content = yaml.safe_load(path.read_text())
    content["rule_files"] = [str((FOLDER / rules).resolve()) for rules in content["rule_files"]]
    return content


def labels_that_survive(rule):
    if "absent(" in rule["expr"]:
        return {}
    is_aggregated = "by (namespace, service, job" in rule["expr"] or re.search(r"\bjob(_model)?:", rule["expr"])
    return DEPLOYMENT_LABELS if is_aggregated else TARGET_LABELS


def on_kubernetes(content, alerts):
    """The cases with the labels of targets there. A metric's own label of such a name is renamed, as Prometheus does.

    And with the bounds of buckets as Prometheus stores them from version 3 on: 5 is 5.0.
    """
    added = ",".join(f'{name}="{value}"' for name, value in TARGET_LABELS.items())
    for case in content["tests"]:
        for series in case["input_series"]:
            series["series"] = re.sub(r'\ble="(-?\d+)"', r'le="\1.0"', series["series"])
        if any("namespace=" in series["series"] for series in case["input_series"]):
            continue  # it has what it wants
        for series in case["input_series"]:
            own = re.sub(rf"\b({'|'.join(TARGET_LABELS)})=", r"exported_\1=", series["series"])
            series["series"] = own.replace("{", "{" + added + ",", 1)
        for test in case["alert_rule_test"]:
            for expected in test["exp_alerts"]:
                expected["exp_labels"] |= labels_that_survive(alerts[test["alertname"]])
    return content


def as_written(content, alerts):
    return content
