import socket

from ..policy.admission import Admission
from .sender import Sender

def probe() -> str: ...

class NativeBackend(Sender):
    name: str
    gro: bool
    admission: Admission | None
    def __init__(self, sock: socket.socket, buffer_size: int, gro: bool, gso: bool, info: bool) -> None: ...
