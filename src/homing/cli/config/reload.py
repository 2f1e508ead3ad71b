"""Applies a changed file while the node runs: all that can change is changed, and the rest is named."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ...gen import BadConfiguration, BadOption, HomingError
from ...gen.foreign import safe_str, same
from ...meta import Reconfigure, UDPServer, UDPServerOptions
from ...meta.udp_server.reconfigure import CHANGEABLE
from ...meta.udp_server.server import given_to, with_configured
from ...node import Node
from ...node.logs import StderrHandler
from ...node.node import internals
from ...observe.records import ReloadRecord
from . import hangup
from .certificates import reload_certificates
from .changes import Change, change_of, option_changes
from .settings import Settings
from .source import FileConfiguration


class Plan(NamedTuple):
    """A server, its name, the options in force, and the options that it is to have."""

    server: UDPServer
    name: str
    before: UDPServerOptions
    now: UDPServerOptions


class Outcome(NamedTuple):
    """The outcome of a reload.

    applied: the changes in force now, also of certificates. restart: those that need a restart of the program; they
    are named again by each reload until then. failed: keys of servers that could not be changed, and why. unused:
    servers in the file that the program has not made.
    """

    applied: list[Change]
    restart: list[Change]
    failed: list[str]
    unused: list[str]

    def as_record(self, file: str) -> ReloadRecord:
        """Returns a dict that JSON can hold."""
        return {
            "file": file,
            "applied": [change.as_record() for change in self.applied],
            "restart": [change.as_record() for change in self.restart],
            "failed": self.failed,
            "unused": self.unused,
        }


class Reloader:
    """Reads the file of a node again. settings: those with which the program was started."""

    def __init__(self, node: Node, settings: Settings) -> None:
        self._node = node
        self._settings = settings
        self._level = settings.options.log_level
        self._core = internals(node).core
        self._in_force: WeakKeyDictionary[UDPServer, UDPServerOptions] = WeakKeyDictionary()
        self._lock = asyncio.Lock()
        self._begun = self._asked = False
        self._tasks: set[asyncio.Task[None]] = set()
        hangup.call(self._hung_up, node.stop_soon)
        node.on_stopped(hangup.ignore)

    def begin(self) -> None:
        """Reloads on each SIGHUP from now on, once if there was one already: the program has started."""
        self._begun = True
        if self._asked:
            self._hung_up()

    def _hung_up(self) -> None:
        self._asked = True
        if self._begun:
            task = self._core.loop.create_task(self._try())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _try(self) -> None:
        with suppress(BadConfiguration):  # it was logged
            await self.reload()

    async def reload(self) -> ReloadRecord:
        """Reads the file and applies it. Returns the outcome, which is logged too.

        Raises `BadConfiguration`, after it was logged, if anything in the file is wrong; then nothing has changed.
        `systemctl reload` waits for the end (`Type=notify-reload`).
        """
        async with self._lock:
            service = internals(self._node).service
            service.reloading()
            try:
                outcome = await self._reload()
            except BadConfiguration as error:
                self._node.log.error("not reloaded, everything stays as it was:\n%s", error)
                raise
            finally:
                service.going_on()
        self._log(outcome)
        return outcome.as_record(self._settings.command.config)

    async def _reload(self) -> Outcome:
        settings = await asyncio.to_thread(self._settings.again)
        source = settings.loaded.configuration if settings.loaded is not None else None
        if source is None:
            raise BadConfiguration(("there is no file",))
        plans = self._check(settings, source)
        outcome = Outcome([], [], [], list(settings.unused()))
        for change in option_changes(self._settings, settings):
            if change.key != "log_level":
                outcome.restart.append(change)
        self._set_level(settings, outcome)
        outcome.applied.extend(
            Change(f"app.{section}" if section else "app", "", "")
            for section in self._core.configuration.change(source)
        )
        for plan in plans:
            await self._reconfigure(plan, outcome)
        changed, failed = await reload_certificates(self._node)
        outcome.applied.extend(changed)
        outcome.failed.extend(failed)
        return outcome

    # --- before anything changes ---------------------------------------------------------------------------

    def _check(self, settings: Settings, source: FileConfiguration) -> list[Plan]:
        """Returns the servers to change. Raises `BadConfiguration` with all that is wrong."""
        problems: list[str] = []
        for asked in self._core.configuration.asked:
            try:
                source.section(asked.kind, asked.section)
            except BadConfiguration as error:
                problems += error.problems
        try:
            settings.node_options()
        except BadOption as error:
            problems.append(str(error))
        plans = [plan for server in self._servers() if (plan := self._plan(server, source, problems)) is not None]
        if problems:
            raise BadConfiguration(tuple(dict.fromkeys(problems)))
        return plans

    def _servers(self) -> Iterator[UDPServer]:
        for meta in tuple(self._core.metas.values()):
            if isinstance(meta.behavior, UDPServer) and given_to(meta.behavior).name:
                yield meta.behavior

    def _plan(self, server: UDPServer, source: FileConfiguration, problems: list[str]) -> Plan | None:
        given = given_to(server)
        before = self._in_force.get(server) or with_configured(given)
        try:
            return Plan(server, given.name, before, replace(given, **source.server(given.name)))
        except BadOption as error:
            problems.append(f"{source.place_of(given.name, error.option)}: {error}")
            return None

    # --- the changes ---------------------------------------------------------------------------------------

    def _set_level(self, settings: Settings, outcome: Outcome) -> None:
        level = settings.options.log_level
        if level == self._level:
            return
        change = change_of(("log_level",), self._level, level)
        if any(isinstance(handler, StderrHandler) for handler in logging.getLogger().handlers):
            logging.getLogger().setLevel(level.upper())
            self._level = level
            outcome.applied.append(change)
        else:
            outcome.failed.append(f"{change}: the program has set up logging itself")

    async def _reconfigure(self, plan: Plan, outcome: Outcome) -> None:
        self._in_force[plan.server] = plan.before
        before, now = _fields(plan.before), _fields(plan.now)
        names = [name for name in now if not same(before[name], now[name])]
        changes = {name: change_of(("servers", plan.name, name), before[name], now[name]) for name in names}
        wanted = {name: now[name] for name in names if name in CHANGEABLE}
        outcome.restart.extend(changes[name] for name in names if name not in CHANGEABLE)
        if not wanted:
            return
        try:
            await self._node.call(plan.server.alias, Reconfigure(**wanted))
        except HomingError as error:
            outcome.failed.append(f"{', '.join(changes[name].key for name in wanted)}: {safe_str(error)}")
            return
        self._in_force[plan.server] = replace(plan.before, **wanted)
        outcome.applied.extend(changes[name] for name in wanted)

    def _log(self, outcome: Outcome) -> None:
        log, file = self._node.log, self._settings.command.config
        for change in outcome.applied:
            log.info("%s: %s", file, change)
        for change in outcome.restart:
            log.warning("%s: %s: this needs a restart", file, change)
        for text in outcome.failed:
            log.error("%s: not applied: %s", file, text)
        for text in outcome.unused:
            log.warning("%s", text)
        if not any(outcome[:-1]):
            log.info("%s was read again: nothing has changed", file)


def _fields(options: UDPServerOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in UDPServerOptions.__dataclass_fields__}
