"""Applications: named groups of processes, loaded, started and stopped together (Ergo's `gen.ApplicationBehavior`)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .behavior import ProcessBehavior
from .errors import BadOption
from .identifiers import PID
from .options import ProcessOptions, check_name, check_type


class ApplicationMode(enum.Enum):
    """The effect of a member's end on its application (Ergo's modes; in OTP they concern the node).

    TEMPORARY: nothing; the application ends when its last member ends.
    TRANSIENT: a member that ends abnormally stops the application; `normal` and `shutdown` do nothing.
    PERMANENT: a member that ends, for whatever reason, stops the application.
    """

    TEMPORARY = "temporary"
    TRANSIENT = "transient"
    PERMANENT = "permanent"


class ApplicationState(enum.Enum):
    """State of a loaded application. Ergo reports `running` already while an application is starting.

    LOADED: it is not running.
    STARTING: its members are being started.
    RUNNING: all members have been started.
    STOPPING: its members are being stopped.
    """

    LOADED = "loaded"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationMember:
    """One process that is started with the application.

    behavior, args, options: passed to `spawn`. The member's environment merges the node's, the application's and that
        of `options`.
    name: name to register; None: no name.
    """

    behavior: type[ProcessBehavior]
    args: tuple[Any, ...] = ()
    name: str | None = None
    options: ProcessOptions = field(default_factory=ProcessOptions)

    def __post_init__(self) -> None:
        if not (isinstance(self.behavior, type) and issubclass(self.behavior, ProcessBehavior)):
            raise BadOption("behavior", self.behavior, "give a class derived from act.Actor")
        check_type("args", self.args, tuple, "a tuple")
        if self.name is not None:
            check_name("name", self.name)
        check_type("options", self.options, ProcessOptions, "gen.ProcessOptions")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSpec:
    """The specification of an application, returned by its `load`.

    name: unique on the node.
    members: started in this order, stopped in reverse order. At least one.
    mode: effect of a member's end, unless `application_start` overrides it.
    env: environment added to the node's, for all members and the processes that they spawn.
    depends: names of applications that are started before this one, unless they already run.
    description, version: text for people, shown by `application_info`.
    """

    name: str
    members: tuple[ApplicationMember, ...]
    mode: ApplicationMode = ApplicationMode.TEMPORARY
    env: Mapping[str, Any] = field(default_factory=dict)
    depends: tuple[str, ...] = ()
    description: str = ""
    version: str = ""

    def __post_init__(self) -> None:
        check_name("name", self.name)
        self._check_members()
        check_type("mode", self.mode, ApplicationMode, "a gen.ApplicationMode")
        check_type("env", self.env, Mapping, "a mapping")
        check_type("depends", self.depends, tuple, "a tuple of names of applications")
        for name in self.depends:
            check_name("depends", name)
        check_type("description", self.description, str, "a string")
        check_type("version", self.version, str, "a string")

    def _check_members(self) -> None:
        members = self.members
        if not isinstance(members, tuple) or not all(isinstance(member, ApplicationMember) for member in members):
            raise BadOption("members", members, "give a tuple of gen.ApplicationMember")
        if not members:
            raise BadOption("members", members, f"give application {self.name!r} at least one member")
        names = [member.name for member in members if member.name is not None]
        if len(set(names)) != len(names):
            raise BadOption("members", names, "give each name only once")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationInfo:
    """A snapshot of an application, returned by `application_info`.

    name: its name.
    state: its state.
    mode: effect of a member's end.
    env: its environment.
    depends: names of the applications that it depends on.
    description, version: as in its specification.
    members: PIDs of the living members, in the order of their start.
    uptime: seconds since its start; 0.0 unless it runs.
    reason: exit reason of its last run; None if it has never ended.
    """

    name: str
    state: ApplicationState
    mode: ApplicationMode
    uptime: float
    members: tuple[PID, ...]
    env: Mapping[str, Any]
    depends: tuple[str, ...]
    description: str
    version: str
    reason: Exception | None


class Application:
    """Base class of applications: return an `ApplicationSpec` from `load`. `start` and `terminate` are plain `def`:
    leave asynchronous work to a member."""

    def load(self, node: Any, *args: Any) -> Any:
        """Called once, by `application_load`, which re-raises its exceptions. May be `def` or `async def`."""
        raise BadOption("load", type(self).__name__, "define load(self, node); it returns a gen.ApplicationSpec")

    def start(self, mode: ApplicationMode) -> None:
        """Called when all members have been started. Exceptions are logged; the application continues."""

    def terminate(self, reason: Exception) -> None:
        """Called when all members have ended. Exceptions are logged."""
