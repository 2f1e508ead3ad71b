"""The fields of a request: their types and limits. A request is checked field by field before its handler runs."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, TypeAlias

from .plain import shown
from .refusals import RequestRefused

Kind: TypeAlias = Literal["integer", "number", "flag", "text", "choice", "object", "any"]

LONGEST_TEXT = 1024
"""Most characters of a text in a request. Names and addresses are far shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a request.

    kind: "integer", "number", "flag" (true or false), "text", "choice" (one of `choices`), "object", "any" (any JSON).
    text: meaning, for the documentation of the HTTP API.
    default: value if the field is left out. `required`: it cannot be left out.
    low, high: limits of a number, included.
    choices: values of a "choice".
    nullable: null is accepted too.
    """

    kind: Kind
    text: str = ""
    default: Any = None
    required: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    nullable: bool = False

    def check(self, name: str, value: Any) -> Any:
        """Returns `value`. Raises `RequestRefused` if it does not fit."""
        if (value is None and self.nullable) or self._fits(value):
            return value
        raise RequestRefused("bad_request", f"{name}={shown(value)}: give {self.wanted}")

    def _fits(self, value: Any) -> bool:
        match self.kind:
            case "integer":
                return type(value) is int and self._within(value)
            case "number":
                return type(value) in (int, float) and self._within(value)
            case "flag":
                return type(value) is bool
            case "text":
                return type(value) is str and len(value) <= LONGEST_TEXT
            case "choice":
                return type(value) is str and value in self.choices
            case "object":
                return type(value) is dict
            case "any":
                return True

    def _within(self, value: float) -> bool:
        above = self.low is None or value >= self.low
        return above and (self.high is None or value <= self.high) and (type(value) is int or isfinite(value))

    @property
    def wanted(self) -> str:
        """The accepted values, for an error."""
        words = {
            "integer": f"an integer{self._range}",
            "number": f"a number{self._range}",
            "flag": "true or false",
            "text": f"a text of at most {LONGEST_TEXT} characters",
            "choice": f"one of {', '.join(self.choices)}",
            "object": "an object",
            "any": "any value",
        }
        return words[self.kind] + (", or null" if self.nullable else "")

    @property
    def _range(self) -> str:
        if self.low is None:
            return ""
        return f" from {self.low:g}" + ("" if self.high is None else f" to {self.high:,.12g}")

    def from_text(self, name: str, text: str) -> Any:
        """Returns the value that `text` stands for: a parameter of a URL, or an option of a command. Raises
        `RequestRefused`."""
        if self.kind in ("text", "choice"):
            return self.check(name, text)
        lowered = {"yes": "true", "no": "false", "on": "true", "off": "false"}.get(text, text)
        try:
            value = json.loads(lowered)
        except (ValueError, RecursionError):
            raise RequestRefused("bad_request", f"{name}={shown(text)}: give {self.wanted}") from None
        return self.check(name, value)


def read(fields: Mapping[str, Field], request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of all fields. `what` and `v` belong to the request itself. Raises `RequestRefused`, which
    names the field."""
    for name in request:
        if name not in fields and name not in ("what", "v"):
            raise RequestRefused("bad_request", _unknown(str(name), list(fields)))
    values = {}
    for name, field in fields.items():
        if name in request:
            values[name] = field.check(name, request[name])
        elif field.required:
            raise RequestRefused("bad_request", f"{name} is missing: give {field.wanted}")
        else:
            values[name] = field.default
    return values


def from_texts(fields: Mapping[str, Field], texts: Mapping[str, str]) -> dict[str, Any]:
    """Returns a request's fields from texts, such as the parameters of a URL. Raises `RequestRefused`, which names the
    field."""
    for name in texts:
        if name not in fields:
            raise RequestRefused("bad_request", _unknown(name, list(fields)))
    return {name: fields[name].from_text(name, text) for name, text in texts.items()}


def _unknown(name: str, known: list[str]) -> str:
    like = difflib.get_close_matches(name, known, 1)
    if like:
        return f"there is no field {shown(name)}; did you mean {like[0]}?"
    return f"there is no field {shown(name)}; " + (f"it has {', '.join(known)}" if known else "it has none")


# --- fields that several requests have ---------------------------------------------------------------------

MOST_ROWS = 10_000
"""Most rows of one answer: some 10 MB of JSON."""

LIMIT = Field(kind="integer", default=50, low=0, high=MOST_ROWS, text="Most rows of the answer.")
TARGET = Field(
    kind="text",
    required=True,
    text="A registered name, a PID or alias such as <demo@localhost.1001>, or its number.",
)
FILTER = Field(
    kind="text",
    default="",
    text="Only rows with this text, in either case, in name, behavior, application, number or socket address.",
)
REVERSE = Field(kind="flag", default=False, text="The opposite order.")
LAST = Field(kind="flag", default=False, text="The last rows instead of the first.")


def table_fields(columns: tuple[str, ...]) -> dict[str, Field]:
    """Returns the fields of a request for a table that can be sorted by `columns`."""
    order = "Order of the rows: id and texts begin with the smallest, numbers with the largest."
    sort = Field(kind="choice", choices=columns, default="id", text=order)
    return {"sort": sort, "reverse": REVERSE, "limit": LIMIT, "last": LAST, "filter": FILTER}
