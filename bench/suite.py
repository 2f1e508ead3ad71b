"""What a benchmark is, and how its rounds are run: interleaved, each contestant in a fresh process each time."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Sample: TypeAlias = dict[str, float]
"""What one contestant gave in one round: `value`, the figure that counts, and the benchmark's extras."""

BASELINE = "asyncio"
"""The contestant with which the others are compared."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is measured.

    rounds: times that every contestant is measured.
    cpu_seconds: CPU time that a round of an actor benchmark takes at least.
    load_seconds: time for which a round of a UDP benchmark is under load.
    processes: actors that are alive while their memory is measured.
    """

    rounds: int = 5
    cpu_seconds: float = 0.3
    load_seconds: float = 0.7
    processes: int = 20_000


QUICK = Settings(rounds=2, cpu_seconds=0.05, load_seconds=0.15, processes=5_000)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One thing that is measured, on several contestants.

    extras: keys of the samples that are shown beside `value`.
    run: measures one contestant once.
    """

    name: str
    title: str
    unit: str
    contestants: tuple[str, ...]
    run: Callable[[str, Settings], Sample]
    extras: tuple[str, ...] = ()
    lower_is_better: bool = False


class Failed(Exception):
    """A contestant did not do what it was to do."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The samples of one contestant, one for each round; or none, and why it failed."""

    contestant: str
    samples: tuple[Sample, ...]
    failure: str = ""

    def median(self, key: str = "value") -> float:
        return statistics.median(sample[key] for sample in self.samples)

    @property
    def spread(self) -> float:
        """From the lowest to the highest value, as a share of the median."""
        values = [sample["value"] for sample in self.samples]
        return (max(values) - min(values)) / self.median()


def installed(contestant: str) -> bool:
    """True if the packages that `contestant` needs are here; its name is made of theirs: "homing on uvloop"."""
    optional = [package for package in ("uvloop", "pykka") if package in contestant]
    return all(importlib.util.find_spec(package) for package in optional)


def run(benchmark: Benchmark, settings: Settings, progress: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Runs all rounds. Each begins with another contestant, so that none always has the same predecessor.

    One that fails is out, for what is left of its rounds would flatter it; the others go on.
    """
    contestants = [name for name in benchmark.contestants if installed(name)]
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    failures: dict[str, str] = {}
    for number in range(settings.rounds):
        first = number % len(contestants)
        for name in contestants[first:] + contestants[:first]:
            if name in failures:
                continue
            progress(f"{benchmark.name}, round {number + 1} of {settings.rounds}: {name}")
            try:
                samples[name].append(benchmark.run(name, settings))
            except (Failed, subprocess.SubprocessError) as error:
                failures[name] = str(error)
    return [
        Result(contestant=name, samples=(), failure=failures[name])
        if name in failures
        else Result(contestant=name, samples=tuple(samples[name]))
        for name in contestants
    ]
