"""The output: plain text tables, and the same as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from .suite import Benchmark, Result, Settings

NOTE = (
    "Per CPU-second of the process under test; medians of interleaved rounds. "
    "Compare within one run; call nothing under 15 % a difference."
)


_SHARES = ("busy", "loss", "behind")
"""Extras that are a share of something."""


def _ratio(result: Result, baseline: str, results: list[Result]) -> float | None:
    for other in results:
        if other.contestant == baseline and other.samples:
            return result.median() / other.median()
    return None


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _extra(key: str, value: float) -> str:
    return f"{value:.{0 if key == 'busy' else 2}%}" if key in _SHARES else _number(value)


def table(benchmark: Benchmark, results: list[Result]) -> str:
    """Returns the table of one benchmark, a line for each contestant."""
    ratios = [f"x {baseline}" for baseline in benchmark.baselines]
    heads = ["", "median", "spread", *ratios, *(key.replace("_", " ") for key in benchmark.extras)]
    rows = [heads]
    for result in filter(measured, results):
        cells = [result.contestant, _number(result.median()), f"{result.spread:.0%}"]
        for baseline in benchmark.baselines:
            ratio = _ratio(result, baseline, results)
            cells.append("" if ratio is None else f"{ratio:.2f}")
        rows.append(cells + [_extra(key, result.median(key)) for key in benchmark.extras])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    rounds = max((len(result.samples) for result in results), default=0)
    lines = [f"{benchmark.name}: {benchmark.title}"]
    lines += [f"  {benchmark.unit}; {_better(benchmark)}; {'1 round' if rounds == 1 else f'{rounds} rounds'}"]
    for row in rows:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join([row[0].ljust(widths[0]), *numbers]).rstrip())
    lines += [f"  {result.contestant}: FAILED, {result.failure}" for result in results if result.failure]
    lines += [f"  {result.contestant}: left out, {result.left_out}" for result in results if result.left_out]
    return "\n".join(lines)


def measured(result: Result) -> bool:
    """Returns False if the contestant failed or was left out: then it has no figures."""
    return bool(result.samples)


def _better(benchmark: Benchmark) -> str:
    return "lower is better" if benchmark.lower_is_better else "higher is better"


def facts_table(facts: dict[str, str]) -> str:
    """Returns the facts about the machine, one per line."""
    width = max(map(len, facts))
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in facts.items())


def as_json(facts: dict[str, str], settings: Settings, tables: list[tuple[Benchmark, list[Result]]]) -> Any:
    """Returns all facts and figures, with each round's samples."""
    return {
        "note": NOTE,
        "machine": facts,
        "settings": asdict(settings),
        "benchmarks": [
            {
                "name": benchmark.name,
                "title": benchmark.title,
                "unit": benchmark.unit,
                "lower_is_better": benchmark.lower_is_better,
                "contestants": [_contestant(result, benchmark, results) for result in results],
            }
            for benchmark, results in tables
        ],
    }


def as_text(figures: Any) -> str:
    """Returns the figures as JSON, with six digits each, and a line for each contestant."""
    text = json.dumps(_short(figures), separators=(", ", ": "))
    return text.replace('{"name"', '\n{"name"') + "\n"


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_short(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _contestant(result: Result, benchmark: Benchmark, results: list[Result]) -> Any:
    if result.left_out:
        return {"name": result.contestant, "left_out": result.left_out}
    if result.failure:
        return {"name": result.contestant, "failure": result.failure}
    return {
        "name": result.contestant,
        "median": result.median(),
        "spread": result.spread,
        "ratios": {baseline: _ratio(result, baseline, results) for baseline in benchmark.baselines},
        "rounds": list(result.samples),
    }
