#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scores the same file with prefscore.score_dataset and with the C++ client (`prefscore score`), in turns, and prints a
Markdown table.

    PREFSCORE_TEST_DATA=... .venv/bin/python tests/bench/python_dataset.py [--pairs 48] [--rounds 3]

The server is one process, without a cache; the two clients find it alike. See README.md beside this file.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import inputs
import server_process

import prefscore

DEMO = inputs.REPO / "deploy/demo"


def write_rows(path, rows, num_rows):
    """`rows`, again and again. None share a prompt: those of one batch would be computed once."""
    with open(path, "w", encoding="utf-8") as file:
        for idx in range(num_rows):
            row = rows[idx % len(rows)]
            row = {"prompt": f"{idx} {row['prompt']}", "chosen": row["chosen"], "rejected": row["rejected"]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


@dataclasses.dataclass
class Client:
    """score() writes `output`; its seconds are added to `seconds`."""

    name: str
    output: pathlib.Path
    run: object
    seconds: list = dataclasses.field(default_factory=list)

    def score(self):
        start = time.monotonic()
        self.run(self.output)
        self.seconds.append(time.monotonic() - start)

    def logps(self):
        rows = [json.loads(line) for line in self.output.read_text(encoding="utf-8").splitlines()]
        return [(row["policy_chosen_logp"], row["policy_rejected_logp"]) for row in rows]


def measure(args, name, model_folders, rows, num_rows):
    """Prints a row of the table."""
    flags = [part for role, folder in model_folders.items() for part in ("--model", f"{role}={folder}")]
    with (
        tempfile.TemporaryDirectory() as folder,
        server_process.serving(args.build_dir, *flags, "--cache-dir", "") as server,
    ):
        folder = pathlib.Path(folder)
        source = folder / "pairs.jsonl"
        write_rows(source, rows, num_rows)

        def run_cli(output):
            files = ["--input", source, "--output", output, "--overwrite"]
            command = [args.build_dir / "prefscore", "score", "--server", server.address, *files]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def run_python(output):
            prefscore.score_dataset(source, server.address, output=output)

        clients = [Client("C++", folder / "cli.jsonl", run_cli), Client("Python", folder / "python.jsonl", run_python)]
        for client in clients:  # warm
            client.run(client.output)
        for _ in range(args.rounds):
            for client in clients:
                client.score()
            clients.reverse()
        by_name = {client.name: client for client in clients}
        assert by_name["C++"].logps() == by_name["Python"].logps(), "the clients' numbers differ"
    cpp, python = (num_rows / statistics.median(by_name[name].seconds) for name in ("C++", "Python"))
    print(f"| {name} | {num_rows} | {cpp:.1f} | {python:.1f} | {python / cpp:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=48, help="for the model of 125M weights (default: %(default)s)")
    parser.add_argument("--tiny-pairs", type=int, default=5000, help="for the demo's models (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds after a warm-up (default: %(default)s)")
    parser.add_argument("--build-dir", type=pathlib.Path, default=inputs.REPO / "build", help="(default: build)")
    args = parser.parse_args()

    inputs.CACHE.mkdir(parents=True, exist_ok=True)
    inputs.make_models("llama-125m")
    large = {role: inputs.model_folder("llama-125m", role) for role in inputs.MODEL_SEEDS}
    large_rows = [dataclasses.asdict(pair) for pair in inputs.pick_pairs(min(args.pairs, 48))]
    tiny = {role: DEMO / "models" / role for role in inputs.MODEL_SEEDS}
    tiny_rows = [json.loads(line) for line in (DEMO / "pairs.jsonl").read_text().splitlines()]
    print(f"{len(os.sched_getaffinity(0))} cores, load average before the run {os.getloadavg()[0]:.1f}\n")
    print("| models | rows | C++, pairs/s | Python, pairs/s | Python to C++ |\n|---|---|---|---|---|")
    measure(args, "llama-125m", large, large_rows, args.pairs)
    measure(args, "demo (tiny: the clients' own cost)", tiny, tiny_rows, args.tiny_pairs)


if __name__ == "__main__":
    main()
