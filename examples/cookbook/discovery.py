"""Finds the services of a network by multicast: each service answers a question to the group.

python examples/cookbook/discovery.py serve printer
python examples/cookbook/discovery.py find              # both take the name of a network interface as well
"""

import random
import sys

import homing
from homing import act, meta

GROUP, PORT, QUESTION = "239.255.77.1", 4077, b"homing discovery 1: who is there?"
LONGEST, MOST_WAITING, SPREAD = 64, 100, 0.1  # bytes of a title; answers; seconds over which answers are spread


class Service(act.Actor):
    async def init(self, title, interface=""):
        self.title, self.waiting = title.encode()[:LONGEST], 0
        await meta.listen_udp(
            self,
            host=GROUP,
            port=PORT,
            groups=(meta.MulticastGroup(GROUP, interface),),
            reuse_port=True,  # several services on one machine: each gets each question
            reply_guard=meta.ReplyGuard(),
        )
        print("serving", title, flush=True)

    def handle_message(self, sender, message):
        if isinstance(message, tuple):
            self.waiting -= 1
            self.reply(message[1], self.title)
        elif message.data == QUESTION and self.waiting < MOST_WAITING:
            self.waiting += 1
            self.send_after(self.pid, ("answer", message), random.uniform(0, SPREAD))


class Finder(act.Actor):
    async def init(self, interface):
        options = {"connected": False, "any_source": True, "multicast_interface": interface, "stray": "drop"}
        self.client = await meta.connect_udp(self, host=GROUP, port=PORT, **options)

    async def handle_call(self, sender, ref, request):
        replies = await self.call(self.client.alias, meta.UDPRequest(QUESTION, within=0.3, at_least=0, collect=100))
        return sorted((reply.addr[0], reply.data[:LONGEST].decode(errors="replace")) for reply in replies)


async def find(node, interface=""):
    for host, title in await node.call(await node.spawn(Finder, interface), "who is there?"):
        print(host, repr(title), flush=True)  # a stranger may have chosen the title


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        homing.run(Service, *sys.argv[2:])
    else:
        homing.run(find, *sys.argv[2:])
