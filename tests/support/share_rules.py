"""The arithmetic of a share: from the nine texts of a job and the texts of a submit to a verdict.

Pure: no socket, no clock. Nothing here is shared with the miner; every hash goes through hashlib.
Hex on the wire is kept as text until it has been checked, numbers are big-endian in print and
little-endian in the header.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

# The target of difficulty 1, which is what nbits 1d00ffff expands to.
DIFFICULTY_1_TARGET = 0xFFFF << 208
MAX_TARGET = (1 << 256) - 1
NTIME_ROLL_SECONDS = 600

LOWER_HEX = re.compile(r"[0-9a-f]*")


@dataclass(frozen=True)
class Notify:
    """The params of mining.notify as they go over the wire, without clean_jobs."""

    job_id: str
    prevhash: str
    coinb1: str
    coinb2: str
    branches: tuple
    version: str
    nbits: str
    ntime: str

    def params(self, clean: bool) -> list:
        return [self.job_id, self.prevhash, self.coinb1, self.coinb2, list(self.branches),
                self.version, self.nbits, self.ntime, clean]


@dataclass(frozen=True)
class Terms:
    """What holds for a job because of the moment at which it was sent."""

    difficulty: float
    extranonce1: bytes
    extranonce2_size: int
    mask: int | None  # None: version rolling was not agreed when the job was sent


@dataclass(frozen=True)
class Job:
    notify: Notify
    terms: Terms


@dataclass(frozen=True)
class Submit:
    """The params of mining.submit, known to be texts and otherwise unchecked."""

    user: str
    job_id: str
    extranonce2: str
    ntime: str
    nonce: str
    version_bits: str | None


@dataclass(frozen=True)
class ShareRules:
    """In what servers differ when they rebuild a header."""

    version: Literal["or", "xor", "replace", "xor-or-whole"] = "replace"
    unagreed_bits: Literal["refused", "ignored"] = "refused"  # a sixth param though rolling was not agreed
    ntime_from_job: bool = True  # no ntime before the job's
    ntime_seconds: int | None = NTIME_ROLL_SECONDS  # and none so far behind it


@dataclass(frozen=True)
class Proof:
    """A header that meets its job's share target or the network's target."""

    header_hash: int
    difficulty: float
    block: bool


class Invalid(Exception):
    """A share that breaks a rule; `header_hash` is known only if the header could be built."""

    def __init__(self, reason: str, header_hash: int | None = None):
        super().__init__(reason)
        self.reason = reason
        self.header_hash = header_hash


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def swap_words(data: bytes) -> bytes:
    """Stratum prevhash to header order and back: the bytes of each 4-byte word are reversed."""
    return b"".join(data[i:i + 4][::-1] for i in range(0, len(data), 4))


def coinbase(notify: Notify, extranonce1: bytes, extranonce2: bytes) -> bytes:
    return bytes.fromhex(notify.coinb1) + extranonce1 + extranonce2 + bytes.fromhex(notify.coinb2)


def merkle_root(coinbase_bytes: bytes, branches) -> bytes:
    """The root in header order; the running hash always stands on the left."""
    root = sha256d(coinbase_bytes)
    for branch in branches:
        root = sha256d(root + bytes.fromhex(branch))
    return root


def header(notify: Notify, root: bytes, version: int, ntime: int, nonce: int) -> bytes:
    """The 80 bytes that are hashed."""
    return b"".join((
        version.to_bytes(4, "little"),
        swap_words(bytes.fromhex(notify.prevhash)),
        root,
        ntime.to_bytes(4, "little"),
        int(notify.nbits, 16).to_bytes(4, "little"),
        nonce.to_bytes(4, "little"),
    ))


def hash_number(header_bytes: bytes) -> int:
    return int.from_bytes(sha256d(header_bytes), "little")


def replaced_version(job_version: int, version_bits: int, mask: int) -> int:
    """BIP310: inside the mask the submitted bits, outside it the job's."""
    return (job_version & ~mask) | (version_bits & mask)


def rolled_version(rule: str, job_version: int, version_bits: int, mask: int) -> int:
    """The header's version by the rule of a server, one of those in ShareRules."""
    if rule == "replace":
        return replaced_version(job_version, version_bits, mask)
    if rule == "or":
        return job_version | version_bits
    if rule == "xor-or-whole" and version_bits & ~mask:
        return version_bits
    return job_version ^ version_bits


