"""The page of `prefscore analyze --html`, in headless Chromium: its numbers, its charts, nothing from outside."""
import html
import json
import re
import subprocess
import sys

import pytest

from locations import DEMO, REPO

sys.path.insert(0, str(REPO / "tests/testing"))
from render_page import find_chromium, render_page  # noqa: E402

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def report(build_dir, demo_server, tmp_path_factory):
    """Folder with page.html and report.json over the demo's pairs, scored on the way."""
    folder = tmp_path_factory.mktemp("report")
    rows = [dict(json.loads(line), kind="<b>&" if i % 2 else "plain")
            for i, line in enumerate((DEMO / "pairs.jsonl").read_text().splitlines())]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    finished = subprocess.run(
        [build_dir / "prefscore", "analyze", "--server", demo_server.address, "--input", "pairs.jsonl", "--label", "kind",
         "--html", "page.html", "--json", "report.json", "--objective", "sigmoid:beta=0.1,gamma=0.05",
         "--objective", "ipo"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    assert len(finished.stdout.splitlines()) <= 40 and "Learning table" in finished.stdout
    return folder


def text_of(dom):
    """What a reader can read: no markup, no style."""
    without_style = re.sub(r"<(style|title)\b.*?</\1>", " ", dom, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", without_style)))


def number(x):
    return f"{x:#.4g}"


def percent(share):
    return f"{100 * share:.2f}%"


def test_the_page_holds_the_reports_numbers(report, tmp_path):
    page = render_page(report / "page.html", tmp_path / "light.png")
    text = text_of(page.dom)
    found = json.loads((report / "report.json").read_text())
    overall = found["slices"][0]
    assert "128" in text
    for objective in overall["objectives"]:
        assert objective["label"] in text
        assert number(objective["mean_loss"]) in text
        for cell in objective["learning_table"]:
            if int(cell["num_pairs"]) == 0:
                continue
            for value in (f"{int(cell['num_pairs']):,}", percent(cell["share"]), number(cell["mean_loss"]),
                          number(cell["mean_logit"]), percent(cell["gradient_mass_share"])):
                assert value in text, (objective["label"], cell, value)
    for accuracy in (overall["ranking"]["policy_accuracy"], overall["ranking"]["reference_accuracy"]):
        assert percent(accuracy) in text
    for pair in overall["most_negative_margins"]:
        assert pair["id"] in text
    assert "<b>&" in text and "<b>&" not in (report / "page.html").read_text(), "labels are text, not markup"


def test_charts_have_axes_units_and_captions(report, tmp_path):
    dom = render_page(report / "page.html", tmp_path / "light.png").dom
    figures = re.findall(r"<figure\b.*?</figure>", dom, flags=re.DOTALL)
    assert len(figures) >= 6
    for figure in figures:
        assert "<figcaption" in figure
        assert "<svg" not in figure or re.search(r'<svg[^>]*role="img"', figure)
    assert "γ/β" in dom and "nats" in dom
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan[a-z]*", "", text_of(dom).lower())


def test_nothing_comes_from_outside(report, tmp_path):
    source = (report / "page.html").read_text()
    assert "<script" not in source and "<link" not in source and "@import" not in source
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)""", source)
    assert not re.search(r"url\((?!#)", source)
    page = render_page(report / "page.html", tmp_path / "light.png")
    assert not re.search(r"console|ERR_|Refused", page.log), page.log


def test_light_and_dark_differ(report, tmp_path):
    light = render_page(report / "page.html", tmp_path / "light.png", height_px=1200).screenshot.read_bytes()
    dark = render_page(report / "page.html", tmp_path / "dark.png", height_px=1200, dark=True).screenshot.read_bytes()
    assert light[:8] == b"\x89PNG\r\n\x1a\n" and len(light) > 20_000
    assert light != dark
