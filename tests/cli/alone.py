"""`homing`, which looks for nodes in XDG_RUNTIME_DIR alone: this user may run others, with sockets in /tmp."""

from __future__ import annotations

import os
from pathlib import Path

from homing.cli import main
from homing.observe.control import directory

if __name__ == "__main__":
    directory.TEMPORARY = Path(os.environ["XDG_RUNTIME_DIR"]) / "tmp"
    main()
