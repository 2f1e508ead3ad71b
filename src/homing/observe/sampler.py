"""Samples of processes, meta-processes and sockets, from which rates, shares and ages are computed.

The runtime keeps counters only. While somebody observes a node, a task on its loop reads all counters once in a period,
in portions, so that neither messages nor their senders pay for it. It starts with the first question, and ends
`LINGER_SECONDS` after the last.

A rate is that between the last two samples. The age of a message is explained in `ages`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from ..gen import PID, Alias
from ..node import Node
from ..node.core import Core
from ..node.node import internals
from ..node.processes.meta_process import MetaRunner
from ..node.processes.process import Process
from .ages import Age, Mark, add_mark, age
from .drops import sums
from .histogram import Histogram
from .per_node import PerNode

T = TypeVar("T")

PERIOD = 1.0
"""Seconds between two samples."""

FIRST_PERIOD = 0.05
"""Seconds between the first two samples, for which the first question waits."""

MOST_LOAD = 0.05
"""Most of the loop's time that sampling takes: with very many processes the period is longer."""

LINGER_SECONDS = 60.0
"""Seconds after the last question for which sampling continues, so that the next one need not wait."""

PORTION = 256
"""Processes that are read before the loop polls: about half a millisecond."""

_TICK = 0.25
"""Seconds between two measurements of the loop's lag."""


class Sample(NamedTuple):
    """The counters of a process or meta-process at its last sample, and what they say about the time since the sample
    before. Rates and the share `running` are None after the first sample.

    time: by the loop's clock. taken: messages taken from the mailbox. arrived: these, and those that wait.
    """

    time: float
    taken: int
    arrived: int
    out: int
    running_time: float
    in_rate: float | None
    out_rate: float | None
    running: float | None


Plain: TypeAlias = tuple[float, int, int, int, float, float | None, float | None, float | None]
"""A `Sample` as it is kept. The garbage collector does not visit plain tuples of numbers again: a hundred thousand
objects that it does would make it hold the loop."""


def _first(activity: Process | MetaRunner, now: float) -> Plain:
    taken = _taken(activity)
    return (now, taken, taken + activity.waiting, activity.messages_out, activity.running_time, None, None, None)


def _next(before: Plain, activity: Process | MetaRunner, now: float) -> Plain:
    """Returns the sample that follows `before`."""
    then, taken_before, _, out_before, running_before, in_rate, out_rate, running = before
    taken, out, running_time = _taken(activity), activity.messages_out, activity.running_time
    seconds = now - then
    if seconds > 0:
        in_rate = (taken - taken_before) / seconds
        out_rate = (out - out_before) / seconds
        running = min(1.0, (running_time - running_before) / seconds)
    return (now, taken, taken + activity.waiting, out, running_time, in_rate, out_rate, running)


def _taken(activity: Process | MetaRunner) -> int:
    return activity.handled + activity.dropped_oldest


class SocketSample:
    """The counters of a socket at its last sample, and their rates, by the names of `SocketRecord`."""

    __slots__ = ("counters", "rates", "time")

    def __init__(self, counters: dict[str, int], now: float) -> None:
        self.time = now
        self.counters = counters
        self.rates: dict[str, float | None] = dict.fromkeys(counters)

    def renew(self, counters: dict[str, int], now: float) -> None:
        """Takes the next sample."""
        seconds = now - self.time
        if seconds > 0:
            self.rates = {name: max(0, value - self.counters[name]) / seconds for name, value in counters.items()}
        self.counters, self.time = counters, now


def socket_counters(meta: MetaRunner) -> dict[str, int] | None:
    """Returns the counters of a socket of which there are rates; None if the meta-process has no open socket."""
    counted = meta.hooks.counters
    if counted is None:
        return None
    dropped_in, dropped_out = sums(counted)
    return {
        "packets_in": counted.packets_in,
        "bytes_in": counted.bytes_in,
        "packets_out": counted.packets_out,
        "bytes_out": counted.bytes_out,
        "dropped_in": dropped_in,
        "dropped_out": dropped_out,
    }


