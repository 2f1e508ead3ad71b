"""Tells the ear of a socket which datagrams a full mailbox has cost."""

from __future__ import annotations

from typing import Any

from ...datagram.capture.tapping import Ear
from ...datagram.message import MessageUDP

NEWEST, OLDEST = "receiver_full", "receiver_oldest"
"""The causes, as `observe` names them."""


def tell_dropped(ear: Ear, before: list[Any], after: list[Any], arrived: list[MessageUDP], newest: bool) -> None:
    """Tells `ear` of datagrams that were dropped while a mailbox was full.

    before, after: those of this socket that waited there, before the drop and after it. arrived: those of the datagrams
    just read that found no room.
    """
    kept = {id(message) for message in after}
    for message in before:
        if id(message) not in kept:
            ear.dropped(message, OLDEST)
    for message in arrived:
        ear.dropped(message, NEWEST if newest else OLDEST, waited=False)
