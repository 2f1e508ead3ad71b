"""The requests that every supervisor answers, and the records that it returns.

Any process, or the node, sends them with `call`: `await node.call(supervisor, act.StartChild(spec))`. An error is
raised at the caller (`supervisor.errors`). Within the supervisor, use its methods of the same names instead.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from ...gen import PID, Request
from ...gen.options import check_name, check_type
from .spec import ChildSpec
from .strategies import RestartStrategy

# --- requests ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartChild(Request[PID]):
    """Starts a child. The answer is its PID.

    spec: its specification, which is added as the last. Not with SIMPLE_ONE_FOR_ONE, which has its template.
    args: with SIMPLE_ONE_FOR_ONE: appended to those of the template.
    name: with SIMPLE_ONE_FOR_ONE: the registered name of the instance, if any.

    Raises what `spawn` raises, and then nothing is added; `ChildExists`; `BadOption`.
    """

    spec: ChildSpec | None = None
    args: tuple[Any, ...] = ()
    name: str | None = None

    def __post_init__(self) -> None:
        check_type("spec", self.spec, (ChildSpec, type(None)), "an act.ChildSpec")
        check_type("args", self.args, tuple, "a tuple")
        if self.name is not None:
            check_name("name", self.name)


@dataclass(frozen=True, slots=True)
class _AboutChild:
    """child: its name, or its PID."""

    child: str | PID

    def __post_init__(self) -> None:
        check_type("child", self.child, (str, PID), "the name of a child or its PID")


@dataclass(frozen=True, slots=True)
class TerminateChild(_AboutChild, Request[None]):
    """Ends a child, or cancels its restart. Its specification is kept, except for a temporary child or an instance.

    The answer is None, also if the child did not run. Raises `ChildUnknown`.
    """


@dataclass(frozen=True, slots=True)
class RestartChild(_AboutChild, Request[PID]):
    """Starts a child that has ended, by itself or by `TerminateChild`. The answer is its PID.

    Raises what `spawn` raises, `ChildUnknown`, `ChildRunning`, `ChildRestarting`, `ChildDisabled`, and `NotAllowed`
    with SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class DeleteChild(_AboutChild, Request[None]):
    """Removes the specification of a child that does not run. If it waits for its restart, that is cancelled.

    Raises `ChildUnknown`, `ChildRunning`, and `NotAllowed` with SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class EnableChild(_AboutChild, Request[PID | None]):
    """Starts a disabled child again. The answer is its PID. A child that is not disabled is left unchanged.

    Raises what `spawn` raises, and then the child is enabled but does not run; `ChildUnknown`; `NotAllowed` with
    SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class DisableChild(_AboutChild, Request[None]):
    """Ends a child and does not start it again, alone or with its group, until it is enabled (as in Ergo).

    Raises `ChildUnknown`, and `NotAllowed` with SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class WhichChildren(Request["tuple[ChildInfo, ...]"]):
    """Lists the children. The answer is a tuple of `ChildInfo`, in the order of the children's start."""


@dataclass(frozen=True, slots=True)
class CountChildren(Request["ChildCount"]):
    """Counts the children. The answer is a `ChildCount`."""


# --- answers ----------------------------------------------------------------------------------------------


class ChildState(enum.Enum):
    """The state of a child.

    RUNNING: it runs.
    RESTARTING: it waits for its restart.
    TERMINATED: it has ended, by itself or by `TerminateChild`. `RestartChild` starts it, or the supervisor does so
        with its group.
    DISABLED: see `DisableChild`.
    """

    RUNNING = "running"
    RESTARTING = "restarting"
    TERMINATED = "terminated"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildInfo:
    """A snapshot of a child.

    name: the name in its specification; for an instance the name that it was given, or None.
    pid: None if it does not run.
    state: its state.
    restart, significant: as in its specification.
    restarts: number of restarts.
    reason: why it last ended, or why its restart failed. None: it has never ended.
    reason: why it last ended, or could not be started again by the supervisor. None: that never happened.
    """

    name: str | None
    pid: PID | None
    state: ChildState
    restart: RestartStrategy
    significant: bool
    restarts: int
    reason: Exception | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCount:
    """The numbers of children, as OTP counts them.

    specs: specifications.
    active: children that run.
    supervisors, workers: children that are supervisors, and all others, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int
