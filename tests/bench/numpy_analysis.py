# SPDX-License-Identifier: Apache-2.0
"""What an Analyzer reports, in numpy: the sweep chunk by chunk as the caller says, all else by whole columns."""

import numpy as np
from numpy_objectives import (
    BY_PR, CHOSEN, LOGIT, LOSS, PC, PR, RC, REJECTED, REQUIRED, RR, Scratch, chunks, evaluate, exp_of_minus_abs,
    sigmoid_of_minus, softplus_of_minus,
)  # fmt: skip

# ---- the sweep of the sigmoid objective

LEARNING_LOGIT = np.log1p(-0.05) - np.log(0.05)
SATURATION_LOGIT = np.log1p(-0.01) - np.log(0.01)
BETAS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5)
RATIOS = (0, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 100)
DEFAULT_GRID = [(beta, ratio * beta) for beta in BETAS for ratio in RATIOS]
TEMPER_GRID = [(0.1, 0.05 * exponent) for exponent in (0.25, 0.5, 1, 2, 4)]


def cells_of(h, h0):
    """3 * (policy right, tie, wrong) + (reference right, tie, wrong)"""
    cells = np.full(h.shape, 4, np.int8)
    for margin, step in ((h, 3), (h0, 1)):
        cells -= np.multiply(margin > 0, step, dtype=np.int8)
        cells += np.multiply(margin < 0, step, dtype=np.int8)
    return cells


def sort_by_cell(h, h0):
    """Margins with the pairs of a cell side by side, the cells that are there and where each begins."""
    cells = cells_of(h, h0)
    order = np.argsort(cells, kind="stable")
    counts = np.bincount(cells, minlength=9)
    present = np.flatnonzero(counts)
    return h[order], h0[order], present, (np.cumsum(counts) - counts)[present]


def sweep(margins_by_cell, grid, chunk):
    """Sums per point: loss; counts positive, negative, learning, saturated; squared mass. And mass by cell."""
    h, h0, present, starts = margins_by_cell
    count = len(h)
    sums = np.zeros((len(grid), 6))
    masses = np.zeros((len(grid), 9))
    t, mask = Scratch(min(chunk, count)).first(None)
    for part in chunks(count, chunk):
        n = part.stop - part.start
        z, e, loss, temporary = t[:4, :n]
        is_true = mask[:n]
        inside = (starts < part.stop) & (np.append(starts[1:], count) > part.start)
        bounds, cells_inside = np.maximum(starts[inside] - part.start, 0), present[inside]
        for i, (beta, gamma) in enumerate(grid):
            np.multiply(h[part], beta, out=z)
            np.multiply(h0[part], gamma, out=temporary)
            z -= temporary
            exp_of_minus_abs(z, e)
            softplus_of_minus(z, e, loss, temporary)
            row = sums[i]
            row[0] += loss.sum()
            row[2] += np.count_nonzero(np.less(z, 0, out=is_true))
            row[3] += np.count_nonzero(np.less(z, LEARNING_LOGIT, out=is_true))
            row[4] += np.count_nonzero(np.greater(z, SATURATION_LOGIT, out=is_true))
            sigmoid_of_minus(z, e, loss, temporary, is_true)
            row[1] += np.count_nonzero(is_true)  # z > 0
            row[5] += loss.dot(loss)
            masses[i, cells_inside] += np.add.reduceat(loss, bounds)
    weights = np.array([beta for beta, _ in grid])
    return sums * np.stack([np.ones_like(weights)] * 5 + [weights**2], axis=1), masses * weights[:, None]


def sweep_plainly(pairs, grid):
    """The same as one would write it down, point by point."""
    h, h0 = pairs[PC] - pairs[PR], pairs[RC] - pairs[RR]
    cells = cells_of(h, h0)
    sums = []
    with np.errstate(over="ignore"):
        for beta, gamma in grid:
            z = beta * h - gamma * h0
            mass = beta / (1 + np.exp(z))
            by_cell = np.bincount(cells, mass, minlength=9)
            sums.append((np.logaddexp(0, -z).sum(), (z > 0).sum(), (z < 0).sum(), (z < LEARNING_LOGIT).sum(),
                         (z > SATURATION_LOGIT).sum(), (mass**2).sum(), *by_cell))  # fmt: skip
    return sums


