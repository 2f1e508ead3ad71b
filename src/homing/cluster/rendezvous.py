"""Rendezvous hashing: which node owns a key. All nodes that see the same nodes find the same owner, without a word.

Each node has a score for each key, and the highest score owns the key. So a node that joins or leaves moves only those
keys that it gets or had: 1/n of them. The score of weighted rendezvous hashing is `-weight / ln(u)`, where `u`, between
0 and 1, is made of the hash of node and key: of all keys a node of weight 2 gets twice as many as one of weight 1.

The hash has no secret, as all nodes have to find the same owner. So a client that chooses its keys
chooses their owners.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from math import log
from typing import NamedTuple

_SCALE = 1 << 53
"""A float holds each integer up to this exactly, so `u` is the same everywhere."""


class Candidate(NamedTuple):
    """A node that may own keys.

    name: its name. weight: its share, compared with the others, at least 1. creation: tells its starts apart.
    """

    name: str
    weight: int = 1
    creation: int = 0


def owner(key: str | bytes, candidates: Iterable[Candidate]) -> Candidate | None:
    """Returns the candidate that owns `key`; None if there are no candidates."""
    found = owners(key, candidates, 1)
    return found[0] if found else None


def owners(key: str | bytes, candidates: Iterable[Candidate], count: int) -> list[Candidate]:
    """Returns the first `count` owners of `key`, the best first; fewer if there are not so many candidates.

    Of equal scores the node that was started first wins.
    """
    content = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else bytes(key)
    ranked = [(-score(content, each.name, each.weight), each.creation, each.name, each) for each in candidates]
    ranked.sort()
    return [entry[3] for entry in ranked[:count]]


def choose(key: bytes, nodes: Mapping[str, int]) -> str:
    """Returns the owner of `key` among `nodes`, by name with their weights, as `owner` does for nodes that were started
    at the same time. "": there is none."""
    found, best = "", 0.0
    for name, weight in nodes.items():
        own = score(key, name, weight)
        if own > best or (own == best and name < found):
            found, best = name, own
    return found


def node_number(name: str) -> int:
    """Returns the number of a node for session ids: the first 32 bits of a hash of its name. Of two nodes with one
    number, the one whose name comes first has it: with 100 nodes, one cluster in a million has such a pair."""
    return int.from_bytes(blake2b(b"node\0" + name.encode(), digest_size=8).digest()) >> 32


def score(key: bytes, name: str, weight: int) -> float:
    """Returns the score of a node for a key: above 0, and the greater, the more it is the node's."""
    node = name.encode("utf-8", "surrogatepass")
    digest = blake2b(b"%d:%b%b" % (len(node), node, key), digest_size=8).digest()
    u = ((int.from_bytes(digest) >> 11) + 0.5) / _SCALE
    return -weight / log(u)
