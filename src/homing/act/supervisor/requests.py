"""The requests that every supervisor answers, and the records that it answers with.

Any process, or the node, sends them with `call`: `await node.call(supervisor, act.StartChild(spec))`. An error is
raised at the caller (`supervisor.errors`). Inside of the supervisor the methods of the same names do the same.
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
class TerminateChild(_AboutChild, Request[None]):
    """Ends a child, or its waiting for a restart. Its specification stays, but for a temporary child and an instance.

    Answered with None, also if it did not run. Raises `ChildUnknown`.
    """


@dataclass(frozen=True, slots=True)
class RestartChild(_AboutChild, Request[PID]):
    """Starts a child that has ended, or was ended by `TerminateChild`, and is answered with its PID.

    Raises what `spawn` raises, `ChildUnknown`, `ChildRunning`, `ChildRestarting`, `ChildDisabled`, and `NotAllowed`
    with SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class DeleteChild(_AboutChild, Request[None]):
    """Forgets the specification of a child that does not run. One that waits for its restart does so no more.

    Raises `ChildUnknown`, `ChildRunning`, and `NotAllowed` with SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class EnableChild(_AboutChild, Request[PID | None]):
    """Starts a disabled child again and is answered with its PID. A child that is not disabled is left as it is.

    Raises what `spawn` raises, and then the child is enabled but does not run; `ChildUnknown`; `NotAllowed` with
    SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class DisableChild(_AboutChild, Request[None]):
    """Ends a child and starts it no more, also not together with others, until it is enabled (Ergo's).

    Raises `ChildUnknown`, and `NotAllowed` with SIMPLE_ONE_FOR_ONE.
    """


@dataclass(frozen=True, slots=True)
class WhichChildren(Request["tuple[ChildInfo, ...]"]):
    """Is answered with a tuple of `ChildInfo`, in the order of the children's start."""


@dataclass(frozen=True, slots=True)
class CountChildren(Request["ChildCount"]):
    """Is answered with a `ChildCount`."""


# --- answers ----------------------------------------------------------------------------------------------


class ChildState(enum.Enum):
    """Where a child is.

    RUNNING: it runs.
    RESTARTING: it waits for its restart.
    TERMINATED: it has ended, or was ended by `TerminateChild`. `RestartChild` starts it, or the supervisor does so
        with its group.
    DISABLED: see `DisableChild`.
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
    state: where it is.
    restart, significant: as in its specification.
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

    specs: specifications.
    active: children that run.
    supervisors, workers: children of either kind, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int
