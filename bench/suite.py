"""Defines a benchmark, and runs its rounds: interleaved, each contestant in a fresh process each time."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from . import native
from .available import missing

Sample: TypeAlias = dict[str, float]
"""The figures of one contestant in one round: `value`, the main figure, and the benchmark's extras."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The size of a run.

    rounds: times that every contestant is measured.
    cpu_seconds: least CPU time of a round of an actor benchmark.
    load_seconds: seconds of load in a round of a UDP benchmark.
    processes: actors that are alive while their memory is measured.
    """

    rounds: int = 5
    cpu_seconds: float = 0.3
    load_seconds: float = 0.6
    processes: int = 20_000


QUICK = Settings(rounds=2, cpu_seconds=0.05, load_seconds=0.15, processes=5_000)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One measurement, made on several contestants.

    run: measures one contestant once.
    extras: keys of the samples that are shown beside `value`.
    baselines: the contestants with which the others are compared.
    needs_c: the load generator in Python cannot make the load.
    minor: it has three rounds where others have five, so that a whole run takes less time.
    missing: returns what must be installed for a contestant; "" if nothing.
    """

    name: str
    title: str
    unit: str
    contestants: tuple[str, ...]
    run: Callable[[str, Settings], Sample]
    extras: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ("asyncio",)
    lower_is_better: bool = False
    needs_c: bool = False
    minor: bool = False
    missing: Callable[[str], str] = missing

    def rounds(self, settings: Settings) -> int:
        """Returns the number of its rounds in a run."""
        return -(-settings.rounds * 3 // 5) if self.minor else settings.rounds


class Failed(Exception):
    """A contestant could not be measured."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The samples of one contestant, one for each round; or none, and why the contestant failed or was left out."""

    contestant: str
    samples: tuple[Sample, ...] = ()
    failure: str = ""
    left_out: str = ""

    def median(self, key: str = "value") -> float:
        return statistics.median(sample[key] for sample in self.samples)

    @property
    def spread(self) -> float:
        """The difference of the highest and the lowest value, as a share of the median."""
        values = [sample["value"] for sample in self.samples]
        return (max(values) - min(values)) / self.median()


def left_out(benchmark: Benchmark, contestant: str) -> str:
    """Returns why `contestant` cannot be measured here; "" if it can."""
    if benchmark.needs_c and native.program("load") is None:
        return "its load needs Linux and a C compiler"
    return benchmark.missing(contestant)


def run(benchmark: Benchmark, settings: Settings, progress: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Runs all rounds. Each begins with another contestant, so that none always has the same predecessor.

    A contestant that fails is excluded, because the median of its other rounds would flatter it; the others go on.
    """
    absent = {name: reason for name in benchmark.contestants if (reason := left_out(benchmark, name))}
    contestants = [name for name in benchmark.contestants if name not in absent]
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    failures: dict[str, str] = {}
    rounds = benchmark.rounds(settings)
    for number in range(rounds):
        first = number % max(1, len(contestants))
        for name in contestants[first:] + contestants[:first]:
            if name in failures:
                continue
            progress(f"{benchmark.name}, round {number + 1} of {rounds}: {name}")
            try:
                samples[name].append(benchmark.run(name, settings))
            except (Failed, subprocess.SubprocessError) as error:
                failures[name] = str(error)
    return [_result(name, samples, failures, absent) for name in benchmark.contestants]


def _result(name: str, samples: dict[str, list[Sample]], failures: dict[str, str], absent: dict[str, str]) -> Result:
    if name in absent:
        return Result(contestant=name, left_out=absent[name])
    if name in failures:
        return Result(contestant=name, failure=failures[name])
    return Result(contestant=name, samples=tuple(samples[name]))
