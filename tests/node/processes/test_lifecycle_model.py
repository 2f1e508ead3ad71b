"""Lives and deaths against a model: whatever is spawned, linked, monitored, told to exit, killed and restarted, who is
alive and who was told what is what a few lines of pure Python say."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import homing
from homing import act, gen

from ...support import eventually, examples

NAMES = ("red", "green", "blue")
"""Of the children of a supervisor, which are restarted."""
ROOT = "node"
REASONS = {"normal": gen.TerminateNormal, "shutdown": gen.TerminateShutdown}


class Fault(Exception):
    """An abnormal reason."""


def reason_of(word: str) -> Exception:
    return REASONS[word]() if word in REASONS else Fault(word)


# --- the model: no runtime, no time ---------------------------------------------------------------------------


@dataclass
class Piece:
    """One process: who it belongs to, what it watches, what it was told."""

    parent: str
    traps: bool = False
    name: str = ""
    links: set[str] = field(default_factory=set)
    monitors: set[str] = field(default_factory=set)
    told: Counter[tuple[str, str, str]] = field(default_factory=Counter)


class Model:
    """Pieces that are alive, by label. A restarted child is a new piece."""

    def __init__(self) -> None:
        self.alive: dict[str, Piece] = {}
        self.restarted: list[str] = []

    def end(self, label: str, reason: str) -> None:
        """The piece ends, and whoever is linked to it and does not trap, and so on."""
        piece = self.alive.pop(label, None)
        if piece is None:
            return
        for other, watcher in tuple(self.alive.items()):
            if label in watcher.monitors:
                watcher.monitors.discard(label)
                watcher.told["down", label, reason] += 1
            if label in watcher.links:
                watcher.links.discard(label)
                self.signal(other, label, reason)
        if piece.name:
            self.restarted.append(piece.name)

    def signal(self, label: str, sender: str, reason: str) -> None:
        """An exit signal: a message for who traps, unless it is the parent's."""
        piece = self.alive.get(label)
        if piece is None:
            return
        if piece.traps and piece.parent != sender:
            piece.told["exit", sender, reason] += 1
        else:
            self.end(label, reason)


# --- the real thing -------------------------------------------------------------------------------------------


class Pawn(act.Actor):
    """Registers itself with the board; keeps what it is told; does what it is asked to."""

    def init(self, board: Board, label: str, traps: bool) -> None:
        self.trap_exit = traps
        self.told = Counter[tuple[str, str, str]]()
        self.board = board
        board.place(self, label or board.label_for(self.name))

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        match message:
            case gen.MessageExitPID(pid, reason):
                self.told["exit", self.board.label_of(pid), str(reason)] += 1
            case gen.MessageDownPID(pid, reason):
                self.told["down", self.board.label_of(pid), str(reason)] += 1
            case Exception():
                raise message

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        result = request(self)
        return await result if asyncio.iscoroutine(result) else result


class Keeper(act.Supervisor):
    def init(self, board: Board) -> act.SupervisorSpec:
        children = [act.ChildSpec(name=name, behavior=Pawn, args=(board, "", False)) for name in NAMES]
        return act.SupervisorSpec(children=tuple(children), intensity=10_000)


class Board:
    """A node and its pawns by label: letters and numbers in the place of PIDs, which the model cannot know."""

    def __init__(self) -> None:
        self.pawns: dict[str, Pawn] = {}
        self.labels: dict[gen.PID, str] = {}
        self.lives = Counter[str]()

    async def start(self) -> None:
        self.node = await homing.start_node("board@localhost", gen.NodeOptions(handle_signals=False))
        self.keeper = await self.node.spawn(Keeper, self)

    def place(self, pawn: Pawn, label: str) -> None:
        self.pawns[label] = pawn
        self.labels[pawn.pid] = label

    def label_for(self, name: str | None) -> str:
        """Of a child of the supervisor: its name and how often it has been started."""
        self.lives[str(name)] += 1
        return f"{name}{self.lives[str(name)]}"

    def label_of(self, pid: gen.PID) -> str:
        return ROOT if pid == self.node.pid else self.labels[pid]

    def alive(self) -> set[str]:
        return {self.labels[pid] for pid in self.node.processes() if pid in self.labels}

    async def ask(self, label: str, request: Any) -> Any:
        """Runs `request(pawn)` within the process."""
        return await self.node.call(self.pawns[label].pid, request)

    async def quiet(self) -> None:
        """Waits until nothing is left to do."""
        activities = self.node._core.processes
        await eventually(
            lambda: (
                not self.node._core.scheduler.ready
                and all(one.state is gen.ProcessState.SLEEP and not one.runnable for one in activities.values())
            )
        )


labels = st.integers(0, 10_000)
words = st.sampled_from(["normal", "shutdown", "one", "two"])


