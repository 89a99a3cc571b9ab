# SPDX-License-Identifier: Apache-2.0
"""A prefscore-server in its own process."""
import re
import subprocess
import time
import urllib.request

import grpc


class Server:
    """A running prefscore-server; `channel` speaks to it, `log` is what it printed."""

    def __init__(self, build_dir, log_path, *arguments):
        self.log_path = log_path
        # No cache unless a test asks for one: none may find what another, or the user's server, left.
        defaults = [part for flag, value in (("--listen", "127.0.0.1:0"), ("--metrics-listen", "127.0.0.1:0"),
                                             ("--cache-dir", "")) if flag not in arguments for part in (flag, value)]
        with open(log_path, "w") as log_file:
            self.process = subprocess.Popen(
                [build_dir / "prefscore-server", *defaults, *map(str, arguments)],
                stdout=log_file, stderr=subprocess.STDOUT,
            )
        self.address = self.metrics_url = None
        self.admin_address = None
        self.scrape_token = None  # where the server wants one

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_until_ready(self, timeout_s=60.0):
        """Returns whether the server serves; False where it ended instead."""
        give_up_at = time.monotonic() + timeout_s
        while time.monotonic() < give_up_at:
            listening = re.search(r'\blistening on ([^\s"]+)', self.log)
            if self.has_metrics() and listening:
                self.address = listening[1]
                if admin := re.search(r'\badmin service on ([^\s"]+)', self.log):
                    self.admin_address = admin[1]
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)
        raise TimeoutError(f"the server is not ready after {timeout_s} s:\n{self.log}")

    def has_metrics(self):
        """Whether metrics are served: also while models are loaded."""
        if metrics := re.search(r'\bmetrics on (https?://[^\s"]+)', self.log):
            self.metrics_url = metrics[1]
        return metrics is not None

    def channel(self):
        return grpc.insecure_channel(
            self.address, options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        )

    def metric(self, name, **labels):
        """Sum over the series of this name that carry these labels."""
        request = urllib.request.Request(self.metrics_url)
        if self.scrape_token is not None:
            request.add_header("Authorization", f"Bearer {self.scrape_token}")
        text = urllib.request.urlopen(request, timeout=30).read().decode()
        series = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        found = [float(value) for given, value in series if wanted <= set(given.split(","))]
        assert found, f"no series {name} with {labels}"
        return sum(found)

    def stop(self):
        """Ends it and returns its exit code. A server that does not end is killed, and the test fails."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def wait_until(what, condition, timeout_s=60):
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"waited in vain until {what}"
        time.sleep(0.01)
