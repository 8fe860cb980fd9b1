"""The command line of the pool; every option can be combined with every other."""

from __future__ import annotations

import argparse
import math
from typing import get_args

from hostile_lines import HOSTILE_NAMES
from profiles import PROFILES
from server_profile import RejectStyle

NBITS = {"easy": 0x207FFFFF, "hard": 0x17023A04}
MAX_EXTRANONCE1 = 32
MAX_EXTRANONCE2 = 16
LEGAL_MASK = 0x1FFFFFFF


def parse_options(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A strict Stratum V1 pool on 127.0.0.1 for tests.")
    parser.add_argument("--profile", choices=PROFILES, default="strict", metavar="NAME",
                        help=f"behave like one of: {', '.join(PROFILES)}")
    _add_pool(parser.add_argument_group("pool"))
    _add_jobs(parser.add_argument_group("jobs"))
    _add_negotiation(parser.add_argument_group("extranonce and version rolling"))
    _add_answers(parser.add_argument_group("answers"))
    _add_connection(parser.add_argument_group("connection"))
    _add_hostility(parser.add_argument_group("moods"))
    profile = parser.parse_known_args(arguments)[0].profile
    parser.set_defaults(**PROFILES[profile].options)
    return parser.parse_args(arguments)


def _add_pool(group) -> None:
    group.add_argument("--port", type=int, default=0, help="0: a free one, see the listening event")
    group.add_argument("--seconds", type=_positive, help="end after this time")
    group.add_argument("--seed", type=int, default=1)
    group.add_argument("--flight-ms", type=_positive, default=100.0,
                       help="a late share within this time after its end was still in flight")


def _add_jobs(group) -> None:
    group.add_argument("--difficulty", type=_difficulty, default=1)
    group.add_argument("--difficulty-changes", type=_positive, metavar="SECONDS")
    group.add_argument("--difficulty-span", type=_span, default=16.0, metavar="FACTOR",
                       help="changes stay within the difficulty / FACTOR and * FACTOR")
    group.add_argument("--job-every", type=_positive, default=5000.0, metavar="MS")
    group.add_argument("--clean-ratio", type=_ratio, default=0.2)
    group.add_argument("--repeat-job-ids", action="store_true")
    group.add_argument("--nbits", type=_nbits, default=NBITS["hard"], help="easy, hard or 8 hex digits")
    group.add_argument("--job-version-bits", action="store_true",
                       help="job versions carry random bits inside the mask")
    group.add_argument("--no-notify", action="store_true")


def _add_negotiation(group) -> None:
    group.add_argument("--extranonce1", type=_extranonce1, metavar="HEX", help="default: random 4 bytes")
    group.add_argument("--extranonce2-size", type=_extranonce2_size, default=4)
    group.add_argument("--set-extranonce-every", type=_positive, metavar="SECONDS")
    group.add_argument("--mask", type=_mask, default=0x1FFFE000,
                       help="hex; none: configure is refused; silent: never answered")
    group.add_argument("--mask-changes", type=_positive, metavar="SECONDS")


def _add_answers(group) -> None:
    group.add_argument("--never-answer", type=_ratio, default=0.0, metavar="RATIO")
    group.add_argument("--answer-order", choices=("fifo", "random"), default="fifo")
    group.add_argument("--answer-delay-ms", type=_not_negative, default=0.0)
    group.add_argument("--refuse-authorize", action="store_true")
    group.add_argument("--error-style", choices=get_args(RejectStyle), default="list")


def _add_connection(group) -> None:
    group.add_argument("--cut-every", type=_positive, metavar="SECONDS")
    group.add_argument("--resume", action="store_true")
    group.add_argument("--single-bytes", action="store_true")
    group.add_argument("--coalesce", action="store_true")
    group.add_argument("--pipeline-early-work", action="store_true")
    group.add_argument("--reconnect-to", type=_host_port, metavar="HOST:PORT")


def _add_hostility(group) -> None:
    group.add_argument("--ping", action="store_true")
    group.add_argument("--show-message", metavar="TEXT")
    group.add_argument("--zombie", action="store_true")
    group.add_argument("--hostile", choices=HOSTILE_NAMES, metavar="NAME", help=", ".join(HOSTILE_NAMES))


def _number(text: str, good, what: str) -> float:
    value = float(text)
    if not math.isfinite(value) or not good(value):
        raise argparse.ArgumentTypeError(f"{text} is not {what}")
    return value


def _positive(text: str) -> float:
    return _number(text, lambda value: value > 0, "above 0")


def _span(text: str) -> float:
    return _number(text, lambda value: value >= 1, "1 or above")


def _not_negative(text: str) -> float:
    return _number(text, lambda value: value >= 0, "0 or above")


def _ratio(text: str) -> float:
    return _number(text, lambda value: 0 <= value <= 1, "between 0 and 1")


def _difficulty(text: str) -> float:
    """A whole number is sent as an integer, as most pools do."""
    value = _positive(text)
    return int(value) if value == int(value) else value


def _nbits(text: str) -> int:
    return NBITS[text] if text in NBITS else _hex_number(text)


def _mask(text: str):
    """A number, or one of the two texts."""
    if text in ("none", "silent"):
        return text
    mask = _hex_number(text)
    if mask & ~LEGAL_MASK:
        raise argparse.ArgumentTypeError(f"{text} covers the top three version bits")
    return mask


def _hex_number(text: str) -> int:
    if len(text) != 8:
        raise argparse.ArgumentTypeError(f"{text} has not 8 hex digits")
    return int(text, 16)


def _extranonce1(text: str) -> bytes:
    value = bytes.fromhex(text)
    if len(value) > MAX_EXTRANONCE1:
        raise argparse.ArgumentTypeError(f"{text} is longer than {MAX_EXTRANONCE1} bytes")
    return value


def _extranonce2_size(text: str) -> int:
    size = int(text)
    if not 0 <= size <= MAX_EXTRANONCE2:
        raise argparse.ArgumentTypeError(f"{size} is not between 0 and {MAX_EXTRANONCE2}")
    return size


def _host_port(text: str) -> tuple:
    host, _, port = text.rpartition(":")
    if not host:
        raise argparse.ArgumentTypeError(f"{text} is not HOST:PORT")
    return host, int(port)
