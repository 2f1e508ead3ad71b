"""A service as an application: a supervised UDP server in front of a pool that counts words.

homing run examples.service:Service --env port=2345
echo "to be or not to be" | nc -u -w1 127.0.0.1 2345
homing tree service

Without the command line: python examples/service.py 2345
"""

import sys

import homing
from homing import act, gen, meta


class Counter(act.Actor):
    """Answers with the number of words."""

    def handle_message(self, sender, message):
        if not message.data.endswith(b" words\n"):  # an answer is not answered
            self.send(message.id, message.reply(b"%d words\n" % len(message.data.split())))


class Counters(act.Pool):
    def init(self):
        return act.PoolOptions(worker=Counter, pool_size=3)


class Listener(act.Actor):
    """Owns the UDP server; its datagrams go to the pool."""

    async def init(self):
        port = int(self.env["port"])
        server = await meta.listen_udp(
            self,
            host="127.0.0.1",
            port=port,
            process="counters",
            receive_buffer=1024 * 1024,
            reply_guard=meta.ReplyGuard(),  # prevents a loop of two servers, and floods of answers to forged addresses
        )
        print("listening on port", server.local_address[1], flush=True)


class Top(act.Supervisor):
    def init(self):
        return act.SupervisorSpec(
            children=(
                act.ChildSpec(name="counters", behavior=Counters),
                act.ChildSpec(name="listener", behavior=Listener),
            )
        )


class Service(gen.Application):
    """An application that ends when its supervisor gives up."""

    def load(self, node):
        return gen.ApplicationSpec(
            name="service",
            description="counts words",
            version="1.0",
            members=(gen.ApplicationMember(behavior=Top, name="top"),),
            mode=gen.ApplicationMode.PERMANENT,
            env={"port": node.env.get("port", "2345")},
        )


if __name__ == "__main__":
    port = sys.argv[1] if len(sys.argv) > 1 else "2345"
    homing.run(Service, options=gen.NodeOptions(env={"port": port}))
