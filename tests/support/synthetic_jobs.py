"""Seeded random jobs whose coinbase is a transaction that parses to its last byte.

The scriptSig is: push of the height (BIP34), a tag, a push of extranonce1 and extranonce2, a
second tag; or the extranonces stand in an OP_RETURN output behind all others. Lengths depend on the sizes of the extranonces, so a draft becomes a notify only
when the terms are known; the same draft can be sent again under other terms.
"""

from __future__ import annotations

import random
import struct
import time
from dataclasses import dataclass
from typing import Literal

from server_profile import Jobs
from share_rules import Notify, Terms

MAX_SCRIPT_SIG = 100
MAX_BRANCHES = 12
SUBSIDY = 312_500_000
NULL_OUTPOINT = bytes(32) + b"\xff\xff\xff\xff"
UPPER_CASE_DIGITS = 40
TAGS = (b"/strict/", b"Mined by strict", b"Public-Pool", b"/slush/", b"ckpool")
LOCK_SCRIPTS = (  # around the hash: (before, size of the hash, after)
    (b"\x76\xa9\x14", 20, b"\x88\xac"),
    (b"\xa9\x14", 20, b"\x87"),
    (b"\x00\x14", 20, b""),
    (b"\x00\x20", 32, b""),
    (b"\x51\x20", 32, b""),
)


@dataclass(frozen=True)
class CoinbaseDraft:
    head: bytes  # scriptSig before the push of the extranonces
    tail: bytes  # scriptSig after it
    tx_version: int
    sequence: bytes
    outputs: bytes
    lock_time: int

    def around(self, extranonce_size: int) -> tuple:
        """coinb1 and coinb2 for extranonces of this many bytes in all."""
        push = bytes([extranonce_size]) if extranonce_size else b""
        script_size = len(self.head) + len(push) + extranonce_size + len(self.tail)
        if script_size > MAX_SCRIPT_SIG:
            raise ValueError(f"scriptSig of {script_size} bytes, at most {MAX_SCRIPT_SIG} are legal")
        coinb1 = (struct.pack("<I", self.tx_version) + b"\x01" + NULL_OUTPOINT
                  + bytes([script_size]) + self.head + push)
        coinb2 = self.tail + self.sequence + self.outputs + struct.pack("<I", self.lock_time)
        return coinb1.hex(), coinb2.hex()


@dataclass(frozen=True)
class OpReturnDraft:
    """The extranonces behind two fixed bytes in the last output, far from the scriptSig."""

    inner: CoinbaseDraft
    marker: bytes

    def around(self, extranonce_size: int) -> tuple:
        coinb1, coinb2 = self.inner.around(0)
        outputs = self.inner.outputs
        carried = push(self.marker + bytes(extranonce_size))
        script = push(b"\x6a" + carried)
        more = bytes([outputs[0] + 1]) + outputs[1:] + bytes(8) + script[:-extranonce_size or None]
        head = coinb1 + self.inner.tail.hex() + self.inner.sequence.hex()
        return head + more.hex(), coinb2[-8:]


@dataclass(frozen=True)
class JobDraft:
    job_id: str
    prevhash: str
    coinbase: CoinbaseDraft | OpReturnDraft
    branches: tuple
    header_numbers: tuple  # version, nbits, ntime as texts
    upper_case: bool  # coinb1 ends in upper-case digits

    def notify(self, terms: Terms) -> Notify:
        coinb1, coinb2 = self.coinbase.around(len(terms.extranonce1) + terms.extranonce2_size)
        if self.upper_case:
            coinb1 = coinb1[:-UPPER_CASE_DIGITS] + coinb1[-UPPER_CASE_DIGITS:].upper()
        return Notify(self.job_id, self.prevhash, coinb1, coinb2, self.branches, *self.header_numbers)


class JobMaker:
    """One chain for all connections: `new_block` moves its tip, `draft` makes work on it."""

    def __init__(self, seed: str, nbits: int, version_bits: int, form: Jobs = Jobs()):
        self.rng = random.Random(seed)
        self.form = form
        self.nbits = nbits
        self.version_bits = version_bits
        self.count = 0
        self.height = 850_000
        self.prevhash = ""
        self.new_block()

    def new_block(self) -> None:
        self.height += 1
        self.prevhash = self.random_bytes(28).hex() + "00000000"

    def draft(self, kind: Literal["usual", "quick", "empty"] = "usual") -> JobDraft:
        """`quick` jobs follow a change of difficulty and `empty` ones a new block; both show it in their ids."""
        self.count += 1
        count = 0 if kind == "empty" else self.rng.randint(0, MAX_BRANCHES)
        branches = tuple(self.random_bytes(32).hex() for _ in range(count))
        versions = self.form.versions
        version = versions[self.count % len(versions)] | (self.rng.getrandbits(32) & self.version_bits)
        numbers = tuple(f"{number:08x}" if self.form.padded else f"{number:x}"
                        for number in (version, self.nbits, int(time.time())))
        return JobDraft(self._job_id(kind), self.prevhash, self._coinbase(), branches, numbers, kind == "quick")

    def random_bytes(self, size: int) -> bytes:
        return self.rng.getrandbits(8 * size).to_bytes(size, "big") if size else b""

    def _job_id(self, kind: str) -> str:
        """The forms of the profile in turn; all stay unique."""
        hex16 = f"{self.rng.getrandbits(32):08x}{self.count:08x}"
        forms = {
            "hex": f"{self.count:x}",
            "hex16": hex16,
            "decimal": f"17{self.count:015d}",
            "decimal128": str((self.count << 96) + self.rng.getrandbits(96)),
            "spaced": f"1369818357 {self.count}",
        }
        if kind == "usual":
            return forms[self.form.ids[self.count % len(self.form.ids)]]
        return f"Q{hex16}" if kind == "quick" else f"N{hex16}ff"

    def _coinbase(self) -> CoinbaseDraft | OpReturnDraft:
        draft = self._script_sig_coinbase()
        if self.form.extranonce_in == "op-return":
            return OpReturnDraft(draft, self.random_bytes(2))
        return draft

    def _script_sig_coinbase(self) -> CoinbaseDraft:
        head = push(self.height.to_bytes(3, "little")) + push(self.rng.choice(TAGS))
        bip54 = self.rng.random() < 0.5
        return CoinbaseDraft(
            head,
            push(self.rng.choice(TAGS)),
            self.rng.choice((1, 2)),
            b"\xfe\xff\xff\xff" if bip54 else b"\xff\xff\xff\xff",
            self._outputs(),
            self.height - 1 if bip54 else 0,
        )

    def _outputs(self) -> bytes:
        left = SUBSIDY + self.rng.randint(0, 50_000_000)
        count = self.rng.randint(1, 4)
        outputs = []
        for index in range(count):
            value = left if index == count - 1 else self.rng.randint(0, left)
            left -= value
            before, size, after = self.rng.choice(LOCK_SCRIPTS)
            outputs.append(output(value, before + self.random_bytes(size) + after))
        outputs.append(output(0, b"\x6a\x24\xaa\x21\xa9\xed" + self.random_bytes(32)))
        return bytes([len(outputs)]) + b"".join(outputs)


def push(data: bytes) -> bytes:
    return bytes([len(data)]) + data


def output(value: int, script: bytes) -> bytes:
    return struct.pack("<Q", value) + push(script)
