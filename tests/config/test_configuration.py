# SPDX-License-Identifier: Apache-2.0
"""The documented configuration against the real server: its table, its examples, --check-config."""
import json
import re
import shutil
import subprocess

import pytest
from certificates import Authority
from conftest import DEMO, REPO

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


def options_of_help(build_dir):
    """{name: default} of all options that belong into a file."""
    text = re.sub(r"\s+", " ", run(build_dir, "--help").stdout)
    found = re.findall(r" --([a-z-]+) [A-Z][A-Z:=]*(?: \[([^]]*)\])?", text.split("Options:")[1])
    return {name: default for name, default in found if name != "config"}


def options_of_document():
    table = (REPO / "deploy/CONFIGURATION.md").read_text().split("## Options")[1].split("## Environment")[0]
    return dict(re.findall(r"^\| `([a-z-]+)` \| ([^|]*?) ?\|", table, re.MULTILINE))


def test_every_option_is_documented_with_its_default(build_dir):
    documented, offered = options_of_document(), options_of_help(build_dir)
    assert len(offered) > 15
    assert sorted(documented) == sorted(offered)
    for name, default in documented.items():
        if name in ("policy", "reference"):
            assert default == f"`{name}`"
        elif name != "cache-dir":  # depends on the user
            assert default.strip("`") == offered[name], name


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_pass_the_check(build_dir, example, tmp_path):
    done = run(build_dir, "--config", with_real_files(example, tmp_path), "--check-config")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "the configuration is good"
    in_force = dict(re.findall(r"^([a-z-]+) = (.*)$", done.stdout, re.MULTILINE))
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
