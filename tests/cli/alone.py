"""`homing`, which looks for nodes in XDG_RUNTIME_DIR alone: this user may run others, with sockets in /tmp."""

from __future__ import annotations

from pathlib import Path

from homing.cli import asking, control, main


def directories() -> list[Path]:
    """The directory of the test, and instead of the one in /tmp one below it."""
    preferred, other = control.directories()
    return [preferred, preferred.with_name("tmp") / other.name]


if __name__ == "__main__":
    asking.directories = directories
    main()
