"""A server in another network namespace than its program: made there, and at home here."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.datagram.sockets import inherited as inherited_sockets
from homing.datagram.sockets.inherited import Inherited
from homing.datagram.sockets.namespace import file_of, within

from ...support import DEADLINE, Probe, UDPPeer, free_port, gives_up_privileges, without_privileges
from ..servers import error_of, in_network, needs_namespaces, open_echo, open_server
from .test_udp_linger import crash

pytestmark = pytest.mark.backends

GROUP = "239.77.9.9"
NETWORK = """ip link set lo up; ip addr add 10.77.0.1/32 dev lo
ip link add only-here type veth peer name other-end; ip link set only-here up; ip link set other-end up"""


@pytest.fixture
def namespace() -> Iterator[str]:
    """The file of a network namespace in which 10.77.0.1 is."""

    def keep() -> int:
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    descriptor = in_network(NETWORK, keep)
    yield f"/proc/self/fd/{descriptor}"
    os.close(descriptor)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody may look into."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def peer_in(namespace: str) -> socket.socket:
    sock = within(namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.settimeout(DEADLINE)
    return sock


def create(namespace: str, **options: Any) -> meta.UDPServer:
    return meta.create_udp_server(
        meta.UDPServerOptions(**{"host": "10.77.0.1", "network_namespace": namespace, **options})
    )


@needs_namespaces
async def test_a_server_serves_peers_of_the_namespace_from_outside(node: homing.Node, namespace: str) -> None:
    server = await open_echo(node, host="10.77.0.1", network_namespace=namespace)
    with peer_in(namespace) as peer:
        peer.setblocking(False)
        with UDPPeer() as wrapped:
            wrapped.socket.close()
            wrapped.socket = peer
            assert await wrapped.ask(b"hello", server.local_address) == b"hello"


@needs_namespaces
async def test_the_program_itself_stays_where_it_was(namespace: str) -> None:
    here = os.readlink("/proc/thread-self/ns/net")
    with create(namespace):
        assert os.readlink("/proc/thread-self/ns/net") == here
        with pytest.raises(gen.BindFailed):
            meta.create_udp_server(meta.UDPServerOptions(host="10.77.0.1"))


@needs_namespaces
async def test_a_port_may_be_taken_in_each_namespace(namespace: str) -> None:
    with meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1")) as here:
        port = here.local_address[1]
        with create(namespace, host="127.0.0.1", port=port), pytest.raises(gen.BindFailed, match="in use"):
            create(namespace, host="127.0.0.1", port=port)


@needs_namespaces
async def test_interfaces_are_those_of_the_namespace_also_at_run_time(probe: Probe, namespace: str) -> None:
    group = meta.MulticastGroup(GROUP, "only-here")
    options: dict[str, Any] = {"host": "", "network_namespace": namespace, "multicast_interface": "only-here"}
    server, alias = await open_server(probe, bind_device="only-here", groups=(group,), **options)
    assert await probe.do(lambda actor: actor.call(alias, meta.LeaveGroup(GROUP, "only-here"))) == ()
    assert await probe.do(lambda actor: actor.call(alias, meta.JoinGroup(GROUP, "only-here"))) == (group,)
    with peer_in(namespace) as peer:
        index = within(namespace, lambda: socket.if_nametoindex("only-here"))
        peer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("8xi", index))
        peer.sendto(b"heard", (GROUP, server.local_address[1]))
        assert (await probe.get()).data == b"heard"
    error = await probe.do(lambda actor: error_of(actor.call(alias, meta.JoinGroup(GROUP, "nowhere"))))
    assert isinstance(error, gen.BadOption)


@needs_namespaces
async def test_who_binds_the_same_address_elsewhere_adopts_nothing(node: homing.Node, namespace: str) -> None:
    port = free_port()
    owner, successor = await Probe.start(node), await Probe.start(node)
    common: dict[str, Any] = {"host": "127.0.0.1", "port": port, "linger": 60.0}
    _, alias = await open_server(owner, network_namespace=namespace, **common)
    await crash(node, owner)
    _, other = await open_server(successor, **common)
    assert other != alias
    assert (await open_server(successor, network_namespace=namespace, **common))[1] == alias


@needs_namespaces
def test_an_inherited_socket_serves_in_its_own_namespace_only(namespace: str) -> None:
    with create(namespace) as before:
        port = before.local_address[1]
        found = Inherited(os.dup(before._state.endpoint.sock.fileno()), "")
    inherited_sockets.keep([found])
    try:
        if found.network == 0:
            pytest.skip("this system does not tell namespaces apart: Linux before 5.14")
        with pytest.raises(gen.BindFailed, match="ip addr"):
            meta.create_udp_server(meta.UDPServerOptions(host="10.77.0.1", port=port))
        assert found.free
        with create(namespace, port=port):
            assert not found.free
    finally:
        inherited_sockets.discard([found])


@needs_namespaces
async def test_a_client_may_live_there_too(node: homing.Node, probe: Probe, namespace: str) -> None:
    server = await open_echo(node, host="10.77.0.1", network_namespace=namespace)
    options = meta.UDPClientOptions(host="10.77.0.1", port=server.local_address[1], network_namespace=namespace)
    client = await probe.do(lambda actor: actor.spawn_meta(meta.create_udp_client(options)))
    assert (await probe.do(lambda actor: actor.call(client, b"hello"))).data == b"hello"


@pytest.mark.once
@needs_namespaces
def test_a_namespace_has_a_name_or_a_file(tmp_path: Path) -> None:
    assert file_of("blue") == "/run/netns/blue"
    assert file_of("./blue") == "./blue"
    with pytest.raises(gen.BadOption, match="ip netns list") as caught:
        create("no-such-namespace")
    assert (caught.value.option, caught.value.value) == ("network_namespace", "no-such-namespace")
    (tmp_path / "file").touch()
    for wrong in (str(tmp_path / "file"), str(tmp_path), "/proc/self/ns/mnt"):
        with pytest.raises(gen.BadOption, match="is not a network namespace"):
            create(wrong)


@pytest.mark.once
@needs_namespaces
def test_a_failure_in_the_namespace_is_told_here(namespace: str) -> None:
    with pytest.raises(gen.BindFailed, match="ip addr"):
        create(namespace, host="10.77.0.2")
    with pytest.raises(gen.BadOption, match="bind_device"):
        create(namespace, bind_device="nowhere")


@needs_namespaces
@gives_up_privileges
def test_who_may_not_enter_is_told_the_capability(namespace: str, open_directory: Path) -> None:
    """Nobody may read the descriptors of root, but a mount of the namespace, as `ip netns` makes one."""
    file = open_directory / "blue"
    file.touch()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(namespace.encode(), str(file).encode(), None, 4096, None):  # MS_BIND
        pytest.skip("mounts are forbidden here")
    try:
        with pytest.raises(gen.BindFailed, match="CAP_SYS_ADMIN") as caught:
            without_privileges(lambda: create(str(file)))
        assert caught.value.errno == 1
        create(str(file)).terminate(gen.TerminateNormal())
    finally:
        libc.umount(str(file).encode())
