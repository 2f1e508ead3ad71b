"""Options: what cannot work is refused when it is written down, and the error names the field."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from homing import gen

BAD = [
    (gen.NodeOptions, "env", 1),
    (gen.NodeOptions, "handle_signals", "yes"),
    (gen.NodeOptions, "stop_timeout", -1),
    (gen.NodeOptions, "stop_timeout", float("nan")),
    (gen.NodeOptions, "turn_messages", 0),
    (gen.NodeOptions, "turn_messages", 2.5),
    (gen.NodeOptions, "turn_seconds", 0),
    (gen.NodeOptions, "slice_seconds", float("inf")),
    (gen.ProcessOptions, "mailbox_size", -1),
    (gen.ProcessOptions, "mailbox_size", True),
    (gen.ProcessOptions, "fallback", "name"),
    (gen.ProcessOptions, "init_timeout", 0),
    (gen.ProcessOptions, "init_timeout", "5"),
    (gen.ProcessOptions, "env", ["a"]),
    (gen.ProcessOptions, "leader", "name"),
    (gen.ProcessOptions, "link_parent", None),
    (gen.ProcessOptions, "link_child", 1),
    (gen.MetaOptions, "mailbox_size", "many"),
    (gen.MetaOptions, "init_timeout", -2),
    (gen.EventOptions, "buffer", -1),
    (gen.EventOptions, "notify", "always"),
]


@pytest.mark.parametrize(("options", "field", "value"), BAD)
def test_an_option_that_cannot_work_is_refused_by_its_name(options: Any, field: str, value: object) -> None:
    with pytest.raises(gen.BadOption) as caught:
        options(**{field: value})
    assert caught.value.option == field
    assert str(caught.value).startswith(f"{field}={value!r}: give ")


@pytest.mark.parametrize(("field", "value"), [("name", ""), ("name", 7), ("name", "x" * 256), ("tag", 7)])
def test_a_fallback_that_cannot_work_is_refused_by_its_name(field: str, value: object) -> None:
    arguments: dict[str, Any] = {"name": "good", field: value}
    with pytest.raises(gen.BadOption) as caught:
        gen.Fallback(**arguments)
    assert caught.value.option == f"fallback.{field}"


@pytest.mark.parametrize(
    "options", [gen.NodeOptions, gen.ProcessOptions, gen.MetaOptions, gen.EventOptions], ids=lambda kind: kind.__name__
)
def test_options_are_frozen_and_taken_by_keyword_only(options: Any) -> None:
    made = options()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, dataclasses.fields(made)[0].name, None)
    with pytest.raises(TypeError):
        options(1)


def test_a_bad_option_is_a_value_error_too_and_tells_what_to_give() -> None:
    with pytest.raises(ValueError, match=r"^mailbox_size=-1: give 0 or more$"):
        gen.ProcessOptions(mailbox_size=-1)