class Sampler:
    """The samples of one node.

    lag: the longest time in seconds that a tick of the last period was late; None before the first.
    queue_age: at each sample, for each process that has handled messages since the last one: the age of the oldest
        message that waits, 0 if none does, counted once for each message handled.
    handling: the mean time that a process's callbacks ran per message since the last sample, counted once for each
        message handled. Waiting for something does not count.
    rounds: number of samples so far, since it was started.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.lag: float | None = None
        self.queue_age = Histogram()
        self.handling = Histogram()
        self.rounds = 0
        self._samples: dict[PID | Alias, Plain] = {}
        self._marks: dict[PID | Alias, list[Mark]] = {}
        self._sockets: dict[PID | Alias, SocketSample] = {}
        self._task: asyncio.Task[None] | None = None
        self._twice = asyncio.Event()
        self._asked = 0.0
        self._stopped = False

    def sample(self, activity: Process | MetaRunner) -> Sample | None:
        """Returns the last sample of a process or meta-process; None if it has started since."""
        found = self._samples.get(activity.id)
        return None if found is None else Sample._make(found)

    def age(self, activity: Process | MetaRunner) -> Age | None:
        """Returns the age of the oldest message that waits at a process; None if none does, or it is not known."""
        waiting = activity.waiting
        found = self._samples.get(activity.id) if waiting else None
        if found is None:
            return None
        taken = _taken(activity)
        marks = self._marks.get(activity.id) or [Mark(found[2], found[0])]
        return age(marks, Mark(taken + waiting, self._core.loop.time()), taken)

    def socket(self, meta: MetaRunner) -> SocketSample | None:
        """Returns the last sample of a socket."""
        return self._sockets.get(meta.id)

    async def ready(self) -> None:
        """Starts sampling, or continues it, and returns when there are two samples."""
        self.keep()
        await self._twice.wait()

    def keep(self) -> None:
        """Starts sampling, or continues it for another `LINGER_SECONDS`."""
        self._asked = self._core.loop.time()
        if not self._stopped and (self._task is None or self._task.done()):
            self._twice.clear()
            self.rounds = 0
            context = self._core.scheduler.context.copy()
            self._task = self._core.loop.create_task(self._run(), name="homing sampler", context=context)
            self._task.add_done_callback(self._ended, context=context)

    def stop(self) -> None:
        """Stops sampling for good, as the node has stopped. Questions are answered without samples from now on."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
        self._twice.set()

    async def _run(self) -> None:
        loop = self._core.loop
        while self.rounds < 2 or loop.time() - self._asked < LINGER_SECONDS:  # a question may wait for two
            began = loop.time()
            await self._take()
            self.rounds += 1
            if self.rounds >= 2:
                self._twice.set()
            took = loop.time() - began
            await self._rest(FIRST_PERIOD if self.rounds < 2 else max(PERIOD - took, took / MOST_LOAD))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Forgets the samples. If a program has cancelled the task, questions are answered without."""
        if task is self._task:
            self._samples, self._sockets, self._marks, self.lag = {}, {}, {}, None
            self._twice.set()

    async def _rest(self, seconds: float) -> None:
        """Sleeps in ticks, and measures how late they are."""
        loop, worst = self._core.loop, 0.0
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            due = loop.time() + min(left, _TICK)
            await asyncio.sleep(due - loop.time())
            worst = max(worst, loop.time() - due)
        self.lag = worst

    async def _take(self) -> None:
        core = self._core
        activities: list[Process | MetaRunner] = [*core.processes.values(), *core.metas.values()]
        for portion in portions(activities, PORTION):
            now = core.loop.time()
            for activity in portion:
                self._samples[activity.id] = self._sampled(activity, now)
            await asyncio.sleep(0)
        for metas in portions(list(core.metas.values()), PORTION // 8):
            now = core.loop.time()
            for meta in metas:
                self._sample_socket(meta, now)
            await asyncio.sleep(0)
        for samples in (self._samples, self._marks, self._sockets):
            await self._forget_ended(samples)

    async def _forget_ended(self, samples: dict[PID | Alias, Any]) -> None:
        """Removes the samples of processes and meta-processes that have ended."""
        core = self._core
        for portion in portions(list(samples), PORTION):
            for address in portion:
                if address not in core.processes and address not in core.metas:
                    samples.pop(address, None)
            await asyncio.sleep(0)

    def _sampled(self, activity: Process | MetaRunner, now: float) -> Plain:
        before = self._samples.get(activity.id)
        if before is None:
            sample = _first(activity, now)
        else:
            sample = _next(before, activity, now)
        taken, arrived = sample[1], sample[2]
        if arrived > taken:
            marks = self._marks.get(activity.id) or ([] if before is None else [Mark(before[2], before[0])])
            add_mark(marks, Mark(arrived, now), taken)
            self._marks[activity.id] = marks
        elif self._marks:
            self._marks.pop(activity.id, None)
        if before is not None and taken > before[1]:
            self._count(activity, before, sample)
        return sample

    def _count(self, activity: Process | MetaRunner, before: Plain, sample: Plain) -> None:
        """Counts the messages that were handled between two samples in the histograms."""
        handled = sample[1] - before[1]
        self.handling.add((sample[4] - before[4]) / handled, handled)
        oldest = self._age_at(activity, sample)
        self.queue_age.add(0.0 if oldest is None else oldest.seconds, handled)

    def _age_at(self, activity: Process | MetaRunner, sample: Plain) -> Age | None:
        marks = self._marks.get(activity.id)
        return None if marks is None else age(marks, Mark(sample[2], sample[0]), sample[1])

    def _sample_socket(self, meta: MetaRunner, now: float) -> None:
        counters = socket_counters(meta)
        if counters is None:
            return
        sample = self._sockets.get(meta.id)
        if sample is None:
            self._sockets[meta.id] = SocketSample(counters, now)
        else:
            sample.renew(counters, now)


def portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yields `items` in sequences of at most `size`. A caller lets the loop poll after each."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _make(node: Node) -> Sampler:
    sampler = Sampler(internals(node).core)
    node.on_stopped(sampler.stop)
    return sampler


samplers = PerNode(_make)
"""The sampler of each node: all its observers share it."""