def sweep_report(margins_by_cell, grid, chunk):
    count = len(margins_by_cell[0])
    sums, masses = sweep(margins_by_cell, grid, chunk)
    total = masses.sum(axis=1)
    return [
        {"beta": beta, "gamma": gamma, "mean_loss": row[0] / count, "accuracy": row[1] / count,
         "active_share": row[2] / count, "learning_share": row[3] / count, "saturated_share": row[4] / count,
         "gradient_mass": total[i], "gradient_mass_by_cell": masses[i].tolist(),
         "effective_sample_size": total[i] ** 2 / row[5] if row[5] > 0 else 0.0}
        for i, ((beta, gamma), row) in enumerate(zip(grid, sums))]  # fmt: skip


# ---- distributions

PROBABILITIES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
NUM_BUCKETS = 40


def exact_shape(values, minimum, maximum):
    """Quantiles and a histogram, as numpy's own functions have them."""
    return np.quantile(values, PROBABILITIES), np.histogram(values, NUM_BUCKETS, (minimum, maximum))[0]


def sketched_shape(values, minimum, maximum):
    """The same within 1/256, as Analyzer has them beyond 16,384 pairs: counts of the doubles' first 19 bits."""
    keys = values.view(np.int64) >> 45
    first = int(keys.min())
    keys -= first
    counts = np.bincount(keys)
    keys = np.flatnonzero(counts)
    counts = counts[keys]
    middles = (((keys + first) << 45) | (1 << 44)).view(np.float64)
    order = np.argsort(middles)
    middles, counts = np.clip(middles[order], minimum, maximum), counts[order]
    positions = np.multiply(PROBABILITIES, len(values) - 1)
    below = np.floor(positions).astype(int)
    ends = np.cumsum(counts)
    lower, upper = (middles[np.searchsorted(ends, position, side="right")] for position in (below, below + 1))
    histogram = np.histogram(middles, NUM_BUCKETS, (minimum, maximum), weights=counts)[0]
    return lower + (upper - lower) * (positions - below), histogram.astype(int)


def distribution(values, shape, temporary):
    count, mean, minimum, maximum = len(values), values.mean(), values.min(), values.max()
    np.subtract(values, mean, out=temporary)
    quantiles, histogram = shape(values, minimum, maximum)
    return {"count": count, "mean": mean, "deviation": np.sqrt(temporary.dot(temporary) / (count - 1)),
            "minimum": minimum, "maximum": maximum, "quantiles": quantiles.tolist(),
            "histogram": histogram.tolist()}  # fmt: skip


# ---- the analysis


