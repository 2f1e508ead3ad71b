"""The DTLS server under test: `python -m bench.dtls_server PORT CERTIFICATE KEY count|echo`."""

from __future__ import annotations

import sys
from typing import Any

import homing
from homing import act, meta

from .udp_common import HOST


class Server(act.Actor):
    """Counts the messages that come, or answers each with itself."""

    async def init(self, port: int, certificate: str, key: str, job: str) -> None:
        self.echoes, self.count = job == "echo", 0
        await meta.listen_dtls(
            self,
            host=HOST,
            port=port,
            certificate=certificate,
            key=key,
            receive_buffer=1 << 20,
            hello_limit=None,
            handshake_rate=None,
        )

    def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
        self.count += 1
        if self.echoes:
            self.reply(message, message.data)


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]), *sys.argv[2:])
