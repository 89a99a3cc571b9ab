# SPDX-License-Identifier: Apache-2.0
"""What soak.py makes of its samples and counts."""

import collections
import statistics

import scipy.stats

# A model's memory takes a while to settle: allocators keep what peaks needed, the cache fills.
WARM_UP_SHARE = 0.2
NUM_BLOCKS = 20
_CODES_OF_COMPLETIONS = {"OK", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
MAX_MB_PER_HOUR = 5


def slope_per_hour(times_s, values):
    """(slope, half width of its 95 % confidence interval) by a line through the means of blocks.

    Samples of successive seconds are alike; block means are nearly independent, as the interval wants them.
    """
    size = len(times_s) // NUM_BLOCKS
    if size == 0:
        return float("nan"), float("inf")
    blocks = [slice(begin, begin + size) for begin in range(0, size * NUM_BLOCKS, size)]
    fit = scipy.stats.linregress([statistics.fmean(times_s[block]) for block in blocks],
                                 [statistics.fmean(values[block]) for block in blocks])  # fmt: skip
    return 3600 * fit.slope, 3600 * fit.stderr * scipy.stats.t.ppf(0.975, NUM_BLOCKS - 2)


def disagreements(tally, served):
    """Where the server's counts are not the client's: sentences, none where all agree.

    served: calls by method and code. Calls that the client gave up are all of one method: the server may have
    answered them, or never have seen them, so that of this method only the bounds are checked.
    """
    problems = []
    methods = {method for method, _ in [*tally.calls, *served]}
    for method in sorted(methods - {"ScoreCompletions"}):
        for code in sorted({code for each, code in [*tally.calls, *served] if each == method}):
            if tally.calls[method, code] != served[method, code]:
                problems.append(f"{method} {code}: the client counts {tally.calls[method, code]}, the server {served[method, code]}")
    total = lambda counts: sum(count for (method, _), count in counts.items() if method == "ScoreCompletions")
    if not total(tally.calls) - tally.num_abandoned <= total(served) <= total(tally.calls):
        problems.append(f"ScoreCompletions: the client counts {total(tally.calls)} calls, of which it gave up "
                        f"{tally.num_abandoned}; the server counts {total(served)}")  # fmt: skip
    for code in {code for method, code in served if method == "ScoreCompletions"} - _CODES_OF_COMPLETIONS:
        problems.append(f"ScoreCompletions {code}: the server counts {served['ScoreCompletions', code]}, nobody asked for it")
    surplus = served["ScoreCompletions", "OK"] - tally.calls["ScoreCompletions", "OK"]
    if not 0 <= surplus <= tally.num_abandoned:
        problems.append(f"ScoreCompletions OK: the server counts {surplus} more than the client")
    return problems


def latency_rows(latencies, seconds_per_row):
    """Markdown: per kind and span of time the median, 99th percentile and maximum."""
    spans = collections.defaultdict(list)
    for begin_s, kind, latency_s in latencies:
        spans[kind, int(begin_s // seconds_per_row)].append(1e3 * latency_s)
    rows = ["| kind | from minute | calls | p50 ms | p99 ms | max ms |", "|---|---|---|---|---|---|"]
    for (kind, span), values in sorted(spans.items()):
        values.sort()
        rows.append(f"| {kind} | {span * seconds_per_row / 60:.1f} | {len(values)} | {statistics.median(values):.1f} | "
                    f"{values[min(int(0.99 * len(values)), len(values) - 1)]:.1f} | {values[-1]:.1f} |")  # fmt: skip
    return rows
