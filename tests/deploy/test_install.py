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


def test_licence_documents_and_examples_are_installed(installed):
    for name, source in (("LICENSE", "LICENSE"), ("CONFIGURATION.md", "deploy/CONFIGURATION.md"),
                         ("config/laptop.toml", "deploy/config/laptop.toml"),
                         ("systemd/gpu.conf", "deploy/systemd/gpu.conf")):
        assert (installed / "share/doc/prefscore" / name).read_text() == (REPO / source).read_text()


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
