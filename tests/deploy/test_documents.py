# SPDX-License-Identifier: Apache-2.0
"""What the pages name is there: files, headings, options, units."""
import pathlib
import re
import subprocess

import pytest
import yaml

REPO = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted(subprocess.run(["git", "ls-files", "*.md"], cwd=REPO, check=True, text=True,
                              stdout=subprocess.PIPE).stdout.split())
CONFIGURATION = (REPO / "deploy/CONFIGURATION.md").read_text()
OTHERS = {"--stop-timeout"}  # options of docker
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


def test_options_that_are_named_exist(build_dir):
    """In deploy/*.md `--name ...` is an option of the server, or of a sub-command of prefscore that the pages show."""
    known = set()
    for program in (["prefscore-server"], ["prefscore", "top"], ["prefscore", "score"], ["prefscore", "admin", "status"]):
        text = subprocess.run([build_dir / program[0], *program[1:], "--help"], check=True, text=True,
                              stdout=subprocess.PIPE, timeout=120).stdout
        known |= set(re.findall(r"--[a-z][a-z-]+", text))
    named = {(page, option) for page in PAGES if re.fullmatch(r"deploy/\w+\.md", page)
             for code in re.findall(r"`(--[^`]+)`", (REPO / page).read_text()) for option in re.findall(r"--[a-z-]+", code)}
    assert len(named) > 20
    assert not {(page, option) for page, option in named if option not in known | OTHERS}


def test_services_of_compose_are_those_that_there_are():
    services = yaml.safe_load((REPO / "docker-compose.yml").read_text())["services"]
    command = r"\bdocker compose (?:logs|restart|exec)(?: -T)? ([a-z-]+)"
    named = {name for page in PAGES for name in re.findall(command, (REPO / page).read_text())}
    assert named and named <= set(services)
    # As a GPU's server has another name, the page for the night says which.
    assert all(f"`{name}`" in (REPO / "deploy/RUNBOOK.md").read_text() for name in services if name.endswith("-gpu"))


def test_compose_is_called_in_one_way():
    for page in PAGES:
        assert not re.search(r"\bdocker-compose (up|ps|logs|restart|exec|-)", (REPO / page).read_text()), page


def test_units_are_the_one_that_is_installed():
    command = r"\b(?:journalctl (?:-\S+ )*-u|systemctl [a-z-]+(?: --now| -s [A-Z]+)?) ([a-z-]+)"
    named = {(page, unit) for page in PAGES for unit in re.findall(command, (REPO / page).read_text())}
    assert named
    assert {unit for _, unit in named} == {"prefscore-server"}, named
