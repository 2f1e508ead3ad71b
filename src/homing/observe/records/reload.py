"""Changes of the configuration."""

from __future__ import annotations

from typing import TypedDict


class ChangeRecord(TypedDict):
    """A key of the configuration whose value has changed; "(not shown)" stands for the value of a secret.

    key: as in the file: `servers.echo.rate_limit`; of the program's own values only the table, with empty values.
    """

    key: str
    old: str
    new: str


class ReloadRecord(TypedDict):
    """Answer to `reload`.

    file: the file that was read again.
    applied: changes in force now. restart: changes that need a restart of the program. failed: changes that the
        system has refused, and why. unused: UDP servers in the file that the program has not made.
    """

    file: str
    applied: list[ChangeRecord]
    restart: list[ChangeRecord]
    failed: list[str]
    unused: list[str]
