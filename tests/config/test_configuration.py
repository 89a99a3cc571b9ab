# SPDX-License-Identifier: Apache-2.0
"""The documented configuration against the real server: its table, its examples, --check-config."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest
from certificates import Authority

REPO = pathlib.Path(__file__).resolve().parents[2]
DEMO = REPO / "deploy/demo"
EXAMPLES = sorted((REPO / "deploy/config").glob("*.toml"))


def run(build_dir, *arguments):
    return subprocess.run([build_dir / "prefscore-server", *map(str, arguments)], capture_output=True, text=True,
                          timeout=120)


def with_real_files(example, folder):
    """A copy of the example whose models are the demo's and whose certificate is made anew."""
    text, num_replaced = re.subn(r'"(policy|reference)=[^"]*"', rf'"\1={DEMO}/models/\1"', example.read_text())
    assert num_replaced == 2
    for name, content in zip(("tls.key", "tls.crt"), Authority().issue()):
        (folder / name).write_bytes(content)
    text = text.replace("/etc/prefscore/tls", str(folder))
    copy = folder / example.name
    copy.write_text(text)
    return copy


def options_in_force(output):
    """{name: value as the file has it}"""
    return {name: value.strip("'") for name, value in re.findall(r"^([a-z-]+) = (.*)$", output, re.MULTILINE)}


def test_every_option_is_documented_with_its_default(build_dir, demo_flags):
    offered = options_in_force(run(build_dir, *demo_flags, "--check-config").stdout)
    table = (REPO / "deploy/CONFIGURATION.md").read_text().split("## Options")[1].split("## Environment")[0]
    documented = dict(re.findall(r"^\| `([a-z-]+)` \| ([^|]*?) ?\|", table, re.MULTILINE))
    assert len(offered) > 15
    assert list(documented) == list(offered)
    for name in documented.keys() - {"model", "cache-dir"}:  # given; the user's
        assert documented[name].strip("`") == offered[name], name


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_pass_the_check(build_dir, example, tmp_path):
    done = run(build_dir, "--config", with_real_files(example, tmp_path), "--check-config")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "the configuration is good"
    in_force = options_in_force(done.stdout)
    for name, value in re.findall(r"^([a-z-]+) = ([\w.]+)", example.read_text(), re.MULTILINE):
        assert in_force[name] == value.replace("_", "")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_check_names_every_model_folder_that_is_missing(build_dir, example, tmp_path):
    text = re.sub(r'"(policy|reference)=[^"]*"', r'"\1=/no/such/\1"', example.read_text())
    (tmp_path / "missing.toml").write_text(text)
    done = run(build_dir, "--config", tmp_path / "missing.toml", "--check-config")
    assert done.returncode == 1
    for role in ("policy", "reference"):
        assert f"model '{role}' (/no/such/{role}): model folder /no/such/{role} does not exist" in done.stderr


def test_the_check_looks_into_model_folders(build_dir, tmp_path, demo_flags):
    broken = tmp_path / "broken"
    shutil.copytree(DEMO / "models/policy", broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 99}))
    (broken / "tokenizer.json").write_text("{")
    done = run(build_dir, *demo_flags, "--model", f"broken={broken}", "--check-config")
    assert done.returncode == 1
    assert len(re.findall(r"model 'broken'", done.stderr)) == 2  # weights and tokenizer
    assert "tokenizer.json" in done.stderr


def test_a_server_runs_from_an_example(start_server, tmp_path):
    example = with_real_files(REPO / "deploy/config/laptop.toml", tmp_path)
    with start_server("--config", example) as server:
        assert server.address, server.log
        assert "max-queued-tokens = 262144" in server.log