def smallest(values, sign=1, count=10):
    """The `count` smallest of sign*values, of equal ones the first."""
    values = values if sign == 1 else -values
    whole = values[: len(values) // 1024 * 1024].reshape(-1, 1024)
    if len(whole) < count:
        candidates = np.arange(len(values))
    else:  # the smallest number of each row bounds what can be among the smallest of all
        bound = np.partition(whole.min(axis=1), count - 1)[count - 1]
        candidates = np.flatnonzero(values <= bound)
    best = candidates[np.argsort(values[candidates], kind="stable")[:count]]
    return [{"id": f"pair-{index:09d}", "value": sign * value} for index, value in zip(best, values[best])]


def correlation(x, y, temporary):
    x = x - x.mean()
    np.subtract(y, y.mean(), out=temporary)
    return x.dot(temporary) / np.sqrt(x.dot(x)) / np.sqrt(temporary.dot(temporary))


def share(mask):
    return np.count_nonzero(mask) / len(mask)


def check(pairs):
    for logp in pairs[:4]:
        assert -1e150 <= logp.min() and logp.max() <= 0
    for length in pairs[4:]:
        assert 1 <= length.min() and length.max() <= 1e15


def learning_table(cells, out, mass):
    cells = cells.astype(np.intp)
    counts = np.bincount(cells, minlength=9)
    by_reference = counts.reshape(3, 3).sum(axis=0)
    loss, logit, masses = (np.bincount(cells, weights=column, minlength=9) for column in (out[LOSS], out[LOGIT], mass))
    active = np.bincount(cells[out[LOGIT] < 0], minlength=9)
    learning = np.bincount(cells[out[LOGIT] < LEARNING_LOGIT], minlength=9)
    divisor = np.maximum(counts, 1)
    return [{"num_pairs": int(counts[i]), "share": counts[i] / counts.sum(), "mean_loss": loss[i] / divisor[i],
             "mean_logit": logit[i] / divisor[i], "gradient_mass": masses[i],
             "gradient_mass_share": masses[i] / masses.sum(), "active_share": active[i] / divisor[i],
             "learning_share": learning[i] / divisor[i],
             "num_initial_pairs": int(by_reference[i // 3]) if i % 4 == 0 else 0} for i in range(9)]  # fmt: skip


def analyze(pairs, shape, chunk, beta=0.1, gamma=0.05):
    """The report of the sigmoid objective, as report_json.h writes it, without sweep; and what a sweep starts from."""
    check(pairs)
    pc, pr, rc, rr, lc, lr = pairs
    count = len(pc)
    h, h0, a, b = pc - pr, rc - rr, pc - rc, pr - rr
    h_mean, h0_mean, length_gap = pc / lc - pr / lr, rc / lc - rr / lr, lc - lr
    margins_by_cell = sort_by_cell(h, h0)
    out = np.empty((11, count))
    evaluate("sigmoid", pairs, out, chunk)
    mass = out[BY_PR]  # beta * sigmoid(-z), as |d loss/d pc| is
    temporary = np.empty(count)

    def distributions(columns):
        return {name: distribution(values, shape, temporary) for name, values in columns.items()}

    signs, reference_signs = np.sign(h), np.sign(h0)
    chosen_fell = a < 0
    reward_margin = out[CHOSEN] - out[REJECTED]
    scaled = gamma * h0
    threshold = np.maximum(scaled, 0)
    threshold += np.log1p(np.exp(-np.abs(scaled)))
    report = {
        "num_pairs": count,
        "ranking": {
            "policy_accuracy": share(h > 0), "reference_accuracy": share(h0 > 0), "pessimistic_share": share(h0 < 0),
            "agreement": share(signs == reference_signs), "both_fell_share": share(chosen_fell & (b < 0)),
            "chosen_fell_share": share(chosen_fell), "policy_tie_share": share(h == 0),
            "reference_tie_share": share(h0 == 0)},
        "length": {
            "chosen_longer_share": share(length_gap > 0),
            "policy_margin_correlation": correlation(length_gap, h, temporary),
            "reference_margin_correlation": correlation(length_gap, h0, temporary),
            "policy_accuracy_per_token": share(h_mean > 0), "reference_accuracy_per_token": share(h0_mean > 0)},
        "distributions": distributions({
            "policy_margin": h, "reference_margin": h0, "chosen_logratio": a, "rejected_logratio": b,
            "policy_chosen_logp": pc, "policy_rejected_logp": pr, "num_chosen_tokens": lc, "num_rejected_tokens": lr,
            "policy_margin_per_token": h_mean, "reference_margin_per_token": h0_mean}),
        "objective": {
            "num_pairs": count, "mean_loss": out[LOSS].mean(), "accuracy": share(out[LOGIT] > 0),
            "reward_likelihood_agreement": share(np.sign(out[LOGIT]) == signs), "gradient_mass": mass.sum(),
            "effective_sample_size": mass.sum() ** 2 / mass.dot(mass),
            "saturated_share": share(out[LOGIT] > SATURATION_LOGIT),
            "distributions": distributions({
                "loss": out[LOSS], "logit": out[LOGIT], "required_margin": out[REQUIRED], "chosen_reward": out[CHOSEN],
                "rejected_reward": out[REJECTED], "reward_margin": reward_margin}),
            "largest_gradient_masses": smallest(mass, -1), "largest_required_margins": smallest(out[REQUIRED], -1),
            "learning_table": learning_table(cells_of(h, h0), out, mass),
            "temper": sweep_report(margins_by_cell, TEMPER_GRID, chunk),
            "flip": {"below_threshold_share": share(h > 0), "threshold": distribution(threshold, shape, temporary),
                     "ideal_accuracies": [share(scaled > np.log1p(-p) - np.log(p))
                                          for p in (0.6, 0.75, 0.9, 0.95, 0.99)]}},
        "most_negative_margins": smallest(h),
        "ties": [{"id": f"pair-{i:09d}", "value": h[i]} for i in np.flatnonzero((h == 0) | (h0 == 0))[:10]],
    }  # fmt: skip
    return report, margins_by_cell
