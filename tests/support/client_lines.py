"""Lines from the client, read as the strictest known server reads them.

Pure. Every deviation has a short name that ends up in the report under `protocol_errors`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

MAX_ID = 2**31 - 1
CONFIGURE_PARAMS = {"version-rolling.mask", "version-rolling.min-bit-count"}


@dataclass(frozen=True)
class Request:
    request_id: int
    method: str
    params: list


@dataclass(frozen=True)
class Answer:
    """To a request of ours, such as mining.ping."""

    request_id: int
    result: object
    error: object


class ProtocolError(Exception):
    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class EndsConnection(ProtocolError):
    """After this the server hangs up."""


def parse_line(line: bytes, longest: int):
    """A Request or an Answer. The line comes with its LF, and is counted with it."""
    if len(line) > longest:
        raise ProtocolError("line-too-long")
    if line.endswith(b"\r\n"):
        raise ProtocolError("carriage-return")
    if not line.startswith(b"{"):
        raise ProtocolError("not-an-object")
    try:
        message = json.loads(line, object_pairs_hook=_unique_members, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ProtocolError("not-json") from None
    request_id = message.get("id")
    if type(request_id) is not int or not 1 <= request_id <= MAX_ID:
        raise ProtocolError("id")
    if "method" not in message:
        if "result" not in message:
            raise ProtocolError("neither-request-nor-answer")
        return Answer(request_id, message["result"], message.get("error"))
    if not isinstance(message["method"], str) or not isinstance(message.get("params"), list):
        raise ProtocolError("method-or-params")
    return Request(request_id, message["method"], message["params"])


def parse_configure(params: list) -> int | None:
    """The mask asked for, None if version rolling is not asked for."""
    if len(params) != 2 or not isinstance(params[0], list) or not isinstance(params[1], dict):
        raise ProtocolError("configure-params")
    names, values = params
    if "version-rolling" not in names:
        return None
    if not CONFIGURE_PARAMS <= set(values):
        raise ProtocolError("configure-members")
    mask, bits = values["version-rolling.mask"], values["version-rolling.min-bit-count"]
    if type(bits) is not int or bits < 0:
        raise ProtocolError("configure-min-bit-count")
    if not isinstance(mask, str) or len(mask) != 8 or set(mask) - set("0123456789abcdef"):
        raise ProtocolError("configure-mask")
    return int(mask, 16)


def _unique_members(pairs: list) -> dict:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _no_constant(name: str):
    raise ValueError(name)
