"""The records of processes and meta-processes."""

from __future__ import annotations

from time import perf_counter
from typing import Any, cast

from ..gen import PID, StateInfo
from ..gen.foreign import class_name
from ..node.core import Core
from ..node.processes.meta_process import MetaRunner
from ..node.processes.process import Process
from .plain import reason_of
from .records import Activity, MetaRecord, ProcessRecord, StateRecord
from .sampler import Sampler


def process_record(process: Process, sampler: Sampler) -> ProcessRecord:
    """Returns the record of a process."""
    core = process.core
    restarted = restarts_of(core, process)
    held_by = process.held_by
    return cast(
        ProcessRecord,
        {
            **_activity(process, sampler),
            "pid": str(process.id),
            "name": process.name,
            "kind": process.hooks.kind,
            "application": process.application,
            "parent": str(process.parent),
            "restarts": None if restarted is None else restarted[0],
            "last_reason": None if restarted is None else reason_of(restarted[1]),
            "dropped_log": process.dropped_log,
            "held_by": None if held_by is None else str(held_by.id),
            "holds": process.holds,
            "thread": process.options.thread,
            "in_flight": process.in_flight,
            "requests": len(process.requests or ()),
            "meta_processes": len(process.metas or ()),
            "kept": None if process.keeper is None else state_record(process.keeper.info()),
        },
    )


def state_record(info: StateInfo) -> StateRecord:
    """Returns the record of a kept state."""
    found: dict[str, Any] = {name: getattr(info, name) for name in StateRecord.__annotations__}
    found["age"] = None if info.age is None else round(info.age, 3)
    return cast(StateRecord, found)


def meta_record(meta: MetaRunner, sampler: Sampler) -> MetaRecord:
    """Returns the record of a meta-process."""
    return cast(
        MetaRecord,
        {
            **_activity(meta, sampler),
            "alias": str(meta.id),
            "parent": str(meta.owner.id),
            "adoptions": meta.adoptions,
            "transfers": meta.transfers,
        },
    )


def _activity(activity: Process | MetaRunner, sampler: Sampler) -> Activity:
    lanes = activity.mailbox_info()
    sample = sampler.sample(activity)
    age = sampler.age(activity)
    return {
        "node": activity.id.node,
        "id": activity.id.id,
        "behavior": class_name(activity.behavior),
        "state": activity.state.value,
        "uptime": round(perf_counter() - activity.started_at, 3),
        "running_time": round(activity.running_time, 6),
        "running": None if sample is None else rounded(sample.running),
        "stalls": activity.stalls,
        "messages_in": activity.messages_in,
        "messages_out": activity.messages_out,
        "in_rate": None if sample is None else rounded(sample.in_rate),
        "out_rate": None if sample is None else rounded(sample.out_rate),
        "waiting": activity.waiting,
        "mailbox": {"urgent": lanes.urgent, "system": lanes.system, "main": lanes.main, "log": lanes.log},
        "mailbox_size": activity.limit,
        "oldest": None if age is None else round(max(0.0, age.seconds), 6),
        "oldest_at_least": age is not None and age.at_least,
        "dropped_newest": activity.dropped_newest,
        "dropped_oldest": activity.dropped_oldest,
    }


def rounded(value: float | None) -> float | None:
    """Returns a rate or a share without meaningless digits."""
    return None if value is None else round(value, 4)


def restarts_of(core: Core, process: Process) -> tuple[int, Exception | None] | None:
    """Returns how often a process was restarted by its parent, and the last reason; None if it is no child of a
    supervisor, pool or router."""
    parent = core.processes.get(process.parent)
    return None if parent is None else parent.hooks.restarts(process.id)


def name_of(core: Core, pid: PID) -> str | None:
    """Returns the registered name of a process, if it runs and has one."""
    found = core.processes.get(pid)
    return None if found is None else found.name
