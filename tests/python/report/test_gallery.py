# SPDX-License-Identifier: Apache-2.0
"""docs/gallery.ipynb, from a clean kernel: on the demo's models, and on a small real pair of models."""
import json
import os
import pathlib

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("pandas")

PACKAGE = pathlib.Path(__file__).resolve().parents[3] / "client/python"
GALLERY = PACKAGE / "docs/gallery.ipynb"


def run(address, rows, folder, monkeypatch):
    """The executed notebook."""
    pairs = folder / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("PREFSCORE_SERVER", address)
    monkeypatch.setenv("PREFSCORE_PAIRS", str(pairs))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH")])))
    notebook = nbformat.read(GALLERY, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    return nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def check(notebook):
    shown = [output["data"].get("text/html", "") for output in outputs(notebook) if "data" in output]
    pages = [text for text in shown if text.startswith("<iframe")]
    assert len(pages) == 1 and "Objective 3: sigmoid:beta=0.1,gamma=1" in pages[0]
    assert len(shown) - len(pages) == 7, "tables"


def test_on_the_demo(demo_server, demo_pairs, tmp_path, monkeypatch):
    check(run(demo_server.address, demo_pairs, tmp_path, monkeypatch))


def test_on_a_real_pair_of_models(stories_server, stories_rows, tmp_path, monkeypatch):
    check(run(stories_server.address, stories_rows, tmp_path, monkeypatch))


def test_it_is_stored_without_outputs():
    notebook = nbformat.read(GALLERY, as_version=4)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
