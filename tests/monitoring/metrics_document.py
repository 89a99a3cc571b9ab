# SPDX-License-Identifier: Apache-2.0
"""deploy/METRICS.md, read."""
import dataclasses
import pathlib
import re

REPO = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = REPO / "deploy/METRICS.md"


@dataclasses.dataclass
class DocumentedMetric:
    type: str
    labels: set
    values: dict  # by label: the set of its values, where the metric's row lists them
    meaning: str


def rows(text):
    """The cells of each row of each table."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


def read_metrics():
    """DocumentedMetric by name."""
    metrics = {}
    for cells in rows(DOCUMENT.read_text()):
        if len(cells) != 5 or not cells[0].startswith("`"):
            continue
        (name,) = quoted(cells[0])
        assert name not in metrics, f"{name} is documented twice"
        labels, values = [], {}
        # `code` | `priority`, `reason`: `queued_tokens`, ...: what follows a colon are values of the label before it
        for part in re.split(r"(?=`\w+`:)", cells[2]):
            head = re.match(r"`(\w+)`:", part)
            if head:
                labels.append(head[1])
                values[head[1]] = set(quoted(part[head.end():]))
            else:
                labels += quoted(part)
        metrics[name] = DocumentedMetric(cells[1], set(labels), values, cells[3])
    return metrics


def read_label_values():
    """By label: the set of values that the table of labels lists; empty where it only says what they are."""
    values = {}
    section = DOCUMENT.read_text().split("## Labels")[1].split("\n## ")[0]
    for label, meaning in rows(section):
        for name in quoted(label):
            values[name] = set(quoted(meaning))
    return values


def family_of(series):
    """The metric that a series belongs to: a histogram's has three names."""
    return re.sub(r"_(bucket|sum|count)$", "", series)
