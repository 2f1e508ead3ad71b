"""Not run, but checked by mypy: old names have their types, and a name that does not exist is an error."""

from __future__ import annotations

from typing import assert_type

from homing import act, gen, meta
from homing.datagram import errors
from homing.gen import BindFailed
from homing.gen.errors import BadOption, RequestTimeout


def of_sockets(error: BindFailed) -> int:
    assert_type(gen.BindFailed("", 0, OSError()), errors.BindFailed)
    return error.port


def of_requests(error: gen.RequestTimeout) -> int:
    assert_type(error, RequestTimeout)
    assert_type(error, meta.errors.RequestTimeout)
    return error.attempts


def of_options(error: gen.BadOption) -> str:
    assert_type(error, BadOption)
    return error.option


def of_reasons(reason: object) -> Exception:
    return gen.as_reason(reason)


def of_children(child: act.ChildInfo) -> str | None:
    return child.name


gen.NoSuchError  # type: ignore[attr-defined]  # noqa: B018 - where there was no error, this comment would be one
gen.errors.NoSuchError  # type: ignore[attr-defined]  # noqa: B018
