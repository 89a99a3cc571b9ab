# SPDX-License-Identifier: Apache-2.0
"""The examples of client/python/docs/lm_eval.md, run as they are but for the server, the model and the tasks."""
import json
import os
import pathlib
import re
import subprocess
import sys

import prefscore

PAGE = pathlib.Path(__file__).resolve().parents[3] / "client/python/docs/lm_eval.md"


def example(language, stories_server, policy_folder, tasks_folder):
    [code] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for name, value in (("127.0.0.1:50051", stories_server.address), ("models/policy", policy_folder),
                        ("include_path tasks", f"include_path {tasks_folder}"),
                        ('include_path="tasks"', f'include_path="{tasks_folder}", include_defaults=False')):  # fmt: skip
        code = code.replace(name, str(value))
    return code


def test_command_line(stories_server, policy_folder, tasks_folder, tmp_path):
    code = example("bash", stories_server, policy_folder, tasks_folder)
    installation, _, command = code.partition("\n")
    assert installation == "pip install 'prefscore[lm-eval]'"
    command = command.replace("python -m", f"{sys.executable} -m").rstrip() + f" --output_path {tmp_path}/results.json"
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(prefscore.__file__).parents[1]),
                   "HF_DATASETS_CACHE": str(tmp_path / "cache")}  # fmt: skip
    finished = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300, env=environment)
    assert finished.returncode == 0, finished.stderr[-3000:]
    [path] = tmp_path.glob("results*.json")
    results = json.loads(path.read_text())
    assert set(results["results"]) == {"story_endings", "story_perplexity"}
    assert 0 < results["results"]["story_endings"]["acc,none"] <= 1
    assert len(results["config"]["model_sha"]) == 64


def test_python(stories_server, policy_folder, tasks_folder, capsys):
    exec(compile(example("python", stories_server, policy_folder, tasks_folder), PAGE, "exec"), {})
    assert 0 < float(capsys.readouterr().out.split()[-1]) <= 1
