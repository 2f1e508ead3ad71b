"""`carried_state`: a state as the next process gets it."""

from __future__ import annotations

from typing import Any

import pytest

from homing import gen
from homing.testing import carried_state


@pytest.mark.parametrize("state", [{"n": [1, 2.5, None]}, b"bytes", "text", None])
def test_it_is_equal_and_no_longer_the_same_object(state: Any) -> None:
    found = carried_state(state)
    assert (type(found), found) == (type(state), state)
    assert state is None or not isinstance(state, dict) or found is not state


def test_a_state_that_cannot_be_kept_raises_why() -> None:
    with pytest.raises(gen.HomingError, match="object"):
        carried_state(object())
    with pytest.raises(gen.BadOption, match=r"StateOptions\.most"):
        carried_state(b"x" * 11, gen.StateOptions(most=10))
    with pytest.raises(gen.BadOption, match="options"):
        carried_state(b"", 10)  # type: ignore[arg-type]
