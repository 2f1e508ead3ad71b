"""Random numbers at random times, beside a plain model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from homing import meta

from ...support import examples
from .chunks import ONE

BITS, WINDOW, JUMP, RESTART, IDLE = 8, 16, 40, 3.0, 20.0
STEPS = st.one_of(st.integers(-20, 20), st.sampled_from([1, 1, 1, 0, -60, 60, 41, 40, 127, 128, 129]))
events = st.lists(st.tuples(st.sampled_from([0.0, 0.0, 1.0, 4.0, 25.0]), st.integers(0, 2), STEPS), max_size=80)


@dataclass
class Model:
    """One stream, as unbounded positions: all that came since the window began, and the highest of these."""

    top: int
    seen: set[int] = field(default_factory=set)
    last: float = 0.0
    expected: int | None = None

    def judge(self, number: int, now: float) -> str:
        ahead = (number - self.top) % 2**BITS
        place = self.top + (ahead if ahead < 2 ** (BITS - 1) else ahead - 2**BITS)
        far = place > self.top + JUMP
        if far or place <= self.top - WINDOW:
            follows, self.expected = number == self.expected, (number + 1) % 2**BITS
            if not follows or (not far and now < self.last + RESTART):
                return "jumps" if far else "old"
            self.seen = set()
            self.top = place
        elif place in self.seen:
            return "duplicates"
        self.expected, self.last = None, now
        self.seen.add(place)
        self.top = max(self.top, place)
        return "fresh"


@settings(max_examples=examples(300, 10_000))
@given(events=events)
def test_a_dedupe_does_as_the_model_does(events: list[tuple[float, int, int]]) -> None:
    subject = meta.Dedupe(
        key=lambda data, addr: (data[0], data[1]), bits=BITS, window=WINDOW, most_jump=JUMP, restart=RESTART, idle=IDLE
    )
    models: dict[int, Model] = {}
    counts: dict[str, int] = dict.fromkeys(("fresh", "duplicates", "old", "jumps"), 0)
    now, number = 0.0, 250
    for pause, stream, step in events:
        now += pause
        number = (number + step) % 2**BITS
        models = {name: model for name, model in models.items() if now < model.last + IDLE}
        model = models.setdefault(stream, Model(number, last=now))
        verdict = model.judge(number, now)
        counts[verdict] += 1
        assert subject.fresh(bytes((stream, number)), ONE, now) == (verdict == "fresh")
        counters = subject.counters
        assert {name: getattr(counters, name) for name in counts} == counts
        assert counters.streams == len(models)


@settings(max_examples=examples(100, 2000))
@given(order=st.permutations(range(40)), copies=st.lists(st.integers(0, 39), max_size=20), start=st.integers(0, 65_535))
def test_numbers_in_any_order_within_the_window_pass_once_each(order: list[Any], copies: list[int], start: int) -> None:
    subject = meta.Dedupe(key=lambda data, addr: int.from_bytes(data, "big"), bits=16, window=64)
    passed = []
    for number in [*order, *copies, *order]:
        if subject.fresh(((start + number) % 65_536).to_bytes(2, "big"), ONE, 0.0):
            passed.append(number)
    assert passed == order
