# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus with the project's own configuration, pointed at a server under test."""
import json
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

DEPLOYED = pathlib.Path(__file__).resolve().parents[2] / "deploy/prometheus"
SCRAPE_INTERVAL_S = 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """Runs until `stop`. The deployed configuration, but for the targets, how often they are scraped and its paths."""

    def __init__(self, folder, target, jobs=None):
        """jobs: scrape configurations instead of the deployed one; the files that they name lie in `folder`."""
        config = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": f"{SCRAPE_INTERVAL_S}s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(DEPLOYED / pattern) for pattern in config["rule_files"]]
        if jobs is not None:
            config["scrape_configs"] = jobs
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": [target]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.target = target
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        self.log_path = folder / "prometheus.log"
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address={address}"], stdout=log, stderr=subprocess.STDOUT)

    def wait_until_ready(self, timeout_s=60):
        give_up_at = time.monotonic() + timeout_s
        while True:
            try:
                return urllib.request.urlopen(f"{self.url}/-/ready", timeout=10).read()
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None and time.monotonic() < give_up_at, self.log_path.read_text()
                time.sleep(0.05)

    def api(self, path, **parameters):
        """The `data` of an answer of its HTTP API."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            answer = json.load(urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from error
        assert answer["status"] == "success", answer
        return answer["data"]

    def value(self, expression):
        """The one value of an instant query; 0 where there is none."""
        result = self.api("query", query=expression)["result"]
        assert len(result) <= 1, f"{expression} has {len(result)} series"
        return float(result[0]["value"][1]) if result else 0.0

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
