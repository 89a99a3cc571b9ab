# SPDX-License-Identifier: Apache-2.0
"""The dashboards of deploy/grafana, and their queries as Grafana would send them."""
import json
import re

from metrics_document import REPO

GRAFANA = REPO / "deploy/grafana"
# What Grafana puts in place: everything is selected, rates over four scrapes.
VARIABLES = {"$namespace": ".*", "$instance": ".*", "$model": ".*", "$__rate_interval": "5s"}


def read_dashboards():
    """By file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}


def expression_of(target):
    expression = target["expr"]
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"unknown variable in {target['expr']}"
    return expression


def legend_of(target, labels):
    """The name of a series, as Grafana makes it."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), target["legendFormat"])


def ask(prometheus, target, start, end, step_s=1):
    """The series of a panel's target over a time: [(legend, [(time, value)])], without what is not a number."""
    result = prometheus.api("query_range", query=expression_of(target), start=start, end=end, step=step_s)["result"]
    points = lambda each: [(time, float(value)) for time, value in each["values"] if value != "NaN"]
    series = [(legend_of(target, each["metric"]), points(each)) for each in result]
    return [(legend, values) for legend, values in series if values]
