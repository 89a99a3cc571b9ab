# SPDX-License-Identifier: Apache-2.0
"""A report's page: that of the command line, in a file and in a notebook's frame."""
import html
import json
import pathlib
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

import prefscore
from prefscore import AnalysisOptions, Pair, Report, ScoringOptions

REPO = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPO / "tests/testing"))
from render_page import find_chromium, render_page  # noqa: E402

needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")
HOSTILE = "</iframe><script>alert('x')</script>&\""


@pytest.fixture(scope="module")
def rows(demo_pairs):
    return [dict(id=row["id"], prompt=row["prompt"], chosen=row["chosen"], rejected=row["rejected"],
                 kind=HOSTILE if i % 2 else "plain") for i, row in enumerate(demo_pairs)]  # fmt: skip


@pytest.fixture(scope="module")
def report(demo_client, rows):
    pairs = [Pair(row["chosen"], row["rejected"], row["prompt"], id=row["id"], labels={"kind": row["kind"]})
             for row in rows]  # fmt: skip
    return demo_client.analyze(pairs, AnalysisOptions(ScoringOptions(objectives=["sigmoid:gamma=0.05", "ipo"])))


def test_the_page_is_that_of_the_command_line(report, rows, demo_server, build_dir, tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    subprocess.run(
        [build_dir / "prefscore", "analyze", "--server", demo_server.address, "--input", "rows.jsonl",
         "--label", "kind", "--objective", "sigmoid:gamma=0.05", "--objective", "ipo", "--html", "page.html"],
        cwd=tmp_path, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    # Only the command line tells what it was called with; only the package names the default of truncation.
    without = {"theirs": "made from", "ours": "over-length input"}
    pages = {"theirs": (tmp_path / "page.html").read_text(), "ours": report.html}
    for name, fact in without.items():
        pages[name], num_removed = re.subn(rf"<dt>{fact}</dt>.*\n", "", pages[name])
        assert num_removed == 1
    assert pages["ours"] == pages["theirs"]
    report.save_html(tmp_path / "saved.html")
    assert (tmp_path / "saved.html").read_bytes() == report.html.encode()


class Frames(HTMLParser):
    """The attributes of each iframe, and the other elements."""

    def __init__(self, text):
        super().__init__()
        self.frames, self.others = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "iframe":
            self.frames.append(dict(attrs))
        else:
            self.others.append(tag)


def test_a_notebook_shows_the_page_in_a_frame(report):
    shown = Frames(report._repr_html_())
    assert shown.others == [] and len(shown.frames) == 1, "nothing of the page gets out of its frame"
    frame = shown.frames[0]
    assert frame["sandbox"] == "", "the frame may run nothing"
    assert frame["srcdoc"].replace('<base href="about:srcdoc">\n', "") == report.html
    assert html.escape(HOSTILE, quote=False)[:20] in report.html


def of_same_origin(report):
    """The frame, in its page's process: the page can look inside, and Chromium waits for it with the picture."""
    return report._repr_html_().replace('sandbox=""', 'sandbox="allow-same-origin"')


@needs_chromium
def test_the_frame_shows_the_numbers_and_its_links_stay_in_it(report, tmp_path):
    frame = of_same_origin(report)
    script = """<script>addEventListener("load", () => {
        const frame = document.querySelector("iframe");
        const link = frame.contentDocument.querySelector('nav a[href="#slices"]'), before = frame.contentWindow.scrollY;
        link.click();
        const told = {url: frame.contentDocument.URL, scrolled: frame.contentWindow.scrollY > before,
                      text: frame.contentDocument.body.innerText, scripts: frame.contentDocument.scripts.length};
        document.body.textContent = JSON.stringify(told);
    })</script>"""
    page = tmp_path / "notebook.html"
    page.write_text(f"<!DOCTYPE html><html><body>{frame}{script}</body></html>")
    dom = render_page(page, tmp_path / "picture.png").dom
    told = json.loads(html.unescape(re.search(r"<body>(.*)</body>", dom, re.DOTALL)[1]))
    assert told["url"] == "about:srcdoc#slices" and told["scrolled"] and told["scripts"] == 0
    overall = report.overall
    for number in (f"{overall.objectives[0].mean_loss:#.4g}", f"{100 * overall.ranking.policy_accuracy:.2f}%", HOSTILE):
        assert number in told["text"]


@needs_chromium
def test_the_frame_is_painted(report, tmp_path):
    pictures = {}
    blank = Report(report.message, "<head>\n")
    for name, page in (("frame", of_same_origin(report)), ("blank", of_same_origin(blank))):
        (tmp_path / f"{name}.html").write_text(f"<!DOCTYPE html><html><body>{page}</body></html>")
        pictures[name] = render_page(tmp_path / f"{name}.html", tmp_path / f"{name}.png", height_px=700).screenshot
    assert pictures["frame"].stat().st_size > 5 * pictures["blank"].stat().st_size


def test_a_report_from_json_has_numbers_and_no_page(report):
    read = Report.from_json(report.to_json())
    assert read.message == report.message
    assert read._repr_html_() is None
    with pytest.raises(prefscore.FailedPrecondition, match="has no page"):
        read.html  # noqa: B018
    with pytest.raises(prefscore.FailedPrecondition, match="has no page"):
        read.save_html("nowhere/page.html")
