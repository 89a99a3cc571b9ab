# SPDX-License-Identifier: Apache-2.0
"""A prefscore-server in a process of its own, and the Python stubs to speak to it."""

import contextlib
import importlib
import pathlib
import re
import subprocess
import sys
import sysconfig
import tempfile
import time

import inputs


def import_stubs():
    """(scoring_pb2, scoring_pb2_grpc) of prefscore.v1."""
    import grpc_tools
    from grpc_tools import protoc

    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    folder = inputs.CACHE / "stubs"
    folder.mkdir(parents=True, exist_ok=True)
    code = protoc.main([
        "protoc", f"-I{inputs.REPO / 'proto'}", f"-I{sysconfig.get_paths()['purelib']}", f"-I{well_known}",
        f"--python_out={folder}", f"--grpc_python_out={folder}", "prefscore/v1/scoring.proto",
    ])  # fmt: skip
    assert code == 0, "protoc failed"
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module("prefscore.v1.scoring_pb2"), importlib.import_module("prefscore.v1.scoring_pb2_grpc")


@contextlib.contextmanager
def serving(build_dir, *flags):
    """Starts a server with these flags; yields (process id, address) once it listens, and ends it afterwards."""
    command = [pathlib.Path(build_dir) / "prefscore-server", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log, open(log.name, "w") as log_writer:
        process = subprocess.Popen([*command, *map(str, flags)], stdout=log_writer, stderr=subprocess.STDOUT)
        read_log = pathlib.Path(log.name).read_text
        try:
            while not (listening := re.search(r"^listening on (\S+)", read_log(), re.MULTILINE)):
                if process.poll() is not None:
                    raise SystemExit(read_log())
                time.sleep(0.01)
            yield process.pid, listening[1]
        finally:
            if process.poll() is not None:
                print(f"prefscore-server ended early, status {process.returncode}", read_log(), file=sys.stderr)
            process.terminate()
            process.wait()
