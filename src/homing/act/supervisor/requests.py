"""What a supervisor can be asked: requests, what they are answered with, and the errors that they may end in.

Any process, or the node, sends them with `call`: `await node.call(supervisor, act.StartChild(spec))`. An error is
raised at the caller. Inside of the supervisor the methods of the same names do the same.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from ...gen import PID, HomingError
from ...gen.options import check_name, check_type
from .spec import ChildSpec
from .strategies import RestartStrategy

# --- requests ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartChild:
    """Starts a child and is answered with its PID.

    spec: its specification, which is added behind all others. Not with SIMPLE_ONE_FOR_ONE, where there is one already.
    args: with SIMPLE_ONE_FOR_ONE: appended to those of the template.
    name: with SIMPLE_ONE_FOR_ONE: the name that the instance is registered under, if any.

    Raises what `spawn` raises, and then nothing was added; `ChildExists`; `BadOption`.
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
class TerminateChild(_AboutChild):
    """Ends a child, or its waiting for a restart. Its specification stays, but for a temporary child and an instance.

    Answered with None, also if it did not run. Raises `ChildUnknown`.
    """


@dataclass(frozen=True, slots=True)
class RestartChild(_AboutChild):
    """Starts a child that has ended, or was ended by `TerminateChild`, and is answered with its PID.

    Raises what `spawn` raises, `ChildUnknown`, `ChildRunning`, `ChildRestarting`, `ChildDisabled`, and `NotAllowed`
    with SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class DeleteChild(_AboutChild):
    """Forgets the specification of a child that does not run. One that waits for its restart does so no more.

    Raises `ChildUnknown`, `ChildRunning`, and `NotAllowed` with SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class EnableChild(_AboutChild):
    """Starts a disabled child again and is answered with its PID. A child that is not disabled is left as it is.

    Raises what `spawn` raises, and then the child is enabled but does not run; `ChildUnknown`; `NotAllowed` with
    SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class DisableChild(_AboutChild):
    """Ends a child and starts it no more, also not together with others, until it is enabled (Ergo's).

    Raises `ChildUnknown`, and `NotAllowed` with SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class WhichChildren:
    """Is answered with a tuple of `ChildInfo`, in the order of the children's start."""


@dataclass(frozen=True, slots=True)
class CountChildren:
    """Is answered with a `ChildCount`."""


# --- answers ----------------------------------------------------------------------------------------------


class ChildState(enum.Enum):
    """Where a child is.

    RUNNING. RESTARTING: it waits for its restart. TERMINATED: it has ended, or was ended by `TerminateChild`; it is
    started by `RestartChild`, or with others where the type of the supervisor says so. DISABLED: see `DisableChild`.
    """

    RUNNING = "running"
    RESTARTING = "restarting"
    TERMINATED = "terminated"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildInfo:
    """A child as its supervisor knows it.

    name: that of its specification; for an instance the name that it was given, or None.
    pid: None if it does not run.
    restarts: how often it was started again.
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
    """How many children there are, as OTP counts them.

    specs: specifications. active: children that run. supervisors, workers: children of either kind, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


# --- errors -----------------------------------------------------------------------------------------------


class RestartsExceeded(HomingError):
    """A supervisor's child ended more than `intensity` times within `period` seconds; the last reason is the cause."""

    def __init__(self, child: str, intensity: int, period: float) -> None:
        super().__init__(f"child {child!r}: more than {intensity} restarts within {period:g} s")
        self.child = child


class ChildError(HomingError):
    """A supervisor cannot do with its child what it was asked to. `child` is the name or PID that it was asked for."""

    def __init__(self, child: object, text: str) -> None:
        super().__init__(f"child {child!r} {text}")
        self.child = child


class ChildUnknown(ChildError):
    """The supervisor has no such child; `which_children` tells which it has."""

    def __init__(self, child: object) -> None:
        super().__init__(child, "is unknown to this supervisor; which_children tells which it has")


class ChildExists(ChildError):
    """The supervisor has a child of that name already."""

    def __init__(self, child: object, state: ChildState) -> None:
        super().__init__(child, f"exists and is {state.value}; give another name, or delete it first")
        self.state = state


class ChildRunning(ChildError):
    """The child runs; terminate it first."""

    def __init__(self, child: object, pid: PID | None) -> None:
        super().__init__(child, f"runs as {pid}; terminate it first")
        self.pid = pid


class ChildRestarting(ChildError):
    """The child waits for its restart already; terminate it to have that cancelled."""

    def __init__(self, child: object) -> None:
        super().__init__(child, "waits for its restart already; terminate it to have that cancelled")


class ChildDisabled(ChildError):
    """The child is disabled; enable it, and it is started."""

    def __init__(self, child: object) -> None:
        super().__init__(child, "is disabled; enable it, and it is started")
