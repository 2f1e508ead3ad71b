"""Asks the DNS service ten times a second, and prints a line a second: who answered, and how many did not.

python -m examples.cluster.ask 5300
"""

import collections
import secrets
import socket
import struct
import sys
import time

NAME = b"\3who\7example\0"
TXT, IN = 16, 1
A_SECOND, TIMEOUT = 10, 0.09


def query():
    """Returns a question for the text of `who.example`, with an id that nobody can predict."""
    return struct.pack("!6H", secrets.randbits(16), 0, 1, 0, 0, 0) + NAME + struct.pack("!2H", TXT, IN)


def ask(client):
    """Sends a query, and returns who answered."""
    asked = query()
    try:
        client.send(asked)
        while (reply := client.recv(512))[:2] != asked[:2]:
            pass  # a late answer
    except OSError:  # no answer in time, or nobody has the port
        return "no answer"
    return who(asked, reply)


def who(asked, reply):
    """Returns the name at the beginning of the text in an answer."""
    if reply[3] & 15:
        return "server failure"
    return reply[len(asked) + 13 :].decode().partition("@")[0]


def main(port="5300", seconds="inf"):
    end, started = time.monotonic() + float(seconds), time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", int(port)))
        client.settimeout(TIMEOUT)
        while time.monotonic() < end:
            found = collections.Counter()
            for _ in range(A_SECOND):
                begun = time.monotonic()
                found[ask(client)] += 1
                time.sleep(max(0.0, 1 / A_SECOND - (time.monotonic() - begun)))
            line = ", ".join(f"{who} {count}" for who, count in sorted(found.items()))
            print(f"{time.monotonic() - started:4.0f} s: {line}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
