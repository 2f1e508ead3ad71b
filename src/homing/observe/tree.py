"""The request `tree`: applications, processes and meta-processes, each under its parent, depth first: the first
`MOST_ROWS` processes, so that an answer is bounded.

Environments are left out: they may hold secrets.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, cast

from ..node.core import Core
from ..node.processes.meta_process import MetaRunner
from ..node.processes.process import Process
from ..node.tree import place_of
from .fields import MOST_ROWS, Field
from .inspecting import Facts, inspect_all
from .node_requests import application_record, node_record
from .records import Tree, TreeApplication, TreeMeta, TreeProcess
from .rows import meta_record, process_record
from .sampler import Sampler, portions
from .selecting import BUILT, PORTION

if TYPE_CHECKING:
    from .observer import Observer

FIELDS = {
    "children": Field(
        kind="integer",
        default=None,
        low=0,
        nullable=True,
        text=f"Most children of each parent; null: all of them. At most {MOST_ROWS} processes are shown.",
    )
}

Place = Hashable
"""The PID of a parent, the name of an application, or None."""


async def tree(observer: Observer, query: dict[str, Any]) -> Tree:
    """Returns the node, its applications, and its processes depth first, each with its meta-processes."""
    observer.sampler.keep()
    return await look(observer, query["children"])


async def look(observer: Observer, children: int | None = None) -> Tree:
    """Returns the tree, with at most `children` of each parent; None: no such limit. Starts no sampling."""
    core, sampler = observer.core, observer.sampler
    under, more = await _choose(core, children)
    names = observer.node.applications()
    branches = [await _flat(under, place) for place in (*names, None)]
    rows = [await _rows(branch, more, sampler) for branch in branches]
    asked = [activity for branch in branches for process, _ in branch for activity in _asked(process)]
    facts = await inspect_all(observer.node, asked)
    for branch in rows:
        await _add_facts(branch, facts)
    loaded = observer.node.applications()
    return {
        "node": node_record(observer),
        "applications": [
            cast(TreeApplication, {**application_record(observer, name), "processes": row, "more": more[name]})
            for name, row in zip(names, rows, strict=False)
            if name in loaded
        ],
        "processes": rows[-1],
        "more": more[None],
    }


async def _choose(core: Core, children: int | None) -> tuple[dict[Place, list[Process]], Counter[Place]]:
    """Returns the processes that are shown, by their place, and how many of each place are left out. A parent is always
    older than the processes it has spawned."""
    shown = 0
    under: dict[Place, list[Process]] = defaultdict(list)
    more: Counter[Place] = Counter()
    hidden: set[Place] = set()
    for portion in portions(list(core.processes.values()), PORTION):
        for process in portion:
            place = place_of(core, process)
            if place in hidden:
                hidden.add(process.id)
            elif shown >= MOST_ROWS or (children is not None and len(under[place]) >= children):
                hidden.add(process.id)
                more[place] += 1
            else:
                shown += 1
                under[place].append(process)
        await asyncio.sleep(0)
    return under, more


async def _flat(under: dict[Place, list[Process]], place: Place) -> list[tuple[Process, int]]:
    """Returns the processes at a place depth first, each with its depth. Without recursion: a chain may be long."""
    found: list[tuple[Process, int]] = []
    rest = [(process, 0) for process in reversed(under.pop(place, []))]
    while rest:
        process, depth = rest.pop()
        found.append((process, depth))
        rest += [(child, depth + 1) for child in reversed(under.pop(process.id, []))]
        if len(found) % PORTION == 0:
            await asyncio.sleep(0)
    return found


def _asked(process: Process) -> list[Process | MetaRunner]:
    """Returns what is inspected: meta-processes, supervisors, pools and routers. Other processes are not: that would
    run code of the program in each of them."""
    metas = (process.metas or {}).values()
    return [*([process] if process.hooks.kind != "actor" else []), *metas]


async def _rows(branch: list[tuple[Process, int]], more: Counter[Place], sampler: Sampler) -> list[TreeProcess]:
    """Returns the records of a branch, without the facts that have to be asked for."""
    rows = []
    for portion in portions(branch, BUILT):
        for process, depth in portion:
            metas = [
                cast(TreeMeta, {**meta_record(meta, sampler), "facts": None})
                for meta in tuple((process.metas or {}).values())
            ]
            own = {"depth": depth, "facts": None, "metas": metas, "more": more[process.id]}
            rows.append(cast(TreeProcess, {**process_record(process, sampler), **own}))
        await asyncio.sleep(0)
    return rows


async def _add_facts(rows: list[TreeProcess], facts: dict[int, Facts | None]) -> None:
    for portion in portions(rows, PORTION):
        for process in portion:
            process["facts"] = facts.get(process["id"])
            for meta in process["metas"]:
                meta["facts"] = facts.get(meta["id"])
        await asyncio.sleep(0)
