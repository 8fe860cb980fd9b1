"""The verdict on a submit: rules of the share first, then whether it is new, then whether it is late."""

from __future__ import annotations

from dataclasses import dataclass

from job_book import SeenShare, SeenShares, Sending, Session
from share_rules import Invalid, Proof, Submit, judge, parse_submit

GOOD = ("accepted", "resubmitted")

REJECT_CODES = {"unknown-job": 21, "stale": 21, "stale_in_flight": 21, "stale_block": 21,
                "duplicate": 22, "low-difficulty": 23, "unauthorized": 24, "not-subscribed": 25}
REJECT_TEXTS = {"unknown-job": "Job not found", "stale": "Stale", "stale_in_flight": "Stale",
                "stale_block": "Stale", "duplicate": "Duplicate share",
                "low-difficulty": "Above target", "unauthorized": "Unauthorized worker",
                "not-subscribed": "Not subscribed"}
OTHER_CODE = 20


@dataclass(frozen=True)
class Standing:
    """What the connection had reached when the submit arrived."""

    connection: int
    session: Session
    subscribed: bool
    users: frozenset
    negotiated: bool


@dataclass(frozen=True)
class Ruling:
    """`verdict` is accepted, resubmitted, invalid, duplicate, stale, stale_in_flight or stale_block."""

    verdict: str
    reason: str | None = None
    submit: Submit | None = None
    sending: Sending | None = None
    proof: Proof | None = None
    header_hash: int | None = None
    seen: SeenShare | None = None

    def error(self, verdict: str) -> tuple:
        """Code and text for the answer to a share with this verdict."""
        key = self.reason or verdict
        return REJECT_CODES.get(key, OTHER_CODE), REJECT_TEXTS.get(key, key)


class Referee:
    def __init__(self, flight_seconds: float):
        self.flight_seconds = flight_seconds
        self.seen = SeenShares()

    def rule(self, params, standing: Standing, now: float) -> Ruling:
        try:
            submit = parse_submit(params)
        except Invalid as invalid:
            return Ruling("invalid", invalid.reason)
        candidates = standing.session.book.candidates(submit.job_id, now)
        try:
            _check_standing(submit, standing)
            sending, proof = _first_that_holds(candidates, submit, standing.negotiated)
        except Invalid as invalid:
            sending = candidates[0] if candidates else None
            return Ruling("invalid", invalid.reason, submit, sending, None, invalid.header_hash)
        verdict, seen = self._verdict(sending, proof, standing, now)
        return Ruling(verdict, None, submit, sending, proof, proof.header_hash, seen)

    def _verdict(self, sending: Sending, proof: Proof, standing: Standing, now: float) -> tuple:
        seen = self.seen.find(proof.header_hash)
        returned = seen is not None and seen.may_return(standing.connection, self.flight_seconds)
        if seen is not None and not returned:
            return "duplicate", None
        seen = self.seen.add(proof.header_hash, standing.connection)
        stale = standing.session.book.stale_seconds(sending, now)
        if stale is None:
            return ("resubmitted" if returned else "accepted"), seen
        if proof.block:
            return "stale_block", seen
        return ("stale_in_flight" if stale <= self.flight_seconds else "stale"), seen


def _check_standing(submit: Submit, standing: Standing) -> None:
    if not standing.subscribed:
        raise Invalid("not-subscribed")
    if not standing.users:
        raise Invalid("unauthorized")
    if submit.user not in standing.users:
        raise Invalid("wrong-user")


def _first_that_holds(candidates: list, submit: Submit, negotiated: bool) -> tuple:
    """The newest sending for which the share is right; else what is wrong with the newest."""
    first_error = Invalid("unknown-job")
    for sending in candidates:
        try:
            return sending, judge(sending.job, submit, negotiated)
        except Invalid as invalid:
            if sending is candidates[0]:
                first_error = invalid
    raise first_error
