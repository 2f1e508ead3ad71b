"""Keys: what is written comes out equal, and what a stranger writes is a node's key or nothing."""

from __future__ import annotations

import zenoh
from hypothesis import given
from hypothesis import strategies as st

from homing.cluster.engine import Peer
from homing.cluster.zenoh_engine.keys import Keys, Token

KEYS = Keys("prod")
PEERS = st.builds(
    Peer, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255), st.integers(0, (1 << 64) - 1)
)


@given(PEERS, PEERS)
def test_the_keys_of_any_two_nodes_are_read_as_they_were_written(sender: Peer, receiver: Peer) -> None:
    batches = KEYS.batches(sender, receiver)
    assert KEYS.read_sender_untrusted(batches) == sender
    assert KEYS.read_token_untrusted(KEYS.token(sender, "ab12")) == Token(sender, "ab12")
    assert zenoh.KeyExpr(KEYS.batches_to(receiver)).includes(zenoh.KeyExpr(batches))
    assert zenoh.KeyExpr(KEYS.sent_by(sender.name, receiver.name)).includes(zenoh.KeyExpr(batches))
    assert zenoh.KeyExpr(KEYS.subscriptions_of(receiver.name)).includes(zenoh.KeyExpr(KEYS.batches_to(receiver)))
    assert zenoh.KeyExpr(KEYS.tokens_of(sender.name)).includes(zenoh.KeyExpr(KEYS.token(sender, "ab12")))


@given(PEERS, PEERS, PEERS)
def test_no_rule_of_one_node_covers_a_key_of_another(one: Peer, other: Peer, receiver: Peer) -> None:
    if one.name != other.name:
        key = zenoh.KeyExpr(KEYS.batches(other, receiver))
        assert not zenoh.KeyExpr(KEYS.sent_by(one.name)).intersects(key)
        token = zenoh.KeyExpr(KEYS.token(other, "ab"))
        assert not zenoh.KeyExpr(KEYS.tokens_of(one.name)).intersects(token)


@given(st.text(max_size=60))
def test_any_text_is_a_key_of_one_node_in_one_way_or_none(text: str) -> None:
    token = KEYS.read_token_untrusted(f"homing/1/prod/node/{text}")
    if token is not None:
        assert KEYS.token(token.peer, token.session) == f"homing/1/prod/node/{text}"
    sender = KEYS.read_sender_untrusted(f"homing/1/prod/to/a/1/from/{text}")
    if sender is not None:
        assert KEYS.batches(sender, Peer("a", 1)) == f"homing/1/prod/to/a/1/from/{text}"


def test_keys_of_other_clusters_and_protocols_are_not_read() -> None:
    peer = Peer("a@h", 1)
    assert Keys("other").read_token_untrusted(KEYS.token(peer, "ab")) is None
    assert KEYS.read_sender_untrusted(KEYS.batches(peer, peer).replace("homing/1/", "homing/2/")) is None


def test_a_name_in_two_spellings_is_one_node_or_none() -> None:
    assert KEYS.read_token_untrusted("homing/1/prod/node/a%40h/1/ab") == Token(Peer("a@h", 1), "ab")
    for spelling in ("%61%40h/1", "a%40h/01", "a%40H%2f/1", "%ff/1", "%/1", "/1", f"a/{1 << 64}", "a/1/2"):
        assert KEYS.read_token_untrusted(f"homing/1/prod/node/{spelling}/ab") is None, spelling
