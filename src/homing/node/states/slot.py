"""The slot of a process and its successors: the last good dump, how far it is behind, and counters.

Rule 1: a dump that fails changes nothing but the counters: the former dump stays.
Rule 2: a dump is behind from the first turn after it in which anything was handled. That is its age.
Rule 3: a crash makes the state poison, and it is dropped, if the process before this one had crashed with it and this
        one has not changed it: no dump in between has differed, or this was the first callback. Unless the process has
        run for `trial` seconds: then this is the first crash again. (Two equal states are not the same state: a counter
        that is reset every second often has the value that it had at the last crash.)
"""

from __future__ import annotations

from typing import Any

from ...gen import StateInfo, StateOptions
from .encoding import Encoded


class Slot:
    """The kept state of one process and its successors. Times are those of the loop, given as `now`.

    encoded: the last good dump; None: there is none.
    owner: the process that dumps into it; None: the next one was not started yet.
    logged: the kinds of failures that were logged.
    timer: forgets a slot without an owner.
    """

    __slots__ = (
        "_behind",
        "_crashed_with",
        "_discarded",
        "_dumps",
        "_error",
        "_failures",
        "_loads",
        "encoded",
        "logged",
        "name",
        "options",
        "owner",
        "timer",
    )

    def __init__(self, name: str | None, options: StateOptions) -> None:
        self.name = name
        self.options = options
        self.owner: Any = None
        self.encoded: Encoded | None = None
        self.logged: set[str] = set()
        self.timer: Any = None
        self._behind: float | None = None
        self._crashed_with: Encoded | None = None
        self._dumps = self._failures = self._loads = self._discarded = 0
        self._error = ""

    # --- dumps --------------------------------------------------------------------------------------------

    def dumped(self, encoded: Encoded | None, *, at_crash: bool = False) -> None:
        """Keeps a dump. None: there is nothing to keep. at_crash: taken after a callback has raised."""
        if self._crashed_with is not None and not at_crash and not self._crashed_with.same(encoded):
            self._crashed_with = None
        self.encoded = encoded
        self._behind = None
        self._dumps += 1

    @property
    def used(self) -> bool:
        """True if there ever was a dump or a state."""
        return self._dumps > 0 or self._discarded > 0 or self.encoded is not None

    def acquit(self) -> None:
        """Notes that the process has run for `trial` seconds: the state is not what the one before has crashed of."""
        self._crashed_with = None

    @property
    def suspected(self) -> bool:
        """True if the process before has crashed with the state, and it has not changed since."""
        return self._crashed_with is not None

    def failed(self, why: str) -> None:
        """Counts a dump that failed."""
        self._failures += 1
        self._error = why

    def changed(self, now: float) -> None:
        """Notes that something was handled since the dump."""
        if self._behind is None:
            self._behind = now

    def set(self, encoded: Encoded, now: float, age: float) -> None:
        """Sets a state that comes from another OS process."""
        self.encoded = encoded
        self._behind = now - age
        self._crashed_with = None

    def age(self, now: float) -> float | None:
        """Returns the seconds for which the dump has been behind; None if there is none."""
        if self.encoded is None:
            return None
        return 0.0 if self._behind is None else max(0.0, now - self._behind)

    # --- ends and starts ------------------------------------------------------------------------------------

    def ended(self, now: float) -> None:
        """Notes that the process has ended: from now on the dump grows older in any case."""
        self.changed(now)

    def crashed(self, first: bool) -> bool:
        """Notes that the process has crashed; `first`: in its first callback. Returns True if the state is poison: it
        is dropped then."""
        state, before = self.encoded, self._crashed_with
        if state is not None and before is not None and (first or state.same(before)):
            self.discard("two crashes with the same state")
            return True
        self._crashed_with = state
        return False

    def take(self, now: float) -> Encoded | None:
        """Returns the state for a process that starts now; None if there is none, or it is too old."""
        age = self.age(now)
        if age is not None and age > self.options.max_age:
            self.discard(f"the last dump is {age:.3g} s behind, and max_age is {self.options.max_age:g} s")
        return self.encoded

    def loaded(self, now: float, age: float | None = None) -> None:
        """Notes that a process has loaded the state, which is its own from now on."""
        self._loads += 1
        self._behind = None if age is None else now - age

    def discard(self, why: str) -> None:
        """Drops the state. The next process starts clean."""
        self.encoded = self._crashed_with = self._behind = None
        self._discarded += 1
        self._error = why

    @property
    def error(self) -> str:
        """Why the last failure or refusal happened."""
        return self._error

    def info(self, now: float) -> StateInfo:
        """Returns a snapshot."""
        return StateInfo(
            name=self.name,
            dumps=self._dumps,
            size=0 if self.encoded is None else len(self.encoded.data),
            age=self.age(now),
            failures=self._failures,
            loads=self._loads,
            discarded=self._discarded,
            error=self._error,
        )
