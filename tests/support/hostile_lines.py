"""What an attacker or a broken pool sends.

`LINES` are whole lines after which the connection goes on; `streams` never end a line. The rest
of the names stand for scenes of several lines, which are acted out in hostile_script.py.
"""

from __future__ import annotations

import asyncio
import json
from typing import AsyncIterator

from envelope import line

BRANCHES = 10_000
DEPTH = 50_000
JOB_ID_SIZE = 100_000
STREAM_BYTES = 100 * 1024 * 1024
STREAM_CHUNK = 65_536
DRIP_SECONDS = 0.1
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\n\x00"
GOODBYE = b"Invalid JSON, disconnecting\n"


def notification(method: str, params: list) -> dict:
    return {"id": None, "method": method, "params": params}


def _spoiled(params: list, index: int, value) -> bytes:
    """A notify that is good but for one param."""
    params = ["hostile", *params[1:]]
    params[index] = value
    return line(notification("mining.notify", params))


def _bad_hex_jobs(params: list, _rng) -> bytes:
    return b"".join((
        _spoiled(params, 1, "zz" * 32),
        _spoiled(params, 1, "00" * 31),
        _spoiled(params, 2, params[2][:-1]),
        _spoiled(params, 3, "xyz"),
        _spoiled(params, 4, ["gg" * 32]),
        _spoiled(params, 5, "2000000g"),
        _spoiled(params, 7, "-1"),
    ))


def _ten_thousand_branches(params: list, _rng) -> bytes:
    return _spoiled(params, 4, ["ab" * 32] * BRANCHES)


def _difficulty(text: str):
    """The number goes out as written, for NaN is no JSON."""
    message = '{"id": null, "method": "mining.set_difficulty", "params": [%s]}\n' % text
    return lambda _params, _rng: message.encode()


def _nonsense(_params: list, rng) -> bytes:
    return rng.getrandbits(8 * 4096).to_bytes(4096, "big") + b"\n"


def _not_json(_params: list, _rng) -> bytes:
    return b'{"id": null, "method": "mining.notify", "params": [\n'


def _deep_json(_params: list, _rng) -> bytes:
    deep = "[" * DEPTH + "]" * DEPTH
    return f'{{"id": null, "method": "mining.notify", "params": {deep}}}\n'.encode()


def _duplicate_keys(params: list, _rng) -> bytes:
    job = json.dumps(["hostile", *params[1:]])
    return (f'{{"id": null, "method": "mining.set_difficulty", "method": "mining.notify", '
            f'"params": [1e-12], "params": {job}}}\n').encode()


def _huge_job_id(params: list, _rng) -> bytes:
    return _spoiled(params, 0, "j" * JOB_ID_SIZE)


LINES = {
    "bad-hex-job": _bad_hex_jobs,
    "ten-thousand-branches": _ten_thousand_branches,
    "difficulty-zero": _difficulty("0"),
    "difficulty-negative": _difficulty("-1"),
    "difficulty-nan": _difficulty("NaN"),
    "nonsense": _nonsense,
    "not-json": _not_json,
    "deep-json": _deep_json,
    "duplicate-keys": _duplicate_keys,
    "huge-job-id": _huge_job_id,
}


async def line_of_100mb() -> AsyncIterator[bytes]:
    """Until the peer closes, or 100 MiB."""
    yield b'{"id": null, "method": "client.show_message", "params": ["'
    for _ in range(STREAM_BYTES // STREAM_CHUNK):
        yield b"x" * STREAM_CHUNK


async def slow_drip() -> AsyncIterator[bytes]:
    """Until the peer closes, one byte at a time and never a newline."""
    yield b'{"id": null, "method": "client.show_message", "params": ["'
    while True:
        yield b"x"
        await asyncio.sleep(DRIP_SECONDS)


STREAMS = {"line-of-100mb": line_of_100mb, "slow-drip": slow_drip}

SCENES = ("odd-extranonce1", "extranonce2-size-99", "difficulty-1e300", "plain-text-goodbye",
          "job-flood", "escape-codes")

HOSTILE_NAMES = (*LINES, *STREAMS, *SCENES)
