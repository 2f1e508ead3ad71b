"""Answers from a SQLite database: each worker has a thread and a connection of its own, and may block.

python examples/cookbook/blocking.py 4000 stock.db
"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import homing
from homing import act, gen, meta

LONGEST, PATIENCE = 100, 0.3  # characters of a name; seconds that a worker waits for a database that somebody locks


class Worker(act.Actor):
    """All its callbacks run on its own thread, `init` and `terminate` as well."""

    def init(self, path):
        self.db = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)

    def handle_message(self, sender, message):
        name = message.data.strip().decode(errors="replace")[:LONGEST]
        try:
            found = self.db.execute("SELECT amount FROM stock WHERE name = ?", (name,)).fetchone()
            self.reply(message, b"%d\n" % found[0] if found else b"unknown\n")
        except sqlite3.OperationalError:
            self.reply(message, b"busy, ask again\n")

    def terminate(self, reason):
        self.db.close()


class Listener(act.Actor):
    async def init(self, port, path):
        server = await meta.listen_udp(
            self,
            host="127.0.0.1",
            port=port,
            worker=Worker,
            workers=4,  # threads: so many questions are looked up at a time
            worker_args=(path,),
            worker_options=gen.ProcessOptions(thread=True),
            route="least",  # to a worker that is idle, if there is one
            reply_guard=meta.ReplyGuard(),
        )
        print("listening on port", server.local_address[1], flush=True)


if __name__ == "__main__":
    port, path = sys.argv[1:] if len(sys.argv) > 2 else ("4000", "stock.db")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS stock (name TEXT PRIMARY KEY, amount INTEGER)")
        db.execute("INSERT OR IGNORE INTO stock VALUES ('bolts', 120), ('nuts', 80)")
    homing.run(Listener, int(port), path)
