"""Owners by rendezvous hash: all find the same, in proportion to the weights, and few keys move."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from homing.cluster.rendezvous import Candidate, owner, owners, score

names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True)
keys = st.text(max_size=12) | st.binary(max_size=12)


@given(names, keys, st.randoms())
def test_the_owner_does_not_depend_on_the_order_in_which_nodes_are_seen(
    nodes: list[str], key: str, random: Random
) -> None:
    candidates = [Candidate(name, 1 + len(name), number) for number, name in enumerate(nodes)]
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert owners(key, candidates, 3) == owners(key, shuffled, 3)


@given(names, keys)
def test_the_owners_are_the_best_the_next_best_and_so_on(nodes: list[str], key: str) -> None:
    candidates = [Candidate(name) for name in nodes]
    rest = list(candidates)
    for expected in owners(key, candidates, len(nodes)):
        assert owner(key, rest) == expected
        rest.remove(expected)
    assert owner(key, rest) is None


@given(names, keys)
def test_a_node_that_leaves_moves_only_the_keys_that_it_owned(nodes: list[str], key: str) -> None:
    candidates = [Candidate(name, 2) for name in nodes]
    before = owner(key, candidates)
    for gone in candidates:
        if gone != before:
            assert owner(key, [each for each in candidates if each != gone]) == before


def test_nodes_own_keys_in_proportion_to_their_weights() -> None:
    candidates = [Candidate("a", 1), Candidate("b", 2), Candidate("c", 5)]
    found = Counter(owner(f"key {number}", candidates).name for number in range(8000))  # type: ignore[union-attr]
    for name, share in (("a", 1000), ("b", 2000), ("c", 5000)):
        assert abs(found[name] - share) < 0.1 * share + 100


@given(keys, st.integers(1, 1000))
def test_a_score_grows_with_the_weight(key: str | bytes, weight: int) -> None:
    content = key.encode() if isinstance(key, str) else key
    assert 0 < score(content, "a", weight) < score(content, "a", weight + 1)


def test_of_equal_scores_the_node_that_was_started_first_wins() -> None:
    assert owner("key", [Candidate("a", 1, 7), Candidate("a", 1, 5)]) == Candidate("a", 1, 5)


def test_the_owner_of_a_key_is_the_same_in_every_version() -> None:
    candidates = [Candidate(f"node{number}@host") for number in range(5)]
    assert [owner(key, candidates).name for key in ("billing", "sessions", b"\x00\x01")] == [  # type: ignore[union-attr]
        *("node0@host", "node4@host", "node4@host")
    ]
