#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Evaluates and analyses the same pairs with prefscore and numpy, in one run on one core, and prints a Markdown report.

    .venv/bin/python tests/bench/diagnostics.py [--build-dir build] [--rounds 5] [--only evaluate/orpo analyze ...]

See README.md beside this file for what is measured and how to read it.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
# numpy as shipped: nobody's advice on instruction sets, one thread; and memory that it keeps, instead of giving it back
# to the system after every temporary.
OUR_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "NPY_", "MALLOC_"))
}
NUMPY_ENVIRONMENT = OUR_ENVIRONMENT | {
    "OPENBLAS_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
}  # fmt: skip
if __name__ == "__main__" and dict(os.environ) != NUMPY_ENVIRONMENT:  # it is read when numpy is loaded
    os.execve(sys.executable, [sys.executable, *sys.argv], NUMPY_ENVIRONMENT)

import numpy as np  # noqa: E402
import numpy_analysis  # noqa: E402
import numpy_objectives  # noqa: E402

ALL = 1 << 30
CHUNKS = (4096, 8192, 16384, 32768, 65536, ALL)
EXACT_PAIRS = 16384  # so many values an Analyzer keeps, and its quantiles are exact
GRID = numpy_analysis.DEFAULT_GRID


def log(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


class Program:
    """diagnostics_bench."""

    def __init__(self, path, seconds):
        self.path = path
        self.seconds = seconds
        self.most_wall_to_cpu = 1.0

    def run(self, *arguments):
        return subprocess.run([self.path, *arguments], env=OUR_ENVIRONMENT, check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True).stdout  # fmt: skip

    def time(self, name, num_pairs):
        """Seconds of CPU time of one pass over the pairs."""
        output = self.run("--num_pairs", str(num_pairs), f"--benchmark_filter=^{name}$", "--benchmark_format=json",
                          f"--benchmark_min_time={self.seconds}")  # fmt: skip
        (result,) = json.loads(output)["benchmarks"]
        assert result["time_unit"] == "ms"
        self.most_wall_to_cpu = max(self.most_wall_to_cpu, result["real_time"] / result["cpu_time"])
        return result["cpu_time"] / 1e3

    def dump(self, num_pairs, folder):
        self.run("--num_pairs", str(num_pairs), "--dump", str(folder))


def load(folder, name, num_rows):
    return np.fromfile(folder / f"{name}.f64").reshape(num_rows, -1)


# ---- numpy's side


def time_calls(function, seconds):
    """Seconds of CPU time of one call."""
    num_calls, start = 0, time.process_time()
    while num_calls == 0 or time.process_time() - start < seconds:
        function()
        num_calls += 1
    return (time.process_time() - start) / num_calls


class NumpyWork:
    """What numpy does in each case, over pairs in memory."""

    def __init__(self, pairs):
        self.pairs = pairs
        self.out = np.empty((11, pairs.shape[1]))
        self.margins_by_cell = numpy_analysis.sort_by_cell(pairs[0] - pairs[1], pairs[2] - pairs[3])
        self.chunks = {}

    def call(self, name, chunk):
        if name.startswith("evaluate/"):
            numpy_objectives.evaluate(name.removeprefix("evaluate/"), self.pairs, self.out, chunk)
        elif name == "sweep":
            numpy_analysis.sweep(self.margins_by_cell, GRID, chunk)
        elif name == "analyze/exact":
            numpy_analysis.analyze(self.pairs, numpy_analysis.exact_shape, chunk)
        elif name == "analyze/sketched":
            numpy_analysis.analyze(self.pairs, numpy_analysis.sketched_shape, chunk)
        elif name == "plain/evaluate":
            numpy_objectives.evaluate_plainly(self.pairs)
        elif name == "plain/sweep":
            numpy_analysis.sweep_plainly(self.pairs, GRID)

    def time(self, name, seconds):
        return time_calls(lambda: self.call(name, self.chunks[name]), seconds)

    def choose_chunk(self, name):
        """The fastest, of two runs each; the second finds memory and code warm."""
        if name.startswith("plain/"):
            self.chunks[name] = ALL
            return
        seconds = {chunk: min(time_calls(lambda: self.call(name, chunk), 0) for _ in range(2)) for chunk in CHUNKS}
        self.chunks[name] = min(seconds, key=seconds.get)


# ---- whether both did the same


def compare_evaluations(name, pairs, folder):
    """Relative difference of the loss sums; largest difference in any column, in units of its mean magnitude."""
    ours, numpys = load(folder, f"evaluate-{name}", 11), np.empty((11, pairs.shape[1]))
    numpy_objectives.evaluate(name, pairs, numpys, EXACT_PAIRS)
    our_loss, numpys_loss = (values[numpy_objectives.LOSS].sum() for values in (ours, numpys))
    scale = np.abs(ours).mean(axis=1)
    difference = np.abs(ours - numpys).max(axis=1) / np.where(scale > 0, scale, 1)
    return abs(our_loss - numpys_loss) / abs(our_loss), difference.max()


class ReportComparison:
    """Walks two reports of one structure."""

    # What must be equal to the last bit: ids, counts, and shares, which are quotients of counts.
    EQUAL = ("count", "num_pairs", "num_initial_pairs", "accuracy", "accuracy_per_token", "agreement", "accuracies",
             "beta", "gamma", "id")  # fmt: skip

    def __init__(self, ours, numpys):
        self.num_equal = self.num_unequal = 0
        self.worst_number = self.worst_quantile = self.worst_histogram = 0.0
        self.walk("", ours, numpys)

    def walk(self, name, ours, numpys):
        if isinstance(ours, dict):
            assert ours.keys() == numpys.keys(), (name, ours.keys() ^ numpys.keys())
            for key in ours:
                self.walk(key, ours[key], numpys[key])
        elif name == "histogram":
            moved = sum(abs(x - y) for x, y in zip(ours, numpys, strict=True)) / 2 / sum(ours)
            self.worst_histogram = max(self.worst_histogram, moved)
        elif isinstance(ours, list):
            for mine, other in zip(ours, numpys, strict=True):
                self.walk(name, mine, other)
        elif name.endswith(self.EQUAL) or (name.endswith("_share") and name != "gradient_mass_share"):
            self.num_equal += ours == numpys
            self.num_unequal += ours != numpys
        else:
            difference = 0.0 if ours == numpys else abs(ours - numpys) / max(abs(ours), abs(numpys))
            if name == "quantiles":
                self.worst_quantile = max(self.worst_quantile, difference)
            else:
                self.worst_number = max(self.worst_number, difference)


def compare_reports(pairs, folder):
    ours = json.loads((folder / "report.json").read_text())
    numpys, margins_by_cell = numpy_analysis.analyze(pairs, numpy_analysis.exact_shape, EXACT_PAIRS)
    numpys["objective"]["sweep"] = numpy_analysis.sweep_report(margins_by_cell, GRID, EXACT_PAIRS)
    return ReportComparison(ours, numpys)


# ---- the report


def print_timings(num_pairs, ours, numpys, chunks):
    def row(work, unit, num_items, our_seconds, peer, numpy_seconds=None):
        numpy_seconds = numpy_seconds or numpys[peer]
        rates = [num_items / 1e6 / of(seconds)
                 for seconds in (our_seconds, numpy_seconds) for of in (statistics.median, min)]  # fmt: skip
        chunk = "all" if chunks[peer] == ALL else f"{chunks[peer]:,}"
        print(f"| {work} | {unit} | {rates[0]:.2f} | {rates[1]:.2f} | {rates[2]:.2f} | {rates[3]:.2f} "
              f"| {rates[0] / rates[2]:.2f} | {chunk} |")  # fmt: skip

    print("| work | millions per second | prefscore | best | numpy | best | ratio | numpy's chunk |")
    print("|---|---|---|---|---|---|---|---|")
    for name in ours:
        if name.startswith("evaluate/"):
            row(name.replace("/", " "), "pairs", num_pairs, ours[name], name)
    if "plain/evaluate" in numpys:
        row("evaluate sigmoid, plain numpy", "pairs", num_pairs, ours["evaluate/sigmoid"], "plain/evaluate")
    if "analyze/plain" not in ours:
        return
    plain, both = ours["analyze/plain"], ours["analyze/sweep"]
    sweep = [y - x for x, y in zip(plain, both)]
    num_evaluations = num_pairs * len(GRID)
    row("sweep", "grid evaluations", num_evaluations, sweep, "sweep")
    row("sweep, plain numpy", "grid evaluations", num_evaluations, sweep, "plain/sweep")
    row("analyze", "pairs", num_pairs, plain, "analyze/exact")
    row("analyze, numpy with sketches", "pairs", num_pairs, plain, "analyze/sketched")
    row("analyze with sweep", "pairs", num_pairs, both, "sweep",
        [x + y for x, y in zip(numpys["analyze/exact"], numpys["sweep"])])  # fmt: skip


def print_evaluation_differences(names, pairs, folder):
    print("\n| evaluate | loss sums, relative difference | largest difference in a column, to its mean |")
    print("|---|---|---|")
    for name in names:
        of_sums, of_columns = compare_evaluations(name, pairs, folder)
        print(f"| {name} | {of_sums:.1e} | {of_columns:.1e} |")


def print_report_differences(comparisons):
    print("\n| report of | counts, shares, ids that differ | other numbers, relative | quantiles, relative "
          "| values in another bucket |")  # fmt: skip
    print("|---|---|---|---|---|")
    for num_pairs, found in comparisons.items():
        print(f"| {num_pairs:,} pairs | {found.num_unequal} of {found.num_equal + found.num_unequal} "
              f"| {found.worst_number:.1e} | {found.worst_quantile:.1e} | {found.worst_histogram:.1e} |")  # fmt: skip


def parse_arguments():
    work = (*(f"evaluate/{name}" for name in numpy_objectives.OBJECTIVES), "analyze")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5,
                        help="CPU time of a measurement at least; one per work, side and round (default: %(default)s)")
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)), help="(default: %(default)s)")
    parser.add_argument("--build-dir", type=pathlib.Path, default=REPO / "build", help="(default: build)")
    parser.add_argument("--only", nargs="+", choices=work, default=work, help="(default: all)")
    return parser.parse_args()


