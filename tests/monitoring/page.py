# SPDX-License-Identifier: Apache-2.0
"""Draws the dashboards on one HTML page, for eyes: what Grafana would show, plainly."""
import html

from dashboards import ask

COLOURS = ["#3366cc", "#dc3912", "#ff9900", "#109618", "#990099", "#0099c6", "#dd4477", "#66aa00", "#b82e2e", "#316395"]
WIDTH, HEIGHT, LEFT = 420, 150, 60
STYLE = """body{font:13px sans-serif;margin:16px} .grid{display:grid;grid-template-columns:repeat(24,1fr);gap:8px}
figure{margin:0;overflow:hidden;border:1px solid #ccc;padding:6px} figcaption{font-weight:bold} small{color:#555;display:block}
svg{width:100%;max-height:220px} .big{font-size:26px} .key{margin-right:10px;white-space:nowrap} table{border-collapse:collapse}
td,th{border:1px solid #ccc;padding:2px 6px;text-align:left}"""


def number(value, unit):
    """As Grafana writes it, roughly."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit in ("bytes", "Bps"):
        scale, name = next((2**power, name) for power, name in ((30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "B"))
                           if abs(value) >= 2**power or power == 0)
        return f"{value / scale:.3g} {name}{'/s' if unit == 'Bps' else ''}"
    return f"{value:.3g}{' /s' if unit in ('reqps', 'cps') else ''}"


def chart(series, unit, start, end):
    values = [value for _, points in series for _, value in points]
    low, high = min(0, *values), max(values)
    high = high if high > low else low + 1
    x = lambda time: LEFT + (time - start) / (end - start) * (WIDTH - LEFT - 5)
    y = lambda value: HEIGHT - 15 - (value - low) / (high - low) * (HEIGHT - 25)
    lines = []
    for value in (low, (low + high) / 2, high):
        at = y(value)
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 4}" y="{at + 4:.1f}" font-size="10" text-anchor="end">'
                     f'{number(value, unit)}</text>')
    for index, (_, points) in enumerate(series):
        path = " ".join(f"{x(time):.1f},{y(value):.1f}" for time, value in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[index % len(COLOURS)]}"/>')
    keys = " ".join(f'<span class="key" style="color:{COLOURS[index % len(COLOURS)]}">{html.escape(legend)}</span>'
                    for index, (legend, _) in enumerate(series))
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(lines)}</svg>{keys}'


def last_values(series, unit):
    return "<table>" + "".join(f"<tr><td>{html.escape(legend)}</td><td>{number(points[-1][1], unit)}</td></tr>"
                               for legend, points in series) + "</table>"


def figure(panel, prometheus, start, end):
    unit, place = panel["fieldConfig"]["defaults"]["unit"], panel["gridPos"]
    series = [each for target in panel["targets"] for each in ask(prometheus, target, start, end)]
    if not series:
        body = "no data"
    elif panel["type"] == "timeseries":
        body = chart(series, unit, start, end)
    elif panel["type"] == "stat":
        body = f'<span class="big">{number(series[0][1][-1][1], unit)}</span>'
    else:
        body = last_values(series, unit)
    return (f'<figure style="grid-column:{place["x"] + 1}/span {place["w"]}"><figcaption>{html.escape(panel["title"])}'
            f'</figcaption><small>{html.escape(panel["description"])}</small>{body}</figure>')


def write_page(path, dashboards, prometheus, start, end):
    parts = [f"<!doctype html><meta charset=utf-8><title>prefscore</title><style>{STYLE}</style>"]
    for board in dashboards.values():
        figures = "".join(figure(panel, prometheus, start, end) for panel in board["panels"])
        parts.append(f'<h1>{html.escape(board["title"])}</h1><p>{html.escape(board["description"])}</p>'
                     f'<div class="grid">{figures}</div>')
    path.write_text("".join(parts))
