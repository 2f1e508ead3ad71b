"""The text of an exception, as Python prints it, but bounded in length and in the work that it takes.

Python's own `traceback` first makes the whole text: of all arguments, causes, notes and members of groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from traceback import format_exception_only, format_tb, walk_tb

from ...gen.foreign import (
    REPR_LIMIT,
    cause_of,
    class_name,
    clipped,
    context_of,
    is_a,
    members_of,
    qualified_name,
    safe_repr,
    safe_str,
    suppresses_context,
    traceback_of,
)

TRACEBACK_LIMIT = 8000
"""Characters of a traceback in the log: some fifty frames. The middle of a longer traceback is left out."""

_MOST_CAUSES = 10
"""Most exceptions of one chain of causes that are shown: those nearest to the exception that was raised."""

_MOST_EXCEPTIONS = 50
"""Most exceptions in one text: more than fit into it."""

_MOST_NOTES = 10
"""Most notes of one exception that are shown."""

_DEEPEST = 5
"""Deepest exception group in a group that is shown."""

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"

_EXPLAINED = (AttributeError, ImportError, NameError, SyntaxError)
"""Exceptions of which Python's `traceback` tells more than their text: a similar name, the line with the error."""


def traceback_text(fault: BaseException) -> str:
    """Returns an exception with its traceback and its causes, in about `TRACEBACK_LIMIT` characters, its own text in a
    thousand at most."""
    try:
        pieces = list(_Telling().chain(fault, 0))
    except Exception:  # notes and more are evaluated, and any of these may be the program's code
        pieces = ["Traceback (most recent call last):", *format_tb(traceback_of(fault)), safe_repr(fault)]
    return without_middle("\n".join(clipped(piece.removesuffix("\n")) for piece in pieces), TRACEBACK_LIMIT)


def without_middle(text: str, limit: int) -> str:
    """Returns `text` if it has at most `limit` characters; otherwise a quarter of these from its begin, and the others
    from its end."""
    if len(text) <= limit:
        return text
    first, last = limit // 4, limit - limit // 4
    return f"{text[:first]}\n... {len(text) - limit} characters left out ...\n{text[len(text) - last :]}"


class _Telling:
    """Makes the pieces of one text. shown: how many exceptions it has so far."""

    def __init__(self) -> None:
        self.shown = 0

    def chain(self, fault: BaseException, depth: int) -> Iterator[str]:
        """Yields an exception behind its causes, as Python does."""
        causes, left_out = _causes(fault)
        if left_out:
            yield "... earlier exceptions are left out ..."
        for cause, link in causes:
            yield from self._one(cause, depth)
            yield link
        yield from self._one(fault, depth)

    def _one(self, fault: BaseException, depth: int) -> Iterator[str]:
        self.shown += 1
        frames = traceback_of(fault)
        if frames is not None:
            yield "Traceback (most recent call last):"
            yield from format_tb(frames)
        yield _last_line(fault)
        yield from _notes(fault)
        if is_a(fault, BaseExceptionGroup):
            yield from self._members(fault, depth + 1)

    def _members(self, group: BaseExceptionGroup[BaseException], depth: int) -> Iterator[str]:
        members = members_of(group)
        for number, member in enumerate(members):
            if self.shown >= _MOST_EXCEPTIONS or depth > _DEEPEST:
                yield f"  +---- {len(members) - number} more, the first a {class_name(member)} ----"
                break
            yield f"  +---- {number + 1} of {len(members)} ----"
            for piece in self.chain(member, depth):
                yield "  | " + clipped(piece.removesuffix("\n")).replace("\n", "\n  | ")


def _causes(fault: BaseException) -> tuple[list[tuple[BaseException, str]], bool]:
    """Returns the causes of an exception, the earliest first, each with the line behind it; and if some are left
    out."""
    found: list[tuple[BaseException, str]] = []
    seen = {id(fault)}
    later = fault
    while True:
        cause = cause_of(later)
        earlier = cause if cause is not None or suppresses_context(later) else context_of(later)
        if earlier is None or id(earlier) in seen:
            return found[::-1], False
        if len(found) == _MOST_CAUSES:
            return found[::-1], True
        seen.add(id(earlier))
        found.append((earlier, _CONTEXT if cause is None else _CAUSE))
        later = earlier


def _last_line(fault: BaseException) -> str:
    text = safe_str(fault)
    if is_a(fault, _EXPLAINED) and cause_of(fault) is None and context_of(fault) is None and len(text) < REPR_LIMIT:
        return "".join(format_exception_only(type(fault), fault))
    name = qualified_name(type(fault))
    return f"{name}: {text}" if text else name


def _notes(fault: BaseException) -> Iterator[str]:
    notes = getattr(fault, "__notes__", None)
    if is_a(notes, (list, tuple)):
        yield from map(safe_str, notes[:_MOST_NOTES])
        if len(notes) > _MOST_NOTES:
            yield f"... and {len(notes) - _MOST_NOTES} more notes"


def raised_at(fault: BaseException) -> tuple[str, int, str] | None:
    """Returns file, line and function that raised `fault`; None if it was not raised."""
    place = None
    for frame, line in walk_tb(traceback_of(fault)):
        place = frame.f_code.co_filename, line, frame.f_code.co_name
    return place
