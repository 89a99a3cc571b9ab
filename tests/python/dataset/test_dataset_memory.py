# SPDX-License-Identifier: Apache-2.0
"""However many rows there are, only some are in memory."""

import subprocess
import sys

import pytest

NUM_ROWS = 20_000
ROW_BYTES = 4_000
# What 16,000 rows would take, if they were held, is 64 MB and more.
MOST_GROWTH_MB = 16

RUN = """
import datasets, pathlib, re, sys, prefscore
from prefscore.dataset import run

address, kind, folder = sys.argv[1:]

def anonymous_mb():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", status)[1]) / 1000

def generate():
    for idx in range({num_rows}):
        yield {{"chosen": f"{{idx}} " + "a" * {row_bytes}, "rejected": f"{{idx}} b"}}

sizes = {{}}
record = run.OutputColumns.record
num_rows = 0

def counted(*arguments):
    global num_rows
    num_rows += 1
    if num_rows % 4000 == 0:
        sizes[num_rows] = anonymous_mb()
    return record(*arguments)

run.OutputColumns.record = counted
folder = pathlib.Path(folder)
if kind == "dataset":
    writer = datasets.arrow_writer.ArrowWriter(path=str(folder / "rows.arrow"), writer_batch_size=100)
    for row in generate():
        writer.write(row)
    writer.finalize()
    scored = prefscore.score_dataset(datasets.Dataset.from_file(str(folder / "rows.arrow")), address)
    assert scored[{num_rows} - 1]["policy_chosen_logp"] == -len(f"{{{num_rows} - 1}} ") - {row_bytes}
else:
    rows = datasets.IterableDataset.from_generator(generate)
    scored = prefscore.score_dataset(rows, address, checkpoint=folder / "checkpoint")
    assert sum(1 for _ in scored) == {num_rows}
print(sizes[{num_rows}] - sizes[4000], sizes)
"""


@pytest.mark.parametrize("kind", ["dataset", "iterable"])
def test_memory_does_not_grow_with_the_rows(fake_server, tmp_path, kind):
    class Forgetful(list):  # else the fake server keeps all pairs
        def append(self, pair):
            pass

    fake_server.pairs = Forgetful()
    code = RUN.format(num_rows=NUM_ROWS, row_bytes=ROW_BYTES)
    ended = subprocess.run([sys.executable, "-c", code, fake_server.address, kind, tmp_path], capture_output=True,
                           text=True, timeout=300)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout.split()[0]) < MOST_GROWTH_MB, ended.stdout
