# SPDX-License-Identifier: Apache-2.0
"""The image has one name and one version: whoever builds it as the pages say finds it by compose and by the chart."""
import pathlib
import re

import yaml

REPO = pathlib.Path(__file__).resolve().parents[2]
CHART = REPO / "deploy/helm/prefscore"
VERSION = re.search(r"^project\(prefscore VERSION (\S+)", (REPO / "CMakeLists.txt").read_text(), re.MULTILINE)[1]
TAGS = {f"prefscore-server:{VERSION}", f"prefscore-server:{VERSION}-gpu"}


def instructions():
    """Every file that tells how to build, load or run the image."""
    files = [REPO / "docker-compose.yml", *(REPO / "deploy").rglob("*")]
    return {path: path.read_text() for path in files
            if path.is_file() and (path.suffix in (".md", ".yaml", ".yml") or path.name == "Dockerfile")}


def test_every_name_of_the_image_has_the_version():
    # A colon and a number of four or five digits is a port.
    named = {(path.name, tag) for path, text in instructions().items()
             for tag in re.findall(r"(?<![\w/.-])prefscore-server:(?!\d{4,5}\b)[\w.-]+", text)}
    assert {tag for _, tag in named} == TAGS
    assert {"Dockerfile", "README.md", "docker-compose.yml", "laptop.yaml"} <= {name for name, _ in named}


def test_nothing_is_built_or_run_without_a_tag():
    for path, text in instructions().items():
        for name in re.findall(r"docker build.* -t (\S+)", text) + re.findall(r"-p 127.0.0.1:50051:50051 (\S+)", text):
            assert name in TAGS, path


def test_the_chart_asks_for_the_same():
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == VERSION
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert (values["image"]["repository"], values["image"]["tag"]) == ("prefscore-server", "")
    for example in (CHART / "examples").iterdir():
        values = yaml.safe_load(example.read_text())
        assert values.get("image", {}).get("tag", VERSION) == VERSION + ("-gpu" if values.get("gpus") else ""), example
