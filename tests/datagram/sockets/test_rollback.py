"""A change that fails halfway is undone as far as that goes, and tells of the rest."""

from __future__ import annotations

import pytest

from homing.datagram.sockets.rollback import Undo, rollback_on_error


def change(steps: list[Undo], error: Exception | None) -> None:
    """A change of several steps, after which it fails or does not."""
    with rollback_on_error() as on_error:
        for undo in steps:
            on_error(undo)
        if error is not None:
            raise error


def fail() -> None:
    raise OSError("stuck")


def test_the_steps_are_undone_in_reverse_if_the_change_fails() -> None:
    undone: list[int] = []
    with pytest.raises(KeyError):
        change([lambda: undone.append(1), lambda: undone.append(2)], KeyError())
    assert undone == [2, 1]


def test_nothing_is_undone_if_the_change_does_not_fail() -> None:
    undone: list[int] = []
    change([lambda: undone.append(1)], None)
    assert undone == []


def test_an_undo_that_raises_keeps_no_other_from_running_and_does_not_take_the_place_of_the_error() -> None:
    undone: list[int] = []
    with pytest.raises(KeyError) as caught:
        change([lambda: undone.append(1), fail, lambda: undone.append(3)], KeyError())
    assert undone == [3, 1]
    assert caught.value.__notes__ == ["not undone: OSError('stuck')"]
