"""The applications of a node: each is started after the applications that it depends on, and stopped before them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

from ..gen import (
    Application,
    ApplicationDepends,
    ApplicationMode,
    ApplicationRunning,
    ApplicationSpec,
    ApplicationState,
    ApplicationTaken,
    ApplicationUnknown,
    BadOption,
)
from ..gen.foreign import safe_repr
from ..gen.options import check_seconds, check_type
from .application import LoadedApplication
from .scheduling.stepping import in_own_task

if TYPE_CHECKING:
    from .core import Core
    from .processes.process import Process

_LOADED, _STARTING = ApplicationState.LOADED, ApplicationState.STARTING
_RUNNING, _STOPPING = ApplicationState.RUNNING, ApplicationState.STOPPING


class Applications:
    """The applications of one node, by name."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._loaded: dict[str, LoadedApplication] = {}
        self._order = count(1)

    def __iter__(self) -> Iterator[LoadedApplication]:
        return iter(self._loaded.values())

    def __contains__(self, name: object) -> bool:
        return name in self._loaded

    async def load(self, node: Any, application: Application | type[Application], args: tuple[Any, ...]) -> str:
        """Calls `load` of `application` for its specification and stores that. Returns its name."""
        self._core.require_running()
        if isinstance(application, type) and issubclass(application, Application):
            application = application()
        if not isinstance(application, Application):
            raise BadOption("application", application, "give a class derived from gen.Application, or its instance")
        for callback in (application.start, application.terminate):
            if inspect.iscoroutinefunction(callback):
                raise BadOption(callback.__name__, callback, "make it a plain def; a member can do the awaiting")
        spec = application.load(node, *args)
        if inspect.isawaitable(spec):
            spec = await spec
        if not isinstance(spec, ApplicationSpec):
            raise BadOption("load", spec, f"{type(application).__name__}.load must return a gen.ApplicationSpec")
        if spec.name in self._loaded:
            raise ApplicationTaken(spec.name)
        self._loaded[spec.name] = LoadedApplication(self._core, application, spec)
        return spec.name

    def find(self, name: str) -> LoadedApplication:
        """Returns the application of that name. Raises `ApplicationUnknown`."""
        found = self._loaded.get(name) if isinstance(name, str) else None
        if found is None:
            raise ApplicationUnknown(name)
        return found

    async def start(self, name: str, mode: ApplicationMode | None) -> None:
        """Starts an application after those that it depends on. If that fails, its state is `loaded` again."""
        self._core.require_running()
        check_type("mode", mode, (ApplicationMode, type(None)), "a gen.ApplicationMode or None")
        application = self.find(name)
        self._check_depends(name)
        application.begin_start(mode or application.spec.mode)
        try:
            for dependency in application.spec.depends:
                await self._start_dependency(name, dependency)
            await application.start_members()
        except BaseException:
            await application.give_up()
            raise
        application.started(next(self._order))

    def _check_depends(self, name: str) -> None:
        """Raises `ApplicationDepends` unless everything that `name` depends on is loaded, without a cycle. Searches
        depth first, without recursion, as a chain may be long."""
        path: dict[str, Iterator[str]] = {name: iter(self.find(name).spec.depends)}
        checked: set[str] = set()
        while path:
            user, rest = next(reversed(path.items()))
            dependency = next(rest, None)
            if dependency is None:
                checked.add(user)
                del path[user]
            elif dependency in path:
                names = tuple(path)
                circle = (*names[names.index(dependency) :], dependency)
                why = f"depends on itself: {' -> '.join(circle)}; take one of them out of `depends`"
                raise ApplicationDepends(dependency, circle, why)
            elif dependency not in self._loaded:
                why = f"depends on {dependency!r}, which is not loaded; load it first with application_load"
                raise ApplicationDepends(user, (dependency,), why)
            elif dependency not in checked:
                path[dependency] = iter(self.find(dependency).spec.depends)

    async def _start_dependency(self, name: str, dependency: str) -> None:
        try:
            other = self.find(dependency)
            while await other.settled() is _LOADED:
                try:
                    await in_own_task(self._core.loop, self.start(dependency, None))
                    return
                except ApplicationRunning:
                    if other.state is _LOADED:
                        raise  # otherwise another caller was the first to start it
        except Exception as error:
            why = f"depends on {dependency!r}, which could not be started: {safe_repr(error)}"
            raise ApplicationDepends(name, (dependency,), why) from error

    async def stop(self, name: str, timeout: float) -> bool:
        """Stops an application on which no running one depends. Returns True if nothing had to be killed."""
        timeout = check_seconds("timeout", timeout, zero=True)
        application = self.find(name)
        active = (_STARTING, _RUNNING)
        users = tuple(other.spec.name for other in self if other.state in active and name in other.spec.depends)
        if users:
            why = f"is needed by {', '.join(map(repr, users))}; stop {'that one' if len(users) == 1 else 'those'} first"
            raise ApplicationDepends(name, users, why)
        return await application.stop(timeout)

    def unload(self, name: str) -> None:
        """Removes an application. Raises `ApplicationUnknown`, `ApplicationRunning`."""
        application = self.find(name)
        if application.state is not _LOADED:
            raise ApplicationRunning(name, application.state.value)
        del self._loaded[name]

    def last_started_first(self) -> list[LoadedApplication]:
        """Returns the applications that run, in the order in which a node that stops ends them."""
        active = [application for application in self if application.state in (_RUNNING, _STOPPING)]
        return sorted(active, key=lambda application: application.order, reverse=True)

    def process_ended(self, process: Process, reason: Exception) -> None:
        """Handles the end of a process that belongs to an application."""
        application = self._loaded.get(process.application or "")
        if application is not None:
            application.member_ended(process, reason)
