"""The clients that judge the servers are there where they have to be."""

from __future__ import annotations

import os
import shutil

import pytest

from .clients import NAMES, load

NEED = "HOMING_NEED_CLIENTS"
"""Set where the tests with real clients are not to be skipped for want of all clients: `.ci/run` installs them."""

EVERYWHERE = {"echo", "nc", "openssl", "python"}
"""Programs that most systems have, and that judge no protocol."""


def programs() -> set[str]:
    """The programs in the commands that the servers propose."""
    commands = [part for name in NAMES for line in load(name).TRY for part in line.split("|")]
    return {command.split()[0] for command in commands} - EVERYWHERE


@pytest.mark.skipif(not os.environ.get(NEED), reason=f"{NEED} is not set: who develops may do without some clients")
def test_where_the_clients_are_installed_not_all_are_missing() -> None:
    missing = {name for name in programs() if shutil.which(name) is None}
    print("clients that are missing:", *sorted(missing))
    assert missing < programs(), "all tests with real clients would be skipped: .ci/clients installs them"
