"""Fields of requests: what does not fit is refused, by name."""

from __future__ import annotations

from typing import Any

import pytest

from homing.observe import RequestRefused
from homing.observe.fields import LONGEST_TEXT, Field, from_texts, read

FIELDS = {
    "limit": Field(kind="integer", default=50, low=0, high=100),
    "interval": Field(kind="number", default=1.0, low=0.5),
    "reverse": Field(kind="flag", default=False),
    "filter": Field(kind="text", default=""),
    "sort": Field(kind="choice", choices=("id", "name"), default="id"),
    "options": Field(kind="object", nullable=True),
    "message": Field(kind="any"),
}


def test_fields_that_are_left_out_have_their_defaults() -> None:
    found = read(FIELDS, {"what": "x", "v": 1, "limit": 5})
    assert (found["limit"], found["interval"], found["sort"], found["options"]) == (5, 1.0, "id", None)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"limit": -1}, "limit=-1: give an integer from 0 to 100"),
        ({"limit": 101}, "limit=101: give an integer from 0 to 100"),
        ({"limit": True}, "limit=True: give an integer from 0 to 100"),
        ({"limit": "5"}, "limit='5': give an integer from 0 to 100"),
        ({"limit": None}, "limit=None: give an integer from 0 to 100"),
        ({"interval": 0}, "interval=0: give a number from 0.5"),
        ({"interval": float("nan")}, "interval=nan: give a number from 0.5"),
        ({"interval": float("inf")}, "interval=inf: give a number from 0.5"),
        ({"reverse": 1}, "reverse=1: give true or false"),
        ({"filter": "x" * (LONGEST_TEXT + 1)}, "give a text of at most 1024 characters"),
        ({"sort": "nam"}, "sort='nam': give one of id, name"),
        ({"options": []}, r"options=\[\]: give an object, or null"),
        ({"limt": 1}, "there is no field 'limt'; did you mean limit?"),
        ({"zzz": 1}, "there is no field 'zzz'; it has limit, interval,"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(request_: dict[str, Any], text: str) -> None:
    with pytest.raises(RequestRefused, match=text) as refused:
        read(FIELDS, request_)
    assert refused.value.code == "bad_request"


def test_a_field_that_is_required_is_named() -> None:
    with pytest.raises(RequestRefused, match="target is missing: give a text"):
        read({"target": Field(kind="text", required=True)}, {})


def test_texts_become_values() -> None:
    texts = {
        "limit": "7",
        "interval": "2.5",
        "reverse": "yes",
        "filter": "12",
        "options": "null",
        "message": '{"a": 1}',
    }
    assert from_texts(FIELDS, texts) == {
        "limit": 7,
        "interval": 2.5,
        "reverse": True,
        "filter": "12",
        "options": None,
        "message": {"a": 1},
    }


@pytest.mark.parametrize("text", ["", "x", "1.5", "[" * 100_000, "9" * 5000, "true"])
def test_a_text_that_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(RequestRefused, match=r"limit=.*: give an integer from 0 to 100"):
        from_texts(FIELDS, {"limit": text})