def target_of_difficulty(difficulty) -> int:
    """floor(D1 / difficulty), exact: every finite double is a fraction."""
    if isinstance(difficulty, float) and not math.isfinite(difficulty):
        raise ValueError(f"difficulty {difficulty} is not finite")
    exact = Fraction(difficulty)
    if exact <= 0:
        raise ValueError(f"difficulty {difficulty} is not positive")
    return min(DIFFICULTY_1_TARGET * exact.denominator // exact.numerator, MAX_TARGET)


def difficulty_of_hash(number: int) -> float:
    return DIFFICULTY_1_TARGET / max(number, 1)


def target_of_nbits(nbits: int) -> int:
    """The network target in compact form; 0 (nothing is a block) when the sign bit is set."""
    exponent, mantissa = nbits >> 24, nbits & 0x7FFFFF
    if nbits & 0x800000:
        return 0
    shift = 8 * (exponent - 3)
    return min(mantissa << shift if shift >= 0 else mantissa >> -shift, MAX_TARGET)


def parse_submit(params) -> Submit:
    """Errors: `params-count` unless there are 5 or 6, `params-not-text` for anything but texts."""
    if not isinstance(params, list) or len(params) not in (5, 6):
        raise Invalid("params-count")
    if not all(isinstance(param, str) for param in params):
        raise Invalid("params-not-text")
    return Submit(*params[:5], params[5] if len(params) == 6 else None)


def judge(job: Job, submit: Submit, negotiated: bool, rules: ShareRules = ShareRules(),
          difficulty: float | None = None) -> Proof:
    """Checks a submit against one job, by the strictest reading of the protocol unless `rules` say otherwise.

    `difficulty` is what the share has to meet, the job's own by default. `negotiated` says whether version rolling is agreed on the connection by now; a job sent
    before that may be answered with or without version bits, which then must be zero.
    """
    terms = job.terms
    extranonce2 = _hex_bytes(submit.extranonce2, terms.extranonce2_size, "extranonce2")
    ntime = _hex_number(submit.ntime, "ntime")
    nonce = _hex_number(submit.nonce, "nonce")
    version = _version(job, submit, negotiated, rules)
    job_ntime = int(job.notify.ntime, 16)
    if rules.ntime_from_job and ntime < job_ntime:
        raise Invalid("ntime-too-old")
    if rules.ntime_seconds is not None and ntime > job_ntime + rules.ntime_seconds:
        raise Invalid("ntime-too-new")
    root = merkle_root(coinbase(job.notify, terms.extranonce1, extranonce2), job.notify.branches)
    number = hash_number(header(job.notify, root, version, ntime, nonce))
    block = number <= target_of_nbits(int(job.notify.nbits, 16))
    if number > target_of_difficulty(terms.difficulty if difficulty is None else difficulty) and not block:
        raise Invalid("low-difficulty", number)
    return Proof(number, difficulty_of_hash(number), block)


def _version(job: Job, submit: Submit, negotiated: bool, rules: ShareRules) -> int:
    job_version, mask = int(job.notify.version, 16), job.terms.mask
    if submit.version_bits is None:
        if mask is not None:
            raise Invalid("version-bits-missing")
        return job_version
    if mask is None and not negotiated:
        if rules.unagreed_bits == "ignored":
            return job_version
        raise Invalid("version-bits-unexpected")
    bits = _hex_number(submit.version_bits, "version-bits")
    if bits & ~(mask or 0) and rules.version != "xor-or-whole":
        raise Invalid("version-bits-outside-mask")
    return rolled_version(rules.version, job_version, bits, mask or 0)


def _hex_bytes(text: str, size: int, name: str) -> bytes:
    if len(text) != 2 * size:
        raise Invalid(f"{name}-length")
    if not LOWER_HEX.fullmatch(text):
        raise Invalid(f"{name}-hex")
    return bytes.fromhex(text)


def _hex_number(text: str, name: str) -> int:
    return int.from_bytes(_hex_bytes(text, 4, name), "big")
