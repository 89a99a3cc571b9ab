"""What the Python tests share: where the build, the test data and the demo are, and real servers."""
import contextlib
import json
import os
import pathlib

import pytest

REPO = pathlib.Path(__file__).resolve().parent.parent
DEMO = REPO / "deploy/demo"


@pytest.fixture(scope="session")
def build_dir() -> pathlib.Path:
    """The CMake build folder; its programs must be built."""
    return pathlib.Path(os.environ.get("PREFSCORE_BUILD_DIR", REPO / "build"))


@pytest.fixture(scope="session")
def test_data() -> pathlib.Path:
    """Real models, tokenizers, chat templates and pairs, which the repository does not ship."""
    folder = os.environ.get("PREFSCORE_TEST_DATA")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("PREFSCORE_TEST_DATA names no folder of real models, tokenizers and pairs")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def start_server(build_dir, tmp_path_factory):
    """start_server(*flags): a context manager that gives a Server, ready or ended, and stops it."""
    from real_server import Server  # here, for scripts/gpu-check: its tests run where no grpc is

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
    """Dicts of id, prompt, chosen, rejected and so on."""
    return [json.loads(line) for line in (DEMO / "pairs.jsonl").read_text().splitlines()]
