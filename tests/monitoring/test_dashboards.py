# SPDX-License-Identifier: Apache-2.0
"""The dashboards: each panel explains itself, and each of its queries returns data from a real Prometheus."""
import itertools
import os
import pathlib
import re

import pytest
import yaml
from dashboards import GRAFANA, ask, read_dashboards
from metrics_document import REPO, family_of, read_metrics
from page import write_page

DASHBOARDS = read_dashboards()
PANELS = [pytest.param(panel, id=f"{name}: {panel['title']}")
          for name, board in DASHBOARDS.items() for panel in board["panels"]]
# Panels that show nothing here.
EMPTY = {"Memory of the GPU": "the server of the tests computes on the CPU"}
# Metrics that are on no panel and in no rule.
NOT_SHOWN = {
    "prefscore_queued_pairs": "the tokens that wait measure the work, however long the pairs",
    "process_threads": "they come and go with calls; what leaks them shows in memory",
    "process_virtual_memory_bytes": "says nothing about memory in use, which is shown",
}


# Whatever Grafana they are put into: the Prometheus that is chosen there.
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_there_are_four_and_they_are_told_apart():
    assert sorted(board["uid"] for board in DASHBOARDS.values()) == [
        "prefscore-access", "prefscore-cache", "prefscore-models", "prefscore-service"]
    assert all(board["title"] and board["description"] for board in DASHBOARDS.values())


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_their_own_place(name):
    panels = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        assert (one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
                or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_variables_select_the_source_servers_and_models(name):
    source, *variables = DASHBOARDS[name]["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", SOURCE["type"])
    text = "".join(target["expr"] for panel in DASHBOARDS[name]["panels"] for target in panel["targets"])
    assert ["namespace", "instance"] == [variable["name"] for variable in variables][:2]
    for variable in variables:
        assert f"${variable['name']}" in text, "a variable that nothing uses"
        assert variable["datasource"] == SOURCE and variable["label"]


def test_the_one_that_is_provisioned_is_what_they_begin_with():
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["type"] == SOURCE["type"] and source["isDefault"]
    assert {board["templating"]["list"][0]["current"]["value"] for board in DASHBOARDS.values()} == {"default"}


def test_every_metric_is_on_a_panel_or_in_a_rule_or_left_out_for_a_reason():
    queries = [target["expr"] for board in DASHBOARDS.values() for panel in board["panels"] for target in panel["targets"]]
    queries += [variable["query"]["query"] for board in DASHBOARDS.values() for variable in board["templating"]["list"][1:]]
    for path in (REPO / "deploy/prometheus/rules").glob("*.yml"):
        queries += [rule["expr"] for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    shown = {family_of(name) for query in queries for name in re.findall(r"\b(?:prefscore|process)_[a-z_]+", query)}
    assert sorted(set(read_metrics()) - shown) == sorted(NOT_SHOWN)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_shows_the_deployments_that_are_chosen(panel):
    for target in panel["targets"]:
        names = re.findall(r"\b(?:prefscore|process)_\w+", target["expr"])
        assert names and target["expr"].count('namespace=~"$namespace"') == len(names), target["expr"]


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_explains_itself(panel):
    assert panel["title"] and panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == SOURCE
    assert panel["targets"] and all(target["legendFormat"] for target in panel["targets"])
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["showLegend"]


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_data(panel, monitored):
    for target in panel["targets"]:
        series = ask(monitored.prometheus, target, monitored.start, monitored.end)
        assert bool(series) == (panel["title"] not in EMPTY), target["expr"]
        if panel["type"] == "timeseries":  # else two lines look alike
            legends = [legend for legend, _ in series]
            assert len(set(legends)) == len(legends), legends


def test_they_are_drawn_on_a_page(monitored, tmp_path):
    """The page is for eyes: PREFSCORE_MONITORING_PAGE names where to keep it."""
    path = pathlib.Path(os.environ.get("PREFSCORE_MONITORING_PAGE", tmp_path / "page.html"))
    write_page(path, DASHBOARDS, monitored.prometheus, monitored.start, monitored.end)
    text = path.read_text()
    assert text.count("<figure") == len(PANELS)
    assert text.count("no data") == len(EMPTY)
