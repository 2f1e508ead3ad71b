"""Values of records as short words for tables: "-" for no value, no blanks, so that scripts can split columns."""

from __future__ import annotations

from typing import Any

NOTHING = "-"


def text(value: object) -> str:
    """Returns a text in one line, without characters that control a terminal: names of a program may hold any."""
    return NOTHING if value in (None, "") else "".join(sign if sign.isprintable() else "?" for sign in str(value))


def whole(value: float | None) -> str:
    """Returns a number of things."""
    return NOTHING if value is None else f"{value:.0f}"


def rate(value: float | None) -> str:
    """Returns a number per second: one decimal below 10."""
    if value is None:
        return NOTHING
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:.0f}"


def share(value: float | None) -> str:
    """Returns a share of the time as a percentage."""
    if value is None:
        return NOTHING
    percent = 100 * value
    return f"{percent:.1f}%" if 0 < percent < 9.95 else f"{percent:.0f}%"


def seconds(value: float | None) -> str:
    """Returns a time in the unit that fits: `350us`, `12ms`, `1.2s`, `42s`, `3m20s`, `2h5m`, `12d3h`."""
    if value is None:
        return NOTHING
    if value < 0.000_999_5:
        return f"{value * 1e6:.0f}us" if value else "0s"
    if value < 0.999_5:
        return f"{value * 1e3:.0f}ms"
    if value < 9.95:
        return f"{value:.1f}s"
    return _long(round(value))


def _long(value: int) -> str:
    parts = [(value // 86400, "d"), (value // 3600 % 24, "h"), (value // 60 % 60, "m"), (value % 60, "s")]
    first = next(place for place, (amount, _) in enumerate(parts) if amount)
    return "".join(f"{amount}{unit}" for amount, unit in parts[first : first + 2] if amount)


def size(value: float | None) -> str:
    """Returns a number of bytes: `512B`, `208KiB`, `1.5GiB`."""
    if value is None:
        return NOTHING
    amount, units = float(value), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1023.5 and len(units) > 1:
        amount /= 1024
        del units[0]
    return f"{amount:.1f}{units[0]}" if amount < 9.95 and amount != round(amount) else f"{amount:.0f}{units[0]}"


def causes(drops: list[dict[str, Any]]) -> str:
    """Returns drops by cause: `in.kernel=5,out.EPERM=2`."""
    return ",".join(f"{drop['direction']}.{text(drop['cause'])}={drop['count']}" for drop in drops) or NOTHING
