# SPDX-License-Identifier: Apache-2.0
"""Servers for the tests of the Python package: a fake one per test, real ones with small models per session."""
import asyncio
import json

import pytest
from fake_server import FakeServer

import prefscore
from prefscore.retry import Clock


class FakeClock(Clock):
    """Time that passes only in sleeps, which return at once; chance that is always a half."""

    def __init__(self):
        self.time_s = 1000.0
        self.sleeps = []

    def now(self):
        return self.time_s

    def sleep(self, delay_s):
        self.sleeps.append(delay_s)
        self.time_s += delay_s

    def wait(self, condition, delay_s):
        condition.wait(0.03)  # what is restarted meanwhile needs some real time on a busy machine
        self.sleep(delay_s)

    async def async_sleep(self, delay_s):
        await asyncio.sleep(0.001)
        self.sleep(delay_s)

    def random(self):
        return 0.5


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def fake_server():
    with FakeServer() as server:
        yield server


@pytest.fixture
def fake_client(fake_server):
    """A client of `fake_server`."""
    with prefscore.Client(fake_server.address) as client:
        yield client


@pytest.fixture(scope="session")
def demo_client(demo_server):
    """A client of a real server with the models of deploy/demo."""
    with prefscore.Client(demo_server.address, timeout_s=120) as client:
        yield client


@pytest.fixture(scope="session")
def stories_flags(test_data):
    return ["--model", f"policy={test_data}/models/stories260k-dpo", "--model",
            f"reference={test_data}/models/stories260k"]  # fmt: skip


@pytest.fixture(scope="session")
def stories_server(start_server, stories_flags):
    """A real server with a small real pair of models; the fixture skips where there are no test data."""
    with start_server(*stories_flags) as server:
        assert server.address, server.log
        yield server


@pytest.fixture(scope="session")
def stories_rows(test_data):
    """Preference pairs for `stories_server`: dicts of id, prompt, chosen, rejected."""
    return [json.loads(line) for line in (test_data / "pairs/stories.jsonl").read_text().splitlines()]
