# SPDX-License-Identifier: Apache-2.0
"""What the pages name is there: files, headings, options, units."""
import pathlib
import re
import subprocess

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted(subprocess.run(["git", "ls-files", "*.md"], cwd=REPO, check=True, text=True,
                              stdout=subprocess.PIPE).stdout.split())
CONFIGURATION = (REPO / "deploy/CONFIGURATION.md").read_text()
OPTIONS = re.findall(r"^\| `([a-z-]+)` \| ", CONFIGURATION.split("## Environment")[0], re.MULTILINE)


def anchors(path):
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = REPO / page
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, fragment = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


def test_options_are_written_as_they_are_typed():
    assert len(OPTIONS) > 30
    for page in (page for page in PAGES if not page.startswith(("client/", "tests/"))):  # other names
        for option in OPTIONS:
            mistaken = option.replace("-", "_")
            assert "-" not in option or f"`{mistaken}`" not in (REPO / page).read_text(), f"{page}: {mistaken}"


def test_units_are_the_one_that_is_installed():
    command = r"\b(?:journalctl (?:-\S+ )*-u|systemctl [a-z-]+(?: --now| -s [A-Z]+)?) ([a-z-]+)"
    named = {(page, unit) for page in PAGES for unit in re.findall(command, (REPO / page).read_text())}
    assert named
    assert {unit for _, unit in named} == {"prefscore-server"}, named
