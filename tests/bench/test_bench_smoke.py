"""Each benchmark runs and gives figures of the right shape. How large they are is no test's business."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import load, report, suite, udp

TINY = suite.Settings(rounds=1, cpu_seconds=0.001, load_seconds=0.02, processes=100)

BY_NAME = {benchmark.name: benchmark for benchmark in command.BENCHMARKS}

ACTORS = ("send", "pingpong", "call", "spawn", "memory", "memory-used")


def check(benchmark: suite.Benchmark, sample: suite.Sample) -> None:
    for key in ("value", *benchmark.extras):
        assert math.isfinite(sample[key]), key
        assert sample[key] >= 0, key


def test_there_is_a_benchmark_for_all_that_is_promised() -> None:
    assert set(BY_NAME) == {*ACTORS, "udp-flood", "udp-echo", "udp-latency"}
    for benchmark in BY_NAME.values():
        assert suite.BASELINE in benchmark.contestants


@pytest.mark.parametrize("name", ACTORS)
def test_actor_benchmarks_measure_every_contestant(name: str) -> None:
    results = suite.run(BY_NAME[name], TINY)
    assert [result.failure for result in results if result.failure] == []
    assert {"homing", "asyncio"} <= {result.contestant for result in results}
    for result in results:
        check(BY_NAME[name], result.samples[0])


@pytest.mark.parametrize("contestant", [name for name in udp.CONTESTANTS if suite.installed(name)])
def test_the_flood_is_counted_by_every_contestant(contestant: str) -> None:
    sample = udp.flood(contestant, TINY)
    check(BY_NAME["udp-flood"], sample)
    assert sample["handled"] > 0


@pytest.mark.parametrize("name", ["udp-echo", "udp-latency"])
@pytest.mark.parametrize(
    "contestant", ["homing", "homing async handler", "homing buffer pool", "homing pool of 4", "asyncio"]
)
def test_echo_is_answered_rightly(name: str, contestant: str) -> None:
    sample = BY_NAME[name].run(contestant, TINY)
    check(BY_NAME[name], sample)
    assert sample["p50"] > 0


def test_the_load_can_be_made_in_python() -> None:
    assert load.program(native=False)[1:] == ("-m", "bench.load")
    assert udp.flood("homing", TINY, native=False)["handled"] > 0
    assert udp.echo(64, "homing", TINY, native=False)["handled"] > 0


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


def test_a_contestant_that_fails_is_told_and_the_others_go_on() -> None:
    def measure(contestant: str, settings: suite.Settings) -> suite.Sample:
        if contestant == "homing":
            raise suite.Failed("it answered nothing")
        return {"value": 1.0}

    benchmark = suite.Benchmark(name="x", title="t", unit="u", contestants=("homing", "asyncio"), run=measure)
    homing, asyncio = suite.run(benchmark, TINY)
    assert (homing.samples, homing.failure) == ((), "it answered nothing")
    assert len(asyncio.samples) == 1
    assert "homing: FAILED, it answered nothing" in report.table(benchmark, [homing, asyncio])


def test_a_wrong_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--only", "nothing"])
    assert "udp-flood" in capsys.readouterr().err
