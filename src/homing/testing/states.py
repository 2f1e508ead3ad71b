"""Kept states: what a successor gets of what `dump_state` returns."""

from __future__ import annotations

from typing import Any

from ..gen import BadOption, StateOptions
from ..gen.options import check_type
from ..node.states.encoding import decode, encode


def carried_state(state: Any, options: StateOptions | None = None) -> Any:
    """Returns `state`, the result of a `dump_state`, as `load_state` gets it in the next process: encoded and decoded.

    options: whose `most` bounds the encoded state. None: the defaults.
    Raises `BadOption` if it is too large, or not bytes or plain data; with msgspec, `NotTransferable` if it would not
    come out equal. In a running process, each of these is a dump that fails.

    >>> carried_state({"count": 7})
    {'count': 7}
    """
    check_type("options", options, (StateOptions, type(None)), "a gen.StateOptions or None")
    most = (options or StateOptions()).most
    encoded = encode(state)
    if len(encoded.data) > most:
        raise BadOption("state", len(encoded.data), f"give {most} bytes at most, or raise StateOptions.most")
    return None if state is None else decode(encoded)
