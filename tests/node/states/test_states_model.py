"""Random lives of a process with a kept state, beside a model of a few lines; and the slot alone, in no time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import gen
from homing.node.states.encoding import Encoded
from homing.node.states.slot import Slot

from .keeping import NAME, Service, again, count, crash, fail, half, state


class Model:
    """What the process is to have counted: all, unless two crashes came with nothing counted in between."""

    def __init__(self) -> None:
        self.n = 0
        self.suspected = False

    def count(self) -> None:
        self.n += 1
        self.suspected = False

    def crash(self) -> None:
        if self.suspected:
            self.n = 0
        self.suspected = self.n > 0 and not self.suspected


@pytest.mark.backends
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("options", [gen.StateOptions(), gen.StateOptions(every=3600.0, at_crash=True)])
async def test_a_random_life_ends_with_what_the_model_says(
    node: homing.Node, seed: int, options: gen.StateOptions
) -> None:
    chance, model = random.Random(seed), Model()
    await node.spawn(Service, options)
    for _ in range(60):
        match chance.choice(["count", "count", "crash", "half", "kill", "look"]):
            case "count":
                for _ in range(chance.choice([1, 1, 300])):
                    node.send(NAME, count)
                    model.count()
            case "kill":
                await state(node)
                before = node.process_info(NAME).pid
                node.kill(before)
                await again(node, before)
            case "look":
                assert (await state(node)).get("n", 0) == model.n
            case "half" if not options.at_crash:
                await crash(node, half)
                model.crash()
            case _:
                await crash(node, fail)
                model.crash()
    assert (await state(node)).get("n", 0) == model.n


ENCODED = st.builds(Encoded, st.just("bytes"), st.sampled_from([b"a", b"b", b"c"]))


@given(steps=st.lists(st.one_of(ENCODED, st.sampled_from(["fail", "crash", "kill", "wait"])), max_size=30))
def test_a_slot_has_the_last_good_dump_unless_that_is_too_old_or_poison(steps: list[Encoded | str]) -> None:
    slot, now = Slot(None, gen.StateOptions(max_age=10.0)), 0.0
    last: Encoded | None = None
    since = 0.0
    crashed_with: Encoded | None = None
    for step in steps:
        if isinstance(step, Encoded):
            slot.dumped(step)
            last, since = step, now
            if crashed_with is not None and not crashed_with.same(step):
                crashed_with = None
        elif step == "fail":
            slot.failed("no dump")
            slot.changed(now)
        elif step == "wait":
            slot.changed(now)
            now += 6.0
        else:
            slot.ended(now)
            if step == "crash":
                poison = last is not None and last.same(crashed_with)
                assert slot.crashed(first=False) is poison
                last, crashed_with = (None, None) if poison else (last, last)
            found = slot.take(now)
            if last is not None and now - since > 10.0:
                last = crashed_with = None
            assert found is last
            if found is not None:
                slot.loaded(now)
                since = now
        assert slot.encoded is last
        age = slot.age(now)
        assert (age is None) == (last is None)