class Lives(RuleBasedStateMachine):
    """Each rule does the same to the board and to the model; then both must tell the same."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.board = Board()
        self.model = Model()
        self.spawned = 0
        self.run(self.board.start())
        for name in NAMES:
            self.model.alive[f"{name}1"] = Piece("keeper", name=name)

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.board.node.stop(5))
        self.runner.close()

    def pick(self, number: int) -> str:
        return sorted(self.model.alive)[number % len(self.model.alive)]

    def settle(self) -> None:
        """The board has come to rest; the model restarts what the supervisor restarts."""
        self.run(self.board.quiet())
        restarted, self.model.restarted = self.model.restarted, []
        for name in restarted:
            self.model.alive[f"{name}{self.board.lives[name]}"] = Piece("keeper", name=name)

    # --- rules ------------------------------------------------------------------------------------------

    @rule(parent=st.none() | labels, traps=st.booleans(), up=st.booleans(), down=st.booleans())
    def spawn(self, parent: int | None, traps: bool, up: bool, down: bool) -> None:
        self.spawned += 1
        label = f"p{self.spawned:03}"
        if parent is None or not self.model.alive:
            self.run(self.board.node.spawn(Pawn, self.board, label, traps))
            self.model.alive[label] = Piece(ROOT, traps)
            return
        owner = self.pick(parent)
        options = gen.ProcessOptions(link_parent=up, link_child=down)
        self.run(self.board.ask(owner, lambda pawn: pawn.spawn(Pawn, self.board, label, traps, options=options)))
        self.model.alive[label] = Piece(owner, traps, links={owner} if up else set())
        if down:
            self.model.alive[owner].links.add(label)

    @precondition(lambda self: self.model.alive)
    @rule(one=labels, other=labels)
    def link(self, one: int, other: int) -> None:
        consumer, subject = self.pick(one), self.pick(other)
        if consumer != subject and subject not in self.model.alive[consumer].links:
            pid = self.board.pawns[subject].pid
            self.run(self.board.ask(consumer, lambda pawn: pawn.link(pid)))
            self.model.alive[consumer].links.add(subject)

    @precondition(lambda self: self.model.alive)
    @rule(one=labels, other=labels)
    def unlink(self, one: int, other: int) -> None:
        consumer, subject = self.pick(one), self.pick(other)
        pid = self.board.pawns[subject].pid
        was = self.run(self.board.ask(consumer, lambda pawn: pawn.unlink(pid)))
        assert was == (subject in self.model.alive[consumer].links)
        self.model.alive[consumer].links.discard(subject)

    @precondition(lambda self: self.model.alive)
    @rule(one=labels, other=labels)
    def monitor(self, one: int, other: int) -> None:
        consumer, subject = self.pick(one), self.pick(other)
        if consumer != subject and subject not in self.model.alive[consumer].monitors:
            pid = self.board.pawns[subject].pid
            self.run(self.board.ask(consumer, lambda pawn: pawn.monitor(pid)))
            self.model.alive[consumer].monitors.add(subject)

    @precondition(lambda self: self.model.alive)
    @rule(one=labels, other=labels)
    def demonitor(self, one: int, other: int) -> None:
        consumer, subject = self.pick(one), self.pick(other)
        pid = self.board.pawns[subject].pid
        was = self.run(self.board.ask(consumer, lambda pawn: pawn.demonitor(pid)))
        assert was == (subject in self.model.alive[consumer].monitors)
        self.model.alive[consumer].monitors.discard(subject)

    @precondition(lambda self: self.model.alive)
    @rule(one=labels, other=labels, word=words)
    def send_exit(self, one: int, other: int, word: str) -> None:
        sender, target = self.pick(one), self.pick(other)
        if target in (sender, self.model.alive[sender].parent):
            return
        pid = self.board.pawns[target].pid
        self.run(self.board.ask(sender, lambda pawn: pawn.send_exit(pid, reason_of(word))))
        self.model.signal(target, sender, word)

    @precondition(lambda self: self.model.alive)
    @rule(other=labels, word=words)
    def end_by_itself(self, other: int, word: str) -> None:
        target = self.pick(other)
        self.board.node.send(self.board.pawns[target].pid, reason_of(word))
        self.model.end(target, word)

    @precondition(lambda self: self.model.alive)
    @rule(other=labels)
    def kill(self, other: int) -> None:
        target = self.pick(other)
        self.board.node.kill(self.board.pawns[target].pid)
        self.model.end(target, "kill")

    @precondition(lambda self: self.board.keeper is not None)
    @rule(dice=st.integers(0, 9))
    def kill_the_supervisor(self, dice: int) -> None:
        """Its children end in reverse order, by `shutdown`, and are not restarted."""
        if dice:
            return  # now and then only
        self.board.node.kill(self.board.keeper)
        self.board.keeper = None  # type: ignore[assignment]
        children = {piece.name: label for label, piece in self.model.alive.items() if piece.name}
        for label in children.values():
            self.model.alive[label].name = ""
        for name in reversed(NAMES):
            self.model.end(children[name], "shutdown")

    # --- what must hold -----------------------------------------------------------------------------------

    @invariant()
    def the_same_are_alive_and_were_told_the_same(self) -> None:
        self.settle()
        assert self.board.alive() == set(self.model.alive)
        for label, piece in self.model.alive.items():
            pawn = self.board.pawns[label]
            info = self.board.node.process_info(pawn.pid)
            assert pawn.told == piece.told, label
            assert {self.board.labels.get(pid, "keeper") for pid in info.links} - {"keeper"} == piece.links - {"keeper"}  # type: ignore[call-overload]
            assert {self.board.labels[pid] for pid in info.monitors} == piece.monitors  # type: ignore[index]
            assert info.name == (piece.name or info.name)
        assert self.board.node.info().dead_letters >= 0


TestLives = Lives.TestCase
TestLives.pytestmark = [pytest.mark.thorough]
TestLives.settings = settings(max_examples=examples(40, 500), stateful_step_count=40)
