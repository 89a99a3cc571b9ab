# SPDX-License-Identifier: Apache-2.0
"""What `cmake --install` puts in place runs from there, and wherever it is moved."""
import os
import pathlib
import re
import subprocess

import pytest
from real_server import Server

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
DEMO = REPO / "deploy/demo"


def loaded_libraries(program: pathlib.Path) -> list[pathlib.Path]:
    listed = subprocess.run(["ldd", program], check=True, text=True, stdout=subprocess.PIPE, env={},
                            timeout=60).stdout
    assert "not found" not in listed, listed
    return [pathlib.Path(path) for path in re.findall(r"=> (/\S+)", listed)]


def test_server_starts_from_a_moved_prefix_and_the_installed_command_line_scores(installed, tmp_path, demo_flags):
    server = Server(installed / "bin", tmp_path / "log.txt", *demo_flags)
    try:
        assert server.wait_until_ready(), server.log
        pair = (DEMO / "pairs.jsonl").read_text().splitlines()[0]
        scored = subprocess.run(
            [installed / "bin/prefscore", "score", "--server", server.address, "--input", "-", "--output", "-"],
            input=pair, text=True, check=True, stdout=subprocess.PIPE, env={}, timeout=120).stdout
        assert '"policy_chosen_logp":-' in scored
    finally:
        assert server.stop() == 0


def test_libraries_of_the_wheel_are_those_of_the_installation(installed):
    ours = [path for path in loaded_libraries(installed / "bin/prefscore-server")
            if not str(path).startswith(("/lib/", "/usr/", "/lib64/"))]
    assert {path.name for path in ours} >= {"libtorch_cpu.so", "libc10.so", "libgomp.so.1"}
    assert {path.resolve().parent for path in ours} == {(installed / "lib/prefscore").resolve()}


def test_no_program_names_the_build_folder_as_its_library_path(installed):
    for program in (installed / "bin").iterdir():
        dynamic = subprocess.run(["readelf", "-d", program], check=True, text=True, stdout=subprocess.PIPE).stdout
        paths = re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", dynamic)
        assert paths in ([], ["$ORIGIN/../lib/prefscore"]), program


def test_what_an_operator_needs_is_installed(installed):
    documents = installed / "share/doc/prefscore"
    assert (documents / "LICENSE").read_text() == (REPO / "LICENSE").read_text()
    for name in ("OPERATIONS.md", "RUNBOOK.md", "SECURITY.md", "config/laptop.toml", "systemd/gpu.conf",
                 "prometheus/rules/service_alerts.yml", "grafana/dashboards/service.json", "helm/prefscore/Chart.yaml"):
        assert (documents / name).read_text() == (REPO / "deploy" / name).read_text()
    assert (documents / "helm/prefscore/rules/recording.yml").exists()


def test_links_of_installed_pages_stay_within_the_installation(installed):
    """That their headings are there is what test_documents.py looks at."""
    pages = sorted((installed / "share/doc/prefscore").rglob("*.md"))
    links = [(page, path) for page in pages for path in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text())]
    assert len(pages) > 10 and len(links) > 50
    for page, path in links:
        target = (page.parent / path).resolve()
        assert target.exists() and target.is_relative_to(installed.resolve()), f"{page.name}: {path}"


def test_an_upgrade_leaves_the_files_of_a_running_server_alone(build_dir, installed):
    """It puts new files in their place, where writing into them would end the server."""
    library, program = installed / "lib/prefscore/libc10.so", installed / "bin/prefscore-server"
    with open(library, "rb") as old_library, open(program, "rb") as old_program:  # as a running server has them
        for path in (library, program):
            os.utime(path, (0, 0))  # of an older version
        subprocess.run(["cmake", "--install", build_dir, "--prefix", installed, "--strip"], check=True,
                       stdout=subprocess.DEVNULL, timeout=300)
        assert library.stat().st_ino != os.fstat(old_library.fileno()).st_ino
        assert program.stat().st_ino != os.fstat(old_program.fileno()).st_ino


@pytest.mark.skipif("VERSION_ID=\"12\"" not in pathlib.Path("/etc/os-release").read_text(),
                    reason="the packages' names are those of Debian 12")
def test_runtime_packages_are_those_that_the_programs_link(installed):
    listed = (REPO / "deploy/docker/runtime-packages.txt").read_text().splitlines()
    listed = [line for line in listed if not line.startswith("#")]
    linked = set()
    for program in (installed / "bin").iterdir():
        dynamic = subprocess.run(["readelf", "-d", program], check=True, text=True, stdout=subprocess.PIPE).stdout
        needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
        linked |= {os.path.realpath(path) for path in loaded_libraries(program) if path.name in needed}
    system = {path for path in linked if path.startswith("/usr/lib")}
    # It knows the libraries of the C compiler by /lib, which is a link to /usr/lib, and fails for them. Every Debian has
    # them.
    owners = subprocess.run(["dpkg", "-S", *system], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    assert sorted(listed) == sorted({line.split(":")[0] for line in owners.splitlines()})