def main():
    args = parse_arguments()
    load_before = os.getloadavg()[0]
    os.sched_setaffinity(0, {args.core})  # and of the program, which inherits it
    objectives = [name for name in args.only if name != "analyze"]
    our_names, numpy_names = list(objectives), list(objectives)
    if "evaluate/sigmoid" in objectives:
        numpy_names.append("plain/evaluate")
    if "analyze" in args.only:
        our_names += ["analyze/plain", "analyze/sweep"]
        numpy_names += ["analyze/exact", "analyze/sketched", "sweep", "plain/sweep"]

    program = Program(args.build_dir / "tests" / "diagnostics_bench", args.seconds)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        comparisons = {}
        for num_pairs in dict.fromkeys((EXACT_PAIRS, args.pairs)):
            program.dump(num_pairs, folder)
            pairs = load(folder, "pairs", 6)
            if "analyze" in args.only:
                comparisons[num_pairs] = compare_reports(pairs, folder)
        work = NumpyWork(pairs)
        for name in numpy_names:
            work.choose_chunk(name)
        ours, numpys = ({name: [] for name in names} for names in (our_names, numpy_names))
        sides = [(ours, lambda name: program.time(name, args.pairs)),
                 (numpys, lambda name: work.time(name, args.seconds))]  # fmt: skip
        for round_number in range(args.rounds):
            log(f"round {round_number + 1} of {args.rounds}")
            for seconds, measure in sides:
                for name in seconds:
                    seconds[name].append(measure(name))
            sides.reverse()
        print(f"{args.pairs:,} pairs; {args.rounds} rounds, prefscore and numpy {np.__version__} in turn, on one core; "
              f"CPU time, medians. Load average before the run: {load_before:.1f}; largest wall to CPU time: "
              f"{program.most_wall_to_cpu:.2f}.\n")  # fmt: skip
        print_timings(args.pairs, ours, numpys, work.chunks)
        print_evaluation_differences([name.removeprefix("evaluate/") for name in objectives], pairs, folder)
        print_report_differences(comparisons)


if __name__ == "__main__":
    main()
