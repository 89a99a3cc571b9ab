# SPDX-License-Identifier: Apache-2.0
"""The alert rules: promtool's verdict, and that each has its tests, its page in the runbook and metrics that exist."""
import re
import shutil
import subprocess

import pytest
import rule_cases
import yaml
from metrics_document import REPO, family_of, read_metrics

PROMETHEUS = REPO / "deploy/prometheus"
GROUPS = [group for path in sorted((PROMETHEUS / "rules").glob("*.yml"))
          for group in yaml.safe_load(path.read_text())["groups"]]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def promtool(*arguments):
    finished = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@needs_promtool
def test_promtool_accepts_the_configuration_and_its_rules():
    output = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert f"{len(list((PROMETHEUS / 'rules').glob('*.yml')))} rule files found" in output


def alertmanager_lines():
    """What prometheus.yml has as a comment, uncommented."""
    lines = (PROMETHEUS / "prometheus.yml").read_text().splitlines()
    start = lines.index("# alerting:")
    end = next(index for index in range(start, len(lines)) if not lines[index].startswith("# "))
    return "".join(f"{line[2:]}\n" for line in lines[start:end])


@needs_promtool
def test_the_lines_that_name_an_alertmanager_are_shown_and_accepted(tmp_path):
    (shown,) = re.findall(r"^  ```yaml\n(.*?)^  ```", (REPO / "deploy/OPERATIONS.md").read_text(), re.MULTILINE | re.DOTALL)
    assert alertmanager_lines() == re.sub("^  ", "", shown, flags=re.MULTILINE)
    (tmp_path / "prometheus.yml").write_text(alertmanager_lines())
    promtool("check", "config", tmp_path / "prometheus.yml")
    assert yaml.safe_load(alertmanager_lines())["alerting"]["alertmanagers"]


@needs_promtool
@pytest.mark.parametrize("variant", [rule_cases.as_written, rule_cases.on_kubernetes],
                         ids=lambda variant: variant.__name__)
@pytest.mark.parametrize("path", rule_cases.FILES, ids=lambda path: path.stem)
def test_alerts_fire_resolve_and_keep_quiet(path, variant, tmp_path):
    (tmp_path / path.name).write_text(yaml.safe_dump(variant(rule_cases.read(path), ALERTS)))
    promtool("test", "rules", tmp_path / path.name)


@pytest.fixture(scope="module")
def cases():
    """What each case tests, by its name: ALERT or ALERT near miss, and where there are several, what is special of it."""
    tests = [case for path in rule_cases.FILES for case in rule_cases.read(path)["tests"]]
    by_name = {case["name"]: case["alert_rule_test"] for case in tests}
    assert len(by_name) == len(tests), "two cases of one name"
    return by_name


def minutes(time):
    return sum(int(count) * {"d": 1440, "h": 60, "m": 1}[unit] for count, unit in re.findall(r"(\d+)([dhm])", time))


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_its_cases(cases, alert):
    own = [test for test in cases[alert] if test["alertname"] == alert]
    fired = [minutes(test["eval_time"]) for test in own if test["exp_alerts"]]
    quiet = [minutes(test["eval_time"]) for test in own if not test["exp_alerts"]]
    assert fired and quiet and max(quiet) > max(fired), "fires, then resolves"
    assert all("exp_annotations" in expected for test in own for expected in test["exp_alerts"])
    assert f"{alert} near miss" in cases
    for name, tests in cases.items():
        if name.split(",")[0] == f"{alert} near miss":
            near = [test for test in tests if test["alertname"] == alert]
            assert near and not any(test["exp_alerts"] for test in near), name


def test_no_case_is_of_an_alert_that_is_gone(cases):
    assert {name.split(",")[0].removesuffix(" near miss") for name in cases} == set(ALERTS)


def test_no_deployment_is_mixed_with_another():
    """On Kubernetes all have the same job: what is aggregated is kept apart by namespace and service, too."""
    for rule in RULES:
        for labels in re.findall(r"\bby \(([^)]*)\)", rule["expr"]):
            assert labels.startswith("namespace, service, job"), rule


def test_no_bound_of_a_bucket_is_matched_in_one_spelling_only():
    assert not [rule for rule in RULES if re.search(r'\ble="', rule["expr"])], "Prometheus 3 stores 5 as 5.0"


def anchor(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_how_bad_it_is_and_what_to_do(alert):
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    annotations = rule["annotations"]
    assert "{{ $" in annotations["summary"] + annotations["description"], "which one, how much"
    path, fragment = annotations["runbook_url"].split("#")
    headings = re.findall(r"^#+ (.*)$", (REPO / path).read_text(), re.MULTILINE)
    assert fragment in [anchor(heading) for heading in headings]
    assert fragment == alert.lower()


def test_the_runbook_has_no_section_of_an_alert_that_is_gone():
    headings = re.findall(r"^## (Prefscore\w+)$", (REPO / "deploy/RUNBOOK.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(ALERTS)


def test_rules_name_only_metrics_that_exist():
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    documented = set(read_metrics())
    for rule in RULES:
        names = set(re.findall(r"\b(?:[a-z_]+:)?(?:prefscore|process)_[a-z_]+(?::\w+)?", rule["expr"]))
        assert names or rule["expr"].count("up{"), rule["expr"]
        unknown = {name for name in names if name not in recorded and family_of(name) not in documented}
        assert not unknown, rule
