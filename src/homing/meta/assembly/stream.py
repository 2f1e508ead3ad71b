"""The window of one stream of sequence numbers."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["fresh", "duplicates", "old", "jumps", "restarts"]
"""The counter of a datagram. One that is fresh because the stream continues elsewhere is among the restarts."""


class Limits:
    """The limits of all streams: see `Dedupe`.

    modulus: the number of sequence numbers, a power of 2. half: half of it. seen: the bits of the window.
    """

    __slots__ = ("half", "modulus", "most_jump", "restart", "seen", "window")

    def __init__(self, bits: int, window: int, most_jump: int, restart: float) -> None:
        self.modulus = 1 << bits
        self.half = self.modulus >> 1
        self.window = window
        self.seen = (1 << window) - 1
        self.most_jump = most_jump
        self.restart = restart


class Stream:
    """The window: the highest number, and a bit for each of the numbers up to it that have come (RFC 4303 appendix A2).

    last: time of the last fresh datagram.
    """

    __slots__ = ("_expected", "_limits", "_seen", "_top", "last")

    def __init__(self, limits: Limits, number: int, now: float) -> None:
        self._limits = limits
        self._begin(number, now)

    def _begin(self, number: int, now: float) -> None:
        self._top, self._seen, self._expected, self.last = number, 1, -1, now

    def judge(self, number: int, now: float) -> Verdict:
        """Returns the counter of the datagram with this number, and marks the number as seen if it is fresh."""
        limits = self._limits
        top, seen = self._top, self._seen
        ahead = (number - top) % limits.modulus  # serial number arithmetic: RFC 1982
        if 0 < ahead < limits.half:
            if ahead > limits.most_jump:
                return self._continue_elsewhere(number, now, 0.0, "jumps")
            seen = (seen << ahead | 1) & limits.seen if ahead < limits.window else 1
            top = number
        else:
            behind = (top - number) % limits.modulus
            if behind >= limits.window:
                return self._continue_elsewhere(number, now, limits.restart, "old")
            if seen >> behind & 1:
                return "duplicates"
            seen |= 1 << behind
        self._top, self._seen, self._expected, self.last = top, seen, -1, now  # at last: memory may run out before
        return "fresh"

    def _continue_elsewhere(self, number: int, now: float, silence: float, otherwise: Verdict) -> Verdict:
        """Judges a number far from the window. It is fresh, and the window begins there, if it follows the previous
        such number (RFC 3550 appendix A.1) and nothing else was fresh for the seconds of `silence`."""
        follows, self._expected = number == self._expected, (number + 1) % self._limits.modulus
        if not follows or now - self.last < silence:
            return otherwise
        self._begin(number, now)
        return "restarts"
