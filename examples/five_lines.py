"""A UDP echo server, as a service of one function.

python examples/five_lines.py                 # or: homing run examples.five_lines:service
echo hello | nc -u -w1 127.0.0.1 2345
"""

from homing import Service, meta

service = Service("echo")


@service.udp(host="127.0.0.1", port=2345, reply_guard=meta.ReplyGuard())
def echo(packet):
    return b"OK: " + packet.data


if __name__ == "__main__":
    service.run()
