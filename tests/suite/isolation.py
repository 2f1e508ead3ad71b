"""A network of its own for each program that runs tests.

So no test changes what others on this machine see, nor minds what they do: another program's ports, firewall rules, and
path MTUs that the kernel has learned for 127.0.0.1. It has the loopback, and an interface to nowhere, `wire`. It takes
root and iproute2; without them, and with `--shared-network`, tests run in the network of the machine, and say so where
packets to the loopback are kept short there.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Generator

import pytest

from ..meta.servers import _CLONE_NEWNET, networks_can_be_made, run

NETWORK = """
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad  # its addresses can be used at once
ip link set lo up
ip link add wire type veth peer name far
ip addr add 198.51.100.1/24 dev wire
ip link set wire up
ip link set far up
ip route add 255.255.255.255 dev wire
echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range  # pings need no rights
"""
IP_MTU, IPV6_MTU = 14, 24  # linux/in.h, linux/in6.h
SHORTEST = 65535
"""The path MTU of a loopback that nobody has changed, or more."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("suite").addoption(
        "--shared-network", action="store_true", help="test in the network of the machine, not in one of its own"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Leaves the network of the machine, on the thread that runs the tests, before it has started any other."""
    if not has_others(config) and has_own_network(config):
        leave_network()


def has_others(config: pytest.Config) -> bool:
    """True if other programs run the tests: workers of pytest-xdist, or forks."""
    workers = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    return bool(workers or config.getoption("forks", 0))


def has_own_network(config: pytest.Config) -> bool:
    """True if tests are to leave the network of the machine, and can."""
    return not config.getoption("shared_network") and networks_can_be_made()


def leave_network() -> None:
    """Moves this thread to a network of its own. If that cannot be set up it stays where it is."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not libc.unshare(_CLONE_NEWNET):
            try:
                run(NETWORK)
            except subprocess.SubprocessError:
                libc.setns(before, _CLONE_NEWNET)
    finally:
        os.close(before)


def path_mtu(host: str) -> int | None:
    """The longest packet to `host`, as the kernel has it; None where it does not tell."""
    ipv6 = ":" in host
    try:
        with socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((host, 9))
            return sock.getsockopt(*((socket.IPPROTO_IPV6, IPV6_MTU) if ipv6 else (socket.IPPROTO_IP, IP_MTU)))
    except OSError:
        return None


def complaint() -> str:
    """What is wrong with the loopback of this network; "" if nothing is."""
    short = [
        f"{mtu} bytes to {host}" for host in ("127.0.0.1", "::1") if (mtu := path_mtu(host) or SHORTEST) < SHORTEST
    ]
    if not short:
        return ""
    return (
        f"the kernel sends packets of at most {' and '.join(short)}: tests of trains and long datagrams fail here. "
        "Some program has made it so (`ip route get 127.0.0.1`, `ip link show lo`); root has a network of its own"
    )


def pytest_report_header(config: pytest.Config) -> str | None:
    return f"network: {text}" if not has_others(config) and (text := complaint()) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Says with each failure what may be its reason."""
    report = yield
    if report.failed and (text := complaint()):
        report.sections.append(("network", text))
    return report
