"""The road of a datagram, as docs/architecture.md draws it, is the one that a datagram takes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import homing

HERE = Path(__file__).parent
ARCHITECTURE = (HERE.parents[1] / "docs" / "architecture.md").read_text()
ROADS = re.findall(r"^```\n((?:socket|handle_message)\n  -> .*?)```$", ARCHITECTURE, re.MULTILINE | re.DOTALL)
HANDLER = "handle_message"


def drawn(road: str) -> list[str]:
    """The functions of a road that is drawn."""
    return [hop for hop in re.findall(r"^(?:  -> )?([\w.]+)", road, re.MULTILINE) if hop != "socket"]


@pytest.fixture(scope="module")
def traces() -> list[list[str]]:
    """The functions that a datagram and its answer pass in an echo server, in order: one of the first, and one that
    comes alone after others that did."""
    command = [sys.executable, str(HERE / "traced.py"), str(Path(homing.__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return [trace.split() for trace in done.stdout.split("\n\n")]


@pytest.fixture
def taken(traces: list[list[str]]) -> list[str]:
    """The functions that one of the first datagrams passes."""
    return traces[0]


def module_of(function: str) -> str:
    return re.sub(r"\.[A-Z]\w*\.\w+$|\.\w+$", "", function)


def follows(road: list[str], calls: list[str]) -> str:
    """The first function of a road that is not called, or not in its place; "" if all are."""
    rest = iter(calls)
    return next((hop for hop in road if hop not in rest), "")


def test_both_roads_are_drawn() -> None:
    first, second, _ = map(drawn, ROADS)
    assert (first[-1], second[0]) == (HANDLER, HANDLER)


def test_a_datagram_takes_the_road_that_is_drawn(taken: list[str]) -> None:
    there, back, _ = map(drawn, ROADS)
    assert follows([*there, *back[1:]], taken) == ""


def test_a_lone_datagram_takes_the_road_that_is_drawn_for_it(traces: list[list[str]]) -> None:
    _, _, lone = map(drawn, ROADS)
    assert follows(lone, traces[1]) == ""


def test_no_module_on_the_road_is_left_out(traces: list[list[str]]) -> None:
    hops = {module_of(hop) for road in ROADS for hop in drawn(road)}
    assert {module_of(call) for trace in traces for call in trace} == hops


def test_a_hop_that_is_drawn_in_the_wrong_place_is_found() -> None:
    assert follows(["a.f", "b.g"], ["a.f", "x.y", "b.g"]) == ""
    assert follows(["b.g", "a.f"], ["a.f", "x.y", "b.g"]) == "a.f"
