"""The specification of a supervisor: its children, and the policy when they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...gen import BadOption, ProcessBehavior, ProcessOptions
from ...gen.options import check_name, check_type, set_integer, set_seconds
from .restart_limits import Backoff
from .strategies import AutoShutdown, RestartStrategy, SupervisorType


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One child of a supervisor; with SIMPLE_ONE_FOR_ONE, the template of all its children, the instances.

    name: unique in the supervisor; the child is registered under it, through all its restarts (an instance is not).
    behavior, args, options: as for `spawn`. `options.init_timeout` bounds an asynchronous `init`, also in a restart.
    restart: when the child is restarted.
    shutdown: seconds for the child to end when the supervisor ends it; then it is killed. 0: it is killed at once
        (OTP's brutal_kill). None: no limit, for a child that is a supervisor and has its own children to end.
    significant: its end can end the supervisor, see `SupervisorSpec.auto_shutdown`. Not with PERMANENT.
    """

    name: str
    behavior: type[ProcessBehavior]
    args: tuple[Any, ...] = ()
    options: ProcessOptions = field(default_factory=ProcessOptions)
    restart: RestartStrategy = RestartStrategy.PERMANENT
    shutdown: float | None = 5.0
    significant: bool = False

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if not (isinstance(self.behavior, type) and issubclass(self.behavior, ProcessBehavior)):
            raise BadOption("behavior", self.behavior, f"child {self.name!r}: give a class derived from act.Actor")
        check_type("args", self.args, tuple, "a tuple")
        check_type("options", self.options, ProcessOptions, "gen.ProcessOptions")
        check_type("restart", self.restart, RestartStrategy, "an act.RestartStrategy")
        if self.shutdown is not None:
            set_seconds(self, "shutdown", zero=True)
        check_type("significant", self.significant, bool, "True or False")
        if self.significant and self.restart is RestartStrategy.PERMANENT:
            why = f"child {self.name!r} is permanent, so it never ends for good; make it transient or temporary"
            raise BadOption("significant", True, why)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSpec:
    """The specification of a supervisor, returned by its `init`.

    children: started in this order, ended in reverse. With SIMPLE_ONE_FOR_ONE exactly one, of which `start_child`
        starts instances.
    type: which children are restarted when one is.
    intensity, period: more than `intensity` restarts within the last `period` seconds end the supervisor with
        `RestartsExceeded`. A restart of a group counts as one, and so does each failed attempt. The default, 5 in 5 s,
        is Ergo's.
    auto_shutdown: whether the end of significant children ends the supervisor, with `shutdown`. It counts only if they
        end by themselves and are not restarted.
    backoff: how long a child, or a group, waits for its restart. None: no wait. Meanwhile the supervisor does its other
        work.
    clock: returns the time by which `intensity`, `period` and `backoff.most` are measured. None: the event loop's
        monotonic clock. For tests.
    """

    children: tuple[ChildSpec, ...]
    type: SupervisorType = SupervisorType.ONE_FOR_ONE
    intensity: int = 5
    period: float = 5.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    backoff: Backoff | None = None
    clock: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        check_type("type", self.type, SupervisorType, "an act.SupervisorType")
        set_integer(self, "intensity", 0)
        set_seconds(self, "period")
        check_type("auto_shutdown", self.auto_shutdown, AutoShutdown, "an act.AutoShutdown")
        if self.backoff is not None:
            check_type("backoff", self.backoff, Backoff, "an act.Backoff or None")
        if self.clock is not None and not callable(self.clock):
            raise BadOption("clock", self.clock, "give a function such as time.monotonic, or None")
        self._check_children()

    def _check_children(self) -> None:
        if not isinstance(self.children, tuple) or not all(isinstance(child, ChildSpec) for child in self.children):
            raise BadOption("children", self.children, "give a tuple of act.ChildSpec")
        names = [child.name for child in self.children]
        if len(set(names)) != len(names):
            raise BadOption("children", names, "use each name once")
        if self.type is SupervisorType.SIMPLE_ONE_FOR_ONE and len(names) != 1:
            raise BadOption("children", names, "SIMPLE_ONE_FOR_ONE takes exactly one child, its template")
        for child in self.children:
            self.check_significant(child)

    def check_significant(self, child: ChildSpec) -> None:
        """Raises `BadOption` for a significant child of a supervisor with `auto_shutdown` NEVER."""
        if child.significant and self.auto_shutdown is AutoShutdown.NEVER:
            why = f"child {child.name!r} is significant; give ANY_SIGNIFICANT or ALL_SIGNIFICANT"
            raise BadOption("auto_shutdown", self.auto_shutdown, why)
