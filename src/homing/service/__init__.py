"""Services of plain functions: a `Service` builds the application, supervisor and actors that a user would write.

service     Service: decorators that add functions, and the application made of them
listener    the options of one `service.udp`, and the processes that they ask for
actors      the processes: each calls one function
functions   the functions of the program: what they take and what they may return
"""

from .service import Service as Service

__all__ = ["Service"]


def __dir__() -> list[str]:
    return __all__
