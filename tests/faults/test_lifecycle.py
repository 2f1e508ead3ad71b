"""Case 23: a server is started, used, ended and terminated in any order; a plain model says what must come of it."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import homing
from homing import gen, meta

from ..meta.servers import bind_again, create, is_bound
from ..support import Probe, UDPPeer, eventually
from .figures import figure


class Lifecycle(RuleBasedStateMachine):
    """A server is started, used, ended and terminated in any order; a plain model says what must come of it."""

    ends = 0

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.runner.get_loop()
        self.node = self.runner.run(self._start())
        self.probe: Probe = self.runner.run(Probe.start(self.node))
        self.peer = UDPPeer()
        self.server = create()
        self.alias: gen.Alias | None = None
        self.state = "bound"

    async def _start(self) -> homing.Node:
        return await homing.start_node("machine@localhost", gen.NodeOptions(handle_signals=False))

    def do(self, function: Any) -> Any:
        async def tried(actor: Any) -> Any:
            try:
                result = function(actor)
                return await result if asyncio.iscoroutine(result) else result
            except gen.HomingError as error:
                return error

        return self.runner.run(self.probe.do(tried))

    @rule()
    def start(self) -> None:
        result = self.do(lambda actor: actor.spawn_meta(self.server))
        if self.state == "bound":
            self.alias, self.state = result, "running"
        else:
            assert isinstance(result, gen.NotAllowed)

    @precondition(lambda self: self.alias is not None)
    @rule(reason=st.sampled_from([gen.TerminateNormal, gen.TerminateShutdown, RuntimeError]))
    def exit(self, reason: Any) -> None:
        result = self.do(lambda actor: actor.send_exit_meta(self.alias, reason))
        if self.state in ("running", "closed early"):
            assert result is None
            self.state = "ended"
            self.runner.run(eventually(lambda: self.node.info().metas == 0))
        else:
            assert isinstance(result, gen.MetaTerminated)

    @rule()
    def terminate(self) -> None:
        self.server.terminate(gen.TerminateNormal())
        self.state = {"bound": "ended", "running": "closed early"}.get(self.state, self.state)

    @precondition(lambda self: self.alias is not None)
    @rule(data=st.binary(max_size=10))
    def send(self, data: bytes) -> None:
        message = meta.MessageUDP(None, self.peer.address, data)
        result = self.do(lambda actor: actor.send(self.alias, message))
        assert (result is None) is (self.state in ("running", "closed early"))
        if self.state == "running":
            assert self.runner.run(self.peer.receive())[0] == data

    @precondition(lambda self: self.state == "running")
    @rule(data=st.binary(max_size=10))
    def receive(self, data: bytes) -> None:
        self.peer.send(data, self.server.local_address)
        assert self.runner.run(self.probe.get()).data == data

    @precondition(lambda self: self.alias is not None)
    @rule()
    def monitor(self) -> None:
        result = self.do(lambda actor: [actor.monitor(self.alias), actor.demonitor(self.alias)])
        assert isinstance(result, gen.MetaTerminated) is (self.state == "ended")

    @precondition(lambda self: self.alias is not None)
    @rule()
    def inspect(self) -> None:
        result = self.do(lambda actor: actor.inspect_meta(self.alias, "listener"))
        assert isinstance(result, dict) is (self.state in ("running", "closed early"))

    @rule()
    def renew(self) -> None:
        if self.state == "ended":
            self.server, self.alias, self.state = create(), None, "bound"

    @invariant()
    def the_port_is_taken_exactly_while_the_server_is_open(self) -> None:
        assert is_bound(self.server.local_address) is (self.state in ("bound", "running"))

    @invariant()
    def there_is_a_meta_process_exactly_while_it_was_started_and_has_not_ended(self) -> None:
        assert self.node.info().metas == (self.state in ("running", "closed early"))

    def teardown(self) -> None:
        Lifecycle.ends += 1
        figure(23, "random lives of a server, of up to 25 steps each, as the model says", Lifecycle.ends)
        self.server.terminate(gen.TerminateNormal())
        self.runner.run(self.node.stop())
        bind_again(self.server.local_address)
        self.peer.socket.close()
        self.runner.close()


TestCase23 = Lifecycle.TestCase
TestCase23.settings = settings(max_examples=20, stateful_step_count=25, suppress_health_check=list(HealthCheck))
