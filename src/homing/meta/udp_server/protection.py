"""Protection of a server: which sources it accepts, rate limits for each source and destination, and pacing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...datagram import Endpoint, RateLimit, ReplyGuard
from ...datagram.policy.conditions import check_condition
from ...datagram.policy.limits import amplification_of, set_amplification
from ...datagram.policy.networks import parse_networks
from ...datagram.sockets.kernel import overflows
from ...datagram.sockets.set_options import program_of
from ...gen import BadOption
from ...gen.foreign import safe_repr
from ...gen.options import check_choice, check_type

if TYPE_CHECKING:
    from .options import UDPServerOptions


def check_protection(options: UDPServerOptions) -> None:
    """Raises `BadOption` for the first of the protection options that cannot work."""
    parse_networks("allow", options.allow)
    parse_networks("deny", options.deny)
    if options.admit is not None:
        check_condition("admit", options.admit)
    check_choice("admit_in", options.admit_in, ("kernel", "process"))
    for name in ("rate_limit", "reply_limit"):
        check_type(name, getattr(options, name), (RateLimit, type(None)), "a meta.RateLimit or None")
    check_type("reply_guard", options.reply_guard, (ReplyGuard, type(None)), "a meta.ReplyGuard or None")
    set_amplification(options)
    if options.rate_limit is not None and options.rate_limit.shorten is not None:
        raise BadOption("rate_limit", options.rate_limit, "shorten is for reply_limit: here nothing is sent")


def protect(endpoint: Endpoint, options: UDPServerOptions) -> None:
    """Protects `endpoint` as `options` say from now on."""
    endpoint.admit(
        options.allow, options.deny, options.rate_limit, options.admit if _in_process(endpoint, options) else None
    )
    endpoint.limit_replies(options.reply_limit, options.reply_guard, amplification_of(options.amplification))
    endpoint.send_queue.pace(options.send_rate)


def _in_process(endpoint: Endpoint, options: UDPServerOptions) -> bool:
    """Returns True if this process evaluates the condition of `admit`, rather than the kernel."""
    program = program_of(endpoint.sock, options)
    return options.admit is not None and (program is None or program is options.bpf)


def _amplification_facts(endpoint: Endpoint, options: UDPServerOptions) -> dict[str, Any]:
    given, budget = amplification_of(options.amplification), endpoint.budget
    return {
        "amplification": None if given is None else given.factor,
        "amplification_dry_run_bytes": budget.dry_limited_bytes,
        "amplification_unknown": budget.unknown,
        "amplification_shortened": budget.shortened,
        "amplification_validations": budget.validations,
        "amplification_evictions": budget.evicted,
    }


def protection_facts(endpoint: Endpoint, options: UDPServerOptions) -> dict[str, Any]:
    """Returns facts for `inspect_meta`, beside the counters."""
    return {
        "allow": [str(network) for network in options.allow],
        "deny": [str(network) for network in options.deny],
        "admit": None if options.admit is None else safe_repr(options.admit),
        "admit_in": None if options.admit is None else "process" if _in_process(endpoint, options) else "kernel",
        "rate_limit": options.rate_limit is not None,
        "rate_limit_evictions": endpoint.admission.limiter.evicted,
        "reply_limit": options.reply_limit is not None,
        "reply_limit_slipped": endpoint.send_queue.reply_limit.limiter.slipped,
        "reply_limit_evictions": endpoint.send_queue.reply_limit.limiter.evicted,
        "reply_guard": options.reply_guard is not None,
        **_amplification_facts(endpoint, options),
        "send_rate": None if options.send_rate is None else options.send_rate.bytes_per_second,
        "bpf": options.bpf is not None,
        "system_receive_overflows": overflows(endpoint.kernel.family),
    }
