"""What others on this machine have done to its network is no matter to tests; where it is, they say so."""

from __future__ import annotations

import os
import socket

import pytest

from ..meta.servers import in_network, needs_namespaces
from .inner import pytest_in
from .isolation import complaint, path_mtu
from .runs import ROOT

pytestmark = needs_namespaces
SMALL = "ip link set lo up; ip route replace local 127.0.0.1 dev lo mtu lock 600 table local"
"""Keeps packets to 127.0.0.1 short, as an ICMP error does that some program has caused."""
MINDS = ("tests/datagram/backend/test_receiving.py", "-k", "train_is_as_long_as_the_kernel_makes_it")


def test_a_test_has_a_network_of_its_own(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("shared_network"):
        pytest.skip("asked for by --shared-network")
    assert {"lo", "wire", "far"} <= {name for _, name in socket.if_nameindex()}
    assert not os.path.samestat(os.stat("/proc/thread-self/ns/net"), os.stat(f"/proc/{os.getppid()}/ns/net"))
    assert complaint() == ""


def test_a_small_path_mtu_of_the_machine_fails_no_test() -> None:
    code, output = in_network(SMALL, lambda: pytest_in(ROOT, (), *MINDS))
    assert code == 0, output


def test_without_a_network_of_its_own_a_test_that_fails_says_what_is_wrong() -> None:
    code, output = in_network(SMALL, lambda: pytest_in(ROOT, (), "--shared-network", *MINDS))
    assert code == 1, output
    assert "network: the kernel sends packets of at most 600 bytes to 127.0.0.1: tests of trains" in output
    assert "----- network -----" in output


def test_the_path_mtu_is_the_kernels() -> None:
    assert in_network(SMALL, lambda: path_mtu("127.0.0.1")) == 600
    assert in_network("ip link set lo up mtu 1500", lambda: (path_mtu("127.0.0.1"), path_mtu("::1"))) == (1500, 1500)
    assert in_network("ip link set lo up", complaint) == ""
    assert path_mtu("no address") is None
