"""The tables of figures say what the committed figures say, and name who is better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import tables

COMMITTED = tables.Figures(json.loads(tables.FIGURES.read_text()))


def figures(load_seconds: float = 1.0, **benchmarks: dict[str, dict[str, float]]) -> tables.Figures:
    """Figures of one round. Names of benchmarks have `_` for `-`."""
    found: list[Any] = [
        {
            "name": name.replace("_", "-"),
            "contestants": [
                {"name": one, "median": sample["value"], "rounds": [sample]} for one, sample in contestants.items()
            ],
        }
        for name, contestants in benchmarks.items()
    ]
    machine = {"cpu": "2 x c", "kernel": "Linux 6.1-x", "python": "CPython 3.11"}
    return tables.Figures(
        {"machine": machine, "settings": {"rounds": 1, "load_seconds": load_seconds}, "benchmarks": found}
    )


@pytest.mark.parametrize("path", tables.PAGES, ids=lambda path: path.name)
def test_a_page_has_the_tables_of_the_committed_figures(path: Path) -> None:
    text = path.read_text()
    assert tables.filled(text, tables.PAGES[path](COMMITTED)) == text, "run `python -m bench.tables`"


def test_a_row_has_the_rate_and_the_busy_share() -> None:
    one = {"homing": {"value": 462_400.0, "busy": 0.217}, "uvloop": {"value": 1_234_000.0, "busy": 0.1}}
    text = tables.readme(figures(udp_paced_100k=one))
    assert "| receive, 100,000 a second on schedule; busy | 462 k, 22% | | 1.23 M, 10% | | |" in text


def test_round_trips_have_both_percentiles() -> None:
    sample = {"value": 1.0, "busy": 0.5, "p50": 33.6, "p99": 1234.0}
    assert "| 34 / 1,234 |" in tables.readme(figures(udp_latency={"homing": sample}))


def test_work_is_taken_off_what_a_server_adds_to_it() -> None:
    work = {"homing": {"value": 1.0, "us": 53.2}, "blocking socket": {"value": 1.0, "us": 50.0}}
    assert "for a packet, us | 3.2 |" in tables.readme(figures(udp_work=work))


def test_who_is_better_is_named() -> None:
    echo = {"homing": {"value": 100.0}, "rloop": {"value": 131.0}, "uvloop": {"value": 110.0}, "C x": {"value": 900.0}}
    text = tables.better(figures(udp_echo=echo))
    assert "- echo, 64 outstanding: rloop 1.31 x\n" in text
    assert "uvloop" not in text
    assert "C x" not in text


def test_who_has_shorter_round_trips_is_named() -> None:
    echo = {"homing": {"value": 1.0, "p50": 30.0, "p99": 50.0}, "rloop": {"value": 1.0, "p50": 20.0, "p99": 49.0}}
    text = tables.better(figures(udp_latency=echo))
    assert "- round trip of one at a time, p50: rloop 1.50 x\n" in text
    assert "p99:" not in text


def test_the_cost_of_a_second_process_is_told() -> None:
    shared = {"homing, 1 process": {"value": 1.0, "us": 2.0}, "homing, 2 processes": {"value": 1.0, "us": 3.1}}
    flooded = {"homing, 1 process": {"value": 1.0, "us": 0.5}, "homing, 2 processes": {"value": 1.0, "us": 0.6}}
    for page in (tables.readme, tables.page):
        text = page(figures(udp_processes=shared, udp_processes_flood=flooded))
        assert "a packet takes 0.6 us instead of 0.5 (1.20 x), from a sender that is faster than both" in text
        assert "3.1 us instead of 2.0 (1.55 x), from a sender that makes one at a time" in text


def test_a_row_of_contestants_with_a_timer_compares_them_with_each_other() -> None:
    echo = {
        "homing": {"value": 1.0},
        "homing, with a timer": {"value": 1.0},
        "uvloop": {"value": 1.0},
        "uvloop, with a timer": {"value": 2.0},
    }
    text = tables.better(figures(udp_latency=echo))
    assert "- echo, one at a time, a timer pending: uvloop 2.00 x\n" in text
    assert "one at a time: " not in text


def test_an_event_loop_that_spins_is_beside_one_that_sleeps() -> None:
    asleep = {"value": 1.0, "us": 20.0, "busy": 0.02, "p50": 30.0, "p99": 60.0}
    spinning = {"value": 1.0, "us": 999.0, "busy": 0.999, "p50": 12.0, "p99": 14.0}
    text = tables.page(figures(udp_spin_1k={"homing": asleep, "homing, spin 1 ms": spinning}))
    assert "| 1,000 a second: round trip, p50 / p99, us | 30 / 60 | 12 / 14 |" in text
    assert "| 1,000 a second: CPU time for an answer, us; busy | 20.0, 2% | 999.0, 100% |" in text


def test_a_table_of_which_nothing_was_measured_is_left_out() -> None:
    text = tables.page(figures(send={"homing": {"value": 2.0}}))
    assert "| actors |" in text
    assert "| UDP" not in text


def test_where_nobody_is_better_that_is_said() -> None:
    assert "No other" in tables.better(figures(send={"homing": {"value": 2.0}, "asyncio": {"value": 1.0}}))


def test_a_cluster_is_beside_others_and_who_is_better_is_named() -> None:
    times = {"homing": {"value": 150.0, "p99": 210.0}, "erlang": {"value": 30.0, "p99": 60.0}}
    rates = {"homing": {"value": 1_790_000.0}, "homing, mTLS": {"value": 1_200_000.0}, "erlang": {"value": 1_000_000.0}}
    found = figures(cluster_call=times, cluster_bytes=rates)
    text = tables.page(found)
    assert "| calls, one at a time: p50 / p99, us | 150 / 210 | | 30 / 60 | | |" in text
    assert "| messages of 64 bytes, a second | 1.79 M | 1.20 M | 1.00 M | | |" in text
    assert tables.cluster_better(found).endswith("- calls, one at a time: p50 / p99, us: erlang 5.00 x\n")
    assert "No other system" in tables.cluster_better(figures(cluster_bytes=rates))
    assert tables.cluster_better(figures(send={"homing": {"value": 2.0}})) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(22_940_000, "22.9 M"), (1_679_000, "1.68 M"), (382_400, "382 k"), (5_430, "5.43 k"), (12, "12")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert tables.scaled(value) == text


def test_a_load_that_was_late_is_told() -> None:
    paced = {"homing": {"value": 1.0, "busy": 0.5, "behind": 0.95}}
    assert "receive, 100,000 a second on schedule (95%)" in tables.readme(figures(udp_paced_100k=paced))
    assert "echo, 1,000 a second beside a loop that spins (95%)" in tables.page(figures(udp_spin_1k=paced))
    assert "late" not in tables.page(figures(udp_spin_300k=paced))


def test_a_quick_run_is_told() -> None:
    assert "a quick run" in tables.readme(figures(load_seconds=0.15))
    assert "a quick run" not in tables.readme(figures())


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no marks"):
        tables.filled("text", "block")
