#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the results of scripts/gpu-check into one JSON file and one table.

    report.py FOLDER --json FILE

FOLDER holds steps.tsv (name, exit status, seconds, log or reason), check.json of gpu_check, kernel-speed.log and
peer.json of peer.py, of which all but the first may be missing or broken off. Exits with 1 where a step failed.
"""
import argparse
import json
import pathlib
import sys

VERDICTS = {0: "passed", 77: "left out", 124: "out of time", 137: "out of time"}


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # not written, or not to its end: its step says why
        return {}


def read_steps(path):
    steps = []
    for line in path.read_text().splitlines():
        name, status, seconds, note = line.split("\t")
        steps.append({"name": name, "status": int(status), "seconds": int(seconds), "note": note})
    return steps


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())
    print()


def number(value, digits=1):
    return "-" if value is None else f"{value:.{digits}f}"


def print_products(check, peer):
    rows = [["matrix product, TFLOP/s", "rows", "out x in", "ours", "torch.mm", "algorithm"]]
    large = check.get("large_product")
    if large:
        rows.append(["large", str(large["rows"]), f"{large['num_out']} x {large['num_in']}", number(large["tflops"], 3),
                     number(peer.get("large_product_tflops"), 3), large["algorithm"]])
    for model in check.get("models", []):
        for product in model.get("products", []):
            torch_rate = peer.get("products", {}).get(model["name"], {}).get(product["name"])
            rows.append([f"{model['name']} {product['name']}", str(product["rows"]),
                         f"{product['num_out']} x {product['num_in']}", number(product["tflops"], 3),
                         number(torch_rate, 3), product["algorithm"]])
    table(rows)


def print_models(check, peer):
    rows = [["bfloat16", "pairs", "ms", "pairs/s", "cached ref.", "body tok/s", "of GEMM", "transformers", "ratio",
             "same bits"]]
    for model in check.get("models", []):
        theirs = peer.get("models", {}).get(model["name"], {}).get("pairs_per_second")
        verdicts = (model.get("same_bits"), model.get("rows_are_independent"))
        same = "not checked" if None in verdicts else "yes" if verdicts == (True, "yes") else "NO"
        for batch in model.get("batches", []):
            ratio = batch["pairs_per_second"] / theirs if theirs else None
            rows.append([model["name"], str(batch["pairs"]), number(batch["milliseconds"], 2),
                         number(batch["pairs_per_second"], 2), number(batch["pairs_per_second_cached_reference"], 2),
                         number(batch["body_tokens_per_second"], 0), f"{100 * batch['share_of_matmul_rate']:.0f} %",
                         number(theirs, 2), number(ratio, 2), same])
    table(rows)
    for model in check.get("models", []):
        if "error" in model:
            print(f"{model['name']}: {model['error']}")
        if model.get("rows_are_independent", "yes") != "yes":
            print(f"{model['name']}: {model['rows_are_independent']}")
        if "load_seconds" in model:
            print(f"{model['name']}: loaded in {model['load_seconds']:.2f} s with the check of its products "
                  f"({model['load_gb_per_second']:.2f} GB/s); two callers "
                  f"{number(model.get('pairs_per_second_two_callers'), 2)} pairs/s")
    for name, model in peer.get("models", {}).items():
        if "error" in model:
            print(f"transformers, {name}: {model['error']}")
    if "transformers_error" in peer:
        print(peer["transformers_error"])
    elif peer:
        print(f"transformers {peer['transformers']} ({peer['attention']}), torch {peer['torch']}")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    steps = read_steps(arguments.folder / "steps.tsv")
    check, peer = read_json(arguments.folder / "check.json"), read_json(arguments.folder / "peer.json")
    environment = (arguments.folder / "environment.txt").read_text()
    speed_log = arguments.folder / "kernel-speed.log"
    kernel_speed = speed_log.read_text() if speed_log.exists() else ""
    arguments.json.write_text(
        json.dumps({"environment": environment.splitlines(), "steps": steps, "check": check,
                    "kernel_speed": kernel_speed.splitlines(), "peer": peer}, indent=1))

    print(environment)
    print(kernel_speed)
    if check:
        print_products(check, peer)
        print_models(check, peer)
    rows = [["step", "verdict", "seconds", "log"]]
    for step in steps:
        rows.append([step["name"], VERDICTS.get(step["status"], f"FAILED ({step['status']})"), str(step["seconds"]),
                     step["note"]])
    table(rows)
    failed = [step["name"] for step in steps if step["status"] not in (0, 77)]
    print("FAILED: " + ", ".join(failed) if failed else "all steps passed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
