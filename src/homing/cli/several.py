"""`homing run --processes` and `--workers`: the OS processes, and what answers for all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..datagram.sockets import inherited
from ..gen import BadConfiguration, NotAllowed
from ..meta.upgrade.channel import Channel
from ..observe.control import ControlError
from ..observe.control.directory import path_of
from ..observe.control.server import NameInUse, listen
from ..observe.merged import MergedObserver
from .config.settings import Settings, pass_reloads_on
from .group_takeover import GroupOffer, take_groups
from .http import merged_http
from .joining import cluster_options, worker_name
from .processes import Processes
from .rolling import Rolling
from .run_options import RunOptions
from .saying import fail, say
from .upgrade import same_command

if TYPE_CHECKING:
    from .config.changes import Change

_OF_PARENT = ("processes", "workers", "name", "http")
"""Options that the processes get from this program, on their command lines."""


async def run_several(name: str, settings: Settings) -> int:
    """Runs the processes of the application `name` until they have ended. Returns the exit code.

    The control socket of the application's own name answers for all of them together. SIGHUP, with `--config`, is
    passed on to them. Raises `BadOption`, `NotAllowed`, `ExtraMissing`.
    """
    options = settings.options
    names = [worker_name(name, number) for number in range(1, _how_many(options) + 1)]
    if options.workers:
        for number, own in enumerate(names, 1):
            cluster_options(replace(settings, options=replace(options, worker=number)), own)  # raises here, once
    commands = [_command(options, number, own) for number, own in enumerate(names, 1)]
    inherited.read_environment()
    processes = Processes(commands, options.stop_timeout, _say)
    rolling = Rolling(processes, _say)
    if settings.command.config:
        processes.pass_hangups_on(lambda: _report(settings))
    if not options.control:
        rolling.refusal = "with --no-control no successor can take over"
        return await processes.run()
    pass_reloads_on()
    async with merged_http(name, names, options):
        return await _run_merged(name, names, processes, rolling, settings)


async def _run_merged(name: str, names: list[str], processes: Processes, rolling: Rolling, settings: Settings) -> int:
    """Runs the processes, with the control socket for all of them."""
    options = settings.options
    try:
        predecessor = await _take_over(name, processes) if options.takeover else None
        control = await listen(name, _Observer(name, names, settings), replace=options.takeover)
    except NameInUse as error:
        fail("run", str(error), 1)
    except ControlError as error:
        _say(f"no control socket for all processes together: {error}")
        rolling.refusal = f"no successor can take over: {error}"
        return await processes.run()
    what = "workers" if options.workers else "processes"
    _say(f"{_how_many(options)} {what}; control socket for all of them: {control.path}")
    offering = asyncio.create_task(_offer(name, processes, rolling, predecessor))
    try:
        return await processes.run()
    finally:
        control.close()
        offering.cancel()
        await asyncio.wait((offering,))


async def _take_over(name: str, processes: Processes) -> Channel | None:
    """Takes over the shared sockets of the running processes of this name, if any. Raises `ControlError`."""
    if processes.keeper is None:
        return None
    try:
        return await take_groups(name, str(path_of(name, "takeover")), processes.keeper, len(processes.slots))
    except NotAllowed as error:
        fail("run", f"not started: {error}", 1)
    except OSError as error:
        raise ControlError(f"the running processes cannot be asked for their sockets: {error}") from None


async def _offer(name: str, processes: Processes, rolling: Rolling, predecessor: Channel | None) -> None:
    """Lets successors take over, once all processes have started. Until then they are refused, or if there is a
    predecessor, meet that one. Never returns, but may be cancelled."""
    offer: GroupOffer | None = None
    try:
        if predecessor is None:
            offer = _open_offer(name, processes, rolling)
        for event in () if processes.keeper is None else processes.keeper.started:
            await event.wait()
        if offer is None:
            offer = _open_offer(name, processes, rolling)
        if predecessor is not None:
            with suppress(EOFError):
                await predecessor.send("done")
        if offer is not None:
            rolling.refusal = ""
        await asyncio.Event().wait()
    finally:
        if predecessor is not None:
            predecessor.close()
        if offer is not None:
            offer.close()


def _open_offer(name: str, processes: Processes, rolling: Rolling) -> GroupOffer | None:
    if processes.keeper is None:
        rolling.refusal = "sockets are handed over to another program on Linux only"
        return None
    try:
        return GroupOffer(name, str(path_of(name, "takeover")), processes, rolling, _say)
    except (OSError, ControlError) as error:
        rolling.refusal = f"no successor can take over: {error}"
        _say(rolling.refusal)
        return None


def _how_many(options: RunOptions) -> int:
    return options.workers or options.processes


def _command(options: RunOptions, number: int, name: str) -> list[str]:
    """Returns the command of one process."""
    worker = ("--workers", "0", "--worker", str(number)) if options.workers else ()
    return same_command("--processes", "1", *worker, "--http", "", "--name", name)


def _changes(settings: Settings) -> list[Change]:
    """Returns the changes in the file that the processes do not see. They report all others, and faults."""
    from .config.changes import option_changes  # not needed by those without a file

    try:
        return [change for change in option_changes(settings, settings.again()) if change.key in _OF_PARENT]
    except BadConfiguration:
        return []


class _Observer(MergedObserver):
    """Adds this program to the answers to `reload`, if options of its own have changed."""

    def __init__(self, name: str, names: list[str], settings: Settings) -> None:
        super().__init__(name, names, settings.options.allow)
        self._settings = settings

    async def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        answer = await super().ask(request)
        if request.get("what") == "reload" and (changes := _changes(self._settings)):
            from .config.reload import Outcome  # not needed by those without a file

            record = Outcome(applied=[], restart=changes, failed=[], unused=[])
            answer["nodes"][self.name] = record.as_record(self._settings.command.config)
        return answer


def _report(settings: Settings) -> None:
    for change in _changes(settings):
        _say(f"{change}: this needs a restart")


def _say(text: str) -> None:
    say(f"homing run: {text}")
