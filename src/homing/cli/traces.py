"""Renders the output of `homing trace`: each trace as a small waterfall, and the summary."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from .tree import count

Record = dict[str, Any]

_WAYS = {"request": "request to", "call": "call", "send": "send to"}


def trace_lines(record: Record) -> Iterator[str]:
    """Yields the lines of a trace: the message, its handler, the handler's steps, and what each of these led to."""
    where = f", on {record['node']}" if "node" in record else ""
    yield f"#{record['number']}  {_clock(record['at'])}  {_arrival(record)}, {_total(record)}{where}"
    if record["payload"] is not None:
        yield f"    payload {record['payload'] or '(empty)'}"
    handlings = record["handlings"]
    rest = [(handlings[0], "    ")]
    while rest:  # without recursion: the last is the next
        item, indent = rest.pop()
        if "receiver" not in item:
            yield indent + _step(item)
            continue
        yield indent + _handling(item)
        if item["error"]:
            yield f"{indent}  {item['error']}"
        below = []
        for number, step in enumerate(item["steps"], 1):
            below.append((step, indent + "  "))
            below += [(one, indent + "    ") for one in _caused(handlings, item["number"], number)]
        below += [(one, indent + "  ") for one in _caused(handlings, item["number"], 0)]
        rest += reversed(below)
        if item["steps_left_out"]:
            rest.insert(0, ({"note": f"... and {count(item['steps_left_out'], 'more step', 'more steps')}"}, indent))
    if record["left_out"]:
        yield f"    ... and {count(record['left_out'], 'more message', 'more messages')}, not followed"


def _caused(handlings: list[Record], parent: int, step: int) -> list[Record]:
    return [one for one in handlings if one["parent"] == parent and one["step"] == step]


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")


def _arrival(record: Record) -> str:
    kind, source = record["kind"], record["source"]
    size = "" if record["size"] is None else f" of {count(record['size'], 'byte', 'bytes')}"
    if kind == "batch":
        what = f"batch of {count(record['count'], 'packet', 'packets')}, {count(record['size'], 'byte', 'bytes')},"
    else:
        what = f"{kind}{size} from {source}"
    return what if record["socket"] is None else f"{what} at {record['socket']}"


def _total(record: Record) -> str:
    return duration(record["seconds"]) if record["complete"] else f"not over after {duration(record['seconds'])}"


def _handling(item: Record) -> str:
    queue = "queue unknown" if item["queue"] is None else f"queue {duration(item['queue'])}"
    words = {"error": " and crashed", "stopped": " and ended"}
    match item["outcome"]:
        case "waiting":
            return f"waits for {item['receiver']}"
        case "lost":
            return f"never handled; it was for {item['receiver']}"
        case "running":
            return f"{queue}, {_who(item)} still handles it"
        case outcome:
            return f"{queue}, {_who(item)} handled it in {duration(item['handling'])}{words.get(outcome, '')}"


def _who(item: Record) -> str:
    name = f"{item['name']} " if item["name"] else ""
    return f"{name}{item['behavior']} {item['process']}"


def _step(step: Record) -> str:
    if "note" in step:
        return str(step["note"])
    at = f"+{duration(step['after'])}"
    size = "" if step["size"] is None else f" {count(step['size'], 'byte', 'bytes')}"
    if step["kind"] == "reply":
        text = f"reply{size} to {step['to']}"
    else:
        text = f"{_WAYS[step['kind']]} {step['to']}{size and ','}{size}"
    if step["error"]:
        return f"{at:<10} {text}: {step['error']}"
    if step["kind"] in ("call", "request"):
        text += ", no answer yet" if step["seconds"] is None else f", answered in {duration(step['seconds'])}"
    return f"{at:<10} {text}"


def summary_line(summary: Record, seconds: float) -> str:
    """Returns the summary in one line. seconds: the time limit."""
    if not summary["count"]:
        skipped = f"; {summary['skipped']:,} skipped" if summary["skipped"] else ""
        return f"no message came{_ended(summary['ended'], seconds)}{skipped}"
    words = [count(summary["count"], "trace", "traces") + _ended(summary["ended"], seconds)]
    for name, text in (("errors", "with a crash"), ("lost", "with a lost message"), ("incomplete", "not over")):
        if summary[name]:
            words.append(f"{summary[name]:,} {text}")
    if summary["skipped"]:
        words.append(f"{summary['skipped']:,} more messages skipped, above the rate")
    times = [_times(name, summary[f"{name}_p50"], summary[f"{name}_p99"]) for name in ("queue", "handling")]
    return "; ".join([", ".join(words), *filter(None, times)])


def _ended(ended: str, seconds: float) -> str:
    return {"seconds": f" in {seconds:g} s", "target": " until the target ended"}.get(ended, "")


def _times(name: str, p50: float | None, p99: float | None) -> str:
    if p50 is None or p99 is None:
        return ""
    return f"{name} p50 {duration(p50)}, p99 {duration(p99)}"


def duration(seconds: float) -> str:
    """Returns a short time in the unit that fits: `24 us`, `1.24 ms`, `2.10 s`."""
    if seconds < 0.0009995:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1000:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"
