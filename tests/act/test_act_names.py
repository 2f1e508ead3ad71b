"""The names of `act`: few to look at, all importable."""

from __future__ import annotations

import pytest

from homing import act


def test_act_lists_the_behaviors_and_their_options_and_where_the_rest_is() -> None:
    assert dir(act) == sorted(act.__all__)
    assert {"Actor", "Pool", "Router", "Supervisor", "requests", "errors"} <= set(act.__all__)
    assert not set(act.__all__) & {*act.requests.__all__, *act.errors.__all__}


@pytest.mark.parametrize("module", [act.requests, act.errors], ids=lambda module: module.__name__)
def test_every_request_and_error_can_be_imported_from_act_as_well(module: object) -> None:
    for name in module.__all__:  # type: ignore[attr-defined]
        assert getattr(act, name) is getattr(module, name)


def test_errors_are_errors_and_requests_are_none() -> None:
    assert all(issubclass(getattr(act.errors, name), Exception) for name in act.errors.__all__)
    assert not any(issubclass(getattr(act.requests, name), Exception) for name in act.requests.__all__)
