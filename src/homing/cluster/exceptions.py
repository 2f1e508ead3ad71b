"""Exceptions on their way between nodes: Homing's own and Python's built-in ones by name, all others as `RemoteError`.

Nothing of an exception is trusted: neither the text of one of the program, whose `__str__` may raise or be long, nor
what comes from the network, which finds classes only in the table below and runs no constructor of ours.
"""

from __future__ import annotations

import builtins
from typing import Any

import msgspec
from msgspec.msgpack import Decoder, Encoder, Ext

from ..datagram import errors as udp_errors
from ..gen import cluster_errors, errors
from ..gen.cluster_errors import RemoteError
from ..gen.errors import HomingError
from ..gen.foreign import class_name, is_a, safe_str
from .fitting import Unreadable
from .plain import ERROR, IDENTIFIER, IDENTIFIERS, pack_identifier, unpack_identifier

TEXT = 1024
"""Most characters of a text: an error is a line or two, and answers to errors must not be a load of their own."""

ARGS = 8
"""Most arguments of a built-in exception that travel: the longest, `UnicodeDecodeError`, has five."""

CAUSES = 4
"""Most reasons within reasons."""

_SCALARS = (type(None), bool, int, float, str, bytes)
_BYTES = (bytes, bytearray, memoryview, msgspec.Raw)
_INT_LIMIT = 1 << 63

_TEXT, _NUMBER, _ANY = ((str, type(None)), ""), ((int, type(None)), 0), ((*_SCALARS, *IDENTIFIERS, tuple), None)
_TUPLE: tuple[Any, Any] = ((tuple,), ())

ATTRIBUTES: dict[str, tuple[tuple[type, ...], Any]] = {
    **dict.fromkeys(("behavior", "cause", "host", "name", "node", "option", "path", "state"), _TEXT),
    **dict.fromkeys(("strerror", "text", "type_name", "why"), _TEXT),
    **dict.fromkeys(("attempts", "creation", "errno", "guesses", "limit", "offset", "port", "size"), _NUMBER),
    **dict.fromkeys(("address", "event", "key", "other", "owner", "target", "value"), _ANY),
    **dict.fromkeys(("addresses", "names", "problems", "replies"), _TUPLE),
    "seconds": ((float, int), 0.0),
    "reason": ((Exception, type(None)), None),
}
"""The attributes of Homing's errors: the classes that a value may have, and the value if another comes, or none."""

FIELDS: dict[type[Exception], tuple[str, ...]] = {
    errors.BadOption: ("option", "value", "why"),
    errors.BadConfiguration: ("problems",),
    errors.CallToSelf: ("target",),
    errors.DeliveryError: ("target",),
    errors.ProcessTerminated: ("reason",),
    errors.MetaTerminated: ("reason",),
    errors.NodeUnknown: ("node",),
    errors.MailboxFull: ("limit",),
    errors.CallTimeout: ("target", "seconds"),
    errors.TooManyRequests: ("limit",),
    errors.InitTimeout: ("behavior", "seconds"),
    errors.NameTaken: ("name", "owner"),
    errors.EventTaken: ("event", "owner"),
    errors.EventUnknown: ("event",),
    errors.NodeTerminated: ("node",),
    errors.ApplicationUnknown: ("name",),
    errors.ApplicationTaken: ("name",),
    errors.ApplicationRunning: ("name", "state"),
    errors.ApplicationDepends: ("name", "names"),
    errors.ApplicationTerminated: ("name", "reason"),
    cluster_errors.ListenFailed: ("addresses",),
    cluster_errors.NodeDown: ("node", "cause"),
    cluster_errors.NodeBusy: ("node", "limit"),
    cluster_errors.NodeTaken: ("name", "creation", "address"),
    cluster_errors.NotTransferable: ("value",),
    cluster_errors.MessageTooLarge: ("size", "limit"),
    cluster_errors.RemoteError: ("type_name", "text"),
    cluster_errors.NameConflict: ("other",),
    udp_errors.BadCapture: ("path", "offset", "why"),
    udp_errors.BindFailed: ("host", "port", "path"),
    udp_errors.BadAddress: ("address",),
    udp_errors.AddressRefused: ("errno", "strerror"),
    udp_errors.SendQueueFull: ("limit",),
    udp_errors.ReplyLimited: ("address",),
    udp_errors.AmplificationLimited: ("address",),
    udp_errors.ConnectFailed: ("host", "port"),
    udp_errors.RequestTimeout: ("attempts", "replies"),
    udp_errors.PeerUnreachable: ("address",),
    udp_errors.RequestIdsTaken: ("address",),
    udp_errors.RequestKeyTaken: ("key",),
    udp_errors.SpoofingSuspected: ("address", "guesses"),
    udp_errors.MatchFailed: ("option",),
}
"""The attributes that each class sets, beside those of its base classes."""

_SHOW_THE_SECOND = (
    *(udp_errors.BindFailed, udp_errors.ConnectFailed, udp_errors.PeerUnreachable),
    cluster_errors.ListenFailed,
)
"""Their text is their second argument."""


def _classes(module: Any) -> dict[str, type[Exception]]:
    found = (getattr(module, name) for name in module.__all__)
    return {kind.__name__: kind for kind in found if isinstance(kind, type) and issubclass(kind, HomingError)}


OWN = _classes(udp_errors) | _classes(errors) | _classes(cluster_errors)
BUILT_IN: dict[str, type[Exception]] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and name == kind.__name__
}
_NAME_OF: dict[type[BaseException], str] = {kind: name for name, kind in (BUILT_IN | OWN).items()}
_SET_BY = {kind: tuple(one for base in kind.__mro__ for one in FIELDS.get(base, ())) for kind in OWN.values()}


