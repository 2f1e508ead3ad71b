"""Drawing ids: each is a free one, none can be foretold, and none that a late reply may have while there are others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import gen, meta
from homing.meta.udp_client.request_ids import Ids

pytestmark = [pytest.mark.once]


def never(drawn: bytes) -> bool:
    return False


def one_byte(numbers: set[int]) -> set[bytes]:
    return {bytes([number]) for number in numbers}


some = st.sets(st.integers(0, 255))


@given(used=some, kept=some)
def test_a_free_id_is_drawn_and_one_that_is_kept_only_if_there_is_no_other(used: set[int], kept: set[int]) -> None:
    ids, taken, late = Ids(meta.RequestId(size=1)), one_byte(used), one_byte(kept)
    if len(taken) == 256:
        with pytest.raises(gen.RequestIdsTaken):
            ids.draw("peer", taken.__contains__, len(taken), late.__contains__)
        return
    drawn = ids.draw("peer", taken.__contains__, len(taken), late.__contains__)
    assert drawn not in taken
    assert drawn not in late or len(taken | late) == 256


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_every_bit_of_an_id_is_drawn(size: int) -> None:
    ids = Ids(meta.RequestId(size=size))
    drawn = [int.from_bytes(ids.draw("peer", never, 0, never)) for _ in range(500)]
    for bit in range(8 * size):
        ones = sum(number >> bit & 1 for number in drawn)
        assert 150 < ones < 350, "further from 250 than chance comes in 10^18 runs"


def test_the_last_free_id_of_two_bytes_is_found() -> None:
    ids = Ids(meta.RequestId(size=2))
    assert ids.draw("peer", lambda drawn: drawn != b"\x12\x34", 65535, never) == b"\x12\x34"


@given(data=st.binary(max_size=40), at=st.integers(0, 20), size=st.sampled_from([1, 2, 4, 8]))
def test_an_id_that_was_written_is_read_and_nothing_else_is_changed(data: bytes, at: int, size: int) -> None:
    ids = Ids(meta.RequestId(at=at, size=size))
    if len(data) < at + size:
        with pytest.raises(ValueError, match="no id"):
            ids.read(data)
        with pytest.raises(gen.BadOption, match=r"^id="):
            ids.of_request(data)
        return
    new = bytes(range(1, size + 1))
    written = ids.write(data, new)
    assert ids.read(written) == new
    assert ids.write(written, ids.read(data)) == data
    assert ids.read(ids.blank(data)) == bytes(size)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"size": 3}, "size"),
        ({"size": 0}, "size"),
        ({"size": 16}, "size"),
        ({"size": "2"}, "size"),
        ({"at": -1}, "at"),
        ({"at": 65534}, "at"),
        ({"at": 0.5}, "at"),
        ({"at": None}, "at"),
    ],
)
def test_a_place_that_cannot_be_is_refused(options: dict[str, Any], name: str) -> None:
    with pytest.raises(gen.BadOption, match=f"^{name}="):
        meta.RequestId(**options)


ID = meta.RequestId()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"id": 2}, "id"),
        ({"id": meta.RequestId}, "id"),
        ({"id": ID, "key": len}, "key"),
        ({"id": ID, "reply_key": len}, "reply_key"),
        ({"id": ID, "coalesce": b"key"}, "coalesce"),
        ({"coalesce": len}, "coalesce"),
        ({"guess_alarm": 3}, "guess_alarm"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], name: str) -> None:
    with pytest.raises(gen.BadOption, match=f"^{name}="):
        meta.UDPClientOptions(host="127.0.0.1", port=9, **options)
