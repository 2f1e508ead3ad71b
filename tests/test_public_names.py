"""Every name that users import stays where they import it from, wherever it lives; type checkers know it there."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from homing import gen
from homing.datagram import errors as udp

NAMES = {
    "homing": """
        Node __version__ act gen meta new_event_loop run start_node
    """,
    "homing.act": """
        Actor AddRoute AutoShutdown Backoff ChildCount ChildDisabled ChildError ChildExists ChildInfo
        ChildRestarting ChildRunning ChildSpec ChildState ChildUnknown CountChildren DISCARD DeleteChild
        DisableChild DisableRoute EnableChild EnableRoute Pool PoolOptions RemoveRoute ReplaceRoute RestartChild
        RestartStrategy RestartsExceeded RouteDisabled RouteDiscarded RouteError RouteInfo RouteRestarting
        RouteSpec RouteUnknown Router RouterOptions StartChild Supervisor SupervisorSpec SupervisorType
        TerminateChild WhichChildren WhichRoutes
    """,
    "homing.gen": """
        Alias AliasUnknown AlreadyLinked Application ApplicationDepends ApplicationInfo ApplicationMember
        ApplicationMode ApplicationRunning ApplicationSpec ApplicationState ApplicationTaken
        ApplicationTerminated ApplicationTree ApplicationUnknown BadAddress BadOption BatchEnded BindFailed
        BufferReleased CallTimeout CallToSelf CancelTimer ConnectFailed DeliveryError Event EventOptions
        EventTaken EventUnknown Fallback HomingError InitTimeout MailboxFull MailboxInfo MatchFailed
        MessageDeadLetter MessageDownAlias MessageDownEvent MessageDownName MessageDownPID MessageEvent
        MessageEventStart MessageEventStop MessageExitAlias MessageExitEvent MessageExitName MessageExitPID
        MessageFallback MessagePriority MetaBehavior MetaInfo MetaOptions MetaProcess MetaTerminated NO_REPLY
        NameTaken NameUnknown NodeInfo NodeOptions NodeTerminated NodeTree NodeUnknown NotAllowed PID
        PeerRefused PeerUnreachable ProcessBehavior ProcessID ProcessInfo ProcessOptions ProcessState
        ProcessTerminated ProcessTree ProcessUnknown Ref ReplyLimited RequestIdsTaken RequestKeyTaken RequestTimeout
        SendQueueFull Subject TRANSITIONS Target TerminateKill TerminateNormal TerminatePanic TerminateReason
        TerminateRestart TerminateShutdown TooManyRequests Unregistered as_reason is_orderly is_succeeded
    """,
    "homing.meta": """
        BufferPool Buffers DatagramBatch JoinGroup LeaveGroup MessageUDP MessageUDPError MulticastGroup Pacing
        PacketInfo RateLimit Reconfigure Reconfigured SocketOptions TakeOver UDPClient UDPClientOptions
        UDPClientStatistics UDPRequest UDPServer UDPServerOptions create_udp_client create_udp_server
    """,
    "homing.testing": """
        Conditions Event FakeNetwork NetworkStatistics Peer VirtualLoop run_virtual
    """,
}
"""The names that each module offered before their modules were divided into packages."""

ONLY_GEN = """
import importlib.util, sys, types
spec = importlib.util.find_spec("homing")
homing = sys.modules["homing"] = types.ModuleType("homing")
homing.__path__ = spec.submodule_search_locations
from homing import gen
assert not [name for name in sys.modules if name.startswith("homing.datagram")]
from homing.gen import BindFailed
assert issubclass(BindFailed, gen.HomingError)
assert BindFailed is sys.modules["homing.datagram.errors"].BindFailed
"""
"""Imports `gen` by itself, without the package's `__init__`, which imports all."""


@pytest.mark.parametrize("module", NAMES)
def test_every_name_that_a_module_has_had_can_be_imported_from_it(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in NAMES[module].split() if not hasattr(found, name)] == []


@pytest.mark.parametrize("name", udp.__all__)
def test_an_error_of_udp_is_the_same_under_its_old_names(name: str) -> None:
    assert getattr(gen, name) is getattr(gen.errors, name) is getattr(udp, name)


def test_gen_lists_everything_but_the_single_errors_which_gen_errors_lists() -> None:
    listed = set(dir(gen))
    assert {"PID", "NodeOptions", "MetaBehavior", "errors"} <= listed
    assert not listed & {*gen.errors.__all__, *udp.__all__, "identifiers", "TYPE_CHECKING"}
    assert {*gen.errors.__all__, *udp.__all__} | listed >= set(NAMES["homing.gen"].split())


def test_gen_imports_no_sockets_before_an_error_of_udp_is_asked_for() -> None:
    subprocess.run([sys.executable, "-c", ONLY_GEN], check=True, timeout=30)


def test_a_name_that_gen_has_not_is_refused_with_the_name() -> None:
    with pytest.raises(AttributeError, match=r"'homing\.gen' has no attribute 'BindFailure'"):
        gen.BindFailure  # noqa: B018
