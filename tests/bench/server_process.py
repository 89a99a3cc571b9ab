# SPDX-License-Identifier: Apache-2.0
"""A prefscore-server in a process of its own, and the Python stubs to speak to it."""

import contextlib
import importlib
import os
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


class Server:
    def __init__(self, process, log_path):
        self._process = process
        self._log_path = log_path
        self.pid = process.pid
        self.address = self.wait_for(r"^listening on (\S+)")
        self.metrics_url = self.wait_for(r"^metrics on (\S+)")

    def wait_for(self, pattern):
        """The first group of the first match in what the server prints."""
        while not (found := re.search(pattern, self._log_path.read_text(), re.MULTILINE)):
            if self._process.poll() is not None:
                raise SystemExit(self._log_path.read_text())
            time.sleep(0.01)
        return found[1]

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


@contextlib.contextmanager
def serving(build_dir, *flags, cores=None):
    """Starts a server with these flags, on these cores (default: all); yields it once it listens, and ends it afterwards."""
    command = [pathlib.Path(build_dir) / "prefscore-server", "--listen", "127.0.0.1:0",
               "--metrics-listen", "127.0.0.1:0"]  # fmt: skip
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log, open(log.name, "w") as log_writer:
        process = subprocess.Popen([*command, *map(str, flags)], stdout=log_writer, stderr=subprocess.STDOUT,
                                   preexec_fn=cores and (lambda: os.sched_setaffinity(0, cores)))  # fmt: skip
        log_path = pathlib.Path(log.name)
        try:
            yield Server(process, log_path)
        finally:
            if process.poll() is not None:
                print(f"prefscore-server ended early, status {process.returncode}", log_path.read_text(), file=sys.stderr)
            process.terminate()
            process.wait()
