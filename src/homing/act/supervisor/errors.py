"""The errors of supervisors and of the requests that they answer."""

from __future__ import annotations

from ...gen import PID, HomingError
from ...gen.foreign import safe_repr
from .requests import ChildState


class RestartsExceeded(HomingError):
    """A supervisor's child ended more than `intensity` times within `period` seconds; the last reason is the cause."""

    def __init__(self, child: str, intensity: int, period: float) -> None:
        super().__init__(f"child {safe_repr(child)}: more than {intensity} restarts within {period:g} s")
        self.child = child


class ChildError(HomingError):
    """A supervisor could not perform a request about a child. `child`: the name or PID in the request."""

    def __init__(self, child: object, text: str) -> None:
        super().__init__(f"child {safe_repr(child)} {text}")
        self.child = child


class ChildUnknown(ChildError):
    """The supervisor has no such child; `which_children` lists its children."""

    def __init__(self, child: object) -> None:
        super().__init__(child, "is unknown to this supervisor; which_children lists its children")


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
    """The child is waiting for its restart; terminate it to cancel the restart."""

    def __init__(self, child: object) -> None:
        super().__init__(child, "is waiting for its restart; terminate it to cancel the restart")


class ChildDisabled(ChildError):
    """The child is disabled; enable it to start it."""

    def __init__(self, child: object) -> None:
        super().__init__(child, "is disabled; enable it to start it")
