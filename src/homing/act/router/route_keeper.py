"""The routes of a router: their table, and the processes of those it owns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from ...gen import (
    PID,
    BadOption,
    NodeTerminated,
    TerminateShutdown,
)
from ...gen.foreign import safe_repr
from ...gen.options import check_type
from ...node.mailbox.envelope import ExitSignal, Invoke, exit_signal
from ...node.processes.process import Process
from ...node.processes.spawning import spawn
from ...node.scheduling.stepping import is_cancelled
from ..links import add_monitor
from .errors import RouteUnknown
from .options import RouteSpec
from .requests import RouteInfo
from .routes import Route, Tally

Log: TypeAlias = logging.LoggerAdapter[logging.Logger]


class RouteKeeper:
    """The table of one router's routes. Starts, restarts and ends the processes of routes with a `behavior`.

    routes: by name. others: counters of names that are not a route, and of removed routes.
    ending: processes that handle their queued messages and then end.
    """

    def __init__(self, process: Process, log: Callable[[], Log]) -> None:
        self._process = process
        self._log = log
        self.routes: dict[str, Route] = {}
        self.others = Tally()
        self.ending: set[PID] = set()
        self._owned: dict[PID, Route] = {}
        self._retiring: Exception | None = None  # the reason for which the router ends after `ending`, if it retires
        self._starts: set[asyncio.Task[None]] = set()
        self._cancels_starts = False

    def processes(self) -> list[Process]:
        """The processes of owned routes, and those that are ending."""
        own = self._process.core.processes
        return [own[pid] for pid in (*self._owned, *self.ending) if pid in own]

    def route_of(self, pid: PID) -> Route | None:
        """Returns the route that owns the process."""
        return self._owned.get(pid)

    # --- administration -----------------------------------------------------------------------------------

    def infos(self) -> tuple[RouteInfo, ...]:
        """Returns snapshots of the routes, in the order in which they were added."""
        return tuple(route.info() for route in self.routes.values())

    async def add(self, spec: RouteSpec) -> None:
        """Adds a route. Raises `BadOption` if the name is taken, and what the `init` of its process raises; then no
        route is added. Meanwhile the router's mailbox waits."""
        check_type("spec", spec, RouteSpec, "an act.RouteSpec")
        if spec.name in self.routes:
            raise BadOption("name", spec.name, "there is a route of that name; use replace_route")
        route = self.routes[spec.name] = Route(spec)
        try:
            process = await self._start(spec)
        except BaseException:
            self.remove(spec.name)
            raise
        self._settle(route, spec, process)

    def remove(self, name: str) -> bool:
        """Removes a route. Its process, if owned, ends after its queued messages. Returns False if there was none."""
        route = self.routes.get(name)
        if route is None:
            return False
        self._drop(route)
        self._retire(route)
        return True

    async def replace(self, name: str, spec: RouteSpec) -> None:
        """Replaces a route by `spec`, which has the same name; the counters are kept. From now on messages go to the
        new process; the old process ends after its queued messages. A disabled route stays disabled.

        Raises `RouteUnknown`, `BadOption`, and what the `init` of the new process raises; then nothing changes.
        """
        route = self._route(name)
        check_type("spec", spec, RouteSpec, "an act.RouteSpec")
        if spec.name != name:
            raise BadOption("spec.name", spec.name, f"give the name of the route to be replaced, {name!r}")
        process = await self._start(spec) if route.enabled else None
        self._retire(route)
        route.spec = spec
        self._settle(route, spec, process)

    def disable(self, name: str) -> None:
        """Disables a route: messages to it fail from now on. Its process, if owned, ends after its queued messages, as
        in Ergo. Raises `RouteUnknown`."""
        route = self._route(name)
        route.enabled = False
        self._retire(route)

    async def enable(self, name: str) -> None:
        """Enables a disabled route, with a new process if it is owned. Raises `RouteUnknown`, and what the `init` of
        the process raises; then the route stays disabled."""
        route = self._route(name)
        if not route.enabled:
            process = await self._start(route.spec)
            route.enabled = True
            self._settle(route, route.spec, process)

    def _route(self, name: str) -> Route:
        route = self.routes.get(name)
        if route is None:
            raise RouteUnknown(name)
        return route

    def _drop(self, route: Route) -> None:
        """Removes a route from the table; its counters are added to `others`."""
        del self.routes[route.spec.name]
        self.others.forwarded += route.forwarded
        self.others.failed += route.failed

    # --- their processes ----------------------------------------------------------------------------------

    async def _start(self, spec: RouteSpec, previous: PID | None = None) -> Process | None:
        """Starts the process of an owned route, as the successor of `previous` if given. Returns None for a target."""
        if spec.behavior is None:
            return None
        options = replace(spec.options, link_parent=True, link_child=False)
        process = self._process
        pid = await spawn(process.core, process, spec.behavior, spec.args, None, options, previous=previous)
        add_monitor(process, pid)
        route = process.core.processes[pid]
        route.fed = True
        return route

    def _settle(self, route: Route, spec: RouteSpec, process: Process | None) -> None:
        """Makes `process`, started for `spec`, the process of `route`; or ends it if the route was changed meanwhile.
        Without `process`, the route leads to its target."""
        if process is not None and not self._lacks_process(route, spec):
            self._end_in_order(process)
        elif process is not None:
            route.process = process
            route.previous = None
            route.since = self._process.core.loop.time()
            self._owned[process.id] = route
        self._process.resume()

    def _lacks_process(self, route: Route, spec: RouteSpec) -> bool:
        """Returns False if a route has a process, or was disabled, removed or replaced."""
        current = self.routes.get(spec.name) is route and route.spec is spec
        return current and route.enabled and route.process is None

    def _retire(self, route: Route) -> None:
        """Ends the process of `route` by an exit signal behind its queued messages, and cancels its restart."""
        process = route.process
        if process is not None:
            self._forget(process.id)
            self._end_in_order(process)
        if route.previous is not None:
            self._process.forget_preserved(route.previous)
            route.previous = None
        self._forget_timer(route)
        self._process.resume()

    def _end_in_order(self, process: Process) -> None:
        self.ending.add(process.id)
        process.put_runtime(exit_signal(self._process.id, TerminateShutdown()), 0)

    def _forget(self, pid: PID) -> Route:
        """Forgets the process of a route that has ended, or is to end."""
        route = self._owned.pop(pid)
        route.process = None
        return route

    def process_ended(self, pid: PID) -> Any:
        """Handles the end of a route's process: restarts it, unless the router itself has ended it."""
        if pid in self._owned:
            ended = self._owned[pid].process
            route = self._forget(pid)
            route.previous = pid
            route.reason = None if ended is None else ended.reason
            return self._restart_later(route)
        if pid in self.ending:
            self._has_retired(pid)
        return None

    def minds(self, pid: PID) -> bool:
        """Returns True if `pid` is, or was, the process of a route, so that the router itself handles its end."""
        return pid in self._owned or pid in self.ending

    def _restart_later(self, route: Route) -> Coroutine[Any, Any, None] | None:
        """Restarts the process of a route: at once, or after a delay if it ended soon after its start."""
        delay = route.next_delay(self._process.core.loop.time())
        if delay == 0.0:
            return self._restart(route)
        process = self._process
        again = Invoke(partial(self._restart, route))
        self._forget_timer(route)
        route.timer = process.core.loop.call_later(delay, process.put_runtime, again, 1)
        process.own(route.timer)
        return None

    def _forget_timer(self, route: Route) -> None:
        """Cancels the timer of a restart, if there is one, and removes it."""
        if route.timer is not None:
            route.timer.cancel()
            (self._process.timers or set()).discard(route.timer)
            route.timer = None

    def _restart(self, route: Route) -> Coroutine[Any, Any, None] | None:
        """Restarts the process of a route: in this turn, or in a task of its own if the `init` may wait."""
        self._forget_timer(route)
        behavior, starting = route.spec.behavior, self._start_again(route)
        waits = behavior is not None and (behavior._runtime_hooks.configures or iscoroutinefunction(behavior.init))
        if not waits and not route.spec.options.thread:
            return starting
        task = self._process.core.loop.create_task(starting)
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)
        if not self._cancels_starts:
            self._cancels_starts = True
            self._process.when_ended(self._cancel_starts)
        return None

    def _cancel_starts(self) -> None:
        for task in self._starts:
            task.cancel()

    async def _start_again(self, route: Route) -> None:
        spec = route.spec
        if not self._lacks_process(route, spec):
            return
        try:
            process = await self._start(spec, route.previous)
        except NodeTerminated:
            return
        except BaseException as error:
            if is_cancelled(error):
                raise
            text, process = "route %s of router %s could not be started: %s", self._process
            told = repr(spec.name), process.id, safe_repr(error)
            process.core.log_failure(process.log_adapter, text, *told, fault=error)
            route.since = self._process.core.loop.time()
            self._restart_later(route)
            return
        route.restarts += 1
        self._settle(route, spec, process)

    def _has_retired(self, pid: PID) -> None:
        self.ending.discard(pid)
        self._process.forget_preserved(pid)
        if self._retiring is not None and not self.ending:
            raise ExitSignal(self._retiring)

    def retire_all(self, reason: Exception) -> None:
        """Ends this router, itself a route that ends after its queued messages: its own routes end first."""
        for name in tuple(self.routes):
            self.remove(name)
        self._retiring = reason
        if not self.ending:
            raise ExitSignal(reason)
