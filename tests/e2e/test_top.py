# SPDX-License-Identifier: Apache-2.0
"""`prefscore top` against a real server: for scripts, in a terminal, and where there is no server."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time

import pytest


@pytest.fixture
def load(api, demo_server, demo_pairs):
    """Calls that go on during the test."""
    stop = threading.Event()

    def score():
        with demo_server.channel() as channel:
            request = api.scoring.ScorePairsRequest(pairs=[api.text_pair(row) for row in demo_pairs[:4]])
            while not stop.is_set():
                api.Scoring(channel).ScorePairs(request, timeout=60)

    thread = threading.Thread(target=score)
    thread.start()
    yield
    stop.set()
    thread.join()


def top(build_dir, *flags):
    return subprocess.run([build_dir / "prefscore", "top", *flags], capture_output=True, text=True, timeout=120)


def number(text):
    return float(text[:-1]) * {"k": 1e3, "M": 1e6}[text[-1]] if text[-1] in "kM" else float(text)


def test_once_tells_what_an_interval_held(build_dir, demo_server, load):
    before = demo_server.metric("prefscore_pairs_scored_total")
    done = top(build_dir, "--once", "--interval", "2", "--metrics", demo_server.metrics_url)
    scored = demo_server.metric("prefscore_pairs_scored_total") - before
    assert done.returncode == 0, done.stderr
    view = done.stdout
    rate = number(re.search(r"^pairs/s (\S+) ", view, re.MULTILINE)[1])
    assert 0 < rate <= scored / 2 + 0.5, "the interval is a part of this test's"
    assert re.search(r"^  ScorePairs +[\d.]+ +0\.0% +[\d.]+ +[\d.]+$", view, re.MULTILINE), view
    for model in ("policy", "reference"):
        assert re.search(rf"^  {model} +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+% +-?[\d.]+$", view, re.MULTILINE), view
    assert re.search(r"^pairs  accuracy [\d.]+%", view, re.MULTILINE), view
    assert re.search(r"^  interactive +\d", view, re.MULTILINE), view
    assert max(map(len, view.splitlines())) <= 80
    assert len(view.splitlines()) <= 24


def test_host_and_port_are_enough(build_dir, demo_server):
    address = re.search(r"//([^/]+)/", demo_server.metrics_url)[1]
    assert top(build_dir, "--once", "--interval", "0.1", "--metrics", address).returncode == 0


def test_an_unreachable_server_and_a_page_of_another_are_told(build_dir, demo_server):
    done = top(build_dir, "--once", "--metrics", "127.0.0.1:1")
    assert done.returncode == 1 and "http://127.0.0.1:1/metrics" in done.stderr and "onnect" in done.stderr
    done = top(build_dir, "--once", "--metrics", demo_server.metrics_url.replace("/metrics", "/nothing"))
    assert done.returncode == 1 and "HTTP 404" in done.stderr
    done = top(build_dir, "--once", "--metrics", demo_server.metrics_url, "--token-file", "/no/such/file")
    assert done.returncode == 1 and "--token-file" in done.stderr
    done = top(build_dir, "--metrics", demo_server.metrics_url)
    assert done.returncode == 1 and "--once" in done.stderr
    assert top(build_dir, "--interval", "0").returncode == 2


def test_a_token_is_not_sent_in_plain_text_to_another_machine(build_dir, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n")
    for metrics in ("scorer.invalid:9464", "http://scorer.invalid/metrics", "http://127.0.0.1:80@scorer.invalid:80",
                    "http://[2001:db8::1]:9464"):
        done = top(build_dir, "--once", "--metrics", metrics, "--token-file", token)
        assert done.returncode == 1 and "INVALID_ARGUMENT: a token is not sent in plain text to " in done.stderr, metrics
        assert "Use TLS, or a loopback address" in done.stderr
    for metrics in ("127.0.0.1:1", "http://localhost:1/metrics", "http://[::1]:1", "https://scorer.invalid:9464"):
        done = top(build_dir, "--once", "--metrics", metrics, "--token-file", token)
        assert done.returncode == 1 and "UNAVAILABLE: " in done.stderr, "it is asked: " + metrics
    token.write_text(" \n")
    done = top(build_dir, "--once", "--metrics", "127.0.0.1:1", "--token-file", token)
    assert done.returncode == 1 and f"--token-file '{token}': holds no token" in done.stderr


class Terminal:
    """A program on a terminal of 80 x 24."""

    def __init__(self, *command):
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.execv(command[0], [str(part) for part in command])
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.output = ""

    def wait_for(self, pattern, timeout_s=60):
        give_up_at = time.monotonic() + timeout_s
        while not re.search(pattern, self.output):
            assert time.monotonic() < give_up_at, self.output
            try:
                self.output += os.read(self.descriptor, 65536).decode()
            except OSError:  # the program ended
                assert re.search(pattern, self.output), self.output

    def press(self, key):
        os.write(self.descriptor, key.encode())


def test_on_a_terminal_it_draws_until_q(build_dir, demo_server, load):
    terminal = Terminal(build_dir / "prefscore", "top", "--interval", "0.2", "--metrics", demo_server.metrics_url)
    terminal.wait_for(r"pairs/s [1-9]")
    terminal.press("q")
    terminal.wait_for("\x1b\\[\\?1049l")  # the screen is given back
    assert os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1]) == 0
    os.close(terminal.descriptor)


def test_a_server_that_goes_away_and_comes_back(build_dir, start_server, demo_flags):
    with start_server(*demo_flags) as first:
        address = re.search(r"//([^/]+)/", first.metrics_url)[1]
        terminal = Terminal(build_dir / "prefscore", "top", "--interval", "0.2", "--metrics", address)
        terminal.wait_for(r"pairs/s 0 ")
    terminal.wait_for("NOT REACHED")
    with start_server(*demo_flags, "--metrics-listen", address) as second:
        assert second.address, second.log
        terminal.wait_for("RESTARTED")
    terminal.press("q")
    assert os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1]) == 0
    os.close(terminal.descriptor)
