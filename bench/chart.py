"""Figures as a chart: horizontal bars, as SVG, legible on a light page and on a dark one.

`python -m bench.chart FIGURES.json CHART.svg` draws the chart from figures that `--json` has written.
"""

from __future__ import annotations

import json
import sys
from html import escape
from typing import Any

PANELS = ("udp-flood", "udp-echo")
"""The benchmarks that are drawn, one below the other, each with a scale of its own."""

_TITLES = {"udp-flood": "UDP receive: 64-byte packets, one by one", "udp-echo": "UDP echo: 64 requests outstanding"}
_UNITS = {
    "udp-flood": "thousands of packets handled per CPU-second of the server; more is better",
    "udp-echo": "thousands of right answers per CPU-second of the server; more is better",
}

_NAMES = {
    "C recvmmsg": "C loop (recvmmsg)",
    "blocking socket": "Python, blocking socket",
    "asyncio": "asyncio as it comes",
}

_WIDTH, _MARGIN, _LABELS, _FIGURES = 800, 24, 218, 64
_BAR, _STEP, _HEAD, _GAP = 16, 23, 56, 20

_STYLE = """
  text { font: 13px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .unit, .note { font-size: 12px; fill: #59636e }
  .label { text-anchor: end }
  .homing { font-weight: 600 }
  .page { fill: #ffffff; stroke: #d1d9e0 }
  rect.bar { fill: #afb8c1 }
  rect.homing { fill: #0969da }
  .axis { stroke: #d1d9e0 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .unit, .note { fill: #9198a1 }
    .page { fill: #0d1117; stroke: #3d444d }
    rect.bar { fill: #656c76 }
    rect.homing { fill: #4493f8 }
    .axis { stroke: #3d444d }
  }"""


def draw(figures: Any) -> str:
    """Returns the SVG text for the result of `report.as_json`. Raises `ValueError` if it has none of `PANELS`."""
    found = {benchmark["name"]: benchmark for benchmark in figures["benchmarks"] if benchmark["name"] in PANELS}
    if not found:
        raise ValueError(f"no figures of {' or '.join(PANELS)}")
    lines: list[str] = []
    top = _MARGIN
    for name in PANELS:
        if name in found:
            top = _panel(found[name], top, lines) + _GAP
    lines.append(_text(_MARGIN, top, "note", _note(figures)))
    height = top + _MARGIN - 6
    page = f'<rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="6"/>'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img">\n<title>Homing beside other UDP servers</title>\n<style>{_STYLE}\n</style>'
    )
    return "\n".join([head, page, *lines, "</svg>", ""])


def _panel(benchmark: Any, top: int, lines: list[str]) -> int:
    """Draws one benchmark below `top`, the fastest contestant first. Returns the position below the drawing."""
    name = benchmark["name"]
    bars = [(one["name"], one["median"]) for one in benchmark["contestants"] if "median" in one]
    bars.sort(key=lambda bar: bar[1], reverse=True)
    longest = max((value for _, value in bars), default=1.0)
    room = _WIDTH - 2 * _MARGIN - _LABELS - _FIGURES
    left = _MARGIN + _LABELS
    lines += [_text(_MARGIN, top + 14, "title", _TITLES[name]), _text(_MARGIN, top + 34, "unit", _UNITS[name])]
    y = top + _HEAD - 6
    for label, value in bars:
        kind = "homing" if label.startswith("homing") else ""
        length = max(1.0, room * value / longest)
        lines.append(_text(left - 8, y + 13, f"label {kind}".rstrip(), _NAMES.get(label, label)))
        lines.append(
            f'<rect class="{"bar " + kind if kind else "bar"}" x="{left}" y="{y}" width="{length:.1f}" '
            f'height="{_BAR}" rx="2"/>'
        )
        lines.append(_text(left + length + 6, y + 13, kind, f"{value / 1000:,.0f}"))
        y += _STEP
    lines.append(f'<line class="axis" x1="{left}" y1="{top + _HEAD - 10}" x2="{left}" y2="{y - 2}"/>')
    return y


def _note(figures: Any) -> str:
    machine = figures["machine"]
    kernel = machine["kernel"].partition("-")[0]
    backend = machine["homing"].rpartition(", ")[2]
    rounds = figures["settings"]["rounds"]
    return f"{machine['cpu']}, {kernel}, {machine['python']}, {backend}; loopback, medians of {rounds} rounds"


def _text(x: float, y: float, kind: str, text: str) -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text{attribute} x="{x:.1f}" y="{y}">{escape(text)}</text>'


def main(figures: str, chart: str) -> None:
    with open(figures) as file:
        drawn = draw(json.load(file))
    with open(chart, "w") as file:
        file.write(drawn)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m bench.chart FIGURES.json CHART.svg")
    main(*sys.argv[1:])
