# SPDX-License-Identifier: Apache-2.0
"""A prefscore-server in a process of its own."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time


class Server:
    def __init__(self, process, log_path):
        self._process = process
        self._log_path = log_path
        self.pid = process.pid
        self.address = self.wait_for(r"\blistening on (\S+)")
        self.metrics_url = self.wait_for(r"\bmetrics on (\S+)")

    def wait_for(self, pattern):
        """The first group of the first match in what the server prints."""
        while not (found := re.search(pattern, self._log_path.read_text(), re.MULTILINE)):
            if self._process.poll() is not None:
                raise SystemExit(self._log_path.read_text())
            time.sleep(0.01)
        return found[1]

    def stop(self):
        """Ends it as an operator does; its exit code."""
        self._process.terminate()
        return self._process.wait(timeout=60)

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
            if process.poll() not in (None, 0):
                print(f"prefscore-server ended early, status {process.returncode}", log_path.read_text(), file=sys.stderr)
            process.terminate()
            process.wait()
