# SPDX-License-Identifier: Apache-2.0
"""A batch that never ends: a stop does not wait for it beyond the grace, says which one it was, and ends with a code of
its own."""
import re
import shutil
import subprocess
import threading

import grpc
import pytest
from real_server import wait_until
from scoring_calls import random_pairs, score

BATCH_HUNG = 5
NUM_PAIRS = 200
# Memory for a matrix is a place that a batch comes by, and, once it is served, nothing else of the server.
HANGING_ALLOC = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
void* aligned_alloc(size_t alignment, size_t size) {
  static void* (*next)(size_t, size_t);
  if (next == NULL) next = (void* (*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");
  const char* file = getenv("HANG_WHILE_THERE_IS");
  while (file != NULL && size >= 65536 && access(file, F_OK) == 0) pause();
  return next(alignment, size);
}
"""


@pytest.fixture
def hang(monkeypatch, tmp_path):
    """A file: while it is there, batches hang in servers that are started from now on."""
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    library, file = tmp_path / "hang.so", tmp_path / "hang"
    subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", library, "-ldl"], input=HANGING_ALLOC,
                   text=True, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("HANG_WHILE_THERE_IS", str(file))
    return file


def test_a_batch_that_hangs_ends_the_process_after_the_grace(start_server, demo_flags, hang, monkeypatch):
    with start_server(*demo_flags, "--max-batch-tokens", 2000, "--shutdown-grace", 1) as server:
        monkeypatch.delenv("LD_PRELOAD")
        assert server.address, server.log
        wait_until("the cost of a pass is known", lambda: "model 'reference' takes" in server.log)
        hang.touch()
        codes = []

        def call():
            try:
                score(server, random_pairs(NUM_PAIRS))
            except grpc.RpcError as error:
                codes.append(error.code())

        caller = threading.Thread(target=call)
        caller.start()
        wait_until("a batch of it runs", lambda: 0 < server.metric("prefscore_queued_pairs") < NUM_PAIRS)
        server.process.terminate()
        assert server.process.wait(timeout=120) == BATCH_HUNG, server.log
        caller.join(timeout=60)
    assert codes == [grpc.StatusCode.UNAVAILABLE], "a client tries elsewhere"
    assert re.search(r"ended without waiting any longer: a batch of \d+ pairs or prompts, \d+ tokens, under 'policy' and "
                     r"'reference' has run for [\d.e+]+ s and has not ended", server.log), server.log
    assert re.search(r"cut off by .*: [1-9]\d* pairs, .*, 1 calls that had no answer yet", server.log), server.log
