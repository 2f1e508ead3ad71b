"""Rates and drops from one answer to the next."""

from __future__ import annotations

from collections import deque
from typing import Any

from homing.cli.shell.top.history import History, sparkline


def socket(rate: float | None, drops: int, cause: str = "kernel") -> dict[str, Any]:
    rates = {"packets_in_rate": rate, "packets_out_rate": 0.0, "dropped_in_rate": 0.0, "dropped_out_rate": None}
    return {**rates, "drops": [{"direction": "in", "cause": cause, "count": drops}]}


def test_rates_and_drops_of_all_sockets_are_added_up() -> None:
    history = History()
    history.add({"os_pid": 1}, [socket(10, 3), socket(None, 4), socket(5, 1, "denied")], 0.0)
    assert list(history.rates["packets_in_rate"]) == [15]
    assert history.causes() == "in.kernel 7  in.denied 1"


def test_what_grows_comes_first_with_its_rate() -> None:
    history = History()
    history.add({"os_pid": 1}, [socket(0, 100), socket(0, 1, "denied")], 10.0)
    history.add({"os_pid": 1}, [socket(0, 100), socket(0, 7, "denied")], 12.0)
    assert history.causes() == "in.denied 7 (3.0/s)  in.kernel 100"


def test_a_node_that_has_restarted_counts_from_zero() -> None:
    history = History()
    history.add({"os_pid": 1}, [socket(0, 100)], 10.0)
    history.add({"os_pid": 2}, [socket(0, 300)], 12.0)
    assert history.causes() == "in.kernel 300"


def test_a_sparkline_scales_to_its_highest_value_and_keeps_to_its_width() -> None:
    assert sparkline(deque([0.0, 50.0, 100.0]), 5) == "  ▁▅█"
    assert sparkline(deque([1.0, 2.0, 4.0]), 2) == "▅█"
    assert sparkline(deque([0.0]), 1) == "▁"
    assert sparkline(deque([1.0]), 0) == ""
