from ..failures import Failures
from ..message import MessageUDP
from .contract import Retry

class Sender:
    packets_out: int
    bytes_out: int
    retry: Retry | None
    @property
    def gso(self) -> bool: ...
    def send(self, message: MessageUDP) -> int: ...
    def send_many(self, messages: list[MessageUDP], failures: Failures) -> int: ...