class _Wire(msgspec.Struct, array_like=True):
    name: str
    args: list[Any]
    attributes: dict[str, Any] = {}


_encode = Encoder().encode


def clean(text: str) -> str:
    """Returns `text` cut to `TEXT` characters, without lone surrogates, which UTF-8 has no bytes for."""
    return text[:TEXT].encode("utf-8", "replace").decode()


def error_out(error: BaseException, causes: int = CAUSES) -> Any:
    """Returns an exception as an object that an encoder writes as it is. Never raises, and never shows a traceback."""
    name = _NAME_OF.get(type(error))
    arguments = BaseException.__dict__["args"].__get__(error)
    if name in OWN and is_a(error, HomingError):
        return _own(name, error, arguments, causes)
    sent = _scalars(arguments)
    if name is None or sent is None:
        return _Wire("", [clean(class_name(error)), clean(safe_str(error, TEXT))])
    return _Wire(name, sent)


def _own(name: str, error: Any, arguments: tuple[Any, ...], causes: int) -> _Wire:
    values = {key: getattr(error, key, None) for key in _SET_BY[type(error)]}
    sent = {key: _value(value, causes) for key, value in values.items()}
    return _Wire(name, [_value(part, causes) for part in arguments[:ARGS]], sent)


def _value(value: Any, causes: int) -> Any:
    """Returns a part of one of our errors; its text if it is of a class that does not travel."""
    if is_a(value, Exception) and causes:
        return Ext(ERROR, _encode(error_out(value, causes - 1)))
    kind: Any = type(value)
    if kind in IDENTIFIERS:
        try:
            return pack_identifier(value)
        except HomingError:
            return clean(safe_str(value, TEXT))
    if kind is tuple:
        return [_value(part, 0) for part in value[:ARGS]]
    scalars = _scalars((value,))
    return clean(safe_str(value, TEXT)) if scalars is None else scalars[0]


def _scalars(values: tuple[Any, ...]) -> list[Any] | None:
    """Returns `values`, with texts cut, or None if they are many or of classes that do not travel."""
    if len(values) > ARGS or not all(type(value) in _SCALARS for value in values):
        return None
    if any(type(value) is int and not -_INT_LIMIT <= value < _INT_LIMIT for value in values):
        return None
    return [clean(one) if type(one) is str else one[:TEXT] if type(one) is bytes else one for one in values]


def pack_error(error: BaseException) -> Ext:
    """Returns an exception as an extension of plain data."""
    return Ext(ERROR, _encode(error_out(error)))


# --- in ----------------------------------------------------------------------------------------------------


def _extension(code: int, data: memoryview) -> Any:
    if code == IDENTIFIER:
        return unpack_identifier(data)
    if code == ERROR:
        return _made(_decode(data))
    raise Unreadable("extension")


_decode = Decoder(_Wire, ext_hook=_extension).decode


def error_in(body: Any) -> Exception:
    """Returns the exception that `error_out` turned into these bytes, or into what they decode to. Never raises: an
    unknown name becomes `RemoteError`, and so does what is no exception, because a caller waits for it."""
    try:
        return _made(_decode(body if isinstance(body, _BYTES) else _encode(body)))
    except Exception as error:  # of msgspec, of the depth, of memory
        return RemoteError(class_name(error), "the other node sent an error that cannot be read")


def _made(wire: _Wire) -> Exception:
    arguments = [_part(one) for one in wire.args[:ARGS]]
    own = OWN.get(wire.name)
    if own is not None:
        return _own_made(own, arguments, wire.attributes)
    kind = BUILT_IN.get(wire.name)
    if kind is not None:
        try:
            return kind(*arguments)
        except Exception:  # it takes other arguments, in this version of Python or in any
            return RemoteError(clean(wire.name), clean(safe_str(tuple(arguments), TEXT)))
    texts = [safe_str(one, TEXT) for one in ([wire.name, *arguments] if wire.name else arguments)]
    name, text = (*texts, "", "")[:2]
    return RemoteError(clean(name), clean(text))


def _own_made(kind: type[Exception], arguments: list[Any], attributes: dict[str, Any]) -> Exception:
    """Makes one of our errors without its constructor, which would compute its text from values not to be trusted."""
    error: Any = (OSError if issubclass(kind, OSError) else kind).__new__(kind)
    shown = 2 if issubclass(kind, _SHOW_THE_SECOND) else 1 if issubclass(kind, udp_errors.AddressRefused) else 0
    error.args = (*arguments, *[""] * (shown - len(arguments)))  # its `str` counts on them
    for name in _SET_BY[kind]:
        kinds, otherwise = ATTRIBUTES[name]
        value = _part(attributes.get(name))
        setattr(error, name, value if isinstance(value, kinds) else otherwise)
    reason = getattr(error, "reason", None)
    if isinstance(reason, Exception):
        error.__cause__ = reason
    return error  # type: ignore[no-any-return]


def _part(value: Any) -> Any:
    """Returns an argument or attribute as it may be: a scalar, an identifier, an exception or a tuple of scalars."""
    if type(value) in _SCALARS or type(value) in IDENTIFIERS or isinstance(value, Exception):
        return clean(value) if type(value) is str else value
    if type(value) is list:
        return tuple(_part(one) for one in value[:ARGS] if type(one) in _SCALARS)
    return None
