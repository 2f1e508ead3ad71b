"""Asks processes for the facts that only they know, by `handle_inspect`: code of the program.

A process that does not answer is not asked again until it does: the questions of somebody who watches it would pile up
in its mailbox.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

from ..gen import PID, Alias, CallTimeout, DeliveryError
from ..gen.foreign import class_name, forget_frames
from ..node import Node
from ..node.node import internals
from ..node.processes.meta_process import MetaRunner
from ..node.processes.process import Process
from .per_node import PerNode
from .plain import plain_facts, reason_of
from .sampler import portions

TIMEOUT = 0.5
"""Seconds that a process may take to answer. All are asked at once: stuck processes delay the result once."""

PORTION = 32
"""Processes that are asked before the loop polls: their answers take some milliseconds."""

LONGEST = 3600.0
"""Seconds for which a question stays open."""

Facts: TypeAlias = dict[str, Any]
Answer: TypeAlias = tuple[Facts | None, str | None]

_open: PerNode[dict[PID | Alias, asyncio.Task[Answer]]] = PerNode(lambda node: {})
"""The questions without an answer yet, by the process that was asked."""


async def inspect(node: Node, activity: Process | MetaRunner) -> Answer:
    """Returns the result of `handle_inspect`, in short, or why there is none."""
    question = _question(node, activity)
    await asyncio.wait((question,), timeout=TIMEOUT)
    return _answer(question)


def _question(node: Node, activity: Process | MetaRunner) -> asyncio.Task[Answer]:
    """Returns the open question to a process, or a new one."""
    questions = _open.of(node)
    question = questions.get(activity.id)
    if question is None:
        context = internals(node).core.scheduler.context.copy()
        question = asyncio.get_running_loop().create_task(_ask(node, activity), name="homing inspect", context=context)
        questions[activity.id] = question
        question.add_done_callback(lambda _: questions.pop(activity.id, None))
    return question


def _answer(question: asyncio.Task[Answer]) -> Answer:
    if not question.done():
        return None, f"it did not answer within {TIMEOUT:g} s"
    return (None, "the question was cancelled") if question.cancelled() else question.result()


async def _ask(node: Node, activity: Process | MetaRunner) -> Answer:
    try:
        if isinstance(activity, MetaRunner):
            answer = await node.inspect_meta(activity.id, timeout=LONGEST)
        else:
            answer = await node.inspect(activity.id, timeout=LONGEST)
    except CallTimeout:
        return None, f"it did not answer within {LONGEST:g} s"
    except DeliveryError as error:
        return None, str(error)
    except Exception as error:
        forget_frames(error)
        return None, f"handle_inspect raised {reason_of(error)}"
    facts = plain_facts(answer)
    return facts, None if facts is not None else f"handle_inspect returned {class_name(answer)}, no readable mapping"


async def inspect_all(node: Node, activities: list[Process | MetaRunner]) -> dict[int, Facts | None]:
    """Returns the facts of several, by their numbers; None for one that does not answer."""
    questions: dict[int, asyncio.Task[Answer]] = {}
    for portion in portions(activities, PORTION):
        questions |= {activity.id.id: _question(node, activity) for activity in portion}
        await asyncio.sleep(0)  # most answer now
    unanswered = [question for question in questions.values() if not question.done()]
    if unanswered:
        await asyncio.wait(unanswered, timeout=TIMEOUT)
    return {number: _answer(question)[0] for number, question in questions.items()}
