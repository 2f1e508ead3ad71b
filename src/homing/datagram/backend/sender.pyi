from .base import Backend

class Sender(Backend):
    gso: bool
