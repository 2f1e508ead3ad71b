"""Reasons for which a test may be skipped although a run has floors: this machine really lacks a tool or a right.

A reason that is not here, or does not hold, excuses nothing.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

from ..faults.networks import can_be_left
from ..meta.servers import networks_can_be_made


def _lacks(*names: str) -> bool:
    """True if one of these is here neither as a program nor as a module."""
    return any(shutil.which(name) is None and find_spec(name) is None for name in names)


def _is_not_root() -> bool:
    return os.geteuid() != 0


def _has_no_networks() -> bool:
    return not networks_can_be_made()


def _is_another_processor() -> bool:
    return platform.machine() not in ("x86_64", "aarch64")


_EXCUSES: list[tuple[str, Callable[..., bool]]] = [
    (r"(\S+)(?: \(.*\))? is not installed.*", _lacks),
    (r"could not import '(\w+)'.*", _lacks),
    (r"asks with dig, in another network", lambda: _lacks("dig") or _lacks("nsenter") or _has_no_networks()),
    (r"makes a network namespace: .*", lambda: _is_not_root() or _has_no_networks()),
    (r"makes network namespaces and TUN devices: .*", lambda: _has_no_networks() or _lacks_tun()),
    (r"makes a time namespace: .*", lambda: _is_not_root() or _lacks("unshare") or not _has_time_namespaces()),
    (r"there is no /dev/net/tun", lambda: _lacks_tun()),
    (r"asks a firewall to refuse", lambda: _lacks("iptables") or _has_no_networks()),
    (r"this user may not make network namespaces", lambda: not can_be_left()),
    (r"HOMING_NEED_NETWORKS is not set: .*", lambda: "HOMING_NEED_NETWORKS" not in os.environ),
    (r"HOMING_NEED_CLIENTS is not set: .*", lambda: "HOMING_NEED_CLIENTS" not in os.environ),
    (r"only root .*|binds to an interface: CAP_NET_RAW|asks for more than the system's limit, as root", _is_not_root),
    (r"sends from port 0 through a raw socket: .*", _is_not_root),
    (r"makes a filter of system calls by their numbers: .*", lambda: platform.machine() != "x86_64"),
    (r"gives up its privileges by a Linux system call", _is_another_processor),
    (r"eager tasks came with Python 3.12", lambda: sys.version_info < (3, 12)),
    # a test that has tried it says so; there is no second way to find it out
    (r"this kernel (joins no datagrams|has no UDP-Lite|has no netem)", lambda: True),
    (r"this system (has no privileged port 999|grants whatever can be asked for)", lambda: True),
    (r"this system's limit is far too high to ask for more", lambda: True),
    (r"this system (does not tell namespaces apart|allows fewer than 4096 descriptors).*", lambda: True),
    (r"this (root cannot become nobody|group may not send pings).*", lambda: True),
    (r"mounts are forbidden here", lambda: True),
    (r"there is no interface but lo|this docker has no compose|this kernel has no PR_SET_MDWE .*", lambda: True),
    (r"the directory of this test has a path that is too long", lambda: True),
]


def _lacks_tun() -> bool:
    return not os.path.exists("/dev/net/tun")


def _has_time_namespaces() -> bool:
    return os.path.exists("/proc/self/ns/time")


@cache
def is_excused(reason: str) -> bool:
    """True if a test may be skipped here for this reason."""
    for pattern, holds in _EXCUSES:
        if found := re.fullmatch(pattern, reason, re.DOTALL):
            return holds(*(found.groups() if holds is _lacks else ()))
    return False
