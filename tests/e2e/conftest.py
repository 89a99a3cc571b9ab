"""A real server in its own process, and Python stubs made from the protos, for the end-to-end tests."""
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import sysconfig
import time

import grpc
import pytest
from locations import DEMO, REPO



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

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_until_ready(self, timeout_s=60.0):
        """Returns whether the server serves; False where it ended instead."""
        give_up_at = time.monotonic() + timeout_s
        while time.monotonic() < give_up_at:
            listening = re.search(r"^listening on (\S+)", self.log, re.MULTILINE)
            metrics = re.search(r"^metrics on (http://\S+)", self.log, re.MULTILINE)
            if listening and metrics:
                self.address, self.metrics_url = listening[1], metrics[1]
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)
        raise TimeoutError(f"the server is not ready after {timeout_s} s:\n{self.log}")

    def channel(self):
        return grpc.insecure_channel(
            self.address, options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        )

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=60)


@pytest.fixture(scope="session")
def start_server(build_dir, tmp_path_factory):
    """start_server(*flags): a context manager that gives a Server, ready or ended, and stops it."""

    @contextlib.contextmanager
    def start(*arguments):
        server = Server(build_dir, tmp_path_factory.mktemp("server") / "log.txt", *arguments)
        try:
            server.wait_until_ready()
            yield server
        finally:
            server.stop()

    return start


@pytest.fixture(scope="session")
def demo_flags():
    return ["--model", f"policy={DEMO}/models/policy", "--model", f"reference={DEMO}/models/reference"]


@pytest.fixture(scope="session")
def demo_server(start_server, demo_flags):
    with start_server(*demo_flags) as server:
        assert server.address, server.log
        yield server


@pytest.fixture(scope="session")
def demo_pairs():
    return [json.loads(line) for line in (DEMO / "pairs.jsonl").read_text().splitlines()]


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    """The generated Python modules: api.scoring (messages), api.models, api.diagnostics; api.Scoring(channel) and so on."""
    import grpc_tools
    from grpc_tools import protoc

    folder = tmp_path_factory.mktemp("stubs")
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"

    code = protoc.main([
        "protoc", f"-I{REPO / 'proto'}", f"-I{sysconfig.get_paths()['purelib']}", f"-I{well_known}", f"--python_out={folder}",
        f"--grpc_python_out={folder}", "prefscore/v1/scoring.proto", "prefscore/v1/models.proto",
        "prefscore/v1/diagnostics.proto",
    ])
    assert code == 0
    sys.path.insert(0, str(folder))
    from prefscore.v1 import (diagnostics_pb2, diagnostics_pb2_grpc, models_pb2, models_pb2_grpc, scoring_pb2,
                              scoring_pb2_grpc)

    class Api:
        scoring = scoring_pb2
        models = models_pb2
        diagnostics = diagnostics_pb2
        Scoring = scoring_pb2_grpc.ScoringServiceStub
        Models = models_pb2_grpc.ModelServiceStub
        Diagnostics = diagnostics_pb2_grpc.DiagnosticsServiceStub

        @staticmethod
        def text_pair(row):
            content = lambda text: scoring_pb2.Content(text=text)
            return scoring_pb2.PreferencePair(
                id=row.get("id", ""), prompt=content(row["prompt"]), chosen=content(row["chosen"]),
                rejected=content(row["rejected"]),
            )

        @staticmethod
        def ids_pair(prompt, chosen, rejected, id=""):
            content = lambda ids: scoring_pb2.Content(token_ids=scoring_pb2.TokenIds(ids=ids))
            return scoring_pb2.PreferencePair(
                id=id, prompt=content(prompt), chosen=content(chosen), rejected=content(rejected)
            )

    return Api
