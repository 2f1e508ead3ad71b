"""Fields of a batch: what a datagram does not have is never read from what lies behind it in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import homing
from homing import gen, meta

from ...datagram.batches import batch_of
from ...support import Probe, UDPPeer, eventually, examples
from .test_udp_batches import serve

np = pytest.importorskip("numpy")
pytestmark = pytest.mark.backends

SECRET = b"a secret of somebody else"
ROOT = Path(__file__).parents[3]


async def received(node: homing.Node, probe: Probe, payloads: list[bytes], use: Any, **options: Any) -> list[Any]:
    """What `use` finds in the batches that bring these payloads, after others have been there."""
    server, kept = await serve(node, probe, lambda batch: [use(batch)] * batch.count, **options)
    with UDPPeer() as peer:
        for _ in range(3):
            peer.send(SECRET, server.local_address)
        await eventually(lambda: sum(map(len, kept)) == 3)
        kept.clear()
        for payload in payloads:
            peer.send(payload, server.local_address)
            count = payloads.index(payload) + 1
            await eventually(lambda count=count: sum(map(len, kept)) >= count)
        await eventually(lambda: sum(map(len, kept)) == len(payloads))
    return kept


def pairs(values: Any, valid: Any) -> list[tuple[int, bool]]:
    return [(int(value), bool(ok)) for value, ok in zip(values, valid, strict=True)]


async def test_a_short_datagram_shows_nothing_of_an_earlier_one(node: homing.Node, probe: Probe) -> None:
    payloads = [b"", b"\1", b"\1\2\3", b"\1\2\3\4"]
    kept = await received(node, probe, payloads, lambda batch: batch.column(">u4"))
    found = [pair for one in kept for pair in pairs(*one[0])]
    assert found == [(0, False), (0, False), (0, False), (0x01020304, True)]


async def test_payloads_are_those_of_the_messages(node: homing.Node, probe: Probe) -> None:
    payloads = [b"", b"a", b"bc" * 100, b"x" * 9000]
    kept = await received(node, probe, payloads, lambda batch: (batch.payloads(), [message.data for message in batch]))
    assert [one[0][0] for one in kept] == [one[0][1] for one in kept]
    assert [data for one in kept for data in one[0][0]] == payloads


async def test_the_arrays_stay_when_the_batch_has_ended_and_the_memory_goes_back(
    node: homing.Node, probe: Probe
) -> None:
    kept = await received(node, probe, [b"\0\0\0\7"], lambda batch: (batch, batch.column(">u4"), batch.payloads()))
    batch, (values, valid), payloads = kept[0][0]
    assert (int(values[0]), bool(valid[0]), payloads) == (7, True, [b"\0\0\0\7"])
    with pytest.raises(gen.BatchEnded):
        batch.column(">u4")
    with pytest.raises(gen.BatchEnded):
        batch.payloads()


@settings(max_examples=examples(200, 5000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payloads=st.lists(st.binary(max_size=12), min_size=1, max_size=8),
    gap=st.sampled_from([b"", b"\xff" * 16]),
    dtype=st.sampled_from(["u1", ">u2", ">u4", "<i8", ">f8", "S3", [("a", "u1"), ("b", ">u2")], ("u1", 3)]),
    at=st.integers(0, 10),
)
@pytest.mark.once
@pytest.mark.thorough
def test_a_column_is_what_each_datagram_has_there_and_0_where_it_is_too_short(
    payloads: list[bytes], gap: bytes, dtype: Any, at: int
) -> None:
    kind = np.dtype(dtype)
    values, valid = batch_of(payloads, gap).column(dtype, at)
    for number, payload in enumerate(payloads):
        field = payload[at : at + kind.itemsize]
        assert valid[number] == (len(field) == kind.itemsize)
        assert values[number : number + 1].tobytes() == (field if valid[number] else bytes(kind.itemsize))
    assert batch_of(payloads, gap).payloads() == payloads


@pytest.mark.once
@pytest.mark.parametrize("dtype", ["O", "nonsense", "S", "V0", [("a", "O")], "x y", None.__class__])
def test_a_type_that_is_none_or_has_references_is_refused(dtype: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        batch_of([b"12345678"], b"").column(dtype)
    assert caught.value.option == "dtype"


@pytest.mark.once
@pytest.mark.parametrize("at", [-1, True, 1.5, 65536])
def test_a_place_that_cannot_be_is_refused(at: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        batch_of([b"12345678"], b"").column("u1", at)
    assert caught.value.option == "at"


@pytest.mark.once
@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").glob("*.py")),
     *sorted((ROOT / "bench").glob("*.py")), *sorted((ROOT / "src" / "homing" / "cli").glob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)  # fmt: skip
def test_no_program_that_we_show_reads_the_memory_of_a_batch_by_itself(path: Path) -> None:
    programs = path.read_text().split("```python") if path.suffix == ".md" else ["", path.read_text()]
    for program in programs[1:]:
        assert "batch.buffer" not in program.partition("```")[0]


def test_the_rule_stands_in_bold() -> None:
    rule = "**Read no byte of `batch.buffer` beyond a datagram's length.**"
    assert rule in (ROOT / "docs" / "guides" / "udp-server" / "batches-and-buffers.md").read_text()
    assert isinstance(meta.DatagramBatch.buffer.__doc__, str)
