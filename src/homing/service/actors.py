"""The processes of a service. Each calls one function of the program; an exception of the function is logged and
counted, and does not end the process."""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, ClassVar

from .. import act, meta
from ..act.actor import ActorHooks
from ..datagram import MessageUDP, format_address
from ..gen import PID
from ..gen.foreign import safe_repr
from ..gen.hooks import ProcessHooks
from .functions import Function, answers

if TYPE_CHECKING:
    from .service import Service


class ServiceSupervisor(act.Supervisor):
    """The top of a service. `homing tree` shows the functions under it."""

    def init(self, spec: act.SupervisorSpec) -> act.SupervisorSpec:
        return spec


class Listener(act.Actor):
    """Owns the UDP server of a handler class, or of workers."""

    async def init(self, options: meta.UDPServerOptions) -> None:
        await self.spawn_meta(meta.create_udp_server(options))


class FunctionHooks(ActorHooks):
    """Hooks of a process that calls a function: `homing tree` shows its counters."""

    __slots__ = ()

    kind: ClassVar[str] = "function"


class FunctionActor(act.Actor):
    """Calls one function. failures: how many of the calls have raised, or returned what cannot be sent."""

    _runtime_hooks: ClassVar[type[ProcessHooks]] = FunctionHooks

    def prepare(self, service: Service, function: Function) -> None:
        """Stores what `init` was given."""
        self.service = service
        self.function = function
        self.failures = 0

    def call_function(self) -> Any:
        """Calls a function that takes nothing, or the state."""
        function = self.function
        return function.call(state=self.service.state) if function.takes_state else function.call()

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """Returns the name of the function, and `failures`."""
        return {"function": self.function.name, "failures": self.failures}

    def failed(self, error: Exception, during: str) -> None:
        """Counts a failure, and logs it with its traceback: the first of its kind, then one in five seconds."""
        self.failures += 1
        core = self._process.core
        text = "%s failed %s: %s"
        self._limited_log.error(core.loop.time(), text, self.function.name, during, safe_repr(error), fault=error)


# --- datagrams --------------------------------------------------------------------------------------------


class Responder(FunctionActor):
    """Calls a function for each datagram, and sends what it returns to the peer."""

    async def init(
        self, service: Service, function: Function, crash: bool, options: meta.UDPServerOptions | None = None
    ) -> None:
        """options: of the UDP server that it owns. None: it is a worker."""
        self.prepare(service, function)
        self.crash = crash
        self.call_for = function.call
        self.takes_state = function.takes_state
        if options is not None:
            await self.spawn_meta(meta.create_udp_server(options))

    def handle_message(self, sender: Any, message: Any) -> Awaitable[None] | None:
        if type(message) is not MessageUDP:
            return super().handle_message(sender, message)  # a stranger's: logs a warning
        try:
            # The user's function is called from here, not from a helper: the cost of a packet is one more frame.
            result = self.call_for(message, state=self.service.state) if self.takes_state else self.call_for(message)
            if type(result) is bytes:
                self.send(message.id, message.reply(result))
            elif result is not None:
                if isawaitable(result):
                    return finish(self, message, result)
                send_answers(self, message, result)
        except Exception as error:
            failed(self, message, error)
        return None


class AsyncResponder(Responder):
    """The same for an `async def` function."""

    async def handle_message(self, sender: Any, message: Any) -> None:
        if type(message) is not MessageUDP:
            super(Responder, self).handle_message(sender, message)
            return
        try:
            result = await (
                self.call_for(message, state=self.service.state) if self.takes_state else self.call_for(message)
            )
            if type(result) is bytes:
                self.send(message.id, message.reply(result))
            elif result is not None:
                send_answers(self, message, result)
        except Exception as error:
            failed(self, message, error)


# Functions, not methods: with a thread of its own, the methods of a behavior's base run on the node's thread, and the
# user's coroutine must not.


async def finish(responder: Responder, packet: MessageUDP, pending: Awaitable[Any]) -> None:
    """Awaits what a plain function has returned, such as a coroutine, and sends its result."""
    try:
        send_answers(responder, packet, await pending)
    except Exception as error:
        failed(responder, packet, error)


def send_answers(responder: Responder, packet: MessageUDP, result: Any) -> None:
    """Sends what the function has returned. Raises `TypeError` if that cannot be sent."""
    for answer in answers(responder.function.name, packet, result):
        responder.send(packet.id, answer)


def failed(responder: Responder, packet: MessageUDP, error: Exception) -> None:
    """Handles an exception of the function: the next datagram is served, unless the process is to crash."""
    if responder.crash:
        raise error
    responder.failed(error, f"for a datagram from {format_address(packet.addr)}")


# --- time and life ----------------------------------------------------------------------------------------


class Tick:
    """Sent by a timer to its `Ticker`."""

    __slots__ = ()


TICK = Tick()


class Ticker(FunctionActor):
    """Calls a function at intervals. It has a `concurrency` of 2, so that a tick that comes during a call is taken at
    once, and dropped, instead of waiting."""

    def init(self, service: Service, function: Function, seconds: float) -> None:
        self.prepare(service, function)
        self.calling = False
        self.send_every(self.pid, TICK, seconds)

    async def handle_message(self, sender: Any, message: Any) -> None:
        if message is not TICK:
            super().handle_message(sender, message)
            return
        if self.calling:
            return
        self.calling = True
        try:
            result = self.call_function()
            if isawaitable(result):
                await result
        except Exception as error:
            self.failed(error, "at its interval")
        finally:
            self.calling = False


class Starter(FunctionActor):
    """Calls a function once, before the sockets are opened. Its exception is the failure of the start."""

    async def init(self, service: Service, function: Function) -> None:
        self.prepare(service, function)
        result = self.call_function()
        if isawaitable(result):
            await result


class Stopper(FunctionActor):
    """Calls a function once, when the sockets are closed and all other functions have ended."""

    def init(self, service: Service, function: Function) -> None:
        self.prepare(service, function)

    async def terminate(self, reason: Exception) -> None:
        result = self.call_function()
        if isawaitable(result):
            await result
