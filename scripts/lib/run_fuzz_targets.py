# SPDX-License-Identifier: Apache-2.0
"""Runs built fuzz targets, two at a time, and prints a table of what they did. Used by scripts/fuzz."""

import argparse
import concurrent.futures
import dataclasses
import pathlib
import re
import subprocess
import sys

SEEDS = pathlib.Path("tests/fuzz/corpus")
MAX_RSS_MB = 2048
# One input may take this long before it counts as a hang; a busy machine is no reason to cry wolf.
MAX_INPUT_SECONDS = 60
NUM_AT_ONCE = 2


@dataclasses.dataclass
class Outcome:
    target: str
    executions: int = 0
    executions_per_s: int = 0
    edges: int = 0
    new_edges: int = 0  # beyond those of the seeds and of what earlier runs found
    corpus: int = 0
    new_inputs: int = 0
    crash: str = ""
    log: str = ""


def run(target: str, build_dir: pathlib.Path, seconds: int) -> Outcome:
    found = build_dir / "fuzz" / "found" / target
    crashes = build_dir / "fuzz" / "crashes" / target
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = [str(SEEDS / target)] if (SEEDS / target).is_dir() else []
    command = [
        str(build_dir / "fuzz" / target), str(found), *seeds, f"-max_total_time={seconds}", "-print_final_stats=1",
        f"-timeout={MAX_INPUT_SECONDS}", f"-rss_limit_mb={MAX_RSS_MB}", f"-artifact_prefix={crashes}/",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return outcome_of(target, done.returncode, done.stdout.decode(errors="replace"))


def outcome_of(target: str, exit_code: int, log: str) -> Outcome:
    def last_number(pattern: str) -> int:
        numbers = re.findall(pattern, log)
        return int(numbers[-1]) if numbers else 0

    edges_at_start = re.search(r"INITED cov: (\d+)", log)
    edges = last_number(r" cov: (\d+)")
    outcome = Outcome(
        target,
        executions=last_number(r"stat::number_of_executed_units: (\d+)"),
        executions_per_s=last_number(r"stat::average_exec_per_sec: +(\d+)"),
        edges=edges,
        new_edges=edges - int(edges_at_start[1]) if edges_at_start else 0,
        corpus=last_number(r" corp: (\d+)"),
        new_inputs=last_number(r"stat::new_units_added: +(\d+)"),
        log=log,
    )
    if exit_code != 0:
        named = re.search(r"Test unit written to (\S+)", log)
        outcome.crash = named[1] if named else f"exit code {exit_code}"
    elif outcome.executions == 0 or outcome.edges == 0:
        outcome.crash = "nothing was run"
    return outcome


def table(outcomes: list[Outcome]) -> str:
    lines = [f"{'target':<16}{'executions':>12}{'exec/s':>9}{'edges':>8}{'new':>7}{'corpus':>8}{'new':>7}  crash"]
    for outcome in outcomes:
        lines.append(f"{outcome.target:<16}{outcome.executions:>12}{outcome.executions_per_s:>9}{outcome.edges:>8}"
                     f"{outcome.new_edges:>7}{outcome.corpus:>8}{outcome.new_inputs:>7}  {outcome.crash or '-'}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("targets", nargs="+")
    arguments = parser.parse_args()
    with concurrent.futures.ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        outcomes = list(pool.map(lambda target: run(target, arguments.build_dir, arguments.seconds),
                                 arguments.targets))
    for outcome in outcomes:
        if outcome.crash:
            print(f"--- {outcome.target}\n{outcome.log[-6000:]}", file=sys.stderr)
    print(table(outcomes))
    return 1 if any(outcome.crash for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
