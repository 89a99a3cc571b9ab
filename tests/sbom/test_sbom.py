# SPDX-License-Identifier: Apache-2.0
"""scripts/sbom on the built programs: a valid CycloneDX document that knows what the programs are made of."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "lib" / "sbom"))

import licences  # noqa: E402
from component import Component  # noqa: E402


@pytest.fixture(scope="module")
def bill(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sbom")
    done = subprocess.run([ROOT / "scripts" / "sbom", folder], check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_bill_is_valid(bill):
    text = (bill / "prefscore.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    broken = json.loads(text)
    broken["components"][0]["type"] = "no such type"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(broken)) is not None


def test_what_the_programs_load_and_link_is_listed(bill):
    document = json.loads((bill / "prefscore.cdx.json").read_text())
    components = {component["name"]: component for component in document["components"]}
    for name in ["torch", "tokenizers", "minijinja", "oniguruma", "libssl3", "nlohmann-json3-dev", "grpcio"]:
        assert components[name]["version"], name
        assert components[name]["licenses"], name
    assert not {"pytest", "transformers", "syn"} & set(components), "what only tests or builds need is not shipped"
    assert components["torch"]["version"] in (ROOT / "scripts/lib/requirements-runtime.txt").read_text()
    listed = (bill / "LICENCES.txt").read_text()
    assert all(name in listed for name in components)


@pytest.mark.parametrize(("expression", "is_allowed"), [
    ("MIT", True),
    ("GPL-3.0-only", False),
    ("GPL-2.0-only OR Apache-2.0", True),
    ("GPL-2.0-only AND Apache-2.0", False),
    ("GPL-3.0-or-later WITH GCC-exception-3.1", True),
    ("GPL-3.0-or-later", False),
    ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
    ("LicenseRef-NVIDIA-Proprietary", False),
    ("LicenseRef-unknown", False),
    ("MIT AND", False),
    ("", False),
])
def test_licences_outside_the_list_are_refused(expression, is_allowed):
    assert licences.is_allowed("some-library", expression) == is_allowed


def test_an_exception_is_for_one_component():
    assert licences.is_allowed("nvidia-cuda-cupti", "LicenseRef-NVIDIA-Proprietary")


@pytest.mark.parametrize(("spelling", "expression"), [
    ("Expat", "MIT"),
    ("GPL-2 or Apache-2.0", "GPL-2.0-only OR Apache-2.0"),
    ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
    ("Apache-2.0 / MIT", "Apache-2.0 OR MIT"),
    ("BSD-3-Clause~Google", "BSD-3-Clause"),
])
def test_spellings_become_spdx(spelling, expression):
    assert licences.spdx(spelling) == expression


def test_a_licence_that_is_not_allowed_fails_the_script(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("sbom_main", ROOT / "scripts/lib/sbom/__main__.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["sbom", "--build-dir", "unused", "--output", str(tmp_path)])
    monkeypatch.setattr(script, "collect", lambda _: [Component("server", "deb", "libmine", "1.2", "GPL-3.0-only")])
    assert script.main() == 1
    assert "libmine 1.2: its licence 'GPL-3.0-only' is not on the list" in capsys.readouterr().err
