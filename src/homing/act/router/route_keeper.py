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
    """The table of one router's routes. Those with a `behavior` have a process that it starts, starts again, and ends.

    routes: by name. others: counters of names that are no route, or none any more.
    ending: processes that work off what they have, and end.
    """

    def __init__(self, process: Process, log: Callable[[], Log]) -> None:
        self._process = process
        self._log = log
        self.routes: dict[str, Route] = {}
        self.others = Tally()
        self.ending: set[PID] = set()
        self._owned: dict[PID, Route] = {}
        self._retiring: Exception | None = None  # the router itself ends for it once those have ended
        self._starts: set[asyncio.Task[None]] = set()
        self._cancels_starts = False

    def processes(self) -> list[Process]:
        """The processes of owned routes, and those that are ending."""
        own = self._process.core.processes
        return [own[pid] for pid in (*self._owned, *self.ending) if pid in own]

    # --- administration -----------------------------------------------------------------------------------

    def infos(self) -> tuple[RouteInfo, ...]:
        """The routes as they are now, in the order in which they were added."""
        return tuple(route.info() for route in self.routes.values())

    async def add(self, spec: RouteSpec) -> None:
        """Adds a route. Raises `BadOption` if there is one of that name, and what the `init` of its process raises:
        then there is none. Meanwhile the router's mailbox waits."""
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
        """Removes a route. Its process, if it is owned, ends after what waits there. False if there was none."""
        route = self.routes.get(name)
        if route is None:
            return False
        self._drop(route)
        self._retire(route)
        return True

    async def replace(self, name: str, spec: RouteSpec) -> None:
        """Lets `spec`, of the same name, take the place of a route, which keeps its counters. What comes from now on
        goes to the new process; the old one ends after what waits there. If the route is disabled, it stays so.

        Raises `RouteUnknown`, `BadOption`, and what the `init` of the new process raises: then all is as it was.
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
        """What goes to the route fails from now on. Its process, if it is owned, ends after what waits there, as in
        Ergo. Raises `RouteUnknown`."""
        route = self._route(name)
        route.enabled = False
        self._retire(route)

    async def enable(self, name: str) -> None:
        """Takes a disabled route into use again, if it is owned with a new process. Raises `RouteUnknown`, and what the
        `init` of that process raises: then it stays disabled."""
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
        """Takes a route out of the table; what it has counted stays counted."""
        del self.routes[route.spec.name]
        self.others.forwarded += route.forwarded
        self.others.failed += route.failed

    # --- their processes ----------------------------------------------------------------------------------

    async def _start(self, spec: RouteSpec, previous: PID | None = None) -> Process | None:
        """Starts the process of a route that is to have one of its own, in the place of a previous one."""
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
        """From now on the messages of `route` go to `process`, which was started for `spec`, or to its target; unless
        the route was changed meanwhile."""
        if process is not None and not self._lacks_process(route, spec):
            self._end_in_order(process)
        elif process is not None:
            route.process = process
            route.previous = None
            route.since = self._process.core.loop.time()
            self._owned[process.id] = route
        self._process.resume()

    def _lacks_process(self, route: Route, spec: RouteSpec) -> bool:
        """False once a route has a process, or was disabled, removed or replaced."""
        current = self.routes.get(spec.name) is route and route.spec is spec
        return current and route.enabled and route.process is None

    def _retire(self, route: Route) -> None:
        """Lets the process of `route` end: an exit signal comes to it after what waits there."""
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
        """The process of a route has ended, or is to end."""
        route = self._owned.pop(pid)
        route.process = None
        return route

    def process_ended(self, pid: PID) -> Any:
        """Starts the process of a route again, if it was one of those."""
        if pid in self._owned:
            route = self._forget(pid)
            route.previous = pid
            return self._restart_later(route)
        if pid in self.ending:
            self._has_retired(pid)
        return None

    def minds(self, pid: PID) -> bool:
        """True if this is, or was, the process of a route, so that its end is the router's own business."""
        return pid in self._owned or pid in self.ending

    def _restart_later(self, route: Route) -> Coroutine[Any, Any, None] | None:
        """Starts the process of a route again: at once, unless it has ended soon after its start."""
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
        """It has fired, or is to fire no more."""
        if route.timer is not None:
            route.timer.cancel()
            (self._process.timers or set()).discard(route.timer)
            route.timer = None

    def _restart(self, route: Route) -> Coroutine[Any, Any, None] | None:
        """Starts the process of a route again: in this turn; or, if its `init` may wait, beside the router's work."""
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
        """This router is itself a route that is to end after what waited there: first its own routes do."""
        for name in tuple(self.routes):
            self.remove(name)
        self._retiring = reason
        if not self.ending:
            raise ExitSignal(reason)
