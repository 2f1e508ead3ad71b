"""A placement as it is written on the command line."""

from __future__ import annotations

from ..gen import BadOption


def parse_placement(text: str) -> tuple[int, str | None]:
    """Returns number and tag of "2/zone", or of "2", which means any node. Raises `BadOption`."""
    number, slash, tag = text.partition("/")
    if not number.isascii() or not number.isdigit() or len(number) > 4 or not int(number) or (slash and not tag):
        raise BadOption("place", text, 'give a number of nodes, or a number and a tag: "2/zone"')
    return int(number), tag or None
