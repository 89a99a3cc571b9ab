"""What the Python tests share: where the build, the test data and the demo are."""
import os
import pathlib

import pytest

REPO = pathlib.Path(__file__).resolve().parent.parent


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
