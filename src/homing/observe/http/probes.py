"""Health as the server sees it: the facts of the nodes, and whether their loops turn, which no node can say itself.

The observer of several nodes answers with `nodes`, the answer of each by its name, and `missing`, why others have none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..records import CheckRecord, HealthRecord, MetricsRecord, ProbeRecord
from ..refusals import RequestRefused
from .bridge import Bridge, Unanswered
from .exposition import Measured

Facts = Mapping[str, Any]

PROBE_SECONDS = 0.7
"""Seconds for which a probe waits for the loop, then it uses the last facts: Kubernetes gives up after 1 s by
default."""

REFRESH_SECONDS = 5.0
"""Seconds between two looks at the health by the server itself, so that there are last facts when a loop blocks, and a
socket is missed that nobody has asked about."""


class Probes:
    """Answers probes. live_seconds: time without a turn of a loop after which its node is not live."""

    def __init__(self, bridge: Bridge, live_seconds: float) -> None:
        self._bridge = bridge
        self._live_seconds = live_seconds
        self._answered: dict[str, float] = {}
        self._metrics: dict[str, tuple[MetricsRecord, float]] = {}

    async def look(self, timeout: float = PROBE_SECONDS) -> tuple[Facts | None, float]:
        """Returns the answer to `health`, and its age in seconds. None: there has been none yet."""
        try:
            facts, age = await self._bridge.ask({"what": "health"}, timeout)
        except (Unanswered, RequestRefused):
            return None, 0.0
        now = time.monotonic()
        for name in facts.get("nodes", ()):
            self._answered[name] = now - age
        for name in facts.get("missing", ()):
            self._answered.setdefault(name, now)
        return facts, age

    async def answer(self, probe: str) -> tuple[bool, list[CheckRecord], float]:
        """Returns whether a probe passes, its checks, and the age of the facts."""
        facts, age = (None, 0.0) if probe == "live" and not self._answered else await self.look()
        checks = self.loop_checks()
        if probe != "live":
            checks += [_UNKNOWN] if facts is None else list(_checks(facts, probe))
        return all(check["ok"] for check in checks), checks, 0.0 if probe == "live" else age

    def loop_checks(self) -> list[CheckRecord]:
        """Returns whether the loops turn: the one of this OS process, and those of other nodes, by their answers."""
        silent, limit = self._bridge.silent, self._live_seconds
        reason = f"it has not turned for {silent:.1f} s, longer than {limit:g} s" if silent >= limit else ""
        return [_check("loop", reason), *(_check("loop", reason) for _, reason in self._nodes_silent() if reason)]

    def _nodes_silent(self) -> Iterator[tuple[str, str]]:
        now = time.monotonic()
        for name, answered in self._answered.items():
            silent = now - answered
            late = silent >= self._live_seconds + REFRESH_SECONDS
            yield name, f"{name} has not answered for {silent:.0f} s" if late else ""

    def measured(self, health: Facts | None, metrics: Facts, age: float) -> list[Measured]:
        """Returns all facts for metrics, by node. metrics: empty if there are none; age: theirs. A node that is not in
        them has its last ones."""
        if not self._answered:
            return [_measured("", self.loop_checks(), health, metrics or None, age)]
        now = time.monotonic()
        for name, found in metrics.get("nodes", {}).items():
            self._metrics[name] = found, now - age
        healths = (health or {}).get("nodes", {})
        measured = []
        for name, reason in self._nodes_silent():
            last, at = self._metrics.get(name, (None, now))
            measured.append(_measured(name, [_check("loop", reason)], healths.get(name), last, now - at))
        return measured


def _measured(node: str, loop: list[CheckRecord], health: Any, metrics: Any, age: float) -> Measured:
    probes: dict[str, ProbeRecord] = {"live": {"ok": True, "checks": loop}}
    if health is not None:
        found: HealthRecord = health
        probes["ready"] = {"ok": True, "checks": found["ready"]["checks"]}
    return Measured(node, metrics, probes, age)


def _checks(facts: Facts, probe: str) -> Iterator[CheckRecord]:
    """Yields the checks of a probe, of all nodes."""
    if "nodes" not in facts:
        yield from facts[probe]["checks"]
        return
    for node, health in facts["nodes"].items():
        for check in health[probe]["checks"]:
            reason = f"{node}: {check['reason']}" if check["reason"] else ""
            yield {"name": check["name"], "ok": check["ok"], "reason": reason, "owner": check["owner"]}
    for node, why in facts["missing"].items():
        yield _check("node", f"{node}: {why}")


def _check(name: str, reason: str) -> CheckRecord:
    return {"name": name, "ok": not reason, "reason": reason, "owner": None}


_UNKNOWN = _check("facts", "the node has not answered yet")
