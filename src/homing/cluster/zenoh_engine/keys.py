"""Key expressions of the cluster, made and read.

    homing/1/CLUSTER/node/NAME/CREATION/SESSION                       the token: this node lives
    homing/1/CLUSTER/to/NAME/CREATION/from/NAME/CREATION              batches; the lane is zenoh's priority

A node that joins first claims its name, by a token with "claims" before SESSION: of several that claim one name at the
same time, one makes itself known, before any other node has seen them.

"1" is the number of the protocol: nodes of another one do not see each other. NAME is percent-encoded, so that it has
no "/", "*", "$", "?", "#" and no "@" (which zenoh hides from wildcards). SESSION is zenoh's id of the session: a node
that connects anew has a new one, and by it its address is found.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from ..engine import Peer

PROTOCOL = 1

LEAVES = "leaves"
"""In the place of SESSION: a second token, by which a node says that it leaves, before it withdraws the first."""

CLAIMS = "claims"
"""Before SESSION: a token by which a node says that it is about to join under that name."""

_NAME = r"([A-Za-z0-9_.~%-]{1,3060})"  # 255 characters of at most 4 bytes, each as %XX
_CREATION = r"([0-9]{1,20})"
_TOKEN = re.compile(f"{_NAME}/{_CREATION}/(?:({CLAIMS})?([0-9a-f]{{1,32}})|{LEAVES})")
_DATA = re.compile(f"{_NAME}/{_CREATION}/from/{_NAME}/{_CREATION}")
_MOST = 1 << 64


class Token(NamedTuple):
    """The content of a liveliness token: `peer` lives, in the zenoh session `session`; or it only `claims` its name."""

    peer: Peer
    session: str
    claims: bool = False


class Keys:
    """The key expressions of one cluster."""

    def __init__(self, cluster: str) -> None:
        self._root = f"homing/{PROTOCOL}/{cluster}"
        self._tokens = f"{self._root}/node/"
        self._batches = f"{self._root}/to/"

    @property
    def tokens(self) -> str:
        """All tokens."""
        return f"{self._tokens}*/*/*"

    def token(self, peer: Peer, session: str) -> str:
        return f"{self._tokens}{encoded(peer.name)}/{peer.creation}/{session}"

    def batches(self, sender: Peer, receiver: Peer) -> str:
        """All batches from one node to another."""
        return f"{self._to(receiver)}/from/{encoded(sender.name)}/{sender.creation}"

    def batches_to(self, receiver: Peer) -> str:
        """All batches to a node."""
        return f"{self._to(receiver)}/from/*/*"

    def _to(self, peer: Peer) -> str:
        return f"{self._batches}{encoded(peer.name)}/{peer.creation}"

    def read_token_untrusted(self, key: str) -> Token | None:
        """Returns what a token says; None for anything else."""
        found = _TOKEN.fullmatch(key.removeprefix(self._tokens)) if key.startswith(self._tokens) else None
        peer = None if found is None else _peer(found[1], found[2])
        return None if found is None or peer is None else Token(peer, found[4] or LEAVES, found[3] is not None)

    def read_sender_untrusted(self, key: str) -> Peer | None:
        """Returns who claims to have sent a batch; None if the key is none of a batch."""
        found = _DATA.fullmatch(key.removeprefix(self._batches)) if key.startswith(self._batches) else None
        return None if found is None else _peer(found[3], found[4])

    # --- for the rules of access: all keys of a node with any creation ---

    @property
    def any_token(self) -> str:
        return f"{self._tokens}**"

    def tokens_of(self, name: str) -> str:
        return f"{self._tokens}{encoded(name)}/**"

    def subscriptions_of(self, name: str) -> str:
        return f"{self._batches}{encoded(name)}/**"

    def sent_by(self, name: str, receiver: str = "*") -> str:
        to = receiver if receiver == "*" else encoded(receiver)
        return f"{self._batches}{to}/*/from/{encoded(name)}/*"


def encoded(name: str) -> str:
    """Returns a node's name as a part of a key."""
    return quote(name, safe="", errors="surrogatepass")


def _peer(name: str, creation: str) -> Peer | None:
    try:
        plain = unquote(name, errors="strict")
    except UnicodeDecodeError:
        return None
    number = int(creation)
    if not 0 < len(plain) <= 255 or encoded(plain) != name or str(number) != creation or number >= _MOST:
        return None  # one node has one key: otherwise it could look like two
    return Peer(plain, number)
