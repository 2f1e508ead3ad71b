"""A process whose state is kept for its successor (`ProcessOptions.state`): dumped after turns or callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...gen import PID, BadOption, HomingError, ProcessBehavior, ProcessOptions
from .process import Process

if TYPE_CHECKING:
    from ..core import Core
    from ..scheduling.callback_tasks import CallbackTask, Pending
    from ..states.keeper import Keeper


class StateRefused(HomingError):
    """`load_state` has raised: the process starts again, without the state."""


def keeps_state(options: ProcessOptions) -> bool:
    """Returns True if these are options with a `state`; of anything else, False."""
    return isinstance(options, ProcessOptions) and options.state is not None


def check_stateful(behavior: type[ProcessBehavior]) -> None:
    """Raises `BadOption` unless processes of this class can keep their state."""
    if behavior._runtime_hooks.forwards or behavior._runtime_hooks.configures:
        why = f"{behavior.__name__} works on the runtime itself; give it to its workers or children"
        raise BadOption("state", behavior, why)
    for name in ("dump_state", "load_state"):
        if getattr(behavior, name) is getattr(ProcessBehavior, name):
            raise BadOption("state", behavior, f"define {name} in {behavior.__name__}, or leave the option out")


class KeptProcess(Process):
    """Tells its keeper of the end of each turn. With a dump after each callback, a turn is one message."""

    __slots__ = ("_each",)

    keeper: Keeper

    def __init__(
        self, core: Core, parent: PID, leader: PID, env: Mapping[str, Any], split: bool, options: ProcessOptions
    ) -> None:
        super().__init__(core, parent, leader, env, split, options)
        self._each = options.state is not None and options.state.every == 0

    @property
    def _one_by_one(self) -> bool:
        """True if a turn is one message, with a dump after it: also until a suspected state has changed."""
        return self._each or self.keeper.slot.suspected

    def turn(self, deadline: float, budget: int) -> None:
        super().turn(deadline, 1 if self._one_by_one else budget)

    def advance(self, deadline: float, budget: int, callback_task: CallbackTask | None) -> Pending | None:
        self.keeper.rested()  # behind an asynchronous callback; at the beginning of a turn, nothing was handled
        return super().advance(deadline, 1 if self._one_by_one else budget, callback_task)

    def _rest(self) -> None:
        self.keeper.rested()
        if self.alive:
            super()._rest()
        else:
            self.turn_over()  # `dump_state` has ended it
