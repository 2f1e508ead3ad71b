"""Random chunks of random messages at random times, beside a plain model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ...support import examples
from .chunks import assembler, check_account, written

TIMEOUT = 5.0
Event = tuple[float, int, int, int, int, bytes]

events: st.SearchStrategy[list[Event]] = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.0, 0.5, 2.0]),  # seconds since the one before
        st.integers(0, 2),  # source
        st.integers(0, 2),  # id
        st.integers(0, 3),  # number
        st.integers(0, 3),  # total
        st.sampled_from([b"a", b"a", b"b", b""]),
    ),
    max_size=60,
)


@dataclass
class Model:
    """The same in a few lines, without limits and without a thought for speed."""

    open: dict[Any, Any] = field(default_factory=dict)
    ended: dict[Any, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))

    def add(self, now: float, key: Any, number: int, total: int, payload: bytes) -> bytes | None:
        for name, (first, parts, _) in list(self.open.items()):
            if now >= first + TIMEOUT:
                del self.open[name]
                self.counts["expired"] += parts is not None
        self.ended = {name: entry for name, entry in self.ended.items() if now < entry[0] + TIMEOUT}
        if not number < total:
            return self.count("out_of_range")
        if key not in self.open:
            _, before = self.ended.get(key, (0.0, []))
            if len(before) == total and before[number] == payload:
                return self.count("duplicates")
            self.open[key] = (now, {}, total)
            self.count("opened")
        first, parts, known = self.open[key]
        if parts is None:
            return self.count("refused")
        if total != known or parts.get(number, payload) != payload:
            self.open[key] = (first, None, known)
            self.count("conflicting")
            return self.count("refused")
        if number in parts:
            return self.count("duplicates")
        parts[number] = payload
        self.count("chunks")
        if len(parts) < total:
            return None
        del self.open[key]
        self.count("completed")
        self.ended[key] = (now, [parts[number] for number in range(total)])
        return b"".join(self.ended[key][1])

    def count(self, name: str) -> None:
        self.counts[name] += 1


NAMES = ("opened", "completed", "expired", "conflicting", "refused", "chunks", "duplicates", "out_of_range")


def addressed(event: Event) -> tuple[tuple[str, int], bytes]:
    _, source, identifier, number, total, payload = event
    return ("10.0.0.1", source), written(identifier, number, total, payload)


@settings(max_examples=examples(200, 5000))
@given(events=events)
def test_an_assembler_with_room_does_as_the_model_does(events: list[Event]) -> None:
    subject, model, now = assembler(timeout=TIMEOUT), Model(), 0.0
    for event in events:
        now += event[0]
        addr, data = addressed(event)
        assert subject.add(data, addr, now) == model.add(now, (event[1], event[2]), *event[3:])
        counters = subject.counters
        assert {name: getattr(counters, name) for name in NAMES} == model.counts
        assert counters.open == sum(parts is not None for _, parts, _ in model.open.values())
        assert counters.spoiled == sum(parts is None for _, parts, _ in model.open.values())
        check_account(counters)
    subject.expire(now + 2 * TIMEOUT)
    assert subject.counters.held_bytes == 0


@settings(max_examples=examples(200, 5000))
@given(
    events=events,
    most_messages=st.integers(1, 4),
    most_bytes=st.integers(20_000, 25_000),
    per_source=st.sampled_from([0.25, 0.5, 1.0]),
    pad=st.sampled_from([0, 1000, 4000, 9000]),
)
def test_an_assembler_in_need_of_room_keeps_its_bounds_and_mixes_nothing(
    events: list[Event], most_messages: int, most_bytes: int, per_source: float, pad: int
) -> None:
    limits: dict[str, Any] = {"most_messages": most_messages, "most_bytes": most_bytes, "per_source": per_source}
    subject, now = assembler(timeout=TIMEOUT, **limits), 0.0
    sent: dict[Any, set[bytes]] = {}
    for event in events:
        now += event[0]
        payload = b"%d.%d.%d" % event[1:4] + event[5] + b"," + b"." * pad
        addr, data = addressed((*event[:5], payload))
        sent.setdefault((event[1], event[2], event[3]), set()).add(payload)
        whole = subject.add(data, addr, now)
        if whole is not None:
            check_parts(whole, event, sent)
        counters = subject.counters
        assert counters.open + counters.spoiled <= most_messages
        assert counters.held_bytes <= most_bytes
        check_account(counters)
    subject.expire(now + 2 * TIMEOUT)
    assert subject.counters.held_bytes == 0


def check_parts(whole: bytes, event: Event, sent: dict[Any, set[bytes]]) -> None:
    """A message consists of chunks that this source has sent under this id, each in its place."""
    rest = whole
    for number in range(event[4]):
        found = [part for part in sent[event[1], event[2], number] if rest.startswith(part)]
        assert found, whole[:50]
        rest = rest[len(found[0]) :]
    assert rest == b""
