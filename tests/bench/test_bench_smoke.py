"""Each benchmark runs and gives figures of the right shape. How large they are is no test's business."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import __main__ as command
from bench import available, chart, cluster, load, native, progress, report, suite, udp, under_test

from ..datagram.batches import batch_of

TINY = suite.Settings(rounds=1, cpu_seconds=0.001, load_seconds=0.02, processes=100)

NOTHING = re.compile(r"handled no packet|no message arrived|(had|answered) 0 (right answers|requests rightly), 0 wrong")
"""What a contestant failed for that answered nothing, and nothing wrongly."""
BY_NAME = {benchmark.name: benchmark for benchmark in command.BENCHMARKS}

ERLANG = pytest.mark.skipif(shutil.which("erl") is None, reason="erl is not installed (Debian: erlang-base)")

ACTORS = ("send", "pingpong", "call", "spawn", "memory", "memory-used")


def check(benchmark: suite.Benchmark, sample: suite.Sample) -> None:
    for key in ("value", *benchmark.extras):
        assert math.isfinite(sample[key]), key
        assert sample[key] >= 0, key


def measure(name: str, contestant: str) -> suite.Sample:
    """One tiny round of one contestant. Skips where it cannot be measured."""
    benchmark = BY_NAME[name]
    assert contestant in benchmark.contestants
    if reason := suite.left_out(benchmark, contestant):
        pytest.skip(f"{contestant}: {reason}")
    try:
        sample = benchmark.run(contestant, TINY)
    except suite.Failed as error:  # where others keep the processors busy, so short a round may bring nothing at all
        if not NOTHING.search(str(error)):
            raise
        sample = benchmark.run(contestant, replace(TINY, load_seconds=2))
    check(benchmark, sample)
    return sample


def test_there_is_a_benchmark_for_all_that_is_promised() -> None:
    floods = {"udp-flood", "udp-flood-single", "udp-sources", "udp-gso-64", "udp-gso-1200"}
    shared = {"udp-processes", "udp-processes-flood", "udp-peers"}
    sinks = {*floods, *shared, "udp-paced-100k", "udp-paced-300k", "udp-backlog"}
    echoes = {"udp-echo", "udp-latency", "udp-openloop", "udp-spin-1k", "udp-spin-20k", "udp-spin-300k", "udp-work"}
    joined = {f"cluster-{name}" for name in ("send", "bytes", "call", "calls", "kill", "freeze", "join", "udp")}
    dtls = {f"dtls-{name}" for name in ("handshakes", "records-64", "records-1200", "echo-64", "echo-1200")}
    assert set(BY_NAME) == {
        *ACTORS,
        "request",
        "forward",
        *sinks,
        *echoes,
        "udp-call",
        "dns",
        "dns-5k",
        *joined,
        *dtls,
        "tcp-echo",
        "tcp-pipeline",
    }
    for benchmark in BY_NAME.values():
        assert set(benchmark.baselines) <= set(benchmark.contestants)


@pytest.mark.parametrize("name", ["request", "forward"])
def test_requests_that_do_not_stop_their_sender_are_measured(name: str) -> None:
    results = suite.run(BY_NAME[name], TINY)
    assert [result.failure for result in results if result.failure] == []
    assert {result.contestant for result in results if result.samples} >= {"homing"}


@pytest.mark.parametrize("name", ACTORS)
def test_actor_benchmarks_measure_every_contestant(name: str) -> None:
    results = suite.run(BY_NAME[name], TINY)
    assert [result.failure for result in results if result.failure] == []
    measured = {result.contestant: result for result in results if result.samples}
    assert {"homing", "asyncio"} <= set(measured)
    for result in measured.values():
        check(BY_NAME[name], result.samples[0])


@pytest.mark.parametrize("contestant", BY_NAME["udp-flood"].contestants)
def test_the_flood_is_counted_by_every_contestant(contestant: str) -> None:
    assert measure("udp-flood", contestant)["handled"] > 0


@pytest.mark.parametrize(
    ("name", "contestant"),
    [
        ("udp-flood-single", "homing"),
        *(("udp-sources", contestant) for contestant in BY_NAME["udp-sources"].contestants),
        *(("udp-gso-64", contestant) for contestant in BY_NAME["udp-gso-64"].contestants),
        ("udp-gso-1200", "homing"),
        ("udp-gso-1200", "C recvmmsg + GRO"),
        ("udp-paced-100k", "homing"),
        ("udp-paced-300k", "C recvmmsg"),
        ("udp-backlog", "homing"),
        ("udp-backlog", "blocking socket"),
        ("udp-processes", "homing, 2 processes"),
        ("udp-processes", "homing, 2 processes on 2 cores"),
        ("udp-processes-flood", "homing, 2 processes"),
    ],
)
def test_other_floods_are_counted(name: str, contestant: str) -> None:
    assert measure(name, contestant)["handled"] > 0


@pytest.mark.parametrize("contestant", BY_NAME["udp-echo"].contestants)
def test_echo_is_answered_rightly_by_every_contestant(contestant: str) -> None:
    assert measure("udp-echo", contestant)["p50"] > 0


@pytest.mark.parametrize("contestant", BY_NAME["dns"].contestants)
def test_questions_of_dnsperf_are_answered_rightly_by_every_contestant(contestant: str) -> None:
    assert measure("dns", contestant)["us"] > 0


@pytest.mark.parametrize("name", ["dtls-handshakes", "dtls-records-64", "dtls-echo-1200"])
def test_dtls_is_measured(name: str) -> None:
    assert measure(name, "homing")["per_second"] > 0


@pytest.mark.parametrize("contestant", ["homing", "C recvmmsg", "homing, with a timer", "uvloop, with a timer"])
@pytest.mark.parametrize("name", ["udp-latency", "udp-openloop"])
def test_latency_is_measured(name: str, contestant: str) -> None:
    sample = measure(name, contestant)
    assert sample["p99"] >= sample["p50"] > 0


@pytest.mark.parametrize(
    ("name", "contestant"),
    [
        ("cluster-send", "homing, mTLS"),
        pytest.param("cluster-bytes", "erlang", marks=ERLANG),
        ("cluster-call", "homing"),
        pytest.param("cluster-calls", "erlang", marks=ERLANG),
        ("cluster-kill", "homing"),
        ("cluster-freeze", "homing"),
        ("cluster-join", "homing"),
        ("cluster-udp", "homing"),
    ],
)
def test_clusters_are_measured(name: str, contestant: str) -> None:
    assert measure(name, contestant)["value"] > 0


def test_without_erlang_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.shutil, "which", lambda tool: None)
    assert "apt install erlang-base" in suite.left_out(BY_NAME["cluster-send"], "erlang")
    assert "erlang" not in suite.left_out(BY_NAME["cluster-send"], "homing")


def test_a_server_whose_event_loop_spins_is_measured() -> None:
    spinning = BY_NAME["udp-spin-20k"].contestants[1]
    assert measure("udp-spin-20k", spinning)["p50"] > 0


def test_an_event_loop_that_cannot_spin_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available.importlib.util, "find_spec", lambda package: None)
    benchmark = BY_NAME["udp-spin-20k"]
    assert "compiled event loop" in available.missing(benchmark.contestants[1])
    assert available.missing(benchmark.contestants[0]) == ""


@pytest.mark.parametrize("contestant", BY_NAME["udp-call"].contestants)
def test_requests_of_every_client_are_answered_rightly(contestant: str) -> None:
    assert measure("udp-call", contestant)["value"] > 0


@pytest.mark.parametrize("contestant", BY_NAME["tcp-echo"].contestants)
def test_lines_are_echoed_rightly_by_every_server(contestant: str) -> None:
    measure("tcp-echo", contestant)


@pytest.mark.parametrize("contestant", ["homing async handler", "homing pool of 4", "homing buffer pool"])
def test_other_handlers_of_homing_answer_rightly_too(contestant: str) -> None:
    assert udp.echo(udp.Setting(), 64, "echo", contestant, TINY)["p50"] > 0


@pytest.mark.parametrize("contestant", ["homing async handler", "homing pool of 4", "uvloop", "blocking socket"])
def test_handlers_that_work_answer_rightly(contestant: str) -> None:
    assert measure("udp-work", contestant)["us"] > 0


def test_the_batch_handler_adds_up_the_numbers_of_the_packets() -> None:
    pytest.importorskip("numpy")
    from bench.udp_common import Counter
    from bench.udp_homing_batch import SumBatch

    numbers = [7, 0, 2**32 - 1]
    packets = [bytes(4) + number.to_bytes(4, "big") + b"x" * length for length, number in enumerate(numbers)]
    handler = SumBatch.__new__(SumBatch)
    handler.counter = Counter()
    handler.handle_datagrams(batch_of(packets, b"\xff"))
    assert (handler.counter.packets, handler.counter.total) == (3, sum(numbers))


@pytest.mark.parametrize(
    ("total", "count", "sent", "possible"),
    [(0, 1, 1, True), (3, 3, 3, True), (4, 3, 3, False), (9, 3, 5, True), (2, 3, 5, False), (10, 3, 5, False)],
)
def test_a_sum_that_cannot_be_is_found_out(total: int, count: int, sent: int, possible: bool) -> None:
    assert under_test.is_possible(total, count, sent) is possible


def test_the_load_can_be_made_in_python() -> None:
    setting = udp.Setting(in_c=False)
    assert udp.flood(setting, load.Flood(), True, "homing", TINY)["handled"] > 0
    assert udp.echo(setting, 64, "echo", "homing", TINY)["value"] > 0
    sample = udp.open_loop(setting, udp.RATE, "homing", TINY)
    assert sample["p99.9"] >= sample["p50"] > 0


def test_without_a_compiler_what_needs_it_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "program", lambda name: None)
    assert load.kind() == "Python, send"
    assert "C compiler" in suite.left_out(BY_NAME["udp-sources"], "homing, 1 source")
    assert "C compiler" in suite.left_out(BY_NAME["udp-flood"], "C recvmmsg")
    assert suite.left_out(BY_NAME["udp-flood"], "homing") == ""


def test_a_contestant_that_is_not_installed_is_left_out_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available.importlib.util, "find_spec", lambda package: None)
    benchmark = suite.Benchmark(
        name="x", title="t", unit="u", contestants=("asyncio", "rloop"), run=lambda contestant, settings: {"value": 1.0}
    )
    results = suite.run(benchmark, TINY)
    assert "rloop: left out, pip install rloop" in report.table(benchmark, results)
    assert [bool(result.samples) for result in results] == [True, False]


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    status = command.main(["--quick", "--rounds", "1", "--only", "memory-used", "--json", str(file)])
    printed = capsys.readouterr().out
    written = json.loads(file.read_text())
    assert status == 0
    assert report.NOTE in printed
    assert "homing" in printed
    assert written["machine"]["python"] in printed
    assert [benchmark["name"] for benchmark in written["benchmarks"]] == ["memory-used"]
    for contestant in written["benchmarks"][0]["contestants"]:
        assert len(contestant["rounds"]) == 1
        assert contestant["median"] > 0


def test_it_is_told_how_far_a_run_is(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = suite.Benchmark(
        name="x",
        title="t",
        unit="u",
        contestants=("asyncio", "homing"),
        run=lambda contestant, settings: {"value": 1.0},
    )
    settings = replace(TINY, rounds=3)
    told = progress.Progress(progress.measurements([benchmark, benchmark], settings))
    suite.run(benchmark, settings, told)
    told.ended("x")
    assert capsys.readouterr().err == "0:00 min, 6 of 12: x has ended\n"


def test_a_minor_benchmark_has_three_rounds_of_five() -> None:
    benchmark = suite.Benchmark(
        name="x",
        title="t",
        unit="u",
        contestants=("homing",),
        run=lambda contestant, settings: {"value": 1.0},
        minor=True,
    )
    for rounds, own in ((1, 1), (2, 2), (5, 3), (10, 6)):
        settings = replace(TINY, rounds=rounds)
        results = suite.run(benchmark, settings)
        assert len(results[0].samples) == own == progress.measurements([benchmark], settings)
    assert "; 6 rounds" in report.table(benchmark, results)


def test_a_contestant_that_fails_is_told_and_the_others_go_on() -> None:
    def run(contestant: str, settings: suite.Settings) -> suite.Sample:
        if contestant == "homing":
            raise suite.Failed("it answered nothing")
        return {"value": 1.0}

    benchmark = suite.Benchmark(name="x", title="t", unit="u", contestants=("homing", "asyncio"), run=run)
    homing, asyncio = suite.run(benchmark, TINY)
    assert (homing.samples, homing.failure) == ((), "it answered nothing")
    assert len(asyncio.samples) == 1
    assert "homing: FAILED, it answered nothing" in report.table(benchmark, [homing, asyncio])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "nothing"],
        ["--rounds", "0"],
        ["--server", "mine"],
        ["--server", "mine=./server without a port"],
        ["--server", "uvloop=./server {port}"],
        ["--only", "send", "--chart", "chart.svg"],
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    assert end.value.code == 2


def test_a_chart_is_drawn_from_the_figures(tmp_path: Path) -> None:
    contestants = [
        {"name": "homing", "median": 3_000_000.0},
        {"name": "C & co", "median": 4_000_000.0},
        {"name": "rloop", "left_out": "pip install rloop"},
    ]
    figures = {
        "machine": {"cpu": "c", "kernel": "k", "python": "p", "homing": "h"},
        "settings": {"rounds": 5},
        "benchmarks": [{"name": name, "contestants": contestants} for name in (*chart.PANELS, "send")],
    }
    file = tmp_path / "figures.json"
    file.write_text(json.dumps(figures))
    chart.main(str(file), str(tmp_path / "chart.svg"))
    drawn = ElementTree.parse(tmp_path / "chart.svg").getroot()
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("homing") == len(chart.PANELS)
    assert texts.index("C & co") < texts.index("homing")
    assert "4,000" in texts
    assert "rloop" not in texts
    with pytest.raises(ValueError, match="udp-flood"):
        chart.draw({"benchmarks": []})
