"""Lines of the log, as JSON and as text: valid and bounded whatever the program logs."""

from __future__ import annotations

import json
import logging
import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.observe.logs import JSONFormatter, LogRecord, TextFormatter

from ...hostile import ERRORS, VALUES
from ...node.logs.test_texts import LARGE, Runs, long_texts, raised, record

LONGEST = 16_000


def as_json(made: logging.LogRecord) -> Any:
    line = JSONFormatter().format(made)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= LONGEST
    return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def as_text(made: logging.LogRecord) -> list[str]:
    text = TextFormatter().format(made)
    assert len(text.encode()) <= LONGEST
    first, *others = text.split("\n")
    assert first.isprintable()
    assert all(line.startswith("  ") and line.isprintable() for line in others)
    return [first, *others]


def test_a_line_of_json_has_the_fields_of_a_log_record() -> None:
    made = record("got %d", 3, created=1_700_000_000.1239)
    assert as_json(made) == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "INFO",
        "logger": "homing.test",
        "message": "got 3",
        **dict.fromkeys(("node", "pid", "name", "behavior", "alias", "peer", "exception", "stack", "extra")),
    }
    assert set(as_json(made)) == set(LogRecord.__annotations__)


def test_a_line_of_text_has_time_level_logger_message_and_the_facts_that_are_known() -> None:
    made = record("got\nit", created=1_700_000_000.0, node="n@h", process_name='a "b"', client="me")
    assert as_text(made) == [
        '2023-11-14T22:13:20.000Z INFO homing.test: got [node=n@h name="a \\"b\\"" client=me]',
        "  it",
    ]


def test_an_exception_has_its_class_its_text_and_its_traceback() -> None:
    fault = as_json(raised(ValueError("x")))["exception"]
    assert (fault["type"], fault["text"]) == ("ValueError", "x")
    assert fault["traceback"].startswith("Traceback (most recent call last):\n")
    assert fault["traceback"].endswith("\nValueError: x")
    assert as_text(raised(ValueError("x")))[-1] == "  ValueError: x"


def test_a_traceback_that_another_handler_has_kept_as_text_is_not_lost() -> None:
    assert as_json(record("x", exc_text="Traceback"))["exception"] == {"type": "", "text": "", "traceback": "Traceback"}


def test_the_callers_own_extra_is_told_with_the_types_of_json() -> None:
    made = record("x", a=1, b=True, c=None, d="text", e=[1], f=math.nan, g=math.inf, h=10**30, i=2.5)
    told = {"a": 1, "b": True, "c": None, "d": "text", "e": "[1]", "f": "nan", "g": "inf", "h": str(10**30), "i": 2.5}
    assert as_json(made)["extra"] == told


def test_of_too_much_extra_the_first_values_are_told() -> None:
    extra = as_json(record("x", **{f"key{number}": "v" * 100 for number in range(1000)}))["extra"]
    assert list(extra)[:2] == ["key0", "key1"]
    assert len(extra) < 20


@pytest.mark.parametrize("name", VALUES)
def test_objects_that_raise_are_told_of(name: str) -> None:
    value = VALUES[name]()
    made = record("%s %r", value, value, extra=value, behavior=value, pid=value, alias=value)
    assert as_json(made)["message"]
    assert as_text(made)


@pytest.mark.parametrize("name", [*ERRORS, *LARGE])
def test_every_exception_fits_into_a_line(name: str) -> None:
    made = raised({**ERRORS, **LARGE}[name]())
    assert as_json(made)["exception"]["traceback"]
    assert as_text(made)


@given(long_texts, st.text(max_size=300), long_texts)
def test_every_text_fits_into_a_line(runs: Runs, name: str, others: Runs) -> None:
    text, other = str(runs), str(others)
    made = record(
        text, levelname=name, name=text, node=text, pid=other, process_name=text, alias=other, behavior=name,
        exc_text=other, stack_info=text, **{"x" + name: text, "z": other},
    )  # fmt: skip
    assert as_json(made)
    assert as_text(made)
    try:
        raise ValueError(text, other)
    except ValueError:
        made = record(text, exc_info=sys.exc_info(), stack_info=other, k=text)
    assert as_json(made)
    assert as_text(made)


def test_a_text_that_is_cut_tells_its_length() -> None:
    assert as_json(record("x" * 1_000_000))["message"].endswith("x... (1000000 characters)")


def test_a_message_may_fill_the_line() -> None:
    assert len(as_json(record("x" * 13_000))["message"]) == 13_000


def test_lone_surrogates_are_written_as_escape_sequences() -> None:
    assert as_json(record("a\udc80b"))["message"] == "a\\udc80b"
