# SPDX-License-Identifier: Apache-2.0
"""A contender in a process of its own: it loads once, then scores all pairs whenever it is told to.

The child (`python contender.py NAME ...`) writes one JSON object a line: {"ready": description} once, then for each
line on its stdin {"seconds": scoring time, "logps": [[policy chosen, policy rejected, reference chosen, reference
rejected], ...]}, and after the last {"peak_rss_bytes"}.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import inputs

ENGINE_BATCH_TOKENS = 4096  # the server's default


def peak_rss_bytes(pid="self"):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


class Process:
    """The parent's side."""

    def __init__(self, name, arguments):
        self.name = name
        self._child = subprocess.Popen(
            [sys.executable, __file__, name, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.description = self._read()["ready"]

    def _read(self):
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self._child.wait()}")
        return json.loads(line)

    def score(self):
        self._child.stdin.write("score\n")
        self._child.stdin.flush()
        return self._read()

    def finish(self):
        """Ends the child; its peak resident memory."""
        self._child.stdin.close()
        peak = self._read()["peak_rss_bytes"]
        self._child.wait()
        return peak


def open_contender(args, pairs):
    """A context manager: (description, score() -> logps, the id of the process that works)."""
    if args.name.startswith("prefscore"):
        import prefscore_contender as ours

        return ours.serving(args, pairs, ours.REFERENCE_CACHED if args.name == "prefscore-cached" else ours.NO_CACHE)
    if args.name == "ctranslate2":
        import ctranslate2_contender

        return contextlib.nullcontext(ctranslate2_contender.load(args, pairs))
    import transformers_contenders

    return contextlib.nullcontext(transformers_contenders.load(args, pairs))


def become_engine(args, pairs):
    """The C++ program beside this file speaks the same protocol; never returns."""
    ids_file = inputs.CACHE / "pairs.json"
    ids_file.write_text(json.dumps([{"prompt": pair.prompt_ids, "completions": pair.completions} for pair in pairs]))
    folders = [inputs.model_folder(args.shape, role) for role in inputs.MODEL_SEEDS]
    command = [args.build_dir / "tests" / "bench" / "engine_contender", *folders, args.dtype, args.threads,
               ENGINE_BATCH_TOKENS, ids_file]  # fmt: skip
    os.execv(command[0], [str(part) for part in command])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--shape", choices=inputs.SHAPES, required=True)
    parser.add_argument("--num-pairs", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--build-dir", type=pathlib.Path, required=True)
    args = parser.parse_args()

    pairs = inputs.pick_pairs(args.num_pairs)
    if args.name == "engine":
        become_engine(args, pairs)

    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the replies
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

    def reply(**fields):
        print(json.dumps(fields), file=replies, flush=True)

    with open_contender(args, pairs) as (description, score, working_pid):
        reply(ready=description)
        for _ in sys.stdin:
            start = time.monotonic()
            logps = score()
            reply(seconds=time.monotonic() - start, logps=logps)
        reply(peak_rss_bytes=peak_rss_bytes(working_pid))


if __name__ == "__main__":
    main()
