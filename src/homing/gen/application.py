"""Applications: processes that are loaded, started and stopped as one, by name (Ergo's `gen.ApplicationBehavior`)."""

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
    """What the end of a member does to its application (Ergo's modes; in OTP they concern the node).

    TEMPORARY: nothing; the application has ended when all its members have.
    TRANSIENT: a member that ends abnormally stops the application; `normal` and `shutdown` do nothing.
    PERMANENT: a member that ends, for whatever reason, stops the application.
    """

    TEMPORARY = "temporary"
    TRANSIENT = "transient"
    PERMANENT = "permanent"


class ApplicationState(enum.Enum):
    """Where a loaded application is. Ergo says `running` also of one that is `starting`.

    LOADED: it does not run.
    STARTING: its members are being started.
    RUNNING: all members have been started.
    STOPPING: its members are being ended.
    """

    LOADED = "loaded"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationMember:
    """One process that is started with the application.

    behavior, args, options: what is spawned. Its environment is the node's, the application's, and that of `options`.
    name: it is registered under this name; None: under none.
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
    """What an application's `load` returns.

    name: unique on the node.
    members: started in this order, ended in reverse. At least one.
    mode: what the end of a member does, unless `application_start` says otherwise.
    env: environment added to the node's, for all members and what they spawn.
    depends: names of applications that are started before this one, if they do not run.
    description, version: told by `application_info`, for people.
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
        check_type("description", self.description, str, "a text")
        check_type("version", self.version, str, "a text")

    def _check_members(self) -> None:
        members = self.members
        if not isinstance(members, tuple) or not all(isinstance(member, ApplicationMember) for member in members):
            raise BadOption("members", members, "give a tuple of gen.ApplicationMember")
        if not members:
            raise BadOption("members", members, f"give application {self.name!r} at least one member")
        names = [member.name for member in members if member.name is not None]
        if len(set(names)) != len(names):
            raise BadOption("members", names, "each name once")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationInfo:
    """A snapshot of an application, returned by `application_info`.

    name: its name.
    state: where it is.
    mode: what the end of a member does.
    env: its environment.
    depends: applications that it needs.
    description, version: as in its specification.
    members: PIDs of the members that live, in the order of their start.
    uptime: seconds; 0.0 unless it runs.
    reason: why it ended the last time; None if it never did.
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
    """Derive from it and return an `ApplicationSpec` from `load`. `start` and `terminate` are plain `def`: what is to
    be awaited, a member awaits."""

    def load(self, node: Any, *args: Any) -> Any:
        """Called once, by `application_load`; `def` or `async def`. What it raises, `application_load` raises."""
        raise BadOption("load", type(self).__name__, "define load(self, node); it returns a gen.ApplicationSpec")

    def start(self, mode: ApplicationMode) -> None:
        """All members have been started. What it raises is logged; the application runs on."""

    def terminate(self, reason: Exception) -> None:
        """The application has ended: all members have. What it raises is logged."""
